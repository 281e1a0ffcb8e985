//! A workspace through crashes, races and replacements: whole generations, or none.

mod support;

use std::fs;
use std::sync::Arc;

use onemap::model::{LayerName, Schema, Value};
use onemap::store::{Store, StoreError};
use support::{crs, feature, import, square, text_field};

fn schema() -> Schema {
    Schema {
        fields: vec![text_field("NAME")],
    }
}

fn features(count: i64, text: &str) -> Vec<onemap::model::Feature> {
    (0..count)
        .map(|i| {
            feature(
                i,
                square(i as f64 * 0.01, 30.0, 0.01),
                vec![Value::Text(text.into())],
            )
        })
        .collect()
}

#[test]
fn a_directory_without_a_catalog_is_no_workspace() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        Store::open(dir.path()),
        Err(StoreError::NotAWorkspace { .. })
    ));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_new_generation_replaces_the_old_and_readers_keep_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let old = import(
        &store,
        "x",
        crs(4490, true),
        schema(),
        features(10, "old"),
        |_| {},
    )
    .snapshot;
    // Another process would have its own store.
    let elsewhere = Store::open(dir.path()).unwrap();
    let version = elsewhere.version().unwrap();
    assert_eq!(
        elsewhere.snapshot("x").unwrap().unwrap().generation,
        old.generation
    );
    let new = import(
        &store,
        "x",
        crs(4490, true),
        schema(),
        features(20, "new"),
        |_| {},
    )
    .snapshot;
    assert_ne!(old.generation, new.generation);
    assert_eq!(
        elsewhere.snapshot("x").unwrap().unwrap().generation,
        new.generation
    );
    assert_ne!(elsewhere.version().unwrap(), version);
    // The old files are gone from the directory, and still read by whoever has them.
    assert!(!old.dir().exists());
    let (data, info) = old.vector().unwrap();
    assert_eq!(data.index.len(), 10);
    let view = data.features.feature(data.index.record(9).offset).unwrap();
    assert_eq!(view.values(&info.schema), [Value::Text("old".into())]);
}

#[test]
fn what_a_dead_import_left_is_cleared_and_a_living_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    import(
        &store,
        "x",
        crs(4490, true),
        schema(),
        features(5, "kept"),
        |_| {},
    );
    let layer = dir.path().join("layers/x");
    // Died while writing; died after the rename and before the catalog named it.
    fs::create_dir(layer.join("draft-1-0")).unwrap();
    fs::write(layer.join("draft-1-0/features.fgb"), b"half").unwrap();
    fs::write(layer.join("draft-1-0.lock"), b"").unwrap();
    fs::create_dir(layer.join("g000099")).unwrap();
    fs::create_dir(dir.path().join("layers/never")).unwrap();
    let living = store.begin(&LayerName::new("x").unwrap()).unwrap();
    fs::write(living.path("features.fgb"), b"being written").unwrap();

    let store = Store::open(dir.path()).unwrap();
    assert!(living.dir().exists());
    let mut left: Vec<String> = fs::read_dir(&layer)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with(&format!("draft-{}", std::process::id())))
        .collect();
    left.sort();
    assert_eq!(left, ["g000001"]);
    assert!(!dir.path().join("layers/never").exists());
    assert_eq!(
        store.snapshot("x").unwrap().unwrap().manifest.counts.stored,
        5
    );
    let path = living.dir().to_path_buf();
    drop(living);
    assert!(!path.exists());
}

#[test]
fn imports_at_the_same_time_are_all_there_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    Store::open_or_create(dir.path()).unwrap();
    let writing = Arc::new(());
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let root = dir.path();
            let writing = writing.clone();
            scope.spawn(move || {
                let _writing = writing;
                let store = Store::open(root).unwrap();
                for round in 0..5 {
                    import(
                        &store,
                        "shared",
                        crs(4490, true),
                        schema(),
                        features(20, &format!("{worker}/{round}")),
                        |_| {},
                    );
                    import(
                        &store,
                        &format!("own{worker}"),
                        crs(4490, true),
                        schema(),
                        features(round + 1, "own"),
                        |_| {},
                    );
                }
            });
        }
        // Whoever opens a layer while its generation is replaced gets the one or the other.
        scope.spawn(|| {
            let store = Store::open(dir.path()).unwrap();
            while Arc::strong_count(&writing) > 1 {
                if let Some(snapshot) = store.snapshot("shared").unwrap() {
                    assert_eq!(snapshot.manifest.counts.stored, 20);
                }
            }
        });
    });
    let store = Store::open(dir.path()).unwrap();
    let names: Vec<String> = store
        .names()
        .unwrap()
        .into_iter()
        .map(String::from)
        .collect();
    assert_eq!(names, ["own0", "own1", "own2", "own3", "shared"]);
    for snapshot in store.snapshots().unwrap() {
        assert!(snapshot.verify().unwrap().is_empty());
        let stored = if snapshot.name() == "shared" { 20 } else { 5 };
        assert_eq!(snapshot.manifest.counts.stored, stored);
        let kept = fs::read_dir(snapshot.dir().parent().unwrap())
            .unwrap()
            .count();
        assert_eq!(kept, 1, "one generation of {}", snapshot.name());
    }
}

#[test]
fn a_changed_byte_is_found_by_its_checksum() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let snapshot = import(
        &store,
        "x",
        crs(4490, true),
        schema(),
        features(50, "text"),
        |_| {},
    )
    .snapshot;
    let path = snapshot.dir().join("features.idx");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(snapshot.verify().unwrap(), ["features.idx"]);
}

#[test]
fn damaged_files_of_a_generation_are_errors_and_never_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let snapshot = import(
        &store,
        "x",
        crs(4490, true),
        schema(),
        features(200, "text"),
        |_| {},
    )
    .snapshot;
    let mut seed = 5u64;
    let mut random = |n: usize| {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 33) as usize % n
    };
    for file in ["features.fgb", "features.idx", "ids.idx", "manifest.json"] {
        let path = snapshot.dir().join(file);
        let good = fs::read(&path).unwrap();
        for round in 0..150 {
            let mut bad = good.clone();
            if round % 3 == 0 {
                bad.truncate(random(good.len()));
            }
            for _ in 0..1 + random(8) {
                if !bad.is_empty() {
                    let at = random(bad.len());
                    bad[at] = random(256) as u8;
                }
            }
            // A new file: the old one may still be mapped.
            fs::remove_file(&path).unwrap();
            fs::write(&path, bad).unwrap();
            let Ok(store) = Store::open(dir.path()) else {
                continue;
            };
            let Ok(Some(snapshot)) = store.snapshot("x") else {
                continue;
            };
            let (Some((data, info)), true) = (snapshot.vector(), true) else {
                continue;
            };
            let everything = onemap::geom::Bbox::new(-1e9, -1e9, 1e9, 1e9);
            let hits = data.index.search(&everything, 0.0, || true).unwrap();
            for &number in hits.features.iter().take(300) {
                let record = data.index.record(number);
                if let Ok(view) = data.features.feature(record.offset) {
                    let _ = view.values(&info.schema);
                    let _ = view.geometry().map(|g| g.to_geometry());
                }
                let _ = data.ids.feature(record.id);
            }
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, good).unwrap();
    }
}
