//! Tables of the standard and the header that carries them.

use super::transform;

/// Which of the two sets of tables a component uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    Luma,
    Chroma,
}

/// Everything that depends on the quality.
pub struct Tables {
    luma_steps: [u8; 64],
    chroma_steps: [u8; 64],
    /// What a transformed value is multiplied by to become a level; transposed like the transform.
    luma_factors: [[f32; 8]; 8],
    chroma_factors: [[f32; 8]; 8],
    pub luma_codes: Codes,
    pub chroma_codes: Codes,
}

/// Huffman codes by symbol: bits and how many of them.
pub struct Codes {
    pub dc: [(u16, u8); 256],
    pub ac: [(u16, u8); 256],
}

/// Zigzag order: the place in a block, row by row, of each coefficient.
pub const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// T.81 table K.1, row by row.
const LUMA_STEPS: [u8; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];

/// T.81 table K.2: the upper left corner, 99 elsewhere.
const CHROMA_CORNER: [[u8; 4]; 4] = [
    [17, 18, 24, 47],
    [18, 21, 26, 66],
    [24, 26, 56, 99],
    [47, 66, 99, 99],
];

/// T.81 tables K.3 to K.6: number of codes of each length from 1 to 16 bits.
const LUMA_DC_LENGTHS: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
const CHROMA_DC_LENGTHS: [u8; 16] = [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0];
const LUMA_AC_LENGTHS: [u8; 16] = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125];
const CHROMA_AC_LENGTHS: [u8; 16] = [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119];

/// The frequent symbols (zeros before a value, bits of the value); the rare ones follow in order.
const LUMA_AC_FREQUENT: [u8; 39] = [
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
    0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0,
    0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a,
];
const CHROMA_AC_FREQUENT: [u8; 43] = [
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
    0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0,
    0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1,
];

fn dc_symbols() -> Vec<u8> {
    (0..12).collect()
}

/// The frequent symbols, then every other pair of 0 to 15 zeros and 1 to 10 bits.
fn ac_symbols(frequent: &[u8]) -> Vec<u8> {
    let rare = (0..16u8).flat_map(|zeros| (1..=10).map(move |bits| zeros << 4 | bits));
    let mut symbols = frequent.to_vec();
    symbols.extend(rare.filter(|symbol| !frequent.contains(symbol)));
    symbols
}

/// Codes of equal length count up; a longer code starts behind the last one, shifted.
fn codes(lengths: &[u8; 16], symbols: &[u8]) -> [(u16, u8); 256] {
    let mut codes = [(0, 0); 256];
    let mut symbols = symbols.iter();
    let mut code = 0u16;
    for (bits, count) in (1u8..).zip(lengths) {
        for symbol in symbols.by_ref().take(usize::from(*count)) {
            codes[usize::from(*symbol)] = (code, bits);
            code += 1;
        }
        code <<= 1;
    }
    codes
}

impl Tables {
    pub fn for_quality(quality: u8) -> Tables {
        // The scale of the Independent JPEG Group, which every program means by "quality".
        let quality = u32::from(quality.clamp(1, 100));
        let percent = if quality < 50 {
            5000 / quality
        } else {
            200 - 2 * quality
        };
        let scaled = |step: u8| ((u32::from(step) * percent + 50) / 100).clamp(1, 255) as u8;
        let luma_steps = LUMA_STEPS.map(scaled);
        let chroma_steps = std::array::from_fn(|at| {
            let corner = CHROMA_CORNER.get(at / 8).and_then(|row| row.get(at % 8));
            scaled(corner.copied().unwrap_or(99))
        });
        Tables {
            luma_factors: transform::factors(&luma_steps),
            chroma_factors: transform::factors(&chroma_steps),
            luma_steps,
            chroma_steps,
            luma_codes: Codes {
                dc: codes(&LUMA_DC_LENGTHS, &dc_symbols()),
                ac: codes(&LUMA_AC_LENGTHS, &ac_symbols(&LUMA_AC_FREQUENT)),
            },
            chroma_codes: Codes {
                dc: codes(&CHROMA_DC_LENGTHS, &dc_symbols()),
                ac: codes(&CHROMA_AC_LENGTHS, &ac_symbols(&CHROMA_AC_FREQUENT)),
            },
        }
    }

    /// Transforms a block and quantises it; the levels are transposed.
    pub fn quantise(&self, component: Component, block: [[f32; 8]; 8]) -> [[i32; 8]; 8] {
        let factors = match component {
            Component::Luma => &self.luma_factors,
            Component::Chroma => &self.chroma_factors,
        };
        transform::levels(block, factors)
    }

    pub fn write_header(&self, out: &mut Vec<u8>, width_px: u16, height_px: u16) {
        out.extend([0xff, 0xd8]);
        segment(out, 0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
        for (id, steps) in [(0, &self.luma_steps), (1, &self.chroma_steps)] {
            let mut body = vec![id];
            body.extend(ZIGZAG.map(|place| steps[usize::from(place)]));
            segment(out, 0xdb, &body);
        }
        let [height, width] = [height_px, width_px].map(u16::to_be_bytes);
        let mut frame = vec![8, height[0], height[1], width[0], width[1], 3];
        // Component, samples per unit across and down, table of steps.
        frame.extend([1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
        segment(out, 0xc0, &frame);
        let sets: [(u8, &[u8; 16], Vec<u8>); 4] = [
            (0x00, &LUMA_DC_LENGTHS, dc_symbols()),
            (0x10, &LUMA_AC_LENGTHS, ac_symbols(&LUMA_AC_FREQUENT)),
            (0x01, &CHROMA_DC_LENGTHS, dc_symbols()),
            (0x11, &CHROMA_AC_LENGTHS, ac_symbols(&CHROMA_AC_FREQUENT)),
        ];
        for (id, lengths, symbols) in sets {
            let mut body = vec![id];
            body.extend(lengths);
            body.extend(symbols);
            segment(out, 0xc4, &body);
        }
        segment(out, 0xda, &[3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]);
    }
}

fn segment(out: &mut Vec<u8>, marker: u8, body: &[u8]) {
    out.extend([0xff, marker]);
    out.extend((body.len() as u16 + 2).to_be_bytes());
    out.extend(body);
}
