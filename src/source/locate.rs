//! From what the user named to what GDAL may open.

use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::ptr;

use gdal::GdalOpenFlags;
use gdal_sys::{
    CSLCount, CSLDestroy, GDALIdentifyDriverEx, VSIFCloseL, VSIFOpenL, VSIFReadL,
    VSIReadDirRecursive,
};

use super::ogr::{ErrorTrap, prepare};
use super::shapefile::MemoryFiles;
use super::{SourceError, SourceSpec, archive, boundary, csv, shapefile};
use crate::model::Issue;

/// One thing GDAL can open.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub gdal_name: CString,
    /// File name without folder and extension.
    pub stem: String,
    pub open_options: Vec<CString>,
    pub is_postgres: bool,
}

impl Candidate {
    /// A message of GDAL without folders, names of its file systems and secrets.
    pub(super) fn redacted(&self, message: &str) -> String {
        let name = self.gdal_name.to_string_lossy();
        if self.is_postgres {
            return without_secrets(&message.replace(&*name, &self.stem));
        }
        let folder = &name[..name.rfind('/').map_or(0, |at| at + 1)];
        let archive = &name[..name.rfind("}/").map_or(0, |at| at + 2)];
        [folder, archive]
            .into_iter()
            .filter(|prefix| prefix.len() > 1)
            .fold(message.to_string(), |text, prefix| text.replace(prefix, ""))
    }
}

/// Where a source is, and what was noticed on the way.
pub(super) struct Located {
    pub candidates: Vec<Candidate>,
    pub chosen: Option<Candidate>,
    /// For people: the file's name or the connection without secrets; never a folder.
    pub display: String,
    /// Size of the file, where it is one.
    pub bytes: Option<u64>,
    pub issues: Vec<Issue>,
    /// Files made up in memory; they must outlive the dataset.
    pub memory: Option<MemoryFiles>,
    /// What our own reader says of a source that GDAL sees only as made up in memory.
    pub told: Option<Told>,
}

/// What is known before GDAL opens anything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub driver: &'static str,
    pub epsg: Option<u32>,
    pub encoding: &'static str,
}

/// Files in an archive that are map data by themselves.
pub(super) const DATA_EXTENSIONS: &[&str] = &[
    "shp", "gpkg", "fgb", "geojson", "geojsonl", "geojsons", "json", "gml", "kml", "csv", "tab",
    "mif", "dxf", "gpx", "sqlite", "parquet",
];
/// Packages that are refused with a word on what to do.
const FOREIGN_PACKAGES: &[&str] = &["gz", "tgz", "tar", "7z", "rar", "bz2", "xz", "zst"];

impl Located {
    /// A message of GDAL fit for people (see [`Candidate::redacted`]).
    pub(super) fn redacted(&self, message: &str) -> String {
        match &self.chosen {
            Some(candidate) => candidate.redacted(message),
            None => message.to_string(),
        }
    }

    pub(super) fn find(spec: &SourceSpec) -> Result<Located, SourceError> {
        let location = spec.location.as_str();
        if is_postgres(location) {
            return Ok(Located::connection(location));
        }
        let path = PathBuf::from(location);
        if location.contains("://") || location.starts_with("/vsi") {
            return Err(SourceError::NotAllowed {
                location: without_secrets(location),
                reason: "only files, directories and PG: connections are read; fetch it first (只读取本地文件、目录和 PG: 连接)".to_string(),
            });
        }
        let metadata = std::fs::metadata(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                SourceError::NotFound { path: path.clone() }
            }
            _ => SourceError::Io {
                path: path.clone(),
                source,
            },
        })?;
        let display = file_name(&path);
        let extension = extension_of(&path);
        if metadata.is_file() && FOREIGN_PACKAGES.contains(&extension.as_str()) {
            return Err(SourceError::NotAllowed {
                location: display,
                reason: format!(
                    "a .{extension} package; unpack it first, zip is read as it is (请先解压)"
                ),
            });
        }
        let mut located = Located {
            candidates: Vec::new(),
            chosen: None,
            display,
            bytes: metadata.is_file().then_some(metadata.len()),
            issues: Vec::new(),
            memory: None,
            told: None,
        };
        if metadata.is_file() && archive::is_zip(&path) {
            archive::check(&path, &spec.limits)?;
            located.candidates = in_archive(&path)?;
        } else if let texts = boundary::files(&path)?
            && !texts.is_empty()
        {
            located.read_boundaries(&path, &texts, spec)?;
        } else {
            let path = shapefile::main_file(&path);
            let gdal_name = match shapefile::open_place(&path, &mut located.issues)? {
                Some((name, memory)) => {
                    located.memory = Some(memory);
                    name
                }
                None => path_name(&path)?,
            };
            located.candidates = vec![candidate(gdal_name, &path)];
        }
        Ok(located)
    }

    /// Hands boundary files to GDAL as a file in memory.
    fn read_boundaries(
        &mut self,
        path: &Path,
        files: &[PathBuf],
        spec: &SourceSpec,
    ) -> Result<(), SourceError> {
        let read = boundary::read(files, spec, &mut self.issues)?;
        self.told = Some(Told {
            driver: boundary::DRIVER,
            epsg: read.epsg,
            encoding: read.encoding.name(),
        });
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let (name, memory) = MemoryFiles::of(&stem, "geojson", read.geojson);
        self.memory = Some(memory);
        self.candidates = vec![candidate(name, path)];
        self.candidates[0].open_options.clear();
        Ok(())
    }

    fn connection(location: &str) -> Located {
        let name = match location.strip_prefix("postgres://") {
            Some(rest) => format!("PG:postgresql://{rest}"),
            None if location.starts_with("postgresql://") => format!("PG:{location}"),
            None => location.to_string(),
        };
        let display = without_secrets(&name);
        let gdal_name = CString::new(name).unwrap_or_default();
        Located {
            candidates: vec![Candidate {
                gdal_name,
                stem: display.clone(),
                open_options: Vec::new(),
                is_postgres: true,
            }],
            chosen: None,
            display,
            bytes: None,
            issues: Vec::new(),
            memory: None,
            told: None,
        }
    }
}

