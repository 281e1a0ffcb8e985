//! `onemap inspect`: what is in a workspace.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{Failure, Globals, Outcome};
use crate::analysis::{self, DefectKind, SliverBounds};
use crate::model::LayerGeometry;
use crate::query::Budget;
use crate::store::{Snapshot, Store};

/// Show what is in a workspace, or one layer in detail (查看工作空间)
#[derive(Debug, Args)]
#[command(after_help = "\
Examples (示例):
  onemap inspect map               all layers, one a line
  onemap inspect map dltb          its fields, extent, source and what the import found
  onemap inspect map --verify      compare every file with its checksum; exit code 1 if one differs
  onemap inspect map dltb --topology   overlaps, gaps and slivers of its polygons; exit code 1 if any")]
pub struct InspectArgs {
    /// Directory of the workspace (工作空间目录)
    pub workspace: PathBuf,
    /// Only this layer, in detail (图层)
    pub layer: Option<String>,
    /// Compare files with their checksums (校验文件)
    #[arg(long)]
    pub verify: bool,
    /// Overlaps, gaps and slivers of the layer's polygons, with place and size (拓扑检查)
    #[arg(long, requires = "layer")]
    pub topology: bool,
    /// Polygons below this area are slivers, square metres (碎片面积阈值)
    #[arg(long, value_name = "M2", default_value_t = 1.0)]
    pub sliver_area: f64,
    /// Polygons of a smaller mean width are slivers, metres (碎片宽度阈值)
    #[arg(long, value_name = "M", default_value_t = 0.1)]
    pub sliver_width: f64,
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
    if args.topology {
        for snapshot in &snapshots {
            if topology(snapshot, &args, globals, &mut out)? {
                outcome = Outcome::Findings;
            }
        }
        return Ok(outcome);
    }
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

/// Writes the defects of a layer; says whether there are any.
fn topology(
    snapshot: &Snapshot,
    args: &InspectArgs,
    globals: &Globals,
    out: &mut impl Write,
) -> Result<bool, Failure> {
    if let Some(threads) = globals.threads {
        // The pool may exist already when the program is used as a library; then it stays.
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(usize::from(threads))
            .build_global();
    }
    let bounds = SliverBounds {
        area_m2: args.sliver_area,
        width_m: args.sliver_width,
    };
    let budget = Budget::unlimited();
    super::interrupt::cancel_on_interrupt(&budget);
    let report = analysis::defects(snapshot, bounds, &budget, &|_| {})?;
    if globals.json {
        let text = serde_json::to_string(&report).expect("a report is plain data");
        writeln!(out, "{text}")?;
        return Ok(!report.defects.is_empty());
    }
    for defects in report.defects.chunk_by(|a, b| a.kind == b.kind) {
        let word = match defects[0].kind {
            DefectKind::Overlap => "overlaps (重叠)",
            DefectKind::Gap => "gaps (缝隙)",
            DefectKind::Sliver => "slivers (碎面)",
        };
        let area: f64 = defects.iter().map(|defect| defect.area_m2).sum();
        writeln!(out, "{} {word}, {area:.4} m²", defects.len())?;
        for defect in defects {
            let ids: Vec<String> = defect.features.iter().map(u64::to_string).collect();
            let [x, y] = defect.place;
            writeln!(
                out,
                "  {:.4} m²\twidth {:.4} m\tat {x}, {y}\t{}",
                defect.area_m2,
                defect.width_m,
                ids.join(" ")
            )?;
        }
    }
    if report.defects.is_empty() {
        writeln!(out, "no overlaps, gaps or slivers (无拓扑问题)")?;
    }
    Ok(!report.defects.is_empty())
}

fn line(snapshot: &Snapshot) -> String {
    let manifest = &snapshot.manifest;
    let content = match &manifest.content {
        LayerGeometry::Vector(info) => {
            let shape = info.geometry_type.map_or("mixed", |t| t.name());
            let levels = match info.levels.last() {
                Some(finest) => format!(", generalised to zoom {}", finest.zoom),
                None => String::new(),
            };
            format!("{} features of {shape}{levels}", info.features)
        }
        LayerGeometry::Raster(info) => {
            format!(
                "{} × {} px, {} bands",
                info.width_px, info.height_px, info.bands
            )
        }
        LayerGeometry::Tiles(info) => {
            let (tiles, low, high) = (info.tiles, info.minzoom, info.maxzoom);
            format!("archive of {tiles:?} tiles, zooms {low} to {high}")
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
