//! Vector tiles, cut from the store on the fly.
//!
//! For each layer: find the features of the tile's box ([`select`]), bring their vertices onto the
//! tile's grid, clip, mend what rounding has spoilt ([`cut`]), encode. Layers are independent and
//! run in parallel.
//!
//! At zooms for which the layer has a pyramid (the Web Mercator quad) its watertight, joined faces
//! are cut instead ([`pyramid`]); of layers of many points or lines the features of a generalised
//! level ([`level`]).
//!
//! Vertices are rounded on one grid per zoom that spans the whole plane and only then made local
//! to the tile, so a vertex is the same in every tile and feature that shows it.
//!
//! A tile is bounded in vertices read and bytes written. What does not fit is left out smallest
//! first, never silently: the tile carries the number in the layer [`OMITTED_LAYER`]. So it does for
//! features that are smaller than its grid and have no neighbour to join.

pub mod archive;
pub mod area;
mod cut;
mod level;
pub mod merge;
mod pyramid;
mod select;
mod update;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use crate::format::mvt::{GeometryWriter, LayerWriter, TileGeometry};
use crate::geom::Bbox;
use crate::model::{GridError, TileCoord, TileGrid};
use crate::query::{Budget, QueryError, Stop};
use crate::store::{Snapshot, StoreError};
use cut::Frame;

/// Layer of one point per layer that is not complete, with the attributes `layer` and `omitted`.
pub const OMITTED_LAYER: &str = "onemap_omitted";

/// Suffix of the layer that holds a layer's label points.
pub const LABEL_SUFFIX: &str = "_label";

/// What a tile may cost and how it is cut.
#[derive(Debug, Clone)]
pub struct Options {
    /// Margin around the tile that is drawn as well, in units of the 4096 grid.
    pub buffer: u32,
    /// Source vertices read for a layer of a tile.
    pub max_vertices: u64,
    /// Bytes of a layer of a tile, before compression.
    pub max_layer_bytes: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            buffer: 64,
            max_vertices: 1_000_000,
            max_layer_bytes: 500_000,
        }
    }
}

/// A layer to be put into a tile.
#[derive(Clone)]
pub struct TileLayer {
    pub snapshot: Arc<Snapshot>,
    /// Attributes to carry; `None` for all.
    pub fields: Option<Vec<String>>,
}

/// A finished tile.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VectorTile {
    pub bytes: Vec<u8>,
    /// Features left out, over all layers.
    pub omitted: u64,
    pub timings: Timings,
    /// The same for each layer, in the order asked for.
    pub by_layer: Vec<LayerShare>,
}

/// What one layer of a tile has cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LayerShare {
    pub omitted: u64,
    pub timings: Timings,
}

/// Where the time went, summed over layers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timings {
    pub index: Duration,
    /// Reading vertices, transforming and rounding them.
    pub decode: Duration,
    /// Clipping and mending.
    pub clip: Duration,
    pub encode: Duration,
}

impl From<cut::Phases> for Timings {
    fn from(phases: cut::Phases) -> Timings {
        Timings {
            index: Duration::ZERO,
            decode: phases.decode,
            clip: phases.clip,
            encode: phases.encode,
        }
    }
}

/// Why a tile could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TileError {
    #[error(transparent)]
    Grid(#[from] GridError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Stop> for TileError {
    fn from(stop: Stop) -> TileError {
        TileError::Query(stop.into())
    }
}

impl From<crate::format::FormatError> for TileError {
    fn from(error: crate::format::FormatError) -> TileError {
        TileError::Query(error.into())
    }
}

/// Cuts one tile of any number of layers.
pub fn vector_tile(
    layers: &[TileLayer],
    grid: &TileGrid,
    tile: TileCoord,
    options: &Options,
    budget: &Budget,
) -> Result<VectorTile, TileError> {
    let bbox = grid.tile_bbox(tile)?;
    let cut: Vec<LayerTile> = if layers.len() == 1 {
        vec![layer_tile(&layers[0], grid, tile, &bbox, options, budget)?]
    } else {
        layers
            .par_iter()
            .map(|layer| layer_tile(layer, grid, tile, &bbox, options, budget))
            .collect::<Result<_, _>>()?
    };
    Ok(join(layers, cut))
}

