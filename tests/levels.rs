//! Layers of many points or lines at low zooms: nothing gets lost, nothing is made up, networks
//! hold together, and tiles stay within their bytes.

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use geozero::mvt::{Message, Tile};
use onemap::ingest;
use onemap::model::{
    COUNT_FIELD, Feature, FieldType, LevelSummary, Schema, TileCoord, TileGrid, Value, grids,
};
use onemap::protocol::tilejson;
use onemap::query::Budget;
use onemap::store::{LEVELS_DIR, Snapshot, Store};
use onemap::tile::{OMITTED_LAYER, Options, TileLayer, tile_digest, vector_tile};
use support::network::{Random, line_schema, point_schema, points, roads};
use support::{crs, feature, field, import, text_field};
use tempfile::TempDir;

fn grid(id: &str) -> TileGrid {
    let all = grids::built_in();
    all.into_iter().find(|grid| grid.id == id).unwrap()
}

fn imported(
    name: &str,
    schema: Schema,
    features: Vec<Feature>,
    aggregates: &[&str],
) -> (TempDir, Arc<Snapshot>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let outcome = import(&store, name, crs(4490, true), schema, features, |options| {
        options.aggregates = aggregates.iter().map(|a| a.parse().unwrap()).collect();
    });
    (dir, outcome.snapshot)
}

fn levels(snapshot: &Snapshot) -> &[LevelSummary] {
    &snapshot.vector().unwrap().1.levels
}

/// A feature of a level: how many it stands for, its id, its attributes by name, its vertices.
struct Found {
    count: u32,
    id: u64,
    values: BTreeMap<String, Value>,
    lines: Vec<Vec<[f64; 2]>>,
}

/// The features of a level, and how many of the layer are left out.
fn read_level(snapshot: &Snapshot, zoom: u8) -> (Vec<Found>, u64) {
    let (data, _) = snapshot.vector().unwrap();
    let level = data.levels.level(zoom).unwrap();
    let (mut found, mut left_out) = (Vec::new(), 0);
    for number in 0..level.index.len() as u32 {
        let record = level.index.record(number);
        if record.is_left_out() {
            left_out += u64::from(record.count);
            continue;
        }
        let view = level.features.feature(record.offset).unwrap();
        let names = data.levels.schema.fields.iter().map(|f| f.name.clone());
        let shape = view.geometry().unwrap();
        let parts: Vec<_> = shape.parts().collect();
        found.push(Found {
            count: record.count,
            id: record.id,
            values: names.zip(view.values(&data.levels.schema)).collect(),
            lines: parts
                .iter()
                .flat_map(|part| part.rings())
                .map(|line| line.points().collect())
                .collect(),
        });
    }
    assert_eq!(level.features.feature_count(), found.len() as u64);
    (found, left_out)
}

fn integer(value: &Value) -> i64 {
    match value {
        Value::Integer(value) => *value,
        other => panic!("{other:?}"),
    }
}

fn cut(
    snapshot: &Arc<Snapshot>,
    grid: &TileGrid,
    tile: TileCoord,
    buffer: u32,
) -> (Tile, usize, u64) {
    let layer = TileLayer {
        snapshot: snapshot.clone(),
        fields: None,
    };
    let options = Options {
        buffer,
        ..Options::default()
    };
    let made = vector_tile(&[layer], grid, tile, &options, &Budget::unlimited()).unwrap();
    let decoded = Tile::decode(made.bytes.as_slice()).unwrap();
    (decoded, made.bytes.len(), made.omitted)
}

/// Sum of what the features of a layer of a tile stand for; points of the margin are others' part.
fn stood_for(tile: &Tile, name: &str) -> u64 {
    let mut sum = 0;
    for layer in tile.layers.iter().filter(|layer| layer.name == name) {
        let count_key = layer.keys.iter().position(|key| key == COUNT_FIELD);
        for feature in &layer.features {
            let at =
                |i: usize| (feature.geometry[i] >> 1) as i32 ^ -((feature.geometry[i] & 1) as i32);
            let is_inside = |i: usize| (0..4096).contains(&at(i));
            if feature.r#type == Some(1) && !(is_inside(1) && is_inside(2)) {
                continue;
            }
            let tag = feature
                .tags
                .chunks(2)
                .find(|tag| Some(tag[0] as usize) == count_key);
            sum += tag.map_or(1, |tag| layer.values[tag[1] as usize].uint_value.unwrap());
        }
    }
    sum
}

