//! Pieces with geometry: the stretches of a walk, sorted by the labels on their left.
//!
//! 1. every stretch is kept for the combinations of labels on both of its sides; those outside of
//!    the leading layer and those of what is covered twice are not
//! 2. a label of the leading layer that has one combination only is *whole*: nothing crosses it,
//!    and its rings are not built
//! 3. of all others the stretches are linked to rings (see `rings`)
//!
//! Knows no attributes and no reference systems: points are crossings' points, on the grid and
//! between its nodes.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::rings::{self, Step};
use super::segment::{FRACTION_BITS, GridPoint};
use super::table::{LabelHasher, Labels};
use super::walk::Sink;
use super::{OUTSIDE, OVERLAP};

/// Units of a crossing's coordinates in a grid unit.
pub const CROSSING_UNITS: i64 = 1 << FRACTION_BITS;

/// A crossing so close to a node of the grid is that node: it was rounded next to a vertex.
const SNAP: i64 = CROSSING_UNITS >> 8;

/// The stretches of one piece of work.
#[derive(Debug)]
pub struct Lines {
    lead: usize,
    /// Layers whose polygons count as one area, as bits.
    united: u32,
    points: Vec<GridPoint>,
    /// Where in `points` the pending stretch starts.
    start: usize,
    pieces: HashMap<Labels, u32, BuildHasherDefault<LabelHasher>>,
    stretches: Vec<Stretch>,
}

#[derive(Debug, Clone, Copy)]
struct Stretch {
    piece: u32,
    start: u32,
    end: u32,
    reversed: bool,
}

/// One combination of labels and its polygons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub labels: Labels,
    /// `None` when the piece is all of the leading layer's label.
    pub polygons: Option<Vec<Polygon>>,
}

/// Closed rings, the shell first and counter-clockwise, holes clockwise; coordinates in
/// [`CROSSING_UNITS`] of a grid unit.
pub type Polygon = Vec<Vec<GridPoint>>;

impl Lines {
    /// Pieces of the polygons of layer number `lead`.
    pub fn of(lead: usize) -> Lines {
        Lines {
            lead,
            united: 0,
            points: Vec::new(),
            start: 0,
            pieces: HashMap::default(),
            stretches: Vec::new(),
        }
    }

    /// Counts all polygons of a layer as one area with the label 0.
    pub fn united(mut self, layer: usize) -> Lines {
        self.united |= 1 << layer;
        self
    }

    /// All pieces that satisfy `wanted`, ordered by the leading label, then by all labels. With
    /// `always` rings are built of whole labels too.
    pub fn into_pieces(self, always: bool, wanted: impl Fn(&Labels) -> bool) -> Vec<Piece> {
        let lead = self.lead;
        let mut by_piece: Vec<(Labels, u32)> = self
            .pieces
            .iter()
            .map(|(&labels, &n)| (labels, n))
            .collect();
        by_piece.sort_unstable_by_key(|(labels, _)| (labels[lead], *labels));
        let mut first: Vec<u32> = vec![0; self.pieces.len() + 1];
        for stretch in &self.stretches {
            first[stretch.piece as usize + 1] += 1;
        }
        for piece in 1..first.len() {
            first[piece] += first[piece - 1];
        }
        let mut next = first.clone();
        let mut sorted = vec![0u32; self.stretches.len()];
        for (number, stretch) in self.stretches.iter().enumerate() {
            let slot = &mut next[stretch.piece as usize];
            sorted[*slot as usize] = number as u32;
            *slot += 1;
        }
        let mut out = Vec::new();
        let mut steps: Vec<Step> = Vec::new();
        for label in by_piece.chunk_by(|a, b| a.0[lead] == b.0[lead]) {
            if let [(labels, _)] = label
                && !always
            {
                if wanted(labels) {
                    out.push(Piece {
                        labels: *labels,
                        polygons: None,
                    });
                }
                continue;
            }
            let before = out.len();
            let mut unwanted = 0;
            for &(labels, piece) in label {
                steps.clear();
                let own = first[piece as usize] as usize..first[piece as usize + 1] as usize;
                for &number in &sorted[own] {
                    self.steps_of(&self.stretches[number as usize], &mut steps);
                }
                let polygons = rings::polygons(&mut steps);
                if polygons.is_empty() {
                    continue;
                }
                if wanted(&labels) {
                    out.push(Piece {
                        labels,
                        polygons: Some(polygons),
                    });
                } else {
                    unwanted += 1;
                }
            }
            // All others had no area: neighbours that touch.
            if let [only] = &mut out[before..]
                && unwanted == 0
                && !always
            {
                only.polygons = None;
            }
        }
        out
    }

    fn steps_of(&self, stretch: &Stretch, steps: &mut Vec<Step>) {
        let points = &self.points[stretch.start as usize..stretch.end as usize];
        for pair in points.windows(2) {
            let (from, to) = (snapped(pair[0]), snapped(pair[1]));
            if from != to {
                steps.push(if stretch.reversed {
                    Step { from: to, to: from }
                } else {
                    Step { from, to }
                });
            }
        }
    }
}

/// A function of the point alone, so that both sides of a border see the same.
fn snapped(point: GridPoint) -> GridPoint {
    let node = point.map(|v| (v + CROSSING_UNITS / 2) >> FRACTION_BITS << FRACTION_BITS);
    let near = |axis: usize| (point[axis] - node[axis]).abs() <= SNAP;
    if near(0) && near(1) { node } else { point }
}

impl Sink for &mut Lines {
    fn step(&mut self, from: GridPoint, to: GridPoint, _bow: i128) {
        if self.points.len() == self.start {
            self.points.push(from);
        }
        self.points.push(to);
    }

    fn is_empty(&self) -> bool {
        self.points.len() == self.start
    }

    fn book(&mut self, labels: &Labels, weight: i32) {
        let (mut labels, mut weight) = (*labels, weight);
        for (layer, label) in labels.iter_mut().enumerate() {
            if self.united >> layer & 1 == 1 && *label != OUTSIDE {
                // What is covered twice was counted once too often.
                if *label == OVERLAP {
                    weight = -weight;
                }
                *label = 0;
            }
        }
        if labels[self.lead] == OUTSIDE || labels.contains(&OVERLAP) {
            return;
        }
        let count = self.pieces.len() as u32;
        let piece = *self.pieces.entry(labels).or_insert(count);
        self.stretches.push(Stretch {
            piece,
            start: self.start as u32,
            end: self.points.len() as u32,
            reversed: weight < 0,
        });
    }

    fn end(&mut self) {
        self.start = self.points.len();
    }
}
