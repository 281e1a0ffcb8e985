//! The server as its clients see it, good ones and bad ones: the real program on a free port.

#[path = "support/server.rs"]
mod server;
mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use onemap::model::{Feature, FieldType, LayerKind, Schema, Value};
use onemap::store::Store;
use server::{Reply, Server};
use support::{crs, feature, field, square, text_field};
use tempfile::TempDir;

/// Side of the parcels, degrees.
const SIDE: f64 = 0.001;
/// A tile of Web Mercator that all parcels touch.
const TILE: &str = "12/3231/1687";

fn schema() -> Schema {
    Schema {
        fields: vec![
            text_field("DLBM"),
            text_field("DLMC"),
            field("NO", FieldType::Integer),
        ],
    }
}

/// `n × n` parcels near 104° E, 30.2° N.
fn parcels(n: i64, class: &str) -> Vec<Feature> {
    (0..n * n)
        .map(|i| {
            let (x, y) = (104.0 + (i % n) as f64 * SIDE, 30.2 + (i / n) as f64 * SIDE);
            let values = vec![
                Value::Text(class.into()),
                Value::Text("水田".into()),
                Value::Integer(i),
            ];
            feature(i, square(x, y, SIDE), values)
        })
        .collect()
}

fn import(workspace: &Path, name: &str, features: Vec<Feature>) {
    let store = Store::open_or_create(workspace).unwrap();
    support::import(
        &store,
        name,
        crs(4490, true),
        schema(),
        features,
        |options| {
            options.kind = LayerKind::LandUse;
            options.id_field = Some("NO".into());
        },
    );
}

fn workspace() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    import(dir.path(), "dltb", parcels(20, "0101"));
    dir
}

/// Where the parcels are, so that the constant above is not a matter of faith.
fn tile_of(lon: f64, lat: f64, zoom: u32) -> String {
    let n = f64::from(1u32 << zoom);
    let x = (lon + 180.0) / 360.0 * n;
    let y = (1.0 - lat.to_radians().tan().asinh() / std::f64::consts::PI) / 2.0 * n;
    format!("{zoom}/{}/{}", x as u32, y as u32)
}

/// Names of the layers of a vector tile: field 3 of the tile, field 1 of the layer.
fn layer_names(tile: &[u8]) -> BTreeSet<String> {
    fn varint(bytes: &[u8], at: &mut usize) -> usize {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[*at];
            *at += 1;
            value |= usize::from(byte & 127) << shift;
            if byte < 128 {
                break;
            }
        }
        value
    }
    let (mut names, mut at) = (BTreeSet::new(), 0);
    while at < tile.len() {
        assert_eq!(varint(tile, &mut at), 3 << 3 | 2, "a layer");
        let end = varint(tile, &mut at) + at;
        while at < end {
            let key = varint(tile, &mut at);
            match key & 7 {
                0 => {
                    varint(tile, &mut at);
                }
                _ => {
                    let len = varint(tile, &mut at);
                    if key >> 3 == 1 {
                        names.insert(String::from_utf8(tile[at..at + len].to_vec()).unwrap());
                    }
                    at += len;
                }
            }
        }
    }
    names
}

