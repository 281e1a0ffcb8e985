//! What several test files need: workspaces made from features in memory.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod mangle;
pub mod network;
pub mod parcels;

use onemap::crs::Crs;
use onemap::geom::Geometry;
use onemap::ingest::{self, Input, Options};
use onemap::model::{Feature, Field, FieldType, LayerKind, LayerName, Schema, SourceInfo, Value};
use onemap::store::Store;

pub fn crs(epsg: u32, geographic: bool) -> Crs {
    Crs {
        epsg: Some(epsg),
        name: format!("EPSG:{epsg}"),
        definition: format!("EPSG:{epsg}"),
        geographic,
        metres_per_unit: 1.0,
        area_of_use: None,
    }
}

pub fn text_field(name: &str) -> Field {
    field(name, FieldType::String)
}

pub fn field(name: &str, field_type: FieldType) -> Field {
    Field {
        name: name.to_string(),
        alias: None,
        field_type,
        width: 0,
        precision: 0,
    }
}

pub fn feature(source_id: i64, geometry: Geometry, values: Vec<Value>) -> Feature {
    Feature {
        source_id,
        geometry: Some(geometry),
        values,
    }
}

/// Imports features from memory as a layer.
pub fn import(
    store: &Store,
    name: &str,
    crs: Crs,
    schema: Schema,
    features: Vec<Feature>,
    change: impl FnOnce(&mut Options),
) -> ingest::Outcome {
    let mut options = Options::new(LayerName::new(name).unwrap(), LayerKind::LandUse);
    change(&mut options);
    let mut rest = features.into_iter();
    let input = Input {
        schema,
        crs,
        source: SourceInfo {
            name: "memory".into(),
            layer: None,
            driver: "Memory".into(),
            encoding: None,
            checksum: None,
            bytes: None,
        },
        winding: onemap::source::Winding::Free,
        found: onemap::model::IssueLog::default(),
        expected: None,
        read: Box::new(move |batch, _| {
            batch.extend(rest.by_ref().take(500));
            Ok(!batch.is_empty())
        }),
    };
    ingest::import(store, &options, input, &|_| true).unwrap()
}

/// A closed square ring, counter-clockwise.
pub fn square(x: f64, y: f64, side: f64) -> Geometry {
    Geometry::polygon(&[&[
        [x, y],
        [x + side, y],
        [x + side, y + side],
        [x, y + side],
        [x, y],
    ]])
}
