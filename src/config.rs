//! The configuration file of the server: TOML with the words of the flags.
//!
//! ```toml
//! listen = "0.0.0.0:8080"
//! threads = 8
//! cache-mb = 2048
//! ```
//!
//! A flag on the command line wins over the file, the file over the defaults. A word that is not
//! known is an error: a misspelt limit must not be a missing one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::http;
use crate::http::remote::S3Settings;

/// What the server can be told; every word is optional. The flags of `onemap serve` and the words
/// of the file are both this.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServeSettings {
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:8080] (监听地址)
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<SocketAddr>,
    /// Address of the server in its documents, when a proxy stands before it (对外地址)
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Memory for cached tiles, megabytes [default: 512] (瓦片缓存)
    #[arg(long, value_name = "MB")]
    pub cache_mb: Option<u32>,
    /// Jobs that may wait before requests are refused with 503 [default: 1024] (排队上限)
    #[arg(long, value_name = "N")]
    pub queue: Option<u32>,
    /// Time of one request, seconds [default: 30] (单次请求时限)
    #[arg(long, value_name = "SECONDS")]
    pub request_seconds: Option<u32>,
    /// Time to receive the head of a request; idle connections are closed after it, seconds
    /// [default: 15] (接收请求时限)
    #[arg(long, value_name = "SECONDS")]
    pub head_seconds: Option<u32>,
    /// A client that takes nothing of its answer for so long is disconnected, seconds
    /// [default: 30] (发送时限)
    #[arg(long, value_name = "SECONDS")]
    pub write_seconds: Option<u32>,
    /// Time for open requests after SIGTERM, seconds [default: 20] (停止时限)
    #[arg(long, value_name = "SECONDS")]
    pub drain_seconds: Option<u32>,
    /// Open connections; further clients wait [default: 4096] (连接数上限)
    #[arg(long, value_name = "N")]
    pub max_connections: Option<u32>,
    /// Longest address that is read, bytes [default: 32768] (地址长度上限)
    #[arg(long, value_name = "BYTES")]
    pub max_uri_bytes: Option<u32>,
    /// Largest head of a request, bytes, at least 8192 [default: 65536] (请求头上限)
    #[arg(long, value_name = "BYTES")]
    pub max_head_bytes: Option<u32>,
    /// Let clients bypass the tile cache with cache=skip, for measurements (允许绕过缓存)
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "true|false")]
    pub allow_cache_skip: Option<bool>,
}

/// The whole file: the server's words, and those of every command.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FileConfig {
    pub serve: ServeSettings,
    pub threads: Option<u16>,
    pub json: Option<bool>,
    pub quiet: Option<bool>,
    pub log: Option<String>,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: {reason} (配置文件有误)")]
    Malformed { path: PathBuf, reason: String },
    #[error("{word} is {found}, expected {expected} (取值超出范围)")]
    OutOfRange {
        word: &'static str,
        found: u64,
        expected: &'static str,
    },
    #[error("public-url {found:?}: expected http:// or https:// and a host (对外地址无效)")]
    PublicUrl { found: String },
}

impl FileConfig {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<FileConfig, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Io {
            path: path.to_path_buf(),
            source,
        })?;
        FileConfig::parse(&text).map_err(|e| ConfigError::Malformed {
            path: path.to_path_buf(),
            reason: e.to_string().trim_end().to_string(),
        })
    }

    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<FileConfig, toml::de::Error> {
        /// `flatten` and `deny_unknown_fields` exclude each other, so the words of every command
        /// are taken out first.
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Everywhere {
            threads: Option<u16>,
            json: Option<bool>,
            quiet: Option<bool>,
            log: Option<String>,
        }
        let everywhere: Everywhere = toml::from_str(text)?;
        let mut table: toml::Table = toml::from_str(text)?;
        for word in ["threads", "json", "quiet", "log"] {
            table.remove(word);
        }
        // From the text when it has only the server's words: the message then shows the line.
        let serve = match table.clone().try_into() {
            Ok(serve) => serve,
            Err(error) => return Err(toml::from_str::<ServeSettings>(text).err().unwrap_or(error)),
        };
        Ok(FileConfig {
            serve,
            threads: everywhere.threads,
            json: everywhere.json,
            quiet: everywhere.quiet,
            log: everywhere.log,
        })
    }
}

impl ServeSettings {
    /// These settings, and where they say nothing, those of the file.
    pub fn or(self, file: ServeSettings) -> ServeSettings {
        ServeSettings {
            listen: self.listen.or(file.listen),
            public_url: self.public_url.or(file.public_url),
            cache_mb: self.cache_mb.or(file.cache_mb),
            queue: self.queue.or(file.queue),
            request_seconds: self.request_seconds.or(file.request_seconds),
            head_seconds: self.head_seconds.or(file.head_seconds),
            write_seconds: self.write_seconds.or(file.write_seconds),
            drain_seconds: self.drain_seconds.or(file.drain_seconds),
            max_connections: self.max_connections.or(file.max_connections),
            max_uri_bytes: self.max_uri_bytes.or(file.max_uri_bytes),
            max_head_bytes: self.max_head_bytes.or(file.max_head_bytes),
            allow_cache_skip: self.allow_cache_skip.or(file.allow_cache_skip),
        }
    }

