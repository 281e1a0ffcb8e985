//! Levels of lines: each is made of the next finer one, the finest of the layer itself.
//!
//! 1. *join*: lines of one class become one where exactly two of their ends meet. Where more
//!    meet and a line is so short that it would soon be gone, those that go straight on are joined
//!    ([`joints`]).
//! 2. *simplify*: within two units of the tile, a quarter of a pixel of 512, so that all levels
//!    together stay within half a pixel. Ends stay, and so do vertices at which another line ends:
//!    what was connected is connected.
//! 3. *thin*: lines smaller than what a tile shows go. Where a tile would hold more than its bytes,
//!    lines are taken by the rank of their class and by their length, each that shows something
//!    new and for which all tiles it crosses have room ([`thin`]). What does not stay is left out of
//!    all of them alike, so no line breaks off at the side of a tile.
//!
//! A line that was joined carries what it has in common and the aggregates; one that was not is the
//! feature itself. Lines of several parts are not joined. Memory: some thirty bytes for each line
//! of the layer, and the tiles of a zoom.

mod joints;
mod thin;

use rayon::prelude::*;

use super::super::sort::ExternalSorter;
use super::super::write::Interrupted;
use super::{
    BATCH, EXTENT_BITS, FRAME_BYTES, IngestError, LevelWriter, Source, VERTEX_BYTES, Work,
};
use crate::format::feature_index::FeatureRecord;
use crate::format::fgb::FeatureEncoder;
use crate::geom::label::label_point;
use crate::geom::simplify::vertices_to_keep;
use crate::geom::{Geometry, GeometryType};
use crate::model::{LevelSummary, Value, line_class_columns, line_rank};
use crate::store::{StoreError, level_files};
use joints::{Chains, joints};
use thin::{Cost, Thinning};

/// Vertices go when they are no farther than this from the line, tile units.
const TOLERANCE_UNITS: f64 = 2.0;
/// Lines whose box has a smaller diagonal are not shown, tile units: tiles look at none below this.
const SMALLEST_UNITS: f64 = 1.5;
/// Bytes of a joined line in a tile without aggregates and vertices: it has no id, and its class and
/// count are values that others have too.
const JOINED_BYTES: f64 = 22.0;
/// Bytes of an aggregate in a tile.
const AGGREGATE_BYTES: f64 = 10.0;

pub fn write(
    work: &Work<'_>,
    mut source: Source,
    highest: u8,
) -> Result<Vec<LevelSummary>, IngestError> {
    let mut summaries = Vec::new();
    for zoom in (0..=highest).rev() {
        let level = Level {
            work,
            units: (1u64 << (u32::from(zoom) + EXTENT_BITS)) as f64,
            source: &source,
            class_columns: line_class_columns(work.layer.schema),
            zoom,
        };
        summaries.push(level.write()?);
        let [features, index] = level_files(work.layer.dir, zoom);
        source = Source::open(&features, &index, work.schema.clone())?;
    }
    summaries.reverse();
    Ok(summaries)
}

/// A level being made.
struct Level<'a> {
    work: &'a Work<'a>,
    source: &'a Source,
    class_columns: Vec<usize>,
    zoom: u8,
    /// Units of the zoom's tiles along the side of the Web Mercator square.
    units: f64,
}

/// A line of the level, if it comes to that.
enum Made {
    Line(Line),
    TooSmall(FeatureRecord),
}

struct Line {
    /// Ascending from the line that is to be kept first.
    rank: u64,
    record: FeatureRecord,
    message: Vec<u8>,
    /// Bytes in each tile it crosses.
    costs: Vec<Cost>,
    /// Its runs of vertices in units of the zoom.
    runs: Vec<Vec<[i32; 2]>>,
}

