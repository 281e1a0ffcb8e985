//! One target per parser of our own, each fed with mangled copies of what it should read: an
//! answer or an error, never a panic, never memory the input did not earn.
//!
//! `ONEMAP_FUZZ_ROUNDS` multiplies the rounds for a long run:
//! `ONEMAP_FUZZ_ROUNDS=1000 cargo test --release --test fuzz`. Other doors have theirs beside
//! their tests: foreign files in `source`, images in `imagery`, raw requests in `http_limits`.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use onemap::config::FileConfig;
use onemap::crs::Crs;
use onemap::format::fgb::ValueRef;
use onemap::format::mbtiles::{MbtilesFile, MbtilesWriter};
use onemap::format::pmtiles::{
    Compression, Description, PmtilesFile, PmtilesWriter, TileType, tile_id, tile_of_id,
};
use onemap::format::tilematrixset;
use onemap::geom::Bbox;
use onemap::ingest::archive::{ArchiveOptions, import_archive};
use onemap::model::{LayerName, TileContainer, TileCoord, TileGrid};
use onemap::protocol::parse;
use onemap::query::{Budget, SearchQuery, feature_by_id, search};
use onemap::source::{SourceSpec, open};
use onemap::store::{LEVELS_DIR, LayerData, PYRAMID_DIR, Snapshot, Store};
use onemap::tile::{Options, TileLayer, vector_tile};
use support::mangle::Mangler;
use support::{crs, network, parcels};

fn rounds(usual: usize) -> usize {
    let factor = std::env::var("ONEMAP_FUZZ_ROUNDS").ok();
    usual * factor.map_or(1, |text| text.parse().expect("a whole number"))
}

/// Asks a layer for all it can be asked for; counts the answers that are errors.
fn ask_everything(snapshot: &Arc<Snapshot>, grid: &TileGrid) -> usize {
    let mut refused = 0;
    for (z, x, y) in [(0, 0, 0), (6, 50, 26), (11, 1615, 843), (14, 12925, 6748)] {
        let layer = TileLayer {
            snapshot: snapshot.clone(),
            fields: None,
        };
        let coord = TileCoord { z, x, y };
        let budget = Budget::unlimited();
        refused +=
            usize::from(vector_tile(&[layer], grid, coord, &Options::default(), &budget).is_err());
    }
    let query = SearchQuery {
        text: "399".into(),
        field: None,
        limit: 10,
    };
    refused += usize::from(search(snapshot, &query, &Budget::unlimited()).is_err());
    for id in [0, 7, 399, u64::MAX] {
        match feature_by_id(snapshot, id) {
            Ok(Some(found)) => {
                if let Some(geometry) = found.view.geometry() {
                    let geometry = geometry.to_geometry();
                    assert!(geometry.vertex_count() < 1 << 20);
                }
                let info = snapshot.vector().expect("a vector layer").1;
                found.view.for_each_value(&info.schema, |_, value| {
                    if let ValueRef::Text(text) = value {
                        assert!(text.len() < 1 << 20);
                    }
                });
            }
            Ok(None) => {}
            Err(_) => refused += 1,
        }
    }
    refused
}

