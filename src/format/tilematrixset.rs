//! Tile grids as JSON documents of the OGC Two Dimensional Tile Matrix Set standard 2.0
//! (17-083r4, requirements class "JSON encoding").
//!
//! The reader takes what our tiles can be cut on: a plane with an EPSG code (or CRS84), rectangular
//! tiles counted from the top left, the same number of tiles in every row. Everything else is
//! refused with the reason; nothing is guessed from a half-understood document.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::model::{TileGrid, TileMatrix};

/// A document larger than this is not a grid.
pub const MAX_BYTES: usize = 1 << 20;
const MAX_LEVELS: usize = 64;
const MAX_ID_CHARS: usize = 64;
const MAX_TILE_PX: u64 = 8192;
/// The prefix of the OGC name of an EPSG system.
const EPSG_URI: &str = "http://www.opengis.net/def/crs/EPSG/0/";
const CRS84_URI: &str = "http://www.opengis.net/def/crs/OGC/1.3/CRS84";

/// Why a document is not a grid this program can publish.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TileMatrixSetError {
    #[error("{found} bytes, a tile matrix set has at most {limit} (格网文件过大)")]
    TooLarge { found: usize, limit: usize },
    #[error("not a tile matrix set in JSON (OGC 17-083r4): {reason} (不是有效的瓦片矩阵集)")]
    Json { reason: String },
    #[error("id {found:?}: 1 to {limit} letters, digits, '_', '-' are allowed (格网标识无效)")]
    Id { found: String, limit: usize },
    #[error(
        "crs {found:?}: expected an EPSG code such as {EPSG_URI}4490 or urn:ogc:def:crs:EPSG::4490, or CRS84 (坐标系无法识别)"
    )]
    Crs { found: String },
    #[error("orderedAxes {found:?}: it is not clear which axis points north (坐标轴顺序不明)")]
    Axes { found: Vec<String> },
    #[error("{found} levels, expected 1 to {limit} (级别数无效)")]
    Levels { found: usize, limit: usize },
    #[error("level {level:?}: {field} is {found}, expected {expected} (级别参数无效)")]
    Level {
        level: String,
        field: &'static str,
        found: String,
        expected: &'static str,
    },
    #[error("two levels are zoom {zoom} (级别重复)")]
    RepeatedZoom { zoom: u8 },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    id: String,
    title: Option<String>,
    crs: Value,
    ordered_axes: Option<Vec<String>>,
    tile_matrices: Vec<Matrix>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Matrix {
    id: String,
    scale_denominator: f64,
    cell_size: f64,
    corner_of_origin: Option<String>,
    point_of_origin: [f64; 2],
    tile_width: u64,
    tile_height: u64,
    matrix_width: u64,
    matrix_height: u64,
    variable_matrix_widths: Option<Vec<Value>>,
}

/// Reads a document.
///
/// # Errors
/// Says which member of the document is not as expected.
pub fn read(bytes: &[u8]) -> Result<TileGrid, TileMatrixSetError> {
    if bytes.len() > MAX_BYTES {
        return Err(TileMatrixSetError::TooLarge {
            found: bytes.len(),
            limit: MAX_BYTES,
        });
    }
    let document: Document =
        serde_json::from_slice(bytes).map_err(|e| TileMatrixSetError::Json {
            reason: e.to_string(),
        })?;
    let id_fits = (1..=MAX_ID_CHARS).contains(&document.id.chars().count())
        && document
            .id
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    if !id_fits {
        return Err(TileMatrixSetError::Id {
            found: document.id.chars().take(2 * MAX_ID_CHARS).collect(),
            limit: MAX_ID_CHARS,
        });
    }
    let (epsg, crs_north_first) = plane(&document.crs)?;
    let north_first = match &document.ordered_axes {
        Some(axes) => axes_north_first(axes, crs_north_first)?,
        None => crs_north_first,
    };
    let found = document.tile_matrices.len();
    if !(1..=MAX_LEVELS).contains(&found) {
        return Err(TileMatrixSetError::Levels {
            found,
            limit: MAX_LEVELS,
        });
    }
    Ok(TileGrid {
        title: document.title.unwrap_or_else(|| document.id.clone()),
        id: document.id,
        epsg,
        north_first,
        matrices: matrices(document.tile_matrices, north_first)?,
    })
}

