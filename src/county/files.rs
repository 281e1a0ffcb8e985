//! Writing through GDAL what a bureau would hand over: shapefiles, GeoPackages, GeoTIFFs.

use std::path::Path;

use gdal::raster::{Buffer, RasterCreationOptions};
use gdal::spatial_ref::SpatialRef;
use gdal::vector::{
    Feature, FieldDefn, Geometry, LayerAccess, LayerOptions, OGRFieldType, OGRwkbGeometryType,
};
use gdal::{Dataset, DriverManager};

use super::CountyError;
use super::coverage::Polygon;

/// What is written into a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Whole(i64),
    Real(f64),
    Absent,
}

impl Value {
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }
}

/// Name, kind, width and decimals of a field.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Text(i32),
    Whole(i32),
    Real(i32, i32),
}

pub const fn text(name: &'static str, width: i32) -> Field {
    Field {
        name,
        kind: Kind::Text(width),
    }
}
pub const fn whole(name: &'static str, width: i32) -> Field {
    Field {
        name,
        kind: Kind::Whole(width),
    }
}
pub const fn real(name: &'static str, width: i32, decimals: i32) -> Field {
    Field {
        name,
        kind: Kind::Real(width, decimals),
    }
}

/// The shape of a record, in millimetres on the sheet (areas) or metres of the system.
#[derive(Debug, Clone)]
pub enum Shape {
    Area(Polygon),
    Areas(Vec<Polygon>),
    Line(Vec<[f64; 2]>),
    Point([f64; 2]),
}

#[derive(Debug, Clone)]
pub struct Record {
    pub shape: Shape,
    pub values: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// One layer per file.
    ShapefileGbk,
    ShapefileUtf8,
    GeoPackage,
    FileGeodatabase,
}

/// Settings of GDAL for this thread while a county is written.
pub struct Settings;

const SETTINGS: [(&str, &str); 4] = [
    // Dates inside files come from the data, not from the clock.
    ("OGR_CURRENT_DATE", "2024-12-31T00:00:00.000Z"),
    ("OPENFILEGDB_REPRODUCIBLE_UUID", "YES"),
    ("GDAL_TIFF_INTERNAL_MASK", "YES"),
    // Which ring is a hole is known when a geodatabase is indexed, and need not be found again.
    ("OGR_ORGANIZE_POLYGONS", "SKIP"),
];

impl Settings {
    pub fn set() -> Result<Settings, CountyError> {
        for (key, value) in SETTINGS {
            gdal::config::set_thread_local_config_option(key, value)?;
        }
        Ok(Settings)
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        for (key, _) in SETTINGS {
            // Keys without a zero byte are always taken.
            let _ = gdal::config::clear_thread_local_config_option(key);
        }
    }
}

/// An open file, and where the sheet lies on earth.
pub struct Book {
    dataset: Dataset,
    container: Container,
    epsg: u32,
    /// East and north of the sheet's corner in metres.
    corner: [f64; 2],
}

impl Book {
    pub fn create(
        path: &Path,
        container: Container,
        epsg: u32,
        corner: [f64; 2],
    ) -> Result<Book, CountyError> {
        let driver = DriverManager::get_driver_by_name(match container {
            Container::GeoPackage => "GPKG",
            Container::FileGeodatabase => "OpenFileGDB",
            Container::ShapefileGbk | Container::ShapefileUtf8 => "ESRI Shapefile",
        })?;
        let dataset = driver.create_vector_only(path)?;
        if container == Container::GeoPackage {
            dataset.execute_sql(
                "PRAGMA synchronous=OFF",
                None,
                gdal::vector::sql::Dialect::DEFAULT,
            )?;
        }
        Ok(Book {
            dataset,
            container,
            epsg,
            corner,
        })
    }

