//! The overlay engine: areas against an oracle in exact fractions, identities, invariance.

use num_rational::Ratio;
use onemap::overlay::{
    AreaTable, CROSSING_UNITS, GridPoint, LayerBuilder, LayerEdges, Lines, MAX_COORDINATE, OUTSIDE,
    OVERLAP, Options, Overlay, OverlayError, Polygon, RingRole, in_square_grid_units,
};

type Fraction = Ratio<i128>;

/// Lattice coordinates are multiplied by this, which keeps every degeneracy and makes the
/// rounding of crossings small against the areas.
const SCALE: i64 = 1 << 20;

/// A polygon of one ring with its label.
#[derive(Clone)]
struct Shape {
    label: u32,
    ring: Vec<GridPoint>,
}

/// Numbers that look random and are the same on every run (xorshift, G. Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn shapes(&mut self, count: u64) -> Vec<Shape> {
        (0..count)
            .map(|label| {
                let corners = 3 + self.below(4);
                let point =
                    |numbers: &mut Numbers| [numbers.below(8) as i64, numbers.below(8) as i64];
                let ring = (0..corners).map(|_| point(self)).collect();
                Shape {
                    label: label as u32,
                    ring,
                }
            })
            .collect()
    }
}

fn layer(shapes: &[Shape], place: impl Fn(GridPoint) -> GridPoint) -> LayerEdges {
    let mut builder = LayerBuilder::default();
    for shape in shapes {
        let points = shape.ring.iter().map(|&p| place(p));
        builder
            .push_ring(shape.label, RingRole::Shell, points)
            .unwrap();
    }
    builder.finish()
}

fn scaled(p: GridPoint) -> GridPoint {
    p.map(|v| v * SCALE)
}

fn overlay(
    layers: &[&[Shape]],
    options: Options,
    place: impl Fn(GridPoint) -> GridPoint,
) -> AreaTable {
    let layers = layers.iter().map(|shapes| layer(shapes, &place)).collect();
    Overlay::new(layers, options).unwrap().areas().unwrap()
}

fn area_of(table: &AreaTable, labels: &[u32]) -> f64 {
    let row = table
        .rows()
        .into_iter()
        .find(|row| row.0[..labels.len()] == *labels);
    row.map_or(0.0, |row| row.1)
}

/// The shape's edges with the shape on the left, as the engine orients shells.
fn oriented_edges(shape: &Shape) -> Vec<[GridPoint; 2]> {
    let count = shape.ring.len();
    let edges = (0..count).map(|i| [shape.ring[i], shape.ring[(i + 1) % count]]);
    let twice: i64 = edges
        .clone()
        .map(|[p, q]| (p[0] + q[0]) * (q[1] - p[1]))
        .sum();
    let flip = |[p, q]: [GridPoint; 2]| if twice < 0 { [q, p] } else { [p, q] };
    edges.map(flip).collect()
}

/// The integral of the product of winding numbers.
fn oracle(shapes: &[&Shape]) -> Fraction {
    integral(shapes, |winding| winding.iter().product())
}

