//! The document of reports, and its seal.
//!
//! A report's hash is the SHA-256 of the report's JSON without the hash, as it stands in the
//! document. The same boundary on the same generations under the same rules gives the same bytes,
//! so the same hash; nothing in it depends on time, place or threads.

use std::collections::HashMap;
use std::io::Write;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::analysis::Group;
use crate::analysis::report::pieces::PieceShape;
use crate::analysis::report::{Outline, Report};

/// Version of the document's layout.
pub const DOCUMENT_VERSION: u32 = 1;

/// A report's JSON with its hash as the last member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub json: String,
    pub hash: String,
}

/// A report as it stands in the document.
///
/// # Errors
/// When a report holds what JSON cannot: it never does.
pub fn sealed(report: &Report) -> serde_json::Result<Sealed> {
    let rows = report
        .layers
        .iter()
        .map(|l| l.rows.len() + l.features.len());
    let mut bytes = Vec::with_capacity(2048 + 160 * rows.sum::<usize>());
    serde_json::to_writer(&mut bytes, report)?;
    let mut json = String::from_utf8(bytes).map_err(serde::ser::Error::custom)?;
    let hash = seal(&json);
    // An object with members: the hash goes before its end.
    json.pop();
    json.push_str(",\"hash\":\"");
    json.push_str(&hash);
    json.push_str("\"}");
    Ok(Sealed { json, hash })
}

/// The hash of a report's JSON without its hash.
pub fn seal(json: &str) -> String {
    let digest = Sha256::digest(json.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Writes the document of all reports of one question, a report a line.
pub struct DocumentWriter<W> {
    out: W,
    any: bool,
}

impl<W: Write> DocumentWriter<W> {
    /// # Errors
    /// When it cannot be written; so with all of these.
    pub fn new(mut out: W) -> std::io::Result<DocumentWriter<W>> {
        let head =
            format!("{{\"type\":\"onemap-report\",\"version\":{DOCUMENT_VERSION},\"reports\":[");
        out.write_all(head.as_bytes())?;
        Ok(DocumentWriter { out, any: false })
    }

    pub fn push(&mut self, report: &Sealed) -> std::io::Result<()> {
        if self.any {
            self.out.write_all(b",")?;
        }
        self.any = true;
        self.out.write_all(b"\n")?;
        self.out.write_all(report.json.as_bytes())
    }

    /// Ends the document, the boundaries and the pieces in degrees beside the reports when they
    /// are given, as GeoJSON; they are not part of the seals.
    pub fn finish(
        mut self,
        outlines: Option<&[Outline]>,
        pieces: Option<&[Value]>,
    ) -> std::io::Result<W> {
        self.out.write_all(b"]")?;
        if let Some(outlines) = outlines {
            let shapes: Vec<Value> = outlines
                .iter()
                .map(|outline| json!({ "type": "MultiPolygon", "coordinates": outline }))
                .collect();
            write!(self.out, ",\n\"outlines\":{}", Value::Array(shapes))?;
        }
        if let Some(pieces) = pieces {
            self.out.write_all(b",\n\"pieces\":[")?;
            for (number, collection) in pieces.iter().enumerate() {
                write!(
                    self.out,
                    "{}{collection}",
                    if number == 0 { "" } else { "," }
                )?;
            }
            self.out.write_all(b"]")?;
        }
        self.out.write_all(b"}\n")?;
        Ok(self.out)
    }
}

/// The pieces of one report as GeoJSON: features that name their layer, and their feature with its
/// group as the report lists it.
pub fn pieces(report: &Report, shapes: &[PieceShape]) -> Value {
    let listed: Vec<HashMap<u64, Option<&str>>> = report
        .layers
        .iter()
        .map(|layer| {
            let features = layer.features.iter();
            features.map(|row| (row.id, text_of(&row.value))).collect()
        })
        .collect();
    let features: Vec<Value> = shapes
        .iter()
        .map(|shape| {
            let value = shape
                .feature
                .and_then(|id| listed[shape.layer].get(&id).copied());
            json!({
                "type": "Feature",
                "properties": {
                    "layer": report.layers[shape.layer].layer,
                    "feature": shape.feature,
                    "value": value.flatten(),
                    "outside": shape.feature.is_none(),
                },
                "geometry": { "type": "MultiPolygon", "coordinates": shape.polygons },
            })
        })
        .collect();
    json!({ "type": "FeatureCollection", "features": features })
}

fn text_of(group: &Group) -> Option<&str> {
    match group {
        Group::Value(value) => Some(value),
        Group::Null | Group::Outside => None,
    }
}
