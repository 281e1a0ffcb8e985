//! Tiles of a coverage: nothing open, nothing doubled, nothing lost, at every zoom; and archives
//! that hold the very tiles the server sends.

mod support;

use std::collections::HashMap;
use std::sync::Arc;

use geozero::mvt::{Message, Tile, tile};
use libdeflater::Decompressor;
use onemap::format::mbtiles::MbtilesFile;
use onemap::format::pmtiles::{PmtilesFile, tile_of_id};
use onemap::geom::{Bbox, Geometry};
use onemap::model::grids::{built_in, web_mercator_quad};
use onemap::model::{Feature, FieldType, LayerKind, Schema, TileCoord, TileGrid, Value};
use onemap::query::Budget;
use onemap::store::{Snapshot, Store};
use onemap::tile::archive::{self, About, ArchiveError, ArchiveOptions, Target};
use onemap::tile::{Options, TileLayer, vector_tile};
use support::{crs, feature, import, text_field};

const CELLS: i64 = 60;
const CLASSES: [&str; 7] = ["0101", "0103", "0301", "0404", "0702", "1003", "1104"];

/// A number in 0..1 that depends on its arguments only.
fn noise(a: i64, b: i64, c: i64) -> f64 {
    let mut h = (a.wrapping_mul(0x9E37_79B9)
        ^ b.wrapping_mul(0x85EB_CA6B)
        ^ c.wrapping_mul(0xC2B2_AE35)) as u64;
    h ^= h >> 15;
    h = h.wrapping_mul(0x2545_F491_4F6C_DD1D);
    h ^= h >> 29;
    (h % 100_000) as f64 / 100_000.0
}

/// A wall-to-wall fabric of displaced quadrilaterals with winding borders; one cell has an island.
fn fabric() -> Vec<Feature> {
    let corner = |i: i64, j: i64| {
        let inner = |k: i64| (1..CELLS).contains(&k);
        let shift = |on: bool, axis: i64| {
            if on {
                (noise(i, j, axis) - 0.5) * 0.006
            } else {
                0.0
            }
        };
        [
            104.0 + i as f64 * 0.01 + shift(inner(i), 0),
            30.0 + j as f64 * 0.01 + shift(inner(j), 1),
        ]
    };
    // The border from one corner to the next, the same for both neighbours.
    let border = |a: (i64, i64), b: (i64, i64)| -> Vec<[f64; 2]> {
        let flip = b < a;
        let (low, high) = if flip { (b, a) } else { (a, b) };
        let (p, q) = (corner(low.0, low.1), corner(high.0, high.1));
        let rim = (low.0 == high.0 && (low.0 == 0 || low.0 == CELLS))
            || (low.1 == high.1 && (low.1 == 0 || low.1 == CELLS));
        let mut points: Vec<[f64; 2]> = (0..8)
            .map(|k| {
                let t = f64::from(k) / 8.0;
                let off = if k == 0 || rim {
                    0.0
                } else {
                    (noise(low.0 * 131 + high.0, low.1 * 137 + high.1, i64::from(k)) - 0.5) * 0.0016
                };
                [
                    p[0] + (q[0] - p[0]) * t - (q[1] - p[1]) * off * 100.0 * 0.5,
                    p[1] + (q[1] - p[1]) * t + (q[0] - p[0]) * off * 100.0 * 0.5,
                ]
            })
            .collect();
        points.push(q);
        if flip {
            points.reverse();
        }
        points.pop();
        points
    };
    let mut features = Vec::new();
    for i in 0..CELLS {
        for j in 0..CELLS {
            let around = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)];
            let mut ring: Vec<[f64; 2]> = (0..4)
                .flat_map(|k| border(around[k], around[(k + 1) % 4]))
                .collect();
            ring.push(ring[0]);
            let class = CLASSES[(noise(i / 3, j / 2, 9) * 4.0 + noise(i, j, 10) * 3.0) as usize];
            let values = |class: &str| {
                vec![
                    Value::Text(class.to_string()),
                    Value::Text(format!("{i}-{j}")),
                ]
            };
            let id = features.len() as i64;
            if (i, j) == (20, 20) {
                let [x, y] = [104.205, 30.205];
                let island = [
                    [x, y],
                    [x + 0.001, y],
                    [x + 0.001, y + 0.001],
                    [x, y + 0.001],
                    [x, y],
                ];
                features.push(feature(
                    id,
                    Geometry::polygon(&[&ring, &island]),
                    values(class),
                ));
                features.push(feature(
                    id + 1,
                    Geometry::polygon(&[&island]),
                    values("1104"),
                ));
            } else {
                features.push(feature(id, Geometry::polygon(&[&ring]), values(class)));
            }
        }
    }
    features
}

