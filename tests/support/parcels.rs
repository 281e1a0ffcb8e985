//! A workspace of parcels near 104° E, 30.2° N, and what is needed to look at their tiles.

use std::collections::BTreeSet;
use std::path::Path;

use onemap::model::{Feature, FieldType, LayerKind, Schema, Value};
use onemap::store::Store;
use tempfile::TempDir;

use super::{crs, feature, field, square, text_field};

/// Side of the parcels, degrees.
pub const SIDE: f64 = 0.001;
/// A tile of Web Mercator that all parcels touch.
pub const TILE: &str = "12/3231/1687";

pub fn schema() -> Schema {
    Schema {
        fields: vec![
            text_field("DLBM"),
            text_field("DLMC"),
            field("NO", FieldType::Integer),
        ],
    }
}

/// `n × n` parcels near 104° E, 30.2° N.
pub fn parcels(n: i64, class: &str) -> Vec<Feature> {
    (0..n * n)
        .map(|i| {
            let (x, y) = (104.0 + (i % n) as f64 * SIDE, 30.2 + (i / n) as f64 * SIDE);
            let values = vec![
                Value::Text(class.into()),
                Value::Text("水田".into()),
                Value::Integer(i),
            ];
            feature(i, square(x, y, SIDE), values)
        })
        .collect()
}

pub fn import(workspace: &Path, name: &str, features: Vec<Feature>) {
    let store = Store::open_or_create(workspace).unwrap();
    super::import(
        &store,
        name,
        crs(4490, true),
        schema(),
        features,
        |options| {
            options.kind = LayerKind::LandUse;
            options.id_field = Some("NO".into());
        },
    );
}

pub fn workspace() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    import(dir.path(), "dltb", parcels(20, "0101"));
    dir
}

/// Where the parcels are, so that the constant above is not a matter of faith.
pub fn tile_of(lon: f64, lat: f64, zoom: u32) -> String {
    let n = f64::from(1u32 << zoom);
    let x = (lon + 180.0) / 360.0 * n;
    let y = (1.0 - lat.to_radians().tan().asinh() / std::f64::consts::PI) / 2.0 * n;
    format!("{zoom}/{}/{}", x as u32, y as u32)
}

pub fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// Names of the layers of a vector tile: field 3 of the tile, field 1 of the layer.
pub fn layer_names(tile: &[u8]) -> BTreeSet<String> {
    fn varint(bytes: &[u8], at: &mut usize) -> usize {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[*at];
            *at += 1;
            value |= usize::from(byte & 127) << shift;
            if byte < 128 {
                break;
            }
        }
        value
    }
    let (mut names, mut at) = (BTreeSet::new(), 0);
    while at < tile.len() {
        assert_eq!(varint(tile, &mut at), 3 << 3 | 2, "a layer");
        let end = varint(tile, &mut at) + at;
        while at < end {
            let key = varint(tile, &mut at);
            match key & 7 {
                0 => {
                    varint(tile, &mut at);
                }
                _ => {
                    let len = varint(tile, &mut at);
                    if key >> 3 == 1 {
                        names.insert(String::from_utf8(tile[at..at + len].to_vec()).unwrap());
                    }
                    at += len;
                }
            }
        }
    }
    names
}
