//! A seeded mangler: sound bytes in, damaged bytes out, the same ones every time.

/// What numbers in binary heads, and texts, do not survive.
const EXTREMES: [u64; 10] = [
    0,
    1,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    u64::MAX,
];

pub struct Mangler {
    state: u64,
    words: &'static [&'static [u8]],
}

impl Mangler {
    /// `words` are what the format under test knows: they are put in as a whole.
    pub fn new(seed: u64, words: &'static [&'static [u8]]) -> Mangler {
        assert_ne!(seed, 0, "xorshift stays at zero");
        Mangler { state: seed, words }
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % limit.max(1) as u64) as usize
    }

    /// A copy with one to four wounds; half of them within the first `head` bytes.
    pub fn mangled(&mut self, sound: &[u8], head: usize) -> Vec<u8> {
        let mut bytes = sound.to_vec();
        for _ in 0..1 + self.below(4) {
            self.wound(&mut bytes, head);
        }
        bytes
    }

    fn wound(&mut self, bytes: &mut Vec<u8>, head: usize) {
        if bytes.is_empty() {
            return;
        }
        let reach = if self.below(2) == 0 {
            bytes.len()
        } else {
            bytes.len().min(head)
        };
        let at = self.below(reach);
        match self.below(8) {
            0 | 1 => bytes[at] ^= 1 << self.below(8),
            2 => bytes[at] = self.below(256) as u8,
            3 => {
                let width = [1, 2, 4, 8][self.below(4)].min(bytes.len() - at);
                let value = EXTREMES[self.below(EXTREMES.len())].to_le_bytes();
                bytes[at..at + width].copy_from_slice(&value[..width]);
            }
            4 if !self.words.is_empty() => {
                let word = self.words[self.below(self.words.len())];
                bytes.splice(at..at, word.iter().copied());
            }
            5 => {
                let end = (at + 1 + self.below(32)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = self.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            6 => {
                let end = (at + 1 + self.below(32)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                if self.below(4) == 0 {
                    bytes.truncate(at);
                } else {
                    bytes[at] = bytes[at].wrapping_add(1);
                }
            }
        }
    }
}
