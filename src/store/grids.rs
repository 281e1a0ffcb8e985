//! The tile grids of a workspace: the built-in ones and the documents in its folder `grids/`.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::StoreError;
use crate::format::tilematrixset;
use crate::model::{TileGrid, grids};

/// Folder of the workspace that holds OGC TileMatrixSet documents.
pub const FOLDER: &str = "grids";

/// Built-in grids first, then those of the folder by file name.
pub fn published(root: &Path) -> Result<Vec<TileGrid>, StoreError> {
    let mut published = grids::built_in();
    let folder = root.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(published),
        entries => entries.map_err(|e| StoreError::io(&folder, e))?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| StoreError::io(&folder, e))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            paths.push(path);
        }
    }
    paths.sort();
    for path in paths {
        // At most one byte more than a grid may have: a wrong file put there may be of any size.
        let mut text = Vec::new();
        fs::File::open(&path)
            .and_then(|file| {
                file.take(tilematrixset::MAX_BYTES as u64 + 1)
                    .read_to_end(&mut text)
            })
            .map_err(|e| StoreError::io(&path, e))?;
        let grid = tilematrixset::read(&text).map_err(|source| StoreError::Grid {
            path: path.clone(),
            source: Box::new(source),
        })?;
        if published.iter().any(|known| known.id == grid.id) {
            return Err(StoreError::GridTaken { path, id: grid.id });
        }
        published.push(grid);
    }
    Ok(published)
}
