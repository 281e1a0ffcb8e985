//! Directed steps with a face on their left, linked to the face's polygons.
//!
//! 1. steps that run both ways along the same line bound nothing and are taken out, after being
//!    parted at vertices that lie on them: neighbours need not agree on the vertices of a border
//! 2. rings are walked: where several steps leave a point, the one that keeps the face closest on
//!    the left is next
//! 3. a ring that comes back to a point is parted there, so that rings touch but are simple
//! 4. rings thinner than rounding are dropped; holes go to the smallest shell around them

use std::collections::HashMap;

use super::lines::Polygon;
use super::segment::{FRACTION_BITS, GridPoint, twice_area};

/// From one point to another, the face on the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub from: GridPoint,
    pub to: GridPoint,
}

/// A ring whose mean width is below an eighth of a grid unit is a line seen from both sides.
const THINNEST: i128 = 1 << (FRACTION_BITS - 3);

/// Links all steps; `steps` is used up.
pub(super) fn polygons(steps: &mut Vec<Step>) -> Vec<Polygon> {
    cancel(steps);
    steps.sort_unstable_by_key(|step| (step.from, step.to));
    if part_at_vertices(steps) {
        cancel(steps);
        steps.sort_unstable_by_key(|step| (step.from, step.to));
    }
    // Where one step leaves every point no walk comes back to one before its end.
    let simple = steps.windows(2).all(|pair| pair[0].from != pair[1].from);
    let mut used = vec![false; steps.len()];
    let (mut shells, mut holes) = (Vec::new(), Vec::new());
    let mut path: Vec<GridPoint> = Vec::new();
    for start in 0..steps.len() {
        if used[start] {
            continue;
        }
        path.clear();
        let mut at = start;
        loop {
            used[at] = true;
            path.push(steps[at].from);
            match next_step(steps, &used, steps[at]) {
                Some(next) => at = next,
                None => break,
            }
        }
        let mut ring_found = |ring: &[GridPoint]| {
            let twice = (0..ring.len())
                .map(|i| twice_area(ring[i], ring[(i + 1) % ring.len()]))
                .fold(0i128, i128::wrapping_add);
            if twice.abs() > THINNEST * perimeter(ring) {
                let mut closed = ring.to_vec();
                closed.push(ring[0]);
                if twice > 0 {
                    shells.push((twice, vec![closed]));
                } else {
                    holes.push(closed);
                }
            }
        };
        if simple {
            ring_found(&path);
        } else {
            part(&path, &mut ring_found);
        }
    }
    shells.sort_by_key(|shell: &(i128, Polygon)| shell.0);
    for hole in holes {
        let around = shells
            .iter()
            .position(|(_, polygon)| contains(&polygon[0], &hole));
        if let Some(shell) = around {
            shells[shell].1.push(hole);
        }
    }
    shells.into_iter().rev().map(|shell| shell.1).collect()
}

fn perimeter(ring: &[GridPoint]) -> i128 {
    (0..ring.len())
        .map(|i| {
            let (p, q) = (ring[i], ring[(i + 1) % ring.len()]);
            i128::from((q[0] - p[0]).abs().max((q[1] - p[1]).abs()))
        })
        .sum()
}

/// Takes out what runs both ways, and repetitions.
fn cancel(steps: &mut Vec<Step>) {
    let ends = |step: &Step| (step.from.min(step.to), step.from.max(step.to));
    steps.sort_unstable_by_key(ends);
    let mut kept = 0;
    let mut at = 0;
    while at < steps.len() {
        let (low, high) = ends(&steps[at]);
        let mut forward = 0;
        let mut end = at;
        while end < steps.len() && ends(&steps[end]) == (low, high) {
            forward += if steps[end].from == low { 1 } else { -1 };
            end += 1;
        }
        if forward != 0 {
            let (from, to) = if forward > 0 {
                (low, high)
            } else {
                (high, low)
            };
            steps[kept] = Step { from, to };
            kept += 1;
        }
        at = end;
    }
    steps.truncate(kept);
}

/// Parts steps, sorted by where they start, at the ends of others that lie on them exactly; says
/// whether there were any.
fn part_at_vertices(steps: &mut Vec<Step>) -> bool {
    let mut vertices: Vec<GridPoint> = steps.iter().map(|step| step.from).collect();
    vertices.dedup();
    let count = steps.len();
    let mut on: Vec<GridPoint> = Vec::new();
    for at in 0..count {
        let Step { from, to } = steps[at];
        let (low, high) = (from.min(to), from.max(to));
        let (bottom, top) = (from[1].min(to[1]), from[1].max(to[1]));
        let first = vertices.partition_point(|vertex| *vertex <= low);
        on.clear();
        on.extend(
            vertices[first..]
                .iter()
                .take_while(|vertex| **vertex < high)
                .filter(|vertex| (bottom..=top).contains(&vertex[1]))
                .filter(|&&vertex| cross(difference(to, from), difference(vertex, from)) == 0),
        );
        if on.is_empty() {
            continue;
        }
        if from > to {
            on.reverse();
        }
        on.push(to);
        steps[at].to = on[0];
        for pair in on.windows(2) {
            steps.push(Step {
                from: pair[0],
                to: pair[1],
            });
        }
    }
    steps.len() > count
}

