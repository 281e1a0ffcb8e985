//! Reports about boundaries: the same areas as the overlay of whole layers, sums that hold to the
//! last printed digit, verdicts by rules, refusals.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onemap::analysis::report::boundary::Boundary;
use onemap::analysis::report::pieces::Detail;
use onemap::analysis::report::rules::{RuleSet, Verdict};
use onemap::analysis::report::{Limits, Report, ReportLayer, Reporter};
use onemap::analysis::{self, AnalysisError, AreaMode, Group, Grouping, Selection};
use onemap::geom::Geometry;
use onemap::model::{Feature, FieldType, Schema, Value};
use onemap::overlay::{
    Bow, Footprint, GridPoint, Labels, LayerBuilder, OUTSIDE, Options, Overlay, RingRole, Rings,
    Scratch,
};
use onemap::query::{Budget, Stop};
use onemap::store::Store;
use support::{crs, feature, field, import, square, text_field};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    fn unit(&mut self) -> f64 {
        self.below(1 << 40) as f64 / (1u64 << 40) as f64
    }
}

type GridRing = (RingRole, Vec<GridPoint>);

fn footprint(rings: &[GridRing]) -> Footprint {
    let mut builder = LayerBuilder::default();
    for (role, ring) in rings {
        builder.push_ring(0, *role, ring.iter().copied()).unwrap();
    }
    Footprint::new(builder.finish())
}

/// Common areas by the engine for whole layers, per label of the second layer.
fn by_overlay(boundary: &[GridRing], polygons: &[Vec<GridRing>]) -> BTreeMap<u32, i128> {
    let mut first = LayerBuilder::default();
    for (role, ring) in boundary {
        first.push_ring(0, *role, ring.iter().copied()).unwrap();
    }
    let mut second = LayerBuilder::default();
    for (label, polygon) in polygons.iter().enumerate() {
        for (role, ring) in polygon {
            second
                .push_ring(label as u32, *role, ring.iter().copied())
                .unwrap();
        }
    }
    let overlay = Overlay::new(vec![first.finish(), second.finish()], Options::default()).unwrap();
    let rows = overlay
        .areas()
        .unwrap_or_else(|e| panic!("{e} {boundary:?} {polygons:?}"))
        .rows_exact();
    rows.into_iter()
        .filter(|(labels, _)| labels[0] == 0 && labels[1] != OUTSIDE)
        .map(|(labels, sum)| (labels[1], sum))
        .collect()
}

fn by_footprint(boundary: &[GridRing], polygons: &[Vec<GridRing>]) -> BTreeMap<u32, i128> {
    let footprint = footprint(boundary);
    let mut scratch = Scratch::default();
    let mut areas = BTreeMap::new();
    for (label, polygon) in polygons.iter().enumerate() {
        let mut rings = Rings::default();
        for (role, ring) in polygon {
            rings.points.extend(ring);
            rings.close(*role);
        }
        let area = footprint.common_area(&rings, &mut scratch).unwrap();
        if area != 0 {
            areas.insert(label as u32, area);
        }
    }
    areas
}

/// Rounding of crossings moves an area by less than this: 2⁻¹⁶ grid units along the perimeter.
fn expect_equal(boundary: &[GridRing], polygons: &[Vec<GridRing>], perimeter: i128) {
    let whole = by_overlay(boundary, polygons);
    let one_by_one = by_footprint(boundary, polygons);
    let labels: std::collections::BTreeSet<u32> =
        whole.keys().chain(one_by_one.keys()).copied().collect();
    for label in labels {
        let a = whole.get(&label).copied().unwrap_or(0);
        let b = one_by_one.get(&label).copied().unwrap_or(0);
        assert!(
            (a - b).abs() <= perimeter << 18,
            "{label}: {a} {b} in {boundary:?} and {:?}",
            polygons[label as usize]
        );
    }
}

