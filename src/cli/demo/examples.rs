//! Which layers the demo has, and where each comes from.

use crate::model::LayerKind;

/// Folder of the fictional county below the directory of the data; made here, not fetched.
pub const COUNTY: &str = "示范县";

/// A layer of the demo.
#[derive(Clone, Copy)]
pub struct Example {
    pub name: &'static str,
    pub title: &'static str,
    /// Below the directory of the data.
    pub file: &'static str,
    /// Within a file of several layers.
    pub source_layer: Option<&'static str>,
    pub kind: LayerKind,
    pub attribution: &'static str,
    pub id_field: Option<&'static str>,
    /// Reference system and bounds, for a picture that has none.
    pub place: Option<(&'static str, [f64; 4])>,
    pub bands: Option<[u32; 3]>,
    /// A text that a search finds.
    pub find: Option<&'static str>,
}

const OPENSTREETMAP: &str = "© OpenStreetMap contributors, ODbL";

/// Nothing but what every example must say itself.
const PLAIN: Example = Example {
    name: "",
    title: "",
    file: "",
    source_layer: None,
    kind: LayerKind::Other,
    attribution: "",
    id_field: None,
    place: None,
    bands: None,
    find: None,
};

const FICTIONAL: Example = Example {
    attribution: "示范县:虚构数据 fictional data",
    ..PLAIN
};

pub const EXAMPLES: &[Example] = &[
    Example {
        name: "relief",
        title: "世界地势 World relief",
        file: "relief/shadedrelief.jpg",
        kind: LayerKind::Imagery,
        attribution: "Natural Earth",
        place: Some(("EPSG:4326", [-180.0, -90.0, 180.0, 90.0])),
        ..PLAIN
    },
    Example {
        name: "us_counties",
        title: "美国县界 US counties",
        file: "us-counties/UScounties.shp",
        kind: LayerKind::Admin,
        attribution: "US Census Bureau",
        id_field: Some("FIPS"),
        find: Some("Denver"),
        ..PLAIN
    },
    Example {
        name: "olinda_landsat",
        title: "奥林达卫星影像 Olinda, Landsat 7",
        file: "olinda/L7_ETMs.tif",
        kind: LayerKind::Imagery,
        attribution: "USGS Landsat 7",
        // Red, green and blue of the ETM+ sensor.
        bands: Some([3, 2, 1]),
        ..PLAIN
    },
    Example {
        name: "olinda_tracts",
        title: "奥林达普查小区 Olinda, census tracts",
        file: "olinda/olinda1.shp",
        kind: LayerKind::Admin,
        attribution: "IBGE, r-cran-sf",
        id_field: Some("ID"),
        find: Some("260960005000001"),
        ..PLAIN
    },
    Example {
        name: "helsinki_landuse",
        title: "赫尔辛基土地利用 Helsinki, land use",
        file: "helsinki/landuse.gpkg",
        kind: LayerKind::LandUse,
        attribution: OPENSTREETMAP,
        id_field: Some("osm_id"),
        find: Some("城镇住宅用地"),
        ..PLAIN
    },
    Example {
        name: "helsinki_buildings",
        title: "赫尔辛基建筑物 Helsinki, buildings",
        file: "helsinki/buildings.gpkg",
        kind: LayerKind::Other,
        attribution: OPENSTREETMAP,
        id_field: Some("osm_id"),
        find: Some("apartments"),
        ..PLAIN
    },
    Example {
        name: "county_photo",
        title: "示范县影像 2024(虚构) Fictional county, photo",
        file: "示范县/影像_2024_RGB.tif",
        kind: LayerKind::Imagery,
        ..FICTIONAL
    },
    Example {
        name: "county_dltb_2024",
        title: "示范县地类图斑 2024(虚构) Land use 2024",
        file: "示范县/DLTB_2024.gpkg",
        kind: LayerKind::LandUse,
        id_field: Some("BSM"),
        find: Some("水田"),
        ..FICTIONAL
    },
    Example {
        name: "county_dltb_2019",
        title: "示范县地类图斑 2019(虚构) Land use 2019",
        file: "示范县/DLTB_2019.shp",
        kind: LayerKind::LandUse,
        id_field: Some("BSM"),
        find: Some("水田"),
        ..FICTIONAL
    },
    Example {
        name: "county_changes",
        title: "示范县地类变化 2019—2024(虚构) Land-use changes",
        file: "示范县/DLTBGX_2019_2024.shp",
        kind: LayerKind::Other,
        find: Some("虚构"),
        ..FICTIONAL
    },
    Example {
        name: "county_farmland",
        title: "示范县永久基本农田(虚构) Permanent basic farmland",
        file: "示范县/YJJBNTTB.gpkg",
        kind: LayerKind::Planning,
        id_field: Some("BSM"),
        find: Some("虚构"),
        ..FICTIONAL
    },
    Example {
        name: "county_red_line",
        title: "示范县生态保护红线(虚构) Ecological red line",
        file: "示范县/控制线与规划.gdb",
        source_layer: Some("STBHHX"),
        kind: LayerKind::Planning,
        id_field: Some("BSM"),
        find: Some("虚构"),
        ..FICTIONAL
    },
    Example {
        name: "county_growth",
        title: "示范县城镇开发边界(虚构) Urban growth boundary",
        file: "示范县/控制线与规划.gdb",
        source_layer: Some("CZKFBJ"),
        kind: LayerKind::Planning,
        id_field: Some("BSM"),
        find: Some("虚构"),
        ..FICTIONAL
    },
    Example {
        name: "county_plan",
        title: "示范县规划分区(虚构) Planning zones",
        file: "示范县/控制线与规划.gdb",
        source_layer: Some("GHFQ"),
        kind: LayerKind::Planning,
        id_field: Some("BSM"),
        find: Some("虚构"),
        ..FICTIONAL
    },
    Example {
        name: "county_mines",
        title: "示范县采矿权(虚构) Mining rights",
        file: "示范县/矿业权.gpkg",
        source_layer: Some("CKQ"),
        kind: LayerKind::Mineral,
        find: Some("虚构"),
        ..FICTIONAL
    },
    Example {
        name: "county_exploration",
        title: "示范县探矿权(虚构) Exploration rights",
        file: "示范县/矿业权.gpkg",
        source_layer: Some("TKQ"),
        kind: LayerKind::Mineral,
        find: Some("虚构"),
        ..FICTIONAL
    },
    Example {
        name: "county_townships",
        title: "示范县乡镇(虚构) Townships",
        file: "示范县/XZQ.gpkg",
        source_layer: Some("XZQ_乡镇"),
        kind: LayerKind::Admin,
        id_field: Some("BSM"),
        find: Some("虚构"),
        ..FICTIONAL
    },
    Example {
        name: "county_villages",
        title: "示范县村级调查区(虚构) Villages",
        file: "示范县/XZQ.gpkg",
        source_layer: Some("CJDCQ"),
        kind: LayerKind::Admin,
        id_field: Some("BSM"),
        find: Some("虚构"),
        ..FICTIONAL
    },
    Example {
        name: "county_water",
        title: "示范县水系(虚构) Rivers",
        file: "示范县/水系.shp",
        kind: LayerKind::Other,
        find: Some("虚构"),
        ..FICTIONAL
    },
    Example {
        name: "county_roads",
        title: "示范县道路(虚构) Roads",
        file: "示范县/道路.shp",
        kind: LayerKind::Other,
        find: Some("虚构"),
        ..FICTIONAL
    },
    Example {
        name: "county_checks",
        title: "示范县卫片监测图斑(虚构) Satellite checks",
        file: "示范县/批供用补查.gpkg",
        source_layer: Some("JCTB"),
        kind: LayerKind::Planning,
        find: Some("虚构"),
        ..FICTIONAL
    },
    Example {
        name: "county_hazards",
        title: "示范县地质灾害点(虚构) Points of hazard",
        file: "示范县/批供用补查.gpkg",
        source_layer: Some("DZZHD"),
        kind: LayerKind::Other,
        find: Some("虚构"),
        ..FICTIONAL
    },
];
