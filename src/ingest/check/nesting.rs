//! Which ring lies in which: holes outside their shell, holes in holes, shells in shells.
//!
//! Asked only of boundaries that do not cross, so any vertex of a ring that is not on another one
//! speaks for the whole ring.

use super::Findings;
use crate::geom::boundary::Boundary;
use crate::geom::{Geometry, GeometryType, signed_area};
use crate::model::{IssueCode, Severity};

/// Where a ring goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Shell,
    /// A hole of the polygon with this shell.
    HoleOf(usize),
    /// A hole within a hole adds nothing.
    Dropped,
}

/// The polygons with every hole in the shell around it; `None` when they are so already.
pub(super) fn mended(
    geometry: &Geometry,
    boundary: &Boundary<'_>,
    parts_cross: bool,
    findings: &mut Findings,
) -> Option<Geometry> {
    let shells: Vec<usize> = shell_of_rings(geometry);
    let is_shell = |ring: usize| shells[ring] == ring;
    let mut places: Vec<Place> = Vec::with_capacity(shells.len());
    let mut changed = false;
    let mut nested: Option<[f64; 2]> = None;
    for ring in 0..shells.len() {
        let own_shell = shells[ring];
        let usual = if own_shell == ring {
            Place::Shell
        } else {
            Place::HoleOf(own_shell)
        };
        let first = first_vertex(geometry, ring);
        let Some(around) = rings_around(geometry, boundary, ring) else {
            // It follows other rings all along: GEOS has found that valid.
            places.push(usual);
            continue;
        };
        let place = match usual {
            Place::Shell => {
                // Within a part, not in one of its holes.
                let within_part = around.iter().any(|&outer| {
                    is_shell(outer)
                        && !around
                            .iter()
                            .any(|&hole| hole != outer && shells[hole] == outer)
                });
                // Parts that cross are reported as such.
                if within_part && !parts_cross {
                    nested.get_or_insert(first);
                }
                usual
            }
            Place::HoleOf(_) | Place::Dropped => {
                let in_hole = around
                    .iter()
                    .any(|&outer| outer != own_shell && shells[outer] == own_shell);
                if in_hole {
                    Place::Dropped
                } else if around.contains(&own_shell) {
                    usual
                } else {
                    let smallest = around
                        .iter()
                        .copied()
                        .filter(|&outer| is_shell(outer))
                        .min_by(|&a, &b| area(geometry, a).total_cmp(&area(geometry, b)));
                    smallest.map_or(Place::Shell, Place::HoleOf)
                }
            }
        };
        if place != usual {
            changed = true;
            let done = match place {
                Place::Shell => "a hole lies outside every shell and became a part of its own",
                Place::HoleOf(_) => "a hole lies in another part's shell and was moved there",
                Place::Dropped => "a hole lies within another hole and was left out",
            };
            findings.push(
                IssueCode::HoleOutsideShell,
                Severity::Repaired,
                Some(first),
                done.to_string(),
            );
        }
        places.push(place);
    }
    if let Some(place) = nested {
        findings.push(
            IssueCode::NestedShells,
            Severity::Kept,
            Some(place),
            "a part of the multipolygon lies within another".to_string(),
        );
    }
    changed.then(|| rebuilt(geometry, &places))
}

/// The shell's ring of every ring's polygon.
fn shell_of_rings(geometry: &Geometry) -> Vec<usize> {
    geometry
        .polygons()
        .flat_map(|rings| {
            let shell = rings.start;
            rings.map(move |_| shell)
        })
        .collect()
}

fn rings_around(geometry: &Geometry, boundary: &Boundary<'_>, ring: usize) -> Option<Vec<usize>> {
    geometry
        .ring(ring)
        .chunks_exact(2)
        .find_map(|point| boundary.rings_around([point[0], point[1]], Some(ring)))
}

fn first_vertex(geometry: &Geometry, ring: usize) -> [f64; 2] {
    let xy = geometry.ring(ring);
    [xy[0], xy[1]]
}

fn area(geometry: &Geometry, ring: usize) -> f64 {
    signed_area(geometry.ring(ring)).abs()
}

fn rebuilt(geometry: &Geometry, places: &[Place]) -> Geometry {
    let mut order: Vec<(usize, usize)> = places
        .iter()
        .enumerate()
        .filter_map(|(ring, place)| match place {
            Place::Shell => Some((ring, ring)),
            Place::HoleOf(shell) => Some((*shell, ring)),
            Place::Dropped => None,
        })
        .collect();
    // A hole may stand before the shell it moved to.
    order.sort_by_key(|&(shell, ring)| (shell, ring != shell, ring));
    let mut out = Geometry::new(geometry.kind);
    for polygon in order.chunk_by(|a, b| a.0 == b.0) {
        for &(_, ring) in polygon {
            let end = geometry.ends[ring] as usize;
            let start = end - geometry.ring(ring).len() / 2;
            out.xy.extend_from_slice(geometry.ring(ring));
            if !geometry.z.is_empty() {
                out.z.extend_from_slice(&geometry.z[start..end]);
            }
            out.ends.push(out.vertex_count() as u32);
        }
        out.close_part();
    }
    if out.parts.len() > 1 {
        out.kind = GeometryType::MultiPolygon;
    }
    super::rings::turn(&mut out);
    out
}
