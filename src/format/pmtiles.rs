//! PMTiles version 3: writing here, reading in [`read`]. <https://github.com/protomaps/PMTiles/blob/main/spec/v3/spec.md>
//!
//! Tiles are written in the order of their ids (the Hilbert curve, zoom by zoom), equal tiles
//! once, runs of equal tiles as one entry. The first 16 KiB are kept for header and root
//! directory; tiles follow as they come, then metadata and leaf directories: nothing is copied
//! and memory holds the directory only.
//!
//! Until it is finished an archive is called `X.part`, beside a journal of the tiles in it, from
//! which a writer that was killed is gone on from.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use libdeflater::{CompressionLvl, Compressor};
use xxhash_rust::xxh3::xxh3_128;

use super::FormatError;
pub use super::unpack::Compression;

mod read;

pub use read::{Directory, Header, Place, PmtilesFile, TileRuns, id_within};

const MAGIC: &[u8; 7] = b"PMTiles";
const HEADER_BYTES: usize = 127;
/// Header and root directory must lie in the first 16 KiB.
const FRONT_BYTES: usize = 16_384;
/// What the tiles are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TileType {
    Unknown = 0,
    Mvt = 1,
    Png = 2,
    Jpeg = 3,
    Webp = 4,
    Avif = 5,
}

/// What an archive says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Description {
    pub tile_type: TileType,
    pub tile_compression: Compression,
    pub min_zoom: u8,
    pub max_zoom: u8,
    /// West, south, east, north in degrees.
    pub bounds_lonlat: [f64; 4],
    pub center_lonlat: [f64; 2],
    pub center_zoom: u8,
}

/// Number of a tile along the curve through all zooms.
pub fn tile_id(z: u8, x: u32, y: u32) -> u64 {
    let below = ((1u64 << (2 * u32::from(z))) - 1) / 3;
    let (mut x, mut y) = (u64::from(x), u64::from(y));
    let mut distance = 0u64;
    let mut side = (1u64 << z) >> 1;
    while side > 0 {
        let (rx, ry) = (u64::from(x & side > 0), u64::from(y & side > 0));
        distance += side * side * ((3 * rx) ^ ry);
        (x, y) = turned(x, y, side, rx, ry);
        side >>= 1;
    }
    below + distance
}

/// The tile with this number; `None` beyond zoom 31.
pub fn tile_of_id(id: u64) -> Option<(u8, u32, u32)> {
    let mut below = 0u64;
    for z in 0..32u8 {
        let count = 1u64 << (2 * u32::from(z));
        if id - below < count {
            let mut rest = id - below;
            let (mut x, mut y) = (0u64, 0u64);
            for level in 0..z {
                let side = 1u64 << level;
                let rx = 1 & (rest >> 1);
                let ry = 1 & (rest ^ rx);
                (x, y) = turned(x, y, side, rx, ry);
                x += side * rx;
                y += side * ry;
                rest >>= 2;
            }
            return Some((z, x as u32, y as u32));
        }
        below += count;
    }
    None
}

/// The turn of the Hilbert curve in a quadrant of the given side.
fn turned(x: u64, y: u64, side: u64, rx: u64, ry: u64) -> (u64, u64) {
    if ry == 1 {
        return (x, y);
    }
    if rx == 1 {
        return (
            (side.wrapping_sub(1)).wrapping_sub(y) & (side * 2 - 1),
            (side.wrapping_sub(1)).wrapping_sub(x) & (side * 2 - 1),
        );
    }
    (y, x)
}

/// A run of equal tiles, or a leaf directory when `run` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub tile_id: u64,
    /// In the section of tiles (or of leaf directories).
    pub offset: u64,
    pub length: u32,
    pub run: u32,
}

