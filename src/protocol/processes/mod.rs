//! The words of questions about areas: boundaries in, reports out.
//!
//! 1. [`boundary`] reads what people send
//! 2. [`execution`] knows OGC API – Processes: addresses, descriptions, requests, jobs
//! 3. [`report`] is the document of reports and its seal, [`page`] the same for people

pub mod boundary;
pub mod execution;
pub mod page;
pub mod report;

use super::{Problem, address};

/// The decoded segments behind `/ogc`, when a path is below it.
///
/// # Errors
/// When the path is no text.
pub fn below_ogc(path: &str) -> Result<Option<Vec<String>>, Problem> {
    if path != "/ogc" && !path.starts_with("/ogc/") {
        return Ok(None);
    }
    let mut segments = address::segments(path)?;
    segments.remove(0);
    Ok(Some(segments))
}
