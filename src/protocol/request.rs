//! From an address to what is asked for. Everything a client writes is looked at here, once.

use super::Problem;
use super::address::{self, Query};
use super::xyz::{self, TileRequest};
use crate::model::LayerName;

/// Results of one search.
const MAX_SEARCH_RESULTS: usize = 200;
const DEFAULT_SEARCH_RESULTS: usize = 20;
/// Characters of a search text.
const MAX_SEARCH_CHARS: usize = 200;

/// Everything that can be asked for with GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Tile(TileRequest),
    TileJson {
        layers: Vec<LayerName>,
        /// The pieces inside of all layers.
        overlay: bool,
        /// `None` for Web Mercator.
        grid: Option<String>,
    },
    Layers,
    Feature {
        layer: LayerName,
        id: u64,
    },
    Search {
        layer: LayerName,
        text: String,
        field: Option<String>,
        limit: usize,
    },
    Style {
        layer: LayerName,
    },
    /// A file of the styles' sprite.
    Sprite {
        file: String,
    },
    Grids,
    Grid {
        id: String,
    },
    Live,
    Ready,
    Metrics,
    /// A file of the portal, `index.html` for the root.
    Portal {
        path: String,
    },
}

/// Reads a path (still percent-encoded) and a query string.
pub fn parse(path: &str, query: Option<&str>) -> Result<Request, Problem> {
    let segments = address::segments(path)?;
    let query = Query::read(query)?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let request = match segments.as_slice() {
        ["tiles", file] => {
            let names = file.strip_suffix(".json");
            let names = names.ok_or_else(Problem::no_such_path)?;
            let (layers, overlay) = xyz::layers_or_overlay(names)?;
            Request::TileJson {
                layers,
                overlay,
                grid: query.get("grid").map(str::to_string),
            }
        }
        ["tiles", layers, z, x, file] => {
            Request::Tile(xyz::tile(layers, None, [z, x, file], &query)?)
        }
        ["tiles", layers, grid, z, x, file] => {
            Request::Tile(xyz::tile(layers, Some(grid), [z, x, file], &query)?)
        }
        ["tiles", ..] => return Err(Problem::no_such_path()),
        ["layers.json"] => Request::Layers,
        ["layers", layer, "features", id] => Request::Feature {
            layer: xyz::layer_name(layer)?,
            id: feature_id(layer, id)?,
        },
        ["layers", layer, "search"] => search(layer, &query)?,
        ["styles", file] if file.ends_with(".json") => Request::Style {
            layer: xyz::layer_name(file.trim_end_matches(".json"))?,
        },
        ["sprites", file] => Request::Sprite {
            file: (*file).to_string(),
        },
        ["grids"] => Request::Grids,
        ["grids", file] if file.ends_with(".json") => Request::Grid {
            id: file.trim_end_matches(".json").to_string(),
        },
        ["health", "live"] => Request::Live,
        ["health", "ready"] => Request::Ready,
        ["metrics"] => Request::Metrics,
        [""] => Request::Portal {
            path: "index.html".into(),
        },
        _ => Request::Portal {
            path: segments.join("/"),
        },
    };
    Ok(request)
}

/// An id that is no number names no feature.
fn feature_id(layer: &str, id: &str) -> Result<u64, Problem> {
    xyz::number("the id of a feature", id).map_err(|_| {
        Problem::bad_parameter(format!(
            "the id of a feature of layer {layer:?} is a whole number, not {:?}",
            address::excerpt(id)
        ))
    })
}

fn search(layer: &str, query: &Query) -> Result<Request, Problem> {
    let text = query.get("q").unwrap_or_default().trim();
    if text.is_empty() || text.chars().count() > MAX_SEARCH_CHARS {
        return Err(Problem::bad_parameter(format!(
            "q is the text to look for, 1 to {MAX_SEARCH_CHARS} characters (q 为要查找的文字)"
        )));
    }
    let limit = match query.get("limit") {
        None => DEFAULT_SEARCH_RESULTS,
        Some(limit) => limit
            .parse::<usize>()
            .ok()
            .filter(|limit| (1..=MAX_SEARCH_RESULTS).contains(limit))
            .ok_or_else(|| {
                Problem::bad_parameter(format!(
                    "limit is {:?}, expected 1 to {MAX_SEARCH_RESULTS}",
                    address::excerpt(limit)
                ))
            })?,
    };
    Ok(Request::Search {
        layer: xyz::layer_name(layer)?,
        text: text.to_string(),
        field: query
            .get("field")
            .filter(|f| !f.is_empty())
            .map(str::to_string),
        limit,
    })
}
