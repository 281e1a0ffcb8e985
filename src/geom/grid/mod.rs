//! Polygons and lines on an integer grid: clipping to a box, checking and repairing validity.
//!
//! All predicates are exact. Coordinates of the clip input may be large (a feature can be far
//! bigger than the tile it is cut for), its output fits the box, and everything after that works
//! on small numbers.

mod clean;
mod clip;
mod validity;

pub use clean::{CleanError, clean};
pub use clip::{clip_line, clip_ring};
pub use validity::{ValidityCheck, is_valid};

/// A point of the grid.
pub type GridPoint = [i32; 2];

/// Twice the signed area of an open ring, positive when counter-clockwise (y up).
pub fn doubled_area(ring: &[GridPoint]) -> i64 {
    let Some(&last) = ring.last() else {
        return 0;
    };
    let mut before = last;
    let mut twice = 0i64;
    for &at in ring {
        twice += i64::from(before[0]) * i64::from(at[1]) - i64::from(at[0]) * i64::from(before[1]);
        before = at;
    }
    twice
}

/// Sign of the turn a → b → c: positive to the left (y up).
fn orientation(a: GridPoint, b: GridPoint, c: GridPoint) -> i64 {
    let (abx, aby) = (
        i64::from(b[0]) - i64::from(a[0]),
        i64::from(b[1]) - i64::from(a[1]),
    );
    let (acx, acy) = (
        i64::from(c[0]) - i64::from(a[0]),
        i64::from(c[1]) - i64::from(a[1]),
    );
    (abx * acy - aby * acx).signum()
}
