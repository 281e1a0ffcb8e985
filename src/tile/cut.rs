//! From stored vertices to a tile's features: transform, round, clip, mend, encode.

use std::time::{Duration, Instant};

use super::level::Source;
use super::{LABEL_SUFFIX, TileError};
use crate::crs::Warp;
use crate::format::feature_index::FeatureRecord;
use crate::format::fgb::{FeatureView, GeometryView, RingView};
use crate::format::mvt::{EXTENT, GeometryWriter, LayerWriter, TileGeometry};
use crate::geom::grid::{GridPoint, ValidityCheck, clean, clip_line, clip_ring, doubled_area};
use crate::geom::{Bbox, GeometryType};
use crate::model::{GridError, Schema, TileCoord, TileGrid};
use crate::query::Budget;

/// Features encoded between two checks of the budget.
const CHECK_EVERY: usize = 256;
/// A polygon's label is worth carrying when there is room for it: this many units of the grid to
/// the border (4 pixels of a 512-pixel tile, half the height of the smallest letters).
const LABEL_CLEARANCE_UNITS: f64 = 32.0;

/// The tile's place on the grid of its zoom.
pub struct Frame {
    bbox: Bbox,
    /// CRS units per tile unit.
    unit: f64,
    /// Top-left corner of the whole matrix.
    origin: [f64; 2],
    /// Tile's top-left corner in units from the matrix's.
    offset: [i64; 2],
    min: i64,
    max: i64,
}

impl Frame {
    pub fn new(
        grid: &TileGrid,
        tile: TileCoord,
        bbox: &Bbox,
        buffer: u32,
    ) -> Result<Frame, GridError> {
        let matrix = grid.matrix(u32::from(tile.z))?;
        let extent = i64::from(EXTENT);
        Ok(Frame {
            bbox: *bbox,
            unit: matrix.cell_size * f64::from(matrix.tile_size_px[0]) / f64::from(EXTENT),
            origin: matrix.origin,
            offset: [i64::from(tile.x) * extent, i64::from(tile.y) * extent],
            min: -i64::from(buffer),
            max: extent + i64::from(buffer),
        })
    }

    pub fn unit(&self) -> f64 {
        self.unit
    }

    pub fn buffered_bbox(&self) -> Bbox {
        let margin = self.unit * -self.min as f64;
        self.bbox.expanded(margin, margin)
    }

    /// Rounds on the grid of the whole plane, then makes it local. Rows count downwards.
    #[inline]
    fn local(&self, [x, y]: [f64; 2]) -> [i64; 2] {
        let column = ((x - self.origin[0]) / self.unit + 0.5).floor() as i64;
        let row = ((self.origin[1] - y) / self.unit + 0.5).floor() as i64;
        [column - self.offset[0], row - self.offset[1]]
    }
}

/// A layer's two layers of a tile, and what encoding them has shown.
pub struct Encoded {
    pub(super) shapes: LayerWriter,
    labels: LayerWriter,
    feature_bytes: Vec<u32>,
    /// Polygons that could not be made valid on the grid.
    pub unmended: u64,
}

impl Encoded {
    /// Nothing yet, of features with up to `columns` attributes.
    pub(super) fn new(name: &str, columns: usize) -> Encoded {
        Encoded {
            shapes: LayerWriter::new(name.to_string(), columns),
            labels: LayerWriter::new(format!("{name}{LABEL_SUFFIX}"), columns),
            feature_bytes: Vec::new(),
            unmended: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.shapes.len() + self.labels.len()
    }

    /// Bytes of each feature that was asked for, its attributes included.
    pub fn feature_bytes(&self) -> &[u32] {
        &self.feature_bytes
    }

    pub fn finish(self, tile: &mut Vec<u8>) {
        self.shapes.finish(tile);
        self.labels.finish(tile);
    }
}

/// Cuts features; keeps its buffers from one to the next.
pub struct Painter<'a> {
    frame: &'a Frame,
    warp: &'a Warp,
    schema: &'a Schema,
    columns: &'a [bool],
    pub timings: Phases,
    geometry: GeometryWriter,
    planar: Vec<[f64; 2]>,
    wide: Vec<[i64; 2]>,
    scratch: Vec<[i64; 2]>,
    rings: Vec<Vec<GridPoint>>,
    spare: Vec<Vec<GridPoint>>,
    validity: ValidityCheck,
}

