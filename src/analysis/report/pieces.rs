//! The pieces of a report as shapes, and their official areas: done on request, for it takes
//! several times as long as the areas alone.
//!
//! The boundary and the features that meet it go through the engine of the whole overlay once per
//! layer, what no feature covers included. A piece's official area is that of its own shape, ring
//! by ring with all roundings of the rule, in the zone the boundary is measured in: so pieces do
//! not add up to the boundary's official area, and the report states by how much.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::super::AnalysisError;
use super::super::frame::shorten;
use super::super::reader::Gathered;
use super::boundary::Prepared;
use super::touch::{box_in_layer, read_rings};
use super::{Layer, Outline};
use crate::crs::ellipsoid_area::polygon_area_centi_m2;
use crate::crs::{Crs, CrsError, Datum, PlaneMap};
use crate::overlay::{
    CROSSING_UNITS, LayerBuilder, Lines, OVERLAP, Options, Overlay, OverlayError, Place, Polygon,
    Rings, Scratch,
};
use crate::query::{Budget, Stop};

/// Vertices of all pieces of a layer in one report.
const MAX_VERTICES: usize = 500_000;

/// What to do beyond the areas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Detail {
    /// Official areas of the pieces.
    pub official: bool,
    /// The pieces themselves.
    pub shapes: bool,
}

/// A piece of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct PieceShape {
    /// Place of its layer in the report.
    pub layer: usize,
    /// The feature; none for what the layer does not cover.
    pub feature: Option<u64>,
    /// In degrees.
    pub polygons: Outline,
}

/// Official areas of one layer's pieces, in hundredths of a square metre.
#[derive(Debug, Default)]
pub(super) struct Officials {
    pub features: HashMap<u64, i64>,
    pub outside: i64,
}

/// The pieces of one layer.
pub(super) struct Drawn {
    pub officials: Option<Officials>,
    pub shapes: Vec<(Option<u64>, Outline)>,
}

pub(super) fn of_layer(
    layer: &Layer,
    prepared: &Prepared,
    datum: Datum,
    detail: Detail,
    budget: &Budget,
) -> Result<Drawn, AnalysisError> {
    let too_many = || AnalysisError::TooManyVertices {
        layer: layer.snapshot.name().to_string(),
    };
    let (ids, gathered) = gather(layer, prepared, datum, budget)?;
    let polygons = overlaid(prepared, &gathered, budget)?;
    let vertices: usize = polygons
        .iter()
        .flat_map(|p| &p.1)
        .flatten()
        .map(Vec::len)
        .sum();
    if vertices > MAX_VERTICES {
        return Err(too_many());
    }
    let mut officials = match prepared.zone {
        Some(zone) if detail.official => {
            let map = PlaneMap::to_zone(degrees(datum)?, zone)?;
            Some((map, zone, Officials::default()))
        }
        _ => None,
    };
    let mut shapes = Vec::new();
    for (place, polygons) in &polygons {
        budget.check()?;
        let id = place.map(|place| ids[place as usize]);
        let outline: Outline = polygons
            .iter()
            .map(|polygon| {
                let rings = polygon.iter();
                rings
                    .map(|ring| {
                        let places = ring.iter();
                        places
                            .map(|&point| prepared.ground.lonlat(point, CROSSING_UNITS))
                            .collect()
                    })
                    .collect()
            })
            .collect();
        if let Some((map, zone, found)) = &mut officials {
            let mut cursor = map.cursor();
            let mut centi = 0;
            for polygon in &outline {
                let rings: Vec<Vec<[f64; 2]>> = polygon
                    .iter()
                    .map(|ring| ring.iter().map(|p| cursor.point(p[0], p[1])).collect())
                    .collect::<Result<_, CrsError>>()?;
                centi += polygon_area_centi_m2(&rings, zone.false_easting_m());
            }
            match id {
                Some(id) => *found.features.entry(id).or_default() += centi,
                None => found.outside += centi,
            }
        }
        if detail.shapes {
            shapes.push((id, closed(outline)));
        }
    }
    Ok(Drawn {
        officials: officials.map(|(_, _, found)| found),
        shapes,
    })
}

