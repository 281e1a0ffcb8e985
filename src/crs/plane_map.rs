//! A transform between planes for those who measure: as exact as PROJ to a ten-thousandth of a
//! millimetre, a pure function of the position, tens of nanoseconds each, for any thread. Tiles
//! need less and use [`super::Warp`].
//!
//! The first plane is divided into fixed squares. The first position in a square asks PROJ for
//! the nodes of an interpolation polynomial over it and compares the polynomial with PROJ at other
//! places; where they differ by more than [`TOLERANCE_M`] (near a pole, at a seam) PROJ itself is
//! asked for every position of that square. For degrees on the plane's own datum the closed form
//! of the projection stands in for PROJ. The squares depend on the reference systems alone, so
//! two layers of one system, and a boundary drawn along their borders, agree to the last bit.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, RwLock};

use proj::Proj;

use super::equal_area::{Cylinder, plane_definition};
use super::{Crs, CrsError, Datum, GaussKruger};
use crate::geom::Bbox;

/// Side of a square, in degrees or metres.
const SIDE_DEG: f64 = 0.25;
const SIDE_M: f64 = 32_768.0;
/// Nodes per axis.
const NODES: usize = 6;
/// Largest disagreement with PROJ that is accepted.
const TOLERANCE_M: f64 = 1e-7;
/// Squares kept, some 700 bytes each; beyond them the map starts afresh. China has 15 000.
const MAX_SQUARES: usize = 1 << 16;
/// Squares from the origin at most: positions farther out are no places on the Earth.
const REACH: f64 = (1 << 30) as f64;
/// Maps kept by the process; beyond them it starts afresh. Those in use live on.
const MAX_MAPS: usize = 64;

/// Maps by the definitions of both sides.
type Known = Mutex<HashMap<(String, String), Arc<PlaneMap>>>;

/// A transform from one reference system into a plane of metres.
pub struct PlaneMap {
    from: String,
    to: String,
    side: f64,
    per_side: f64,
    squares: RwLock<HashMap<[i32; 2], Arc<Square>>>,
    /// Asked instead of PROJ.
    cylinder: Option<Cylinder>,
    /// Not in use just now. Each takes tens of milliseconds to make.
    idle: Mutex<Vec<Idle>>,
}

/// A transform of PROJ's that waits for a thread that needs it.
struct Idle(Proj);

// SAFETY: a `Proj` owns its context and its operation; PROJ lets both move between threads, only
// not be used by two at a time (<https://proj.org/development/reference/datatypes.html>).
unsafe impl Send for Idle {}

/// A [`PlaneMap`] in the hands of one thread.
pub struct Cursor {
    map: Arc<PlaneMap>,
    place: [i32; 2],
    square: Option<Arc<Square>>,
}

/// With u and v from −1 to 1 across the square, and the place of its middle in the plane.
enum Square {
    /// Coefficients of u^i v^j for both coordinates.
    Polynomial {
        middle: [f64; 2],
        coefficients: Box<[[[f64; NODES]; NODES]; 2]>,
    },
    /// The first coordinate is linear in u, the second a polynomial of v alone: degrees on the
    /// datum of a cylindrical projection.
    Cylindrical {
        middle: [f64; 2],
        x_per_u: f64,
        y: [f64; NODES],
    },
    Exact,
}

impl PlaneMap {
    /// Into the equal-area plane over the ellipsoid of `datum`: the plane in which areas on the
    /// ellipsoid are plain areas. One map is shared by all who ask for the same.
    ///
    /// # Errors
    /// When PROJ has no transform.
    pub fn to_equal_area(from: &Crs, datum: Datum) -> Result<Arc<PlaneMap>, CrsError> {
        let own_degrees = from.geographic && from.national_datum() == Some(datum);
        PlaneMap::shared(from, plane_definition(datum), own_degrees.then_some(datum))
    }

    /// Into the plane of a zone of a national grid. One map is shared by all who ask for the same.
    ///
    /// # Errors
    /// When PROJ has no transform.
    pub fn to_zone(from: &Crs, zone: GaussKruger) -> Result<Arc<PlaneMap>, CrsError> {
        PlaneMap::shared(from, format!("EPSG:{}", zone.epsg()), None)
    }

