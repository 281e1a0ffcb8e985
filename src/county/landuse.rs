//! What covers each cell of 5 m in both years: one label per cell, a function of its place alone.
//!
//! The county is labelled in square tiles. In each: smooth fields are sampled every fourth cell;
//! lines are stamped by distance; then every cell asks, in this order, whether it is way or water,
//! settlement, forest, field of the plain, or terrace. Specks below a dozen cells join the
//! neighbour they touch most. A tile is computed with a margin wide enough that its own cells do
//! not depend on where tiles begin, so neighbouring tiles agree.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::classes::Class;
use super::noise::{hash, octaves, unit};
use super::places::{LineKind, Places};
use super::terrain::{CELL_M as COARSE_M, Terrain, spline};

/// Side of a labelled cell in metres.
pub const CELL_M: f64 = 5.0;
/// Cells per side of a tile.
pub const TILE: usize = 256;
/// Side of a tile in metres.
pub const TILE_M: f64 = TILE as f64 * CELL_M;
const MARGIN: usize = 28;
/// Cells per side of a tile with its margin.
pub const WINDOW: usize = TILE + 2 * MARGIN;
const STEP: usize = 4;
const NODES: usize = WINDOW / STEP + 1;
/// Connected cells fewer than this are specks.
const SPECK_CELLS: usize = 12;
const CLASS_SHIFT: u32 = 26;

/// The class in a label.
pub fn class_of(label: u32) -> Class {
    Class::from_index((label >> CLASS_SHIFT) - 1)
}

fn label(class: Class, part: u64) -> u32 {
    ((class as u32 + 1) << CLASS_SHIFT) | (part as u32 & ((1 << CLASS_SHIFT) - 1))
}

/// The labels of a tile, rows from the south. Village 0 is outside the county.
pub struct Tile {
    pub village: Vec<u16>,
    pub before: Vec<u32>,
    /// `None` where nothing changed.
    pub after: Option<Vec<u32>>,
}

/// A place built over or dug up.
#[derive(Debug, Clone, Copy)]
pub struct Site {
    pub x: f64,
    pub y: f64,
    pub radius_m: f64,
    pub radius_after_m: f64,
    pub kind: SiteKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteKind {
    Village,
    Town,
    Industry,
    Quarry,
}

/// Smooth fields at the nodes of a tile, and between them.
pub struct Fields {
    pub height_m: Vec<f32>,
    slope_deg: Vec<f32>,
    above_river_m: Vec<f32>,
    pub u: Vec<f32>,
    pub v: Vec<f32>,
    forest: Vec<f32>,
    patch: Vec<f32>,
    crop: Vec<f32>,
    site: Vec<f32>,
    site_after: Vec<f32>,
    town: Vec<f32>,
    /// Above 0 where the water behind the dam may stand.
    basin: Vec<f32>,
    nearest_site: Vec<u32>,
}

impl Fields {
    pub fn at(field: &[f32], column: f64, row: f64) -> f64 {
        let (gx, gy) = (column / STEP as f64, row / STEP as f64);
        let (cx, cy) = ((gx as usize).min(NODES - 2), (gy as usize).min(NODES - 2));
        let (fx, fy) = (gx - cx as f64, gy - cy as f64);
        let i = cy * NODES + cx;
        let g = |k: usize| f64::from(field[k]);
        (g(i) * (1.0 - fx) + g(i + 1) * fx) * (1.0 - fy)
            + (g(i + NODES) * (1.0 - fx) + g(i + NODES + 1) * fx) * fy
    }
}

/// A tile with the margin and fields it was made from.
pub struct Workings {
    pub tx: i64,
    pub ty: i64,
    pub fields: Fields,
    pub before: Vec<u32>,
    pub after: Vec<u32>,
    village: Vec<u16>,
}

/// The rules of the land, ready to label any tile.
pub struct LandUse<'a> {
    seed: u64,
    terrain: &'a Terrain,
    places: &'a Places,
    basin: Vec<u32>,
    pub sites: Vec<Site>,
    sites_of_tile: BTreeMap<(i64, i64), Vec<u32>>,
    segments_of_tile: BTreeMap<(i64, i64), Vec<(u32, u32)>>,
}

impl<'a> LandUse<'a> {
    pub fn new(seed: u64, terrain: &'a Terrain, places: &'a Places) -> Self {
        let mut land = LandUse {
            seed,
            terrain,
            places,
            basin: basins(terrain),
            sites: Vec::new(),
            sites_of_tile: BTreeMap::new(),
            segments_of_tile: BTreeMap::new(),
        };
        land.found_sites();
        land.index();
        land
    }

