//! Makes all tiles of some layers at once and puts them into an archive.
//!
//! 1. which tiles have anything in them: the boxes of faces or features, zoom by zoom
//! 2. cut and compress them on all cores, batch by batch, in the order of the archive
//! 3. write a batch while the next one is made
//!
//! An archive that is kept up to date has a list of digests beside it (see `update`): a tile whose
//! digest is still the same is copied, packed as it is, or left where it is.
//!
//! A tile of an archive is the tile the server would send: both come from [`vector_tile`], and
//! pictures from whoever draws them for the server ([`Pictures`]).
//! Memory holds two batches, the list of tiles and the archive's directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use libdeflater::{CompressionLvl, Compressor};
use rayon::prelude::*;
use serde_json::Value;

use super::area::Area;
use super::update::{Digests, Manner, Record, Unchanged};
use super::{Options as TileOptions, TileError, TileLayer, pyramid, tile_digest, vector_tile};
use crate::format::FormatError;
use crate::format::mbtiles::MbtilesWriter;
use crate::format::pmtiles::{self, PmtilesWriter};
use crate::format::pyramid::EXTENT_BITS;
use crate::geom::{Bbox, hilbert};
use crate::model::{GridError, TileContent, TileCoord, TileGrid};
use crate::query::{Budget, Stop};
use crate::store::{Snapshot, StoreError};

/// Tiles made between two looks at the clock.
const BATCH: usize = 96;
/// Of the layers' files no more than about this is kept in memory.
const MOST_FILE_BYTES: u64 = 192 << 20;
/// gzip level of libdeflate: a tenth more time than its usual 6 for a quarter of a percent of the
/// size; beyond it the time grows fast.
const GZIP_LEVEL: i32 = 8;

/// What goes into an archive.
#[derive(Debug, Clone)]
pub struct ArchiveOptions {
    pub min_zoom: u8,
    pub max_zoom: u8,
    /// Only tiles that meet this box.
    pub bbox_in_grid: Option<Bbox>,
    /// Only tiles that meet these polygons.
    pub area_in_grid: Option<Area>,
    /// Part `.0` (from 0) of `.1` parts: a run of the tiles of each zoom, as long as the others.
    pub shard: Option<(u32, u32)>,
    /// Make only tiles that have changed since the archive was made with this, and keep the list
    /// by which the next call knows; not for directories.
    pub update: bool,
    pub tile: TileOptions,
}

/// What became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ArchiveReport {
    pub tiles: u64,
    /// Before compression.
    pub raw_bytes: u64,
    pub packed_bytes: u64,
    pub largest_tile_bytes: u64,
    /// Features left out where a tile would have been too large.
    pub omitted: u64,
    /// Tiles that were there from a run that did not end.
    pub resumed: u64,
    /// Tiles that had not changed.
    pub reused: u64,
}

/// Why an archive could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Tile(#[from] TileError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Grid(#[from] GridError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "{format} archives hold the grid WebMercatorQuad only, not {grid}; write a directory instead (该格式只支持 Web 墨卡托格网)"
    )]
    GridOfFormat { format: &'static str, grid: String },
    #[error("tile {z}/{x}/{y}: {source}")]
    Picture {
        z: u8,
        x: u32,
        y: u32,
        source: DrawError,
    },
    #[error("archives of pictures are made whole, not updated (影像归档不支持增量更新)")]
    UpdateOfPictures,
    #[error(
        "a {format} of tiles cannot be updated, PMTiles and MBTiles can (只有 PMTiles 与 MBTiles 可增量更新)"
    )]
    UpdateOfFormat { format: &'static str },
    #[error(
        "stopped after {done} of {total} tiles; the same command goes on from there (已中断,重新运行即可继续)"
    )]
    Stopped { done: u64, total: u64 },
}

/// Where tiles go.
pub enum Target {
    Pmtiles(PathBuf),
    Mbtiles(PathBuf),
    /// `z/x/y.mvt`, not compressed, or `z/x/y.png` and the like.
    Directory(PathBuf),
}

impl Target {
    /// By the ending of the name; no ending is a directory.
    pub fn of_path(path: &Path) -> Target {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some(ending) if ending.eq_ignore_ascii_case("pmtiles") => {
                Target::Pmtiles(path.to_path_buf())
            }
            Some(ending) if ending.eq_ignore_ascii_case("mbtiles") => {
                Target::Mbtiles(path.to_path_buf())
            }
            Some(_) | None => Target::Directory(path.to_path_buf()),
        }
    }
}

