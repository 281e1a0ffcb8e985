//! Analyses over stored layers: what the overlay engine computes, asked of a workspace.
//!
//! 1. [`prepare`] reads a layer on all threads and brings its polygons to the working plane
//! 2. the engine is run on all threads, unit by unit
//! 3. rows get their values back; totals and slivers are stated
//!
//! [`report`] answers the other question: what one boundary lies on, without reading the layers.
//!
//! Not here: how a result is written (see `cli`), how the engine works (see `overlay`).

mod divide;
mod prepare;
pub mod report;

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use crate::crs::{CrsError, Datum};
use crate::format::FormatError;
use crate::overlay::{AreaTable, OUTSIDE, Options, Overlay, OverlayError, in_square_grid_units};
use crate::query::{Budget, Stop};
use crate::store::{Snapshot, StoreError};

/// What the polygons of a layer are grouped by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grouping {
    /// One group: in the layer or not.
    Layer,
    /// One group per feature, named by its identity.
    Feature,
    /// One group per value of this field.
    Field(String),
}

/// How areas are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AreaMode {
    /// On the ellipsoid of the layers' datum, exactly additive: every edge longer than 70 m is
    /// divided, then the plane is Lambert's equal-area one.
    Additive,
    /// In the common projected plane of the layers.
    Planar,
}

/// One layer of an overlay.
pub struct Selection<'a> {
    pub snapshot: &'a Snapshot,
    pub grouping: Grouping,
}

/// A cell of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Features whose field is null.
    Null,
    /// A value of the field, an identity, or the layer's name.
    Value(String),
    /// What no polygon of the layer covers.
    Outside,
}

/// The area of one combination of groups.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// One per layer, in the order given.
    pub groups: Vec<Group>,
    pub area_m2: f64,
}

/// What was read of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerRead {
    pub name: String,
    pub generation: String,
    pub features: u64,
    /// Features without polygons, which take no part.
    pub skipped: u64,
    /// Edges after merging those that neighbours share.
    pub edges: u64,
}

/// Result of an overlay.
#[derive(Debug, Clone, PartialEq)]
pub struct AreaReport {
    pub layers: Vec<LayerRead>,
    /// Ordered by groups.
    pub rows: Vec<Row>,
}

/// Where the work stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Features read of all layers, and how many there are.
    Reading(u64, u64),
    Indexing,
    /// Units done and how many there are.
    Walking(u64, u64),
}

/// Why an analysis has no result.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    #[error("layer {layer} holds images, not polygons (影像图层不能叠加)")]
    NotVector { layer: String },
    #[error("layer {layer} has no polygons (图层没有面要素)")]
    NoPolygons { layer: String },
    #[error("layer {layer} has no field {field:?}, it has {} (没有该字段)", .known.join(", "))]
    NoSuchField {
        layer: String,
        field: String,
        known: Vec<String>,
    },
    #[error(
        "layers {first} and {second} are not in one projected plane; planar areas need that, use --area additive (坐标系不同,不能计算平面面积)"
    )]
    NoCommonPlane { first: String, second: String },
    #[error(
        "layer {layer} is on {found}, which is not known to share a datum with {expected}; reproject it at import (基准不同)"
    )]
    MixedDatum {
        layer: String,
        found: String,
        expected: String,
    },
    #[error(
        "layer {layer}, feature {id}: coordinates have no place in the working plane (坐标无法转换)"
    )]
    NotFinite { layer: String, id: u64 },
    #[error("no layers were named (未指定图层)")]
    NoLayers,
    #[error("boundary {boundary:?} is a {found}, expected polygons (范围不是面)")]
    BoundaryNotPolygon {
        boundary: String,
        found: &'static str,
    },
    #[error(
        "boundary {boundary:?} has coordinates that have no place in {crs} (范围坐标超出坐标系)"
    )]
    BoundaryPlace { boundary: String, crs: String },
    #[error("boundary {boundary:?} has no area (范围面积为零)")]
    BoundaryWithoutArea { boundary: String },
    #[error(
        "boundary {boundary:?} has {found_m2:.0} m², at most {limit_m2:.0} m² are reported (范围面积过大)"
    )]
    AreaTooLarge {
        boundary: String,
        found_m2: f64,
        limit_m2: f64,
    },
    #[error(
        "the features of layer {layer} at the boundary have more vertices than one report may read; ask for a smaller boundary (范围内要素过多)"
    )]
    TooManyVertices { layer: String },
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    #[error(transparent)]
    Crs(#[from] CrsError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Stopped(#[from] Stop),
}

