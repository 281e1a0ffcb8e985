//! The work of an analysis in chunks that are small in memory and independent of each other.
//!
//! A chunk is a run of one layer's features in storage order, which is that of a Hilbert curve:
//! its *lead*. Of the other layers it holds what meets the lead's box, shortened beyond it. An
//! engine made of these gives every combination within the lead's features; what lies outside of
//! them is the business of chunks led by other layers.
//!
//! Chunks are a function of the data alone, so results do not depend on threads.

use std::ops::Range;

use super::divide::divided;
use super::frame::{Frame, Plane, ToPlane, shorten};
use super::reader::{Gathered, Reader, bounds_of};
use super::{AnalysisError, Clip};
use crate::crs::{Crs, CrsError, Transform};
use crate::geom::Bbox;
use crate::overlay::{
    GridPoint, LayerBuilder, LayerEdges, Options, Overlay, RingRole, exact_ring_area,
};
use crate::query::Budget;

/// Vertices of the lead's features in a chunk, about: its engine stays within the caches.
const CHUNK_VERTICES: u64 = 1 << 16;
/// Vertices of all layers in a chunk, about, where the lead is sparse among dense layers.
const LOADED_VERTICES: f64 = (1u64 << 18) as f64;
/// However sparse the lead is, a chunk has so many vertices of it.
const FEWEST_VERTICES: u64 = 1 << 11;

/// Share of a box by which it is widened when it is brought to another system.
const BOX_MARGIN: f64 = 0.02;

/// A run of a layer's features.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub lead: usize,
    pub features: Range<u32>,
    /// Box of the run in every layer's own system.
    boxes: Vec<Bbox>,
}

/// All layers of an analysis, the clip area behind them.
pub(super) struct Stack<'a> {
    pub readers: Vec<Reader<'a>>,
    pub plane: Plane<'a>,
    pub clip: Option<&'a Clip>,
    pub budget: &'a Budget,
}

/// A chunk's layers on the grid.
pub(super) struct Loaded {
    pub frame: Frame,
    /// One per layer of the stack.
    pub layers: Vec<Gathered>,
    /// Transforms of the layers, in the same order.
    pub to_plane: Vec<ToPlane>,
    bows: Vec<crate::overlay::Bow>,
    clip: Option<LayerEdges>,
    lead: usize,
    window: [i64; 4],
}

/// How the polygons of a layer are told apart by an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Labels {
    /// By their groups' numbers.
    Groups,
    /// By their places in the chunk.
    Places,
    /// Not at all: only what is outside of the layer matters.
    One,
}

/// An engine, and how to read its labels.
pub(super) struct Engine {
    pub overlay: Overlay,
    /// Per layer.
    pub labels: Vec<Labels>,
    /// Edges of all layers, after merging.
    pub edges: Vec<u64>,
    /// Features of the lead that are not in the engine.
    pub uncrossed: Vec<Uncrossed>,
}

/// A feature of the lead that nothing crosses.
pub(super) struct Uncrossed {
    pub place: u32,
    /// Where its points start.
    points: usize,
    /// Labels of the engine, the lead's left open, and how often each covers the feature.
    pub combinations: Vec<(crate::overlay::Labels, i32)>,
}

/// Cells small against parcels, so that many are seen not to be crossed.
const OPTIONS: Options = Options {
    edges_per_cell: 0.25,
};

