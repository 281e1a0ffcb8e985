//! Areas by combination of labels, as exact sums.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::segment::FRACTION_BITS;
use super::{MAX_LAYERS, OUTSIDE};

/// One label per layer, `OUTSIDE` where there is none and behind the last layer.
pub type Labels = [u32; MAX_LAYERS];

/// Sums of areas; tables of parts of the work are added in any order with the same result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AreaTable {
    sums: HashMap<Labels, i128, BuildHasherDefault<LabelHasher>>,
}

impl AreaTable {
    /// Adds to one combination; units as [`AreaTable::rows_exact`].
    pub fn add(&mut self, labels: &Labels, twice_area: i128) {
        // What lies outside all layers is not bounded.
        if labels.iter().any(|&label| label != OUTSIDE) {
            let sum = self.sums.entry(*labels).or_insert(0);
            *sum = sum.wrapping_add(twice_area);
        }
    }

    /// Adds the sums of another part of the work.
    pub fn merge(&mut self, mut other: AreaTable) {
        if self.sums.len() < other.sums.len() {
            std::mem::swap(self, &mut other);
        }
        // A map is walked in the order of its hashes: into a smaller one they would all go to
        // the same few places.
        self.sums.reserve(other.sums.len());
        for (labels, amount) in other.sums {
            self.add(&labels, amount);
        }
    }

    /// All sums, in no order; units as [`AreaTable::rows_exact`].
    pub fn iter(&self) -> impl Iterator<Item = (&Labels, i128)> {
        self.sums.iter().map(|(labels, sum)| (labels, *sum))
    }

    /// Rows with an area other than zero, ordered by labels; areas are twice the square grid
    /// units times 2³², exact.
    pub fn rows_exact(&self) -> Vec<(Labels, i128)> {
        let mut rows: Vec<(Labels, i128)> = self
            .sums
            .iter()
            .filter(|row| *row.1 != 0)
            .map(|row| (*row.0, *row.1))
            .collect();
        rows.sort_unstable();
        rows
    }

    /// Rows with an area other than zero, ordered by labels; areas in square grid units.
    pub fn rows(&self) -> Vec<(Labels, f64)> {
        self.rows_exact()
            .into_iter()
            .map(|(labels, sum)| (labels, in_square_grid_units(sum)))
            .collect()
    }
}

/// An exact sum as a number of square grid units.
pub fn in_square_grid_units(sum: i128) -> f64 {
    sum as f64 / (1u128 << (2 * FRACTION_BITS + 1)) as f64
}

/// Multiplies and rotates; labels are small numbers of our own making.
#[derive(Debug, Default, Clone, Copy)]
pub struct LabelHasher(u64);

impl Hasher for LabelHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(26) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}
