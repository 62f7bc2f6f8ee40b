//! What systemd does for a service, done by the test: it hears what the service tells it, keeps the sockets that it is given,
//! and hands them over at the next start (sd_notify(3), sd_listen_fds(3)).

use rustix::{
    cmsg_space,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::IoSliceMut,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixDatagram,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

pub struct Systemd {
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    heard: Mutex<Vec<String>>,
    kept: Mutex<BTreeMap<String, OwnedFd>>,
    over: AtomicBool,
}

impl Systemd {
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("outgate-systemd-").tempdir().expect("a temporary folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time limit");
        let shared = Arc::new(Shared::default());
        let listening = Some(thread::spawn({
            let shared = shared.clone();
            move || {
                while !shared.over.load(Ordering::Relaxed) {
                    shared.hear(&socket);
                }
            }
        }));
        Self { folder, shared, listening }
    }

    /// Starts the service with all that is kept. A shell stands between, because the process's own number must be in its
    /// environment, and puts what it has as standard input and output where handed over sockets belong.
    pub fn launch(&self, program: &Path, config: &Path, watchdog: Option<Duration>) -> Child {
        let kept: Vec<(String, OwnedFd)> = {
            let kept = lock(&self.shared.kept);
            kept.iter().map(|(name, fd)| (name.clone(), fd.try_clone().expect("a copy"))).collect()
        };
        assert!(kept.len() <= 2, "standard input and output carry no more");
        let names: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
        let mut command = Command::new("sh");
        command.args(["-c", "export LISTEN_PID=$$; exec 3<&0 4>&1 </dev/null >/dev/null; exec \"$@\"", "sh"]);
        command.arg(program).args(["serve", "--config"]).arg(config);
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        if let Some(every) = watchdog {
            command.env("WATCHDOG_USEC", every.as_micros().to_string());
        }
        if !kept.is_empty() {
            command.env("LISTEN_FDS", kept.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        }
        let mut sockets = kept.into_iter().map(|(_, fd)| Stdio::from(fd));
        command.stdin(sockets.next().unwrap_or_else(Stdio::null)).stdout(sockets.next().unwrap_or_else(Stdio::null));
        command.stderr(File::options().create(true).append(true).open(self.log_file()).expect("a log"));
        command.spawn().expect("a shell")
    }

    /// As a socket unit does: opened before the service, handed over with each start.
    pub fn keep(&self, name: &str, socket: impl AsFd) {
        let copy = socket.as_fd().try_clone_to_owned().expect("a copy");
        lock(&self.shared.kept).insert(name.into(), copy);
    }

    pub fn forget(&self, which: impl Fn(&str) -> bool) {
        lock(&self.shared.kept).retain(|name, _| !which(name));
    }

    pub fn kept(&self) -> Vec<String> {
        lock(&self.shared.kept).keys().cloned().collect()
    }

    /// What it was told, in order, a line each.
    pub fn heard(&self) -> Vec<String> {
        lock(&self.shared.heard).clone()
    }

    pub fn count(&self, line: &str) -> usize {
        self.heard().iter().filter(|heard| *heard == line).count()
    }

    /// Waits until it was told this so many times.
    pub fn wait_for(&self, line: &str, times: usize) {
        super::wait_for(&format!("{line} for the {times}. time"), Duration::from_secs(60), || {
            (self.count(line) >= times).then_some(())
        });
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Shared {
    /// One message, with the sockets that come along.
    fn hear(&self, socket: &UnixDatagram) {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(8))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC);
        let Ok(received) = received else { return };
        let lines: Vec<String> = String::from_utf8_lossy(&bytes[..received.bytes]).lines().map(String::from).collect();
        let name = lines.iter().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or("stored").to_string();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(sockets) = message {
                for socket in sockets {
                    lock(&self.kept).insert(name.clone(), socket);
                }
            }
        }
        if lines.iter().any(|line| line == "FDSTOREREMOVE=1") {
            lock(&self.kept).remove(&name);
        }
        lock(&self.heard).extend(lines);
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
