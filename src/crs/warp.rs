//! Coordinate transforms for the tile path: as exact as PROJ to well below a millimetre, a pure
//! function of the vertex, a few nanoseconds each, and free of any library state.
//!
//! PROJ costs 0.1–1 µs per vertex and its objects belong to one thread. A tile of a dense parcel
//! layer has forty thousand vertices. So PROJ is asked once per layer and target plane for the
//! nodes of a lattice over the layer's extent, and a vertex is interpolated bicubically between
//! the 4 × 4 nodes around it. The lattice is refined until the interpolation agrees with PROJ at
//! the places where it is worst. Longitude/latitude to Web Mercator has its closed form.
//!
//! Because the result depends on the vertex alone, and not on the tile that asks, neighbouring
//! features and neighbouring tiles always agree about a shared vertex.

use proj::Proj;

use super::{Crs, CrsError};
use crate::geom::Bbox;

const EARTH_RADIUS_M: f64 = 6_378_137.0;
/// Largest disagreement with PROJ that is accepted, in metres on the ground.
const TOLERANCE_M: f64 = 1e-3;
/// Finest lattice: 1025 × 1025 nodes, 16 MB.
const MAX_CELLS: usize = 1024;
/// Latitudes beyond this have no place on the Web Mercator plane; they are moved to it.
const MAX_MERCATOR_LATITUDE: f64 = 89.999_999;

/// A transform from a layer's plane to another, valid over the layer's extent.
#[derive(Debug, Clone)]
pub struct Warp {
    method: Method,
}

#[derive(Debug, Clone)]
enum Method {
    Identity,
    /// Longitude and latitude in degrees to Web Mercator metres.
    Mercator,
    /// Web Mercator metres to longitude and latitude in degrees.
    InverseMercator,
    Lattice(Lattice),
}

impl Warp {
    /// Prepares the transform from `from` to the plane of EPSG `to_epsg` for positions within
    /// `extent_in_from`; with an empty extent there are none, and nothing is prepared.
    ///
    /// # Errors
    /// When PROJ has no transform, or the extent is so large or so distorted that no lattice
    /// reaches the tolerance.
    pub fn new(from: &Crs, to_epsg: u32, extent_in_from: &Bbox) -> Result<Warp, CrsError> {
        Warp::between(&from.definition, &format!("EPSG:{to_epsg}"), extent_in_from)
    }

    /// The way back: from the plane of EPSG `from_epsg` to `to`.
    pub fn inverse(from_epsg: u32, to: &Crs, extent_in_from: &Bbox) -> Result<Warp, CrsError> {
        Warp::between(&format!("EPSG:{from_epsg}"), &to.definition, extent_in_from)
    }

    fn between(from: &str, to: &str, extent: &Bbox) -> Result<Warp, CrsError> {
        let method = if from == to || extent.is_empty() {
            Method::Identity
        } else if is_web_mercator(to) && is_wgs84_degrees(from, extent) {
            Method::Mercator
        } else if is_web_mercator(from) && is_wgs84_degrees(to, &degrees_of(extent)) {
            Method::InverseMercator
        } else if is_wgs84_like(to) && is_wgs84_degrees(from, extent)
            || is_wgs84_like(from) && is_wgs84_degrees(to, extent)
        {
            Method::Identity
        } else {
            Method::Lattice(Lattice::fit(from, to, extent)?)
        };
        Ok(Warp { method })
    }

    /// Transforms one position.
    #[inline]
    pub fn point(&self, x: f64, y: f64) -> [f64; 2] {
        match &self.method {
            Method::Identity => [x, y],
            Method::Mercator => mercator(x, y),
            Method::InverseMercator => inverse_mercator(x, y),
            Method::Lattice(lattice) => lattice.point(x, y),
        }
    }

    /// Transforms interleaved `x y` pairs, appending to `out`.
    pub fn append(&self, xy: impl Iterator<Item = [f64; 2]>, out: &mut Vec<[f64; 2]>) {
        match &self.method {
            Method::Identity => out.extend(xy),
            Method::Mercator => out.extend(xy.map(|[x, y]| mercator(x, y))),
            Method::InverseMercator => out.extend(xy.map(|[x, y]| inverse_mercator(x, y))),
            Method::Lattice(lattice) => out.extend(xy.map(|[x, y]| lattice.point(x, y))),
        }
    }

