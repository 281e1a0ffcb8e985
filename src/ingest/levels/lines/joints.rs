//! Which lines become one, by where their ends meet.
//!
//! All ends are sorted by their place, on disk if need be; at each place the ends of a class are
//! joined in pairs. Chains of joined lines are then walked from the line with the smallest number
//! on, so they do not depend on threads.

use std::f32::consts::{FRAC_PI_4, PI};

use rayon::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use super::super::super::sort::ExternalSorter;
use super::super::super::write::Interrupted;
use super::super::{BATCH, IngestError};
use super::{Level, node_key};
use crate::format::feature_index::FeatureIndex;
use crate::format::fgb::ValueRef;
use crate::store::StoreError;

/// Lines whose box has a smaller diagonal are joined with what goes straight on where more than
/// two ends meet: eight pixels of 512.
const SHORT_UNITS: f64 = 64.0;
/// By how much the way may turn there.
const MOST_TURN: f32 = FRAC_PI_4;
/// Where more ends of a class meet than this, none of them goes on.
const MOST_ENDS: usize = 16;
/// A line is not made longer than this: a tile reads all of a line.
const MOST_VERTICES: u64 = 16_000;

const NONE: u32 = u32::MAX;

/// An end of a line: twice the line's number, and one more for its last vertex.
type EndNumber = u32;

/// An end as it is sorted.
#[derive(Clone, Copy)]
struct End {
    class: u64,
    number: EndNumber,
    /// The direction from here into the line.
    direction: f32,
    /// Of a short line.
    is_short: bool,
}

impl End {
    const BYTES: usize = 17;

    fn to_bytes(self) -> [u8; End::BYTES] {
        let mut bytes = [0; End::BYTES];
        bytes[..8].copy_from_slice(&self.class.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.number.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.direction.to_le_bytes());
        bytes[16] = u8::from(self.is_short);
        bytes
    }

    fn from_bytes(bytes: &[u8; End::BYTES]) -> End {
        End {
            class: u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")),
            number: u32::from_le_bytes(bytes[8..12].try_into().expect("four bytes")),
            direction: f32::from_le_bytes(bytes[12..16].try_into().expect("four bytes")),
            is_short: bytes[16] != 0,
        }
    }

    /// How much the way turns that comes in at this end and goes out at the other.
    fn turn(&self, other: &End) -> f32 {
        let between = (self.direction - other.direction).abs();
        (between.min(2.0 * PI - between) - PI).abs()
    }
}

/// Lines to be joined.
pub struct Chains {
    /// By end: the end it is joined with.
    joined: Vec<EndNumber>,
    is_taken: Vec<bool>,
    /// Where the search for the next chain goes on.
    next: u32,
    /// Places where a line ends and stays an end, or another line passes; ascending.
    pub nodes: Vec<u64>,
}

/// Finds what is to be joined.
pub fn joints(level: &Level<'_>) -> Result<Chains, IngestError> {
    let lines = level.source.index.len();
    let ends = ends(level)?;
    let mut chains = Chains {
        joined: vec![NONE; 2 * lines],
        is_taken: vec![false; lines],
        next: 0,
        nodes: Vec::new(),
    };
    let mut place = None;
    let mut meeting: Vec<End> = Vec::new();
    ends.drain(|key, payload| -> Result<(), Interrupted> {
        if place != Some(key) {
            chains.join(place, &mut meeting);
            place = Some(key);
        }
        let bytes = payload.try_into().expect("the bytes of an end");
        meeting.push(End::from_bytes(bytes));
        Ok(())
    })
    .map_err(|stop| stop.or_temporary(level.work.layer.name))?;
    chains.join(place, &mut meeting);
    Ok(chains)
}

/// All ends of lines of one part, by place.
fn ends(level: &Level<'_>) -> Result<ExternalSorter, IngestError> {
    let work = level.work;
    let budget = work.layer.sort_budget_bytes / 2;
    let mut sorter = ExternalSorter::new(work.layer.dir, "ends", budget);
    let numbers: Vec<u32> = (0..level.source.index.len() as u32).collect();
    for batch in numbers.chunks(BATCH) {
        work.pause(level.source)?;
        let ends: Vec<Option<[(u64, End); 2]>> = batch
            .par_iter()
            .with_min_len(256)
            .map(|&number| ends_of(level, number))
            .collect::<Result<_, StoreError>>()?;
        for (key, end) in ends.into_iter().flatten().flatten() {
            let pushed = sorter.push(key, &end.to_bytes());
            pushed.map_err(|e| work.temporary(e))?;
        }
    }
    Ok(sorter)
}

