//! Archives of tiles as layers: made here or elsewhere, in the workspace, on a web server, in a
//! bucket, and hostile.

#[path = "support/images.rs"]
#[allow(dead_code, reason = "one recipe of several")]
mod images;
#[path = "support/ranges.rs"]
mod ranges;
#[allow(dead_code, reason = "each test file uses its own part")]
#[path = "support/server.rs"]
mod server;
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use onemap::format::mbtiles::MbtilesWriter;
use onemap::format::pmtiles::{
    Compression, Description, PmtilesFile, PmtilesWriter, TileType, tile_id, tile_of_id,
};
use ranges::{Manner, RangeServer};
use server::Server;
use support::parcels::{TILE, layer_names, workspace};

fn onemap(arguments: &[&str]) -> Output {
    onemap_with(arguments, &[])
}

fn onemap_with(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_onemap"))
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn done(arguments: &[&str]) {
    let output = onemap(arguments);
    let code = output.status.code();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(code, Some(0 | 1)), "{arguments:?}: {said}");
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

/// A workspace of parcels and an archive of their tiles from zoom 8 to 13.
fn made(ending: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = workspace();
    let out = dir.path().join(format!("made.{ending}"));
    done(&[
        "tiles",
        text(dir.path()),
        "dltb",
        "--zoom",
        "8-13",
        "--out",
        text(&out),
        "--quiet",
    ]);
    (dir, out)
}

#[test]
fn an_archive_made_here_answers_with_the_bytes_of_its_layer() {
    for ending in ["pmtiles", "mbtiles"] {
        let (dir, out) = made(ending);
        let map = text(dir.path());
        // Without a name it has that of the file.
        done(&[
            "import",
            map,
            text(&out),
            "--kind",
            "landuse",
            "--attribution",
            "县局",
        ]);
        std::fs::remove_file(&out).unwrap();
        let server = Server::start(dir.path(), &["--allow-cache-skip"]);
        let mut compared = 0;
        for z in 8..=13u32 {
            let near = support::parcels::tile_of(104.01, 30.205, z);
            for coding in ["", "gzip", "zstd, gzip;q=0.5", "zstd, br"] {
                let headers: &[(&str, &str)] = &[("accept-encoding", coding)];
                let ask =
                    |layer: &str| server.ask("GET", &format!("/tiles/{layer}/{near}.mvt"), headers);
                let (own, archived) = (ask("dltb"), ask("made"));
                assert_eq!((own.status, archived.status), (200, 200));
                assert_eq!(own.header("content-type"), archived.header("content-type"));
                if !coding.contains("zstd, gzip") {
                    assert_eq!(
                        own.header("content-encoding"),
                        archived.header("content-encoding")
                    );
                    assert_eq!(own.header("etag"), archived.header("etag"));
                    assert_eq!(own.body, archived.body, "{ending} {near} {coding}");
                } else {
                    // What is packed already is not packed again.
                    assert_eq!(archived.header("content-encoding"), Some("gzip"));
                }
                compared += archived.body.len();
                let known = archived.header("etag").unwrap();
                let again = [("accept-encoding", coding), ("if-none-match", known)];
                let again = server.ask("GET", &format!("/tiles/made/{near}.mvt"), &again);
                assert_eq!(again.status, 304);
            }
        }
        assert!(compared > 10_000);
        // One cached for who takes gzip is not sent to who does not.
        let zstd_only = [("accept-encoding", "zstd")];
        let tile = server.ask("GET", &format!("/tiles/made/{TILE}.mvt"), &zstd_only);
        assert_ne!(tile.header("content-encoding"), Some("gzip"));
        assert_eq!(server.get("/tiles/made/8/0/0.mvt").status, 204);
        assert_eq!(server.get("/tiles/made/16/0/0.mvt").status, 204);

        let own = server.get("/tiles/dltb.json").json();
        let json = server.get("/tiles/made.json").json();
        assert_eq!(
            (&json["minzoom"], &json["maxzoom"]),
            (&8.into(), &13.into())
        );
        assert_eq!(json["attribution"], "县局");
        assert!(
            json["tiles"][0]
                .as_str()
                .unwrap()
                .contains("/tiles/made/{z}/{x}/{y}.mvt?v=")
        );
        let ids = |json: &serde_json::Value| -> Vec<String> {
            let layers = json["vector_layers"].as_array().unwrap();
            layers
                .iter()
                .map(|l| l["id"].as_str().unwrap().to_string())
                .collect()
        };
        assert_eq!(ids(&json), ids(&own));
        assert_eq!(
            json["vector_layers"][0]["fields"],
            own["vector_layers"][0]["fields"]
        );
        let versioned = json["tiles"][0]
            .as_str()
            .unwrap()
            .split_once("?v=")
            .unwrap()
            .1
            .to_string();
        let fresh = server.get(&format!("/tiles/made/{TILE}.mvt?v={versioned}"));
        assert!(fresh.header("cache-control").unwrap().contains("immutable"));

        let listed = server.get("/layers.json").json();
        let layers = listed["layers"].as_array().unwrap();
        let layer = layers.iter().find(|l| l["name"] == "made").unwrap();
        assert_eq!(
            (&layer["geometry"], &layer["kind"]),
            (&"mixed".into(), &"landuse".into())
        );
        assert!(layer["features"].is_null());
        let style = server.get("/styles/made.json").json();
        assert_eq!(style["sources"]["made"]["type"], "vector");
        let drawn = style["layers"].as_array().unwrap();
        assert!(drawn.iter().any(|l| l["source-layer"] == "dltb"));
        assert!(
            drawn
                .iter()
                .all(|l| l["source"] == "made" && l["id"].as_str().unwrap().starts_with("made/"))
        );

        for (target, status, code) in [
            ("/tiles/made/12/3231/1687.png", 404, "wrong-format"),
            ("/tiles/made/CGCS2000Quad/11/0/0.mvt", 404, "wrong-format"),
            ("/tiles/made,dltb/12/3231/1687.mvt", 400, "bad-parameter"),
            (
                "/tiles/made/12/3231/1687.mvt?fields=DLBM",
                400,
                "bad-parameter",
            ),
            ("/tiles/made,dltb.json", 400, "bad-parameter"),
            ("/layers/made/features/1", 404, "wrong-format"),
            ("/layers/made/search?q=a", 404, "wrong-format"),
        ] {
            let refused = server.get(target);
            assert_eq!(
                (refused.status, refused.problem().as_str()),
                (status, code),
                "{target}"
            );
        }
        server.stop();
        let inspected = onemap(&["inspect", map, "--verify"]);
        assert_eq!(inspected.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&inspected.stdout).contains("archive of Mvt tiles"));
        // The tiles of an archive are not made again, and its features are not there.
        let again = dir.path().join("again.pmtiles");
        assert!(refusal(&["tiles", map, "made", "--out", text(&again)]).contains("made"));
    }
}

