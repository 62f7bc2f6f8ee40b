//! Arguments in.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        // The place only: a panic's text may quote the message that led to it.
        let place = panic.location().map_or_else(|| "an unknown place".into(), ToString::to_string);
        tracing::error!(%place, "A fault of ours; the message that led to it is not taken for clean");
    }));
    // Also when a newer one has taken its place on the disk.
    outgate::gateway::readers::use_program("/proc/self/exe");
    outgate::cli::run(outgate::cli::Arguments::parse())
}
