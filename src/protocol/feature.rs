//! Features and search results as GeoJSON (RFC 7946): longitude and latitude, shells
//! counter-clockwise.

use serde_json::{Map, Value, json};

use super::Problem;
use crate::crs::Warp;
use crate::format::fgb::{FeatureView, ValueRef};
use crate::geom::{Geometry, GeometryType};
use crate::model::{FieldType, Schema};
use crate::query::{Found, Matches};
use crate::store::{Snapshot, StoreError};

/// Digits behind the point: a tenth of a millimetre on the ground.
const DECIMALS: f64 = 1e9;

/// One feature with all its attributes.
pub fn document(snapshot: &Snapshot, found: &Found<'_>) -> Result<Value, Problem> {
    let Some((_, info)) = snapshot.vector() else {
        return Err(Problem::wrong_format("the layer holds no features"));
    };
    let to_lonlat = lonlat(snapshot)?;
    let geometry = found.view.geometry().map(|g| g.to_geometry());
    let bbox = to_lonlat.bbox(&found.record.bbox_in_layer_crs);
    Ok(json!({
        "type": "Feature",
        "id": found.record.id,
        "bbox": bbox.to_array().map(rounded),
        "geometry": geometry.map(|g| geometry_json(&g, &to_lonlat)),
        "properties": properties(&found.view, &info.schema),
    }))
}

/// The results of a search.
pub fn matches(snapshot: &Snapshot, found: &Matches) -> Result<Value, Problem> {
    let Some((data, info)) = snapshot.vector() else {
        return Err(Problem::wrong_format("the layer holds no features"));
    };
    let mut list = Vec::with_capacity(found.matches.len());
    for hit in &found.matches {
        let record = data.index.record(hit.feature);
        let view = data
            .features
            .feature(record.offset)
            .map_err(crate::query::QueryError::from)?;
        list.push(json!({
            "id": hit.id,
            "properties": properties(&view, &info.schema),
            "bbox": hit.bbox_lonlat.to_array().map(rounded),
            "point": hit.point_lonlat.map(rounded),
        }));
    }
    Ok(json!({
        "matches": list,
        "truncated": found.truncated,
        "scanned": found.scanned,
    }))
}

fn lonlat(snapshot: &Snapshot) -> Result<Warp, Problem> {
    let extent = snapshot.extent_in_layer_crs();
    Ok(Warp::new(&snapshot.manifest.crs, 4326, &extent).map_err(StoreError::from)?)
}

fn properties(view: &FeatureView<'_>, schema: &Schema) -> Map<String, Value> {
    let mut out: Map<String, Value> = schema
        .fields
        .iter()
        .map(|f| (f.name.clone(), Value::Null))
        .collect();
    view.for_each_value(schema, |column, value| {
        let field = &schema.fields[column];
        let value = match value {
            ValueRef::Boolean(value) => json!(value),
            ValueRef::Integer(value) => json!(value),
            ValueRef::Real(value) => json!(value),
            ValueRef::Text(text) if field.field_type == FieldType::Json => {
                serde_json::from_str(text).unwrap_or_else(|_| json!(text))
            }
            ValueRef::Text(text) => json!(text),
            ValueRef::Binary(bytes) => json!(format!("({} bytes)", bytes.len())),
        };
        out.insert(field.name.clone(), value);
    });
    out
}

fn geometry_json(geometry: &Geometry, to_lonlat: &Warp) -> Value {
    let position = |p: &[f64]| json!(to_lonlat.point(p[0], p[1]).map(rounded));
    let path = |xy: &[f64]| Value::Array(xy.chunks_exact(2).map(position).collect());
    let polygon = |rings: std::ops::Range<usize>| {
        Value::Array(
            rings
                .clone()
                .map(|i| {
                    let ring = geometry.ring(i);
                    let ccw = crate::geom::signed_area(ring) > 0.0;
                    let mut positions: Vec<Value> = ring.chunks_exact(2).map(position).collect();
                    if ccw != (i == rings.start) {
                        positions.reverse();
                    }
                    Value::Array(positions)
                })
                .collect(),
        )
    };
    let coordinates = match geometry.kind {
        GeometryType::Point => position(&geometry.xy),
        GeometryType::MultiPoint => path(&geometry.xy),
        GeometryType::LineString => path(&geometry.xy),
        GeometryType::MultiLineString => Value::Array(geometry.rings().map(path).collect()),
        GeometryType::Polygon => geometry.polygons().next().map_or(json!([]), polygon),
        GeometryType::MultiPolygon => Value::Array(geometry.polygons().map(polygon).collect()),
    };
    json!({ "type": geometry.kind.name(), "coordinates": coordinates })
}

fn rounded(value: f64) -> f64 {
    (value * DECIMALS).round() / DECIMALS
}
