//! What is known of the features before any border is looked at: classes, places, what they cost.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{Layer, on_base_grid};
use crate::crs::Warp;
use crate::format::feature_index::FeatureIndex;
use crate::format::fgb::{FeatureView, FgbFile, ValueRef};
use crate::format::pyramid::NONE;
use crate::model::{Aggregates, Schema, Value, class_column};
use crate::store::{FEATURES_FILE, INDEX_FILE, StoreError};
use crate::topology::Face;

/// More classes than this are names, not classes.
const MOST_CLASSES: usize = 4096;
/// Features looked at at a time.
const BATCH: usize = 1 << 14;
/// Features looked at to learn what attributes cost in a tile.
const SAMPLE: usize = 2000;

/// The layer's files, and the way to the Web Mercator plane.
pub struct Features {
    pub file: FgbFile,
    pub index: FeatureIndex,
    pub warp: Warp,
}

impl Features {
    /// Of the files' pages memory need hold those only that are read at the moment.
    pub fn let_go(&self) {
        self.file.let_go();
        self.index.let_go();
    }

    pub fn open(layer: &Layer<'_>) -> Result<Features, super::IngestError> {
        Ok(Features {
            file: FgbFile::open(&layer.dir.join(FEATURES_FILE)).map_err(StoreError::from)?,
            index: FeatureIndex::open(&layer.dir.join(INDEX_FILE)).map_err(StoreError::from)?,
            warp: Warp::new(layer.crs, 3857, &layer.extent)?,
        })
    }
}

/// All features, by their numbers.
pub struct Known {
    /// Without their areas.
    pub faces: Vec<Face>,
    /// On the borders of each.
    pub vertices: Vec<u32>,
    /// Hashes of what each says of itself in a tile.
    pub looks: Vec<u64>,
    /// What the values of each came to; empty when nobody asked.
    pub results: Vec<Vec<Value>>,
    pub classes: Vec<String>,
    pub class_column: Option<usize>,
    pub feature_bytes: FeatureBytes,
}

/// What is seen of one feature.
struct Seen {
    face: Face,
    vertices: u32,
    look: u64,
    class: String,
    results: Option<Vec<Value>>,
}

/// What a feature costs in a tile beside its vertices, on average.
#[derive(Debug, Clone, Copy)]
pub struct FeatureBytes {
    pub shape: u32,
    pub label: u32,
}

pub fn gather(
    features: &Features,
    schema: &Schema,
    aggregates: &Aggregates,
) -> Result<Known, StoreError> {
    let Features { file, index, warp } = features;
    let class_column = class_column(schema);
    let mut known = Known {
        faces: Vec::with_capacity(index.len()),
        vertices: Vec::with_capacity(index.len()),
        looks: Vec::with_capacity(index.len()),
        results: Vec::new(),
        classes: Vec::new(),
        class_column,
        feature_bytes: feature_bytes(features, schema)?,
    };
    features.let_go();
    let mut class_numbers: HashMap<String, u32> = HashMap::new();
    let numbers: Vec<u32> = (0..index.len() as u32).collect();
    for batch in numbers.chunks(BATCH) {
        let seen: Vec<Seen> = batch
            .par_iter()
            .with_min_len(256)
            .map(|&number| {
                let record = index.record(number);
                let view = file.feature(record.offset)?;
                let class = class_column.and_then(|column| text_of(&view, schema, column));
                let mut look = Xxh3::new();
                look.update(&record.id.to_le_bytes());
                look.update(&record.label[0].to_le_bytes());
                look.update(&record.label[1].to_le_bytes());
                look.update(&record.label_clearance.to_le_bytes());
                look.update(file.message(record.offset)?);
                let [x, y] = warp.point(record.label[0], record.label[1]);
                let face = Face {
                    area: 0.0,
                    class: NONE,
                    count: 1,
                    joined: NONE,
                    place: on_base_grid(x, y),
                    runner_up: NONE,
                    is_nameless: false,
                };
                let class = class.unwrap_or_default();
                let results = match aggregates.is_empty() {
                    true => None,
                    false => Some(aggregates.of(&view.values(schema))),
                };
                Ok(Seen {
                    face,
                    vertices: record.vertices,
                    look: look.digest(),
                    class,
                    results,
                })
            })
            .collect::<Result<_, StoreError>>()?;
        for seen in seen {
            let Seen {
                mut face,
                vertices,
                look,
                class,
                results,
            } = seen;
            known.results.extend(results);
            if class_column.is_some() && class_numbers.len() <= MOST_CLASSES {
                face.class = *class_numbers.entry(class).or_insert_with_key(|class| {
                    known.classes.push(class.clone());
                    (known.classes.len() - 1) as u32
                });
            }
            known.faces.push(face);
            known.vertices.push(vertices);
            known.looks.push(look);
        }
        features.let_go();
    }
    if known.classes.len() > MOST_CLASSES {
        known.faces.iter_mut().for_each(|face| face.class = NONE);
        known.classes.clear();
        known.class_column = None;
    }
    number_by_name(&mut known);
    Ok(known)
}

