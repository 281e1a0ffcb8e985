//! Pieces with geometry: they add up, are valid, carry their lineage, and reach every output.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use onemap::analysis::{
    self, AnalysisError, AreaMode, Clip, Group, Grouping, Operation, PieceRow, Request, Selection,
};
use onemap::geom::Geometry;
use onemap::model::{Feature, FieldType, IssueLog, Schema, Value};
use onemap::query::Budget;
use onemap::source::{self, SourceSpec, is_valid};
use onemap::store::Store;
use support::{crs, feature, field, import, square, text_field};

const EAST: f64 = 39_540_000.0;
const NORTH: f64 = 3_500_000.0;

fn schema() -> Schema {
    Schema {
        fields: vec![
            text_field("CLASS"),
            field("NO", FieldType::Integer),
            field("TBMJ", FieldType::Real),
        ],
    }
}

fn classed(number: i64, class: &str, geometry: Geometry) -> Feature {
    let area = (geometry.area() * 100.0).round() / 100.0;
    let values = vec![
        Value::Text(class.into()),
        Value::Integer(number),
        Value::Real(area),
    ];
    feature(number, geometry, values)
}

fn add(store: &Store, name: &str, epsg: u32, features: Vec<Feature>) {
    import(
        store,
        name,
        crs(epsg, epsg == 4490),
        schema(),
        features,
        |options| {
            options.id_field = Some("NO".into());
        },
    );
}

/// `n × n` parcels with bent borders that neighbours share vertex by vertex, one with a hole that
/// another fills.
fn lattice(n: i64, side: f64, origin: [f64; 2], classes: &[&str]) -> Vec<Feature> {
    let noise = |i: i64, j: i64, k: i64| {
        let mut state = (i * 73_856_093) ^ (j * 19_349_663) ^ (k * 83_492_791);
        state = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        ((state >> 20) & 0xffff) as f64 / 65536.0 - 0.5
    };
    let node = |i: i64, j: i64| {
        [
            origin[0] + (i as f64 + 0.4 * noise(i, j, 1)) * side,
            origin[1] + (j as f64 + 0.4 * noise(i, j, 2)) * side,
        ]
    };
    let middle = |p: [f64; 2], q: [f64; 2], k: f64| {
        let bend = [0.2 * k * (q[1] - p[1]), -0.2 * k * (q[0] - p[0])];
        [(p[0] + q[0]) / 2.0 + bend[0], (p[1] + q[1]) / 2.0 + bend[1]]
    };
    let mut features = Vec::new();
    for i in 0..n {
        for j in 0..n {
            let east = |i, j| middle(node(i, j), node(i + 1, j), noise(i, j, 3));
            let north = |i, j| middle(node(i, j), node(i, j + 1), noise(i, j, 4));
            let shell = [
                node(i, j),
                east(i, j),
                node(i + 1, j),
                north(i + 1, j),
                node(i + 1, j + 1),
                east(i, j + 1),
                node(i, j + 1),
                north(i, j),
                node(i, j),
            ];
            let number = i * n + j;
            let class = classes[number as usize % classes.len()];
            if number == n + 1 {
                let c = middle(node(i, j), node(i + 1, j + 1), 0.0);
                let d = side / 8.0;
                let island = [
                    [c[0], c[1]],
                    [c[0] + d, c[1]],
                    [c[0], c[1] + d],
                    [c[0], c[1]],
                ];
                let mut hole = island;
                hole.reverse();
                features.push(classed(number, class, Geometry::polygon(&[&shell, &hole])));
                features.push(classed(n * n, "island", Geometry::polygon(&[&island])));
            } else {
                features.push(classed(number, class, Geometry::polygon(&[&shell])));
            }
        }
    }
    features
}

fn workspace() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let parcels = lattice(25, 100.0, [EAST, NORTH], &["0101", "0301", "0702"]);
    add(&store, "dltb", 4527, parcels);
    let zones = lattice(5, 411.0, [EAST + 133.0, NORTH + 71.0], &["010", "020"]);
    add(&store, "zones", 4527, zones);
    // Rights that lie on each other, two of them the same.
    let mut rights: Vec<Feature> = (0..6)
        .map(|k| {
            let at = f64::from(k) * 150.0;
            let shape = square(EAST + 200.0 + at, NORTH + 300.0 + at / 2.0, 400.0);
            classed(i64::from(k), "coal", shape)
        })
        .collect();
    rights.push(classed(
        6,
        "iron",
        square(EAST + 200.0, NORTH + 300.0, 400.0),
    ));
    add(&store, "rights", 4527, rights);
    (dir, store)
}

