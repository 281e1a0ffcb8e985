//! What an import does to a shape: mended where no boundary moves, reported where something is
//! wrong, untouched where nothing is.

use onemap::crs::Crs;
use onemap::geom::{Geometry, GeometryType};
use onemap::ingest::check::{Checked, Context, check};
use onemap::model::{IssueCode, Severity};
use onemap::source::Winding;

/// Degrees, so that small numbers are within the area of use.
fn degrees() -> Context {
    Context::new(&Crs::from_user("EPSG:4326").expect("PROJ knows WGS 84"))
}

fn zone39() -> Context {
    Context::new(&Crs::from_user("EPSG:4527").expect("PROJ knows zone 39"))
}

type Ring = Vec<[f64; 2]>;

fn ring(points: &[[f64; 2]]) -> Ring {
    points.to_vec()
}

fn square(x: f64, y: f64, size: f64) -> Ring {
    ring(&[
        [x, y],
        [x + size, y],
        [x + size, y + size],
        [x, y + size],
        [x, y],
    ])
}

fn turned(mut points: Ring) -> Ring {
    points.reverse();
    points
}

fn multi(polygons: &[&[Ring]]) -> Geometry {
    let mut geometry = Geometry::new(if polygons.len() == 1 {
        GeometryType::Polygon
    } else {
        GeometryType::MultiPolygon
    });
    for polygon in polygons {
        for ring in *polygon {
            geometry.push_ring(ring.iter().copied());
        }
        geometry.close_part();
    }
    geometry
}

fn checked(geometry: Geometry) -> Checked {
    check(geometry, 7, &degrees())
}

/// Codes and severities found, in order.
fn codes(checked: &Checked) -> Vec<(IssueCode, Severity)> {
    checked
        .issues
        .iter()
        .map(|issue| (issue.code, issue.severity))
        .collect()
}

fn points(geometry: &Geometry) -> Ring {
    geometry
        .xy
        .chunks_exact(2)
        .map(|point| [point[0], point[1]])
        .collect()
}

#[track_caller]
fn assert_mended(given: Geometry, code: IssueCode, expected: &Geometry) {
    let result = checked(given);
    assert_eq!(codes(&result), [(code, Severity::Repaired)]);
    assert!(result.repaired);
    assert_eq!(result.geometry.as_ref(), Some(expected));
    assert_eq!(result.issues[0].feature, Some(7));
    assert!(result.issues[0].place.is_some());
    // What was mended once is in order.
    let again = checked(expected.clone());
    assert_eq!(
        (again.geometry.as_ref(), again.issues),
        (Some(expected), vec![])
    );
}

#[track_caller]
fn assert_rejected(given: Geometry, code: IssueCode) {
    let result = checked(given);
    assert!(result.geometry.is_none());
    assert!(!result.repaired);
    assert!(
        codes(&result).contains(&(code, Severity::Rejected)),
        "{:?}",
        codes(&result)
    );
}

#[track_caller]
fn assert_kept(given: Geometry, context: &Context, code: IssueCode) {
    let result = check(given.clone(), 7, context);
    assert_eq!(codes(&result), [(code, Severity::Kept)]);
    assert_eq!(result.geometry, Some(given));
    assert!(!result.repaired);
}

#[test]
fn a_sound_shape_comes_back_as_it_was() {
    let sound = multi(&[
        &[square(0., 0., 4.), turned(square(1., 1., 1.))],
        &[square(10., 0., 4.)],
    ]);
    let result = checked(sound.clone());
    assert_eq!(
        (result.geometry, result.repaired, result.issues),
        (Some(sound), false, vec![])
    );
}

#[test]
fn an_unclosed_ring_is_closed() {
    let mut open = square(0., 0., 4.);
    open.pop();
    assert_mended(
        multi(&[&[open]]),
        IssueCode::UnclosedRing,
        &multi(&[&[square(0., 0., 4.)]]),
    );
}

#[test]
fn repeated_points_are_dropped() {
    let given = ring(&[
        [0., 0.],
        [4., 0.],
        [4., 0.],
        [4., 4.],
        [0., 4.],
        [0., 4.],
        [0., 0.],
        [0., 0.],
    ]);
    assert_mended(
        multi(&[&[given]]),
        IssueCode::DuplicatePoints,
        &multi(&[&[square(0., 0., 4.)]]),
    );
}

