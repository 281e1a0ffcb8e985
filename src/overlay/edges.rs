//! A layer as directed edges with a label on either side.
//!
//! 1. rings are oriented (shells counter-clockwise, holes clockwise) and cut into edges that have
//!    the ring's label on their left
//! 2. edges that neighbours share are merged: each is kept once, with a label on both sides;
//!    where both labels are equal the edge bounds nothing and is dropped
//! 3. what remains is cut into chains, the pieces of boundary that are walked in one go
//!
//! A border whose vertices do not match on both sides stays two edges; results are the same.
//!
//! A layer whose polygons lie on each other is finished without merging
//! ([`LayerBuilder::finish_stacked`]): its polygons are then told apart by their labels.

use super::OverlayError;
use super::bow::Bow;
use super::segment::{FRACTION_BITS, GridPoint, Segment, twice_area};

/// The label of what no polygon of a layer covers.
pub const OUTSIDE: u32 = u32::MAX;

/// The label of what more than one polygon of a stacked layer covers, once for each beyond the
/// first.
pub const OVERLAP: u32 = u32::MAX - 1;

/// Largest coordinate, either sign: crossings have sixteen more bits and their sums must fit.
pub const MAX_COORDINATE: i64 = 1 << 45;

/// Edges per chain at most: a ring of a million vertices is walked by many threads.
const CHAIN_EDGES: usize = 2048;

/// What a ring is in its polygon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingRole {
    Shell,
    Hole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge {
    pub segment: Segment,
    pub left: u32,
    pub right: u32,
}

/// Collects the rings of a layer.
#[derive(Debug, Default)]
pub struct LayerBuilder {
    edges: Vec<Edge>,
    /// Index of the first edge of each ring.
    rings: Vec<u32>,
    ring: Vec<GridPoint>,
    bow: Bow,
}

/// A layer ready to be overlaid.
#[derive(Debug)]
pub struct LayerEdges {
    pub(super) edges: Vec<Edge>,
    /// Index of the first edge of each chain, and the number of edges at the end.
    pub(super) chains: Vec<u32>,
    pub(super) bow: Bow,
    /// Which labels are those of polygons that may lie on each other; `None` when none is. Their
    /// edges are not merged.
    pub(super) stacked: Option<Box<[bool]>>,
}

impl LayerEdges {
    pub(super) fn is_stacked(&self, label: u32) -> bool {
        self.stacked
            .as_ref()
            .is_some_and(|stacked| stacked.get(label as usize).is_some_and(|is| *is))
    }
}

impl LayerBuilder {
    /// Edges of this layer stand for lines that bow out of them.
    pub fn with_bow(bow: Bow) -> LayerBuilder {
        LayerBuilder {
            bow,
            ..LayerBuilder::default()
        }
    }

    /// Adds a ring, closed or not, of a polygon with this label. Rings may have any orientation.
    /// A ring that crosses itself counts by its winding: the parts it turns around clockwise
    /// count negative for a shell, as in the usual area formula.
    ///
    /// # Errors
    /// A coordinate beyond [`MAX_COORDINATE`], one of the labels [`OUTSIDE`] and [`OVERLAP`], more
    /// than 2³¹ edges.
    pub fn push_ring(
        &mut self,
        label: u32,
        role: RingRole,
        points: impl IntoIterator<Item = GridPoint>,
    ) -> Result<(), OverlayError> {
        if label >= OVERLAP {
            return Err(OverlayError::ReservedLabel);
        }
        self.ring.clear();
        for point in points {
            if point
                .iter()
                .any(|v| !(-MAX_COORDINATE..=MAX_COORDINATE).contains(v))
            {
                return Err(OverlayError::BeyondFrame { label, point });
            }
            if self.ring.last() != Some(&point) {
                self.ring.push(point);
            }
        }
        if self.ring.len() > 1 && self.ring.first() == self.ring.last() {
            self.ring.pop();
        }
        if self.ring.len() < 3 {
            return Ok(());
        }
        if self.edges.len() + self.ring.len() > i32::MAX as usize {
            return Err(OverlayError::TooManyEdges {
                limit: i32::MAX as usize,
            });
        }
        let count = self.ring.len();
        let twice: i128 = (0..count)
            .map(|i| twice_area(self.ring[i], self.ring[(i + 1) % count]))
            .sum();
        if (twice < 0) == (role == RingRole::Shell) {
            self.ring.reverse();
        }
        self.rings.push(self.edges.len() as u32);
        for i in 0..count {
            let segment = Segment {
                from: self.ring[i],
                to: self.ring[(i + 1) % count],
            };
            self.edges.push(Edge {
                segment,
                left: label,
                right: OUTSIDE,
            });
        }
        Ok(())
    }

