//! What the tiles of an archive were made of, kept beside it, so that the next run knows which of
//! them are still what they were.
//!
//! `X.pmtiles.digests` (or `.mbtiles.digests`), little-endian:
//!
//! ```text
//! head      16 bytes: hash of what was asked for; 16 bytes: length and time of the archive
//! records   24 bytes each: tile id, digest (u64), bytes before and after compression (u32)
//! ```
//!
//! A digest covers all that decides a tile's bytes ([`super::tile_digest`]). The list counts for
//! the very file it was written for: when the archive was made again, replaced or copied since,
//! every tile is made again.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use xxhash_rust::xxh3::xxh3_128;

use super::archive::ArchiveError;
use crate::format::pmtiles::{PmtilesFile, tile_of_id};
use crate::model::TileCoord;

const HEAD_BYTES: usize = 32;
const RECORD_BYTES: usize = 24;

/// How an archive of a kind is brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Written anew; tiles that have not changed are copied.
    Copy,
    /// Changed in one transaction; other tiles are not touched.
    InPlace,
}

/// What is known of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub digest: u64,
    pub raw_bytes: u32,
    pub packed_bytes: u32,
}

/// A tile that need not be made.
pub(super) struct Unchanged {
    pub record: Record,
    /// As they are in the archive; none where the archive is changed in place.
    pub bytes: Option<Vec<u8>>,
}

/// The list of one archive: as it was, and as it will be.
pub(super) struct Digests {
    archive: PathBuf,
    words: u128,
    old: Option<HashMap<u64, Record>>,
    /// Where unchanged tiles are copied from.
    source: Option<PmtilesFile>,
    now: Vec<(u64, Record)>,
}

impl Digests {
    /// Reads the list; `words` differ when all tiles would.
    pub(super) fn open(
        archive: &Path,
        words: &str,
        manner: Manner,
    ) -> Result<Digests, ArchiveError> {
        let mut digests = Digests {
            archive: archive.to_path_buf(),
            words: xxh3_128(words.as_bytes()),
            old: None,
            source: None,
            now: Vec::new(),
        };
        // Without a list, or with one of something else, everything is made.
        let (Ok(bytes), Ok(stamp)) = (fs::read(digests.path()), stamp(archive)) else {
            return Ok(digests);
        };
        if bytes.get(..HEAD_BYTES) != Some(&head(digests.words, stamp)[..]) {
            return Ok(digests);
        }
        if manner == Manner::Copy {
            digests.source = Some(PmtilesFile::open(archive)?);
        }
        let records = bytes[HEAD_BYTES..].as_chunks::<RECORD_BYTES>().0;
        digests.old = Some(records.iter().map(record).collect());
        Ok(digests)
    }

    /// True when there is something to go on from.
    pub(super) fn is_known(&self) -> bool {
        self.old.is_some()
    }

    /// A tile that is still what it was.
    pub(super) fn unchanged(&self, key: u64, tile: TileCoord, digest: u64) -> Option<Unchanged> {
        let record = *self.old.as_ref()?.get(&key)?;
        if record.digest != digest {
            return None;
        }
        let bytes = match &self.source {
            None => None,
            Some(_) if record.raw_bytes == 0 => Some(Vec::new()),
            // A tile that cannot be read is made again.
            Some(source) => Some(source.tile(tile.z, tile.x, tile.y).ok()??.to_vec()),
        };
        Some(Unchanged { record, bytes })
    }

    /// Notes what a tile was made of.
    pub(super) fn note(&mut self, key: u64, record: Record) {
        self.now.push((key, record));
    }

    /// Tiles that were in the archive and have nothing in them any more.
    pub(super) fn gone(&self) -> Vec<TileCoord> {
        let filled = self.now.iter().filter(|(_, record)| record.raw_bytes > 0);
        let filled: HashSet<u64> = filled.map(|&(key, _)| key).collect();
        let old = self.old.iter().flatten();
        let mut gone: Vec<u64> = old
            .filter(|(key, record)| record.raw_bytes > 0 && !filled.contains(key))
            .map(|(&key, _)| key)
            .collect();
        gone.sort_unstable();
        let tiles = gone.into_iter().filter_map(tile_of_id);
        tiles.map(|(z, x, y)| TileCoord { z, x, y }).collect()
    }

    /// Writes the list for the archive as it is now.
    pub(super) fn save(self) -> Result<(), ArchiveError> {
        let path = self.path();
        let write = || -> std::io::Result<()> {
            let mut bytes = head(self.words, stamp(&self.archive)?).to_vec();
            bytes.reserve(self.now.len() * RECORD_BYTES);
            for (key, record) in &self.now {
                bytes.extend(key.to_le_bytes());
                bytes.extend(record.digest.to_le_bytes());
                bytes.extend(record.raw_bytes.to_le_bytes());
                bytes.extend(record.packed_bytes.to_le_bytes());
            }
            let part = with_ending(&path, ".part");
            fs::write(&part, bytes)?;
            fs::rename(&part, &path)
        };
        write().map_err(|source| ArchiveError::Io { path, source })
    }

    fn path(&self) -> PathBuf {
        with_ending(&self.archive, ".digests")
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(ending);
    PathBuf::from(name)
}

/// Length of a file and when it was written.
fn stamp(path: &Path) -> std::io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    let written = metadata.modified()?.duration_since(UNIX_EPOCH);
    let nanoseconds = written.map_or(0, |since| since.as_nanos() as u64);
    Ok((metadata.len(), nanoseconds))
}

fn head(words: u128, (length, written): (u64, u64)) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..16].copy_from_slice(&words.to_le_bytes());
    head[16..24].copy_from_slice(&length.to_le_bytes());
    head[24..].copy_from_slice(&written.to_le_bytes());
    head
}

fn record(bytes: &[u8; RECORD_BYTES]) -> (u64, Record) {
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let short = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let record = Record {
        digest: long(8),
        raw_bytes: short(16),
        packed_bytes: short(20),
    };
    (long(0), record)
}
