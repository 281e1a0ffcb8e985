//! The middles of map pixels: the places at which a generalised layer keeps its class.
//!
//! A pixel of a zoom is a square of `2^shift` grid units, those of each coarser zoom are twice as
//! wide. Where a tile cannot hold every face, faces and bends between the middles may go: no
//! pixel changes its colour by that. The middles of all coarser zooms count as well, because
//! those levels are made from this one.
//!
//! The centre lies a 32nd of a pixel off, between the positions of a tile's grid, so that no border
//! is rounded to it; and borders are not brought into a small square about it.

use rayon::prelude::*;

use super::simplify::chunks_of;
use super::{Arcs, NONE, Point};

/// Pixels of a zoom and of all coarser ones.
#[derive(Debug, Clone, Copy)]
pub struct Pixels {
    /// A pixel's side is `2^shift` grid units; at least 1.
    pub shift: u32,
}

/// How many middles lie in a face.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Middles {
    /// Of pixels of this zoom.
    pub own: u32,
    /// Of pixels of coarser zooms.
    pub coarser: u32,
}

impl Middles {
    pub(super) fn any(self) -> bool {
        self.own > 0 || self.coarser > 0
    }

    pub(super) fn add(&mut self, other: Middles) {
        self.own += other.own;
        self.coarser += other.coarser;
    }
}

/// A border crosses a row of middles.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Crossing {
    cell: u64,
    y: i32,
    x: i32,
    /// The faces towards smaller and towards larger `x`.
    before: u32,
    after: u32,
}

/// Pixels of one zoom: `2^shift` units wide.
#[derive(Clone, Copy)]
struct Lattice {
    shift: u32,
}

/// What of a pixel's middle is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A square about its centre, a 64th of the pixel wide.
    Square,
    /// The point in its centre.
    Centre,
}

impl Lattice {
    fn pitch(self) -> i64 {
        1 << self.shift
    }

    fn centre(self) -> i64 {
        self.pitch() / 2 + self.pitch() / 32
    }

    /// Where it starts in the pixel, and how wide it is.
    fn extent_of(self, part: Part) -> (i64, i64) {
        match part {
            Part::Square => (self.centre() - self.pitch() / 128, 2 * (self.pitch() / 128)),
            Part::Centre => (self.centre(), 0),
        }
    }

    /// True when the triangle reaches into the part of a pixel's middle.
    fn is_reached(self, corners: [Point; 3], part: Part) -> bool {
        let (low, side) = self.extent_of(part);
        // Where the part of the first pixel starts that ends beyond a place.
        let first =
            |at: i64| (((at - low - side + self.pitch()) >> self.shift) << self.shift) + low;
        let range = |v: [i32; 3]| {
            [
                i64::from(v[0].min(v[1]).min(v[2])),
                i64::from(v[0].max(v[1]).max(v[2])),
            ]
        };
        let (x, y) = (range(corners.map(|p| p.x)), range(corners.map(|p| p.y)));
        if first(x[0]) >= x[1] {
            return false;
        }
        let mut top = first(y[0]);
        while top < y[1] {
            let band = [top.max(y[0]), (top + side).min(y[1])];
            let [from, to] = columns_in(corners, band);
            if (first(from.floor() as i64) as f64) < to {
                return true;
            }
            top += self.pitch();
        }
        false
    }

    /// Centres of middles in the columns `from..to`.
    fn count(self, from: i64, to: i64) -> u32 {
        let below = |end: i64| (end - 1 - self.centre() + self.pitch()) >> self.shift;
        (below(to) - below(from)).max(0) as u32
    }
}

/// What of a triangle's columns lies in a band of rows that meets it.
fn columns_in(corners: [Point; 3], band: [i64; 2]) -> [f64; 2] {
    let (mut from, mut to) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut add = |x: f64| (from, to) = (from.min(x), to.max(x));
    for i in 0..3 {
        let (p, q) = (corners[i], corners[(i + 1) % 3]);
        let rows = [i64::from(p.y), i64::from(q.y)];
        if (band[0]..=band[1]).contains(&rows[0]) {
            add(f64::from(p.x));
        }
        for y in band {
            if rows[0] != rows[1] && (rows[0].min(rows[1])..=rows[0].max(rows[1])).contains(&y) {
                add(x_at(p, q, y));
            }
        }
    }
    [from, to]
}

/// Coarser zooms that are looked at: beyond them a layer is a handful of pixels.
const COARSER_ZOOMS: u32 = 8;
/// Pixels wider than half the grid are none.
const WIDEST_SHIFT: u32 = 30;

impl Pixels {
    fn lattices(self) -> impl Iterator<Item = Lattice> {
        (self.shift..=(self.shift + COARSER_ZOOMS).min(WIDEST_SHIFT)).map(|shift| Lattice { shift })
    }

    /// True when a border that leaves `v` out between `a` and `b` passes over the centre of a
    /// pixel's middle, or comes too near to it.
    pub(super) fn forbids(self, [a, v, b]: [Point; 3]) -> bool {
        self.lattices().any(|lattice| {
            lattice.is_reached([a, v, b], Part::Centre)
                || lattice.is_reached([a, b, b], Part::Square)
        })
    }

