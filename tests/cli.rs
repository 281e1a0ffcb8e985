//! The program as a user runs it: exit codes, sudden death, a full disk, two at once.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use onemap::model::{Schema, Value};
use onemap::store::Store;
use support::{crs, feature, import, square, text_field};

fn onemap(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_onemap"))
        .args(args)
        .output()
        .unwrap()
}

/// A FlatGeobuf of `n × n` squares.
fn source(dir: &Path, n: i64) -> PathBuf {
    let store = Store::open_or_create(&dir.join("source-workspace")).unwrap();
    let schema = Schema {
        fields: vec![text_field("DLBM")],
    };
    let features = (0..n * n)
        .map(|i| {
            let shape = square(
                102.0 + (i % n) as f64 * 0.001,
                30.0 + (i / n) as f64 * 0.001,
                0.001,
            );
            feature(i, shape, vec![Value::Text(format!("{:04}", i % 13))])
        })
        .collect();
    let snapshot = import(&store, "s", crs(4490, true), schema, features, |_| {}).snapshot;
    let path = dir.join(format!("squares-{n}.fgb"));
    fs::copy(snapshot.dir().join("features.fgb"), &path).unwrap();
    path
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_reader_that_has_heard_enough_does_not_end_an_import() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = dir.path().join("map");
    let (one, two) = (source(dir.path(), 3), source(dir.path(), 4));
    let mut child = Command::new(env!("CARGO_BIN_EXE_onemap"))
        .arg("import")
        .arg(&workspace)
        .args([
            format!("one={}", one.display()),
            format!("two={}", two.display()),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let names = Store::open(&workspace).unwrap().names().unwrap();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn exit_codes_tell_done_from_failed_and_messages_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = dir.path().join("map");
    let workspace = workspace.to_str().unwrap();
    let good = source(dir.path(), 10);
    let done = onemap(&[
        "import",
        workspace,
        &format!("dltb={}", good.display()),
        "--kind",
        "landuse",
    ]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert!(text(&done.stdout).contains("100 features"));

    for (layer, expected) in [
        ("dltb", "NAME=SOURCE"),
        ("a/b=x.shp", "layer name"),
        ("..=x.shp", "layer name"),
        ("x=/nowhere/at/all.shp", "no such file"),
    ] {
        let failed = onemap(&["import", workspace, layer]);
        assert_eq!(failed.status.code(), Some(2), "{layer}");
        assert!(
            text(&failed.stderr).contains(expected),
            "{layer}: {}",
            text(&failed.stderr)
        );
    }
    let inspected = onemap(&["inspect", workspace, "--json"]);
    assert_eq!(inspected.status.code(), Some(0));
    assert!(serde_json::from_slice::<serde_json::Value>(&inspected.stdout).is_ok());
    let verified = onemap(&["inspect", workspace, "--verify"]);
    assert_eq!(verified.status.code(), Some(0));
}

#[test]
fn a_layer_without_a_reference_system_says_how_to_give_one() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("points.csv");
    fs::write(&csv, "x,y,name\n39500000,3500000,a\n").unwrap();
    let workspace = dir.path().join("map");
    let layer = format!("p={}", csv.display());
    let failed = onemap(&["import", workspace.to_str().unwrap(), &layer]);
    assert_eq!(failed.status.code(), Some(2));
    assert!(
        text(&failed.stderr).contains("--crs"),
        "{}",
        text(&failed.stderr)
    );
    let done = onemap(&[
        "import",
        workspace.to_str().unwrap(),
        &layer,
        "--crs",
        "EPSG:4527",
    ]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
}

#[test]
fn an_import_killed_at_any_moment_leaves_the_old_generation_and_no_garbage() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = dir.path().join("map");
    let small = source(dir.path(), 10);
    let large = source(dir.path(), 120);
    let named = |path: &Path| format!("x={}", path.display());
    let args = |path: &Path| {
        [
            "import".to_string(),
            workspace.display().to_string(),
            named(path),
        ]
    };
    let run = |path: &Path| {
        let done = Command::new(env!("CARGO_BIN_EXE_onemap"))
            .args(args(path))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
    };
    run(&small);
    let started = std::time::Instant::now();
    run(&large);
    let whole = started.elapsed();
    run(&small);

    const MOMENTS: u32 = 16;
    let mut died = 0;
    for moment in 0..MOMENTS {
        let mut child = Command::new(env!("CARGO_BIN_EXE_onemap"))
            .args(args(&large))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(whole * moment / MOMENTS + Duration::from_millis(1));
        child.kill().unwrap();
        died += u32::from(!child.wait().unwrap().success());

        let store = Store::open(&workspace).unwrap();
        let snapshot = store
            .snapshot("x")
            .unwrap()
            .expect("one of the two generations");
        assert!(matches!(snapshot.manifest.counts.stored, 100 | 14_400));
        assert!(snapshot.verify().unwrap().is_empty());
        let left: Vec<_> = fs::read_dir(workspace.join("layers/x"))
            .unwrap()
            .flatten()
            .collect();
        assert_eq!(left.len(), 1, "{left:?}");
        if snapshot.manifest.counts.stored != 100 {
            run(&small);
        }
    }
    assert!(
        died > MOMENTS / 2,
        "{died} of {MOMENTS} died before their end"
    );
}

#[test]
fn two_imports_at_once_are_both_there() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = dir.path().join("map");
    let path = source(dir.path(), 60);
    let start = |name: &str| {
        Command::new(env!("CARGO_BIN_EXE_onemap"))
            .args(["import", "--quiet"])
            .arg(&workspace)
            .arg(format!("{name}={}", path.display()))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let running: Vec<_> = ["a", "b", "same", "same"].map(start).into_iter().collect();
    for child in running {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let store = Store::open(&workspace).unwrap();
    let names: Vec<String> = store
        .names()
        .unwrap()
        .into_iter()
        .map(String::from)
        .collect();
    assert_eq!(names, ["a", "b", "same"]);
}

/// Needs the right to mount a small file system, as root in a container has; says so when not.
#[test]
fn a_full_disk_is_a_clear_error_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().join("small-disk");
    fs::create_dir(&mount).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(&mount)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        println!("skipped: no right to mount a tmpfs");
        return;
    }
    let workspace = mount.join("map");
    let small = source(dir.path(), 10);
    let large = source(dir.path(), 200);
    let workspace = workspace.to_str().unwrap();
    let before = onemap(&["import", workspace, &format!("x={}", small.display())]);
    let full = onemap(&["import", workspace, &format!("x={}", large.display())]);
    let after = onemap(&["inspect", workspace, "x", "--json", "--verify"]);
    let unmounted = Command::new("umount").arg(&mount).status().unwrap();
    assert!(unmounted.success());
    assert!(before.status.success(), "{}", text(&before.stderr));
    assert_eq!(full.status.code(), Some(2));
    assert!(
        text(&full.stderr).contains("disk is full"),
        "{}",
        text(&full.stderr)
    );
    assert_eq!(after.status.code(), Some(0), "{}", text(&after.stderr));
    assert!(
        text(&after.stdout).contains("\"stored\":100"),
        "{}",
        text(&after.stdout)
    );
}
