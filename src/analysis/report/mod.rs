//! What does this polygon lie on? A boundary against layers of the workspace: areas by class and
//! feature that add up to the boundary's own, and a verdict by rules.
//!
//! 1. [`Boundary`] is brought to the grid of the equal-area plane, once ([`boundary`]); edges follow
//!    the bent lines they stand for there
//! 2. per layer the feature index names the candidates; those whose box the boundary does not
//!    touch are not read, the others go through [`crate::overlay::Footprint`] one by one ([`touch`])
//! 3. [`rules`] turn areas into verdicts and words
//! 4. areas are given in whole 0.0001 m² that add up ([`apportion`])
//!
//! On request [`pieces`] draws what the report lists and measures it by the official rule.
//!
//! Areas are the additive ones on the ellipsoid, the same as [`super::areas`] finds for the whole
//! layers; beside them stands the boundary's own area by the official rule. Not here: how a report
//! is written (see `protocol`), who may ask for how much (see `http`).

mod apportion;
pub mod boundary;
pub mod drawing;
pub mod pieces;
pub mod rules;
mod touch;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use self::apportion::{apportion, rounded};
pub use self::boundary::Boundary;
use self::boundary::Prepared;
use self::pieces::{Detail, Officials, PieceShape};
use self::rules::{Measure, Measured, RuleSet, Text, Verdict};
use self::touch::{Piece, Touched};
use super::{AnalysisError, Group};
use crate::crs::{Crs, Datum, PlaneMap};
use crate::overlay::Scratch;
use crate::query::Budget;
use crate::store::Snapshot;

/// One unit of printed areas, 0.0001 m², in exact sums of a grid of 2²⁰ steps a metre: 2⁷³ for a
/// square metre. True to 3e-19 of it.
const PRINTED_UNIT: i128 = 944_473_296_573_929_043;
/// Pieces smaller than this are marked, never dropped.
const SLIVER_M2: f64 = 0.01;

/// A layer to look at.
#[derive(Clone)]
pub struct ReportLayer {
    pub snapshot: Arc<Snapshot>,
    /// The field features are grouped by; the family's in the rules when not given, else none.
    pub field: Option<String>,
}

/// What one report may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Vertices of all features that are read.
    pub vertices: u64,
    /// The boundary's area.
    pub area_m2: f64,
    /// Features listed per layer, the largest first; sums are of all.
    pub listed_features: usize,
}

/// Layers and rules, ready for any number of boundaries.
pub struct Reporter {
    layers: Vec<Layer>,
    rules: Arc<RuleSet>,
    datum: Datum,
    /// The reference system of the first layer, that others are compared with.
    crs: Crs,
    limits: Limits,
}

struct Layer {
    snapshot: Arc<Snapshot>,
    field: Option<String>,
    column: Option<usize>,
    /// Where a class's name stands: DLMC for DLBM.
    label: Option<usize>,
    map: Arc<PlaneMap>,
}