/// Every file of a generation, damaged on the disk.
#[test]
fn the_files_of_a_workspace() {
    let workspace = parcels::workspace();
    let store = Store::open(workspace.path()).unwrap();
    let grid = store.grids().unwrap().remove(0);
    let snapshot = store.snapshot("dltb").unwrap().unwrap();
    assert_eq!(ask_everything(&snapshot, &grid), 0, "the sound layer");
    let dir = snapshot.dir().to_path_buf();
    let files: Vec<_> = [dir.clone(), dir.join(PYRAMID_DIR)]
        .iter()
        .flat_map(|dir| std::fs::read_dir(dir).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    assert!(
        files
            .iter()
            .any(|path| path.extension().is_some_and(|end| end == "level")),
        "the layer has a pyramid: {files:?}"
    );
    drop((snapshot, store));
    let (unopened, refused) = damage(workspace.path(), "dltb", &grid, &files);
    assert!(
        unopened > 50 && refused > 10,
        "{unopened} unopened, {refused} refused"
    );
}

/// The same with the levels of points and lines.
#[test]
fn the_levels_of_a_workspace() {
    let workspace = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(workspace.path()).unwrap();
    let grid = store.grids().unwrap().remove(0);
    for (name, schema, features) in [
        ("wells", network::point_schema(), network::points(1500, 1)),
        ("roads", network::line_schema(), network::roads(20, 1)),
    ] {
        let made = support::import(&store, name, crs(4490, true), schema, features, |options| {
            options.tile_bytes = 20_000;
        });
        assert_eq!(ask_everything(&made.snapshot, &grid), 0, "the sound layer");
        let dir = made.snapshot.dir().join(LEVELS_DIR);
        // What tile 0/0/0 is cut from.
        let files = ["z00.fgb", "z00.idx"].map(|name| dir.join(name));
        let (unopened, refused) = damage(workspace.path(), name, &grid, &files);
        assert!(
            unopened > 10 && refused > 3,
            "{name}: {unopened} unopened, {refused} refused"
        );
    }
}

/// Damages each of the files of a layer many times; says how often it could not be opened, and how
/// many questions it refused to answer when it could.
fn damage(workspace: &Path, layer: &str, grid: &TileGrid, files: &[PathBuf]) -> (usize, usize) {
    let words: &[&[u8]] = &[
        b"null",
        b"-1",
        b"[]",
        b"1e999",
        b"\"\"",
        b"\xff\xff\xff\xff",
    ];
    let mut mangler = Mangler::new(0x5EED, words);
    let (mut unopened, mut refused) = (0, 0);
    for path in files {
        let sound = std::fs::read(path).unwrap();
        for round in 0..rounds(60) {
            // A fresh file, as a mapping of the last one may still be open.
            std::fs::remove_file(path).unwrap();
            std::fs::write(path, mangler.mangled(&sound, 600)).unwrap();
            let store = Store::open(workspace).unwrap();
            match store.snapshot(layer) {
                Ok(Some(snapshot)) => refused += ask_everything(&snapshot, grid),
                Ok(None) => panic!("round {round}: the layer is gone"),
                Err(_) => unopened += 1,
            }
        }
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, sound).unwrap();
    }
    (unopened, refused)
}

