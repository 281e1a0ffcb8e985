//! Images: from files of many kinds to tiles.

#[path = "support/images.rs"]
mod images;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gdal::Dataset;
use gdal::raster::{ColorEntry, ColorInterpretation, ColorTable, PaletteInterpretation};
use image::{DynamicImage, RgbaImage};
use images::{Recipe, mercator_grid, options};
use onemap::crs::Crs;
use onemap::format::cog::{Cog, Samples};
use onemap::geom::Bbox;
use onemap::ingest::raster::{ImageImportError, import_image};
use onemap::model::{TileCoord, TileGrid};
use onemap::query::{Budget, Stop};
use onemap::render::RenderError;
use onemap::render::image::{ImageFormat, ImageRequest, ImageTile, image_tile};
use onemap::source::raster::{RasterError, RasterOptions, RasterSource};
use onemap::store::{IMAGE_FILE, Snapshot, Store};

struct Bench {
    dir: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(&dir.path().join("workspace")).unwrap();
        Bench { dir, store }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn import(
        &self,
        path: &Path,
        raster: &RasterOptions,
    ) -> Result<Arc<Snapshot>, ImageImportError> {
        let source = RasterSource::open(path, raster)?;
        let mut options = options("image");
        options.crs_is_given = raster.crs.is_some();
        import_image(&self.store, &options, &source)
    }

    fn imported(&self, path: &Path) -> Arc<Snapshot> {
        self.import(path, &RasterOptions::default()).unwrap()
    }
}

fn tile(snapshot: &Snapshot, grid: &TileGrid, tile: TileCoord, format: ImageFormat) -> ImageTile {
    let request = ImageRequest {
        grid,
        tile,
        scale: 1,
        format,
    };
    image_tile(snapshot, &request, &Budget::unlimited()).unwrap()
}

fn picture(snapshot: &Snapshot, grid: &TileGrid, at: TileCoord) -> RgbaImage {
    let tile = tile(snapshot, grid, at, ImageFormat::Png);
    image::load_from_memory(&tile.bytes).unwrap().to_rgba8()
}

/// The tiles of a zoom that an image touches.
fn tiles(snapshot: &Snapshot, grid: &TileGrid, zoom: u8) -> Vec<TileCoord> {
    let extent = snapshot
        .warp(grid.epsg)
        .unwrap()
        .to_grid
        .bbox(&snapshot.manifest.bbox_in_layer_crs);
    let [x0, y0, x1, y1] = grid.tiles_in_bbox(zoom, &extent).unwrap().unwrap();
    (y0..=y1)
        .flat_map(|y| (x0..=x1).map(move |x| TileCoord { z: zoom, x, y }))
        .collect()
}

/// A smooth ramp that says where in the image a pixel is.
fn ramp(band: usize, column: usize, row: usize) -> u8 {
    match band {
        0 => (column / 4) as u8,
        1 => (row / 4) as u8,
        _ => ((column + row) / 8) as u8,
    }
}

#[test]
fn the_reader_agrees_with_gdal_about_every_sample_of_every_kind_of_image() {
    let bench = Bench::new();
    let noise = |band: usize, column: usize, row: usize| {
        ((band * 7919 + column * 104_729 + row * 1_299_709) % 65_521) as u32
    };
    let size = [700, 300];
    let of = |bands| Recipe::gauss_kruger(size, bands);
    let write = |name: &str| bench.file(name);
    let files = [
        of(1).write(&write("u8.tif"), |b, c, r| noise(b, c, r) as u8),
        of(3).write(&write("rgb.tif"), |b, c, r| noise(b, c, r) as u8),
        of(5).write(&write("five.tif"), |b, c, r| noise(b, c, r) as u8),
        of(2).write(&write("u16.tif"), |b, c, r| noise(b, c, r) as u16),
        of(1).write(&write("i16.tif"), |b, c, r| noise(b, c, r) as u16 as i16),
        of(1).write(&write("u32.tif"), |b, c, r| noise(b, c, r) * 60_000),
        of(3).write(&write("i32.tif"), |b, c, r| {
            -(noise(b, c, r) as i32) * 30_000
        }),
        of(1).write(&write("f32.tif"), |b, c, r| {
            noise(b, c, r) as f32 / 7.0 - 500.0
        }),
        of(2).write(&write("f64.tif"), |b, c, r| {
            f64::from(noise(b, c, r)) / 11.0 - 9.0
        }),
    ];
    for file in files {
        let snapshot = bench.imported(&file);
        agrees_with_gdal(&snapshot.dir().join(IMAGE_FILE));
    }
}

