//! Junctions that one side of a border does not know of.
//!
//! A vertex of an unmatched border that lies within the tolerance of another unmatched border is
//! put into it, so that the stretch between two such vertices is shared. Only for the derived
//! mesh; the features stay as they are.

use super::index::typical_spacing;
use super::soup::{self, Edge};
use super::{Arcs, NONE, Point, PointIndex};

/// Arcs with another course: number and new points.
pub(super) type Changed = Vec<(u32, Vec<Point>)>;

/// Closes unmatched borders; `tolerance` is in grid units. For every vertex that was put in: the
/// face whose border got it.
pub fn node_unmatched(arcs: Arcs, tolerance: i32) -> (Arcs, Vec<u32>) {
    let (changed, vertices) = insert_vertices(&arcs, tolerance);
    if vertices.is_empty() {
        return (arcs, vertices);
    }
    (rejoined(&arcs, changed), vertices)
}

/// Takes the changed arcs apart and links what their edges add up to; the others stay.
pub(super) fn rejoined(arcs: &Arcs, mut changed: Changed) -> Arcs {
    changed.sort_unstable_by_key(|c| c.0);
    let mut out = Arcs::default();
    let mut loose = Vec::new();
    let mut next = changed.iter().peekable();
    for arc in 0..arcs.len() {
        match next.peek() {
            Some((number, points)) if *number == arc as u32 => {
                loose.extend(
                    points
                        .windows(2)
                        .filter(|p| p[0] != p[1])
                        .map(|p| Edge::new(p[0], p[1], arcs.sides[arc])),
                );
                next.next();
            }
            Some(_) | None => out.push(arcs.points_of(arc).iter().copied(), arcs.sides[arc]),
        }
    }
    let fixed = out.end_keys();
    out.append(&soup::chain(&soup::net(loose), &fixed));
    out
}

/// Puts vertices of unmatched borders into unmatched borders they lie on.
fn insert_vertices(arcs: &Arcs, tolerance: i32) -> (Changed, Vec<u32>) {
    let open: Vec<usize> = (0..arcs.len())
        .filter(|&arc| arcs.sides[arc].contains(&NONE))
        .collect();
    let vertices: Vec<Point> = open
        .iter()
        .flat_map(|&arc| arcs.points_of(arc).iter().copied())
        .collect();
    if vertices.is_empty() {
        return (Changed::new(), Vec::new());
    }
    let index = PointIndex::new(&vertices, typical_spacing(&vertices));
    let mut all = Changed::new();
    let mut inserted = Vec::new();
    let mut hits: Vec<(f64, Point)> = Vec::new();
    let mut any = false;
    for &arc in &open {
        let points = arcs.points_of(arc);
        let mut course = vec![points[0]];
        for edge in points.windows(2) {
            let (a, b) = (edge[0], edge[1]);
            hits.clear();
            index.near_segment(a, b, tolerance, |_, p| {
                if p != a
                    && p != b
                    && let Some(t) = on_edge(a, b, p, tolerance)
                {
                    hits.push((t, p));
                }
            });
            hits.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
            hits.dedup_by_key(|hit| hit.1);
            let [left, right] = arcs.sides[arc];
            inserted.extend(hits.iter().map(|_| left.min(right)));
            course.extend(hits.iter().map(|hit| hit.1));
            course.push(b);
        }
        any |= course.len() != points.len();
        all.push((arc as u32, course));
    }
    // Even an arc that got no vertex may now coincide with one that did.
    if any {
        (all, inserted)
    } else {
        (Changed::new(), Vec::new())
    }
}

/// Where along `a b` the point lies, when it is within `tolerance` of the inner edge.
fn on_edge(a: Point, b: Point, p: Point, tolerance: i32) -> Option<f64> {
    let (dx, dy) = (
        f64::from(b.x) - f64::from(a.x),
        f64::from(b.y) - f64::from(a.y),
    );
    let (px, py) = (
        f64::from(p.x) - f64::from(a.x),
        f64::from(p.y) - f64::from(a.y),
    );
    let length2 = dx * dx + dy * dy;
    let t = (px * dx + py * dy) / length2;
    let off = (dx * py - dy * px).abs() / length2.sqrt();
    (t > 0.0 && t < 1.0 && off <= f64::from(tolerance)).then_some(t)
}

#[cfg(test)]
mod tests {
    use super::super::{Rings, build};
    use super::*;

    fn ring(points: &[(i32, i32)]) -> Vec<Point> {
        points.iter().map(|&(x, y)| Point::new(x, y)).collect()
    }

    fn shared(arcs: &Arcs) -> usize {
        arcs.sides.iter().filter(|s| !s.contains(&NONE)).count()
    }

    #[test]
    fn a_junction_that_one_side_does_not_know_is_put_in() {
        let mut rings = Rings::default();
        rings.push(0, ring(&[(0, 0), (100, 0), (100, 200), (0, 200)]));
        rings.push(1, ring(&[(100, 0), (200, 0), (200, 100), (101, 100)]));
        rings.push(2, ring(&[(101, 100), (200, 100), (200, 200), (100, 200)]));
        let arcs = build(&rings);
        assert_eq!(shared(&arcs), 1);
        let (arcs, vertices) = node_unmatched(arcs, 2);
        assert_eq!(vertices.len(), 1);
        assert_eq!(shared(&arcs), 3);
    }

    #[test]
    fn neighbours_without_defects_stay_as_they_are() {
        let mut rings = Rings::default();
        rings.push(0, ring(&[(0, 0), (100, 0), (100, 200), (0, 200)]));
        rings.push(1, ring(&[(100, 0), (200, 0), (200, 200), (100, 200)]));
        let arcs = build(&rings);
        assert_eq!(node_unmatched(arcs.clone(), 3), (arcs, Vec::new()));
    }
}
