//! Blocks: decompression, predictors, validity bits.

use std::borrow::Cow;
use std::io::Cursor;

use image::ImageDecoder;
use image::codecs::jpeg::JpegDecoder;

use super::directory::{Compression, Directory, Predictor, SampleType};

/// A decompressed block, padded to full size.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    pub size_px: [u32; 2],
    pub bands: usize,
    /// Row by row, all bands of a pixel together.
    pub samples: Samples,
    /// Per pixel, where the image has a mask: true when the pixel means something.
    pub valid: Option<Vec<bool>>,
}

/// Sample values in the type of the file.
#[derive(Debug, Clone, PartialEq)]
pub enum Samples {
    U8(Vec<u8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Directory {
    fn pixels(&self) -> usize {
        self.block_px[0] as usize * self.block_px[1] as usize
    }

    pub(super) fn samples(
        &self,
        bytes: &[u8],
        column: u32,
        row: u32,
    ) -> Result<Option<Samples>, String> {
        let Some(stored) = self.stored(bytes, column, row)? else {
            return Ok(None);
        };
        let length = self.pixels() * self.samples_per_px * self.sample.bytes();
        let mut raw = self.decompress(stored, length)?;
        let row_samples = self.block_px[0] as usize * self.samples_per_px;
        match self.predictor {
            Predictor::None => {}
            Predictor::Horizontal => {
                undo_differences(&mut raw, row_samples, self.samples_per_px, self.sample);
            }
            Predictor::FloatingPoint => {
                undo_float_planes(&mut raw, row_samples, self.samples_per_px, self.sample);
            }
        }
        Ok(Some(match self.sample {
            SampleType::Bit => return Err("an image of single bits".into()),
            SampleType::U8 => Samples::U8(raw.into_owned()),
            SampleType::U16 => Samples::U16(numbers(&raw, u16::from_le_bytes)),
            SampleType::I16 => Samples::I16(numbers(&raw, i16::from_le_bytes)),
            SampleType::U32 => Samples::U32(numbers(&raw, u32::from_le_bytes)),
            SampleType::I32 => Samples::I32(numbers(&raw, i32::from_le_bytes)),
            SampleType::F32 => Samples::F32(numbers(&raw, f32::from_le_bytes)),
            SampleType::F64 => Samples::F64(numbers(&raw, f64::from_le_bytes)),
        }))
    }

    /// One flag per pixel; a block that is left out has no valid pixel.
    pub(super) fn validity(
        &self,
        bytes: &[u8],
        column: u32,
        row: u32,
    ) -> Result<Vec<bool>, String> {
        let Some(stored) = self.stored(bytes, column, row)? else {
            return Ok(vec![false; self.pixels()]);
        };
        let width = self.block_px[0] as usize;
        match (self.sample, self.samples_per_px) {
            (SampleType::Bit, 1) => {
                let row_bytes = width.div_ceil(8);
                let raw = self.decompress(stored, row_bytes * self.block_px[1] as usize)?;
                Ok(raw
                    .chunks_exact(row_bytes)
                    .flat_map(|row| (0..width).map(|x| row[x / 8] & (0x80 >> (x % 8)) != 0))
                    .collect())
            }
            (SampleType::U8, 1) => {
                let raw = self.decompress(stored, self.pixels())?;
                Ok(raw.iter().map(|value| *value != 0).collect())
            }
            (other, bands) => Err(format!("a mask of {bands} bands of {other:?}")),
        }
    }

    fn decompress<'a>(&self, stored: &'a [u8], length: usize) -> Result<Cow<'a, [u8]>, String> {
        let whole = |raw: Cow<'a, [u8]>| {
            if raw.len() == length {
                Ok(raw)
            } else {
                Err(format!("{} bytes, expected {length}", raw.len()))
            }
        };
        match self.compression {
            Compression::Plain => whole(Cow::Borrowed(stored)),
            Compression::Zstd => {
                let raw = zstd::bulk::decompress(stored, length).map_err(|e| e.to_string())?;
                whole(Cow::Owned(raw))
            }
            Compression::Deflate => {
                let mut raw = vec![0; length];
                let written = libdeflater::Decompressor::new()
                    .zlib_decompress(stored, &mut raw)
                    .map_err(|e| e.to_string())?;
                raw.truncate(written);
                whole(Cow::Owned(raw))
            }
            Compression::Jpeg => whole(Cow::Owned(self.decode_jpeg(stored, length)?)),
        }
    }

    fn decode_jpeg(&self, stored: &[u8], length: usize) -> Result<Vec<u8>, String> {
        const MARKER_BYTES: usize = 2;
        // Tables and block are two streams, each with a start and an end marker: one stream is
        // the tables without their end and the block without its start.
        let tables = match self.jpeg_tables.len() {
            0 => &[],
            n => &self.jpeg_tables[..n.saturating_sub(MARKER_BYTES)],
        };
        let body = if tables.is_empty() {
            stored
        } else {
            stored.get(MARKER_BYTES..).unwrap_or(&[])
        };
        let stream = [tables, body].concat();
        let decoder = JpegDecoder::new(Cursor::new(&stream)).map_err(|e| e.to_string())?;
        let (width, height) = decoder.dimensions();
        if [width, height] != self.block_px || decoder.total_bytes() != length as u64 {
            return Err(format!(
                "a JPEG of {width} by {height} px in {:?}, expected {:?} px of {} bands",
                decoder.color_type(),
                self.block_px,
                self.samples_per_px
            ));
        }
        let mut raw = vec![0; length];
        decoder.read_image(&mut raw).map_err(|e| e.to_string())?;
        Ok(raw)
    }
}

