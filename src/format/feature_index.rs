//! The server's own index of a generation: a packed Hilbert R-tree over feature records.
//!
//! Beside what the index inside FlatGeobuf has, a record knows the feature's identity, size and
//! label point, and a node knows the largest size below it. So a tile at a low zoom finds the
//! features worth drawing without touching the others, and can still count them. In a generalised
//! level it also knows how many features of the layer it stands for, and some records are places
//! at which features were left out: those are counted and never found.
//!
//! Layout, little-endian: a 32-byte head (magic, version, count, features stood for beyond the
//! records themselves), `count` records of 80 bytes in Hilbert order, then nodes of 40 bytes level
//! by level from the one above the records to the root. Node `i` of a level covers entries `16 i` to `16 i + 15` of the level below.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::FormatError;
use crate::geom::Bbox;

const MAGIC: [u8; 8] = *b"onemapix";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 32;
const RECORD_BYTES: usize = 80;
const NODE_BYTES: usize = 40;
/// Entries per node.
const NODE_SIZE: usize = 16;

/// What is known of a feature without reading it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeatureRecord {
    pub bbox_in_layer_crs: Bbox,
    /// Where its message starts in the feature section of the FlatGeobuf.
    pub offset: u64,
    pub id: u64,
    pub label: [f64; 2],
    /// Distance of the label point to the border, layer units.
    pub label_clearance: f32,
    /// Side of the square of equal area for polygons, diagonal of the box for lines, 0 for
    /// points; layer units. Points of a level have the number they stand for instead.
    pub size: f32,
    pub vertices: u32,
    /// Features of the layer that this one stands for: 1 but in generalised levels.
    pub count: u32,
}

/// A size below any that is asked for.
const LEFT_OUT: f32 = -1.0;

impl FeatureRecord {
    pub const BYTES: usize = RECORD_BYTES;

    /// A place where so many features were left out.
    pub fn left_out(place: [f64; 2], count: u32) -> FeatureRecord {
        FeatureRecord {
            bbox_in_layer_crs: Bbox::new(place[0], place[1], place[0], place[1]),
            offset: u64::MAX,
            id: 0,
            label: place,
            label_clearance: 0.0,
            size: LEFT_OUT,
            vertices: 0,
            count,
        }
    }

    /// True for a place where features were left out: there is no feature behind it.
    pub fn is_left_out(&self) -> bool {
        self.size == LEFT_OUT
    }

    pub fn to_bytes(&self) -> [u8; FeatureRecord::BYTES] {
        let mut bytes = [0u8; RECORD_BYTES];
        put_bbox(&mut bytes, &self.bbox_in_layer_crs);
        bytes[32..40].copy_from_slice(&self.offset.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.id.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.label[0].to_le_bytes());
        bytes[56..64].copy_from_slice(&self.label[1].to_le_bytes());
        bytes[64..68].copy_from_slice(&self.label_clearance.to_le_bytes());
        bytes[68..72].copy_from_slice(&self.size.to_le_bytes());
        bytes[72..76].copy_from_slice(&self.vertices.to_le_bytes());
        bytes[76..80].copy_from_slice(&self.count.saturating_sub(1).to_le_bytes());
        bytes
    }

    pub fn from_bytes(bytes: &[u8; FeatureRecord::BYTES]) -> FeatureRecord {
        FeatureRecord {
            bbox_in_layer_crs: get_bbox(bytes),
            offset: u64::from_le_bytes(bytes[32..40].try_into().expect("eight bytes")),
            id: u64::from_le_bytes(bytes[40..48].try_into().expect("eight bytes")),
            label: [get_f64(bytes, 48), get_f64(bytes, 56)],
            label_clearance: get_f32(bytes, 64),
            size: get_f32(bytes, 68),
            vertices: u32::from_le_bytes(bytes[72..76].try_into().expect("four bytes")),
            count: others(bytes).saturating_add(1),
        }
    }
}

/// Features that a record stands for beside itself.
fn others(record: &[u8]) -> u32 {
    u32::from_le_bytes(record[76..80].try_into().expect("four bytes"))
}

/// Writes the index from records in Hilbert order.
pub struct IndexWriter {
    out: BufWriter<File>,
    count: u64,
    /// Features stood for beyond the records themselves.
    others: u64,
    parents: Vec<Node>,
}

