//! How long does a report about one boundary take over HTTP when the server is warm, and how many
//! boundaries a second does a batch do?
//!
//! `ONEMAP_BENCH_WORKSPACE` names a workspace and `ONEMAP_BENCH_LAYERS` its layers (as NAME or
//! NAME:FIELD, with commas; at most four are usual); without them a fabric is made, with three
//! coarser layers over it. `ONEMAP_BENCH_RADIUS_M` is the mean radius of a boundary.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use onemap::analysis::report::rules::RuleSet;
use onemap::analysis::report::{Boundary, Limits, ReportLayer, Reporter};
use onemap::crs::Crs;
use onemap::geom::{Bbox, Geometry};
use onemap::query::Budget;
use onemap::store::Store;
use rayon::prelude::*;
use support::Fabric;

/// Vertices of a boundary.
const VERTICES: usize = 500;
const REQUESTS: usize = 2000;
const WARM_UP: usize = 300;
const BATCH: usize = 10_000;
const BATCH_RUNS: usize = 3;

struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A wavy ring around a random place well inside of `bbox`.
fn boundary(random: &mut Random, bbox: &Bbox, radius_m: f64) -> Vec<[f64; 2]> {
    let along = |min: f64, max: f64, t: f64| min + (max - min) * (0.05 + 0.9 * t);
    let center = [
        along(bbox.min_x, bbox.max_x, random.unit()),
        along(bbox.min_y, bbox.max_y, random.unit()),
    ];
    let (phase, waves) = (random.unit() * 6.3, 3.0 + (random.unit() * 6.0).floor());
    let degrees = radius_m / 111_320.0;
    let shrink = center[1].to_radians().cos();
    let mut ring: Vec<[f64; 2]> = (0..VERTICES)
        .map(|k| {
            let angle = k as f64 / VERTICES as f64 * std::f64::consts::TAU;
            let r = degrees * (1.0 + 0.25 * (waves * angle + phase).sin() + 0.02 * random.unit());
            [
                center[0] + r * angle.cos() / shrink,
                center[1] + r * angle.sin(),
            ]
        })
        .collect();
    ring.push(ring[0]);
    ring
}

