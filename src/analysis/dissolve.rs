//! Features of one group as one shape: borders between them are gone.
//!
//! Groups are worked on one by one, each on one thread: a group is held in memory as a whole.
//! Where its polygons lie on each other their union is meant.

use rayon::prelude::*;

use super::frame::{Plane, ToPlane};
use super::measure::Meter;
use super::pieces::{Places, drawn_geometry, places_of};
use super::reader::{Gathered, Reader};
use super::{AnalysisError, AreaMode, Condition, Group, LayerRead, Progress, Selection};
use crate::geom::{Bbox, Geometry};
use crate::overlay::{LayerBuilder, Lines, Options, Overlay};
use crate::query::Budget;

/// Features whose groups are looked up at a time.
const BLOCK: u32 = 4096;

/// All features of a group as one shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Dissolved {
    pub group: Group,
    /// How many features it was.
    pub features: u64,
    /// In the layer's system.
    pub geometry: Geometry,
    pub area_m2: f64,
}

/// Dissolves a layer by its grouping; groups come in the order of their names.
///
/// # Errors
/// As [`super::areas`].
pub fn dissolve(
    selection: &Selection<'_>,
    conditions: &[Condition],
    mode: AreaMode,
    budget: &Budget,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(Vec<Dissolved>, LayerRead), AnalysisError> {
    super::working_plane(std::slice::from_ref(selection), mode)?;
    progress(Progress::Choosing);
    let reader = Reader::open(selection, conditions, budget)?;
    let features = reader.data.index.len() as u32;
    let starts: Vec<u32> = (0..features).step_by(BLOCK as usize).collect();
    let mut numbered: Vec<(u32, u32)> = starts
        .par_iter()
        .map(|&start| {
            budget.check()?;
            (start..features.min(start + BLOCK))
                .filter(|&feature| reader.takes(feature))
                .map(|feature| Ok((reader.group_of(feature)?, feature)))
                .collect::<Result<Vec<_>, AnalysisError>>()
        })
        .collect::<Result<Vec<_>, _>>()?
        .concat();
    numbered.sort_unstable();
    let groups: Vec<&[(u32, u32)]> = numbered.chunk_by(|a, b| a.0 == b.0).collect();
    let total = numbered.len() as u64;
    let done = std::sync::atomic::AtomicU64::new(0);
    let mut dissolved: Vec<(Dissolved, u64)> = groups
        .par_iter()
        .with_max_len(1)
        .map(|group| {
            budget.check()?;
            let made = of_group(&reader, group, mode)?;
            let own = group.len() as u64;
            let done = done.fetch_add(own, std::sync::atomic::Ordering::Relaxed) + own;
            progress(Progress::Overlaying(done, total));
            Ok(made)
        })
        .collect::<Result<_, AnalysisError>>()?;
    dissolved.sort_by(|a, b| a.0.group.cmp(&b.0.group));
    let edges = dissolved.iter().map(|made| made.1).sum();
    let read = super::table::layer_read(&reader, edges);
    Ok((dissolved.into_iter().map(|made| made.0).collect(), read))
}

fn of_group(
    reader: &Reader<'_>,
    group: &[(u32, u32)],
    mode: AreaMode,
) -> Result<(Dissolved, u64), AnalysisError> {
    let features: Vec<u32> = group.iter().map(|entry| entry.1).collect();
    let bbox = features.iter().fold(Bbox::EMPTY, |bbox, &feature| {
        bbox.union(&reader.data.index.record(feature).bbox_in_layer_crs)
    });
    let frame = Plane::Of(reader.crs).frame(bbox.center());
    let mut gathered = Gathered::default();
    for &feature in &features {
        reader.gather(feature, &frame, &mut ToPlane::Identity, None, &mut gathered)?;
    }
    let merged = gathered.builder(LayerBuilder::default(), |_| 0)?.finish();
    let edges = merged.edge_count() as u64;
    let mut engine = Overlay::alone(merged, Options::default());
    if !engine.overlapping(None).is_empty() {
        let apart = gathered.builder(LayerBuilder::default(), |place| place)?;
        let apart = Overlay::alone(apart.finish(), Options::default());
        let stacked = apart.overlapping_labels(0, None);
        let others = features.len() as u32;
        let builder = gathered.builder(LayerBuilder::default(), |place| {
            if stacked.contains(&place) {
                place
            } else {
                others
            }
        })?;
        let edges = builder.finish_stacked_where(|place| stacked.contains(&place));
        engine = Overlay::alone(edges, Options::default());
    }
    let mut lines = Lines::of(0).united(0);
    for unit in engine.units() {
        engine.trace(&unit, &mut lines)?;
    }
    let polygons: Vec<_> = lines
        .into_pieces(true, |_| true)
        .into_iter()
        .filter_map(|piece| piece.polygons)
        .flatten()
        .collect();
    let mut places = Places::default();
    places_of(reader, &features, &frame, &mut places)?;
    let geometry = drawn_geometry(&polygons, &frame, &places);
    let area_m2 = Meter::new(reader.crs, mode)?.area_m2(&geometry)?;
    let number = group[0].0;
    Ok((
        Dissolved {
            group: reader.group(number),
            features: features.len() as u64,
            geometry,
            area_m2,
        },
        edges,
    ))
}
