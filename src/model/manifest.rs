//! The manifest of a generation: what is in it, where it came from, what its files hash to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Aggregate, IssueCode, LayerKind, LayerName, Schema, Severity};
use crate::crs::Crs;
use crate::geom::{Bbox, GeometryType};

/// Version of the generation layout this program writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// Everything there is to know about one generation without opening its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format_version: u32,
    pub name: LayerName,
    pub kind: LayerKind,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<String>,
    pub crs: Crs,
    pub bbox_in_layer_crs: Bbox,
    /// West, south, east, north in degrees (WGS 84 or CGCS2000, which agree for display).
    pub bounds_lonlat: Bbox,
    pub content: LayerGeometry,
    pub source: SourceInfo,
    pub counts: ImportCounts,
    /// How many findings of each kind; the findings themselves are in the file `issues.json`.
    pub issues: Vec<IssueCount>,
    /// The files beside the manifest.
    pub files: Vec<FileSum>,
}

/// Vector or raster content, or tiles that somebody made beforehand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "content", rename_all = "lowercase")]
pub enum LayerGeometry {
    Vector(VectorInfo),
    Raster(RasterInfo),
    Tiles(TilesInfo),
}

/// What a vector layer holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VectorInfo {
    /// The common type of all features; `None` when dimensions are mixed.
    pub geometry_type: Option<GeometryType>,
    pub has_z: bool,
    pub schema: Schema,
    /// The attribute whose value is the feature's identity; `None` for ids from content.
    pub id_field: Option<String>,
    pub features: u64,
    pub vertices: u64,
    /// Zoom at which a tile of average density holds some ten thousand vertices; from here on
    /// tiles are complete.
    pub natural_zoom: u8,
    /// What features that stand for several say of their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aggregates: Vec<Aggregate>,
    /// Generalised levels of points and lines, from the coarsest to the finest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<LevelSummary>,
}

/// A generalised level of a layer of points or lines, for a zoom of the Web Mercator quad.
/// The features of the layer are `features` less those that stand for several, and `merged`, and `omitted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelSummary {
    pub zoom: u8,
    /// Features of the level.
    pub features: u64,
    /// Features of the layer that share a feature of the level with others.
    pub merged: u64,
    /// Features of the layer that the level leaves out: too small, or too many.
    pub omitted: u64,
}

/// What an image layer holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RasterInfo {
    pub width_px: u32,
    pub height_px: u32,
    pub bands: u32,
    /// GDAL's name of the sample type: `Byte`, `UInt16`, `Float32`, …
    pub sample_type: String,
    pub nodata: Option<f64>,
    /// Per band shown: the value range that is stretched to 0–255.
    pub display_ranges: Vec<[f64; 2]>,
    /// Bands shown as red, green, blue (1-based); one entry for grey.
    pub display_bands: Vec<u32>,
    /// The band (from 1) that holds opacity.
    #[serde(default)]
    pub alpha_band: Option<u32>,
    /// From pixels to the layer's plane: x = t0 + column·t1 + row·t2, y = t3 + column·t4 + row·t5.
    pub geo_transform: [f64; 6],
    pub minzoom: u8,
    pub maxzoom: u8,
}

/// What an archive of tiles holds; its grid is the Web Mercator quad.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TilesInfo {
    pub container: TileContainer,
    pub tiles: TileContent,
    pub minzoom: u8,
    pub maxzoom: u8,
    /// What is in the vector tiles; empty for images.
    pub vector_layers: Vec<TilesLayer>,
    /// Where it is, when it is not in the generation's directory.
    pub remote: Option<RemoteArchive>,
}

/// What tiles are packed into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TileContainer {
    Pmtiles,
    Mbtiles,
}

/// What made tiles are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TileContent {
    Mvt,
    Png,
    Jpeg,
    Webp,
}

impl TileContent {
    pub fn is_image(self) -> bool {
        self != TileContent::Mvt
    }

    /// The ending of a tile's address.
    pub fn extension(self) -> &'static str {
        match self {
            TileContent::Mvt => "mvt",
            TileContent::Png => "png",
            TileContent::Jpeg => "jpg",
            TileContent::Webp => "webp",
        }
    }

    /// The kind of an image by its first bytes; `None` for what is no image of these kinds.
    pub fn of_image(bytes: &[u8]) -> Option<TileContent> {
        match bytes {
            [0x89, b'P', b'N', b'G', ..] => Some(TileContent::Png),
            [0xFF, 0xD8, 0xFF, ..] => Some(TileContent::Jpeg),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Some(TileContent::Webp),
            _ => None,
        }
    }
}

/// A layer within vector tiles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TilesLayer {
    pub id: String,
    /// Names of attributes, and what TileJSON calls their types.
    pub fields: BTreeMap<String, String>,
    pub minzoom: u8,
    pub maxzoom: u8,
}

/// An archive that is read range by range from another machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemoteArchive {
    /// `https://…`, `http://…` or `s3://bucket/key`, without secrets.
    pub url: String,
    /// What it must still be: another one is another archive.
    pub e_tag: Option<String>,
    pub bytes: u64,
}

/// Where a generation came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// File name or connection without secrets; never a full path.
    pub name: String,
    /// The layer within the source.
    pub layer: Option<String>,
    /// GDAL's short driver name.
    pub driver: String,
    /// Text encoding the attributes were read in.
    pub encoding: Option<String>,
    /// XXH3-128 of the source file, hexadecimal, where it is one file.
    pub checksum: Option<String>,
    pub bytes: Option<u64>,
}

/// A line of the import report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueCount {
    pub code: IssueCode,
    pub severity: Severity,
    pub count: u64,
}

/// Where every feature of the source went: `read = stored + rejected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImportCounts {
    pub read: u64,
    pub stored: u64,
    pub repaired: u64,
    pub rejected: u64,
}

/// A file of the generation and its checksum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSum {
    pub name: String,
    pub bytes: u64,
    /// XXH3-128, hexadecimal.
    pub xxh3: String,
}
