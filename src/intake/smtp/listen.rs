//! Accepts connections and gives each to a session.

use super::{connection::Connection, session::Session, settings::Settings};
use crate::{
    intake::{Budget, Corridor, Network, Seals, passage::Passage},
    keys::Keys,
    mail::wire::Reply,
};
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

/// The door: what all its connections share.
pub struct Door<C: Corridor> {
    pub(super) settings: Settings,
    pub(super) passage: Passage<C>,
    pub(super) budget: Budget,
    open: AtomicUsize,
    strangers: Mutex<HashMap<Network, u32>>,
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
    /// Whoever starts a door asks `Settings::relay_risk` first.
    pub fn new(settings: Settings, corridor: Arc<C>, keys: &Keys) -> Arc<Self> {
        let limits = &settings.limits;
        let hostname = settings.hostname.clone();
        Arc::new(Self {
            budget: Budget::new(limits.memory),
            passage: Passage::new(corridor, Seals::new(keys), hostname, limits.received_fields, limits.answer_margin),
            settings,
            open: AtomicUsize::new(0),
            strangers: Mutex::new(HashMap::new()),
        })
    }

    /// The memory of the messages on their way through.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Serves until `stop` becomes true; then accepts no more, and returns when the last session has ended: idle ones
    /// at once, transactions in progress with their reply.
    pub async fn serve(self: Arc<Self>, listeners: Vec<TcpListener>, stop: watch::Receiver<bool>) {
        // Every session holds a sender; the last one dropped ends `recv`.
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(Arc::clone(&self).accept(listener, stop.clone(), alive.clone()));
        }
        drop(alive);
        accepting.join_all().await;
        tracing::info!(connections = self.open.load(Ordering::Relaxed), "the SMTP door is closed to new connections");
        let _ = all_gone.recv().await;
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, mut stop: watch::Receiver<bool>, alive: mpsc::Sender<()>) {
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
                        door.admit(stream, client.ip().to_canonical(), stop).await;
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
    async fn admit(self: Arc<Self>, stream: TcpStream, client: IpAddr, stop: watch::Receiver<bool>) {
        metrics::counter!("outgate_smtp_connections_total").increment(1);
        // Replies are small and somebody waits for each: never hold one back (RFC 896 would, for 40 ms).
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%client, %error, "a connection was gone before it began");
            return;
        }
        let connection = Connection::new(stream);
        let Some(_slot) = Slot::take(&self) else {
            return self.turn_away(connection, client, "connections", busy()).await;
        };
        let Some(peer) = self.settings.peer(client).cloned() else {
            let Some(_stranger) = Stranger::count(&self, client) else {
                return self.turn_away(connection, client, "connections-of-network", busy()).await;
            };
            let reply = Reply::new(554, (5, 7, 1), "No service here for you");
            return self.turn_away(connection, client, "stranger", reply).await;
        };
        Session::new(self, connection, client, Arc::new(peer), stop).run().await;
    }

    async fn turn_away(&self, mut connection: Connection, client: IpAddr, reason: &'static str, reply: Reply) {
        tracing::info!(%client, reason, code = reply.code(), "turned a connection away");
        self.refused(reason);
        connection.reply(&reply);
        connection.close().await;
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
    fn take(door: &Arc<Door<C>>) -> Option<Self> {
        let most = door.settings.limits.connections;
        let taken =
            door.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < most).then_some(open + 1));
        taken.ok()?;
        metrics::gauge!("outgate_smtp_connections").increment(1.0);
        Some(Self(Arc::clone(door)))
    }
}

impl<C: Corridor> Drop for Slot<C> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("outgate_smtp_connections").decrement(1.0);
    }
}

/// One connection of a network that is not a peer's.
struct Stranger<C: Corridor> {
    door: Arc<Door<C>>,
    network: Network,
}

impl<C: Corridor> Stranger<C> {
    fn count(door: &Arc<Door<C>>, client: IpAddr) -> Option<Self> {
        let network = Network::around(client, if client.is_ipv4() { 24 } else { 64 });
        let mut strangers = door.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let open = strangers.entry(network).or_insert(0);
        if *open >= door.settings.limits.connections_per_network {
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
