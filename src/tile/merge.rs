//! Parts of an archive, made apart, become the archive that would have been made in one go.
//!
//! The parts are read in step, in the order of the tile ids, and what they hold goes through the
//! same writer as [`super::archive`] uses, so the result has the same bytes. Tiles are copied as
//! they are packed. Parts that disagree (in what they say of themselves, or in a tile) are an error:
//! they are no parts of one archive.
//!
//! Memory holds the directory of the result, and for MBTiles eight bytes for each tile.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::format::FormatError;
use crate::format::mbtiles::{MbtilesFile, MbtilesWriter};
use crate::format::pmtiles::{
    Description, PmtilesFile, PmtilesWriter, TileRuns, tile_id, tile_of_id,
};
use crate::model::TileContainer;

/// Tiles written between two looks at whoever waits.
const BATCH: u64 = 4096;

/// What became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MergeReport {
    pub tiles: u64,
    /// Tiles that several parts had, equal in all.
    pub shared: u64,
}

/// Why archives are not parts of one.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "{path} is among the parts and the result; give the result another name (输出与输入相同)"
    )]
    OverPart { path: PathBuf },
    #[error(
        "{path}: expected the name of a {expected} archive like the others, merge takes parts of one kind (归档格式须一致)"
    )]
    OtherKind {
        path: PathBuf,
        expected: &'static str,
    },
    #[error(
        "{path}: expected X.pmtiles or X.mbtiles; folders of tiles need no merging, copy them into one (只合并 PMTiles 或 MBTiles)"
    )]
    NoArchive { path: PathBuf },
    #[error(
        "{path}: {what} {found}, but {other} has {expected}: no parts of one archive (归档不属于同一批)"
    )]
    Disagree {
        path: PathBuf,
        other: PathBuf,
        what: String,
        found: String,
        expected: String,
    },
    #[error("tile {z}/{x}/{y} is different in {a} and {b} (同一瓦片内容不同)")]
    Conflict {
        z: u8,
        x: u32,
        y: u32,
        a: PathBuf,
        b: PathBuf,
    },
    #[error("stopped after {done} tiles (已中断)")]
    Stopped { done: u64 },
}

/// Merges parts into one archive. `report` hears how many tiles are done, and says whether to go on.
///
/// # Errors
/// [`MergeError`]; there is no archive then, whole or half.
pub fn merge(
    parts: &[PathBuf],
    out: &Path,
    report: &mut dyn FnMut(u64) -> bool,
) -> Result<MergeReport, MergeError> {
    let container = container(out)?;
    for part in parts {
        if self::container(part)? != container {
            return Err(MergeError::OtherKind {
                path: part.clone(),
                expected: word(container),
            });
        }
        let same =
            |a: &Path, b: &Path| Some(fs::canonicalize(a).ok()? == fs::canonicalize(b).ok()?);
        if same(part, out) == Some(true) {
            return Err(MergeError::OverPart { path: part.clone() });
        }
    }
    let result = match container {
        TileContainer::Pmtiles => pmtiles(parts, out, report),
        TileContainer::Mbtiles => mbtiles(parts, out, report),
    };
    if let Err(MergeError::Conflict { .. } | MergeError::Format(_)) = &result {
        // It would end the same way again. What was not begun is not there.
        for ending in [".part", ".part.journal"] {
            let _ = fs::remove_file(with_ending(out, ending));
        }
    }
    result
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(ending);
    PathBuf::from(name)
}

fn container(path: &Path) -> Result<TileContainer, MergeError> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("pmtiles") => Ok(TileContainer::Pmtiles),
        Some("mbtiles") => Ok(TileContainer::Mbtiles),
        Some(_) | None => Err(MergeError::NoArchive {
            path: path.to_path_buf(),
        }),
    }
}

fn word(container: TileContainer) -> &'static str {
    match container {
        TileContainer::Pmtiles => "PMTiles",
        TileContainer::Mbtiles => "MBTiles",
    }
}

/// A part, read from its first tile to its last.
trait Part {
    fn path(&self) -> &Path;
    /// The id of the next tile.
    fn next_id(&mut self) -> Result<Option<u64>, FormatError>;
    /// The bytes of the tile that came last.
    fn bytes(&self) -> Result<Cow<'_, [u8]>, FormatError>;
}