/// The plane areas are computed in.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Plane {
    /// Metres of the equal-area projection over this datum's ellipsoid.
    EqualArea(Datum),
    /// The layers' own, whose unit has this many metres.
    Own { metres_per_unit: f64 },
}

/// Areas of all combinations of groups, "outside" included, over two layers or more.
///
/// # Errors
/// Layers that are not polygons or not in comparable systems, unknown fields, the budget.
pub fn areas(
    selections: &[Selection<'_>],
    mode: AreaMode,
    budget: &Budget,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<AreaReport, AnalysisError> {
    let plane = working_plane(selections, mode)?;
    let total = selections
        .iter()
        .map(|s| s.snapshot.vector().map_or(0, |v| v.1.features))
        .sum();
    let read = AtomicU64::new(0);
    let count = |features: u64| {
        progress(Progress::Reading(
            read.fetch_add(features, Ordering::Relaxed) + features,
            total,
        ));
    };
    let prepared: Vec<prepare::Prepared> = selections
        .par_iter()
        .map(|selection| prepare::layer(selection, plane, budget, &count))
        .collect::<Result<_, _>>()?;
    progress(Progress::Indexing);
    let mut layers = Vec::new();
    let mut groups = Vec::new();
    let mut edges = Vec::new();
    for layer in prepared {
        layers.push(layer.read);
        groups.push(layer.groups);
        edges.push(layer.edges);
    }
    budget.check()?;
    let overlay = Overlay::new(edges, Options::default())?;
    let table = walk(&overlay, budget, progress)?;
    let square_metres_per_square_grid_unit = prepare::grid_step_m(plane).powi(2);
    let mut rows: Vec<Row> = table
        .rows_exact()
        .into_iter()
        .map(|(labels, sum)| Row {
            groups: groups
                .iter()
                .zip(labels)
                .map(|(names, label)| match label {
                    OUTSIDE => Group::Outside,
                    label => names[label as usize].clone(),
                })
                .collect(),
            area_m2: in_square_grid_units(sum) * square_metres_per_square_grid_unit,
        })
        .collect();
    rows.sort_by(|a, b| a.groups.cmp(&b.groups));
    Ok(AreaReport { layers, rows })
}

fn walk(
    overlay: &Overlay,
    budget: &Budget,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<AreaTable, AnalysisError> {
    let units = overlay.units();
    let done = AtomicU64::new(0);
    units
        .par_iter()
        .try_fold(AreaTable::default, |mut table, unit| {
            budget.check()?;
            overlay.run(unit, &mut table)?;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress(Progress::Walking(done, units.len() as u64));
            Ok(table)
        })
        .try_reduce(AreaTable::default, |mut a, b| {
            a.merge(b);
            Ok(a)
        })
}

fn working_plane(selections: &[Selection<'_>], mode: AreaMode) -> Result<Plane, AnalysisError> {
    let Some((first, rest)) = selections.split_first() else {
        return Err(OverlayError::LayerCount { found: 0 }.into());
    };
    let crs = &first.snapshot.manifest.crs;
    match mode {
        AreaMode::Planar => {
            for other in selections {
                let other_crs = &other.snapshot.manifest.crs;
                if other_crs.geographic || other_crs.definition != crs.definition {
                    return Err(AnalysisError::NoCommonPlane {
                        first: first.snapshot.name().to_string(),
                        second: other.snapshot.name().to_string(),
                    });
                }
            }
            Ok(Plane::Own {
                metres_per_unit: crs.metres_per_unit,
            })
        }
        AreaMode::Additive => {
            let datum = crs.national_datum();
            for other in rest {
                let other_crs = &other.snapshot.manifest.crs;
                let comparable = match (datum, other_crs.national_datum()) {
                    (Some(a), Some(b)) => a == b,
                    (None, None) => other_crs.definition == crs.definition,
                    (Some(_), None) | (None, Some(_)) => false,
                };
                if !comparable {
                    return Err(AnalysisError::MixedDatum {
                        layer: other.snapshot.name().to_string(),
                        found: other_crs.label(),
                        expected: crs.label(),
                    });
                }
            }
            Ok(Plane::EqualArea(datum.unwrap_or(Datum::Cgcs2000)))
        }
    }
}
