//! A layer ready for reading: schema, reference system and encoding are settled, features stream.

use std::ffi::{CString, c_char, c_int};
use std::ptr;

use encoding_rs::{Encoding, UTF_8};
use gdal_sys::OGRFieldSubType as SubType;
use gdal_sys::OGRFieldType as OgrType;
use gdal_sys::{
    GDALGetMetadataItem, OGR_F_Destroy, OGR_F_GetFID, OGR_F_GetFieldAsBinary,
    OGR_F_GetFieldAsDateTimeEx, OGR_F_GetFieldAsDouble, OGR_F_GetFieldAsDoubleList,
    OGR_F_GetFieldAsInteger64, OGR_F_GetFieldAsInteger64List, OGR_F_GetFieldAsIntegerList,
    OGR_F_GetFieldAsString, OGR_F_GetFieldAsStringList, OGR_F_GetGeometryRef,
    OGR_F_IsFieldSetAndNotNull, OGR_FD_GetFieldCount, OGR_FD_GetFieldDefn,
    OGR_FD_GetGeomFieldCount, OGR_Fld_GetAlternativeNameRef, OGR_Fld_GetNameRef,
    OGR_Fld_GetPrecision, OGR_Fld_GetSubType, OGR_Fld_GetType, OGR_Fld_GetWidth, OGR_G_GetEnvelope,
    OGR_G_IsEmpty, OGR_GT_HasZ, OGR_L_GetFeatureCount, OGR_L_GetGeomType, OGR_L_GetLayerDefn,
    OGR_L_GetName, OGR_L_GetNextFeature, OGR_L_GetSpatialRef, OGR_L_ResetReading, OGREnvelope,
    OGRFeatureH, OGRLayerH, OGRSpatialReferenceH, OGRwkbGeometryType, OSREPSGTreatsAsLatLong,
    OSREPSGTreatsAsNorthingEasting, OSRExportToWktEx, OSRGetDataAxisToSRSAxisMapping, OSRGetName,
    VSIFree,
};

use super::locate::Located;
use super::ogr::{ErrorTrap, Handle, bytes, text};
use super::text::{self as encoding_of, Evidence, Fault, TextEncoding};
use super::{SourceDataset, SourceError, csv, shape};
use crate::crs::{Crs, coordinate_hint};
use crate::geom::{Bbox, GeometryType};
use crate::model::{
    Feature, Field, FieldType, Issue, IssueCode, IssueLog, Schema, Severity, SourceInfo, Value,
};

/// Features looked at before reading starts, for encoding and zone.
const SAMPLE_FEATURES: usize = 2000;
const SAMPLE_SHAPES: usize = 200;

/// How the source's format wants shells to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Winding {
    /// Shapefile and geodatabase.
    ShellClockwise,
    /// GeoJSON (RFC 7946).
    ShellCounterClockwise,
    /// Formats that leave it open.
    Free,
}

/// A stream of features of one layer. Owned by one thread at a time.
pub struct SourceLayer {
    // Declared first: the dataset is closed before the memory files it reads go away.
    _handle: Handle,
    layer: LayerPointer,
    located: Located,
    name: String,
    driver: String,
    schema: Schema,
    readers: Vec<FieldReader>,
    crs: Crs,
    geometry_type: Option<GeometryType>,
    has_z: bool,
    encoding: &'static Encoding,
    may_rescue: bool,
    swap_axes: bool,
    feature_count: Option<u64>,
    read: u64,
    finished: bool,
}

struct LayerPointer(OGRLayerH);

// SAFETY: the layer belongs to the dataset handle of the same struct, and moves with it.
unsafe impl Send for LayerPointer {}

/// How one attribute is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FieldReader {
    Boolean,
    Integer,
    Real,
    Text,
    Date,
    Time,
    DateTime,
    Binary,
    IntegerList,
    Integer64List,
    RealList,
    TextList,
}