/// The integral of a function of winding numbers, by slabs between all abscissas where anything
/// happens, in exact fractions: no perturbation, no rounding, no index.
fn integral(shapes: &[&Shape], value: impl Fn(&[i128]) -> i128) -> Fraction {
    let whole = |v: i64| Fraction::from_integer(i128::from(v));
    let mut edges = Vec::new();
    for (number, shape) in shapes.iter().enumerate() {
        edges.extend(oriented_edges(shape).into_iter().map(|edge| (number, edge)));
    }
    let mut stops: Vec<Fraction> = edges.iter().map(|(_, edge)| whole(edge[0][0])).collect();
    let height = |edge: &[GridPoint; 2], x: Fraction| {
        let [p, q] = edge;
        whole(p[1]) + (x - whole(p[0])) * whole(q[1] - p[1]) / whole(q[0] - p[0])
    };
    for (i, (_, a)) in edges.iter().enumerate() {
        for (_, b) in &edges[..i] {
            let (da, db) = (
                [a[1][0] - a[0][0], a[1][1] - a[0][1]],
                [b[1][0] - b[0][0], b[1][1] - b[0][1]],
            );
            let cross = da[0] * db[1] - da[1] * db[0];
            if cross != 0 {
                let t = (b[0][0] - a[0][0]) * db[1] - (b[0][1] - a[0][1]) * db[0];
                stops.push(whole(a[0][0]) + whole(da[0]) * whole(t) / whole(cross));
            }
        }
    }
    stops.sort();
    stops.dedup();
    let mut area = whole(0);
    for slab in stops.windows(2) {
        let middle = (slab[0] + slab[1]) / whole(2);
        let mut crossed: Vec<(Fraction, usize, i128)> = edges
            .iter()
            .filter(|(_, [p, q])| whole(p[0].min(q[0])) < middle && middle < whole(p[0].max(q[0])))
            .map(|(number, edge)| {
                // Going up over an edge that runs east leads to its left side.
                let step = if edge[1][0] > edge[0][0] { 1 } else { -1 };
                (height(edge, middle), *number, step)
            })
            .collect();
        crossed.sort();
        let mut winding = vec![0i128; shapes.len()];
        for pair in crossed.windows(2) {
            winding[pair[0].1] += pair[0].2;
            let product = Fraction::from_integer(value(&winding));
            area += (pair[1].0 - pair[0].0) * (slab[1] - slab[0]) * product;
        }
    }
    area
}

fn as_units(area: Fraction) -> f64 {
    *area.numer() as f64 / *area.denom() as f64 * (SCALE * SCALE) as f64
}

/// Far more than rounding can do to rings of this size, and far less than the smallest area a
/// wrong decision could add or lose (about 1/5000 of a lattice square).
const TOLERANCE: f64 = 1e-6 * (SCALE * SCALE) as f64;

fn agrees_with_the_oracle(seed: u64, layers: usize, rounds: u64) {
    let mut numbers = Numbers(seed);
    for round in 0..rounds {
        let shapes: Vec<Vec<Shape>> = (0..layers).map(|_| numbers.shapes(1 + round % 3)).collect();
        let given: Vec<&[Shape]> = shapes.iter().map(Vec::as_slice).collect();
        let edges_per_cell = [0.25, 1.0, 7.0][round as usize % 3];
        let table = overlay(&given, Options { edges_per_cell }, scaled);
        let mut combinations: Vec<Vec<&Shape>> = vec![Vec::new()];
        for layer in &shapes {
            combinations = combinations
                .into_iter()
                .flat_map(|start| {
                    layer
                        .iter()
                        .map(move |shape| [start.as_slice(), &[shape]].concat())
                })
                .collect();
        }
        for combination in combinations {
            let labels: Vec<u32> = combination.iter().map(|shape| shape.label).collect();
            let (found, expected) = (area_of(&table, &labels), as_units(oracle(&combination)));
            let rings: Vec<&Vec<GridPoint>> = combination.iter().map(|shape| &shape.ring).collect();
            assert!(
                (found - expected).abs() < TOLERANCE,
                "seed {seed}, round {round}: {found} for {expected} of {rings:?}"
            );
        }
        // The rest of a layer makes the rows of one label add up to the label's own area.
        for (rank, layer) in shapes.iter().enumerate() {
            for shape in layer {
                let rows = table.rows();
                let sum: f64 = rows
                    .iter()
                    .filter(|row| row.0[rank] == shape.label)
                    .map(|row| row.1)
                    .sum();
                assert!(
                    (sum - as_units(oracle(&[shape]))).abs() < TOLERANCE,
                    "seed {seed}, round {round}"
                );
            }
        }
    }
}

#[test]
fn lattice_polygons_in_every_degenerate_position_have_the_exact_area() {
    agrees_with_the_oracle(0x9e37_79b9, 2, 4000);
}

