//! `onemap overlay`: areas of all combinations of two layers or more.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::{Failure, Globals, Outcome};
use crate::analysis::{self, AreaMode, AreaReport, Group, Grouping, Progress, Row, Selection};
use crate::query::Budget;
use crate::store::{Snapshot, Store};

/// Area table of layers laid over each other (叠加分析面积表)
#[derive(Debug, Args)]
#[command(after_help = "\
Examples (示例):
  onemap overlay map --left dltb --right yjjbnt --by dltb.DLBM
      area of every land class inside and outside the farmland
  onemap overlay map --left dltb --right czkfbj --right sthx --by dltb.DLBM,czkfbj.GZQ --unit mu --out t.csv
      three layers in one pass
  onemap overlay map --left xm --right dltb --by feature --op intersection --json
      by pair of features

Every combination is a row, what a layer does not cover is (outside); rows of one value add up to
its area. Where a layer overlaps itself each of its polygons counts in full, and (outside) counts
the excess negative.
每种组合一行,图层未覆盖处为 (outside);同一值各行之和等于其面积。")]
pub struct OverlayArgs {
    /// Directory of the workspace (工作空间目录)
    pub workspace: PathBuf,
    /// The first layer (左图层)
    #[arg(long, value_name = "LAYER")]
    pub left: String,
    /// The other layer; again for more (右图层,可重复)
    #[arg(long, value_name = "LAYER", required = true)]
    pub right: Vec<String>,
    /// Group by these fields, LAYER.FIELD or LAYER.@id; `feature` for all features of all layers (分组字段)
    #[arg(long, value_name = "LAYER.FIELD,…", value_delimiter = ',')]
    pub by: Vec<String>,
    /// Which combinations are shown (运算)
    #[arg(long, value_enum, default_value = "union")]
    pub op: Operation,
    /// How areas are measured (面积算法)
    #[arg(long, value_enum, default_value = "additive")]
    pub area: Area,
    /// Unit of areas in the result (面积单位)
    #[arg(long, value_enum, default_value = "m2")]
    pub unit: Unit,
    /// Rows with less than this are marked as slivers, square metres (碎片阈值)
    #[arg(long, value_name = "M2", default_value_t = 0.01)]
    pub sliver: f64,
    /// Write the table here: .csv or .json (输出文件)
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Which combinations of inside and outside are rows of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    /// Inside of all layers (相交)
    Intersection,
    /// Inside of the left layer (标识)
    Identity,
    /// Inside of the left layer and outside of all others (相减)
    Difference,
    /// Inside of exactly one layer (对称差)
    Symdiff,
    /// All (联合)
    Union,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Area {
    /// On the ellipsoid, exactly additive when polygons are divided (椭球面积)
    Additive,
    /// In the common projected plane of the layers (平面面积)
    Planar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Unit {
    /// Square metres (平方米)
    M2,
    /// Hectares (公顷)
    Ha,
    /// Mu: 2000/3 m² (亩)
    Mu,
    /// Square kilometres (平方千米)
    Km2,
}

impl Unit {
    /// The area in this unit, and its digits in text.
    fn of_m2(self, area_m2: f64) -> (f64, usize) {
        match self {
            Unit::M2 => (area_m2, 4),
            Unit::Ha => (area_m2 / 1e4, 8),
            Unit::Mu => (area_m2 * 3.0 / 2000.0, 7),
            Unit::Km2 => (area_m2 / 1e6, 10),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Unit::M2 => "m2",
            Unit::Ha => "ha",
            Unit::Mu => "mu",
            Unit::Km2 => "km2",
        }
    }
}

impl Operation {
    fn shows(self, row: &Row) -> bool {
        let outside = row
            .groups
            .iter()
            .filter(|group| **group == Group::Outside)
            .count();
        let inside = row.groups.len() - outside;
        let left = row.groups[0] != Group::Outside;
        match self {
            Operation::Intersection => outside == 0,
            Operation::Identity => left,
            Operation::Difference => left && inside == 1,
            Operation::Symdiff => inside == 1,
            Operation::Union => true,
        }
    }
}

pub fn run(args: &OverlayArgs, globals: &Globals) -> Result<Outcome, Failure> {
    if let Some(threads) = globals.threads {
        // The pool may exist already when the program is used as a library; then it stays.
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(usize::from(threads))
            .build_global();
    }
    let format = Format::of(args.out.as_deref(), globals)?;
    let store = Store::open(&args.workspace)?;
    let mut snapshots: Vec<Arc<Snapshot>> = Vec::new();
    for name in std::iter::once(&args.left).chain(&args.right) {
        let found = store.snapshot(name)?;
        snapshots.push(found.ok_or_else(|| Failure::NoSuchLayer { name: name.clone() })?);
    }
    let groupings = groupings(&args.by, &snapshots)?;
    let selections: Vec<Selection<'_>> = snapshots
        .iter()
        .zip(groupings)
        .map(|(snapshot, grouping)| Selection { snapshot, grouping })
        .collect();
    let mode = match args.area {
        Area::Additive => AreaMode::Additive,
        Area::Planar => AreaMode::Planar,
    };
    let started = Instant::now();
    let bar = bar(globals);
    let report = analysis::areas(&selections, mode, &Budget::unlimited(), &|at| {
        show(&bar, at)
    });
    bar.finish_and_clear();
    let mut report = report?;
    report.rows.retain(|row| args.op.shows(row));
    let text = match format {
        Format::Csv => csv(&report, args),
        Format::Json => as_json(&report, args, &snapshots),
    };
    match &args.out {
        Some(path) => std::fs::write(path, text).map_err(|source| Failure::File {
            path: path.clone(),
            source,
        })?,
        None => std::io::stdout().lock().write_all(text.as_bytes())?,
    }
    let edges: u64 = report.layers.iter().map(|layer| layer.edges).sum();
    tracing::info!(
        rows = report.rows.len(),
        edges,
        seconds = format!("{:.3}", started.elapsed().as_secs_f64()),
        "overlaid (叠加完成)"
    );
    Ok(Outcome::Done)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Json,
}

impl Format {
    fn of(out: Option<&Path>, globals: &Globals) -> Result<Format, Failure> {
        match out.map(|path| path.extension().and_then(|ending| ending.to_str())) {
            None if globals.json => Ok(Format::Json),
            None | Some(Some("csv")) => Ok(Format::Csv),
            Some(Some("json")) => Ok(Format::Json),
            Some(found) => Err(Failure::Usage {
                message: format!(
                    "--out ends in {:?}; .csv and .json can be written (输出格式不支持)",
                    found.unwrap_or("")
                ),
            }),
        }
    }
}

fn groupings(by: &[String], snapshots: &[Arc<Snapshot>]) -> Result<Vec<Grouping>, Failure> {
    if by == ["feature"] {
        return Ok(vec![Grouping::Feature; snapshots.len()]);
    }
    let mut groupings = vec![Grouping::Layer; snapshots.len()];
    for entry in by {
        let mut known = false;
        for (snapshot, grouping) in snapshots.iter().zip(&mut groupings) {
            let field = entry
                .strip_prefix(snapshot.name())
                .and_then(|rest| rest.strip_prefix('.'));
            if let Some(field) = field {
                known = true;
                *grouping = match field {
                    "@id" => Grouping::Feature,
                    field => Grouping::Field(field.to_string()),
                };
            }
        }
        if !known {
            return Err(Failure::Usage {
                message: format!(
                    "--by {entry}: expected LAYER.FIELD of a layer named by --left or --right, or `feature` alone (分组字段有误)"
                ),
            });
        }
    }
    Ok(groupings)
}

fn group_text(group: &Group) -> &str {
    match group {
        Group::Null => "(null)",
        Group::Value(value) => value,
        Group::Outside => "(outside)",
    }
}

fn csv(report: &AreaReport, args: &OverlayArgs) -> String {
    let quoted = |text: &str| {
        if text.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_string()
        }
    };
    let mut text = String::new();
    for layer in &report.layers {
        text.push_str(&quoted(&layer.name));
        text.push(',');
    }
    text.push_str(&format!("area_{},sliver\n", args.unit.word()));
    for row in &report.rows {
        for group in &row.groups {
            text.push_str(&quoted(group_text(group)));
            text.push(',');
        }
        let (area, digits) = args.unit.of_m2(row.area_m2);
        let sliver = u8::from(row.area_m2.abs() < args.sliver);
        text.push_str(&format!("{area:.digits$},{sliver}\n"));
    }
    text
}

fn as_json(report: &AreaReport, args: &OverlayArgs, snapshots: &[Arc<Snapshot>]) -> String {
    let rows: Vec<serde_json::Value> = report
        .rows
        .iter()
        .map(|row| {
            let groups: Vec<&str> = row.groups.iter().map(group_text).collect();
            let sliver = row.area_m2.abs() < args.sliver;
            json!({ "groups": groups, "area": args.unit.of_m2(row.area_m2).0, "sliver": sliver })
        })
        .collect();
    let total: f64 = report.rows.iter().map(|row| row.area_m2).sum();
    let area = match args.area {
        Area::Additive => "additive",
        Area::Planar => "planar",
    };
    let systems: Vec<String> = snapshots.iter().map(|s| s.manifest.crs.label()).collect();
    let document = json!({
        "layers": report.layers,
        "crs": systems,
        "area": area,
        "unit": args.unit.word(),
        "total": args.unit.of_m2(total).0,
        "rows": rows,
    });
    format!("{document:#}\n")
}

fn bar(globals: &Globals) -> ProgressBar {
    let hidden = globals.quiet || globals.json || !std::io::stderr().is_terminal();
    let target = if hidden {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr_with_hz(8)
    };
    let bar = ProgressBar::with_draw_target(None, target);
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {human_pos}/{human_len} {eta}");
    bar.set_style(style.expect("the template is well formed"));
    bar
}

fn show(bar: &ProgressBar, at: Progress) {
    match at {
        Progress::Reading(done, total) => {
            bar.set_message("读取 reading");
            bar.set_length(total);
            bar.set_position(done);
        }
        Progress::Indexing => bar.set_message("索引 indexing"),
        Progress::Walking(done, total) => {
            bar.set_message("叠加 overlaying");
            bar.set_length(total);
            bar.set_position(done);
        }
    }
}