/// The tiles of a zoom around the test data.
fn tiles(grid: &TileGrid, snapshot: &Snapshot, z: u8) -> Vec<TileCoord> {
    let bbox = snapshot
        .warp(grid.epsg)
        .unwrap()
        .to_grid
        .bbox(&snapshot.manifest.bbox_in_layer_crs);
    // What lies on a tile's side may be rounded into the next.
    let bbox = bbox.expanded(bbox.width() * 1e-3, bbox.height() * 1e-3);
    let [x0, y0, x1, y1] = grid.tiles_in_bbox(z, &bbox).unwrap().unwrap();
    (y0..=y1)
        .flat_map(|y| (x0..=x1).map(move |x| TileCoord { z, x, y }))
        .collect()
}

#[test]
fn clusters_of_points_add_up_at_every_zoom() {
    const COUNT: usize = 100_000;
    let asked = ["NO=sum", "NO=min", "NO=max", "YIELD=sum", "DLBM=count"];
    let source = points(COUNT, 1);
    let by_number: HashMap<i64, Vec<Value>> = source
        .iter()
        .map(|f| (integer(&f.values[1]), f.values.clone()))
        .collect();
    let (_dir, snapshot) = imported("wells", point_schema(), source, &asked);
    let summaries = levels(&snapshot);
    assert!(summaries.len() >= 6, "{summaries:?}");
    let mut alone_somewhere = 0;
    let mut of_one_class = 0;
    for summary in summaries {
        let (found, left_out) = read_level(&snapshot, summary.zoom);
        assert_eq!((left_out, summary.omitted), (0, 0));
        assert_eq!(found.len() as u64, summary.features);
        let count: u64 = found.iter().map(|f| u64::from(f.count)).sum();
        assert_eq!(count, COUNT as u64, "zoom {}", summary.zoom);
        let (mut no_sum, mut yield_sum, mut classed) = (0, 0.0, 0);
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        for f in &found {
            if f.count == 1 {
                // By itself it is the feature with all it has, and nothing else.
                alone_somewhere += 1;
                let no = integer(&f.values["NO"]);
                assert_eq!(f.values["DLBM"], by_number[&no][0]);
                assert_eq!(f.values["YIELD"], by_number[&no][2]);
                assert_eq!(f.values[COUNT_FIELD], Value::Null);
                assert_eq!(f.values["NO_sum"], Value::Null);
                no_sum += no;
                classed += 1;
                yield_sum += match f.values["YIELD"] {
                    Value::Real(value) => value,
                    _ => panic!("a yield"),
                };
                least = least.min(no);
                most = most.max(no);
            } else {
                assert_eq!(f.values[COUNT_FIELD], Value::Integer(i64::from(f.count)));
                assert_eq!(
                    (&f.values["NO"], &f.values["YIELD"]),
                    (&Value::Null, &Value::Null)
                );
                of_one_class += u32::from(f.values["DLBM"] != Value::Null);
                no_sum += integer(&f.values["NO_sum"]);
                classed += integer(&f.values["DLBM_count"]);
                yield_sum += match f.values["YIELD_sum"] {
                    Value::Real(value) => value,
                    _ => panic!("a sum"),
                };
                least = least.min(integer(&f.values["NO_min"]));
                most = most.max(integer(&f.values["NO_max"]));
            }
        }
        let n = COUNT as i64;
        assert_eq!(
            (no_sum, least, most, classed),
            (n * (n - 1) / 2, 0, n - 1, n)
        );
        // Eighths add up exactly.
        let expected: f64 = by_number
            .values()
            .map(|values| match values[2] {
                Value::Real(value) => value,
                _ => 0.0,
            })
            .sum();
        assert_eq!(yield_sum, expected);
    }
    assert!(alone_somewhere > 1000 && of_one_class > 100);
}

