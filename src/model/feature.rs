//! Features: a shape, an identity and typed attributes under a schema.

use serde::{Deserialize, Serialize};

use crate::geom::Geometry;

/// The type of an attribute as the source declared it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    Boolean,
    Integer,
    Real,
    String,
    /// ISO 8601 calendar date.
    Date,
    /// ISO 8601 date and time.
    DateTime,
    Binary,
    /// Lists and nested values, kept as JSON text.
    Json,
}

/// One attribute of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    /// A second name for people (FileGDB alias, GeoPackage title), when the source has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// Declared width in characters; 0 when the source does not bound it.
    pub width: u32,
    /// Declared digits behind the decimal point.
    pub precision: u32,
}

/// The attributes of a layer, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Schema {
    pub fields: Vec<Field>,
}

impl Schema {
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Real(f64),
    /// Strings, and dates and times in ISO 8601, and JSON text.
    Text(String),
    Binary(Vec<u8>),
}

/// A feature on its way from a source into a generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// What the source calls it (its FID), for messages.
    pub source_id: i64,
    pub geometry: Option<Geometry>,
    /// One per schema field.
    pub values: Vec<Value>,
}
