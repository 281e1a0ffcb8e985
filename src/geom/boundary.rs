//! Where the boundary of polygons meets itself, and which rings lie in which.
//!
//! Edges are taken in runs of consecutive ones, each with its box, and runs of runs above them.
//! Consecutive edges are neighbours on the ground, so this tree needs no sorting, and most of the
//! pairs of edges are told apart by a box far up. A parcel of fifty vertices costs about a
//! microsecond, a ring of a million well below a second. Signs are exact (see
//! [`super::predicate`]).

use super::predicate::orientation;
use super::{Bbox, Geometry};

/// Children per box.
const FAN: usize = 8;
/// Pairs of edges compared before giving up, beyond a share for every edge: a scribble whose
/// edges all overlap would cost their square.
const MAX_PAIRS: u64 = 20_000_000;
const MAX_PAIRS_PER_EDGE: u64 = 100;

/// The ways in which a boundary meets itself, with one place for each.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Contacts {
    /// Edges of one polygon cross or run along each other.
    pub crossing: Option<[f64; 2]>,
    /// Edges of one polygon touch in a point, which may or may not be valid.
    pub touch: Option<[f64; 2]>,
    /// Edges of different polygons cross or run along each other.
    pub crossing_parts: Option<[f64; 2]>,
    /// There were too many pairs to compare them all.
    pub unfinished: bool,
}

/// The edges of polygons, ready for questions.
pub struct Boundary<'a> {
    geometry: &'a Geometry,
    runs: Vec<Run>,
    /// `levels[0]` holds the boxes of the runs, each further one the boxes of eight below.
    levels: Vec<Vec<Bbox>>,
    /// Polygon of each ring.
    part_of: Vec<u32>,
}

/// Up to eight consecutive edges of a ring, by the vertex each starts at.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u32,
    end: u32,
    ring: u32,
}

impl<'a> Boundary<'a> {
    /// For closed rings without repeated points.
    pub fn new(geometry: &'a Geometry) -> Boundary<'a> {
        let mut runs = Vec::with_capacity(geometry.vertex_count() / FAN + geometry.ring_count());
        let mut boxes = Vec::with_capacity(runs.capacity());
        let mut start = 0u32;
        for (ring, &end) in geometry.ends.iter().enumerate() {
            let mut first = start;
            // The last vertex repeats the first and starts no edge.
            let last = end.saturating_sub(1);
            while first < last {
                let run_end = (first + FAN as u32).min(last);
                runs.push(Run {
                    first,
                    end: run_end,
                    ring: ring as u32,
                });
                boxes.push(Bbox::of_xy(
                    &geometry.xy[first as usize * 2..(run_end as usize + 1) * 2],
                ));
                first = run_end;
            }
            start = end;
        }
        let mut levels = vec![boxes];
        while let Some(below) = levels.last().filter(|below| below.len() > FAN) {
            let above = below
                .chunks(FAN)
                .map(|children| children.iter().fold(Bbox::EMPTY, |all, b| all.union(b)))
                .collect();
            levels.push(above);
        }
        let mut part_of = vec![0; geometry.ring_count()];
        for (part, rings) in geometry.polygons().enumerate() {
            part_of[rings].fill(part as u32);
        }
        Boundary {
            geometry,
            runs,
            levels,
            part_of,
        }
    }

    /// Finds out how the boundary meets itself; stops at the first crossing within a polygon.
    pub fn contacts(&self) -> Contacts {
        let mut search = Search {
            boundary: self,
            found: Contacts::default(),
            pairs_left: MAX_PAIRS + MAX_PAIRS_PER_EDGE * self.geometry.vertex_count() as u64,
        };
        let top = self.levels.len() - 1;
        let count = self.levels[top].len();
        for a in 0..count {
            for b in a..count {
                search.descend(top, a, b);
            }
        }
        search.found
    }

    /// Rings that wind around `point`, in order; `None` when it lies on one of them. `except` is
    /// not looked at.
    pub fn rings_around(&self, point: [f64; 2], except: Option<usize>) -> Option<Vec<usize>> {
        let mut crossed = Vec::new();
        let except = except.and_then(|ring| u32::try_from(ring).ok());
        let top = self.levels.len() - 1;
        for at in 0..self.levels[top].len() {
            self.cast(top, at, point, except, &mut crossed)?;
        }
        crossed.sort_unstable();
        Some(
            crossed
                .chunk_by(|a, b| a == b)
                .filter(|crossings| crossings.len() % 2 == 1)
                .map(|crossings| crossings[0] as usize)
                .collect(),
        )
    }

    /// Follows the ray from `point` towards positive x; notes the ring of each edge it crosses.
    fn cast(
        &self,
        level: usize,
        at: usize,
        point: [f64; 2],
        except: Option<u32>,
        crossed: &mut Vec<u32>,
    ) -> Option<()> {
        let [x, y] = point;
        let bbox = &self.levels[level][at];
        if bbox.max_x < x || bbox.min_y > y || bbox.max_y < y {
            return Some(());
        }
        if level > 0 {
            for child in self.children(level, at) {
                self.cast(level - 1, child, point, except, crossed)?;
            }
            return Some(());
        }
        let run = self.runs[at];
        if Some(run.ring) == except {
            return Some(());
        }
        for edge in run.first..run.end {
            let (a, b) = self.edge(edge);
            if (a[1] > y) == (b[1] > y) {
                // Level with the ray or beside it: only a point on it matters.
                let level_with = a[1] == y && b[1] == y;
                let at_end = a == point || b == point;
                if at_end || (level_with && a[0].min(b[0]) <= x && x <= a[0].max(b[0])) {
                    return None;
                }
                continue;
            }
            let side = orientation(a, b, point);
            if side == 0.0 {
                return None;
            }
            if (side > 0.0) == (b[1] > a[1]) {
                crossed.push(run.ring);
            }
        }
        Some(())
    }

    fn children(&self, level: usize, at: usize) -> std::ops::Range<usize> {
        at * FAN..((at + 1) * FAN).min(self.levels[level - 1].len())
    }

    #[inline]
    fn edge(&self, first: u32) -> ([f64; 2], [f64; 2]) {
        let at = first as usize * 2;
        let xy = &self.geometry.xy[at..at + 4];
        ([xy[0], xy[1]], [xy[2], xy[3]])
    }

    /// True when two edges of one ring follow each other.
    #[inline]
    fn are_consecutive(&self, run: Run, a: u32, b: u32) -> bool {
        let ring = run.ring as usize;
        let start = if ring == 0 {
            0
        } else {
            self.geometry.ends[ring - 1]
        };
        let last_edge = self.geometry.ends[ring] - 2;
        a + 1 == b || (a == start && b == last_edge)
    }
}

struct Search<'s, 'a> {
    boundary: &'s Boundary<'a>,
    found: Contacts,
    pairs_left: u64,
}

/// How two edges meet.
enum Meeting {
    Apart,
    Touch([f64; 2]),
    Crossing([f64; 2]),
}

impl Search<'_, '_> {
    fn descend(&mut self, level: usize, a: usize, b: usize) {
        let boxes = &self.boundary.levels[level];
        if self.found.crossing.is_some()
            || self.found.unfinished
            || (a != b && !boxes[a].intersects(&boxes[b]))
        {
            return;
        }
        if level == 0 {
            return self.compare(a, b);
        }
        for left in self.boundary.children(level, a) {
            for right in self.boundary.children(level, b) {
                if a != b || left <= right {
                    self.descend(level - 1, left, right);
                }
            }
        }
    }

