//! A layer ready for reading: schema, reference system and encoding are settled, features stream.

use gdal_sys::{
    OGR_F_Destroy, OGR_F_GetFID, OGR_F_GetGeometryRef, OGR_FD_GetGeomFieldCount, OGR_GT_HasZ,
    OGR_L_GetFeatureCount, OGR_L_GetGeomType, OGR_L_GetLayerDefn, OGR_L_GetName,
    OGR_L_GetNextFeature, OGR_L_GetSpatialRef, OGR_L_ResetReading, OGRFeatureH, OGRLayerH,
    OGRwkbGeometryType,
};

use super::attribute::Attributes;
use super::locate::Located;
use super::ogr::{ErrorTrap, Handle, bytes};
use super::text::{self as encoding_of, TextEncoding};
use super::{SourceDataset, SourceError, csv, settle, shape};
use crate::crs::Crs;
use crate::geom::GeometryType;
use crate::model::{Feature, Issue, IssueCode, IssueLog, Schema, Severity, SourceInfo};

/// How the source's format wants shells to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Winding {
    /// Shapefile and geodatabase.
    ShellClockwise,
    /// GeoJSON (RFC 7946).
    ShellCounterClockwise,
    /// Formats that leave it open.
    Free,
}

/// A stream of features of one layer. Owned by one thread at a time.
pub struct SourceLayer {
    // Declared first: the dataset is closed before the memory files it reads go away.
    _handle: Handle,
    layer: LayerPointer,
    located: Located,
    name: String,
    driver: String,
    attributes: Attributes,
    crs: Crs,
    geometry_type: Option<GeometryType>,
    has_z: bool,
    swap_axes: bool,
    feature_count: Option<u64>,
    read: u64,
    finished: bool,
}

struct LayerPointer(OGRLayerH);

// SAFETY: the layer belongs to the dataset handle of the same struct, and moves with it.
unsafe impl Send for LayerPointer {}

impl SourceLayer {
    pub(super) fn new(
        dataset: SourceDataset,
        index: usize,
        issues: &mut IssueLog,
    ) -> Result<SourceLayer, SourceError> {
        let trap = ErrorTrap::set();
        let layer = dataset.layer_handle(index);
        let driver = dataset.driver().to_string();
        let SourceDataset {
            handle,
            mut located,
            spec,
            ..
        } = dataset;
        for issue in located.issues.drain(..) {
            issues.push(issue);
        }
        // SAFETY: layer and definition live as long as `handle`; texts are copied.
        let (raw_name, wkb, geometry_columns) = unsafe {
            let definition = OGR_L_GetLayerDefn(layer);
            (
                bytes(OGR_L_GetName(layer)).to_vec(),
                OGR_L_GetGeomType(layer),
                OGR_FD_GetGeomFieldCount(definition),
            )
        };
        let name = encoding_of::decode_with_rescue(encoding_rs::UTF_8, &raw_name).0;
        if wkb == OGRwkbGeometryType::wkbNone || geometry_columns == 0 {
            return Err(SourceError::NoGeometry {
                name: located.display,
                layer: name,
                hint: if driver == "CSV" {
                    csv::hint()
                } else {
                    String::new()
                },
            });
        }
        if geometry_columns > 1 {
            issues.push(whole_layer(
                IssueCode::FieldUnsupported,
                Severity::Note,
                format!("{geometry_columns} geometry columns, the first is read"),
            ));
        }
        // SAFETY: the layer lives. Counts are taken only where they cost nothing.
        let count = unsafe { OGR_L_GetFeatureCount(layer, 0) };
        let feature_count = u64::try_from(count).ok();
        let sample = settle::sample(layer, &trap);
        if !sample.broken_off.is_empty() {
            let message = sample.broken_off.join("; ");
            return Err(SourceError::Truncated {
                reason: located.redacted(&message),
                name: located.display,
                layer: name,
                read: sample.features,
                expected: reliable_count(&driver, feature_count),
            });
        }
        let encoding = settle::settle_encoding(layer, spec.encoding, &sample.evidence, issues);
        let may_rescue = spec.encoding == TextEncoding::Auto;
        let numbers = match driver.as_str() {
            "CSV" => sample.numbers.as_slice(),
            _ => &[],
        };
        // SAFETY: the layer lives as long as `handle`.
        let attributes =
            unsafe { Attributes::of_layer(layer, encoding, may_rescue, numbers, issues) };
        // SAFETY: the reference belongs to the layer, null when there is none.
        let reference = match located.told {
            Some(_) => std::ptr::null_mut(),
            None => unsafe { OGR_L_GetSpatialRef(layer) },
        };
        let crs = settle::settle_crs(
            spec.crs.as_ref(),
            reference,
            &located,
            &name,
            &sample.bbox,
            issues,
        )?;
        // SAFETY: as above.
        let swap_axes = unsafe { settle::has_northing_first(reference) };
        // SAFETY: the layer lives; the next read starts at the first feature.
        unsafe { OGR_L_ResetReading(layer) };
        drop(trap);
        Ok(SourceLayer {
            _handle: handle,
            layer: LayerPointer(layer),
            located,
            name,
            driver,
            attributes,
            crs,
            geometry_type: shape::declared_type(wkb),
            // SAFETY: a pure function of a number.
            has_z: unsafe { OGR_GT_HasZ(wkb) != 0 },
            swap_axes,
            feature_count,
            read: 0,
            finished: false,
        })
    }

