//! Rings and lines vertex by vertex: closing, repeated points, spikes, direction.

use super::Findings;
use crate::geom::predicate::orientation;
use crate::geom::{Geometry, GeometryType, signed_area};
use crate::model::{IssueCode, Severity};
use crate::source::Winding;

/// What was mended, with the place of the first of each.
#[derive(Default)]
struct Tally {
    unclosed: Count,
    duplicates: Count,
    spikes: Count,
    too_few: Count,
}

#[derive(Default)]
struct Count {
    count: usize,
    place: Option<[f64; 2]>,
}

impl Count {
    fn add(&mut self, place: [f64; 2]) {
        self.count += 1;
        self.place.get_or_insert(place);
    }
}

impl Tally {
    fn report(&self, nothing_left: bool, findings: &mut Findings) {
        let mut report = |code, count: &Count, severity, what: &str| {
            if count.count > 0 {
                findings.push(
                    code,
                    severity,
                    count.place,
                    format!("{} {what}", count.count),
                );
            }
        };
        report(
            IssueCode::UnclosedRing,
            &self.unclosed,
            Severity::Repaired,
            "rings did not end where they began and were closed",
        );
        report(
            IssueCode::DuplicatePoints,
            &self.duplicates,
            Severity::Repaired,
            "repeated points were dropped",
        );
        report(
            IssueCode::Spike,
            &self.spikes,
            Severity::Repaired,
            "tips of spikes without width were dropped",
        );
        let severity = if nothing_left {
            Severity::Rejected
        } else {
            Severity::Repaired
        };
        report(
            IssueCode::TooFewPoints,
            &self.too_few,
            severity,
            "rings or lines have too few different points and were left out",
        );
    }
}

/// Mends the rings of polygons. `None` when no ring with an area is left.
pub(super) fn clean_polygons(geometry: Geometry, findings: &mut Findings) -> Option<Geometry> {
    if !geometry.parts.is_empty() && geometry.rings().all(is_clean) {
        return Some(geometry);
    }
    let mut tally = Tally::default();
    let mut out = Geometry::new(geometry.kind);
    let mut kept = Vec::new();
    for rings in geometry.polygons() {
        let first_ring = out.ring_count();
        for ring in rings.clone() {
            let xy = geometry.ring(ring);
            let start = vertex_start(&geometry, ring);
            kept.clear();
            clean_ring(xy, &mut kept, &mut tally);
            if kept.is_empty() {
                if ring == rings.start {
                    // Without a shell there is no polygon, whatever holes it had.
                    break;
                }
                continue;
            }
            push_vertices(&mut out, &geometry, start, &kept);
            push_vertices(&mut out, &geometry, start, &kept[..1]);
            out.ends.push(out.vertex_count() as u32);
        }
        if out.ring_count() > first_ring {
            out.close_part();
        }
    }
    tally.report(out.is_empty(), findings);
    (!out.is_empty()).then_some(out)
}

/// Mends lines. `None` when none with a length is left.
pub(super) fn clean_lines(geometry: Geometry, findings: &mut Findings) -> Option<Geometry> {
    let is_clean = |line: &[f64]| {
        line.len() >= 4
            && line
                .windows(4)
                .step_by(2)
                .all(|edge| edge[..2] != edge[2..])
    };
    if !geometry.ends.is_empty() && geometry.rings().all(is_clean) {
        return Some(geometry);
    }
    let mut tally = Tally::default();
    let mut out = Geometry::new(geometry.kind);
    let mut kept = Vec::new();
    for index in 0..geometry.ring_count() {
        let xy = geometry.ring(index);
        kept.clear();
        for vertex in 0..xy.len() / 2 {
            let point = at(xy, vertex);
            if kept.last().is_some_and(|&last| at(xy, last) == point) {
                tally.duplicates.add(point);
            } else {
                kept.push(vertex);
            }
        }
        if kept.len() < 2 {
            tally.too_few.add(at(xy, 0));
            continue;
        }
        push_vertices(&mut out, &geometry, vertex_start(&geometry, index), &kept);
        out.ends.push(out.vertex_count() as u32);
    }
    tally.report(out.is_empty(), findings);
    if out.ends.len() == 1 && geometry.ring_count() == 1 {
        out.kind = GeometryType::LineString;
    }
    (!out.is_empty()).then_some(out)
}

/// Turns rings so that shells run counter-clockwise and holes clockwise; reports those that also
/// ran against the rule of their format.
pub(super) fn orient(geometry: &mut Geometry, rule: Winding, findings: &mut Findings) {
    let mut wrong = Count::default();
    let start = turn_each(geometry, |is_shell, clockwise, place| {
        let against_rule = match rule {
            Winding::ShellClockwise => is_shell != clockwise,
            Winding::ShellCounterClockwise => is_shell == clockwise,
            Winding::Free => false,
        };
        if against_rule {
            wrong.add(place);
        }
    });
    debug_assert_eq!(start, geometry.vertex_count());
    if wrong.count > 0 {
        findings.push(
            IssueCode::WrongOrientation,
            Severity::Repaired,
            wrong.place,
            format!("{} rings run against the rule of the format", wrong.count),
        );
    }
}

