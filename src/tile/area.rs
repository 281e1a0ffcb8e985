//! An area that limits which tiles are made: polygons, asked about boxes.
//!
//! Edges are kept in rows from south to north, so that a box is compared with the edges at its
//! height only. A box that touches the area counts; nothing is cut here.

use crate::crs::Warp;
use crate::geom::{Bbox, Geometry};

/// Edges in a row, on average.
const EDGES_PER_ROW: usize = 16;
const MOST_ROWS: usize = 1 << 14;
/// An edge is divided until its image is straight to this share of the area's size.
const STRAIGHTNESS: f64 = 1e-7;
const MOST_DIVISIONS: u32 = 10;

type Edge = [[f64; 2]; 2];

/// Polygons in the plane of a grid.
#[derive(Debug, Clone)]
pub struct Area {
    bbox: Bbox,
    row_height: f64,
    /// For each row the edges that reach into it.
    rows: Vec<Vec<Edge>>,
}

impl Area {
    /// The polygons brought to a grid's plane; what is within an odd number of rings is inside.
    pub fn new(polygons: &Geometry, to_grid: &Warp) -> Area {
        let mut edges: Vec<Edge> = Vec::new();
        let mut bbox = Bbox::EMPTY;
        let size = {
            let image = to_grid.bbox(&polygons.bbox());
            image.width().max(image.height())
        };
        for ring in polygons.rings() {
            for pair in ring.windows(4).step_by(2) {
                let (a, b) = ([pair[0], pair[1]], [pair[2], pair[3]]);
                divide(
                    a,
                    b,
                    to_grid,
                    size * STRAIGHTNESS,
                    MOST_DIVISIONS,
                    &mut edges,
                );
            }
        }
        for [a, b] in &edges {
            bbox.extend(a[0], a[1]);
            bbox.extend(b[0], b[1]);
        }
        let count = (edges.len() / EDGES_PER_ROW).clamp(1, MOST_ROWS);
        let mut area = Area {
            row_height: (bbox.height() / count as f64).max(f64::MIN_POSITIVE),
            bbox,
            rows: vec![Vec::new(); count],
        };
        for edge in edges {
            let (low, high) = (edge[0][1].min(edge[1][1]), edge[0][1].max(edge[1][1]));
            for row in area.row(low)..=area.row(high) {
                area.rows[row].push(edge);
            }
        }
        area
    }

    /// Around the area, in the plane of the grid.
    pub fn bbox(&self) -> Bbox {
        self.bbox
    }

    fn row(&self, y: f64) -> usize {
        let row = (y - self.bbox.min_y) / self.row_height;
        (row.max(0.0) as usize).min(self.rows.len() - 1)
    }

    /// True when a box and the area have a point in common.
    pub fn meets(&self, bbox: &Bbox) -> bool {
        if !self.bbox.intersects(bbox) {
            return false;
        }
        let rows = self.row(bbox.min_y)..=self.row(bbox.max_y);
        let crossed = rows
            .flat_map(|row| &self.rows[row])
            .any(|edge| crosses(edge, bbox));
        crossed || self.contains(bbox.center())
    }

    fn contains(&self, [x, y]: [f64; 2]) -> bool {
        if !self.bbox.contains_point(x, y) {
            return false;
        }
        let left_of = |edge: &&Edge| {
            let [[ax, ay], [bx, by]] = **edge;
            (ay > y) != (by > y) && x < ax + (y - ay) / (by - ay) * (bx - ax)
        };
        self.rows[self.row(y)].iter().filter(left_of).count() % 2 == 1
    }
}

