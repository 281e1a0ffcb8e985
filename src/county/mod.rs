//! A fictional county for demonstrations, tests and benches: 示范县(虚构).
//!
//! Real land-survey data may not be public; so this makes a county that never was, from a seed:
//! relief and rivers ([`terrain`]), settlements and roads ([`places`]), a label for each cell of
//! 5 m in two years ([`landuse`]), polygons that share their borders exactly ([`coverage`]),
//! parcels with their attributes ([`village`]), and then what depends on them: plans, rights and
//! supervision ([`plans`]), pictures ([`picture`]), planted defects ([`defects`]).
//!
//! Villages are surveyed in parallel, a batch at a time from south to north; only the labelled
//! tiles a batch touches are in memory. Everything is a function of the seed and of place, and
//! records are written in the order of villages, so the bytes do not depend on threads.

mod classes;
mod coverage;
mod defects;
mod files;
mod landuse;
mod noise;
mod picture;
mod places;
mod plans;
mod terrain;
mod village;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use gdal::vector::OGRwkbGeometryType::{wkbLineString, wkbMultiPolygon, wkbPolygon};
use rayon::prelude::*;
use serde_json::{Value as Json, json};

use classes::Class;
use files::{Book, Container, Frame, Picture, Record, Shape, Value, text, whole};
use landuse::{CELL_M, LandUse, TILE, TILE_M, Tile, Workings};
use places::{COUNTY_CODE, COUNTY_NAME, Line, LineKind, Places};
use terrain::{CELL_M as COARSE_M, Terrain};
use village::{
    CHANGE_FIELDS, Cells, DLTB_FIELDS, VillageLand, dltb_record, identifier, square_metres, survey,
};

/// Villages surveyed at a time.
const BATCH: usize = 48;
/// Pixels along a side of a picture; coarser ones beyond.
const MOST_PIXELS: f64 = 7_680.0;
/// Tiles labelled and rendered at a time.
const TILES_AT_A_TIME: usize = 24;
/// Area of the parcels the land rules make, on average.
const MEAN_PARCEL_M2: f64 = 3_800.0;
/// More than this in one shapefile would pass the 2 GB its offsets allow.
const SHAPEFILE_PARCELS: u64 = 1_000_000;

/// What to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub seed: u64,
    /// About how many parcels a year has.
    pub parcels: u64,
    /// The year of the first and the second survey.
    pub years: [u16; 2],
    /// 3° zone of CGCS2000, 25 to 45.
    pub zone: u32,
    /// Whether to add a layer with planted defects.
    pub defects: bool,
    /// Whether to render pictures.
    pub imagery: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seed: 1,
            parcels: 6000,
            years: [2019, 2024],
            zone: 39,
            defects: false,
            imagery: true,
        }
    }
}

/// Why a county could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CountyError {
    #[error("{field} is {found}, expected {expected}")]
    Option {
        field: &'static str,
        found: String,
        expected: &'static str,
    },
    #[error("cannot write {path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot write a geographic file: {0}")]
    Gdal(#[from] gdal::errors::GdalError),
}

/// What was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub villages: usize,
    pub parcels_before: u64,
    pub parcels_after: u64,
    pub changes: u64,
    pub area_centi_m2: i64,
    /// Totals and every planted fact, as in `answers.json`.
    pub answers: Json,
}

