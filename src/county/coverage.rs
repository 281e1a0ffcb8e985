//! From labelled cells to polygons that share every vertex of their common borders.
//!
//! Borders between different labels are traced once, from junction to junction, as arcs. Each
//! crossing of a border with the line between two cell centres may slide along that line, and each
//! junction may move inside the square around it; so arcs become smooth and can never cross: all
//! of them live in disjoint squares. Points that a straight side replaces within 0.25 m are left
//! out, which is less than half of the least distance that sliding keeps between arcs. What an arc
//! becomes depends only on the cells beside it: both villages at a common border get the same points.

use std::collections::{BTreeSet, HashMap};

/// How far a crossing may slide from the middle, in cells.
const SLIDE: f64 = 0.42;
/// 0.25 m for cells of 5 m.
const TOLERANCE_CELLS: f64 = 0.05;
const ROUNDS: usize = 5;
const NONE: u32 = u32::MAX;

/// A rectangle of labelled cells; `own` numbers the connected parts inside, 0 is outside.
pub struct Window {
    pub width: usize,
    pub height: usize,
    /// Cell coordinates of the lower left cell.
    pub x0: i64,
    pub y0: i64,
    /// Side of a cell in metres.
    pub cell_m: f64,
    /// Equal where two cells are of one part.
    pub key: Vec<u64>,
    pub own: Vec<u32>,
}

/// Outer ring first, anticlockwise; holes clockwise. Millimetres, rings closed.
pub type Polygon = Vec<Vec<[i64; 2]>>;

struct Arc {
    /// Part on the left and on the right.
    left: u32,
    right: u32,
    from: usize,
    to: usize,
    /// Direction of the last step, 0 east, 1 north, 2 west, 3 south.
    last: u8,
    points: Vec<[i64; 2]>,
    ring: bool,
}

/// The arcs of a window.
pub struct Arcs {
    arcs: Vec<Arc>,
    outgoing: HashMap<(usize, u8), (u32, bool)>,
}

impl Window {
    fn stride(&self) -> usize {
        self.width + 1
    }

    /// The cell left or right of the step from a grid point; `None` outside the window.
    fn cell(&self, vertex: usize, direction: u8, right: bool) -> Option<usize> {
        let (x, y) = (
            (vertex % self.stride()) as i64,
            (vertex / self.stride()) as i64,
        );
        let (dx, dy) = match (direction, right) {
            (0, false) | (1, true) => (0, 0),
            (0, true) | (3, false) => (0, -1),
            (1, false) | (2, true) => (-1, 0),
            _ => (-1, -1),
        };
        let (cx, cy) = (x + dx, y + dy);
        let inside = cx >= 0 && cy >= 0 && cx < self.width as i64 && cy < self.height as i64;
        inside.then(|| cy as usize * self.width + cx as usize)
    }

    fn border(&self, vertex: usize, direction: u8) -> bool {
        match (
            self.cell(vertex, direction, false),
            self.cell(vertex, direction, true),
        ) {
            (Some(a), Some(b)) => self.key[a] != self.key[b],
            _ => false,
        }
    }

    fn part(&self, vertex: usize, direction: u8, right: bool) -> u32 {
        self.cell(vertex, direction, right)
            .map_or(0, |i| self.own[i])
    }

    fn step(&self, vertex: usize, direction: u8) -> usize {
        match direction {
            0 => vertex + 1,
            1 => vertex + self.stride(),
            2 => vertex - 1,
            _ => vertex - self.stride(),
        }
    }

    fn degree(&self, vertex: usize) -> usize {
        (0..4).filter(|&d| self.border(vertex, d)).count()
    }

    fn at(&self, vertex: usize) -> (i64, i64) {
        let s = self.stride();
        (self.x0 + (vertex % s) as i64, self.y0 + (vertex / s) as i64)
    }

