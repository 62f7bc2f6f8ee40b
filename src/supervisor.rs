//! Whoever started us, systemd or what stands in for it: the sockets that it kept for us, and what it is told.
//!
//! A listening socket is handed to it as soon as it is open (sd_notify(3), FDSTORE). When the service ends, for an upgrade
//! or by a crash, the socket stays open in systemd's hands: connections wait in the kernel's queue, and the next run gets
//! the socket back. The configuration stays the one truth about where we listen: what is handed over is taken where it names
//! the same address, and closed where it does not.
//!
//! Never: a word about a message. Without a supervisor all of this does nothing.

use listenfd::ListenFd;
use sd_notify::NotifyState;
use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{fs::FileTypeExt, net::UnixListener},
    },
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

#[derive(Default)]
pub struct Supervisor {
    /// Those that nobody has taken yet.
    handed_over: Mutex<Vec<HandedOver>>,
}

struct HandedOver {
    name: String,
    socket: Socket,
}

enum Socket {
    Tcp(SocketAddr, TcpListener),
    Unix(PathBuf, UnixListener),
}

impl Supervisor {
    /// Takes what the environment names (sd_listen_fds(3)). Once, before the process opens anything else.
    pub fn from_environment() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(String::from);
        let mut given = ListenFd::from_env();
        let mut handed_over = Vec::new();
        for index in 0..given.len() {
            let name = names.next().unwrap_or_default();
            match take(&mut given, index) {
                Ok(socket) => handed_over.push(HandedOver { name, socket }),
                Err(error) => {
                    tracing::warn!(name, %error, "What was handed over is no listening socket; it is not used")
                }
            }
        }
        Self { handed_over: Mutex::new(handed_over) }
    }

    /// The socket at this address that was handed over, else the one that `bind` opens, which is then given into keeping.
    pub fn tcp(&self, address: SocketAddr, bind: impl FnOnce() -> io::Result<TcpListener>) -> io::Result<TcpListener> {
        let found = self.claim(|_, socket| match socket {
            Socket::Tcp(at, listener) if at == address => Ok(listener),
            other => Err(other),
        });
        let listener = match found {
            Some(listener) => listener,
            None => {
                let listener = bind()?;
                // With port 0 the kernel chose.
                keep(&tcp_name(listener.local_addr()?), listener.as_fd());
                listener
            }
        };
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// The socket of this path that was handed over, if its file is still there: without it nobody would find the socket. It
    /// goes by the name that we gave it, or by the path at which a socket unit opened it.
    pub fn unix(&self, path: &Path) -> io::Result<Option<UnixListener>> {
        let ours = unix_name(path);
        let found = self.claim(|name, socket| match socket {
            Socket::Unix(at, listener) if at == path || name == ours => Ok(listener),
            other => Err(other),
        });
        let there = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
        let Some(listener) = found.filter(|_| there) else { return Ok(None) };
        listener.set_nonblocking(true)?;
        Ok(Some(listener))
    }

    /// Gives it into keeping. False: nobody keeps it.
    pub fn keep_unix(&self, path: &Path, socket: BorrowedFd<'_>) -> bool {
        keep(&unix_name(path), socket)
    }

    fn claim<T>(&self, wanted: impl Fn(&str, Socket) -> Result<T, Socket>) -> Option<T> {
        let mut waiting = self.handed_over.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        for HandedOver { name, socket } in std::mem::take(&mut *waiting) {
            match if found.is_none() { wanted(&name, socket) } else { Err(socket) } {
                Ok(listener) => found = Some(listener),
                Err(socket) => waiting.push(HandedOver { name, socket }),
            }
        }
        found
    }

    /// After all listeners are open: what was handed over and is not configured is closed and no longer kept.
    pub fn give_up_the_rest(&self) {
        let rest = std::mem::take(&mut *self.handed_over.lock().unwrap_or_else(PoisonError::into_inner));
        for HandedOver { name, socket } in rest {
            let place = match &socket {
                Socket::Tcp(address, _) => address.to_string(),
                Socket::Unix(path, _) => path.display().to_string(),
            };
            tracing::warn!(
                name,
                place,
                "A socket was handed over at which the configuration does not listen; it is closed"
            );
            tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(&name)]);
        }
    }

    /// The doors are open.
    pub fn ready(&self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Followed by `ready`.
    pub fn reloading(&self) {
        let since = NotifyState::monotonic_usec_now().into_iter();
        tell(&[NotifyState::Reloading].into_iter().chain(since).collect::<Vec<_>>());
    }

    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("Stopping: accepted work finishes")]);
    }

    /// How often it wants to hear that we live.
    pub fn watchdog(&self) -> Option<Duration> {
        sd_notify::watchdog_enabled()
    }

    pub fn alive(&self) {
        tell(&[NotifyState::Watchdog]);
    }
}