impl SourceLayer {
    pub(super) fn new(
        dataset: SourceDataset,
        index: usize,
        issues: &mut IssueLog,
    ) -> Result<SourceLayer, SourceError> {
        let trap = ErrorTrap::set();
        let layer = dataset.layer_handle(index);
        let driver = dataset.driver().to_string();
        let SourceDataset {
            handle,
            mut located,
            spec,
            ..
        } = dataset;
        for issue in located.issues.drain(..) {
            issues.push(issue);
        }
        // SAFETY: layer and definition live as long as `handle`; texts are copied.
        let (raw_name, wkb, geometry_columns) = unsafe {
            let definition = OGR_L_GetLayerDefn(layer);
            (
                bytes(OGR_L_GetName(layer)).to_vec(),
                OGR_L_GetGeomType(layer),
                OGR_FD_GetGeomFieldCount(definition),
            )
        };
        let name = encoding_of::decode_with_rescue(UTF_8, &raw_name).0;
        if wkb == OGRwkbGeometryType::wkbNone || geometry_columns == 0 {
            return Err(SourceError::NoGeometry {
                name: located.display,
                layer: name,
                hint: if driver == "CSV" {
                    csv::hint()
                } else {
                    String::new()
                },
            });
        }
        if geometry_columns > 1 {
            issues.push(whole_layer(
                IssueCode::FieldUnsupported,
                Severity::Note,
                format!("{geometry_columns} geometry columns, the first is read"),
            ));
        }
        let sample = sample(layer);
        let encoding = settle_encoding(layer, spec.encoding, &sample.evidence, issues);
        let (schema, readers) = schema_of(layer, encoding, issues);
        // SAFETY: the reference belongs to the layer, null when there is none.
        let reference = unsafe { OGR_L_GetSpatialRef(layer) };
        let crs = settle_crs(
            spec.crs.as_ref(),
            reference,
            &located,
            &name,
            &sample.bbox,
            issues,
        )?;
        // SAFETY: as above.
        let swap_axes = unsafe { has_northing_first(reference) };
        // SAFETY: the layer lives. Counts are taken only where they cost nothing.
        let count = unsafe { OGR_L_GetFeatureCount(layer, 0) };
        // SAFETY: the layer lives; the next read starts at the first feature.
        unsafe { OGR_L_ResetReading(layer) };
        drop(trap);
        Ok(SourceLayer {
            _handle: handle,
            layer: LayerPointer(layer),
            located,
            name,
            driver,
            schema,
            readers,
            crs,
            geometry_type: shape::declared_type(wkb),
            // SAFETY: a pure function of a number.
            has_z: unsafe { OGR_GT_HasZ(wkb) != 0 },
            encoding,
            may_rescue: spec.encoding == TextEncoding::Auto,
            swap_axes,
            feature_count: u64::try_from(count).ok(),
            read: 0,
            finished: false,
        })
    }

