//! A workspace: a directory of immutable generations and a catalog that names the current ones.
//!
//! ```text
//! workspace/
//!   catalog.sqlite                      which generation each layer shows
//!   layers/<name>/<generation>/         manifest.json, issues.json and the data files, or the
//!                                       archive of tiles
//!   grids/*.json                        more tile grids (OGC TileMatrixSet)
//!   layers/<name>/<draft>/ , .lock      a generation being written, locked by its writer
//! ```
//!
//! A generation is written beside the old one, synced, renamed and then named in the catalog in
//! one transaction. Whoever dies in between leaves a directory that nobody names; the next start
//! removes it. Readers notice a new catalog by its file's time stamp and never see half a change.
//!
//! The store does not know how a generation is made (`ingest`) or asked (`query`).

mod archive;
mod catalog;
mod draft;
mod grids;
mod levels;
mod pyramid;
mod snapshot;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use xxhash_rust::xxh3::Xxh3;

use crate::crs::CrsError;
use crate::format::FormatError;
use crate::format::tilematrixset::TileMatrixSetError;
use crate::model::{LayerName, Manifest, TileGrid};
pub use archive::{ArchiveFile, StoredTile, archive_file_name};
use catalog::{Catalog, Stamp};
pub use draft::{Draft, checksum};
pub use levels::{LEVELS_DIR, Level, Levels, level_files};
pub use pyramid::{LevelInfo, PYRAMID_DIR, PYRAMID_VERSION, Pyramid, PyramidInfo};
pub use snapshot::{
    FEATURES_FILE, IDS_FILE, IMAGE_FILE, INDEX_FILE, ImageData, LayerData, Snapshot, VectorData,
    WarpPair,
};

/// What can go wrong with a workspace.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path} is not a workspace: it has no catalog.sqlite (不是工作空间)")]
    NotAWorkspace { path: PathBuf },
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: the disk is full, nothing was changed (磁盘已满,数据未改动)")]
    DiskFull { path: PathBuf },
    #[error("{path}: {source}")]
    Catalog {
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error("{path}: {reason}")]
    Manifest { path: PathBuf, reason: String },
    #[error(
        "{path}: written by format version {found}, this program reads {expected}; import the layer again"
    )]
    FormatVersion {
        path: PathBuf,
        found: u32,
        expected: u32,
    },
    #[error("{path}: {source}")]
    Grid {
        path: PathBuf,
        source: Box<TileMatrixSetError>,
    },
    #[error("{path}: there is a grid {id:?} already (格网标识重复)")]
    GridTaken { path: PathBuf, id: String },
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Crs(#[from] CrsError),
}

impl StoreError {
    /// Wraps an I/O error, telling a full disk from the rest.
    pub fn io(path: &Path, source: std::io::Error) -> StoreError {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                StoreError::DiskFull {
                    path: path.to_path_buf(),
                }
            }
            _ => StoreError::Io {
                path: path.to_path_buf(),
                source,
            },
        }
    }
}

/// A workspace, open for reading and for publishing generations.
pub struct Store {
    root: PathBuf,
    catalog: Mutex<Catalog>,
    state: RwLock<Arc<State>>,
}

/// The catalog as last read.
struct State {
    stamp: Stamp,
    /// False when the catalog was read so soon after its last change that another change could
    /// have got the same time stamp: file systems count time in ticks of milliseconds.
    settled: bool,
    /// Hash of all names and generations.
    version: u64,
    layers: BTreeMap<LayerName, Arc<Entry>>,
}

struct Entry {
    generation: String,
    snapshot: OnceLock<Arc<Snapshot>>,
}

impl Store {
    /// Opens a workspace, making the directory and the catalog when there are none, and clears
    /// away what dead imports left.
    pub fn open_or_create(root: &Path) -> Result<Store, StoreError> {
        std::fs::create_dir_all(root.join("layers")).map_err(|e| StoreError::io(root, e))?;
        Store::start(root)
    }

    /// Opens an existing workspace and clears away what dead imports left.
    pub fn open(root: &Path) -> Result<Store, StoreError> {
        if !root.join(catalog::FILE_NAME).is_file() {
            return Err(StoreError::NotAWorkspace {
                path: root.to_path_buf(),
            });
        }
        Store::start(root)
    }

