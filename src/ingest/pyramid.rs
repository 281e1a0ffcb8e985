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
use xxhash_rust::xxh3::xxh3_64;

use super::IngestError;
use crate::crs::{Crs, Warp};
use crate::format::feature_index::FeatureIndex;
use crate::format::fgb::{FgbFile, GeometryView, ValueRef};
use crate::format::pyramid::{BASE_BITS, GROUPED_UNITS2, LevelFace, NONE, Vanished, write_level};
use crate::geom::Bbox;
use crate::model::{Schema, WEB_MERCATOR_HALF_M};
use crate::store::{
    FEATURES_FILE, INDEX_FILE, LevelInfo, PYRAMID_DIR, PYRAMID_VERSION, Pyramid, PyramidInfo,
    StoreError,
};
use crate::topology::{
    Arcs, Balance, ClipLines, Effort, Face, FaceCost, FaceRings, MergeOptions, Overlaps, Pixels,
    Point, Rings, Slack, Tolerance, areas_of, build, doubled_area, even_out, generalise,
    node_unmatched, resolve_overlaps, snap, trace,
};

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
/// A pixel's side in tile units, as a power of two: 256 pixels along a tile.
const PIXEL_BITS: u32 = 4;
/// From this area on a face usually has a label of its own; squared tile units.
const LABELLED_UNITS2: f64 = 4800.0;
/// Bytes of a joined face in a tile without its vertices: class, count and frame.
const MERGED_BYTES: u32 = 30;
/// The same for one that shares these with others of its class.
const GROUPED_BYTES: u32 = 8;
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
    /// And where no vertex of the zoom before is farther than this from the border then, tile units.
    pub tolerance_units: f64,
    /// The same where a tile would be above `max_tile_bytes`.
    pub coarse_tolerance_units2: f64,
    /// Faces below this area join a neighbour; squared tile units. Less where the whole layer
    /// is small, see [`least_area`].
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
            tolerance_units: 1.5,
            coarse_tolerance_units2: 200.0,
            min_face_units2: 64.0,
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
    let own: Vec<f64> = faces.iter().map(|face| face.area).collect();
    let truth = class_areas(&faces, &own);
    drop(own);
    let whole: f64 = truth.values().sum();
    let mut balance = Balance::default();
    let mut levels = Vec::new();
    let highest = (layer.natural_zoom + ZOOMS_BEYOND_NATURAL).min(HIGHEST_ZOOM);
    for zoom in (0..=highest).rev() {
        let merge = merge_options(zoom, whole, feature_bytes, options);
        // Less of both where the layer is small and shows smaller faces.
        let unit = f64::from(1u32 << merge.unit_shift);
        let scale = merge.min_area / options.min_face_units2;
        let slack = |units2: f64| Slack {
            doubled_area: (2.0 * units2 * scale) as i64,
            distance: options.tolerance_units * (scale / (unit * unit)).sqrt() * unit,
        };
        let tolerance = Tolerance {
            fine: slack(options.tolerance_units2),
            coarse: slack(options.coarse_tolerance_units2),
        };
        arcs = generalise(arcs, &mut faces, &mut balance, &merge, tolerance);
        let mut level = Level::of(&arcs, zoom, options.margin);
        level.keep_something(&faces);
        let shown = level.shown_areas(faces.len());
        even_out(&arcs, &mut faces, &mut balance, &shown, &merge);
        levels.push(level.write(&dir, &arcs, &faces)?);
        let level = levels.last_mut().expect("just pushed");
        let shown = class_areas(&faces, &shown);
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

/// The area below which faces join a neighbour, squared tile units: so small that a layer of
/// `whole` such units has faces enough to show its classes in their proportions.
fn least_area(whole: f64, options: &Options) -> f64 {
    const FACES: f64 = 4000.0;
    const FLOOR: f64 = 4.0;
    (whole / FACES).clamp(FLOOR, options.min_face_units2.max(FLOOR))
}

fn merge_options(zoom: u8, whole: f64, cost: FeatureBytes, options: &Options) -> MergeOptions {
    let shift = BASE_BITS - EXTENT_BITS - u32::from(zoom);
    let unit2 = ((1i64 << shift) as f64).powi(2);
    MergeOptions {
        min_area: least_area(whole / unit2, options) * unit2,
        cell_shift: BASE_BITS - u32::from(zoom),
        // What lies in the margin and the bytes around features are not in the estimate.
        cell_budget: options.max_tile_bytes * 90 / 100,
        unit_shift: shift,
        pixels: Pixels {
            shift: shift + PIXEL_BITS,
        },
        cost: FaceCost {
            single: cost.shape,
            label: cost.label,
            label_area: LABELLED_UNITS2 * unit2,
            merged: MERGED_BYTES,
            grouped: GROUPED_BYTES,
            grouped_area: GROUPED_UNITS2 * unit2,
        },
        effort: Effort::Smallest,
    }
}

/// What a level's file will hold.
struct Level {
    zoom: u8,
    margin: u32,
    /// On the grid of the zoom.
    arcs: Arcs,
    rings: FaceRings,
}

impl Level {
    fn of(arcs: &Arcs, zoom: u8, margin: u32) -> Level {
        let lines = ClipLines {
            period_shift: EXTENT_BITS,
            margin: margin as i32,
        };
        let shift = BASE_BITS - EXTENT_BITS - u32::from(zoom);
        let arcs = snap(arcs, shift, Some(lines));
        let rings = trace(&arcs);
        Level {
            zoom,
            margin,
            arcs,
            rings,
        }
    }

    /// What each of so many faces came to after rounding, in square units of the base grid.
    fn shown_areas(&self, faces: usize) -> Vec<f64> {
        let unit = f64::from(1u32 << (BASE_BITS - EXTENT_BITS - u32::from(self.zoom)));
        let areas = areas_of(&self.arcs, faces);
        areas.into_iter().map(|area| area * unit * unit).collect()
    }

    /// A level of which nothing is left shows a square of one unit for all of it.
    fn keep_something(&mut self, faces: &[Face]) {
        if !self.rings.faces.is_empty() {
            return;
        }
        let alive = (0u32..).zip(faces).filter(|(_, face)| face.count > 0);
        let Some((number, face)) = alive.max_by(|a, b| a.1.area.total_cmp(&b.1.area)) else {
            return;
        };
        let shift = BASE_BITS - EXTENT_BITS - u32::from(self.zoom);
        let (x, y) = (face.place.x >> shift, face.place.y >> shift);
        let square = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1), (x, y)];
        self.arcs
            .push(square.map(|(x, y)| Point::new(x, y)), [number, NONE]);
        self.rings = trace(&self.arcs);
    }

    /// What becomes of the faces that rounding left nothing of: a joined neighbour that is shown
    /// stands for them as well, the others vanish.
    fn vanished(&self, arcs: &Arcs, faces: &[Face]) -> (HashMap<u32, u32>, Vec<Vanished>) {
        let mut is_shown = vec![false; faces.len()];
        for &face in &self.rings.faces {
            is_shown[face as usize] = true;
        }
        let mut heir: BTreeMap<u32, u32> = BTreeMap::new();
        for sides in &arcs.sides {
            for [gone, other] in [[sides[0], sides[1]], [sides[1], sides[0]]] {
                if gone != NONE
                    && other != NONE
                    && !is_shown[gone as usize]
                    && is_shown[other as usize]
                    && faces[other as usize].count > 1
                {
                    let heir = heir.entry(gone).or_insert(other);
                    *heir = other.min(*heir);
                }
            }
        }
        let shift = BASE_BITS - EXTENT_BITS - u32::from(self.zoom);
        let (mut inherited, mut vanished) = (HashMap::new(), Vec::new());
        for (number, face) in (0u32..).zip(faces) {
            if face.count == 0 || is_shown[number as usize] {
                continue;
            }
            match heir.get(&number) {
                Some(&heir) => *inherited.entry(heir).or_insert(0) += face.count,
                None => vanished.push(Vanished {
                    place: Point::new(face.place.x >> shift, face.place.y >> shift),
                    count: face.count,
                }),
            }
        }
        (inherited, vanished)
    }

    fn write(&self, dir: &Path, arcs: &Arcs, faces: &[Face]) -> Result<LevelInfo, StoreError> {
        let path = Pyramid::level_path(dir, self.zoom);
        let (inherited, vanished) = self.vanished(arcs, faces);
        let describe = |number: u32| {
            let face = faces[number as usize];
            let is_named = face.count == 1 && !face.is_nameless;
            LevelFace {
                feature: if is_named { number } else { NONE },
                class: face.class,
                count: face.count + inherited.get(&number).unwrap_or(&0),
                area: face.area,
                ..LevelFace::default()
            }
        };
        let counts = write_level(
            &path,
            self.zoom,
            self.margin,
            &self.arcs,
            &self.rings,
            &vanished,
            describe,
        )
        .map_err(|e| StoreError::io(&path, e))?;
        let merged = faces.iter().filter(|face| face.count > 1);
        Ok(LevelInfo {
            zoom: self.zoom,
            faces: counts.faces as u64,
            points: counts.points as u64,
            merged_features: merged.map(|face| u64::from(face.count)).sum(),
            vanished_features: vanished.iter().map(|v| u64::from(v.count)).sum(),
            class_error: 0.0,
        })
    }
}

