//! Processes as the wire knows them (OGC 18-062r2, OGC API – Processes – Part 1: Core): what can
//! be asked, how a request to execute is read, how jobs are told about.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::boundary::{BoundaryError, BoundaryLimits, read_crs, read_geojson, read_text};
use crate::analysis::report::Boundary;
use crate::analysis::report::pieces::Detail;
use crate::analysis::{AreaMode, Grouping};
use crate::model::LayerName;
use crate::protocol::{Methods, Problem, xyz};

/// What one request may ask for.
pub const MAX_BODY_BYTES: usize = 16 << 20;
pub const MAX_LAYERS: usize = 16;
pub const MAX_VERTICES: usize = 200_000;
/// Boundaries of a request that waits for its answer, and of one that does not.
pub const MAX_BOUNDARIES_SYNC: usize = 500;
pub const MAX_BOUNDARIES_ASYNC: usize = 20_000;
/// A boundary's area: a large prefecture.
pub const MAX_AREA_M2: f64 = 1e11;

/// What the server can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    Report,
    Overlay,
}

/// What is asked below `/ogc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    Landing,
    Conformance,
    Processes,
    Describe(Process),
    Execute(Process),
    Job(String),
    Dismiss(String),
    Results(String),
}

/// A layer and how it is grouped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerInput {
    pub name: LayerName,
    pub field: Option<String>,
}

/// A request to execute, understood.
#[derive(Debug, Clone)]
pub enum Execution {
    Report {
        boundaries: Vec<Boundary>,
        layers: Vec<LayerInput>,
        /// Whether the boundaries come back in degrees, for a map.
        outlines: bool,
        /// Official areas of the pieces, and the pieces as shapes.
        detail: Detail,
        form: Form,
    },
    Overlay {
        layers: Vec<(LayerName, Grouping)>,
        mode: AreaMode,
    },
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    Html,
}

/// How the answer is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// The output itself.
    Raw,
    /// An object with the output under its name.
    Document,
}

impl Process {
    pub const ALL: [Process; 2] = [Process::Report, Process::Overlay];

    pub fn id(self) -> &'static str {
        match self {
            Process::Report => "report",
            Process::Overlay => "overlay",
        }
    }

    /// The name of its one output.
    pub fn output(self) -> &'static str {
        match self {
            Process::Report => "report",
            Process::Overlay => "table",
        }
    }
}

/// Reads the part of a path behind `/ogc`.
///
/// # Errors
/// When there is nothing at that address, or not for this method.
pub fn parse(method: &str, segments: &[&str]) -> Result<Asked, Problem> {
    let asked = match segments {
        [] | [""] => Asked::Landing,
        ["conformance"] => Asked::Conformance,
        ["processes"] => Asked::Processes,
        ["processes", id] => Asked::Describe(process(id)?),
        ["processes", id, "execution"] => {
            let process = process(id)?;
            return match method {
                "POST" => Ok(Asked::Execute(process)),
                other => Err(Problem::method_not_allowed(other, Methods::Execute)),
            };
        }
        ["jobs", id] if method == "DELETE" => Asked::Dismiss((*id).to_string()),
        ["jobs", id] => Asked::Job((*id).to_string()),
        ["jobs", id, "results"] => Asked::Results((*id).to_string()),
        _ => return Err(Problem::no_such_path()),
    };
    let allowed = match asked {
        Asked::Job(_) | Asked::Dismiss(_) => Methods::Job,
        _ => Methods::Read,
    };
    match (method, &asked) {
        ("GET" | "HEAD", _) | ("DELETE", Asked::Dismiss(_)) => Ok(asked),
        (other, _) => Err(Problem::method_not_allowed(other, allowed)),
    }
}

fn process(id: &str) -> Result<Process, Problem> {
    Process::ALL
        .into_iter()
        .find(|process| process.id() == id)
        .ok_or_else(|| Problem::no_such_process(id))
}

