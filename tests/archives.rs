//! `onemap tiles merge`: parts of an archive become the archive, byte for byte, or an error.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use onemap::format::mbtiles::MbtilesWriter;
use onemap::format::pmtiles::{Compression, Description, PmtilesWriter, TileType};
use support::parcels::workspace;

fn onemap(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_onemap"))
        .args(arguments)
        .output()
        .unwrap()
}

fn done(arguments: &[&str]) -> String {
    let output = onemap(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{arguments:?}: {said}"
    );
    String::from_utf8(output.stdout).unwrap()
}

fn refusal(arguments: &[&str]) -> String {
    let output = onemap(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    said
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn parts_together_have_the_bytes_of_the_whole() {
    let dir = workspace();
    let map = text(dir.path());
    for ending in ["pmtiles", "mbtiles"] {
        let at = |name: &str| dir.path().join(format!("{name}.{ending}"));
        let whole = at("whole");
        let make = |out: &Path, more: &[&str]| {
            let fixed = [
                "tiles",
                map,
                "dltb",
                "--zoom",
                "6-16",
                "--out",
                text(out),
                "--quiet",
            ];
            done(&[&fixed[..], more].concat());
        };
        make(&whole, &[]);
        let parts: Vec<PathBuf> = (1..=3).map(|i| at(&format!("part{i}"))).collect();
        for (i, part) in parts.iter().enumerate() {
            make(part, &["--shard", &format!("{}/3", i + 1)]);
        }
        // In any order, and one of them twice.
        let [a, b, c] = [text(&parts[0]), text(&parts[1]), text(&parts[2])];
        let again = at("again");
        std::fs::copy(&parts[1], &again).unwrap();
        for given in [
            vec![a, b, c],
            vec![c, a, text(&again), b],
            vec![text(&whole)],
        ] {
            let out = at("merged");
            let merged = [
                &["tiles", "merge"],
                &given[..],
                &["--out", text(&out), "--json"],
            ]
            .concat();
            let said: serde_json::Value = serde_json::from_str(&done(&merged)).unwrap();
            assert_eq!(said["parts"], given.len());
            assert!(said["tiles"].as_u64().unwrap() > 20);
            assert_eq!(said["shared"].as_u64().unwrap() > 0, given.len() == 4);
            let (merged, whole) = (std::fs::read(&out).unwrap(), std::fs::read(&whole).unwrap());
            assert!(merged == whole, "{ending} {given:?}");
        }
        let left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains(".part"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn pmtiles(path: &Path, description: &Description, metadata: &str, tiles: &[(u64, &[u8])]) {
    let mut writer = PmtilesWriter::resume_or_create(path, "").unwrap();
    for (id, bytes) in tiles {
        writer.push(*id, bytes).unwrap();
    }
    writer.finish(description, metadata).unwrap();
}

#[test]
fn archives_that_are_no_parts_of_one_are_refused_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (a, b, out) = (at("a.pmtiles"), at("b.pmtiles"), at("out.pmtiles"));
    let about = Description {
        tile_type: TileType::Mvt,
        tile_compression: Compression::Gzip,
        min_zoom: 0,
        max_zoom: 2,
        bounds_lonlat: [0.0, 0.0, 1.0, 1.0],
        center_lonlat: [0.5, 0.5],
        center_zoom: 0,
    };
    let words = r#"{"vector_layers":[{"id":"a"}]}"#;
    pmtiles(
        &a,
        &about,
        words,
        &[(0, b"x"), (1, b"y"), (2, b"y"), (3, b"y")],
    );
    let refused = |description: &Description, metadata: &str, tiles: &[(u64, &[u8])]| {
        pmtiles(&b, description, metadata, tiles);
        let said = refusal(&["tiles", "merge", text(&a), text(&b), "--out", text(&out)]);
        let left = std::fs::read_dir(dir.path()).unwrap();
        let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(left.filter(|name| name.starts_with("out")).count(), 0);
        said
    };
    let conflict = refused(&about, words, &[(3, b"z"), (4, b"y")]);
    assert!(
        conflict.contains("tile 1/1/1 is different in") && conflict.contains("b.pmtiles"),
        "{conflict}"
    );
    let zooms = Description {
        max_zoom: 9,
        ..about
    };
    let zooms = refused(&zooms, words, &[(4, b"y")]);
    assert!(
        zooms.contains("b.pmtiles: zooms 0 to 9, but") && zooms.contains("has 0 to 2"),
        "{zooms}"
    );
    let layers = refused(&about, r#"{"vector_layers":[{"id":"b"}]}"#, &[(4, b"y")]);
    assert!(layers.contains("metadata {"), "{layers}");
    let pictures = Description {
        tile_type: TileType::Png,
        ..about
    };
    assert!(refused(&pictures, words, &[(4, b"y")]).contains("tiles of Png"));
    let moved = Description {
        bounds_lonlat: [0.0, 0.0, 2.0, 1.0],
        ..about
    };
    assert!(refused(&moved, words, &[(4, b"y")]).contains("bounds"));

    let merge = |parts: &[&str], out: &Path| {
        refusal(&[&["tiles", "merge"], parts, &["--out", text(out)]].concat())
    };
    assert!(merge(&[text(&a), text(&a)], &a).contains("another name"));
    assert!(merge(&[text(&a)], &at("out.mbtiles")).contains("one kind"));
    assert!(merge(&[text(&a)], &at("out")).contains("copy them into one"));
    assert!(merge(&[text(dir.path())], &out).contains("copy them into one"));
    assert!(merge(&["nowhere.pmtiles"], &out).contains("nowhere.pmtiles"));
    std::fs::write(&b, b"PMTiles no more").unwrap();
    assert!(merge(&[text(&a), text(&b)], &out).contains("b.pmtiles"));

    let (c, d) = (at("c.mbtiles"), at("d.mbtiles"));
    for (path, name, bytes) in [(&c, "one", b"x"), (&d, "two", b"x")] {
        let mut writer = MbtilesWriter::create(path).unwrap();
        writer.push(1, 0, 1, bytes).unwrap();
        writer.finish(&[("name", name.to_string())]).unwrap();
    }
    let said = merge(&[text(&c), text(&d)], &at("out.mbtiles"));
    assert!(
        said.contains("name two, but") && said.contains("has one"),
        "{said}"
    );
    std::fs::remove_file(&d).unwrap();
    let mut writer = MbtilesWriter::create(&d).unwrap();
    writer.push(1, 0, 1, b"other").unwrap();
    writer.finish(&[("name", "one".to_string())]).unwrap();
    assert!(merge(&[text(&c), text(&d)], &at("out.mbtiles")).contains("tile 1/0/1 is different"));
    assert!(refusal(&["tiles"]).contains("Usage"));
}
