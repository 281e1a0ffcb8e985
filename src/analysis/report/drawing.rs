//! A small picture of a report as outlines: the boundary and the listed features around it, in
//! whole units of a square, true to scale near the boundary.

use super::super::AnalysisError;
use super::boundary::Prepared;
use super::touch::read_rings;
use super::{Boundary, Report, Reporter};
use crate::geom::grid::clip_ring;
use crate::overlay::{GridPoint, Rings};
use crate::query::Budget;

/// Side of the picture's square; y runs down.
pub const SIDE: i64 = 10_000;
/// Share of the side that the boundary takes.
const FILL: f64 = 0.84;
/// Features drawn per layer, the largest first.
const MAX_SHAPES: usize = 2000;

#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    pub metres_per_unit: f64,
    /// Open rings, to be filled by the even-odd rule.
    pub boundary: Vec<Vec<GridPoint>>,
    /// One per layer of the report.
    pub layers: Vec<Vec<Shape>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Its place in the report's list of features.
    pub feature: usize,
    pub rings: Vec<Vec<GridPoint>>,
}

/// From the grid of the equal-area plane to the picture.
struct View {
    middle: [f64; 2],
    units_per_step: [f64; 2],
    metres_per_unit: f64,
}

impl View {
    fn of(prepared: &Prepared) -> View {
        let bounds = prepared.footprint.bounds().map(|v| v as f64);
        let latitude = prepared.bbox_lonlat.center()[1].to_radians();
        // The plane is true to area: what it stretches one way it shortens the other.
        let east = latitude.cos() / 36f64.to_radians().cos();
        let step_m = prepared.ground.frame.square_units_per_step().sqrt();
        let metres_per_step = [step_m * east, step_m / east];
        let width_m = (bounds[2] - bounds[0]) * metres_per_step[0];
        let height_m = (bounds[3] - bounds[1]) * metres_per_step[1];
        let metres_per_unit = width_m.max(height_m).max(1e-3) / (SIDE as f64 * FILL);
        View {
            middle: [(bounds[0] + bounds[2]) / 2.0, (bounds[1] + bounds[3]) / 2.0],
            units_per_step: [
                metres_per_step[0] / metres_per_unit,
                -metres_per_step[1] / metres_per_unit,
            ],
            metres_per_unit,
        }
    }

    /// The rings in view, thinned to what can be seen.
    fn rings(&self, rings: &Rings) -> Vec<Vec<GridPoint>> {
        let mut scratch = Vec::new();
        let mut drawn = Vec::new();
        for (ring, _) in rings.each() {
            let mut points: Vec<GridPoint> = ring
                .iter()
                .map(|p| {
                    [0, 1].map(|axis| {
                        let off = p[axis] as f64 - self.middle[axis];
                        SIDE / 2 + (off * self.units_per_step[axis]).round() as i64
                    })
                })
                .collect();
            points.dedup();
            clip_ring(&mut points, &mut scratch, 0, SIDE);
            if points.len() > 2 {
                drawn.push(points);
            }
        }
        drawn
    }
}

impl Reporter {
    /// Draws what a report lists. The report must be one of this reporter's about this boundary.
    ///
    /// # Errors
    /// As [`Reporter::report`].
    pub fn drawing(
        &self,
        boundary: &Boundary,
        report: &Report,
        budget: &Budget,
    ) -> Result<Drawing, AnalysisError> {
        let prepared = Prepared::new(boundary, self.datum)?;
        let view = View::of(&prepared);
        let mut layers = Vec::with_capacity(self.layers.len());
        for (layer, listed) in self.layers.iter().zip(&report.layers) {
            budget.check()?;
            let mut shapes = Vec::new();
            let mut cursor = layer.map.cursor();
            let mut rings = Rings::default();
            let Some((data, _)) = layer.snapshot.vector() else {
                continue;
            };
            for (number, row) in listed.features.iter().enumerate().take(MAX_SHAPES) {
                let Some(feature) = data.ids.feature(row.id) else {
                    continue;
                };
                let view_of = data.features.feature(data.index.record(feature).offset)?;
                let crs = &layer.snapshot.manifest.crs;
                // What has no place is refused by the report.
                read_rings(&view_of, crs, &prepared.ground, &mut cursor, &mut rings);
                let drawn = view.rings(&rings);
                if !drawn.is_empty() {
                    shapes.push(Shape {
                        feature: number,
                        rings: drawn,
                    });
                }
            }
            layers.push(shapes);
        }
        Ok(Drawing {
            metres_per_unit: view.metres_per_unit,
            boundary: view.rings(&prepared.rings),
            layers,
        })
    }
}
