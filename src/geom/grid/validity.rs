//! Is a polygon on the grid simple? Asked for every polygon of every tile, so it has to cost no
//! more than drawing it.
//!
//! Edges are taken in groups of consecutive ones, each with its box. Consecutive edges are close
//! together, so most pairs of groups are told apart by their boxes, and of the rest most pairs of
//! edges are; only what is left is compared exactly.

use super::{GridPoint, doubled_area, orientation};

/// Edges per block: box tests run over a whole block at once.
const LANES: usize = 8;

/// Working space of [`ValidityCheck::is_valid`], kept from polygon to polygon.
#[derive(Default)]
pub struct ValidityCheck {
    blocks: Vec<Block>,
    /// Block numbers and the left ends of their boxes, from left to right.
    order: Vec<(i32, u32)>,
    ring_ends: Vec<usize>,
}

/// Eight consecutive edges as columns; unused lanes have boxes that meet nothing.
#[derive(Clone)]
struct Block {
    min_x: [i32; LANES],
    max_x: [i32; LANES],
    min_y: [i32; LANES],
    max_y: [i32; LANES],
    from: [GridPoint; LANES],
    to: [GridPoint; LANES],
    bounds: [i32; 4],
}

impl Block {
    const EMPTY: Block = Block {
        min_x: [i32::MAX; LANES],
        max_x: [i32::MIN; LANES],
        min_y: [i32::MAX; LANES],
        max_y: [i32::MIN; LANES],
        from: [[0; 2]; LANES],
        to: [[0; 2]; LANES],
        bounds: [i32::MAX, i32::MAX, i32::MIN, i32::MIN],
    };

    fn set(&mut self, lane: usize, from: GridPoint, to: GridPoint) {
        let (min_x, max_x) = (from[0].min(to[0]), from[0].max(to[0]));
        let (min_y, max_y) = (from[1].min(to[1]), from[1].max(to[1]));
        self.from[lane] = from;
        self.to[lane] = to;
        (self.min_x[lane], self.max_x[lane]) = (min_x, max_x);
        (self.min_y[lane], self.max_y[lane]) = (min_y, max_y);
        self.bounds = [
            self.bounds[0].min(min_x),
            self.bounds[1].min(min_y),
            self.bounds[2].max(max_x),
            self.bounds[3].max(max_y),
        ];
    }

    /// Lanes whose box meets the box of `lane` of another block.
    #[inline]
    fn meeting(&self, other: &Block, lane: usize) -> u8 {
        let (min_x, max_x) = (other.min_x[lane], other.max_x[lane]);
        let (min_y, max_y) = (other.min_y[lane], other.max_y[lane]);
        let hits: [u8; LANES] = std::array::from_fn(|k| {
            u8::from(
                (min_x <= self.max_x[k])
                    & (max_x >= self.min_x[k])
                    & (min_y <= self.max_y[k])
                    & (max_y >= self.min_y[k]),
            )
        });
        let mut mask = 0;
        for (k, hit) in hits.into_iter().enumerate() {
            mask |= hit << k;
        }
        mask
    }

    fn meets(&self, other: &Block) -> bool {
        let (a, b) = (&self.bounds, &other.bounds);
        a[0] <= b[2] && a[2] >= b[0] && a[1] <= b[3] && a[3] >= b[1]
    }
}

impl ValidityCheck {
    /// True when the open rings form valid polygons as far as crossings go: no two edges share a
    /// point except consecutive ones their common end, no edge folds back, and no ring is flat.
    ///
    /// Rings that touch in a point are valid polygons by the standard, but are reported as not
    /// valid here: they are rare, and [`super::clean`] leaves them as they are.
    pub fn is_valid<R: AsRef<[GridPoint]>>(&mut self, rings: &[R]) -> bool {
        if !self.load(rings) {
            return false;
        }
        // From left to right: a block is compared only with those that start before it ends.
        self.order.clear();
        self.order.extend(
            self.blocks
                .iter()
                .zip(0..)
                .map(|(block, i)| (block.bounds[0], i)),
        );
        self.order.sort_unstable();
        for (at, &(_, g)) in self.order.iter().enumerate() {
            let block = &self.blocks[g as usize];
            for &(start, h) in &self.order[at..] {
                if start > block.bounds[2] {
                    break;
                }
                if block.meets(&self.blocks[h as usize])
                    && !self.blocks_are_apart(g.min(h) as usize, g.max(h) as usize)
                {
                    return false;
                }
            }
        }
        true
    }

