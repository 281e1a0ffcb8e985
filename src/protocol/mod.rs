//! Words of the wire ⇄ our queries, as plain data.
//!
//! 1. [`address`] splits and decodes a path and a query string
//! 2. [`request`] turns them into a [`Request`]; [`xyz`] reads the tile addresses of it
//! 3. [`tilejson`], [`catalog`], [`feature`], [`style`] turn answers into documents
//! 4. [`processes`] holds the words of questions about areas
//! 5. [`Problem`] is every way to say no
//!
//! Nothing here knows sockets, headers or a web framework.

mod address;
pub mod catalog;
pub mod feature;
mod problem;
pub mod processes;
pub mod request;
pub mod style;
pub mod tilejson;
pub mod xyz;

pub use address::encode;
pub use problem::{Methods, Problem};
pub use request::{Request, parse};