#[test]
fn three_layers_in_one_pass_have_the_exact_area() {
    agrees_with_the_oracle(0x1234_5678, 3, 400);
}

#[test]
fn four_layers_in_one_pass_have_the_exact_area() {
    agrees_with_the_oracle(0x0bad_cafe, 4, 40);
}

/// Triangles on the lattice: simple, and often on each other or along each other's sides.
fn triangles(numbers: &mut Numbers, count: u64) -> Vec<Shape> {
    (0..count)
        .map(|label| Shape {
            label: label as u32,
            ring: (0..3)
                .map(|_| [numbers.below(8) as i64, numbers.below(8) as i64])
                .collect(),
        })
        .collect()
}

fn stacked(shapes: &[Shape]) -> LayerEdges {
    stacked_where(shapes, |_| true)
}

fn stacked_where(shapes: &[Shape], which: impl Fn(u32) -> bool) -> LayerEdges {
    let mut builder = LayerBuilder::default();
    for shape in shapes {
        let points = shape.ring.iter().map(|&p| scaled(p));
        builder
            .push_ring(shape.label, RingRole::Shell, points)
            .unwrap();
    }
    builder.finish_stacked_where(which)
}

#[test]
fn outside_of_a_stacked_layer_is_what_nothing_covers() {
    let mut numbers = Numbers(0x5eed_0001);
    for round in 0..1500 {
        let (a, b) = (
            triangles(&mut numbers, 1),
            triangles(&mut numbers, 1 + round % 4),
        );
        let all: Vec<&Shape> = a.iter().chain(&b).collect();
        let doubled = integral(&all[1..], |w| i128::from(w.iter().sum::<i128>() > 1));
        let plain = vec![layer(&a, scaled), layer(&b, scaled)];
        let engine = Overlay::new(plain, Options::default()).unwrap();
        let found = engine.overlapping(None).contains(&1);
        assert_eq!(found, doubled != Fraction::from_integer(0), "round {round}");
        let needed = engine.overlapping_labels(1, None);
        // In either order: the lower rank and the higher one; and with only those polygons
        // stacked that need it.
        for (swap, all_stacked) in [(false, true), (true, true), (false, false), (true, false)] {
            let above = stacked_where(&b, |label| all_stacked || needed.contains(&label));
            let mut layers = vec![layer(&a, scaled), above];
            let mut order = [0, 1];
            if swap {
                layers.swap(0, 1);
                order.swap(0, 1);
            }
            let table = Overlay::new(layers, Options::default())
                .unwrap()
                .areas()
                .unwrap();
            let found = |label_a: u32, label_b: u32| {
                let pair = [label_a, label_b];
                area_of(&table, &order.map(|at| pair[at]))
            };
            let expect = |found: f64, value: &dyn Fn(&[i128]) -> i128| {
                let expected = as_units(integral(&all, value));
                assert!(
                    (found - expected).abs() < TOLERANCE,
                    "round {round}: {found} for {expected}"
                );
            };
            let cover = |w: &[i128]| w[1..].iter().sum::<i128>();
            expect(found(0, OUTSIDE), &|w| w[0] * i128::from(cover(w) == 0));
            expect(found(0, OVERLAP), &|w| w[0] * (cover(w) - 1).max(0));
            for shape in &b {
                let place = 1 + shape.label as usize;
                expect(found(0, shape.label), &|w| w[0] * w[place]);
                expect(found(OUTSIDE, shape.label), &|w| (1 - w[0]) * w[place]);
            }
        }
    }
}

/// Twice the area of polygons whose holes run the other way, in square grid units.
fn area_of_polygons(polygons: &[Polygon]) -> f64 {
    let unit = CROSSING_UNITS as f64;
    let origin = polygons[0][0][0];
    polygons
        .iter()
        .flatten()
        .flat_map(|ring| ring.windows(2))
        .map(|pair| {
            let [p, q] = [pair[0], pair[1]]
                .map(|p| [0, 1].map(|axis| (p[axis] - origin[axis]) as f64 / unit));
            (p[0] * q[1] - q[0] * p[1]) / 2.0
        })
        .sum()
}

