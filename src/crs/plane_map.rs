//! A transform between planes for those who measure: as exact as PROJ to a ten-thousandth of a
//! millimetre, a pure function of the position, tens of nanoseconds each, for any thread. Tiles
//! need less and use [`super::Warp`].
//!
//! Degrees are brought to the equal-area plane in closed form. Of other systems the first plane is
//! divided into fixed squares. The first position in a square asks the exact transform (the
//! series of a national grid, else PROJ) for the nodes of an interpolation polynomial over it and
//! compares the polynomial at other places; where they differ by more than [`TOLERANCE_M`] (near
//! a pole, at a seam) the exact transform is asked for every position of that square. The squares
//! depend on the reference systems alone, so two layers of one system, and a boundary drawn along
//! their borders, agree to the last bit.
//!
//! To make an object of PROJ takes it milliseconds: each thread keeps its last ones.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use proj::Proj;

use super::equal_area::{Series, plane_definition};
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

/// Objects of PROJ that a thread keeps.
const MAX_EXACT: usize = 16;

/// A transform from one reference system into a plane of metres.
pub struct PlaneMap {
    /// Tells maps apart.
    number: u64,
    /// What needs no PROJ.
    series: Option<Series>,
    from: String,
    to: String,
    side: f64,
    per_side: f64,
    squares: RwLock<HashMap<[i32; 2], Arc<Square>>>,
}

/// A [`PlaneMap`] in the hands of one thread.
pub struct Cursor<'a> {
    map: &'a PlaneMap,
    place: [i32; 2],
    square: Option<Arc<Square>>,
}

thread_local! {
    /// The last used at the end.
    static EXACT: RefCell<Vec<(u64, Proj)>> = const { RefCell::new(Vec::new()) };
}

enum Square {
    /// Coefficients of u^i v^j for both coordinates, u and v from −1 to 1, and the place of the
    /// square's middle in the plane.
    Polynomial {
        middle: [f64; 2],
        coefficients: Box<[[[f64; NODES]; NODES]; 2]>,
    },
    Exact,
}

impl PlaneMap {
    /// Into the equal-area plane over the ellipsoid of `datum`, see [`super::EqualAreaPlane`].
    ///
    /// # Errors
    /// When PROJ has no transform.
    pub fn to_equal_area(from: &Crs, datum: Datum) -> Result<PlaneMap, CrsError> {
        PlaneMap::new(from, plane_definition(datum), Series::new(from, datum))
    }

    /// Into the plane of a zone of a national grid.
    ///
    /// # Errors
    /// When PROJ has no transform.
    pub fn to_zone(from: &Crs, zone: GaussKruger) -> Result<PlaneMap, CrsError> {
        PlaneMap::new(from, format!("EPSG:{}", zone.epsg()), None)
    }

