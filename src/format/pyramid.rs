//! A level of a layer's pyramid: watertight polygons on the grid of one zoom, ready to be cut.
//!
//! A file per zoom: *blocks*, one for each part of the layer, and a directory of them. A block holds
//! faces in Hilbert order with their boxes, a packed R-tree over them, and their rings as references
//! to arcs, so that a border is stored once for both sides; the border between two blocks is in both.
//! Integers are little-endian; the file is mapped and read in place.
//!
//! ```text
//! head      32 bytes: "onemappy", version, zoom, clip margin, blocks, where the directory is (u64)
//! blocks    each as below, one after the other
//! directory 40 bytes each: offset and length (u64), hash of all that is in the block (u64), box (4 × i32)
//! ```
//!
//! A block:
//!
//! ```text
//! head      40 bytes: nine counts
//! faces     48 bytes each: box (4 × i32), feature, class, count, end of its polygons (u32), area (f64),
//!           hash of all that decides its look (u64)
//! polygons, rings, refs    u32 each: ends into the next list; a ref is arc · 2 + reversed
//! arcs      28 bytes each: box (4 × i32), first point (2 × i32), end of its steps (u32)
//! nodes     16 bytes each: boxes of the R-tree, the level above the faces first
//! steps     bytes: per arc the differences from point to point, x and y as zigzag varints
//! results   where joined faces say what values came to: per face the end of its results (u32), then the
//!           results, each a kind (u8: nothing, integer, real, text), then 8 bytes or length (u32) and text
//! vanished  12 bytes each: place (2 × i32) and number of features too small to be shown, by column
//! ```

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use memmap2::Mmap;
use rayon::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use super::FormatError;
use crate::geom::hilbert;
use crate::model::Value;
use crate::topology::{Arcs, FaceRings, Point};

const MAGIC: [u8; 8] = *b"onemappy";
const VERSION: u32 = 2;
const FILE_HEAD_BYTES: usize = 32;
const DIRECTORY_BYTES: usize = 40;
const HEAD_BYTES: usize = 40;
const FACE_BYTES: usize = 48;
const ARC_BYTES: usize = 28;
const NODE_BYTES: usize = 16;
const VANISHED_BYTES: usize = 12;
const NODE_SIZE: usize = 16;

/// No feature, or no class.
pub const NONE: u32 = u32::MAX;

/// The base grid of a pyramid has `2^BASE_BITS` units along the side of the Web Mercator square:
/// 1.9 cm.
pub const BASE_BITS: u32 = 31;
/// Units along a tile's side, as a power of two.
pub const EXTENT_BITS: u32 = 12;
/// Joined faces of one class below this area are one feature of a tile; squared tile units
/// (sixteen pixels).
pub const GROUPED_UNITS2: f64 = 4096.0;

/// An inclusive box on the level's grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GridBox {
    pub min: Point,
    pub max: Point,
}

impl GridBox {
    const EMPTY: GridBox = GridBox {
        min: Point {
            x: i32::MAX,
            y: i32::MAX,
        },
        max: Point {
            x: i32::MIN,
            y: i32::MIN,
        },
    };

    pub fn of(points: &[Point]) -> GridBox {
        points
            .iter()
            .fold(GridBox::EMPTY, |b, &p| b.union(GridBox { min: p, max: p }))
    }

    /// A tile of the level's zoom, with a margin around it.
    pub fn of_tile(x: u32, y: u32, margin: u32) -> GridBox {
        let (extent, margin) = (1i32 << EXTENT_BITS, margin as i32);
        let (left, top) = ((x as i32) << EXTENT_BITS, (y as i32) << EXTENT_BITS);
        GridBox {
            min: Point::new(left - margin, top - margin),
            max: Point::new(left + extent + margin, top + extent + margin),
        }
    }

    pub fn union(self, other: GridBox) -> GridBox {
        GridBox {
            min: Point::new(self.min.x.min(other.min.x), self.min.y.min(other.min.y)),
            max: Point::new(self.max.x.max(other.max.x), self.max.y.max(other.max.y)),
        }
    }

