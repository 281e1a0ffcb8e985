//! Which lines of a level stay where a tile would hold more than its bytes.
//!
//! Lines are offered by rank. Two things speak against one: it passes only where others were
//! drawn before it (then nobody would see it), or a tile it crosses has no room left.
//! Tiles that can hold all of their lines say nothing.

use std::collections::{HashMap, HashSet};

use super::super::EXTENT_BITS;

/// Side of the squares in which drawn lines are noted, units as a power of two: two pixels of 512.
const SQUARE_BITS: u32 = 4;
const SQUARES_BITS: u32 = EXTENT_BITS - SQUARE_BITS;
/// At least this share of a line passes where no other was drawn.
const NEW_SHARE: f64 = 0.25;

/// Column and row of a tile.
pub type Tile = [u32; 2];

/// What a line takes in a tile.
pub type Cost = (Tile, f32);

/// The tiles of a zoom, while lines are taken.
pub struct Thinning {
    /// Bytes a tile has room for.
    room: f32,
    /// Bytes of all lines.
    loads: HashMap<Tile, f32>,
    /// Bytes of those taken, in crowded tiles.
    spent: HashMap<Tile, f32>,
    /// A bit for each square of a crowded tile: a line passes.
    drawn: HashMap<Tile, Vec<u64>>,
    passed: HashSet<[u32; 2]>,
}

impl Thinning {
    pub fn new(room: f32) -> Thinning {
        Thinning {
            room,
            loads: HashMap::new(),
            spent: HashMap::new(),
            drawn: HashMap::new(),
            passed: HashSet::new(),
        }
    }

    /// Hears of a line before any is offered.
    pub fn announce(&mut self, costs: &[Cost]) {
        for &(tile, bytes) in costs {
            *self.loads.entry(tile).or_insert(0.0) += bytes;
        }
    }

    /// Takes a line, given by its runs of vertices in units of the zoom, or says no.
    pub fn take(&mut self, costs: &[Cost], runs: &[Vec<[i32; 2]>]) -> bool {
        let is_crowded = |tile: &Tile| self.loads.get(tile).is_some_and(|&load| load > self.room);
        let crowded: Vec<Cost> = costs.iter().filter(|c| is_crowded(&c.0)).copied().collect();
        if crowded.is_empty() {
            return true;
        }
        let spent = |tile: &Tile| self.spent.get(tile).copied().unwrap_or(0.0);
        if crowded
            .iter()
            .any(|(tile, bytes)| spent(tile) + bytes > self.room)
        {
            return false;
        }
        self.passed.clear();
        runs.iter().for_each(|run| squares(run, &mut self.passed));
        let is_drawn = |square: &&[u32; 2]| {
            let (tile, word, bit) = place(**square);
            self.drawn
                .get(&tile)
                .is_some_and(|words| words[word] & bit != 0)
        };
        let old = self.passed.iter().filter(is_drawn).count();
        if ((self.passed.len() - old) as f64) < NEW_SHARE * self.passed.len() as f64 {
            return false;
        }
        for (tile, bytes) in &crowded {
            *self.spent.entry(*tile).or_insert(0.0) += bytes;
        }
        for &square in &self.passed {
            let (tile, word, bit) = place(square);
            if crowded.iter().any(|(known, _)| *known == tile) {
                let words = self.drawn.entry(tile);
                words.or_insert_with(|| vec![0; 1 << (2 * SQUARES_BITS - 6)])[word] |= bit;
            }
        }
        true
    }
}

/// The tile of a square, and its bit there.
fn place([column, row]: [u32; 2]) -> (Tile, usize, u64) {
    let inner = (1 << SQUARES_BITS) - 1;
    let number = (row & inner) << SQUARES_BITS | (column & inner);
    let tile = [column >> SQUARES_BITS, row >> SQUARES_BITS];
    (tile, (number / 64) as usize, 1 << (number % 64))
}

/// Adds the squares that a run of vertices passes, but for corners that it cuts.
fn squares(run: &[[i32; 2]], passed: &mut HashSet<[u32; 2]>) {
    let mut add = |x: f64, y: f64| {
        passed.insert([x, y].map(|v| v as u32 >> SQUARE_BITS));
    };
    for pair in run.windows(2) {
        let [from, to] = [pair[0], pair[1]].map(|p| p.map(f64::from));
        let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
        let steps = (dx.abs().max(dy.abs()) / f64::from(1u32 << SQUARE_BITS))
            .ceil()
            .max(1.0);
        for step in 0..=steps as u32 {
            let t = f64::from(step) / steps;
            add(from[0] + dx * t, from[1] + dy * t);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A level run of so many units in the tile 0, 0.
    fn run(x: i32, y: i32, length: i32) -> (Vec<Cost>, Vec<Vec<[i32; 2]>>) {
        (vec![([0, 0], 10.0)], vec![vec![[x, y], [x + length, y]]])
    }

    #[test]
    fn where_there_is_room_every_line_stays() {
        let mut thinning = Thinning::new(100.0);
        let lines: Vec<_> = (0..10).map(|_| run(0, 0, 1000)).collect();
        lines.iter().for_each(|(costs, _)| thinning.announce(costs));
        assert!(lines.iter().all(|(costs, runs)| thinning.take(costs, runs)));
    }

    #[test]
    fn in_a_crowd_a_line_needs_a_place_of_its_own_and_room() {
        let mut thinning = Thinning::new(45.0);
        let lines = [
            (run(0, 0, 1000), true),
            // Where the first is, but for a tenth of it.
            (run(100, 3, 1000), false),
            (run(600, 3, 1000), true),
            (run(0, 40, 10), true),
            (run(0, 41, 10), false),
            (run(0, 80, 10), true),
            (run(0, 120, 10), false),
        ];
        lines
            .iter()
            .for_each(|((costs, _), _)| thinning.announce(costs));
        for (i, ((costs, runs), stays)) in lines.iter().enumerate() {
            assert_eq!(thinning.take(costs, runs), *stays, "{i}");
        }
    }
}