/// A photograph's archive holds the pictures the server draws, in every format and container, and
/// registered as a layer it answers with them again.
#[test]
fn pictures_of_an_image_are_those_the_server_draws() {
    let dir = tempfile::tempdir().unwrap();
    let map = text(dir.path());
    let tif = dir.path().join("dom.tif");
    let recipe = images::Recipe::gauss_kruger([300, 300], 3);
    recipe.write(&tif, |band, column, row| {
        (band * 40 + column / 2 + row / 3) as u8
    });
    done(&["import", map, &format!("dom={}", text(&tif))]);
    std::fs::remove_file(&tif).unwrap();
    for (format, ending) in [
        ("png", "pmtiles"),
        ("jpg", "pmtiles"),
        ("webp", "mbtiles"),
        ("png", "mbtiles"),
    ] {
        let name = format!("{format}-{ending}");
        let out = dir.path().join(format!("{name}.{ending}"));
        done(&[
            "tiles",
            map,
            "dom",
            "--format",
            format,
            "--out",
            text(&out),
            "--quiet",
        ]);
        done(&["import", map, text(&out)]);
    }
    let tree = dir.path().join("tree");
    done(&[
        "tiles",
        map,
        "dom",
        "--format",
        "jpg",
        "--zoom",
        "14",
        "--out",
        text(&tree),
        "--quiet",
    ]);
    let parts = ["1/2", "2/2"].map(|part| {
        let out = dir.path().join(format!("part{}.pmtiles", &part[..1]));
        done(&[
            "tiles",
            map,
            "dom",
            "--out",
            text(&out),
            "--shard",
            part,
            "--quiet",
        ]);
        out
    });
    let merged = dir.path().join("merged.pmtiles");
    done(&[
        "tiles",
        "merge",
        text(&parts[0]),
        text(&parts[1]),
        "--out",
        text(&merged),
    ]);
    let whole = dir.path().join("png-pmtiles.pmtiles");
    assert!(std::fs::read(&merged).unwrap() == std::fs::read(&whole).unwrap());

    let server = Server::start(dir.path(), &[]);
    let about = server.get("/tiles/dom.json").json();
    let zoom = |word: &str| about[word].as_u64().unwrap() as u8;
    let archive = PmtilesFile::open(&whole).unwrap();
    assert_eq!(archive.header.description.min_zoom, zoom("minzoom"));
    assert_eq!(archive.header.description.max_zoom, zoom("maxzoom"));
    let mut compared = 0;
    for entry in archive.runs().map(Result::unwrap) {
        let (z, x, y) = tile_of_id(entry.tile_id).unwrap();
        for (layer, ending) in [
            ("png-pmtiles", "png"),
            ("jpg-pmtiles", "jpg"),
            ("webp-mbtiles", "webp"),
            ("png-mbtiles", "png"),
        ] {
            let own = server.get(&format!("/tiles/dom/{z}/{x}/{y}.{ending}"));
            let archived = server.get(&format!("/tiles/{layer}/{z}/{x}/{y}.{ending}"));
            assert_eq!(
                (own.status, archived.status),
                (200, 200),
                "{layer} {z}/{x}/{y}"
            );
            assert_eq!(own.header("content-type"), archived.header("content-type"));
            assert_eq!(own.header("etag"), archived.header("etag"));
            assert!(own.body == archived.body, "{layer} {z}/{x}/{y}");
            compared += 1;
        }
        if z == 14 {
            let file = std::fs::read(tree.join(format!("{z}/{x}/{y}.jpg"))).unwrap();
            assert!(file == server.get(&format!("/tiles/dom/{z}/{x}/{y}.jpg")).body);
        }
    }
    assert!(compared > 30, "{compared}");
    server.stop();
    let out = dir.path().join("no.pmtiles");
    let refused =
        |more: &[&str]| refusal(&[&["tiles", map, "dom", "--out", text(&out)], more].concat());
    assert!(refused(&["--format", "mvt"]).contains("offered as png, jpg or webp, not as mvt"));
    assert!(refused(&["--format", "gif"]).contains("expected mvt, png, jpg or webp"));
    assert!(refused(&["--update"]).contains("made whole"));
    let several = ["tiles", map, "dom,png-pmtiles", "--out", text(&out)];
    assert!(refusal(&several).contains("png-pmtiles"));
    assert!(!out.exists());
}

