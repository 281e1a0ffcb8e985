//! TileJSON 3.0 for one layer or several in one tile.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Problem, encode};
use crate::analysis::{AnalysisError, tile as overlaid};
use crate::geom::Bbox;
use crate::model::{COUNT_FIELD, Field, FieldType, LayerGeometry, TileGrid};
use crate::store::Snapshot;
use crate::tile::LABEL_SUFFIX;

/// Deepest zoom offered for features; clients overzoom from there (0.6 m per unit of the grid).
const VECTOR_MAXZOOM: u8 = 16;
/// Where a client that has no better idea starts to look.
const START_ZOOM: u8 = 10;
/// The grid whose tiles have the short addresses.
pub const PLAIN_GRID: &str = "WebMercatorQuad";

/// Lowest and highest zoom of a layer in a grid.
pub fn zooms(snapshot: &Snapshot, grid: &TileGrid) -> (u8, u8) {
    let (min, max) = match &snapshot.manifest.content {
        LayerGeometry::Vector(_) => (0, VECTOR_MAXZOOM),
        LayerGeometry::Raster(info) => (info.minzoom, info.maxzoom),
        LayerGeometry::Tiles(info) => (info.minzoom, info.maxzoom),
    };
    let lowest = grid.lowest_zoom();
    (min.max(lowest), max.clamp(lowest, grid.highest_zoom()))
}

/// The document. `base` is the server's address as the client knows it, without a final slash.
pub fn document(snapshots: &[Arc<Snapshot>], grid: &TileGrid, base: &str) -> Value {
    let names: Vec<&str> = snapshots.iter().map(|s| s.name()).collect();
    let titles: Vec<&str> = snapshots
        .iter()
        .map(|s| s.manifest.title.as_str())
        .collect();
    let raster = snapshots.iter().any(|s| s.shows_images());
    let made = snapshots.first().and_then(|s| s.tiles());
    let extension = match made {
        Some(info) => info.tiles.extension(),
        None if raster => "png",
        None => "mvt",
    };
    let grid_part = if grid.id == PLAIN_GRID {
        String::new()
    } else {
        format!("/{}", encode(&grid.id))
    };
    let list: Vec<String> = names.iter().map(|name| encode(name)).collect();
    let url = format!(
        "{base}/tiles/{}{grid_part}/{{z}}/{{x}}/{{y}}.{extension}?v={}",
        list.join(","),
        version(snapshots)
    );
    let bounds = bounds(snapshots);
    let (minzoom, maxzoom) = snapshots
        .iter()
        .map(|s| zooms(s, grid))
        .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
        .unwrap_or((0, 0));
    let [x, y] = bounds.center();
    let mut out = Map::new();
    out.insert("tilejson".into(), json!("3.0.0"));
    out.insert("name".into(), json!(names.join(",")));
    out.insert("description".into(), json!(titles.join(", ")));
    out.insert("version".into(), json!("1.0.0"));
    let attributions: Vec<&str> = snapshots
        .iter()
        .filter_map(|s| s.manifest.attribution.as_deref())
        .collect();
    if !attributions.is_empty() {
        out.insert("attribution".into(), json!(attributions.join("; ")));
    }
    out.insert("tiles".into(), json!([url]));
    out.insert("scheme".into(), json!("xyz"));
    out.insert("minzoom".into(), json!(minzoom));
    out.insert("maxzoom".into(), json!(maxzoom));
    out.insert("bounds".into(), json!(bounds.to_array()));
    out.insert(
        "center".into(),
        json!([x, y, minzoom.max(maxzoom.min(START_ZOOM))]),
    );
    if grid.id != PLAIN_GRID {
        // TileJSON itself knows only Web Mercator; a client that asked for a grid reads this.
        out.insert(
            "grid".into(),
            json!(format!("{base}/grids/{}.json", encode(&grid.id))),
        );
    }
    if raster {
        out.insert("tileSize".into(), json!(256));
    }
    // Required by the schema; images have none.
    let layers: Vec<Value> = snapshots
        .iter()
        .flat_map(|s| vector_layers(s, minzoom, maxzoom))
        .collect();
    out.insert("vector_layers".into(), json!(layers));
    Value::Object(out)
}