/// Time spent per phase.
#[derive(Default, Clone, Copy)]
pub struct Phases {
    pub decode: Duration,
    pub clip: Duration,
    pub encode: Duration,
}

impl<'a> Painter<'a> {
    pub fn new(
        frame: &'a Frame,
        warp: &'a Warp,
        schema: &'a Schema,
        columns: &'a [bool],
    ) -> Painter<'a> {
        Painter {
            frame,
            warp,
            schema,
            columns,
            timings: Phases::default(),
            geometry: GeometryWriter::default(),
            planar: Vec::new(),
            wide: Vec::new(),
            scratch: Vec::new(),
            rings: Vec::new(),
            spare: Vec::new(),
            validity: ValidityCheck::default(),
        }
    }

    pub fn encode(
        &mut self,
        source: &Source<'_>,
        features: &[u32],
        name: &str,
        budget: &Budget,
    ) -> Result<Encoded, TileError> {
        let columns = self.columns.len();
        let mut out = Encoded::new(name, columns);
        self.timings = Phases::default();
        for (i, &feature) in features.iter().enumerate() {
            if i.is_multiple_of(CHECK_EVERY) {
                budget.check()?;
            }
            let before = out.len();
            let record = source.index.record(feature);
            let view = source.features.feature(record.offset)?;
            if let Some(shape) = view.geometry() {
                self.feature(&record, &view, &shape, &mut out);
            }
            out.feature_bytes.push((out.len() - before) as u32);
        }
        Ok(out)
    }

    fn feature(
        &mut self,
        record: &FeatureRecord,
        view: &FeatureView<'_>,
        shape: &GeometryView<'_>,
        out: &mut Encoded,
    ) {
        self.geometry.clear();
        let kind = match shape.kind {
            GeometryType::Point | GeometryType::MultiPoint => {
                self.points(shape);
                TileGeometry::Point
            }
            GeometryType::LineString | GeometryType::MultiLineString => {
                self.lines(shape);
                TileGeometry::Line
            }
            GeometryType::Polygon | GeometryType::MultiPolygon => {
                out.unmended += u64::from(!self.polygons(shape));
                TileGeometry::Polygon
            }
        };
        let started = Instant::now();
        let alone = record.count == 1;
        if !self.geometry.is_empty() {
            self.attributes(view, &mut out.shapes);
            let id = alone.then_some(record.id);
            out.shapes.feature(id, kind, &self.geometry);
        }
        if kind != TileGeometry::Point && alone {
            self.label(record, view, kind, out);
        }
        self.timings.encode += started.elapsed();
    }

    /// Which attributes are carried.
    pub(super) fn columns(&self) -> &'a [bool] {
        self.columns
    }

    pub(super) fn attributes(&self, view: &FeatureView<'_>, layer: &mut LayerWriter) {
        view.for_each_value(self.schema, |column, value| {
            if self.columns[column] {
                layer.attribute(column, &self.schema.fields[column].name, value);
            }
        });
    }

    /// The label goes into exactly one tile: the one whose half-open square holds its point.
    pub(super) fn label(
        &mut self,
        record: &FeatureRecord,
        view: &FeatureView<'_>,
        kind: TileGeometry,
        out: &mut Encoded,
    ) {
        let [x, y] = record.label;
        let point = self.frame.local(self.warp.point(x, y));
        let extent = i64::from(EXTENT);
        if point.iter().any(|&c| c < 0 || c >= extent) {
            return;
        }
        if kind == TileGeometry::Polygon {
            let [edge_x, edge_y] = self.warp.point(x + f64::from(record.label_clearance), y);
            let [px, py] = self.warp.point(x, y);
            let room = (edge_x - px).hypot(edge_y - py) / self.frame.unit;
            if room < LABEL_CLEARANCE_UNITS {
                return;
            }
        }
        self.geometry.clear();
        self.geometry.points(&[[point[0] as i32, point[1] as i32]]);
        self.attributes(view, &mut out.labels);
        out.labels
            .feature(Some(record.id), TileGeometry::Point, &self.geometry);
    }

    /// Brings a ring or line into `self.wide`, without repeated points.
    fn bring(&mut self, ring: RingView<'_>) {
        self.planar.clear();
        self.warp.append(ring.points(), &mut self.planar);
        self.wide.clear();
        let mut last = None;
        for &position in &self.planar {
            let point = self.frame.local(position);
            if last != Some(point) {
                self.wide.push(point);
                last = Some(point);
            }
        }
    }

    fn points(&mut self, shape: &GeometryView<'_>) {
        let mut points: Vec<GridPoint> = Vec::new();
        for part in shape.parts() {
            for [x, y] in part.all().points() {
                let [column, row] = self.frame.local(self.warp.point(x, y));
                let range = self.frame.min..self.frame.max;
                if range.contains(&column) && range.contains(&row) {
                    points.push([column as i32, row as i32]);
                }
            }
        }
        if !points.is_empty() {
            self.geometry.points(&points);
        }
    }

    fn lines(&mut self, shape: &GeometryView<'_>) {
        let (min, max) = (self.frame.min, self.frame.max);
        for part in shape.parts() {
            for line in part.rings() {
                self.bring(line);
                let geometry = &mut self.geometry;
                clip_line(&self.wide, min, max, |piece| {
                    let piece: Vec<GridPoint> = piece.iter().map(narrow).collect();
                    geometry.line(&piece);
                });
            }
        }
    }

    /// Writes all polygons of a feature; `false` when they could not be made valid.
    fn polygons(&mut self, shape: &GeometryView<'_>) -> bool {
        self.spare.append(&mut self.rings);
        for part in shape.parts() {
            for (i, ring) in part.rings().enumerate() {
                let is_shell = i == 0;
                let left = self.ring(ring, is_shell);
                if is_shell && !left {
                    // Without a shell there is nothing to cut holes from.
                    break;
                }
            }
        }
        let started = Instant::now();
        let mended = self.write_rings();
        self.timings.clip += started.elapsed();
        mended
    }

    /// Brings, clips and winds one ring into `self.rings`; `false` when nothing is left of it.
    fn ring(&mut self, ring: RingView<'_>, is_shell: bool) -> bool {
        let started = Instant::now();
        self.bring(ring);
        if self.wide.len() > 1 && self.wide.first() == self.wide.last() {
            self.wide.pop();
        }
        self.timings.decode += started.elapsed();
        if self.leaves_frame() {
            let started = Instant::now();
            clip_ring(
                &mut self.wide,
                &mut self.scratch,
                self.frame.min,
                self.frame.max,
            );
            self.timings.clip += started.elapsed();
        }
        if self.wide.len() < 3 {
            return false;
        }
        let mut narrowed = self.spare.pop().unwrap_or_default();
        narrowed.clear();
        narrowed.extend(self.wide.iter().map(narrow));
        // In the tile's own axes (rows downwards) shells have positive area, as the standard wants.
        if (doubled_area(&narrowed) > 0) != is_shell {
            narrowed.reverse();
        }
        self.rings.push(narrowed);
        true
    }

    fn leaves_frame(&self) -> bool {
        let (mut low, mut high) = (i64::MAX, i64::MIN);
        for &[x, y] in &self.wide {
            low = low.min(x).min(y);
            high = high.max(x).max(y);
        }
        low < self.frame.min || high > self.frame.max
    }

    fn write_rings(&mut self) -> bool {
        if self.validity.is_valid(&self.rings) {
            for ring in &self.rings {
                self.geometry.ring(ring);
            }
            return true;
        }
        let Ok(polygons) = clean(&self.rings) else {
            return false;
        };
        for ring in polygons.iter().flatten() {
            self.geometry.ring(ring);
        }
        true
    }
}

fn narrow(&[x, y]: &[i64; 2]) -> GridPoint {
    [x as i32, y as i32]
}
