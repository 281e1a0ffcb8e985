//! Attributes: the schema a layer declares, and the typed values of its features.

use std::ffi::c_int;

use encoding_rs::Encoding;
use gdal_sys::OGRFieldSubType as SubType;
use gdal_sys::OGRFieldType as OgrType;
use gdal_sys::{
    OGR_F_GetFieldAsBinary, OGR_F_GetFieldAsDateTimeEx, OGR_F_GetFieldAsDouble,
    OGR_F_GetFieldAsDoubleList, OGR_F_GetFieldAsInteger64, OGR_F_GetFieldAsInteger64List,
    OGR_F_GetFieldAsIntegerList, OGR_F_GetFieldAsString, OGR_F_GetFieldAsStringList,
    OGR_F_IsFieldSetAndNotNull, OGR_FD_GetFieldCount, OGR_FD_GetFieldDefn,
    OGR_Fld_GetAlternativeNameRef, OGR_Fld_GetNameRef, OGR_Fld_GetPrecision, OGR_Fld_GetSubType,
    OGR_Fld_GetType, OGR_Fld_GetWidth, OGR_L_GetLayerDefn, OGRLayerH,
};

use super::csv::Number;
use super::layer::{RawFeature, of_feature, whole_layer};
use super::ogr::bytes;
use super::text::{self as encoding_of, Fault};
use crate::model::{Field, FieldType, IssueCode, IssueLog, Schema, Severity, Value};

/// How the attributes of a layer are read.
pub(super) struct Attributes {
    pub schema: Schema,
    readers: Vec<FieldReader>,
    pub encoding: &'static Encoding,
    /// Text that is not in `encoding` may be tried in another one.
    may_rescue: bool,
}

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
    /// Numbers of a text table that does not say its types.
    ParsedInteger,
    ParsedReal,
}

impl Attributes {
    /// Reads the layer's definition. `numbers` holds, for tables of text, what the fields of the
    /// first rows look like.
    ///
    /// # Safety
    /// The layer lives.
    pub(super) unsafe fn of_layer(
        layer: OGRLayerH,
        encoding: &'static Encoding,
        may_rescue: bool,
        numbers: &[Number],
        issues: &mut IssueLog,
    ) -> Attributes {
        let (mut schema, mut readers) = schema_of(layer, encoding, issues);
        for ((field, reader), number) in schema.fields.iter_mut().zip(&mut readers).zip(numbers) {
            (field.field_type, *reader) = match number {
                Number::Integer => (FieldType::Integer, FieldReader::ParsedInteger),
                Number::Real => (FieldType::Real, FieldReader::ParsedReal),
                Number::No | Number::Unseen => continue,
            };
        }
        Attributes {
            schema,
            readers,
            encoding,
            may_rescue,
        }
    }

    /// The values of a feature, one per field of the schema.
    pub(super) fn values(
        &self,
        raw: &RawFeature,
        source_id: i64,
        issues: &mut IssueLog,
    ) -> Vec<Value> {
        self.readers
            .iter()
            .enumerate()
            .map(|(index, reader)| self.value(raw, source_id, index, *reader, issues))
            .collect()
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
                FieldReader::ParsedInteger | FieldReader::ParsedReal => {
                    let bytes = bytes(OGR_F_GetFieldAsString(raw.0, field));
                    let as_integer = reader == FieldReader::ParsedInteger;
                    self.parsed(bytes, source_id, index, as_integer, issues)
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
                | FieldReader::ParsedInteger
                | FieldReader::ParsedReal
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

    fn parsed(
        &self,
        bytes: &[u8],
        source_id: i64,
        index: usize,
        as_integer: bool,
        issues: &mut IssueLog,
    ) -> Value {
        let text = self.decoded(bytes, source_id, index, issues);
        let number = text.trim();
        let parsed = if as_integer {
            number.parse().ok().map(Value::Integer)
        } else {
            number
                .parse()
                .ok()
                .filter(|value: &f64| value.is_finite())
                .map(Value::Real)
        };
        parsed.unwrap_or_else(|| {
            let mut issue = of_feature(
                source_id,
                IssueCode::ValueUnreadable,
                Severity::Kept,
                format!("{text:?} is no number as in the rows before and became null"),
            );
            issue.field = Some(self.schema.fields[index].name.clone());
            issues.push(issue);
            Value::Null
        })
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
