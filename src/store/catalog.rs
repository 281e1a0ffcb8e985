//! The catalog: one SQLite file that says which generation each layer shows.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::draft::{self, Draft};
use super::{StoreError, generation_dir, layer_dir};
use crate::model::{LayerName, Manifest};

pub const FILE_NAME: &str = "catalog.sqlite";

/// Another process holds the catalog for milliseconds; minutes mean it is dead on a network disk.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Identity of a state of the catalog file. The catalog is not in WAL mode, so that every commit
/// changes this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    modified_ns: i128,
    bytes: u64,
    inode: u64,
}

impl Stamp {
    pub fn of(root: &Path) -> Result<Stamp, StoreError> {
        let path = root.join(FILE_NAME);
        let meta = fs::metadata(&path).map_err(|e| StoreError::io(&path, e))?;
        Ok(Stamp {
            modified_ns: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
            bytes: meta.size(),
            inode: meta.ino(),
        })
    }

    /// True when the file changed long enough ago for a further change to show in its time.
    pub fn is_settled(&self) -> bool {
        /// Several ticks of the slowest kernel clock (10 ms).
        const SETTLING_NS: u128 = 50_000_000;
        let now_ns = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |now| now.as_nanos() as i128);
        now_ns.abs_diff(self.modified_ns) > SETTLING_NS
    }
}

pub struct Catalog {
    root: PathBuf,
    connection: Connection,
}

impl Catalog {
    pub fn open(root: &Path) -> Result<Catalog, StoreError> {
        let path = root.join(FILE_NAME);
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(&path)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch(
                "CREATE TABLE IF NOT EXISTS layer (
                     name TEXT PRIMARY KEY,
                     generation TEXT NOT NULL,
                     kind TEXT NOT NULL,
                     title TEXT NOT NULL,
                     published_at TEXT NOT NULL
                 ) STRICT;
                 CREATE TABLE IF NOT EXISTS counter (
                     name TEXT PRIMARY KEY,
                     value INTEGER NOT NULL
                 ) STRICT;",
            )?;
            Ok(connection)
        };
        let connection = open().map_err(|source| StoreError::Catalog {
            path: path.clone(),
            source,
        })?;
        Ok(Catalog {
            root: root.to_path_buf(),
            connection,
        })
    }

    pub fn stamp(&self) -> Result<Stamp, StoreError> {
        Stamp::of(&self.root)
    }

    fn error(&self, source: rusqlite::Error) -> StoreError {
        let path = self.root.join(FILE_NAME);
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => StoreError::DiskFull { path },
            _ => StoreError::Catalog { path, source },
        }
    }

    /// Current generation of every layer.
    pub fn generations(&self) -> Result<Vec<(LayerName, String)>, StoreError> {
        generations(&self.connection)
            .map_err(|e| self.error(e))?
            .into_iter()
            .map(|(name, generation)| {
                let name = LayerName::new(&name).map_err(|e| StoreError::Manifest {
                    path: self.root.join(FILE_NAME),
                    reason: e.to_string(),
                })?;
                Ok((name, generation))
            })
            .collect()
    }

    /// Gives the draft its final name and makes it current; the generation before it is removed.
    pub fn publish(&mut self, draft: Draft, manifest: &Manifest) -> Result<String, StoreError> {
        let root = self.root.clone();
        let name = draft.name().clone();
        let result: rusqlite::Result<Result<(String, Option<String>), StoreError>> = (|| {
            let transaction = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let before: Option<String> = transaction
                .query_row(
                    "SELECT generation FROM layer WHERE name = ?1",
                    [name.as_str()],
                    |row| row.get(0),
                )
                .optional()?;
            let number: i64 = transaction.query_row(
                "INSERT INTO counter (name, value) VALUES ('generation', 1)
                 ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
                [],
                |row| row.get(0),
            )?;
            let generation = format!("g{number:06}");
            let target = generation_dir(&root, &name, &generation);
            // From the rename to the commit the directory has no lock of its own; a sweep needs
            // this same transaction and cannot come between.
            if let Err(error) = draft.rename_to(&target) {
                return Ok(Err(error));
            }
            transaction.execute(
                "INSERT INTO layer (name, generation, kind, title, published_at)
                 VALUES (?1, ?2, ?3, ?4, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
                 ON CONFLICT (name) DO UPDATE SET
                     generation = excluded.generation, kind = excluded.kind,
                     title = excluded.title, published_at = excluded.published_at",
                (
                    name.as_str(),
                    &generation,
                    manifest.kind.word(),
                    &manifest.title,
                ),
            )?;
            transaction.commit()?;
            Ok(Ok((generation, before)))
        })();
        let (generation, before) = result.map_err(|e| self.error(e))??;
        if let Some(before) = before {
            // Readers have the files mapped; whoever is about to open them asks the catalog again.
            remove_dir(&generation_dir(&root, &name, &before))?;
        }
        Ok(generation)
    }

    /// Forgets a layer and removes its files.
    pub fn remove(&mut self, name: &LayerName) -> Result<bool, StoreError> {
        let removed = self
            .connection
            .execute("DELETE FROM layer WHERE name = ?1", [name.as_str()])
            .map_err(|e| self.error(e))?;
        self.sweep()?;
        Ok(removed > 0)
    }

    /// Removes generations that nobody names and drafts whose writer is gone.
    pub fn sweep(&mut self) -> Result<(), StoreError> {
        let root = self.root.clone();
        let layers = root.join("layers");
        if !layers.is_dir() {
            return Ok(());
        }
        // Under the write lock no generation can be half-way between its rename and its commit.
        let result: rusqlite::Result<Result<(), StoreError>> = (|| {
            let transaction = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let current = generations(&transaction)?;
            Ok(sweep_layers(&layers, &current))
        })();
        result.map_err(|e| self.error(e))?
    }
}

fn generations(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    connection
        .prepare_cached("SELECT name, generation FROM layer ORDER BY name")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn sweep_layers(layers: &Path, current: &[(String, String)]) -> Result<(), StoreError> {
    for layer in entries(layers)? {
        let layer_name = layer
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut kept = 0;
        for generation in entries(&layer)? {
            let name = generation
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let named = current.iter().any(|(l, g)| *l == layer_name && *g == name);
            if named {
                kept += 1;
                continue;
            }
            let Some(_claim) = draft::claim_abandoned(&generation) else {
                kept += 1;
                continue;
            };
            if generation.is_dir() {
                remove_dir(&generation)?;
            } else {
                remove_file(&generation)?;
            }
        }
        if kept == 0 {
            // Fails when an import has just put a lock file there, which is as it should be.
            let _ = fs::remove_dir(&layer);
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
    };
    match read() {
        Ok(mut paths) => {
            // Directories first: a draft's lock file is judged after its directory.
            paths.sort_by_key(|path| (!path.is_dir(), path.clone()));
            Ok(paths)
        }
        Err(e)
            if matches!(
                e.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        Err(e) => Err(StoreError::io(dir, e)),
    }
}

fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io(path, e)),
        _ => Ok(()),
    }
}

fn remove_dir(dir: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io(dir, e)),
        _ => Ok(()),
    }
}

/// Where a layer's generations live; used by drafts as well.
pub fn make_layer_dir(root: &Path, name: &LayerName) -> Result<PathBuf, StoreError> {
    let dir = layer_dir(root, name);
    fs::create_dir_all(&dir).map_err(|e| StoreError::io(&dir, e))?;
    Ok(dir)
}
