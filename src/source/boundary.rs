//! Boundary files of surveying offices (勘测定界界址点 TXT): parcels as lists of corners.
//!
//! ```text
//! [属性描述]
//! 坐标系=2000国家大地坐标系
//! 几度分带=3
//! 带号=39
//! [地块坐标]
//! 5,1.0000,1,地块一,面,H50G010069,工业用地,0601,@
//! J1,1,3500000.0000,39620000.0000          name, ring, north, east
//! ```
//!
//! One file is one project with several parcels; a directory of such files is one layer. GDAL has no
//! driver for them: they are read here and handed to it as GeoJSON in memory. What files in use do
//! differently is accepted, and reported where it contradicts itself: any Chinese or Unicode
//! encoding, east before north, eastings without the zone, rings numbered anyhow (which ring is a
//! hole follows from which lies in which), rings closed or not. A line that cannot be read is an
//! error that names it. Areas and counts are not corrected.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use encoding_rs::{Encoding, GB18030, UTF_8, UTF_16BE, UTF_16LE};
use serde_json::{Map, Value as Json, json};

use super::locate::{DATA_EXTENSIONS, extension_of};
use super::text::{self, Evidence, TextEncoding};
use super::{SourceError, SourceSpec};
use crate::crs::{Datum, GaussKruger, ZoneWidth};
use crate::model::{Issue, IssueCode, Severity};

/// What `--source-layer` and the manifest call the format.
pub(super) const DRIVER: &str = "BoundaryTXT";
const MOST_FILES: usize = 10_000;
const MOST_BYTES: u64 = 256 << 20;
const MOST_RINGS: usize = 10_000;
const HEAD_BYTES: usize = 64 << 10;
const SECTION: &str = "地块坐标";

/// Boundary files as one layer.
pub(super) struct Boundaries {
    pub geojson: Vec<u8>,
    /// The registry code, when the files say or show it.
    pub epsg: Option<u32>,
    pub encoding: &'static Encoding,
}

/// The boundary files at a path: the file itself, or those of a directory that has no other data.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let io = |source| SourceError::Io {
        path: path.to_path_buf(),
        source,
    };
    if path.is_file() {
        let is_one = extension_of(path) == "txt" && is_boundary_file(path).map_err(io)?;
        return Ok(if is_one {
            vec![path.to_path_buf()]
        } else {
            Vec::new()
        });
    }
    let mut found = Vec::new();
    if !path.is_dir() {
        return Ok(found);
    }
    for entry in std::fs::read_dir(path).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let extension = extension_of(&path);
        if extension == "txt" {
            if found.len() == MOST_FILES || !is_boundary_file(&path).map_err(io)? {
                return Ok(Vec::new());
            }
            found.push(path);
        } else if DATA_EXTENSIONS.contains(&extension.as_str()) {
            return Ok(Vec::new());
        }
    }
    found.sort();
    Ok(found)
}

fn is_boundary_file(path: &Path) -> std::io::Result<bool> {
    use std::io::Read;
    let mut head = Vec::new();
    std::fs::File::open(path)?
        .take(HEAD_BYTES as u64)
        .read_to_end(&mut head)?;
    let (text, _) = decoded(&head, TextEncoding::Auto);
    Ok(text
        .split(['\n', '\r'])
        .any(|line| section(line) == Some(SECTION)))
}

/// Reads every file; what was noticed goes to `issues`.
pub(super) fn read(
    files: &[PathBuf],
    spec: &SourceSpec,
    issues: &mut Vec<Issue>,
) -> Result<Boundaries, SourceError> {
    let mut bytes_left = MOST_BYTES;
    let mut out = String::from("{\"type\":\"FeatureCollection\",\"features\":[");
    let mut known: Option<(Option<u32>, &Path)> = None;
    let mut encoding = UTF_8;
    let mut serial = 0;
    for path in files {
        let io = |source| SourceError::Io {
            path: path.clone(),
            source,
        };
        let length = std::fs::metadata(path).map_err(io)?.len();
        bytes_left = bytes_left
            .checked_sub(length)
            .ok_or_else(|| unreadable(path, format!("more than {MOST_BYTES} bytes in all")))?;
        let bytes = std::fs::read(path).map_err(io)?;
        let (content, of_this) = decoded(&bytes, spec.encoding);
        encoding = of_this;
        let mut project = Project::parse(path, &content)?;
        let epsg = project.settle(spec.crs.is_none(), serial, issues)?;
        match known {
            Some((other, first)) if other != epsg => {
                return Err(unreadable(
                    path,
                    format!(
                        "its reference system is {}, that of {} is {}; import them apart (坐标系不一致, 请分别导入)",
                        named(epsg),
                        file_name(first),
                        named(other)
                    ),
                ));
            }
            _ => known = Some((epsg, path)),
        }
        for parcel in &project.parcels {
            if serial > 0 {
                out.push(',');
            }
            out.push_str(&parcel.feature(&project, path, serial, issues)?);
            serial += 1;
        }
    }
    out.push_str("]}");
    Ok(Boundaries {
        geojson: out.into_bytes(),
        epsg: known.and_then(|(epsg, _)| epsg),
        encoding,
    })
}

