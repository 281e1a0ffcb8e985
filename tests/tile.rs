//! Vector tiles: valid, complete, and of one mind with their neighbours.

mod support;

use std::sync::Arc;

use geozero::mvt::{Message, Tile};
use onemap::geom::{Bbox, Geometry};
use onemap::model::{Schema, TileCoord, TileGrid, TileMatrix, Value, WEB_MERCATOR_HALF_M};
use onemap::query::Budget;
use onemap::store::{Snapshot, Store};
use onemap::tile::{OMITTED_LAYER, Options, TileLayer, VectorTile, vector_tile};
use support::{crs, feature, import, square, text_field};

fn mercator() -> TileGrid {
    let matrix = |zoom: u8| TileMatrix {
        id: zoom.to_string(),
        zoom,
        cell_size: WEB_MERCATOR_HALF_M * 2.0 / 256.0 / f64::from(1u32 << zoom),
        scale_denominator: 0.0,
        origin: [-WEB_MERCATOR_HALF_M, WEB_MERCATOR_HALF_M],
        tile_size_px: [256, 256],
        tiles: [1 << zoom, 1 << zoom],
    };
    TileGrid {
        id: "WebMercatorQuad".into(),
        title: String::new(),
        epsg: 3857,
        north_first: false,
        matrices: (0..=22).map(matrix).collect(),
    }
}

fn cut(snapshot: &Arc<Snapshot>, z: u8, x: u32, y: u32, options: &Options) -> (VectorTile, Tile) {
    let layer = TileLayer {
        snapshot: snapshot.clone(),
        fields: None,
    };
    let coord = TileCoord { z, x, y };
    let tile = vector_tile(&[layer], &mercator(), coord, options, &Budget::unlimited()).unwrap();
    let decoded = Tile::decode(tile.bytes.as_slice()).unwrap();
    (tile, decoded)
}

fn quad(n: i64) -> Vec<onemap::model::Feature> {
    (0..n * n)
        .map(|i| {
            let (x, y) = ((i % n) as f64, (i / n) as f64);
            feature(
                i,
                square(102.0 + x * 0.01, 30.0 + y * 0.01, 0.01),
                vec![
                    Value::Text(format!("地类{}", i % 5)),
                    Value::Integer(i - 50),
                ],
            )
        })
        .collect()
}

fn schema() -> Schema {
    Schema {
        fields: vec![
            text_field("DLMC"),
            support::field("NO", onemap::model::FieldType::Integer),
        ],
    }
}

#[test]
fn a_tile_carries_ids_attributes_and_one_label_per_feature() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let snapshot = import(&store, "dltb", crs(4490, true), schema(), quad(10), |_| {}).snapshot;
    // All labels over the four tiles of zoom 11 around the block, each exactly once.
    let mut labels = 0;
    let mut ids = std::collections::BTreeSet::new();
    for x in 1603..=1606 {
        for y in 840..=848 {
            let (_, tile) = cut(&snapshot, 11, x, y, &Options::default());
            for layer in &tile.layers {
                assert_eq!((layer.version, layer.extent), (2, Some(4096)));
                if layer.name == "dltb_label" {
                    labels += layer.features.len();
                } else {
                    assert_eq!(layer.name, "dltb");
                    ids.extend(layer.features.iter().map(|f| f.id()));
                    assert_eq!(layer.keys, ["DLMC", "NO"]);
                }
            }
        }
    }
    assert_eq!(ids.len(), 100);
    assert_eq!(labels, 100);
}

#[test]
fn fields_are_carried_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let snapshot = import(&store, "dltb", crs(4490, true), schema(), quad(10), |_| {}).snapshot;
    let layer = TileLayer {
        snapshot: snapshot.clone(),
        fields: Some(vec!["NO".into()]),
    };
    let coord = TileCoord {
        z: 9,
        x: 401,
        y: 211,
    };
    let tile = vector_tile(
        &[layer],
        &mercator(),
        coord,
        &Options::default(),
        &Budget::unlimited(),
    )
    .unwrap();
    let tile = Tile::decode(tile.bytes.as_slice()).unwrap();
    assert_eq!(tile.layers[0].keys, ["NO"]);
}

#[test]
fn what_does_not_fit_is_counted_in_the_tile() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let snapshot = import(&store, "dltb", crs(4490, true), schema(), quad(10), |_| {}).snapshot;
    for options in [
        Options {
            max_vertices: 200,
            ..Options::default()
        },
        Options {
            max_layer_bytes: 2000,
            ..Options::default()
        },
    ] {
        let (tile, decoded) = cut(&snapshot, 9, 401, 211, &options);
        let shown = decoded
            .layers
            .iter()
            .find(|l| l.name == "dltb")
            .map_or(0, |l| l.features.len());
        assert!(shown > 0 && tile.omitted > 0);
        assert_eq!(shown as u64 + tile.omitted, 100);
        let omitted = decoded
            .layers
            .iter()
            .find(|l| l.name == OMITTED_LAYER)
            .unwrap();
        assert_eq!(omitted.values[1].uint_value, Some(tile.omitted));
    }
}

