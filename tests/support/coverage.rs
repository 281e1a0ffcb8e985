//! What the tiles of a coverage show, point by point, beside what its source has there.
//!
//! Shared by a bench and a test: the same numbers for archives of any maker. Classes are taken on
//! points between the positions of a tile's grid, so that none lies on a border.
#![allow(dead_code, reason = "each user takes its own part")]

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use gdal::vector::Geometry;
use geozero::mvt::{Message, Tile};
use libdeflater::Decompressor;
use onemap::format::fgb::ValueRef;
use onemap::model::TileCoord;
use onemap::model::grids::web_mercator_quad;
use onemap::store::Snapshot;

/// The layer within the tiles, and the attribute that is its class.
pub const LAYER: &str = "parcels";
const CLASS: &str = "DLBM";
pub const SIDE: usize = 4096;
const PIXEL: usize = 16;
const RIM: usize = 4;

/// A tile beside its source; shares of the layer's points in the tile, less a rim.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Numbers {
    /// No polygon covers them.
    pub gap: f64,
    /// Surplus polygons per point.
    pub overlap: f64,
    /// Shown in the wrong class over all: half the sum of differences.
    pub class: f64,
    /// With the class they have in the source, of all points and of the middles of 256 × 256 pixels.
    pub right_points: f64,
    pub right_pixels: f64,
    /// Polygons that GEOS rejects, of how many.
    pub invalid: usize,
    pub polygons: usize,
    /// Before compression.
    pub bytes: usize,
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "gap {:.4} % overlap {:.4} % class {:.3} % points {:.2} % pixels {:.2} % invalid {} of {}, {} kB",
            100.0 * self.gap,
            100.0 * self.overlap,
            100.0 * self.class,
            100.0 * self.right_points,
            100.0 * self.right_pixels,
            self.invalid,
            self.polygons,
            self.bytes / 1000
        )
    }
}

pub fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let Some(length) = bytes
        .last_chunk::<4>()
        .filter(|_| bytes.starts_with(&[0x1F, 0x8B]))
    else {
        return bytes.to_vec();
    };
    let mut out = vec![0; u32::from_le_bytes(*length) as usize];
    let mut decompressor = Decompressor::new();
    decompressor.gzip_decompress(bytes, &mut out).expect("gzip");
    out
}

pub fn middle_tile(snapshot: &Arc<Snapshot>, z: u8) -> TileCoord {
    let warp = snapshot.warp(3857).expect("a transform");
    let [x, y] = warp
        .to_grid
        .bbox(&snapshot.manifest.bbox_in_layer_crs)
        .center();
    let grid = web_mercator_quad();
    let point = onemap::geom::Bbox::new(x, y, x, y);
    let [x, y, ..] = grid
        .tiles_in_bbox(z, &point)
        .expect("a zoom")
        .expect("a tile");
    TileCoord { z, x, y }
}

/// Classes (from 1; 0 is outside) and how many polygons there are, at the middle of every unit.
pub struct Raster {
    pub classes: Vec<u8>,
    covers: Vec<u8>,
    names: HashMap<String, u8>,
}

impl Raster {
    fn new(names: HashMap<String, u8>) -> Raster {
        Raster {
            classes: vec![0; SIDE * SIDE],
            covers: vec![0; SIDE * SIDE],
            names,
        }
    }

    fn class(&mut self, name: &str) -> u8 {
        let next = self.names.len() as u8 + 1;
        *self.names.entry(name.to_string()).or_insert(next)
    }

    /// Fills the inside of rings by the even-odd rule.
    fn fill(&mut self, rings: &[Vec<[f64; 2]>], class: u8) {
        let mut crossings: Vec<(usize, f64)> = Vec::new();
        for pair in rings.iter().flat_map(|ring| ring.windows(2)) {
            let ([ax, ay], [bx, by]) = (pair[0], pair[1]);
            let (low, high) = (ay.min(by), ay.max(by));
            let rows = (low - 0.5).ceil().max(0.0) as usize
                ..(high - 0.5).ceil().clamp(0.0, SIDE as f64) as usize;
            for row in rows {
                let y = row as f64 + 0.5;
                crossings.push((row, ax + (bx - ax) * (y - ay) / (by - ay)));
            }
        }
        crossings.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        for pair in crossings.chunks_exact(2) {
            let column = |x: f64| (x - 0.5).ceil().clamp(0.0, SIDE as f64) as usize;
            for at in column(pair[0].1)..column(pair[1].1) {
                self.classes[pair[0].0 * SIDE + at] = class;
                self.covers[pair[0].0 * SIDE + at] += 1;
            }
        }
    }

    /// Points of the layer that are more than a rim away from its outside.
    fn inside(&self) -> Vec<bool> {
        let mut inside: Vec<bool> = self.classes.iter().map(|&class| class > 0).collect();
        for _ in 0..RIM {
            let last = inside.clone();
            let at = |x: usize, y: usize| last[y.min(SIDE - 1) * SIDE + x.min(SIDE - 1)];
            for y in 0..SIDE {
                for x in 0..SIDE {
                    inside[y * SIDE + x] &= at(x.saturating_sub(1), y)
                        && at(x + 1, y)
                        && at(x, y.saturating_sub(1))
                        && at(x, y + 1);
                }
            }
        }
        inside
    }

