//! From one zoom to the next coarser: what the coarser one does not show goes.
//!
//! Simplify, let faces join, simplify what became one arc; where a cell is over its budget once
//! more with each [`Effort`], and with the coarse tolerance.

use std::collections::HashSet;

use super::merge::{cell_of_arc, dissolve};
use super::{Arcs, Balance, Effort, Face, MergeOptions, simplify};

/// Twice the area by which a vertex may change a border without being kept, grid units squared.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    pub fine: i64,
    /// Where a cell is over its budget.
    pub coarse: i64,
}

/// Takes vertices and faces away that a cell does not show or cannot hold.
pub fn generalise(
    arcs: Arcs,
    faces: &mut [Face],
    balance: &mut Balance,
    merge: &MergeOptions,
    tolerance: Tolerance,
) -> Arcs {
    let mut crowded: HashSet<u64> = HashSet::new();
    let thin = |arcs: &Arcs, crowded: &HashSet<u64>| {
        let allowed = |arc: usize| {
            let is_crowded =
                !crowded.is_empty() && crowded.contains(&cell_of_arc(arcs, arc, merge.cell_shift));
            if is_crowded {
                tolerance.coarse
            } else {
                tolerance.fine
            }
        };
        simplify(arcs, allowed, Some(merge.pixels))
    };
    let mut arcs = thin(&arcs, &crowded);
    for effort in Effort::ALL {
        let merge = MergeOptions { effort, ..*merge };
        let (linked, report) = dissolve(&arcs, faces, balance, &merge);
        crowded.extend(&report.over);
        arcs = if report.merged > 0 || !report.over.is_empty() {
            thin(&linked, &crowded)
        } else {
            linked
        };
        if report.over.is_empty() {
            break;
        }
    }
    arcs
}