    fn found_sites(&mut self) {
        let (seed, terrain, places) = (self.seed, self.terrain, self.places);
        let mut push = |x, y, radius_m: f64, growth: f64, kind| {
            self.sites.push(Site {
                x,
                y,
                radius_m,
                radius_after_m: radius_m + growth,
                kind,
            });
        };
        let town_radius = places.town_radius_m();
        push(
            places.town.0,
            places.town.1,
            town_radius,
            0.10 * town_radius,
            SiteKind::Town,
        );
        for (k, t) in places.townships.iter().enumerate().skip(1) {
            let r = 230.0 + 220.0 * unit(seed ^ 81, k as i64, 0);
            push(t.seat.0, t.seat.1, r, 0.12 * r, SiteKind::Town);
            if unit(seed ^ 82, k as i64, 0) < 0.5 {
                let a = std::f64::consts::TAU * unit(seed ^ 83, k as i64, 0);
                push(
                    t.seat.0 + (r + 220.0) * a.cos(),
                    t.seat.1 + (r + 220.0) * a.sin(),
                    130.0,
                    70.0,
                    SiteKind::Industry,
                );
            }
        }
        for k in 0..4 {
            let a = 1.1 + 1.57 * f64::from(k) + unit(seed ^ 84, i64::from(k), 0);
            let d = town_radius * 1.05;
            push(
                places.town.0 + d * a.cos(),
                places.town.1 + d * a.sin(),
                town_radius * 0.28,
                town_radius * 0.10,
                SiteKind::Industry,
            );
        }
        for v in 0..places.villages.len() {
            for k in 0..6 {
                if k > 1 && unit(seed ^ 85, v as i64, k) < 0.3 {
                    continue;
                }
                let ((x, y), r) = places.hamlet(seed, terrain, v, k);
                let grows = unit(seed ^ 86, v as i64, k);
                push(
                    x,
                    y,
                    r,
                    if grows < 0.45 {
                        6.0 + 40.0 * grows
                    } else {
                        0.0
                    },
                    SiteKind::Village,
                );
            }
        }
        for (x, y, r) in quarries(seed, terrain, places) {
            push(x, y, r, 35.0, SiteKind::Quarry);
        }
    }

    fn index(&mut self) {
        let tile_of = |v: f64| (v / TILE_M).floor() as i64;
        for (k, site) in self.sites.iter().enumerate() {
            let reach = site.radius_after_m * 1.6 + 900.0;
            for ty in tile_of(site.y - reach)..=tile_of(site.y + reach) {
                for tx in tile_of(site.x - reach)..=tile_of(site.x + reach) {
                    self.sites_of_tile
                        .entry((tx, ty))
                        .or_default()
                        .push(k as u32);
                }
            }
        }
        for (k, line) in self.places.lines.iter().enumerate() {
            let reach = line.half_width_m + (MARGIN + 2) as f64 * CELL_M;
            for (s, pair) in line.points.windows(2).enumerate() {
                let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
                for ty in tile_of(ay.min(by) - reach)..=tile_of(ay.max(by) + reach) {
                    for tx in tile_of(ax.min(bx) - reach)..=tile_of(ax.max(bx) + reach) {
                        let list = self.segments_of_tile.entry((tx, ty)).or_default();
                        list.push((k as u32, s as u32));
                    }
                }
            }
        }
    }

