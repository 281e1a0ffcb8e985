//! Gathers prepared batches and writes the generation from them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use super::identity::Identities;
use super::prepare::{Batch, Head};
use super::sort::ExternalSorter;
use super::{IngestError, Options, Progress, file_error, levels, pyramid, temporary};
use crate::crs::{Crs, Warp};
use crate::format::feature_index::{FeatureRecord, IndexWriter};
use crate::format::fgb::FileWriter;
use crate::format::id_index::IdWriter;
use crate::geom::{Bbox, GeometryType};
use crate::model::{
    Aggregates, FORMAT_VERSION, ImportCounts, Issue, IssueCode, IssueCount, IssueLog,
    LayerGeometry, LayerName, LevelSummary, Manifest, Schema, Severity, SourceInfo, VectorInfo,
};
use crate::store::{Draft, FEATURES_FILE, IDS_FILE, INDEX_FILE};

/// Ids are small; this much sorts a million in memory.
const ID_SORT_BUDGET_BYTES: usize = 16 << 20;
/// Features between two calls of the progress report.
const REPORT_EVERY: u64 = 4096;

/// Everything the first pass leaves behind.
pub struct Gathered {
    features: ExternalSorter,
    ids: ExternalSorter,
    pub read: u64,
    stored: u64,
    repaired: u64,
    rejected: u64,
    vertices: u64,
    extent: Bbox,
    types: BTreeSet<GeometryType>,
    has_z: bool,
    issues: IssueLog,
}

impl Gathered {
    pub fn new(draft: &Draft, options: &Options, found: IssueLog) -> Gathered {
        Gathered {
            features: ExternalSorter::new(draft.dir(), "features", options.sort_budget_bytes),
            ids: ExternalSorter::new(draft.dir(), "ids", ID_SORT_BUDGET_BYTES),
            read: 0,
            stored: 0,
            repaired: 0,
            rejected: 0,
            vertices: 0,
            extent: Bbox::EMPTY,
            types: BTreeSet::new(),
            has_z: false,
            issues: found,
        }
    }

    /// Takes a batch in, in source order.
    pub fn take(&mut self, batch: Batch) -> std::io::Result<()> {
        self.read += batch.read;
        self.repaired += batch.repaired;
        self.rejected += batch.rejected;
        self.types.extend(batch.types);
        self.has_z |= batch.has_z;
        self.issues.absorb(batch.issues);
        for (key, head, range) in batch.entries {
            self.stored += 1;
            self.vertices += u64::from(head.vertices);
            self.extent = self.extent.union(&head.bbox);
            self.features.push(key, &batch.bytes[range])?;
            self.ids.push(head.id, &head.ordinal.to_le_bytes())?;
        }
        Ok(())
    }

    pub fn settle_identities(&mut self, layer: &LayerName) -> Result<Identities, IngestError> {
        let empty = ExternalSorter::new(std::path::Path::new(""), "none", 0);
        let pairs = std::mem::replace(&mut self.ids, empty);
        Identities::settle(pairs).map_err(|e| temporary(layer.to_string(), e))
    }
}

/// What the files are about.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    pub options: &'a Options,
    pub schema: &'a Schema,
    pub crs: &'a Crs,
    pub source: &'a SourceInfo,
    pub aggregates: &'a Aggregates,
}

/// Writes all files of a vector generation and returns its manifest and issues.
pub fn generation(
    draft: &Draft,
    parts: Parts<'_>,
    mut gathered: Gathered,
    identities: Identities,
    report: &(dyn Fn(Progress) -> bool + Sync),
) -> Result<Written, IngestError> {
    let features = std::mem::replace(
        &mut gathered.features,
        ExternalSorter::new(draft.dir(), "none", 0),
    );
    let ids = write_features(draft, parts, &mut gathered, features, &identities, report)?;
    write_ids(draft, parts, &gathered, ids)?;
    if gathered
        .types
        .iter()
        .map(|t| t.dimension())
        .collect::<BTreeSet<_>>()
        .len()
        > 1
    {
        let names: Vec<&str> = gathered.types.iter().map(|t| t.name()).collect();
        gathered.issues.push(layer_issue(
            IssueCode::MixedGeometryTypes,
            format!("the layer mixes {}", names.join(", ")),
        ));
    }
    write_issues(draft, &gathered.issues)?;
    let started = Instant::now();
    write_pyramid(draft, parts, &gathered, report)?;
    let levels = write_levels(draft, parts, &gathered, report)?;
    let generalising = started.elapsed();
    Ok(Written {
        manifest: manifest(draft, parts, &gathered, levels)?,
        issues: gathered.issues,
        generalising,
    })
}

/// What was written.
pub struct Written {
    pub manifest: Manifest,
    pub issues: IssueLog,
    /// Time the pyramid or the levels took.
    pub generalising: Duration,
}

