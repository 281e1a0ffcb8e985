//! Edges that stand for slightly bent lines.
//!
//! A straight line of one plane is not straight in another. Over the length of an edge it is a
//! parabola, and the area between the parabola and its chord is a cubic form of the edge's
//! direction: for the line `t ↦ p + t u + t² w` it is `c × w / 6` with the chord `c = u + w`, and
//! `w` is a quadratic form of `c`. Areas follow the line, crossings are those of the chords.

use super::segment::{FRACTION_BITS, GridPoint, Segment};

/// The area between lines and chords: coefficients of dx³, dx²dy, dx dy² and dy³, in square grid
/// units for directions in grid units. The default is none: lines are straight.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bow {
    coefficients: [f64; 4],
}

impl Bow {
    /// From the quadratic forms of `w`'s two components: coefficients of dx², dx dy and dy².
    pub fn of_quadratic(w: [[f64; 3]; 2]) -> Bow {
        let [x, y] = w;
        Bow {
            coefficients: [y[0], y[1] - x[0], y[2] - x[1], -x[2]].map(|v| v / 6.0),
        }
    }

    pub(super) fn is_straight(&self) -> bool {
        self.coefficients == [0.0; 4]
    }

    /// What ∮ x dy along the line has more than along the chord, in the units of `twice_area` of
    /// crossings. Opposite directions give opposite amounts, to the bit.
    #[inline]
    pub(super) fn amount(&self, segment: &Segment) -> i128 {
        let [a, b, c, d] = self.coefficients;
        let x = (segment.to[0] - segment.from[0]) as f64;
        let y = (segment.to[1] - segment.from[1]) as f64;
        let area = a * x * x * x + b * x * x * y + c * x * y * y + d * y * y * y;
        // Adding and taking away 1.5 × 2⁵² rounds to whole numbers. Far pieces of boundary may be
        // so long that the amount is cut off; nothing that is asked for depends on them.
        // The sign apart, so that both directions are rounded alike.
        let parts = (area.abs() * PARTS) + ROUNDING - ROUNDING;
        i128::from(parts.copysign(area) as i64) << PART_BITS
    }

    /// The share of it before `point`, a crossing on the chord.
    pub(super) fn amount_until(&self, segment: &Segment, point: GridPoint) -> i128 {
        let whole = self.amount(segment);
        let forward = segment.from < segment.to;
        let (from, to, signed) = if forward {
            (segment.from, segment.to, whole)
        } else {
            (segment.to, segment.from, -whole)
        };
        let extent = [to[0] - from[0], to[1] - from[1]];
        let axis = usize::from(extent[1].abs() > extent[0].abs());
        let run = (point[axis] - (from[axis] << FRACTION_BITS)) as f64;
        let t = (run / (extent[axis] << FRACTION_BITS) as f64).clamp(0.0, 1.0);
        let before = (signed as f64 * t * t * (3.0 - 2.0 * t)).round() as i128;
        if forward { before } else { before - signed }
    }
}

/// Bits of the units of `twice_area` that amounts leave out.
const PART_BITS: u32 = 16;
/// Such parts in twice a square grid unit.
const PARTS: f64 = (1u64 << (2 * FRACTION_BITS + 1 - PART_BITS)) as f64;
const ROUNDING: f64 = 6_755_399_441_055_744.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parabola_has_its_area_and_its_parts_add_up() {
        // x = t, y = t² over a chord from (0,0) to (1000,1000): w = (0, dx²/1000).
        let bow = Bow::of_quadratic([[0.0; 3], [1e-3, 0.0, 0.0]]);
        let edge = Segment {
            from: [0, 0],
            to: [1000, 1000],
        };
        let area = (bow.amount(&edge) >> PART_BITS) as f64 / PARTS;
        assert!((area - 1e6 / 6.0).abs() < 1e-3, "{area}");
        let back = Segment {
            from: edge.to,
            to: edge.from,
        };
        assert_eq!(bow.amount(&back), -bow.amount(&edge));
        for x in [0i64, 1, 333, 500, 999, 1000] {
            let point = [x << FRACTION_BITS; 2];
            let there = bow.amount_until(&edge, point);
            let rest = bow.amount(&edge) - there;
            assert_eq!(bow.amount_until(&back, point), -rest, "{x}");
        }
    }
}
