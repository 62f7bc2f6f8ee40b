//! Reads and checks settings.
//!
//! In: `outgate.toml` and the folders beside it. Out: `Loaded`, one whole set of settings, detectors and rules that has
//! passed its own tests; or every mistake of every file, each with its line. Never: half a set, a value taken by guess.

mod check;
mod clouds;
mod directory;
mod dkim;
mod folders;
pub mod init;
pub mod key_file;
mod load;
mod milter;
mod named_files;
mod next_hop;
mod notices;
mod report;
mod settings;
mod smtp;
mod table_file;
mod written;

pub use load::{Loaded, load, load_unproven};
pub use report::{missing_texts, report};
pub use settings::*;

use crate::diagnostic::{Diagnostics, Located, Source};
use std::path::Path;

/// Reads `outgate.toml` alone: the settings, and remarks on what is not wrong but should be known.
pub fn read_settings(file: &Path) -> Result<(Settings, Vec<String>), Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let read = settings_of(file, &mut diagnostics);
    whole(read, diagnostics)
}

/// The same from the text of `file`, wherever it comes from.
pub fn settings_from(file: &Path, text: &str) -> Result<(Settings, Vec<String>), Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let read = settings_in(file, Source::new(file.display().to_string(), text), &mut diagnostics);
    whole(read, diagnostics)
}

fn whole(read: Read, mut diagnostics: Diagnostics) -> Result<(Settings, Vec<String>), Diagnostics> {
    match read.settings {
        Some(settings) if diagnostics.is_empty() => Ok((settings, read.remarks)),
        _ => {
            diagnostics.sort();
            Err(diagnostics)
        }
    }
}

/// `outgate.toml` as far as it could be read: other files are read on, so that all mistakes show at once.
struct Read {
    source: Source,
    /// None: a mistake was noted.
    settings: Option<Settings>,
    /// Each with its place, for mistakes that only show later.
    policies: Vec<Located<String>>,
    remarks: Vec<String>,
}

fn settings_of(file: &Path, diagnostics: &mut Diagnostics) -> Read {
    let source = folders::read_file(file).unwrap_or_else(|mistake| {
        diagnostics.push(*mistake);
        Source::new(file.display().to_string(), "")
    });
    settings_in(file, source, diagnostics)
}

fn settings_in(file: &Path, source: Source, diagnostics: &mut Diagnostics) -> Read {
    let mut read = Read { source, settings: None, policies: Vec::new(), remarks: Vec::new() };
    if read.source.text.is_empty() && !diagnostics.is_empty() {
        return read;
    }
    let Some(written) = written::read(&read.source, diagnostics) else { return read };
    read.policies = written.policy.clone();
    if let Some((settings, remarks)) = check::check(file, &read.source, written, diagnostics) {
        read.settings = Some(settings);
        read.remarks = remarks;
    }
    read
}