fn layer(store: &Store, features: Vec<Feature>) -> Arc<Snapshot> {
    layer_in_parts(store, features, u64::MAX)
}

/// Worked on in parts of at most so many vertices.
fn layer_in_parts(store: &Store, features: Vec<Feature>, part_vertices: u64) -> Arc<Snapshot> {
    let schema = Schema {
        fields: vec![text_field("DLBM"), text_field("BSM")],
    };
    import(
        store,
        "dltb",
        crs(4490, true),
        schema,
        features,
        |options| {
            options.kind = LayerKind::LandUse;
            options.part_vertices = part_vertices;
        },
    )
    .snapshot
}

fn workspace() -> (tempfile::TempDir, Store, Arc<Snapshot>) {
    workspace_in_parts(u64::MAX)
}

fn workspace_in_parts(part_vertices: u64) -> (tempfile::TempDir, Store, Arc<Snapshot>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(&dir.path().join("map")).unwrap();
    let snapshot = layer_in_parts(&store, fabric(), part_vertices);
    (dir, store, snapshot)
}

fn cut(snapshot: &Arc<Snapshot>, tile: TileCoord) -> Vec<u8> {
    cut_and_count(snapshot, tile).0
}

/// The tile, and how many features it says are not in it.
fn cut_and_count(snapshot: &Arc<Snapshot>, tile: TileCoord) -> (Vec<u8>, u64) {
    let layer = TileLayer {
        snapshot: snapshot.clone(),
        fields: None,
    };
    let made = vector_tile(
        &[layer],
        &web_mercator_quad(),
        tile,
        &Options::default(),
        &Budget::unlimited(),
    )
    .unwrap();
    (made.bytes, made.omitted)
}

/// Rings of a polygon feature, closed.
fn rings(feature: &tile::Feature) -> Vec<Vec<[i64; 2]>> {
    let (mut rings, mut ring, mut at) = (Vec::new(), Vec::new(), [0i64, 0]);
    let mut words = feature.geometry.iter().copied();
    while let Some(word) = words.next() {
        match word & 7 {
            7 => {
                let first: [i64; 2] = ring[0];
                ring.push(first);
                rings.push(std::mem::take(&mut ring));
            }
            _ => {
                for _ in 0..word >> 3 {
                    for axis in &mut at {
                        let step = words.next().unwrap();
                        *axis += i64::from(step >> 1) ^ -i64::from(step & 1);
                    }
                    ring.push(at);
                }
            }
        }
    }
    rings
}

fn doubled_area(ring: &[[i64; 2]]) -> i64 {
    ring.windows(2)
        .map(|p| p[0][0] * p[1][1] - p[1][0] * p[0][1])
        .sum()
}

struct Face {
    class: String,
    count: i64,
    rings: Vec<Vec<[i64; 2]>>,
}

fn faces(bytes: &[u8]) -> Vec<Face> {
    let tile = Tile::decode(bytes).unwrap();
    let Some(layer) = tile.layers.iter().find(|layer| layer.name == "dltb") else {
        return Vec::new();
    };
    layer
        .features
        .iter()
        .map(|feature| {
            let tags: HashMap<&str, &tile::Value> = feature
                .tags
                .chunks(2)
                .map(|pair| {
                    (
                        layer.keys[pair[0] as usize].as_str(),
                        &layer.values[pair[1] as usize],
                    )
                })
                .collect();
            Face {
                class: tags["DLBM"].string_value.clone().unwrap(),
                count: tags
                    .get("onemap_count")
                    .map_or(1, |v| v.uint_value.unwrap() as i64),
                rings: rings(feature),
            }
        })
        .collect()
}

