//! Delimited text files: which columns are the geometry, and which hold numbers.

use std::ffi::{CStr, CString};

use encoding_rs::{Encoding, GB18030, UTF_8};

use super::locate::read_head;
use super::text::Evidence;

const HEAD_BYTES: usize = 256 << 10;

const SHAPE_NAMES: &[&str] = &[
    "wkt",
    "geom",
    "geometry",
    "the_geom",
    "wkt_geom",
    "geom_wkt",
    "shape_wkt",
    "wkb_geometry",
    "几何",
    "几何图形",
    "图形",
];
/// Pairs of x (east) and y (north), the most telling first.
const PAIRS: &[(&str, &str)] = &[
    ("lon", "lat"),
    ("lng", "lat"),
    ("long", "lat"),
    ("longitude", "latitude"),
    ("经度", "纬度"),
    ("east", "north"),
    ("easting", "northing"),
    ("东坐标", "北坐标"),
    ("x", "y"),
    ("x_coord", "y_coord"),
    ("point_x", "point_y"),
];

/// Whether the texts of a column are numbers. Types are not left to GDAL: it takes the class code
/// `0101` for the number 101.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Unseen,
    Integer,
    Real,
    No,
}

/// Digits beyond which a number is a code: JavaScript could not hold it.
const MAX_DIGITS: usize = 15;

impl Number {
    /// The kind that also fits `text`.
    pub(super) fn and(self, text: &[u8]) -> Number {
        match (self, Number::of(text)) {
            (kind, Number::Unseen) => kind,
            (Number::Unseen, kind) => kind,
            (Number::No, _) | (_, Number::No) => Number::No,
            (Number::Integer, Number::Integer) => Number::Integer,
            (Number::Integer | Number::Real, Number::Integer | Number::Real) => Number::Real,
        }
    }

    fn of(text: &[u8]) -> Number {
        let text = text.trim_ascii();
        if text.is_empty() {
            return Number::Unseen;
        }
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let whole = digits.iter().take_while(|c| c.is_ascii_digit()).count();
        let is_code = whole == 0 || whole > MAX_DIGITS || (whole > 1 && digits[0] == b'0');
        let Some(text) = std::str::from_utf8(text).ok().filter(|_| !is_code) else {
            return Number::No;
        };
        if whole == digits.len() {
            Number::Integer
        } else if text.parse::<f64>().is_ok_and(f64::is_finite) {
            Number::Real
        } else {
            Number::No
        }
    }
}

/// GDAL's options for a delimited text file: the geometry columns, named as the header spells
/// them.
pub(super) fn open_options(gdal_name: &CStr) -> Vec<CString> {
    let mut options = vec![
        c"EMPTY_STRING_AS_NULL=YES".to_owned(),
        c"HEADERS=YES".to_owned(),
    ];
    let columns = columns(gdal_name);
    let find = |wanted: &str| {
        columns
            .iter()
            .find(|column| column.text.to_lowercase() == wanted)
    };
    let mut name = |option: &str, column: &Column| {
        let mut value = option.as_bytes().to_vec();
        value.extend_from_slice(&column.bytes);
        options.extend(CString::new(value));
    };
    if let Some(shape) = SHAPE_NAMES.iter().find_map(|wanted| find(wanted)) {
        name("GEOM_POSSIBLE_NAMES=", shape);
        name("KEEP_GEOM_COLUMNS=NO", &Column::default());
    } else if let Some((x, y)) = PAIRS.iter().find_map(|(x, y)| Some((find(x)?, find(y)?))) {
        name("X_POSSIBLE_NAMES=", x);
        name("Y_POSSIBLE_NAMES=", y);
    }
    options
}

/// The column names that would have been understood, for a message.
pub(super) fn hint() -> String {
    let pairs: Vec<String> = PAIRS.iter().map(|(x, y)| format!("{x}/{y}")).collect();
    format!(
        "; a text table needs a column with WKT ({}) or two with coordinates ({})",
        SHAPE_NAMES.join(", "),
        pairs.join(", ")
    )
}

/// A column name as it is in the file and as text.
#[derive(Debug, Default)]
struct Column {
    bytes: Vec<u8>,
    text: String,
}

fn columns(gdal_name: &CStr) -> Vec<Column> {
    let head = read_head(gdal_name, HEAD_BYTES);
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut evidence = Evidence::default();
    evidence.add(line);
    let encoding: &'static Encoding = if evidence.verdict() == UTF_8 {
        UTF_8
    } else {
        GB18030
    };
    let delimiter = [b',', b';', b'\t', b'|']
        .into_iter()
        .max_by_key(|&delimiter| line.iter().filter(|&&byte| byte == delimiter).count())
        .unwrap_or(b',');
    line.split(|&byte| byte == delimiter)
        .map(|column| {
            let column = column.trim_ascii();
            let column = column
                .strip_prefix(b"\"")
                .and_then(|column| column.strip_suffix(b"\""))
                .unwrap_or(column);
            Column {
                bytes: column.to_vec(),
                text: super::text::decode(encoding, column).0,
            }
        })
        .collect()
}