/// Running totals.
#[derive(Default)]
struct Totals {
    serial: [u64; 2],
    changes: u64,
    basic: u64,
    area_centi: i64,
    /// Class code → parcels, area, deducted area, per year.
    classes: [BTreeMap<&'static str, (u64, i64, i64)>; 2],
    flows: BTreeMap<(&'static str, &'static str), (u64, i64)>,
    villages: Vec<Json>,
    basic_breached_centi: i64,
    basic_breaches: u64,
}

/// Makes the county in a directory, which is created; files already there are replaced.
pub fn generate(options: &Options, out: &Path) -> Result<Report, CountyError> {
    check(options)?;
    make_directory(out)?;
    let n = sheet_cells(options.parcels);
    let land_cells = (options.parcels as f64 * MEAN_PARCEL_M2 / (COARSE_M * COARSE_M)) as usize;
    let terrain = Terrain::new(options.seed, n, land_cells);
    let places = Places::new(options.seed, &terrain);
    let land = LandUse::new(options.seed, &terrain, &places);
    let county = County::new(options, &terrain, &places, &land);
    county.write(out)
}

fn check(options: &Options) -> Result<(), CountyError> {
    let wrong = |field, found: String, expected| {
        Err(CountyError::Option {
            field,
            found,
            expected,
        })
    };
    if !(25..=45).contains(&options.zone) {
        return wrong("zone", options.zone.to_string(), "a 3° zone from 25 to 45");
    }
    if !(2000..=5_000_000).contains(&options.parcels) {
        return wrong("parcels", options.parcels.to_string(), "2000 to 5000000");
    }
    if options.years[0] >= options.years[1] {
        return wrong(
            "years",
            format!("{},{}", options.years[0], options.years[1]),
            "two years, the earlier first",
        );
    }
    Ok(())
}

/// Cells per side of the sheet for about as many parcels.
fn sheet_cells(parcels: u64) -> usize {
    // The county covers about 0.40 of the sheet.
    let side_m = (parcels as f64 * MEAN_PARCEL_M2 / 0.40).sqrt();
    // Tiles and cells begin together: 16 coarse cells are a tile.
    ((side_m / COARSE_M / 16.0).ceil() as usize).max(4) * 16
}

fn make_directory(path: &Path) -> Result<(), CountyError> {
    fs::create_dir_all(path).map_err(|source| CountyError::Io {
        path: path.to_path_buf(),
        source,
    })
}

pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), CountyError> {
    fs::write(path, bytes).map_err(|source| CountyError::Io {
        path: path.to_path_buf(),
        source,
    })
}

/// Removes what an earlier run left, so that drivers create anew.
fn clear(path: &Path) -> Result<(), CountyError> {
    let geodatabase = path.with_extension("gdb");
    match fs::remove_dir_all(&geodatabase) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(CountyError::Io {
                path: geodatabase,
                source,
            });
        }
    }
    for extension in [
        "shp",
        "shx",
        "dbf",
        "prj",
        "cpg",
        "gpkg",
        "tif",
        "tif.aux.xml",
    ] {
        let file = path.with_extension(extension);
        match fs::remove_file(&file) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(CountyError::Io { path: file, source }),
        }
    }
    Ok(())
}

/// Everything known before parcels are made.
pub(crate) struct County<'a> {
    options: &'a Options,
    terrain: &'a Terrain,
    places: &'a Places,
    land: &'a LandUse<'a>,
    /// East and north of the sheet's south-west corner.
    corner: [f64; 2],
    epsg: u32,
}

/// Colour and near infrared of both years, and where they lie.
type Pictures = (Frame, [[Picture; 2]; 2]);

/// A finished tile of both pictures.
struct Rendered {
    tx: i64,
    ty: i64,
    years: [Vec<u8>; 2],
    /// 0 outside the county.
    mask: Vec<u8>,
}

impl<'a> County<'a> {
    fn new(
        options: &'a Options,
        terrain: &'a Terrain,
        places: &'a Places,
        land: &'a LandUse<'a>,
    ) -> Self {
        let side = terrain.n as f64 * COARSE_M;
        let east =
            f64::from(options.zone) * 1e6 + 500_000.0 - (side / 2.0 / COARSE_M).floor() * COARSE_M;
        let north = 3_500_000.0 - (side / 2.0 / COARSE_M).floor() * COARSE_M;
        County {
            options,
            terrain,
            places,
            land,
            corner: [east, north],
            epsg: 4488 + options.zone,
        }
    }

    fn false_easting_m(&self) -> f64 {
        f64::from(self.options.zone) * 1e6 + 500_000.0
    }

    fn book(&self, out: &Path, name: &str, container: Container) -> Result<Book, CountyError> {
        let path = out.join(name);
        clear(&path)?;
        Book::create(&path, container, self.epsg, self.corner)
    }