    /// The box around the image of a box, whose edges may become curves.
    pub fn bbox(&self, bbox: &Bbox) -> Bbox {
        if bbox.is_empty() {
            return Bbox::EMPTY;
        }
        let steps = match self.method {
            // Each axis by itself and growing: corners go to corners.
            Method::Identity | Method::Mercator | Method::InverseMercator => 1,
            Method::Lattice(_) => 32,
        };
        let mut image = Bbox::EMPTY;
        for step in 0..=steps {
            let t = f64::from(step) / f64::from(steps);
            let x = bbox.min_x + bbox.width() * t;
            let y = bbox.min_y + bbox.height() * t;
            for [px, py] in [
                [x, bbox.min_y],
                [x, bbox.max_y],
                [bbox.min_x, y],
                [bbox.max_x, y],
            ] {
                let [ix, iy] = self.point(px, py);
                image.extend(ix, iy);
            }
        }
        match self.method {
            Method::Identity | Method::Mercator | Method::InverseMercator => image,
            // Between two samples a curved edge may bulge by a fraction of the step's own sag.
            Method::Lattice(_) => image.expanded(image.width() * 2e-3, image.height() * 2e-3),
        }
    }
}

/// WGS 84 and CGCS2000 longitude/latitude agree to a millimetre in their axes; for tiles they are
/// one system (the layer keeps its own code).
fn is_wgs84_like(definition: &str) -> bool {
    matches!(definition, "EPSG:4326" | "EPSG:4490" | "OGC:CRS84")
}

/// True for every system in degrees whose positions PROJ leaves as they are on the way to WGS 84
/// (ETRS89, NAD83 without grids, …). Those need no lattice, which would stumble at the poles and
/// at the antimeridian.
fn is_wgs84_degrees(definition: &str, extent: &Bbox) -> bool {
    const PROBES: usize = 5;
    if is_wgs84_like(definition) {
        return true;
    }
    let Ok(exact) = Proj::new_known_crs(definition, "EPSG:4326", None) else {
        return false;
    };
    (0..PROBES * PROBES).all(|probe| {
        let at =
            |step: usize, min: f64, size: f64| min + size * (step as f64 + 0.5) / PROBES as f64;
        let x = at(probe % PROBES, extent.min_x, extent.width());
        let y = at(probe / PROBES, extent.min_y, extent.height());
        exact
            .convert((x, y))
            .is_ok_and(|(lon, lat)| (lon - x).abs() < 1e-9 && (lat - y).abs() < 1e-9)
    })
}

/// The box in degrees of a box in Web Mercator.
fn degrees_of(extent_in_mercator: &Bbox) -> Bbox {
    let [west, south] = inverse_mercator(extent_in_mercator.min_x, extent_in_mercator.min_y);
    let [east, north] = inverse_mercator(extent_in_mercator.max_x, extent_in_mercator.max_y);
    Bbox::new(west, south, east, north)
}

fn is_web_mercator(definition: &str) -> bool {
    definition == "EPSG:3857"
}

/// Spherical Mercator of EPSG:3857: x = R λ, y = R artanh(sin φ).
#[inline]
fn mercator(longitude: f64, latitude: f64) -> [f64; 2] {
    let latitude = latitude.clamp(-MAX_MERCATOR_LATITUDE, MAX_MERCATOR_LATITUDE);
    let sin = latitude.to_radians().sin();
    [
        longitude.to_radians() * EARTH_RADIUS_M,
        EARTH_RADIUS_M * 0.5 * ((1.0 + sin) / (1.0 - sin)).ln(),
    ]
}

#[inline]
fn inverse_mercator(x: f64, y: f64) -> [f64; 2] {
    [
        (x / EARTH_RADIUS_M).to_degrees(),
        (y / EARTH_RADIUS_M).sinh().atan().to_degrees(),
    ]
}

/// Exact positions at the nodes of a regular grid, interpolated with cubic Lagrange polynomials.
#[derive(Debug, Clone)]
struct Lattice {
    origin: [f64; 2],
    /// Nodes per unit.
    scale: [f64; 2],
    /// Cells in use per axis; nodes reach one cell further on each side.
    cells: [usize; 2],
    /// Row by row, `cells + 3` per axis.
    nodes: Vec<[f64; 2]>,
}

