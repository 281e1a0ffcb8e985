//! `onemap import`: foreign files become layers.

use std::path::{Path, PathBuf};

use clap::Args;
use std::fs::File;
use std::io::BufWriter;

use serde_json::json;

use super::progress::Progress;
use super::{Failure, Globals, Outcome, say};
use crate::crs::Crs;
use crate::http::remote;
use crate::ingest::archive::{ArchiveOptions, container_of, import_archive, register_remote};
use crate::ingest::raster::{ImageOptions, import_image};
use crate::ingest::{self, Input, Options};
use crate::model::{
    Aggregate, ImportCounts, IssueGroup, IssueLog, LayerGeometry, LayerKind, LayerName, Severity,
    TileContainer,
};
use crate::source::raster::{RasterOptions, RasterSource};
use crate::source::{self, SourceKind, SourceSpec, TextEncoding};
use crate::store::{Snapshot, Store};

/// Import layers into a workspace (导入图层)
///
/// Any vector or image format GDAL reads: Shapefile, GeoPackage, GeoJSON, FlatGeobuf, File
/// Geodatabase, GML, KML, CSV with WKT or x/y columns, GeoTIFF, …, zipped as well, and PostGIS as
/// "PG:host=… dbname=…". A layer that exists gets a new generation; a running server shows it at
/// once. Archives of tiles (PMTiles, MBTiles) become layers as they are, PMTiles also from
/// https:// and s3://. 坐标系、编码自动识别;出错时原有数据保持不变;瓦片归档可直接作为图层。
#[derive(Debug, Args)]
#[command(after_help = "\
Examples (示例):
  onemap import map dltb=DLTB.shp --kind landuse
  onemap import map ckq=mines.gdb --source-layer CKQ --kind mineral --id-field XKZH
  onemap import map parcels=parcels.zip --crs EPSG:4527 --encoding gb18030 --report issues.json
  onemap import map wells=wells.gpkg --aggregate YIELD=sum --aggregate DEPTH=max
  onemap import map dom2024=dom.tif
  onemap import map landsat=L7.tif --bands 4,3,2
  onemap import map base=base.pmtiles              an archive of tiles; MBTiles as well
  onemap import map base=s3://bucket/base.pmtiles  stays there (keys: AWS_ACCESS_KEY_ID, AWS_ENDPOINT, …)
  onemap import map \"roads=PG:host=localhost dbname=gis\" --source-layer public.roads")]
pub struct ImportArgs {
    /// Directory of the workspace; made when it does not exist
    pub workspace: PathBuf,
    /// Layer name and where its data is; an archive of tiles may go without a name
    #[arg(required = true, value_name = "NAME=SOURCE")]
    pub layers: Vec<String>,
    /// Layer within the source, when it has several
    #[arg(long, value_name = "LAYER")]
    pub source_layer: Option<String>,
    /// What the layer is on the one map: landuse, planning, mineral, admin, imagery or other
    #[arg(long)]
    pub kind: Option<LayerKind>,
    /// Title shown to people; the name when not given
    #[arg(long)]
    pub title: Option<String>,
    /// Where the data comes from and under which licence, shown on every map
    #[arg(long)]
    pub attribution: Option<String>,
    /// Reference system, instead of the declared one (EPSG:4527, WKT or PROJ text)
    #[arg(long, value_name = "CRS")]
    pub crs: Option<String>,
    /// Encoding of attribute texts
    #[arg(long, default_value = "auto", value_name = "auto|utf-8|gb18030|…")]
    pub encoding: TextEncoding,
    /// Field whose value identifies a feature; without it ids follow from the content
    #[arg(long, value_name = "FIELD")]
    pub id_field: Option<String>,
    /// What a feature that stands for several at low zooms says of their values: count, sum, min or
    /// max of a field, several times if need be (低级别综合要素的统计值)
    #[arg(long = "aggregate", value_name = "FIELD=FUNCTION")]
    pub aggregates: Vec<Aggregate>,
    /// Bounds of an image without georeference, in its reference system
    #[arg(long, value_name = "W,S,E,N", allow_hyphen_values = true)]
    pub bounds: Option<Bounds>,
    /// Band of an image to show as grey, or bands to show as red, green and blue
    #[arg(long, value_name = "R,G,B")]
    pub bands: Option<Bands>,
    /// What a tile of a generalised layer should stay below, kilobytes before compression
    /// [default: 500] (瓦片大小上限)
    #[arg(long, value_name = "KB", value_parser = clap::value_parser!(u32).range(20..=20_000))]
    pub tile_kb: Option<u32>,
    /// Write every finding, with its place, to this file
    #[arg(long, value_name = "FILE.json")]
    pub report: Option<PathBuf>,
}

