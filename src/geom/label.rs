//! Where to write a feature's name: the pole of inaccessibility of its largest part.
//!
//! The point inside a polygon that is farthest from its border, found by best-first
//! subdivision of a cell cover (the "polylabel" method of V. Agafonkin, 2016). Lines are
//! labelled at half their length, points at themselves.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::{Bbox, Geometry, signed_area};

/// A place for a label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelPoint {
    pub x: f64,
    pub y: f64,
    /// Distance to the border in plane units (0 for lines and points).
    pub clearance: f64,
}

/// Work is capped per feature: a ring of a million vertices must not stop an import.
const MAX_DISTANCE_EVALUATIONS: usize = 2_000_000;

/// Finds the label point, or `None` for an empty geometry.
pub fn label_point(geometry: &Geometry) -> Option<LabelPoint> {
    if geometry.is_empty() {
        return None;
    }
    match geometry.kind.dimension() {
        0 => Some(LabelPoint {
            x: geometry.xy[0],
            y: geometry.xy[1],
            clearance: 0.0,
        }),
        1 => line_middle(geometry),
        _ => pole_of_largest_part(geometry),
    }
}

fn line_middle(geometry: &Geometry) -> Option<LabelPoint> {
    let length = |line: &[f64]| -> f64 {
        line.windows(4)
            .step_by(2)
            .map(|p| (p[2] - p[0]).hypot(p[3] - p[1]))
            .sum()
    };
    let longest = geometry
        .rings()
        .max_by(|a, b| length(a).total_cmp(&length(b)))?;
    let mut left = length(longest) / 2.0;
    for p in longest.windows(4).step_by(2) {
        let step = (p[2] - p[0]).hypot(p[3] - p[1]);
        if step >= left && step > 0.0 {
            let t = left / step;
            return Some(LabelPoint {
                x: p[0] + (p[2] - p[0]) * t,
                y: p[1] + (p[3] - p[1]) * t,
                clearance: 0.0,
            });
        }
        left -= step;
    }
    longest.first_chunk::<2>().map(|&[x, y]| LabelPoint {
        x,
        y,
        clearance: 0.0,
    })
}

fn pole_of_largest_part(geometry: &Geometry) -> Option<LabelPoint> {
    let part = geometry
        .polygons()
        .filter(|p| !p.is_empty())
        .max_by(|a, b| {
            let area = |p: &std::ops::Range<usize>| signed_area(geometry.ring(p.start)).abs();
            area(a).total_cmp(&area(b))
        })?;
    let rings: Vec<&[f64]> = part.map(|i| geometry.ring(i)).collect();
    Some(pole(&rings))
}

/// Pole of inaccessibility of one polygon given as closed rings, shell first.
fn pole(rings: &[&[f64]]) -> LabelPoint {
    let bbox = Bbox::of_xy(rings[0]);
    let vertices: usize = rings.iter().map(|r| r.len() / 2).sum();
    let cell_size = bbox.width().min(bbox.height());
    let [cx, cy] = bbox.center();
    if cell_size <= 0.0 || !cell_size.is_finite() {
        return LabelPoint {
            x: cx,
            y: cy,
            clearance: 0.0,
        };
    }
    let mut budget = (MAX_DISTANCE_EVALUATIONS / vertices.max(1)).max(40);

    let mut best = centroid_cell(rings, &bbox);
    let mut queue = BinaryHeap::new();
    let half = cell_size / 2.0;
    // An elongated box is covered by at most 64 cells per side; the rest comes by splitting.
    let columns = (bbox.width() / cell_size).ceil().clamp(1.0, 64.0);
    let rows = (bbox.height() / cell_size).ceil().clamp(1.0, 64.0);
    let half_cover = half
        .max(bbox.width() / columns / 2.0)
        .max(bbox.height() / rows / 2.0);
    for column in 0..columns as usize {
        for row in 0..rows as usize {
            let x = bbox.min_x + (column as f64 + 0.5) * bbox.width() / columns;
            let y = bbox.min_y + (row as f64 + 0.5) * bbox.height() / rows;
            let cell = Cell::new(x, y, half_cover, rings);
            if cell.distance > best.distance {
                best = cell;
            }
            queue.push(cell);
        }
    }
    while let Some(cell) = queue.pop() {
        let worthwhile = worthwhile_gain(best.distance, cell_size);
        if cell.reach - best.distance <= worthwhile || budget == 0 {
            break;
        }
        let half = cell.half / 2.0;
        for (dx, dy) in [(-half, -half), (half, -half), (-half, half), (half, half)] {
            let child = Cell::new(cell.x + dx, cell.y + dy, half, rings);
            budget = budget.saturating_sub(1);
            if child.distance > best.distance {
                best = child;
            }
            if child.reach - best.distance > worthwhile {
                queue.push(child);
            }
        }
    }
    LabelPoint {
        x: best.x,
        y: best.y,
        clearance: best.distance.max(0.0),
    }
}

