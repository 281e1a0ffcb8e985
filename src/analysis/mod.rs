//! Analyses over stored layers: what the overlay engine computes, asked of a workspace.
//!
//! 1. [`reader`] settles which features of a layer take part and brings them to a working plane
//! 2. [`chunk`] divides the work; every chunk is loaded, overlaid and forgotten on one thread
//! 3. [`table`] adds up areas by combination of groups; [`pieces`] hands out geometry, [`measure`]
//!    measures it by any rule, [`adjust`] brings it to control areas
//! 4. [`dissolve`] and [`topology`] ask the same engine about one layer
//!
//! [`report`] answers the other question: what one boundary lies on, without reading the layers;
//! [`tile`] draws the pieces within one vector tile.
//!
//! Not here: how a result is written (see `cli`), how the engine works (see `overlay`).

mod adjust;
mod chunk;
mod dissolve;
mod divide;
mod filter;
mod frame;
mod measure;
mod pieces;
mod reader;
pub mod report;
mod table;
pub mod tile;
mod topology;

use serde::Serialize;

use crate::crs::{Crs, CrsError, Datum};
use crate::format::FormatError;
use crate::geom::Geometry;
use crate::model::GridError;
use crate::overlay::{OUTSIDE, OverlayError};
use crate::query::{Budget, Stop};
use crate::store::{Snapshot, StoreError};

pub use adjust::{Adjusted, adjust, control_areas};
pub use dissolve::{Dissolved, dissolve};
pub use filter::{Comparison, Condition};
pub use pieces::{PieceRow, PiecesReport, pieces};
pub use table::areas_of;
pub use topology::{Defect, DefectKind, SliverBounds, TopologyReport, defects};

use frame::Plane;

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
    /// The rule of 国土调查办发〔2008〕32号 with its roundings, for every piece on its own.
    Official,
    /// Edges as geodesics, for every piece on its own.
    Geodesic,
}

impl AreaMode {
    /// Areas of parts add up to that of the whole.
    pub fn is_additive(self) -> bool {
        match self {
            AreaMode::Additive | AreaMode::Planar => true,
            AreaMode::Official | AreaMode::Geodesic => false,
        }
    }
}

/// One layer of an overlay.
pub struct Selection<'a> {
    pub snapshot: &'a Snapshot,
    pub grouping: Grouping,
}

/// An area outside of which nothing is counted.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Must not lie on each other.
    pub polygons: Geometry,
    pub crs: Crs,
}

/// Which combinations of inside and outside are rows or pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Inside of all layers.
    Intersection,
    /// Inside of the first layer.
    Identity,
    /// Inside of the first layer and outside of all others.
    Difference,
    /// Inside of exactly one layer.
    SymmetricDifference,
    /// All.
    Union,
    /// The first layer's features as far as one of the others covers them, undivided.
    Clip,
}

/// What is asked for.
pub struct Request<'a> {
    pub selections: &'a [Selection<'a>],
    /// Conditions on the features of each layer, in the order of the layers; may be shorter.
    pub conditions: Vec<Vec<Condition>>,
    pub clip: Option<Clip>,
    pub operation: Operation,
    pub mode: AreaMode,
}

impl Operation {
    fn shows(self, labels: &[u32]) -> bool {
        let outside = labels.iter().filter(|&&label| label == OUTSIDE).count();
        let inside = labels.len() - outside;
        let left = labels[0] != OUTSIDE;
        match self {
            Operation::Intersection | Operation::Clip => outside == 0,
            Operation::Identity => left,
            Operation::Difference => left && inside == 1,
            Operation::SymmetricDifference => inside == 1,
            Operation::Union => inside > 0,
        }
    }

    /// Layers that have rows of their own, outside of those before them.
    fn leads(self, layers: usize) -> std::ops::Range<usize> {
        match self {
            Operation::Intersection
            | Operation::Identity
            | Operation::Difference
            | Operation::Clip => 0..1,
            Operation::SymmetricDifference | Operation::Union => 0..layers,
        }
    }
}

/// A cell of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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
    /// Features that take part.
    pub features: u64,
    /// Features without polygons, which take no part.
    pub skipped: u64,
    /// Edges that were walked, after merging those that neighbours share.
    pub edges: u64,
}

/// Result of an overlay.
#[derive(Debug, Clone, PartialEq)]
pub struct AreaReport {
    pub layers: Vec<LayerRead>,
    /// Ordered by groups.
    pub rows: Vec<Row>,
    /// Where a layer overlaps itself. Ordered by layer, then by groups.
    pub overlaps: Vec<Excess>,
}

/// What a layer covers more than once, counted once for each polygon beyond the first: the rows
/// of a combination of the other layers add up to its area and this.
#[derive(Debug, Clone, PartialEq)]
pub struct Excess {
    /// Number of the layer that overlaps itself.
    pub layer: usize,
    /// The groups of the other layers; the layer's own is [`Group::Outside`] and means nothing.
    pub row: Row,
}

/// Where the work stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Settling which features take part.
    Choosing,
    /// Features done and how many there are.
    Overlaying(u64, u64),
}

/// Why an analysis has no result.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    #[error("layer {layer} holds images or made tiles, not polygons (影像或瓦片图层不能叠加)")]
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
    #[error(
        "the features of this tile have {found} {what}, at most {limit} are overlaid; ask from zoom {zoom} on, or for an area table (瓦片内要素过多,请放大至 {zoom} 级)"
    )]
    TileTooFull {
        what: &'static str,
        found: u64,
        limit: u64,
        /// Where a tile would have so much less.
        zoom: u8,
    },
    #[error(transparent)]
    Grid(#[from] GridError),
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
    #[error(
        "official areas are defined on CGCS2000; the first layer is in {found} (椭球面积规则要求 CGCS2000 坐标系)"
    )]
    NotCgcs2000 { found: String },
    #[error(
        "layer {layer}, feature {id}: field {field:?} has no number to adjust to (控制面积缺失)"
    )]
    NoControlArea {
        layer: String,
        id: u64,
        field: String,
    },
    #[error("longitude {longitude_deg} lies in no 3° zone of CGCS2000 (不在 3° 分带范围内)")]
    NoZone { longitude_deg: f64 },
    #[error("polygons of the clip area lie on each other (裁剪范围自身重叠)")]
    ClipOverlaps,
    #[error(
        "the clip area has coordinates that have no place in the working plane (裁剪范围无法转换)"
    )]
    ClipPlace,
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
    let request = Request {
        selections,
        conditions: Vec::new(),
        clip: None,
        operation: Operation::Union,
        mode,
    };
    areas_of(&request, budget, progress)
}

fn working_plane<'a>(
    selections: &[Selection<'a>],
    mode: AreaMode,
) -> Result<Plane<'a>, AnalysisError> {
    let Some(first) = selections.first() else {
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
            Ok(Plane::Of(crs))
        }
        AreaMode::Additive => Ok(Plane::EqualArea(common_datum(selections)?)),
        AreaMode::Official | AreaMode::Geodesic => {
            common_datum(selections)?;
            Ok(Plane::Of(crs))
        }
    }
}

/// The datum that all layers share; the same unknown one counts as CGCS2000's ellipsoid.
fn common_datum(selections: &[Selection<'_>]) -> Result<Datum, AnalysisError> {
    let Some((first, rest)) = selections.split_first() else {
        return Err(OverlayError::LayerCount { found: 0 }.into());
    };
    let crs = &first.snapshot.manifest.crs;
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
    Ok(datum.unwrap_or(Datum::Cgcs2000))
}