/// Writes an archive.
pub struct PmtilesWriter {
    path: PathBuf,
    part: PathBuf,
    out: BufWriter<File>,
    journal: File,
    /// Records since the last checkpoint.
    pending: Vec<u8>,
    entries: Vec<Entry>,
    /// By 128-bit hash of the bytes: equal hashes are taken for equal tiles.
    seen: HashMap<u128, u64>,
    written: u64,
    tiles: u64,
}

/// Tile id, offset, length.
const RECORD_BYTES: usize = 20;

impl PmtilesWriter {
    /// Starts the archive that [`PmtilesWriter::finish`] will name `path`, or goes on with one that
    /// was started with the same `fingerprint` and not finished.
    ///
    /// # Errors
    /// [`FormatError`] when the files cannot be read or written.
    pub fn resume_or_create(path: &Path, fingerprint: &str) -> Result<PmtilesWriter, FormatError> {
        let (part, journal_path) = (
            with_ending(path, ".part"),
            with_ending(path, ".part.journal"),
        );
        let mark = xxh3_128(fingerprint.as_bytes()).to_le_bytes();
        let records = match (std::fs::read(&journal_path), std::fs::metadata(&part)) {
            (Ok(bytes), Ok(_)) if bytes.starts_with(&mark) => bytes[mark.len()..].to_vec(),
            (Ok(_) | Err(_), Ok(_) | Err(_)) => Vec::new(),
        };
        let mut writer =
            PmtilesWriter::start(path, &part, &journal_path, &mark, records.is_empty())
                .map_err(|source| io(&part, source))?;
        writer
            .replay(&records)
            .map_err(|source| io(&part, source))?;
        Ok(writer)
    }

    fn start(
        path: &Path,
        part: &Path,
        journal_path: &Path,
        mark: &[u8],
        fresh: bool,
    ) -> std::io::Result<PmtilesWriter> {
        let options = || {
            let mut options = std::fs::OpenOptions::new();
            options.read(true).write(true).create(true).truncate(fresh);
            options
        };
        let mut file = options().open(part)?;
        let mut journal = options().open(journal_path)?;
        if fresh {
            file.write_all(&[0; FRONT_BYTES])?;
            journal.write_all(mark)?;
        } else {
            journal.seek(SeekFrom::End(0))?;
        }
        Ok(PmtilesWriter {
            path: path.to_path_buf(),
            part: part.to_path_buf(),
            out: BufWriter::with_capacity(1 << 20, file),
            journal,
            pending: Vec::new(),
            entries: Vec::new(),
            seen: HashMap::new(),
            written: 0,
            tiles: 0,
        })
    }