/// EPSG code of the plane, and whether its authority names north first.
fn plane(crs: &Value) -> Result<(u32, bool), TileMatrixSetError> {
    let text = match crs {
        Value::String(text) => text.as_str(),
        Value::Object(members) => members.get("uri").and_then(Value::as_str).unwrap_or(""),
        _ => "",
    };
    let unknown = || TileMatrixSetError::Crs {
        found: crs.to_string().chars().take(200).collect(),
    };
    if text.ends_with("CRS84") || text.ends_with("/CRS/84") {
        return Ok((4326, false));
    }
    let is_epsg = text.to_ascii_uppercase().contains("EPSG");
    let code = text.rsplit(['/', ':']).next().unwrap_or("");
    let epsg: u32 = code.parse().ok().filter(|_| is_epsg).ok_or_else(unknown)?;
    Ok((epsg, authority_says_north_first(epsg)))
}

/// The EPSG order of geographic systems (latitude first; the registry keeps them between 4000 and
/// 5000) and of the Gauss-Krüger systems of CGCS2000, 4491 to 4554, whose X points north.
fn authority_says_north_first(epsg: u32) -> bool {
    (4001..4999).contains(&epsg)
}

fn axes_north_first(axes: &[String], by_authority: bool) -> Result<bool, TileMatrixSetError> {
    let unclear = || TileMatrixSetError::Axes {
        found: axes.iter().take(4).cloned().collect(),
    };
    let [first, second] = axes else {
        return Err(unclear());
    };
    let points_north = |axis: &str| {
        let axis = axis.to_lowercase();
        if axis == "n" || axis.starts_with("lat") || axis.starts_with("north") {
            Some(true)
        } else if axis == "e" || axis.starts_with("lon") || axis.starts_with("east") {
            Some(false)
        } else {
            None
        }
    };
    match (points_north(first), points_north(second)) {
        (Some(first), Some(second)) if first != second => Ok(first),
        // X and Y mean east and north here, north and east there: the authority decides.
        (None, None) => Ok(by_authority),
        (Some(_), Some(_)) | (Some(_), None) | (None, Some(_)) => Err(unclear()),
    }
}

fn matrices(
    documents: Vec<Matrix>,
    north_first: bool,
) -> Result<Vec<TileMatrix>, TileMatrixSetError> {
    // Levels with numbers for names keep them; otherwise the coarsest is zoom 0.
    let numbered: Option<Vec<u8>> = documents.iter().map(|m| m.id.parse().ok()).collect();
    let mut documents = documents;
    if numbered.is_none() {
        documents.sort_by(|a, b| b.cell_size.total_cmp(&a.cell_size));
    }
    let mut levels = documents
        .into_iter()
        .enumerate()
        .map(|(i, m)| {
            let zoom = numbered.as_ref().map_or(i as u8, |zooms| zooms[i]);
            matrix(m, zoom, north_first)
        })
        .collect::<Result<Vec<_>, _>>()?;
    levels.sort_by_key(|level| level.zoom);
    for pair in levels.windows(2) {
        if pair[0].zoom == pair[1].zoom {
            return Err(TileMatrixSetError::RepeatedZoom { zoom: pair[0].zoom });
        }
        if pair[1].cell_size >= pair[0].cell_size {
            return Err(TileMatrixSetError::Level {
                level: pair[1].id.clone(),
                field: "cellSize",
                found: pair[1].cell_size.to_string(),
                expected: "less than that of the level before",
            });
        }
    }
    Ok(levels)
}

