//! Generalised levels of layers of many points or lines: fewer features for each zoom at which a
//! tile could not hold those of the layer.
//!
//! A level is a small layer of its own, in the formats of the layer, so tiles are cut from it in
//! the same way. Points become clusters ([`points`]); lines are joined end to end, simplified and
//! thinned ([`lines`]). What stands for several features carries their class, where they have one
//! in common, how many they are, and the aggregates that were asked for. What is left out is
//! counted: the index of a level has places for it.
//!
//! Levels are made on the tiles of the Web Mercator quad and serve other grids too, by the size of
//! a tile's unit. Polygons have the pyramid instead.

mod lines;
mod points;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::sort::ExternalSorter;
use super::write::Interrupted;
use super::{IngestError, temporary};
use crate::crs::{Crs, Warp};
use crate::format::feature_index::{FeatureIndex, FeatureRecord, IndexWriter};
use crate::format::fgb::{FgbFile, FileWriter, ValueRef};
use crate::format::pyramid::EXTENT_BITS;
use crate::geom::{Bbox, hilbert};
use crate::model::{Aggregates, LevelSummary, Schema, WEB_MERCATOR_HALF_M};
use crate::store::{FEATURES_FILE, INDEX_FILE, LEVELS_DIR, StoreError, level_files};

/// The finest zoom that gets a level.
const HIGHEST_ZOOM: u8 = 16;
/// Levels beyond the zoom at which a tile of average density is small.
const ZOOMS_BEYOND_NATURAL: u8 = 3;
/// Features that are left out are counted in squares of this many to a tile's side, as a power of two.
const LEFT_OUT_BITS: u32 = 4;
/// Bytes of a feature of a tile without attributes and vertices: frame and id.
const FRAME_BYTES: f64 = 24.0;
/// What a vertex takes in a tile.
const VERTEX_BYTES: f64 = 3.0;
/// Features looked at to learn what attributes cost in a tile.
const SAMPLE: usize = 2000;
/// Features read at a time.
const BATCH: usize = 1 << 13;

/// The layer whose levels are made, as its files in `dir` hold it.
pub struct Layer<'a> {
    pub dir: &'a Path,
    pub name: &'a str,
    pub schema: &'a Schema,
    pub crs: &'a Crs,
    pub extent: Bbox,
    pub has_z: bool,
    /// 0 for points, 1 for lines.
    pub dimension: u8,
    pub natural_zoom: u8,
    pub aggregates: &'a Aggregates,
    /// What a tile's bytes should stay below before compression.
    pub tile_bytes: u64,
    pub sort_budget_bytes: usize,
    /// Asked now and then; ends the work when it says no.
    pub go_on: &'a (dyn Fn() -> bool + Sync),
}

/// Writes the levels of a generation, none when its tiles can hold the layer as it is.
///
/// # Errors
/// When the layer's files cannot be read or those of the levels not written.
pub fn write(layer: &Layer<'_>) -> Result<Vec<LevelSummary>, IngestError> {
    let source = Source::open(
        &layer.dir.join(FEATURES_FILE),
        &layer.dir.join(INDEX_FILE),
        layer.schema.clone(),
    )?;
    let work = Work {
        layer,
        plane: Plane::new(layer)?,
        schema: layer.aggregates.generalised_schema(layer.schema),
        attributes: AttributeBytes::of(&source)?,
    };
    let Some(highest) = work.highest_zoom(&source)? else {
        return Ok(Vec::new());
    };
    let dir = layer.dir.join(LEVELS_DIR);
    fs::create_dir(&dir).map_err(|e| StoreError::io(&dir, e))?;
    match layer.dimension {
        0 => points::write(&work, &source, highest),
        _ => lines::write(&work, source, highest),
    }
}

/// What the making of all levels shares.
struct Work<'a> {
    layer: &'a Layer<'a>,
    plane: Plane,
    /// The attributes of a level's features.
    schema: Schema,
    attributes: AttributeBytes,
}