fn named(epsg: Option<u32>) -> String {
    epsg.map_or("not given".to_string(), |code| format!("EPSG:{code}"))
}

/// A file: its head and its parcels.
#[derive(Default)]
struct Project {
    name: String,
    number: String,
    system: String,
    zone: Option<u32>,
    width: Option<u32>,
    parcels: Vec<Parcel>,
}

#[derive(Default)]
struct Parcel {
    /// Line in the file, from 1.
    line: usize,
    columns: Vec<String>,
    /// Ring column, then first and second coordinate as written.
    points: Vec<(String, [f64; 2])>,
}

impl Project {
    fn parse(path: &Path, content: &str) -> Result<Project, SourceError> {
        let mut project = Project::default();
        let mut within = String::new();
        // CR alone ends lines too; CRLF gives an empty one.
        for (number, line) in content.split(['\n', '\r']).enumerate() {
            let line = line.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
            if line.is_empty() {
                continue;
            }
            if let Some(name) = section(line) {
                within = name.to_string();
            } else if within != SECTION {
                project.describe(line);
            } else {
                project.take(line, number + 1).map_err(|expected| {
                    let near: String = line.chars().take(60).collect();
                    unreadable(
                        path,
                        format!("near {near:?}: {expected} (界址点文件格式有误)"),
                    )
                })?;
            }
        }
        if project.parcels.is_empty() {
            return Err(unreadable(
                path,
                format!("there is no parcel below [{SECTION}] (没有地块)"),
            ));
        }
        Ok(project)
    }

    fn describe(&mut self, line: &str) {
        let Some((key, value)) = line.split_once(['=', '\u{ff1d}']) else {
            return;
        };
        let value = value.trim();
        let whole = || narrow(value).trim().parse().ok();
        match key.trim() {
            "项目名称" => self.name = value.to_string(),
            "项目编号" => self.number = narrow(value),
            "坐标系" => self.system = value.to_string(),
            "带号" => self.zone = whole(),
            "几度分带" => self.width = whole(),
            _ => {}
        }
    }

