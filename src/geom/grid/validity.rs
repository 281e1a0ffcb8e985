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
    /// Where rings touch: the place and one of the rings, twice for two rings.
    touches: Vec<(GridPoint, u32)>,
    /// Rings, then places of touching: towards the first of those that hang together.
    above: Vec<u32>,
}

/// How two edges lie to each other.
enum Meeting {
    /// They share nothing that matters.
    Apart,
    /// Their rings touch where both edges end.
    Touch,
    Invalid,
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
    /// True when the open rings, shells counter-clockwise, form valid polygons as far as crossings
    /// go: no two edges share a point except consecutive ones their common end, no edge folds
    /// back, and no ring is flat. Two rings may touch where both have a vertex, each on the
    /// proper side of the other, as long as what touches forms no cycle: a cycle can cut a
    /// polygon in two (OGC 06-103r4, 6.1.11).
    ///
    /// Some valid polygons are refused: those whose parts touch in a cycle around something else,
    /// and those with a vertex of one ring on an edge of another. They are rare, and
    /// [`super::clean`] leaves them as they are.
    pub fn is_valid<R: AsRef<[GridPoint]>>(&mut self, rings: &[R]) -> bool {
        if !self.load(rings) {
            return false;
        }
        let mut touches = std::mem::take(&mut self.touches);
        touches.clear();
        let is_valid = self.rings_are_apart(&mut touches) && self.is_forest(&mut touches);
        self.touches = touches;
        is_valid
    }