/// The smallest PNG there is.
fn png(red: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    use image::ImageEncoder;
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(&[red, 0, 0], 1, 1, image::ExtendedColorType::Rgb8)
        .unwrap();
    bytes
}

fn about(tile_type: TileType, tile_compression: Compression) -> Description {
    Description {
        tile_type,
        tile_compression,
        min_zoom: 0,
        max_zoom: 2,
        bounds_lonlat: [-180.0, -85.0, 180.0, 85.0],
        center_lonlat: [0.0, 0.0],
        center_zoom: 0,
    }
}

/// A foreign archive of the tiles given; `metadata` as they stand.
fn foreign(path: &Path, about: &Description, metadata: &str, tiles: &[(u64, Vec<u8>)]) {
    let mut writer = PmtilesWriter::resume_or_create(path, "").unwrap();
    for (id, bytes) in tiles {
        writer.push(*id, bytes).unwrap();
    }
    writer.finish(about, metadata).unwrap();
}

#[test]
fn pictures_of_others_are_served_as_what_they_are() {
    let dir = workspace();
    let map = text(dir.path());
    let pm = dir.path().join("photo.pmtiles");
    let jpeg = [0xFF, 0xD8, 0xFF, 0xE0, 1, 2, 3].to_vec();
    let tiles: Vec<(u64, Vec<u8>)> = vec![
        (0, png(1)),
        (1, png(2)),
        (2, jpeg.clone()),
        (3, b"<html>".to_vec()),
    ];
    let attribution = r#"{"attribution":"<a href=\"javascript:x\">© Photo</a><script>"}"#;
    foreign(
        &pm,
        &about(TileType::Png, Compression::None),
        attribution,
        &tiles,
    );
    let mb = dir.path().join("photo2.mbtiles");
    let mut writer = MbtilesWriter::create(&mb).unwrap();
    for (id, bytes) in &tiles[..2] {
        let (z, x, y) = tile_of_id(*id).unwrap();
        writer.push(z, x, y, bytes).unwrap();
    }
    let words = [
        ("format", "png".to_string()),
        ("bounds", "100,20,110,30".to_string()),
    ];
    writer.finish(&words).unwrap();
    done(&["import", map, text(&pm), text(&mb)]);
    let server = Server::start(dir.path(), &[]);
    for layer in ["photo", "photo2"] {
        let tile = server.ask(
            "GET",
            &format!("/tiles/{layer}/0/0/0.png"),
            &[("accept-encoding", "gzip")],
        );
        assert_eq!(tile.header("content-type"), Some("image/png"));
        assert_eq!(tile.header("content-encoding"), None);
        assert_eq!(tile.body, png(1));
        assert_eq!(
            server.get(&format!("/tiles/{layer}/1/0/0.png")).body,
            png(2)
        );
        assert_eq!(server.get(&format!("/tiles/{layer}/2/0/0.png")).status, 204);
        assert_eq!(
            server.get(&format!("/tiles/{layer}/0/0/0.jpg")).problem(),
            "wrong-format"
        );
        let json = server.get(&format!("/tiles/{layer}.json")).json();
        assert!(json["tiles"][0].as_str().unwrap().contains(".png?v="));
        let style = server.get(&format!("/styles/{layer}.json")).json();
        assert_eq!(style["sources"][layer]["type"], "raster");
        let listed = server.get("/layers.json").json();
        let found = listed["layers"]
            .as_array()
            .unwrap()
            .iter()
            .find(|l| l["name"] == layer);
        assert_eq!(found.unwrap()["geometry"], "raster");
    }
    let json = server.get("/tiles/photo2.json").json();
    assert_eq!(
        json["bounds"],
        serde_json::json!([100.0, 20.0, 110.0, 30.0])
    );
    assert_eq!((&json["minzoom"], &json["maxzoom"]), (&0.into(), &1.into()));
    assert_eq!(
        server.get("/tiles/photo.json").json()["attribution"],
        "© Photo"
    );
    // The archive says PNG and mixes.
    let mixed = server.get("/tiles/photo/1/0/1.png");
    assert_eq!(
        (mixed.header("content-type"), &mixed.body),
        (Some("image/jpeg"), &jpeg)
    );
    assert_eq!(server.get("/tiles/photo/1/1/1.png").problem(), "internal");
    let log = server.stop_and_read_log();
    assert!(
        log.contains("layer photo: tile 1/1/1 is no picture"),
        "{log}"
    );
}