    /// Takes up the tiles of the journal whose bytes are really there; drops what lies behind them.
    fn replay(&mut self, records: &[u8]) -> std::io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let file = self.out.get_mut();
        let on_disk = file.metadata()?.len().saturating_sub(FRONT_BYTES as u64);
        let mut kept = 0;
        let mut bytes = Vec::new();
        for record in records.as_chunks::<RECORD_BYTES>().0 {
            let word =
                |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().expect("eight bytes"));
            let (tile_id, offset) = (word(0), word(8));
            let length = u32::from_le_bytes(record[16..20].try_into().expect("four bytes"));
            let end = offset.saturating_add(u64::from(length));
            let in_order = self
                .entries
                .last()
                .is_none_or(|last| tile_id >= last.tile_id + u64::from(last.run));
            if end > on_disk || offset > self.written || !in_order {
                break;
            }
            if offset == self.written {
                bytes.resize(length as usize, 0);
                file.seek(SeekFrom::Start(FRONT_BYTES as u64 + offset))?;
                std::io::Read::read_exact(file, &mut bytes)?;
                self.seen.insert(xxh3_128(&bytes), offset);
                self.written = end;
            }
            add_to_run(
                &mut self.entries,
                Entry {
                    tile_id,
                    offset,
                    length,
                    run: 1,
                },
            );
            self.tiles += 1;
            kept += RECORD_BYTES;
        }
        file.set_len(FRONT_BYTES as u64 + self.written)?;
        file.seek(SeekFrom::End(0))?;
        let mark = 16;
        self.journal.set_len((mark + kept) as u64)?;
        self.journal.seek(SeekFrom::End(0))?;
        Ok(())
    }

    /// The last tile that was pushed, in this run or the one gone on from.
    pub fn last_tile_id(&self) -> Option<u64> {
        self.entries
            .last()
            .map(|entry| entry.tile_id + u64::from(entry.run) - 1)
    }

    /// Tiles pushed so far.
    pub fn tile_count(&self) -> u64 {
        self.tiles
    }

    /// Makes what was pushed so far outlive the process.
    ///
    /// # Errors
    /// [`FormatError`] when the files cannot be written.
    pub fn checkpoint(&mut self) -> Result<(), FormatError> {
        let mut write = || -> std::io::Result<()> {
            self.out.flush()?;
            self.journal.write_all(&self.pending)
        };
        write().map_err(|source| io(&self.part, source))?;
        self.pending.clear();
        Ok(())
    }

    /// Appends a tile; ids ascend.
    ///
    /// # Panics
    /// When `tile_id` is not greater than the one before.
    pub fn push(&mut self, tile_id: u64, bytes: &[u8]) -> Result<(), FormatError> {
        if let Some(last) = self.entries.last() {
            assert!(
                tile_id >= last.tile_id + u64::from(last.run),
                "tiles come in the order of their ids"
            );
        }
        self.tiles += 1;
        let length = bytes.len() as u32;
        let hash = xxh3_128(bytes);
        let offset = match self.seen.get(&hash) {
            Some(&offset) => offset,
            None => {
                self.out
                    .write_all(bytes)
                    .map_err(|source| io(&self.part, source))?;
                self.seen.insert(hash, self.written);
                self.written += u64::from(length);
                self.written - u64::from(length)
            }
        };
        self.pending.extend_from_slice(&tile_id.to_le_bytes());
        self.pending.extend_from_slice(&offset.to_le_bytes());
        self.pending.extend_from_slice(&length.to_le_bytes());
        let entry = Entry {
            tile_id,
            offset,
            length,
            run: 1,
        };
        add_to_run(&mut self.entries, entry);
        Ok(())
    }

    /// Writes metadata, directories and header, syncs the file and gives it its name. Returns its
    /// length.
    ///
    /// # Errors
    /// [`FormatError`] when the files cannot be written.
    pub fn finish(mut self, description: &Description, metadata: &str) -> Result<u64, FormatError> {
        let (root, leaves) = directories(&self.entries);
        let metadata = gzip(metadata.as_bytes());
        let metadata_at = FRONT_BYTES as u64 + self.written;
        let leaves_at = metadata_at + metadata.len() as u64;
        let total = leaves_at + leaves.len() as u64;
        let mut front = Vec::with_capacity(FRONT_BYTES);
        front.extend_from_slice(MAGIC);
        front.push(3);
        let sections = [
            HEADER_BYTES as u64,
            root.len() as u64,
            metadata_at,
            metadata.len() as u64,
            leaves_at,
            leaves.len() as u64,
            FRONT_BYTES as u64,
            self.written,
            self.tiles,
            self.entries.len() as u64,
            self.seen.len() as u64,
        ];
        sections
            .iter()
            .for_each(|v| front.extend_from_slice(&v.to_le_bytes()));
        // Clustered: the bytes lie in the order of the ids.
        front.extend([
            1,
            Compression::Gzip as u8,
            description.tile_compression as u8,
            description.tile_type as u8,
        ]);
        front.extend([description.min_zoom, description.max_zoom]);
        let degrees = |v: f64| ((v * 1e7).round() as i32).to_le_bytes();
        description
            .bounds_lonlat
            .iter()
            .for_each(|&v| front.extend(degrees(v)));
        front.push(description.center_zoom);
        description
            .center_lonlat
            .iter()
            .for_each(|&v| front.extend(degrees(v)));
        debug_assert_eq!(front.len(), HEADER_BYTES);
        front.extend_from_slice(&root);
        let mut write = || -> std::io::Result<()> {
            self.out.write_all(&metadata)?;
            self.out.write_all(&leaves)?;
            self.out.flush()?;
            let file = self.out.get_mut();
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&front)?;
            file.sync_all()?;
            std::fs::rename(&self.part, &self.path)?;
            std::fs::remove_file(with_ending(&self.path, ".part.journal"))
        };
        write().map_err(|source| io(&self.path, source))?;
        Ok(total)
    }
}

