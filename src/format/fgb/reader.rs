//! Reads features in place from a mapped file.

use std::fs::File;
use std::path::{Path, PathBuf};

use flatgeobuf as fb;
use memmap2::Mmap;

use super::super::FormatError;
use super::{MAGIC, index_bytes};
use crate::geom::{Bbox, Geometry, GeometryType};
use crate::model::{FieldType, Schema, Value};

/// An opened FlatGeobuf of ours; cheap to read from many threads.
pub struct FgbFile {
    path: PathBuf,
    map: Mmap,
    features_start: usize,
    count: u64,
}

impl FgbFile {
    /// Maps the file and checks its header.
    ///
    /// # Errors
    /// [`FormatError`] when the file cannot be read or is not a FlatGeobuf of version 3.
    pub fn open(path: &Path) -> Result<FgbFile, FormatError> {
        let io = |source| FormatError::Io {
            path: path.to_path_buf(),
            source,
        };
        let malformed = |found: &str, expected: &str| FormatError::Malformed {
            path: path.to_path_buf(),
            found: found.to_string(),
            expected: expected.to_string(),
        };
        let file = File::open(path).map_err(io)?;
        // SAFETY: files of a published generation are never written again, only unlinked.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        if map.len() < 12 || map[..4] != MAGIC[..4] {
            return Err(malformed(
                "no FlatGeobuf signature",
                "\"fgb\" and version 3",
            ));
        }
        let header_len = u32::from_le_bytes(map[8..12].try_into().expect("four bytes")) as usize;
        let header_end = 12usize.saturating_add(header_len);
        if header_end > map.len() {
            return Err(malformed(
                "a header longer than the file",
                "a complete header",
            ));
        }
        let header = fb::size_prefixed_root_as_header(&map[8..header_end])
            .map_err(|e| malformed(&format!("an invalid header ({e})"), "a FlatGeobuf header"))?;
        let count = header.features_count();
        // Each has a length of four bytes at least.
        if count > map.len() as u64 / 4 {
            return Err(malformed(
                &format!("{count} features"),
                "as many as the file can hold",
            ));
        }
        let index = if header.index_node_size() == 0 {
            0
        } else {
            index_bytes(count)
        };
        let features_start = (header_end as u64).saturating_add(index);
        if features_start > map.len() as u64 {
            return Err(malformed(
                "an index longer than the file",
                "a complete index",
            ));
        }
        Ok(FgbFile {
            path: path.to_path_buf(),
            features_start: features_start as usize,
            count,
            map,
        })
    }

    pub fn feature_count(&self) -> u64 {
        self.count
    }

    /// Lets go of the pages read so far; they are read again when they are asked for. For those
    /// who go through the whole file once.
    pub fn let_go(&self) {
        super::super::let_go(&self.map);
    }

    /// The feature whose message starts at `offset` of the feature section.
    pub fn feature(&self, offset: u64) -> Result<FeatureView<'_>, FormatError> {
        let message = self.message(offset)?;
        let feature =
            fb::size_prefixed_root_as_feature(message).map_err(|e| FormatError::Feature {
                path: self.path.clone(),
                offset,
                reason: e.to_string(),
            })?;
        Ok(FeatureView { feature })
    }

    /// All bytes of that feature, its length first.
    pub fn message(&self, offset: u64) -> Result<&[u8], FormatError> {
        let error = |reason: String| FormatError::Feature {
            path: self.path.clone(),
            offset,
            reason,
        };
        let section = &self.map[self.features_start..];
        let start = usize::try_from(offset)
            .ok()
            .filter(|&start| start.saturating_add(4) <= section.len())
            .ok_or_else(|| error("beyond the end of the file".into()))?;
        let len = u32::from_le_bytes(section[start..start + 4].try_into().expect("four bytes"));
        let end = start + 4 + len as usize;
        section
            .get(start..end)
            .ok_or_else(|| error("longer than the file".into()))
    }
}

