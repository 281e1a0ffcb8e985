//! What is planned, granted and supervised on the land: control lines, planning zones, mineral
//! rights, approvals and supply, satellite checks, supplements, hazards. With conflicts on purpose,
//! each of them counted in the answers.

use std::path::Path;

use gdal::vector::OGRwkbGeometryType::{wkbMultiPolygon, wkbPoint, wkbPolygon};
use serde_json::{Value as Json, json};

use super::classes::{Class, Group};
use super::coverage::{Polygon, Window, connected};
use super::files::{Container, Field, Record, Shape, Value, on_earth, real, text, whole};
use super::landuse::{Site, SiteKind};
use super::noise::{hash, octaves, unit};
use super::places::COUNTY_CODE;
use super::terrain::{CELL_M as COARSE_M, Terrain, position};
use super::village::{
    Parcel, VillageLand, identifier, is_basic_farmland, official_centi, square_metres,
};
use super::{County, CountyError, make_directory, write_bytes};
use crate::crs::ellipsoid_area::gauss_inverse;

pub const BASIC_FIELDS: [Field; 11] = [
    text("BSM", 18),
    text("YSDM", 10),
    text("XZQDM", 12),
    text("YJJBNTTBBH", 12),
    text("DLBM", 5),
    text("PDJB", 2),
    real("KCMJ", 15, 2),
    real("TBMJ", 15, 2),
    real("YJJBNTMJ", 15, 2),
    text("BHKSSJ", 8),
    text("BZ", 60),
];

const MOST_SAMPLES: usize = 400;

/// What later layers are made from.
#[derive(Default)]
pub struct Samples {
    /// New building land on former fields: polygon, village, area.
    pub built: Vec<(Polygon, usize, i64, Class)>,
    /// New fields on former ponds and orchards.
    pub reclaimed: Vec<(Polygon, usize, i64)>,
    /// Farm buildings, lawful but seen by satellites.
    pub sheds: Vec<(Polygon, usize, i64)>,
    /// Parcels of the second year of the first villages: village, serial, number, parcel.
    pub parcels: Vec<(usize, u64, usize, Parcel)>,
}

impl Samples {
    pub fn take(&mut self, county: &County, land: &VillageLand, base: u64) {
        let seed = county.options.seed;
        for change in &land.changes {
            let from = land.before[change.before].class;
            let to = land.after[change.after].class;
            let item = (change.polygon.clone(), land.index, change.area_centi);
            if change.area_centi < 40_000 || unit(seed ^ 401, change.area_centi, 0) < 0.2 {
                continue;
            }
            if to == Class::FarmYard && self.sheds.len() < MOST_SAMPLES {
                self.sheds.push(item);
            } else if to.group() == Group::Construction
                && from.group() != Group::Construction
                && !to.is_linear()
            {
                if self.built.len() < MOST_SAMPLES {
                    self.built.push((item.0, item.1, item.2, to));
                }
            } else if to.is_cultivated()
                && !from.is_cultivated()
                && self.reclaimed.len() < MOST_SAMPLES
            {
                self.reclaimed.push(item);
            }
        }
        if self.parcels.len() < MOST_SAMPLES {
            let list = land
                .after
                .iter()
                .enumerate()
                .take(MOST_SAMPLES - self.parcels.len());
            self.parcels
                .extend(list.map(|(k, p)| (land.index, base + k as u64 + 1, k + 1, p.clone())));
        }
    }
}

/// Permanent basic farmland of a village: its good fields of the first year; in one village of
/// nine digitised apart, 0.8 m to the east and 0.6 m to the south, which leaves slivers.
pub fn basic_farmland(county: &County, land: &VillageLand, serial: &mut u64) -> Vec<Record> {
    let seed = county.options.seed;
    let v = &county.places.villages[land.index];
    let shift = if is_shifted(seed, land.index) {
        [800, -600]
    } else {
        [0, 0]
    };
    land.before
        .iter()
        .filter(|p| is_basic_farmland(seed, land.index, p))
        .map(|p| {
            *serial += 1;
            let polygon: Polygon = p
                .polygon
                .iter()
                .map(|r| {
                    r.iter()
                        .map(|q| [q[0] + shift[0], q[1] + shift[1]])
                        .collect()
                })
                .collect();
            Record {
                shape: Shape::Area(polygon),
                values: vec![
                    Value::text(identifier("5010", *serial)),
                    Value::text("2005010300"),
                    Value::text(v.code.clone()),
                    Value::text(format!("{:08}", *serial)),
                    Value::text(p.class.code()),
                    Value::text(p.slope_level.to_string()),
                    square_metres(p.deducted_centi),
                    square_metres(p.area_centi),
                    square_metres(p.area_centi - p.deducted_centi),
                    Value::text("20201231"),
                    Value::text("虚构数据"),
                ],
            }
        })
        .collect()
}

