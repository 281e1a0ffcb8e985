//! `onemap overlay`: areas of all combinations of two layers or more, and their pieces.

mod pieces;
mod table;
mod vector_file;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use super::import::Bounds;
use super::{Failure, Globals, Outcome, progress};
use crate::analysis::{self, AreaMode, Clip, Condition, Grouping, Progress, Request, Selection};
use crate::crs::Crs;
use crate::geom::{Geometry, GeometryType};
use crate::model::{IssueLog, LayerName};
use crate::query::Budget;
use crate::source::{self, SourceSpec};
use crate::store::{Snapshot, Store};

/// Layers laid over each other: area tables, or pieces with geometry (叠加分析)
#[derive(Debug, Args)]
#[command(after_help = "\
Examples (示例):
  onemap overlay map --left dltb --right yjjbnt --by dltb.DLBM
      area of every land class inside and outside the farmland
  onemap overlay map --left dltb --right czkfbj --right sthx --by dltb.DLBM,czkfbj.GZQ --unit mu --out t.csv
      three layers in one pass
  onemap overlay map --left xm --right dltb --by feature --op intersection --json
      by pair of features
  onemap overlay map --left dltb --right yjjbnt --op intersection --out pieces.gpkg
      the pieces themselves, with the attributes of both; --into NAME for a new layer
  onemap overlay map --left dltb --op dissolve --by dltb.DLBM --into dl --where dltb.QSXZ=20

Every combination is a row, what a layer does not cover is (outside); rows of one value add up to
its area. Where a layer overlaps itself each of its polygons counts in full, and what is counted
more than once is a row (overlap), to be taken from the sum.
每种组合一行,图层未覆盖处为 (outside);同一值各行之和等于其面积。图层自身重叠处单列 (overlap),求和时应扣除。")]
pub struct OverlayArgs {
    /// Directory of the workspace (工作空间目录)
    pub workspace: PathBuf,
    /// The first layer (左图层)
    #[arg(long, value_name = "LAYER")]
    pub left: String,
    /// The other layer; again for more (右图层,可重复)
    #[arg(long, value_name = "LAYER")]
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
    /// Only features whose field compares so: LAYER.FIELD=a,b or !=, <, <=, >, >=; again for more (属性条件)
    #[arg(long = "where", value_name = "LAYER.FIELD=VALUE")]
    pub conditions: Vec<String>,
    /// Only what lies in this box, degrees of CGCS2000 (范围)
    #[arg(long, value_name = "W,S,E,N", allow_hyphen_values = true)]
    pub bbox: Option<Bounds>,
    /// Only what lies in the polygons of this file (裁剪范围文件)
    #[arg(long, value_name = "FILE")]
    pub clip: Option<PathBuf>,
    /// Adjust the areas of each left value so that they add up to its own area, or to the number
    /// in this field of the left layer, in steps of 0.01 m² (面积平差)
    #[arg(long, value_name = "FIELD", num_args = 0..=1, default_missing_value = "")]
    pub adjust: Option<String>,
    /// Write here: .csv, .json, .xlsx for a table, .fgb, .gpkg, .geojson for pieces (输出文件)
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Make the pieces a layer of this workspace (输出为新图层)
    #[arg(long, value_name = "LAYER")]
    pub into: Option<String>,
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
    /// The left layer as far as another covers it, undivided; shapes only (裁剪)
    Clip,
    /// The left layer alone, one shape per value of --by; shapes only (融合)
    Dissolve,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Area {
    /// On the ellipsoid, exactly additive when polygons are divided (椭球面积)
    Additive,
    /// In the common projected plane of the layers (平面面积)
    Planar,
    /// The rule of 国土调查办发〔2008〕32号, each piece rounded to 0.01 m² (图斑椭球面积)
    Official,
    /// Edges as geodesics (测地面积)
    Geodesic,
}

impl Area {
    fn mode(self) -> AreaMode {
        match self {
            Area::Additive => AreaMode::Additive,
            Area::Planar => AreaMode::Planar,
            Area::Official => AreaMode::Official,
            Area::Geodesic => AreaMode::Geodesic,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Area::Additive => "additive",
            Area::Planar => "planar",
            Area::Official => "official",
            Area::Geodesic => "geodesic",
        }
    }
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

    fn title(self) -> &'static str {
        match self {
            Unit::M2 => "平方米",
            Unit::Ha => "公顷",
            Unit::Mu => "亩",
            Unit::Km2 => "平方千米",
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
    fn word(self) -> &'static str {
        match self {
            Operation::Intersection => "相交",
            Operation::Identity => "标识",
            Operation::Difference => "相减",
            Operation::Symdiff => "对称差",
            Operation::Union => "联合",
            Operation::Clip => "裁剪",
            Operation::Dissolve => "融合",
        }
    }