/// A feature in the mapped file.
#[derive(Clone, Copy)]
pub struct FeatureView<'a> {
    feature: fb::Feature<'a>,
}

/// An attribute's value in the mapped file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'a> {
    Boolean(bool),
    Integer(i64),
    Real(f64),
    Text(&'a str),
    Binary(&'a [u8]),
}

impl<'a> ValueRef<'a> {
    /// `None` for no value.
    pub fn of(value: &'a Value) -> Option<ValueRef<'a>> {
        Some(match value {
            Value::Null => return None,
            Value::Boolean(value) => ValueRef::Boolean(*value),
            Value::Integer(value) => ValueRef::Integer(*value),
            Value::Real(value) => ValueRef::Real(*value),
            Value::Text(text) => ValueRef::Text(text),
            Value::Binary(bytes) => ValueRef::Binary(bytes),
        })
    }

    pub fn to_value(self) -> Value {
        match self {
            ValueRef::Boolean(value) => Value::Boolean(value),
            ValueRef::Integer(value) => Value::Integer(value),
            ValueRef::Real(value) => Value::Real(value),
            ValueRef::Text(text) => Value::Text(text.to_string()),
            ValueRef::Binary(bytes) => Value::Binary(bytes.to_vec()),
        }
    }
}

impl<'a> FeatureView<'a> {
    /// The shape, or `None` when there is none or its type is not one of ours.
    pub fn geometry(&self) -> Option<GeometryView<'a>> {
        let geometry = self.feature.geometry()?;
        let kind = match geometry.type_() {
            fb::GeometryType::Point => GeometryType::Point,
            fb::GeometryType::MultiPoint => GeometryType::MultiPoint,
            fb::GeometryType::LineString => GeometryType::LineString,
            fb::GeometryType::MultiLineString => GeometryType::MultiLineString,
            fb::GeometryType::Polygon => GeometryType::Polygon,
            fb::GeometryType::MultiPolygon => GeometryType::MultiPolygon,
            _ => return None,
        };
        Some(GeometryView { kind, geometry })
    }

    /// Calls `each` with every non-null attribute: column number and value. Stops at bytes that
    /// do not fit the schema, which cannot be in a file whose checksum held.
    pub fn for_each_value(&self, schema: &Schema, mut each: impl FnMut(usize, ValueRef<'a>)) {
        let mut rest = self.feature.properties().map_or(&[][..], |p| p.bytes());
        while let Some((column, value, tail)) = next_value(rest, schema) {
            each(column, value);
            rest = tail;
        }
    }

    /// All attributes, one per schema field.
    pub fn values(&self, schema: &Schema) -> Vec<Value> {
        let mut values = vec![Value::Null; schema.fields.len()];
        self.for_each_value(schema, |column, value| values[column] = value.to_value());
        values
    }
}

fn next_value<'a>(bytes: &'a [u8], schema: &Schema) -> Option<(usize, ValueRef<'a>, &'a [u8])> {
    let (column, rest) = bytes.split_first_chunk::<2>()?;
    let column = usize::from(u16::from_le_bytes(*column));
    let sized = |bytes: &'a [u8]| -> Option<(&'a [u8], &'a [u8])> {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        rest.split_at_checked(u32::from_le_bytes(*len) as usize)
    };
    let (value, rest) = match schema.fields.get(column)?.field_type {
        FieldType::Boolean => {
            let (value, rest) = rest.split_first()?;
            (ValueRef::Boolean(*value != 0), rest)
        }
        FieldType::Integer => {
            let (value, rest) = rest.split_first_chunk::<8>()?;
            (ValueRef::Integer(i64::from_le_bytes(*value)), rest)
        }
        FieldType::Real => {
            let (value, rest) = rest.split_first_chunk::<8>()?;
            (ValueRef::Real(f64::from_le_bytes(*value)), rest)
        }
        FieldType::String | FieldType::Date | FieldType::DateTime | FieldType::Json => {
            let (text, rest) = sized(rest)?;
            (ValueRef::Text(std::str::from_utf8(text).ok()?), rest)
        }
        FieldType::Binary => {
            let (value, rest) = sized(rest)?;
            (ValueRef::Binary(value), rest)
        }
    };
    Some((column, value, rest))
}