fn pieces_of(
    store: &Store,
    layers: &[&str],
    operation: Operation,
    mode: AreaMode,
    clip: Option<Clip>,
) -> Vec<PieceRow> {
    with_request(store, layers, operation, mode, clip, |request| {
        let mut found = Vec::new();
        let budget = Budget::unlimited();
        analysis::pieces(request, &budget, &|_| {}, &mut |piece| {
            found.push(piece);
            Ok::<(), AnalysisError>(())
        })
        .unwrap();
        found
    })
}

fn with_request<T>(
    store: &Store,
    layers: &[&str],
    operation: Operation,
    mode: AreaMode,
    clip: Option<Clip>,
    then: impl FnOnce(&Request<'_>) -> T,
) -> T {
    let snapshots: Vec<_> = layers
        .iter()
        .map(|name| store.snapshot(name).unwrap().unwrap())
        .collect();
    let selections: Vec<Selection<'_>> = snapshots
        .iter()
        .map(|snapshot| Selection {
            snapshot,
            grouping: Grouping::Feature,
        })
        .collect();
    then(&Request {
        selections: &selections,
        conditions: Vec::new(),
        clip,
        operation,
        mode,
    })
}

fn shape_of(store: &Store, layer: &str, number: u32) -> Geometry {
    let snapshot = store.snapshot(layer).unwrap().unwrap();
    let (data, _) = snapshot.vector().unwrap();
    let record = data.index.record(number);
    let view = data.features.feature(record.offset).unwrap();
    view.geometry().unwrap().to_geometry()
}

/// Areas of features by themselves.
fn own_areas(store: &Store, layer: &str, mode: AreaMode) -> BTreeMap<Group, f64> {
    let snapshot = store.snapshot(layer).unwrap().unwrap();
    let selection = Selection {
        snapshot: &snapshot,
        grouping: Grouping::Feature,
    };
    analysis::control_areas(&selection, &[], mode, None, &Budget::unlimited()).unwrap()
}

fn id_of(store: &Store, layer: &str, number: u32) -> Group {
    let snapshot = store.snapshot(layer).unwrap().unwrap();
    Group::Value(
        snapshot
            .vector()
            .unwrap()
            .0
            .index
            .record(number)
            .id
            .to_string(),
    )
}

#[test]
fn pieces_of_every_parcel_add_up_to_it_and_agree_with_the_table() {
    let (_dir, store) = workspace();
    for mode in [AreaMode::Additive, AreaMode::Planar] {
        let pieces = pieces_of(&store, &["dltb", "zones"], Operation::Identity, mode, None);
        let own = own_areas(&store, "dltb", mode);
        let mut sums: BTreeMap<Group, f64> = BTreeMap::new();
        let mut pairs: BTreeMap<Vec<Group>, f64> = BTreeMap::new();
        for piece in &pieces {
            assert!(is_valid(&piece.geometry), "{:?}", piece.geometry);
            assert!(piece.area_m2 > 0.0);
            let left = id_of(&store, "dltb", piece.features[0].unwrap());
            let right = piece.features[1].map_or(Group::Outside, |f| id_of(&store, "zones", f));
            *sums.entry(left.clone()).or_insert(0.0) += piece.area_m2;
            assert_eq!(pairs.insert(vec![left, right], piece.area_m2), None);
        }
        assert_eq!(sums.len(), 626);
        for (id, sum) in &sums {
            assert!((sum - own[id]).abs() < 1e-4, "{id:?}: {sum} of {}", own[id]);
        }
        let table = with_request(
            &store,
            &["dltb", "zones"],
            Operation::Identity,
            mode,
            None,
            |request| analysis::areas_of(request, &Budget::unlimited(), &|_| {}).unwrap(),
        );
        assert_eq!(table.rows.len(), pairs.len());
        for row in &table.rows {
            let piece = pairs[&row.groups];
            assert!((row.area_m2 - piece).abs() < 1e-3, "{row:?}: {piece}");
        }
    }
}

#[test]
fn what_nothing_crosses_is_copied_and_vertices_stay_where_they_are() {
    let (_dir, store) = workspace();
    let pieces = pieces_of(
        &store,
        &["dltb", "zones"],
        Operation::Union,
        AreaMode::Planar,
        None,
    );
    let mut whole = 0;
    for piece in pieces.iter().filter(|piece| piece.features[0].is_some()) {
        let original = shape_of(&store, "dltb", piece.features[0].unwrap());
        if piece.whole {
            whole += 1;
            assert_eq!(piece.geometry, original);
        }
    }
    assert!(whole > 100 && whole < 600, "{whole}");
    // Every vertex is one of a parcel, of a zone, or a crossing; those of parcels are exact.
    let known: std::collections::HashSet<[u64; 2]> = ["dltb", "zones"]
        .iter()
        .flat_map(|layer| {
            let snapshot = store.snapshot(layer).unwrap().unwrap();
            let count = snapshot.vector().unwrap().0.index.len() as u32;
            (0..count)
                .flat_map(|n| shape_of(&store, layer, n).xy)
                .collect::<Vec<f64>>()
        })
        .collect::<Vec<f64>>()
        .chunks_exact(2)
        .map(|p| [p[0].to_bits(), p[1].to_bits()])
        .collect();
    let (mut exact, mut all) = (0, 0);
    for piece in &pieces {
        for p in piece.geometry.xy.chunks_exact(2) {
            all += 1;
            exact += usize::from(known.contains(&[p[0].to_bits(), p[1].to_bits()]));
        }
    }
    assert!(exact * 10 > all * 8, "{exact} of {all}");
}

#[test]
fn operations_divide_the_union() {
    let (_dir, store) = workspace();
    let area = |operation| -> f64 {
        let pieces = pieces_of(
            &store,
            &["dltb", "zones"],
            operation,
            AreaMode::Planar,
            None,
        );
        pieces.iter().map(|piece| piece.area_m2).sum()
    };
    let own = |layer| -> f64 { own_areas(&store, layer, AreaMode::Planar).values().sum() };
    let both = area(Operation::Intersection);
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-2, "{a} {b}");
    close(area(Operation::Identity), own("dltb"));
    close(area(Operation::Difference), own("dltb") - both);
    close(area(Operation::Union), own("dltb") + own("zones") - both);
    close(
        area(Operation::SymmetricDifference),
        own("dltb") + own("zones") - 2.0 * both,
    );
    close(area(Operation::Clip), both);
}

