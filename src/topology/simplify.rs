//! Takes vertices away from arcs without moving a junction, folding a face or letting borders cross.
//!
//! Effective areas after Visvalingam and Whyatt (1993): the vertex whose triangle with its two
//! neighbours is smallest goes first. It goes only if no other vertex lies in that triangle:
//! then nothing that did not cross before can cross after. The vertices of other arcs count as
//! they were at the start, so arcs can be worked on in any order and on any thread: the
//! remaining vertices of each arc are among those the others were tested against.
//!
//! Nor does a vertex go when its triangle holds the middle of a pixel: the class there stays.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::prelude::*;

use super::index::typical_spacing;
use super::{Arcs, Pixels, Point, PointIndex, cross};

/// By how much a border may move where vertices go; either suffices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slack {
    /// Twice the area of the triangle of a vertex, grid units.
    pub doubled_area: i64,
    /// How far all that went between two vertices may be from the line between them, grid units.
    pub distance: f64,
}

/// Removes vertices as far as the slack of their arc goes; arcs without any stay as they are.
pub fn simplify(
    arcs: &Arcs,
    slack: impl Fn(usize) -> Option<Slack> + Sync,
    pixels: Option<Pixels>,
) -> Arcs {
    let index = PointIndex::new(&arcs.points, typical_spacing(&arcs.points) * 1.5);
    let parts: Vec<Arcs> = chunks_of(arcs, 1 << 14)
        .into_par_iter()
        .map_init(Worker::default, |worker, chunk| {
            let mut out = Arcs::default();
            for arc in chunk {
                let range = arcs.range(arc);
                let Some(slack) = slack(arc) else {
                    out.push(arcs.points_of(arc).iter().copied(), arcs.sides[arc]);
                    continue;
                };
                worker.run(arcs, &index, range.start, range.end, slack, pixels);
                let kept = worker.kept(range.len());
                out.push(
                    kept.map(|i| arcs.points[range.start + i as usize]),
                    arcs.sides[arc],
                );
            }
            out
        })
        .collect();
    let mut out = Arcs::default();
    for part in &parts {
        out.append(part);
    }
    out
}

/// Ranges of arcs with some `vertices` each, the unit of parallel work.
pub(super) fn chunks_of(arcs: &Arcs, vertices: usize) -> Vec<std::ops::Range<usize>> {
    let mut chunks = Vec::new();
    let (mut start, mut filled) = (0, 0);
    for arc in 0..arcs.len() {
        filled += arcs.range(arc).len();
        if filled >= vertices {
            chunks.push(start..arc + 1);
            (start, filled) = (arc + 1, 0);
        }
    }
    if start < arcs.len() {
        chunks.push(start..arcs.len());
    }
    chunks
}

/// Buffers of one arc, kept between arcs. Positions count from the start of the arc.
#[derive(Default)]
struct Worker {
    previous: Vec<u32>,
    next: Vec<u32>,
    /// Counts up with every change of a vertex's triangle; older queue entries are void.
    version: Vec<u32>,
    alive: Vec<bool>,
    queue: BinaryHeap<Reverse<(i64, u32, u32)>>,
}

impl Worker {
    fn kept(&self, count: usize) -> impl Iterator<Item = u32> + '_ {
        (0..count as u32).filter(|&i| self.alive[i as usize])
    }

    fn run(
        &mut self,
        arcs: &Arcs,
        index: &PointIndex,
        start: usize,
        end: usize,
        slack: Slack,
        pixels: Option<Pixels>,
    ) {
        let points = &arcs.points[start..end];
        let n = points.len();
        self.alive.clear();
        self.alive.resize(n, true);
        // A closed arc keeps two vertices besides its ends, so that it stays a ring.
        let closed = points.first() == points.last();
        let mut spare = (n as u32).saturating_sub(if closed { 4 } else { 2 });
        if spare == 0 {
            return;
        }
        let area = |p: u32, v: u32, q: u32| {
            cross(points[p as usize], points[v as usize], points[q as usize]).abs()
        };
        // Whether a vertex may go: its triangle is small, or it and all that went on either side
        // of it are near the line that would be left.
        let fits = |p: u32, q: u32, a: i64| {
            a <= slack.doubled_area || is_near(&points[p as usize..=q as usize], slack.distance)
        };
        self.queue.clear();
        for v in 1..n as u32 - 1 {
            let a = area(v - 1, v, v + 1);
            if fits(v - 1, v + 1, a) {
                self.queue.push(Reverse((a, v, 0)));
            }
        }
        if self.queue.is_empty() {
            return;
        }
        self.previous.clear();
        self.previous
            .extend((0..n as u32).map(|i| i.wrapping_sub(1)));
        self.next.clear();
        self.next.extend(1..=n as u32);
        self.version.clear();
        self.version.resize(n, 0);
        while let Some(Reverse((a, v, version))) = self.queue.pop() {
            if spare == 0 {
                break;
            }
            if !self.alive[v as usize] || self.version[v as usize] != version {
                continue;
            }
            let (p, q) = (self.previous[v as usize], self.next[v as usize]);
            let corners = [p, v, q].map(|i| points[i as usize]);
            if pixels.is_some_and(|pixels| pixels.forbids(corners))
                || self.holds_a_vertex(arcs, index, start, end, [p, v, q])
            {
                continue;
            }
            self.alive[v as usize] = false;
            spare -= 1;
            self.next[p as usize] = q;
            self.previous[q as usize] = p;
            for w in [p, q] {
                if w == 0 || w as usize == n - 1 {
                    continue;
                }
                self.version[w as usize] += 1;
                let (before, after) = (self.previous[w as usize], self.next[w as usize]);
                // Never before the vertex that made it smaller went.
                let own = area(before, w, after).max(a);
                if fits(before, after, own) {
                    self.queue.push(Reverse((own, w, self.version[w as usize])));
                }
            }
        }
    }

    fn holds_a_vertex(
        &self,
        arcs: &Arcs,
        index: &PointIndex,
        start: usize,
        end: usize,
        corners: [u32; 3],
    ) -> bool {
        let [a, v, b] = corners.map(|i| arcs.points[start + i as usize]);
        let min = Point::new(a.x.min(v.x).min(b.x), a.y.min(v.y).min(b.y));
        let max = Point::new(a.x.max(v.x).max(b.x), a.y.max(v.y).max(b.y));
        let turn = cross(a, v, b).signum();
        if turn == 0 {
            // Nothing is swept over when the three are in line.
            return false;
        }
        index.any_in_box(min, max, |item, p| {
            let i = item as usize;
            if p.x < min.x || p.x > max.x || p.y < min.y || p.y > max.y {
                return false;
            }
            // The ends of the new edge may be junctions that other arcs share.
            if p == a || p == b {
                return false;
            }
            if (start..end).contains(&i)
                && (!self.alive[i - start] || i - start == corners[1] as usize)
            {
                return false;
            }
            cross(a, v, p).signum() != -turn
                && cross(v, b, p).signum() != -turn
                && cross(b, a, p).signum() != -turn
        })
    }
}

