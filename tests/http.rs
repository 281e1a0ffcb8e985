//! The server as its well-behaved clients see it: the real program on a free port.

#[path = "support/images.rs"]
#[allow(dead_code, reason = "one recipe of several")]
mod images;
#[allow(dead_code, reason = "each test file uses its own part")]
#[path = "support/server.rs"]
mod server;
mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use onemap::store::Store;
use server::Server;
use support::parcels::{TILE, contains, import, layer_names, parcels, tile_of, workspace};

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
    // A parcel of six pixels has no room for letters, one of twelve has.
    assert_eq!(
        layer_names(&tile.body),
        BTreeSet::from(["dltb".to_string()])
    );
    assert!(contains(&tile.body, "水田"));
    let closer = tile_of(104.01, 30.21, 13);
    let closer = server.get(&format!("/tiles/dltb/{closer}.mvt"));
    let expected = BTreeSet::from(["dltb".to_string(), "dltb_label".to_string()]);
    assert_eq!(layer_names(&closer.body), expected);
    let slim = server.get(&format!("/tiles/dltb/{TILE}.pbf?fields=DLBM"));
    assert!(contains(&slim.body, "0101") && !contains(&slim.body, "水田"));
    assert!(slim.body.len() < tile.body.len());
    let named = server.get(&format!("/tiles/dltb/WebMercatorQuad/{TILE}.mvt"));
    assert_eq!(named.body, tile.body);
    server.stop();
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
fn gdal_reads_a_tile_by_its_address_and_a_level_by_its_tile_json() {
    use gdal::vector::LayerAccess;
    use gdal::{Dataset, DatasetOptions};
    let dir = workspace();
    let server = Server::start(dir.path(), &[]);
    let base = format!("http://{}", server.address);
    let names =
        |dataset: &Dataset| -> Vec<String> { dataset.layers().map(|layer| layer.name()).collect() };
    let tile = Dataset::open(format!("MVT:{base}/tiles/dltb/{TILE}.mvt")).unwrap();
    assert_eq!(names(&tile), ["dltb"]);
    let closer = tile_of(104.01, 30.21, 13);
    let closer = Dataset::open(format!("MVT:{base}/tiles/dltb/{closer}.mvt")).unwrap();
    assert_eq!(names(&closer), ["dltb", "dltb_label"]);
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

#[test]
fn image_tiles_come_in_three_formats_and_nothing_is_a_transparent_picture() {
    use onemap::source::raster::{RasterOptions, RasterSource};
    let dir = workspace();
    let store = Store::open_or_create(dir.path()).unwrap();
    let file = dir.path().join("dom.tif");
    // 300 × 300 pixels of 2 m near 111.3° E, 30.5° N.
    let recipe = images::Recipe::gauss_kruger([300, 300], 3);
    recipe.write::<u8>(&file, |band, column, _| (40 * band + column / 2) as u8);
    let source = RasterSource::open(&file, &RasterOptions::default()).unwrap();
    let options = images::options("dom");
    onemap::ingest::raster::import_image(&store, &options, &source).unwrap();
    let server = Server::start(dir.path(), &[]);
    let catalog = server.get("/layers.json").json();
    let layer = catalog["layers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|layer| layer["name"] == "dom")
        .unwrap();
    assert_eq!(layer["geometry"], "raster");
    let bounds: Vec<f64> = serde_json::from_value(layer["bounds"].clone()).unwrap();
    let tile = tile_of(
        (bounds[0] + bounds[2]) / 2.0,
        (bounds[1] + bounds[3]) / 2.0,
        16,
    );
    for (extension, media_type, magic) in [
        ("png", "image/png", &b"\x89PNG"[..]),
        ("jpg", "image/jpeg", b"\xff\xd8\xff"),
        ("webp", "image/webp", b"RIFF"),
    ] {
        let gzip = [("accept-encoding", "gzip")];
        for _ in 0..2 {
            let reply = server.ask("GET", &format!("/tiles/dom/{tile}.{extension}"), &gzip);
            assert_eq!(
                (reply.status, reply.header("content-type")),
                (200, Some(media_type))
            );
            assert_eq!(reply.header("content-encoding"), None);
            assert!(reply.body.starts_with(magic));
        }
    }
    let empty = server.get("/tiles/dom/16/0/0.png");
    assert_eq!(empty.status, 200);
    let document = server.get("/tiles/dom.json").json();
    assert!(document["tiles"][0].as_str().unwrap().contains("{y}.png"));
    assert_eq!(
        server.get("/styles/dom.json").json()["sources"]["dom"]["type"],
        "raster"
    );
    assert_eq!(
        server.get(&format!("/tiles/dom/{tile}.mvt")).problem(),
        "wrong-format"
    );
    assert_eq!(
        server.get(&format!("/tiles/dom,dltb/{tile}.mvt")).problem(),
        "wrong-format"
    );
    assert_eq!(server.get("/tiles/dom,dltb.json").problem(), "wrong-format");
    assert_eq!(
        server.get("/layers/dom/features/1").problem(),
        "wrong-format"
    );
    server.stop();
}
