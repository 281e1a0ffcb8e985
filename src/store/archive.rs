//! An archive of tiles that is a layer: the tiles as they are stored.

use std::borrow::Cow;
use std::path::Path;

use crate::format::FormatError;
use crate::format::mbtiles::MbtilesFile;
use crate::format::pmtiles::PmtilesFile;
use crate::format::unpack::{Compression, UnpackError, unpack};
use crate::model::{TileContainer, TileCoord};

/// The file of a generation that holds tiles.
pub fn archive_file_name(container: TileContainer) -> &'static str {
    match container {
        TileContainer::Pmtiles => "tiles.pmtiles",
        TileContainer::Mbtiles => "tiles.mbtiles",
    }
}

/// An archive of this machine, opened.
pub enum ArchiveFile {
    Pmtiles(PmtilesFile),
    Mbtiles(MbtilesFile),
}

/// A tile as an archive has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTile<'a> {
    pub bytes: Cow<'a, [u8]>,
    pub compression: Compression,
}

impl StoredTile<'_> {
    /// A tile is not believed to unpack to more than this.
    const MAX_BYTES: usize = 32 << 20;

    /// The tile itself.
    ///
    /// # Errors
    /// When the bytes are damaged or would be more than 32 MiB.
    pub fn plain(&self) -> Result<Vec<u8>, UnpackError> {
        unpack(&self.bytes, self.compression, StoredTile::MAX_BYTES)
    }
}

impl ArchiveFile {
    /// Opens the archive.
    ///
    /// # Errors
    /// [`FormatError`] when it is not sound.
    pub fn open(path: &Path, container: TileContainer) -> Result<ArchiveFile, FormatError> {
        Ok(match container {
            TileContainer::Pmtiles => ArchiveFile::Pmtiles(PmtilesFile::open(path)?),
            TileContainer::Mbtiles => ArchiveFile::Mbtiles(MbtilesFile::open(path)?),
        })
    }

    /// A tile of the Web Mercator quad.
    ///
    /// # Errors
    /// [`FormatError`] when the archive turns out to be broken on the way.
    pub fn tile(&self, tile: TileCoord) -> Result<Option<StoredTile<'_>>, FormatError> {
        let TileCoord { z, x, y } = tile;
        Ok(match self {
            ArchiveFile::Pmtiles(file) => file.tile(z, x, y)?.map(|bytes| StoredTile {
                bytes: Cow::Borrowed(bytes),
                compression: file.header.description.tile_compression,
            }),
            // MBTiles do not say how their tiles are packed.
            ArchiveFile::Mbtiles(file) => file.tile(z, x, y)?.map(|bytes| StoredTile {
                compression: Compression::of_bytes(&bytes),
                bytes: Cow::Owned(bytes),
            }),
        })
    }
}
