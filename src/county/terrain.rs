//! Relief and water: a height grid carved by its own rivers.
//!
//! Ridged noise gives mountains and basins; then rock is raised and rivers cut it, in turns
//! (stream-power law solved down to up along the flow, Braun and Willett 2013), with hollows
//! filled by priority flood (Barnes et al. 2014). So every river runs downhill and joins another
//! or leaves the sheet. One reservoir is dammed where a valley holds enough water.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::prelude::*;

use super::noise::{gradient, octaves, ridged};

/// Side of a cell of the height grid, in metres.
pub const CELL_M: f64 = 80.0;
const NONE: u32 = u32::MAX;

/// A square grid over the county and its surroundings, row 0 in the south.
pub struct Terrain {
    /// Cells per side.
    pub n: usize,
    pub height_m: Vec<f32>,
    pub slope_deg: Vec<f32>,
    /// Metres above the river the cell drains to.
    pub above_river_m: Vec<f32>,
    /// Upstream area in cells.
    pub upstream: Vec<f32>,
    /// The cell each cell drains to; itself at the edge of the sheet.
    pub receiver: Vec<u32>,
    pub in_county: Vec<bool>,
    pub reservoir: Option<Reservoir>,
}

/// Water behind a dam.
pub struct Reservoir {
    pub cells: Vec<bool>,
    /// 1 in the cells, 0 elsewhere, to be sampled.
    pub share: Vec<f32>,
    pub level_m: f32,
    /// The middle of the dam in metres, and the unit vector the valley falls along there.
    pub dam_at: (f64, f64),
    pub downstream: (f64, f64),
}

/// A dam's place, the water's level and the unit vector the valley falls along.
struct Dam {
    cell: usize,
    level_m: f32,
    downstream: (f64, f64),
}

/// How far a dam reaches to either side at most.
pub const LONGEST_WING_M: f64 = 420.0;

/// Weights of the quadratic B-spline for a position within a cell (0..1).
pub fn spline(t: f64) -> [f64; 3] {
    [
        0.5 * (1.0 - t) * (1.0 - t),
        0.75 - (t - 0.5) * (t - 0.5),
        0.5 * t * t,
    ]
}

impl Terrain {
    /// A sheet of `n` by `n` cells with a county of `land_cells` of them.
    pub fn new(seed: u64, n: usize, land_cells: usize) -> Terrain {
        let mut height: Vec<f32> = (0..n * n)
            .into_par_iter()
            .map(|i| {
                let (x, y) = position(i, n);
                let (wx, wy) = (
                    x + 1500.0 * gradient(seed ^ 11, x / 5200.0, y / 5200.0),
                    y + 1500.0 * gradient(seed ^ 12, x / 5200.0, y / 5200.0),
                );
                let (w, s) = (x / (n as f64 * CELL_M), y / (n as f64 * CELL_M));
                let mountain = mountains(seed, x, y, w, s);
                let tilt = 120.0 + 160.0 * (s - w + 0.4);
                let base = octaves(seed ^ 15, wx / 3000.0, wy / 3000.0, 6, 0.5) * 22.0;
                let crest = ridged(seed ^ 16, wx / 4200.0, wy / 4200.0, 6);
                (tilt + base * (0.25 + mountain) + mountain * (crest * 420.0)) as f32
            })
            .collect();
        let uplift: Vec<f32> = (0..n * n)
            .into_par_iter()
            .map(|i| {
                let (x, y) = position(i, n);
                let side = n as f64 * CELL_M;
                mountains(seed, x, y, x / side, y / side) as f32 * 9.0
            })
            .collect();
        let mut receiver = Vec::new();
        let mut upstream = Vec::new();
        for round in 0..7 {
            let order = flood(&mut height, n, &mut receiver);
            upstream = accumulate(&order, &receiver);
            if round < 6 {
                carve(&mut height, &uplift, &order, &receiver, &upstream);
                soften(&mut height, n);
            }
        }
        let order = flood(&mut height, n, &mut receiver);
        upstream.clone_from(&accumulate(&order, &receiver));
        let slope_deg = slopes(&height, n);
        let in_county = outline(seed, n, land_cells);
        let mut terrain = Terrain {
            n,
            slope_deg,
            above_river_m: Vec::new(),
            upstream,
            receiver,
            in_county,
            height_m: height,
            reservoir: None,
        };
        terrain.above_river_m = terrain.heights_above_river(&order);
        terrain.reservoir = terrain.dam(&order);
        terrain
    }

