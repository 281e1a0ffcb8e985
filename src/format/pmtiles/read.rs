//! Reading PMTiles: the words of header and directories, and a file mapped into memory.
//!
//! [`Header`] and [`Directory`] know bytes only, so the same code finds a tile in a file and, range
//! by range, in an archive on another machine. Nothing in an archive is believed: sections lie in
//! the file, entries in their section, directories have a size and a depth.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::{Description, Entry, HEADER_BYTES, MAGIC, TileType, io, tile_id};
use crate::format::FormatError;
use crate::format::unpack::{Compression, unpack};

/// Directories nest no deeper than this in a well-formed archive.
const MAX_DEPTH: usize = 4;
/// A directory is not believed to unpack to more than this.
const MAX_DIRECTORY_BYTES: usize = 8 << 20;
/// Nor to be packed in more.
const MAX_PACKED_DIRECTORY_BYTES: u32 = 4 << 20;
/// A tile of more packed bytes is not given out.
const MAX_TILE_BYTES: u32 = 16 << 20;
/// Metadata is not believed to unpack to more than this.
const MAX_METADATA_BYTES: usize = 8 << 20;
/// Tile ids beyond this zoom do not fit the coordinates of a tile.
const HIGHEST_ZOOM: u8 = 26;

/// What stands in front of an archive, checked against its length.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    pub description: Description,
    /// How directories and metadata are packed.
    pub internal: Compression,
    /// Where things are in the file.
    pub root: Range<u64>,
    pub metadata: Range<u64>,
    pub leaves: Range<u64>,
    pub tiles: Range<u64>,
    /// How many tiles the archive says it answers to; 0 where it does not say.
    pub addressed_tiles: u64,
    /// A path or an address, for messages.
    name: PathBuf,
}

/// Where the way to a tile leads next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The bytes of the tile.
    Tile(Range<u64>),
    /// A further directory.
    Leaf(Range<u64>),
    /// There is no such tile.
    Nothing,
}

impl Header {
    /// Bytes of the front of an archive that hold header and root directory.
    pub const FRONT_BYTES: u64 = super::FRONT_BYTES as u64;
    /// Directories that are looked into on the way to one tile.
    pub const MAX_DEPTH: usize = MAX_DEPTH;

    /// Reads the header at the front of an archive that is `length` bytes long.
    ///
    /// # Errors
    /// [`FormatError`] when it is no PMTiles of version 3, or a section lies outside of it.
    pub fn parse(front: &[u8], length: u64, name: &Path) -> Result<Header, FormatError> {
        let malformed = |found: String, expected: &str| FormatError::Malformed {
            path: name.to_path_buf(),
            found,
            expected: expected.to_string(),
        };
        let Some(front) = front
            .get(..HEADER_BYTES)
            .filter(|front| front.starts_with(MAGIC))
        else {
            return Err(malformed("no PMTiles signature".into(), "\"PMTiles\""));
        };
        if front[7] != 3 {
            return Err(malformed(format!("version {}", front[7]), "version 3"));
        }
        let word = |i: usize| {
            let at = 8 + 8 * i;
            u64::from_le_bytes(front[at..at + 8].try_into().expect("eight bytes"))
        };
        let section = |i: usize, what: &str| {
            let (start, bytes) = (word(i), word(i + 1));
            start
                .checked_add(bytes)
                .filter(|&end| end <= length)
                .map(|end| start..end)
                .ok_or_else(|| {
                    malformed(
                        format!(
                            "{what} of {bytes} bytes at byte {start}, beyond the end at {length}"
                        ),
                        "a complete archive",
                    )
                })
        };
        let degrees = |at: usize| {
            f64::from(i32::from_le_bytes(
                front[at..at + 4].try_into().expect("four bytes"),
            )) / 1e7
        };
        let description = Description {
            tile_compression: compression(front[98]),
            tile_type: match front[99] {
                1 => TileType::Mvt,
                2 => TileType::Png,
                3 => TileType::Jpeg,
                4 => TileType::Webp,
                5 => TileType::Avif,
                _ => TileType::Unknown,
            },
            min_zoom: front[100],
            max_zoom: front[101],
            bounds_lonlat: [degrees(102), degrees(106), degrees(110), degrees(114)],
            center_zoom: front[118],
            center_lonlat: [degrees(119), degrees(123)],
        };
        let header = Header {
            description,
            internal: compression(front[97]),
            root: section(0, "a root directory")?,
            metadata: section(2, "metadata")?,
            leaves: section(4, "leaf directories")?,
            tiles: section(6, "tiles")?,
            addressed_tiles: word(8),
            name: name.to_path_buf(),
        };
        let bytes = header.root.end - header.root.start;
        if bytes > u64::from(MAX_PACKED_DIRECTORY_BYTES) {
            return Err(malformed(
                format!("a root directory of {bytes} bytes"),
                "at most 4 MiB",
            ));
        }
        Ok(header)
    }

