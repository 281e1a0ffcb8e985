//! One shape checked: mended where that moves no boundary, reported where something is wrong.
//!
//! 1. Coordinates that are no numbers reject the feature.
//! 2. Rings are closed, repeated points and the tips of spikes dropped, rings without an area left
//!    out ([`rings`]).
//! 3. Shells run counter-clockwise, holes clockwise.
//! 4. Where the boundary of a polygon crosses itself it is split at the crossings; holes go to the
//!    shell they lie in ([`nesting`]).
//! 5. A place outside the reference system's area of use is reported.
//!
//! What cannot be mended without deciding what was meant — parts that overlap, a shell within a
//! shell, a place that cannot be — is kept as it came.

mod nesting;
mod rings;

use crate::crs::Crs;
use crate::geom::boundary::Boundary;
use crate::geom::{Bbox, Geometry, GeometryType};
use crate::model::{Issue, IssueCode, Severity};
use crate::source::{Winding, is_valid, make_valid};

/// Larger shapes are not handed to GEOS, which would take minutes.
const MAX_REPAIR_VERTICES: usize = 2_000_000;

/// What is the same for all shapes of a layer.
#[derive(Debug, Clone)]
pub struct Context {
    plausible: Option<Bbox>,
    geographic: bool,
    winding: Winding,
}

impl Context {
    /// For a layer in `crs` whose rings may run either way.
    pub fn new(crs: &Crs) -> Context {
        Context {
            plausible: crs.plausible_bbox(),
            geographic: crs.geographic,
            winding: Winding::Free,
        }
    }

    /// Rings that run against the rule of their format are reported, not only turned.
    pub fn with_winding(self, winding: Winding) -> Context {
        Context { winding, ..self }
    }
}

/// A shape after the check.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// `None` when there is nothing left to store; an issue says why.
    pub geometry: Option<Geometry>,
    /// Something was mended (turning rings of a format that leaves it open does not count).
    pub repaired: bool,
    pub issues: Vec<Issue>,
}

/// Checks and mends one shape; `source_id` is what the source calls its feature.
pub fn check(geometry: Geometry, source_id: i64, context: &Context) -> Checked {
    let mut findings = Findings {
        source_id,
        issues: Vec::new(),
    };
    let geometry = checked(geometry, context, &mut findings);
    let repaired = geometry.is_some()
        && findings
            .issues
            .iter()
            .any(|issue| issue.severity == Severity::Repaired);
    Checked {
        geometry,
        repaired,
        issues: findings.issues,
    }
}

/// The issues of one feature in the making.
struct Findings {
    source_id: i64,
    issues: Vec<Issue>,
}

impl Findings {
    fn push(
        &mut self,
        code: IssueCode,
        severity: Severity,
        place: Option<[f64; 2]>,
        detail: String,
    ) {
        self.issues.push(Issue {
            code,
            severity,
            feature: Some(self.source_id),
            field: None,
            place,
            detail,
        });
    }
}

fn checked(mut geometry: Geometry, context: &Context, findings: &mut Findings) -> Option<Geometry> {
    if let Some(bad) = geometry
        .xy
        .chunks_exact(2)
        .find(|point| !(is_coordinate(point[0]) && is_coordinate(point[1])))
    {
        findings.push(
            IssueCode::NotFinite,
            Severity::Rejected,
            None,
            format!("a vertex at {}, {}", bad[0], bad[1]),
        );
        return None;
    }
    if geometry.z.iter().any(|z| !z.is_finite()) {
        geometry.z.clear();
        findings.push(
            IssueCode::NotFinite,
            Severity::Repaired,
            None,
            "heights that are no numbers; the feature's heights are left out".to_string(),
        );
    }
    let geometry = match geometry.kind.dimension() {
        0 => geometry,
        1 => rings::clean_lines(geometry, findings)?,
        _ => polygons(geometry, context, findings)?,
    };
    locate(&geometry, context, findings);
    Some(geometry)
}

/// Finite, and small enough for products of four.
fn is_coordinate(value: f64) -> bool {
    value.abs() < 1e70
}

fn polygons(geometry: Geometry, context: &Context, findings: &mut Findings) -> Option<Geometry> {
    let mut geometry = rings::clean_polygons(geometry, findings)?;
    rings::orient(&mut geometry, context.winding, findings);
    let boundary = Boundary::new(&geometry);
    let contacts = boundary.contacts();
    if contacts.unfinished {
        findings.push(
            IssueCode::SelfIntersection,
            Severity::Kept,
            None,
            "so many edges overlap that not all were compared".to_string(),
        );
        return Some(geometry);
    }
    if let Some(place) = contacts.crossing_parts {
        findings.push(
            IssueCode::OverlappingParts,
            Severity::Kept,
            Some(place),
            "parts of the multipolygon overlap or share a border".to_string(),
        );
    }
    let place = contacts
        .crossing
        .or(contacts.touch.filter(|_| has_invalid_polygon(&geometry)));
    if let Some(place) = place {
        return split(geometry, place, findings);
    }
    if geometry.ring_count() > 1 {
        geometry = nesting::mended(
            &geometry,
            &boundary,
            contacts.crossing_parts.is_some(),
            findings,
        )
        .unwrap_or(geometry);
    }
    Some(geometry)
}

