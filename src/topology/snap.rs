//! Rounds all arcs to a coarser grid at once: hot-pixel snap rounding.
//!
//! A cell of the coarse grid that holds a vertex is hot. Every edge that passes through a hot
//! cell is led through its centre, so no border can end up on the wrong side of a vertex that
//! was rounded (Hobby 1999; Guibas and Marimont 1998). Where borders then lie upon each other
//! they become one (see `soup`): both neighbours have the same border, faces do not overlap and
//! nothing is left open between them.
//!
//! The crossings with the clip lines of the tiles are hot as well. An edge of the result lies on
//! one side of each clip line or on it: cutting tiles out of it makes no new vertex.
//!
//! Almost all arcs of a fine grid pass through no foreign hot cell and share no cell with
//! another vertex; they are rounded as they are and only the others are taken apart.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::index::typical_spacing;
use super::simplify::chunks_of;
use super::soup::{self, Edge};
use super::{Arcs, Point, PointIndex};

/// Lines at `k · 2^period_shift ± margin` in both directions, in units of the coarse grid.
#[derive(Debug, Clone, Copy)]
pub struct ClipLines {
    pub period_shift: u32,
    pub margin: i32,
}

/// Rounds `arcs` to the grid of `2^shift` units; `shift` is at least 1.
pub fn snap(arcs: &Arcs, shift: u32, lines: Option<ClipLines>) -> Arcs {
    assert!((1..31).contains(&shift), "a coarser grid");
    let mut hot: Vec<Point> = arcs.points.par_iter().map(|&p| rounded(p, shift)).collect();
    let vertices = hot.len();
    let crossings: Vec<Crossing> = match lines {
        Some(lines) => crossings(arcs, &hot, shift, lines),
        None => Vec::new(),
    };
    hot.extend(crossings.iter().map(|c| c.cell));
    let index = PointIndex::new(&hot, typical_spacing(&hot[..vertices]));
    let busy: Vec<AtomicBool> = (0..hot.len()).map(|_| AtomicBool::new(false)).collect();
    // Junctions are in one place as often as arcs end there; nothing else is.
    let mut is_end = vec![false; vertices];
    for arc in 0..arcs.len() {
        let range = arcs.range(arc);
        is_end[range.start] = true;
        is_end[range.end - 1] = true;
    }
    index.each_coinciding(|i, j| {
        let (at, other) = (i as usize, j as usize);
        let is_junction = at < vertices
            && other < vertices
            && arcs.points[at] == arcs.points[other]
            && is_end[at]
            && is_end[other];
        if !is_junction {
            busy[at].store(true, Ordering::Relaxed);
        }
        !is_junction
    });
    let context = Context {
        arcs,
        hot: &hot,
        vertices,
        crossings: &crossings,
        index: &index,
        busy: &busy,
        shift,
    };
    let led: Vec<(std::ops::Range<usize>, Arcs, Vec<bool>)> = chunks_of(arcs, 1 << 14)
        .into_par_iter()
        .map(|chunk| {
            let mut out = Arcs::default();
            let mut foreign = Vec::with_capacity(chunk.len());
            let mut path = Vec::new();
            let mut hits = Vec::new();
            for arc in chunk.clone() {
                foreign.push(context.lead(arc, &mut path, &mut hits));
                out.push(path.iter().copied(), arcs.sides[arc]);
            }
            (chunk, out, foreign)
        })
        .collect();
    // All marks are set now: which arcs can stay whole?
    let sorted: Vec<(Arcs, Vec<Edge>)> = led
        .par_iter()
        .map(|(chunk, paths, foreign)| {
            let mut whole = Arcs::default();
            let mut loose = Vec::new();
            for (i, arc) in chunk.clone().enumerate() {
                let path = paths.points_of(i);
                let own = crossings.partition_point(|c| c.arc < arc as u32)
                    ..crossings.partition_point(|c| c.arc <= arc as u32);
                let touched = foreign[i]
                    || path.len() <= 2
                    || arcs
                        .range(arc)
                        .chain(own.map(|c| vertices + c))
                        .any(|v| busy[v].load(Ordering::Relaxed));
                if touched {
                    loose.extend(
                        path.windows(2)
                            .filter(|pair| pair[0] != pair[1])
                            .map(|pair| Edge::new(pair[0], pair[1], arcs.sides[arc])),
                    );
                } else {
                    whole.push(path.iter().copied(), arcs.sides[arc]);
                }
            }
            (whole, loose)
        })
        .collect();
    let mut out = Arcs::default();
    let mut loose = Vec::with_capacity(sorted.iter().map(|(_, edges)| edges.len()).sum());
    for (whole, edges) in &sorted {
        out.append(whole);
        loose.extend_from_slice(edges);
    }
    let fixed = out.end_keys();
    out.append(&soup::chain(&soup::net(loose), &fixed));
    out
}

