//! Pieces of overlaid layers, cut for one vector tile.
//!
//! 1. the features of each layer that meet the tile's box are read; what is beyond it is shortened
//! 2. vertices are rounded on one fine grid per zoom that spans the whole plane, so neighbouring
//!    tiles see the same edges and the same crossings
//! 3. the engine draws the pieces inside of all layers; they are rounded to the tile's own grid,
//!    clipped, mended and encoded with the attributes of all features they are made of
//!
//! Edges are straight in the tile's plane, as in the tiles of the layers themselves. A tile that
//! would need too much work or space is refused with the zoom at which it would not: pieces are
//! neither thinned nor generalised here.

use std::sync::Arc;

use super::AnalysisError;
use super::frame::shorten;
use super::reader::Gathered;
use crate::crs::Warp;
use crate::format::fgb::ValueRef;
use crate::format::mvt::{EXTENT, GeometryWriter, LayerWriter, TileGeometry};
use crate::geom::Bbox;
use crate::geom::grid::{GridPoint as TilePoint, ValidityCheck, clean, clip_ring, doubled_area};
use crate::model::{TileCoord, TileGrid, VectorInfo};
use crate::overlay::{
    CROSSING_UNITS, GridPoint, Labels, LayerBuilder, LayerEdges, Lines, OVERLAP,
    Options as EngineOptions, Overlay, Polygon, RingRole,
};
use crate::query::{Budget, Stop};
use crate::store::Snapshot;

/// The layer of the tile.
pub const LAYER_NAME: &str = "overlay";
/// Layers overlaid in a tile at most.
pub const MAX_TILE_LAYERS: usize = 4;

/// Steps of the fine grid in a unit of the tile's grid.
const FINE: i64 = 256;
/// Features read between two questions to the budget.
const CHECK_EVERY: usize = 256;
/// Zooms are promised for tiles with this share of what one may have: data is not even.
const TYPICAL: f64 = 0.25;

/// What a tile of pieces may cost and how it is cut.
#[derive(Debug, Clone)]
pub struct TileOptions {
    /// Margin around the tile that is drawn as well, in units of the 4096 grid.
    pub buffer: u32,
    /// Vertices of all features that are read.
    pub max_vertices: u64,
    /// Before compression.
    pub max_bytes: u64,
}

impl Default for TileOptions {
    fn default() -> TileOptions {
        TileOptions {
            buffer: 64,
            max_vertices: 300_000,
            max_bytes: 2_000_000,
        }
    }
}

/// The tile's place on the fine grid of its zoom.
struct Frame {
    /// Units of the plane per step of the fine grid.
    step: f64,
    /// Top-left corner of the whole matrix.
    origin: [f64; 2],
    /// The tile's top-left corner in fine steps from there.
    offset: [i64; 2],
    /// The drawn square in units of the tile, both axes.
    drawn: [i64; 2],
}

impl Frame {
    /// Rounded on the grid of the whole plane, then made local; rows count downwards.
    #[inline]
    fn local(&self, [x, y]: [f64; 2]) -> GridPoint {
        let column = ((x - self.origin[0]) / self.step + 0.5).floor() as i64;
        let row = ((self.origin[1] - y) / self.step + 0.5).floor() as i64;
        [column - self.offset[0], row - self.offset[1]]
    }

    /// What has to be right, in fine steps: a unit more than what is drawn.
    fn window(&self) -> [i64; 4] {
        let [min, max] = [(self.drawn[0] - 1) * FINE, (self.drawn[1] + 1) * FINE];
        [min, min, max, max]
    }
}

/// One layer's features in the tile.
struct Part<'a> {
    snapshot: &'a Snapshot,
    info: &'a VectorInfo,
    gathered: Gathered,
}

