//! Attribute text: which encoding its bytes are in, and how to live with those that are not.
//!
//! 1. What the user said.
//! 2. The `.cpg` file.
//! 3. The language byte of the DBF.
//! 4. Evidence: bytes that are valid UTF-8, else the one of GB18030 and Windows-1252 that the high
//!    bytes look like.
//!
//! A declaration that the bytes contradict is overruled and reported; a user's is obeyed.

use std::str::FromStr;

use encoding_rs::{Encoding, GB18030, UTF_8, WINDOWS_1252};

/// The encoding the user wants attributes to be read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextEncoding {
    /// From the file's marks or its bytes.
    #[default]
    Auto,
    Named(&'static Encoding),
}

/// A text that names no encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown text encoding {name:?}; use auto, utf-8, gb18030, gbk, big5, … (未知的字符编码)")]
pub struct UnknownEncoding {
    pub name: String,
}

impl FromStr for TextEncoding {
    type Err = UnknownEncoding;

    fn from_str(name: &str) -> Result<TextEncoding, UnknownEncoding> {
        if name.trim().eq_ignore_ascii_case("auto") {
            return Ok(TextEncoding::Auto);
        }
        code_page(name)
            .map(TextEncoding::Named)
            .ok_or_else(|| UnknownEncoding {
                name: name.to_string(),
            })
    }
}

/// The encoding that the text of a `.cpg` file or a user's word stands for: labels of the WHATWG
/// standard and the code page numbers that GIS programs write.
pub(super) fn code_page(text: &str) -> Option<&'static Encoding> {
    let text = text.trim().trim_start_matches('\u{feff}').trim();
    let lower = text.to_ascii_lowercase();
    let number = lower
        .trim_start_matches("ansi")
        .trim_start_matches("windows")
        .trim_start_matches("ibm")
        .trim_start_matches("cp")
        .trim_start_matches([' ', '-', '_']);
    let label = match number {
        "936" | "54936" | "gb2312" | "gb_2312" | "gb18030" | "gbk" => "gb18030",
        "65001" | "utf8" | "utf-8" => "utf-8",
        "950" => "big5",
        "932" => "shift_jis",
        "949" => "euc-kr",
        "874" => "windows-874",
        "866" => "ibm866",
        "20866" => "koi8-r",
        "28591" | "88591" | "8859_1" | "8859-1" => "windows-1252",
        "88592" | "8859_2" | "8859-2" => "iso-8859-2",
        "88595" | "8859_5" | "8859-5" => "iso-8859-5",
        "885915" | "8859_15" | "8859-15" => "iso-8859-15",
        "1250" | "1251" | "1252" | "1253" | "1254" | "1255" | "1256" | "1257" | "1258" => {
            return Encoding::for_label(format!("windows-{number}").as_bytes());
        }
        _ => lower.as_str(),
    };
    Encoding::for_label(label.as_bytes())
}

/// The encoding a DBF language byte stands for; `None` for "unknown", for "ANSI" (the code page of
/// whatever machine wrote it) and for code pages of DOS.
pub(super) fn dbf_language(byte: u8) -> Option<&'static Encoding> {
    let label = match byte {
        0x4d | 0x7a => "gb18030",
        0x4f | 0x78 => "big5",
        0x13 | 0x7b => "shift_jis",
        0x4e | 0x79 => "euc-kr",
        0x50 | 0x7c => "windows-874",
        0x26 | 0x65 => "ibm866",
        0xc8 => "windows-1250",
        0xc9 => "windows-1251",
        0xca => "windows-1254",
        0xcb => "windows-1253",
        0xcc => "windows-1257",
        0x03 | 0x58 | 0x59 => "windows-1252",
        _ => return None,
    };
    Encoding::for_label(label.as_bytes())
}

/// Evidence about an encoding from sample texts.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    /// Texts with bytes above 127.
    high: u64,
    /// Of those: valid UTF-8, a broken last character aside.
    utf8: u64,
    /// Of the others: as GB18030 without fault, a broken last character aside.
    gb18030: u64,
    /// High bytes in pairs, as Chinese characters come, and alone, as accented letters do.
    paired: u64,
    single: u64,
}

impl Evidence {
    pub(super) fn add(&mut self, text: &[u8]) {
        if text.is_ascii() {
            return;
        }
        self.high += 1;
        if matches!(decode(UTF_8, text).1, Fault::None | Fault::CutAtEnd) {
            self.utf8 += 1;
            return;
        }
        if matches!(decode(GB18030, text).1, Fault::None | Fault::CutAtEnd) {
            self.gb18030 += 1;
        }
        for run in text.split(u8::is_ascii) {
            self.paired += run.len() as u64 / 2;
            self.single += run.len() as u64 % 2;
        }
    }

    /// True when every text was ASCII.
    pub(super) fn is_silent(&self) -> bool {
        self.high == 0
    }

    /// The encoding the bytes speak for.
    pub(super) fn verdict(&self) -> &'static Encoding {
        let other = self.high - self.utf8;
        if self.utf8 >= other {
            UTF_8
        } else if self.gb18030 * 20 >= other * 19 && self.paired >= self.single {
            GB18030
        } else {
            WINDOWS_1252
        }
    }

    /// True when the bytes are not in `declared`.
    pub(super) fn contradicts(&self, declared: &'static Encoding) -> bool {
        if self.is_silent() {
            false
        } else if declared == UTF_8 {
            self.verdict() != UTF_8
        } else {
            // Chinese text in UTF-8 is hardly ever valid GB18030 of sensible characters, and
            // text of any single-byte encoding is hardly ever valid UTF-8.
            self.utf8 == self.high && self.high >= 3
        }
    }
}

