//! Settlements and ways: villages, townships and the county town in good places, the area of each
//! village, and the roads that join them, along the cheapest way over the relief.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::prelude::*;

use super::noise::{hash, octaves, unit};
use super::terrain::{CELL_M, LONGEST_WING_M, Terrain, neighbours, position};

/// A village: a seat and the land around it.
pub struct Village {
    /// Seat in metres on the sheet.
    pub seat: (f64, f64),
    pub township: usize,
    pub name: String,
    /// Twelve digits.
    pub code: String,
}

/// A township: a town or a rural one.
pub struct Township {
    pub seat: (f64, f64),
    pub name: String,
    /// Nine digits.
    pub code: String,
}

/// What a line on the ground is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LineKind {
    Stream,
    River,
    Lane,
    TownshipRoad,
    TrunkRoad,
    /// Built between the two years.
    NewRoad,
    Railway,
    Dam,
}

impl LineKind {
    pub fn is_water(self) -> bool {
        matches!(self, LineKind::Stream | LineKind::River | LineKind::Dam)
    }
}

/// A smooth line with a width.
pub struct Line {
    pub kind: LineKind,
    pub half_width_m: f64,
    pub points: Vec<(f64, f64)>,
}

/// Everything people and water drew on the relief.
pub struct Places {
    pub villages: Vec<Village>,
    pub townships: Vec<Township>,
    /// Index + 1 of the village each cell belongs to, 0 outside the county.
    pub village_of_cell: Vec<u32>,
    pub lines: Vec<Line>,
    /// The county town.
    pub town: (f64, f64),
}

/// A division code that is not assigned: no region of GB/T 2260 begins with 9.
pub const COUNTY_CODE: &str = "990101";
pub const COUNTY_NAME: &str = "示范县(虚构)";
const VILLAGE_SPACING_M: f64 = 2500.0;
const FIRST: [&str; 32] = [
    "柳", "桥", "石", "青", "白", "云", "松", "竹", "梅", "龙", "凤", "泉", "溪", "沙", "杨", "桃",
    "李", "枣", "梨", "槐", "双", "大", "小", "上", "下", "东", "西", "南", "北", "新", "清", "金",
];
const SECOND: [&str; 24] = [
    "湾", "坪", "岭", "沟", "塘", "铺", "庄", "坝", "洼", "冲", "岗", "畈", "河", "田", "井", "圩",
    "坡", "店", "口", "林", "源", "垄", "台", "头",
];

fn name(seed: u64, index: usize) -> String {
    // A walk over all pairs that meets each once before it repeats.
    let pairs = FIRST.len() * SECOND.len();
    let k = (index * 355 + (seed % 701) as usize) % pairs;
    let again = index / pairs;
    let mut text = format!("{}{}", FIRST[k % FIRST.len()], SECOND[k / FIRST.len()]);
    if again > 0 {
        text.push_str(["东", "西", "南", "北", "中", "前", "后", "里", "外", "新"][again % 10]);
    }
    text
}

impl Places {
    pub fn new(seed: u64, terrain: &Terrain) -> Places {
        let seats = village_seats(seed, terrain);
        // Land is divided along ridges and waters, and where the ground gives no line, along old
        // hedges: a rough cost keeps borders from the straight lines of equal distance.
        let hedges: Vec<f32> = (0..terrain.n * terrain.n)
            .into_par_iter()
            .map(|i| {
                let (x, y) = position(i, terrain.n);
                let broad = octaves(seed ^ 33, x / 900.0, y / 900.0, 4, 0.7);
                (1.0 + 1.1 * broad).max(0.15) as f32
            })
            .collect();
        let land_cost = |from: usize, to: usize, d: f32| {
            let wet = terrain.upstream[to].max(terrain.upstream[from]);
            let water = match wet / Terrain::river_cells() {
                w if w > 6.0 => 9.0,
                w if w > 1.0 => 3.0,
                _ => 0.0,
            };
            let climb = (terrain.height_m[to] - terrain.height_m[from]).abs() * 0.12;
            d * hedges[to] + climb + water
        };
        let starts: Vec<usize> = seats.iter().map(|&(x, y)| terrain.cell_at(x, y)).collect();
        let (_, _, owner) = spread(terrain, &starts, &terrain.in_county, land_cost);
        let village_of_cell: Vec<u32> = owner
            .iter()
            .map(|&o| if o == u32::MAX { 0 } else { o + 1 })
            .collect();
        let centre = terrain.n as f64 * CELL_M / 2.0;
        let good = |s: &(f64, f64)| {
            let i = terrain.cell_at(s.0, s.1);
            f64::from(terrain.slope_deg[i]) * 400.0 + 0.5 * (s.0 - centre).hypot(s.1 - centre)
        };
        let town_index = (0..seats.len())
            .min_by(|&a, &b| good(&seats[a]).total_cmp(&good(&seats[b])))
            .expect("a county has a village");
        let town = seats[town_index];
        let (townships, township_of) = townships(seed, &seats, town_index);
        let mut serial = vec![0usize; townships.len()];
        let villages = seats
            .iter()
            .enumerate()
            .map(|(i, &seat)| {
                let t = township_of[i];
                serial[t] += 1;
                Village {
                    seat,
                    township: t,
                    name: format!("{}村", name(seed, i)),
                    code: format!("{}{:03}", townships[t].code, 200 + serial[t] - 1),
                }
            })
            .collect();
        let mut places = Places {
            villages,
            townships,
            village_of_cell,
            lines: Vec::new(),
            town,
        };
        places.draw_rivers(seed, terrain);
        places.draw_ways(seed, terrain);
        places.draw_dam(terrain);
        places.clip_lines(terrain.n);
        places
    }