/// The tile of what lies inside of all layers. Nothing where one of them has nothing.
///
/// # Errors
/// Layers without polygons, the limits, the budget.
pub fn pieces_tile(
    snapshots: &[Arc<Snapshot>],
    grid: &TileGrid,
    tile: TileCoord,
    fields: Option<&[String]>,
    options: &TileOptions,
    budget: &Budget,
) -> Result<Vec<u8>, AnalysisError> {
    let bbox = grid.tile_bbox(tile)?;
    let matrix = grid.matrix(u32::from(tile.z))?;
    let extent = i64::from(EXTENT);
    let unit = matrix.cell_size * f64::from(matrix.tile_size_px[0]) / f64::from(EXTENT);
    let frame = Frame {
        step: unit / FINE as f64,
        origin: matrix.origin,
        offset: [tile.x, tile.y].map(|at| i64::from(at) * extent * FINE),
        drawn: [
            -i64::from(options.buffer),
            extent + i64::from(options.buffer),
        ],
    };
    let margin = unit * f64::from(options.buffer + 2);
    let bbox = bbox.expanded(margin, margin);
    let mut chosen = Vec::with_capacity(snapshots.len());
    let mut vertices = 0;
    for snapshot in snapshots {
        let features = features_in(snapshot, grid, &bbox, budget)?;
        if features.is_empty() {
            return Ok(Vec::new());
        }
        if let Some((data, _)) = snapshot.vector() {
            let counts = features.iter();
            vertices += counts
                .map(|&feature| u64::from(data.index.record(feature).vertices))
                .sum::<u64>();
        }
        chosen.push(features);
    }
    let refused = |what, found: u64, limit: u64| AnalysisError::TileTooFull {
        what,
        found,
        limit,
        zoom: deeper(tile.z, found as f64 / limit as f64).min(grid.highest_zoom()),
    };
    if vertices > options.max_vertices {
        return Err(refused("vertices", vertices, options.max_vertices));
    }
    let mut parts = Vec::with_capacity(snapshots.len());
    for (snapshot, features) in snapshots.iter().zip(&chosen) {
        let warp = snapshot.warp(grid.epsg)?;
        match gather(snapshot, features, &warp.to_grid, &frame, budget)? {
            Some(part) => parts.push(part),
            None => return Ok(Vec::new()),
        }
    }
    let pieces = overlaid(&parts, &frame.window(), budget)?;
    let layer = encode(&parts, &pieces, fields, &frame, budget)?;
    if layer.len() as u64 > options.max_bytes {
        return Err(refused("bytes", layer.len() as u64, options.max_bytes));
    }
    let mut bytes = Vec::with_capacity(layer.len() + 1024);
    layer.finish(&mut bytes);
    Ok(bytes)
}

/// The zoom from which tiles of these layers can be had, by the average over their common box.
pub fn lowest_zoom(snapshots: &[Arc<Snapshot>], grid: &TileGrid) -> Result<u8, AnalysisError> {
    let limit = TileOptions::default().max_vertices as f64 * TYPICAL;
    let mut common: Option<Bbox> = None;
    let mut dense = Vec::new();
    for snapshot in snapshots {
        let Some((_, info)) = snapshot.vector() else {
            continue;
        };
        let warp = snapshot.warp(grid.epsg)?;
        let bbox = warp.to_grid.bbox(&snapshot.manifest.bbox_in_layer_crs);
        dense.push((info.vertices as f64, bbox.width() * bbox.height()));
        common = Some(common.map_or(bbox, |common| intersection(&common, &bbox)));
    }
    let Some(common) = common.filter(|common| !common.is_empty()) else {
        return Ok(grid.lowest_zoom());
    };
    for matrix in &grid.matrices {
        let side = matrix.cell_size * f64::from(matrix.tile_size_px[0]);
        let shown = side.min(common.width()) * side.min(common.height());
        let vertices: f64 = dense
            .iter()
            .map(|&(vertices, area)| vertices * (shown / area.max(1e-300)).min(1.0))
            .sum();
        if vertices <= limit {
            return Ok(matrix.zoom);
        }
    }
    Ok(grid.highest_zoom())
}

/// How many zooms deeper a tile has so many times less in it.
fn deeper(zoom: u8, times: f64) -> u8 {
    zoom.saturating_add((times.log2() / 2.0).ceil().clamp(1.0, 30.0) as u8)
}

fn intersection(a: &Bbox, b: &Bbox) -> Bbox {
    Bbox::new(
        a.min_x.max(b.min_x),
        a.min_y.max(b.min_y),
        a.max_x.min(b.max_x),
        a.max_y.min(b.max_y),
    )
}

