//! The official area of a parcel: on the CGCS2000 ellipsoid, from Gauss-Krüger coordinates.
//!
//! The rule is that of 国土调查办发〔2008〕32号 《图幅理论面积与图斑椭球面积计算公式及要求》: sides longer
//! than 70 m are divided into equal parts on the plane, each point goes back to latitude and
//! longitude by the published inverse series, and the trapezoids between the sides and a reference
//! meridian are summed. Coordinates are rounded to 0.1 mm, angles to 1e-6″, the area of a ring to
//! 0.01 m², always half away from zero.
//!
//! Only 3° and 6° zones of CGCS2000; no geodesics: a side is a straight line of the plane.

const B_M: f64 = 6_356_752.314_140_36;
const E2: f64 = 0.006_694_380_022_900_69;
const E2_SECOND: f64 = 0.006_739_496_775_478_86;
/// Polar radius of curvature a²/b, in metres.
const C_M: f64 = 6_399_593.625_864;
/// Coefficients of the foot-point latitude.
const K: [f64; 5] = [
    1.570_487_611_441_59e-7,
    5.052_501_788_205_67e-3,
    2.984_729_009_565_87e-5,
    2.416_266_692_300_84e-7,
    2.222_412_389_385_34e-9,
];
/// The longest side that is not divided, in metres.
const LONGEST_SIDE_M: f64 = 70.0;
const ARC_SECOND: f64 = std::f64::consts::PI / 180.0 / 3600.0;

/// Latitude and longitude from the central meridian, in radians, of a point `north_m`, `east_m`
/// (east of the central meridian, without false easting and zone).
pub fn gauss_inverse(north_m: f64, east_m: f64) -> (f64, f64) {
    let e = K[0] * north_m;
    let (s, c) = e.sin_cos();
    let s2 = s * s;
    let foot = e + c * s * (K[1] + s2 * (-K[2] + s2 * (K[3] - s2 * K[4])));
    let (sin_foot, cos_foot) = foot.sin_cos();
    let t = sin_foot / cos_foot;
    let t2 = t * t;
    let n2 = E2_SECOND * cos_foot * cos_foot;
    let v2 = 1.0 + n2;
    let q = east_m * v2.sqrt() / C_M;
    let q2 = q * q;
    let latitude = foot - v2 * t * q2 / 2.0
        + (5.0 + 3.0 * t2 + n2 - 9.0 * n2 * t2) * v2 * t * q2 * q2 / 24.0
        - (61.0 + 90.0 * t2 + 45.0 * t2 * t2) * v2 * t * q2 * q2 * q2 / 720.0;
    let longitude = (q - (1.0 + 2.0 * t2 + n2) * q2 * q / 6.0
        + (5.0 + 28.0 * t2 + 24.0 * t2 * t2 + 6.0 * n2 + 8.0 * n2 * t2) * q2 * q2 * q / 120.0)
        / cos_foot;
    (latitude, longitude)
}

/// The signed area between the meridian of longitude zero and the side from `a` to `b`
/// (latitude, longitude in radians), in square metres.
fn trapezoid_m2(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (e4, e6, e8) = (E2 * E2, E2 * E2 * E2, E2 * E2 * E2 * E2);
    let ca = 1.0 + 3.0 / 6.0 * E2 + 30.0 / 80.0 * e4 + 35.0 / 112.0 * e6 + 630.0 / 2304.0 * e8;
    let cb = E2 / 6.0 + 15.0 / 80.0 * e4 + 21.0 / 112.0 * e6 + 420.0 / 2304.0 * e8;
    let cc = 3.0 / 80.0 * e4 + 7.0 / 112.0 * e6 + 180.0 / 2304.0 * e8;
    let cd = e6 / 112.0 + 45.0 / 2304.0 * e8;
    let ce = 5.0 / 2304.0 * e8;
    let half = (b.0 - a.0) / 2.0;
    let middle = (a.0 + b.0) / 2.0;
    let mean_longitude = (a.1 + b.1) / 2.0;
    let (sin, _) = odd_multiples(half.sin_cos());
    let (_, cos) = odd_multiples(middle.sin_cos());
    2.0 * B_M
        * B_M
        * mean_longitude
        * (ca * sin[0] * cos[0] - cb * sin[1] * cos[1] + cc * sin[2] * cos[2]
            - cd * sin[3] * cos[3]
            + ce * sin[4] * cos[4])
}

/// Sines and cosines of 1, 3, 5, 7 and 9 times an angle, by the addition theorem.
fn odd_multiples((sin, cos): (f64, f64)) -> ([f64; 5], [f64; 5]) {
    let (twice_sin, twice_cos) = (2.0 * sin * cos, 1.0 - 2.0 * sin * sin);
    let (mut sines, mut cosines) = ([sin; 5], [cos; 5]);
    for n in 1..5 {
        sines[n] = sines[n - 1] * twice_cos + cosines[n - 1] * twice_sin;
        cosines[n] = cosines[n - 1] * twice_cos - sines[n - 1] * twice_sin;
    }
    (sines, cosines)
}

fn round_half_away(value: f64, unit: f64) -> f64 {
    (value / unit).round() * unit
}

