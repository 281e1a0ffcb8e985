//! Makes the pyramid of a polygon coverage: one level per zoom, from the finest to the coarsest.
//!
//! mesh of the whole layer → per zoom: simplify, let small faces join, simplify what became one
//! arc, round to the zoom's grid, walk the rings, write. Each zoom goes on from the unrounded
//! arcs of the one before it, so the coarse levels cost next to nothing and borders keep their
//! vertices from level to level.
//!
//! Layers that are not coverages (buildings, rights that overlap) get none: their features are cut
//! one by one. So do layers too large for the memory a mesh may take.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use rayon::prelude::*;

use super::IngestError;
use crate::crs::{Crs, Warp};
use crate::format::feature_index::FeatureIndex;
use crate::format::fgb::{FgbFile, GeometryView, ValueRef};
use crate::format::pyramid::{LevelFace, NONE, write_level};
use crate::geom::Bbox;
use crate::model::{Schema, WEB_MERCATOR_HALF_M};
use crate::store::{
    FEATURES_FILE, INDEX_FILE, LevelInfo, PYRAMID_DIR, PYRAMID_VERSION, Pyramid, PyramidInfo,
    StoreError,
};
use crate::topology::{
    Arcs, Balance, ClipLines, Face, MergeOptions, Overlaps, Point, Rings, build, dissolve_small,
    doubled_area, node_unmatched, resolve_overlaps, simplify, snap, trace,
};

/// The base grid has `2^BASE_BITS` units along the side of the Web Mercator square: 1.9 cm.
const BASE_BITS: u32 = 31;
/// Units along a tile's side, as a power of two.
const EXTENT_BITS: u32 = 12;
/// The finest zoom that gets a level.
const HIGHEST_ZOOM: u8 = 16;
/// Levels beyond the zoom at which a tile of average density is small.
const ZOOMS_BEYOND_NATURAL: u8 = 3;
/// An unmatched border is led through vertices this close, base grid units.
const NODING_TOLERANCE: i32 = 2;
/// A layer is a coverage when at least this share of its borders has a face on both sides.
const SHARED_BORDER_SHARE: f64 = 0.5;
/// More classes than this are names, not classes.
const MOST_CLASSES: usize = 4096;
/// Features turned into rings at a time.
const BATCH: usize = 1 << 16;
/// Features looked at to learn what attributes cost in a tile.
const SAMPLE: usize = 2000;

/// Attributes that hold a feature's class, the most specific first.
const CLASS_FIELDS: [&str; 17] = [
    "DLBM", "dlbm", "DLDM", "dldm", "BGHDLBM", "KCDLBM", "GHDLBM", "GHYTDM", "GZQ", "landuse",
    "LANDUSE", "natural", "leisure", "fclass", "class", "CLASS", "type",
];

/// How a pyramid is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Vertices go when they change a border by less than this area, in squared tile units.
    pub tolerance_units2: f64,
    /// Faces below this area join a neighbour; squared tile units.
    pub min_face_units2: f64,
    /// What a tile's bytes should stay below before compression; 0 for no limit.
    pub max_tile_bytes: u64,
    /// Margin around tiles, tile units.
    pub margin: u32,
    /// A layer with more vertices gets no pyramid: the mesh is made in memory.
    pub max_vertices: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            tolerance_units2: 2.0,
            min_face_units2: 4.0,
            max_tile_bytes: 500_000,
            margin: 64,
            max_vertices: 12_000_000,
        }
    }
}

/// The layer whose pyramid is made, as its files in `dir` hold it.
pub struct Layer<'a> {
    pub dir: &'a Path,
    pub schema: &'a Schema,
    pub crs: &'a Crs,
    pub extent: Bbox,
    pub vertices: u64,
    pub natural_zoom: u8,
}