#[test]
fn pmtiles() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pmtiles");
    let mut writer = PmtilesWriter::resume_or_create(&path, "").unwrap();
    for z in 0..7u8 {
        let first = tile_id(z, 0, 0);
        for id in first..first + (1 << (2 * z)) {
            writer
                .push(id, format!("tile {}", id % 97).as_bytes())
                .unwrap();
        }
    }
    let description = Description {
        tile_compression: Compression::None,
        tile_type: TileType::Mvt,
        min_zoom: 0,
        max_zoom: 6,
        bounds_lonlat: [-180.0, -85.0, 180.0, 85.0],
        center_zoom: 0,
        center_lonlat: [0.0, 0.0],
    };
    writer
        .finish(&description, r#"{"vector_layers":[]}"#)
        .unwrap();
    let sound = std::fs::read(&path).unwrap();
    let mut mangler = Mangler::new(
        0xA12C,
        &[b"\x1f\x8b\x08", b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"],
    );
    let damaged = dir.path().join("b.pmtiles");
    let (mut opened, mut unopened) = (0, 0);
    for _ in 0..rounds(1500) {
        let _absent_at_first = std::fs::remove_file(&damaged);
        std::fs::write(&damaged, mangler.mangled(&sound, 300)).unwrap();
        let Ok(file) = PmtilesFile::open(&damaged) else {
            unopened += 1;
            continue;
        };
        opened += 1;
        let _metadata = file.metadata();
        for (z, x, y) in [(0, 0, 0), (3, 7, 7), (6, 63, 0), (26, 1, 1), (40, 0, 0)] {
            if let Ok(Some(bytes)) = file.tile(z, x, y) {
                assert!(bytes.len() <= sound.len() + 256);
            }
        }
        for entry in file.runs().map_while(Result::ok) {
            let _place = tile_of_id(entry.tile_id);
            let _bytes = file.bytes_of(&entry);
        }
    }
    assert!(opened > 100 && unopened > 100, "{opened}, {unopened}");
}

#[test]
fn mbtiles() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mbtiles");
    let mut writer = MbtilesWriter::create(&path).unwrap();
    for x in 0..64 {
        writer
            .push(6, x, x, format!("tile {}", x % 7).as_bytes())
            .unwrap();
    }
    writer
        .finish(&[("name", "a".into()), ("format", "pbf".into())])
        .unwrap();
    let sound = std::fs::read(&path).unwrap();
    let mut mangler = Mangler::new(0xDB, &[b"SQLite format 3\0", b"CREATE TABLE tiles(a)"]);
    let damaged = dir.path().join("b.mbtiles");
    let mut answered = 0;
    for _ in 0..rounds(300) {
        let _absent_at_first = std::fs::remove_file(&damaged);
        std::fs::write(&damaged, mangler.mangled(&sound, sound.len())).unwrap();
        if let Ok(file) = MbtilesFile::open(&damaged) {
            let _metadata = file.metadata();
            answered += usize::from(matches!(file.tile(6, 3, 3), Ok(Some(_))));
        }
    }
    assert!(answered > 10, "{answered}");
}

/// An archive of somebody else becomes a layer, and its tiles are asked for.
#[test]
fn archives_as_layers() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let tile = |i: u64| zstd::bulk::compress(&vec![i as u8; 3000], 1).unwrap();
    let (pm, mb) = (dir.path().join("a.pmtiles"), dir.path().join("a.mbtiles"));
    let mut writer = PmtilesWriter::resume_or_create(&pm, "").unwrap();
    let mut database = MbtilesWriter::create(&mb).unwrap();
    for id in 0..85 {
        let (z, x, y) = tile_of_id(id).unwrap();
        writer.push(id, &tile(id)).unwrap();
        database.push(z, x, y, &tile(id)).unwrap();
    }
    let description = Description {
        tile_compression: Compression::Zstd,
        tile_type: TileType::Mvt,
        min_zoom: 0,
        max_zoom: 3,
        bounds_lonlat: [-180.0, -85.0, 180.0, 85.0],
        center_zoom: 0,
        center_lonlat: [0.0, 0.0],
    };
    let json = r#"{"vector_layers":[{"id":"a","fields":{"DLBM":"String"}}]}"#;
    writer.finish(&description, json).unwrap();
    database
        .finish(&[("format", "pbf".into()), ("json", json.into())])
        .unwrap();
    let words: &[&[u8]] = &[
        b"\x28\xb5\x2f\xfd",
        b"\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"CREATE VIEW tiles AS SELECT 1",
        b"vector_layers",
    ];
    let mut mangler = Mangler::new(0xA5C, words);
    for (sound, container, times) in [
        (pm, TileContainer::Pmtiles, 300),
        (mb, TileContainer::Mbtiles, 60),
    ] {
        let sound = std::fs::read(sound).unwrap();
        let (mut refused, mut answered, mut broken) = (0, 0, 0);
        for round in 0..rounds(times) {
            let path = dir.path().join("damaged");
            // Between the front and the tiles there is much room with nothing in it.
            let mut bytes = mangler.mangled(&sound, 300);
            if round % 2 == 0 {
                let (front, back) = sound.split_at(sound.len() * 3 / 4);
                bytes = [front, &mangler.mangled(back, back.len())].concat();
            }
            std::fs::write(&path, bytes).unwrap();
            let options = ArchiveOptions {
                name: LayerName::new("a").unwrap(),
                kind: None,
                title: "a".into(),
                attribution: None,
            };
            let Ok(layer) = import_archive(&store, &options, &path, container) else {
                refused += 1;
                continue;
            };
            let LayerData::Archive(file) = &layer.data else {
                panic!("a local archive is one");
            };
            for id in 0..90 {
                let (z, x, y) = tile_of_id(id).unwrap();
                match file.tile(TileCoord { z, x, y }) {
                    Ok(Some(stored)) => match stored.plain() {
                        Ok(plain) => answered += usize::from(plain.len() <= 32 << 20),
                        Err(_) => broken += 1,
                    },
                    Ok(None) => {}
                    Err(_) => broken += 1,
                }
            }
        }
        assert!(
            refused > 5 && answered > 100 && broken > 5,
            "{container:?}: {refused} refused, {answered} answered, {broken} broken"
        );
    }
}

