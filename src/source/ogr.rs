//! GDAL's side: one-time set-up, opening read-only with listed drivers, error messages caught.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Once;

use gdal::GdalOpenFlags;
use gdal_sys::CPLErr::Type as ErrorClass;
use gdal_sys::{
    CPLErr, CPLErrorNum, CPLGetErrorHandlerUserData, CPLPopErrorHandler, CPLPushErrorHandlerEx,
    CPLSetConfigOption, GDALAllRegister, GDALClose, GDALDatasetGetLayer, GDALDatasetGetLayerCount,
    GDALDatasetH, GDALGetDatasetDriver, GDALGetDriverShortName, GDALOpenEx, OGR_L_GetGeomType,
    OGR_L_GetName, OGRLayerH, OGRwkbGeometryType,
};

use super::locate::{Candidate, Located};
use super::{SourceError, SourceLayer, SourceSpec, kml};
use crate::model::IssueLog;

/// Drivers that read the file they are given and its companions, and nothing else. Not here:
/// virtual formats that point elsewhere (OGR_VRT), services (WFS, OAPIF, …), databases other than
/// PostGIS.
const DRIVERS: &[&CStr] = &[
    c"ESRI Shapefile",
    c"GPKG",
    c"FlatGeobuf",
    c"OpenFileGDB",
    c"GeoJSON",
    c"GeoJSONSeq",
    c"ESRIJSON",
    c"TopoJSON",
    c"GML",
    c"LIBKML",
    c"KML",
    c"CSV",
    c"MapInfo File",
    c"DXF",
    c"DGN",
    c"GPX",
    c"OSM",
    c"SQLite",
    c"Parquet",
    c"Arrow",
    c"S57",
    c"SXF",
    c"JML",
    c"AVCBin",
    c"AVCE00",
];
const POSTGRES_DRIVER: &CStr = c"PostgreSQL";

/// Registers GDAL's drivers and closes its doors to the network, once.
pub(super) fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let settings = [
            // XML files: no links are followed, no schema is fetched.
            (c"GML_SKIP_RESOLVE_ELEMS", c"ALL"),
            (c"GML_SKIP_CORRUPTED_FEATURES", c"NO"),
            // No helper file is left beside the source.
            (c"SHAPE_RESTORE_SHX", c"NO"),
        ];
        // SAFETY: called once; texts are zero-terminated and copied.
        unsafe {
            GDALAllRegister();
            for (key, value) in settings {
                CPLSetConfigOption(key.as_ptr(), value.as_ptr());
            }
        }
    });
}

/// Catches what GDAL would print, on this thread, until dropped.
pub(super) struct ErrorTrap {
    caught: Box<RefCell<Vec<String>>>,
}

/// Messages kept at a time: a damaged file can produce one per feature.
const MAX_CAUGHT: usize = 16;

impl ErrorTrap {
    pub(super) fn set() -> ErrorTrap {
        let caught = Box::new(RefCell::new(Vec::new()));
        let user_data: *const RefCell<Vec<String>> = &raw const *caught;
        // SAFETY: the box outlives the handler, which `drop` removes on the same thread.
        unsafe {
            CPLPushErrorHandlerEx(Some(catch), user_data.cast_mut().cast::<c_void>());
        }
        ErrorTrap { caught }
    }

    /// Errors since the last call, warnings left out.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.caught.borrow_mut())
    }
}

impl Drop for ErrorTrap {
    fn drop(&mut self) {
        // SAFETY: removes the handler pushed by `set`; traps are dropped in reverse order.
        unsafe { CPLPopErrorHandler() };
    }
}

unsafe extern "C" fn catch(class: ErrorClass, _: CPLErrorNum, message: *const c_char) {
    if class != CPLErr::CE_Failure && class != CPLErr::CE_Fatal {
        return;
    }
    // SAFETY: the user data is the cell of the trap that pushed this handler and still lives.
    let caught = unsafe { &*CPLGetErrorHandlerUserData().cast::<RefCell<Vec<String>>>() };
    // SAFETY: GDAL passes a zero-terminated text.
    let message = unsafe { text(message) };
    if let Ok(mut caught) = caught.try_borrow_mut()
        && caught.len() < MAX_CAUGHT
    {
        caught.push(message.chars().take(400).collect());
    }
}

