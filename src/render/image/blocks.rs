//! Blocks of an image as colours, decoded once and shared by all requests.

use std::sync::{Arc, LazyLock};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::super::RenderError;
use super::Pixel;
use crate::format::cog::{Block, Cog, Samples};
use crate::model::RasterInfo;

/// A block with the layer's display rules applied: stretch, palette, mask, "no data".
pub struct ColorBlock {
    /// Row by row; empty when nothing in the block has a value.
    pub pixels: Vec<Pixel>,
}

/// Opening of the file, level, column, row.
type Key = (u64, usize, u32, u32);

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Arc<ColorBlock>> for ByBytes {
    fn weight(&self, _: &Key, block: &Arc<ColorBlock>) -> u64 {
        (block.pixels.len() * size_of::<Pixel>()) as u64 + 128
    }
}

/// Decoded blocks of all layers together: one bound for the process, so that a thousand layers
/// need no more than one.
static DECODED: LazyLock<Cache<Key, Arc<ColorBlock>, ByBytes>> = LazyLock::new(|| {
    const MOST_BYTES: u64 = 256 << 20;
    const BLOCK_BYTES: u64 = 256 * 256 * 4;
    Cache::with_weighter((MOST_BYTES / BLOCK_BYTES) as usize, MOST_BYTES, ByBytes)
});

/// A block of a level, from the cache or decoded now (once, however many ask for it).
pub fn block(
    image: &Cog,
    info: &RasterInfo,
    level: usize,
    column: u32,
    row: u32,
) -> Result<Arc<ColorBlock>, RenderError> {
    DECODED.get_or_insert_with(&(image.id(), level, column, row), || {
        let pixels = match image.block(level, column, row)? {
            Some(block) => colors(&block, image, info),
            None => Vec::new(),
        };
        Ok(Arc::new(ColorBlock { pixels }))
    })
}

fn colors(block: &Block, image: &Cog, info: &RasterInfo) -> Vec<Pixel> {
    let mut pixels = match &block.samples {
        Samples::U8(samples) => match image.palette() {
            Some(palette) => palette_colors(samples, block.bands, palette, info),
            None => byte_colors(samples, block.bands, info),
        },
        Samples::U16(samples) => stretched(samples, block.bands, info, |v| f64::from(*v)),
        Samples::I16(samples) => stretched(samples, block.bands, info, |v| f64::from(*v)),
        Samples::U32(samples) => stretched(samples, block.bands, info, |v| f64::from(*v)),
        Samples::I32(samples) => stretched(samples, block.bands, info, |v| f64::from(*v)),
        Samples::F32(samples) => {
            // The manifest has the value as text had it; the samples have it rounded to 32 bit.
            let mut rounded = info.clone();
            rounded.nodata = info.nodata.map(|value| f64::from(value as f32));
            stretched(samples, block.bands, &rounded, |v| f64::from(*v))
        }
        Samples::F64(samples) => stretched(samples, block.bands, info, |v| *v),
    };
    if let Some(band) = info.alpha_band {
        let band = (band as usize).clamp(1, block.bands);
        apply_alpha(&mut pixels, block, band - 1);
    }
    if let Some(valid) = &block.valid {
        for (pixel, valid) in pixels.iter_mut().zip(valid) {
            if !valid {
                *pixel = [0; 4];
            }
        }
    }
    if pixels.iter().all(|pixel| pixel[3] == 0) {
        return Vec::new();
    }
    pixels
}

fn palette_colors(
    samples: &[u8],
    bands: usize,
    palette: &[[u8; 3]],
    info: &RasterInfo,
) -> Vec<Pixel> {
    let band = shown(info, bands)[0];
    let mut table = [[0; 4]; 256];
    for (value, color) in table.iter_mut().enumerate() {
        let is_nodata = info.nodata == Some(value as f64);
        if let Some([red, green, blue]) = palette.get(value).filter(|_| !is_nodata) {
            *color = [*red, *green, *blue, 255];
        }
    }
    samples
        .chunks_exact(bands)
        .map(|pixel| table[pixel[band] as usize])
        .collect()
}