    /// Upstream cells from which on water is drawn as a river: 0.8 km².
    pub fn river_cells() -> f32 {
        (0.8e6 / (CELL_M * CELL_M)) as f32
    }

    fn heights_above_river(&self, order: &[u32]) -> Vec<f32> {
        let mut base = self.height_m.clone();
        for &i in order {
            let i = i as usize;
            let to = self.receiver[i] as usize;
            if self.upstream[i] < Self::river_cells() && to != i {
                base[i] = base[to];
            }
        }
        self.height_m
            .iter()
            .zip(&base)
            .map(|(h, b)| h - b)
            .collect()
    }

    /// The best place for a dam in the county: much water behind a short wall.
    fn dam(&self, order: &[u32]) -> Option<Reservoir> {
        const HEIGHT_M: f32 = 16.0;
        const FEWEST_CELLS: usize = 25;
        // 1.4 and 2.2 km².
        const ENOUGH_CELLS: usize = 220;
        const MOST_CELLS: usize = 350;
        let n = self.n;
        let mut best: Option<(f64, Dam)> = None;
        for &i in order {
            let k = i as usize;
            let (cx, cy) = (k % n, k / n);
            let is_aside = cx < n / 5 || cy < n / 5 || cx > n * 4 / 5 || cy > n * 4 / 5;
            if is_aside || !self.in_county[k] || !(250.0..6000.0).contains(&self.upstream[k]) {
                continue;
            }
            let dam = self.dam_at(k, self.height_m[k] + HEIGHT_M);
            let Some(length_m) = self.length_of(&dam) else {
                continue;
            };
            let wet = self.drained_by(k, dam.level_m, MOST_CELLS + 1);
            let fits = (FEWEST_CELLS..=MOST_CELLS).contains(&wet.len())
                && wet.iter().all(|&cell| self.in_county[cell]);
            let score = wet.len().min(ENOUGH_CELLS) as f64 / (length_m + 150.0);
            if fits && best.as_ref().is_none_or(|(s, _)| score > *s) {
                best = Some((score, dam));
            }
        }
        let (_, dam) = best?;
        // A rim above the water, so that its shore is where the ground rises above it.
        let mut cells = vec![false; n * n];
        for cell in self.drained_by(dam.cell, dam.level_m + 6.0, n * n) {
            cells[cell] = true;
        }
        Some(Reservoir {
            share: cells.iter().map(|&c| f32::from(u8::from(c))).collect(),
            cells,
            level_m: dam.level_m,
            dam_at: position(dam.cell, n),
            downstream: dam.downstream,
        })
    }

    /// The valley's direction at a cell, from some cells above to some below: not of the grid's eight.
    fn dam_at(&self, cell: usize, level_m: f32) -> Dam {
        let n = self.n;
        let below = (0..4).fold(cell, |at, _| self.receiver[at] as usize);
        let above = (0..3).fold(cell, |at, _| {
            neighbours(at, n)
                .map(|(j, _)| j)
                .filter(|&j| self.receiver[j] as usize == at && j != at)
                .max_by(|&a, &b| self.upstream[a].total_cmp(&self.upstream[b]))
                .unwrap_or(at)
        });
        let ((ax, ay), (bx, by)) = (position(above, n), position(below, n));
        let length = (bx - ax).hypot(by - ay).max(1.0);
        Dam {
            cell,
            level_m,
            downstream: ((bx - ax) / length, (by - ay) / length),
        }
    }

    /// From slope to slope across the valley; `None` when a dam would be too long.
    fn length_of(&self, dam: &Dam) -> Option<f64> {
        let (x, y) = position(dam.cell, self.n);
        let (ux, uy) = (dam.downstream.1, -dam.downstream.0);
        let reach = |sign: f64| {
            (1..=LONGEST_WING_M as u32 / 20)
                .map(|step| f64::from(step) * 20.0)
                .find(|d| {
                    let (px, py) = (x + sign * ux * d, y + sign * uy * d);
                    self.sample(&self.height_m, px, py) > f64::from(dam.level_m) + 3.0
                })
        };
        Some(reach(-1.0)? + reach(1.0)?)
    }

