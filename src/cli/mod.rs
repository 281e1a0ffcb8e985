//! The command line: one file per subcommand, and what they share.
//!
//! Exit codes: 0 done, 1 done with findings above a threshold, 2 failed.

#![allow(
    clippy::result_large_err,
    reason = "a failure is made once, at the end"
)]

mod demo;
mod demo_data;
mod import;
mod inspect;
mod interrupt;
mod overlay;
mod progress;
mod report;
mod serve;
mod tiles;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::ConfigError;
use crate::crs::CrsError;
use crate::http::ServeError;
use crate::store::StoreError;
use crate::tile::archive::ArchiveError;

/// The layers of a land-resources map: imported, served and analysed by one program
/// (国土资源一张图:导入、发布、分析)
#[derive(Debug, Parser)]
#[command(
    name = "onemap",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
A workspace is a directory that holds everything. Import layers into it, then serve it:
工作空间是一个目录;先导入图层,再发布:

  onemap import map dltb=DLTB.shp --kind landuse
  onemap serve map                        then open http://127.0.0.1:8080/

Exit codes (退出码): 0 done (完成), 1 done with findings (完成但有问题), 2 failed (失败)."
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options of every command (通用选项)")]
pub struct Globals {
    /// Threads to work with; as many as there are cores when not given (线程数)
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Results and log as JSON, for programs (以 JSON 输出)
    #[arg(long, global = true)]
    pub json: bool,
    /// Only errors, no progress (只显示错误)
    #[arg(long, global = true)]
    pub quiet: bool,
    /// What is logged: error, warn, info, debug, trace, or per module (日志级别)
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Import(import::ImportArgs),
    Demo(demo::DemoArgs),
    Serve(serve::ServeArgs),
    Inspect(inspect::InspectArgs),
    Tiles(tiles::TilesCommand),
    DemoData(demo_data::DemoDataArgs),
    Overlay(overlay::OverlayArgs),
    Report(report::ReportArgs),
}

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Done, and what was found is worth a look.
    Findings,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("{message}")]
    Usage { message: String },
    #[error("{path}: {source}")]
    File {
        path: std::path::PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Source(#[from] crate::source::SourceError),
    #[error(transparent)]
    Raster(#[from] crate::source::raster::RasterError),
    #[error(transparent)]
    Ingest(#[from] crate::ingest::IngestError),
    #[error(transparent)]
    Image(#[from] crate::ingest::raster::ImageImportError),
    #[error(
        "{path}: the example data is not there; fetch it with scripts/fetch-demo-data.py, or run make demo (缺少示例数据)"
    )]
    NoDemoData { path: std::path::PathBuf },
    #[error("the server of the demo did not start; it said {said:?} (演示服务未能启动)")]
    DemoServer { said: String },
    #[error("--log {given:?}: {reason}")]
    LogLevel { given: String, reason: String },
    #[error(transparent)]
    ImportArchive(#[from] crate::ingest::archive::ArchiveImportError),
    #[error(transparent)]
    Remote(#[from] crate::http::remote::RemoteError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Merge(#[from] crate::tile::merge::MergeError),
    #[error(transparent)]
    Analysis(crate::analysis::AnalysisError),
    #[error("interrupted; nothing was written (已中断, 未写入任何结果)")]
    Interrupted,
    #[error(transparent)]
    Crs(#[from] CrsError),
    #[error("{path}: {source}")]
    Rules {
        path: std::path::PathBuf,
        source: crate::analysis::report::rules::RulesError,
    },
    #[error(transparent)]
    Boundary(#[from] crate::protocol::processes::boundary::BoundaryError),
    #[error(transparent)]
    County(#[from] crate::county::CountyError),
    #[error("--years wants two years, the earlier first, and got {found} (需要两个年份)")]
    TwoYears { found: usize },
    #[error("there is no grid {name:?}, there are {} (没有这个格网)", .known.join(", "))]
    NoSuchGrid { name: String, known: Vec<String> },
    #[error("there is no layer {name:?} in this workspace (没有这个图层)")]
    NoSuchLayer { name: String },
    #[error(
        "layer {name:?} is an archive of tiles already, nothing is made of it (该图层已是瓦片归档)"
    )]
    AlreadyTiles { name: String },
    #[error("layer {name:?} is offered as {offered}, not as {asked} (该图层不提供此格式)")]
    OtherFormat {
        name: String,
        offered: &'static str,
        asked: &'static str,
    },
    #[error("cannot write the result: {0}")]
    Output(#[from] std::io::Error),
}

impl From<crate::analysis::AnalysisError> for Failure {
    fn from(error: crate::analysis::AnalysisError) -> Failure {
        use crate::analysis::AnalysisError;
        match error {
            // Nobody but the user at the keyboard can cancel a command.
            AnalysisError::Stopped(crate::query::Stop::Cancelled) => Failure::Interrupted,
            error => Failure::Analysis(error),
        }
    }
}

/// Reads the command line, does what it says, reports a failure.
pub fn run() -> ExitCode {
    bound_free_memory();
    let cli = Cli::parse();
    let json = cli.globals.json;
    let result = match cli.command {
        Command::Import(args) => {
            start_log(&cli.globals).and_then(|()| import::run(&args, &cli.globals))
        }
        Command::Demo(args) => demo::run(args, cli.globals),
        Command::Serve(args) => serve::run(args, cli.globals),
        Command::DemoData(args) => {
            start_log(&cli.globals).and_then(|()| demo_data::run(args, &cli.globals))
        }
        Command::Inspect(args) => {
            start_log(&cli.globals).and_then(|()| inspect::run(args, &cli.globals))
        }
        Command::Tiles(args) => {
            start_log(&cli.globals).and_then(|()| tiles::run(args, &cli.globals))
        }
        Command::Overlay(args) => {
            start_log(&cli.globals).and_then(|()| overlay::run(&args, &cli.globals))
        }
        Command::Report(args) => {
            start_log(&cli.globals).and_then(|()| report::run(&args, &cli.globals))
        }
    };
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(1),
        Err(failure) => {
            if json {
                eprintln!("{}", serde_json::json!({ "error": failure.to_string() }));
            } else {
                eprintln!("error (错误): {failure}");
            }
            ExitCode::from(2)
        }
    }
}

/// One pool of free memory for each core. The C library makes up to eight, one after the other as
/// threads come, and each keeps what its threads once needed: an import then held twice the
/// memory it used.
fn bound_free_memory() {
    #[cfg(target_env = "gnu")]
    {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let pools = i32::try_from(cores).unwrap_or(i32::MAX);
        // SAFETY: sets a limit of the allocator. It goes on as it was when it refuses.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, pools) };
    }
}

/// Writes to standard output. A reader that closed its end has heard enough: no failure.
fn say(text: &str) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write};
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Starts the log on standard error, once per process.
fn start_log(globals: &Globals) -> Result<(), Failure> {
    let level = match (&globals.log, globals.quiet) {
        (Some(level), _) => level.as_str(),
        (None, true) => "error",
        (None, false) => "info",
    };
    let filter = EnvFilter::builder()
        .parse(level)
        .map_err(|e| Failure::LogLevel {
            given: level.to_string(),
            reason: e.to_string(),
        })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    if globals.json {
        log.json().flatten_event(true).init();
    } else {
        log.with_ansi(false).init();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
