//! `outgate init` and `outgate config check`.

use super::{
    Failure,
    arguments::{Arguments, Config, ConfigCommand, Init},
    exit, opening,
};
use crate::config::{self, init};
use std::{
    io::{self, BufReader, IsTerminal},
    path::Path,
};

/// There where the package is installed.
const UNIT: &str = "/usr/lib/systemd/system/outgate.service";

pub fn init(options: &Init) -> Result<u8, Failure> {
    let given = init::Options {
        domain: options.domain.clone(),
        door: options.door.clone(),
        reviewer: options.reviewer.clone(),
        console_url: options.console_url.clone(),
        next_hop: options.next_hop.clone(),
    };
    let failed = |error: init::InitError| Failure::said(error.to_string());
    let terminal = io::stdin().is_terminal();
    let (mut input, mut output) = (BufReader::new(io::stdin()), io::stderr());
    let answers = init::Answers::gather(&given, terminal.then_some((&mut input, &mut output)));
    let written = init::init(&options.folder, &answers.map_err(failed)?).map_err(failed)?;
    for path in &written {
        eprintln!("wrote {}", path.display());
    }
    let settings = options.folder.join("outgate.toml");
    eprintln!(
        "\nBack up {}: without it nothing that is held can be read again.",
        options.folder.join("store.key").display()
    );
    if settings == Path::new("/etc/outgate/outgate.toml") && Path::new(UNIT).exists() {
        eprintln!("Next: outgate config check, then systemctl enable --now outgate");
    } else {
        let settings = settings.display();
        eprintln!("Next: outgate --config {settings} config check, then outgate --config {settings} serve");
    }
    Ok(0)
}

pub fn config(arguments: &Arguments, options: &Config) -> Result<u8, Failure> {
    let ConfigCommand::Check = options.command;
    let loaded = config::load(&opening::file(arguments)?);
    let text = config::report(&loaded, io::stderr().is_terminal());
    eprint!("{text}");
    Ok(if loaded.is_ok() { 0 } else { exit::USAGE })
}