/// What an archive says of its tiles, for whoever reads it.
pub struct About<'a> {
    pub name: &'a str,
    pub bounds_lonlat: Bbox,
    /// TileJSON of the layers; its `vector_layers` go into the archive.
    pub tilejson: &'a Value,
}

/// Why a picture was not drawn.
pub type DrawError = Box<dyn std::error::Error + Send + Sync>;

/// The pictures of one layer, drawn by whoever knows how.
pub struct Pictures<'a> {
    pub layer: &'a Snapshot,
    pub content: TileContent,
    /// A tile's picture; `None` where there is nothing to see.
    pub draw: &'a (dyn Fn(TileCoord) -> Result<Option<Vec<u8>>, DrawError> + Sync),
}

/// Where tiles come from.
#[derive(Clone, Copy)]
enum Maker<'a> {
    Vector(&'a [TileLayer]),
    Pictures(&'a Pictures<'a>),
}

impl<'a> Maker<'a> {
    fn content(self) -> TileContent {
        match self {
            Maker::Vector(_) => TileContent::Mvt,
            Maker::Pictures(pictures) => pictures.content,
        }
    }

    fn snapshots(self) -> Vec<&'a Snapshot> {
        match self {
            Maker::Vector(layers) => layers.iter().map(|l| &*l.snapshot).collect(),
            Maker::Pictures(pictures) => vec![pictures.layer],
        }
    }

    /// Keeps what is in memory of the layers' files bounded: the kernel alone would let it grow to
    /// all of them. What is needed again comes back from the page cache.
    fn let_go_of_files(self) {
        // Where the kernel does not say, all are let go of.
        if resident_file_bytes().is_some_and(|bytes| bytes <= MOST_FILE_BYTES) {
            return;
        }
        for (data, _) in self.snapshots().iter().filter_map(|s| s.vector()) {
            data.let_go();
        }
    }

    /// What is in the tiles, for texts that differ when the tiles would.
    fn words(self, with_generations: bool) -> String {
        let word = |snapshot: &Snapshot, what: String| {
            let name = snapshot.name();
            match with_generations {
                true => format!("{name}@{} {what}", snapshot.generation),
                false => format!("{name} {what}"),
            }
        };
        let words: Vec<String> = match self {
            Maker::Vector(layers) => layers
                .iter()
                .map(|layer| word(&layer.snapshot, format!("{:?}", layer.fields)))
                .collect(),
            Maker::Pictures(p) => vec![word(p.layer, format!("{:?}", p.content))],
        };
        words.join(",")
    }
}

