//! The working plane of a piece of work, with its integer grid about an origin of its own.
//!
//! The grid is the same everywhere: its step is a power of two of the plane's unit and origins
//! lie on it. Only the numbers are smaller near the origin, which leaves room for a fine step.

use super::divide::{LONGEST_DRAWN_M, LONGEST_MEASURED_M};
use crate::crs::{Crs, CrsError, Cursor, Datum, PlaneMap, Transform};
use crate::overlay::{Bow, GridPoint, MAX_COORDINATE};

/// The plane areas or pieces are computed in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Plane<'a> {
    /// Metres of the equal-area projection over this datum's ellipsoid.
    EqualArea(Datum),
    /// That of a layer.
    Of(&'a Crs),
}

/// Grid steps per metre where areas are computed: 2²⁰, so 0.95 µm. Edges are divided there so that
/// all are decided in 64 bits.
const STEPS_PER_MEASURED_METRE: f64 = (1u64 << 20) as f64;
/// Grid steps per metre of a layer's own plane: 2¹⁸, so 3.8 µm. Edges up to two kilometres are
/// decided in 64 bits.
const STEPS_PER_METRE: f64 = (1u64 << 18) as f64;
/// Grid steps per degree: 2³⁵, 3.2 µm at the equator.
const STEPS_PER_DEGREE: f64 = (1u64 << 35) as f64;

#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    origin: [f64; 2],
    steps_per_unit: f64,
    longest_edge_m: f64,
}

impl Plane<'_> {
    /// Square metres of a square unit of the plane, where that is a constant.
    pub fn square_metres_per_unit(&self) -> f64 {
        match self {
            Plane::EqualArea(_) => 1.0,
            Plane::Of(crs) => crs.metres_per_unit * crs.metres_per_unit,
        }
    }

    /// A frame about a position of the plane.
    pub fn frame(&self, about: [f64; 2]) -> Frame {
        let steps_per_unit = match self {
            Plane::Of(crs) if crs.geographic => STEPS_PER_DEGREE,
            Plane::EqualArea(_) => STEPS_PER_MEASURED_METRE,
            Plane::Of(_) => STEPS_PER_METRE,
        };
        // Whole units lie on the grid.
        Frame {
            origin: about.map(f64::round),
            steps_per_unit,
            longest_edge_m: match self {
                Plane::EqualArea(_) => LONGEST_MEASURED_M,
                Plane::Of(_) => LONGEST_DRAWN_M,
            },
        }
    }
}

impl Frame {
    /// The grid point next to a position, `None` when it is beyond all frames.
    #[inline]
    pub fn grid(&self, x: f64, y: f64) -> Option<GridPoint> {
        let (point, fits) = self.rounded(x, y);
        fits.then_some(point)
    }

    /// Adds the grid points next to all positions, `None` when one is beyond all frames.
    pub fn push_grid(&self, positions: &[(f64, f64)], points: &mut Vec<GridPoint>) -> Option<()> {
        let mut all_fit = true;
        points.extend(positions.iter().map(|&(x, y)| {
            let (point, fits) = self.rounded(x, y);
            all_fit &= fits;
            point
        }));
        all_fit.then_some(())
    }

    #[inline]
    fn rounded(&self, x: f64, y: f64) -> (GridPoint, bool) {
        // Adding 1.5 × 2⁵² rounds to whole numbers, which are then the lower bits of the sum.
        const ROUNDING: f64 = 6_755_399_441_055_744.0;
        let whole =
            |v: f64| ((v + ROUNDING).to_bits() as i64).wrapping_sub(ROUNDING.to_bits() as i64);
        let at = [
            (x - self.origin[0]) * self.steps_per_unit,
            (y - self.origin[1]) * self.steps_per_unit,
        ];
        // Written so that what is no number does not fit.
        let fits = (at[0].abs() <= MAX_COORDINATE as f64) & (at[1].abs() <= MAX_COORDINATE as f64);
        (at.map(whole), fits)
    }

    /// The position of a point given in parts of the grid's step.
    pub fn position(&self, point: GridPoint, parts: i64) -> [f64; 2] {
        let scale = self.steps_per_unit * parts as f64;
        [0, 1].map(|axis| self.origin[axis] + point[axis] as f64 / scale)
    }

    /// Edges that come from another plane are divided when they are longer.
    pub fn longest_edge_m(&self) -> f64 {
        self.longest_edge_m
    }

    /// Square units of the plane of a square step.
    pub fn square_units_per_step(&self) -> f64 {
        1.0 / (self.steps_per_unit * self.steps_per_unit)
    }

    /// How lines that are straight in a layer's own plane bow in this one, near a position of
    /// that plane.
    pub fn bow(&self, crs: &Crs, to_plane: &mut ToPlane, near: [f64; 2]) -> Bow {
        self.bow_of(&Bend::near(crs, to_plane, near))
    }

    pub fn bow_of(&self, bend: &Bend) -> Bow {
        Bow::of_quadratic(bend.w.map(|form| form.map(|v| v / self.steps_per_unit)))
    }
}

/// How straight lines of a layer's plane bend in the working plane, near a place: the line over
/// a chord `c` is `t ↦ t (c − w) + t² w`, and `w` is a quadratic form of `c`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bend {
    /// Coefficients of dx², dx dy and dy², for both components of `w`.
    w: [[f64; 3]; 2],
}

impl Bend {
    /// Derivatives of the transform near a position of the layer's plane. Where it has none,
    /// lines count as straight: their chords are short.
    pub fn near(crs: &Crs, to_plane: &mut ToPlane, near: [f64; 2]) -> Bend {
        if to_plane.is_identity() {
            return Bend::STRAIGHT;
        }
        Bend::by(crs, near, |at| to_plane.transform(at))
    }

