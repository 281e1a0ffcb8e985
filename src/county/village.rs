//! One village: its cells to parcels of both years and the changes between, with all attributes.

use super::classes::Class;
use super::coverage::{Arcs, Polygon, Window, connected};
use super::files::{Field, Record, Shape, Value, on_earth, real, text, whole};
use super::landuse::{CELL_M, class_of};
use super::noise::{hash, unit};
use super::places::{COUNTY_CODE, COUNTY_NAME, Places};
use super::terrain::Terrain;
use crate::crs::ellipsoid_area::polygon_area_centi_m2;

/// Fields of DLTB, in order.
pub const DLTB_FIELDS: [Field; 27] = [
    text("BSM", 18),
    text("YSDM", 10),
    text("TBYBH", 18),
    text("TBBH", 8),
    text("DLBM", 5),
    text("DLMC", 60),
    text("QSXZ", 2),
    text("QSDWDM", 19),
    text("QSDWMC", 60),
    text("ZLDWDM", 19),
    text("ZLDWMC", 60),
    real("TBMJ", 15, 2),
    text("KCDLBM", 5),
    real("KCXS", 6, 4),
    real("KCMJ", 15, 2),
    real("TBDLMJ", 15, 2),
    text("GDLX", 2),
    text("GDPDJB", 2),
    real("XZDWKD", 5, 1),
    text("TBXHDM", 6),
    text("ZZSXDM", 6),
    whole("GDDB", 4),
    text("FRDBS", 1),
    text("CZCSXM", 4),
    whole("SJNF", 4),
    text("MSSM", 2),
    text("BZ", 60),
];

/// Fields of the change layer.
pub const CHANGE_FIELDS: [Field; 12] = [
    text("BSM", 18),
    text("YSDM", 10),
    text("BGQBSM", 18),
    text("BGHBSM", 18),
    text("BGQDLBM", 5),
    text("BGQDLMC", 60),
    text("BGHDLBM", 5),
    text("BGHDLMC", 60),
    text("ZLDWDM", 19),
    text("ZLDWMC", 60),
    real("BGMJ", 15, 2),
    text("BZ", 60),
];

/// A land parcel with the values everything else is computed from.
#[derive(Debug, Clone)]
pub struct Parcel {
    pub polygon: Polygon,
    pub class: Class,
    /// Official area in hundredths of a square metre.
    pub area_centi: i64,
    /// The ridges between fields, deducted.
    pub deducted_centi: i64,
    pub slope_level: u8,
    pub built_kind: Option<&'static str>,
    pub salt: u64,
}

/// A piece of ground whose class differs between the years.
#[derive(Debug, Clone)]
pub struct Change {
    pub polygon: Polygon,
    pub area_centi: i64,
    /// Index of the parcel it was part of and of the one it is part of.
    pub before: usize,
    pub after: usize,
}

pub struct VillageLand {
    pub index: usize,
    pub outline: Vec<Polygon>,
    pub area_centi: i64,
    pub before: Vec<Parcel>,
    pub after: Vec<Parcel>,
    pub changes: Vec<Change>,
}

/// The cells a village is cut from: a rectangle with a rim of neighbours.
pub struct Cells {
    pub width: usize,
    pub height: usize,
    pub x0: i64,
    pub y0: i64,
    pub village: Vec<u16>,
    pub before: Vec<u32>,
    pub after: Vec<u32>,
}

