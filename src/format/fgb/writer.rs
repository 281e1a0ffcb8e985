//! Encodes features and assembles the file.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use flatbuffers::{FlatBufferBuilder, WIPOffset};
use flatgeobuf as fb;

use super::{MAGIC, NODE_BYTES, NODE_SIZE, index_bytes, level_sizes};
use crate::crs::Crs;
use crate::geom::{Bbox, Geometry, GeometryType};
use crate::model::{FieldType, Schema, Value};

/// Turns features into FlatGeobuf feature messages; one per thread, reused.
pub struct FeatureEncoder {
    builder: FlatBufferBuilder<'static>,
    properties: Vec<u8>,
}

impl Default for FeatureEncoder {
    fn default() -> FeatureEncoder {
        FeatureEncoder::new()
    }
}

impl FeatureEncoder {
    pub fn new() -> FeatureEncoder {
        FeatureEncoder {
            builder: FlatBufferBuilder::with_capacity(4096),
            properties: Vec::new(),
        }
    }

    /// Appends one size-prefixed feature message to `out`.
    pub fn encode(
        &mut self,
        geometry: &Geometry,
        values: &[Value],
        schema: &Schema,
        out: &mut Vec<u8>,
    ) {
        self.builder.reset();
        let properties = if values.iter().all(|value| *value == Value::Null) {
            None
        } else {
            encode_properties(values, schema, &mut self.properties);
            Some(self.builder.create_vector(&self.properties))
        };
        let geometry = encode_geometry(&mut self.builder, geometry);
        let feature = fb::Feature::create(
            &mut self.builder,
            &fb::FeatureArgs {
                geometry: Some(geometry),
                properties,
                columns: None,
            },
        );
        self.builder.finish_size_prefixed(feature, None);
        out.extend_from_slice(self.builder.finished_data());
    }
}

fn encode_geometry<'a>(
    builder: &mut FlatBufferBuilder<'a>,
    geometry: &Geometry,
) -> WIPOffset<fb::Geometry<'a>> {
    let type_ = type_code(geometry.kind);
    match geometry.kind {
        GeometryType::MultiPolygon => {
            let parts: Vec<_> = geometry
                .polygons()
                .map(|rings| {
                    let first = if rings.start == 0 {
                        0
                    } else {
                        geometry.ends[rings.start - 1]
                    };
                    let ends: Vec<u32> = geometry.ends[rings.clone()]
                        .iter()
                        .map(|end| end - first)
                        .collect();
                    let last = rings
                        .end
                        .checked_sub(1)
                        .map_or(first, |ring| geometry.ends[ring]);
                    let span = first as usize..last as usize;
                    simple_geometry(builder, fb::GeometryType::Polygon, geometry, span, &ends)
                })
                .collect();
            let parts = builder.create_vector(&parts);
            fb::Geometry::create(
                builder,
                &fb::GeometryArgs {
                    type_,
                    parts: Some(parts),
                    ..Default::default()
                },
            )
        }
        GeometryType::Point
        | GeometryType::MultiPoint
        | GeometryType::LineString
        | GeometryType::MultiLineString
        | GeometryType::Polygon => {
            let span = 0..geometry.vertex_count();
            simple_geometry(builder, type_, geometry, span, &geometry.ends)
        }
    }
}

/// A geometry that is one run of vertices; `ends` are written only when there are several.
fn simple_geometry<'a>(
    builder: &mut FlatBufferBuilder<'a>,
    type_: fb::GeometryType,
    geometry: &Geometry,
    span: std::ops::Range<usize>,
    ends: &[u32],
) -> WIPOffset<fb::Geometry<'a>> {
    let ends = (ends.len() > 1).then(|| builder.create_vector(ends));
    let z = (!geometry.z.is_empty()).then(|| builder.create_vector(&geometry.z[span.clone()]));
    let xy = builder.create_vector(&geometry.xy[span.start * 2..span.end * 2]);
    fb::Geometry::create(
        builder,
        &fb::GeometryArgs {
            ends,
            xy: Some(xy),
            z,
            type_,
            ..Default::default()
        },
    )
}

