//! From an answer to an HTTP response: validators, caching, content coding, CORS.

use std::fmt::Write;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::encoding::Encoding;
use crate::protocol::{Methods, Problem};

pub type Reply = Response<Full<Bytes>>;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const OMITTED: HeaderName = HeaderName::from_static("x-onemap-omitted");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// How long others may keep an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Its address names its content.
    Immutable,
    /// To be asked for again each time; a 304 is the usual answer.
    Revalidate,
    /// Not to be kept.
    Never,
}

impl Freshness {
    fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Freshness::Immutable => "public, max-age=31536000, immutable",
            Freshness::Revalidate => "public, no-cache",
            Freshness::Never => "no-store",
        })
    }
}

/// A body with its validator, ready to be sent any number of times.
#[derive(Debug, Clone)]
pub struct Body {
    pub bytes: Bytes,
    pub encoding: Encoding,
    /// Length before compression.
    pub plain_len: usize,
    /// Hash of the plain bytes.
    pub hash: u128,
    pub etag: HeaderValue,
    pub media_type: &'static str,
    /// Features left out of a tile.
    pub omitted: u64,
}

impl Body {
    /// `encoding` is what `bytes` are in; the validator differs per coding, as it must for strong
    /// comparison.
    pub fn new(
        bytes: Bytes,
        encoding: Encoding,
        plain_len: usize,
        hash: u128,
        media_type: &'static str,
    ) -> Body {
        let suffix = encoding.token().unwrap_or("");
        let dash = if suffix.is_empty() { "" } else { "-" };
        let etag = format!("\"{hash:032x}{dash}{suffix}\"");
        Body {
            bytes,
            encoding,
            plain_len,
            hash,
            etag: HeaderValue::from_str(&etag).expect("hexadecimal digits and a token"),
            media_type,
            omitted: 0,
        }
    }

    /// The response, or 304 when the client has this body already, or 204 when there is nothing
    /// in it.
    pub fn reply(&self, headers: &HeaderMap, freshness: Freshness, id: HeaderValue) -> Reply {
        let known = headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .any(|value| names(value.as_bytes(), self.etag.as_bytes()));
        let (status, bytes) = if known {
            (StatusCode::NOT_MODIFIED, Bytes::new())
        } else if self.bytes.is_empty() {
            (StatusCode::NO_CONTENT, Bytes::new())
        } else {
            (StatusCode::OK, self.bytes.clone())
        };
        let mut reply = Response::new(Full::new(bytes));
        *reply.status_mut() = status;
        let out = reply.headers_mut();
        out.reserve(8);
        if status == StatusCode::OK {
            let media_type = HeaderValue::from_static(self.media_type);
            out.insert(header::CONTENT_TYPE, media_type);
            if let Some(token) = self.encoding.token() {
                out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(token));
            }
        }
        out.insert(header::ETAG, self.etag.clone());
        out.insert(header::CACHE_CONTROL, freshness.header());
        out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if self.omitted > 0 {
            out.insert(OMITTED, HeaderValue::from(self.omitted));
        }
        common(out, id);
        reply
    }
}

/// `If-None-Match`: a list of tags, weak or strong, or `*`. Compared weakly (RFC 9110, 13.1.2).
fn names(list: &[u8], etag: &[u8]) -> bool {
    list.trim_ascii() == b"*"
        || list.split(|&b| b == b',').any(|item| {
            let item = item.trim_ascii();
            item.strip_prefix(b"W/").unwrap_or(item) == etag
        })
}

/// Headers of every response.
fn common(out: &mut HeaderMap, id: HeaderValue) {
    out.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    out.insert(REQUEST_ID, id);
}

/// A response of plain bytes that nobody keeps.
pub fn plain(bytes: Vec<u8>, media_type: &'static str, id: HeaderValue) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(bytes)));
    let out = reply.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    out.insert(header::CACHE_CONTROL, Freshness::Never.header());
    common(out, id);
    reply
}

/// A refusal.
pub fn problem(problem: &Problem, id: HeaderValue) -> Reply {
    let text = id.to_str().unwrap_or_default();
    let bytes = problem.document(text);
    let mut reply = plain(bytes, "application/problem+json", id);
    *reply.status_mut() =
        StatusCode::from_u16(problem.status).expect("problems have statuses of HTTP");
    let out = reply.headers_mut();
    out.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static("en, zh"));
    if let Some(seconds) = problem.retry_after_s {
        out.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(allow) = problem.allow {
        out.insert(header::ALLOW, HeaderValue::from_static(allow.list()));
    }
    reply
}

/// The answer to `OPTIONS`, for browsers that ask before a request from another origin.
pub fn preflight(methods: Methods, id: HeaderValue) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::new()));
    *reply.status_mut() = StatusCode::NO_CONTENT;
    let out = reply.headers_mut();
    out.insert(header::ALLOW, HeaderValue::from_static(methods.list()));
    out.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(methods.list()),
    );
    out.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("accept, content-type, if-none-match, prefer, x-request-id"),
    );
    out.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "etag, location, preference-applied, x-request-id, x-onemap-omitted, server-timing",
        ),
    );
    out.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("86400"),
    );
    common(out, id);
    reply
}

/// Adds `Server-Timing` with phases in milliseconds.
pub fn add_timings(reply: &mut Reply, phases: &[(&str, std::time::Duration)]) {
    let mut text = String::new();
    for (name, time) in phases {
        let comma = if text.is_empty() { "" } else { ", " };
        write!(text, "{comma}{name};dur={:.3}", time.as_secs_f64() * 1e3)
            .expect("writing to a string does not fail");
    }
    if let Ok(value) = HeaderValue::from_str(&text) {
        reply.headers_mut().insert(SERVER_TIMING, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_in_lists_and_weak_ones_count() {
        assert!(names(b"\"a\"", b"\"a\""));
        assert!(names(b" \"x\", W/\"a\" ", b"\"a\""));
        assert!(names(b"*", b"\"a\""));
        assert!(!names(b"\"ab\"", b"\"a\""));
        assert!(!names(b"a", b"\"a\""));
        assert!(!names(b"", b"\"a\""));
    }
}