fn agrees_with_gdal(path: &Path) {
    let cog = Cog::open(path).unwrap();
    let dataset = Dataset::open(path).unwrap();
    assert!(cog.levels().len() > 1, "{path:?} has overviews");
    for (index, level) in cog.levels().iter().enumerate() {
        let [block_w, block_h] = level.block_size_px().map(|size| size as usize);
        let [columns, rows] = level.blocks();
        for (column, row) in (0..rows).flat_map(|row| (0..columns).map(move |c| (c, row))) {
            let block = cog.block(index, column, row).unwrap().unwrap();
            let (x, y) = (column as usize * block_w, row as usize * block_h);
            let width = block_w.min(level.width_px() as usize - x);
            let height = block_h.min(level.height_px() as usize - y);
            for band in 0..cog.bands() {
                let raster = dataset.rasterband(band + 1).unwrap();
                let raster = match index {
                    0 => raster,
                    _ => raster.overview(index - 1).unwrap(),
                };
                let expected = raster
                    .read_as::<f64>(
                        (x as isize, y as isize),
                        (width, height),
                        (width, height),
                        None,
                    )
                    .unwrap();
                for (place, expected) in expected.data().iter().enumerate() {
                    let at = (place / width * block_w + place % width) * cog.bands() + band;
                    let found = sample(&block.samples, at);
                    assert_eq!(found, *expected, "{path:?} level {index} band {band}");
                }
            }
        }
    }
}

fn sample(samples: &Samples, at: usize) -> f64 {
    match samples {
        Samples::U8(samples) => f64::from(samples[at]),
        Samples::U16(samples) => f64::from(samples[at]),
        Samples::I16(samples) => f64::from(samples[at]),
        Samples::U32(samples) => f64::from(samples[at]),
        Samples::I32(samples) => f64::from(samples[at]),
        Samples::F32(samples) => f64::from(samples[at]),
        Samples::F64(samples) => samples[at],
    }
}

#[test]
fn an_image_that_is_jpeg_stays_jpeg_and_looks_as_gdal_sees_it() {
    let bench = Bench::new();
    let mut recipe = Recipe::gauss_kruger([700, 520], 3);
    recipe.creation_options = &["COMPRESS=JPEG", "PHOTOMETRIC=YCBCR", "TILED=YES"];
    let file = recipe.write(&bench.file("photo.tif"), ramp);
    let snapshot = bench.imported(&file);
    let path = snapshot.dir().join(IMAGE_FILE);
    let cog = Cog::open(&path).unwrap();
    let dataset = Dataset::open(&path).unwrap();
    let block = cog.block(0, 1, 1).unwrap().unwrap();
    let Samples::U8(samples) = &block.samples else {
        panic!("bytes expected");
    };
    for band in 0..3 {
        let raster = dataset.rasterband(band + 1).unwrap();
        let expected = raster
            .read_as::<u8>((256, 256), (256, 256), (256, 256), None)
            .unwrap();
        for (at, expected) in expected.data().iter().enumerate() {
            // Two decoders may round colours differently.
            let difference = samples[at * 3 + band].abs_diff(*expected);
            assert!(difference <= 3, "band {band} at {at}: {difference}");
        }
    }
}