    /// Unpacks a directory.
    ///
    /// # Errors
    /// [`FormatError`] when the bytes are no directory, or too large a one.
    pub fn directory(&self, packed: &[u8]) -> Result<Directory, FormatError> {
        let plain = unpack(packed, self.internal, MAX_DIRECTORY_BYTES)
            .map_err(|e| self.broken(format!("a directory of {e}")))?;
        Directory::parse(&plain).ok_or_else(|| self.broken("an unreadable directory".into()))
    }

    /// Unpacks the JSON metadata.
    ///
    /// # Errors
    /// [`FormatError`] when they are damaged, too large or no UTF-8.
    pub fn metadata_text(&self, packed: &[u8]) -> Result<String, FormatError> {
        let plain = unpack(packed, self.internal, MAX_METADATA_BYTES)
            .map_err(|e| self.broken(format!("metadata of {e}")))?;
        String::from_utf8(plain).map_err(|_| self.broken("metadata that are no UTF-8".into()))
    }

    /// Where the way to a tile goes on from a directory.
    ///
    /// # Errors
    /// [`FormatError`] when the entry lies outside of its section or is too large.
    pub fn place(&self, directory: &Directory, id: u64) -> Result<Place, FormatError> {
        match directory.find(id) {
            None => Ok(Place::Nothing),
            Some(entry) if entry.run == 0 => self.leaf_range(entry).map(Place::Leaf),
            Some(entry) => self.tile_range(entry).map(Place::Tile),
        }
    }

    /// What is said when directories lead in circles.
    pub fn too_deep(&self) -> FormatError {
        self.broken(format!("directories nested more than {MAX_DEPTH} deep"))
    }

    fn tile_range(&self, entry: &Entry) -> Result<Range<u64>, FormatError> {
        self.range(&self.tiles, entry, MAX_TILE_BYTES, "a tile")
    }

    fn leaf_range(&self, entry: &Entry) -> Result<Range<u64>, FormatError> {
        let limit = MAX_PACKED_DIRECTORY_BYTES;
        self.range(&self.leaves, entry, limit, "a leaf directory")
    }

    fn range(
        &self,
        section: &Range<u64>,
        entry: &Entry,
        limit: u32,
        what: &str,
    ) -> Result<Range<u64>, FormatError> {
        let bytes = entry.length;
        if bytes > limit {
            return Err(self.broken(format!("{what} of {bytes} bytes, more than {limit}")));
        }
        let start = section.start.checked_add(entry.offset);
        let end = start.and_then(|start| start.checked_add(u64::from(bytes)));
        match (start, end) {
            (Some(start), Some(end)) if end <= section.end => Ok(start..end),
            _ => Err(self.broken(format!(
                "{what} of {bytes} bytes at byte {} of its section, beyond its end",
                entry.offset
            ))),
        }
    }

    fn broken(&self, found: String) -> FormatError {
        FormatError::Malformed {
            path: self.name.clone(),
            found,
            expected: "a sound PMTiles archive".to_string(),
        }
    }
}

fn compression(byte: u8) -> Compression {
    match byte {
        1 => Compression::None,
        2 => Compression::Gzip,
        3 => Compression::Brotli,
        4 => Compression::Zstd,
        _ => Compression::Unknown,
    }
}

/// A directory, unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    entries: Vec<Entry>,
}

impl Directory {
    /// `None` when the bytes are no directory.
    pub fn parse(bytes: &[u8]) -> Option<Directory> {
        deserialized(bytes).map(|entries| Directory { entries })
    }

    /// Memory it takes.
    pub fn bytes(&self) -> u64 {
        (self.entries.len() * size_of::<Entry>()) as u64
    }

    /// The entry that would answer to a tile.
    fn find(&self, id: u64) -> Option<&Entry> {
        let after = self.entries.partition_point(|entry| entry.tile_id <= id);
        let entry = &self.entries[after.checked_sub(1)?];
        let answers = entry.run == 0 || id - entry.tile_id < u64::from(entry.run);
        answers.then_some(entry)
    }
}

fn deserialized(bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut at = 0;
    let count = usize::try_from(take_varint(bytes, &mut at)?).ok()?;
    // Each entry takes at least four bytes; a larger count is a lie.
    if count > bytes.len() / 4 {
        return None;
    }
    let mut entries = vec![
        Entry {
            tile_id: 0,
            offset: 0,
            length: 0,
            run: 0
        };
        count
    ];
    let mut last = 0u64;
    for entry in &mut entries {
        last = last.checked_add(take_varint(bytes, &mut at)?)?;
        entry.tile_id = last;
    }
    for entry in &mut entries {
        entry.run = u32::try_from(take_varint(bytes, &mut at)?).ok()?;
    }
    for entry in &mut entries {
        entry.length = u32::try_from(take_varint(bytes, &mut at)?).ok()?;
    }
    for i in 0..count {
        let value = take_varint(bytes, &mut at)?;
        entries[i].offset = match value {
            0 if i > 0 => entries[i - 1]
                .offset
                .checked_add(u64::from(entries[i - 1].length))?,
            0 => return None,
            _ => value - 1,
        };
    }
    Some(entries)
}