#[test]
fn a_layer_that_overlaps_itself_leaves_no_negative_area() {
    let (_dir, store) = workspace();
    let mode = AreaMode::Planar;
    let own = own_areas(&store, "dltb", mode);
    for order in [["dltb", "rights"], ["rights", "dltb"]] {
        let parcels = order.iter().position(|name| *name == "dltb").unwrap();
        let table = with_request(&store, &order, Operation::Union, mode, None, |request| {
            analysis::areas_of(request, &Budget::unlimited(), &|_| {}).unwrap()
        });
        assert!(table.rows.iter().all(|row| row.area_m2 > 0.0));
        if parcels == 0 {
            assert!(!table.overlaps.is_empty());
            for (id, area) in &own {
                let rows = table.rows.iter().filter(|row| row.groups[0] == *id);
                let sum: f64 = rows.map(|row| row.area_m2).sum();
                let excess = table.overlaps.iter().filter(|e| e.row.groups[0] == *id);
                let excess: f64 = excess.map(|e| e.row.area_m2).sum();
                // Tables are computed on a grid of 3.8 µm.
                assert!((sum - excess - area).abs() < 2e-3, "{id:?}");
            }
        }
        // What no right covers is the same from both sides.
        let free: f64 = table
            .rows
            .iter()
            .filter(|row| row.groups[1 - parcels] == Group::Outside)
            .map(|row| row.area_m2)
            .sum();
        let total: f64 = own.values().sum();
        let clipped = pieces_of(&store, &["dltb", "rights"], Operation::Clip, mode, None);
        let covered: f64 = clipped.iter().map(|piece| piece.area_m2).sum();
        assert!((free + covered - total).abs() < 1e-3, "{free} {covered}");
        assert!(clipped.iter().all(|piece| is_valid(&piece.geometry)));
    }
}