    /// The middles in each face, for cells (squares of `2^cell_shift` units) that are wanted.
    pub(super) fn count(
        self,
        arcs: &Arcs,
        faces: usize,
        cell_shift: u32,
        is_wanted: impl Fn(u64) -> bool + Sync,
    ) -> Vec<Middles> {
        let side = 1i64 << cell_shift;
        let mut middles = vec![Middles::default(); faces];
        // One after the other: the crossings of all of them would be much to hold.
        for lattice in self.lattices() {
            let mut crossings: Vec<Crossing> = chunks_of(arcs, 1 << 15)
                .into_par_iter()
                .flat_map_iter(|chunk| {
                    let mut found = Vec::new();
                    for arc in chunk {
                        lattice.crossings(arcs, arc, cell_shift, &is_wanted, &mut found);
                    }
                    found
                })
                .collect();
            crossings.par_sort_unstable();
            for row in crossings.chunk_by(|a, b| (a.cell, a.y) == (b.cell, b.y)) {
                let left = ((row[0].cell >> 32) as i64) << cell_shift;
                let mut add = |face: u32, from: i64, to: i64| {
                    if face != NONE && from < to {
                        let middles = &mut middles[face as usize];
                        let count = match lattice.shift == self.shift {
                            true => &mut middles.own,
                            false => &mut middles.coarser,
                        };
                        *count += lattice.count(from, to);
                    }
                };
                let mut from = left;
                for crossing in row {
                    let x = i64::from(crossing.x);
                    add(crossing.before, from, x);
                    from = x;
                }
                add(row[row.len() - 1].after, from, left + side);
            }
        }
        middles
    }
}

impl Lattice {
    /// Where the borders of an arc cross the rows of middles in the cells that are wanted.
    fn crossings(
        self,
        arcs: &Arcs,
        arc: usize,
        cell_shift: u32,
        is_wanted: &impl Fn(u64) -> bool,
        found: &mut Vec<Crossing>,
    ) {
        let [left, right] = arcs.sides[arc];
        let mut last: Option<(u64, bool)> = None;
        for pair in arcs.points_of(arc).windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let (low, high) = (i64::from(a.y.min(b.y)), i64::from(a.y.max(b.y)));
            // Rows above the lower end, up to the upper one.
            let mut row = (low - self.centre() + self.pitch()) >> self.shift;
            loop {
                let y = (row << self.shift) + self.centre();
                if y > high {
                    break;
                }
                row += 1;
                let x = x_at(a, b, y).round() as i32;
                let cell = cell_of(Point::new(x, y as i32), cell_shift);
                let wanted = match last {
                    Some((known, wanted)) if known == cell => wanted,
                    _ => is_wanted(cell),
                };
                last = Some((cell, wanted));
                if wanted {
                    // Left of an edge towards larger rows is the smaller column.
                    let (before, after) = if b.y > a.y {
                        (left, right)
                    } else {
                        (right, left)
                    };
                    found.push(Crossing {
                        cell,
                        y: y as i32,
                        x,
                        before,
                        after,
                    });
                }
            }
        }
    }
}

/// The cell of `2^shift` units that holds a position.
pub fn cell_of(p: Point, shift: u32) -> u64 {
    (u64::from(p.x as u32 >> shift) << 32) | u64::from(p.y as u32 >> shift)
}

fn x_at(p: Point, q: Point, y: i64) -> f64 {
    let t = (y as f64 - f64::from(p.y)) / (f64::from(q.y) - f64::from(p.y));
    f64::from(p.x) + (f64::from(q.x) - f64::from(p.x)) * t
}

#[cfg(test)]
mod tests {
    use super::super::{Rings, build};
    use super::*;

    #[test]
    fn centres_are_counted() {
        let lattice = Lattice { shift: 8 }; // Centres at 136, 392, …
        let count = |from, to| lattice.count(from, to);
        assert_eq!((count(0, 137), count(0, 136), count(136, 137)), (1, 0, 1));
        assert_eq!((count(137, 392), count(-200, 1000)), (0, 5));
    }

    #[test]
    fn a_bend_around_a_middle_stays() {
        // Middles about 136, those of the next zoom about 272.
        let pixels = Pixels { shift: 8 };
        let p = Point::new;
        // Over the centre, and an edge that would come near.
        assert!(pixels.forbids([p(100, 100), p(140, 180), p(180, 100)]));
        assert!(pixels.forbids([p(100, 135), p(140, 100), p(180, 135)]));
        // Away from one that the border was near to.
        assert!(!pixels.forbids([p(100, 100), p(135, 130), p(180, 100)]));
        assert!(!pixels.forbids([p(150, 150), p(200, 250), p(250, 150)]));
        assert!(pixels.forbids([p(250, 250), p(270, 300), p(300, 250)]));
    }

    #[test]
    fn every_middle_lies_in_one_face() {
        let mut rings = Rings::default();
        let square = |x: i32, w: i32| [(x, 1024), (x + w, 1024), (x + w, 2048), (x, 2048)];
        for (face, (x, w)) in [(1024, 384), (1408, 640)].into_iter().enumerate() {
            rings.push(face as u32, square(x, w).map(|(x, y)| Point::new(x, y)));
        }
        let middles = Pixels { shift: 8 }.count(&build(&rings), 2, 14, |_| true);
        // Four rows; columns at 1160 and (1416, 1672, 1928).
        assert_eq!((middles[0].own, middles[1].own), (4, 12));
        // Two rows and columns at 1296 and 1808; one at 1568, one at 1088.
        assert_eq!((middles[0].coarser, middles[1].coarser), (3, 3));
    }
}
