//! TIFF directories: what an image is like and where its blocks lie in the file.

/// One image, overview or mask.
#[derive(Debug, Clone)]
pub struct Directory {
    pub role: Role,
    pub width_px: u32,
    pub height_px: u32,
    pub block_px: [u32; 2],
    pub samples_per_px: usize,
    pub sample: SampleType,
    pub compression: Compression,
    pub predictor: Predictor,
    pub palette: Option<Vec<[u8; 3]>>,
    /// Quantisation and Huffman tables shared by all JPEG blocks, as a short JPEG stream.
    pub jpeg_tables: Vec<u8>,
    pub offsets: Numbers,
    pub counts: Numbers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Image,
    Mask,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleType {
    Bit,
    U8,
    U16,
    I16,
    U32,
    I32,
    F32,
    F64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    Plain,
    Jpeg,
    Deflate,
    Zstd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predictor {
    None,
    Horizontal,
    FloatingPoint,
}

/// An array of unsigned numbers that stays in the file; checked to lie within it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Numbers {
    position: usize,
    bytes_each: usize,
    count: usize,
}

const MAX_DIRECTORIES: usize = 64;
/// Far above the 256 or 512 px the import writes; bounds what a damaged file can make us allocate.
const MAX_BLOCK_PX: u32 = 4096;
const MAX_BANDS: usize = 1024;
const MAX_BLOCK_BYTES: usize = 256 << 20;

impl SampleType {
    pub fn bytes(self) -> usize {
        match self {
            SampleType::Bit | SampleType::U8 => 1,
            SampleType::U16 | SampleType::I16 => 2,
            SampleType::U32 | SampleType::I32 | SampleType::F32 => 4,
            SampleType::F64 => 8,
        }
    }
}

impl Numbers {
    pub fn get(&self, bytes: &[u8], index: usize) -> Option<u64> {
        if index >= self.count {
            return None;
        }
        number(
            bytes,
            self.position + index * self.bytes_each,
            self.bytes_each,
        )
    }
}

impl Directory {
    pub fn blocks(&self) -> [u32; 2] {
        [
            self.width_px.div_ceil(self.block_px[0]),
            self.height_px.div_ceil(self.block_px[1]),
        ]
    }

    /// The stored bytes of a block; `None` when it is left out.
    pub fn stored<'a>(
        &self,
        bytes: &'a [u8],
        column: u32,
        row: u32,
    ) -> Result<Option<&'a [u8]>, String> {
        let [columns, rows] = self.blocks();
        if column >= columns || row >= rows {
            return Err(format!("there are only {columns} by {rows} blocks"));
        }
        let index = row as usize * columns as usize + column as usize;
        let offset = self.offsets.get(bytes, index).ok_or("it has no offset")?;
        let count = self.counts.get(bytes, index).ok_or("it has no length")?;
        if count == 0 {
            return Ok(None);
        }
        let end = offset
            .checked_add(count)
            .filter(|end| *end <= bytes.len() as u64);
        match end {
            Some(end) => Ok(Some(&bytes[offset as usize..end as usize])),
            None => Err(format!(
                "its {count} bytes at {offset} reach beyond the end of the file"
            )),
        }
    }
}

/// Reads the chain of directories.
pub fn read_all(bytes: &[u8]) -> Result<Vec<Directory>, String> {
    let big = match (bytes.get(..2), number(bytes, 2, 2)) {
        (Some(b"II"), Some(42)) => false,
        (Some(b"II"), Some(43)) => true,
        (Some(b"MM"), _) => return Err("a big-endian TIFF".into()),
        _ => return Err("no TIFF header".into()),
    };
    let (first_at, width) = if big { (8, 8) } else { (4, 4) };
    let mut next = number(bytes, first_at, width).ok_or("no first directory")?;
    let mut directories = Vec::new();
    while next != 0 {
        if directories.len() == MAX_DIRECTORIES {
            return Err(format!("more than {MAX_DIRECTORIES} directories"));
        }
        let position = usize::try_from(next).map_err(|_| "a directory beyond the file")?;
        let entries = Entries::read(bytes, position, big)?;
        next = entries.next;
        directories.push(entries.directory()?);
    }
    Ok(directories)
}

