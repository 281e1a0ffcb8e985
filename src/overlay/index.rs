//! A uniform grid over the edges of a layer, with the layer's state at the corner of every cell.
//!
//! 1. every edge is listed in the cells it touches, and in those it almost touches
//! 2. the state at a cell's lower left corner follows from its left neighbour's by walking the
//!    cell's lower side; the left end of every row lies outside the layer
//! 3. a position is located by walking from its cell's corner straight to it
//!
//! The walks ask the same question as the overlay itself ([`crossing`]), with the same symbolic
//! shift of the asking layer: there is no second rule for degenerate positions.

use std::collections::HashMap;

use super::edges::{Edge, LayerEdges, OUTSIDE};
use super::segment::{
    Arrival, FRACTION_BITS, GridPoint, Segment, Shift, crossing, meeting_point, position_along,
};
use super::state::State;

/// How much wider than itself an edge is listed, in grid units: more than the rounding of the
/// column heights, and enough for positions moved by ε.
const MARGIN: i64 = 2;

#[derive(Debug)]
pub(super) struct LayerIndex {
    origin: GridPoint,
    cell_bits: u32,
    columns: i64,
    rows: i64,
    /// Where each cell's list starts in `items`, and the end.
    starts: Vec<u32>,
    items: Vec<u32>,
    states: Vec<State>,
    /// State at the corner of each cell as asked by layers of lower rank; empty when none asks.
    corners_forward: Vec<u32>,
    /// The same for layers of higher rank.
    corners_backward: Vec<u32>,
}

impl LayerIndex {
    /// `edges_per_cell` steers the size of cells only; results do not depend on it.
    pub fn build(layer: &LayerEdges, edges_per_cell: f64, asked_by: &[Shift]) -> LayerIndex {
        let mut index = LayerIndex::lists(&layer.edges, edges_per_cell);
        let mut interned = HashMap::new();
        for &shift in asked_by {
            let corners = index.corners(&layer.edges, shift, &mut interned);
            match shift {
                Shift::Forward => index.corners_forward = corners,
                Shift::Backward => index.corners_backward = corners,
            }
        }
        let mut states: Vec<(State, u32)> = interned.into_iter().collect();
        states.sort_unstable_by_key(|entry| entry.1);
        index.states = states.into_iter().map(|entry| entry.0).collect();
        index
    }

    fn lists(edges: &[Edge], edges_per_cell: f64) -> LayerIndex {
        let mut bounds = [i64::MAX, i64::MAX, i64::MIN, i64::MIN];
        for edge in edges {
            let own = edge.segment.bounds();
            bounds = [
                bounds[0].min(own[0]),
                bounds[1].min(own[1]),
                bounds[2].max(own[2]),
                bounds[3].max(own[3]),
            ];
        }
        if edges.is_empty() {
            bounds = [0; 4];
        }
        let origin = [bounds[0] - 2 * MARGIN, bounds[1] - 2 * MARGIN];
        let width = bounds[2] - origin[0] + 2 * MARGIN;
        let height = bounds[3] - origin[1] + 2 * MARGIN;
        let wanted = (edges.len() as f64 / edges_per_cell).max(1.0);
        let side = (width as f64 * height as f64 / wanted).sqrt();
        let mut cell_bits = side.log2().round().max(2.0) as u32;
        // A thin layer must not get more cells than it has use for.
        let cells = |bits: u32| ((width >> bits) + 1) as f64 * ((height >> bits) + 1) as f64;
        while cells(cell_bits) > 4.0 * wanted + 64.0 {
            cell_bits += 1;
        }
        let mut index = LayerIndex {
            origin,
            cell_bits,
            columns: (width >> cell_bits) + 1,
            rows: (height >> cell_bits) + 1,
            starts: Vec::new(),
            items: Vec::new(),
            states: Vec::new(),
            corners_forward: Vec::new(),
            corners_backward: Vec::new(),
        };
        let mut starts = vec![0u32; (index.columns * index.rows) as usize + 1];
        // The cells of all edges one after the other, to find them once only.
        let mut cells: Vec<u32> = Vec::with_capacity(2 * edges.len());
        let mut ends: Vec<u32> = Vec::with_capacity(edges.len());
        for edge in edges {
            index.cells_of(&edge.segment, MARGIN, |cell| {
                starts[cell + 1] += 1;
                cells.push(cell as u32);
            });
            ends.push(cells.len() as u32);
        }
        for cell in 1..starts.len() {
            starts[cell] += starts[cell - 1];
        }
        let mut next = starts.clone();
        let mut items = vec![0u32; cells.len()];
        let mut start = 0;
        for (number, &end) in ends.iter().enumerate() {
            for &cell in &cells[start..end as usize] {
                let slot = &mut next[cell as usize];
                items[*slot as usize] = number as u32;
                *slot += 1;
            }
            start = end as usize;
        }
        index.starts = starts;
        index.items = items;
        index
    }

