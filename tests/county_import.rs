//! Every file of the fictional county goes through the ordinary import without a finding; with
//! planted defects, the import finds each kind it knows, where it was planted.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use onemap::county::{Options, generate};
use onemap::ingest::raster::{ImageOptions, import_image};
use onemap::ingest::{self, Input};
use onemap::model::{
    ImportCounts, IssueCode, IssueLog, LayerGeometry, LayerKind, LayerName, Severity,
};
use onemap::source::raster::{RasterOptions, RasterSource};
use onemap::source::{self, SourceError, SourceKind, SourceSpec};
use onemap::store::Store;

struct Imported {
    counts: ImportCounts,
    issues: IssueLog,
    epsg: Option<u32>,
    driver: String,
    encoding: Option<String>,
}

fn import(store: &Store, name: &str, path: &Path, layer: Option<&str>) -> Imported {
    let spec = SourceSpec {
        layer: layer.map(str::to_string),
        ..SourceSpec::new(path.to_str().unwrap())
    };
    let mut issues = IssueLog::default();
    let opened = source::open(&spec)
        .unwrap()
        .into_layer(&mut issues)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let input = Input {
        found: issues,
        ..Input::from_source(opened, None)
    };
    let name = LayerName::new(name).unwrap();
    let options = ingest::Options::new(name, LayerKind::Other);
    let outcome = ingest::import(store, &options, input, &|_| true)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let manifest = &outcome.snapshot.manifest;
    Imported {
        counts: outcome.counts,
        epsg: manifest.crs.epsg,
        driver: manifest.source.driver.clone(),
        encoding: manifest.source.encoding.clone(),
        issues: outcome.issues,
    }
}

fn findings(issues: &IssueLog) -> Vec<String> {
    issues
        .groups()
        .iter()
        .map(|g| {
            format!(
                "{:?} {:?} × {}: {}",
                g.code, g.severity, g.count, g.examples[0].detail
            )
        })
        .collect()
}

fn small(defects: bool, imagery: bool) -> Options {
    Options {
        seed: 11,
        parcels: 2000,
        defects,
        imagery,
        ..Options::default()
    }
}

#[test]
fn every_file_is_imported_without_a_finding() {
    let directory = tempfile::tempdir().unwrap();
    let report = generate(&small(false, true), directory.path()).unwrap();
    let workspace = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(workspace.path()).unwrap();
    let mut vectors: BTreeMap<String, Imported> = BTreeMap::new();
    let mut images = 0;
    let mut tables = Vec::new();
    let mut paths: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|p| {
            let end = p.extension().map(|e| e.to_str().unwrap().to_string());
            !matches!(end.as_deref(), Some("shx" | "dbf" | "prj" | "cpg" | "json"))
        })
        .collect();
    paths.sort();
    for (k, path) in paths.iter().enumerate() {
        let location = path.to_str().unwrap();
        if path.extension().is_some_and(|e| e == "csv") {
            // Tables have no shapes: the import says so and how they could have.
            let mut issues = IssueLog::default();
            let spec = SourceSpec::new(location);
            let opened = source::open(&spec).and_then(|d| d.into_layer(&mut issues).map(|_| ()));
            assert!(
                matches!(opened, Err(SourceError::NoGeometry { .. })),
                "{location}"
            );
            tables.push(path.file_name().unwrap().to_str().unwrap().to_string());
            continue;
        }
        match source::sniff(location).unwrap() {
            SourceKind::Raster => {
                let source = RasterSource::open(path, &RasterOptions::default()).unwrap();
                let name = LayerName::new(&format!("image{k}")).unwrap();
                let snapshot = import_image(&store, &ImageOptions::new(name), &source).unwrap();
                assert_eq!(snapshot.manifest.crs.epsg, Some(4527), "{location}");
                assert!(matches!(
                    snapshot.manifest.content,
                    LayerGeometry::Raster(_)
                ));
                images += 1;
            }
            SourceKind::Vector => {
                let dataset = source::open(&SourceSpec::new(location)).unwrap();
                let layers: Vec<String> = dataset.layer_names().map(str::to_string).collect();
                drop(dataset);
                for (l, layer) in layers.iter().enumerate() {
                    let imported = import(&store, &format!("layer{k}_{l}"), path, Some(layer));
                    let found = findings(&imported.issues);
                    assert!(found.is_empty(), "{location} {layer}: {found:#?}");
                    assert_eq!(imported.counts.read, imported.counts.stored);
                    assert!(imported.counts.stored > 0, "{location} {layer} is empty");
                    assert_eq!(imported.epsg, Some(4527), "{location} {layer}");
                    vectors.insert(layer.clone(), imported);
                }
            }
        }
    }
    assert_eq!(images, 5, "a DEM, and two pictures of two years");
    assert_eq!(tables, ["村级汇总.csv", "矿业权年度报告.csv"]);
    let expected = [
        "BCGD",
        "CJDCQ",
        "CKQ",
        "CZKFBJ",
        "DLTBGX_2019_2024",
        "DLTB_2019",
        "DLTB_2024",
        "DZZHD",
        "GHFQ",
        "GYDK",
        "JCTB",
        "PZDK",
        "STBHHX",
        "TKQ",
        "XZQ_乡镇",
        "XZQ_县",
        "YJJBNTTB",
        "报批坐标",
        "水系",
        "道路",
    ];
    assert_eq!(
        vectors.keys().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
    let stored = |layer: &str| vectors[layer].counts.stored;
    assert_eq!(stored("DLTB_2019"), report.parcels_before);
    assert_eq!(stored("DLTB_2024"), report.parcels_after);
    assert_eq!(stored("DLTBGX_2019_2024"), report.changes);
    assert_eq!(stored("CJDCQ"), report.villages as u64);
    let answers = &report.answers;
    assert_eq!(
        stored("YJJBNTTB"),
        answers["basic_farmland"]["parcels"].as_u64().unwrap()
    );
    let supervision = &answers["planted"]["supervision"];
    assert_eq!(stored("PZDK"), supervision["approved"].as_u64().unwrap());
    assert_eq!(
        stored("报批坐标"),
        supervision["boundary_files"].as_u64().unwrap()
    );
    assert_eq!(
        stored("JCTB"),
        supervision["checks"].as_array().unwrap().len() as u64
    );
    let rights = &answers["planted"]["mineral_rights"];
    assert_eq!(stored("CKQ"), rights["mining"].as_u64().unwrap());
    let encoding = |layer: &str| vectors[layer].encoding.as_deref();
    assert_eq!(encoding("DLTB_2019"), Some("gb18030"));
    assert_eq!(encoding("报批坐标"), Some("gb18030"));
    assert_eq!(vectors["报批坐标"].driver, "BoundaryTXT");
    assert_eq!(vectors["GHFQ"].driver, "OpenFileGDB");
}

