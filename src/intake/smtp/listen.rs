//! Accepts connections and gives each to a session.

use super::{
    client::Client,
    connection::Connection,
    logins::{Logins, network_of},
    paces::Paces,
    session::Session,
    settings::Settings,
    tls::{Secured, ServerTls, TlsError},
};
use crate::{
    intake::{Budget, Corridor, Network, Seals, passage::Passage},
    keys::Keys,
    mail::{Address, wire::Reply},
};
use arc_swap::ArcSwap;
use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
};

/// Connections that the kernel keeps for us while we are busy accepting others.
const BACKLOG: u32 = 1_024;

/// The pause when the kernel has no connection to give (no file descriptors, no memory): some end meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// So many that were turned away are waited for until they have read their reply: each has a file descriptor.
const LEAVING: usize = 32;

/// The door: what all its connections share.
pub struct Door<C: Corridor> {
    active: ArcSwap<Active>,
    pub(super) passage: Passage<C>,
    pub(super) budget: Budget,
    open: AtomicUsize,
    /// Connections that were turned away and have not gone yet.
    leaving: AtomicUsize,
    /// Most connections are in use.
    crowded: watch::Sender<bool>,
    strangers: Mutex<HashMap<Network, u32>>,
    pub(super) logins: Logins,
    pub(super) paces: Paces,
}

/// The settings in force. A session keeps those with which it began.
pub(super) struct Active {
    pub settings: Settings,
    pub tls: Option<ServerTls>,
}

impl Active {
    fn new(settings: Settings) -> Result<Self, TlsError> {
        let asks = settings.asks_certificates();
        let tls = settings.tls.as_ref().map(|tls| ServerTls::new(tls, asks)).transpose()?;
        Ok(Self { settings, tls })
    }
}

/// How the sessions of a listener begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    Clear,
    Tls,
}