    /// Calls `each` with every cell within `margin` of a segment, and perhaps a few more.
    #[inline]
    pub fn cells_of(&self, segment: &Segment, margin: i64, mut each: impl FnMut(usize)) {
        let bounds = segment.bounds();
        let column = |x: i64| (x - self.origin[0]) >> self.cell_bits;
        let row = |y: i64| (y - self.origin[1]) >> self.cell_bits;
        let first = column(bounds[0] - margin).max(0);
        let last = column(bounds[2] + margin).min(self.columns - 1);
        let bottom = row(bounds[1] - margin).max(0);
        let top = row(bounds[3] + margin).min(self.rows - 1);
        if first > last || bottom > top {
            return;
        }
        // A vertical segment has no slope: all cells of its box are its own.
        if first == last || bottom == top || segment.from[0] == segment.to[0] {
            for row in bottom..=top {
                for column in first..=last {
                    each((row * self.columns + column) as usize);
                }
            }
            return;
        }
        let slope =
            (segment.to[1] - segment.from[1]) as f64 / (segment.to[0] - segment.from[0]) as f64;
        for column in first..=last {
            let west = (self.origin[0] + (column << self.cell_bits) - margin).max(bounds[0]);
            let east = (self.origin[0] + ((column + 1) << self.cell_bits) + margin).min(bounds[2]);
            let height = |x: i64| segment.from[1] as f64 + slope * (x - segment.from[0]) as f64;
            let (a, b) = (height(west), height(east));
            // Two units more: the heights are rounded.
            let low = row(a.min(b) as i64 - margin - 2).max(bottom);
            let high = row(a.max(b) as i64 + margin + 2).min(top);
            for row in low..=high {
                each((row * self.columns + column) as usize);
            }
        }
    }

    /// Whether no edge is listed in any cell of a box; said of boxes of at most `most` cells.
    pub fn is_empty_box(&self, bounds: [i64; 4], most: i64) -> bool {
        let column = |x: i64| ((x - self.origin[0]) >> self.cell_bits).clamp(0, self.columns - 1);
        let row = |y: i64| ((y - self.origin[1]) >> self.cell_bits).clamp(0, self.rows - 1);
        let (first, last) = (column(bounds[0]), column(bounds[2]));
        let (bottom, top) = (row(bounds[1]), row(bounds[3]));
        (last - first + 1) * (top - bottom + 1) <= most
            && (bottom..=top).all(|row| {
                let cell = row * self.columns;
                let (from, to) = ((cell + first) as usize, (cell + last) as usize + 1);
                self.starts[from] == self.starts[to]
            })
    }

    /// The edges listed in a cell.
    #[inline]
    pub fn edges_in(&self, cell: usize) -> &[u32] {
        &self.items[self.starts[cell] as usize..self.starts[cell + 1] as usize]
    }

    fn corner(&self, column: i64, row: i64) -> GridPoint {
        [
            self.origin[0] + (column << self.cell_bits),
            self.origin[1] + (row << self.cell_bits),
        ]
    }

    fn corners(
        &self,
        edges: &[Edge],
        shift: Shift,
        interned: &mut HashMap<State, u32>,
    ) -> Vec<u32> {
        let mut corners = Vec::with_capacity(self.starts.len() - 1);
        let mut state = State::default();
        for row in 0..self.rows {
            state.clear();
            let mut number = intern(interned, &state);
            for column in 0..self.columns {
                corners.push(number);
                let walk = Segment {
                    from: self.corner(column, row),
                    to: self.corner(column + 1, row),
                };
                let cell = (row * self.columns + column) as usize;
                if self.follow(edges, cell, &walk, shift, &mut state) {
                    number = intern(interned, &state);
                }
            }
        }
        corners
    }

    /// Takes `state` along a walk inside one cell; tells whether it met an edge.
    fn follow(
        &self,
        edges: &[Edge],
        cell: usize,
        walk: &Segment,
        shift: Shift,
        state: &mut State,
    ) -> bool {
        let mut met = false;
        for &number in self.edges_in(cell) {
            let edge = &edges[number as usize];
            if let Some(arrival) = crossing(walk, &edge.segment, shift) {
                state.cross(edge, arrival);
                met = true;
            }
        }
        met
    }

