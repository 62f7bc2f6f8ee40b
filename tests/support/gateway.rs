//! The gateway: the real binary, on a configuration and a data folder of its own.

use super::SmallDisk;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// A debug build that proves all its rules on a busy machine takes its time.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// What a story wants to be different from the baseline.
pub struct Setup {
    pub policies: &'static [&'static str],
    /// Lines at the top of the file.
    pub top: &'static str,
    /// Lines in `[smtp]`, and tables behind it.
    pub smtp: &'static str,
    /// Whose clients are the peer's.
    pub networks: &'static str,
    pub answer_within: &'static str,
    /// The milter door is open too.
    pub milter: bool,
    /// A command under which it runs: the binary and its arguments stand behind it.
    pub under: Vec<String>,
    /// What its data folder lies on.
    pub disk: Option<fn(&Path) -> SmallDisk>,
    /// What is logged.
    pub log: &'static str,
    /// Where its data lies, when not in its own folder.
    pub data: Option<PathBuf>,
    /// Further files, by their path in the configuration's folder.
    pub files: Vec<(&'static str, String)>,
    /// Those that only their owner may read.
    pub secrets: Vec<(&'static str, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            policies: &["policies/baseline"],
            top: "",
            smtp: "",
            networks: "127.0.0.0/8",
            answer_within: "90 s",
            milter: false,
            under: Vec::new(),
            disk: None,
            log: "info",
            data: None,
            files: Vec::new(),
            secrets: Vec::new(),
        }
    }
}

/// A running gateway. It ends when this is dropped.
pub struct Gateway {
    under: Vec<String>,
    /// Goes before its folder.
    disk: Option<SmallDisk>,
    folder: tempfile::TempDir,
    process: Mutex<Process>,
    log: Arc<Mutex<String>>,
    log_level: &'static str,
    data: PathBuf,
}

#[derive(Default)]
struct Process {
    child: Option<Child>,
    door: Option<SocketAddr>,
    milter: Option<SocketAddr>,
    health: Option<SocketAddr>,
}

impl Gateway {
    /// The baseline policy, in force.
    pub fn start(hop: SocketAddr) -> Self {
        Self::with(hop, Setup::default())
    }

    pub fn with(hop: SocketAddr, setup: Setup) -> Self {
        let folder = tempfile::Builder::new().prefix("outgate-story-").tempdir().expect("a temporary folder");
        let data = setup.data.clone().unwrap_or_else(|| folder.path().join("data"));
        let disk = setup.disk.map(|disk| disk(&data));
        let (process, log, under) = (Mutex::default(), Arc::default(), setup.under.clone());
        let gateway = Self { under, disk, folder, process, log, log_level: setup.log, data };
        gateway.configure(hop, &setup);
        for (path, text) in &setup.secrets {
            gateway.write_secret(path, text);
        }
        gateway.launch();
        gateway
    }

    /// Writes the configuration; a running gateway takes it at its next start or SIGHUP.
    pub fn configure(&self, hop: SocketAddr, setup: &Setup) {
        let text = format!(
            "policy = {:?}\n{}\nhostname = \"gate.ours.example\"\ndata-dir = {:?}\n\n[smtp]\nlisten = \
             [\"127.0.0.1:0\"]\n{}\n\n[[smtp.peer]]\nnetworks = [\"{}\"]\nanswer-within = \"{}\"\n\n[next-hop]\n\
             address = \"{hop}\"\ntls = \"none\"\n\n[metrics]\nlisten = \"127.0.0.1:0\"\n",
            setup.policies, setup.top, self.data, setup.smtp, setup.networks, setup.answer_within
        );
        let milter = if setup.milter { "\n[milter]\nlisten = \"127.0.0.1:0\"\n" } else { "" };
        self.write("outgate.toml", &(text + milter));
        for (path, text) in &setup.files {
            self.write(path, text);
        }
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
    }

    /// A file that only its owner may read.
    pub fn write_secret(&self, path: &str, text: &str) {
        self.write(path, text);
        let path = self.folder.path().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    }

