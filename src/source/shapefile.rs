//! The companions of a shapefile: what is missing or cut off is told before reading begins, and a
//! lost `.shx` is rebuilt in memory, never beside the source.
//!
//! Layouts: ESRI Shapefile Technical Description, July 1998; dBASE header: record count, header
//! length and record length at bytes 4, 8 and 10.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use gdal_sys::{VSIFCloseL, VSIFileFromMemBuffer, VSIUnlink};
use memmap2::Mmap;

use super::SourceError;
use super::locate::extension_of;
use crate::model::{Issue, IssueCode, Severity};

const HEADER: usize = 100;
const FILE_CODE: [u8; 4] = 9994u32.to_be_bytes();
/// Bytes of a record before its shape: number and length.
const RECORD_HEADER: u64 = 8;

/// Files in GDAL's memory file system over mapped or owned bytes.
#[derive(Default)]
pub(super) struct MemoryFiles {
    names: Vec<CString>,
    _maps: Vec<Mmap>,
    _built: Vec<Vec<u8>>,
}

impl Drop for MemoryFiles {
    fn drop(&mut self) {
        for name in &self.names {
            // SAFETY: the names were made by `MemoryFiles::add`; GDAL forgets the buffers, which
            // are freed afterwards.
            unsafe {
                VSIUnlink(name.as_ptr());
            }
        }
    }
}

impl MemoryFiles {
    /// A name in memory that no other file has, without an extension.
    fn place(stem: &str) -> String {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        format!("/vsimem/onemap-{}-{serial}/{stem}", std::process::id())
    }

    /// One file made of `bytes`.
    pub(super) fn of(stem: &str, extension: &str, bytes: Vec<u8>) -> (CString, MemoryFiles) {
        let name = format!("{}.{extension}", MemoryFiles::place(stem));
        let mut files = MemoryFiles::default();
        files.add(&name, &bytes);
        files._built.push(bytes);
        (CString::new(name).unwrap_or_default(), files)
    }

    fn add(&mut self, name: &str, bytes: &[u8]) {
        let Ok(name) = CString::new(name) else {
            return;
        };
        // SAFETY: the bytes outlive the name (see `drop`), ownership stays here, and files are
        // only opened for reading.
        unsafe {
            let file = VSIFileFromMemBuffer(
                name.as_ptr(),
                bytes.as_ptr().cast_mut(),
                bytes.len() as u64,
                0,
            );
            if !file.is_null() {
                VSIFCloseL(file);
            }
        }
        self.names.push(name);
    }
}

/// The `.shp` of a companion the user named; any other path as it is.
pub(super) fn main_file(path: &Path) -> PathBuf {
    if matches!(
        extension_of(path).as_str(),
        "dbf" | "shx" | "prj" | "cpg" | "sbn" | "qix"
    ) {
        companion(path, "shp").unwrap_or_else(|| path.to_path_buf())
    } else {
        path.to_path_buf()
    }
}

/// Looks at a shapefile's companions. Returns where to open it instead when an index had to be
/// rebuilt; `None` for everything that can be opened where it is.
pub(super) fn open_place(
    path: &Path,
    issues: &mut Vec<Issue>,
) -> Result<Option<(CString, MemoryFiles)>, SourceError> {
    if extension_of(path) != "shp" || !path.is_file() {
        return Ok(None);
    }
    check_shp(path, issues)?;
    match companion(path, "dbf") {
        Some(dbf) => check_dbf(&dbf)?,
        None => issues.push(note(
            IssueCode::MissingCompanionFile,
            Severity::Kept,
            "the .dbf file is missing: shapes have no attributes (缺少 .dbf, 没有属性)".to_string(),
        )),
    }
    if companion(path, "shx").is_some() {
        return Ok(None);
    }
    rebuilt(path, issues).map(Some)
}

/// A file with the same name and another extension, whatever its case.
fn companion(path: &Path, extension: &str) -> Option<PathBuf> {
    [extension.to_string(), extension.to_ascii_uppercase()]
        .into_iter()
        .map(|extension| path.with_extension(extension))
        .find(|path| path.is_file())
}

fn check_shp(path: &Path, issues: &mut Vec<Issue>) -> Result<(), SourceError> {
    let (header, length) = head(path, HEADER)?;
    if header.len() < HEADER || header[..4] != FILE_CODE {
        return Err(SourceError::Unreadable {
            name: name_of(path),
            reason: format!(
                "the .shp file has no shapefile header; it has {length} bytes, the header alone takes {HEADER} and begins with 9994"
            ),
        });
    }
    let declared = u64::from(u32_be(&header, 24)) * 2;
    if length < declared {
        issues.push(note(
            IssueCode::SourceTruncated,
            Severity::Kept,
            format!(
                "the .shp file has {length} bytes, its header declares {declared} (文件不完整)"
            ),
        ));
    }
    Ok(())
}