/// Appends the image of an edge, in pieces where it is bent.
fn divide(a: [f64; 2], b: [f64; 2], warp: &Warp, straight: f64, left: u32, out: &mut Vec<Edge>) {
    let (pa, pb) = (warp.point(a[0], a[1]), warp.point(b[0], b[1]));
    let middle = [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
    let pm = warp.point(middle[0], middle[1]);
    let sag = (pm[0] - (pa[0] + pb[0]) / 2.0).abs() + (pm[1] - (pa[1] + pb[1]) / 2.0).abs();
    if left == 0 || sag <= straight {
        out.push([pa, pb]);
        return;
    }
    divide(a, middle, warp, straight, left - 1, out);
    divide(middle, b, warp, straight, left - 1, out);
}

/// True when a segment and a box have a point in common (Liang and Barsky).
fn crosses(&[a, b]: &Edge, bbox: &Bbox) -> bool {
    let (mut from, mut to) = (0.0f64, 1.0f64);
    for (start, end, min, max) in [
        (a[0], b[0], bbox.min_x, bbox.max_x),
        (a[1], b[1], bbox.min_y, bbox.max_y),
    ] {
        let step = end - start;
        if step == 0.0 {
            if start < min || start > max {
                return false;
            }
            continue;
        }
        let (s, t) = ((min - start) / step, (max - start) / step);
        from = from.max(s.min(t));
        to = to.min(s.max(t));
    }
    from <= to
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crs::Crs;
    use crate::geom::GeometryType;

    /// Plate carrée to plate carrée: nothing moves.
    fn area(polygons: &Geometry) -> Area {
        let crs = Crs::from_user("EPSG:4326").unwrap();
        Area::new(polygons, &Warp::new(&crs, 4326, &polygons.bbox()).unwrap())
    }

    #[test]
    fn boxes_inside_across_in_a_hole_and_away() {
        let outer = [
            [0.0, 0.0],
            [10.0, 0.0],
            [10.0, 10.0],
            [0.0, 10.0],
            [0.0, 0.0],
        ];
        let hole = [[4.0, 4.0], [4.0, 6.0], [6.0, 6.0], [6.0, 4.0], [4.0, 4.0]];
        let area = area(&Geometry::polygon(&[&outer, &hole]));
        let meets = |x0, y0, x1, y1| area.meets(&Bbox::new(x0, y0, x1, y1));
        assert!(meets(1.0, 1.0, 2.0, 2.0), "inside");
        assert!(meets(-1.0, -1.0, 11.0, 11.0), "around");
        assert!(meets(9.0, 9.0, 12.0, 12.0), "across");
        assert!(meets(10.0, 3.0, 12.0, 4.0), "at the edge");
        assert!(!meets(4.5, 4.5, 5.5, 5.5), "in the hole");
        assert!(meets(3.5, 4.5, 4.5, 5.5), "across the hole's edge");
        assert!(!meets(11.0, 0.0, 12.0, 1.0), "away");
    }

    /// Against a count of points: a box with a grid point inside must meet, and where no point of a
    /// fine grid is inside nor an edge near, it must not.
    #[test]
    fn a_star_of_many_edges_agrees_with_its_points() {
        let star: Vec<[f64; 2]> = (0..=720)
            .map(|i| {
                let angle = f64::from(i % 720) / 720.0 * std::f64::consts::TAU;
                let radius = if i % 2 == 0 { 1.0 } else { 0.6 };
                [radius * angle.cos(), radius * angle.sin()]
            })
            .collect();
        let mut polygons = Geometry::new(GeometryType::MultiPolygon);
        polygons.push_ring(star);
        polygons.close_part();
        let area = area(&polygons);
        let (mut inside, mut outside) = (0, 0);
        for i in -30..30 {
            for j in -30..30 {
                let (x, y) = (f64::from(i) / 25.0, f64::from(j) / 25.0);
                let bbox = Bbox::new(x, y, x + 0.04, y + 0.04);
                let nearest = 0.0f64.clamp(x, x + 0.04).hypot(0.0f64.clamp(y, y + 0.04));
                if nearest < 0.59 {
                    assert!(area.meets(&bbox), "{bbox:?}");
                    inside += 1;
                } else if nearest > 1.0 {
                    assert!(!area.meets(&bbox), "{bbox:?}");
                    outside += 1;
                }
            }
        }
        assert!(inside > 500 && outside > 500, "{inside}, {outside}");
    }
}