    /// Keeps of each line what is in the county or within two cells of it.
    fn clip_lines(&mut self, n: usize) {
        const RIM: usize = 2;
        let mut near = vec![false; n * n];
        for (i, &village) in self.village_of_cell.iter().enumerate() {
            if village > 0 {
                let (x, y) = (i % n, i / n);
                for row in y.saturating_sub(RIM)..(y + RIM + 1).min(n) {
                    near[row * n + x.saturating_sub(RIM)..row * n + (x + RIM + 1).min(n)]
                        .fill(true);
                }
            }
        }
        let cell = |v: f64| ((v / CELL_M).max(0.0) as usize).min(n - 1);
        let mut kept = Vec::new();
        for line in std::mem::take(&mut self.lines) {
            let runs = line
                .points
                .chunk_by(|a, b| near[cell(a.1) * n + cell(a.0)] == near[cell(b.1) * n + cell(b.0)])
                .filter(|run| run.len() > 1 && near[cell(run[0].1) * n + cell(run[0].0)]);
            kept.extend(runs.map(|run| Line {
                points: run.to_vec(),
                ..line
            }));
        }
        self.lines = kept;
    }

    fn draw_rivers(&mut self, seed: u64, terrain: &Terrain) {
        let least = Terrain::river_cells();
        let n = terrain.n;
        let mut has_source = vec![false; n * n];
        for i in 0..n * n {
            if terrain.upstream[i] >= least {
                has_source[terrain.receiver[i] as usize] = true;
            }
        }
        // Each river runs from its source to the sea or to a river drawn before; a river that joins
        // ends on the very line it joins.
        let mut drawn = vec![u32::MAX; n * n];
        let mut rivers: Vec<Vec<(f64, f64)>> = Vec::new();
        for (source, fed) in has_source.iter().enumerate() {
            if terrain.upstream[source] < least || *fed {
                continue;
            }
            let mut at = source;
            let mut cells = vec![at];
            while drawn[at] == u32::MAX && terrain.receiver[at] as usize != at {
                drawn[at] = rivers.len() as u32;
                at = terrain.receiver[at] as usize;
                cells.push(at);
            }
            let joined = drawn[at];
            drawn[at] = drawn[at].min(rivers.len() as u32);
            let centres: Vec<_> = cells.iter().map(|&c| position(c, n)).collect();
            let mut points = wander(seed, &centres, 40.0);
            if let (Some(river), Some(last)) = (rivers.get(joined as usize), points.last_mut()) {
                *last = nearest_on(river, *last);
            }
            for _ in 0..3 {
                points = cut_corners(&points);
            }
            let points = eased(&points);
            self.push_river(terrain, &cells, &points);
            rivers.push(points);
        }
    }

