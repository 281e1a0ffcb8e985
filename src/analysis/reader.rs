//! A stored layer's polygons as rings on the integer grid of a working plane.
//!
//! 1. which features take part is settled once per layer: polygons that satisfy the filter
//! 2. features are read as they are needed; for a plane other than their own, edges longer than
//!    70 m are divided in equal parts first, in the layer's own plane, where they are straight
//! 3. positions are brought to the working plane and rounded to its grid

use std::collections::HashMap;
use std::sync::Mutex;

use rayon::prelude::*;

use super::divide::divided;
use super::filter::Condition;
use super::frame::{Frame, ToPlane};
use super::{AnalysisError, Group, Grouping, Selection};
use crate::crs::Crs;
use crate::format::fgb::{FeatureView, ValueRef};
use crate::geom::Bbox;
use crate::model::VectorInfo;
use crate::overlay::{GridPoint, LayerBuilder, OverlayError, RingRole};
use crate::query::Budget;
use crate::store::VectorData;

/// Features whose attributes are looked at between two questions to the budget.
const BLOCK: u32 = 4096;

/// One layer of an analysis, opened.
pub(super) struct Reader<'a> {
    pub name: &'a str,
    pub generation: &'a str,
    pub data: &'a VectorData,
    pub info: &'a VectorInfo,
    pub crs: &'a Crs,
    grouping: &'a Grouping,
    column: Option<usize>,
    /// Which features take part; `None` for all.
    chosen: Option<Vec<bool>>,
    /// Features without polygons among those looked at.
    pub skipped: u64,
    groups: Mutex<Interned>,
}

#[derive(Default)]
struct Interned {
    numbers: HashMap<Group, u32>,
    names: Vec<Group>,
}

/// The polygons of some features on the grid.
#[derive(Default)]
pub(super) struct Gathered {
    pub points: Vec<GridPoint>,
    /// One past the last point of each ring, its role and its feature's place in `features`.
    pub rings: Vec<(u32, RingRole, u32)>,
    pub features: Vec<u32>,
    /// Their groups, numbered by [`Reader`].
    pub groups: Vec<u32>,
    positions: Vec<(f64, f64)>,
}

