//! Reference systems from whatever names them.

use onemap::crs::{Crs, CrsError, GaussKruger};
use onemap::geom::Bbox;

#[test]
fn a_code_a_bare_number_wkt_and_a_proj_string_are_understood() {
    for text in ["EPSG:4490", "4490", " epsg:4490 "] {
        let crs = Crs::from_user(text).expect(text);
        assert_eq!((crs.epsg, crs.geographic), (Some(4490), true), "{text}");
        assert_eq!(crs.definition, "EPSG:4490");
        let [west, south, east, north] = crs.area_of_use.expect("China has bounds");
        assert!(west < 74.0 && south < 20.0 && east > 130.0 && north > 53.0);
    }
    let crs = Crs::from_user("+proj=utm +zone=33 +south +datum=WGS84 +units=m +no_defs").unwrap();
    assert_eq!(crs.epsg, Some(32733));
    let feet = Crs::from_user("EPSG:2225").unwrap();
    assert!((feet.metres_per_unit - 1200.0 / 3937.0).abs() < 1e-12);
}

#[test]
fn the_horizontal_part_of_a_compound_system_counts() {
    assert_eq!(Crs::from_user("EPSG:4527+5737").unwrap().epsg, Some(4527));
}

#[test]
fn what_is_no_plane_or_geographic_system_is_refused_with_a_reason() {
    for text in [
        "",
        "EPSG:1",
        "nonsense",
        "EPSG:4479",
        "EPSG:5737",
        "a\0b",
        "EPSG:4807",
    ] {
        let error = Crs::from_user(text).expect_err(text);
        assert!(matches!(error, CrsError::Unknown { .. }), "{text}: {error}");
    }
}

#[test]
fn esri_names_without_authority_find_their_registry_codes() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/source/esri_names.txt"
    );
    let lines = std::fs::read_to_string(path).expect("the fixture is there");
    let mut count = 0;
    for line in lines.lines() {
        let (code, wkt) = line.split_once('\t').expect("code, tab, WKT");
        assert!(!wkt.contains("AUTHORITY"), "{code}");
        let crs = Crs::from_definition(wkt).expect(code);
        assert_eq!(crs.epsg, code.parse().ok(), "{wkt}");
        count += 1;
    }
    assert!(count >= 25);
}

/// Formulas of zones against PROJ: every code of the blocks is the zone it is said to be.
#[test]
fn every_national_zone_has_the_meridian_and_false_easting_of_its_code() {
    for code in (4491..=4554)
        .chain(2327..=2390)
        .chain(2401..=2442)
        .chain(21413..=21423)
        .chain(21453..=21463)
    {
        let zone = GaussKruger::from_epsg(code).unwrap_or_else(|| panic!("{code} is of a block"));
        let forward = proj::Proj::new_known_crs(
            &format!("EPSG:{}", zone.datum.geographic_epsg()),
            &format!("EPSG:{code}"),
            None,
        )
        .expect("PROJ has both");
        let (x, _) = forward
            .convert((zone.central_meridian_deg(), 30.0))
            .expect("within the zone");
        assert!((x - zone.false_easting_m()).abs() < 1e-3, "{code}: {x}");
    }
}

#[test]
fn degrees_are_not_metres() {
    let crs = Crs::from_user("EPSG:4490").unwrap();
    let metres = Bbox::new(39_480_000.0, 3_300_000.0, 39_490_000.0, 3_310_000.0);
    assert!(crs.disagreement(&metres).is_some());
    assert!(
        crs.disagreement(&Bbox::new(116.0, 29.0, 117.0, 30.0))
            .is_none()
    );
    assert!(crs.disagreement(&Bbox::EMPTY).is_none());
}
