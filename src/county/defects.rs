//! A land-use layer with planted defects: the first parcels of the county, some of them spoilt.
//! Each defect is listed with its kind, parcel and place.

use std::path::Path;

use gdal::vector::OGRwkbGeometryType::wkbPolygon;
use serde_json::{Value as Json, json};

use super::files::{Container, Shape, Value, on_earth};
use super::plans::Samples;
use super::village::{DLTB_FIELDS, dltb_record};
use super::{County, CountyError, write_bytes};

/// Columns of DLTB that are spoilt.
const BSM: usize = 0;
const DLBM: usize = 4;
const DLMC: usize = 5;
const TBMJ: usize = 11;

/// The kinds of defects, planted in turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    Gap,
    Overlap,
    Sliver,
    SelfCrossing,
    UnknownCode,
    DuplicateIdentifier,
    NameOfOtherClass,
    WrongArea,
}

impl Defect {
    const ALL: [Defect; 8] = [
        Defect::Gap,
        Defect::Overlap,
        Defect::Sliver,
        Defect::SelfCrossing,
        Defect::UnknownCode,
        Defect::DuplicateIdentifier,
        Defect::NameOfOtherClass,
        Defect::WrongArea,
    ];

    fn name(self) -> &'static str {
        match self {
            Defect::Gap => "gap",
            Defect::Overlap => "overlap",
            Defect::Sliver => "sliver",
            Defect::SelfCrossing => "self-crossing",
            Defect::UnknownCode => "unknown class code",
            Defect::DuplicateIdentifier => "duplicate BSM",
            Defect::NameOfOtherClass => "DLMC does not match DLBM",
            Defect::WrongArea => "TBMJ differs from the area of the shape",
        }
    }
}

pub fn write(county: &County, out: &Path, samples: &Samples) -> Result<Json, CountyError> {
    let name = "DLTB_缺陷";
    let year = i64::from(county.options.years[1]);
    let mut records = Vec::new();
    let mut planted = Vec::new();
    let mut turn = 0;
    let mut first_identifier = None;
    for (k, (village, serial, number, parcel)) in samples.parcels.iter().enumerate() {
        let mut record = dltb_record(county.places, *village, parcel, *serial, *number, year);
        let outer_points = parcel.polygon[0].len();
        if k == 0 {
            first_identifier = Some(record.values[BSM].clone());
        }
        // Every seventh parcel that is large and simple enough.
        if k % 7 == 3
            && outer_points >= 12
            && parcel.polygon.len() == 1
            && parcel.area_centi > 100_000
        {
            let defect = Defect::ALL[turn % Defect::ALL.len()];
            let place = match defect {
                Defect::Overlap | Defect::Sliver => Some(outer_points / 2),
                Defect::SelfCrossing => crossing_place(&parcel.polygon[0]),
                _ => Some(0),
            };
            let Some(place) = place else {
                records.push(record);
                continue;
            };
            turn += 1;
            let p = on_earth(county.corner, parcel.polygon[0][place]);
            let identifier = record.values[BSM].clone();
            planted.push(json!({ "kind": defect.name(), "BSM": words(&identifier), "east_m": p[0], "north_m": p[1] }));
            let mut ring = parcel.polygon[0].clone();
            match defect {
                Defect::Gap => continue,
                Defect::Overlap => move_point(&mut ring, place, -2500),
                Defect::Sliver => move_point(&mut ring, place, 120),
                Defect::SelfCrossing => ring.swap(place, place + 1),
                Defect::UnknownCode => record.values[DLBM] = Value::text("9901"),
                Defect::DuplicateIdentifier => {
                    if let Some(first) = &first_identifier {
                        record.values[BSM] = first.clone();
                    }
                }
                Defect::NameOfOtherClass => record.values[DLMC] = Value::text("冰川及永久积雪"),
                Defect::WrongArea => {
                    record.values[TBMJ] = Value::Real(
                        (parcel.area_centi as f64 / 100.0 * 1.07 * 100.0).round() / 100.0,
                    )
                }
            }
            record.shape = Shape::Area(vec![ring]);
        }
        records.push(record);
    }
    let mut book = county.book(out, &format!("{name}.shp"), Container::ShapefileGbk)?;
    book.add_layer(name, wkbPolygon, &DLTB_FIELDS)?;
    book.write(name, &records)?;
    book.finish()?;
    // The text is GBK, and the mark beside it says otherwise.
    write_bytes(&out.join(format!("{name}.cpg")), b"UTF-8")?;
    planted.push(json!({ "kind": "encoding mark contradicts the text", "file": format!("{name}.cpg"), "said": "UTF-8", "is": "GBK" }));
    let list = json!({ "layer": name, "records": records.len(), "defects": planted });
    let text = serde_json::to_vec_pretty(&list).expect("plain values are JSON");
    write_bytes(&out.join("缺陷答案.json"), &text)?;
    Ok(list)
}

/// Moves a point along the bisector of its angle: out of the ring when `by_mm` is negative.
fn move_point(ring: &mut [[i64; 2]], at: usize, by_mm: i64) {
    let (a, b) = (ring[at - 1], ring[at + 1]);
    let (dx, dy) = ((b[0] - a[0]) as f64, (b[1] - a[1]) as f64);
    let length = dx.hypot(dy).max(1.0);
    // Rings are anticlockwise: the inside is on the left.
    ring[at][0] += (-dy / length * by_mm as f64).round() as i64;
    ring[at][1] += (dx / length * by_mm as f64).round() as i64;
}

/// A point that makes the ring cross itself when it changes places with the next: the four points
/// around are the corners of a convex quadrilateral, whose diagonals meet.
fn crossing_place(ring: &[[i64; 2]]) -> Option<usize> {
    let side = |a: [i64; 2], b: [i64; 2], c: [i64; 2]| {
        (i128::from(b[0] - a[0]) * i128::from(c[1] - a[1])
            - i128::from(b[1] - a[1]) * i128::from(c[0] - a[0]))
        .signum()
    };
    (1..ring.len() - 2).find(|&k| {
        let [a, b, c, d] = [ring[k - 1], ring[k], ring[k + 1], ring[k + 2]];
        side(a, c, b) * side(a, c, d) < 0 && side(b, d, a) * side(b, d, c) < 0
    })
}

fn words(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Whole(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Absent => String::new(),
    }
}