fn is_shifted(seed: u64, village: usize) -> bool {
    hash(seed ^ 402, village as i64, 0).is_multiple_of(9)
}

pub fn write(county: &County, out: &Path, samples: &Samples) -> Result<Json, CountyError> {
    let lines = write_control_lines(county, out)?;
    let rights = write_mineral_rights(county, out)?;
    let supervision = write_supervision(county, out, samples)?;
    let seed = county.options.seed;
    let shifted: Vec<&str> = county
        .places
        .villages
        .iter()
        .enumerate()
        .filter(|(k, _)| is_shifted(seed, *k))
        .map(|(_, v)| v.code.as_str())
        .collect();
    Ok(json!({
        "basic_farmland_digitised_apart_in_villages": shifted,
        "control_lines": lines, "mineral_rights": rights, "supervision": supervision,
    }))
}

/// Polygons of equal label over the coarse cells of the county: label and polygon.
fn zones(
    county: &County,
    label: impl Fn(usize) -> u64,
    least_cells: usize,
) -> Vec<(u64, Vec<Polygon>)> {
    let n = county.terrain.n;
    let labels: Vec<u64> = (0..n * n)
        .map(|i| {
            let (x, y) = (i % n, i / n);
            let rim = x == 0 || y == 0 || x == n - 1 || y == n - 1;
            if rim || county.places.village_of_cell[i] == 0 {
                0
            } else {
                label(i)
            }
        })
        .collect();
    let (own, first) = connected(n, n, |i| labels[i] != 0, |a, b| labels[a] == labels[b]);
    let mut size = vec![0usize; first.len()];
    for &o in &own {
        size[o as usize] += 1;
    }
    let window = Window {
        width: n,
        height: n,
        x0: 0,
        y0: 0,
        cell_m: COARSE_M,
        key: labels.clone(),
        own,
    };
    let face: Vec<u32> = (0..first.len()).map(|k| k as u32).collect();
    window
        .trace()
        .polygons(&face, first.len() - 1)
        .into_iter()
        .enumerate()
        .filter(|(k, list)| *k > 0 && size[*k] >= least_cells && !list.is_empty())
        .map(|(k, list)| (labels[first[k]], list))
        .collect()
}

fn total_centi(county: &County, polygons: &[Polygon]) -> i64 {
    polygons
        .iter()
        .map(|p| official_centi(p, county.corner, county.false_easting_m()))
        .sum()
}

fn is_ecological(county: &County, i: usize) -> bool {
    let t = county.terrain;
    let (x, y) = position(i, t.n);
    let wild = octaves(county.options.seed ^ 410, x / 5200.0, y / 5200.0, 3, 0.5);
    f64::from(t.slope_deg[i]) > 10.5 - 6.0 * wild
        && f64::from(t.above_river_m[i]) > 25.0
        && wild > -0.1
        || t.reservoir
            .as_ref()
            .is_some_and(|r| r.cells[i] && t.height_m[i] < r.level_m)
}

/// 1 inside the built-up core, 2 in the reserve around it, 0 outside an urban growth boundary of
/// the towns.
fn urban(county: &County, towns: &[Site], i: usize) -> u64 {
    let (x, y) = position(i, county.terrain.n);
    let wobble = 1.0 + 0.25 * octaves(county.options.seed ^ 411, x / 700.0, y / 700.0, 3, 0.5);
    let reach = |factor: f64| {
        towns.iter().any(|s| {
            let limit = s.radius_after_m * factor * wobble;
            let (dx, dy) = (x - s.x, y - s.y);
            dx * dx + dy * dy < limit * limit
        })
    };
    if reach(1.02) {
        1
    } else if reach(1.3) {
        2
    } else {
        0
    }
}

