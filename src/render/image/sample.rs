//! Samples of a level at the places of a picture's pixels.

use std::sync::Arc;

use super::blocks::ColorBlock;
use super::placement::{Area, Placement};
use super::{Pixel, RenderError};
use crate::format::cog::Level;

/// How a value between pixels is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// For classes, which have no in-between.
    Nearest,
    Bilinear,
}

/// The pixels of a level that a picture needs, in one piece.
pub struct Mosaic {
    area: Area,
    width: usize,
    /// As `u32` in memory order of [`Pixel`], so that two channels can be weighed at once.
    pixels: Vec<u32>,
    height: usize,
    level_size_px: [u32; 2],
}

impl Mosaic {
    /// `area` lies within the level.
    pub fn gather(
        level: &Level,
        area: Area,
        load: impl Fn(u32, u32) -> Result<Arc<ColorBlock>, RenderError>,
    ) -> Result<Mosaic, RenderError> {
        let [block_w, block_h] = level.block_size_px().map(i64::from);
        let width = (area.x1 - area.x0) as usize;
        let height = (area.y1 - area.y0) as usize;
        let mut pixels = vec![0u32; width * height];
        for row in area.y0 / block_h..=(area.y1 - 1) / block_h {
            for column in area.x0 / block_w..=(area.x1 - 1) / block_w {
                let block = load(column as u32, row as u32)?;
                if block.pixels.is_empty() {
                    continue;
                }
                let x0 = area.x0.max(column * block_w);
                let x1 = area.x1.min((column + 1) * block_w);
                let y0 = area.y0.max(row * block_h);
                let y1 = area.y1.min((row + 1) * block_h);
                let count = (x1 - x0) as usize;
                for y in y0..y1 {
                    let from = ((y - row * block_h) * block_w + x0 - column * block_w) as usize;
                    let to = (y - area.y0) as usize * width + (x0 - area.x0) as usize;
                    let source = &block.pixels[from..from + count];
                    for (target, pixel) in pixels[to..to + count].iter_mut().zip(source) {
                        *target = u32::from_ne_bytes(*pixel);
                    }
                }
            }
        }
        Ok(Mosaic {
            area,
            width,
            pixels,
            height,
            level_size_px: [level.width_px(), level.height_px()],
        })
    }
}

/// Places in a level as whole numbers: this many steps to a pixel. A run of sixteen pixels loses
/// less than a thousandth of a pixel by it.
const ONE: i64 = 1 << 16;

/// Fills the pixels of the picture that lie within the image.
pub fn draw(
    mosaic: &Mosaic,
    placement: &Placement,
    level_scale: [f64; 2],
    rule: Rule,
    stride_px: u32,
    canvas: &mut [Pixel],
) {
    let fixed = |axis: usize, place: f64| (place * level_scale[axis] * ONE as f64) as i64;
    placement.runs(|x, y, count, place, per_px| {
        let start = y as usize * stride_px as usize + x as usize;
        let row = &mut canvas[start..start + count as usize];
        let first = [0, 1].map(|axis| fixed(axis, place[axis]));
        let step = [0, 1].map(|axis| fixed(axis, per_px[axis]));
        match rule {
            Rule::Nearest => mosaic.fill(row, first, step, |u, v| mosaic.nearest(u, v)),
            Rule::Bilinear => mosaic.fill(row, first, step, |u, v| mosaic.bilinear(u, v)),
        }
    });
}

impl Mosaic {
    /// Samples along a line, leaving out what lies beyond the image.
    #[inline]
    fn fill(
        &self,
        row: &mut [Pixel],
        first: [i64; 2],
        step: [i64; 2],
        sample: impl Fn(i64, i64) -> u32,
    ) {
        let [width, height] = self.level_size_px.map(|size| i64::from(size) * ONE);
        let [mut u, mut v] = first;
        for target in row {
            if u >= 0 && v >= 0 && u < width && v < height {
                *target = sample(u, v).to_ne_bytes();
            }
            u += step[0];
            v += step[1];
        }
    }

    #[inline]
    fn nearest(&self, u: i64, v: i64) -> u32 {
        let x = ((u / ONE - self.area.x0).max(0) as usize).min(self.width - 1);
        let y = ((v / ONE - self.area.y0).max(0) as usize).min(self.height - 1);
        self.pixels[y * self.width + x]
    }

    /// The mean of the four pixels around a place, weighed by distance in steps of 1/256. At the
    /// edge of the image the outermost pixel counts for what would lie beyond.
    #[inline]
    fn bilinear(&self, u: i64, v: i64) -> u32 {
        // In 1/256 of a pixel, relative to the centre of the mosaic's first pixel.
        let to_256 = |place: i64, origin: i64| (place - ONE / 2 + ONE / 512 - origin * ONE) >> 8;
        let (x0, weight_x) = split(to_256(u, self.area.x0), self.width);
        let (y0, weight_y) = split(to_256(v, self.area.y0), self.height);
        let x1 = (x0 + 1).min(self.width - 1);
        let y1 = (y0 + 1).min(self.height - 1);
        let above = &self.pixels[y0 * self.width..][..self.width];
        let below = &self.pixels[y1 * self.width..][..self.width];
        let top = mix(above[x0], above[x1], weight_x);
        let bottom = mix(below[x0], below[x1], weight_x);
        mix(top, bottom, weight_y)
    }
}

/// Index and weight of the next, clamped to an axis of `size` pixels.
#[inline]
fn split(fixed: i64, size: usize) -> (usize, u32) {
    let last = size - 1;
    let index = fixed >> 8;
    if index < 0 {
        (0, 0)
    } else if index as usize >= last {
        (last, 0)
    } else {
        (index as usize, (fixed & 0xff) as u32)
    }
}

/// `a` and `b` weighed 256 - `weight` to `weight`, two channels in each multiplication: 8 bits of
/// value times 9 bits of weight fit the 16 bits a channel has there.
#[inline]
fn mix(a: u32, b: u32, weight: u32) -> u32 {
    const EVEN: u32 = 0x00ff_00ff;
    const HALF: u32 = 0x0080_0080;
    let rest = 256 - weight;
    let even = ((a & EVEN) * rest + (b & EVEN) * weight + HALF) >> 8 & EVEN;
    let odd = (((a >> 8) & EVEN) * rest + ((b >> 8) & EVEN) * weight + HALF) & !EVEN;
    even | odd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weighing_keeps_equal_colors_and_ends() {
        for color in [0u32, 0xffff_ffff, 0x01fe_80c3] {
            for weight in 0..=255 {
                assert_eq!(mix(color, color, weight), color);
            }
        }
        assert_eq!(mix(0x1122_3344, 0xffff_ffff, 0), 0x1122_3344);
        assert_eq!(mix(0, 0x6464_6464, 128), 0x3232_3232);
    }
}
