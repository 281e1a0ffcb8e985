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
const PLACE: &str = "+proj=cea +lat_ts=36 +lon_0=105";

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

impl EqualAreaPlane {
    /// Prepares the transform from `from` to the plane over the ellipsoid of `datum`.
    ///
    /// # Errors
    /// When PROJ has no transform.
    pub fn new(from: &Crs, datum: Datum) -> Result<EqualAreaPlane, CrsError> {
        // EPSG codes of the ellipsoids: 1024 CGCS2000, 7049 IAG 1975, 7024 Krassowsky 1940.
        let ellipsoid = match datum {
            Datum::Cgcs2000 => "+a=6378137 +rf=298.257222101",
            Datum::Xian1980 => "+a=6378140 +rf=298.257",
            Datum::Beijing1954 => "+a=6378245 +rf=298.3",
        };
        let plane = format!("{PLACE} {ellipsoid} +units=m +no_defs +type=crs");
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