    /// The layer's name within the source.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    pub fn crs(&self) -> &Crs {
        &self.crs
    }

    /// The declared type; features may differ. `None` when undeclared or mixed.
    pub fn geometry_type(&self) -> Option<GeometryType> {
        self.geometry_type
    }

    /// Whether the layer declares heights.
    pub fn has_z(&self) -> bool {
        self.has_z
    }

    /// The number of features, where the source knows it without reading; a hint, not to be
    /// trusted for allocation.
    pub fn feature_count(&self) -> Option<u64> {
        self.feature_count
    }

    pub fn driver(&self) -> &str {
        &self.driver
    }

    pub fn winding(&self) -> Winding {
        match self.driver.as_str() {
            "ESRI Shapefile" | "OpenFileGDB" => Winding::ShellClockwise,
            "GeoJSON" | "GeoJSONSeq" => Winding::ShellCounterClockwise,
            _ => Winding::Free,
        }
    }

    /// For the manifest; the checksum is the caller's.
    pub fn info(&self) -> SourceInfo {
        SourceInfo {
            name: self.located.display.clone(),
            layer: Some(self.name.clone()),
            driver: self.driver.clone(),
            encoding: Some(self.encoding.name().to_string()),
            checksum: None,
            bytes: self.located.bytes,
        }
    }

    /// Appends the next features to `out`: at most `max_features`, and no more once
    /// `max_vertices` are exceeded. A feature without geometry has its reason in `issues`.
    /// Returns false when the layer is at its end.
    ///
    /// # Errors
    /// When the source breaks off.
    pub fn read_batch(
        &mut self,
        max_features: usize,
        max_vertices: usize,
        out: &mut Vec<Feature>,
        issues: &mut IssueLog,
    ) -> Result<bool, SourceError> {
        if self.finished {
            return Ok(false);
        }
        let trap = ErrorTrap::set();
        let (mut features, mut vertices) = (0usize, 0usize);
        while features < max_features && vertices <= max_vertices {
            // SAFETY: the layer lives; the feature is owned here and destroyed below.
            let raw = unsafe { OGR_L_GetNextFeature(self.layer.0) };
            if raw.is_null() {
                self.finished = true;
                self.check_end(&trap.take())?;
                return Ok(false);
            }
            let raw = RawFeature(raw);
            let feature = self.feature(&raw, &trap, issues);
            vertices += feature
                .geometry
                .as_ref()
                .map_or(0, |geometry| geometry.vertex_count());
            features += 1;
            self.read += 1;
            out.push(feature);
        }
        Ok(true)
    }

    /// Tells an early end from the end.
    fn check_end(&self, caught: &[String]) -> Result<(), SourceError> {
        // These formats count their features in the header; elsewhere the count is an estimate.
        let expected = match self.driver.as_str() {
            "FlatGeobuf" => self.feature_count,
            _ => None,
        };
        let short = expected.is_some_and(|expected| self.read < expected);
        if caught.is_empty() && !short {
            return Ok(());
        }
        Err(SourceError::Truncated {
            name: self.located.display.clone(),
            layer: self.name.clone(),
            read: self.read,
            expected,
            reason: if caught.is_empty() {
                "the file ends early".to_string()
            } else {
                self.redacted(&caught.join("; "))
            },
        })
    }

    fn redacted(&self, message: &str) -> String {
        match &self.located.chosen {
            Some(candidate) => candidate.redacted(message),
            None => message.to_string(),
        }
    }

    fn feature(&self, raw: &RawFeature, trap: &ErrorTrap, issues: &mut IssueLog) -> Feature {
        // SAFETY: the feature lives; its geometry belongs to it.
        let (source_id, handle) = unsafe { (OGR_F_GetFID(raw.0), OGR_F_GetGeometryRef(raw.0)) };
        let geometry = if handle.is_null() {
            let caught = trap.take();
            issues.push(if caught.is_empty() {
                of_feature(
                    source_id,
                    IssueCode::NullGeometry,
                    Severity::Rejected,
                    "no geometry".to_string(),
                )
            } else {
                of_feature(
                    source_id,
                    IssueCode::GeometryUnreadable,
                    Severity::Rejected,
                    self.redacted(&caught.join("; ")),
                )
            });
            None
        } else {
            // SAFETY: the handle lives as long as `raw`.
            let shape = unsafe { shape::convert(handle) };
            report_shape(source_id, &shape, issues);
            shape.geometry
        };
        let geometry = geometry.map(|mut geometry| {
            if self.swap_axes {
                for pair in geometry.xy.chunks_exact_mut(2) {
                    pair.swap(0, 1);
                }
            }
            geometry
        });
        let values = self
            .readers
            .iter()
            .enumerate()
            .map(|(index, reader)| self.value(raw, source_id, index, *reader, issues))
            .collect();
        Feature {
            source_id,
            geometry,
            values,
        }
    }

    fn value(
        &self,
        raw: &RawFeature,
        source_id: i64,
        index: usize,
        reader: FieldReader,
        issues: &mut IssueLog,
    ) -> Value {
        let field = index as c_int;
        // SAFETY: the feature lives, the index is one of its fields; results that belong to the
        // feature are copied before it goes.
        unsafe {
            if OGR_F_IsFieldSetAndNotNull(raw.0, field) == 0 {
                return Value::Null;
            }
            match reader {
                FieldReader::Boolean => {
                    Value::Boolean(OGR_F_GetFieldAsInteger64(raw.0, field) != 0)
                }
                FieldReader::Integer => Value::Integer(OGR_F_GetFieldAsInteger64(raw.0, field)),
                FieldReader::Real => {
                    let value = OGR_F_GetFieldAsDouble(raw.0, field);
                    if value.is_finite() {
                        Value::Real(value)
                    } else {
                        let mut issue = of_feature(
                            source_id,
                            IssueCode::ValueNotFinite,
                            Severity::Kept,
                            format!("{value} became null"),
                        );
                        issue.field = Some(self.schema.fields[index].name.clone());
                        issues.push(issue);
                        Value::Null
                    }
                }
                FieldReader::Text => {
                    let bytes = bytes(OGR_F_GetFieldAsString(raw.0, field));
                    Value::Text(self.decoded(bytes, source_id, index, issues))
                }
                FieldReader::Date | FieldReader::Time | FieldReader::DateTime => {
                    moment(raw, field, reader).map_or(Value::Null, Value::Text)
                }
                FieldReader::Binary => {
                    let mut count: c_int = 0;
                    let start = OGR_F_GetFieldAsBinary(raw.0, field, &mut count);
                    if start.is_null() || count <= 0 {
                        Value::Binary(Vec::new())
                    } else {
                        Value::Binary(std::slice::from_raw_parts(start, count as usize).to_vec())
                    }
                }
                FieldReader::IntegerList
                | FieldReader::Integer64List
                | FieldReader::RealList
                | FieldReader::TextList => self.list(raw, source_id, index, reader, issues),
            }
        }
    }

    /// Lists become JSON arrays.
    ///
    /// # Safety
    /// The field at `index` is set and of the list type of `reader`.
    unsafe fn list(
        &self,
        raw: &RawFeature,
        source_id: i64,
        index: usize,
        reader: FieldReader,
        issues: &mut IssueLog,
    ) -> Value {
        let field = index as c_int;
        let mut count: c_int = 0;
        // SAFETY: GDAL returns `count` elements that belong to the feature, or null with 0.
        let array: Vec<serde_json::Value> = unsafe {
            match reader {
                FieldReader::IntegerList => {
                    let start = OGR_F_GetFieldAsIntegerList(raw.0, field, &mut count);
                    elements(start, count).map(|&value| value.into()).collect()
                }
                FieldReader::Integer64List => {
                    let start = OGR_F_GetFieldAsInteger64List(raw.0, field, &mut count);
                    elements(start, count).map(|&value| value.into()).collect()
                }
                FieldReader::RealList => {
                    let start = OGR_F_GetFieldAsDoubleList(raw.0, field, &mut count);
                    elements(start, count).map(|&value| value.into()).collect()
                }
                FieldReader::Boolean
                | FieldReader::Integer
                | FieldReader::Real
                | FieldReader::Text
                | FieldReader::Date
                | FieldReader::Time
                | FieldReader::DateTime
                | FieldReader::Binary
                | FieldReader::TextList => {
                    let mut texts = Vec::new();
                    let mut entry = OGR_F_GetFieldAsStringList(raw.0, field);
                    while !entry.is_null() && !(*entry).is_null() {
                        let bytes = bytes(*entry);
                        texts.push(self.decoded(bytes, source_id, index, issues).into());
                        entry = entry.add(1);
                    }
                    texts
                }
            }
        };
        Value::Text(serde_json::Value::Array(array).to_string())
    }

    fn decoded(&self, bytes: &[u8], source_id: i64, index: usize, issues: &mut IssueLog) -> String {
        let (text, fault) = if self.may_rescue {
            encoding_of::decode_with_rescue(self.encoding, bytes)
        } else {
            encoding_of::decode(self.encoding, bytes)
        };
        let (code, severity, detail) = match fault {
            Fault::None => return text,
            Fault::CutAtEnd => (
                IssueCode::TextTruncatedMidCharacter,
                Severity::Repaired,
                format!("the last character lacks bytes and is left out: {text:?}"),
            ),
            Fault::OtherEncoding => (
                IssueCode::EncodingInvalid,
                Severity::Repaired,
                format!("not {}, read as GB18030: {text:?}", self.encoding.name()),
            ),
            Fault::Replaced => (
                IssueCode::EncodingInvalid,
                Severity::Kept,
                format!("bytes that are not {} became U+FFFD", self.encoding.name()),
            ),
        };
        let mut issue = of_feature(
            source_id,
            code,
            severity,
            detail.chars().take(200).collect(),
        );
        issue.field = Some(self.schema.fields[index].name.clone());
        issues.push(issue);
        text
    }
}

