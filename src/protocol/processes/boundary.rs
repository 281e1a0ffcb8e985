//! Boundaries as people send them: GeoJSON (RFC 7946, also with the older `crs` member) or WKT
//! (also with `SRID=n;` in front).
//!
//! Positions are x east, y north: longitude first, easting first. Only polygons are boundaries.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use serde_json::Value;

use crate::analysis::report::Boundary;
use crate::crs::Crs;
use crate::geom::{Geometry, GeometryType};

/// What one request may bring.
#[derive(Debug, Clone, Copy)]
pub struct BoundaryLimits {
    pub boundaries: usize,
    /// Of all boundaries together.
    pub vertices: usize,
}

/// Why a text is no boundary.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BoundaryError {
    #[error("neither GeoJSON nor WKT: {reason} (既不是 GeoJSON 也不是 WKT)")]
    Syntax { reason: String },
    #[error("{place}: {reason} (范围数据有误)")]
    Shape { place: String, reason: String },
    #[error("{found} {what}, at most {limit} are accepted (超出限制)")]
    TooMany {
        what: &'static str,
        found: usize,
        limit: usize,
    },
    #[error("there is no polygon in it (没有面)")]
    Empty,
    #[error("reference system {given:?}: {reason} (坐标系无法识别)")]
    Crs { given: String, reason: String },
}

/// Reads a text of either kind; `crs` is what it does not say itself.
///
/// # Errors
/// When it is neither, holds no polygon, or too much.
pub fn read_text(
    text: &str,
    crs: &Crs,
    limits: BoundaryLimits,
) -> Result<Vec<Boundary>, BoundaryError> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with(['{', '[']) {
        let value = serde_json::from_str(text).map_err(|e| BoundaryError::Syntax {
            reason: e.to_string(),
        })?;
        return read_geojson(&value, crs, limits);
    }
    let mut reader = Reader::new(crs.clone(), limits);
    // One boundary a line, or one over many lines: a line begins a boundary with a word.
    let mut number = 0;
    for piece in wkt_pieces(text) {
        number += 1;
        reader.wkt(piece, number)?;
    }
    reader.finish()
}

/// Reads a GeoJSON object.
///
/// # Errors
/// As [`read_text`].
pub fn read_geojson(
    value: &Value,
    crs: &Crs,
    limits: BoundaryLimits,
) -> Result<Vec<Boundary>, BoundaryError> {
    let mut reader = Reader::new(named_crs(value)?.unwrap_or_else(|| crs.clone()), limits);
    reader.object(value, "the document")?;
    reader.finish()
}

/// The `crs` member of GeoJSON before RFC 7946, as many desktop programs still write it.
fn named_crs(value: &Value) -> Result<Option<Crs>, BoundaryError> {
    let Some(name) = value.pointer("/crs/properties/name") else {
        return Ok(None);
    };
    let given = name.as_str().unwrap_or_default();
    let user = given
        .strip_prefix("urn:ogc:def:crs:EPSG::")
        .map(|code| format!("EPSG:{code}"));
    let user = match given {
        "urn:ogc:def:crs:OGC:1.3:CRS84" | "urn:ogc:def:crs:OGC::CRS84" => "EPSG:4326".to_string(),
        _ => user.unwrap_or_else(|| given.to_string()),
    };
    read_crs(&user).map(Some)
}