/// A point of the plane on the ellipsoid, with the roundings of the rule.
fn on_ellipsoid(point: [f64; 2], false_easting_m: f64) -> (f64, f64) {
    let x = (point[0] * 1e4).round() / 1e4;
    let y = (point[1] * 1e4).round() / 1e4;
    let (latitude, longitude) = gauss_inverse(y, x - false_easting_m);
    let unit = ARC_SECOND * 1e-6;
    (
        round_half_away(latitude, unit),
        round_half_away(longitude, unit),
    )
}

/// The area of one ring (east, north in metres; closed or not, either direction) in square metres,
/// not yet rounded. `false_easting_m` includes the zone number where coordinates carry it.
pub fn ring_area_m2(ring: &[[f64; 2]], false_easting_m: f64) -> f64 {
    let Some(&first) = ring.first() else {
        return 0.0;
    };
    let mut sum = 0.0;
    let mut from = on_ellipsoid(first, false_easting_m);
    let start = from;
    let reference = from.1;
    let relative = |p: (f64, f64)| (p.0, p.1 - reference);
    for i in 0..ring.len() {
        let (a, b) = (ring[i], ring[(i + 1) % ring.len()]);
        if a == b {
            continue;
        }
        let length = (b[0] - a[0]).hypot(b[1] - a[1]);
        let parts = if length > LONGEST_SIDE_M {
            (length / LONGEST_SIDE_M) as usize + 1
        } else {
            1
        };
        for k in 1..=parts {
            let to = if k == parts && i + 1 == ring.len() {
                start
            } else {
                let f = k as f64 / parts as f64;
                let p = [a[0] + (b[0] - a[0]) * f, a[1] + (b[1] - a[1]) * f];
                on_ellipsoid(if k == parts { b } else { p }, false_easting_m)
            };
            sum += trapezoid_m2(relative(from), relative(to));
            from = to;
        }
    }
    sum.abs()
}

/// The official area of a polygon in hundredths of a square metre: the outer ring rounded, less
/// each hole rounded.
pub fn polygon_area_centi_m2(rings: &[Vec<[f64; 2]>], false_easting_m: f64) -> i64 {
    rings
        .iter()
        .enumerate()
        .map(|(i, ring)| {
            let centi = (ring_area_m2(ring, false_easting_m) * 100.0).round() as i64;
            if i == 0 { centi } else { -centi }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(east: f64, north: f64, side: f64) -> Vec<[f64; 2]> {
        vec![
            [east, north],
            [east + side, north],
            [east + side, north + side],
            [east, north + side],
        ]
    }

    #[test]
    fn sheets_have_their_theoretical_area() {
        let golden = [
            (20.0, 30165060.6375),
            (35.0, 26367263.0593),
            (50.0, 20758420.6672),
        ];
        for (south, expected) in golden {
            let (b1, b2) = (f64::to_radians(south), f64::to_radians(south + 2.5 / 60.0));
            let l = f64::to_radians(3.75 / 60.0);
            let area = trapezoid_m2((b1, l), (b2, l));
            assert!((area - expected).abs() < 2e-4, "{south}: {area}");
        }
    }

    #[test]
    fn the_inverse_agrees_with_published_points() {
        let (b, l) = gauss_inverse(3500000.0, 120000.0);
        assert!((b.to_degrees() - 31.6162930096).abs() < 1e-10);
        assert!((l.to_degrees() + 117.0 - 118.2646483803).abs() < 1e-10);
        let (b, l) = gauss_inverse(4412345.6789, 12345.6789);
        assert!((b.to_degrees() - 39.8451515659).abs() < 1e-10);
        assert!((l.to_degrees() + 120.0 - 120.1442480543).abs() < 1e-10);
    }

    #[test]
    fn polygons_have_their_official_area_to_the_hundredth() {
        let fe = 39500000.0;
        let a = polygon_area_centi_m2(&[square(39500100.0, 3500100.0, 1000.0)], fe);
        assert_eq!(a, 100_000_000);
        let outer = square(39620000.0, 3500000.0, 1000.0);
        let hole = square(39620300.0, 3500300.0, 400.0);
        assert_eq!(
            polygon_area_centi_m2(std::slice::from_ref(&outer), fe),
            99_964_207
        );
        assert_eq!(polygon_area_centi_m2(&[outer, hole], fe), 83_969_934);
        let c = [
            [40512345.6789, 4412345.6789],
            [40512845.1234, 4412300.4321],
            [40512901.5, 4412790.25],
            [40512600.0, 4412955.5],
            [40512300.125, 4412710.75],
        ];
        assert_eq!(polygon_area_centi_m2(&[c.to_vec()], 40500000.0), 29_684_901);
    }

    #[test]
    fn direction_and_a_repeated_first_point_change_nothing() {
        let mut ring = square(39620300.0, 3500300.0, 400.0);
        let area = ring_area_m2(&ring, 39500000.0);
        ring.push(ring[0]);
        assert_eq!(ring_area_m2(&ring, 39500000.0), area);
        ring.reverse();
        assert!((ring_area_m2(&ring, 39500000.0) - area).abs() < 1e-6);
    }
}