/// A feature owned until dropped.
struct RawFeature(OGRFeatureH);

impl Drop for RawFeature {
    fn drop(&mut self) {
        // SAFETY: owned by this value, destroyed once.
        unsafe { OGR_F_Destroy(self.0) };
    }
}

/// # Safety
/// `start` points to `count` elements that live for `'a`, or is null.
unsafe fn elements<'a, T>(start: *const T, count: c_int) -> std::slice::Iter<'a, T> {
    if start.is_null() || count <= 0 {
        [].iter()
    } else {
        // SAFETY: by contract.
        unsafe { std::slice::from_raw_parts(start, count as usize) }.iter()
    }
}

/// ISO 8601 text of a date, time or both. GDAL's zone flag is 0 for unknown, 1 for local time,
/// 100 for UTC and one step per quarter of an hour around it.
fn moment(raw: &RawFeature, field: c_int, reader: FieldReader) -> Option<String> {
    let (mut year, mut month, mut day, mut hour, mut minute, mut zone) = (0, 0, 0, 0, 0, 0);
    let mut second = 0f32;
    // SAFETY: the feature lives; all results are local.
    let found = unsafe {
        OGR_F_GetFieldAsDateTimeEx(
            raw.0,
            field,
            &mut year,
            &mut month,
            &mut day,
            &mut hour,
            &mut minute,
            &mut second,
            &mut zone,
        )
    };
    if found == 0 {
        return None;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    let millis = (f64::from(second) * 1000.0).round() as i64;
    let mut time = format!("{hour:02}:{minute:02}:{:02}", millis / 1000);
    if millis % 1000 != 0 {
        time.push_str(&format!(".{:03}", millis % 1000));
    }
    Some(match reader {
        FieldReader::Date => date,
        FieldReader::Time => time,
        _ => {
            let offset = match zone {
                0 | 1 => String::new(),
                100 => "Z".to_string(),
                other => {
                    let minutes = (other - 100) * 15;
                    let sign = if minutes < 0 { '-' } else { '+' };
                    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
                }
            };
            format!("{date}T{time}{offset}")
        }
    })
}

fn report_shape(source_id: i64, shape: &shape::Shape, issues: &mut IssueLog) {
    let mut report = |code, severity, detail: String| {
        issues.push(of_feature(source_id, code, severity, detail));
    };
    if let Some(kind) = shape.unsupported {
        let severity = if shape.geometry.is_none() {
            Severity::Rejected
        } else {
            Severity::Kept
        };
        report(
            IssueCode::GeometryUnreadable,
            severity,
            format!("geometry type {kind} is none of points, lines and polygons"),
        );
    } else if shape.geometry.is_none() {
        report(
            IssueCode::EmptyGeometry,
            Severity::Rejected,
            "the geometry has no coordinates".to_string(),
        );
    }
    if shape.had_curves {
        report(
            IssueCode::CurveLinearised,
            Severity::Kept,
            "arcs became chords of 4°".to_string(),
        );
    }
    if shape.had_measures {
        report(
            IssueCode::MeasureDropped,
            Severity::Note,
            "M values are not kept".to_string(),
        );
    }
    if shape.dropped_parts > 0 {
        report(
            IssueCode::CollectionReduced,
            Severity::Kept,
            format!(
                "{} parts of lower dimension were left out",
                shape.dropped_parts
            ),
        );
    }
}

fn of_feature(feature: i64, code: IssueCode, severity: Severity, detail: String) -> Issue {
    Issue {
        code,
        severity,
        feature: Some(feature),
        field: None,
        place: None,
        detail,
    }
}

fn whole_layer(code: IssueCode, severity: Severity, detail: String) -> Issue {
    Issue {
        code,
        severity,
        feature: None,
        field: None,
        place: None,
        detail,
    }
}

struct Sample {
    evidence: Evidence,
    bbox: Bbox,
}

/// Looks at the first features: their text, and where they are.
fn sample(layer: OGRLayerH) -> Sample {
    let mut sample = Sample {
        evidence: Evidence::default(),
        bbox: Bbox::EMPTY,
    };
    // SAFETY: the layer lives; features are owned and destroyed here, texts only looked at.
    unsafe {
        let definition = OGR_L_GetLayerDefn(layer);
        let fields = OGR_FD_GetFieldCount(definition);
        let texts: Vec<c_int> = (0..fields)
            .filter(|&field| {
                OGR_Fld_GetType(OGR_FD_GetFieldDefn(definition, field)) == OgrType::OFTString
            })
            .collect();
        for field in 0..fields {
            let field = OGR_FD_GetFieldDefn(definition, field);
            sample.evidence.add(bytes(OGR_Fld_GetNameRef(field)));
        }
        for seen in 0..SAMPLE_FEATURES {
            let raw = OGR_L_GetNextFeature(layer);
            if raw.is_null() {
                break;
            }
            let raw = RawFeature(raw);
            for &field in &texts {
                if OGR_F_IsFieldSetAndNotNull(raw.0, field) != 0 {
                    sample
                        .evidence
                        .add(bytes(OGR_F_GetFieldAsString(raw.0, field)));
                }
            }
            let geometry = OGR_F_GetGeometryRef(raw.0);
            if seen < SAMPLE_SHAPES && !geometry.is_null() && OGR_G_IsEmpty(geometry) == 0 {
                let mut envelope = OGREnvelope {
                    MinX: 0.0,
                    MaxX: 0.0,
                    MinY: 0.0,
                    MaxY: 0.0,
                };
                OGR_G_GetEnvelope(geometry, &mut envelope);
                sample.bbox = sample.bbox.union(&Bbox::new(
                    envelope.MinX,
                    envelope.MinY,
                    envelope.MaxX,
                    envelope.MaxY,
                ));
            }
        }
        OGR_L_ResetReading(layer);
    }
    sample
}

fn settle_encoding(
    layer: OGRLayerH,
    wanted: TextEncoding,
    evidence: &Evidence,
    issues: &mut IssueLog,
) -> &'static Encoding {
    if let TextEncoding::Named(encoding) = wanted {
        return encoding;
    }
    let mark = |item: &std::ffi::CStr| {
        // SAFETY: the layer lives; the text is copied.
        unsafe {
            text(GDALGetMetadataItem(
                layer,
                item.as_ptr(),
                c"SHAPEFILE".as_ptr(),
            ))
        }
    };
    let code_page = mark(c"CPG_VALUE");
    let language = mark(c"LDID_VALUE");
    let declared = encoding_of::code_page(&code_page)
        .map(|encoding| (encoding, format!(".cpg says {code_page:?}")))
        .or_else(|| {
            let byte = language.parse().ok()?;
            let encoding = encoding_of::dbf_language(byte)?;
            Some((encoding, format!("the DBF language byte is {byte}")))
        });
    let is_shapefile = !language.is_empty() || !code_page.is_empty();
    match declared {
        Some((encoding, says)) if evidence.contradicts(encoding) => {
            let found = evidence.verdict();
            issues.push(whole_layer(
                IssueCode::EncodingGuessed,
                Severity::Repaired,
                format!(
                    "{says}, but the text is {} (字符编码标记与内容不符)",
                    found.name()
                ),
            ));
            found
        }
        Some((encoding, _)) => encoding,
        None if evidence.is_silent() => UTF_8,
        None => {
            let found = evidence.verdict();
            if is_shapefile || found != UTF_8 {
                issues.push(whole_layer(
                    IssueCode::EncodingGuessed,
                    Severity::Note,
                    format!(
                        "the source does not say its text encoding; by its bytes it is {} (字符编码由内容判断)",
                        found.name()
                    ),
                ));
            }
            found
        }
    }
}