/// Whether any single polygon is invalid; how parts lie to each other is not asked.
fn has_invalid_polygon(geometry: &Geometry) -> bool {
    geometry
        .polygons()
        .any(|rings| !is_valid(&single(geometry, rings)))
}

/// One polygon of a multipolygon.
fn single(geometry: &Geometry, rings: std::ops::Range<usize>) -> Geometry {
    let mut out = Geometry::new(GeometryType::Polygon);
    let start = match rings.start {
        0 => 0,
        first => geometry.ends[first - 1] as usize,
    };
    let end = geometry.ends[rings.end - 1] as usize;
    out.xy.extend_from_slice(&geometry.xy[start * 2..end * 2]);
    if !geometry.z.is_empty() {
        out.z.extend_from_slice(&geometry.z[start..end]);
    }
    out.ends
        .extend(geometry.ends[rings].iter().map(|&e| e - start as u32));
    out.close_part();
    out
}

/// Splits every invalid polygon where its boundary crosses or touches itself.
fn split(geometry: Geometry, place: [f64; 2], findings: &mut Findings) -> Option<Geometry> {
    if geometry.vertex_count() > MAX_REPAIR_VERTICES {
        findings.push(
            IssueCode::SelfIntersection,
            Severity::Kept,
            Some(place),
            format!(
                "the boundary crosses itself; with {} vertices it is not split",
                geometry.vertex_count()
            ),
        );
        return Some(geometry);
    }
    let mut out = Geometry::new(GeometryType::MultiPolygon);
    let mut failed = 0;
    for rings in geometry.polygons() {
        let polygon = single(&geometry, rings);
        match make_valid(&polygon) {
            Some(valid) => append(&mut out, &valid),
            None => {
                failed += 1;
                append(&mut out, &polygon);
            }
        }
    }
    if failed > 0 {
        findings.push(
            IssueCode::SelfIntersection,
            Severity::Kept,
            Some(place),
            "the boundary crosses itself and could not be split".to_string(),
        );
        return Some(geometry);
    }
    if out.parts.len() == 1 && geometry.kind == GeometryType::Polygon {
        out.kind = GeometryType::Polygon;
    }
    rings::turn(&mut out);
    findings.push(
        IssueCode::SelfIntersection,
        Severity::Repaired,
        Some(place),
        format!(
            "the boundary meets itself and was split there: {} polygons of {} became {} of {} square units",
            geometry.parts.len(),
            geometry.area(),
            out.parts.len(),
            out.area()
        ),
    );
    Some(out)
}

/// Appends the polygons of `more`. Heights survive only if both have them.
fn append(out: &mut Geometry, more: &Geometry) {
    let keep_z = (out.is_empty() || !out.z.is_empty()) && !more.z.is_empty();
    let (vertices, rings) = (out.vertex_count() as u32, out.ring_count() as u32);
    out.xy.extend_from_slice(&more.xy);
    if keep_z {
        out.z.extend_from_slice(&more.z);
    } else {
        out.z.clear();
    }
    out.ends.extend(more.ends.iter().map(|end| end + vertices));
    out.parts.extend(more.parts.iter().map(|end| end + rings));
}

/// Reports places the reference system is not made for.
fn locate(geometry: &Geometry, context: &Context, findings: &mut Findings) {
    let bbox = geometry.bbox();
    if context.geographic && bbox.width() > 180.0 {
        let jump = geometry.rings().find_map(|ring| {
            ring.windows(4)
                .step_by(2)
                .find(|edge| (edge[2] - edge[0]).abs() > 180.0)
                .map(|edge| [edge[0], edge[1]])
        });
        if let Some(place) = jump {
            findings.push(
                IssueCode::AntimeridianCrossed,
                Severity::Kept,
                Some(place),
                "an edge spans more than 180° of longitude; split the shape at the antimeridian"
                    .to_string(),
            );
        }
    }
    let Some(plausible) = &context.plausible else {
        return;
    };
    if plausible.contains(&bbox) {
        return;
    }
    let place = geometry
        .xy
        .chunks_exact(2)
        .map(|point| [point[0], point[1]])
        .find(|&[x, y]| !plausible.contains_point(x, y));
    let swapped = Bbox::new(bbox.min_y, bbox.min_x, bbox.max_y, bbox.max_x);
    if plausible.contains(&swapped) {
        findings.push(
            IssueCode::AxisOrderSuspect,
            Severity::Kept,
            place,
            "outside the system's area of use, inside with x and y exchanged (坐标轴顺序可能颠倒)"
                .to_string(),
        );
    } else {
        findings.push(
            IssueCode::OutsideCrsArea,
            Severity::Kept,
            place,
            "outside the system's area of use (超出坐标系适用范围)".to_string(),
        );
    }
}