    const STRAIGHT: Bend = Bend { w: [[0.0; 3]; 2] };

    /// The same with any transform to the plane.
    pub fn by(
        crs: &Crs,
        near: [f64; 2],
        transform: impl FnOnce(&mut [(f64, f64)]) -> Result<(), CrsError>,
    ) -> Bend {
        let h = if crs.geographic {
            0.01
        } else {
            1000.0 / crs.metres_per_unit
        };
        let [x, y] = near;
        let mut at = [
            (x, y),
            (x + h, y),
            (x - h, y),
            (x, y + h),
            (x, y - h),
            (x + h, y + h),
            (x - h, y - h),
        ];
        if transform(&mut at).is_err() {
            return Bend::STRAIGHT;
        }
        // First and second derivatives of both coordinates, by central differences.
        let derivatives = [0, 1].map(|axis| {
            let [o, e, w, n, s, ne, sw] = at.map(|p| if axis == 0 { p.0 } else { p.1 });
            (
                [(e - w) / (2.0 * h), (n - s) / (2.0 * h)],
                [
                    (e + w - 2.0 * o) / (h * h),
                    (ne + sw - e - w - n - s + 2.0 * o) / (2.0 * h * h),
                    (n + s - 2.0 * o) / (h * h),
                ],
            )
        });
        let [[a, b], [c, d]] = derivatives.map(|d| d.0);
        let determinant = a * d - b * c;
        let (p, q) = (d / determinant, -b / determinant);
        let (r, s) = (-c / determinant, a / determinant);
        let w = derivatives.map(|(_, [xx, xy, yy])| {
            [
                0.5 * (xx * p * p + 2.0 * xy * p * r + yy * r * r),
                xx * p * q + xy * (p * s + q * r) + yy * r * s,
                0.5 * (xx * q * q + 2.0 * xy * q * s + yy * s * s),
            ]
        });
        if w.iter().flatten().all(|v| v.is_finite()) {
            Bend { w }
        } else {
            Bend::STRAIGHT
        }
    }

    /// The area between a line and its chord, positive when the line runs on the chord's right.
    pub fn area(&self, [x, y]: [f64; 2]) -> f64 {
        let [wx, wy] = self.w.map(|[a, b, c]| a * x * x + b * x * y + c * y * y);
        (x * wy - y * wx) / 6.0
    }
}

/// From a layer's plane to the working plane; for one thread.
pub(super) enum ToPlane {
    Identity,
    EqualArea(Cursor),
    Other(Transform),
}

impl ToPlane {
    pub fn new(from: &Crs, plane: &Plane<'_>) -> Result<ToPlane, CrsError> {
        Ok(match plane {
            Plane::EqualArea(datum) => {
                ToPlane::EqualArea(PlaneMap::to_equal_area(from, *datum)?.cursor())
            }
            Plane::Of(crs) if crs.definition == from.definition => ToPlane::Identity,
            Plane::Of(crs) => ToPlane::Other(Transform::new(from, crs)?),
        })
    }

    pub fn is_identity(&self) -> bool {
        matches!(self, ToPlane::Identity)
    }

    pub fn transform(&mut self, points: &mut [(f64, f64)]) -> Result<(), CrsError> {
        match self {
            ToPlane::Identity => Ok(()),
            ToPlane::EqualArea(plane) => plane.transform(points),
            ToPlane::Other(transform) => transform.transform(points),
        }
    }
}

/// Leaves out vertices of a ring (from `start` on) in the middle of stretches that lie on one side
/// of the window: the stretch can be drawn straight on that side, and the ring still winds as
/// often about every place of the window.
pub(super) fn shorten(points: &mut Vec<GridPoint>, start: usize, window: &[i64; 4]) {
    let sides = |p: &GridPoint| {
        u8::from(p[0] < window[0])
            | u8::from(p[1] < window[1]) << 1
            | u8::from(p[0] > window[2]) << 2
            | u8::from(p[1] > window[3]) << 3
    };
    if points.len() - start < 4 {
        return;
    }
    let mut kept = start + 1;
    let mut common = sides(&points[start]);
    // The last vertex of the stretch, when it is not kept yet.
    let mut open: Option<GridPoint> = None;
    for at in start + 1..points.len() {
        let point = points[at];
        let own = sides(&point);
        if common & own != 0 {
            common &= own;
            open = Some(point);
            continue;
        }
        if let Some(end) = open.take() {
            points[kept] = end;
            kept += 1;
            common = sides(&end);
        }
        if common & own != 0 {
            common &= own;
            open = Some(point);
        } else {
            points[kept] = point;
            kept += 1;
            common = own;
        }
    }
    if let Some(end) = open {
        points[kept] = end;
        kept += 1;
    }
    points.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_ring_keeps_what_is_in_the_window() {
        let window = [0, 0, 10, 10];
        // Around the window by the west with many vertices, through it once.
        let mut ring = vec![
            [5, -20],
            [5, 20],
            [2, 30],
            [-5, 35],
            [-20, 30],
            [-30, 5],
            [-31, 4],
            [-30, 0],
            [-20, -30],
            [0, -40],
            [5, -20],
        ];
        let before = ring.clone();
        shorten(&mut ring, 0, &window);
        assert!(ring.len() < before.len());
        assert_eq!(ring[..2], before[..2]);
        assert_eq!(ring.last(), before.last());
        // Every step that is new lies on one side of the window.
        for pair in ring.windows(2) {
            let known = before.windows(2).any(|old| old == pair);
            let [p, q] = [pair[0], pair[1]];
            let beyond = p[0].max(q[0]) < 0
                || p[1].max(q[1]) < 0
                || p[0].min(q[0]) > 10
                || p[1].min(q[1]) > 10;
            assert!(known || beyond, "{pair:?}");
        }
    }
}
