//! Tile grids: the built-in ones against published numbers, and foreign documents.

use onemap::format::tilematrixset::{self, TileMatrixSetError};
use onemap::geom::Bbox;
use onemap::model::{GridError, TileCoord, TileGrid, grids};
use serde_json::{Value, json};

fn grid(id: &str) -> TileGrid {
    grids::built_in()
        .into_iter()
        .find(|grid| grid.id == id)
        .unwrap_or_else(|| panic!("no grid {id}"))
}

fn bbox(grid: &TileGrid, z: u8, x: u32, y: u32) -> [f64; 4] {
    grid.tile_bbox(TileCoord { z, x, y }).unwrap().to_array()
}

fn close(found: [f64; 4], expected: [f64; 4], tolerance: f64) {
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= tolerance, "{found:?} is not {expected:?}");
    }
}

#[test]
fn corner_tiles_of_the_mercator_quads_are_where_the_standard_puts_them() {
    const HALF: f64 = 20_037_508.342_789_244;
    for id in ["WebMercatorQuad", "w"] {
        let grid = grid(id);
        assert_eq!(grid.epsg, 3857);
        close(bbox(&grid, 1, 0, 0), [-HALF, 0.0, 0.0, HALF], 1e-8);
        close(bbox(&grid, 1, 1, 1), [0.0, -HALF, HALF, 0.0], 1e-8);
        // Level 18 has pixels of 0.597164 m.
        let side = 0.597_164_283_559_817 * 256.0;
        close(
            bbox(&grid, 18, 0, 0),
            [-HALF, HALF - side, -HALF + side, HALF],
            1e-6,
        );
        let last = (1 << 18) - 1;
        close(
            bbox(&grid, 18, last, last),
            [HALF - side, -HALF, HALF, -HALF + side],
            1e-6,
        );
    }
    assert_eq!(grid("WebMercatorQuad").lowest_zoom(), 0);
    assert_eq!(grid("w").lowest_zoom(), 1);
    assert_eq!(grid("w").matrix(1).unwrap().tiles, [2, 2]);
}

#[test]
fn corner_tiles_of_the_degree_quads_are_where_the_standard_puts_them() {
    for id in ["WorldCRS84Quad", "CGCS2000Quad"] {
        let grid = grid(id);
        assert_eq!(bbox(&grid, 0, 0, 0), [-180.0, -90.0, 0.0, 90.0], "{id}");
        assert_eq!(bbox(&grid, 0, 1, 0), [0.0, -90.0, 180.0, 90.0], "{id}");
        assert_eq!(bbox(&grid, 3, 0, 0), [-180.0, 67.5, -157.5, 90.0], "{id}");
        assert_eq!(bbox(&grid, 3, 15, 7), [157.5, -90.0, 180.0, -67.5], "{id}");
        assert_eq!(grid.matrix(17).unwrap().tiles, [262_144, 131_072]);
    }
}

#[test]
fn the_tianditu_set_starts_at_level_1_and_halves_from_0_703125_degrees_a_pixel() {
    let c = grid("c");
    assert_eq!((c.epsg, c.north_first, c.lowest_zoom()), (4490, true, 1));
    assert_eq!(c.matrix(1).unwrap().tiles, [2, 1]);
    assert_eq!(c.matrix(1).unwrap().cell_size, 0.703125);
    assert_eq!(c.matrix(18).unwrap().cell_size, 5.364418029785156e-6);
    assert_eq!(bbox(&c, 1, 0, 0), [-180.0, -90.0, 0.0, 90.0]);
    assert_eq!(bbox(&c, 1, 1, 0), [0.0, -90.0, 180.0, 90.0]);
    assert_eq!(bbox(&c, 4, 15, 7), [157.5, -90.0, 180.0, -67.5]);
    // A level of `c` is the level before of the OGC quad.
    assert_eq!(
        bbox(&c, 14, 13_487, 2_000),
        bbox(&grid("CGCS2000Quad"), 13, 13_487, 2_000)
    );
}

#[test]
fn scale_denominators_are_the_published_ones() {
    let scale = |id: &str, zoom: u32| grid(id).matrix(zoom).unwrap().scale_denominator;
    // Tianditu's capabilities, 96 dpi: verbatim.
    for id in ["c", "w"] {
        assert_eq!(scale(id, 1), 2.958293554545656E8, "{id}");
        assert_eq!(scale(id, 2), 1.479146777272828E8, "{id}");
        assert_eq!(scale(id, 3), 7.39573388636414E7, "{id}");
    }
    // 17-083r4, annex D: 0.28 mm.
    let near = |found: f64, expected: f64| {
        assert!(
            ((found - expected) / expected).abs() < 1e-12,
            "{found} is not {expected}"
        );
    };
    near(scale("WebMercatorQuad", 0), 559_082_264.028_717_9);
    near(scale("WebMercatorQuad", 18), 2_132.729_583_849_784);
    near(scale("WorldCRS84Quad", 0), 279_541_132.014_358_76);
    near(scale("CGCS2000Quad", 17), 2_132.729_583_849_784);
}

