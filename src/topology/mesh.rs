//! Rings in, shared arcs out.
//!
//! 1. every vertex looks at its two neighbours in each ring that uses it: where these pairs
//!    differ, borders part, and the vertex is a junction  2. rings are cut at junctions
//! 3. cuts that are the same border, seen from both sides, become one arc.
//!
//! Borders that only nearly meet stay apart here (see `node`).

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::{Arcs, NONE, Point, Rings};

/// Finds the shared borders of `rings`. The arcs come in the order in which the rings first use them.
pub fn build(rings: &Rings) -> Arcs {
    let junctions = junctions(rings);
    let mut uses = cut(rings, &junctions);
    uses.par_sort_unstable_by_key(|u| (u.first, u.second, u.backward, u.start));
    let mut pairs: Vec<(Use, [u32; 2])> = Vec::with_capacity(uses.len() / 2 + 1);
    for group in uses.chunk_by(|a, b| (a.first, a.second) == (b.first, b.second)) {
        let forward = group.iter().filter(|u| !u.backward);
        let backward = group.iter().filter(|u| u.backward);
        let (mut forward, mut backward) = (forward.peekable(), backward.peekable());
        // More than one on a side means that faces lie upon each other: each keeps an arc.
        while forward.peek().is_some() || backward.peek().is_some() {
            let (left, right) = (forward.next(), backward.next());
            let shape = left.or(right).expect("one of them was there");
            let sides = [left, right].map(|side| side.map_or(NONE, |u| u.face));
            // Parts of one feature that touch along a line are one face.
            if sides[0] != sides[1] {
                pairs.push((*shape, sides));
            }
        }
    }
    pairs.par_sort_unstable_by_key(|(u, sides)| (u.start, *sides));
    let mut arcs = Arcs::default();
    arcs.points
        .reserve(rings.points.len() / 2 + 2 * pairs.len());
    for (u, sides) in pairs {
        let ring = &rings.points[rings.range(u.ring as usize)];
        let offset = u.start as usize - rings.range(u.ring as usize).start;
        let walk = (0..=u.edges as usize).map(|i| ring[(offset + i) % ring.len()]);
        if u.backward {
            arcs.push(walk.rev(), sides);
        } else {
            arcs.push(walk, sides);
        }
    }
    arcs
}

/// A stretch of a ring between two junctions (or a whole ring), named by its first directed edge
/// in the direction that both sides agree on.
#[derive(Clone, Copy)]
struct Use {
    first: u64,
    second: u64,
    /// Index of its first vertex in ring direction.
    start: u32,
    edges: u32,
    ring: u32,
    face: u32,
    /// The agreed direction is against the ring.
    backward: bool,
}

fn junctions(rings: &Rings) -> Vec<AtomicBool> {
    let count = rings.points.len();
    let ring_of_vertex = {
        let mut of = vec![0u32; count];
        for ring in 0..rings.len() {
            of[rings.range(ring)].fill(ring as u32);
        }
        of
    };
    let neighbours = |vertex: u32| -> (Point, Point) {
        let range = rings.range(ring_of_vertex[vertex as usize] as usize);
        let i = vertex as usize;
        let previous = if i == range.start {
            range.end - 1
        } else {
            i - 1
        };
        let next = if i + 1 == range.end {
            range.start
        } else {
            i + 1
        };
        let (a, b) = (rings.points[previous], rings.points[next]);
        if a < b { (a, b) } else { (b, a) }
    };
    let mut order: Vec<(u64, u32)> = rings
        .points
        .par_iter()
        .enumerate()
        .map(|(i, point)| (point.key(), i as u32))
        .collect();
    order.par_sort_unstable();
    let flags: Vec<AtomicBool> = (0..count).map(|_| AtomicBool::new(false)).collect();
    order.par_chunk_by(|a, b| a.0 == b.0).for_each(|group| {
        let first = neighbours(group[0].1);
        if group[1..]
            .iter()
            .any(|&(_, vertex)| neighbours(vertex) != first)
        {
            for &(_, vertex) in group {
                flags[vertex as usize].store(true, Ordering::Relaxed);
            }
        }
    });
    flags
}

