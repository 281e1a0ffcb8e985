//! What is done to a batch of features, independently of all others: check and repair, identity,
//! label point, Hilbert key, and the FlatGeobuf message.

use xxhash_rust::xxh3::Xxh3;

use super::check;
use crate::crs::Crs;
use crate::format::fgb::FeatureEncoder;
use crate::geom::{Bbox, Geometry, hilbert, label};
use crate::model::{Feature, Issue, IssueCode, IssueLog, Schema, Severity, Value};
use crate::source::Winding;

/// Ids stay below 2⁵³, the integers a web client's numbers can hold.
pub const ID_BITS: u32 = 53;

/// What all features of a layer share.
pub struct Context<'a> {
    schema: &'a Schema,
    frame: Bbox,
    id_field: Option<usize>,
    check: check::Context,
}

impl<'a> Context<'a> {
    pub fn new(
        schema: &'a Schema,
        crs: &'a Crs,
        winding: Winding,
        id_field: Option<&str>,
    ) -> Context<'a> {
        Context {
            schema,
            frame: crs.hilbert_frame(),
            id_field: id_field.and_then(|name| schema.index_of(name)),
            check: check::Context::new(crs).with_winding(winding),
        }
    }
}

/// What is known of a prepared feature, apart from its message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head {
    /// Position in the source.
    pub ordinal: u64,
    /// As derived; duplicates are settled later.
    pub id: u64,
    pub bbox: Bbox,
    pub label: [f64; 2],
    pub label_clearance: f32,
    pub size: f32,
    pub vertices: u32,
}

impl Head {
    pub const BYTES: usize = 76;

    pub fn to_bytes(self) -> [u8; Head::BYTES] {
        let mut bytes = [0u8; Head::BYTES];
        bytes[0..8].copy_from_slice(&self.ordinal.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.id.to_le_bytes());
        for (slot, value) in bytes[16..48].chunks_exact_mut(8).zip(self.bbox.to_array()) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        bytes[48..56].copy_from_slice(&self.label[0].to_le_bytes());
        bytes[56..64].copy_from_slice(&self.label[1].to_le_bytes());
        bytes[64..68].copy_from_slice(&self.label_clearance.to_le_bytes());
        bytes[68..72].copy_from_slice(&self.size.to_le_bytes());
        bytes[72..76].copy_from_slice(&self.vertices.to_le_bytes());
        bytes
    }

    pub fn from_bytes(bytes: &[u8; Head::BYTES]) -> Head {
        let eight = |at: usize| -> [u8; 8] { bytes[at..at + 8].try_into().expect("eight bytes") };
        let four = |at: usize| -> [u8; 4] { bytes[at..at + 4].try_into().expect("four bytes") };
        let real = |at: usize| f64::from_le_bytes(eight(at));
        Head {
            ordinal: u64::from_le_bytes(eight(0)),
            id: u64::from_le_bytes(eight(8)),
            bbox: Bbox::new(real(16), real(24), real(32), real(40)),
            label: [real(48), real(56)],
            label_clearance: f32::from_le_bytes(four(64)),
            size: f32::from_le_bytes(four(68)),
            vertices: u32::from_le_bytes(four(72)),
        }
    }
}

/// A prepared batch, in source order.
#[derive(Default)]
pub struct Batch {
    /// Hilbert key, head and message of every feature that is stored; heads and messages lie one
    /// after the other in `bytes`.
    pub entries: Vec<(u64, Head, std::ops::Range<usize>)>,
    pub bytes: Vec<u8>,
    pub issues: IssueLog,
    pub read: u64,
    pub repaired: u64,
    pub rejected: u64,
    /// Which geometry types occur, and whether any has heights.
    pub types: std::collections::BTreeSet<crate::geom::GeometryType>,
    pub has_z: bool,
}