fn features_in(
    snapshot: &Snapshot,
    grid: &TileGrid,
    bbox_in_grid: &Bbox,
    budget: &Budget,
) -> Result<Vec<u32>, AnalysisError> {
    let name = || snapshot.name().to_string();
    let Some((data, info)) = snapshot.vector() else {
        return Err(AnalysisError::NotVector { layer: name() });
    };
    if info.geometry_type.is_some_and(|kind| kind.dimension() != 2) {
        return Err(AnalysisError::NoPolygons { layer: name() });
    }
    let warp = snapshot.warp(grid.epsg)?;
    // Farther out than the layer reaches the transform means nothing.
    let own = warp.to_grid.bbox(&snapshot.manifest.bbox_in_layer_crs);
    let part = intersection(&own, bbox_in_grid);
    if data.index.is_empty() || part.is_empty() {
        return Ok(Vec::new());
    }
    let asked = warp.to_layer.bbox(&part);
    let hits = data.index.search(&asked, 0.0, || budget.check().is_ok());
    match hits {
        Some(hits) => Ok(hits.features),
        None => {
            budget.check()?;
            Err(Stop::Cancelled.into())
        }
    }
}

/// Reads features onto the fine grid; `None` when none of them has an area there.
fn gather<'a>(
    snapshot: &'a Snapshot,
    features: &[u32],
    warp: &Warp,
    frame: &Frame,
    budget: &Budget,
) -> Result<Option<Part<'a>>, AnalysisError> {
    let Some((data, info)) = snapshot.vector() else {
        return Ok(None);
    };
    let window = frame.window();
    let mut gathered = Gathered::default();
    let mut planar = Vec::new();
    for (number, &feature) in features.iter().enumerate() {
        if number.is_multiple_of(CHECK_EVERY) {
            budget.check()?;
        }
        let view = data.features.feature(data.index.record(feature).offset)?;
        let geometry = view.geometry().filter(|shape| shape.kind.dimension() == 2);
        let Some(geometry) = geometry else {
            continue;
        };
        let place = gathered.features.len() as u32;
        gathered.features.push(feature);
        for part in geometry.parts() {
            for (ring_number, ring) in part.rings().enumerate() {
                planar.clear();
                warp.append(ring.points(), &mut planar);
                let start = gathered.points.len();
                let points = planar.iter().map(|&position| frame.local(position));
                gathered.points.extend(points);
                shorten(&mut gathered.points, start, &window);
                let role = match ring_number {
                    0 => RingRole::Shell,
                    _ => RingRole::Hole,
                };
                gathered
                    .rings
                    .push((gathered.points.len() as u32, role, place));
            }
        }
    }
    Ok((!gathered.features.is_empty()).then_some(Part {
        snapshot,
        info,
        gathered,
    }))
}

/// The pieces inside of all layers: places of their features, and polygons.
fn overlaid(
    parts: &[Part<'_>],
    window: &[i64; 4],
    budget: &Budget,
) -> Result<Vec<(Labels, Vec<Polygon>)>, AnalysisError> {
    let builder = |part: &Part<'_>| {
        let labels = |place| place;
        part.gathered.builder(LayerBuilder::default(), labels)
    };
    let edges: Vec<LayerEdges> = parts
        .iter()
        .map(|part| Ok(builder(part)?.finish()))
        .collect::<Result<_, AnalysisError>>()?;
    let mut overlay = Overlay::new(edges, EngineOptions::default())?;
    for number in overlay.overlapping(Some(*window)) {
        // The first layer's features are drawn one by one anyway.
        if number > 0 {
            let stacked = builder(&parts[number])?.finish_stacked();
            overlay.replace(number, stacked, EngineOptions::default());
        }
    }
    let mut lines = Lines::of(0);
    for unit in overlay.units() {
        budget.check()?;
        overlay.trace(&unit, &mut lines)?;
    }
    let inside = |labels: &Labels| labels[..parts.len()].iter().all(|&label| label < OVERLAP);
    let pieces = lines.into_pieces(true, inside);
    Ok(pieces
        .into_iter()
        .filter_map(|piece| Some((piece.labels, piece.polygons?)))
        .collect())
}