    /// Where the junction at a grid point lies, in cells from the corner of the sheet.
    fn junction(&self, vertex: usize) -> [f64; 2] {
        let (x, y) = self.at(vertex);
        let arms: Vec<[f64; 2]> = (0..4u8)
            .filter(|&d| self.border(vertex, d))
            .map(|d| {
                let (mut at, mut heading) = (vertex, d);
                for _ in 0..3 {
                    at = self.step(at, heading);
                    let ways: Vec<u8> = (0..4).filter(|&e| self.border(at, e)).collect();
                    if ways.len() != 2 {
                        break;
                    }
                    let back = (heading + 2) % 4;
                    heading = if ways[0] == back { ways[1] } else { ways[0] };
                }
                let (ax, ay) = self.at(at);
                [(ax - x) as f64, (ay - y) as f64]
            })
            .collect();
        let unit = |p: [f64; 2]| {
            let l = p[0].hypot(p[1]).max(1e-9);
            [p[0] / l, p[1] / l]
        };
        let mut best = (f64::MAX, [0.0, 0.0]);
        for i in 0..arms.len() {
            for j in i + 1..arms.len() {
                let (a, b) = (unit(arms[i]), unit(arms[j]));
                let facing = a[0] * b[0] + a[1] * b[1];
                if facing < best.0 {
                    // The point of the chord between the ends of the straightest pair of arms.
                    let (p, q) = (arms[i], arms[j]);
                    let (la, lb) = (p[0].hypot(p[1]), q[0].hypot(q[1]));
                    let f = la / (la + lb).max(1e-9);
                    best = (facing, [p[0] + (q[0] - p[0]) * f, p[1] + (q[1] - p[1]) * f]);
                }
            }
        }
        let limit = SLIDE - 0.04;
        let pull = if arms.len() == 3 { 0.8 } else { 0.0 };
        [
            x as f64 + (pull * best.1[0]).clamp(-limit, limit),
            y as f64 + (pull * best.1[1]).clamp(-limit, limit),
        ]
    }

    /// Traces every border that has a part of `own` beside it.
    pub fn trace(&self) -> Arcs {
        let stride = self.stride();
        let vertices = stride * (self.height + 1);
        let mut seen = vec![0u8; vertices];
        let mut out = Arcs {
            arcs: Vec::new(),
            outgoing: HashMap::new(),
        };
        let degree: Vec<u8> = (0..vertices).map(|v| self.degree(v) as u8).collect();
        for pass in 0..2 {
            for start in 0..vertices {
                let eligible = if pass == 0 {
                    degree[start] >= 3
                } else {
                    degree[start] == 2
                };
                if !eligible {
                    continue;
                }
                for d in 0..4u8 {
                    if seen[start] & (1 << d) != 0 || !self.border(start, d) {
                        continue;
                    }
                    let (left, right) = (self.part(start, d, false), self.part(start, d, true));
                    if left == 0 && right == 0 {
                        continue;
                    }
                    self.follow(
                        start,
                        d,
                        left,
                        right,
                        pass == 1,
                        &degree,
                        &mut seen,
                        &mut out,
                    );
                }
            }
        }
        out
    }

    #[allow(clippy::too_many_arguments)]
    fn follow(
        &self,
        start: usize,
        first: u8,
        left: u32,
        right: u32,
        ring: bool,
        degree: &[u8],
        seen: &mut [u8],
        out: &mut Arcs,
    ) {
        let mut steps = vec![(start, first)];
        let (mut at, mut heading) = (start, first);
        loop {
            seen[at] |= 1 << heading;
            at = self.step(at, heading);
            seen[at] |= 1 << ((heading + 2) % 4);
            if degree[at] != 2 || at == start {
                break;
            }
            let back = (heading + 2) % 4;
            heading = (0..4u8)
                .find(|&d| d != back && self.border(at, d))
                .expect("a border goes on at a point of degree two");
            steps.push((at, heading));
        }
        let id = out.arcs.len() as u32;
        // One direction for both villages: from the smaller end.
        let forward = ring || {
            let s = self.at(start);
            let e = self.at(at);
            (s.1, s.0, first) <= (e.1, e.0, (heading + 2) % 4)
        };
        let mut crossings: Vec<([f64; 2], bool)> = steps
            .iter()
            .map(|&(v, d)| {
                let (x, y) = self.at(v);
                let (x, y) = (x as f64, y as f64);
                match d {
                    0 => ([x + 0.5, y], true),
                    1 => ([x, y + 0.5], false),
                    2 => ([x - 0.5, y], true),
                    _ => ([x, y - 0.5], false),
                }
            })
            .collect();
        if !forward {
            crossings.reverse();
        }
        let ends = if ring {
            None
        } else {
            let (a, b) = (self.junction(start), self.junction(at));
            Some(if forward { (a, b) } else { (b, a) })
        };
        let mut points = smooth(&crossings, ends, self.cell_m);
        if !forward {
            points.reverse();
        }
        out.arcs.push(Arc {
            left,
            right,
            from: start,
            to: at,
            last: heading,
            points,
            ring,
        });
        if !ring {
            out.outgoing.insert((start, first), (id, true));
            out.outgoing.insert((at, (heading + 2) % 4), (id, false));
        }
    }
}