/// West, south, east, north on the command line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds(pub [f64; 4]);

impl std::str::FromStr for Bounds {
    type Err = String;

    fn from_str(text: &str) -> Result<Bounds, String> {
        let numbers: Vec<f64> = text
            .split(',')
            .map(|part| {
                part.trim()
                    .parse::<f64>()
                    .map_err(|e| format!("{part:?}: {e}"))
            })
            .collect::<Result<_, _>>()?;
        match <[f64; 4]>::try_from(numbers) {
            Ok([w, s, e, n]) if w < e && s < n => Ok(Bounds([w, s, e, n])),
            _ => Err("expected W,S,E,N with W < E and S < N".into()),
        }
    }
}

/// Numbers of bands on the command line, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bands(pub Vec<u32>);

impl std::str::FromStr for Bands {
    type Err = String;

    fn from_str(text: &str) -> Result<Bands, String> {
        let band = |part: &str| part.trim().parse::<u32>();
        match text.split(',').map(band).collect::<Result<Vec<u32>, _>>() {
            Ok(bands) if matches!(bands.len(), 1 | 3) => Ok(Bands(bands)),
            Ok(_) | Err(_) => Err("expected one band or three, as in 4,3,2".into()),
        }
    }
}

impl ImportArgs {
    /// Nothing to import yet, everything as the sources declare it.
    pub fn new(workspace: &Path) -> ImportArgs {
        ImportArgs {
            workspace: workspace.to_path_buf(),
            layers: Vec::new(),
            source_layer: None,
            kind: None,
            title: None,
            attribution: None,
            crs: None,
            encoding: TextEncoding::Auto,
            id_field: None,
            aggregates: Vec::new(),
            bounds: None,
            bands: None,
            tile_kb: None,
            report: None,
        }
    }
}

/// What became of one layer.
struct Imported {
    name: LayerName,
    snapshot: std::sync::Arc<Snapshot>,
    counts: ImportCounts,
    issues: IssueLog,
    seconds: f64,
    /// The part of it that the pyramid or the levels took.
    pyramid_seconds: f64,
}

/// Imports every `NAME=SOURCE`; the first failure ends it, what was imported before stays.
pub fn run(args: &ImportArgs, globals: &Globals) -> Result<Outcome, Failure> {
    let requests = requests(args)?;
    let store = Store::open_or_create(&args.workspace)?;
    let mut all = Vec::new();
    for (name, location) in &requests {
        let imported = one(args, globals, &store, name, location)?;
        if !globals.json && !globals.quiet {
            say(&summary(&imported))?;
        }
        all.push(imported);
    }
    if let Some(path) = &args.report {
        write_report(path, &all)?;
    }
    if globals.json {
        let layers: Vec<_> = all
            .iter()
            .map(|imported| as_json(imported, false))
            .collect();
        let all = json!({ "workspace": args.workspace, "layers": layers });
        say(&format!("{all}\n"))?;
    }
    let rejected = all
        .iter()
        .any(|i| i.issues.count_of_severity(Severity::Rejected) > 0);
    Ok(if rejected {
        Outcome::Findings
    } else {
        Outcome::Done
    })
}

fn requests(args: &ImportArgs) -> Result<Vec<(LayerName, String)>, Failure> {
    args.layers
        .iter()
        .map(|text| {
            let stem = |source| {
                container_of(source)?;
                Path::new(source).file_stem()?.to_str()
            };
            let named = text.split_once('=');
            let named = named.or_else(|| Some((stem(text)?, text.as_str())));
            let (name, source) = named.ok_or_else(|| Failure::Usage {
                message: format!(
                    "{text:?}: expected NAME=SOURCE, for example dltb=DLTB.shp (应为 图层名=数据源)"
                ),
            })?;
            let name = LayerName::new(name).map_err(|e| Failure::Usage {
                message: e.to_string(),
            })?;
            Ok((name, source.to_string()))
        })
        .collect()
}

