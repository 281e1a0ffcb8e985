//! A seeded parcel fabric for the benches: a jittered lattice whose shared borders are displaced
//! polylines, so that neighbours agree vertex by vertex and borders cost like digitised ones.
#![allow(dead_code, reason = "each bench uses its own part")]

use onemap::crs::Crs;
use onemap::geom::Geometry;
use onemap::ingest::{self, Input, Options, Outcome};
use onemap::model::{Feature, Field, FieldType, LayerKind, LayerName, Schema, SourceInfo, Value};
use onemap::store::Store;

const CLASSES: [(&str, &str); 6] = [
    ("0101", "水田"),
    ("0103", "旱地"),
    ("0201", "果园"),
    ("0301", "乔木林地"),
    ("0702", "农村宅基地"),
    ("1104", "坑塘水面"),
];

/// Degrees from parcel to parcel, some 700 m as in the county this imitates.
const SPACING: f64 = 0.0078;
const WEST: f64 = 102.0;
const SOUTH: f64 = 29.0;

/// `side × side` parcels with `4 · segments` vertices each.
pub struct Fabric {
    pub side: usize,
    pub segments: usize,
}

impl Fabric {
    pub fn count(&self) -> usize {
        self.side * self.side
    }

    pub fn schema() -> Schema {
        let field = |name: &str| Field {
            name: name.into(),
            alias: None,
            field_type: FieldType::String,
            width: 18,
            precision: 0,
        };
        Schema {
            fields: ["BSM", "DLBM", "DLMC", "QSXZ", "ZLDWDM"]
                .map(field)
                .to_vec(),
        }
    }

    pub fn feature(&self, index: usize) -> Feature {
        let (column, row) = (index % self.side, index / self.side);
        let mut ring = Vec::with_capacity(4 * self.segments + 1);
        let corners = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)];
        for pair in corners.windows(2) {
            let from = (column + pair[0].0, row + pair[0].1);
            let to = (column + pair[1].0, row + pair[1].1);
            let mut border = self.border(from.min(to), from.max(to));
            if from > to {
                border.reverse();
            }
            border.pop();
            ring.extend(border);
        }
        ring.push(ring[0]);
        let class = CLASSES[(hash(column as u64 / 3, row as u64 / 3, 9) % 6) as usize];
        let text = |t: String| Value::Text(t);
        Feature {
            source_id: index as i64,
            geometry: Some(Geometry::polygon(&[&ring])),
            values: vec![
                text(format!("5100{index:014}")),
                text(class.0.into()),
                text(class.1.into()),
                text(if index.is_multiple_of(2) { "20" } else { "30" }.into()),
                text(format!("5101{:05}", index / 400)),
            ],
        }
    }

    fn node(&self, (column, row): (usize, usize)) -> [f64; 2] {
        let jitter = |salt: u64| unit(hash(column as u64, row as u64, salt)) * 0.5 - 0.25;
        [
            WEST + (column as f64 + jitter(1)) * SPACING,
            SOUTH + (row as f64 + jitter(2)) * SPACING,
        ]
    }

    /// Midpoint displacement; `a < b` in lattice order, so both neighbours get the same line.
    fn border(&self, a: (usize, usize), b: (usize, usize)) -> Vec<[f64; 2]> {
        let mut line = vec![self.node(a), self.node(b)];
        let mut level = 0u64;
        while line.len() <= self.segments {
            let mut finer = Vec::with_capacity(line.len() * 2);
            for (i, pair) in line.windows(2).enumerate() {
                let salt = hash(level, i as u64, (b.0 - a.0) as u64 + 5);
                let shift = unit(hash(a.0 as u64, a.1 as u64, salt)) * 0.3 - 0.15;
                let (dx, dy) = (pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]);
                finer.push(pair[0]);
                finer.push([
                    (pair[0][0] + pair[1][0]) / 2.0 - dy * shift,
                    (pair[0][1] + pair[1][1]) / 2.0 + dx * shift,
                ]);
            }
            finer.push(line[line.len() - 1]);
            line = finer;
            level += 1;
        }
        line
    }

    /// Imports the fabric as a layer of `store`.
    pub fn import(&self, store: &Store, name: &str) -> Outcome {
        let mut next = 0;
        let input = Input {
            schema: Fabric::schema(),
            crs: Crs {
                epsg: Some(4490),
                name: "CGCS2000".into(),
                definition: "EPSG:4490".into(),
                geographic: true,
                metres_per_unit: 1.0,
                area_of_use: None,
            },
            source: SourceInfo {
                name: "fabric".into(),
                layer: None,
                driver: "Memory".into(),
                encoding: None,
                checksum: None,
                bytes: None,
            },
            winding: onemap::source::Winding::Free,
            found: onemap::model::IssueLog::default(),
            expected: None,
            read: Box::new(move |batch, _| {
                let end = (next + 512).min(self.count());
                batch.extend((next..end).map(|i| self.feature(i)));
                next = end;
                Ok(next < self.count())
            }),
        };
        let options = Options::new(
            LayerName::new(name).expect("a good name"),
            LayerKind::LandUse,
        );
        ingest::import(store, &options, input, &|_| true).expect("the fabric imports")
    }
}

fn hash(a: u64, b: u64, c: u64) -> u64 {
    let mut h = a.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ b.wrapping_mul(0xC2B2_AE3D_27D4_EB4F)
        ^ c.wrapping_mul(0x1656_67B1_9E37_79F9);
    h ^= h >> 29;
    h = h.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    h ^= h >> 32;
    h.wrapping_mul(0x94D0_49BB_1331_11EB) ^ (h >> 31)
}

fn unit(h: u64) -> f64 {
    (h >> 11) as f64 / (1u64 << 53) as f64
}

/// Peak resident memory of this process so far, megabytes.
pub fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
        .map_or(0.0, |kb| kb / 1024.0)
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Wall seconds, peak resident megabytes and standard output of a child process.
#[expect(
    clippy::zombie_processes,
    reason = "waited for by wait4, which tells the memory as well"
)]
pub fn timed(mut command: std::process::Command) -> (f64, f64, Vec<u8>) {
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::inherit());
    let started = std::time::Instant::now();
    let mut child = command.spawn().expect("the program starts");
    let mut out = Vec::new();
    let mut pipe = child.stdout.take().expect("a pipe was asked for");
    std::io::Read::read_to_end(&mut pipe, &mut out).expect("the output can be read");
    let mut status = 0;
    // SAFETY: both structures are plain data, the process is a child of this one.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage);
        usage
    };
    assert!(
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
        "the program succeeds"
    );
    (
        started.elapsed().as_secs_f64(),
        usage.ru_maxrss as f64 / 1024.0,
        out,
    )
}
