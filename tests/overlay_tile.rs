//! Pieces as vector tiles: areas of the table, of one mind with their neighbours, limits, HTTP.

#[allow(dead_code, reason = "each test file uses its own part")]
#[path = "support/server.rs"]
mod server;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use geozero::mvt::{Message, Tile};
use onemap::analysis::tile::{LAYER_NAME, TileOptions, lowest_zoom, pieces_tile};
use onemap::analysis::{
    AnalysisError, AreaMode, Clip, Group, Grouping, Operation, Request, Selection, areas_of,
};
use onemap::crs::{Datum, PlaneMap};
use onemap::geom::{Bbox, Geometry};
use onemap::model::grids::web_mercator_quad;
use onemap::model::{Feature, FieldType, Schema, TileCoord, TileGrid, Value};
use onemap::query::Budget;
use onemap::store::{Snapshot, Store};
use server::Server;
use support::{crs, feature, field, import, square, text_field};

const ZOOM: u8 = 14;

struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn schema() -> Schema {
    Schema {
        fields: vec![text_field("DLBM"), field("NO", FieldType::Integer)],
    }
}

fn add(store: &Store, name: &str, shapes: Vec<Geometry>) -> Arc<Snapshot> {
    let features: Vec<Feature> = shapes
        .into_iter()
        .enumerate()
        .map(|(i, shape)| {
            let class = Value::Text(format!("{:02}", i % 5));
            feature(i as i64, shape, vec![class, Value::Integer(i as i64)])
        })
        .collect();
    let system = crs(4490, true);
    import(store, name, system, schema(), features, |options| {
        options.id_field = Some("NO".into());
    })
    .snapshot
}

/// Parcels of some 200 m with jittered corners, and stars that lie on each other.
fn layers(store: &Store) -> [Arc<Snapshot>; 2] {
    let mut random = Random(0x0071_1e5e);
    const N: usize = 24;
    const SIDE: f64 = 0.002;
    let nodes: Vec<[f64; 2]> = (0..(N + 1) * (N + 1))
        .map(|i| {
            let mut jitter = || (random.unit() - 0.5) * 0.5 * SIDE;
            let (x, y) = ((i % (N + 1)) as f64 * SIDE, (i / (N + 1)) as f64 * SIDE);
            [104.0 + x + jitter(), 30.2 + y + jitter()]
        })
        .collect();
    let parcels = (0..N * N)
        .map(|cell| {
            let at = (cell / N) * (N + 1) + cell % N;
            let corners = [at, at + 1, at + N + 2, at + N + 1, at].map(|k| nodes[k]);
            Geometry::polygon(&[&corners])
        })
        .collect();
    let stars = (0..60)
        .map(|_| {
            let center = [104.0 + 0.048 * random.unit(), 30.2 + 0.048 * random.unit()];
            let mut ring: Vec<[f64; 2]> = (0..12)
                .map(|k| {
                    let angle = f64::from(k) / 12.0 * std::f64::consts::TAU;
                    let radius = 0.004 * (0.5 + 0.5 * random.unit());
                    [
                        center[0] + radius * angle.cos(),
                        center[1] + radius * angle.sin(),
                    ]
                })
                .collect();
            ring.push(ring[0]);
            Geometry::polygon(&[&ring])
        })
        .collect();
    [add(store, "dltb", parcels), add(store, "ckq", stars)]
}

type Rings = Vec<Vec<[i64; 2]>>;

/// Rings of the pieces by the ids of both features.
fn pieces(bytes: &[u8]) -> BTreeMap<(String, String), Rings> {
    let tile = Tile::decode(bytes).unwrap();
    let mut found = BTreeMap::new();
    for layer in &tile.layers {
        assert_eq!(layer.name, LAYER_NAME);
        for feature in &layer.features {
            let values: BTreeMap<&str, String> = feature
                .tags
                .chunks(2)
                .map(|pair| {
                    let value = &layer.values[pair[1] as usize];
                    let text = value.string_value.clone();
                    let number = value.uint_value.map(|v| v.to_string());
                    (
                        layer.keys[pair[0] as usize].as_str(),
                        text.or(number).unwrap(),
                    )
                })
                .collect();
            for name in ["dltb", "ckq"] {
                let id = &values[format!("{name}_id").as_str()];
                assert_eq!(&values[format!("{name}_NO").as_str()], id);
                assert!(values.contains_key(format!("{name}_DLBM").as_str()));
            }
            let key = (values["dltb_id"].clone(), values["ckq_id"].clone());
            let before = found.insert(key, rings(&feature.geometry));
            assert!(
                before.is_none(),
                "a pair of features is one feature of the tile"
            );
        }
    }
    found
}

