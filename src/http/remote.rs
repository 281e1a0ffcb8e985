//! Archives of tiles on other machines, read range by range.
//!
//! 1. the front of the archive, once per generation: header and root directory
//! 2. the leaf directory of a tile, kept in one bounded cache for all archives
//! 3. the tile's bytes, which the cache of tiles keeps
//!
//! Reads wait on the network and not on a thread of the pool; there are at most
//! [`MOST_READS`] at a time, and each ends after [`READ_TIME`]. An archive that has become another
//! one since it was registered is an error, because directories and tiles would not fit.
//!
//! Addresses come from whoever runs the server, never from a client. Keys of S3 are given to it by
//! `config`, which reads them from the environment.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::http::HttpBuilder;
use object_store::{ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, RetryConfig};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::format::FormatError;
use crate::format::pmtiles::{Directory, Header, Place, id_within};
use crate::format::unpack::Compression;
use crate::ingest::archive::RemoteFront;
use crate::model::{LayerName, RemoteArchive, TileCoord};
use crate::store::Snapshot;

/// Reads under way at a time, over all archives.
const MOST_READS: usize = 32;
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Time of one read, retries included.
const READ_TIME: Duration = Duration::from_secs(15);
const MOST_RETRIES: usize = 2;
/// Memory for unpacked directories.
const DIRECTORY_BYTES: u64 = 64 << 20;
const TYPICAL_DIRECTORY_BYTES: u64 = 64 << 10;
/// Packed metadata are not read beyond this.
const MAX_METADATA_BYTES: u64 = 4 << 20;

/// Names and values of the AWS SDKs' environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, …).
#[derive(Clone, Default)]
pub struct S3Settings(pub Vec<(String, String)>);

impl fmt::Debug for S3Settings {
    /// Names only: values are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// Why an archive on another machine cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error(
        "{given:?}: expected https://…, http://… or s3://bucket/key without user, query or fragment (远程地址无效)"
    )]
    Address { given: String },
    #[error(
        "{url}: only PMTiles can be read over a network; fetch the file and import it (只有 PMTiles 支持远程读取)"
    )]
    Container { url: String },
    #[error("{url}: {source} (无法读取远程归档)")]
    Unreachable {
        url: String,
        source: object_store::Error,
    },
    #[error("{url}: no answer in {} seconds (远程读取超时)", READ_TIME.as_secs())]
    Slow { url: String },
    #[error("{url}: {found}, expected {expected} (远程应答有误)")]
    Strange {
        url: String,
        found: String,
        expected: String,
    },
    #[error(
        "{url}: it has changed since it was registered; import it again (远程归档已改变,请重新导入)"
    )]
    Changed { url: String },
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("no runtime for connections: {0}")]
    Runtime(std::io::Error),
}

/// The front of the archive at an address, for whoever makes it a layer. Blocks.
///
/// # Errors
/// When it cannot be reached or is no PMTiles archive.
pub fn describe(url: &str, s3: &S3Settings) -> Result<RemoteFront, RemoteError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RemoteError::Runtime)?;
    runtime.block_on(async {
        let place = Location::connect(url, s3)?;
        let (front, meta) = place.read(0..Header::FRONT_BYTES, true).await?;
        let header = Header::parse(&front, meta.size, Path::new(url))?;
        let range = header.metadata.clone();
        if range.end - range.start > MAX_METADATA_BYTES {
            return Err(RemoteError::Strange {
                url: url.to_string(),
                found: format!("{} bytes of metadata", range.end - range.start),
                expected: format!("at most {MAX_METADATA_BYTES}"),
            });
        }
        let metadata = if range.is_empty() {
            Bytes::new()
        } else {
            place.read(range, false).await?.0
        };
        // A root that cannot be read is better found now.
        place.root(&header, &front).await?;
        Ok(RemoteFront {
            metadata: header.metadata_text(&metadata)?,
            at: RemoteArchive {
                url: url.to_string(),
                e_tag: meta.e_tag,
                bytes: meta.size,
            },
            header,
        })
    })
}