/// For maps: rings are closed, eight digits are a millimetre.
fn closed(mut outline: Outline) -> Outline {
    for ring in outline.iter_mut().flatten() {
        for place in ring.iter_mut() {
            *place = place.map(|v| (v * 1e8).round() / 1e8);
        }
        if let Some(&first) = ring.first() {
            ring.push(first);
        }
    }
    outline
}

/// The system of degrees of a datum.
fn degrees(datum: Datum) -> Result<&'static Crs, CrsError> {
    // The official rule knows one datum.
    static KNOWN: OnceLock<Crs> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(known);
    }
    let crs = Crs::from_user(&datum.geographic_epsg().to_string())?;
    Ok(KNOWN.get_or_init(|| crs))
}

/// The features that meet the boundary, shortened beyond it, and their ids.
fn gather(
    layer: &Layer,
    prepared: &Prepared,
    datum: Datum,
    budget: &Budget,
) -> Result<(Vec<u64>, Gathered), AnalysisError> {
    let (mut ids, mut gathered) = (Vec::new(), Gathered::default());
    let snapshot = &layer.snapshot;
    let (Some((data, _)), Some(bbox)) = (snapshot.vector(), box_in_layer(layer, prepared, datum)?)
    else {
        return Ok((ids, gathered));
    };
    let candidates = data.index.search(&bbox, 0.0, || budget.check().is_ok());
    let Some(candidates) = candidates else {
        budget.check()?;
        return Err(Stop::Cancelled.into());
    };
    let mut cursor = layer.map.cursor();
    let (mut rings, mut scratch) = (Rings::default(), Scratch::default());
    let bounds = prepared.footprint.bounds();
    let window = [bounds[0] - 4, bounds[1] - 4, bounds[2] + 4, bounds[3] + 4];
    for feature in candidates.features {
        let record = data.index.record(feature);
        let image = cursor.bbox(&record.bbox_in_layer_crs)?;
        let place = match prepared.ground.grid_box(&image) {
            Some(bounds) => prepared.footprint.place(bounds, &mut scratch),
            None => Place::Boundary,
        };
        if place == Place::Covered(0) {
            continue;
        }
        let view = data.features.feature(record.offset)?;
        let crs = &snapshot.manifest.crs;
        // What has no place was refused before.
        read_rings(&view, crs, &prepared.ground, &mut cursor, &mut rings);
        let number = ids.len() as u32;
        ids.push(record.id);
        gathered.features.push(feature);
        for (ring, role) in rings.each() {
            let start = gathered.points.len();
            gathered.points.extend_from_slice(ring);
            shorten(&mut gathered.points, start, &window);
            let end = gathered.points.len() as u32;
            gathered.rings.push((end, role, number));
        }
    }
    Ok((ids, gathered))
}

/// The place of a feature, none for what no feature covers, and the polygons there.
type Face = (Option<u32>, Vec<Polygon>);

/// All of the boundary, what no feature covers at the end.
fn overlaid(
    prepared: &Prepared,
    gathered: &Gathered,
    budget: &Budget,
) -> Result<Vec<Face>, AnalysisError> {
    let mut boundary = LayerBuilder::default();
    for (ring, role) in prepared.rings.each() {
        boundary.push_ring(0, role, ring.iter().copied())?;
    }
    let features = |gathered: &Gathered| -> Result<LayerBuilder, OverlayError> {
        gathered.builder(LayerBuilder::default(), |place| place)
    };
    let layers = vec![boundary.finish(), features(gathered)?.finish()];
    let mut overlay = Overlay::new(layers, Options::default())?;
    if overlay
        .overlapping(Some(prepared.footprint.bounds()))
        .contains(&1)
    {
        let stacked = features(gathered)?.finish_stacked();
        overlay.replace(1, stacked, Options::default());
    }
    let mut lines = Lines::of(0);
    for unit in overlay.units() {
        budget.check()?;
        overlay.trace(&unit, &mut lines)?;
    }
    let pieces = lines.into_pieces(true, |labels| labels[1] != OVERLAP);
    Ok(pieces
        .into_iter()
        .filter_map(|piece| {
            let place = piece.labels[1];
            Some(((place < OVERLAP).then_some(place), piece.polygons?))
        })
        .collect())
}