#[test]
fn pieces_have_the_areas_of_the_table() {
    let mut numbers = Numbers(0x5eed_0002);
    for round in 0..3000 {
        let (a, b) = (
            triangles(&mut numbers, 1 + round % 2),
            triangles(&mut numbers, 1 + round % 4),
        );
        let layers = || vec![layer(&a, scaled), stacked(&b)];
        let engine = Overlay::new(layers(), Options::default()).unwrap();
        let table = engine.areas().unwrap();
        let mut lines = Lines::of(0);
        for unit in engine.units() {
            engine.trace(&unit, &mut lines).unwrap();
        }
        let pieces = lines.into_pieces(false, |_| true);
        for (labels, area) in table.rows() {
            if labels[0] == OUTSIDE || labels[1] == OVERLAP || area.abs() < TOLERANCE {
                continue;
            }
            let piece = pieces.iter().find(|piece| piece.labels == labels);
            let piece = piece.unwrap_or_else(|| panic!("round {round}: no piece {labels:?}"));
            let found = match &piece.polygons {
                Some(polygons) => area_of_polygons(polygons),
                None => as_units(oracle(&[&a[labels[0] as usize]])),
            };
            assert!(
                (found - area).abs() < TOLERANCE,
                "round {round}: {found} for {area}, {labels:?}"
            );
        }
    }
}

#[test]
fn pieces_of_coverages_are_rings_that_meet_only_at_points() {
    let (a, b) = (coverage(15, 1000, 0), coverage(7, 1900, 311));
    let layers = vec![layer(&a, as_given), layer(&b, as_given)];
    let engine = Overlay::new(layers, Options::default()).unwrap();
    let mut lines = Lines::of(0);
    for unit in engine.units() {
        engine.trace(&unit, &mut lines).unwrap();
    }
    let pieces = lines.into_pieces(false, |labels| labels[1] != OUTSIDE);
    assert!(pieces.iter().any(|piece| piece.polygons.is_none()));
    assert!(pieces.iter().any(|piece| piece.polygons.is_some()));
    for ring in pieces.iter().flat_map(|p| &p.polygons).flatten().flatten() {
        let mut points = ring[1..].to_vec();
        points.sort_unstable();
        points.dedup();
        assert_eq!(points.len(), ring.len() - 1);
    }
}

/// A lattice of `n` × `n` cells with bent borders, the corner shared by four neighbours.
fn coverage(n: i64, step: i64, offset: i64) -> Vec<Shape> {
    let node = |i: i64, j: i64| {
        [
            i * step + (i * 7 + j * 13) % 5 * step / 20 + offset,
            j * step + (i * 11 + j * 3) % 5 * step / 20 + offset,
        ]
    };
    let mut shapes = Vec::new();
    for i in 0..n {
        for j in 0..n {
            let ring = vec![
                node(i, j),
                node(i + 1, j),
                node(i + 1, j + 1),
                node(i, j + 1),
            ];
            shapes.push(Shape {
                label: (i * n + j) as u32,
                ring,
            });
        }
    }
    shapes
}

fn as_given(p: GridPoint) -> GridPoint {
    p
}

#[test]
fn cell_sizes_and_the_order_of_units_do_not_change_a_single_bit() {
    let (a, b) = (coverage(40, 1000, 0), coverage(23, 1700, 311));
    let reference = overlay(&[&a, &b], Options::default(), as_given).rows_exact();
    for edges_per_cell in [0.1, 0.5, 3.0, 50.0, 1e9] {
        let rows = overlay(&[&a, &b], Options { edges_per_cell }, as_given).rows_exact();
        assert_eq!(rows, reference, "{edges_per_cell} edges per cell");
    }
    let layers = vec![layer(&a, as_given), layer(&b, as_given)];
    let engine = Overlay::new(layers, Options::default()).unwrap();
    let mut parts = Vec::new();
    for unit in engine.units() {
        let mut table = AreaTable::default();
        engine.run(&unit, &mut table).unwrap();
        parts.push(table);
    }
    let mut total = AreaTable::default();
    parts.into_iter().rev().for_each(|part| total.merge(part));
    assert_eq!(total.rows_exact(), reference);
}

