//! `onemap`: the layers of a land-resources map, imported, served and analysed by one binary.
//!
//! ```text
//!  foreign files        our files               answers                     wire
//! ┌────────┐  ┌────────┐  ┌───────┐  ┌───────┐  ┌──────────────────┐  ┌──────────┐  ┌──────┐
//! │ source │→ │ ingest │→ │ store │→ │ query │→ │ tile · render    │→ │ protocol │→ │ http │
//! └────────┘  └────────┘  └───────┘  └───────┘  └──────────────────┘  └──────────┘  └──────┘
//!    underneath: geom · crs · topology · model · format
//! ```
//!
//! Data goes one way. Two worlds meet only in [`store`]: [`ingest`] writes a generation, everything
//! to the right reads a snapshot of one. A module imports only from strictly lower levels:
//!
//! | level | modules |
//! |---|---|
//! | 0 | `geom` |
//! | 1 | `crs`, `topology`, `overlay` |
//! | 2 | `model` |
//! | 3 | `format` |
//! | 4 | `source`, `store` |
//! | 5 | `query`, `ingest`, `county` |
//! | 6 | `tile`, `render`, `analysis` |
//! | 7 | `protocol` |
//! | 8 | `http` |
//! | 9 | `config` |
//! | 10 | `cli` |
//!
//! Deliberately absent: nothing below `http` is async; nothing below level 9 reads configuration
//! or environment; no standard's word stands below `protocol`; there are no plug-in traits.

pub mod analysis;
pub mod cli;
pub mod config;
pub mod county;
pub mod crs;
pub mod format;
pub mod geom;
pub mod http;
pub mod ingest;
pub mod model;
pub mod overlay;
pub mod protocol;
pub mod query;
pub mod render;
pub mod source;
pub mod store;
pub mod tile;
pub mod topology;