fn one(
    args: &ImportArgs,
    globals: &Globals,
    store: &Store,
    name: &LayerName,
    location: &str,
) -> Result<Imported, Failure> {
    let started = std::time::Instant::now();
    let is_remote = location.contains("://");
    let (snapshot, counts, issues, pyramid_seconds) = match container_of(location) {
        Some(container) if is_remote || Path::new(location).is_file() => {
            archive(args, store, name, location, container)?
        }
        Some(_) | None => match source::sniff(location)? {
            SourceKind::Vector => vector(args, globals, store, name, location)?,
            SourceKind::Raster => image(args, store, name, location)?,
        },
    };
    Ok(Imported {
        name: name.clone(),
        snapshot,
        counts,
        issues,
        seconds: started.elapsed().as_secs_f64(),
        pyramid_seconds,
    })
}

/// Snapshot, counts, issues, and seconds spent on the pyramid.
type LayerResult = (std::sync::Arc<Snapshot>, ImportCounts, IssueLog, f64);

fn vector(
    args: &ImportArgs,
    globals: &Globals,
    store: &Store,
    name: &LayerName,
    location: &str,
) -> Result<LayerResult, Failure> {
    let spec = SourceSpec {
        layer: args.source_layer.clone(),
        crs: args.crs.as_deref().map(Crs::from_user).transpose()?,
        encoding: args.encoding,
        ..SourceSpec::new(location)
    };
    let mut issues = IssueLog::default();
    let layer = source::open(&spec)?.into_layer(&mut issues)?;
    let mut options = Options {
        title: args.title.clone().unwrap_or_else(|| name.to_string()),
        attribution: args.attribution.clone(),
        id_field: args.id_field.clone(),
        aggregates: args.aggregates.clone(),
        ..Options::new(name.clone(), args.kind.unwrap_or(LayerKind::Other))
    };
    if let Some(kb) = args.tile_kb {
        options.tile_bytes = u64::from(kb) * 1000;
    }
    let checksum = source_checksum(location)?;
    let input = Input {
        found: issues,
        ..Input::from_source(layer, checksum)
    };
    let progress = Progress::start(globals, name.as_str(), input.expected);
    let outcome = ingest::import(store, &options, input, &|at| progress.show(at));
    progress.end();
    let outcome = outcome?;
    let pyramid_seconds = outcome.generalising.as_secs_f64();
    Ok((
        outcome.snapshot,
        outcome.counts,
        outcome.issues,
        pyramid_seconds,
    ))
}

fn image(
    args: &ImportArgs,
    store: &Store,
    name: &LayerName,
    location: &str,
) -> Result<LayerResult, Failure> {
    let options = RasterOptions {
        crs: args.crs.as_deref().map(Crs::from_user).transpose()?,
        bounds: args.bounds.map(|bounds| bounds.0),
        bands: args.bands.as_ref().map(|bands| bands.0.clone()),
    };
    let source = RasterSource::open(Path::new(location), &options)?;
    let options = ImageOptions {
        kind: args.kind.unwrap_or(LayerKind::Imagery),
        title: args.title.clone().unwrap_or_else(|| name.to_string()),
        attribution: args.attribution.clone(),
        crs_is_given: args.crs.is_some(),
        ..ImageOptions::new(name.clone())
    };
    let snapshot = import_image(store, &options, &source)?;
    let counts = snapshot.manifest.counts;
    Ok((snapshot, counts, IssueLog::default(), 0.0))
}

fn archive(
    args: &ImportArgs,
    store: &Store,
    name: &LayerName,
    location: &str,
    container: TileContainer,
) -> Result<LayerResult, Failure> {
    let options = ArchiveOptions {
        name: name.clone(),
        kind: args.kind,
        title: args.title.clone().unwrap_or_else(|| name.to_string()),
        attribution: args.attribution.clone(),
    };
    let snapshot = if location.contains("://") {
        let front = remote::describe(location, &crate::config::s3_settings())?;
        register_remote(store, &options, &front)?
    } else {
        import_archive(store, &options, Path::new(location), container)?
    };
    let counts = snapshot.manifest.counts;
    Ok((snapshot, counts, IssueLog::default(), 0.0))
}