    /// `degrees_on` is the datum whose cylinder the plane is, when positions are degrees on it.
    fn shared(
        from: &Crs,
        to: String,
        degrees_on: Option<Datum>,
    ) -> Result<Arc<PlaneMap>, CrsError> {
        static KNOWN: LazyLock<Known> = LazyLock::new(Known::default);
        let key = (from.definition.clone(), to);
        if let Some(map) = KNOWN.lock().expect("no panic while held").get(&key) {
            return Ok(map.clone());
        }
        // Made outside the lock: two first users may both do it, none waits for the other.
        let map = Arc::new(PlaneMap::new(from, key.1.clone(), degrees_on)?);
        let mut known = KNOWN.lock().expect("no panic while held");
        if known.len() >= MAX_MAPS {
            known.clear();
        }
        Ok(known.entry(key).or_insert(map).clone())
    }

    fn new(from: &Crs, to: String, degrees_on: Option<Datum>) -> Result<PlaneMap, CrsError> {
        let side = if from.geographic {
            SIDE_DEG
        } else {
            SIDE_M / from.metres_per_unit
        };
        let map = PlaneMap {
            side,
            per_side: 1.0 / side,
            from: from.definition.clone(),
            to,
            squares: RwLock::default(),
            cylinder: degrees_on.map(Cylinder::new),
            idle: Mutex::default(),
        };
        if map.cylinder.is_none() {
            // The first to ask hears of a system that PROJ cannot transform.
            let exact = map.exact()?;
            map.put_back(exact);
        }
        Ok(map)
    }

    fn put_back(&self, exact: Proj) {
        self.idle
            .lock()
            .expect("no panic while held")
            .push(Idle(exact));
    }

    fn exact(&self) -> Result<Proj, CrsError> {
        if let Some(Idle(exact)) = self.idle.lock().expect("no panic while held").pop() {
            return Ok(exact);
        }
        Proj::new_known_crs(&self.from, &self.to, None).map_err(|e| CrsError::NoTransform {
            from: self.from.clone(),
            to: self.to.clone(),
            reason: e.to_string(),
        })
    }

    /// For one thread.
    pub fn cursor(self: &Arc<PlaneMap>) -> Cursor {
        Cursor {
            map: self.clone(),
            place: [i32::MAX; 2],
            square: None,
        }
    }

    fn square(&self, place: [i32; 2]) -> Result<Arc<Square>, CrsError> {
        let known = self.squares.read().expect("no panic while held");
        if let Some(square) = known.get(&place) {
            return Ok(square.clone());
        }
        drop(known);
        // Made outside the lock: two threads may both do it, none waits for the other.
        let square = Arc::new(self.fit(place)?);
        let mut known = self.squares.write().expect("no panic while held");
        if known.len() >= MAX_SQUARES {
            known.clear();
        }
        Ok(known.entry(place).or_insert(square).clone())
    }

    /// Brings positions to the plane; tells whether all have an image.
    fn images(&self, places: &mut [(f64, f64)]) -> Result<bool, CrsError> {
        if let Some(cylinder) = &self.cylinder {
            for place in &mut *places {
                *place = cylinder.point(place.0, place.1);
            }
        } else {
            let exact = self.exact()?;
            let converted = exact.convert_array(places).is_ok();
            self.put_back(exact);
            if !converted {
                return Ok(false);
            }
        }
        Ok(places.iter().all(|p| p.0.is_finite() && p.1.is_finite()))
    }