#[test]
fn tiles_of_points_hold_all_of_them_within_their_bytes() {
    const COUNT: usize = 100_000;
    let (_dir, snapshot) = imported("wells", point_schema(), points(COUNT, 2), &["YIELD=sum"]);
    for grid in ["WebMercatorQuad", "CGCS2000Quad"].map(grid) {
        for z in grid.lowest_zoom().max(1)..=8 {
            let mut sum = 0;
            let mut most_features = 0;
            for tile in tiles(&grid, &snapshot, z) {
                let (decoded, bytes, omitted) = cut(&snapshot, &grid, tile, 64);
                assert!(bytes <= 500_000, "{} {tile:?}: {bytes} bytes", grid.id);
                sum += stood_for(&decoded, "wells") + omitted;
                let features = decoded.layers.iter().map(|l| l.features.len()).max();
                most_features = most_features.max(features.unwrap_or(0));
            }
            assert_eq!(sum, COUNT as u64, "{} zoom {z}", grid.id);
            let has_level = usize::from(z) < levels(&snapshot).len();
            assert!(!has_level || most_features <= 4 * 4096, "{most_features}");
        }
    }
}

#[test]
fn few_points_have_no_levels() {
    let (dir, snapshot) = imported("wells", point_schema(), points(2000, 3), &[]);
    assert!(levels(&snapshot).is_empty());
    assert!(!snapshot.dir().join(LEVELS_DIR).exists());
    let document = tilejson::document(&[snapshot], &grid("WebMercatorQuad"), "");
    assert!(
        document["vector_layers"][0]["fields"]
            .get(COUNT_FIELD)
            .is_none()
    );
    drop(dir);
}

#[test]
fn neither_threads_nor_the_order_of_the_file_decide_what_points_become() {
    let bytes = |features: Vec<Feature>, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let (_dir, snapshot) = imported("wells", point_schema(), features, &["YIELD=sum"]);
            level_bytes(&snapshot)
        })
    };
    // Places by themselves: ids of features that are alike follow from their order.
    let source = points(30_000, 4);
    let first = bytes(source.clone(), 1);
    assert!(first.len() > 8);
    assert!(bytes(source.clone(), 2) == first);
    assert!(bytes(source.clone(), 8) == first);
    let mut random = Random(9);
    let mut shuffled = source;
    for i in (1..shuffled.len()).rev() {
        shuffled.swap(i, (random.next() * (i + 1) as f64) as usize);
    }
    assert!(bytes(shuffled, 2) == first);
}

/// All files of the levels, by name.
fn level_bytes(snapshot: &Snapshot) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(snapshot.dir().join(LEVELS_DIR)).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(&path).unwrap())
        })
        .collect()
}

#[test]
fn lines_are_counted_wherever_they_go() {
    let source = roads(160, 5);
    let count = source.len() as u64;
    let lanes: i64 = source.iter().map(|f| integer(&f.values[2])).sum();
    assert!(count > 50_000);
    let (_dir, snapshot) = imported("roads", line_schema(), source, &["lanes=sum", "lanes=max"]);
    let summaries = levels(&snapshot);
    assert!(summaries.len() >= 5, "{summaries:?}");
    for summary in summaries {
        let (found, left_out) = read_level(&snapshot, summary.zoom);
        let shown: u64 = found.iter().map(|f| u64::from(f.count)).sum();
        assert_eq!(shown + left_out, count, "zoom {}", summary.zoom);
        assert_eq!(left_out, summary.omitted);
        let mut sum = 0;
        for f in &found {
            assert!(matches!(&f.values["highway"], Value::Text(_)));
            if f.count == 1 {
                assert!(matches!(&f.values["name"], Value::Text(_)));
                sum += integer(&f.values["lanes"]);
            } else {
                assert_eq!(f.values["name"], Value::Null);
                assert_eq!(f.values[COUNT_FIELD], Value::Integer(i64::from(f.count)));
                sum += integer(&f.values["lanes_sum"]);
                assert!((1..=4).contains(&integer(&f.values["lanes_max"])));
            }
        }
        assert!(
            left_out > 0 || sum == lanes,
            "zoom {}: {sum} of {lanes}",
            summary.zoom
        );
        // Of what is left out, main roads are the last.
        let main = found
            .iter()
            .filter(|f| f.values["highway"] == Value::Text("primary".into()));
        let main: u64 = main.map(|f| u64::from(f.count)).sum();
        assert!(
            summary.zoom < 3 || main >= 5000,
            "zoom {}: {main}",
            summary.zoom
        );
    }
    let mercator = grid("WebMercatorQuad");
    for z in 0..=8 {
        let mut omitted_of_zoom = 0;
        for tile in tiles(&mercator, &snapshot, z) {
            let (decoded, bytes, omitted) = cut(&snapshot, &mercator, tile, 64);
            assert!(bytes <= 500_000, "{tile:?}: {bytes} bytes");
            omitted_of_zoom += omitted;
            let says = decoded
                .layers
                .iter()
                .any(|layer| layer.name == OMITTED_LAYER);
            assert_eq!(says, omitted > 0);
            if z == 0 {
                assert_eq!(stood_for(&decoded, "roads") + omitted, count);
            }
        }
        if let Some(summary) = summaries.get(usize::from(z)) {
            assert_eq!(omitted_of_zoom, summary.omitted, "zoom {z}");
        }
    }
}

