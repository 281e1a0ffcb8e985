//! Levels of points: one cluster for each square of the zoom that has any.
//!
//! There are 64 by 64 squares to a tile: eight pixels of 512 apart, so that symbols of the usual
//! size do not lie on each other, and at most 4096 features to a tile; fewer where features have so
//! many attributes, or tiles so few bytes, that half of them by themselves would not fit. (Of points
//! at random at most 37 % of the squares have a single one, and clusters are small.) Squares lie within squares, so a cluster of a zoom is made of those of the next: all
//! levels come from one pass over the points along a Hilbert curve, and the numbers of features
//! add up to that of the layer at each of them.
//!
//! A cluster stands at the place of one of its points: a place that exists (the middle of the
//! points around a lake does not), and the same place for many zooms. It is that of the largest
//! of the clusters it is made of, among equals that of the smallest id.

use rayon::prelude::*;

use super::super::sort::ExternalSorter;
use super::super::write::Interrupted;
use super::{BATCH, FRAME_BYTES, IngestError, LevelWriter, Source, VERTEX_BYTES, Work};
use crate::format::feature_index::FeatureRecord;
use crate::format::fgb::FeatureEncoder;
use crate::geom::{Geometry, hilbert};
use crate::model::{LevelSummary, Value, class_column};

/// Most and fewest squares along a tile's side, as powers of two.
const CELL_BITS: std::ops::RangeInclusive<u32> = 3..=6;

/// Points taken between two pauses: along the curve they are scattered over the file, and each
/// brings pages around it into memory.
const PAUSE: usize = 1 << 10;

/// Points of a square, so far.
struct Cluster {
    count: u32,
    /// The point at whose place it stands.
    record: FeatureRecord,
    /// How many points that one stood for already.
    weight: u32,
    /// `None` when they differ.
    class: Option<Value>,
    aggregates: Vec<Value>,
}

pub fn write(
    work: &Work<'_>,
    source: &Source,
    highest: u8,
) -> Result<Vec<LevelSummary>, IngestError> {
    let levels = usize::from(highest) + 1;
    let budget = work.layer.sort_budget_bytes / (levels + 1);
    let order = along_curve(work, source, budget)?;
    let mut pass = Pass {
        work,
        source,
        class_column: class_column(work.layer.schema),
        cell_bits: cell_bits(work),
        open: (0..levels).map(|_| None).collect(),
        writers: (0..=highest)
            .map(|zoom| LevelWriter::new(work, zoom, budget))
            .collect(),
        encoder: FeatureEncoder::new(),
        message: Vec::new(),
    };
    let mut last = None;
    // Points at one place come in the order of their ids, whatever the order of the file was.
    let mut same: Vec<(u64, u32)> = Vec::new();
    let mut done = 0usize;
    order
        .drain(|key, payload| -> Result<(), Interrupted> {
            if last.is_some_and(|last| last != key) {
                pass.take(last, Some(key), &mut same)?;
                if done >= PAUSE {
                    work.pause(source)?;
                    done = 0;
                }
            }
            let (id, number) = payload.split_at(8);
            same.push((
                u64::from_le_bytes(id.try_into().expect("an id of eight bytes")),
                u32::from_le_bytes(number.try_into().expect("a number of four bytes")),
            ));
            last = Some(key);
            done += 1;
            Ok(())
        })
        .map_err(|stop| stop.or_temporary(work.layer.name))?;
    pass.take(last, None, &mut same)?;
    pass.writers.into_iter().map(LevelWriter::finish).collect()
}

fn cell_bits(work: &Work<'_>) -> u32 {
    let single = FRAME_BYTES + work.attributes.shape + VERTEX_BYTES;
    let fits = |bits: &u32| (1u64 << (2 * bits)) as f64 * 0.5 * single <= work.tile_budget();
    CELL_BITS.rev().find(fits).unwrap_or(*CELL_BITS.start())
}

/// Ids and numbers of all points by their place on the Hilbert curve of the Web Mercator square.
fn along_curve(
    work: &Work<'_>,
    source: &Source,
    budget: usize,
) -> Result<ExternalSorter, IngestError> {
    let mut order = ExternalSorter::new(work.layer.dir, "curve", budget);
    let numbers: Vec<u32> = (0..source.index.len() as u32).collect();
    for batch in numbers.chunks(BATCH) {
        work.pause(source)?;
        let keys: Vec<(u64, u64)> = batch
            .par_iter()
            .with_min_len(512)
            .map(|&number| {
                let record = source.index.record(number);
                let [x, y] = work.plane.cell(record.label, 32);
                (hilbert::distance(x, y), record.id)
            })
            .collect();
        for (&number, (key, id)) in batch.iter().zip(keys) {
            let mut payload = [0u8; 12];
            payload[..8].copy_from_slice(&id.to_le_bytes());
            payload[8..].copy_from_slice(&number.to_le_bytes());
            order.push(key, &payload).map_err(|e| work.temporary(e))?;
        }
    }
    Ok(order)
}