/// Makes an archive of pictures; blank ones are left out. Otherwise like [`write`].
///
/// # Errors
/// As [`write`].
pub fn write_pictures(
    pictures: &Pictures<'_>,
    grid: &TileGrid,
    options: &ArchiveOptions,
    target: &Target,
    about: &About<'_>,
    report: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<ArchiveReport, ArchiveError> {
    if options.update {
        return Err(ArchiveError::UpdateOfPictures);
    }
    run(
        Maker::Pictures(pictures),
        grid,
        options,
        target,
        about,
        report,
    )
}

/// Makes the archive. `report` hears how many of how many tiles are done, and says whether to go on.
///
/// # Errors
/// [`ArchiveError`]; what was written stays and is gone on from by the next call with the same words.
pub fn write(
    layers: &[TileLayer],
    grid: &TileGrid,
    options: &ArchiveOptions,
    target: &Target,
    about: &About<'_>,
    report: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<ArchiveReport, ArchiveError> {
    run(Maker::Vector(layers), grid, options, target, about, report)
}

fn run(
    maker: Maker<'_>,
    grid: &TileGrid,
    options: &ArchiveOptions,
    target: &Target,
    about: &About<'_>,
    report: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<ArchiveReport, ArchiveError> {
    let known = |path: &Path, manner: Manner| {
        let (words, limits) = (words(maker, grid, options), limits(options));
        Digests::open(path, &words, &limits, manner)
    };
    let mut digests = match (options.update, target) {
        (false, _) => None,
        (true, Target::Pmtiles(path)) => Some(known(path, Manner::Copy)?),
        (true, Target::Mbtiles(path)) => Some(known(path, Manner::InPlace)?),
        (true, Target::Directory(_)) => {
            return Err(ArchiveError::UpdateOfFormat {
                format: "directory",
            });
        }
    };
    let mut tiles = tiles_to_look_at(maker, grid, options, digests.as_mut())?;
    let total = tiles.len() as u64;
    let mut sink = Sink::open(
        target,
        grid,
        maker.content(),
        &fingerprint(maker, grid, options),
        digests.as_ref().is_some_and(Digests::is_known),
    )?;
    let mut result = ArchiveReport {
        resumed: sink.skip_done(&mut tiles),
        ..ArchiveReport::default()
    };
    if let Some(digests) = digests.as_mut().filter(|_| result.resumed > 0) {
        digests.is_incomplete();
    }
    let mut done = total - tiles.len() as u64;
    let mut waiting: Vec<Packed> = Vec::new();
    for batch in tiles.chunks(BATCH) {
        if !report(done, total) {
            sink.pause(&waiting)?;
            return Err(ArchiveError::Stopped { done, total });
        }
        let open_packer = || {
            maker.let_go_of_files();
            Packer::new()
        };
        // The batch before is written while this one is made.
        let (written, made) = rayon::join(
            || sink.put(&waiting),
            || {
                batch
                    .par_iter()
                    .with_max_len(4)
                    .map_init(open_packer, |packer, &candidate| {
                        let job = Job {
                            maker,
                            grid,
                            candidate,
                            options: &options.tile,
                        };
                        packer.pack(&job, digests.as_ref(), sink_packs(target))
                    })
                    .collect::<Result<Vec<Packed>, ArchiveError>>()
            },
        );
        written?;
        waiting = made?;
        if let Some(digests) = &mut digests {
            for tile in &waiting {
                digests.note(tile.key, tile.record());
            }
        }
        waiting.retain(|tile| tile.raw_bytes > 0);
        done += batch.len() as u64;
        for tile in &waiting {
            result.tiles += 1;
            result.raw_bytes += tile.raw_bytes;
            result.packed_bytes += tile.packed_bytes;
            result.largest_tile_bytes = result.largest_tile_bytes.max(tile.raw_bytes);
            result.omitted += tile.omitted;
            result.reused += u64::from(tile.reused);
        }
    }
    sink.put(&waiting)?;
    report(total, total);
    if let Some(digests) = &digests {
        sink.remove(&digests.gone())?;
    }
    sink.finish(options, about)?;
    if let Some(digests) = digests {
        digests.save()?;
    }
    Ok(result)
}

/// How much of files this process has in memory, as the kernel says it.
fn resident_file_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("RssFile:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes << 10)
}

/// A tile as it goes into the archive.
struct Packed {
    key: u64,
    tile: TileCoord,
    /// None for a tile that stays where it is.
    bytes: Option<Vec<u8>>,
    raw_bytes: u64,
    packed_bytes: u64,
    omitted: u64,
    digest: u64,
    reused: bool,
}

impl Packed {
    fn reused(key: u64, tile: TileCoord, known: Unchanged) -> Packed {
        Packed {
            key,
            tile,
            bytes: known.bytes,
            raw_bytes: u64::from(known.record.raw_bytes),
            packed_bytes: u64::from(known.record.packed_bytes),
            omitted: 0,
            digest: known.record.digest,
            reused: true,
        }
    }

    fn record(&self) -> Record {
        // Tiles are far below these limits; one that is not is made again.
        Record {
            digest: self.digest,
            raw_bytes: u32::try_from(self.raw_bytes).unwrap_or(u32::MAX),
            packed_bytes: u32::try_from(self.packed_bytes).unwrap_or(u32::MAX),
        }
    }
}

/// A tile that may have something in it. They sort into the order of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    key: u64,
    tile: TileCoord,
    /// Nothing has changed where it is.
    is_unchanged: bool,
}

/// A tile to be made.
struct Job<'a> {
    maker: Maker<'a>,
    grid: &'a TileGrid,
    candidate: Candidate,
    options: &'a TileOptions,
}

struct Packer {
    compressor: Compressor,
}

impl Packer {
    fn new() -> Packer {
        let level = CompressionLvl::new(GZIP_LEVEL).expect("a level of libdeflate");
        Packer {
            compressor: Compressor::new(level),
        }
    }

    fn pack(
        &mut self,
        job: &Job<'_>,
        digests: Option<&Digests>,
        compress: bool,
    ) -> Result<Packed, ArchiveError> {
        let &Job {
            maker,
            grid,
            candidate,
            options,
        } = job;
        let Candidate { key, tile, .. } = candidate;
        let layers = match maker {
            Maker::Vector(layers) => layers,
            Maker::Pictures(pictures) => return picture(pictures, key, tile),
        };
        let certain = digests.filter(|_| candidate.is_unchanged);
        if let Some(known) = certain.and_then(|digests| digests.certain(key)) {
            return Ok(Packed::reused(key, tile, known));
        }
        let digest = match digests {
            None => 0,
            Some(_) => tile_digest(layers, grid, tile, options)?,
        };
        if let Some(known) = digests.and_then(|digests| digests.unchanged(key, digest)) {
            return Ok(Packed::reused(key, tile, known));
        }
        let made = vector_tile(layers, grid, tile, options, &Budget::unlimited())?;
        let raw_bytes = made.bytes.len() as u64;
        let bytes = if compress && raw_bytes > 0 {
            let mut packed = vec![0; self.compressor.gzip_compress_bound(made.bytes.len())];
            let len = self
                .compressor
                .gzip_compress(&made.bytes, &mut packed)
                .expect("the bound suffices");
            packed.truncate(len);
            packed.shrink_to_fit();
            packed
        } else {
            made.bytes
        };
        Ok(Packed {
            key,
            tile,
            packed_bytes: bytes.len() as u64,
            bytes: Some(bytes),
            raw_bytes,
            omitted: made.omitted,
            digest,
            reused: false,
        })
    }
}

/// A picture is packed as it is drawn.
fn picture(pictures: &Pictures<'_>, key: u64, tile: TileCoord) -> Result<Packed, ArchiveError> {
    let drawn = (pictures.draw)(tile).map_err(|source| ArchiveError::Picture {
        z: tile.z,
        x: tile.x,
        y: tile.y,
        source,
    })?;
    let bytes = drawn.unwrap_or_default();
    Ok(Packed {
        key,
        tile,
        raw_bytes: bytes.len() as u64,
        packed_bytes: bytes.len() as u64,
        bytes: Some(bytes),
        omitted: 0,
        digest: 0,
        reused: false,
    })
}

fn sink_packs(target: &Target) -> bool {
    match target {
        Target::Pmtiles(_) | Target::Mbtiles(_) => true,
        Target::Directory(_) => false,
    }
}

/// The place of a tile in the order of the work: along the Hilbert curve, zoom by zoom.
fn key_of(grid: &TileGrid, tile: TileCoord) -> u64 {
    if grid.id == pyramid::GRID {
        pmtiles::tile_id(tile.z, tile.x, tile.y)
    } else {
        // Other grids are not squares; the order within a zoom is all that counts.
        hilbert::distance(tile.x, tile.y)
    }
}

/// Which tiles are asked for.
struct Limits<'a> {
    grid: &'a TileGrid,
    boxes: [Option<Bbox>; 2],
    area: Option<&'a Area>,
}

