//! Makes a valid polygon set out of rings that cross, touch or overlap on the grid.
//!
//! 1. node: cut edges where they meet, rounding to the grid, until nothing crosses
//! 2. wind: how often is each side of each edge enclosed
//! 3. keep the edges between enclosed (winding above zero) and not, inside on the left
//! 4. walk them into simple rings, and put holes into shells
//!
//! Needed for the few polygons of a tile that rounding or clipping has spoilt, so it is written
//! for certainty. Shells must run counter-clockwise and holes clockwise (y up).

use std::collections::{BTreeMap, BTreeSet};

use super::{GridPoint, doubled_area, orientation};

/// Rounding may make new crossings; this many rounds settle everything seen in practice.
const MAX_ROUNDS: usize = 24;

/// The rings could not be noded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("edges still cross after {MAX_ROUNDS} rounds of snapping")]
pub struct CleanError;

/// Returns polygons (shell first, open rings, shells counter-clockwise) that are valid and cover
/// what the input winds around, up to half a grid unit.
pub fn clean<R: AsRef<[GridPoint]>>(rings: &[R]) -> Result<Vec<Vec<Vec<GridPoint>>>, CleanError> {
    let edges = node(rings)?;
    let border = border_edges(&edges);
    let rings = walk(border);
    Ok(nest(rings))
}

type Edge = (GridPoint, GridPoint);

/// Undirected edges (smaller end first) with how often they run forward minus backward.
fn tally(segments: impl Iterator<Item = Edge>) -> BTreeMap<Edge, i32> {
    let mut edges = BTreeMap::new();
    for (a, b) in segments {
        if a < b {
            *edges.entry((a, b)).or_insert(0) += 1;
        } else if b < a {
            *edges.entry((b, a)).or_insert(0) -= 1;
        }
    }
    edges
}

/// Splits edges until they meet at ends only. Edges that cancel stay during noding, because
/// others may be split at their ends.
fn node<R: AsRef<[GridPoint]>>(rings: &[R]) -> Result<BTreeMap<Edge, i32>, CleanError> {
    let segments = rings
        .iter()
        .map(AsRef::as_ref)
        .flat_map(|ring: &[GridPoint]| {
            (0..ring.len()).map(move |i| (ring[i], ring[(i + 1) % ring.len()]))
        });
    let mut edges = tally(segments);
    for _ in 0..MAX_ROUNDS {
        let list: Vec<Edge> = edges.keys().copied().collect();
        let cuts = cuts(&list);
        if cuts.iter().all(BTreeSet::is_empty) {
            edges.retain(|_, count| *count != 0);
            return Ok(edges);
        }
        let mut split: BTreeMap<Edge, i32> = BTreeMap::new();
        for (edge, cuts) in list.iter().zip(cuts) {
            let count = edges[edge];
            let mut points: Vec<GridPoint> = cuts.into_iter().collect();
            points.push(edge.0);
            points.push(edge.1);
            points.sort_by_key(|p| along(*edge, *p));
            points.dedup();
            for pair in points.windows(2) {
                if pair[0] < pair[1] {
                    *split.entry((pair[0], pair[1])).or_insert(0) += count;
                } else if pair[1] < pair[0] {
                    *split.entry((pair[1], pair[0])).or_insert(0) -= count;
                }
            }
        }
        edges = split;
    }
    Err(CleanError)
}

/// Position of a point along an edge, for sorting.
fn along((a, b): Edge, p: GridPoint) -> i64 {
    let dot = |axis: usize| {
        (i64::from(p[axis]) - i64::from(a[axis])) * (i64::from(b[axis]) - i64::from(a[axis]))
    };
    dot(0) + dot(1)
}

