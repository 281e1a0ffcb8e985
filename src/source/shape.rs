//! OGR geometries to flat shapes.
//!
//! One call into GDAL copies a whole ring to its place in the flat vector. Curves become chords,
//! measures are left out, collections give their parts of the highest dimension; each is told to
//! the caller.

use std::ffi::{c_int, c_void};
use std::ptr;

use gdal_sys::OGRwkbGeometryType as Wkb;
use gdal_sys::{
    OGR_G_DestroyGeometry, OGR_G_GetGeometryCount, OGR_G_GetGeometryRef, OGR_G_GetGeometryType,
    OGR_G_GetLinearGeometry, OGR_G_GetPointCount, OGR_G_GetPoints, OGR_G_HasCurveGeometry,
    OGR_G_Is3D, OGR_G_IsEmpty, OGR_G_IsMeasured, OGR_GT_Flatten, OGR_GT_IsNonLinear, OGRGeometryH,
};

use crate::geom::{Geometry, GeometryType};

/// A converted shape and what the conversion changed.
pub(super) struct Shape {
    /// `None` when nothing is left: the source's geometry is empty.
    pub geometry: Option<Geometry>,
    pub had_curves: bool,
    pub had_measures: bool,
    /// Parts of a collection left out because others have a higher dimension.
    pub dropped_parts: usize,
    /// The OGC type number, when it is none that has a flat form.
    pub unsupported: Option<u32>,
}

/// The flat type of an OGR type; `None` for collections and unknown.
pub(super) fn declared_type(wkb: Wkb::Type) -> Option<GeometryType> {
    // SAFETY: pure functions of a number.
    match unsafe { OGR_GT_Flatten(wkb) } {
        Wkb::wkbPoint => Some(GeometryType::Point),
        Wkb::wkbMultiPoint => Some(GeometryType::MultiPoint),
        Wkb::wkbLineString | Wkb::wkbCircularString | Wkb::wkbCompoundCurve | Wkb::wkbCurve => {
            Some(GeometryType::LineString)
        }
        Wkb::wkbMultiLineString | Wkb::wkbMultiCurve => Some(GeometryType::MultiLineString),
        Wkb::wkbPolygon | Wkb::wkbCurvePolygon | Wkb::wkbTriangle => Some(GeometryType::Polygon),
        Wkb::wkbMultiPolygon
        | Wkb::wkbMultiSurface
        | Wkb::wkbPolyhedralSurface
        | Wkb::wkbTIN
        | Wkb::wkbSurface => Some(GeometryType::MultiPolygon),
        _ => None,
    }
}

/// Converts one geometry.
///
/// # Safety
/// `handle` is a live OGR geometry.
pub(super) unsafe fn convert(handle: OGRGeometryH) -> Shape {
    // SAFETY: the handle lives; a linearised copy is owned and destroyed here.
    unsafe {
        let wkb = OGR_G_GetGeometryType(handle);
        let mut shape = Shape {
            geometry: None,
            had_curves: false,
            had_measures: OGR_G_IsMeasured(handle) != 0,
            dropped_parts: 0,
            unsupported: None,
        };
        let flat = OGR_GT_Flatten(wkb);
        let may_curve = OGR_GT_IsNonLinear(wkb) != 0 || flat == Wkb::wkbGeometryCollection;
        if may_curve && OGR_G_HasCurveGeometry(handle, 0) != 0 {
            shape.had_curves = OGR_G_HasCurveGeometry(handle, 1) != 0;
            let linear = OGR_G_GetLinearGeometry(handle, 0.0, ptr::null_mut());
            if !linear.is_null() {
                fill(linear, &mut shape);
                OGR_G_DestroyGeometry(linear);
                return shape;
            }
        }
        fill(handle, &mut shape);
        shape
    }
}

/// # Safety
/// `handle` is a live, linear OGR geometry.
unsafe fn fill(handle: OGRGeometryH, shape: &mut Shape) {
    // SAFETY: children live as long as their parent.
    unsafe {
        let flat = OGR_GT_Flatten(OGR_G_GetGeometryType(handle));
        let kind = match flat {
            Wkb::wkbPoint => GeometryType::Point,
            Wkb::wkbMultiPoint => GeometryType::MultiPoint,
            Wkb::wkbLineString | Wkb::wkbLinearRing => GeometryType::LineString,
            Wkb::wkbMultiLineString => GeometryType::MultiLineString,
            Wkb::wkbPolygon | Wkb::wkbTriangle => GeometryType::Polygon,
            Wkb::wkbMultiPolygon | Wkb::wkbPolyhedralSurface | Wkb::wkbTIN => {
                GeometryType::MultiPolygon
            }
            Wkb::wkbGeometryCollection => return fill_from_collection(handle, shape),
            other => {
                shape.unsupported = Some(other);
                return;
            }
        };
        let mut geometry = Geometry::new(kind);
        let with_z = OGR_G_Is3D(handle) != 0;
        append(handle, with_z, &mut geometry);
        shape.geometry = (!geometry.is_empty()).then_some(geometry);
    }
}

