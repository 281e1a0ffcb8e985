//! Cuts faces of a pyramid level for one tile.
//!
//! The level has a vertex wherever a border crosses a clip line, so cutting only chooses edges:
//! 1. the edges inside of the tile's box are linked to chains that start and end on its sides
//! 2. chains are joined along the sides, counter-clockwise in the plane of the grid (rows count
//!    downwards), with the face on the left
//! 3. a ring that touches itself is split
//!
//! Both neighbours of a border choose the same edges, so nothing opens between them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use xxhash_rust::xxh3::Xxh3;

use super::TileError;
use super::cut::{Encoded, Painter};
use crate::format::fgb::ValueRef;
use crate::format::mvt::{EXTENT, GeometryWriter, TileGeometry};
use crate::format::pyramid::{GridBox, LevelBlock, LevelFile, NONE, is_grouped};
use crate::geom::grid::{CleanError, GridPoint, ValidityCheck, clean};
use crate::model::{Aggregates, COUNT_FIELD, TileCoord, TileGrid, Value};
use crate::query::Budget;
use crate::store::{PyramidInfo, VectorData};
use crate::topology::{Point, cross, doubled_area};

/// The grid that pyramids are made on.
pub const GRID: &str = "WebMercatorQuad";
/// Faces cut between two checks of the budget.
const CHECK_EVERY: usize = 256;
const EXTENT_SHIFT: u32 = EXTENT.ilog2();

/// The level that answers for a tile, when there is one.
pub fn level_for<'a>(
    data: &'a VectorData,
    grid: &TileGrid,
    tile: TileCoord,
    buffer: u32,
) -> Option<Level<'a>> {
    let pyramid = data.pyramid.as_ref().filter(|_| grid.id == GRID)?;
    let file = pyramid.level(tile.z)?;
    (buffer == file.margin).then_some(Level {
        file,
        info: &pyramid.info,
        aggregates: &pyramid.aggregates,
        features: data.index.len(),
    })
}

/// A level and what its class numbers mean.
pub struct Level<'a> {
    file: &'a LevelFile,
    info: &'a PyramidInfo,
    aggregates: &'a Aggregates,
    /// Of the layer.
    features: usize,
}

impl<'a> Level<'a> {
    /// The parts that reach into the box.
    fn blocks(
        &self,
        clip: GridBox,
    ) -> impl Iterator<Item = Result<&'a LevelBlock, TileError>> + use<'a> {
        let blocks = self.file.blocks(clip, self.features);
        blocks.map(|block| Ok(block?))
    }
}

/// Small joined faces of a class, none of which borders on another.
#[derive(Default)]
struct Group {
    shapes: GeometryWriter,
    count: u64,
    results: Vec<Value>,
    arcs: HashSet<u32>,
}

