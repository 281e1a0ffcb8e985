//! Everything that is answered with a JSON document, and the portal's files.

use std::sync::Arc;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{self, HeaderValue};
use serde_json::{Value, json};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_128;

use super::answer::{self, Body, Freshness, Reply};
use super::encoding::Encoding;
use super::metrics::Gauges;
use super::portal::media_type;
use super::styles;
use super::{App, refused};
use crate::format::tilematrixset;
use crate::model::LayerName;
use crate::protocol::{Problem, catalog, encode, feature, style, tilejson};
use crate::query::{Budget, SearchQuery, feature_by_id, search};

/// A search that has looked for so long gives what it has.
const SEARCH_TIME: std::time::Duration = std::time::Duration::from_secs(3);

/// What the client said about itself and about the answer it can take.
pub struct Client<'a> {
    pub headers: &'a HeaderMap,
    pub encoding: Encoding,
    pub deadline: Instant,
    pub id: HeaderValue,
}

pub async fn tile_json(
    app: &Arc<App>,
    layers: Vec<LayerName>,
    overlay: bool,
    grid: Option<String>,
    client: Client<'_>,
) -> Result<Reply, Problem> {
    let grid = app.grid_index(grid.as_deref())?;
    let base = base_url(app, client.headers);
    document(app, client, "application/json", move |app, _| {
        let snapshots = app.snapshots(&layers)?;
        if overlay {
            return tilejson::overlay_document(&snapshots, &app.grids[grid], &base);
        }
        if snapshots.len() > 1
            && let Some(archive) = snapshots.iter().find(|s| s.tiles().is_some())
        {
            return Err(Problem::bad_parameter(format!(
                "layer {:?} is an archive of tiles, which is asked for alone (归档图层须单独请求)",
                archive.name()
            )));
        }
        let kinds: Vec<bool> = snapshots.iter().map(|s| s.shows_images()).collect();
        if kinds.contains(&true) && kinds.contains(&false) {
            return Err(Problem::wrong_format(
                "layers of features and layers of images are not in one tile",
            ));
        }
        Ok(tilejson::document(&snapshots, &app.grids[grid], &base))
    })
    .await
}

pub async fn layers(app: &Arc<App>, client: Client<'_>) -> Result<Reply, Problem> {
    document(app, client, "application/json", |app, _| {
        let version = app.store.version()?;
        let snapshots = app.store.snapshots()?;
        let grid = &app.grids[app.grid_index(None)?];
        let name = app.store.root().file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        Ok(catalog::document(&snapshots, grid, &name, version))
    })
    .await
}

pub async fn feature(
    app: &Arc<App>,
    layer: LayerName,
    id: u64,
    client: Client<'_>,
) -> Result<Reply, Problem> {
    document(app, client, "application/geo+json", move |app, _| {
        let snapshot = app.snapshot(&layer)?;
        let found = feature_by_id(&snapshot, id)?
            .ok_or_else(|| Problem::unknown_feature(layer.as_str(), id))?;
        feature::document(&snapshot, &found)
    })
    .await
}

pub async fn find(
    app: &Arc<App>,
    layer: LayerName,
    query: SearchQuery,
    mut client: Client<'_>,
) -> Result<Reply, Problem> {
    // Half a second is kept for the document itself.
    let search_until = client.deadline.min(Instant::now() + SEARCH_TIME);
    client.deadline = client.deadline.max(search_until);
    document(app, client, "application/json", move |app, outer| {
        outer.check()?;
        let snapshot = app.snapshot(&layer)?;
        let budget = outer.until(search_until.into_std());
        let found = search(&snapshot, &query, &budget)?;
        feature::matches(&snapshot, &found)
    })
    .await
}

pub async fn grids(app: &Arc<App>, client: Client<'_>) -> Result<Reply, Problem> {
    let base = base_url(app, client.headers);
    document(app, client, "application/json", move |app, _| {
        let sets: Vec<Value> = app
            .grids
            .iter()
            .map(|grid| {
                json!({
                    "id": grid.id,
                    "title": grid.title,
                    "crs": tilematrixset::crs_uri(grid),
                    "minzoom": grid.lowest_zoom(),
                    "maxzoom": grid.highest_zoom(),
                    "links": [{
                        "rel": "http://www.opengis.net/def/rel/ogc/1.0/tiling-scheme",
                        "type": "application/json",
                        "href": format!("{base}/grids/{}.json", encode(&grid.id)),
                    }],
                })
            })
            .collect();
        Ok(json!({ "tileMatrixSets": sets }))
    })
    .await
}

pub async fn grid(app: &Arc<App>, id: String, client: Client<'_>) -> Result<Reply, Problem> {
    let index = app.grid_index(Some(&id))?;
    document(app, client, "application/json", move |app, _| {
        Ok(tilematrixset::write(&app.grids[index]))
    })
    .await
}