#[test]
fn every_pixel_of_a_gauss_kruger_image_is_where_proj_puts_it() {
    let bench = Bench::new();
    let file = Recipe::gauss_kruger([1000, 900], 3).write(&bench.file("gk.tif"), ramp);
    let snapshot = bench.imported(&file);
    let grid = mercator_grid(256);
    let exact = proj::Proj::new_known_crs("EPSG:3857", "EPSG:4527", None).unwrap();
    let (_, info) = snapshot.image().unwrap();
    let t = info.geo_transform;
    let mut compared = 0;
    for at in tiles(&snapshot, &grid, info.maxzoom) {
        let bbox = grid.tile_bbox(at).unwrap();
        let picture = picture(&snapshot, &grid, at);
        for (column, row, pixel) in picture.enumerate_pixels() {
            let unit = bbox.width() / 256.0;
            let x = bbox.min_x + (f64::from(column) + 0.5) * unit;
            let y = bbox.max_y - (f64::from(row) + 0.5) * unit;
            let (east, north) = exact.convert((x, y)).unwrap();
            let (u, v) = ((east - t[0]) / t[1], (north - t[3]) / t[5]);
            let margin = (0.5 - (u / 1000.0 - 0.5).abs()).min(0.5 - (v / 900.0 - 0.5).abs());
            if margin.abs() < 0.002 {
                continue;
            }
            assert_eq!(pixel[3] == 255, margin > 0.0, "{at:?} {column} {row}");
            if margin > 0.0 {
                // The ramps rise by one in four pixels: half a step is two pixels.
                let expected = [(u - 2.0) / 4.0, (v - 2.0) / 4.0, (u + v - 4.5) / 8.0];
                for (found, expected) in pixel.0.iter().zip(expected) {
                    let difference = (f64::from(*found) - expected).abs();
                    assert!(
                        difference < 1.2,
                        "{at:?} {column} {row}: {found} {expected}"
                    );
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 500_000, "{compared}");
}

#[test]
fn neighbouring_tiles_continue_each_other() {
    let bench = Bench::new();
    let file = Recipe::gauss_kruger([1000, 900], 3).write(&bench.file("gk.tif"), |b, c, r| {
        ((c * 37 + r * 91 + b * 50) % 251) as u8
    });
    let snapshot = bench.imported(&file);
    let (_, info) = snapshot.image().unwrap();
    // A tile of 512 px shows what four of 256 px of the next zoom show.
    let (small, large) = (mercator_grid(256), mercator_grid(512));
    let zoom = info.maxzoom;
    let mut compared = 0;
    for at in tiles(&snapshot, &large, zoom - 1) {
        let whole = picture(&snapshot, &large, at);
        for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let part = TileCoord {
                z: zoom,
                x: at.x * 2 + dx,
                y: at.y * 2 + dy,
            };
            let part = picture(&snapshot, &small, part);
            for (column, row, pixel) in part.enumerate_pixels() {
                let expected = whole.get_pixel(dx * 256 + column, dy * 256 + row);
                let differs = pixel
                    .0
                    .iter()
                    .zip(expected.0)
                    .any(|(a, b)| a.abs_diff(b) > 24);
                assert!(!differs, "{at:?} {column} {row}: {pixel:?} {expected:?}");
                compared += usize::from(pixel[3] == 255);
            }
        }
    }
    assert!(compared > 500_000, "{compared}");
}

#[test]
fn what_has_no_value_is_transparent() {
    let bench = Bench::new();
    let grid = mercator_grid(256);
    let left_half_missing =
        |value: u8| move |_: usize, column: usize, _: usize| if column < 256 { 0 } else { value };

    let mut nodata = Recipe::gauss_kruger([512, 512], 1);
    nodata.nodata = Some(0.0);
    let nodata = nodata.write(&bench.file("nodata.tif"), left_half_missing(99));
    let alpha = Recipe::gauss_kruger([512, 512], 4).write_and(
        &bench.file("alpha.tif"),
        |band, column, _| match band {
            3 => 255 * u8::from(column >= 256),
            _ => 99,
        },
        |dataset| {
            use ColorInterpretation::*;
            for (band, color) in [RedBand, GreenBand, BlueBand, AlphaBand]
                .into_iter()
                .enumerate()
            {
                let mut band = dataset.rasterband(band + 1).unwrap();
                band.set_color_interpretation(color).unwrap();
            }
        },
    );
    let mask = Recipe::gauss_kruger([512, 512], 3).write_and(
        &bench.file("mask.tif"),
        |_, _, _| 99u8,
        |dataset| {
            gdal::config::set_config_option("GDAL_TIFF_INTERNAL_MASK", "YES").unwrap();
            let mut band = dataset.rasterband(1).unwrap();
            band.create_mask_band(true).unwrap();
            let mut mask = band.open_mask_band().unwrap();
            let bits = (0..512 * 512)
                .map(|at| 255 * u8::from(at % 512 >= 256))
                .collect();
            let mut buffer = gdal::raster::Buffer::<u8>::new((512, 512), bits);
            mask.write((0, 0), (512, 512), &mut buffer).unwrap();
        },
    );
    let nan =
        Recipe::gauss_kruger([512, 512], 1).write(&bench.file("nan.tif"), |_, column, row| {
            if column < 256 { f32::NAN } else { row as f32 }
        });
    for file in [nodata, alpha, mask, nan] {
        let snapshot = bench.imported(&file);
        let (_, info) = snapshot.image().unwrap();
        let (mut shown, mut hidden) = (0, 0);
        for at in tiles(&snapshot, &grid, info.maxzoom) {
            for pixel in picture(&snapshot, &grid, at).pixels() {
                match pixel[3] {
                    255 => shown += 1,
                    0 => hidden += 1,
                    _ => {}
                }
            }
        }
        let all = tiles(&snapshot, &grid, info.maxzoom).len() * 65_536;
        let extent = shown as f64 / all as f64;
        // The image covers some part of its tiles; half of it is there.
        assert!(
            shown > 0 && hidden > shown,
            "{file:?} {shown} {hidden} {extent}"
        );
        let corner = snapshot.manifest.bbox_in_layer_crs;
        let width_m = corner.width() * corner.height() / 2.0;
        let pixel_m = grid.matrix(u32::from(info.maxzoom)).unwrap().cell_size;
        // Mercator stretches by 1 / cos φ, at 30.5° by 1.16 per axis.
        let expected = width_m / (pixel_m * pixel_m) * 1.161 * 1.161;
        assert!(
            (shown as f64 / expected - 1.0).abs() < 0.03,
            "{file:?} {shown} {expected}"
        );
    }
}

#[test]
fn a_fourth_band_of_something_else_is_not_taken_for_opacity() {
    let bench = Bench::new();
    let mut recipe = Recipe::gauss_kruger([300, 300], 4);
    recipe.creation_options = &["PHOTOMETRIC=MINISBLACK", "ALPHA=NO"];
    let file = recipe.write(&bench.file("nir.tif"), |band, column, row| match band {
        3 => 0,
        _ => ((column + row) % 200) as u8,
    });
    let snapshot = bench.imported(&file);
    let (_, info) = snapshot.image().unwrap();
    assert_eq!(info.alpha_band, None);
    let grid = mercator_grid(256);
    let shown = tiles(&snapshot, &grid, info.maxzoom)
        .into_iter()
        .flat_map(|at| picture(&snapshot, &grid, at).into_raw())
        .skip(3)
        .step_by(4)
        .filter(|opacity| *opacity == 255);
    assert!(shown.count() > 50_000);
}

#[test]
fn a_palette_image_shows_its_colors_and_none_between() {
    let bench = Bench::new();
    let colors = [[200, 10, 10, 255], [10, 200, 10, 255], [10, 10, 200, 255]];
    let file = Recipe::gauss_kruger([600, 600], 1).write_and(
        &bench.file("classes.tif"),
        |_, column, row| ((column / 5 + row / 7) % 3) as u8,
        |dataset| {
            let mut table = ColorTable::new(PaletteInterpretation::Rgba);
            for (index, [r, g, b, a]) in colors.into_iter().enumerate() {
                table.set_color_entry(index as u16, &ColorEntry::rgba(r, g, b, a));
            }
            dataset.rasterband(1).unwrap().set_color_table(&table);
        },
    );
    let snapshot = bench.imported(&file);
    let (data, info) = snapshot.image().unwrap();
    assert_eq!(
        data.image.palette().map(|palette| palette[1]),
        Some([10, 200, 10])
    );
    let grid = mercator_grid(256);
    for zoom in [info.maxzoom - 2, info.maxzoom, info.maxzoom + 2] {
        let mut seen = std::collections::BTreeSet::new();
        for at in tiles(&snapshot, &grid, zoom).into_iter().take(6) {
            for pixel in picture(&snapshot, &grid, at).pixels() {
                seen.insert(pixel.0);
            }
        }
        seen.remove(&[0; 4]);
        let expected = colors.map(|color| color.map(|channel| channel as u8));
        assert!(
            seen.iter().all(|color| expected.contains(color)),
            "{zoom}: {seen:?}"
        );
        assert_eq!(seen.len(), 3, "{zoom}");
    }
}

#[test]
fn sixteen_bits_are_stretched_between_their_percentiles() {
    let bench = Bench::new();
    let file =
        Recipe::gauss_kruger([1000, 200], 1).write(&bench.file("sar.tif"), |_, column, row| {
            // A few outliers must not darken the rest.
            if row == 0 && column < 10 {
                65_535u16
            } else {
                1000 + column as u16
            }
        });
    let snapshot = bench.imported(&file);
    let (_, info) = snapshot.image().unwrap();
    assert_eq!(info.sample_type, "UInt16");
    let [low, high] = info.display_ranges[0];
    assert!(
        (low - 1020.0).abs() < 15.0 && (high - 1979.0).abs() < 15.0,
        "{low} {high}"
    );
    let grid = mercator_grid(256);
    let mut levels = std::collections::BTreeSet::new();
    for at in tiles(&snapshot, &grid, info.maxzoom) {
        for pixel in picture(&snapshot, &grid, at)
            .pixels()
            .filter(|p| p[3] == 255)
        {
            assert!(pixel[0] == pixel[1] && pixel[1] == pixel[2], "grey");
            levels.insert(pixel[0]);
        }
    }
    assert!(
        levels.len() > 200,
        "the whole range of grey is used: {}",
        levels.len()
    );
}

#[test]
fn bands_are_chosen_by_meaning_and_by_the_user() {
    let bench = Bench::new();
    let file = Recipe::gauss_kruger([64, 64], 4).write_and(
        &bench.file("bgrn.tif"),
        |band, _, _| [10u8, 20, 30, 40][band],
        |dataset| {
            use ColorInterpretation::*;
            for (band, color) in [BlueBand, GreenBand, RedBand, Undefined]
                .into_iter()
                .enumerate()
            {
                let mut band = dataset.rasterband(band + 1).unwrap();
                band.set_color_interpretation(color).unwrap();
            }
        },
    );
    let chosen = |bands: Option<Vec<u32>>| {
        let options = RasterOptions {
            bands,
            ..RasterOptions::default()
        };
        RasterSource::open(&file, &options).map(|source| source.display_bands)
    };
    assert_eq!(chosen(None).unwrap(), [3, 2, 1]);
    assert_eq!(chosen(Some(vec![4, 3, 2])).unwrap(), [4, 3, 2]);
    assert!(matches!(
        chosen(Some(vec![5])),
        Err(RasterError::NoSuchBand { found: 5, .. })
    ));
    assert!(matches!(
        chosen(Some(vec![1, 2])),
        Err(RasterError::BandCount { found: 2, .. })
    ));
}

#[test]
fn an_image_without_a_place_is_refused_with_the_way_to_give_one() {
    let bench = Bench::new();
    let mut recipe = Recipe::gauss_kruger([360, 180], 3);
    (recipe.crs, recipe.geo_transform) = (None, None);
    let file = recipe.write(&bench.file("world.tif"), ramp);
    let refusal = |options: &RasterOptions| bench.import(&file, options).err().unwrap().to_string();
    let message = refusal(&RasterOptions::default());
    assert!(message.contains("--crs"), "{message}");
    let mut options = RasterOptions {
        crs: Some(Crs::from_user("EPSG:4326").unwrap()),
        ..RasterOptions::default()
    };
    let message = refusal(&options);
    assert!(message.contains("--bounds"), "{message}");
    options.bounds = Some([-180.0, 90.0, 180.0, -90.0]);
    assert!(refusal(&options).contains("W < E"));
    assert!(
        bench.store.names().unwrap().is_empty(),
        "nothing was published"
    );

    options.bounds = Some([-180.0, -90.0, 180.0, 90.0]);
    let snapshot = bench.import(&file, &options).unwrap();
    assert_eq!(
        snapshot.manifest.bounds_lonlat,
        Bbox::new(-180.0, -90.0, 180.0, 90.0)
    );
    let world = picture(
        &snapshot,
        &mercator_grid(256),
        TileCoord { z: 0, x: 0, y: 0 },
    );
    assert!(
        world.pixels().all(|pixel| pixel[3] == 255),
        "the world tile is full"
    );
}

#[test]
fn a_place_outside_of_the_area_of_the_reference_system_is_refused() {
    let bench = Bench::new();
    let mut recipe = Recipe::gauss_kruger([64, 64], 1);
    // The coordinates of Wuhan, declared as Swiss.
    recipe.crs = Some("EPSG:2056");
    recipe.geo_transform = Some([530_000.0, 2.0, 0.0, 3_380_000.0, 0.0, -2.0]);
    let file = recipe.write(&bench.file("wrong.tif"), ramp);
    let error = bench
        .import(&file, &RasterOptions::default())
        .err()
        .unwrap();
    assert!(
        matches!(error, ImageImportError::OutsideArea { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("EPSG:2056"), "{error}");
    let right = RasterOptions {
        crs: Some(Crs::from_user("4508").unwrap()),
        ..RasterOptions::default()
    };
    assert!(bench.import(&file, &right).is_ok());

    // The zone's number is missing from the eastings.
    recipe.crs = Some("EPSG:4527");
    let file = recipe.write(&bench.file("zone.tif"), ramp);
    let error = bench
        .import(&file, &RasterOptions::default())
        .err()
        .unwrap();
    assert!(
        matches!(error, ImageImportError::Disagrees { .. }),
        "{error}"
    );
}

#[test]
fn damaged_and_foreign_files_leave_the_old_image() {
    let bench = Bench::new();
    let good = Recipe::gauss_kruger([600, 600], 3).write(&bench.file("good.tif"), |b, c, r| {
        ((c * 31 + r * 17 + b) % 253) as u8
    });
    let before = bench.imported(&good).generation.clone();
    let whole = std::fs::read(&good).unwrap();
    let cut = bench.file("cut.tif");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let text = bench.file("text.tif");
    std::fs::write(&text, "not an image").unwrap();
    for file in [&cut, &text, &bench.file("missing.tif")] {
        let error = bench.import(file, &RasterOptions::default()).err().unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        assert!(error.to_string().contains(&name), "{error}");
    }
    let after = bench.store.snapshot("image").unwrap().unwrap();
    assert_eq!(after.generation, before);
    let layer = bench.store.root().join("layers/image");
    assert_eq!(
        std::fs::read_dir(layer).unwrap().count(),
        1,
        "no half generation is left"
    );
}

#[test]
fn a_damaged_store_file_is_an_error_and_never_a_crash() {
    let bench = Bench::new();
    let file = Recipe::gauss_kruger([300, 300], 3).write(&bench.file("rgb.tif"), |b, c, r| {
        ((c * 31 + r * 17 + b) % 253) as u8
    });
    let whole = std::fs::read(bench.imported(&file).dir().join(IMAGE_FILE)).unwrap();
    let path = bench.file("flipped.tif");
    let mut seed = 42u64;
    let mut refused = 0;
    for round in 0..1500 {
        let mut bytes = whole.clone();
        for _ in 0..1 + round % 4 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Most flips go to the directories, where the structure is.
            let reach = if round % 3 == 0 {
                bytes.len()
            } else {
                bytes.len().min(1600)
            };
            let at = (seed >> 33) as usize % reach;
            bytes[at] ^= 1 << (seed & 7);
        }
        if round % 50 == 0 {
            bytes.truncate((seed >> 20) as usize % whole.len());
        }
        std::fs::write(&path, &bytes).unwrap();
        let Ok(cog) = Cog::open(&path) else {
            refused += 1;
            continue;
        };
        for (index, level) in cog.levels().iter().enumerate() {
            let [columns, rows] = level.blocks();
            for (column, row) in [(0, 0), (columns - 1, rows - 1), (columns, rows)] {
                refused += usize::from(cog.block(index, column, row).is_err());
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn the_same_image_twice_gives_the_same_bytes() {
    let bench = Bench::new();
    let file = Recipe::gauss_kruger([900, 700], 3).write(&bench.file("rgb.tif"), ramp);
    let first = bench.imported(&file).manifest.files.clone();
    let second = bench.imported(&file).manifest.files.clone();
    assert_eq!(first, second);
}

#[test]
fn requests_beside_the_image_and_beyond_the_budget_get_clear_answers() {
    let bench = Bench::new();
    let file = Recipe::gauss_kruger([300, 300], 3).write(&bench.file("rgb.tif"), ramp);
    let snapshot = bench.imported(&file);
    let grid = mercator_grid(256);
    let far = TileCoord { z: 10, x: 0, y: 0 };
    for format in ImageFormat::ALL {
        let blank = tile(&snapshot, &grid, far, format);
        assert!(blank.empty);
        let decoded: DynamicImage = image::load_from_memory(&blank.bytes).unwrap();
        assert_eq!([decoded.width(), decoded.height()], [256, 256]);
        let (_, info) = snapshot.image().unwrap();
        let at = tiles(&snapshot, &grid, info.maxzoom)[0];
        let full = tile(&snapshot, &grid, at, format);
        assert!(!full.empty);
        image::load_from_memory(&full.bytes).unwrap();
    }
    let mut request = ImageRequest {
        grid: &grid,
        tile: far,
        scale: 2,
        format: ImageFormat::Png,
    };
    let double = image_tile(&snapshot, &request, &Budget::unlimited()).unwrap();
    assert_eq!(image::load_from_memory(&double.bytes).unwrap().width(), 512);
    request.tile.z = 99;
    let error = image_tile(&snapshot, &request, &Budget::unlimited()).unwrap_err();
    assert!(matches!(error, RenderError::Grid(_)), "{error}");
    request.tile.z = 10;
    let gone = Budget::unlimited();
    gone.cancel_flag().store(true, Ordering::Relaxed);
    let error = image_tile(&snapshot, &request, &gone).unwrap_err();
    assert!(
        matches!(error, RenderError::Stopped(Stop::Cancelled)),
        "{error}"
    );
}
