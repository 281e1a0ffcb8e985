//! What the tiles of an archive were made of, kept beside it, so that the next run knows which of
//! them are still what they were.
//!
//! `X.pmtiles.digests` (or `.mbtiles.digests`), little-endian:
//!
//! ```text
//! head      16 bytes: hash of what was asked for; 16 bytes: length and time of the archive;
//!           8 bytes: hash of the limits, 0 when tiles are missing below; 8 bytes: number of blocks
//! blocks    32 bytes each: zoom (u64), hash of all in it (u64), box (4 × i32), zoom by zoom
//! records   24 bytes each: tile id, digest (u64), bytes before and after compression (u32)
//! ```
//!
//! A digest covers all that decides a tile's bytes ([`super::tile_digest`]). Where layers have
//! pyramids the list also knows the blocks of each zoom: a tile that lies in none that came, went
//! or changed is what it was, and nobody need look. The list counts for
//! the very file it was written for: when the archive was made again, replaced or copied since,
//! every tile is made again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::archive::ArchiveError;
use super::pyramid::BlockLook;
use crate::format::pmtiles::{Entry, PmtilesFile, tile_id, tile_of_id};
use crate::format::pyramid::{GridBox, box_in, put_box};
use crate::model::TileCoord;

const HEAD_BYTES: usize = 48;
/// Of the head, what must be as it was for the list to count.
const NAMED_BYTES: usize = 32;
const BLOCK_BYTES: usize = 32;
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
    limits: u64,
    old: Option<List>,
    /// Where unchanged tiles are copied from.
    source: Option<Source>,
    now: List,
}

/// An archive with its directory in one piece.
struct Source {
    file: PmtilesFile,
    /// By tile id.
    runs: Vec<Entry>,
}

impl Source {
    fn open(path: &Path) -> Result<Source, ArchiveError> {
        let file = PmtilesFile::open(path)?;
        let runs = file.runs().collect::<Result<_, _>>()?;
        Ok(Source { file, runs })
    }

    /// `None` when it is not there, or cannot be read.
    fn tile(&self, key: u64) -> Option<Vec<u8>> {
        let after = self.runs.partition_point(|run| run.tile_id <= key);
        let run = self.runs.get(after.checked_sub(1)?)?;
        let is_in = key < run.tile_id + u64::from(run.run);
        Some(self.file.bytes_of(run).ok().filter(|_| is_in)?.to_vec())
    }
}

#[derive(Default)]
struct List {
    /// Hash of the limits; 0 when tiles are missing.
    limits: u64,
    /// By zoom.
    blocks: Vec<(u8, BlockLook)>,
    /// By tile id.
    records: Vec<(u64, Record)>,
}

impl List {
    fn record(&self, key: u64) -> Option<Record> {
        let at = self.records.binary_search_by_key(&key, |&(key, _)| key);
        Some(self.records[at.ok()?].1)
    }

    fn blocks_of(&self, zoom: u8) -> Vec<BlockLook> {
        let blocks = self.blocks.iter().filter(|(of, _)| *of == zoom);
        blocks.map(|&(_, look)| look).collect()
    }
}

/// What is known of a zoom without looking at its tiles.
pub(super) struct Known {
    /// Tiles that are still what they were.
    pub unchanged: Vec<u64>,
    /// Tiles that lie where something has changed, as far as they were in the list.
    pub doubtful: Vec<u64>,
    /// Where something is that was not there; tiles that were not in the list may be there now.
    pub new_boxes: Vec<GridBox>,
}

impl Digests {
    /// Reads the list; `words` differ when all tiles would, `limits` when there are others.
    pub(super) fn open(
        archive: &Path,
        words: &str,
        limits: &str,
        manner: Manner,
    ) -> Result<Digests, ArchiveError> {
        let mut digests = Digests {
            archive: archive.to_path_buf(),
            words: xxh3_128(words.as_bytes()),
            limits: xxh3_64(limits.as_bytes()).max(1),
            old: None,
            source: None,
            now: List::default(),
        };
        digests.now.limits = digests.limits;
        // Without a list, or with one of something else, everything is made.
        let (Ok(bytes), Ok(stamp)) = (fs::read(digests.path()), stamp(archive)) else {
            return Ok(digests);
        };
        if bytes.get(..NAMED_BYTES) != Some(&named(digests.words, stamp)[..]) {
            return Ok(digests);
        }
        digests.old = list(&bytes);
        if manner == Manner::Copy && digests.old.is_some() {
            digests.source = Some(Source::open(archive)?);
        }
        Ok(digests)
    }

    /// True when there is something to go on from.
    pub(super) fn is_known(&self) -> bool {
        self.old.is_some()
    }

    /// Says that not all tiles will be noted.
    pub(super) fn is_incomplete(&mut self) {
        self.now.limits = 0;
    }

