//! `onemap serve`: the workspace on the network.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{Failure, Globals, Outcome, start_log};
use crate::config::{FileConfig, ServeSettings};
use crate::http::Server;
use crate::store::Store;

/// Serve a workspace: map portal, tiles, TileJSON, features, search (发布工作空间)
///
/// Layers that are imported while the server runs appear at once; no request fails and no tile is
/// stale. SIGTERM or Ctrl-C finishes the open requests and stops. 运行中导入的图层立即生效。
#[derive(Debug, Args)]
#[command(after_help = "\
Addresses (地址):
  /                                            the map (门户)
  /layers.json                                 what there is (图层目录)
  /tiles/{layers}/{z}/{x}/{y}.mvt              tiles, layers separated by commas (瓦片)
  /tiles/{layers}/{grid}/{z}/{x}/{y}.mvt       in another grid: c, w, CGCS2000Quad, … (其他格网)
  /tiles/{layers}.json                         TileJSON
  /ogc/processes                               reports and overlays, OGC API (地块分析、叠加)
  /health/live  /health/ready  /metrics        for whoever runs it (运维)

Examples (示例):
  onemap serve map
  onemap serve map --listen 0.0.0.0:80 --public-url https://map.example.org --cache-mb 4096
  onemap serve map --config onemap.toml        the file has the same words as the flags:
                                               listen = \"0.0.0.0:80\"
                                               cache-mb = 4096")]
pub struct ServeArgs {
    /// Directory of the workspace (工作空间目录)
    pub workspace: PathBuf,
    /// File with the same words as these flags; flags win (配置文件)
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub settings: ServeSettings,
}

pub fn run(args: ServeArgs, mut globals: Globals) -> Result<Outcome, Failure> {
    let file = match &args.config {
        Some(path) => FileConfig::read(path)?,
        None => FileConfig::default(),
    };
    globals.threads = globals.threads.or(file.threads);
    globals.json |= file.json.unwrap_or(false);
    globals.quiet |= file.quiet.unwrap_or(false);
    globals.log = globals.log.or(file.log);
    start_log(&globals)?;
    let options = args.settings.or(file.serve).options(globals.threads)?;
    // A panic is contained and answered; its place belongs into the log like everything else.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panic")));
    raise_descriptor_limit();
    let store = Store::open(&args.workspace)?;
    let layers = store.names()?.len();
    let server = Server::bind(store, options)?;
    let address = server.address();
    let mut out = std::io::stdout().lock();
    if globals.json {
        let line = serde_json::json!({ "listening": address.to_string(), "layers": layers });
        writeln!(out, "{line}")?;
    } else {
        // Always, even when quiet: with port 0 nobody else knows the address.
        writeln!(out, "http://{address}/  {layers} layers (图层)")?;
    }
    out.flush()?;
    drop(out);
    if !server.has_portal() && !globals.quiet {
        tracing::info!("this program was built without the portal; `make web` builds it");
    }
    server.run()?;
    Ok(Outcome::Done)
}

/// Every connection and every layer's files take descriptors: allow as many as we may have.
fn raise_descriptor_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls only read and write the struct on this stack.
    let raised = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0
        }
    };
    if !raised {
        let error = std::io::Error::last_os_error();
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
