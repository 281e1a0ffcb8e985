//! Exact areas of the overlay of polygon layers on an integer grid.
//!
//! 1. [`LayerBuilder`] turns rings with labels into edges with a label on either side
//! 2. [`Overlay::new`] puts a grid over the edges of each layer
//! 3. [`Overlay::run`] walks boundaries. Every stretch between two crossings adds its share of
//!    Green's integral ∮ x dy to the combinations of labels on its left and takes it from those
//!    on its right; rings of pieces are never built
//! 4. the [`AreaTable`]s of all walks are added; or [`Lines`] keep the stretches themselves, and
//!    rings are linked from them where pieces with geometry are wanted
//!
//! What is computed: the integral, over the plane, of the product of the layers' winding numbers.
//! For layers of valid polygons that do not overlap within a layer this is the area of each
//! combination. [`OUTSIDE`] stands for the rest of a layer: 1 minus the sum of its winding
//! numbers. So the rows of one label always add up to the label's own area. Where a merged layer
//! overlaps itself each of its polygons counts in full, and `OUTSIDE` counts the excess negative;
//! in a stacked layer ([`LayerBuilder::finish_stacked`]) `OUTSIDE` is what nothing covers and the
//! excess is counted by [`OVERLAP`]. [`Overlay::overlapping`] tells which layers need that.
//!
//! Decisions are exact ([`segment`]). Coordinates of crossings are rounded to 2⁻¹⁶ grid units,
//! once per pair of edges, so boundaries close exactly and areas are integers: sums do not depend
//! on threads, order or cell size. The rounding moves an area by less than 2⁻¹⁶ of its perimeter
//! in grid units (0.1 mm: 0.0000016 m² for a perimeter of a kilometre). The idea of summing areas over edges without building faces is
//! W. R. Franklin's (OVERPROP, 1990).
//!
//! Not here: files, layers of a workspace, threads, reference systems (see `analysis`).

mod bow;
mod edges;
mod footprint;
mod index;
mod lines;
mod rings;
mod segment;
mod state;
mod table;
mod walk;

pub use bow::Bow;
pub use edges::{
    LayerBuilder, LayerEdges, MAX_COORDINATE, OUTSIDE, OVERLAP, RingRole, exact_ring_area,
};
pub use footprint::{EXACT_PER_SQUARE, Footprint, Place, Rings, Scratch};
pub use lines::{CROSSING_UNITS, Lines, Piece, Polygon};
pub use segment::GridPoint;
pub use table::{AreaTable, LabelHasher, Labels, in_square_grid_units};

use std::collections::BTreeSet;
use std::ops::Range;

use index::LayerIndex;
use segment::{FRACTION_BITS, Shift, position_along};
use state::State;
use walk::{Areas, Walk};

/// Layers in one overlay at most.
pub const MAX_LAYERS: usize = 6;

/// Edges per unit of work, about.
const UNIT_EDGES: u32 = 16_384;

/// A polygon over more cells of a layer's grid is not looked at as a box.
const MOST_CELLS: i64 = 4096;

/// Why an overlay cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    #[error(
        "point {point:?} of label {label} lies beyond the frame of ±2^45 grid units (坐标超出范围)"
    )]
    BeyondFrame { label: u32, point: GridPoint },
    #[error(
        "labels from {} on have a meaning and cannot be given to a polygon",
        OVERLAP
    )]
    ReservedLabel,
    #[error("a layer has more than {limit} edges (边数过多)")]
    TooManyEdges { limit: usize },
    #[error("{found} layers given, 2 to {MAX_LAYERS} expected (图层数不符)")]
    LayerCount { found: usize },
    #[error(
        "layer {asked} was found to be different at {point:?} by walking there and by looking there (内部校验失败)"
    )]
    ChainLabel { asked: usize, point: GridPoint },
}

/// Steers speed only; results do not depend on it.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Edges per cell of a layer's grid, on average.
    pub edges_per_cell: f64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            edges_per_cell: 1.0,
        }
    }
}

/// Indexed layers, ready to be walked.
#[derive(Debug)]
pub struct Overlay {
    layers: Vec<(LayerEdges, LayerIndex)>,
}

/// A part of the work; the tables of all units add up to the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    layer: usize,
    chains: Range<usize>,
}

impl Overlay {
    /// Indexes the layers. Their order is the order of labels in results.
    ///
    /// # Errors
    /// Fewer than two layers or more than [`MAX_LAYERS`].
    pub fn new(layers: Vec<LayerEdges>, options: Options) -> Result<Overlay, OverlayError> {
        let found = layers.len();
        if !(2..=MAX_LAYERS).contains(&found) {
            return Err(OverlayError::LayerCount { found });
        }
        Ok(Overlay::of(layers, options))
    }

    /// One layer alone: what is inside and what is outside of it.
    pub fn alone(layer: LayerEdges, options: Options) -> Overlay {
        Overlay::of(vec![layer], options)
    }

    fn of(layers: Vec<LayerEdges>, options: Options) -> Overlay {
        let last = layers.len() - 1;
        let layers = layers.into_iter().enumerate();
        Overlay {
            layers: layers
                .map(|(rank, layer)| indexed(rank, last, layer, options))
                .collect(),
        }
    }

