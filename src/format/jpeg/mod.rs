//! Writes baseline JPEG: opaque pictures of some hundred pixels, many per second.
//!
//! 1. colours to luma and two chroma planes of half the size  2. cosine transform of 8 × 8 blocks,
//!    eight columns at a time  3. quantisation  4. Huffman codes with the tables of the standard
//!
//! Formulas: ITU-T T.81 (JPEG), T.871 (JFIF colours); fast cosine transform of Arai, Agui and
//! Nakajima (1988). A reader there is none; `image` has one.

mod entropy;
mod tables;
mod transform;

use entropy::Writer;
use tables::{Component, Tables};

/// Encodes a picture; `quality` is the usual 1 to 100. Opacity is ignored.
///
/// Panics unless `pixels` holds `width_px` times `height_px` pixels, of which a JPEG may have
/// 65 535 per side.
pub fn encode(pixels: &[[u8; 4]], width_px: u16, height_px: u16, quality: u8) -> Vec<u8> {
    let (width, height) = (usize::from(width_px), usize::from(height_px));
    assert_eq!(pixels.len(), width * height, "one pixel for each place");
    let tables = Tables::for_quality(quality);
    let mut out = Vec::with_capacity(pixels.len() / 4 + 1024);
    tables.write_header(&mut out, width_px, height_px);
    let mut writer = Writer::new(&mut out);
    let mut strip = Strip::new(width);
    let mut last_dc = [0; 3];
    for top in (0..height).step_by(MCU_PX) {
        strip.fill(pixels, width, height, top);
        for left in (0..strip.width).step_by(MCU_PX) {
            for (dx, dy) in [(0, 0), (8, 0), (0, 8), (8, 8)] {
                let block = strip.luma.block(strip.width, left + dx, dy);
                let levels = tables.quantise(Component::Luma, block);
                writer.block(&levels, &mut last_dc[0], &tables.luma_codes);
            }
            for (channel, plane) in [&strip.blue, &strip.red].into_iter().enumerate() {
                let block = plane.block(strip.width / 2, left / 2, 0);
                let levels = tables.quantise(Component::Chroma, block);
                writer.block(&levels, &mut last_dc[channel + 1], &tables.chroma_codes);
            }
        }
    }
    writer.finish();
    out.extend([0xff, 0xd9]);
    out
}

/// Pixels per side of the unit that holds whole blocks of every component.
const MCU_PX: usize = 16;

/// Sixteen rows of a picture as planes, centred on zero; what lies beyond the picture repeats its
/// last pixels.
struct Strip {
    /// A multiple of sixteen.
    width: usize,
    luma: Plane,
    blue: Plane,
    red: Plane,
    /// Chroma in full resolution, before it is averaged.
    blue_full: Vec<f32>,
    red_full: Vec<f32>,
}

struct Plane(Vec<f32>);

impl Plane {
    fn block(&self, stride: usize, left: usize, top: usize) -> [[f32; 8]; 8] {
        std::array::from_fn(|row| {
            let start = (top + row) * stride + left;
            std::array::from_fn(|column| self.0[start + column])
        })
    }
}

impl Strip {
    fn new(picture_width: usize) -> Strip {
        let width = picture_width.next_multiple_of(MCU_PX);
        let full = width * MCU_PX;
        Strip {
            width,
            luma: Plane(vec![0.0; full]),
            blue: Plane(vec![0.0; full / 4]),
            red: Plane(vec![0.0; full / 4]),
            blue_full: vec![0.0; full],
            red_full: vec![0.0; full],
        }
    }

    fn fill(&mut self, pixels: &[[u8; 4]], width: usize, height: usize, top: usize) {
        for row in 0..MCU_PX {
            let y = (top + row).min(height - 1);
            let source = &pixels[y * width..(y + 1) * width];
            let start = row * self.width;
            let luma = &mut self.luma.0[start..start + self.width];
            let blue = &mut self.blue_full[start..start + self.width];
            let red = &mut self.red_full[start..start + self.width];
            for (((luma, blue), red), pixel) in luma.iter_mut().zip(blue).zip(red).zip(source) {
                let [r, g, b, _] = pixel.map(f32::from);
                *luma = 0.299 * r + 0.587 * g + 0.114 * b - 128.0;
                *blue = -0.168_735_9 * r - 0.331_264_1 * g + 0.5 * b;
                *red = 0.5 * r - 0.418_687_6 * g - 0.081_312_4 * b;
            }
            for plane in [&mut self.luma.0, &mut self.blue_full, &mut self.red_full] {
                let last = plane[start + width - 1];
                plane[start + width..start + self.width].fill(last);
            }
        }
        halve(&self.blue_full, self.width, &mut self.blue.0);
        halve(&self.red_full, self.width, &mut self.red.0);
    }
}