fn write_control_lines(county: &County, out: &Path) -> Result<Json, CountyError> {
    let mut book = county.book(out, "控制线与规划.gdb", Container::FileGeodatabase)?;
    let fields = |code: &'static str, name: &'static str| {
        [
            text("BSM", 18),
            text("YSDM", 10),
            text("XZQDM", 12),
            text(code, 4),
            text(name, 40),
            real("MJ", 15, 2),
            text("BZ", 60),
        ]
    };
    let mut counts = serde_json::Map::new();
    // The towns and their surroundings never count as wild; but each line is drawn from its own
    // rules, and where fields run up a slope the red line runs over them.
    let towns: Vec<Site> = county
        .land
        .sites
        .iter()
        .filter(|s| matches!(s.kind, SiteKind::Town | SiteKind::Industry))
        .copied()
        .collect();
    let urban_of: Vec<u64> = {
        use rayon::prelude::*;
        (0..county.terrain.n * county.terrain.n)
            .into_par_iter()
            .map(|i| {
                if county.places.village_of_cell[i] == 0 {
                    0
                } else {
                    urban(county, &towns, i)
                }
            })
            .collect()
    };
    let red = zones(county, |i| u64::from(is_ecological(county, i)), 40);
    let growth = zones(county, |i| urban_of[i], 3);
    let plan = zones(county, |i| zone_code(county, i, urban_of[i]), 1);
    let layers = [
        ("STBHHX", "3003010000", fields("HXLX", "HXMC"), red),
        ("CZKFBJ", "3002010000", fields("GHFQDM", "GHFQMC"), growth),
        ("GHFQ", "2003010000", fields("GHFQDM", "GHFQMC"), plan),
    ];
    for (layer, ysdm, fields, list) in layers {
        book.add_layer(layer, wkbMultiPolygon, &fields)?;
        let mut records = Vec::new();
        let mut sum = 0;
        for (k, (label, polygons)) in list.into_iter().enumerate() {
            let centi = total_centi(county, &polygons);
            sum += centi;
            let (code, name) = match (layer, label) {
                ("STBHHX", _) => ("01", "水源涵养与水土保持(虚构)"),
                ("CZKFBJ", 1) => ("1", "城镇集中建设区"),
                ("CZKFBJ", _) => ("2", "城镇弹性发展区"),
                (_, 100) => ("100", "生态保护区"),
                (_, 300) => ("300", "农田保护区"),
                (_, 400) => ("400", "城镇发展区"),
                _ => ("500", "乡村发展区"),
            };
            records.push(Record {
                shape: Shape::Areas(polygons),
                values: vec![
                    Value::text(identifier("6001", k as u64 + 1)),
                    Value::text(ysdm),
                    Value::text(COUNTY_CODE),
                    Value::text(code),
                    Value::text(name),
                    square_metres(centi),
                    Value::text("虚构数据"),
                ],
            });
        }
        book.write(layer, &records)?;
        counts.insert(
            layer.into(),
            json!({ "features": records.len(), "area_m2": sum as f64 / 100.0 }),
        );
    }
    book.finish()?;
    Ok(Json::Object(counts))
}

fn zone_code(county: &County, i: usize, urban: u64) -> u64 {
    let t = county.terrain;
    if urban > 0 {
        400
    } else if is_ecological(county, i) {
        100
    } else if t.slope_deg[i] < 4.0 && t.above_river_m[i] < 40.0 {
        300
    } else {
        500
    }
}

/// Plane coordinates of a latitude and longitude (radians, from the central meridian), by turning
/// the published inverse around.
fn forward(latitude: f64, longitude: f64) -> [f64; 2] {
    let (mut north, mut east) = (
        latitude * 6_367_000.0,
        longitude * 6_378_000.0 * latitude.cos(),
    );
    for _ in 0..12 {
        let (b, l) = gauss_inverse(north, east);
        north += (latitude - b) * 6_360_000.0;
        east += (longitude - l) * 6_378_000.0 * latitude.cos();
    }
    [east, north]
}

const MINERALS: [(&str, u8); 6] = [
    ("石灰岩", 7),
    ("建筑用砂", 7),
    ("煤", 1),
    ("铁矿", 2),
    ("铜矿", 3),
    ("萤石", 6),
];