    pub fn add_layer(
        &mut self,
        name: &str,
        kind: OGRwkbGeometryType::Type,
        fields: &[Field],
    ) -> Result<(), CountyError> {
        let srs = SpatialRef::from_epsg(self.epsg)?;
        let options: &[&str] = match self.container {
            Container::ShapefileGbk => &["ENCODING=GBK", "DBF_DATE_LAST_UPDATE=2024-12-31"],
            Container::ShapefileUtf8 => &["ENCODING=UTF-8", "DBF_DATE_LAST_UPDATE=2024-12-31"],
            Container::GeoPackage => &["SPATIAL_INDEX=YES", "GEOMETRY_NAME=geom"],
            Container::FileGeodatabase => &["GEOMETRY_NAME=SHAPE"],
        };
        let layer = self.dataset.create_layer(LayerOptions {
            name,
            srs: Some(&srs),
            ty: kind,
            options: Some(options),
        })?;
        for field in fields {
            let definition = match field.kind {
                Kind::Text(width) => {
                    let d = FieldDefn::new(field.name, OGRFieldType::OFTString)?;
                    d.set_width(width);
                    d
                }
                Kind::Whole(width) => {
                    let d = FieldDefn::new(field.name, OGRFieldType::OFTInteger)?;
                    d.set_width(width);
                    d
                }
                Kind::Real(width, decimals) => {
                    let d = FieldDefn::new(field.name, OGRFieldType::OFTReal)?;
                    d.set_width(width);
                    d.set_precision(decimals);
                    d
                }
            };
            definition.add_to_layer(&layer)?;
        }
        Ok(())
    }

    pub fn write(&mut self, layer: &str, records: &[Record]) -> Result<(), CountyError> {
        let transaction = self.container == Container::GeoPackage;
        if transaction {
            self.dataset
                .execute_sql("BEGIN", None, gdal::vector::sql::Dialect::DEFAULT)?;
        }
        {
            let layer = self.dataset.layer_by_name(layer)?;
            for record in records {
                let mut feature = Feature::new(layer.defn())?;
                feature.set_geometry(Geometry::from_wkb(&self.wkb(&record.shape))?)?;
                for (i, value) in record.values.iter().enumerate() {
                    match value {
                        Value::Text(text) => feature.set_field_string(i, text)?,
                        Value::Whole(number) => feature.set_field_integer(i, *number as i32)?,
                        Value::Real(number) => feature.set_field_double(i, *number)?,
                        Value::Absent => feature.set_field_null(i)?,
                    }
                }
                feature.create(&layer)?;
            }
        }
        if transaction {
            self.dataset
                .execute_sql("COMMIT", None, gdal::vector::sql::Dialect::DEFAULT)?;
        }
        Ok(())
    }

    /// Closes the file and reports what only comes up then.
    pub fn finish(mut self) -> Result<(), CountyError> {
        self.dataset.flush_cache()?;
        Ok(())
    }

    fn wkb(&self, shape: &Shape) -> Vec<u8> {
        let mut out = Vec::new();
        let head = |out: &mut Vec<u8>, kind: u32| {
            out.push(1);
            out.extend_from_slice(&kind.to_le_bytes());
        };
        let count = |out: &mut Vec<u8>, n: usize| out.extend_from_slice(&(n as u32).to_le_bytes());
        let point = |out: &mut Vec<u8>, p: [f64; 2]| {
            out.extend_from_slice(&p[0].to_le_bytes());
            out.extend_from_slice(&p[1].to_le_bytes());
        };
        let polygon = |out: &mut Vec<u8>, rings: &Polygon| {
            head(out, 3);
            count(out, rings.len());
            for ring in rings {
                count(out, ring.len());
                for p in ring {
                    point(out, on_earth(self.corner, *p));
                }
            }
        };
        match shape {
            Shape::Area(one) => polygon(&mut out, one),
            Shape::Areas(many) => {
                head(&mut out, 6);
                count(&mut out, many.len());
                for one in many {
                    polygon(&mut out, one);
                }
            }
            Shape::Line(points) => {
                head(&mut out, 2);
                count(&mut out, points.len());
                for p in points {
                    point(&mut out, *p);
                }
            }
            Shape::Point(p) => {
                head(&mut out, 1);
                point(&mut out, *p);
            }
        }
        out
    }
}

/// A point of the sheet, in millimetres from its corner, in metres of the system.
pub fn on_earth(corner: [f64; 2], p: [i64; 2]) -> [f64; 2] {
    // Whole millimetres are divided once, so that every writer gets the same double.
    [
        ((corner[0] * 1000.0) as i64 + p[0]) as f64 / 1000.0,
        ((corner[1] * 1000.0) as i64 + p[1]) as f64 / 1000.0,
    ]
}

/// A GeoTIFF written block by block.
pub struct Picture {
    dataset: Dataset,
    bands: usize,
}

