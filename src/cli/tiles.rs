//! `onemap tiles`: all tiles of some layers, made beforehand.

use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::json;

use super::overlay::clip_of_file;
use super::{Failure, Globals, Outcome, progress};
use crate::crs::{Crs, Warp};
use crate::geom::Bbox;
use crate::model::TileContent;
use crate::protocol::tilejson;
use crate::query::Budget;
use crate::render::image::{ImageFormat, ImageRequest, image_tile};
use crate::store::{Snapshot, Store};
use crate::tile::archive::{self, About, ArchiveOptions, DrawError, Pictures, Target};
use crate::tile::area::Area;
use crate::tile::{Options as TileOptions, TileLayer, merge};

/// Make the tiles of layers beforehand, as one archive or a directory (批量切片)
///
/// The tiles are those the server would send. A run that was interrupted is gone on from by the
/// same command. 与服务端瓦片完全一致;中断后重新运行同一命令即可继续。
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    subcommand_value_name = "merge",
    after_help = "\
Examples (示例):
  onemap tiles map dltb --zoom 0-14 --out dltb.pmtiles
  onemap tiles map dltb,xzq --zoom 5-12 --out county.mbtiles --bbox 110.1,30.2,111.4,31.0
  onemap tiles map dom2024 --format webp --out dom.pmtiles --within county.shp
  onemap tiles map dltb --grid CGCS2000Quad --zoom 6-13 --out tiles/
  onemap tiles map dltb --out dltb.pmtiles --update            after the next import: only what changed
  onemap tiles map dltb --out part1.pmtiles --shard 1/4        one of four parts of equal size
  onemap tiles merge part?.pmtiles --out dltb.pmtiles          and the parts together"
)]
pub struct TilesCommand {
    #[command(subcommand)]
    other: Option<TilesSubcommand>,
    #[command(flatten)]
    make: Option<TilesArgs>,
}

#[derive(Debug, Subcommand)]
enum TilesSubcommand {
    Merge(MergeArgs),
}

/// Put archives that were made in parts together (合并分片)
///
/// The result has the bytes of the archive made in one go. Parts that disagree are an error.
/// 结果与一次生成的归档逐字节相同。
#[derive(Debug, Args)]
struct MergeArgs {
    /// Archives made with --shard, PMTiles or MBTiles (分片归档)
    #[arg(required = true)]
    parts: Vec<PathBuf>,
    /// Where to: X.pmtiles or X.mbtiles, of the same kind as the parts (输出)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// What to make tiles of, and how.
#[derive(Debug, Args)]
pub struct TilesArgs {
    /// Directory of the workspace (工作空间目录)
    pub workspace: PathBuf,
    /// Layers that go into every tile (图层)
    #[arg(required = true, value_delimiter = ',')]
    pub layers: Vec<String>,
    /// Where to: X.pmtiles, X.mbtiles, or a directory for z/x/y.mvt (or .png …) (输出)
    #[arg(long, value_name = "FILE|DIR")]
    pub out: PathBuf,
    /// mvt for features; png, jpg or webp for an image [default: mvt, png] (瓦片格式)
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<ArchiveFormat>,
    /// Lowest and highest zoom [default: 0-14, or those of the image] (级别范围)
    #[arg(long, value_name = "A-B")]
    pub zoom: Option<Zooms>,
    /// Tile grid; archives hold WebMercatorQuad only (格网)
    #[arg(long, value_name = "GRID", default_value = tilejson::PLAIN_GRID)]
    pub grid: String,
    /// Only tiles that meet this box, in degrees (范围)
    #[arg(long, value_name = "W,S,E,N", allow_hyphen_values = true)]
    pub bbox: Option<Degrees>,
    /// Only tiles that meet the polygons of this file, any vector format (多边形范围)
    #[arg(long, value_name = "FILE")]
    pub within: Option<PathBuf>,
    /// Largest share of a layer in a tile, kilobytes before compression [default: 500]. Polygon layers
    /// that are generalised have theirs from `onemap import --tile-kb` (瓦片大小上限)
    #[arg(long, value_name = "KB", value_parser = clap::value_parser!(u32).range(20..=20_000))]
    pub tile_kb: Option<u32>,
    /// Make part I of N only, parts of equal size along the Hilbert curve (分片)
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Make only what has changed since the last run with this flag; PMTiles and MBTiles (增量更新)
    #[arg(long)]
    pub update: bool,
}

/// What the tiles of an archive are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveFormat {
    Mvt,
    Image(ImageFormat),
}

impl FromStr for ArchiveFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<ArchiveFormat, String> {
        match (text, ImageFormat::from_extension(text)) {
            ("mvt" | "pbf", _) => Ok(ArchiveFormat::Mvt),
            (_, Some(format)) => Ok(ArchiveFormat::Image(format)),
            (_, None) => Err("expected mvt, png, jpg or webp".into()),
        }
    }
}

/// Two zooms, `A-B`, or one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zooms(u8, u8);

impl FromStr for Zooms {
    type Err = String;

