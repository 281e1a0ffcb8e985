//! Pieces with lineage and attributes, into a file or a layer of the workspace.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use indicatif::ProgressBar;

use super::table::group_text;
use super::vector_file::VectorFile;
use super::{Operation, OverlayArgs, Target, show};
use crate::analysis::{self, Dissolved, Grouping, LayerRead, PieceRow, Request, Selection};
use crate::cli::Failure;
use crate::crs::Crs;
use crate::geom::Geometry;
use crate::ingest::{self, IngestError, Input};
use crate::model::{Feature, Field, FieldType, IssueLog, LayerName, Schema, SourceInfo, Value};
use crate::query::Budget;
use crate::source::Winding;
use crate::store::Store;

/// Pieces per batch on their way into a layer, and batches that wait.
const BATCH: usize = 512;
const BATCHES_WAITING: usize = 4;

pub fn write(
    request: &Request<'_>,
    args: &OverlayArgs,
    target: &Target,
    store: &Store,
    budget: &Budget,
    bar: &ProgressBar,
) -> Result<Vec<LayerRead>, Failure> {
    if args.adjust.is_some() {
        return Err(Failure::Usage {
            message: "--adjust is for tables: .csv, .json or .xlsx (平差仅用于面积表)".into(),
        });
    }
    let crs = &request.selections[0].snapshot.manifest.crs;
    let schema = schema(request, args);
    let made = match target {
        Target::File(path, format) => {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let mut file = VectorFile::create(path, *format, &name, crs, schema)?;
            let made = run(request, args, budget, bar, &mut |geometry, values| {
                file.push(&geometry, &values)
            });
            match made {
                Ok(_) => file.finish()?,
                Err(_) => file.abandon(),
            }
            made
        }
        Target::Layer(name) => into_layer(request, args, name, crs, schema, store, budget, bar),
        Target::Table(_) => Ok(Vec::new()),
    };
    bar.finish_and_clear();
    made
}

type Push<'a> = dyn FnMut(Geometry, Vec<Value>) -> Result<(), Failure> + 'a;

fn run(
    request: &Request<'_>,
    args: &OverlayArgs,
    budget: &Budget,
    bar: &ProgressBar,
    push: &mut Push<'_>,
) -> Result<Vec<LayerRead>, Failure> {
    let progress = |at| show(bar, at);
    if args.op == Operation::Dissolve {
        let conditions = request.conditions.first().map_or(&[][..], Vec::as_slice);
        let left = &request.selections[0];
        let (shapes, read) = analysis::dissolve(left, conditions, request.mode, budget, &progress)?;
        for shape in shapes {
            let values = dissolved_values(&shape, args);
            push(shape.geometry, values)?;
        }
        return Ok(vec![read]);
    }
    let report = analysis::pieces(request, budget, &progress, &mut |piece: PieceRow| {
        let values = values(request, args, &piece)?;
        push(piece.geometry, values)
    })?;
    Ok(report.layers)
}

fn field(name: String, field_type: FieldType) -> Field {
    Field {
        name,
        alias: None,
        field_type,
        width: 0,
        precision: 0,
    }
}

/// Layers whose attributes the pieces carry.
fn carried<'a>(request: &'a Request<'_>, args: &OverlayArgs) -> &'a [Selection<'a>] {
    match args.op {
        Operation::Clip => &request.selections[..1],
        _ => request.selections,
    }
}

/// Per layer its feature's id and fields, prefixed with the layer's name, then the area.
fn schema(request: &Request<'_>, args: &OverlayArgs) -> Schema {
    let mut fields = Vec::new();
    if args.op == Operation::Dissolve {
        let name = match &request.selections[0].grouping {
            Grouping::Field(name) => name.clone(),
            Grouping::Layer | Grouping::Feature => "group".to_string(),
        };
        fields.push(field(name, FieldType::String));
        fields.push(field("features".to_string(), FieldType::Integer));
    } else {
        for selection in carried(request, args) {
            let layer = selection.snapshot.name();
            fields.push(field(format!("{layer}_id"), FieldType::String));
            if let Some((_, info)) = selection.snapshot.vector() {
                fields.extend(info.schema.fields.iter().map(|own| Field {
                    name: format!("{layer}_{}", own.name),
                    ..own.clone()
                }));
            }
        }
    }
    fields.push(field(format!("area_{}", args.unit.word()), FieldType::Real));
    fields.push(field("sliver".to_string(), FieldType::Integer));
    Schema { fields }
}

fn measures(area_m2: f64, args: &OverlayArgs) -> [Value; 2] {
    [
        Value::Real(args.unit.of_m2(area_m2).0),
        Value::Integer(i64::from(area_m2.abs() < args.sliver)),
    ]
}

