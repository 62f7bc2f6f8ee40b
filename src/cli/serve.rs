//! `outgate serve`: the service until SIGTERM; SIGHUP reads the configuration again.

use super::{Failure, arguments::Arguments, health, opening};
use crate::{
    config::{self, key_file},
    gateway::{self, Gateway, House, Pulse},
    intake::{Corridor, Shortage},
    policy::Mode,
    supervisor::Supervisor,
};
use std::{io::IsTerminal, os::unix::process::CommandExt, process::Command, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// glibc raises its threshold for giving freed blocks back to the system with the largest block it saw, and then keeps what
/// large messages left behind: 196 MB instead of 82 MB at 200 connections of office mail. Fixed by this variable
/// (mallopt(3)), which must be there when the process begins.
const GIVE_BACK: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "262144");

/// Begins again, as the same process, with the variable set. Where that cannot be done the service runs without.
fn give_memory_back() {
    if std::env::var_os(GIVE_BACK.0).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    // By its own name, so that the process is still called outgate.
    let Ok(program) = std::env::current_exe() else { return };
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // Comes back only when it failed.
    let error = again.args(arguments).env(GIVE_BACK.0, GIVE_BACK.1).exec();
    eprintln!("large messages will leave more memory behind: {error}");
}

pub fn run(arguments: &Arguments) -> Result<u8, Failure> {
    give_memory_back();
    log(arguments.json);
    gateway::raise_open_files();
    // Before any file is opened: the sockets that were handed over have numbers, and no other marks.
    let supervisor = Arc::new(Supervisor::from_environment());
    let loaded = config::load(&opening::file(arguments)?).map_err(Failure::Configuration)?;
    for remark in &loaded.remarks {
        tracing::warn!("{remark}");
    }
    let said = |error: &dyn std::fmt::Display| Failure::said(error.to_string());
    let keys = key_file::open_or_make(&loaded.settings.store.key_file, &loaded.settings.data_dir);
    let keys = keys.map_err(|error| said(&error))?;
    let recorder = health::recorder().map_err(|error| said(&error))?;
    let metrics = loaded.settings.metrics.listen;
    // It warns of what this machine lacks; rules decide about what then is not read.
    let _ = gateway::readers::readers().trial();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| said(&error))?;
    runtime.block_on(async {
        // Before the doors open: a signal that comes early must not kill the process.
        let mut terminate = signal(SignalKind::terminate()).map_err(|error| said(&error))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| said(&error))?;
        let mut hangup = signal(SignalKind::hangup()).map_err(|error| said(&error))?;
        let listener = supervisor.tcp(metrics, || std::net::TcpListener::bind(metrics)).and_then(TcpListener::from_std);
        let listener =
            listener.map_err(|error| Failure::said(format!("[metrics] cannot listen on {metrics}: {error}")))?;
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "Metrics and health are served");
        }
        let house = House::open(loaded, &keys, &supervisor).await.map_err(|error| said(&error))?;
        tokio::spawn(health::serve(listener, recorder, house.gateway().clone(), std::future::pending()));
        for address in house.smtp_addresses() {
            tracing::info!(%address, "The SMTP door is open");
        }
        for address in house.smtp_tls_addresses() {
            tracing::info!(%address, "The SMTP door is open for TLS from the first byte");
        }
        for address in house.milter_addresses() {
            tracing::info!(%address, "The milter door is open");
        }
        supervisor.give_up_the_rest();
        supervisor.ready(status(&house));
        let watched = supervisor.watchdog().map(|every| tokio::spawn(watch(supervisor.clone(), house.pulse(), every)));
        let mut failed = false;
        loop {
            tokio::select! {
                () = house.store_failed() => {
                    failed = true;
                    break;
                }
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => {
                    supervisor.reloading();
                    let taken = reload(&house).await;
                    supervisor.ready(if taken { status(&house) } else { OLD_SET });
                }
            }
        }
        tracing::info!("Stopping: accepted work finishes");
        supervisor.stopping();
        if let Some(watched) = watched {
            watched.abort();
        }
        house.close().await;
        if failed {
            return Err(Failure::said("writing to the store failed: ended, so that the next start checks it"));
        }
        Ok(0)
    })
}

const OLD_SET: &str = "The doors are open; the new configuration is bad (see the log) and the old one is active";

/// What `systemctl status` shows.
fn status(house: &House) -> &'static str {
    match house.gateway().mode() {
        Mode::Enforce => "The doors are open; the rules are in force",
        Mode::Watch => "The doors are open; the rules only watch",
    }
}

/// Says that we live as long as the workers answer. When one does not, silence: then we are ended and started again.
async fn watch(supervisor: Arc<Supervisor>, pulse: Pulse, every: Duration) {
    loop {
        match pulse.stalled(every / 2).await {
            None => supervisor.alive(),
            Some(worker) => tracing::error!(worker, "A worker does not answer; the watchdog is not told that we live"),
        }
        tokio::time::sleep(every / 4).await;
    }
}

/// False: the old set stays.
async fn reload(house: &House) -> bool {
    match house.reload().await {
        Ok(()) => tracing::info!("The configuration was read again and is active"),
        Err(mistakes) => {
            // Configuration holds no mail; its mistakes may be shown whole.
            tracing::error!("The new configuration is bad; the old one stays active\n{mistakes}");
            return false;
        }
    }
    true
}

/// English sentences, fields first; JSON where a collector wants it. Never message content.
fn log(as_json: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("OUTGATE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    if as_json { log.json().init() } else { log.with_ansi(std::io::stderr().is_terminal()).init() }
}

impl health::Ready for Gateway {
    fn unready(&self) -> Option<&'static str> {
        match self.shortage()? {
            Shortage::Store => Some("the store does not take writes; see the log"),
            Shortage::Disk => Some("the disk is nearly full; see the log"),
            // It passes, and by itself.
            Shortage::Scanners => None,
        }
    }

    fn next_hops(&self) -> String {
        let line = |(route, usable): (std::sync::Arc<str>, bool)| {
            format!("next hop {route}: {}\n", if usable { "usable" } else { "cannot be used; see the log" })
        };
        Corridor::next_hop(self).states().into_iter().map(line).collect()
    }
}