#[test]
fn addresses_of_requests() {
    let words: &[&[u8]] = &[
        b"%2e%2e%2f",
        b"..",
        b"%00",
        b"%",
        b"%ff",
        b"//",
        b",",
        b"@2x",
        b"NaN",
        b"-1",
        b"1e9",
        b"99999999999999999999",
        b"&",
        b"=",
        b"?",
        b".json",
        b".mvt",
        b"%E5%9C%B0",
        b"\xf0\x9f\x92\xa9",
    ];
    let sound = [
        "/tiles/dltb,red_line/WebMercatorQuad/12/3231/1687.mvt?fields=DLBM,DLMC&cache=skip&v=7",
        "/tiles/photo/3/4/5.webp?v=1",
        "/tiles/dltb/c.json",
        "/layers.json",
        "/features/dltb/7.json",
        "/search/dltb.json?q=%E6%B0%B4%E7%94%B0&field=DLMC&limit=10",
        "/styles/dltb.json",
        "/sprites/onemap@2x.png",
        "/grids/c.json",
        "/health/ready",
        "/metrics",
        "/assets/index.js",
    ];
    let mut mangler = Mangler::new(0xADD2E55, words);
    let (mut understood, mut refused) = (0, 0);
    for round in 0..rounds(20_000) {
        let bytes = mangler.mangled(sound[round % sound.len()].as_bytes(), 4096);
        let text = String::from_utf8_lossy(&bytes);
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text.as_ref(), None),
        };
        match parse(path, query) {
            Ok(_) => understood += 1,
            Err(problem) => {
                refused += 1;
                assert!(
                    (400..500).contains(&problem.status),
                    "{text}: {}",
                    problem.status
                );
            }
        }
    }
    assert!(understood > 100 && refused > 100, "{understood}, {refused}");
}

#[test]
fn tile_matrix_sets() {
    let words: &[&[u8]] = &[
        b"1e308",
        b"-1",
        b"0",
        b"null",
        b"[]",
        b"{}",
        b"\"\"",
        b"1e-308",
        b"4294967296",
    ];
    let mut mangler = Mangler::new(0x7135, words);
    let grids = Store::open(parcels::workspace().path())
        .unwrap()
        .grids()
        .unwrap();
    let mut read = 0;
    for round in 0..rounds(4000) {
        let sound = tilematrixset::write(&grids[round % grids.len()]).to_string();
        let bytes = mangler.mangled(sound.as_bytes(), 2000);
        if let Ok(grid) = tilematrixset::read(&bytes) {
            read += 1;
            let tile = grid.tile(u32::from(grid.highest_zoom()), 0, 0).unwrap();
            grid.tile_bbox(tile).unwrap();
            let lowest = grid.lowest_zoom();
            let _none_where_it_overflows =
                grid.tiles_in_bbox(lowest, &Bbox::new(-1e300, -1e300, 1e300, 1e300));
        }
    }
    assert!(read > 50, "{read}");
}

