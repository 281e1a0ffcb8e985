//! `onemap report`: what boundaries lie on, in numbers, words and a page to print.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use rayon::prelude::*;

use super::{Failure, Globals, Outcome};
use crate::analysis::Group;
use crate::analysis::report::pieces::Detail;
use crate::analysis::report::rules::{RuleSet, Verdict};
use crate::analysis::report::{Boundary, Limits, Report, ReportLayer, Reporter};
use crate::crs::Crs;
use crate::model::{Feature, IssueLog, Schema, Value};
use crate::protocol::processes::boundary::{BoundaryLimits, read_text};
use crate::protocol::processes::page::{Sheet, page};
use crate::protocol::processes::report::{DocumentWriter, Sealed, sealed};
use crate::query::Budget;
use crate::source::{self, SourceSpec};
use crate::store::Store;

/// Texts from the command line and standard input; files may be larger.
const TEXT_LIMITS: BoundaryLimits = BoundaryLimits {
    boundaries: 1_000_000,
    vertices: 50_000_000,
};
const MAX_TEXT_BYTES: u64 = 1 << 30;
/// Sheets of one page; more are no page but a book.
const MAX_SHEETS: usize = 500;
/// Reports made between two looks at the output.
const CHUNK: usize = 512;

/// What a boundary lies on: areas by class, verdicts by rules (地块分析报告)
#[derive(Debug, Args)]
#[command(after_help = "\
Examples (示例):
  onemap report map site.shp --layer dltb:DLBM --layer yjjbnt --html report.html
      areas by land class and farmland, verdicts, a page to print
  onemap report map 'POLYGON((104 30, 104.01 30, 104.01 30.01, 104 30))' --json
      all layers of polygons, the default rules
  curl -s https://example.org/site.geojson | onemap report map - --layer dltb
      GeoJSON or WKT from standard input

