//! A boundary as it came, and as it is laid over features.

use xxhash_rust::xxh3::Xxh3;

use super::super::AnalysisError;
use super::super::divide::{LONGEST_REPORTED_M, divided};
use super::{GRID_STEP_M, Maps, Outline, lonlat_of_grid, on_grid};
use crate::crs::ellipsoid_area::polygon_area_centi_m2;
use crate::crs::{Crs, CrsError, Datum, GaussKruger, ZoneWidth};
use crate::geom::{Bbox, Geometry};
use crate::overlay::{Footprint, LayerBuilder, OverlayError, RingRole, Rings};

/// What somebody asks about.
#[derive(Debug, Clone)]
pub struct Boundary {
    /// As the asker calls it; appears in the report.
    pub name: String,
    pub crs: Crs,
    pub geometry: Geometry,
}

/// A boundary on the grid of the equal-area plane.
pub(super) struct Prepared {
    pub footprint: Footprint,
    pub rings: Rings,
    pub bbox_lonlat: Bbox,
    pub official_centi_m2: Option<i64>,
    pub digest: String,
}

impl Prepared {
    pub fn new(boundary: &Boundary, datum: Datum, maps: &Maps) -> Result<Prepared, AnalysisError> {
        let geometry = &boundary.geometry;
        if geometry.kind.dimension() != 2 || geometry.is_empty() {
            return Err(AnalysisError::BoundaryNotPolygon {
                boundary: boundary.name.clone(),
                found: geometry.kind.name(),
            });
        }
        let map = maps.to_equal_area(&boundary.crs, datum)?;
        let mut cursor = map.cursor();
        let mut builder = LayerBuilder::default();
        let mut hasher = Xxh3::new();
        let mut grid = Rings::default();
        for rings in geometry.polygons() {
            for (number, ring) in rings.enumerate() {
                let points = &mut grid.points;
                let start = points.len();
                let pairs = geometry.ring(ring).chunks_exact(2);
                divided(
                    &boundary.crs,
                    LONGEST_REPORTED_M,
                    pairs.map(|p| [p[0], p[1]]),
                    |[x, y]| {
                        points.push(on_grid(cursor.point(x, y)?));
                        Ok::<(), CrsError>(())
                    },
                )?;
                let role = if number == 0 {
                    RingRole::Shell
                } else {
                    RingRole::Hole
                };
                hasher.update(&[u8::from(number == 0)]);
                for point in &points[start..] {
                    hasher.update(&point[0].to_le_bytes());
                    hasher.update(&point[1].to_le_bytes());
                }
                builder
                    .push_ring(0, role, points[start..].iter().copied())
                    .map_err(|error| match error {
                        OverlayError::BeyondFrame { .. } => AnalysisError::BoundaryPlace {
                            boundary: boundary.name.clone(),
                            crs: boundary.crs.label(),
                        },
                        other => other.into(),
                    })?;
                grid.close(role);
            }
        }
        let footprint = Footprint::new(builder.finish());
        if footprint.exact_area() <= 0 {
            return Err(AnalysisError::BoundaryWithoutArea {
                boundary: boundary.name.clone(),
            });
        }
        let bbox_lonlat = lonlat_of_grid(footprint.bounds(), datum);
        Ok(Prepared {
            official_centi_m2: official_area(boundary, datum, &bbox_lonlat, maps)?,
            footprint,
            rings: grid,
            bbox_lonlat,
            digest: format!("xxh3:{:032x}", hasher.digest128()),
        })
    }
}

/// The area by the official rule: in the plane of the boundary's own zone, or of the 3° zone its
/// middle lies in. `None` on other datums than the rule's.
fn official_area(
    boundary: &Boundary,
    datum: Datum,
    bbox_lonlat: &Bbox,
    maps: &Maps,
) -> Result<Option<i64>, AnalysisError> {
    if boundary.crs.national_datum() != Some(Datum::Cgcs2000) || datum != Datum::Cgcs2000 {
        return Ok(None);
    }
    let own = boundary.crs.gauss_kruger();
    let zone = match own {
        Some(zone) => zone,
        None => {
            let middle = bbox_lonlat.center()[0];
            let number = (middle / 3.0).round();
            let known = GaussKruger::zones(datum).find(|zone| {
                zone.width == ZoneWidth::Three
                    && zone.prefixed
                    && zone.central_meridian_deg() == number * 3.0
            });
            match known {
                Some(zone) => zone,
                // The rule is for China.
                None => return Ok(None),
            }
        }
    };
    let map = match own {
        Some(_) => None,
        None => Some(maps.to_zone(&boundary.crs, zone)?),
    };
    let mut cursor = map.as_ref().map(|map| map.cursor());
    let geometry = &boundary.geometry;
    let mut centi = 0;
    for rings in geometry.polygons() {
        let rings: Vec<Vec<[f64; 2]>> = rings
            .map(|ring| {
                geometry
                    .ring(ring)
                    .chunks_exact(2)
                    .map(|p| match &mut cursor {
                        Some(cursor) => cursor.point(p[0], p[1]),
                        None => Ok([p[0], p[1]]),
                    })
                    .collect()
            })
            .collect::<Result<_, CrsError>>()?;
        centi += polygon_area_centi_m2(&rings, zone.false_easting_m());
    }
    Ok(Some(centi))
}

/// The boundary as it was laid over the layers, in degrees: rings of polygons, the shell first,
/// closed. For maps; eight digits are a millimetre.
pub(super) fn outline(prepared: &Prepared, datum: Datum) -> Outline {
    let mut polygons = Outline::new();
    let mut start = 0;
    for &(end, role) in &prepared.rings.ends {
        let ring = prepared.rings.points[start..end as usize]
            .iter()
            .map(|point| {
                let [x, y] = point.map(|v| v as f64 * GRID_STEP_M);
                datum
                    .lonlat_of_equal_area(x, y)
                    .map(|v| (v * 1e8).round() / 1e8)
            })
            .collect();
        match polygons.last_mut() {
            Some(polygon) if role == RingRole::Hole => polygon.push(ring),
            _ => polygons.push(vec![ring]),
        }
        start = end as usize;
    }
    polygons
}