/// The number of pieces that lines make by the vertices they share.
fn pieces(lines: &[Vec<[f64; 2]>]) -> usize {
    let mut parent: Vec<usize> = (0..lines.len()).collect();
    fn root(parent: &mut [usize], mut at: usize) -> usize {
        while parent[at] != at {
            parent[at] = parent[parent[at]];
            at = parent[at];
        }
        at
    }
    let mut by_place: HashMap<[u64; 2], usize> = HashMap::new();
    for (number, line) in lines.iter().enumerate() {
        for point in line {
            let other = *by_place.entry(point.map(f64::to_bits)).or_insert(number);
            let (a, b) = (root(&mut parent, number), root(&mut parent, other));
            parent[a] = b;
        }
    }
    (0..lines.len()).filter(|&at| parent[at] == at).count()
}

#[test]
fn a_network_stays_connected() {
    let source = roads(160, 6);
    let all: Vec<Vec<[f64; 2]>> = source
        .iter()
        .map(|f| {
            let line = f.geometry.as_ref().unwrap().ring(0);
            line.chunks(2).map(|p| [p[0], p[1]]).collect()
        })
        .collect();
    assert_eq!(pieces(&all), 1);
    let mut degree: HashMap<[u64; 2], u32> = HashMap::new();
    for line in &all {
        for end in [line[0], line[line.len() - 1]] {
            *degree.entry(end.map(f64::to_bits)).or_default() += 1;
        }
    }
    let (_dir, snapshot) = imported("roads", line_schema(), source, &[]);
    let places: BTreeSet<[u64; 2]> = all.iter().flatten().map(|p| p.map(f64::to_bits)).collect();
    let finest = levels(&snapshot).last().unwrap().zoom;
    let mut complete = 0;
    for summary in levels(&snapshot) {
        let (found, left_out) = read_level(&snapshot, summary.zoom);
        let lines: Vec<_> = found.into_iter().flat_map(|f| f.lines).collect();
        let vertices = || lines.iter().flatten().map(|p| p.map(f64::to_bits));
        assert!(
            vertices().all(|place| places.contains(&place)),
            "a vertex has moved"
        );
        if left_out > 0 {
            continue;
        }
        complete += 1;
        let mut uses: HashMap<[u64; 2], u32> = HashMap::new();
        vertices().for_each(|place| *uses.entry(place).or_default() += 1);
        if summary.zoom == finest {
            assert_eq!(pieces(&lines), 1);
            let junctions = degree.iter().filter(|(_, degree)| **degree >= 3);
            assert!(
                junctions
                    .map(|(place, _)| place)
                    .all(|place| uses.contains_key(place))
            );
        }
        // Where a line ends that did not end freely, another has a vertex.
        for line in &lines {
            for end in [line[0], line[line.len() - 1]].map(|p| p.map(f64::to_bits)) {
                assert!(degree[&end] == 1 || uses[&end] > 1, "zoom {}", summary.zoom);
            }
        }
    }
    assert!(complete >= 2, "{:?}", levels(&snapshot));
}

#[test]
fn threads_do_not_decide_what_lines_become() {
    let bytes = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let (_dir, snapshot) = imported("roads", line_schema(), roads(100, 7), &["lanes=sum"]);
            level_bytes(&snapshot)
        })
    };
    let first = bytes(1);
    assert!(first.len() > 6);
    assert!(bytes(2) == first);
    assert!(bytes(8) == first);
}