/// Of a source that is one file; a directory or a connection has none.
fn source_checksum(location: &str) -> Result<Option<String>, Failure> {
    let path = Path::new(location);
    if !path.is_file() {
        return Ok(None);
    }
    crate::store::checksum(path)
        .map(|(_, sum)| Some(sum))
        .map_err(|source| Failure::File {
            path: path.to_path_buf(),
            source,
        })
}

fn summary(imported: &Imported) -> String {
    use std::fmt::Write;
    let manifest = &imported.snapshot.manifest;
    let counts = &imported.counts;
    let mut out = String::new();
    let mut line = |text: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{text}");
    };
    match &manifest.content {
        LayerGeometry::Vector(info) => line(format!(
            "{}: {} features, {} vertices in {:.1} s, low zooms {:.1} s of it ({}, {}, generation {})",
            imported.name,
            counts.stored,
            info.vertices,
            imported.seconds,
            imported.pyramid_seconds,
            manifest.crs.label(),
            manifest.source.encoding.as_deref().unwrap_or("no texts"),
            imported.snapshot.generation,
        )),
        LayerGeometry::Raster(info) => line(format!(
            "{}: {} × {} px, {} band(s) of {} in {:.1} s ({}, generation {})",
            imported.name,
            info.width_px,
            info.height_px,
            info.bands,
            info.sample_type,
            imported.seconds,
            manifest.crs.label(),
            imported.snapshot.generation,
        )),
        LayerGeometry::Tiles(info) => line(format!(
            "{}: archive of {:?} tiles, zooms {} to {}, {} in {:.1} s (generation {})",
            imported.name,
            info.tiles,
            info.minzoom,
            info.maxzoom,
            match &info.remote {
                Some(remote) => format!("read from {}", remote.url),
                None => "copied".to_string(),
            },
            imported.seconds,
            imported.snapshot.generation,
        )),
    }
    if counts.repaired + counts.rejected > 0 {
        line(format!(
            "  read {} = stored {} + rejected {}; repaired {} (读取 {},入库 {},拒绝 {},修复 {})",
            counts.read,
            counts.stored,
            counts.rejected,
            counts.repaired,
            counts.read,
            counts.stored,
            counts.rejected,
            counts.repaired,
        ));
    }
    for group in imported.issues.groups() {
        line(format!(
            "  {:>8} × {} ({})",
            group.count,
            code_word(group),
            severity_word(group.severity)
        ));
        if let Some(first) = group.examples.first() {
            let place = first
                .place
                .map_or(String::new(), |[x, y]| format!(" at {x}, {y}"));
            let feature = first
                .feature
                .map_or(String::new(), |id| format!("feature {id}{place}: "));
            line(format!("             {feature}{}", first.detail));
        }
    }
    out
}

fn code_word(group: &IssueGroup) -> String {
    match serde_json::to_value(group.code) {
        Ok(serde_json::Value::String(word)) => word,
        _ => format!("{:?}", group.code),
    }
}

fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note 提示",
        Severity::Repaired => "repaired 已修复",
        Severity::Kept => "kept 保留原样",
        Severity::Rejected => "rejected 已拒绝",
    }
}

fn as_json(imported: &Imported, with_examples: bool) -> serde_json::Value {
    let manifest = &imported.snapshot.manifest;
    let issues: Vec<_> = imported
        .issues
        .groups()
        .iter()
        .map(|group| {
            if with_examples {
                json!(group)
            } else {
                json!({ "code": group.code, "severity": group.severity, "count": group.count })
            }
        })
        .collect();
    json!({
        "name": imported.name,
        "generation": imported.snapshot.generation,
        "kind": manifest.kind,
        "crs": manifest.crs.label(),
        "encoding": manifest.source.encoding,
        "driver": manifest.source.driver,
        "counts": imported.counts,
        "bounds": manifest.bounds_lonlat.to_array(),
        "seconds": imported.seconds,
        "pyramid_seconds": imported.pyramid_seconds,
        "issues": issues,
    })
}

fn write_report(path: &Path, all: &[Imported]) -> Result<(), Failure> {
    let layers: Vec<_> = all.iter().map(|imported| as_json(imported, true)).collect();
    let write = || -> std::io::Result<()> {
        let out = BufWriter::new(File::create(path)?);
        serde_json::to_writer_pretty(out, &json!({ "layers": layers }))?;
        Ok(())
    };
    write().map_err(|source| Failure::File {
        path: path.to_path_buf(),
        source,
    })
}