/// Reads the body of a request to execute.
///
/// # Errors
/// What is missing, too much or not understood, by name.
pub fn read(
    process: Process,
    body: &[u8],
    most_boundaries: usize,
) -> Result<(Execution, Wrapping), Problem> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|e| Problem::bad_parameter(format!("the body is not JSON: {e}")))?;
    let inputs = body
        .get("inputs")
        .and_then(Value::as_object)
        .ok_or_else(|| Problem::bad_parameter("the body has no object \"inputs\""))?;
    let wrapping = match body.get("response").map(|r| r.as_str()) {
        None | Some(Some("raw")) => Wrapping::Raw,
        Some(Some("document")) => Wrapping::Document,
        Some(_) => {
            let detail = "\"response\" is \"raw\" or \"document\"";
            return Err(Problem::bad_parameter(detail));
        }
    };
    let form = read_outputs(process, body.get("outputs"))?;
    let execution = match process {
        Process::Report => {
            only(
                inputs,
                &[
                    "boundary", "layers", "crs", "outlines", "official", "pieces",
                ],
            )?;
            let crs = match inputs.get("crs").map(plain) {
                None => read_crs("4490").map_err(Problem::internal)?,
                Some(Value::String(given)) => read_crs(given).map_err(refused)?,
                Some(_) => return Err(Problem::bad_parameter("input crs is a text: EPSG:n")),
            };
            let limits = BoundaryLimits {
                boundaries: most_boundaries,
                vertices: MAX_VERTICES,
            };
            let boundary = inputs
                .get("boundary")
                .ok_or_else(|| Problem::bad_parameter("input boundary is missing"))?;
            let boundaries = match plain(boundary) {
                Value::String(text) => read_text(text, &crs, limits),
                value => read_geojson(value, &crs, limits),
            };
            Execution::Report {
                boundaries: boundaries.map_err(refused)?,
                layers: layer_inputs(inputs)?,
                outlines: wanted(inputs, "outlines")?,
                detail: Detail {
                    official: wanted(inputs, "official")?,
                    shapes: wanted(inputs, "pieces")?,
                },
                form,
            }
        }
        Process::Overlay => {
            only(inputs, &["layers", "area"])?;
            let mode = match inputs.get("area").map(|v| plain(v).as_str()) {
                None | Some(Some("additive")) => AreaMode::Additive,
                Some(Some("planar")) => AreaMode::Planar,
                Some(_) => {
                    let detail = "input area is \"additive\" or \"planar\"";
                    return Err(Problem::bad_parameter(detail));
                }
            };
            let layers = layer_inputs(inputs)?;
            let layers: Vec<(LayerName, Grouping)> = layers
                .into_iter()
                .map(|layer| {
                    let grouping = match layer.field.as_deref() {
                        None => Grouping::Layer,
                        Some("@id") => Grouping::Feature,
                        Some(field) => Grouping::Field(field.to_string()),
                    };
                    (layer.name, grouping)
                })
                .collect();
            let most = crate::overlay::MAX_LAYERS;
            if !(2..=most).contains(&layers.len()) {
                let detail = format!("input layers has {}, expected 2 to {most}", layers.len());
                return Err(Problem::bad_parameter(detail));
            }
            Execution::Overlay { layers, mode }
        }
    };
    Ok((execution, wrapping))
}

/// An input is a value or an object that holds it under `value`.
fn plain(input: &Value) -> &Value {
    match input {
        Value::Object(members) if !members.contains_key("type") => {
            members.get("value").unwrap_or(input)
        }
        other => other,
    }
}

/// An input that is true or false, false when it is not given.
fn wanted(inputs: &Map<String, Value>, name: &str) -> Result<bool, Problem> {
    match inputs.get(name).map(plain) {
        None => Ok(false),
        Some(Value::Bool(wanted)) => Ok(*wanted),
        Some(_) => Err(Problem::bad_parameter(format!(
            "input {name} is true or false"
        ))),
    }
}

fn only(inputs: &Map<String, Value>, known: &[&str]) -> Result<(), Problem> {
    match inputs.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(found) => Err(Problem::bad_parameter(format!(
            "there is no input {:?}, there are {}",
            found.chars().take(40).collect::<String>(),
            known.join(", ")
        ))),
    }
}

fn layer_inputs(inputs: &Map<String, Value>) -> Result<Vec<LayerInput>, Problem> {
    let listed = match inputs.get("layers").map(plain) {
        Some(Value::Array(listed)) => listed.as_slice(),
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        _ => {
            let detail = "input layers is a list of texts NAME or NAME:FIELD";
            return Err(Problem::bad_parameter(detail));
        }
    };
    if listed.len() > MAX_LAYERS {
        return Err(Problem::too_many_layers(listed.len(), MAX_LAYERS));
    }
    if listed.is_empty() {
        return Err(Problem::bad_parameter("input layers is empty"));
    }
    listed
        .iter()
        .map(|entry| {
            let entry = plain(entry).as_str().ok_or_else(|| {
                Problem::bad_parameter("an entry of input layers is not a text NAME or NAME:FIELD")
            })?;
            let (name, field) = match entry.split_once(':') {
                Some((name, field)) => (name, Some(field.to_string())),
                None => (entry, None),
            };
            Ok(LayerInput {
                name: xyz::layer_name(name)?,
                field,
            })
        })
        .collect()
}

