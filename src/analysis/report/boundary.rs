//! A boundary as it came, and as it is laid over features.

use xxhash_rust::xxh3::Xxh3;

use super::super::AnalysisError;
use super::super::divide::{divided, longest_measured_m};
use super::super::frame::{Bend, Frame, Plane};
use super::Outline;
use crate::crs::ellipsoid_area::polygon_area_centi_m2;
use crate::crs::{Crs, CrsError, Cursor, Datum, GaussKruger, PlaneMap, ZoneWidth};
use crate::geom::{Bbox, Geometry};
use crate::overlay::{Bow, Footprint, GridPoint, LayerBuilder, OverlayError, RingRole, Rings};

/// What somebody asks about.
#[derive(Debug, Clone)]
pub struct Boundary {
    /// As the asker calls it; appears in the report.
    pub name: String,
    pub crs: Crs,
    pub geometry: Geometry,
}

/// The part of the equal-area plane that a report works in.
#[derive(Clone, Copy)]
pub(super) struct Ground {
    pub frame: Frame,
    pub longest_edge_m: f64,
    datum: Datum,
}

impl Ground {
    /// About a box of the plane.
    fn about(bbox: &Bbox, datum: Datum) -> Ground {
        Ground {
            frame: Plane::EqualArea(datum).frame(bbox.center()),
            longest_edge_m: longest_measured_m(bbox.width().max(bbox.height())),
            datum,
        }
    }

    /// How lines of a system bend here; `near` is a position of that system.
    pub fn bow(&self, crs: &Crs, cursor: &mut Cursor, near: [f64; 2]) -> Bow {
        let bend = Bend::by(crs, near, |places| {
            for place in places {
                let [x, y] = cursor.point(place.0, place.1)?;
                *place = (x, y);
            }
            Ok(())
        });
        self.frame.bow_of(&bend)
    }

    /// Longitude and latitude of a point given in parts of the grid's step.
    pub fn lonlat(&self, point: GridPoint, parts: i64) -> [f64; 2] {
        let [x, y] = self.frame.position(point, parts);
        self.datum.lonlat_of_equal_area(x, y)
    }

    /// A box on the grid that holds one of the plane; `None` beyond all frames.
    pub fn grid_box(&self, bbox: &Bbox) -> Option<[i64; 4]> {
        let [west, south] = self.frame.grid(bbox.min_x, bbox.min_y)?;
        let [east, north] = self.frame.grid(bbox.max_x, bbox.max_y)?;
        Some([west - 1, south - 1, east + 1, north + 1])
    }
}

/// A boundary is known again by its places to 0.1 mm.
const DIGEST_PER_M: f64 = 1e4;

/// A boundary on the grid of the equal-area plane.
pub(super) struct Prepared {
    pub ground: Ground,
    pub footprint: Footprint,
    pub rings: Rings,
    pub bbox_lonlat: Bbox,
    /// In whose plane official areas are measured; none where the rule does not hold.
    pub zone: Option<GaussKruger>,
    pub official_centi_m2: Option<i64>,
    pub digest: String,
}

impl Prepared {
    pub fn new(boundary: &Boundary, datum: Datum) -> Result<Prepared, AnalysisError> {
        let geometry = &boundary.geometry;
        if geometry.kind.dimension() != 2 || geometry.is_empty() {
            return Err(AnalysisError::BoundaryNotPolygon {
                boundary: boundary.name.clone(),
                found: geometry.kind.name(),
            });
        }
        let map = PlaneMap::to_equal_area(&boundary.crs, datum)?;
        let mut cursor = map.cursor();
        let own_bbox = geometry.bbox();
        let ground = Ground::about(&cursor.bbox(&own_bbox)?, datum);
        let bow = ground.bow(&boundary.crs, &mut cursor, own_bbox.center());
        let mut builder = LayerBuilder::with_bow(bow);
        let mut hasher = Xxh3::new();
        let mut grid = Rings {
            bow,
            ..Rings::default()
        };
        let nowhere = || AnalysisError::BoundaryPlace {
            boundary: boundary.name.clone(),
            crs: boundary.crs.label(),
        };
        for rings in geometry.polygons() {
            for (number, ring) in rings.enumerate() {
                let points = &mut grid.points;
                let start = points.len();
                let pairs = geometry.ring(ring).chunks_exact(2);
                divided(
                    &boundary.crs,
                    ground.longest_edge_m,
                    pairs.map(|p| [p[0], p[1]]),
                    |[x, y]| {
                        let [px, py] = cursor.point(x, y)?;
                        for v in [px, py] {
                            hasher.update(&((v * DIGEST_PER_M).round() as i64).to_le_bytes());
                        }
                        points.push(ground.frame.grid(px, py).ok_or_else(nowhere)?);
                        Ok::<(), AnalysisError>(())
                    },
                )?;
                let role = if number == 0 {
                    RingRole::Shell
                } else {
                    RingRole::Hole
                };
                hasher.update(&[u8::from(number == 0)]);
                builder
                    .push_ring(0, role, points[start..].iter().copied())
                    .map_err(|error| match error {
                        OverlayError::BeyondFrame { .. } => nowhere(),
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
        // The plane is cylindrical, so boxes stay boxes.
        let bounds = footprint.bounds();
        let [west, south] = ground.lonlat([bounds[0], bounds[1]], 1);
        let [east, north] = ground.lonlat([bounds[2], bounds[3]], 1);
        let bbox_lonlat = Bbox::new(west, south, east, north);
        let zone = official_zone(boundary, datum, &bbox_lonlat);
        let official = zone.map(|zone| official_area(boundary, zone));
        Ok(Prepared {
            official_centi_m2: official.transpose()?,
            zone,
            ground,
            footprint,
            rings: grid,
            bbox_lonlat,
            digest: format!("xxh3:{:032x}", hasher.digest128()),
        })
    }
}

/// The zone of the official rule: the boundary's own, or the 3° zone its middle lies in. `None` on
/// other datums than the rule's, and far from China.
fn official_zone(boundary: &Boundary, datum: Datum, bbox_lonlat: &Bbox) -> Option<GaussKruger> {
    if boundary.crs.national_datum() != Some(Datum::Cgcs2000) || datum != Datum::Cgcs2000 {
        return None;
    }
    boundary.crs.gauss_kruger().or_else(|| {
        let middle = (bbox_lonlat.center()[0] / 3.0).round() * 3.0;
        GaussKruger::zones(datum).find(|zone| {
            zone.width == ZoneWidth::Three && zone.prefixed && zone.central_meridian_deg() == middle
        })
    })
}

/// The area by the official rule in the plane of a zone.
fn official_area(boundary: &Boundary, zone: GaussKruger) -> Result<i64, AnalysisError> {
    let map = match boundary.crs.gauss_kruger() {
        Some(_) => None,
        None => Some(PlaneMap::to_zone(&boundary.crs, zone)?),
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
    Ok(centi)
}

/// The boundary as it was laid over the layers, in degrees: rings of polygons, the shell first,
/// closed. For maps; eight digits are a millimetre.
pub(super) fn outline(prepared: &Prepared) -> Outline {
    let mut polygons = Outline::new();
    let mut start = 0;
    for &(end, role) in &prepared.rings.ends {
        let ring = prepared.rings.points[start..end as usize]
            .iter()
            .map(|&point| {
                let lonlat = prepared.ground.lonlat(point, 1);
                lonlat.map(|v| (v * 1e8).round() / 1e8)
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
