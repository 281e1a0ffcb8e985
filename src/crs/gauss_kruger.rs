//! The Gauss-Krüger zones of China: registry codes, zone prefixes, and what bare coordinates say
//! about them.
//!
//! A 3° zone `z` has its central meridian at 3z, a 6° zone `n` at 6n − 3. The false easting is
//! 500 km, with the zone number in front in the prefixed variants (zone 39 → 39 500 000 m). 3°
//! zones run from 25 to 45 and 6° zones from 13 to 23, so a prefix alone tells the width.
//! Registry codes: EPSG geodetic parameter dataset, <https://epsg.org>.

use crate::geom::Bbox;

/// The national datums with Gauss-Krüger grids in regular blocks of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datum {
    /// 2000 国家大地坐标系
    Cgcs2000,
    /// 1980 西安坐标系
    Xian1980,
    /// 1954 北京坐标系
    Beijing1954,
}

impl Datum {
    pub const ALL: [Datum; 3] = [Datum::Cgcs2000, Datum::Xian1980, Datum::Beijing1954];

    /// EPSG code of longitude and latitude on this datum.
    pub fn geographic_epsg(self) -> u32 {
        match self {
            Datum::Cgcs2000 => 4490,
            Datum::Xian1980 => 4610,
            Datum::Beijing1954 => 4214,
        }
    }

    /// Code − zone for: 3° prefixed, 3° by central meridian, 6° prefixed, 6° by central meridian.
    fn code_offsets(self) -> [u32; 4] {
        match self {
            Datum::Cgcs2000 => [4488, 4509, 4478, 4489],
            Datum::Xian1980 => [2324, 2345, 2314, 2325],
            Datum::Beijing1954 => [2376, 2397, 21400, 21440],
        }
    }
}

/// Width of a zone in degrees of longitude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneWidth {
    Three,
    Six,
}

/// One zone of one national grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GaussKruger {
    pub datum: Datum,
    pub width: ZoneWidth,
    pub zone: u32,
    /// Whether eastings carry the zone number in front.
    pub prefixed: bool,
}

impl GaussKruger {
    /// Every zone of `datum`, prefixed and not.
    pub fn zones(datum: Datum) -> impl Iterator<Item = GaussKruger> {
        [
            (ZoneWidth::Three, true),
            (ZoneWidth::Three, false),
            (ZoneWidth::Six, true),
            (ZoneWidth::Six, false),
        ]
        .into_iter()
        .flat_map(move |(width, prefixed)| {
            zone_range(width).map(move |zone| GaussKruger {
                datum,
                width,
                zone,
                prefixed,
            })
        })
    }

    /// The zone a registry code stands for.
    pub fn from_epsg(code: u32) -> Option<GaussKruger> {
        Datum::ALL
            .into_iter()
            .flat_map(GaussKruger::zones)
            .find(|zone| zone.epsg() == code)
    }

    pub fn epsg(&self) -> u32 {
        let [three_prefixed, three, six_prefixed, six] = self.datum.code_offsets();
        self.zone
            + match (self.width, self.prefixed) {
                (ZoneWidth::Three, true) => three_prefixed,
                (ZoneWidth::Three, false) => three,
                (ZoneWidth::Six, true) => six_prefixed,
                (ZoneWidth::Six, false) => six,
            }
    }

    pub fn central_meridian_deg(&self) -> f64 {
        match self.width {
            ZoneWidth::Three => f64::from(self.zone) * 3.0,
            ZoneWidth::Six => f64::from(self.zone) * 6.0 - 3.0,
        }
    }

    pub fn false_easting_m(&self) -> f64 {
        let prefix = if self.prefixed { self.zone } else { 0 };
        f64::from(prefix) * 1e6 + 500_000.0
    }

    /// The same zone with or without the prefix.
    pub fn with_prefix(self, prefixed: bool) -> GaussKruger {
        GaussKruger { prefixed, ..self }
    }
}

fn zone_range(width: ZoneWidth) -> std::ops::RangeInclusive<u32> {
    match width {
        ZoneWidth::Three => 25..=45,
        ZoneWidth::Six => 13..=23,
    }
}

/// The zone that the leading digits of eastings name, when all of them name one and the northings
/// are those of China.
fn prefixed_zone(bbox: &Bbox) -> Option<(ZoneWidth, u32)> {
    let zone = (bbox.min_x / 1e6).floor();
    if zone != (bbox.max_x / 1e6).floor() || !has_national_northings(bbox) {
        return None;
    }
    [ZoneWidth::Three, ZoneWidth::Six]
        .into_iter()
        .find(|&width| zone_range(width).any(|known| f64::from(known) == zone))
        .map(|width| (width, zone as u32))
}

/// True when eastings look like 500 km ± half a wide zone, without a prefix.
fn has_bare_eastings(bbox: &Bbox) -> bool {
    bbox.min_x > 50_000.0 && bbox.max_x < 950_000.0 && has_national_northings(bbox)
}