fn schema_of(
    layer: OGRLayerH,
    encoding: &'static Encoding,
    issues: &mut IssueLog,
) -> (Schema, Vec<FieldReader>) {
    let mut schema = Schema::default();
    let mut readers = Vec::new();
    // SAFETY: the definition lives as long as the layer; texts are decoded into copies.
    unsafe {
        let definition = OGR_L_GetLayerDefn(layer);
        for index in 0..OGR_FD_GetFieldCount(definition) {
            let field = OGR_FD_GetFieldDefn(definition, index);
            let raw_name = bytes(OGR_Fld_GetNameRef(field));
            let mut name = encoding_of::decode_with_rescue(encoding, raw_name).0;
            if name.trim().is_empty() {
                name = format!("field_{}", index + 1);
            }
            if schema.index_of(&name).is_some() {
                let unique = (2..)
                    .map(|n| format!("{name}_{n}"))
                    .find(|candidate| schema.index_of(candidate).is_none())
                    .expect("some number is free");
                let mut issue = whole_layer(
                    IssueCode::DuplicateFieldName,
                    Severity::Repaired,
                    format!("the name occurs before, this field became {unique}"),
                );
                issue.field = Some(name);
                issues.push(issue);
                name = unique;
            }
            let alias = encoding_of::decode_with_rescue(
                encoding,
                bytes(OGR_Fld_GetAlternativeNameRef(field)),
            )
            .0;
            let (field_type, reader, unsupported) =
                type_of(OGR_Fld_GetType(field), OGR_Fld_GetSubType(field));
            if let Some(found) = unsupported {
                let mut issue = whole_layer(
                    IssueCode::FieldUnsupported,
                    Severity::Note,
                    format!("type {found} is kept as text"),
                );
                issue.field = Some(name.clone());
                issues.push(issue);
            }
            readers.push(reader);
            schema.fields.push(Field {
                alias: (!alias.is_empty() && alias != name).then_some(alias),
                name,
                field_type,
                width: OGR_Fld_GetWidth(field).max(0) as u32,
                precision: OGR_Fld_GetPrecision(field).max(0) as u32,
            });
        }
    }
    (schema, readers)
}

