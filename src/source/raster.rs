//! Foreign images: any raster GDAL reads, described and copied into the store's own form.
//!
//! 1. [`RasterSource::open`] finds out what the image is and where on the ground it lies.
//! 2. [`RasterSource::write_cog`] copies it, overviews included, into a Cloud Optimised GeoTIFF.
//!
//! An image without a place or without a reference system is refused with a word on how to give
//! one: nothing is guessed. Pixels are not resampled and values not stretched; that is left to
//! whoever draws.

use std::path::{Path, PathBuf};

use gdal::cpl::CslStringList;
use gdal::errors::GdalError;
use gdal::raster::{ColorInterpretation, GdalDataType, ResampleAlg};
use gdal::spatial_ref::{AxisMappingStrategy, SpatialRef};
use gdal::{Dataset, DatasetOptions, DriverManager, GdalOpenFlags, Metadata};

use crate::crs::{Crs, CrsError};
use crate::geom::Bbox;

/// Why an image cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum RasterError {
    #[error("{path}: no such file (文件不存在)")]
    NotFound { path: PathBuf },
    #[error("{path}: not an image GDAL can read: {reason} (无法读取影像)")]
    Unreadable { path: PathBuf, reason: String },
    #[error(
        "{path}: the image does not say where on the ground it lies; give its corners in the units of its reference system with --bounds W,S,E,N, for a picture of the whole world --bounds=-180,-90,180,90 --crs EPSG:4326 (影像没有坐标定位信息)"
    )]
    NoPlace { path: PathBuf },
    #[error(
        "{path}: the image is placed by {points} control points only; warp it first: gdalwarp -t_srs EPSG:4490 IN OUT.tif (影像仅有控制点,请先校正)"
    )]
    ControlPointsOnly { path: PathBuf, points: usize },
    #[error(
        "{path}: the image does not name its coordinate reference system; give it with --crs EPSG:N (影像没有坐标系)"
    )]
    NoCrs { path: PathBuf },
    #[error("{path}: {source}; give the right system with --crs EPSG:N (请用 --crs 指定坐标系)")]
    Crs { path: PathBuf, source: CrsError },
    #[error("{path}: the bounds {bounds:?} are not W,S,E,N with W < E and S < N")]
    BadBounds { path: PathBuf, bounds: [f64; 4] },
    #[error(
        "{path}: band {band} has samples of type {found}; Byte, UInt16, Int16, UInt32, Int32, Float32 and Float64 are understood"
    )]
    SampleType {
        path: PathBuf,
        band: usize,
        found: String,
    },
    #[error("{path}: no band {found}, the image has {bands}")]
    NoSuchBand {
        path: PathBuf,
        found: u32,
        bands: usize,
    },
    #[error("{path}: {found} bands given, expected 1 (grey) or 3 (red, green, blue)")]
    BandCount { path: PathBuf, found: usize },
    #[error("{path}: the image could not be copied: {reason} (影像转换失败)")]
    Copy { path: PathBuf, reason: String },
}

/// GDAL's drivers that read one local file (and its companions) and nothing the file points to.
const DRIVERS: &[&str] = &[
    "GTiff",
    "PNG",
    "JPEG",
    "WEBP",
    "BMP",
    "GIF",
    "JP2OpenJPEG",
    "HFA",
    "ENVI",
    "EHdr",
    "AAIGrid",
    "AIG",
    "SRTMHGT",
    "DTED",
    "USGSDEM",
    "ERS",
    "PCIDSK",
    "RST",
    "SAGA",
    "NITF",
    "XYZ",
];

/// What the user says about an image that the file does not, or says wrongly.
#[derive(Debug, Clone, Default)]
pub struct RasterOptions {
    /// Overrides the reference system of the file.
    pub crs: Option<Crs>,
    /// Places the image: west, south, east, north in units of its reference system.
    pub bounds: Option<[f64; 4]>,
    /// Bands to show (from 1): one for grey, three for red, green and blue.
    pub bands: Option<Vec<u32>>,
}

