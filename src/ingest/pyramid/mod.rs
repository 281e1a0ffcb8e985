//! Makes the pyramid of a polygon coverage: one level per zoom, from the finest to the coarsest.
//!
//! 1. what is known of the features without their borders ([`gather`])
//! 2. the mesh: the borders of the features, each once ([`mesh`])
//! 3. per zoom: simplify, let small faces join, simplify what became one arc; then round to the
//!    zoom's grid, walk the rings, write ([`level`]). Each zoom goes on from the unrounded arcs of the
//!    one before it, so the coarse levels cost next to nothing and borders keep their vertices from
//!    level to level.
//!
//! All of that is done part by part of the layer ([`division`]), on all cores; between the steps the
//! arcs lie on disk ([`arc_store`]). Memory holds a few parts, and some bytes for each feature.
//!
//! Layers that are not coverages (buildings, rights that overlap) get none: their features are cut
//! one by one.

mod arc_store;
mod division;
mod gather;
mod level;
mod mesh;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::IngestError;
use crate::crs::Crs;
use crate::format::pyramid::{BASE_BITS, GROUPED_UNITS2, LevelWriter};
use crate::geom::Bbox;
use crate::model::{Aggregates, Schema, Value, WEB_MERCATOR_HALF_M};
use crate::store::{LevelInfo, PYRAMID_DIR, PYRAMID_VERSION, Pyramid, PyramidInfo, StoreError};
use crate::topology::{
    Balance, BalanceEntry, Effort, Face, FaceCost, MergeOptions, NONE, Pixels, Point, Slack,
    Tolerance, cell_of,
};
use arc_store::ArcStore;
use division::{Division, Part, at_once, in_order};
use gather::{FeatureBytes, Features, Known};
use level::{Generalised, Shown, Zoom, class_areas, root, unit_shift};

/// The finest zoom that gets a level.
const HIGHEST_ZOOM: u8 = 16;
/// Levels beyond the zoom at which a tile of average density is small.
const ZOOMS_BEYOND_NATURAL: u8 = 3;
/// A layer is a coverage when at least this share of its borders has a face on both sides.
const SHARED_BORDER_SHARE: f64 = 0.5;
/// A pixel's side in tile units, as a power of two: 256 pixels along a tile.
const PIXEL_BITS: u32 = 4;
/// From this area on a face usually has a label of its own; squared tile units.
const LABELLED_UNITS2: f64 = 4800.0;
/// Bytes of an aggregate in a tile: the numbers of its key and value, and its share of the values.
const AGGREGATE_BYTES: u32 = 8;
/// Bytes of a joined face in a tile without its vertices: class, count and frame.
const MERGED_BYTES: u32 = 30;
/// The same for one that shares these with others of its class.
const GROUPED_BYTES: u32 = 8;

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
    /// Vertices worked on at a time by a thread, as far as possible. Borders are in it twice.
    pub part_vertices: u64,
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
            part_vertices: 2_000_000,
        }
    }
}

/// The layer whose pyramid is made, as its files in `dir` hold it.
pub struct Layer<'a> {
    pub dir: &'a Path,
    pub schema: &'a Schema,
    pub aggregates: &'a Aggregates,
    pub crs: &'a Crs,
    pub extent: Bbox,
    pub natural_zoom: u8,
}

/// Writes the pyramid of a generation; `false` when the layer is none that gets one. `go_on` is
/// asked now and then.
///
/// # Errors
/// When the layer's files cannot be read or the pyramid's not written, or when it is cancelled.
pub fn write(
    layer: &Layer<'_>,
    options: &Options,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<bool, IngestError> {
    if layer.extent.is_empty() {
        return Ok(false);
    }
    let features = Features::open(layer)?;
    let mut known = gather::gather(&features, layer.schema, layer.aggregates)?;
    let highest = (layer.natural_zoom + ZOOMS_BEYOND_NATURAL).min(HIGHEST_ZOOM);
    let dir = layer.dir.join(PYRAMID_DIR);
    fs::create_dir(&dir).map_err(|e| StoreError::io(&dir, e))?;
    let work = Work {
        layer,
        options,
        dir: &dir,
        go_on,
    };
    let Some(mesh) = work.mesh(&features, &mut known, highest)? else {
        fs::remove_dir(&dir).map_err(|e| StoreError::io(&dir, e))?;
        return Ok(false);
    };
    drop(features);
    let levels = work.levels(&mut known, mesh.arcs, mesh.vertices, highest)?;
    let info = PyramidInfo {
        version: PYRAMID_VERSION,
        class_field: known
            .class_column
            .map(|column| layer.schema.fields[column].name.clone()),
        class_column: known.class_column,
        classes: known.classes,
        levels,
        crossings: mesh.crossings,
        vertices_inserted: mesh.vertices_inserted,
    };
    Pyramid::write_info(&dir, &info)?;
    Ok(true)
}

/// What all steps have in common.
struct Work<'a> {
    layer: &'a Layer<'a>,
    options: &'a Options,
    dir: &'a Path,
    go_on: &'a (dyn Fn() -> bool + Sync),
}