    /// Touching counts.
    pub fn meets(&self, other: &GridBox) -> bool {
        self.min.x <= other.max.x
            && self.max.x >= other.min.x
            && self.min.y <= other.max.y
            && self.max.y >= other.min.y
    }

    pub fn contains(&self, other: &GridBox) -> bool {
        self.min.x <= other.min.x
            && self.max.x >= other.max.x
            && self.min.y <= other.min.y
            && self.max.y >= other.max.y
    }
}

impl Default for GridBox {
    fn default() -> GridBox {
        GridBox::EMPTY
    }
}

/// A face of a level.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LevelFace {
    pub bbox: GridBox,
    /// Number of the feature when it stands for one alone, else [`NONE`].
    pub feature: u32,
    /// Number of its class, or [`NONE`].
    pub class: u32,
    /// How many features it stands for.
    pub count: u32,
    /// Of the features it stands for, in square units of the pyramid's base grid.
    pub area: f64,
    /// A hash of what it says of itself; as it is read, of its shape as well.
    pub digest: u64,
}

/// True for a small joined face that shares a feature of the tile with others of its class.
pub fn is_grouped(face: &LevelFace, zoom: u8) -> bool {
    let unit = f64::from(1u32 << (BASE_BITS - EXTENT_BITS - u32::from(zoom)));
    face.feature == NONE && face.area < GROUPED_UNITS2 * unit * unit
}

/// Features that a level does not show: they are below its grid and have no neighbour to join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vanished {
    pub place: Point,
    pub count: u32,
}

/// What a block holds, packed.
pub struct Block {
    bytes: Vec<u8>,
    bbox: GridBox,
    pub faces: usize,
    pub points: usize,
}

