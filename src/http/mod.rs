//! The server: connections, limits, caching, metrics, and the portal's files.
//!
//! ```text
//! accept → head (hyper, limits) → service ─ cached tile ───────────────────────→ answer
//!                                    └─ protocol::parse → pool (queue, budget) ─→ answer
//! ```
//!
//! The only module that is async and names hyper. Everything slow runs on one pool of threads
//! behind one bridge ([`pool`]); the answers themselves are made by the levels below.

mod answer;
mod documents;
mod encoding;
mod metrics;
mod pool;
mod portal;
mod processes;
pub mod remote;
mod service;
mod stream;
mod styles;
mod tiles;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::model::{LayerName, TileGrid};
use crate::protocol::Problem;
use crate::protocol::tilejson::PLAIN_GRID;
use crate::store::{Snapshot, Store, StoreError};
use metrics::{Metrics, add_one};
use pool::{Pool, Refused};
use portal::Portal;
use processes::Processes;
use remote::{Remotes, S3Settings};
use service::Service;
use stream::{Answering, Limited};
use tiles::TileCache;

/// How the server behaves; the defaults are those of `onemap serve`.
#[derive(Debug, Clone)]
pub struct Options {
    pub listen: SocketAddr,
    /// Workers of the pool, and of the runtime.
    pub threads: usize,
    pub cache_bytes: u64,
    /// Jobs that may wait before requests are refused.
    pub queue: usize,
    /// Time of one request, from its head to its answer.
    pub request_time: Duration,
    /// Time to receive the head of a request, and how long an idle connection is kept.
    pub head_time: Duration,
    /// Time in which a client must take some of its answer.
    pub write_time: Duration,
    /// Time for open requests when the server is told to stop.
    pub drain_time: Duration,
    pub max_connections: usize,
    pub max_uri_bytes: usize,
    pub max_head_bytes: usize,
    pub allow_cache_skip: bool,
    /// The server's address in documents, when it is not what clients write into `Host`.
    pub public_url: Option<String>,
    /// For layers whose archive is in a bucket.
    pub s3: S3Settings,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            cache_bytes: 512 << 20,
            queue: 1024,
            request_time: Duration::from_secs(30),
            head_time: Duration::from_secs(15),
            write_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(20),
            max_connections: 4096,
            max_uri_bytes: 32 << 10,
            max_head_bytes: 64 << 10,
            allow_cache_skip: false,
            public_url: None,
            s3: S3Settings::default(),
        }
    }
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {address}: {source} (无法监听该地址)")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no threads to work on: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    #[error("no runtime for connections: {0}")]
    Runtime(std::io::Error),
}

/// What all requests share.
struct App {
    store: Store,
    /// As they were at the start.
    grids: Vec<TileGrid>,
    plain_grid: usize,
    options: Options,
    pool: Pool,
    tiles: TileCache,
    metrics: Metrics,
    portal: Portal,
    processes: Processes,
    remotes: Remotes,
    id_prefix: u32,
    last_id: AtomicU64,
    stopping: AtomicBool,
}

impl App {
    fn new(store: Store, options: Options) -> Result<App, ServeError> {
        let grids = store.grids()?;
        let plain_grid = grids
            .iter()
            .position(|grid| grid.id == PLAIN_GRID)
            .expect("a built-in grid");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(App {
            store,
            grids,
            plain_grid,
            pool: Pool::new(options.threads, options.queue)?,
            tiles: TileCache::new(options.cache_bytes),
            metrics: Metrics::default(),
            portal: Portal::new(),
            processes: Processes::new(options.threads),
            remotes: Remotes::new(options.s3.clone()),
            id_prefix: now.map_or(0, |now| now.as_micros() as u32) ^ std::process::id(),
            last_id: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            options,
        })
    }

    /// Index of a grid; `None` asks for the plain one.
    fn grid_index(&self, id: Option<&str>) -> Result<usize, Problem> {
        match id {
            None => Ok(self.plain_grid),
            Some(id) => self
                .grids
                .iter()
                .position(|grid| grid.id == id)
                .ok_or_else(|| Problem::unknown_grid(id)),
        }
    }

    /// The current generation of a layer. The first time it opens files.
    fn snapshot(&self, layer: &LayerName) -> Result<Arc<Snapshot>, Problem> {
        self.store
            .snapshot(layer.as_str())?
            .ok_or_else(|| Problem::unknown_layer(layer.as_str()))
    }

    fn snapshots(&self, layers: &[LayerName]) -> Result<Vec<Arc<Snapshot>>, Problem> {
        layers.iter().map(|layer| self.snapshot(layer)).collect()
    }