/// Slides crossings towards the middle of their neighbours, drops what a straight side replaces,
/// and rounds to millimetres. `ends` are the junctions; `None` closes the ring.
fn smooth(
    crossings: &[([f64; 2], bool)],
    ends: Option<([f64; 2], [f64; 2])>,
    cell_m: f64,
) -> Vec<[i64; 2]> {
    let m = crossings.len();
    let mut now: Vec<[f64; 2]> = crossings.iter().map(|c| c.0).collect();
    for _ in 0..ROUNDS {
        let before = now.clone();
        for k in 0..m {
            let back = if k > 0 {
                before[k - 1]
            } else {
                ends.map_or(before[m - 1], |e| e.0)
            };
            let next = if k + 1 < m {
                before[k + 1]
            } else {
                ends.map_or(before[0], |e| e.1)
            };
            let (home, along_x) = crossings[k];
            let axis = usize::from(along_x);
            let target = 0.5 * before[k][axis] + 0.25 * (back[axis] + next[axis]);
            now[k][axis] = target.clamp(home[axis] - SLIDE, home[axis] + SLIDE);
        }
    }
    let mut line: Vec<[f64; 2]> = Vec::with_capacity(m + 2);
    let mut keep;
    match ends {
        Some((a, b)) => {
            line.push(a);
            line.extend(&now);
            line.push(b);
            keep = vec![false; line.len()];
            let last = line.len() - 1;
            // The square of a junction is left as it is.
            for k in [0, 1, last - 1, last] {
                keep[k] = true;
            }
            thin(&line, 1, last - 1, &mut keep);
        }
        None => {
            line.extend(&now);
            line.push(now[0]);
            keep = vec![false; line.len()];
            let last = line.len() - 1;
            let thirds = [0, last / 3, last * 2 / 3, last];
            for k in thirds {
                keep[k] = true;
            }
            for pair in thirds.windows(2) {
                thin(&line, pair[0], pair[1], &mut keep);
            }
        }
    }
    line.iter()
        .zip(&keep)
        .filter(|(_, keep)| **keep)
        .map(|(p, _)| {
            [
                (p[0] * cell_m * 1000.0).round() as i64,
                (p[1] * cell_m * 1000.0).round() as i64,
            ]
        })
        .collect()
}

/// Douglas and Peucker (1973) between two kept points.
fn thin(line: &[[f64; 2]], from: usize, to: usize, keep: &mut [bool]) {
    let mut open = vec![(from, to)];
    while let Some((a, b)) = open.pop() {
        if b <= a + 1 {
            continue;
        }
        let (p, q) = (line[a], line[b]);
        let (dx, dy) = (q[0] - p[0], q[1] - p[1]);
        let length2 = dx * dx + dy * dy;
        let mut far = (TOLERANCE_CELLS * TOLERANCE_CELLS, 0);
        for (k, r) in line.iter().enumerate().take(b).skip(a + 1) {
            let (ex, ey) = (r[0] - p[0], r[1] - p[1]);
            let f = if length2 > 0.0 {
                ((ex * dx + ey * dy) / length2).clamp(0.0, 1.0)
            } else {
                0.0
            };
            let (gx, gy) = (ex - f * dx, ey - f * dy);
            let d = gx * gx + gy * gy;
            if d > far.0 {
                far = (d, k);
            }
        }
        if far.1 > 0 {
            keep[far.1] = true;
            open.push((a, far.1));
            open.push((far.1, b));
        }
    }
}

impl Arcs {
    /// The polygons of a layer whose faces are unions of parts: `face[part]`, 0 outside.
    /// One list of polygons per face; a face that is not connected has several.
    pub fn polygons(&self, face: &[u32], faces: usize) -> Vec<Vec<Polygon>> {
        let mut rings: Vec<Vec<Vec<[i64; 2]>>> = vec![Vec::new(); faces + 1];
        let side = |arc: &Arc, forward: bool| {
            let (l, r) = (face[arc.left as usize], face[arc.right as usize]);
            if forward { (l, r) } else { (r, l) }
        };
        let mut done = vec![[false; 2]; self.arcs.len()];
        for id in 0..self.arcs.len() {
            for forward in [true, false] {
                let (mine, other) = side(&self.arcs[id], forward);
                if mine == 0 || mine == other || done[id][usize::from(forward)] {
                    continue;
                }
                if self.arcs[id].ring {
                    done[id][usize::from(forward)] = true;
                    rings[mine as usize].push(self.line(id, forward));
                    continue;
                }
                let mut walk: Vec<(u32, bool)> = Vec::new();
                let (mut at, mut way) = (id, forward);
                loop {
                    done[at][usize::from(way)] = true;
                    walk.push((at as u32, way));
                    let arc = &self.arcs[at];
                    let (end, heading) = if way {
                        (arc.to, arc.last)
                    } else {
                        (arc.from, self.reversed_heading(at))
                    };
                    let next = [1u8, 0, 3].iter().find_map(|turn| {
                        let go = (heading + turn) % 4;
                        let &(next, next_way) = self.outgoing.get(&(end, go))?;
                        let (l, r) = side(&self.arcs[next as usize], next_way);
                        (l == mine && r != mine).then_some((next as usize, next_way))
                    });
                    let (next, next_way) = next.expect("the border of a face is closed");
                    if next == id && next_way == forward {
                        break;
                    }
                    (at, way) = (next, next_way);
                }
                self.split(&walk, &mut rings[mine as usize]);
            }
        }
        rings.into_iter().map(assemble).collect()
    }