#[test]
fn configurations() {
    let sound = "listen = \"127.0.0.1:8080\"\nthreads = 2\njson = true\nlog = \"info\"\n";
    let words: &[&[u8]] = &[
        b"[[", b"]", b"=", b"\"\"\"", b"-1", b"1e99", b"{", b"nan", b"#", b"\\u0000",
    ];
    let mut mangler = Mangler::new(0xC0F, words);
    let mut read = 0;
    for _ in 0..rounds(4000) {
        let bytes = mangler.mangled(sound.as_bytes(), 200);
        read += usize::from(FileConfig::parse(&String::from_utf8_lossy(&bytes)).is_ok());
    }
    assert!(read > 50, "{read}");
}

/// The text of a `.prj`, which is read by rules of our own before PROJ sees it.
#[test]
fn reference_systems() {
    let sound = [
        "PROJCS[\"CGCS2000_3_Degree_GK_Zone_39\",GEOGCS[\"GCS_China_Geodetic_Coordinate_System_2000\",DATUM[\"D_China_2000\",SPHEROID[\"CGCS2000\",6378137.0,298.257222101]],PRIMEM[\"Greenwich\",0.0],UNIT[\"Degree\",0.0174532925199433]],PROJECTION[\"Gauss_Kruger\"],PARAMETER[\"False_Easting\",39500000.0],PARAMETER[\"False_Northing\",0.0],PARAMETER[\"Central_Meridian\",117.0],PARAMETER[\"Scale_Factor\",1.0],PARAMETER[\"Latitude_Of_Origin\",0.0],UNIT[\"Meter\",1.0]]",
        "EPSG:4490",
        "+proj=tmerc +lat_0=0 +lon_0=117 +k=1 +x_0=500000 +ellps=GRS80 +units=m",
    ];
    let words: &[&[u8]] = &[
        b"[", b"]", b"\"", b",", b"1e999", b"-0.0", b"EPSG:", b"UNIT[", b"NaN",
    ];
    let mut mangler = Mangler::new(0xC25, words);
    let mut known = 0;
    for round in 0..rounds(240) {
        let bytes = mangler.mangled(sound[round % sound.len()].as_bytes(), 1000);
        let text = String::from_utf8_lossy(&bytes);
        known += usize::from(Crs::from_user(&text).is_ok());
        known += usize::from(Crs::from_definition(&text).is_ok());
    }
    assert!(known > 20, "{known}");
}

/// Tables of text: the sniffing of columns, separators and encodings is ours.
#[test]
fn tables_of_text() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    let sound = "编号,面积,WKT\n1,10.5,\"POLYGON((104 30,104.1 30,104.1 30.1,104 30))\"\n2,7,\"POINT(104 30)\"\n";
    let words: &[&[u8]] = &[
        b"\"",
        b"\"\"",
        b"\n",
        b"\r",
        b"\0",
        b",",
        b";",
        b"\t",
        b"\xd6\xd0",
        b"\xef\xbb\xbf",
        b"POLYGON((",
        b"EMPTY",
    ];
    let mut mangler = Mangler::new(0xC5F, words);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..rounds(150) {
        std::fs::write(&path, mangler.mangled(sound.as_bytes(), 200)).unwrap();
        match read_all(&path) {
            Ok(()) => read += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(read > 10 && refused > 10, "{read}, {refused}");
}

fn read_all(path: &Path) -> Result<(), onemap::source::SourceError> {
    let mut spec = SourceSpec::new(path.to_str().expect("the path is UTF-8"));
    spec.crs = Some(Crs::from_user("4490").expect("PROJ knows it"));
    let mut issues = onemap::model::IssueLog::default();
    let mut layer = open(&spec)?.into_layer(&mut issues)?;
    let mut batch = Vec::new();
    while layer.read_batch(100, 10_000, &mut batch, &mut issues)? {}
    Ok(())
}
