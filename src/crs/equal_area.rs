//! The plane in which areas on the ellipsoid are plain areas: Lambert's cylindrical equal-area
//! projection of the layer's own ellipsoid.
//!
//! The official trapezoid formula for parcels (国土调查办发〔2008〕32号) sums, over the edges,
//! mean longitude times the zone area between the latitudes; that is the shoelace formula in this
//! plane. J. P. Snyder, "Map Projections: A Working Manual", USGS Professional Paper 1395 (1987),
//! chapter 10.

use proj::Proj;

use super::{Crs, CrsError, Datum, GaussKruger};

/// Latitude of true scale and central meridian: the middle of China. Areas do not depend on
/// them, shapes are least distorted near them.
const TRUE_SCALE_DEG: f64 = 36.0;
const CENTRAL_MERIDIAN_DEG: f64 = 105.0;

/// A transform from one layer's system into the plane, for one thread.
pub struct EqualAreaPlane {
    to_plane: Proj,
}

impl Crs {
    /// The national datum of this system, when it is on one. WGS 84 counts as CGCS2000: their
    /// ellipsoids differ by 0.1 mm.
    pub fn national_datum(&self) -> Option<Datum> {
        let code = self.epsg?;
        let geographic = Datum::ALL
            .into_iter()
            .find(|datum| datum.geographic_epsg() == code);
        let on_wgs84 = matches!(code, 4326 | 3857) || (32601..=32660).contains(&code);
        geographic
            .or_else(|| GaussKruger::from_epsg(code).map(|zone| zone.datum))
            .or_else(|| on_wgs84.then_some(Datum::Cgcs2000))
    }
}

/// The plane over the ellipsoid of `datum`, for PROJ.
pub(super) fn plane_definition(datum: Datum) -> String {
    let (a, inverse_flattening) = datum.ellipsoid();
    format!(
        "+proj=cea +lat_ts={TRUE_SCALE_DEG} +lon_0={CENTRAL_MERIDIAN_DEG} +a={a} \
         +rf={inverse_flattening} +units=m +no_defs +type=crs"
    )
}

impl Datum {
    /// Equatorial radius in metres and inverse flattening. EPSG codes of the ellipsoids: 1024
    /// CGCS2000, 7049 IAG 1975, 7024 Krassowsky 1940.
    fn ellipsoid(self) -> (f64, f64) {
        match self {
            Datum::Cgcs2000 => (6_378_137.0, 298.257_222_101),
            Datum::Xian1980 => (6_378_140.0, 298.257),
            Datum::Beijing1954 => (6_378_245.0, 298.3),
        }
    }

    /// Longitude and latitude in degrees of a place in the equal-area plane, to a nanodegree.
    /// Snyder, formulas 10-21, 10-26 to 10-28 and 3-16.
    pub fn lonlat_of_equal_area(self, x_m: f64, y_m: f64) -> [f64; 2] {
        let (a, inverse_flattening) = self.ellipsoid();
        let f = 1.0 / inverse_flattening;
        let e2 = f * (2.0 - f);
        let e = e2.sqrt();
        let (sin_ts, cos_ts) = TRUE_SCALE_DEG.to_radians().sin_cos();
        let k0 = cos_ts / (1.0 - e2 * sin_ts * sin_ts).sqrt();
        let zone = |sin: f64| (1.0 - e2) * (sin / (1.0 - e2 * sin * sin) + (e * sin).atanh() / e);
        let q = 2.0 * y_m * k0 / a;
        let mut latitude = (q / zone(1.0)).clamp(-1.0, 1.0).asin();
        // Newton's method; the start is off by a fifth of a degree at most.
        for _ in 0..4 {
            let (sin, cos) = latitude.sin_cos();
            if cos < 1e-9 {
                break;
            }
            let w = 1.0 - e2 * sin * sin;
            latitude += w * w / (2.0 * (1.0 - e2) * cos) * (q - zone(sin));
        }
        [
            CENTRAL_MERIDIAN_DEG + (x_m / (a * k0)).to_degrees(),
            latitude.to_degrees(),
        ]
    }
}

impl EqualAreaPlane {
    /// Prepares the transform from `from` to the plane over the ellipsoid of `datum`.
    ///
    /// # Errors
    /// When PROJ has no transform.
    pub fn new(from: &Crs, datum: Datum) -> Result<EqualAreaPlane, CrsError> {
        let plane = plane_definition(datum);
        let to_plane = Proj::new_known_crs(&from.definition, &plane, None).map_err(|e| {
            CrsError::NoTransform {
                from: from.label(),
                to: "the equal-area plane".to_string(),
                reason: e.to_string(),
            }
        })?;
        Ok(EqualAreaPlane { to_plane })
    }

    /// Transforms positions in place; metres.
    ///
    /// # Errors
    /// When a position has no image.
    pub fn transform(&self, points: &mut [(f64, f64)]) -> Result<(), CrsError> {
        self.to_plane
            .convert_array(points)
            .map(|_| ())
            .map_err(|e| CrsError::NoTransform {
                from: "layer coordinates".to_string(),
                to: "the equal-area plane".to_string(),
                reason: e.to_string(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_that_of_proj() {
        for datum in Datum::ALL {
            let crs = Crs::from_user(&datum.geographic_epsg().to_string()).unwrap();
            let plane = EqualAreaPlane::new(&crs, datum).unwrap();
            for latitude in [-60.0, 0.0, 3.5, 18.25, 36.0, 53.9, 80.0] {
                let mut point = [(121.5, latitude)];
                plane.transform(&mut point).unwrap();
                let [lon, lat] = datum.lonlat_of_equal_area(point[0].0, point[0].1);
                assert!((lon - 121.5).abs() < 1e-9, "{datum:?} {latitude}: {lon}");
                assert!((lat - latitude).abs() < 1e-9, "{datum:?} {latitude}: {lat}");
            }
        }
    }
}