fn take_varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// An opened archive; cheap to read from many threads.
pub struct PmtilesFile {
    pub header: Header,
    map: Mmap,
    root: Directory,
}

impl PmtilesFile {
    /// Maps the archive and reads header and root directory.
    ///
    /// # Errors
    /// [`FormatError`] when it cannot be read or is not a sound PMTiles archive of version 3.
    pub fn open(path: &Path) -> Result<PmtilesFile, FormatError> {
        let file = File::open(path).map_err(|source| io(path, source))?;
        // SAFETY: archives are replaced by renaming, never written in place while served.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| io(path, source))?;
        let header = Header::parse(&map, map.len() as u64, path)?;
        let root = header.directory(&map[range(&header.root)])?;
        Ok(PmtilesFile { header, map, root })
    }

    /// The JSON metadata.
    ///
    /// # Errors
    /// [`FormatError`] when they are damaged, too large or no UTF-8.
    pub fn metadata(&self) -> Result<String, FormatError> {
        self.header
            .metadata_text(&self.map[range(&self.header.metadata)])
    }

    /// The stored bytes of a tile.
    ///
    /// # Errors
    /// [`FormatError`] when a directory on the way is broken.
    pub fn tile(&self, z: u8, x: u32, y: u32) -> Result<Option<&[u8]>, FormatError> {
        let Some(id) = id_within(z, x, y) else {
            return Ok(None);
        };
        let mut leaf: Option<Directory> = None;
        for _ in 0..MAX_DEPTH {
            let directory = leaf.as_ref().unwrap_or(&self.root);
            match self.header.place(directory, id)? {
                Place::Nothing => return Ok(None),
                Place::Tile(at) => return Ok(Some(&self.map[range(&at)])),
                Place::Leaf(at) => leaf = Some(self.header.directory(&self.map[range(&at)])?),
            }
        }
        Err(self.header.too_deep())
    }

    /// Every run of equal tiles, in the order of the ids. Memory holds the directories on the way
    /// to the current one. An archive whose ids do not ascend ends in an error, and so do
    /// directories that lead in circles.
    pub fn runs(&self) -> TileRuns<'_> {
        TileRuns {
            file: self,
            open: vec![(self.root.clone(), 0)],
            next_id: 0,
        }
    }

    /// The bytes of a run of [`PmtilesFile::runs`].
    ///
    /// # Errors
    /// [`FormatError`] when they lie outside of the archive or are too many.
    pub fn bytes_of(&self, entry: &Entry) -> Result<&[u8], FormatError> {
        Ok(&self.map[range(&self.header.tile_range(entry)?)])
    }
}

/// The number of a tile that the coordinates can have; `None` for one that no archive holds.
pub fn id_within(z: u8, x: u32, y: u32) -> Option<u64> {
    let inside = z <= HIGHEST_ZOOM && x >> z == 0 && y >> z == 0;
    inside.then(|| tile_id(z, x, y))
}

/// Within a map, where every checked range fits `usize`.
fn range(range: &Range<u64>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// See [`PmtilesFile::runs`].
pub struct TileRuns<'a> {
    file: &'a PmtilesFile,
    /// Directories from the root down, each with the number of its next entry.
    open: Vec<(Directory, usize)>,
    next_id: u64,
}

impl TileRuns<'_> {
    fn step(&mut self) -> Result<Option<Entry>, FormatError> {
        while let Some((directory, at)) = self.open.last_mut() {
            let Some(&entry) = directory.entries.get(*at) else {
                self.open.pop();
                continue;
            };
            *at += 1;
            let header = &self.file.header;
            if entry.tile_id < self.next_id {
                let found = format!("tile {} after tile {}", entry.tile_id, self.next_id);
                return Err(header.broken(found));
            }
            if entry.run > 0 {
                let after = entry.tile_id.checked_add(u64::from(entry.run));
                self.next_id = after.ok_or_else(|| header.broken("a run without end".into()))?;
                return Ok(Some(entry));
            }
            if self.open.len() == MAX_DEPTH {
                return Err(header.too_deep());
            }
            let leaf = header.directory(&self.file.map[range(&header.leaf_range(&entry)?)])?;
            if leaf.entries.is_empty() {
                return Err(header.broken("an empty leaf directory".into()));
            }
            self.open.push((leaf, 0));
        }
        Ok(None)
    }
}