/// The answer about one boundary.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub boundary: BoundarySummary,
    /// The worst of all checks; none without checks.
    pub verdict: Option<Verdict>,
    pub rules: RulesStamp,
    pub area_mode: &'static str,
    pub layers: Vec<LayerReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BoundarySummary {
    pub name: String,
    pub crs: String,
    pub vertices: u64,
    pub bbox_lonlat: [f64; 4],
    pub area_m2: f64,
    /// By the official rule, 0.01 m²; none off the datum of that rule.
    pub official_area_m2: Option<f64>,
    /// Of the divided rings on the grid.
    pub digest: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RulesStamp {
    pub id: String,
    pub version: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerReport {
    pub layer: String,
    pub title: String,
    pub kind: &'static str,
    pub generation: String,
    pub crs: String,
    pub field: Option<String>,
    pub verdict: Option<Verdict>,
    pub checks: Vec<Check>,
    /// Features with a common area.
    pub touched: u64,
    /// Ordered by group, what the layer does not cover last; areas add up to the boundary's.
    pub rows: Vec<Row>,
    /// Set when the layer covers parts of the boundary more than once: its rows then count those
    /// parts as often, and the uncovered part is less by as much.
    pub overlaps_itself: bool,
    /// What the boundary's official area has more than those of all rows: each is rounded on its
    /// own, and parts that are covered more than once count as often. On request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub official_residual_m2: Option<f64>,
    /// The largest first; areas of one group add up to its row when all are listed.
    pub features: Vec<FeatureRow>,
    pub features_omitted: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    #[serde(serialize_with = "value_or_null")]
    pub value: Group,
    pub outside: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    pub features: u64,
    pub area_m2: f64,
    /// Sum of its pieces, each by the official rule; on request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub official_area_m2: Option<f64>,
    pub share: f64,
    pub sliver: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureRow {
    pub id: u64,
    #[serde(serialize_with = "value_or_null")]
    pub value: Group,
    pub area_m2: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub official_area_m2: Option<f64>,
    pub share: f64,
    pub share_of_feature: f64,
    pub sliver: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    pub rule: String,
    pub verdict: Verdict,
    pub area_m2: f64,
    pub share: f64,
    pub features: u64,
    pub text: Text,
}

fn value_or_null<S: serde::Serializer>(group: &Group, out: S) -> Result<S::Ok, S::Error> {
    match group {
        Group::Value(value) => out.serialize_str(value),
        Group::Null | Group::Outside => out.serialize_none(),
    }
}

impl Limits {
    /// For batch work on one's own machine.
    pub const NONE: Limits = Limits {
        vertices: u64::MAX,
        area_m2: f64::INFINITY,
        listed_features: usize::MAX,
    };
}

impl Reporter {
    /// Checks that the layers can be asked together.
    ///
    /// # Errors
    /// No layers, layers that are not polygons or not on one datum, unknown fields.
    pub fn new(
        layers: Vec<ReportLayer>,
        rules: Arc<RuleSet>,
        limits: Limits,
    ) -> Result<Reporter, AnalysisError> {
        let Some(first) = layers.first() else {
            return Err(AnalysisError::NoLayers);
        };
        let crs = first.snapshot.manifest.crs.clone();
        let datum = crs.national_datum().unwrap_or(Datum::Cgcs2000);
        let layers = layers
            .into_iter()
            .map(|layer| {
                expect_comparable(&layer.snapshot.manifest.crs, &crs, || {
                    layer.snapshot.name().to_string()
                })?;
                Layer::new(layer, &rules, datum)
            })
            .collect::<Result<_, AnalysisError>>()?;
        Ok(Reporter {
            layers,
            rules,
            datum,
            crs,
            limits,
        })
    }

    /// The boundary in degrees with its edges divided as in the report, to be drawn on a map.
    ///
    /// # Errors
    /// A boundary that is no polygon or has no place.
    pub fn outline(&self, boundary: &Boundary) -> Result<Outline, AnalysisError> {
        expect_comparable(&boundary.crs, &self.crs, || boundary.name.clone())?;
        let prepared = Prepared::new(boundary, self.datum)?;
        Ok(boundary::outline(&prepared))
    }

    /// The report about one boundary.
    ///
    /// # Errors
    /// A boundary that is no polygon or not on the layers' datum, the limits, the budget.
    pub fn report(&self, boundary: &Boundary, budget: &Budget) -> Result<Report, AnalysisError> {
        let (report, _) = self.detailed(boundary, Detail::default(), budget)?;
        Ok(report)
    }

    /// The report about one boundary with what is asked for beyond it.
    ///
    /// # Errors
    /// As [`Reporter::report`]; more pieces than can be drawn.
    pub fn detailed(
        &self,
        boundary: &Boundary,
        detail: Detail,
        budget: &Budget,
    ) -> Result<(Report, Vec<PieceShape>), AnalysisError> {
        expect_comparable(&boundary.crs, &self.crs, || boundary.name.clone())?;
        let prepared = Prepared::new(boundary, self.datum)?;
        let total = rounded(prepared.footprint.exact_area(), PRINTED_UNIT);
        let found_m2 = total as f64 / 1e4;
        if found_m2 > self.limits.area_m2 {
            return Err(AnalysisError::AreaTooLarge {
                boundary: boundary.name.clone(),
                found_m2,
                limit_m2: self.limits.area_m2,
            });
        }
        let mut scratch = Scratch::default();
        let mut vertices_left = self.limits.vertices;
        let mut layers = Vec::with_capacity(self.layers.len());
        let mut shapes = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            let touched = touch::layer(
                layer,
                &prepared,
                self.datum,
                budget,
                &mut vertices_left,
                &mut scratch,
            )?;
            let mut officials = None;
            if detail != Detail::default() {
                let drawn = pieces::of_layer(layer, &prepared, self.datum, detail, budget)?;
                officials = drawn.officials;
                let own = drawn.shapes.into_iter();
                shapes.extend(own.map(|(feature, polygons)| PieceShape {
                    layer: number,
                    feature,
                    polygons,
                }));
            }
            let mut listed = layer.report(&touched, &prepared, total, &self.rules, self.limits);
            if let (Some(officials), Some(whole)) = (&officials, prepared.official_centi_m2) {
                listed.add_officials(&touched, officials, whole);
            }
            layers.push(listed);
        }
        let verdict = layers.iter().filter_map(|layer| layer.verdict).max();
        let report = Report {
            boundary: BoundarySummary {
                name: boundary.name.clone(),
                crs: boundary.crs.label(),
                vertices: boundary.geometry.vertex_count() as u64,
                bbox_lonlat: prepared.bbox_lonlat.to_array(),
                area_m2: found_m2,
                official_area_m2: prepared.official_centi_m2.map(|centi| centi as f64 / 100.0),
                digest: prepared.digest.clone(),
            },
            verdict,
            rules: RulesStamp {
                id: self.rules.id.clone(),
                version: self.rules.version.clone(),
            },
            area_mode: "additive",
            layers,
        };
        Ok((report, shapes))
    }
}

impl LayerReport {
    /// Puts the official areas beside the others.
    fn add_officials(&mut self, touched: &Touched, officials: &Officials, whole_centi: i64) {
        let of_feature = |id: u64| officials.features.get(&id).copied().unwrap_or(0);
        let m2 = |centi: i64| Some(centi as f64 / 100.0);
        let mut by_group: BTreeMap<&Group, i64> = BTreeMap::new();
        for piece in &touched.features {
            let group = &touched.groups[piece.group as usize].0;
            *by_group.entry(group).or_default() += of_feature(piece.id);
        }
        let mut rest = whole_centi;
        for row in &mut self.rows {
            let centi = if row.outside {
                officials.outside
            } else {
                by_group.get(&row.value).copied().unwrap_or(0)
            };
            rest -= centi;
            row.official_area_m2 = m2(centi);
        }
        for feature in &mut self.features {
            feature.official_area_m2 = m2(of_feature(feature.id));
        }
        self.official_residual_m2 = m2(rest);
    }
}

/// A boundary's rings in degrees, polygon by polygon.
pub type Outline = Vec<Vec<Vec<[f64; 2]>>>;

/// Two systems whose positions mean the same places.
fn expect_comparable(
    found: &Crs,
    expected: &Crs,
    name: impl FnOnce() -> String,
) -> Result<(), AnalysisError> {
    let comparable = match (found.national_datum(), expected.national_datum()) {
        (Some(a), Some(b)) => a == b,
        (None, None) => found.definition == expected.definition,
        (Some(_), None) | (None, Some(_)) => false,
    };
    if comparable {
        return Ok(());
    }
    Err(AnalysisError::MixedDatum {
        layer: name(),
        found: found.label(),
        expected: expected.label(),
    })
}

impl Layer {
    fn new(layer: ReportLayer, rules: &RuleSet, datum: Datum) -> Result<Layer, AnalysisError> {
        let snapshot = layer.snapshot;
        let name = snapshot.name().to_string();
        let Some((_, info)) = snapshot.vector() else {
            return Err(AnalysisError::NotVector { layer: name });
        };
        if info.geometry_type.is_some_and(|kind| kind.dimension() != 2) {
            return Err(AnalysisError::NoPolygons { layer: name });
        }
        let of_family = rules.family(&name).and_then(|family| family.field.clone());
        // A family's field is a suggestion: a layer without it is reported as a whole.
        let of_family = of_family.filter(|field| info.schema.index_of(field).is_some());
        let field = layer.field.or(of_family);
        let column = match &field {
            None => None,
            Some(field) => {
                let column = info.schema.index_of(field);
                Some(column.ok_or_else(|| AnalysisError::NoSuchField {
                    layer: name.clone(),
                    field: field.clone(),
                    known: info.schema.fields.iter().map(|f| f.name.clone()).collect(),
                })?)
            }
        };
        let label = field.as_deref().and_then(|field| {
            let stem = ["BM", "DM", "bm", "dm"]
                .into_iter()
                .find_map(|end| field.strip_suffix(end))?;
            let end = if field.ends_with('M') { "MC" } else { "mc" };
            info.schema.index_of(&format!("{stem}{end}"))
        });
        let map = PlaneMap::to_equal_area(&snapshot.manifest.crs, datum)?;
        Ok(Layer {
            snapshot,
            field,
            column,
            label,
            map,
        })
    }

    fn report(
        &self,
        touched: &Touched,
        prepared: &Prepared,
        total: i64,
        rules: &RuleSet,
        limits: Limits,
    ) -> LayerReport {
        let manifest = &self.snapshot.manifest;
        let whole = prepared.footprint.exact_area();
        let mut by_number: Vec<Class<'_>> = Vec::new();
        by_number.resize_with(touched.groups.len(), Class::default);
        for piece in &touched.features {
            let class = &mut by_number[piece.group as usize];
            class.area = class.area.wrapping_add(piece.area);
            class.features.push(piece);
        }
        for (class, (_, label)) in by_number.iter_mut().zip(&touched.groups) {
            class.label = label.as_deref();
        }
        let groups = touched.groups.iter().map(|(group, _)| group);
        let classes: BTreeMap<&Group, Class<'_>> = groups.zip(by_number).collect();
        let covered = classes
            .values()
            .fold(0i128, |sum, c| sum.wrapping_add(c.area));
        let outside = whole.wrapping_sub(covered);
        let share = |area: i128| {
            if whole == 0 {
                0.0
            } else {
                rounded_share(area as f64 / whole as f64)
            }
        };
        let mut exact: Vec<i128> = classes.values().map(|class| class.area).collect();
        exact.push(outside);
        let units = apportion(&exact, PRINTED_UNIT, total);
        let mut rows = Vec::new();
        let mut features = Vec::with_capacity(touched.features.len());
        for ((group, class), &units) in classes.iter().zip(&units) {
            let pieces: Vec<i128> = class.features.iter().map(|piece| piece.area).collect();
            let own_units = apportion(&pieces, PRINTED_UNIT, units);
            for (piece, units) in class.features.iter().zip(own_units) {
                features.push(FeatureRow {
                    id: piece.id,
                    value: (*group).clone(),
                    area_m2: units as f64 / 1e4,
                    official_area_m2: None,
                    share: share(piece.area),
                    share_of_feature: rounded_share(piece.area as f64 / piece.whole as f64),
                    sliver: is_sliver(units),
                });
            }
            rows.push(Row {
                value: (*group).clone(),
                outside: false,
                label: class.label.map(str::to_string),
                features: class.features.len() as u64,
                area_m2: units as f64 / 1e4,
                official_area_m2: None,
                share: share(class.area),
                sliver: is_sliver(units),
            });
        }
        if let Some(&units) = units.last()
            && (outside != 0 || rows.is_empty())
        {
            rows.push(Row {
                value: Group::Outside,
                outside: true,
                label: None,
                features: 0,
                area_m2: units as f64 / 1e4,
                official_area_m2: None,
                share: share(outside),
                sliver: is_sliver(units),
            });
        }
        features.sort_by(|a, b| b.area_m2.total_cmp(&a.area_m2).then(a.id.cmp(&b.id)));
        let omitted = features.len().saturating_sub(limits.listed_features);
        features.truncate(limits.listed_features);
        let checks = self.checks(&classes, outside, share, rules);
        LayerReport {
            layer: self.snapshot.name().to_string(),
            title: manifest.title.clone(),
            kind: manifest.kind.word(),
            generation: self.snapshot.generation.clone(),
            crs: manifest.crs.label(),
            field: self.field.clone(),
            verdict: checks.iter().map(|check| check.verdict).max(),
            checks,
            touched: touched.features.len() as u64,
            rows,
            overlaps_itself: outside < -PRINTED_UNIT,
            official_residual_m2: None,
            features,
            features_omitted: omitted as u64,
        }
    }

    fn checks(
        &self,
        classes: &BTreeMap<&Group, Class<'_>>,
        outside: i128,
        share: impl Fn(i128) -> f64,
        rules: &RuleSet,
    ) -> Vec<Check> {
        let Some(family) = rules.family(self.snapshot.name()) else {
            return Vec::new();
        };
        let mut checks = Vec::new();
        for rule in &family.checks {
            // A check of classes says nothing about values of another field.
            if !rule.classes.is_empty() && self.field != family.field {
                continue;
            }
            let mut inside = 0i128;
            let mut features = 0;
            for (group, class) in classes {
                let value = match group {
                    Group::Value(value) => Some(value.as_str()),
                    Group::Null | Group::Outside => None,
                };
                if rule.counts(value) {
                    inside = inside.wrapping_add(class.area);
                    features += class.features.len() as u64;
                }
            }
            let area = match rule.measure {
                Measure::Inside => inside,
                Measure::Outside if rule.classes.is_empty() => outside,
                Measure::Outside => {
                    let covered = classes.values().map(|class| class.area);
                    covered
                        .fold(outside, i128::wrapping_add)
                        .wrapping_sub(inside)
                }
            };
            let measured = Measured {
                area_m2: rounded(area, PRINTED_UNIT) as f64 / 1e4,
                share: share(area),
                features,
            };
            let (verdict, text) = rule.judge(&measured);
            checks.push(Check {
                rule: rule.id.clone(),
                verdict,
                area_m2: measured.area_m2,
                share: measured.share,
                features,
                text,
            });
        }
        checks
    }
}

/// What the boundary has of one group.
#[derive(Default)]
struct Class<'a> {
    area: i128,
    label: Option<&'a str>,
    features: Vec<&'a Piece>,
}

fn is_sliver(units: i64) -> bool {
    (units.abs() as f64) < SLIVER_M2 * 1e4
}

/// Nine digits: more would be noise in a document.
fn rounded_share(share: f64) -> f64 {
    if share.is_finite() {
        (share * 1e9).round() / 1e9
    } else {
        0.0
    }
}