impl<'a> Stack<'a> {
    /// The chunks led by a layer.
    pub fn chunks(&self, lead: usize) -> Result<Vec<Chunk>, AnalysisError> {
        let reader = &self.readers[lead];
        let clip_box = match self.clip {
            Some(clip) => Some(box_in(&clip.crs, reader.crs, &clip.polygons.bbox())?),
            None => None,
        };
        let transforms: Vec<Option<Transform>> = self
            .readers
            .iter()
            .map(|other| between(reader.crs, other.crs))
            .collect::<Result<_, _>>()?;
        let vertices_of = |reader: &Reader<'_>| -> u64 {
            let index = &reader.data.index;
            let features = 0..index.len() as u32;
            features
                .map(|feature| u64::from(index.record(feature).vertices))
                .sum()
        };
        let all: u64 = self.readers.iter().map(vertices_of).sum();
        let share = vertices_of(reader) as f64 / all.max(1) as f64;
        let most = ((LOADED_VERTICES * share) as u64).clamp(FEWEST_VERTICES, CHUNK_VERTICES);
        let mut chunks = Vec::new();
        let features = reader.data.index.len() as u32;
        let mut start = 0;
        let mut vertices = 0;
        let mut bbox = Bbox::EMPTY;
        for feature in 0..features {
            let record = reader.data.index.record(feature);
            let own = record.bbox_in_layer_crs;
            if reader.takes(feature) && clip_box.is_none_or(|clip| clip.intersects(&own)) {
                vertices += u64::from(record.vertices);
                bbox = bbox.union(&own);
            }
            let last = feature + 1 == features;
            if vertices >= most || (last && vertices > 0) {
                let boxes = transforms
                    .iter()
                    .map(|transform| match transform {
                        None => Ok(bbox),
                        Some(transform) => moved_box(transform, &bbox),
                    })
                    .collect::<Result<_, CrsError>>()?;
                chunks.push(Chunk {
                    lead,
                    features: start..feature + 1,
                    boxes,
                });
                start = feature + 1;
                vertices = 0;
                bbox = Bbox::EMPTY;
            }
        }
        Ok(chunks)
    }

    /// Reads what a chunk needs.
    pub fn load(&self, chunk: &Chunk) -> Result<Loaded, AnalysisError> {
        let mut to_plane: Vec<ToPlane> = self
            .readers
            .iter()
            .map(|reader| ToPlane::new(reader.crs, &self.plane))
            .collect::<Result<_, _>>()?;
        let lead = chunk.lead;
        let lead_reader = &self.readers[lead];
        let lead_box = chunk.boxes[lead];
        let [x, y] = lead_box.center();
        let mut about = [(x, y)];
        to_plane[lead].transform(&mut about)?;
        let frame = self.plane.frame([about[0].0, about[0].1]);
        let mut layers: Vec<Gathered> = Vec::new();
        layers.resize_with(self.readers.len(), Gathered::default);
        let clip_box = match self.clip {
            Some(clip) => Some(box_in(&clip.crs, lead_reader.crs, &clip.polygons.bbox())?),
            None => None,
        };
        for feature in chunk.features.clone() {
            let own = lead_reader.data.index.record(feature).bbox_in_layer_crs;
            if lead_reader.takes(feature) && clip_box.is_none_or(|clip| clip.intersects(&own)) {
                let gathered = &mut layers[lead];
                lead_reader.gather(feature, &frame, &mut to_plane[lead], None, gathered)?;
            }
        }
        let window = bounds_of(&layers[lead].points).unwrap_or([0; 4]);
        for (number, reader) in self.readers.iter().enumerate() {
            if number == lead {
                continue;
            }
            self.budget.check()?;
            for feature in reader.in_box(&chunk.boxes[number]) {
                let gathered = &mut layers[number];
                reader.gather(
                    feature,
                    &frame,
                    &mut to_plane[number],
                    Some(&window),
                    gathered,
                )?;
            }
        }
        let bows = self
            .readers
            .iter()
            .zip(&mut to_plane)
            .zip(&chunk.boxes)
            .map(|((reader, to_plane), bbox)| frame.bow(reader.crs, to_plane, bbox.center()))
            .collect();
        let clip = match self.clip {
            Some(clip) => Some(self.clip_edges(clip, &frame, &window)?),
            None => None,
        };
        Ok(Loaded {
            frame,
            layers,
            to_plane,
            bows,
            clip,
            lead,
            window,
        })
    }

    fn clip_edges(
        &self,
        clip: &Clip,
        frame: &Frame,
        window: &[i64; 4],
    ) -> Result<LayerEdges, AnalysisError> {
        let mut to_plane = ToPlane::new(&clip.crs, &self.plane)?;
        let bow = frame.bow(&clip.crs, &mut to_plane, clip.polygons.bbox().center());
        let mut builder = LayerBuilder::with_bow(bow);
        for polygon in clip.polygons.polygons() {
            for ring in polygon.clone() {
                let mut positions: Vec<(f64, f64)> = Vec::new();
                let points = clip.polygons.ring(ring).chunks_exact(2);
                let points = points.map(|p| [p[0], p[1]]);
                if to_plane.is_identity() {
                    positions.extend(points.map(|[x, y]| (x, y)));
                } else {
                    let longest_m = frame.longest_edge_m();
                    divided(&clip.crs, longest_m, points, |[x, y]| {
                        positions.push((x, y));
                        Ok::<(), AnalysisError>(())
                    })?;
                    to_plane.transform(&mut positions)?;
                }
                let mut on_grid: Vec<GridPoint> = positions
                    .iter()
                    .map(|&(x, y)| frame.grid(x, y).ok_or(AnalysisError::ClipPlace))
                    .collect::<Result<_, _>>()?;
                shorten(&mut on_grid, 0, window);
                let role = if ring == polygon.start {
                    RingRole::Shell
                } else {
                    RingRole::Hole
                };
                builder.push_ring(0, role, on_grid)?;
            }
        }
        Ok(builder.finish())
    }
}

