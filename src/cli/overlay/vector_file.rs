//! A file of polygons written through GDAL.
//!
//! Written beside its place under another name and renamed at the end: a file that is there is
//! complete.

use std::path::{Path, PathBuf};

use gdal::spatial_ref::SpatialRef;
use gdal::vector::OGRwkbGeometryType::{wkbMultiPolygon, wkbUnknown};
use gdal::vector::{Feature, FieldDefn, LayerAccess, LayerOptions, OGRFieldType};
use gdal::{Dataset, DriverManager};

use crate::cli::Failure;
use crate::crs::Crs;
use crate::geom::Geometry;
use crate::model::{FieldType, Schema, Value};

/// Formats pieces can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    FlatGeobuf,
    GeoPackage,
    GeoJson,
}

/// Features between two commits of a GeoPackage.
const COMMIT_EVERY: u64 = 50_000;

/// A file that is being written.
pub struct VectorFile {
    dataset: Dataset,
    partial: PathBuf,
    path: PathBuf,
    transactions: bool,
    schema: Schema,
    written: u64,
}

impl VectorFile {
    pub fn create(
        path: &Path,
        format: Format,
        name: &str,
        crs: &Crs,
        schema: Schema,
    ) -> Result<VectorFile, Failure> {
        let failed = |error: gdal::errors::GdalError| failure(path, &error);
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = path.with_file_name(format!(".partial-{file_name}"));
        // Left by a run that was interrupted; GDAL does not write over files.
        let _absent = std::fs::remove_file(&partial);
        let driver = match format {
            Format::FlatGeobuf => "FlatGeobuf",
            Format::GeoPackage => "GPKG",
            Format::GeoJson => "GeoJSON",
        };
        let mut dataset = DriverManager::get_driver_by_name(driver)
            .and_then(|driver| driver.create_vector_only(&partial))
            .map_err(failed)?;
        let system = SpatialRef::from_definition(&crs.definition).map_err(failed)?;
        let layer = dataset
            .create_layer(LayerOptions {
                name,
                srs: Some(&system),
                // GeoJSON has no type of a layer.
                ty: match format {
                    Format::GeoJson => wkbUnknown,
                    Format::FlatGeobuf | Format::GeoPackage => wkbMultiPolygon,
                },
                options: None,
            })
            .map_err(failed)?;
        for field in &schema.fields {
            let kind = match field.field_type {
                FieldType::Boolean | FieldType::Integer => OGRFieldType::OFTInteger64,
                FieldType::Real => OGRFieldType::OFTReal,
                _ => OGRFieldType::OFTString,
            };
            FieldDefn::new(&field.name, kind)
                .and_then(|definition| definition.add_to_layer(&layer))
                .map_err(failed)?;
        }
        let file = VectorFile {
            dataset,
            partial,
            path: path.to_path_buf(),
            transactions: format == Format::GeoPackage,
            schema,
            written: 0,
        };
        file.sql("BEGIN")?;
        Ok(file)
    }

    fn sql(&self, text: &str) -> Result<(), Failure> {
        if self.transactions {
            self.dataset
                .execute_sql(text, None, gdal::vector::sql::Dialect::DEFAULT)
                .map_err(|error| failure(&self.path, &error))?;
        }
        Ok(())
    }

    pub fn push(&mut self, geometry: &Geometry, values: &[Value]) -> Result<(), Failure> {
        self.write(geometry, values)
            .map_err(|error| failure(&self.path, &error))?;
        self.written += 1;
        if self.written.is_multiple_of(COMMIT_EVERY) {
            self.sql("COMMIT")?;
            self.sql("BEGIN")?;
        }
        Ok(())
    }

    fn write(&self, geometry: &Geometry, values: &[Value]) -> gdal::errors::Result<()> {
        let layer = self.dataset.layer(0)?;
        let mut feature = Feature::new(layer.defn())?;
        feature.set_geometry(gdal::vector::Geometry::from_wkb(&multi_polygon_wkb(
            geometry,
        ))?)?;
        for (at, (value, field)) in values.iter().zip(&self.schema.fields).enumerate() {
            match value {
                Value::Null => feature.set_field_null(at)?,
                Value::Boolean(value) => feature.set_field_integer64(at, i64::from(*value))?,
                Value::Integer(value) if field.field_type == FieldType::Real => {
                    feature.set_field_double(at, *value as f64)?;
                }
                Value::Integer(value) => feature.set_field_integer64(at, *value)?,
                Value::Real(value) => feature.set_field_double(at, *value)?,
                // GDAL takes texts as C strings, which end at the first NUL.
                Value::Text(text) => feature.set_field_string(at, &text.replace('\0', ""))?,
                Value::Binary(bytes) => {
                    let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
                    feature.set_field_string(at, &text)?;
                }
            }
        }
        feature.create(&layer)
    }

    /// Closes the file and gives it its name.
    pub fn finish(self) -> Result<(), Failure> {
        self.sql("COMMIT")?;
        let VectorFile {
            dataset,
            partial,
            path,
            ..
        } = self;
        dataset.close().map_err(|error| failure(&path, &error))?;
        std::fs::rename(&partial, &path).map_err(|source| Failure::File { path, source })
    }

    /// Removes what was written.
    pub fn abandon(self) {
        let VectorFile {
            dataset, partial, ..
        } = self;
        drop(dataset);
        let _gone = std::fs::remove_file(partial);
    }
}

fn failure(path: &Path, error: &gdal::errors::GdalError) -> Failure {
    Failure::File {
        path: path.to_path_buf(),
        source: std::io::Error::other(error.to_string()),
    }
}

/// Little-endian WKB of a multipolygon.
fn multi_polygon_wkb(geometry: &Geometry) -> Vec<u8> {
    const POLYGON: u32 = 3;
    const MULTI_POLYGON: u32 = 6;
    let mut out = Vec::with_capacity(geometry.xy.len() * 8 + 64);
    let head = |out: &mut Vec<u8>, kind: u32, count: usize| {
        out.push(1);
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&(count as u32).to_le_bytes());
    };
    head(&mut out, MULTI_POLYGON, geometry.parts.len());
    for rings in geometry.polygons() {
        head(&mut out, POLYGON, rings.len());
        for ring in rings {
            let xy = geometry.ring(ring);
            out.extend_from_slice(&((xy.len() / 2) as u32).to_le_bytes());
            for value in xy {
                out.extend_from_slice(&value.to_le_bytes());
            }
        }
    }
    out
}
