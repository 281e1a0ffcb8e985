//! Is a polygon on the grid simple? Asked for every polygon of every tile, so it has to cost no
//! more than drawing it.
//!
//! Edges are taken in groups of consecutive ones, each with its box. Consecutive edges are close
//! together, so most pairs of groups are told apart by their boxes, and of the rest most pairs of
//! edges are; only what is left is compared exactly.

use super::{GridPoint, doubled_area, orientation};

const GROUP: usize = 16;

/// True when the open rings form one valid polygon as far as crossings go: no two edges share a
/// point except consecutive ones their common end, no edge folds back, and no ring is flat.
///
/// Rings that touch in a point are valid polygons by the standard, but are reported as not valid
/// here: they are rare, and [`super::clean`] leaves them as they are.
pub fn is_valid(rings: &[&[GridPoint]]) -> bool {
    if rings
        .iter()
        .any(|ring| ring.len() < 3 || doubled_area(ring) == 0)
    {
        return false;
    }
    let count = rings.iter().map(|ring| ring.len()).sum();
    let mut edges = Edges::with_capacity(count);
    for ring in rings {
        for i in 0..ring.len() {
            edges.push(ring[i], ring[(i + 1) % ring.len()]);
        }
    }
    let ring_ends: Vec<usize> = rings
        .iter()
        .scan(0, |end, ring| {
            *end += ring.len();
            Some(*end)
        })
        .collect();
    let mut groups: Vec<(usize, [i32; 4])> = (0..count)
        .step_by(GROUP)
        .map(|start| {
            (
                start / GROUP,
                edges.bounds(start..(start + GROUP).min(count)),
            )
        })
        .collect();
    // From left to right, so that a group is compared only with those that start before it ends.
    groups.sort_unstable_by_key(|(_, bounds)| bounds[0]);
    for (i, (g, group)) in groups.iter().enumerate() {
        for (h, other) in &groups[i..] {
            if other[0] > group[2] {
                break;
            }
            let apart = !boxes_meet(group, other)
                || groups_are_apart(&edges, &ring_ends, *g.min(h), *g.max(h));
            if !apart {
                return false;
            }
        }
    }
    true
}

/// Edges as columns, so that box tests of one against many run wide.
struct Edges {
    from: Vec<GridPoint>,
    to: Vec<GridPoint>,
    min_x: Vec<i32>,
    max_x: Vec<i32>,
    min_y: Vec<i32>,
    max_y: Vec<i32>,
}

impl Edges {
    fn with_capacity(count: usize) -> Edges {
        Edges {
            from: Vec::with_capacity(count),
            to: Vec::with_capacity(count),
            min_x: Vec::with_capacity(count),
            max_x: Vec::with_capacity(count),
            min_y: Vec::with_capacity(count),
            max_y: Vec::with_capacity(count),
        }
    }

    fn push(&mut self, from: GridPoint, to: GridPoint) {
        self.from.push(from);
        self.to.push(to);
        self.min_x.push(from[0].min(to[0]));
        self.max_x.push(from[0].max(to[0]));
        self.min_y.push(from[1].min(to[1]));
        self.max_y.push(from[1].max(to[1]));
    }

    fn bounds(&self, range: std::ops::Range<usize>) -> [i32; 4] {
        let mut bounds = [i32::MAX, i32::MAX, i32::MIN, i32::MIN];
        for i in range {
            bounds[0] = bounds[0].min(self.min_x[i]);
            bounds[1] = bounds[1].min(self.min_y[i]);
            bounds[2] = bounds[2].max(self.max_x[i]);
            bounds[3] = bounds[3].max(self.max_y[i]);
        }
        bounds
    }

    fn box_of(&self, i: usize) -> [i32; 4] {
        [self.min_x[i], self.min_y[i], self.max_x[i], self.max_y[i]]
    }
}

fn boxes_meet(a: &[i32; 4], b: &[i32; 4]) -> bool {
    a[0] <= b[2] && a[2] >= b[0] && a[1] <= b[3] && a[3] >= b[1]
}

fn groups_are_apart(edges: &Edges, ring_ends: &[usize], g: usize, h: usize) -> bool {
    let count = edges.from.len();
    let first = g * GROUP..((g + 1) * GROUP).min(count);
    let second = h * GROUP..((h + 1) * GROUP).min(count);
    for i in first {
        let start = second.start.max(i + 1);
        let own = edges.box_of(i);
        for j in start..second.end.max(start) {
            let meets = (own[0] <= edges.max_x[j])
                & (own[2] >= edges.min_x[j])
                & (own[1] <= edges.max_y[j])
                & (own[3] >= edges.min_y[j]);
            if meets && !edges_are_apart(edges, ring_ends, i, j) {
                return false;
            }
        }
    }
    true
}

/// For edges `i < j` whose boxes meet.
fn edges_are_apart(edges: &Edges, ring_ends: &[usize], i: usize, j: usize) -> bool {
    let (a, b, c, d) = (edges.from[i], edges.to[i], edges.from[j], edges.to[j]);
    let ring = ring_ends.partition_point(|&end| end <= i);
    let start = if ring == 0 { 0 } else { ring_ends[ring - 1] };
    let last = ring_ends[ring] - 1;
    if j == i + 1 && j <= last {
        return does_not_fold(a, b, d);
    }
    if i == start && j == last {
        return does_not_fold(c, d, b);
    }
    let (o1, o2) = (orientation(a, b, c), orientation(a, b, d));
    let (o3, o4) = (orientation(c, d, a), orientation(c, d, b));
    if o1 == 0 && o2 == 0 {
        // On one line, and the boxes meet.
        return false;
    }
    // Touching counts as meeting.
    o1 * o2 > 0 || o3 * o4 > 0
}

/// The path a → b → c does not go back on itself.
fn does_not_fold(a: GridPoint, b: GridPoint, c: GridPoint) -> bool {
    if orientation(a, b, c) != 0 {
        return true;
    }
    let along = |axis: usize| {
        (i64::from(b[axis]) - i64::from(a[axis])) * (i64::from(c[axis]) - i64::from(b[axis]))
    };
    along(0) + along(1) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: bool, ring: &[GridPoint]) {
        assert_eq!(is_valid(&[ring]), expected, "{ring:?}");
    }

    #[test]
    fn simple_rings_are_valid() {
        check(true, &[[0, 0], [10, 0], [10, 10], [0, 10]]);
        check(true, &[[0, 0], [5, 0], [10, 0], [10, 10], [0, 10]]);
        let mut comb = Vec::new();
        for i in 0..40 {
            comb.push([i * 10, 0]);
            comb.push([i * 10 + 5, 100]);
        }
        comb.extend([[400, -10], [0, -10]]);
        check(true, &comb);
    }

    #[test]
    fn crossings_folds_and_touches_are_not() {
        check(false, &[[0, 0], [10, 10], [10, 0], [0, 10]]);
        check(false, &[[0, 0], [10, 0], [5, 0]]);
        check(false, &[[0, 0], [10, 0], [20, 0], [10, 0], [10, 10]]);
        check(false, &[[0, 0], [10, 0], [10, 10], [5, 0], [0, 10]]);
    }

    #[test]
    fn a_hole_inside_is_valid_and_one_that_crosses_is_not() {
        let shell = [[0, 0], [100, 0], [100, 100], [0, 100]];
        let inside = [[10, 10], [10, 20], [20, 20], [20, 10]];
        let across = [[90, 10], [90, 20], [120, 20], [120, 10]];
        assert!(is_valid(&[&shell, &inside]));
        assert!(!is_valid(&[&shell, &across]));
    }
}
