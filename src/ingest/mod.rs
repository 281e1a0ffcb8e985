//! From foreign data to a published generation.

pub mod raster;
