//! Gives every place that several faces claim to one of them.
//!
//! Borders that cross enclose places that belong to two faces, or to one less than none. The
//! faces around such crossings are gathered to clusters; a cluster is small, so its borders can
//! be led through all their crossings and each stretch asked, by a ray, how often each face of
//! the cluster lies on its left and on its right. The face with the lowest number keeps the
//! place. Only for the derived mesh; the features stay as they are.
//!
//! Layers that overlap on purpose form clusters that are no exception but the rule; those are
//! left alone and counted.

use std::collections::{BTreeMap, HashMap, HashSet};

use rayon::prelude::*;

use super::index::crossing_edges;
use super::node::rejoined;
use super::{Arcs, NONE, Point, cross, snap};

/// What was found and done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlaps {
    /// For every pair of edges that cross: the lowest face beside them.
    pub crossings: Vec<u32>,
    pub clusters: u64,
    /// Clusters that are too large to be errors, and stay as they are.
    pub clusters_left: u64,
}

/// Vertices of a cluster's borders beyond which faces are taken to overlap on purpose.
const MAX_CLUSTER_VERTICES: usize = 20_000;
/// Crossings are computed on a grid this much finer (as a power of two), then rounded with all else.
const FINER: u32 = 4;

/// Makes a coverage of what is nearly one.
pub fn resolve_overlaps(arcs: Arcs) -> (Arcs, Overlaps) {
    let mut is_last = vec![false; arcs.points.len()];
    arcs.ends
        .iter()
        .for_each(|&end| is_last[end as usize - 1] = true);
    let crossings = crossing_edges(&arcs.points, |i| !is_last[i]);
    let arc_of = |vertex: u32| arcs.ends.partition_point(|&end| end <= vertex) as u32;
    let lowest = |arc: u32| {
        let [left, right] = arcs.sides[arc as usize];
        left.min(right)
    };
    let mut report = Overlaps {
        crossings: crossings
            .iter()
            .map(|&(i, j)| lowest(arc_of(i)).min(lowest(arc_of(j))))
            .collect(),
        ..Overlaps::default()
    };
    if crossings.is_empty() {
        return (arcs, report);
    }
    let clusters = clusters(
        &arcs,
        crossings.iter().map(|&(i, j)| [arc_of(i), arc_of(j)]),
    );
    // Where each arc is crossed: the vertex its edge starts at, and the edge that crosses it.
    let mut crossed: HashMap<u32, Vec<(u32, u32)>> = HashMap::new();
    for &(i, j) in &crossings {
        crossed.entry(arc_of(i)).or_default().push((i, j));
        crossed.entry(arc_of(j)).or_default().push((j, i));
    }
    report.clusters = clusters.len() as u64;
    let resolved: Vec<Option<(Vec<u32>, Arcs)>> = clusters
        .par_iter()
        .map(|cluster| {
            let vertices: usize = cluster
                .arcs
                .iter()
                .map(|&a| arcs.range(a as usize).len())
                .sum();
            (vertices <= MAX_CLUSTER_VERTICES)
                .then(|| (cluster.arcs.clone(), resolve(&arcs, cluster, &crossed)))
        })
        .collect();
    report.clusters_left = resolved.iter().filter(|r| r.is_none()).count() as u64;
    // The new courses are put in as arcs of their own; the old ones are dissolved to nothing.
    let gone: HashSet<u32> = resolved
        .iter()
        .flatten()
        .flat_map(|(old, _)| old.iter().copied())
        .collect();
    if gone.is_empty() {
        return (arcs, report);
    }
    let mut out = Arcs::default();
    for arc in (0..arcs.len()).filter(|arc| !gone.contains(&(*arc as u32))) {
        out.push(arcs.points_of(arc).iter().copied(), arcs.sides[arc]);
    }
    let first_new = out.len() as u32;
    resolved
        .iter()
        .flatten()
        .for_each(|(_, new)| out.append(new));
    let changed = (first_new..out.len() as u32)
        .map(|arc| (arc, out.points_of(arc as usize).to_vec()))
        .collect();
    (rejoined(&out, changed), report)
}

