//! Which of many points are near a segment or in a box: a grid on a torus.
//!
//! The grid has about as many cells as points and repeats in both directions, so that a county
//! and a lone island across the world cost no more than the county, and neighbouring cells stay
//! neighbours in memory. Cells that fall together only offer more candidates, and candidates
//! are always tested.

use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

use super::{Point, cross};

/// A grid over points that the caller keeps.
pub struct PointIndex {
    /// Cell size is `1 << shift`.
    shift: u32,
    bits: u32,
    starts: Vec<u32>,
    /// Points beside their numbers: a look at a cell is one run of memory.
    items: Vec<(Point, u32)>,
}

/// A walk over more cells than this per item of the index would be slower than looking at every item.
const FULL_SCAN_FACTOR: i64 = 1;

impl PointIndex {
    /// `spacing` is the typical distance between points that are looked for together.
    pub fn new(points: &[Point], spacing: f64) -> PointIndex {
        let shift = spacing.max(1.0).log2().round().clamp(0.0, 30.0) as u32;
        let bits = ((points.len() / 2).max(64).ilog2()).div_ceil(2);
        let buckets = 1usize << (2 * bits);
        let counts: Vec<AtomicU32> = (0..=buckets).map(|_| AtomicU32::new(0)).collect();
        let bucket = |p: &Point| wrap(p.x >> shift, p.y >> shift, bits);
        points.par_iter().with_min_len(4096).for_each(|p| {
            counts[bucket(p) + 1].fetch_add(1, Ordering::Relaxed);
        });
        let mut starts: Vec<u32> = counts.into_iter().map(AtomicU32::into_inner).collect();
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let next: Vec<AtomicU32> = starts.iter().map(|&s| AtomicU32::new(s)).collect();
        let items: Vec<AtomicU32> = (0..points.len()).map(|_| AtomicU32::new(0)).collect();
        points
            .par_iter()
            .enumerate()
            .with_min_len(4096)
            .for_each(|(i, p)| {
                let slot = next[bucket(p)].fetch_add(1, Ordering::Relaxed);
                items[slot as usize].store(i as u32, Ordering::Relaxed);
            });
        // The order within a bucket depends on the threads; users must not depend on it.
        let items = items
            .into_par_iter()
            .with_min_len(4096)
            .map(|item| {
                let item = item.into_inner();
                (points[item as usize], item)
            })
            .collect();
        PointIndex {
            shift,
            bits,
            starts,
            items,
        }
    }

    fn cell(&self, cx: i32, cy: i32) -> &[(Point, u32)] {
        let bucket = wrap(cx, cy, self.bits);
        &self.items[self.starts[bucket] as usize..self.starts[bucket + 1] as usize]
    }

    /// Calls `each` with every two items at one position, in both orders, until it says that the
    /// first has been dealt with.
    pub fn each_coinciding(&self, each: impl Fn(u32, u32) -> bool + Sync) {
        self.starts
            .par_windows(2)
            .with_min_len(4096)
            .for_each(|ends| {
                let cell = &self.items[ends[0] as usize..ends[1] as usize];
                for &(p, item) in cell {
                    let mut others = cell.iter().filter(|&&(q, other)| q == p && other != item);
                    others.any(|&(_, other)| each(item, other));
                }
            });
    }

    /// True when `test` holds for an item whose cell meets the box; items may be offered
    /// that are outside of it, and more than once.
    pub fn any_in_box(
        &self,
        min: Point,
        max: Point,
        mut test: impl FnMut(u32, Point) -> bool,
    ) -> bool {
        let (x0, x1) = (min.x >> self.shift, max.x >> self.shift);
        let (y0, y1) = (min.y >> self.shift, max.y >> self.shift);
        let cells = (i64::from(x1) - i64::from(x0) + 1) * (i64::from(y1) - i64::from(y0) + 1);
        if cells > self.items.len() as i64 * FULL_SCAN_FACTOR + 16 {
            return self.items.iter().any(|&(p, item)| test(item, p));
        }
        (x0..=x1)
            .any(|cx| (y0..=y1).any(|cy| self.cell(cx, cy).iter().any(|&(p, item)| test(item, p))))
    }

    /// Offers every item within `margin` of the segment, and others; an item can come twice.
    pub fn near_segment(&self, a: Point, b: Point, margin: i32, mut each: impl FnMut(u32, Point)) {
        let limit = self.items.len() as i64 * FULL_SCAN_FACTOR + 16;
        let walked = each_cell(a, b, margin, self.shift, limit, |cx, cy| {
            self.cell(cx, cy)
                .iter()
                .for_each(|&(p, item)| each(item, p));
        });
        if !walked {
            self.items.iter().for_each(|&(p, item)| each(item, p));
        }
    }
}

