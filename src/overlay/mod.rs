//! Exact areas of the overlay of polygon layers on an integer grid.
//!
//! 1. [`LayerBuilder`] turns rings with labels into edges with a label on either side
//! 2. [`Overlay::new`] puts a grid over the edges of each layer
//! 3. [`Overlay::run`] walks boundaries. Every stretch between two crossings adds its share of
//!    Green's integral ∮ x dy to the combinations of labels on its left and takes it from those
//!    on its right; rings of pieces are never built
//! 4. the [`AreaTable`]s of all walks are added
//!
//! What is computed: the integral, over the plane, of the product of the layers' winding numbers.
//! For layers of valid polygons that do not overlap within a layer this is the area of each
//! combination. [`OUTSIDE`] stands for the rest of a layer: 1 minus the sum of its winding
//! numbers. So the rows of one label always add up to the label's own area. Where a layer
//! overlaps itself each of its polygons counts in full, and `OUTSIDE` counts the excess negative.
//!
//! Decisions are exact ([`segment`]). Coordinates of crossings are rounded to 2⁻¹⁶ grid units,
//! once per pair of edges, so boundaries close exactly and areas are integers: sums do not depend
//! on threads, order or cell size. The rounding moves an area by less than 2⁻¹⁶ of its perimeter
//! in grid units (0.1 mm: 0.0000016 m² for a perimeter of a kilometre). The idea of summing areas over edges without building faces is
//! W. R. Franklin's (OVERPROP, 1990).
//!
//! Not here: files, layers of a workspace, threads, reference systems (see `analysis`).

mod edges;
mod footprint;
mod index;
mod segment;
mod state;
mod table;

pub use edges::{LayerBuilder, LayerEdges, MAX_COORDINATE, OUTSIDE, RingRole};
pub use footprint::{EXACT_PER_SQUARE, Footprint, Place, Rings, Scratch};
pub use segment::GridPoint;
pub use table::{AreaTable, Labels, in_square_grid_units};

use std::ops::Range;

use edges::Edge;
use index::LayerIndex;
use segment::{Arrival, FRACTION_BITS, Segment, Shift, crossing, meeting_point, twice_area};
use state::State;

/// Layers in one overlay at most.
pub const MAX_LAYERS: usize = 6;

/// Edges per unit of work, about.
const UNIT_EDGES: u32 = 16_384;

/// Why an overlay cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    #[error(
        "point {point:?} of label {label} lies beyond the frame of ±2^40 grid units (坐标超出范围)"
    )]
    BeyondFrame { label: u32, point: GridPoint },
    #[error("label {} means outside and cannot be given to a polygon", OUTSIDE)]
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
        let index = |(rank, layer): (usize, LayerEdges)| {
            let mut asked_by = Vec::new();
            if rank > 0 {
                asked_by.push(Shift::Forward);
            }
            if rank + 1 < found {
                asked_by.push(Shift::Backward);
            }
            let index = LayerIndex::build(&layer, options.edges_per_cell, &asked_by);
            (layer, index)
        };
        Ok(Overlay {
            layers: layers.into_iter().enumerate().map(index).collect(),
        })
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
        let mut walk = Walk::new(self, unit.layer, table);
        for chain in unit.chains.clone() {
            walk.chain(chain)?;
        }
        Ok(())
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

/// One crossing of the edge being walked.
struct Crossing {
    /// Where along the edge, in 2⁻¹⁶ grid units on its longer axis, in walking direction.
    position: i64,
    layer: usize,
    edge: u32,
    arrival: Arrival,
    point: GridPoint,
}

struct Walk<'a> {
    overlay: &'a Overlay,
    layer: usize,
    table: &'a mut AreaTable,
    /// What covers the current position in each layer; unused for the walked layer itself.
    states: Vec<State>,
    crossings: Vec<Crossing>,
    /// Green's integral since the labels or states last changed, and the labels it belongs to.
    pending: i128,
    sides: (u32, u32),
    located: State,
}