#[test]
fn the_tip_of_a_spike_is_dropped_wherever_the_ring_starts() {
    let with_spike = [[0., 0.], [4., 0.], [9., 0.], [4., 0.], [4., 4.], [0., 4.]];
    for start in 0..with_spike.len() {
        let mut given: Ring = with_spike.to_vec();
        given.rotate_left(start);
        given.push(given[0]);
        let result = checked(multi(&[&[given]]));
        assert!(
            codes(&result).contains(&(IssueCode::Spike, Severity::Repaired)),
            "{start}"
        );
        let geometry = result.geometry.expect("the square remains");
        assert_eq!(geometry.area(), 16.0, "{start}");
        let mut kept = points(&geometry);
        kept.pop();
        kept.sort_by(|a, b| a.partial_cmp(b).expect("finite"));
        assert_eq!(kept, [[0., 0.], [0., 4.], [4., 0.], [4., 4.]], "{start}");
    }
}

#[test]
fn a_narrow_but_real_tongue_is_not_a_spike() {
    let tongue = ring(&[
        [0., 0.],
        [4., 0.],
        [9., 1e-9],
        [4., 1e-9],
        [4., 4.],
        [0., 4.],
        [0., 0.],
    ]);
    let given = multi(&[&[tongue]]);
    let result = checked(given.clone());
    assert_eq!((result.geometry, result.issues), (Some(given), vec![]));
}

#[test]
fn rings_with_too_few_points_are_left_out_and_alone_rejected() {
    let line = ring(&[[1., 1.], [2., 2.], [1., 1.]]);
    assert_rejected(
        multi(&[std::slice::from_ref(&line)]),
        IssueCode::TooFewPoints,
    );
    assert_rejected(multi(&[&[ring(&[[1., 1.]])]]), IssueCode::TooFewPoints);
    let flat = ring(&[[0., 0.], [1., 0.], [3., 0.], [2., 0.], [0., 0.]]);
    assert_rejected(multi(&[&[flat]]), IssueCode::TooFewPoints);
    assert_mended(
        multi(&[&[square(0., 0., 4.), line]]),
        IssueCode::TooFewPoints,
        &multi(&[&[square(0., 0., 4.)]]),
    );
}

#[test]
fn winding_is_made_uniform_and_reported_only_against_the_rule_of_the_format() {
    let turned_shell = multi(&[&[turned(square(0., 0., 4.))]]);
    let right = multi(&[&[square(0., 0., 4.)]]);
    for (winding, wrong) in [
        (Winding::Free, false),
        (Winding::ShellClockwise, false),
        (Winding::ShellCounterClockwise, true),
    ] {
        let result = check(turned_shell.clone(), 7, &degrees().with_winding(winding));
        assert_eq!(result.geometry.as_ref(), Some(&right), "{winding:?}");
        assert_eq!(result.repaired, wrong, "{winding:?}");
        let found = codes(&result).contains(&(IssueCode::WrongOrientation, Severity::Repaired));
        assert_eq!(found, wrong, "{winding:?}");
    }
}

#[test]
fn a_bow_tie_is_split_at_its_crossing() {
    let bow_tie = ring(&[[0., 0.], [2., 2.], [2., 0.], [0., 2.], [0., 0.]]);
    let result = checked(multi(&[&[bow_tie]]));
    assert_eq!(
        codes(&result),
        [(IssueCode::SelfIntersection, Severity::Repaired)]
    );
    assert_eq!(result.issues[0].place, Some([1.0, 1.0]));
    let geometry = result.geometry.expect("two triangles");
    assert_eq!(
        (geometry.kind, geometry.parts.len()),
        (GeometryType::MultiPolygon, 2)
    );
    assert_eq!(geometry.area(), 2.0);
}

#[test]
fn a_loop_wound_twice_stays_filled() {
    // A digitiser's pigtail: the corner at 4,4 is passed with a small loop inside.
    let pigtail = ring(&[
        [0., 0.],
        [4., 0.],
        [4., 4.],
        [3., 4.],
        [3., 3.5],
        [4.5, 3.5],
        [4.5, 4.5],
        [0., 4.5],
        [0., 0.],
    ]);
    let result = checked(multi(&[&[pigtail]]));
    assert_eq!(
        codes(&result),
        [(IssueCode::SelfIntersection, Severity::Repaired)]
    );
    let geometry = result.geometry.expect("an outline");
    let inside_loop = onemap::geom::boundary::Boundary::new(&geometry);
    assert_eq!(
        inside_loop.rings_around([3.5, 3.75], None).map(|r| r.len()),
        Some(1)
    );
}