/// Copies a C string, invalid UTF-8 replaced; empty for null.
///
/// # Safety
/// `text` is null or zero-terminated.
pub(super) unsafe fn text(text: *const c_char) -> String {
    // SAFETY: by contract.
    unsafe { String::from_utf8_lossy(bytes(text)).into_owned() }
}

/// The bytes of a C string; empty for null.
///
/// # Safety
/// `text` is null or zero-terminated and lives for `'a`.
pub(super) unsafe fn bytes<'a>(text: *const c_char) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: by contract.
    unsafe { CStr::from_ptr(text) }.to_bytes()
}

/// A null-terminated list of texts for a C call.
pub(super) struct TextList {
    _texts: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl TextList {
    pub(super) fn new(texts: Vec<CString>) -> TextList {
        let pointers = texts
            .iter()
            .map(|text| text.as_ptr())
            .chain([ptr::null()])
            .collect();
        TextList {
            _texts: texts,
            pointers,
        }
    }

    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// An open dataset, closed when dropped.
pub(super) struct Handle(pub(super) GDALDatasetH);

// SAFETY: a GDAL dataset may be used from any thread as long as it is one at a time; the handle is
// neither cloned nor shared.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        let _trap = ErrorTrap::set();
        // SAFETY: opened by `open_candidate`, closed once.
        unsafe {
            GDALClose(self.0);
        }
    }
}

/// An opened source whose layers are known.
pub struct SourceDataset {
    pub(super) handle: Handle,
    pub(super) located: Located,
    pub(super) spec: SourceSpec,
    driver: String,
    layers: Vec<LayerEntry>,
}

struct LayerEntry {
    name: String,
    has_geometry: bool,
}

impl SourceDataset {
    pub(super) fn open(spec: &SourceSpec) -> Result<SourceDataset, SourceError> {
        prepare();
        let mut located = Located::find(spec)?;
        let candidates = std::mem::take(&mut located.candidates);
        let wanted = spec.layer.as_deref();
        // In an archive of several files a layer is named by its file or its own name.
        let chosen = match (candidates.as_slice(), wanted) {
            ([only], _) => Some(only),
            (several, Some(wanted)) => several
                .iter()
                .find(|candidate| candidate.stem == wanted)
                .or_else(|| {
                    several.iter().find(|candidate| {
                        open_candidate(candidate, &located.display).is_ok_and(|handle| {
                            layers_of(&handle).iter().any(|layer| layer.name == wanted)
                        })
                    })
                }),
            (_, None) => None,
        };
        let stems = || candidates.iter().map(|c| c.stem.clone()).collect();
        let Some(chosen) = chosen else {
            return Err(match wanted {
                Some(layer) => SourceError::NoSuchLayer {
                    name: located.display,
                    layer: layer.to_string(),
                    layers: stems(),
                },
                None => SourceError::ManyLayers {
                    name: located.display,
                    layers: stems(),
                },
            });
        };
        let handle = open_candidate(chosen, &located.display)?;
        // SAFETY: the dataset lives; the name is copied.
        let driver = unsafe { text(GDALGetDriverShortName(GDALGetDatasetDriver(handle.0))) };
        let driver = located.told.map_or(driver, |told| told.driver.to_string());
        let mut spec = spec.clone();
        if candidates.len() > 1 && wanted == Some(&chosen.stem) {
            spec.layer = None;
        }
        located.chosen = Some(chosen.clone());
        let layers = layers_of(&handle);
        Ok(SourceDataset {
            handle,
            located,
            spec,
            driver,
            layers,
        })
    }