fn cut(rings: &Rings, junctions: &[AtomicBool]) -> Vec<Use> {
    (0..rings.len())
        .into_par_iter()
        .flat_map_iter(|ring| {
            let range = rings.range(ring);
            let points = &rings.points[range.clone()];
            let n = points.len();
            let mut cuts: Vec<usize> = (0..n)
                .filter(|&i| junctions[range.start + i].load(Ordering::Relaxed))
                .collect();
            if cuts.is_empty() {
                // A ring that parts from nothing: its smallest vertex is an end both sides find.
                cuts.push(
                    (0..n)
                        .min_by_key(|&i| points[i])
                        .expect("a ring has vertices"),
                );
            }
            (0..cuts.len())
                .map(|k| {
                    let start = cuts[k];
                    let stop = if k + 1 < cuts.len() {
                        cuts[k + 1]
                    } else {
                        cuts[0] + n
                    };
                    let at = |i: usize| points[i % n].key();
                    let ahead = (at(start), at(start + 1));
                    let behind = (at(stop), at(stop - 1));
                    let backward = behind < ahead;
                    let (first, second) = if backward { behind } else { ahead };
                    Use {
                        first,
                        second,
                        start: (range.start + start) as u32,
                        edges: (stop - start) as u32,
                        ring: ring as u32,
                        face: rings.faces[ring],
                        backward,
                    }
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(points: &[(i32, i32)]) -> Vec<Point> {
        points.iter().map(|&(x, y)| Point::new(x, y)).collect()
    }

    #[test]
    fn two_squares_share_one_border() {
        let mut rings = Rings::default();
        rings.push(0, ring(&[(0, 0), (10, 0), (10, 10), (0, 10)]));
        rings.push(1, ring(&[(10, 0), (20, 0), (20, 10), (10, 10)]));
        let arcs = build(&rings);
        assert_eq!(arcs.len(), 3);
        let shared: Vec<_> = arcs.sides.iter().filter(|s| !s.contains(&NONE)).collect();
        assert_eq!(shared.len(), 1);
        assert_eq!(arcs.points.len(), 4 + 2 + 4);
    }

    #[test]
    fn an_island_and_the_hole_around_it_are_one_closed_arc() {
        let mut rings = Rings::default();
        rings.push(0, ring(&[(0, 0), (30, 0), (30, 30), (0, 30)]));
        rings.push(0, ring(&[(10, 10), (10, 20), (20, 20), (20, 10)]));
        rings.push(1, ring(&[(20, 10), (20, 20), (10, 20), (10, 10)]));
        let arcs = build(&rings);
        assert_eq!(arcs.len(), 2);
        let mut inner = arcs.sides[1];
        inner.sort_unstable();
        assert_eq!(inner, [0, 1]);
        assert_eq!(arcs.points_of(1).first(), arcs.points_of(1).last());
    }

    #[test]
    fn a_face_has_no_border_with_itself() {
        let mut rings = Rings::default();
        rings.push(0, ring(&[(0, 0), (10, 0), (10, 10), (0, 10)]));
        rings.push(0, ring(&[(10, 0), (20, 0), (20, 10), (10, 10)]));
        let arcs = build(&rings);
        assert!(
            arcs.sides
                .iter()
                .all(|s| s.contains(&0) && s.contains(&NONE))
        );
        assert_eq!(arcs.len(), 2);
    }

    #[test]
    fn faces_upon_each_other_keep_their_own_arcs() {
        let mut rings = Rings::default();
        rings.push(0, ring(&[(0, 0), (10, 0), (10, 10), (0, 10)]));
        rings.push(1, ring(&[(0, 0), (10, 0), (10, 10), (0, 10)]));
        let arcs = build(&rings);
        assert_eq!(arcs.sides.len(), 2);
        assert!(arcs.sides.iter().all(|s| s[1] == NONE || s[0] == NONE));
    }
}
