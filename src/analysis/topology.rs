//! Defects of a layer that should be a coverage: where its polygons lie on each other, where they
//! leave gaps between them, and which of them are slivers; each with its place and size.
//!
//! Overlaps are the layer's pieces with itself; gaps are the holes of all its polygons dissolved
//! to one shape. A gap that is open to the outside is no hole and is not found.

use super::{
    AnalysisError, AreaMode, Grouping, LayerRead, Operation, PieceRow, Progress, Request, Selection,
};
use crate::geom::label::label_point;
use crate::geom::{Geometry, signed_area};
use crate::query::Budget;
use crate::store::Snapshot;

/// What is wrong at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DefectKind {
    /// Two features lie on each other.
    Overlap,
    /// Nothing covers a place that features surround.
    Gap,
    /// A feature is narrower or smaller than a bound.
    Sliver,
}

/// One defect.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Defect {
    pub kind: DefectKind,
    /// Ids of the features: two of an overlap, one of a sliver, none of a gap.
    pub features: Vec<u64>,
    /// A position inside of it, in the layer's system.
    pub place: [f64; 2],
    pub area_m2: f64,
    /// Mean width, twice the area over the perimeter.
    pub width_m: f64,
}

/// All defects of a layer.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TopologyReport {
    pub layer: LayerRead,
    /// By kind, the largest first.
    pub defects: Vec<Defect>,
}

/// From when on a feature counts as a sliver.
#[derive(Debug, Clone, Copy)]
pub struct SliverBounds {
    pub area_m2: f64,
    pub width_m: f64,
}

/// Looks for the defects of a layer.
///
/// # Errors
/// As [`super::areas`].
pub fn defects(
    snapshot: &Snapshot,
    slivers: SliverBounds,
    budget: &Budget,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<TopologyReport, AnalysisError> {
    let mode = AreaMode::Additive;
    let selection = || Selection {
        snapshot,
        grouping: Grouping::Feature,
    };
    let selections = [selection(), selection()];
    let request = Request {
        selections: &selections,
        conditions: Vec::new(),
        clip: None,
        operation: Operation::Intersection,
        mode,
    };
    let crs = &snapshot.manifest.crs;
    let Some((data, _)) = snapshot.vector() else {
        return Err(AnalysisError::NotVector {
            layer: snapshot.name().to_string(),
        });
    };
    let id = |feature: u32| data.index.record(feature).id;
    let mut found = Vec::new();
    let made = super::pieces(&request, budget, progress, &mut |piece: PieceRow| {
        let [Some(one), Some(other)] = piece.features[..] else {
            return Ok(());
        };
        let width_m = width_m(&piece.geometry, piece.area_m2, crs.geographic);
        if one < other {
            let features = vec![id(one), id(other)];
            found.extend(defect(DefectKind::Overlap, features, &piece, width_m));
        } else if one == other {
            let thin = piece.area_m2 < slivers.area_m2 || width_m < slivers.width_m;
            if thin {
                found.extend(defect(DefectKind::Sliver, vec![id(one)], &piece, width_m));
            }
        }
        Ok::<(), AnalysisError>(())
    })?;
    let whole = Selection {
        snapshot,
        grouping: Grouping::Layer,
    };
    let (shapes, _) = super::dissolve(&whole, &[], mode, budget, progress)?;
    let mut meter = super::measure::Meter::new(crs, mode)?;
    for shape in &shapes {
        for polygon in shape.geometry.polygons() {
            for ring in polygon.skip(1) {
                let mut gap = Geometry::new(crate::geom::GeometryType::Polygon);
                let points = shape.geometry.ring(ring).chunks_exact(2);
                gap.push_ring(points.map(|p| [p[0], p[1]]));
                gap.close_part();
                let area_m2 = meter.area_m2(&gap)?;
                let piece = PieceRow {
                    features: Vec::new(),
                    whole: false,
                    area_m2,
                    geometry: gap,
                };
                let width_m = width_m(&piece.geometry, area_m2, crs.geographic);
                found.extend(defect(DefectKind::Gap, Vec::new(), &piece, width_m));
            }
        }
    }
    found.sort_by(|a, b| {
        (a.kind.cmp(&b.kind))
            .then(b.area_m2.total_cmp(&a.area_m2))
            .then(a.features.cmp(&b.features))
    });
    let mut layer = made.layers.into_iter();
    let layer = layer.next().ok_or(AnalysisError::NoPolygons {
        layer: snapshot.name().to_string(),
    })?;
    Ok(TopologyReport {
        layer,
        defects: found,
    })
}

fn defect(kind: DefectKind, features: Vec<u64>, piece: &PieceRow, width_m: f64) -> Option<Defect> {
    let label = label_point(&piece.geometry)?;
    Some(Defect {
        kind,
        features,
        place: [label.x, label.y],
        area_m2: piece.area_m2,
        width_m,
    })
}

/// Twice the area over the perimeter; the perimeter of degrees by the ratio of the areas.
fn width_m(geometry: &Geometry, area_m2: f64, geographic: bool) -> f64 {
    let [_, y] = geometry.bbox().center();
    let shrink = if geographic {
        y.to_radians().cos()
    } else {
        1.0
    };
    let (mut perimeter, mut plane_area) = (0.0, 0.0);
    for polygon in geometry.polygons() {
        let shell = polygon.start;
        for ring in polygon {
            let xy = geometry.ring(ring);
            let sign = if ring == shell { 1.0 } else { -1.0 };
            plane_area += sign * signed_area(xy).abs() * shrink;
            perimeter += xy
                .windows(4)
                .step_by(2)
                .map(|p| ((p[2] - p[0]) * shrink).hypot(p[3] - p[1]))
                .sum::<f64>();
        }
    }
    if perimeter <= 0.0 || plane_area <= 0.0 {
        return 0.0;
    }
    let metres_per_unit = (area_m2 / plane_area).sqrt();
    2.0 * area_m2 / (perimeter * metres_per_unit)
}