    fn write(&self, out: &Path) -> Result<Report, CountyError> {
        let _settings = files::Settings::set()?;
        let [y0, y1] = self.options.years;
        let (first_name, first_kind) = if self.options.parcels > SHAPEFILE_PARCELS {
            (format!("DLTB_{y0}.gpkg"), Container::GeoPackage)
        } else {
            (format!("DLTB_{y0}.shp"), Container::ShapefileGbk)
        };
        let mut first = self.book(out, &first_name, first_kind)?;
        let first_layer = format!("DLTB_{y0}");
        first.add_layer(&first_layer, wkbPolygon, &DLTB_FIELDS)?;
        let mut second = self.book(out, &format!("DLTB_{y1}.gpkg"), Container::GeoPackage)?;
        let second_layer = format!("DLTB_{y1}");
        second.add_layer(&second_layer, wkbPolygon, &DLTB_FIELDS)?;
        let change_layer = format!("DLTBGX_{y0}_{y1}");
        let mut changes = self.book(
            out,
            &format!("{change_layer}.shp"),
            Container::ShapefileUtf8,
        )?;
        changes.add_layer(&change_layer, wkbPolygon, &CHANGE_FIELDS)?;
        let mut basic = self.book(out, "YJJBNTTB.gpkg", Container::GeoPackage)?;
        basic.add_layer("YJJBNTTB", wkbPolygon, &plans::BASIC_FIELDS)?;
        let mut totals = Totals::default();
        let mut outlines: Vec<(usize, Vec<coverage::Polygon>, i64)> = Vec::new();
        let mut samples = plans::Samples::default();
        let mut pictures = self.pictures(out)?;
        self.survey_all(&mut |tiles, lands| {
            if let Some((frame, pictures)) = &mut pictures {
                for tile in tiles {
                    draw(frame, pictures, &tile)?;
                }
            }
            for land in lands {
                let base = totals.serial;
                self.write_parcels(&mut first, &first_layer, &land, 0, &mut totals)?;
                self.write_parcels(&mut second, &second_layer, &land, 1, &mut totals)?;
                self.write_changes(&mut changes, &change_layer, &land, base, &mut totals)?;
                let fields = plans::basic_farmland(self, &land, &mut totals.basic);
                basic.write("YJJBNTTB", &fields)?;
                samples.take(self, &land, base[1]);
                totals.area_centi += land.area_centi;
                let v = &self.places.villages[land.index];
                totals.villages.push(json!({
                    "code": v.code, "name": v.name,
                    "parcels": [land.before.len(), land.after.len()],
                    "area_m2": land.area_centi as f64 / 100.0,
                }));
                outlines.push((land.index, land.outline, land.area_centi));
            }
            Ok(())
        })?;
        for book in [first, second, changes, basic] {
            book.finish()?;
        }
        drop(pictures);
        self.write_administration(out, outlines)?;
        self.write_lines(out)?;
        let heights = Frame {
            left_m: self.corner[0],
            top_m: self.corner[1] + self.terrain.n as f64 * COARSE_M,
            cell_m: COARSE_M,
            size: (self.terrain.n, self.terrain.n),
            block: 256,
        };
        clear(&out.join("DEM.tif"))?;
        files::write_heights(
            &out.join("DEM.tif"),
            heights,
            &self.terrain.height_m,
            self.epsg,
            "示范县 DEM (fictional)",
        )?;
        let planted = plans::write(self, out, &samples)?;
        let defects = if self.options.defects {
            Some(defects::write(self, out, &samples)?)
        } else {
            None
        };
        self.report(out, totals, planted, defects)
    }

    fn write_parcels(
        &self,
        book: &mut Book,
        layer: &str,
        land: &VillageLand,
        year: usize,
        totals: &mut Totals,
    ) -> Result<(), CountyError> {
        let parcels = if year == 0 { &land.before } else { &land.after };
        let base = totals.serial[year];
        let sjnf = i64::from(self.options.years[year]);
        let records: Vec<Record> = parcels
            .par_iter()
            .enumerate()
            .map(|(k, p)| dltb_record(self.places, land.index, p, base + k as u64 + 1, k + 1, sjnf))
            .collect();
        book.write(layer, &records)?;
        totals.serial[year] += parcels.len() as u64;
        for p in parcels {
            let entry = totals.classes[year].entry(p.class.code()).or_default();
            entry.0 += 1;
            entry.1 += p.area_centi;
            entry.2 += p.deducted_centi;
        }
        Ok(())
    }

