//! How do the parcels of a made-up county compare with real ones? Vertices, areas, holes and
//! neighbours of polygon layers, as rows of a Markdown table.
//!
//! ```text
//! cargo run --release --example coverage_stats -- "county=out/DLTB_2024.gpkg" "real=li_2024.gpkg"
//! ```
//!
//! Two parcels are neighbours when they share an edge vertex for vertex; layers whose common
//! borders differ have fewer here than on the ground.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::sync::Arc;

use onemap::crs::PlaneMap;
use onemap::geom::Geometry;
use onemap::model::IssueLog;
use onemap::source::{self, SourceSpec};

/// A vertex by the bits of its coordinates.
type Vertex = [u64; 2];

#[derive(Default)]
struct Layer {
    vertices: Vec<f64>,
    areas_m2: Vec<f64>,
    holes: u64,
    most_holes: u64,
    /// Each edge, its smaller end first, and the first feature that has it.
    edges: HashMap<(Vertex, Vertex), u32>,
    pairs: HashSet<(u32, u32)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!(
        "| data | parcels | vertices median / p95 / p99 / max | area m² median / mean / p95 | neighbours mean | holes, most in one |"
    );
    println!("|---|---|---|---|---|---|");
    for argument in std::env::args().skip(1) {
        let (name, location) = argument.split_once('=').ok_or("expected NAME=FILE")?;
        let layer = measured(location)?;
        println!("{}", layer.row(name));
    }
    Ok(())
}

fn measured(location: &str) -> Result<Layer, Box<dyn Error>> {
    let mut issues = IssueLog::default();
    let mut source = source::open(&SourceSpec::new(location))?.into_layer(&mut issues)?;
    let crs = source.crs().clone();
    let plane = match crs.national_datum() {
        Some(datum) if crs.geographic => Some(PlaneMap::to_equal_area(&crs, datum)?),
        _ => None,
    };
    let mut layer = Layer::default();
    let mut batch = Vec::new();
    loop {
        batch.clear();
        let more = source.read_batch(4096, 1 << 20, &mut batch, &mut issues)?;
        for geometry in batch.iter().filter_map(|feature| feature.geometry.as_ref()) {
            let scale = crs.metres_per_unit * crs.metres_per_unit;
            let area_m2 = match &plane {
                Some(plane) => area_in(plane, geometry)?,
                None => geometry.area() * scale,
            };
            layer.add(geometry, area_m2);
        }
        if !more {
            return Ok(layer);
        }
    }
}

fn area_in(plane: &Arc<PlaneMap>, geometry: &Geometry) -> Result<f64, Box<dyn Error>> {
    let mut points: Vec<(f64, f64)> = geometry.xy.chunks_exact(2).map(|p| (p[0], p[1])).collect();
    plane.cursor().transform(&mut points)?;
    let mut flat = geometry.clone();
    flat.xy = points.into_iter().flat_map(|(x, y)| [x, y]).collect();
    Ok(flat.area())
}

impl Layer {
    fn add(&mut self, geometry: &Geometry, area_m2: f64) {
        let id = self.areas_m2.len() as u32;
        let holes = (geometry.ring_count() - geometry.parts.len()) as u64;
        self.vertices.push(geometry.vertex_count() as f64);
        self.areas_m2.push(area_m2);
        self.holes += holes;
        self.most_holes = self.most_holes.max(holes);
        for ring in geometry.rings() {
            for edge in ring.windows(4).step_by(2) {
                let (a, b) = (
                    [edge[0].to_bits(), edge[1].to_bits()],
                    [edge[2].to_bits(), edge[3].to_bits()],
                );
                let key = if a < b { (a, b) } else { (b, a) };
                let other = *self.edges.entry(key).or_insert(id);
                if other != id {
                    self.pairs.insert((other, id));
                    // Met from both sides: nobody else has it.
                    self.edges.remove(&key);
                }
            }
        }
    }

    fn row(mut self, name: &str) -> String {
        let count = self.areas_m2.len();
        let at = |sorted: &[f64], share: f64| {
            sorted
                .get(((sorted.len() as f64 - 1.0) * share).round() as usize)
                .copied()
                .unwrap_or(f64::NAN)
        };
        let mean = self.areas_m2.iter().sum::<f64>() / count as f64;
        self.vertices.sort_by(f64::total_cmp);
        self.areas_m2.sort_by(f64::total_cmp);
        format!(
            "| {name} | {count} | {:.0} / {:.0} / {:.0} / {:.0} | {:.0} / {mean:.0} / {:.0} | {:.1} | {}, {} |",
            at(&self.vertices, 0.5),
            at(&self.vertices, 0.95),
            at(&self.vertices, 0.99),
            at(&self.vertices, 1.0),
            at(&self.areas_m2, 0.5),
            at(&self.areas_m2, 0.95),
            2.0 * self.pairs.len() as f64 / count as f64,
            self.holes,
            self.most_holes,
        )
    }
}
