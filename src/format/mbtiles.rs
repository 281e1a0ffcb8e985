//! MBTiles 1.3, writing and reading. <https://github.com/mapbox/mbtiles-spec/blob/master/1.3/spec.md>
//!
//! Bytes are kept once in `images` and named by `map`; the `tiles` of the specification is a view
//! over both, so equal tiles take no room. Rows count upwards, as the specification wants.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use xxhash_rust::xxh3::xxh3_128;

use super::FormatError;

const SCHEMA: &str = "
PRAGMA application_id = 0x4d504258;
CREATE TABLE map (zoom_level INTEGER NOT NULL, tile_column INTEGER NOT NULL, tile_row INTEGER NOT NULL,
                  tile_id TEXT NOT NULL, PRIMARY KEY (zoom_level, tile_column, tile_row)) WITHOUT ROWID;
CREATE TABLE images (tile_id TEXT PRIMARY KEY, tile_data BLOB NOT NULL);
CREATE TABLE metadata (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE VIEW tiles AS SELECT zoom_level, tile_column, tile_row, tile_data FROM map JOIN images USING (tile_id);
";

/// Writes an archive in one transaction.
pub struct MbtilesWriter {
    path: PathBuf,
    db: Connection,
}

impl MbtilesWriter {
    /// Starts the file at `path`, which is replaced.
    ///
    /// # Errors
    /// [`FormatError`] when the file cannot be written.
    pub fn create(path: &Path) -> Result<MbtilesWriter, FormatError> {
        match std::fs::remove_file(path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(FormatError::Io {
                    path: path.to_path_buf(),
                    source,
                });
            }
            Ok(()) | Err(_) => {}
        }
        let start = || -> rusqlite::Result<Connection> {
            let db = Connection::open(path)?;
            // Nobody reads it before it is finished and renamed.
            db.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
            db.execute_batch(SCHEMA)?;
            db.execute_batch("BEGIN")?;
            Ok(db)
        };
        Ok(MbtilesWriter {
            db: start().map_err(|e| database(path, &e))?,
            path: path.to_path_buf(),
        })
    }

    /// Adds a tile; rows count downwards here.
    ///
    /// # Errors
    /// [`FormatError`] when the file cannot be written.
    pub fn push(&mut self, z: u8, x: u32, y: u32, bytes: &[u8]) -> Result<(), FormatError> {
        let id = format!("{:032x}", xxh3_128(bytes));
        let add = || -> rusqlite::Result<()> {
            self.db
                .prepare_cached("INSERT OR IGNORE INTO images VALUES (?1, ?2)")?
                .execute(params![id, bytes])?;
            self.db
                .prepare_cached("INSERT OR REPLACE INTO map VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![z, x, flipped(z, y), id])?;
            Ok(())
        };
        add().map_err(|e| database(&self.path, &e))
    }

    /// Writes the metadata and ends the transaction.
    ///
    /// # Errors
    /// [`FormatError`] when the file cannot be written.
    pub fn finish(self, metadata: &[(&str, String)]) -> Result<(), FormatError> {
        let end = || -> rusqlite::Result<()> {
            for (name, value) in metadata {
                self.db.execute(
                    "INSERT OR REPLACE INTO metadata VALUES (?1, ?2)",
                    params![name, value],
                )?;
            }
            self.db.execute_batch("COMMIT; PRAGMA synchronous = FULL;")
        };
        end().map_err(|e| database(&self.path, &e))?;
        let synced = std::fs::File::open(&self.path).and_then(|file| file.sync_all());
        synced.map_err(|source| FormatError::Io {
            path: self.path.clone(),
            source,
        })
    }
}

/// An opened archive, own or foreign.
pub struct MbtilesFile {
    path: PathBuf,
    db: Mutex<Connection>,
}

impl MbtilesFile {
    /// Opens the archive for reading.
    ///
    /// # Errors
    /// [`FormatError`] when it cannot be read or has no tiles.
    pub fn open(path: &Path) -> Result<MbtilesFile, FormatError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(|e| database(path, &e))?;
        db.prepare("SELECT tile_data FROM tiles WHERE zoom_level = 0")
            .map_err(|e| database(path, &e))?;
        Ok(MbtilesFile {
            path: path.to_path_buf(),
            db: Mutex::new(db),
        })
    }

    /// The stored bytes of a tile; rows count downwards here.
    ///
    /// # Errors
    /// [`FormatError`] when the archive is broken.
    pub fn tile(&self, z: u8, x: u32, y: u32) -> Result<Option<Vec<u8>>, FormatError> {
        if z > 30 || x >> z != 0 || y >> z != 0 {
            return Ok(None);
        }
        let db = self.db.lock().expect("no panic while held");
        let get = || {
            db.prepare_cached("SELECT tile_data FROM tiles WHERE zoom_level = ?1 AND tile_column = ?2 AND tile_row = ?3")?
                .query_row(params![z, x, flipped(z, y)], |row| row.get(0))
                .optional()
        };
        get().map_err(|e| database(&self.path, &e))
    }

    /// Names and values of the metadata, by name.
    ///
    /// # Errors
    /// [`FormatError`] when the archive has no metadata.
    pub fn metadata(&self) -> Result<Vec<(String, String)>, FormatError> {
        let db = self.db.lock().expect("no panic while held");
        let get = || -> rusqlite::Result<Vec<(String, String)>> {
            db.prepare("SELECT name, value FROM metadata ORDER BY name")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        };
        get().map_err(|e| database(&self.path, &e))
    }
}

fn flipped(z: u8, y: u32) -> u32 {
    (((1u64 << z) - 1) as u32).wrapping_sub(y)
}

fn database(path: &Path, error: &rusqlite::Error) -> FormatError {
    FormatError::Malformed {
        path: path.to_path_buf(),
        found: error.to_string(),
        expected: "an MBTiles archive".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_tiles_are_kept_once_and_found_in_both_places() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.mbtiles");
        let mut writer = MbtilesWriter::create(&path).unwrap();
        writer.push(3, 1, 2, b"sea").unwrap();
        writer.push(3, 2, 2, b"sea").unwrap();
        writer.push(3, 3, 2, b"land").unwrap();
        writer
            .finish(&[("name", "x".to_string()), ("format", "pbf".to_string())])
            .unwrap();
        let file = MbtilesFile::open(&path).unwrap();
        assert_eq!(file.tile(3, 2, 2).unwrap().as_deref(), Some(&b"sea"[..]));
        assert_eq!(file.tile(3, 2, 5).unwrap(), None);
        assert_eq!(file.tile(3, 99, 2).unwrap(), None);
        let db = file.db.lock().unwrap();
        let count = |table: &str| {
            db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get::<_, i64>(0)
            })
            .unwrap()
        };
        assert_eq!((count("tiles"), count("images")), (3, 2));
        // Rows count from the south in the file.
        assert_eq!(
            db.query_row("SELECT min(tile_row) FROM tiles", [], |row| row
                .get::<_, i64>(0))
                .unwrap(),
            5
        );
    }

    #[test]
    fn a_file_that_is_no_archive_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.mbtiles");
        std::fs::write(
            &path,
            b"not a database, but long enough to look at as if it were one",
        )
        .unwrap();
        assert!(MbtilesFile::open(&path).is_err());
    }
}