fn rounded(p: Point, shift: u32) -> Point {
    let half = 1i64 << (shift - 1);
    let one = |v: i32| ((i64::from(v) + half) >> shift) as i32;
    Point::new(one(p.x), one(p.y))
}

/// Where an edge crosses a clip line.
struct Crossing {
    cell: Point,
    arc: u32,
    /// Index of the vertex at which the edge starts.
    edge: u32,
}

/// In the order of the arcs.
fn crossings(arcs: &Arcs, hot: &[Point], shift: u32, lines: ClipLines) -> Vec<Crossing> {
    chunks_of(arcs, 1 << 16)
        .into_par_iter()
        .flat_map_iter(|chunk| {
            let mut found = Vec::new();
            for arc in chunk {
                let range = arcs.range(arc);
                for edge in range.start..range.end - 1 {
                    let (a, b) = (arcs.points[edge], arcs.points[edge + 1]);
                    let (ha, hb) = (hot[edge], hot[edge + 1]);
                    each_line_between(ha.x, hb.x, lines, |line| {
                        if let Some(y) = cross_axis((a.x, a.y), (b.x, b.y), line, shift) {
                            found.push(Crossing {
                                cell: Point::new(line, y),
                                arc: arc as u32,
                                edge: edge as u32,
                            });
                        }
                    });
                    each_line_between(ha.y, hb.y, lines, |line| {
                        if let Some(x) = cross_axis((a.y, a.x), (b.y, b.x), line, shift) {
                            found.push(Crossing {
                                cell: Point::new(x, line),
                                arc: arc as u32,
                                edge: edge as u32,
                            });
                        }
                    });
                }
            }
            found
        })
        .collect()
}

/// Calls `each` with every clip line from `a` to `b`, ends included.
fn each_line_between(a: i32, b: i32, lines: ClipLines, mut each: impl FnMut(i32)) {
    let (low, high) = (a.min(b), a.max(b));
    let period = 1i32 << lines.period_shift;
    for offset in [-lines.margin, lines.margin] {
        // The first line of this family that is not below `low`.
        let mut line =
            ((low - offset + period - 1) >> lines.period_shift << lines.period_shift) + offset;
        while line <= high {
            each(line);
            line += period;
        }
    }
}

/// The coarse ordinate at which the edge crosses the coarse abscissa `line`, when it does so
/// strictly between its ends.
fn cross_axis(a: (i32, i32), b: (i32, i32), line: i32, shift: u32) -> Option<i32> {
    let at = i64::from(line) << shift;
    let (u0, u1) = (i64::from(a.0), i64::from(b.0));
    if u0 == u1 || (at - u0).signum() == (at - u1).signum() || at == u0 || at == u1 {
        return None;
    }
    let (u0, v0, u1, v1) = if u0 < u1 {
        (u0, i64::from(a.1), u1, i64::from(b.1))
    } else {
        (u1, i64::from(b.1), u0, i64::from(a.1))
    };
    let run = i128::from(u1 - u0);
    let numerator =
        i128::from(v0) * run + i128::from(at - u0) * i128::from(v1 - v0) + (run << (shift - 1));
    Some(numerator.div_euclid(run << shift) as i32)
}

struct Context<'a> {
    arcs: &'a Arcs,
    hot: &'a [Point],
    vertices: usize,
    crossings: &'a [Crossing],
    index: &'a PointIndex,
    busy: &'a [AtomicBool],
    shift: u32,
}