#[test]
fn on_a_tiny_lattice_with_every_degeneracy_areas_are_those_of_the_overlay() {
    let mut random = Random(0x5eed);
    for _ in 0..4000 {
        let ring = |random: &mut Random| -> GridRing {
            let role = if random.below(4) == 0 {
                RingRole::Hole
            } else {
                RingRole::Shell
            };
            let points = (0..3 + random.below(6))
                .map(|_| [random.below(8) as i64, random.below(8) as i64])
                .collect();
            (role, points)
        };
        let boundary: Vec<GridRing> = (0..1 + random.below(2))
            .map(|_| ring(&mut random))
            .collect();
        let polygons: Vec<Vec<GridRing>> = (0..1 + random.below(4))
            .map(|_| {
                (0..1 + random.below(2))
                    .map(|_| ring(&mut random))
                    .collect()
            })
            .collect();
        expect_equal(&boundary, &polygons, 400);
    }
}

#[test]
fn polygons_that_share_borders_cut_a_boundary_into_areas_that_add_up_exactly() {
    let mut random = Random(0xabc);
    for _ in 0..60 {
        // A jittered lattice that covers the boundary: its pieces are the boundary, as integers.
        let n = 8usize;
        let step = 1000i64;
        let mut node = vec![[0i64; 2]; (n + 1) * (n + 1)];
        for j in 0..=n {
            for i in 0..=n {
                node[j * (n + 1) + i] = [
                    i as i64 * step + random.below(600) as i64 - 300,
                    j as i64 * step + random.below(600) as i64 - 300,
                ];
            }
        }
        let polygons: Vec<Vec<GridRing>> = (0..n * n)
            .map(|cell| {
                let at = (cell / n) * (n + 1) + cell % n;
                let corners = [at, at + 1, at + n + 2, at + n + 1].map(|k| node[k]);
                vec![(RingRole::Shell, corners.to_vec())]
            })
            .collect();
        let count = 3 + random.below(40);
        let boundary: Vec<GridPoint> = (0..count)
            .map(|k| {
                let angle = k as f64 / count as f64 * std::f64::consts::TAU;
                let radius = 500.0 + random.unit() * 2500.0;
                [4000.0 + radius * angle.cos(), 4000.0 + radius * angle.sin()]
                    .map(|v: f64| v.round() as i64)
            })
            .collect();
        let boundary = vec![(RingRole::Shell, boundary)];
        let areas = by_footprint(&boundary, &polygons);
        let total: i128 = areas.values().sum();
        assert_eq!(total, footprint(&boundary).exact_area());
        expect_equal(&boundary, &polygons, 100_000);
    }
}

#[test]
fn bent_edges_count_as_they_do_for_the_overlay() {
    let mut random = Random(0xb0e);
    let bow = |random: &mut Random| {
        let mut form = || [0; 3].map(|_| (random.unit() - 0.5) * 1e-7);
        Bow::of_quadratic([form(), form()])
    };
    for _ in 0..60 {
        let (first_bow, second_bow) = (bow(&mut random), bow(&mut random));
        let mut ring = |count: u64| -> Vec<GridPoint> {
            let mut point = || (random.below(200_000_000)) as i64;
            (0..count).map(|_| [point(), point()]).collect()
        };
        let boundary = ring(7);
        let polygons: Vec<Vec<GridPoint>> = (0..4).map(|_| ring(5)).collect();
        let mut first = LayerBuilder::with_bow(first_bow);
        first
            .push_ring(0, RingRole::Shell, boundary.iter().copied())
            .unwrap();
        let footprint = Footprint::new(first.finish());
        for polygon in &polygons {
            let mut first = LayerBuilder::with_bow(first_bow);
            let mut second = LayerBuilder::with_bow(second_bow);
            for (builder, ring) in [(&mut first, &boundary), (&mut second, polygon)] {
                let points = ring.iter().copied();
                builder.push_ring(0, RingRole::Shell, points).unwrap();
            }
            let layers = vec![first.finish(), second.finish()];
            let table = Overlay::new(layers, Options::default()).unwrap();
            let rows = table.areas().unwrap().rows_exact();
            let inside = |row: &&(Labels, i128)| row.0[0] == 0 && row.0[1] == 0;
            let expected = rows.iter().find(inside).map_or(0, |row| row.1);
            let mut rings = Rings {
                points: polygon.clone(),
                bow: second_bow,
                ..Rings::default()
            };
            rings.close(RingRole::Shell);
            let mut scratch = Scratch::default();
            let found = footprint.common_area(&rings, &mut scratch).unwrap();
            // Crossings are rounded alike, shares of bows to a unit each.
            assert!((found - expected).abs() < 1 << 50, "{found} {expected}");
            let own = rows.iter().filter(|row| row.0[1] == 0).map(|row| row.1);
            assert!((rings.exact_area() - own.sum::<i128>()).abs() < 1 << 50);
        }
    }
}

