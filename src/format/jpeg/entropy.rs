//! Huffman codes, bit by bit.

use super::tables::{Codes, ZIGZAG};

pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Bits not written yet, the oldest highest.
    bits: u64,
    count: u32,
}

impl<'a> Writer<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Writer<'a> {
        Writer {
            out,
            bits: 0,
            count: 0,
        }
    }

    /// Writes a block of transposed levels; `last_dc` is the mean level of the component's block
    /// before.
    pub fn block(&mut self, transposed: &[[i32; 8]; 8], last_dc: &mut i32, codes: &Codes) {
        // Rounding at quality 100 may reach one more than the codes can say.
        const MOST: i32 = 1023;
        let dc = transposed[0][0].clamp(-MOST, MOST);
        self.value(dc - *last_dc, 0, &codes.dc);
        *last_dc = dc;
        let mut zeros = 0;
        for place in &ZIGZAG[1..] {
            let place = usize::from(*place);
            let level = transposed[place % 8][place / 8];
            if level == 0 {
                zeros += 1;
                continue;
            }
            while zeros >= 16 {
                const SIXTEEN_ZEROS: usize = 0xf0;
                self.code(codes.ac[SIXTEEN_ZEROS]);
                zeros -= 16;
            }
            self.value(level.clamp(-MOST, MOST), zeros, &codes.ac);
            zeros = 0;
        }
        if zeros > 0 {
            const ONLY_ZEROS_LEFT: usize = 0;
            self.code(codes.ac[ONLY_ZEROS_LEFT]);
        }
    }

    /// A value after some zeros: the code of both sizes, then the bits of the value.
    fn value(&mut self, value: i32, zeros: usize, codes: &[(u16, u8); 256]) {
        let size = 32 - value.unsigned_abs().leading_zeros();
        let (code, bits) = codes[zeros << 4 | size as usize];
        // Negative values are written less one, of which the lowest bits are kept.
        let low = (value - i32::from(value < 0)) as u32 & ((1 << size) - 1);
        self.put(
            u64::from(code) << size | u64::from(low),
            u32::from(bits) + size,
        );
    }

    fn code(&mut self, (code, bits): (u16, u8)) {
        self.put(u64::from(code), u32::from(bits));
    }

    /// At most 32 bits at a time.
    fn put(&mut self, bits: u64, count: u32) {
        self.bits = self.bits << count | bits;
        self.count += count;
        if self.count < 32 {
            return;
        }
        self.count -= 32;
        let word = ((self.bits >> self.count) as u32).to_be_bytes();
        if word.contains(&0xff) {
            for byte in word {
                self.byte(byte);
            }
        } else {
            self.out.extend(word);
        }
    }

    /// A byte of ones is followed by zero, so that it is not taken for a marker.
    fn byte(&mut self, byte: u8) {
        self.out.push(byte);
        if byte == 0xff {
            self.out.push(0);
        }
    }

    /// Fills the last byte with ones.
    pub fn finish(mut self) {
        let padding = (8 - self.count % 8) % 8;
        self.bits = self.bits << padding | ((1 << padding) - 1);
        self.count += padding;
        while self.count > 0 {
            self.count -= 8;
            self.byte((self.bits >> self.count) as u8);
        }
    }
}