impl Work<'_> {
    /// The finest zoom at which a tile would hold more than its bytes.
    fn highest_zoom(&self, source: &Source) -> Result<Option<u8>, IngestError> {
        let highest = (self.layer.natural_zoom + ZOOMS_BEYOND_NATURAL).min(HIGHEST_ZOOM);
        let mut loads: HashMap<[u32; 2], f64> = HashMap::new();
        for number in 0..source.index.len() as u32 {
            if number.is_multiple_of(BATCH as u32) {
                self.pause(source)?;
            }
            let record = source.index.record(number);
            let tile = self.plane.cell(record.label, u32::from(highest));
            *loads.entry(tile).or_insert(0.0) += self.feature_bytes(&record);
        }
        for zoom in (0..=highest).rev() {
            if loads.values().any(|&bytes| bytes > self.tile_budget()) {
                return Ok(Some(zoom));
            }
            let mut coarser = HashMap::new();
            for ([x, y], bytes) in loads {
                *coarser.entry([x / 2, y / 2]).or_insert(0.0) += bytes;
            }
            loads = coarser;
        }
        Ok(None)
    }

    /// About what a feature of the layer takes in a tile.
    fn feature_bytes(&self, record: &FeatureRecord) -> f64 {
        let one = FRAME_BYTES + self.attributes.shape + VERTEX_BYTES * f64::from(record.vertices);
        match self.layer.dimension {
            0 => one,
            _ => one + FRAME_BYTES + self.attributes.label,
        }
    }

    /// Margins and what an estimate is wrong by have room beside it.
    fn tile_budget(&self) -> f64 {
        self.layer.tile_bytes as f64 * 0.9
    }

    /// Between two batches: lets go of what was read, and asks whether to go on.
    fn pause(&self, source: &Source) -> Result<(), IngestError> {
        source.features.let_go();
        source.index.let_go();
        if (self.layer.go_on)() {
            Ok(())
        } else {
            Err(IngestError::Cancelled)
        }
    }

    fn temporary(&self, error: std::io::Error) -> IngestError {
        temporary(self.layer.name.to_string(), error)
    }
}

/// A layer or a level that is read.
struct Source {
    features: FgbFile,
    index: FeatureIndex,
    schema: Schema,
}

impl Source {
    fn open(features: &Path, index: &Path, schema: Schema) -> Result<Source, StoreError> {
        Ok(Source {
            features: FgbFile::open(features)?,
            index: FeatureIndex::open(index)?,
            schema,
        })
    }
}

/// The square of Web Mercator, 1 by 1, rows downwards.
struct Plane {
    to_mercator: Warp,
    to_layer: Warp,
    extent_in_mercator: Bbox,
}

impl Plane {
    fn new(layer: &Layer<'_>) -> Result<Plane, IngestError> {
        let to_mercator = Warp::new(layer.crs, 3857, &layer.extent)?;
        let extent_in_mercator = to_mercator.bbox(&layer.extent);
        Ok(Plane {
            to_layer: Warp::inverse(3857, layer.crs, &extent_in_mercator)?,
            to_mercator,
            extent_in_mercator,
        })
    }

    /// A position of the layer on the square.
    fn place(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [x, y] = self.to_mercator.point(x, y);
        [
            (x + WEB_MERCATOR_HALF_M) / (2.0 * WEB_MERCATOR_HALF_M),
            (WEB_MERCATOR_HALF_M - y) / (2.0 * WEB_MERCATOR_HALF_M),
        ]
    }

    /// Column and row of a position among 2^`bits` by 2^`bits` squares.
    fn cell(&self, position: [f64; 2], bits: u32) -> [u32; 2] {
        // Cut from the finest, so that squares lie within squares. `as` saturates.
        let finest = |v: f64| (v * (1u64 << 32) as f64) as u32;
        self.place(position)
            .map(|v| (u64::from(finest(v)) >> (32 - bits)) as u32)
    }

    /// The middle of what the layer reaches of a square, in the layer's plane.
    fn middle(&self, [column, row]: [u32; 2], bits: u32) -> [f64; 2] {
        let side = 2.0 * WEB_MERCATOR_HALF_M / (1u64 << bits) as f64;
        let west = f64::from(column) * side - WEB_MERCATOR_HALF_M;
        let north = WEB_MERCATOR_HALF_M - f64::from(row) * side;
        let layer = &self.extent_in_mercator;
        let x = (west.max(layer.min_x) + (west + side).min(layer.max_x)) / 2.0;
        let y = ((north - side).max(layer.min_y) + north.min(layer.max_y)) / 2.0;
        self.to_layer.point(x, y)
    }
}

/// What the attributes of a feature take in a tile, on average.
#[derive(Clone, Copy)]
struct AttributeBytes {
    /// Two numbers for each, and the share of the values, of which a tile holds equal ones once.
    shape: f64,
    /// A label repeats the numbers only.
    label: f64,
}