fn read_outputs(process: Process, outputs: Option<&Value>) -> Result<Form, Problem> {
    let Some(outputs) = outputs.and_then(Value::as_object) else {
        return Ok(Form::Json);
    };
    only(outputs, &[process.output()])?;
    let format = outputs.get(process.output());
    let media_type = format.and_then(|o| o.pointer("/format/mediaType"));
    match (process, media_type.map(|m| m.as_str())) {
        (_, None | Some(Some("application/json"))) => Ok(Form::Json),
        (Process::Report, Some(Some("text/html"))) => Ok(Form::Html),
        _ => Err(Problem::bad_parameter(format!(
            "output {} does not come in that mediaType",
            process.output()
        ))),
    }
}

fn refused(error: BoundaryError) -> Problem {
    match error {
        BoundaryError::TooMany { .. } => Problem::too_large(error.to_string()),
        other => Problem::bad_parameter(format!("input boundary: {other}")),
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    Accepted,
    Running,
    Successful,
    Failed,
    Dismissed,
}

impl JobStatus {
    fn word(self) -> &'static str {
        match self {
            JobStatus::Accepted => "accepted",
            JobStatus::Running => "running",
            JobStatus::Successful => "successful",
            JobStatus::Failed => "failed",
            JobStatus::Dismissed => "dismissed",
        }
    }
}

/// What is told about a job.
#[derive(Debug, Clone)]
pub struct JobInfo {
    pub id: String,
    pub process: Process,
    pub status: JobStatus,
    pub message: Option<String>,
    pub progress_percent: u32,
    pub created: SystemTime,
    pub started: Option<SystemTime>,
    pub finished: Option<SystemTime>,
}

const JSON: &str = "application/json";
const REL: &str = "http://www.opengis.net/def/rel/ogc/1.0";

fn link(base: &str, path: &str, rel: &str) -> Value {
    json!({ "href": format!("{base}{path}"), "rel": rel, "type": JSON })
}

pub fn landing(base: &str) -> Value {
    json!({
        "title": "onemap",
        "description": "国土资源一张图:叠加分析与地块分析 / overlay and boundary reports",
        "links": [
            link(base, "/ogc/", "self"),
            link(base, "/ogc/conformance", &format!("{REL}/conformance")),
            link(base, "/ogc/processes", &format!("{REL}/processes")),
        ],
    })
}

pub fn conformance() -> Value {
    const PART_1: &str = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf";
    let classes = ["core", "ogc-process-description", "json", "dismiss"];
    let classes: Vec<String> = classes.map(|class| format!("{PART_1}/{class}")).to_vec();
    json!({ "conformsTo": classes })
}

pub fn list(base: &str) -> Value {
    let processes: Vec<Value> = Process::ALL
        .into_iter()
        .map(|process| summary(process, base))
        .collect();
    json!({ "processes": processes, "links": [link(base, "/ogc/processes", "self")] })
}

fn summary(process: Process, base: &str) -> Value {
    let (title, description) = match process {
        Process::Report => (
            "地块分析 / Report about boundaries",
            "范围内各图层的地类、图斑、面积与审查结论,面积合计等于范围面积 / Classes, features and areas of the layers within boundaries, with verdicts by rules",
        ),
        Process::Overlay => (
            "叠加面积表 / Area table of an overlay",
            "二至六个图层所有组合的面积 / Areas of all combinations of two to six layers",
        ),
    };
    let id = process.id();
    json!({
        "id": id,
        "title": title,
        "description": description,
        "version": env!("CARGO_PKG_VERSION"),
        "jobControlOptions": ["sync-execute", "async-execute", "dismiss"],
        "outputTransmission": ["value"],
        "links": [
            link(base, &format!("/ogc/processes/{id}"), "self"),
            link(base, &format!("/ogc/processes/{id}/execution"), &format!("{REL}/execute")),
        ],
    })
}