#[test]
fn the_import_finds_the_planted_defects_it_knows() {
    let directory = tempfile::tempdir().unwrap();
    let report = generate(&small(true, false), directory.path()).unwrap();
    let planted = report.answers["defects"]["defects"].as_array().unwrap();
    let kinds = |kind: &str| {
        planted
            .iter()
            .filter(|d| d["kind"] == kind)
            .collect::<Vec<_>>()
    };
    let workspace = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(workspace.path()).unwrap();
    let path = directory.path().join("DLTB_缺陷.shp");
    let mut issues = IssueLog::default();
    let opened = source::open(&SourceSpec::new(path.to_str().unwrap()))
        .unwrap()
        .into_layer(&mut issues)
        .unwrap();
    let input = Input {
        found: issues,
        ..Input::from_source(opened, None)
    };
    let options = ingest::Options {
        id_field: Some("BSM".to_string()),
        ..ingest::Options::new(LayerName::new("defects").unwrap(), LayerKind::LandUse)
    };
    let outcome = ingest::import(&store, &options, input, &|_| true).unwrap();
    let issues = &outcome.issues;

    assert_eq!(kinds("encoding mark contradicts the text").len(), 1);
    assert_eq!(issues.count(IssueCode::EncodingGuessed), 1);
    let doubled = kinds("duplicate BSM").len() as u64;
    assert!(doubled > 0);
    assert_eq!(issues.count(IssueCode::DuplicateId), doubled);
    let crossing = kinds("self-crossing");
    assert!(!crossing.is_empty());
    assert_eq!(
        issues.count(IssueCode::SelfIntersection),
        crossing.len() as u64
    );
    let places: Vec<[f64; 2]> = issues
        .groups()
        .iter()
        .filter(|g| g.code == IssueCode::SelfIntersection)
        .flat_map(|g| g.examples.iter().filter_map(|e| e.place))
        .collect();
    for defect in crossing {
        let at = [
            defect["east_m"].as_f64().unwrap(),
            defect["north_m"].as_f64().unwrap(),
        ];
        let near = places
            .iter()
            .any(|p| (p[0] - at[0]).hypot(p[1] - at[1]) < 60.0);
        assert!(near, "{defect}: found at {places:?}");
    }
    // Nothing else is found, and nothing is thrown away.
    let total: u64 = issues.groups().iter().map(|g| g.count).sum();
    assert_eq!(
        total,
        1 + doubled + kinds("self-crossing").len() as u64,
        "{:#?}",
        findings(issues)
    );
    assert_eq!(issues.count_of_severity(Severity::Rejected), 0);
    assert_eq!(outcome.counts.read, outcome.counts.stored);
}