/// For every edge the points at which it must be cut.
fn cuts(edges: &[Edge]) -> Vec<BTreeSet<GridPoint>> {
    let mut cuts = vec![BTreeSet::new(); edges.len()];
    // Sweep over x: an edge is compared with those that start before it ends. Edges are sorted
    // by their smaller end, whose x is the smaller one.
    let mut active: Vec<usize> = Vec::new();
    for j in 0..edges.len() {
        let (c, d) = edges[j];
        active.retain(|&i| edges[i].1[0] >= c[0]);
        let (low, high) = (c[1].min(d[1]), c[1].max(d[1]));
        for &i in &active {
            let (a, b) = edges[i];
            if a[1].max(b[1]) >= low && a[1].min(b[1]) <= high {
                meet(edges[i], edges[j], i, j, &mut cuts);
            }
        }
        active.push(j);
    }
    cuts
}

fn meet(first: Edge, second: Edge, i: usize, j: usize, cuts: &mut [BTreeSet<GridPoint>]) {
    let ((a, b), (c, d)) = (first, second);
    let (o1, o2) = (orientation(a, b, c), orientation(a, b, d));
    let (o3, o4) = (orientation(c, d, a), orientation(c, d, b));
    let mut touch = |edge: Edge, at: usize, point: GridPoint, side: i64| {
        if side == 0 && point != edge.0 && point != edge.1 && in_box(edge, point) {
            cuts[at].insert(point);
        }
    };
    touch(first, i, c, o1);
    touch(first, i, d, o2);
    touch(second, j, a, o3);
    touch(second, j, b, o4);
    if o1 * o2 < 0 && o3 * o4 < 0 {
        let point = intersection(first, second);
        for (edge, at) in [(first, i), (second, j)] {
            if point != edge.0 && point != edge.1 {
                cuts[at].insert(point);
            }
        }
    }
}

fn in_box((a, b): Edge, p: GridPoint) -> bool {
    (0..2).all(|axis| a[axis].min(b[axis]) <= p[axis] && p[axis] <= a[axis].max(b[axis]))
}

/// The crossing of two edges that cross properly, rounded to the grid.
fn intersection((a, b): Edge, (c, d): Edge) -> GridPoint {
    let wide = |p: GridPoint| [i128::from(p[0]), i128::from(p[1])];
    let (a, b, c, d) = (wide(a), wide(b), wide(c), wide(d));
    let (rx, ry) = (b[0] - a[0], b[1] - a[1]);
    let (sx, sy) = (d[0] - c[0], d[1] - c[1]);
    let denominator = rx * sy - ry * sx;
    let numerator = (c[0] - a[0]) * sy - (c[1] - a[1]) * sx;
    let round = |start: i128, run: i128| {
        let (mut n, mut m) = (run * numerator, denominator);
        if m < 0 {
            (n, m) = (-n, -m);
        }
        (start + (2 * n + m).div_euclid(2 * m)) as i32
    };
    [round(a[0], rx), round(a[1], ry)]
}

/// Directed edges with the enclosed side on their left.
fn border_edges(edges: &BTreeMap<Edge, i32>) -> Vec<Edge> {
    let list: Vec<(Edge, i32)> = edges.iter().map(|(edge, count)| (*edge, *count)).collect();
    let rows = Rows::new(&list);
    let mut border = Vec::new();
    for &((a, b), count) in &list {
        let right = rows.winding_right_of(&list, (a, b));
        // Crossing the edge from right to left, its direction adds to the winding.
        let left = right + count;
        match (left > 0, right > 0) {
            (true, false) => border.push((a, b)),
            (false, true) => border.push((b, a)),
            (true, true) | (false, false) => {}
        }
    }
    border
}

/// Edges by the rows of the grid they span, for casting rays.
struct Rows {
    min_y: i32,
    height: i64,
    rows: Vec<Vec<u32>>,
}

impl Rows {
    fn new(edges: &[(Edge, i32)]) -> Rows {
        let ys = || edges.iter().flat_map(|&((a, b), _)| [a[1], b[1]]);
        let min_y = ys().min().unwrap_or(0);
        let span = i64::from(ys().max().unwrap_or(0)) - i64::from(min_y) + 1;
        let count = (edges.len() as i64).clamp(1, 4096).min(span);
        let height = (span + count - 1) / count;
        let mut rows = vec![Vec::new(); count as usize];
        for (i, &((a, b), _)) in edges.iter().enumerate() {
            let row = |y: i32| ((i64::from(y) - i64::from(min_y)) / height) as usize;
            for edges_of_row in &mut rows[row(a[1].min(b[1]))..=row(a[1].max(b[1]))] {
                edges_of_row.push(i as u32);
            }
        }
        Rows {
            min_y,
            height,
            rows,
        }
    }

