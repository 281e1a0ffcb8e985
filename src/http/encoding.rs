//! Content codings: which one a client gets, and the bytes in it.

use std::cell::RefCell;
use std::io::Write;

use hyper::HeaderMap;
use hyper::header;
use libdeflater::{CompressionLvl, Compressor, Decompressor};

/// How a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    Identity,
    Gzip,
    Zstd,
    Brotli,
}

/// Level of libdeflate: from here on each step costs a third more time for a percent of bytes.
const GZIP_LEVEL: i32 = 6;
const ZSTD_LEVEL: i32 = 3;
/// Quality 5 is the last that keeps up with a request; the window covers any tile.
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW_BITS: u32 = 22;
/// Below this a coding's own frame eats what it saves.
const SMALLEST_WORTH_IT: usize = 256;

/// Why a stored body cannot be brought into another coding.
#[derive(Debug, thiserror::Error)]
#[error("a body kept as {encoding:?} does not decode to its {bytes} bytes")]
pub struct BadBody {
    encoding: Encoding,
    bytes: usize,
}

impl Encoding {
    pub const ALL: [Encoding; 4] = [
        Encoding::Identity,
        Encoding::Gzip,
        Encoding::Zstd,
        Encoding::Brotli,
    ];

    /// The word in `Content-Encoding`; `None` for plain bytes.
    pub fn token(self) -> Option<&'static str> {
        match self {
            Encoding::Identity => None,
            Encoding::Gzip => Some("gzip"),
            Encoding::Zstd => Some("zstd"),
            Encoding::Brotli => Some("br"),
        }
    }

    /// What the client likes best; among equals what is fastest to make: zstd, gzip, br.
    /// A client that says nothing, or refuses everything, gets plain bytes.
    pub fn negotiate(accept_encoding: Option<&[u8]>) -> Encoding {
        let Some(accepted) = accept_encoding.and_then(|bytes| std::str::from_utf8(bytes).ok())
        else {
            return Encoding::Identity;
        };
        // Named codings in our order of preference: zstd, gzip, br; then what "*" says.
        let mut quality: [Option<u16>; 3] = [None; 3];
        let mut others = None;
        let mut identity = None;
        for item in accepted.split(',') {
            let (token, parameters) = item.split_once(';').unwrap_or((item, ""));
            let q = Some(thousandths(parameters));
            match token.trim() {
                "zstd" => quality[0] = q,
                "gzip" | "x-gzip" => quality[1] = q,
                "br" => quality[2] = q,
                "identity" => identity = q,
                "*" => others = q,
                _ => {}
            }
        }
        let codings = [Encoding::Zstd, Encoding::Gzip, Encoding::Brotli];
        let mut best = (identity.unwrap_or(0), Encoding::Identity);
        for (coding, named) in codings.into_iter().zip(quality) {
            let q = named.or(others).unwrap_or(0);
            // A coding is preferred to plain bytes of the same worth.
            let better = q > best.0 || (q == best.0 && best.1 == Encoding::Identity);
            if q > 0 && better {
                best = (q, coding);
            }
        }
        best.1
    }

    /// True when the client takes this coding, whatever it likes best.
    pub fn is_accepted(self, headers: &HeaderMap) -> bool {
        let Some(token) = self.token() else {
            return true;
        };
        let accepted = headers
            .get(header::ACCEPT_ENCODING)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let mut any = false;
        for item in accepted.split(',') {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let taken = thousandths(parameters) > 0;
            match name.trim() {
                name if name.eq_ignore_ascii_case(token) => return taken,
                "*" => any = taken,
                _ => {}
            }
        }
        any
    }

    /// Brings plain bytes into this coding; too short ones stay plain, as the result says.
    pub fn compress(self, plain: Vec<u8>) -> (Encoding, Vec<u8>) {
        if plain.len() < SMALLEST_WORTH_IT {
            return (Encoding::Identity, plain);
        }
        let bytes = match self {
            Encoding::Identity => plain,
            Encoding::Gzip => gzip(&plain),
            Encoding::Zstd => zstd::bulk::compress(&plain, ZSTD_LEVEL)
                .expect("memory is the only thing this can fail for"),
            Encoding::Brotli => {
                let mut writer = brotli::CompressorWriter::new(
                    Vec::with_capacity(plain.len() / 2),
                    1 << 16,
                    BROTLI_QUALITY,
                    BROTLI_WINDOW_BITS,
                );
                writer
                    .write_all(&plain)
                    .expect("writing to memory does not fail");
                writer.into_inner()
            }
        };
        (self, bytes)
    }

    /// The plain bytes, `len` of them, of a body in this coding.
    pub fn decompress(self, bytes: &[u8], len: usize) -> Result<Vec<u8>, BadBody> {
        let bad = BadBody {
            encoding: self,
            bytes: len,
        };
        let plain = match self {
            Encoding::Identity => Some(bytes.to_vec()),
            Encoding::Gzip => {
                let mut plain = vec![0; len];
                let read = Decompressor::new().gzip_decompress(bytes, &mut plain);
                read.is_ok().then_some(plain)
            }
            Encoding::Zstd => zstd::bulk::decompress(bytes, len).ok(),
            Encoding::Brotli => {
                let mut plain = Vec::with_capacity(len);
                brotli::BrotliDecompress(&mut &bytes[..], &mut plain)
                    .is_ok()
                    .then_some(plain)
            }
        };
        plain.filter(|plain| plain.len() == len).ok_or(bad)
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    thread_local! {
        // Its tables are larger than most tiles.
        static COMPRESSOR: RefCell<Compressor> = RefCell::new(Compressor::new(
            CompressionLvl::new(GZIP_LEVEL).expect("a level from 1 to 12"),
        ));
    }
    COMPRESSOR.with_borrow_mut(|compressor| {
        let mut bytes = vec![0; compressor.gzip_compress_bound(plain.len())];
        let len = compressor
            .gzip_compress(plain, &mut bytes)
            .expect("the bound is sufficient");
        bytes.truncate(len);
        bytes
    })
}