    /// Heading at the end of an arc walked backwards: opposite to its first step.
    fn reversed_heading(&self, id: usize) -> u8 {
        let arc = &self.arcs[id];
        let first = (0..4u8)
            .find(|&d| self.outgoing.get(&(arc.from, d)) == Some(&(id as u32, true)))
            .expect("an arc leaves its first junction");
        (first + 2) % 4
    }

    fn line(&self, id: usize, forward: bool) -> Vec<[i64; 2]> {
        let mut points = self.arcs[id].points.clone();
        if !forward {
            points.reverse();
        }
        points
    }

    /// Cuts a walk at junctions it meets twice, so that no ring touches itself.
    fn split(&self, walk: &[(u32, bool)], rings: &mut Vec<Vec<[i64; 2]>>) {
        let mut stack: Vec<(usize, u32, bool)> = Vec::new();
        let mut place: HashMap<usize, usize> = HashMap::new();
        for &(id, way) in walk {
            let arc = &self.arcs[id as usize];
            let (from, to) = if way {
                (arc.from, arc.to)
            } else {
                (arc.to, arc.from)
            };
            place.insert(from, stack.len());
            stack.push((from, id, way));
            if let Some(&k) = place.get(&to) {
                let mut ring = Vec::new();
                for &(junction, id, way) in &stack[k..] {
                    place.remove(&junction);
                    let line = self.line(id as usize, way);
                    let skip = usize::from(!ring.is_empty());
                    ring.extend(line.into_iter().skip(skip));
                }
                stack.truncate(k);
                rings.push(ring);
            }
        }
    }
}

/// Twice the signed area in mm².
pub fn twice_area(ring: &[[i64; 2]]) -> i128 {
    let o = ring.first().copied().unwrap_or([0, 0]);
    ring.windows(2)
        .map(|p| {
            i128::from(p[0][0] - o[0]) * i128::from(p[1][1] - o[1])
                - i128::from(p[1][0] - o[0]) * i128::from(p[0][1] - o[1])
        })
        .sum()
}

fn contains(ring: &[[i64; 2]], p: [f64; 2]) -> bool {
    ring.windows(2).fold(false, |inside, s| {
        let (a, b) = (
            [s[0][0] as f64, s[0][1] as f64],
            [s[1][0] as f64, s[1][1] as f64],
        );
        let crosses = (a[1] > p[1]) != (b[1] > p[1])
            && p[0] < (b[0] - a[0]) * (p[1] - a[1]) / (b[1] - a[1]) + a[0];
        inside != crosses
    })
}

fn assemble(rings: Vec<Vec<[i64; 2]>>) -> Vec<Polygon> {
    let (outers, holes): (Vec<_>, Vec<_>) = rings.into_iter().partition(|r| twice_area(r) > 0);
    let mut polygons: Vec<Polygon> = outers.into_iter().map(|o| vec![o]).collect();
    for hole in holes {
        // A point on the hole's first side, off its vertices: it is inside the right outer ring.
        let p = [
            (hole[0][0] + hole[1][0]) as f64 / 2.0,
            (hole[0][1] + hole[1][1]) as f64 / 2.0,
        ];
        let one = polygons.len() == 1;
        if let Some(polygon) = polygons.iter_mut().find(|q| one || contains(&q[0], p)) {
            polygon.push(hole);
        }
    }
    polygons
}

