//! Measures a zip archive before anything in it is inflated.
//!
//! Only the directory at the archive's end is read (PKWARE APPNOTE.TXT 6.3, §4.3.12–4.3.16).
//! GDAL reads an entry as a stream and never beyond its declared size, so declared sizes bound
//! what can come out.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::SourceError;

/// How large an archive may claim to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    pub max_entries: u64,
    pub max_unpacked_bytes: u64,
    /// Largest unpacked size as a multiple of the archive's own, beyond `free_unpacked_bytes`.
    pub max_ratio: u64,
    /// Unpacked size up to which the ratio does not matter.
    pub free_unpacked_bytes: u64,
}

impl Default for ArchiveLimits {
    /// A nation's parcels fit (256 GiB); DBF columns of blanks compress hundredfold, so the ratio
    /// is generous, and small archives are free of it.
    fn default() -> ArchiveLimits {
        ArchiveLimits {
            max_entries: 50_000,
            max_unpacked_bytes: 256 << 30,
            max_ratio: 300,
            free_unpacked_bytes: 64 << 20,
        }
    }
}

const END_SIZE: u64 = 22;
const MAX_COMMENT: u64 = 65_535;
const END_SIGNATURE: &[u8] = b"PK\x05\x06";
const ZIP64_LOCATOR_SIGNATURE: &[u8] = b"PK\x06\x07";
const ZIP64_END_SIGNATURE: &[u8] = b"PK\x06\x06";
const ENTRY_SIGNATURE: &[u8] = b"PK\x01\x02";
const ENTRY_SIZE: usize = 46;
/// A directory larger than this is not read: 50 000 entries with long names need a few megabytes.
const MAX_DIRECTORY: u64 = 64 << 20;

/// True when the file starts as a zip archive does.
pub(super) fn is_zip(path: &Path) -> bool {
    let mut magic = [0u8; 4];
    File::open(path).is_ok_and(|mut file| {
        file.read_exact(&mut magic).is_ok() && (magic == *b"PK\x03\x04" || magic == *b"PK\x05\x06")
    })
}

/// Refuses an archive that is damaged or claims too much.
pub(super) fn check(path: &Path, limits: &ArchiveLimits) -> Result<(), SourceError> {
    let io = |source| SourceError::Io {
        path: path.to_path_buf(),
        source,
    };
    let damaged = |reason: &str| SourceError::ArchiveDamaged {
        path: path.to_path_buf(),
        reason: reason.to_string(),
    };
    let too_large = |found: String, limit: String| SourceError::ArchiveTooLarge {
        path: path.to_path_buf(),
        found,
        limit,
    };
    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let tail_start = length.saturating_sub(END_SIZE + MAX_COMMENT);
    let tail = read_at(&mut file, tail_start, length - tail_start).map_err(io)?;
    let end = tail
        .windows(4)
        .rposition(|window| window == END_SIGNATURE)
        .filter(|end| end + END_SIZE as usize <= tail.len())
        .ok_or_else(|| damaged("its directory is missing, it was cut off"))?;
    let mut entries = u64::from(u16_at(&tail, end + 10));
    let mut directory_size = u64::from(u32_at(&tail, end + 12));
    let mut directory_at = u64::from(u32_at(&tail, end + 16));
    if let Some(locator) = end
        .checked_sub(20)
        .filter(|&at| tail[at..].starts_with(ZIP64_LOCATOR_SIGNATURE))
    {
        let at = u64_at(&tail, locator + 8);
        if at.checked_add(56).is_none_or(|end| end > length) {
            return Err(damaged("its directory lies beyond its end"));
        }
        let record = read_at(&mut file, at, 56).map_err(io)?;
        if !record.starts_with(ZIP64_END_SIGNATURE) {
            return Err(damaged("its 64-bit directory is missing"));
        }
        entries = u64_at(&record, 32);
        directory_size = u64_at(&record, 40);
        directory_at = u64_at(&record, 48);
    }
    if entries > limits.max_entries {
        return Err(too_large(
            format!("{entries} entries"),
            format!("{} entries", limits.max_entries),
        ));
    }
    if directory_at
        .checked_add(directory_size)
        .is_none_or(|end| end > length)
    {
        return Err(damaged("its directory lies beyond its end"));
    }
    if directory_size > MAX_DIRECTORY {
        return Err(too_large(
            format!("a directory of {directory_size} bytes"),
            format!("{MAX_DIRECTORY} bytes"),
        ));
    }
    let directory = read_at(&mut file, directory_at, directory_size).map_err(io)?;
    let unpacked = unpacked_bytes(&directory, entries)
        .ok_or_else(|| damaged("its directory is not readable"))?;
    if unpacked > limits.max_unpacked_bytes {
        return Err(too_large(
            format!("{unpacked} bytes when unpacked"),
            format!("{} bytes", limits.max_unpacked_bytes),
        ));
    }
    if unpacked > limits.free_unpacked_bytes && unpacked / limits.max_ratio > length {
        return Err(too_large(
            format!(
                "{unpacked} bytes when unpacked, {}-fold",
                unpacked / length.max(1)
            ),
            format!("{}-fold", limits.max_ratio),
        ));
    }
    Ok(())
}

/// Sum of the declared sizes; `None` when the directory does not parse.
fn unpacked_bytes(directory: &[u8], entries: u64) -> Option<u64> {
    let mut at = 0usize;
    let mut total = 0u64;
    for _ in 0..entries {
        let entry = directory.get(at..)?;
        if entry.len() < ENTRY_SIZE || !entry.starts_with(ENTRY_SIGNATURE) {
            return None;
        }
        let mut size = u64::from(u32_at(entry, 24));
        let name = usize::from(u16_at(entry, 28));
        let extra = usize::from(u16_at(entry, 30));
        let comment = usize::from(u16_at(entry, 32));
        if size == u64::from(u32::MAX) {
            size = zip64_size(entry.get(ENTRY_SIZE + name..ENTRY_SIZE + name + extra)?)
                .unwrap_or(size);
        }
        total = total.saturating_add(size);
        at += ENTRY_SIZE + name + extra + comment;
    }
    Some(total)
}

/// The unpacked size in the 64-bit extra field (id 1), where it comes first.
fn zip64_size(mut extra: &[u8]) -> Option<u64> {
    while extra.len() >= 4 {
        let (id, size) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let body = extra.get(4..4 + size)?;
        if id == 1 {
            return (body.len() >= 8).then(|| u64_at(body, 0));
        }
        extra = &extra[4 + size..];
    }
    None
}

fn read_at(file: &mut File, at: u64, size: u64) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size {
        Ok(bytes)
    } else {
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
