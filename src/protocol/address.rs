//! Paths and query strings: split, percent-decoded, and refused when they are not text.

use super::Problem;

/// Pairs of a query string that are looked at; more are no address of ours.
const MAX_PAIRS: usize = 64;

/// The decoded segments of a path that starts with a slash.
///
/// A segment that decodes to something with a slash or a NUL, or to a dot segment, never names
/// anything of ours; it is refused here so that nothing behind ever sees one.
pub fn segments(path: &str) -> Result<Vec<String>, Problem> {
    let segments = path
        .split('/')
        .skip(1)
        .map(decode)
        .collect::<Result<Vec<String>, Problem>>()?;
    let strange = |s: &String| s.contains(['/', '\\', '\0']) || s == ".." || s == ".";
    if segments.iter().any(strange) {
        return Err(Problem::no_such_path());
    }
    Ok(segments)
}

/// The decoded pairs of a query string. Words nobody asks for are ignored, as caches and clients
/// add their own.
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn read(query: Option<&str>) -> Result<Query, Problem> {
        let mut pairs = Vec::new();
        for pair in query
            .unwrap_or_default()
            .split('&')
            .filter(|p| !p.is_empty())
        {
            if pairs.len() == MAX_PAIRS {
                return Err(Problem::bad_parameter(format!(
                    "more than {MAX_PAIRS} query parameters"
                )));
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((
                decode(&key.replace('+', " "))?,
                decode(&value.replace('+', " "))?,
            ));
        }
        Ok(Query(pairs))
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }
}

/// Percent-decodes; what is not UTF-8 afterwards is refused.
fn decode(text: &str) -> Result<String, Problem> {
    if !text.contains('%') {
        return Ok(text.to_string());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest.split_at_checked(2);
        let value = digits.and_then(|(hex, _)| hex_byte(hex));
        bytes.push(value.ok_or_else(|| {
            Problem::bad_encoding("'%' must be followed by two hexadecimal digits")
        })?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes)
        .map_err(|_| Problem::bad_encoding("the address is not UTF-8 after decoding"))
}

fn hex_byte(hex: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let (high, low) = (digit(hex[0])?, digit(hex[1])?);
    Some((high * 16 + low) as u8)
}

/// Percent-encodes a path segment.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A piece of a client's text that is short enough to be repeated in an answer.
pub fn excerpt(text: &str) -> String {
    text.chars().take(60).collect()
}