fn tiles_of(snapshot: &Snapshot, grid: &TileGrid, z: u8) -> Vec<TileCoord> {
    let warp = snapshot.warp(3857).unwrap();
    let bbox = warp.to_grid.bbox(&snapshot.manifest.bbox_in_layer_crs);
    let [x0, y0, x1, y1] = grid.tiles_in_bbox(z, &bbox).unwrap().unwrap();
    (x0..=x1)
        .flat_map(|x| (y0..=y1).map(move |y| TileCoord { z, x, y }))
        .collect()
}

#[test]
fn a_tile_within_the_coverage_is_covered_exactly_once_at_every_zoom() {
    covered_exactly_once(&workspace().2);
}

#[test]
fn so_it_is_where_the_layer_was_worked_on_in_many_parts() {
    for part_vertices in [3_000, 20_000] {
        covered_exactly_once(&workspace_in_parts(part_vertices).2);
    }
}

fn covered_exactly_once(snapshot: &Arc<Snapshot>) {
    let grid = web_mercator_quad();
    let pyramid = snapshot
        .vector()
        .unwrap()
        .0
        .pyramid
        .as_ref()
        .expect("a coverage has a pyramid");
    let highest = pyramid.info.levels.last().unwrap().zoom;
    assert!(pyramid.info.levels.iter().all(|level| level.unclosed == 0));
    let warp = snapshot.warp(3857).unwrap();
    let inner = warp.to_grid.bbox(&snapshot.manifest.bbox_in_layer_crs);
    let mut full = 0;
    for z in 9..=highest {
        let unit = grid.matrix(u32::from(z)).unwrap().cell_size / 16.0;
        for tile in tiles_of(snapshot, &grid, z)
            .into_iter()
            .step_by(if z > 12 { 37 } else { 1 })
        {
            let faces = faces(&cut(snapshot, tile));
            let mut doubled = 0;
            for ring in faces.iter().flat_map(|face| &face.rings) {
                doubled += doubled_area(ring);
                let mut sorted = ring[1..].to_vec();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!(
                    sorted.len(),
                    ring.len() - 1,
                    "{tile:?}: a ring touches itself"
                );
            }
            let box_with_margin = grid
                .tile_bbox(tile)
                .unwrap()
                .expanded(unit * 66.0, unit * 66.0);
            if inner.contains(&box_with_margin) {
                full += 1;
                // Σ of signed areas is the box: no gap that is not an overlap elsewhere …
                assert_eq!(doubled, 2 * 4224 * 4224, "{tile:?}");
                // … and every edge inside is used once in each direction: there is neither.
                let mut edges: HashMap<([i64; 2], [i64; 2]), i64> = HashMap::new();
                for pair in faces
                    .iter()
                    .flat_map(|face| &face.rings)
                    .flat_map(|ring| ring.windows(2))
                {
                    let side = (0..2).any(|k| {
                        pair[0][k] == pair[1][k] && (pair[0][k] == -64 || pair[0][k] == 4160)
                    });
                    if !side {
                        *edges
                            .entry((pair[0].min(pair[1]), pair[0].max(pair[1])))
                            .or_insert(0) += if pair[0] < pair[1] { 1 } else { -1 };
                    }
                }
                assert!(
                    edges.values().all(|&sum| sum == 0),
                    "{tile:?}: a border of one side only"
                );
            }
        }
    }
    assert!(full > 20, "only {full} tiles lie within the coverage");
}

#[test]
fn merged_faces_stand_for_all_features_and_classes_keep_their_area() {
    for part_vertices in [u64::MAX, 5_000] {
        stands_for_all(&workspace_in_parts(part_vertices).2);
    }
}

