//! Whole units for exact areas, so that what is printed adds up to what is printed as the total.

/// Rounds each of `exact` (in `1/denominator` units) down and gives the units that are missing
/// from `total` to the largest remainders, the first of equal ones first. No value moves by as
/// much as a unit when `exact` adds up to `total` within half a unit.
pub(super) fn apportion(exact: &[i128], denominator: i128, total: i64) -> Vec<i64> {
    let mut units: Vec<i64> = exact
        .iter()
        .map(|value| value.div_euclid(denominator) as i64)
        .collect();
    if exact.is_empty() {
        return units;
    }
    let mut order: Vec<usize> = (0..exact.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(exact[i].rem_euclid(denominator)), i));
    let sum: i64 = units.iter().sum();
    let missing = total - sum;
    let step = missing.signum();
    // More than one round is needed only where `exact` does not add up to the total.
    let (rounds, rest) = (
        missing.abs() / units.len() as i64,
        missing.abs() % units.len() as i64,
    );
    for (rank, &i) in order.iter().enumerate() {
        units[i] += step * (rounds + i64::from((rank as i64) < rest));
    }
    units
}

/// Rounded to whole units, half away from zero.
pub(super) fn rounded(exact: i128, denominator: i128) -> i64 {
    let twice = 2 * exact.abs() + denominator;
    let units = twice.div_euclid(2 * denominator) as i64;
    if exact < 0 { -units } else { units }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_none_moves_by_a_unit() {
        let parts = [333_333, 333_333, 333_334];
        assert_eq!(apportion(&parts, 1_000_000, 1), [0, 0, 1]);
        assert_eq!(apportion(&[1_500, 1_500], 1_000, 3), [2, 1]);
        assert_eq!(apportion(&[2_900, -900], 1_000, 2), [3, -1]);
        assert_eq!(apportion(&[], 1_000, 0), Vec::<i64>::new());
        let mut seed = 7u64;
        for _ in 0..200 {
            let parts: Vec<i128> = (0..1 + seed % 40)
                .map(|_| {
                    seed = seed
                        .wrapping_mul(6364136223846793005)
                        .wrapping_add(1442695040888963407);
                    i128::from(seed >> 30) - (1 << 32)
                })
                .collect();
            let total = rounded(parts.iter().sum(), 1_000);
            let units = apportion(&parts, 1_000, total);
            assert_eq!(units.iter().sum::<i64>(), total);
            for (unit, part) in units.iter().zip(&parts) {
                assert!(
                    (i128::from(*unit) * 1_000 - part).abs() <= 1_000,
                    "{unit} {part}"
                );
            }
        }
    }

    #[test]
    fn halves_are_rounded_away_from_zero() {
        let cases = [(1_500, 2), (1_499, 1), (-1_500, -2), (-1_499, -1), (0, 0)];
        for (exact, expected) in cases {
            assert_eq!(rounded(exact, 1_000), expected, "{exact}");
        }
    }
}
