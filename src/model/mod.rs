//! The nouns of the house: features and their schema, layers and their kinds, rasters, tile grids.
//!
//! Plain data with the rules that make a value of it valid; no files, no queries.

mod aggregate;
mod class;
mod feature;
mod grid;
pub mod grids;
mod issue;
mod layer;
mod manifest;

pub use aggregate::{Aggregate, AggregateError, AggregateFunction, Aggregates, COUNT_FIELD};
pub use class::{class_column, line_class_columns, line_rank};
pub use feature::{Feature, Field, FieldType, Schema, Value};
pub use grid::{GridError, TileCoord, TileGrid, TileMatrix, WEB_MERCATOR_HALF_M};
pub use issue::{Issue, IssueCode, IssueGroup, IssueLog, Severity};
pub use layer::{LayerKind, LayerName, LayerNameError};
pub use manifest::{
    FORMAT_VERSION, FileSum, ImportCounts, IssueCount, LayerGeometry, LevelSummary, Manifest,
    RasterInfo, RemoteArchive, SourceInfo, TileContainer, TileContent, TilesInfo, TilesLayer,
    VectorInfo,
};
