//! One opened generation: immutable, shared by all requests that use it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::archive::{ArchiveFile, archive_file_name};
use super::levels::Levels;
use super::pyramid::Pyramid;
use super::{StoreError, draft};
use crate::crs::Warp;
use crate::format::cog::Cog;
use crate::format::feature_index::FeatureIndex;
use crate::format::fgb::FgbFile;
use crate::format::id_index::IdIndex;
use crate::geom::Bbox;
use crate::model::{FORMAT_VERSION, LayerGeometry, Manifest, RasterInfo, TilesInfo, VectorInfo};

/// The files of a vector generation.
pub const FEATURES_FILE: &str = "features.fgb";
pub const INDEX_FILE: &str = "features.idx";
pub const IDS_FILE: &str = "ids.idx";
/// The file of a raster generation.
pub const IMAGE_FILE: &str = "image.tif";

/// A generation, opened.
pub struct Snapshot {
    pub manifest: Manifest,
    pub generation: String,
    pub data: LayerData,
    dir: PathBuf,
    warps: Mutex<HashMap<u32, Arc<WarpPair>>>,
}

/// What is behind a layer.
pub enum LayerData {
    Vector(VectorData),
    Image(ImageData),
    /// Tiles made beforehand.
    Archive(ArchiveFile),
    /// The same on another machine; nothing of it is here.
    RemoteArchive,
}

/// Features and their indexes.
pub struct VectorData {
    pub features: FgbFile,
    pub index: FeatureIndex,
    pub ids: IdIndex,
    /// Watertight faces per zoom, for layers of polygons that share their borders.
    pub pyramid: Option<Box<Pyramid>>,
    /// Fewer features per zoom, for layers of many points or lines.
    pub levels: Levels,
}

impl VectorData {
    /// Lets go of the pages of the files read so far; they are read again when they are asked for.
    pub fn let_go(&self) {
        self.features.let_go();
        self.index.let_go();
        if let Some(pyramid) = &self.pyramid {
            pyramid.let_go();
        }
    }
}

/// A Cloud Optimised GeoTIFF.
pub struct ImageData {
    pub image: Cog,
}

/// Transforms between a layer's plane and the plane of a grid.
pub struct WarpPair {
    pub to_grid: Warp,
    pub to_layer: Warp,
}

impl Snapshot {
    pub(super) fn open(dir: &Path, generation: &str) -> Result<Snapshot, StoreError> {
        let path = dir.join("manifest.json");
        let text = fs::read(&path).map_err(|e| StoreError::io(&path, e))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|e| StoreError::Manifest {
                path: path.clone(),
                reason: e.to_string(),
            })?;
        if manifest.format_version != FORMAT_VERSION {
            return Err(StoreError::FormatVersion {
                path,
                found: manifest.format_version,
                expected: FORMAT_VERSION,
            });
        }
        let data = match &manifest.content {
            LayerGeometry::Vector(info) => {
                let index = FeatureIndex::open(&dir.join(INDEX_FILE))?;
                LayerData::Vector(VectorData {
                    features: FgbFile::open(&dir.join(FEATURES_FILE))?,
                    ids: IdIndex::open(&dir.join(IDS_FILE))?,
                    pyramid: Pyramid::open(dir, info, &manifest.files)?.map(Box::new),
                    levels: Levels::open(dir, info)?,
                    index,
                })
            }
            LayerGeometry::Raster(_) => LayerData::Image(ImageData {
                image: Cog::open(&dir.join(IMAGE_FILE))?,
            }),
            LayerGeometry::Tiles(TilesInfo {
                remote: Some(_), ..
            }) => LayerData::RemoteArchive,
            LayerGeometry::Tiles(TilesInfo { container, .. }) => {
                let path = dir.join(archive_file_name(*container));
                LayerData::Archive(ArchiveFile::open(&path, *container)?)
            }
        };
        Ok(Snapshot {
            manifest,
            generation: generation.to_string(),
            data,
            dir: dir.to_path_buf(),
            warps: Mutex::new(HashMap::new()),
        })
    }

    pub fn name(&self) -> &str {
        self.manifest.name.as_str()
    }

    /// The generation's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn vector(&self) -> Option<(&VectorData, &VectorInfo)> {
        match (&self.data, &self.manifest.content) {
            (LayerData::Vector(data), LayerGeometry::Vector(info)) => Some((data, info)),
            _ => None,
        }
    }

    pub fn image(&self) -> Option<(&ImageData, &RasterInfo)> {
        match (&self.data, &self.manifest.content) {
            (LayerData::Image(data), LayerGeometry::Raster(info)) => Some((data, info)),
            _ => None,
        }
    }

    /// What is in the tiles of a layer that is an archive, wherever the archive is.
    pub fn tiles(&self) -> Option<&TilesInfo> {
        match &self.manifest.content {
            LayerGeometry::Tiles(info) => Some(info),
            LayerGeometry::Vector(_) | LayerGeometry::Raster(_) => None,
        }
    }

    /// True when its tiles are pictures.
    pub fn shows_images(&self) -> bool {
        match &self.manifest.content {
            LayerGeometry::Vector(_) => false,
            LayerGeometry::Raster(_) => true,
            LayerGeometry::Tiles(info) => info.tiles.is_image(),
        }
    }

    /// Where the layer has something, empty when it has nothing.
    pub fn extent_in_layer_crs(&self) -> Bbox {
        match &self.data {
            LayerData::Vector(data) if data.index.is_empty() => Bbox::EMPTY,
            _ => self.manifest.bbox_in_layer_crs,
        }
    }

    /// Transforms to and from the plane of EPSG `epsg`, prepared once per generation.
    pub fn warp(&self, epsg: u32) -> Result<Arc<WarpPair>, StoreError> {
        if let Some(pair) = self.warps.lock().expect("no panic while held").get(&epsg) {
            return Ok(pair.clone());
        }
        // Made outside the lock: two first requests may both do it, none waits for the other.
        let extent = self.extent_in_layer_crs();
        let to_grid = Warp::new(&self.manifest.crs, epsg, &extent)?;
        let extent_in_grid = to_grid.bbox(&extent);
        let to_layer = Warp::inverse(epsg, &self.manifest.crs, &extent_in_grid)?;
        let pair = Arc::new(WarpPair { to_grid, to_layer });
        let mut warps = self.warps.lock().expect("no panic while held");
        Ok(warps.entry(epsg).or_insert(pair).clone())
    }

    /// Compares every file with its checksum; returns the names of those that differ.
    pub fn verify(&self) -> Result<Vec<String>, StoreError> {
        let mut differing = Vec::new();
        for file in &self.manifest.files {
            let path = self.dir.join(&file.name);
            let (bytes, xxh3) = draft::checksum(&path).map_err(|e| StoreError::io(&path, e))?;
            if bytes != file.bytes || xxh3 != file.xxh3 {
                differing.push(file.name.clone());
            }
        }
        Ok(differing)
    }
}