    /// Notes what a zoom is made of, and compares it with what it was made of: `None` when every
    /// tile must be looked at. A tile reaches `margin` beyond its square, in units of
    /// the zoom's grid.
    pub(super) fn compare(
        &mut self,
        zoom: u8,
        blocks: Vec<BlockLook>,
        margin: u32,
    ) -> Option<Known> {
        self.now
            .blocks
            .extend(blocks.iter().map(|&look| (zoom, look)));
        let old = self.old.as_ref()?;
        if old.limits != self.limits {
            return None;
        }
        let before = old.blocks_of(zoom);
        let not_in = |list: &[BlockLook], of: &[BlockLook]| -> Vec<GridBox> {
            let other = of.iter().filter(|look| !list.contains(look));
            other.map(|look| look.bbox).collect()
        };
        let (gone, new_boxes) = (not_in(&blocks, &before), not_in(&before, &blocks));
        let first = |zoom: u8| {
            old.records
                .partition_point(|&(key, _)| key < tile_id(zoom, 0, 0))
        };
        let mut known = Known {
            unchanged: Vec::new(),
            doubtful: Vec::new(),
            new_boxes,
        };
        for &(key, _) in &old.records[first(zoom)..first(zoom + 1)] {
            let (_, x, y) = tile_of_id(key)?;
            let tile = GridBox::of_tile(x, y, margin);
            let mut changed = gone.iter().chain(&known.new_boxes);
            match changed.any(|bbox| bbox.meets(&tile)) {
                true => known.doubtful.push(key),
                false => known.unchanged.push(key),
            }
        }
        Some(known)
    }

    /// A tile of which that is certain.
    pub(super) fn certain(&self, key: u64) -> Option<Unchanged> {
        self.reused(key, self.old.as_ref()?.record(key)?)
    }

    /// A tile that is still what it was.
    pub(super) fn unchanged(&self, key: u64, digest: u64) -> Option<Unchanged> {
        let record = self.old.as_ref()?.record(key)?;
        match record.digest == digest {
            true => self.reused(key, record),
            false => None,
        }
    }

    fn reused(&self, key: u64, record: Record) -> Option<Unchanged> {
        let bytes = match &self.source {
            None => None,
            Some(_) if record.raw_bytes == 0 => Some(Vec::new()),
            // A tile that cannot be read is made again.
            Some(source) => Some(source.tile(key)?),
        };
        Some(Unchanged { record, bytes })
    }

    /// Notes what a tile was made of.
    pub(super) fn note(&mut self, key: u64, record: Record) {
        self.now.records.push((key, record));
    }

    /// Tiles that were in the archive and have nothing in them any more.
    pub(super) fn gone(&self) -> Vec<TileCoord> {
        let old = self.old.iter().flat_map(|list| &list.records);
        let gone = old.filter(|(key, record)| {
            let now = || self.now.record(*key);
            record.raw_bytes > 0 && now().is_none_or(|record| record.raw_bytes == 0)
        });
        let tiles = gone.filter_map(|&(key, _)| tile_of_id(key));
        tiles.map(|(z, x, y)| TileCoord { z, x, y }).collect()
    }

    /// Writes the list for the archive as it is now.
    pub(super) fn save(self) -> Result<(), ArchiveError> {
        let path = self.path();
        let write = || -> std::io::Result<()> {
            let mut bytes = named(self.words, stamp(&self.archive)?).to_vec();
            let List {
                limits,
                blocks,
                records,
            } = &self.now;
            bytes.reserve(blocks.len() * BLOCK_BYTES + records.len() * RECORD_BYTES + HEAD_BYTES);
            bytes.extend(limits.to_le_bytes());
            bytes.extend((blocks.len() as u64).to_le_bytes());
            for (zoom, look) in blocks {
                bytes.extend(u64::from(*zoom).to_le_bytes());
                bytes.extend(look.digest.to_le_bytes());
                put_box(&mut bytes, &look.bbox);
            }
            for (key, record) in records {
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

fn named(words: u128, (length, written): (u64, u64)) -> [u8; NAMED_BYTES] {
    let mut head = [0; NAMED_BYTES];
    head[..16].copy_from_slice(&words.to_le_bytes());
    head[16..24].copy_from_slice(&length.to_le_bytes());
    head[24..].copy_from_slice(&written.to_le_bytes());
    head
}

/// `None` when it is cut off, or not in order.
fn list(bytes: &[u8]) -> Option<List> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let blocks = usize::try_from(long(head, NAMED_BYTES + 8)).ok()?;
    let (blocks, rest) = rest.split_at_checked(blocks.checked_mul(BLOCK_BYTES)?)?;
    let (records, []) = rest.as_chunks::<RECORD_BYTES>() else {
        return None;
    };
    let list = List {
        limits: long(head, NAMED_BYTES),
        blocks: blocks.chunks_exact(BLOCK_BYTES).map(block).collect(),
        records: records.iter().map(record).collect(),
    };
    list.records
        .is_sorted_by_key(|&(key, _)| key)
        .then_some(list)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn block(bytes: &[u8]) -> (u8, BlockLook) {
    let look = BlockLook {
        digest: long(bytes, 8),
        bbox: box_in(bytes, 16),
    };
    (long(bytes, 0) as u8, look)
}

fn record(bytes: &[u8; RECORD_BYTES]) -> (u64, Record) {
    let short = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let record = Record {
        digest: long(bytes, 8),
        raw_bytes: short(16),
        packed_bytes: short(20),
    };
    (long(bytes, 0), record)
}