fn write_mineral_rights(county: &County, out: &Path) -> Result<Json, CountyError> {
    let seed = county.options.seed;
    let mut book = county.book(out, "矿业权.gpkg", Container::GeoPackage)?;
    let fields = |holder: &'static str| {
        [
            text("XKZH", 23),
            text(holder, 60),
            text("KSMC", 60),
            text("KZ", 20),
            text("KCFS", 10),
            real("KQMJ", 12, 4),
            whole("SBG", 6),
            whole("XBG", 6),
            text("YXQQ", 10),
            text("YXQZ", 10),
            text("ZT", 10),
            text("GDZB", 254),
            text("BZ", 60),
        ]
    };
    book.add_layer("CKQ", wkbPolygon, &fields("CKQR"))?;
    book.add_layer("TKQ", wkbPolygon, &fields("TKQR"))?;
    let year = i64::from(county.options.years[1]);
    let mut facts = Vec::new();
    let mut table = String::from("\u{feff}许可证号,年度,产量_万吨,说明\r\n");
    let mut mines: Vec<(f64, f64, f64)> = Vec::new();
    for site in county
        .land
        .sites
        .iter()
        .filter(|s| s.kind == SiteKind::Quarry)
    {
        mines.push((site.x, site.y, site.radius_after_m * 1.25));
        // Every third quarry has a neighbour that asks for part of the same ground.
        if mines.len() % 3 == 1 {
            mines.push((site.x + site.radius_m * 1.1, site.y + 25.0, site.radius_m));
        }
    }
    let mut records = Vec::new();
    let mut ranges: Vec<(usize, i64, i64, i64)> = Vec::new();
    for (k, &(x, y, r)) in mines.iter().enumerate() {
        let corners = 5 + (hash(seed ^ 420, k as i64, 0) % 3) as usize;
        let mut ring: Vec<[i64; 2]> = (0..corners)
            .map(|c| {
                let a = std::f64::consts::TAU
                    * (c as f64 + 0.3 * unit(seed ^ 421, k as i64, c as i64))
                    / corners as f64;
                // Licences give corners in whole centimetres.
                let cm = |v: f64| (v * 100.0).round() as i64 * 10;
                [cm(x + r * a.cos()), cm(y + r * a.sin())]
            })
            .collect();
        ring.push(ring[0]);
        let ground = county.terrain.sample(&county.terrain.height_m, x, y) as i64;
        let expired = k % 4 == 2;
        let until = if expired {
            year - 1
        } else {
            year + 3 + (k % 9) as i64
        };
        let (mineral, class) = MINERALS[k % MINERALS.len()];
        let licence = format!(
            "C990100{}{:02}{class}120{:06}",
            2010 + k % 9,
            1 + k % 12,
            100_001 + k
        );
        let polygon = vec![ring];
        let centi = official_centi(&polygon, county.corner, county.false_easting_m());
        let (top, bottom) = (ground + 40, ground - 60);
        if expired {
            facts.push(json!({ "kind": "expired mining right", "licence": licence, "until": format!("{until}-12-31") }));
        }
        for &(other, t, b, u) in &ranges {
            let (ox, oy, or) = mines[other];
            let clear_overlap = (x - ox).hypot(y - oy) < 0.75 * (r + or);
            if clear_overlap && t > bottom && b < top && u >= year && !expired {
                facts.push(json!({ "kind": "mining rights overlap in plan, elevation and term", "licence": licence, "mine": other + 1 }));
            }
        }
        ranges.push((k, top, bottom, until));
        table.push_str(&format!(
            "{licence},{year},{:.1},虚构\r\n",
            3.0 + 40.0 * unit(seed ^ 422, k as i64, 0)
        ));
        records.push(right(
            county,
            polygon,
            centi,
            &licence,
            mineral,
            k,
            Some((top, bottom)),
            until,
            expired,
        ));
    }
    book.write("CKQ", &records)?;
    let mining = records.len();
    // Exploration goes by blocks of the graticule.
    let n = county.terrain.n;
    let minute = f64::to_radians(1.0 / 60.0);
    let blocks = (county.places.villages.len() / 12).clamp(2, 400);
    let mut records = Vec::new();
    for k in 0..blocks {
        let cells: Vec<usize> = (0..60)
            .map(|a| (hash(seed ^ 430, k as i64, a) % (n * n) as u64) as usize)
            .filter(|&i| county.places.village_of_cell[i] > 0)
            .collect();
        let Some(&cell) = cells
            .iter()
            .max_by_key(|&&i| (county.terrain.slope_deg[i] * 100.0) as u32)
        else {
            continue;
        };
        let (x, y) = position(cell, n);
        let east = county.corner[0] + x - county.false_easting_m();
        let (b, l) = gauss_inverse(county.corner[1] + y, east);
        let (b0, l0) = ((b / minute).floor() * minute, (l / minute).floor() * minute);
        let (rows, columns) = (1.0 + (k % 2) as f64, 1.0 + (k % 3) as f64);
        let corner = |db: f64, dl: f64| {
            let [e, north] = forward(b0 + db * minute, l0 + dl * minute);
            let x = e + county.false_easting_m() - county.corner[0];
            [
                (x * 1000.0).round() as i64,
                ((north - county.corner[1]) * 1000.0).round() as i64,
            ]
        };
        let mut ring = vec![
            corner(0.0, 0.0),
            corner(0.0, columns),
            corner(rows, columns),
            corner(rows, 0.0),
        ];
        ring.push(ring[0]);
        let polygon = vec![ring];
        let centi = official_centi(&polygon, county.corner, county.false_easting_m());
        let (mineral, class) = MINERALS[2 + k % 4];
        let licence = format!(
            "T990100{}{:02}{class}220{:06}",
            2015 + k % 8,
            1 + k % 12,
            500_001 + k
        );
        let expired = k % 5 == 4;
        let until = if expired { year - 2 } else { year + 2 };
        if expired {
            facts.push(json!({ "kind": "expired exploration right", "licence": licence, "until": format!("{until}-12-31") }));
        }
        records.push(right(
            county, polygon, centi, &licence, mineral, k, None, until, expired,
        ));
    }
    book.write("TKQ", &records)?;
    book.finish()?;
    write_bytes(&out.join("矿业权年度报告.csv"), table.as_bytes())?;
    Ok(json!({ "mining": mining, "exploration": records.len(), "facts": facts }))
}