#[derive(Clone, Copy)]
struct Node {
    bbox: Bbox,
    max_size: f32,
}

impl Node {
    fn of(record: &FeatureRecord) -> Node {
        Node {
            bbox: record.bbox_in_layer_crs,
            max_size: record.size,
        }
    }

    fn join(self, other: Node) -> Node {
        Node {
            bbox: self.bbox.union(&other.bbox),
            max_size: self.max_size.max(other.max_size),
        }
    }
}

impl IndexWriter {
    pub fn create(path: &Path) -> std::io::Result<IndexWriter> {
        let mut out = BufWriter::with_capacity(1 << 18, File::create_new(path)?);
        out.write_all(&[0; HEAD_BYTES])?;
        Ok(IndexWriter {
            out,
            count: 0,
            others: 0,
            parents: Vec::new(),
        })
    }

    pub fn push(&mut self, record: &FeatureRecord) -> std::io::Result<()> {
        self.out.write_all(&record.to_bytes())?;
        self.others += u64::from(record.count.saturating_sub(1));
        if self.count.is_multiple_of(NODE_SIZE as u64) {
            self.parents.push(Node::of(record));
        } else if let Some(parent) = self.parents.last_mut() {
            *parent = parent.join(Node::of(record));
        }
        self.count += 1;
        Ok(())
    }

    pub fn finish(mut self) -> std::io::Result<()> {
        let mut level = self.parents;
        while !level.is_empty() {
            for node in &level {
                let mut bytes = [0u8; NODE_BYTES];
                put_bbox(&mut bytes, &node.bbox);
                bytes[32..36].copy_from_slice(&node.max_size.to_le_bytes());
                self.out.write_all(&bytes)?;
            }
            if level.len() == 1 {
                break;
            }
            level = level
                .chunks(NODE_SIZE)
                .map(|nodes| {
                    nodes[1..]
                        .iter()
                        .fold(nodes[0], |all, node| all.join(*node))
                })
                .collect();
        }
        let mut file = self.out.into_inner().map_err(|e| e.into_error())?;
        file.seek(SeekFrom::Start(0))?;
        let mut head = [0u8; HEAD_BYTES];
        head[..8].copy_from_slice(&MAGIC);
        head[8..12].copy_from_slice(&VERSION.to_le_bytes());
        head[16..24].copy_from_slice(&self.count.to_le_bytes());
        head[24..32].copy_from_slice(&self.others.to_le_bytes());
        file.write_all(&head)?;
        file.sync_all()
    }
}

fn put_bbox(bytes: &mut [u8], bbox: &Bbox) {
    for (slot, value) in bytes.chunks_exact_mut(8).zip(bbox.to_array()) {
        slot.copy_from_slice(&value.to_le_bytes());
    }
}

/// An opened index; cheap to search from many threads.
pub struct FeatureIndex {
    path: PathBuf,
    map: Mmap,
    count: usize,
    /// Features stood for beyond the records themselves.
    others: u64,
    /// Byte offset and number of nodes per level, the one above the records first.
    levels: Vec<(usize, usize)>,
}

/// What a search found.
#[derive(Debug, Default, PartialEq)]
pub struct Hits {
    /// Feature numbers (positions in Hilbert order), ascending.
    pub features: Vec<u32>,
    /// Features whose box meets the query but whose size is below the threshold, and those that
    /// were left out there.
    pub too_small: u64,
}