/// Packs the faces of a part of the layer. `describe` gives the feature, class, count, area and
/// digest of a face number of `rings`; the box is found here. `results` gives what the values of the
/// features that it stands for came to.
pub fn block(
    arcs: &Arcs,
    rings: &FaceRings,
    vanished: &[Vanished],
    describe: impl Fn(u32) -> LevelFace,
    results: impl Fn(u32) -> Vec<Value>,
) -> Block {
    let arc_boxes: Vec<GridBox> = (0..arcs.len())
        .into_par_iter()
        .with_min_len(512)
        .map(|a| GridBox::of(arcs.points_of(a)))
        .collect();
    let range =
        |ends: &[u32], i: usize| (if i == 0 { 0 } else { ends[i - 1] as usize })..ends[i] as usize;
    let refs_of_face = |i: usize| {
        let polygons = range(&rings.face_ends, i);
        let first = range(&rings.polygon_ends, polygons.start).start;
        let last = range(&rings.polygon_ends, polygons.end - 1).end;
        range(&rings.ring_ends, first).start..range(&rings.ring_ends, last - 1).end
    };
    let mut order: Vec<(u64, u32, GridBox)> = (0..rings.faces.len())
        .into_par_iter()
        .with_min_len(512)
        .map(|i| {
            let bbox = rings.refs[refs_of_face(i)]
                .iter()
                .fold(GridBox::EMPTY, |b, r| b.union(arc_boxes[(r >> 1) as usize]));
            let middle = |low: i32, high: i32| (i64::from(low) + i64::from(high)) as u32;
            let key = hilbert::distance(
                middle(bbox.min.x, bbox.max.x),
                middle(bbox.min.y, bbox.max.y),
            );
            (key, i as u32, bbox)
        })
        .collect();
    order.par_sort_unstable_by_key(|&(key, i, _)| (key, i));
    // Arcs in the order in which the faces use them: what is cut together lies together.
    let mut number = vec![u32::MAX; arcs.len()];
    let mut arc_order: Vec<u32> = Vec::with_capacity(arcs.len());
    for &(_, i, _) in &order {
        for r in &rings.refs[refs_of_face(i as usize)] {
            let arc = (r >> 1) as usize;
            if number[arc] == u32::MAX {
                number[arc] = arc_order.len() as u32;
                arc_order.push(arc as u32);
            }
        }
    }
    let points: usize = arc_order
        .iter()
        .map(|&a| arcs.points_of(a as usize).len())
        .sum();
    let mut steps: Vec<u8> = Vec::with_capacity(points * 3);
    let step_ends: Vec<u32> = arc_order
        .iter()
        .map(|&a| {
            for pair in arcs.points_of(a as usize).windows(2) {
                put_step(&mut steps, pair[1].x - pair[0].x);
                put_step(&mut steps, pair[1].y - pair[0].y);
            }
            steps.len() as u32
        })
        .collect();
    let mut levels: Vec<Vec<GridBox>> = Vec::new();
    let mut below: Vec<GridBox> = order.iter().map(|o| o.2).collect();
    while below.len() > 1 || (levels.is_empty() && !below.is_empty()) {
        below = below
            .chunks(NODE_SIZE)
            .map(|c| c.iter().fold(GridBox::EMPTY, |b, x| b.union(*x)))
            .collect();
        levels.push(below.clone());
    }
    let (mut result_ends, mut all_results) = (Vec::with_capacity(order.len()), Vec::new());
    for &(_, i, _) in &order {
        for value in results(rings.faces[i as usize]) {
            put_value(&mut all_results, &value);
        }
        result_ends.push(all_results.len() as u32);
    }
    if all_results.is_empty() {
        result_ends.clear();
    }
    let counts = [
        order.len(),
        rings.polygon_ends.len(),
        rings.ring_ends.len(),
        rings.refs.len(),
        arc_order.len(),
        levels.iter().map(Vec::len).sum(),
        steps.len(),
        vanished.len(),
        all_results.len(),
    ];
    let mut out = Vec::with_capacity(
        HEAD_BYTES + order.len() * (FACE_BYTES + 40) + arc_order.len() * ARC_BYTES + steps.len(),
    );
    put_all(&mut out, &counts.map(|count| count as u32));
    out.resize(HEAD_BYTES, 0);
    let (mut polygon_ends, mut ring_ends, mut refs) = (Vec::new(), Vec::new(), Vec::new());
    for (place, &(_, i, bbox)) in order.iter().enumerate() {
        let mut look = Xxh3::new();
        for polygon in range(&rings.face_ends, i as usize) {
            look.update(b"polygon");
            for ring in range(&rings.polygon_ends, polygon) {
                look.update(b"ring");
                for r in &rings.refs[range(&rings.ring_ends, ring)] {
                    let arc = number[(r >> 1) as usize] as usize;
                    let start = if arc == 0 {
                        0
                    } else {
                        step_ends[arc - 1] as usize
                    };
                    let course = &steps[start..step_ends[arc] as usize];
                    let first = arcs.points_of((r >> 1) as usize)[0];
                    look.update(&first.key().to_le_bytes());
                    look.update(&[(r & 1) as u8]);
                    look.update(&(course.len() as u32).to_le_bytes());
                    look.update(course);
                    refs.push((arc as u32) << 1 | (r & 1));
                }
                ring_ends.push(refs.len() as u32);
            }
            polygon_ends.push(ring_ends.len() as u32);
        }
        let face = describe(rings.faces[i as usize]);
        look.update(&face.count.to_le_bytes());
        look.update(&face.digest.to_le_bytes());
        if !result_ends.is_empty() {
            look.update(&all_results[range(&result_ends, place)]);
        }
        put_box(&mut out, &bbox);
        put_all(
            &mut out,
            &[
                face.feature,
                face.class,
                face.count,
                polygon_ends.len() as u32,
            ],
        );
        out.extend(face.area.to_le_bytes());
        out.extend(look.digest().to_le_bytes());
    }
    for list in [&polygon_ends, &ring_ends, &refs] {
        put_all(&mut out, list);
    }
    for (&arc, &end) in arc_order.iter().zip(&step_ends) {
        put_box(&mut out, &arc_boxes[arc as usize]);
        let first = arcs.points_of(arc as usize)[0];
        put_all(&mut out, &[first.x as u32, first.y as u32, end]);
    }
    for node in levels.iter().flatten() {
        put_box(&mut out, node);
    }
    out.extend(&steps);
    put_all(&mut out, &result_ends);
    out.extend(&all_results);
    let mut vanished = vanished.to_vec();
    vanished.sort_unstable();
    let mut bbox = order.iter().fold(GridBox::EMPTY, |b, o| b.union(o.2));
    for Vanished { place, count } in vanished {
        bbox = bbox.union(GridBox::of(&[place]));
        put_all(&mut out, &[place.x as u32, place.y as u32, count]);
    }
    Block {
        bytes: out,
        bbox,
        faces: order.len(),
        points,
    }
}