impl<'a> Walk<'a> {
    fn new(overlay: &'a Overlay, layer: usize, table: &'a mut AreaTable) -> Walk<'a> {
        Walk {
            overlay,
            layer,
            table,
            states: vec![State::default(); overlay.layers.len()],
            crossings: Vec::new(),
            pending: 0,
            sides: (OUTSIDE, OUTSIDE),
            located: State::default(),
        }
    }

    fn shift(&self, asked: usize) -> Shift {
        if self.layer < asked {
            Shift::Forward
        } else {
            Shift::Backward
        }
    }

    fn chain(&mut self, chain: usize) -> Result<(), OverlayError> {
        let overlay = self.overlay;
        let own = &overlay.layers[self.layer].0;
        let edges = &own.edges[own.chains[chain] as usize..own.chains[chain + 1] as usize];
        let (Some(first), Some(last)) = (edges.first(), edges.last()) else {
            return Ok(());
        };
        for asked in 0..overlay.layers.len() {
            if asked != self.layer {
                let (layer, index) = &overlay.layers[asked];
                let shift = self.shift(asked);
                index.locate(
                    &layer.edges,
                    first.segment.from,
                    shift,
                    &mut self.states[asked],
                );
            }
        }
        for edge in edges {
            self.edge(edge);
        }
        self.flush();
        for asked in 0..overlay.layers.len() {
            if asked != self.layer {
                let (layer, index) = &overlay.layers[asked];
                let shift = self.shift(asked);
                index.locate(&layer.edges, last.segment.to, shift, &mut self.located);
                if self.located != self.states[asked] {
                    return Err(OverlayError::ChainLabel {
                        asked,
                        point: last.segment.to,
                    });
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn edge(&mut self, edge: &Edge) {
        if self.sides != (edge.left, edge.right) {
            self.flush();
            self.sides = (edge.left, edge.right);
        }
        self.find_crossings(&edge.segment);
        let Segment { from, to } = edge.segment;
        if self.crossings.is_empty() {
            self.pending = self
                .pending
                .wrapping_add(twice_area(from, to) << (2 * FRACTION_BITS));
            return;
        }
        let mut at = from.map(|v| v << FRACTION_BITS);
        let crossings = std::mem::take(&mut self.crossings);
        for crossing in &crossings {
            self.pending = self.pending.wrapping_add(twice_area(at, crossing.point));
            self.flush();
            at = crossing.point;
            let crossed = &self.overlay.layers[crossing.layer].0.edges[crossing.edge as usize];
            self.states[crossing.layer].cross(crossed, crossing.arrival);
        }
        self.crossings = crossings;
        let end = to.map(|v| v << FRACTION_BITS);
        self.pending = self.pending.wrapping_add(twice_area(at, end));
    }

    #[inline]
    fn find_crossings(&mut self, segment: &Segment) {
        self.crossings.clear();
        for asked in 0..self.overlay.layers.len() {
            if asked == self.layer {
                continue;
            }
            let shift = self.shift(asked);
            let (layer, index) = &self.overlay.layers[asked];
            let crossings = &mut self.crossings;
            index.cells_of(segment, 0, |cell| {
                for &number in index.edges_in(cell) {
                    let other = &layer.edges[number as usize].segment;
                    if let Some(arrival) = crossing(segment, other, shift) {
                        let point = match shift {
                            Shift::Forward => meeting_point(segment, other),
                            Shift::Backward => meeting_point(other, segment),
                        };
                        let position = position_along(segment, point);
                        crossings.push(Crossing {
                            position,
                            layer: asked,
                            edge: number,
                            arrival,
                            point,
                        });
                    }
                }
            });
        }
        if self.crossings.len() > 1 {
            // A pair that shares several cells was found in each of them.
            self.crossings
                .sort_unstable_by_key(|c| (c.position, c.layer, c.edge));
            self.crossings.dedup_by_key(|c| (c.layer, c.edge));
        }
    }

    /// Books what is pending to the combinations of labels on both sides.
    fn flush(&mut self) {
        if self.pending == 0 {
            return;
        }
        let amount = std::mem::take(&mut self.pending);
        let mut labels = [OUTSIDE; MAX_LAYERS];
        for (own, signed) in [
            (self.sides.0, amount),
            (self.sides.1, amount.wrapping_neg()),
        ] {
            labels[self.layer] = own;
            combine(&self.states, self.layer, 0, signed, &mut labels, self.table);
        }
    }
}

/// Walks through the product of the states of all layers but `own`, from layer `next` on.
fn combine(
    states: &[State],
    own: usize,
    next: usize,
    amount: i128,
    labels: &mut Labels,
    table: &mut AreaTable,
) {
    if next == states.len() {
        table.add(labels, amount);
    } else if next == own {
        combine(states, own, next + 1, amount, labels, table);
    } else {
        for (label, weight) in states[next].weights() {
            labels[next] = label;
            let weighted = amount.wrapping_mul(i128::from(weight));
            combine(states, own, next + 1, weighted, labels, table);
        }
    }
}

/// A position on the longer axis of a segment, increasing in its direction.
fn position_along(segment: &Segment, point: GridPoint) -> i64 {
    let extent = [
        segment.to[0] - segment.from[0],
        segment.to[1] - segment.from[1],
    ];
    let axis = usize::from(extent[1].abs() > extent[0].abs());
    point[axis] * extent[axis].signum()
}