/// What one feature's class is called must not decide how the others are numbered.
fn number_by_name(known: &mut Known) {
    let classes = &mut known.classes;
    let mut by_name: Vec<u32> = (0..classes.len() as u32).collect();
    by_name.sort_unstable_by(|&a, &b| classes[a as usize].cmp(&classes[b as usize]));
    let mut number_of = vec![0; classes.len()];
    for (number, &class) in (0..).zip(&by_name) {
        number_of[class as usize] = number;
    }
    classes.sort_unstable();
    for face in known.faces.iter_mut().filter(|face| face.class != NONE) {
        face.class = number_of[face.class as usize];
    }
}

fn text_of(view: &FeatureView<'_>, schema: &Schema, column: usize) -> Option<String> {
    let mut text = None;
    view.for_each_value(schema, |at, value| {
        if at == column {
            text = match value {
                ValueRef::Text(value) => Some(value.to_string()),
                ValueRef::Integer(value) => Some(value.to_string()),
                ValueRef::Boolean(value) => Some(value.to_string()),
                ValueRef::Real(value) => Some(value.to_string()),
                ValueRef::Binary(_) => None,
            };
        }
    });
    text
}

/// What a feature costs in a tile beside its vertices, on average: frame, id, two numbers per
/// attribute, and its share of the values, which a tile holds once each.
fn feature_bytes(features: &Features, schema: &Schema) -> Result<FeatureBytes, StoreError> {
    let Features { file, index, .. } = features;
    const FRAME: f64 = 30.0;
    const STEP: f64 = 4.0;
    // Chosen by their ids, so that an edit does not choose others.
    let one_in = (index.len() / SAMPLE).max(1).next_power_of_two() as u64;
    let is_chosen = |number: u32| {
        let id = index.record(number).id;
        xxh3_64(&id.to_le_bytes()).is_multiple_of(one_in)
    };
    let mut distinct: Vec<BTreeMap<Vec<u8>, u32>> = vec![BTreeMap::new(); schema.fields.len()];
    let mut sampled = 0u32;
    for number in 0..index.len() as u32 {
        if number.is_multiple_of(BATCH as u32) {
            features.let_go();
        }
        if !is_chosen(number) {
            continue;
        }
        let view = file.feature(index.record(number).offset)?;
        sampled += 1;
        view.for_each_value(schema, |column, value| {
            let bytes = match value {
                ValueRef::Text(text) => text.as_bytes().to_vec(),
                ValueRef::Integer(value) => value.to_le_bytes().to_vec(),
                ValueRef::Real(value) => value.to_le_bytes().to_vec(),
                ValueRef::Boolean(value) => vec![u8::from(value)],
                ValueRef::Binary(_) => return,
            };
            *distinct[column].entry(bytes).or_insert(0) += 1;
        });
    }
    let values: f64 = distinct
        .iter()
        .map(|values| {
            let used: u32 = values.values().sum();
            let bytes: usize = values.keys().map(|value| value.len() + 4).sum();
            f64::from(used) * 3.0 + bytes as f64
        })
        .sum();
    // A label repeats the numbers of the values, which the tile holds already.
    let numbers: u32 = distinct.iter().flat_map(BTreeMap::values).sum();
    // In steps: an edit of one feature must not make a difference to all tiles.
    let each = |bytes: f64| {
        let bytes = FRAME + bytes / f64::from(sampled.max(1));
        ((bytes / STEP).round() * STEP) as u32
    };
    Ok(FeatureBytes {
        shape: each(values),
        label: each(f64::from(numbers) * 3.0),
    })
}