#[test]
fn heights_survive_mending() {
    let mut given = multi(&[&[turned(square(0., 0., 4.))]]);
    given.z = vec![1., 2., 3., 4., 1.];
    let result = checked(given);
    assert_eq!(result.geometry.expect("a square").z, [1., 4., 3., 2., 1.]);
}

#[test]
fn a_hole_outside_its_shell_goes_where_it_lies() {
    let elsewhere = multi(&[&[square(0., 0., 4.), turned(square(10., 0., 1.))]]);
    let result = checked(elsewhere);
    assert_eq!(
        codes(&result),
        [(IssueCode::HoleOutsideShell, Severity::Repaired)]
    );
    assert_eq!(
        result.geometry,
        Some(multi(&[&[square(0., 0., 4.)], &[square(10., 0., 1.)]]))
    );

    let in_other_part = multi(&[
        &[square(0., 0., 4.), turned(square(11., 1., 1.))],
        &[square(10., 0., 4.)],
    ]);
    let result = checked(in_other_part);
    assert_eq!(
        codes(&result),
        [(IssueCode::HoleOutsideShell, Severity::Repaired)]
    );
    assert_eq!(
        result.geometry,
        Some(multi(&[
            &[square(0., 0., 4.)],
            &[square(10., 0., 4.), turned(square(11., 1., 1.))],
        ]))
    );
}

#[test]
fn a_hole_within_a_hole_is_left_out() {
    let given = multi(&[&[
        square(0., 0., 9.),
        turned(square(1., 1., 5.)),
        turned(square(2., 2., 1.)),
    ]]);
    let result = checked(given);
    assert_eq!(
        codes(&result),
        [(IssueCode::HoleOutsideShell, Severity::Repaired)]
    );
    assert_eq!(
        result.geometry,
        Some(multi(&[&[square(0., 0., 9.), turned(square(1., 1., 5.))]]))
    );
}

#[test]
fn an_island_in_a_hole_is_sound_and_a_part_within_a_part_is_reported() {
    let island = multi(&[
        &[square(0., 0., 9.), turned(square(1., 1., 5.))],
        &[square(2., 2., 1.)],
    ]);
    let result = checked(island.clone());
    assert_eq!((result.geometry, result.issues), (Some(island), vec![]));
    assert_kept(
        multi(&[&[square(0., 0., 9.)], &[square(2., 2., 1.)]]),
        &degrees(),
        IssueCode::NestedShells,
    );
}

#[test]
fn parts_that_overlap_are_kept_and_reported() {
    assert_kept(
        multi(&[&[square(0., 0., 4.)], &[square(2., 2., 4.)]]),
        &degrees(),
        IssueCode::OverlappingParts,
    );
}

#[test]
fn a_hole_touching_its_shell_in_a_point_is_sound_and_one_cutting_it_in_two_is_split() {
    let touching = ring(&[[0., 2.], [1., 3.], [1., 1.], [0., 2.]]);
    let given = multi(&[&[square(0., 0., 4.), touching]]);
    let result = checked(given.clone());
    assert_eq!((result.geometry, result.issues), (Some(given), vec![]));
    let dividing = ring(&[[0., 2.], [2., 3.], [4., 2.], [2., 1.], [0., 2.]]);
    let result = checked(multi(&[&[square(0., 0., 4.), dividing]]));
    assert_eq!(
        codes(&result),
        [(IssueCode::SelfIntersection, Severity::Repaired)]
    );
    let geometry = result.geometry.expect("an upper and a lower half");
    assert_eq!((geometry.parts.len(), geometry.area()), (2, 12.0));
}

#[test]
fn coordinates_that_are_no_numbers_reject_the_feature() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
        let mut given = multi(&[&[square(0., 0., 4.)]]);
        given.xy[3] = bad;
        assert_rejected(given, IssueCode::NotFinite);
        assert_rejected(Geometry::point(1.0, bad), IssueCode::NotFinite);
    }
}