fn rings(commands: &[u32]) -> Rings {
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

fn tile_at(grid: &TileGrid, lon: f64, lat: f64) -> TileCoord {
    let n = f64::from(1u32 << ZOOM);
    let y = (1.0 - lat.to_radians().tan().asinh() / std::f64::consts::PI) / 2.0 * n;
    let x = (lon + 180.0) / 360.0 * n;
    grid.tile(u32::from(ZOOM), x as u64, y as u64).unwrap()
}

/// Longitude and latitude of a place in units of a tile.
fn lonlat(tile: TileCoord, [x, y]: [i64; 2]) -> (f64, f64) {
    let n = f64::from(1u32 << tile.z);
    let at = |tile: u32, v: i64| (f64::from(tile) + v as f64 / 4096.0) / n;
    let mercator = std::f64::consts::PI * (1.0 - 2.0 * at(tile.y, y));
    (
        at(tile.x, x) * 360.0 - 180.0,
        mercator.sinh().atan().to_degrees(),
    )
}

/// Area and perimeter in metres of rings in units of a tile.
fn measured(tile: TileCoord, rings: &Rings) -> (f64, f64) {
    let map = PlaneMap::to_equal_area(&crs(4490, true), Datum::Cgcs2000).unwrap();
    let mut cursor = map.cursor();
    let (mut area, mut perimeter) = (0.0, 0.0);
    for ring in rings {
        let places: Vec<(f64, f64)> = ring
            .iter()
            .map(|&p| {
                let (lon, lat) = lonlat(tile, p);
                let [x, y] = cursor.point(lon, lat).unwrap();
                (x, y)
            })
            .collect();
        let (ox, oy) = places[0];
        for (i, &(x, y)) in places.iter().enumerate() {
            let (nx, ny) = places[(i + 1) % places.len()];
            // Rows count downwards, so shells run clockwise on the ground.
            area -= ((x - ox) * (ny - oy) - (nx - ox) * (y - oy)) / 2.0;
            perimeter += (nx - x).hypot(ny - y);
        }
    }
    (area, perimeter)
}

#[test]
fn areas_are_those_of_the_table_within_the_tiles_box() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let snapshots = layers(&store);
    let grid = web_mercator_quad();
    let unbuffered = TileOptions {
        buffer: 0,
        ..TileOptions::default()
    };
    let budget = Budget::unlimited();
    let mut compared = 0;
    for (lon, lat) in [(104.01, 30.21), (104.03, 30.22), (104.002, 30.243)] {
        let tile = tile_at(&grid, lon, lat);
        let bytes = pieces_tile(&snapshots, &grid, tile, None, &unbuffered, &budget).unwrap();
        let found = pieces(&bytes);
        let ((west, north), (east, south)) = (lonlat(tile, [0, 0]), lonlat(tile, [4096, 4096]));
        let selections = [0, 1].map(|i: usize| Selection {
            snapshot: &snapshots[i],
            grouping: Grouping::Feature,
        });
        let corners = [[west, south], [east, south], [east, north], [west, north]];
        let closed = [corners[0], corners[1], corners[2], corners[3], corners[0]];
        let request = Request {
            selections: &selections,
            conditions: Vec::new(),
            clip: Some(Clip {
                polygons: Geometry::polygon(&[&closed]),
                crs: crs(4490, true),
            }),
            operation: Operation::Intersection,
            mode: AreaMode::Additive,
        };
        let table = areas_of(&request, &budget, &|_| {}).unwrap();
        let name = |group: &Group| match group {
            Group::Value(value) => value.clone(),
            other => panic!("{other:?}"),
        };
        let expected: BTreeMap<(String, String), f64> = table
            .rows
            .iter()
            .map(|row| ((name(&row.groups[0]), name(&row.groups[1])), row.area_m2))
            .collect();
        // A unit of the tile, on the ground.
        let unit_m = 40_075_016.7 / f64::from(1u32 << ZOOM) / 4096.0 * lat.to_radians().cos();
        for (key, rings) in &found {
            let (area, perimeter) = measured(tile, rings);
            let difference = (area - expected.get(key).copied().unwrap_or(0.0)).abs();
            let most = unit_m * (0.75 * perimeter + unit_m);
            assert!(difference < most, "{key:?}: {difference} of {area}, {most}");
            compared += 1;
        }
        for (key, area) in &expected {
            // What is thinner than a unit has no place in the tile.
            assert!(
                found.contains_key(key) || *area < 300.0 * unit_m,
                "{key:?} {area}"
            );
        }
        let sum: f64 = found.values().map(|rings| measured(tile, rings).0).sum();
        let all: f64 = expected.values().sum();
        assert!((sum - all).abs() < 2e-4 * all, "{sum} {all}");
    }
    assert!(compared > 300, "{compared}");
}