/// Encodes the faces of a tile: a face of one feature with its attributes, a joined one with its
/// class and how many features it stands for, small joined ones of a class together.
pub fn encode(
    painter: &mut Painter<'_>,
    level: &Level<'_>,
    tile: TileCoord,
    data: &VectorData,
    name: &str,
    budget: &Budget,
) -> Result<Encoded, TileError> {
    let columns = painter.columns();
    let count_column = columns.len();
    let class_column = level
        .info
        .class_column
        .filter(|&column| columns.get(column).copied().unwrap_or(false));
    let joined = |out: &mut Encoded,
                  class: u32,
                  count: u64,
                  results: &[Value],
                  geometry: &GeometryWriter| {
        if let (Some(column), Some(class)) = (class_column, level.info.classes.get(class as usize))
        {
            let key = level.info.class_field.as_deref().unwrap_or_default();
            out.shapes.attribute(column, key, ValueRef::Text(class));
        }
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        out.shapes
            .attribute(count_column, COUNT_FIELD, ValueRef::Integer(count));
        for (i, ((column, field), value)) in level.aggregates.fields().zip(results).enumerate() {
            if columns.get(column).copied().unwrap_or(false)
                && let Some(value) = ValueRef::of(value)
            {
                let key = field.name.as_str();
                out.shapes.attribute(count_column + 1 + i, key, value);
            }
        }
        out.shapes.feature(None, TileGeometry::Polygon, geometry);
    };
    // Small joined faces of a class are one feature: what frames a feature is more than their rings.
    // Those of different parts are kept apart: nobody knows which of them share a border.
    let mut all_groups: Vec<(u32, Group)> = Vec::new();
    let mut out = Encoded::new(name, columns.len() + 1 + level.aggregates.len());
    let (origin, clip) = place_of(tile, level.file.margin);
    let mut geometry = GeometryWriter::default();
    for block in level.blocks(clip) {
        let block = block?;
        let mut cutter = Cutter::new(block, origin, clip);
        let mut groups: BTreeMap<u32, Vec<Group>> = BTreeMap::new();
        for (i, face_number) in block.search(&clip).into_iter().enumerate() {
            if i.is_multiple_of(CHECK_EVERY) {
                budget.check()?;
            }
            let started = Instant::now();
            let face = block.face(face_number);
            if is_grouped(&face, tile.z) {
                let groups = groups.entry(face.class).or_default();
                let arcs = || block.arcs_of_face(face_number);
                // Faces that share a border cannot be parts of one multipolygon.
                let free = |group: &Group| !arcs().any(|arc| group.arcs.contains(&arc));
                let at = groups.iter().position(free).unwrap_or(groups.len());
                if at == groups.len() {
                    groups.push(Group::default());
                }
                let group = &mut groups[at];
                let before = group.shapes.len();
                cutter.cut(face_number, &face.bbox, &mut group.shapes);
                if group.shapes.len() > before {
                    group.count += u64::from(face.count);
                    let results = block.results(face_number);
                    match group.results.is_empty() {
                        true => group.results = results,
                        false => level.aggregates.join(&mut group.results, &results),
                    }
                    group.arcs.extend(arcs());
                }
                painter.timings.clip += started.elapsed();
                continue;
            }
            geometry.clear();
            cutter.cut(face_number, &face.bbox, &mut geometry);
            let cut = Instant::now();
            painter.timings.clip += cut - started;
            let alone = face.feature != NONE;
            if alone {
                let record = data.index.record(face.feature);
                let view = data.features.feature(record.offset)?;
                if !geometry.is_empty() {
                    painter.attributes(&view, &mut out.shapes);
                    out.shapes
                        .feature(Some(record.id), TileGeometry::Polygon, &geometry);
                }
                painter.label(&record, &view, TileGeometry::Polygon, &mut out);
            } else if !geometry.is_empty() {
                let results = block.results(face_number);
                let count = u64::from(face.count);
                joined(&mut out, face.class, count, &results, &geometry);
            }
            painter.timings.encode += cut.elapsed();
        }
        let groups = groups.into_iter();
        all_groups.extend(groups.flat_map(|(class, g)| g.into_iter().map(move |g| (class, g))));
    }
    all_groups.sort_by_key(|(class, _)| *class);
    for (class, group) in all_groups.iter().filter(|(_, group)| group.count > 0) {
        let Group {
            count,
            results,
            shapes,
            ..
        } = group;
        joined(&mut out, *class, *count, results, shapes);
    }
    Ok(out)
}

/// The tile's first corner and its box with the margin, on the level's grid.
fn place_of(tile: TileCoord, margin: u32) -> (Point, GridBox) {
    let origin = Point::new(
        (tile.x << EXTENT_SHIFT) as i32,
        (tile.y << EXTENT_SHIFT) as i32,
    );
    (origin, GridBox::of_tile(tile.x, tile.y, margin))
}

/// How many features of the tile's square the level does not show.
pub fn vanished(level: &Level<'_>, tile: TileCoord) -> Result<u64, TileError> {
    let (min, _) = place_of(tile, 0);
    let max = Point::new(min.x + EXTENT as i32, min.y + EXTENT as i32);
    let mut count = 0;
    for block in level.blocks(GridBox { min, max }) {
        count += block?.vanished_in(min, max);
    }
    Ok(count)
}

/// What a block of a level looks like: where it is, and a hash of all in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLook {
    pub bbox: GridBox,
    pub digest: u64,
}