fn schema() -> Schema {
    Schema {
        fields: vec![
            text_field("DLBM"),
            text_field("DLMC"),
            field("NO", FieldType::Integer),
        ],
    }
}

fn classed(number: i64, class: Option<&str>, geometry: Geometry) -> Feature {
    let text = |text: Option<&str>| text.map_or(Value::Null, |t| Value::Text(t.into()));
    let name = class.map(|class| format!("类{class}"));
    let values = vec![text(class), text(name.as_deref()), Value::Integer(number)];
    feature(number, geometry, values)
}

fn add(store: &Store, name: &str, epsg: u32, features: Vec<Feature>) {
    let system = crs(epsg, matches!(epsg, 4490 | 4610));
    import(store, name, system, schema(), features, |options| {
        options.id_field = Some("NO".into());
    });
}

/// Parcels of 0.001° in three classes (one without), farmland of 0.0037°, a red line apart, all in
/// degrees; and parcels of 100 m in zone 34 of the same place.
fn workspace() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let lattice = |n: i64, side: f64, classes: &[Option<&str>]| -> Vec<Feature> {
        (0..n * n)
            .map(|i| {
                let (x, y) = (104.0 + (i % n) as f64 * side, 30.2 + (i / n) as f64 * side);
                classed(i, classes[i as usize % classes.len()], square(x, y, side))
            })
            .collect()
    };
    let classes = [Some("0101"), Some("0301"), None, Some("0702")];
    add(&store, "dltb", 4490, lattice(40, 0.001, &classes));
    add(&store, "yjjbnt", 4490, lattice(4, 0.0037, &[Some("1")]));
    add(
        &store,
        "stbhhx",
        4490,
        vec![classed(7, Some("01"), square(104.5, 30.2, 0.01))],
    );
    let projected = (0..900)
        .map(|i| {
            let (x, y) = ((i % 30) as f64 * 100.0, (i / 30) as f64 * 100.0);
            let corner = square(34_690_000.0 + x, 3_342_000.0 + y, 100.0);
            classed(i, Some(["0101", "0201"][i as usize % 2]), corner)
        })
        .collect();
    add(&store, "gk", 4522, projected);
    (dir, store)
}

fn rules(text: &str) -> Arc<RuleSet> {
    Arc::new(RuleSet::parse(text.as_bytes()).unwrap())
}

