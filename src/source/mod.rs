//! What the user named, opened.

pub mod raster;
