//! Connections to one address: opened when needed, used again most recent first, closed when they lay idle or did
//! their share; and what is known of the hop there.

use super::{
    connection::Connection,
    failure::Failure,
    offers::Offers,
    session,
    settings::{Limits, RelaySettings, RouteSettings},
    tls::{SettingsError, Tls},
};
use crate::intake::{Credentials, Extensions};
use arc_swap::ArcSwapOption;
use std::{
    io::ErrorKind,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, sleep_until, timeout},
};

/// How long a good-bye may take.
const QUIT: Duration = Duration::from_secs(5);

pub(super) struct Pool {
    pub settings: PoolSettings,
    tls: Option<Tls>,
    /// One for each connection in use. Connections are opened only when none of the same identity lies idle, and others
    /// make room, so this bounds them all.
    turns: Arc<Semaphore>,
    idle: Mutex<Idle>,
    /// As last seen.
    extensions: ArcSwapOption<Extensions>,
    /// Since the last session that could not be opened, until one can.
    failed: Mutex<Option<Failed>>,
}

/// All that makes a hop this one: while it stays the same at a reload, its connections are kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PoolSettings {
    pub route: RouteSettings,
    /// Which of the route's addresses.
    place: usize,
    /// Clients' logins are for the default route: nobody else gets to see them.
    takes_logins: bool,
    pub hostname: String,
    pub limits: Limits,
    connections: usize,
    uses: u32,
}

impl PoolSettings {
    pub fn address(&self) -> &str {
        &self.route.addresses[self.place]
    }
}

#[derive(Clone, Copy)]
struct Failed {
    /// A hop that let a session run into its limit is not tried before.
    shunned_until: Option<Instant>,
}

#[derive(Default)]
struct Idle {
    /// The longest idle first.
    connections: Vec<Connection>,
    reaper: bool,
}

/// Whether a connection that lay idle will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Any,
    New,
}

impl Pool {
    pub fn new(
        settings: &RelaySettings,
        route: &RouteSettings,
        place: usize,
        takes_logins: bool,
    ) -> Result<Self, SettingsError> {
        let settings = PoolSettings {
            route: route.clone(),
            place,
            takes_logins,
            hostname: settings.hostname.clone(),
            limits: settings.limits,
            connections: settings.connections.max(1),
            uses: settings.uses,
        };
        Ok(Self {
            tls: Tls::new(settings.address(), route)?,
            turns: Arc::new(Semaphore::new(settings.connections)),
            settings,
            idle: Mutex::default(),
            extensions: ArcSwapOption::empty(),
            failed: Mutex::new(None),
        })
    }

    /// Before the first contact: what every hop of this century takes, so that no client is turned away.
    pub fn base() -> Extensions {
        Extensions { eight_bit_mime: true, smtputf8: false, dsn: false, size: 0 }
    }

    pub fn extensions(&self) -> Extensions {
        self.extensions.load().as_deref().cloned().unwrap_or_else(Self::base)
    }

    /// Whether the last session could not be opened.
    pub fn has_failed(&self) -> bool {
        self.failed().is_some()
    }

    /// Whether the hop was found dead a moment ago, in the slow way.
    pub fn is_shunned(&self) -> bool {
        let until = self.failed().and_then(|failed| failed.shunned_until);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// `connect` is for the connect alone, `whole` for all up to the first MAIL.
    pub async fn try_lease(
        self: &Arc<Self>,
        want: Want,
        connect: Duration,
        whole: Option<Duration>,
        identity: Option<&Arc<Credentials>>,
    ) -> Result<Lease, Failure> {
        let turn = timeout(self.settings.limits.turn, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Failure::Busy) };
        let lease = |connection, used| Lease { connection, used, pool: self.clone(), _turn: turn };
        if want == Want::Any {
            while let Some(mut connection) = self.pop(identity) {
                if connection.is_quiet().await {
                    return Ok(lease(connection, true));
                }
            }
        }
        self.make_room();
        let clients = identity.filter(|_| self.settings.takes_logins);
        let login = clients.or(self.settings.route.login.as_ref()).map(|login| &**login);
        let opening = session::open(&self.settings, self.tls.as_ref(), connect, login);
        let opened = match whole {
            None => opening.await,
            Some(whole) => timeout(whole, opening).await.unwrap_or_else(|_| Err(Failure::too_slow())),
        };
        match opened {
            Ok(mut connection) => {
                connection.identity = identity.cloned();
                self.works(&connection.offers);
                Ok(lease(connection, false))
            }
            // Somebody's own password says nothing about the hop.
            Err(Failure::Login { code }) if clients.is_some() => Err(Failure::ClientLogin { code }),
            Err(failure) => {
                self.fails(&failure);
                Err(failure)
            }
        }
    }

    fn works(&self, offers: &Offers) {
        let extensions = offers.extensions();
        if self.extensions.load().as_deref() != Some(&extensions) {
            self.extensions.store(Some(Arc::new(extensions)));
        }
        if self.failed().take().is_some() {
            tracing::info!(route = %self.settings.route.name, hop = self.number(), "the next hop can be used again");
        }
        self.gauge(1.0);
    }

