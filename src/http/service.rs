//! One request: understood, answered, counted, logged.
//!
//! The path of a cached tile is short and synchronous; everything else is a boxed future in which
//! a panic is contained.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request};

use super::answer::{self, REQUEST_ID, Reply};
use super::documents::{self, Client};
use super::encoding::Encoding;
use super::metrics::{Endpoint, add_one};
use super::stream::Answering;
use super::{App, pool, processes, tiles};
use crate::protocol::processes::execution;
use crate::protocol::{self, Methods, Problem};
use crate::query::SearchQuery;

/// What is done with every request of a connection.
pub struct Service {
    pub app: Arc<App>,
    pub answering: Answering,
}

/// An answer that is there, or on its way.
pub enum Answer {
    Ready(Option<Reply>),
    Slow(Pin<Box<dyn Future<Output = Reply> + Send>>),
}

impl Future for Answer {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Answer::Ready(reply) => {
                let reply = reply.take().expect("polled once after it was ready");
                Poll::Ready(Ok(reply))
            }
            Answer::Slow(future) => future.as_mut().poll(cx).map(Ok),
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Reply;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let started = Instant::now();
        self.answering.begin();
        let app = &self.app;
        let headers = request.headers();
        let accepted = headers.get(header::ACCEPT_ENCODING);
        let encoding = Encoding::negotiate(accepted.map(HeaderValue::as_bytes));
        if let Some(target) = request.uri().path_and_query()
            && target.as_str().starts_with("/tiles/")
            && matches!(*request.method(), Method::GET | Method::HEAD)
            && request.body().is_end_stream()
            && let Some((endpoint, reply)) =
                tiles::cached(app, target.as_str(), headers, encoding, || {
                    id_of(app, &request)
                })
        {
            app.metrics
                .request(endpoint, reply.status().as_u16(), started.elapsed());
            return Answer::Ready(Some(reply));
        }
        let app = app.clone();
        Answer::Slow(Box::pin(slow(app, request, encoding, started)))
    }
}

/// The request's id: the client's own when it is usable, else a new one.
fn id_of<B>(app: &App, request: &Request<B>) -> HeaderValue {
    const LONGEST: usize = 64;
    match request.headers().get(REQUEST_ID) {
        Some(id)
            if (1..=LONGEST).contains(&id.len())
                && id
                    .as_bytes()
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) =>
        {
            id.clone()
        }
        _ => app.next_id(),
    }
}

async fn slow(
    app: Arc<App>,
    request: Request<Incoming>,
    encoding: Encoding,
    started: Instant,
) -> Reply {
    let id = id_of(&app, &request);
    let (head, body) = request.into_parts();
    let request = Request::from_parts(head, ());
    let mut unanswered = Unanswered(Some(&app));
    let mut endpoint = Endpoint::Unknown;
    let answer = Box::pin(answer(
        &app,
        &request,
        body,
        encoding,
        id.clone(),
        &mut endpoint,
    ));
    let result = contained(answer).await.unwrap_or_else(|panic| {
        add_one(&app.metrics.panics);
        Err(Problem::internal(panic))
    });
    let id_text = id.to_str().unwrap_or_default().to_string();
    let reply = result.unwrap_or_else(|problem| {
        log_problem(&problem, &request, &id_text);
        answer::problem(&problem, id)
    });
    let took = started.elapsed();
    let status = reply.status().as_u16();
    app.metrics.request(endpoint, status, took);
    tracing::debug!(
        request_id = id_text,
        method = %request.method(),
        target = shown(&request),
        status,
        ms = took.as_secs_f64() * 1e3,
        "request"
    );
    unanswered.0 = None;
    reply
}

/// Counts a request whose client went away before the answer.
struct Unanswered<'a>(Option<&'a App>);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(app) = self.0 {
            add_one(&app.metrics.cancelled);
        }
    }
}

fn log_problem(problem: &Problem, request: &Request<()>, request_id: &str) {
    let (status, code) = (problem.status, problem.code);
    let target = shown(request);
    match &problem.cause {
        Some(cause) => tracing::error!(request_id, target, status, code, cause, "failed"),
        None if status >= 500 => tracing::warn!(request_id, target, status, code, "refused"),
        None => tracing::info!(request_id, target, status, code, "refused"),
    }
}