/// A shape in the mapped file.
#[derive(Clone, Copy)]
pub struct GeometryView<'a> {
    pub kind: GeometryType,
    geometry: fb::Geometry<'a>,
}

/// One run of vertices with its ring (or line) ends: a polygon, or all lines or points.
#[derive(Clone, Copy)]
pub struct PartView<'a> {
    xy: &'a [u8],
    ends: Option<flatbuffers::Vector<'a, u32>>,
}

/// The vertices of a ring, a line, or all points of a point geometry.
#[derive(Clone, Copy)]
pub struct RingView<'a>(&'a [u8]);

impl<'a> GeometryView<'a> {
    pub fn parts(&self) -> impl Iterator<Item = PartView<'a>> + use<'a> {
        let part = |geometry: fb::Geometry<'a>| PartView {
            xy: geometry.xy().map_or(&[][..], |xy| xy.bytes()),
            ends: geometry.ends(),
        };
        let parts = self.geometry.parts();
        let whole = parts.is_none().then(|| part(self.geometry));
        whole
            .into_iter()
            .chain(parts.into_iter().flat_map(|parts| parts.iter()).map(part))
    }

    /// Copies the shape out.
    pub fn to_geometry(&self) -> Geometry {
        let mut out = Geometry::new(self.kind);
        let z_of = |geometry: &fb::Geometry<'a>, out: &mut Vec<f64>| {
            if let Some(z) = geometry.z() {
                out.extend(z.iter());
            }
        };
        z_of(&self.geometry, &mut out.z);
        for part in self.geometry.parts().into_iter().flat_map(|p| p.iter()) {
            z_of(&part, &mut out.z);
        }
        for part in self.parts() {
            match self.kind.dimension() {
                0 => out.xy.extend(part.all().points().flatten()),
                1 => part.rings().for_each(|line| out.push_ring(line.points())),
                _ => {
                    part.rings().for_each(|ring| out.push_ring(ring.points()));
                    out.close_part();
                }
            }
        }
        out
    }

    pub fn bbox(&self) -> Bbox {
        let mut bbox = Bbox::EMPTY;
        for part in self.parts() {
            for [x, y] in part.all().points() {
                bbox.extend(x, y);
            }
        }
        bbox
    }
}

impl<'a> PartView<'a> {
    /// All vertices as one run.
    pub fn all(&self) -> RingView<'a> {
        RingView(self.xy)
    }

    /// The rings or lines; without ends all vertices are one.
    pub fn rings(&self) -> impl Iterator<Item = RingView<'a>> + use<'a> {
        let xy = self.xy;
        let ends = self.ends;
        let count = ends.map_or(1, |ends| ends.len());
        let mut start = 0usize;
        (0..count).map(move |i| {
            let end = ends
                .map_or(xy.len(), |ends| ends.get(i) as usize * 16)
                .min(xy.len());
            let ring = RingView(&xy[start.min(end)..end]);
            start = end;
            ring
        })
    }
}

impl<'a> RingView<'a> {
    pub fn len(&self) -> usize {
        self.0.len() / 16
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn points(&self) -> impl ExactSizeIterator<Item = [f64; 2]> + Clone + 'a {
        self.0.as_chunks::<16>().0.iter().map(|point| {
            let (x, y) = point.split_at(8);
            [
                f64::from_le_bytes(x.try_into().expect("eight of sixteen bytes")),
                f64::from_le_bytes(y.try_into().expect("eight of sixteen bytes")),
            ]
        })
    }
}