pub fn describe(process: Process, base: &str) -> Value {
    let mut description = summary(process, base);
    let layers = json!({
        "title": "图层 / Layers",
        "description": "NAME or NAME:FIELD",
        "minOccurs": 1,
        "schema": {
            "type": "array",
            "minItems": if process == Process::Report { 1 } else { 2 },
            "maxItems": if process == Process::Report { MAX_LAYERS } else { crate::overlay::MAX_LAYERS },
            "items": { "type": "string" },
        },
    });
    let (inputs, schema) = match process {
        Process::Report => (
            json!({
                "boundary": {
                    "title": "范围 / Boundary",
                    "description": format!("GeoJSON (geometry, Feature, FeatureCollection) or WKT; polygons; at most {MAX_VERTICES} vertices"),
                    "minOccurs": 1,
                    "schema": { "oneOf": [
                        { "type": "object", "format": "geojson-geometry" },
                        { "type": "object", "format": "geojson-feature-collection" },
                        { "type": "string", "contentMediaType": "text/plain" },
                    ] },
                },
                "layers": layers,
                "crs": {
                    "title": "范围的坐标系 / Reference system of the boundary",
                    "description": "where the boundary does not say its own: EPSG:n or the WKT of a .prj file; x east, y north",
                    "minOccurs": 0,
                    "schema": { "type": "string", "default": "EPSG:4490" },
                },
                "outlines": {
                    "title": "返回范围的经纬度 / Give the boundaries back in degrees",
                    "minOccurs": 0,
                    "schema": { "type": "boolean", "default": false },
                },
                "official": {
                    "title": "各部分的法定椭球面积 / Official area of every piece",
                    "minOccurs": 0,
                    "schema": { "type": "boolean", "default": false },
                },
                "pieces": {
                    "title": "返回各部分的图形 / Give the pieces back as GeoJSON in degrees",
                    "minOccurs": 0,
                    "schema": { "type": "boolean", "default": false },
                },
            }),
            json!({ "oneOf": [
                { "type": "object", "contentMediaType": JSON },
                { "type": "string", "contentMediaType": "text/html" },
            ] }),
        ),
        Process::Overlay => (
            json!({
                "layers": layers,
                "area": {
                    "title": "面积算法 / How areas are measured",
                    "minOccurs": 0,
                    "schema": { "type": "string", "enum": ["additive", "planar"], "default": "additive" },
                },
            }),
            json!({ "type": "object", "contentMediaType": JSON }),
        ),
    };
    if let Value::Object(members) = &mut description {
        members.insert("inputs".into(), inputs);
        let output = json!({ "title": "结果 / Result", "schema": schema });
        members.insert("outputs".into(), json!({ process.output(): output }));
    }
    description
}

pub fn job(info: &JobInfo, base: &str) -> Value {
    let path = format!("/ogc/jobs/{}", info.id);
    let mut links = vec![link(base, &path, "self")];
    if matches!(info.status, JobStatus::Successful | JobStatus::Failed) {
        let results = format!("{path}/results");
        links.push(link(base, &results, &format!("{REL}/results")));
    }
    let mut document = json!({
        "jobID": info.id,
        "processID": info.process.id(),
        "type": "process",
        "status": info.status.word(),
        "progress": info.progress_percent,
        "created": timestamp(info.created),
        "links": links,
    });
    if let Value::Object(members) = &mut document {
        let mut put = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                members.insert(key.into(), Value::String(value));
            }
        };
        put("message", info.message.clone());
        put("started", info.started.map(timestamp));
        put("finished", info.finished.map(timestamp));
    }
    document
}

/// RFC 3339 in UTC. The calendar is Howard Hinnant's `civil_from_days`.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(timestamp(time), expected);
        }
    }

    #[test]
    fn addresses_know_their_methods() {
        let parse = |method, path: &str| {
            let segments: Vec<&str> = path.split('/').collect();
            super::parse(method, &segments)
        };
        assert_eq!(
            parse("POST", "processes/report/execution").unwrap(),
            Asked::Execute(Process::Report)
        );
        assert_eq!(parse("GET", "").unwrap(), Asked::Landing);
        assert_eq!(
            parse("DELETE", "jobs/x").unwrap(),
            Asked::Dismiss("x".into())
        );
        assert_eq!(
            parse("GET", "processes/report/execution")
                .unwrap_err()
                .status,
            405
        );
        assert_eq!(parse("POST", "processes").unwrap_err().status, 405);
        assert_eq!(parse("DELETE", "jobs/x/results").unwrap_err().status, 405);
        let unknown = parse("GET", "processes/buffer").unwrap_err();
        assert_eq!((unknown.status, unknown.code), (404, "no-such-process"));
        assert_eq!(parse("GET", "jobs").unwrap_err().status, 404);
    }
}