/// A place on another machine.
struct Location {
    url: String,
    store: Box<dyn ObjectStore>,
    path: object_store::path::Path,
}

impl Location {
    fn connect(url: &str, s3: &S3Settings) -> Result<Location, RemoteError> {
        let wrong = || RemoteError::Address {
            given: url.chars().take(200).collect(),
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (host, path) = rest.split_once('/').ok_or_else(wrong)?;
        let plain = !url.contains(['?', '#']) && !host.contains('@');
        if !plain || host.is_empty() || path.is_empty() {
            return Err(wrong());
        }
        if !url.to_ascii_lowercase().ends_with(".pmtiles") {
            return Err(RemoteError::Container {
                url: url.to_string(),
            });
        }
        // Fails when there is a provider already, which is this one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = ClientOptions::new()
            .with_allow_http(true)
            .with_connect_timeout(CONNECT_TIME)
            .with_timeout(READ_TIME);
        let retry = RetryConfig {
            max_retries: MOST_RETRIES,
            retry_timeout: READ_TIME,
            ..RetryConfig::default()
        };
        let unreachable = |source| RemoteError::Unreachable {
            url: url.to_string(),
            source,
        };
        let (store, path): (Box<dyn ObjectStore>, _) = match scheme {
            "http" | "https" => {
                let http = HttpBuilder::new()
                    .with_url(url)
                    .with_client_options(client)
                    .with_retry(retry);
                // The address is the file's own; nothing is below it.
                (Box::new(http.build().map_err(unreachable)?), "".into())
            }
            "s3" => {
                let mut builder = AmazonS3Builder::new().with_client_options(client);
                let mut signs = false;
                for (name, value) in &s3.0 {
                    if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                        signs |= is_credential(&key);
                        builder = builder.with_config(key, value);
                    }
                }
                let builder = builder
                    .with_bucket_name(host)
                    .with_skip_signature(!signs)
                    .with_retry(retry);
                let path = object_store::path::Path::parse(path).map_err(|_| wrong())?;
                (Box::new(builder.build().map_err(unreachable)?), path)
            }
            _ => return Err(wrong()),
        };
        Ok(Location {
            url: url.to_string(),
            store,
            path,
        })
    }

    /// Reads a range, or what there is of it when the archive may end before.
    async fn read(
        &self,
        range: Range<u64>,
        may_end: bool,
    ) -> Result<(Bytes, ObjectMeta), RemoteError> {
        match timeout(READ_TIME, self.read_now(range, may_end)).await {
            Ok(read) => read,
            Err(_) => Err(RemoteError::Slow {
                url: self.url.clone(),
            }),
        }
    }

    async fn read_now(
        &self,
        range: Range<u64>,
        may_end: bool,
    ) -> Result<(Bytes, ObjectMeta), RemoteError> {
        let unreachable = |source| RemoteError::Unreachable {
            url: self.url.clone(),
            source,
        };
        let strange = |found: u64| RemoteError::Strange {
            url: self.url.clone(),
            found: format!("{found} bytes from byte {} on", range.start),
            expected: format!("{} bytes", range.end - range.start),
        };
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let got = self.store.get_opts(&self.path, options).await;
        let got = got.map_err(unreachable)?;
        let promised = got.range.end.saturating_sub(got.range.start);
        let fits = got.range == range || (may_end && got.range.end < range.end);
        if got.range.start != range.start || !fits {
            return Err(strange(promised));
        }
        let meta = got.meta.clone();
        let mut stream = got.into_stream();
        let mut bytes = Vec::with_capacity(promised as usize);
        while let Some(part) = next(&mut stream).await {
            bytes.extend_from_slice(&part.map_err(unreachable)?);
            // Whatever it promised, a server can send on and on.
            if bytes.len() as u64 > promised {
                return Err(strange(bytes.len() as u64));
            }
        }
        if bytes.len() as u64 != promised {
            return Err(strange(bytes.len() as u64));
        }
        Ok((bytes.into(), meta))
    }

