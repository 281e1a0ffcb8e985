//! From a foreign layer to a published generation.
//!
//! 1. read batches on one thread (the source's library is not parallel)
//! 2. check, repair, identify, label and encode features on all cores ([`check`], [`prepare`])
//! 3. sort them along the Hilbert curve, on disk when they do not fit ([`sort`])
//! 4. settle identities: duplicates get their own ([`identity`])
//! 5. write the FlatGeobuf, the indexes, the issues and the manifest ([`write`])
//! 6. make the pyramid of a polygon coverage ([`pyramid`]), levels of many points or lines ([`levels`])
//! 7. publish: the new generation appears whole or not at all
//!
//! Memory is bounded by the sort's budget and by the largest layer that gets a pyramid, whatever
//! the number of features. It does not open files (`source`) and does not decide what is current (`store`).

pub mod archive;
pub mod check;
mod identity;
mod levels;
mod prepare;
pub mod pyramid;
pub mod raster;
mod sort;
mod write;

use std::sync::mpsc;

use rayon::prelude::*;

use crate::crs::{Crs, CrsError};
use crate::model::{
    Aggregate, AggregateError, Aggregates, Feature, ImportCounts, IssueLog, LayerKind, LayerName,
    Schema, SourceInfo,
};
use crate::source::{SourceError, SourceLayer, Winding};
use crate::store::{Draft, Store, StoreError};

/// Why an import stopped. The workspace is then as it was before.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Crs(#[from] CrsError),
    #[error("layer {layer}: no field {field:?} for the ids; its fields are {}", .known.join(", "))]
    NoSuchIdField {
        layer: String,
        field: String,
        known: Vec<String>,
    },
    #[error("layer {layer}: {source}")]
    Aggregate {
        layer: String,
        source: AggregateError,
    },
    #[error("layer {layer}: more than {limit} features")]
    TooManyFeatures { layer: String, limit: u64 },
    #[error("layer {layer}: temporary files: {source}")]
    Temporary {
        layer: String,
        source: std::io::Error,
    },
    #[error("the import was cancelled (导入已取消)")]
    Cancelled,
}

/// What the user asked for, beyond the source itself.
#[derive(Debug, Clone)]
pub struct Options {
    pub name: LayerName,
    pub kind: LayerKind,
    pub title: String,
    pub attribution: Option<String>,
    /// The attribute that identifies a feature.
    pub id_field: Option<String>,
    /// What features that stand for several say of their values.
    pub aggregates: Vec<Aggregate>,
    /// What a tile of the pyramid should stay below, before compression.
    pub tile_bytes: u64,
    /// Memory for sorting, bytes.
    pub sort_budget_bytes: usize,
    /// Vertices of a coverage that a thread works on at a time.
    pub part_vertices: u64,
}

impl Options {
    pub fn new(name: LayerName, kind: LayerKind) -> Options {
        Options {
            title: name.to_string(),
            name,
            kind,
            attribution: None,
            id_field: None,
            aggregates: Vec::new(),
            tile_bytes: pyramid::Options::default().max_tile_bytes,
            sort_budget_bytes: 96 << 20,
            part_vertices: pyramid::Options::default().part_vertices,
        }
    }
}

/// A layer to be read: what is known beforehand, and the features batch by batch.
pub struct Input<'a> {
    pub schema: Schema,
    pub crs: Crs,
    pub source: SourceInfo,
    /// How the format wants rings to run.
    pub winding: Winding,
    /// What opening the source has shown already.
    pub found: IssueLog,
    /// Number of features, when the source knows it.
    pub expected: Option<u64>,
    /// Appends the next features to the batch; `false` when there are no more.
    pub read: ReadBatch<'a>,
}

impl Input<'static> {
    /// Reads an opened source. `checksum` is that of its file, where it is one.
    pub fn from_source(mut layer: SourceLayer, checksum: Option<String>) -> Input<'static> {
        /// A batch is done in milliseconds and holds a few megabytes at the most, apart from
        /// single features that are larger.
        const BATCH_FEATURES: usize = 512;
        const BATCH_VERTICES: usize = 1 << 16;
        Input {
            schema: layer.schema().clone(),
            crs: layer.crs().clone(),
            source: SourceInfo {
                checksum,
                ..layer.info()
            },
            winding: layer.winding(),
            found: IssueLog::default(),
            expected: layer.feature_count(),
            read: Box::new(move |features, issues| {
                layer.read_batch(BATCH_FEATURES, BATCH_VERTICES, features, issues)
            }),
        }
    }
}

/// Fills a batch and reports what it found wrong; `false` at the end.
pub type ReadBatch<'a> =
    Box<dyn FnMut(&mut Vec<Feature>, &mut IssueLog) -> Result<bool, SourceError> + Send + 'a>;

/// Where an import stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Features read so far.
    Reading(u64),
    /// Features written so far, of how many.
    Writing(u64, u64),
    /// Making the pyramid or the levels.
    Generalising,
    Publishing,
}