#[test]
fn a_tile_comes_with_its_labels_and_only_the_fields_asked_for() {
    assert_eq!(tile_of(104.0, 30.2, 12), TILE);
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let tile = server.get(&format!("/tiles/dltb/{TILE}.mvt"));
    assert_eq!(tile.status, 200);
    assert_eq!(
        tile.header("content-type"),
        Some("application/vnd.mapbox-vector-tile")
    );
    assert_eq!(tile.header("access-control-allow-origin"), Some("*"));
    let expected = BTreeSet::from(["dltb".to_string(), "dltb_label".to_string()]);
    assert_eq!(layer_names(&tile.body), expected);
    assert!(contains(&tile.body, "水田"));
    let slim = server.get(&format!("/tiles/dltb/{TILE}.pbf?fields=DLBM"));
    assert!(contains(&slim.body, "0101") && !contains(&slim.body, "水田"));
    assert!(slim.body.len() < tile.body.len());
    let named = server.get(&format!("/tiles/dltb/WebMercatorQuad/{TILE}.mvt"));
    assert_eq!(named.body, tile.body);
    server.stop();
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[test]
fn every_grid_has_the_parcels_where_they_are() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    // Level 12 of `c` is level 11 of the CGCS2000 quad: 180° / 2^11 a tile.
    let (x, y) = (
        (284.0 * 2048.0 / 180.0) as u32,
        ((90.0 - 30.2) * 2048.0 / 180.0) as u32,
    );
    let c = server.get(&format!("/tiles/dltb/c/12/{x}/{y}.mvt"));
    let ogc = server.get(&format!("/tiles/dltb/CGCS2000Quad/11/{x}/{y}.mvt"));
    let crs84 = server.get(&format!("/tiles/dltb/WorldCRS84Quad/11/{x}/{y}.mvt"));
    let w = server.get(&format!("/tiles/dltb/w/{TILE}.mvt"));
    for tile in [&c, &ogc, &crs84, &w] {
        assert!(layer_names(&tile.body).contains("dltb"));
    }
    assert_eq!(c.body, ogc.body);
    let grids = server.get("/grids").json();
    let ids: Vec<&str> = grids["tileMatrixSets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|set| set["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids,
        [
            "WebMercatorQuad",
            "WorldCRS84Quad",
            "CGCS2000Quad",
            "c",
            "w"
        ]
    );
    let document = server.get("/grids/c.json").json();
    assert_eq!(
        document["tileMatrices"][0]["scaleDenominator"],
        2.958293554545656E8
    );
    assert_eq!(
        document["tileMatrices"][0]["pointOfOrigin"],
        serde_json::json!([90.0, -180.0])
    );
    assert_eq!(server.get("/grids/nope.json").problem(), "unknown-grid");
    server.stop();
}

#[test]
fn a_grid_of_the_workspace_is_served_and_a_broken_one_stops_the_start() {
    let dir = workspace();
    let folder = dir.path().join("grids");
    std::fs::create_dir(&folder).unwrap();
    let document = serde_json::json!({
        "id": "gk35", "crs": "http://www.opengis.net/def/crs/EPSG/0/4523",
        "tileMatrices": [{ "id": "0", "scaleDenominator": 400_000.0, "cellSize": 112.0,
            "pointOfOrigin": [10_002_100.0, 35_000_000.0], "tileWidth": 256, "tileHeight": 256,
            "matrixWidth": 40, "matrixHeight": 350 }],
    });
    std::fs::write(folder.join("gk35.json"), document.to_string()).unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut found = 0;
    for row in 228..234 {
        for column in 13..17 {
            let tile = server.get(&format!("/tiles/dltb/gk35/0/{column}/{row}.mvt"));
            found += usize::from(tile.status == 200);
        }
    }
    assert!(found > 0, "no tile of the grid shows the parcels");
    server.stop();
    std::fs::write(folder.join("z.json"), "{\"id\": 7}").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_onemap"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .arg(dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("z.json"));
}

#[test]
fn tile_json_leads_to_tiles_that_may_be_kept_forever() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let document = server.get("/tiles/dltb.json").json();
    assert_eq!(document["tilejson"], "3.0.0");
    let ids: Vec<&str> = document["vector_layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["dltb", "dltb_label"]);
    assert_eq!(document["vector_layers"][0]["fields"]["NO"], "Number");
    let bounds: Vec<f64> = serde_json::from_value(document["bounds"].clone()).unwrap();
    assert!((bounds[0] - 104.0).abs() < 1e-6 && (bounds[3] - 30.22).abs() < 1e-6);
    let template = document["tiles"][0].as_str().unwrap();
    let path = template
        .strip_prefix(&format!("http://{}", server.address))
        .unwrap();
    let path = path.replace("{z}/{x}/{y}", TILE);
    let tile = server.get(&path);
    assert_eq!(tile.status, 200);
    assert!(tile.header("cache-control").unwrap().contains("immutable"));
    // The short address and an old version are to be asked for again each time.
    for target in [
        format!("/tiles/dltb/{TILE}.mvt"),
        format!("/tiles/dltb/{TILE}.mvt?v=old"),
    ] {
        assert_eq!(
            server.get(&target).header("cache-control"),
            Some("public, no-cache")
        );
    }
    assert_eq!(server.get("/tiles/nope.json").problem(), "unknown-layer");
    server.stop();
    let server = Server::start(
        dir.path(),
        &["--public-url", "https://map.example.org/one/"],
    );
    let document = server.get("/tiles/dltb.json").json();
    let template = document["tiles"][0].as_str().unwrap();
    assert!(template.starts_with("https://map.example.org/one/tiles/dltb/{z}"));
    server.stop();
}

