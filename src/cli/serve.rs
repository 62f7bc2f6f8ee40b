//! `outgate serve`: the service until SIGTERM; SIGHUP reads the configuration again.

use super::{Failure, arguments::Arguments, health, opening};
use crate::{
    config::{self, key_file},
    gateway::{Gateway, House},
};
use std::io::IsTerminal;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

pub fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let loaded = config::load(&opening::file(arguments)?).map_err(Failure::Configuration)?;
    log(arguments.json);
    for remark in &loaded.remarks {
        tracing::warn!("{remark}");
    }
    let said = |error: &dyn std::fmt::Display| Failure::said(error.to_string());
    let keys = key_file::open_or_make(&loaded.settings.store.key_file, &loaded.settings.data_dir);
    let keys = keys.map_err(|error| said(&error))?;
    let recorder = health::recorder().map_err(|error| said(&error))?;
    let metrics = loaded.settings.metrics.listen;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| said(&error))?;
    runtime.block_on(async {
        // Before the doors open: a signal that comes early must not kill the process.
        let mut terminate = signal(SignalKind::terminate()).map_err(|error| said(&error))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| said(&error))?;
        let mut hangup = signal(SignalKind::hangup()).map_err(|error| said(&error))?;
        let listener = TcpListener::bind(metrics).await;
        let listener =
            listener.map_err(|error| Failure::said(format!("[metrics] cannot listen on {metrics}: {error}")))?;
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "Metrics and health are served");
        }
        let house = House::open(loaded, &keys).await.map_err(|error| said(&error))?;
        tokio::spawn(health::serve(listener, recorder, house.gateway().clone(), std::future::pending()));
        for address in house.smtp_addresses() {
            tracing::info!(%address, "The SMTP door is open");
        }
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => reload(&house).await,
            }
        }
        tracing::info!("Stopping: accepted work finishes");
        house.close().await;
        Ok(0)
    })
}

async fn reload(house: &House) {
    match house.reload().await {
        Ok(()) => tracing::info!("The configuration was read again and is active"),
        Err(mistakes) => {
            // Configuration holds no mail; its mistakes may be shown whole.
            tracing::error!("The new configuration is bad; the old one stays active\n{mistakes}");
        }
    }
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
        (!self.store().is_healthy()).then_some("the store does not take writes; see the log")
    }
}
