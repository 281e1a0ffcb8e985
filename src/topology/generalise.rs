//! From one zoom to the next coarser: what the coarser one does not show goes.
//!
//! Simplify, let faces join, simplify what became one arc; where a cell is over its budget once
//! more with each [`Effort`], and with the coarse tolerance.

use std::collections::{HashMap, HashSet};

use super::merge::{FAR_OFF, cell_of_arc, cell_of_face, dissolve, is_frontier, swept};
use super::{Arcs, Balance, Effort, Face, MergeOptions, NONE, Slack, areas_of, simplify};

/// By how much borders may move.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    pub fine: Slack,
    /// Where a cell is over its budget.
    pub coarse: Slack,
}

/// Takes vertices and faces away that a cell does not show or cannot hold.
pub fn generalise(
    arcs: Arcs,
    faces: &mut [Face],
    balance: &mut Balance,
    merge: &MergeOptions,
    tolerance: Tolerance,
) -> Arcs {
    // Arcs are large: those of a step go as soon as the next ones are there.
    let mut crowded: HashSet<u64> = HashSet::new();
    let mut arcs = {
        let before = arcs;
        let slack = |arc: usize| (!is_frontier(before.sides[arc], faces)).then_some(tolerance.fine);
        simplify(&before, slack, Some(merge.pixels))
    };
    for effort in Effort::ALL {
        let merge = MergeOptions { effort, ..*merge };
        let (linked, report) = dissolve(arcs, faces, balance, &merge);
        crowded.extend(&report.over);
        arcs = if report.merged > 0 || !report.over.is_empty() {
            thin(&linked, faces, balance, &crowded, &merge, tolerance)
        } else {
            linked
        };
        if report.over.is_empty() {
            break;
        }
    }
    arcs
}

/// Simplifies, coarsely in the crowded cells; there classes keep their areas.
fn thin(
    arcs: &Arcs,
    faces: &[Face],
    balance: &Balance,
    crowded: &HashSet<u64>,
    merge: &MergeOptions,
    tolerance: Tolerance,
) -> Arcs {
    let is_crowded = |arc: usize| {
        !crowded.is_empty() && crowded.contains(&cell_of_arc(arcs, arc, merge.cell_shift))
    };
    // What the layer leaves out stays out: no neighbour makes up for what its rim loses.
    let slack = |arc: usize| {
        let sides = arcs.sides[arc];
        if is_frontier(sides, faces) {
            None
        } else if is_crowded(arc) && !sides.contains(&NONE) {
            Some(tolerance.coarse)
        } else {
            Some(tolerance.fine)
        }
    };
    let thinned = simplify(arcs, slack, Some(merge.pixels));
    if crowded.is_empty() {
        return thinned;
    }
    let stays = unevening(arcs, &thinned, faces, balance, crowded, merge);
    let mut out = Arcs::default();
    for arc in 0..arcs.len() {
        let course = if stays.contains(&arc) { arcs } else { &thinned };
        out.push(course.points_of(arc).iter().copied(), arcs.sides[arc]);
    }
    out
}

/// Arcs of crowded cells that ought to stay as they were. Bends of small faces point outwards
/// more often than not, so coarse simplification takes area from the classes of small faces;
/// where a class has lost, the arcs that took most from it per vertex saved are not simplified.
fn unevening(
    arcs: &Arcs,
    thinned: &Arcs,
    faces: &[Face],
    balance: &Balance,
    crowded: &HashSet<u64>,
    merge: &MergeOptions,
) -> HashSet<usize> {
    let areas = areas_of(thinned, faces.len());
    let mut error = balance.clone();
    let mut area_of_cell: HashMap<u64, f64> = HashMap::new();
    for (face, area) in faces.iter().zip(areas).filter(|(face, _)| face.count > 0) {
        let cell = cell_of_face(face, merge.cell_shift);
        error.add(cell, face.class, area - face.area);
        *area_of_cell.entry(cell).or_insert(0.0) += face.area;
    }
    /// What happens when an arc stays.
    struct Gain {
        arc: usize,
        cell: u64,
        from: u32,
        to: u32,
        area: f64,
        per_vertex: f64,
    }
    let mut gains: Vec<Gain> = Vec::new();
    for arc in 0..arcs.len() {
        let (before, after) = (arcs.points_of(arc), thinned.points_of(arc));
        if before.len() == after.len() || arcs.sides[arc].contains(&NONE) {
            continue;
        }
        let cell = cell_of_arc(arcs, arc, merge.cell_shift);
        let [left, right] = arcs.sides[arc].map(|face| faces[face as usize].class);
        if left == right || !crowded.contains(&cell) {
            continue;
        }
        let area = (swept(before) - swept(after)) as f64 / 2.0;
        let (from, to) = if area > 0.0 {
            (right, left)
        } else {
            (left, right)
        };
        gains.push(Gain {
            arc,
            cell,
            from,
            to,
            area: area.abs(),
            per_vertex: area.abs() / (before.len() - after.len()) as f64,
        });
    }
    gains.sort_by(|a, b| {
        b.per_vertex
            .total_cmp(&a.per_vertex)
            .then(a.arc.cmp(&b.arc))
    });
    let mut stays = HashSet::new();
    for gain in gains {
        let far_off = FAR_OFF * area_of_cell.get(&gain.cell).copied().unwrap_or(0.0);
        if error.of(gain.cell, gain.from) > far_off
            && error.of(gain.cell, gain.to) < 0.0
            && error.cost(gain.cell, gain.from, gain.to, gain.area) < 0.0
        {
            error.shift(gain.cell, gain.from, gain.to, gain.area);
            stays.insert(gain.arc);
        }
    }
    stays
}