impl Limits<'_> {
    fn of<'a>(grid: &'a TileGrid, options: &'a ArchiveOptions) -> Limits<'a> {
        let area = options.area_in_grid.as_ref();
        Limits {
            grid,
            // The box of an area tells most tiles apart before there is a list of them.
            boxes: [options.bbox_in_grid, area.map(Area::bbox)],
            area,
        }
    }

    fn box_allows(&self, tile: TileCoord) -> Result<bool, GridError> {
        let bbox = self.grid.tile_bbox(tile)?;
        Ok(self
            .boxes
            .iter()
            .flatten()
            .all(|limit| bbox.intersects(limit)))
    }

    /// Leaves the tiles that meet the area.
    fn within_area(&self, tiles: Vec<Candidate>) -> Result<Vec<Candidate>, GridError> {
        let Some(area) = self.area else {
            return Ok(tiles);
        };
        let tiles = tiles.into_par_iter().map(|candidate| {
            let meets = area.meets(&self.grid.tile_bbox(candidate.tile)?);
            Ok(meets.then_some(candidate))
        });
        let tiles: Vec<Option<Candidate>> = tiles.collect::<Result<_, GridError>>()?;
        Ok(tiles.into_iter().flatten().collect())
    }
}

/// The tiles of all zooms that may have something in them, in the order of the work.
fn tiles_to_look_at(
    maker: Maker<'_>,
    grid: &TileGrid,
    options: &ArchiveOptions,
    mut digests: Option<&mut Digests>,
) -> Result<Vec<Candidate>, ArchiveError> {
    let mut of_zooms: BTreeMap<u8, Vec<Candidate>> = BTreeMap::new();
    let mut unknown = Vec::new();
    for zoom in options.min_zoom..=options.max_zoom {
        let known = match &mut digests {
            Some(digests) => candidates(maker, grid, zoom, options, digests)?,
            None => None,
        };
        match known {
            Some(tiles) => drop(of_zooms.insert(zoom, tiles)),
            None => unknown.push(zoom),
        }
    }
    let found = tiles_of_zooms(maker, grid, &unknown, options)?;
    of_zooms.extend(unknown.into_iter().zip(found));
    let of_shard = |tiles| shard_of(tiles, options.shard).to_vec();
    Ok(of_zooms.values().flat_map(|t| of_shard(t)).collect())
}

