//! From an archive of tiles to a layer of the workspace.
//!
//! 1. copy the file into the generation, so that nobody changes it under its readers; one on
//!    another machine stays there  2. read what it says of itself, believing little  3. look at one
//!    tile  4. publish
//!
//! Tiles are not decoded here, and not checked one by one: a damaged one is an error when it is
//! asked for.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::crs::{Crs, CrsError, Warp};
use crate::format::FormatError;
use crate::format::mbtiles::MbtilesFile;
use crate::format::pmtiles::{self, PmtilesFile, TileType};
use crate::format::unpack::Compression;
use crate::geom::Bbox;
use crate::model::{
    FORMAT_VERSION, ImportCounts, LayerGeometry, LayerKind, LayerName, Manifest, RemoteArchive,
    SourceInfo, TileContainer, TileContent, TilesInfo, TilesLayer,
};
use crate::store::{Snapshot, Store, StoreError, StoredTile, archive_file_name};

/// Latitude of the edge of the Web Mercator square.
const EDGE_LAT: f64 = 85.051_129;
/// Zooms beyond this are not served.
const HIGHEST_ZOOM: u8 = 24;
const MOST_LAYERS: usize = 256;
const MOST_FIELDS: usize = 1024;
const LONGEST_NAME: usize = 256;
const LONGEST_ATTRIBUTION: usize = 2000;

/// Why an archive does not become a layer. The workspace is then as it was before.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveImportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Crs(#[from] CrsError),
    #[error("{name}: {found}, expected {expected} (瓦片归档不可用)")]
    Unusable {
        name: String,
        found: String,
        expected: &'static str,
    },
}

/// What the layer is to be, beyond the archive itself.
#[derive(Debug, Clone)]
pub struct ArchiveOptions {
    pub name: LayerName,
    /// Imagery for pictures and anything else for features when not given.
    pub kind: Option<LayerKind>,
    pub title: String,
    /// Instead of what the archive says.
    pub attribution: Option<String>,
}

/// The front of a PMTiles archive on another machine, as it was read.
#[derive(Debug, Clone)]
pub struct RemoteFront {
    pub at: RemoteArchive,
    pub header: pmtiles::Header,
    pub metadata: String,
}

/// What an archive says of itself, in our words.
#[derive(Debug)]
struct Described {
    info: TilesInfo,
    bounds_lonlat: Bbox,
    attribution: Option<String>,
    /// 0 where nobody says.
    count: u64,
}

/// What tells the container of a location by its ending.
pub fn container_of(location: &str) -> Option<TileContainer> {
    let ending = location.rsplit_once('.')?.1.to_ascii_lowercase();
    match ending.as_str() {
        "pmtiles" => Some(TileContainer::Pmtiles),
        "mbtiles" => Some(TileContainer::Mbtiles),
        _ => None,
    }
}

/// Copies an archive into the workspace as the layer's new generation.
///
/// # Errors
/// When it cannot be copied, or is no archive of tiles that can be served.
pub fn import_archive(
    store: &Store,
    options: &ArchiveOptions,
    path: &Path,
    container: TileContainer,
) -> Result<Arc<Snapshot>, ArchiveImportError> {
    if container == TileContainer::Mbtiles {
        refuse_unfinished(path)?;
    }
    let draft = store.begin(&options.name)?;
    let copy = draft.path(archive_file_name(container));
    fs::copy(path, &copy).map_err(|e| StoreError::io(path, e))?;
    File::open(&copy)
        .and_then(|file| file.sync_all())
        .map_err(|e| StoreError::io(&copy, e))?;
    let name = name_of(path);
    let described = match container {
        TileContainer::Pmtiles => pmtiles_file(&copy, &name),
        TileContainer::Mbtiles => mbtiles_file(&copy, &name),
    };
    // The copy's name says nothing to whoever named the original.
    let described = described.map_err(|error| match error {
        ArchiveImportError::Format(FormatError::Malformed {
            found, expected, ..
        }) => ArchiveImportError::Format(FormatError::Malformed {
            path: PathBuf::from(&name),
            found,
            expected,
        }),
        error => error,
    })?;
    let bytes = fs::metadata(&copy).map_or(0, |file| file.len());
    let source = source_info(name, container, bytes);
    let manifest = manifest(options, described, source, draft.file_sums()?)?;
    Ok(store.publish(draft, &manifest)?)
}