impl<'a> Reader<'a> {
    pub fn open(
        selection: &'a Selection<'a>,
        conditions: &[Condition],
        budget: &Budget,
    ) -> Result<Reader<'a>, AnalysisError> {
        let snapshot = selection.snapshot;
        let name = snapshot.name();
        let Some((data, info)) = snapshot.vector() else {
            return Err(AnalysisError::NotVector {
                layer: name.to_string(),
            });
        };
        let column_of = |field: &str| {
            info.schema
                .index_of(field)
                .ok_or_else(|| AnalysisError::NoSuchField {
                    layer: name.to_string(),
                    field: field.to_string(),
                    known: info.schema.fields.iter().map(|f| f.name.clone()).collect(),
                })
        };
        let column = match &selection.grouping {
            Grouping::Layer | Grouping::Feature => None,
            Grouping::Field(field) => Some(column_of(field)?),
        };
        let columns: Vec<usize> = conditions
            .iter()
            .map(|condition| column_of(&condition.field))
            .collect::<Result<_, _>>()?;
        let mut reader = Reader {
            name,
            generation: &snapshot.generation,
            data,
            info,
            crs: &snapshot.manifest.crs,
            grouping: &selection.grouping,
            column,
            chosen: None,
            skipped: 0,
            groups: Mutex::default(),
        };
        reader.choose(conditions, &columns, budget)?;
        Ok(reader)
    }

    fn choose(
        &mut self,
        conditions: &[Condition],
        columns: &[usize],
        budget: &Budget,
    ) -> Result<(), AnalysisError> {
        let all_polygons = self.info.geometry_type.is_some_and(|t| t.dimension() == 2);
        if all_polygons && conditions.is_empty() {
            return Ok(());
        }
        let features = self.data.index.len() as u32;
        let starts: Vec<u32> = (0..features).step_by(BLOCK as usize).collect();
        let blocks: Vec<(Vec<bool>, u64)> = starts
            .par_iter()
            .map(|&start| {
                budget.check()?;
                let mut block = Vec::with_capacity(BLOCK as usize);
                let mut skipped = 0;
                for feature in start..features.min(start + BLOCK) {
                    let record = self.data.index.record(feature);
                    let view = self.data.features.feature(record.offset)?;
                    let polygon = view.geometry().is_some_and(|g| g.kind.dimension() == 2);
                    skipped += u64::from(!polygon);
                    block.push(polygon && self.satisfies(&view, conditions, columns));
                }
                Ok((block, skipped))
            })
            .collect::<Result<_, AnalysisError>>()?;
        self.skipped = blocks.iter().map(|block| block.1).sum();
        if features > 0 && self.skipped == u64::from(features) {
            return Err(AnalysisError::NoPolygons {
                layer: self.name.to_string(),
            });
        }
        self.chosen = Some(blocks.into_iter().flat_map(|block| block.0).collect());
        Ok(())
    }

    fn satisfies(
        &self,
        view: &FeatureView<'_>,
        conditions: &[Condition],
        columns: &[usize],
    ) -> bool {
        if conditions.is_empty() {
            return true;
        }
        let mut values: Vec<Option<ValueRef<'_>>> = vec![None; conditions.len()];
        view.for_each_value(&self.info.schema, |at, value| {
            for (slot, _) in values.iter_mut().zip(columns).filter(|pair| *pair.1 == at) {
                *slot = Some(value);
            }
        });
        conditions
            .iter()
            .zip(values)
            .all(|(condition, value)| condition.holds(value))
    }

    pub fn takes(&self, feature: u32) -> bool {
        self.chosen
            .as_ref()
            .is_none_or(|chosen| chosen[feature as usize])
    }

    /// Features that take part.
    pub fn count(&self) -> u64 {
        match &self.chosen {
            None => self.data.index.len() as u64,
            Some(chosen) => chosen.iter().filter(|&&is| is).count() as u64,
        }
    }

    /// Those of the features in a box that take part.
    pub fn in_box(&self, bbox: &Bbox) -> Vec<u32> {
        let hits = self.data.index.search(bbox, 0.0, || true);
        let mut features = hits.map_or_else(Vec::new, |hits| hits.features);
        features.retain(|&feature| self.takes(feature));
        features
    }

    /// Adds a feature's rings. With `window` those parts of rings that lie beyond it are
    /// shortened: they wind about every place in it as before.
    pub fn gather(
        &self,
        feature: u32,
        frame: &Frame,
        to_plane: &mut ToPlane,
        window: Option<&[i64; 4]>,
        out: &mut Gathered,
    ) -> Result<(), AnalysisError> {
        let record = self.data.index.record(feature);
        let view = self.data.features.feature(record.offset)?;
        let geometry = view.geometry().filter(|shape| shape.kind.dimension() == 2);
        let Some(geometry) = geometry else {
            return Ok(());
        };
        let number = out.features.len() as u32;
        out.features.push(feature);
        out.groups.push(self.group_number(&view, feature));
        for part in geometry.parts() {
            for (place, ring) in part.rings().enumerate() {
                let positions = &mut out.positions;
                positions.clear();
                if to_plane.is_identity() {
                    positions.extend(ring.points().map(|[x, y]| (x, y)));
                } else {
                    let longest_m = frame.longest_edge_m();
                    divided(self.crs, longest_m, ring.points(), |[x, y]| {
                        positions.push((x, y));
                        Ok::<(), AnalysisError>(())
                    })?;
                    to_plane.transform(positions)?;
                }
                let start = out.points.len();
                frame
                    .push_grid(&out.positions, &mut out.points)
                    .ok_or_else(|| AnalysisError::NotFinite {
                        layer: self.name.to_string(),
                        id: record.id,
                    })?;
                if let Some(window) = window {
                    super::frame::shorten(&mut out.points, start, window);
                }
                let role = if place == 0 {
                    RingRole::Shell
                } else {
                    RingRole::Hole
                };
                out.rings.push((out.points.len() as u32, role, number));
            }
        }
        Ok(())
    }

    fn group_number(&self, view: &FeatureView<'_>, feature: u32) -> u32 {
        match (self.grouping, self.column) {
            (Grouping::Layer, _) => 0,
            (Grouping::Feature, _) => feature,
            (Grouping::Field(_), column) => {
                let mut group = Group::Null;
                view.for_each_value(&self.info.schema, |at, value| {
                    if Some(at) == column {
                        group = Group::Value(text(value));
                    }
                });
                let mut known = self.groups.lock().expect("no panic while held");
                if let Some(&number) = known.numbers.get(&group) {
                    return number;
                }
                let number = known.names.len() as u32;
                known.names.push(group.clone());
                known.numbers.insert(group, number);
                number
            }
        }
    }

    /// A feature's group.
    pub fn group_of(&self, feature: u32) -> Result<u32, AnalysisError> {
        let record = self.data.index.record(feature);
        let view = self.data.features.feature(record.offset)?;
        Ok(self.group_number(&view, feature))
    }

    /// The group behind a number.
    pub fn group(&self, number: u32) -> Group {
        match self.grouping {
            Grouping::Layer => Group::Value(self.name.to_string()),
            Grouping::Feature => Group::Value(self.data.index.record(number).id.to_string()),
            Grouping::Field(_) => {
                let known = self.groups.lock().expect("no panic while held");
                known.names[number as usize].clone()
            }
        }
    }
}

impl Gathered {
    /// Edges whose labels are given per place in `features`.
    pub fn builder(
        &self,
        mut builder: LayerBuilder,
        label: impl Fn(u32) -> u32,
    ) -> Result<LayerBuilder, OverlayError> {
        let mut start = 0;
        for &(end, role, feature) in &self.rings {
            let points = self.points[start..end as usize].iter().copied();
            builder.push_ring(label(feature), role, points)?;
            start = end as usize;
        }
        Ok(builder)
    }
}

/// Smallest and largest coordinate on each axis, `None` without points.
pub(super) fn bounds_of(points: &[GridPoint]) -> Option<[i64; 4]> {
    let first = points.first()?;
    let start = [first[0], first[1], first[0], first[1]];
    Some(points.iter().fold(start, |b, p| {
        [
            b[0].min(p[0]),
            b[1].min(p[1]),
            b[2].max(p[0]),
            b[3].max(p[1]),
        ]
    }))
}

pub(super) fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Boolean(value) => value.to_string(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => value.to_string(),
        ValueRef::Text(value) => value.to_string(),
        ValueRef::Binary(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