/// Writes a level block by block.
pub struct LevelWriter {
    out: BufWriter<File>,
    zoom: u8,
    margin: u32,
    at: u64,
    directory: Vec<u8>,
}

impl LevelWriter {
    pub fn create(path: &Path, zoom: u8, margin: u32) -> std::io::Result<LevelWriter> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create_new(path)?);
        out.write_all(&[0; FILE_HEAD_BYTES])?;
        Ok(LevelWriter {
            out,
            zoom,
            margin,
            at: FILE_HEAD_BYTES as u64,
            directory: Vec::new(),
        })
    }

    /// Appends a block; one with nothing in it is left out.
    pub fn push(&mut self, block: &Block) -> std::io::Result<()> {
        if block.bbox == GridBox::EMPTY {
            return Ok(());
        }
        self.out.write_all(&block.bytes)?;
        self.directory.extend(self.at.to_le_bytes());
        self.directory
            .extend((block.bytes.len() as u64).to_le_bytes());
        self.directory.extend(block.digest().to_le_bytes());
        put_box(&mut self.directory, &block.bbox);
        self.at += block.bytes.len() as u64;
        Ok(())
    }

    pub fn finish(mut self) -> std::io::Result<()> {
        self.out.write_all(&self.directory)?;
        let mut file = self.out.into_inner().map_err(|e| e.into_error())?;
        let mut head = MAGIC.to_vec();
        let blocks = self.directory.len() / DIRECTORY_BYTES;
        put_all(
            &mut head,
            &[VERSION, u32::from(self.zoom), self.margin, blocks as u32],
        );
        head.extend(self.at.to_le_bytes());
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&head)?;
        file.sync_all()
    }
}

impl Block {
    /// Of the looks of its faces and of what has vanished. The numbers of features, which an edit
    /// elsewhere may move, are not in it.
    fn digest(&self) -> u64 {
        let word = |i: usize| get(&self.bytes, 4 * i) as usize;
        let mut hash = Xxh3::new();
        for face in self.bytes[HEAD_BYTES..][..word(0) * FACE_BYTES].chunks_exact(FACE_BYTES) {
            hash.update(&face[FACE_BYTES - 8..]);
        }
        let vanished = word(7) * VANISHED_BYTES;
        hash.update(&self.bytes[self.bytes.len() - vanished..]);
        hash.digest()
    }
}

fn put_all(out: &mut Vec<u8>, list: &[u32]) {
    list.iter().for_each(|v| out.extend(v.to_le_bytes()));
}

/// Appends a box as four numbers.
pub fn put_box(out: &mut Vec<u8>, b: &GridBox) {
    put_all(out, &[b.min.x, b.min.y, b.max.x, b.max.y].map(|v| v as u32));
}

/// An opened level; cheap to read from many threads.
pub struct LevelFile {
    pub zoom: u8,
    /// Tiles can be cut with this margin around them without a new vertex.
    pub margin: u32,
    path: PathBuf,
    blocks: Vec<LevelBlock>,
}

