//! The floor plan holds: what `ARCHITECTURE.md` says about modules is true of the source.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the crate and its level; a module uses only strictly lower ones.
const LEVELS: &[(&str, u8)] = &[
    ("geom", 0),
    ("crs", 1),
    ("topology", 1),
    ("overlay", 1),
    ("model", 2),
    ("standard", 2),
    ("format", 3),
    ("source", 4),
    ("store", 4),
    ("history", 4),
    ("query", 5),
    ("ingest", 5),
    ("access", 5),
    ("county", 5),
    ("tile", 6),
    ("render", 6),
    ("analysis", 6),
    ("supervision", 7),
    ("protocol", 7),
    ("http", 8),
    ("config", 9),
    ("cli", 10),
    ("main", 9),
];
const HTTP: u8 = 8;
const SURFACE: u8 = 9;

/// Foreign crates that have one place in the house.
const PLACES: &[(&str, &[&str])] = &[
    ("proj", &["crs"]),
    ("rusqlite", &["format", "store"]),
    ("gdal", &["crs", "format", "source", "county", "cli"]),
    ("gdal_sys", &["crs", "format", "source", "county", "cli"]),
    ("clap", &["config", "cli", "main"]),
    ("object_store", &["http"]),
    ("rustls", &["http"]),
];
const FORBIDDEN_NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "core", "manager", "misc",
];
const MOST_BYTES: usize = 40 * 1024;

/// A source file without comments, strings and characters, so that words are code.
struct Source {
    path: PathBuf,
    module: String,
    /// Number of names in the path of its module: 1 for `store`, 2 for `store::draft`.
    depth: usize,
    text: String,
    code: String,
}

impl Source {
    fn level(&self) -> u8 {
        level(&self.module).unwrap_or_else(|| {
            panic!(
                "{}: module {} has no level",
                self.path.display(),
                self.module
            )
        })
    }

    fn line(&self, offset: usize) -> String {
        let number = self.code[..offset].matches('\n').count();
        let line = self.text.lines().nth(number).unwrap_or("");
        format!("{}:{}: {}", self.path.display(), number + 1, line.trim())
    }
}

fn level(module: &str) -> Option<u8> {
    LEVELS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, level)| *level)
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    paths
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name != "lib.rs"))
        .map(|path| {
            let relative = path.strip_prefix(&root).unwrap().with_extension("");
            let mut names: Vec<String> = relative
                .iter()
                .map(|name| name.to_string_lossy().into_owned())
                .collect();
            if names.len() > 1 && names.last().is_some_and(|name| name == "mod") {
                names.pop();
            }
            let text = fs::read_to_string(&path).unwrap();
            Source {
                module: names[0].clone(),
                depth: names.len(),
                code: code_of(&text),
                path: path
                    .strip_prefix(env!("CARGO_MANIFEST_DIR"))
                    .unwrap()
                    .to_path_buf(),
                text,
            }
        })
        .collect()
}

fn collect(dir: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|end| end == "rs") {
            paths.push(path);
        }
    }
}

/// Blanks out comments and literals, byte by byte, keeping every line where it is.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => find(bytes, at, b"\n"),
            b'/' if bytes.get(at + 1) == Some(&b'*') => find(bytes, at + 2, b"*/") + 2,
            b'r' if is_raw_string(bytes, at) => {
                let hashes = bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
                let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
                find(bytes, at + 2 + hashes, &close) + close.len()
            }
            b'"' => end_of_literal(bytes, at, b'"'),
            // A quote starts a character, or a lifetime, which has no second quote close by.
            b'\'' if bytes.get(at + 1) == Some(&b'\\') || bytes.get(at + 2) == Some(&b'\'') => {
                end_of_literal(bytes, at, b'\'')
            }
            _ => {
                at += 1;
                continue;
            }
        };
        let end = end.min(bytes.len());
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8_lossy(&code).into_owned()
}

fn is_raw_string(bytes: &[u8], at: usize) -> bool {
    let starts_word = at == 0 || !is_word(bytes[at - 1]) || bytes[at - 1] == b'b';
    let hashes = bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
    starts_word && bytes.get(at + 1 + hashes) == Some(&b'"')
}