/// A reference system a client names: `EPSG:n`, the number alone, the address of one, or the WKT
/// of a `.prj` file when it is a registered system.
///
/// # Errors
/// When it is not known. Free definitions are not taken: they could name files of the server.
pub fn read_crs(given: &str) -> Result<Crs, BoundaryError> {
    let code = given
        .strip_prefix("http://www.opengis.net/def/crs/EPSG/0/")
        .or_else(|| given.strip_prefix("EPSG:"))
        .or_else(|| given.strip_prefix("epsg:"))
        .unwrap_or(given);
    let code = match code {
        "http://www.opengis.net/def/crs/OGC/1.3/CRS84" | "OGC:CRS84" | "CRS84" => "4326",
        code => code,
    };
    let wrong = |reason: String| BoundaryError::Crs {
        given: given.chars().take(60).collect(),
        reason,
    };
    if code.starts_with("PROJCS[") || code.starts_with("GEOGCS[") {
        if code.len() > MAX_WKT_BYTES {
            return Err(wrong(format!("WKT of more than {MAX_WKT_BYTES} bytes")));
        }
        let read = Crs::from_definition(code).map_err(|e| wrong(e.to_string()))?;
        let code = read.epsg;
        // Only the code is used: a definition may name files and pipelines.
        let code =
            code.ok_or_else(|| wrong("it is no registered system; name its EPSG code".into()))?;
        return read_crs(&code.to_string());
    }
    if code.is_empty() || code.len() > 6 || !code.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong("expected EPSG:n".into()));
    }
    if let Some(crs) = KNOWN.lock().expect("no panic while held").get(code) {
        return Ok(crs.clone());
    }
    let crs = Crs::from_user(code).map_err(|e| wrong(e.to_string()))?;
    let mut known = KNOWN.lock().expect("no panic while held");
    if known.len() >= MAX_KNOWN {
        known.clear();
    }
    known.insert(code.to_string(), crs.clone());
    Ok(crs)
}

/// Longest WKT that is read, bytes.
const MAX_WKT_BYTES: usize = 4096;

/// Systems looked up before: PROJ takes a millisecond for each.
static KNOWN: LazyLock<Mutex<HashMap<String, Crs>>> = LazyLock::new(Mutex::default);
const MAX_KNOWN: usize = 256;

struct Reader {
    crs: Crs,
    limits: BoundaryLimits,
    vertices: usize,
    boundaries: Vec<Boundary>,
}

impl Reader {
    fn new(crs: Crs, limits: BoundaryLimits) -> Reader {
        Reader {
            crs,
            limits,
            vertices: 0,
            boundaries: Vec::new(),
        }
    }

    fn finish(self) -> Result<Vec<Boundary>, BoundaryError> {
        if self.boundaries.is_empty() {
            return Err(BoundaryError::Empty);
        }
        Ok(self.boundaries)
    }

    fn push(&mut self, name: String, crs: Crs, geometry: Geometry) -> Result<(), BoundaryError> {
        if self.boundaries.len() == self.limits.boundaries {
            return Err(BoundaryError::TooMany {
                what: "boundaries",
                found: self.boundaries.len() + 1,
                limit: self.limits.boundaries,
            });
        }
        self.boundaries.push(Boundary {
            name,
            crs,
            geometry,
        });
        Ok(())
    }

    fn count(&mut self, vertices: usize) -> Result<(), BoundaryError> {
        self.vertices += vertices;
        if self.vertices > self.limits.vertices {
            return Err(BoundaryError::TooMany {
                what: "vertices",
                found: self.vertices,
                limit: self.limits.vertices,
            });
        }
        Ok(())
    }

    fn object(&mut self, value: &Value, place: &str) -> Result<(), BoundaryError> {
        match value.get("type").and_then(Value::as_str) {
            Some("FeatureCollection") => {
                let features = value.get("features").and_then(Value::as_array);
                let features =
                    features.ok_or_else(|| wrong(place, "a FeatureCollection without features"))?;
                for (number, feature) in features.iter().enumerate() {
                    self.feature(feature, number + 1)?;
                }
                Ok(())
            }
            Some("Feature") => self.feature(value, 1),
            _ => {
                let geometry = self.geometry(value, place)?;
                let number = self.boundaries.len() + 1;
                self.push(number.to_string(), self.crs.clone(), geometry)
            }
        }
    }

