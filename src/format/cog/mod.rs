//! Reads the Cloud Optimised GeoTIFFs that the store holds: blocks of every level, by number.
//!
//! 1. [`Cog::open`] maps the file and reads its directories: the image, its overviews and the
//!    validity mask of each.  2. [`Cog::block`] decompresses one block into samples.
//!
//! The file is shared by all threads and keeps no descriptor open, which GDAL's data sets cannot
//! offer; a block costs its decompression and nothing else. Understood is what the import writes
//! (little-endian, tiled, pixel-interleaved; JPEG, ZSTD, DEFLATE or plain; 8 to 64 bit), not TIFF
//! at large: foreign files are read by GDAL. Where the pixels lie on the ground is the manifest's
//! business.
//!
//! Layout: TIFF revision 6.0 (1992), BigTIFF as libtiff writes it, GDAL's notes on its COG driver.

mod block;
mod directory;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::Mmap;

use super::FormatError;
pub use block::{Block, Samples};
use directory::{Directory, Role};

/// An opened file; cheap to share.
pub struct Cog {
    path: PathBuf,
    bytes: Mmap,
    id: u64,
    levels: Vec<Level>,
}

/// The image or one of its overviews.
#[derive(Debug, Clone)]
pub struct Level {
    image: Directory,
    mask: Option<Directory>,
}

impl Level {
    pub fn width_px(&self) -> u32 {
        self.image.width_px
    }

    pub fn height_px(&self) -> u32 {
        self.image.height_px
    }

    /// Width and height of a block; blocks at the right and lower edge are padded to it.
    pub fn block_size_px(&self) -> [u32; 2] {
        self.image.block_px
    }

    /// Blocks per row and per column.
    pub fn blocks(&self) -> [u32; 2] {
        self.image.blocks()
    }
}

impl Cog {
    /// # Errors
    /// When the file cannot be read, or is not of the kind the import writes.
    pub fn open(path: &Path) -> Result<Cog, FormatError> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let io = |source| FormatError::Io {
            path: path.to_path_buf(),
            source,
        };
        let file = std::fs::File::open(path).map_err(io)?;
        // SAFETY: files of a generation are never written again once it is published; a file
        // that is truncated by somebody else is outside of what the store promises.
        let bytes = unsafe { Mmap::map(&file) }.map_err(io)?;
        let levels = levels(&bytes).map_err(|found| FormatError::Malformed {
            path: path.to_path_buf(),
            found,
            expected: "a Cloud Optimised GeoTIFF as the import writes it".into(),
        })?;
        Ok(Cog {
            path: path.to_path_buf(),
            bytes,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            levels,
        })
    }

    /// Distinguishes this opening from every other one of the process: a key for caches.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The image first, then its overviews, each smaller than the one before.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Samples per pixel, alpha included.
    pub fn bands(&self) -> usize {
        self.levels[0].image.samples_per_px
    }

    /// Red, green and blue of each value of a palette image.
    pub fn palette(&self) -> Option<&[[u8; 3]]> {
        self.levels[0].image.palette.as_deref()
    }

    /// Decompresses a block; `None` when the file leaves it out because it is empty.
    ///
    /// # Errors
    /// When the level or block does not exist, or its bytes are damaged.
    pub fn block(&self, level: usize, column: u32, row: u32) -> Result<Option<Block>, FormatError> {
        let decode = || -> Result<Option<Block>, String> {
            let level = self.levels.get(level).ok_or("there is no such level")?;
            let Some(samples) = level.image.samples(&self.bytes, column, row)? else {
                return Ok(None);
            };
            let valid = match &level.mask {
                Some(mask) => Some(mask.validity(&self.bytes, column, row)?),
                None => None,
            };
            Ok(Some(Block {
                size_px: level.image.block_px,
                bands: level.image.samples_per_px,
                samples,
                valid,
            }))
        };
        decode().map_err(|reason| FormatError::Malformed {
            path: self.path.clone(),
            found: format!("block {column},{row} of level {level}: {reason}"),
            expected: "a whole block".into(),
        })
    }
}

/// Pairs each image directory with the mask of its size.
fn levels(bytes: &[u8]) -> Result<Vec<Level>, String> {
    let mut levels: Vec<Level> = Vec::new();
    let mut masks = Vec::new();
    for directory in directory::read_all(bytes)? {
        match directory.role {
            Role::Image => levels.push(Level {
                image: directory,
                mask: None,
            }),
            Role::Mask => masks.push(directory),
        }
    }
    for mask in masks {
        let level = levels
            .iter_mut()
            .find(|level| {
                level.image.width_px == mask.width_px && level.image.height_px == mask.height_px
            })
            .ok_or("a mask belongs to no image")?;
        if level.image.block_px != mask.block_px {
            return Err("a mask has other blocks than its image".into());
        }
        level.mask = Some(mask);
    }
    let first = &levels.first().ok_or("there is no image")?.image;
    let (samples, palette) = (first.samples_per_px, first.palette.is_some());
    let alike = levels.iter().all(|level| {
        let image = &level.image;
        image.samples_per_px == samples && image.palette.is_some() == palette
    });
    let shrinking = levels.windows(2).all(|pair| {
        pair[1].image.width_px <= pair[0].image.width_px
            && pair[1].image.height_px <= pair[0].image.height_px
    });
    if !alike || !shrinking {
        return Err("the overviews do not belong to the image".into());
    }
    Ok(levels)
}