#[cfg(test)]
mod tests {
    use super::super::{FaceCost, Pixels, Point, Rings, build};
    use super::*;

    /// A square of class 0 with islands of class 1, eight-cornered, so that every corner taken off
    /// an island gives area to the square.
    fn islands(side: i32) -> (Arcs, Vec<Face>) {
        let wide = side * 100;
        let p = |x: i32, y: i32| Point::new(x, y);
        let mut rings = Rings::default();
        rings.push(0, [p(0, 0), p(wide, 0), p(wide, wide), p(0, wide)]);
        let mut rest = f64::from(wide) * f64::from(wide);
        let mut faces = vec![];
        for i in 0..side * side {
            let (x, y) = (i % side * 100 + 20, i / side * 100 + 20);
            let corners = [
                p(x + 12, y),
                p(x + 28, y),
                p(x + 40, y + 12),
                p(x + 40, y + 28),
                p(x + 28, y + 40),
                p(x + 12, y + 40),
                p(x, y + 28),
                p(x, y + 12),
            ];
            rings.push(i as u32 + 1, corners);
            rings.push(0, corners.into_iter().rev());
            let area = 1600.0 - 4.0 * 72.0;
            rest -= area;
            faces.push(face(area, 1, corners[0]));
        }
        faces.insert(0, face(rest, 0, p(0, 0)));
        (build(&rings), faces)
    }

    fn face(area: f64, class: u32, place: Point) -> Face {
        Face {
            area,
            class,
            count: 1,
            place,
            runner_up: NONE,
            joined: NONE,
            is_nameless: false,
        }
    }

    #[test]
    fn classes_of_small_faces_keep_their_area_where_borders_are_coarse() {
        let (arcs, mut faces) = islands(8);
        let truth: f64 = faces[1..].iter().map(|face| face.area).sum();
        let whole = truth + faces[0].area;
        let slack = |doubled_area| Slack {
            doubled_area,
            distance: 0.0,
        };
        let merge = MergeOptions {
            min_area: 0.0,
            cell_shift: 20,
            cell_budget: 1,
            unit_shift: 1,
            pixels: Pixels { shift: 20 },
            cost: FaceCost {
                single: 1,
                label: 0,
                label_area: 0.0,
                merged: 1,
                grouped: 1,
                grouped_area: 0.0,
            },
            effort: Effort::Smallest,
        };
        let tolerance = Tolerance {
            fine: slack(0),
            coarse: slack(400),
        };
        let crowded = HashSet::from([0]);
        let shown = |arcs: &Arcs| areas_of(arcs, 65)[1..].iter().sum::<f64>();
        let coarse = simplify(&arcs, |_| Some(tolerance.coarse), Some(merge.pixels));
        let lost = (truth - shown(&coarse)) / whole;
        assert!(lost > 0.01, "{lost}");
        let balance = Balance::default();
        let out = thin(&arcs, &faces, &balance, &crowded, &merge, tolerance);
        let off = (truth - shown(&out)).abs() / whole;
        assert!(off < 0.002, "{off} of {lost}");
        // Between faces of one class there is nothing to keep.
        faces[0].class = 1;
        let out = thin(&arcs, &faces, &balance, &crowded, &merge, tolerance);
        assert_eq!(out.points.len(), coarse.points.len());
    }
}