/// Writes the pyramid of a generation; `false` when the layer is none that gets one.
///
/// # Errors
/// When the layer's files cannot be read or the pyramid's not written.
pub fn write(layer: &Layer<'_>, options: &Options) -> Result<bool, IngestError> {
    if layer.vertices > options.max_vertices || layer.extent.is_empty() {
        return Ok(false);
    }
    let Gathered {
        rings,
        mut faces,
        classes,
        class_column,
        feature_bytes,
    } = gather(layer)?;
    let arcs = build(&rings);
    drop(rings);
    let (arcs, vertices_inserted) = node_unmatched(arcs, NODING_TOLERANCE);
    if shared_share(&arcs) < SHARED_BORDER_SHARE {
        return Ok(false);
    }
    let (mut arcs, overlaps) = resolve_overlaps(arcs);
    if overlaps.clusters_left > 0 {
        return Ok(false);
    }
    let dir = layer.dir.join(PYRAMID_DIR);
    fs::create_dir(&dir).map_err(|e| StoreError::io(&dir, e))?;
    let truth = class_areas(&faces);
    let whole: f64 = truth.values().sum();
    let mut balance = Balance::default();
    let mut levels = Vec::new();
    let highest = (layer.natural_zoom + ZOOMS_BEYOND_NATURAL).min(HIGHEST_ZOOM);
    for zoom in (0..=highest).rev() {
        let shift = BASE_BITS - EXTENT_BITS - u32::from(zoom);
        let unit2 = ((1i64 << shift) as f64).powi(2);
        let doubled = (2.0 * options.tolerance_units2 * unit2) as i64;
        arcs = simplify(&arcs, doubled);
        let merge = MergeOptions {
            min_area: options.min_face_units2 * unit2,
            cell_shift: BASE_BITS - u32::from(zoom),
            // What lies in the margin and the bytes around features are not in the estimate.
            cell_budget: options.max_tile_bytes * 76 / 100,
            unit_shift: shift,
            single_cost: feature_bytes,
            merged_cost: MERGED_BYTES,
        };
        let (linked, report) = dissolve_small(&arcs, &mut faces, &mut balance, &merge);
        arcs = if report.merged > 0 {
            simplify(&linked, doubled)
        } else {
            linked
        };
        levels.push(write_zoom(&dir, zoom, shift, &arcs, &faces, options)?);
        let level = levels.last_mut().expect("just pushed");
        let shown = class_areas(&faces);
        let error: f64 = truth
            .iter()
            .map(|(class, area)| (shown.get(class).unwrap_or(&0.0) - area).abs())
            .sum();
        level.class_error = error / whole.max(f64::MIN_POSITIVE);
        balance = balance.coarser();
    }
    levels.reverse();
    let Overlaps { crossings, .. } = overlaps;
    let info = PyramidInfo {
        version: PYRAMID_VERSION,
        class_field: class_column.map(|column| layer.schema.fields[column].name.clone()),
        class_column,
        classes,
        levels,
        crossings,
        vertices_inserted,
    };
    Pyramid::write_info(&dir, &info)?;
    Ok(true)
}

/// Bytes of a joined face in a tile without its vertices: class, count and frame.
const MERGED_BYTES: u32 = 30;

fn write_zoom(
    dir: &Path,
    zoom: u8,
    shift: u32,
    arcs: &Arcs,
    faces: &[Face],
    options: &Options,
) -> Result<LevelInfo, StoreError> {
    let lines = ClipLines {
        period_shift: EXTENT_BITS,
        margin: options.margin as i32,
    };
    let snapped = snap(arcs, shift, Some(lines));
    let rings = trace(&snapped);
    let path = Pyramid::level_path(dir, zoom);
    let describe = |number: u32| {
        let face = faces[number as usize];
        LevelFace {
            feature: if face.count == 1 { number } else { NONE },
            class: face.class,
            count: face.count,
            area: face.area,
            ..LevelFace::default()
        }
    };
    let counts = write_level(&path, zoom, options.margin, &snapped, &rings, describe)
        .map_err(|e| StoreError::io(&path, e))?;
    let alive: u64 = faces.iter().map(|face| u64::from(face.count)).sum();
    let shown: u64 = rings
        .faces
        .iter()
        .map(|&face| u64::from(faces[face as usize].count))
        .sum();
    Ok(LevelInfo {
        zoom,
        faces: counts.faces as u64,
        points: counts.points as u64,
        merged_features: faces
            .iter()
            .filter(|face| face.count > 1)
            .map(|face| u64::from(face.count))
            .sum(),
        vanished_features: alive - shown,
        class_error: 0.0,
    })
}

fn class_areas(faces: &[Face]) -> BTreeMap<u32, f64> {
    let mut areas = BTreeMap::new();
    for face in faces.iter().filter(|face| face.count > 0) {
        *areas.entry(face.class).or_insert(0.0) += face.area;
    }
    areas
}

/// Share of the length of all borders that has a face on both sides.
fn shared_share(arcs: &Arcs) -> f64 {
    let (mut all, mut shared) = (0.0f64, 0.0f64);
    for arc in 0..arcs.len() {
        let length: f64 = arcs
            .points_of(arc)
            .windows(2)
            .map(|p| {
                (f64::from(p[1].x) - f64::from(p[0].x)).hypot(f64::from(p[1].y) - f64::from(p[0].y))
            })
            .sum();
        all += length;
        if !arcs.sides[arc].contains(&NONE) {
            // Both faces have it: the rim of a lone feature counts half as much.
            shared += 2.0 * length;
            all += length;
        }
    }
    shared / all.max(f64::MIN_POSITIVE)
}

struct Gathered {
    rings: Rings,
    faces: Vec<Face>,
    classes: Vec<String>,
    class_column: Option<usize>,
    feature_bytes: u32,
}

/// One feature on the base grid.
struct Shape {
    rings: Vec<Vec<Point>>,
    area: f64,
    place: Point,
    class: Option<String>,
}