/// The step that goes on from the end of `step`: turning clockwise from where it came, the first.
fn next_step(steps: &[Step], used: &[bool], step: Step) -> Option<usize> {
    let first = steps.partition_point(|other| other.from < step.to);
    let leaving = (first..steps.len()).take_while(|&i| steps[i].from == step.to);
    let back = difference(step.from, step.to);
    leaving.filter(|&i| !used[i]).reduce(|best, other| {
        let (a, b) = (
            difference(steps[best].to, step.to),
            difference(steps[other].to, step.to),
        );
        if turns_before(back, b, a) {
            other
        } else {
            best
        }
    })
}

fn difference(p: GridPoint, origin: GridPoint) -> [i128; 2] {
    [0, 1].map(|axis| i128::from(p[axis]) - i128::from(origin[axis]))
}

fn cross(a: [i128; 2], b: [i128; 2]) -> i128 {
    a[0] * b[1] - a[1] * b[0]
}

/// Whether turning clockwise from `back` meets `a` before `b`.
fn turns_before(back: [i128; 2], a: [i128; 2], b: [i128; 2]) -> bool {
    let half = |v: [i128; 2]| match cross(back, v).signum() {
        -1 => 0,
        1 => 2,
        _ if back[0] * v[0] + back[1] * v[1] < 0 => 1,
        _ => 3,
    };
    match half(a).cmp(&half(b)) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Greater => false,
        std::cmp::Ordering::Equal => cross(a, b) < 0,
    }
}

/// Parts a closed walk at points it comes back to.
fn part(path: &[GridPoint], each: &mut impl FnMut(&[GridPoint])) {
    let mut place: HashMap<GridPoint, usize> = HashMap::with_capacity(path.len());
    let mut open: Vec<GridPoint> = Vec::with_capacity(path.len());
    for &point in path {
        if let Some(&seen) = place.get(&point) {
            each(&open[seen..]);
            for left in open.drain(seen + 1..) {
                place.remove(&left);
            }
        } else {
            place.insert(point, open.len());
            open.push(point);
        }
    }
    each(&open);
}

/// Whether a ring lies inside another that it does not cross, told by the first of its points
/// that is not on the other's line.
fn contains(shell: &[GridPoint], ring: &[GridPoint]) -> bool {
    ring.iter()
        .find_map(|&point| inside(shell, point))
        .unwrap_or(true)
}

/// `None` on the line.
fn inside(ring: &[GridPoint], point: GridPoint) -> Option<bool> {
    let mut within = false;
    for pair in ring.windows(2) {
        let (p, q) = (pair[0], pair[1]);
        let side = cross(difference(q, p), difference(point, p));
        let spans = (p[1] > point[1]) != (q[1] > point[1]);
        if side == 0
            && (p[0].min(q[0])..=p[0].max(q[0])).contains(&point[0])
            && (p[1].min(q[1])..=p[1].max(q[1])).contains(&point[1])
        {
            return None;
        }
        if spans && (side > 0) == (q[1] > p[1]) {
            within = !within;
        }
    }
    Some(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    const U: i64 = 1 << FRACTION_BITS;

    fn steps(rings: &[&[[i64; 2]]]) -> Vec<Step> {
        let mut steps = Vec::new();
        for ring in rings {
            for i in 0..ring.len() {
                let (p, q) = (ring[i], ring[(i + 1) % ring.len()]);
                steps.push(Step {
                    from: p.map(|v| v * U),
                    to: q.map(|v| v * U),
                });
            }
        }
        steps
    }

    #[test]
    fn a_hole_that_touches_its_shell_stays_a_ring_of_its_own() {
        let mut given = steps(&[
            &[[0, 0], [10, 0], [10, 10], [0, 10]],
            &[[0, 0], [2, 6], [6, 2]],
        ]);
        let found = polygons(&mut given);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].len(), 2);
        assert_eq!(found[0][0].len(), 5);
    }

    #[test]
    fn squares_that_touch_in_a_point_are_two_polygons() {
        let mut given = steps(&[
            &[[0, 0], [1, 0], [1, 1], [0, 1]],
            &[[1, 1], [2, 1], [2, 2], [1, 2]],
        ]);
        assert_eq!(polygons(&mut given).len(), 2);
    }

    #[test]
    fn a_border_with_other_vertices_on_its_other_side_is_none() {
        let mut given = steps(&[
            &[[0, 0], [12, 0], [12, 4], [0, 4]],
            &[[0, 4], [5, 4], [5, 9], [0, 9]],
            &[[7, 4], [12, 4], [12, 9], [7, 9]],
            &[[5, 6], [7, 6], [7, 9], [5, 9]],
        ]);
        let found = polygons(&mut given);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].len(), 2, "the gap is a hole");
    }

    #[test]
    fn a_line_seen_from_both_sides_is_nothing() {
        let mut given = steps(&[&[[0, 0], [5, 0], [9, 0], [5, 0]]]);
        assert!(polygons(&mut given).is_empty());
        assert!(polygons(&mut Vec::new()).is_empty());
    }
}
