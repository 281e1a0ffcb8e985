//! One flat shape type: all vertices in one vector, rings and parts as ends into it.
//!
//! A parcel layer is read, checked, written and cut millions of times; a nested
//! `Vec<Vec<Vec<_>>>` would cost an allocation per ring, this costs two per feature.

use serde::{Deserialize, Serialize};

use super::Bbox;

/// The six simple-feature types a layer can hold. Collections and curves are resolved before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GeometryType {
    Point,
    MultiPoint,
    LineString,
    MultiLineString,
    Polygon,
    MultiPolygon,
}

impl GeometryType {
    /// 0 for points, 1 for lines, 2 for polygons.
    pub fn dimension(self) -> u8 {
        match self {
            GeometryType::Point | GeometryType::MultiPoint => 0,
            GeometryType::LineString | GeometryType::MultiLineString => 1,
            GeometryType::Polygon | GeometryType::MultiPolygon => 2,
        }
    }

    /// The name in the OGC simple-feature model.
    pub fn name(self) -> &'static str {
        match self {
            GeometryType::Point => "Point",
            GeometryType::MultiPoint => "MultiPoint",
            GeometryType::LineString => "LineString",
            GeometryType::MultiLineString => "MultiLineString",
            GeometryType::Polygon => "Polygon",
            GeometryType::MultiPolygon => "MultiPolygon",
        }
    }

    /// The multi type of the same dimension.
    pub fn to_multi(self) -> GeometryType {
        match self.dimension() {
            0 => GeometryType::MultiPoint,
            1 => GeometryType::MultiLineString,
            _ => GeometryType::MultiPolygon,
        }
    }
}

/// A shape in the layer's own plane.
///
/// - points: every vertex of `xy` is a point, `ends` and `parts` are empty;
/// - lines: `ends[i]` is the vertex index one past line `i`, `parts` is empty;
/// - polygons: `ends[i]` is one past ring `i` (closed: first vertex = last), `parts[k]` is the
///   ring index one past polygon `k`; in each polygon the first ring is the shell.
#[derive(Debug, Clone, PartialEq)]
pub struct Geometry {
    pub kind: GeometryType,
    /// `x y` interleaved.
    pub xy: Vec<f64>,
    /// Heights, one per vertex, or empty.
    pub z: Vec<f64>,
    pub ends: Vec<u32>,
    pub parts: Vec<u32>,
}

impl Geometry {
    pub fn new(kind: GeometryType) -> Geometry {
        Geometry {
            kind,
            xy: Vec::new(),
            z: Vec::new(),
            ends: Vec::new(),
            parts: Vec::new(),
        }
    }

    pub fn point(x: f64, y: f64) -> Geometry {
        Geometry {
            xy: vec![x, y],
            ..Geometry::new(GeometryType::Point)
        }
    }

    /// A polygon from closed rings, the shell first.
    pub fn polygon(rings: &[&[[f64; 2]]]) -> Geometry {
        let mut geometry = Geometry::new(GeometryType::Polygon);
        for ring in rings {
            geometry.push_ring(ring.iter().copied());
        }
        geometry.close_part();
        geometry
    }

    /// Appends a ring (or line) and records its end.
    pub fn push_ring(&mut self, points: impl IntoIterator<Item = [f64; 2]>) {
        for [x, y] in points {
            self.xy.push(x);
            self.xy.push(y);
        }
        self.ends.push(self.vertex_count() as u32);
    }

    /// Ends the current polygon after the rings pushed so far.
    pub fn close_part(&mut self) {
        self.parts.push(self.ends.len() as u32);
    }

    pub fn vertex_count(&self) -> usize {
        self.xy.len() / 2
    }

    pub fn is_empty(&self) -> bool {
        self.xy.is_empty()
    }

    pub fn bbox(&self) -> Bbox {
        Bbox::of_xy(&self.xy)
    }

    pub fn ring_count(&self) -> usize {
        self.ends.len()
    }

    /// Vertices of ring (or line) `index`, interleaved.
    pub fn ring(&self, index: usize) -> &[f64] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.xy[start as usize * 2..self.ends[index] as usize * 2]
    }

    pub fn rings(&self) -> impl Iterator<Item = &[f64]> {
        (0..self.ends.len()).map(|i| self.ring(i))
    }

    /// Ring index ranges of the polygons.
    pub fn polygons(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        let mut start = 0usize;
        self.parts.iter().map(move |&end| {
            let range = start..end as usize;
            start = end as usize;
            range
        })
    }

    /// Area of the polygons in square plane units: shells count positive, holes negative,
    /// whatever their winding; 0 for points and lines.
    pub fn area(&self) -> f64 {
        self.polygons()
            .map(|rings| {
                rings
                    .clone()
                    .map(|i| {
                        let area = signed_area(self.ring(i)).abs();
                        if i == rings.start { area } else { -area }
                    })
                    .sum::<f64>()
            })
            .sum()
    }
}

/// Signed area of a closed ring of interleaved `x y`, positive when counter-clockwise.
pub fn signed_area(ring: &[f64]) -> f64 {
    if ring.len() < 6 {
        return 0.0;
    }
    // Relative to the first vertex: with raw eastings near 4e7 the cross products
    // would lose the last digits of a parcel's area.
    let (x0, y0) = (ring[0], ring[1]);
    let mut twice = 0.0;
    for pair in ring.windows(4).step_by(2) {
        twice += (pair[0] - x0) * (pair[3] - y0) - (pair[2] - x0) * (pair[1] - y0);
    }
    twice / 2.0
}
