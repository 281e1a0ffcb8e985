//! Opens what the user named and streams its features.
//!
//! 1. [`locate`](self): a path, a zipped path or a `PG:` connection; archives are measured
//!    before they are read, companions of shapefiles are looked for.
//! 2. [`open`]: GDAL opens it read-only with the drivers of a fixed list.
//! 3. [`SourceDataset::into_layer`]: the layer is chosen, its reference system, text encoding and
//!    schema are settled; what had to be settled by evidence is reported.
//! 4. [`SourceLayer::read_batch`]: features, flat shapes, typed values.
//!
//! Files are only read, and only those the user named and their companions (`.dbf`, `.prj`, …):
//! no URL, no GDAL virtual file system given from outside, no virtual format that points
//! elsewhere, no external entity, schema download or link of an XML file is followed. Nothing is
//! written beside the source. Shapes are not checked here, that is `ingest`'s.
//!
//! Images are [`raster`]'s.

mod archive;
mod attribute;
mod boundary;
mod csv;
mod kml;
mod layer;
mod locate;
mod ogr;
pub mod raster;
mod repair;
mod settle;
mod shape;
mod shapefile;
mod text;

use std::path::PathBuf;

use crate::crs::{Crs, CrsError};

pub use archive::ArchiveLimits;
pub use layer::{SourceLayer, Winding};
pub use locate::{SourceKind, sniff};
pub use ogr::SourceDataset;
pub use repair::{is_valid, make_valid};
pub use text::TextEncoding;

/// What the user named and said about it.
#[derive(Debug, Clone)]
pub struct SourceSpec {
    /// A path to a file or directory, or `PG:host=… dbname=…`.
    pub location: String,
    /// The layer within, needed when there are several.
    pub layer: Option<String>,
    /// The reference system to use instead of the declared one.
    pub crs: Option<Crs>,
    pub encoding: TextEncoding,
    pub limits: ArchiveLimits,
}

impl SourceSpec {
    /// Everything else as the source declares it.
    pub fn new(location: impl Into<String>) -> SourceSpec {
        SourceSpec {
            location: location.into(),
            layer: None,
            crs: None,
            encoding: TextEncoding::Auto,
            limits: ArchiveLimits::default(),
        }
    }
}

/// Opens a source.
///
/// # Errors
/// When there is nothing at that place, it is not allowed, or no driver reads it.
pub fn open(spec: &SourceSpec) -> Result<SourceDataset, SourceError> {
    SourceDataset::open(spec)
}

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{path}: no such file or directory (文件不存在)")]
    NotFound { path: PathBuf },
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{location}: {reason}")]
    NotAllowed { location: String, reason: String },
    #[error("{path}: archive has {found}, at most {limit} is accepted (压缩包超出限制)")]
    ArchiveTooLarge {
        path: PathBuf,
        found: String,
        limit: String,
    },
    #[error("{path}: damaged zip archive: {reason} (压缩包损坏)")]
    ArchiveDamaged { path: PathBuf, reason: String },
    #[error("{path}: no map data in the archive; it contains {entries} (压缩包内没有可读取的图层)")]
    ArchiveWithoutData { path: PathBuf, entries: String },
    #[error("{name}: not a map format that can be read here: {reason} (无法识别的格式)")]
    Unreadable { name: String, reason: String },
    #[error("{name}: there is no layer in it (没有图层)")]
    NoLayers { name: String },
    #[error(
        "{name}: there are {} layers, choose one with --source-layer (请用 --source-layer 指定图层): {}",
        layers.len(),
        layers.join(", ")
    )]
    ManyLayers { name: String, layers: Vec<String> },
    #[error(
        "{name}: there is no layer {layer:?}; there are (图层不存在, 现有): {}",
        layers.join(", ")
    )]
    NoSuchLayer {
        name: String,
        layer: String,
        layers: Vec<String>,
    },
    #[error("{name}: layer {layer:?} has no geometry column{hint} (没有几何字段)")]
    NoGeometry {
        name: String,
        layer: String,
        hint: String,
    },
    #[error(
        "{name}: layer {layer:?} does not say its coordinate reference system; give it with --crs, for example --crs EPSG:4490{hint} (未声明坐标系, 请用 --crs 指定)"
    )]
    NoCrs {
        name: String,
        layer: String,
        hint: String,
    },
    #[error(
        "{name}: layer {layer:?}: {source}; give the right system with --crs (请用 --crs 指定坐标系)"
    )]
    Crs {
        name: String,
        layer: String,
        source: Box<CrsError>,
    },
    #[error(
        "{name}: layer {layer:?} declares {declared}, but {reason}; give the right system with --crs{} (坐标系与坐标不符, 请用 --crs 指定)",
        suggestion.map(|code| format!(", probably --crs EPSG:{code}")).unwrap_or_default()
    )]
    CrsDisagrees {
        name: String,
        layer: String,
        declared: String,
        reason: String,
        suggestion: Option<u32>,
    },
    #[error(
        "{name}: layer {layer:?} ends after {read} features{}: {reason} (文件不完整)",
        expected.map(|n| format!(", {n} were expected")).unwrap_or_default()
    )]
    Truncated {
        name: String,
        layer: String,
        read: u64,
        expected: Option<u64>,
        reason: String,
    },
}