/// The mean of each 2 × 2 pixels.
fn halve(full: &[f32], width: usize, half: &mut [f32]) {
    let rows = full
        .chunks_exact(2 * width)
        .zip(half.chunks_exact_mut(width / 2));
    for (pair, out) in rows {
        let (above, below) = pair.split_at(width);
        let above = above.as_chunks::<2>().0;
        let below = below.as_chunks::<2>().0;
        for ((out, a), b) in out.iter_mut().zip(above).zip(below) {
            *out = (a[0] + a[1] + b[0] + b[1]) * 0.25;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(width: usize, height: usize) -> Vec<[u8; 4]> {
        (0..width * height)
            .map(|at| {
                let (x, y) = ((at % width) as f32, (at / width) as f32);
                let wave = (x / 9.0).sin() * (y / 13.0).cos() * 60.0;
                let edge = if (x + y) as usize % 67 < 30 {
                    40.0
                } else {
                    0.0
                };
                let value = 110.0 + wave + edge;
                [value as u8, (value * 0.8) as u8, (220.0 - value) as u8, 255]
            })
            .collect()
    }

    fn decoded(bytes: &[u8]) -> image::RgbImage {
        image::load_from_memory(bytes).unwrap().to_rgb8()
    }

    /// Mean squared difference of the channels.
    fn error(pixels: &[[u8; 4]], picture: &image::RgbImage) -> f64 {
        let squares: f64 = pixels
            .iter()
            .zip(picture.pixels())
            .flat_map(|(a, b)| (0..3).map(move |i| f64::from(a[i].abs_diff(b.0[i])).powi(2)))
            .sum();
        squares / (pixels.len() * 3) as f64
    }

    #[test]
    fn pictures_of_any_size_come_back_nearly_as_they_were() {
        for (width, height) in [(256, 256), (1, 1), (17, 9), (16, 33), (255, 512)] {
            let pixels = scene(width, height);
            let bytes = encode(&pixels, width as u16, height as u16, 90);
            let picture = decoded(&bytes);
            assert_eq!((width as u32, height as u32), picture.dimensions());
            let error = error(&pixels, &picture);
            assert!(error < 40.0, "{width} {height}: {error}");
        }
    }

    #[test]
    fn one_color_stays_that_color() {
        for color in [[0, 0, 0], [255, 255, 255], [255, 0, 0], [12, 200, 99]] {
            let [r, g, b] = color;
            let pixels = vec![[r, g, b, 255]; 64 * 64];
            let picture = decoded(&encode(&pixels, 64, 64, 80));
            for pixel in picture.pixels() {
                let close = pixel.0.iter().zip(color).all(|(a, b)| a.abs_diff(b) <= 4);
                assert!(close, "{pixel:?} {color:?}");
            }
        }
    }

    /// Mean squared difference of brightness, which the eye goes by.
    fn luma_error(pixels: &[[u8; 4]], picture: &image::RgbImage) -> f64 {
        let luma = |r: u8, g: u8, b: u8| {
            0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b)
        };
        let squares = pixels.iter().zip(picture.pixels()).map(|(a, b)| {
            let [r, g, b] = b.0;
            (luma(a[0], a[1], a[2]) - luma(r, g, b)).powi(2)
        });
        squares.sum::<f64>() / pixels.len() as f64
    }

    #[test]
    fn brightness_is_as_faithful_as_of_another_encoder_and_the_file_is_smaller() {
        let pixels = scene(256, 256);
        let rgb: Vec<u8> = pixels.iter().flat_map(|p| [p[0], p[1], p[2]]).collect();
        for quality in [30, 80, 95] {
            let ours = encode(&pixels, 256, 256, quality);
            let mut theirs = Vec::new();
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut theirs, quality)
                .encode(&rgb, 256, 256, image::ExtendedColorType::Rgb8)
                .unwrap();
            let our_error = luma_error(&pixels, &decoded(&ours));
            let their_error = luma_error(&pixels, &decoded(&theirs));
            assert!(
                our_error < their_error * 1.2 + 1.0,
                "{quality}: {our_error} {their_error}"
            );
            assert!(ours.len() < theirs.len(), "{} {}", ours.len(), theirs.len());
        }
    }

    #[test]
    fn noise_and_the_highest_quality_do_not_overflow_any_code() {
        let mut seed = 1u32;
        let pixels: Vec<[u8; 4]> = (0..128 * 128)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let bit = |shift: u32| 255 * (seed >> shift & 1) as u8;
                [bit(30), bit(29), bit(28), 255]
            })
            .collect();
        let bytes = encode(&pixels, 128, 128, 100);
        assert!(error(&pixels, &decoded(&bytes)).is_finite());
        assert!(bytes.len() > 10_000);
    }
}