    fn meaning(self) -> analysis::Operation {
        match self {
            Operation::Intersection => analysis::Operation::Intersection,
            Operation::Identity => analysis::Operation::Identity,
            Operation::Difference => analysis::Operation::Difference,
            Operation::Symdiff => analysis::Operation::SymmetricDifference,
            Operation::Union => analysis::Operation::Union,
            Operation::Clip => analysis::Operation::Clip,
            // Takes one layer, of which everything is inside.
            Operation::Dissolve => analysis::Operation::Identity,
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
    let target = Target::of(args, globals)?;
    let store = Store::open(&args.workspace)?;
    let mut snapshots: Vec<Arc<Snapshot>> = Vec::new();
    for name in std::iter::once(&args.left).chain(&args.right) {
        let found = store.snapshot(name)?;
        snapshots.push(found.ok_or_else(|| Failure::NoSuchLayer { name: name.clone() })?);
    }
    if args.right.is_empty() && args.op != Operation::Dissolve {
        return Err(Failure::Usage {
            message: "--right is missing: which layer to overlay with? (缺少 --right)".into(),
        });
    }
    let groupings = groupings(&args.by, &snapshots)?;
    let selections: Vec<Selection<'_>> = snapshots
        .iter()
        .zip(groupings)
        .map(|(snapshot, grouping)| Selection { snapshot, grouping })
        .collect();
    let request = Request {
        selections: &selections,
        conditions: conditions(&args.conditions, &snapshots)?,
        clip: clip(args)?,
        operation: args.op.meaning(),
        mode: args.area.mode(),
    };
    let budget = Budget::unlimited();
    super::interrupt::cancel_on_interrupt(&budget);
    let bar = bar(globals);
    let started = Instant::now();
    let layers = match target {
        Target::Table(format) => table::write(&request, args, format, &budget, &bar)?,
        Target::File(_, _) | Target::Layer(_) => {
            pieces::write(&request, args, &target, &store, &budget, &bar)?
        }
    };
    let edges: u64 = layers.iter().map(|layer| layer.edges).sum();
    tracing::info!(
        edges,
        seconds = format!("{:.3}", started.elapsed().as_secs_f64()),
        "overlaid (叠加完成)"
    );
    Ok(Outcome::Done)
}

/// What is written, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Table(table::Format),
    /// Pieces with geometry.
    File(PathBuf, vector_file::Format),
    Layer(LayerName),
}

impl Target {
    fn of(args: &OverlayArgs, globals: &Globals) -> Result<Target, Failure> {
        let usage = |message: String| Err(Failure::Usage { message });
        let target = match (&args.into, &args.out) {
            (Some(_), Some(_)) => {
                return usage("give --out or --into, not both (--out 与 --into 只能给一个)".into());
            }
            (Some(name), None) => {
                Target::Layer(LayerName::new(name).map_err(|error| Failure::Usage {
                    message: format!("--into {name}: {error}"),
                })?)
            }
            (None, None) if globals.json => Target::Table(table::Format::Json),
            (None, None) => Target::Table(table::Format::Csv),
            (None, Some(path)) => {
                let ending = path.extension().and_then(|ending| ending.to_str());
                match ending.map(str::to_ascii_lowercase).as_deref() {
                    Some("csv") => Target::Table(table::Format::Csv),
                    Some("json") => Target::Table(table::Format::Json),
                    Some("xlsx") => Target::Table(table::Format::Xlsx),
                    Some("fgb") => Target::File(path.clone(), vector_file::Format::FlatGeobuf),
                    Some("gpkg") => Target::File(path.clone(), vector_file::Format::GeoPackage),
                    Some("geojson") => Target::File(path.clone(), vector_file::Format::GeoJson),
                    _ => {
                        return usage(format!(
                            "--out ends in {:?}; .csv and .json, .xlsx for tables and .fgb, .gpkg, .geojson for pieces can be written (输出格式不支持)",
                            ending.unwrap_or("")
                        ));
                    }
                }
            }
        };
        let drawn = !matches!(target, Target::Table(_));
        match args.op {
            Operation::Dissolve | Operation::Clip if !drawn => usage(
                "dissolve and clip make shapes: give --out FILE.fgb, .gpkg or .geojson, or --into LAYER (该运算需输出图形)".into(),
            ),
            Operation::Dissolve if !args.right.is_empty() => {
                usage("dissolve takes --left alone (融合只需左图层)".into())
            }
            _ => Ok(target),
        }
    }
}

/// The layer an entry `LAYER.rest` speaks of, and the rest.
fn addressed<'a>(entry: &'a str, snapshots: &[Arc<Snapshot>]) -> Vec<(usize, &'a str)> {
    snapshots
        .iter()
        .enumerate()
        .filter_map(|(number, snapshot)| {
            let rest = entry.strip_prefix(snapshot.name())?.strip_prefix('.')?;
            Some((number, rest))
        })
        .collect()
}

fn conditions(
    given: &[String],
    snapshots: &[Arc<Snapshot>],
) -> Result<Vec<Vec<Condition>>, Failure> {
    let mut conditions = vec![Vec::new(); snapshots.len()];
    for entry in given {
        let layers = addressed(entry, snapshots);
        if layers.is_empty() {
            return Err(Failure::Usage {
                message: format!(
                    "--where {entry}: expected LAYER.FIELD=value of a layer named by --left or --right (条件有误)"
                ),
            });
        }
        for (layer, text) in layers {
            let condition = text.parse().map_err(|message: String| Failure::Usage {
                message: format!("--where {message}"),
            })?;
            conditions[layer].push(condition);
        }
    }
    Ok(conditions)
}

fn clip(args: &OverlayArgs) -> Result<Option<Clip>, Failure> {
    match (&args.bbox, &args.clip) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Failure::Usage {
            message: "give --bbox or --clip, not both (--bbox 与 --clip 只能给一个)".into(),
        }),
        (Some(Bounds([west, south, east, north])), None) => {
            let ring = [
                [*west, *south],
                [*east, *south],
                [*east, *north],
                [*west, *north],
                [*west, *south],
            ];
            Ok(Some(Clip {
                polygons: Geometry::polygon(&[&ring]),
                crs: Crs::from_user("EPSG:4490")?,
            }))
        }
        (None, Some(path)) => clip_of_file(path).map(Some),
    }
}

