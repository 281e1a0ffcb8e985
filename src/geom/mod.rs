//! Shapes and the arithmetic on them: boxes, flat geometries, measures, Hilbert keys, label points.
//!
//! Everything here is pure: numbers in, numbers out, in whatever plane the caller works in.
//! It does not know reference systems, attributes or files.

mod bbox;
pub mod boundary;
mod geometry;
pub mod grid;
pub mod hilbert;
pub mod label;
pub mod predicate;
pub mod simplify;

pub use bbox::Bbox;
pub use geometry::{Geometry, GeometryType, signed_area};