    /// How often the place just right of the middle of an edge is enclosed.
    ///
    /// A ray from the middle to x = +∞. Everything is doubled, so that the middle is a grid
    /// point; edges count when they cross the ray's height half-open, which places the ray an
    /// infinitesimal above it.
    fn winding_right_of(&self, edges: &[(Edge, i32)], own: Edge) -> i32 {
        let (a, b) = own;
        let middle = [
            i64::from(a[0]) + i64::from(b[0]),
            i64::from(a[1]) + i64::from(b[1]),
        ];
        let rising = b[1] > a[1];
        let row = ((middle[1].div_euclid(2) - i64::from(self.min_y)) / self.height) as usize;
        let mut winding = 0;
        let row = row.min(self.rows.len() - 1);
        for &i in &self.rows[row] {
            let ((c, d), count) = edges[i as usize];
            let (cy, dy) = (i64::from(c[1]) * 2, i64::from(d[1]) * 2);
            if (cy > middle[1]) == (dy > middle[1]) {
                continue;
            }
            if (c, d) == own {
                continue;
            }
            // Side of the middle with regard to the edge c → d.
            let (dx, dyy) = (
                i64::from(d[0]) - i64::from(c[0]),
                i64::from(d[1]) - i64::from(c[1]),
            );
            let cross = i128::from(dx) * i128::from(middle[1] - cy)
                - i128::from(dyy) * i128::from(middle[0] - i64::from(c[0]) * 2);
            let upward = dy > cy;
            // The ray meets the edge when the middle lies on its left side.
            if (upward && cross > 0) || (!upward && cross < 0) {
                winding += if upward { count } else { -count };
            }
        }
        // Without `own`, the ray starts on the right side of a rising edge, but on the left side
        // of a falling one (which lies towards +x) and of a level one (which lies above it).
        if rising {
            winding
        } else {
            winding - count_of(edges, own)
        }
    }
}

fn count_of(edges: &[(Edge, i32)], own: Edge) -> i32 {
    edges
        .binary_search_by(|(edge, _)| edge.cmp(&own))
        .map_or(0, |at| edges[at].1)
}

/// Walks directed border edges into simple rings.
fn walk(border: Vec<Edge>) -> Vec<Vec<GridPoint>> {
    let mut outgoing: BTreeMap<GridPoint, Vec<GridPoint>> = BTreeMap::new();
    for &(a, b) in &border {
        outgoing.entry(a).or_default().push(b);
    }
    let mut rings = Vec::new();
    while let Some((&start, _)) = outgoing.first_key_value() {
        let mut path = vec![start];
        let mut at = start;
        let mut before: Option<GridPoint> = None;
        // Border edges form closed walks, so the way ends back at the start.
        while let Some(next) = take_next(&mut outgoing, before, at) {
            before = Some(at);
            at = next;
            // A vertex met again closes a simple ring, which is cut off.
            if let Some(position) = path.iter().rposition(|&p| p == at) {
                let ring: Vec<GridPoint> = path.drain(position..).collect();
                if ring.len() > 2 {
                    rings.push(ring);
                }
                if path.is_empty() {
                    break;
                }
            }
            path.push(at);
        }
    }
    rings
}

/// The first outgoing edge clockwise from where the walk came from: it bounds the same piece of
/// the enclosed side.
fn take_next(
    outgoing: &mut BTreeMap<GridPoint, Vec<GridPoint>>,
    before: Option<GridPoint>,
    at: GridPoint,
) -> Option<GridPoint> {
    let choices = outgoing.get_mut(&at)?;
    let chosen = match before {
        Some(before) if choices.len() > 1 => {
            let mut best = 0;
            for i in 1..choices.len() {
                if comes_first_clockwise(at, before, choices[i], choices[best]) {
                    best = i;
                }
            }
            best
        }
        _ => 0,
    };
    let next = choices.swap_remove(chosen);
    if choices.is_empty() {
        outgoing.remove(&at);
    }
    Some(next)
}