/// A part of a level. It is checked when it is first asked for: that reads all of it.
pub struct LevelBlock {
    map: Arc<Mmap>,
    /// Where it lies in the file.
    place: std::ops::Range<usize>,
    pub bbox: GridBox,
    /// A hash of the looks of all its faces.
    pub digest: u64,
    checked: OnceLock<()>,
    faces: usize,
    polygons_at: usize,
    rings_at: usize,
    refs_at: usize,
    arcs_at: usize,
    steps_at: usize,
    /// Where the ends of the results are, and where the results are.
    results_at: [usize; 2],
    vanished_at: usize,
    /// Byte offset and node count, the level above the faces first.
    nodes: Vec<(usize, usize)>,
}

impl LevelFile {
    /// Maps the file and checks that its sections add up to its length.
    ///
    /// # Errors
    /// [`FormatError`] when it cannot be read or is not a level.
    pub fn open(path: &Path) -> Result<LevelFile, FormatError> {
        let io = |source| FormatError::Io {
            path: path.to_path_buf(),
            source,
        };
        let malformed = |found: String, expected: &str| FormatError::Malformed {
            path: PathBuf::from(path),
            found,
            expected: expected.to_string(),
        };
        let file = File::open(path).map_err(io)?;
        // SAFETY: files of a published generation are never written again, only unlinked.
        let map = Arc::new(unsafe { Mmap::map(&file) }.map_err(io)?);
        if map.len() < FILE_HEAD_BYTES || map[..8] != MAGIC {
            return Err(malformed(
                "no signature of a pyramid level".into(),
                "\"onemappy\"",
            ));
        }
        let word = |i: usize| get(&map, 8 + 4 * i);
        if word(0) != VERSION {
            let expected = format!("version {VERSION}");
            return Err(malformed(format!("version {}", word(0)), &expected));
        }
        let directory_at = get_long(&map, 24);
        let ends = || {
            malformed(
                format!("{} bytes", map.len()),
                "a file as long as its counts say",
            )
        };
        let directory_end = (word(3) as usize * DIRECTORY_BYTES).checked_add(directory_at);
        if directory_end != Some(map.len()) {
            return Err(ends());
        }
        let mut blocks = Vec::with_capacity(word(3) as usize);
        let mut at = FILE_HEAD_BYTES;
        for entry in map[directory_at..].chunks_exact(DIRECTORY_BYTES) {
            let (offset, length) = (get_long(entry, 0), get_long(entry, 8));
            let end = offset.checked_add(length);
            if offset != at || end.is_none_or(|end| end > directory_at) {
                return Err(ends());
            }
            at += length;
            blocks.push(LevelBlock::open(map.clone(), offset..at, entry).ok_or_else(ends)?);
        }
        if at != directory_at {
            return Err(ends());
        }
        Ok(LevelFile {
            zoom: word(1) as u8,
            margin: word(2),
            path: path.to_path_buf(),
            blocks,
        })
    }

    /// The parts whose box meets `query`. `features` is how many the layer has.
    ///
    /// # Errors
    /// When one of them refers to what is not there.
    pub fn blocks(
        &self,
        query: GridBox,
        features: usize,
    ) -> impl Iterator<Item = Result<&LevelBlock, FormatError>> {
        let met = self.blocks.iter().filter(move |b| b.bbox.meets(&query));
        met.map(move |block| {
            if block.checked.get().is_none() {
                block.check_references(&self.path, features)?;
                let _ = block.checked.set(());
            }
            Ok(block)
        })
    }

    /// Lets go of the pages read so far; they are read again when they are asked for.
    pub fn let_go(&self) {
        if let Some(block) = self.blocks.first() {
            super::let_go(&block.map);
        }
    }

    /// All parts as they are, unchecked: their boxes and digests.
    pub fn unchecked_blocks(&self) -> &[LevelBlock] {
        &self.blocks
    }
}

