//! Tile grids: how a plane is cut into numbered tiles (OGC Two Dimensional Tile Matrix Set 2.0).

use serde::{Deserialize, Serialize};

use crate::geom::Bbox;

/// Half the width of the Web Mercator square: π · 6 378 137 m.
pub const WEB_MERCATOR_HALF_M: f64 = 20_037_508.342_789_244;

/// A tile's address in some grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TileCoord {
    pub z: u8,
    pub x: u32,
    pub y: u32,
}

/// One level of a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct TileMatrix {
    /// The identifier in requests, mostly the zoom as a number.
    pub id: String,
    /// The zoom it answers to in `/{z}/{x}/{y}`.
    pub zoom: u8,
    /// CRS units per pixel.
    pub cell_size: f64,
    /// As published; not always consistent with `cell_size` (Tianditu assumes 96 dpi).
    pub scale_denominator: f64,
    /// Top-left corner, x (east) first whatever the axis order of the CRS.
    pub origin: [f64; 2],
    pub tile_size_px: [u32; 2],
    /// Number of tiles, columns first.
    pub tiles: [u32; 2],
}

/// A published tile matrix set.
#[derive(Debug, Clone, PartialEq)]
pub struct TileGrid {
    pub id: String,
    pub title: String,
    /// EPSG code of the plane, with x east and y north whatever the authority's order.
    pub epsg: u32,
    /// True when the authority orders the axes north first, as published documents must.
    pub north_first: bool,
    /// In order of zoom.
    pub matrices: Vec<TileMatrix>,
}

/// Why a tile cannot be addressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GridError {
    #[error("grid {grid} has no level {zoom}, it has {lowest} to {highest}")]
    NoSuchZoom {
        grid: String,
        zoom: u32,
        lowest: u8,
        highest: u8,
    },
    #[error(
        "tile {x},{y} is outside level {zoom} of grid {grid}, which has {columns} by {rows} tiles"
    )]
    OutOfRange {
        grid: String,
        zoom: u8,
        x: u64,
        y: u64,
        columns: u32,
        rows: u32,
    },
}

impl TileGrid {
    pub fn lowest_zoom(&self) -> u8 {
        self.matrices.first().map_or(0, |matrix| matrix.zoom)
    }

    pub fn highest_zoom(&self) -> u8 {
        self.matrices.last().map_or(0, |matrix| matrix.zoom)
    }

    pub fn matrix(&self, zoom: u32) -> Result<&TileMatrix, GridError> {
        self.matrices
            .iter()
            .find(|matrix| u32::from(matrix.zoom) == zoom)
            .ok_or_else(|| GridError::NoSuchZoom {
                grid: self.id.clone(),
                zoom,
                lowest: self.lowest_zoom(),
                highest: self.highest_zoom(),
            })
    }

    /// Checks that a tile exists.
    pub fn tile(&self, z: u32, x: u64, y: u64) -> Result<TileCoord, GridError> {
        let matrix = self.matrix(z)?;
        let [columns, rows] = matrix.tiles;
        if x >= u64::from(columns) || y >= u64::from(rows) {
            return Err(GridError::OutOfRange {
                grid: self.id.clone(),
                zoom: matrix.zoom,
                x,
                y,
                columns,
                rows,
            });
        }
        Ok(TileCoord {
            z: matrix.zoom,
            x: x as u32,
            y: y as u32,
        })
    }

    /// The tile's box in the grid's plane, x east and y north.
    pub fn tile_bbox(&self, tile: TileCoord) -> Result<Bbox, GridError> {
        let matrix = self.matrix(u32::from(tile.z))?;
        let width = matrix.cell_size * f64::from(matrix.tile_size_px[0]);
        let height = matrix.cell_size * f64::from(matrix.tile_size_px[1]);
        let [left, top] = matrix.origin;
        Ok(Bbox::new(
            left + f64::from(tile.x) * width,
            top - f64::from(tile.y + 1) * height,
            left + f64::from(tile.x + 1) * width,
            top - f64::from(tile.y) * height,
        ))
    }

    /// The tiles of one level that touch a box of the grid's plane, as inclusive ranges
    /// `[x0, y0, x1, y1]`, or `None` when they do not meet.
    pub fn tiles_in_bbox(&self, zoom: u8, bbox: &Bbox) -> Result<Option<[u32; 4]>, GridError> {
        let matrix = self.matrix(u32::from(zoom))?;
        let width = matrix.cell_size * f64::from(matrix.tile_size_px[0]);
        let height = matrix.cell_size * f64::from(matrix.tile_size_px[1]);
        let [left, top] = matrix.origin;
        let [columns, rows] = matrix.tiles.map(f64::from);
        let (x0, x1) = ((bbox.min_x - left) / width, (bbox.max_x - left) / width);
        let (y0, y1) = ((top - bbox.max_y) / height, (top - bbox.min_y) / height);
        let meets = x1 >= 0.0 && y1 >= 0.0 && x0 < columns && y0 < rows && !bbox.is_empty();
        Ok(meets.then(|| {
            let cell = |value: f64, count: f64| value.floor().clamp(0.0, count - 1.0) as u32;
            [
                cell(x0, columns),
                cell(y0, rows),
                cell(x1, columns),
                cell(y1, rows),
            ]
        }))
    }
}