/// Makes an archive on another machine the layer's new generation.
///
/// # Errors
/// When it is no archive of tiles that can be served.
pub fn register_remote(
    store: &Store,
    options: &ArchiveOptions,
    front: &RemoteFront,
) -> Result<Arc<Snapshot>, ArchiveImportError> {
    let name = front.at.url.as_str();
    let mut described = pmtiles(&front.header, &front.metadata, None, name)?;
    described.info.remote = Some(front.at.clone());
    let source = source_info(name.to_string(), TileContainer::Pmtiles, front.at.bytes);
    let draft = store.begin(&options.name)?;
    let manifest = manifest(options, described, source, Vec::new())?;
    Ok(store.publish(draft, &manifest)?)
}

/// SQLite keeps what was written last beside the file until somebody closes it properly.
fn refuse_unfinished(path: &Path) -> Result<(), ArchiveImportError> {
    for ending in ["-wal", "-journal"] {
        let mut beside = path.as_os_str().to_os_string();
        beside.push(ending);
        if fs::metadata(&beside).is_ok_and(|file| file.len() > 0) {
            return Err(ArchiveImportError::Unusable {
                name: name_of(path),
                found: format!(
                    "{} beside it: it is being written",
                    name_of(Path::new(&beside))
                ),
                expected: "an archive that its writer has closed",
            });
        }
    }
    Ok(())
}

fn pmtiles_file(path: &Path, name: &str) -> Result<Described, ArchiveImportError> {
    let file = PmtilesFile::open(path)?;
    let first = match file.runs().next().transpose()? {
        None => return Err(unusable(name, "no tiles", "an archive with tiles in it")),
        Some(run) => StoredTile {
            bytes: file.bytes_of(&run)?.into(),
            compression: file.header.description.tile_compression,
        },
    };
    let first = plain(&first, name)?;
    pmtiles(&file.header, &file.metadata()?, Some(&first), name)
}

fn plain(tile: &StoredTile<'_>, name: &str) -> Result<Vec<u8>, ArchiveImportError> {
    tile.plain().map_err(|error| {
        let found = format!("a tile of {error}");
        unusable(name, &found, "tiles packed as the archive says")
    })
}

fn pmtiles(
    header: &pmtiles::Header,
    metadata: &str,
    first: Option<&[u8]>,
    name: &str,
) -> Result<Described, ArchiveImportError> {
    let about = &header.description;
    let metadata: Value = serde_json::from_str(metadata)
        .map_err(|e| unusable(name, &format!("metadata that are no JSON: {e}"), "JSON"))?;
    let tiles = match about.tile_type {
        TileType::Mvt => TileContent::Mvt,
        TileType::Png => TileContent::Png,
        TileType::Jpeg => TileContent::Jpeg,
        TileType::Webp => TileContent::Webp,
        TileType::Avif => return Err(unusable(name, "tiles of AVIF", KINDS)),
        TileType::Unknown => match first.and_then(TileContent::of_image) {
            Some(image) => image,
            None if metadata.get("vector_layers").is_some() => TileContent::Mvt,
            None => return Err(unusable(name, "tiles of an unknown kind", KINDS)),
        },
    };
    agree(tiles, first, name)?;
    let zooms = (about.min_zoom, about.max_zoom);
    described(
        TileContainer::Pmtiles,
        tiles,
        zooms,
        about.bounds_lonlat,
        &metadata,
        header.addressed_tiles,
        name,
    )
}

const KINDS: &str = "vector tiles (MVT), PNG, JPEG or WebP";

fn mbtiles_file(path: &Path, name: &str) -> Result<Described, ArchiveImportError> {
    let file = MbtilesFile::open(path)?;
    let words: BTreeMap<String, String> = file.metadata()?.into_iter().collect();
    let word = |key: &str| words.get(key).map(|value| value.trim());
    let Some(first) = file.first_tile()? else {
        return Err(unusable(name, "no tiles", "an archive with tiles in it"));
    };
    let first = StoredTile {
        compression: Compression::of_bytes(&first),
        bytes: first.into(),
    };
    let first = plain(&first, name)?;
    let tiles = match (word("format"), TileContent::of_image(&first)) {
        (Some("pbf" | "mvt"), _) => TileContent::Mvt,
        (Some("png" | "jpg" | "jpeg" | "webp") | None, Some(image)) => image,
        (None, None) if words.contains_key("json") => TileContent::Mvt,
        (found, _) => {
            let found = format!("format {:?}", found.unwrap_or_default());
            return Err(unusable(name, &found, KINDS));
        }
    };
    agree(tiles, Some(&first), name)?;
    let zoom = |key: &str| word(key).and_then(|text| text.parse::<u8>().ok());
    let zooms = match (zoom("minzoom"), zoom("maxzoom")) {
        (Some(low), Some(high)) if low <= high => (low, high),
        _ => file.zooms()?,
    };
    let bounds: Vec<f64> = word("bounds")
        .unwrap_or_default()
        .split(',')
        .filter_map(|part| part.trim().parse().ok())
        .collect();
    let bounds = <[f64; 4]>::try_from(bounds).unwrap_or([0.0; 4]);
    let mut metadata: Value = match word("json") {
        None | Some("") => Value::Object(serde_json::Map::new()),
        Some(json) => serde_json::from_str(json)
            .map_err(|e| unusable(name, &format!("a word \"json\" that is none: {e}"), "JSON"))?,
    };
    if let (Some(about), Some(object)) = (word("attribution"), metadata.as_object_mut()) {
        object.insert("attribution".into(), about.into());
    }
    let container = TileContainer::Mbtiles;
    described(container, tiles, zooms, bounds, &metadata, 0, name)
}