    /// Merges shared edges and cuts chains.
    pub fn finish(mut self) -> LayerEdges {
        let kept = merge_shared(&mut self.edges, |_| true);
        self.chained(&kept, None)
    }

    /// For a layer that overlaps itself: [`OUTSIDE`] is what no polygon covers, and what lies on
    /// each other is told by [`OVERLAP`]. Each polygon needs a label of its own.
    pub fn finish_stacked(self) -> LayerEdges {
        self.finish_stacked_where(|_| true)
    }

    /// The same when only polygons with some of the labels lie on each other: only those need
    /// labels of their own, and everything else is merged.
    pub fn finish_stacked_where(mut self, stacked: impl Fn(u32) -> bool) -> LayerEdges {
        let most = self.edges.iter().map(|edge| edge.left).max();
        let labels = most.map_or(0, |most| most + 1);
        let stacked: Box<[bool]> = (0..labels).map(stacked).collect();
        let kept = merge_shared(&mut self.edges, |label| !stacked[label as usize]);
        self.chained(&kept, Some(stacked))
    }

    fn chained(mut self, kept: &[bool], stacked: Option<Box<[bool]>>) -> LayerEdges {
        let mut chains = Vec::new();
        let mut count = 0;
        let mut rings = self.rings.iter().peekable();
        let mut chain_start = 0;
        let mut end_before = None;
        for (index, &is_kept) in kept.iter().enumerate() {
            let ring_starts = rings.next_if(|&&start| start as usize == index).is_some();
            if !is_kept {
                if ring_starts {
                    end_before = None;
                }
                continue;
            }
            let edge = self.edges[index];
            let connected = !ring_starts && end_before == Some(edge.segment.from);
            if !connected || count - chain_start >= CHAIN_EDGES {
                chain_start = count;
                chains.push(count as u32);
            }
            self.edges[count] = edge;
            end_before = Some(edge.segment.to);
            count += 1;
        }
        self.edges.truncate(count);
        self.edges.shrink_to_fit();
        chains.push(count as u32);
        LayerEdges {
            edges: self.edges,
            chains,
            bow: self.bow,
            stacked,
        }
    }
}

/// The area a ring adds to its polygon, in the units of `AreaTable::rows_exact`: positive for
/// shells and negative for holes, whatever the orientation.
pub fn exact_ring_area(ring: &[GridPoint], role: RingRole, bow: &Bow) -> i128 {
    let (mut twice, mut bows) = (0i128, 0i128);
    let mut add = |from: GridPoint, to: GridPoint| {
        twice += twice_area(from, to);
        if !bow.is_straight() && from != to {
            bows += bow.amount(&Segment { from, to });
        }
    };
    for pair in ring.windows(2) {
        add(pair[0], pair[1]);
    }
    if let (Some(&first), Some(&last)) = (ring.first(), ring.last()) {
        add(last, first);
    }
    let area = (twice << (2 * FRACTION_BITS)) + bows;
    if (twice < 0) == (role == RingRole::Shell) {
        -area
    } else {
        area
    }
}

/// Gives an edge the label of the equal edge that runs the other way, where `merged` says so of
/// both labels; tells which ones remain.
fn merge_shared(edges: &mut [Edge], merged: impl Fn(u32) -> bool) -> Vec<bool> {
    const EMPTY: u32 = u32::MAX;
    let mut kept = vec![true; edges.len()];
    let slots = (edges.len() * 2).next_power_of_two().max(2);
    let mask = slots - 1;
    let mut table = vec![EMPTY; slots];
    for index in 0..edges.len() {
        let Edge {
            segment: Segment { from, to },
            left: label,
            ..
        } = edges[index];
        if !merged(label) {
            continue;
        }
        let mut slot = hash(from.min(to), from.max(to)) as usize & mask;
        loop {
            let at = table[slot];
            if at == EMPTY {
                table[slot] = index as u32;
                break;
            }
            let other = &mut edges[at as usize];
            if other.right == OUTSIDE && other.segment.from == to && other.segment.to == from {
                other.right = label;
                kept[index] = false;
                kept[at as usize] = other.left != label;
                break;
            }
            slot = (slot + 1) & mask;
        }
    }
    kept
}

/// Mixes four coordinates; the multiplier is 2⁶⁴ divided by the golden ratio.
fn hash(p: GridPoint, q: GridPoint) -> u64 {
    [p[0], p[1], q[0], q[1]]
        .into_iter()
        .fold(0u64, |state, value| {
            (state.rotate_left(23) ^ value as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        })
        >> 20
}

impl LayerEdges {
    /// Edges that are left after merging.
    pub fn edge_count(&self) -> usize {
        self.edges.len()
    }
}