    fn fit(&self, place: [i32; 2]) -> Result<Square, CrsError> {
        let half = self.side / 2.0;
        let centre = place.map(|p| (f64::from(p) + 0.5) * self.side);
        let at = |u: f64, v: f64| (centre[0] + u * half, centre[1] + v * half);
        let nodes = chebyshev_nodes();
        let mut places: Vec<(f64, f64)> = Vec::new();
        for u in nodes {
            places.extend(nodes.map(|v| at(u, v)));
        }
        // Where the polynomial is worst: corners, and between nodes.
        let checks: Vec<(f64, f64)> = [-1.0, -0.85, -0.5, 0.0, 0.5, 0.85, 1.0]
            .into_iter()
            .flat_map(|u| [-1.0, -0.5, 0.0, 0.85, 1.0].map(|v| (u, v)))
            .collect();
        places.extend(checks.iter().map(|&(u, v)| at(u, v)));
        places.push(at(0.0, 0.0));
        if !self.images(&mut places)? {
            return Ok(Square::Exact);
        }
        let middle = places.pop().map_or([0.0; 2], |p| [p.0, p.1]);
        let to_monomials = monomials_of_nodes(&nodes);
        let mut coefficients = Box::new([[[0.0; NODES]; NODES]; 2]);
        for i in 0..NODES {
            for j in 0..NODES {
                for (a, row) in to_monomials.iter().enumerate() {
                    for (b, column) in to_monomials.iter().enumerate() {
                        let node = places[a * NODES + b];
                        let weight = row[i] * column[j];
                        coefficients[0][i][j] += weight * (node.0 - middle[0]);
                        coefficients[1][i][j] += weight * (node.1 - middle[1]);
                    }
                }
            }
        }
        let fitted = if self.cylinder.is_some() {
            Square::Cylindrical {
                middle,
                x_per_u: coefficients[0][1][0],
                y: coefficients[1][0],
            }
        } else {
            Square::Polynomial {
                middle,
                coefficients,
            }
        };
        let truths = &places[NODES * NODES..];
        let agrees = checks.iter().zip(truths).all(|(&(u, v), truth)| {
            fitted.value(u, v).is_some_and(|[x, y]| {
                (x - truth.0).abs() <= TOLERANCE_M && (y - truth.1).abs() <= TOLERANCE_M
            })
        });
        Ok(if agrees { fitted } else { Square::Exact })
    }
}

impl Square {
    #[inline(always)]
    fn value(&self, u: f64, v: f64) -> Option<[f64; 2]> {
        match self {
            Square::Cylindrical { middle, x_per_u, y } => {
                Some([middle[0] + x_per_u * u, middle[1] + polynomial(y, v)])
            }
            Square::Polynomial {
                middle,
                coefficients,
            } => {
                let [x, y] = &**coefficients;
                let both =
                    |rows: &[[f64; NODES]; NODES]| polynomial(&rows.map(|r| polynomial(&r, v)), u);
                Some([middle[0] + both(x), middle[1] + both(y)])
            }
            Square::Exact => None,
        }
    }
}

/// Σ cᵢ tⁱ, in the order that lets the processor do several products at a time.
#[inline]
fn polynomial(c: &[f64; NODES], t: f64) -> f64 {
    let t2 = t * t;
    (c[0] + c[1] * t) + t2 * ((c[2] + c[3] * t) + t2 * (c[4] + c[5] * t))
}

impl Cursor {
    /// The position in the plane, metres.
    ///
    /// # Errors
    /// When it has no image.
    #[inline]
    pub fn point(&mut self, x: f64, y: f64) -> Result<[f64; 2], CrsError> {
        self.enter(x, y)?;
        let (u, v) = within(self.map.per_side, self.place, x, y);
        match self.square.as_ref().and_then(|square| square.value(u, v)) {
            Some(point) => Ok(point),
            None => self.exactly(x, y),
        }
    }

    /// Brings positions to the plane in place.
    ///
    /// # Errors
    /// When one has no image.
    pub fn transform(&mut self, points: &mut [(f64, f64)]) -> Result<(), CrsError> {
        let mut rest = points;
        while let [first, ..] = &*rest {
            self.enter(first.0, first.1)?;
            let (per_side, place) = (self.map.per_side, self.place);
            let in_square = |point: &(f64, f64)| {
                let squares = [point.0 * per_side, point.1 * per_side];
                let own = place.map(f64::from);
                (squares[0] >= own[0])
                    & (squares[0] < own[0] + 1.0)
                    & (squares[1] >= own[1])
                    & (squares[1] < own[1] + 1.0)
            };
            let run = rest.iter().position(|point| !in_square(point));
            // The first is there, however its square was rounded.
            let (own, others) = rest.split_at_mut(run.unwrap_or(rest.len()).max(1));
            match self.square.as_deref() {
                Some(Square::Exact) | None => {
                    for point in own {
                        *point = self.exactly(point.0, point.1)?.into();
                    }
                }
                Some(square) => {
                    for point in own {
                        let (u, v) = within(per_side, place, point.0, point.1);
                        if let Some(image) = square.value(u, v) {
                            *point = image.into();
                        }
                    }
                }
            }
            rest = others;
        }
        Ok(())
    }

