//! Arguments in.

use clap::Parser;
use std::process::ExitCode;

/// Large messages come and go: glibc's arenas keep what was freed (measured with 200 connections and mail of 353 KB in
/// the mean: 381 MB at the peak against 244 MB), and small messages cost a tenth more processor time in them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        // The place only: a panic's text may quote the message that led to it.
        let place = panic.location().map_or_else(|| "an unknown place".into(), ToString::to_string);
        tracing::error!(%place, "A fault of ours; the message that led to it is not taken for clean");
    }));
    outgate::cli::run(outgate::cli::Arguments::parse())
}