fn end_of_literal(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

fn find(bytes: &[u8], from: usize, wanted: &[u8]) -> usize {
    let rest = bytes.get(from..).unwrap_or(&[]);
    rest.windows(wanted.len())
        .position(|window| window == wanted)
        .map_or(bytes.len(), |found| from + found)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Offsets of a path's start, as a whole word that is not the tail of a longer path.
fn mentions(code: &str, word: &str) -> Vec<usize> {
    let bytes = code.as_bytes();
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || !(is_word(bytes[at - 1]) || bytes[at - 1] == b':'))
        .filter(|at| {
            bytes
                .get(at + word.len())
                .is_none_or(|next| !is_word(*next))
        })
        .collect()
}

/// The names that follow `crate::` at an offset: one, or those of a braced group.
fn names_after_crate(code: &str, offset: usize) -> Vec<String> {
    let rest = &code[offset + "crate".len()..];
    let Some(rest) = rest.trim_start().strip_prefix("::") else {
        return Vec::new();
    };
    let rest = rest.trim_start();
    let word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![word(rest)];
    };
    let mut names = vec![word(group)];
    let mut depth = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(word(&group[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn report(rule: &str, found: &[String]) {
    let mut message = String::new();
    for line in found {
        let _ = writeln!(message, "  {line}");
    }
    assert!(found.is_empty(), "{rule}:\n{message}");
}

#[test]
fn a_module_uses_only_strictly_lower_levels() {
    let mut found = Vec::new();
    for source in sources() {
        let own = source.level();
        for at in mentions(&source.code, "crate") {
            for name in names_after_crate(&source.code, at) {
                let allowed = name == source.module || level(&name).is_some_and(|used| used < own);
                // Macros and items of the crate's root would have no level.
                if !allowed {
                    found.push(format!(
                        "{} uses {name}: {}",
                        source.module,
                        source.line(at)
                    ));
                }
            }
        }
        // `super` may climb within the module, not out of it.
        let code = source.code.split("#[cfg(test)]").next().unwrap_or("");
        for at in mentions(code, "super") {
            let climbed = code[at..]
                .split("::")
                .take_while(|name| name.trim() == "super")
                .count();
            if climbed >= source.depth {
                found.push(format!("{} climbs out: {}", source.module, source.line(at)));
            }
        }
    }
    report("a module may use only strictly lower levels", &found);
}

#[test]
fn nothing_below_http_is_async() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| source.level() < HTTP) {
        for word in ["async", "await", "tokio", "hyper", "axum", "tower"] {
            let at = match word {
                "await" => source.code.find(".await"),
                word => mentions(&source.code, word).first().copied(),
            };
            found.extend(at.map(|at| source.line(at)));
        }
    }
    report("async and the web framework belong to http", &found);
}

#[test]
fn nothing_below_the_surface_reads_configuration_or_environment() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| source.level() < SURFACE) {
        for word in ["std::env", "toml", "env::var", "env::args"] {
            for at in mentions(&source.code, word) {
                found.push(source.line(at));
            }
        }
    }
    report(
        "configuration and environment are read by config, cli and main",
        &found,
    );
}

#[test]
fn foreign_crates_stay_in_their_places() {
    let mut found = Vec::new();
    for source in sources() {
        for (name, places) in PLACES {
            if places.contains(&source.module.as_str()) {
                continue;
            }
            for at in mentions(&source.code, name) {
                if source.code[at + name.len()..].starts_with("::") {
                    found.push(format!("{name} outside of {places:?}: {}", source.line(at)));
                }
            }
        }
    }
    report("some crates have one place", &found);
}

#[test]
fn files_have_telling_names_an_opening_and_a_readable_size() {
    let mut found = Vec::new();
    for source in sources() {
        for name in source.path.with_extension("").iter() {
            if FORBIDDEN_NAMES.iter().any(|forbidden| name == *forbidden) {
                found.push(format!("{}: the name says nothing", source.path.display()));
            }
        }
        if !source.text.starts_with("//!") {
            found.push(format!("{}: does not open with //!", source.path.display()));
        }
        if source.text.len() > MOST_BYTES {
            found.push(format!(
                "{}: {} bytes",
                source.path.display(),
                source.text.len()
            ));
        }
    }
    report("names, openings and sizes of files", &found);
}

#[test]
fn the_reading_of_source_tells_code_from_words() {
    let code = code_of(
        "use crate::a; // crate::b\nlet s = \"crate::c\"; let c = '\"'; r#\"crate::d\"#; fn f<'x>() {}",
    );
    assert!(code.contains("crate::a") && code.contains("<'x>"));
    for hidden in ["crate::b", "crate::c", "crate::d"] {
        assert!(!code.contains(hidden), "{code}");
    }
    let group = "use crate::{geom::{Bbox, Ring}, model, store as s};";
    let at = mentions(group, "crate")[0];
    assert_eq!(names_after_crate(group, at), ["geom", "model", "store"]);
}
