//! Divides a layer into parts that fit into memory, anew for every zoom.
//!
//! A face belongs to the square its place lies in. What crosses from one square to the next stays
//! as it is at that zoom; because no two zooms draw their lines in one place, it is dealt with at
//! the next. Squares are made of whole tiles: what is reckoned tile by tile is reckoned in one part.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Condvar, Mutex, mpsc};

use crate::format::pyramid::{BASE_BITS, GridBox};
use crate::topology::Point;

/// The squares of a zoom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    /// A square's side is `2^shift` base units; `None` when the layer is one part.
    shift: Option<u32>,
    /// Where the lines lie, base units from the origin: at `offset + k · 2^shift`.
    offset: i64,
}

impl Division {
    /// All of the layer at once.
    pub const WHOLE: Division = Division {
        shift: None,
        offset: 0,
    };

    /// The coarsest division for a zoom in which no part has more than `most` vertices, as far as
    /// squares of two by two tiles can do that. `places` are those of the faces, with the
    /// vertices of their borders.
    pub fn choose(zoom: u8, places: &[(Point, u32)], most: u64) -> Division {
        let total: u64 = places
            .iter()
            .map(|&(_, vertices)| u64::from(vertices))
            .sum();
        if total <= most {
            return Division::WHOLE;
        }
        let points: Vec<Point> = places.iter().map(|&(place, _)| place).collect();
        let GridBox { min, max } = GridBox::of(&points);
        let side = i64::from(max.x - min.x)
            .max(i64::from(max.y - min.y))
            .max(1);
        let finest = BASE_BITS - u32::from(zoom) + 1;
        let mut shift = side.ilog2().max(finest);
        loop {
            let division = Division::of(zoom, shift);
            if shift == finest {
                return division;
            }
            let mut vertices: HashMap<u64, u64> = HashMap::new();
            for &(place, count) in places {
                *vertices.entry(division.part_of(place)).or_insert(0) += u64::from(count);
            }
            if vertices.values().all(|&count| count <= most) {
                return division;
            }
            shift -= 1;
        }
    }

    /// Lines are odd multiples of the zoom's tile, so those of no two zooms coincide; from one zoom
    /// to the next they move by half a square where squares are wide enough.
    fn of(zoom: u8, shift: u32) -> Division {
        let tile_shift = BASE_BITS - u32::from(zoom);
        let tiles = 1i64 << (shift - tile_shift);
        let first = if zoom.is_multiple_of(2) || tiles < 4 {
            1
        } else {
            tiles / 2 + 1
        };
        Division {
            shift: Some(shift),
            offset: first << tile_shift,
        }
    }

    /// The number of the part that a place lies in.
    pub fn part_of(&self, place: Point) -> u64 {
        let Some(shift) = self.shift else { return 0 };
        // One square to the left of the origin, so that nothing is negative.
        let one = |v: i32| (((i64::from(v) - self.offset) >> shift) + (1 << 16)) as u64;
        (one(place.x) << 32) | one(place.y)
    }

    /// True for the part that hands an arc on to the next zoom; `places` are those of the faces
    /// beside it.
    pub fn is_in_charge(&self, part: u64, places: impl Iterator<Item = Point>) -> bool {
        places.map(|place| self.part_of(place)).min() == Some(part)
    }

    /// Sorts faces into the parts, both ascending. A face comes with its place and the vertices of
    /// its borders.
    pub fn parts(&self, faces: impl Iterator<Item = (u32, Point, u32)>) -> Vec<Part> {
        let mut parts: BTreeMap<u64, Part> = BTreeMap::new();
        for (face, place, vertices) in faces {
            let number = self.part_of(place);
            let part = parts.entry(number).or_insert(Part {
                number,
                own: Vec::new(),
                vertices: 0,
            });
            part.own.push(face);
            part.vertices += u64::from(vertices);
        }
        parts
            .into_values()
            .map(|mut part| {
                part.own.shrink_to_fit();
                part
            })
            .collect()
    }
}

/// A part of the layer and the faces in it, ascending.
pub struct Part {
    pub number: u64,
    pub own: Vec<u32>,
    /// Of the borders of its faces, each counted from both sides.
    pub vertices: u64,
}

/// How many parts may be worked on at once, when that many vertices are meant for a thread.
pub fn at_once(parts: &[Part], part_vertices: u64) -> usize {
    /// A face needs memory of its own, beside its borders: as much as so many vertices.
    const FACE_AS_VERTICES: u64 = 12;
    let sizes = parts.iter();
    let sizes = sizes.map(|part| part.vertices + part.own.len() as u64 * FACE_AS_VERTICES);
    let largest = sizes.max().unwrap_or(0);
    let threads = rayon::current_num_threads() as u64;
    (threads.saturating_mul(part_vertices) / largest.max(1)).clamp(1, threads) as usize
}