/// True when no vertex of a stretch is farther than `distance` from the line between its ends.
fn is_near(stretch: &[Point], distance: f64) -> bool {
    let [a, .., b] = *stretch else {
        return true;
    };
    let (dx, dy) = (
        f64::from(b.x) - f64::from(a.x),
        f64::from(b.y) - f64::from(a.y),
    );
    let length2 = dx * dx + dy * dy;
    let most2 = distance * distance * length2;
    let most_along = distance * length2.sqrt();
    stretch[1..stretch.len() - 1].iter().all(|p| {
        let (px, py) = (
            f64::from(p.x) - f64::from(a.x),
            f64::from(p.y) - f64::from(a.y),
        );
        let (off, along) = (dx * py - dy * px, dx * px + dy * py);
        // Between the ends, or hardly beyond one of them.
        off * off <= most2 && along >= -most_along && along <= length2 + most_along
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arc(points: &[(i32, i32)]) -> Vec<Point> {
        points.iter().map(|&(x, y)| Point::new(x, y)).collect()
    }

    fn area(doubled_area: i64) -> impl Fn(usize) -> Option<Slack> {
        move |_| {
            Some(Slack {
                doubled_area,
                distance: 0.0,
            })
        }
    }

    #[test]
    fn what_went_stays_near_what_is_left() {
        // A wave of 40 vertices on a slope: far from one line as a whole, near it piece by piece.
        let wave = |i: i32| {
            let t = f64::from(i) / 40.0;
            let y = 60.0 * (t * 3.0).sin() + 4.0 * (t * 90.0).sin();
            Point::new(i * 20, y.round() as i32)
        };
        let mut arcs = Arcs::default();
        arcs.push((0..40).map(wave), [0, 1]);
        for distance in [1.0, 3.0, 9.0, 27.0] {
            let slack = move |_| {
                Some(Slack {
                    doubled_area: 0,
                    distance,
                })
            };
            let out = simplify(&arcs, slack, None);
            for pair in out.points.windows(2) {
                let at = |p: &Point| arcs.points.iter().position(|q| q == p).unwrap();
                let (from, to) = (at(&pair[0]), at(&pair[1]));
                assert!(is_near(&arcs.points[from..=to], distance), "{distance}");
            }
            assert!(
                distance < 9.0 || out.points.len() < 30,
                "{}",
                out.points.len()
            );
        }
    }

    #[test]
    fn a_small_bend_goes_and_a_large_one_stays() {
        let mut arcs = Arcs::default();
        arcs.push(
            arc(&[(0, 0), (50, 1), (100, 0), (150, 80), (200, 0)]),
            [0, 1],
        );
        let out = simplify(&arcs, area(400), None);
        assert_eq!(out.points, arc(&[(0, 0), (100, 0), (150, 80), (200, 0)]));
    }

    #[test]
    fn a_bend_around_a_vertex_of_another_arc_stays() {
        let mut arcs = Arcs::default();
        arcs.push(arc(&[(0, 0), (50, 10), (100, 0)]), [0, 1]);
        arcs.push(arc(&[(50, -50), (50, 5)]), [1, 2]);
        let out = simplify(&arcs, area(10_000), None);
        assert_eq!(out.points, arcs.points);
        arcs.points[4] = Point::new(50, -5);
        assert_eq!(simplify(&arcs, area(10_000), None).points_of(0).len(), 2);
    }

    #[test]
    fn a_ring_keeps_three_corners() {
        let mut arcs = Arcs::default();
        arcs.push(arc(&[(0, 0), (4, 0), (4, 4), (0, 4), (0, 0)]), [0, NONE]);
        assert_eq!(simplify(&arcs, area(1_000_000), None).points.len(), 4);
    }

    use super::super::NONE;
}