/// The address for the log: bounded, and without what could forge a line.
fn shown(request: &Request<()>) -> String {
    let target = request.uri().path_and_query().map_or("", |t| t.as_str());
    target
        .chars()
        .take(200)
        .filter(|c| !c.is_control())
        .collect()
}

/// Polls a future; a panic in it is the error.
async fn contained<F: Future>(mut future: Pin<Box<F>>) -> Result<F::Output, String> {
    std::future::poll_fn(move |cx| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(pool::panic_text(&*panic))),
        }
    })
    .await
}

async fn answer(
    app: &Arc<App>,
    request: &Request<()>,
    body: Incoming,
    encoding: Encoding,
    id: HeaderValue,
    endpoint: &mut Endpoint,
) -> Result<Reply, Problem> {
    let uri = request.uri();
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    let limit = app.options.max_uri_bytes;
    if target.len() > limit {
        return Err(Problem::uri_too_long(target.len(), limit));
    }
    let below_ogc = protocol::processes::below_ogc(uri.path())?;
    if *request.method() == Method::OPTIONS {
        let methods = match below_ogc {
            Some(_) => Methods::Processes,
            None => Methods::Read,
        };
        return Ok(answer::preflight(methods, id));
    }
    let client = Client {
        headers: request.headers(),
        encoding,
        deadline: tokio::time::Instant::now() + app.options.request_time,
        id,
    };
    if let Some(segments) = below_ogc {
        *endpoint = Endpoint::Processes;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let asked = execution::parse(request.method().as_str(), &segments)?;
        return processes::answer(app, asked, body, client).await;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let method = request.method().as_str();
        return Err(Problem::method_not_allowed(method, Methods::Read));
    }
    if !body.is_end_stream() {
        return Err(Problem::body_refused());
    }
    let asked = protocol::parse(uri.path(), uri.query())?;
    use protocol::Request as Asked;
    match asked {
        Asked::Tile(tile) => {
            *endpoint = tiles::endpoint(tile.format);
            tiles::answer(app, tile, target, client).await
        }
        Asked::TileJson {
            layers,
            overlay,
            grid,
        } => {
            *endpoint = Endpoint::TileJson;
            documents::tile_json(app, layers, overlay, grid, client).await
        }
        Asked::Layers => {
            *endpoint = Endpoint::Layers;
            documents::layers(app, client).await
        }
        Asked::Feature { layer, id } => {
            *endpoint = Endpoint::Feature;
            documents::feature(app, layer, id, client).await
        }
        Asked::Search {
            layer,
            text,
            field,
            limit,
        } => {
            *endpoint = Endpoint::Search;
            let query = SearchQuery { text, field, limit };
            documents::find(app, layer, query, client).await
        }
        Asked::Style { layer } => {
            *endpoint = Endpoint::Style;
            documents::style(app, layer, client).await
        }
        Asked::Sprite { file } => {
            *endpoint = Endpoint::Style;
            documents::sprite(app, file, client).await
        }
        Asked::Grids => {
            *endpoint = Endpoint::Grid;
            documents::grids(app, client).await
        }
        Asked::Grid { id } => {
            *endpoint = Endpoint::Grid;
            documents::grid(app, id, client).await
        }
        Asked::Live => {
            *endpoint = Endpoint::Health;
            Ok(answer::plain(b"ok\n".to_vec(), TEXT, client.id))
        }
        Asked::Ready => {
            *endpoint = Endpoint::Health;
            if app.is_stopping() {
                return Err(Problem::stopping());
            }
            // The catalog can be read: that is what every answer needs.
            app.store.version()?;
            Ok(answer::plain(b"ready\n".to_vec(), TEXT, client.id))
        }
        Asked::Metrics => {
            *endpoint = Endpoint::Metrics;
            documents::metrics(app, client.id)
        }
        Asked::Portal { path } => {
            *endpoint = Endpoint::Portal;
            documents::portal(app, path, client).await
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
