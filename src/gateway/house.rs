//! The rooms as one running service: doors open, outbox worked off, rules reloaded, stopped in order.

use super::{Gateway, Pulse, alert::Alerts, bypass::Bypass, files::Shares, memory::Memory, scan::Pool, split::Turns};
use crate::{
    audit::{Book, Event, What},
    config::{Loaded, Settings},
    delivery::{
        late::LateAnswers,
        notice::Notices,
        outbox::Outbox,
        relay::{Relay, RelaySettings},
        report::Reporter,
    },
    diagnostic::{Diagnostic, Diagnostics},
    intake::{
        Budget, Pace, Seals, milter,
        smtp::{self, Door},
    },
    keys::Keys,
    mail::Address,
    store::Store,
    supervisor::Supervisor,
};
use arc_swap::ArcSwap;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use time::OffsetDateTime;
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinHandle,
    time::Instant,
};

/// How long accepted work may take to finish once we are asked to stop.
const DRAIN: Duration = Duration::from_secs(30);

/// How long a service whose store has failed still says so to its clients.
const FAILED_FOR: Duration = Duration::from_secs(5);

/// A running gateway.
pub struct House {
    gateway: Arc<Gateway>,
    door: Arc<Door<Gateway>>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    smtp: Vec<SocketAddr>,
    smtp_tls: Vec<SocketAddr>,
    milter: Vec<SocketAddr>,
}

/// Why the service does not start, for the person who starts it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotStarted(String);

impl NotStarted {
    fn because(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }
}

impl House {
    /// Opens the store, then the doors. Needs a runtime.
    pub async fn open(loaded: Loaded, keys: &Keys, supervisor: &Supervisor) -> Result<Self, NotStarted> {
        let settings = loaded.settings.clone();
        let mut door_settings = door(&settings, loaded.own_domains());
        if let Some(risk) = door_settings.relay_risk() {
            return Err(NotStarted::because(risk));
        }
        let store = Store::open(&settings.data_dir, keys).await.map_err(NotStarted::because)?;
        store.begin_service().await.map_err(NotStarted::because)?;
        let relay = Relay::new(relay(&settings)).map_err(NotStarted::because)?;
        relay.warm_up();
        let notices = notices(&settings, loaded.own_domains()).map_err(NotStarted)?;
        let (clear, under_tls) =
            (listeners(supervisor, &door_settings.listen)?, listeners(supervisor, &door_settings.listen_tls)?);
        let bound = |listeners: &[TcpListener]| listeners.iter().filter_map(|one| one.local_addr().ok()).collect();
        let (smtp, smtp_tls) = (bound(&clear), bound(&under_tls));
        let mut milter_settings = milter(&settings);
        let shares = Shares::new(settings.milter.is_some());
        shares.limit(&mut door_settings.limits.connections, &mut milter_settings.limits.connections);
        let mut milters = Vec::new();
        for listen in &milter_settings.listen {
            let bound = milter::bind(listen, milter_settings.socket_mode, supervisor).await;
            milters.push(bound.map_err(|error| NotStarted(format!("[milter] cannot listen on {listen}: {error}")))?);
        }
        let milter_bound = milters.iter().filter_map(milter::Bound::address).collect();
        let ruleset = loaded.ruleset.digest().clone();
        let memory = Budget::new(door_settings.limits.memory);
        if door_settings.limits.memory < smtp::Limits::default().memory {
            let mib = door_settings.limits.memory >> 20;
            tracing::warn!(
                mib,
                "Less memory than usual is used for messages: the machine, or the service's limit, gives little"
            );
        }
        let gateway = Arc::new(Gateway {
            loaded: ArcSwap::from_pointee(loaded),
            relay: relay.clone(),
            store: store.clone(),
            notices: notices.clone(),
            late: Arc::new(LateAnswers::default()),
            scanners: Pool::new(std::thread::available_parallelism().map_or(2, usize::from)),
            memory: memory.clone(),
            alerts: Alerts::default(),
            turns: Turns::default(),
            bypass: Bypass::default(),
            outbox: Arc::new(Notify::new()),
        });
        let started = [What::Started { version: env!("CARGO_PKG_VERSION").into() }, What::Activated { ruleset }];
        let event = |what| Event { at: OffsetDateTime::now_utc(), submission: None, what };
        store.append(started.map(event).into()).await.map_err(NotStarted::because)?;

        gateway.look_at_bypass().await.map_err(NotStarted::because)?;
        let (stop, stopped) = watch::channel(false);
        let door = Door::sharing(door_settings, gateway.clone(), keys, memory.clone()).map_err(NotStarted::because)?;
        let milter_door = milter::Door::new(milter_settings, gateway.clone(), keys, memory);
        let reporter = Reporter { from: notices.from.clone(), hostname: settings.hostname.clone() };
        let outbox = Outbox::new(store, relay, (Seals::new(keys), gateway.clone()), reporter, gateway.outbox.clone());
        let mut tasks = vec![
            tokio::spawn(outbox.run(stopped.clone())),
            tokio::spawn(super::housekeeping::run(gateway.clone(), stopped.clone())),
            tokio::spawn(super::bypass::run(gateway.clone(), stopped.clone())),
        ];
        if !(clear.is_empty() && under_tls.is_empty()) {
            tasks.push(tokio::spawn(door.clone().serve(clear, under_tls, stopped.clone())));
        }
        if !milters.is_empty() {
            tasks.push(tokio::spawn(milter_door.serve(milters, stopped)));
        }
        Ok(Self { gateway, door, stop, tasks, smtp, smtp_tls, milter: milter_bound })
    }

