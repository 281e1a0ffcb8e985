//! Layers: their names and what kind of thing they are on the one map.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The place of a layer in the base database of the one map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerKind {
    /// 土地利用现状
    LandUse,
    /// 国土资源规划
    Planning,
    /// 矿产勘查和开发利用
    Mineral,
    /// 基础地理: administrative units
    Admin,
    /// 遥感影像
    Imagery,
    /// 基础地理: anything else
    Other,
}

impl LayerKind {
    pub const ALL: [LayerKind; 6] = [
        LayerKind::LandUse,
        LayerKind::Planning,
        LayerKind::Mineral,
        LayerKind::Admin,
        LayerKind::Imagery,
        LayerKind::Other,
    ];

    /// The word used on the command line, in the catalog and for the style family.
    pub fn word(self) -> &'static str {
        match self {
            LayerKind::LandUse => "landuse",
            LayerKind::Planning => "planning",
            LayerKind::Mineral => "mineral",
            LayerKind::Admin => "admin",
            LayerKind::Imagery => "imagery",
            LayerKind::Other => "other",
        }
    }

    /// The group of the base database (2010 guidance, article 4) that shows it.
    pub fn group(self) -> &'static str {
        match self {
            LayerKind::LandUse => "landuse",
            LayerKind::Planning => "planning",
            LayerKind::Mineral => "mineral",
            LayerKind::Imagery => "imagery",
            LayerKind::Admin | LayerKind::Other => "basic",
        }
    }
}

impl FromStr for LayerKind {
    type Err = String;

    fn from_str(word: &str) -> Result<LayerKind, String> {
        LayerKind::ALL
            .into_iter()
            .find(|kind| kind.word() == word)
            .ok_or_else(|| {
                let known: Vec<&str> = LayerKind::ALL.iter().map(|kind| kind.word()).collect();
                format!(
                    "unknown kind {word:?}, expected one of {}",
                    known.join(", ")
                )
            })
    }
}

/// A name that is safe as a path segment, in a comma-separated URL list and as a file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerName(String);

/// Why a text is not a layer name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayerNameError {
    #[error("a layer name is empty (图层名为空)")]
    Empty,
    #[error("layer name {name:?} has {found} characters, at most {limit} are allowed (图层名过长)")]
    TooLong {
        name: String,
        found: usize,
        limit: usize,
    },
    #[error(
        "layer name {name:?} contains {found:?}; letters of any script, digits, '_', '-' and inner '.' are allowed (图层名含有不允许的字符)"
    )]
    Character { name: String, found: char },
    #[error(
        "layer name {name:?} is reserved: names must not end in \"_label\" (图层名不能以 _label 结尾)"
    )]
    Reserved { name: String },
}

impl LayerName {
    pub const MAX_CHARS: usize = 64;

    pub fn new(name: &str) -> Result<LayerName, LayerNameError> {
        if name.is_empty() {
            return Err(LayerNameError::Empty);
        }
        let found = name.chars().count();
        if found > LayerName::MAX_CHARS {
            return Err(LayerNameError::TooLong {
                name: name.chars().take(LayerName::MAX_CHARS).collect(),
                found,
                limit: LayerName::MAX_CHARS,
            });
        }
        // A dot at either end would make "..", hidden files and "x.json" of "x." possible.
        let edge_dot = name.starts_with('.') || name.ends_with('.');
        let wrong = name
            .chars()
            .find(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')));
        if let Some(found) = wrong.or(edge_dot.then_some('.')) {
            return Err(LayerNameError::Character {
                name: name.to_string(),
                found,
            });
        }
        if name.ends_with("_label") {
            return Err(LayerNameError::Reserved {
                name: name.to_string(),
            });
        }
        Ok(LayerName(name.to_string()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for LayerName {
    type Error = LayerNameError;

    fn try_from(name: String) -> Result<LayerName, LayerNameError> {
        LayerName::new(&name)
    }
}

impl From<LayerName> for String {
    fn from(name: LayerName) -> String {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_script_are_fine_and_paths_are_not() {
        for good in ["dltb", "地类图斑_2024", "li-2024.v2", "Ö"] {
            assert!(LayerName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "", "..", ".hidden", "a/b", "a,b", "a b", "🗺", "a\\b", "x.", "p_label", "a\0",
        ] {
            assert!(LayerName::new(bad).is_err(), "{bad:?}");
        }
        assert!(LayerName::new(&"字".repeat(65)).is_err());
    }
}