fn stands_for_all(snapshot: &Arc<Snapshot>) {
    let (data, _) = snapshot.vector().unwrap();
    let info = &data.pyramid.as_ref().unwrap().info;
    assert_eq!(info.class_field.as_deref(), Some("DLBM"));
    let share = |areas: &HashMap<String, f64>, class: &str| {
        areas.get(class).unwrap_or(&0.0) / areas.values().sum::<f64>()
    };
    let mut truth: HashMap<String, f64> = HashMap::new();
    for feature in fabric() {
        let Value::Text(class) = &feature.values[0] else {
            unreachable!("the first value is the class")
        };
        *truth.entry(class.clone()).or_default() += feature.geometry.unwrap().area();
    }
    for z in [4, 5, 6] {
        let tiles = tiles_of(snapshot, &web_mercator_quad(), z);
        assert_eq!(tiles.len(), 1, "the layer lies in one tile of zoom {z}");
        let (bytes, omitted) = cut_and_count(snapshot, tiles[0]);
        let all = faces(&bytes);
        let level = info.levels.iter().find(|level| level.zoom == z).unwrap();
        let counted =
            all.iter().map(|face| face.count).sum::<i64>() + level.vanished_features as i64;
        assert_eq!(omitted, level.vanished_features, "zoom {z}");
        assert_eq!(counted, CELLS * CELLS + 1, "zoom {z}");
        let mut shown: HashMap<String, f64> = HashMap::new();
        for face in all {
            let area: i64 = face.rings.iter().map(|ring| doubled_area(ring)).sum();
            *shown.entry(face.class).or_default() += area as f64;
        }
        for class in CLASSES {
            let off = (share(&shown, class) - share(&truth, class)).abs();
            assert!(off < 0.015, "zoom {z}, class {class}: {off}");
        }
    }
    let merged = info.levels.iter().find(|level| level.zoom == 3).unwrap();
    assert!(merged.merged_features > 2500, "{merged:?}");
    assert_eq!(info.levels.last().unwrap().merged_features, 0);
}

#[test]
fn neighbouring_tiles_agree_on_what_crosses_their_border() {
    let (_dir, _store, snapshot) = workspace();
    let grid = web_mercator_quad();
    let tiles = tiles_of(&snapshot, &grid, 11);
    let edges = |tile: TileCoord, range: std::ops::Range<i64>, shift: i64| -> Vec<[[i64; 2]; 2]> {
        let mut edges: Vec<[[i64; 2]; 2]> = faces(&cut(&snapshot, tile))
            .iter()
            .flat_map(|face| &face.rings)
            .flat_map(|ring| {
                ring.windows(2)
                    .map(|p| [p[0].min(p[1]), p[0].max(p[1])])
                    .collect::<Vec<_>>()
            })
            .filter(|e| e.iter().all(|p| range.contains(&p[0])) && e[0][0] != e[1][0])
            .filter(|e| e.iter().all(|p| (0..4096).contains(&p[1])))
            .map(|e| e.map(|p| [p[0] + shift, p[1]]))
            .collect();
        edges.sort_unstable();
        edges.dedup();
        edges
    };
    let mut compared = 0;
    for &tile in &tiles {
        let right = TileCoord {
            x: tile.x + 1,
            ..tile
        };
        if tiles.contains(&right) {
            // The band of 128 units that both show.
            let (a, b) = (edges(tile, 4033..4160, 0), edges(right, -63..64, 4096));
            assert_eq!(a, b, "{tile:?}");
            compared += a.len();
        }
    }
    assert!(compared > 100);
}

/// The features, `scale` times as large about the corner of the fabric and moved east by `east`.
fn placed(mut features: Vec<Feature>, scale: f64, east: f64) -> Vec<Feature> {
    for shape in features.iter_mut().filter_map(|f| f.geometry.as_mut()) {
        for p in shape.xy.chunks_exact_mut(2) {
            p[0] = 104.0 + east + (p[0] - 104.0) * scale;
            p[1] = 30.0 + (p[1] - 30.0) * scale;
        }
    }
    features
}

#[test]
fn what_is_too_small_for_a_zoom_is_counted_and_a_layer_never_vanishes_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(&dir.path().join("map")).unwrap();
    // Some hundred metres wide: a hundredth of a unit of the world's tile.
    let small = layer(&store, placed(fabric(), 0.002, 0.0));
    let world = TileCoord { z: 0, x: 0, y: 0 };
    let (bytes, omitted) = cut_and_count(&small, world);
    let shown: i64 = faces(&bytes).iter().map(|face| face.count).sum();
    assert!(shown > 0, "the world's tile is empty");
    assert_eq!(shown + omitted as i64, CELLS * CELLS + 1);
    // The same beside the whole fabric, apart from it.
    let mut both = fabric();
    both.extend(placed(fabric(), 0.002, 3.0));
    let both = layer(&store, both);
    let (bytes, omitted) = cut_and_count(&both, world);
    let shown: i64 = faces(&bytes).iter().map(|face| face.count).sum();
    assert_eq!(shown + omitted as i64, 2 * (CELLS * CELLS + 1));
    assert!(omitted > 0, "the small one cannot be seen");
}

