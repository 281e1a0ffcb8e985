//! Randomness that depends on place and seed only, never on the order of work.

/// Mixes a seed and two whole numbers into 64 bits (the finaliser of SplitMix64, Steele et al. 2014).
pub fn hash(seed: u64, a: i64, b: i64) -> u64 {
    let mut z = seed
        .wrapping_add((a as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add((b as u64).wrapping_mul(0xd1b5_4a32_d192_ed03));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The same as a number in 0..1.
pub fn unit(seed: u64, a: i64, b: i64) -> f64 {
    (hash(seed, a, b) >> 11) as f64 / (1u64 << 53) as f64
}

/// Smooth gradient noise of wavelength 1, about −1..1.
pub fn gradient(seed: u64, x: f64, y: f64) -> f64 {
    let (cx, cy) = (x.floor(), y.floor());
    let (fx, fy) = (x - cx, y - cy);
    let corner = |dx: i64, dy: i64| {
        let h = hash(seed, cx as i64 + dx, cy as i64 + dy);
        let gx = (h & 0xffff_ffff) as f64 / 2_147_483_648.0 - 1.0;
        let gy = (h >> 32) as f64 / 2_147_483_648.0 - 1.0;
        gx * (fx - dx as f64) + gy * (fy - dy as f64)
    };
    let fade = |t: f64| t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
    let (u, v) = (fade(fx), fade(fy));
    let bottom = corner(0, 0) * (1.0 - u) + corner(1, 0) * u;
    let top = corner(0, 1) * (1.0 - u) + corner(1, 1) * u;
    (bottom * (1.0 - v) + top * v) * 1.6
}

/// Octaves of noise, each half the wavelength and `gain` of the one before.
pub fn octaves(seed: u64, x: f64, y: f64, count: u32, gain: f64) -> f64 {
    let (mut sum, mut amplitude, mut frequency) = (0.0, 1.0, 1.0);
    for k in 0..count {
        // Turned and shifted per octave, so that lattices do not line up.
        let (sx, sy) = (
            x * frequency + 17.3 * f64::from(k),
            y * frequency - 9.1 * f64::from(k),
        );
        let (rx, ry) = (0.8 * sx - 0.6 * sy, 0.6 * sx + 0.8 * sy);
        sum += amplitude * gradient(seed.wrapping_add(u64::from(k)), rx, ry);
        amplitude *= gain;
        frequency *= 2.0;
    }
    sum
}

/// Ridged octaves: sharp crests, broad flanks, 0..about 1.
pub fn ridged(seed: u64, x: f64, y: f64, count: u32) -> f64 {
    let (mut sum, mut amplitude, mut frequency, mut total) = (0.0, 1.0, 1.0, 0.0);
    for k in 0..count {
        let n = 1.0
            - gradient(
                seed.wrapping_add(u64::from(k) * 7),
                x * frequency,
                y * frequency,
            )
            .abs();
        sum += amplitude * n * n;
        total += amplitude;
        amplitude *= 0.5;
        frequency *= 2.03;
    }
    sum / total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_a_function_of_place_and_seed() {
        assert_eq!(octaves(3, 1.25, 7.5, 5, 0.5), octaves(3, 1.25, 7.5, 5, 0.5));
        assert_ne!(octaves(3, 1.25, 7.5, 5, 0.5), octaves(4, 1.25, 7.5, 5, 0.5));
    }

    #[test]
    fn noise_is_continuous_across_its_lattice() {
        for k in 0..50 {
            let y = f64::from(k) * 0.37;
            assert!((gradient(1, 3.0 - 1e-9, y) - gradient(1, 3.0 + 1e-9, y)).abs() < 1e-6);
        }
    }
}