    /// Takes the square of a position.
    #[inline]
    fn enter(&mut self, x: f64, y: f64) -> Result<(), CrsError> {
        let (x_squares, y_squares) = (x * self.map.per_side, y * self.map.per_side);
        // Written so that NaN is refused too.
        if !(x_squares.abs() < REACH && y_squares.abs() < REACH) {
            return Err(nowhere(x, y));
        }
        let place = [whole(x_squares), whole(y_squares)];
        if place != self.place {
            self.square = Some(self.map.square(place)?);
            self.place = place;
        }
        Ok(())
    }

    #[cold]
    fn exactly(&self, x: f64, y: f64) -> Result<[f64; 2], CrsError> {
        let mut place = [(x, y)];
        if self.map.images(&mut place)? {
            Ok(place[0].into())
        } else {
            Err(nowhere(x, y))
        }
    }

    /// A box that holds the image of a box.
    ///
    /// # Errors
    /// When a corner has no image.
    pub fn bbox(&mut self, bbox: &Bbox) -> Result<Bbox, CrsError> {
        let mut image = Bbox::EMPTY;
        if self.map.cylinder.is_some() {
            // Each coordinate depends on one only, and grows with it.
            for (x, y) in [(bbox.min_x, bbox.min_y), (bbox.max_x, bbox.max_y)] {
                let [px, py] = self.point(x, y)?;
                image.extend(px, py);
            }
            return Ok(image.expanded(1e-6, 1e-6));
        }
        for (x, y) in [
            (bbox.min_x, bbox.min_y),
            (bbox.max_x, bbox.min_y),
            (bbox.min_x, bbox.max_y),
            (bbox.max_x, bbox.max_y),
        ] {
            let [px, py] = self.point(x, y)?;
            image.extend(px, py);
        }
        // A straight side of length s becomes an arc whose height is s² tan φ / 8R at most; one
        // and a half of s² / R holds to 85° of latitude.
        let side = image.width().max(image.height());
        let bulge = 1.5 * side * side / 6.3e6 + 1e-3;
        Ok(image.expanded(bulge, bulge))
    }
}

/// A position in a square, −1 to 1 on both axes.
#[inline(always)]
fn within(per_side: f64, place: [i32; 2], x: f64, y: f64) -> (f64, f64) {
    let at = |value: f64, place: i32| (value * per_side - f64::from(place)) * 2.0 - 1.0;
    (at(x, place[0]), at(y, place[1]))
}

/// Rounded down; `f64::floor` is a call into the mathematical library.
#[inline]
fn whole(value: f64) -> i32 {
    let cut = value as i32;
    cut - i32::from(f64::from(cut) > value)
}

fn nowhere(x: f64, y: f64) -> CrsError {
    CrsError::NoTransform {
        from: format!("position {x} {y}"),
        to: "the plane of the work".to_string(),
        reason: "it has no image there".to_string(),
    }
}

fn chebyshev_nodes() -> [f64; NODES] {
    std::array::from_fn(|i| {
        let angle = std::f64::consts::PI * (i as f64 + 0.5) / NODES as f64;
        -angle.cos()
    })
}