/// The borders of the layer.
struct LayerMesh {
    arcs: ArcStore,
    /// Of each face.
    vertices: Vec<u32>,
    crossings: u64,
    vertices_inserted: u64,
}

impl Work<'_> {
    fn check(&self) -> Result<(), IngestError> {
        match (self.go_on)() {
            true => Ok(()),
            false => Err(IngestError::Cancelled),
        }
    }

    fn divide(&self, zoom: u8, faces: &[Face], vertices: &[u32]) -> (Division, Vec<Part>) {
        let alive = |(_, face): &(u32, &Face)| face.count > 0;
        let places: Vec<(Point, u32)> = (0..)
            .zip(faces)
            .filter(alive)
            .map(|(number, face): (u32, _)| (face.place, vertices[number as usize]))
            .collect();
        let division = Division::choose(zoom, &places, self.options.part_vertices);
        let numbers = (0..).zip(faces).filter(alive).map(|(number, _)| number);
        let faces = numbers.zip(&places);
        let parts = division.parts(faces.map(|(number, &(place, count))| (number, place, count)));
        (division, parts)
    }

    /// `None` when the layer is no coverage. The areas of the faces are known then.
    fn mesh(
        &self,
        features: &Features,
        known: &mut Known,
        highest: u8,
    ) -> Result<Option<LayerMesh>, IngestError> {
        let vertices = std::mem::take(&mut known.vertices);
        let (division, parts) = self.divide(highest + 1, &known.faces, &vertices);
        let mut arcs = ArcStore::create(self.dir)?;
        let (mut length, mut shared_length) = (0.0, 0.0);
        let (mut crossings, mut vertices_inserted, mut unresolved) = (0, 0, 0);
        let mut areas = vec![0.0; known.faces.len()];
        in_order(
            &parts,
            at_once(&parts, self.options.part_vertices),
            |part| {
                self.check()?;
                let found = mesh::mesh(self.layer, features, &known.faces, &division, part)?;
                Ok::<_, IngestError>((part, found))
            },
            |(part, found)| {
                arcs.push(&found.arcs)?;
                length += found.length;
                shared_length += found.shared_length;
                crossings += found.crossings;
                vertices_inserted += found.vertices_inserted;
                unresolved += found.unresolved;
                for (&face, area) in part.own.iter().zip(found.areas) {
                    areas[face as usize] = area;
                }
                Ok(())
            },
        )?;
        for (face, area) in known.faces.iter_mut().zip(areas) {
            face.area = area;
        }
        if unresolved > 0 || shared_length < SHARED_BORDER_SHARE * length {
            return Ok(None);
        }
        Ok(Some(LayerMesh {
            arcs,
            vertices,
            crossings,
            vertices_inserted,
        }))
    }

    /// Writes the levels from the finest to the coarsest; they come back the other way about.
    fn levels(
        &self,
        known: &mut Known,
        mesh: ArcStore,
        mut vertices: Vec<u32>,
        highest: u8,
    ) -> Result<Vec<LevelInfo>, IngestError> {
        let own: Vec<f64> = known.faces.iter().map(|face| face.area).collect();
        let truth = class_areas(&known.faces, &own);
        drop(own);
        let whole: f64 = truth.values().sum();
        let classes = known.classes.iter();
        let class_looks: Vec<u64> = classes.map(|class| xxh3_64(class.as_bytes())).collect();
        let mut before = mesh;
        let mut balance: Vec<BalanceEntry> = Vec::new();
        let mut levels = Vec::new();
        for zoom in (0..=highest).rev() {
            let (division, mut parts) = self.divide(zoom, &known.faces, &vertices);
            let mut merge = merge_options(zoom, whole, known.feature_bytes, self.options);
            merge.cost.merged += AGGREGATE_BYTES * self.layer.aggregates.len() as u32;
            let tolerance = tolerance(&merge, self.options);
            let step = Zoom {
                zoom,
                margin: self.options.margin,
                division,
                merge,
                tolerance,
                looks: &known.looks,
                class_looks: &class_looks,
                aggregates: self.layer.aggregates,
                results: &[],
            };
            let balances = balances_of(&balance, &division, &parts, &merge);
            let faces = &known.faces;
            before.locate(|face| faces[root(faces, face) as usize].place)?;
            let mut now = ArcStore::create(self.dir)?;
            // Nobody sees what another part has done before all are done.
            let at_once = at_once(&parts, self.options.part_vertices);
            let mut balances_after: Vec<Vec<BalanceEntry>> = Vec::with_capacity(parts.len());
            let mut changes = Changes::default();
            let jobs: Vec<(&Part, Vec<BalanceEntry>)> = parts.iter().zip(balances).collect();
            in_order(
                &jobs,
                at_once,
                |(part, balance)| {
                    self.check()?;
                    let done = step.generalise(faces, part, &before, balance)?;
                    Ok::<_, IngestError>((*part, done))
                },
                |(part, done): (&Part, Generalised)| {
                    now.push(&done.arcs)?;
                    for (&number, count) in part.own.iter().zip(done.vertices) {
                        vertices[number as usize] = count;
                    }
                    changes.note(faces, part, done.faces);
                    balances_after.push(done.balance);
                    Ok(())
                },
            )?;
            let aggregates = self.layer.aggregates;
            changes.join_results(&mut known.results, faces, aggregates);
            changes.put_into(&mut known.faces);
            let step = Zoom {
                results: &known.results,
                ..step
            };
            before = now;
            let faces = &known.faces;
            for part in &mut parts {
                part.own.retain(|&face| faces[face as usize].count > 0);
            }
            before.locate(|face| faces[root(faces, face) as usize].place)?;
            let path = Pyramid::level_path(self.dir, zoom);
            let io = |e| StoreError::io(&path, e);
            let mut file = LevelWriter::create(&path, zoom, self.options.margin).map_err(io)?;
            let mut info = LevelInfo {
                zoom,
                faces: 0,
                points: 0,
                merged_features: 0,
                vanished_features: 0,
                unclosed: 0,
                class_error: 0.0,
            };
            let mut shown_areas: BTreeMap<u32, f64> = BTreeMap::new();
            let mut left: Vec<BalanceEntry> = Vec::new();
            let mut changes = Changes::default();
            let jobs: Vec<(&Part, Vec<BalanceEntry>)> = parts.iter().zip(balances_after).collect();
            in_order(
                &jobs,
                at_once,
                |(part, balance)| {
                    self.check()?;
                    let done = step.show(faces, part, &before, balance)?;
                    Ok::<_, IngestError>((*part, done))
                },
                |(part, done): (&Part, Shown)| {
                    file.push(&done.block).map_err(io)?;
                    info.count(&done);
                    for (class, area) in done.class_areas {
                        *shown_areas.entry(class).or_insert(0.0) += area;
                    }
                    changes.note(faces, part, done.faces);
                    left.extend(done.balance);
                    Ok(())
                },
            )?;
            file.finish().map_err(io)?;
            changes.put_into(&mut known.faces);
            let merged = known.faces.iter().filter(|face| face.count > 1);
            info.merged_features = merged.map(|face| u64::from(face.count)).sum();
            let error: f64 = truth
                .iter()
                .map(|(class, area)| (shown_areas.get(class).unwrap_or(&0.0) - area).abs())
                .sum();
            info.class_error = error / whole.max(f64::MIN_POSITIVE);
            levels.push(info);
            balance = Balance::of_entries(left).coarser().entries();
        }
        levels.reverse();
        Ok(levels)
    }
}