    fn new(from: &Crs, to: String, series: Option<Series>) -> Result<PlaneMap, CrsError> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let side = if from.geographic {
            SIDE_DEG
        } else {
            SIDE_M / from.metres_per_unit
        };
        let map = PlaneMap {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            series,
            side,
            per_side: 1.0 / side,
            from: from.definition.clone(),
            to,
            squares: RwLock::default(),
        };
        if map.series.is_none() {
            map.with_proj(|_| ())?;
        }
        Ok(map)
    }

    fn with_proj<T>(&self, work: impl FnOnce(&Proj) -> T) -> Result<T, CrsError> {
        EXACT.with_borrow_mut(|kept| {
            let (number, proj) = match kept.iter().position(|(number, _)| *number == self.number) {
                Some(at) => kept.remove(at),
                None => {
                    let proj = Proj::new_known_crs(&self.from, &self.to, None);
                    let proj = proj.map_err(|e| CrsError::NoTransform {
                        from: self.from.clone(),
                        to: self.to.clone(),
                        reason: e.to_string(),
                    })?;
                    (self.number, proj)
                }
            };
            let done = work(&proj);
            if kept.len() >= MAX_EXACT {
                kept.remove(0);
            }
            kept.push((number, proj));
            Ok(done)
        })
    }

    /// Brings positions to the plane as exactly as can be; tells whether all have an image.
    fn exact(&self, places: &mut [(f64, f64)]) -> Result<bool, CrsError> {
        let found = match &self.series {
            Some(series) => {
                for place in places.iter_mut() {
                    *place = series.point(place.0, place.1);
                }
                true
            }
            None => self.with_proj(|proj| proj.convert_array(places).is_ok())?,
        };
        Ok(found && places.iter().all(|p| p.0.is_finite() && p.1.is_finite()))
    }

    pub fn cursor(&self) -> Cursor<'_> {
        Cursor {
            map: self,
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
        if !self.exact(&mut places)? {
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
        let fitted = Square::Polynomial {
            middle,
            coefficients,
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
    #[inline]
    fn value(&self, u: f64, v: f64) -> Option<[f64; 2]> {
        let Square::Polynomial {
            middle,
            coefficients,
        } = self
        else {
            return None;
        };
        let mut out = [0.0; 2];
        for (axis, rows) in coefficients.iter().enumerate() {
            let mut sum = 0.0;
            for row in rows.iter().rev() {
                let inner = row.iter().rev().fold(0.0, |inner, c| inner * v + c);
                sum = sum * u + inner;
            }
            out[axis] = middle[axis] + sum;
        }
        Some(out)
    }
}

impl Cursor<'_> {
    /// The position in the plane, metres.
    ///
    /// # Errors
    /// When it has no image.
    #[inline]
    pub fn point(&mut self, x: f64, y: f64) -> Result<[f64; 2], CrsError> {
        let (x_squares, y_squares) = (x * self.map.per_side, y * self.map.per_side);
        // Written so that NaN is refused too.
        if !(x_squares.abs() < REACH && y_squares.abs() < REACH) {
            return Err(nowhere(x, y));
        }
        if let Some(series) = self.map.series.as_ref().filter(|series| series.is_closed()) {
            if y.abs() > 90.0 {
                return Err(nowhere(x, y));
            }
            let (px, py) = series.point(x, y);
            return Ok([px, py]);
        }
        let place = [whole(x_squares), whole(y_squares)];
        let square = match &self.square {
            Some(square) if self.place == place => square,
            _ => {
                self.place = place;
                self.square.insert(self.map.square(place)?)
            }
        };
        let u = (x_squares - f64::from(place[0])) * 2.0 - 1.0;
        let v = (y_squares - f64::from(place[1])) * 2.0 - 1.0;
        match square.value(u, v) {
            Some(point) => Ok(point),
            None => self.exactly(x, y),
        }
    }

    #[cold]
    fn exactly(&mut self, x: f64, y: f64) -> Result<[f64; 2], CrsError> {
        let mut place = [(x, y)];
        if self.map.exact(&mut place)? {
            Ok([place[0].0, place[0].1])
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
        if self.map.series.as_ref().is_some_and(Series::is_closed) {
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
    use super::super::EqualAreaPlane;
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
        ] {
            let crs = system(code);
            let map = PlaneMap::to_equal_area(&crs, Datum::Cgcs2000).unwrap();
            let plane = EqualAreaPlane::new(&crs, Datum::Cgcs2000).unwrap();
            let mut cursor = map.cursor();
            for i in 0..20 {
                for j in 0..20 {
                    let (x, y) = (west + f64::from(i) * step, south + f64::from(j) * step);
                    let mut exact = [(x, y)];
                    plane.transform(&mut exact).unwrap();
                    let [px, py] = cursor.point(x, y).unwrap();
                    let off = (px - exact[0].0).hypot(py - exact[0].1);
                    assert!(off < 2e-7, "{code} {x} {y}: {off}");
                }
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
    fn what_is_nowhere_is_an_error() {
        let map = PlaneMap::to_equal_area(&system("EPSG:4490"), Datum::Cgcs2000).unwrap();
        let mut cursor = map.cursor();
        for (x, y) in [(f64::NAN, 30.0), (f64::INFINITY, 0.0), (104.0, 1e300)] {
            assert!(cursor.point(x, y).is_err(), "{x} {y}");
        }
    }
}