/// Rotating clockwise around `at` from the direction of `from`, is `a` met before `b`?
fn comes_first_clockwise(at: GridPoint, from: GridPoint, a: GridPoint, b: GridPoint) -> bool {
    let quadrant = |p: GridPoint| match orientation(at, from, p) {
        -1 => 0,
        1 => 2,
        _ if along((at, from), p) < 0 => 1,
        _ => 3,
    };
    let (qa, qb) = (quadrant(a), quadrant(b));
    qa < qb || (qa == qb && orientation(at, a, b) < 0)
}

/// Groups rings into polygons: counter-clockwise ones are shells, each hole goes into the
/// smallest shell around it.
fn nest(rings: Vec<Vec<GridPoint>>) -> Vec<Vec<Vec<GridPoint>>> {
    let (mut shells, mut holes) = (Vec::new(), Vec::new());
    for mut ring in rings {
        drop_collinear(&mut ring);
        match doubled_area(&ring) {
            area if area > 0 => shells.push((area, ring)),
            area if area < 0 => holes.push(ring),
            _ => {}
        }
    }
    shells.sort();
    let mut polygons: Vec<Vec<Vec<GridPoint>>> =
        shells.into_iter().map(|(_, shell)| vec![shell]).collect();
    for hole in holes {
        if let Some(polygon) = polygons
            .iter_mut()
            .find(|polygon| holds(&polygon[0], &hole))
        {
            polygon.push(hole);
        }
    }
    polygons.sort();
    polygons
}

/// Vertices in the middle of a straight run carry nothing.
fn drop_collinear(ring: &mut Vec<GridPoint>) {
    let mut i = 0;
    while ring.len() > 3 && i < ring.len() {
        let (before, after) = (
            ring[(i + ring.len() - 1) % ring.len()],
            ring[(i + 1) % ring.len()],
        );
        if orientation(before, ring[i], after) == 0 {
            ring.remove(i);
        } else {
            i += 1;
        }
    }
}

/// Is the hole inside the shell? They do not cross, so one vertex off the shell's border tells.
fn holds(shell: &[GridPoint], hole: &[GridPoint]) -> bool {
    hole.iter()
        .map(|&p| [i64::from(p[0]) * 2, i64::from(p[1]) * 2])
        .chain((0..hole.len()).map(|i| {
            let (a, b) = (hole[i], hole[(i + 1) % hole.len()]);
            [
                i64::from(a[0]) + i64::from(b[0]),
                i64::from(a[1]) + i64::from(b[1]),
            ]
        }))
        .find_map(|p| location(shell, p))
        .unwrap_or(false)
}