/// The tiles of a zoom where it is known what it was made of: only those where something has changed
/// are to be looked at. `None` when nothing is known.
fn candidates(
    maker: Maker<'_>,
    grid: &TileGrid,
    zoom: u8,
    options: &ArchiveOptions,
    digests: &mut Digests,
) -> Result<Option<Vec<Candidate>>, ArchiveError> {
    let buffer = options.tile.buffer;
    let mut blocks = Vec::new();
    for snapshot in maker.snapshots() {
        let of_layer = snapshot
            .vector()
            .and_then(|(data, _)| pyramid::blocks_of_zoom(data, grid, zoom, buffer));
        match of_layer {
            Some(of_layer) => blocks.extend(of_layer),
            None => return Ok(None),
        }
    }
    let known = digests.compare(zoom, blocks, buffer);
    // A shard is a run of the list of all tiles, which is not made here.
    let Some(known) = known.filter(|_| options.shard.is_none()) else {
        return Ok(None);
    };
    let candidate = |key: u64, is_unchanged: bool| {
        let (z, x, y) = pmtiles::tile_of_id(key)?;
        Some(Candidate {
            key,
            tile: TileCoord { z, x, y },
            is_unchanged,
        })
    };
    let unchanged = known.unchanged.iter().map(|&key| candidate(key, true));
    let doubtful = known.doubtful.iter().map(|&key| candidate(key, false));
    let mut tiles: Vec<Candidate> = unchanged.chain(doubtful).flatten().collect();
    let limits = Limits::of(grid, options);
    let mut new = Vec::new();
    let last = (1u32 << zoom) - 1;
    for bbox in known.new_boxes {
        let margin = buffer as i32;
        let range = |low: i32, high: i32| {
            let at = |v: i32| ((v.max(0) as u32) >> EXTENT_BITS).min(last);
            at(low - margin)..=at(high + margin)
        };
        for x in range(bbox.min.x, bbox.max.x) {
            for y in range(bbox.min.y, bbox.max.y) {
                let tile = TileCoord { z: zoom, x, y };
                if limits.box_allows(tile)? {
                    new.extend(candidate(key_of(grid, tile), false));
                }
            }
        }
    }
    new.par_sort_unstable();
    new.dedup();
    let mut new = limits.within_area(new)?;
    new.retain(|tile| known.doubtful.binary_search(&tile.key).is_err());
    tiles.extend(new);
    tiles.par_sort_unstable();
    Ok(Some(tiles))
}

