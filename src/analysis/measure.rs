//! The area of one polygon on its own, by any of the modes.
//!
//! The table's additive areas come from integers; here they are the same integrals in floating
//! point, for pieces that are drawn anyway.

use geographiclib_rs::{Geodesic, PolygonArea, Winding};

use super::divide::{LONGEST_MEASURED_M, divided};
use super::frame::{Bend, Plane, ToPlane};
use super::{AnalysisError, AreaMode};
use crate::crs::ellipsoid_area::polygon_area_centi_m2;
use crate::crs::{Crs, Datum, GaussKruger, PlaneMap, Transform, ZoneWidth};
use crate::geom::Geometry;

/// Measures polygons of one system; for one thread.
pub(super) struct Meter<'a> {
    crs: &'a Crs,
    method: Method,
}

enum Method {
    Planar,
    Additive(ToPlane),
    /// The official rule, in this zone or, for degrees, in the polygon's own.
    Official {
        to_degrees: Option<Transform>,
        zone: Option<GaussKruger>,
    },
    /// Edges as geodesics on the layer's ellipsoid.
    Geodesic {
        to_degrees: Option<Transform>,
        ellipsoid: Box<Geodesic>,
    },
}

impl<'a> Meter<'a> {
    pub fn new(crs: &'a Crs, mode: AreaMode) -> Result<Meter<'a>, AnalysisError> {
        let datum = crs.national_datum();
        let method = match mode {
            AreaMode::Planar => Method::Planar,
            AreaMode::Additive => {
                let plane = Plane::EqualArea(datum.unwrap_or(Datum::Cgcs2000));
                Method::Additive(ToPlane::new(crs, &plane)?)
            }
            AreaMode::Official => {
                if datum != Some(Datum::Cgcs2000) {
                    return Err(AnalysisError::NotCgcs2000 { found: crs.label() });
                }
                let zone = crs.epsg.and_then(GaussKruger::from_epsg);
                let to_degrees = match zone {
                    None if !crs.geographic => Some(to_degrees(crs, Datum::Cgcs2000)?),
                    _ => None,
                };
                Method::Official { to_degrees, zone }
            }
            AreaMode::Geodesic => {
                let datum = datum.unwrap_or(Datum::Cgcs2000);
                let (a, inverse_flattening) = datum.ellipsoid();
                Method::Geodesic {
                    to_degrees: match crs.geographic {
                        true => None,
                        false => Some(to_degrees(crs, datum)?),
                    },
                    ellipsoid: Box::new(Geodesic::new(a, 1.0 / inverse_flattening)),
                }
            }
        };
        Ok(Meter { crs, method })
    }

    /// Square metres.
    pub fn area_m2(&mut self, geometry: &Geometry) -> Result<f64, AnalysisError> {
        let crs = self.crs;
        match &mut self.method {
            Method::Planar => Ok(geometry.area() * self.crs.metres_per_unit.powi(2)),
            Method::Additive(to_plane) => {
                let bend = Bend::near(crs, to_plane, geometry.bbox().center());
                sum(geometry, |ring| additive(crs, to_plane, &bend, ring))
            }
            Method::Official { to_degrees, zone } => {
                official(crs, geometry, to_degrees.as_ref(), *zone)
            }
            Method::Geodesic {
                to_degrees,
                ellipsoid,
            } => sum(geometry, |ring| {
                let mut degrees = positions(ring);
                if let Some(transform) = to_degrees {
                    transform.transform(&mut degrees)?;
                }
                let mut area = PolygonArea::new(ellipsoid, Winding::CounterClockwise);
                for &(longitude, latitude) in &degrees[1..] {
                    area.add_point(latitude, longitude);
                }
                Ok(area.compute(true).1)
            }),
        }
    }
}

/// Shells less holes, whatever their orientation.
fn sum(
    geometry: &Geometry,
    mut ring_area: impl FnMut(&[f64]) -> Result<f64, AnalysisError>,
) -> Result<f64, AnalysisError> {
    let mut total = 0.0;
    for polygon in geometry.polygons() {
        let shell = polygon.start;
        for ring in polygon {
            if geometry.ring(ring).len() < 8 {
                continue;
            }
            let area = ring_area(geometry.ring(ring))?.abs();
            total += if ring == shell { area } else { -area };
        }
    }
    Ok(total)
}

fn official(
    crs: &Crs,
    geometry: &Geometry,
    to_degrees: Option<&Transform>,
    zone: Option<GaussKruger>,
) -> Result<f64, AnalysisError> {
    let mut rings = Vec::new();
    let mut starts = Vec::new();
    for polygon in geometry.polygons() {
        starts.push(polygon.start);
        for ring in polygon {
            rings.push(positions(geometry.ring(ring)));
        }
    }
    let zone = match zone {
        Some(zone) => zone,
        None => {
            let mut middle = vec![{
                let [x, y] = geometry.bbox().center();
                (x, y)
            }];
            if let Some(transform) = to_degrees {
                transform.transform(&mut middle)?;
            }
            let zone = zone_of(middle[0].0).ok_or_else(|| AnalysisError::NoZone {
                longitude_deg: middle[0].0,
            })?;
            let mut to_zone = PlaneMap::to_zone(crs, zone)?.cursor();
            for ring in &mut rings {
                to_zone.transform(ring)?;
            }
            zone
        }
    };
    let rings: Vec<Vec<[f64; 2]>> = rings
        .into_iter()
        .map(|ring| ring.into_iter().map(|(x, y)| [x, y]).collect())
        .collect();
    starts.push(rings.len());
    let centi: i64 = starts
        .windows(2)
        .map(|range| polygon_area_centi_m2(&rings[range[0]..range[1]], zone.false_easting_m()))
        .sum();
    Ok(centi as f64 / 100.0)
}

fn to_degrees(crs: &Crs, datum: Datum) -> Result<Transform, AnalysisError> {
    let degrees = Crs::from_user(&format!("EPSG:{}", datum.geographic_epsg()))?;
    Ok(Transform::new(crs, &degrees)?)
}

/// The 3° zone of a longitude.
fn zone_of(longitude_deg: f64) -> Option<GaussKruger> {
    let number = (longitude_deg / 3.0).round();
    GaussKruger::zones(Datum::Cgcs2000)
        .find(|zone| zone.width == ZoneWidth::Three && f64::from(zone.zone) == number)
}

fn positions(ring: &[f64]) -> Vec<(f64, f64)> {
    ring.chunks_exact(2).map(|p| (p[0], p[1])).collect()
}

/// Signed area of a closed ring in the equal-area plane, its edges straight in their own.
fn additive(
    crs: &Crs,
    to_plane: &mut ToPlane,
    bend: &Bend,
    ring: &[f64],
) -> Result<f64, AnalysisError> {
    let mut points = Vec::with_capacity(ring.len());
    let vertices = ring.chunks_exact(2).map(|p| [p[0], p[1]]);
    divided(crs, LONGEST_MEASURED_M, vertices, |[x, y]| {
        points.push((x, y));
        Ok::<(), AnalysisError>(())
    })?;
    to_plane.transform(&mut points)?;
    let (x0, y0) = points[0];
    Ok(points
        .windows(2)
        .map(|pair| {
            let (p, q) = (pair[0], pair[1]);
            let cross = (p.0 - x0) * (q.1 - y0) - (q.0 - x0) * (p.1 - y0);
            cross / 2.0 + bend.area([q.0 - p.0, q.1 - p.1])
        })
        .sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(e: f64, n: f64, side: f64) -> Geometry {
        let ring = [
            [e, n],
            [e + side, n],
            [e + side, n + side],
            [e, n + side],
            [e, n],
        ];
        Geometry::polygon(&[&ring])
    }

    fn crs(code: u32) -> Crs {
        Crs::from_user(&format!("EPSG:{code}")).unwrap()
    }

    #[test]
    fn the_official_area_is_that_of_the_rule_in_the_plane_and_in_degrees() {
        let plane = crs(4527);
        let polygon = square(39_620_000.0, 3_500_000.0, 1000.0);
        let mut meter = Meter::new(&plane, AreaMode::Official).unwrap();
        assert_eq!(meter.area_m2(&polygon).unwrap(), 999_642.07);
        let degrees = crs(4490);
        let mut points: Vec<(f64, f64)> = positions(polygon.ring(0));
        Transform::new(&plane, &degrees)
            .unwrap()
            .transform(&mut points)
            .unwrap();
        let points: Vec<[f64; 2]> = points.into_iter().map(|(x, y)| [x, y]).collect();
        let mut meter = Meter::new(&degrees, AreaMode::Official).unwrap();
        let found = meter.area_m2(&Geometry::polygon(&[&points])).unwrap();
        assert!((found - 999_642.07).abs() < 0.015, "{found}");
    }

    #[test]
    fn the_geodesic_area_is_that_of_geographiclib() {
        // `Planimeter` of GeographicLib 2: one degree at the equator on WGS 84 is
        // 12 308 778 361.469 m²; the ellipsoid of CGCS2000 differs in the twelfth digit.
        let degrees = crs(4490);
        let mut meter = Meter::new(&degrees, AreaMode::Geodesic).unwrap();
        let found = meter.area_m2(&square(0.0, 0.0, 1.0)).unwrap();
        assert!((found - 12_308_778_361.469).abs() < 1.0, "{found}");
    }

    #[test]
    fn parts_of_a_polygon_add_up() {
        let plane = crs(4527);
        let (e, n) = (39_620_000.0, 3_500_000.0);
        let mut meter = Meter::new(&plane, AreaMode::Additive).unwrap();
        let whole = meter.area_m2(&square(e, n, 1000.0)).unwrap();
        let left = [
            [e, n],
            [e + 311.7, n],
            [e + 633.3, n + 1000.0],
            [e, n + 1000.0],
            [e, n],
        ];
        let right = [
            [e + 311.7, n],
            [e + 1000.0, n],
            [e + 1000.0, n + 1000.0],
            [e + 633.3, n + 1000.0],
            [e + 311.7, n],
        ];
        let sum: f64 = [left, right]
            .iter()
            .map(|ring| meter.area_m2(&Geometry::polygon(&[ring])).unwrap())
            .sum();
        assert!((sum - whole).abs() < 1e-4, "{sum} {whole}");
        assert!((whole - 999_642.066_7).abs() < 1e-3, "{whole}");
    }
}