    fn from_str(text: &str) -> Result<Zooms, String> {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        match (low.trim().parse(), high.trim().parse()) {
            (Ok(low), Ok(high)) if low <= high && high <= 24 => Ok(Zooms(low, high)),
            _ => Err("expected A-B with 0 ≤ A ≤ B ≤ 24, for example 0-14".into()),
        }
    }
}

/// West, south, east, north.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Degrees(Bbox);

impl FromStr for Degrees {
    type Err = String;

    fn from_str(text: &str) -> Result<Degrees, String> {
        let numbers: Option<Vec<f64>> = text
            .split(',')
            .map(|part| part.trim().parse().ok())
            .collect();
        match numbers.as_deref() {
            Some(&[w, s, e, n])
                if w < e && s < n && w >= -180.0 && e <= 180.0 && s >= -90.0 && n <= 90.0 =>
            {
                Ok(Degrees(Bbox::new(w, s, e, n)))
            }
            _ => Err("expected W,S,E,N in degrees with W < E and S < N".into()),
        }
    }
}

/// Part `0` of `1`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard(u32, u32);

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let parts = text.split_once('/').map(|(i, n)| (i.parse(), n.parse()));
        match parts {
            Some((Ok(i), Ok(n))) if 1 <= i && i <= n => Ok(Shard(i, n)),
            _ => Err("expected I/N with 1 ≤ I ≤ N, for example 1/4".into()),
        }
    }
}

pub fn run(command: TilesCommand, globals: &Globals) -> Result<Outcome, Failure> {
    match (command.other, command.make) {
        (Some(TilesSubcommand::Merge(args)), _) => merge_parts(&args, globals),
        (None, Some(args)) => make(args, globals),
        (None, None) => Err(Failure::Usage {
            message:
                "what to make tiles of? expected WORKSPACE LAYER… --out FILE, or merge (缺少参数)"
                    .into(),
        }),
    }
}

fn merge_parts(args: &MergeArgs, globals: &Globals) -> Result<Outcome, Failure> {
    let started = Instant::now();
    let bar = progress_bar(globals);
    let result = merge::merge(&args.parts, &args.out, &mut |done| {
        bar.set_position(done);
        true
    });
    bar.finish_and_clear();
    let report = result?;
    let seconds = started.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    if globals.json {
        let line = json!({
            "out": args.out, "parts": args.parts.len(), "tiles": report.tiles, "shared": report.shared,
            "seconds": seconds,
        });
        writeln!(out, "{line}")?;
    } else if !globals.quiet {
        writeln!(
            out,
            "{}: {} tiles of {} parts in {seconds:.1} s (合并 {} 个瓦片)",
            args.out.display(),
            report.tiles,
            args.parts.len(),
            report.tiles,
        )?;
    }
    Ok(Outcome::Done)
}

