//! The pyramid of a generation: one file per zoom and what they are made of.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::format::pyramid::LevelFile;
use crate::model::{Aggregates, FileSum, VectorInfo};

/// The directory of the pyramid in a generation.
pub const PYRAMID_DIR: &str = "pyramid";
const INFO_FILE: &str = "pyramid.json";
/// Version of the files in the directory.
pub const PYRAMID_VERSION: u32 = 2;

/// What a pyramid says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PyramidInfo {
    pub version: u32,
    /// The attribute whose value is a feature's class, and its column.
    pub class_field: Option<String>,
    pub class_column: Option<usize>,
    /// Class values by the numbers the levels use.
    pub classes: Vec<String>,
    /// From the coarsest zoom to the finest.
    pub levels: Vec<LevelInfo>,
    /// Pairs of edges of different features that cross in the source.
    pub crossings: u64,
    /// Vertices put into a neighbour's border that had none there.
    pub vertices_inserted: u64,
}

/// What a level holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LevelInfo {
    pub zoom: u8,
    pub faces: u64,
    pub points: u64,
    /// Features that share a face with others.
    pub merged_features: u64,
    /// Features too small for the grid of this zoom that had no neighbour to join.
    pub vanished_features: u64,
    /// Borders of faces that do not close; 0 in a coverage.
    pub unclosed: u64,
    /// Σ over classes |area shown − area| as a share of the layer's area.
    pub class_error: f64,
}

/// An opened pyramid.
pub struct Pyramid {
    pub info: PyramidInfo,
    /// What faces that stand for several features say of their values.
    pub aggregates: Aggregates,
    levels: Vec<LevelFile>,
}

impl Pyramid {
    /// The file of a zoom in the pyramid's directory.
    pub fn level_path(dir: &Path, zoom: u8) -> PathBuf {
        dir.join(format!("z{zoom:02}.level"))
    }

    /// Writes what the pyramid says of itself.
    pub fn write_info(dir: &Path, info: &PyramidInfo) -> Result<(), StoreError> {
        let path = dir.join(INFO_FILE);
        let write = || -> std::io::Result<()> {
            let mut file = fs::File::create_new(&path)?;
            std::io::Write::write_all(&mut file, &serde_json::to_vec_pretty(info)?)?;
            file.sync_all()
        };
        write().map_err(|e| StoreError::io(&path, e))
    }

    /// Opens the pyramid of a generation; `None` when `files`, which the manifest names, have
    /// none. The directory is not asked: a pyramid that is missing is an error.
    pub(super) fn open(
        generation: &Path,
        layer: &VectorInfo,
        files: &[FileSum],
    ) -> Result<Option<Pyramid>, StoreError> {
        let dir = generation.join(PYRAMID_DIR);
        let path = dir.join(INFO_FILE);
        if !files.iter().any(|file| generation.join(&file.name) == path) {
            return Ok(None);
        }
        let text = fs::read(&path).map_err(|e| StoreError::io(&path, e))?;
        let info: PyramidInfo =
            serde_json::from_slice(&text).map_err(|e| StoreError::Manifest {
                path: path.clone(),
                reason: e.to_string(),
            })?;
        if info.version != PYRAMID_VERSION {
            return Err(StoreError::FormatVersion {
                path,
                found: info.version,
                expected: PYRAMID_VERSION,
            });
        }
        let levels = info
            .levels
            .iter()
            .map(|level| LevelFile::open(&Pyramid::level_path(&dir, level.zoom)))
            .collect::<Result<_, _>>()?;
        let aggregates = Aggregates::new(&layer.aggregates, &layer.schema).map_err(|error| {
            StoreError::Manifest {
                path: generation.join("manifest.json"),
                reason: error.to_string(),
            }
        })?;
        Ok(Some(Pyramid {
            info,
            aggregates,
            levels,
        }))
    }

    /// Lets go of the pages read so far; they are read again when they are asked for.
    pub fn let_go(&self) {
        self.levels.iter().for_each(LevelFile::let_go);
    }

    /// The level of a zoom; `None` when the pyramid does not reach it.
    pub fn level(&self, zoom: u8) -> Option<&LevelFile> {
        self.levels.iter().find(|level| level.zoom == zoom)
    }
}