    fn write_changes(
        &self,
        book: &mut Book,
        layer: &str,
        land: &VillageLand,
        base: [u64; 2],
        totals: &mut Totals,
    ) -> Result<(), CountyError> {
        let v = &self.places.villages[land.index];
        let mut records = Vec::with_capacity(land.changes.len());
        for change in &land.changes {
            totals.changes += 1;
            let (from, to) = (&land.before[change.before], &land.after[change.after]);
            let flow = totals
                .flows
                .entry((from.class.code(), to.class.code()))
                .or_default();
            flow.0 += 1;
            flow.1 += change.area_centi;
            if village::is_basic_farmland(self.options.seed, land.index, from)
                && to.class.group() == classes::Group::Construction
            {
                totals.basic_breaches += 1;
                totals.basic_breached_centi += change.area_centi;
            }
            records.push(Record {
                shape: Shape::Area(change.polygon.clone()),
                values: vec![
                    Value::text(identifier("1015", totals.changes)),
                    Value::text("2001010500"),
                    Value::text(identifier("1010", base[0] + change.before as u64 + 1)),
                    Value::text(identifier("1010", base[1] + change.after as u64 + 1)),
                    Value::text(from.class.code()),
                    Value::text(from.class.name()),
                    Value::text(to.class.code()),
                    Value::text(to.class.name()),
                    Value::text(format!("{}0000000", v.code)),
                    Value::text(format!("{}(虚构)", v.name)),
                    square_metres(change.area_centi),
                    Value::text("虚构数据"),
                ],
            });
        }
        book.write(layer, &records)
    }

    /// Tiles with any part of the county, and pictures to put them in.
    fn pictures(&self, out: &Path) -> Result<Option<Pictures>, CountyError> {
        if !self.options.imagery {
            return Ok(None);
        }
        let side_m = self.terrain.n as f64 * COARSE_M;
        let pixel_m = self.pixel_m();
        let size = (side_m / pixel_m).round() as usize;
        let frame = Frame {
            left_m: self.corner[0],
            top_m: self.corner[1] + side_m,
            cell_m: pixel_m,
            size: (size, size),
            block: (TILE_M / pixel_m).round() as usize,
        };
        let open = |year: u16| -> Result<[Picture; 2], CountyError> {
            let text =
                "Rendered from fictional data, not taken from the air (虚构数据渲染,并非航空影像)";
            let rgb = out.join(format!("影像_{year}_RGB.tif"));
            let nir = out.join(format!("影像_{year}_NIR.tif"));
            clear(&rgb)?;
            clear(&nir)?;
            Ok([
                Picture::create(&rgb, frame, 3, self.epsg, text)?,
                Picture::create(&nir, frame, 1, self.epsg, text)?,
            ])
        };
        let [y0, y1] = self.options.years;
        Ok(Some((frame, [open(y0)?, open(y1)?])))
    }

    /// Surveys every village, a batch at a time, and hands each batch over in order.
    fn survey_all(
        &self,
        take: &mut dyn FnMut(Vec<Rendered>, Vec<VillageLand>) -> Result<(), CountyError>,
    ) -> Result<(), CountyError> {
        let boxes = self.village_boxes();
        let mut order: Vec<usize> = (0..boxes.len()).filter(|&v| boxes[v].is_some()).collect();
        order.sort_by_key(|&v| (boxes[v].map(|b| (b[1], b[0])), v));
        let tile_range = |b: [i64; 4]| {
            let t = TILE as i64;
            (
                b[0].div_euclid(t),
                b[1].div_euclid(t),
                (b[2] - 1).div_euclid(t),
                (b[3] - 1).div_euclid(t),
            )
        };
        let mut tiles: BTreeMap<(i64, i64), Tile> = BTreeMap::new();
        let mut drawn: BTreeSet<(i64, i64)> = BTreeSet::new();
        let frame = self.options.imagery.then(|| self.pixel_m());
        for batch in order.chunks(BATCH) {
            let mut wanted = BTreeSet::new();
            let mut lowest = i64::MAX;
            for &v in batch {
                let (tx0, ty0, tx1, ty1) =
                    tile_range(boxes[v].expect("only villages with land are in order"));
                lowest = lowest.min(ty0);
                wanted.extend((ty0..=ty1).flat_map(|ty| (tx0..=tx1).map(move |tx| (ty, tx))));
            }
            tiles.retain(|&(ty, _), _| ty >= lowest);
            drawn.retain(|&(ty, _)| ty >= lowest);
            let missing: Vec<_> = wanted
                .iter()
                .copied()
                .filter(|t| !tiles.contains_key(t))
                .collect();
            // A few at a time: pictures of a tile take megabytes.
            for part in missing.chunks(TILES_AT_A_TIME) {
                let made: Vec<_> = part
                    .par_iter()
                    .map(|&(ty, tx)| {
                        let (tile, work) = self.land.tile(tx, ty);
                        let render = frame.filter(|_| !drawn.contains(&(ty, tx)));
                        let picture = render.map(|pixel_m| self.rendered(&work, pixel_m));
                        ((ty, tx), tile, picture)
                    })
                    .collect();
                let mut pictures = Vec::new();
                for (at, tile, picture) in made {
                    tiles.insert(at, tile);
                    drawn.insert(at);
                    pictures.extend(picture);
                }
                take(pictures, Vec::new())?;
            }
            let lands: Vec<VillageLand> = batch
                .par_iter()
                .map(|&v| {
                    let cells = gather(
                        &tiles,
                        boxes[v].expect("only villages with land are in order"),
                    );
                    survey(v, &cells, self.terrain, self.corner, self.false_easting_m())
                })
                .collect();
            take(Vec::new(), lands)?;
        }
        Ok(())
    }

