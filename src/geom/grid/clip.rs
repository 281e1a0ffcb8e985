//! Clipping to an axis-parallel box.
//!
//! A crossing with the border is computed from the edge's lexicographically smaller end, so that
//! the two features on both sides of an edge, which walk it in opposite directions, are cut at
//! the same point.

/// A point before clipping, in units of the grid, possibly far outside.
type WidePoint = [i64; 2];

/// The four half-planes of a box, as (axis, limit, keep values above).
fn half_planes(min: i64, max: i64) -> [(usize, i64, bool); 4] {
    [
        (0, min, true),
        (0, max, false),
        (1, min, true),
        (1, max, false),
    ]
}

fn inside(point: WidePoint, (axis, limit, above): (usize, i64, bool)) -> bool {
    if above {
        point[axis] >= limit
    } else {
        point[axis] <= limit
    }
}

/// Where the edge meets `axis = limit`, rounded to the grid.
fn crossing(a: WidePoint, b: WidePoint, axis: usize, limit: i64) -> WidePoint {
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    let other = 1 - axis;
    let run = i128::from(b[axis] - a[axis]);
    let rise = i128::from(b[other] - a[other]);
    let numerator = rise * i128::from(limit - a[axis]) * 2 + run;
    let value = i128::from(a[other]) + numerator.div_euclid(run * 2);
    let mut point = [0; 2];
    point[axis] = limit;
    point[other] = value as i64;
    point
}

/// Clips an open ring to the square `min..=max` (Sutherland and Hodgman, 1974). The result may
/// run along the border; `scratch` is working space.
pub fn clip_ring(ring: &mut Vec<WidePoint>, scratch: &mut Vec<WidePoint>, min: i64, max: i64) {
    for plane in half_planes(min, max) {
        let Some(&last) = ring.last() else {
            return;
        };
        scratch.clear();
        let mut before = last;
        let mut before_inside = inside(before, plane);
        for &at in ring.iter() {
            let at_inside = inside(at, plane);
            if at_inside != before_inside {
                let cut = crossing(before, at, plane.0, plane.1);
                if cut != at && scratch.last() != Some(&cut) {
                    scratch.push(cut);
                }
            }
            if at_inside && scratch.last() != Some(&at) {
                scratch.push(at);
            }
            before = at;
            before_inside = at_inside;
        }
        while scratch.len() > 1 && scratch.first() == scratch.last() {
            scratch.pop();
        }
        std::mem::swap(ring, scratch);
    }
}

/// Clips a line to the square `min..=max` and hands every remaining piece to `each`.
pub fn clip_line(line: &[WidePoint], min: i64, max: i64, mut each: impl FnMut(&[WidePoint])) {
    let mut piece: Vec<WidePoint> = Vec::new();
    let mut flush = |piece: &mut Vec<WidePoint>| {
        if piece.len() > 1 {
            each(piece);
        }
        piece.clear();
    };
    for pair in line.windows(2) {
        match clip_segment(pair[0], pair[1], min, max) {
            None => flush(&mut piece),
            Some([a, b]) => {
                if piece.last() != Some(&a) {
                    flush(&mut piece);
                    piece.push(a);
                }
                if b != a {
                    piece.push(b);
                }
                if b != pair[1] {
                    flush(&mut piece);
                }
            }
        }
    }
    flush(&mut piece);
}

fn clip_segment(a: WidePoint, b: WidePoint, min: i64, max: i64) -> Option<[WidePoint; 2]> {
    let mut ends = [a, b];
    for plane in half_planes(min, max) {
        let [start, end] = ends;
        match (inside(start, plane), inside(end, plane)) {
            (true, true) => {}
            (false, false) => return None,
            (true, false) => ends[1] = crossing(start, end, plane.0, plane.1),
            (false, true) => ends[0] = crossing(start, end, plane.0, plane.1),
        }
    }
    Some(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_of_an_edge_are_cut_at_the_same_point() {
        for (a, b) in [([-7, 3], [10, 8]), ([-1_000_000_007, 5], [999_999_937, 11])] {
            assert_eq!(crossing(a, b, 0, 0), crossing(b, a, 0, 0));
        }
    }

    #[test]
    fn a_ring_around_the_box_becomes_the_box() {
        let mut ring = vec![[-100, -100], [100, -100], [100, 100], [-100, 100]];
        clip_ring(&mut ring, &mut Vec::new(), 0, 10);
        ring.sort_unstable();
        assert_eq!(ring, vec![[0, 0], [0, 10], [10, 0], [10, 10]]);
    }

    #[test]
    fn a_line_that_leaves_and_returns_gives_two_pieces() {
        let line = [[1, 1], [20, 1], [20, 5], [5, 5]];
        let mut pieces = Vec::new();
        clip_line(&line, 0, 10, |piece| pieces.push(piece.to_vec()));
        assert_eq!(pieces, vec![vec![[1, 1], [10, 1]], vec![[10, 5], [5, 5]]]);
    }
}