/// Keeps the members of the highest dimension.
///
/// # Safety
/// `handle` is a live OGR collection.
unsafe fn fill_from_collection(handle: OGRGeometryH, shape: &mut Shape) {
    let mut members = Vec::new();
    // SAFETY: the handle lives and with it its members.
    unsafe { collect_members(handle, &mut members, shape) };
    let Some(dimension) = members.iter().map(|(kind, _)| kind.dimension()).max() else {
        return;
    };
    let mut kept = members
        .iter()
        .filter(|(kind, _)| kind.dimension() == dimension);
    let count = kept.clone().count();
    shape.dropped_parts = members.len() - count;
    let Some(&(first, _)) = kept.clone().next() else {
        return;
    };
    let mut geometry = Geometry::new(if count == 1 { first } else { first.to_multi() });
    // SAFETY: as above.
    let with_z = kept
        .clone()
        .all(|&(_, member)| unsafe { OGR_G_Is3D(member) != 0 });
    for &(_, member) in kept.by_ref() {
        // SAFETY: as above.
        unsafe { append(member, with_z, &mut geometry) };
    }
    shape.geometry = Some(geometry);
}

/// # Safety
/// `handle` is a live OGR collection; what is put in `members` lives as long as it.
unsafe fn collect_members(
    handle: OGRGeometryH,
    members: &mut Vec<(GeometryType, OGRGeometryH)>,
    shape: &mut Shape,
) {
    // SAFETY: children live as long as their parent; indices are within the count.
    unsafe {
        for index in 0..OGR_G_GetGeometryCount(handle) {
            let member = OGR_G_GetGeometryRef(handle, index);
            let wkb = OGR_G_GetGeometryType(member);
            if OGR_G_IsEmpty(member) != 0 {
                continue;
            }
            match declared_type(wkb) {
                Some(kind) => members.push((kind, member)),
                None if OGR_GT_Flatten(wkb) == Wkb::wkbGeometryCollection => {
                    collect_members(member, members, shape);
                }
                None => shape.unsupported = Some(wkb),
            }
        }
    }
}

/// Appends the vertices, rings and parts of a simple or multi geometry.
///
/// # Safety
/// `handle` is a live, linear OGR geometry that is no collection of mixed types.
unsafe fn append(handle: OGRGeometryH, with_z: bool, out: &mut Geometry) {
    // SAFETY: children live as long as their parent; indices are within the count.
    unsafe {
        match OGR_GT_Flatten(OGR_G_GetGeometryType(handle)) {
            Wkb::wkbPoint => {
                if OGR_G_IsEmpty(handle) == 0 {
                    append_points(handle, with_z, out);
                }
            }
            Wkb::wkbLineString | Wkb::wkbLinearRing => {
                if append_points(handle, with_z, out) {
                    out.ends.push(out.vertex_count() as u32);
                }
            }
            Wkb::wkbPolygon | Wkb::wkbTriangle => {
                let rings = out.ends.len();
                for index in 0..OGR_G_GetGeometryCount(handle) {
                    let empty_shell = index > 0 && out.ends.len() == rings;
                    if !empty_shell
                        && append_points(OGR_G_GetGeometryRef(handle, index), with_z, out)
                    {
                        out.ends.push(out.vertex_count() as u32);
                    }
                }
                if out.ends.len() > rings {
                    out.close_part();
                }
            }
            _ => {
                for index in 0..OGR_G_GetGeometryCount(handle) {
                    append(OGR_G_GetGeometryRef(handle, index), with_z, out);
                }
            }
        }
    }
}

/// Copies all vertices of a point, line or ring; false when there are none.
///
/// # Safety
/// `handle` is a live OGR point, line or ring.
unsafe fn append_points(handle: OGRGeometryH, with_z: bool, out: &mut Geometry) -> bool {
    const PAIR: c_int = (2 * size_of::<f64>()) as c_int;
    const ONE: c_int = size_of::<f64>() as c_int;
    // SAFETY: room for `count` vertices is reserved before GDAL writes as many, x and y
    // interleaved; the lengths are raised only over what was written.
    unsafe {
        let count = OGR_G_GetPointCount(handle).max(0) as usize;
        if count == 0 {
            return false;
        }
        let (xy_length, z_length) = (out.xy.len(), out.z.len());
        out.xy.reserve(count * 2);
        let xy = out.xy.as_mut_ptr().add(xy_length);
        let z = if with_z {
            out.z.reserve(count);
            out.z.as_mut_ptr().add(z_length)
        } else {
            ptr::null_mut()
        };
        let written = OGR_G_GetPoints(
            handle,
            xy.cast::<c_void>(),
            PAIR,
            xy.add(1).cast::<c_void>(),
            PAIR,
            z.cast::<c_void>(),
            if with_z { ONE } else { 0 },
        )
        .max(0) as usize;
        let written = written.min(count);
        out.xy.set_len(xy_length + written * 2);
        if with_z {
            out.z.set_len(z_length + written);
        }
        written > 0
    }
}
