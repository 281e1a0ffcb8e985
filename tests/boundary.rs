//! Boundary files of surveying offices: the same parcels from every way of writing them.

#[path = "support/mangle.rs"]
mod mangle;

use std::fs;
use std::path::{Path, PathBuf};

use onemap::geom::{Geometry, GeometryType};
use onemap::model::{Feature, IssueCode, IssueLog, Value};
use onemap::source::{self, SourceError, SourceLayer, SourceSpec};

const HEAD: &str = "[属性描述]\n格式版本号=1.01版本\n坐标系=2000国家大地坐标系\n几度分带=3\n\
                    投影类型=高斯克吕格\n计量单位=米\n带号=39\n精度=0.0001\n转换参数=,,,,,,\n[地块坐标]\n";

struct Read {
    layer: SourceLayer,
    features: Vec<Feature>,
    issues: IssueLog,
}

fn read(spec: &SourceSpec) -> Result<Read, SourceError> {
    let mut issues = IssueLog::default();
    let mut layer = source::open(spec)?.into_layer(&mut issues)?;
    let mut features = Vec::new();
    while layer.read_batch(100, 10_000, &mut features, &mut issues)? {}
    Ok(Read {
        layer,
        features,
        issues,
    })
}

/// Reads bytes as a file of their own.
fn read_bytes(bytes: &[u8]) -> Result<Read, SourceError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("报批.txt");
    fs::write(&path, bytes).unwrap();
    read(&SourceSpec::new(path.to_str().unwrap()))
}

fn area(geometry: &Geometry) -> f64 {
    geometry.area()
}

/// A square of 100 m with its corner at (x, y), as points of one ring.
fn square(number: u32, x: f64, y: f64, side: f64, closed: bool) -> String {
    let corners = [
        (0.0, 0.0),
        (side, 0.0),
        (side, side),
        (0.0, side),
        (0.0, 0.0),
    ];
    corners[..if closed { 5 } else { 4 }]
        .iter()
        .enumerate()
        .map(|(k, (dx, dy))| format!("J{},{number},{:.4},{:.4}\n", k + 1, y + dy, x + dx))
        .collect()
}

const X: f64 = 39_620_000.0;
const Y: f64 = 3_500_000.0;