impl Context<'_> {
    /// Leads an arc through the hot cells it passes; says whether one of them is foreign.
    fn lead(&self, arc: usize, path: &mut Vec<Point>, hits: &mut Vec<Point>) -> bool {
        let range = self.arcs.range(arc);
        let mut foreign = false;
        path.clear();
        path.push(self.hot[range.start]);
        for edge in range.start..range.end - 1 {
            let (from, to) = (self.hot[edge], self.hot[edge + 1]);
            if (from.x - to.x).abs() + (from.y - to.y).abs() > 1 {
                let (a, b) = (self.arcs.points[edge], self.arcs.points[edge + 1]);
                hits.clear();
                self.index.near_segment(from, to, 1, |item, cell| {
                    if cell == from || cell == to || !passes(a, b, cell, self.shift) {
                        return;
                    }
                    let own = (item as usize).checked_sub(self.vertices);
                    if own.is_none_or(|c| self.crossings[c].edge != edge as u32) {
                        foreign = true;
                        self.busy[item as usize].store(true, Ordering::Relaxed);
                    }
                    hits.push(cell);
                });
                // Cells met by one segment lie on a staircase.
                let (right, up) = ((b.x - a.x).signum(), (b.y - a.y).signum());
                hits.sort_unstable_by_key(|cell| (cell.x * right, cell.y * up));
                hits.dedup();
                path.extend_from_slice(hits);
            }
            path.push(to);
        }
        foreign
    }
}

/// True when the segment meets the cell, which owns its lower borders and not its upper ones.
fn passes(a: Point, b: Point, cell: Point, shift: u32) -> bool {
    let half = 1i64 << (shift - 1);
    let (x, y) = (i64::from(cell.x) << shift, i64::from(cell.y) << shift);
    let (left, right, bottom, top) = (x - half, x + half, y - half, y + half);
    let ((ax, ay), (bx, by)) = {
        let (a, b) = if a.x <= b.x { (a, b) } else { (b, a) };
        (
            (i64::from(a.x), i64::from(a.y)),
            (i64::from(b.x), i64::from(b.y)),
        )
    };
    if bx < left || ax >= right || ay.max(by) < bottom || ay.min(by) >= top {
        return false;
    }
    let (dx, dy) = (bx - ax, by - ay);
    // Positive when the corner is left of (above) the segment.
    let side = |cx: i64, cy: i64| dx * (cy - ay) - dy * (cx - ax);
    match dy.signum() {
        0 => true,
        _ if dx == 0 => true,
        // Rising: the extreme corners are the upper left and the lower right, neither is owned.
        1 => side(left, top) > 0 && side(right, bottom) < 0,
        // Falling: the lower left corner is owned, the upper right is not.
        _ => side(left, bottom) <= 0 && side(right, top) > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::NONE;
    use super::*;

    fn arc(points: &[(i32, i32)]) -> Vec<Point> {
        points.iter().map(|&(x, y)| Point::new(x, y)).collect()
    }

    #[test]
    fn an_edge_is_led_through_a_vertex_it_nearly_touches() {
        let mut arcs = Arcs::default();
        arcs.push(arc(&[(0, 0), (160, 0), (320, 160)]), [0, 1]);
        arcs.push(arc(&[(80, 7), (80, 320), (96, 400)]), [1, NONE]);
        let out = snap(&arcs, 4, None);
        let edges: Vec<_> = (0..out.len())
            .flat_map(|a| {
                out.points_of(a)
                    .windows(2)
                    .map(|p| (p[0], p[1]))
                    .collect::<Vec<_>>()
            })
            .collect();
        assert!(
            edges
                .iter()
                .any(|&(p, q)| p == Point::new(5, 0) || q == Point::new(5, 0))
        );
        assert!(!edges.contains(&(Point::new(0, 0), Point::new(10, 0))));
    }

    #[test]
    fn a_clip_line_gets_a_vertex_and_the_arc_stays_whole() {
        let mut arcs = Arcs::default();
        arcs.push(arc(&[(0, 0), (16 * 40, 16), (16 * 90, 16 * 11)]), [0, 1]);
        let out = snap(
            &arcs,
            4,
            Some(ClipLines {
                period_shift: 7,
                margin: 64,
            }),
        );
        assert_eq!(out.len(), 1);
        assert!(out.points.iter().any(|p| p.x == 64));
    }

    #[test]
    fn a_cell_owns_its_lower_left_corner_only() {
        let cell = Point::new(1, 1); // 8..24 at shift 4
        assert!(passes(Point::new(0, 16), Point::new(8, 8), cell, 4));
        assert!(!passes(Point::new(16, 32), Point::new(32, 16), cell, 4));
        assert!(!passes(Point::new(0, 16), Point::new(16, 32), cell, 4));
        assert!(passes(Point::new(10, 0), Point::new(10, 100), cell, 4));
        assert!(!passes(Point::new(24, 0), Point::new(24, 100), cell, 4));
        assert!(passes(Point::new(12, 12), Point::new(300, 13), cell, 4));
    }
}