fn type_of(
    declared: OgrType::Type,
    subtype: SubType::Type,
) -> (FieldType, FieldReader, Option<&'static str>) {
    match declared {
        OgrType::OFTInteger if subtype == SubType::OFSTBoolean => {
            (FieldType::Boolean, FieldReader::Boolean, None)
        }
        OgrType::OFTInteger | OgrType::OFTInteger64 => {
            (FieldType::Integer, FieldReader::Integer, None)
        }
        OgrType::OFTReal => (FieldType::Real, FieldReader::Real, None),
        OgrType::OFTString if subtype == SubType::OFSTJSON => {
            (FieldType::Json, FieldReader::Text, None)
        }
        OgrType::OFTString => (FieldType::String, FieldReader::Text, None),
        OgrType::OFTDate => (FieldType::Date, FieldReader::Date, None),
        OgrType::OFTTime => (FieldType::String, FieldReader::Time, Some("Time")),
        OgrType::OFTDateTime => (FieldType::DateTime, FieldReader::DateTime, None),
        OgrType::OFTBinary => (FieldType::Binary, FieldReader::Binary, None),
        OgrType::OFTIntegerList => (FieldType::Json, FieldReader::IntegerList, None),
        OgrType::OFTInteger64List => (FieldType::Json, FieldReader::Integer64List, None),
        OgrType::OFTRealList => (FieldType::Json, FieldReader::RealList, None),
        OgrType::OFTStringList => (FieldType::Json, FieldReader::TextList, None),
        _ => (FieldType::String, FieldReader::Text, Some("unknown")),
    }
}

