//! One area laid over many polygons, one polygon at a time: what a report about a boundary needs.
//!
//! The areas are those of [`super::Overlay`] with the footprint as first layer: the same integer
//! grid, the same decisions, the same rounded crossings. Only the order of work differs. The
//! footprint is indexed once; a polygon is walked through that index, and each of its crossings
//! says as well what the footprint's own boundary contributes. So the many polygons are neither
//! collected nor indexed, and what does not meet the footprint is not even read.
//!
//! ```text
//! area(F ∩ P) = Σ over stretches of P's rings: winding of F there × ∫ x dy
//!             + Σ over chains of F: winding of P at its start × ∫ x dy of the chain
//!             + Σ over crossings: change of P's winding × ∫ x dy of the rest of the chain
//! ```
//!
//! The integrals of chains telescope, so polygons that share their borders cut the footprint into
//! areas that add up to it exactly, as integers, however many they are. Integrals follow the bent
//! lines that edges stand for ([`Bow`]): those of the footprint and those of the polygons may be
//! straight in different planes.

use super::bow::Bow;
use super::edges::{Edge, LayerEdges, OUTSIDE, RingRole, exact_ring_area};
use super::index::LayerIndex;
use super::segment::{
    Arrival, FRACTION_BITS, GridPoint, Segment, Shift, crossing, meeting_point, twice_area,
};
use super::state::State;
use super::{OverlayError, position_along};

/// Exact sums per square grid unit.
pub const EXACT_PER_SQUARE: i128 = 1 << (2 * FRACTION_BITS + 1);

/// Cells looked at to place a box; larger boxes are walked.
const MAX_BOX_CELLS: i64 = 256;

/// An area ready to be laid over polygons.
#[derive(Debug)]
pub struct Footprint {
    layer: LayerEdges,
    index: LayerIndex,
    /// Per edge: its chain, and the integral of the chain up to it.
    before: Vec<(u32, i128)>,
    /// Per chain: its integral.
    chains: Vec<i128>,
    exact_area: i128,
    /// Smallest and largest coordinate on each axis.
    bounds: [i64; 4],
}

/// Where a box lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The footprint covers all of it so many times, or not at all when zero.
    Covered(i32),
    /// The footprint's boundary may cross it.
    Boundary,
}

/// The rings of one polygon feature on the grid, reused from feature to feature.
#[derive(Debug, Default)]
pub struct Rings {
    pub points: Vec<GridPoint>,
    /// One past the last point of each ring, and what it is.
    pub ends: Vec<(u32, RingRole)>,
    /// What edges enclose beyond their chords; all polygons of a layer have the same.
    pub bow: Bow,
}

/// What a walk needs, reused from feature to feature.
#[derive(Debug, Default)]
pub struct Scratch {
    state: State,
    met: Vec<Met>,
    /// Per chain: the sum of changes of winding along it, for those chains that changed.
    turns: Vec<(u32, i32)>,
}

#[derive(Debug)]
struct Met {
    position: i64,
    edge: u32,
    arrival: Arrival,
    point: GridPoint,
}

impl Rings {
    pub fn clear(&mut self) {
        self.points.clear();
        self.ends.clear();
    }

    /// Ends the ring of the points pushed since the last one.
    pub fn close(&mut self, role: RingRole) {
        self.ends.push((self.points.len() as u32, role));
    }

    /// The rings, without a repeated last point.
    pub fn each(&self) -> impl Iterator<Item = (&[GridPoint], RingRole)> {
        let mut start = 0;
        self.ends.iter().map(move |&(end, role)| {
            let ring = &self.points[start..end as usize];
            start = end as usize;
            match ring {
                [first, .., last] if first == last => (&ring[..ring.len() - 1], role),
                ring => (ring, role),
            }
        })
    }

    /// Smallest and largest coordinate on each axis, `None` without points.
    pub fn bounds(&self) -> Option<[i64; 4]> {
        let (&first, rest) = self.points.split_first()?;
        let start = [first[0], first[1], first[0], first[1]];
        Some(rest.iter().fold(start, |b, p| {
            [
                b[0].min(p[0]),
                b[1].min(p[1]),
                b[2].max(p[0]),
                b[3].max(p[1]),
            ]
        }))
    }

    /// The area as an exact sum, [`EXACT_PER_SQUARE`] for a square grid unit: shells count positive, holes
    /// negative, whatever their orientation.
    pub fn exact_area(&self) -> i128 {
        self.each()
            .map(|(ring, role)| exact_ring_area(ring, role, &self.bow))
            .fold(0i128, i128::wrapping_add)
    }
}

/// 1 for a shell that runs counter-clockwise or a hole that runs clockwise, −1 for one that runs
/// against that.
fn orientation(ring: &[GridPoint], role: RingRole) -> i32 {
    let twice: i128 = steps(ring).map(|s| twice_area(s.from, s.to)).sum();
    if (twice < 0) == (role == RingRole::Shell) {
        -1
    } else {
        1
    }
}

