//! Reads and checks settings.
//!
//! In: `outgate.toml` and the folders beside it. Out: `Loaded`, one whole set of settings, detectors and rules that has
//! passed its own tests; or every mistake of every file, each with its line. Never: half a set, a value taken by guess.

mod check;
mod clouds;
mod folders;
pub mod init;
pub mod key_file;
mod settings;
mod written;

pub use settings::*;

use crate::diagnostic::{Diagnostics, Located};
use std::path::Path;

/// Reads `outgate.toml` alone: the settings, and remarks on what is not wrong but should be known.
pub fn read_settings(file: &Path) -> Result<(Settings, Vec<String>), Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let read = settings_of(file, &mut diagnostics);
    let (settings, _, remarks) = diagnostics.clone().into_result(read)?.ok_or(diagnostics)?;
    Ok((settings, remarks))
}

/// With the place of each policy, for mistakes that only show later.
fn settings_of(file: &Path, diagnostics: &mut Diagnostics) -> Option<(Settings, Vec<Located<String>>, Vec<String>)> {
    let source = match folders::read_file(file) {
        Ok(source) => source,
        Err(mistake) => {
            diagnostics.push(mistake);
            return None;
        }
    };
    let written = written::read(&source, diagnostics)?;
    let policies = written.policy.clone();
    let (settings, remarks) = check::check(file, &source, written, diagnostics)?;
    Some((settings, policies, remarks))
}
