//! Image tiles: a layer's image, reprojected into a tile of any grid.
//!
//! 1. the tile's pixels that the image can reach  2. their places in the image, exact at the
//!    nodes of a control net and interpolated between ([`placement`])  3. the overview that is
//!    just fine enough  4. its blocks, decoded to colours once and kept ([`blocks`])
//! 5. bilinear samples, or the nearest for palettes ([`sample`])  6. PNG, JPEG or WebP ([`encode`])
//!
//! Everything outside of the image and everything without a value is transparent (white in JPEG).
//! It composes nothing: one layer, one picture.

mod blocks;
mod encode;
mod placement;
mod sample;

use std::sync::Arc;

use super::RenderError;
use crate::format::cog::Cog;
use crate::model::{RasterInfo, TileCoord, TileGrid};
use crate::query::Budget;
use crate::store::Snapshot;
pub use encode::ImageFormat;
use placement::{Placement, Window};
use sample::Mosaic;

/// Which picture is wanted.
#[derive(Debug, Clone, Copy)]
pub struct ImageRequest<'a> {
    pub grid: &'a TileGrid,
    pub tile: TileCoord,
    /// Pixels per pixel of the grid: 2 for screens of double density.
    pub scale: u32,
    pub format: ImageFormat,
}

/// An encoded picture.
#[derive(Debug, Clone)]
pub struct ImageTile {
    pub bytes: Vec<u8>,
    /// True when the image has nothing to show here and the picture is blank.
    pub empty: bool,
}

/// Pixels with premultiplied opacity: red, green, blue, opacity.
pub(crate) type Pixel = [u8; 4];

/// Draws one tile of an image layer.
///
/// # Errors
/// When the layer holds no image, the grid has no such tile, the budget is spent, or the image
/// file is damaged.
pub fn image_tile(
    snapshot: &Snapshot,
    request: &ImageRequest<'_>,
    budget: &Budget,
) -> Result<ImageTile, RenderError> {
    let (data, info) = snapshot.image().ok_or_else(|| RenderError::NotAnImage {
        layer: snapshot.name().to_string(),
    })?;
    let matrix = request.grid.matrix(u32::from(request.tile.z))?;
    let size_px = matrix.tile_size_px.map(|size| size * request.scale);
    let tile_bbox = request.grid.tile_bbox(request.tile)?;
    budget.check()?;

    let warp = snapshot.warp(request.grid.epsg)?;
    let extent_in_grid = warp.to_grid.bbox(&snapshot.manifest.bbox_in_layer_crs);
    let mut canvas = vec![[0; 4]; size_px[0] as usize * size_px[1] as usize];
    if let Some(window) = Window::reached(&tile_bbox, size_px, &extent_in_grid) {
        let to_image = Affine::inverse_of(&info.geo_transform);
        let place = |x: f64, y: f64| {
            let [x, y] = warp.to_layer.point(x, y);
            to_image.point(x, y)
        };
        let placement = Placement::fit(&window, &tile_bbox, size_px, &place);
        draw(
            &data.image,
            info,
            &placement,
            size_px[0],
            &mut canvas,
            budget,
        )?;
    }
    encode::encode(canvas, size_px, request.format)
}

/// Chooses the level, gathers its pixels and samples them.
fn draw(
    image: &Cog,
    info: &RasterInfo,
    placement: &Placement,
    stride_px: u32,
    canvas: &mut [Pixel],
    budget: &Budget,
) -> Result<(), RenderError> {
    /// 64 MB of colours: some sixty times what a tile without distortion needs.
    const MOST_PIXELS: u64 = 16 << 20;
    let mut level = level_for(image, placement.image_px_per_px());
    loop {
        let scale = level_scale(image, level);
        let area = placement.image_area(scale);
        let is_last = level + 1 == image.levels().len();
        if area.pixels() > MOST_PIXELS && !is_last {
            level += 1;
            continue;
        }
        let Some(area) = area.within(&image.levels()[level]) else {
            return Ok(());
        };
        let load = |column, row| -> Result<Arc<blocks::ColorBlock>, RenderError> {
            budget.check()?;
            blocks::block(image, info, level, column, row)
        };
        let mosaic = Mosaic::gather(&image.levels()[level], area, load)?;
        let rule = match image.palette() {
            Some(_) => sample::Rule::Nearest,
            None => sample::Rule::Bilinear,
        };
        sample::draw(&mosaic, placement, scale, rule, stride_px, canvas);
        return Ok(());
    }
}

/// The coarsest level that is still as fine as the picture.
fn level_for(image: &Cog, image_px_per_px: f64) -> usize {
    /// A level this much too coarse is not seen to be, and needs a quarter of the pixels.
    const SLACK: f64 = 1.05;
    let full_width = f64::from(image.levels()[0].width_px());
    image
        .levels()
        .iter()
        .rposition(|level| full_width / f64::from(level.width_px()) <= image_px_per_px * SLACK)
        .unwrap_or(0)
}

/// Pixels of a level per pixel of the full image, per axis.
fn level_scale(image: &Cog, level: usize) -> [f64; 2] {
    let (full, level) = (&image.levels()[0], &image.levels()[level]);
    [
        f64::from(level.width_px()) / f64::from(full.width_px()),
        f64::from(level.height_px()) / f64::from(full.height_px()),
    ]
}

/// An affine map of the plane, in GDAL's order of coefficients.
struct Affine([f64; 6]);

impl Affine {
    fn inverse_of(t: &[f64; 6]) -> Affine {
        let determinant = t[1] * t[5] - t[2] * t[4];
        let [a, b, c, d] = [
            t[5] / determinant,
            -t[2] / determinant,
            -t[4] / determinant,
            t[1] / determinant,
        ];
        Affine([-(a * t[0] + b * t[3]), a, b, -(c * t[0] + d * t[3]), c, d])
    }

    fn point(&self, x: f64, y: f64) -> [f64; 2] {
        let t = &self.0;
        [t[0] + x * t[1] + y * t[2], t[3] + x * t[4] + y * t[5]]
    }
}