    /// Where the SMTP door listens.
    pub fn smtp_addresses(&self) -> &[SocketAddr] {
        &self.smtp
    }

    /// Where it listens for TLS from the first byte.
    pub fn smtp_tls_addresses(&self) -> &[SocketAddr] {
        &self.smtp_tls
    }

    /// Where the milter door listens over TCP.
    pub fn milter_addresses(&self) -> &[SocketAddr] {
        &self.milter
    }

    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Comes back a while after a write or a sync failed: only a start can find out what is on the disk. Until then
    /// mail is answered 451, and starts on a disk that stays broken do not follow each other too fast.
    pub async fn store_failed(&self) {
        while !self.gateway.store.has_failed() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tokio::time::sleep(FAILED_FOR).await;
    }

    /// To feel from beside whether it lives.
    pub fn pulse(&self) -> Pulse {
        Pulse::new(self.gateway.clone(), self.tasks.iter().map(JoinHandle::abort_handle).collect())
    }

    /// Reads the configuration again. The old set stays when the new one is bad.
    pub async fn reload(&self) -> Result<(), Diagnostics> {
        let loaded = self.gateway.loaded.load().reload()?;
        for remark in &loaded.remarks {
            tracing::warn!("{remark}");
        }
        let file = loaded.settings.file.display().to_string();
        let fault = |error: &dyn std::fmt::Display| Diagnostic::of_file(file.clone(), error.to_string());
        let relayed = self.gateway.relay.reload(loaded.settings.next_hop.routes.clone());
        relayed.map_err(|error| fault(&error))?;
        self.door.renew(door(&loaded.settings, loaded.own_domains())).map_err(|error| fault(&error))?;
        let ruleset = loaded.ruleset.digest().clone();
        self.gateway.loaded.store(Arc::new(loaded));
        let what = What::Activated { ruleset };
        let event = Event { at: OffsetDateTime::now_utc(), submission: None, what };
        // The set is active whether or not the book can say so; the store alarms by itself.
        let _ = self.gateway.store.append(vec![event]).await;
        Ok(())
    }

    /// No new connections; accepted work finishes; the book is closed.
    pub async fn close(self) {
        self.stop.send_replace(true);
        let until = Instant::now() + DRAIN;
        for task in self.tasks {
            // A task that panicked has said so in the log; what the outbox had in hand is leased again later.
            if tokio::time::timeout_at(until, task).await.is_err() {
                tracing::warn!("Stopped before all work was finished; what was accepted is on the disk");
            }
        }
        self.gateway.relay.close().await;
        let event = Event { at: OffsetDateTime::now_utc(), submission: None, what: What::Stopped };
        let _ = self.gateway.store.append(vec![event]).await;
        let _ = self.gateway.store.flush().await;
    }
}

fn door(settings: &Settings, own_domains: &[String]) -> smtp::Settings {
    let mut door = smtp::Settings::new(Vec::new(), settings.hostname.clone());
    door.own_domains = own_domains.to_vec();
    let memory = Memory::of_this_machine();
    door.limits.memory = memory.budget(door.limits.memory);
    door.limits.message_size = memory.largest(door.limits.message_size);
    if let Some(smtp) = &settings.smtp {
        (door.listen, door.listen_tls) = (smtp.listen.clone(), smtp.listen_tls.clone());
        (door.peers, door.tls, door.auth) = (smtp.peers.clone(), smtp.tls.clone(), smtp.auth);
        door.limits.account_messages = Pace::a_minute(smtp.account_messages);
        door.limits.network_messages = Pace::a_minute(smtp.network_messages);
    }
    door
}

fn listeners(supervisor: &Supervisor, addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, NotStarted> {
    let bind = |address: &SocketAddr| {
        let bound = supervisor.tcp(*address, || smtp::bind(*address).and_then(TcpListener::into_std));
        let listener = bound.and_then(TcpListener::from_std);
        listener.map_err(|error| NotStarted(format!("cannot listen on {address}: {error}")))
    };
    addresses.iter().map(bind).collect()
}

fn milter(settings: &Settings) -> milter::Settings {
    let door = settings.milter.as_ref();
    let mut limits = milter::Limits::default();
    limits.message_size = Memory::of_this_machine().largest(limits.message_size);
    milter::Settings {
        listen: door.map_or(Vec::new(), |door| door.listen.clone()),
        socket_mode: door.map_or(0o660, |door| door.socket_mode),
        networks: door.map_or(Vec::new(), |door| door.networks.clone()),
        hostname: settings.hostname.clone(),
        limits,
    }
}

fn relay(settings: &Settings) -> RelaySettings {
    RelaySettings::with_routes(settings.next_hop.routes.clone(), settings.hostname.clone())
}

/// Who our own letters are from: as configured, else `outgate@` the first own domain.
pub fn notices(settings: &Settings, own_domains: &[String]) -> Result<Notices, String> {
    let from = match (&settings.notices.from, own_domains.first()) {
        (Some(from), _) => from.clone(),
        (None, Some(domain)) => Address::parse(&format!("outgate@{domain}"))
            .map_err(|error| format!("`outgate@{domain}` cannot send notices ({error}); set [notices] from"))?,
        (None, None) => return Err("no own domain and no [notices] from: senders could not be told".into()),
    };
    Ok(Notices { from, own_domains: own_domains.to_vec(), hostname: settings.hostname.clone() })
}
