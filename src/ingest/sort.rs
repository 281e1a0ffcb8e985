//! Sorts more records than fit into memory: sorted runs on disk, merged once.
//!
//! Equal keys come out in the order they went in, so the result does not depend on where the
//! runs were cut.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// A record's fixed head in a run: key and payload length.
const HEAD_BYTES: usize = 12;

/// Collects records and spills sorted runs into a directory.
pub struct ExternalSorter {
    dir: PathBuf,
    label: &'static str,
    budget_bytes: usize,
    payload: Vec<u8>,
    /// Key, position of the payload in `payload`, length.
    entries: Vec<(u64, usize, u32)>,
    runs: Vec<File>,
}

impl ExternalSorter {
    /// Runs are unnamed files of `dir`, gone with the process.
    pub fn new(dir: &Path, label: &'static str, budget_bytes: usize) -> ExternalSorter {
        ExternalSorter {
            dir: dir.to_path_buf(),
            label,
            budget_bytes,
            payload: Vec::new(),
            entries: Vec::new(),
            runs: Vec::new(),
        }
    }

    pub fn push(&mut self, key: u64, payload: &[u8]) -> std::io::Result<()> {
        let held = self.payload.len() + self.entries.len() * size_of::<(u64, usize, u32)>();
        if held + payload.len() > self.budget_bytes && !self.entries.is_empty() {
            self.spill()?;
        }
        self.entries
            .push((key, self.payload.len(), payload.len() as u32));
        self.payload.extend_from_slice(payload);
        Ok(())
    }

    fn spill(&mut self) -> std::io::Result<()> {
        // Unlinked at once: a killed import leaves nothing behind.
        let path = self
            .dir
            .join(format!("{}-{}.run", self.label, self.runs.len()));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        std::fs::remove_file(&path)?;
        self.entries.sort_by_key(|&(key, _, _)| key);
        let mut out = BufWriter::with_capacity(1 << 20, file);
        for &(key, at, len) in &self.entries {
            out.write_all(&key.to_le_bytes())?;
            out.write_all(&len.to_le_bytes())?;
            out.write_all(&self.payload[at..at + len as usize])?;
        }
        self.runs
            .push(out.into_inner().map_err(|e| e.into_error())?);
        self.entries.clear();
        self.payload.clear();
        Ok(())
    }

    /// Calls `each` with every record in order of key.
    pub fn drain<E: From<std::io::Error>>(
        mut self,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.runs.is_empty() {
            self.entries.sort_by_key(|&(key, _, _)| key);
            for &(key, at, len) in &self.entries {
                each(key, &self.payload[at..at + len as usize])?;
            }
            return Ok(());
        }
        if !self.entries.is_empty() {
            self.spill()?;
        }
        self.payload = Vec::new();
        self.entries = Vec::new();
        merge(self.runs, each)
    }
}

struct Run {
    input: BufReader<File>,
    payload: Vec<u8>,
}

impl Run {
    /// Reads the next record; its key, or `None` at the end.
    fn advance(&mut self) -> std::io::Result<Option<u64>> {
        let mut head = [0u8; HEAD_BYTES];
        match self.input.read_exact(&mut head) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let key = u64::from_le_bytes(head[..8].try_into().expect("eight bytes"));
        let len = u32::from_le_bytes(head[8..].try_into().expect("four bytes"));
        self.payload.resize(len as usize, 0);
        self.input.read_exact(&mut self.payload)?;
        Ok(Some(key))
    }
}

fn merge<E: From<std::io::Error>>(
    files: Vec<File>,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    // Together the read buffers stay within a few megabytes however many runs there are.
    let buffer_bytes = ((4 << 20) / files.len()).clamp(1 << 14, 1 << 18);
    let mut runs = Vec::with_capacity(files.len());
    let mut heads = BinaryHeap::new();
    for (number, mut file) in files.into_iter().enumerate() {
        file.rewind()?;
        let mut run = Run {
            input: BufReader::with_capacity(buffer_bytes, file),
            payload: Vec::new(),
        };
        if let Some(key) = run.advance()? {
            heads.push(Reverse((key, number)));
        }
        runs.push(run);
    }
    while let Some(Reverse((key, number))) = heads.pop() {
        each(key, &runs[number].payload)?;
        if let Some(next) = runs[number].advance()? {
            heads.push(Reverse((next, number)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(budget_bytes: usize) -> Vec<(u64, Vec<u8>)> {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = ExternalSorter::new(dir.path(), "test", budget_bytes);
        let mut seed = 1u64;
        for i in 0..5000u32 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
            // Few distinct keys, so that the order among equals shows.
            sorter.push(seed >> 58, &i.to_le_bytes()).unwrap();
        }
        let mut out = Vec::new();
        sorter
            .drain::<std::io::Error>(|key, payload| {
                out.push((key, payload.to_vec()));
                Ok(())
            })
            .unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        out
    }

    #[test]
    fn runs_on_disk_give_the_same_order_as_memory() {
        let in_memory = sorted(usize::MAX);
        assert_eq!(in_memory.len(), 5000);
        assert!(in_memory.windows(2).all(|p| p[0].0 <= p[1].0));
        assert_eq!(sorted(10_000), in_memory);
        assert_eq!(sorted(1), in_memory);
    }
}