#[test]
fn what_the_features_of_levels_carry_is_in_the_tilejson() {
    let (_dir, snapshot) = imported("roads", line_schema(), roads(100, 8), &["lanes=max"]);
    let document = tilejson::document(&[snapshot], &grid("WebMercatorQuad"), "");
    let fields = |i: usize| document["vector_layers"][i]["fields"].clone();
    assert_eq!(document["vector_layers"][0]["id"], "roads");
    assert_eq!(
        (&fields(0)[COUNT_FIELD], &fields(0)["lanes_max"]),
        (&"Number".into(), &"Number".into())
    );
    assert_eq!(document["vector_layers"][1]["id"], "roads_label");
    assert!(fields(1).get(COUNT_FIELD).is_none() && fields(1).get("lanes").is_some());
}

#[test]
fn fields_are_carried_with_what_they_were_aggregated_to() {
    let (_dir, snapshot) = imported(
        "wells",
        point_schema(),
        points(30_000, 10),
        &["YIELD=sum", "NO=max"],
    );
    let layer = TileLayer {
        snapshot: snapshot.clone(),
        fields: Some(vec!["YIELD".into()]),
    };
    let tile = TileCoord { z: 0, x: 0, y: 0 };
    let (options, budget) = (Options::default(), Budget::unlimited());
    let made = vector_tile(&[layer], &grid("WebMercatorQuad"), tile, &options, &budget).unwrap();
    let tile = Tile::decode(made.bytes.as_slice()).unwrap();
    let keys: BTreeSet<&str> = tile.layers[0].keys.iter().map(String::as_str).collect();
    assert!(
        keys.is_subset(&BTreeSet::from([COUNT_FIELD, "YIELD", "YIELD_sum"])),
        "{keys:?}"
    );
    assert!(keys.contains("YIELD_sum"));
}

/// Digests are equal where tiles are, and nowhere else, when points are moved and taken away.
#[test]
fn digests_tell_changed_tiles_apart() {
    let source = points(30_000, 11);
    let mut edited = source.clone();
    edited[77].values[2] = Value::Real(-5.0);
    edited.remove(1234);
    let (_a, before) = imported("wells", point_schema(), source, &["YIELD=min"]);
    let (_b, after) = imported("wells", point_schema(), edited, &["YIELD=min"]);
    let mercator = grid("WebMercatorQuad");
    let (mut same, mut other) = (0, 0);
    for z in 0..=8 {
        for tile in tiles(&mercator, &before, z) {
            let of = |snapshot: &Arc<Snapshot>| {
                let layer = TileLayer {
                    snapshot: snapshot.clone(),
                    fields: None,
                };
                let options = Options::default();
                let digest =
                    tile_digest(std::slice::from_ref(&layer), &mercator, tile, &options).unwrap();
                let budget = Budget::unlimited();
                let made = vector_tile(&[layer], &mercator, tile, &options, &budget).unwrap();
                (digest, made.bytes)
            };
            let ((digest_a, a), (digest_b, b)) = (of(&before), of(&after));
            assert_eq!(digest_a == digest_b, a == b, "{tile:?}");
            if a == b { same += 1 } else { other += 1 }
        }
    }
    assert!(same > 20 && other >= 9, "{same} {other}");
}

