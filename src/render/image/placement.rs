//! Where the pixels of a picture lie in the image.
//!
//! Exact positions are computed at the nodes of a net over the picture, at most sixteen pixels
//! apart; between them they are interpolated linearly. The net is made finer until, in the middle
//! of its cells, where the interpolation is worst, it is wrong by less than an eighth of a pixel.

use crate::format::cog::Level;
use crate::geom::Bbox;

/// Pixels of the picture whose centres the image can reach; half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub x0: u32,
    pub y0: u32,
    pub x1: u32,
    pub y1: u32,
}

/// A net of positions in the image, in pixels of its full resolution.
pub struct Placement {
    pub window: Window,
    cells: [usize; 2],
    /// Row by row, one more than cells per axis; each belongs to the centre of a pixel or to a
    /// place between two.
    nodes: Vec<[f64; 2]>,
}

/// A box of pixels of a level; half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    pub x0: i64,
    pub y0: i64,
    pub x1: i64,
    pub y1: i64,
}

const CELL_PX: f64 = 16.0;
const TOLERANCE_PX: f64 = 0.125;

impl Window {
    /// `None` when no centre of a pixel lies in `extent`.
    pub fn reached(tile: &Bbox, size_px: [u32; 2], extent: &Bbox) -> Option<Window> {
        let per_x = f64::from(size_px[0]) / tile.width();
        let per_y = f64::from(size_px[1]) / tile.height();
        let first = |edge: f64, size: u32| (edge - 0.5).ceil().clamp(0.0, f64::from(size)) as u32;
        let after =
            |edge: f64, size: u32| ((edge - 0.5).floor() + 1.0).clamp(0.0, f64::from(size)) as u32;
        let window = Window {
            x0: first((extent.min_x - tile.min_x) * per_x, size_px[0]),
            x1: after((extent.max_x - tile.min_x) * per_x, size_px[0]),
            y0: first((tile.max_y - extent.max_y) * per_y, size_px[1]),
            y1: after((tile.max_y - extent.min_y) * per_y, size_px[1]),
        };
        (window.x0 < window.x1 && window.y0 < window.y1).then_some(window)
    }

    /// Distance between the centres of the first and last pixel, per axis.
    fn span_px(&self) -> [f64; 2] {
        [
            f64::from(self.x1 - self.x0 - 1),
            f64::from(self.y1 - self.y0 - 1),
        ]
    }
}

impl Placement {
    /// `place` maps a position of the grid's plane to one in the image.
    pub fn fit(
        window: &Window,
        tile: &Bbox,
        size_px: [u32; 2],
        place: &dyn Fn(f64, f64) -> [f64; 2],
    ) -> Placement {
        let unit_x = tile.width() / f64::from(size_px[0]);
        let unit_y = tile.height() / f64::from(size_px[1]);
        let span = window.span_px();
        // From a share of the window (0 to 1) to the image.
        let exact = |u: f64, v: f64| {
            let x_px = f64::from(window.x0) + 0.5 + u * span[0];
            let y_px = f64::from(window.y0) + 0.5 + v * span[1];
            place(tile.min_x + x_px * unit_x, tile.max_y - y_px * unit_y)
        };
        let mut cells = span.map(|span| (span / CELL_PX).ceil().max(1.0) as usize);
        loop {
            let placement = Placement::sample(*window, cells, &exact);
            let finest = span.map(|span| span.max(1.0) as usize);
            let is_finest = cells[0] >= finest[0] && cells[1] >= finest[1];
            if is_finest || placement.worst_error(&exact) <= placement.tolerance() {
                return placement;
            }
            cells = [0, 1].map(|axis| (cells[axis] * 2).min(finest[axis]));
        }
    }

    fn sample(
        window: Window,
        cells: [usize; 2],
        exact: &dyn Fn(f64, f64) -> [f64; 2],
    ) -> Placement {
        let mut nodes = Vec::with_capacity((cells[0] + 1) * (cells[1] + 1));
        for row in 0..=cells[1] {
            for column in 0..=cells[0] {
                nodes.push(exact(
                    column as f64 / cells[0] as f64,
                    row as f64 / cells[1] as f64,
                ));
            }
        }
        Placement {
            window,
            cells,
            nodes,
        }
    }

    /// An eighth of a pixel, of the picture or of the image, whichever is larger.
    fn tolerance(&self) -> f64 {
        TOLERANCE_PX * self.image_px_per_px().max(1.0)
    }