fn ends_of(level: &Level<'_>, number: u32) -> Result<Option<[(u64, End); 2]>, StoreError> {
    let record = level.source.index.record(number);
    if record.is_left_out() {
        return Ok(None);
    }
    let view = level.source.features.feature(record.offset)?;
    let Some(shape) = view.geometry() else {
        return Ok(None);
    };
    let mut lines = shape.parts().flat_map(|part| part.rings());
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Ok(None);
    };
    let mut points = line.points();
    let count = points.len();
    if count < 2 {
        return Ok(None);
    }
    let (Some(first), Some(second)) = (points.next(), points.next()) else {
        return Ok(None);
    };
    let last = line.points().nth(count - 1).unwrap_or(second);
    let before = line.points().nth(count - 2).unwrap_or(first);
    let mut class = Xxh3::new();
    view.for_each_value(&level.source.schema, |column, value| {
        if level.class_columns.contains(&column) {
            class.update(&column.to_le_bytes());
            match value {
                ValueRef::Text(text) => class.update(text.as_bytes()),
                ValueRef::Integer(value) => class.update(&value.to_le_bytes()),
                ValueRef::Real(value) => class.update(&value.to_le_bytes()),
                ValueRef::Boolean(value) => class.update(&[u8::from(value)]),
                ValueRef::Binary(bytes) => class.update(bytes),
            }
        }
    });
    let class = class.digest();
    let plane = &level.work.plane;
    let bbox = record.bbox_in_layer_crs;
    let [west, north] = plane.place([bbox.min_x, bbox.max_y]);
    let [east, south] = plane.place([bbox.max_x, bbox.min_y]);
    let is_short = (east - west).hypot(south - north) * level.units < SHORT_UNITS;
    let end = |side: u32, at: [f64; 2], inner: [f64; 2]| {
        let ([x, y], [to_x, to_y]) = (plane.place(at), plane.place(inner));
        let end = End {
            class,
            number: 2 * number + side,
            direction: (to_y - y).atan2(to_x - x) as f32,
            is_short,
        };
        (node_key(plane.cell(at, 32)), end)
    };
    Ok(Some([end(0, first, second), end(1, last, before)]))
}

impl Chains {
    /// Joins the ends that meet at a place.
    fn join(&mut self, place: Option<u64>, meeting: &mut Vec<End>) {
        let Some(place) = place else {
            return;
        };
        meeting.sort_unstable_by_key(|end| (end.class, end.number));
        let is_same_line = |a: &End, b: &End| a.number / 2 == b.number / 2;
        let mut pairs = 0;
        for same in meeting.chunk_by(|a, b| a.class == b.class) {
            if let [a, b] = same {
                if !is_same_line(a, b) {
                    self.tie(a.number, b.number);
                    pairs += 1;
                }
            } else if same.len() <= MOST_ENDS {
                let mut ways = Vec::new();
                for (i, a) in same.iter().enumerate() {
                    for b in &same[i + 1..] {
                        let turn = a.turn(b);
                        if (a.is_short || b.is_short) && turn <= MOST_TURN && !is_same_line(a, b) {
                            ways.push((turn.to_bits(), a.number, b.number));
                        }
                    }
                }
                ways.sort_unstable();
                for (_, a, b) in ways {
                    if self.joined[a as usize] == NONE && self.joined[b as usize] == NONE {
                        self.tie(a, b);
                        pairs += 1;
                    }
                }
            }
        }
        // Where two lines became one and no other is concerned, the vertex is like any other.
        if !(pairs == 1 && meeting.len() == 2) {
            self.nodes.push(place);
        }
        meeting.clear();
    }

    fn tie(&mut self, a: EndNumber, b: EndNumber) {
        self.joined[a as usize] = b;
        self.joined[b as usize] = a;
    }

    /// The next chains of at least so many lines together; none when all are done. Members are
    /// given by number, and whether they run backward.
    pub fn next_batch(&mut self, lines: usize, index: &FeatureIndex) -> Vec<Vec<(u32, bool)>> {
        let mut batch = Vec::new();
        let mut gathered = 0;
        while gathered < lines && (self.next as usize) < self.is_taken.len() {
            let number = self.next;
            self.next += 1;
            if self.is_taken[number as usize] || index.record(number).is_left_out() {
                continue;
            }
            let before = batch.len();
            self.walk(number, index, &mut batch);
            gathered += batch[before..].iter().map(Vec::len).sum::<usize>();
        }
        batch
    }

    /// The chain that a line is of, in pieces where it is too long.
    fn walk(&mut self, number: u32, index: &FeatureIndex, out: &mut Vec<Vec<(u32, bool)>>) {
        let mut start = 2 * number;
        loop {
            let before = self.joined[start as usize];
            // The whole chain is a ring when the way back leads to where it began.
            if before == NONE || before / 2 == number {
                break;
            }
            start = before ^ 1;
        }
        let mut piece = Vec::new();
        let mut vertices = 0;
        let mut at = start;
        loop {
            let line = at / 2;
            self.is_taken[line as usize] = true;
            let more = u64::from(index.record(line).vertices);
            if vertices + more > MOST_VERTICES && !piece.is_empty() {
                out.push(std::mem::take(&mut piece));
                vertices = 0;
            }
            piece.push((line, at % 2 == 1));
            vertices += more;
            let next = self.joined[(at ^ 1) as usize];
            if next == NONE || self.is_taken[(next / 2) as usize] {
                break;
            }
            at = next;
        }
        out.push(piece);
    }
}