/// Calls `each` with every cell of `2^shift` units that the segment comes within `margin` of, and
/// some beside them; `false`, without a call, when there are more rows and columns than `limit`.
fn each_cell(
    a: Point,
    b: Point,
    margin: i32,
    shift: u32,
    limit: i64,
    mut each: impl FnMut(i32, i32),
) -> bool {
    let (a, b) = if a.x <= b.x { (a, b) } else { (b, a) };
    let x0 = a.x.saturating_sub(margin) >> shift;
    let x1 = b.x.saturating_add(margin) >> shift;
    let low = a.y.min(b.y).saturating_sub(margin);
    let high = a.y.max(b.y).saturating_add(margin);
    let (y0, y1) = (low >> shift, high >> shift);
    let wide = i64::from(x1) - i64::from(x0) + 1;
    let tall = i64::from(y1) - i64::from(y0) + 1;
    if wide + tall > limit {
        return false;
    }
    if wide == 1 || tall == 1 || wide * tall <= 6 {
        for cx in x0..=x1 {
            for cy in y0..=y1 {
                each(cx, cy);
            }
        }
        return true;
    }
    if a.x == b.x {
        // Two columns, because the margin reaches over: every row of both.
        for cx in x0..=x1 {
            (y0..=y1).for_each(|cy| each(cx, cy));
        }
        return true;
    }
    let slope = (f64::from(b.y) - f64::from(a.y)) / (f64::from(b.x) - f64::from(a.x));
    for cx in x0..=x1 {
        let left = ((i64::from(cx) << shift) - i64::from(margin)).max(i64::from(a.x));
        let right = (((i64::from(cx) + 1) << shift) + i64::from(margin)).min(i64::from(b.x));
        let at = |x: i64| f64::from(a.y) + slope * (x as f64 - f64::from(a.x));
        let (mut from, mut to) = (at(left), at(right));
        if from > to {
            std::mem::swap(&mut from, &mut to);
        }
        // One grid unit more than asked covers the rounding of the slope.
        let from = ((from - f64::from(margin) - 2.0).max(f64::from(low)) as i32) >> shift;
        let to = ((to + f64::from(margin) + 2.0).min(f64::from(high)) as i32) >> shift;
        for cy in from..=to {
            each(cx, cy);
        }
    }
    true
}

/// All pairs of edges that cross at an inner point of both, as the smaller and the larger number
/// of the vertices they start at, ascending. `is_edge` says which vertices start an edge.
pub fn crossing_edges(points: &[Point], is_edge: impl Fn(usize) -> bool + Sync) -> Vec<(u32, u32)> {
    let shift = (typical_spacing(points) * 1.5)
        .max(1.0)
        .log2()
        .round()
        .clamp(0.0, 30.0) as u32;
    let bits = ((points.len() / 2).max(64).ilog2()).div_ceil(2);
    let buckets = 1usize << (2 * bits);
    let edges = || {
        (0..points.len().saturating_sub(1))
            .into_par_iter()
            .with_min_len(4096)
            .filter(|&i| is_edge(i))
    };
    let counts: Vec<AtomicU32> = (0..=buckets).map(|_| AtomicU32::new(0)).collect();
    // An edge across more cells than there are is tested against all others.
    let limit = buckets as i64;
    let is_long = |i: usize| !each_cell(points[i], points[i + 1], 0, shift, limit, |_, _| {});
    let long: Vec<usize> = edges().filter(|&i| is_long(i)).collect();
    edges().for_each(|i| {
        each_cell(points[i], points[i + 1], 0, shift, limit, |cx, cy| {
            counts[wrap(cx, cy, bits) + 1].fetch_add(1, Ordering::Relaxed);
        });
    });
    let mut starts: Vec<u32> = counts.into_iter().map(AtomicU32::into_inner).collect();
    for i in 1..starts.len() {
        starts[i] += starts[i - 1];
    }
    let next: Vec<AtomicU32> = starts.iter().map(|&s| AtomicU32::new(s)).collect();
    let items: Vec<AtomicU32> = (0..starts[buckets]).map(|_| AtomicU32::new(0)).collect();
    edges().for_each(|i| {
        each_cell(points[i], points[i + 1], 0, shift, limit, |cx, cy| {
            let slot = next[wrap(cx, cy, bits)].fetch_add(1, Ordering::Relaxed);
            items[slot as usize].store(i as u32, Ordering::Relaxed);
        });
    });
    let items: Vec<u32> = items.into_iter().map(AtomicU32::into_inner).collect();
    let crosses = |i: usize, j: usize| {
        let (a, b, c, d) = (points[i], points[i + 1], points[j], points[j + 1]);
        if a.x.max(b.x) < c.x.min(d.x)
            || c.x.max(d.x) < a.x.min(b.x)
            || a.y.max(b.y) < c.y.min(d.y)
            || c.y.max(d.y) < a.y.min(b.y)
        {
            return false;
        }
        let opposite = |p: i64, q: i64| p.signum() * q.signum() < 0;
        opposite(cross(a, b, c), cross(a, b, d)) && opposite(cross(c, d, a), cross(c, d, b))
    };
    let mut found: Vec<(u32, u32)> = (0..buckets)
        .into_par_iter()
        .with_min_len(1024)
        .flat_map_iter(|bucket| {
            let cell = &items[starts[bucket] as usize..starts[bucket + 1] as usize];
            let mut pairs = Vec::new();
            for (k, &i) in cell.iter().enumerate() {
                pairs.extend(
                    cell[k + 1..]
                        .iter()
                        .filter(|&&j| crosses(i as usize, j as usize))
                        .map(|&j| (i.min(j), i.max(j))),
                );
            }
            pairs
        })
        .collect();
    for &i in &long {
        found.extend(
            (0..points.len() - 1)
                .filter(|&j| j != i && is_edge(j) && crosses(i, j))
                .map(|j| (i.min(j) as u32, i.max(j) as u32)),
        );
    }
    found.par_sort_unstable();
    found.dedup();
    found
}