    /// Labels a tile.
    pub fn tile(&self, tx: i64, ty: i64) -> (Tile, Workings) {
        let fields = self.fields(tx, ty);
        let (lines, lines_after) = self.stamp(tx, ty);
        let (x0, y0) = origin(tx, ty);
        let mut work = Workings {
            tx,
            ty,
            fields,
            before: vec![0; WINDOW * WINDOW],
            after: vec![0; WINDOW * WINDOW],
            village: vec![0; WINDOW * WINDOW],
        };
        for row in 0..WINDOW {
            for column in 0..WINDOW {
                let i = row * WINDOW + column;
                let x = (x0 + column as i64) as f64 * CELL_M + CELL_M / 2.0;
                let y = (y0 + row as i64) as f64 * CELL_M + CELL_M / 2.0;
                let village = self.vote(&self.places.village_of_cell, x, y);
                work.village[i] = village as u16;
                let spot = Spot::new(&work.fields, column as f64 + 0.5, row as f64 + 0.5, x, y);
                let natural = self.natural(&spot);
                let before = self.covered(&spot, natural, lines[i], spot.site, 0);
                let after = self.covered(
                    &spot,
                    changed(self.seed, natural, spot.town),
                    lines_after[i],
                    spot.site_after,
                    1,
                );
                work.before[i] = before;
                // What was built stays as it was, whatever the plans of the second year are.
                work.after[i] =
                    if lines[i] == lines_after[i] && class_is_built(before) && spot.site > 0.0 {
                        before
                    } else {
                        after
                    };
            }
        }
        for _ in 0..2 {
            absorb_specks(&mut work);
        }
        let cut = |source: &[u32]| -> Vec<u32> {
            (0..TILE * TILE)
                .map(|i| source[(i / TILE + MARGIN) * WINDOW + i % TILE + MARGIN])
                .collect()
        };
        let before = cut(&work.before);
        let after = cut(&work.after);
        let village = (0..TILE * TILE)
            .map(|i| work.village[(i / TILE + MARGIN) * WINDOW + i % TILE + MARGIN])
            .collect();
        let after = (after != before).then_some(after);
        (
            Tile {
                village,
                before,
                after,
            },
            work,
        )
    }

    fn fields(&self, tx: i64, ty: i64) -> Fields {
        let (x0, y0) = origin(tx, ty);
        let none = Vec::new();
        let sites = self.sites_of_tile.get(&(tx, ty)).unwrap_or(&none);
        let count = NODES * NODES;
        let mut f = Fields {
            height_m: Vec::with_capacity(count),
            slope_deg: Vec::with_capacity(count),
            above_river_m: Vec::with_capacity(count),
            u: Vec::with_capacity(count),
            v: Vec::with_capacity(count),
            forest: Vec::with_capacity(count),
            patch: Vec::with_capacity(count),
            crop: Vec::with_capacity(count),
            site: Vec::with_capacity(count),
            site_after: Vec::with_capacity(count),
            town: Vec::with_capacity(count),
            basin: Vec::with_capacity(count),
            nearest_site: Vec::with_capacity(count),
        };
        let (s, t) = (self.seed, self.terrain);
        for row in 0..NODES {
            for column in 0..NODES {
                let x = (x0 + (column * STEP) as i64) as f64 * CELL_M;
                let y = (y0 + (row * STEP) as i64) as f64 * CELL_M;
                let slope = t.sample(&t.slope_deg, x, y);
                let detail = octaves(s ^ 90, x / 260.0, y / 260.0, 3, 0.5);
                let roughness = (slope * 0.5).min(5.0);
                f.height_m
                    .push((t.sample(&t.height_m, x, y) + detail * roughness) as f32);
                f.slope_deg.push(slope as f32);
                f.above_river_m
                    .push(t.sample(&t.above_river_m, x, y) as f32);
                // Fields lean with a turn that drifts over kilometres.
                let wu = 700.0 * octaves(s ^ 91, x / 4200.0, y / 4200.0, 2, 0.4) + detail * 7.0;
                let wv = 700.0 * octaves(s ^ 92, x / 4200.0, y / 4200.0, 2, 0.4) - detail * 7.0;
                f.u.push((0.93 * x + 0.36 * y + wu) as f32);
                f.v.push((0.93 * y - 0.36 * x + wv) as f32);
                f.forest
                    .push(octaves(s ^ 93, x / 1300.0, y / 1300.0, 4, 0.55) as f32);
                f.patch
                    .push(octaves(s ^ 94, x / 620.0, y / 620.0, 4, 0.55) as f32);
                f.crop
                    .push(octaves(s ^ 95, x / 2300.0, y / 2300.0, 3, 0.5) as f32);
                let wobble = octaves(s ^ 96, x / 110.0, y / 110.0, 2, 0.5);
                let (mut now, mut then, mut town, mut which) =
                    (-900.0f64, -900.0f64, -900.0f64, u32::MAX);
                for &k in sites {
                    let site = &self.sites[k as usize];
                    let d = (x - site.x).hypot(y - site.y);
                    let w = 0.38 * wobble * site.radius_m.min(420.0);
                    if site.radius_m - d + w > now {
                        now = site.radius_m - d + w;
                        which = k;
                    }
                    then = then.max(site.radius_after_m - d + w);
                    if site.kind == SiteKind::Town {
                        town = town.max(site.radius_m - d);
                    }
                }
                f.site.push(now as f32);
                f.site_after.push(then as f32);
                f.town.push(town as f32);
                f.basin.push(self.basin_of_dam(x, y) as f32);
                f.nearest_site.push(which);
            }
        }
        f
    }

