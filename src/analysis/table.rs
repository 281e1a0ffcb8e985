//! Areas by combination of groups.
//!
//! Every layer that can have rows outside of the layers before it leads chunks of its own. A
//! chunk's table says everything about the lead's features; of it are kept the rows that no chunk
//! led by an earlier layer has. Sums are exact integers: their order does not matter.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::chunk::{Chunk, Labels as Kind, Stack};
use super::frame::Plane;
use super::reader::Reader;
use super::{
    AnalysisError, AreaReport, Excess, Group, LayerRead, PieceRow, Progress, Request, Row,
};
use crate::overlay::{
    LabelHasher, Labels, MAX_LAYERS, OUTSIDE, OVERLAP, OverlayError, in_square_grid_units,
};
use crate::query::Budget;

type Sums = HashMap<Labels, i128, BuildHasherDefault<LabelHasher>>;

/// What the chunks so far add up to.
#[derive(Default)]
struct Part {
    sums: Sums,
    edges: Vec<u64>,
}

/// Areas of the combinations of groups a request asks for.
///
/// # Errors
/// As [`super::areas`].
pub fn areas_of(
    request: &Request<'_>,
    budget: &Budget,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<AreaReport, AnalysisError> {
    if !request.mode.is_additive() {
        return piece_by_piece(request, budget, progress);
    }
    let found = request.selections.len();
    let most = MAX_LAYERS - usize::from(request.clip.is_some());
    if !(2..=most).contains(&found) {
        return Err(OverlayError::LayerCount { found }.into());
    }
    let plane = super::working_plane(request.selections, request.mode)?;
    progress(Progress::Choosing);
    let stack = Stack {
        readers: open_all(request, budget)?,
        plane,
        clip: request.clip.as_ref(),
        budget,
    };
    let mut chunks = Vec::new();
    for lead in request.operation.leads(found) {
        chunks.extend(stack.chunks(lead)?);
    }
    let total: u64 = chunks.iter().map(|chunk| chunk.features.len() as u64).sum();
    let done = AtomicU64::new(0);
    let part = chunks
        .par_iter()
        .with_max_len(1)
        .try_fold(Part::default, |mut part, chunk| {
            budget.check()?;
            add_chunk(request, &stack, chunk, &mut part)?;
            let own = chunk.features.len() as u64;
            let done = done.fetch_add(own, Ordering::Relaxed) + own;
            progress(Progress::Overlaying(done, total));
            Ok::<Part, AnalysisError>(part)
        })
        .try_reduce(Part::default, |a, b| Ok(merged(a, b)))?;
    Ok(report(&stack, part))
}

/// Rules that have no table of their own: every piece is drawn and measured. What a layer covers
/// more than once is not told apart.
fn piece_by_piece(
    request: &Request<'_>,
    budget: &Budget,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<AreaReport, AnalysisError> {
    let found = request.selections.len();
    if found < 2 {
        return Err(OverlayError::LayerCount { found }.into());
    }
    let readers = open_all(request, budget)?;
    let mut sums: BTreeMap<Vec<Option<u32>>, f64> = BTreeMap::new();
    let mut add = |piece: PieceRow| {
        let groups = readers
            .iter()
            .zip(&piece.features)
            .map(|(reader, feature)| feature.map(|f| reader.group_of(f)).transpose())
            .collect::<Result<_, _>>()?;
        *sums.entry(groups).or_insert(0.0) += piece.area_m2;
        Ok::<(), AnalysisError>(())
    };
    let made = super::pieces(request, budget, progress, &mut add)?;
    let mut rows: Vec<Row> = sums
        .into_iter()
        .map(|(groups, area_m2)| Row {
            groups: readers
                .iter()
                .zip(groups)
                .map(|(reader, group)| group.map_or(Group::Outside, |g| reader.group(g)))
                .collect(),
            area_m2,
        })
        .collect();
    rows.sort_by(|a, b| a.groups.cmp(&b.groups));
    Ok(AreaReport {
        layers: made.layers,
        rows,
        overlaps: Vec::new(),
    })
}

pub(super) fn open_all<'a>(
    request: &Request<'a>,
    budget: &Budget,
) -> Result<Vec<Reader<'a>>, AnalysisError> {
    request
        .selections
        .iter()
        .enumerate()
        .map(|(number, selection)| {
            let conditions = request.conditions.get(number);
            Reader::open(selection, conditions.map_or(&[], Vec::as_slice), budget)
        })
        .collect()
}

