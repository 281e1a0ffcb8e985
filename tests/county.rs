//! The fictional county: the same bytes whatever the threads, and figures that agree.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use gdal::Dataset;
use gdal::vector::LayerAccess;
use onemap::county::{CountyError, Options, generate};

fn small() -> Options {
    Options {
        seed: 3,
        parcels: 2000,
        defects: true,
        imagery: false,
        ..Options::default()
    }
}

fn files(directory: &Path, prefix: &str, into: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            files(&path, &format!("{name}/"), into);
        } else {
            into.insert(name, fs::read(&path).unwrap());
        }
    }
}

/// Made by a process of its own: GDAL numbers the tables of geodatabases through a process.
fn made_with(threads: usize) -> BTreeMap<String, Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_onemap"))
        .args(["--quiet", "--threads", &threads.to_string(), "demo-data"])
        .arg(directory.path())
        .args(["--seed", "3", "--parcels", "2000", "--defects"])
        .status()
        .unwrap();
    assert!(status.success());
    let mut found = BTreeMap::new();
    files(directory.path(), "", &mut found);
    found
}

#[test]
fn one_seed_makes_the_same_bytes_with_one_and_two_threads() {
    let (one, two) = (made_with(1), made_with(2));
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        two.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &one {
        assert!(bytes == &two[name], "{name} differs");
    }
    for picture in ["影像_2019_RGB.tif", "影像_2024_NIR.tif", "DEM.tif"] {
        assert!(one[picture].len() > 10_000, "{picture}");
    }
}

#[test]
fn parcels_fill_their_villages_and_fields_agree_with_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let report = generate(&small(), directory.path()).unwrap();
    let planar = |file: &str, layer: &str| {
        let dataset = Dataset::open(directory.path().join(file)).unwrap();
        let mut layer = dataset.layer_by_name(layer).unwrap();
        layer
            .features()
            .map(|f| f.geometry().unwrap().area())
            .sum::<f64>()
    };
    let villages = planar("XZQ.gpkg", "CJDCQ");
    for (file, layer) in [
        ("DLTB_2019.shp", "DLTB_2019"),
        ("DLTB_2024.gpkg", "DLTB_2024"),
    ] {
        assert!((planar(file, layer) - villages).abs() < 1.0);
    }
    assert!((planar("XZQ.gpkg", "XZQ_县") - villages).abs() < 1.0);

    let dataset = Dataset::open(directory.path().join("DLTB_2024.gpkg")).unwrap();
    let mut layer = dataset.layer_by_name("DLTB_2024").unwrap();
    let mut count = 0;
    for feature in layer.features() {
        let geometry = feature.geometry().unwrap();
        assert!(geometry.is_valid());
        let number = |name: &str| {
            let index = feature.field_index(name).unwrap();
            feature.field_as_double(index).unwrap().unwrap()
        };
        let (area, deducted, net) = (number("TBMJ"), number("KCMJ"), number("TBDLMJ"));
        assert!((area - deducted - net).abs() < 0.005);
        assert!((area * number("KCXS") - deducted).abs() < 0.0051);
        assert!((area / geometry.area() - 1.0).abs() < 1e-3);
        count += 1;
    }
    assert_eq!(count, report.parcels_after);
    let defects = report.answers["defects"]["defects"].as_array().unwrap();
    assert!(defects.len() >= 8, "{} defects", defects.len());
}

#[test]
fn flows_between_classes_add_up_to_the_change_of_each_class() {
    let directory = tempfile::tempdir().unwrap();
    let answers = generate(&small(), directory.path()).unwrap().answers;
    let mut balance: BTreeMap<String, f64> = BTreeMap::new();
    for (year, sign) in [(0, -1.0), (1, 1.0)] {
        for class in answers["years"][year]["classes"].as_array().unwrap() {
            let code = class["DLBM"].as_str().unwrap().to_string();
            *balance.entry(code).or_default() += sign * class["TBMJ"].as_f64().unwrap();
        }
    }
    for flow in answers["changes"]["flows"].as_array().unwrap() {
        let area = flow["area_m2"].as_f64().unwrap();
        *balance.get_mut(flow["from"].as_str().unwrap()).unwrap() += area;
        *balance.get_mut(flow["to"].as_str().unwrap()).unwrap() -= area;
    }
    for (code, rest) in balance {
        assert!(rest.abs() < 60.0, "{code}: {rest} m² unexplained");
    }
}

#[test]
fn options_that_make_no_county_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        zone: 20,
        ..small()
    };
    let refused = generate(&options, directory.path());
    assert!(matches!(
        refused,
        Err(CountyError::Option { field: "zone", .. })
    ));
}