#[test]
fn the_portal_finds_layers_features_styles_and_matches() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let catalog = server.get("/layers.json").json();
    assert_eq!(catalog["groups"].as_array().unwrap().len(), 5);
    let layer = &catalog["layers"][0];
    for (key, expected) in [
        ("name", serde_json::json!("dltb")),
        ("kind", serde_json::json!("landuse")),
        ("group", serde_json::json!("landuse")),
        ("geometry", serde_json::json!("polygon")),
        ("features", serde_json::json!(400)),
        ("tilejson", serde_json::json!("/tiles/dltb.json")),
        ("crs", serde_json::json!("EPSG:4490")),
    ] {
        assert_eq!(layer[key], expected, "{key}");
    }
    let found = server
        .get("/layers/dltb/search?q=%E6%B0%B4%E7%94%B0&limit=2")
        .json();
    assert_eq!(found["matches"].as_array().unwrap().len(), 2);
    assert_eq!(found["truncated"], true);
    let one = server.get("/layers/dltb/search?q=399&field=NO").json();
    let id = one["matches"][0]["id"].as_u64().unwrap();
    assert_eq!(one["matches"].as_array().unwrap().len(), 1);
    let feature = server.get(&format!("/layers/dltb/features/{id}")).json();
    assert_eq!(feature["type"], "Feature");
    assert_eq!(feature["properties"]["NO"], 399);
    assert_eq!(feature["geometry"]["type"], "Polygon");
    let corner = feature["geometry"]["coordinates"][0][0][0]
        .as_f64()
        .unwrap();
    assert!((104.0..104.1).contains(&corner));
    assert_eq!(
        server.get("/layers/dltb/features/0123456789").problem(),
        "unknown-feature"
    );
    assert_eq!(
        server.get("/layers/dltb/features/x").problem(),
        "bad-parameter"
    );
    assert_eq!(
        server.get("/layers/dltb/search?q=").problem(),
        "bad-parameter"
    );
    assert_eq!(
        server.get("/layers/dltb/search?q=a&limit=0").problem(),
        "bad-parameter"
    );
    assert_eq!(
        server.get("/layers/dltb/search?q=a&field=nope").problem(),
        "bad-parameter"
    );
    assert_eq!(
        server.get("/layers/nope/search?q=a").problem(),
        "unknown-layer"
    );
    let style = server.get("/styles/dltb.json").json();
    assert_eq!(style["version"], 8);
    assert_eq!(
        style["sources"]["dltb"]["url"],
        format!("http://{}/tiles/dltb.json", server.address)
    );
    assert!(!style["layers"].as_array().unwrap().is_empty());
    assert!(!style.to_string().contains("{layer}"));
    assert_eq!(server.get("/sprites/onemap.png").body[..4], *b"\x89PNG");
    assert_eq!(server.get("/sprites/nope.png").problem(), "not-found");
    server.stop();
}

