//! `onemap demo`: example data through the ordinary import, then served or checked.
//!
//! 1. import what the workspace does not have yet  2. serve it, or with `--check` start a server,
//!    ask it for one of everything ([`check`]) and stop it
//!
//! Where the data comes from and under which licences is said in the files beside it.

mod check;
mod client;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::import::{Bands, Bounds, ImportArgs};
use super::serve::{self, ServeArgs};
use super::{Failure, Globals, Outcome, import, start_log};
use crate::config::ServeSettings;
use crate::model::{LayerKind, LayerName};
use crate::store::Store;

/// Show the map with example data (示例数据演示)
///
/// Imports the example data that the workspace does not have yet and serves it. `make demo`
/// fetches the data first. 先导入示例数据,再发布;数据由 make demo 下载。
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Directory of the workspace; made when it does not exist (工作空间目录)
    #[arg(default_value = "demo/workspace")]
    pub workspace: PathBuf,
    /// Directory with the example data (示例数据目录)
    #[arg(long, value_name = "DIR", default_value = "demo/data")]
    pub data: PathBuf,
    /// Address and port to listen on (监听地址)
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Start, ask for one of everything, print a table, stop; exit 0 when all of it is right, 1
    /// when something is not (自检后退出)
    #[arg(long)]
    pub check: bool,
}

/// A layer of the demo.
struct Example {
    name: &'static str,
    title: &'static str,
    /// Below the directory of the data.
    file: &'static str,
    kind: LayerKind,
    attribution: &'static str,
    id_field: Option<&'static str>,
    /// Reference system and bounds, for a picture that has none.
    place: Option<(&'static str, [f64; 4])>,
    bands: Option<[u32; 3]>,
    /// A text that a search finds.
    find: Option<&'static str>,
}

const OPENSTREETMAP: &str = "© OpenStreetMap contributors, ODbL";

const EXAMPLES: &[Example] = &[
    Example {
        name: "relief",
        title: "世界地势 World relief",
        file: "relief/shadedrelief.jpg",
        kind: LayerKind::Imagery,
        attribution: "Natural Earth",
        id_field: None,
        place: Some(("EPSG:4326", [-180.0, -90.0, 180.0, 90.0])),
        bands: None,
        find: None,
    },
    Example {
        name: "us_counties",
        title: "美国县界 US counties",
        file: "us-counties/UScounties.shp",
        kind: LayerKind::Admin,
        attribution: "US Census Bureau",
        id_field: Some("FIPS"),
        place: None,
        bands: None,
        find: Some("Denver"),
    },
    Example {
        name: "olinda_landsat",
        title: "奥林达卫星影像 Olinda, Landsat 7",
        file: "olinda/L7_ETMs.tif",
        kind: LayerKind::Imagery,
        attribution: "USGS Landsat 7",
        id_field: None,
        place: None,
        // Red, green and blue of the ETM+ sensor.
        bands: Some([3, 2, 1]),
        find: None,
    },
    Example {
        name: "olinda_tracts",
        title: "奥林达普查小区 Olinda, census tracts",
        file: "olinda/olinda1.shp",
        kind: LayerKind::Admin,
        attribution: "IBGE, r-cran-sf",
        id_field: Some("ID"),
        place: None,
        bands: None,
        find: Some("260960005000001"),
    },
    Example {
        name: "helsinki_landuse",
        title: "赫尔辛基土地利用 Helsinki, land use",
        file: "helsinki/landuse.gpkg",
        kind: LayerKind::LandUse,
        attribution: OPENSTREETMAP,
        id_field: Some("osm_id"),
        place: None,
        bands: None,
        find: Some("城镇住宅用地"),
    },
    Example {
        name: "helsinki_buildings",
        title: "赫尔辛基建筑物 Helsinki, buildings",
        file: "helsinki/buildings.gpkg",
        kind: LayerKind::Other,
        attribution: OPENSTREETMAP,
        id_field: Some("osm_id"),
        place: None,
        bands: None,
        find: Some("apartments"),
    },
];

pub fn run(args: DemoArgs, globals: Globals) -> Result<Outcome, Failure> {
    import_missing(&args, &globals)?;
    if args.check {
        start_log(&globals)?;
        return check::run(&args.workspace, &globals);
    }
    if !globals.quiet && !globals.json {
        print!("{}", what_to_try(args.listen));
    }
    let serve = ServeArgs {
        workspace: args.workspace,
        config: None,
        settings: ServeSettings {
            listen: Some(args.listen),
            ..ServeSettings::default()
        },
    };
    serve::run(serve, globals)
}

fn import_missing(args: &DemoArgs, globals: &Globals) -> Result<(), Failure> {
    let store = Store::open_or_create(&args.workspace)?;
    let present = store.names()?;
    drop(store);
    for example in EXAMPLES {
        let has = |name: &LayerName| name.as_str() == example.name;
        if present.iter().any(has) {
            continue;
        }
        let file = args.data.join(example.file);
        if !file.is_file() {
            return Err(Failure::NoDemoData { path: file });
        }
        import::run(&import_args(args, example, &file), globals)?;
    }
    Ok(())
}

fn import_args(args: &DemoArgs, example: &Example, file: &Path) -> ImportArgs {
    ImportArgs {
        layers: vec![format!("{}={}", example.name, file.display())],
        kind: Some(example.kind),
        title: Some(example.title.to_string()),
        attribution: Some(example.attribution.to_string()),
        id_field: example.id_field.map(str::to_string),
        crs: example.place.map(|(crs, _)| crs.to_string()),
        bounds: example.place.map(|(_, bounds)| Bounds(bounds)),
        bands: example.bands.map(|bands| Bands(bands.to_vec())),
        ..ImportArgs::new(&args.workspace)
    }
}

fn what_to_try(listen: SocketAddr) -> String {
    format!(
        "
The map (地图):  http://{listen}/
What to try (可以试试):
  - switch layers on and off on the left, change their order and opacity (左侧开关图层、调整顺序与透明度)
  - click a parcel or a county to see its attributes (点击图斑查看属性)
  - search for Denver or 城镇住宅用地 (搜索)
  - zoom to Helsinki for land use, to Olinda for the satellite image (缩放到赫尔辛基、奥林达)
  - http://{listen}/tiles/us_counties.json in QGIS: Layer, Add Vector Tile Layer (在 QGIS 中打开)
Stop with Ctrl-C (按 Ctrl-C 停止).

"
    )
}