    /// A river as pieces of one width each, which share their end points.
    fn push_river(&mut self, terrain: &Terrain, cells: &[usize], points: &[(f64, f64)]) {
        let (Some(last), Some(&source)) = (points.len().checked_sub(1), cells.first()) else {
            return;
        };
        // Points follow the cells evenly.
        let class_at = |k: usize| {
            let cell = cells[k * (cells.len() - 1) / last.max(1)];
            width_class(terrain.upstream[cell])
        };
        let mut begun = 0;
        let mut class = width_class(terrain.upstream[source]);
        for k in 1..=last {
            // The last cell is of the river that is joined.
            let next = if k == last { class } else { class_at(k) };
            if next > class || k == last {
                self.lines.push(Line {
                    kind: if class >= 4 {
                        LineKind::River
                    } else {
                        LineKind::Stream
                    },
                    half_width_m: 2.6 * 1.45f64.powi(class),
                    points: points[begun..=k].to_vec(),
                });
                begun = k;
                class = next;
            }
        }
    }

    fn draw_ways(&mut self, seed: u64, terrain: &Terrain) {
        let everywhere = vec![true; terrain.n * terrain.n];
        let n = terrain.n;
        let road_cost = |from: usize, to: usize, d: f32| {
            let grade = (terrain.height_m[to] - terrain.height_m[from]).abs() / (d * CELL_M as f32);
            let water = if terrain.upstream[to] > Terrain::river_cells() {
                3.0
            } else {
                0.0
            };
            let lake = match &terrain.reservoir {
                Some(r) if r.cells[to] => 60.0,
                _ => 0.0,
            };
            let rough = terrain.slope_deg[to] * 0.05;
            let grain = 0.5 * unit(seed ^ 31, to as i64, 0) as f32;
            d * (1.0 + 60.0 * grade + rough + grain) + water + lake
        };
        let cell = |(x, y): (f64, f64)| terrain.cell_at(x, y);
        // Gates: three cells on the edge of the sheet that trunk roads leave by.
        let gates = vec![n / 3, (n - 1) * n + n * 3 / 5, n * (n * 2 / 3)];
        let towns = self.townships.iter().map(|t| cell(t.seat)).collect();
        let villages = self.villages.iter().map(|v| cell(v.seat)).collect();
        let hamlets = (0..self.villages.len() * 4)
            .map(|k| cell(self.hamlet(seed, terrain, k / 4, (k % 4) as i64).0))
            .collect();
        let mut way_of_cell = vec![u32::MAX; n * n];
        // Each kind of place joins the ways that are there already, wherever that is nearest.
        for (kind, half_width_m, goals) in [
            (LineKind::TrunkRoad, 7.5, gates),
            (LineKind::TownshipRoad, 5.2, towns),
            (LineKind::Lane, 3.4, villages),
            (LineKind::Lane, 3.4, hamlets),
        ] {
            let goals: Vec<usize> = goals;
            let town = cell(self.town);
            let starts: Vec<usize> = (0..n * n)
                .filter(|&i| i == town || way_of_cell[i] != u32::MAX)
                .collect();
            let (_, back, _) = spread(terrain, &starts, &everywhere, road_cost);
            for goal in goals {
                self.draw_way(seed, n, kind, half_width_m, goal, &back, &mut way_of_cell);
            }
        }
        // The railway and the new road keep to gentle grades and go around houses.
        let houses = self.house_cells(n);
        let rail_cost = |from: usize, to: usize, d: f32| {
            let grade = (terrain.height_m[to] - terrain.height_m[from]).abs() / (d * CELL_M as f32);
            let inside = terrain.reservoir.as_ref().is_some_and(|r| r.cells[to]);
            let through = f32::from(houses[to]) * 6.0;
            d * (1.0 + 150.0 * grade + through) + if inside { 90.0 } else { 0.0 }
        };
        let south = n / 2 + n / 9;
        let (_, rail, _) = spread(terrain, &[south], &everywhere, rail_cost);
        let station = terrain.cell_at(self.town.0 + 1500.0, self.town.1 - 300.0);
        let north = (n - 1) * n + n / 2;
        let mut points = back_track(&rail, station, n);
        points.reverse();
        let (_, onward, _) = spread(terrain, &[north], &everywhere, rail_cost);
        points.extend(back_track(&onward, station, n).into_iter().skip(1));
        self.push_wide(LineKind::Railway, 9.0, &points);
        let west = (n / 2 - n / 10) * n;
        let east = (n / 2 + n / 12) * n + n - 1;
        let (_, new_road, _) = spread(terrain, &[west], &everywhere, rail_cost);
        let points = back_track(&new_road, east, n);
        self.push_wide(LineKind::NewRoad, 12.5, &points);
    }