#[test]
fn what_is_not_there_says_so_and_empty_is_not_missing() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let empty = server.get("/tiles/dltb/12/0/0.mvt");
    assert_eq!((empty.status, empty.body.len()), (204, 0));
    for (target, status, code) in [
        ("/tiles/dltb/99/0/0.mvt", 404, "tile-outside-grid"),
        ("/tiles/dltb/c/0/0/0.mvt", 404, "tile-outside-grid"),
        ("/tiles/dltb/1/2/0.mvt", 404, "tile-outside-grid"),
        ("/tiles/dltb/1/0/2147483647.mvt", 404, "tile-outside-grid"),
        ("/tiles/dltb/-1/0/0.mvt", 400, "bad-coordinate"),
        ("/tiles/dltb/1/-1/0.mvt", 400, "bad-coordinate"),
        ("/tiles/dltb/1/0/1.5.mvt", 400, "bad-coordinate"),
        ("/tiles/dltb/1.0/0/0.mvt", 400, "bad-coordinate"),
        ("/tiles/dltb/NaN/0/0.mvt", 400, "bad-coordinate"),
        ("/tiles/dltb/1e0/0/0.mvt", 400, "bad-coordinate"),
        ("/tiles/dltb/%31%30%2b/0/0.mvt", 400, "bad-coordinate"),
        (
            "/tiles/dltb/1/99999999999999999999999/0.mvt",
            400,
            "bad-coordinate",
        ),
        ("/tiles/nope/1/0/0.mvt", 404, "unknown-layer"),
        ("/tiles/dltb,nope/1/0/0.mvt", 404, "unknown-layer"),
        ("/tiles/,/1/0/0.mvt", 404, "unknown-layer"),
        ("/tiles/dltb,dltb/1/0/0.mvt", 400, "bad-parameter"),
        ("/tiles/dltb/mars/1/0/0.mvt", 404, "unknown-grid"),
        ("/tiles/dltb/1/0/0.exe", 404, "unknown-format"),
        ("/tiles/dltb/1/0/0", 404, "unknown-format"),
        ("/tiles/dltb/1/0/0.png", 404, "wrong-format"),
        ("/tiles/dltb/1/0/0.mvt?fields=nope", 400, "bad-parameter"),
        ("/tiles/dltb/1/0/0.mvt?cache=no", 400, "bad-parameter"),
        (
            "/tiles/dltb/1/0/0.mvt?cache=skip",
            403,
            "cache-skip-refused",
        ),
        ("/tiles/%ff/1/0/0.mvt", 400, "bad-encoding"),
        ("/tiles/%zz/1/0/0.mvt", 400, "bad-encoding"),
        ("/tiles/%", 400, "bad-encoding"),
        ("/tiles/dltb/1/0/0.mvt?fields=%C3%28", 400, "bad-encoding"),
        ("/nope", 404, "not-found"),
        ("/tiles", 404, "not-found"),
        ("/layers/dltb", 404, "not-found"),
    ] {
        let reply = server.get(target);
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (status, code),
            "{target}"
        );
    }
    server.stop();
}

#[test]
fn paths_do_not_leave_the_workspace() {
    let dir = workspace();
    std::fs::write(dir.path().join("secret.json"), "{\"secret\": 1}").unwrap();
    let server = Server::start(dir.path(), &[]);
    for target in [
        "/../secret.json",
        "/..%2fsecret.json",
        "/sprites/..%2f..%2fsecret.json",
        "/sprites/%2e%2e/secret.json",
        "/sprites/../../secret.json",
        "/styles/..%2f..%2fsecret.json",
        "/grids/..%2fsecret.json",
        "/tiles/..%2f..%2f..%2fetc%2fpasswd/0/0/0.mvt",
        "/layers/..%5c..%5csecret/search?q=secret",
        "/catalog.sqlite",
        "/layers/dltb/g000001/manifest.json",
        "//etc/passwd",
        "/%00",
        "/sprites/.hidden",
    ] {
        let reply = server.get(target);
        assert!(
            [400, 404].contains(&reply.status),
            "{target}: {}",
            reply.status
        );
        assert!(!contains(&reply.body, "\"secret\""), "{target}");
        reply.problem();
    }
    server.stop();
}

