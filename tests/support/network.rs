//! Many points and a network of roads around 104° E, 30° N, from a seed.

use onemap::geom::{Geometry, GeometryType};
use onemap::model::{Feature, FieldType, Schema, Value};

use super::{feature, field, text_field};

pub struct Random(pub u64);

impl Random {
    /// From 0 to 1.
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1);
        (self.0 >> 40) as f64 / (1u64 << 24) as f64
    }
}

pub fn point_schema() -> Schema {
    Schema {
        fields: vec![
            text_field("DLBM"),
            field("NO", FieldType::Integer),
            field("YIELD", FieldType::Real),
        ],
    }
}

/// Points, half of them in towns; a town has a class of its own. One place has many.
pub fn points(count: usize, seed: u64) -> Vec<Feature> {
    let mut random = Random(seed);
    let towns: Vec<[f64; 2]> = (0..40)
        .map(|_| [100.0 + 8.0 * random.next(), 26.0 + 8.0 * random.next()])
        .collect();
    (0..count)
        .map(|i| {
            let town = i % towns.len();
            let (class, [x, y]) = if i % 500 == 0 {
                ("well".to_string(), [104.5, 30.5])
            } else if i % 2 == 0 {
                let mut near = || (random.next() + random.next() - 1.0) * 0.1;
                let [x, y] = towns[town];
                (format!("town{town}"), [x + near(), y + near()])
            } else {
                let at = [100.0 + 8.0 * random.next(), 26.0 + 8.0 * random.next()];
                ("field".to_string(), at)
            };
            let values = vec![
                Value::Text(class),
                Value::Integer(i as i64),
                Value::Real((random.next() * 1000.0).round() / 8.0),
            ];
            feature(i as i64, Geometry::point(x, y), values)
        })
        .collect()
}

pub fn line_schema() -> Schema {
    Schema {
        fields: vec![
            text_field("highway"),
            text_field("name"),
            field("lanes", FieldType::Integer),
        ],
    }
}

/// Roads between the nodes of a bent lattice of `n` by `n`: two for each node, but at the rim.
/// Every tenth is a main road.
pub fn roads(n: usize, seed: u64) -> Vec<Feature> {
    const STEP: f64 = 0.05;
    let mut random = Random(seed);
    let nodes: Vec<[f64; 2]> = (0..n * n)
        .map(|i| {
            let mut off = || (random.next() - 0.5) * STEP * 0.5;
            let (x, y) = ((i % n) as f64 * STEP, (i / n) as f64 * STEP);
            [100.0 + x + off(), 26.0 + y + off()]
        })
        .collect();
    let mut roads = Vec::new();
    for i in 0..n * n {
        let (column, row) = (i % n, i / n);
        for (to, is_main, is_there) in [
            (i + 1, row % 10 == 0, column + 1 < n),
            (i + n, column % 10 == 0, row + 1 < n),
        ] {
            if !is_there {
                continue;
            }
            let ([ax, ay], [bx, by]) = (nodes[i], nodes[to]);
            let mut line = Geometry::new(GeometryType::LineString);
            line.push_ring((0..=6).map(|step| {
                let t = f64::from(step) / 6.0;
                let mut off = || match step {
                    1..6 => (random.next() - 0.5) * STEP * 0.1,
                    _ => 0.0,
                };
                [ax + (bx - ax) * t + off(), ay + (by - ay) * t + off()]
            }));
            let number = roads.len() as i64;
            let class = if is_main { "primary" } else { "residential" };
            let values = vec![
                Value::Text(class.into()),
                Value::Text(format!("road {number}")),
                Value::Integer(1 + number % 4),
            ];
            roads.push(feature(number, line, values));
        }
    }
    roads
}