/// Hands every tile of all parts to `put`, in order, each once.
fn in_step<P: Part>(
    mut parts: Vec<P>,
    report: &mut dyn FnMut(u64) -> bool,
    mut put: impl FnMut(u64, &[u8], bool) -> Result<(), MergeError>,
) -> Result<MergeReport, MergeError> {
    let mut waiting: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    for (i, part) in parts.iter_mut().enumerate() {
        waiting.extend(part.next_id()?.map(|id| Reverse((id, i))));
    }
    let mut result = MergeReport::default();
    while let Some(Reverse((id, first))) = waiting.pop() {
        let pause = result.tiles % BATCH == 0;
        if pause && !report(result.tiles) {
            return Err(MergeError::Stopped { done: result.tiles });
        }
        put(id, &parts[first].bytes()?, pause)?;
        result.tiles += 1;
        while let Some(&Reverse((same, other))) = waiting.peek()
            && same == id
        {
            waiting.pop();
            if parts[other].bytes()? != parts[first].bytes()? {
                let (z, x, y) = tile_of_id(id).unwrap_or_default();
                return Err(MergeError::Conflict {
                    z,
                    x,
                    y,
                    a: parts[first].path().to_path_buf(),
                    b: parts[other].path().to_path_buf(),
                });
            }
            result.shared += 1;
            waiting.extend(parts[other].next_id()?.map(|id| Reverse((id, other))));
        }
        waiting.extend(parts[first].next_id()?.map(|id| Reverse((id, first))));
    }
    Ok(result)
}

struct PmtilesPart<'a> {
    path: &'a Path,
    file: &'a PmtilesFile,
    runs: TileRuns<'a>,
    /// The run that is being gone through, and how many of its tiles are done.
    run: Option<(crate::format::pmtiles::Entry, u32)>,
}

impl Part for PmtilesPart<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn next_id(&mut self) -> Result<Option<u64>, FormatError> {
        self.run = match self.run.take() {
            Some((entry, done)) if done < entry.run => Some((entry, done + 1)),
            Some(_) | None => self.runs.next().transpose()?.map(|entry| (entry, 1)),
        };
        Ok(self
            .run
            .map(|(entry, done)| entry.tile_id + u64::from(done) - 1))
    }

    fn bytes(&self) -> Result<Cow<'_, [u8]>, FormatError> {
        match &self.run {
            Some((entry, _)) => self.file.bytes_of(entry).map(Cow::Borrowed),
            None => Ok(Cow::Borrowed(&[])),
        }
    }
}

fn pmtiles(
    parts: &[PathBuf],
    out: &Path,
    report: &mut dyn FnMut(u64) -> bool,
) -> Result<MergeReport, MergeError> {
    let mut files = Vec::new();
    for path in parts {
        let file = PmtilesFile::open(path)?;
        let metadata = file.metadata()?;
        files.push((path, file, metadata));
    }
    let (first, of_first, metadata) = &files[0];
    for (path, file, own) in &files[1..] {
        let mine = description_words(&file.header.description);
        let theirs = description_words(&of_first.header.description);
        let words = mine.into_iter().zip(theirs);
        let texts = std::iter::once((("metadata", own.clone()), ("metadata", metadata.clone())));
        agree(path, first, words.chain(texts))?;
    }
    let cursors = files.iter().map(|(path, file, _)| PmtilesPart {
        path,
        file,
        runs: file.runs(),
        run: None,
    });
    let mut writer = PmtilesWriter::resume_or_create(out, &fingerprint(parts)?)?;
    let done = writer.last_tile_id();
    let result = in_step(cursors.collect(), report, |id, bytes, pause| {
        if done.is_none_or(|done| id > done) {
            writer.push(id, bytes)?;
        }
        if pause {
            writer.checkpoint()?;
        }
        Ok(())
    })?;
    writer.finish(&of_first.header.description, metadata)?;
    Ok(result)
}