    /// The state at `point`, a position of a layer moved by `shift`.
    pub fn locate(&self, edges: &[Edge], point: GridPoint, shift: Shift, state: &mut State) {
        state.clear();
        let column = (point[0] - self.origin[0]) >> self.cell_bits;
        let row = (point[1] - self.origin[1]) >> self.cell_bits;
        if !(0..self.columns).contains(&column) || !(0..self.rows).contains(&row) {
            return;
        }
        let cell = (row * self.columns + column) as usize;
        let corners = match shift {
            Shift::Forward => &self.corners_forward,
            Shift::Backward => &self.corners_backward,
        };
        state.assign(&self.states[corners[cell] as usize]);
        let walk = Segment {
            from: self.corner(column, row),
            to: point,
        };
        self.follow(edges, cell, &walk, shift, state);
    }

    /// What the stacked polygons of a layer other than `label` are at `point`, a position of the
    /// polygon `label`: those with smaller labels are of lower rank.
    pub fn locate_others(
        &self,
        layer: &LayerEdges,
        point: GridPoint,
        label: u32,
        state: &mut State,
    ) {
        state.clear();
        let column = (point[0] - self.origin[0]) >> self.cell_bits;
        let row = (point[1] - self.origin[1]) >> self.cell_bits;
        if !(0..self.columns).contains(&column) || !(0..self.rows).contains(&row) {
            return;
        }
        let cell = (row * self.columns + column) as usize;
        let above = &self.states[self.corners_forward[cell] as usize];
        let below = &self.states[self.corners_backward[cell] as usize];
        let stacked = |other: u32| layer.is_stacked(other);
        state.extend_where(above, |other| other > label && stacked(other));
        state.extend_where(below, |other| other < label && stacked(other));
        let walk = Segment {
            from: self.corner(column, row),
            to: point,
        };
        for &number in self.edges_in(cell) {
            let edge = &layer.edges[number as usize];
            if stacked(edge.left)
                && let Some(shift) = Shift::between(label, edge.left)
                && let Some(arrival) = crossing(&walk, &edge.segment, shift)
            {
                state.cross(edge, arrival);
            }
        }
    }

    /// Where polygons of a merged layer lie on each other within a window (west, south, east,
    /// north, in units of crossings), asked of the edges that no neighbour shares: of what is
    /// covered twice, the western border is one of them. `found` is given the state there and
    /// says whether to go on. Needs the corners for `Forward`.
    pub fn overlaps(
        &self,
        edges: &[Edge],
        window: &[i64; 4],
        mut found: impl FnMut(&State) -> bool,
    ) {
        /// Crossings closer than this, in their units, may be in any order.
        const TIE: i64 = 4;
        let within = |p: GridPoint, q: GridPoint| {
            [0, 1].iter().all(|&axis| {
                p[axis].max(q[axis]) >= window[axis] && p[axis].min(q[axis]) <= window[axis + 2]
            })
        };
        let mut state = State::default();
        let mut crossings: Vec<(i64, u32, Arrival, GridPoint)> = Vec::new();
        let mut end_before = None;
        for edge in edges {
            let segment = &edge.segment;
            let (from, to) = (
                segment.from.map(|v| v << FRACTION_BITS),
                segment.to.map(|v| v << FRACTION_BITS),
            );
            if edge.right != OUTSIDE || !within(from, to) {
                end_before = None;
                continue;
            }
            if end_before != Some(segment.from) {
                self.locate(edges, segment.from, Shift::Forward, &mut state);
            }
            end_before = Some(segment.to);
            crossings.clear();
            self.cells_of(segment, 0, |cell| {
                for &number in self.edges_in(cell) {
                    let other = &edges[number as usize].segment;
                    if let Some(arrival) = crossing(segment, other, Shift::Forward) {
                        let point = meeting_point(segment, other);
                        let position = position_along(segment, point);
                        crossings.push((position, number, arrival, point));
                    }
                }
            });
            crossings.sort_unstable_by_key(|c| (c.0, c.1));
            crossings.dedup_by_key(|c| c.1);
            let twice = |state: &State, p: GridPoint, q: GridPoint| {
                let length = position_along(segment, q) - position_along(segment, p);
                length > TIE && !(0..=1).contains(&state.cover()) && within(p, q)
            };
            let mut at = from;
            for &(_, number, arrival, point) in &crossings {
                if twice(&state, at, point) && !found(&state) {
                    return;
                }
                at = point;
                state.cross(&edges[number as usize], arrival);
            }
            if twice(&state, at, to) && !found(&state) {
                return;
            }
        }
    }
}

fn intern(interned: &mut HashMap<State, u32>, state: &State) -> u32 {
    if let Some(&number) = interned.get(state) {
        return number;
    }
    let number = interned.len() as u32;
    interned.insert(state.clone(), number);
    number
}
