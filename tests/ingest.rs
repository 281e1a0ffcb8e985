//! From features to a generation: nothing lost, nothing half, the same again.

mod support;

use std::collections::BTreeMap;

use onemap::crs::Crs;
use onemap::geom::Bbox;
use onemap::model::{FieldType, IssueCode, Schema, TileCoord, Value};
use onemap::query::{Budget, SearchQuery, search};
use onemap::store::{Snapshot, Store};
use onemap::tile::{Options, TileLayer, vector_tile};
use support::{crs, feature, field, import, square, text_field};

fn schema() -> Schema {
    Schema {
        fields: vec![
            text_field("DLBM"),
            field("TBMJ", FieldType::Real),
            field("NO", FieldType::Integer),
        ],
    }
}

/// `n × n` squares of a tenth of a degree... small enough to lie in one county.
fn squares(n: i64) -> Vec<onemap::model::Feature> {
    (0..n * n)
        .map(|i| {
            let (x, y) = ((i % n) as f64, (i / n) as f64);
            feature(
                i,
                square(102.0 + x * 0.001, 30.0 + y * 0.001, 0.001),
                vec![
                    Value::Text(["0101", "0301", "0702"][i as usize % 3].into()),
                    Value::Real(i as f64 + 0.25),
                    if i % 7 == 0 {
                        Value::Null
                    } else {
                        Value::Integer(i)
                    },
                ],
            )
        })
        .collect()
}

type Row = (Vec<Value>, Vec<f64>);

fn rows_by_id(snapshot: &Snapshot) -> BTreeMap<u64, Row> {
    let (data, info) = snapshot.vector().unwrap();
    (0..data.index.len() as u32)
        .map(|number| {
            let record = data.index.record(number);
            let view = data.features.feature(record.offset).unwrap();
            assert_eq!(data.ids.feature(record.id), Some(number));
            let geometry = view.geometry().unwrap().to_geometry();
            assert_eq!(geometry.bbox(), record.bbox_in_layer_crs);
            (record.id, (view.values(&info.schema), geometry.xy))
        })
        .collect()
}

#[test]
fn every_feature_comes_out_as_it_went_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let outcome = import(
        &store,
        "dltb",
        crs(4490, true),
        schema(),
        squares(40),
        |_| {},
    );
    assert_eq!((outcome.counts.read, outcome.counts.stored), (1600, 1600));
    let mut found: Vec<Row> = rows_by_id(&outcome.snapshot).into_values().collect();
    let mut expected: Vec<Row> = squares(40)
        .into_iter()
        .map(|f| (f.values, f.geometry.unwrap().xy))
        .collect();
    let key = |row: &Row| format!("{row:?}");
    found.sort_by_key(key);
    expected.sort_by_key(key);
    assert_eq!(found, expected);
}

#[test]
fn a_box_finds_what_a_scan_finds() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let outcome = import(
        &store,
        "dltb",
        crs(4490, true),
        schema(),
        squares(50),
        |_| {},
    );
    let (data, _) = outcome.snapshot.vector().unwrap();
    for (x, y, side) in [
        (102.01, 30.01, 0.0),
        (102.0123, 30.0071, 0.011),
        (101.0, 29.0, 5.0),
        (110.0, 30.0, 1.0),
    ] {
        let bbox = Bbox::new(x, y, x + side, y + side);
        let hits = data.index.search(&bbox, 0.0, || true).unwrap();
        let scan: Vec<u32> = (0..data.index.len() as u32)
            .filter(|&n| data.index.record(n).bbox_in_layer_crs.intersects(&bbox))
            .collect();
        assert_eq!(hits.features, scan);
        let large = data.index.search(&bbox, 1.0, || true).unwrap();
        assert_eq!(
            (large.features.len(), large.too_small),
            (0, scan.len() as u64)
        );
    }
}

#[test]
fn memory_or_disk_and_any_number_of_threads_give_the_same_bytes() {
    let bytes = |budget: usize, threads: usize| {
        let dir = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let store = Store::open_or_create(dir.path()).unwrap();
            let outcome = import(
                &store,
                "dltb",
                crs(4490, true),
                schema(),
                squares(60),
                |options| {
                    options.sort_budget_bytes = budget;
                },
            );
            let read = |name: &str| std::fs::read(outcome.snapshot.dir().join(name)).unwrap();
            [
                read("features.fgb"),
                read("features.idx"),
                read("ids.idx"),
                read("manifest.json"),
            ]
        })
    };
    let expected = bytes(usize::MAX, 1);
    assert!(bytes(20_000, 1) == expected);
    assert!(bytes(20_000, 2) == expected);
    assert!(bytes(usize::MAX, 8) == expected);
}

#[test]
fn the_same_content_keeps_its_id_and_a_duplicate_gets_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let mut features = squares(10);
    features.push(features[5].clone());
    let first = import(
        &store,
        "a",
        crs(4490, true),
        schema(),
        features.clone(),
        |_| {},
    );
    let again = import(&store, "b", crs(4490, true), schema(), features, |_| {});
    let ids: Vec<u64> = rows_by_id(&first.snapshot).into_keys().collect();
    assert_eq!(ids.len(), 101);
    assert!(ids.iter().all(|id| *id < 1 << 53));
    assert_eq!(
        ids,
        rows_by_id(&again.snapshot).into_keys().collect::<Vec<_>>()
    );
    assert_eq!(first.issues.count(IssueCode::DuplicateId), 1);
}

#[test]
fn an_id_field_gives_the_ids_and_its_absence_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let outcome = import(
        &store,
        "a",
        crs(4490, true),
        schema(),
        squares(10),
        |options| {
            options.id_field = Some("NO".into());
        },
    );
    let ids = rows_by_id(&outcome.snapshot);
    assert!(ids.contains_key(&1) && ids.contains_key(&99) && !ids.contains_key(&7));
    assert_eq!(outcome.issues.count(IssueCode::IdMissing), 15);
}

#[test]
fn an_empty_layer_is_a_layer() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let grid = store.grids().unwrap().remove(0);
    // Nothing lies at 0, 0 of a zone of Gauss-Krüger, where an extent of nothing might be sought.
    for (epsg, geographic) in [(4490, true), (4527, false)] {
        let crs = Crs::from_user(&format!("EPSG:{epsg}")).unwrap();
        assert_eq!(crs.geographic, geographic);
        let outcome = import(&store, "empty", crs, schema(), Vec::new(), |_| {});
        assert_eq!(outcome.counts.stored, 0);
        let snapshot = outcome.snapshot;
        assert!(snapshot.verify().unwrap().is_empty());
        let layer = TileLayer {
            snapshot: snapshot.clone(),
            fields: None,
        };
        let coord = TileCoord { z: 5, x: 25, y: 13 };
        let budget = Budget::unlimited();
        let tile = vector_tile(&[layer], &grid, coord, &Options::default(), &budget).unwrap();
        assert_eq!((tile.bytes.len(), tile.omitted), (0, 0));
        let query = SearchQuery {
            text: "x".into(),
            field: None,
            limit: 10,
        };
        assert!(
            search(&snapshot, &query, &budget)
                .unwrap()
                .matches
                .is_empty()
        );
    }
}
