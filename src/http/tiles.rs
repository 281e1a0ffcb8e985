//! Tiles: from the cache, or computed once however many ask.
//!
//! Two tables. [`Hot`] goes from an address as it stands in the request to the key of its tile,
//! for as long as the workspace does not change: the path of a cached tile neither parses nor
//! resolves anything. The cache itself goes from keys to bodies; a key names the generation of
//! every layer, so nothing stale can be found under it, and is bounded in bytes.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use tokio::time::{Instant, timeout_at};
use xxhash_rust::xxh3::xxh3_128;

use super::answer::{Body, Freshness, Reply, add_timings};
use super::documents::Client;
use super::encoding::Encoding;
use super::metrics::{Endpoint, add_one};
use super::{App, refused};
use crate::analysis::tile::{TileOptions, keys_of, pieces_tile};
use crate::format::unpack::Compression;
use crate::model::{LayerName, TileContent, TileCoord};
use crate::protocol::tilejson::PLAIN_GRID;
use crate::protocol::xyz::{TileFormat, TileRequest};
use crate::protocol::{Problem, tilejson};
use crate::query::Budget;
use crate::render::image::{ImageFormat, ImageRequest, image_tile};
use crate::store::{LayerData, Snapshot, StoredTile};
use crate::tile::{self, TileLayer, Timings, VectorTile, vector_tile};

/// Addresses remembered; each costs some two hundred bytes.
const HOT_ADDRESSES: usize = 1 << 16;
/// What an entry weighs beside its bytes.
const ENTRY_BYTES: u64 = 256;
/// A tile one expects, to size the cache's table.
const TYPICAL_BYTES: u64 = 8 << 10;
pub const MVT: &str = "application/vnd.mapbox-vector-tile";

/// What makes a tile the tile it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    /// Layers with their generations, then the fields.
    what: Arc<str>,
    grid: usize,
    tile: TileCoord,
    format: TileFormat,
    encoding: Encoding,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Address {
    target: Box<str>,
    encoding: Encoding,
}

/// The borrowed form of [`Address`]; the order of the fields makes the same hash.
#[derive(Hash)]
struct AddressRef<'a> {
    target: &'a str,
    encoding: Encoding,
}

impl Equivalent<Address> for AddressRef<'_> {
    fn equivalent(&self, address: &Address) -> bool {
        self.encoding == address.encoding && *self.target == *address.target
    }
}