    fn take(&mut self, line: &str, number: usize) -> Result<(), &'static str> {
        let columns: Vec<&str> = line.split(',').map(str::trim).collect();
        let is_head = columns.last() == Some(&"@")
            || columns.len() > 4 && matches!(columns[4], "点" | "线" | "面");
        if is_head {
            self.parcels.push(Parcel {
                line: number,
                columns: columns.iter().map(|c| (*c).to_string()).collect(),
                points: Vec::new(),
            });
            return Ok(());
        }
        let plain = narrow(line);
        let columns: Vec<&str> = plain.split([',', '\t']).map(str::trim).collect();
        let (ring, pair) = match columns.as_slice() {
            [_, ring, first, second, ..] => (*ring, [*first, *second]),
            _ => return Err("expected point, ring, north, east"),
        };
        let number = |text: &str| text.parse::<f64>().ok().filter(|v| v.is_finite());
        let (Some(first), Some(second)) = (number(pair[0]), number(pair[1])) else {
            return Err("expected two numbers, north and east, after point and ring");
        };
        self.parcels
            .last_mut()
            .ok_or("expected the line of a parcel (…,面,…,@) before its points")?
            .points
            .push((ring.to_string(), [first, second]));
        Ok(())
    }

    /// Puts east first, finds the reference system, and with `prefix` gives eastings their zone.
    fn settle(
        &mut self,
        prefix: bool,
        serial: usize,
        issues: &mut Vec<Issue>,
    ) -> Result<Option<u32>, SourceError> {
        let mut report = |code, severity, detail: String| {
            issues.push(Issue {
                code,
                severity,
                feature: Some(serial as i64),
                field: None,
                place: None,
                detail,
            });
        };
        let points = || self.parcels.iter().flat_map(|p| p.points.iter());
        if points().next().is_none() {
            return Ok(None);
        }
        let all = |what: fn(f64) -> bool, axis: usize| points().all(|(_, p)| what(p[axis]));
        let swapped = all(is_east, 0) && all(is_north, 1)
            || all(is_longitude, 0) && all(is_latitude, 1) && !all(is_longitude, 1);
        if swapped {
            report(
                IssueCode::AxisOrderSuspect,
                Severity::Repaired,
                "east stands before north; they were exchanged (X、Y 颠倒, 已调整)".to_string(),
            );
        } else {
            for (_, p) in self.parcels.iter_mut().flat_map(|p| &mut p.points) {
                p.swap(0, 1);
            }
        }
        let points = || {
            self.parcels
                .iter()
                .flat_map(|p| p.points.iter().map(|(_, p)| *p))
        };
        let datum = datum_of(&self.system);
        if points().all(|[x, y]| is_longitude(x) && is_latitude(y)) {
            return Ok(datum.map(Datum::geographic_epsg));
        }
        let million = |[x, _]: [f64; 2]| (x / 1e6).floor();
        let first = points().next().map_or(0.0, million);
        let written = (points().all(|p| million(p) == first) && first >= 13.0).then_some(first);
        let zone = match (written, self.zone) {
            (Some(written), declared) => {
                let written = written as u32;
                if let Some(declared) = declared.filter(|&z| z != written) {
                    report(
                        IssueCode::ZoneContradicted,
                        Severity::Kept,
                        format!(
                            "the head says zone {declared}, the eastings begin with {written}; the eastings count (带号矛盾, 以坐标为准)"
                        ),
                    );
                }
                written
            }
            (None, Some(declared)) if first == 0.0 => declared,
            (None, _) => return Ok(None),
        };
        let Some(datum) = datum else {
            return Ok(None);
        };
        // 3° zones are 25 to 45 and 6° zones 13 to 23: the number tells the width.
        let zone = [ZoneWidth::Three, ZoneWidth::Six]
            .into_iter()
            .map(|width| GaussKruger {
                datum,
                width,
                zone,
                prefixed: true,
            })
            .find(|zone| GaussKruger::from_epsg(zone.epsg()) == Some(*zone));
        let Some(zone) = zone else {
            return Ok(None);
        };
        let width = match zone.width {
            ZoneWidth::Three => 3,
            ZoneWidth::Six => 6,
        };
        if let Some(declared) = self.width.filter(|&w| w != width) {
            report(
                IssueCode::ZoneContradicted,
                Severity::Kept,
                format!(
                    "the head says zones of {declared}°, zone {} is one of {width}° (分带与带号矛盾)",
                    zone.zone
                ),
            );
        }
        if written.is_none() && prefix {
            for (_, p) in self.parcels.iter_mut().flat_map(|p| &mut p.points) {
                p[0] += f64::from(zone.zone) * 1e6;
            }
        }
        Ok(Some(zone.epsg()))
    }
}

impl Parcel {
    fn feature(
        &self,
        project: &Project,
        path: &Path,
        serial: usize,
        issues: &mut Vec<Issue>,
    ) -> Result<String, SourceError> {
        let column = |k: usize| {
            self.columns
                .get(k)
                .map(String::as_str)
                .filter(|text| !text.is_empty() && *text != "@")
        };
        let kind = column(4).unwrap_or("面");
        let rings = self.rings();
        if rings.len() > MOST_RINGS {
            return Err(unreadable(
                path,
                format!(
                    "line {}: a parcel of {} rings, at most {MOST_RINGS} are read",
                    self.line,
                    rings.len()
                ),
            ));
        }
        let polygons = if kind == "面" {
            nested(rings.clone())
        } else {
            Vec::new()
        };
        let area_m2: f64 = polygons
            .iter()
            .map(|rings| rings.iter().map(|r| signed_area(r)).sum::<f64>())
            .sum();
        let declared = column(0).and_then(|text| narrow(text).parse::<usize>().ok());
        self.check_count(declared, &rings, serial, issues);
        let mut properties = Map::new();
        let text = |text: &str| match text {
            "" => Json::Null,
            text => json!(text),
        };
        properties.insert("XMMC".into(), text(&project.name));
        properties.insert("XMBH".into(), text(&project.number));
        properties.insert("DKBH".into(), json!(column(2)));
        properties.insert("DKMC".into(), json!(column(3)));
        properties.insert(
            "DKMJ".into(),
            json!(column(1).and_then(|t| hectares(t, area_m2))),
        );
        properties.insert("JZDS".into(), json!(declared));
        properties.insert("TFH".into(), json!(column(5)));
        properties.insert("TDYT".into(), json!(column(6)));
        properties.insert("DLBM".into(), json!(column(7)));
        properties.insert("WJMC".into(), json!(file_name(path)));
        let mut out = format!(
            "{{\"type\":\"Feature\",\"properties\":{},\"geometry\":",
            Json::Object(properties)
        );
        // Writing to a String cannot fail.
        let _ = match kind {
            "点" => write!(
                out,
                "{{\"type\":\"MultiPoint\",\"coordinates\":{}",
                list(rings.iter().flatten().map(point))
            ),
            "线" => write!(
                out,
                "{{\"type\":\"MultiLineString\",\"coordinates\":{}",
                list(rings.iter().map(|r| list(r.iter().map(point))))
            ),
            _ => write!(
                out,
                "{{\"type\":\"MultiPolygon\",\"coordinates\":{}",
                list(polygons.iter().map(|rings| {
                    list(
                        rings
                            .iter()
                            .map(|r| list(r.iter().chain(r.first()).map(point))),
                    )
                }))
            ),
        };
        out.push_str("}}");
        Ok(out)
    }

