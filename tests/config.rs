//! The configuration as a whole: shipped files, local ones, reload, and every mistake with its line.

#[path = "config/loading.rs"]
mod loading;
#[path = "config/mistakes.rs"]
mod mistakes;
#[path = "config/shipped_policies.rs"]
mod shipped_policies;