/// Layers of polygons only.
fn write_pyramid(
    draft: &Draft,
    parts: Parts<'_>,
    gathered: &Gathered,
    report: &(dyn Fn(Progress) -> bool + Sync),
) -> Result<(), IngestError> {
    if gathered.types.iter().any(|kind| kind.dimension() != 2) || gathered.extent.is_empty() {
        return Ok(());
    }
    if !report(Progress::Generalising) {
        return Err(IngestError::Cancelled);
    }
    let layer = pyramid::Layer {
        dir: draft.dir(),
        aggregates: parts.aggregates,
        schema: parts.schema,
        crs: parts.crs,
        extent: gathered.extent,
        natural_zoom: natural_zoom(gathered.vertices, &bounds_lonlat(parts, gathered)?),
    };
    let options = pyramid::Options {
        max_tile_bytes: parts.options.tile_bytes,
        part_vertices: parts.options.part_vertices,
        ..pyramid::Options::default()
    };
    pyramid::write(&layer, &options, &|| report(Progress::Generalising))?;
    Ok(())
}

/// Layers of points or of lines only.
fn write_levels(
    draft: &Draft,
    parts: Parts<'_>,
    gathered: &Gathered,
    report: &(dyn Fn(Progress) -> bool + Sync),
) -> Result<Vec<LevelSummary>, IngestError> {
    let dimension = common_type(&gathered.types).map(|kind| kind.dimension());
    let Some(dimension @ (0 | 1)) = dimension else {
        return Ok(Vec::new());
    };
    levels::write(&levels::Layer {
        dir: draft.dir(),
        name: parts.options.name.as_str(),
        schema: parts.schema,
        crs: parts.crs,
        extent: gathered.extent,
        has_z: gathered.has_z,
        dimension,
        natural_zoom: natural_zoom(gathered.vertices, &bounds_lonlat(parts, gathered)?),
        aggregates: parts.aggregates,
        tile_bytes: parts.options.tile_bytes,
        sort_budget_bytes: parts.options.sort_budget_bytes,
        go_on: &|| report(Progress::Generalising),
    })
}

fn bounds_lonlat(parts: Parts<'_>, gathered: &Gathered) -> Result<Bbox, IngestError> {
    if gathered.extent.is_empty() {
        return Ok(Bbox::EMPTY);
    }
    Ok(Warp::new(parts.crs, 4326, &gathered.extent)?.bbox(&gathered.extent))
}

fn layer_issue(code: IssueCode, detail: String) -> Issue {
    Issue {
        code,
        severity: Severity::Note,
        feature: None,
        field: None,
        place: None,
        detail,
    }
}

fn write_features(
    draft: &Draft,
    parts: Parts<'_>,
    gathered: &mut Gathered,
    features: ExternalSorter,
    identities: &Identities,
    report: &(dyn Fn(Progress) -> bool + Sync),
) -> Result<ExternalSorter, IngestError> {
    let layer = parts.options.name.to_string();
    let fgb_error = file_error(draft, FEATURES_FILE);
    let index_error = file_error(draft, INDEX_FILE);
    let mut file = FileWriter::create(
        &draft.path(FEATURES_FILE),
        &layer,
        parts.schema,
        parts.crs,
        gathered.has_z,
        gathered.stored,
        &gathered.extent,
    )
    .map_err(&fgb_error)?;
    let mut index = IndexWriter::create(&draft.path(INDEX_FILE)).map_err(&index_error)?;
    let mut ids = ExternalSorter::new(draft.dir(), "final-ids", ID_SORT_BUDGET_BYTES);
    let mut number = 0u64;
    let total = gathered.stored;
    let issues = &mut gathered.issues;
    features
        .drain(|_, payload| -> Result<(), Interrupted> {
            let (head, message) = payload
                .split_first_chunk::<{ Head::BYTES }>()
                .expect("every payload starts with its head");
            let head = Head::from_bytes(head);
            let id = identities.final_id(head.ordinal, head.id);
            if identities.is_duplicate(head.ordinal) {
                issues.push(Issue {
                    code: IssueCode::DuplicateId,
                    severity: Severity::Kept,
                    feature: Some(head.ordinal as i64),
                    field: parts.options.id_field.clone(),
                    place: Some(head.label),
                    detail: format!("id {} occurs before; this one is stored as {id}", head.id),
                });
            }
            let offset = file.push(message, &head.bbox).map_err(&fgb_error)?;
            index
                .push(&FeatureRecord {
                    bbox_in_layer_crs: head.bbox,
                    offset,
                    id,
                    label: head.label,
                    label_clearance: head.label_clearance,
                    size: head.size,
                    vertices: head.vertices,
                    count: 1,
                })
                .map_err(&index_error)?;
            ids.push(id, &(number as u32).to_le_bytes())?;
            number += 1;
            if number.is_multiple_of(REPORT_EVERY) && !report(Progress::Writing(number, total)) {
                return Err(Interrupted::Ingest(IngestError::Cancelled));
            }
            Ok(())
        })
        .map_err(|stop| stop.or_temporary(&layer))?;
    file.finish().map_err(&fgb_error)?;
    index.finish().map_err(&index_error)?;
    Ok(ids)
}