#[test]
fn every_encoding_and_line_end_gives_the_same_parcel() {
    let text = format!(
        "{HEAD}5,1.0000,1,地块一,面,H50G010069,工业用地,0601,@\n{}",
        square(1, X, Y, 100.0, true)
    );
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(text.encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let gbk = encoding_rs::GBK.encode(&text).0.into_owned();
    let crlf = encoding_rs::GBK
        .encode(&text.replace('\n', "\r\n"))
        .0
        .into_owned();
    let cr = encoding_rs::GBK
        .encode(&text.replace('\n', "\r"))
        .0
        .into_owned();
    let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    for bytes in [text.clone().into_bytes(), utf16, gbk, crlf, cr, marked] {
        let read = read_bytes(&bytes).unwrap();
        assert_eq!(read.layer.driver(), "BoundaryTXT");
        assert_eq!(read.layer.crs().epsg, Some(4527));
        assert!(read.issues.is_empty(), "{:?}", read.issues);
        assert_eq!(read.features.len(), 1);
        let schema = read.layer.schema();
        let value = |name: &str| read.features[0].values[schema.index_of(name).unwrap()].clone();
        assert_eq!(value("DKMC"), Value::Text("地块一".to_string()));
        assert_eq!(value("DLBM"), Value::Text("0601".to_string()));
        assert_eq!(value("TFH"), Value::Text("H50G010069".to_string()));
        assert_eq!(value("DKMJ"), Value::Real(1.0));
        let geometry = read.features[0].geometry.as_ref().unwrap();
        assert!((area(geometry) - 10_000.0).abs() < 1e-6);
    }
}

#[test]
fn holes_and_parts_follow_from_where_rings_lie_and_not_from_their_numbers() {
    // Two parts, one with a hole that has an island; numbers restart, and some rings are open.
    let rings = [
        square(1, X, Y, 1000.0, true),
        square(2, X + 200.0, Y + 200.0, 400.0, false),
        square(1, X + 300.0, Y + 300.0, 100.0, true),
        square(1, X + 3000.0, Y, 100.0, true),
    ];
    let text = format!("{HEAD}19,86.0000,1,多部分,面,,,,@\n{}", rings.concat());
    let read = read_bytes(text.as_bytes()).unwrap();
    let geometry = read.features[0].geometry.as_ref().unwrap();
    assert_eq!(geometry.kind, GeometryType::MultiPolygon);
    assert_eq!((geometry.parts.len(), geometry.ring_count()), (3, 4));
    let expected = 1e6 - 160_000.0 + 10_000.0 + 10_000.0;
    assert!((area(geometry) - expected).abs() < 1e-6);
    assert!(read.issues.is_empty(), "{:?}", read.issues);
}

#[test]
fn what_contradicts_itself_is_reported_and_what_is_unknown_is_asked_for() {
    let with = |head: &str, points: &str| {
        read_bytes(format!("{head}5,1.0,1,a,面,,,,@\n{points}").as_bytes())
    };
    let ring = square(1, X, Y, 100.0, true);
    let swapped: String = ring
        .lines()
        .map(|line| {
            let c: Vec<&str> = line.split(',').collect();
            format!("{},{},{},{}\n", c[0], c[1], c[3], c[2])
        })
        .collect();
    let read = with(HEAD, &swapped).unwrap();
    assert_eq!(read.issues.count(IssueCode::AxisOrderSuspect), 1);
    assert!((read.features[0].geometry.as_ref().unwrap().bbox().min_x - X).abs() < 1e-6);

    let read = with(&HEAD.replace("带号=39", "带号=40"), &ring).unwrap();
    assert_eq!(read.issues.count(IssueCode::ZoneContradicted), 1);
    assert_eq!(read.layer.crs().epsg, Some(4527));

    // Six digits get the zone of the head.
    let read = with(HEAD, &square(1, X - 39e6, Y, 100.0, true)).unwrap();
    assert_eq!(read.layer.crs().epsg, Some(4527));
    assert!((read.features[0].geometry.as_ref().unwrap().bbox().min_x - X).abs() < 1e-6);

    let bare = "[地块坐标]\n";
    assert!(matches!(with(bare, &ring), Err(SourceError::NoCrs { .. })));
    let unnumbered = HEAD.replace("带号=39", "带号=");
    let six_digits = square(1, X - 39e6, Y, 100.0, true);
    assert!(matches!(
        with(&unnumbered, &six_digits),
        Err(SourceError::NoCrs { .. })
    ));

    // A file cut off in the middle, and a line that is none.
    let cut: String = ring.lines().take(3).map(|l| format!("{l}\n")).collect();
    assert_eq!(
        with(HEAD, &cut)
            .unwrap()
            .issues
            .count(IssueCode::SourceTruncated),
        1
    );
    let refused = with(HEAD, "J1,1,3500000.0\n").err().unwrap().to_string();
    assert!(refused.contains("north, east"), "{refused}");
    assert!(read_bytes(HEAD.as_bytes()).is_err());
}

#[test]
fn areas_are_read_in_any_unit() {
    for (written, expected) in [
        ("1.0000", Some(1.0)),
        ("1.0000公顷", Some(1.0)),
        ("10000.00", Some(1.0)),
        ("10000平方米", Some(1.0)),
        ("", None),
    ] {
        let text = format!(
            "{HEAD}5,{written},1,a,面,,,,@\n{}",
            square(1, X, Y, 100.0, true)
        );
        let read = read_bytes(text.as_bytes()).unwrap();
        let index = read.layer.schema().index_of("DKMJ").unwrap();
        let value = match &read.features[0].values[index] {
            Value::Real(value) => Some(*value),
            _ => None,
        };
        assert_eq!(value, expected, "{written}");
    }
}

#[test]
fn a_directory_of_boundary_files_is_one_layer_of_one_system() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        fs::write(
            directory.path().join(name),
            encoding_rs::GBK.encode(&text).0,
        )
        .unwrap();
    };
    for k in 0..3 {
        let ring = square(1, X + f64::from(k) * 500.0, Y, 100.0, true);
        write(
            &format!("报批{k}.txt"),
            format!("{HEAD}5,1.0,{k},a,面,,,,@\n{ring}"),
        );
    }
    let spec = SourceSpec::new(directory.path().to_str().unwrap());
    let all = read(&spec).unwrap();
    assert_eq!(all.features.len(), 3);
    let file = all.layer.schema().index_of("WJMC").unwrap();
    assert_eq!(
        all.features[2].values[file],
        Value::Text("报批2.txt".to_string())
    );

    let other = HEAD.replace("2000国家", "80国家");
    let ring = square(1, X, Y, 100.0, true);
    write("西安80.txt", format!("{other}5,1.0,1,a,面,,,,@\n{ring}"));
    let refused = read(&spec).err().unwrap().to_string();
    assert!(
        refused.contains("EPSG:2363") && refused.contains("EPSG:4527"),
        "{refused}"
    );
}

