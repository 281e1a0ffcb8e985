//! From a stored layer to edges on the integer grid of the working plane.
//!
//! 1. features are read on all threads, in blocks
//! 2. for areas on the ellipsoid every edge longer than 70 m is divided in equal parts in the
//!    layer's own plane, where it is straight; the same border gives the same points from both
//!    sides
//! 3. positions are brought to the working plane and rounded to the grid
//! 4. groups are numbered in the order of their names, so that numbers do not depend on threads

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;

use super::{AnalysisError, Group, Grouping, LayerRead, Plane, Selection};
use crate::crs::{Crs, EqualAreaPlane};
use crate::format::fgb::{FeatureView, ValueRef};
use crate::model::VectorInfo;
use crate::overlay::{GridPoint, LayerBuilder, LayerEdges, RingRole};
use crate::query::Budget;
use crate::store::VectorData;

/// Step of the integer grid. Rounding moves the area of a square kilometre by some 0.003 m² on the
/// ellipsoid; zone-prefixed eastings leave room for 0.1 mm only, finer than they are surveyed.
pub(super) fn grid_step_m(plane: Plane) -> f64 {
    match plane {
        Plane::EqualArea(_) => 2e-5,
        Plane::Own { .. } => 1e-4,
    }
}

/// Longest edge that is left whole, metres: the official rule's. The chord of such an edge is
/// less than 0.1 mm off in the equal-area plane.
const LONGEST_EDGE_M: f64 = 70.0;

/// Parts of one edge at most: an edge from pole to pole.
const MAX_PARTS: f64 = 400_000.0;

/// Features per block.
const BLOCK: u32 = 1024;

pub(super) struct Prepared {
    pub edges: LayerEdges,
    /// The group of each label.
    pub groups: Vec<Group>,
    pub read: LayerRead,
}

/// The polygons of a block of features.
#[derive(Default)]
struct Block {
    points: Vec<GridPoint>,
    /// One past the last point of each ring, its role and its feature's place in `groups`.
    rings: Vec<(u32, RingRole, u32)>,
    groups: Vec<Group>,
    skipped: u64,
}

pub(super) fn layer(
    selection: &Selection<'_>,
    plane: Plane,
    budget: &Budget,
    count: &(dyn Fn(u64) + Sync),
) -> Result<Prepared, AnalysisError> {
    let snapshot = selection.snapshot;
    let name = snapshot.name().to_string();
    let Some((data, info)) = snapshot.vector() else {
        return Err(AnalysisError::NotVector { layer: name });
    };
    let column = match &selection.grouping {
        Grouping::Layer | Grouping::Feature => None,
        Grouping::Field(field) => Some(info.schema.index_of(field).ok_or_else(|| {
            AnalysisError::NoSuchField {
                layer: name.clone(),
                field: field.clone(),
                known: info
                    .schema
                    .fields
                    .iter()
                    .map(|field| field.name.clone())
                    .collect(),
            }
        })?),
    };
    let reader = Reader {
        name: &name,
        data,
        info,
        crs: &snapshot.manifest.crs,
        plane,
        selection,
        column,
    };
    let features = data.index.len() as u32;
    let starts: Vec<u32> = (0..features).step_by(BLOCK as usize).collect();
    let blocks: Vec<Block> = starts
        .par_iter()
        .map(|&start| {
            budget.check()?;
            let range = start..features.min(start + BLOCK);
            count(u64::from(range.end - range.start));
            reader.block(range)
        })
        .collect::<Result<_, AnalysisError>>()?;
    assemble(
        name,
        snapshot.generation.clone(),
        u64::from(features),
        blocks,
    )
}

fn assemble(
    name: String,
    generation: String,
    features: u64,
    blocks: Vec<Block>,
) -> Result<Prepared, AnalysisError> {
    let mut labels: BTreeMap<&Group, u32> = BTreeMap::new();
    for group in blocks.iter().flat_map(|block| &block.groups) {
        labels.entry(group).or_insert(0);
    }
    for (number, label) in labels.values_mut().enumerate() {
        *label = number as u32;
    }
    let groups: Vec<Group> = labels.keys().map(|&group| group.clone()).collect();
    let mut builder = LayerBuilder::default();
    let mut skipped = 0;
    for block in &blocks {
        skipped += block.skipped;
        let own: Vec<u32> = block.groups.iter().map(|group| labels[group]).collect();
        let mut start = 0;
        for &(end, role, group) in &block.rings {
            let points = block.points[start..end as usize].iter().copied();
            builder.push_ring(own[group as usize], role, points)?;
            start = end as usize;
        }
    }
    drop(labels);
    drop(blocks);
    if features > 0 && skipped == features {
        return Err(AnalysisError::NoPolygons { layer: name });
    }
    let edges = builder.finish();
    let read = LayerRead {
        name,
        generation,
        features,
        skipped,
        edges: edges.edge_count() as u64,
    };
    Ok(Prepared {
        edges,
        groups,
        read,
    })
}

