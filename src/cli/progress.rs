//! Bars on the terminal while long work runs, with its rate and the time left.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

use super::Globals;
use crate::ingest;

/// A bar of this look; nothing is drawn when standard error is no terminal.
pub fn bar(globals: &Globals, template: &str) -> ProgressBar {
    let hidden = globals.quiet || globals.json || !std::io::stderr().is_terminal();
    let target = if hidden {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr_with_hz(8)
    };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(style(template));
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is well formed")
}

/// The bar of one layer's import.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub fn start(globals: &Globals, layer: &str, expected: Option<u64>) -> Progress {
        let bar = bar(globals, template(expected.is_some()));
        if let Some(expected) = expected {
            bar.set_length(expected);
        }
        bar.set_prefix(layer.to_string());
        Progress { bar }
    }

    /// Shows where the import stands; always says to go on.
    pub fn show(&self, at: ingest::Progress) -> bool {
        match at {
            ingest::Progress::Reading(read) => {
                self.bar.set_message("读取 reading");
                self.bar.set_position(read);
            }
            ingest::Progress::Writing(written, total) => {
                self.bar.set_message("写入 writing");
                self.bar.set_style(style(template(true)));
                self.bar.set_length(total);
                self.bar.set_position(written);
            }
            ingest::Progress::Generalising => self.bar.set_message("综合 generalising"),
            ingest::Progress::Publishing => self.bar.set_message("发布 publishing"),
        }
        true
    }

    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn template(length_known: bool) -> &'static str {
    if length_known {
        "{prefix} {msg} [{bar:30}] {human_pos}/{human_len} {per_sec} {eta}"
    } else {
        "{prefix} {msg} {spinner} {human_pos} {per_sec} {elapsed}"
    }
}