fn no_rules() -> Arc<RuleSet> {
    rules(r#"{"id": "none", "version": "1", "title": {"zh": "无", "en": "none"}}"#)
}

fn default_rules() -> Arc<RuleSet> {
    Arc::new(RuleSet::parse(include_bytes!("../styles/rules.json")).unwrap())
}

fn reporter(
    store: &Store,
    layers: &[(&str, Option<&str>)],
    rules: Arc<RuleSet>,
    limits: Limits,
) -> Result<Reporter, AnalysisError> {
    let layers = layers
        .iter()
        .map(|(name, field)| ReportLayer {
            snapshot: store.snapshot(name).unwrap().unwrap(),
            field: field.map(str::to_string),
        })
        .collect();
    Reporter::new(layers, rules, limits)
}

fn star(random: &mut Random, center: [f64; 2], radius: f64, count: usize) -> Geometry {
    let mut ring: Vec<[f64; 2]> = (0..count)
        .map(|k| {
            let angle = k as f64 / count as f64 * std::f64::consts::TAU;
            let r = radius * (0.4 + 0.6 * random.unit());
            [center[0] + r * angle.cos(), center[1] + r * angle.sin()]
        })
        .collect();
    ring.push(ring[0]);
    Geometry::polygon(&[&ring])
}

fn boundary(name: &str, epsg: u32, geometry: Geometry) -> Boundary {
    Boundary {
        name: name.into(),
        crs: crs(epsg, epsg == 4490),
        geometry,
    }
}

fn ask(reporter: &Reporter, boundary: &Boundary) -> Report {
    reporter.report(boundary, &Budget::unlimited()).unwrap()
}

/// Printed areas as whole units of 0.0001 m².
fn units(area_m2: f64) -> i64 {
    (area_m2 * 1e4).round() as i64
}

#[test]
fn rows_and_features_add_up_to_the_boundary_to_the_last_digit() {
    let (_dir, store) = workspace();
    let layers = [
        ("dltb", Some("DLBM")),
        ("yjjbnt", None),
        ("stbhhx", None),
        ("gk", Some("NO")),
    ];
    let reporter = reporter(&store, &layers, no_rules(), Limits::NONE).unwrap();
    let mut random = Random(3);
    for case in 0..40 {
        let center = [104.0 + 0.04 * random.unit(), 30.2 + 0.04 * random.unit()];
        let radius = [0.0004, 0.003, 0.02][case % 3];
        let shape = star(&mut random, center, radius, 5 + 20 * (case % 5));
        let report = ask(&reporter, &boundary("x", 4490, shape));
        let total = units(report.boundary.area_m2);
        for layer in &report.layers {
            let sum: i64 = layer.rows.iter().map(|row| units(row.area_m2)).sum();
            assert_eq!(sum, total, "{case} {}", layer.layer);
            for row in layer.rows.iter().filter(|row| !row.outside) {
                let own: i64 = layer
                    .features
                    .iter()
                    .filter(|feature| feature.value == row.value)
                    .map(|feature| units(feature.area_m2))
                    .sum();
                assert_eq!(own, units(row.area_m2), "{case} {}", layer.layer);
            }
            assert!(!layer.overlaps_itself);
            let shares: f64 = layer.rows.iter().map(|row| row.share).sum();
            assert!((shares - 1.0).abs() < 1e-6);
        }
    }
}

#[test]
fn a_report_is_the_slice_of_the_whole_overlay() {
    let (_dir, store) = workspace();
    let mut random = Random(11);
    for (layer, epsg, center, radius) in [
        ("dltb", 4490, [104.02, 30.22], 0.015),
        ("gk", 4522, [34_691_500.0, 3_343_500.0], 1300.0),
        // From degrees into a projected layer.
        ("gk", 4490, [103.99, 30.196], 0.01),
    ] {
        let shape = star(&mut random, center, radius, 60);
        let name = format!("b{epsg}{layer}");
        add(&store, &name, epsg, vec![classed(1, None, shape.clone())]);
        let reporter = reporter(&store, &[(layer, Some("NO"))], no_rules(), Limits::NONE).unwrap();
        let report = ask(&reporter, &boundary("x", epsg, shape));
        let snapshots = [&name[..], layer].map(|n| store.snapshot(n).unwrap().unwrap());
        let selections = [
            Selection {
                snapshot: &snapshots[0],
                grouping: Grouping::Layer,
            },
            Selection {
                snapshot: &snapshots[1],
                grouping: Grouping::Field("NO".into()),
            },
        ];
        let whole = analysis::areas(
            &selections,
            AreaMode::Additive,
            &Budget::unlimited(),
            &|_| {},
        )
        .unwrap();
        let inside = |group: &Group| *group != Group::Outside;
        let expected: BTreeMap<&Group, f64> = whole
            .rows
            .iter()
            .filter(|row| inside(&row.groups[0]) && inside(&row.groups[1]))
            .map(|row| (&row.groups[1], row.area_m2))
            .collect();
        let found: BTreeMap<&Group, f64> = report.layers[0]
            .rows
            .iter()
            .filter(|row| !row.outside)
            .map(|row| (&row.value, row.area_m2))
            .collect();
        assert!(found.len() > 100, "{layer} {epsg} {}", found.len());
        assert_eq!(found.len(), expected.len());
        for (group, area) in expected {
            // Whole 0.0001 m², and a position may fall to the next grid line, 1 µm away.
            assert!((found[group] - area).abs() < 3e-4, "{group:?}");
        }
    }
}

#[test]
fn one_parcel_is_itself_and_nothing_else() {
    let (_dir, store) = workspace();
    let all = [("dltb", Some("DLBM")), ("stbhhx", None)];
    let reporter = reporter(&store, &all, no_rules(), Limits::NONE).unwrap();
    let report = ask(
        &reporter,
        &boundary("parcel 0", 4490, square(104.0, 30.2, 0.001)),
    );
    let land = &report.layers[0];
    assert_eq!(land.rows.len(), 1, "{:?}", land.rows);
    assert_eq!(land.rows[0].value, Group::Value("0101".into()));
    assert_eq!(land.rows[0].label.as_deref(), Some("类0101"));
    assert_eq!(land.rows[0].area_m2, report.boundary.area_m2);
    assert_eq!(land.features.len(), 1);
    assert_eq!(land.features[0].share_of_feature, 1.0);
    let red = &report.layers[1];
    assert_eq!(red.touched, 0);
    assert_eq!(red.rows.len(), 1);
    assert!(red.rows[0].outside);
    // 0.001° at 30.2° north is some 96 by 111 m.
    assert!((report.boundary.area_m2 - 10_670.0).abs() < 30.0);
    let official = report.boundary.official_area_m2.unwrap();
    assert!(
        (official - report.boundary.area_m2).abs() < 0.02,
        "{official}"
    );
    assert_eq!(report.boundary.vertices, 5);
}

#[test]
fn pieces_have_their_official_areas_and_what_they_miss_is_said() {
    let (_dir, store) = workspace();
    let layers = [("dltb", Some("DLBM")), ("yjjbnt", None), ("gk", Some("NO"))];
    let reporter = reporter(&store, &layers, no_rules(), Limits::NONE).unwrap();
    let detail = Detail {
        official: true,
        shapes: true,
    };
    let mut random = Random(5);
    for case in 0..6 {
        let center = [104.0 + 0.03 * random.unit(), 30.2 + 0.03 * random.unit()];
        let shape = star(&mut random, center, [0.002, 0.006][case % 2], 17);
        // A side that is straight in degrees is a bow in the zone's plane: L² tan φ / 8R high.
        let bows: f64 = shape
            .xy
            .chunks_exact(2)
            .zip(shape.xy[2..].chunks_exact(2))
            .map(|(p, q)| {
                let side = ((q[0] - p[0]) * 96_500.0).hypot((q[1] - p[1]) * 111_000.0);
                side.powi(3) * 30.2f64.to_radians().tan() / (12.0 * 6.37e6)
            })
            .sum();
        let site = boundary("x", 4490, shape);
        let budget = Budget::unlimited();
        let (report, shapes) = reporter.detailed(&site, detail, &budget).unwrap();
        let mut plain = report.clone();
        let whole = report.boundary.official_area_m2.unwrap();
        for (number, layer) in report.layers.iter().enumerate() {
            let official = |area: Option<f64>| area.expect("asked for");
            let sum: f64 = layer
                .rows
                .iter()
                .map(|row| official(row.official_area_m2))
                .sum();
            let residual = official(layer.official_residual_m2);
            assert!((whole - sum - residual).abs() < 1e-6);
            // A hundredth for each piece, roundings of 0.03 mm along its border, the bows.
            let most = 0.02 * (layer.touched as f64 + 1.0) + 1.5 * bows;
            assert!(residual.abs() < most, "{residual} {most}");
            for feature in &layer.features {
                let difference = official(feature.official_area_m2) - feature.area_m2;
                assert!(difference.abs() < 0.03 + bows, "{difference}");
            }
            for row in &layer.rows {
                let of_row = layer
                    .features
                    .iter()
                    .filter(|feature| feature.value == row.value);
                let own: f64 = of_row.map(|f| official(f.official_area_m2)).sum();
                assert!(row.outside || (own - official(row.official_area_m2)).abs() < 1e-6);
            }
            let own = shapes.iter().filter(|shape| shape.layer == number);
            let ids: BTreeSet<u64> = own.clone().filter_map(|shape| shape.feature).collect();
            let listed: BTreeSet<u64> = layer.features.iter().map(|feature| feature.id).collect();
            assert!(listed.is_subset(&ids));
            let outside = layer
                .rows
                .iter()
                .any(|row| row.outside && row.area_m2 > 0.01);
            assert!(!outside || own.clone().any(|shape| shape.feature.is_none()));
            for shape in own {
                for ring in shape.polygons.iter().flatten() {
                    assert_eq!(ring.first(), ring.last());
                }
            }
        }
        // Beside what is asked for nothing is different.
        for layer in &mut plain.layers {
            layer.official_residual_m2 = None;
            layer
                .rows
                .iter_mut()
                .for_each(|row| row.official_area_m2 = None);
            layer
                .features
                .iter_mut()
                .for_each(|row| row.official_area_m2 = None);
        }
        assert_eq!(plain, ask(&reporter, &site));
    }
    // A parcel's piece that is all of it has the parcel's own official area.
    let site = boundary("p", 4522, square(34_690_300.0, 3_342_300.0, 100.0));
    let gk = [("gk", Some("NO"))];
    let reporter = self::reporter(&store, &gk, no_rules(), Limits::NONE).unwrap();
    let (report, _) = reporter
        .detailed(&site, detail, &Budget::unlimited())
        .unwrap();
    let feature = &report.layers[0].features[0];
    assert_eq!(feature.official_area_m2, report.boundary.official_area_m2);
    assert_eq!(report.layers[0].official_residual_m2, Some(0.0));
}

#[test]
fn a_boundary_with_holes_and_parts_counts_as_such() {
    let (_dir, store) = workspace();
    let reporter = reporter(&store, &[("dltb", None)], no_rules(), Limits::NONE).unwrap();
    let ring = |x: f64, y: f64, side: f64| {
        [
            [x, y],
            [x + side, y],
            [x + side, y + side],
            [x, y + side],
            [x, y],
        ]
    };
    let whole = ask(&reporter, &boundary("w", 4490, square(104.01, 30.21, 0.01)));
    let hole = ask(
        &reporter,
        &boundary("h", 4490, square(104.013, 30.213, 0.002)),
    );
    let with_hole = Geometry::polygon(&[&ring(104.01, 30.21, 0.01), &ring(104.013, 30.213, 0.002)]);
    let with_hole = ask(&reporter, &boundary("wh", 4490, with_hole));
    let difference = units(whole.boundary.area_m2) - units(hole.boundary.area_m2);
    assert!((units(with_hole.boundary.area_m2) - difference).abs() <= 1);
    let official = |report: &Report| report.boundary.official_area_m2.unwrap();
    assert!((official(&with_hole) - official(&whole) + official(&hole)).abs() < 0.011);
    assert_eq!(with_hole.layers[0].rows.len(), 1);
}

#[test]
fn the_default_rules_judge() {
    let (_dir, store) = workspace();
    let layers = [("dltb", None), ("yjjbnt", None), ("stbhhx", None)];
    let reporter = reporter(&store, &layers, default_rules(), Limits::NONE).unwrap();
    let bad = ask(
        &reporter,
        &boundary("a", 4490, square(104.003, 30.203, 0.004)),
    );
    assert_eq!(bad.verdict, Some(Verdict::Fail));
    assert_eq!(bad.rules.version, "2026.1");
    let land = &bad.layers[0];
    assert_eq!(land.field.as_deref(), Some("DLBM"), "the family's field");
    assert_eq!(land.checks[0].verdict, Verdict::Warn);
    let cropland: f64 = land
        .rows
        .iter()
        .filter(|row| row.value == Group::Value("0101".into()))
        .map(|row| row.area_m2)
        .sum();
    assert!((land.checks[0].area_m2 - cropland).abs() < 2e-4);
    assert!(
        land.checks[0]
            .text
            .zh
            .contains(&format!("{:.4}", cropland / 1e4))
    );
    let farmland = &bad.layers[1];
    assert_eq!(farmland.checks[0].verdict, Verdict::Fail);
    assert_eq!(farmland.checks[0].features, 4);
    assert_eq!(bad.layers[2].checks[0].verdict, Verdict::Pass);
    assert_eq!(bad.layers[2].checks[0].text.zh, "未压占生态保护红线");
    let good = ask(
        &reporter,
        &boundary("b", 4490, square(104.0391, 30.2391, 0.0005)),
    );
    assert_eq!(good.verdict, Some(Verdict::Pass), "{:?}", good.layers);
}

#[test]
fn thresholds_are_exceeded_not_reached_and_shares_count() {
    let (_dir, store) = workspace();
    let rules = rules(
        r#"{"id": "t", "version": "7", "title": {"zh": "t", "en": "t"}, "families": [
            {"layers": ["DLTB"], "title": {"zh": "t", "en": "t"}, "checks": [
              {"id": "half", "measure": "inside", "warn": {"above_share": 0.5}, "fail": {"above_share": 1.0},
               "text": {"pass": {"zh": "p {share}", "en": "p"}, "warn": {"zh": "w {share}", "en": "w"}, "fail": {"zh": "f", "en": "f"}}},
              {"id": "out", "measure": "outside", "fail": {"above_m2": 10},
               "text": {"pass": {"zh": "p", "en": "p"}, "fail": {"zh": "f {area_m2} {features}", "en": "f"}}}]}]}"#,
    );
    let reporter = reporter(&store, &[("dltb", None)], rules, Limits::NONE).unwrap();
    let within = ask(&reporter, &boundary("a", 4490, square(104.01, 30.21, 0.01)));
    let verdicts: Vec<Verdict> = within.layers[0].checks.iter().map(|c| c.verdict).collect();
    assert_eq!(verdicts, [Verdict::Warn, Verdict::Pass]);
    assert_eq!(within.layers[0].checks[0].text.zh, "w 100.00%");
    let across = ask(
        &reporter,
        &boundary("a", 4490, square(104.03, 30.21, 0.0300000)),
    );
    let verdicts: Vec<Verdict> = across.layers[0].checks.iter().map(|c| c.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Fail]);
}

