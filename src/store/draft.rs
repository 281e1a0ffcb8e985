//! A generation being written: a private directory beside the published ones.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::{StoreError, catalog};
use crate::model::{FileSum, LayerName, Manifest};

/// Owns the directory until it is published; dropped before that, it removes it.
pub struct Draft {
    name: LayerName,
    dir: PathBuf,
    lock_path: PathBuf,
    /// Held for as long as the writer lives; the kernel lets go of it when the process dies.
    _lock: File,
    renamed: std::cell::Cell<bool>,
}

impl Draft {
    pub(super) fn begin(root: &Path, name: &LayerName) -> Result<Draft, StoreError> {
        // A sweep may remove the layer's empty directory at any moment before the lock is there.
        const ATTEMPTS: usize = 100;
        let pid = std::process::id();
        for attempt in 0..ATTEMPTS {
            let layer_dir = catalog::make_layer_dir(root, name)?;
            let dir = layer_dir.join(format!("draft-{pid}-{attempt}"));
            let lock_path = lock_path(&dir);
            let lock = match File::create_new(&lock_path) {
                Ok(lock) => lock,
                Err(e)
                    if matches!(
                        e.kind(),
                        std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::NotFound
                    ) =>
                {
                    continue;
                }
                Err(e) => return Err(StoreError::io(&lock_path, e)),
            };
            let locked = lock.try_lock().is_ok() && is_at(&lock, &lock_path);
            if !locked || fs::create_dir(&dir).is_err() {
                continue;
            }
            return Ok(Draft {
                name: name.clone(),
                dir,
                lock_path,
                _lock: lock,
                renamed: std::cell::Cell::new(false),
            });
        }
        Err(StoreError::Io {
            path: root.join("layers").join(name.as_str()),
            source: std::io::Error::other("no private directory could be made for the import"),
        })
    }

    pub fn name(&self) -> &LayerName {
        &self.name
    }

    /// The directory to write into.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file of the generation.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Length and checksum of every file written so far, by name.
    pub fn file_sums(&self) -> Result<Vec<FileSum>, StoreError> {
        let mut sums = Vec::new();
        collect_sums(&self.dir, &self.dir, &mut sums)?;
        sums.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(sums)
    }

    /// Writes the manifest and syncs the directory.
    pub(super) fn seal(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let path = self.path("manifest.json");
        let write = || -> std::io::Result<()> {
            let mut file = File::create_new(&path)?;
            file.write_all(&serde_json::to_vec_pretty(manifest)?)?;
            file.sync_all()?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|e| StoreError::io(&path, e))
    }

    pub(super) fn rename_to(&self, target: &Path) -> Result<(), StoreError> {
        let rename = || -> std::io::Result<()> {
            fs::rename(&self.dir, target)?;
            self.renamed.set(true);
            let parent = target.parent().unwrap_or(Path::new("."));
            File::open(parent)?.sync_all()
        };
        rename().map_err(|e| StoreError::io(target, e))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What cannot be removed here is removed by the next start.
        if !self.renamed.get() {
            let _ = fs::remove_dir_all(&self.dir);
        }
        let _ = fs::remove_file(&self.lock_path);
    }
}

fn lock_path(dir: &Path) -> PathBuf {
    dir.with_extension("lock")
}

/// The right to remove a draft, or a lock file, whose writer is gone. As long as it is held no
/// writer can take the name.
pub(super) struct Abandoned {
    _lock: Option<File>,
}

/// Claims a draft (or its lock file) for removal; `None` while its writer still runs.
pub(super) fn claim_abandoned(path: &Path) -> Option<Abandoned> {
    let path = lock_path(path);
    let Ok(lock) = File::open(&path) else {
        return Some(Abandoned { _lock: None });
    };
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => None,
        Ok(()) if !is_at(&lock, &path) => None,
        Ok(()) | Err(TryLockError::Error(_)) => Some(Abandoned { _lock: Some(lock) }),
    }
}

/// True when `path` still names this file and not another that took its place.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(named)) => identity(held) == identity(named),
        _ => false,
    }
}

fn collect_sums(base: &Path, dir: &Path, sums: &mut Vec<FileSum>) -> Result<(), StoreError> {
    let io = |e| StoreError::io(dir, e);
    for entry in fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_dir() {
            collect_sums(base, &path, sums)?;
            continue;
        }
        let (bytes, xxh3) = checksum(&path).map_err(|e| StoreError::io(&path, e))?;
        let name = path
            .strip_prefix(base)
            .unwrap_or(&path)
            .to_string_lossy()
            .into_owned();
        sums.push(FileSum { name, bytes, xxh3 });
    }
    Ok(())
}

/// Length and XXH3-128 of a file.
pub fn checksum(path: &Path) -> std::io::Result<(u64, String)> {
    use std::io::Read;
    let mut file = File::open(path)?;
    let mut hasher = Xxh3::new();
    let mut buffer = vec![0u8; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, format!("{:032x}", hasher.digest128())));
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
}