#[allow(clippy::too_many_arguments)]
fn right(
    county: &County,
    polygon: Polygon,
    centi: i64,
    licence: &str,
    mineral: &str,
    k: usize,
    range: Option<(i64, i64)>,
    until: i64,
    expired: bool,
) -> Record {
    let ring = &polygon[0];
    let mut corners = format!("1,{}", ring.len() - 1);
    for (c, p) in ring[..ring.len() - 1].iter().enumerate() {
        let [e, n] = on_earth(county.corner, *p);
        corners.push_str(&format!(",{},{n:.2},{e:.2}", c + 1));
    }
    if let Some((top, bottom)) = range {
        corners.push_str(&format!(",{top},{bottom},,1"));
    }
    let companies = ["青石", "金岭", "云溪", "长坪", "宏远", "白沙"];
    Record {
        shape: Shape::Area(polygon),
        values: vec![
            Value::text(licence),
            Value::text(format!(
                "{}矿业有限公司(虚构)",
                companies[k % companies.len()]
            )),
            Value::text(format!(
                "{}{}{}",
                companies[(k + 2) % companies.len()],
                mineral,
                if range.is_some() { "矿" } else { "勘查" }
            )),
            Value::text(mineral),
            range.map_or(Value::Absent, |_| Value::text("露天")),
            Value::Real(((centi as f64) / 1e8 * 1e4).round() / 1e4),
            range.map_or(Value::Absent, |r| Value::Whole(r.0)),
            range.map_or(Value::Absent, |r| Value::Whole(r.1)),
            Value::text(format!("{}-01-01", until - 9)),
            Value::text(format!("{until}-12-31")),
            Value::text(if expired { "过期" } else { "在期" }),
            Value::text(corners),
            Value::text("虚构数据"),
        ],
    }
}