/// Two ends meet, three ends meet, a ring, another class, a line of two parts.
#[test]
fn lines_are_joined_where_two_of_a_class_meet() {
    let schema = Schema {
        fields: vec![
            text_field("GLDJ"),
            field("NO", FieldType::Integer),
            text_field("waterway"),
        ],
    };
    // Far apart from the rest, so many that there are levels.
    let mut features: Vec<Feature> = (0..20_000)
        .map(|i| {
            let (x, y) = (
                90.0 + f64::from(i % 100) * 0.1,
                40.0 + f64::from(i / 100) * 0.1,
            );
            (
                vec![[x, y], [x + 0.05, y + 0.04]],
                format!("other {}", i % 7),
            )
        })
        .chain([
            (vec![[100.0, 10.0], [104.0, 10.0]], "国道".to_string()),
            (vec![[108.0, 11.0], [104.0, 10.0]], "国道".to_string()),
            (vec![[108.0, 11.0], [112.0, 11.0]], "国道".to_string()),
            // Leaves the road in a place where two of its lines meet.
            (vec![[104.0, 10.0], [104.0, 13.0]], "县道".to_string()),
            // A roundabout of two, closed.
            (
                vec![[120.0, 10.0], [122.0, 12.0], [124.0, 10.0]],
                "乡道".to_string(),
            ),
            (
                vec![[124.0, 10.0], [122.0, 8.0], [120.0, 10.0]],
                "乡道".to_string(),
            ),
            // Three of a class, none of them short.
            (vec![[130.0, 10.0], [134.0, 10.0]], "村道".to_string()),
            (vec![[134.0, 10.0], [138.0, 10.0]], "村道".to_string()),
            (vec![[134.0, 10.0], [134.0, 14.0]], "村道".to_string()),
            // Two streams in a row, and a line of no class behind them.
            (vec![[140.0, 10.0], [144.0, 10.0]], "stream".to_string()),
            (vec![[144.0, 10.0], [148.0, 10.0]], "stream".to_string()),
            (vec![[148.0, 10.0], [152.0, 10.0]], String::new()),
            // A crossing of short streets.
            (vec![[160.0, 10.0], [160.05, 10.001]], "街".to_string()),
            (vec![[160.0, 10.0], [159.95, 10.0]], "街".to_string()),
            (vec![[160.0, 10.0], [160.001, 10.05]], "街".to_string()),
            (vec![[160.0, 9.95], [160.0, 10.0]], "街".to_string()),
        ])
        .enumerate()
        .map(|(i, (points, class))| {
            let mut line = onemap::geom::Geometry::new(onemap::geom::GeometryType::LineString);
            line.push_ring(points);
            let number = Value::Integer(i as i64);
            let values = match class.as_str() {
                "" => vec![Value::Null, number, Value::Null],
                "stream" => vec![Value::Null, number, Value::Text(class)],
                _ => vec![Value::Text(class), number, Value::Null],
            };
            feature(i as i64, line, values)
        })
        .collect();
    let mut two_parts = onemap::geom::Geometry::new(onemap::geom::GeometryType::MultiLineString);
    two_parts.push_ring([[112.0, 11.0], [113.0, 14.0]]);
    two_parts.push_ring([[114.0, 11.0], [115.0, 14.0]]);
    let values = vec![Value::Text("国道".into()), Value::Integer(-1), Value::Null];
    features.push(feature(-1, two_parts, values));
    let (_dir, snapshot) = imported("roads", schema, features, &["NO=min"]);
    let finest = levels(&snapshot).last().unwrap().zoom;
    let (found, _) = read_level(&snapshot, finest);
    let of = |class: &str| -> Vec<&Found> {
        let class = Value::Text(class.into());
        found.iter().filter(|f| f.values["GLDJ"] == class).collect()
    };
    let main = of("国道");
    let joined = main.iter().find(|f| f.count == 3).unwrap();
    assert_eq!(
        (main.len(), joined.values["NO_min"].clone()),
        (2, Value::Integer(20_000))
    );
    // The vertex at which the side road leaves is there; the other joint need not be.
    let mut course = joined.lines[0].clone();
    if course[0][0] > 110.0 {
        course.reverse();
    }
    assert_eq!(
        course,
        [[100.0, 10.0], [104.0, 10.0], [108.0, 11.0], [112.0, 11.0]]
    );
    assert_eq!(main.iter().find(|f| f.count == 1).unwrap().lines.len(), 2);
    assert_eq!(of("县道").len(), 1);
    let ring = of("乡道");
    assert_eq!((ring.len(), ring[0].count), (1, 2));
    assert_eq!(ring[0].lines[0].first(), ring[0].lines[0].last());
    assert_eq!(
        of("村道").iter().map(|f| f.count).collect::<Vec<_>>(),
        [1, 1, 1]
    );
    let streets: Vec<u32> = of("街").iter().map(|f| f.count).collect();
    assert_eq!(streets, [2, 2]);
    let others: Vec<&Found> = found
        .iter()
        .filter(|f| f.values["GLDJ"] == Value::Null)
        .collect();
    let counts: BTreeSet<u32> = others.iter().map(|f| f.count).collect();
    assert_eq!((others.len(), counts), (2, BTreeSet::from([1, 2])));
    let stream = others.iter().find(|f| f.count == 2).unwrap();
    assert_eq!(stream.values["waterway"], Value::Text("stream".into()));
    let ids: BTreeSet<u64> = found.iter().map(|f| f.id).collect();
    assert_eq!(ids.len(), found.len());
}