    /// From a goal back to the first way met, and ends on its line.
    #[allow(clippy::too_many_arguments)]
    fn draw_way(
        &mut self,
        seed: u64,
        n: usize,
        kind: LineKind,
        half_width_m: f64,
        goal: usize,
        back: &[u32],
        way_of_cell: &mut [u32],
    ) {
        let mut at = goal;
        let mut cells = vec![position(at, n)];
        while back[at] as usize != at && way_of_cell[at] == u32::MAX {
            way_of_cell[at] = self.lines.len() as u32;
            at = back[at] as usize;
            cells.push(position(at, n));
        }
        if cells.len() < 2 {
            return;
        }
        let mut points = wander(seed ^ 5, &cells, 34.0);
        let joined = self.lines.get(way_of_cell[at] as usize);
        if let (Some(way), Some(last)) = (joined, points.last_mut()) {
            *last = nearest_on(&way.points, *last);
        }
        for _ in 0..3 {
            points = cut_corners(&points);
        }
        self.lines.push(Line {
            kind,
            half_width_m,
            points: eased(&points),
        });
    }

    /// How far the county town reaches, in metres.
    pub fn town_radius_m(&self) -> f64 {
        (260.0 + 95.0 * (self.villages.len() as f64).sqrt()).min(2600.0)
    }

    /// 1 for cells with houses or close to them.
    fn house_cells(&self, n: usize) -> Vec<u8> {
        let mut houses = vec![0; n * n];
        let town = (self.town, self.town_radius_m() * 1.35);
        let seats = self.villages.iter().map(|v| (v.seat, 330.0));
        for ((x, y), radius) in seats.chain([town]) {
            let cell = |v: f64| ((v / CELL_M).max(0.0) as usize).min(n - 1);
            for row in cell(y - radius)..=cell(y + radius) {
                for column in cell(x - radius)..=cell(x + radius) {
                    let (cx, cy) = position(row * n + column, n);
                    if (cx - x).hypot(cy - y) < radius {
                        houses[row * n + column] = 1;
                    }
                }
            }
        }
        houses
    }

    /// An engineered line: large radii.
    fn push_wide(&mut self, kind: LineKind, half_width_m: f64, cells: &[(f64, f64)]) {
        let mut points: Vec<_> = cells.iter().copied().step_by(4).collect();
        if let Some(&last) = cells.last() {
            points.push(last);
        }
        for _ in 0..5 {
            let before = points.clone();
            for k in 1..points.len().saturating_sub(1) {
                points[k].0 = (before[k - 1].0 + before[k].0 * 2.0 + before[k + 1].0) / 4.0;
                points[k].1 = (before[k - 1].1 + before[k].1 * 2.0 + before[k + 1].1) / 4.0;
            }
        }
        for _ in 0..3 {
            points = cut_corners(&points);
        }
        self.lines.push(Line {
            kind,
            half_width_m,
            points,
        });
    }

    fn draw_dam(&mut self, terrain: &Terrain) {
        let Some(reservoir) = &terrain.reservoir else {
            return;
        };
        let (x, y) = reservoir.dam_at;
        let (ux, uy) = (reservoir.downstream.1, -reservoir.downstream.0);
        let reach = |sign: f64| {
            let mut d = 0.0;
            while d < LONGEST_WING_M
                && terrain.sample(&terrain.height_m, x + sign * ux * d, y + sign * uy * d)
                    < f64::from(reservoir.level_m) + 3.0
            {
                d += 10.0;
            }
            (x + sign * ux * d, y + sign * uy * d)
        };
        let points = vec![reach(-1.0), (x, y), reach(1.0)];
        self.lines.push(Line {
            kind: LineKind::Dam,
            half_width_m: 13.0,
            points,
        });
    }

