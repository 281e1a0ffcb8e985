//! `onemap demo`: example data through the ordinary import, then served or checked.
//!
//! 1. make the fictional county, when its files are not there  2. import what the workspace does
//!    not have yet  3. serve it, or with `--check` start a server, ask it for one of everything
//!    ([`check`]) and stop it
//!
//! Where the data comes from and under which licences is said in the files beside it.

mod check;
mod client;
mod examples;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::import::{Bands, Bounds, ImportArgs};
use super::serve::{self, ServeArgs};
use super::{Failure, Globals, Outcome, import, say, start_log};
use crate::config::ServeSettings;
use crate::county;
use crate::model::LayerName;
use crate::store::Store;
use examples::{COUNTY, EXAMPLES, Example};

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

pub fn run(args: DemoArgs, globals: Globals) -> Result<Outcome, Failure> {
    import_missing(&args, &globals)?;
    if args.check {
        start_log(&globals)?;
        return check::run(&args.workspace, &globals);
    }
    if !globals.quiet && !globals.json {
        say(&what_to_try(args.listen))?;
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
        if example.file.starts_with(COUNTY) {
            make_county(&args.data, globals)?;
        }
        // A File Geodatabase is a folder.
        if !file.exists() {
            return Err(Failure::NoDemoData { path: file });
        }
        import::run(&import_args(args, example, &file), globals)?;
    }
    Ok(())
}

/// Enough for two townships and some twenty villages, and made in seconds.
const COUNTY_PARCELS: u64 = 15_000;

/// Makes the files of the fictional county, all or none, unless they are there.
fn make_county(data: &Path, globals: &Globals) -> Result<(), Failure> {
    let finished = data.join(COUNTY);
    if finished.is_dir() {
        return Ok(());
    }
    if !globals.quiet && !globals.json {
        say(&format!(
            "Making a fictional county (生成虚构的示范县): {}\n",
            finished.display()
        ))?;
    }
    let unfinished = data.join(format!("{COUNTY}.{}.partial", std::process::id()));
    let options = county::Options {
        parcels: COUNTY_PARCELS,
        ..county::Options::default()
    };
    county::generate(&options, &unfinished)?;
    let renamed = std::fs::rename(&unfinished, &finished);
    renamed.map_err(|source| Failure::File {
        path: finished,
        source,
    })
}

fn import_args(args: &DemoArgs, example: &Example, file: &Path) -> ImportArgs {
    ImportArgs {
        layers: vec![format!("{}={}", example.name, file.display())],
        source_layer: example.source_layer.map(str::to_string),
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
  - zoom to the fictional county for land use, plans, control lines and mining rights (缩放到示范县,全部为虚构数据)
  - zoom to Helsinki for land use, to Olinda for the satellite image (缩放到赫尔辛基、奥林达)
  - http://{listen}/tiles/us_counties.json in QGIS: Layer, Add Vector Tile Layer (在 QGIS 中打开)
Stop with Ctrl-C (按 Ctrl-C 停止).

"
    )
}