fn add_chunk(
    request: &Request<'_>,
    stack: &Stack<'_>,
    chunk: &Chunk,
    part: &mut Part,
) -> Result<(), AnalysisError> {
    let count = stack.readers.len();
    let mut loaded = stack.load(chunk)?;
    let engine = loaded.engine(Kind::Groups, Kind::Groups)?;
    let mut table = engine.overlay.areas()?;
    for feature in &engine.uncrossed {
        let area = loaded.exact_area(feature);
        for &(mut labels, times) in &feature.combinations {
            labels[chunk.lead] = loaded.layers[chunk.lead].groups[feature.place as usize];
            table.add(&labels, area.wrapping_mul(i128::from(times)));
        }
    }
    part.edges.resize(count, 0);
    for (sum, edges) in part.edges.iter_mut().zip(&engine.edges) {
        *sum += edges;
    }
    for (labels, amount) in table.iter() {
        let own = &labels[..count];
        let earlier = own[..chunk.lead].iter().all(|&label| label == OUTSIDE);
        if own[chunk.lead] == OUTSIDE || !earlier {
            continue;
        }
        if stack.clip.is_some() && labels[count] != 0 {
            continue;
        }
        let overlaps = own.iter().filter(|&&label| label == OVERLAP).count();
        if overlaps > 1 || (overlaps == 0 && !request.operation.shows(own)) {
            continue;
        }
        let mut named = [OUTSIDE; MAX_LAYERS];
        for (layer, &label) in own.iter().enumerate() {
            named[layer] = match (label, engine.labels[layer]) {
                (OUTSIDE | OVERLAP, _) | (_, Kind::Groups | Kind::One) => label,
                (place, Kind::Places) => loaded.layers[layer].groups[place as usize],
            };
        }
        *part.sums.entry(named).or_insert(0) += amount;
    }
    Ok(())
}

fn merged(mut a: Part, mut b: Part) -> Part {
    if a.sums.len() < b.sums.len() {
        std::mem::swap(&mut a, &mut b);
    }
    a.sums.reserve(b.sums.len());
    for (labels, amount) in b.sums {
        *a.sums.entry(labels).or_insert(0) += amount;
    }
    a.edges.resize(a.edges.len().max(b.edges.len()), 0);
    for (sum, edges) in a.edges.iter_mut().zip(b.edges) {
        *sum += edges;
    }
    a
}

fn report(stack: &Stack<'_>, mut part: Part) -> AreaReport {
    let count = stack.readers.len();
    part.edges.resize(count, 0);
    let layers = stack
        .readers
        .iter()
        .zip(&part.edges)
        .map(|(reader, &edges)| layer_read(reader, edges))
        .collect();
    let square_metres = square_metres_per_step(&stack.plane);
    let (mut rows, mut overlaps) = (Vec::new(), Vec::new());
    for (labels, sum) in part.sums {
        if sum == 0 {
            continue;
        }
        let groups = stack
            .readers
            .iter()
            .zip(labels)
            .map(|(reader, label)| match label {
                OUTSIDE | OVERLAP => Group::Outside,
                label => reader.group(label),
            })
            .collect();
        let row = Row {
            groups,
            area_m2: in_square_grid_units(sum) * square_metres,
        };
        match labels[..count].iter().position(|&label| label == OVERLAP) {
            Some(layer) => overlaps.push(Excess { layer, row }),
            None => rows.push(row),
        }
    }
    rows.sort_by(|a, b| a.groups.cmp(&b.groups));
    overlaps.sort_by(|a, b| (a.layer, &a.row.groups).cmp(&(b.layer, &b.row.groups)));
    AreaReport {
        layers,
        rows,
        overlaps,
    }
}

pub(super) fn layer_read(reader: &Reader<'_>, edges: u64) -> LayerRead {
    LayerRead {
        name: reader.name.to_string(),
        generation: reader.generation.to_string(),
        features: reader.count(),
        skipped: reader.skipped,
        edges,
    }
}

fn square_metres_per_step(plane: &Plane<'_>) -> f64 {
    plane.frame([0.0; 2]).square_units_per_step() * plane.square_metres_per_unit()
}