#[test]
fn ten_thousand_layers_and_endless_addresses_are_refused() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let layers = vec!["a"; 10_000].join(",");
    let reply = server.get(&format!("/tiles/{layers}/0/0/0.mvt"));
    assert_eq!(
        (reply.status, reply.problem().as_str()),
        (400, "too-many-layers")
    );
    let long = server.get(&format!("/tiles/{}/0/0/0.mvt", "x".repeat(40_000)));
    assert_eq!(
        (long.status, long.problem().as_str()),
        (414, "uri-too-long")
    );
    // Beyond what the head of a request may have, the connection's own limit answers.
    let longer = server.get(&format!("/{}", "x".repeat(200_000)));
    assert!([414, 431].contains(&longer.status), "{}", longer.status);
    let fields: Vec<String> = (0..1000).map(|i| format!("f{i}")).collect();
    let many = server.get(&format!(
        "/tiles/dltb/0/0/0.mvt?fields={}",
        fields.join(",")
    ));
    assert_eq!(many.problem(), "bad-parameter");
    let pairs = server.get(&format!("/layers.json?{}", "a=1&".repeat(1000)));
    assert_eq!(pairs.problem(), "bad-parameter");
    server.stop();
}

#[test]
fn large_heads_bodies_and_strange_methods_are_refused() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let big = "x".repeat(100_000);
    assert_eq!(
        server.ask("GET", "/layers.json", &[("x-big", &big)]).status,
        431
    );
    let many: Vec<String> = (0..500).map(|i| format!("x-{i}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(server.ask("GET", "/layers.json", &many).status, 431);
    let body = server.ask("GET", "/layers.json", &[("content-length", "1000000")]);
    assert_eq!(
        (body.status, body.problem().as_str()),
        (413, "body-refused")
    );
    for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
        let reply = server.ask(method, "/layers.json", &[]);
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (405, "method-not-allowed")
        );
        assert_eq!(reply.header("allow"), Some("GET, HEAD, OPTIONS"));
    }
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut stream = server.connect();
        stream.write_all(garbage).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let status = Reply::parse(&answer).map(|reply| reply.status);
        assert!(
            status.is_none_or(|status| [400, 505].contains(&status)),
            "{status:?}"
        );
    }
    assert_eq!(server.get("/health/live").status, 200);
    server.stop();
}

#[test]
fn mangled_requests_are_answered_or_dropped_and_the_server_stays_up() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let request = format!(
        "GET /tiles/dltb/{TILE}.mvt?fields=DLBM&v=1 HTTP/1.1\r\nhost: x\r\nif-none-match: \"a\"\r\naccept-encoding: gzip;q=0.5, br\r\nconnection: close\r\n\r\n"
    );
    let mut seed = 0x0BAD_5EEDu64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut answered = 0;
    for _ in 0..300 {
        let mut bytes = request.clone().into_bytes();
        for _ in 0..=next() % 4 {
            let at = next() as usize % bytes.len();
            match next() % 3 {
                0 => bytes[at] = next() as u8,
                1 => bytes.insert(at, b"%/,.?&=;\" \0\xff"[next() as usize % 12]),
                _ => {
                    bytes.remove(at);
                }
            }
        }
        let mut stream = server.connect();
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        if let Some(reply) = Reply::parse(&answer) {
            answered += 1;
            assert!(reply.status < 500, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
    assert!(answered > 200);
    assert_eq!(server.metric("onemap_panics_total"), 0.0);
    server.stop();
}

#[test]
fn validators_codings_and_methods_do_what_http_says() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let target = format!("/tiles/dltb/{TILE}.mvt");
    let plain = server.get(&target);
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(plain.header("vary"), Some("accept-encoding"));
    let length = plain.body.len().to_string();
    assert_eq!(plain.header("content-length"), Some(length.as_str()));
    let mut etags = BTreeSet::from([plain.header("etag").unwrap().to_string()]);
    for (accept, coding) in [
        ("gzip", "gzip"),
        ("br;q=1, gzip;q=0.5", "br"),
        ("gzip, deflate, br, zstd", "zstd"),
    ] {
        // The second answer comes by the short way of cached tiles.
        for _ in 0..2 {
            let reply = server.ask("GET", &target, &[("accept-encoding", accept)]);
            assert_eq!(reply.header("content-encoding"), Some(coding));
            assert_eq!(decoded(coding, &reply.body), plain.body, "{coding}");
            etags.insert(reply.header("etag").unwrap().to_string());
        }
    }
    assert_eq!(etags.len(), 4, "a validator for each coding: {etags:?}");
    assert_eq!(server.metric("onemap_tiles_computed_total"), 1.0);
    let etag = plain.header("etag").unwrap();
    for tags in [etag.to_string(), format!("\"x\", W/{etag}"), "*".into()] {
        let reply = server.ask("GET", &target, &[("if-none-match", &tags)]);
        assert_eq!((reply.status, reply.body.len()), (304, 0));
        assert_eq!(reply.header("etag"), Some(etag));
    }
    assert_eq!(
        server
            .ask("GET", &target, &[("if-none-match", "\"x\"")])
            .status,
        200
    );
    let head = server.ask("HEAD", &target, &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(length.as_str()));
    let preflight = server.ask("OPTIONS", &target, &[("origin", "http://elsewhere")]);
    assert_eq!(preflight.status, 204);
    assert_eq!(
        preflight.header("access-control-allow-methods"),
        Some("GET, HEAD, OPTIONS")
    );
    let named = server.ask("GET", &target, &[("x-request-id", "abc-1.2_3")]);
    assert_eq!(named.header("x-request-id"), Some("abc-1.2_3"));
    let forged = server.ask("GET", &target, &[("x-request-id", "a b\"c")]);
    assert_ne!(forged.header("x-request-id"), Some("a b\"c"));
    let catalog = server.ask("GET", "/layers.json", &[("accept-encoding", "gzip")]);
    assert_eq!(catalog.header("content-encoding"), Some("gzip"));
    let etag = catalog.header("etag").unwrap();
    let again = [("accept-encoding", "gzip"), ("if-none-match", etag)];
    assert_eq!(server.ask("GET", "/layers.json", &again).status, 304);
    server.stop();
}

fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        "gzip" => {
            plain.resize(1 << 20, 0);
            let mut decompressor = libdeflater::Decompressor::new();
            let len = decompressor.gzip_decompress(bytes, &mut plain).unwrap();
            plain.truncate(len);
        }
        "br" => {
            brotli::BrotliDecompress(&mut &bytes[..], &mut plain).unwrap();
        }
        "zstd" => plain = zstd::decode_all(bytes).unwrap(),
        other => panic!("{other}"),
    }
    plain
}