/// The gain in clearance for which the search goes on: a tenth of what is there (a label's place
/// shows no more), and anything while no point inside has been found.
fn worthwhile_gain(clearance: f64, cell_size: f64) -> f64 {
    if clearance > 0.0 {
        (clearance * 0.1).max(cell_size * 1e-4)
    } else {
        0.0
    }
}

#[derive(Clone, Copy)]
struct Cell {
    x: f64,
    y: f64,
    half: f64,
    /// Signed distance of the centre to the border, negative outside.
    distance: f64,
    /// The best distance any point of the cell can have.
    reach: f64,
}

impl Cell {
    fn new(x: f64, y: f64, half: f64, rings: &[&[f64]]) -> Cell {
        let distance = signed_distance(x, y, rings);
        Cell {
            x,
            y,
            half,
            distance,
            reach: distance + half * std::f64::consts::SQRT_2,
        }
    }
}

impl PartialEq for Cell {
    fn eq(&self, other: &Cell) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Cell {}
impl PartialOrd for Cell {
    fn partial_cmp(&self, other: &Cell) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Cell {
    fn cmp(&self, other: &Cell) -> Ordering {
        self.reach
            .total_cmp(&other.reach)
            .then(self.x.total_cmp(&other.x))
            .then(self.y.total_cmp(&other.y))
    }
}

fn centroid_cell(rings: &[&[f64]], bbox: &Bbox) -> Cell {
    let ring = rings[0];
    let (x0, y0) = (ring[0], ring[1]);
    let (mut twice, mut sx, mut sy) = (0.0, 0.0, 0.0);
    for p in ring.windows(4).step_by(2) {
        let (ax, ay, bx, by) = (p[0] - x0, p[1] - y0, p[2] - x0, p[3] - y0);
        let cross = ax * by - bx * ay;
        twice += cross;
        sx += (ax + bx) * cross;
        sy += (ay + by) * cross;
    }
    if twice == 0.0 {
        let [x, y] = bbox.center();
        return Cell::new(x, y, 0.0, rings);
    }
    Cell::new(x0 + sx / (3.0 * twice), y0 + sy / (3.0 * twice), 0.0, rings)
}

fn signed_distance(x: f64, y: f64, rings: &[&[f64]]) -> f64 {
    let mut inside = false;
    let mut nearest = f64::INFINITY;
    for ring in rings {
        for p in ring.windows(4).step_by(2) {
            let (ax, ay, bx, by) = (p[0], p[1], p[2], p[3]);
            if (ay > y) != (by > y) && x < (bx - ax) * (y - ay) / (by - ay) + ax {
                inside = !inside;
            }
            nearest = nearest.min(segment_distance_squared(x, y, ax, ay, bx, by));
        }
    }
    let distance = nearest.sqrt();
    if inside { distance } else { -distance }
}

fn segment_distance_squared(x: f64, y: f64, ax: f64, ay: f64, bx: f64, by: f64) -> f64 {
    let (dx, dy) = (bx - ax, by - ay);
    let length_squared = dx * dx + dy * dy;
    let t = if length_squared > 0.0 {
        (((x - ax) * dx + (y - ay) * dy) / length_squared).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let (ex, ey) = (x - (ax + t * dx), y - (ay + t * dy));
    ex * ex + ey * ey
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_is_labelled_at_its_centre() {
        let square = Geometry::polygon(&[&[[0., 0.], [4., 0.], [4., 4.], [0., 4.], [0., 0.]]]);
        let label = label_point(&square).unwrap();
        assert!((label.x - 2.0).abs() < 0.1 && (label.y - 2.0).abs() < 0.1);
        assert!((label.clearance - 2.0).abs() < 0.1);
    }

    #[test]
    fn a_horseshoe_is_labelled_inside_itself_and_not_at_its_centroid() {
        let horseshoe = Geometry::polygon(&[&[
            [0., 0.],
            [10., 0.],
            [10., 10.],
            [8., 10.],
            [8., 2.],
            [2., 2.],
            [2., 10.],
            [0., 10.],
            [0., 0.],
        ]]);
        let label = label_point(&horseshoe).unwrap();
        assert!(label.clearance > 0.9, "{label:?}");
    }

    #[test]
    fn a_hole_pushes_the_label_aside() {
        let outer = [[0., 0.], [10., 0.], [10., 10.], [0., 10.], [0., 0.]];
        let hole = [[3., 3.], [3., 7.], [7., 7.], [7., 3.], [3., 3.]];
        let label = label_point(&Geometry::polygon(&[&outer, &hole])).unwrap();
        let in_hole = (3.0..=7.0).contains(&label.x) && (3.0..=7.0).contains(&label.y);
        assert!(!in_hole, "{label:?}");
        assert!(label.clearance > 1.4, "{label:?}");
    }
}
