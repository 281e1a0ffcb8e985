//! Small synthetic images, written with GDAL the way other programs write theirs.

use std::path::{Path, PathBuf};

use gdal::cpl::CslStringList;
use gdal::raster::{Buffer, GdalType};
use gdal::spatial_ref::SpatialRef;
use gdal::{Dataset, DriverManager};
use onemap::ingest::raster::ImageOptions;
use onemap::model::{LayerName, TileGrid, TileMatrix, WEB_MERCATOR_HALF_M};

/// An image to be written.
pub struct Recipe<'a> {
    pub size_px: [usize; 2],
    pub bands: usize,
    pub crs: Option<&'a str>,
    pub geo_transform: Option<[f64; 6]>,
    pub nodata: Option<f64>,
    pub creation_options: &'a [&'a str],
}

impl Recipe<'_> {
    /// CGCS2000 3° zone 39 with prefix, near Wuhan, 2 m pixels.
    pub fn gauss_kruger(size_px: [usize; 2], bands: usize) -> Recipe<'static> {
        Recipe {
            size_px,
            bands,
            crs: Some("EPSG:4527"),
            geo_transform: Some([39_530_000.0, 2.0, 0.0, 3_380_000.0, 0.0, -2.0]),
            nodata: None,
            creation_options: &[],
        }
    }

    /// Writes a GeoTIFF whose sample at (band, column, row) is `value(band, column, row)`.
    pub fn write<T: GdalType + Copy>(
        &self,
        path: &Path,
        value: impl Fn(usize, usize, usize) -> T,
    ) -> PathBuf {
        self.write_and(path, value, |_| ())
    }

    /// The same, with a last word on the open data set.
    pub fn write_and<T: GdalType + Copy>(
        &self,
        path: &Path,
        value: impl Fn(usize, usize, usize) -> T,
        finish: impl FnOnce(&mut Dataset),
    ) -> PathBuf {
        let [width, height] = self.size_px;
        let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
        let mut options = CslStringList::new();
        for option in self.creation_options {
            options.add_string(option).unwrap();
        }
        let mut dataset = driver
            .create_with_band_type_with_options::<T, _>(path, width, height, self.bands, &options)
            .unwrap();
        if let Some(crs) = self.crs {
            let crs = SpatialRef::from_definition(crs).unwrap();
            dataset.set_spatial_ref(&crs).unwrap();
        }
        if let Some(transform) = &self.geo_transform {
            dataset.set_geo_transform(transform).unwrap();
        }
        for band in 0..self.bands {
            let mut raster = dataset.rasterband(band + 1).unwrap();
            if self.nodata.is_some() {
                raster.set_no_data_value(self.nodata).unwrap();
            }
            let samples: Vec<T> = (0..height)
                .flat_map(|row| (0..width).map(move |column| (column, row)))
                .map(|(column, row)| value(band, column, row))
                .collect();
            let mut buffer = Buffer::new((width, height), samples);
            raster.write((0, 0), (width, height), &mut buffer).unwrap();
        }
        finish(&mut dataset);
        dataset.close().unwrap();
        path.to_path_buf()
    }
}

/// Web Mercator as every web map has it, for a tile size.
pub fn mercator_grid(tile_px: u32) -> TileGrid {
    let matrices = (0..=20u8)
        .map(|zoom| TileMatrix {
            id: zoom.to_string(),
            zoom,
            cell_size: 2.0 * WEB_MERCATOR_HALF_M / f64::from(tile_px) / f64::from(1u32 << zoom),
            scale_denominator: 559_082_264.028_717_8 / f64::from(1u32 << zoom),
            origin: [-WEB_MERCATOR_HALF_M, WEB_MERCATOR_HALF_M],
            tile_size_px: [tile_px; 2],
            tiles: [1 << zoom; 2],
        })
        .collect();
    TileGrid {
        id: "WebMercatorQuad".into(),
        title: "Web Mercator".into(),
        epsg: 3857,
        north_first: false,
        matrices,
    }
}

pub fn options(name: &str) -> ImageOptions {
    ImageOptions::new(LayerName::new(name).unwrap())
}