    /// Numbers of the merged layers in which polygons lie on each other, or wind about a place
    /// more than once, within the window (west, south, east, north) if one is given.
    pub fn overlapping(&self, window: Option<[i64; 4]>) -> Vec<usize> {
        let window = in_crossing_units(window);
        self.layers
            .iter()
            .enumerate()
            .filter(|(_, (layer, index))| {
                let mut any = false;
                if layer.stacked.is_none() {
                    index.overlaps(&layer.edges, &window, |_| {
                        any = true;
                        false
                    });
                }
                any
            })
            .map(|(number, _)| number)
            .collect()
    }

    /// The labels of a merged layer's polygons that lie on others.
    pub fn overlapping_labels(&self, number: usize, window: Option<[i64; 4]>) -> BTreeSet<u32> {
        let (layer, index) = &self.layers[number];
        let mut labels = BTreeSet::new();
        index.overlaps(&layer.edges, &in_crossing_units(window), |state| {
            labels.extend(state.labels());
            true
        });
        labels
    }

    /// Gives a layer other edges.
    ///
    /// # Panics
    /// When there is no such layer.
    pub fn replace(&mut self, number: usize, layer: LayerEdges, options: Options) {
        let last = self.layers.len() - 1;
        self.layers[number] = indexed(number, last, layer, options);
    }

    /// Edges of each layer, after merging.
    pub fn edge_counts(&self) -> Vec<u64> {
        let count = |(layer, _): &(LayerEdges, LayerIndex)| layer.edge_count() as u64;
        self.layers.iter().map(count).collect()
    }

    /// The combinations of labels over a box of layer `lead` that no other layer crosses, with
    /// their weights; `lead`'s own label is left open. `None` when an edge comes near the box.
    pub fn uncrossed(&self, lead: usize, bounds: &[i64; 4]) -> Option<Vec<(Labels, i32)>> {
        let others = || (0..self.layers.len()).filter(|&layer| layer != lead);
        if !others().all(|layer| self.layers[layer].1.is_empty_box(*bounds, MOST_CELLS)) {
            return None;
        }
        let mut combinations = vec![([OUTSIDE; MAX_LAYERS], 1)];
        let mut state = State::default();
        for asked in others() {
            let (layer, index) = &self.layers[asked];
            let shift = Shift::between(lead as u32, asked as u32)?;
            index.locate(&layer.edges, [bounds[0], bounds[1]], shift, &mut state);
            let weights: Vec<(u32, i32)> = match layer.stacked {
                Some(_) => state.stacked_weights().collect(),
                None => state.weights().collect(),
            };
            combinations = combinations
                .into_iter()
                .flat_map(|(labels, times)| {
                    weights.iter().map(move |&(label, weight)| {
                        let mut labels: Labels = labels;
                        labels[asked] = label;
                        (labels, times * weight)
                    })
                })
                .collect();
        }
        Some(combinations)
    }

    /// The whole work in parts of similar size, in the order of the layers' rings.
    pub fn units(&self) -> Vec<Unit> {
        let mut units = Vec::new();
        for (layer, (edges, _)) in self.layers.iter().enumerate() {
            let chains = edges.chains.len() - 1;
            let mut start = 0;
            for end in 1..=chains {
                if end == chains || edges.chains[end] - edges.chains[start] >= UNIT_EDGES {
                    units.push(Unit {
                        layer,
                        chains: start..end,
                    });
                    start = end;
                }
            }
        }
        units
    }

    /// Walks one unit and adds its share to `table`.
    ///
    /// # Errors
    /// [`OverlayError::ChainLabel`] when the state carried along a chain is not the state found
    /// at its end: a fault of this program, reported rather than turned into a wrong area.
    pub fn run(&self, unit: &Unit, table: &mut AreaTable) -> Result<(), OverlayError> {
        Walk::new(self, unit.layer, Areas::new(table)).chains(unit.chains.clone())
    }

    /// Walks one unit and keeps the stretches of boundary.
    ///
    /// # Errors
    /// As [`Overlay::run`].
    pub fn trace(&self, unit: &Unit, lines: &mut Lines) -> Result<(), OverlayError> {
        Walk::new(self, unit.layer, lines).chains(unit.chains.clone())
    }

    /// Does all the work on this thread.
    ///
    /// # Errors
    /// As [`Overlay::run`].
    pub fn areas(&self) -> Result<AreaTable, OverlayError> {
        let mut table = AreaTable::default();
        for unit in self.units() {
            self.run(&unit, &mut table)?;
        }
        Ok(table)
    }
}

fn indexed(
    rank: usize,
    last: usize,
    layer: LayerEdges,
    options: Options,
) -> (LayerEdges, LayerIndex) {
    // A layer asks itself forward whether it overlaps, and both ways when it does.
    let mut asked_by = vec![Shift::Forward];
    if rank < last || layer.stacked.is_some() {
        asked_by.push(Shift::Backward);
    }
    let index = LayerIndex::build(&layer, options.edges_per_cell, &asked_by);
    (layer, index)
}

/// A window given in grid units, or everywhere.
fn in_crossing_units(window: Option<[i64; 4]>) -> [i64; 4] {
    const EVERYWHERE: [i64; 4] = [i64::MIN, i64::MIN, i64::MAX, i64::MAX];
    window.map_or(EVERYWHERE, |w| w.map(|v| v << FRACTION_BITS))
}