/// Appends a tile, as one more of a run of equal ones where it is one.
fn add_to_run(entries: &mut Vec<Entry>, entry: Entry) {
    match entries.last_mut() {
        Some(last)
            if last.offset == entry.offset
                && last.length == entry.length
                && last.tile_id + u64::from(last.run) == entry.tile_id =>
        {
            last.run += 1;
        }
        Some(_) | None => entries.push(entry),
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(ending);
    PathBuf::from(name)
}

fn io(path: &Path, source: std::io::Error) -> FormatError {
    FormatError::Io {
        path: path.to_path_buf(),
        source,
    }
}

/// The packed root, and all packed leaves in a row.
fn directories(entries: &[Entry]) -> (Vec<u8>, Vec<u8>) {
    let room = FRONT_BYTES - HEADER_BYTES;
    let root = gzip(&serialized(entries));
    if root.len() <= room {
        return (root, Vec::new());
    }
    let mut leaf_size = 4096;
    loop {
        let mut leaves = Vec::new();
        let mut top = Vec::new();
        for leaf in entries.chunks(leaf_size) {
            let packed = gzip(&serialized(leaf));
            top.push(Entry {
                tile_id: leaf[0].tile_id,
                offset: leaves.len() as u64,
                length: packed.len() as u32,
                run: 0,
            });
            leaves.extend_from_slice(&packed);
        }
        let root = gzip(&serialized(&top));
        if root.len() <= room {
            return (root, leaves);
        }
        leaf_size *= 2;
    }
}

fn serialized(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * 6);
    put_varint(&mut out, entries.len() as u64);
    let mut last = 0;
    for entry in entries {
        put_varint(&mut out, entry.tile_id - last);
        last = entry.tile_id;
    }
    entries
        .iter()
        .for_each(|entry| put_varint(&mut out, u64::from(entry.run)));
    entries
        .iter()
        .for_each(|entry| put_varint(&mut out, u64::from(entry.length)));
    let mut next = None;
    for entry in entries {
        // 0 stands for "right after the one before".
        put_varint(
            &mut out,
            if next == Some(entry.offset) {
                0
            } else {
                entry.offset + 1
            },
        );
        next = Some(entry.offset + u64::from(entry.length));
    }
    out
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::new(9).expect("a level of libdeflate"));
    let mut out = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let len = compressor
        .gzip_compress(bytes, &mut out)
        .expect("the bound suffices");
    out.truncate(len);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_specification() {
        // Examples of the specification's section on tile ids.
        assert_eq!(tile_id(0, 0, 0), 0);
        assert_eq!(tile_id(1, 0, 0), 1);
        assert_eq!(tile_id(1, 0, 1), 2);
        assert_eq!(tile_id(1, 1, 1), 3);
        assert_eq!(tile_id(1, 1, 0), 4);
        assert_eq!(tile_id(2, 0, 0), 5);
        assert_eq!(tile_id(12, 3423, 1763), 19_078_479);
    }

    #[test]
    fn a_tile_is_found_again_by_its_id() {
        for id in (0..200_000u64).step_by(7).chain([19_078_479, 358_000_000]) {
            let (z, x, y) = tile_of_id(id).unwrap();
            assert_eq!(tile_id(z, x, y), id);
        }
    }

    #[test]
    fn what_is_written_is_read_equal_tiles_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pmtiles");
        let mut writer = PmtilesWriter::resume_or_create(&path, "a").unwrap();
        let first = tile_id(9, 0, 0);
        // Enough distinct entries for leaf directories.
        for i in 0..60_000u64 {
            let bytes = if i % 10 < 5 {
                b"same".to_vec()
            } else {
                (i * 7919 % 65_537)
                    .to_le_bytes()
                    .repeat((i % 3) as usize + 1)
            };
            writer.push(first + i, &bytes).unwrap();
        }
        let description = Description {
            tile_type: TileType::Mvt,
            tile_compression: Compression::None,
            min_zoom: 9,
            max_zoom: 9,
            bounds_lonlat: [100.0, 20.0, 110.5, 30.25],
            center_lonlat: [105.0, 25.0],
            center_zoom: 9,
        };
        writer.finish(&description, "{\"name\":\"x\"}").unwrap();
        let file = PmtilesFile::open(&path).unwrap();
        assert_eq!(file.header.description, description);
        assert_eq!(file.metadata().unwrap(), "{\"name\":\"x\"}");
        let at = |i: u64| {
            let (z, x, y) = tile_of_id(first + i).unwrap();
            file.tile(z, x, y).unwrap()
        };
        assert_eq!(at(3), Some(&b"same"[..]));
        assert_eq!(at(59_999).unwrap().len(), 8 * (59_999 % 3 + 1));
        assert_eq!(at(60_000), None);
        assert_eq!(file.tile(3, 0, 0).unwrap(), None);
        let runs: Vec<Entry> = file.runs().map(Result::unwrap).collect();
        assert_eq!(runs.iter().map(|e| u64::from(e.run)).sum::<u64>(), 60_000);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_writer_that_died_is_gone_on_from_and_leaves_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let description = Description {
            tile_type: TileType::Mvt,
            tile_compression: Compression::None,
            min_zoom: 5,
            max_zoom: 5,
            bounds_lonlat: [0.0, 0.0, 1.0, 1.0],
            center_lonlat: [0.5, 0.5],
            center_zoom: 5,
        };
        let first = tile_id(5, 0, 0);
        let tile = |i: u64| vec![(i / 3) as u8; 10 + (i / 3) as usize];
        let whole = dir.path().join("whole.pmtiles");
        let mut writer = PmtilesWriter::resume_or_create(&whole, "a").unwrap();
        (0..300).for_each(|i| writer.push(first + i, &tile(i)).unwrap());
        writer.finish(&description, "{}").unwrap();

        let path = dir.path().join("x.pmtiles");
        let mut writer = PmtilesWriter::resume_or_create(&path, "a").unwrap();
        (0..100).for_each(|i| writer.push(first + i, &tile(i)).unwrap());
        writer.checkpoint().unwrap();
        (100..150).for_each(|i| writer.push(first + i, &tile(i)).unwrap());
        // Bytes without a record, and half a record, as a killed process leaves them.
        writer.out.flush().unwrap();
        writer.journal.write_all(&[7; 11]).unwrap();
        drop(writer);
        assert!(!path.exists());
        let mut writer = PmtilesWriter::resume_or_create(&path, "a").unwrap();
        assert_eq!(
            (writer.last_tile_id(), writer.tile_count()),
            (Some(first + 99), 100)
        );
        (100..300).for_each(|i| writer.push(first + i, &tile(i)).unwrap());
        writer.finish(&description, "{}").unwrap();
        assert!(std::fs::read(&path).unwrap() == std::fs::read(&whole).unwrap());

        // Other words: from the beginning.
        let mut writer = PmtilesWriter::resume_or_create(&path, "a").unwrap();
        writer.push(first, b"x").unwrap();
        writer.checkpoint().unwrap();
        drop(writer);
        assert_eq!(
            PmtilesWriter::resume_or_create(&path, "b")
                .unwrap()
                .tile_count(),
            0
        );
    }
}