/// What the work on the parts changes of the layer's faces. It is kept apart until all parts are
/// done, and kept small: at some zooms most faces join others.
#[derive(Default)]
struct Changes {
    /// Faces and what they have joined.
    joined: Vec<(u32, u32)>,
    /// Faces that are shown without a name from now on.
    nameless: Vec<u32>,
    /// Faces that still stand and of which something else is not what it was.
    standing: Vec<(u32, Face)>,
}

impl Changes {
    /// `after` are the faces of the part as they are now, `before` those of the layer.
    fn note(&mut self, before: &[Face], part: &Part, after: Vec<Face>) {
        for (&number, face) in part.own.iter().zip(after) {
            let mut before = before[number as usize];
            if face.joined != NONE {
                self.joined.push((number, face.joined));
                continue;
            }
            if face.is_nameless && !before.is_nameless {
                before.is_nameless = true;
                self.nameless.push(number);
            }
            if before != face {
                self.standing.push((number, face));
            }
        }
    }

    /// What the values of joined faces came to goes to the face that they have joined.
    fn join_results(
        &mut self,
        results: &mut [Vec<Value>],
        faces: &[Face],
        aggregates: &Aggregates,
    ) {
        if results.is_empty() {
            return;
        }
        // In one order, whatever the parts were: sums of reals depend on it.
        self.joined.sort_unstable();
        let joined_by = |number: u32| {
            let at = self
                .joined
                .binary_search_by_key(&number, |&(number, _)| number);
            at.map_or(faces[number as usize].joined, |at| self.joined[at].1)
        };
        for &(number, mut into) in &self.joined {
            while joined_by(into) != NONE {
                into = joined_by(into);
            }
            let other = std::mem::take(&mut results[number as usize]);
            aggregates.join(&mut results[into as usize], &other);
        }
    }