impl Loaded {
    /// Makes the engine. Layers whose polygons lie on each other are not merged then, so that
    /// what is outside of them is told rightly; the lead needs that not. Of the lead the engine
    /// holds only what something may cross.
    pub fn engine(&mut self, lead_labels: Labels, others: Labels) -> Result<Engine, AnalysisError> {
        let lead = self.lead;
        // Of layers before the lead only rows outside of them are kept.
        let mut labels: Vec<Labels> = (0..self.layers.len())
            .map(|number| if number < lead { Labels::One } else { others })
            .collect();
        labels[lead] = lead_labels;
        let clip = self.clip.take();
        if self.layers.len() == 1 && clip.is_none() {
            let alone = self.edges_of(lead, &self.layers[lead], lead_labels)?;
            return Ok(Engine {
                edges: vec![alone.edge_count() as u64],
                overlay: Overlay::alone(alone, Options::default()),
                labels,
                uncrossed: Vec::new(),
            });
        }
        let mut edges: Vec<LayerEdges> = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            edges.push(if number == lead {
                LayerBuilder::default().finish()
            } else {
                self.edges_of(number, layer, labels[number])?
            });
        }
        edges.extend(clip);
        let mut overlay = Overlay::new(edges, OPTIONS)?;
        for number in overlay.overlapping(Some(self.window)) {
            let Some(layer) = self.layers.get(number) else {
                return Err(AnalysisError::ClipOverlaps);
            };
            // Told apart first, to see which of them it is.
            if labels[number] != Labels::Places {
                let apart = self.edges_of(number, layer, Labels::Places)?;
                overlay.replace(number, apart, Options::default());
            }
            let mut stacked = vec![false; layer.features.len()];
            for place in overlay.overlapping_labels(number, Some(self.window)) {
                stacked[place as usize] = true;
            }
            let is_stacked = |place: u32| stacked.get(place as usize).is_some_and(|is| *is);
            let one = labels[number] == Labels::One;
            labels[number] = Labels::Places;
            let others = layer.features.len() as u32;
            let builder = layer.builder(LayerBuilder::with_bow(self.bows[number]), |place| {
                // Of the others only the border of them all matters.
                if one && !is_stacked(place) {
                    others
                } else {
                    place
                }
            })?;
            let edges = builder.finish_stacked_where(is_stacked);
            overlay.replace(number, edges, OPTIONS);
        }
        let mut uncrossed = Vec::new();
        let mut builder = LayerBuilder::with_bow(self.bows[lead]);
        let layer = &self.layers[lead];
        let mut from = 0;
        for rings in layer.rings.chunk_by(|a, b| a.2 == b.2) {
            let first = from;
            from = rings.last().map_or(first, |ring| ring.0 as usize);
            let place = rings[0].2;
            let bounds = bounds_of(&layer.points[first..from]);
            let found = bounds.and_then(|bounds| overlay.uncrossed(lead, &bounds));
            if let Some(combinations) = found {
                uncrossed.push(Uncrossed {
                    place,
                    points: first,
                    combinations,
                });
                continue;
            }
            let label = match lead_labels {
                Labels::Groups => layer.groups[place as usize],
                Labels::Places => place,
                Labels::One => 0,
            };
            let mut start = first;
            for &(end, role, _) in rings {
                let points = layer.points[start..end as usize].iter().copied();
                builder.push_ring(label, role, points)?;
                start = end as usize;
            }
        }
        overlay.replace(lead, builder.finish(), Options::default());
        let edges = overlay.edge_counts();
        Ok(Engine {
            overlay,
            labels,
            edges,
            uncrossed,
        })
    }

    /// The area of a feature of the lead, in the units of the engine's table.
    pub fn exact_area(&self, feature: &Uncrossed) -> i128 {
        let layer = &self.layers[self.lead];
        let first = layer.rings.partition_point(|ring| ring.2 < feature.place);
        let rings = layer.rings[first..].iter();
        let mut start = feature.points;
        let mut area = 0;
        for &(end, role, _) in rings.take_while(|ring| ring.2 == feature.place) {
            let ring = &layer.points[start..end as usize];
            area += exact_ring_area(ring, role, &self.bows[self.lead]);
            start = end as usize;
        }
        area
    }

    fn edges_of(
        &self,
        number: usize,
        layer: &Gathered,
        labels: Labels,
    ) -> Result<LayerEdges, AnalysisError> {
        let builder = LayerBuilder::with_bow(self.bows[number]);
        let builder = match labels {
            Labels::Groups => layer.builder(builder, |place| layer.groups[place as usize])?,
            Labels::Places => layer.builder(builder, |place| place)?,
            Labels::One => layer.builder(builder, |_| 0)?,
        };
        Ok(builder.finish())
    }
}

