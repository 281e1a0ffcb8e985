//! The walk along a layer's boundaries through all other layers.
//!
//! A chain starts at a place that is located in every other layer; from there on each crossing
//! says how its layer changes. Between two changes runs a *stretch*, and a [`Sink`] is told the
//! labels on both of its sides. In a stacked layer a chain asks the layer's other polygons too.

use std::ops::Range;

use super::edges::{Edge, OUTSIDE, OVERLAP};
use super::segment::{
    Arrival, FRACTION_BITS, GridPoint, Shift, crossing, meeting_point, position_along, twice_area,
};
use super::state::State;
use super::table::{AreaTable, Labels};
use super::{MAX_LAYERS, Overlay, OverlayError};

/// What becomes of stretches.
pub(super) trait Sink {
    /// The boundary goes on from `from` to `to` (units of crossings); `bow` is what the line
    /// encloses beyond its chord, in the units of `twice_area`.
    fn step(&mut self, from: GridPoint, to: GridPoint, bow: i128);
    /// Nothing was added since the stretch before ended.
    fn is_empty(&self) -> bool;
    /// Ends the stretch: `labels` are on its left `weight` times (on its right when negative).
    /// Called for all combinations of one stretch, then `end` once.
    fn book(&mut self, labels: &Labels, weight: i32);
    fn end(&mut self);
}

/// Sums Green's integral over stretches.
pub(super) struct Areas<'a> {
    table: &'a mut AreaTable,
    pending: i128,
}

impl<'a> Areas<'a> {
    pub fn new(table: &'a mut AreaTable) -> Areas<'a> {
        Areas { table, pending: 0 }
    }
}

impl Sink for Areas<'_> {
    #[inline]
    fn step(&mut self, from: GridPoint, to: GridPoint, bow: i128) {
        self.pending = self
            .pending
            .wrapping_add(twice_area(from, to))
            .wrapping_add(bow);
    }

    fn is_empty(&self) -> bool {
        self.pending == 0
    }

    fn book(&mut self, labels: &Labels, weight: i32) {
        let amount = self.pending.wrapping_mul(i128::from(weight));
        self.table.add(labels, amount);
    }