/// Faces whose borders cross, and all borders of these faces.
struct Cluster {
    faces: HashSet<u32>,
    arcs: Vec<u32>,
}

fn clusters(arcs: &Arcs, crossing: impl Iterator<Item = [u32; 2]>) -> Vec<Cluster> {
    let mut parent: BTreeMap<u32, u32> = BTreeMap::new();
    fn root(parent: &mut BTreeMap<u32, u32>, face: u32) -> u32 {
        let up = *parent.entry(face).or_insert(face);
        if up == face {
            return face;
        }
        let top = root(parent, up);
        parent.insert(face, top);
        top
    }
    for [a, b] in crossing {
        let faces = [arcs.sides[a as usize], arcs.sides[b as usize]].concat();
        let mut known = faces.into_iter().filter(|&face| face != NONE);
        let Some(first) = known.next() else { continue };
        let mut top = root(&mut parent, first);
        for face in known {
            let other = root(&mut parent, face);
            let (low, high) = (top.min(other), top.max(other));
            parent.insert(high, low);
            top = low;
        }
    }
    // Neighbouring clusters become one: each needs all the borders of its faces.
    for &[left, right] in &arcs.sides {
        if left != NONE
            && right != NONE
            && parent.contains_key(&left)
            && parent.contains_key(&right)
        {
            let (a, b) = (root(&mut parent, left), root(&mut parent, right));
            parent.insert(a.max(b), a.min(b));
        }
    }
    let faces: Vec<u32> = parent.keys().copied().collect();
    let mut number: HashMap<u32, usize> = HashMap::new();
    let mut cluster_of: HashMap<u32, usize> = HashMap::new();
    let mut clusters: Vec<Cluster> = Vec::new();
    for face in faces {
        let top = root(&mut parent, face);
        let i = *number.entry(top).or_insert_with(|| {
            clusters.push(Cluster {
                faces: HashSet::new(),
                arcs: Vec::new(),
            });
            clusters.len() - 1
        });
        clusters[i].faces.insert(face);
        cluster_of.insert(face, i);
    }
    for (arc, sides) in arcs.sides.iter().enumerate() {
        if let Some(&i) = sides.iter().find_map(|face| cluster_of.get(face)) {
            clusters[i].arcs.push(arc as u32);
        }
    }
    clusters
}

fn resolve(arcs: &Arcs, cluster: &Cluster, crossed: &HashMap<u32, Vec<(u32, u32)>>) -> Arcs {
    // A finer grid about the cluster, so that crossings can be told apart before they are rounded.
    let low = cluster
        .arcs
        .iter()
        .flat_map(|&a| arcs.points_of(a as usize))
        .fold(Point::new(i32::MAX, i32::MAX), |m, p| {
            Point::new(m.x.min(p.x), m.y.min(p.y))
        });
    let fine = |p: Point| Point::new((p.x - low.x) << FINER, (p.y - low.y) << FINER);
    let mut bent = Arcs::default();
    for &arc in &cluster.arcs {
        let range = arcs.range(arc as usize);
        let mut at: Vec<(u32, f64, Point)> = Vec::new();
        for &(edge, other) in crossed.get(&arc).map_or(&[][..], Vec::as_slice) {
            let p = |i: u32| arcs.points[i as usize];
            let (lower, upper) = (edge.min(other), edge.max(other));
            let (_, meeting) = meeting(
                fine(p(lower)),
                fine(p(lower + 1)),
                fine(p(upper)),
                fine(p(upper + 1)),
            );
            let a = fine(p(edge));
            let way = (f64::from(meeting.x) - f64::from(a.x))
                .hypot(f64::from(meeting.y) - f64::from(a.y));
            at.push((edge, way, meeting));
        }
        at.sort_by(|x, y| x.0.cmp(&y.0).then(x.1.total_cmp(&y.1)));
        let mut at = at.into_iter().peekable();
        let mut points = Vec::with_capacity(range.len());
        for i in range {
            points.push(fine(arcs.points[i]));
            while let Some((_, _, meeting)) = at.next_if(|(edge, _, _)| *edge == i as u32) {
                points.push(meeting);
            }
        }
        bent.push(points, arcs.sides[arc as usize]);
    }
    let noded = snap(&bent, FINER, None);
    let mut out = Arcs::default();
    let mut seen: HashSet<(Point, Point)> = HashSet::new();
    for arc in 0..noded.len() {
        let points = noded.points_of(arc);
        // Faces that lie upon each other along a whole border: one of their arcs speaks for all.
        let (a, b) = (points[0], points[1]);
        if points.len() == 2 && !seen.insert((a.min(b), a.max(b))) {
            continue;
        }
        let (left, right) = around(&noded, arc);
        let owner = |winding: BTreeMap<u32, i32>, own: u32| {
            let inside = winding
                .into_iter()
                .find(|&(face, times)| times > 0 && cluster.faces.contains(&face));
            inside.map_or(
                if cluster.faces.contains(&own) {
                    NONE
                } else {
                    own
                },
                |(face, _)| face,
            )
        };
        let sides = noded.sides[arc];
        let sides = [owner(left, sides[0]), owner(right, sides[1])];
        if sides[0] != sides[1] {
            out.push(
                points.iter().map(|p| Point::new(p.x + low.x, p.y + low.y)),
                sides,
            );
        }
    }
    out
}