    /// The same for a thread that must not wait for files: `None` when one is not open yet.
    fn opened(&self, layers: &[LayerName]) -> Result<Option<Vec<Arc<Snapshot>>>, Problem> {
        let opened = |layer| self.store.opened(layer).transpose();
        Ok(layers
            .iter()
            .map_while(opened)
            .collect::<Result<Vec<_>, _>>()?)
        .map(|open| (open.len() == layers.len()).then_some(open))
    }

    /// A request id that no other request of this server has, nor likely one of another.
    fn next_id(&self) -> HeaderValue {
        let number = self.last_id.fetch_add(1, Ordering::Relaxed);
        let mut text = *b"00000000-000000000000";
        write_hex(&mut text[..8], u64::from(self.id_prefix));
        write_hex(&mut text[9..], number);
        HeaderValue::from_bytes(&text).expect("hexadecimal digits")
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// The last digits of a number, as many as there is room for.
fn write_hex(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// What a job that did not run means for its client.
fn refused(app: &App, refused: Refused) -> Problem {
    match refused {
        Refused::Busy => {
            add_one(&app.metrics.refused_busy);
            Problem::busy()
        }
        Refused::Deadline => Problem::timeout(),
        Refused::Panicked(what) => {
            add_one(&app.metrics.panics);
            Problem::internal(format!("panic: {what}"))
        }
    }
}

/// A server that listens but does not answer yet.
pub struct Server {
    app: Arc<App>,
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Prepares everything and opens the port.
    ///
    /// # Errors
    /// When the port is taken, a grid of the workspace cannot be read, or there are no threads.
    pub fn bind(store: Store, options: Options) -> Result<Server, ServeError> {
        let listen_error = |source| ServeError::Listen {
            address: options.listen,
            source,
        };
        let listener = std::net::TcpListener::bind(options.listen).map_err(listen_error)?;
        listener.set_nonblocking(true).map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        Ok(Server {
            app: Arc::new(App::new(store, options)?),
            listener,
            address,
        })
    }

    /// The address with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// False when the build had no portal.
    pub fn has_portal(&self) -> bool {
        !self.app.portal.is_empty()
    }

    /// Answers until the process is told to stop (SIGTERM, SIGINT), then finishes what is open.
    ///
    /// # Errors
    /// When there is no runtime or the signals cannot be waited for.
    pub fn run(self) -> Result<(), ServeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.app.options.threads)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(ServeError::Runtime)?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> Result<(), ServeError> {
        let app = self.app;
        let listener = TcpListener::from_std(self.listener).map_err(ServeError::Runtime)?;
        let places = Arc::new(Semaphore::new(app.options.max_connections));
        let (stop, stopped) = watch::channel(false);
        let mut signals = Signals::new().map_err(ServeError::Runtime)?;
        let accepting = async {
            loop {
                // Without a place nobody is accepted; further clients wait in the kernel's queue.
                let place = places.clone().acquire_owned().await;
                let place = place.expect("the semaphore is never closed");
                match listener.accept().await {
                    Ok((stream, _)) => {
                        tokio::spawn(connection(app.clone(), stream, place, stopped.clone()));
                    }
                    Err(error) => {
                        // Out of descriptors, or the client was gone already.
                        tracing::warn!(%error, "accept");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            signal = signals.wait() => {
                tracing::info!(signal, "stopping");
            }
        }
        drop(listener);
        app.stopping.store(true, Ordering::Relaxed);
        stop.send_replace(true);
        let all = app.options.max_connections as u32;
        let drained = tokio::time::timeout(app.options.drain_time, places.acquire_many(all)).await;
        match drained {
            Ok(_) => tracing::info!("stopped"),
            Err(_) => tracing::warn!("stopped with requests still open"),
        }
        Ok(())
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Waits until the server is told to stop.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is the same news.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// One connection, until either side has enough.
async fn connection(
    app: Arc<App>,
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    mut stopped: watch::Receiver<bool>,
) {
    add_one(&app.metrics.connections_total);
    add_one(&app.metrics.connections_open);
    // Small answers must not wait for the acknowledgement of the last.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay");
    }
    let options = &app.options;
    let answering = Answering::default();
    let service = Service {
        app: app.clone(),
        answering: answering.clone(),
    };
    let stream = Limited::new(stream, options.head_time, options.write_time, answering);
    let connection = http1::Builder::new()
        .max_buf_size(options.max_head_bytes)
        .max_header_size(options.max_head_bytes)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = told(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection");
    }
    app.metrics.connections_open.fetch_sub(1, Ordering::Relaxed);
    drop(place);
}