    /// The strongest line over each cell, before and after.
    fn stamp(&self, tx: i64, ty: i64) -> (Vec<u8>, Vec<u8>) {
        let mut before = vec![0u8; WINDOW * WINDOW];
        let mut after = before.clone();
        let (x0, y0) = origin(tx, ty);
        let none = Vec::new();
        for &(k, s) in self.segments_of_tile.get(&(tx, ty)).unwrap_or(&none) {
            let line = &self.places.lines[k as usize];
            let ((ax, ay), (bx, by)) = (line.points[s as usize], line.points[s as usize + 1]);
            let (ax, ay) = (ax / CELL_M - x0 as f64, ay / CELL_M - y0 as f64);
            let (bx, by) = (bx / CELL_M - x0 as f64, by / CELL_M - y0 as f64);
            let reach = line.half_width_m / CELL_M;
            let last = WINDOW as f64 - 1.0;
            let span = |a: f64, b: f64| {
                let low = (a.min(b) - reach - 0.5).max(0.0);
                let high = (a.max(b) + reach + 0.5).min(last);
                (low as usize, high, high < low)
            };
            let (c0, c1, empty_c) = span(ax, bx);
            let (r0, r1, empty_r) = span(ay, by);
            if empty_c || empty_r {
                continue;
            }
            let mark = line_mark(line.kind, line.half_width_m);
            let (dx, dy) = (bx - ax, by - ay);
            let length2 = (dx * dx + dy * dy).max(1e-12);
            for row in r0..=r1 as usize {
                for column in c0..=c1 as usize {
                    let (px, py) = (column as f64 + 0.5 - ax, row as f64 + 0.5 - ay);
                    let f = ((px * dx + py * dy) / length2).clamp(0.0, 1.0);
                    let (ex, ey) = (px - f * dx, py - f * dy);
                    if ex * ex + ey * ey <= reach * reach {
                        let i = row * WINDOW + column;
                        after[i] = after[i].max(mark);
                        if line.kind != LineKind::NewRoad {
                            before[i] = before[i].max(mark);
                        }
                    }
                }
            }
        }
        (before, after)
    }

    /// What a smoothed vote of coarse cells says at a place; the vote is taken a little aside, so
    /// that borders are not as smooth as the vote.
    fn vote(&self, field: &[u32], x: f64, y: f64) -> u32 {
        let t = self.terrain;
        let (gx, gy) = (x / COARSE_M, y / COARSE_M);
        let (cx, cy) = (gx.floor(), gy.floor());
        let n = t.n as i64;
        let at = |dx: i64, dy: i64| {
            let column = (cx as i64 + dx).clamp(0, n - 1);
            let row = (cy as i64 + dy).clamp(0, n - 1);
            field[(row * n + column) as usize]
        };
        let middle = at(0, 0);
        let same = (-1..=1).all(|dy| (-1..=1).all(|dx| at(dx, dy) == middle));
        if same {
            return middle;
        }
        let (wx, wy) = (spline(gx - cx), spline(gy - cy));
        let mut tally: [(u32, f64); 9] = [(0, 0.0); 9];
        let mut used = 0;
        for dy in 0..3 {
            for dx in 0..3 {
                let id = at(dx - 1, dy - 1);
                let w = wx[dx as usize] * wy[dy as usize];
                match tally[..used].iter_mut().find(|entry| entry.0 == id) {
                    Some(entry) => entry.1 += w,
                    None => {
                        tally[used] = (id, w);
                        used += 1;
                    }
                }
            }
        }
        tally[..used]
            .iter()
            .fold((0, -1.0), |best, &(id, w)| {
                if w > best.1 || (w == best.1 && id < best.0) {
                    (id, w)
                } else {
                    best
                }
            })
            .0
    }

    pub fn is_in_county(&self, x: f64, y: f64) -> bool {
        self.vote(&self.places.village_of_cell, x, y) > 0
    }