    fn rendered(&self, work: &Workings, pixel_m: f64) -> Rendered {
        let mask = picture::mask(self.land, work.tx, work.ty, pixel_m);
        let years = [false, true]
            .map(|after| picture::render(self.options.seed, work, after, pixel_m, &mask));
        Rendered {
            tx: work.tx,
            ty: work.ty,
            years,
            mask,
        }
    }

    fn pixel_m(&self) -> f64 {
        let side_m = self.terrain.n as f64 * COARSE_M;
        picture::SIDES_M
            .into_iter()
            .find(|p| side_m / p <= MOST_PIXELS)
            .unwrap_or(picture::SIDES_M[picture::SIDES_M.len() - 1])
    }

    /// West, south, east, north of each village in cells, with a rim.
    fn village_boxes(&self) -> Vec<Option<[i64; 4]>> {
        let n = self.terrain.n;
        let mut boxes: Vec<Option<[i64; 4]>> = vec![None; self.places.villages.len()];
        let ratio = (COARSE_M / CELL_M) as i64;
        for (i, &v) in self.places.village_of_cell.iter().enumerate() {
            if v == 0 {
                continue;
            }
            let (x, y) = ((i % n) as i64, (i / n) as i64);
            let cell = [
                (x - 2) * ratio,
                (y - 2) * ratio,
                (x + 3) * ratio,
                (y + 3) * ratio,
            ];
            let b = boxes[v as usize - 1].get_or_insert(cell);
            *b = [
                b[0].min(cell[0]),
                b[1].min(cell[1]),
                b[2].max(cell[2]),
                b[3].max(cell[3]),
            ];
        }
        boxes
    }

    fn write_administration(
        &self,
        out: &Path,
        mut outlines: Vec<(usize, Vec<coverage::Polygon>, i64)>,
    ) -> Result<(), CountyError> {
        outlines.sort_by_key(|o| o.0);
        let mut book = self.book(out, "XZQ.gpkg", Container::GeoPackage)?;
        let fields = [
            text("BSM", 18),
            text("YSDM", 10),
            text("XZQDM", 12),
            text("XZQMC", 60),
            files::real("DCMJ", 15, 2),
            files::real("JSMJ", 15, 2),
            text("MSSM", 2),
            text("BZ", 60),
        ];
        let village_fields = [
            text("BSM", 18),
            text("YSDM", 10),
            text("ZLDWDM", 19),
            text("ZLDWMC", 60),
            files::real("DCMJ", 15, 2),
            files::real("JSMJ", 15, 2),
            text("MSSM", 2),
            text("BZ", 60),
        ];
        book.add_layer("CJDCQ", wkbMultiPolygon, &village_fields)?;
        book.add_layer("XZQ_乡镇", wkbMultiPolygon, &fields)?;
        book.add_layer("XZQ_县", wkbMultiPolygon, &fields)?;
        let values = |layer: &str, serial: u64, code: String, name: String, centi: i64| {
            vec![
                Value::text(identifier(layer, serial)),
                Value::text("1000600100"),
                Value::text(code),
                Value::text(name),
                square_metres(centi),
                square_metres(centi),
                Value::text("00"),
                Value::text("虚构数据"),
            ]
        };
        let records: Vec<Record> = outlines
            .iter()
            .enumerate()
            .map(|(k, (v, polygons, centi))| {
                let village = &self.places.villages[*v];
                Record {
                    shape: Shape::Areas(polygons.clone()),
                    values: values(
                        "1003",
                        k as u64 + 1,
                        format!("{}0000000", village.code),
                        format!("{}(虚构)", village.name),
                        *centi,
                    ),
                }
            })
            .collect();
        book.write("CJDCQ", &records)?;
        let mut all = Vec::new();
        let mut total = 0;
        for (t, township) in self.places.townships.iter().enumerate() {
            let members = || {
                outlines
                    .iter()
                    .filter(|(v, _, _)| self.places.villages[*v].township == t)
            };
            let shape = coverage::dissolve(members().flat_map(|(_, p, _)| p.iter()));
            let centi = members().map(|(_, _, c)| c).sum::<i64>();
            if shape.is_empty() {
                continue;
            }
            total += centi;
            let values = values(
                "1002",
                t as u64 + 1,
                township.code.clone(),
                format!("{}(虚构)", township.name),
                centi,
            );
            book.write(
                "XZQ_乡镇",
                &[Record {
                    shape: Shape::Areas(shape.clone()),
                    values,
                }],
            )?;
            all.extend(shape);
        }
        let shape = coverage::dissolve(all.iter());
        let values = values("1001", 1, COUNTY_CODE.into(), COUNTY_NAME.into(), total);
        book.write(
            "XZQ_县",
            &[Record {
                shape: Shape::Areas(shape),
                values,
            }],
        )?;
        book.finish()
    }