/// The blocks of the level that answers for the tiles of a zoom, when there is one.
pub fn blocks_of_zoom(
    data: &VectorData,
    grid: &TileGrid,
    zoom: u8,
    buffer: u32,
) -> Option<Vec<BlockLook>> {
    let any = TileCoord {
        z: zoom,
        x: 0,
        y: 0,
    };
    let level = level_for(data, grid, any, buffer)?;
    let blocks = level.file.unchecked_blocks().iter();
    let look = |block: &LevelBlock| BlockLook {
        bbox: block.bbox,
        digest: block.digest,
    };
    Some(blocks.map(look).collect())
}

/// A hash of all that decides the bytes of a tile, found without cutting it.
pub fn digest(level: &Level<'_>, tile: TileCoord, hash: &mut Xxh3) -> Result<(), TileError> {
    hash.update(&vanished(level, tile)?.to_le_bytes());
    let (_, clip) = place_of(tile, level.file.margin);
    for block in level.blocks(clip) {
        let block = block?;
        hash.update(b"block");
        for number in block.search(&clip) {
            hash.update(&block.face(number).digest.to_le_bytes());
        }
    }
    Ok(())
}

/// Cuts faces; keeps its buffers from one to the next.
struct Cutter<'a> {
    level: &'a LevelBlock,
    /// The tile with its margin.
    clip: GridBox,
    origin: Point,
    ring: Vec<Point>,
    /// Rings of the face being cut, in the tile's units: `used` of them, the rest to be filled again.
    local: Vec<Vec<GridPoint>>,
    used: usize,
    validity: ValidityCheck,
    course: Vec<Point>,
    /// Vertices of the chains of the face being cut.
    chained: Vec<Point>,
    chains: Vec<Chain>,
    events: Vec<Event>,
    closed: Vec<Vec<Point>>,
}

/// A run of edges inside of the box, as a range of `chained`.
#[derive(Clone, Copy)]
struct Chain {
    start: usize,
    end: usize,
}

/// Where a chain enters the box or leaves it.
struct Event {
    /// Way along the sides from the corner with the smallest coordinates.
    along: i64,
    at: Point,
    /// The vertex next to it inside.
    inner: Point,
    chain: u32,
    enters: bool,
}

