//! Pictures of layers.

pub mod image;

use crate::format::FormatError;
use crate::model::GridError;
use crate::query::Stop;
use crate::store::StoreError;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error("layer {layer} holds no image (该图层不是影像)")]
    NotAnImage { layer: String },
    #[error(transparent)]
    Grid(#[from] GridError),
    #[error(transparent)]
    Stopped(#[from] Stop),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("a {width_px} by {height_px} px picture could not be encoded: {source}")]
    Encode {
        width_px: u32,
        height_px: u32,
        source: ::image::ImageError,
    },
}