struct Reader<'a> {
    name: &'a str,
    data: &'a VectorData,
    info: &'a VectorInfo,
    crs: &'a Crs,
    plane: Plane,
    selection: &'a Selection<'a>,
    column: Option<usize>,
}

impl Reader<'_> {
    fn block(&self, features: Range<u32>) -> Result<Block, AnalysisError> {
        let to_plane = match self.plane {
            Plane::EqualArea(datum) => Some(EqualAreaPlane::new(self.crs, datum)?),
            Plane::Own { .. } => None,
        };
        let grid_units_per_unit = match self.plane {
            Plane::EqualArea(_) => 1.0 / grid_step_m(self.plane),
            Plane::Own { metres_per_unit } => metres_per_unit / grid_step_m(self.plane),
        };
        let mut block = Block::default();
        let mut positions: Vec<(f64, f64)> = Vec::new();
        for feature in features {
            let record = self.data.index.record(feature);
            let view = self.data.features.feature(record.offset)?;
            let geometry = view.geometry().filter(|shape| shape.kind.dimension() == 2);
            let Some(geometry) = geometry else {
                block.skipped += 1;
                continue;
            };
            positions.clear();
            let first_ring = block.rings.len();
            let group = block.groups.len() as u32;
            block.groups.push(self.group(&view, record.id));
            for part in geometry.parts() {
                for (number, ring) in part.rings().enumerate() {
                    match to_plane {
                        Some(_) => self.divided(ring.points(), &mut positions),
                        None => positions.extend(ring.points().map(|[x, y]| (x, y))),
                    }
                    let role = if number == 0 {
                        RingRole::Shell
                    } else {
                        RingRole::Hole
                    };
                    block.rings.push((positions.len() as u32, role, group));
                }
            }
            if let Some(to_plane) = &to_plane {
                to_plane.transform(&mut positions)?;
            }
            let before = block.points.len() as u32;
            block.rings[first_ring..]
                .iter_mut()
                .for_each(|ring| ring.0 += before);
            for &(x, y) in &positions {
                if !(x.is_finite() && y.is_finite()) {
                    return Err(AnalysisError::NotFinite {
                        layer: self.name.to_string(),
                        id: record.id,
                    });
                }
                block
                    .points
                    .push([x, y].map(|v| (v * grid_units_per_unit).round() as i64));
            }
        }
        Ok(block)
    }

    fn group(&self, view: &FeatureView<'_>, id: u64) -> Group {
        match (&self.selection.grouping, self.column) {
            (Grouping::Layer, _) => Group::Value(self.name.to_string()),
            (Grouping::Feature, _) => Group::Value(id.to_string()),
            (Grouping::Field(_), column) => {
                let mut group = Group::Null;
                view.for_each_value(&self.info.schema, |at, value| {
                    if Some(at) == column {
                        group = Group::Value(text(value));
                    }
                });
                group
            }
        }
    }

    /// Appends a ring with its long edges divided.
    fn divided(&self, ring: impl Iterator<Item = [f64; 2]>, out: &mut Vec<(f64, f64)>) {
        let mut before: Option<[f64; 2]> = None;
        for point in ring {
            if let Some(before) = before {
                let parts = (self.length_m(before, point) / LONGEST_EDGE_M)
                    .ceil()
                    .min(MAX_PARTS);
                // Always counted from the same end: neighbours walk the border in opposite ways.
                let reversed = point < before;
                let (p, q) = if reversed {
                    (point, before)
                } else {
                    (before, point)
                };
                for step in 1..parts as u32 {
                    let step = if reversed {
                        parts - f64::from(step)
                    } else {
                        f64::from(step)
                    };
                    let t = step / parts;
                    out.push((p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t));
                }
            }
            out.push((point[0], point[1]));
            before = Some(point);
        }
    }

    /// Length of an edge, on a sphere when coordinates are degrees.
    fn length_m(&self, p: [f64; 2], q: [f64; 2]) -> f64 {
        let (dx, dy) = (q[0] - p[0], q[1] - p[1]);
        if self.crs.geographic {
            const METRES_PER_DEGREE: f64 = 111_320.0;
            let shrink = ((p[1] + q[1]) / 2.0).to_radians().cos();
            (dx * shrink).hypot(dy) * METRES_PER_DEGREE
        } else {
            dx.hypot(dy) * self.crs.metres_per_unit
        }
    }
}

pub(super) fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Boolean(value) => value.to_string(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => value.to_string(),
        ValueRef::Text(value) => value.to_string(),
        ValueRef::Binary(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