fn gather(layer: &Layer<'_>) -> Result<Gathered, IngestError> {
    let features = FgbFile::open(&layer.dir.join(FEATURES_FILE)).map_err(StoreError::from)?;
    let index = FeatureIndex::open(&layer.dir.join(INDEX_FILE)).map_err(StoreError::from)?;
    let warp = Warp::new(layer.crs, 3857, &layer.extent)?;
    let class_column = CLASS_FIELDS
        .iter()
        .find_map(|name| layer.schema.index_of(name));
    let feature_bytes = feature_bytes(&features, &index, layer.schema)?;
    let (mut rings, mut faces) = (Rings::default(), Vec::with_capacity(index.len()));
    let mut classes: Vec<String> = Vec::new();
    let mut class_numbers: HashMap<String, u32> = HashMap::new();
    let numbers: Vec<u32> = (0..index.len() as u32).collect();
    for batch in numbers.chunks(BATCH) {
        let shapes: Vec<Shape> = batch
            .par_iter()
            .with_min_len(256)
            .map(|&number| {
                let record = index.record(number);
                let view = features.feature(record.offset)?;
                let mut shape = view
                    .geometry()
                    .map_or_else(Shape::empty, |geometry| Shape::of(&geometry, &warp));
                let [x, y] = warp.point(record.label[0], record.label[1]);
                shape.place = on_base_grid(x, y);
                shape.class = class_column.and_then(|column| text_of(&view, layer.schema, column));
                Ok(shape)
            })
            .collect::<Result<_, StoreError>>()?;
        for (&number, shape) in batch.iter().zip(shapes) {
            let class = match class_column {
                None => NONE,
                Some(_) => {
                    let value = shape.class.unwrap_or_default();
                    *class_numbers.entry(value).or_insert_with_key(|value| {
                        classes.push(value.clone());
                        (classes.len() - 1) as u32
                    })
                }
            };
            faces.push(Face {
                area: shape.area,
                class,
                count: 1,
                place: shape.place,
                runner_up: NONE,
            });
            for ring in shape.rings {
                rings.push(number, ring);
            }
        }
    }
    if classes.len() > MOST_CLASSES {
        faces.iter_mut().for_each(|face| face.class = NONE);
        return Ok(Gathered {
            rings,
            faces,
            classes: Vec::new(),
            class_column: None,
            feature_bytes,
        });
    }
    Ok(Gathered {
        rings,
        faces,
        classes,
        class_column,
        feature_bytes,
    })
}

impl Shape {
    fn empty() -> Shape {
        Shape {
            rings: Vec::new(),
            area: 0.0,
            place: Point::new(0, 0),
            class: None,
        }
    }

    fn of(geometry: &GeometryView<'_>, warp: &Warp) -> Shape {
        let mut shape = Shape::empty();
        if geometry.kind.dimension() != 2 {
            return shape;
        }
        let mut planar = Vec::new();
        for part in geometry.parts() {
            for (i, ring) in part.rings().enumerate() {
                planar.clear();
                warp.append(ring.points(), &mut planar);
                let mut points: Vec<Point> =
                    planar.iter().map(|&[x, y]| on_base_grid(x, y)).collect();
                let doubled = doubled_area(&points);
                if (doubled > 0) != (i == 0) {
                    points.reverse();
                }
                let area = doubled.abs() as f64 / 2.0;
                shape.area += if i == 0 { area } else { -area };
                shape.rings.push(points);
            }
        }
        shape.area = shape.area.max(0.0);
        shape
    }
}

/// A position of the Web Mercator plane on the base grid; rows count downwards.
fn on_base_grid(x_m: f64, y_m: f64) -> Point {
    let scale = (1u64 << BASE_BITS) as f64 / (2.0 * WEB_MERCATOR_HALF_M);
    let one = |v: f64| {
        (v * scale)
            .round()
            .clamp(0.0, ((1u64 << BASE_BITS) - 1) as f64) as i32
    };
    Point::new(
        one(x_m + WEB_MERCATOR_HALF_M),
        one(WEB_MERCATOR_HALF_M - y_m),
    )
}

fn text_of(
    view: &crate::format::fgb::FeatureView<'_>,
    schema: &Schema,
    column: usize,
) -> Option<String> {
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
fn feature_bytes(
    features: &FgbFile,
    index: &FeatureIndex,
    schema: &Schema,
) -> Result<u32, StoreError> {
    const FRAME: f64 = 18.0;
    let step = (index.len() / SAMPLE).max(1);
    let mut distinct: Vec<BTreeMap<Vec<u8>, u32>> = vec![BTreeMap::new(); schema.fields.len()];
    let mut sampled = 0u32;
    for number in (0..index.len() as u32).step_by(step) {
        let view = features.feature(index.record(number).offset)?;
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
    Ok((FRAME + values / f64::from(sampled.max(1))).ceil() as u32)
}
