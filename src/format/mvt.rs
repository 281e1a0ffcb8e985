//! Mapbox Vector Tile 2.1, the writing side.
//!
//! Features are encoded straight into the layer's bytes; keys and values are interned as they
//! come. Layers of a tile are simply concatenated. Geometry arrives as integers of the tile's
//! grid, already clipped, wound and free of repeated points.

use std::collections::HashMap;

use xxhash_rust::xxh3::{Xxh3DefaultBuilder, xxh3_128};

use super::fgb::ValueRef;

/// Units along a tile's side.
pub const EXTENT: u32 = 4096;

/// The three geometry types of a vector tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TileGeometry {
    Point = 1,
    Line = 2,
    Polygon = 3,
}

/// Writes the command stream of one feature.
#[derive(Default)]
pub struct GeometryWriter {
    bytes: Vec<u8>,
    cursor: [i32; 2],
}

const MOVE_TO: u32 = 1;
const LINE_TO: u32 = 2;
const CLOSE_PATH: u32 = 7;

impl GeometryWriter {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.cursor = [0, 0];
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All points of a point feature at once.
    pub fn points(&mut self, points: &[[i32; 2]]) {
        self.command(MOVE_TO, points.len());
        for &point in points {
            self.delta(point);
        }
    }

    /// A line of at least two points.
    pub fn line(&mut self, points: &[[i32; 2]]) {
        let Some((&first, rest)) = points.split_first() else {
            return;
        };
        self.command(MOVE_TO, 1);
        self.delta(first);
        self.command(LINE_TO, rest.len());
        for &point in rest {
            self.delta(point);
        }
    }

    /// A ring of at least three points, without the closing one.
    pub fn ring(&mut self, points: &[[i32; 2]]) {
        self.line(points);
        self.command(CLOSE_PATH, 1);
    }

    fn command(&mut self, id: u32, count: usize) {
        put_varint(&mut self.bytes, u64::from(id) | ((count as u64) << 3));
    }

    #[inline]
    fn delta(&mut self, point: [i32; 2]) {
        for (to, from) in point.into_iter().zip(self.cursor) {
            let step = to.wrapping_sub(from);
            put_varint(
                &mut self.bytes,
                u64::from(((step << 1) ^ (step >> 31)) as u32),
            );
        }
        self.cursor = point;
    }
}

/// One layer of a tile.
pub struct LayerWriter {
    name: String,
    keys: Vec<String>,
    /// Key number by column, once used.
    key_of_column: Vec<Option<u32>>,
    values: Vec<u8>,
    value_count: u32,
    /// By 128-bit hash of the encoded value: equal hashes are taken for equal values.
    value_of_hash: HashMap<u128, u32, Xxh3DefaultBuilder>,
    features: Vec<u8>,
    feature_count: u32,
    tags: Vec<u8>,
    scratch: Vec<u8>,
}

impl LayerWriter {
    /// A layer whose features have up to `columns` attributes.
    pub fn new(name: String, columns: usize) -> LayerWriter {
        LayerWriter {
            name,
            keys: Vec::new(),
            key_of_column: vec![None; columns],
            values: Vec::new(),
            value_count: 0,
            value_of_hash: HashMap::default(),
            features: Vec::new(),
            feature_count: 0,
            tags: Vec::new(),
            scratch: Vec::new(),
        }
    }

    pub fn feature_count(&self) -> u32 {
        self.feature_count
    }

    /// Bytes the layer has come to, without its keys.
    pub fn len(&self) -> usize {
        self.features.len() + self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.feature_count == 0
    }

    /// Adds an attribute to the feature being written. Binary values have no place in a tile.
    pub fn attribute(&mut self, column: usize, key: &str, value: ValueRef<'_>) {
        self.scratch.clear();
        match value {
            ValueRef::Text(text) => {
                put_key(&mut self.scratch, 1, 2);
                put_bytes(&mut self.scratch, text.as_bytes());
            }
            ValueRef::Real(value) => {
                put_key(&mut self.scratch, 3, 1);
                self.scratch.extend_from_slice(&value.to_le_bytes());
            }
            ValueRef::Integer(value) if value >= 0 => {
                put_key(&mut self.scratch, 5, 0);
                put_varint(&mut self.scratch, value as u64);
            }
            ValueRef::Integer(value) => {
                put_key(&mut self.scratch, 6, 0);
                put_varint(&mut self.scratch, ((value << 1) ^ (value >> 63)) as u64);
            }
            ValueRef::Boolean(value) => {
                put_key(&mut self.scratch, 7, 0);
                self.scratch.push(u8::from(value));
            }
            ValueRef::Binary(_) => return,
        }
        let key = match self.key_of_column[column] {
            Some(number) => number,
            None => {
                let number = self.keys.len() as u32;
                self.keys.push(key.to_string());
                self.key_of_column[column] = Some(number);
                number
            }
        };
        let hash = xxh3_128(&self.scratch);
        let number = *self.value_of_hash.entry(hash).or_insert_with(|| {
            put_key(&mut self.values, 4, 2);
            put_bytes(&mut self.values, &self.scratch);
            self.value_count += 1;
            self.value_count - 1
        });
        put_varint(&mut self.tags, u64::from(key));
        put_varint(&mut self.tags, u64::from(number));
    }

    /// Ends the feature whose attributes were added since the last call.
    pub fn feature(&mut self, id: Option<u64>, kind: TileGeometry, geometry: &GeometryWriter) {
        self.scratch.clear();
        if let Some(id) = id {
            put_key(&mut self.scratch, 1, 0);
            put_varint(&mut self.scratch, id);
        }
        if !self.tags.is_empty() {
            put_key(&mut self.scratch, 2, 2);
            put_bytes(&mut self.scratch, &self.tags);
        }
        put_key(&mut self.scratch, 3, 0);
        self.scratch.push(kind as u8);
        put_key(&mut self.scratch, 4, 2);
        put_varint(&mut self.scratch, geometry.bytes.len() as u64);
        put_key(&mut self.features, 2, 2);
        put_varint(
            &mut self.features,
            (self.scratch.len() + geometry.bytes.len()) as u64,
        );
        self.features.extend_from_slice(&self.scratch);
        self.features.extend_from_slice(&geometry.bytes);
        self.tags.clear();
        self.feature_count += 1;
    }

    /// Appends the layer to a tile; a layer without features leaves no trace.
    pub fn finish(self, tile: &mut Vec<u8>) {
        if self.feature_count == 0 {
            return;
        }
        let mut head = Vec::with_capacity(64);
        put_key(&mut head, 15, 0);
        head.push(2);
        put_key(&mut head, 1, 2);
        put_bytes(&mut head, self.name.as_bytes());
        let mut tail = Vec::with_capacity(256);
        for key in &self.keys {
            put_key(&mut tail, 3, 2);
            put_bytes(&mut tail, key.as_bytes());
        }
        let mut extent = Vec::with_capacity(4);
        put_key(&mut extent, 5, 0);
        put_varint(&mut extent, u64::from(EXTENT));
        let len = head.len() + self.features.len() + tail.len() + self.values.len() + extent.len();
        put_key(tile, 3, 2);
        put_varint(tile, len as u64);
        for part in [&head, &self.features, &tail, &self.values, &extent] {
            tile.extend_from_slice(part);
        }
    }
}

fn put_key(out: &mut Vec<u8>, field: u32, wire_type: u32) {
    put_varint(out, u64::from(field << 3 | wire_type));
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[inline]
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