#[test]
fn a_hundred_clients_that_want_one_tile_cause_one_computation() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let target = format!("/tiles/dltb/{TILE}.mvt");
    let bodies: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..100)
            .map(|_| scope.spawn(|| server.get(&target)))
            .collect();
        clients
            .into_iter()
            .map(|client| {
                let reply = client.join().unwrap();
                assert_eq!(reply.status, 200);
                reply.body
            })
            .collect()
    });
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(server.metric("onemap_tiles_computed_total"), 1.0);
    assert_eq!(server.metric("onemap_cache_misses_total"), 1.0);
    assert_eq!(server.metric("onemap_cache_hits_total"), 99.0);
    server.stop();
}

#[test]
fn a_new_generation_is_served_at_once_and_nobody_is_refused_meanwhile() {
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let target = format!("/tiles/dltb/{TILE}.mvt");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(server.get(&target).status, 200);
                }
            });
        }
        for round in 0..6 {
            let class = format!("02{round:02}");
            import(dir.path(), "dltb", parcels(20, &class));
            // The import has returned: from here on nothing older may be seen.
            let tile = server.get(&target);
            assert!(
                contains(&tile.body, &class),
                "a stale tile after round {round}"
            );
        }
        done.store(true, Ordering::Relaxed);
    });
    import(dir.path(), "ckq", parcels(3, "0602"));
    let both = server.get(&format!("/tiles/dltb,ckq/{TILE}.mvt"));
    let names = layer_names(&both.body);
    assert!(names.contains("dltb") && names.contains("ckq"));
    server.stop();
}

#[test]
fn the_cache_stays_within_its_bytes() {
    let dir = workspace();
    let server = Server::start(dir.path(), &["--cache-mb", "1"]);
    for zoom in 10..17u32 {
        for i in 0..12 {
            let at = 0.0015 * f64::from(i);
            let tile = tile_of(104.0 + at, 30.2 + at, zoom);
            for query in ["", "?fields=NO", "?fields=DLBM,NO", "?fields=DLMC"] {
                server.get(&format!("/tiles/dltb/{tile}.mvt{query}"));
            }
        }
    }
    let bytes = server.metric("onemap_cache_bytes");
    assert!(bytes > 0.0 && bytes <= f64::from(1 << 20), "{bytes}");
    server.stop();
}