/// Why the merge stopped: the runs on disk, or what is done with the records.
pub enum Interrupted {
    Temporary(std::io::Error),
    Ingest(IngestError),
}

impl Interrupted {
    pub fn or_temporary(self, layer: &str) -> IngestError {
        match self {
            Interrupted::Ingest(error) => error,
            Interrupted::Temporary(source) => temporary(layer.to_string(), source),
        }
    }
}

impl From<std::io::Error> for Interrupted {
    fn from(error: std::io::Error) -> Interrupted {
        Interrupted::Temporary(error)
    }
}

impl From<IngestError> for Interrupted {
    fn from(error: IngestError) -> Interrupted {
        Interrupted::Ingest(error)
    }
}

fn write_ids(
    draft: &Draft,
    parts: Parts<'_>,
    gathered: &Gathered,
    ids: ExternalSorter,
) -> Result<(), IngestError> {
    let error = file_error(draft, IDS_FILE);
    let mut out = IdWriter::create(&draft.path(IDS_FILE), gathered.stored).map_err(&error)?;
    ids.drain(|id, feature| -> Result<(), Interrupted> {
        let feature = u32::from_le_bytes(feature.try_into().expect("a number of four bytes"));
        Ok(out.push(id, feature).map_err(&error)?)
    })
    .map_err(|stop| stop.or_temporary(parts.options.name.as_str()))?;
    out.finish().map_err(&error)
}

fn write_issues(draft: &Draft, issues: &IssueLog) -> Result<(), IngestError> {
    let write = || -> std::io::Result<()> {
        let mut out = BufWriter::new(File::create_new(draft.path("issues.json"))?);
        serde_json::to_writer_pretty(&mut out, issues.groups())?;
        out.flush()?;
        out.into_inner().map_err(|e| e.into_error())?.sync_all()
    };
    write().map_err(file_error(draft, "issues.json"))
}

fn manifest(
    draft: &Draft,
    parts: Parts<'_>,
    gathered: &Gathered,
    levels: Vec<LevelSummary>,
) -> Result<Manifest, IngestError> {
    let bounds_lonlat = bounds_lonlat(parts, gathered)?;
    Ok(Manifest {
        format_version: FORMAT_VERSION,
        name: parts.options.name.clone(),
        kind: parts.options.kind,
        title: parts.options.title.clone(),
        attribution: parts.options.attribution.clone(),
        crs: parts.crs.clone(),
        bbox_in_layer_crs: finite(gathered.extent),
        bounds_lonlat: finite(bounds_lonlat),
        content: LayerGeometry::Vector(VectorInfo {
            geometry_type: common_type(&gathered.types),
            has_z: gathered.has_z,
            schema: parts.schema.clone(),
            id_field: parts.options.id_field.clone(),
            features: gathered.stored,
            vertices: gathered.vertices,
            natural_zoom: natural_zoom(gathered.vertices, &bounds_lonlat),
            aggregates: parts.options.aggregates.clone(),
            levels,
        }),
        source: parts.source.clone(),
        counts: ImportCounts {
            read: gathered.read,
            stored: gathered.stored,
            repaired: gathered.repaired,
            rejected: gathered.rejected,
        },
        issues: gathered
            .issues
            .groups()
            .iter()
            .map(|group| IssueCount {
                code: group.code,
                severity: group.severity,
                count: group.count,
            })
            .collect(),
        files: draft.file_sums()?,
    })
}

/// JSON has no infinity: the extent of an empty layer is written as a point.
fn finite(bbox: Bbox) -> Bbox {
    if bbox.is_empty() {
        Bbox::new(0.0, 0.0, 0.0, 0.0)
    } else {
        bbox
    }
}

fn common_type(types: &BTreeSet<GeometryType>) -> Option<GeometryType> {
    let first = *types.first()?;
    if types.len() == 1 {
        return Some(first);
    }
    types
        .iter()
        .all(|t| t.dimension() == first.dimension())
        .then(|| first.to_multi())
}

/// The zoom at which a Web Mercator tile of average density holds at most 16 000 vertices.
fn natural_zoom(vertices: u64, bounds_lonlat: &Bbox) -> u8 {
    const VERTICES_PER_TILE: f64 = 16_000.0;
    const HIGHEST: u8 = 18;
    if bounds_lonlat.is_empty() {
        return 0;
    }
    let mercator = |lat: f64| lat.clamp(-85.0, 85.0).to_radians().sin().atanh();
    let world = 2.0 * std::f64::consts::PI;
    let width = (bounds_lonlat.width().to_radians() / world).max(1e-9);
    let height =
        ((mercator(bounds_lonlat.max_y) - mercator(bounds_lonlat.min_y)) / world).max(1e-9);
    (0..HIGHEST)
        .find(|&zoom| {
            let side = f64::from(1u32 << zoom);
            let tiles = (width * side).max(1.0) * (height * side).max(1.0);
            vertices as f64 / tiles <= VERTICES_PER_TILE
        })
        .unwrap_or(HIGHEST)
}