#[test]
fn moving_turning_mirroring_and_swapping_keep_areas() {
    let (a, b) = (coverage(12, 1000, 0), coverage(7, 1900, 311));
    let reference = overlay(&[&a, &b], Options::default(), as_given);
    let moves: [fn(GridPoint) -> GridPoint; 4] = [
        |p| [p[0] + 123_456_789_012, p[1] - 98_765_432_109],
        |p| [-p[1], p[0]],
        |p| [-p[0], p[1]],
        |p| [p[1], p[0]],
    ];
    for (number, place) in moves.into_iter().enumerate() {
        let moved = overlay(&[&a, &b], Options::default(), place);
        for (labels, area) in reference.rows().iter().filter(|row| row.1.abs() > 1.0) {
            let found = area_of(&moved, &labels[..2]);
            assert!(
                (found - area).abs() < 0.1,
                "move {number}: {found} for {area}"
            );
        }
    }
    let swapped = overlay(&[&b, &a], Options::default(), as_given);
    for (labels, area) in reference.rows().iter().filter(|row| row.1.abs() > 1.0) {
        let found = area_of(&swapped, &[labels[1], labels[0]]);
        assert!((found - area).abs() < 0.1, "{found} for {area}");
    }
}

#[test]
fn a_layer_over_itself_has_only_equal_pairs() {
    let a = coverage(30, 1000, 0);
    let table = overlay(&[&a, &a], Options::default(), as_given);
    for (labels, area) in table.rows() {
        assert_eq!(labels[0], labels[1], "{labels:?} has {area}");
    }
    assert_eq!(table.rows().len(), a.len());
}

#[test]
fn classes_give_the_sums_of_their_features() {
    let (a, b) = (coverage(30, 1000, 0), coverage(11, 2900, 311));
    let classed: Vec<Shape> = a
        .iter()
        .map(|shape| Shape {
            label: shape.label % 3,
            ring: shape.ring.clone(),
        })
        .collect();
    let by_feature = overlay(&[&a, &b], Options::default(), as_given);
    let by_class = overlay(&[&classed, &b], Options::default(), as_given);
    for zone in 0..121 {
        for class in 0..3 {
            let rows = by_feature.rows();
            let sum: f64 = rows
                .iter()
                .filter(|row| row.0[0] != OUTSIDE && row.0[0] % 3 == class && row.0[1] == zone)
                .map(|row| row.1)
                .sum();
            assert!((sum - area_of(&by_class, &[class, zone])).abs() < 0.1);
        }
    }
}

#[test]
fn vertices_on_a_straight_border_change_nothing() {
    let square = |points: &[GridPoint]| {
        vec![Shape {
            label: 0,
            ring: points.to_vec(),
        }]
    };
    let plain = square(&[[0, 0], [100, 0], [100, 100], [0, 100]]);
    let dotted = square(&[
        [0, 0],
        [30, 0],
        [60, 0],
        [100, 0],
        [100, 50],
        [100, 100],
        [50, 100],
        [0, 100],
    ]);
    let other = square(&[[50, 0], [150, 0], [150, 100], [50, 100]]);
    let rows = overlay(&[&plain, &other], Options::default(), as_given).rows_exact();
    assert_eq!(
        overlay(&[&dotted, &other], Options::default(), as_given).rows_exact(),
        rows
    );
    assert_eq!(
        area_of(
            &overlay(&[&dotted, &other], Options::default(), as_given),
            &[0, 0]
        ),
        5000.0
    );
}