fn check_dbf(path: &Path) -> Result<(), SourceError> {
    let (header, length) = head(path, 32)?;
    if header.len() < 32 {
        return Err(SourceError::Unreadable {
            name: name_of(path),
            reason: format!("the .dbf file has {length} bytes, its header alone takes 32"),
        });
    }
    let records = u64::from(u32::from_le_bytes([
        header[4], header[5], header[6], header[7],
    ]));
    let header_length = u64::from(u16::from_le_bytes([header[8], header[9]]));
    let record_length = u64::from(u16::from_le_bytes([header[10], header[11]]));
    let declared = header_length + records * record_length;
    if length < declared {
        let whole = length.saturating_sub(header_length) / record_length.max(1);
        // GDAL would end the layer there without a word.
        return Err(SourceError::Truncated {
            name: name_of(path),
            layer: stem_of(path),
            read: whole,
            expected: Some(records),
            reason: format!("the file has {length} bytes, its header declares {declared}"),
        });
    }
    Ok(())
}

/// Maps the shapefile into memory files beside an index made from its record headers.
fn rebuilt(path: &Path, issues: &mut Vec<Issue>) -> Result<(CString, MemoryFiles), SourceError> {
    let place = MemoryFiles::place(&stem_of(path));
    let mut files = MemoryFiles::default();
    let shp = map(path)?;
    let index = build_index(&shp, issues);
    files.add(&format!("{place}.shp"), &shp);
    files.add(&format!("{place}.shx"), &index);
    files._maps.push(shp);
    files._built.push(index);
    for extension in ["dbf", "prj", "cpg"] {
        if let Some(path) = companion(path, extension) {
            let bytes = map(&path)?;
            files.add(&format!("{place}.{extension}"), &bytes);
            files._maps.push(bytes);
        }
    }
    issues.push(note(
        IssueCode::MissingCompanionFile,
        Severity::Repaired,
        "the .shx file is missing: the index was rebuilt from the .shp (缺少 .shx, 已重建索引)"
            .to_string(),
    ));
    let name = CString::new(format!("{place}.shp")).map_err(|_| SourceError::NotFound {
        path: path.to_path_buf(),
    })?;
    Ok((name, files))
}

/// The `.shx` of a `.shp`: offset and length of every whole record.
fn build_index(shp: &[u8], issues: &mut Vec<Issue>) -> Vec<u8> {
    let mut index = shp[..HEADER].to_vec();
    let length = shp.len() as u64;
    let mut at = HEADER as u64;
    while at + RECORD_HEADER <= length {
        let content = u64::from(u32_be(shp, at as usize + 4)) * 2;
        let end = at + RECORD_HEADER + content;
        if content < 4 || end > length {
            break;
        }
        index.extend_from_slice(&((at / 2) as u32).to_be_bytes());
        index.extend_from_slice(&((content / 2) as u32).to_be_bytes());
        at = end;
    }
    if at < length {
        let records = (index.len() - HEADER) / 8;
        issues.push(note(
            IssueCode::SourceTruncated,
            Severity::Kept,
            format!(
                "after {records} records, {} bytes of the .shp are no whole record",
                length - at
            ),
        ));
    }
    let words = (index.len() / 2) as u32;
    index[24..28].copy_from_slice(&words.to_be_bytes());
    index
}

fn note(code: IssueCode, severity: Severity, detail: String) -> Issue {
    Issue {
        code,
        severity,
        feature: None,
        field: None,
        place: None,
        detail,
    }
}

/// The first bytes of a file and its length.
fn head(path: &Path, bytes: usize) -> Result<(Vec<u8>, u64), SourceError> {
    let io = |source| SourceError::Io {
        path: path.to_path_buf(),
        source,
    };
    let mut file = File::open(path).map_err(io)?;
    let length = file.seek(SeekFrom::End(0)).map_err(io)?;
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let mut header = Vec::with_capacity(bytes);
    file.take(bytes as u64)
        .read_to_end(&mut header)
        .map_err(io)?;
    Ok((header, length))
}

fn map(path: &Path) -> Result<Mmap, SourceError> {
    let io = |source| SourceError::Io {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(io)?;
    // SAFETY: the map is private to this process and only read; another program cutting the file
    // while it is imported is outside what can be guarded.
    unsafe { Mmap::map(&file) }.map_err(io)
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn stem_of(path: &Path) -> String {
    path.file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn u32_be(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
