//! The plane in which areas on the ellipsoid are plain areas: Lambert's cylindrical equal-area
//! projection of the layer's own ellipsoid.
//!
//! The official trapezoid formula for parcels (国土调查办发〔2008〕32号) sums, over the edges,
//! mean longitude times the zone area between the latitudes; that is the shoelace formula in this
//! plane. J. P. Snyder, "Map Projections: A Working Manual", USGS Professional Paper 1395 (1987),
//! chapter 10.
//!
//! For the national systems the transform is computed here, because PROJ's is most of the time of
//! an overlay: degrees in closed form, Gauss-Krüger by the series of L. Krüger (1912) to the sixth
//! order in the form of C. F. F. Karney, "Transverse Mercator with an accuracy of a few
//! nanometers", Journal of Geodesy 85 (2011). Everything else goes through PROJ.

use proj::Proj;

use super::{Crs, CrsError, Datum, GaussKruger};

/// Latitude of true scale and central meridian: the middle of China. Areas do not depend on
/// them, shapes are least distorted near them.
const TRUE_SCALE_DEG: f64 = 36.0;
const CENTRAL_MERIDIAN_DEG: f64 = 105.0;

/// A transform from one layer's system into the plane, for one thread.
pub struct EqualAreaPlane(Way);

enum Way {
    Ours(Series),
    Other(Box<Proj>),
}

/// The transform from a national system, computed here; for any thread.
pub(super) struct Series {
    cylinder: Cylinder,
    from: Origin,
}

