//! What has to be settled before reading, from declarations and from the first features: text
//! encoding, reference system, axis order.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

use encoding_rs::{Encoding, UTF_8};
use gdal_sys::OGRFieldType as OgrType;
use gdal_sys::{
    GDALGetMetadataItem, OGR_F_GetFieldAsString, OGR_F_GetGeometryRef, OGR_F_IsFieldSetAndNotNull,
    OGR_FD_GetFieldCount, OGR_FD_GetFieldDefn, OGR_Fld_GetNameRef, OGR_Fld_GetType,
    OGR_G_GetEnvelope, OGR_G_IsEmpty, OGR_L_GetLayerDefn, OGR_L_GetNextFeature, OGR_L_ResetReading,
    OGREnvelope, OGRLayerH, OGRSpatialReferenceH, OSRClone, OSRDemoteTo2D, OSREPSGTreatsAsLatLong,
    OSREPSGTreatsAsNorthingEasting, OSRExportToWktEx, OSRGetDataAxisToSRSAxisMapping, OSRGetName,
    OSRRelease, VSIFree,
};

use super::SourceError;
use super::csv::Number;
use super::layer::{RawFeature, whole_layer};
use super::locate::Located;
use super::ogr::{ErrorTrap, bytes, text};
use super::text::{self as encoding_of, Evidence, TextEncoding};
use crate::crs::{Crs, coordinate_hint};
use crate::geom::Bbox;
use crate::model::{IssueCode, IssueLog, Severity};

/// Features looked at before reading starts, for encoding, numbers and zone.
const SAMPLE_FEATURES: usize = 2000;
const SAMPLE_SHAPES: usize = 200;

/// What the first features tell.
pub(super) struct Sample {
    pub evidence: Evidence,
    pub bbox: Bbox,
    /// What the texts of each field look like.
    pub numbers: Vec<Number>,
    pub features: u64,
    /// GDAL's errors when the layer broke off within the sample.
    pub broken_off: Vec<String>,
}

/// Looks at the first features: their text, and where they are.
pub(super) fn sample(layer: OGRLayerH, trap: &ErrorTrap) -> Sample {
    let mut sample = Sample {
        evidence: Evidence::default(),
        bbox: Bbox::EMPTY,
        numbers: Vec::new(),
        features: 0,
        broken_off: Vec::new(),
    };
    // SAFETY: the layer lives; features are owned and destroyed here, texts only looked at.
    unsafe {
        let definition = OGR_L_GetLayerDefn(layer);
        let fields = OGR_FD_GetFieldCount(definition);
        sample
            .numbers
            .resize(fields.max(0) as usize, Number::Unseen);
        let texts: Vec<c_int> = (0..fields)
            .filter(|&field| {
                OGR_Fld_GetType(OGR_FD_GetFieldDefn(definition, field)) == OgrType::OFTString
            })
            .collect();
        for field in 0..fields {
            let field = OGR_FD_GetFieldDefn(definition, field);
            sample.evidence.add(bytes(OGR_Fld_GetNameRef(field)));
        }
        for seen in 0..SAMPLE_FEATURES {
            trap.take();
            let raw = OGR_L_GetNextFeature(layer);
            if raw.is_null() {
                sample.broken_off = trap.take();
                break;
            }
            let raw = RawFeature(raw);
            sample.features += 1;
            for &field in &texts {
                if OGR_F_IsFieldSetAndNotNull(raw.0, field) != 0 {
                    let text = bytes(OGR_F_GetFieldAsString(raw.0, field));
                    sample.evidence.add(text);
                    let number = &mut sample.numbers[field as usize];
                    *number = number.and(text);
                }
            }
            let geometry = OGR_F_GetGeometryRef(raw.0);
            if seen < SAMPLE_SHAPES && !geometry.is_null() && OGR_G_IsEmpty(geometry) == 0 {
                let mut envelope = OGREnvelope {
                    MinX: 0.0,
                    MaxX: 0.0,
                    MinY: 0.0,
                    MaxY: 0.0,
                };
                OGR_G_GetEnvelope(geometry, &mut envelope);
                sample.bbox = sample.bbox.union(&Bbox::new(
                    envelope.MinX,
                    envelope.MinY,
                    envelope.MaxX,
                    envelope.MaxY,
                ));
            }
        }
        OGR_L_ResetReading(layer);
    }
    sample
}

