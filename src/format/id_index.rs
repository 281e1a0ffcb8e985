//! From a feature's identity to its number: two sorted columns, searched by bisection.
//!
//! Layout, little-endian: magic, version, count (32 bytes), `count` ids ascending (u64), then the
//! feature number of each (u32).

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use memmap2::Mmap;

use super::FormatError;

const MAGIC: [u8; 8] = *b"onemapid";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 32;

/// Writes the index from ids in ascending order.
pub struct IdWriter {
    ids: BufWriter<File>,
    features: BufWriter<File>,
    count: u64,
    written: u64,
}

impl IdWriter {
    pub fn create(path: &Path, count: u64) -> std::io::Result<IdWriter> {
        let mut file = File::create_new(path)?;
        let mut head = [0u8; HEAD_BYTES];
        head[..8].copy_from_slice(&MAGIC);
        head[8..12].copy_from_slice(&VERSION.to_le_bytes());
        head[16..24].copy_from_slice(&count.to_le_bytes());
        file.write_all(&head)?;
        let mut second = File::options().write(true).open(path)?;
        second.seek(SeekFrom::Start(HEAD_BYTES as u64 + count * 8))?;
        Ok(IdWriter {
            ids: BufWriter::new(file),
            features: BufWriter::new(second),
            count,
            written: 0,
        })
    }

    pub fn push(&mut self, id: u64, feature: u32) -> std::io::Result<()> {
        self.ids.write_all(&id.to_le_bytes())?;
        self.features.write_all(&feature.to_le_bytes())?;
        self.written += 1;
        Ok(())
    }

    pub fn finish(self) -> std::io::Result<()> {
        assert_eq!(self.written, self.count, "as many ids as announced");
        self.features.into_inner().map_err(|e| e.into_error())?;
        self.ids
            .into_inner()
            .map_err(|e| e.into_error())?
            .sync_all()
    }
}

/// An opened index.
pub struct IdIndex {
    map: Mmap,
    count: usize,
}

impl IdIndex {
    pub fn open(path: &Path) -> Result<IdIndex, FormatError> {
        let io = |source| FormatError::Io {
            path: path.to_path_buf(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        // SAFETY: files of a published generation are never written again, only unlinked.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let count = map
            .get(16..24)
            .filter(|_| map[..8] == MAGIC && map[8..12] == VERSION.to_le_bytes())
            .map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
        match count {
            Some(count)
                if count
                    .checked_mul(12)
                    .is_some_and(|b| b + HEAD_BYTES as u64 == map.len() as u64) =>
            {
                Ok(IdIndex {
                    count: count as usize,
                    map,
                })
            }
            _ => Err(FormatError::Malformed {
                path: path.to_path_buf(),
                found: format!("{} bytes that do not fit their head", map.len()),
                expected: "an id index of version 1".into(),
            }),
        }
    }

    /// The number of the feature with this id.
    pub fn feature(&self, id: u64) -> Option<u32> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = (low + high) / 2;
            if self.id(middle) < id {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low < self.count && self.id(low) == id).then(|| {
            let at = HEAD_BYTES + self.count * 8 + low * 4;
            u32::from_le_bytes(self.map[at..at + 4].try_into().expect("four bytes"))
        })
    }

    fn id(&self, at: usize) -> u64 {
        let at = HEAD_BYTES + at * 8;
        u64::from_le_bytes(self.map[at..at + 8].try_into().expect("eight bytes"))
    }
}