fn is_postgres(location: &str) -> bool {
    ["PG:", "postgresql://", "postgres://"]
        .iter()
        .any(|scheme| location.starts_with(scheme))
}

/// A connection string without its password, in either form.
fn without_secrets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // postgresql://user:secret@host
    if let Some(scheme) = rest.find("://") {
        let (head, tail) = rest.split_at(scheme + 3);
        let authority = tail.find(['/', '?', ' ']).unwrap_or(tail.len());
        out.push_str(head);
        match tail[..authority].rfind('@') {
            Some(at) => {
                let user = tail[..at].split(':').next().unwrap_or_default();
                out.push_str(user);
                rest = &tail[at..];
            }
            None => rest = tail,
        }
    }
    // password='it''s' or password=secret
    while let Some(at) = rest.to_ascii_lowercase().find("password") {
        let (head, tail) = rest.split_at(at + "password".len());
        out.push_str(head);
        let value = tail.trim_start_matches([' ', '=']);
        out.push_str("=***");
        rest = match value.strip_prefix('\'') {
            Some(quoted) => quoted
                .char_indices()
                .find(|&(i, c)| c == '\'' && !quoted[..i].ends_with('\\'))
                .map_or("", |(i, _)| &quoted[i + 1..]),
            None => &value[value.find([' ', '&']).unwrap_or(value.len())..],
        };
    }
    out.push_str(rest);
    out
}

fn candidate(gdal_name: CString, path: &Path) -> Candidate {
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    let mut open_options = vec![
        // Text as it is in the file; `text` decodes it.
        c"ENCODING=".to_owned(),
        c"AUTO_REPACK=NO".to_owned(),
        // A database whose writer crashed must not be touched.
        c"IMMUTABLE=YES".to_owned(),
        c"WRITE_GFS=NO".to_owned(),
        c"DOWNLOAD_SCHEMA=NO".to_owned(),
    ];
    if matches!(extension_of(path).as_str(), "csv" | "tsv" | "txt") {
        open_options.extend(csv::open_options(&gdal_name));
    }
    Candidate {
        gdal_name,
        stem,
        open_options,
        is_postgres: false,
    }
}

/// The data files of a zip archive; geodatabases are directories within.
fn in_archive(path: &Path) -> Result<Vec<Candidate>, SourceError> {
    let absolute = std::path::absolute(path).map_err(|source| SourceError::Io {
        path: path.to_path_buf(),
        source,
    })?;
    // Braces keep GDAL from looking for ".zip" in the path.
    let root = format!("/vsizip/{{{}}}", absolute.display());
    let entries = list(&CString::new(root.as_str()).unwrap_or_default());
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for entry in &entries {
        let inner = PathBuf::from(entry.trim_end_matches('/'));
        if entry.split('/').any(|part| part.starts_with("__MACOSX")) {
            continue;
        }
        let geodatabase = entry
            .split_inclusive('/')
            .scan(String::new(), |path, part| {
                path.push_str(part);
                Some(path.trim_end_matches('/').to_string())
            })
            .find(|prefix| prefix.to_ascii_lowercase().ends_with(".gdb"));
        let is_data = DATA_EXTENSIONS.contains(&extension_of(&inner).as_str());
        let name = match geodatabase {
            Some(directory) => directory,
            None if is_data && !entry.ends_with('/') => entry.clone(),
            None => continue,
        };
        if !found.iter().any(|(known, _)| *known == name) {
            found.push((name.clone(), PathBuf::from(name)));
        }
    }
    // A .json or .csv beside real map data is documentation.
    if found.iter().any(|(_, p)| !is_side_file(p)) {
        found.retain(|(_, path)| !is_side_file(path));
    }
    if found.is_empty() {
        let mut listed: Vec<&str> = entries.iter().map(String::as_str).take(10).collect();
        if entries.len() > listed.len() {
            listed.push("…");
        }
        return Err(SourceError::ArchiveWithoutData {
            path: path.to_path_buf(),
            entries: if listed.is_empty() {
                "nothing".to_string()
            } else {
                listed.join(", ")
            },
        });
    }
    found.sort();
    Ok(found
        .into_iter()
        .filter_map(|(name, path)| {
            let gdal_name = CString::new(format!("{root}/{name}")).ok()?;
            Some(candidate(gdal_name, &path))
        })
        .collect())
}

