//! The borders of the features of one part: the first arcs, before any zoom.
//!
//! Beside its own features a part reads those whose box meets the box of one of them. So it knows
//! all that touches, crosses or lies upon an own feature, and finds what the part on the other side
//! finds: the arcs between two parts are the same in both, and one of them hands them on.

use rayon::prelude::*;

use super::arc_store::Packed;
use super::division::{Division, Part};
use super::gather::Features;
use super::{Layer, on_base_grid};
use crate::crs::Warp;
use crate::format::fgb::GeometryView;
use crate::format::pyramid::BASE_BITS;
use crate::geom::Bbox;
use crate::model::WEB_MERCATOR_HALF_M;
use crate::store::StoreError;
use crate::topology::{
    Face, NONE, Point, Rings, build, doubled_area, node_unmatched, resolve_overlaps,
};

/// An unmatched border is led through vertices this close, base grid units.
const NODING_TOLERANCE: i32 = 2;

/// What is found in a part.
pub struct Mesh {
    pub arcs: Packed,
    /// Of the part's own features, in their order; squared base units.
    pub areas: Vec<f64>,
    /// Length of the borders, and of those with a feature on both sides; base units. Borders of two
    /// features count twice.
    pub length: f64,
    pub shared_length: f64,
    pub crossings: u64,
    pub vertices_inserted: u64,
    /// Places where features overlap on purpose, as it seems.
    pub unresolved: u64,
}

pub fn mesh(
    layer: &Layer<'_>,
    features: &Features,
    faces: &[Face],
    division: &Division,
    part: &Part,
) -> Result<Mesh, StoreError> {
    let read = neighbourhood(layer, features, division, part);
    let shapes: Vec<Shape> = read
        .par_iter()
        .with_min_len(256)
        .map(|&number| {
            let view = features
                .file
                .feature(features.index.record(number).offset)?;
            let geometry = view.geometry();
            Ok(geometry.map_or_else(Shape::default, |g| Shape::of(&g, &features.warp)))
        })
        .collect::<Result<_, StoreError>>()?;
    features.let_go();
    let is_own = |local: u32| part.own.binary_search(&read[local as usize]).is_ok();
    let mut rings = Rings::default();
    let mut areas = Vec::with_capacity(part.own.len());
    for (local, shape) in (0u32..).zip(shapes) {
        if is_own(local) {
            areas.push(shape.area);
        }
        for ring in shape.rings {
            rings.push(local, ring);
        }
    }
    let arcs = build(&rings);
    drop(rings);
    let (arcs, inserted) = node_unmatched(arcs, NODING_TOLERANCE);
    let (arcs, overlaps) = resolve_overlaps(arcs);
    let own_of = |list: &[u32]| list.iter().filter(|&&local| is_own(local)).count() as u64;
    let handed_on: Vec<usize> = (0..arcs.len())
        .filter(|&arc| {
            let places = arcs.sides[arc].iter().filter(|&&local| local != NONE);
            let places = places.map(|&local| faces[read[local as usize] as usize].place);
            division.is_in_charge(part.number, places)
        })
        .collect();
    let (mut length, mut shared_length) = (0.0, 0.0);
    for &arc in &handed_on {
        let own = length_of(arcs.points_of(arc));
        if arcs.sides[arc].contains(&NONE) {
            // The rim of a lone feature counts half as much.
            length += own;
        } else {
            length += 2.0 * own;
            shared_length += 2.0 * own;
        }
    }
    let global = |local: u32| match local {
        NONE => NONE,
        local => read[local as usize],
    };
    let handed_on = handed_on.into_iter();
    Ok(Mesh {
        arcs: Packed::of(handed_on.map(|arc| (arcs.sides[arc].map(global), arcs.points_of(arc)))),
        areas,
        length,
        shared_length,
        crossings: own_of(&overlaps.crossings),
        vertices_inserted: own_of(&inserted),
        unresolved: overlaps.clusters_left,
    })
}

/// The part's features and all that may touch them, ascending.
fn neighbourhood(
    layer: &Layer<'_>,
    features: &Features,
    division: &Division,
    part: &Part,
) -> Vec<u32> {
    if *division == Division::WHOLE {
        return part.own.clone();
    }
    /// A border that is straight in one plane bulges in the other, by far less than this share of
    /// its box.
    const BULGE: f64 = 1.0 / 64.0;
    let planar = features.warp.bbox(&layer.extent);
    let base_unit_m = 2.0 * WEB_MERCATOR_HALF_M / (1u64 << BASE_BITS) as f64;
    let layer_units_per_m = (layer.extent.width() + layer.extent.height())
        / (planar.width() + planar.height()).max(base_unit_m);
    let near = f64::from(2 * NODING_TOLERANCE) * base_unit_m * layer_units_per_m;
    let around = |number: u32| -> Bbox {
        let bbox = features.index.record(number).bbox_in_layer_crs;
        let margin = near + BULGE * bbox.width().max(bbox.height());
        bbox.expanded(margin, margin)
    };
    let mut read: Vec<u32> = part
        .own
        .par_iter()
        .with_min_len(256)
        .flat_map_iter(|&number| {
            let hits = features.index.search(&around(number), 0.0, || true);
            hits.expect("nothing stops the search").features
        })
        .collect();
    // A feature without an extent meets nothing, not even itself.
    read.extend(&part.own);
    read.par_sort_unstable();
    read.dedup();
    read
}

fn length_of(points: &[Point]) -> f64 {
    let edges = points.windows(2);
    edges
        .map(|p| {
            (f64::from(p[1].x) - f64::from(p[0].x)).hypot(f64::from(p[1].y) - f64::from(p[0].y))
        })
        .sum()
}

/// One feature on the base grid.
#[derive(Default)]
struct Shape {
    rings: Vec<Vec<Point>>,
    area: f64,
}

impl Shape {
    fn of(geometry: &GeometryView<'_>, warp: &Warp) -> Shape {
        let mut shape = Shape::default();
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
