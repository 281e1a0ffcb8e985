//! One feature, one id: the first of several with the same id keeps it, the others get one that
//! follows from it and from their turn, so that the same file gives the same ids again.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use super::prepare::ID_BITS;
use super::sort::ExternalSorter;

/// New ids by ordinal; features that are not in it keep theirs.
pub struct Identities {
    replaced: HashMap<u64, u64>,
}

impl Identities {
    /// Walks the pairs (id, ordinal) in order of id.
    pub fn settle(pairs: ExternalSorter) -> std::io::Result<Identities> {
        let mut replaced = HashMap::new();
        let mut last = None;
        let mut turn = 0u64;
        pairs.drain(|id, ordinal| -> std::io::Result<()> {
            if last == Some(id) {
                turn += 1;
                let ordinal =
                    u64::from_le_bytes(ordinal.try_into().expect("an ordinal of eight bytes"));
                replaced.insert(ordinal, follower(id, turn));
            } else {
                last = Some(id);
                turn = 0;
            }
            Ok(())
        })?;
        Ok(Identities { replaced })
    }

    pub fn final_id(&self, ordinal: u64, derived: u64) -> u64 {
        self.replaced.get(&ordinal).copied().unwrap_or(derived)
    }

    pub fn is_duplicate(&self, ordinal: u64) -> bool {
        self.replaced.contains_key(&ordinal)
    }
}

/// In the upper half of the id space, away from the small numbers of an id field.
fn follower(id: u64, turn: u64) -> u64 {
    let mut bytes = [0u8; 16];
    bytes[..8].copy_from_slice(&id.to_le_bytes());
    bytes[8..].copy_from_slice(&turn.to_le_bytes());
    let half = 1u64 << (ID_BITS - 1);
    half | (xxh3_64(&bytes) & (half - 1))
}