impl AttributeBytes {
    fn of(source: &Source) -> Result<AttributeBytes, StoreError> {
        const TAG: f64 = 3.0;
        const VALUE: f64 = 4.0;
        let step = (source.index.len() / SAMPLE).max(1);
        let mut seen: HashSet<(usize, u64)> = HashSet::new();
        let (mut sampled, mut tags, mut values) = (0u32, 0.0, 0.0);
        for number in (0..source.index.len() as u32).step_by(step) {
            let record = source.index.record(number);
            let view = source.features.feature(record.offset)?;
            sampled += 1;
            if sampled.is_multiple_of(64) {
                // Each look brings pages around it into memory.
                source.features.let_go();
                source.index.let_go();
            }
            view.for_each_value(&source.schema, |column, value| {
                let (hash, bytes) = match value {
                    ValueRef::Text(text) => (xxh3_64(text.as_bytes()), text.len()),
                    ValueRef::Integer(value) => (value as u64, 5),
                    ValueRef::Real(value) => (value.to_bits(), 8),
                    ValueRef::Boolean(value) => (u64::from(value), 1),
                    ValueRef::Binary(_) => return,
                };
                tags += TAG;
                if seen.insert((column, hash)) {
                    values += VALUE + bytes as f64;
                }
            });
        }
        let each = |bytes: f64| bytes / f64::from(sampled.max(1));
        Ok(AttributeBytes {
            shape: each(tags + values),
            label: each(tags),
        })
    }
}

/// Takes the features of a level in any order and writes its files.
struct LevelWriter<'a> {
    work: &'a Work<'a>,
    summary: LevelSummary,
    /// By Hilbert key: the record, and behind it the message of a feature.
    records: ExternalSorter,
    frame: Bbox,
    extent: Bbox,
    left_out: HashMap<[u32; 2], u32>,
}

impl<'a> LevelWriter<'a> {
    fn new(work: &'a Work<'a>, zoom: u8, sort_budget_bytes: usize) -> LevelWriter<'a> {
        LevelWriter {
            records: ExternalSorter::new(work.layer.dir, "level", sort_budget_bytes),
            frame: work.layer.crs.hilbert_frame(),
            extent: Bbox::EMPTY,
            left_out: HashMap::new(),
            summary: LevelSummary {
                zoom,
                features: 0,
                merged: 0,
                omitted: 0,
            },
            work,
        }
    }

    fn push(&mut self, record: &FeatureRecord, message: &[u8]) -> std::io::Result<()> {
        self.summary.features += 1;
        if record.count > 1 {
            self.summary.merged += u64::from(record.count);
        }
        self.extent = self.extent.union(&record.bbox_in_layer_crs);
        let mut payload = Vec::with_capacity(FeatureRecord::BYTES + message.len());
        payload.extend_from_slice(&record.to_bytes());
        payload.extend_from_slice(message);
        let key = hilbert::key(&record.bbox_in_layer_crs, &self.frame);
        self.records.push(key, &payload)
    }

    fn leave_out(&mut self, position: [f64; 2], count: u32) {
        self.summary.omitted += u64::from(count);
        let bits = u32::from(self.summary.zoom) + LEFT_OUT_BITS;
        *self
            .left_out
            .entry(self.work.plane.cell(position, bits))
            .or_insert(0) += count;
    }

    fn finish(mut self) -> Result<LevelSummary, IngestError> {
        let work = self.work;
        let bits = u32::from(self.summary.zoom) + LEFT_OUT_BITS;
        let mut left_out: Vec<([u32; 2], u32)> = self.left_out.into_iter().collect();
        left_out.sort_unstable();
        for (cell, count) in left_out {
            let record = FeatureRecord::left_out(work.plane.middle(cell, bits), count);
            let key = hilbert::key(&record.bbox_in_layer_crs, &self.frame);
            self.records
                .push(key, &record.to_bytes())
                .map_err(|e| work.temporary(e))?;
        }
        let [features_path, index_path] = level_files(work.layer.dir, self.summary.zoom);
        let features_error = |e| IngestError::Store(StoreError::io(&features_path, e));
        let index_error = |e| IngestError::Store(StoreError::io(&index_path, e));
        let mut features = FileWriter::create(
            &features_path,
            work.layer.name,
            &work.schema,
            work.layer.crs,
            work.layer.has_z,
            self.summary.features,
            &self.extent,
        )
        .map_err(features_error)?;
        let mut index = IndexWriter::create(&index_path).map_err(index_error)?;
        self.records
            .drain(|_, payload| -> Result<(), Interrupted> {
                let (head, message) = payload
                    .split_first_chunk::<{ FeatureRecord::BYTES }>()
                    .expect("every payload starts with its record");
                let mut record = FeatureRecord::from_bytes(head);
                if !record.is_left_out() {
                    let bbox = record.bbox_in_layer_crs;
                    record.offset = features.push(message, &bbox).map_err(features_error)?;
                }
                Ok(index.push(&record).map_err(index_error)?)
            })
            .map_err(|stop| stop.or_temporary(work.layer.name))?;
        features.finish().map_err(features_error)?;
        index.finish().map_err(index_error)?;
        Ok(self.summary)
    }
}
