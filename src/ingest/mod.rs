//! From foreign data to a published generation.

pub mod check;
pub mod raster;
