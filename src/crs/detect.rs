//! From whatever names a reference system to a [`Crs`]: a code, WKT of any dialect, a PROJ string.
//!
//! 1. PROJ reads the text; a compound system gives its horizontal part, a bound one its source.
//! 2. Its registry code: the declared authority, else the match of PROJ's own search, else the
//!    national Gauss-Krüger zone with the same parameters.
//! 3. Unit, area of use and name are asked from PROJ.
//!
//! Nothing is guessed from coordinates here, and no system is ever assumed.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

use proj::Proj;
use proj_sys::{
    PJ, PJ_CONTEXT, PJ_LOG_LEVEL_PJ_LOG_NONE, PJ_TYPE_PJ_TYPE_BOUND_CRS,
    PJ_TYPE_PJ_TYPE_COMPOUND_CRS, PJ_TYPE_PJ_TYPE_GEOGRAPHIC_2D_CRS,
    PJ_TYPE_PJ_TYPE_GEOGRAPHIC_3D_CRS, PJ_TYPE_PJ_TYPE_PROJECTED_CRS, PJ_WKT_TYPE_PJ_WKT2_2019,
    proj_as_wkt, proj_context_create, proj_context_destroy, proj_context_errno,
    proj_context_errno_string, proj_context_set_enable_network, proj_create,
    proj_crs_get_coordinate_system, proj_crs_get_sub_crs, proj_cs_get_axis_info, proj_destroy,
    proj_get_area_of_use, proj_get_id_auth_name, proj_get_id_code, proj_get_name,
    proj_get_source_crs, proj_get_type, proj_identify, proj_int_list_destroy, proj_list_destroy,
    proj_list_get, proj_list_get_count, proj_log_level,
};

use super::gauss_kruger::zone_disagreement;
use super::{Crs, CrsError, Datum, GaussKruger, ZoneWidth};
use crate::geom::Bbox;

/// PROJ's confidence (per cent) from which a match counts as the same system: the definitions are
/// equivalent and the names alike.
const MIN_CONFIDENCE: c_int = 90;
/// The same for a system without a name, as from a PROJ string: the definitions are equivalent.
const MIN_CONFIDENCE_UNNAMED: c_int = 70;
/// A degree in radians as registries write it, and the slack they need.
const DEGREE_RAD: f64 = 0.017_453_292_519_943_3;

impl Crs {
    /// Reads what a person gave: `EPSG:4490`, `4490`, `ESRI:102025`, WKT or a PROJ string.
    ///
    /// # Errors
    /// When PROJ does not know it, or it is not a plane or geographic system in degrees.
    pub fn from_user(text: &str) -> Result<Crs, CrsError> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Crs::from_definition(&format!("EPSG:{text}"))
        } else if text.starts_with('+') && !text.contains("+type=crs") {
            Crs::from_definition(&format!("{text} +type=crs"))
        } else {
            Crs::from_definition(text)
        }
    }

    /// Reads a definition as files carry it.
    ///
    /// # Errors
    /// As [`Crs::from_user`].
    pub fn from_definition(definition: &str) -> Result<Crs, CrsError> {
        let context = Context::new();
        let object = context.create(definition)?.horizontal(&context);
        let unknown = |reason: &str| CrsError::Unknown {
            definition: shortened(definition),
            reason: reason.to_string(),
        };
        let geographic = match object.kind() {
            PJ_TYPE_PJ_TYPE_GEOGRAPHIC_2D_CRS | PJ_TYPE_PJ_TYPE_GEOGRAPHIC_3D_CRS => true,
            PJ_TYPE_PJ_TYPE_PROJECTED_CRS => false,
            _ => return Err(unknown("it is neither a projected nor a geographic system")),
        };
        let unit = object
            .axis_unit(&context)
            .ok_or_else(|| unknown("its axes have no unit"))?;
        if geographic && (unit / DEGREE_RAD - 1.0).abs() > 1e-9 {
            return Err(unknown("its angles are not in degrees"));
        }
        let mut crs = Crs {
            epsg: None,
            name: object.name(),
            definition: String::new(),
            geographic,
            metres_per_unit: if geographic { 1.0 } else { unit },
            area_of_use: object.area_of_use(&context),
        };
        match object.authority() {
            Some((authority, code)) if authority == "EPSG" => crs.epsg = code.parse().ok(),
            Some((authority, code)) => crs.definition = format!("{authority}:{code}"),
            None => {
                let wkt = object
                    .wkt(&context)
                    .ok_or_else(|| unknown("it cannot be written as WKT"))?;
                crs.epsg = object
                    .identified(&context)
                    .or_else(|| national_grid_code(&crs.name, &wkt));
                crs.definition = wkt;
            }
        }
        if let Some(code) = crs.epsg {
            crs.definition = format!("EPSG:{code}");
            let registered = context.create(&crs.definition)?;
            crs.name = registered.name();
            crs.area_of_use = registered.area_of_use(&context);
        }
        Ok(crs)
    }

    /// The zone of a national grid this system is, if it is one.
    pub fn gauss_kruger(&self) -> Option<GaussKruger> {
        self.epsg.and_then(GaussKruger::from_epsg)
    }

    /// Why coordinates within `bbox` cannot be of this system, and what to give instead if that
    /// can be told: a zone number too many or missing, metres under a system in degrees.
    pub fn disagreement(&self, bbox: &Bbox) -> Option<(String, Option<u32>)> {
        if bbox.is_empty() {
            return None;
        }
        if let Some(zone) = self.gauss_kruger() {
            return zone_disagreement(zone, bbox).map(|(reason, code)| (reason, Some(code)));
        }
        let beyond_degrees =
            bbox.min_x > 720.0 || bbox.max_x < -720.0 || bbox.min_y > 180.0 || bbox.max_y < -180.0;
        (self.geographic && beyond_degrees).then(|| {
            (
                format!(
                    "the system is in degrees, coordinates reach {:.1}, {:.1} (坐标系以度为单位, 坐标却不是度)",
                    bbox.max_x, bbox.max_y
                ),
                None,
            )
        })
    }
}

