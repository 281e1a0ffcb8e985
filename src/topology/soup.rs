//! Loose edges with sides in, arcs out.
//!
//! Edges that came to lie on each other are added up: each says "+ left face, − right face", and
//! what is left after cancelling are the faces that really meet there. A border that folded back
//! on itself cancels to nothing; the two borders of a collapsed strip become one.

use rayon::prelude::*;

use super::{Arcs, NONE, Point};

/// An edge with `a < b`; the sides are those of the direction `a → b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub a: u64,
    pub b: u64,
    pub sides: [u32; 2],
}

impl Edge {
    pub(super) fn new(from: Point, to: Point, [left, right]: [u32; 2]) -> Edge {
        let (a, b) = (from.key(), to.key());
        if a < b {
            Edge {
                a,
                b,
                sides: [left, right],
            }
        } else {
            Edge {
                a: b,
                b: a,
                sides: [right, left],
            }
        }
    }
}

/// Adds coincident edges up.
pub(super) fn net(mut edges: Vec<Edge>) -> Vec<Edge> {
    edges.par_sort_unstable();
    let mut out = Vec::with_capacity(edges.len());
    let (mut lefts, mut rights): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
    for group in edges.chunk_by(|e, f| (e.a, e.b) == (f.a, f.b)) {
        if let [edge] = group {
            if edge.sides[0] != edge.sides[1] {
                out.push(*edge);
            }
            continue;
        }
        lefts.clear();
        rights.clear();
        lefts.extend(group.iter().map(|e| e.sides[0]).filter(|&f| f != NONE));
        rights.extend(group.iter().map(|e| e.sides[1]).filter(|&f| f != NONE));
        rights.sort_unstable();
        lefts.sort_unstable();
        cancel(&mut lefts, &mut rights);
        for i in 0..lefts.len().max(rights.len()) {
            let side = |faces: &[u32]| faces.get(i).copied().unwrap_or(NONE);
            out.push(Edge {
                sides: [side(&lefts), side(&rights)],
                ..group[0]
            });
        }
    }
    out
}

/// Takes what both sorted lists hold out of both.
fn cancel(lefts: &mut Vec<u32>, rights: &mut Vec<u32>) {
    let (mut i, mut j) = (0, 0);
    let (mut left_only, mut right_only) = (Vec::new(), Vec::new());
    while i < lefts.len() || j < rights.len() {
        match (lefts.get(i), rights.get(j)) {
            (Some(l), Some(r)) if l == r => {
                i += 1;
                j += 1;
            }
            (Some(&l), Some(&r)) if l < r => {
                left_only.push(l);
                i += 1;
            }
            (Some(_), Some(&r)) => {
                right_only.push(r);
                j += 1;
            }
            (Some(&l), None) => {
                left_only.push(l);
                i += 1;
            }
            (None, Some(&r)) => {
                right_only.push(r);
                j += 1;
            }
            (None, None) => break,
        }
    }
    *lefts = left_only;
    *rights = right_only;
}

/// Links net edges to arcs that run from node to node. A vertex is a node when not exactly two
/// edges with the same sides meet there, or when the sorted list `fixed` names it.
pub(super) fn chain(edges: &[Edge], fixed: &[u64]) -> Arcs {
    // (vertex, edge and which end), so that a vertex's edges are neighbours in the list.
    let mut ends: Vec<(u64, u32)> = Vec::with_capacity(edges.len() * 2);
    for (i, edge) in edges.iter().enumerate() {
        ends.push((edge.a, (i as u32) << 1));
        ends.push((edge.b, (i as u32) << 1 | 1));
    }
    ends.par_sort_unstable();
    const NODE: u32 = u32::MAX;
    // For each edge end: the edge end it continues with.
    let mut link = vec![NODE; edges.len() * 2];
    for group in ends.chunk_by(|e, f| e.0 == f.0) {
        if let [(vertex, one), (_, two)] = *group {
            // Leaving along `two` what was entered along `one`: the sides must agree.
            let leaving = sides_leaving(edges, two);
            let [left, right] = sides_leaving(edges, one);
            if leaving == [right, left] && fixed.binary_search(&vertex).is_err() {
                link[one as usize] = two;
                link[two as usize] = one;
            }
        }
    }
    let mut used = vec![false; edges.len()];
    let mut arcs = Arcs::default();
    // `from` is an edge end at which an arc starts.
    let mut walk = |from: u32, used: &mut Vec<bool>| {
        let sides = sides_leaving(edges, from);
        let mut points = vec![Point::from_key(vertex_of(edges, from))];
        let mut at = from;
        loop {
            used[(at >> 1) as usize] = true;
            let far = at ^ 1;
            points.push(Point::from_key(vertex_of(edges, far)));
            let next = link[far as usize];
            if next == NODE || used[(next >> 1) as usize] {
                break;
            }
            at = next;
        }
        arcs.push(points, sides);
    };
    for &(_, end) in &ends {
        if link[end as usize] == NODE && !used[(end >> 1) as usize] {
            walk(end, &mut used);
        }
    }
    for edge in 0..edges.len() {
        if !used[edge] {
            walk((edge as u32) << 1, &mut used);
        }
    }
    arcs
}

fn vertex_of(edges: &[Edge], end: u32) -> u64 {
    let edge = &edges[(end >> 1) as usize];
    if end & 1 == 0 { edge.a } else { edge.b }
}

/// The sides of an edge in the direction that leaves this end of it.
fn sides_leaving(edges: &[Edge], end: u32) -> [u32; 2] {
    let [left, right] = edges[(end >> 1) as usize].sides;
    if end & 1 == 0 {
        [left, right]
    } else {
        [right, left]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(a: (i32, i32), b: (i32, i32), sides: [u32; 2]) -> Edge {
        Edge::new(Point::new(a.0, a.1), Point::new(b.0, b.1), sides)
    }

    #[test]
    fn a_collapsed_strip_leaves_the_border_of_its_neighbours() {
        let out = net(vec![
            edge((0, 0), (5, 0), [1, 2]),
            edge((0, 0), (5, 0), [2, 3]),
        ]);
        assert_eq!(out, vec![edge((0, 0), (5, 0), [1, 3])]);
    }

    #[test]
    fn a_fold_cancels() {
        let out = net(vec![
            edge((0, 0), (5, 0), [1, 2]),
            edge((5, 0), (0, 0), [1, 2]),
        ]);
        assert_eq!(out, vec![]);
    }

    #[test]
    fn edges_with_the_same_sides_link_to_one_arc() {
        let edges = net(vec![
            edge((0, 0), (5, 0), [1, 2]),
            edge((9, 4), (5, 0), [2, 1]),
            edge((9, 4), (9, 9), [1, 2]),
        ]);
        let arcs = chain(&edges, &[]);
        assert_eq!(arcs.len(), 1);
        assert_eq!(arcs.points.len(), 4);
        assert_eq!(arcs.sides[0], [1, 2]);
        let fixed = [Point::new(5, 0).key()];
        assert_eq!(chain(&edges, &fixed).len(), 2);
    }

    #[test]
    fn a_ring_without_nodes_closes() {
        let corners = [(0, 0), (5, 0), (5, 5), (0, 5)];
        let edges = net((0..4)
            .map(|i| edge(corners[i], corners[(i + 1) % 4], [7, NONE]))
            .collect());
        let arcs = chain(&edges, &[]);
        assert_eq!(arcs.len(), 1);
        assert_eq!(arcs.points.first(), arcs.points.last());
        assert_eq!(
            super::super::doubled_area(&arcs.points).signum(),
            if arcs.sides[0][0] == 7 { 1 } else { -1 }
        );
    }
}