/// Per layer its feature's id and fields, the keys prefixed with the layer's name.
fn encode(
    parts: &[Part<'_>],
    pieces: &[(Labels, Vec<Polygon>)],
    fields: Option<&[String]>,
    frame: &Frame,
    budget: &Budget,
) -> Result<LayerWriter, AnalysisError> {
    let wanted = |key: &str| fields.is_none_or(|fields| fields.iter().any(|f| f == key));
    // Keys by layer: the id's, then those of the fields; `None` for what is not carried.
    let keys: Vec<Vec<Option<String>>> = parts
        .iter()
        .map(|part| {
            keys_of(part.snapshot.name(), part.info)
                .map(|key| wanted(&key).then_some(key))
                .collect()
        })
        .collect();
    let columns = keys.iter().map(Vec::len).sum();
    let mut layer = LayerWriter::new(LAYER_NAME.to_string(), columns);
    let mut brush = Brush::default();
    for (number, (labels, polygons)) in pieces.iter().enumerate() {
        if number.is_multiple_of(CHECK_EVERY) {
            budget.check()?;
        }
        if !brush.draw(polygons, frame) {
            continue;
        }
        let mut first_column = 0;
        for ((part, keys), &place) in parts.iter().zip(&keys).zip(labels) {
            let Some((data, info)) = part.snapshot.vector() else {
                continue;
            };
            let feature = part.gathered.features[place as usize];
            let record = data.index.record(feature);
            if let Some(key) = &keys[0] {
                let id = record.id.to_string();
                layer.attribute(first_column, key, ValueRef::Text(&id));
            }
            let view = data.features.feature(record.offset)?;
            view.for_each_value(&info.schema, |column, value| {
                if let Some(Some(key)) = keys.get(column + 1) {
                    layer.attribute(first_column + column + 1, key, value);
                }
            });
            first_column += keys.len();
        }
        layer.feature(None, TileGeometry::Polygon, &brush.geometry);
    }
    Ok(layer)
}

/// The keys of one layer's share of a piece.
pub fn keys_of<'a>(name: &'a str, info: &'a VectorInfo) -> impl Iterator<Item = String> + 'a {
    let fields = info.schema.fields.iter();
    std::iter::once(format!("{name}_id")).chain(fields.map(move |f| format!("{name}_{}", f.name)))
}

/// Brings polygons to the tile's grid; keeps its buffers from one to the next.
#[derive(Default)]
struct Brush {
    geometry: GeometryWriter,
    wide: Vec<[i64; 2]>,
    scratch: Vec<[i64; 2]>,
    rings: Vec<Vec<TilePoint>>,
    validity: ValidityCheck,
}

impl Brush {
    /// Whether anything is left of them there.
    fn draw(&mut self, polygons: &[Polygon], frame: &Frame) -> bool {
        self.rings.clear();
        self.geometry.clear();
        for polygon in polygons {
            for (number, ring) in polygon.iter().enumerate() {
                let left = self.ring(ring, number == 0, frame);
                if number == 0 && !left {
                    break;
                }
            }
        }
        if self.validity.is_valid(&self.rings) {
            for ring in &self.rings {
                self.geometry.ring(ring);
            }
        } else if let Ok(mended) = clean(&self.rings) {
            for ring in mended.iter().flatten() {
                self.geometry.ring(ring);
            }
        }
        !self.geometry.is_empty()
    }

    fn ring(&mut self, ring: &[GridPoint], is_shell: bool, frame: &Frame) -> bool {
        const PARTS: i64 = CROSSING_UNITS * FINE;
        let rounded = |p: &GridPoint| p.map(|v| (v + PARTS / 2).div_euclid(PARTS));
        self.wide.clear();
        self.wide.extend(ring.iter().map(rounded));
        self.wide.dedup();
        if self.wide.len() > 1 && self.wide.first() == self.wide.last() {
            self.wide.pop();
        }
        let [min, max] = frame.drawn;
        clip_ring(&mut self.wide, &mut self.scratch, min, max);
        if self.wide.len() < 3 {
            return false;
        }
        let mut narrowed: Vec<TilePoint> = self.wide.iter().map(|p| p.map(|v| v as i32)).collect();
        let area = doubled_area(&narrowed);
        if area == 0 {
            return false;
        }
        // With rows downwards shells have positive area, as the standard wants.
        if (area > 0) != is_shell {
            narrowed.reverse();
        }
        self.rings.push(narrowed);
        true
    }
}
