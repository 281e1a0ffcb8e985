//! Is an archive of a parcel coverage made faster than by tippecanoe, and is it still a map: no gaps,
//! no overlaps, the right class at each pixel?
//!
//! Whole processes in turn: ours from the workspace and from the source file (import and archive),
//! tippecanoe from the source file with its usual remedy for dense layers and without limits. It is
//! left out when it is not installed. Measured on decoded tiles, at each zoom in the tile about the
//! middle of the layer, on points between the positions of its grid:
//!
//! * gap, overlap: share of the layer's points (less a rim of 4) that no polygon covers; surplus
//!   polygons per point
//! * class: share of the area that is shown in the wrong class over all (half the sum of differences)
//! * points, pixels: share of all points, and of the points in the middle of 256 × 256 pixels, with
//!   the class they have in the source
//! * invalid: polygons that GEOS rejects
//!
//! `ONEMAP_BENCH_LAYER=FILE` (FlatGeobuf with a field DLBM) is taken instead of the seeded fabric.
//! `ONEMAP_BENCH_PAGE=DIR` writes a page that shows the source and each archive side by side at five
//! zooms, with these numbers below.

#[path = "../tests/support/coverage.rs"]
mod coverage;
mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use coverage::{LAYER, Raster, SIDE, middle_tile, source_raster, unpacked};
use image::ImageEncoder;
use image::codecs::png::PngEncoder;
use onemap::format::pmtiles::{PmtilesFile, tile_of_id};
use onemap::model::TileCoord;
use onemap::store::Store;
use support::{Fabric, median, timed};

const RUNS: usize = 3;
const ZOOMS: &str = "0-14";
const LAST_ZOOM: u8 = 14;
/// What the page shows.
const PAGE_ZOOMS: [u8; 5] = [5, 6, 8, 10, 12];
/// Side of its pictures.
const PAGE_PX: usize = 512;

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let source = std::env::var_os("ONEMAP_BENCH_LAYER").map_or_else(
        || {
            let store = Store::open_or_create(&dir.path().join("fabric")).expect("a workspace");
            let fabric = Fabric {
                side: 447,
                segments: 8,
            };
            let snapshot = fabric.import(&store, LAYER).snapshot;
            snapshot.dir().join("features.fgb")
        },
        PathBuf::from,
    );
    let workspace = dir.path().join("workspace");
    let mut makers: Vec<(&str, Vec<f64>, f64, PathBuf)> =
        ["onemap", "tippecanoe", "tippecanoe-all"]
            .into_iter()
            .filter(|name| !name.starts_with("tippecanoe") || has_tippecanoe())
            .map(|name| {
                let out = dir.path().join(format!("{name}.pmtiles"));
                (name, Vec::new(), 0.0, out)
            })
            .collect();
    let mut imports = Vec::new();
    for _ in 0..RUNS {
        let mut import = Command::new(env!("CARGO_BIN_EXE_onemap"));
        import.args(["import", "--quiet"]).arg(&workspace);
        import.arg(format!("{LAYER}={}", source.display()));
        let (seconds, peak, _) = timed(import);
        imports.push(seconds);
        for (name, seconds, most, out) in &mut makers {
            let _ = std::fs::remove_file(&*out);
            let (wall, peak_of_archive, _) = timed(command(name, &source, &workspace, out));
            seconds.push(wall);
            *most = most.max(peak_of_archive);
            if *name == "onemap" {
                *most = most.max(peak);
            }
        }
    }
    let import = median(&mut imports);
    println!("onemap import: median {import:.2} s");
    let store = Store::open(&workspace).expect("the workspace");
    let snapshot = store
        .snapshot(LAYER)
        .expect("the catalogue")
        .expect("the layer");
    let mut zooms: Vec<u8> = (0..=LAST_ZOOM).step_by(2).chain(PAGE_ZOOMS).collect();
    zooms.sort_unstable();
    zooms.dedup();
    let truth: Vec<(TileCoord, Raster)> = zooms
        .into_iter()
        .map(|z| {
            let tile = middle_tile(&snapshot, z);
            (tile, source_raster(&snapshot, tile))
        })
        .collect();
    for (name, seconds, peak, out) in &mut makers {
        let archive = PmtilesFile::open(out).expect("an archive");
        let mut largest = 0;
        for entry in archive.runs() {
            let entry = entry.expect("its directory");
            let bytes = archive.bytes_of(&entry).expect("a tile");
            if tile_of_id(entry.tile_id).is_some() {
                largest = largest.max(unpacked(bytes).len());
            }
        }
        let size = std::fs::metadata(&*out).expect("an archive").len() as f64 / 1e6;
        let wall = median(seconds);
        println!(
            "{name}: median {wall:.2} s, peak {peak:.0} MB, {size:.1} MB, largest tile {} kB before compression",
            largest / 1000
        );
        for (tile, source) in &truth {
            let bytes = archive
                .tile(tile.z, tile.x, tile.y)
                .expect("readable")
                .map(unpacked)
                .unwrap_or_default();
            println!("  z{}: {}", tile.z, source.compared(&bytes));
        }
    }
    if let Some(dir) = std::env::var_os("ONEMAP_BENCH_PAGE") {
        let archives: Vec<(&str, &Path)> = makers
            .iter()
            .map(|(name, _, _, out)| (*name, out.as_path()))
            .collect();
        write_page(Path::new(&dir), &archives, &truth);
    }
    let ours = median(&mut makers[0].1);
    for (name, seconds, ..) in &mut makers[1..] {
        let theirs = median(seconds);
        println!(
            "{name} takes {:.1} times as long as the archive, {:.1} times as long as import and archive",
            theirs / ours,
            theirs / (ours + import)
        );
    }
}

