//! One model of asking, and its execution over snapshots.
//!
//! Whatever words a client used, it ends here: a [`Budget`] that bounds the work, and the
//! features of a box, of an id or of a search text. Results go out in the order of storage.

mod budget;
mod search;

pub use budget::{Budget, Stop};
pub use search::{Found, Match, Matches, SearchQuery, feature_by_id, search};

use crate::store::StoreError;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(transparent)]
    Stopped(#[from] Stop),
    #[error("layer {layer} holds images or made tiles, not features (影像或瓦片图层没有要素)")]
    NotVector { layer: String },
    #[error("layer {layer} has no field {field:?} (没有该字段)")]
    NoSuchField { layer: String, field: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Format(#[from] crate::format::FormatError),
}
