//! Connections: opened when needed, used again most recent first, closed when they lay idle or did their share.

use super::{
    connection::Connection,
    failure::Failure,
    offers::Offers,
    session,
    settings::{Limits, RelaySettings},
    tls::{SettingsError, Tls},
};
use crate::intake::{Credentials, Extensions};
use arc_swap::ArcSwap;
use std::{
    io::ErrorKind,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout},
};

/// How long a good-bye may take.
const QUIT: Duration = Duration::from_secs(5);

pub(super) struct Pool {
    pub settings: RelaySettings,
    tls: Option<Tls>,
    /// One for each connection in use. Connections are opened only when none of the same identity lies idle, and others
    /// make room, so this bounds them all.
    turns: Arc<Semaphore>,
    idle: Mutex<Idle>,
    extensions: ArcSwap<Extensions>,
    /// Until when a hop that let a connect run into its limit is not tried again.
    shunned: Mutex<Option<Instant>>,
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
    pub fn new(settings: RelaySettings) -> Result<Self, SettingsError> {
        let tls = Tls::new(&settings)?;
        let turns = Arc::new(Semaphore::new(settings.connections.max(1)));
        // Before the first contact: what every hop of this century takes, so that no client is turned away.
        let base = Extensions { eight_bit_mime: true, smtputf8: false, dsn: false, size: 0 };
        Ok(Self {
            settings,
            tls,
            turns,
            idle: Mutex::default(),
            extensions: ArcSwap::from_pointee(base),
            shunned: Mutex::new(None),
        })
    }

    pub fn extensions(&self) -> Extensions {
        Extensions::clone(&self.extensions.load())
    }

    /// Whether the hop was found dead a moment ago, in the slow way.
    pub fn is_shunned(&self) -> bool {
        let shunned = self.shunned.lock().unwrap_or_else(PoisonError::into_inner);
        shunned.is_some_and(|until| Instant::now() < until)
    }

    pub async fn lease(
        self: &Arc<Self>,
        want: Want,
        connect: Duration,
        identity: Option<&Arc<Credentials>>,
    ) -> Result<Lease, Failure> {
        let leased = self.try_lease(want, connect, identity).await;
        leased.inspect_err(Failure::report)
    }

    /// As `lease`, without a word in the log.
    pub async fn try_lease(
        self: &Arc<Self>,
        want: Want,
        connect: Duration,
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
        let opened = session::open(&self.settings, self.tls.as_ref(), connect, identity.cloned()).await;
        self.learn(&opened);
        Ok(lease(opened?, false))
    }

    fn learn(&self, opened: &Result<Connection, Failure>) {
        let mut shunned = self.shunned.lock().unwrap_or_else(PoisonError::into_inner);
        match opened {
            Ok(connection) => {
                *shunned = None;
                self.remember(&connection.offers);
            }
            Err(Failure::Unreachable { kind: ErrorKind::TimedOut, .. }) => {
                *shunned = Some(Instant::now() + self.settings.limits.shun);
            }
            Err(_) => {}
        }
    }

    fn remember(&self, offers: &Offers) {
        let extensions = offers.extensions();
        if **self.extensions.load() != extensions {
            self.extensions.store(Arc::new(extensions));
        }
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

    /// For the next transaction.
    pub fn give_back(self) {
        self.pool.put(self.connection);
    }

    /// For the next transaction, which is to end this one first.
    pub fn give_back_unfinished(mut self) {
        self.connection.owes_reset = true;
        self.give_back();
    }
}