#[test]
fn tiles_packed_in_other_ways_are_unpacked_and_bombs_are_not() {
    let dir = workspace();
    let map = text(dir.path());
    let plain = vec![b'x'; 5000];
    let zstd = zstd::bulk::compress(&plain, 3).unwrap();
    let bomb = zstd::bulk::compress(&vec![0; 40 << 20], 3).unwrap();
    let layers = r#"{"vector_layers":[{"id":"水"}]}"#;
    let path = dir.path().join("z.pmtiles");
    let tiles = [(0, zstd), (1, bomb), (2, b"not zstd".to_vec())];
    foreign(
        &path,
        &about(TileType::Mvt, Compression::Zstd),
        layers,
        &tiles,
    );
    done(&["import", map, text(&path)]);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.get("/tiles/z/0/0/0.mvt").body, plain);
    assert_eq!(server.get("/tiles/z/1/0/0.mvt").problem(), "internal");
    assert_eq!(server.get("/tiles/z/1/0/1.mvt").problem(), "internal");
    let log = server.stop_and_read_log();
    assert!(
        log.contains("layer z: tile 1/0/0: more than 33554432 bytes"),
        "{log}"
    );
    assert!(
        log.contains("layer z: tile 1/0/1: bytes that are not Zstd"),
        "{log}"
    );
}