/// A hash of all that decides the bytes of a tile: the same for the same bytes. Where the layers
/// have a pyramid it is found without cutting the tile.
pub fn tile_digest(
    layers: &[TileLayer],
    grid: &TileGrid,
    tile: TileCoord,
    options: &Options,
) -> Result<u64, TileError> {
    let mut hash = Xxh3::new();
    for layer in layers {
        hash.update(layer.snapshot.name().as_bytes());
        let level = match layer.snapshot.vector() {
            Some((data, _)) => pyramid::level_for(data, grid, tile, options.buffer),
            None => None,
        };
        match level {
            Some(level) => pyramid::digest(&level, tile, &mut hash)?,
            None => {
                let layer = std::slice::from_ref(layer);
                let made = vector_tile(layer, grid, tile, options, &Budget::unlimited())?;
                hash.update(&made.bytes);
            }
        }
    }
    Ok(hash.digest())
}

/// One layer's share of a tile.
#[derive(Default)]
struct LayerTile {
    bytes: Vec<u8>,
    omitted: u64,
    timings: Timings,
}

fn join(layers: &[TileLayer], cut: Vec<LayerTile>) -> VectorTile {
    let mut tile = VectorTile::default();
    let mut omitted = LayerWriter::new(OMITTED_LAYER.to_string(), 2);
    for (layer, part) in layers.iter().zip(cut) {
        if tile.bytes.is_empty() {
            tile.bytes = part.bytes;
        } else {
            tile.bytes.extend_from_slice(&part.bytes);
        }
        tile.by_layer.push(LayerShare {
            omitted: part.omitted,
            timings: part.timings,
        });
        tile.omitted += part.omitted;
        tile.timings.index += part.timings.index;
        tile.timings.decode += part.timings.decode;
        tile.timings.clip += part.timings.clip;
        tile.timings.encode += part.timings.encode;
        if part.omitted > 0 {
            use crate::format::fgb::ValueRef;
            let mut middle = GeometryWriter::default();
            middle.points(&[[2048, 2048]]);
            omitted.attribute(0, "layer", ValueRef::Text(layer.snapshot.name()));
            omitted.attribute(1, "omitted", ValueRef::Integer(part.omitted as i64));
            omitted.feature(None, TileGeometry::Point, &middle);
        }
    }
    omitted.finish(&mut tile.bytes);
    tile
}

fn layer_tile(
    layer: &TileLayer,
    grid: &TileGrid,
    tile: TileCoord,
    bbox: &Bbox,
    options: &Options,
    budget: &Budget,
) -> Result<LayerTile, TileError> {
    let snapshot = &layer.snapshot;
    let (data, info) = snapshot.vector().ok_or_else(|| QueryError::NotVector {
        layer: snapshot.name().to_string(),
    })?;
    let mut part = LayerTile::default();
    if data.index.is_empty() {
        return Ok(part);
    }
    let started = Instant::now();
    let warp = snapshot.warp(grid.epsg)?;
    let frame = Frame::new(grid, tile, bbox, options.buffer)?;
    if let Some(level) = pyramid::level_for(data, grid, tile, options.buffer) {
        let columns = columns(info, layer.fields.as_deref());
        let mut painter = cut::Painter::new(&frame, &warp.to_grid, &info.schema, &columns);
        let encoded = pyramid::encode(&mut painter, &level, tile, data, snapshot.name(), budget)?;
        part.timings = painter.timings.into();
        part.omitted = pyramid::vanished(&level, tile)?;
        encoded.finish(&mut part.bytes);
        return Ok(part);
    }
    let source = level::source_for(snapshot, data, info, grid, &warp, &frame)?;
    let selection = select::features(
        snapshot,
        &source,
        &warp,
        &frame,
        options.max_vertices,
        budget,
    )?;
    part.omitted = selection.omitted;
    part.timings.index = started.elapsed();

    let columns = level::columns(info, &source, layer.fields.as_deref());
    let mut painter = cut::Painter::new(&frame, &warp.to_grid, source.schema, &columns);
    let encoded = painter.encode(&source, &selection.features, snapshot.name(), budget)?;
    let encoded = if encoded.len() > options.max_layer_bytes {
        let kept = select::largest_within(
            source.index,
            &selection.features,
            encoded.feature_bytes(),
            options.max_layer_bytes,
        );
        part.omitted += select::stood_for(source.index, &selection.features)
            - select::stood_for(source.index, &kept);
        painter.encode(&source, &kept, snapshot.name(), budget)?
    } else {
        encoded
    };
    part.omitted += encoded.unmended;
    part.timings = Timings {
        index: part.timings.index,
        ..painter.timings.into()
    };
    encoded.finish(&mut part.bytes);
    Ok(part)
}

/// Column numbers to carry, in order.
fn columns(info: &crate::model::VectorInfo, fields: Option<&[String]>) -> Vec<bool> {
    info.schema
        .fields
        .iter()
        .map(|field| fields.is_none_or(|wanted| wanted.contains(&field.name)))
        .collect()
}