    /// The points cut where the ring's number changes or a ring is closed; closing points dropped.
    fn rings(&self) -> Vec<Vec<[f64; 2]>> {
        let mut rings: Vec<Vec<[f64; 2]>> = Vec::new();
        let mut number: Option<&str> = None;
        let mut closed = true;
        for (ring, p) in &self.points {
            if closed || number != Some(ring.as_str()) {
                rings.push(Vec::new());
                number = Some(ring);
                closed = false;
            }
            let Some(current) = rings.last_mut() else {
                continue;
            };
            if current.len() > 2 && current[0] == *p {
                closed = true;
            } else {
                current.push(*p);
            }
        }
        rings
    }

    /// Counts with and without closing points are in use; any other number is told.
    fn check_count(
        &self,
        declared: Option<usize>,
        rings: &[Vec<[f64; 2]>],
        serial: usize,
        issues: &mut Vec<Issue>,
    ) {
        let distinct: usize = rings.iter().map(Vec::len).sum();
        let accepted = [self.points.len(), distinct, distinct + rings.len()];
        if let Some(declared) = declared.filter(|n| !accepted.contains(n)) {
            issues.push(Issue {
                code: IssueCode::SourceTruncated,
                severity: Severity::Kept,
                feature: Some(serial as i64),
                field: Some("JZDS".to_string()),
                place: self.points.first().map(|(_, p)| *p),
                detail: format!(
                    "line {}: the parcel declares {declared} points, {} follow (界址点数不符)",
                    self.line,
                    self.points.len()
                ),
            });
        }
    }
}

/// Polygons from rings in any order and direction: a ring within an odd number of others is a
/// hole of the smallest of them. Shells come out anticlockwise, holes clockwise.
fn nested(mut rings: Vec<Vec<[f64; 2]>>) -> Vec<Vec<Vec<[f64; 2]>>> {
    for ring in &mut rings {
        if signed_area(ring) < 0.0 {
            ring.reverse();
        }
    }
    rings.sort_by(|a, b| signed_area(b).total_cmp(&signed_area(a)));
    let mut polygons: Vec<Vec<Vec<[f64; 2]>>> = Vec::new();
    // Per ring the polygon it begins, or `None` for a hole.
    let mut begins: Vec<Option<usize>> = Vec::new();
    for k in 0..rings.len() {
        let around: Vec<usize> = (0..k).filter(|&o| lies_in(&rings[k], &rings[o])).collect();
        let shell = around.iter().rev().find_map(|&o| begins[o]);
        match shell {
            Some(polygon) if around.len() % 2 == 1 => {
                let mut hole = rings[k].clone();
                hole.reverse();
                polygons[polygon].push(hole);
                begins.push(None);
            }
            _ => {
                begins.push(Some(polygons.len()));
                polygons.push(vec![rings[k].clone()]);
            }
        }
    }
    polygons
}