    /// The root directory; mostly it is in the front already.
    async fn root(&self, header: &Header, front: &Bytes) -> Result<Directory, RemoteError> {
        let at = header.root.clone();
        let within = front.get(at.start as usize..at.end as usize);
        Ok(match within {
            Some(packed) => header.directory(packed)?,
            None => header.directory(&self.read(at, false).await?.0)?,
        })
    }
}

/// True for what lets requests be signed.
fn is_credential(key: &AmazonS3ConfigKey) -> bool {
    matches!(
        key,
        AmazonS3ConfigKey::AccessKeyId
            | AmazonS3ConfigKey::SecretAccessKey
            | AmazonS3ConfigKey::WebIdentityTokenFile
            | AmazonS3ConfigKey::ContainerCredentialsRelativeUri
            | AmazonS3ConfigKey::ContainerCredentialsFullUri
            | AmazonS3ConfigKey::MetadataEndpoint
    )
}

async fn next<S: Stream + ?Sized>(stream: &mut Pin<Box<S>>) -> Option<S::Item> {
    std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await
}

/// An archive that has been looked into.
struct Opened {
    place: Location,
    /// In the key of its directories.
    number: u64,
    header: Header,
    root: Arc<Directory>,
    archive: RemoteArchive,
}

impl Opened {
    /// Reads a range of the very archive that was registered.
    async fn read(&self, range: Range<u64>) -> Result<Bytes, RemoteError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let (bytes, meta) = self.place.read(range, false).await?;
        unchanged(&self.archive, &meta)?;
        Ok(bytes)
    }
}

fn unchanged(archive: &RemoteArchive, meta: &ObjectMeta) -> Result<(), RemoteError> {
    let same = meta.size == archive.bytes && meta.e_tag == archive.e_tag;
    if same {
        return Ok(());
    }
    Err(RemoteError::Changed {
        url: archive.url.clone(),
    })
}

#[derive(Clone)]
struct ByMemory;

impl Weighter<(u64, u64), Arc<Directory>> for ByMemory {
    fn weight(&self, _: &(u64, u64), directory: &Arc<Directory>) -> u64 {
        directory.bytes() + 64
    }
}

/// One generation of a layer, opened at most once.
struct Slot {
    generation: String,
    opened: Arc<OnceCell<Opened>>,
}

/// All remote archives of a server.
pub struct Remotes {
    s3: S3Settings,
    reads: Semaphore,
    slots: Mutex<HashMap<LayerName, Slot>>,
    directories: Cache<(u64, u64), Arc<Directory>, ByMemory>,
    last_number: AtomicU64,
}

impl Remotes {
    pub fn new(s3: S3Settings) -> Remotes {
        let typical = (DIRECTORY_BYTES / TYPICAL_DIRECTORY_BYTES) as usize;
        Remotes {
            s3,
            reads: Semaphore::new(MOST_READS),
            slots: Mutex::new(HashMap::new()),
            directories: Cache::with_weighter(typical, DIRECTORY_BYTES, ByMemory),
            last_number: AtomicU64::new(0),
        }
    }

    /// The stored bytes of a tile and how they are packed; `None` where the archive has none, or
    /// when the deadline comes first, the outer `None`.
    pub async fn tile(
        &self,
        snapshot: &Snapshot,
        archive: &RemoteArchive,
        tile: TileCoord,
        deadline: Instant,
    ) -> Option<Result<Option<(Bytes, Compression)>, RemoteError>> {
        let work = async {
            let _place = self.reads.acquire().await.expect("never closed");
            self.tile_now(snapshot, archive, tile).await
        };
        timeout_at(deadline, work).await.ok()
    }