/// An opened image.
pub struct RasterSource {
    path: PathBuf,
    /// A description of the file with what the user overrode. It reads from the file without
    /// owning it: the order of these two fields is the order in which they are closed.
    dataset: Dataset,
    _file: Dataset,
    pub driver: String,
    pub width_px: u32,
    pub height_px: u32,
    pub bands: u32,
    /// GDAL's name of the sample type.
    pub sample_type: String,
    pub nodata: Option<f64>,
    pub palette: bool,
    /// Bands to show (from 1): one or three.
    pub display_bands: Vec<u32>,
    /// The band (from 1) that holds opacity. GDAL's word for it: the tags of a TIFF with four bands
    /// call the fourth opacity even when it is near infrared.
    pub alpha_band: Option<u32>,
    /// True when the bands shown are meant as colours and need no stretching.
    pub colors: bool,
    pub crs: Crs,
    /// GDAL's order: x = t0 + column·t1 + row·t2, y = t3 + column·t4 + row·t5.
    pub geo_transform: [f64; 6],
    /// The source has lost detail to JPEG already.
    lossy: bool,
}

impl RasterSource {
    pub fn open(path: &Path, options: &RasterOptions) -> Result<RasterSource, RasterError> {
        let unreadable = |error: GdalError| RasterError::Unreadable {
            path: path.to_path_buf(),
            reason: message(&error),
        };
        if !path.exists() {
            return Err(RasterError::NotFound {
                path: path.to_path_buf(),
            });
        }
        let open = DatasetOptions {
            open_flags: GdalOpenFlags::GDAL_OF_RASTER | GdalOpenFlags::GDAL_OF_VERBOSE_ERROR,
            allowed_drivers: Some(DRIVERS),
            ..DatasetOptions::default()
        };
        let file = Dataset::open_ex(path, open).map_err(unreadable)?;
        let (width, height) = file.raster_size();
        if file.raster_count() == 0 || width == 0 || height == 0 {
            return Err(RasterError::Unreadable {
                path: path.to_path_buf(),
                reason: "it has no bands".into(),
            });
        }
        let driver = file.driver().short_name();
        let compression = file.metadata_item("COMPRESSION", "IMAGE_STRUCTURE");
        let lossy = driver == "JPEG" || compression.is_some_and(|name| name.contains("JPEG"));
        let crs = declared_crs(&file, path, options)?;
        let geo_transform = geo_transform(&file, path, options)?;

        // A virtual copy takes the overrides; the file itself stays as it is.
        let vrt = DriverManager::get_driver_by_name("VRT").map_err(unreadable)?;
        let mut dataset = file
            .create_copy(&vrt, "", &CslStringList::new())
            .map_err(unreadable)?;
        let mut spatial_ref = SpatialRef::from_definition(&crs.definition).map_err(unreadable)?;
        spatial_ref.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
        dataset.set_spatial_ref(&spatial_ref).map_err(unreadable)?;
        dataset
            .set_geo_transform(&geo_transform)
            .map_err(unreadable)?;

        let sample_type = sample_type(&dataset, path)?;
        let (palette, nodata) = {
            let first = dataset.rasterband(1).map_err(unreadable)?;
            (first.color_table().is_some(), first.no_data_value())
        };
        let (display_bands, colors) = display_bands(&dataset, path, options, palette)?;
        Ok(RasterSource {
            path: path.to_path_buf(),
            driver,
            width_px: width as u32,
            height_px: height as u32,
            bands: dataset.raster_count() as u32,
            sample_type,
            nodata,
            palette,
            display_bands,
            alpha_band: alpha_band(&dataset),
            colors,
            crs,
            geo_transform,
            lossy,
            dataset,
            _file: file,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The box around the four corners.
    pub fn bbox_in_layer_crs(&self) -> Bbox {
        let [x0, column_x, row_x, y0, column_y, row_y] = self.geo_transform;
        let mut bbox = Bbox::EMPTY;
        for column in [0.0, f64::from(self.width_px)] {
            for row in [0.0, f64::from(self.height_px)] {
                bbox.extend(
                    x0 + column * column_x + row * row_x,
                    y0 + column * column_y + row * row_y,
                );
            }
        }
        bbox
    }

    /// Copies the image into a Cloud Optimised GeoTIFF with overviews: without loss, except
    /// where the source is JPEG already. Streams; memory stays within GDAL's block cache.
    pub fn write_cog(&self, target: &Path) -> Result<(), RasterError> {
        let failed = |error: GdalError| RasterError::Copy {
            path: self.path.clone(),
            reason: message(&error),
        };
        let mut options = CslStringList::new();
        for (key, value) in self.creation_options() {
            options.set_name_value(key, value).map_err(failed)?;
        }
        let cog = DriverManager::get_driver_by_name("COG").map_err(failed)?;
        let copy = self
            .dataset
            .create_copy(&cog, target, &options)
            .map_err(failed)?;
        copy.close().map_err(failed)
    }

    fn creation_options(&self) -> Vec<(&'static str, &'static str)> {
        let mut options = vec![
            // Small blocks: a screen tile touches few of them and decodes little it does not show.
            ("BLOCKSIZE", "256"),
            ("BIGTIFF", "IF_SAFER"),
            ("NUM_THREADS", "ALL_CPUS"),
            ("OVERVIEWS", "IGNORE_EXISTING"),
        ];
        let resampling = if self.palette { "MODE" } else { "AVERAGE" };
        options.push(("OVERVIEW_RESAMPLING", resampling));
        let jpeg = self.lossy
            && self.sample_type == "Byte"
            && !self.palette
            && matches!(self.bands, 1 | 3);
        if jpeg {
            options.extend([
                ("COMPRESS", "JPEG"),
                ("QUALITY", "90"),
                ("OVERVIEW_QUALITY", "90"),
            ]);
        } else {
            options.extend([("COMPRESS", "ZSTD"), ("LEVEL", "6")]);
            // Differences of palette indexes mean nothing and do not compress.
            let predictor = if self.palette { "NO" } else { "YES" };
            options.extend([("PREDICTOR", predictor), ("OVERVIEW_PREDICTOR", predictor)]);
        }
        options
    }
}

/// The 2nd and 98th percentile of a band (from 1) of a copied image: what most of its values
/// span, however far the outliers are. `None` when no pixel has a value.
///
/// Looks at a million pixels at most, from the overviews.
pub fn display_range(cog: &Path, band: u32) -> Result<Option<[f64; 2]>, RasterError> {
    const MOST_PER_AXIS: usize = 1024;
    let unreadable = |error: GdalError| RasterError::Unreadable {
        path: cog.to_path_buf(),
        reason: message(&error),
    };
    let dataset = Dataset::open(cog).map_err(unreadable)?;
    let raster = dataset.rasterband(band as usize).map_err(unreadable)?;
    let (width, height) = raster.size();
    let longest = width.max(height);
    let shrink = |size: usize| (size * MOST_PER_AXIS.min(longest) / longest).max(1);
    let size = (shrink(width), shrink(height));
    let nearest = Some(ResampleAlg::NearestNeighbour);
    let values = raster
        .read_as::<f64>((0, 0), (width, height), size, nearest)
        .map_err(unreadable)?;
    let mask = raster
        .open_mask_band()
        .and_then(|mask| mask.read_as::<u8>((0, 0), (width, height), size, nearest))
        .map_err(unreadable)?;
    let mut valid: Vec<f64> = values
        .data()
        .iter()
        .zip(mask.data())
        .filter(|(value, mask)| value.is_finite() && **mask != 0)
        .map(|(value, _)| *value)
        .collect();
    if valid.is_empty() {
        return Ok(None);
    }
    valid.sort_by(f64::total_cmp);
    let at = |share: f64| valid[((valid.len() - 1) as f64 * share).round() as usize];
    let range = [at(0.02), at(0.98)];
    let whole = [valid[0], valid[valid.len() - 1]];
    Ok(Some(if range[0] < range[1] {
        range
    } else if whole[0] < whole[1] {
        whole
    } else {
        // One value everywhere: mid-grey.
        [whole[0] - 1.0, whole[0] + 1.0]
    }))
}

fn message(error: &GdalError) -> String {
    match error {
        GdalError::CplError { msg, .. } | GdalError::NullPointer { msg, .. } if !msg.is_empty() => {
            msg.clone()
        }
        other => other.to_string(),
    }
}

fn sample_type(dataset: &Dataset, path: &Path) -> Result<String, RasterError> {
    let mut name = String::new();
    for band in 1..=dataset.raster_count() {
        let found = dataset
            .rasterband(band)
            .map_err(|error| RasterError::Unreadable {
                path: path.to_path_buf(),
                reason: message(&error),
            })?
            .band_type();
        match found {
            GdalDataType::UInt8
            | GdalDataType::UInt16
            | GdalDataType::Int16
            | GdalDataType::UInt32
            | GdalDataType::Int32
            | GdalDataType::Float32
            | GdalDataType::Float64 => name = found.name(),
            other => {
                return Err(RasterError::SampleType {
                    path: path.to_path_buf(),
                    band,
                    found: other.name(),
                });
            }
        }
    }
    Ok(name)
}

fn alpha_band(dataset: &Dataset) -> Option<u32> {
    let is_alpha = |band: &u32| {
        dataset
            .rasterband(*band as usize)
            .is_ok_and(|band| band.color_interpretation() == ColorInterpretation::AlphaBand)
    };
    (1..=dataset.raster_count() as u32).find(is_alpha)
}

/// The bands to show, and whether they are colours as they are.
fn display_bands(
    dataset: &Dataset,
    path: &Path,
    options: &RasterOptions,
    palette: bool,
) -> Result<(Vec<u32>, bool), RasterError> {
    let bands = dataset.raster_count();
    let interpretation = |band: usize| {
        dataset
            .rasterband(band)
            .map(|band| (band.color_interpretation(), band.band_type()))
            .ok()
    };
    let find = |wanted: ColorInterpretation| {
        (1..=bands).find(|band| interpretation(*band).is_some_and(|(found, _)| found == wanted))
    };
    let is_byte = interpretation(1).is_some_and(|(_, sample)| sample == GdalDataType::UInt8);
    let rgb = [
        ColorInterpretation::RedBand,
        ColorInterpretation::GreenBand,
        ColorInterpretation::BlueBand,
    ]
    .map(find);
    let named = match rgb {
        [Some(red), Some(green), Some(blue)] => Some([red, green, blue].map(|band| band as u32)),
        _ => None,
    };
    if let Some(chosen) = &options.bands {
        if let Some(found) = chosen
            .iter()
            .find(|band| **band == 0 || **band as usize > bands)
        {
            return Err(RasterError::NoSuchBand {
                path: path.to_path_buf(),
                found: *found,
                bands,
            });
        }
        if !matches!(chosen.len(), 1 | 3) {
            return Err(RasterError::BandCount {
                path: path.to_path_buf(),
                found: chosen.len(),
            });
        }
        let colors = is_byte && named.is_some_and(|named| named[..] == chosen[..]);
        return Ok((chosen.clone(), colors || (palette && chosen.len() == 1)));
    }
    Ok(match named {
        _ if palette => (vec![1], true),
        Some(named) => (named.to_vec(), is_byte),
        None if bands >= 3 => (vec![1, 2, 3], false),
        None => (vec![1], is_byte),
    })
}

fn geo_transform(
    file: &Dataset,
    path: &Path,
    options: &RasterOptions,
) -> Result<[f64; 6], RasterError> {
    let (width, height) = file.raster_size();
    if let Some(bounds) = options.bounds {
        let [west, south, east, north] = bounds;
        // Written so that NaN is refused too.
        if !(west < east && south < north) || bounds.iter().any(|side| !side.is_finite()) {
            return Err(RasterError::BadBounds {
                path: path.to_path_buf(),
                bounds,
            });
        }
        return Ok([
            west,
            (east - west) / width as f64,
            0.0,
            north,
            0.0,
            (south - north) / height as f64,
        ]);
    }
    let invertible = |t: &[f64; 6]| {
        let determinant = t[1] * t[5] - t[2] * t[4];
        determinant != 0.0 && t.iter().all(|value| value.is_finite())
    };
    match file.geo_transform() {
        Ok(transform) if invertible(&transform) => Ok(transform),
        Ok(_) | Err(_) => Err(match file.gcps().len() {
            0 => RasterError::NoPlace {
                path: path.to_path_buf(),
            },
            points => RasterError::ControlPointsOnly {
                path: path.to_path_buf(),
                points,
            },
        }),
    }
}

fn declared_crs(file: &Dataset, path: &Path, options: &RasterOptions) -> Result<Crs, RasterError> {
    if let Some(crs) = &options.crs {
        return Ok(crs.clone());
    }
    let wkt = file.spatial_ref().and_then(|found| found.to_wkt());
    let wkt = wkt.map_err(|_| RasterError::NoCrs {
        path: path.to_path_buf(),
    })?;
    Crs::from_definition(&wkt).map_err(|source| RasterError::Crs {
        path: path.to_path_buf(),
        source,
    })
}