    /// Rivers in one file, ways in another.
    fn write_lines(&self, out: &Path) -> Result<(), CountyError> {
        let fields = [
            text("BSM", 18),
            text("LX", 20),
            files::real("KD", 6, 1),
            whole("NF", 4),
            text("BZ", 60),
        ];
        for (name, layer, is_water) in [("水系", "2001", true), ("道路", "2002", false)] {
            let mut book = self.book(out, &format!("{name}.shp"), Container::ShapefileUtf8)?;
            book.add_layer(name, wkbLineString, &fields)?;
            let records: Vec<Record> = self
                .places
                .lines
                .iter()
                .filter(|line| line.points.len() > 1 && line.kind.is_water() == is_water)
                .enumerate()
                .map(|(k, line)| self.line_record(line, identifier(layer, k as u64 + 1)))
                .collect();
            book.write(name, &records)?;
            book.finish()?;
        }
        Ok(())
    }

    fn line_record(&self, line: &Line, number: String) -> Record {
        let name = match line.kind {
            LineKind::Stream => "溪流",
            LineKind::River => "河流",
            LineKind::Lane => "农村道路",
            LineKind::TownshipRoad => "乡道",
            LineKind::TrunkRoad => "省道",
            LineKind::NewRoad => "新建公路",
            LineKind::Railway => "铁路",
            LineKind::Dam => "大坝",
        };
        let year = self.options.years[usize::from(line.kind == LineKind::NewRoad)];
        let round = |v: f64| (v * 1000.0).round() / 1000.0;
        let points = line
            .points
            .iter()
            .map(|&(x, y)| [round(self.corner[0] + x), round(self.corner[1] + y)])
            .collect();
        Record {
            shape: Shape::Line(points),
            values: vec![
                Value::text(number),
                Value::text(name),
                Value::Real((line.half_width_m * 20.0).round() / 10.0),
                Value::Whole(i64::from(year)),
                Value::text("虚构数据"),
            ],
        }
    }