impl<'a> Cutter<'a> {
    /// For the tile at `origin`, with the box `clip`.
    fn new(level: &'a LevelBlock, origin: Point, clip: GridBox) -> Cutter<'a> {
        Cutter {
            clip,
            level,
            origin,
            ring: Vec::new(),
            local: Vec::new(),
            used: 0,
            validity: ValidityCheck::default(),
            course: Vec::new(),
            chained: Vec::new(),
            chains: Vec::new(),
            events: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// Writes what of the face is in the tile's box; nothing when it only touches it.
    fn cut(&mut self, face: u32, bbox: &GridBox, out: &mut GeometryWriter) {
        self.used = 0;
        self.gather(face, bbox);
        let rings = &self.local[..self.used];
        if self.validity.is_valid(rings) {
            rings.iter().for_each(|ring| out.ring(ring));
            return;
        }
        // Rings that touch in a point come out of this as they went in. Where a level could not be
        // noded without a fold, the face is mended by itself; without that it stays as it is.
        match clean(rings) {
            Ok(polygons) => polygons.iter().flatten().for_each(|ring| out.ring(ring)),
            Err(CleanError) => rings.iter().for_each(|ring| out.ring(ring)),
        }
    }

    /// Fills `local` with the face's rings in the tile, shells before their holes.
    fn gather(&mut self, face: u32, bbox: &GridBox) {
        if self.clip.contains(bbox) {
            for polygon in self.level.polygons(face) {
                for ring in self.level.rings(polygon) {
                    self.whole_ring(ring);
                    let ring = std::mem::take(&mut self.ring);
                    self.keep(&ring);
                    self.ring = ring;
                }
            }
            return;
        }
        self.collect(face);
        let mut shells: Vec<Vec<Point>> = Vec::new();
        let mut holes: Vec<Vec<Point>> = Vec::new();
        let closed = std::mem::take(&mut self.closed);
        for ring in closed {
            if doubled_area(&ring) > 0 {
                shells.push(ring)
            } else {
                holes.push(ring)
            }
        }
        if self.chains.is_empty() {
            if self.covers_clip(face) {
                shells.push(self.corners().map(|c| c.1).to_vec());
            }
        } else {
            for ring in self.join() {
                for ring in split_at_touches(ring) {
                    match doubled_area(&ring).signum() {
                        1 => shells.push(ring),
                        -1 => holes.push(ring),
                        _ => {}
                    }
                }
            }
        }
        self.keep_polygons(shells, holes);
    }

    /// The ring's vertices, the first not repeated.
    fn whole_ring(&mut self, ring: usize) {
        self.ring.clear();
        for (arc, backward) in self.level.arcs_of_ring(ring) {
            self.level.append_arc(arc, backward, &mut self.ring);
            self.ring.pop();
        }
    }

    fn keep(&mut self, ring: &[Point]) {
        if self.used == self.local.len() {
            self.local.push(Vec::new());
        }
        let origin = self.origin;
        let local = &mut self.local[self.used];
        local.clear();
        local.extend(ring.iter().map(|p| [p.x - origin.x, p.y - origin.y]));
        self.used += 1;
    }

    fn keep_polygons(&mut self, mut shells: Vec<Vec<Point>>, holes: Vec<Vec<Point>>) {
        let mut holes_of: Vec<Vec<Vec<Point>>> = shells.iter().map(|_| Vec::new()).collect();
        if shells.len() > 1 && !holes.is_empty() {
            shells.sort_by_cached_key(|ring| doubled_area(ring));
        }
        for hole in holes {
            let shell = if shells.len() == 1 {
                Some(0)
            } else {
                shells.iter().position(|shell| encloses(shell, &hole))
            };
            debug_assert!(shell.is_some(), "a hole lies in a shell");
            if let Some(shell) = shell {
                holes_of[shell].push(hole);
            }
        }
        for (shell, holes) in shells.iter().zip(&holes_of) {
            self.keep(shell);
            for hole in holes {
                self.keep(hole);
            }
        }
    }

    /// Fills `chains` (that end on the sides of the box) and `closed` (rings inside of it).
    fn collect(&mut self, face: u32) {
        self.chains.clear();
        self.chained.clear();
        self.closed.clear();
        for polygon in self.level.polygons(face) {
            for ring in self.level.rings(polygon) {
                self.collect_ring(ring);
            }
        }
    }

    fn collect_ring(&mut self, ring: usize) {
        let clip = self.clip;
        let first_chain = self.chains.len();
        let mut start: Option<usize> = None;
        // Whether the ring has met an edge outside, or a side.
        let mut broken = false;
        for (arc, backward) in self.level.arcs_of_ring(ring) {
            let bbox = self.level.arc_bbox(arc);
            let outside = bbox.max.x <= clip.min.x
                || bbox.min.x >= clip.max.x
                || bbox.max.y <= clip.min.y
                || bbox.min.y >= clip.max.y;
            if outside {
                self.end_chain(&mut start);
                broken = true;
                continue;
            }
            let mut course = std::mem::take(&mut self.course);
            course.clear();
            self.level.append_arc(arc, backward, &mut course);
            let mut last: Option<Point> = None;
            for &p in &course {
                let Some(from) = last.replace(p) else {
                    continue;
                };
                if !is_inside(&clip, from, p) {
                    self.end_chain(&mut start);
                    broken = true;
                    continue;
                }
                if start.is_none() {
                    start = Some(self.chained.len());
                    self.chained.push(from);
                }
                self.chained.push(p);
                if on_side(&clip, p) {
                    self.end_chain(&mut start);
                    broken = true;
                }
            }
            self.course = course;
        }
        if !broken {
            // Never interrupted: a ring inside, though it may start on a side.
            if let Some(from) = start {
                let mut points = self.chained.split_off(from);
                points.pop();
                self.closed.push(points);
            }
            return;
        }
        let open = start.is_some();
        self.end_chain(&mut start);
        // The ring's own start is no end of a chain unless it lies on a side.
        if open && self.chains.len() > first_chain {
            let last = self.chains[self.chains.len() - 1];
            let first = self.chains[first_chain];
            let seam = self.chained[last.end - 1];
            if self.chained[first.start] == seam && !on_side(&clip, seam) {
                let from = self.chained.len();
                self.chained.extend_from_within(last.start..last.end - 1);
                self.chained.extend_from_within(first.start..first.end);
                self.chains.pop();
                self.chains[first_chain] = Chain {
                    start: from,
                    end: self.chained.len(),
                };
            }
        }
    }

    fn end_chain(&mut self, start: &mut Option<usize>) {
        if let Some(start) = start.take() {
            self.chains.push(Chain {
                start,
                end: self.chained.len(),
            });
        }
    }

    /// Corners with their way along the sides.
    fn corners(&self) -> [(i64, Point); 4] {
        let GridBox { min, max } = self.clip;
        let (w, h) = (i64::from(max.x - min.x), i64::from(max.y - min.y));
        [
            (0, min),
            (w, Point::new(max.x, min.y)),
            (w + h, max),
            (2 * w + h, Point::new(min.x, max.y)),
        ]
    }

    fn along(&self, p: Point) -> i64 {
        let GridBox { min, max } = self.clip;
        let (w, h) = (i64::from(max.x - min.x), i64::from(max.y - min.y));
        if p.y == min.y && p.x < max.x {
            i64::from(p.x - min.x)
        } else if p.x == max.x && p.y < max.y {
            w + i64::from(p.y - min.y)
        } else if p.y == max.y && p.x > min.x {
            w + h + i64::from(max.x - p.x)
        } else {
            2 * w + h + i64::from(max.y - p.y)
        }
    }

    /// Joins the chains to rings along the sides.
    fn join(&mut self) -> Vec<Vec<Point>> {
        self.events.clear();
        for (i, chain) in self.chains.iter().enumerate() {
            let points = &self.chained[chain.start..chain.end];
            let (first, last) = (points[0], points[points.len() - 1]);
            for (at, inner, enters) in [
                (first, points[1], true),
                (last, points[points.len() - 2], false),
            ] {
                self.events.push(Event {
                    along: self.along(at),
                    at,
                    inner,
                    chain: i as u32,
                    enters,
                });
            }
        }
        // Along the sides; at one place from the ray that is farthest from the way ahead.
        self.events.sort_by(|a, b| {
            a.along
                .cmp(&b.along)
                .then_with(|| cross(a.at, a.inner, b.inner).cmp(&0))
        });
        let count = self.events.len();
        // For every chain: the event at which it leaves.
        let mut exit_of = vec![0usize; self.chains.len()];
        for (i, event) in self
            .events
            .iter()
            .enumerate()
            .filter(|(_, event)| !event.enters)
        {
            exit_of[event.chain as usize] = i;
        }
        let mut used = vec![false; self.chains.len()];
        let mut rings = Vec::new();
        for first in 0..self.chains.len() {
            if used[first] {
                continue;
            }
            let mut ring = Vec::new();
            let mut chain = first;
            loop {
                used[chain] = true;
                let Chain { start, end } = self.chains[chain];
                ring.extend_from_slice(&self.chained[start..end]);
                let exit = exit_of[chain];
                let next = (1..=count)
                    .map(|step| (exit + step) % count)
                    .find(|&i| self.events[i].enters)
                    .expect("every chain enters");
                let (from, to) = (self.events[exit].along, self.events[next].along);
                let wraps = next <= exit;
                for (along, corner) in self.corners() {
                    if along > from && (wraps || along < to) {
                        ring.push(corner);
                    }
                }
                if wraps {
                    ring.extend(
                        self.corners()
                            .iter()
                            .filter(|(along, _)| *along < to)
                            .map(|c| c.1),
                    );
                }
                chain = self.events[next].chain as usize;
                if used[chain] {
                    break;
                }
            }
            ring.dedup();
            if ring.len() > 1 && ring.first() == ring.last() {
                ring.pop();
            }
            rings.push(ring);
        }
        rings
    }

    /// True when the face, none of whose borders reaches a side from inside, covers the sides.
    fn covers_clip(&self, face: u32) -> bool {
        // A ray along the row half a unit inside, from half a unit inside, meets no vertex.
        let (x, y) = (
            2 * i64::from(self.clip.min.x) + 1,
            2 * i64::from(self.clip.min.y) + 1,
        );
        let mut inside = false;
        for ring in self
            .level
            .polygons(face)
            .flat_map(|polygon| self.level.rings(polygon))
        {
            for (arc, _) in self.level.arcs_of_ring(ring) {
                let bbox = self.level.arc_bbox(arc);
                if 2 * i64::from(bbox.min.y) > y
                    || 2 * i64::from(bbox.max.y) < y
                    || 2 * i64::from(bbox.max.x) < x
                {
                    continue;
                }
                let mut course = Vec::new();
                self.level.append_arc(arc, false, &mut course);
                let mut last: Option<Point> = None;
                for p in course {
                    let Some(a) = last.replace(p) else { continue };
                    let (ax, ay) = (2 * i64::from(a.x), 2 * i64::from(a.y));
                    let (bx, by) = (2 * i64::from(p.x), 2 * i64::from(p.y));
                    if (ay > y) != (by > y) {
                        // Left of a rising edge (right of a falling one) means: the ray to the right meets it.
                        let turn = (bx - ax) * (y - ay) - (by - ay) * (x - ax);
                        inside ^= (turn > 0) == (by > ay);
                    }
                }
            }
        }
        inside
    }
}

/// An edge in the box that is not on one of its sides.
fn is_inside(clip: &GridBox, a: Point, b: Point) -> bool {
    let within =
        |p: Point| p.x >= clip.min.x && p.x <= clip.max.x && p.y >= clip.min.y && p.y <= clip.max.y;
    within(a)
        && within(b)
        && !(a.x == b.x && (a.x == clip.min.x || a.x == clip.max.x))
        && !(a.y == b.y && (a.y == clip.min.y || a.y == clip.max.y))
}

fn on_side(clip: &GridBox, p: Point) -> bool {
    p.x == clip.min.x || p.x == clip.max.x || p.y == clip.min.y || p.y == clip.max.y
}

/// Cuts a ring that passes a vertex twice into rings that do not.
fn split_at_touches(ring: Vec<Point>) -> Vec<Vec<Point>> {
    let mut sorted = ring.clone();
    sorted.sort_unstable();
    if sorted.windows(2).all(|pair| pair[0] != pair[1]) {
        return vec![ring];
    }
    let mut rings = Vec::new();
    let mut stack: Vec<Point> = Vec::with_capacity(ring.len());
    let mut place: HashMap<Point, usize> = HashMap::with_capacity(ring.len());
    for p in ring {
        if let Some(&at) = place.get(&p) {
            let cut: Vec<Point> = stack.drain(at + 1..).collect();
            for gone in &cut {
                place.remove(gone);
            }
            let mut whole = vec![p];
            whole.extend(cut);
            if whole.len() >= 3 {
                rings.push(whole);
            }
        } else {
            place.insert(p, stack.len());
            stack.push(p);
        }
    }
    if stack.len() >= 3 {
        rings.push(stack);
    }
    rings
}

/// True when `inner`, which does not cross `outline`, lies in it.
fn encloses(outline: &[Point], inner: &[Point]) -> bool {
    inner
        .iter()
        .find_map(|&p| contains(outline, p))
        .unwrap_or(false)
}

/// `None` on the outline itself.
fn contains(outline: &[Point], p: Point) -> Option<bool> {
    let mut inside = false;
    for i in 0..outline.len() {
        let (a, b) = (outline[i], outline[(i + 1) % outline.len()]);
        if a == p || (a.y == p.y && b.y == p.y && (a.x.min(b.x)..=a.x.max(b.x)).contains(&p.x)) {
            return None;
        }
        if (a.y > p.y) != (b.y > p.y) {
            match cross(a, b, p).signum() {
                0 => return None,
                side => inside ^= (side > 0) == (b.y > a.y),
            }
        }
    }
    Some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::pyramid::{LevelFace, LevelWriter, block};
    use crate::geom::grid::{clip_ring, doubled_area as local_area};
    use crate::topology::{ClipLines, Rings, build, snap, trace};

    const MARGIN: i32 = 64;
    const ZOOM: u8 = 3;
    /// Base units per tile unit, as a power of two.
    const SHIFT: u32 = 4;

    /// Numbers that depend on a seed only.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: i32) -> i32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 33) as i32 % sides.max(1)
        }
    }

    /// Ascending positions, farther apart than corners are off, most of them on or beside clip
    /// lines and tile borders.
    fn positions(dice: &mut Dice) -> Vec<i32> {
        let mut list: Vec<i32> = (0..5)
            .map(|_| {
                let border = 4096 * (1 + dice.roll(3));
                let line = border + [-MARGIN, MARGIN, 0, -MARGIN, MARGIN][dice.roll(5) as usize];
                let fine = [0, 0, 0, 1, -1, 7, -7, 8, -8, 300, -700][dice.roll(11) as usize];
                (line << SHIFT) + fine
            })
            .collect();
        list.sort_unstable();
        list.dedup_by(|next, last| *next - *last <= 100);
        list
    }

    /// Quadrilaterals wall to wall, some left out, whose corners lie on clip lines or near them.
    fn coverage(dice: &mut Dice) -> Rings {
        let (xs, ys) = (positions(dice), positions(dice));
        let mut corner = Vec::new();
        for &y in &ys {
            for &x in &xs {
                let off = |dice: &mut Dice| [0, 0, 0, 0, 1, -1, 40, -40][dice.roll(8) as usize];
                corner.push(Point::new(x + off(dice), y + off(dice)));
            }
        }
        let at = |i: usize, j: usize| corner[j * xs.len() + i];
        let mut rings = Rings::default();
        for j in 0..ys.len().saturating_sub(1) {
            for i in 0..xs.len().saturating_sub(1) {
                // Faces of several cells, and cells of none.
                let face = dice.roll(5) as u32;
                let ring = [at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1)];
                if face > 0 {
                    rings.push(face, ring);
                }
            }
        }
        rings
    }