#[test]
fn a_full_queue_answers_503_and_says_when_to_come_back() {
    let dir = workspace();
    let flags = ["--threads", "1", "--queue", "1", "--allow-cache-skip"];
    let server = Server::start(dir.path(), &flags);
    let target = format!("/tiles/dltb/{TILE}.mvt?cache=skip");
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..64)
            .map(|_| scope.spawn(|| server.get(&target)))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    let refused: Vec<&Reply> = replies.iter().filter(|reply| reply.status != 200).collect();
    for reply in &refused {
        assert_eq!((reply.status, reply.problem().as_str()), (503, "busy"));
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    assert!(refused.len() < 64, "somebody is served");
    assert_eq!(
        server.metric("onemap_refused_busy_total"),
        refused.len() as f64
    );
    // Refusals are warnings; beyond them the log is clean.
    let log = server.stop_and_read_log();
    assert!(!log.contains("\"ERROR\""));
    assert_eq!(log.matches("\"WARN\"").count(), refused.len());
}

#[test]
fn a_skipped_cache_is_measured_by_phase() {
    let dir = workspace();
    let server = Server::start(dir.path(), &["--allow-cache-skip"]);
    let target = format!("/tiles/dltb/{TILE}.mvt?cache=skip");
    for _ in 0..2 {
        let reply = server.get(&target);
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let timing = reply.header("server-timing").unwrap();
        for phase in ["index", "decode", "clip", "encode", "compress"] {
            assert!(timing.contains(&format!("{phase};dur=")), "{timing}");
        }
    }
    assert_eq!(server.metric("onemap_tiles_computed_total"), 2.0);
    let text = server.get("/metrics").text();
    assert!(text.contains("onemap_tile_phase_seconds_total{layer=\"dltb\",phase=\"clip\"}"));
    assert!(text.contains("onemap_requests_total{endpoint=\"vector_tile\",status=\"200\"} 2"));
    server.stop();
}

#[test]
fn slow_heads_are_cut_off_and_do_not_hold_up_others() {
    let dir = workspace();
    let server = Server::start(dir.path(), &["--head-seconds", "1"]);
    let started = Instant::now();
    let mut silent = server.connect();
    let mut trickling = server.connect();
    trickling
        .write_all(b"GET /layers.json HTTP/1.1\r\n")
        .unwrap();
    // A byte now and then does not help.
    while trickling.write_all(b"x").is_ok() && started.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(server.get("/health/live").status, 200);
    }
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "the trickle was accepted"
    );
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    server.wait_for_metric("onemap_connections_open", |open| open <= 1.0);
    server.stop();
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let dir = workspace();
    let flags = ["--write-seconds", "1", "--head-seconds", "60"];
    let server = Server::start(dir.path(), &flags);
    let mut stream = server.connect();
    let request = format!("GET /tiles/dltb/{TILE}.mvt HTTP/1.1\r\nhost: x\r\n\r\n");
    let requests = request.repeat(2000);
    // Thousands of answers that nobody reads fill every buffer on the way.
    stream
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    for _ in 0..100 {
        if stream.write_all(requests.as_bytes()).is_err() {
            break;
        }
    }
    server.wait_for_metric("onemap_connections_open", |open| open <= 1.0);
    drop(stream);
    server.stop();
}

#[test]
fn clients_that_hang_up_leave_nothing_behind() {
    let dir = workspace();
    let server = Server::start(dir.path(), &["--allow-cache-skip", "--threads", "1"]);
    let request = format!("GET /tiles/dltb/{TILE}.mvt?cache=skip HTTP/1.1\r\nhost: x\r\n\r\n");
    for _ in 0..200 {
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).unwrap();
    }
    server.wait_for_metric("onemap_connections_open", |open| open <= 1.0);
    server.wait_for_metric("onemap_jobs_waiting", |jobs| jobs == 0.0);
    assert_eq!(server.get(&format!("/tiles/dltb/{TILE}.mvt")).status, 200);
    assert_eq!(server.metric("onemap_panics_total"), 0.0);
    server.stop();
}