/// Per zoom: the tiles that may have something in them, in the order of the work.
fn tiles_of_zooms(
    maker: Maker<'_>,
    grid: &TileGrid,
    zooms: &[u8],
    options: &ArchiveOptions,
) -> Result<Vec<Vec<Candidate>>, ArchiveError> {
    /// Features are in the order of a space filling curve: so many lie in few tiles.
    const FEATURES: usize = 4096;
    let mut margins = Vec::new();
    for &zoom in zooms {
        let matrix = grid.matrix(u32::from(zoom))?;
        let unit = matrix.cell_size * f64::from(matrix.tile_size_px[0])
            / f64::from(crate::format::mvt::EXTENT);
        margins.push(match maker {
            Maker::Vector(_) => unit * f64::from(options.tile.buffer),
            Maker::Pictures(_) => 0.0,
        });
    }
    let limits = Limits::of(grid, options);
    let none = || vec![Vec::new(); zooms.len()];
    let add = |tiles: &mut [Vec<Candidate>], bbox: &Bbox| -> Result<(), GridError> {
        for ((tiles, &zoom), margin) in tiles.iter_mut().zip(zooms).zip(&margins) {
            let within = grid.tiles_in_bbox(zoom, &bbox.expanded(*margin, *margin))?;
            let Some([x0, y0, x1, y1]) = within else {
                continue;
            };
            for tile in (y0..=y1).flat_map(|y| (x0..=x1).map(move |x| TileCoord { z: zoom, x, y }))
            {
                if limits.box_allows(tile)? {
                    tiles.push(Candidate {
                        key: key_of(grid, tile),
                        tile,
                        is_unchanged: false,
                    });
                }
            }
        }
        Ok(())
    };
    let mut tiles: Vec<Vec<Candidate>> = none();
    for snapshot in maker.snapshots() {
        let warp = snapshot.warp(grid.epsg)?;
        let Some((data, _)) = snapshot.vector() else {
            add(
                &mut tiles,
                &warp.to_grid.bbox(&snapshot.extent_in_layer_crs()),
            )?;
            continue;
        };
        let index = &data.index;
        let found: Vec<Vec<Vec<Candidate>>> = (0..index.len().div_ceil(FEATURES))
            .into_par_iter()
            .map_init(none, |found, chunk| {
                for number in chunk * FEATURES..((chunk + 1) * FEATURES).min(index.len()) {
                    let bbox = index.record(number as u32).bbox_in_layer_crs;
                    add(found, &warp.to_grid.bbox(&bbox))?;
                }
                let distinct = |tiles: &mut Vec<Candidate>| {
                    tiles.sort_unstable();
                    tiles.dedup();
                    let distinct = tiles.to_vec();
                    tiles.clear();
                    distinct
                };
                Ok(found.iter_mut().map(distinct).collect())
            })
            .collect::<Result<_, GridError>>()?;
        for found in found {
            for (tiles, found) in tiles.iter_mut().zip(found) {
                tiles.extend(found);
            }
        }
    }
    for tiles in &mut tiles {
        tiles.par_sort_unstable();
        tiles.dedup();
        *tiles = limits.within_area(std::mem::take(tiles))?;
    }
    Ok(tiles)
}

fn shard_of(tiles: &[Candidate], shard: Option<(u32, u32)>) -> &[Candidate] {
    match shard {
        None => tiles,
        Some((part, parts)) => {
            let at = |i: u32| (tiles.len() as u64 * u64::from(i) / u64::from(parts)) as usize;
            &tiles[at(part)..at(part + 1)]
        }
    }
}

/// A text that differs when other tiles are asked for.
fn limits(options: &ArchiveOptions) -> String {
    let ArchiveOptions {
        min_zoom,
        max_zoom,
        bbox_in_grid,
        area_in_grid,
        shard,
        ..
    } = options;
    format!("{min_zoom} {max_zoom} {bbox_in_grid:?} {area_in_grid:?} {shard:?}")
}

/// A text that differs when the tiles would though no feature has changed.
fn words(maker: Maker<'_>, grid: &TileGrid, options: &ArchiveOptions) -> String {
    let (version, layers) = (env!("CARGO_PKG_VERSION"), maker.words(false));
    // Digests hold values by column and places in the layer's own plane.
    let made_of: Vec<String> = maker
        .snapshots()
        .iter()
        .map(|snapshot| match snapshot.vector() {
            Some((data, info)) => {
                let class = data.pyramid.as_ref().map(|p| &p.info.class_field);
                format!("{:?} {class:?} {:?}", info.schema, snapshot.manifest.crs)
            }
            None => String::new(),
        })
        .collect();
    let tile = &options.tile;
    format!("{version} {layers} {tile:?} {} {made_of:?}", grid.id)
}