/// What was wrong with the bytes of one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The last character lacks bytes: the field was too narrow. They are left out.
    CutAtEnd,
    /// Not of the encoding, but plausible GB18030, and read as such.
    OtherEncoding,
    /// Bytes that mean nothing became U+FFFD.
    Replaced,
}

/// Decodes one text.
pub(super) fn decode(encoding: &'static Encoding, bytes: &[u8]) -> (String, Fault) {
    if encoding == UTF_8 {
        return match std::str::from_utf8(bytes) {
            Ok(text) => (text.to_string(), Fault::None),
            Err(error) if error.error_len().is_none() => (
                String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned(),
                Fault::CutAtEnd,
            ),
            Err(_) => (String::from_utf8_lossy(bytes).into_owned(), Fault::Replaced),
        };
    }
    let (text, replaced) = encoding.decode_without_bom_handling(bytes);
    if !replaced {
        return (text.into_owned(), Fault::None);
    }
    if let Some(end) = cut_character(encoding, bytes) {
        let (text, replaced) = encoding.decode_without_bom_handling(&bytes[..end]);
        if !replaced {
            return (text.into_owned(), Fault::CutAtEnd);
        }
    }
    (text.into_owned(), Fault::Replaced)
}

/// As [`decode`]; text that is not UTF-8 though it should be is tried as GB18030.
pub(super) fn decode_with_rescue(encoding: &'static Encoding, bytes: &[u8]) -> (String, Fault) {
    let (text, fault) = decode(encoding, bytes);
    if encoding != UTF_8 || fault != Fault::Replaced {
        return (text, fault);
    }
    let mut evidence = Evidence::default();
    evidence.add(bytes);
    if evidence.verdict() == GB18030 {
        (decode(GB18030, bytes).0, Fault::OtherEncoding)
    } else {
        (text, fault)
    }
}

/// Where the last character starts, if its bytes run over the end. For the double-byte encodings;
/// GB18030 has characters of four bytes, told by a digit in second place.
fn cut_character(encoding: &'static Encoding, bytes: &[u8]) -> Option<usize> {
    if encoding.is_single_byte() {
        return None;
    }
    let mut at = 0;
    while at < bytes.len() {
        let length = match (bytes[at], bytes.get(at + 1)) {
            (0..=0x80, _) => 1,
            (_, Some(b'0'..=b'9')) if encoding == GB18030 => 4,
            (0x81..=0xff, _) => 2,
        };
        if at + length > bytes.len() {
            return Some(at);
        }
        at += length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gbk(text: &str) -> Vec<u8> {
        GB18030.encode(text).0.into_owned()
    }

    #[test]
    fn code_pages_have_many_spellings() {
        for name in [
            "GBK", "936", "cp936", "ANSI 936", "gb2312", "GB18030", "54936",
        ] {
            assert_eq!(code_page(name), Some(GB18030), "{name}");
        }
        for name in ["UTF-8", "utf8", "65001", "\u{feff}UTF-8\r\n"] {
            assert_eq!(code_page(name), Some(UTF_8), "{name}");
        }
        assert_eq!(code_page("ISO-8859-1"), Some(WINDOWS_1252));
        assert_eq!(code_page("88591"), Some(WINDOWS_1252));
        assert_eq!(code_page("OEM"), None);
        assert!("klingon".parse::<TextEncoding>().is_err());
    }

    #[test]
    fn bytes_tell_utf8_gb18030_and_latin_apart() {
        let verdict = |texts: &[&[u8]]| {
            let mut evidence = Evidence::default();
            for text in texts {
                evidence.add(text);
            }
            evidence.verdict()
        };
        assert_eq!(verdict(&["水田".as_bytes(), b"abc"]), UTF_8);
        assert_eq!(verdict(&[&gbk("水田"), &gbk("河流水面"), b"0101"]), GB18030);
        assert_eq!(
            verdict(&[b"For\xeat de Soignes", b"Li\xe8ge"]),
            WINDOWS_1252
        );
        assert_eq!(verdict(&[b"plain"]), UTF_8);
    }

    #[test]
    fn a_character_cut_by_the_field_width_costs_only_itself() {
        let full = gbk("天然牧草地");
        assert_eq!(
            decode(GB18030, &full[..full.len() - 1]),
            ("天然牧草".to_string(), Fault::CutAtEnd)
        );
        let full = "天然牧草地".as_bytes();
        assert_eq!(
            decode(UTF_8, &full[..full.len() - 1]),
            ("天然牧草".to_string(), Fault::CutAtEnd)
        );
    }

    #[test]
    fn stray_gbk_among_utf8_is_rescued_and_rubbish_is_marked() {
        assert_eq!(
            decode_with_rescue(UTF_8, &gbk("旱地")),
            ("旱地".to_string(), Fault::OtherEncoding)
        );
        let (text, fault) = decode_with_rescue(UTF_8, b"ab\xffcd");
        assert_eq!(fault, Fault::Replaced);
        assert!(text.contains('\u{fffd}'));
    }
}