pub fn survey(
    index: usize,
    cells: &Cells,
    terrain: &Terrain,
    corner: [f64; 2],
    false_easting_m: f64,
) -> VillageLand {
    let id = index as u16 + 1;
    let inside = |i: usize| cells.village[i] == id;
    let key: Vec<u64> = (0..cells.village.len())
        .map(|i| match cells.village[i] {
            0 => 0,
            v => {
                hash(
                    u64::from(v),
                    i64::from(cells.before[i]),
                    i64::from(cells.after[i]),
                ) | 1
            }
        })
        .collect();
    let (w, h) = (cells.width, cells.height);
    let (own, first) = connected(w, h, inside, |a, b| key[a] == key[b]);
    let (group_before, first_before) =
        connected(w, h, inside, |a, b| cells.before[a] == cells.before[b]);
    let (group_after, first_after) =
        connected(w, h, inside, |a, b| cells.after[a] == cells.after[b]);
    let window = Window {
        width: w,
        height: h,
        x0: cells.x0,
        y0: cells.y0,
        cell_m: CELL_M,
        key,
        own,
    };
    let arcs = window.trace();
    let parts = first.len() - 1;
    let face_of = |group: &[u32]| -> Vec<u32> {
        (0..=parts)
            .map(|p| if p == 0 { 0 } else { group[first[p]] })
            .collect()
    };
    let (face_before, face_after) = (face_of(&group_before), face_of(&group_after));
    let slope = mean_slopes(cells, terrain, &group_before, first_before.len());
    let slope_after = mean_slopes(cells, terrain, &group_after, first_after.len());
    let parcels = |face: &[u32], first: &[usize], labels: &[u32], slope: &[f64]| {
        parcels_of(&arcs, face, first, labels, slope, corner, false_easting_m)
    };
    let before = parcels(&face_before, &first_before, &cells.before, &slope);
    let after = parcels(&face_after, &first_after, &cells.after, &slope_after);
    let changed =
        |p: usize| p > 0 && class_of(cells.before[first[p]]) != class_of(cells.after[first[p]]);
    let change_face: Vec<u32> = (0..=parts)
        .map(|p| if changed(p) { p as u32 } else { 0 })
        .collect();
    let changes = arcs
        .polygons(&change_face, parts)
        .into_iter()
        .enumerate()
        .filter(|(p, _)| changed(*p))
        .flat_map(|(p, list)| list.into_iter().map(move |polygon| (p, polygon)))
        .map(|(p, polygon)| Change {
            area_centi: official_centi(&polygon, corner, false_easting_m),
            polygon,
            before: face_before[p] as usize - 1,
            after: face_after[p] as usize - 1,
        })
        .collect();
    let whole_face: Vec<u32> = (0..=parts).map(|p| u32::from(p > 0)).collect();
    let outline = arcs.polygons(&whole_face, 1).pop().unwrap_or_default();
    let area_centi = before.iter().map(|p| p.area_centi).sum();
    VillageLand {
        index,
        outline,
        area_centi,
        before,
        after,
        changes,
    }
}

fn parcels_of(
    arcs: &Arcs,
    face: &[u32],
    first: &[usize],
    labels: &[u32],
    slope: &[f64],
    corner: [f64; 2],
    false_easting_m: f64,
) -> Vec<Parcel> {
    arcs.polygons(face, first.len() - 1)
        .into_iter()
        .enumerate()
        .skip(1)
        .map(|(f, mut list)| {
            let polygon = list
                .pop()
                .expect("a connected group of cells has an outline");
            let label = labels[first[f]];
            let class = class_of(label);
            let area_centi = official_centi(&polygon, corner, false_easting_m);
            let slope_level = match slope[f] {
                s if s <= 2.0 => 1,
                s if s <= 6.0 => 2,
                s if s <= 15.0 => 3,
                s if s <= 25.0 => 4,
                _ => 5,
            };
            let share = deducted_share(class, slope_level);
            Parcel {
                deducted_centi: (area_centi as f64 * share).round() as i64,
                polygon,
                class,
                area_centi,
                slope_level,
                built_kind: built_kind(class),
                salt: hash(u64::from(label), f as i64, 0),
            }
        })
        .collect()
}

fn built_kind(class: Class) -> Option<&'static str> {
    match class {
        Class::Homestead => Some("203"),
        Class::TownHousing | Class::Shops | Class::Park => Some("202"),
        Class::Factory | Class::Storage => Some("202A"),
        Class::Quarry => Some("204"),
        _ => None,
    }
}

/// KCXS: the ridges between sloping fields, as a share of their area.
pub fn deducted_share(class: Class, slope_level: u8) -> f64 {
    if !class.is_cultivated() {
        return 0.0;
    }
    match slope_level {
        0 | 1 => 0.0,
        2 => 0.0512,
        3 => 0.0927,
        4 => 0.1345,
        _ => 0.1608,
    }
}

fn mean_slopes(cells: &Cells, terrain: &Terrain, group: &[u32], groups: usize) -> Vec<f64> {
    let mut sum = vec![(0.0f64, 0u32); groups];
    for (i, &g) in group.iter().enumerate() {
        // Every third cell is enough for a mean.
        if g > 0 && (i % 3 == 0 || sum[g as usize].1 == 0) {
            let x = ((cells.x0 + (i % cells.width) as i64) as f64 + 0.5) * CELL_M;
            let y = ((cells.y0 + (i / cells.width) as i64) as f64 + 0.5) * CELL_M;
            let entry = &mut sum[g as usize];
            entry.0 += f64::from(terrain.slope_deg[terrain.cell_at(x, y)]);
            entry.1 += 1;
        }
    }
    sum.into_iter()
        .map(|(s, n)| s / f64::from(n.max(1)))
        .collect()
}