    fn report(
        &self,
        out: &Path,
        totals: Totals,
        planted: Json,
        defects: Option<Json>,
    ) -> Result<Report, CountyError> {
        let m2 = |centi: i64| centi as f64 / 100.0;
        let classes = |year: usize| -> Json {
            totals.classes[year]
                .iter()
                .map(|(code, (count, area, deducted))| {
                    let name = Class::ALL.iter().find(|c| c.code() == *code).map_or("", |c| c.name());
                    json!({ "DLBM": code, "DLMC": name, "parcels": count, "TBMJ": m2(*area), "KCMJ": m2(*deducted) })
                })
                .collect()
        };
        let flows: Json = totals
            .flows
            .iter()
            .map(|((from, to), (count, area))| json!({ "from": from, "to": to, "pieces": count, "area_m2": m2(*area) }))
            .collect();
        let [y0, y1] = self.options.years;
        let answers = json!({
            "fictional": "虚构: 990101 is not an assigned division code; no region code begins with 9",
            "seed": self.options.seed, "epsg": self.epsg, "county": COUNTY_NAME, "code": COUNTY_CODE,
            "villages": totals.villages, "townships": self.places.townships.len(),
            "area_m2": m2(totals.area_centi),
            "years": [
                { "year": y0, "parcels": totals.serial[0], "classes": classes(0) },
                { "year": y1, "parcels": totals.serial[1], "classes": classes(1) },
            ],
            "changes": { "pieces": totals.changes, "flows": flows },
            "basic_farmland": { "parcels": totals.basic, "built_over_pieces": totals.basic_breaches, "built_over_m2": m2(totals.basic_breached_centi) },
            "planted": planted,
            "defects": defects,
        });
        let text = serde_json::to_vec_pretty(&answers).expect("plain values are JSON");
        write_bytes(&out.join("answers.json"), &text)?;
        let mut table = String::from("\u{feff}村代码,村名称,乡镇,图斑数,面积_平方米,说明\r\n");
        for entry in &totals.villages {
            let code = entry["code"].as_str().unwrap_or_default();
            let township = self
                .places
                .townships
                .iter()
                .find(|t| code.starts_with(&t.code))
                .map_or("", |t| &t.name);
            table.push_str(&format!(
                "{code},{},{township},{},{},虚构\r\n",
                entry["name"].as_str().unwrap_or_default(),
                entry["parcels"][1],
                entry["area_m2"]
            ));
        }
        write_bytes(&out.join("村级汇总.csv"), table.as_bytes())?;
        Ok(Report {
            villages: totals.villages.len(),
            parcels_before: totals.serial[0],
            parcels_after: totals.serial[1],
            changes: totals.changes,
            area_centi_m2: totals.area_centi,
            answers,
        })
    }
}

fn draw(
    frame: &Frame,
    pictures: &mut [[Picture; 2]; 2],
    tile: &Rendered,
) -> Result<(), CountyError> {
    let rows = frame.size.1 / frame.block;
    if tile.tx < 0 || tile.ty < 0 || tile.tx as usize >= rows || tile.ty as usize >= rows {
        return Ok(());
    }
    let (column, row) = (
        tile.tx as usize * frame.block,
        (rows - 1 - tile.ty as usize) * frame.block,
    );
    if tile.mask.iter().all(|&m| m == 0) {
        return Ok(());
    }
    let area = frame.block * frame.block;
    for ([rgb, nir], pixels) in pictures.iter_mut().zip(&tile.years) {
        rgb.write(column, row, frame.block, &pixels[..3 * area])?;
        rgb.write_mask(column, row, frame.block, &tile.mask)?;
        let infrared: Vec<u8> = pixels[3 * area..]
            .iter()
            .zip(&tile.mask)
            .map(|(value, mask)| value & mask)
            .collect();
        nir.write(column, row, frame.block, &infrared)?;
    }
    Ok(())
}

/// The cells of a rectangle from finished tiles.
fn gather(tiles: &BTreeMap<(i64, i64), Tile>, b: [i64; 4]) -> Cells {
    let (width, height) = ((b[2] - b[0]) as usize, (b[3] - b[1]) as usize);
    let mut cells = Cells {
        width,
        height,
        x0: b[0],
        y0: b[1],
        village: vec![0; width * height],
        before: vec![0; width * height],
        after: vec![0; width * height],
    };
    let side = TILE as i64;
    for row in 0..height {
        let y = b[1] + row as i64;
        let mut column = 0;
        while column < width {
            let x = b[0] + column as i64;
            let run = ((side - x.rem_euclid(side)) as usize).min(width - column);
            let tile = &tiles[&(y.div_euclid(side), x.div_euclid(side))];
            let from = (y.rem_euclid(side) * side + x.rem_euclid(side)) as usize;
            let to = row * width + column;
            cells.village[to..to + run].copy_from_slice(&tile.village[from..from + run]);
            cells.before[to..to + run].copy_from_slice(&tile.before[from..from + run]);
            let after = tile.after.as_ref().unwrap_or(&tile.before);
            cells.after[to..to + run].copy_from_slice(&after[from..from + run]);
            column += run;
        }
    }
    cells
}