#[test]
fn dissolving_keeps_the_area_and_drops_borders_between() {
    let (_dir, store) = workspace();
    let dissolved = |layer: &str, grouping: Grouping| {
        let snapshot = store.snapshot(layer).unwrap().unwrap();
        let selection = Selection {
            snapshot: &snapshot,
            grouping,
        };
        let budget = Budget::unlimited();
        let made = analysis::dissolve(&selection, &[], AreaMode::Planar, &budget, &|_| {});
        made.unwrap().0
    };
    let classes = dissolved("dltb", Grouping::Field("CLASS".into()));
    assert_eq!(classes.len(), 4);
    let total: f64 = classes.iter().map(|shape| shape.area_m2).sum();
    let own: f64 = own_areas(&store, "dltb", AreaMode::Planar).values().sum();
    assert!((total - own).abs() < 1e-3, "{total} {own}");
    assert!(classes.iter().all(|shape| is_valid(&shape.geometry)));
    let whole = dissolved("dltb", Grouping::Layer);
    assert_eq!((whole.len(), whole[0].features), (1, 626));
    assert_eq!(
        whole[0].geometry.ring_count(),
        1,
        "the island is no hole any more"
    );
    // Rights lie on each other: their union is smaller than their sum, each place counts once.
    let rights = dissolved("rights", Grouping::Layer);
    let sum: f64 = own_areas(&store, "rights", AreaMode::Planar).values().sum();
    let cover = rights[0].area_m2;
    assert!(cover < sum - 400.0 * 400.0 + 1.0, "{cover} {sum}");
    // Two of seven are the same; neighbours of the six others share 250 m × 325 m, and so on.
    let by_hand = union_of_squares(&[0.0, 150.0, 300.0, 450.0, 600.0, 750.0], 400.0);
    assert!((cover - by_hand).abs() < 1e-3, "{cover} {by_hand}");
}

/// The area of squares at (k, k/2) along a staircase: each adds what the one before lacks, which
/// is all it can share with those further back.
fn union_of_squares(places: &[f64], side: f64) -> f64 {
    let mut area = side * side;
    for pair in places.windows(2) {
        let (dx, dy) = (pair[1] - pair[0], (pair[1] - pair[0]) / 2.0);
        area += side * side - (side - dx) * (side - dy);
    }
    area
}

#[test]
fn clip_areas_and_conditions_come_before_the_work() {
    let (_dir, store) = workspace();
    let clip = Clip {
        polygons: square(EAST + 310.0, NORTH + 290.0, 777.0),
        crs: crs(4527, false),
    };
    let mode = AreaMode::Planar;
    let table = with_request(
        &store,
        &["dltb", "zones"],
        Operation::Union,
        mode,
        Some(clip.clone()),
        |request| analysis::areas_of(request, &Budget::unlimited(), &|_| {}).unwrap(),
    );
    let total: f64 = table.rows.iter().map(|row| row.area_m2).sum();
    assert!((total - 777.0 * 777.0).abs() < 1e-3, "{total}");
    let pieces = pieces_of(
        &store,
        &["dltb", "zones"],
        Operation::Union,
        mode,
        Some(clip),
    );
    let total: f64 = pieces.iter().map(|piece| piece.area_m2).sum();
    assert!((total - 777.0 * 777.0).abs() < 1e-3, "{total}");
    let only = with_request(
        &store,
        &["dltb", "zones"],
        Operation::Identity,
        mode,
        None,
        |request| {
            let request = Request {
                selections: request.selections,
                conditions: vec![vec!["CLASS=0101,island".parse().unwrap()]],
                clip: None,
                operation: request.operation,
                mode,
            };
            analysis::areas_of(&request, &Budget::unlimited(), &|_| {}).unwrap()
        },
    );
    assert_eq!(only.layers[0].features, 210);
    let own: f64 = only.rows.iter().map(|row| row.area_m2).sum();
    let all: f64 = own_areas(&store, "dltb", mode).values().sum();
    assert!(own < 0.4 * all && own > 0.3 * all);
}

