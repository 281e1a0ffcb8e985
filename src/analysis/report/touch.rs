//! The features of a layer that share area with a boundary.

use super::super::divide::{LONGEST_REPORTED_M, divided};
use super::super::reader::text;
use super::super::{AnalysisError, Group};
use super::boundary::Prepared;
use super::{GRID_STEP_M, Layer, on_grid};
use crate::crs::{Crs, CrsError, Datum};
use crate::format::fgb::FeatureView;
use crate::geom::Bbox;
use crate::model::VectorInfo;
use crate::overlay::{Place, RingRole, Rings, Scratch};
use crate::query::{Budget, Stop};

/// Features read between two checks of the budget.
const CHECK_EVERY: usize = 256;

/// A feature and what the boundary has of it; areas in the exact sums of the grid.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Touched {
    pub id: u64,
    pub group: Group,
    pub label: Option<String>,
    pub area: i128,
    /// Of the feature as a whole.
    pub whole: i128,
}

/// In the order of storage.
pub(super) fn layer(
    layer: &Layer,
    prepared: &Prepared,
    datum: Datum,
    budget: &Budget,
    vertices_left: &mut u64,
    scratch: &mut Scratch,
) -> Result<Vec<Touched>, AnalysisError> {
    budget.check()?;
    let snapshot = &layer.snapshot;
    let name = snapshot.name();
    let Some((data, info)) = snapshot.vector() else {
        return Err(AnalysisError::NotVector {
            layer: name.to_string(),
        });
    };
    let mut found = Vec::new();
    let Some(bbox) = box_in_layer(layer, prepared, datum)? else {
        return Ok(found);
    };
    let candidates = data.index.search(&bbox, 0.0, || budget.check().is_ok());
    let Some(candidates) = candidates else {
        budget.check()?;
        return Err(Stop::Cancelled.into());
    };
    let mut cursor = layer.map.cursor();
    let mut rings = Rings::default();
    for (number, &feature) in candidates.features.iter().enumerate() {
        if number.is_multiple_of(CHECK_EVERY) {
            budget.check()?;
        }
        let record = data.index.record(feature);
        let image = cursor.bbox(&record.bbox_in_layer_crs)?;
        let place = prepared.footprint.place(grid_box(&image), scratch);
        if place == Place::Covered(0) {
            continue;
        }
        *vertices_left = vertices_left
            .checked_sub(u64::from(record.vertices))
            .ok_or_else(|| AnalysisError::TooManyVertices {
                layer: name.to_string(),
            })?;
        let view = data.features.feature(record.offset)?;
        let placed = read_rings(&view, &snapshot.manifest.crs, &mut cursor, &mut rings);
        placed.map_err(|_| AnalysisError::NotFinite {
            layer: name.to_string(),
            id: record.id,
        })?;
        let whole = rings.exact_area();
        let area = match place {
            Place::Covered(times) => whole.wrapping_mul(i128::from(times)),
            Place::Boundary => prepared.footprint.common_area(&rings, scratch)?,
        };
        if area != 0 {
            let (group, label) = group(layer, &view, info);
            found.push(Touched {
                id: record.id,
                group,
                label,
                area,
                whole,
            });
        }
    }
    Ok(found)
}

/// The boundary's box in the layer's own plane, a little larger than need be; `None` when the two
/// do not meet.
fn box_in_layer(
    layer: &Layer,
    prepared: &Prepared,
    datum: Datum,
) -> Result<Option<Bbox>, AnalysisError> {
    let manifest = &layer.snapshot.manifest;
    let warp = layer.snapshot.warp(datum.geographic_epsg())?;
    let own = warp.to_grid.bbox(&manifest.bbox_in_layer_crs);
    let asked = &prepared.bbox_lonlat;
    // The transform back is good to a millimetre: 1e-7° are ten.
    let common = Bbox::new(
        own.min_x.max(asked.min_x - 1e-7),
        own.min_y.max(asked.min_y - 1e-7),
        own.max_x.min(asked.max_x + 1e-7),
        own.max_y.min(asked.max_y + 1e-7),
    );
    Ok((!common.is_empty()).then(|| warp.to_layer.bbox(&common)))
}

fn grid_box(bbox: &Bbox) -> [i64; 4] {
    [
        (bbox.min_x / GRID_STEP_M).floor() as i64,
        (bbox.min_y / GRID_STEP_M).floor() as i64,
        (bbox.max_x / GRID_STEP_M).ceil() as i64,
        (bbox.max_y / GRID_STEP_M).ceil() as i64,
    ]
}

/// The feature's polygons on the grid; nothing for points and lines.
pub(super) fn read_rings(
    view: &FeatureView<'_>,
    crs: &Crs,
    cursor: &mut crate::crs::Cursor<'_>,
    rings: &mut Rings,
) -> Result<(), CrsError> {
    rings.clear();
    let Some(geometry) = view.geometry() else {
        return Ok(());
    };
    if geometry.kind.dimension() != 2 {
        return Ok(());
    }
    for part in geometry.parts() {
        for (number, ring) in part.rings().enumerate() {
            let points = &mut rings.points;
            divided(crs, LONGEST_REPORTED_M, ring.points(), |[x, y]| {
                points.push(on_grid(cursor.point(x, y)?));
                Ok::<(), CrsError>(())
            })?;
            rings.close(if number == 0 {
                RingRole::Shell
            } else {
                RingRole::Hole
            });
        }
    }
    Ok(())
}

fn group(layer: &Layer, view: &FeatureView<'_>, info: &VectorInfo) -> (Group, Option<String>) {
    let Some(column) = layer.column else {
        return (Group::Value(layer.snapshot.name().to_string()), None);
    };
    let mut group = Group::Null;
    let mut label = None;
    view.for_each_value(&info.schema, |at, value| {
        if at == column {
            group = Group::Value(text(value));
        } else if Some(at) == layer.label {
            label = Some(text(value));
        }
    });
    (group, label)
}