fn write_supervision(county: &County, out: &Path, samples: &Samples) -> Result<Json, CountyError> {
    let seed = county.options.seed;
    let [y0, y1] = county.options.years;
    let mut book = county.book(out, "批供用补查.gpkg", Container::GeoPackage)?;
    let land_fields = [
        text("BH", 20),
        text("XMMC", 60),
        text("WH", 40),
        text("RQ", 10),
        real("MJ", 15, 2),
        text("YT", 40),
        text("ZLDWDM", 19),
        text("BZ", 60),
    ];
    for layer in ["PZDK", "GYDK", "BCGD"] {
        book.add_layer(layer, wkbPolygon, &land_fields)?;
    }
    book.add_layer(
        "JCTB",
        wkbPolygon,
        &[
            text("JCBH", 20),
            text("TBLX", 6),
            text("QSX", 8),
            text("HSX", 8),
            text("ZLDWDM", 19),
            real("MJ", 15, 2),
            text("JL", 10),
            text("YJ", 60),
            text("BZ", 60),
        ],
    )?;
    book.add_layer(
        "DZZHD",
        wkbPoint,
        &[
            text("BH", 20),
            text("MC", 60),
            text("ZHLX", 20),
            text("WXDJ", 10),
            text("ZLDWDM", 19),
            text("BZ", 60),
        ],
    )?;
    let village = |v: usize| format!("{}0000000", county.places.villages[v].code);
    let record = |number: String,
                  name: String,
                  paper: String,
                  day: String,
                  centi: i64,
                  use_of: &str,
                  v: usize,
                  polygon: &Polygon| Record {
        shape: Shape::Area(polygon.clone()),
        values: vec![
            Value::text(number),
            Value::text(name),
            Value::text(paper),
            Value::text(day),
            square_metres(centi),
            Value::text(use_of),
            Value::text(village(v)),
            Value::text("虚构数据"),
        ],
    };
    let (mut approved, mut supplied, mut checks, mut supplements, mut texts) =
        (vec![], vec![], vec![], vec![], vec![]);
    let mut verdicts = Vec::new();
    let mut check = |number: usize,
                     kind: &str,
                     polygon: &Polygon,
                     v: usize,
                     centi: i64,
                     verdict: &str,
                     reason: &str| {
        verdicts.push(json!({ "JCBH": format!("JC{y1}{number:05}"), "verdict": verdict }));
        checks.push(Record {
            shape: Shape::Area(polygon.clone()),
            values: vec![
                Value::text(format!("JC{y1}{number:05}")),
                Value::text(kind),
                Value::text(format!("{y0}1231")),
                Value::text(format!("{y1}1231")),
                Value::text(village(v)),
                square_metres(centi),
                Value::text(verdict),
                Value::text(reason),
                Value::text("虚构数据"),
            ],
        });
    };
    let mut number = 0;
    for (k, (polygon, v, centi, class)) in samples.built.iter().enumerate() {
        number += 1;
        let is_approved = unit(seed ^ 440, k as i64, 0) < 0.6;
        if is_approved {
            let name = format!("示范县{y1}年第{}批次建设用地(虚构)", k / 10 + 1);
            approved.push(record(
                format!("PZ{:05}", k + 1),
                name.clone(),
                format!("虚构政地〔{y1}〕{}号", k + 1),
                format!("{}-06-15", y1 - 1),
                *centi,
                class.name(),
                *v,
                polygon,
            ));
            texts.push((name, polygon, *centi, class.name()));
            if k % 2 == 0 {
                supplied.push(record(
                    format!("GY{:05}", k + 1),
                    format!("PZ{:05}", k + 1),
                    format!("虚构出让〔{y1}〕{}号", k + 1),
                    format!("{y1}-03-01"),
                    *centi,
                    class.name(),
                    *v,
                    polygon,
                ));
            }
            check(number, "20", polygon, *v, *centi, "合法", "已批准建设用地");
        } else {
            check(number, "20", polygon, *v, *centi, "违法", "未经批准占用");
        }
    }
    for (polygon, v, centi) in &samples.sheds {
        number += 1;
        check(number, "20", polygon, *v, *centi, "其他", "设施农用地备案");
    }
    for (k, (polygon, v, centi)) in samples.reclaimed.iter().enumerate() {
        supplements.push(record(
            format!("BC{:05}", k + 1),
            format!("{}土地整治(虚构)", county.places.villages[*v].name),
            format!("虚构验〔{y1}〕{}号", k + 1),
            format!("{}-11-20", y1 - 1),
            *centi,
            "新增耕地",
            *v,
            polygon,
        ));
    }
    let hazards = hazards(county);
    book.write("PZDK", &approved)?;
    book.write("GYDK", &supplied)?;
    book.write("BCGD", &supplements)?;
    book.write("JCTB", &checks)?;
    book.write("DZZHD", &hazards)?;
    book.finish()?;
    let directory = out.join("报批坐标");
    make_directory(&directory)?;
    let files = texts.len().min(12);
    for (k, (name, polygon, centi, use_of)) in texts.iter().take(12).enumerate() {
        let text = boundary_text(county, name, polygon, *centi, use_of);
        let (bytes, _, _) = encoding_rs::GBK.encode(&text);
        write_bytes(&directory.join(format!("报批{:02}.txt", k + 1)), &bytes)?;
    }
    Ok(json!({
        "approved": approved.len(), "supplied": supplied.len(), "supplements": supplements.len(),
        "checks": verdicts, "hazards": hazards.len(), "boundary_files": files,
    }))
}