/// The official area of a polygon on the sheet.
pub fn official_centi(polygon: &Polygon, corner: [f64; 2], false_easting_m: f64) -> i64 {
    let rings: Vec<Vec<[f64; 2]>> = polygon
        .iter()
        .map(|ring| ring.iter().map(|&p| on_earth(corner, p)).collect())
        .collect();
    polygon_area_centi_m2(&rings, false_easting_m)
}

/// BSM: county, layer, serial.
pub fn identifier(layer: &str, serial: u64) -> String {
    format!("{COUNTY_CODE}{layer}{serial:08}")
}

pub fn square_metres(centi: i64) -> Value {
    Value::Real(centi as f64 / 100.0)
}

/// A DLTB record; `serial` is its place in the county, `number` in the village.
pub fn dltb_record(
    places: &Places,
    village: usize,
    parcel: &Parcel,
    serial: u64,
    number: usize,
    year: i64,
) -> Record {
    let v = &places.villages[village];
    let class = parcel.class;
    let state = matches!(
        class,
        Class::River
            | Class::Reservoir
            | Class::Road
            | Class::Railway
            | Class::Dam
            | Class::Offices
            | Class::Park
    ) || (class == Class::TownHousing && !parcel.salt.is_multiple_of(3));
    let owner = if state {
        (
            format!("{COUNTY_CODE}0000000000000"),
            COUNTY_NAME.to_string(),
        )
    } else {
        (
            format!("{}0000000", v.code),
            format!("{}集体(虚构)", v.name),
        )
    };
    let share = deducted_share(class, parcel.slope_level);
    let cultivated = class.is_cultivated();
    let opt = |on: bool, t: &str| if on { Value::text(t) } else { Value::Absent };
    let planting = match parcel.salt % 20 {
        0 => "FLS",
        1 => "LYFL",
        2 => "WG",
        _ => "LS",
    };
    Record {
        shape: Shape::Area(parcel.polygon.clone()),
        values: vec![
            Value::text(identifier("1010", serial)),
            Value::text("2001010100"),
            Value::Absent,
            Value::text(format!("{number:04}")),
            Value::text(class.code()),
            Value::text(class.name()),
            Value::text(if state { "20" } else { "30" }),
            Value::text(owner.0),
            Value::text(owner.1),
            Value::text(format!("{}0000000", v.code)),
            Value::text(format!("{}(虚构)", v.name)),
            square_metres(parcel.area_centi),
            opt(share > 0.0, "1203"),
            Value::Real(share),
            square_metres(parcel.deducted_centi),
            square_metres(parcel.area_centi - parcel.deducted_centi),
            opt(
                cultivated && parcel.slope_level > 1,
                if parcel.salt.is_multiple_of(4) {
                    "PD"
                } else {
                    "TT"
                },
            ),
            if cultivated {
                Value::text(parcel.slope_level.to_string())
            } else {
                Value::Absent
            },
            if class.is_linear() {
                Value::Real(line_width(class))
            } else {
                Value::Absent
            },
            Value::Absent,
            opt(cultivated, planting),
            if cultivated {
                Value::Whole(
                    4 + 2 * i64::from(parcel.slope_level) - i64::from(class == Class::Paddy),
                )
            } else {
                Value::Absent
            },
            Value::text("0"),
            parcel.built_kind.map_or(Value::Absent, Value::text),
            Value::Whole(year),
            Value::text("00"),
            Value::text("虚构数据"),
        ],
    }
}

fn line_width(class: Class) -> f64 {
    match class {
        Class::Railway => 18.0,
        Class::Road => 12.0,
        Class::Street => 8.0,
        Class::River => 14.0,
        Class::Lane => 6.0,
        _ => 5.0,
    }
}

/// Whether a field of the first year is in the permanent basic farmland.
pub fn is_basic_farmland(seed: u64, village: usize, parcel: &Parcel) -> bool {
    parcel.class.is_cultivated()
        && parcel.slope_level <= 3
        && parcel.area_centi > 150_000
        && unit(seed ^ 300, village as i64, (parcel.salt >> 8) as i64) < 0.82
}