    /// GDAL's short name of the driver that reads it, or our own of a format it has none for.
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// Names of the layers, in the source's order.
    pub fn layer_names(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|layer| layer.name.as_str())
    }

    /// Settles on the layer the [`SourceSpec`] names, or the only one with geometry, and gets it
    /// ready for reading. What had to be settled by evidence goes to `issues`.
    ///
    /// # Errors
    /// When the choice is not unique, the reference system is unknown or contradicted, or there
    /// is no geometry.
    pub fn into_layer(self, issues: &mut IssueLog) -> Result<SourceLayer, SourceError> {
        let index = self.chosen_layer()?;
        SourceLayer::new(self, index, issues)
    }

    fn chosen_layer(&self) -> Result<usize, SourceError> {
        let name = || self.located.display.clone();
        let names = || self.layer_names().map(str::to_string).collect();
        if let Some(wanted) = &self.spec.layer {
            let same = |exact: bool| {
                let mut found = self.layers.iter().enumerate().filter(|(_, layer)| {
                    if exact {
                        layer.name == *wanted
                    } else {
                        layer.name.to_lowercase() == wanted.to_lowercase()
                    }
                });
                match (found.next(), found.next()) {
                    (Some((index, _)), None) => Some(index),
                    _ => None,
                }
            };
            return same(true)
                .or_else(|| same(false))
                .ok_or_else(|| SourceError::NoSuchLayer {
                    name: name(),
                    layer: wanted.clone(),
                    layers: names(),
                });
        }
        let with_geometry: Vec<usize> = (0..self.layers.len())
            .filter(|&index| self.layers[index].has_geometry)
            .collect();
        match (with_geometry.as_slice(), self.layers.len()) {
            (&[only], _) => Ok(only),
            ([], 0) => Err(SourceError::NoLayers { name: name() }),
            // Said with the layer's name by `SourceLayer::new`.
            ([], 1) => Ok(0),
            _ => Err(SourceError::ManyLayers {
                name: name(),
                layers: names(),
            }),
        }
    }

    pub(super) fn layer_handle(&self, index: usize) -> OGRLayerH {
        // SAFETY: the dataset lives, the index is below the count.
        unsafe { GDALDatasetGetLayer(self.handle.0, index as c_int) }
    }
}

fn open_candidate(candidate: &Candidate, display: &str) -> Result<Handle, SourceError> {
    let drivers: Vec<CString> = if candidate.is_postgres {
        vec![POSTGRES_DRIVER.to_owned()]
    } else {
        DRIVERS.iter().map(|&name| name.to_owned()).collect()
    };
    let drivers = TextList::new(drivers);
    if !candidate.is_postgres {
        kml::check(&candidate.gdal_name, display)?;
    }
    let options = TextList::new(candidate.open_options.clone());
    let trap = ErrorTrap::set();
    // SAFETY: all texts and lists are zero-terminated and outlive the call.
    let handle = unsafe {
        GDALOpenEx(
            candidate.gdal_name.as_ptr(),
            (GdalOpenFlags::GDAL_OF_READONLY
                | GdalOpenFlags::GDAL_OF_VECTOR
                | GdalOpenFlags::GDAL_OF_VERBOSE_ERROR)
                .bits(),
            drivers.as_ptr(),
            options.as_ptr(),
            ptr::null(),
        )
    };
    if handle.is_null() {
        let caught = trap.take();
        let reason = if caught.is_empty() {
            "no driver recognises it".to_string()
        } else {
            // Names of GDAL's file systems and secrets of connections stay out of messages.
            candidate.redacted(&caught.join("; "))
        };
        return Err(SourceError::Unreadable {
            name: display.to_string(),
            reason,
        });
    }
    Ok(Handle(handle))
}

fn layers_of(handle: &Handle) -> Vec<LayerEntry> {
    let _trap = ErrorTrap::set();
    // SAFETY: the dataset lives, indices are below the count, names are copied.
    unsafe {
        (0..GDALDatasetGetLayerCount(handle.0))
            .map(|index| {
                let layer = GDALDatasetGetLayer(handle.0, index);
                LayerEntry {
                    name: text(OGR_L_GetName(layer)),
                    has_geometry: OGR_L_GetGeomType(layer) != OGRwkbGeometryType::wkbNone,
                }
            })
            .collect()
    }
}