#[test]
fn an_aggregate_of_what_is_not_there_is_an_error_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let name = onemap::model::LayerName::new("wells").unwrap();
    let mut options = ingest::Options::new(name, onemap::model::LayerKind::Other);
    options.aggregates = vec!["TBMJ=sum".parse().unwrap()];
    let input = ingest::Input {
        schema: point_schema(),
        crs: crs(4490, true),
        source: onemap::model::SourceInfo {
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
        read: Box::new(|_, _| Ok(false)),
    };
    let error = ingest::import(&store, &options, input, &|_| true)
        .err()
        .unwrap();
    let said = error.to_string();
    assert!(
        said.contains("wells") && said.contains("TBMJ=sum") && said.contains("YIELD"),
        "{said}"
    );
    assert!(store.snapshot("wells").unwrap().is_none());
}

/// As a user sees it: the option, what `inspect` says, what an archive says of itself.
#[test]
fn the_command_line_takes_aggregates_and_archives_name_their_zooms() {
    let source = {
        let schema = point_schema();
        let (dir, snapshot) = imported("source", schema, points(12_000, 12), &[]);
        let path = dir.path().join("wells.fgb");
        std::fs::copy(snapshot.dir().join("features.fgb"), &path).unwrap();
        (dir, path)
    };
    let dir = tempfile::tempdir().unwrap();
    let map = dir.path().join("map");
    let archive = dir.path().join("wells.pmtiles");
    let onemap = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_onemap"))
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (map, out) = (map.to_str().unwrap(), archive.to_str().unwrap());
    let layer = format!("wells={}", source.1.display());
    let (code, _, said) = onemap(&["import", map, &layer, "--aggregate", "DLBM=sum"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("the field is string, expected a number"),
        "{said}"
    );
    let import = [
        "import",
        map,
        &layer,
        "--aggregate",
        "YIELD=sum",
        "--aggregate",
        "NO=max",
    ];
    let (code, _, said) = onemap(&import);
    assert_eq!(code, Some(0), "{said}");
    let (_, inspected, _) = onemap(&["inspect", map, "wells", "--json"]);
    let manifest: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    let content = &manifest["content"];
    assert_eq!(content["aggregates"][1]["function"], "max");
    assert_eq!(content["levels"][0]["merged"], 12_000);
    assert_eq!(content["levels"][0]["omitted"], 0);
    let (_, line, _) = onemap(&["inspect", map]);
    assert!(line.contains("generalised to zoom"), "{line}");
    let (code, _, said) = onemap(&[
        "tiles", map, "wells", "--zoom", "2-7", "--out", out, "--quiet",
    ]);
    assert_eq!(code, Some(0), "{said}");
    let file = onemap::format::pmtiles::PmtilesFile::open(&archive).unwrap();
    let metadata: serde_json::Value = serde_json::from_str(&file.metadata().unwrap()).unwrap();
    let layer = &metadata["vector_layers"][0];
    assert_eq!(
        (&layer["minzoom"], &layer["maxzoom"]),
        (&2.into(), &7.into())
    );
    assert_eq!(layer["fields"]["NO_max"], "Number");
}

#[test]
fn smaller_tiles_have_wider_clusters_and_fewer_lines() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let mercator = grid("WebMercatorQuad");
    for (name, schema, features) in [
        ("wells", point_schema(), points(50_000, 13)),
        ("roads", line_schema(), roads(100, 13)),
    ] {
        let count = features.len() as u64;
        let snapshot = import(&store, name, crs(4490, true), schema, features, |options| {
            options.tile_bytes = 60_000;
        })
        .snapshot;
        for summary in levels(&snapshot) {
            let (found, left_out) = read_level(&snapshot, summary.zoom);
            let shown: u64 = found.iter().map(|f| u64::from(f.count)).sum();
            assert_eq!(shown + left_out, count);
            for tile in tiles(&mercator, &snapshot, summary.zoom) {
                let (_, bytes, _) = cut(&snapshot, &mercator, tile, 64);
                // Nothing was left out for it, so this is what the estimate came to.
                assert!(bytes <= 66_000, "{name} {tile:?}: {bytes}");
            }
        }
    }
}