    /// What grows here without ways and settlements.
    fn natural(&self, spot: &Spot) -> u32 {
        let forestness = (spot.slope - 8.0) / 7.0
            + 0.75 * spot.forest
            + 0.3 * spot.patch
            + (spot.above_river - 45.0) / 160.0;
        if forestness > 0.22 {
            let basin = self.vote(
                &self.basin,
                spot.x + spot.patch * 60.0,
                spot.y - spot.patch * 60.0,
            );
            let class = if spot.slope > 24.0 && spot.patch > 0.45 {
                Class::Bare
            } else if spot.slope > 19.0 && spot.forest + 0.5 * spot.patch > 0.1
                || spot.patch < -0.62
            {
                Class::Scrub
            } else if spot.crop > 0.45 && spot.patch > 0.1 {
                Class::Bamboo
            } else if spot.patch > 0.72 {
                Class::Grass
            } else if spot.forest < -0.25 {
                Class::OtherWoods
            } else {
                Class::Woods
            };
            return label(class, hash(self.seed ^ 100, i64::from(basin), 0));
        }
        if spot.slope < 4.2 {
            self.plain(spot)
        } else {
            self.terraces(spot, forestness)
        }
    }

    /// Blocks between field roads and ditches, split again and again into fields.
    fn plain(&self, spot: &Spot) -> u32 {
        const WIDE: f64 = 330.0;
        const LONG: f64 = 230.0;
        let s = self.seed;
        let bu = (spot.u / WIDE).floor();
        let offset = LONG * unit(s ^ 101, bu as i64, 0);
        let bv = ((spot.v + offset) / LONG).floor();
        let (mut a, mut b) = (spot.u - bu * WIDE, spot.v + offset - bv * LONG);
        let block = hash(s ^ 102, bu as i64, bv as i64);
        // A way or ditch along the west and the south side of some blocks.
        let west = unit(s ^ 103, bu as i64, bv as i64 / 5);
        if a < 6.4 && west < 0.62 {
            return if west < 0.34 {
                label(Class::Lane, 7)
            } else {
                label(Class::Ditch, 7)
            };
        }
        let south = unit(s ^ 104, bu as i64, bv as i64);
        if b < 6.0 && south < 0.34 {
            return if south < 0.2 {
                label(Class::Ditch, 8)
            } else {
                label(Class::Lane, 8)
            };
        }
        let (mut w, mut h) = (WIDE, LONG);
        let mut id = block;
        let target = 2600.0 + 15_000.0 * unit(block, 1, 0).powi(2);
        for depth in 0..5 {
            if w * h < target * (0.7 + 0.9 * unit(id, 2, depth)) {
                break;
            }
            let ratio = 0.36 + 0.28 * unit(id, 3, depth);
            let lean = 0.22 * (unit(id, 4, depth) - 0.5);
            let (side, along_w) = if w > h * 1.15 {
                (a + lean * (b - h / 2.0) < w * ratio, true)
            } else {
                (b + lean * (a - w / 2.0) < h * ratio, false)
            };
            match (along_w, side) {
                (true, true) => w *= ratio,
                (true, false) => {
                    a -= w * ratio;
                    w *= 1.0 - ratio;
                }
                (false, true) => h *= ratio,
                (false, false) => {
                    b -= h * ratio;
                    h *= 1.0 - ratio;
                }
            }
            id = hash(id, i64::from(side), depth);
        }
        let pick = unit(id, 9, 0);
        let low = spot.above_river < 14.0;
        let class = if low && pick < 0.05 + 0.10 * spot.patch.max(0.0) {
            Class::Pond
        } else if pick > 0.985 {
            Class::FarmYard
        } else if pick > 0.955 - 0.12 * (spot.crop - 0.2).max(0.0) {
            Class::Orchard
        } else if pick > 0.935 {
            Class::OtherWoods
        } else if pick > 0.928 {
            Class::Grass
        } else if spot.above_river < 9.0 + 8.0 * spot.crop {
            Class::Paddy
        } else if spot.crop > -0.1 {
            Class::Irrigated
        } else {
            Class::Dry
        };
        label(class, id)
    }

    /// Steps along the contours, cut across here and there.
    fn terraces(&self, spot: &Spot, forestness: f64) -> u32 {
        let s = self.seed;
        let steep = ((spot.slope - 4.0) / 10.0).clamp(0.0, 1.0);
        let rise = if steep < 0.35 { 4.0 } else { 8.0 };
        let wide = (spot.u / 610.0).floor();
        let band =
            ((spot.height + 1.3 * spot.patch) / rise + unit(s ^ 110, wide as i64, 0)).floor();
        let key = hash(s ^ 111, band as i64, rise as i64);
        let shift = unit(key, 1, 0);
        let length = 110.0 + 120.0 * unit(key, 2, 0);
        let iu = (spot.u / length + shift + 0.12 * (spot.v / 90.0).sin()).floor();
        let iv = (spot.v / (length * 1.2) + unit(key, 3, 0)).floor();
        let id = hash(key ^ s, iu as i64, iv as i64);
        let pick = unit(id, 4, 0);
        let region = spot.crop + 0.25 * (unit(id, 5, 0) - 0.5);
        let class = if pick < 0.10 + 0.35 * (forestness + 0.1).max(0.0) {
            if pick < 0.07 {
                Class::OtherWoods
            } else {
                Class::Woods
            }
        } else if pick > 0.95 {
            Class::Grass
        } else if pick > 0.94 {
            Class::Pond
        } else if region > 0.34 {
            if spot.height > 260.0 {
                Class::Tea
            } else {
                Class::Orchard
            }
        } else if spot.above_river < 12.0 && spot.crop > -0.25 {
            Class::Paddy
        } else {
            Class::Dry
        };
        // Woods and grass between terraces run together instead of keeping every step.
        match class {
            Class::Woods | Class::OtherWoods | Class::Grass => {
                label(class, hash(s ^ 112, (band / 3.0).floor() as i64, iv as i64))
            }
            _ => label(class, id),
        }
    }