impl Lattice {
    fn fit(from: &str, to: &str, extent: &Bbox) -> Result<Lattice, CrsError> {
        let failure = |reason: String| CrsError::NoTransform {
            from: from.to_string(),
            to: to.to_string(),
            reason,
        };
        let exact = Proj::new_known_crs(from, to, None).map_err(|e| failure(e.to_string()))?;
        let target_is_degrees = to == "EPSG:4326"
            || Proj::new_known_crs("EPSG:4326", to, None)
                .ok()
                .and_then(|probe| {
                    let [lon, lat] = [110.0f64, 30.0];
                    let (x, y) = probe.convert((lon, lat)).ok()?;
                    Some((x - lon).abs() < 1.0 && (y - lat).abs() < 1.0)
                })
                .unwrap_or(false);
        let tolerance = if target_is_degrees {
            TOLERANCE_M / 111_320.0
        } else {
            TOLERANCE_M
        };
        let extent = if extent.is_empty() {
            return Err(failure("the extent is empty".into()));
        } else {
            // A point or an axis-parallel line still needs a cell.
            let margin = |size: f64, at: f64| size * 1e-6 + at.abs() * 1e-12 + 1e-9;
            extent.expanded(
                margin(extent.width(), extent.max_x),
                margin(extent.height(), extent.max_y),
            )
        };
        let mut cells = 8;
        loop {
            let lattice = Lattice::sample(&exact, &extent, cells).map_err(&failure)?;
            let worst = lattice
                .worst_disagreement(&exact, &extent)
                .map_err(&failure)?;
            if worst <= tolerance {
                return Ok(lattice);
            }
            if cells >= MAX_CELLS {
                return Err(failure(format!(
                    "over an extent of {:?} the distortion leaves {worst} units at the finest lattice",
                    extent.to_array()
                )));
            }
            cells *= 2;
        }
    }

    fn sample(exact: &Proj, extent: &Bbox, cells: usize) -> Result<Lattice, String> {
        let step = [
            extent.width() / cells as f64,
            extent.height() / cells as f64,
        ];
        let per_axis = cells + 3;
        let mut nodes = Vec::with_capacity(per_axis * per_axis);
        for row in 0..per_axis {
            for column in 0..per_axis {
                let x = extent.min_x + (column as f64 - 1.0) * step[0];
                let y = extent.min_y + (row as f64 - 1.0) * step[1];
                nodes.push(convert(exact, x, y)?);
            }
        }
        Ok(Lattice {
            origin: [extent.min_x, extent.min_y],
            scale: [1.0 / step[0], 1.0 / step[1]],
            cells: [cells, cells],
            nodes,
        })
    }

    /// Compares with PROJ in the middle of cells, where Lagrange interpolation is worst.
    fn worst_disagreement(&self, exact: &Proj, extent: &Bbox) -> Result<f64, String> {
        const PROBES: usize = 24;
        let mut worst = 0.0f64;
        for row in 0..PROBES {
            for column in 0..PROBES {
                let middle = |probe: usize, cells: usize| {
                    ((probe * cells / PROBES) as f64 + 0.5) / cells as f64
                };
                let x = extent.min_x + middle(column, self.cells[0]) * extent.width();
                let y = extent.min_y + middle(row, self.cells[1]) * extent.height();
                let [ex, ey] = convert(exact, x, y)?;
                let [ix, iy] = self.point(x, y);
                worst = worst.max((ex - ix).abs()).max((ey - iy).abs());
            }
        }
        Ok(worst)
    }

    #[inline]
    fn point(&self, x: f64, y: f64) -> [f64; 2] {
        let u = (x - self.origin[0]) * self.scale[0];
        let v = (y - self.origin[1]) * self.scale[1];
        // Outside the extent the outermost cell is continued.
        let column = (u.max(0.0) as usize).min(self.cells[0] - 1);
        let row = (v.max(0.0) as usize).min(self.cells[1] - 1);
        let wx = lagrange_weights(u - column as f64);
        let wy = lagrange_weights(v - row as f64);
        let stride = self.cells[0] + 3;
        let mut out = [0.0; 2];
        for (j, weight_y) in wy.iter().enumerate() {
            let start = (row + j) * stride + column;
            let nodes = &self.nodes[start..start + 4];
            let mut line = [0.0; 2];
            for (node, weight_x) in nodes.iter().zip(&wx) {
                line[0] += weight_x * node[0];
                line[1] += weight_x * node[1];
            }
            out[0] += weight_y * line[0];
            out[1] += weight_y * line[1];
        }
        out
    }
}

/// Weights of the nodes at -1, 0, 1, 2 for a position `t` in 0..1.
#[inline]
fn lagrange_weights(t: f64) -> [f64; 4] {
    let (a, b, c) = (t + 1.0, t - 1.0, t - 2.0);
    [
        -t * b * c / 6.0,
        a * b * c / 2.0,
        -a * t * c / 2.0,
        a * t * b / 6.0,
    ]
}

