//! Packed bytes from outside, unpacked within a limit.
//!
//! A few kilobytes can claim to be gigabytes: nothing here makes more than the limit, whatever the
//! bytes say of themselves.

use std::io::Read;

use libdeflater::Decompressor;

/// How the bytes of tiles or directories are packed; the numbers are those of PMTiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    Unknown = 0,
    None = 1,
    Gzip = 2,
    Brotli = 3,
    Zstd = 4,
}

impl Compression {
    /// By the first bytes, where somebody does not say; Brotli has no mark.
    pub fn of_bytes(bytes: &[u8]) -> Compression {
        match bytes {
            [0x1F, 0x8B, ..] => Compression::Gzip,
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }
}

/// Why bytes cannot be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    #[error("bytes that are not {0:?}")]
    Damaged(Compression),
    #[error("more than {limit} bytes when unpacked")]
    TooLarge { limit: usize },
}

/// The plain bytes, at most `limit` of them.
///
/// # Errors
/// [`UnpackError`] when the bytes are damaged or would be more.
pub fn unpack(
    bytes: &[u8],
    compression: Compression,
    limit: usize,
) -> Result<Vec<u8>, UnpackError> {
    match compression {
        Compression::None if bytes.len() <= limit => Ok(bytes.to_vec()),
        Compression::None => Err(UnpackError::TooLarge { limit }),
        Compression::Gzip => gunzip(bytes, limit),
        Compression::Brotli => {
            const BUFFER: usize = 1 << 14;
            read_all(brotli::Decompressor::new(bytes, BUFFER), compression, limit)
        }
        Compression::Zstd => {
            /// Windows of more than 8 MiB are not what tiles are packed with.
            const WINDOW_LOG: u32 = 23;
            let damaged = |_| UnpackError::Damaged(compression);
            let mut decoder = zstd::stream::Decoder::with_buffer(bytes).map_err(damaged)?;
            decoder.window_log_max(WINDOW_LOG).map_err(damaged)?;
            read_all(decoder, compression, limit)
        }
        Compression::Unknown => match Compression::of_bytes(bytes) {
            Compression::Unknown => Err(UnpackError::Damaged(compression)),
            found => unpack(bytes, found, limit),
        },
    }
}

fn gunzip(bytes: &[u8], limit: usize) -> Result<Vec<u8>, UnpackError> {
    /// Deflate cannot do better than this; a larger claim is a lie.
    const BEST_RATIO: usize = 1032;
    let damaged = UnpackError::Damaged(Compression::Gzip);
    // The last four bytes of a gzip member are the length of what was packed.
    let claimed = bytes.last_chunk::<4>().ok_or(damaged.clone())?;
    let len = u32::from_le_bytes(*claimed) as usize;
    if len / BEST_RATIO > bytes.len() {
        return Err(damaged);
    }
    if len > limit {
        return Err(UnpackError::TooLarge { limit });
    }
    let mut out = vec![0; len];
    match Decompressor::new().gzip_decompress(bytes, &mut out) {
        Ok(got) if got == len => Ok(out),
        Ok(_) | Err(_) => Err(damaged),
    }
}

fn read_all(
    reader: impl Read,
    compression: Compression,
    limit: usize,
) -> Result<Vec<u8>, UnpackError> {
    let mut out = Vec::new();
    reader
        .take(limit as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|_| UnpackError::Damaged(compression))?;
    if out.len() > limit {
        return Err(UnpackError::TooLarge { limit });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut packer = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
        let mut out = vec![0; packer.gzip_compress_bound(plain.len())];
        let len = packer.gzip_compress(plain, &mut out).unwrap();
        out.truncate(len);
        out
    }

    fn brotli(plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let params = brotli::enc::BrotliEncoderParams::default();
        brotli::BrotliCompress(&mut &plain[..], &mut out, &params).unwrap();
        out
    }

    #[test]
    fn every_packing_gives_back_what_it_got_and_no_more_than_the_limit() {
        let plain = vec![7u8; 100_000];
        let zstd = zstd::bulk::compress(&plain, 3).unwrap();
        for (packed, compression) in [
            (gzip(&plain), Compression::Gzip),
            (brotli(&plain), Compression::Brotli),
            (zstd, Compression::Zstd),
            (plain.clone(), Compression::None),
        ] {
            assert_eq!(unpack(&packed, compression, 100_000).unwrap(), plain);
            let limit = 99_999;
            let refused = unpack(&packed, compression, limit);
            assert_eq!(refused, Err(UnpackError::TooLarge { limit }));
            if compression != Compression::None {
                let half = unpack(&packed[..packed.len() / 2], compression, 100_000);
                assert_eq!(half, Err(UnpackError::Damaged(compression)));
            }
        }
        assert_eq!(
            unpack(&gzip(&plain), Compression::Unknown, 100_000),
            Ok(plain)
        );
    }

    #[test]
    fn a_length_that_lies_is_found_out() {
        let mut packed = gzip(&[7; 1000]);
        let end = packed.len();
        for claim in [0u32, 999, 1001, u32::MAX] {
            packed[end - 4..].copy_from_slice(&claim.to_le_bytes());
            assert!(unpack(&packed, Compression::Gzip, 1 << 30).is_err());
        }
        assert!(unpack(b"", Compression::Gzip, 10).is_err());
    }
}
