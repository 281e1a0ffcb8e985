//! The arcs of a layer between two zooms, on disk: the work on a part reads those of its faces.
//!
//! A chunk for each part that was worked on, little-endian:
//!
//! ```text
//! arcs      32 bytes each: left, right, vertices, bytes of its course, box (4 × i32)
//! courses   per arc the first vertex and the steps to the others, as zigzag varints
//! ```
//!
//! The file has no name: it is gone with the process.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::format::pyramid::{GridBox, box_in, put_box, put_step, take_step};
use crate::store::StoreError;
use crate::topology::{NONE, Point};

const ARC_BYTES: usize = 32;

/// The arcs of all parts.
pub struct ArcStore {
    file: File,
    /// Where it was made, for messages.
    path: PathBuf,
    chunks: Vec<Chunk>,
    end: u64,
}

#[derive(Debug, Clone, Copy)]
struct Chunk {
    offset: u64,
    bytes: usize,
    arcs: usize,
    /// Of the arcs' vertices.
    bbox: GridBox,
    /// Of the places of the faces beside them.
    places: GridBox,
}

/// Arcs ready to be written.
pub struct Packed {
    bytes: Vec<u8>,
    arcs: usize,
    bbox: GridBox,
}

impl Packed {
    /// Packs arcs whose sides are numbers that mean the same in every part.
    pub fn of<'a>(arcs: impl Iterator<Item = ([u32; 2], &'a [Point])>) -> Packed {
        let (mut heads, mut courses) = (Vec::new(), Vec::new());
        let mut bbox = GridBox::default();
        let mut count = 0;
        for (sides, points) in arcs {
            let start = courses.len();
            let mut at = Point::new(0, 0);
            for &p in points {
                put_step(&mut courses, p.x - at.x);
                put_step(&mut courses, p.y - at.y);
                at = p;
            }
            let own = GridBox::of(points);
            bbox = bbox.union(own);
            let course = (courses.len() - start) as u32;
            for word in [sides[0], sides[1], points.len() as u32, course] {
                heads.extend(word.to_le_bytes());
            }
            put_box(&mut heads, &own);
            count += 1;
        }
        heads.append(&mut courses);
        Packed {
            bytes: heads,
            arcs: count,
            bbox,
        }
    }
}

/// An arc as it lies in a chunk.
#[derive(Clone, Copy)]
pub struct StoredArc<'a> {
    pub sides: [u32; 2],
    pub bbox: GridBox,
    vertices: u32,
    course: &'a [u8],
}

impl StoredArc<'_> {
    pub fn points(&self) -> impl Iterator<Item = Point> {
        let (mut at, mut course) = (Point::new(0, 0), self.course);
        (0..self.vertices).map(move |_| {
            at.x = at.x.wrapping_add(take_step(&mut course));
            at.y = at.y.wrapping_add(take_step(&mut course));
            at
        })
    }
}

