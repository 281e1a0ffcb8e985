//! FlatGeobuf 3: the truth of a vector generation.
//!
//! The file is an ordinary FlatGeobuf with its packed Hilbert R-tree, so that any GIS opens it.
//! Reading goes through the verifier of the generated accessors; writing is split in two, because
//! features are encoded on many threads ([`FeatureEncoder`]) and the file is assembled by one
//! ([`FileWriter`]).
//!
//! Every feature carries its geometry type and the header says "unknown": the type of a layer is
//! only known after its last feature, and features are encoded once.

mod reader;
mod writer;

pub use reader::{FeatureView, FgbFile, GeometryView, PartView, RingView, ValueRef};
pub use writer::{FeatureEncoder, FileWriter};

const MAGIC: [u8; 8] = *b"fgb\x03fgb\x00";
/// Children per node of the spatial index.
const NODE_SIZE: usize = 16;
/// Bytes per node: a box and an offset.
const NODE_BYTES: u64 = 40;

/// Number of nodes per level, the leaves first; even a single leaf has a root above it.
fn level_sizes(features: u64) -> Vec<u64> {
    let mut sizes = vec![features];
    loop {
        let above = sizes[sizes.len() - 1].div_ceil(NODE_SIZE as u64);
        sizes.push(above);
        if above <= 1 {
            return sizes;
        }
    }
}

/// Size of the index section; a file without features has none.
fn index_bytes(features: u64) -> u64 {
    if features == 0 {
        0
    } else {
        level_sizes(features).iter().sum::<u64>() * NODE_BYTES
    }
}