    /// The cells below a level whose water comes by `cell`, that one first; at most `most`.
    fn drained_by(&self, cell: usize, level_m: f32, most: usize) -> Vec<usize> {
        let mut cells = vec![cell];
        let mut next = 0;
        while next < cells.len() && cells.len() < most {
            let at = cells[next];
            next += 1;
            cells.extend(
                neighbours(at, self.n)
                    .map(|(j, _)| j)
                    .filter(|&j| self.receiver[j] as usize == at && self.height_m[j] < level_m),
            );
        }
        cells
    }

    /// A field between cells, smooth: position in metres from the corner of the grid.
    pub fn sample(&self, field: &[f32], x: f64, y: f64) -> f64 {
        let n = self.n as i64;
        let (gx, gy) = (x / CELL_M, y / CELL_M);
        let (cx, cy) = (gx.floor(), gy.floor());
        let (wx, wy) = (spline(gx - cx), spline(gy - cy));
        let mut sum = 0.0;
        for (dy, v) in wy.iter().enumerate() {
            let row = (cy as i64 + dy as i64 - 1).clamp(0, n - 1);
            for (dx, u) in wx.iter().enumerate() {
                let column = (cx as i64 + dx as i64 - 1).clamp(0, n - 1);
                sum += u * v * f64::from(field[(row * n + column) as usize]);
            }
        }
        sum
    }

    /// The cell a position in metres lies in.
    pub fn cell_at(&self, x: f64, y: f64) -> usize {
        let last = self.n as i64 - 1;
        let column = ((x / CELL_M) as i64).clamp(0, last);
        let row = ((y / CELL_M) as i64).clamp(0, last);
        (row * self.n as i64 + column) as usize
    }
}

fn mountains(seed: u64, x: f64, y: f64, w: f64, s: f64) -> f64 {
    // More mountains in the north-west, a plain in the south-east, and basins anywhere.
    let lean = 0.75 * (s - w) + 0.12;
    let patches = octaves(seed ^ 14, x / 9000.0, y / 9000.0, 4, 0.55);
    ((lean + 0.9 * patches + 0.25) * 1.15).clamp(0.0, 1.0)
}

/// Centre of a cell in metres.
pub fn position(i: usize, n: usize) -> (f64, f64) {
    (
        ((i % n) as f64 + 0.5) * CELL_M,
        ((i / n) as f64 + 0.5) * CELL_M,
    )
}

/// The eight neighbours of a cell with the distance in cells.
pub fn neighbours(i: usize, n: usize) -> impl Iterator<Item = (usize, f32)> {
    const STEPS: [(i64, i64); 8] = [
        (1, 0),
        (0, 1),
        (-1, 0),
        (0, -1),
        (1, 1),
        (-1, 1),
        (-1, -1),
        (1, -1),
    ];
    let (cx, cy, n) = ((i % n) as i64, (i / n) as i64, n as i64);
    STEPS.iter().filter_map(move |&(dx, dy)| {
        let (x, y) = (cx + dx, cy + dy);
        let inside = x >= 0 && y >= 0 && x < n && y < n;
        let length = if dx != 0 && dy != 0 {
            std::f32::consts::SQRT_2
        } else {
            1.0
        };
        inside.then_some(((y * n + x) as usize, length))
    })
}

/// Fills hollows from the edge inwards; returns cells in the order water is reached, downstream first.
fn flood(height: &mut [f32], n: usize, receiver: &mut Vec<u32>) -> Vec<u32> {
    *receiver = vec![NONE; n * n];
    let mut order = Vec::with_capacity(n * n);
    let mut heap = BinaryHeap::new();
    // Heights are positive, so their bits sort as they do.
    let key = |h: f32, i: usize| Reverse((h.max(0.0).to_bits(), i as u32));
    for i in 0..n * n {
        let (x, y) = (i % n, i / n);
        if x == 0 || y == 0 || x == n - 1 || y == n - 1 {
            receiver[i] = i as u32;
            heap.push(key(height[i], i));
        }
    }
    while let Some(Reverse((_, i))) = heap.pop() {
        order.push(i);
        let i = i as usize;
        for (j, _) in neighbours(i, n) {
            if receiver[j] == NONE {
                receiver[j] = i as u32;
                height[j] = height[j].max(height[i] + 0.02);
                heap.push(key(height[j], j));
            }
        }
    }
    // Water takes the steepest way among cells already reached lower down.
    for i in 0..n * n {
        if receiver[i] as usize == i {
            continue;
        }
        let steepest = neighbours(i, n)
            .map(|(j, d)| ((height[i] - height[j]) / d, j))
            .fold((0.0f32, receiver[i] as usize), |a, b| {
                if b.0 > a.0 { b } else { a }
            });
        receiver[i] = steepest.1 as u32;
    }
    order.sort_unstable_by_key(|&i| (height[i as usize].max(0.0).to_bits(), i));
    order
}

