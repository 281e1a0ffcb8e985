//! Areas and pieces of two polygons against GEOS, asked through GDAL.
//!
//! Coordinates are whole numbers, so both sides see the same polygons exactly. GEOS rounds where
//! edges cross to doubles and overlays them robustly; what it says is only taken where its own
//! parts add up to its own polygons. `tests/overlay.rs` has the exact oracle for small numbers.

use gdal::vector::Geometry;
use onemap::overlay::{
    CROSSING_UNITS, GridPoint, LayerBuilder, LayerEdges, Lines, OUTSIDE, Options, Overlay, RingRole,
};

/// Grid units of ours in a unit of theirs: pieces thinner than an eighth of a grid unit are none.
const SCALE: i64 = 1024;

/// A sequence of numbers from a seed (D. H. Lehmer's generator with the multiplier of S. K. Park
/// and K. W. Miller, 1988).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0 * 48_271 % 2_147_483_647;
        self.0 % limit
    }
}

/// A star about a middle: its points' angles grow, so it does not cross itself. Some of its points
/// are shared with the star before, so that borders touch and run along each other.
fn star(
    numbers: &mut Numbers,
    middle: GridPoint,
    reach: u64,
    shared: &[GridPoint],
) -> Vec<GridPoint> {
    let corners = 3 + numbers.below(60);
    let mut points: Vec<GridPoint> = (0..corners)
        .map(|corner| {
            let angle = std::f64::consts::TAU * corner as f64 / corners as f64;
            let radius = (reach / 5 + numbers.below(reach)) as f64;
            [
                middle[0] + (angle.cos() * radius).round() as i64,
                middle[1] + (angle.sin() * radius).round() as i64,
            ]
        })
        .chain(shared.iter().copied().filter(|p| *p != middle))
        .collect();
    let angle = |p: &GridPoint| ((p[1] - middle[1]) as f64).atan2((p[0] - middle[0]) as f64);
    points.sort_by(|p, q| angle(p).total_cmp(&angle(q)));
    points.dedup_by(|q, p| angle(p) == angle(q));
    points
}

fn layer(ring: &[GridPoint]) -> LayerEdges {
    let mut builder = LayerBuilder::default();
    builder
        .push_ring(
            0,
            RingRole::Shell,
            ring.iter().map(|p| p.map(|v| v * SCALE)),
        )
        .unwrap();
    builder.finish()
}

fn wkt(ring: &[GridPoint]) -> String {
    let points: Vec<String> = ring
        .iter()
        .chain(ring.first())
        .map(|p| format!("{} {}", p[0], p[1]))
        .collect();
    format!("POLYGON(({}))", points.join(","))
}

/// Areas of A ∩ B, A − B and B − A.
fn ours(a: &[GridPoint], b: &[GridPoint]) -> [f64; 3] {
    let overlay = Overlay::new(vec![layer(a), layer(b)], Options::default()).unwrap();
    let mut areas = [0.0; 3];
    for (labels, area) in overlay.areas().unwrap().rows() {
        let area = area / (SCALE * SCALE) as f64;
        match (labels[0], labels[1]) {
            (0, 0) => areas[0] = area,
            (0, OUTSIDE) => areas[1] = area,
            (OUTSIDE, 0) => areas[2] = area,
            other => panic!("{other:?}"),
        }
    }
    areas
}

/// The pieces of A as WKT, with whether each lies in B.
fn pieces(a: &[GridPoint], b: &[GridPoint]) -> Vec<(bool, String)> {
    let overlay = Overlay::new(vec![layer(a), layer(b)], Options::default()).unwrap();
    let mut lines = Lines::of(0);
    for unit in overlay.units() {
        overlay.trace(&unit, &mut lines).unwrap();
    }
    let unit = (CROSSING_UNITS * SCALE) as f64;
    let ring = |ring: &Vec<GridPoint>| {
        let points: Vec<String> = ring
            .iter()
            .map(|p| format!("{} {}", p[0] as f64 / unit, p[1] as f64 / unit))
            .collect();
        format!("({})", points.join(","))
    };
    lines
        .into_pieces(true, |_| true)
        .into_iter()
        .map(|piece| {
            let polygons: Vec<String> = piece
                .polygons
                .unwrap()
                .iter()
                .map(|polygon| {
                    let rings: Vec<String> = polygon.iter().map(ring).collect();
                    format!("({})", rings.join(","))
                })
                .collect();
            let wkt = format!("MULTIPOLYGON({})", polygons.join(","));
            (piece.labels[1] == 0, wkt)
        })
        .collect()
}

#[test]
fn areas_and_pieces_are_those_of_geos() {
    let mut numbers = Numbers(20_081_125);
    let (mut compared, mut crossed) = (0, 0);
    for round in 0..400 {
        let reach = [40, 2_000, 1_000_000][round % 3];
        let a = star(&mut numbers, [0, 0], reach, &[]);
        let middle = [0, 1].map(|_| numbers.below(2 * reach) as i64 - reach as i64);
        let b = star(&mut numbers, middle, reach, &a[..a.len() / 3]);
        let (ga, gb) = (
            Geometry::from_wkt(&wkt(&a)).unwrap(),
            Geometry::from_wkt(&wkt(&b)).unwrap(),
        );
        if !ga.is_valid() || !gb.is_valid() {
            continue;
        }
        let area = |geometry: Option<Geometry>| geometry.map_or(0.0, |geometry| geometry.area());
        let both = area(ga.intersection(&gb));
        let (only_a, only_b) = (area(ga.difference(&gb)), area(gb.difference(&ga)));
        let (whole_a, whole_b) = (ga.area(), gb.area());
        // Crossings are rounded on both sides, and of a piece what is too thin is left out.
        let allowed = 1e-3 * reach as f64 + 1e-9 * whole_a.max(whole_b);
        let adds_up = (both + only_a - whole_a).abs() <= allowed
            && (both + only_b - whole_b).abs() <= allowed;
        if !adds_up {
            continue;
        }
        compared += 1;
        crossed += usize::from(both > 0.0 && only_a > 0.0);
        let found = ours(&a, &b);
        for (found, expected) in found.into_iter().zip([both, only_a, only_b]) {
            assert!(
                (found - expected).abs() <= allowed,
                "round {round}: {found} for {expected}\n{}\n{}",
                wkt(&a),
                wkt(&b)
            );
        }
        for (inside, piece) in pieces(&a, &b) {
            let shape = Geometry::from_wkt(&piece).unwrap();
            let expected = if inside { both } else { only_a };
            assert!(shape.is_valid(), "round {round}: {piece}");
            assert!((shape.area() - expected).abs() <= allowed, "round {round}");
            let there = if inside {
                ga.intersection(&gb)
            } else {
                ga.difference(&gb)
            };
            let there = there.unwrap();
            let apart = area(shape.difference(&there)) + area(there.difference(&shape));
            assert!(apart <= allowed, "round {round}: {piece}");
        }
    }
    assert!(
        compared > 300 && crossed > 150,
        "{compared} compared, {crossed} crossed"
    );
}