fn has_national_northings(bbox: &Bbox) -> bool {
    bbox.min_y > 300_000.0 && bbox.max_y < 6_500_000.0
}

fn is_like_degrees(bbox: &Bbox) -> bool {
    bbox.min_x >= -360.0 && bbox.max_x <= 360.0 && bbox.min_y >= -90.0 && bbox.max_y <= 90.0
}

/// What the coordinates of a layer suggest giving as its reference system, as a clause for a
/// message; empty when they suggest nothing.
pub fn coordinate_hint(bbox: &Bbox) -> String {
    if bbox.is_empty() {
        return String::new();
    }
    if let Some((width, zone)) = prefixed_zone(bbox) {
        let code = |datum| {
            GaussKruger {
                datum,
                width,
                zone,
                prefixed: true,
            }
            .epsg()
        };
        let degrees = match width {
            ZoneWidth::Three => 3,
            ZoneWidth::Six => 6,
        };
        return format!(
            "eastings begin with zone {zone} of a {degrees}° grid: EPSG:{} on CGCS2000, EPSG:{} on Xi'an 1980, EPSG:{} on Beijing 1954",
            code(Datum::Cgcs2000),
            code(Datum::Xian1980),
            code(Datum::Beijing1954)
        );
    }
    if is_like_degrees(bbox) {
        return "coordinates look like degrees: EPSG:4490 (CGCS2000) or EPSG:4326 (WGS 84)"
            .to_string();
    }
    if has_bare_eastings(bbox) {
        return "coordinates look like a Gauss-Krüger grid without zone number: EPSG:4509 + zone for CGCS2000 3° (EPSG:4548 for the central meridian 117° E)"
            .to_string();
    }
    String::new()
}

/// Compares the coordinates of a layer with the zone its reference system declares; returns what
/// is wrong and what to give instead.
pub(super) fn zone_disagreement(declared: GaussKruger, bbox: &Bbox) -> Option<(String, u32)> {
    match (declared.prefixed, prefixed_zone(bbox)) {
        (true, Some((_, zone))) if zone == declared.zone => None,
        (true, Some((width, zone))) => {
            let right = GaussKruger {
                width,
                zone,
                ..declared
            };
            Some((
                format!(
                    "eastings begin with zone {zone}, the system is that of zone {}",
                    declared.zone
                ),
                right.epsg(),
            ))
        }
        (false, Some((width, zone))) => {
            let right = GaussKruger {
                width,
                zone,
                prefixed: true,
                ..declared
            };
            Some((
                format!(
                    "eastings begin with zone number {zone}, the system has none (带号不符: 坐标带有带号 {zone}, 坐标系不带带号)"
                ),
                right.epsg(),
            ))
        }
        (true, None) if has_bare_eastings(bbox) => Some((
            format!(
                "eastings have no zone number, the system expects {} in front (带号不符: 坐标不带带号, 坐标系带有带号 {})",
                declared.zone, declared.zone
            ),
            declared.with_prefix(false).epsg(),
        )),
        (true | false, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_follow_the_registry_blocks() {
        for (code, meridian, easting) in [
            (4513, 75.0, 25_500_000.0),
            (4527, 117.0, 39_500_000.0),
            (4548, 117.0, 500_000.0),
            (4491, 75.0, 13_500_000.0),
            (4509, 117.0, 500_000.0),
            (2362, 114.0, 38_500_000.0),
            (2383, 114.0, 500_000.0),
            (21419, 111.0, 19_500_000.0),
            (21459, 111.0, 500_000.0),
            (2414, 114.0, 38_500_000.0),
            (2435, 114.0, 500_000.0),
        ] {
            let zone = GaussKruger::from_epsg(code).expect("a code of the blocks");
            assert_eq!(zone.epsg(), code);
            assert_eq!(zone.central_meridian_deg(), meridian, "{code}");
            assert_eq!(zone.false_easting_m(), easting, "{code}");
        }
        assert_eq!(GaussKruger::from_epsg(4490), None);
        assert_eq!(GaussKruger::from_epsg(4326), None);
    }

    #[test]
    fn a_missing_or_extra_zone_number_is_noticed_and_the_right_code_named() {
        let with_prefix = Bbox::new(39_480_000.0, 3_300_000.0, 39_490_000.0, 3_310_000.0);
        let without = Bbox::new(480_000.0, 3_300_000.0, 490_000.0, 3_310_000.0);
        let zone39 = GaussKruger::from_epsg(4527).unwrap();
        let cm117 = GaussKruger::from_epsg(4548).unwrap();
        assert_eq!(zone_disagreement(zone39, &with_prefix), None);
        assert_eq!(zone_disagreement(cm117, &without), None);
        assert_eq!(zone_disagreement(zone39, &without).unwrap().1, 4548);
        assert_eq!(zone_disagreement(cm117, &with_prefix).unwrap().1, 4527);
        let zone38 = GaussKruger::from_epsg(4526).unwrap();
        assert_eq!(zone_disagreement(zone38, &with_prefix).unwrap().1, 4527);
    }
}