    /// Water, ways and settlements over what would grow.
    fn covered(&self, spot: &Spot, natural: u32, line: u8, site: f64, year: i64) -> u32 {
        let line_class = match line {
            0 => None,
            1 => Some(Class::Ditch),
            2 => Some(Class::River),
            3 => Some(Class::Lane),
            4..=6 => Some(Class::Road),
            7 => Some(Class::Railway),
            _ => Some(Class::Dam),
        };
        if let Some(class) = line_class
            && line > 2
        {
            return label(class, u64::from(line));
        }
        if let Some(reservoir) = &self.terrain.reservoir
            && spot.height < f64::from(reservoir.level_m)
            && spot.basin > 0.0
        {
            return label(Class::Reservoir, 1);
        }
        if line == 2 {
            return label(Class::River, 1);
        }
        if site > 0.0 && spot.slope < 17.0 && spot.nearest_site != u32::MAX {
            return self.built(spot, year);
        }
        match line_class {
            Some(class) => label(class, 3),
            None => natural,
        }
    }

    /// Above 0 upstream of the dam among the cells that drain to it, with a smooth outline.
    fn basin_of_dam(&self, x: f64, y: f64) -> f64 {
        const REACH_M: f64 = 900.0;
        let t = self.terrain;
        let Some(reservoir) = &t.reservoir else {
            return -1.0;
        };
        let (dx, dy) = (x - reservoir.dam_at.0, y - reservoir.dam_at.1);
        let below = dx * reservoir.downstream.0 + dy * reservoir.downstream.1;
        if below > 0.0 && dx.hypot(dy) < REACH_M {
            return -1.0;
        }
        t.sample(&reservoir.share, x, y) - 0.25
    }

    /// Streets and blocks of a settlement.
    fn built(&self, spot: &Spot, year: i64) -> u32 {
        let site = &self.sites[spot.nearest_site as usize];
        let number = i64::from(spot.nearest_site);
        let s = self.seed ^ 120;
        let angle = 1.5 * unit(s, number, 0);
        let (dx, dy) = (
            spot.x - site.x + 9.0 * spot.patch,
            spot.y - site.y - 9.0 * spot.patch,
        );
        let (u, v) = (
            dx * angle.cos() + dy * angle.sin(),
            dy * angle.cos() - dx * angle.sin(),
        );
        let (wide, long, street) = match site.kind {
            SiteKind::Quarry => return label(Class::Quarry, 1),
            SiteKind::Town => (150.0, 110.0, 8.0),
            SiteKind::Industry => (210.0, 150.0, 7.0),
            SiteKind::Village => (74.0, 46.0, 3.4),
        };
        let bu = (u / wide).floor();
        let bv = (v / long + 0.5 * unit(s, number ^ 77, bu as i64)).floor();
        let b = v + 0.5 * long * unit(s, number ^ 77, bu as i64) - bv * long;
        let a = u - bu * wide;
        let id = hash(s ^ number as u64, bu as i64, bv as i64);
        let lane_here = unit(id, 8, 0) < 0.6 || site.kind != SiteKind::Village;
        if (a < street && lane_here) || (b < street && unit(id, 9, 0) < 0.7) {
            return label(Class::Street, 5);
        }
        let part = match site.kind {
            SiteKind::Town if unit(id, 3, 0) < 0.6 => {
                i64::from(a > wide * 0.52) + 2 * i64::from(b > long * 0.5)
            }
            SiteKind::Town | SiteKind::Industry | SiteKind::Village | SiteKind::Quarry => 0,
        };
        let lot = hash(id, part, 1);
        let pick = unit(lot, 5, 0);
        let centre = (site.radius_m - dx.hypot(dy)) / site.radius_m;
        let class = match site.kind {
            SiteKind::Town => match pick {
                p if p < 0.08 => Class::Offices,
                p if p < 0.17 => Class::Schools,
                p if p < 0.25 + 0.25 * centre.max(0.0) => Class::Shops,
                p if p > 0.97 => Class::Utilities,
                p if p > 0.91 => Class::Park,
                p if p > 0.87 => Class::Vacant,
                _ => Class::TownHousing,
            },
            SiteKind::Industry => match pick {
                p if p < 0.78 => Class::Factory,
                p if p < 0.93 => Class::Storage,
                _ => Class::Vacant,
            },
            SiteKind::Village | SiteKind::Quarry => match pick {
                p if p < 0.03 => Class::Schools,
                p if p < 0.05 => Class::Offices,
                p if p < 0.13 => Class::Vacant,
                p if p < 0.20 => Class::OtherWoods,
                p if p < 0.23 => Class::Pond,
                _ => Class::Homestead,
            },
        };
        match class {
            // Houses stand wall to wall: several blocks are one parcel.
            Class::Homestead => label(
                class,
                hash(s, number, (bu / 2.0).floor() as i64 + 1000 * year),
            ),
            _ => label(class, lot),
        }
    }
}

