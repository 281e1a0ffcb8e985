//! How many edges a second does the overlay engine index and walk, on one thread and on two, when
//! few parcels are cut and when every one is?

use std::time::Instant;

use onemap::overlay::{AreaTable, GridPoint, LayerBuilder, LayerEdges, Options, Overlay, RingRole};
use rayon::prelude::*;

const RUNS: usize = 5;
/// Side of both coverages in grid units of 0.1 mm: 100 km.
const SIDE: i64 = 1_000_000_000;

/// `n × n` polygons with `segments` edges a side; neighbours agree vertex by vertex.
struct Lattice {
    n: i64,
    segments: i64,
    seed: u64,
}

impl Lattice {
    /// Between −0.5 and 0.5, a pure function of the place.
    fn noise(&self, place: [i64; 3]) -> f64 {
        let mut state = self.seed;
        for value in place {
            state = (state ^ value as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            state ^= state >> 29;
        }
        (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    }

    fn node(&self, i: i64, j: i64) -> [f64; 2] {
        let cell = SIDE as f64 / self.n as f64;
        [
            (i as f64 + 0.4 * self.noise([i, j, 1])) * cell,
            (j as f64 + 0.4 * self.noise([i, j, 2])) * cell,
        ]
    }

    /// The border between two nodes without its last point.
    fn side(&self, from: [i64; 2], to: [i64; 2], out: &mut Vec<GridPoint>) {
        let (low, high) = (from.min(to), from.max(to));
        let (p, q) = (self.node(low[0], low[1]), self.node(high[0], high[1]));
        let direction = [q[0] - p[0], q[1] - p[1]];
        for step in 0..self.segments {
            let step = if from == low {
                step
            } else {
                self.segments - step
            };
            let t = step as f64 / self.segments as f64;
            let place = [low[0] * 2 + i64::from(low[0] == high[0]), low[1], 3 + step];
            let inner = step > 0 && step < self.segments;
            let off = if inner {
                0.4 * self.noise(place) / self.segments as f64
            } else {
                0.0
            };
            out.push([
                (p[0] + direction[0] * t - direction[1] * off) as i64,
                (p[1] + direction[1] * t + direction[0] * off) as i64,
            ]);
        }
    }

    fn layer(&self, classes: Option<u32>) -> LayerEdges {
        let mut builder = LayerBuilder::default();
        let mut ring = Vec::new();
        for i in 0..self.n {
            for j in 0..self.n {
                ring.clear();
                let corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1], [i, j]];
                for pair in corners.windows(2) {
                    self.side(pair[0], pair[1], &mut ring);
                }
                let number = (i * self.n + j) as u32;
                let label = classes.map_or(number, |classes| {
                    number.wrapping_mul(2_654_435_761) % classes
                });
                builder
                    .push_ring(label, RingRole::Shell, ring.iter().copied())
                    .expect("the lattice is inside the frame");
            }
        }
        builder.finish()
    }
}

fn main() {
    let cases = [
        (
            "90 000 parcels × 400 zones, 40 classes",
            (300, 12, Some(40)),
            (20, 200, None),
        ),
        (
            "90 000 parcels × 400 zones, by pair",
            (300, 12, None),
            (20, 200, None),
        ),
        (
            "90 000 parcels × 10 000 zones, by pair",
            (300, 12, None),
            (100, 40, None),
        ),
        (
            "checkerboard: 90 000 × 88 804, by pair",
            (300, 1, None),
            (298, 1, None),
        ),
    ];
    for (name, a, b) in cases {
        let lattice =
            |(n, segments, _): (i64, i64, Option<u32>), seed| Lattice { n, segments, seed };
        let rings = 4 * (a.0 * a.0 * a.1 + b.0 * b.0 * b.1);
        let (mut merge, mut index) = (Vec::new(), Vec::new());
        let mut walks = [(1, Vec::new()), (2, Vec::new())];
        let mut rows = 0;
        for _ in 0..RUNS {
            let started = Instant::now();
            let layers = vec![lattice(a, 1).layer(a.2), lattice(b, 2).layer(b.2)];
            merge.push(started.elapsed().as_secs_f64());
            let started = Instant::now();
            let overlay = Overlay::new(layers, Options::default()).expect("two layers");
            index.push(started.elapsed().as_secs_f64());
            for (threads, times) in &mut walks {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(*threads)
                    .build();
                let pool = pool.expect("a pool");
                let started = Instant::now();
                let table = pool.install(|| walk(&overlay));
                times.push(started.elapsed().as_secs_f64());
                rows = table.rows_exact().len();
            }
        }
        let [one, two] = walks.map(|(_, times)| median(times));
        println!(
            "{name}: {rings} ring edges, {rows} rows\n  generate and merge {:.3} s, index {:.3} s, walk {one:.3} s on one thread ({:.1} M ring edges/s), {two:.3} s on two ({:.2}×)",
            median(merge),
            median(index),
            rings as f64 / one / 1e6,
            one / two,
        );
    }
}

fn walk(overlay: &Overlay) -> AreaTable {
    let units = overlay.units();
    let part = |mut table: AreaTable, unit: &_| {
        overlay.run(unit, &mut table).expect("labels that agree");
        table
    };
    let add = |mut a: AreaTable, b| {
        a.merge(b);
        a
    };
    units
        .par_iter()
        .fold(AreaTable::default, part)
        .reduce(AreaTable::default, add)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