#[test]
fn what_cannot_be_served_is_refused_with_the_reason() {
    let dir = workspace();
    let map = text(dir.path());
    let path = dir.path().join("a.pmtiles");
    let layers = r#"{"vector_layers":[{"id":"a"}]}"#;
    let mvt = about(TileType::Mvt, Compression::None);
    let refused = |about: &Description, metadata: &str, tiles: &[(u64, Vec<u8>)]| {
        let _absent_at_first = std::fs::remove_file(&path);
        foreign(&path, about, metadata, tiles);
        refusal(&["import", map, text(&path)])
    };
    let tile = [(0, b"tile".to_vec())];
    assert!(refused(&mvt, "{}", &tile).contains("metadata without vector_layers"));
    assert!(refused(&mvt, "[", &tile).contains("metadata that are no JSON"));
    assert!(refused(&mvt, layers, &[]).contains("no tiles"));
    assert!(refused(&mvt, layers, &[(0, png(1))]).contains("a picture in the first tile"));
    let gzip = about(TileType::Mvt, Compression::Gzip);
    assert!(refused(&gzip, layers, &tile).contains("bytes that are not Gzip"));
    let avif = about(TileType::Avif, Compression::None);
    assert!(refused(&avif, layers, &tile).contains("tiles of AVIF"));
    let unknown = about(TileType::Unknown, Compression::None);
    assert!(refused(&unknown, "{}", &tile).contains("unknown kind"));
    let upside_down = Description { min_zoom: 5, ..mvt };
    assert!(refused(&upside_down, layers, &tile).contains("zooms 5 to 2"));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
    let short = refusal(&["import", map, text(&path)]);
    assert!(
        short.contains("a.pmtiles: ") && short.contains("beyond the end"),
        "{short}"
    );
    std::fs::write(&path, b"PMTiles\x02").unwrap();
    assert!(refusal(&["import", map, text(&path)]).contains("PMTiles"));
    assert!(refusal(&["import", map, "x=nowhere.pmtiles"]).contains("nowhere.pmtiles"));
    assert!(refusal(&["import", map, "nowhere.shp"]).contains("NAME=SOURCE"));

    let mb = dir.path().join("b.mbtiles");
    let mut writer = MbtilesWriter::create(&mb).unwrap();
    writer.push(0, 0, 0, b"tile").unwrap();
    writer.finish(&[("format", "tiff".to_string())]).unwrap();
    assert!(refusal(&["import", map, text(&mb)]).contains("format \"tiff\""));
    std::fs::write(dir.path().join("b.mbtiles-wal"), b"pages").unwrap();
    assert!(refusal(&["import", map, text(&mb)]).contains("it is being written"));
    assert_eq!(
        onemap(&["inspect", map])
            .stdout
            .iter()
            .filter(|b| **b == b'\n')
            .count(),
        1
    );
}

/// The tiles of [`large`]: gaps and lengths that do not compress, so that there are leaf directories.
fn tile_of_large(i: u64) -> (u64, Vec<u8>) {
    let noise = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let noise = (noise ^ noise >> 31).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40;
    let text = format!("tile {i} ").repeat(1 + noise as usize % 50);
    (tile_id(9, 0, 0) + i * 6 + noise % 6, text.into_bytes())
}

fn large(path: &Path) {
    let tiles: Vec<(u64, Vec<u8>)> = (0..40_000).map(tile_of_large).collect();
    let about = Description {
        min_zoom: 9,
        max_zoom: 9,
        ..about(TileType::Mvt, Compression::None)
    };
    foreign(path, &about, r#"{"vector_layers":[{"id":"a"}]}"#, &tiles);
}

/// Where the `i`-th tile of [`large`] is asked for.
fn address(i: u64) -> String {
    let (z, x, y) = tile_of_id(tile_of_large(i).0).unwrap();
    format!("/tiles/large/{z}/{x}/{y}.mvt")
}

#[test]
fn an_archive_on_a_web_server_is_read_by_ranges() {
    let dir = workspace();
    let map = text(dir.path());
    let path = dir.path().join("large.pmtiles");
    large(&path);
    let remote = RangeServer::start(std::fs::read(&path).unwrap());
    let url = format!("http://{}/maps/large.pmtiles", remote.address);
    done(&["import", map, &url]);
    let asked = remote.asked();
    assert!(
        asked.len() <= 2 && asked.iter().all(|(path, _)| path == "/maps/large.pmtiles"),
        "{asked:?}"
    );
    assert_eq!(asked[0].1, "bytes=0-16383");

    let server = Server::start(dir.path(), &[]);
    let local = PmtilesFile::open(&path).unwrap();
    for i in [0, 1, 2, 39_999, 20_000] {
        let (z, x, y) = tile_of_id(tile_of_large(i).0).unwrap();
        let tile = server.get(&address(i));
        assert_eq!(tile.body, local.tile(z, x, y).unwrap().unwrap(), "{i}");
    }
    // The front once, three leaves once each, five tiles.
    let asked = remote.asked();
    assert_eq!(asked.len(), 1 + 3 + 5, "{asked:?}");
    assert_eq!(server.get(&address(0)).status, 200);
    assert_eq!(server.get(&address(40_000)).status, 204);
    assert_eq!(remote.asked().len(), 0, "tiles and directories are kept");
    server.stop();

    // Somebody replaces the file.
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.get(&address(0)).status, 200);
    remote.set(|state| state.e_tag = "\"two\"".into());
    let changed = server.get(&address(9));
    assert_eq!(
        (changed.status, changed.problem().as_str()),
        (502, "archive-unreachable")
    );
    let log = server.stop_and_read_log();
    assert!(log.contains("has changed since it was registered"), "{log}");
    done(&["import", map, &url]);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.get(&address(9)).status, 200);

    // And then the machine behaves badly; other layers do not mind.
    for (manner, words) in [
        (Manner::Broken, "500"),
        (Manner::WithoutRanges, "ange"),
        (Manner::Endless, "expected"),
        (Manner::Short, ""),
    ] {
        remote.set(|state| state.manner = manner);
        let fresh = address(100 + words.len() as u64);
        let failed = server.get(&fresh);
        assert_eq!(
            (failed.status, failed.problem().as_str()),
            (502, "archive-unreachable"),
            "{manner:?}"
        );
        assert_eq!(server.get(&format!("/tiles/dltb/{TILE}.mvt")).status, 200);
        let refused = refusal(&["import", map, &url]);
        assert!(refused.contains(words), "{manner:?}: {refused}");
        remote.set(|state| state.manner = Manner::Well);
        assert_eq!(server.get(&fresh).status, 200);
    }
    server.stop_and_read_log();
    assert!(refusal(&["import", map, "a=https://u:p@h/x.pmtiles"]).contains("without user"));
    assert!(refusal(&["import", map, "a=https://127.0.0.1:1/x.mbtiles"]).contains("only PMTiles"));
    let nobody = refusal(&["import", map, "http://127.0.0.1:1/x.pmtiles"]);
    assert!(nobody.contains("127.0.0.1:1/x.pmtiles"), "{nobody}");
}