fn accumulate(order: &[u32], receiver: &[u32]) -> Vec<f32> {
    let mut upstream = vec![1.0f32; order.len()];
    for &i in order.iter().rev() {
        let to = receiver[i as usize];
        if to != i {
            upstream[to as usize] += upstream[i as usize];
        }
    }
    upstream
}

fn carve(height: &mut [f32], uplift: &[f32], order: &[u32], receiver: &[u32], upstream: &[f32]) {
    for &i in order {
        let i = i as usize;
        let to = receiver[i] as usize;
        if to == i {
            continue;
        }
        let factor = 0.03 * upstream[i].powf(0.48);
        height[i] = (height[i] + uplift[i] + factor * height[to]) / (1.0 + factor);
    }
}

/// Hillslopes creep: a light blur.
fn soften(height: &mut [f32], n: usize) {
    let before = height.to_vec();
    for y in 1..n - 1 {
        for x in 1..n - 1 {
            let i = y * n + x;
            let around = before[i - 1] + before[i + 1] + before[i - n] + before[i + n];
            height[i] = before[i] * 0.6 + around * 0.1;
        }
    }
}

fn slopes(height: &[f32], n: usize) -> Vec<f32> {
    (0..n * n)
        .map(|i| {
            let (x, y) = (i % n, i / n);
            let at = |x: usize, y: usize| height[y * n + x];
            let dx = at((x + 1).min(n - 1), y) - at(x.saturating_sub(1), y);
            let dy = at(x, (y + 1).min(n - 1)) - at(x, y.saturating_sub(1));
            (dx.hypot(dy) / (2.0 * CELL_M as f32)).atan().to_degrees()
        })
        .collect()
}

/// An uneven outline around the centre, of the given area, that leaves a margin of the sheet free.
fn outline(seed: u64, n: usize, land_cells: usize) -> Vec<bool> {
    let distance = |i: usize| {
        let (x, y) = position(i, n);
        let side = n as f64 * CELL_M;
        let (u, v) = (x / side - 0.5, y / side - 0.5);
        if u.abs().max(v.abs()) > 0.47 {
            return f64::MAX;
        }
        let wobble = octaves(seed ^ 21, u * 5.0, v * 5.0, 6, 0.55);
        u.hypot(v) * (1.0 + 0.14 * (3.0 * v.atan2(u) + 1.0).cos()) - 0.07 * wobble
    };
    let distances: Vec<f64> = (0..n * n).into_par_iter().map(distance).collect();
    let mut sorted = distances.clone();
    sorted.sort_by(f64::total_cmp);
    let limit = sorted[land_cells.min(n * n - 1)];
    distances.iter().map(|&d| d < limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_drains_downhill_to_the_edge() {
        let terrain = Terrain::new(5, 90, 3000);
        for start in 0..terrain.n * terrain.n {
            let (mut at, mut steps) = (start, 0);
            while terrain.receiver[at] as usize != at {
                let to = terrain.receiver[at] as usize;
                assert!(terrain.height_m[to] < terrain.height_m[at]);
                at = to;
                steps += 1;
                assert!(steps < terrain.n * terrain.n);
            }
            let (x, y) = (at % terrain.n, at / terrain.n);
            assert!(x == 0 || y == 0 || x == terrain.n - 1 || y == terrain.n - 1);
        }
    }

    #[test]
    fn rivers_only_grow_downstream() {
        let terrain = Terrain::new(6, 90, 3000);
        for i in 0..terrain.n * terrain.n {
            let to = terrain.receiver[i] as usize;
            assert!(to == i || terrain.upstream[to] > terrain.upstream[i]);
        }
    }
}
