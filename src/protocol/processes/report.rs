//! The document of reports, and its seal.
//!
//! A report's hash is the SHA-256 of the report's JSON without the hash, as it stands in the
//! document without white space. The same boundary on the same generations under the same rules
//! gives the same bytes, so the same hash; nothing in it depends on time, place or threads.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::analysis::report::{Outline, Report};

/// Version of the document's layout.
pub const DOCUMENT_VERSION: u32 = 1;

/// All reports of one question.
///
/// # Errors
/// When a report holds what JSON cannot: it never does.
pub fn document(reports: &[Report]) -> serde_json::Result<Value> {
    let sealed = reports.iter().map(sealed).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({
        "type": "onemap-report",
        "version": DOCUMENT_VERSION,
        "reports": sealed,
    }))
}

/// Puts the boundaries in degrees beside the reports, as GeoJSON; they are not part of the seals.
pub fn add_outlines(document: &mut Value, outlines: &[Outline]) {
    let shapes: Vec<Value> = outlines
        .iter()
        .map(|outline| json!({ "type": "MultiPolygon", "coordinates": outline }))
        .collect();
    if let Value::Object(members) = document {
        members.insert("outlines".into(), Value::Array(shapes));
    }
}

/// One report with its hash.
///
/// # Errors
/// As [`document`].
pub fn sealed(report: &Report) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(report)?;
    let hash = seal(&value);
    if let Value::Object(members) = &mut value {
        members.insert("hash".into(), Value::String(hash));
    }
    Ok(value)
}

/// The hash of a report without its hash.
pub fn seal(report: &Value) -> String {
    let digest = Sha256::digest(report.to_string().as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