    fn feature(&mut self, feature: &Value, number: usize) -> Result<(), BoundaryError> {
        let place = format!("feature {number}");
        if feature.get("type").and_then(Value::as_str) != Some("Feature") {
            return Err(wrong(&place, "its type is not Feature"));
        }
        let geometry = feature.get("geometry").filter(|g| !g.is_null());
        let geometry = geometry.ok_or_else(|| wrong(&place, "it has no geometry"))?;
        let geometry = self.geometry(geometry, &place)?;
        let name = name_of(feature).unwrap_or_else(|| number.to_string());
        self.push(name, self.crs.clone(), geometry)
    }

    fn geometry(&mut self, value: &Value, place: &str) -> Result<Geometry, BoundaryError> {
        let coordinates = || {
            let coordinates = value.get("coordinates").and_then(Value::as_array);
            coordinates.ok_or_else(|| wrong(place, "there are no coordinates"))
        };
        match value.get("type").and_then(Value::as_str) {
            Some("Polygon") => {
                let mut geometry = Geometry::new(GeometryType::Polygon);
                self.polygon(coordinates()?, place, &mut geometry)?;
                Ok(geometry)
            }
            Some("MultiPolygon") => {
                let mut geometry = Geometry::new(GeometryType::MultiPolygon);
                for polygon in coordinates()? {
                    let rings = polygon.as_array();
                    let rings = rings.ok_or_else(|| wrong(place, "a polygon is not a list"))?;
                    self.polygon(rings, place, &mut geometry)?;
                }
                Ok(geometry)
            }
            Some(found) => {
                let found: String = found.chars().take(40).collect();
                let reason = format!("its type is {found:?}, expected Polygon or MultiPolygon");
                Err(wrong(place, &reason))
            }
            None => Err(wrong(place, "it has no type")),
        }
    }

    fn polygon(
        &mut self,
        rings: &[Value],
        place: &str,
        out: &mut Geometry,
    ) -> Result<(), BoundaryError> {
        for ring in rings {
            let ring = ring.as_array();
            let ring = ring.ok_or_else(|| wrong(place, "a ring is not a list"))?;
            self.count(ring.len())?;
            let mut points = Vec::with_capacity(ring.len() + 1);
            for position in ring {
                let number = |at: usize| position.get(at).and_then(Value::as_f64);
                match (number(0), number(1)) {
                    (Some(x), Some(y)) => points.push([x, y]),
                    _ => return Err(wrong(place, "a position is not two numbers")),
                }
            }
            push_ring(points, place, out)?;
        }
        out.close_part();
        Ok(())
    }