fn number(bytes: &[u8], position: usize, width: usize) -> Option<u64> {
    let slice = bytes.get(position..position.checked_add(width)?)?;
    let mut padded = [0u8; 8];
    padded.get_mut(..width)?.copy_from_slice(slice);
    Some(u64::from_le_bytes(padded))
}

/// The entries of one directory, unread.
struct Entries<'a> {
    bytes: &'a [u8],
    start: usize,
    count: usize,
    big: bool,
    next: u64,
}

mod tag {
    pub const SUBFILE_TYPE: u64 = 254;
    pub const WIDTH: u64 = 256;
    pub const HEIGHT: u64 = 257;
    pub const BITS_PER_SAMPLE: u64 = 258;
    pub const COMPRESSION: u64 = 259;
    pub const PHOTOMETRIC: u64 = 262;
    pub const SAMPLES_PER_PIXEL: u64 = 277;
    pub const PLANAR_CONFIGURATION: u64 = 284;
    pub const PREDICTOR: u64 = 317;
    pub const COLOR_MAP: u64 = 320;
    pub const TILE_WIDTH: u64 = 322;
    pub const TILE_LENGTH: u64 = 323;
    pub const TILE_OFFSETS: u64 = 324;
    pub const TILE_BYTE_COUNTS: u64 = 325;
    pub const SAMPLE_FORMAT: u64 = 339;
    pub const JPEG_TABLES: u64 = 347;
}

