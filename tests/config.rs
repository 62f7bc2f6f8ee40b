//! The configuration as a whole: shipped files, local ones, reload, and every mistake with its line.

#![allow(clippy::unwrap_used)] // a test that fails may panic

#[path = "config/loading.rs"]
mod loading;
#[path = "config/mistakes.rs"]
mod mistakes;
#[path = "config/next_hop.rs"]
mod next_hop;
#[path = "config/shipped_policies.rs"]
mod shipped_policies;
#[path = "config/smtp.rs"]
mod smtp;