/// Turns rings silently.
pub(super) fn turn(geometry: &mut Geometry) {
    turn_each(geometry, |_, _, _| {});
}

fn turn_each(geometry: &mut Geometry, mut seen: impl FnMut(bool, bool, [f64; 2])) -> usize {
    let mut start = 0usize;
    let mut shells = geometry.parts.iter().map(|&end| end as usize);
    let mut next_shell = 0usize;
    for ring in 0..geometry.ends.len() {
        let end = geometry.ends[ring] as usize;
        let is_shell = ring == next_shell;
        if is_shell {
            next_shell = shells.next().unwrap_or(usize::MAX);
        }
        let xy = &mut geometry.xy[start * 2..end * 2];
        let clockwise = signed_area(xy) < 0.0;
        seen(is_shell, clockwise, [xy[0], xy[1]]);
        if is_shell == clockwise {
            xy.as_chunks_mut::<2>().0.reverse();
            if !geometry.z.is_empty() {
                geometry.z[start..end].reverse();
            }
        }
        start = end;
    }
    start
}

/// Closed, at least a triangle, no point repeated, no edge folded back onto the one before.
fn is_clean(xy: &[f64]) -> bool {
    let count = xy.len() / 2;
    if count < 4 || xy[..2] != xy[xy.len() - 2..] {
        return false;
    }
    let mut before = at(xy, count - 2);
    let mut here = at(xy, 0);
    for vertex in 1..count {
        let next = at(xy, vertex);
        if here == next || is_spike(before, here, next) {
            return false;
        }
        before = here;
        here = next;
    }
    true
}

/// Whether the edges into and out of `tip` lie on each other.
#[inline]
fn is_spike(before: [f64; 2], tip: [f64; 2], after: [f64; 2]) -> bool {
    let forward =
        (tip[0] - before[0]) * (after[0] - tip[0]) + (tip[1] - before[1]) * (after[1] - tip[1]);
    // Rounding cannot turn the sign of this dot product for edges that lie on each other.
    forward < 0.0 && orientation(before, tip, after) == 0.0
}

/// Collects the vertices of a ring that remain, its closing vertex left out; nothing when it has
/// no area.
fn clean_ring(xy: &[f64], kept: &mut Vec<usize>, tally: &mut Tally) {
    let mut count = xy.len() / 2;
    if count == 0 {
        return;
    }
    if count > 1 && at(xy, 0) == at(xy, count - 1) {
        count -= 1;
    } else {
        tally.unclosed.add(at(xy, 0));
    }
    let mut mended = Tally::default();
    for vertex in 0..count {
        push_mended(xy, kept, vertex, &mut mended);
    }
    // The two ends meet: what is wrong across the seam is mended by taking from them.
    let mut first = 0;
    while kept.len() - first >= 3 {
        let [last, before_last] = [kept[kept.len() - 1], kept[kept.len() - 2]].map(|v| at(xy, v));
        let (start, second) = (at(xy, kept[first]), at(xy, kept[first + 1]));
        if last == start {
            mended.duplicates.add(start);
            kept.pop();
        } else if is_spike(before_last, last, start) {
            mended.spikes.add(last);
            kept.pop();
        } else if is_spike(last, start, second) {
            mended.spikes.add(start);
            first += 1;
        } else {
            break;
        }
    }
    kept.drain(..first);
    if kept.len() < 3 {
        tally.too_few.add(at(xy, 0));
        kept.clear();
        return;
    }
    for (total, found) in [
        (&mut tally.duplicates, mended.duplicates),
        (&mut tally.spikes, mended.spikes),
    ] {
        total.count += found.count;
        total.place = total.place.or(found.place);
    }
}

fn push_mended(xy: &[f64], kept: &mut Vec<usize>, vertex: usize, mended: &mut Tally) {
    let point = at(xy, vertex);
    loop {
        if kept.last().is_some_and(|&last| at(xy, last) == point) {
            mended.duplicates.add(point);
            return;
        }
        if let [.., before, tip] = kept.as_slice()
            && is_spike(at(xy, *before), at(xy, *tip), point)
        {
            mended.spikes.add(at(xy, *tip));
            kept.pop();
            continue;
        }
        kept.push(vertex);
        return;
    }
}

#[inline]
fn at(xy: &[f64], vertex: usize) -> [f64; 2] {
    [xy[vertex * 2], xy[vertex * 2 + 1]]
}

fn vertex_start(geometry: &Geometry, ring: usize) -> usize {
    match ring {
        0 => 0,
        ring => geometry.ends[ring - 1] as usize,
    }
}

fn push_vertices(out: &mut Geometry, from: &Geometry, start: usize, vertices: &[usize]) {
    for &vertex in vertices {
        let [x, y] = at(&from.xy, start + vertex);
        out.xy.extend([x, y]);
        if !from.z.is_empty() {
            out.z.push(from.z[start + vertex]);
        }
    }
}
