//! Fewer vertices for a line, none of those left out farther from it than a tolerance.
//!
//! The method of Ramer (1972), and Douglas and Peucker (1973). It looks at one line: whoever needs
//! neighbours to keep their shared border uses `topology`.

/// Says of each vertex whether it stays: the ends, those that are `fixed`, and as many others as
/// it takes that all are within `tolerance` of the line.
pub fn vertices_to_keep(
    line: &[[f64; 2]],
    fixed: impl Fn(usize) -> bool,
    tolerance: f64,
) -> Vec<bool> {
    let mut keep = vec![false; line.len()];
    let Some(last) = line.len().checked_sub(1) else {
        return keep;
    };
    let mut stretches = Vec::new();
    let mut start = 0;
    for at in (1..=last).filter(|&at| at == last || fixed(at)) {
        stretches.push((start, at));
        keep[at] = true;
        start = at;
    }
    keep[0] = true;
    while let Some((a, b)) = stretches.pop() {
        let farthest = (a + 1..b)
            .map(|at| (distance2(line[at], line[a], line[b]), at))
            .max_by(|p, q| p.0.total_cmp(&q.0).then(q.1.cmp(&p.1)));
        if let Some((distance2, at)) = farthest
            && distance2 > tolerance * tolerance
        {
            keep[at] = true;
            stretches.push((a, at));
            stretches.push((at, b));
        }
    }
    keep
}

/// Squared distance of a point from the stretch between two others.
fn distance2([x, y]: [f64; 2], [ax, ay]: [f64; 2], [bx, by]: [f64; 2]) -> f64 {
    let (dx, dy) = (bx - ax, by - ay);
    let length2 = dx * dx + dy * dy;
    let t = if length2 > 0.0 {
        (((x - ax) * dx + (y - ay) * dy) / length2).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (x - ax - t * dx).powi(2) + (y - ay - t * dy).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_vertex_is_farther_from_the_line_than_the_tolerance() {
        let mut seed = 5u64;
        let mut random = || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
            (seed >> 40) as f64 / (1u64 << 24) as f64
        };
        for tolerance in [0.0, 0.3, 2.0] {
            let mut at = [0.0, 0.0];
            let line: Vec<[f64; 2]> = (0..400)
                .map(|_| {
                    at = [at[0] + random(), at[1] + random() - 0.5];
                    at
                })
                .collect();
            let keep = vertices_to_keep(&line, |at| at % 97 == 0, tolerance);
            let kept: Vec<usize> = (0..line.len()).filter(|&at| keep[at]).collect();
            assert_eq!((kept[0], kept[kept.len() - 1]), (0, 399));
            assert!((0..400).filter(|at| at % 97 == 0).all(|at| keep[at]));
            assert!(tolerance == 0.0 || kept.len() < 250, "{}", kept.len());
            for pair in kept.windows(2) {
                for at in pair[0]..pair[1] {
                    let distance2 = distance2(line[at], line[pair[0]], line[pair[1]]);
                    assert!(distance2 <= tolerance * tolerance);
                }
            }
        }
    }

    #[test]
    fn a_ring_and_a_lone_point_are_lines_as_well() {
        let ring = [[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 0.0]];
        assert_eq!(vertices_to_keep(&ring, |_| false, 1.0), [true; 4]);
        assert_eq!(vertices_to_keep(&ring[..1], |_| false, 1.0), [true]);
        assert!(vertices_to_keep(&[], |_| false, 1.0).is_empty());
    }
}