/// Points where steep ground stands over houses: all that are steep, and a few at least.
fn hazards(county: &County) -> Vec<Record> {
    const STEEP_DEG: f32 = 17.0;
    const AT_LEAST: usize = 4;
    let t: &Terrain = county.terrain;
    let houses = county
        .land
        .sites
        .iter()
        .filter(|s| s.kind == SiteKind::Village);
    let mut places: Vec<(f64, f64, usize)> = houses
        .filter_map(|site| {
            let around = (0..6).map(|k| {
                let a = f64::from(k) * std::f64::consts::TAU / 6.0;
                let d = site.radius_m + 90.0;
                let (x, y) = (site.x + d * a.cos(), site.y + d * a.sin());
                (x, y, t.cell_at(x, y))
            });
            around
                .filter(|&(_, _, cell)| county.places.village_of_cell[cell] > 0)
                .max_by(|a, b| t.slope_deg[a.2].total_cmp(&t.slope_deg[b.2]))
        })
        .collect();
    places.sort_by(|a, b| {
        let key = |p: &(f64, f64, usize)| (t.slope_deg[p.2], p.0, p.1);
        let ((s, x, y), (u, v, w)) = (key(b), key(a));
        s.total_cmp(&u).then(x.total_cmp(&v)).then(y.total_cmp(&w))
    });
    let steep = places
        .iter()
        .take_while(|p| t.slope_deg[p.2] > STEEP_DEG)
        .count();
    places.truncate(steep.max(AT_LEAST));
    let record = |(k, (x, y, cell)): (usize, (f64, f64, usize))| {
        let village = &county.places.villages[county.places.village_of_cell[cell] as usize - 1];
        let kind = if t.upstream[cell] > 20.0 {
            "泥石流"
        } else {
            "滑坡"
        };
        let risk = match t.slope_deg[cell] {
            s if s > 24.0 => "高",
            s if s > STEEP_DEG => "中",
            _ => "低",
        };
        Record {
            shape: Shape::Point(on_earth(
                county.corner,
                [(x * 1000.0) as i64, (y * 1000.0) as i64],
            )),
            values: vec![
                Value::text(format!("DZ{:05}", k + 1)),
                Value::text(format!("{}{kind}隐患点(虚构)", village.name)),
                Value::text(kind),
                Value::text(risk),
                Value::text(format!("{}0000000", village.code)),
                Value::text("虚构数据"),
            ],
        }
    };
    places.into_iter().enumerate().map(record).collect()
}

/// A boundary in the exchange format of survey offices: north before east, rings numbered.
fn boundary_text(
    county: &County,
    name: &str,
    polygon: &Polygon,
    centi: i64,
    use_of: &str,
) -> String {
    let zone = county.options.zone;
    let count: usize = polygon.iter().map(Vec::len).sum();
    let mut text = format!(
        "[项目信息]\r\n项目名称={name}\r\n[属性描述]\r\n格式版本号=1.01版本\r\n数据产生单位=示范县自然资源局(虚构)\r\n数据产生日期={}-06-01\r\n坐标系=2000国家大地坐标系\r\n几度分带=3\r\n投影类型=高斯克吕格\r\n计量单位=米\r\n带号={zone}\r\n精度=0.0001\r\n转换参数=,,,,,,\r\n[地块坐标]\r\n{count},{:.4},1,{use_of}地块,面,,{use_of},,@\r\n",
        county.options.years[1],
        centi as f64 / 1e6,
    );
    let mut number = 0;
    for (k, ring) in polygon.iter().enumerate() {
        let first = number + 1;
        for (i, p) in ring.iter().enumerate() {
            let last = i + 1 == ring.len();
            if !last {
                number += 1;
            }
            let [e, n] = on_earth(county.corner, *p);
            text.push_str(&format!(
                "J{},{},{n:.4},{e:.4}\r\n",
                if last { first } else { number },
                k + 1
            ));
        }
    }
    text
}
