//! The test sets of other overlay engines: no panics, and areas that add up.
//!
//! Reads `overlay-cases.tsv` in the directory `ONEMAP_TEST_DATA`, which
//! `scripts/overlay-external.py` makes from checkouts of those projects; without it there is
//! nothing to do. Many inputs are invalid on purpose: areas count windings then, as defined.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::Path;

use onemap::overlay::{
    AreaTable, CROSSING_UNITS, GridPoint, LayerBuilder, LayerEdges, Lines, OUTSIDE, Options,
    Overlay, RingRole,
};

type Shape = Vec<Vec<Vec<[f64; 2]>>>;

/// The larger side of a case in grid units.
const SIDE: f64 = (1u64 << 36) as f64;

#[derive(Default)]
struct Tally {
    cases: u32,
    not_finite: u32,
    panics: Vec<String>,
    broken: Vec<String>,
    /// Cases in which no place is wound about more than once, whose pieces were drawn as well.
    drawn: u32,
}

#[test]
fn sets_of_other_engines_add_up() {
    let Some(dir) = std::env::var_os("ONEMAP_TEST_DATA") else {
        return;
    };
    let Ok(text) = std::fs::read_to_string(Path::new(&dir).join("overlay-cases.tsv")) else {
        return;
    };
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let [set, name, a, b] = cells[..] else {
            panic!("a case has four cells: {line:.80}")
        };
        let tally = tallies.entry(set.to_string()).or_default();
        let parse = |text: &str| serde_json::from_str::<Shape>(&text.replace("NaN", "null"));
        let (Ok(a), Ok(b)) = (parse(a), parse(b)) else {
            tally.not_finite += 1;
            continue;
        };
        let (Some(a), Some(b)) = on_grid(a, b) else {
            tally.not_finite += 1;
            continue;
        };
        tally.cases += 1;
        match catch_unwind(|| check(&a, &b)) {
            Err(_) => tally.panics.push(name.to_string()),
            Ok(Err(reason)) => tally.broken.push(format!("{name}: {reason}")),
            Ok(Ok(drawn)) => tally.drawn += u32::from(drawn),
        }
    }
    println!("| set | cases | without coordinates | panics | broken identities | pieces drawn |");
    println!("|---|---|---|---|---|---|");
    let mut wrong = Vec::new();
    for (set, tally) in tallies {
        println!(
            "| {set} | {} | {} | {} | {} | {} |",
            tally.cases,
            tally.not_finite,
            tally.panics.len(),
            tally.broken.len(),
            tally.drawn
        );
        wrong.extend(tally.panics.into_iter().chain(tally.broken));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Both shapes on one grid about their common middle; `None` where a coordinate is not finite.
fn on_grid(a: Shape, b: Shape) -> (Option<GridShape>, Option<GridShape>) {
    let all = || a.iter().chain(&b).flatten().flatten();
    let mut low = [f64::INFINITY; 2];
    let mut high = [f64::NEG_INFINITY; 2];
    for point in all() {
        for axis in 0..2 {
            low[axis] = low[axis].min(point[axis]);
            high[axis] = high[axis].max(point[axis]);
        }
    }
    let side = (high[0] - low[0]).max(high[1] - low[1]);
    if !side.is_finite() || side <= 0.0 || all().any(|p| !(p[0].is_finite() && p[1].is_finite())) {
        return (None, None);
    }
    let scale = SIDE / side;
    let place = |shape: &Shape| -> GridShape {
        let point =
            |p: &[f64; 2]| [0, 1].map(|axis| ((p[axis] - low[axis]) * scale).round() as i64);
        let ring = |ring: &Vec<[f64; 2]>| ring.iter().map(point).collect();
        shape
            .iter()
            .map(|polygon| polygon.iter().map(ring).collect())
            .collect()
    };
    (Some(place(&a)), Some(place(&b)))
}

type GridShape = Vec<Vec<Vec<GridPoint>>>;

fn layer(shape: &GridShape) -> LayerEdges {
    let mut builder = LayerBuilder::default();
    for polygon in shape {
        for (number, ring) in polygon.iter().enumerate() {
            let role = if number == 0 {
                RingRole::Shell
            } else {
                RingRole::Hole
            };
            builder.push_ring(0, role, ring.iter().copied()).unwrap();
        }
    }
    builder.finish()
}

/// Area by the shoelace formula: shells positive, holes negative.
fn own_area(shape: &GridShape) -> f64 {
    let mut twice = 0i128;
    for polygon in shape {
        for (number, ring) in polygon.iter().enumerate() {
            let sum: i128 = (0..ring.len())
                .map(|i| {
                    let (p, q) = (ring[i], ring[(i + 1) % ring.len()]);
                    i128::from(p[0] + q[0]) * i128::from(q[1] - p[1])
                })
                .sum();
            twice += if number == 0 { sum.abs() } else { -sum.abs() };
        }
    }
    twice as f64 / 2.0
}

fn sum(table: &AreaTable, wanted: impl Fn(&[u32]) -> bool) -> f64 {
    let rows = table.rows();
    rows.iter()
        .filter(|row| wanted(&row.0[..2]))
        .map(|row| row.1)
        .sum()
}

fn check(a: &GridShape, b: &GridShape) -> Result<bool, String> {
    let options = Options::default();
    let engine = Overlay::new(vec![layer(a), layer(b)], options).map_err(|e| e.to_string())?;
    let table = engine.areas().map_err(|e| e.to_string())?;
    let swapped = Overlay::new(vec![layer(b), layer(a)], options)
        .and_then(|engine| engine.areas())
        .map_err(|e| e.to_string())?;
    let length: f64 = [a, b]
        .into_iter()
        .flatten()
        .flatten()
        .flat_map(|ring| ring.windows(2))
        .map(|w| ((w[1][0] - w[0][0]) as f64).hypot((w[1][1] - w[0][1]) as f64))
        .sum();
    // Crossings are rounded to 2⁻¹⁶; sums of areas of this size have 53 bits.
    let tolerance = length / 16_384.0 + 1e-9 * SIDE * SIDE * 1e-3 + 16.0;
    let same = |what: &str, found: f64, expected: f64| {
        if (found - expected).abs() <= tolerance {
            Ok(())
        } else {
            Err(format!("{what}: {found} for {expected}"))
        }
    };
    same("|A|", sum(&table, |l| l[0] == 0), own_area(a))?;
    same("|B|", sum(&table, |l| l[1] == 0), own_area(b))?;
    let both = sum(&table, |l| l[0] == 0 && l[1] == 0);
    same(
        "A−B",
        sum(&table, |l| l[0] == 0 && l[1] == OUTSIDE),
        own_area(a) - both,
    )?;
    same(
        "B−A",
        sum(&table, |l| l[0] == OUTSIDE && l[1] == 0),
        own_area(b) - both,
    )?;
    same("B∩A", sum(&swapped, |l| l[0] == 0 && l[1] == 0), both)?;
    if !engine.overlapping(None).is_empty() {
        return Ok(false);
    }
    let mut lines = Lines::of(0);
    for unit in engine.units() {
        engine.trace(&unit, &mut lines).map_err(|e| e.to_string())?;
    }
    for piece in lines.into_pieces(true, |_| true) {
        let drawn: f64 = piece
            .polygons
            .iter()
            .flatten()
            .flatten()
            .map(|r| ring_area(r))
            .sum();
        let row = sum(&table, |l| l == &piece.labels[..2]);
        same("piece", drawn, row)?;
    }
    Ok(true)
}

fn ring_area(ring: &[GridPoint]) -> f64 {
    let origin = ring[0];
    let unit = CROSSING_UNITS as f64;
    ring.windows(2)
        .map(|pair| {
            let [p, q] = [pair[0], pair[1]]
                .map(|p| [0, 1].map(|axis| (p[axis] - origin[axis]) as f64 / unit));
            (p[0] * q[1] - q[0] * p[1]) / 2.0
        })
        .sum()
}