impl Iterator for TileRuns<'_> {
    type Item = Result<Entry, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().transpose();
        if matches!(step, Some(Err(_))) {
            self.open.clear();
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::super::{directories, put_varint, serialized};
    use super::*;

    #[test]
    fn a_count_that_the_bytes_cannot_hold_is_refused() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u64::MAX / 2);
        bytes.extend([0; 64]);
        assert_eq!(Directory::parse(&bytes), None);
    }

    fn entry(tile_id: u64, offset: u64, length: u32, run: u32) -> Entry {
        Entry {
            tile_id,
            offset,
            length,
            run,
        }
    }

    /// An archive with plain directories whose parts say what the test wants.
    fn archive(root: &[Entry], leaves: &[u8], tiles: &[u8]) -> tempfile::NamedTempFile {
        let root = serialized(root);
        let mut bytes = b"PMTiles\x03".to_vec();
        let root_at = HEADER_BYTES as u64;
        let leaves_at = root_at + root.len() as u64;
        let tiles_at = leaves_at + leaves.len() as u64;
        for word in [
            root_at,
            root.len() as u64,
            root_at,
            0,
            leaves_at,
            leaves.len() as u64,
            tiles_at,
            tiles.len() as u64,
            0,
            0,
            0,
        ] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend([1, Compression::None as u8, Compression::None as u8, 1]);
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend([&root, leaves, tiles].concat());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    fn refusal<T: std::fmt::Debug>(result: Result<T, FormatError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn directories_that_lead_in_circles_end() {
        // A leaf whose one entry is that leaf.
        let leaf = serialized(&[entry(0, 0, 5, 0)]);
        assert_eq!(leaf.len(), 5);
        let file = archive(&[entry(0, 0, 5, 0)], &leaf, b"");
        let open = PmtilesFile::open(file.path()).unwrap();
        assert!(refusal(open.tile(0, 0, 0)).contains("nested more than 4 deep"));
        let all: Result<Vec<Entry>, FormatError> = open.runs().collect();
        assert!(refusal(all).contains("nested more than 4 deep"));
        // Two ways to one leaf: ids come twice.
        let leaf = serialized(&[entry(0, 0, 1, 1)]);
        let twice = [entry(0, 0, 5, 0), entry(1, 0, 5, 0)];
        let file = archive(&twice, &leaf, b"x");
        let open = PmtilesFile::open(file.path()).unwrap();
        assert_eq!(open.tile(0, 0, 0).unwrap(), Some(&b"x"[..]));
        let all: Result<Vec<Entry>, FormatError> = open.runs().collect();
        assert!(refusal(all).contains("tile 0 after tile 1"));
        assert_eq!(open.runs().count(), 2, "an error is the last thing");
    }

    #[test]
    fn entries_that_lie_about_place_or_size_are_errors() {
        let runs = [
            entry(0, 0, 4, 1),
            entry(1, 3, 2, 1),
            entry(2, u64::MAX - 30, 20, 1),
            entry(3, 0, MAX_TILE_BYTES + 1, 1),
        ];
        let file = archive(&runs, b"", b"abcd");
        let open = PmtilesFile::open(file.path()).unwrap();
        assert_eq!(open.tile(0, 0, 0).unwrap(), Some(&b"abcd"[..]));
        assert!(refusal(open.tile(1, 0, 0)).contains("2 bytes at byte 3 of its section"));
        assert!(refusal(open.tile(1, 0, 1)).contains("beyond its end"));
        assert!(refusal(open.tile(1, 1, 1)).contains("more than 16777216"));
        assert_eq!(open.tile(1, 1, 0).unwrap(), None);
        assert_eq!(open.tile(200, 0, 0).unwrap(), None);
    }

    #[test]
    fn a_truncated_archive_is_refused_with_the_section_that_is_missing() {
        let file = archive(&[entry(0, 0, 4, 1)], b"", b"abcd");
        let bytes = std::fs::read(file.path()).unwrap();
        for keep in 0..bytes.len() {
            let refused = Header::parse(&bytes[..keep], keep as u64, Path::new("x"));
            let text = refusal(refused);
            assert!(
                text.contains("signature") || text.contains("beyond the end"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_directory_of_many_entries_is_split_and_still_read() {
        let entries: Vec<Entry> = (0..20_000)
            .map(|i| {
                entry(
                    i * 3,
                    i * i % 65_537,
                    (i % 901) as u32 + 1,
                    1 + (i % 2) as u32,
                )
            })
            .collect();
        let (root, leaves) = directories(&entries);
        assert!(!leaves.is_empty() && root.len() < super::super::FRONT_BYTES);
    }
}