Areas of a layer's rows add up to the boundary's. The exit code is 1 when a rule says fail.
各图层的面积行合计等于地块面积;有“不通过”结论时退出码为 1。")]
pub struct ReportArgs {
    /// Directory of the workspace (工作空间目录)
    pub workspace: PathBuf,
    /// A vector file, WKT, GeoJSON, or - for standard input (范围:矢量文件、WKT、GeoJSON 或 -)
    #[arg(allow_hyphen_values = true)]
    pub boundary: String,
    /// A layer, grouped by a field; again for more; all of polygons when not given (图层[:字段],可重复)
    #[arg(long, value_name = "NAME[:FIELD]")]
    pub layer: Vec<String>,
    /// Rules; those of the workspace (styles/rules.json) or the built-in ones when not given (规则文件)
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Reference system of the boundary when it does not say (范围的坐标系)
    #[arg(long, value_name = "EPSG:N")]
    pub crs: Option<String>,
    /// Layer within the boundary's file, when there are several (范围文件中的图层)
    #[arg(long, value_name = "LAYER")]
    pub source_layer: Option<String>,
    /// Official area of every piece as well (各部分的法定椭球面积, 国土调查办发〔2008〕32号)
    #[arg(long)]
    pub official: bool,
    /// Write a page in Chinese with map and tables (打印页面)
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

pub fn run(args: &ReportArgs, globals: &Globals) -> Result<Outcome, Failure> {
    if let Some(threads) = globals.threads {
        // The pool may exist already when the program is used as a library; then it stays.
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(usize::from(threads))
            .build_global();
    }
    let store = Store::open(&args.workspace)?;
    let layers = layers(&store, &args.layer)?;
    let rules = match &args.rules {
        Some(path) => {
            let bytes = std::fs::read(path).map_err(|source| Failure::File {
                path: path.clone(),
                source,
            })?;
            RuleSet::parse(&bytes)
        }
        None => RuleSet::of_workspace(&args.workspace),
    };
    let rules = rules.map_err(|source| Failure::Rules {
        path: args.rules.clone().unwrap_or_else(|| args.workspace.clone()),
        source,
    })?;
    let boundaries = boundaries(args)?;
    if args.html.is_some() && boundaries.len() > MAX_SHEETS {
        return Err(Failure::Usage {
            message: format!(
                "{} boundaries, a page takes {MAX_SHEETS}; use --json (页面最多 {MAX_SHEETS} 个地块)",
                boundaries.len()
            ),
        });
    }
    let rules = Arc::new(rules);
    let reporter = Reporter::new(layers, rules, Limits::NONE)?;
    let started = Instant::now();
    let budget = Budget::unlimited();
    let out = std::io::BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    let mut answer = if globals.json {
        Answer::Document(DocumentWriter::new(out)?)
    } else if args.html.is_none() || !globals.quiet {
        Answer::Words(out)
    } else {
        Answer::Nothing
    };
    let mut kept: Vec<(Report, Sealed)> = Vec::new();
    let mut failed = false;
    let detail = Detail {
        official: args.official,
        shapes: false,
    };
    // Written as they come: many reports are larger than the memory.
    for some in boundaries.chunks(CHUNK) {
        let reports: Vec<(Report, Sealed)> = some
            .par_iter()
            .map(|boundary| -> Result<_, Failure> {
                let (report, _) = reporter.detailed(boundary, detail, &budget)?;
                let sealed = sealed(&report).map_err(std::io::Error::from)?;
                Ok((report, sealed))
            })
            .collect::<Result<_, _>>()?;
        failed |= reports
            .iter()
            .any(|(report, _)| report.verdict == Some(Verdict::Fail));
        for (report, sealed) in &reports {
            match &mut answer {
                Answer::Document(document) => document.push(sealed)?,
                Answer::Words(out) => out.write_all(words_of(report).as_bytes())?,
                Answer::Nothing => {}
            }
        }
        if args.html.is_some() {
            kept.extend(reports);
        }
    }
    match answer {
        Answer::Document(document) => document.finish(None, None)?.flush()?,
        Answer::Words(mut out) => out.flush()?,
        Answer::Nothing => {}
    }
    tracing::info!(
        boundaries = boundaries.len(),
        seconds = format!("{:.3}", started.elapsed().as_secs_f64()),
        "reported (分析完成)"
    );
    if let Some(path) = &args.html {
        let html = html(&reporter, &boundaries, &kept)?;
        std::fs::write(path, html).map_err(|source| Failure::File {
            path: path.clone(),
            source,
        })?;
    }
    Ok(if failed {
        Outcome::Findings
    } else {
        Outcome::Done
    })
}

/// What goes to the standard output.
enum Answer<W: Write> {
    Document(DocumentWriter<W>),
    Words(W),
    Nothing,
}

fn layers(store: &Store, named: &[String]) -> Result<Vec<ReportLayer>, Failure> {
    if named.is_empty() {
        let mut layers = Vec::new();
        for snapshot in store.snapshots()? {
            let polygons = snapshot.vector().is_some_and(|(_, info)| {
                info.geometry_type.is_none_or(|kind| kind.dimension() == 2)
            });
            if polygons {
                layers.push(ReportLayer {
                    snapshot,
                    field: None,
                });
            }
        }
        return Ok(layers);
    }
    named
        .iter()
        .map(|entry| {
            let (name, field) = match entry.split_once(':') {
                Some((name, field)) => (name, Some(field.to_string())),
                None => (entry.as_str(), None),
            };
            let snapshot = store.snapshot(name)?;
            let snapshot = snapshot.ok_or_else(|| Failure::NoSuchLayer {
                name: name.to_string(),
            })?;
            Ok(ReportLayer { snapshot, field })
        })
        .collect()
}

fn boundaries(args: &ReportArgs) -> Result<Vec<Boundary>, Failure> {
    let given = args.boundary.trim();
    let crs = match &args.crs {
        Some(text) => Some(Crs::from_user(text)?),
        None => None,
    };
    let text = if given == "-" {
        let mut text = String::new();
        let read = std::io::stdin().take(MAX_TEXT_BYTES + 1);
        { read }
            .read_to_string(&mut text)
            .map_err(|source| Failure::File {
                path: PathBuf::from("-"),
                source,
            })?;
        if text.len() as u64 > MAX_TEXT_BYTES {
            return Err(Failure::Usage {
                message: format!("standard input has more than {MAX_TEXT_BYTES} bytes (输入过大)"),
            });
        }
        Some(text)
    } else if looks_like_text(given) {
        Some(given.to_string())
    } else if Path::new(given)
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("wkt"))
    {
        let read = std::fs::read_to_string(given);
        Some(read.map_err(|source| Failure::File {
            path: PathBuf::from(given),
            source,
        })?)
    } else {
        None
    };
    let Some(text) = text else {
        return of_file(given, crs, args.source_layer.as_deref());
    };
    let crs = match crs {
        Some(crs) => crs,
        None => Crs::from_user("EPSG:4490")?,
    };
    Ok(read_text(&text, &crs, TEXT_LIMITS)?)
}