#[test]
fn borders_that_differ_by_one_unit_give_slivers_and_no_more() {
    // The case of shapely#1871: two polygons that share a border but for the last digit.
    let a = vec![Shape {
        label: 0,
        ring: vec![[0, 0], [1_000_000, 1], [0, 1_000_000]],
    }];
    let b = vec![Shape {
        label: 0,
        ring: vec![[0, 0], [1_000_000, 0], [500_000, -700_000]],
    }];
    let touching = area_of(&overlay(&[&a, &b], Options::default(), as_given), &[0, 0]);
    assert!(touching.abs() < 20.0, "{touching}");
    let c = vec![Shape {
        label: 0,
        ring: vec![[0, 0], [1_000_000, 2], [500_000, -700_000]],
    }];
    let sliver = area_of(&overlay(&[&a, &c], Options::default(), as_given), &[0, 0]);
    assert!((sliver - 500_000.0).abs() < 20.0, "{sliver}");
}

#[test]
fn rings_nested_fifty_deep_alternate() {
    let mut builder = LayerBuilder::default();
    let square = |half: i64| [[-half, -half], [half, -half], [half, half], [-half, half]];
    let mut expected = 0;
    for depth in 0..50i64 {
        let half = 1000 - 10 * depth;
        let role = if depth % 2 == 0 {
            RingRole::Shell
        } else {
            RingRole::Hole
        };
        builder.push_ring(7, role, square(half)).unwrap();
        expected += if depth % 2 == 0 { 1 } else { -1 } * (2 * half) * (2 * half);
    }
    let all = vec![Shape {
        label: 0,
        ring: square(5000).to_vec(),
    }];
    let layers = vec![builder.finish(), layer(&all, as_given)];
    let table = Overlay::new(layers, Options::default())
        .unwrap()
        .areas()
        .unwrap();
    assert_eq!(area_of(&table, &[7, 0]), expected as f64);
    assert_eq!(
        area_of(&table, &[OUTSIDE, 0]),
        (10_000 * 10_000 - expected) as f64
    );
}

#[test]
fn a_ring_of_a_million_vertices_is_cut_like_any_other() {
    let count = 1_000_000i64;
    let ring: Vec<GridPoint> = (0..count)
        .map(|i| {
            let angle = i as f64 / count as f64 * std::f64::consts::TAU;
            let radius = 4e8 + 1e5 * f64::from(i as i32 % 17);
            [(radius * angle.cos()) as i64, (radius * angle.sin()) as i64]
        })
        .collect();
    let twice: i128 = (0..ring.len())
        .map(|i| {
            let (p, q) = (ring[i], ring[(i + 1) % ring.len()]);
            i128::from(p[0] + q[0]) * i128::from(q[1] - p[1])
        })
        .sum();
    let far = 1 << 30;
    let halves = vec![
        Shape {
            label: 0,
            ring: vec![[-far, -far], [0, -far], [0, far], [-far, far]],
        },
        Shape {
            label: 1,
            ring: vec![[0, -far], [far, -far], [far, far], [0, far]],
        },
    ];
    let star = vec![Shape { label: 0, ring }];
    let table = overlay(&[&star, &halves], Options::default(), as_given);
    let sum: f64 = table
        .rows()
        .iter()
        .filter(|row| row.0[0] == 0)
        .map(|row| row.1)
        .sum();
    assert!((sum / (twice as f64 / 2.0) - 1.0).abs() < 1e-13, "{sum}");
    assert_eq!(area_of(&table, &[0, OUTSIDE]), 0.0);
}