    /// Notes that mail has to go elsewhere, and looks after the hop in the background until it works again.
    pub fn fails(self: &Arc<Self>, failure: &Failure) {
        let limits = &self.settings.limits;
        let shunned_until = failure.is_slow().then(|| Instant::now() + limits.shun);
        let before = self.failed().replace(Failed { shunned_until });
        self.gauge(0.0);
        let Ok(runtime) = Handle::try_current() else { return };
        if before.is_some() {
            return;
        }
        // A login is not tried again and again: some servers lock the account.
        let first = if failure.is_login() { limits.longest_shun } else { limits.shun };
        let pool = Arc::downgrade(self);
        runtime.spawn(async move {
            let mut wait = first;
            loop {
                sleep(wait).await;
                let Some(pool) = pool.upgrade() else { return };
                if !pool.has_failed() {
                    return;
                }
                let limits = &pool.settings.limits;
                if let Ok(lease) = pool.try_lease(Want::New, limits.connect, None, None).await {
                    return lease.give_back();
                }
                wait = (wait * 2).min(limits.longest_shun);
            }
        });
    }

    fn number(&self) -> usize {
        self.settings.place + 1
    }

    fn gauge(&self, up: f64) {
        let (route, hop) = (self.settings.route.name.to_string(), self.number().to_string());
        metrics::gauge!("outgate_next_hop_up", "route" => route, "hop" => hop).set(up);
    }

    fn failed(&self) -> MutexGuard<'_, Option<Failed>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one of this identity that was used last.
    fn pop(&self, identity: Option<&Arc<Credentials>>) -> Option<Connection> {
        let mut idle = self.idle();
        let at = idle.connections.iter().rposition(|connection| connection.identity.as_ref() == identity)?;
        let connection = idle.connections.remove(at);
        (connection.idle_since.elapsed() < self.settings.limits.idle).then_some(connection)
    }

    /// Closes the one that lay idle longest when, with those in use, no more may be open: it is another identity's.
    fn make_room(&self) {
        let mut idle = self.idle();
        let free = self.turns.available_permits();
        if idle.connections.len() > free {
            tokio::spawn(idle.connections.remove(0).quit(Instant::now() + QUIT));
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(self: &Arc<Self>, mut connection: Connection) {
        // Outside a runtime (the process is ending) a connection can only be dropped.
        let Ok(runtime) = Handle::try_current() else { return };
        if connection.uses >= self.settings.uses {
            runtime.spawn(connection.quit(Instant::now() + QUIT));
            return;
        }
        connection.idle_since = Instant::now();
        let mut idle = self.idle();
        idle.connections.push(connection);
        if !std::mem::replace(&mut idle.reaper, true) {
            let pool = Arc::downgrade(self);
            runtime.spawn(async move {
                while let Some(next) = pool.upgrade().and_then(|pool| pool.reap()) {
                    sleep_until(next).await;
                }
            });
        }
    }

    /// Closes what lay idle too long; says when to look again, unless nothing is left.
    fn reap(&self) -> Option<Instant> {
        let mut idle = self.idle();
        let limit = self.settings.limits.idle;
        let old = idle.connections.partition_point(|connection| connection.idle_since.elapsed() >= limit);
        for connection in idle.connections.drain(..old) {
            tokio::spawn(connection.quit(Instant::now() + QUIT));
        }
        let next = idle.connections.first().map(|connection| connection.idle_since + limit);
        idle.reaper = next.is_some();
        next
    }

    /// Says good-bye to all that lie idle.
    pub async fn close(&self) {
        let connections = std::mem::take(&mut self.idle().connections);
        let until = Instant::now() + QUIT;
        let farewells: Vec<_> =
            connections.into_iter().map(|connection| tokio::spawn(connection.quit(until))).collect();
        for farewell in farewells {
            let _ = farewell.await;
        }
    }
}

/// A connection for one transaction alone. Dropped, it is closed.
pub(super) struct Lease {
    pub connection: Connection,
    /// It lay idle before, and the hop may have closed it meanwhile.
    pub used: bool,
    pool: Arc<Pool>,
    _turn: OwnedSemaphorePermit,
}

impl Lease {
    pub fn limits(&self) -> &Limits {
        &self.pool.settings.limits
    }

    pub fn is_of(&self, pool: &Arc<Pool>) -> bool {
        Arc::ptr_eq(&self.pool, pool)
    }

    /// For the next transaction.
    pub fn give_back(self) {
        self.pool.put(self.connection);
    }

    /// For the next transaction, which is to end this one first.
    pub fn give_back_unfinished(mut self) {
        self.connection.owes_reset = true;
        self.give_back();
    }

    /// The hop was lost in the envelope: mail goes elsewhere until it works again.
    pub fn note_failure(&self, failure: &Failure) {
        self.pool.fails(failure);
    }
}

impl Failure {
    /// The hop let its time pass.
    fn is_slow(&self) -> bool {
        matches!(self, Failure::Unreachable { kind: ErrorKind::TimedOut, .. })
    }
}