impl ArcStore {
    /// An empty one, in a directory with room.
    pub fn create(dir: &Path) -> Result<ArcStore, StoreError> {
        let path = dir.join("arcs.tmp");
        let open = || {
            let file = File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path)?;
            fs::remove_file(&path)?;
            Ok(file)
        };
        let file = open().map_err(|e| StoreError::io(&path, e))?;
        Ok(ArcStore {
            file,
            path,
            chunks: Vec::new(),
            end: 0,
        })
    }

    pub fn push(&mut self, packed: &Packed) -> Result<(), StoreError> {
        let written = self.file.write_all(&packed.bytes);
        written.map_err(|e| StoreError::io(&self.path, e))?;
        self.chunks.push(Chunk {
            offset: self.end,
            bytes: packed.bytes.len(),
            arcs: packed.arcs,
            bbox: packed.bbox,
            places: GridBox::default(),
        });
        self.end += packed.bytes.len() as u64;
        Ok(())
    }

    /// Learns where the faces beside the arcs of each chunk are, once all parts are written.
    pub fn locate(&mut self, place_of: impl Fn(u32) -> Point + Sync) -> Result<(), StoreError> {
        let places: Vec<GridBox> = self
            .chunks
            .par_iter()
            .map(|chunk| {
                let heads = self.read(chunk.offset, chunk.arcs * ARC_BYTES)?;
                let sides = heads.chunks_exact(ARC_BYTES).flat_map(sides_of);
                let sides = sides.filter(|&face| face != NONE);
                Ok(sides.fold(GridBox::default(), |all, face| {
                    all.union(GridBox::of(&[place_of(face)]))
                }))
            })
            .collect::<Result<_, StoreError>>()?;
        for (chunk, places) in self.chunks.iter_mut().zip(places) {
            chunk.places = places;
        }
        Ok(())
    }

    /// True when parts were worked on without the others.
    pub fn is_of_several_parts(&self) -> bool {
        self.chunks.len() > 1
    }

    /// Shows every arc that may have a face with a place in the box beside it.
    pub fn each_beside(
        &self,
        places: &GridBox,
        each: impl FnMut(StoredArc<'_>),
    ) -> Result<(), StoreError> {
        self.each(|chunk| chunk.places.meets(places), each)
    }

    /// Shows every arc that may reach into the box.
    pub fn each_near(
        &self,
        bbox: &GridBox,
        each: impl FnMut(StoredArc<'_>),
    ) -> Result<(), StoreError> {
        self.each(|chunk| chunk.bbox.meets(bbox), each)
    }

    fn each(
        &self,
        is_wanted: impl Fn(&Chunk) -> bool,
        mut each: impl FnMut(StoredArc<'_>),
    ) -> Result<(), StoreError> {
        for chunk in self.chunks.iter().filter(|chunk| is_wanted(chunk)) {
            let bytes = self.read(chunk.offset, chunk.bytes)?;
            let (heads, mut courses) = bytes.split_at(chunk.arcs * ARC_BYTES);
            for head in heads.chunks_exact(ARC_BYTES) {
                let (course, rest) = courses.split_at(word(head, 3) as usize);
                courses = rest;
                each(StoredArc {
                    sides: sides_of(head),
                    bbox: box_in(head, 16),
                    vertices: word(head, 2),
                    course,
                });
            }
        }
        Ok(())
    }

    fn read(&self, offset: u64, bytes: usize) -> Result<Vec<u8>, StoreError> {
        let mut buffer = vec![0; bytes];
        let read = self.file.read_exact_at(&mut buffer, offset);
        read.map_err(|e| StoreError::io(&self.path, e))?;
        Ok(buffer)
    }
}

fn word(head: &[u8], i: usize) -> u32 {
    u32::from_le_bytes(head[4 * i..4 * i + 4].try_into().expect("four bytes"))
}

fn sides_of(head: &[u8]) -> [u32; 2] {
    [word(head, 0), word(head, 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Arcs;

    #[test]
    fn arcs_come_back_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = ArcStore::create(dir.path()).unwrap();
        let p = Point::new;
        let mut arcs = Arcs::default();
        arcs.push(
            [p(0, 0), p(2_000_000_000, 5), p(7, 2_147_483_647)],
            [3, NONE],
        );
        arcs.push([p(100, 100), p(101, 99)], [NONE, 9]);
        let pack =
            |arcs: &Arcs| Packed::of((0..arcs.len()).map(|i| (arcs.sides[i], arcs.points_of(i))));
        store.push(&pack(&arcs)).unwrap();
        store.push(&pack(&arcs)).unwrap();
        store.locate(|face| p(face as i32, 10)).unwrap();
        let mut back = Arcs::default();
        let all = GridBox::of(&[p(9, 0), p(9, 20)]);
        store
            .each_beside(&all, |arc| back.push(arc.points(), arc.sides))
            .unwrap();
        let mut twice = arcs.clone();
        twice.append(&arcs);
        assert_eq!(back, twice);
        let none = GridBox::of(&[p(11, 0), p(11, 20)]);
        store
            .each_beside(&none, |_| panic!("no face is there"))
            .unwrap();
        assert!(!dir.path().join("arcs.tmp").exists());
    }
}