fn looks_like_text(given: &str) -> bool {
    let start: String = given.chars().take(12).collect::<String>().to_uppercase();
    given.starts_with('{')
        || ["POLYGON", "MULTIPOLYGON", "SRID="]
            .iter()
            .any(|word| start.starts_with(word) && given.contains('('))
}

fn of_file(
    location: &str,
    crs: Option<Crs>,
    layer: Option<&str>,
) -> Result<Vec<Boundary>, Failure> {
    let spec = SourceSpec {
        layer: layer.map(str::to_string),
        crs,
        ..SourceSpec::new(location)
    };
    let mut issues = IssueLog::default();
    let mut layer = source::open(&spec)?.into_layer(&mut issues)?;
    let (crs, schema) = (layer.crs().clone(), layer.schema().clone());
    let mut features: Vec<Feature> = Vec::new();
    while layer.read_batch(1024, 1 << 20, &mut features, &mut issues)? {}
    let boundaries: Vec<Boundary> = features
        .into_iter()
        .filter_map(|feature| {
            let name = name_of(&feature, &schema);
            feature.geometry.map(|geometry| Boundary {
                name,
                crs: crs.clone(),
                geometry,
            })
        })
        .collect();
    if boundaries.is_empty() {
        return Err(Failure::Usage {
            message: format!("{location}: there is no feature with a shape in it (没有要素)"),
        });
    }
    Ok(boundaries)
}

/// What a feature calls itself: the first of the usual fields, else its number.
fn name_of(feature: &Feature, schema: &Schema) -> String {
    ["XMMC", "DKMC", "DKBH", "NAME", "name", "BSM"]
        .into_iter()
        .filter_map(|field| schema.index_of(field))
        .find_map(|column| match &feature.values[column] {
            Value::Text(text) if !text.trim().is_empty() => Some(text.clone()),
            Value::Integer(number) => Some(number.to_string()),
            _ => None,
        })
        .unwrap_or_else(|| feature.source_id.to_string())
}

fn html(
    reporter: &Reporter,
    boundaries: &[Boundary],
    reports: &[(Report, Sealed)],
) -> Result<String, Failure> {
    let budget = Budget::unlimited();
    let mut drawings = Vec::with_capacity(reports.len());
    for (boundary, (report, _)) in boundaries.iter().zip(reports) {
        drawings.push(reporter.drawing(boundary, report, &budget)?);
    }
    let sheets: Vec<Sheet<'_>> = reports
        .iter()
        .zip(&drawings)
        .map(|((report, sealed), drawing)| Sheet {
            report,
            hash: &sealed.hash,
            drawing,
        })
        .collect();
    Ok(page("地块分析报告", &sheets))
}

fn words_of(report: &Report) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let boundary = &report.boundary;
    let m2 = boundary.area_m2;
    let _ = writeln!(
        out,
        "{}: {m2:.4} m² = {:.4} ha (公顷) = {:.4} mu (亩)",
        boundary.name,
        m2 / 1e4,
        m2 * 3.0 / 2000.0
    );
    for layer in &report.layers {
        let _ = writeln!(
            out,
            "  {} ({}, {}) features (图斑): {}",
            layer.title, layer.layer, layer.generation, layer.touched
        );
        for row in &layer.rows {
            let value = match &row.value {
                Group::Null => "(null)",
                Group::Value(value) => value,
                Group::Outside => "(outside)",
            };
            let _ = writeln!(
                out,
                "    {value:<12} {} {:>18.4} m² {:>9.4}% {:>7}",
                row.label.as_deref().unwrap_or(""),
                row.area_m2,
                row.share * 100.0,
                row.features
            );
        }
        for check in &layer.checks {
            let word = match check.verdict {
                Verdict::Pass => "pass 通过",
                Verdict::Warn => "WARN 提示",
                Verdict::Fail => "FAIL 不通过",
            };
            let _ = writeln!(out, "    [{word}] {} / {}", check.text.zh, check.text.en);
        }
    }
    out
}