    /// What a tile shows, in the numbers of this raster's classes.
    pub fn shown(&self, bytes: &[u8]) -> (Raster, usize, usize) {
        let mut shown = Raster::new(self.names.clone());
        let (mut invalid, mut polygons) = (0, 0);
        let tile = Tile::decode(bytes).expect("a vector tile");
        for layer in tile.layers.iter().filter(|layer| layer.name == LAYER) {
            let scale = SIDE as f64 / f64::from(layer.extent.unwrap_or(4096));
            for feature in &layer.features {
                let class = feature.tags.chunks(2).find_map(|tag| {
                    (layer.keys[tag[0] as usize] == CLASS)
                        .then(|| layer.values[tag[1] as usize].string_value.clone())?
                });
                let class = shown.class(&class.unwrap_or_default());
                let rings = rings(&feature.geometry, scale);
                shown.fill(&rings, class);
                polygons += 1;
                invalid += usize::from(!is_valid(&rings));
            }
        }
        (shown, invalid, polygons)
    }

    /// This raster, of the source, beside a tile.
    pub fn compared(&self, bytes: &[u8]) -> Numbers {
        let (shown, invalid, polygons) = self.shown(bytes);
        let inside = self.inside();
        let (mut area, mut gap, mut overlap, mut right) = (0u64, 0u64, 0u64, 0u64);
        let (mut pixels, mut right_pixels) = (0u64, 0u64);
        let mut difference: HashMap<u8, i64> = HashMap::new();
        for at in (0..SIDE * SIDE).filter(|&at| inside[at]) {
            let is_right = u64::from(shown.classes[at] == self.classes[at]);
            area += 1;
            gap += u64::from(shown.covers[at] == 0);
            overlap += u64::from(shown.covers[at].saturating_sub(1));
            right += is_right;
            if at % SIDE % PIXEL == PIXEL / 2 && at / SIDE % PIXEL == PIXEL / 2 {
                pixels += 1;
                right_pixels += is_right;
            }
            *difference.entry(shown.classes[at]).or_default() += 1;
            *difference.entry(self.classes[at]).or_default() -= 1;
        }
        let share = |part: u64, all: u64| part as f64 / all.max(1) as f64;
        let off: u64 = difference.values().map(|d| d.unsigned_abs()).sum();
        Numbers {
            gap: share(gap, area),
            overlap: share(overlap, area),
            class: share(off, 2 * area),
            right_points: share(right, area),
            right_pixels: share(right_pixels, pixels),
            invalid,
            polygons,
            bytes: bytes.len(),
        }
    }
}

pub fn source_raster(snapshot: &Arc<Snapshot>, tile: TileCoord) -> Raster {
    let (data, info) = snapshot.vector().expect("features");
    let warp = snapshot.warp(3857).expect("a transform");
    let grid = web_mercator_quad();
    let bbox = grid.tile_bbox(tile).expect("a tile");
    let unit = bbox.width() / SIDE as f64;
    let class_column = info.schema.index_of(CLASS).expect("the class");
    let mut raster = Raster::new(HashMap::new());
    let part = warp.to_layer.bbox(&bbox);
    let hits = data
        .index
        .search(&part, 0.0, || true)
        .expect("nothing stops the search");
    for number in hits.features {
        let view = data
            .features
            .feature(data.index.record(number).offset)
            .expect("a feature");
        let mut name = String::new();
        view.for_each_value(&info.schema, |column, value| {
            if let (true, ValueRef::Text(text)) = (column == class_column, value) {
                name = text.to_string();
            }
        });
        let Some(shape) = view.geometry() else {
            continue;
        };
        let mut rings = Vec::new();
        for part in shape.parts() {
            for ring in part.rings() {
                let mut planar = Vec::new();
                warp.to_grid.append(ring.points(), &mut planar);
                let local = |&[x, y]: &[f64; 2]| [(x - bbox.min_x) / unit, (bbox.max_y - y) / unit];
                let mut ring: Vec<[f64; 2]> = planar.iter().map(local).collect();
                ring.push(ring[0]);
                rings.push(ring);
            }
        }
        let class = raster.class(&name);
        raster.fill(&rings, class);
    }
    raster
}

/// Closed rings of a polygon feature.
fn rings(words: &[u32], scale: f64) -> Vec<Vec<[f64; 2]>> {
    let (mut rings, mut ring, mut at) = (Vec::new(), Vec::new(), [0i64, 0]);
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        if word & 7 == 7 {
            ring.push(ring[0]);
            rings.push(std::mem::take(&mut ring));
            continue;
        }
        for _ in 0..word >> 3 {
            for axis in &mut at {
                let step = words.next().expect("a parameter");
                *axis += i64::from(step >> 1) ^ -i64::from(step & 1);
            }
            ring.push(at.map(|v| v as f64 * scale));
        }
    }
    rings
}

/// Valid as GEOS sees it: a ring that winds like the first is a shell, the others are its holes.
fn is_valid(rings: &[Vec<[f64; 2]>]) -> bool {
    let doubled = |ring: &[[f64; 2]]| -> f64 {
        ring.windows(2)
            .map(|p| p[0][0] * p[1][1] - p[1][0] * p[0][1])
            .sum()
    };
    let mut polygons: Vec<String> = Vec::new();
    for ring in rings {
        let points: Vec<String> = ring.iter().map(|[x, y]| format!("{x} {y}")).collect();
        let text = format!("({})", points.join(","));
        match polygons.last_mut() {
            Some(polygon) if doubled(ring) < 0.0 => {
                polygon.push(',');
                polygon.push_str(&text);
            }
            _ => polygons.push(text),
        }
    }
    let polygons: Vec<String> = polygons.iter().map(|p| format!("({p})")).collect();
    let text = format!("MULTIPOLYGON({})", polygons.join(","));
    Geometry::from_wkt(&text).is_ok_and(|shape| shape.is_valid())
}