/// The weight of `;q=…` in thousandths; 1 when there is none, 0 when it makes no sense.
fn thousandths(parameters: &str) -> u16 {
    for parameter in parameters.split(';') {
        if let Some((name, value)) = parameter.split_once('=')
            && name.trim().eq_ignore_ascii_case("q")
        {
            let q: f32 = value.trim().parse().unwrap_or(0.0);
            return if (0.0..=1.0).contains(&q) {
                (q * 1000.0) as u16
            } else {
                0
            };
        }
    }
    1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiate(accepted: &str) -> Encoding {
        Encoding::negotiate(Some(accepted.as_bytes()))
    }

    #[test]
    fn clients_get_what_they_like_best() {
        assert_eq!(Encoding::negotiate(None), Encoding::Identity);
        assert_eq!(negotiate(""), Encoding::Identity);
        assert_eq!(negotiate("gzip, deflate"), Encoding::Gzip);
        assert_eq!(negotiate("gzip, deflate, br, zstd"), Encoding::Zstd);
        assert_eq!(negotiate("br;q=1.0, gzip;q=0.8, *;q=0.1"), Encoding::Brotli);
        assert_eq!(negotiate("gzip;q=0, br"), Encoding::Brotli);
        assert_eq!(negotiate("*"), Encoding::Zstd);
        assert_eq!(negotiate("*;q=0"), Encoding::Identity);
        assert_eq!(negotiate("identity, gzip;q=0.5"), Encoding::Identity);
        assert_eq!(negotiate("gzip;q=banana"), Encoding::Identity);
        assert_eq!(negotiate("gzip;q=NaN, br;q=1e9"), Encoding::Identity);
        assert_eq!(Encoding::negotiate(Some(b"\xff\xfe")), Encoding::Identity);
    }

    #[test]
    fn a_coding_is_taken_when_it_is_named_or_anything_is() {
        let takes_gzip = |accepted: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, accepted.parse().unwrap());
            Encoding::Gzip.is_accepted(&headers)
        };
        for yes in ["gzip", "zstd, GZIP;q=0.1", "*", "br, *;q=0.5"] {
            assert!(takes_gzip(yes), "{yes}");
        }
        for no in ["", "zstd", "gzip;q=0, *", "*;q=0", "x-gzip"] {
            assert!(!takes_gzip(no), "{no}");
        }
        assert!(Encoding::Identity.is_accepted(&HeaderMap::new()));
    }

    #[test]
    fn every_coding_gives_back_what_it_got() {
        let plain: Vec<u8> = (0..10_000u32).flat_map(|i| (i * i).to_le_bytes()).collect();
        for coding in Encoding::ALL {
            let (used, bytes) = coding.compress(plain.clone());
            assert_eq!(used, coding);
            assert_eq!(used.decompress(&bytes, plain.len()).unwrap(), plain);
            assert!(used.decompress(&bytes, plain.len() - 1).is_err() || coding == Encoding::Zstd);
        }
        assert_eq!(
            Encoding::Gzip.compress(vec![1; 10]),
            (Encoding::Identity, vec![1; 10])
        );
    }

    #[test]
    fn damaged_bodies_are_noticed() {
        let plain = vec![7u8; 5000];
        for coding in [Encoding::Gzip, Encoding::Zstd, Encoding::Brotli] {
            let (_, bytes) = coding.compress(plain.clone());
            assert!(coding.decompress(&bytes[..bytes.len() / 2], 5000).is_err());
        }
    }
}