/// Where positions come from.
enum Origin {
    /// Longitude and latitude in degrees on the plane's own datum.
    Degrees,
    GaussKruger(Box<InverseSeries>),
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
    pub fn ellipsoid(self) -> (f64, f64) {
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

impl Series {
    /// `None` for systems that are not national ones of this datum.
    pub fn new(from: &Crs, datum: Datum) -> Option<Series> {
        if from.national_datum() != Some(datum) {
            return None;
        }
        let code = from.epsg?;
        let own = if code == datum.geographic_epsg() || code == 4326 {
            Origin::Degrees
        } else {
            let zone = GaussKruger::from_epsg(code)?;
            Origin::GaussKruger(Box::new(InverseSeries::new(&zone)))
        };
        let (a, rf) = datum.ellipsoid();
        Some(Series {
            cylinder: Cylinder::new(a, 1.0 / rf),
            from: own,
        })
    }

    /// Whether a position takes some nanoseconds only.
    pub fn is_closed(&self) -> bool {
        matches!(self.from, Origin::Degrees)
    }

    #[inline]
    pub fn point(&self, x: f64, y: f64) -> (f64, f64) {
        let (sin, longitude) = match &self.from {
            Origin::Degrees => (y.to_radians().sin(), x.to_radians()),
            Origin::GaussKruger(series) => series.sin_latitude_longitude(x, y),
        };
        self.cylinder.point(sin, longitude)
    }
}

impl EqualAreaPlane {
    /// Prepares the transform from `from` to the plane over the ellipsoid of `datum`.
    ///
    /// # Errors
    /// When PROJ has no transform.
    pub fn new(from: &Crs, datum: Datum) -> Result<EqualAreaPlane, CrsError> {
        if let Some(series) = Series::new(from, datum) {
            return Ok(EqualAreaPlane(Way::Ours(series)));
        }
        let plane = plane_definition(datum);
        let to_plane = Proj::new_known_crs(&from.definition, &plane, None).map_err(|e| {
            CrsError::NoTransform {
                from: from.label(),
                to: "the equal-area plane".to_string(),
                reason: e.to_string(),
            }
        })?;
        Ok(EqualAreaPlane(Way::Other(Box::new(to_plane))))
    }

    /// Transforms positions in place; metres.
    ///
    /// # Errors
    /// When a position has no image.
    pub fn transform(&self, points: &mut [(f64, f64)]) -> Result<(), CrsError> {
        match &self.0 {
            Way::Ours(series) => {
                for point in points {
                    *point = series.point(point.0, point.1);
                }
                Ok(())
            }
            Way::Other(to_plane) => {
                to_plane
                    .convert_array(points)
                    .map(|_| ())
                    .map_err(|e| CrsError::NoTransform {
                        from: "layer coordinates".to_string(),
                        to: "the equal-area plane".to_string(),
                        reason: e.to_string(),
                    })
            }
        }
    }
}

/// The projection itself, in metres.
struct Cylinder {
    /// First eccentricity squared.
    e2: f64,
    /// Metres per radian of longitude.
    metres_per_radian: f64,
    /// Metres per unit of q / (1 − e²), Snyder's (3-12).
    metres_per_q: f64,
}

impl Cylinder {
    fn new(a: f64, f: f64) -> Cylinder {
        let e2 = f * (2.0 - f);
        let (sin, cos) = TRUE_SCALE_DEG.to_radians().sin_cos();
        let k = cos / (1.0 - e2 * sin * sin).sqrt();
        Cylinder {
            e2,
            metres_per_radian: a * k,
            metres_per_q: a * (1.0 - e2) / (2.0 * k),
        }
    }

    #[inline]
    fn point(&self, sin_latitude: f64, longitude_rad: f64) -> (f64, f64) {
        let z2 = self.e2 * sin_latitude * sin_latitude;
        // atanh(e s) / e as its power series: z² is below 0.007, seven terms reach 1e-17.
        let artanh = 1.0
            + z2 * (1.0 / 3.0
                + z2 * (1.0 / 5.0
                    + z2 * (1.0 / 7.0 + z2 * (1.0 / 9.0 + z2 * (1.0 / 11.0 + z2 / 13.0)))));
        let q = sin_latitude * (1.0 / (1.0 - z2) + artanh);
        (
            self.metres_per_radian * (longitude_rad - CENTRAL_MERIDIAN_DEG.to_radians()),
            self.metres_per_q * q,
        )
    }
}

/// From a Gauss-Krüger plane to the ellipsoid.
struct InverseSeries {
    e2: f64,
    e: f64,
    /// Radius of the rectifying sphere.
    radius_m: f64,
    beta: [f64; 6],
    false_easting_m: f64,
    meridian_rad: f64,
}

impl InverseSeries {
    fn new(zone: &GaussKruger) -> InverseSeries {
        let (a, rf) = zone.datum.ellipsoid();
        let f = 1.0 / rf;
        let e2 = f * (2.0 - f);
        let n = f / (2.0 - f);
        let (n2, n3, n4, n5, n6) = (n * n, n.powi(3), n.powi(4), n.powi(5), n.powi(6));
        InverseSeries {
            e2,
            e: e2.sqrt(),
            radius_m: a / (1.0 + n) * (1.0 + n2 / 4.0 + n4 / 64.0 + n6 / 256.0),
            beta: [
                n / 2.0 - 2.0 / 3.0 * n2 + 37.0 / 96.0 * n3 - n4 / 360.0 - 81.0 / 512.0 * n5
                    + 96_199.0 / 604_800.0 * n6,
                n2 / 48.0 + n3 / 15.0 - 437.0 / 1440.0 * n4 + 46.0 / 105.0 * n5
                    - 1_118_711.0 / 3_870_720.0 * n6,
                17.0 / 480.0 * n3 - 37.0 / 840.0 * n4 - 209.0 / 4480.0 * n5
                    + 5569.0 / 90_720.0 * n6,
                4397.0 / 161_280.0 * n4 - 11.0 / 504.0 * n5 - 830_251.0 / 7_257_600.0 * n6,
                4583.0 / 161_280.0 * n5 - 108_847.0 / 3_991_680.0 * n6,
                20_648_693.0 / 638_668_800.0 * n6,
            ],
            false_easting_m: zone.false_easting_m(),
            meridian_rad: zone.central_meridian_deg().to_radians(),
        }
    }

    fn sin_latitude_longitude(&self, east_m: f64, north_m: f64) -> (f64, f64) {
        let xi = north_m / self.radius_m;
        let eta = (east_m - self.false_easting_m) / self.radius_m;
        // Σ β sin(2j ζ) of the complex ζ = ξ + i η, by Clenshaw's recurrence.
        let (s, c) = (2.0 * xi).sin_cos();
        let grown = (2.0 * eta).exp();
        let (ch, sh) = ((grown + 1.0 / grown) / 2.0, (grown - 1.0 / grown) / 2.0);
        let (cos, sin) = ((c * ch, -s * sh), (s * ch, c * sh));
        let times = |p: (f64, f64), q: (f64, f64)| (p.0 * q.0 - p.1 * q.1, p.0 * q.1 + p.1 * q.0);
        let (mut next, mut after) = ((0.0, 0.0), (0.0, 0.0));
        for beta in self.beta.into_iter().rev() {
            let doubled = times((2.0 * cos.0, 2.0 * cos.1), next);
            (next, after) = ((beta + doubled.0 - after.0, doubled.1 - after.1), next);
        }
        let sum = times(sin, next);
        let (xi, eta) = (xi - sum.0, eta - sum.1);
        let (sin_xi, cos_xi) = xi.sin_cos();
        let sinh_eta = eta.sinh();
        let conformal = sin_xi / sinh_eta.hypot(cos_xi);
        // Newton's method for the tangent of the latitude: the second step reaches 1e-16.
        let mut t = conformal / (1.0 - self.e2);
        for _ in 0..3 {
            let root = (1.0 + t * t).sqrt();
            let sigma = (self.e * (self.e * t / root).atanh()).sinh();
            let image = t * (1.0 + sigma * sigma).sqrt() - sigma * root;
            t += (conformal - image) / (1.0 + image * image).sqrt()
                * (1.0 + (1.0 - self.e2) * t * t)
                / ((1.0 - self.e2) * root);
        }
        (
            t / (1.0 + t * t).sqrt(),
            self.meridian_rad + sinh_eta.atan2(cos_xi),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_series_are_proj_to_the_micrometre() {
        for code in [4490, 4527, 4548, 4610, 2364, 4214, 2416, 4505] {
            let crs = Crs::from_user(&format!("EPSG:{code}")).unwrap();
            let datum = crs.national_datum().unwrap();
            let ours = EqualAreaPlane::new(&crs, datum).unwrap();
            assert!(matches!(ours.0, Way::Ours(_)), "{code}");
            let plane = plane_definition(datum);
            let proj = Proj::new_known_crs(&crs.definition, &plane, None).unwrap();
            let zone = GaussKruger::from_epsg(code);
            let mut points = Vec::new();
            for i in 0..20 {
                let t = f64::from(i) / 19.0;
                points.push(match zone {
                    None => (75.0 + 60.0 * t, 3.0 + 50.0 * (t * 7.0).fract()),
                    Some(zone) => (
                        zone.false_easting_m() - 250_000.0 + 500_000.0 * t,
                        400_000.0 + 5_500_000.0 * (t * 7.0).fract(),
                    ),
                });
            }
            let mut expected = points.clone();
            proj.convert_array(&mut expected).unwrap();
            ours.transform(&mut points).unwrap();
            for (found, expected) in points.iter().zip(&expected) {
                let off = (found.0 - expected.0).hypot(found.1 - expected.1);
                assert!(off < 1e-6, "EPSG:{code}: {found:?} for {expected:?}");
            }
        }
    }

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
