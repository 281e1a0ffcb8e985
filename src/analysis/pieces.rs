//! Pieces with geometry and lineage.
//!
//! Chunks are those of the area tables; the plane is the first layer's own, so that its vertices
//! and those of layers in the same system come out as they went in. A feature that nothing
//! crosses is handed out as it is. Layers in other systems are brought to the first one's, their
//! long edges divided first.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasherDefault;

use rayon::prelude::*;

use super::chunk::{Chunk, Labels as Kind, Loaded, Stack};
use super::frame::{Frame, Plane};
use super::measure::Meter;
use super::reader::Reader;
use super::{AnalysisError, LayerRead, Operation, Progress, Request};
use crate::geom::{Geometry, GeometryType};
use crate::overlay::{
    CROSSING_UNITS, GridPoint, LabelHasher, Labels, Lines, MAX_LAYERS, OUTSIDE, OVERLAP,
    OverlayError, Piece, Polygon, RingRole,
};
use crate::query::Budget;

/// Chunks worked on at a time, per thread: their pieces wait for those before them.
const WINDOW: usize = 4;

/// A piece of one feature, or of several that lie on each other.
#[derive(Debug, Clone, PartialEq)]
pub struct PieceRow {
    /// Number of the feature in its generation, per layer; `None` outside of the layer.
    pub features: Vec<Option<u32>>,
    /// In the first layer's system.
    pub geometry: Geometry,
    /// The feature of the layer that leads (the first that is not outside) is all of it.
    pub whole: bool,
    /// By the mode of the request.
    pub area_m2: f64,
}

/// What pieces were made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PiecesReport {
    pub layers: Vec<LayerRead>,
    pub pieces: u64,
}

/// Hands out the pieces a request asks for, in the order of the layers' features.
///
/// # Errors
/// As [`super::areas`]; what `each` returns.
pub fn pieces<E: From<AnalysisError>>(
    request: &Request<'_>,
    budget: &Budget,
    progress: &(dyn Fn(Progress) + Sync),
    each: &mut dyn FnMut(PieceRow) -> Result<(), E>,
) -> Result<PiecesReport, E> {
    let found = request.selections.len();
    let most = MAX_LAYERS - usize::from(request.clip.is_some());
    if !(1..=most).contains(&found) {
        return Err(AnalysisError::from(OverlayError::LayerCount { found }).into());
    }
    super::working_plane(request.selections, request.mode)?;
    progress(Progress::Choosing);
    let stack = Stack {
        readers: super::table::open_all(request, budget)?,
        plane: Plane::Of(&request.selections[0].snapshot.manifest.crs),
        clip: request.clip.as_ref(),
        budget,
    };
    let mut chunks = Vec::new();
    for lead in request.operation.leads(found) {
        chunks.extend(stack.chunks(lead)?);
    }
    let total: u64 = chunks.iter().map(|chunk| chunk.features.len() as u64).sum();
    let (mut done, mut count) = (0, 0);
    let mut edges = vec![0u64; found];
    for window in chunks.chunks(WINDOW * rayon::current_num_threads()) {
        let made: Vec<(Vec<PieceRow>, Vec<u64>)> = window
            .par_iter()
            .with_max_len(1)
            .map(|chunk| {
                budget.check().map_err(AnalysisError::from)?;
                of_chunk(request, &stack, chunk)
            })
            .collect::<Result<_, AnalysisError>>()?;
        for (rows, walked) in made {
            for (sum, own) in edges.iter_mut().zip(walked) {
                *sum += own;
            }
            for row in rows {
                count += 1;
                each(row)?;
            }
        }
        done += window
            .iter()
            .map(|chunk| chunk.features.len() as u64)
            .sum::<u64>();
        progress(Progress::Overlaying(done, total));
    }
    let layers = stack
        .readers
        .iter()
        .zip(edges)
        .map(|(reader, edges)| super::table::layer_read(reader, edges))
        .collect();
    Ok(PiecesReport {
        layers,
        pieces: count,
    })
}