/// The union of polygons that share every vertex of their common borders: sides met in both
/// directions vanish, the rest is joined again.
pub fn dissolve<'a>(polygons: impl Iterator<Item = &'a Polygon>) -> Vec<Polygon> {
    let mut sides: BTreeSet<([i64; 2], [i64; 2])> = BTreeSet::new();
    for ring in polygons.flatten() {
        for pair in ring.windows(2) {
            if !sides.remove(&(pair[1], pair[0])) {
                sides.insert((pair[0], pair[1]));
            }
        }
    }
    let mut rings = Vec::new();
    while let Some(&(start, _)) = sides.first() {
        let mut path = vec![start];
        let mut place = HashMap::from([(start, 0usize)]);
        let mut at = start;
        while let Some(&side) = sides
            .range((at, [i64::MIN; 2])..=(at, [i64::MAX; 2]))
            .next()
        {
            sides.remove(&side);
            at = side.1;
            if let Some(&k) = place.get(&at) {
                let mut ring = path.split_off(k);
                for p in &ring {
                    place.remove(p);
                }
                ring.push(at);
                rings.push(ring);
            }
            place.insert(at, path.len());
            path.push(at);
        }
    }
    assemble(rings)
}

/// Numbers the 4-connected groups of cells of equal label among those `inside`; returns the number
/// of each cell (0 outside) and one cell of each group.
pub fn connected(
    width: usize,
    height: usize,
    inside: impl Fn(usize) -> bool,
    same: impl Fn(usize, usize) -> bool,
) -> (Vec<u32>, Vec<usize>) {
    let mut group = vec![NONE; width * height];
    let mut first = vec![0];
    let mut open = Vec::new();
    for start in 0..width * height {
        if group[start] != NONE {
            continue;
        }
        if !inside(start) {
            group[start] = 0;
            continue;
        }
        let id = first.len() as u32;
        first.push(start);
        group[start] = id;
        open.push(start);
        while let Some(i) = open.pop() {
            let (x, y) = (i % width, i / width);
            let mut visit = |j: usize| {
                if group[j] == NONE && inside(j) && same(i, j) {
                    group[j] = id;
                    open.push(j);
                }
            };
            if x + 1 < width {
                visit(i + 1);
            }
            if x > 0 {
                visit(i - 1);
            }
            if y + 1 < height {
                visit(i + width);
            }
            if y > 0 {
                visit(i - width);
            }
        }
    }
    (group, first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::county::noise::unit;

    fn window(width: usize, height: usize, label: impl Fn(usize, usize) -> u64) -> (Window, usize) {
        let key: Vec<u64> = (0..width * height)
            .map(|i| label(i % width, i / width))
            .collect();
        let inside = |i: usize| {
            let (x, y) = (i % width, i / width);
            x > 0 && y > 0 && x + 1 < width && y + 1 < height
        };
        let key: Vec<u64> = (0..key.len())
            .map(|i| if inside(i) { key[i] } else { u64::MAX })
            .collect();
        let (own, first) = connected(width, height, inside, |a, b| key[a] == key[b]);
        (
            Window {
                width,
                height,
                x0: 0,
                y0: 0,
                cell_m: 5.0,
                key,
                own,
            },
            first.len() - 1,
        )
    }

    #[test]
    fn polygons_cover_their_window_without_gap_or_overlap() {
        for seed in 0..40 {
            let (w, parts) = window(24, 20, |x, y| {
                super::super::noise::hash(seed, x as i64 / 2, y as i64 / 2) % 3
            });
            let arcs = w.trace();
            let face: Vec<u32> = (0..=parts as u32).collect();
            let total: i128 = arcs
                .polygons(&face, parts)
                .iter()
                .flatten()
                .flatten()
                .map(|ring| twice_area(ring))
                .sum();
            let whole: Vec<u32> = (0..=parts as u32).map(|p| u32::from(p > 0)).collect();
            let one = arcs.polygons(&whole, 1);
            assert_eq!(one[1].len(), 1);
            assert_eq!(total, one[1][0].iter().map(|r| twice_area(r)).sum::<i128>());
        }
    }

    #[test]
    fn a_ring_that_meets_itself_becomes_an_outer_ring_and_a_hole() {
        // A diagonal pair inside: the surrounding part touches itself at one corner.
        let (w, parts) = window(8, 8, |x, y| u64::from((x, y) == (3, 3) || (x, y) == (4, 4)));
        assert_eq!(parts, 3);
        let face: Vec<u32> = (0..=3).collect();
        let polygons = w.trace().polygons(&face, 3);
        for list in &polygons[1..] {
            assert_eq!(list.len(), 1);
            for ring in &list[0] {
                let mut seen = ring[1..].to_vec();
                seen.sort_unstable();
                seen.dedup();
                assert_eq!(seen.len(), ring.len() - 1);
            }
        }
        assert!(unit(1, 2, 3) < 1.0);
    }
}
