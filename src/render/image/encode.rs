//! Pictures as PNG, JPEG or WebP.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::{ImageTile, Pixel, RenderError};
use crate::format::jpeg;

/// The formats of image tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageFormat {
    Png,
    Jpeg,
    /// Lossless.
    Webp,
}

impl ImageFormat {
    pub const ALL: [ImageFormat; 3] = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Webp];

    /// From the ending of a file name.
    pub fn from_extension(extension: &str) -> Option<ImageFormat> {
        match extension {
            "png" => Some(ImageFormat::Png),
            "jpg" | "jpeg" => Some(ImageFormat::Jpeg),
            "webp" => Some(ImageFormat::Webp),
            _ => None,
        }
    }

    pub fn extension(self) -> &'static str {
        match self {
            ImageFormat::Png => "png",
            ImageFormat::Jpeg => "jpg",
            ImageFormat::Webp => "webp",
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            ImageFormat::Png => "image/png",
            ImageFormat::Jpeg => "image/jpeg",
            ImageFormat::Webp => "image/webp",
        }
    }
}

const JPEG_QUALITY: u8 = 80;

/// Encodes a canvas with premultiplied opacity.
pub fn encode(
    mut canvas: Vec<Pixel>,
    size_px: [u32; 2],
    format: ImageFormat,
) -> Result<ImageTile, RenderError> {
    let empty = canvas.iter().all(|pixel| pixel[3] == 0);
    let opaque = !empty && canvas.iter().all(|pixel| pixel[3] == 255);
    let [width_px, height_px] = size_px;
    let written = match format {
        ImageFormat::Jpeg => {
            if !opaque {
                lay_on_white(&mut canvas);
            }
            let side = |size: u32| u16::try_from(size).expect("a tile has at most 65 535 px");
            let bytes = jpeg::encode(&canvas, side(width_px), side(height_px), JPEG_QUALITY);
            return Ok(ImageTile { bytes, empty });
        }
        ImageFormat::Png | ImageFormat::Webp => {
            let (pixels, color) = if opaque {
                (without_opacity(&canvas), ExtendedColorType::Rgb8)
            } else {
                unpremultiply(&mut canvas);
                (canvas.into_flattened(), ExtendedColorType::Rgba8)
            };
            lossless(&pixels, size_px, color, format)
        }
    };
    let bytes = written.map_err(|source| RenderError::Encode {
        width_px,
        height_px,
        source,
    })?;
    Ok(ImageTile { bytes, empty })
}

fn lossless(
    pixels: &[u8],
    [width_px, height_px]: [u32; 2],
    color: ExtendedColorType,
    format: ImageFormat,
) -> image::ImageResult<Vec<u8>> {
    let mut bytes = Vec::with_capacity(pixels.len() / 4);
    match format {
        ImageFormat::Webp => {
            WebPEncoder::new_lossless(&mut bytes).write_image(pixels, width_px, height_px, color)?
        }
        ImageFormat::Png | ImageFormat::Jpeg => {
            PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
                .write_image(pixels, width_px, height_px, color)?;
        }
    }
    Ok(bytes)
}

fn lay_on_white(canvas: &mut [Pixel]) {
    for [red, green, blue, opacity] in canvas {
        let white = 255 - *opacity;
        // Premultiplied, so the sums pass 255 by rounding at most.
        for channel in [red, green, blue] {
            *channel = channel.saturating_add(white);
        }
        *opacity = 255;
    }
}

fn without_opacity(canvas: &[Pixel]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(canvas.len() * 3);
    for [red, green, blue, _] in canvas {
        rgb.extend([red, green, blue]);
    }
    rgb
}

fn unpremultiply(canvas: &mut [Pixel]) {
    for pixel in canvas {
        let opacity = u16::from(pixel[3]);
        if opacity == 0 || opacity == 255 {
            continue;
        }
        for channel in &mut pixel[..3] {
            *channel = ((u16::from(*channel) * 255 + opacity / 2) / opacity).min(255) as u8;
        }
    }
}
