//! `onemap tiles` and `onemap tiles merge` as a user sees them: parts of an archive become the
//! archive, byte for byte, or an error; limits of area and size.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use onemap::format::mbtiles::MbtilesWriter;
use onemap::format::pmtiles::{
    Compression, Description, PmtilesFile, PmtilesWriter, TileType, tile_of_id,
};
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

/// Tiles that a polygon touches, by another way: every tile of the whole archive is asked.
#[test]
fn a_polygon_limits_the_tiles() {
    let dir = workspace();
    let map = text(dir.path());
    // A triangle over part of the parcels (104 to 104.02, 30.2 to 30.22), with a hole.
    let (a, b, c) = ([104.001, 30.2005], [104.0165, 30.2031], [104.0042, 30.2189]);
    let hole = [[104.006, 30.206], [104.009, 30.207], [104.0065, 30.211]];
    let ring = |points: &[[f64; 2]]| [points, &points[..1]].concat();
    let area = dir.path().join("area.geojson");
    let geometry =
        serde_json::json!({ "type": "Polygon", "coordinates": [ring(&[a, b, c]), ring(&hole)] });
    let feature = serde_json::json!({ "type": "Feature", "properties": {}, "geometry": geometry });
    let json = serde_json::json!({ "type": "FeatureCollection", "features": [feature] });
    std::fs::write(&area, json.to_string()).unwrap();
    let (whole, limited) = (
        dir.path().join("whole.pmtiles"),
        dir.path().join("limited.pmtiles"),
    );
    let make = |out: &Path, more: &[&str]| {
        let fixed = [
            "tiles",
            map,
            "dltb",
            "--zoom",
            "10-17",
            "--out",
            text(out),
            "--quiet",
        ];
        done(&[&fixed[..], more].concat());
    };
    make(&whole, &[]);
    make(&limited, &["--within", text(&area)]);
    let (whole, limited) = (
        PmtilesFile::open(&whole).unwrap(),
        PmtilesFile::open(&limited).unwrap(),
    );
    // In Web Mercator a tile is a box in longitude and in the ordinate, where the edges of so small a
    // triangle are straight.
    let mercator = |[lon, lat]: [f64; 2]| {
        [
            (lon + 180.0) / 360.0,
            (1.0 - f64::asinh(lat.to_radians().tan()) / std::f64::consts::PI) / 2.0,
        ]
    };
    let inside = |triangle: &[[f64; 2]], p: [f64; 2]| {
        let side = |a: [f64; 2], b: [f64; 2]| {
            (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])
        };
        let signs: Vec<bool> = (0..3)
            .map(|i| side(triangle[i], triangle[(i + 1) % 3]) > 0.0)
            .collect();
        signs.iter().all(|s| *s) || signs.iter().all(|s| !*s)
    };
    let (outer, hole) = ([a, b, c].map(mercator), hole.map(mercator));
    let (mut kept, mut left_out) = (0, 0);
    for entry in whole.runs().map(Result::unwrap) {
        for id in entry.tile_id..entry.tile_id + u64::from(entry.run) {
            let (z, x, y) = tile_of_id(id).unwrap();
            // A fine grid of points of the tile.
            let touches = (0..=64).any(|i| {
                (0..=64).any(|j| {
                    let at = |k: u32, t: u32| {
                        (f64::from(k) + f64::from(t) / 64.0) / f64::from(1u32 << z)
                    };
                    let p = [at(x, i), at(y, j)];
                    inside(&outer, p) && !inside(&hole, p)
                })
            });
            let there = limited.tile(z, x, y).unwrap();
            if touches {
                assert_eq!(there, whole.tile(z, x, y).unwrap(), "{z}/{x}/{y}");
                kept += 1;
            } else if there.is_none() {
                left_out += 1;
            }
        }
    }
    let made: u32 = limited.runs().map(|run| run.unwrap().run).sum();
    // Tiles that touch a corner between the points of the grid are the only others.
    assert!(
        made - kept <= 3 && kept > 30 && left_out > 20,
        "{made} made, {kept} kept, {left_out} left out"
    );
    let out = dir.path().join("x.pmtiles");
    let points = dir.path().join("points.geojson");
    std::fs::write(
        &points,
        r#"{"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[1,2]}}"#,
    )
    .unwrap();
    let fixed = ["tiles", map, "dltb", "--out", text(&out), "--within"];
    assert!(refusal(&[&fixed[..], &[text(&points)]].concat()).contains("no polygons"));
    assert!(refusal(&[&fixed[..], &["nowhere.shp"]].concat()).contains("nowhere.shp"));
}

/// At the import for layers that are generalised, at the archive for the others.
#[test]
fn the_largest_tile_can_be_set() {
    let dir = tempfile::tempdir().unwrap();
    let map = text(dir.path());
    let features: Vec<serde_json::Value> = (0..14_400)
        .map(|i| {
            let (x, y) = (
                104.0 + f64::from(i % 120) * 0.0001,
                30.2 + f64::from(i / 120) * 0.0001,
            );
            let ring = [
                [x, y],
                [x + 1e-4, y],
                [x + 1e-4, y + 1e-4],
                [x, y + 1e-4],
                [x, y],
            ];
            let dlbm = format!("{:04}", i % 13);
            serde_json::json!({ "type": "Feature", "properties": { "DLBM": dlbm, "NO": i },
                "geometry": { "type": "Polygon", "coordinates": [ring] } })
        })
        .collect();
    let json = serde_json::json!({ "type": "FeatureCollection", "features": features });
    let path = dir.path().join("a.geojson");
    std::fs::write(&path, json.to_string()).unwrap();
    let largest = |import: &[&str], tiles: &[&str]| {
        done(
            &[
                &["import", map, &format!("a={}", text(&path)), "--quiet"],
                import,
            ]
            .concat(),
        );
        let out = dir.path().join("a.pmtiles");
        let fixed = [
            "tiles",
            map,
            "a",
            "--zoom",
            "12-15",
            "--out",
            text(&out),
            "--json",
        ];
        let said = done(&[&fixed[..], tiles].concat());
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        said["largest_tile_bytes"].as_u64().unwrap()
    };
    let usual = largest(&[], &[]);
    let small = largest(&["--tile-kb", "60"], &[]);
    assert!(usual > 120_000 && small <= 75_000, "{usual}, {small}");
    // Beyond the zooms of the pyramid, and in other grids, features are cut one by one.
    let cut = |kb: &str| {
        let out = dir.path().join("tree");
        let fixed = [
            "tiles",
            map,
            "a",
            "--grid",
            "WorldCRS84Quad",
            "--zoom",
            "13",
            "--out",
            text(&out),
            "--json",
        ];
        let said = done(&[&fixed[..], &["--tile-kb", kb]].concat());
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        (
            said["largest_tile_bytes"].as_u64().unwrap(),
            said["omitted"].as_u64().unwrap(),
        )
    };
    let ((large, none), (small, some)) = (cut("20000"), cut("60"));
    assert!(
        large > 120_000 && small <= 62_000 && none < some,
        "{large} {none}, {small} {some}"
    );
    assert!(
        refusal(&["tiles", map, "a", "--out", "x.pmtiles", "--tile-kb", "3"])
            .contains("20..=20000")
    );
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