fn convert(exact: &Proj, x: f64, y: f64) -> Result<[f64; 2], String> {
    match exact.convert((x, y)) {
        Ok((px, py)) if px.is_finite() && py.is_finite() => Ok([px, py]),
        Ok(_) => Err(format!("{x}, {y} has no image")),
        Err(error) => Err(format!("{x}, {y}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crs(definition: &str, geographic: bool) -> Crs {
        Crs {
            epsg: definition
                .strip_prefix("EPSG:")
                .and_then(|c| c.parse().ok()),
            name: definition.to_string(),
            definition: definition.to_string(),
            geographic,
            metres_per_unit: 1.0,
            area_of_use: None,
        }
    }

    #[test]
    fn the_closed_mercator_agrees_with_proj() {
        let exact = Proj::new_known_crs("EPSG:4326", "EPSG:3857", None).unwrap();
        for lon in [-180.0, -73.5, 0.0, 102.25, 179.99] {
            for lat in [-85.0, -30.0, 0.0, 31.61629, 85.0511] {
                let (x, y) = exact.convert((lon, lat)).unwrap();
                let [mx, my] = mercator(lon, lat);
                assert!(
                    (x - mx).abs() < 1e-6 && (y - my).abs() < 1e-6,
                    "{lon} {lat}"
                );
                let [blon, blat] = inverse_mercator(mx, my);
                assert!((blon - lon).abs() < 1e-11 && (blat - lat).abs() < 1e-11);
            }
        }
    }

    #[test]
    fn a_gauss_kruger_county_is_interpolated_to_a_tenth_of_a_millimetre() {
        // CGCS2000 3° zone 39 with prefix, a box of 120 km by 90 km.
        let extent = Bbox::new(39_480_000.0, 3_400_000.0, 39_600_000.0, 3_490_000.0);
        let warp = Warp::new(&crs("EPSG:4527", false), 3857, &extent).unwrap();
        let exact = Proj::new_known_crs("EPSG:4527", "EPSG:3857", None).unwrap();
        let mut seed = 7u64;
        for _ in 0..2000 {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let u = (seed >> 40) as f64 / (1u64 << 24) as f64;
            let v = ((seed >> 16) & 0xff_ffff) as f64 / (1u64 << 24) as f64;
            let x = extent.min_x + u * extent.width();
            let y = extent.min_y + v * extent.height();
            let (ex, ey) = exact.convert((x, y)).unwrap();
            let [wx, wy] = warp.point(x, y);
            assert!(
                (ex - wx).abs() < 1e-3 && (ey - wy).abs() < 1e-3,
                "{x} {y}: {ex} {wx} {ey} {wy}"
            );
        }
    }

    #[test]
    fn there_and_back_is_where_it_was() {
        let swiss = crs("EPSG:2056", false);
        let extent = Bbox::new(2_750_000.0, 1_210_000.0, 2_770_000.0, 1_240_000.0);
        let warp = Warp::new(&swiss, 3857, &extent).unwrap();
        let back = Warp::inverse(3857, &swiss, &warp.bbox(&extent)).unwrap();
        for (x, y) in [(2_750_000.0, 1_210_000.0), (2_761_234.5, 1_225_000.1)] {
            let [mx, my] = warp.point(x, y);
            let [bx, by] = back.point(mx, my);
            assert!(
                (bx - x).abs() < 0.01 && (by - y).abs() < 0.01,
                "{x} {y} {bx} {by}"
            );
        }
    }

    #[test]
    fn degrees_of_other_datums_need_no_lattice_however_far_they_reach() {
        // Counties of the United States, on both sides of the antimeridian.
        let nad83 = crs("EPSG:4269", true);
        let extent = Bbox::new(-179.15, 17.88, 179.78, 71.35);
        for plane in [3857, 4490] {
            let there = Warp::new(&nad83, plane, &extent).unwrap();
            let back = Warp::inverse(plane, &nad83, &there.bbox(&extent)).unwrap();
            let [x, y] = there.point(-104.99, 39.74);
            let [lon, lat] = back.point(x, y);
            assert!((lon + 104.99).abs() < 1e-9 && (lat - 39.74).abs() < 1e-9);
        }
    }

    #[test]
    fn an_unknown_system_is_an_error_that_names_both_ends() {
        let error =
            Warp::new(&crs("EPSG:999999", false), 3857, &Bbox::new(0., 0., 1., 1.)).unwrap_err();
        assert!(error.to_string().contains("EPSG:999999"), "{error}");
    }
}
