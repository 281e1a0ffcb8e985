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
    let [cx, cy] = bbox.center();
    let cell_size = bbox.width().min(bbox.height()) as f32;
    if cell_size <= 0.0 || !cell_size.is_finite() {
        return LabelPoint {
            x: cx,
            y: cy,
            clearance: 0.0,
        };
    }
    let edges = Edges::around([cx, cy], rings);
    let mut budget = (MAX_DISTANCE_EVALUATIONS / edges.count.max(1)).max(40);

    let mut best = centroid_cell(rings[0], [cx, cy], &edges);
    let mut queue = BinaryHeap::new();
    // An elongated box is covered by at most 64 cells per side; the rest comes by splitting.
    let (width, height) = (bbox.width() as f32, bbox.height() as f32);
    let columns = (width / cell_size).ceil().clamp(1.0, 64.0);
    let rows = (height / cell_size).ceil().clamp(1.0, 64.0);
    let half = (width / columns / 2.0).max(height / rows / 2.0);
    for column in 0..columns as usize {
        for row in 0..rows as usize {
            let x = -width / 2.0 + (column as f32 + 0.5) * width / columns;
            let y = -height / 2.0 + (row as f32 + 0.5) * height / rows;
            let cell = Cell::new(x, y, half, &edges);
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
            let child = Cell::new(cell.x + dx, cell.y + dy, half, &edges);
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
        x: cx + f64::from(best.x),
        y: cy + f64::from(best.y),
        clearance: f64::from(best.distance.max(0.0)),
    }
}

/// The gain in clearance for which the search goes on: a seventh of what is there (a label's
/// place shows no more), and anything while no point inside has been found.
fn worthwhile_gain(clearance: f32, cell_size: f32) -> f32 {
    if clearance > 0.0 {
        (clearance * 0.15).max(cell_size * 1e-4)
    } else {
        0.0
    }
}

/// A square of the search, relative to the centre of the polygon's box. Single precision is
/// far more than a label's place needs, and runs twice as wide.
#[derive(Clone, Copy)]
struct Cell {
    x: f32,
    y: f32,
    half: f32,
    /// Signed distance of the centre to the border, negative outside.
    distance: f32,
    /// The best distance any point of the cell can have.
    reach: f32,
}

impl Cell {
    fn new(x: f32, y: f32, half: f32, edges: &Edges) -> Cell {
        let distance = edges.signed_distance(x, y);
        Cell {
            x,
            y,
            half,
            distance,
            reach: distance + half * std::f32::consts::SQRT_2,
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

fn centroid_cell(ring: &[f64], [cx, cy]: [f64; 2], edges: &Edges) -> Cell {
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
        return Cell::new(0.0, 0.0, 0.0, edges);
    }
    let (x, y) = (x0 + sx / (3.0 * twice) - cx, y0 + sy / (3.0 * twice) - cy);
    Cell::new(x as f32, y as f32, 0.0, edges)
}

const LANES: usize = 8;

/// The polygon's edges as columns in blocks of eight, so that distances are taken eight at a
/// time; unused lanes are points infinitely far away.
struct Edges {
    blocks: Vec<EdgeBlock>,
    count: usize,
}

#[derive(Clone)]
struct EdgeBlock {
    from_x: [f32; LANES],
    from_y: [f32; LANES],
    to_y: [f32; LANES],
    run_x: [f32; LANES],
    run_y: [f32; LANES],
    /// 1 / length².
    inverse: [f32; LANES],
    /// run_x / run_y, for the crossing with a level ray.
    slope: [f32; LANES],
}

impl EdgeBlock {
    const EMPTY: EdgeBlock = EdgeBlock {
        from_x: [f32::MAX; LANES],
        from_y: [f32::MAX; LANES],
        to_y: [f32::MAX; LANES],
        run_x: [0.0; LANES],
        run_y: [0.0; LANES],
        inverse: [0.0; LANES],
        slope: [0.0; LANES],
    };
}

impl Edges {
    fn around([cx, cy]: [f64; 2], rings: &[&[f64]]) -> Edges {
        let mut edges = Edges {
            blocks: Vec::with_capacity(
                rings.iter().map(|r| r.len() / 2).sum::<usize>() / LANES + 1,
            ),
            count: 0,
        };
        for ring in rings {
            for p in ring.windows(4).step_by(2) {
                let lane = edges.count % LANES;
                if lane == 0 {
                    edges.blocks.push(EdgeBlock::EMPTY);
                }
                let block = edges.blocks.len() - 1;
                let block = &mut edges.blocks[block];
                let (from_x, from_y) = ((p[0] - cx) as f32, (p[1] - cy) as f32);
                let (to_x, to_y) = ((p[2] - cx) as f32, (p[3] - cy) as f32);
                let (run_x, run_y) = (to_x - from_x, to_y - from_y);
                let length_squared = run_x * run_x + run_y * run_y;
                block.from_x[lane] = from_x;
                block.from_y[lane] = from_y;
                block.to_y[lane] = to_y;
                block.run_x[lane] = run_x;
                block.run_y[lane] = run_y;
                block.inverse[lane] = if length_squared > 0.0 {
                    1.0 / length_squared
                } else {
                    0.0
                };
                block.slope[lane] = if run_y == 0.0 { 0.0 } else { run_x / run_y };
                edges.count += 1;
            }
        }
        edges
    }

    /// Distance to the border, negative outside (even-odd).
    fn signed_distance(&self, x: f32, y: f32) -> f32 {
        let mut nearest = [f32::MAX; LANES];
        let mut crossings = [0u32; LANES];
        for block in &self.blocks {
            for lane in 0..LANES {
                let (px, py) = (x - block.from_x[lane], y - block.from_y[lane]);
                let (run_x, run_y) = (block.run_x[lane], block.run_y[lane]);
                let along = (px * run_x + py * run_y) * block.inverse[lane];
                let along = if along > 0.0 { along } else { 0.0 };
                let along = if along < 1.0 { along } else { 1.0 };
                let (ex, ey) = (px - along * run_x, py - along * run_y);
                let squared = ex * ex + ey * ey;
                nearest[lane] = if squared < nearest[lane] {
                    squared
                } else {
                    nearest[lane]
                };
                let spans = (block.from_y[lane] > y) != (block.to_y[lane] > y);
                let right = px < py * block.slope[lane];
                crossings[lane] ^= u32::from(spans & right);
            }
        }
        let distance = nearest.into_iter().fold(f32::MAX, f32::min).sqrt();
        let inside = crossings.into_iter().fold(0, |all, one| all ^ one) == 1;
        if inside { distance } else { -distance }
    }
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