fn numbers<const N: usize, T>(raw: &[u8], from_le: fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, _) = raw.as_chunks::<N>();
    chunks.iter().map(|chunk| from_le(*chunk)).collect()
}

/// Predictor 2: each sample was stored as the difference to the one of the pixel before.
fn undo_differences(raw: &mut Cow<'_, [u8]>, row_samples: usize, bands: usize, sample: SampleType) {
    let row_bytes = row_samples * sample.bytes();
    for row in raw.to_mut().chunks_exact_mut(row_bytes) {
        match sample {
            SampleType::Bit => {}
            SampleType::U8 => match bands {
                // The bands known at compile time let the sums stay in registers.
                1 => sum_bytes::<1>(row),
                3 => sum_bytes::<3>(row),
                4 => sum_bytes::<4>(row),
                _ => {
                    for at in bands..row.len() {
                        row[at] = row[at].wrapping_add(row[at - bands]);
                    }
                }
            },
            SampleType::U16 | SampleType::I16 => {
                sum_words::<2>(row, bands, |a, b| {
                    u16::from_le_bytes(a)
                        .wrapping_add(u16::from_le_bytes(b))
                        .to_le_bytes()
                });
            }
            SampleType::U32 | SampleType::I32 | SampleType::F32 => {
                sum_words::<4>(row, bands, |a, b| {
                    u32::from_le_bytes(a)
                        .wrapping_add(u32::from_le_bytes(b))
                        .to_le_bytes()
                });
            }
            SampleType::F64 => {
                sum_words::<8>(row, bands, |a, b| {
                    u64::from_le_bytes(a)
                        .wrapping_add(u64::from_le_bytes(b))
                        .to_le_bytes()
                });
            }
        }
    }
}

fn sum_bytes<const BANDS: usize>(row: &mut [u8]) {
    let mut sums = [0u8; BANDS];
    for pixel in row.as_chunks_mut::<BANDS>().0 {
        for (sum, value) in sums.iter_mut().zip(pixel) {
            *sum = sum.wrapping_add(*value);
            *value = *sum;
        }
    }
}

fn sum_words<const N: usize>(row: &mut [u8], bands: usize, add: fn([u8; N], [u8; N]) -> [u8; N]) {
    let words = row.as_chunks_mut::<N>().0;
    for at in bands..words.len() {
        words[at] = add(words[at], words[at - bands]);
    }
}

/// Predictor 3 (Adobe Photoshop TIFF Technical Note 3): the bytes of a row's numbers in planes,
/// most significant first, each byte stored as the difference to the one `bands` before.
fn undo_float_planes(
    raw: &mut Cow<'_, [u8]>,
    row_samples: usize,
    bands: usize,
    sample: SampleType,
) {
    let bytes_each = sample.bytes();
    let mut planes = vec![0u8; row_samples * bytes_each];
    for row in raw.to_mut().chunks_exact_mut(row_samples * bytes_each) {
        for at in bands..row.len() {
            row[at] = row[at].wrapping_add(row[at - bands]);
        }
        planes.copy_from_slice(row);
        for (index, number) in row.chunks_exact_mut(bytes_each).enumerate() {
            for (byte, value) in number.iter_mut().enumerate() {
                *value = planes[(bytes_each - 1 - byte) * row_samples + index];
            }
        }
    }
}
