//! Coordinate reference systems and fast transforms between them.
//!
//! 1. [`Crs`]: what a layer declares, as a plain value.
//! 2. [`Warp`]: a transform that is a pure function of the vertex and cheap enough for the tile
//!    path; exact PROJ results are behind it.
//!
//! Coordinates are always x east, y north (longitude first); the authority's axis order matters
//! only in `protocol`. The only module that names PROJ.

mod system;
mod warp;

pub use system::{Crs, CrsError};
pub use warp::Warp;