    fn start(root: &Path) -> Result<Store, StoreError> {
        let mut catalog = Catalog::open(root)?;
        catalog.sweep()?;
        let state = State {
            stamp: catalog.stamp()?,
            settled: false,
            version: 0,
            layers: BTreeMap::new(),
        };
        let store = Store {
            root: root.to_path_buf(),
            catalog: Mutex::new(catalog),
            state: RwLock::new(Arc::new(state)),
        };
        store.reload()?;
        Ok(store)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The tile grids that are published: the built-in ones and the documents in `grids/`.
    pub fn grids(&self) -> Result<Vec<TileGrid>, StoreError> {
        grids::published(&self.root)
    }

    /// Names of all layers, sorted.
    pub fn names(&self) -> Result<Vec<LayerName>, StoreError> {
        Ok(self.state()?.layers.keys().cloned().collect())
    }

    /// A value that changes whenever any layer does.
    pub fn version(&self) -> Result<u64, StoreError> {
        Ok(self.state()?.version)
    }

    /// The current generation of a layer, or `None` when there is no such layer.
    pub fn snapshot(&self, name: &str) -> Result<Option<Arc<Snapshot>>, StoreError> {
        let mut state = self.state()?;
        let Ok(name) = LayerName::new(name) else {
            return Ok(None);
        };
        loop {
            let Some(entry) = state.layers.get(&name) else {
                return Ok(None);
            };
            if let Some(snapshot) = entry.snapshot.get() {
                return Ok(Some(snapshot.clone()));
            }
            let dir = generation_dir(&self.root, &name, &entry.generation);
            match Snapshot::open(&dir, &entry.generation) {
                Ok(snapshot) => {
                    let snapshot = entry.snapshot.get_or_init(|| Arc::new(snapshot));
                    return Ok(Some(snapshot.clone()));
                }
                Err(error) => {
                    // A generation can be replaced, and its files removed one by one, between
                    // reading the catalog and opening them; then the catalog names another.
                    let now = self.reload()?;
                    let named = now.layers.get(&name).map(|entry| &entry.generation);
                    if named == Some(&entry.generation) {
                        return Err(error);
                    }
                    state = now;
                }
            }
        }
    }

    /// The current generation of a layer if it has been opened before, without opening any file
    /// of the layer.
    pub fn opened(&self, name: &LayerName) -> Result<Option<Arc<Snapshot>>, StoreError> {
        let state = self.state()?;
        let entry = state.layers.get(name);
        Ok(entry.and_then(|entry| entry.snapshot.get().cloned()))
    }

    /// All current generations, by name.
    pub fn snapshots(&self) -> Result<Vec<Arc<Snapshot>>, StoreError> {
        let mut snapshots = Vec::new();
        for name in self.names()? {
            snapshots.extend(self.snapshot(name.as_str())?);
        }
        Ok(snapshots)
    }

    /// Starts a new generation of a layer.
    pub fn begin(&self, name: &LayerName) -> Result<Draft, StoreError> {
        Draft::begin(&self.root, name)
    }

    /// Makes a finished draft the layer's current generation and returns it.
    pub fn publish(&self, draft: Draft, manifest: &Manifest) -> Result<Arc<Snapshot>, StoreError> {
        let name = draft.name().clone();
        draft.seal(manifest)?;
        self.catalog
            .lock()
            .expect("no panic while the catalog is held")
            .publish(draft, manifest)?;
        self.reload()?;
        self.snapshot(name.as_str())?
            .ok_or_else(|| StoreError::Manifest {
                path: self.root.clone(),
                reason: format!("layer {name} vanished right after it was published"),
            })
    }

    /// Removes a layer; `false` when there was none.
    pub fn remove(&self, name: &LayerName) -> Result<bool, StoreError> {
        let removed = self
            .catalog
            .lock()
            .expect("no panic while the catalog is held")
            .remove(name)?;
        self.reload()?;
        Ok(removed)
    }

    /// The catalog as it is now: re-read when its file has changed.
    fn state(&self) -> Result<Arc<State>, StoreError> {
        let state = self.state.read().expect("no panic while held").clone();
        if state.settled && Stamp::of(&self.root)? == state.stamp {
            return Ok(state);
        }
        self.reload()
    }

    fn reload(&self) -> Result<Arc<State>, StoreError> {
        let catalog = self.catalog.lock().expect("no panic while held");
        // The stamp is taken first: a change while reading makes it old and causes another read.
        let stamp = catalog.stamp()?;
        let settled = stamp.is_settled();
        let current = catalog.generations()?;
        let mut hasher = Xxh3::new();
        for (name, generation) in &current {
            hasher.update(name.as_str().as_bytes());
            hasher.update(&[0]);
            hasher.update(generation.as_bytes());
            hasher.update(&[0]);
        }
        let version = hasher.digest();
        let mut slot = self.state.write().expect("no panic while held");
        let layers = current
            .into_iter()
            .map(|(name, generation)| {
                let entry = match slot.layers.get(&name) {
                    Some(known) if known.generation == generation => known.clone(),
                    _ => Arc::new(Entry {
                        generation,
                        snapshot: OnceLock::new(),
                    }),
                };
                (name, entry)
            })
            .collect();
        *slot = Arc::new(State {
            stamp,
            settled,
            version,
            layers,
        });
        Ok(slot.clone())
    }
}

fn layer_dir(root: &Path, name: &LayerName) -> PathBuf {
    root.join("layers").join(name.as_str())
}

fn generation_dir(root: &Path, name: &LayerName, generation: &str) -> PathBuf {
    layer_dir(root, name).join(generation)
}