/// Makes a document on the pool and answers with it.
async fn document(
    app: &Arc<App>,
    client: Client<'_>,
    media_type: &'static str,
    make: impl FnOnce(&App, &Budget) -> Result<Value, Problem> + Send + 'static,
) -> Result<Reply, Problem> {
    let job_app = app.clone();
    let wanted = client.encoding;
    let job = move |budget: &Budget| {
        let plain = make(&job_app, budget)?.to_string().into_bytes();
        let (hash, len) = (xxh3_128(&plain), plain.len());
        let (used, bytes) = wanted.compress(plain);
        Ok::<Body, Problem>(Body::new(Bytes::from(bytes), used, len, hash, media_type))
    };
    let body = app.pool.run(client.deadline, job).await;
    let body = body.map_err(|r| refused(app, r))??;
    Ok(body.reply(client.headers, Freshness::Revalidate, client.id))
}

/// A layer's style, made from the template of its family.
pub async fn style(app: &Arc<App>, layer: LayerName, client: Client<'_>) -> Result<Reply, Problem> {
    let base = base_url(app, client.headers);
    document(app, client, "application/json", move |app, _| {
        let snapshot = app.snapshot(&layer)?;
        let file = format!("{}.json", snapshot.manifest.kind.word());
        let template = styles::file(app.store.root(), &file)?
            .ok_or_else(|| Problem::internal(format!("there is no style template {file}")))?;
        style::document(&snapshot, &template, &base)
            .map_err(|e| Problem::internal(format!("style template {file}: {e}")))
    })
    .await
}

/// A file of the sprite.
pub async fn sprite(app: &Arc<App>, file: String, client: Client<'_>) -> Result<Reply, Problem> {
    let media_type = media_type(&file);
    if !styles::is_plain_name(&file) {
        return Err(Problem::no_such_path());
    }
    let job_app = app.clone();
    let job = move |_: &Budget| {
        let plain = styles::file(job_app.store.root(), &format!("sprites/{file}"))?
            .ok_or_else(Problem::no_such_path)?
            .into_owned();
        let (hash, len) = (xxh3_128(&plain), plain.len());
        let bytes = Bytes::from(plain);
        Ok::<Body, Problem>(Body::new(bytes, Encoding::Identity, len, hash, media_type))
    };
    let body = app.pool.run(client.deadline, job).await;
    let body = body.map_err(|r| refused(app, r))??;
    Ok(body.reply(client.headers, Freshness::Revalidate, client.id))
}

/// A file of the portal.
pub async fn portal(app: &Arc<App>, path: String, client: Client<'_>) -> Result<Reply, Problem> {
    if app.portal.file(&path).is_none() {
        if path == "index.html" && app.portal.is_empty() {
            let note = "This onemap was built without its portal (此程序未包含门户).\n\
                        Run `make web` and build again; the data is at /layers.json.\n";
            let media_type = "text/plain; charset=utf-8";
            return Ok(answer::plain(note.into(), media_type, client.id));
        }
        return Err(Problem::no_such_path());
    }
    let job_app = app.clone();
    let wanted = client.encoding;
    // The first request for a coding compresses; a megabyte of script takes a while.
    let job = move |_: &Budget| {
        let asset = job_app.portal.file(&path)?;
        let (used, bytes) = asset.body(wanted).clone();
        let len = bytes.len();
        let body = Body::new(bytes, used, len, asset.hash, asset.media_type);
        Some((body, asset.immutable))
    };
    let found = app.pool.run(client.deadline, job).await;
    let found = found.map_err(|r| refused(app, r))?;
    let (body, immutable) = found.ok_or_else(Problem::no_such_path)?;
    let freshness = if immutable {
        Freshness::Immutable
    } else {
        Freshness::Revalidate
    };
    let mut reply = body.reply(client.headers, freshness, client.id);
    reply.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    Ok(reply)
}

pub fn metrics(app: &App, id: HeaderValue) -> Result<Reply, Problem> {
    let gauges = Gauges {
        cache_bytes: app.tiles.bytes(),
        cache_capacity_bytes: app.tiles.capacity_bytes(),
        cache_entries: app.tiles.entries(),
        jobs_waiting: app.pool.waiting(),
        jobs_running: app.pool.running(),
        layers: app.store.names()?.len(),
    };
    let text = app.metrics.text(&gauges).into_bytes();
    Ok(answer::plain(
        text,
        "text/plain; version=0.0.4; charset=utf-8",
        id,
    ))
}

/// The server's address as the client knows it, without a final slash: the configured one, or
/// what the client wrote into `Host`; empty (addresses relative to the server) without either.
pub fn base_url(app: &App, headers: &HeaderMap) -> String {
    if let Some(url) = &app.options.public_url {
        return url.trim_end_matches('/').to_string();
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let is_plain = |host: &&str| {
        !host.is_empty()
            && host.len() <= 255
            && host.bytes().all(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']')
            })
    };
    host.filter(is_plain)
        .map_or_else(String::new, |host| format!("http://{host}"))
}