/// The document of the pieces inside of all layers, from the zoom on at which tiles of them can
/// be had.
///
/// # Errors
/// Layers that cannot be overlaid.
pub fn overlay_document(
    snapshots: &[Arc<Snapshot>],
    grid: &TileGrid,
    base: &str,
) -> Result<Value, Problem> {
    let mut layer_fields = Map::new();
    for snapshot in snapshots {
        let Some((_, info)) = snapshot.vector() else {
            let layer = snapshot.name().to_string();
            return Err(AnalysisError::NotVector { layer }.into());
        };
        let types = info.schema.fields.iter().map(|f| type_word(f.field_type));
        let types = std::iter::once(Some("String")).chain(types);
        for (key, word) in overlaid::keys_of(snapshot.name(), info).zip(types) {
            if let Some(word) = word {
                layer_fields.insert(key, json!(word));
            }
        }
    }
    let mut out = document(snapshots, grid, base);
    let names: Vec<&str> = snapshots.iter().map(|s| s.name()).collect();
    let lowest = overlaid::lowest_zoom(snapshots, grid)?;
    let minzoom = lowest.min(VECTOR_MAXZOOM).max(grid.lowest_zoom());
    let listed: Vec<String> = names.iter().map(|name| encode(name)).collect();
    let (plain, overlay) = (listed.join(","), format!("overlay({})", listed.join(",")));
    if let Some(Value::String(url)) = out.pointer_mut("/tiles/0") {
        *url = url.replacen(
            &format!("/tiles/{plain}/"),
            &format!("/tiles/{overlay}/"),
            1,
        );
    }
    let maxzoom = out["maxzoom"].clone();
    if let Value::Object(members) = &mut out {
        members.insert(
            "name".into(),
            json!(format!("overlay({})", names.join(","))),
        );
        members.insert("minzoom".into(), json!(minzoom));
        if let Some(Value::Array(center)) = members.get_mut("center")
            && let Some(zoom) = center.get_mut(2)
        {
            *zoom = json!(minzoom.max(START_ZOOM));
        }
        let layer = json!({
            "id": overlaid::LAYER_NAME,
            "fields": layer_fields,
            "minzoom": minzoom,
            "maxzoom": maxzoom,
        });
        members.insert("vector_layers".into(), json!([layer]));
    }
    Ok(out)
}

/// The box of all layers, within what Web Mercator can show; the world when they are empty.
fn bounds(snapshots: &[Arc<Snapshot>]) -> Bbox {
    /// Latitude of the edge of the Web Mercator square.
    const EDGE: f64 = 85.051_129;
    let all = snapshots
        .iter()
        .fold(Bbox::EMPTY, |all, s| all.union(&s.manifest.bounds_lonlat));
    if all.is_empty() {
        return Bbox::new(-180.0, -EDGE, 180.0, EDGE);
    }
    Bbox::new(
        all.min_x.clamp(-180.0, 180.0),
        all.min_y.clamp(-EDGE, EDGE),
        all.max_x.clamp(-180.0, 180.0),
        all.max_y.clamp(-EDGE, EDGE),
    )
}

/// A text that changes when any of the layers does, or the program that makes the tiles.
pub fn version(snapshots: &[Arc<Snapshot>]) -> String {
    let generations: Vec<&str> = snapshots.iter().map(|s| s.generation.as_str()).collect();
    format!("{}-{}", env!("CARGO_PKG_VERSION"), generations.join("."))
}

fn vector_layers(snapshot: &Snapshot, minzoom: u8, maxzoom: u8) -> Vec<Value> {
    if let Some(info) = snapshot.tiles() {
        return info
            .vector_layers
            .iter()
            .map(|layer| json!(layer))
            .collect();
    }
    let Some((data, info)) = snapshot.vector() else {
        return Vec::new();
    };
    let typed = |field: &Field| Some((field.name.clone(), json!(type_word(field.field_type)?)));
    let fields: Map<String, Value> = info.schema.fields.iter().filter_map(typed).collect();
    // Features that stand for several have more, their labels would not: they have none.
    let mut all_fields = fields.clone();
    if let Some(pyramid) = &data.pyramid {
        all_fields.insert(COUNT_FIELD.into(), json!("Number"));
        let results = pyramid.aggregates.fields();
        all_fields.extend(results.filter_map(|(_, field)| typed(field)));
    }
    all_fields.extend(data.levels.schema.fields.iter().filter_map(typed));
    let layer = |id: String, fields: &Map<String, Value>| json!({ "id": id, "fields": fields, "minzoom": minzoom, "maxzoom": maxzoom });
    let name = snapshot.name();
    let mut layers = vec![layer(name.to_string(), &all_fields)];
    if info.geometry_type.is_none_or(|t| t.dimension() > 0) {
        layers.push(layer(format!("{name}{LABEL_SUFFIX}"), &fields));
    }
    layers
}

/// What TileJSON calls values of a type; none for what tiles do not carry.
fn type_word(field_type: FieldType) -> Option<&'static str> {
    match field_type {
        FieldType::Integer | FieldType::Real => Some("Number"),
        FieldType::Boolean => Some("Boolean"),
        FieldType::String | FieldType::Date | FieldType::DateTime | FieldType::Json => {
            Some("String")
        }
        FieldType::Binary => None,
    }
}