/// The bucket of a cell on a torus of `2^bits` by `2^bits` cells, at least 8 by 8. Blocks of so many
/// cells follow each other: a walk over neighbouring cells stays in few lines of memory.
fn wrap(cx: i32, cy: i32, bits: u32) -> usize {
    let mask = (1u32 << bits) - 1;
    let (x, y) = (cx as u32 & mask, cy as u32 & mask);
    let block = ((y >> 3) << (bits - 3)) | (x >> 3);
    ((block << 6) | ((y & 7) << 3) | (x & 7)) as usize
}

/// Median-like edge length of a sample of `chains` (start..end ranges into `points`).
pub fn typical_spacing(points: &[Point]) -> f64 {
    let step = (points.len() / 4096).max(1);
    let mut lengths: Vec<f64> = points
        .windows(2)
        .step_by(step)
        .map(|p| {
            (f64::from(p[1].x) - f64::from(p[0].x)).hypot(f64::from(p[1].y) - f64::from(p[0].y))
        })
        .filter(|length| *length > 0.0)
        .collect();
    if lengths.is_empty() {
        return 1.0;
    }
    let middle = lengths.len() / 2;
    *lengths.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_near_a_segment_is_offered() {
        // Numbers that depend on nothing; few distinct ones, so that segments are level, upright
        // and on the borders of cells as often as not.
        let mut state = 0x2545_F491_4F6C_DD1Du64;
        let mut roll = |sides: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 33) % sides) as i32
        };
        for _ in 0..300 {
            let step = [1, 4, 64][roll(3) as usize];
            let points: Vec<Point> = (0..40)
                .map(|_| Point::new(roll(40) * step + roll(2), roll(40) * step))
                .collect();
            let index = PointIndex::new(&points, f64::from(1 + roll(2 * step as u64 * 8)));
            let (a, b) = (points[roll(40) as usize], points[roll(40) as usize]);
            for b in [b, Point::new(a.x, b.y), Point::new(b.x, a.y)] {
                let mut offered = vec![false; points.len()];
                index.near_segment(a, b, 2, |item, _| offered[item as usize] = true);
                for (p, offered) in points.iter().zip(offered) {
                    assert!(
                        offered || distance(a, b, *p) > 2.0,
                        "{p:?} is near {a:?} {b:?}"
                    );
                }
            }
        }
    }

    fn distance(a: Point, b: Point, p: Point) -> f64 {
        let f = |p: Point| (f64::from(p.x), f64::from(p.y));
        let ((ax, ay), (bx, by), (px, py)) = (f(a), f(b), f(p));
        let length2 = (bx - ax).powi(2) + (by - ay).powi(2);
        let t = if length2 > 0.0 {
            (((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / length2).clamp(0.0, 1.0)
        } else {
            0.0
        };
        (px - ax - t * (bx - ax)).hypot(py - ay - t * (by - ay))
    }
}