/// Where a raster lies: left, top and cell side in metres, size in cells, side of a block.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    pub left_m: f64,
    pub top_m: f64,
    pub cell_m: f64,
    pub size: (usize, usize),
    pub block: usize,
}

impl Picture {
    pub fn create(
        path: &Path,
        frame: Frame,
        bands: usize,
        epsg: u32,
        description: &str,
    ) -> Result<Picture, CountyError> {
        let driver = DriverManager::get_driver_by_name("GTiff")?;
        let block = frame.block.to_string();
        let mut options = RasterCreationOptions::new();
        options.set_name_value("TILED", "YES")?;
        options.set_name_value("BLOCKXSIZE", &block)?;
        options.set_name_value("BLOCKYSIZE", &block)?;
        options.set_name_value("BIGTIFF", "IF_SAFER")?;
        options.set_name_value("COMPRESS", if bands == 3 { "JPEG" } else { "DEFLATE" })?;
        if bands == 3 {
            options.set_name_value("PHOTOMETRIC", "YCBCR")?;
            options.set_name_value("JPEG_QUALITY", "85")?;
        }
        let mut dataset = driver.create_with_band_type_with_options::<u8, _>(
            path,
            frame.size.0,
            frame.size.1,
            bands,
            &options,
        )?;
        place(&mut dataset, frame, epsg, description)?;
        if bands == 3 {
            // JPEG keeps no value exactly: what is outside is said by a mask.
            dataset.rasterband(1)?.create_mask_band(true)?;
        } else {
            dataset.rasterband(1)?.set_no_data_value(Some(0.0))?;
        }
        Ok(Picture { dataset, bands })
    }

    /// Says which pixels of a block count: 255 or 0. For pictures with a mask.
    pub fn write_mask(
        &mut self,
        column: usize,
        row: usize,
        side: usize,
        mask: &[u8],
    ) -> Result<(), CountyError> {
        let mut buffer = Buffer::new((side, side), mask.to_vec());
        self.dataset.rasterband(1)?.open_mask_band()?.write(
            (column as isize, row as isize),
            (side, side),
            &mut buffer,
        )?;
        self.dataset.flush_cache()?;
        Ok(())
    }

    /// Writes a block with all bands, one band after another.
    pub fn write(
        &mut self,
        column: usize,
        row: usize,
        side: usize,
        pixels: &[u8],
    ) -> Result<(), CountyError> {
        for band in 0..self.bands {
            let part = pixels[band * side * side..(band + 1) * side * side].to_vec();
            let mut buffer = Buffer::new((side, side), part);
            self.dataset.rasterband(band + 1)?.write(
                (column as isize, row as isize),
                (side, side),
                &mut buffer,
            )?;
        }
        self.dataset.flush_cache()?;
        Ok(())
    }
}

fn place(
    dataset: &mut Dataset,
    frame: Frame,
    epsg: u32,
    description: &str,
) -> Result<(), CountyError> {
    use gdal::Metadata;
    dataset.set_geo_transform(&[
        frame.left_m,
        frame.cell_m,
        0.0,
        frame.top_m,
        0.0,
        -frame.cell_m,
    ])?;
    dataset.set_spatial_ref(&SpatialRef::from_epsg(epsg)?)?;
    dataset.set_metadata_item("TIFFTAG_IMAGEDESCRIPTION", description, "")?;
    Ok(())
}

/// Writes a height grid, rows from the south, as a GeoTIFF.
pub fn write_heights(
    path: &Path,
    frame: Frame,
    heights_m: &[f32],
    epsg: u32,
    description: &str,
) -> Result<(), CountyError> {
    let driver = DriverManager::get_driver_by_name("GTiff")?;
    let mut options = RasterCreationOptions::new();
    options.set_name_value("TILED", "YES")?;
    options.set_name_value("COMPRESS", "DEFLATE")?;
    options.set_name_value("PREDICTOR", "3")?;
    let (w, h) = frame.size;
    let mut dataset =
        driver.create_with_band_type_with_options::<f32, _>(path, w, h, 1, &options)?;
    place(&mut dataset, frame, epsg, description)?;
    let rows: Vec<f32> = (0..h)
        .rev()
        .flat_map(|row| heights_m[row * w..(row + 1) * w].iter().copied())
        .collect();
    dataset
        .rasterband(1)?
        .write((0, 0), (w, h), &mut Buffer::new((w, h), rows))?;
    dataset.flush_cache()?;
    Ok(())
}
