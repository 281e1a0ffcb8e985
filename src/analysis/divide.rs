//! Long edges in equal parts, so that chords in the working plane stay close to the edge.

use crate::crs::Crs;

/// Longest edge that is left whole, metres: the official rule's. The chord of such an edge is
/// less than 0.1 mm off in the equal-area plane.
const LONGEST_EDGE_M: f64 = 70.0;

/// Parts of one edge at most: an edge from pole to pole.
const MAX_PARTS: f64 = 400_000.0;

/// Walks along a ring or line with its long edges divided in its own plane, where they are
/// straight. The same edge gives the same points from both ends.
pub(super) fn divided<E>(
    crs: &Crs,
    ring: impl Iterator<Item = [f64; 2]>,
    mut each: impl FnMut([f64; 2]) -> Result<(), E>,
) -> Result<(), E> {
    let mut before: Option<[f64; 2]> = None;
    for point in ring {
        if let Some(before) = before {
            let length_m = length_m(crs, before, point);
            if length_m > LONGEST_EDGE_M {
                inner_points(before, point, length_m, &mut each)?;
            }
        }
        each(point)?;
        before = Some(point);
    }
    Ok(())
}

fn inner_points<E>(
    before: [f64; 2],
    point: [f64; 2],
    length_m: f64,
    each: &mut impl FnMut([f64; 2]) -> Result<(), E>,
) -> Result<(), E> {
    let parts = (length_m / LONGEST_EDGE_M).ceil().min(MAX_PARTS);
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

/// Length of an edge, on a sphere when coordinates are degrees.
fn length_m(crs: &Crs, p: [f64; 2], q: [f64; 2]) -> f64 {
    let (dx, dy) = (q[0] - p[0], q[1] - p[1]);
    if crs.geographic {
        const METRES_PER_DEGREE: f64 = 111_320.0;
        // An edge that is short even at the equator needs no cosine.
        if dx.abs().max(dy.abs()) * METRES_PER_DEGREE * 1.5 < LONGEST_EDGE_M {
            return 0.0;
        }
        let shrink = ((p[1] + q[1]) / 2.0).to_radians().cos();
        (dx * shrink).hypot(dy) * METRES_PER_DEGREE
    } else {
        dx.hypot(dy) * crs.metres_per_unit
    }
}
