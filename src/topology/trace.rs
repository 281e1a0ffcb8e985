//! Walks the rings of every face out of its arcs.
//!
//! At a node where a face's border passes more than once the walk stays in the same corner of
//! the face; where a walk then touches itself it is split. So every ring is simple, rings touch
//! at single points at most, and each polygon's interior is connected: valid by OGC's rules.

use std::collections::HashMap;

use rayon::prelude::*;

use super::{Arcs, NONE, Point};

/// Faces → polygons → rings → arc references, as ends into the next level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaceRings {
    /// Ascending.
    pub faces: Vec<u32>,
    /// Per face: one past its last polygon.
    pub face_ends: Vec<u32>,
    /// Per polygon: one past its last ring; the first ring is the shell.
    pub polygon_ends: Vec<u32>,
    /// Per ring: one past its last reference.
    pub ring_ends: Vec<u32>,
    /// `arc · 2`, plus 1 when the ring runs against the arc.
    pub refs: Vec<u32>,
    /// Borders that could not be walked to a ring; 0 for a coverage.
    pub unclosed: u64,
}

/// Walks the rings of all faces.
pub fn trace(arcs: &Arcs) -> FaceRings {
    let mut halves: Vec<(u32, u32)> = Vec::with_capacity(arcs.len() * 2);
    for (arc, &[left, right]) in arcs.sides.iter().enumerate() {
        if left != NONE {
            halves.push((left, (arc as u32) << 1));
        }
        if right != NONE {
            halves.push((right, (arc as u32) << 1 | 1));
        }
    }
    halves.par_sort_unstable();
    let areas: Vec<i64> = (0..arcs.len())
        .into_par_iter()
        .with_min_len(256)
        .map(|arc| area_share(arcs.points_of(arc)))
        .collect();
    let groups: Vec<&[(u32, u32)]> = halves.chunk_by(|a, b| a.0 == b.0).collect();
    let parts: Vec<FaceRings> = groups
        .par_chunks(256)
        .map(|groups| {
            let mut out = FaceRings::default();
            for group in groups {
                trace_face(arcs, &areas, group, &mut out);
            }
            out
        })
        .collect();
    let mut out = FaceRings::default();
    for part in parts {
        let shift = |ends: &[u32], by: usize| {
            ends.iter()
                .map(move |end| end + by as u32)
                .collect::<Vec<_>>()
        };
        out.face_ends
            .extend(shift(&part.face_ends, out.polygon_ends.len()));
        out.polygon_ends
            .extend(shift(&part.polygon_ends, out.ring_ends.len()));
        out.ring_ends.extend(shift(&part.ring_ends, out.refs.len()));
        out.faces.extend(part.faces);
        out.refs.extend(part.refs);
        out.unclosed += part.unclosed;
    }
    out
}

/// The arc's part of the shoelace sum about the origin. It wraps; the sum over a ring does not.
fn area_share(points: &[Point]) -> i64 {
    points.windows(2).fold(0i64, |sum, p| {
        let (x0, y0, x1, y1) = (
            i64::from(p[0].x),
            i64::from(p[0].y),
            i64::from(p[1].x),
            i64::from(p[1].y),
        );
        sum.wrapping_add((x0.wrapping_mul(y1)).wrapping_sub(x1.wrapping_mul(y0)))
    })
}

fn ends_of(arcs: &Arcs, half: u32) -> (Point, Point) {
    let points = arcs.points_of((half >> 1) as usize);
    let (first, last) = (points[0], points[points.len() - 1]);
    if half & 1 == 0 {
        (first, last)
    } else {
        (last, first)
    }
}

/// The vertex after the first, and the one before the last.
fn inner_ends_of(arcs: &Arcs, half: u32) -> (Point, Point) {
    let points = arcs.points_of((half >> 1) as usize);
    let (second, before) = (points[1], points[points.len() - 2]);
    if half & 1 == 0 {
        (second, before)
    } else {
        (before, second)
    }
}

/// A ring and twice its area.
struct Ring {
    refs: Vec<u32>,
    area: i64,
}