/// ∮ x dy along the line an edge stands for, in exact sums.
#[inline]
fn integral(bow: &Bow, segment: &Segment) -> i128 {
    let chord = twice_area(segment.from, segment.to) << (2 * FRACTION_BITS);
    if bow.is_straight() {
        chord
    } else {
        chord.wrapping_add(bow.amount(segment))
    }
}

/// What a line encloses beyond its chord up to a crossing.
fn bow_until(bow: &Bow, segment: &Segment, point: GridPoint) -> i128 {
    if bow.is_straight() {
        0
    } else {
        bow.amount_until(segment, point)
    }
}

/// The edges of a ring without a repeated last point; repeated points make no edge.
fn steps(ring: &[GridPoint]) -> impl Iterator<Item = Segment> {
    let next = ring.iter().cycle().skip(1);
    ring.iter()
        .zip(next)
        .map(|(&from, &to)| Segment { from, to })
        .filter(|segment| segment.from != segment.to)
}

impl Footprint {
    /// Indexes the area. All its rings must have the same label.
    pub fn new(layer: LayerEdges) -> Footprint {
        let index = LayerIndex::build(&layer, 1.0, &[Shift::Backward]);
        let mut before = Vec::with_capacity(layer.edges.len());
        let mut chains = Vec::with_capacity(layer.chains.len().saturating_sub(1));
        let mut bounds = [i64::MAX, i64::MAX, i64::MIN, i64::MIN];
        for (chain, range) in layer.chains.windows(2).enumerate() {
            let mut sum = 0i128;
            for edge in &layer.edges[range[0] as usize..range[1] as usize] {
                debug_assert!(edge.right == OUTSIDE);
                before.push((chain as u32, sum));
                sum = sum.wrapping_add(integral(&layer.bow, &edge.segment));
                let own = edge.segment.bounds();
                bounds = [
                    bounds[0].min(own[0]),
                    bounds[1].min(own[1]),
                    bounds[2].max(own[2]),
                    bounds[3].max(own[3]),
                ];
            }
            chains.push(sum);
        }
        let exact_area = chains.iter().fold(0i128, |sum, c| sum.wrapping_add(*c));
        Footprint {
            layer,
            index,
            before,
            chains,
            exact_area,
            bounds,
        }
    }

    /// The area as an exact sum, [`EXACT_PER_SQUARE`] for a square grid unit.
    pub fn exact_area(&self) -> i128 {
        self.exact_area
    }

    /// Smallest and largest coordinate on each axis.
    pub fn bounds(&self) -> [i64; 4] {
        self.bounds
    }

    /// Where a box lies, seen coarsely.
    pub fn place(&self, bounds: [i64; 4], scratch: &mut Scratch) -> Place {
        let own = self.bounds;
        if bounds[0] > own[2] || bounds[2] < own[0] || bounds[1] > own[3] || bounds[3] < own[1] {
            return Place::Covered(0);
        }
        if !self.index.is_empty_box(bounds, MAX_BOX_CELLS) {
            return Place::Boundary;
        }
        self.locate([bounds[0], bounds[1]], scratch);
        Place::Covered(winding(&scratch.state))
    }

    fn locate(&self, point: GridPoint, scratch: &mut Scratch) {
        let edges = &self.layer.edges;
        self.index
            .locate(edges, point, Shift::Backward, &mut scratch.state);
    }

    /// The common area with a polygon as an exact sum.
    ///
    /// # Errors
    /// [`OverlayError::ChainLabel`] when a walk does not end as it must: a fault of this program,
    /// reported rather than turned into a wrong area.
    pub fn common_area(
        &self,
        polygon: &Rings,
        scratch: &mut Scratch,
    ) -> Result<i128, OverlayError> {
        let Some(bounds) = polygon.bounds() else {
            return Ok(0);
        };
        if let Place::Covered(times) = self.place(bounds, scratch) {
            return Ok(match times {
                0 => 0,
                times => polygon.exact_area().wrapping_mul(i128::from(times)),
            });
        }
        let mut area = 0i128;
        scratch.turns.clear();
        for (ring, role) in polygon.each() {
            area = area.wrapping_add(self.walk(ring, role, &polygon.bow, scratch)?);
        }
        scratch.turns.sort_unstable();
        for chain in 0..self.chains.len() {
            let range = self.layer.chains[chain] as usize..self.layer.chains[chain + 1] as usize;
            let (Some(first), Some(last)) = (
                self.layer.edges[range.clone()].first(),
                self.layer.edges[range].last(),
            ) else {
                continue;
            };
            let start = around(polygon, bounds, first.segment.from);
            let turned = sum_of(&scratch.turns, chain as u32);
            let end = if last.segment.to == first.segment.from {
                start
            } else {
                around(polygon, bounds, last.segment.to)
            };
            if start + turned != end {
                return Err(OverlayError::ChainLabel {
                    asked: 1,
                    point: last.segment.to,
                });
            }
            area = area.wrapping_add(self.chains[chain].wrapping_mul(i128::from(start)));
        }
        Ok(area)
    }

