//! Long edges in equal parts, so that chords in the working plane stay close to the edge.

use crate::crs::Crs;

/// Longest edge that is left whole where shapes are drawn, metres: the official rule's. Its chord
/// is less than 0.1 mm off.
pub(super) const LONGEST_DRAWN_M: f64 = 70.0;

/// The same where areas follow the bent lines and not their chords: the chord is a millimetre off,
/// what it moves crossings is of second order.
pub(super) const LONGEST_MEASURED_M: f64 = 240.0;

/// The same in a piece of work of this extent. The bend is known at its middle; beyond ten
/// kilometres from there edges get shorter, so that the error of an edge's area stays as small.
pub(super) fn longest_measured_m(extent_m: f64) -> f64 {
    LONGEST_MEASURED_M * (20_000.0 / extent_m).sqrt().clamp(0.1, 1.0)
}

/// Parts of one edge at most: an edge from pole to pole.
const MAX_PARTS: f64 = 400_000.0;

const METRES_PER_DEGREE: f64 = 111_320.0;

/// Walks along a ring or line with its long edges divided in its own plane, where they are
/// straight. The same edge gives the same points from both ends.
pub(super) fn divided<E>(
    crs: &Crs,
    longest_m: f64,
    ring: impl Iterator<Item = [f64; 2]>,
    mut each: impl FnMut([f64; 2]) -> Result<(), E>,
) -> Result<(), E> {
    let mut before: Option<[f64; 2]> = None;
    // Metres per unit on both axes, at the first vertex; enough to see which edges are short.
    let mut scale = None;
    for point in ring {
        if let Some(before) = before
            && !(crs.geographic && is_short(longest_m, before, point))
        {
            let [sx, sy] = *scale.get_or_insert_with(|| scale_at(crs, before[1]));
            let (dx, dy) = ((point[0] - before[0]) * sx, (point[1] - before[1]) * sy);
            let squared = dx * dx + dy * dy;
            if squared > longest_m * longest_m * SHORTER {
                inner_points(crs, longest_m, before, point, &mut each)?;
            }
        }
        each(point)?;
        before = Some(point);
    }
    Ok(())
}

/// Whether an edge in degrees is short at any latitude: most are, and need no scale.
#[inline]
fn is_short(longest_m: f64, before: [f64; 2], point: [f64; 2]) -> bool {
    let (dx, dy) = (point[0] - before[0], point[1] - before[1]);
    let longest = longest_m / METRES_PER_DEGREE;
    dx * dx + dy * dy <= longest * longest * SHORTER
}

/// The scale of a ring's first vertex may be a little too small elsewhere.
const SHORTER: f64 = 0.8;

fn scale_at(crs: &Crs, y: f64) -> [f64; 2] {
    if crs.geographic {
        [METRES_PER_DEGREE * y.to_radians().cos(), METRES_PER_DEGREE]
    } else {
        [crs.metres_per_unit; 2]
    }
}

fn inner_points<E>(
    crs: &Crs,
    longest_m: f64,
    before: [f64; 2],
    point: [f64; 2],
    each: &mut impl FnMut([f64; 2]) -> Result<(), E>,
) -> Result<(), E> {
    let [sx, sy] = scale_at(crs, (before[1] + point[1]) / 2.0);
    let length_m = ((point[0] - before[0]) * sx).hypot((point[1] - before[1]) * sy);
    let parts = (length_m / longest_m).ceil().min(MAX_PARTS);
    // Always counted from the same end: neighbours walk the border in opposite ways.
    let reversed = point < before;
    let (p, q) = if reversed {
        (point, before)
    } else {
        (before, point)
    };
    for step in 1..parts as u32 {
        let step = if reversed {
            parts - f64::from(step)
        } else {
            f64::from(step)
        };
        let t = step / parts;
        each([p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t])?;
    }
    Ok(())
}
