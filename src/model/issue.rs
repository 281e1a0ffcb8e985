//! What was found wrong with data: coded, counted, located.
//!
//! Bad data is a normal case and not an error. A log keeps every count and a bounded number of
//! examples per code, so that ten million bad rings do not fill the memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How far an issue went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; the data is as it came.
    Note,
    /// Mended without moving a boundary.
    Repaired,
    /// Stored as it came, though something is wrong with it.
    Kept,
    /// The feature (or a part of it) could not be stored.
    Rejected,
}

/// The kinds of issues an import reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssueCode {
    NullGeometry,
    EmptyGeometry,
    NotFinite,
    UnclosedRing,
    TooFewPoints,
    DuplicatePoints,
    Spike,
    WrongOrientation,
    SelfIntersection,
    HoleOutsideShell,
    NestedShells,
    OverlappingParts,
    OutsideCrsArea,
    AxisOrderSuspect,
    AntimeridianCrossed,
    CurveLinearised,
    MeasureDropped,
    CollectionReduced,
    MixedGeometryTypes,
    GeometryUnreadable,
    EncodingGuessed,
    EncodingInvalid,
    TextTruncatedMidCharacter,
    FieldUnsupported,
    DuplicateFieldName,
    MissingCompanionFile,
    DuplicateId,
    IdMissing,
    SourceTruncated,
    ValueNotFinite,
    ValueUnreadable,
    CrsWithoutCode,
    ZoneContradicted,
}

/// One finding at one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Issue {
    pub code: IssueCode,
    pub severity: Severity,
    /// The feature as the source numbers it; `None` for findings about the whole layer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub feature: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub field: Option<String>,
    /// A place in the layer's own coordinates.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<[f64; 2]>,
    /// What was found and what was expected or done, in a sentence fragment.
    pub detail: String,
}

/// Examples kept per code and severity; the counts are complete.
pub const EXAMPLES_PER_CODE: usize = 1000;

/// All findings of one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct IssueLog {
    groups: Vec<IssueGroup>,
    #[serde(skip)]
    position: BTreeMap<(IssueCode, Severity), usize>,
}

/// The findings of one code and severity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IssueGroup {
    pub code: IssueCode,
    pub severity: Severity,
    pub count: u64,
    /// The first [`EXAMPLES_PER_CODE`] findings.
    pub examples: Vec<Issue>,
}

impl IssueLog {
    pub fn push(&mut self, issue: Issue) {
        let at = *self
            .position
            .entry((issue.code, issue.severity))
            .or_insert_with(|| {
                self.groups.push(IssueGroup {
                    code: issue.code,
                    severity: issue.severity,
                    count: 0,
                    examples: Vec::new(),
                });
                self.groups.len() - 1
            });
        let group = &mut self.groups[at];
        group.count += 1;
        if group.examples.len() < EXAMPLES_PER_CODE {
            group.examples.push(issue);
        }
    }

    /// Takes another log in, as if its findings had been pushed here.
    pub fn absorb(&mut self, other: IssueLog) {
        for group in other.groups {
            let counted = group.examples.len() as u64;
            for issue in group.examples {
                self.push(issue);
            }
            let at = self.position[&(group.code, group.severity)];
            self.groups[at].count += group.count - counted;
        }
    }

    /// Findings grouped by code, in the order in which the codes first appeared.
    pub fn groups(&self) -> &[IssueGroup] {
        &self.groups
    }

    pub fn count(&self, code: IssueCode) -> u64 {
        self.groups
            .iter()
            .filter(|group| group.code == code)
            .map(|group| group.count)
            .sum()
    }

    pub fn count_of_severity(&self, severity: Severity) -> u64 {
        self.groups
            .iter()
            .filter(|group| group.severity == severity)
            .map(|group| group.count)
            .sum()
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}