/// The source and all archives side by side, as pictures of their classes.
fn write_page(dir: &Path, makers: &[(&str, &Path)], truth: &[(TileCoord, Raster)]) {
    std::fs::create_dir_all(dir).expect("a directory for the page");
    let mut rows = String::new();
    for (tile, source) in truth
        .iter()
        .filter(|(tile, _)| PAGE_ZOOMS.contains(&tile.z))
    {
        let TileCoord { z, x, y } = *tile;
        let name = format!("z{z}-source.png");
        picture(&dir.join(&name), source);
        write!(
            rows,
            "<tr><th>z{z}<br>{z}/{x}/{y}</th><td><img src=\"{name}\"></td>"
        )
        .expect("writing to a string");
        for (maker, archive) in makers {
            let archive = PmtilesFile::open(archive).expect("an archive");
            let bytes = archive.tile(z, x, y).expect("readable");
            let bytes = bytes.map(unpacked).unwrap_or_default();
            let name = format!("z{z}-{maker}.png");
            picture(&dir.join(&name), &source.shown(&bytes).0);
            let numbers = source.compared(&bytes);
            write!(rows, "<td><img src=\"{name}\"><p>{numbers}</p></td>")
                .expect("writing to a string");
        }
        rows.push_str("</tr>\n");
    }
    let heads: String = makers
        .iter()
        .map(|(maker, _)| format!("<th>{maker}</th>"))
        .collect();
    let page = format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Archives of one coverage</title>\n\
         <style>body{{font:14px sans-serif}}img{{width:{PAGE_PX}px;image-rendering:pixelated}}p{{width:{PAGE_PX}px}}</style>\n\
         <p>White: no polygon. The class at the middle of each of {PAGE_PX} × {PAGE_PX} pixels of a tile.</p>\n\
         <table><tr><th></th><th>source</th>{heads}</tr>\n{rows}</table>\n"
    );
    std::fs::write(dir.join("index.html"), page).expect("the page");
}

/// A colour for each class; white where there is none.
fn picture(path: &Path, raster: &Raster) {
    let step = SIDE / PAGE_PX;
    let mut pixels = Vec::with_capacity(PAGE_PX * PAGE_PX * 3);
    for at in (0..PAGE_PX * PAGE_PX).map(|i| (i / PAGE_PX * SIDE + i % PAGE_PX) * step) {
        let class = u32::from(raster.classes[at + step / 2 * (SIDE + 1)]);
        let mixed = class.wrapping_mul(0x9E37_79B1);
        pixels.extend(match class {
            0 => [255; 3],
            _ => [24, 16, 8].map(|shift| 70 + (mixed >> shift & 127) as u8),
        });
    }
    let file = std::fs::File::create(path).expect("a picture");
    let size = PAGE_PX as u32;
    PngEncoder::new(file)
        .write_image(&pixels, size, size, image::ExtendedColorType::Rgb8)
        .expect("a picture");
}

fn has_tippecanoe() -> bool {
    Command::new("tippecanoe").arg("--version").output().is_ok()
}

fn command(name: &str, source: &Path, workspace: &Path, out: &Path) -> Command {
    if name == "onemap" {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onemap"));
        command.args(["tiles", "--quiet"]).arg(workspace).arg(LAYER);
        command.args(["--zoom", ZOOMS, "--out"]).arg(out);
        return command;
    }
    let mut command = Command::new("tippecanoe");
    command
        .args(["-q", "-f", "-l", LAYER, "-Z0", "-z14", "-o"])
        .arg(out);
    if name == "tippecanoe-all" {
        command.args(["-pf", "-pk", "--no-simplification-of-shared-nodes"]);
    } else {
        command.arg("--drop-densest-as-needed");
    }
    command.arg(source);
    command
}