#[test]
fn layers_of_different_systems_are_brought_to_the_first() {
    let (_dir, store) = workspace();
    // The zones once more, in degrees.
    let transform = onemap::crs::Transform::new(&crs(4527, false), &crs(4490, true)).unwrap();
    let degrees = lattice(5, 411.0, [EAST + 133.0, NORTH + 71.0], &["010", "020"])
        .into_iter()
        .map(|mut feature| {
            let geometry = feature.geometry.as_mut().unwrap();
            let mut points: Vec<(f64, f64)> =
                geometry.xy.chunks_exact(2).map(|p| (p[0], p[1])).collect();
            transform.transform(&mut points).unwrap();
            geometry.xy = points.into_iter().flat_map(|(x, y)| [x, y]).collect();
            feature
        })
        .collect();
    add(&store, "degrees", 4490, degrees);
    let own = own_areas(&store, "dltb", AreaMode::Additive);
    let total: f64 = own.values().sum();
    for layers in [["dltb", "degrees"], ["degrees", "dltb"]] {
        let pieces = pieces_of(&store, &layers, Operation::Union, AreaMode::Additive, None);
        let parcels = usize::from(layers[0] != "dltb");
        let sum: f64 = pieces
            .iter()
            .filter(|piece| piece.features[parcels].is_some())
            .map(|piece| piece.area_m2)
            .sum();
        assert!((sum - total).abs() < 0.1, "{sum} {total}");
        assert!(pieces.iter().all(|piece| is_valid(&piece.geometry)));
    }
}

#[test]
fn defects_have_place_and_size() {
    let (dir, store) = workspace();
    let bounds = analysis::SliverBounds {
        area_m2: 1.0,
        width_m: 0.1,
    };
    let look = |layer: &str| {
        let snapshot = store.snapshot(layer).unwrap().unwrap();
        analysis::defects(&snapshot, bounds, &Budget::unlimited(), &|_| {}).unwrap()
    };
    assert_eq!(look("dltb").defects, []);
    // Three squares around a gap of 2 m × 1 m, one reaches 0.5 m into another, and a sliver.
    let (e, n) = (EAST, NORTH);
    let box_of = |x: f64, y: f64, w: f64, h: f64| {
        Geometry::polygon(&[&[
            [e + x, n + y],
            [e + x + w, n + y],
            [e + x + w, n + y + h],
            [e + x, n + y + h],
            [e + x, n + y],
        ]])
    };
    let faulty = vec![
        classed(0, "a", box_of(0.0, 0.0, 12.0, 10.0)),
        classed(1, "a", box_of(0.0, 10.0, 5.0, 10.0)),
        classed(2, "a", box_of(7.0, 9.5, 5.0, 10.5)),
        classed(3, "a", box_of(5.0, 11.0, 2.0, 9.0)),
        classed(4, "a", box_of(12.0, 0.0, 0.05, 10.0)),
    ];
    add(&store, "faulty", 4527, faulty);
    let report = look("faulty");
    let kinds: Vec<(analysis::DefectKind, f64)> = report
        .defects
        .iter()
        .map(|defect| (defect.kind, (defect.area_m2 * 100.0).round() / 100.0))
        .collect();
    use analysis::DefectKind::{Gap, Overlap, Sliver};
    assert_eq!(kinds, [(Overlap, 2.5), (Gap, 2.0), (Sliver, 0.5)]);
    let gap = &report.defects[1];
    assert!((gap.place[0] - e - 6.0).abs() < 1.0 && (gap.place[1] - n - 10.5).abs() < 0.5);
    assert!((gap.width_m - 2.0 / 3.0).abs() < 1e-3);
    assert_eq!(report.defects[0].features.len(), 2);
    let shown = Command::new(env!("CARGO_BIN_EXE_onemap"))
        .args(["--quiet", "inspect"])
        .arg(dir.path())
        .args(["faulty", "--topology"])
        .output()
        .unwrap();
    assert_eq!(shown.status.code(), Some(1), "{shown:?}");
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.contains("1 overlaps") && text.contains("1 gaps"),
        "{text}"
    );
}