/// The values of all fields at one cell.
struct Spot {
    x: f64,
    y: f64,
    height: f64,
    slope: f64,
    above_river: f64,
    u: f64,
    v: f64,
    forest: f64,
    patch: f64,
    crop: f64,
    site: f64,
    site_after: f64,
    town: f64,
    basin: f64,
    nearest_site: u32,
}

impl Spot {
    fn new(f: &Fields, column: f64, row: f64, x: f64, y: f64) -> Spot {
        let at = |field: &[f32]| Fields::at(field, column, row);
        let node =
            (row / STEP as f64).round() as usize * NODES + (column / STEP as f64).round() as usize;
        Spot {
            x,
            y,
            height: at(&f.height_m),
            slope: at(&f.slope_deg),
            above_river: at(&f.above_river_m),
            u: at(&f.u),
            v: at(&f.v),
            forest: at(&f.forest),
            patch: at(&f.patch),
            crop: at(&f.crop),
            site: at(&f.site),
            site_after: at(&f.site_after),
            town: at(&f.town),
            basin: at(&f.basin),
            nearest_site: f.nearest_site[node],
        }
    }
}

/// First cell of a tile's window.
pub fn origin(tx: i64, ty: i64) -> (i64, i64) {
    (
        tx * TILE as i64 - MARGIN as i64,
        ty * TILE as i64 - MARGIN as i64,
    )
}

fn line_mark(kind: LineKind, half_width_m: f64) -> u8 {
    match kind {
        LineKind::Stream if half_width_m < 5.0 => 1,
        LineKind::Stream | LineKind::River => 2,
        LineKind::Lane => 3,
        LineKind::TownshipRoad => 4,
        LineKind::TrunkRoad => 5,
        LineKind::NewRoad => 6,
        LineKind::Railway => 7,
        LineKind::Dam => 8,
    }
}

fn class_is_built(label: u32) -> bool {
    label != 0 && class_of(label).group() == super::classes::Group::Construction
}

/// What five years make of a field, pond or wood.
fn changed(seed: u64, natural: u32, town: f64) -> u32 {
    let class = class_of(natural);
    let part = u64::from(natural & ((1 << CLASS_SHIFT) - 1));
    let p = unit(seed ^ 130, i64::from(natural), 0);
    let near_town = town > -850.0;
    let next = match class {
        Class::Paddy | Class::Irrigated | Class::Dry if near_town && p < 0.05 => Class::Factory,
        Class::Paddy | Class::Irrigated | Class::Dry if p > 0.982 => Class::Orchard,
        Class::Paddy | Class::Irrigated | Class::Dry if p > 0.974 => Class::OtherWoods,
        Class::Paddy | Class::Irrigated | Class::Dry if p > 0.969 => Class::FarmYard,
        Class::Pond if p < 0.10 => Class::Paddy,
        Class::Orchard | Class::Tea if p < 0.03 => Class::Dry,
        Class::Grass if p < 0.08 => Class::Woods,
        other => other,
    };
    if next == class {
        natural
    } else {
        label(next, part)
    }
}