#[test]
fn lines_lose_repeated_points_and_need_two() {
    let mut line = Geometry::new(GeometryType::LineString);
    line.push_ring([[0., 0.], [0., 0.], [1., 1.]]);
    let result = checked(line);
    assert_eq!(
        codes(&result),
        [(IssueCode::DuplicatePoints, Severity::Repaired)]
    );
    assert_eq!(
        points(&result.geometry.expect("a line")),
        [[0., 0.], [1., 1.]]
    );
    let mut dot = Geometry::new(GeometryType::LineString);
    dot.push_ring([[0., 0.], [0., 0.]]);
    assert_rejected(dot, IssueCode::TooFewPoints);
}

#[test]
fn places_beyond_the_area_of_use_and_exchanged_axes_are_told_apart() {
    let context = zone39();
    assert_kept(
        multi(&[&[square(1000., 1000., 4.)]]),
        &context,
        IssueCode::OutsideCrsArea,
    );
    assert_kept(
        multi(&[&[square(3_300_000., 39_490_000., 4.)]]),
        &context,
        IssueCode::AxisOrderSuspect,
    );
    let right = multi(&[&[square(39_490_000., 3_300_000., 4.)]]);
    assert_eq!(check(right, 7, &context).issues, []);
    let cgcs2000 = Context::new(&Crs::from_user("4490").expect("PROJ knows CGCS2000"));
    assert_kept(
        Geometry::point(30.0, 120.0),
        &cgcs2000,
        IssueCode::AxisOrderSuspect,
    );
    assert_kept(
        Geometry::point(-70.0, -30.0),
        &cgcs2000,
        IssueCode::OutsideCrsArea,
    );
}

#[test]
fn an_edge_across_the_antimeridian_is_reported_and_the_pole_is_a_place() {
    let across = multi(&[&[ring(&[
        [-179., 0.],
        [179., 0.],
        [179., 1.],
        [-179., 1.],
        [-179., 0.],
    ])]]);
    assert_kept(across, &degrees(), IssueCode::AntimeridianCrossed);
    let polar_cap = multi(&[&[ring(&[
        [-180., 80.],
        [0., 80.],
        [180., 80.],
        [180., 90.],
        [-180., 90.],
        [-180., 80.],
    ])]]);
    assert_kept(polar_cap, &degrees(), IssueCode::AntimeridianCrossed);
    assert_eq!(checked(Geometry::point(0.0, 90.0)).issues, []);
}

/// A jagged outline of many vertices that does not cross itself.
fn coast(vertices: usize) -> Ring {
    let mut points: Ring = (0..vertices)
        .map(|i| {
            let t = i as f64 / vertices as f64 * std::f64::consts::TAU;
            let jag = if i % 2 == 0 {
                1.0
            } else {
                1.0 + 3.0 / vertices as f64
            };
            let r = 40.0 * (1.0 + 0.3 * (t * 97.0).sin()) * jag;
            [r * t.cos(), r * t.sin()]
        })
        .collect();
    points.push(points[0]);
    points
}

#[test]
fn a_ring_of_a_million_vertices_is_checked_like_any_other() {
    let sound = multi(&[&[coast(1_000_000)]]);
    let result = checked(sound.clone());
    assert_eq!(codes(&result), []);
    assert!(result.geometry == Some(sound));
    let mut crossing = coast(1_000_000);
    crossing.swap(500_000, 500_003);
    let result = checked(multi(&[&[crossing]]));
    assert_eq!(
        codes(&result),
        [(IssueCode::SelfIntersection, Severity::Repaired)]
    );
    assert!(result.issues[0].place.is_some());
}

#[test]
fn a_scribble_whose_edges_all_overlap_ends_in_bounded_time() {
    let count = 50_000;
    let mut star: Ring = (0..count)
        .map(|i| {
            let t = (i as f64 / count as f64) * std::f64::consts::TAU;
            let r = if i % 2 == 0 { 1e-3 } else { 60.0 };
            [r * t.cos(), r * t.sin()]
        })
        .collect();
    star.push(star[0]);
    let result = checked(multi(&[&[star.clone()]]));
    assert!(result.geometry.is_some());
    for issue in &result.issues {
        assert_eq!(issue.code, IssueCode::SelfIntersection, "{issue:?}");
    }
}
