//! The cosine transform of 8 × 8 blocks, on eight columns at once.
//!
//! The result is transposed: saves turning it back, since the order of coefficients is a table
//! anyway. Its scale (Arai, Agui and Nakajima's) goes into the quantisation.

/// Scale of the transform in each direction, relative to the orthogonal one times √8.
const SCALE: [f32; 8] = [
    1.0,
    1.387_039_8,
    1.306_563,
    1.175_875_6,
    1.0,
    0.785_694_96,
    0.541_196_1,
    0.275_899_38,
];

/// What transformed values are multiplied by to become levels, transposed; `steps` row by row.
pub fn factors(steps: &[u8; 64]) -> [[f32; 8]; 8] {
    std::array::from_fn(|column| {
        std::array::from_fn(|row| {
            let step = f32::from(steps[row * 8 + column]);
            1.0 / (step * SCALE[row] * SCALE[column] * 8.0)
        })
    })
}

/// Quantised levels of a block, transposed.
pub fn levels(block: [[f32; 8]; 8], factors: &[[f32; 8]; 8]) -> [[i32; 8]; 8] {
    /// Adding it leaves the rounded number in the lowest bits: 1.5 · 2²³.
    const ROUND: f32 = 12_582_912.0;
    let columns = pass(block);
    let both = pass(transposed(columns));
    std::array::from_fn(|row| {
        std::array::from_fn(|column| {
            let rounded = both[row][column] * factors[row][column] + ROUND;
            (rounded.to_bits() as i32) - (ROUND.to_bits() as i32)
        })
    })
}

fn transposed(block: [[f32; 8]; 8]) -> [[f32; 8]; 8] {
    std::array::from_fn(|row| std::array::from_fn(|column| block[column][row]))
}

type Row = [f32; 8];

#[inline(always)]
fn add(a: Row, b: Row) -> Row {
    std::array::from_fn(|i| a[i] + b[i])
}

#[inline(always)]
fn sub(a: Row, b: Row) -> Row {
    std::array::from_fn(|i| a[i] - b[i])
}

#[inline(always)]
fn times(a: Row, factor: f32) -> Row {
    a.map(|value| value * factor)
}

/// The one-dimensional transform down each column.
#[inline(always)]
fn pass(d: [Row; 8]) -> [Row; 8] {
    let (sum07, dif07) = (add(d[0], d[7]), sub(d[0], d[7]));
    let (sum16, dif16) = (add(d[1], d[6]), sub(d[1], d[6]));
    let (sum25, dif25) = (add(d[2], d[5]), sub(d[2], d[5]));
    let (sum34, dif34) = (add(d[3], d[4]), sub(d[3], d[4]));

    let (even0, even3) = (add(sum07, sum34), sub(sum07, sum34));
    let (even1, even2) = (add(sum16, sum25), sub(sum16, sum25));
    let turned = times(add(even2, even3), 0.707_106_77);

    let (odd0, odd1, odd2) = (add(dif34, dif25), add(dif25, dif16), add(dif16, dif07));
    let shared = times(sub(odd0, odd2), 0.382_683_43);
    let low = add(times(odd0, 0.541_196_1), shared);
    let high = add(times(odd2, 1.306_563), shared);
    let middle = times(odd1, 0.707_106_77);
    let (plus, minus) = (add(dif07, middle), sub(dif07, middle));

    [
        add(even0, even1),
        add(plus, high),
        add(even3, turned),
        sub(minus, low),
        sub(even0, even1),
        add(minus, low),
        sub(even3, turned),
        sub(plus, high),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_cosine_transform_of_the_standard() {
        let block: [[f32; 8]; 8] = std::array::from_fn(|y| {
            std::array::from_fn(|x| ((x * 37 + y * 101 + x * y * 13) % 255) as f32 - 128.0)
        });
        let found = levels(block, &factors(&[1; 64]));
        for v in 0..8usize {
            for u in 0..8usize {
                // T.81, A.3.3.
                let norm = |k: usize| {
                    if k == 0 {
                        std::f64::consts::FRAC_1_SQRT_2
                    } else {
                        1.0
                    }
                };
                let cosine = |n: usize, k: usize| {
                    ((2 * n + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0).cos()
                };
                let mut sum = 0.0;
                for (y, row) in block.iter().enumerate() {
                    for (x, value) in row.iter().enumerate() {
                        sum += f64::from(*value) * cosine(x, u) * cosine(y, v);
                    }
                }
                let expected = sum * norm(u) * norm(v) / 4.0;
                let found = f64::from(found[u][v]);
                assert!(
                    (found - expected).abs() < 0.51,
                    "{u} {v}: {found} {expected}"
                );
            }
        }
    }
}