/// Where the lines cross: the way along the first as a fraction, and the place.
fn meeting(a: Point, b: Point, c: Point, d: Point) -> (f64, Point) {
    let (from, to) = (cross(c, d, a) as f64, cross(c, d, b) as f64);
    let t = from / (from - to);
    let one = |p: i32, q: i32| (f64::from(p) + (f64::from(q) - f64::from(p)) * t).round() as i32;
    (t, Point::new(one(a.x, b.x), one(a.y, b.y)))
}

/// How often each face lies left and right of an arc: winding numbers by a ray from the middle of
/// its longest edge, in the direction in which the edge is short.
fn around(arcs: &Arcs, arc: usize) -> (BTreeMap<u32, i32>, BTreeMap<u32, i32>) {
    let points = arcs.points_of(arc);
    let size =
        |p: &[Point]| i64::from((p[0].x - p[1].x).abs()).max(i64::from((p[0].y - p[1].y).abs()));
    let edge = points
        .windows(2)
        .max_by_key(|p| size(p))
        .expect("an arc has an edge");
    let (a, b) = (edge[0], edge[1]);
    let level = (a.x - b.x).abs() >= (a.y - b.y).abs();
    // Doubled, so that the middle is on the grid; for a level edge the axes change places.
    let doubled = |p: Point| {
        if level {
            (2 * i64::from(p.y), 2 * i64::from(p.x))
        } else {
            (2 * i64::from(p.x), 2 * i64::from(p.y))
        }
    };
    let ((au, av), (bu, bv)) = (doubled(a), doubled(b));
    let (u, v) = ((au + bu) / 2, (av + bv) / 2);
    // Changing the axes changes the sense of rotation.
    let sense = if level { -1 } else { 1 };
    let mut beyond: BTreeMap<u32, i32> = BTreeMap::new();
    let mut own: BTreeMap<u32, i32> = BTreeMap::new();
    let mut add = |to_own: bool, sides: [u32; 2], times: i32| {
        let map = if to_own { &mut own } else { &mut beyond };
        for (face, times) in [(sides[0], times), (sides[1], -times)] {
            if face != NONE {
                *map.entry(face).or_insert(0) += times;
            }
        }
    };
    for other in 0..arcs.len() {
        for pair in arcs.points_of(other).windows(2) {
            let ((cu, cv), (du, dv)) = (doubled(pair[0]), doubled(pair[1]));
            if (cv > v) == (dv > v) {
                continue;
            }
            let rising = if dv > cv { 1 } else { -1 };
            if (pair[0] == a && pair[1] == b) || (pair[0] == b && pair[1] == a) {
                add(true, arcs.sides[other], rising * sense);
                continue;
            }
            // The ray runs towards larger u; the crossing lies on it when the middle is left of it.
            let turn =
                i128::from(du - cu) * i128::from(v - cv) - i128::from(dv - cv) * i128::from(u - cu);
            if (turn > 0) == (rising > 0) {
                add(false, arcs.sides[other], rising * sense);
            }
        }
    }
    // The side towards smaller u sees the edge itself as well.
    let mut near = beyond.clone();
    for (face, times) in own {
        *near.entry(face).or_insert(0) += times;
    }
    let rising = bv > av;
    let left_is_near = if level { !rising } else { rising };
    if left_is_near {
        (near, beyond)
    } else {
        (beyond, near)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Rings, build, trace};
    use super::*;

    fn ring(points: &[(i32, i32)]) -> Vec<Point> {
        points.iter().map(|&(x, y)| Point::new(x, y)).collect()
    }

    fn areas(arcs: &Arcs) -> BTreeMap<u32, i128> {
        let mut areas = BTreeMap::new();
        for arc in 0..arcs.len() {
            let points = arcs.points_of(arc);
            let twice: i128 = points
                .windows(2)
                .map(|p| {
                    i128::from(p[0].x) * i128::from(p[1].y)
                        - i128::from(p[1].x) * i128::from(p[0].y)
                })
                .sum();
            for (face, sign) in arcs.sides[arc].into_iter().zip([1, -1]) {
                *areas.entry(face).or_insert(0) += sign * twice;
            }
        }
        areas
    }

    #[test]
    fn what_two_squares_claim_goes_to_the_first() {
        let mut rings = Rings::default();
        rings.push(
            4,
            ring(&[(1000, 1000), (1100, 1000), (1100, 1100), (1000, 1100)]),
        );
        rings.push(
            7,
            ring(&[(1050, 1030), (1150, 1030), (1150, 1070), (1050, 1070)]),
        );
        let (arcs, report) = resolve_overlaps(build(&rings));
        assert_eq!(
            report,
            Overlaps {
                crossings: vec![4, 4],
                clusters: 1,
                clusters_left: 0
            }
        );
        let areas = areas(&arcs);
        assert_eq!((areas[&4], areas[&7]), (20_000, 2 * 50 * 40));
        assert_eq!(trace(&arcs).unclosed, 0);
    }

    #[test]
    fn a_border_that_crosses_its_neighbour_near_a_junction_is_untangled() {
        // 1 | 2 and 2 | 3 part at (100, 100) in the wrong order and cross at once.
        let mut rings = Rings::default();
        rings.push(
            1,
            ring(&[
                (0, 0),
                (100, 0),
                (100, 100),
                (106, 110),
                (90, 200),
                (0, 200),
            ]),
        );
        rings.push(
            2,
            ring(&[(100, 100), (94, 110), (110, 200), (90, 200), (106, 110)]),
        );
        rings.push(
            3,
            ring(&[
                (100, 0),
                (200, 0),
                (200, 200),
                (110, 200),
                (94, 110),
                (100, 100),
            ]),
        );
        let (arcs, report) = resolve_overlaps(build(&rings));
        assert_eq!(report.crossings.len(), 1);
        let areas = areas(&arcs);
        assert_eq!(areas[&1] + areas[&2] + areas[&3], 2 * 200 * 200);
        assert!(
            areas
                .iter()
                .filter(|(face, _)| **face != NONE)
                .all(|(_, area)| *area > 0),
            "{areas:?}"
        );
        assert_eq!(trace(&arcs).unclosed, 0);
    }

    #[test]
    fn a_coverage_stays_as_it_is() {
        let mut rings = Rings::default();
        rings.push(0, ring(&[(0, 0), (100, 0), (100, 200), (0, 200)]));
        rings.push(1, ring(&[(100, 0), (200, 0), (200, 200), (100, 200)]));
        let arcs = build(&rings);
        assert_eq!(resolve_overlaps(arcs.clone()), (arcs, Overlaps::default()));
    }
}
