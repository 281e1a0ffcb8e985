//! What the server did, in numbers: `/metrics` in the text format of Prometheus.
//!
//! The path of a cached tile touches only atomics here.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::tile::LayerShare;

/// What was asked for, as far as the numbers tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    VectorTile,
    ImageTile,
    TileJson,
    Layers,
    Feature,
    Search,
    Style,
    Grid,
    Health,
    Metrics,
    Portal,
    Processes,
    /// Could not be understood.
    Unknown,
}

impl Endpoint {
    const ALL: [(Endpoint, &'static str); 13] = [
        (Endpoint::VectorTile, "vector_tile"),
        (Endpoint::ImageTile, "image_tile"),
        (Endpoint::TileJson, "tilejson"),
        (Endpoint::Layers, "layers"),
        (Endpoint::Feature, "feature"),
        (Endpoint::Search, "search"),
        (Endpoint::Style, "style"),
        (Endpoint::Grid, "grid"),
        (Endpoint::Health, "health"),
        (Endpoint::Metrics, "metrics"),
        (Endpoint::Portal, "portal"),
        (Endpoint::Processes, "processes"),
        (Endpoint::Unknown, "unknown"),
    ];
}

/// Statuses this server sends; the last place is for any other.
const STATUSES: [u16; 17] = [
    200, 201, 204, 304, 400, 403, 404, 405, 413, 414, 415, 422, 500, 501, 502, 503, 0,
];
/// Upper bounds of the latency buckets, seconds.
const BUCKETS_S: [f64; 12] = [
    0.000_1, 0.000_5, 0.001, 0.003, 0.006, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 10.0,
];

#[derive(Default)]
struct EndpointNumbers {
    by_status: [AtomicU64; STATUSES.len()],
    by_latency: [AtomicU64; BUCKETS_S.len() + 1],
    nanoseconds: AtomicU64,
}

/// Time per phase of a layer's tiles.
#[derive(Default, Clone, Copy)]
struct LayerNumbers {
    tiles: u64,
    omitted: u64,
    phases: [Duration; PHASES.len()],
}

const PHASES: [&str; 5] = ["index", "decode", "clip", "encode", "compress"];

/// Layers told apart; the rest is counted together, so that a client cannot make the list grow.
const MOST_LAYERS: usize = 2000;

#[derive(Default)]
pub struct Metrics {
    endpoints: [EndpointNumbers; Endpoint::ALL.len()],
    layers: Mutex<BTreeMap<String, LayerNumbers>>,
    pub cache_hits: AtomicU64,
    pub cache_misses: AtomicU64,
    pub tiles_computed: AtomicU64,
    pub refused_busy: AtomicU64,
    pub cancelled: AtomicU64,
    pub panics: AtomicU64,
    pub connections_open: AtomicU64,
    pub connections_total: AtomicU64,
}

/// Numbers that others keep.
pub struct Gauges {
    pub cache_bytes: u64,
    pub cache_capacity_bytes: u64,
    pub cache_entries: u64,
    pub jobs_waiting: usize,
    pub jobs_running: usize,
    pub layers: usize,
}

pub fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Metrics {
    pub fn request(&self, endpoint: Endpoint, status: u16, took: Duration) {
        let numbers = &self.endpoints[endpoint as usize];
        let status = STATUSES
            .iter()
            .position(|&known| known == status)
            .unwrap_or(STATUSES.len() - 1);
        add_one(&numbers.by_status[status]);
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS_S
            .iter()
            .position(|&bound| seconds <= bound)
            .unwrap_or(BUCKETS_S.len());
        add_one(&numbers.by_latency[bucket]);
        numbers
            .nanoseconds
            .fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    /// One layer's share of a computed tile.
    pub fn layer_of_tile(&self, layer: &str, share: &LayerShare, compress: Duration) {
        let LayerShare { omitted, timings } = share;
        let mut known = self.layers.lock().expect("no panic while counting");
        let name = if known.contains_key(layer) || known.len() < MOST_LAYERS {
            layer
        } else {
            "(others)"
        };
        let numbers = known.entry(name.to_string()).or_default();
        numbers.tiles += 1;
        numbers.omitted += *omitted;
        let phases = [
            timings.index,
            timings.decode,
            timings.clip,
            timings.encode,
            compress,
        ];
        for (sum, phase) in numbers.phases.iter_mut().zip(phases) {
            *sum += phase;
        }
    }

    /// The text for Prometheus.
    pub fn text(&self, gauges: &Gauges) -> String {
        let mut out = Text(String::with_capacity(8192));
        self.write_requests(&mut out);
        self.write_layers(&mut out);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let single = [
            (
                "cache_hits_total",
                "counter",
                "Tiles answered from the cache.",
                count(&self.cache_hits),
            ),
            (
                "cache_misses_total",
                "counter",
                "Tiles that were not in the cache.",
                count(&self.cache_misses),
            ),
            (
                "cache_bytes",
                "gauge",
                "Bytes of tiles in the cache.",
                gauges.cache_bytes as f64,
            ),
            (
                "cache_capacity_bytes",
                "gauge",
                "Bytes the cache may hold.",
                gauges.cache_capacity_bytes as f64,
            ),
            (
                "cache_entries",
                "gauge",
                "Tiles in the cache.",
                gauges.cache_entries as f64,
            ),
            (
                "tiles_computed_total",
                "counter",
                "Tiles cut or drawn.",
                count(&self.tiles_computed),
            ),
            (
                "jobs_waiting",
                "gauge",
                "Jobs in the queue.",
                gauges.jobs_waiting as f64,
            ),
            (
                "jobs_running",
                "gauge",
                "Jobs on the pool.",
                gauges.jobs_running as f64,
            ),
            (
                "refused_busy_total",
                "counter",
                "Requests refused because the queue was full.",
                count(&self.refused_busy),
            ),
            (
                "cancelled_total",
                "counter",
                "Requests whose client went away.",
                count(&self.cancelled),
            ),
            (
                "panics_total",
                "counter",
                "Panics contained; each is a bug.",
                count(&self.panics),
            ),
            (
                "connections_open",
                "gauge",
                "Open connections.",
                count(&self.connections_open),
            ),
            (
                "connections_total",
                "counter",
                "Connections accepted.",
                count(&self.connections_total),
            ),
            (
                "layers",
                "gauge",
                "Layers of the workspace.",
                gauges.layers as f64,
            ),
        ];
        for (name, kind, help, value) in single {
            out.head(name, kind, help);
            out.line(name, "", value);
        }
        out.0
    }

    fn write_requests(&self, out: &mut Text) {
        out.head("requests_total", "counter", "Requests answered.");
        for (endpoint, word) in Endpoint::ALL {
            let numbers = &self.endpoints[endpoint as usize];
            for (status, counter) in STATUSES.iter().zip(&numbers.by_status) {
                let value = counter.load(Ordering::Relaxed);
                if value > 0 {
                    let labels = format!("endpoint=\"{word}\",status=\"{status}\"");
                    out.line("requests_total", &labels, value as f64);
                }
            }
        }
        let name = "request_duration_seconds";
        out.head(name, "histogram", "Time from request to answer.");
        for (endpoint, word) in Endpoint::ALL {
            let numbers = &self.endpoints[endpoint as usize];
            let mut total = 0;
            let bounds = BUCKETS_S.iter().map(|b| b.to_string());
            let bounds = bounds.chain(["+Inf".to_string()]);
            let mut lines = Vec::new();
            for (bound, counter) in bounds.zip(&numbers.by_latency) {
                total += counter.load(Ordering::Relaxed);
                lines.push((format!("endpoint=\"{word}\",le=\"{bound}\""), total));
            }
            if total == 0 {
                continue;
            }
            for (labels, value) in lines {
                out.line("request_duration_seconds_bucket", &labels, value as f64);
            }
            let labels = format!("endpoint=\"{word}\"");
            let seconds = numbers.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
            out.line("request_duration_seconds_sum", &labels, seconds);
            out.line("request_duration_seconds_count", &labels, total as f64);
        }
    }

    fn write_layers(&self, out: &mut Text) {
        let layers = self.layers.lock().expect("no panic while counting").clone();
        out.head(
            "tile_phase_seconds_total",
            "counter",
            "Time of computed tiles by layer and phase.",
        );
        for (layer, numbers) in &layers {
            for (phase, time) in PHASES.iter().zip(numbers.phases) {
                let labels = format!("layer=\"{layer}\",phase=\"{phase}\"");
                out.line("tile_phase_seconds_total", &labels, time.as_secs_f64());
            }
        }
        out.head(
            "layer_tiles_computed_total",
            "counter",
            "Tiles computed by layer.",
        );
        for (layer, numbers) in &layers {
            let labels = format!("layer=\"{layer}\"");
            out.line("layer_tiles_computed_total", &labels, numbers.tiles as f64);
        }
        out.head(
            "layer_features_omitted_total",
            "counter",
            "Features left out of tiles to bound them.",
        );
        for (layer, numbers) in &layers {
            let labels = format!("layer=\"{layer}\"");
            out.line(
                "layer_features_omitted_total",
                &labels,
                numbers.omitted as f64,
            );
        }
    }
}

/// Lines of the exposition format. Layer names hold neither quotes nor backslashes.
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let out = &mut self.0;
        writeln!(
            out,
            "# HELP onemap_{name} {help}\n# TYPE onemap_{name} {kind}"
        )
        .expect("writing to a string does not fail");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let out = &mut self.0;
        let result = if labels.is_empty() {
            writeln!(out, "onemap_{name} {value}")
        } else {
            writeln!(out, "onemap_{name}{{{labels}}} {value}")
        };
        result.expect("writing to a string does not fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_stand_at_their_own_index() {
        for (i, (endpoint, _)) in Endpoint::ALL.into_iter().enumerate() {
            assert_eq!(endpoint as usize, i);
        }
    }
}