impl FeatureIndex {
    /// Maps the index and checks that it is complete.
    pub fn open(path: &Path) -> Result<FeatureIndex, FormatError> {
        let io = |source| FormatError::Io {
            path: path.to_path_buf(),
            source,
        };
        let malformed = |found: String, expected: &str| FormatError::Malformed {
            path: path.to_path_buf(),
            found,
            expected: expected.to_string(),
        };
        let file = File::open(path).map_err(io)?;
        // SAFETY: files of a published generation are never written again, only unlinked.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        if map.len() < HEAD_BYTES || map[..8] != MAGIC {
            return Err(malformed("no index signature".into(), "\"onemapix\""));
        }
        let version = u32::from_le_bytes(map[8..12].try_into().expect("four bytes"));
        if version != VERSION {
            return Err(malformed(format!("version {version}"), "version 1"));
        }
        let count = u64::from_le_bytes(map[16..24].try_into().expect("eight bytes"));
        let expected = "a file as long as its count says";
        if count > map.len() as u64 / RECORD_BYTES as u64 || count > u64::from(u32::MAX) {
            return Err(malformed(
                format!("{count} records in {} bytes", map.len()),
                expected,
            ));
        }
        let others = u64::from_le_bytes(map[24..32].try_into().expect("eight bytes"));
        let count = count as usize;
        let mut at = HEAD_BYTES + count * RECORD_BYTES;
        let mut levels = Vec::new();
        let mut size = count;
        while size > 1 || (levels.is_empty() && size == 1) {
            size = size.div_ceil(NODE_SIZE);
            levels.push((at, size));
            at += size * NODE_BYTES;
        }
        if at != map.len() {
            return Err(malformed(
                format!("{} bytes for {count} records", map.len()),
                expected,
            ));
        }
        Ok(FeatureIndex {
            path: path.to_path_buf(),
            map,
            count,
            others,
            levels,
        })
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The record of feature number `feature`.
    ///
    /// # Panics
    /// When there is no such feature.
    pub fn record(&self, feature: u32) -> FeatureRecord {
        assert!(
            (feature as usize) < self.count,
            "a feature number of this index"
        );
        let at = HEAD_BYTES + feature as usize * RECORD_BYTES;
        let bytes = &self.map[at..at + RECORD_BYTES];
        FeatureRecord::from_bytes(bytes.try_into().expect("the bytes of a record"))
    }

    /// Lets go of the pages read so far; they are read again when they are asked for.
    pub fn let_go(&self) {
        super::let_go(&self.map);
    }

    /// Features whose box meets `bbox` and whose size is at least `min_size`.
    ///
    /// `go_on` is asked once per node; when it says no, the search stops and returns `None`.
    pub fn search(
        &self,
        bbox: &Bbox,
        min_size: f32,
        mut go_on: impl FnMut() -> bool,
    ) -> Option<Hits> {
        let mut hits = Hits::default();
        if self.count == 0 {
            return Some(hits);
        }
        let mut stack: Vec<(usize, Range<usize>)> = vec![(self.levels.len() - 1, 0..1)];
        while let Some((level, nodes)) = stack.pop() {
            if !go_on() {
                return None;
            }
            // Children go on the stack in reverse, so that features come out ascending.
            for node in nodes.rev() {
                let at = self.levels[level].0 + node * NODE_BYTES;
                let bytes = &self.map[at..at + NODE_BYTES];
                let node_bbox = get_bbox(bytes);
                if !node_bbox.intersects(bbox) {
                    continue;
                }
                let below = if level == 0 {
                    self.count
                } else {
                    self.levels[level - 1].1
                };
                let children = node * NODE_SIZE..((node + 1) * NODE_SIZE).min(below);
                if get_f32(bytes, 32) < min_size && bbox.contains(&node_bbox) {
                    hits.too_small += self.features_below(level, node);
                } else if level == 0 {
                    // Leaves are visited right away, in reverse as well; sorted at the end.
                    for feature in children {
                        let at = HEAD_BYTES + feature * RECORD_BYTES;
                        let record = &self.map[at..at + RECORD_BYTES];
                        if get_bbox(record).intersects(bbox) {
                            if get_f32(record, 68) >= min_size {
                                hits.features.push(feature as u32);
                            } else {
                                hits.too_small += 1 + u64::from(others(record));
                            }
                        }
                    }
                } else {
                    stack.push((level - 1, children));
                }
            }
        }
        hits.features.sort_unstable();
        Some(hits)
    }

    fn features_below(&self, level: usize, node: usize) -> u64 {
        let span = NODE_SIZE.pow(level as u32 + 1);
        let records = node * span..((node + 1) * span).min(self.count);
        if self.others == 0 {
            return records.len() as u64;
        }
        let of = |feature: usize| &self.map[HEAD_BYTES + feature * RECORD_BYTES..][..RECORD_BYTES];
        records
            .map(|feature| 1 + u64::from(others(of(feature))))
            .sum()
    }
}

fn get_f64(bytes: &[u8], at: usize) -> f64 {
    f64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn get_f32(bytes: &[u8], at: usize) -> f32 {
    f32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn get_bbox(bytes: &[u8]) -> Bbox {
    Bbox::new(
        get_f64(bytes, 0),
        get_f64(bytes, 8),
        get_f64(bytes, 16),
        get_f64(bytes, 24),
    )
}