/// Inside (true), outside (false) or on the border (`None`); the point in half units.
fn location(ring: &[GridPoint], p: [i64; 2]) -> Option<bool> {
    let mut inside = false;
    for i in 0..ring.len() {
        let double = |q: GridPoint| [i64::from(q[0]) * 2, i64::from(q[1]) * 2];
        let (a, b) = (double(ring[i]), double(ring[(i + 1) % ring.len()]));
        let cross = i128::from(b[0] - a[0]) * i128::from(p[1] - a[1])
            - i128::from(b[1] - a[1]) * i128::from(p[0] - a[0]);
        let within = (0..2).all(|k| a[k].min(b[k]) <= p[k] && p[k] <= a[k].max(b[k]));
        if cross == 0 && within {
            return None;
        }
        if (a[1] > p[1]) != (b[1] > p[1]) && ((cross > 0) == (b[1] > a[1])) {
            inside = !inside;
        }
    }
    Some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::grid::is_valid;

    fn total_area(polygons: &[Vec<Vec<GridPoint>>]) -> i64 {
        polygons
            .iter()
            .flatten()
            .map(|ring| doubled_area(ring))
            .sum()
    }

    fn assert_valid(polygons: &[Vec<Vec<GridPoint>>]) {
        for polygon in polygons {
            for ring in polygon {
                assert!(is_valid(&[ring]), "{ring:?}");
            }
            assert!(doubled_area(&polygon[0]) > 0);
        }
    }

    #[test]
    fn a_valid_square_stays_itself() {
        let square: &[GridPoint] = &[[0, 0], [10, 0], [10, 10], [0, 10]];
        let out = clean(&[square]).unwrap();
        assert_eq!(total_area(&out), 200);
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn a_spike_and_a_bridge_vanish() {
        let spiked: &[GridPoint] = &[[0, 0], [10, 0], [20, 0], [10, 0], [10, 10], [0, 10]];
        let out = clean(&[spiked]).unwrap();
        assert_eq!((out.len(), total_area(&out)), (1, 200));
        // Two squares joined by a bridge along y = 0, as clipping leaves it.
        let bridged: &[GridPoint] = &[
            [0, 0],
            [10, 0],
            [20, 0],
            [30, 0],
            [30, 10],
            [20, 10],
            [20, 0],
            [10, 0],
            [10, 10],
            [0, 10],
        ];
        let out = clean(&[bridged]).unwrap();
        assert_eq!((out.len(), total_area(&out)), (2, 400));
        assert_valid(&out);
    }

    #[test]
    fn the_positive_half_of_a_bow_tie_is_kept() {
        let bow: &[GridPoint] = &[[0, 0], [10, 10], [10, 0], [0, 10]];
        let out = clean(&[bow]).unwrap();
        assert_valid(&out);
        assert_eq!(total_area(&out), 50);
    }

    #[test]
    fn a_hole_that_touches_its_shell_in_a_point_is_kept() {
        let shell: &[GridPoint] = &[[0, 0], [20, 0], [20, 20], [0, 20]];
        let hole: &[GridPoint] = &[[0, 10], [5, 15], [10, 10], [5, 5]];
        let out = clean(&[shell, hole]).unwrap();
        assert_valid(&out);
        assert_eq!(total_area(&out), 800 - 100);
    }

    #[test]
    fn random_rings_come_out_valid_and_keep_their_positive_area() {
        let mut seed = 3u64;
        let mut random = |n: u64| {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            ((seed >> 33) % n) as i32
        };
        for _ in 0..3000 {
            let count = 3 + random(9) as usize;
            let ring: Vec<GridPoint> = (0..count).map(|_| [random(8), random(8)]).collect();
            let Ok(out) = clean(&[&ring]) else {
                panic!("{ring:?} could not be noded");
            };
            assert_valid(&out);
            // What the noded edges wind around once or more is what comes out.
            let edges: Vec<(Edge, i32)> = node(&[&ring]).unwrap().into_iter().collect();
            for _ in 0..16 {
                let p = [random(15), random(15)];
                let (x, y) = (i64::from(p[0]), i64::from(p[1]));
                let on_edge = edges.iter().any(|&((a, b), _)| on_segment(a, b, [x, y]));
                let expected = winding(&edges, [x, y]) > 0;
                let found = out.iter().any(|polygon| {
                    polygon
                        .iter()
                        .filter(|r| location(r, [x, y]) != Some(false))
                        .count()
                        % 2
                        == 1
                });
                assert!(on_edge || found == expected, "{ring:?} {p:?}");
            }
        }
    }

    /// Points and windings by the definition, in half units.
    fn on_segment(a: GridPoint, b: GridPoint, p: [i64; 2]) -> bool {
        location(&[a, b, a], p).is_none()
    }

    fn winding(edges: &[(Edge, i32)], p: [i64; 2]) -> i32 {
        let mut winding = 0;
        for &((a, b), count) in edges {
            let double = |q: GridPoint| [i64::from(q[0]) * 2, i64::from(q[1]) * 2];
            let (a, b) = (double(a), double(b));
            let left = (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]);
            if a[1] <= p[1] && b[1] > p[1] && left > 0 {
                winding += count;
            } else if b[1] <= p[1] && a[1] > p[1] && left < 0 {
                winding -= count;
            }
        }
        winding
    }
}