/// The national zone whose parameters a system without code has: the name tells the datum, and a
/// zone counts when PROJ puts the same places at the same coordinates.
fn national_grid_code(name: &str, wkt: &str) -> Option<u32> {
    let haystack = format!("{name} {wkt}").to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| haystack.contains(word));
    let datum = if has(&[
        "cgcs2000",
        "cgcs_2000",
        "china_2000",
        "china 2000",
        "2000国家",
    ]) {
        Datum::Cgcs2000
    } else if has(&["xian_1980", "xian 1980", "xian80", "xian_80", "西安"]) {
        Datum::Xian1980
    } else if has(&[
        "beijing_1954",
        "beijing 1954",
        "beijing54",
        "beijing_54",
        "北京",
    ]) && !has(&["new beijing", "new_beijing"])
    {
        Datum::Beijing1954
    } else {
        return None;
    };
    let geographic = format!("EPSG:{}", datum.geographic_epsg());
    let given = Proj::new_known_crs(&geographic, wkt, None).ok()?;
    let name = name.to_lowercase();
    let named_three = ["3_degree", "3-degree", "3 degree", "3度", "三度"]
        .iter()
        .any(|word| name.contains(word));
    let same = |zone: &GaussKruger| {
        let on_meridian = given.convert((zone.central_meridian_deg(), 30.0));
        if !on_meridian.is_ok_and(|(x, _)| (x - zone.false_easting_m()).abs() < 1e-3) {
            return false;
        }
        let Ok(registered) =
            Proj::new_known_crs(&geographic, &format!("EPSG:{}", zone.epsg()), None)
        else {
            return false;
        };
        [(-1.0, 25.0), (1.2, 40.0)]
            .iter()
            .all(|&(offset, latitude)| {
                let place = (zone.central_meridian_deg() + offset, latitude);
                match (given.convert(place), registered.convert(place)) {
                    (Ok(a), Ok(b)) => (a.0 - b.0).abs() < 1e-3 && (a.1 - b.1).abs() < 1e-3,
                    _ => false,
                }
            })
    };
    // Without prefix a 3° and a 6° zone with the same meridian have the same coordinates; the
    // name decides which of the two codes is meant.
    let (three, six): (Vec<_>, Vec<_>) = GaussKruger::zones(datum)
        .filter(same)
        .partition(|zone| zone.width == ZoneWidth::Three);
    let preferred = if named_three || six.is_empty() {
        three.first()
    } else {
        six.first()
    };
    preferred.or(six.first()).map(GaussKruger::epsg)
}

fn shortened(definition: &str) -> String {
    const MAX_CHARS: usize = 200;
    if definition.chars().count() <= MAX_CHARS {
        definition.to_string()
    } else {
        let head: String = definition.chars().take(MAX_CHARS).collect();
        format!("{head}…")
    }
}

/// A PROJ context of its own: such objects belong to one thread.
struct Context(*mut PJ_CONTEXT);

impl Context {
    fn new() -> Context {
        // SAFETY: no preconditions; the result is destroyed in `drop` and nowhere else.
        unsafe {
            let context = proj_context_create();
            proj_log_level(context, PJ_LOG_LEVEL_PJ_LOG_NONE);
            proj_context_set_enable_network(context, 0);
            Context(context)
        }
    }

    fn create(&self, definition: &str) -> Result<Object, CrsError> {
        let failure = |reason: String| CrsError::Unknown {
            definition: shortened(definition),
            reason,
        };
        let text =
            CString::new(definition).map_err(|_| failure("it contains a zero byte".to_string()))?;
        // SAFETY: the context lives, the text is zero-terminated and only read.
        let object = unsafe { proj_create(self.0, text.as_ptr()) };
        if !object.is_null() {
            return Ok(Object(object));
        }
        // SAFETY: PROJ returns a static or context-owned text, copied before the next call.
        let reason = unsafe {
            text_of(proj_context_errno_string(
                self.0,
                proj_context_errno(self.0),
            ))
        };
        Err(failure(
            reason.unwrap_or_else(|| "it cannot be read".to_string()),
        ))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: created in `new`, destroyed once.
        unsafe {
            proj_context_destroy(self.0);
        }
    }
}