#[test]
fn what_cannot_be_answered_is_refused_with_the_reason() {
    let (_dir, store) = workspace();
    let refused = |layers: &[(&str, Option<&str>)]| {
        let error = reporter(&store, layers, no_rules(), Limits::NONE).err();
        error.expect("a refusal").to_string()
    };
    assert!(refused(&[]).contains("no layers"));
    let field = refused(&[("dltb", Some("XX"))]);
    assert!(
        field.contains("\"XX\"") && field.contains("DLBM"),
        "{field}"
    );
    let reporter_of = |limits| reporter(&store, &[("dltb", None)], no_rules(), limits).unwrap();
    let free = reporter_of(Limits::NONE);
    let error = |reporter: &Reporter, boundary: &Boundary, budget: &Budget| {
        reporter.report(boundary, budget).unwrap_err()
    };
    let unlimited = Budget::unlimited();
    let site = boundary("site", 4490, square(104.0, 30.2, 0.03));
    let line = Boundary {
        geometry: Geometry::point(104.0, 30.0),
        ..site.clone()
    };
    assert!(matches!(
        error(&free, &line, &unlimited),
        AnalysisError::BoundaryNotPolygon { found: "Point", .. }
    ));
    let flat = Geometry::polygon(&[&[[104.0, 30.0], [104.1, 30.1], [104.0, 30.0]]]);
    assert!(matches!(
        error(&free, &boundary("flat", 4490, flat), &unlimited),
        AnalysisError::BoundaryWithoutArea { .. }
    ));
    let old = Boundary {
        crs: crs(4610, true),
        ..site.clone()
    };
    assert!(matches!(
        error(&free, &old, &unlimited),
        AnalysisError::MixedDatum { .. }
    ));
    let nowhere = boundary("n", 4490, square(f64::NAN, 30.2, 0.03));
    assert!(matches!(
        error(&free, &nowhere, &unlimited),
        AnalysisError::Crs(_)
    ));
    let limited = reporter_of(Limits {
        vertices: 100,
        ..Limits::NONE
    });
    assert!(matches!(
        error(&limited, &site, &unlimited),
        AnalysisError::TooManyVertices { .. }
    ));
    let small = reporter_of(Limits {
        area_m2: 1e6,
        ..Limits::NONE
    });
    assert!(matches!(
        error(&small, &site, &unlimited),
        AnalysisError::AreaTooLarge { .. }
    ));
    let cancelled = Budget::unlimited();
    let flag = cancelled.cancel_flag();
    flag.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(
        error(&free, &site, &cancelled),
        AnalysisError::Stopped(Stop::Cancelled)
    ));
}