#[test]
fn layers_that_are_no_coverage_get_no_pyramid() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(&dir.path().join("map")).unwrap();
    let schema = Schema {
        fields: vec![text_field("name")],
    };
    let apart = (0..50)
        .map(|i| {
            feature(
                i,
                support::square(104.0 + i as f64 * 0.02, 30.0, 0.01),
                vec![Value::Text("a".into())],
            )
        })
        .collect();
    let apart = import(
        &store,
        "buildings",
        crs(4490, true),
        schema.clone(),
        apart,
        |_| (),
    )
    .snapshot;
    assert!(apart.vector().unwrap().0.pyramid.is_none());
}

fn options(min_zoom: u8, max_zoom: u8) -> ArchiveOptions {
    ArchiveOptions {
        min_zoom,
        max_zoom,
        bbox_in_grid: None,
        area_in_grid: None,
        shard: None,
        update: false,
        tile: Options::default(),
    }
}

fn write(
    snapshot: &Arc<Snapshot>,
    options: &ArchiveOptions,
    target: &Target,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<archive::ArchiveReport, ArchiveError> {
    let layers = [TileLayer {
        snapshot: snapshot.clone(),
        fields: None,
    }];
    let tilejson =
        serde_json::json!({ "vector_layers": [{ "id": "dltb", "fields": { "DLBM": "String" } }] });
    let about = About {
        name: "dltb",
        bounds_lonlat: snapshot.manifest.bounds_lonlat,
        tilejson: &tilejson,
    };
    archive::write(
        &layers,
        &web_mercator_quad(),
        options,
        target,
        &about,
        &mut |done, _| go_on(done),
    )
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let len = u32::from_le_bytes(*bytes.last_chunk::<4>().unwrap()) as usize;
    let mut out = vec![0; len];
    Decompressor::new()
        .gzip_decompress(bytes, &mut out)
        .unwrap();
    out
}

#[test]
fn an_archive_holds_the_tiles_the_server_sends() {
    let (dir, _store, snapshot) = workspace();
    let (pm, mb, tree) = (
        dir.path().join("x.pmtiles"),
        dir.path().join("x.mbtiles"),
        dir.path().join("tiles"),
    );
    let report = write(&snapshot, &options(4, 12), &Target::of_path(&pm), |_| true).unwrap();
    write(&snapshot, &options(4, 12), &Target::of_path(&mb), |_| true).unwrap();
    write(&snapshot, &options(4, 12), &Target::of_path(&tree), |_| {
        true
    })
    .unwrap();
    let archive = PmtilesFile::open(&pm).unwrap();
    let database = MbtilesFile::open(&mb).unwrap();
    assert!(archive.metadata().unwrap().contains("\"vector_layers\":[{"));
    let mut seen = 0;
    for entry in archive.runs().map(Result::unwrap) {
        for id in entry.tile_id..entry.tile_id + u64::from(entry.run) {
            let (z, x, y) = tile_of_id(id).unwrap();
            let stored = archive.tile(z, x, y).unwrap().unwrap();
            let sent = cut(&snapshot, TileCoord { z, x, y });
            assert!(unpacked(stored) == sent, "{z}/{x}/{y}");
            assert_eq!(database.tile(z, x, y).unwrap().as_deref(), Some(stored));
            assert!(std::fs::read(tree.join(format!("{z}/{x}/{y}.mvt"))).unwrap() == sent);
            seen += 1;
        }
    }
    assert_eq!(seen, report.tiles);
    for z in 4..=12 {
        for tile in tiles_of(&snapshot, &web_mercator_quad(), z) {
            assert!(
                archive.tile(z, tile.x, tile.y).unwrap().is_some(),
                "{tile:?} is missing"
            );
        }
    }
}

#[test]
fn a_run_that_was_stopped_is_gone_on_from_with_the_same_bytes() {
    let (dir, _store, snapshot) = workspace();
    let (whole, again) = (
        dir.path().join("whole.pmtiles"),
        dir.path().join("again.pmtiles"),
    );
    let tiles = write(&snapshot, &options(0, 14), &Target::of_path(&whole), |_| {
        true
    })
    .unwrap()
    .tiles;
    let stopped = write(
        &snapshot,
        &options(0, 14),
        &Target::of_path(&again),
        |done| done < 1000,
    );
    assert!(matches!(stopped, Err(ArchiveError::Stopped { .. })));
    assert!(!again.exists());
    let report = write(&snapshot, &options(0, 14), &Target::of_path(&again), |_| {
        true
    })
    .unwrap();
    assert!(report.resumed >= 1000, "{report:?}");
    assert_eq!(report.resumed + report.tiles, tiles);
    assert!(std::fs::read(&whole).unwrap() == std::fs::read(&again).unwrap());
}

#[test]
fn parts_are_disjoint_and_together_the_whole() {
    let (dir, _store, snapshot) = workspace();
    let ids = |path: &std::path::Path| -> Vec<u64> {
        let archive = PmtilesFile::open(path).unwrap();
        archive
            .runs()
            .map(Result::unwrap)
            .flat_map(|e| e.tile_id..e.tile_id + u64::from(e.run))
            .collect()
    };
    let whole = dir.path().join("whole.pmtiles");
    write(&snapshot, &options(8, 12), &Target::of_path(&whole), |_| {
        true
    })
    .unwrap();
    let mut all = Vec::new();
    for part in 0..3 {
        let path = dir.path().join(format!("{part}.pmtiles"));
        let options = ArchiveOptions {
            shard: Some((part, 3)),
            ..options(8, 12)
        };
        write(&snapshot, &options, &Target::of_path(&path), |_| true).unwrap();
        all.extend(ids(&path));
    }
    all.sort_unstable();
    assert_eq!(all, ids(&whole));
}

#[test]
fn a_box_limits_the_tiles_and_other_grids_go_to_directories_only() {
    let (dir, _store, snapshot) = workspace();
    let warp = snapshot.warp(3857).unwrap();
    let bbox = warp.to_grid.bbox(&Bbox::new(104.05, 30.05, 104.15, 30.15));
    let path = dir.path().join("x.pmtiles");
    let limited = ArchiveOptions {
        bbox_in_grid: Some(bbox),
        ..options(12, 12)
    };
    let few = write(&snapshot, &limited, &Target::of_path(&path), |_| true)
        .unwrap()
        .tiles;
    let [x0, y0, x1, y1] = web_mercator_quad()
        .tiles_in_bbox(12, &bbox)
        .unwrap()
        .unwrap();
    assert_eq!(few, u64::from((x1 - x0 + 1) * (y1 - y0 + 1)));

    let grid = built_in()
        .into_iter()
        .find(|grid| grid.id == "CGCS2000Quad")
        .unwrap();
    let layers = [TileLayer {
        snapshot,
        fields: None,
    }];
    let tilejson = serde_json::json!({});
    let about = About {
        name: "dltb",
        bounds_lonlat: Bbox::new(104.0, 30.0, 105.0, 31.0),
        tilejson: &tilejson,
    };
    let refused = archive::write(
        &layers,
        &grid,
        &options(5, 7),
        &Target::of_path(&path),
        &about,
        &mut |_, _| true,
    );
    assert!(matches!(refused, Err(ArchiveError::GridOfFormat { .. })));
    let tree = dir.path().join("tiles");
    let report = archive::write(
        &layers,
        &grid,
        &options(5, 7),
        &Target::Directory(tree.clone()),
        &about,
        &mut |_, _| true,
    )
    .unwrap();
    assert!(report.tiles > 3 && tree.join("tiles.json").exists());
}

#[test]
fn an_update_makes_what_changed_and_leaves_the_bytes_of_a_whole_run() {
    let (dir, store, snapshot) = workspace();
    let updating = ArchiveOptions {
        update: true,
        ..options(4, 13)
    };
    let kept = dir.path().join("kept.pmtiles");
    let target = Target::of_path(&kept);
    let first = write(&snapshot, &updating, &target, |_| true).unwrap();
    assert_eq!(first.reused, 0);
    let again = write(&snapshot, &updating, &target, |_| true).unwrap();
    assert_eq!((again.reused, again.tiles), (first.tiles, first.tiles));

    // One parcel gets another class, one loses a vertex of its outer border.
    let mut features = fabric();
    features[700].values[0] = Value::Text("0601".into());
    let corner = features[0].geometry.as_mut().unwrap();
    corner.xy.drain(2..4);
    corner.ends[0] -= 1;
    let edited = layer(&store, features);
    let report = write(&edited, &updating, &target, |_| true).unwrap();
    let made = report.tiles - report.reused;
    assert!((1..report.tiles / 4).contains(&made), "{report:?}");
    let whole = dir.path().join("whole.pmtiles");
    write(&edited, &options(4, 13), &Target::of_path(&whole), |_| true).unwrap();
    assert!(std::fs::read(&kept).unwrap() == std::fs::read(&whole).unwrap());

    // An archive that was written by something else since is made anew.
    write(&edited, &options(4, 13), &target, |_| true).unwrap();
    let anew = write(&edited, &updating, &target, |_| true).unwrap();
    assert_eq!(anew.reused, 0);

    let tree = Target::Directory(dir.path().join("tree"));
    let refused = write(&edited, &updating, &tree, |_| true);
    assert!(matches!(refused, Err(ArchiveError::UpdateOfFormat { .. })));
}

/// One edit of each kind, at places that depend on the seed: a vertex moves with all that have it,
/// a parcel goes, one comes back, one changes its class, one its name.
fn edit(features: &mut Vec<Feature>, gone: &mut Vec<Feature>, seed: i64) {
    let pick = |count: usize, what: i64| (noise(seed, what, 77) * count as f64) as usize;
    let shape = features[pick(features.len(), 0)].geometry.as_ref().unwrap();
    let vertex = pick(shape.xy.len() / 2 - 1, 1);
    let [x, y] = [shape.xy[2 * vertex], shape.xy[2 * vertex + 1]];
    let by = [0, 2].map(|axis| (noise(seed, axis, 78) - 0.5) * 0.0006);
    for feature in features.iter_mut() {
        let shape = feature.geometry.as_mut().unwrap();
        for at in shape.xy.as_chunks_mut::<2>().0 {
            if *at == [x, y] {
                *at = [x + by[0], y + by[1]];
            }
        }
    }
    let back = gone.pop();
    gone.push(features.remove(pick(features.len(), 2)));
    features.extend(back);
    let class = pick(features.len(), 3);
    features[class].values[0] = Value::Text(CLASSES[pick(CLASSES.len(), 4)].into());
    let name = pick(features.len(), 5);
    features[name].values[1] = Value::Text(format!("edited {seed}"));
}

#[test]
fn updates_after_edits_of_all_kinds_leave_what_a_whole_run_makes() {
    edits_and_updates(u64::MAX);
}

#[test]
fn so_they_do_where_the_layer_was_worked_on_in_many_parts() {
    edits_and_updates(8_000);
}

fn edits_and_updates(part_vertices: u64) {
    let (dir, store, snapshot) = workspace_in_parts(part_vertices);
    let updating = ArchiveOptions {
        update: true,
        ..options(0, 14)
    };
    let path = |name: &str| dir.path().join(name);
    let (kept, database) = (path("kept.pmtiles"), path("kept.mbtiles"));
    for archive in [&kept, &database] {
        write(&snapshot, &updating, &Target::of_path(archive), |_| true).unwrap();
    }
    let (mut features, mut gone) = (fabric(), Vec::new());
    for seed in 1..=5 {
        edit(&mut features, &mut gone, seed);
        if seed == 4 {
            // The class that is first by name, and a corner of the layer with its tiles.
            features[9].values[0] = Value::Text("0001".into());
            features.retain(|f| f.geometry.as_ref().unwrap().xy[0] > 104.03);
        }
        let edited = layer_in_parts(&store, features.clone(), part_vertices);
        let whole = path(&format!("whole{seed}.pmtiles"));
        let all = write(&edited, &options(0, 14), &Target::of_path(&whole), |_| true).unwrap();
        for archive in [&kept, &database] {
            let report = write(&edited, &updating, &Target::of_path(archive), |_| true).unwrap();
            assert_eq!((report.tiles, report.raw_bytes), (all.tiles, all.raw_bytes));
            let made = report.tiles - report.reused;
            assert!(
                (1..all.tiles / 4).contains(&made),
                "seed {seed}: {report:?}"
            );
        }
        assert!(
            std::fs::read(&kept).unwrap() == std::fs::read(&whole).unwrap(),
            "seed {seed}"
        );
        let (old, new) = (
            MbtilesFile::open(&database).unwrap(),
            PmtilesFile::open(&whole).unwrap(),
        );
        let mut tiles = 0;
        for entry in new.runs() {
            let entry = entry.unwrap();
            for id in entry.tile_id..entry.tile_id + u64::from(entry.run) {
                let (z, x, y) = tile_of_id(id).unwrap();
                let in_place = old.tile(z, x, y).unwrap();
                assert!(
                    in_place.as_deref() == new.tile(z, x, y).unwrap(),
                    "seed {seed}, {z}/{x}/{y}"
                );
                tiles += 1;
            }
        }
        assert_eq!(tiles, all.tiles, "seed {seed}");
        let rows: i64 = rusqlite::Connection::open(&database)
            .unwrap()
            .query_row("SELECT count(*) FROM map", [], |row| row.get(0))
            .unwrap();
        assert_eq!(
            rows as u64, tiles,
            "seed {seed}: nothing that is gone stays"
        );
    }
}

#[test]
fn joined_faces_say_what_the_values_of_their_features_came_to() {
    for part_vertices in [u64::MAX, 10_000] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(&dir.path().join("map")).unwrap();
        let mut schema = Schema {
            fields: vec![text_field("DLBM"), text_field("BSM"), text_field("NO")],
        };
        schema.fields[2].field_type = FieldType::Integer;
        let mut features = fabric();
        let count = features.len() as i64;
        for (number, feature) in (1..).zip(&mut features) {
            feature.values.push(Value::Integer(number));
        }
        let snapshot = import(
            &store,
            "dltb",
            crs(4490, true),
            schema,
            features,
            |options| {
                options.kind = LayerKind::LandUse;
                options.part_vertices = part_vertices;
                options.aggregates = ["NO=sum", "NO=max", "BSM=count"]
                    .map(|text| text.parse().unwrap())
                    .to_vec();
            },
        )
        .snapshot;
        let mut joined = 0;
        for z in 4..=9 {
            let tiles = tiles_of(&snapshot, &web_mercator_quad(), z);
            let [tile] = tiles[..] else { continue };
            let (mut features, mut sum, mut largest, mut named) = (0, 0, 0, 0);
            let (bytes, omitted) = cut_and_count(&snapshot, tile);
            let tile = Tile::decode(&bytes[..]).unwrap();
            let layer = tile
                .layers
                .iter()
                .find(|layer| layer.name == "dltb")
                .unwrap();
            for feature in &layer.features {
                let of = |key: &str| {
                    let mut pairs = feature.tags.chunks(2);
                    let pair = pairs.find(|pair| layer.keys[pair[0] as usize] == key)?;
                    let value = &layer.values[pair[1] as usize];
                    Some(value.uint_value.unwrap() as i64)
                };
                match of("onemap_count") {
                    None => {
                        let number = of("NO").unwrap();
                        (features, sum) = (features + 1, sum + number);
                        largest = largest.max(number);
                        named += 1;
                        assert_eq!(of("NO_sum"), None);
                    }
                    Some(count) => {
                        assert_eq!((of("NO"), of("BSM_count")), (None, Some(count)));
                        features += count;
                        sum += of("NO_sum").unwrap();
                        largest = largest.max(of("NO_max").unwrap());
                        joined += 1;
                    }
                }
            }
            assert_eq!((omitted, features), (0, count), "z{z}");
            assert_eq!((sum, largest), (count * (count + 1) / 2, count), "z{z}");
            assert!(named < count);
        }
        assert!(joined > 20);
    }
}
