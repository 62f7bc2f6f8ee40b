//! Accepts connections of mail servers and gives each to a session.

use super::{
    Listen, Settings,
    session::{Session, stopped},
};
use crate::{
    intake::{Budget, Corridor, Seals, passage::Passage},
    keys::Keys,
    supervisor::Supervisor,
};
use std::{
    fs, io,
    net::SocketAddr,
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{mpsc, watch},
    task::JoinSet,
};

/// The pause when the kernel has no connection to give (no file descriptors, no memory): some end meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The door: what all its connections share.
pub struct Door<C: Corridor> {
    pub(super) settings: Settings,
    pub(super) passage: Passage<C>,
    pub(super) budget: Budget,
    open: AtomicUsize,
}

/// A listening socket. Dropped, its file goes too.
pub enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Bound {
    /// Of a TCP socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Bound::Tcp(listener) => listener.local_addr().ok(),
            Bound::Unix(..) => None,
        }
    }
}

/// The file that a socket is known by. None: the socket outlives us in the hands of whoever started us, and so does its
/// file.
pub struct SocketFile(Option<PathBuf>);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_ref().map(fs::remove_file) {
            tracing::debug!(%error, "the socket's file was gone already");
        }
    }
}

/// Opens a listening socket, unless it was handed over. A file that a dead process left behind is replaced; one that is
/// served is an error.
pub async fn bind(listen: &Listen, mode: u32, supervisor: &Supervisor) -> io::Result<Bound> {
    let path = match listen {
        Listen::Tcp(address) => {
            let listener = supervisor.tcp(*address, || std::net::TcpListener::bind(address))?;
            return Ok(Bound::Tcp(TcpListener::from_std(listener)?));
        }
        Listen::Unix(path) => path,
    };
    if let Some(listener) = supervisor.unix(path)? {
        return Ok(Bound::Unix(UnixListener::from_std(listener)?, SocketFile(None)));
    }
    let bound = bind_file(path, mode).await?;
    Ok(match bound {
        Bound::Unix(listener, mut file) if supervisor.keep_unix(path, listener.as_fd()) => {
            file.0 = None;
            Bound::Unix(listener, file)
        }
        bound => bound,
    })
}

async fn bind_file(path: &Path, mode: u32) -> io::Result<Bound> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Ok(_) if tokio::net::UnixStream::connect(path).await.is_ok() => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process serves it"));
        }
        _ => {}
    }
    // It gets its permissions before it gets its name, so that nobody reaches it in between.
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&new);
    let listener = UnixListener::bind(&new)?;
    let named = fs::set_permissions(&new, fs::Permissions::from_mode(mode)).and_then(|()| fs::rename(&new, path));
    if let Err(error) = named {
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    Ok(Bound::Unix(listener, SocketFile(Some(path.to_owned()))))
}

impl<C: Corridor> Door<C> {
    /// `budget` is that of all messages, through whichever door.
    pub fn new(settings: Settings, corridor: Arc<C>, keys: &Keys, budget: Budget) -> Arc<Self> {
        let limits = &settings.limits;
        let hostname = settings.hostname.clone();
        Arc::new(Self {
            budget,
            passage: Passage::new(corridor, Seals::new(keys), hostname, limits.received_fields, limits.answer_margin),
            settings,
            open: AtomicUsize::new(0),
        })
    }

    /// Serves until `stop` becomes true; then accepts no more, and returns when the last session has ended: idle ones
    /// at once, messages in hand with their answer.
    pub async fn serve(self: Arc<Self>, bound: Vec<Bound>, stop: watch::Receiver<bool>) {
        // Every session holds a sender; the last one dropped ends `recv`.
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        let mut accepting = JoinSet::new();
        for bound in bound {
            accepting.spawn(Arc::clone(&self).accept(bound, stop.clone(), alive.clone()));
        }
        drop(alive);
        accepting.join_all().await;
        tracing::info!(connections = self.open.load(Ordering::Relaxed), "the milter door is closed to new connections");
        let _ = all_gone.recv().await;
    }

    async fn accept(self: Arc<Self>, bound: Bound, mut stop: watch::Receiver<bool>, alive: mpsc::Sender<()>) {
        let sessions = stop.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                accepted = self.accept_one(&bound, &sessions, &alive) => accepted,
            };
            if let Err(error) = accepted {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    async fn accept_one(
        self: &Arc<Self>,
        bound: &Bound,
        stop: &watch::Receiver<bool>,
        alive: &mpsc::Sender<()>,
    ) -> io::Result<()> {
        match bound {
            Bound::Tcp(listener) => {
                let (stream, server) = listener.accept().await?;
                let server = server.ip().to_canonical();
                if !self.settings.networks.iter().any(|network| network.contains(server)) {
                    tracing::warn!(%server, "turned a connection away: not in [milter] networks");
                    self.refused("stranger");
                    return Ok(());
                }
                // Answers are small and a client waits for each: never hold one back (RFC 896 would, for 40 ms).
                stream.set_nodelay(true)?;
                self.admit(stream, stop, alive);
            }
            Bound::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                self.admit(stream, stop, alive);
            }
        }
        Ok(())
    }

    fn admit<S>(self: &Arc<Self>, stream: S, stop: &watch::Receiver<bool>, alive: &mpsc::Sender<()>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        metrics::counter!("outgate_milter_connections_total").increment(1);
        let Some(slot) = Slot::take(self) else {
            // Without an answer the server does what it is told to do then: try again later, as the manual says.
            tracing::warn!("turned a connection away: too many");
            return self.refused("connections");
        };
        let (door, stop, alive) = (Arc::clone(self), stop.clone(), alive.clone());
        tokio::spawn(async move {
            Session::new(door, stream, stop).run().await;
            drop((slot, alive));
        });
    }

    pub(super) fn refused(&self, reason: &'static str) {
        metrics::counter!("outgate_milter_refused_total", "reason" => reason).increment(1);
    }
}

/// One of all connections.
struct Slot<C: Corridor>(Arc<Door<C>>);

impl<C: Corridor> Slot<C> {
    fn take(door: &Arc<Door<C>>) -> Option<Self> {
        let most = door.settings.limits.connections;
        let taken =
            door.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < most).then_some(open + 1));
        taken.ok()?;
        metrics::gauge!("outgate_milter_connections").increment(1.0);
        Some(Self(Arc::clone(door)))
    }
}

impl<C: Corridor> Drop for Slot<C> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("outgate_milter_connections").decrement(1.0);
    }
}
