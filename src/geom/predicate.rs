//! The exact sign of an orientation, in floating point.
//!
//! The determinant is evaluated in plain arithmetic first; only when rounding could have changed
//! its sign is it summed exactly. J. R. Shewchuk, "Adaptive Precision Floating-Point Arithmetic
//! and Fast Robust Geometric Predicates", Discrete & Computational Geometry 18 (1997).

/// Bound of the rounding error relative to the sum of the products, (3 + 16ε)ε with ε = 2⁻⁵³.
const ERROR_BOUND: f64 = 3.330_669_073_875_471_6e-16;

/// Positive when `c` lies left of the line from `a` to `b`, negative when right, 0 when on it.
/// The sign is exact for finite coordinates whose products neither overflow nor underflow.
#[inline]
pub fn orientation(a: [f64; 2], b: [f64; 2], c: [f64; 2]) -> f64 {
    let left = (a[0] - c[0]) * (b[1] - c[1]);
    let right = (a[1] - c[1]) * (b[0] - c[0]);
    let determinant = left - right;
    if determinant.abs() >= ERROR_BOUND * (left.abs() + right.abs()) && determinant != 0.0 {
        determinant
    } else {
        exact(a, b, c)
    }
}

/// a×b + b×c + c×a as an exact sum of twelve terms.
#[cold]
fn exact(a: [f64; 2], b: [f64; 2], c: [f64; 2]) -> f64 {
    let mut sum = Expansion::default();
    for (p, q) in [(a, b), (b, c), (c, a)] {
        sum.add_product(p[0], q[1]);
        sum.add_product(-p[1], q[0]);
    }
    sum.leading()
}

/// A number as a sum of floats that do not overlap, smallest first.
#[derive(Default)]
struct Expansion {
    terms: [f64; 12],
    count: usize,
}

impl Expansion {
    fn add_product(&mut self, p: f64, q: f64) {
        let product = p * q;
        self.add(p.mul_add(q, -product));
        self.add(product);
    }

    fn add(&mut self, term: f64) {
        let mut carry = term;
        let mut kept = 0;
        for index in 0..self.count {
            let sum = carry + self.terms[index];
            let virtual_term = sum - carry;
            let error = (carry - (sum - virtual_term)) + (self.terms[index] - virtual_term);
            carry = sum;
            if error != 0.0 {
                self.terms[kept] = error;
                kept += 1;
            }
        }
        if carry != 0.0 {
            self.terms[kept] = carry;
            kept += 1;
        }
        self.count = kept;
    }

    /// The largest term, which has the sign of the whole.
    fn leading(&self) -> f64 {
        match self.count {
            0 => 0.0,
            count => self.terms[count - 1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_exact_where_plain_arithmetic_gives_up() {
        // Points along y = x, one of them a single unit in the last place off the line.
        let ulp = f64::EPSILON / 2.0;
        for step in 1..50 {
            let t = f64::from(step) * 0.01 + 0.5;
            let a = [0.5, 0.5];
            let b = [12.0, 12.0];
            assert_eq!(orientation(a, b, [t, t]), 0.0, "{t}");
            assert!(orientation(a, b, [t, t * (1.0 + 4.0 * ulp)]) > 0.0, "{t}");
            assert!(orientation(a, b, [t, t * (1.0 - 4.0 * ulp)]) < 0.0, "{t}");
        }
    }

    #[test]
    fn eastings_with_zone_numbers_keep_their_last_digits() {
        let a = [39_500_000.001, 3_300_000.001];
        let b = [39_500_000.003, 3_300_000.003];
        let c = [39_500_000.002, 3_300_000.002];
        // Multiples of 2⁻²⁸ are exact in f64 here, so integers give the true sign.
        let scaled = |p: [f64; 2]| p.map(|v| (v * 2f64.powi(28)) as i128);
        let [sa, sb, sc] = [a, b, c].map(scaled);
        let integer = (sa[0] - sc[0]) * (sb[1] - sc[1]) - (sa[1] - sc[1]) * (sb[0] - sc[0]);
        assert_eq!(
            orientation(a, b, c).partial_cmp(&0.0),
            Some(integer.cmp(&0))
        );
    }
}
