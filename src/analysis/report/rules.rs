//! What a report judges by: a file with a version, written by the bureau, not by programmers.
//!
//! A family of layers is known by name; it says which field groups its features and which checks
//! apply. A check measures the area inside the layer (or inside some of its classes), or outside
//! of it, and compares it with thresholds. Nothing is computed here but that comparison.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Rules and families in one file at most, and classes of a rule.
const MAX_ENTRIES: usize = 1000;

/// A rule file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    pub id: String,
    pub version: String,
    pub title: Text,
    #[serde(default)]
    pub families: Vec<Family>,
}

/// Chinese and English.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    pub zh: String,
    pub en: String,
}

/// Layers that are judged alike.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    /// Names of layers, without regard to case; `*` at the end stands for any ending.
    pub layers: Vec<String>,
    pub title: Text,
    /// The field features are grouped by when nobody asks for another.
    #[serde(default)]
    pub field: Option<String>,
    #[serde(default)]
    pub checks: Vec<Rule>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub id: String,
    pub measure: Measure,
    /// Only these values of the family's field; a value stands for those that begin with it when
    /// it ends in `*`. Without them all of the layer.
    #[serde(default)]
    pub classes: Vec<String>,
    #[serde(default)]
    pub warn: Option<Threshold>,
    #[serde(default)]
    pub fail: Option<Threshold>,
    pub text: Wording,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// The part of the boundary that the layer (or the classes) covers.
    Inside,
    /// The part that it does not cover.
    Outside,
}

/// Reached when either bound is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    #[serde(default)]
    pub above_m2: Option<f64>,
    /// Of the boundary's area, 0 to 1.
    #[serde(default)]
    pub above_share: Option<f64>,
}

/// What is said. `{area_m2}`, `{area_mu}`, `{area_ha}`, `{share}` and `{features}` are filled in.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wording {
    pub pass: Text,
    #[serde(default)]
    pub warn: Option<Text>,
    #[serde(default)]
    pub fail: Option<Text>,
}

/// Ordered from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Pass,
    Warn,
    Fail,
}

/// Why a rule file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("not a rule file: {0} (规则文件有误)")]
    Syntax(#[from] serde_json::Error),
    #[error("rule {rule:?}: {reason} (规则有误)")]
    Rule { rule: String, reason: String },
}

/// What is measured, for the words.
pub(super) struct Measured {
    pub area_m2: f64,
    pub share: f64,
    pub features: u64,
}

/// Rules of a workspace that has none of its own.
static BUILT_IN: &[u8] = include_bytes!("../../../styles/rules.json");

impl RuleSet {
    /// The workspace's `styles/rules.json`, else the built-in rules.
    ///
    /// # Errors
    /// When the file cannot be read or used.
    pub fn of_workspace(root: &Path) -> Result<RuleSet, RulesError> {
        let path = root.join("styles/rules.json");
        match std::fs::read(&path) {
            Ok(bytes) => RuleSet::parse(&bytes),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => RuleSet::parse(BUILT_IN),
            Err(source) => Err(RulesError::Io { path, source }),
        }
    }

    /// Reads a rule file and checks that it can be applied.
    ///
    /// # Errors
    /// When it is not one, or a rule says nothing or nonsense.
    pub fn parse(bytes: &[u8]) -> Result<RuleSet, RulesError> {
        let rules: RuleSet = serde_json::from_slice(bytes)?;
        let wrong = |rule: &str, reason: String| RulesError::Rule {
            rule: rule.to_string(),
            reason,
        };
        let all: usize = rules.families.iter().map(|f| f.checks.len() + 1).sum();
        if all > MAX_ENTRIES {
            let reason = format!("{all} families and checks, at most {MAX_ENTRIES} are read");
            return Err(wrong(&rules.id, reason));
        }
        for family in &rules.families {
            for rule in &family.checks {
                if rule.warn.is_none() && rule.fail.is_none() {
                    return Err(wrong(&rule.id, "it has neither warn nor fail".into()));
                }
                if rule.warn.is_some() != rule.text.warn.is_some()
                    || rule.fail.is_some() != rule.text.fail.is_some()
                {
                    let reason = "each of warn and fail has a threshold and a text, or neither";
                    return Err(wrong(&rule.id, reason.into()));
                }
                for threshold in [rule.warn, rule.fail].into_iter().flatten() {
                    threshold
                        .check()
                        .map_err(|reason| wrong(&rule.id, reason))?;
                }
                if rule.classes.len() > MAX_ENTRIES {
                    let reason = format!("{} classes, at most {MAX_ENTRIES}", rule.classes.len());
                    return Err(wrong(&rule.id, reason));
                }
                if !rule.classes.is_empty() && family.field.is_none() {
                    let reason = "it names classes, but its family names no field";
                    return Err(wrong(&rule.id, reason.into()));
                }
            }
        }
        Ok(rules)
    }

    /// The first family that knows a layer of this name.
    pub fn family(&self, layer: &str) -> Option<&Family> {
        let layer = layer.to_lowercase();
        self.families.iter().find(|family| {
            family
                .layers
                .iter()
                .any(|pattern| matches(&pattern.to_lowercase(), &layer))
        })
    }
}

impl Threshold {
    fn check(&self) -> Result<(), String> {
        let sound = |value: f64| value.is_finite() && value >= 0.0;
        match (self.above_m2, self.above_share) {
            (None, None) => Err("a threshold needs above_m2 or above_share".into()),
            (Some(m2), _) if !sound(m2) => Err(format!("above_m2 is {m2}, expected 0 or more")),
            (_, Some(share)) if !(sound(share) && share <= 1.0) => {
                Err(format!("above_share is {share}, expected 0 to 1"))
            }
            _ => Ok(()),
        }
    }

    fn is_exceeded(&self, measured: &Measured) -> bool {
        self.above_m2.is_some_and(|m2| measured.area_m2 > m2)
            || self.above_share.is_some_and(|share| measured.share > share)
    }
}

impl Rule {
    /// Whether a value of the family's field counts.
    pub(super) fn counts(&self, value: Option<&str>) -> bool {
        self.classes.is_empty()
            || value.is_some_and(|value| self.classes.iter().any(|class| matches(class, value)))
    }

    pub(super) fn judge(&self, measured: &Measured) -> (Verdict, Text) {
        let reached = |threshold: &Option<Threshold>| {
            threshold.is_some_and(|threshold| threshold.is_exceeded(measured))
        };
        let text = &self.text;
        let (verdict, words) = match (&text.warn, &text.fail) {
            (_, Some(fail)) if reached(&self.fail) => (Verdict::Fail, fail),
            (Some(warn), _) if reached(&self.warn) => (Verdict::Warn, warn),
            _ => (Verdict::Pass, &text.pass),
        };
        let filled = |words: &str| fill(words, measured);
        let text = Text {
            zh: filled(&words.zh),
            en: filled(&words.en),
        };
        (verdict, text)
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}

fn fill(words: &str, measured: &Measured) -> String {
    let m2 = measured.area_m2;
    words
        .replace("{area_m2}", &format!("{m2:.2}"))
        .replace("{area_ha}", &format!("{:.4}", m2 / 1e4))
        .replace("{area_mu}", &format!("{:.4}", m2 * 3.0 / 2000.0))
        .replace("{share}", &format!("{:.2}%", measured.share * 100.0))
        .replace("{features}", &measured.features.to_string())
}
