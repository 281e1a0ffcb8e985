//! Position on the Hilbert curve, the order in which features are stored.

use super::Bbox;

/// Distance along the Hilbert curve of order 32 for a cell of a 2³² × 2³² grid.
///
/// The classic bit-pair walk (Hilbert 1891; the loop form is Wikipedia's `xy2d`).
pub fn distance(mut x: u32, mut y: u32) -> u64 {
    let mut key = 0u64;
    for level in (0..32).rev() {
        let (rx, ry) = ((x >> level) & 1, (y >> level) & 1);
        key = (key << 2) | u64::from((3 * rx) ^ ry);
        if ry == 0 {
            if rx == 1 {
                x = !x;
                y = !y;
            }
            std::mem::swap(&mut x, &mut y);
        }
    }
    key
}

/// Hilbert key of the centre of `bbox` within a fixed `frame`; positions outside are clamped.
///
/// The frame is the reference system's and not the layer's, so that a key can be given to a
/// feature before the last one has been read.
pub fn key(bbox: &Bbox, frame: &Bbox) -> u64 {
    let [x, y] = bbox.center();
    let cell = |value: f64, min: f64, size: f64| {
        // `as` saturates, and takes NaN to 0.
        ((value - min) / size * f64::from(u32::MAX)) as u32
    };
    distance(
        cell(x, frame.min_x, frame.width()),
        cell(y, frame.min_y, frame.height()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_on_the_curve_are_neighbours_in_the_plane() {
        // Walk a 64 × 64 corner of the grid in key order: each step moves one cell.
        let mut cells: Vec<(u64, u32, u32)> = (0..64u32)
            .flat_map(|x| (0..64u32).map(move |y| (distance(x << 26, y << 26), x, y)))
            .collect();
        cells.sort_unstable();
        for pair in cells.windows(2) {
            let step = pair[0].1.abs_diff(pair[1].1) + pair[0].2.abs_diff(pair[1].2);
            assert_eq!(step, 1, "{pair:?}");
        }
    }
}