/// A picture that is called a vector tile, or the other way round, would be shown to nobody.
fn agree(tiles: TileContent, first: Option<&[u8]>, name: &str) -> Result<(), ArchiveImportError> {
    let is_image = |bytes| TileContent::of_image(bytes).is_some();
    match first.map(is_image) {
        Some(found) if found != tiles.is_image() => {
            let found = if found { "a picture" } else { "no picture" };
            let found = format!("{found} in the first tile of an archive of {tiles:?}");
            Err(unusable(name, &found, "tiles of the kind the archive says"))
        }
        Some(_) | None => Ok(()),
    }
}

fn described(
    container: TileContainer,
    tiles: TileContent,
    (minzoom, maxzoom): (u8, u8),
    bounds: [f64; 4],
    metadata: &Value,
    count: u64,
    name: &str,
) -> Result<Described, ArchiveImportError> {
    if minzoom > maxzoom || minzoom > HIGHEST_ZOOM {
        let found = format!("zooms {minzoom} to {maxzoom}");
        return Err(unusable(name, &found, "zooms within 0 to 24"));
    }
    let maxzoom = maxzoom.min(HIGHEST_ZOOM);
    let vector_layers = if tiles.is_image() {
        Vec::new()
    } else {
        vector_layers(metadata, (minzoom, maxzoom), name)?
    };
    let [west, south, east, north] = bounds;
    let sound = bounds.iter().all(|v| v.is_finite()) && west < east && south < north;
    let world = Bbox::new(-180.0, -EDGE_LAT, 180.0, EDGE_LAT);
    let bounds_lonlat = Bbox::new(
        west.max(-180.0),
        south.max(-EDGE_LAT),
        east.min(180.0),
        north.min(EDGE_LAT),
    );
    let sound = sound && bounds_lonlat.width() > 0.0 && bounds_lonlat.height() > 0.0;
    let attribution = metadata
        .get("attribution")
        .and_then(Value::as_str)
        .map(|text| plain_words(text, LONGEST_ATTRIBUTION))
        .filter(|text| !text.is_empty());
    Ok(Described {
        info: TilesInfo {
            container,
            tiles,
            minzoom,
            maxzoom,
            vector_layers,
            remote: None,
        },
        bounds_lonlat: if sound { bounds_lonlat } else { world },
        attribution,
        count,
    })
}

fn vector_layers(
    metadata: &Value,
    zooms: (u8, u8),
    name: &str,
) -> Result<Vec<TilesLayer>, ArchiveImportError> {
    let wanted = "\"vector_layers\": a list of 1 to 256 layers with ids";
    let Some(list) = metadata.get("vector_layers").and_then(Value::as_array) else {
        return Err(unusable(name, "metadata without vector_layers", wanted));
    };
    if list.is_empty() || list.len() > MOST_LAYERS {
        let found = format!("{} vector_layers", list.len());
        return Err(unusable(name, &found, wanted));
    }
    let zoom = |layer: &Value, key: &str, otherwise: u8| {
        layer
            .get(key)
            .and_then(Value::as_u64)
            .map_or(otherwise, |zoom| zoom.min(u64::from(HIGHEST_ZOOM)) as u8)
    };
    list.iter()
        .map(|layer| {
            let id = layer.get("id").and_then(Value::as_str).unwrap_or_default();
            if id.is_empty() || id.len() > LONGEST_NAME || id.chars().any(char::is_control) {
                let found = "a vector layer without a usable id";
                return Err(unusable(name, found, wanted));
            }
            let fields = layer.get("fields").and_then(Value::as_object);
            let fields = fields
                .into_iter()
                .flatten()
                .filter(|(field, _)| field.len() <= LONGEST_NAME)
                .take(MOST_FIELDS)
                .map(|(field, kind)| {
                    let kind = match kind.as_str() {
                        Some("Number") => "Number",
                        Some("Boolean") => "Boolean",
                        Some(_) | None => "String",
                    };
                    (field.clone(), kind.to_string())
                })
                .collect();
            Ok(TilesLayer {
                id: id.to_string(),
                fields,
                minzoom: zoom(layer, "minzoom", zooms.0),
                maxzoom: zoom(layer, "maxzoom", zooms.1),
            })
        })
        .collect()
}