fn run(workspace: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_onemap"))
        .args(["--quiet", "overlay"])
        .arg(workspace)
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn official_areas_adjusted_to_the_parcels_add_up_to_the_hundredth() {
    let (dir, store) = workspace();
    let pair = [
        "--left", "dltb", "--right", "zones", "--by", "feature", "--op", "identity",
    ];
    let official = ["--area", "official", "--adjust"];
    let done = run(dir.path(), &[&pair[..], &official[..]].concat());
    assert!(done.status.success(), "{done:?}");
    let own = own_areas(&store, "dltb", AreaMode::Official);
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    let mut residuals = 0.0f64;
    for line in String::from_utf8(done.stdout).unwrap().lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        *sums.entry(cells[0].to_string()).or_insert(0.0) += cells[2].parse::<f64>().unwrap();
        residuals = residuals.max(cells[5].parse::<f64>().unwrap().abs());
    }
    assert_eq!(sums.len(), own.len());
    for (id, sum) in sums {
        let area = own[&Group::Value(id.clone())];
        assert!((sum - area).abs() < 1e-6, "{id}: {sum} {area}");
    }
    // Roundings of pieces are not those of parcels; they are small.
    assert!(residuals > 0.0 && residuals < 0.1, "{residuals}");
    // To the areas in the documents, which here are planar ones.
    let done = run(dir.path(), &[&pair[..], &["--adjust", "TBMJ"]].concat());
    assert!(done.status.success(), "{done:?}");
    let refused = run(
        dir.path(),
        &[
            "--left",
            "dltb",
            "--right",
            "zones",
            "--op",
            "difference",
            "--adjust",
        ],
    );
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn every_output_can_be_read_again() {
    let (dir, store) = workspace();
    let pair = ["--left", "dltb", "--right", "zones", "--op", "intersection"];
    let expected = pieces_of(
        &store,
        &["dltb", "zones"],
        Operation::Intersection,
        AreaMode::Additive,
        None,
    );
    let total: f64 = expected.iter().map(|piece| piece.area_m2).sum();
    for ending in ["fgb", "gpkg", "geojson"] {
        let out = dir.path().join(format!("pieces.{ending}"));
        let file = out.to_str().unwrap();
        // Twice: files that are there are replaced.
        for _ in 0..2 {
            let done = run(dir.path(), &[&pair[..], &["--out", file]].concat());
            assert!(done.status.success(), "{done:?}");
        }
        let (mut features, mut issues) = (Vec::new(), IssueLog::default());
        let spec = SourceSpec::new(file);
        let mut layer = source::open(&spec)
            .unwrap()
            .into_layer(&mut issues)
            .unwrap();
        while layer
            .read_batch(500, 1 << 16, &mut features, &mut issues)
            .unwrap()
        {}
        assert_eq!(features.len(), expected.len(), "{ending}");
        let schema = layer.schema();
        let names: Vec<&str> = schema.fields.iter().map(|f| f.name.as_str()).collect();
        for name in [
            "dltb_id",
            "dltb_CLASS",
            "zones_id",
            "zones_NO",
            "area_m2",
            "sliver",
        ] {
            assert!(names.contains(&name), "{ending}: {names:?}");
        }
        let area = schema.index_of("area_m2").unwrap();
        let sum: f64 = features
            .iter()
            .map(|feature| match feature.values[area] {
                Value::Real(area) => area,
                ref other => panic!("{other:?}"),
            })
            .sum();
        assert!((sum - total).abs() < 1e-3, "{ending}: {sum} {total}");
    }
    let done = run(dir.path(), &[&pair[..], &["--into", "pieces"]].concat());
    assert!(done.status.success(), "{done:?}");
    let layer = store.snapshot("pieces").unwrap().unwrap();
    assert_eq!(layer.vector().unwrap().1.features, expected.len() as u64);
    let dissolve = [
        "--left",
        "dltb",
        "--op",
        "dissolve",
        "--by",
        "dltb.CLASS",
        "--into",
        "dl",
    ];
    let done = run(dir.path(), &dissolve);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(
        store
            .snapshot("dl")
            .unwrap()
            .unwrap()
            .vector()
            .unwrap()
            .1
            .features,
        4
    );
    let book = dir.path().join("t.xlsx");
    let done = run(
        dir.path(),
        &[
            &pair[..],
            &["--out", book.to_str().unwrap(), "--unit", "mu"],
        ]
        .concat(),
    );
    assert!(done.status.success(), "{done:?}");
    assert_eq!(std::fs::read(&book).unwrap()[..2], *b"PK");
    for wrong in [
        ["--left", "dltb", "--op", "dissolve"],
        ["--left", "dltb", "--op", "union"],
    ] {
        assert_eq!(run(dir.path(), &wrong).status.code(), Some(2), "{wrong:?}");
    }
}