/// Works on every item, on so many at once, and takes the results in their order. Where there are
/// few items, or only one may be worked on, it is done by all threads.
///
/// # Errors
/// The first that `work` or `take` has, in the order of the items.
pub fn in_order<'i, I: Sync, T: Send, E: Send>(
    items: &'i [I],
    at_once: usize,
    work: impl Fn(&'i I) -> Result<T, E> + Sync,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    /// Items per thread from which on threads do whole ones.
    const ITEMS_PER_THREAD: usize = 2;
    if at_once == 1 || items.len() < at_once * ITEMS_PER_THREAD {
        return items.iter().try_for_each(|item| take(work(item)?));
    }
    // Nobody is more than so many items ahead of the one that is waited for: results are large.
    let ahead = 2 * at_once;
    /// The next item, and how many were taken.
    struct Counters {
        next: usize,
        taken: usize,
    }
    let counters = Mutex::new(Counters { next: 0, taken: 0 });
    let moved = Condvar::new();
    let (sender, receiver) = mpsc::channel::<(usize, Result<T, E>)>();
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            let sender = sender.clone();
            let (counters, moved, work) = (&counters, &moved, &work);
            scope.spawn(move || {
                // What an item does in parallel stays on one thread.
                let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build();
                let alone = alone.expect("a thread can be started");
                loop {
                    let number = {
                        let counters = counters.lock().expect("nobody panics with it");
                        let mut counters = moved
                            .wait_while(counters, |c| {
                                c.next < items.len() && c.next >= c.taken + ahead
                            })
                            .expect("nobody panics with it");
                        counters.next += 1;
                        counters.next - 1
                    };
                    let Some(item) = items.get(number) else {
                        return;
                    };
                    if sender.send((number, alone.install(|| work(item)))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting: BTreeMap<usize, Result<T, E>> = BTreeMap::new();
        let mut outcome = Ok(());
        for number in 0..items.len() {
            let result = loop {
                if let Some(result) = waiting.remove(&number) {
                    break result;
                }
                let Ok((other, result)) = receiver.recv() else {
                    unreachable!("every item is worked on unless a worker panics");
                };
                waiting.insert(other, result);
            };
            outcome = result.and_then(&mut take);
            let mut counters = counters.lock().expect("nobody panics with it");
            counters.taken = number + 1;
            if outcome.is_err() {
                counters.next = items.len();
                counters.taken = items.len();
            }
            moved.notify_all();
            if outcome.is_err() {
                break;
            }
        }
        drop(receiver);
        outcome
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_different_zooms_never_coincide() {
        let lines = |zoom: u8, shift: u32| {
            let division = Division::of(zoom, shift);
            move |x: i64| (x - division.offset).rem_euclid(1 << shift) == 0
        };
        for (fine, coarse) in [(14u8, 13u8), (13, 12), (9, 8), (8, 7), (14, 8)] {
            for wide in 0..3 {
                let shift = BASE_BITS - u32::from(coarse) + 1 + wide;
                let (a, b) = (lines(fine, shift), lines(coarse, shift));
                let tile = 1i64 << (BASE_BITS - u32::from(fine));
                let together = (0..1i64 << 31).step_by(tile as usize).take(100_000);
                assert!(
                    together.into_iter().all(|x| !(a(x) && b(x))),
                    "{fine} {coarse}"
                );
            }
        }
    }

    #[test]
    fn parts_are_of_whole_tiles_and_small_enough() {
        let places: Vec<(Point, u32)> = (0..20_000)
            .map(|i| {
                (
                    Point::new(1_700_000_000 + i % 200 * 9000, 880_000_000 + i / 200 * 9000),
                    10,
                )
            })
            .collect();
        let division = Division::choose(14, &places, 30_000);
        let numbered = (0..).zip(&places);
        let parts = division.parts(numbered.map(|(i, &(place, vertices))| (i, place, vertices)));
        assert!(parts.len() > 6 && parts.iter().all(|part| part.own.len() <= 3000));
        assert_eq!(
            parts.iter().map(|part| part.own.len()).sum::<usize>(),
            20_000
        );
        let tile = |p: Point| (p.x >> 17, p.y >> 17);
        let mut part_of: HashMap<(i32, i32), u64> = HashMap::new();
        for &(place, _) in &places {
            let part = division.part_of(place);
            assert_eq!(*part_of.entry(tile(place)).or_insert(part), part);
        }
        assert_eq!(Division::choose(14, &places, 200_000), Division::WHOLE);
    }

    #[test]
    fn results_come_in_order_and_the_first_error_ends_it() {
        let items: Vec<u32> = (0..200).collect();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(3)
            .build()
            .unwrap();
        pool.install(|| {
            let mut taken = Vec::new();
            let done: Result<(), u32> = in_order(
                &items,
                3,
                |&i| Ok(i * 2),
                |i| {
                    taken.push(i);
                    Ok(())
                },
            );
            assert_eq!(done, Ok(()));
            assert_eq!(taken, items.iter().map(|i| i * 2).collect::<Vec<_>>());
            let failed = in_order(
                &items,
                3,
                |&i| if i % 50 == 49 { Err(i) } else { Ok(i) },
                |_| Ok(()),
            );
            assert_eq!(failed, Err(49));
        });
    }
}
