//! Reads and checks settings.
//!
//! In: `outgate.toml` and the folders beside it. Out: `Loaded`, one whole set of settings, detectors and rules that has
//! passed its own tests; or every mistake of every file, each with its line. Never: half a set, a value taken by guess.

mod check;
mod clouds;
mod folders;
pub mod key_file;
mod network;
mod settings;
mod written;

pub use network::{Network, NetworkError};
pub use settings::*;