/// All polygons of a file as one clip area.
pub(super) fn clip_of_file(path: &Path) -> Result<Clip, Failure> {
    let spec = SourceSpec::new(path.to_string_lossy());
    let (mut features, mut issues) = (Vec::new(), IssueLog::default());
    let mut layer = source::open(&spec)?.into_layer(&mut issues)?;
    let mut polygons = Geometry::new(GeometryType::MultiPolygon);
    loop {
        let more = layer.read_batch(512, 1 << 16, &mut features, &mut issues)?;
        for geometry in features.drain(..).filter_map(|feature| feature.geometry) {
            if geometry.kind.dimension() != 2 {
                continue;
            }
            for polygon in geometry.polygons() {
                for ring in polygon {
                    let points = geometry.ring(ring).chunks_exact(2);
                    polygons.push_ring(points.map(|p| [p[0], p[1]]));
                }
                polygons.close_part();
            }
        }
        if !more {
            break;
        }
    }
    // Polygons that lie on each other become one.
    let polygons = match source::is_valid(&polygons) {
        true => Some(polygons),
        false => source::make_valid(&polygons),
    };
    let Some(polygons) = polygons.filter(|polygons| !polygons.is_empty()) else {
        return Err(Failure::Usage {
            message: format!("{}: no polygons to clip with (没有面要素)", path.display()),
        });
    };
    Ok(Clip {
        polygons,
        crs: layer.crs().clone(),
    })
}

fn groupings(by: &[String], snapshots: &[Arc<Snapshot>]) -> Result<Vec<Grouping>, Failure> {
    if by == ["feature"] {
        return Ok(vec![Grouping::Feature; snapshots.len()]);
    }
    let mut groupings = vec![Grouping::Layer; snapshots.len()];
    for entry in by {
        let layers = addressed(entry, snapshots);
        for &(layer, field) in &layers {
            groupings[layer] = match field {
                "@id" => Grouping::Feature,
                field => Grouping::Field(field.to_string()),
            };
        }
        if layers.is_empty() {
            return Err(Failure::Usage {
                message: format!(
                    "--by {entry}: expected LAYER.FIELD of a layer named by --left or --right, or `feature` alone (分组字段有误)"
                ),
            });
        }
    }
    Ok(groupings)
}

fn bar(globals: &Globals) -> ProgressBar {
    progress::bar(globals, "{msg} [{bar:30}] {human_pos}/{human_len} {eta}")
}

fn show(bar: &ProgressBar, at: Progress) {
    match at {
        Progress::Choosing => bar.set_message("读取 reading"),
        Progress::Overlaying(done, total) => {
            bar.set_message("叠加 overlaying");
            bar.set_length(total);
            bar.set_position(done);
        }
    }
}