/// Most of a few places along the ring are inside the other: corners may touch.
fn lies_in(ring: &[[f64; 2]], other: &[[f64; 2]]) -> bool {
    const PLACES: usize = 7;
    if ring.len() < 2 || other.len() < 3 {
        return false;
    }
    let places = ring.len().min(PLACES);
    let inside = (0..places)
        .filter(|k| {
            let at = k * ring.len() / places;
            let (a, b) = (ring[at], ring[(at + 1) % ring.len()]);
            contains(other, [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0])
        })
        .count();
    inside * 2 > places
}

fn contains(ring: &[[f64; 2]], [x, y]: [f64; 2]) -> bool {
    (0..ring.len()).fold(false, |inside, k| {
        let (a, b) = (ring[k], ring[(k + 1) % ring.len()]);
        let crosses =
            (a[1] > y) != (b[1] > y) && x < (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0];
        inside != crosses
    })
}

fn signed_area(ring: &[[f64; 2]]) -> f64 {
    let Some(&[ox, oy]) = ring.first() else {
        return 0.0;
    };
    (0..ring.len())
        .map(|k| {
            let (a, b) = (ring[k], ring[(k + 1) % ring.len()]);
            (a[0] - ox) * (b[1] - oy) - (b[0] - ox) * (a[1] - oy)
        })
        .sum::<f64>()
        / 2.0
}

/// The declared area in hectares: with its unit, or bare and then in square metres when the shape
/// says so.
fn hectares(text: &str, shape_m2: f64) -> Option<f64> {
    let plain = narrow(text);
    let digits = plain
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(plain.len());
    let value: f64 = plain[..digits].parse().ok()?;
    let is_m2 = match plain[digits..].trim() {
        "平方米" | "㎡" | "m2" | "M2" => true,
        "" => shape_m2 > 0.0 && (value / shape_m2 - 1.0).abs() < 0.01,
        _ => false,
    };
    // To the hundredth of a square metre, so that the division leaves no tail.
    Some(if is_m2 {
        (value * 100.0).round() / 1e6
    } else {
        value
    })
}

fn point(p: &[f64; 2]) -> String {
    format!("[{},{}]", p[0], p[1])
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// The name of a section line, in brackets of either kind.
fn section(line: &str) -> Option<&str> {
    let line = line.trim_start_matches('\u{feff}').trim();
    let inner = line
        .strip_prefix(['[', '\u{ff3b}', '【'])?
        .strip_suffix([']', '\u{ff3d}', '】'])?;
    Some(inner.trim())
}

/// Full-width letters, digits and signs as ASCII.
fn narrow(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xff01 + 0x21).unwrap_or(c),
            '\u{3000}' => ' ',
            other => other,
        })
        .collect()
}

fn datum_of(system: &str) -> Option<Datum> {
    let system = narrow(system).to_ascii_uppercase();
    if system.contains("2000") {
        Some(Datum::Cgcs2000)
    } else if system.contains("80") || system.contains("西安") {
        Some(Datum::Xian1980)
    } else if system.contains("54") || system.contains("北京") {
        Some(Datum::Beijing1954)
    } else {
        None
    }
}

fn is_north(value: f64) -> bool {
    (1.8e6..6.1e6).contains(&value)
}

fn is_east(value: f64) -> bool {
    (5e4..9.5e5).contains(&value) || (1.3e7..4.6e7).contains(&value)
}

fn is_longitude(value: f64) -> bool {
    (60.0..=180.0).contains(&value)
}

fn is_latitude(value: f64) -> bool {
    (0.0..60.0).contains(&value)
}

fn decoded(bytes: &[u8], wanted: TextEncoding) -> (String, &'static Encoding) {
    let by_mark = match bytes {
        [0xff, 0xfe, ..] => Some(UTF_16LE),
        [0xfe, 0xff, ..] => Some(UTF_16BE),
        [0xef, 0xbb, 0xbf, ..] => Some(UTF_8),
        _ => None,
    };
    let encoding = match (wanted, by_mark) {
        (TextEncoding::Named(encoding), _) | (TextEncoding::Auto, Some(encoding)) => encoding,
        (TextEncoding::Auto, None) => {
            let mut evidence = Evidence::default();
            evidence.add(bytes);
            if evidence.verdict() == UTF_8 {
                UTF_8
            } else {
                GB18030
            }
        }
    };
    let content = match encoding {
        // A mark is no character of the text.
        e if e == UTF_16LE || e == UTF_16BE => e.decode_with_bom_removal(bytes).0.into_owned(),
        e => text::decode(e, bytes).0,
    };
    (content, encoding)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn unreadable(path: &Path, reason: String) -> SourceError {
    SourceError::Unreadable {
        name: file_name(path),
        reason,
    }
}