    fn end(&mut self) {
        self.pending = 0;
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

pub(super) struct Walk<'a, S> {
    overlay: &'a Overlay,
    layer: usize,
    sink: S,
    /// What covers the current position in each layer; of the walked layer, if it is stacked,
    /// what its other polygons are there.
    states: Vec<State>,
    crossings: Vec<Crossing>,
    /// Labels of the stretch on the left and on the right.
    sides: (u32, u32),
    located: State,
}

impl<'a, S: Sink> Walk<'a, S> {
    pub fn new(overlay: &'a Overlay, layer: usize, sink: S) -> Walk<'a, S> {
        Walk {
            overlay,
            layer,
            sink,
            states: vec![State::default(); overlay.layers.len()],
            crossings: Vec::new(),
            sides: (OUTSIDE, OUTSIDE),
            located: State::default(),
        }
    }

    pub fn chains(&mut self, chains: Range<usize>) -> Result<(), OverlayError> {
        for chain in chains {
            self.chain(chain)?;
        }
        Ok(())
    }

    fn shift(&self, asked: usize) -> Option<Shift> {
        Shift::between(self.layer as u32, asked as u32)
    }

    fn chain(&mut self, chain: usize) -> Result<(), OverlayError> {
        let overlay = self.overlay;
        let own = &overlay.layers[self.layer].0;
        let edges = &own.edges[own.chains[chain] as usize..own.chains[chain + 1] as usize];
        let (Some(first), Some(last)) = (edges.first(), edges.last()) else {
            return Ok(());
        };
        for asked in 0..overlay.layers.len() {
            let mut state = std::mem::take(&mut self.states[asked]);
            self.locate(asked, first.segment.from, first.left, &mut state);
            self.states[asked] = state;
        }
        for edge in edges {
            self.edge(edge);
        }
        self.flush();
        for asked in 0..overlay.layers.len() {
            let mut located = std::mem::take(&mut self.located);
            self.locate(asked, last.segment.to, last.left, &mut located);
            let agrees = located == self.states[asked];
            self.located = located;
            if !agrees {
                return Err(OverlayError::ChainLabel {
                    asked,
                    point: last.segment.to,
                });
            }
        }
        Ok(())
    }

    /// The state of a layer at a position of this chain, whose polygon is `label`.
    fn locate(&self, asked: usize, point: GridPoint, label: u32, state: &mut State) {
        let (layer, index) = &self.overlay.layers[asked];
        match self.shift(asked) {
            Some(shift) => index.locate(&layer.edges, point, shift, state),
            None if layer.is_stacked(label) => index.locate_others(layer, point, label, state),
            None => state.clear(),
        }
    }

    #[inline]
    fn edge(&mut self, edge: &Edge) {
        if self.sides != (edge.left, edge.right) {
            self.flush();
            self.sides = (edge.left, edge.right);
        }
        self.find_crossings(edge);
        let bow = &self.overlay.layers[self.layer].0.bow;
        let segment = &edge.segment;
        let from = segment.from.map(|v| v << FRACTION_BITS);
        let to = segment.to.map(|v| v << FRACTION_BITS);
        let straight = bow.is_straight();
        let whole = if straight { 0 } else { bow.amount(segment) };
        if self.crossings.is_empty() {
            self.sink.step(from, to, whole);
            return;
        }
        let (mut at, mut done) = (from, 0);
        let crossings = std::mem::take(&mut self.crossings);
        for crossing in &crossings {
            let until = if straight {
                0
            } else {
                bow.amount_until(segment, crossing.point)
            };
            self.sink.step(at, crossing.point, until - done);
            self.flush();
            (at, done) = (crossing.point, until);
            let crossed = &self.overlay.layers[crossing.layer].0.edges[crossing.edge as usize];
            self.states[crossing.layer].cross(crossed, crossing.arrival);
        }
        self.crossings = crossings;
        self.sink.step(at, to, whole - done);
    }

    #[inline]
    fn find_crossings(&mut self, edge: &Edge) {
        let segment = &edge.segment;
        self.crossings.clear();
        for asked in 0..self.overlay.layers.len() {
            let (layer, index) = &self.overlay.layers[asked];
            let between_layers = self.shift(asked);
            let stacked = between_layers.is_none();
            if stacked && !layer.is_stacked(edge.left) {
                continue;
            }
            let crossings = &mut self.crossings;
            index.cells_of(segment, 0, |cell| {
                for &number in index.edges_in(cell) {
                    let other = &layer.edges[number as usize];
                    if stacked && !layer.is_stacked(other.left) {
                        continue;
                    }
                    let shift = between_layers.or_else(|| Shift::between(edge.left, other.left));
                    let Some(shift) = shift else { continue };
                    if let Some(arrival) = crossing(segment, &other.segment, shift) {
                        let point = match shift {
                            Shift::Forward => meeting_point(segment, &other.segment),
                            Shift::Backward => meeting_point(&other.segment, segment),
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

    /// Books the stretch that ends here to the combinations of labels on both sides.
    fn flush(&mut self) {
        if self.sink.is_empty() {
            return;
        }
        let (left, right) = self.sides;
        let mut labels = [OUTSIDE; MAX_LAYERS];
        if self.overlay.layers[self.layer].0.is_stacked(left) {
            let others = self.states[self.layer].cover();
            let outside = |cover: i32| i32::from(cover <= 0);
            let more_outside = outside(others + 1) - outside(others);
            let own = [
                (left, 1),
                (OUTSIDE, more_outside),
                (OVERLAP, 1 + more_outside),
            ];
            for (label, weight) in own.into_iter().filter(|own| own.1 != 0) {
                labels[self.layer] = label;
                self.combine(0, weight, &mut labels);
            }
        } else {
            for (label, weight) in [(left, 1), (right, -1)] {
                labels[self.layer] = label;
                self.combine(0, weight, &mut labels);
            }
        }
        self.sink.end();
    }

    /// Walks through the product of the states of all other layers, from layer `next` on.
    fn combine(&mut self, next: usize, weight: i32, labels: &mut Labels) {
        if next == self.states.len() {
            self.sink.book(labels, weight);
        } else if next == self.layer {
            self.combine(next + 1, weight, labels);
        } else {
            let state = std::mem::take(&mut self.states[next]);
            if self.overlay.layers[next].0.stacked.is_some() {
                for (label, times) in state.stacked_weights() {
                    labels[next] = label;
                    self.combine(next + 1, weight * times, labels);
                }
            } else {
                for (label, times) in state.weights() {
                    labels[next] = label;
                    self.combine(next + 1, weight * times, labels);
                }
            }
            self.states[next] = state;
        }
    }
}
