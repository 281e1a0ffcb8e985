//! The tile grids every workspace has.
//!
//! | id | plane | note |
//! |---|---|---|
//! | `WebMercatorQuad` | EPSG:3857 | OGC 17-083r4 annex D.1 |
//! | `WorldCRS84Quad` | EPSG:4326, longitude first | OGC 17-083r4 annex D.2 |
//! | `CGCS2000Quad` | EPSG:4490 | the same tiles as `WorldCRS84Quad`, for CGCS2000 clients |
//! | `c` | EPSG:4490 | Tianditu's longitude/latitude set: levels from 1, scales for 96 dpi |
//! | `w` | EPSG:3857 | Tianditu's Web Mercator set: levels from 1, scales for 96 dpi |

use super::grid::{TileGrid, TileMatrix, WEB_MERCATOR_HALF_M};

/// Pixel size the OGC derives scale denominators from, metres.
const OGC_PIXEL_M: f64 = 0.00028;
/// Metres per degree on the equator of the WGS 84 and CGCS2000 ellipsoids: a π / 180.
const METRES_PER_DEGREE: f64 = 6_378_137.0 * std::f64::consts::PI / 180.0;
/// Scale of Tianditu's level 1, as published in its capabilities.
const TIANDITU_LEVEL_1: f64 = 295_829_355.454_565_6;
const TILE_PX: u32 = 256;
const HIGHEST_ZOOM: u8 = 24;

/// All built-in grids.
pub fn built_in() -> Vec<TileGrid> {
    vec![
        web_mercator_quad(),
        world_quad("WorldCRS84Quad", "WGS 84 longitude/latitude", 4326, false),
        world_quad("CGCS2000Quad", "CGCS2000 latitude/longitude", 4490, true),
        tianditu_c(),
        tianditu_w(),
    ]
}

/// The grid of the plain `/{z}/{x}/{y}` addresses.
pub fn web_mercator_quad() -> TileGrid {
    TileGrid {
        id: "WebMercatorQuad".into(),
        title: "Google Maps Compatible for the World".into(),
        epsg: 3857,
        north_first: false,
        matrices: (0..=HIGHEST_ZOOM)
            .map(|zoom| {
                let cell_size = mercator_cell_size(zoom);
                mercator_matrix(zoom, cell_size / OGC_PIXEL_M)
            })
            .collect(),
    }
}

fn world_quad(id: &str, title: &str, epsg: u32, north_first: bool) -> TileGrid {
    TileGrid {
        id: id.into(),
        title: title.into(),
        epsg,
        north_first,
        matrices: (0..=HIGHEST_ZOOM)
            .map(|zoom| {
                let cell_size = 180.0 / f64::from(TILE_PX) / two_to_the(zoom);
                degree_matrix(
                    zoom,
                    cell_size,
                    cell_size * METRES_PER_DEGREE / OGC_PIXEL_M,
                    zoom,
                )
            })
            .collect(),
    }
}

fn tianditu_c() -> TileGrid {
    TileGrid {
        id: "c".into(),
        title: "天地图经纬度 (CGCS2000)".into(),
        epsg: 4490,
        north_first: true,
        matrices: (1..=20)
            .map(|zoom| {
                let cell_size = 360.0 / f64::from(TILE_PX) / two_to_the(zoom);
                let scale = TIANDITU_LEVEL_1 / two_to_the(zoom - 1);
                degree_matrix(zoom, cell_size, scale, zoom - 1)
            })
            .collect(),
    }
}

fn tianditu_w() -> TileGrid {
    TileGrid {
        id: "w".into(),
        title: "天地图球面墨卡托".into(),
        epsg: 3857,
        north_first: false,
        matrices: (1..=20)
            .map(|zoom| mercator_matrix(zoom, TIANDITU_LEVEL_1 / two_to_the(zoom - 1)))
            .collect(),
    }
}

fn two_to_the(zoom: u8) -> f64 {
    f64::from(1u32 << zoom)
}

fn mercator_cell_size(zoom: u8) -> f64 {
    2.0 * WEB_MERCATOR_HALF_M / f64::from(TILE_PX) / two_to_the(zoom)
}

fn mercator_matrix(zoom: u8, scale_denominator: f64) -> TileMatrix {
    TileMatrix {
        id: zoom.to_string(),
        zoom,
        cell_size: mercator_cell_size(zoom),
        scale_denominator,
        origin: [-WEB_MERCATOR_HALF_M, WEB_MERCATOR_HALF_M],
        tile_size_px: [TILE_PX, TILE_PX],
        tiles: [1 << zoom, 1 << zoom],
    }
}

/// `halvings` of a grid of two tiles over one.
fn degree_matrix(zoom: u8, cell_size: f64, scale_denominator: f64, halvings: u8) -> TileMatrix {
    TileMatrix {
        id: zoom.to_string(),
        zoom,
        cell_size,
        scale_denominator,
        origin: [-180.0, 90.0],
        tile_size_px: [TILE_PX, TILE_PX],
        tiles: [2 << halvings, 1 << halvings],
    }
}
