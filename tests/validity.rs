//! What the quick check of polygons lets pass is valid for GEOS, touching rings included.

use gdal::vector::Geometry;
use onemap::geom::grid::{GridPoint, doubled_area, is_valid};

fn wkt(rings: &[Vec<GridPoint>]) -> String {
    let rings = rings.iter().map(|ring| {
        let closed = ring.iter().chain(ring.first());
        let points: Vec<String> = closed.map(|[x, y]| format!("{x} {y}")).collect();
        format!("({})", points.join(","))
    });
    format!("POLYGON({})", rings.collect::<Vec<_>>().join(","))
}

fn shape(rings: &[Vec<GridPoint>]) -> Geometry {
    Geometry::from_wkt(&wkt(rings)).unwrap()
}

#[test]
fn polygons_with_touching_holes_are_what_geos_says() {
    const SIDE: usize = 7;
    let mut seed = 11u64;
    let mut random = |n: usize| {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 33) as usize % n
    };
    let mut shell: Vec<GridPoint> = Vec::new();
    let last = SIDE as i32 - 1;
    for i in 0..last {
        shell.push([i, 0]);
    }
    for i in 0..last {
        shell.push([last, i]);
    }
    for i in 0..last {
        shell.push([last - i, last]);
    }
    for i in 0..last {
        shell.push([0, last - i]);
    }
    let (mut passed, mut passed_touching, mut refused_though_valid) = (0, 0, 0);
    for round in 0..30_000 {
        let mut rings = vec![shell.clone()];
        for _ in 0..1 + random(4) {
            let hole: Vec<GridPoint> = (0..3)
                .map(|_| [random(SIDE) as i32, random(SIDE) as i32])
                .collect();
            match doubled_area(&hole).signum() {
                -1 => rings.push(hole),
                1 => rings.push(hole.into_iter().rev().collect()),
                _ => {}
            }
        }
        // One hole in another crosses nothing: that is not asked.
        let holes: Vec<Geometry> = rings[1..]
            .iter()
            .map(|r| shape(std::slice::from_ref(r)))
            .collect();
        let is_nested = |a: usize, b: usize| a != b && holes[a].contains(&holes[b]);
        if (0..holes.len()).any(|a| (0..holes.len()).any(|b| is_nested(a, b))) {
            continue;
        }
        let slices: Vec<&[GridPoint]> = rings.iter().map(Vec::as_slice).collect();
        let whole = shape(&rings);
        match (is_valid(&slices), whole.is_valid()) {
            (true, valid) => {
                assert!(valid, "round {round}: {}", wkt(&rings));
                passed += 1;
                let mut vertices: Vec<GridPoint> = rings.concat();
                let all = vertices.len();
                vertices.sort_unstable();
                vertices.dedup();
                passed_touching += usize::from(vertices.len() < all);
            }
            (false, true) => refused_though_valid += 1,
            (false, false) => {}
        }
    }
    assert!(
        passed > 3000 && passed_touching > 1000,
        "{passed} {passed_touching} {refused_though_valid}"
    );
    // Those with a vertex on an edge, or whose holes hang together in a cycle around nothing.
    assert!(
        refused_though_valid < passed,
        "{passed} {refused_though_valid}"
    );
}