fn class_areas(faces: &[Face], of_faces: &[f64]) -> BTreeMap<u32, f64> {
    let mut areas = BTreeMap::new();
    for (face, area) in faces.iter().zip(of_faces).filter(|(f, _)| f.count > 0) {
        *areas.entry(face.class).or_insert(0.0) += area;
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
    feature_bytes: FeatureBytes,
}

/// What a feature costs in a tile beside its vertices, on average.
#[derive(Clone, Copy)]
struct FeatureBytes {
    shape: u32,
    label: u32,
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
                is_nameless: false,
            });
            for ring in shape.rings {
                rings.push(number, ring);
            }
        }
    }
    // By name: what one feature's class is called must not decide how the others are numbered.
    let mut by_name: Vec<u32> = (0..classes.len() as u32).collect();
    by_name.sort_unstable_by(|&a, &b| classes[a as usize].cmp(&classes[b as usize]));
    let mut number_of = vec![0; classes.len()];
    for (number, &class) in (0..).zip(&by_name) {
        number_of[class as usize] = number;
    }
    classes.sort_unstable();
    for face in faces.iter_mut().filter(|face| face.class != NONE) {
        face.class = number_of[face.class as usize];
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
) -> Result<FeatureBytes, StoreError> {
    const FRAME: f64 = 30.0;
    const STEP: f64 = 4.0;
    // Chosen by their ids, so that an edit does not choose others.
    let one_in = (index.len() / SAMPLE).max(1).next_power_of_two() as u64;
    let is_chosen = |number: &u32| {
        let id = index.record(*number).id;
        xxh3_64(&id.to_le_bytes()).is_multiple_of(one_in)
    };
    let mut distinct: Vec<BTreeMap<Vec<u8>, u32>> = vec![BTreeMap::new(); schema.fields.len()];
    let mut sampled = 0u32;
    for number in (0..index.len() as u32).filter(is_chosen) {
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
