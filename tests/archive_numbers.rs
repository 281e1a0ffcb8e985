//! An archive of a coverage at five zooms, in numbers: the comparison with other makers that
//! `benches/archive.rs` shows as a page, with bounds of our own.

#[path = "support/coverage.rs"]
mod coverage;
#[path = "../benches/support/mod.rs"]
mod fabric;

use std::process::Command;

use coverage::{LAYER, middle_tile, source_raster, unpacked};
use fabric::Fabric;
use onemap::format::pmtiles::PmtilesFile;
use onemap::store::Store;

#[test]
fn a_county_is_whole_at_five_zooms() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let fabric = Fabric {
        side: 100,
        segments: 8,
    };
    let snapshot = fabric.import(&store, LAYER).snapshot;
    let out = dir.path().join("out.pmtiles");
    let made = Command::new(env!("CARGO_BIN_EXE_onemap"))
        .arg("tiles")
        .arg(dir.path())
        .args([LAYER, "--zoom", "5-13", "--quiet", "--out"])
        .arg(&out)
        .output()
        .unwrap();
    assert!(matches!(made.status.code(), Some(0 | 1)), "{made:?}");
    let archive = PmtilesFile::open(&out).unwrap();
    for z in [5, 7, 9, 11, 13] {
        let tile = middle_tile(&snapshot, z);
        let bytes = archive.tile(tile.z, tile.x, tile.y).unwrap().unwrap();
        let bytes = unpacked(bytes);
        let numbers = source_raster(&snapshot, tile).compared(&bytes);
        let said = format!("z{z}: {numbers}");
        assert!(numbers.polygons > 0 && numbers.invalid == 0, "{said}");
        assert!(numbers.gap <= 1e-4 && numbers.overlap <= 1e-5, "{said}");
        assert!(numbers.bytes <= 550_000, "{said}");
        if z >= 7 {
            assert!(numbers.right_pixels >= 0.97, "{said}");
            assert!(numbers.class <= 0.005, "{said}");
        }
    }
}