fn make(args: TilesArgs, globals: &Globals) -> Result<Outcome, Failure> {
    let started = Instant::now();
    let store = Store::open(&args.workspace)?;
    let snapshots = args
        .layers
        .iter()
        .map(|name| {
            store
                .snapshot(name)?
                .ok_or_else(|| Failure::NoSuchLayer { name: name.clone() })
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    let format = format_of(&snapshots, args.format)?;
    let grids = store.grids()?;
    let grid = grids
        .iter()
        .find(|grid| grid.id == args.grid)
        .ok_or_else(|| Failure::NoSuchGrid {
            name: args.grid.clone(),
            known: grids.iter().map(|grid| grid.id.clone()).collect(),
        })?;
    let bbox_in_grid = match &args.bbox {
        Some(Degrees(bbox)) => {
            Some(Warp::new(&Crs::from_user("EPSG:4326")?, grid.epsg, bbox)?.bbox(bbox))
        }
        None => None,
    };
    let area_in_grid = match &args.within {
        Some(path) => {
            let area = clip_of_file(path)?;
            let warp = Warp::new(&area.crs, grid.epsg, &area.polygons.bbox())?;
            Some(Area::new(&area.polygons, &warp))
        }
        None => None,
    };
    let Zooms(min_zoom, max_zoom) = args.zoom.unwrap_or_else(|| match snapshots[0].image() {
        Some(_) => {
            let (low, high) = tilejson::zooms(&snapshots[0], grid);
            Zooms(low, high)
        }
        None => Zooms(0, 14),
    });
    let mut tile = TileOptions::default();
    if let Some(kb) = args.tile_kb {
        tile.max_layer_bytes = kb as usize * 1000;
    }
    let options = ArchiveOptions {
        min_zoom,
        max_zoom,
        bbox_in_grid,
        area_in_grid,
        shard: args.shard.map(|Shard(i, n)| (i - 1, n)),
        update: args.update,
        tile,
    };
    let layers: Vec<TileLayer> = snapshots
        .iter()
        .map(|snapshot| TileLayer {
            snapshot: snapshot.clone(),
            fields: None,
        })
        .collect();
    let name = args.layers.join(",");
    let about = About {
        name: &name,
        bounds_lonlat: snapshots
            .iter()
            .fold(Bbox::EMPTY, |all, s| all.union(&s.manifest.bounds_lonlat)),
        tilejson: &tilejson::document(&snapshots, grid, ""),
    };
    let bar = progress_bar(globals);
    let target = Target::of_path(&args.out);
    let mut show = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        true
    };
    let report = match format {
        ArchiveFormat::Mvt => archive::write(&layers, grid, &options, &target, &about, &mut show)?,
        ArchiveFormat::Image(format) => {
            let draw = |tile| -> Result<Option<Vec<u8>>, DrawError> {
                let request = ImageRequest {
                    grid,
                    tile,
                    scale: 1,
                    format,
                };
                let drawn = image_tile(&snapshots[0], &request, &Budget::unlimited())?;
                Ok((!drawn.empty).then_some(drawn.bytes))
            };
            let pictures = Pictures {
                layer: &snapshots[0],
                content: match format {
                    ImageFormat::Png => TileContent::Png,
                    ImageFormat::Jpeg => TileContent::Jpeg,
                    ImageFormat::Webp => TileContent::Webp,
                },
                draw: &draw,
            };
            archive::write_pictures(&pictures, grid, &options, &target, &about, &mut show)?
        }
    };
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    if globals.json {
        let line = json!({
            "out": args.out, "tiles": report.tiles, "resumed": report.resumed, "reused": report.reused, "raw_bytes": report.raw_bytes,
            "packed_bytes": report.packed_bytes, "largest_tile_bytes": report.largest_tile_bytes,
            "omitted": report.omitted, "seconds": seconds,
        });
        writeln!(out, "{line}")?;
    } else if !globals.quiet {
        writeln!(
            out,
            "{}: {} tiles in {seconds:.1} s, {:.1} MB ({:.1} MB before compression), largest {} KB (瓦片 {} 个)",
            args.out.display(),
            report.tiles + report.resumed,
            report.packed_bytes as f64 / 1e6,
            report.raw_bytes as f64 / 1e6,
            report.largest_tile_bytes / 1000,
            report.tiles + report.resumed,
        )?;
        if args.update {
            writeln!(
                out,
                "  {} tiles made, {} as they were (更新 {} 个瓦片)",
                report.tiles - report.reused,
                report.reused,
                report.tiles - report.reused
            )?;
        }
        if report.resumed > 0 {
            writeln!(
                out,
                "  {} tiles were there from a run that was interrupted (续传)",
                report.resumed
            )?;
        }
        if report.omitted > 0 {
            writeln!(
                out,
                "  {} times a feature was left out of a tile: too many, or smaller than its grid (省略要素)",
                report.omitted
            )?;
        }
    }
    Ok(if report.omitted > 0 {
        Outcome::Findings
    } else {
        Outcome::Done
    })
}

/// What the layers can be had as: features as vector tiles, an image as pictures.
fn format_of(
    snapshots: &[Arc<Snapshot>],
    asked: Option<ArchiveFormat>,
) -> Result<ArchiveFormat, Failure> {
    if let Some(made) = snapshots.iter().find(|s| s.tiles().is_some()) {
        return Err(Failure::AlreadyTiles {
            name: made.name().to_string(),
        });
    }
    if snapshots.len() > 1 && snapshots.iter().any(|s| s.image().is_some()) {
        return Err(Failure::Usage {
            message: "an image layer goes into an archive alone (影像图层须单独切片)".into(),
        });
    }
    let first = &snapshots[0];
    let is_image = first.image().is_some();
    let format = asked.unwrap_or(match is_image {
        true => ArchiveFormat::Image(ImageFormat::Png),
        false => ArchiveFormat::Mvt,
    });
    if matches!(format, ArchiveFormat::Image(_)) == is_image {
        return Ok(format);
    }
    Err(Failure::OtherFormat {
        name: first.name().to_string(),
        offered: match is_image {
            true => "png, jpg or webp",
            false => "mvt",
        },
        asked: match format {
            ArchiveFormat::Mvt => "mvt",
            ArchiveFormat::Image(format) => format.extension(),
        },
    })
}

fn progress_bar(globals: &Globals) -> ProgressBar {
    let template = "{prefix} [{bar:30}] {human_pos}/{human_len} {per_sec} {eta}";
    let bar = progress::bar(globals, template);
    bar.set_prefix("切片 tiles");
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zooms_boxes_and_parts_are_read_and_nonsense_is_refused() {
        assert_eq!("3-9".parse(), Ok(Zooms(3, 9)));
        assert_eq!("7".parse(), Ok(Zooms(7, 7)));
        assert_eq!("1/4".parse(), Ok(Shard(1, 4)));
        for text in ["9-3", "a-b", "", "0-99"] {
            assert!(text.parse::<Zooms>().is_err(), "{text}");
        }
        for text in ["0/4", "5/4", "1", "x/y"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        assert!("1,2,3,4".parse::<Degrees>().is_ok());
        for text in ["1,2,3", "3,2,1,4", "1,2,3,400", "a,b,c,d"] {
            assert!(text.parse::<Degrees>().is_err(), "{text}");
        }
    }
}