/// Bytes have few values: the stretch is a table per band.
fn byte_colors(samples: &[u8], bands: usize, info: &RasterInfo) -> Vec<Pixel> {
    let shown = shown(info, bands);
    let tables: [[u8; 256]; 3] = [0, 1, 2].map(|channel| {
        let range = range(info, channel);
        std::array::from_fn(|value| stretch(value as f64, range))
    });
    let nodata = info
        .nodata
        .filter(|value| (0.0..=255.0).contains(value) && value.fract() == 0.0)
        .map(|value| value as u8);
    samples
        .chunks_exact(bands)
        .map(|pixel| {
            let [red, green, blue] = shown.map(|band| pixel[band]);
            if nodata.is_some_and(|nodata| [red, green, blue] == [nodata; 3]) {
                return [0; 4];
            }
            [
                tables[0][red as usize],
                tables[1][green as usize],
                tables[2][blue as usize],
                255,
            ]
        })
        .collect()
}

fn stretched<T>(
    samples: &[T],
    bands: usize,
    info: &RasterInfo,
    value: impl Fn(&T) -> f64,
) -> Vec<Pixel> {
    let shown = shown(info, bands);
    let ranges = [0, 1, 2].map(|channel| range(info, channel));
    samples
        .chunks_exact(bands)
        .map(|pixel| {
            let values = shown.map(|band| value(&pixel[band]));
            let missing = values.iter().any(|value| value.is_nan())
                || info
                    .nodata
                    .is_some_and(|nodata| values.iter().all(|value| *value == nodata));
            if missing {
                return [0; 4];
            }
            let [red, green, blue] = [0, 1, 2].map(|i| stretch(values[i], ranges[i]));
            [red, green, blue, 255]
        })
        .collect()
}

fn stretch(value: f64, [low, high]: [f64; 2]) -> u8 {
    ((value - low) / (high - low) * 255.0)
        .round()
        .clamp(0.0, 255.0) as u8
}

/// The bands (from 0) shown as red, green and blue; grey is one band three times.
fn shown(info: &RasterInfo, bands: usize) -> [usize; 3] {
    [0, 1, 2].map(|channel| {
        let chosen = info
            .display_bands
            .get(channel)
            .or(info.display_bands.first());
        let band = chosen.map_or(0, |band| (*band as usize).saturating_sub(1));
        band.min(bands - 1)
    })
}

fn range(info: &RasterInfo, channel: usize) -> [f64; 2] {
    let chosen = info
        .display_ranges
        .get(channel)
        .or(info.display_ranges.first());
    chosen.copied().unwrap_or([0.0, 255.0])
}

fn apply_alpha(pixels: &mut [Pixel], block: &Block, band: usize) {
    for (index, pixel) in pixels.iter_mut().enumerate() {
        let at = index * block.bands + band;
        let opacity = match &block.samples {
            Samples::U8(samples) => samples[at],
            Samples::U16(samples) => (samples[at] >> 8) as u8,
            Samples::I16(samples) => opaque_if(samples[at] != 0),
            Samples::U32(samples) => opaque_if(samples[at] != 0),
            Samples::I32(samples) => opaque_if(samples[at] != 0),
            Samples::F32(samples) => opaque_if(samples[at] != 0.0),
            Samples::F64(samples) => opaque_if(samples[at] != 0.0),
        };
        let opacity = opacity.min(pixel[3]);
        if opacity < 255 {
            let weigh = |value: u8| ((u16::from(value) * u16::from(opacity) + 127) / 255) as u8;
            *pixel = [weigh(pixel[0]), weigh(pixel[1]), weigh(pixel[2]), opacity];
        }
    }
}

fn opaque_if(condition: bool) -> u8 {
    if condition { 255 } else { 0 }
}
