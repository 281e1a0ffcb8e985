//! How long does a cold vector tile of a dense parcel layer take on one core, and which phase
//! takes it?
//!
//! The tile asked for is the one nearest 100 KB (uncompressed) at the layer's natural zoom.

mod support;

use std::time::Instant;

use onemap::model::{TileCoord, grids};
use onemap::query::Budget;
use onemap::store::Store;
use onemap::tile::{Options, TileLayer, vector_tile};
use support::{Fabric, median};

const RUNS: usize = 201;

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open_or_create(dir.path()).expect("a workspace");
    let fabric = Fabric {
        side: 200,
        segments: 16,
    };
    let started = Instant::now();
    let snapshot = fabric.import(&store, "parcels").snapshot;
    println!(
        "import of {} parcels, {} vertices: {:.2} s, peak {:.0} MB",
        fabric.count(),
        snapshot.vector().expect("a vector layer").1.vertices,
        started.elapsed().as_secs_f64(),
        support::peak_rss_mb(),
    );
    let zoom = snapshot.vector().expect("a vector layer").1.natural_zoom;
    let grid = grids::web_mercator_quad();
    let layers = [TileLayer {
        snapshot: snapshot.clone(),
        fields: None,
    }];
    let options = Options::default();
    let budget = Budget::unlimited();
    let warp = snapshot.warp(grid.epsg).expect("a transform");
    let extent = warp.to_grid.bbox(&snapshot.manifest.bbox_in_layer_crs);
    for zoom in zoom.saturating_sub(2)..=zoom + 2 {
        let [x0, y0, x1, y1] = grid
            .tiles_in_bbox(zoom, &extent)
            .expect("a zoom of the grid")
            .expect("tiles");
        let mut best: Option<(usize, TileCoord)> = None;
        for x in x0..=x1 {
            for y in y0..=y1 {
                let coord = TileCoord { z: zoom, x, y };
                let tile = vector_tile(&layers, &grid, coord, &options, &budget).expect("a tile");
                let distance = tile.bytes.len().abs_diff(100_000);
                if best.is_none_or(|(least, _)| distance < least) {
                    best = Some((distance, coord));
                }
            }
        }
        let (_, coord) = best.expect("at least one tile");
        let mut walls = Vec::new();
        let mut phases = [const { Vec::new() }; 4];
        let mut bytes = 0;
        for _ in 0..RUNS {
            let started = Instant::now();
            let tile = vector_tile(&layers, &grid, coord, &options, &budget).expect("a tile");
            walls.push(started.elapsed().as_secs_f64() * 1e3);
            bytes = tile.bytes.len();
            let t = tile.timings;
            for (phase, time) in phases.iter_mut().zip([t.index, t.decode, t.clip, t.encode]) {
                phase.push(time.as_secs_f64() * 1e3);
            }
        }
        let [index, decode, clip, encode] = phases.each_mut().map(|p| median(p));
        println!(
            "z{zoom} {}/{}: {bytes} bytes, median {:.2} ms, p99 {:.2} ms (index {index:.2}, decode {decode:.2}, clip and mend {clip:.2}, encode {encode:.2})",
            coord.x,
            coord.y,
            median(&mut walls),
            walls[walls.len() * 99 / 100],
        );
    }
}
