//! Puts the built portal (`web/dist`) and the folder `styles` into the binary as tables of paths
//! and bytes.
//!
//! Without a built portal the crate still builds, so that the tests of other modules need no
//! Node.js; the server then answers `/` with a note. With `ONEMAP_REQUIRE_PORTAL=1` (set by
//! `make build`) a missing portal stops the build. After `make web`, which touches this file,
//! cargo runs it again.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    keep_sqlite_to_ourselves();
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=ONEMAP_REQUIRE_PORTAL");
    let portal = root.join("web/dist");
    let mut files = Vec::new();
    if portal.join("index.html").is_file() {
        println!("cargo::rerun-if-changed=web/dist");
        collect(&portal, &mut files);
        files.sort();
    } else if env::var_os("ONEMAP_REQUIRE_PORTAL").is_some_and(|value| value == "1") {
        println!(
            "cargo::error=the portal is not built: run `make web` (needs Node.js), then build again / 门户尚未构建,请先运行 make web"
        );
    } else {
        println!(
            "cargo::warning=the portal is not built into this binary: run `make web` (needs Node.js), then build again / 未包含门户,请运行 make web"
        );
    }
    write_table(&out.join("portal.rs"), &portal, &files);

    println!("cargo::rerun-if-changed=styles");
    let styles = root.join("styles");
    let mut files = Vec::new();
    collect(&styles, &mut files);
    files.sort();
    write_table(&out.join("styles.rs"), &styles, &files);
}

/// Our own SQLite is linked in; GDAL and SpatiaLite bring the system's. Were ours visible to them,
/// the loader would give them half of each: they crash at the first GeoPackage.
fn keep_sqlite_to_ourselves() {
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo::rustc-link-arg=-Wl,--exclude-libs,ALL");
    }
}

fn write_table(path: &Path, folder: &Path, files: &[PathBuf]) {
    let mut table = String::from("&[\n");
    for file in files {
        let name = file
            .strip_prefix(folder)
            .expect("it was found in there")
            .to_string_lossy()
            .replace('\\', "/");
        writeln!(
            table,
            "    ({name:?}, include_bytes!({:?})),",
            file.to_string_lossy()
        )
        .expect("writing to a string does not fail");
    }
    table.push(']');
    fs::write(path, table).expect("cargo gives a writable directory");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("the folder is there");
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