/// A text that differs when the tiles would.
fn fingerprint(maker: Maker<'_>, grid: &TileGrid, options: &ArchiveOptions) -> String {
    let (version, layers) = (env!("CARGO_PKG_VERSION"), maker.words(true));
    format!("{version} {layers} {options:?} {}", grid.id)
}

struct Sink {
    content: TileContent,
    to: To,
}

enum To {
    Pmtiles(Box<PmtilesWriter>),
    Mbtiles {
        writer: Box<MbtilesWriter>,
        /// What becomes the archive; none where the archive itself is changed.
        part: Option<PathBuf>,
        path: PathBuf,
    },
    Directory(PathBuf),
}

impl Sink {
    fn open(
        target: &Target,
        grid: &TileGrid,
        content: TileContent,
        fingerprint: &str,
        in_place: bool,
    ) -> Result<Sink, ArchiveError> {
        let format = match target {
            Target::Pmtiles(_) => Some("PMTiles"),
            Target::Mbtiles(_) => Some("MBTiles"),
            Target::Directory(_) => None,
        };
        if let Some(format) = format.filter(|_| grid.id != pyramid::GRID) {
            return Err(ArchiveError::GridOfFormat {
                format,
                grid: grid.id.clone(),
            });
        }
        let to = match target {
            Target::Pmtiles(path) => To::Pmtiles(Box::new(PmtilesWriter::resume_or_create(
                path,
                fingerprint,
            )?)),
            Target::Mbtiles(path) if in_place => To::Mbtiles {
                writer: Box::new(MbtilesWriter::change(path)?),
                part: None,
                path: path.clone(),
            },
            Target::Mbtiles(path) => {
                let part = part_path(path);
                To::Mbtiles {
                    writer: Box::new(MbtilesWriter::create(&part)?),
                    part: Some(part),
                    path: path.clone(),
                }
            }
            Target::Directory(path) => {
                fs::create_dir_all(path).map_err(|source| ArchiveError::Io {
                    path: path.clone(),
                    source,
                })?;
                To::Directory(path.clone())
            }
        };
        Ok(Sink { content, to })
    }

    /// Takes the tiles away that are already there; says how many.
    fn skip_done(&self, tiles: &mut Vec<Candidate>) -> u64 {
        match &self.to {
            To::Pmtiles(writer) => {
                if let Some(last) = writer.last_tile_id() {
                    tiles.retain(|tile| tile.key > last);
                }
                writer.tile_count()
            }
            To::Mbtiles { .. } | To::Directory(_) => 0,
        }
    }

    fn put(&mut self, batch: &[Packed]) -> Result<(), ArchiveError> {
        match &mut self.to {
            To::Pmtiles(writer) => {
                for (tile, bytes) in filled(batch) {
                    writer.push(tile.key, bytes)?;
                }
                writer.checkpoint()?;
            }
            To::Mbtiles { writer, .. } => {
                for (Packed { tile, .. }, bytes) in filled(batch) {
                    writer.push(tile.z, tile.x, tile.y, bytes)?;
                }
            }
            To::Directory(root) => {
                let ending = self.content.extension();
                for (Packed { tile, .. }, bytes) in filled(batch) {
                    let column = root.join(tile.z.to_string()).join(tile.x.to_string());
                    let path = column.join(format!("{}.{ending}", tile.y));
                    fs::create_dir_all(&column)
                        .and_then(|()| fs::write(&path, bytes))
                        .map_err(|source| ArchiveError::Io { path, source })?;
                }
            }
        }
        Ok(())
    }

    /// Takes tiles out of an archive that is changed in place; others never had them.
    fn remove(&mut self, tiles: &[TileCoord]) -> Result<(), ArchiveError> {
        if let To::Mbtiles {
            writer, part: None, ..
        } = &mut self.to
        {
            for tile in tiles {
                writer.remove(tile.z, tile.x, tile.y)?;
            }
        }
        Ok(())
    }

    fn pause(&mut self, batch: &[Packed]) -> Result<(), ArchiveError> {
        self.put(batch)
    }