fn is_side_file(path: &Path) -> bool {
    matches!(extension_of(path).as_str(), "json" | "csv")
}

/// Everything below a directory of GDAL's file system.
fn list(directory: &CStr) -> Vec<String> {
    let _trap = ErrorTrap::set();
    // SAFETY: the list is owned here and freed; entries within the count are zero-terminated.
    unsafe {
        let entries = VSIReadDirRecursive(directory.as_ptr());
        let names = (0..CSLCount(entries) as isize)
            .map(|index| super::ogr::text(*entries.offset(index)))
            .collect();
        CSLDestroy(entries);
        names
    }
}

/// The first bytes of a file of GDAL's file system.
pub(super) fn read_head(name: &CStr, max_bytes: usize) -> Vec<u8> {
    let _trap = ErrorTrap::set();
    let mut head = vec![0u8; max_bytes];
    // SAFETY: the buffer holds `max_bytes`; the file is closed here.
    unsafe {
        let file = VSIFOpenL(name.as_ptr(), c"rb".as_ptr());
        if file.is_null() {
            return Vec::new();
        }
        let read = VSIFReadL(head.as_mut_ptr().cast(), 1, max_bytes, file);
        VSIFCloseL(file);
        head.truncate(read.min(max_bytes));
    }
    head
}

/// Whether a file of GDAL's file system contains `mark`.
pub(super) fn scan(name: &CStr, mark: &[u8]) -> bool {
    const CHUNK: usize = 1 << 20;
    let _trap = ErrorTrap::set();
    let overlap = mark.len() - 1;
    let mut buffer = vec![0u8; CHUNK + overlap];
    let mut kept = 0usize;
    // SAFETY: every read stays within the buffer; the file is closed here.
    unsafe {
        let file = VSIFOpenL(name.as_ptr(), c"rb".as_ptr());
        if file.is_null() {
            return false;
        }
        let found = loop {
            let read = VSIFReadL(buffer.as_mut_ptr().add(kept).cast(), 1, CHUNK, file).min(CHUNK);
            let seen = &buffer[..kept + read];
            if seen.windows(mark.len()).any(|window| window == mark) {
                break true;
            }
            if read == 0 {
                break false;
            }
            let tail = seen.len().saturating_sub(overlap);
            let end = seen.len();
            buffer.copy_within(tail..end, 0);
            kept = end - tail;
        };
        VSIFCloseL(file);
        found
    }
}

fn path_name(path: &Path) -> Result<CString, SourceError> {
    // A path that begins with a dash or a driver's prefix would be understood otherwise.
    let absolute = std::path::absolute(path).map_err(|source| SourceError::Io {
        path: path.to_path_buf(),
        source,
    })?;
    CString::new(absolute.into_os_string().into_encoded_bytes()).map_err(|_| {
        SourceError::NotFound {
            path: path.to_path_buf(),
        }
    })
}

pub(super) fn extension_of(path: &Path) -> String {
    path.extension()
        .map(|extension| extension.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default()
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Vector or raster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    Vector,
    Raster,
}

/// Tells whether a source holds features or pixels; containers of both count as vector when they
/// have a vector layer.
///
/// # Errors
/// When it does not exist or nothing reads it.
pub fn sniff(location: &str) -> Result<SourceKind, SourceError> {
    prepare();
    if is_postgres(location) {
        return Ok(SourceKind::Vector);
    }
    let spec = SourceSpec::new(location);
    let located = Located::find(&spec)?;
    let [candidate] = located.candidates.as_slice() else {
        return Ok(SourceKind::Vector);
    };
    let identified = |flags: GdalOpenFlags| {
        let _trap = ErrorTrap::set();
        // SAFETY: the name is zero-terminated; null lists mean every driver and no siblings.
        let driver = unsafe {
            GDALIdentifyDriverEx(
                candidate.gdal_name.as_ptr(),
                flags.bits(),
                ptr::null(),
                ptr::null(),
            )
        };
        !driver.is_null()
    };
    let is_raster = identified(GdalOpenFlags::GDAL_OF_RASTER);
    if is_raster && !identified(GdalOpenFlags::GDAL_OF_VECTOR) {
        return Ok(SourceKind::Raster);
    }
    match super::open(&spec) {
        Ok(dataset) if is_raster && dataset.layer_names().next().is_none() => {
            Ok(SourceKind::Raster)
        }
        Ok(_) => Ok(SourceKind::Vector),
        Err(_) if is_raster => Ok(SourceKind::Raster),
        Err(error) => Err(error),
    }
}
