//! `onemap inspect`: what is in a workspace.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{Failure, Globals, Outcome};
use crate::model::LayerGeometry;
use crate::store::{Snapshot, Store};

/// Show what is in a workspace, or one layer in detail (查看工作空间)
#[derive(Debug, Args)]
#[command(after_help = "\
Examples (示例):
  onemap inspect map               all layers, one a line
  onemap inspect map dltb          its fields, extent, source and what the import found
  onemap inspect map --verify      compare every file with its checksum; exit code 1 if one differs")]
pub struct InspectArgs {
    /// Directory of the workspace (工作空间目录)
    pub workspace: PathBuf,
    /// Only this layer, in detail (图层)
    pub layer: Option<String>,
    /// Compare files with their checksums (校验文件)
    #[arg(long)]
    pub verify: bool,
}

pub fn run(args: InspectArgs, globals: &Globals) -> Result<Outcome, Failure> {
    let store = Store::open(&args.workspace)?;
    let snapshots = match &args.layer {
        None => store.snapshots()?,
        Some(name) => {
            let found = store.snapshot(name)?;
            vec![found.ok_or_else(|| Failure::NoSuchLayer { name: name.clone() })?]
        }
    };
    let mut out = std::io::stdout().lock();
    let mut outcome = Outcome::Done;
    for snapshot in &snapshots {
        let detailed = args.layer.is_some();
        if globals.json || detailed {
            let text = if globals.json {
                serde_json::to_string(&snapshot.manifest)
            } else {
                serde_json::to_string_pretty(&snapshot.manifest)
            };
            writeln!(out, "{}", text.expect("a manifest is plain data"))?;
        } else {
            writeln!(out, "{}", line(snapshot))?;
        }
        if args.verify {
            for file in snapshot.verify()? {
                outcome = Outcome::Findings;
                writeln!(
                    out,
                    "{}: {file} differs from its checksum (文件已损坏)",
                    snapshot.name()
                )?;
            }
        }
    }
    Ok(outcome)
}

fn line(snapshot: &Snapshot) -> String {
    let manifest = &snapshot.manifest;
    let content = match &manifest.content {
        LayerGeometry::Vector(info) => {
            let shape = info.geometry_type.map_or("mixed", |t| t.name());
            format!("{} features of {shape}", info.features)
        }
        LayerGeometry::Raster(info) => {
            format!(
                "{} × {} px, {} bands",
                info.width_px, info.height_px, info.bands
            )
        }
    };
    format!(
        "{}\t{}\t{}\t{content}\t{}\t{}",
        snapshot.name(),
        snapshot.generation,
        manifest.kind.word(),
        manifest.crs.label(),
        manifest.title
    )
}