#[test]
fn neighbours_have_the_same_vertices_where_both_are_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let snapshots = layers(&store);
    let grid = web_mercator_quad();
    let options = TileOptions::default();
    let budget = Budget::unlimited();
    let cut =
        |tile| pieces(&pieces_tile(&snapshots, &grid, tile, None, &options, &budget).unwrap());
    let left = tile_at(&grid, 104.02, 30.22);
    let mut shared = 0;
    for (dx, dy) in [(1, 0), (0, 1)] {
        let right = TileCoord {
            x: left.x + dx,
            y: left.y + dy,
            ..left
        };
        let (a, b) = (cut(left), cut(right));
        let shift = [4096 * i64::from(dx), 4096 * i64::from(dy)];
        // Of both tiles' drawn squares, what lies inside of either by more than the clipping.
        let common = |p: &[i64; 2]| {
            let q = [p[0] - shift[0], p[1] - shift[1]];
            p.iter().chain(&q).all(|v| (-62..=4096 + 62).contains(v))
        };
        let keys: BTreeSet<_> = a.keys().chain(b.keys()).cloned().collect();
        for key in keys {
            let of_left = a.get(&key).into_iter().flatten().flatten().copied();
            let of_left: BTreeSet<[i64; 2]> = of_left.filter(common).collect();
            let of_right = b.get(&key).into_iter().flatten().flatten();
            let moved = of_right.map(|p| [p[0] + shift[0], p[1] + shift[1]]);
            let of_right: BTreeSet<[i64; 2]> = moved.filter(common).collect();
            assert_eq!(of_left, of_right, "{key:?}");
            shared += of_left.len();
        }
    }
    assert!(shared > 50, "{shared}");
}

#[test]
fn too_much_for_one_tile_is_refused_with_the_zoom_at_which_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let snapshots = layers(&store);
    let grid = web_mercator_quad();
    let budget = Budget::unlimited();
    let small = |max_vertices, max_bytes| TileOptions {
        max_vertices,
        max_bytes,
        ..TileOptions::default()
    };
    let tile = grid.tile(10, 807, 421).unwrap();
    assert!(grid.tile_bbox(tile).unwrap().intersects(&Bbox::new(
        11_577_000.0,
        3_528_000.0,
        11_582_000.0,
        3_534_000.0
    )));
    for (options, expected) in [
        (small(500, u64::MAX), "vertices"),
        (small(u64::MAX, 500), "bytes"),
    ] {
        let refused = pieces_tile(&snapshots, &grid, tile, None, &options, &budget);
        match refused.unwrap_err() {
            AnalysisError::TileTooFull { what, zoom, .. } => {
                assert_eq!(what, expected);
                assert!((11..=16).contains(&zoom), "{zoom}");
            }
            other => panic!("{other}"),
        }
    }
    assert!(lowest_zoom(&snapshots, &grid).unwrap() <= 1);
    let elsewhere = grid.tile(10, 1, 1).unwrap();
    let options = TileOptions::default();
    let none = pieces_tile(&snapshots, &grid, elsewhere, None, &options, &budget).unwrap();
    assert!(none.is_empty());
}

#[test]
fn tiles_of_pieces_are_served_cached_and_follow_both_layers() {
    let dir = tempfile::tempdir().unwrap();
    let root: &Path = dir.path();
    let store = Store::open_or_create(root).unwrap();
    layers(&store);
    let server = Server::start(root, &[]);
    let document = server.get("/tiles/overlay(dltb,ckq).json");
    assert_eq!(document.status, 200, "{}", document.text());
    let document = document.json();
    let url = document["tiles"][0].as_str().unwrap();
    assert!(
        url.contains("/tiles/overlay(dltb,ckq)/{z}/{x}/{y}.mvt?v="),
        "{url}"
    );
    let fields = &document["vector_layers"][0]["fields"];
    assert_eq!(document["vector_layers"][0]["id"], LAYER_NAME);
    assert_eq!(fields["dltb_DLBM"], "String");
    assert_eq!(fields["ckq_NO"], "Number");
    let tile = tile_at(&web_mercator_quad(), 104.02, 30.22);
    let address = format!(
        "/tiles/overlay(dltb,ckq)/{}/{}/{}.mvt",
        tile.z, tile.x, tile.y
    );
    let first = server.get(&address);
    assert_eq!(first.status, 200, "{}", first.text());
    assert!(pieces(&first.body).len() > 50);
    let tag = first.header("etag").unwrap().to_string();
    let again = server.ask("GET", &address, &[("If-None-Match", &tag)]);
    assert_eq!(again.status, 304);
    let some = server.get(&format!("{address}?fields=dltb_DLBM"));
    let decoded = Tile::decode(some.body.as_slice()).unwrap();
    assert_eq!(decoded.layers[0].keys, ["dltb_DLBM"]);
    for (target, status) in [
        ("/tiles/overlay(dltb)/14/1/1.mvt", 400),
        ("/tiles/overlay(dltb,dltb)/14/1/1.mvt", 400),
        ("/tiles/overlay(dltb,nope)/14/1/1.mvt", 404),
        ("/tiles/overlay(dltb,ckq)/14/1/1.png", 404),
        ("/tiles/overlay(dltb,ckq)/14/1/1.mvt?fields=DLBM", 400),
        ("/tiles/overlay(dltb,ckq/14/1/1.mvt", 404),
    ] {
        let reply = server.get(target);
        assert_eq!(reply.status, status, "{target}: {}", reply.text());
    }
    // The second layer becomes another one.
    add(&store, "ckq", vec![square(104.0, 30.2, 0.1)]);
    let changed = server.ask("GET", &address, &[("If-None-Match", &tag)]);
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    server.stop();
}