    /// Fills the blocks; `false` at a flat ring or a fold.
    fn load<R: AsRef<[GridPoint]>>(&mut self, rings: &[R]) -> bool {
        self.blocks.clear();
        self.ring_ends.clear();
        let mut count = 0;
        for ring in rings {
            let ring = ring.as_ref();
            if ring.len() < 3 || doubled_area(ring) == 0 {
                return false;
            }
            let (mut before, mut from) = (ring[ring.len() - 2], ring[ring.len() - 1]);
            for &to in ring {
                if !does_not_fold(before, from, to) {
                    return false;
                }
                let lane = count % LANES;
                if lane == 0 {
                    self.blocks.push(Block::EMPTY);
                }
                let block = self.blocks.len() - 1;
                self.blocks[block].set(lane, from, to);
                (before, from) = (from, to);
                count += 1;
            }
            self.ring_ends.push(count);
        }
        true
    }

    fn blocks_are_apart(&self, g: usize, h: usize) -> bool {
        let (first, second) = (&self.blocks[g], &self.blocks[h]);
        for lane in 0..LANES {
            let i = g * LANES + lane;
            let mut mask = second.meeting(first, lane);
            while mask != 0 {
                let k = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                let j = h * LANES + k;
                if j > i && !self.edges_are_apart(i, j) {
                    return false;
                }
            }
        }
        true
    }

    /// For edges `i < j` whose boxes meet. Consecutive edges have been looked at while loading.
    fn edges_are_apart(&self, i: usize, j: usize) -> bool {
        let edge = |n: usize| {
            let block = &self.blocks[n / LANES];
            (block.from[n % LANES], block.to[n % LANES])
        };
        let ((a, b), (c, d)) = (edge(i), edge(j));
        if b == c || d == a {
            let ring = self.ring_ends.partition_point(|&end| end <= i);
            let start = if ring == 0 {
                0
            } else {
                self.ring_ends[ring - 1]
            };
            let end = self.ring_ends[ring];
            if (j == i + 1 && j < end) || (i == start && j == end - 1) {
                return true;
            }
        }
        let (o1, o2) = (orientation(a, b, c), orientation(a, b, d));
        if o1 * o2 > 0 {
            return true;
        }
        let (o3, o4) = (orientation(c, d, a), orientation(c, d, b));
        // Touching counts as meeting, and so does lying on one line with boxes that meet.
        o3 * o4 > 0
    }
}

/// [`ValidityCheck::is_valid`] for once.
pub fn is_valid(rings: &[&[GridPoint]]) -> bool {
    ValidityCheck::default().is_valid(rings)
}

/// The path a → b → c does not go back on itself.
fn does_not_fold(a: GridPoint, b: GridPoint, c: GridPoint) -> bool {
    if orientation(a, b, c) != 0 {
        return true;
    }
    let along = |axis: usize| {
        (i64::from(b[axis]) - i64::from(a[axis])) * (i64::from(c[axis]) - i64::from(b[axis]))
    };
    along(0) + along(1) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: bool, ring: &[GridPoint]) {
        assert_eq!(is_valid(&[ring]), expected, "{ring:?}");
    }

    #[test]
    fn simple_rings_are_valid() {
        check(true, &[[0, 0], [10, 0], [10, 10], [0, 10]]);
        check(true, &[[0, 0], [5, 0], [10, 0], [10, 10], [0, 10]]);
        let mut comb = Vec::new();
        for i in 0..40 {
            comb.push([i * 10, 0]);
            comb.push([i * 10 + 5, 100]);
        }
        comb.extend([[400, -10], [0, -10]]);
        check(true, &comb);
    }

    #[test]
    fn crossings_folds_and_touches_are_not() {
        check(false, &[[0, 0], [10, 10], [10, 0], [0, 10]]);
        check(false, &[[0, 0], [10, 0], [5, 0]]);
        check(false, &[[0, 0], [10, 0], [20, 0], [10, 0], [10, 10]]);
        check(false, &[[0, 0], [10, 0], [10, 10], [5, 0], [0, 10]]);
    }

    #[test]
    fn a_hole_inside_is_valid_and_one_that_crosses_is_not() {
        let shell = [[0, 0], [100, 0], [100, 100], [0, 100]];
        let inside = [[10, 10], [10, 20], [20, 20], [20, 10]];
        let across = [[90, 10], [90, 20], [120, 20], [120, 10]];
        assert!(is_valid(&[&shell, &inside]));
        assert!(!is_valid(&[&shell, &across]));
    }
}