#[test]
fn a_stop_finishes_what_is_open_and_closes_idle_connections() {
    let dir = workspace();
    let server = Server::start(dir.path(), &["--allow-cache-skip"]);
    let mut idle = server.connect();
    idle.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    assert_eq!(server.get("/health/ready").text(), "ready\n");
    let target = format!("/tiles/dltb/{TILE}.mvt?cache=skip");
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    let mut stream = server.connect();
                    let text = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
                    stream.write_all(text.as_bytes()).unwrap();
                    stream
                })
            })
            .collect();
        let streams: Vec<_> = clients.into_iter().map(|c| c.join().unwrap()).collect();
        server.wait_for_metric(
            "onemap_requests_total{endpoint=\"vector_tile\",status=\"200\"}",
            |n| n >= 20.0,
        );
        server.signal("-TERM");
        for mut stream in streams {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert_eq!(Reply::parse(&answer).unwrap().status, 200);
        }
    });
    let started = Instant::now();
    server.stop();
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "the idle connection held up the stop"
    );
}

#[test]
fn the_command_line_teaches_and_ends_with_the_right_code() {
    let onemap = |arguments: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_onemap"))
            .args(arguments)
            .output()
            .unwrap()
    };
    let help = onemap(&["serve", "--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).unwrap();
    for word in [
        "--listen",
        "--cache-mb",
        "--allow-cache-skip",
        "瓦片缓存",
        "/layers.json",
    ] {
        assert!(text.contains(word), "{word} is not explained");
    }
    assert_eq!(onemap(&["serve", "/nowhere/at/all"]).status.code(), Some(2));
    assert_eq!(onemap(&["serve"]).status.code(), Some(2));
    let dir = workspace();
    let path = dir.path().to_str().unwrap();
    let config = dir.path().join("onemap.toml");
    std::fs::write(&config, "cach-mb = 1\n").unwrap();
    let misspelt = onemap(&["serve", path, "--config", config.to_str().unwrap()]);
    assert_eq!(misspelt.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&misspelt.stderr).contains("cach-mb"));
    let wild = onemap(&["serve", path, "--request-seconds", "0"]);
    assert_eq!(wild.status.code(), Some(2));
}

#[test]
fn gdal_reads_a_tile_by_its_address_and_a_level_by_its_tile_json() {
    use gdal::vector::LayerAccess;
    use gdal::{Dataset, DatasetOptions};
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let base = format!("http://{}", server.address);
    let names =
        |dataset: &Dataset| -> Vec<String> { dataset.layers().map(|layer| layer.name()).collect() };
    let tile = Dataset::open(format!("MVT:{base}/tiles/dltb/{TILE}.mvt")).unwrap();
    assert_eq!(names(&tile), ["dltb", "dltb_label"]);
    let mut layer = tile.layer(0).unwrap();
    assert_eq!(layer.feature_count(), 400);
    let feature = layer.features().next().unwrap();
    let class = feature.field_index("DLBM").unwrap();
    assert_eq!(
        feature.field_as_string(class).unwrap().as_deref(),
        Some("0101")
    );
    let metadata = format!("METADATA_FILE={base}/tiles/dltb.json");
    let options = DatasetOptions {
        open_options: Some(&[metadata.as_str()]),
        ..DatasetOptions::default()
    };
    let level = Dataset::open_ex(format!("MVT:{base}/tiles/dltb/14"), options).unwrap();
    assert!(names(&level).contains(&"dltb".to_string()));
    let mut seen = BTreeSet::new();
    let mut layer = level.layer_by_name("dltb").unwrap();
    for feature in layer.features() {
        let number = feature.field_index("NO").unwrap();
        seen.insert(feature.field_as_integer64(number).unwrap().unwrap());
    }
    assert_eq!(seen.len(), 400, "every parcel is in some tile of the level");
    server.stop();
}
