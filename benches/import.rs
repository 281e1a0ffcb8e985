//! Is importing a FlatGeobuf of parcels slower than GDAL's `ogr2ogr` writing the same file into an
//! indexed GeoPackage, and does memory grow with the number of features?
//!
//! Both are whole processes, run in turn; medians of wall time and the largest peak memory. The
//! time of the pyramid, which a GeoPackage has no counterpart of, is told apart. With
//! `ONEMAP_BENCH_LAYER=FILE` that file is taken instead of the seeded fabric of 200 000 parcels.
//! The second table imports fabrics of 200 000 and 2 000 000 parcels (sixteen vertices each).

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use onemap::store::Store;
use support::{Fabric, median, timed};

const RUNS: usize = 5;

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let source = std::env::var_os("ONEMAP_BENCH_LAYER")
        .map_or_else(|| fabric(dir.path(), "parcels", 447, 16), PathBuf::from);
    let package = dir.path().join("out.gpkg");
    let workspace = dir.path().join("workspace");
    let (mut ours, mut theirs, mut pyramids) = (Vec::new(), Vec::new(), Vec::new());
    let (mut our_peak, mut their_peak) = (0.0f64, 0.0f64);
    for _ in 0..RUNS {
        let (seconds, pyramid, peak) = import(&workspace, &source);
        ours.push(seconds - pyramid);
        pyramids.push(pyramid);
        our_peak = our_peak.max(peak);
        // An earlier run's file would have to be overwritten, which costs extra.
        let _ = std::fs::remove_file(&package);
        let mut command = Command::new("ogr2ogr");
        command.args(["-f", "GPKG"]).arg(&package).arg(&source);
        let (seconds, peak, _) = timed(command);
        theirs.push(seconds);
        their_peak = their_peak.max(peak);
    }
    println!("its pyramid       median {:.2} s", median(&mut pyramids));
    println!(
        "onemap import     median {:.2} s, peak {our_peak:.0} MB",
        median(&mut ours)
    );
    println!(
        "ogr2ogr to GPKG   median {:.2} s, peak {their_peak:.0} MB",
        median(&mut theirs)
    );
    println!(
        "ratio             {:.2}",
        median(&mut ours) / median(&mut theirs)
    );

    for side in [447, 1414] {
        let source = fabric(dir.path(), "growth", side, 4);
        let (seconds, pyramid, peak) = import(&workspace, &source);
        println!(
            "{} features: {seconds:.2} s (pyramid {pyramid:.2} s), peak {peak:.0} MB",
            side * side
        );
    }
}

/// A FlatGeobuf on disk: what an import of the fabric leaves.
fn fabric(dir: &Path, name: &str, side: usize, segments: usize) -> PathBuf {
    let store = Store::open_or_create(&dir.join("fabric")).expect("a workspace");
    let snapshot = Fabric { side, segments }.import(&store, name).snapshot;
    let target = dir.join(format!("{name}-{side}.fgb"));
    std::fs::copy(snapshot.dir().join("features.fgb"), &target).expect("a copy of the fabric");
    target
}

/// Seconds, those of the pyramid among them, and peak megabytes.
fn import(workspace: &Path, source: &Path) -> (f64, f64, f64) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onemap"));
    command
        .args(["import", "--json"])
        .arg(workspace)
        .arg(format!("parcels={}", source.display()));
    let (seconds, peak, out) = timed(command);
    let out: serde_json::Value = serde_json::from_slice(&out).expect("the summary is JSON");
    let pyramid = out["layers"][0]["pyramid_seconds"]
        .as_f64()
        .expect("the time of the pyramid");
    (seconds, pyramid, peak)
}