impl Level<'_> {
    fn write(&self) -> Result<LevelSummary, IngestError> {
        let budget = self.work.layer.sort_budget_bytes / 2;
        let chains = joints(self)?;
        let mut writer = LevelWriter::new(self.work, self.zoom, budget);
        let mut thinning = Thinning::new(self.work.tile_budget() as f32);
        let ranked = self.make_all(chains, &mut writer, &mut thinning, budget)?;
        ranked
            .drain(|_, payload| -> Result<(), Interrupted> {
                let (record, costs, runs, message) = unpack(payload);
                if !thinning.take(&costs, &runs) {
                    writer.leave_out(record.label, record.count);
                    return Ok(());
                }
                Ok(writer.push(&record, message)?)
            })
            .map_err(|stop| stop.or_temporary(self.work.layer.name))?;
        writer.finish()
    }

    /// Makes the lines of all chains, sorted by rank; those too small are counted at once.
    fn make_all(
        &self,
        mut chains: Chains,
        writer: &mut LevelWriter<'_>,
        thinning: &mut Thinning,
        budget: usize,
    ) -> Result<ExternalSorter, IngestError> {
        let mut ranked = ExternalSorter::new(self.work.layer.dir, "rank", budget);
        let mut payload = Vec::new();
        for number in 0..self.source.index.len() as u32 {
            let record = self.source.index.record(number);
            if record.is_left_out() {
                writer.leave_out(record.label, record.count);
            }
        }
        loop {
            self.work.pause(self.source)?;
            let batch = chains.next_batch(BATCH, &self.source.index);
            if batch.is_empty() {
                return Ok(ranked);
            }
            let made: Vec<Made> = batch
                .par_iter()
                .with_min_len(64)
                .map_init(FeatureEncoder::new, |encoder, chain| {
                    self.make(chain, &chains.nodes, encoder)
                })
                .collect::<Result<_, StoreError>>()?;
            for made in made {
                match made {
                    Made::TooSmall(record) => writer.leave_out(record.label, record.count),
                    Made::Line(line) => {
                        thinning.announce(&line.costs);
                        pack(&line, &mut payload);
                        ranked
                            .push(line.rank, &payload)
                            .map_err(|e| self.work.temporary(e))?;
                    }
                }
            }
        }
    }

    /// One line of the members of a chain, given with whether they run backward.
    fn make(
        &self,
        chain: &[(u32, bool)],
        nodes: &[u64],
        encoder: &mut FeatureEncoder,
    ) -> Result<Made, StoreError> {
        let mut lines: Vec<Vec<[f64; 2]>> = Vec::new();
        let mut record = self.source.index.record(chain[0].0);
        let mut merged: Option<Merged> = None;
        for (i, &(number, is_backward)) in chain.iter().enumerate() {
            let member = self.source.index.record(number);
            let view = self.source.features.feature(member.offset)?;
            let values = view.values(&self.source.schema);
            match &mut merged {
                None => merged = Some(self.alone(member.count, values)),
                Some(merged) => {
                    self.join(merged, &self.alone(member.count, values));
                    record.count = record.count.saturating_add(member.count);
                    record.id = record.id.min(member.id);
                }
            }
            let parts = view.geometry().into_iter().flat_map(|g| g.parts());
            for line in parts.flat_map(|part| part.rings()) {
                let mut points: Vec<[f64; 2]> = line.points().collect();
                if is_backward {
                    points.reverse();
                }
                match lines.last_mut() {
                    // Members of a chain are one line each and share the vertex between them.
                    Some(line) if i > 0 => line.extend_from_slice(&points[1.min(points.len())..]),
                    Some(_) | None => lines.push(points),
                }
            }
        }
        let Some(merged) = merged else {
            return Ok(Made::TooSmall(record));
        };
        let simplified = self.simplify(&lines, nodes);
        let [width, height] = simplified.size_units();
        if width.hypot(height) < SMALLEST_UNITS {
            return Ok(Made::TooSmall(record));
        }
        let geometry = &simplified.geometry;
        let bbox = geometry.bbox();
        if chain.len() > 1
            && let Some(label) = label_point(geometry)
        {
            record.label = [label.x, label.y];
        }
        record.bbox_in_layer_crs = bbox;
        record.size = bbox.width().hypot(bbox.height()) as f32;
        record.vertices = geometry.vertex_count() as u32;
        let mut message = Vec::new();
        encoder.encode(geometry, &merged.values, &self.work.schema, &mut message);
        let label = self.work.plane.place(record.label);
        Ok(Made::Line(Line {
            rank: self.rank(&merged, simplified.length_units, record.id),
            message,
            costs: self.costs(&simplified.units, record.count, label),
            runs: simplified.rounded(),
            record,
        }))
    }

    /// The attributes of a feature of the source, under the schema of levels.
    fn alone(&self, count: u32, mut values: Vec<Value>) -> Merged {
        let aggregates = &self.work.layer.aggregates;
        let own = self.work.layer.schema.fields.len();
        let results = match count {
            1 => aggregates.of(&values[..own]),
            _ => values[own + 1..].to_vec(),
        };
        values.resize(self.work.schema.fields.len(), Value::Null);
        Merged {
            count,
            values,
            results,
        }
    }

    fn join(&self, into: &mut Merged, other: &Merged) {
        let aggregates = &self.work.layer.aggregates;
        let own = self.work.layer.schema.fields.len();
        into.count = into.count.saturating_add(other.count);
        aggregates.join(&mut into.results, &other.results);
        for (column, value) in into.values.iter_mut().enumerate() {
            if !self.class_columns.contains(&column) || *value != other.values[column] {
                *value = Value::Null;
            }
        }
        into.values[own] = Value::Integer(i64::from(into.count));
        into.values[own + 1..].clone_from_slice(&into.results);
    }

    /// The most important class first, of a class the longest first, of a length by id.
    fn rank(&self, merged: &Merged, length_units: f64, id: u64) -> u64 {
        let class = self
            .class_columns
            .iter()
            .map(|&column| match &merged.values[column] {
                Value::Text(class) => line_rank(class),
                _ => u8::MAX,
            });
        let class = class.min().unwrap_or(u8::MAX);
        let shortness = u32::MAX - (length_units as f32).to_bits();
        u64::from(class) << 56 | u64::from(shortness) << 24 | (id & 0xFF_FFFF)
    }

    fn simplify(&self, lines: &[Vec<[f64; 2]>], nodes: &[u64]) -> Simplified {
        let plane = &self.work.plane;
        let mut out = Simplified {
            geometry: Geometry::new(match lines.len() {
                1 => GeometryType::LineString,
                _ => GeometryType::MultiLineString,
            }),
            units: Vec::new(),
            length_units: 0.0,
        };
        for line in lines {
            let units: Vec<[f64; 2]> = line
                .iter()
                .map(|&point| plane.place(point).map(|v| v * self.units))
                .collect();
            let is_node = |at: usize| {
                let [x, y] = plane.cell(line[at], 32);
                nodes.binary_search(&node_key([x, y])).is_ok()
            };
            let keep = vertices_to_keep(&units, is_node, TOLERANCE_UNITS);
            let kept = |at: &usize| keep[*at];
            let points = (0..line.len()).filter(kept).map(|at| line[at]);
            out.geometry.push_ring(points);
            let units: Vec<[f64; 2]> = (0..line.len()).filter(kept).map(|at| units[at]).collect();
            let steps = units.windows(2);
            out.length_units += steps
                .map(|p| (p[1][0] - p[0][0]).hypot(p[1][1] - p[0][1]))
                .sum::<f64>();
            out.units.push(units);
        }
        out
    }

    /// What a line takes in each tile that it crosses.
    fn costs(&self, lines: &[Vec<[f64; 2]>], count: u32, label: [f64; 2]) -> Vec<Cost> {
        let tile_units = (1u32 << EXTENT_BITS) as f64;
        let last_tile = (self.units / tile_units) as u32 - 1;
        let tile_of = |at: [f64; 2]| at.map(|v| ((v / tile_units) as u32).min(last_tile));
        let attributes = &self.work.attributes;
        let frame = match count {
            1 => FRAME_BYTES + attributes.shape,
            _ => JOINED_BYTES + AGGREGATE_BYTES * self.work.layer.aggregates.len() as f64,
        };
        let mut costs: Vec<Cost> = Vec::new();
        let mut add = |tile: [u32; 2], bytes: f64| {
            // A line is in few tiles, and mostly in the one before.
            match costs.iter_mut().rev().find(|(known, _)| *known == tile) {
                Some((_, sum)) => *sum += bytes as f32,
                None => costs.push((tile, (frame + bytes) as f32)),
            }
        };
        for line in lines {
            for (at, &[x, y]) in line.iter().enumerate() {
                add(tile_of([x, y]), VERTEX_BYTES);
                let Some(&[to_x, to_y]) = line.get(at + 1) else {
                    continue;
                };
                // What a long stretch crosses without a vertex.
                let steps = ((to_x - x).hypot(to_y - y) / tile_units) as u32;
                for step in 1..=steps {
                    let t = f64::from(step) / f64::from(steps + 1);
                    let between = [x + (to_x - x) * t, y + (to_y - y) * t];
                    add(tile_of(between), VERTEX_BYTES);
                }
            }
        }
        if count == 1 {
            add(
                tile_of(label.map(|v| v * self.units)),
                FRAME_BYTES + attributes.label,
            );
        }
        costs
    }
}

