//! Which features a tile shows: those whose box meets it, the largest first when there are too
//! many.

use super::TileError;
use super::cut::Frame;
use super::level::Source;
use crate::format::feature_index::FeatureIndex;
use crate::query::Budget;
use crate::store::{Snapshot, WarpPair};

/// Polygons and lines smaller than this, in units of the tile's 4096 grid, are not looked at:
/// they would be drawn on less than a fifth of a pixel.
const SMALLEST_UNITS: f64 = 1.5;

/// Features for a tile.
pub struct Selection {
    /// Feature numbers, ascending.
    pub features: Vec<u32>,
    /// Features of the layer that are not among them.
    pub omitted: u64,
}

pub fn features(
    snapshot: &Snapshot,
    source: &Source<'_>,
    warp: &WarpPair,
    frame: &Frame,
    max_vertices: u64,
    budget: &Budget,
) -> Result<Selection, TileError> {
    let extent_in_grid = warp.to_grid.bbox(&snapshot.manifest.bbox_in_layer_crs);
    let buffered = frame.buffered_bbox();
    if !buffered.intersects(&extent_in_grid) {
        return Ok(Selection {
            features: Vec::new(),
            omitted: 0,
        });
    }
    // Only the part of the tile that the layer reaches is brought back to the layer's plane:
    // farther out the transform means nothing.
    let part = crate::geom::Bbox::new(
        buffered.min_x.max(extent_in_grid.min_x),
        buffered.min_y.max(extent_in_grid.min_y),
        buffered.max_x.min(extent_in_grid.max_x),
        buffered.max_y.min(extent_in_grid.max_y),
    );
    let box_in_layer_crs = warp.to_layer.bbox(&part);
    // One unit of the tile in layer units, from the size of the same box in both planes.
    let units_per_layer_unit =
        (part.width() / frame.unit()).max(1e-9) / box_in_layer_crs.width().max(1e-12);
    let min_size = SMALLEST_UNITS / units_per_layer_unit;
    let is_point_layer = snapshot
        .vector()
        .and_then(|(_, info)| info.geometry_type)
        .is_some_and(|t| t.dimension() == 0);
    let min_size = if is_point_layer || !min_size.is_finite() {
        0.0
    } else {
        min_size as f32
    };
    // The way there and back is exact to a millimetre: a point at the very edge of the layer must
    // not fall out of the box. This is some centimetres in any unit.
    let slack = 1e-8
        * box_in_layer_crs
            .to_array()
            .map(f64::abs)
            .into_iter()
            .fold(0.0, f64::max);
    let wanted = box_in_layer_crs.expanded(slack, slack);
    let mut stopped = Ok(());
    let hits = source.index.search(&wanted, min_size, || {
        stopped = budget.check();
        stopped.is_ok()
    });
    stopped?;
    let hits = hits.expect("the search ends early only when it is stopped");
    let mut selection = Selection {
        features: hits.features,
        omitted: hits.too_small,
    };
    let vertices = |feature: u32| u64::from(source.index.record(feature).vertices);
    let total: u64 = selection.features.iter().map(|&f| vertices(f)).sum();
    if total > max_vertices {
        let before = stood_for(source.index, &selection.features);
        let costs: Vec<u64> = selection.features.iter().map(|&f| vertices(f)).collect();
        selection.features = keep_largest(source.index, &selection.features, &costs, max_vertices);
        selection.omitted += before - stood_for(source.index, &selection.features);
    }
    Ok(selection)
}

/// The largest features whose encoded bytes fit; `bytes` are those of each feature.
pub fn largest_within(
    index: &FeatureIndex,
    features: &[u32],
    bytes: &[u32],
    max_bytes: usize,
) -> Vec<u32> {
    let costs: Vec<u64> = bytes.iter().map(|&b| u64::from(b)).collect();
    keep_largest(index, features, &costs, max_bytes as u64)
}

/// How many features of the layer these are.
pub fn stood_for(index: &FeatureIndex, features: &[u32]) -> u64 {
    let counts = features.iter().map(|&f| u64::from(index.record(f).count));
    counts.sum()
}

/// Takes features by size, largest first (then by number), while their costs fit.
fn keep_largest(index: &FeatureIndex, features: &[u32], costs: &[u64], allowed: u64) -> Vec<u32> {
    let mut order: Vec<(f32, u32, u64)> = features
        .iter()
        .zip(costs)
        .map(|(&feature, &cost)| (index.record(feature).size, feature, cost))
        .collect();
    order.sort_unstable_by(|a, b| {
        // Points have no size: a scrambled number thins them evenly.
        b.0.total_cmp(&a.0)
            .then(scrambled(a.1).cmp(&scrambled(b.1)))
    });
    let mut spent = 0u64;
    let mut kept: Vec<u32> = order
        .into_iter()
        .take_while(|(_, _, cost)| {
            spent += cost;
            spent <= allowed
        })
        .map(|(_, feature, _)| feature)
        .collect();
    kept.sort_unstable();
    kept
}

fn scrambled(number: u32) -> u32 {
    number
        .wrapping_mul(0x9E37_79B1)
        .rotate_left(15)
        .wrapping_mul(0x85EB_CA77)
}