    async fn tile_now(
        &self,
        snapshot: &Snapshot,
        archive: &RemoteArchive,
        tile: TileCoord,
    ) -> Result<Option<(Bytes, Compression)>, RemoteError> {
        let Some(id) = id_within(tile.z, tile.x, tile.y) else {
            return Ok(None);
        };
        let cell = self.slot(snapshot);
        let opened = cell.get_or_try_init(|| self.open(archive)).await?;
        let mut directory = opened.root.clone();
        for _ in 0..Header::MAX_DEPTH {
            match opened.header.place(&directory, id)? {
                Place::Nothing => return Ok(None),
                Place::Tile(at) => {
                    let compression = opened.header.description.tile_compression;
                    return Ok(Some((opened.read(at).await?, compression)));
                }
                Place::Leaf(at) => directory = self.leaf(opened, at).await?,
            }
        }
        Err(opened.header.too_deep().into())
    }

    /// The place of a layer's current generation; that of an older one is forgotten.
    fn slot(&self, snapshot: &Snapshot) -> Arc<OnceCell<Opened>> {
        let name = &snapshot.manifest.name;
        let mut slots = self.slots.lock().expect("no panic while held");
        match slots.get(name) {
            Some(slot) if slot.generation == snapshot.generation => slot.opened.clone(),
            Some(_) | None => {
                let opened = Arc::new(OnceCell::new());
                let slot = Slot {
                    generation: snapshot.generation.clone(),
                    opened: opened.clone(),
                };
                slots.insert(name.clone(), slot);
                opened
            }
        }
    }

    async fn open(&self, archive: &RemoteArchive) -> Result<Opened, RemoteError> {
        let place = Location::connect(&archive.url, &self.s3)?;
        let (front, meta) = place.read(0..Header::FRONT_BYTES, true).await?;
        unchanged(archive, &meta)?;
        let header = Header::parse(&front, meta.size, Path::new(&archive.url))?;
        let root = Arc::new(place.root(&header, &front).await?);
        Ok(Opened {
            place,
            number: self.last_number.fetch_add(1, Ordering::Relaxed),
            header,
            root,
            archive: archive.clone(),
        })
    }

    async fn leaf(&self, opened: &Opened, at: Range<u64>) -> Result<Arc<Directory>, RemoteError> {
        let key = (opened.number, at.start);
        match self.directories.get_value_or_guard_async(&key).await {
            Ok(directory) => Ok(directory),
            Err(guard) => {
                let packed = opened.read(at).await?;
                let directory = Arc::new(opened.header.directory(&packed)?);
                // Fails only when the entry was removed meanwhile, which nobody does.
                let _ = guard.insert(directory.clone());
                Ok(directory)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_secrets_or_of_other_things_are_refused() {
        let connect = |url| Location::connect(url, &S3Settings::default()).map(|place| place.url);
        for good in [
            "https://tiles.example.org/a/b.pmtiles",
            "http://127.0.0.1:9000/x.PMTILES",
            "s3://bucket/deep/key.pmtiles",
        ] {
            assert_eq!(connect(good).unwrap(), good);
        }
        for bad in [
            "ftp://example.org/x.pmtiles",
            "https://user:word@example.org/x.pmtiles",
            "https://example.org/x.pmtiles?X-Amz-Signature=1",
            "https://example.org/x.pmtiles#a",
            "https://x.pmtiles",
            "https:///x.pmtiles",
            "s3://bucket/../x.pmtiles",
            "x.pmtiles",
        ] {
            assert!(
                matches!(connect(bad), Err(RemoteError::Address { .. })),
                "{bad}"
            );
        }
        let container = connect("https://example.org/x.mbtiles");
        assert!(matches!(container, Err(RemoteError::Container { .. })));
    }

    #[test]
    fn keys_are_not_shown() {
        let s3 = S3Settings(vec![("AWS_SECRET_ACCESS_KEY".into(), "hush".into())]);
        assert_eq!(format!("{s3:?}"), "[\"AWS_SECRET_ACCESS_KEY\"]");
    }
}
