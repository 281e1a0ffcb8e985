//! The county as seen from the air: colour of what grows, relief, rows, roofs and crowns. A rendering.

use super::classes::{Class, Group};
use super::landuse::{CELL_M, Fields, LandUse, TILE_M, WINDOW, Workings, class_of, origin};
use super::noise::{gradient, hash, octaves, unit};
use super::terrain::spline;

/// The ground sides of a pixel that divide a tile into whole blocks of multiples of 16 pixels.
pub const SIDES_M: [f64; 6] = [2.0, 4.0, 5.0, 10.0, 20.0, 40.0];

/// Pixels along a side of the squares JPEG codes together: nothing shines from one into the next.
const SQUARE: usize = 16;

/// Red, green, blue, near infrared of a tile, band after band, rows from the north. Squares that
/// the mask leaves out are black.
pub fn render(seed: u64, work: &Workings, after: bool, pixel_m: f64, mask: &[u8]) -> Vec<u8> {
    let side = (TILE_M / pixel_m).round() as usize;
    let mut out = vec![0u8; side * side * 4];
    let labels = if after { &work.after } else { &work.before };
    let (x0, y0) = origin(work.tx, work.ty);
    let (left, bottom) = (work.tx as f64 * TILE_M, work.ty as f64 * TILE_M);
    let squares = side.div_ceil(SQUARE);
    let mut shown = vec![false; squares * squares];
    for (i, &m) in mask.iter().enumerate() {
        shown[i / side / SQUARE * squares + i % side / SQUARE] |= m > 0;
    }
    for row in 0..side {
        let y = bottom + (side - 1 - row) as f64 * pixel_m + pixel_m / 2.0;
        for column in 0..side {
            if !shown[row / SQUARE * squares + column / SQUARE] {
                continue;
            }
            let x = left + column as f64 * pixel_m + pixel_m / 2.0;
            // Edges of fields are not as straight as cells.
            let rag = 0.22 * gradient(seed ^ 201, x / 9.0, y / 9.0);
            let c = x / CELL_M - x0 as f64 + rag;
            let r = y / CELL_M - y0 as f64 - rag;
            let shade = shade(&work.fields, c, r);
            let mix = blend(labels, c, r);
            let mut pixel = [0.0; 4];
            for (share, label) in mix {
                if share > 0.02 {
                    let colour = ground(seed, work, label, x, y, c, r, after);
                    for (p, v) in pixel.iter_mut().zip(colour) {
                        *p += share * v;
                    }
                }
            }
            let grain = 1.0 + 0.05 * (unit(seed ^ 202, (x * 2.0) as i64, (y * 2.0) as i64) - 0.5);
            for (band, value) in pixel.iter().enumerate() {
                let lit = value * shade * grain;
                // A little blue haze lifts the darks.
                let haze = [8.0, 10.0, 16.0, 3.0][band];
                out[(band * side + row) * side + column] =
                    (haze + lit * 0.94).clamp(1.0, 255.0) as u8;
            }
        }
    }
    out
}

/// 255 where a pixel is of the county, 0 outside, rows from the north.
pub fn mask(land: &LandUse, tx: i64, ty: i64, pixel_m: f64) -> Vec<u8> {
    let side = (TILE_M / pixel_m).round() as usize;
    let (left, bottom) = (tx as f64 * TILE_M, ty as f64 * TILE_M);
    (0..side * side)
        .map(|i| {
            let x = left + ((i % side) as f64 + 0.5) * pixel_m;
            let y = bottom + ((side - 1 - i / side) as f64 + 0.5) * pixel_m;
            if land.is_in_county(x, y) { 255 } else { 0 }
        })
        .collect()
}

/// Light from the north-west on the relief, about 1 on flat ground.
fn shade(fields: &Fields, c: f64, r: f64) -> f64 {
    let h = |dc: f64, dr: f64| Fields::at(&fields.height_m, c + dc, r + dr);
    let gx = (h(4.0, 0.0) - h(-4.0, 0.0)) / (8.0 * CELL_M);
    let gy = (h(0.0, 4.0) - h(0.0, -4.0)) / (8.0 * CELL_M);
    let norm = (1.0 + gx * gx + gy * gy).sqrt();
    let light = (0.5 * gx - 0.5 * gy + 0.707) / norm / 0.707;
    (0.25 + 0.75 * light).clamp(0.35, 1.5)
}