fn trace_face(arcs: &Arcs, areas: &[i64], group: &[(u32, u32)], out: &mut FaceRings) {
    let mut halves: Vec<(Point, u32)> = group
        .iter()
        .map(|&(_, half)| (ends_of(arcs, half).0, half))
        .collect();
    halves.sort_unstable();
    let mut used = vec![false; halves.len()];
    let mut rings: Vec<Ring> = Vec::new();
    for first in 0..halves.len() {
        if used[first] {
            continue;
        }
        used[first] = true;
        let mut walk = vec![halves[first].1];
        let mut closed = false;
        loop {
            let half = *walk.last().expect("not empty");
            let (_, at) = ends_of(arcs, half);
            let from = halves.partition_point(|h| h.0 < at);
            let leaving = (from..halves.len()).take_while(|&i| halves[i].0 == at);
            let mut open = leaving.filter(|&i| !used[i] || i == first);
            let Some(mut next) = open.next() else { break };
            let (_, back) = inner_ends_of(arcs, half);
            for other in open {
                let ray = |i: usize| inner_ends_of(arcs, halves[i].1).0;
                if clockwise_before(at, back, ray(other), ray(next)) {
                    next = other;
                }
            }
            if next == first {
                closed = true;
                break;
            }
            used[next] = true;
            walk.push(halves[next].1);
        }
        if closed {
            split_at_touches(arcs, areas, &walk, &mut rings);
        } else {
            out.unclosed += 1;
        }
    }
    rings.retain(|ring| ring.area != 0);
    let (mut shells, holes): (Vec<Ring>, Vec<Ring>) =
        rings.into_iter().partition(|ring| ring.area > 0);
    if shells.is_empty() {
        out.unclosed += holes.len() as u64;
        return;
    }
    let mut holes_of: Vec<Vec<Ring>> = shells.iter().map(|_| Vec::new()).collect();
    if shells.len() == 1 {
        holes_of[0] = holes;
    } else if !holes.is_empty() {
        // The smallest shell around a hole is its own.
        shells.sort_by_key(|ring| (ring.area, ring.refs[0]));
        let outlines: Vec<Vec<Point>> = shells
            .iter()
            .map(|ring| points_of_ring(arcs, &ring.refs))
            .collect();
        for hole in holes {
            let points = points_of_ring(arcs, &hole.refs);
            match outlines
                .iter()
                .position(|outline| encloses(outline, &points))
            {
                Some(shell) => holes_of[shell].push(hole),
                None => out.unclosed += 1,
            }
        }
    }
    for (shell, holes) in shells.iter().zip(&holes_of) {
        for ring in std::iter::once(shell).chain(holes) {
            out.refs.extend_from_slice(&ring.refs);
            out.ring_ends.push(out.refs.len() as u32);
        }
        out.polygon_ends.push(out.ring_ends.len() as u32);
    }
    out.faces.push(group[0].0);
    out.face_ends.push(out.polygon_ends.len() as u32);
}

/// True when, turning clockwise about `at` from `at → reference`, the ray to `a` comes before
/// the ray to `b`; the reference itself comes last.
fn clockwise_before(at: Point, reference: Point, a: Point, b: Point) -> bool {
    let quarter = |p: Point| {
        let turn = super::cross(at, reference, p);
        match turn.signum() {
            -1 => 0,
            1 => 2,
            _ => {
                let along = (i64::from(reference.x) - i64::from(at.x))
                    * (i64::from(p.x) - i64::from(at.x))
                    + (i64::from(reference.y) - i64::from(at.y))
                        * (i64::from(p.y) - i64::from(at.y));
                if along < 0 { 1 } else { 3 }
            }
        }
    };
    let (qa, qb) = (quarter(a), quarter(b));
    if qa != qb {
        qa < qb
    } else {
        super::cross(at, a, b) < 0
    }
}