/// Prepares the features from position `first` on.
pub fn batch(context: &Context<'_>, first: u64, features: Vec<Feature>, issues: IssueLog) -> Batch {
    let mut encoder = FeatureEncoder::new();
    let mut batch = Batch {
        read: features.len() as u64,
        issues,
        ..Batch::default()
    };
    for (ordinal, feature) in (first..).zip(features) {
        let Some(source) = feature.geometry else {
            // The reader has reported why there is none.
            batch.rejected += 1;
            continue;
        };
        let checked = check::check(source, feature.source_id, &context.check);
        batch.repaired += u64::from(checked.repaired);
        for issue in checked.issues {
            batch.issues.push(issue);
        }
        let Some(geometry) = checked.geometry else {
            batch.rejected += 1;
            continue;
        };
        let id = identity(
            context,
            &geometry,
            &feature.values,
            feature.source_id,
            &mut batch.issues,
        );
        batch.types.insert(geometry.kind);
        batch.has_z |= !geometry.z.is_empty();
        let head = describe(ordinal, id, &geometry);
        let start = batch.bytes.len();
        batch.bytes.extend_from_slice(&head.to_bytes());
        encoder.encode(&geometry, &feature.values, context.schema, &mut batch.bytes);
        let key = hilbert::key(&head.bbox, &context.frame);
        batch.entries.push((key, head, start..batch.bytes.len()));
    }
    batch
}

fn describe(ordinal: u64, id: u64, geometry: &Geometry) -> Head {
    let bbox = geometry.bbox();
    let label = label::label_point(geometry).expect("a checked geometry has vertices");
    let size = match geometry.kind.dimension() {
        0 => 0.0,
        1 => bbox.width().hypot(bbox.height()),
        _ => geometry.area().max(0.0).sqrt(),
    };
    Head {
        ordinal,
        id,
        bbox,
        label: [label.x, label.y],
        label_clearance: label.clearance as f32,
        size: size as f32,
        vertices: geometry.vertex_count() as u32,
    }
}

/// The id by the id field, else by content.
fn identity(
    context: &Context<'_>,
    geometry: &Geometry,
    values: &[Value],
    source_id: i64,
    issues: &mut IssueLog,
) -> u64 {
    let mask = (1u64 << ID_BITS) - 1;
    let Some(field) = context.id_field else {
        return content_hash(geometry, values) & mask;
    };
    match &values[field] {
        Value::Integer(number) if (0..=mask as i64).contains(number) => *number as u64,
        Value::Null => {
            issues.push(Issue {
                code: IssueCode::IdMissing,
                severity: Severity::Kept,
                feature: Some(source_id),
                field: Some(context.schema.fields[field].name.clone()),
                place: Some([geometry.xy[0], geometry.xy[1]]),
                detail: "no value in the id field; the id is derived from the content".into(),
            });
            content_hash(geometry, values) & mask
        }
        other => {
            let mut hasher = Xxh3::new();
            hash_value(&mut hasher, other);
            hasher.digest() & mask
        }
    }
}

/// Equal shapes with equal attributes have equal ids, wherever they stand in the file.
fn content_hash(geometry: &Geometry, values: &[Value]) -> u64 {
    let mut hasher = Xxh3::new();
    for coordinate in &geometry.xy {
        hasher.update(&coordinate.to_le_bytes());
    }
    for end in geometry.ends.iter().chain(&geometry.parts) {
        hasher.update(&end.to_le_bytes());
    }
    for value in values {
        hash_value(&mut hasher, value);
    }
    hasher.digest()
}

fn hash_value(hasher: &mut Xxh3, value: &Value) {
    match value {
        Value::Null => hasher.update(&[0]),
        Value::Boolean(value) => hasher.update(&[1, u8::from(*value)]),
        Value::Integer(value) => {
            hasher.update(&[2]);
            hasher.update(&value.to_le_bytes());
        }
        Value::Real(value) => {
            hasher.update(&[3]);
            hasher.update(&value.to_le_bytes());
        }
        Value::Text(text) => {
            hasher.update(&[4]);
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        Value::Binary(bytes) => {
            hasher.update(&[5]);
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
    }
}