#[test]
fn addresses_outside_a_grid_are_told_from_levels_it_does_not_have() {
    let c = grid("c");
    assert!(matches!(c.tile(0, 0, 0), Err(GridError::NoSuchZoom { .. })));
    assert!(matches!(
        c.tile(99, 0, 0),
        Err(GridError::NoSuchZoom { .. })
    ));
    assert!(matches!(c.tile(1, 2, 0), Err(GridError::OutOfRange { .. })));
    assert!(matches!(
        c.tile(1, 0, u64::MAX),
        Err(GridError::OutOfRange { .. })
    ));
    assert!(c.tile(1, 1, 0).is_ok());
}

#[test]
fn tiles_of_a_box_are_found_and_a_box_elsewhere_has_none() {
    let c = grid("c");
    let china = Bbox::new(73.5, 18.1, 135.1, 53.6);
    assert_eq!(c.tiles_in_bbox(4, &china).unwrap(), Some([11, 1, 14, 3]));
    let nowhere = Bbox::new(200.0, 0.0, 210.0, 1.0);
    assert_eq!(c.tiles_in_bbox(4, &nowhere).unwrap(), None);
}

#[test]
fn every_built_in_grid_survives_being_written_and_read() {
    for grid in grids::built_in() {
        let text = tilematrixset::write(&grid).to_string();
        assert_eq!(tilematrixset::read(text.as_bytes()).unwrap(), grid);
    }
}

/// A bureau's grid: ArcGIS origin, Gauss-Krüger 3° zone 39, tiles of 512 pixels.
fn provincial() -> Value {
    json!({
        "id": "gk39",
        "crs": "http://www.opengis.net/def/crs/EPSG/0/4527",
        "orderedAxes": ["X", "Y"],
        "tileMatrices": [
            { "id": "L0", "scaleDenominator": 472_429.3, "cellSize": 132.2802,
              "pointOfOrigin": [10_002_100.0, 34_876_800.0],
              "tileWidth": 512, "tileHeight": 512, "matrixWidth": 100, "matrixHeight": 90 },
            { "id": "L1", "scaleDenominator": 236_214.6, "cellSize": 66.1401,
              "pointOfOrigin": [10_002_100.0, 34_876_800.0], "cornerOfOrigin": "topLeft",
              "tileWidth": 512, "tileHeight": 512, "matrixWidth": 200, "matrixHeight": 180 },
        ],
    })
}

fn read(document: &Value) -> Result<TileGrid, TileMatrixSetError> {
    tilematrixset::read(document.to_string().as_bytes())
}

#[test]
fn a_grid_of_a_gauss_krueger_zone_is_read_with_north_first() {
    let grid = read(&provincial()).unwrap();
    assert!(grid.north_first);
    assert_eq!((grid.epsg, grid.highest_zoom()), (4527, 1));
    let side = 132.2802 * 512.0;
    close(
        bbox(&grid, 0, 0, 0),
        [
            34_876_800.0,
            10_002_100.0 - side,
            34_876_800.0 + side,
            10_002_100.0,
        ],
        1e-6,
    );
    assert_eq!(read(&tilematrixset::write(&grid)).unwrap(), grid);
}

#[test]
fn what_our_tiles_cannot_be_cut_on_is_refused_by_name() {
    let refused = |pointer: &str, value: Value, expected: &str| {
        let mut document = provincial();
        *document.pointer_mut(pointer).unwrap() = value;
        let message = read(&document).unwrap_err().to_string();
        assert!(
            message.contains(expected),
            "{message} does not name {expected}"
        );
    };
    refused("/crs", json!("http://example.org/moon"), "crs");
    refused("/crs", json!({"wkt": {}}), "crs");
    refused("/id", json!("../../etc"), "id");
    refused("/orderedAxes", json!(["N", "Q"]), "orderedAxes");
    refused("/tileMatrices", json!([]), "levels");
    refused("/tileMatrices/0/cellSize", json!(0.0), "cellSize");
    refused("/tileMatrices/0/cellSize", json!(-1.0), "cellSize");
    refused("/tileMatrices/0/tileWidth", json!(0), "tileWidth");
    refused("/tileMatrices/0/tileWidth", json!(1_000_000), "tileWidth");
    refused("/tileMatrices/0/tileHeight", json!(256), "square");
    refused(
        "/tileMatrices/0/matrixWidth",
        json!(1u64 << 33),
        "matrixWidth",
    );
    refused("/tileMatrices/0/id", json!(7), "JSON");
    refused(
        "/tileMatrices/1/cornerOfOrigin",
        json!("bottomLeft"),
        "cornerOfOrigin",
    );
    let mut rings = provincial();
    rings["tileMatrices"][0]["variableMatrixWidths"] =
        json!([{ "coalesce": 2, "minTileRow": 0, "maxTileRow": 0 }]);
    assert!(
        read(&rings)
            .unwrap_err()
            .to_string()
            .contains("variableMatrixWidths")
    );
    let mut twice = provincial();
    twice["tileMatrices"][0]["id"] = json!("3");
    twice["tileMatrices"][1]["id"] = json!("3");
    assert_eq!(
        read(&twice),
        Err(TileMatrixSetError::RepeatedZoom { zoom: 3 })
    );
    let huge = vec![b' '; tilematrixset::MAX_BYTES + 1];
    assert!(matches!(
        tilematrixset::read(&huge),
        Err(TileMatrixSetError::TooLarge { .. })
    ));
}