#[test]
fn features_beyond_the_limit_are_counted_and_the_largest_are_listed() {
    let (_dir, store) = workspace();
    let limits = Limits {
        listed_features: 3,
        ..Limits::NONE
    };
    let reporter = reporter(&store, &[("dltb", Some("DLBM"))], no_rules(), limits).unwrap();
    let report = ask(
        &reporter,
        &boundary("a", 4490, square(104.0005, 30.2, 0.0055)),
    );
    let land = &report.layers[0];
    assert_eq!(land.touched, 36);
    assert_eq!(land.features.len(), 3);
    assert_eq!(land.features_omitted, 33);
    assert!(land.features.iter().all(|f| f.share_of_feature > 0.99));
}

#[test]
fn rule_files_with_mistakes_are_refused() {
    let parse = |family: &str| {
        let text = format!(
            r#"{{"id": "t", "version": "1", "title": {{"zh": "t", "en": "t"}}, "families": [{family}]}}"#
        );
        RuleSet::parse(text.as_bytes()).unwrap_err().to_string()
    };
    let check = |check: &str| {
        parse(&format!(
            r#"{{"layers": ["a"], "title": {{"zh": "t", "en": "t"}}, "checks": [{check}]}}"#
        ))
    };
    let pass = r#""pass": {"zh": "p", "en": "p"}"#;
    let found = [
        check(&format!(
            r#"{{"id": "r1", "measure": "inside", "text": {{{pass}}}}}"#
        )),
        check(&format!(
            r#"{{"id": "r1", "measure": "inside", "warn": {{"above_m2": 1}}, "text": {{{pass}}}}}"#
        )),
        check(&format!(
            r#"{{"id": "r1", "measure": "inside", "fail": {{}}, "text": {{{pass}, "fail": {{"zh": "f", "en": "f"}}}}}}"#
        )),
        check(&format!(
            r#"{{"id": "r1", "measure": "inside", "fail": {{"above_share": 3}}, "text": {{{pass}, "fail": {{"zh": "f", "en": "f"}}}}}}"#
        )),
        check(&format!(
            r#"{{"id": "r1", "measure": "inside", "classes": ["1"], "fail": {{"above_m2": 3}}, "text": {{{pass}, "fail": {{"zh": "f", "en": "f"}}}}}}"#
        )),
    ];
    for message in found {
        assert!(message.contains("r1"), "{message}");
    }
    assert!(parse(r#"{"layer": []}"#).contains("layer"));
    assert!(RuleSet::parse(b"{").is_err());
}