/// Opens a listening socket.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the old connections' last packets.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl<C: Corridor> Door<C> {
    /// A door with a budget of its own.
    pub fn new(settings: Settings, corridor: Arc<C>, keys: &Keys) -> Result<Arc<Self>, TlsError> {
        let budget = Budget::new(settings.limits.memory);
        Self::sharing(settings, corridor, keys, budget)
    }

    /// Whoever starts a door asks `Settings::relay_risk` first.
    pub fn sharing(settings: Settings, corridor: Arc<C>, keys: &Keys, budget: Budget) -> Result<Arc<Self>, TlsError> {
        let limits = &settings.limits;
        let hostname = settings.hostname.clone();
        Ok(Arc::new(Self {
            budget,
            passage: Passage::new(corridor, Seals::new(keys), hostname, limits.received_fields, limits.answer_margin),
            active: ArcSwap::from_pointee(Active::new(settings)?),
            open: AtomicUsize::new(0),
            leaving: AtomicUsize::new(0),
            crowded: watch::channel(false).0,
            strangers: Mutex::new(HashMap::new()),
            logins: Logins::new(),
            paces: Paces::default(),
        }))
    }

    /// New settings for the sessions that begin from now on. Where we listen and what we call ourselves stay. With an
    /// error all stays.
    pub fn renew(&self, settings: Settings) -> Result<(), TlsError> {
        let Settings { listen, listen_tls, hostname, .. } = self.active.load().settings.clone();
        let settings = Settings { listen, listen_tls, hostname, ..settings };
        self.active.store(Arc::new(Active::new(settings)?));
        Ok(())
    }

    /// Whether an address is in one of our own domains.
    pub(super) fn owns(&self, address: &Address) -> bool {
        self.active.load().settings.own_domains.iter().any(|domain| address.is_within(domain))
    }

    /// The memory of the messages on their way through.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Serves until `stop` becomes true; then accepts no more, and returns when the last session has ended: idle ones
    /// at once, transactions in progress with their reply.
    pub async fn serve(
        self: Arc<Self>,
        clear: Vec<TcpListener>,
        under_tls: Vec<TcpListener>,
        stop: watch::Receiver<bool>,
    ) {
        // Every session holds a sender; the last one dropped ends `recv`.
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        let mut accepting = JoinSet::new();
        let clear = clear.into_iter().map(|listener| (listener, Opening::Clear));
        for (listener, opening) in clear.chain(under_tls.into_iter().map(|listener| (listener, Opening::Tls))) {
            accepting.spawn(Arc::clone(&self).accept(listener, opening, stop.clone(), alive.clone()));
        }
        drop(alive);
        accepting.join_all().await;
        tracing::info!(connections = self.open.load(Ordering::Relaxed), "the SMTP door is closed to new connections");
        let _ = all_gone.recv().await;
    }

    async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        opening: Opening,
        mut stop: watch::Receiver<bool>,
        alive: mpsc::Sender<()>,
    ) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, client)) => {
                    let (door, stop, alive) = (Arc::clone(&self), stop.clone(), alive.clone());
                    tokio::spawn(async move {
                        door.admit(stream, client.ip().to_canonical(), opening, stop).await;
                        drop(alive);
                    });
                }
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {
                    tracing::debug!(%error, "a client went before it was accepted");
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Decides whether a client may talk to us at all.
    async fn admit(self: Arc<Self>, stream: TcpStream, address: IpAddr, opening: Opening, stop: watch::Receiver<bool>) {
        metrics::counter!("outgate_smtp_connections_total").increment(1);
        // Replies are small and somebody waits for each: never hold one back (RFC 896 would, for 40 ms).
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(client = %address, %error, "a connection was gone before it began");
            return;
        }
        let active = self.active.load_full();
        let mut connection = Connection::new(stream);
        let refusal = match Slot::take(&self, active.settings.limits.connections) {
            None => Err(("connections", busy())),
            Some(slot) => self.let_in(&active, address).map(|stranger| (slot, stranger)),
        };
        let (_slot, _stranger) = match refusal {
            Ok(counted) => counted,
            Err((reason, reply)) => return self.turn_away(connection, address, reason, reply, opening).await,
        };
        let tls = match opening {
            Opening::Clear => None,
            Opening::Tls => match self.secure(&active, &mut connection, address).await {
                Some(secured) => Some(secured),
                None => return,
            },
        };
        let client = Client::new(address, tls, &active.settings);
        Session::new(self, active, connection, client, stop).run().await;
    }

    /// A stranger may stay where it can show who it is, and is counted.
    fn let_in(
        self: &Arc<Self>,
        active: &Active,
        address: IpAddr,
    ) -> Result<Option<Stranger<C>>, (&'static str, Reply)> {
        if active.settings.peer(address, None).is_some() {
            return Ok(None);
        }
        let Some(stranger) = Stranger::count(self, address, active.settings.limits.connections_per_network) else {
            return Err(("connections-of-network", busy()));
        };
        if !active.settings.may_become_known(address) {
            return Err(("stranger", Reply::new(554, (5, 7, 1), "No service here for you")));
        }
        Ok(Some(stranger))
    }

    /// The handshake. None: it failed, and there is nobody to talk to.
    pub(super) async fn secure(
        &self,
        active: &Active,
        connection: &mut Connection,
        address: IpAddr,
    ) -> Option<Secured> {
        let tls = active.tls.as_ref()?;
        match connection.secure(tls, active.settings.limits.handshake_wait).await {
            Ok(secured) => Some(secured),
            Err(error) => {
                tracing::info!(client = %address, %error, "a TLS handshake failed");
                self.refused("handshake");
                None
            }
        }
    }

    async fn turn_away(
        &self,
        mut connection: Connection,
        client: IpAddr,
        reason: &'static str,
        reply: Reply,
        opening: Opening,
    ) {
        tracing::info!(%client, reason, code = reply.code(), "turned a connection away");
        self.refused(reason);
        // Whoever waits for a handshake cannot read a reply in clear.
        if opening == Opening::Clear {
            connection.reply(&reply);
        }
        let lingering = self.leaving.fetch_add(1, Ordering::Relaxed);
        if lingering < LEAVING {
            connection.close().await;
        } else {
            // It has said nothing yet, so the reply reaches it even so.
            connection.drop_at_once().await;
        }
        self.leaving.fetch_sub(1, Ordering::Relaxed);
    }

    /// Becomes true when most connections are in use.
    pub(super) fn crowded(&self) -> watch::Receiver<bool> {
        self.crowded.subscribe()
    }

    fn count_open(&self, open: usize) {
        let most = self.active.load().settings.limits.connections;
        let crowded = open > most / 4 * 3;
        self.crowded.send_if_modified(|is| std::mem::replace(is, crowded) != crowded);
    }

    pub(super) fn refused(&self, reason: &'static str) {
        metrics::counter!("outgate_smtp_refused_total", "reason" => reason).increment(1);
    }
}

/// Comes back when `stop` is true; never, when nobody can set it any more.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn busy() -> Reply {
    Reply::new(421, (4, 7, 0), "Too many connections, try again later")
}

/// One of all connections.
struct Slot<C: Corridor>(Arc<Door<C>>);

impl<C: Corridor> Slot<C> {
    fn take(door: &Arc<Door<C>>, most: usize) -> Option<Self> {
        let taken =
            door.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < most).then_some(open + 1));
        let before = taken.ok()?;
        metrics::gauge!("outgate_smtp_connections").increment(1.0);
        door.count_open(before + 1);
        Some(Self(Arc::clone(door)))
    }
}

impl<C: Corridor> Drop for Slot<C> {
    fn drop(&mut self) {
        let before = self.0.open.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("outgate_smtp_connections").decrement(1.0);
        self.0.count_open(before - 1);
    }
}

/// One connection of a network that is not a peer's.
struct Stranger<C: Corridor> {
    door: Arc<Door<C>>,
    network: Network,
}

impl<C: Corridor> Stranger<C> {
    fn count(door: &Arc<Door<C>>, client: IpAddr, most: u32) -> Option<Self> {
        let network = network_of(client);
        let mut strangers = door.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let open = strangers.entry(network).or_insert(0);
        if *open >= most {
            return None;
        }
        *open += 1;
        Some(Self { door: Arc::clone(door), network })
    }
}

impl<C: Corridor> Drop for Stranger<C> {
    fn drop(&mut self) {
        let mut strangers = self.door.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = strangers.get_mut(&self.network) {
            *open -= 1;
            if *open == 0 {
                strangers.remove(&self.network);
            }
        }
    }
}
