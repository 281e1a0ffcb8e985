//! The generalised levels of a layer of points or lines: for each zoom a small layer of its own,
//! in the same formats.

use std::path::{Path, PathBuf};

use super::StoreError;
use crate::format::feature_index::FeatureIndex;
use crate::format::fgb::FgbFile;
use crate::model::{Aggregates, Schema, VectorInfo};

/// The directory of the levels in a generation.
pub const LEVELS_DIR: &str = "levels";

/// The features and the index of a level in that directory.
pub fn level_files(generation: &Path, zoom: u8) -> [PathBuf; 2] {
    let dir = generation.join(LEVELS_DIR);
    ["fgb", "idx"].map(|ending| dir.join(format!("z{zoom:02}.{ending}")))
}

/// The levels of a generation; none for most.
#[derive(Default)]
pub struct Levels {
    /// Attributes of their features: those of the layer, the count, the aggregates.
    pub schema: Schema,
    /// From the coarsest zoom to the finest, every zoom from 0 on.
    levels: Vec<Level>,
}

/// Features that stand for those of the layer at a zoom of the Web Mercator quad.
pub struct Level {
    pub features: FgbFile,
    /// Also knows where features were left out.
    pub index: FeatureIndex,
}

impl Levels {
    /// Opens the levels that the manifest names.
    pub(super) fn open(generation: &Path, info: &VectorInfo) -> Result<Levels, StoreError> {
        if info.levels.is_empty() {
            return Ok(Levels::default());
        }
        let manifest = |reason: String| StoreError::Manifest {
            path: generation.join("manifest.json"),
            reason,
        };
        let aggregates = Aggregates::new(&info.aggregates, &info.schema)
            .map_err(|error| manifest(error.to_string()))?;
        let in_order = (0u8..).zip(&info.levels).all(|(zoom, l)| zoom == l.zoom);
        if !in_order {
            return Err(manifest("levels that do not begin at zoom 0".to_string()));
        }
        let levels = info.levels.iter().map(|level| {
            let [features, index] = level_files(generation, level.zoom);
            Ok(Level {
                features: FgbFile::open(&features)?,
                index: FeatureIndex::open(&index)?,
            })
        });
        Ok(Levels {
            schema: aggregates.generalised_schema(&info.schema),
            levels: levels.collect::<Result<_, StoreError>>()?,
        })
    }

    /// The level of a zoom; `None` beyond the finest.
    pub fn level(&self, zoom: u8) -> Option<&Level> {
        self.levels.get(usize::from(zoom))
    }

    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }
}