fn matrix(m: Matrix, zoom: u8, north_first: bool) -> Result<TileMatrix, TileMatrixSetError> {
    let level: String = m.id.chars().take(MAX_ID_CHARS).collect();
    let refuse = |field, found: String, expected| TileMatrixSetError::Level {
        level: level.clone(),
        field,
        found,
        expected,
    };
    for (field, value) in [
        ("cellSize", m.cell_size),
        ("scaleDenominator", m.scale_denominator),
    ] {
        if !(value.is_finite() && value > 0.0) {
            return Err(refuse(field, value.to_string(), "a number above 0"));
        }
    }
    if !m.point_of_origin.iter().all(|c| c.is_finite()) {
        return Err(refuse(
            "pointOfOrigin",
            format!("{:?}", m.point_of_origin),
            "two finite numbers",
        ));
    }
    if let Some(corner) = m.corner_of_origin.filter(|corner| corner != "topLeft") {
        return Err(refuse("cornerOfOrigin", corner, "topLeft"));
    }
    if m.variable_matrix_widths
        .is_some_and(|rows| !rows.is_empty())
    {
        return Err(refuse(
            "variableMatrixWidths",
            "given".into(),
            "none: all rows have the same number of tiles",
        ));
    }
    for (field, value) in [("tileWidth", m.tile_width), ("tileHeight", m.tile_height)] {
        if !(1..=MAX_TILE_PX).contains(&value) {
            return Err(refuse(field, value.to_string(), "1 to 8192 pixels"));
        }
    }
    if m.tile_width != m.tile_height {
        return Err(refuse(
            "tileHeight",
            m.tile_height.to_string(),
            "the same as tileWidth: tiles are square",
        ));
    }
    let tiles = [
        ("matrixWidth", m.matrix_width),
        ("matrixHeight", m.matrix_height),
    ];
    for (field, value) in tiles {
        if !(1..=u64::from(u32::MAX)).contains(&value) {
            return Err(refuse(field, value.to_string(), "1 to 4294967295 tiles"));
        }
    }
    let [first, second] = m.point_of_origin;
    Ok(TileMatrix {
        id: m.id,
        zoom,
        cell_size: m.cell_size,
        scale_denominator: m.scale_denominator,
        origin: if north_first {
            [second, first]
        } else {
            [first, second]
        },
        tile_size_px: [m.tile_width as u32, m.tile_height as u32],
        tiles: [m.matrix_width as u32, m.matrix_height as u32],
    })
}

/// The OGC name of the grid's plane with the grid's axis order.
pub fn crs_uri(grid: &TileGrid) -> String {
    match (grid.epsg, grid.north_first) {
        (4326, false) => CRS84_URI.to_string(),
        (epsg, _) => format!("{EPSG_URI}{epsg}"),
    }
}

/// Writes the document.
pub fn write(grid: &TileGrid) -> Value {
    let axes = match (authority_says_north_first(grid.epsg), grid.north_first) {
        (true, true) => json!(["Lat", "Lon"]),
        (true, false) => json!(["Lon", "Lat"]),
        (false, true) => json!(["N", "E"]),
        (false, false) => json!(["E", "N"]),
    };
    let in_order = |[east, north]: [f64; 2]| {
        if grid.north_first {
            [north, east]
        } else {
            [east, north]
        }
    };
    let levels: Vec<Value> = grid
        .matrices
        .iter()
        .map(|level| {
            json!({
                "id": level.id,
                "scaleDenominator": level.scale_denominator,
                "cellSize": level.cell_size,
                "cornerOfOrigin": "topLeft",
                "pointOfOrigin": in_order(level.origin),
                "tileWidth": level.tile_size_px[0],
                "tileHeight": level.tile_size_px[1],
                "matrixWidth": level.tiles[0],
                "matrixHeight": level.tiles[1],
            })
        })
        .collect();
    json!({
        "id": grid.id,
        "title": grid.title,
        "crs": crs_uri(grid),
        "orderedAxes": axes,
        "tileMatrices": levels,
    })
}