/// A workspace made here: parcels and three coarse layers of squares, not aligned with them.
fn own_workspace(root: &Path) -> Vec<String> {
    let store = Store::open_or_create(root).expect("a workspace");
    let fabric = Fabric {
        side: 300,
        segments: 12,
    };
    fabric.import(&store, "parcels");
    for (name, side) in [("farmland", 150), ("zones", 60), ("mines", 20)] {
        Fabric { side, segments: 12 }.import(&store, name);
    }
    ["parcels:DLBM", "farmland", "zones", "mines"]
        .map(str::to_string)
        .to_vec()
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(workspace: &Path) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_onemap"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--json",
                "--log",
                "error",
            ])
            .arg(workspace)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("its output");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("a line that says where it listens");
        let said: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let address = said["listening"].as_str().expect("an address").to_string();
        Server { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is gone already, or it goes now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request on an open connection and reads its answer; the length of its body.
fn exchange(stream: &mut BufReader<TcpStream>, request: &[u8]) -> usize {
    stream.get_mut().write_all(request).expect("sent");
    let mut length = 0;
    let mut line = String::new();
    let mut first = true;
    loop {
        line.clear();
        stream.read_line(&mut line).expect("a line");
        if first {
            assert!(line.contains(" 200 "), "{line}");
            first = false;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    length
}

fn over_http(workspace: &Path, layers: &[String], bbox: &Bbox, radius_m: f64) {
    let server = Server::start(workspace);
    let stream = TcpStream::connect(&server.address).expect("a connection");
    stream.set_nodelay(true).expect("an option");
    let mut stream = BufReader::with_capacity(1 << 16, stream);
    let mut random = Random(0x0ddb_1a5e_5bad_5eed);
    let mut times = Vec::with_capacity(REQUESTS);
    let mut bytes = 0;
    for number in 0..WARM_UP + REQUESTS {
        let ring = boundary(&mut random, bbox, radius_m);
        let body = serde_json::json!({ "inputs": {
            "boundary": { "type": "Polygon", "coordinates": [ring] }, "layers": layers } })
        .to_string();
        let request = format!(
            "POST /ogc/processes/report/execution HTTP/1.1\r\nhost: x\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let started = Instant::now();
        let length = exchange(&mut stream, request.as_bytes());
        if number >= WARM_UP {
            times.push(started.elapsed());
            bytes += length;
        }
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "over HTTP, {REQUESTS} boundaries of {VERTICES} vertices, {} layers: p50 {:.2} ms, p99 {:.2} ms, worst {:.2} ms, {} KB an answer",
        layers.len(),
        ms(at(0.5)),
        ms(at(0.99)),
        ms(times[times.len() - 1]),
        bytes / REQUESTS / 1000,
    );
}

fn batch(store: &Store, layers: &[String], bbox: &Bbox, radius_m: f64) {
    let layers = layers
        .iter()
        .map(|layer| {
            let (name, field) = match layer.split_once(':') {
                Some((name, field)) => (name, Some(field.to_string())),
                None => (layer.as_str(), None),
            };
            ReportLayer {
                snapshot: store.snapshot(name).expect("a catalog").expect("a layer"),
                field,
            }
        })
        .collect();
    let rules = Arc::new(RuleSet::of_workspace(store.root()).expect("rules"));
    let reporter = Reporter::new(layers, rules, Limits::NONE).expect("a reporter");
    let crs = Crs::from_user("EPSG:4490").expect("a system");
    let mut random = Random(0x5eed);
    let boundaries: Vec<Boundary> = (0..BATCH)
        .map(|number| Boundary {
            name: number.to_string(),
            crs: crs.clone(),
            geometry: Geometry::polygon(&[&boundary(&mut random, bbox, radius_m)]),
        })
        .collect();
    let budget = Budget::unlimited();
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads");
        let mut rates = Vec::new();
        let mut touched = 0;
        let mut processor_s = 0.0;
        for _ in 0..=BATCH_RUNS {
            let (started, used) = (Instant::now(), processor_time_s());
            touched = pool.install(|| {
                boundaries
                    .par_iter()
                    .map(|boundary| {
                        let report = reporter.report(boundary, &budget).expect("a report");
                        report.layers.iter().map(|layer| layer.touched).sum::<u64>()
                    })
                    .sum::<u64>()
            });
            rates.push(BATCH as f64 / started.elapsed().as_secs_f64());
            processor_s = processor_time_s() - used;
        }
        // The first run warms up.
        rates.remove(0);
        rates.sort_by(f64::total_cmp);
        println!(
            "batch of {BATCH}, {threads} threads: {:.0} a second (median of {BATCH_RUNS}; {:.0} to {:.0}), {:.1} features touched by each, {:.2} ms of processor",
            rates[rates.len() / 2],
            rates[0],
            rates[rates.len() - 1],
            touched as f64 / BATCH as f64,
            processor_s * 1e3 / BATCH as f64,
        );
    }
}

/// What this process has used of the processors; on a busy machine it says more than the clock.
fn processor_time_s() -> f64 {
    // SAFETY: a plain struct of numbers, filled by the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn main() {
    let own = tempfile::tempdir().expect("a temporary directory");
    let (workspace, layers) = match std::env::var_os("ONEMAP_BENCH_WORKSPACE") {
        Some(path) => {
            let layers = std::env::var("ONEMAP_BENCH_LAYERS").expect("ONEMAP_BENCH_LAYERS");
            let layers = layers.split(',').map(str::to_string).collect();
            (PathBuf::from(path), layers)
        }
        None => (own.path().to_path_buf(), own_workspace(own.path())),
    };
    let radius_m = std::env::var("ONEMAP_BENCH_RADIUS_M")
        .map_or(2000.0, |text| text.parse().expect("a radius in metres"));
    let store = Store::open(&workspace).expect("a workspace");
    let mut bbox = Bbox::EMPTY;
    for layer in &layers {
        let name = layer.split(':').next().expect("a name");
        let snapshot = store.snapshot(name).expect("a catalog").expect("a layer");
        let (_, info) = snapshot.vector().expect("features");
        println!(
            "{name}: {} features, {} vertices",
            info.features, info.vertices
        );
        if bbox.is_empty() {
            bbox = snapshot.manifest.bounds_lonlat;
        }
    }
    println!("boundaries of about {radius_m} m radius");
    over_http(&workspace, &layers, &bbox, radius_m);
    batch(&store, &layers, &bbox, radius_m);
}
