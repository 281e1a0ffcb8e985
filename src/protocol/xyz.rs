//! Tile addresses: `/tiles/{layers}/{z}/{x}/{y}.{ext}`, with the grid before `z` when it is not
//! Web Mercator. `overlay(A,B)` in place of layers asks for the pieces inside of all of them.

use super::Problem;
use super::address::{Query, excerpt};
use crate::analysis::tile::MAX_TILE_LAYERS;
use crate::model::LayerName;
use crate::render::image::ImageFormat;

/// Layers that may be asked for in one tile.
pub const MAX_LAYERS: usize = 32;
/// Fields that may be named in one request.
const MAX_FIELDS: usize = 256;
/// Characters of the version a client repeats from a TileJSON.
const MAX_VERSION_CHARS: usize = 1024;

/// The number of a tile, unchecked against any grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileAddress {
    /// `None` for the plain Web Mercator addresses.
    pub grid: Option<String>,
    pub z: u32,
    pub x: u64,
    pub y: u64,
}

/// How a tile is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TileFormat {
    Mvt,
    Image(ImageFormat),
}

/// A tile that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileRequest {
    pub layers: Vec<LayerName>,
    /// The pieces inside of all layers, not the layers side by side.
    pub overlay: bool,
    pub address: TileAddress,
    pub format: TileFormat,
    /// Attributes to carry, sorted; `None` for all.
    pub fields: Option<Vec<String>>,
    /// Measure: compute although it is cached.
    pub skip_cache: bool,
    /// The version the client got from the TileJSON.
    pub version: Option<String>,
}

/// Reads the parts of a tile's address; `file` is `{y}.{ext}`.
pub(super) fn tile(
    layers: &str,
    grid: Option<&str>,
    [z, x, file]: [&str; 3],
    query: &Query,
) -> Result<TileRequest, Problem> {
    // The last point, so that a y of 1.5 is a bad number and not a strange format.
    let Some((y, extension)) = file.rsplit_once('.') else {
        number::<u64>("y", file)?;
        return Err(Problem::unknown_format(""));
    };
    let (layers, overlay) = layers_or_overlay(layers)?;
    let address = TileAddress {
        grid: grid.map(str::to_string),
        z: number("z", z)?,
        x: number("x", x)?,
        y: number("y", y)?,
    };
    let format = match (extension, ImageFormat::from_extension(extension)) {
        ("mvt" | "pbf", _) => TileFormat::Mvt,
        (_, Some(format)) => TileFormat::Image(format),
        (_, None) => return Err(Problem::unknown_format(extension)),
    };
    if overlay && format != TileFormat::Mvt {
        return Err(Problem::wrong_format("an overlay is offered as .mvt"));
    }
    if layers.len() > 1 && matches!(format, TileFormat::Image(_)) {
        return Err(Problem::bad_parameter("an image tile shows one layer"));
    }
    Ok(TileRequest {
        layers,
        overlay,
        address,
        format,
        fields: fields(query)?,
        skip_cache: match query.get("cache") {
            None => false,
            Some("skip") => true,
            Some(_) => {
                return Err(Problem::bad_parameter(
                    "cache takes only the value \"skip\"",
                ));
            }
        },
        version: version(query)?,
    })
}

/// Names of layers, and whether they are to be laid over each other.
pub(super) fn layers_or_overlay(names: &str) -> Result<(Vec<LayerName>, bool), Problem> {
    let within = names.strip_prefix("overlay(");
    let Some(within) = within.and_then(|rest| rest.strip_suffix(')')) else {
        return Ok((layer_list(names)?, false));
    };
    let layers = layer_list(within)?;
    if !(2..=MAX_TILE_LAYERS).contains(&layers.len()) {
        return Err(Problem::bad_parameter(format!(
            "{} layers in overlay(…), expected 2 to {MAX_TILE_LAYERS}",
            layers.len()
        )));
    }
    Ok((layers, true))
}

/// Names of layers, separated by commas.
pub(super) fn layer_list(names: &str) -> Result<Vec<LayerName>, Problem> {
    let count = names.split(',').count();
    if count > MAX_LAYERS {
        return Err(Problem::too_many_layers(count, MAX_LAYERS));
    }
    let mut layers: Vec<LayerName> = Vec::with_capacity(count);
    for name in names.split(',') {
        let layer = layer_name(name)?;
        if layers.contains(&layer) {
            return Err(Problem::bad_parameter(format!(
                "layer {name:?} is named twice"
            )));
        }
        layers.push(layer);
    }
    Ok(layers)
}

/// What cannot be a name is an unknown layer; it is never taken to the file system.
pub(super) fn layer_name(name: &str) -> Result<LayerName, Problem> {
    LayerName::new(name).map_err(|_| Problem::unknown_layer(name))
}

fn fields(query: &Query) -> Result<Option<Vec<String>>, Problem> {
    let Some(list) = query.get("fields") else {
        return Ok(None);
    };
    let mut names: Vec<String> = list
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_string)
        .collect();
    if names.len() > MAX_FIELDS {
        return Err(Problem::bad_parameter(format!(
            "{} fields, at most {MAX_FIELDS} are allowed",
            names.len()
        )));
    }
    // One order for one set, so that the cache holds it once.
    names.sort();
    names.dedup();
    Ok(Some(names))
}

fn version(query: &Query) -> Result<Option<String>, Problem> {
    let version = query.get("v").map(str::to_string);
    match version {
        Some(text) if text.len() > MAX_VERSION_CHARS => Err(Problem::bad_parameter(format!(
            "v is longer than {MAX_VERSION_CHARS} characters"
        ))),
        other => Ok(other),
    }
}

/// Only digits: no sign, no point, no exponent.
pub(super) fn number<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, Problem> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| Problem::bad_coordinate(what, &excerpt(text)))
}
