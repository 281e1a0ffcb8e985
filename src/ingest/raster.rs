//! From a foreign image to a published generation.
//!
//! 1. refuse what cannot be shown: a place outside of the reference system's area, a system PROJ
//!    has no way from  2. copy the image into the store's form, overviews included  3. read every
//!    directory back  4. measure the value range to show  5. publish
//!
//! The generation appears whole or not at all, as with features.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::crs::{CrsError, Warp};
use crate::format::FormatError;
use crate::format::cog::Cog;
use crate::geom::Bbox;
use crate::model::{
    FORMAT_VERSION, ImportCounts, LayerGeometry, LayerKind, LayerName, Manifest, RasterInfo,
    SourceInfo, WEB_MERCATOR_HALF_M,
};
use crate::source::raster::{RasterError, RasterSource, display_range};
use crate::store::{IMAGE_FILE, Snapshot, Store, StoreError};

const TILE_PX: f64 = 256.0;
const HIGHEST_ZOOM: u8 = 24;

/// Why an image was not imported. The workspace is then as it was before.
#[derive(Debug, thiserror::Error)]
pub enum ImageImportError {
    #[error(transparent)]
    Source(#[from] RasterError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Crs(#[from] CrsError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(
        "{path}: the image lies at {found:?} degrees, outside of where {crs} is used ({expected:?}); give the right system with --crs EPSG:N, or this one if the place is right (影像位置与坐标系不符)"
    )]
    OutsideArea {
        path: PathBuf,
        crs: String,
        found: [f64; 4],
        expected: [f64; 4],
    },
    #[error(
        "{path}: the image is not in {crs}: {reason}{}; give the right system with --crs (坐标与坐标系不符)",
        .instead.map(|code| format!(", perhaps it is in EPSG:{code}")).unwrap_or_default()
    )]
    Disagrees {
        path: PathBuf,
        crs: String,
        reason: String,
        instead: Option<u32>,
    },
}

/// What the layer is to be, beyond the image itself.
#[derive(Debug, Clone)]
pub struct ImageOptions {
    pub name: LayerName,
    pub kind: LayerKind,
    pub title: String,
    pub attribution: Option<String>,
    /// The user gave the reference system, so a place it is not made for is no contradiction.
    pub crs_is_given: bool,
}

impl ImageOptions {
    pub fn new(name: LayerName) -> ImageOptions {
        ImageOptions {
            title: name.to_string(),
            name,
            kind: LayerKind::Imagery,
            attribution: None,
            crs_is_given: false,
        }
    }
}

/// Imports an image as the layer's new generation.
///
/// # Errors
/// When the image cannot be copied, or its declared reference system contradicts its place.
pub fn import_image(
    store: &Store,
    options: &ImageOptions,
    source: &RasterSource,
) -> Result<Arc<Snapshot>, ImageImportError> {
    let bbox = source.bbox_in_layer_crs();
    if let Some((reason, instead)) = source.crs.disagreement(&bbox) {
        return Err(ImageImportError::Disagrees {
            path: source.path().to_path_buf(),
            crs: source.crs.label(),
            reason,
            instead,
        });
    }
    let bounds_lonlat = Warp::new(&source.crs, 4326, &bbox)?.bbox(&bbox);
    if !options.crs_is_given {
        check_area(source, &bounds_lonlat)?;
    }
    let to_mercator = Warp::new(&source.crs, 3857, &bbox)?;

    let draft = store.begin(&options.name)?;
    let path = draft.path(IMAGE_FILE);
    source.write_cog(&path)?;
    File::open(&path)
        .and_then(|file| file.sync_all())
        .map_err(|e| StoreError::io(&path, e))?;
    let cog = Cog::open(&path)?;
    let (minzoom, maxzoom) = zooms(source, &to_mercator.bbox(&bbox));
    let raster = RasterInfo {
        width_px: source.width_px,
        height_px: source.height_px,
        bands: cog.bands() as u32,
        sample_type: source.sample_type.clone(),
        nodata: source.nodata.filter(|value| value.is_finite()),
        display_ranges: display_ranges(source, &path)?,
        display_bands: source.display_bands.clone(),
        alpha_band: source.alpha_band,
        geo_transform: source.geo_transform,
        minzoom,
        maxzoom,
    };
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        name: options.name.clone(),
        kind: options.kind,
        title: options.title.clone(),
        attribution: options.attribution.clone(),
        crs: source.crs.clone(),
        bbox_in_layer_crs: bbox,
        bounds_lonlat,
        content: LayerGeometry::Raster(raster),
        source: source_info(source),
        counts: ImportCounts {
            read: 1,
            stored: 1,
            repaired: 0,
            rejected: 0,
        },
        issues: Vec::new(),
        files: draft.file_sums()?,
    };
    Ok(store.publish(draft, &manifest)?)
}

/// A picture of a place where its reference system is not used has the wrong system.
fn check_area(source: &RasterSource, bounds_lonlat: &Bbox) -> Result<(), ImageImportError> {
    let Some([west, south, east, north]) = source.crs.area_of_use else {
        return Ok(());
    };
    // An area across the antimeridian has its west east of its east.
    let across = west > east;
    let area = Bbox::new(
        if across { -180.0 } else { west },
        south,
        if across { 180.0 } else { east },
        north,
    );
    if area.intersects(bounds_lonlat) {
        return Ok(());
    }
    Err(ImageImportError::OutsideArea {
        path: source.path().to_path_buf(),
        crs: source.crs.label(),
        found: bounds_lonlat.to_array(),
        expected: [west, south, east, north],
    })
}

fn display_ranges(source: &RasterSource, cog: &Path) -> Result<Vec<[f64; 2]>, ImageImportError> {
    let mut ranges = Vec::new();
    for band in &source.display_bands {
        ranges.push(if source.colors {
            [0.0, 255.0]
        } else {
            // An image without a single value is empty whatever the range.
            display_range(cog, *band)?.unwrap_or([0.0, 255.0])
        });
    }
    Ok(ranges)
}

/// The zooms of Web Mercator between "a few pixels" and "as fine as the image".
fn zooms(source: &RasterSource, bbox_in_mercator: &Bbox) -> (u8, u8) {
    const FEWEST_PX: f64 = 16.0;
    let world_m = 2.0 * WEB_MERCATOR_HALF_M;
    let width_m = bbox_in_mercator.width().min(world_m);
    let height_m = bbox_in_mercator.height().min(world_m);
    let pixel_m =
        (width_m / f64::from(source.width_px)).min(height_m / f64::from(source.height_px));
    let zoom_of_pixel = (world_m / TILE_PX / pixel_m).log2();
    // A pixel may be a little coarser than the zoom's before the next zoom is worth having.
    let finest = (zoom_of_pixel - 0.1).ceil();
    let coarsest = (world_m / TILE_PX * FEWEST_PX / width_m.max(height_m))
        .log2()
        .floor();
    let clamp = |zoom: f64| zoom.clamp(0.0, f64::from(HIGHEST_ZOOM)) as u8;
    (clamp(coarsest).min(clamp(finest)), clamp(finest))
}

fn source_info(source: &RasterSource) -> SourceInfo {
    let path = source.path();
    SourceInfo {
        name: path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        layer: None,
        driver: source.driver.clone(),
        encoding: None,
        checksum: None,
        bytes: std::fs::metadata(path).ok().map(|file| file.len()),
    }
}