fn of_chunk(
    request: &Request<'_>,
    stack: &Stack<'_>,
    chunk: &Chunk,
) -> Result<(Vec<PieceRow>, Vec<u64>), AnalysisError> {
    let count = stack.readers.len();
    let mut loaded = stack.load(chunk)?;
    let engine = loaded.engine(Kind::Places, Kind::Places)?;
    let operation = request.operation;
    let mut meter = Meter::new(stack.readers[0].crs, request.mode)?;
    let mut lines = Lines::of(chunk.lead);
    if operation == Operation::Clip {
        for layer in 1..count {
            lines = lines.united(layer);
        }
    }
    for unit in engine.overlay.units() {
        engine.overlay.trace(&unit, &mut lines)?;
    }
    let wanted = |labels: &Labels| {
        let own = &labels[..count];
        own[..chunk.lead].iter().all(|&label| label == OUTSIDE)
            && operation.shows(own)
            && (stack.clip.is_none() || labels[count] == 0)
    };
    let mut pieces = lines.into_pieces(false, wanted);
    for feature in &engine.uncrossed {
        let mut found = BTreeSet::new();
        for &(mut labels, times) in &feature.combinations {
            labels[chunk.lead] = feature.place;
            if operation == Operation::Clip {
                labels[1..count]
                    .iter_mut()
                    .filter(|label| **label != OUTSIDE)
                    .for_each(|label| *label = 0);
            }
            if times > 0 && !labels.contains(&OVERLAP) && wanted(&labels) {
                found.insert(labels);
            }
        }
        pieces.extend(found.into_iter().map(|labels| Piece {
            labels,
            polygons: None,
        }));
    }
    pieces.sort_by_key(|piece| (piece.labels[chunk.lead], piece.labels));
    let drawn: BTreeSet<u32> = pieces
        .iter()
        .filter(|piece| piece.polygons.is_some())
        .map(|piece| piece.labels[chunk.lead])
        .collect();
    let places = original_places(stack, &loaded, chunk.lead, &drawn)?;
    let rows = pieces
        .into_iter()
        .map(|piece| {
            let features = (0..count)
                .map(|layer| match piece.labels[layer] {
                    OUTSIDE => None,
                    _ if layer > 0 && operation == Operation::Clip => None,
                    place => Some(loaded.layers[layer].features[place as usize]),
                })
                .collect();
            let whole = piece.polygons.is_none();
            let geometry = match &piece.polygons {
                Some(polygons) => drawn_geometry(polygons, &loaded.frame, &places),
                None => whole_geometry(stack, &loaded, chunk.lead, &piece)?,
            };
            Ok(PieceRow {
                features,
                area_m2: meter.area_m2(&geometry)?,
                geometry,
                whole,
            })
        })
        .collect::<Result<_, AnalysisError>>()?;
    Ok((rows, engine.edges))
}

/// Where the grid points of vertices were before they were rounded, for layers in the first
/// one's system; of the lead only those of the drawn features.
fn original_places(
    stack: &Stack<'_>,
    loaded: &Loaded,
    lead: usize,
    drawn: &BTreeSet<u32>,
) -> Result<Places, AnalysisError> {
    let mut places = Places::default();
    if drawn.is_empty() {
        return Ok(places);
    }
    for (number, reader) in stack.readers.iter().enumerate() {
        if !loaded.to_plane[number].is_identity() {
            continue;
        }
        let all = &loaded.layers[number].features;
        if number == lead {
            let some: Vec<u32> = drawn.iter().map(|&place| all[place as usize]).collect();
            places_of(reader, &some, &loaded.frame, &mut places)?;
        } else {
            places_of(reader, all, &loaded.frame, &mut places)?;
        }
    }
    Ok(places)
}

/// Positions of vertices by their grid points.
pub(super) type Places = HashMap<GridPoint, [f64; 2], BuildHasherDefault<LabelHasher>>;

pub(super) fn places_of(
    reader: &Reader<'_>,
    features: &[u32],
    frame: &Frame,
    places: &mut Places,
) -> Result<(), AnalysisError> {
    for &feature in features {
        let record = reader.data.index.record(feature);
        let view = reader.data.features.feature(record.offset)?;
        let Some(geometry) = view.geometry() else {
            continue;
        };
        for part in geometry.parts() {
            for [x, y] in part.all().points() {
                if let Some(point) = frame.grid(x, y) {
                    places.entry(point).or_insert([x, y]);
                }
            }
        }
    }
    Ok(())
}

pub(super) fn drawn_geometry(polygons: &[Polygon], frame: &Frame, places: &Places) -> Geometry {
    let kind = match polygons {
        [_] => GeometryType::Polygon,
        _ => GeometryType::MultiPolygon,
    };
    let mut geometry = Geometry::new(kind);
    for polygon in polygons {
        for ring in polygon {
            geometry.push_ring(ring.iter().map(|&point| {
                let on_grid = point.iter().all(|v| v % CROSSING_UNITS == 0);
                let node = point.map(|v| v / CROSSING_UNITS);
                match places.get(&node) {
                    Some(&place) if on_grid => place,
                    _ => frame.position(point, CROSSING_UNITS),
                }
            }));
        }
        geometry.close_part();
    }
    geometry
}

/// The lead's feature as it is, brought to the first layer's system where it has another.
fn whole_geometry(
    stack: &Stack<'_>,
    loaded: &Loaded,
    lead: usize,
    piece: &Piece,
) -> Result<Geometry, AnalysisError> {
    let place = piece.labels[lead];
    let gathered = &loaded.layers[lead];
    if loaded.to_plane[lead].is_identity() {
        let reader = &stack.readers[lead];
        let record = reader.data.index.record(gathered.features[place as usize]);
        let view = reader.data.features.feature(record.offset)?;
        let geometry = view.geometry().map(|geometry| geometry.to_geometry());
        return Ok(geometry.unwrap_or_else(|| Geometry::new(GeometryType::Polygon)));
    }
    let mut geometry = Geometry::new(GeometryType::MultiPolygon);
    let first = gathered.rings.partition_point(|ring| ring.2 < place);
    let rings = gathered.rings[first..].iter();
    let mut start = match first {
        0 => 0,
        _ => gathered.rings[first - 1].0,
    };
    for &(end, role, _) in rings.take_while(|ring| ring.2 == place) {
        if role == RingRole::Shell && !geometry.ends.is_empty() {
            geometry.close_part();
        }
        let points = gathered.points[start as usize..end as usize].iter();
        geometry.push_ring(points.map(|&point| loaded.frame.position(point, 1)));
        start = end;
    }
    geometry.close_part();
    Ok(geometry)
}