    /// The layer's name within the source.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn schema(&self) -> &Schema {
        &self.attributes.schema
    }

    pub fn crs(&self) -> &Crs {
        &self.crs
    }

    /// The declared type; features may differ. `None` when undeclared or mixed.
    pub fn geometry_type(&self) -> Option<GeometryType> {
        self.geometry_type
    }

    /// Whether the layer declares heights.
    pub fn has_z(&self) -> bool {
        self.has_z
    }

    /// The number of features, where the source knows it without reading; a hint, not to be
    /// trusted for allocation.
    pub fn feature_count(&self) -> Option<u64> {
        self.feature_count
    }

    pub fn driver(&self) -> &str {
        &self.driver
    }

    pub fn winding(&self) -> Winding {
        match self.driver.as_str() {
            "ESRI Shapefile" | "OpenFileGDB" => Winding::ShellClockwise,
            "GeoJSON" | "GeoJSONSeq" => Winding::ShellCounterClockwise,
            _ => Winding::Free,
        }
    }

    /// For the manifest; the checksum is the caller's.
    pub fn info(&self) -> SourceInfo {
        SourceInfo {
            name: self.located.display.clone(),
            layer: Some(self.name.clone()),
            driver: self.driver.clone(),
            encoding: Some(match self.located.told {
                Some(told) => told.encoding.to_string(),
                None => self.attributes.encoding.name().to_string(),
            }),
            checksum: None,
            bytes: self.located.bytes,
        }
    }

    /// Appends the next features to `out`: at most `max_features`, and no more once
    /// `max_vertices` are exceeded. A feature without geometry has its reason in `issues`.
    /// Returns false when the layer is at its end.
    ///
    /// # Errors
    /// When the source breaks off.
    pub fn read_batch(
        &mut self,
        max_features: usize,
        max_vertices: usize,
        out: &mut Vec<Feature>,
        issues: &mut IssueLog,
    ) -> Result<bool, SourceError> {
        if self.finished {
            return Ok(false);
        }
        let trap = ErrorTrap::set();
        let (mut features, mut vertices) = (0usize, 0usize);
        while features < max_features && vertices <= max_vertices {
            // What was said of the feature before is not of this one.
            trap.take();
            // SAFETY: the layer lives; the feature is owned here and destroyed below.
            let raw = unsafe { OGR_L_GetNextFeature(self.layer.0) };
            if raw.is_null() {
                self.finished = true;
                self.check_end(&trap.take())?;
                return Ok(false);
            }
            let raw = RawFeature(raw);
            let feature = self.feature(&raw, &trap, issues);
            vertices += feature
                .geometry
                .as_ref()
                .map_or(0, |geometry| geometry.vertex_count());
            features += 1;
            self.read += 1;
            out.push(feature);
        }
        Ok(true)
    }

    /// Tells an early end from the end.
    fn check_end(&self, caught: &[String]) -> Result<(), SourceError> {
        let expected = reliable_count(&self.driver, self.feature_count);
        let short = expected.is_some_and(|expected| self.read < expected);
        if caught.is_empty() && !short {
            return Ok(());
        }
        Err(SourceError::Truncated {
            name: self.located.display.clone(),
            layer: self.name.clone(),
            read: self.read,
            expected,
            reason: if caught.is_empty() {
                "the file ends early".to_string()
            } else {
                self.located.redacted(&caught.join("; "))
            },
        })
    }

    fn feature(&self, raw: &RawFeature, trap: &ErrorTrap, issues: &mut IssueLog) -> Feature {
        // SAFETY: the feature lives; its geometry belongs to it.
        let (source_id, handle) = unsafe { (OGR_F_GetFID(raw.0), OGR_F_GetGeometryRef(raw.0)) };
        let geometry = if handle.is_null() {
            let caught = trap.take();
            issues.push(if caught.is_empty() {
                of_feature(
                    source_id,
                    IssueCode::NullGeometry,
                    Severity::Rejected,
                    "no geometry".to_string(),
                )
            } else {
                of_feature(
                    source_id,
                    IssueCode::GeometryUnreadable,
                    Severity::Rejected,
                    self.located.redacted(&caught.join("; ")),
                )
            });
            None
        } else {
            // SAFETY: the handle lives as long as `raw`.
            let shape = unsafe { shape::convert(handle) };
            report_shape(source_id, &shape, issues);
            shape.geometry
        };
        let geometry = geometry.map(|mut geometry| {
            if self.swap_axes {
                for pair in geometry.xy.chunks_exact_mut(2) {
                    pair.swap(0, 1);
                }
            }
            geometry
        });
        let values = self.attributes.values(raw, source_id, issues);
        Feature {
            source_id,
            geometry,
            values,
        }
    }
}