    /// Centre and radius in metres of a hamlet of a village; the first is the village itself.
    pub fn hamlet(
        &self,
        seed: u64,
        terrain: &Terrain,
        village: usize,
        k: i64,
    ) -> ((f64, f64), f64) {
        let (x, y) = self.villages[village].seat;
        let v = village as i64;
        if k == 0 {
            return ((x, y), 120.0 + 110.0 * unit(seed ^ 41, v, 0));
        }
        let mut best = ((x, y), f64::MAX);
        for attempt in 0..5 {
            let angle = std::f64::consts::TAU * unit(seed ^ 42, v * 7 + k, attempt);
            let distance = 450.0 + 850.0 * unit(seed ^ 43, v * 7 + k, attempt);
            let p = (x + distance * angle.cos(), y + distance * angle.sin());
            let i = terrain.cell_at(p.0, p.1);
            let wet = if terrain.above_river_m[i] < 2.0 {
                12.0
            } else {
                0.0
            };
            let drowned = match &terrain.reservoir {
                Some(r) if r.cells[i] => 1000.0,
                _ => 0.0,
            };
            let score = f64::from(terrain.slope_deg[i]) + wet + drowned;
            if score < best.1 {
                best = (p, score);
            }
        }
        (best.0, 45.0 + 90.0 * unit(seed ^ 44, v, k).powi(2))
    }
}

fn back_track(back: &[u32], from: usize, n: usize) -> Vec<(f64, f64)> {
    let mut at = from;
    let mut points = vec![position(at, n)];
    while back[at] as usize != at && back[at] != u32::MAX {
        at = back[at] as usize;
        points.push(position(at, n));
    }
    points
}

fn width_class(upstream_cells: f32) -> i32 {
    let ratio = f64::from(upstream_cells / Terrain::river_cells()).max(1.0);
    (ratio.log2() * 0.8) as i32
}

/// Each point moved by up to the amplitude, the same wherever it occurs.
fn wander(seed: u64, points: &[(f64, f64)], amplitude_m: f64) -> Vec<(f64, f64)> {
    points
        .iter()
        .map(|&(x, y)| {
            let shift = |s: u64| amplitude_m * 2.0 * (unit(seed ^ s, x as i64, y as i64) - 0.5);
            (x + shift(51), y + shift(52))
        })
        .collect()
}

/// The point of a line that is nearest to a place.
fn nearest_on(line: &[(f64, f64)], (x, y): (f64, f64)) -> (f64, f64) {
    let mut best = ((x, y), f64::MAX);
    for pair in line.windows(2) {
        let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
        let (dx, dy) = (bx - ax, by - ay);
        let f = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy).max(1e-9);
        let f = f.clamp(0.0, 1.0);
        let p = (ax + f * dx, ay + f * dy);
        let d = (p.0 - x).hypot(p.1 - y);
        if d < best.1 {
            best = (p, d);
        }
    }
    best.0
}

/// A line without the eight headings of the grid it came from; its ends stay.
fn eased(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut now = points.to_vec();
    for _ in 0..24 {
        let before = now.clone();
        for k in 1..now.len().saturating_sub(1) {
            now[k].0 = (before[k - 1].0 + 2.0 * before[k].0 + before[k + 1].0) / 4.0;
            now[k].1 = (before[k - 1].1 + 2.0 * before[k].1 + before[k + 1].1) / 4.0;
        }
    }
    now
}

/// Chaikin's corner cutting; the ends stay.
fn cut_corners(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let (Some(&first), Some(&last)) = (points.first(), points.last()) else {
        return Vec::new();
    };
    let mut out = vec![first];
    for pair in points.windows(2) {
        let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
        out.push((ax * 0.75 + bx * 0.25, ay * 0.75 + by * 0.25));
        out.push((ax * 0.25 + bx * 0.75, ay * 0.25 + by * 0.75));
    }
    out.push(last);
    out
}

/// Cheapest ways from several starts: cost, the previous cell, and the start each cell belongs to.
fn spread(
    terrain: &Terrain,
    starts: &[usize],
    allowed: &[bool],
    cost: impl Fn(usize, usize, f32) -> f32,
) -> (Vec<f32>, Vec<u32>, Vec<u32>) {
    let count = terrain.n * terrain.n;
    let mut total = vec![f32::MAX; count];
    let mut back = vec![u32::MAX; count];
    let mut owner = vec![u32::MAX; count];
    let mut heap = BinaryHeap::new();
    for (k, &s) in starts.iter().enumerate() {
        total[s] = 0.0;
        back[s] = s as u32;
        owner[s] = k as u32;
        heap.push(Reverse((0u32, s as u32)));
    }
    while let Some(Reverse((bits, i))) = heap.pop() {
        let i = i as usize;
        if f32::from_bits(bits) > total[i] {
            continue;
        }
        for (j, d) in neighbours(i, terrain.n) {
            let next = total[i] + cost(i, j, d);
            if allowed[j] && next < total[j] {
                total[j] = next;
                back[j] = i as u32;
                owner[j] = owner[i];
                heap.push(Reverse((next.to_bits(), j as u32)));
            }
        }
    }
    (total, back, owner)
}