/// A PROJ object; must not outlive the context it came from, which local use guarantees.
struct Object(*mut PJ);

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: owned by this value, destroyed once.
        unsafe {
            proj_destroy(self.0);
        }
    }
}

impl Object {
    fn kind(&self) -> proj_sys::PJ_TYPE {
        // SAFETY: the object lives.
        unsafe { proj_get_type(self.0) }
    }

    /// The horizontal system within: the first part of a compound, the source of a bound one.
    fn horizontal(self, context: &Context) -> Object {
        // SAFETY: object and context live; results are new objects or null.
        let inner = unsafe {
            match self.kind() {
                PJ_TYPE_PJ_TYPE_COMPOUND_CRS => proj_crs_get_sub_crs(context.0, self.0, 0),
                PJ_TYPE_PJ_TYPE_BOUND_CRS => proj_get_source_crs(context.0, self.0),
                _ => ptr::null_mut(),
            }
        };
        if inner.is_null() {
            self
        } else {
            Object(inner).horizontal(context)
        }
    }

    fn name(&self) -> String {
        // SAFETY: the text belongs to the object and is copied.
        unsafe { text_of(proj_get_name(self.0)) }.unwrap_or_default()
    }

    fn authority(&self) -> Option<(String, String)> {
        // SAFETY: the texts belong to the object and are copied; null when there is no identifier.
        unsafe {
            Some((
                text_of(proj_get_id_auth_name(self.0, 0))?,
                text_of(proj_get_id_code(self.0, 0))?,
            ))
        }
    }

    /// Radians or metres per unit of the first axis.
    fn axis_unit(&self, context: &Context) -> Option<f64> {
        // SAFETY: the coordinate system is a new object owned here; unwanted results may be null.
        unsafe {
            let system = proj_crs_get_coordinate_system(context.0, self.0);
            if system.is_null() {
                return None;
            }
            let system = Object(system);
            let mut factor = 0.0;
            let found = proj_cs_get_axis_info(
                context.0,
                system.0,
                0,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                &mut factor,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            );
            (found != 0 && factor > 0.0).then_some(factor)
        }
    }

    fn area_of_use(&self, context: &Context) -> Option<[f64; 4]> {
        let mut area = [0.0f64; 4];
        let [west, south, east, north] = &mut area;
        // SAFETY: the four results are written by PROJ, the name is not wanted.
        let found = unsafe {
            proj_get_area_of_use(context.0, self.0, west, south, east, north, ptr::null_mut())
        };
        // PROJ writes -1000 for a bound it does not know.
        (found != 0 && area.iter().all(|&bound| bound > -1000.0)).then_some(area)
    }

    fn wkt(&self, context: &Context) -> Option<String> {
        let single_line = c"MULTILINE=NO";
        let options: [*const c_char; 2] = [single_line.as_ptr(), ptr::null()];
        // SAFETY: options are a null-terminated list; the text belongs to the object, copied.
        unsafe {
            text_of(proj_as_wkt(
                context.0,
                self.0,
                PJ_WKT_TYPE_PJ_WKT2_2019,
                options.as_ptr(),
            ))
        }
    }

    /// The registry code of the best match that is certain enough and alone at its confidence.
    fn identified(&self, context: &Context) -> Option<u32> {
        let mut confidence: *mut c_int = ptr::null_mut();
        let enough = if self.name() == "unknown" {
            MIN_CONFIDENCE_UNNAMED
        } else {
            MIN_CONFIDENCE
        };
        // SAFETY: list and confidences are owned here and freed below; indices stay within count.
        unsafe {
            let list = proj_identify(
                context.0,
                self.0,
                c"EPSG".as_ptr(),
                ptr::null(),
                &mut confidence,
            );
            if list.is_null() {
                return None;
            }
            let mut matches: Vec<(c_int, u32)> = Vec::new();
            for index in 0..proj_list_get_count(list) {
                let found = proj_list_get(context.0, list, index);
                if found.is_null() {
                    continue;
                }
                if let Some((_, code)) = Object(found).authority()
                    && let Ok(code) = code.parse()
                {
                    matches.push((*confidence.offset(index as isize), code));
                }
            }
            proj_int_list_destroy(confidence);
            proj_list_destroy(list);
            let best = matches.iter().map(|&(confidence, _)| confidence).max()?;
            let mut at_best = matches.iter().filter(|&&(found, _)| found == best);
            match (at_best.next(), at_best.next()) {
                (Some(&(_, code)), None) if best >= enough => Some(code),
                _ => None,
            }
        }
    }
}

/// Copies a C string; `None` for null.
///
/// # Safety
/// `text` is null or zero-terminated.
unsafe fn text_of(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: by contract.
    Some(
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned(),
    )
}