    /// Twice the area of the face in the box, by clipping whole rings.
    fn clipped_area(cutter: &mut Cutter<'_>, face: u32) -> i64 {
        let (level, origin, clip) = (cutter.level, cutter.origin, cutter.clip);
        let side = |v: i32| i64::from(v) - i64::from(origin.x);
        let mut area = 0;
        for ring in level.polygons(face).flat_map(|p| level.rings(p)) {
            cutter.whole_ring(ring);
            let local = |p: &Point| [p.x - origin.x, p.y - origin.y].map(i64::from);
            let mut wide: Vec<[i64; 2]> = cutter.ring.iter().map(local).collect();
            clip_ring(
                &mut wide,
                &mut Vec::new(),
                side(clip.min.x),
                side(clip.max.x),
            );
            let ring: Vec<GridPoint> = wide.iter().map(|p| p.map(|v| v as i32)).collect();
            area += local_area(&ring);
        }
        area
    }

    #[test]
    fn joining_along_the_sides_gives_what_clipping_whole_rings_gives() {
        let dir = tempfile::tempdir().unwrap();
        let mut compared = 0;
        for seed in 1..=400 {
            let mut dice = Dice(u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15) | 1);
            let lines = ClipLines {
                period_shift: EXTENT_SHIFT,
                margin: MARGIN,
            };
            let arcs = snap(&build(&coverage(&mut dice)), SHIFT, Some(lines));
            let rings = trace(&arcs);
            let path = dir.path().join(format!("{seed}.level"));
            let describe = |_| LevelFace::default();
            let mut writer = LevelWriter::create(&path, ZOOM, MARGIN as u32).unwrap();
            writer
                .push(&block(&arcs, &rings, &[], describe, |_| Vec::new()))
                .unwrap();
            writer.finish().unwrap();
            let level = LevelFile::open(&path).unwrap();
            let Some(level) = level.unchecked_blocks().first() else {
                continue;
            };
            for (x, y) in (0..6).flat_map(|x| (0..6).map(move |y| (x, y))) {
                let (origin, clip) = place_of(TileCoord { z: ZOOM, x, y }, MARGIN as u32);
                let mut cutter = Cutter::new(level, origin, clip);
                for face in level.search(&cutter.clip) {
                    let bbox = level.face(face).bbox;
                    cutter.used = 0;
                    cutter.gather(face, &bbox);
                    let shape = cutter.local[..cutter.used].to_vec();
                    let joined: i64 = shape.iter().map(|ring| local_area(ring)).sum();
                    assert_eq!(
                        joined,
                        clipped_area(&mut cutter, face),
                        "seed {seed}, tile {x}/{y}: {shape:?}"
                    );
                    compared += 1;
                }
            }
        }
        assert!(compared > 10_000, "only {compared} faces were cut");
    }
}