    /// Compares the edges of two runs, or of one with itself.
    fn compare(&mut self, a: usize, b: usize) {
        let (run_a, run_b) = (self.boundary.runs[a], self.boundary.runs[b]);
        let box_b = &self.boundary.levels[0][b];
        for edge_a in run_a.first..run_a.end {
            let (p, q) = self.boundary.edge(edge_a);
            let (min_x, max_x) = (p[0].min(q[0]), p[0].max(q[0]));
            let (min_y, max_y) = (p[1].min(q[1]), p[1].max(q[1]));
            if min_x > box_b.max_x
                || max_x < box_b.min_x
                || min_y > box_b.max_y
                || max_y < box_b.min_y
            {
                continue;
            }
            let from = if a == b { edge_a + 1 } else { run_b.first };
            let spent = u64::from(run_b.end - from);
            if self.pairs_left < spent {
                self.found.unfinished = true;
                return;
            }
            self.pairs_left -= spent;
            for edge_b in from..run_b.end {
                let (r, s) = self.boundary.edge(edge_b);
                let apart = (r[0].min(s[0]) > max_x)
                    | (r[0].max(s[0]) < min_x)
                    | (r[1].min(s[1]) > max_y)
                    | (r[1].max(s[1]) < min_y);
                if apart
                    || (run_a.ring == run_b.ring
                        && self.boundary.are_consecutive(run_a, edge_a, edge_b))
                {
                    continue;
                }
                self.note(run_a.ring, run_b.ring, meeting(p, q, r, s));
            }
        }
    }