#[test]
fn long_edges_at_the_edge_of_the_frame_are_exact_too() {
    let m = MAX_COORDINATE;
    let all = vec![Shape {
        label: 0,
        ring: vec![[-m, -m], [m, -m], [m, m], [-m, m]],
    }];
    let half = vec![Shape {
        label: 0,
        ring: vec![[-m, -m], [m, -m], [m, m]],
    }];
    let table = overlay(&[&all, &half], Options::default(), as_given);
    let exact = 2 * i128::from(m) * i128::from(m);
    assert_eq!(area_of(&table, &[0, 0]), exact as f64);
    assert_eq!(area_of(&table, &[0, OUTSIDE]), exact as f64);
    let beyond =
        LayerBuilder::default().push_ring(0, RingRole::Shell, [[0, 0], [m + 1, 0], [0, 1]]);
    assert_eq!(
        beyond,
        Err(OverlayError::BeyondFrame {
            label: 0,
            point: [m + 1, 0]
        })
    );
}

#[test]
fn empty_layers_and_rings_without_area_are_fine() {
    let square = vec![Shape {
        label: 3,
        ring: vec![[0, 0], [10, 0], [10, 10], [0, 10]],
    }];
    let table = overlay(&[&square, &[]], Options::default(), as_given);
    assert_eq!(area_of(&table, &[3, OUTSIDE]), 100.0);
    assert_eq!(table.rows().len(), 1);
    let nothing = [
        Shape {
            label: 0,
            ring: vec![],
        },
        Shape {
            label: 1,
            ring: vec![[5, 5]],
        },
        Shape {
            label: 2,
            ring: vec![[5, 5], [5, 5], [5, 5]],
        },
        Shape {
            label: 3,
            ring: vec![[0, 0], [5, 5], [0, 0]],
        },
        Shape {
            label: 4,
            ring: vec![[0, 0], [9, 0], [3, 0]],
        },
    ];
    let table = overlay(&[&square, &nothing], Options::default(), as_given);
    assert_eq!(area_of(&table, &[3, OUTSIDE]), 100.0);
    assert_eq!(in_square_grid_units(table.rows_exact()[0].1), 100.0);
    let one = Overlay::new(vec![layer(&square, as_given)], Options::default());
    assert_eq!(one.err(), Some(OverlayError::LayerCount { found: 1 }));
}

#[test]
fn polygons_of_one_layer_that_overlap_each_count_in_full() {
    let square = |label, west: i64| Shape {
        label,
        ring: vec![[west, 0], [west + 10, 0], [west + 10, 10], [west, 10]],
    };
    let parcels = [square(0, 0)];
    let rights = [square(0, 0), square(1, 5), square(2, 0)];
    let table = overlay(&[&parcels, &rights], Options::default(), as_given);
    assert_eq!(area_of(&table, &[0, 0]), 100.0);
    assert_eq!(area_of(&table, &[0, 1]), 50.0);
    assert_eq!(area_of(&table, &[0, 2]), 100.0);
    assert_eq!(area_of(&table, &[0, OUTSIDE]), -150.0);
}

#[test]
fn a_vertical_edge_beside_the_border_of_a_cell_is_found_all_along() {
    // Cells are four units wide; the edge at x = 3 belongs into those on both sides of x = 4.
    let first = [
        vec![[6, 5], [3, 6], [7, 3], [5, 7], [0, 1]],
        vec![[7, 4], [3, 7], [3, 1], [3, 2]],
    ];
    let second = vec![[1, 6], [2, 2], [6, 4], [5, 7], [2, 5]];
    let shapes = |rings: &[Vec<GridPoint>]| -> Vec<Shape> {
        let shape = |ring: &Vec<GridPoint>| Shape {
            label: 0,
            ring: ring.clone(),
        };
        rings.iter().map(shape).collect()
    };
    let overlay_with = |edges_per_cell| {
        let layers = vec![
            layer(&shapes(&first), as_given),
            layer(&shapes(std::slice::from_ref(&second)), as_given),
        ];
        let overlay = Overlay::new(layers, Options { edges_per_cell }).unwrap();
        overlay.areas().map(|table| table.rows_exact())
    };
    assert_eq!(overlay_with(1.0), overlay_with(1000.0));
}