fn type_code(kind: GeometryType) -> fb::GeometryType {
    match kind {
        GeometryType::Point => fb::GeometryType::Point,
        GeometryType::MultiPoint => fb::GeometryType::MultiPoint,
        GeometryType::LineString => fb::GeometryType::LineString,
        GeometryType::MultiLineString => fb::GeometryType::MultiLineString,
        GeometryType::Polygon => fb::GeometryType::Polygon,
        GeometryType::MultiPolygon => fb::GeometryType::MultiPolygon,
    }
}

/// Pairs of column number and value; nulls are left out.
///
/// A value whose type does not fit its column cannot come from a reader that keeps its schema.
fn encode_properties(values: &[Value], schema: &Schema, out: &mut Vec<u8>) {
    out.clear();
    for (column, (value, field)) in values.iter().zip(&schema.fields).enumerate() {
        let tag = |out: &mut Vec<u8>| out.extend_from_slice(&(column as u16).to_le_bytes());
        match (value, field.field_type) {
            (Value::Null, _) => {}
            (Value::Boolean(value), _) => {
                tag(out);
                out.push(u8::from(*value));
            }
            (Value::Integer(value), FieldType::Real) => {
                tag(out);
                out.extend_from_slice(&(*value as f64).to_le_bytes());
            }
            (Value::Integer(value), _) => {
                tag(out);
                out.extend_from_slice(&value.to_le_bytes());
            }
            (Value::Real(value), _) => {
                tag(out);
                out.extend_from_slice(&value.to_le_bytes());
            }
            (Value::Text(text), _) => {
                tag(out);
                out.extend_from_slice(&(text.len() as u32).to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            (Value::Binary(bytes), _) => {
                tag(out);
                out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                out.extend_from_slice(bytes);
            }
        }
    }
}

fn column_type(field_type: FieldType) -> fb::ColumnType {
    match field_type {
        FieldType::Boolean => fb::ColumnType::Bool,
        FieldType::Integer => fb::ColumnType::Long,
        FieldType::Real => fb::ColumnType::Double,
        FieldType::String => fb::ColumnType::String,
        FieldType::Date | FieldType::DateTime => fb::ColumnType::DateTime,
        FieldType::Binary => fb::ColumnType::Binary,
        FieldType::Json => fb::ColumnType::Json,
    }
}

/// Writes the file from messages in Hilbert order whose number and extent are known beforehand.
///
/// Memory: one node per sixteen features.
pub struct FileWriter {
    features: BufWriter<File>,
    leaves: BufWriter<File>,
    /// First node above the leaves, filled as the leaves pass.
    parents: Vec<Bbox>,
    count: u64,
    written: u64,
    index_start: u64,
    offset: u64,
}

impl FileWriter {
    /// Starts `path` (which must not exist) for `count` features.
    pub fn create(
        path: &Path,
        name: &str,
        schema: &Schema,
        crs: &Crs,
        has_z: bool,
        count: u64,
        extent: &Bbox,
    ) -> std::io::Result<FileWriter> {
        let mut file = File::create_new(path)?;
        file.write_all(&MAGIC)?;
        file.write_all(&header(name, schema, crs, has_z, count, extent))?;
        let index_start = file.stream_position()?;
        let mut leaves = File::options().write(true).open(path)?;
        let inner_nodes: u64 = if count == 0 {
            0
        } else {
            level_sizes(count)[1..].iter().sum()
        };
        leaves.seek(SeekFrom::Start(index_start + inner_nodes * NODE_BYTES))?;
        file.seek(SeekFrom::Start(index_start + index_bytes(count)))?;
        Ok(FileWriter {
            features: BufWriter::with_capacity(1 << 20, file),
            leaves: BufWriter::with_capacity(1 << 16, leaves),
            parents: Vec::new(),
            count,
            written: 0,
            index_start,
            offset: 0,
        })
    }

    /// Appends a message and returns its offset within the feature section.
    pub fn push(&mut self, message: &[u8], bbox: &Bbox) -> std::io::Result<u64> {
        let offset = self.offset;
        self.features.write_all(message)?;
        write_node(&mut self.leaves, bbox, offset)?;
        if self.written.is_multiple_of(NODE_SIZE as u64) {
            self.parents.push(*bbox);
        } else if let Some(parent) = self.parents.last_mut() {
            *parent = parent.union(bbox);
        }
        self.written += 1;
        self.offset += message.len() as u64;
        Ok(offset)
    }

    /// Writes the upper levels of the index and syncs the file.
    pub fn finish(mut self) -> std::io::Result<()> {
        assert_eq!(self.written, self.count, "as many features as announced");
        self.leaves.flush()?;
        let mut file = self.features.into_inner().map_err(|e| e.into_error())?;
        if self.count > 0 {
            let sizes = level_sizes(self.count);
            // Levels are stored root first; `first_child` is the index of a level's first node.
            let mut first_child: u64 = sizes[1..].iter().sum();
            let mut level = self.parents;
            for &size in &sizes[1..] {
                let start = first_child - size;
                file.seek(SeekFrom::Start(self.index_start + start * NODE_BYTES))?;
                let mut out = BufWriter::new(&mut file);
                for (i, bbox) in level.iter().enumerate() {
                    write_node(&mut out, bbox, first_child + (i * NODE_SIZE) as u64)?;
                }
                out.flush()?;
                level = level
                    .chunks(NODE_SIZE)
                    .map(|nodes| nodes.iter().fold(Bbox::EMPTY, |all, node| all.union(node)))
                    .collect();
                first_child = start;
            }
        }
        file.sync_all()
    }
}

fn write_node(out: &mut impl Write, bbox: &Bbox, offset: u64) -> std::io::Result<()> {
    for value in bbox.to_array() {
        out.write_all(&value.to_le_bytes())?;
    }
    out.write_all(&offset.to_le_bytes())
}

fn header(
    name: &str,
    schema: &Schema,
    crs: &Crs,
    has_z: bool,
    count: u64,
    extent: &Bbox,
) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let columns: Vec<_> = schema
        .fields
        .iter()
        .map(|field| {
            let name = builder.create_string(&field.name);
            let title = field
                .alias
                .as_ref()
                .map(|alias| builder.create_string(alias));
            fb::Column::create(
                &mut builder,
                &fb::ColumnArgs {
                    name: Some(name),
                    type_: column_type(field.field_type),
                    title,
                    width: if field.width == 0 {
                        -1
                    } else {
                        field.width as i32
                    },
                    precision: if field.precision == 0 {
                        -1
                    } else {
                        field.precision as i32
                    },
                    ..Default::default()
                },
            )
        })
        .collect();
    let columns = builder.create_vector(&columns);
    let name = builder.create_string(name);
    let envelope = (count > 0).then(|| builder.create_vector(&extent.to_array()));
    let crs_name = builder.create_string(&crs.name);
    let org = crs.epsg.map(|_| builder.create_string("EPSG"));
    let wkt = crs
        .epsg
        .is_none()
        .then(|| builder.create_string(&crs.definition));
    let crs = fb::Crs::create(
        &mut builder,
        &fb::CrsArgs {
            org,
            code: crs.epsg.map_or(0, |code| code as i32),
            name: Some(crs_name),
            wkt,
            ..Default::default()
        },
    );
    let header = fb::Header::create(
        &mut builder,
        &fb::HeaderArgs {
            name: Some(name),
            envelope,
            geometry_type: fb::GeometryType::Unknown,
            has_z,
            columns: Some(columns),
            features_count: count,
            index_node_size: if count == 0 { 0 } else { NODE_SIZE as u16 },
            crs: Some(crs),
            ..Default::default()
        },
    );
    builder.finish_size_prefixed(header, None);
    builder.finished_data().to_vec()
}