/// Cuts a closed walk into rings that pass every node once.
fn split_at_touches(arcs: &Arcs, areas: &[i64], walk: &[u32], rings: &mut Vec<Ring>) {
    let mut stack: Vec<u32> = Vec::with_capacity(walk.len());
    let mut place: HashMap<Point, usize> = HashMap::new();
    let small = walk.len() <= 12;
    for &half in walk {
        let (start, end) = ends_of(arcs, half);
        if !small {
            place.insert(start, stack.len());
        }
        stack.push(half);
        let from = if small {
            stack.iter().position(|&h| ends_of(arcs, h).0 == end)
        } else {
            place
                .get(&end)
                .copied()
                .filter(|&i| i < stack.len() && ends_of(arcs, stack[i]).0 == end)
        };
        if let Some(from) = from {
            let refs: Vec<u32> = stack.drain(from..).collect();
            let area = refs.iter().fold(0i64, |sum, &half| {
                let share = areas[(half >> 1) as usize];
                if half & 1 == 0 {
                    sum.wrapping_add(share)
                } else {
                    sum.wrapping_sub(share)
                }
            });
            rings.push(Ring { refs, area });
        }
    }
}

fn points_of_ring(arcs: &Arcs, refs: &[u32]) -> Vec<Point> {
    let mut points = Vec::new();
    for &half in refs {
        let arc = arcs.points_of((half >> 1) as usize);
        let open = arc.len() - 1;
        if half & 1 == 0 {
            points.extend_from_slice(&arc[..open]);
        } else {
            points.extend(arc[1..].iter().rev());
        }
    }
    points
}

/// True when `inner`, which does not cross `outline`, lies in it.
fn encloses(outline: &[Point], inner: &[Point]) -> bool {
    inner
        .iter()
        .find_map(|&p| match winding(outline, p) {
            Place::Border => None,
            Place::Inside => Some(true),
            Place::Outside => Some(false),
        })
        .unwrap_or(false)
}

#[derive(PartialEq, Eq)]
enum Place {
    Inside,
    Outside,
    Border,
}

fn winding(outline: &[Point], p: Point) -> Place {
    let mut inside = false;
    for i in 0..outline.len() {
        let (a, b) = (outline[i], outline[(i + 1) % outline.len()]);
        if (a.y > p.y) == (b.y > p.y) {
            let level = a.y == p.y && b.y == p.y && (a.x.min(b.x)..=a.x.max(b.x)).contains(&p.x);
            if level || a == p || b == p {
                return Place::Border;
            }
            continue;
        }
        match super::cross(a, b, p).signum() {
            0 => return Place::Border,
            side => {
                if (side > 0) == (b.y > a.y) {
                    inside = !inside;
                }
            }
        }
    }
    if inside {
        Place::Inside
    } else {
        Place::Outside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arc(points: &[(i32, i32)]) -> Vec<Point> {
        points.iter().map(|&(x, y)| Point::new(x, y)).collect()
    }

    #[test]
    fn a_bow_tie_becomes_two_polygons() {
        let mut arcs = Arcs::default();
        arcs.push(arc(&[(5, 5), (0, 10), (0, 0), (5, 5)]), [3, NONE]);
        arcs.push(arc(&[(5, 5), (10, 0), (10, 10), (5, 5)]), [3, NONE]);
        let rings = trace(&arcs);
        assert_eq!(rings.polygon_ends, vec![1, 2]);
        assert_eq!(rings.unclosed, 0);
    }

    #[test]
    fn a_hole_that_touches_its_shell_is_a_ring_of_its_own() {
        let mut arcs = Arcs::default();
        arcs.push(
            arc(&[(0, 5), (0, 0), (10, 0), (10, 10), (0, 10), (0, 5)]),
            [3, NONE],
        );
        arcs.push(arc(&[(0, 5), (4, 3), (4, 7), (0, 5)]), [4, 3]);
        let rings = trace(&arcs);
        assert_eq!(rings.faces, vec![3, 4]);
        assert_eq!(rings.polygon_ends, vec![2, 3]);
    }

    #[test]
    fn a_hole_goes_to_the_part_around_it() {
        let square = |x: i32, w: i32, flip: bool| {
            let mut p = arc(&[(x, x), (x + w, x), (x + w, x + w), (x, x + w), (x, x)]);
            if flip {
                p.reverse();
            }
            p
        };
        let mut arcs = Arcs::default();
        arcs.push(square(0, 100, false), [1, NONE]);
        arcs.push(square(200, 100, false), [1, NONE]);
        arcs.push(square(240, 10, true), [1, 2]);
        let rings = trace(&arcs);
        assert_eq!(rings.faces, vec![1, 2]);
        assert_eq!(rings.polygon_ends, vec![1, 3, 4]);
    }
}