pub(super) fn settle_encoding(
    layer: OGRLayerH,
    wanted: TextEncoding,
    evidence: &Evidence,
    issues: &mut IssueLog,
) -> &'static Encoding {
    if let TextEncoding::Named(encoding) = wanted {
        return encoding;
    }
    let mark = |item: &CStr| {
        // SAFETY: the layer lives; the text is copied.
        unsafe {
            text(GDALGetMetadataItem(
                layer,
                item.as_ptr(),
                c"SHAPEFILE".as_ptr(),
            ))
        }
    };
    let code_page = mark(c"CPG_VALUE");
    let language = mark(c"LDID_VALUE");
    let declared = encoding_of::code_page(&code_page)
        .map(|encoding| (encoding, format!(".cpg says {code_page:?}")))
        .or_else(|| {
            let byte = language.parse().ok()?;
            let encoding = encoding_of::dbf_language(byte)?;
            Some((encoding, format!("the DBF language byte is {byte}")))
        });
    let is_shapefile = !language.is_empty() || !code_page.is_empty();
    match declared {
        Some((encoding, says)) if evidence.contradicts(encoding) => {
            let found = evidence.verdict();
            issues.push(whole_layer(
                IssueCode::EncodingGuessed,
                Severity::Repaired,
                format!(
                    "{says}, but the text is {} (字符编码标记与内容不符)",
                    found.name()
                ),
            ));
            found
        }
        Some((encoding, _)) => encoding,
        None if evidence.is_silent() => UTF_8,
        None => {
            let found = evidence.verdict();
            if is_shapefile || found != UTF_8 {
                issues.push(whole_layer(
                    IssueCode::EncodingGuessed,
                    Severity::Note,
                    format!(
                        "the source does not say its text encoding; by its bytes it is {} (字符编码由内容判断)",
                        found.name()
                    ),
                ));
            }
            found
        }
    }
}

pub(super) fn settle_crs(
    wanted: Option<&Crs>,
    reference: OGRSpatialReferenceH,
    located: &Located,
    layer: &str,
    sample: &Bbox,
    issues: &mut IssueLog,
) -> Result<Crs, SourceError> {
    let name = || located.display.clone();
    let crs = match wanted {
        Some(crs) => crs.clone(),
        None => {
            let hint = coordinate_hint(sample);
            let no_crs = || SourceError::NoCrs {
                name: name(),
                layer: layer.to_string(),
                hint: if hint.is_empty() {
                    String::new()
                } else {
                    format!("; {hint}")
                },
            };
            let definition = match located.told.and_then(|told| told.epsg) {
                Some(code) => format!("EPSG:{code}"),
                // SAFETY: null or a live reference of the layer.
                None => unsafe { wkt_of(reference) }.ok_or_else(no_crs)?,
            };
            Crs::from_definition(&definition).map_err(|source| SourceError::Crs {
                name: name(),
                layer: layer.to_string(),
                source: Box::new(source),
            })?
        }
    };
    if let Some((reason, code)) = crs.disagreement(sample) {
        return Err(SourceError::CrsDisagrees {
            name: name(),
            layer: layer.to_string(),
            declared: crs.label(),
            reason,
            suggestion: code,
        });
    }
    if wanted.is_none() && crs.epsg.is_none() {
        issues.push(whole_layer(
            IssueCode::CrsWithoutCode,
            Severity::Note,
            format!(
                "{:?} is not in the EPSG registry; it is kept as its definition",
                crs.name
            ),
        ));
    }
    Ok(crs)
}

/// WKT of a reference that says something: engineering systems and GDAL's placeholder for "none"
/// say nothing.
///
/// # Safety
/// `reference` is null or a live spatial reference.
unsafe fn wkt_of(reference: OGRSpatialReferenceH) -> Option<String> {
    if reference.is_null() {
        return None;
    }
    // SAFETY: by contract; the text is copied and freed.
    unsafe {
        let name = text(OSRGetName(reference)).to_lowercase();
        if name.starts_with("undefined") || name == "unknown" || name.is_empty() {
            return None;
        }
        let format = CString::new("FORMAT=WKT2_2019").ok()?;
        let options: [*const c_char; 2] = [format.as_ptr(), ptr::null()];
        let mut wkt: *mut c_char = ptr::null_mut();
        // Heights stay with the shapes; the system is that of the plane.
        let flat = OSRClone(reference);
        OSRDemoteTo2D(flat, ptr::null());
        OSRExportToWktEx(flat, &mut wkt, options.as_ptr());
        OSRRelease(flat);
        let copy = text(wkt);
        VSIFree(wkt.cast());
        (!copy.is_empty()).then_some(copy)
    }
}

/// True when coordinates come north first: the authority's order, and the layer says that the
/// data follow it.
///
/// # Safety
/// `reference` is null or a live spatial reference.
pub(super) unsafe fn has_northing_first(reference: OGRSpatialReferenceH) -> bool {
    if reference.is_null() {
        return false;
    }
    // SAFETY: by contract; the mapping has `count` elements and belongs to the reference.
    unsafe {
        let by_authority = OSREPSGTreatsAsLatLong(reference) != 0
            || OSREPSGTreatsAsNorthingEasting(reference) != 0;
        let mut count: c_int = 0;
        let mapping = OSRGetDataAxisToSRSAxisMapping(reference, &mut count);
        by_authority && !mapping.is_null() && count >= 2 && *mapping == 1
    }
}
