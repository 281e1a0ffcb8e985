//! MBTiles 1.3, writing and reading. <https://github.com/mapbox/mbtiles-spec/blob/master/1.3/spec.md>
//!
//! Bytes are kept once in `images` and named by `map`; the `tiles` of the specification is a view
//! over both, so equal tiles take no room. Rows count upwards, as the specification wants.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rusqlite::limits::Limit;
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
    /// Whether it was there before, with tiles that may be replaced.
    is_changed: bool,
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
            is_changed: false,
        })
    }

    /// Goes on with the archive at `path`, written by this type before: until [`finish`] everybody
    /// reads it as it was.
    ///
    /// [`finish`]: MbtilesWriter::finish
    ///
    /// # Errors
    /// [`FormatError`] when the file cannot be written or is no such archive.
    pub fn change(path: &Path) -> Result<MbtilesWriter, FormatError> {
        let start = || -> rusqlite::Result<Connection> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let db = Connection::open_with_flags(path, flags)?;
            db.execute_batch(
                // So that a row that is replaced counts as deleted.
                "PRAGMA recursive_triggers = ON;
                 BEGIN IMMEDIATE;
                 CREATE TEMP TABLE replaced (tile_id TEXT PRIMARY KEY) WITHOUT ROWID;
                 CREATE TEMP TRIGGER goes AFTER DELETE ON map BEGIN
                     INSERT OR IGNORE INTO replaced VALUES (old.tile_id);
                 END;
                 DELETE FROM metadata;",
            )?;
            Ok(db)
        };
        Ok(MbtilesWriter {
            db: start().map_err(|e| database(path, &e))?,
            path: path.to_path_buf(),
            is_changed: true,
        })
    }

    /// Takes a tile out; rows count downwards here.
    ///
    /// # Errors
    /// [`FormatError`] when the file cannot be written.
    pub fn remove(&mut self, z: u8, x: u32, y: u32) -> Result<(), FormatError> {
        let remove = || -> rusqlite::Result<usize> {
            self.db
                .prepare_cached(
                    "DELETE FROM map WHERE zoom_level = ?1 AND tile_column = ?2 AND tile_row = ?3",
                )?
                .execute(params![z, x, flipped(z, y)])
        };
        remove().map_err(|e| database(&self.path, &e)).map(|_| ())
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
            if self.is_changed {
                self.db.execute_batch(
                    "DELETE FROM replaced WHERE tile_id IN (SELECT tile_id FROM map);
                     DELETE FROM images WHERE tile_id IN (SELECT tile_id FROM replaced);",
                )?;
            }
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

/// A tile of more packed bytes is not given out; SQLite makes no text or blob that is longer.
const MAX_TILE_BYTES: i32 = 16 << 20;
/// A question to the archive takes no longer: `tiles` may be a view, and a view may never end.
const LONGEST_QUESTION: Duration = Duration::from_secs(2);
/// Steps of SQLite's machine between two looks at the clock.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;
/// Connections kept for later questions.
const MOST_IDLE: usize = 16;
/// Names of metadata that are read.
const MOST_METADATA: u32 = 1000;

/// An opened archive, own or foreign; threads that ask at the same time have a connection each.
pub struct MbtilesFile {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl MbtilesFile {
    /// Opens an archive that nobody writes any more.
    ///
    /// # Errors
    /// [`FormatError`] when it cannot be read or has no tiles.
    pub fn open(path: &Path) -> Result<MbtilesFile, FormatError> {
        let file = MbtilesFile {
            path: path.to_path_buf(),
            idle: Mutex::new(Vec::new()),
        };
        file.ask(LONGEST_QUESTION, |db| {
            db.prepare("SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles")
                .map(drop)
        })?;
        Ok(file)
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        // Percent signs, question marks and hashes have a meaning in such a name.
        let name: String = self
            .path
            .to_string_lossy()
            .chars()
            .map(|c| match c {
                '%' => "%25".to_string(),
                '?' => "%3f".to_string(),
                '#' => "%23".to_string(),
                c => c.to_string(),
            })
            .collect();
        let db = Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)?;
        db.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_TILE_BYTES)?;
        db.execute_batch(
            "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA cache_size = -4096;",
        )?;
        Ok(db)
    }

    /// Asks on a connection of its own, for no longer than `time`.
    fn ask<T>(
        &self,
        time: Duration,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, FormatError> {
        let kept = self.idle.lock().expect("no panic while held").pop();
        let answer = || -> rusqlite::Result<(Connection, T)> {
            let mut db = match kept {
                Some(db) => db,
                None => self.connect()?,
            };
            let until = Instant::now() + time;
            db.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || Instant::now() > until))?;
            let answer = question(&db)?;
            Ok((db, answer))
        };
        let (db, answer) = answer().map_err(|e| database(&self.path, &e))?;
        let mut idle = self.idle.lock().expect("no panic while held");
        if idle.len() < MOST_IDLE {
            idle.push(db);
        }
        Ok(answer)
    }

    /// The stored bytes of a tile; rows count downwards here.
    ///
    /// # Errors
    /// [`FormatError`] when the archive is broken, or the tile larger than 16 MiB.
    pub fn tile(&self, z: u8, x: u32, y: u32) -> Result<Option<Vec<u8>>, FormatError> {
        if z > 30 || x >> z != 0 || y >> z != 0 {
            return Ok(None);
        }
        self.ask(LONGEST_QUESTION, |db| {
            db.prepare_cached("SELECT tile_data FROM tiles WHERE zoom_level = ?1 AND tile_column = ?2 AND tile_row = ?3")?
                .query_row(params![z, x, flipped(z, y)], |row| row.get(0))
                .optional()
        })
    }

    /// Any one of the tiles.
    ///
    /// # Errors
    /// [`FormatError`] when the archive is broken.
    pub fn first_tile(&self) -> Result<Option<Vec<u8>>, FormatError> {
        self.ask(LONGEST_QUESTION, |db| {
            db.query_row("SELECT tile_data FROM tiles LIMIT 1", [], |row| row.get(0))
                .optional()
        })
    }

    /// Where all tiles are, in no order. Takes memory of sixteen bytes a tile.
    ///
    /// # Errors
    /// [`FormatError`] when the archive is broken.
    pub fn addresses(&self) -> Result<Vec<(u8, u32, u32)>, FormatError> {
        const LONGEST: Duration = Duration::from_secs(3600);
        let mut all = Vec::new();
        let strange = self.ask(LONGEST, |db| {
            let mut statement =
                db.prepare("SELECT zoom_level, tile_column, tile_row FROM tiles")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (z, x, row): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let side = 1i64 << z.clamp(0, 30);
                if !(0..=30).contains(&z) || !(0..side).contains(&x) || !(0..side).contains(&row) {
                    return Ok(Some((z, x, row)));
                }
                all.push((z as u8, x as u32, flipped(z as u8, row as u32)));
            }
            Ok(None)
        })?;
        match strange {
            None => Ok(all),
            Some((z, x, row)) => Err(FormatError::Malformed {
                path: self.path.clone(),
                found: format!("a tile at zoom {z}, column {x}, row {row}"),
                expected: "tiles within the square of their zoom".to_string(),
            }),
        }
    }

    /// Lowest and highest zoom of the tiles there are.
    ///
    /// # Errors
    /// [`FormatError`] when the archive is broken or has no tile.
    pub fn zooms(&self) -> Result<(u8, u8), FormatError> {
        const LONGEST: Duration = Duration::from_secs(60);
        let (low, high): (Option<i64>, Option<i64>) = self.ask(LONGEST, |db| {
            db.query_row(
                "SELECT (SELECT min(zoom_level) FROM tiles), (SELECT max(zoom_level) FROM tiles)",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
        })?;
        match (low.map(u8::try_from), high.map(u8::try_from)) {
            (Some(Ok(low)), Some(Ok(high))) if high <= 30 => Ok((low, high)),
            _ => Err(FormatError::Malformed {
                path: self.path.clone(),
                found: "no tiles, or tiles of an impossible zoom".to_string(),
                expected: "tiles of zooms 0 to 30".to_string(),
            }),
        }
    }

    /// Names and values of the metadata, in the order they were written in.
    ///
    /// # Errors
    /// [`FormatError`] when the archive has no metadata.
    pub fn metadata(&self) -> Result<Vec<(String, String)>, FormatError> {
        self.ask(LONGEST_QUESTION, |db| {
            db.prepare("SELECT name, value FROM metadata LIMIT ?1")?
                .query_map([MOST_METADATA], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
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
        let db = Connection::open(&path).unwrap();
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

    /// A hostile archive: SQL of somebody else, run for every tile.
    #[test]
    fn a_view_that_never_ends_is_stopped_and_a_huge_tile_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let with_view = |name: &str, view: &str| {
            let path = dir.path().join(name);
            Connection::open(&path)
                .unwrap()
                .execute_batch(&format!(
                    "CREATE TABLE metadata (name TEXT, value TEXT);
                     CREATE VIEW tiles AS {view};"
                ))
                .unwrap();
            MbtilesFile::open(&path).unwrap()
        };
        let endless = with_view(
            "endless#1?.mbtiles",
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
             SELECT 3 AS zoom_level, i * 0 AS tile_column, i + 8 AS tile_row, x'00' AS tile_data FROM n",
        );
        let stopped = endless.tile(3, 0, 0).unwrap_err().to_string();
        assert!(stopped.contains("interrupted"), "{stopped}");
        let huge = with_view(
            "huge.mbtiles",
            "SELECT 0 AS zoom_level, 0 AS tile_column, 0 AS tile_row, zeroblob(17000000) AS tile_data",
        );
        let refused = huge.tile(0, 0, 0).unwrap_err().to_string();
        assert!(refused.contains("too big"), "{refused}");
        let text = with_view(
            "text.mbtiles",
            "SELECT 0 AS zoom_level, 7 AS tile_column, 0 AS tile_row, 'text' AS tile_data",
        );
        assert!(text.first_tile().is_err());
        let strange = text.addresses().unwrap_err().to_string();
        assert!(strange.contains("zoom 0, column 7, row 0"), "{strange}");
    }

    #[test]
    fn a_changed_archive_holds_what_a_new_one_would() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.mbtiles");
        let mut writer = MbtilesWriter::create(&path).unwrap();
        for (x, bytes) in [(1, "sea"), (2, "sea"), (3, "land"), (4, "rock")] {
            writer.push(3, x, 2, bytes.as_bytes()).unwrap();
        }
        writer.finish(&[("name", "x".to_string())]).unwrap();
        let mut writer = MbtilesWriter::change(&path).unwrap();
        writer.push(3, 1, 2, b"land").unwrap();
        writer.push(3, 3, 2, b"sand").unwrap();
        writer.remove(3, 4, 2).unwrap();
        // Nobody sees the half of it.
        let before = MbtilesFile::open(&path).unwrap();
        assert_eq!(before.tile(3, 1, 2).unwrap().as_deref(), Some(&b"sea"[..]));
        drop(before);
        writer.finish(&[("name", "y".to_string())]).unwrap();
        let file = MbtilesFile::open(&path).unwrap();
        let tile = |x| file.tile(3, x, 2).unwrap();
        let text = |x| tile(x).map(|bytes| String::from_utf8(bytes).unwrap());
        let shown: Vec<Option<String>> = (1..5).map(text).collect();
        let expected = [Some("land"), Some("sea"), Some("sand"), None];
        assert_eq!(shown, expected.map(|text| text.map(str::to_string)));
        assert_eq!(file.metadata().unwrap(), [("name".into(), "y".into())]);
        let db = Connection::open(&path).unwrap();
        let images: i64 = db
            .query_row("SELECT count(*) FROM images", [], |row| row.get(0))
            .unwrap();
        assert_eq!(images, 3, "rock is gone, land is used again");
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