/// For each node the monomial coefficients of the polynomial that is one there and zero at the
/// other nodes.
fn monomials_of_nodes(nodes: &[f64; NODES]) -> [[f64; NODES]; NODES] {
    std::array::from_fn(|own| {
        let mut polynomial = [0.0; NODES];
        polynomial[0] = 1.0;
        let mut degree = 0;
        for (other, &node) in nodes.iter().enumerate() {
            if other == own {
                continue;
            }
            let scale = 1.0 / (nodes[own] - node);
            degree += 1;
            for power in (0..=degree).rev() {
                let below = if power > 0 {
                    polynomial[power - 1]
                } else {
                    0.0
                };
                polynomial[power] = (below - node * polynomial[power]) * scale;
            }
        }
        polynomial
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(code: &str) -> Crs {
        Crs::from_user(code).unwrap()
    }

    #[test]
    fn it_agrees_with_proj_everywhere_in_its_squares() {
        for (code, west, south, step) in [
            ("EPSG:4490", 73.0, 3.0, 0.913),
            ("EPSG:4527", 39_380_000.0, 2_000_000.0, 17_311.0),
            ("EPSG:4548", 380_000.0, 5_000_000.0, 13_007.0),
            ("EPSG:4610", 73.0, 3.0, 0.913),
            ("EPSG:2364", 39_380_000.0, 2_000_000.0, 17_311.0),
            ("EPSG:4214", 73.0, 3.0, 0.913),
            ("EPSG:2416", 40_380_000.0, 2_000_000.0, 17_311.0),
            ("EPSG:3857", 9_000_000.0, 400_000.0, 150_007.0),
        ] {
            let crs = system(code);
            let datum = crs.national_datum().unwrap();
            let map = PlaneMap::to_equal_area(&crs, datum).unwrap();
            let plane = Proj::new_known_crs(&map.from, &map.to, None).unwrap();
            let mut cursor = map.cursor();
            for i in 0..20 {
                for j in 0..20 {
                    let (x, y) = (west + f64::from(i) * step, south + f64::from(j) * step);
                    let exact = plane.convert((x, y)).unwrap();
                    let [px, py] = cursor.point(x, y).unwrap();
                    let off = (px - exact.0).hypot(py - exact.1);
                    assert!(off < 2e-7, "{code} {x} {y}: {off}");
                }
            }
        }
    }

    #[test]
    fn many_at_once_are_the_same_to_the_bit_as_one_by_one() {
        for code in ["EPSG:4490", "EPSG:4527"] {
            let crs = system(code);
            let map = PlaneMap::to_equal_area(&crs, Datum::Cgcs2000).unwrap();
            let mut points: Vec<(f64, f64)> = (0..500)
                .map(|i| {
                    let t = f64::from(i);
                    if crs.geographic {
                        (117.0 + (t * 0.37).sin() * 0.6, 39.0 + t * 0.001)
                    } else {
                        (
                            39_600_000.0 + (t * 0.37).sin() * 4e4,
                            4_400_000.0 + t * 150.0,
                        )
                    }
                })
                .collect();
            let mut cursor = map.cursor();
            let one_by_one: Vec<[f64; 2]> = points
                .iter()
                .map(|&(x, y)| cursor.point(x, y).unwrap())
                .collect();
            map.cursor().transform(&mut points).unwrap();
            for (point, single) in points.iter().zip(one_by_one) {
                assert_eq!([point.0, point.1], single, "{code}");
            }
        }
    }

    #[test]
    fn a_box_holds_the_image_of_its_inside() {
        let crs = system("EPSG:4527");
        let map = PlaneMap::to_equal_area(&crs, Datum::Cgcs2000).unwrap();
        let mut cursor = map.cursor();
        let bbox = Bbox::new(39_600_000.0, 4_400_000.0, 39_640_000.0, 4_450_000.0);
        let image = cursor.bbox(&bbox).unwrap();
        for step in 0..=100 {
            let t = f64::from(step) / 100.0;
            let (x, y) = (
                bbox.min_x + bbox.width() * t,
                bbox.min_y + bbox.height() * t,
            );
            for (x, y) in [
                (x, bbox.min_y),
                (x, bbox.max_y),
                (bbox.min_x, y),
                (bbox.max_x, y),
            ] {
                let [px, py] = cursor.point(x, y).unwrap();
                assert!(image.contains_point(px, py), "{x} {y}");
            }
        }
    }

    #[test]
    fn degrees_on_the_datum_of_the_plane_are_simple() {
        for (code, simple) in [
            ("EPSG:4490", true),
            ("EPSG:4326", true),
            ("EPSG:4527", false),
        ] {
            let map = PlaneMap::to_equal_area(&system(code), Datum::Cgcs2000).unwrap();
            let place = if simple { [416, 120] } else { [1205, 130] };
            let square = map.square(place).unwrap();
            assert_eq!(
                matches!(*square, Square::Cylindrical { .. }),
                simple,
                "{code}"
            );
            assert!(!matches!(*square, Square::Exact), "{code}");
        }
    }

    #[test]
    fn what_is_nowhere_is_an_error() {
        let map = PlaneMap::to_equal_area(&system("EPSG:4490"), Datum::Cgcs2000).unwrap();
        let mut cursor = map.cursor();
        for (x, y) in [(f64::NAN, 30.0), (f64::INFINITY, 0.0), (104.0, 1e300)] {
            assert!(cursor.point(x, y).is_err(), "{x} {y}");
        }
    }
}