fn settle_crs(
    wanted: Option<&Crs>,
    reference: OGRSpatialReferenceH,
    located: &Located,
    layer: &str,
    sample: &Bbox,
    issues: &mut IssueLog,
) -> Result<Crs, SourceError> {
    let name = || located.display.clone();
    let crs = match wanted {
        Some(crs) => crs.clone(),
        None => {
            let hint = coordinate_hint(sample);
            let no_crs = || SourceError::NoCrs {
                name: name(),
                layer: layer.to_string(),
                hint: if hint.is_empty() {
                    String::new()
                } else {
                    format!("; {hint}")
                },
            };
            // SAFETY: null or a live reference of the layer.
            let wkt = unsafe { wkt_of(reference) }.ok_or_else(no_crs)?;
            Crs::from_definition(&wkt).map_err(|source| SourceError::Crs {
                name: name(),
                layer: layer.to_string(),
                source,
            })?
        }
    };
    if let Some((reason, code)) = crs.disagreement(sample) {
        return Err(SourceError::CrsDisagrees {
            name: name(),
            layer: layer.to_string(),
            declared: crs.label(),
            reason,
            suggestion: code.map(|code| format!("EPSG:{code}")),
        });
    }
    if wanted.is_none() && crs.epsg.is_none() {
        issues.push(whole_layer(
            IssueCode::CrsWithoutCode,
            Severity::Note,
            format!(
                "{:?} is not in the EPSG registry; it is kept as its definition",
                crs.name
            ),
        ));
    }
    Ok(crs)
}

