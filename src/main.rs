//! Arguments in.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    outgate::cli::run(outgate::cli::Arguments::parse())
}
