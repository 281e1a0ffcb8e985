//! GEOS, through GDAL, for the rare shape whose boundary crosses or touches itself.

use std::ffi::{c_int, c_void};
use std::ptr;

use gdal_sys::OGRwkbGeometryType as Wkb;
use gdal_sys::{
    OGR_G_AddGeometryDirectly, OGR_G_CreateGeometry, OGR_G_DestroyGeometry, OGR_G_IsValid,
    OGR_G_MakeValidEx, OGR_G_SetPoints, OGRGeometryH,
};

use super::ogr::{ErrorTrap, TextList};
use super::shape;
use crate::geom::Geometry;

/// Whether polygons are valid by the OGC simple-feature rules.
pub fn is_valid(geometry: &Geometry) -> bool {
    let _trap = ErrorTrap::set();
    let polygons = Owned::polygons(geometry);
    // SAFETY: the geometry lives.
    unsafe { OGR_G_IsValid(polygons.0) != 0 }
}

/// Splits polygons where their boundary crosses itself and rebuilds shells and holes from the
/// pieces: what any shell winds around is kept, minus what the holes wind around. No vertex moves;
/// crossings become vertices. `None` when nothing with an area is left or GEOS gives up.
pub fn make_valid(geometry: &Geometry) -> Option<Geometry> {
    let _trap = ErrorTrap::set();
    let polygons = Owned::polygons(geometry);
    let options = TextList::new(vec![c"METHOD=STRUCTURE".to_owned()]);
    // SAFETY: the geometry lives; the result is a new one owned here.
    unsafe {
        let mut made = OGR_G_MakeValidEx(polygons.0, options.as_ptr().cast_mut().cast());
        if made.is_null() {
            // GEOS before 3.10 has only the other method.
            made = OGR_G_MakeValidEx(polygons.0, ptr::null_mut());
        }
        if made.is_null() {
            return None;
        }
        let made = Owned(made);
        shape::convert(made.0)
            .geometry
            .filter(|geometry| geometry.kind.dimension() == 2)
    }
}

/// An OGR geometry of our own.
struct Owned(OGRGeometryH);

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: owned by this value, destroyed once.
        unsafe { OGR_G_DestroyGeometry(self.0) };
    }
}

impl Owned {
    /// A multipolygon of the polygons of `geometry`.
    fn polygons(geometry: &Geometry) -> Owned {
        const PAIR: c_int = (2 * size_of::<f64>()) as c_int;
        const ONE: c_int = size_of::<f64>() as c_int;
        // SAFETY: parts are created here and handed to their parent at once; `OGR_G_SetPoints`
        // reads as many vertices as the ring has.
        unsafe {
            let multi = OGR_G_CreateGeometry(Wkb::wkbMultiPolygon);
            let mut first = 0usize;
            for rings in geometry.polygons() {
                let polygon = OGR_G_CreateGeometry(Wkb::wkbPolygon);
                for index in rings {
                    let xy = geometry.ring(index);
                    let count = xy.len() / 2;
                    let z = geometry.z.get(first..first + count);
                    let ring = OGR_G_CreateGeometry(Wkb::wkbLinearRing);
                    OGR_G_SetPoints(
                        ring,
                        count as c_int,
                        xy.as_ptr().cast::<c_void>(),
                        PAIR,
                        xy.as_ptr().add(1).cast::<c_void>(),
                        PAIR,
                        z.map_or(ptr::null(), |z| z.as_ptr().cast::<c_void>()),
                        if z.is_some() { ONE } else { 0 },
                    );
                    OGR_G_AddGeometryDirectly(polygon, ring);
                    first += count;
                }
                OGR_G_AddGeometryDirectly(multi, polygon);
            }
            Owned(multi)
        }
    }
}