/// WKT of a reference that says something: engineering systems and GDAL's placeholder for "none"
/// say nothing.
///
/// # Safety
/// `reference` is null or a live spatial reference.
unsafe fn wkt_of(reference: OGRSpatialReferenceH) -> Option<String> {
    if reference.is_null() {
        return None;
    }
    // SAFETY: by contract; the text is copied and freed.
    unsafe {
        let name = text(OSRGetName(reference)).to_lowercase();
        if name.starts_with("undefined") || name == "unknown" || name.is_empty() {
            return None;
        }
        let format = CString::new("FORMAT=WKT2_2019").ok()?;
        let options: [*const c_char; 2] = [format.as_ptr(), ptr::null()];
        let mut wkt: *mut c_char = ptr::null_mut();
        OSRExportToWktEx(reference, &mut wkt, options.as_ptr());
        let copy = text(wkt);
        VSIFree(wkt.cast());
        (!copy.is_empty()).then_some(copy)
    }
}

/// True when coordinates come north first: the authority's order, and the layer says that the
/// data follow it.
///
/// # Safety
/// `reference` is null or a live spatial reference.
unsafe fn has_northing_first(reference: OGRSpatialReferenceH) -> bool {
    if reference.is_null() {
        return false;
    }
    // SAFETY: by contract; the mapping has `count` elements and belongs to the reference.
    unsafe {
        let by_authority = OSREPSGTreatsAsLatLong(reference) != 0
            || OSREPSGTreatsAsNorthingEasting(reference) != 0;
        let mut count: c_int = 0;
        let mapping = OSRGetDataAxisToSRSAxisMapping(reference, &mut count);
        by_authority && !mapping.is_null() && count >= 2 && *mapping == 1
    }
}