    fn note(&mut self, ring_a: u32, ring_b: u32, meeting: Meeting) {
        let part = |ring: u32| self.boundary.part_of[ring as usize];
        let same_part = part(ring_a) == part(ring_b);
        let slot = match (meeting, same_part) {
            (Meeting::Apart, _) | (Meeting::Touch(_), false) => return,
            (Meeting::Touch(place), true) => (&mut self.found.touch, place),
            (Meeting::Crossing(place), true) => (&mut self.found.crossing, place),
            (Meeting::Crossing(place), false) => (&mut self.found.crossing_parts, place),
        };
        slot.0.get_or_insert(slot.1);
    }
}

/// How the edges `a b` and `c d`, whose boxes meet, meet themselves.
fn meeting(a: [f64; 2], b: [f64; 2], c: [f64; 2], d: [f64; 2]) -> Meeting {
    let (c_side, d_side) = (orientation(a, b, c), orientation(a, b, d));
    if (c_side > 0.0 && d_side > 0.0) || (c_side < 0.0 && d_side < 0.0) {
        return Meeting::Apart;
    }
    let (a_side, b_side) = (orientation(c, d, a), orientation(c, d, b));
    if (a_side > 0.0 && b_side > 0.0) || (a_side < 0.0 && b_side < 0.0) {
        return Meeting::Apart;
    }
    if c_side == 0.0 && d_side == 0.0 {
        return along(a, b, c, d);
    }
    if c_side == 0.0 {
        Meeting::Touch(c)
    } else if d_side == 0.0 {
        Meeting::Touch(d)
    } else if a_side == 0.0 {
        Meeting::Touch(a)
    } else if b_side == 0.0 {
        Meeting::Touch(b)
    } else {
        // Only a place to show: the crossing in plain arithmetic.
        let t = c_side / (c_side - d_side);
        Meeting::Crossing([c[0] + t * (d[0] - c[0]), c[1] + t * (d[1] - c[1])])
    }
}

/// Edges on one line: apart, end to end, or one along the other.
fn along(a: [f64; 2], b: [f64; 2], c: [f64; 2], d: [f64; 2]) -> Meeting {
    // The axis along which the edges are longer orders their ends.
    let axis = usize::from((b[1] - a[1]).abs() > (b[0] - a[0]).abs());
    let sorted = |p: [f64; 2], q: [f64; 2]| if p[axis] <= q[axis] { (p, q) } else { (q, p) };
    let (a, b) = sorted(a, b);
    let (c, d) = sorted(c, d);
    let from = if a[axis] >= c[axis] { a } else { c };
    let to = if b[axis] <= d[axis] { b } else { d };
    if from[axis] > to[axis] {
        Meeting::Apart
    } else if from == to {
        Meeting::Touch(from)
    } else {
        Meeting::Crossing(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contacts(geometry: &Geometry) -> Contacts {
        Boundary::new(geometry).contacts()
    }

    fn circle(count: usize, radius: f64) -> Vec<[f64; 2]> {
        (0..=count)
            .map(|i| {
                let t = (i % count) as f64 / count as f64 * std::f64::consts::TAU;
                // A wavy outline, so that edges point everywhere.
                let r = radius * (1.0 + 0.1 * (t * 41.0).sin());
                [r * t.cos(), r * t.sin()]
            })
            .collect()
    }

    #[test]
    fn a_simple_ring_has_no_contact_whatever_its_size() {
        for count in [3, 8, 9, 64, 1000, 100_000] {
            let ring = circle(count, 100.0);
            assert_eq!(
                contacts(&Geometry::polygon(&[&ring])),
                Contacts::default(),
                "{count}"
            );
        }
    }

    #[test]
    fn a_crossing_is_found_in_a_ring_of_any_size() {
        for count in [8, 64, 1000, 100_000] {
            let mut ring = circle(count, 100.0);
            ring.swap(count / 3, count / 3 + 1);
            let found = contacts(&Geometry::polygon(&[&ring]));
            assert!(found.crossing.is_some(), "{count}");
        }
    }

    #[test]
    fn touching_and_crossing_are_told_apart() {
        let bow_tie = [[0., 0.], [2., 2.], [2., 0.], [0., 2.], [0., 0.]];
        assert_eq!(
            contacts(&Geometry::polygon(&[&bow_tie])).crossing,
            Some([1.0, 1.0])
        );
        let pinched = [[0., 0.], [4., 0.], [4., 4.], [2., 1.], [0., 4.], [0., 0.]];
        assert_eq!(
            contacts(&Geometry::polygon(&[&pinched])),
            Contacts::default()
        );
        let touching = [[0., 0.], [4., 0.], [4., 4.], [2., 0.], [0., 4.], [0., 0.]];
        let found = contacts(&Geometry::polygon(&[&touching]));
        assert_eq!((found.touch, found.crossing), (Some([2.0, 0.0]), None));
    }

    #[test]
    fn rings_around_a_point_are_counted_by_parity_and_its_own_ring_left_out() {
        let square = |size: f64| {
            [
                [-size, -size],
                [size, -size],
                [size, size],
                [-size, size],
                [-size, -size],
            ]
        };
        let geometry = Geometry::polygon(&[&square(10.0), &square(5.0), &square(1.0)]);
        let boundary = Boundary::new(&geometry);
        assert_eq!(boundary.rings_around([1.0, 1.0], Some(2)), Some(vec![0, 1]));
        assert_eq!(boundary.rings_around([7.0, 0.0], None), Some(vec![0]));
        assert_eq!(boundary.rings_around([70.0, 0.0], None), Some(vec![]));
        assert_eq!(boundary.rings_around([5.0, 0.0], None), None);
        assert_eq!(boundary.rings_around([5.0, 5.0], None), None);
    }
}