fn take(given: &mut ListenFd, index: usize) -> io::Result<Socket> {
    if let Ok(Some(listener)) = given.take_tcp_listener(index) {
        return Ok(Socket::Tcp(listener.local_addr()?, listener));
    }
    let nothing = || io::Error::new(io::ErrorKind::InvalidInput, "neither TCP nor a Unix stream");
    let listener = given.take_unix_listener(index)?.ok_or_else(nothing)?;
    let path = listener.local_addr()?.as_pathname().ok_or_else(nothing)?.to_path_buf();
    Ok(Socket::Unix(path, listener))
}

/// One name for each socket, so that one can be given up. A colon separates names (sd_listen_fds(3)).
fn tcp_name(address: SocketAddr) -> String {
    address.to_string().replace(':', "-")
}

/// At most 255 characters.
fn unix_name(path: &Path) -> String {
    let name: String =
        path.to_string_lossy().chars().map(|c| if c.is_ascii_graphic() && c != ':' { c } else { '-' }).collect();
    name[name.len().saturating_sub(255)..].to_string()
}

/// False: nobody keeps it.
fn keep(name: &str, socket: BorrowedFd<'_>) -> bool {
    let states = [NotifyState::FdStore, NotifyState::FdName(name)];
    let sent = sd_notify::notify_with_fds(&states, &[socket]);
    if let Err(error) = &sent {
        tracing::warn!(name, %error, "The socket could not be given into keeping; a restart will refuse connections");
    }
    sent.is_ok() && std::env::var_os("NOTIFY_SOCKET").is_some()
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "Whoever started the service could not be told how it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_colon_and_are_told_apart() {
        assert_eq!(tcp_name("127.0.0.1:25".parse().unwrap()), "127.0.0.1-25");
        assert_eq!(tcp_name("[::1]:25".parse().unwrap()), "[--1]-25");
        assert_eq!(unix_name(Path::new("/run/outgate/milter.sock")), "/run/outgate/milter.sock");
        assert_eq!(unix_name(Path::new(&format!("/{}", "x".repeat(400)))).len(), 255);
    }

    #[test]
    fn each_socket_is_claimed_once_by_its_own_address() {
        let (one, two) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let (at_one, at_two) = (one.local_addr().unwrap(), two.local_addr().unwrap());
        let handed = |at, listener| HandedOver { name: "door".into(), socket: Socket::Tcp(at, listener) };
        let supervisor = Supervisor { handed_over: Mutex::new(vec![handed(at_one, one), handed(at_two, two)]) };
        let refuse = || Err(io::Error::other("bound anew"));
        assert_eq!(supervisor.tcp(at_two, refuse).unwrap().local_addr().unwrap(), at_two);
        assert!(supervisor.tcp(at_two, refuse).is_err(), "it is taken");
        assert_eq!(supervisor.tcp(at_one, refuse).unwrap().local_addr().unwrap(), at_one);
    }
}