    fn worst_error(&self, exact: &dyn Fn(f64, f64) -> [f64; 2]) -> f64 {
        let mut worst = 0.0f64;
        for row in 0..self.cells[1] {
            for column in 0..self.cells[0] {
                let u = (column as f64 + 0.5) / self.cells[0] as f64;
                let v = (row as f64 + 0.5) / self.cells[1] as f64;
                let [ex, ey] = exact(u, v);
                let corners = [
                    self.node(column, row),
                    self.node(column + 1, row),
                    self.node(column, row + 1),
                    self.node(column + 1, row + 1),
                ];
                let mean = |axis: usize| corners.iter().map(|node| node[axis]).sum::<f64>() / 4.0;
                worst = worst.max((ex - mean(0)).abs()).max((ey - mean(1)).abs());
            }
        }
        worst
    }

    fn node(&self, column: usize, row: usize) -> [f64; 2] {
        self.nodes[row * (self.cells[0] + 1) + column]
    }

    /// Pixels of the full image per pixel of the picture: the root of the mean of the areas.
    pub fn image_px_per_px(&self) -> f64 {
        let span = self.window.span_px();
        let step = [0, 1].map(|axis| (span[axis] / self.cells[axis] as f64).max(1.0));
        let mut area = 0.0;
        for row in 0..self.cells[1] {
            for column in 0..self.cells[0] {
                let [x, y] = self.node(column, row);
                let [right_x, right_y] = self.node(column + 1, row);
                let [below_x, below_y] = self.node(column, row + 1);
                area += ((right_x - x) * (below_y - y) - (right_y - y) * (below_x - x)).abs();
            }
        }
        let cells = (self.cells[0] * self.cells[1]) as f64;
        (area / cells / (step[0] * step[1])).sqrt()
    }

    /// The pixels of a level that samples within the picture touch.
    pub fn image_area(&self, level_scale: [f64; 2]) -> Area {
        let mut bbox = Bbox::EMPTY;
        for node in &self.nodes {
            bbox.extend(node[0] * level_scale[0], node[1] * level_scale[1]);
        }
        // A bilinear sample reaches half a pixel beyond its place.
        Area {
            x0: (bbox.min_x - 1.0).floor() as i64,
            y0: (bbox.min_y - 1.0).floor() as i64,
            x1: (bbox.max_x + 1.0).ceil() as i64,
            y1: (bbox.max_y + 1.0).ceil() as i64,
        }
    }

    /// Calls `draw` for each run of pixels of a row that lies in one cell of the net:
    /// first pixel, row, number of pixels, place of the first, step to the next.
    pub fn runs(&self, mut draw: impl FnMut(u32, u32, u32, [f64; 2], [f64; 2])) {
        let Window { x0, y0, x1, y1 } = self.window;
        let span = self.window.span_px();
        let step = [0, 1].map(|axis| (span[axis] / self.cells[axis] as f64).max(f64::MIN_POSITIVE));
        for y in y0..y1 {
            let (row, v) = cell_of(f64::from(y - y0), step[1], self.cells[1]);
            let mut x = x0;
            while x < x1 {
                let (column, u) = cell_of(f64::from(x - x0), step[0], self.cells[0]);
                let end_px = ((column + 1) as f64 * step[0]).floor() + 1.0;
                let end = if column + 1 == self.cells[0] {
                    x1
                } else {
                    (x0 + end_px as u32).clamp(x + 1, x1)
                };
                let lerp = |a: f64, b: f64, t: f64| a + (b - a) * t;
                let side = |column: usize| {
                    let (above, below) = (self.node(column, row), self.node(column, row + 1));
                    [0, 1].map(|axis| lerp(above[axis], below[axis], v))
                };
                let (left, right) = (side(column), side(column + 1));
                let place = [0, 1].map(|axis| lerp(left[axis], right[axis], u));
                let per_px = [0, 1].map(|axis| (right[axis] - left[axis]) / step[0].max(1.0));
                draw(x, y, end - x, place, per_px);
                x = end;
            }
        }
    }
}

/// The cell of a net in which a place lies, and how far into it (0 to 1).
fn cell_of(place_px: f64, step_px: f64, cells: usize) -> (usize, f64) {
    let cell = ((place_px / step_px) as usize).min(cells - 1);
    (cell, (place_px / step_px - cell as f64).clamp(0.0, 1.0))
}

impl Area {
    pub fn pixels(&self) -> u64 {
        let side = |from: i64, to: i64| to.saturating_sub(from).max(0) as u64;
        side(self.x0, self.x1).saturating_mul(side(self.y0, self.y1))
    }

    /// The part that the level has; `None` when that is nothing.
    pub fn within(&self, level: &Level) -> Option<Area> {
        let area = Area {
            x0: self.x0.max(0),
            y0: self.y0.max(0),
            x1: self.x1.min(i64::from(level.width_px())),
            y1: self.y1.min(i64::from(level.height_px())),
        };
        (area.x0 < area.x1 && area.y0 < area.y1).then_some(area)
    }
}