struct Pass<'a> {
    work: &'a Work<'a>,
    source: &'a Source,
    class_column: Option<usize>,
    /// Squares along a tile's side, as a power of two.
    cell_bits: u32,
    /// The square of each zoom that is being filled.
    open: Vec<Option<Cluster>>,
    writers: Vec<LevelWriter<'a>>,
    encoder: FeatureEncoder,
    message: Vec<u8>,
}

impl Pass<'_> {
    /// Takes the points at one place of the curve, and ends the squares that do not hold the next.
    fn take(
        &mut self,
        key: Option<u64>,
        next: Option<u64>,
        same: &mut Vec<(u64, u32)>,
    ) -> Result<(), IngestError> {
        let Some(key) = key else {
            return Ok(());
        };
        same.sort_unstable();
        let finest = self.open.len() - 1;
        for (_, number) in same.drain(..) {
            let cluster = self.alone(number)?;
            self.join(finest, cluster);
        }
        for zoom in (0..=finest).rev() {
            // A square of a zoom is a run of the curve.
            let shift = 64 - 2 * (zoom as u32 + self.cell_bits);
            if next.is_some_and(|next| next >> shift == key >> shift) {
                break;
            }
            if let Some(cluster) = self.open[zoom].take() {
                self.emit(zoom, &cluster)?;
                if zoom > 0 {
                    self.join(zoom - 1, cluster);
                }
            }
        }
        Ok(())
    }

    fn alone(&self, number: u32) -> Result<Cluster, IngestError> {
        let record = self.source.index.record(number);
        let view = self.source.features.feature(record.offset);
        let values = view
            .map_err(crate::store::StoreError::from)?
            .values(&self.source.schema);
        let class = self.class_column.map(|column| values[column].clone());
        Ok(Cluster {
            count: 1,
            record,
            weight: 1,
            class: Some(class.unwrap_or(Value::Null)),
            aggregates: self.work.layer.aggregates.of(&values),
        })
    }

    fn join(&mut self, zoom: usize, part: Cluster) {
        let Some(whole) = &mut self.open[zoom] else {
            // It stands for all of its points from now on.
            let weight = part.count;
            self.open[zoom] = Some(Cluster { weight, ..part });
            return;
        };
        let rank = |weight: u32, id: u64| (weight, std::cmp::Reverse(id));
        if rank(part.count, part.record.id) > rank(whole.weight, whole.record.id) {
            whole.record = part.record;
            whole.weight = part.count;
        }
        whole.count += part.count;
        if whole.class != part.class {
            whole.class = None;
        }
        let aggregates = &self.work.layer.aggregates;
        aggregates.join(&mut whole.aggregates, &part.aggregates);
    }

    fn emit(&mut self, zoom: usize, cluster: &Cluster) -> Result<(), IngestError> {
        let Work { layer, schema, .. } = self.work;
        // Where a tile has too many after all, those that stand for few go first.
        let size = cluster.count as f32;
        if cluster.count == 1 {
            let record = FeatureRecord {
                size,
                ..cluster.record
            };
            let message = self.source.features.message(record.offset);
            let message = message.map_err(crate::store::StoreError::from)?;
            return self.writers[zoom]
                .push(&record, message)
                .map_err(|e| self.work.temporary(e));
        }
        let [x, y] = cluster.record.label;
        let geometry = Geometry::point(x, y);
        let record = FeatureRecord {
            bbox_in_layer_crs: geometry.bbox(),
            size,
            vertices: 1,
            count: cluster.count,
            ..cluster.record
        };
        let mut values = vec![Value::Null; layer.schema.fields.len()];
        if let (Some(column), Some(class)) = (self.class_column, &cluster.class) {
            values[column] = class.clone();
        }
        values.push(Value::Integer(i64::from(cluster.count)));
        values.extend_from_slice(&cluster.aggregates);
        self.message.clear();
        self.encoder
            .encode(&geometry, &values, schema, &mut self.message);
        self.writers[zoom]
            .push(&record, &self.message)
            .map_err(|e| self.work.temporary(e))
    }
}
