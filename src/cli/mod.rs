//! The commands. Each file is one command: it reads its arguments, calls the rooms, prints, and gives its exit code.

mod arguments;
mod backtest;
mod bypass;
mod case;
mod check;
mod demo;
mod diff;
mod dkim;
mod doctor;
mod health;
mod judging;
mod manual;
mod opening;
mod policy;
mod reader;
mod rules;
mod scan;
mod serve;
mod setup;
mod user;

pub use arguments::{Arguments, Command};

use std::process::ExitCode;

/// Exit codes of all commands (DESIGN, what others rely on).
pub mod exit {
    pub const HOLD: u8 = 10;
    pub const RETURN: u8 = 11;
    pub const TRY_LATER: u8 = 12;
    /// Usage or configuration error.
    pub const USAGE: u8 = 2;
    /// The command ran and says no: a rule's test failed, a clause is not enforced, the book is broken.
    pub const NO: u8 = 1;
}

/// Why a command ended without doing its work. The text is for the person at the terminal and names no mail content.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Configuration(crate::diagnostic::Diagnostics),
    #[error("{0}")]
    Said(String),
}

impl Failure {
    pub fn said(text: impl Into<String>) -> Self {
        Failure::Said(text.into())
    }
}

/// Runs one command to its exit code.
pub fn run(arguments: Arguments) -> ExitCode {
    let outcome = match arguments.command {
        Command::Demo(ref options) => demo::run(&arguments, options),
        Command::Init(ref options) => setup::init(options),
        Command::Serve => serve::run(&arguments),
        Command::Check(ref options) => check::run(&arguments, options),
        Command::Diff(ref options) => diff::run(&arguments, options),
        Command::Scan(ref options) => scan::run(&arguments, options),
        Command::Rules(ref options) => rules::run(&arguments, options),
        Command::Policy(ref options) => policy::run(&arguments, options),
        Command::Config(ref options) => setup::config(&arguments, options),
        Command::Case(ref options) => case::run(&arguments, options),
        Command::Bypass(ref options) => bypass::run(&arguments, options),
        Command::Audit(ref options) => case::audit(&arguments, options),
        Command::Doctor(ref options) => doctor::run(&arguments, options),
        Command::User(ref options) => user::run(&arguments, options),
        Command::Dkim(ref options) => dkim::run(&options.command, arguments.json),
        Command::Manual(ref options) => manual::run(options),
        Command::Reader => reader::run(),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(exit::USAGE)
        }
    }
}