/// Text without the tags of HTML: what somebody else wrote is not put into a page.
fn plain_words(text: &str, longest: usize) -> String {
    let mut depth = 0u32;
    let mut out = String::new();
    for c in text.chars().take(longest) {
        match c {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            c if depth == 0 && !c.is_control() => out.push(c),
            _ => {}
        }
    }
    out.trim().to_string()
}

fn manifest(
    options: &ArchiveOptions,
    described: Described,
    source: SourceInfo,
    files: Vec<crate::model::FileSum>,
) -> Result<Manifest, ArchiveImportError> {
    let usual = match described.info.tiles.is_image() {
        true => LayerKind::Imagery,
        false => LayerKind::Other,
    };
    let bounds = described.bounds_lonlat;
    let to_mercator = Warp::new(&Crs::from_user("EPSG:4326")?, 3857, &bounds)?;
    let count = described.count;
    Ok(Manifest {
        format_version: FORMAT_VERSION,
        name: options.name.clone(),
        kind: options.kind.unwrap_or(usual),
        title: options.title.clone(),
        attribution: options.attribution.clone().or(described.attribution),
        crs: Crs::from_user("EPSG:3857")?,
        bbox_in_layer_crs: to_mercator.bbox(&bounds),
        bounds_lonlat: bounds,
        content: LayerGeometry::Tiles(described.info),
        source,
        counts: ImportCounts {
            read: count,
            stored: count,
            repaired: 0,
            rejected: 0,
        },
        issues: Vec::new(),
        files,
    })
}

fn source_info(name: String, container: TileContainer, bytes: u64) -> SourceInfo {
    let driver = match container {
        TileContainer::Pmtiles => "PMTiles",
        TileContainer::Mbtiles => "MBTiles",
    };
    SourceInfo {
        name,
        layer: None,
        driver: driver.to_string(),
        encoding: None,
        checksum: None,
        bytes: Some(bytes),
    }
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn unusable(name: &str, found: &str, expected: &'static str) -> ArchiveImportError {
    ArchiveImportError::Unusable {
        name: name.to_string(),
        found: found.to_string(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_carry_no_markup() {
        let text = "<a href='x' onclick=\"<b>\">© OpenStreetMap</a> <img src=x onerror=alert(1)";
        assert_eq!(plain_words(text, 2000), "© OpenStreetMap");
        assert_eq!(plain_words("a\u{0}b > c", 2000), "ab  c");
        assert_eq!(plain_words("abcdef", 3), "abc");
    }

    #[test]
    fn bounds_and_zooms_are_believed_only_where_they_make_sense() {
        let metadata = serde_json::json!({ "vector_layers": [{ "id": "a" }] });
        let read = |zooms, bounds| {
            let pm = TileContainer::Pmtiles;
            described(pm, TileContent::Mvt, zooms, bounds, &metadata, 0, "x")
        };
        let sound = read((3, 40), [100.0, 20.0, 110.0, 89.0]).unwrap();
        assert_eq!(sound.info.maxzoom, HIGHEST_ZOOM);
        let [_, _, _, north] = sound.bounds_lonlat.to_array();
        assert_eq!(north, EDGE_LAT);
        for bounds in [
            [0.0; 4],
            [110.0, 20.0, 100.0, 30.0],
            [f64::NAN, 0.0, 1.0, 1.0],
            [200.0, 0.0, 210.0, 1.0],
        ] {
            let world = read((0, 4), bounds).unwrap().bounds_lonlat;
            assert_eq!(world.to_array(), [-180.0, -EDGE_LAT, 180.0, EDGE_LAT]);
        }
        assert!(read((5, 4), [0.0; 4]).is_err());
        assert!(read((25, 26), [0.0; 4]).is_err());
        for bad in [
            serde_json::json!({}),
            serde_json::json!({ "vector_layers": [] }),
            serde_json::json!({ "vector_layers": [{ "id": "" }] }),
            serde_json::json!({ "vector_layers": [{ "id": "a\u{7}" }] }),
            serde_json::json!({ "vector_layers": vec![serde_json::json!({ "id": "a" }); 257] }),
        ] {
            assert!(vector_layers(&bad, (0, 4), "x").is_err(), "{bad}");
        }
    }
}
