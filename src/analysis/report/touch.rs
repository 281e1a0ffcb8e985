//! The features of a layer that share area with a boundary.

use std::collections::HashMap;

use super::super::divide::divided;
use super::super::reader::text;
use super::super::{AnalysisError, Group};
use super::Layer;
use super::boundary::{Ground, Prepared};
use crate::crs::{Crs, Cursor, Datum};
use crate::format::fgb::{FeatureView, ValueRef};
use crate::geom::Bbox;
use crate::model::VectorInfo;
use crate::overlay::{Place, RingRole, Rings, Scratch};
use crate::query::{Budget, Stop};

/// Features read between two checks of the budget.
const CHECK_EVERY: usize = 256;

/// What a boundary has of a layer.
#[derive(Default)]
pub(super) struct Touched {
    /// In the order of storage.
    pub features: Vec<Piece>,
    /// In the order they were met, with the name of the class where it has one.
    pub groups: Vec<(Group, Option<String>)>,
}

/// A feature and what the boundary has of it; areas in the exact sums of the grid.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub id: u64,
    /// Its place in [`Touched::groups`].
    pub group: u32,
    pub area: i128,
    /// Of the feature as a whole.
    pub whole: i128,
}

pub(super) fn layer(
    layer: &Layer,
    prepared: &Prepared,
    datum: Datum,
    budget: &Budget,
    vertices_left: &mut u64,
    scratch: &mut Scratch,
) -> Result<Touched, AnalysisError> {
    budget.check()?;
    let snapshot = &layer.snapshot;
    let name = snapshot.name();
    let Some((data, info)) = snapshot.vector() else {
        return Err(AnalysisError::NotVector {
            layer: name.to_string(),
        });
    };
    let mut found = Touched::default();
    let Some(bbox) = box_in_layer(layer, prepared, datum)? else {
        return Ok(found);
    };
    let candidates = data.index.search(&bbox, 0.0, || budget.check().is_ok());
    let Some(candidates) = candidates else {
        budget.check()?;
        return Err(Stop::Cancelled.into());
    };
    let crs = &snapshot.manifest.crs;
    let mut cursor = layer.map.cursor();
    let mut rings = Rings {
        bow: prepared.ground.bow(crs, &mut cursor, bbox.center()),
        ..Rings::default()
    };
    let mut groups = Groups::default();
    for (number, &feature) in candidates.features.iter().enumerate() {
        if number.is_multiple_of(CHECK_EVERY) {
            budget.check()?;
        }
        let record = data.index.record(feature);
        let image = cursor.bbox(&record.bbox_in_layer_crs)?;
        // What is beyond all frames is looked at, and refused.
        let place = match prepared.ground.grid_box(&image) {
            Some(bounds) => prepared.footprint.place(bounds, scratch),
            None => Place::Boundary,
        };
        if place == Place::Covered(0) {
            continue;
        }
        *vertices_left = vertices_left
            .checked_sub(u64::from(record.vertices))
            .ok_or_else(|| AnalysisError::TooManyVertices {
                layer: name.to_string(),
            })?;
        let view = data.features.feature(record.offset)?;
        if !read_rings(&view, crs, &prepared.ground, &mut cursor, &mut rings) {
            return Err(AnalysisError::NotFinite {
                layer: name.to_string(),
                id: record.id,
            });
        }
        let whole = rings.exact_area();
        let area = match place {
            Place::Covered(times) => whole.wrapping_mul(i128::from(times)),
            Place::Boundary => prepared.footprint.common_area(&rings, scratch)?,
        };
        if area != 0 {
            let group = groups.number(layer, &view, info, &mut found.groups);
            found.features.push(Piece {
                id: record.id,
                group,
                area,
                whole,
            });
        }
    }
    Ok(found)
}

/// The boundary's box in the layer's own plane, a little larger than need be; `None` when the two
/// do not meet.
pub(super) fn box_in_layer(
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

/// The feature's polygons on the grid; nothing for points and lines. Tells whether all positions
/// have a place there.
pub(super) fn read_rings(
    view: &FeatureView<'_>,
    crs: &Crs,
    ground: &Ground,
    cursor: &mut Cursor,
    rings: &mut Rings,
) -> bool {
    rings.clear();
    let geometry = view.geometry().filter(|shape| shape.kind.dimension() == 2);
    let Some(geometry) = geometry else {
        return true;
    };
    for part in geometry.parts() {
        for (number, ring) in part.rings().enumerate() {
            let points = &mut rings.points;
            let placed: Result<(), ()> =
                divided(crs, ground.longest_edge_m, ring.points(), |[x, y]| {
                    let [px, py] = cursor.point(x, y).map_err(|_| ())?;
                    points.push(ground.frame.grid(px, py).ok_or(())?);
                    Ok(())
                });
            if placed.is_err() {
                return false;
            }
            rings.close(if number == 0 {
                RingRole::Shell
            } else {
                RingRole::Hole
            });
        }
    }
    true
}

/// Groups by the texts of their features, which stay in the file.
#[derive(Default)]
struct Groups<'a> {
    numbers: HashMap<&'a str, u32>,
    /// Those of values that are no texts, in words.
    words: HashMap<Group, u32>,
}

impl<'a> Groups<'a> {
    fn number(
        &mut self,
        layer: &Layer,
        view: &FeatureView<'a>,
        info: &VectorInfo,
        known: &mut Vec<(Group, Option<String>)>,
    ) -> u32 {
        let Some(column) = layer.column else {
            if known.is_empty() {
                let name = layer.snapshot.name().to_string();
                known.push((Group::Value(name), None));
            }
            return 0;
        };
        let (mut value, mut label) = (None, None);
        view.for_each_value(&info.schema, |at, found| {
            if at == column {
                value = Some(found);
            } else if Some(at) == layer.label {
                label = Some(found);
            }
        });
        let next = known.len() as u32;
        let number = match value {
            Some(ValueRef::Text(value)) => *self.numbers.entry(value).or_insert(next),
            other => {
                let group = other.map_or(Group::Null, |value| Group::Value(text(value)));
                *self.words.entry(group).or_insert(next)
            }
        };
        if number == next {
            let group = value.map_or(Group::Null, |value| Group::Value(text(value)));
            known.push((group, None));
        }
        let entry = &mut known[number as usize].1;
        if entry.is_none() {
            *entry = label.map(text);
        }
        number
    }
}