/// What an import did.
pub struct Outcome {
    pub snapshot: std::sync::Arc<crate::store::Snapshot>,
    pub counts: ImportCounts,
    pub issues: IssueLog,
    /// The part of the time that the pyramid or the levels took.
    pub generalising: std::time::Duration,
}

/// Imports one vector layer. `report` hears of the progress and says whether to go on.
pub fn import(
    store: &Store,
    options: &Options,
    input: Input<'_>,
    report: &(dyn Fn(Progress) -> bool + Sync),
) -> Result<Outcome, IngestError> {
    let layer = options.name.to_string();
    if let Some(field) = &options.id_field
        && input.schema.index_of(field).is_none()
    {
        return Err(IngestError::NoSuchIdField {
            layer,
            field: field.clone(),
            known: input.schema.fields.iter().map(|f| f.name.clone()).collect(),
        });
    }
    let aggregates = Aggregates::new(&options.aggregates, &input.schema)
        .map_err(|source| IngestError::Aggregate { layer, source })?;
    let draft = store.begin(&options.name)?;
    let mut gathered = write::Gathered::new(&draft, options, input.found);
    let context = prepare::Context::new(
        &input.schema,
        &input.crs,
        input.winding,
        options.id_field.as_deref(),
    );
    read_and_prepare(input.read, &context, &mut gathered, options, report)?;
    let identities = gathered.settle_identities(&options.name)?;
    let parts = write::Parts {
        options,
        schema: &input.schema,
        crs: &input.crs,
        source: &input.source,
        aggregates: &aggregates,
    };
    let write::Written {
        manifest,
        issues,
        generalising,
    } = write::generation(&draft, parts, gathered, identities, report)?;
    if !report(Progress::Publishing) {
        return Err(IngestError::Cancelled);
    }
    let counts = manifest.counts;
    let snapshot = store.publish(draft, &manifest)?;
    Ok(Outcome {
        snapshot,
        counts,
        issues,
        generalising,
    })
}

/// Steps 1 to 3: one thread reads ahead, all cores prepare, this one sorts.
fn read_and_prepare(
    mut read: ReadBatch<'_>,
    context: &prepare::Context<'_>,
    gathered: &mut write::Gathered,
    options: &Options,
    report: &(dyn Fn(Progress) -> bool + Sync),
) -> Result<(), IngestError> {
    /// Batches between reader and workers; each holds at most a few megabytes.
    const READ_AHEAD: usize = 4;
    let window = rayon::current_num_threads() * 2;
    let limit = u64::from(u32::MAX);
    type Read = Result<(Vec<Feature>, IssueLog), SourceError>;
    let (sender, receiver) = mpsc::sync_channel::<Read>(READ_AHEAD);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            loop {
                let (mut features, mut issues) = (Vec::new(), IssueLog::default());
                let more = read(&mut features, &mut issues);
                let last = !matches!(more, Ok(true));
                // The receiver hangs up when the import fails or is cancelled.
                if sender.send(more.map(|_| (features, issues))).is_err() || last {
                    return;
                }
            }
        });
        let mut ended = false;
        while !ended {
            let mut batches = Vec::with_capacity(window);
            // One batch is waited for, more are taken as far as they are there.
            match receiver.recv() {
                Ok(batch) => batches.push(batch?),
                Err(mpsc::RecvError) => ended = true,
            }
            while batches.len() < window
                && let Ok(batch) = receiver.try_recv()
            {
                batches.push(batch?);
            }
            let mut next = gathered.read;
            let numbered: Vec<_> = batches
                .into_iter()
                .map(|(features, issues)| {
                    let start = next;
                    next += features.len() as u64;
                    (start, features, issues)
                })
                .collect();
            let prepared: Vec<prepare::Batch> = numbered
                .into_par_iter()
                .map(|(start, features, issues)| prepare::batch(context, start, features, issues))
                .collect();
            for batch in prepared {
                gathered
                    .take(batch)
                    .map_err(|source| temporary(options.name.to_string(), source))?;
            }
            if gathered.read > limit {
                return Err(IngestError::TooManyFeatures {
                    layer: options.name.to_string(),
                    limit,
                });
            }
            if !report(Progress::Reading(gathered.read)) {
                return Err(IngestError::Cancelled);
            }
        }
        Ok(())
    })
}

fn temporary(layer: String, source: std::io::Error) -> IngestError {
    match StoreError::io(std::path::Path::new("workspace"), source) {
        full @ StoreError::DiskFull { .. } => IngestError::Store(full),
        StoreError::Io { source, .. } => IngestError::Temporary { layer, source },
        other => IngestError::Store(other),
    }
}

fn file_error(draft: &Draft, file: &str) -> impl Fn(std::io::Error) -> IngestError {
    let path = draft.path(file);
    move |source| IngestError::Store(StoreError::io(&path, source))
}
