//! The portal's files, which the build has put into the binary.

use std::collections::HashMap;
use std::sync::OnceLock;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use super::encoding::Encoding;

/// Path below `web/dist`, bytes.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/portal.rs"));

/// The folder in which file names carry a hash of the content.
const HASHED_FOLDER: &str = "assets/";

pub struct Portal {
    files: HashMap<&'static str, Asset>,
}

/// A file of the portal.
pub struct Asset {
    plain: &'static [u8],
    pub media_type: &'static str,
    /// Its content never changes under this name.
    pub immutable: bool,
    pub hash: u128,
    compressed: [OnceLock<(Encoding, Bytes)>; Encoding::ALL.len()],
}

impl Portal {
    pub fn new() -> Portal {
        let files = FILES
            .iter()
            .map(|&(path, plain)| {
                let asset = Asset {
                    plain,
                    media_type: media_type(path),
                    immutable: path.starts_with(HASHED_FOLDER),
                    hash: xxh3_128(plain),
                    compressed: Default::default(),
                };
                (path, asset)
            })
            .collect();
        Portal { files }
    }

    /// True when the build had no portal.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub fn file(&self, path: &str) -> Option<&Asset> {
        self.files.get(path)
    }
}

impl Asset {
    /// The bytes in a coding, made at the first request for it and kept.
    pub fn body(&self, wanted: Encoding) -> &(Encoding, Bytes) {
        let compressible =
            !self.media_type.starts_with("image/") || self.media_type.ends_with("svg+xml");
        let coding = if compressible && !self.media_type.starts_with("font/") {
            wanted
        } else {
            Encoding::Identity
        };
        self.compressed[coding as usize].get_or_init(|| match coding {
            Encoding::Identity => (coding, Bytes::from_static(self.plain)),
            Encoding::Gzip | Encoding::Zstd | Encoding::Brotli => {
                let (used, bytes) = coding.compress(self.plain.to_vec());
                (used, bytes.into())
            }
        })
    }
}

/// From the ending of a file name.
pub fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or("") {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "txt" | "md" => "text/plain; charset=utf-8",
        "pbf" => "application/x-protobuf",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}