fn dissolved_values(shape: &Dissolved, args: &OverlayArgs) -> Vec<Value> {
    let mut values = vec![
        Value::Text(group_text(&shape.group).to_string()),
        Value::Integer(shape.features as i64),
    ];
    values.extend(measures(shape.area_m2, args));
    values
}

fn values(
    request: &Request<'_>,
    args: &OverlayArgs,
    piece: &PieceRow,
) -> Result<Vec<Value>, Failure> {
    let mut values = Vec::new();
    for (selection, feature) in carried(request, args).iter().zip(&piece.features) {
        let Some((data, info)) = selection.snapshot.vector() else {
            continue;
        };
        let start = values.len();
        values.resize(start + 1 + info.schema.fields.len(), Value::Null);
        let Some(feature) = *feature else { continue };
        let record = data.index.record(feature);
        // Ids have all 64 bits, more than GDAL's integers.
        values[start] = Value::Text(record.id.to_string());
        let view = data
            .features
            .feature(record.offset)
            .map_err(analysis::AnalysisError::from)?;
        view.for_each_value(&info.schema, |at, value| {
            values[start + 1 + at] = value.to_value();
        });
    }
    values.extend(measures(piece.area_m2, args));
    Ok(values)
}

/// Pieces go through the import like any other source: checked, sorted, indexed, published whole.
#[allow(clippy::too_many_arguments, reason = "one call, all of it needed")]
fn into_layer(
    request: &Request<'_>,
    args: &OverlayArgs,
    name: &LayerName,
    crs: &Crs,
    schema: Schema,
    store: &Store,
    budget: &Budget,
    bar: &ProgressBar,
) -> Result<Vec<LayerRead>, Failure> {
    let kind = request.selections[0].snapshot.manifest.kind;
    let mut options = ingest::Options::new(name.clone(), kind);
    options.title = title(request, args);
    let (sender, receiver) = sync_channel::<Vec<Feature>>(BATCHES_WAITING);
    let failed = AtomicBool::new(false);
    let outcome: Mutex<Option<Result<Vec<LayerRead>, Failure>>> = Mutex::new(None);
    let imported = std::thread::scope(|scope| {
        scope.spawn(|| {
            let made = send_all(request, args, budget, bar, sender);
            failed.store(made.is_err(), Ordering::Relaxed);
            *outcome.lock().expect("no panic while held") = Some(made);
        });
        let input = Input {
            schema,
            crs: crs.clone(),
            source: SourceInfo {
                name: title(request, args),
                layer: None,
                driver: "onemap overlay".to_string(),
                encoding: None,
                checksum: None,
                bytes: None,
            },
            winding: Winding::Free,
            found: IssueLog::default(),
            expected: None,
            // Taken along: a sender that still waits at the end is told that nobody listens.
            read: Box::new(move |features, _issues| Ok(receive(&receiver, features))),
        };
        ingest::import(store, &options, input, &|_| {
            !failed.load(Ordering::Relaxed) && budget.check().is_ok()
        })
    });
    let made = outcome.into_inner().expect("no panic while held");
    match (made, imported) {
        (Some(Err(failure)), _) => Err(failure),
        (_, Err(IngestError::Cancelled)) => Err(Failure::Interrupted),
        (_, Err(error)) => Err(error.into()),
        (made, Ok(_)) => made.unwrap_or(Err(Failure::Interrupted)),
    }
}

fn title(request: &Request<'_>, args: &OverlayArgs) -> String {
    let names: Vec<&str> = request
        .selections
        .iter()
        .map(|selection| selection.snapshot.name())
        .collect();
    format!("{} {}", names.join(" × "), args.op.word())
}

fn receive(receiver: &Receiver<Vec<Feature>>, features: &mut Vec<Feature>) -> bool {
    match receiver.recv() {
        Ok(batch) => {
            features.extend(batch);
            true
        }
        Err(_) => false,
    }
}

fn send_all(
    request: &Request<'_>,
    args: &OverlayArgs,
    budget: &Budget,
    bar: &ProgressBar,
    sender: SyncSender<Vec<Feature>>,
) -> Result<Vec<LayerRead>, Failure> {
    let mut batch: Vec<Feature> = Vec::with_capacity(BATCH);
    let mut count = 0;
    let made = run(request, args, budget, bar, &mut |geometry, values| {
        count += 1;
        batch.push(Feature {
            source_id: count,
            geometry: Some(geometry),
            values,
        });
        if batch.len() == BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            return sender.send(full).map_err(|_| Failure::Interrupted);
        }
        Ok(())
    })?;
    sender.send(batch).map_err(|_| Failure::Interrupted)?;
    Ok(made)
}
