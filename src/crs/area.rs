//! The area of use of a system in its own plane, to tell coordinates that cannot be right.

use proj::Proj;

use super::Crs;
use crate::geom::Bbox;

/// Samples per side of the area of use.
const STEPS: usize = 20;
/// How far beyond a geographic area of use data may reasonably reach, in degrees: seas, islands,
/// neighbours on the same sheet.
const GEOGRAPHIC_MARGIN_DEG: f64 = 3.0;
/// The same for projected systems, as a share of the area's size: a county on the border of two
/// zones is kept whole in one of them.
const PROJECTED_MARGIN: f64 = 0.5;

impl Crs {
    /// The box of plausible coordinates in this system: its area of use with a generous margin.
    /// `None` when the area is not known.
    pub fn plausible_bbox(&self) -> Option<Bbox> {
        let [west, south, east, north] = self.area_of_use?;
        if self.geographic {
            let margin = GEOGRAPHIC_MARGIN_DEG;
            // Some data count longitudes beyond 180° rather than break a shape there.
            let (west, east) = if west > east || east - west > 350.0 {
                (-360.0, 360.0)
            } else {
                (west, east)
            };
            return Some(Bbox::new(
                west - margin,
                (south - margin).max(-90.0),
                east + margin,
                (north + margin).min(90.0),
            ));
        }
        let forward = Proj::new_known_crs("EPSG:4326", &self.definition, None).ok()?;
        let width = if west > east {
            east + 360.0 - west
        } else {
            east - west
        };
        let mut bbox = Bbox::EMPTY;
        for row in 0..=STEPS {
            for column in 0..=STEPS {
                let longitude = west + width * column as f64 / STEPS as f64;
                let longitude = if longitude > 180.0 {
                    longitude - 360.0
                } else {
                    longitude
                };
                let latitude = south + (north - south) * row as f64 / STEPS as f64;
                if let Ok((x, y)) = forward.convert((longitude, latitude))
                    && x.is_finite()
                    && y.is_finite()
                {
                    bbox.extend(x, y);
                }
            }
        }
        (!bbox.is_empty()).then(|| {
            bbox.expanded(
                bbox.width() * PROJECTED_MARGIN,
                bbox.height() * PROJECTED_MARGIN,
            )
        })
    }
}
