//! Processes that end with the test, ports and folders for them.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File, Permissions},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A process and all that it starts, as one process group.
pub struct Group {
    child: Child,
    leash: Option<ChildStdin>,
    log: PathBuf,
}

impl Group {
    /// The shell ends the whole group when our end of its input closes: on drop, and also when the test process dies.
    const LEASHED: &str = r#""$@" </dev/null & read -r _; kill -KILL 0"#;

    pub fn start(command: &[&str], environment: &[(&str, &str)], log: &Path) -> Self {
        let out = File::options().create(true).append(true).open(log).unwrap();
        let mut child = Command::new("/bin/sh")
            .args(["-c", Self::LEASHED, "sh"])
            .args(command)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .process_group(0)
            .spawn()
            .unwrap();
        let leash = child.stdin.take();
        Self { child, leash, log: log.to_path_buf() }
    }

    /// Waits until someone listens on the port.
    pub fn wait_for_port(&self, port: u16) {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            assert!(Instant::now() < until, "nobody listens on port {port}; the log says:\n{log}");
            thread::sleep(Duration::from_millis(25));
        }
    }
}

impl Group {
    /// A signal to the process itself, not to the shell that holds its leash.
    pub fn signal(&self, signal: Signal) {
        let shell = self.child.id();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        let process = children.split_whitespace().next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        kill_process(process.expect("it runs"), signal).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(self.leash.take());
        let _ = self.child.wait();
    }
}

/// A folder that other accounts may enter: servers drop their rights.
pub fn folder(name: &str) -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix(&format!("outgate-{name}-")).tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A free port below those that the system gives to outgoing connections, so that nobody takes it before it is used, or
/// while its server is down.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// The path of a server that scripts/test-servers installs. Fails the test where it is missing or cannot be started.
pub fn server(path: &str) -> PathBuf {
    assert!(
        rustix::process::geteuid().is_root(),
        "{path} starts as root only: run scripts/test-servers and this test as root on Debian"
    );
    installed(path)
}

/// The path of a program that scripts/test-servers installs; fails the test where it is missing.
pub fn installed(path: &str) -> PathBuf {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(whole.exists(), "{path} is missing: run scripts/test-servers first (it needs root on Debian)");
    whole
}

/// Runs a program to its end, at most a minute, and gives whether it succeeded and what it printed.
pub fn run(command: &mut Command) -> (bool, String) {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output();
    let output = output
        .unwrap_or_else(|error| panic!("{name}: {error}: run scripts/test-servers first (it needs root on Debian)"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Polls until it holds, or fails with what was waited for.
pub fn eventually(what: &str, seconds: u64, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(seconds);
    while !holds() {
        assert!(Instant::now() < until, "not within {seconds} s: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}