fn between(from: &Crs, to: &Crs) -> Result<Option<Transform>, CrsError> {
    if from.definition == to.definition {
        Ok(None)
    } else {
        Transform::new(from, to).map(Some)
    }
}

/// The box around a box in another system.
fn box_in(from: &Crs, to: &Crs, bbox: &Bbox) -> Result<Bbox, CrsError> {
    match between(from, to)? {
        None => Ok(*bbox),
        Some(transform) => moved_box(&transform, bbox),
    }
}

fn moved_box(transform: &Transform, bbox: &Bbox) -> Result<Bbox, CrsError> {
    const STEPS: u32 = 16;
    let mut points = Vec::new();
    for step in 0..=STEPS {
        let t = f64::from(step) / f64::from(STEPS);
        let x = bbox.min_x + bbox.width() * t;
        let y = bbox.min_y + bbox.height() * t;
        points.extend([
            (x, bbox.min_y),
            (x, bbox.max_y),
            (bbox.min_x, y),
            (bbox.max_x, y),
        ]);
    }
    transform.transform(&mut points)?;
    let mut moved = Bbox::EMPTY;
    for (x, y) in points {
        moved.extend(x, y);
    }
    Ok(moved.expanded(
        moved.width() * BOX_MARGIN + f64::EPSILON,
        moved.height() * BOX_MARGIN + f64::EPSILON,
    ))
}
