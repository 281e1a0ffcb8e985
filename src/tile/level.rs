//! Where a tile's features come from: the layer, or a generalised level of it.
//!
//! Levels are made for the zooms of the Web Mercator quad. Any grid is served from the one whose
//! unit is nearest to the tile's, by ratio; they are compared on the Web Mercator plane, by the
//! layer's box there and in the plane of the grid. Tiles finer than the finest level are cut from
//! the layer.

use super::cut::Frame;
use crate::format::feature_index::FeatureIndex;
use crate::format::fgb::FgbFile;
use crate::format::mvt::EXTENT;
use crate::geom::Bbox;
use crate::model::{COUNT_FIELD, Schema, TileGrid, VectorInfo, WEB_MERCATOR_HALF_M};
use crate::store::{Snapshot, StoreError, VectorData, WarpPair};

const WEB_MERCATOR: u32 = 3857;

/// Features, their index, and their attributes.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub features: &'a FgbFile,
    pub index: &'a FeatureIndex,
    pub schema: &'a Schema,
}

/// The features that answer for tiles of a zoom.
///
/// # Errors
/// When there is no transform to the plane of the levels.
pub fn source_for<'a>(
    snapshot: &Snapshot,
    data: &'a VectorData,
    info: &'a VectorInfo,
    grid: &TileGrid,
    warp: &WarpPair,
    frame: &Frame,
) -> Result<Source<'a>, StoreError> {
    let level = match data.levels.is_empty() {
        true => None,
        false => data.levels.level(zoom_for(snapshot, grid, warp, frame)?),
    };
    Ok(match level {
        Some(level) => Source {
            features: &level.features,
            index: &level.index,
            schema: &data.levels.schema,
        },
        None => Source {
            features: &data.features,
            index: &data.index,
            schema: &info.schema,
        },
    })
}

/// The zoom of the Web Mercator quad whose unit is nearest to that of a tile.
fn zoom_for(
    snapshot: &Snapshot,
    grid: &TileGrid,
    warp: &WarpPair,
    frame: &Frame,
) -> Result<u8, StoreError> {
    let unit_m = if grid.epsg == WEB_MERCATOR {
        frame.unit()
    } else {
        let extent = snapshot.extent_in_layer_crs();
        let size = |bbox: Bbox| bbox.width() + bbox.height();
        let in_mercator = size(snapshot.warp(WEB_MERCATOR)?.to_grid.bbox(&extent));
        frame.unit() * in_mercator / size(warp.to_grid.bbox(&extent))
    };
    let whole = 2.0 * WEB_MERCATOR_HALF_M / f64::from(EXTENT);
    // `as` saturates; a layer without size has no levels worth choosing and NaN becomes 0.
    Ok((whole / unit_m).log2().round() as u8)
}

/// Which attributes are carried: those asked for, what they were aggregated to, and the count.
pub fn columns(info: &VectorInfo, source: &Source<'_>, fields: Option<&[String]>) -> Vec<bool> {
    let own = info.schema.fields.len();
    let of_aggregate = |column: usize| info.aggregates.get(column.checked_sub(own + 1)?);
    let fields_of_source = source.schema.fields.iter().enumerate();
    fields_of_source
        .map(|(column, field)| {
            fields.is_none_or(|wanted| {
                wanted.contains(&field.name)
                    || (column == own && field.name == COUNT_FIELD)
                    || of_aggregate(column).is_some_and(|a| wanted.contains(&a.field))
            })
        })
        .collect()
}