/// The count of formats that keep it in their header; elsewhere it is an estimate, or counts
/// features marked as deleted.
fn reliable_count(driver: &str, count: Option<u64>) -> Option<u64> {
    count.filter(|_| driver == "FlatGeobuf")
}

/// A feature owned until dropped.
pub(super) struct RawFeature(pub(super) OGRFeatureH);

impl Drop for RawFeature {
    fn drop(&mut self) {
        // SAFETY: owned by this value, destroyed once.
        unsafe { OGR_F_Destroy(self.0) };
    }
}

fn report_shape(source_id: i64, shape: &shape::Shape, issues: &mut IssueLog) {
    let mut report = |code, severity, detail: String| {
        issues.push(of_feature(source_id, code, severity, detail));
    };
    if let Some(kind) = shape.unsupported {
        let severity = if shape.geometry.is_none() {
            Severity::Rejected
        } else {
            Severity::Kept
        };
        report(
            IssueCode::GeometryUnreadable,
            severity,
            format!("geometry type {kind} is none of points, lines and polygons"),
        );
    } else if shape.geometry.is_none() {
        report(
            IssueCode::EmptyGeometry,
            Severity::Rejected,
            "the geometry has no coordinates".to_string(),
        );
    }
    if shape.had_curves {
        report(
            IssueCode::CurveLinearised,
            Severity::Kept,
            "arcs became chords of 4°".to_string(),
        );
    }
    if shape.had_measures {
        report(
            IssueCode::MeasureDropped,
            Severity::Note,
            "M values are not kept".to_string(),
        );
    }
    if shape.dropped_parts > 0 {
        report(
            IssueCode::CollectionReduced,
            Severity::Kept,
            format!(
                "{} parts of lower dimension were left out",
                shape.dropped_parts
            ),
        );
    }
}

pub(super) fn of_feature(
    feature: i64,
    code: IssueCode,
    severity: Severity,
    detail: String,
) -> Issue {
    Issue {
        code,
        severity,
        feature: Some(feature),
        field: None,
        place: None,
        detail,
    }
}

pub(super) fn whole_layer(code: IssueCode, severity: Severity, detail: String) -> Issue {
    Issue {
        code,
        severity,
        feature: None,
        field: None,
        place: None,
        detail,
    }
}