/// The labels at a point and their shares: what a smoothed vote of the nine cells around says, so
/// that edges run through the steps of cells, and a mixture only where two are about equal.
fn blend(labels: &[u32], c: f64, r: f64) -> [(f64, u32); 2] {
    let last = WINDOW as i64 - 1;
    let (ic, ir) = (c.floor(), r.floor());
    let at = |dc: i64, dr: i64| {
        let column = (ic as i64 + dc).clamp(0, last) as usize;
        labels[(ir as i64 + dr).clamp(0, last) as usize * WINDOW + column]
    };
    let middle = at(0, 0);
    if (-1..=1).all(|dr| (-1..=1).all(|dc| at(dc, dr) == middle)) {
        return [(1.0, middle), (0.0, middle)];
    }
    let (wx, wy) = (spline(c - ic), spline(r - ir));
    let mut tally = [(0.0, middle); 9];
    let mut used = 1;
    for (dr, v) in (-1..).zip(wy) {
        for (dc, u) in (-1..).zip(wx) {
            let label = at(dc, dr);
            match tally[..used].iter_mut().find(|entry| entry.1 == label) {
                Some(entry) => entry.0 += u * v,
                None => {
                    tally[used] = (u * v, label);
                    used += 1;
                }
            }
        }
    }
    tally[..used].sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let second = (0.5 - 2.0 * (tally[0].0 - tally[1].0)).max(0.0);
    [(1.0 - second, tally[0].1), (second, tally[1].1)]
}

#[allow(clippy::too_many_arguments)]
fn ground(
    seed: u64,
    work: &Workings,
    label: u32,
    x: f64,
    y: f64,
    c: f64,
    r: f64,
    after: bool,
) -> [f64; 4] {
    let class = class_of(label);
    let mut colour = class.reflectance();
    let s = seed ^ if after { 210 } else { 220 };
    let own = hash(s, i64::from(label), 0);
    // Each parcel has its own crop, age and moisture.
    let tint = unit(own, 1, 0) - 0.5;
    let green = unit(own, 2, 0) - 0.5;
    let spread = match class {
        Class::Paddy | Class::Irrigated | Class::Dry => 0.34,
        Class::Orchard | Class::Tea | Class::Grass => 0.22,
        _ if class.is_forest() => 0.10,
        _ if class.group() == Group::Construction => 0.16,
        _ => 0.08,
    };
    let slow = octaves(seed ^ 203, x / 130.0, y / 130.0, 3, 0.5);
    let mut light = 1.0 + spread * tint + 0.10 * slow;
    if class.is_cultivated() {
        colour[0] *= 1.0 - 0.35 * green;
        colour[1] *= 1.0 - 0.06 * green;
        colour[3] *= 1.0 + 0.45 * green;
        let (u, v) = (
            Fields::at(&work.fields.u, c, r),
            Fields::at(&work.fields.v, c, r),
        );
        let across = if unit(own, 3, 0) < 0.5 { u } else { v };
        light += 0.05 * (across * 1.1).sin() * unit(own, 4, 0);
    }
    let fine = match class {
        _ if class.is_forest() => {
            gradient(seed ^ 204, x / 6.5, y / 6.5) + 0.6 * gradient(seed ^ 205, x / 15.0, y / 15.0)
        }
        Class::Orchard | Class::Tea => {
            let (u, v) = (
                Fields::at(&work.fields.u, c, r),
                Fields::at(&work.fields.v, c, r),
            );
            (u * 0.95).sin() * (v * 0.95).sin()
        }
        _ if class.texture() > 0.35 => roofs(seed, x, y, class),
        _ => gradient(seed ^ 206, x / 11.0, y / 11.0),
    };
    light += class.texture() * fine * 0.75;
    if class == Class::Homestead || class == Class::TownHousing {
        // Red and grey roofs, trees between them.
        let roof = hash(seed ^ 207, (x / 13.0) as i64, (y / 9.0) as i64);
        match roof % 7 {
            0 | 1 => {
                colour = [
                    colour[0] * 1.12,
                    colour[1] * 0.86,
                    colour[2] * 0.80,
                    colour[3],
                ]
            }
            2 | 3 => colour = [74.0, 90.0, 60.0, 150.0],
            _ => {}
        }
    }
    if class == Class::Factory && unit(own, 5, 0) < 0.6 {
        colour = [92.0, 122.0, 168.0, 110.0];
    }
    colour.map(|v| v * light)
}

/// Blocks of bright roofs and dark gaps.
fn roofs(seed: u64, x: f64, y: f64, class: Class) -> f64 {
    let (w, h) = match class {
        Class::Factory | Class::Storage => (52.0, 24.0),
        Class::TownHousing | Class::Shops => (34.0, 14.0),
        _ => (13.0, 9.0),
    };
    let turn = 0.35;
    let (u, v) = (x + turn * y, y - turn * x);
    let (cu, cv) = ((u / w).floor(), (v / h).floor());
    let gap = u - cu * w < w * 0.14 || v - cv * h < h * 0.32;
    let bright = unit(seed ^ 208, cu as i64, cv as i64);
    if gap { -0.42 } else { bright - 0.35 }
}