    fn wkt(&mut self, text: &str, number: usize) -> Result<(), BoundaryError> {
        let place = format!("boundary {number}");
        let mut crs = self.crs.clone();
        let mut rest = text.trim();
        if let Some((srid, tail)) = rest
            .strip_prefix("SRID=")
            .or_else(|| rest.strip_prefix("srid="))
            .and_then(|tail| tail.split_once(';'))
        {
            crs = read_crs(srid.trim())?;
            rest = tail.trim();
        }
        let open = rest.find('(').unwrap_or(rest.len());
        let words = rest[..open].trim().to_ascii_uppercase();
        let body = &rest[open..];
        let mut tokens = Tokens { rest: body };
        let mut words = words.split_ascii_whitespace();
        let kind = words.next().unwrap_or_default();
        let dimensions = match words.next() {
            None => 2,
            Some("Z" | "M") => 3,
            Some("ZM") => 4,
            Some(_) => return Err(wrong(&place, "after the type comes a parenthesis")),
        };
        let mut geometry = match kind {
            "POLYGON" => Geometry::new(GeometryType::Polygon),
            "MULTIPOLYGON" => Geometry::new(GeometryType::MultiPolygon),
            found => {
                let found: String = found.chars().take(40).collect();
                let reason = format!("it begins with {found:?}, expected POLYGON or MULTIPOLYGON");
                return Err(wrong(&place, &reason));
            }
        };
        let multi = geometry.kind == GeometryType::MultiPolygon;
        let syntax = |tokens: &Tokens<'_>| {
            let near: String = tokens.rest.trim_start().chars().take(20).collect();
            wrong(&place, &format!("not WKT near {near:?}"))
        };
        if multi && !tokens.take('(') {
            return Err(syntax(&tokens));
        }
        loop {
            if !tokens.take('(') {
                return Err(syntax(&tokens));
            }
            loop {
                if !tokens.take('(') {
                    return Err(syntax(&tokens));
                }
                let mut points = Vec::new();
                loop {
                    let (x, y) = match (tokens.number(), tokens.number()) {
                        (Some(x), Some(y)) => (x, y),
                        _ => return Err(syntax(&tokens)),
                    };
                    // Heights are not asked for, with or without the word Z.
                    let mut more = 2;
                    while more < 4 && tokens.number().is_some() {
                        more += 1;
                    }
                    if more < dimensions {
                        return Err(syntax(&tokens));
                    }
                    points.push([x, y]);
                    self.count(1)?;
                    if !tokens.take(',') {
                        break;
                    }
                }
                if !tokens.take(')') {
                    return Err(syntax(&tokens));
                }
                push_ring(points, &place, &mut geometry)?;
                if !tokens.take(',') {
                    break;
                }
            }
            if !tokens.take(')') {
                return Err(syntax(&tokens));
            }
            geometry.close_part();
            if !(multi && tokens.take(',')) {
                break;
            }
        }
        if (multi && !tokens.take(')'))
            || !tokens
                .rest
                .trim_matches([' ', ';', '\n', '\r', '\t'])
                .is_empty()
        {
            return Err(syntax(&tokens));
        }
        self.push(number.to_string(), crs, geometry)
    }
}

struct Tokens<'a> {
    rest: &'a str,
}

impl Tokens<'_> {
    fn take(&mut self, sign: char) -> bool {
        let rest = self.rest.trim_start();
        match rest.strip_prefix(sign) {
            Some(tail) => {
                self.rest = tail;
                true
            }
            None => false,
        }
    }

    fn number(&mut self) -> Option<f64> {
        let rest = self.rest.trim_start();
        let end = rest
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E')))
            .unwrap_or(rest.len());
        let number = rest[..end].parse().ok()?;
        self.rest = &rest[end..];
        Some(number)
    }
}

/// Texts that begin with a word at the begin of a line.
fn wkt_pieces(text: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = vec![0];
    for (at, _) in text.match_indices('\n') {
        if text[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            starts.push(at + 1);
        }
    }
    starts.push(text.len());
    starts
        .windows(2)
        .map(|pair| text[pair[0]..pair[1]].trim())
        .filter(|piece| !piece.is_empty())
        .collect()
}

fn push_ring(
    mut points: Vec<[f64; 2]>,
    place: &str,
    out: &mut Geometry,
) -> Result<(), BoundaryError> {
    if let Some(&first) = points.first()
        && points.last() != Some(&first)
    {
        points.push(first);
    }
    if points.len() < 4 {
        return Err(wrong(
            place,
            "a ring has fewer than three different positions",
        ));
    }
    if points.iter().flatten().any(|v| !v.is_finite()) {
        return Err(wrong(place, "a position is not finite"));
    }
    out.push_ring(points);
    Ok(())
}

fn wrong(place: &str, reason: &str) -> BoundaryError {
    BoundaryError::Shape {
        place: place.to_string(),
        reason: reason.to_string(),
    }
}

/// What a feature calls itself.
fn name_of(feature: &Value) -> Option<String> {
    const FIELDS: [&str; 7] = ["name", "NAME", "XMMC", "DKMC", "DKBH", "BSM", "id"];
    let properties = feature.get("properties");
    let named = FIELDS
        .into_iter()
        .filter_map(|field| properties.and_then(|p| p.get(field)))
        .chain(feature.get("id"))
        .find(|value| value.is_string() || value.is_number())?;
    let text = match named {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let text: String = text.chars().take(80).collect();
    (!text.trim().is_empty()).then_some(text)
}
