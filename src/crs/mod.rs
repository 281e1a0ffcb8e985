//! Coordinate reference systems and fast transforms between them.
//!
//! 1. [`Crs`]: what a layer declares, as a plain value.
//!    [`Crs::from_user`] and [`Crs::from_definition`] find its registry code.
//! 2. [`GaussKruger`]: the zones of China's national grids, with and without zone prefix.
//! 3. [`Warp`]: a transform that is a pure function of the vertex and cheap enough for the tile
//!    path; exact PROJ results are behind it.
//! 4. [`PlaneMap`]: into the plane where areas are plain areas, and of zones, for many positions.
//! 5. [`ellipsoid_area`]: the official area of a parcel.
//!
//! Coordinates are always x east, y north (longitude first); the authority's axis order matters
//! only in `protocol`. The only module that names PROJ.

mod area;
mod detect;
pub mod ellipsoid_area;
mod equal_area;
mod gauss_kruger;
mod plane_map;
mod system;
mod transform;
mod warp;

pub use gauss_kruger::{Datum, GaussKruger, ZoneWidth, coordinate_hint};
pub use plane_map::{Cursor, PlaneMap};
pub use system::{Crs, CrsError};
pub use transform::Transform;
pub use warp::Warp;