/// Place and radius of quarries: on slopes beside some villages, and at least a few.
fn quarries(seed: u64, terrain: &Terrain, places: &Places) -> Vec<(f64, f64, f64)> {
    const AT_LEAST: usize = 3;
    let mut candidates: Vec<(bool, f32, usize, f64, f64)> = places
        .villages
        .iter()
        .enumerate()
        .map(|(v, village)| {
            let a = std::f64::consts::TAU * unit(seed ^ 88, v as i64, 0);
            let (x, y) = village.seat;
            let (x, y) = (x + 950.0 * a.cos(), y + 950.0 * a.sin());
            let cell = terrain.cell_at(x, y);
            let slope = terrain.slope_deg[cell];
            let slope = if terrain.in_county[cell] { slope } else { -1.0 };
            let is_chosen = slope > 5.0 && unit(seed ^ 87, v as i64, 0) < 0.30;
            (is_chosen, slope, v, x, y)
        })
        .collect();
    candidates.sort_by(|a, b| {
        (b.0, b.1)
            .partial_cmp(&(a.0, a.1))
            .unwrap_or(Ordering::Equal)
    });
    let chosen = candidates.iter().filter(|c| c.0).count();
    candidates.truncate(chosen.max(AT_LEAST));
    candidates.sort_by_key(|c| c.2);
    candidates
        .into_iter()
        .filter(|c| c.1 >= 0.0)
        .map(|(_, _, v, x, y)| (x, y, 60.0 + 110.0 * unit(seed ^ 89, v as i64, 0)))
        .collect()
}

/// The small catchment each coarse cell lies in.
fn basins(terrain: &Terrain) -> Vec<u32> {
    let count = terrain.n * terrain.n;
    let mut order: Vec<u32> = (0..count as u32).collect();
    order.sort_unstable_by_key(|&i| (terrain.height_m[i as usize].max(0.0).to_bits(), i));
    let mut basin = vec![0u32; count];
    for &i in &order {
        let k = i as usize;
        let to = terrain.receiver[k] as usize;
        let begins = to == k
            || (terrain.upstream[k] >= 30.0 && terrain.upstream[to] - terrain.upstream[k] >= 16.0);
        basin[k] = if begins { i + 1 } else { basin[to] };
    }
    basin
}

/// Gives connected groups below [`SPECK_CELLS`] to the neighbour they touch most.
fn absorb_specks(work: &mut Workings) {
    let same = |w: &Workings, a: usize, b: usize| {
        w.before[a] == w.before[b] && w.after[a] == w.after[b] && w.village[a] == w.village[b]
    };
    let mut seen = vec![false; WINDOW * WINDOW];
    let mut moves: Vec<(usize, usize)> = Vec::new();
    let mut group = Vec::new();
    for start in 0..WINDOW * WINDOW {
        if seen[start] {
            continue;
        }
        seen[start] = true;
        group.clear();
        group.push(start);
        let mut next = 0;
        let mut touched: Vec<(usize, u32)> = Vec::new();
        while next < group.len() {
            let i = group[next];
            next += 1;
            for j in around(i) {
                if same(work, i, j) {
                    if !seen[j] {
                        seen[j] = true;
                        group.push(j);
                    }
                } else if group.len() < SPECK_CELLS {
                    match touched.iter_mut().find(|(k, _)| same(work, *k, j)) {
                        Some(entry) => entry.1 += 1,
                        None => touched.push((j, 1)),
                    }
                }
            }
        }
        if group.len() >= SPECK_CELLS {
            continue;
        }
        let village = work.village[start];
        let rank = |&(k, count): &(usize, u32)| {
            (
                work.village[k] == village,
                count,
                work.before[k],
                work.after[k],
                work.village[k],
            )
        };
        if let Some((to, _)) = touched.iter().max_by_key(|entry| rank(entry)) {
            moves.extend(group.iter().map(|&i| (i, *to)));
        }
    }
    let values: Vec<_> = moves
        .iter()
        .map(|&(i, to)| (i, work.before[to], work.after[to], work.village[to]))
        .collect();
    for (i, before, after, village) in values {
        (work.before[i], work.after[i], work.village[i]) = (before, after, village);
    }
}

fn around(i: usize) -> impl Iterator<Item = usize> {
    let (x, y) = (i % WINDOW, i / WINDOW);
    [
        (x + 1 < WINDOW).then(|| i + 1),
        (y + 1 < WINDOW).then(|| i + WINDOW),
        (x > 0).then(|| i - 1),
        (y > 0).then(|| i - WINDOW),
    ]
    .into_iter()
    .flatten()
}