#[test]
fn an_archive_in_a_bucket_is_read_with_the_keys_of_the_environment() {
    let dir = workspace();
    let map = text(dir.path());
    let path = dir.path().join("large.pmtiles");
    large(&path);
    let bucket = RangeServer::start(std::fs::read(&path).unwrap());
    let endpoint = format!("http://{}", bucket.address);
    let keys: &[(&str, &str)] = &[
        ("AWS_ENDPOINT", &endpoint),
        ("AWS_ACCESS_KEY_ID", "somebody"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ALLOW_HTTP", "true"),
    ];
    let url = "s3://tiles/maps/large.pmtiles";
    let imported = onemap_with(&["import", map, url], keys);
    let said = String::from_utf8_lossy(&imported.stderr);
    assert_eq!(imported.status.code(), Some(0), "{said}");
    let manifest = onemap(&["inspect", map, "large"]).stdout;
    let manifest = String::from_utf8(manifest).unwrap();
    assert!(manifest.contains(url) && !manifest.contains("hush") && !manifest.contains(&endpoint));
    let server = Server::start_with(dir.path(), &[], keys);
    let tile = server.get(&address(3));
    assert_eq!(tile.body, tile_of_large(3).1);
    let asked = bucket.asked();
    assert!(
        asked
            .iter()
            .all(|(path, _)| path == "/tiles/maps/large.pmtiles"),
        "{asked:?}"
    );
    let signed = bucket.state.lock().unwrap().authorization.clone().unwrap();
    assert!(signed.contains("Credential=somebody/") && signed.contains("/eu-central-1/s3/"));
    server.stop();
    // Without keys nothing is signed: the bucket may be public.
    let server = Server::start_with(dir.path(), &[], &[keys[0], keys[4]]);
    assert_eq!(server.get(&address(3)).status, 200);
    assert_eq!(bucket.state.lock().unwrap().authorization, None);
    server.stop();
}

#[test]
fn the_portal_gets_the_labels_of_an_archive_too() {
    let (dir, out) = made("pmtiles");
    done(&["import", text(dir.path()), text(&out), "--kind", "landuse"]);
    let server = Server::start(dir.path(), &[]);
    // Where the parcels have room for letters.
    let closer = support::parcels::tile_of(104.01, 30.21, 13);
    let names = layer_names(&server.get(&format!("/tiles/made/{closer}.mvt")).body);
    assert!(names.contains("dltb_label"));
    let style = server.get("/styles/made.json").json();
    let layers = style["layers"].as_array().unwrap();
    assert!(
        layers
            .iter()
            .any(|l| l["source-layer"] == "dltb_label" && l["type"] == "symbol")
    );
    server.stop();
}