impl LevelBlock {
    /// `None` when its counts do not add up to its length.
    fn open(map: Arc<Mmap>, place: std::ops::Range<usize>, entry: &[u8]) -> Option<LevelBlock> {
        if place.len() < HEAD_BYTES {
            return None;
        }
        let count = |i: usize| get(&map, place.start + 4 * i) as usize;
        let polygons_at = HEAD_BYTES + count(0) * FACE_BYTES;
        let rings_at = polygons_at + count(1) * 4;
        let refs_at = rings_at + count(2) * 4;
        let arcs_at = refs_at + count(3) * 4;
        let mut at = arcs_at + count(4) * ARC_BYTES;
        let mut nodes = Vec::new();
        let mut size = count(0);
        while size > 1 || (nodes.is_empty() && size == 1) {
            size = size.div_ceil(NODE_SIZE);
            nodes.push((at, size));
            at += size * NODE_BYTES;
        }
        let steps_at = at;
        let ends_at = steps_at + count(6);
        let ends = if count(8) > 0 { count(0) } else { 0 };
        let results_at = [ends_at, ends_at + ends * 4];
        let vanished_at = results_at[1] + count(8);
        let expected = vanished_at + count(7) * VANISHED_BYTES;
        if expected != place.len() || nodes.iter().map(|n| n.1).sum::<usize>() != count(5) {
            return None;
        }
        Some(LevelBlock {
            faces: count(0),
            bbox: box_in(entry, 24),
            digest: get_long(entry, 16) as u64,
            checked: OnceLock::new(),
            polygons_at,
            rings_at,
            refs_at,
            arcs_at,
            steps_at,
            results_at,
            vanished_at,
            nodes,
            map,
            place,
        })
    }

    fn bytes(&self) -> &[u8] {
        &self.map[self.place.clone()]
    }

    pub fn face_count(&self) -> usize {
        self.faces
    }

    /// # Panics
    /// When there is no such face.
    pub fn face(&self, face: u32) -> LevelFace {
        assert!((face as usize) < self.faces, "a face of this level");
        let at = HEAD_BYTES + face as usize * FACE_BYTES;
        LevelFace {
            bbox: self.box_at(at),
            feature: get(self.bytes(), at + 16),
            class: get(self.bytes(), at + 20),
            count: get(self.bytes(), at + 24),
            area: f64::from_bits(get_long(self.bytes(), at + 32) as u64),
            digest: get_long(self.bytes(), at + 40) as u64,
        }
    }

    fn box_at(&self, at: usize) -> GridBox {
        box_in(self.bytes(), at)
    }

    fn ends(&self, section: usize, i: usize) -> std::ops::Range<usize> {
        let at = |i: usize| get(self.bytes(), section + 4 * i) as usize;
        (if i == 0 { 0 } else { at(i - 1) })..at(i)
    }

    /// The polygons of a face, as numbers.
    pub fn polygons(&self, face: u32) -> std::ops::Range<usize> {
        let end = |face: usize| get(self.bytes(), HEAD_BYTES + face * FACE_BYTES + 28) as usize;
        (if face == 0 { 0 } else { end(face as usize - 1) })..end(face as usize)
    }

    /// The rings of a polygon, the shell first.
    pub fn rings(&self, polygon: usize) -> std::ops::Range<usize> {
        self.ends(self.polygons_at, polygon)
    }