fn village_seats(seed: u64, terrain: &Terrain) -> Vec<(f64, f64)> {
    let side = terrain.n as f64 * CELL_M;
    let steps = (side / VILLAGE_SPACING_M) as i64 + 1;
    let reach = (900.0 / CELL_M) as i64;
    let mut seats = Vec::new();
    for row in 0..steps {
        for column in 0..steps {
            let jitter = |s: u64| 0.25 + 0.5 * unit(seed ^ s, column, row);
            let shift = if row % 2 == 0 { 0.0 } else { 0.5 };
            let x = (column as f64 + jitter(61) + shift) * VILLAGE_SPACING_M;
            let y = (row as f64 + jitter(62)) * VILLAGE_SPACING_M;
            let (cx, cy) = ((x / CELL_M) as i64, (y / CELL_M) as i64);
            let mut best: Option<(f32, usize)> = None;
            for dy in -reach..=reach {
                for dx in -reach..=reach {
                    let (px, py) = (cx + dx, cy + dy);
                    let last = terrain.n as i64 - 2;
                    if px < 1 || py < 1 || px > last || py > last {
                        continue;
                    }
                    let i = (py * terrain.n as i64 + px) as usize;
                    if !terrain.in_county[i]
                        || terrain.reservoir.as_ref().is_some_and(|r| r.cells[i])
                    {
                        continue;
                    }
                    let above = terrain.above_river_m[i];
                    let wet = if above < 2.5 { 8.0 } else { 0.0 };
                    let score = terrain.slope_deg[i] + above * 0.06 + wet;
                    if best.is_none_or(|(s, _)| score < s) {
                        best = Some((score, i));
                    }
                }
            }
            if let Some((_, i)) = best {
                let seat = position(i, terrain.n);
                let apart = |&(ax, ay): &(f64, f64)| (seat.0 - ax).hypot(seat.1 - ay) > 1100.0;
                if seats.iter().rev().take(2 * steps as usize + 4).all(apart) {
                    seats.push(seat);
                }
            }
        }
    }
    if seats.is_empty() {
        seats.push((side / 2.0, side / 2.0));
    }
    seats
}

/// Townships by the nearest of well-spread seats; the first holds the county town.
fn townships(seed: u64, seats: &[(f64, f64)], town: usize) -> (Vec<Township>, Vec<usize>) {
    let count = (seats.len() / 14)
        .clamp(1.max(seats.len() / 900), 290)
        .max(1);
    let count = if seats.len() >= 6 {
        count.max(2)
    } else {
        count
    };
    let mut chosen = vec![town];
    let apart = |a: usize, b: usize| (seats[a].0 - seats[b].0).hypot(seats[a].1 - seats[b].1);
    let mut nearest: Vec<(f64, usize)> = (0..seats.len()).map(|i| (apart(i, town), 0)).collect();
    while chosen.len() < count {
        let far = (0..seats.len())
            .max_by(|&a, &b| {
                let weight = |i: usize| nearest[i].0 * (0.7 + 0.3 * unit(seed ^ 71, i as i64, 0));
                weight(a).total_cmp(&weight(b))
            })
            .expect("there are seats");
        chosen.push(far);
        for (i, near) in nearest.iter_mut().enumerate() {
            let d = apart(i, far);
            if d < near.0 {
                *near = (d, chosen.len() - 1);
            }
        }
    }
    let list = chosen
        .iter()
        .enumerate()
        .map(|(k, &i)| {
            let town_like = k < 100 && (k == 0 || hash(seed ^ 72, k as i64, 0) % 5 < 3);
            let (kind, number) = if town_like {
                ("镇", 100 + k)
            } else {
                ("乡", 200 + k)
            };
            let base = if k == 0 {
                "城关".to_string()
            } else {
                name(seed ^ 0x5a5a, k * 3 + 1)
            };
            Township {
                seat: seats[i],
                name: format!("{base}{kind}"),
                code: format!("{COUNTY_CODE}{number:03}"),
            }
        })
        .collect();
    (list, nearest.into_iter().map(|(_, k)| k).collect())
}
