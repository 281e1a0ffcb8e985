//! How long does an image tile take, from the store to encoded bytes, on one core?
//!
//! A synthetic 8192² aerial image (smooth shapes and seeded noise, 2 m pixels) in CGCS2000
//! Gauss-Krüger and in Web Mercator, kept as JPEG and without loss. "First" tiles decode their
//! blocks, "again" finds them decoded; the page cache is warm in both. Medians and 99th
//! percentiles in milliseconds.
//!
//! `cargo bench --bench imagery`

#[path = "../tests/support/images.rs"]
mod images;

use std::path::Path;
use std::time::Instant;

use images::{Recipe, mercator_grid, options};
use onemap::ingest::raster::import_image;
use onemap::model::{TileCoord, TileGrid};
use onemap::query::Budget;
use onemap::render::image::{ImageFormat, ImageRequest, image_tile};
use onemap::source::raster::{RasterOptions, RasterSource};
use onemap::store::{Snapshot, Store};

const SIZE_PX: usize = 8192;
/// Tiles per measurement.
const MOST_TILES: usize = 400;

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open_or_create(&dir.path().join("workspace")).expect("a workspace");
    println!(
        "{:<28} {:>6} {:>5}  {:>13}  {:>13}",
        "image", "zoom", "as", "first", "again"
    );
    for (crs, name) in [("EPSG:4527", "Gauss-Krüger"), ("EPSG:3857", "Web Mercator")] {
        for compression in ["JPEG", "ZSTD"] {
            let file = dir.path().join(format!("{compression}.tif"));
            write(&file, crs, compression);
            let source = RasterSource::open(&file, &RasterOptions::default()).expect("an image");
            let started = Instant::now();
            let snapshot = import_image(&store, &options("image"), &source).expect("import");
            let label = format!("{name} {compression}");
            println!(
                "{label:<28} import {:.1} s",
                started.elapsed().as_secs_f64()
            );
            let maxzoom = snapshot.image().expect("an image").1.maxzoom;
            for zoom in [maxzoom, maxzoom - 3] {
                for format in ImageFormat::ALL {
                    measure(&label, &store, zoom, format);
                }
            }
            std::fs::remove_file(&file).expect("it was written");
        }
    }
}

fn write(file: &Path, crs: &str, compression: &str) {
    let mut recipe = Recipe::gauss_kruger([SIZE_PX, SIZE_PX], 3);
    let compress = format!("COMPRESS={compression}");
    let options = [compress.as_str(), "TILED=YES"];
    recipe.creation_options = &options;
    recipe.crs = Some(crs);
    if crs == "EPSG:3857" {
        recipe.geo_transform = Some([12_700_000.0, 2.0, 0.0, 3_560_000.0, 0.0, -2.0]);
    }
    recipe.write(file, |band, column, row| {
        let (x, y) = (column as f64, row as f64);
        let field = ((x / 97.0).sin() * (y / 61.0).cos() + (x / 9.0 + y / 13.0).sin() * 0.4) * 50.0;
        let noise = ((column * 7919) ^ (row * 104_729) ^ (band * 31)) % 16;
        (110.0 + field + band as f64 * 12.0) as u8 + noise as u8
    });
}

fn measure(label: &str, store: &Store, zoom: u8, format: ImageFormat) {
    // A store of its own opens the file anew, so nothing of it is decoded yet.
    let store = Store::open(store.root()).expect("a workspace");
    let snapshot = store
        .snapshot("image")
        .expect("readable")
        .expect("imported");
    let grid = mercator_grid(256);
    let tiles = tiles(&snapshot, &grid, zoom);
    let run = || {
        let mut times_ms: Vec<f64> = tiles
            .iter()
            .map(|tile| {
                let request = ImageRequest {
                    grid: &grid,
                    tile: *tile,
                    scale: 1,
                    format,
                };
                let started = Instant::now();
                let made = image_tile(&snapshot, &request, &Budget::unlimited()).expect("a tile");
                std::hint::black_box(made);
                started.elapsed().as_secs_f64() * 1000.0
            })
            .collect();
        times_ms.sort_by(f64::total_cmp);
        let at = |share: f64| times_ms[((times_ms.len() - 1) as f64 * share) as usize];
        format!("{:>6.2} {:>6.2}", at(0.5), at(0.99))
    };
    let (first, again) = (run(), run());
    println!(
        "{label:<28} {zoom:>6} {:>5}  {first}  {again}",
        format.extension()
    );
}

/// Tiles that lie within the image, in a fixed order that jumps about.
fn tiles(snapshot: &Snapshot, grid: &TileGrid, zoom: u8) -> Vec<TileCoord> {
    let extent = snapshot
        .warp(grid.epsg)
        .expect("a transform")
        .to_grid
        .bbox(&snapshot.manifest.bbox_in_layer_crs);
    let range = grid
        .tiles_in_bbox(zoom, &extent)
        .expect("a zoom of the grid");
    let [x0, y0, x1, y1] = range.expect("the image lies in the grid");
    let inner = |from: u32, to: u32| {
        if to - from > 2 {
            from + 1..=to - 1
        } else {
            from..=to
        }
    };
    let mut tiles: Vec<TileCoord> = inner(y0, y1)
        .flat_map(|y| inner(x0, x1).map(move |x| TileCoord { z: zoom, x, y }))
        .collect();
    tiles.sort_by_key(|tile| (tile.x * 7919 + tile.y * 104_729) % 1009);
    tiles.truncate(MOST_TILES);
    tiles
}