    /// Starts it and waits until its door is open.
    pub fn launch(&self) {
        let mut process = self.process();
        assert!(process.child.is_none(), "it runs already");
        let mut command = match self.under.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary());
                command
            }
            None => Command::new(binary()),
        };
        let mut child = command
            .args(["serve", "--config"])
            .arg(self.config())
            .env("OUTGATE_LOG", self.log_level)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        let from = lock(&self.log).len();
        let milter = fs::read_to_string(self.config()).is_ok_and(|text| text.contains("[milter]"));
        let log = self.log.clone();
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut log = lock(&log);
                log.push_str(&line);
                log.push('\n');
            }
        });
        process.child = Some(child);
        let said = |what: &str| self.address_in_log(from, what);
        let until = Instant::now() + STARTS_WITHIN;
        loop {
            (process.door, process.health) = (said("The SMTP door is open"), said("Metrics and health are served"));
            process.milter = said("The milter door is open");
            if process.door.is_some() && (!milter || process.milter.is_some()) {
                return;
            }
            let ended = process.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_some()));
            assert!(!ended && Instant::now() < until, "the gateway did not start:\n{}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn address_in_log(&self, from: usize, what: &str) -> Option<SocketAddr> {
        let log = lock(&self.log);
        let line = log[from..].lines().find(|line| line.contains(what))?;
        line.split_once("address=")?.1.split_whitespace().next()?.parse().ok()
    }

    /// Where it takes mail, since its last start.
    pub fn door(&self) -> SocketAddr {
        self.process().door.expect("the door is open")
    }

    /// Where mail servers ask it, since its last start.
    pub fn milter(&self) -> SocketAddr {
        self.process().milter.expect("the milter door is open")
    }

    /// Writes the ports that the kernel gave into the settings, for commands that look there.
    pub fn write_ports(&self) {
        let text = fs::read_to_string(self.config()).expect("the settings");
        let health = self.process().health.expect("health is served");
        let text = text.replace("[\"127.0.0.1:0\"]", &format!("[\"{}\"]", self.door()));
        self.write("outgate.toml", &text.replace("\"127.0.0.1:0\"", &format!("\"{health}\"")));
    }

    /// An HTTP request to its health port: status line and body.
    pub fn health(&self, path: &str) -> String {
        let address = self.process().health.expect("health is served");
        let mut stream = TcpStream::connect(address).expect("health answers");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// kill -9.
    pub fn kill(&self) {
        if let Some(mut child) = self.process().child.take() {
            child.kill().expect("it is ours to kill");
            child.wait().expect("it is our child");
        }
    }

    /// Starts it again if it has ended by itself or at somebody's hand; whether it had.
    pub fn revive(&self) -> bool {
        let ended =
            self.process().child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_some()));
        if ended {
            self.kill();
            self.launch();
        }
        ended
    }

    /// SIGSTOP: from its return on it does nothing any more. How many of its threads are in the midst of a call to the disk,
    /// which goes on in the kernel; what comes of it reaches nobody.
    pub fn freeze(&self) -> usize {
        self.signal(Signal::STOP);
        let id = self.process().child.as_ref().expect("it runs").id();
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let tasks = fs::read_dir(format!("/proc/{id}/task")).expect("it is there").flatten();
            let stats = tasks.map(|task| fs::read_to_string(task.path().join("stat")).unwrap_or_default());
            let state = |stat: String| stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
            let states: Vec<_> = stats.map(state).collect();
            if states.iter().all(|state| matches!(state, Some('T' | 'D'))) {
                return states.iter().filter(|state| **state == Some('D')).count();
            }
            assert!(Instant::now() < until, "it does not stand still: {states:?}");
            // Shorter than a sync.
            thread::sleep(Duration::from_micros(50));
        }
    }

    /// SIGTERM; how it ended, and how long that took.
    pub fn terminate(&self) -> (ExitStatus, Duration) {
        self.signal(Signal::TERM);
        let asked = Instant::now();
        let mut child = self.process().child.take().expect("it runs");
        let until = asked + Duration::from_secs(60);
        loop {
            if let Some(status) = child.try_wait().expect("it is our child") {
                return (status, asked.elapsed());
            }
            if Instant::now() > until {
                let _ = child.kill();
                let _ = child.wait();
                panic!("it did not stop:\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn restart(&self) {
        let (status, _) = self.terminate();
        assert!(status.success(), "{status}\n{}", self.log());
        self.launch();
    }

    /// SIGHUP, and what the log says of it.
    pub fn reload(&self) -> String {
        let from = lock(&self.log).len();
        self.signal(Signal::HUP);
        super::wait_for("the reload in the log", STARTS_WITHIN, || {
            let log = self.log()[from..].to_string();
            // The mistakes stand behind the sentence, in lines of their own.
            let mistakes =
                log.split_once("the old one stays active\n").is_some_and(|(_, behind)| behind.contains('\n'));
            let done = mistakes || log.contains("was read again");
            done.then_some(log)
        })
    }

    fn signal(&self, signal: Signal) {
        let process = self.process();
        let child = process.child.as_ref().expect("it runs");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process number");
        kill_process(pid, signal).expect("it is our child");
    }

    /// A command of the same binary on the same configuration.
    pub fn command(&self, arguments: &[&str]) -> Output {
        self.command_in(arguments, &[])
    }

    /// As `command`, with more in its environment.
    pub fn command_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .envs(environment.iter().copied())
            .stdin(Stdio::null());
        command.output().expect("the binary starts")
    }

    /// A command that reads this from its standard input.
    pub fn command_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--config").arg(self.config());
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("the binary starts");
        // A command that does not want it closes the pipe.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        child.wait_with_output().expect("it ends")
    }

    /// A command that must succeed; what it wrote to stdout.
    pub fn done(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}\n{said}", output.status);
        String::from_utf8(output.stdout).expect("text")
    }

    /// The cases, as `case list --json` gives them.
    pub fn cases(&self) -> Vec<Value> {
        let text = self.done(&["case", "list", "--json", "--limit", "1000000"]);
        text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
    }

    /// The one case whose subject this is.
    pub fn case(&self, subject: &str) -> Value {
        let mut cases = self.cases();
        cases.retain(|case| case["subject"] == subject);
        assert_eq!(cases.len(), 1, "cases with the subject {subject}");
        cases.remove(0)
    }

    /// Waits until a case is in this state.
    pub fn becomes(&self, id: &str, state: &str) {
        super::wait_for(&format!("the case to become {state}"), Duration::from_secs(40), || {
            thread::sleep(Duration::from_millis(200));
            self.cases().iter().any(|case| case["id"] == id && case["state"] == state).then_some(())
        });
    }

    pub fn log(&self) -> String {
        lock(&self.log).clone()
    }

    pub fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("the story asked for one")
    }

    pub fn pid(&self) -> u32 {
        self.process().child.as_ref().expect("it runs").id()
    }

    /// Waits until it has ended by itself.
    pub fn ends(&self) -> ExitStatus {
        let mut child = self.process().child.take().expect("it runs");
        let ended = super::wait_for("its end", Duration::from_secs(60), || child.try_wait().expect("it is our child"));
        let mut process = self.process();
        (process.door, process.health, process.milter) = (None, None, None);
        ended
    }

    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// Its memory, in bytes: resident now.
    pub fn resident(&self) -> u64 {
        let process = self.process();
        let id = process.child.as_ref().expect("it runs").id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
        kib * 1024
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("outgate.toml")
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        lock(&self.process)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.process().child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() && env::var_os("OUTGATE_SHOW_LOG").is_some() {
            eprintln!("the gateway's log:\n{}", self.log());
        }
    }
}

pub fn binary() -> PathBuf {
    env::var_os("OUTGATE_BIN").map_or_else(|| env!("CARGO_BIN_EXE_outgate").into(), PathBuf::from)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