    fn finish(self, options: &ArchiveOptions, about: &About<'_>) -> Result<(), ArchiveError> {
        let bounds = about.bounds_lonlat;
        let tilejson = with_zooms(about.tilejson, options.min_zoom, options.max_zoom);
        let layers = tilejson.get("vector_layers").cloned().unwrap_or_default();
        let center = bounds.center();
        let is_image = self.content.is_image();
        let kind = match is_image {
            true => "baselayer",
            false => "overlay",
        };
        let (tile_type, format) = match self.content {
            TileContent::Mvt => (pmtiles::TileType::Mvt, "pbf"),
            TileContent::Png => (pmtiles::TileType::Png, "png"),
            TileContent::Jpeg => (pmtiles::TileType::Jpeg, "jpg"),
            TileContent::Webp => (pmtiles::TileType::Webp, "webp"),
        };
        match self.to {
            To::Pmtiles(writer) => {
                let description = pmtiles::Description {
                    tile_type,
                    tile_compression: match is_image {
                        true => pmtiles::Compression::None,
                        false => pmtiles::Compression::Gzip,
                    },
                    min_zoom: options.min_zoom,
                    max_zoom: options.max_zoom,
                    bounds_lonlat: bounds.to_array(),
                    center_lonlat: center,
                    center_zoom: options.min_zoom.max(options.max_zoom.min(8)),
                };
                let mut metadata = serde_json::json!({
                    "name": about.name,
                    "type": kind,
                    "version": env!("CARGO_PKG_VERSION"),
                    "generator": concat!("onemap ", env!("CARGO_PKG_VERSION")),
                });
                if !is_image {
                    metadata["vector_layers"] = layers;
                }
                if let Some(attribution) = tilejson.get("attribution") {
                    metadata["attribution"] = attribution.clone();
                }
                writer.finish(&description, &metadata.to_string())?;
            }
            To::Mbtiles { writer, part, path } => {
                let list = |values: &[f64]| {
                    values
                        .iter()
                        .map(|v| format!("{v:.7}"))
                        .collect::<Vec<_>>()
                        .join(",")
                };
                let mut words = vec![
                    ("name", about.name.to_string()),
                    ("format", format.to_string()),
                    ("type", kind.to_string()),
                    ("version", env!("CARGO_PKG_VERSION").to_string()),
                    (
                        "generator",
                        concat!("onemap ", env!("CARGO_PKG_VERSION")).to_string(),
                    ),
                    ("minzoom", options.min_zoom.to_string()),
                    ("maxzoom", options.max_zoom.to_string()),
                    ("bounds", list(&bounds.to_array())),
                    ("center", format!("{},{}", list(&center), options.min_zoom)),
                ];
                if !is_image {
                    let json = serde_json::json!({ "vector_layers": layers });
                    words.push(("json", json.to_string()));
                }
                if let Some(attribution) = tilejson.get("attribution") {
                    let text = attribution.as_str().unwrap_or_default();
                    words.push(("attribution", text.to_string()));
                }
                writer.finish(&words)?;
                if let Some(part) = part {
                    fs::rename(&part, &path).map_err(|source| ArchiveError::Io { path, source })?;
                }
            }
            To::Directory(root) => {
                let path = root.join("tiles.json");
                let text = serde_json::to_vec_pretty(&tilejson).unwrap_or_default();
                fs::write(&path, text).map_err(|source| ArchiveError::Io { path, source })?;
            }
        }
        Ok(())
    }
}

/// TileJSON of a server, with the zooms of the archive: it may have less than the server offers.
fn with_zooms(tilejson: &Value, min_zoom: u8, max_zoom: u8) -> Value {
    let mut own = tilejson.clone();
    let layers = own.get_mut("vector_layers").and_then(Value::as_array_mut);
    for layer in layers.into_iter().flatten() {
        layer["minzoom"] = min_zoom.into();
        layer["maxzoom"] = max_zoom.into();
    }
    for (word, zoom) in [("minzoom", min_zoom), ("maxzoom", max_zoom)] {
        if let Some(value) = own.get_mut(word) {
            *value = zoom.into();
        }
    }
    own
}

/// The tiles of a batch that are to be written.
fn filled(batch: &[Packed]) -> impl Iterator<Item = (&Packed, &[u8])> {
    batch
        .iter()
        .filter_map(|tile| Some((tile, tile.bytes.as_deref()?)))
}

fn part_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".part");
    PathBuf::from(name)
}

impl From<Stop> for ArchiveError {
    fn from(stop: Stop) -> ArchiveError {
        ArchiveError::Tile(stop.into())
    }
}