/// What an address means while the workspace is at `version`.
struct Hot {
    version: u64,
    key: Key,
    freshness: Freshness,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Arc<Body>> for ByBytes {
    fn weight(&self, key: &Key, body: &Arc<Body>) -> u64 {
        body.bytes.len() as u64 + key.what.len() as u64 + ENTRY_BYTES
    }
}

pub struct TileCache {
    hot: Cache<Address, Arc<Hot>>,
    tiles: Cache<Key, Arc<Body>, ByBytes>,
}

impl TileCache {
    pub fn new(capacity_bytes: u64) -> TileCache {
        let typical = (capacity_bytes / TYPICAL_BYTES).max(16) as usize;
        TileCache {
            hot: Cache::new(HOT_ADDRESSES),
            tiles: Cache::with_weighter(typical, capacity_bytes, ByBytes),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.tiles.weight()
    }

    pub fn capacity_bytes(&self) -> u64 {
        self.tiles.capacity()
    }

    pub fn entries(&self) -> u64 {
        self.tiles.len() as u64
    }
}

/// The answer to an address that is known and whose tile is in the cache.
pub fn cached(
    app: &App,
    target: &str,
    headers: &HeaderMap,
    encoding: Encoding,
    id: impl FnOnce() -> HeaderValue,
) -> Option<(Endpoint, Reply)> {
    let hot = app.tiles.hot.get(&AddressRef { target, encoding })?;
    if hot.version != app.store.version().ok()? {
        return None;
    }
    // A packed archive is sent as it is even to who would like another coding better.
    if hot.key.encoding != encoding && !hot.key.encoding.is_accepted(headers) {
        return None;
    }
    let body = app.tiles.tiles.get(&hot.key)?;
    add_one(&app.metrics.cache_hits);
    let endpoint = endpoint(hot.key.format);
    Some((endpoint, body.reply(headers, hot.freshness, id())))
}

/// What a tile counts as.
pub fn endpoint(format: TileFormat) -> Endpoint {
    match format {
        TileFormat::Mvt => Endpoint::VectorTile,
        TileFormat::Image(_) => Endpoint::ImageTile,
    }
}

/// A tile as it was computed.
struct Computed {
    body: Body,
    timings: Timings,
    compress: Duration,
}

/// The answer to any request for a tile.
pub async fn answer(
    app: &Arc<App>,
    request: TileRequest,
    target: &str,
    client: Client<'_>,
) -> Result<Reply, Problem> {
    let Client {
        headers,
        encoding,
        deadline,
        id,
    } = client;
    if request.skip_cache && !app.options.allow_cache_skip {
        return Err(Problem::cache_skip_refused());
    }
    let grid = app.grid_index(request.address.grid.as_deref())?;
    let address = &request.address;
    let tile = app.grids[grid].tile(address.z, address.x, address.y)?;
    // Before the snapshots: a change in between makes the address cold, never wrong.
    let version = app.store.version()?;
    let snapshots = match app.opened(&request.layers)? {
        Some(open) => open,
        None => opened_now(app, request.layers.clone(), deadline).await?,
    };
    check(&snapshots, &request, grid == app.plain_grid)?;
    let key = Key {
        what: what(&snapshots, &request).into(),
        grid,
        tile,
        format: request.format,
        encoding: match request.format {
            TileFormat::Mvt if keeps_gzip(&snapshots) && Encoding::Gzip.is_accepted(headers) => {
                Encoding::Gzip
            }
            TileFormat::Mvt => encoding,
            TileFormat::Image(_) => Encoding::Identity,
        },
    };
    let freshness = match &request.version {
        Some(version) if *version == tilejson::version(&snapshots) => Freshness::Immutable,
        Some(_) | None => Freshness::Revalidate,
    };
    if request.skip_cache {
        let computed = compute(app, snapshots, request, &key, deadline).await?;
        let mut reply = computed.body.reply(headers, Freshness::Never, id);
        let timings = &computed.timings;
        let phases = [
            ("index", timings.index),
            ("decode", timings.decode),
            ("clip", timings.clip),
            ("encode", timings.encode),
            ("compress", computed.compress),
        ];
        add_timings(&mut reply, &phases);
        return Ok(reply);
    }
    let found = timeout_at(deadline, app.tiles.tiles.get_value_or_guard_async(&key)).await;
    let body = match found.map_err(|_| Problem::timeout())? {
        Ok(body) => {
            add_one(&app.metrics.cache_hits);
            body
        }
        Err(guard) => {
            add_one(&app.metrics.cache_misses);
            let body = match convert(app, &key, deadline).await? {
                Some(body) => body,
                None => compute(app, snapshots, request, &key, deadline).await?.body,
            };
            let body = Arc::new(body);
            // Fails only when the entry was removed meanwhile, which nobody does.
            let _ = guard.insert(body.clone());
            body
        }
    };
    let reply = body.reply(headers, freshness, id);
    let address = Address {
        target: target.into(),
        encoding,
    };
    let hot = Hot {
        version,
        key,
        freshness,
    };
    app.tiles.hot.insert(address, Arc::new(hot));
    Ok(reply)
}

/// Opens layers for the first time: files are read, so it is work for the pool.
async fn opened_now(
    app: &Arc<App>,
    layers: Vec<LayerName>,
    deadline: Instant,
) -> Result<Vec<Arc<Snapshot>>, Problem> {
    let job_app = app.clone();
    let opened = app
        .pool
        .run(deadline, move |_| job_app.snapshots(&layers))
        .await;
    opened.map_err(|r| refused(app, r))?
}

/// True for an archive: its vector tiles are packed already, mostly with gzip.
fn keeps_gzip(snapshots: &[Arc<Snapshot>]) -> bool {
    matches!(snapshots, [one] if one.tiles().is_some())
}

/// Refuses what the layers cannot give, before anything is computed.
fn check(
    snapshots: &[Arc<Snapshot>],
    request: &TileRequest,
    is_plain_grid: bool,
) -> Result<(), Problem> {
    for snapshot in snapshots {
        if let Some(info) = snapshot.tiles() {
            let alone = snapshots.len() == 1;
            return check_archive(snapshot.name(), info.tiles, request, is_plain_grid, alone);
        }
        let (offered, wanted_vector) = (
            snapshot.vector().is_some(),
            request.format == TileFormat::Mvt,
        );
        if offered != wanted_vector {
            let formats = if offered {
                ".mvt"
            } else {
                ".png, .jpg and .webp"
            };
            let name = snapshot.name();
            return Err(Problem::wrong_format(format!(
                "layer {name:?} is offered as {formats}"
            )));
        }
    }
    for field in request.fields.iter().flatten() {
        let has = |s: &Arc<Snapshot>| {
            s.vector().is_some_and(|(_, info)| match request.overlay {
                true => keys_of(s.name(), info).any(|key| key == *field),
                false => info.schema.index_of(field).is_some(),
            })
        };
        if !snapshots.iter().any(has) {
            return Err(Problem::bad_parameter(format!(
                "no layer of the tile has a field {field:?} (没有该字段)"
            )));
        }
    }
    Ok(())
}

/// An archive has what was put into it and nothing else.
fn check_archive(
    name: &str,
    tiles: TileContent,
    request: &TileRequest,
    is_plain_grid: bool,
    alone: bool,
) -> Result<(), Problem> {
    let matches = match (request.format, tiles) {
        (TileFormat::Mvt, tiles) => !tiles.is_image(),
        (TileFormat::Image(ImageFormat::Png), TileContent::Png)
        | (TileFormat::Image(ImageFormat::Jpeg), TileContent::Jpeg)
        | (TileFormat::Image(ImageFormat::Webp), TileContent::Webp) => true,
        (TileFormat::Image(_), _) => false,
    };
    if !matches {
        let extension = tiles.extension();
        return Err(Problem::wrong_format(format!(
            "layer {name:?} is an archive of tiles, offered as .{extension}"
        )));
    }
    if !is_plain_grid {
        return Err(Problem::wrong_format(format!(
            "layer {name:?} is an archive of tiles of the grid {PLAIN_GRID}"
        )));
    }
    if !alone {
        return Err(Problem::bad_parameter(format!(
            "layer {name:?} is an archive of tiles, which is asked for alone (归档图层须单独请求)"
        )));
    }
    if request.fields.is_some() {
        return Err(Problem::bad_parameter(format!(
            "layer {name:?} is an archive of tiles with the fields they have (归档图层不能选择字段)"
        )));
    }
    Ok(())
}

fn what(snapshots: &[Arc<Snapshot>], request: &TileRequest) -> String {
    // No layer is called so.
    let mut what = String::from(if request.overlay { "overlay(" } else { "" });
    for snapshot in snapshots {
        what.push_str(snapshot.name());
        what.push('=');
        what.push_str(&snapshot.generation);
        what.push(',');
    }
    if let Some(fields) = &request.fields {
        what.push('|');
        // A comma cannot be in a name here: the list was split at commas.
        what.push_str(&fields.join(","));
    }
    what
}

/// The tile from the same one in another coding, when the cache has that.
async fn convert(app: &Arc<App>, key: &Key, deadline: Instant) -> Result<Option<Body>, Problem> {
    let other = Encoding::ALL
        .into_iter()
        .filter(|&encoding| encoding != key.encoding)
        .find_map(|encoding| {
            app.tiles.tiles.peek(&Key {
                encoding,
                ..key.clone()
            })
        });
    let Some(other) = other else {
        return Ok(None);
    };
    let wanted = key.encoding;
    let job = move |_: &Budget| {
        let plain = other.encoding.decompress(&other.bytes, other.plain_len)?;
        let (used, bytes) = wanted.compress(plain);
        let mut body = Body::new(
            bytes.into(),
            used,
            other.plain_len,
            other.hash,
            other.media_type,
        );
        body.omitted = other.omitted;
        Ok::<Body, super::encoding::BadBody>(body)
    };
    let converted = app.pool.run(deadline, job).await;
    match converted.map_err(|r| refused(app, r))? {
        Ok(body) => Ok(Some(body)),
        Err(bad) => Err(Problem::internal(bad)),
    }
}

async fn compute(
    app: &Arc<App>,
    snapshots: Vec<Arc<Snapshot>>,
    request: TileRequest,
    key: &Key,
    deadline: Instant,
) -> Result<Computed, Problem> {
    let key = key.clone();
    if let [archive] = snapshots.as_slice()
        && archive.tiles().is_some()
    {
        return from_archive(app, archive.clone(), key, deadline).await;
    }
    let job_app = app.clone();
    let job = move |budget: &Budget| compute_now(&job_app, &snapshots, &request, &key, budget);
    let computed = app.pool.run(deadline, job).await;
    computed.map_err(|r| refused(app, r))?
}

/// A tile that somebody made beforehand.
async fn from_archive(
    app: &Arc<App>,
    snapshot: Arc<Snapshot>,
    key: Key,
    deadline: Instant,
) -> Result<Computed, Problem> {
    let info = snapshot.tiles();
    let fetched = match info.and_then(|info| info.remote.as_ref()) {
        None => None,
        Some(remote) => {
            let fetched = app
                .remotes
                .tile(&snapshot, remote, key.tile, deadline)
                .await;
            let fetched = fetched.ok_or_else(Problem::timeout)?;
            fetched.map_err(|error| Problem::remote_failed(snapshot.name(), error))?
        }
    };
    let job_app = app.clone();
    let job = move |_: &Budget| {
        let stored = match (&snapshot.data, fetched) {
            (LayerData::Archive(file), _) => file.tile(key.tile).map_err(Problem::internal)?,
            (_, None) => None,
            (_, Some((bytes, compression))) => Some(StoredTile {
                bytes: Vec::from(bytes).into(),
                compression,
            }),
        };
        add_one(&job_app.metrics.tiles_computed);
        let packing = std::time::Instant::now();
        let body = archived_body(stored, &key, snapshot.name())?;
        Ok(Computed {
            body,
            timings: Timings::default(),
            compress: packing.elapsed(),
        })
    };
    let computed = app.pool.run(deadline, job).await;
    computed.map_err(|r| refused(app, r))?
}

/// A stored tile for the client: as it is when it is packed the way the client takes it. It is
/// unpacked in any case: nobody is sent what cannot be.
fn archived_body(stored: Option<StoredTile<'_>>, key: &Key, layer: &str) -> Result<Body, Problem> {
    let (plain, stored) = match stored {
        None => (Vec::new(), None),
        Some(stored) => {
            let plain = stored.plain().map_err(|error| {
                let TileCoord { z, x, y } = key.tile;
                Problem::internal(format!("layer {layer}: tile {z}/{x}/{y}: {error}"))
            })?;
            (plain, Some(stored))
        }
    };
    let media_type = match (key.format, TileContent::of_image(&plain)) {
        (TileFormat::Mvt, _) => MVT,
        // Archives mix JPEG and PNG under one name; the bytes say what they are.
        (_, Some(TileContent::Png)) => ImageFormat::Png.media_type(),
        (_, Some(TileContent::Jpeg)) => ImageFormat::Jpeg.media_type(),
        (_, Some(TileContent::Webp)) => ImageFormat::Webp.media_type(),
        (TileFormat::Image(format), _) if plain.is_empty() => format.media_type(),
        (TileFormat::Image(_), _) => {
            let TileCoord { z, x, y } = key.tile;
            let what = format!("layer {layer}: tile {z}/{x}/{y} is no picture");
            return Err(Problem::internal(what));
        }
    };
    let (hash, plain_len) = (xxh3_128(&plain), plain.len());
    let (used, bytes) = match stored {
        Some(stored)
            if key.encoding == Encoding::Gzip
                && matches!(stored.compression, Compression::Gzip | Compression::Unknown)
                && Compression::of_bytes(&stored.bytes) == Compression::Gzip =>
        {
            (Encoding::Gzip, stored.bytes.into_owned())
        }
        Some(_) | None => key.encoding.compress(plain),
    };
    Ok(Body::new(bytes.into(), used, plain_len, hash, media_type))
}

/// On the pool.
fn compute_now(
    app: &App,
    snapshots: &[Arc<Snapshot>],
    request: &TileRequest,
    key: &Key,
    budget: &Budget,
) -> Result<Computed, Problem> {
    let grid = &app.grids[key.grid];
    let (bytes, media_type, tile) = match key.format {
        TileFormat::Mvt if request.overlay => {
            let (fields, options) = (request.fields.as_deref(), TileOptions::default());
            let bytes = pieces_tile(snapshots, grid, key.tile, fields, &options, budget)?;
            (bytes, MVT, VectorTile::default())
        }
        TileFormat::Mvt => {
            let layers: Vec<TileLayer> = snapshots
                .iter()
                .map(|snapshot| TileLayer {
                    snapshot: snapshot.clone(),
                    fields: request.fields.clone(),
                })
                .collect();
            let mut tile = vector_tile(&layers, grid, key.tile, &tile::Options::default(), budget)?;
            (std::mem::take(&mut tile.bytes), MVT, tile)
        }
        TileFormat::Image(format) => {
            let picture = ImageRequest {
                grid,
                tile: key.tile,
                scale: 1,
                format,
            };
            let image = image_tile(&snapshots[0], &picture, budget)?;
            (image.bytes, format.media_type(), VectorTile::default())
        }
    };
    let started = std::time::Instant::now();
    let (hash, plain_len) = (xxh3_128(&bytes), bytes.len());
    let (used, bytes) = key.encoding.compress(bytes);
    let compress = started.elapsed();
    add_one(&app.metrics.tiles_computed);
    // One coding for all: each layer has the same share of its time.
    let share_of_compress = compress / snapshots.len() as u32;
    for (i, snapshot) in snapshots.iter().enumerate() {
        let share = tile.by_layer.get(i).copied().unwrap_or_default();
        app.metrics
            .layer_of_tile(snapshot.name(), &share, share_of_compress);
    }
    let mut body = Body::new(Bytes::from(bytes), used, plain_len, hash, media_type);
    body.omitted = tile.omitted;
    Ok(Computed {
        body,
        timings: tile.timings,
        compress,
    })
}
