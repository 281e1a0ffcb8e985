//! Rings ⇄ shared arcs on one integer grid: what makes neighbours stay neighbours.
//!
//! In the order a pyramid uses them: `mesh` finds the borders that rings share and keeps each
//! once; `node` closes borders that meet without sharing their vertices; `overlap` gives places
//! that several faces claim to one of them; `simplify` takes vertices away without moving a junction or folding
//! a face; `merge` lets small faces join a neighbour; `pixels` says where the class must stay; `snap` rounds everything to a coarser grid
//! at once; `trace` walks the rings out of the arcs again.
//!
//! Knows no layers, files, zooms, tiles or reference systems: coordinates are `i32` in
//! `0..2³¹` of whatever square frame the caller chose. A ring lies so that its face is on the
//! left: shells have a positive shoelace sum, holes a negative one.
//!
//! Every result is independent of the number of threads.

mod generalise;
mod index;
mod merge;
mod mesh;
mod node;
mod overlap;
mod pixels;

mod simplify;
mod snap;
mod soup;
mod trace;

pub use generalise::{Tolerance, generalise};
pub use index::PointIndex;
pub use merge::{
    Balance, BalanceEntry, Effort, Face, FaceCost, MergeOptions, MergeReport, areas_of, dissolve,
    even_out, link,
};
pub use mesh::build;
pub use node::node_unmatched;
pub use overlap::{Overlaps, resolve_overlaps};
pub use pixels::{Pixels, cell_of};

pub use simplify::{Slack, simplify};
pub use snap::{ClipLines, snap};
pub use trace::{FaceRings, trace};

use rayon::prelude::*;

/// The side of an arc on which there is no face.
pub const NONE: u32 = u32::MAX;

/// A position on the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    pub x: i32,
    pub y: i32,
}

impl Point {
    pub fn new(x: i32, y: i32) -> Point {
        Point { x, y }
    }

    /// Orders like the point itself for coordinates that are not negative.
    pub fn key(self) -> u64 {
        (u64::from(self.x as u32) << 32) | u64::from(self.y as u32)
    }

    pub fn from_key(key: u64) -> Point {
        Point::new((key >> 32) as u32 as i32, key as u32 as i32)
    }
}

/// Twice the signed area of the triangle `a b c`; positive when `c` is left of `a → b`.
pub fn cross(a: Point, b: Point, c: Point) -> i64 {
    let (abx, aby) = (
        i64::from(b.x) - i64::from(a.x),
        i64::from(b.y) - i64::from(a.y),
    );
    let (acx, acy) = (
        i64::from(c.x) - i64::from(a.x),
        i64::from(c.y) - i64::from(a.y),
    );
    abx * acy - aby * acx
}

/// Twice the signed area of a ring, closed or not.
pub fn doubled_area(ring: &[Point]) -> i128 {
    let Some(&first) = ring.first() else { return 0 };
    ring.windows(2)
        .map(|pair| i128::from(cross(first, pair[0], pair[1])))
        .sum()
}

/// Rings with the face each bounds; open (the first vertex is not repeated), the face on the left.
#[derive(Debug, Clone, Default)]
pub struct Rings {
    pub points: Vec<Point>,
    /// One past the last vertex of each ring.
    pub ends: Vec<u32>,
    pub faces: Vec<u32>,
}

impl Rings {
    /// Appends a ring, leaving out repeated vertices; says whether anything of it was left.
    pub fn push(&mut self, face: u32, ring: impl IntoIterator<Item = Point>) -> bool {
        let start = self.points.len();
        for point in ring {
            if self.points.len() == start || *self.points.last().expect("not empty") != point {
                self.points.push(point);
            }
        }
        while self.points.len() > start + 1
            && self.points[start] == *self.points.last().expect("not empty")
        {
            self.points.pop();
        }
        if self.points.len() < start + 3 {
            self.points.truncate(start);
            return false;
        }
        self.ends.push(self.points.len() as u32);
        self.faces.push(face);
        true
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn range(&self, ring: usize) -> std::ops::Range<usize> {
        let start = if ring == 0 { 0 } else { self.ends[ring - 1] };
        start as usize..self.ends[ring] as usize
    }
}

/// Polylines between junctions, each with the face on its left and on its right.
///
/// An arc whose first and last vertex are equal is a ring of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arcs {
    pub points: Vec<Point>,
    /// One past the last vertex of each arc.
    pub ends: Vec<u32>,
    /// Left and right.
    pub sides: Vec<[u32; 2]>,
}

impl Arcs {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn range(&self, arc: usize) -> std::ops::Range<usize> {
        let start = if arc == 0 { 0 } else { self.ends[arc - 1] };
        start as usize..self.ends[arc] as usize
    }

    pub fn points_of(&self, arc: usize) -> &[Point] {
        &self.points[self.range(arc)]
    }

    pub fn push(&mut self, points: impl IntoIterator<Item = Point>, sides: [u32; 2]) {
        self.points.extend(points);
        self.ends.push(self.points.len() as u32);
        self.sides.push(sides);
    }

    /// The keys of all first and last vertices, sorted.
    fn end_keys(&self) -> Vec<u64> {
        let mut keys: Vec<u64> = (0..self.len())
            .flat_map(|arc| {
                let points = self.points_of(arc);
                [points[0].key(), points[points.len() - 1].key()]
            })
            .collect();
        keys.par_sort_unstable();
        keys
    }

    /// Appends the arcs of `other`.
    pub fn append(&mut self, other: &Arcs) {
        let base = self.points.len() as u32;
        self.points.extend_from_slice(&other.points);
        self.ends.extend(other.ends.iter().map(|end| end + base));
        self.sides.extend_from_slice(&other.sides);
    }
}
