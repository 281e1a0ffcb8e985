//! Bytes ⇄ model: one file or folder per format, readers and writers in pairs.
//!
//! Formats here are read from memory and written to memory or to a `Write`; which files exist and
//! what they mean is `store`'s business, foreign files are `source`'s.

pub mod cog;
pub mod feature_index;
pub mod fgb;
pub mod id_index;
pub mod jpeg;
pub mod mbtiles;
pub mod mvt;
pub mod pmtiles;
pub mod pyramid;
pub mod tilematrixset;
pub mod unpack;

use std::path::PathBuf;

/// Why bytes are not what their format promises.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("{path}: {found}, expected {expected}")]
    Malformed {
        path: PathBuf,
        found: String,
        expected: String,
    },
    #[error("{path}: feature at byte {offset}: {reason}")]
    Feature {
        path: PathBuf,
        offset: u64,
        reason: String,
    },
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// Drops the pages of a mapped file from this process' memory.
fn let_go(map: &memmap2::Mmap) {
    // SAFETY: the mapping is shared and read-only, so dropped pages come back from the file as
    // they were. A refusal costs memory only.
    let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
}