/// A feature, or what several have come to.
struct Merged {
    count: u32,
    /// Under the schema of levels.
    values: Vec<Value>,
    /// Of the aggregates, also of a feature by itself.
    results: Vec<Value>,
}

struct Simplified {
    geometry: Geometry,
    /// Its lines in units of the zoom.
    units: Vec<Vec<[f64; 2]>>,
    length_units: f64,
}

impl Simplified {
    fn rounded(&self) -> Vec<Vec<[i32; 2]>> {
        let round = |run: &Vec<[f64; 2]>| run.iter().map(|p| p.map(|v| v as i32)).collect();
        self.units.iter().map(round).collect()
    }

    /// Width and height of the box.
    fn size_units(&self) -> [f64; 2] {
        [0, 1].map(|axis| {
            let values = || self.units.iter().flatten().map(|point| point[axis]);
            let max = values().fold(f64::NEG_INFINITY, f64::max);
            let min = values().fold(f64::INFINITY, f64::min);
            (max - min).max(0.0)
        })
    }
}

/// A place where ends meet, as one number; nine millimetres wide at the equator.
fn node_key([x, y]: [u32; 2]) -> u64 {
    u64::from(x) << 32 | u64::from(y)
}

/// Record, costs, runs and message, lists after their lengths.
fn pack(line: &Line, payload: &mut Vec<u8>) {
    payload.clear();
    payload.extend_from_slice(&line.record.to_bytes());
    payload.extend_from_slice(&(line.costs.len() as u32).to_le_bytes());
    for ([x, y], bytes) in &line.costs {
        payload.extend_from_slice(&x.to_le_bytes());
        payload.extend_from_slice(&y.to_le_bytes());
        payload.extend_from_slice(&bytes.to_le_bytes());
    }
    payload.extend_from_slice(&(line.runs.len() as u32).to_le_bytes());
    for run in &line.runs {
        payload.extend_from_slice(&(run.len() as u32).to_le_bytes());
        for value in run.as_flattened() {
            payload.extend_from_slice(&value.to_le_bytes());
        }
    }
    payload.extend_from_slice(&line.message);
}

type Unpacked<'a> = (FeatureRecord, Vec<Cost>, Vec<Vec<[i32; 2]>>, &'a [u8]);

fn unpack(payload: &[u8]) -> Unpacked<'_> {
    let (record, mut rest) = payload
        .split_first_chunk::<{ FeatureRecord::BYTES }>()
        .expect("a line as it was packed");
    let mut four = || {
        let (word, tail) = rest
            .split_first_chunk::<4>()
            .expect("a line as it was packed");
        rest = tail;
        *word
    };
    let costs = (0..u32::from_le_bytes(four()))
        .map(|_| {
            let tile = [(); 2].map(|()| u32::from_le_bytes(four()));
            (tile, f32::from_le_bytes(four()))
        })
        .collect();
    let runs = (0..u32::from_le_bytes(four()))
        .map(|_| {
            (0..u32::from_le_bytes(four()))
                .map(|_| [(); 2].map(|()| i32::from_le_bytes(four())))
                .collect()
        })
        .collect();
    (FeatureRecord::from_bytes(record), costs, runs, rest)
}
