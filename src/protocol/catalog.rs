//! What is in the workspace, for the portal: groups of the base database and their layers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{encode, tilejson};
use crate::geom::GeometryType;
use crate::model::{LayerGeometry, TileGrid};
use crate::store::Snapshot;

/// The five groups (2010 guidance, article 4), in the order in which they are shown.
const GROUPS: [(&str, &str, &str); 5] = [
    ("basic", "基础地理", "Basic geography"),
    ("imagery", "遥感影像", "Imagery"),
    ("landuse", "土地利用现状", "Land use"),
    (
        "mineral",
        "矿产勘查和开发",
        "Mineral exploration and exploitation",
    ),
    ("planning", "国土资源规划", "Planning"),
];

/// The document of `/layers.json`.
pub fn document(
    snapshots: &[Arc<Snapshot>],
    grid: &TileGrid,
    workspace: &str,
    version: u64,
) -> Value {
    let groups: Vec<Value> = GROUPS
        .iter()
        .map(|(id, title, title_en)| json!({ "id": id, "title": title, "title_en": title_en }))
        .collect();
    let layers: Vec<Value> = snapshots.iter().map(|s| layer(s, grid)).collect();
    json!({
        "workspace": workspace,
        "version": version.to_string(),
        "groups": groups,
        "layers": layers,
    })
}

fn layer(snapshot: &Snapshot, grid: &TileGrid) -> Value {
    let manifest = &snapshot.manifest;
    let (minzoom, maxzoom) = tilejson::zooms(snapshot, grid);
    let (geometry, fields, features) = match &manifest.content {
        LayerGeometry::Vector(info) => (
            geometry_word(info.geometry_type),
            json!(info.schema.fields),
            json!(info.features),
        ),
        LayerGeometry::Raster(_) => ("raster", json!([]), Value::Null),
        LayerGeometry::Tiles(info) if info.tiles.is_image() => ("raster", json!([]), Value::Null),
        // Nobody knows what is in all tiles; the style takes every kind of geometry.
        LayerGeometry::Tiles(_) => ("mixed", json!([]), Value::Null),
    };
    let name = encode(snapshot.name());
    json!({
        "name": snapshot.name(),
        "title": manifest.title,
        "title_en": Value::Null,
        "kind": manifest.kind.word(),
        "group": manifest.kind.group(),
        "geometry": geometry,
        "fields": fields,
        "features": features,
        "bounds": (!manifest.bounds_lonlat.is_empty()).then(|| manifest.bounds_lonlat.to_array()),
        "minzoom": minzoom,
        "maxzoom": maxzoom,
        "natural_zoom": snapshot.vector().map(|(_, info)| info.natural_zoom),
        "generation": snapshot.generation,
        "tilejson": format!("/tiles/{name}.json"),
        "style": format!("/styles/{name}.json"),
        "attribution": manifest.attribution,
        "crs": manifest.crs.label(),
    })
}

fn geometry_word(geometry_type: Option<GeometryType>) -> &'static str {
    match geometry_type.map(GeometryType::dimension) {
        Some(0) => "point",
        Some(1) => "line",
        Some(_) => "polygon",
        None => "mixed",
    }
}