    /// One ring's share: what its own edges and what its crossings contribute.
    fn walk(
        &self,
        ring: &[GridPoint],
        role: RingRole,
        bow: &Bow,
        scratch: &mut Scratch,
    ) -> Result<i128, OverlayError> {
        if ring.len() < 3 {
            return Ok(0);
        }
        let orientation = orientation(ring, role);
        self.locate(ring[0], scratch);
        let start = winding(&scratch.state);
        let mut inside = start;
        let mut area = 0i128;
        for segment in steps(ring) {
            self.find(&segment, &mut scratch.met);
            let Segment { from, to } = segment;
            if scratch.met.is_empty() {
                if inside != 0 {
                    let share = integral(bow, &segment);
                    area = area.wrapping_add(share.wrapping_mul(i128::from(inside)));
                }
                continue;
            }
            let (mut at, mut done) = (from.map(|v| v << FRACTION_BITS), 0);
            for met in &scratch.met {
                let until = bow_until(bow, &segment, met.point);
                let share = twice_area(at, met.point).wrapping_add(until - done);
                area = area.wrapping_add(share.wrapping_mul(i128::from(inside)));
                (at, done) = (met.point, until);
                // Who enters over the footprint's edge is seen by that edge leaving to the right.
                let step = match met.arrival {
                    Arrival::Left => 1,
                    Arrival::Right => -1,
                };
                inside += step;
                let (chain, before) = self.before[met.edge as usize];
                let edge = &self.layer.edges[met.edge as usize].segment;
                let up_to = before
                    .wrapping_add(twice_area(edge.from.map(|v| v << FRACTION_BITS), met.point))
                    .wrapping_add(bow_until(&self.layer.bow, edge, met.point));
                let rest = self.chains[chain as usize].wrapping_sub(up_to);
                area = area.wrapping_sub(rest.wrapping_mul(i128::from(step)));
                scratch.turns.push((chain, -step * orientation));
            }
            let rest = bow_until(bow, &segment, to.map(|v| v << FRACTION_BITS)) - done;
            let share = twice_area(at, to.map(|v| v << FRACTION_BITS)).wrapping_add(rest);
            area = area.wrapping_add(share.wrapping_mul(i128::from(inside)));
        }
        if inside != start {
            return Err(OverlayError::ChainLabel {
                asked: 0,
                point: ring[0],
            });
        }
        Ok(area.wrapping_mul(i128::from(orientation)))
    }

    /// The crossings of a polygon's edge with the footprint, in walking order.
    #[inline]
    fn find(&self, segment: &Segment, met: &mut Vec<Met>) {
        met.clear();
        let edges: &[Edge] = &self.layer.edges;
        self.index.cells_of(segment, 0, |cell| {
            for &number in self.index.edges_in(cell) {
                let other = &edges[number as usize].segment;
                if let Some(arrival) = crossing(segment, other, Shift::Backward) {
                    let point = meeting_point(other, segment);
                    met.push(Met {
                        position: position_along(segment, point),
                        edge: number,
                        arrival,
                        point,
                    });
                }
            }
        });
        if met.len() > 1 {
            met.sort_unstable_by_key(|m| (m.position, m.edge));
            met.dedup_by_key(|m| m.edge);
        }
    }
}

fn winding(state: &State) -> i32 {
    state
        .weights()
        .filter(|(label, _)| *label != OUTSIDE)
        .map(|(_, times)| times)
        .sum()
}

fn sum_of(turns: &[(u32, i32)], chain: u32) -> i32 {
    let first = turns.partition_point(|turn| turn.0 < chain);
    turns[first..]
        .iter()
        .take_while(|turn| turn.0 == chain)
        .map(|turn| turn.1)
        .sum()
}

/// How often a polygon covers a vertex of the footprint: walks to it from outside.
fn around(polygon: &Rings, bounds: [i64; 4], point: GridPoint) -> i32 {
    let beyond = |axis: usize| point[axis] < bounds[axis] || point[axis] > bounds[axis + 2];
    if beyond(0) || beyond(1) {
        return 0;
    }
    let walk = Segment {
        from: [bounds[0] - 4, point[1]],
        to: point,
    };
    let mut times = 0;
    for (ring, role) in polygon.each() {
        if ring.len() < 3 {
            continue;
        }
        let orientation = orientation(ring, role);
        for edge in steps(ring) {
            match crossing(&walk, &edge, Shift::Forward) {
                Some(Arrival::Left) => times += orientation,
                Some(Arrival::Right) => times -= orientation,
                None => {}
            }
        }
    }
    times
}