    /// The arcs of a ring, and whether each is walked backwards.
    pub fn arcs_of_ring(&self, ring: usize) -> impl Iterator<Item = (u32, bool)> + '_ {
        self.ends(self.rings_at, ring).map(|i| {
            let r = get(self.bytes(), self.refs_at + 4 * i);
            (r >> 1, r & 1 == 1)
        })
    }

    /// The arcs around a face.
    pub fn arcs_of_face(&self, face: u32) -> impl Iterator<Item = u32> + '_ {
        self.polygons(face)
            .flat_map(|polygon| self.rings(polygon))
            .flat_map(|ring| self.arcs_of_ring(ring))
            .map(|(arc, _)| arc)
    }

    pub fn arc_bbox(&self, arc: u32) -> GridBox {
        self.box_at(self.arcs_at + arc as usize * ARC_BYTES)
    }

    /// Appends the vertices of an arc, in its own direction or backwards.
    pub fn append_arc(&self, arc: u32, backward: bool, out: &mut Vec<Point>) {
        let (record, mut steps) = self.arc_parts(arc);
        let mut p = Point::new(get(record, 16) as i32, get(record, 20) as i32);
        let from = out.len();
        out.push(p);
        while !steps.is_empty() {
            p.x = p.x.wrapping_add(take_step(&mut steps));
            p.y = p.y.wrapping_add(take_step(&mut steps));
            out.push(p);
        }
        if backward {
            out[from..].reverse();
        }
    }

    /// The record of an arc and its steps.
    fn arc_parts(&self, arc: u32) -> (&[u8], &[u8]) {
        let record = |arc: usize| {
            let at = self.arcs_at + arc * ARC_BYTES;
            &self.bytes()[at..at + ARC_BYTES]
        };
        let own = record(arc as usize);
        let end = get(own, 24) as usize;
        let start = if arc == 0 {
            0
        } else {
            get(record(arc as usize - 1), 24) as usize
        };
        (
            own,
            &self.bytes()[self.steps_at + start..self.steps_at + end],
        )
    }

    /// What the values of the features came to that a face stands for; nothing where nobody asked.
    pub fn results(&self, face: u32) -> Vec<Value> {
        let [ends_at, at] = self.results_at;
        if ends_at == at {
            return Vec::new();
        }
        let range = self.ends(ends_at, face as usize);
        let mut bytes = &self.bytes()[at..][range];
        std::iter::from_fn(|| take_value(&mut bytes)).collect()
    }

    /// How many features in the half-open box are not shown, because the grid is too coarse.
    pub fn vanished_in(&self, min: Point, max: Point) -> u64 {
        let records = self.bytes()[self.vanished_at..].chunks_exact(VANISHED_BYTES);
        let place = |record: &[u8]| Point::new(get(record, 0) as i32, get(record, 4) as i32);
        let (mut low, mut high) = (0, records.len());
        let record =
            |i: usize| &self.bytes()[self.vanished_at + i * VANISHED_BYTES..][..VANISHED_BYTES];
        while low < high {
            let middle = (low + high) / 2;
            if place(record(middle)).x < min.x {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        records
            .skip(low)
            .take_while(|record| place(record).x < max.x)
            .filter(|record| (min.y..max.y).contains(&place(record).y))
            .map(|record| u64::from(get(record, 8)))
            .sum()
    }

    /// The faces whose box meets `query`, ascending.
    pub fn search(&self, query: &GridBox) -> Vec<u32> {
        let mut found = Vec::new();
        let Some(top) = self.nodes.len().checked_sub(1) else {
            return found;
        };
        let mut stack = vec![(top, 0usize)];
        while let Some((level, node)) = stack.pop() {
            let (at, _) = self.nodes[level];
            if !self.box_at(at + node * NODE_BYTES).meets(query) {
                continue;
            }
            let below = if level == 0 {
                self.faces
            } else {
                self.nodes[level - 1].1
            };
            let children = node * NODE_SIZE..((node + 1) * NODE_SIZE).min(below);
            if level == 0 {
                found.extend(
                    children
                        .filter(|&face| self.box_at(HEAD_BYTES + face * FACE_BYTES).meets(query))
                        .map(|face| face as u32),
                );
            } else {
                stack.extend(children.rev().map(|child| (level - 1, child)));
            }
        }
        found
    }
}

impl LevelBlock {
    /// Checks that every number that refers to something does, so that reading cannot go astray
    /// in a file that rotted on the disk. `features` is how many the layer has.
    ///
    /// # Errors
    /// [`FormatError`] naming `path` and the list that is wrong.
    fn check_references(&self, path: &Path, features: usize) -> Result<(), FormatError> {
        let column = |at: usize, stride: usize, count: usize| {
            (0..count).map(move |i| get(self.bytes(), at + i * stride) as usize)
        };
        let ascending = |mut ends: Box<dyn Iterator<Item = usize> + '_>, limit: usize| {
            let mut last = 0;
            ends.all(|end| {
                let right = (last..=limit).contains(&end);
                last = end;
                right
            })
        };
        let (polygons, rings) = (
            (self.rings_at - self.polygons_at) / 4,
            (self.refs_at - self.rings_at) / 4,
        );
        let refs = (self.arcs_at - self.refs_at) / 4;
        let nodes_at = self.nodes.first().map_or(self.steps_at, |&(at, _)| at);
        let arcs = (nodes_at - self.arcs_at) / ARC_BYTES;
        let [ends_at, results_at] = self.results_at;
        let steps = ends_at - self.steps_at;
        let result_ends = (results_at - ends_at) / 4;
        let face_ends = column(HEAD_BYTES + 28, FACE_BYTES, self.faces);
        let wrong = if !ascending(Box::new(face_ends), polygons) {
            "faces"
        } else if !ascending(Box::new(column(self.polygons_at, 4, polygons)), rings) {
            "polygons"
        } else if !ascending(Box::new(column(self.rings_at, 4, rings)), refs) {
            "rings"
        } else if !column(self.refs_at, 4, refs).all(|r| r >> 1 < arcs) {
            "refs"
        } else if !ascending(Box::new(column(self.arcs_at + 24, ARC_BYTES, arcs)), steps) {
            "arcs"
        } else if !ascending(
            Box::new(column(ends_at, 4, result_ends)),
            self.vanished_at - results_at,
        ) {
            "results"
        } else if !column(HEAD_BYTES + 16, FACE_BYTES, self.faces)
            .all(|feature| feature < features || feature == NONE as usize)
        {
            "features of faces"
        } else {
            return Ok(());
        };
        Err(FormatError::Malformed {
            path: path.to_path_buf(),
            found: format!("{wrong} that refer to nothing"),
            expected: "lists that fit together".into(),
        })
    }
}