    /// The server's options, with its defaults where nothing is said.
    pub fn options(self, threads: Option<u16>) -> Result<http::Options, ConfigError> {
        let default = http::Options::default();
        let seconds = |word, given: Option<u32>, default: Duration| match given {
            None => Ok(default),
            Some(seconds) => {
                in_range(word, seconds, 1..=86_400, "1 to 86400 seconds")?;
                Ok(Duration::from_secs(u64::from(seconds)))
            }
        };
        let count = |word, given: Option<u32>, default: usize, range, expected| match given {
            None => Ok(default),
            Some(given) => {
                in_range(word, given, range, expected)?;
                Ok(given as usize)
            }
        };
        if let Some(url) = &self.public_url
            && !["http://", "https://"].iter().any(|scheme| {
                url.strip_prefix(scheme)
                    .is_some_and(|host| !host.is_empty())
            })
        {
            return Err(ConfigError::PublicUrl { found: url.clone() });
        }
        Ok(http::Options {
            listen: self.listen.unwrap_or(default.listen),
            threads: threads.map_or(default.threads, usize::from),
            cache_bytes: self
                .cache_mb
                .map_or(default.cache_bytes, |mb| u64::from(mb) << 20),
            queue: self.queue.map_or(default.queue, |queue| queue as usize),
            request_time: seconds(
                "request-seconds",
                self.request_seconds,
                default.request_time,
            )?,
            head_time: seconds("head-seconds", self.head_seconds, default.head_time)?,
            write_time: seconds("write-seconds", self.write_seconds, default.write_time)?,
            drain_time: seconds("drain-seconds", self.drain_seconds, default.drain_time)?,
            max_connections: count(
                "max-connections",
                self.max_connections,
                default.max_connections,
                1..=1_000_000,
                "1 to 1000000",
            )?,
            max_uri_bytes: count(
                "max-uri-bytes",
                self.max_uri_bytes,
                default.max_uri_bytes,
                256..=65_534,
                "256 to 65534 bytes",
            )?,
            max_head_bytes: count(
                "max-head-bytes",
                self.max_head_bytes,
                default.max_head_bytes,
                8_192..=16 << 20,
                "8192 to 16777216 bytes",
            )?,
            allow_cache_skip: self.allow_cache_skip.unwrap_or(default.allow_cache_skip),
            public_url: self.public_url,
            s3: s3_settings(),
        })
    }
}

/// Keys and addresses for buckets, as the AWS SDKs take them from the environment.
pub fn s3_settings() -> S3Settings {
    let words = std::env::vars().filter(|(name, _)| name.starts_with("AWS_"));
    S3Settings(words.collect())
}

fn in_range(
    word: &'static str,
    found: u32,
    range: std::ops::RangeInclusive<u32>,
    expected: &'static str,
) -> Result<(), ConfigError> {
    if range.contains(&found) {
        return Ok(());
    }
    Err(ConfigError::OutOfRange {
        word,
        found: u64::from(found),
        expected,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_words_of_the_flags() {
        let file = FileConfig::parse(
            "listen = \"0.0.0.0:80\"\nthreads = 3\ncache-mb = 64\nallow-cache-skip = true\nlog = \"debug\"\n",
        )
        .unwrap();
        assert_eq!(file.threads, Some(3));
        assert_eq!(file.log.as_deref(), Some("debug"));
        let flags = ServeSettings {
            cache_mb: Some(1),
            ..ServeSettings::default()
        };
        let options = flags.or(file.serve).options(file.threads).unwrap();
        assert_eq!(options.listen.port(), 80);
        assert_eq!((options.cache_bytes, options.threads), (1 << 20, 3));
        assert!(options.allow_cache_skip);
        assert_eq!(options.queue, http::Options::default().queue);
    }

    #[test]
    fn unknown_words_wrong_types_and_wild_values_are_errors() {
        for bad in [
            "cach-mb = 1",
            "cache_mb = 1",
            "cache-mb = \"1\"",
            "cache-mb = -1",
            "listen = \"nowhere\"",
            "threads = 1.5",
            "[serve]\nlisten = \"0.0.0.0:80\"",
            "cache-mb = ",
            "\u{0}",
        ] {
            assert!(FileConfig::parse(bad).is_err(), "{bad:?}");
        }
        let message = FileConfig::parse("threads = 2\ncach-mb = 1")
            .unwrap_err()
            .to_string();
        assert!(message.contains("cach-mb"), "{message}");
        let wild = |settings: ServeSettings| settings.options(None).is_err();
        assert!(wild(ServeSettings {
            request_seconds: Some(0),
            ..Default::default()
        }));
        assert!(wild(ServeSettings {
            max_head_bytes: Some(1),
            ..Default::default()
        }));
        assert!(wild(ServeSettings {
            public_url: Some("ftp://x".into()),
            ..Default::default()
        }));
    }
}