#[test]
fn a_damaged_file_is_read_or_refused() {
    const WORDS: &[&[u8]] = &[
        b"\r",
        b"\n",
        b"@",
        b",,",
        b"J1,1,",
        b"\xff\xfe",
        b"1e308",
        b"-1",
        b"nan",
        b"39",
        "[地块坐标]\n".as_bytes(),
        "5,1.0,1,a,面,,,,@\n".as_bytes(),
        "线".as_bytes(),
        "带号=25\n".as_bytes(),
    ];
    let rings = square(1, X, Y, 100.0, true) + &square(2, X + 20.0, Y + 20.0, 10.0, false);
    let sound = format!("{HEAD}10,1.0000,1,地块一,面,,,,@\n{rings}");
    let mut mangler = mangle::Mangler::new(0xB0B, WORDS);
    let (mut good, mut refused) = (0, 0);
    for _ in 0..400 {
        match read_bytes(&mangler.mangled(sound.as_bytes(), 260)) {
            Ok(_) => good += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(good > 20 && refused > 20, "{good} read, {refused} refused");
}

/// Files in use, gathered elsewhere, with what is in them.
#[test]
fn files_in_use_give_what_is_in_them() {
    let Some(data) = std::env::var_os("ONEMAP_TEST_DATA") else {
        println!("ONEMAP_TEST_DATA is not set: files in use are not read");
        return;
    };
    let folder: PathBuf = Path::new(&data).join("chinese/txt");
    let text = fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (name, expected) in expected.as_object().unwrap() {
        let read = read(&SourceSpec::new(folder.join(name).to_str().unwrap()))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let code = expected["crs"].as_u64().unwrap() as u32;
        assert_eq!(read.layer.crs().epsg, Some(code), "{name}");
        let parcels = expected["parcels"].as_array().unwrap();
        assert_eq!(read.features.len(), parcels.len(), "{name}");
        for (feature, parcel) in read.features.iter().zip(parcels) {
            let geometry = feature.geometry.as_ref().unwrap();
            let number = |v: &serde_json::Value| v.as_f64().unwrap();
            assert!(
                (area(geometry) - number(&parcel["area_m2"])).abs() < 0.01,
                "{name}"
            );
            assert_eq!(
                geometry.parts.len() as u64,
                parcel["polygons"].as_u64().unwrap()
            );
            let holes = geometry.ring_count() - geometry.parts.len();
            assert_eq!(holes as u64, parcel["holes"].as_u64().unwrap(), "{name}");
            let b = geometry.bbox();
            for (k, value) in [b.min_x, b.min_y, b.max_x, b.max_y].into_iter().enumerate() {
                assert!(
                    (value - number(&parcel["bbox_e_n"][k])).abs() < 0.01,
                    "{name}"
                );
            }
        }
        if expected["note"]
            .as_str()
            .unwrap()
            .contains("must be reported")
        {
            assert!(!read.issues.is_empty(), "{name}");
        }
    }
}