impl<'a> Entries<'a> {
    fn read(bytes: &'a [u8], position: usize, big: bool) -> Result<Entries<'a>, String> {
        let count_width = if big { 8 } else { 2 };
        let entry_bytes = if big { 20 } else { 12 };
        let count = number(bytes, position, count_width)
            .filter(|count| *count <= 4096)
            .ok_or("a directory beyond the end of the file")? as usize;
        let start = position + count_width;
        let next = number(bytes, start + count * entry_bytes, if big { 8 } else { 4 })
            .ok_or("a directory that is cut off")?;
        Ok(Entries {
            bytes,
            start,
            count,
            big,
            next,
        })
    }

    /// The values of a tag, wherever they lie; empty when the tag is absent.
    fn numbers(&self, wanted: u64) -> Result<Numbers, String> {
        let entry_bytes = if self.big { 20 } else { 12 };
        for index in 0..self.count {
            let at = self.start + index * entry_bytes;
            if number(self.bytes, at, 2) != Some(wanted) {
                continue;
            }
            let cut = || format!("tag {wanted} is cut off");
            let bytes_each = match number(self.bytes, at + 2, 2).ok_or_else(cut)? {
                1 | 2 | 7 => 1,
                3 => 2,
                4 => 4,
                16 => 8,
                other => return Err(format!("tag {wanted} has type {other}")),
            };
            let width = if self.big { 8 } else { 4 };
            let count = number(self.bytes, at + 4, width).ok_or_else(cut)?;
            let length = count.checked_mul(bytes_each).ok_or_else(cut)?;
            let inline = at + 4 + width;
            let position = if length <= width as u64 {
                inline as u64
            } else {
                number(self.bytes, inline, width).ok_or_else(cut)?
            };
            let fits = position
                .checked_add(length)
                .is_some_and(|end| end <= self.bytes.len() as u64);
            if !fits {
                return Err(cut());
            }
            return Ok(Numbers {
                position: position as usize,
                bytes_each: bytes_each as usize,
                count: count as usize,
            });
        }
        Ok(Numbers::default())
    }

    fn first(&self, tag: u64) -> Result<Option<u64>, String> {
        Ok(self.numbers(tag)?.get(self.bytes, 0))
    }

    fn size(&self, tag: u64, most: u32) -> Result<u32, String> {
        match self.first(tag)? {
            Some(value @ 1..) if value <= u64::from(most) => Ok(value as u32),
            found => Err(format!("tag {tag} is {found:?}, expected 1 to {most}")),
        }
    }

    fn directory(&self) -> Result<Directory, String> {
        let role = match self.first(tag::SUBFILE_TYPE)?.unwrap_or(0) {
            0 | 1 => Role::Image,
            4 | 5 => Role::Mask,
            other => return Err(format!("a directory of subfile type {other}")),
        };
        let samples_per_px = self.first(tag::SAMPLES_PER_PIXEL)?.unwrap_or(1) as usize;
        if samples_per_px == 0 || samples_per_px > MAX_BANDS {
            return Err(format!("{samples_per_px} bands, expected 1 to {MAX_BANDS}"));
        }
        if samples_per_px > 1 && self.first(tag::PLANAR_CONFIGURATION)? == Some(2) {
            return Err("bands in separate planes".into());
        }
        let directory = Directory {
            role,
            width_px: self.size(tag::WIDTH, i32::MAX as u32)?,
            height_px: self.size(tag::HEIGHT, i32::MAX as u32)?,
            block_px: [
                self.size(tag::TILE_WIDTH, MAX_BLOCK_PX)?,
                self.size(tag::TILE_LENGTH, MAX_BLOCK_PX)?,
            ],
            samples_per_px,
            sample: self.sample()?,
            compression: self.compression()?,
            predictor: match self.first(tag::PREDICTOR)?.unwrap_or(1) {
                1 => Predictor::None,
                2 => Predictor::Horizontal,
                3 => Predictor::FloatingPoint,
                other => return Err(format!("predictor {other}")),
            },
            palette: self.palette()?,
            jpeg_tables: self.text(tag::JPEG_TABLES)?,
            offsets: self.numbers(tag::TILE_OFFSETS)?,
            counts: self.numbers(tag::TILE_BYTE_COUNTS)?,
        };
        let [columns, rows] = directory.blocks();
        let blocks = u64::from(columns) * u64::from(rows);
        let listed = directory.offsets.count.min(directory.counts.count) as u64;
        if listed < blocks {
            return Err(format!("{listed} blocks listed, expected {blocks}"));
        }
        let [width, height] = directory.block_px.map(|size| size as usize);
        let block_bytes = width * height * samples_per_px * directory.sample.bytes();
        if block_bytes > MAX_BLOCK_BYTES {
            return Err(format!("blocks of {block_bytes} bytes"));
        }
        Ok(directory)
    }

    fn sample(&self) -> Result<SampleType, String> {
        let bits = self.first(tag::BITS_PER_SAMPLE)?.unwrap_or(1);
        let format = self.first(tag::SAMPLE_FORMAT)?.unwrap_or(1);
        Ok(match (bits, format) {
            (1, 1) => SampleType::Bit,
            (8, 1) => SampleType::U8,
            (16, 1) => SampleType::U16,
            (16, 2) => SampleType::I16,
            (32, 1) => SampleType::U32,
            (32, 2) => SampleType::I32,
            (32, 3) => SampleType::F32,
            (64, 3) => SampleType::F64,
            _ => return Err(format!("samples of {bits} bits in format {format}")),
        })
    }

    fn compression(&self) -> Result<Compression, String> {
        Ok(match self.first(tag::COMPRESSION)?.unwrap_or(1) {
            1 => Compression::Plain,
            7 => Compression::Jpeg,
            8 => Compression::Deflate,
            50_000 => Compression::Zstd,
            other => return Err(format!("compression {other}")),
        })
    }

    fn palette(&self) -> Result<Option<Vec<[u8; 3]>>, String> {
        const PALETTE: u64 = 3;
        if self.first(tag::PHOTOMETRIC)? != Some(PALETTE) {
            return Ok(None);
        }
        let map = self.numbers(tag::COLOR_MAP)?;
        if map.count == 0 || map.count % 3 != 0 || map.bytes_each != 2 {
            return Err(format!("a palette of {} numbers", map.count));
        }
        // All reds, then all greens, then all blues, 16 bit each.
        let colors = map.count / 3;
        let channel = |index: usize| (map.get(self.bytes, index).unwrap_or(0) >> 8) as u8;
        Ok(Some(
            (0..colors)
                .map(|value| [0, 1, 2].map(|plane| channel(plane * colors + value)))
                .collect(),
        ))
    }

    fn text(&self, tag: u64) -> Result<Vec<u8>, String> {
        let numbers = self.numbers(tag)?;
        let end = numbers.position + numbers.count * numbers.bytes_each;
        Ok(self.bytes[numbers.position..end].to_vec())
    }
}