/// Rings of the polygon features of a layer, as absolute tile coordinates.
fn rings(tile: &Tile, name: &str) -> Vec<Vec<Vec<[i64; 2]>>> {
    let Some(layer) = tile.layers.iter().find(|l| l.name == name) else {
        return Vec::new();
    };
    layer
        .features
        .iter()
        .map(|f| decode_rings(&f.geometry))
        .collect()
}

fn decode_rings(commands: &[u32]) -> Vec<Vec<[i64; 2]>> {
    let (mut rings, mut at, mut cursor) = (Vec::new(), 0, [0i64, 0]);
    let mut ring: Vec<[i64; 2]> = Vec::new();
    while at < commands.len() {
        let (command, count) = (commands[at] & 7, commands[at] >> 3);
        at += 1;
        if command == 7 {
            rings.push(std::mem::take(&mut ring));
            continue;
        }
        for _ in 0..count {
            for axis in &mut cursor {
                let value = commands[at];
                *axis += i64::from((value >> 1) as i32 ^ -((value & 1) as i32));
                at += 1;
            }
            ring.push(cursor);
        }
    }
    rings
}

fn doubled_area(ring: &[[i64; 2]]) -> i64 {
    (0..ring.len())
        .map(|i| {
            let (a, b) = (ring[i], ring[(i + 1) % ring.len()]);
            a[0] * b[1] - b[0] * a[1]
        })
        .sum()
}

#[test]
fn shells_wind_positive_and_a_coverage_fills_the_tile_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    // A block much larger than the tile.
    let snapshot = import(&store, "dltb", crs(4490, true), schema(), quad(60), |_| {}).snapshot;
    let options = Options::default();
    let (tile, decoded) = cut(&snapshot, 12, 3210, 1686, &options);
    assert_eq!(tile.omitted, 0);
    let all = rings(&decoded, "dltb");
    let area: i64 = all.iter().flatten().map(|ring| doubled_area(ring)).sum();
    assert!(all.iter().all(|polygon| doubled_area(&polygon[0]) > 0));
    let side = 4096 + 2 * i64::from(options.buffer);
    assert_eq!(area, 2 * side * side);
}

#[test]
fn a_polygon_with_a_hole_around_the_tile_leaves_nothing_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let ring = |b: Bbox| {
        vec![
            [b.min_x, b.min_y],
            [b.max_x, b.min_y],
            [b.max_x, b.max_y],
            [b.min_x, b.max_y],
            [b.min_x, b.min_y],
        ]
    };
    let (outer, mut hole) = (
        ring(Bbox::new(100., 28., 106., 34.)),
        ring(Bbox::new(101., 29., 105., 33.)),
    );
    hole.reverse();
    let frame = feature(
        1,
        Geometry::polygon(&[&outer, &hole]),
        vec![Value::Null, Value::Null],
    );
    let snapshot = import(
        &store,
        "frame",
        crs(4490, true),
        schema(),
        vec![frame],
        |_| {},
    )
    .snapshot;
    let (tile, _) = cut(&snapshot, 12, 3210, 1689, &Options::default());
    assert!(tile.bytes.is_empty());
}

#[test]
fn gauss_kruger_layers_land_where_their_degrees_do() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    // The same square, once in CGCS2000 3° zone 35 (prefixed), once in degrees.
    let corners = [
        [104.9, 30.9],
        [104.95, 30.9],
        [104.95, 30.95],
        [104.9, 30.95],
        [104.9, 30.9],
    ];
    let to_plane = onemap::crs::Warp::inverse(
        4490,
        &crs(4523, false),
        &Bbox::new(104.5, 30.5, 105.5, 31.5),
    )
    .unwrap();
    let planar: Vec<[f64; 2]> = corners.iter().map(|c| to_plane.point(c[0], c[1])).collect();
    let values = || vec![Value::Null, Value::Null];
    let a = import(
        &store,
        "deg",
        crs(4490, true),
        schema(),
        vec![feature(1, Geometry::polygon(&[&corners]), values())],
        |_| {},
    );
    let b = import(
        &store,
        "gk",
        crs(4523, false),
        schema(),
        vec![feature(1, Geometry::polygon(&[&planar]), values())],
        |_| {},
    );
    let options = Options::default();
    let (_, in_degrees) = cut(&a.snapshot, 11, 1620, 838, &options);
    let (_, in_plane) = cut(&b.snapshot, 11, 1620, 838, &options);
    let (left, right) = (rings(&in_degrees, "deg"), rings(&in_plane, "gk"));
    assert!(!left.is_empty());
    for (p, q) in left
        .iter()
        .flatten()
        .flatten()
        .zip(right.iter().flatten().flatten())
    {
        assert!(
            (p[0] - q[0]).abs() <= 1 && (p[1] - q[1]).abs() <= 1,
            "{p:?} {q:?}"
        );
    }
}