fn get(map: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(map[at..at + 4].try_into().expect("four bytes"))
}

fn get_long(map: &[u8], at: usize) -> usize {
    u64::from_le_bytes(map[at..at + 8].try_into().expect("eight bytes")) as usize
}

/// The box at a place.
pub fn box_in(map: &[u8], at: usize) -> GridBox {
    let v = |i: usize| get(map, at + 4 * i) as i32;
    GridBox {
        min: Point::new(v(0), v(1)),
        max: Point::new(v(2), v(3)),
    }
}

/// Appends a result.
fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Integer(value) => {
            out.push(1);
            out.extend(value.to_le_bytes());
        }
        Value::Real(value) => {
            out.push(2);
            out.extend(value.to_le_bytes());
        }
        Value::Text(text) => {
            out.push(3);
            out.extend((text.len() as u32).to_le_bytes());
            out.extend(text.as_bytes());
        }
        // Nothing else comes out of an aggregate.
        Value::Null | Value::Boolean(_) | Value::Binary(_) => out.push(0),
    }
}

/// Takes a result from the front; `None` at the end, or where it is cut off.
fn take_value(bytes: &mut &[u8]) -> Option<Value> {
    let (&kind, rest) = bytes.split_first()?;
    let (value, rest) = match kind {
        0 => (Value::Null, rest),
        1 | 2 => {
            let (number, rest) = rest.split_first_chunk::<8>()?;
            let value = match kind {
                1 => Value::Integer(i64::from_le_bytes(*number)),
                _ => Value::Real(f64::from_le_bytes(*number)),
            };
            (value, rest)
        }
        3 => {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            (
                Value::Text(String::from_utf8_lossy(text).into_owned()),
                rest,
            )
        }
        _ => return None,
    };
    *bytes = rest;
    Some(value)
}

/// Appends a difference as a zigzag varint.
pub fn put_step(out: &mut Vec<u8>, step: i32) {
    let mut value = ((step << 1) ^ (step >> 31)) as u32;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes one from the front; 0 at the end.
#[inline]
pub fn take_step(steps: &mut &[u8]) -> i32 {
    let mut value = 0u32;
    let mut shift = 0;
    while let Some((&byte, rest)) = steps.split_first() {
        *steps = rest;
        value |= u32::from(byte & 0x7F) << shift;
        shift += 7;
        if byte < 0x80 || shift > 28 {
            break;
        }
    }
    ((value >> 1) as i32) ^ -((value & 1) as i32)
}