    fn put_into(self, faces: &mut [Face]) {
        for (number, into) in self.joined {
            let face = &mut faces[number as usize];
            face.count = 0;
            face.joined = into;
        }
        for number in self.nameless {
            faces[number as usize].is_nameless = true;
        }
        for (number, face) in self.standing {
            faces[number as usize] = face;
        }
    }
}

/// The area below which faces join a neighbour, squared tile units: so small that a layer of
/// `whole` such units has faces enough to show its classes in their proportions.
fn least_area(whole: f64, options: &Options) -> f64 {
    const FACES: f64 = 4000.0;
    const FLOOR: f64 = 4.0;
    (whole / FACES).clamp(FLOOR, options.min_face_units2.max(FLOOR))
}

fn merge_options(zoom: u8, whole: f64, cost: FeatureBytes, options: &Options) -> MergeOptions {
    let shift = unit_shift(zoom);
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

/// By how much borders may move. Less where the layer is small and shows smaller faces.
fn tolerance(merge: &MergeOptions, options: &Options) -> Tolerance {
    let unit = f64::from(1u32 << merge.unit_shift);
    let scale = merge.min_area / options.min_face_units2;
    let slack = |units2: f64| Slack {
        doubled_area: (2.0 * units2 * scale) as i64,
        distance: options.tolerance_units * (scale / (unit * unit)).sqrt() * unit,
    };
    Tolerance {
        fine: slack(options.tolerance_units2),
        coarse: slack(options.coarse_tolerance_units2),
    }
}

/// What of the balance is whose: tiles lie in one part each.
fn balances_of(
    balance: &[BalanceEntry],
    division: &Division,
    parts: &[Part],
    merge: &MergeOptions,
) -> Vec<Vec<BalanceEntry>> {
    let mut of_parts: Vec<Vec<BalanceEntry>> = vec![Vec::new(); parts.len()];
    for entry in balance {
        let corner = |cell: u64| ((cell & 0xFFFF_FFFF) << merge.cell_shift) as i32;
        let place = Point::new(corner(entry.cell >> 32), corner(entry.cell));
        debug_assert_eq!(cell_of(place, merge.cell_shift), entry.cell);
        let number = division.part_of(place);
        if let Ok(part) = parts.binary_search_by_key(&number, |part| part.number) {
            of_parts[part].push(*entry);
        }
    }
    of_parts
}

impl LevelInfo {
    fn count(&mut self, part: &Shown) {
        self.faces += part.block.faces as u64;
        self.points += part.block.points as u64;
        self.vanished_features += part.vanished_features;
        self.unclosed += part.unclosed;
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
