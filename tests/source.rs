//! Opening what people have: every format, every way of marking text, and files that are broken.

#[path = "support/postgres.rs"]
mod postgres;

use std::path::{Path, PathBuf};

use onemap::crs::Crs;
use onemap::geom::GeometryType;
use onemap::model::{Feature, FieldType, IssueCode, IssueLog, Severity, Value};
use onemap::source::{
    self, ArchiveLimits, SourceError, SourceKind, SourceLayer, SourceSpec, TextEncoding,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/source")
        .join(name)
}

fn spec(name: &str) -> SourceSpec {
    SourceSpec::new(fixture(name).to_str().expect("the path is UTF-8"))
}

struct Read {
    layer: SourceLayer,
    features: Vec<Feature>,
    issues: IssueLog,
}

impl Read {
    fn texts(&self, field: &str) -> Vec<String> {
        let index = self.layer.schema().index_of(field).expect(field);
        self.features
            .iter()
            .map(|feature| match &feature.values[index] {
                Value::Text(text) => text.clone(),
                other => format!("{other:?}"),
            })
            .collect()
    }

    fn count(&self, code: IssueCode) -> u64 {
        self.issues.count(code)
    }
}

fn try_read(spec: &SourceSpec) -> Result<Read, SourceError> {
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

#[track_caller]
fn read(name: &str) -> Read {
    try_read(&spec(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[track_caller]
fn refused(spec: &SourceSpec) -> String {
    match try_read(spec) {
        Ok(_) => panic!("{} was read", spec.location),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn assert_three_parcels(read: &Read, code: u32) {
    assert_eq!(read.layer.crs().epsg, Some(code));
    assert_eq!(read.texts("DLMC"), ["水田", "乔木林地", "河流水面"]);
    assert_eq!(read.texts("DLBM"), ["0101", "0301", "1101"]);
    let shapes: Vec<(usize, usize)> = read
        .features
        .iter()
        .map(|feature| {
            let geometry = feature.geometry.as_ref().expect("every parcel has a shape");
            assert_eq!(geometry.kind.dimension(), 2);
            (geometry.parts.len(), geometry.ring_count())
        })
        .collect();
    assert_eq!(shapes, [(1, 1), (1, 2), (2, 2)]);
    let bbox = read.features[0].geometry.as_ref().unwrap().bbox();
    let origin = if code == 4490 {
        [116.9, 29.8]
    } else {
        [39_490_000.0, 3_300_000.0]
    };
    assert!(
        (bbox.min_x - origin[0]).abs() < 1e-6 && (bbox.min_y - origin[1]).abs() < 1e-6,
        "{bbox:?}"
    );
}

#[test]
fn every_format_gives_the_same_parcels() {
    for (name, driver, code) in [
        ("parcels_utf8_cpg.shp", "ESRI Shapefile", 4527),
        ("parcels.gpkg", "GPKG", 4527),
        ("parcels.geojson", "GeoJSON", 4490),
        ("parcels.fgb", "FlatGeobuf", 4527),
        ("parcels.gml", "GML", 4527),
        ("parcels_shp.zip", "ESRI Shapefile", 4527),
    ] {
        let read = read(name);
        assert_eq!(read.layer.driver(), driver, "{name}");
        assert_three_parcels(&read, code);
        let schema = read.layer.schema();
        let area = schema.index_of("TBMJ").expect("an area");
        assert_eq!(schema.fields[area].field_type, FieldType::Real, "{name}");
        assert_eq!(read.features[2].values[area], Value::Real(300.75), "{name}");
    }
}

#[test]
fn formats_that_are_always_in_degrees_of_wgs84_say_so() {
    for name in ["parcels.geojsonl", "parcels.kml"] {
        let read = read(name);
        assert_eq!(read.layer.crs().epsg, Some(4326), "{name}");
        assert_eq!(
            read.texts("DLMC"),
            ["水田", "乔木林地", "河流水面"],
            "{name}"
        );
        let x = read.features[0].geometry.as_ref().unwrap().bbox().min_x;
        assert!((x - 116.9).abs() < 1e-6, "{name}: {x}");
    }
}

#[test]
fn names_types_and_widths_are_kept() {
    let read = read("parcels_utf8_cpg.shp");
    let fields = &read.layer.schema().fields;
    let described: Vec<_> = fields
        .iter()
        .map(|field| {
            (
                field.name.as_str(),
                field.field_type,
                field.width,
                field.precision,
            )
        })
        .collect();
    assert_eq!(
        described,
        [
            ("DLBM", FieldType::String, 5, 0),
            ("DLMC", FieldType::String, 60, 0),
            ("TBMJ", FieldType::Real, 15, 2),
        ]
    );
}

#[test]
fn a_zipped_geodatabase_gives_aliases() {
    let read = read("parcels_gdb.zip");
    assert_eq!(read.layer.driver(), "OpenFileGDB");
    assert_eq!(read.layer.name(), "DLTB");
    assert_eq!(read.layer.crs().epsg, Some(4527));
    assert_eq!(read.texts("DLMC"), ["水田", "乔木林地", "河流水面"]);
    let alias = read.layer.schema().fields[0].alias.as_deref();
    assert_eq!(alias, Some("地类编码"));
}

#[test]
fn tables_of_text_are_placed_by_wkt_or_by_coordinates() {
    let with_crs = |name: &str| {
        let mut spec = spec(name);
        spec.crs = Some(Crs::from_user("4490").expect("PROJ knows CGCS2000"));
        try_read(&spec).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let read = with_crs("parcels_wkt.csv");
    assert_eq!(
        read.texts("DLBM"),
        ["0101", "0301"],
        "codes keep their zeros"
    );
    assert_eq!(read.layer.schema().index_of("wkt"), None);
    assert_eq!(
        read.features[0].geometry.as_ref().unwrap().vertex_count(),
        4
    );
    for name in ["points_lonlat.csv", "points_gbk_chinese_header.csv"] {
        let read = with_crs(name);
        let xy = &read.features[1].geometry.as_ref().expect(name).xy;
        assert_eq!(xy, &[116.91, 29.81], "{name}");
    }
    let read = with_crs("points_gbk_chinese_header.csv");
    assert_eq!(read.texts("名称"), ["甲", "乙"]);
    let read = with_crs("number_then_text.csv");
    assert_eq!(read.features[0].values[0], Value::Real(1.5));
    assert_eq!(read.features[2500].values[0], Value::Null);
    assert_eq!(read.count(IssueCode::ValueUnreadable), 1);
    let message = refused(&spec("table_without_place.csv"));
    assert!(
        message.contains("no geometry column") && message.contains("经度"),
        "{message}"
    );
    let message = refused(&spec("points_lonlat.csv"));
    assert!(message.contains("--crs"), "{message}");
}

#[test]
fn chinese_text_is_read_by_its_marks_or_by_its_bytes() {
    for (name, encoding, guessed) in [
        ("parcels_utf8_cpg.shp", "UTF-8", 0),
        ("parcels_gbk_cpg.shp", "gb18030", 0),
        ("parcels_gbk_ldid.shp", "gb18030", 0),
        ("parcels_gbk_unmarked.shp", "gb18030", 1),
        ("gbk_marked_utf8.shp", "gb18030", 1),
    ] {
        let read = read(name);
        assert_eq!(
            read.texts("DLMC"),
            ["水田", "乔木林地", "河流水面"],
            "{name}"
        );
        assert_eq!(
            read.layer.info().encoding.as_deref(),
            Some(encoding),
            "{name}"
        );
        assert_eq!(read.count(IssueCode::EncodingGuessed), guessed, "{name}");
    }
}

#[test]
fn an_encoding_the_user_names_is_obeyed() {
    let mut wrong = spec("parcels_gbk_cpg.shp");
    wrong.encoding = "utf-8".parse().expect("a known name");
    let read = try_read(&wrong).expect("bytes that are no text do not stop an import");
    assert_eq!(read.count(IssueCode::EncodingInvalid), 3);
    assert!(read.texts("DLMC")[0].contains('\u{fffd}'));
    let mut right = spec("gbk_marked_utf8.shp");
    right.encoding = "gbk".parse::<TextEncoding>().expect("a known name");
    let read = try_read(&right).expect("a shapefile");
    assert_eq!(read.texts("DLMC")[0], "水田");
    assert!(read.issues.is_empty());
}

#[test]
fn a_character_cut_by_the_field_costs_only_itself() {
    let read = read("gbk_cut_in_mid_character.shp");
    assert_eq!(read.count(IssueCode::TextTruncatedMidCharacter), 1);
    assert!(read.texts("DLMC")[0].starts_with("A水田水田"));
    assert!(!read.texts("DLMC")[0].contains('\u{fffd}'));
    assert_eq!(read.texts("DLMC")[1..], ["乔木林地", "河流水面"]);
}

#[test]
fn several_layers_ask_for_a_choice_and_odd_names_are_only_names() {
    let message = refused(&spec("two_layers.gpkg"));
    assert!(message.contains("--source-layer"), "{message}");
    for name in ["地类图斑", "行政区 / 2024 🗺 .."] {
        assert!(message.contains(name), "{message}");
        let mut chosen = spec("two_layers.gpkg");
        chosen.layer = Some(name.to_string());
        let read = try_read(&chosen).expect(name);
        assert_eq!(read.layer.name(), name);
        assert_three_parcels(&read, 4527);
    }
    let mut missing = spec("two_layers.gpkg");
    missing.layer = Some("nowhere".to_string());
    let message = refused(&missing);
    assert!(
        message.contains("nowhere") && message.contains("地类图斑"),
        "{message}"
    );

    let message = refused(&spec("two_files.zip"));
    assert!(message.contains("north, south"), "{message}");
    let mut south = spec("two_files.zip");
    south.layer = Some("south".to_string());
    assert_three_parcels(&try_read(&south).expect("one file of the archive"), 4490);
}

#[test]
fn odd_and_repeated_field_names_are_told_apart() {
    let mut given = spec("duplicate_and_odd_names.csv");
    given.crs = Some(Crs::from_user("4490").expect("PROJ knows CGCS2000"));
    let read = try_read(&given).expect("a table");
    let names: Vec<&str> = read
        .layer
        .schema()
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(names[2], "名 称/.. 🗺");
    assert_eq!(names.len(), 3);
    let unique: std::collections::HashSet<&&str> = names.iter().collect();
    assert_eq!(unique.len(), 3);
}

#[test]
fn a_lost_index_is_rebuilt_without_writing() {
    let before = listing();
    let read = read("without_shx.shp");
    assert_three_parcels(&read, 4527);
    assert_eq!(read.count(IssueCode::MissingCompanionFile), 1);
    assert_eq!(listing(), before);
}

fn listing() -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = std::fs::read_dir(fixture(""))
        .expect("the fixtures are there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    names.sort();
    names
}

#[test]
fn nothing_is_written_beside_any_source() {
    let before = listing();
    for path in &before {
        let _ = try_read(&SourceSpec::new(path.to_str().expect("the path is UTF-8")));
    }
    assert_eq!(listing(), before);
}

#[test]
fn lost_companions_are_named() {
    let read = read("without_dbf.shp");
    assert_eq!(read.features.len(), 3);
    assert_eq!(read.count(IssueCode::MissingCompanionFile), 1);
    let message = refused(&spec("without_prj.shp"));
    assert!(
        message.contains("--crs") && message.contains("EPSG:4527"),
        "{message}"
    );
    let mut given = spec("without_prj.shp");
    given.crs = Some(Crs::from_user("EPSG:4527").expect("PROJ knows zone 39"));
    assert_three_parcels(&try_read(&given).expect("with --crs"), 4527);
    let named_by_companion = spec("parcels_utf8_cpg.dbf");
    assert_three_parcels(&try_read(&named_by_companion).expect("its .shp"), 4527);
}

#[test]
fn files_cut_off_are_told_with_what_was_expected() {
    let read = read("shp_cut_off.shp");
    assert_eq!(read.count(IssueCode::SourceTruncated), 1);
    assert_eq!(read.count(IssueCode::GeometryUnreadable), 1);
    let detail = &read.issues.groups()[0].examples[0].detail;
    assert!(detail.contains("636") && detail.contains("676"), "{detail}");
    let message = refused(&spec("dbf_cut_off.shp"));
    assert!(
        message.contains("dbf_cut_off.dbf") && message.contains("3 were expected"),
        "{message}"
    );
}

#[test]
fn zone_numbers_that_disagree_name_the_right_system() {
    let message = refused(&spec("zone_number_not_in_crs.shp"));
    assert!(
        message.contains("EPSG:4548") && message.contains("--crs EPSG:4527"),
        "{message}"
    );
    let message = refused(&spec("zone_number_not_in_coordinates.shp"));
    assert!(
        message.contains("EPSG:4527") && message.contains("--crs EPSG:4548"),
        "{message}"
    );
    let mut given = spec("zone_number_not_in_crs.shp");
    given.crs = Some(Crs::from_user("4527").expect("PROJ knows zone 39"));
    assert_three_parcels(&try_read(&given).expect("with the right system"), 4527);
}

#[test]
fn no_feature_is_a_layer_and_no_geometry_is_a_finding() {
    let mut empty = spec("no_features.geojson");
    empty.crs = Some(Crs::from_user("4490").expect("PROJ knows CGCS2000"));
    assert_eq!(try_read(&empty).expect("an empty layer").features.len(), 0);
    let null = read("null_geometry.geojson");
    let present: Vec<bool> = null.features.iter().map(|f| f.geometry.is_some()).collect();
    assert_eq!(present, [false, true]);
    assert_eq!(null.count(IssueCode::NullGeometry), 1);
    assert_eq!(null.issues.count_of_severity(Severity::Rejected), 1);
    let mut empty = spec("empty_geometry.csv");
    empty.crs = Some(Crs::from_user("4490").expect("PROJ knows CGCS2000"));
    let empty = try_read(&empty).expect("a table");
    assert!(empty.features[0].geometry.is_none());
    assert_eq!(empty.count(IssueCode::EmptyGeometry), 1);
}

#[test]
fn mixed_types_collections_heights_measures_and_curves() {
    let mixed = read("mixed_types.geojson");
    let kinds: Vec<GeometryType> = mixed
        .features
        .iter()
        .map(|feature| feature.geometry.as_ref().expect("a shape").kind)
        .collect();
    assert_eq!(
        kinds,
        [
            GeometryType::Point,
            GeometryType::LineString,
            GeometryType::Polygon,
            GeometryType::Polygon
        ]
    );
    assert_eq!(mixed.layer.geometry_type(), None);
    assert_eq!(mixed.count(IssueCode::CollectionReduced), 1);
    let heights = read("heights.geojson");
    assert_eq!(
        heights.layer.crs().epsg,
        Some(4326),
        "heights are no part of the system"
    );
    assert_eq!(heights.features[0].geometry.as_ref().unwrap().z, [1500.5]);
    let measured = read("measured.gpkg");
    assert_eq!(measured.count(IssueCode::MeasureDropped), 1);
    let line = measured.features[0].geometry.as_ref().unwrap();
    assert_eq!((line.vertex_count(), line.z.len()), (2, 0));
    let curved = read("curved.gpkg");
    assert_eq!(curved.count(IssueCode::CurveLinearised), 1);
    let circle = curved.features[0].geometry.as_ref().unwrap();
    assert!(circle.vertex_count() > 80 && (circle.area() - std::f64::consts::PI).abs() < 0.01);
}

#[test]
fn nested_values_become_json_and_moments_iso_text() {
    let read = read("nested_values.geojson");
    let value = |name: &str| {
        let index = read.layer.schema().index_of(name).expect(name);
        (
            read.layer.schema().fields[index].field_type,
            read.features[0].values[index].clone(),
        )
    };
    let text = |text: &str| Value::Text(text.to_string());
    assert_eq!(value("tags"), (FieldType::Json, text(r#"["x","y"]"#)));
    assert_eq!(value("n"), (FieldType::Json, text("[1,2,3]")));
    assert_eq!(value("ok"), (FieldType::Boolean, Value::Boolean(true)));
    assert_eq!(value("day"), (FieldType::Date, text("2024-05-06")));
    assert_eq!(
        value("at"),
        (FieldType::DateTime, text("2024-05-06T07:08:09Z"))
    );
    let (kind, Value::Text(nested)) = value("a") else {
        panic!("nested values are text");
    };
    assert_eq!(kind, FieldType::Json);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&nested).expect("JSON"),
        serde_json::json!({"b": [1, 2]})
    );
}

#[test]
fn an_urn_with_latitude_first_comes_out_longitude_first() {
    let read = read("axes_swapped.gml");
    assert_eq!(read.layer.crs().epsg, Some(4490));
    assert_eq!(
        read.features[0].geometry.as_ref().unwrap().xy,
        [116.9, 29.8]
    );
}

#[test]
fn nothing_but_the_named_file_is_read() {
    for location in [
        "http://127.0.0.1/x.geojson",
        "/vsicurl/http://127.0.0.1/x.geojson",
        "/vsizip//etc/x.zip",
        "https://example.test/wfs",
        "WFS:http://127.0.0.1",
        "{\"type\":\"Point\",\"coordinates\":[1,2]}",
        "MYSQL:db",
        "",
    ] {
        let error = source::open(&SourceSpec::new(location))
            .err()
            .expect(location);
        assert!(
            matches!(
                error,
                SourceError::NotAllowed { .. } | SourceError::NotFound { .. }
            ),
            "{location}: {error}"
        );
    }
    // A virtual file that names another one.
    assert!(refused(&spec("points_elsewhere.vrt")).contains("not a map format"));
    // An XML entity that names another one.
    if let Ok(read) = try_read(&spec("external_entity.gml")) {
        for feature in &read.features {
            assert!(!format!("{:?}", feature.values).contains("must not be read"));
        }
    }
}

#[test]
fn an_entity_bomb_is_refused() {
    for name in ["entity_bomb.kml", "entity_bomb.gml"] {
        let message = refused(&spec(name));
        assert!(
            !message.contains("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            "{message}"
        );
    }
}

#[test]
fn tracks_that_the_kml_library_stumbles_over_are_refused_before() {
    let message = refused(&spec("track_without_times.kml"));
    assert!(message.contains("gx:Track"), "{message}");
}

#[test]
fn secrets_of_a_connection_stay_out_of_messages() {
    for location in [
        "PG:host=127.0.0.1 port=1 dbname=x user=u password=hunter2",
        "PG:host=127.0.0.1 port=1 dbname=x password='hunter2 x' user=u",
        "postgresql://u:hunter2@127.0.0.1:1/x",
        "postgres://u:hunter2@127.0.0.1:1/x",
    ] {
        let message = refused(&SourceSpec::new(location));
        assert!(!message.contains("hunter2"), "{message}");
        assert!(message.contains("127.0.0.1"), "{message}");
    }
}

#[test]
fn pixels_and_features_are_told_apart() {
    for name in [
        "parcels.gpkg",
        "parcels_utf8_cpg.shp",
        "parcels_shp.zip",
        "points_lonlat.csv",
        "parcels.geojson",
    ] {
        let location = fixture(name);
        assert_eq!(
            source::sniff(location.to_str().unwrap()).expect(name),
            SourceKind::Vector
        );
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("grey.pgm");
    std::fs::write(&path, b"P5 2 2 255\n\x00\x01\x02\x03").expect("a picture");
    assert_eq!(
        source::sniff(path.to_str().unwrap()).expect("a picture"),
        SourceKind::Raster
    );
    let nothing = directory.path().join("nothing.bin");
    std::fs::write(&nothing, b"no map").expect("a file");
    assert!(source::sniff(nothing.to_str().unwrap()).is_err());
}

/// A zip archive of one stored entry that claims to be `claimed` bytes large.
fn archive_claiming(claimed: u32, entries: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let name = b"a.geojson";
    let data = br#"{"type":"FeatureCollection","features":[]}"#;
    let size = (data.len() as u32).to_le_bytes();
    let common = |bytes: &mut Vec<u8>| {
        bytes.extend([20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(size);
        bytes.extend(claimed.to_le_bytes());
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend([0, 0]);
    };
    bytes.extend(b"PK\x03\x04");
    common(&mut bytes);
    bytes.extend(name);
    bytes.extend(data);
    let directory = bytes.len() as u32;
    for _ in 0..entries {
        bytes.extend(b"PK\x01\x02\x14\x00");
        common(&mut bytes);
        bytes.extend([0; 14]);
        bytes.extend(name);
    }
    let length = bytes.len() as u32 - directory;
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend((entries as u16).to_le_bytes());
    bytes.extend((entries as u16).to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(directory.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

#[test]
fn an_archive_that_claims_too_much_is_not_unpacked() {
    let directory = tempfile::tempdir().expect("a directory");
    let refused_as = |name: &str, bytes: &[u8], limits: ArchiveLimits| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).expect("an archive");
        let mut spec = SourceSpec::new(path.to_str().expect("the path is UTF-8"));
        spec.limits = limits;
        match source::open(&spec) {
            Ok(_) => panic!("{name} was opened"),
            Err(error) => error,
        }
    };
    let usual = ArchiveLimits::default();
    let error = refused_as("bomb.zip", &archive_claiming(2_000_000_000, 1), usual);
    assert!(
        matches!(error, SourceError::ArchiveTooLarge { .. }),
        "{error}"
    );
    let error = refused_as("overlapping.zip", &archive_claiming(1_000_000, 5000), usual);
    assert!(
        matches!(error, SourceError::ArchiveTooLarge { .. }),
        "{error}"
    );
    let few = ArchiveLimits {
        max_entries: 10,
        ..usual
    };
    let error = refused_as("many.zip", &archive_claiming(10, 11), few);
    assert!(
        matches!(error, SourceError::ArchiveTooLarge { .. }),
        "{error}"
    );
    let small = ArchiveLimits {
        max_unpacked_bytes: 1000,
        ..usual
    };
    let error = refused_as("large.zip", &archive_claiming(1001, 1), small);
    assert!(
        matches!(error, SourceError::ArchiveTooLarge { .. }),
        "{error}"
    );
    let sound = std::fs::read(fixture("parcels_shp.zip")).expect("the fixture");
    for cut in [10, sound.len() / 2, sound.len() - 1] {
        let error = refused_as("cut.zip", &sound[..cut], usual);
        assert!(
            matches!(
                error,
                SourceError::ArchiveDamaged { .. } | SourceError::Unreadable { .. }
            ),
            "{cut}: {error}"
        );
    }
    let error = refused_as("x.tar", b"whatever", usual);
    assert!(error.to_string().contains("unpack"), "{error}");
}

/// Damaged copies of every format are read or refused, never a crash; what is read is well-formed.
#[test]
fn truncated_and_bit_flipped_files_get_an_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let (mut tried, mut refused) = (0, 0);
    for name in [
        "parcels_utf8_cpg.shp",
        "parcels.gpkg",
        "parcels.geojson",
        "parcels.geojsonl",
        "parcels.fgb",
        "parcels.gml",
        "parcels.kml",
        "parcels_wkt.csv",
        "parcels_gdb.zip",
        "parcels_shp.zip",
    ] {
        let sound = std::fs::read(fixture(name)).expect(name);
        for round in 0..24 {
            let mut damaged = sound.clone();
            if round < 8 {
                damaged.truncate(sound.len() * round / 8);
            } else {
                for _ in 0..1 + round % 4 {
                    let at = random(damaged.len());
                    damaged[at] ^= 1 << random(8);
                }
            }
            let path = directory.path().join(name);
            std::fs::write(&path, &damaged).expect("a damaged copy");
            if name.ends_with(".shp") {
                for extension in ["shx", "dbf", "prj", "cpg"] {
                    std::fs::copy(
                        fixture(name).with_extension(extension),
                        path.with_extension(extension),
                    )
                    .expect("companions");
                }
            }
            let mut spec = SourceSpec::new(path.to_str().expect("the path is UTF-8"));
            if round % 2 == 0 {
                spec.crs = Some(
                    Crs::from_user(if name == "parcels.fgb" {
                        "4527"
                    } else {
                        "4490"
                    })
                    .expect("PROJ knows both"),
                );
            }
            tried += 1;
            match try_read(&spec) {
                Ok(read) => {
                    for feature in &read.features {
                        assert_eq!(feature.values.len(), read.layer.schema().fields.len());
                        if let Some(geometry) = &feature.geometry {
                            assert!(!geometry.is_empty());
                            assert!(
                                geometry.z.is_empty()
                                    || geometry.z.len() == geometry.vertex_count()
                            );
                            assert!(
                                geometry
                                    .ends
                                    .last()
                                    .is_none_or(|&end| end as usize == geometry.vertex_count())
                            );
                        }
                    }
                }
                Err(error) => {
                    refused += 1;
                    let message = error.to_string();
                    assert!(
                        !message.is_empty() && !message.contains("/vsi"),
                        "{message}"
                    );
                }
            }
        }
    }
    assert!(refused > tried / 5, "{refused} of {tried} were refused");
}

#[test]
fn a_flatgeobuf_that_breaks_off_says_how_many_were_expected() {
    let directory = tempfile::tempdir().expect("a directory");
    let sound = std::fs::read(fixture("parcels.fgb")).expect("the fixture");
    let path = directory.path().join("cut.fgb");
    std::fs::write(&path, &sound[..sound.len() - 100]).expect("a cut copy");
    let message = refused(&SourceSpec::new(path.to_str().expect("the path is UTF-8")));
    assert!(
        message.contains("3 were expected") && message.contains("cut"),
        "{message}"
    );
}

#[test]
fn ten_thousand_attributes_and_a_value_of_a_megabyte_are_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("wide.geojson");
    let mut properties: Vec<String> = (0..10_000).map(|n| format!("\"f{n}\":{n}")).collect();
    properties.push(format!("\"long\":\"{}\"", "长".repeat(350_000)));
    std::fs::write(
        &path,
        format!(
            "{{\"type\":\"FeatureCollection\",\"features\":[{{\"type\":\"Feature\",\"geometry\":{{\"type\":\"Point\",\"coordinates\":[1,2]}},\"properties\":{{{}}}}}]}}",
            properties.join(",")
        ),
    )
    .expect("a wide file");
    let read = try_read(&SourceSpec::new(path.to_str().unwrap())).expect("a wide layer");
    assert_eq!(read.layer.schema().fields.len(), 10_001);
    let long = read.layer.schema().index_of("long").expect("the long one");
    assert_eq!(
        read.features[0].values[long],
        Value::Text("长".repeat(350_000))
    );
    assert_eq!(read.features[0].values[9_999], Value::Integer(9_999));
}

#[test]
fn batches_end_by_count_and_by_vertices() {
    let mut issues = IssueLog::default();
    let mut layer = source::open(&spec("parcels.gpkg"))
        .unwrap()
        .into_layer(&mut issues)
        .unwrap();
    assert_eq!(layer.feature_count(), Some(3));
    let mut batch = Vec::new();
    assert!(layer.read_batch(2, 1000, &mut batch, &mut issues).unwrap());
    assert_eq!(batch.len(), 2);
    assert!(!layer.read_batch(2, 1000, &mut batch, &mut issues).unwrap());
    assert_eq!(batch.len(), 3);
    assert!(!layer.read_batch(2, 1000, &mut batch, &mut issues).unwrap());
    let mut layer = source::open(&spec("parcels.gpkg"))
        .unwrap()
        .into_layer(&mut issues)
        .unwrap();
    batch.clear();
    assert!(layer.read_batch(100, 4, &mut batch, &mut issues).unwrap());
    assert_eq!(batch.len(), 1);
}

#[test]
fn a_layer_moves_to_another_thread() {
    let read = std::thread::spawn(|| read("parcels.gpkg").features.len())
        .join()
        .expect("the thread ends well");
    assert_eq!(read, 3);
    let mut issues = IssueLog::default();
    let mut layer = source::open(&spec("parcels.fgb"))
        .unwrap()
        .into_layer(&mut issues)
        .unwrap();
    let count = std::thread::spawn(move || {
        let mut batch = Vec::new();
        while layer
            .read_batch(1, 1, &mut batch, &mut issues)
            .expect("a sound file")
        {}
        batch.len()
    })
    .join()
    .expect("the thread ends well");
    assert_eq!(count, 3);
}

#[test]
fn tables_of_a_postgis_database_are_layers() {
    let server = postgres::Server::start();
    server.sql(
        "create extension postgis;
         create schema 规划;
         create table parcels (id serial primary key, dlbm text, dlmc text, area numeric(15,2), seen timestamptz, tags text[], geom geometry(MultiPolygon, 4527));
         insert into parcels (dlbm, dlmc, area, seen, tags, geom) values
           ('0101', '水田', 100.25, '2024-05-06 07:08:09+08', '{a,b}', ST_GeomFromText('MULTIPOLYGON(((39490000 3300000,39490100 3300000,39490100 3300080,39490000 3300080,39490000 3300000)))', 4527)),
           ('0301', '乔木林地', null, null, null, null);
         create table 规划.control_lines (id int primary key, geom geometry(LineString, 4490));
         insert into 规划.control_lines values (1, ST_GeomFromText('LINESTRING(116.9 29.8,117 30)', 4490));",
    );
    let message = refused(&SourceSpec::new(server.connection()));
    assert!(
        message.contains("parcels") && message.contains("control_lines"),
        "{message}"
    );
    let mut spec = SourceSpec::new(server.connection());
    spec.layer = Some("parcels".to_string());
    let read = try_read(&spec).expect("a table");
    assert_eq!(read.layer.driver(), "PostgreSQL");
    assert_eq!(read.layer.crs().epsg, Some(4527));
    assert_eq!(read.texts("dlmc"), ["水田", "乔木林地"]);
    assert_eq!(read.texts("tags")[0], r#"["a","b"]"#);
    assert_eq!(read.count(IssueCode::NullGeometry), 1);
    assert_eq!(
        read.features[0].geometry.as_ref().unwrap().vertex_count(),
        5
    );
    assert!(!read.layer.info().name.contains("password"));
    spec.layer = Some("规划.control_lines".to_string());
    let read = try_read(&spec).expect("a table of another schema");
    assert_eq!(
        (read.layer.crs().epsg, read.features.len()),
        (Some(4490), 1)
    );
}

/// Real files of many offices, where they are at hand: each is read to its end or refused with a
/// reason.
#[test]
fn real_files_are_read_or_refused_with_a_reason() {
    let Some(root) = std::env::var_os("ONEMAP_TEST_DATA").map(PathBuf::from) else {
        println!("skipped: ONEMAP_TEST_DATA not set");
        return;
    };
    let mut files = Vec::new();
    for folder in [
        "parcels",
        "chinese/shp",
        "landuse",
        "malformed/gdal-autotest/ogr",
        "olinda",
        "swellendam",
    ] {
        collect(&root.join(folder), &mut files);
    }
    files.sort();
    let mut read = 0;
    for path in files {
        let name = path
            .strip_prefix(&root)
            .unwrap_or(&path)
            .display()
            .to_string();
        let mut spec = SourceSpec::new(path.to_str().expect("the path is UTF-8"));
        let mut outcome = try_read(&spec);
        // One layer of several, and a system where there is none, as a person would give them.
        if let Err(SourceError::ManyLayers { layers, .. }) = &outcome {
            spec.layer = layers.first().cloned();
            outcome = try_read(&spec);
        }
        if matches!(outcome, Err(SourceError::NoCrs { .. })) {
            spec.crs = Some(Crs::from_user("EPSG:26915").expect("PROJ knows UTM"));
            outcome = try_read(&spec);
        }
        match outcome {
            Ok(done) => {
                read += 1;
                let vertices: usize = done
                    .features
                    .iter()
                    .filter_map(|f| f.geometry.as_ref())
                    .map(|g| g.vertex_count())
                    .sum();
                let issues: Vec<String> = done
                    .issues
                    .groups()
                    .iter()
                    .map(|g| format!("{:?}×{}", g.code, g.count))
                    .collect();
                println!(
                    "{name:70} {:14} {:12} {:>6} features {vertices:>8} vertices {} {}",
                    done.layer.driver(),
                    done.layer.crs().label(),
                    done.features.len(),
                    done.layer.info().encoding.unwrap_or_default(),
                    issues.join(" ")
                );
            }
            Err(error) => println!(
                "{name:70} refused: {}",
                error.to_string().chars().take(160).collect::<String>()
            ),
        }
    }
    assert!(read > 30, "{read} were read");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    const COMPANIONS: &[&str] = &["shx", "dbf", "prj", "cpg", "qpj", "txt", "md", "gfs", "xsd"];
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let extension = path
            .extension()
            .map(|e| e.to_string_lossy().to_lowercase())
            .unwrap_or_default();
        if path.is_dir() && extension != "gdb" {
            collect(&path, files);
        } else if !COMPANIONS.contains(&extension.as_str()) && extension != "tif" {
            files.push(path);
        }
    }
}