/// A text that differs when the result would: a run that was killed is gone on from.
fn fingerprint(parts: &[PathBuf]) -> Result<String, MergeError> {
    let mut text = format!("merge {}", env!("CARGO_PKG_VERSION"));
    for path in parts {
        let about = fs::metadata(path).map_err(|source| MergeError::Io {
            path: path.clone(),
            source,
        })?;
        let modified = about
            .modified()
            .ok()
            .and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        text.push_str(&format!("\n{path:?} {} {modified:?}", about.len()));
    }
    Ok(text)
}

fn description_words(description: &Description) -> Vec<(&'static str, String)> {
    let Description {
        tile_type,
        tile_compression,
        min_zoom,
        max_zoom,
        bounds_lonlat,
        center_lonlat,
        center_zoom,
    } = description;
    vec![
        ("tiles of", format!("{tile_type:?}")),
        ("compression", format!("{tile_compression:?}")),
        ("zooms", format!("{min_zoom} to {max_zoom}")),
        ("bounds", format!("{bounds_lonlat:?}")),
        ("center", format!("{center_lonlat:?} at {center_zoom}")),
    ]
}

type Word<'a> = (&'a str, String);

fn agree<'a>(
    path: &Path,
    other: &Path,
    words: impl Iterator<Item = (Word<'a>, Word<'a>)>,
) -> Result<(), MergeError> {
    for ((what, found), (_, expected)) in words {
        if found != expected {
            let shown = |text: String| text.chars().take(300).collect();
            return Err(MergeError::Disagree {
                path: path.to_path_buf(),
                other: other.to_path_buf(),
                what: what.to_string(),
                found: shown(found),
                expected: shown(expected),
            });
        }
    }
    Ok(())
}

struct MbtilesPart<'a> {
    path: &'a Path,
    file: &'a MbtilesFile,
    /// In descending order: the next is the last.
    ids: Vec<u64>,
    bytes: Vec<u8>,
}

impl Part for MbtilesPart<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn next_id(&mut self) -> Result<Option<u64>, FormatError> {
        let Some(id) = self.ids.pop() else {
            return Ok(None);
        };
        let (z, x, y) = tile_of_id(id).unwrap_or_default();
        self.bytes = self.file.tile(z, x, y)?.unwrap_or_default();
        Ok(Some(id))
    }

    fn bytes(&self) -> Result<Cow<'_, [u8]>, FormatError> {
        Ok(Cow::Borrowed(&self.bytes))
    }
}

fn mbtiles(
    parts: &[PathBuf],
    out: &Path,
    report: &mut dyn FnMut(u64) -> bool,
) -> Result<MergeReport, MergeError> {
    let mut files = Vec::new();
    for path in parts {
        let file = MbtilesFile::open(path)?;
        let metadata = file.metadata()?;
        files.push((path, file, metadata));
    }
    let (first, _, metadata) = &files[0];
    for (path, _, own) in &files[1..] {
        let count = |words: &[(String, String)]| ("metadata", format!("of {} words", words.len()));
        let counts = std::iter::once((count(own), count(metadata)));
        let words = own.iter().zip(metadata).flat_map(|((a, b), (c, d))| {
            let name = (("metadata word", a.clone()), ("", c.clone()));
            [name, ((a.as_str(), b.clone()), ("", d.clone()))]
        });
        agree(path, first, counts.chain(words))?;
    }
    let mut cursors = Vec::new();
    for (path, file, _) in &files {
        let addresses = file.addresses()?;
        let mut ids: Vec<u64> = addresses
            .iter()
            .map(|&(z, x, y)| tile_id(z, x, y))
            .collect();
        drop(addresses);
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        cursors.push(MbtilesPart {
            path,
            file,
            ids,
            bytes: Vec::new(),
        });
    }
    let part = with_ending(out, ".part");
    let mut writer = MbtilesWriter::create(&part)?;
    let result = in_step(cursors, report, |id, bytes, _| {
        let (z, x, y) = tile_of_id(id).unwrap_or_default();
        Ok(writer.push(z, x, y, bytes)?)
    })?;
    let words: Vec<(&str, String)> = metadata
        .iter()
        .map(|(k, v)| (k.as_str(), v.clone()))
        .collect();
    writer.finish(&words)?;
    fs::rename(&part, out).map_err(|source| MergeError::Io {
        path: out.to_path_buf(),
        source,
    })?;
    Ok(result)
}