    /// True when rings neither cross nor run along each other; tells where they touch.
    fn rings_are_apart(&mut self, touches: &mut Vec<(GridPoint, u32)>) -> bool {
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
                    && !self.blocks_are_apart(g.min(h) as usize, g.max(h) as usize, touches)
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

    fn blocks_are_apart(&self, g: usize, h: usize, touches: &mut Vec<(GridPoint, u32)>) -> bool {
        let (first, second) = (&self.blocks[g], &self.blocks[h]);
        for lane in 0..LANES {
            let i = g * LANES + lane;
            let mut mask = second.meeting(first, lane);
            while mask != 0 {
                let k = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                let j = h * LANES + k;
                if j > i {
                    match self.meeting(i, j) {
                        Meeting::Apart => {}
                        Meeting::Touch => {
                            let at = self.edge(i).1;
                            touches.extend([i, j].map(|n| (at, self.ring_of(n) as u32)));
                        }
                        Meeting::Invalid => return false,
                    }
                }
            }
        }
        true
    }

    fn edge(&self, n: usize) -> (GridPoint, GridPoint) {
        let block = &self.blocks[n / LANES];
        (block.from[n % LANES], block.to[n % LANES])
    }

    fn ring_of(&self, edge: usize) -> usize {
        self.ring_ends.partition_point(|&end| end <= edge)
    }

    /// The ring's first edge and the one after its last.
    fn edges_of(&self, ring: usize) -> (usize, usize) {
        let start = if ring == 0 {
            0
        } else {
            self.ring_ends[ring - 1]
        };
        (start, self.ring_ends[ring])
    }

    /// For edges `i < j` whose boxes meet. Consecutive edges have been looked at while loading.
    fn meeting(&self, i: usize, j: usize) -> Meeting {
        let ((a, b), (c, d)) = (self.edge(i), self.edge(j));
        if a == c || a == d || b == c || b == d {
            return self.meeting_at_an_end(i, j);
        }
        let (o1, o2) = (orientation(a, b, c), orientation(a, b, d));
        if o1 * o2 > 0 {
            return Meeting::Apart;
        }
        let (o3, o4) = (orientation(c, d, a), orientation(c, d, b));
        // Touching counts as meeting, and so does lying on one line with boxes that meet.
        match o3 * o4 > 0 {
            true => Meeting::Apart,
            false => Meeting::Invalid,
        }
    }

    /// For edges with a common end. Where rings touch four pairs of edges have one; the pair that
    /// ends there answers for all.
    fn meeting_at_an_end(&self, i: usize, j: usize) -> Meeting {
        let rings = [i, j].map(|edge| self.ring_of(edge));
        let next = |edge: usize, ring: usize| {
            let (start, end) = self.edges_of(ring);
            if edge + 1 == end { start } else { edge + 1 }
        };
        if rings[0] == rings[1] {
            return match next(i, rings[0]) == j || next(j, rings[0]) == i {
                true => Meeting::Apart,
                false => Meeting::Invalid,
            };
        }
        let ((a, at), (c, other_at)) = (self.edge(i), self.edge(j));
        if at != other_at {
            return Meeting::Apart;
        }
        let (b, d) = (
            self.edge(next(i, rings[0])).1,
            self.edge(next(j, rings[1])).1,
        );
        // Inside is left of every ring. So a ring lies left of its neighbour as the neighbour lies
        // left of it (a hole in its shell, two holes), or neither does (two shells).
        let sides = [
            is_left(a, at, b, c),
            is_left(a, at, b, d),
            is_left(c, at, d, a),
            is_left(c, at, d, b),
        ];
        match sides.iter().all(|side| side.is_some() && *side == sides[0]) {
            true => Meeting::Touch,
            false => Meeting::Invalid,
        }
    }

    /// True when no rings hang together in a cycle of touches at different places.
    fn is_forest(&mut self, touches: &mut Vec<(GridPoint, u32)>) -> bool {
        if touches.is_empty() {
            return true;
        }
        touches.sort_unstable();
        touches.dedup();
        let rings = self.ring_ends.len();
        self.above.clear();
        self.above.extend(0..(rings + touches.len()) as u32);
        let mut place = rings;
        for (n, &(at, ring)) in touches.iter().enumerate() {
            place += usize::from(n > 0 && touches[n - 1].0 != at);
            let one = first_of(&mut self.above, place as u32);
            let other = first_of(&mut self.above, ring);
            if one == other {
                return false;
            }
            self.above[one as usize] = other;
        }
        true
    }
}

/// The first of those that hang together with `node`; the way there is halved.
fn first_of(above: &mut [u32], mut node: u32) -> u32 {
    while above[node as usize] != node {
        above[node as usize] = above[above[node as usize] as usize];
        node = above[node as usize];
    }
    node
}

/// Whether `p` is seen from `at` to the left of the way `before → at → after`; `None` when it is
/// seen in the direction of either.
fn is_left(before: GridPoint, at: GridPoint, after: GridPoint, p: GridPoint) -> Option<bool> {
    let turn = orientation(at, after, before);
    let (from_after, to_before) = (orientation(at, after, p), orientation(at, p, before));
    let is_along = |other: GridPoint, turn: i64| turn == 0 && !does_not_fold(other, at, p);
    if is_along(after, from_after) || is_along(before, to_before) {
        return None;
    }
    Some(match turn.signum() {
        1 => from_after > 0 && to_before > 0,
        -1 => from_after > 0 || to_before > 0,
        // Straight on.
        _ => from_after > 0,
    })
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
    fn rings_may_touch_in_vertices_without_a_cycle() {
        let shell = [[0, 0], [50, 0], [100, 0], [100, 100], [0, 100]];
        let hole = [[50, 0], [40, 40], [60, 40]];
        assert!(is_valid(&[&shell, &hole]));
        // A hole that hangs on the other one, and one that closes a cycle with the shell.
        let next = [[60, 40], [50, 60], [70, 60]];
        assert!(is_valid(&[&shell, &hole, &next]));
        let closing = [[50, 60], [0, 100], [50, 90]];
        assert!(!is_valid(&[&shell, &hole, &next, &closing]));
        // Three at one place form no cycle.
        let beside = [[60, 40], [80, 60], [80, 50]];
        assert!(is_valid(&[&shell, &hole, &next, &beside]));
        // Shells beside each other touch; a hole that lies outside its shell does not.
        let other = [[100, 100], [150, 100], [150, 150]];
        assert!(is_valid(&[&shell, &other]));
        let outside = [[100, 100], [150, 150], [150, 100]];
        assert!(!is_valid(&[&shell, &outside]));
        // Through the corner, along an edge, a vertex on an edge, a ring with itself.
        let through = [[50, 0], [40, 40], [60, -40]];
        assert!(!is_valid(&[&shell, &through]));
        let along = [[0, 0], [10, 30], [20, 0]];
        assert!(!is_valid(&[&shell, &along]));
        let on_edge = [[20, 0], [10, 40], [30, 40]];
        assert!(!is_valid(&[&shell, &on_edge]));
        check(false, &[[0, 0], [10, 0], [5, 5], [10, 10], [0, 10], [5, 5]]);
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
