//! Features by id and by the text of their attributes.

use super::{Budget, QueryError};
use crate::crs::Warp;
use crate::format::FormatError;
use crate::format::feature_index::FeatureRecord;
use crate::format::fgb::{FeatureView, ValueRef};
use crate::geom::Bbox;
use crate::model::VectorInfo;
use crate::store::{Snapshot, VectorData};

/// Features looked at between two checks of the budget.
const CHECK_EVERY: u32 = 1024;

/// A text to be found in the attributes.
#[derive(Debug, Clone)]
pub struct SearchQuery {
    /// Matches when it is part of the value's text, letters compared without case.
    pub text: String,
    /// Only this field; `None` for all.
    pub field: Option<String>,
    pub limit: usize,
}

/// A feature that was found.
pub struct Found<'a> {
    pub record: FeatureRecord,
    pub view: FeatureView<'a>,
}

/// One result of a search, ready to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// Number of the feature in its generation.
    pub feature: u32,
    pub id: u64,
    pub bbox_lonlat: Bbox,
    pub point_lonlat: [f64; 2],
}

/// Result of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Matches {
    pub matches: Vec<Match>,
    /// True when the search ended early: at its limit or at its time.
    pub truncated: bool,
    pub scanned: u64,
}

/// The feature with an id, or `None`.
pub fn feature_by_id(snapshot: &Snapshot, id: u64) -> Result<Option<Found<'_>>, QueryError> {
    let (data, _) = vector(snapshot)?;
    let Some(feature) = data.ids.feature(id) else {
        return Ok(None);
    };
    if feature as usize >= data.index.len() {
        return Err(QueryError::Format(FormatError::Malformed {
            path: data.index.path().to_path_buf(),
            found: format!(
                "{} features, and feature {feature} has id {id}",
                data.index.len()
            ),
            expected: "a feature for every id".into(),
        }));
    }
    let record = data.index.record(feature);
    let view = data.features.feature(record.offset)?;
    Ok(Some(Found { record, view }))
}

/// Looks through the attributes in storage order until the limit or the budget is reached.
pub fn search(
    snapshot: &Snapshot,
    query: &SearchQuery,
    budget: &Budget,
) -> Result<Matches, QueryError> {
    let (data, info) = vector(snapshot)?;
    let field = match &query.field {
        Some(name) => Some(
            info.schema
                .index_of(name)
                .ok_or_else(|| QueryError::NoSuchField {
                    layer: snapshot.name().to_string(),
                    field: name.clone(),
                })?,
        ),
        None => None,
    };
    let needle = query.text.to_lowercase();
    let to_lonlat = Warp::new(
        &snapshot.manifest.crs,
        4326,
        &snapshot.extent_in_layer_crs(),
    )
    .map_err(crate::store::StoreError::from)?;
    let mut found = Matches {
        matches: Vec::new(),
        truncated: false,
        scanned: 0,
    };
    for feature in 0..data.index.len() as u32 {
        if feature.is_multiple_of(CHECK_EVERY)
            && let Err(stop) = budget.check()
        {
            if stop == super::Stop::Cancelled {
                return Err(stop.into());
            }
            found.truncated = true;
            return Ok(found);
        }
        let record = data.index.record(feature);
        let view = data.features.feature(record.offset)?;
        found.scanned += 1;
        if contains(&view, info, field, &needle) {
            if found.matches.len() == query.limit {
                found.truncated = true;
                return Ok(found);
            }
            found.matches.push(Match {
                feature,
                id: record.id,
                bbox_lonlat: to_lonlat.bbox(&record.bbox_in_layer_crs),
                point_lonlat: to_lonlat.point(record.label[0], record.label[1]),
            });
        }
    }
    Ok(found)
}

fn contains(view: &FeatureView<'_>, info: &VectorInfo, field: Option<usize>, needle: &str) -> bool {
    let mut hit = false;
    view.for_each_value(&info.schema, |column, value| {
        if hit || field.is_some_and(|field| field != column) {
            return;
        }
        hit = match value {
            ValueRef::Text(text) => text.contains(needle) || text.to_lowercase().contains(needle),
            ValueRef::Integer(number) => number.to_string().contains(needle),
            ValueRef::Real(number) => number.to_string().contains(needle),
            ValueRef::Boolean(value) => value.to_string() == needle,
            ValueRef::Binary(_) => false,
        };
    });
    hit
}

fn vector(snapshot: &Snapshot) -> Result<(&VectorData, &VectorInfo), QueryError> {
    snapshot.vector().ok_or_else(|| QueryError::NotVector {
        layer: snapshot.name().to_string(),
    })
}
