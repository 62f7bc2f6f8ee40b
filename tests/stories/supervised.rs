//! Started, watched and upgraded by systemd, which the test plays.

use crate::support::{Client, Hop, Systemd, Tried, binary, letter, number, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::HashSet,
    env, fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Child,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

const SAM: &str = "sam@ours.example";
const TO: &[&str] = &["claims@agency.example"];

/// A service below the test's systemd. What runs ends with it.
struct Unit {
    systemd: Systemd,
    folder: tempfile::TempDir,
    hop: Hop,
    child: Option<Child>,
    watchdog: Option<Duration>,
}

impl Unit {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("outgate-unit-").tempdir().unwrap();
        Self { systemd: Systemd::start(), folder, hop: Hop::start(), child: None, watchdog: None }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("outgate.toml")
    }

    fn configure(&self, door: &str, top: &str) {
        let text = format!(
            "policy = ['policies/baseline']\nhostname = 'gate.ours.example'\ndata-dir = 'data'\n{top}\n[smtp]\nlisten = \
             ['{door}']\n[[smtp.peer]]\nnetworks = ['127.0.0.0/8']\n[next-hop]\naddress = '{}'\ntls = 'none'\n[metrics]\n\
             listen = '127.0.0.1:0'\n",
            self.hop.address()
        );
        fs::write(self.config(), text).unwrap();
    }

    /// Comes back when it is ready.
    fn start(&mut self) {
        let before = self.systemd.count("READY=1");
        self.child = Some(self.systemd.launch(&binary(), &self.config(), self.watchdog));
        self.systemd.wait_for("READY=1", before + 1);
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().unwrap().id();
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
    }

    fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.child.take().unwrap().wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.systemd.log());
    }

    /// Where its last start opened the door.
    fn door(&self) -> SocketAddr {
        let log = self.systemd.log();
        let line = log.lines().rev().find(|line| line.contains("The SMTP door is open")).unwrap();
        line.split_once("address=").unwrap().1.split_whitespace().next().unwrap().parse().unwrap()
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() && env::var_os("OUTGATE_SHOW_LOG").is_some() {
            eprintln!("{}", self.systemd.log());
        }
    }
}

#[test]
fn it_says_when_it_is_ready_reloads_and_stops() {
    let mut unit = Unit::new();
    unit.configure("127.0.0.1:0", "mode = 'watch'");
    unit.start();
    assert!(Client::connect(unit.door()).is_ok(), "ready means that the door is open");
    assert!(unit.systemd.heard().contains(&"STATUS=The doors are open; the rules only watch".into()));
    unit.configure("127.0.0.1:0", "");
    unit.signal(Signal::HUP);
    unit.systemd.wait_for("READY=1", 2);
    unit.configure("127.0.0.1:0", "mode = 'mystery'");
    unit.signal(Signal::HUP);
    unit.systemd.wait_for("READY=1", 3);
    unit.stop();
    unit.systemd.wait_for("STOPPING=1", 1);
    let told: Vec<String> = unit.systemd.heard().into_iter().filter(|line| !line.starts_with("FD")).collect();
    let order: Vec<&str> = told.iter().map(|line| line.split('=').next().unwrap()).collect();
    let (ready, reload) = (["READY", "STATUS"], ["RELOADING", "MONOTONIC_USEC"]);
    let expected = [&ready[..], &reload, &ready, &reload, &ready, &["STOPPING", "STATUS"]].concat();
    assert_eq!(order, expected, "{told:?}");
    assert_eq!(told[5], "STATUS=The doors are open; the rules are in force");
    assert!(told[9].contains("the new configuration is bad"), "{told:?}");
}

#[test]
fn connections_that_wait_are_served_by_a_socket_that_was_handed_over() {
    let mut unit = Unit::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let door = socket.local_addr().unwrap();
    unit.systemd.keep("smtp", &socket);
    unit.configure(&door.to_string(), "");
    // Nobody accepts yet: the kernel does.
    let early = thread::spawn(move || Client::connect(door).unwrap().send(SAM, TO, &letter("early", "Soon.")).unwrap());
    thread::sleep(Duration::from_millis(100));
    unit.start();
    assert!(early.join().unwrap().starts_with("250"));
    assert_eq!(unit.hop.with_number("early").len(), 1);
    assert_eq!(unit.systemd.kept().len(), 2, "its own is the one for metrics: {:?}", unit.systemd.kept());
}

#[test]
fn a_socket_at_which_it_does_not_listen_is_closed() {
    let mut unit = Unit::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let old = socket.local_addr().unwrap();
    unit.systemd.keep("old", &socket);
    drop(socket);
    unit.configure("127.0.0.1:0", "");
    unit.start();
    wait_for("the old socket to be given up", Duration::from_secs(10), || {
        (!unit.systemd.kept().contains(&"old".into())).then_some(())
    });
    assert!(unit.systemd.log().contains(&old.to_string()), "{}", unit.systemd.log());
    assert!(Client::connect(old).is_err());
}

#[test]
fn a_restart_refuses_no_connection_and_loses_nothing() {
    let restarts = env::var("OUTGATE_RESTARTS").map_or(5, |restarts| restarts.parse::<usize>().unwrap());
    let mut unit = Unit::new();
    unit.configure("127.0.0.1:0", "");
    unit.start();
    let door = unit.door();
    unit.configure(&door.to_string(), "");
    let (stop, next) = (AtomicBool::new(false), AtomicU64::new(0));
    let told: Vec<Told> = thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| constant_client(door, &next, &stop))).collect();
        for round in 0..restarts {
            thread::sleep(Duration::from_millis(300));
            if round % 5 == 4 {
                // Not every end is orderly: what systemd keeps outlives this one too.
                unit.signal(Signal::KILL);
                unit.child.take().unwrap().wait().unwrap();
            } else {
                unit.stop();
            }
            unit.start();
        }
        thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let sum = |count: fn(&Told) -> u64| told.iter().map(count).sum::<u64>();
    let acked: Vec<u64> = told.iter().flat_map(|told| told.acked.clone()).collect();
    let arrived: HashSet<String> = unit.hop.arrived().iter().filter_map(|mail| number(&mail.bytes)).collect();
    let lost = acked.iter().filter(|number| !arrived.contains(&number.to_string())).count();
    println!(
        "restarts={restarts} connections={} refused={} unanswered={} acked={} lost={lost}",
        sum(|told| told.connections),
        sum(|told| told.refused),
        sum(|told| told.broken),
        acked.len()
    );
    assert_eq!((sum(|told| told.refused), lost), (0, 0), "{}", unit.systemd.log());
    assert!(acked.len() > restarts * 4, "the clients sent all the time");
    assert!(sum(|told| told.broken) <= 4 * (restarts as u64).div_ceil(5), "an orderly end answers what is in hand");
}

#[test]
fn a_mail_server_finds_the_milter_socket_through_every_restart() {
    let mut unit = Unit::new();
    let path = unit.folder.path().join("milter.sock");
    let text = format!(
        "policy = ['policies/baseline']\nhostname = 'gate.ours.example'\ndata-dir = 'data'\n[milter]\nlisten =          ['unix:{}']\n[next-hop]\naddress = '{}'\ntls = 'none'\n[metrics]\nlisten = '127.0.0.1:0'\n",
        path.display(),
        unit.hop.address()
    );
    fs::write(unit.config(), text).unwrap();
    unit.start();
    let stop = AtomicBool::new(false);
    let (asked, answered) = thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut asked, mut answered) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                asked += 1;
                // Connecting must always work; an answer may fail to come where a connection was open as its process ended.
                answered += u64::from(negotiated(&path).unwrap_or_else(|error| panic!("connecting failed: {error}")));
            }
            (asked, answered)
        });
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(200));
            unit.stop();
            // Its metrics socket has another port each time.
            unit.systemd.forget(|name| name.starts_with("127"));
            unit.start();
        }
        stop.store(true, Ordering::Relaxed);
        server.join().unwrap()
    });
    println!("milter socket: restarts=3 asked={asked} answered={answered}");
    assert!(asked - answered <= 3 && answered > 3, "asked={asked} answered={answered}");
}

/// Connects as a mail server does, and offers what it can (SMFIC_OPTNEG). False: no answer came.
fn negotiated(path: &std::path::Path) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let offer =
        [&13u32.to_be_bytes()[..], b"O", &6u32.to_be_bytes(), &0x1ffu32.to_be_bytes(), &0x1f_ffffu32.to_be_bytes()];
    let mut answer = [0; 5];
    Ok(stream.write_all(&offer.concat()).and_then(|()| stream.read_exact(&mut answer)).is_ok() && answer[4] == b'O')
}

#[derive(Default)]
struct Told {
    connections: u64,
    refused: u64,
    /// Messages whose final dot had no answer: a kill's, since an orderly end answers what is in hand.
    broken: u64,
    acked: Vec<u64>,
}

/// One message a connection.
fn constant_client(door: SocketAddr, next: &AtomicU64, stop: &AtomicBool) -> Told {
    let mut told = Told::default();
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        told.connections += 1;
        let mut client = match Client::connect(door) {
            Ok(client) => client,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                told.refused += 1;
                continue;
            }
            // It was accepted, and idle when its process ended.
            Err(_) => continue,
        };
        match client.send(SAM, TO, &letter(number, "The parcel is here.")) {
            Ok(answer) if answer.starts_with("250") => told.acked.push(number),
            Ok(answer) => assert!(answer.starts_with('4'), "{answer}"),
            Err(Tried::BeforeDot(_)) => {}
            Err(Tried::AfterDot(_)) => told.broken += 1,
        }
    }
    told
}

#[test]
fn the_watchdog_hears_of_it_only_while_it_works() {
    let mut unit = Unit::new();
    unit.watchdog = Some(Duration::from_millis(800));
    unit.configure("127.0.0.1:0", "");
    unit.start();
    unit.systemd.wait_for("WATCHDOG=1", 3);
    unit.signal(Signal::STOP);
    thread::sleep(Duration::from_millis(100));
    let heard = unit.systemd.count("WATCHDOG=1");
    thread::sleep(Duration::from_millis(900));
    assert_eq!(unit.systemd.count("WATCHDOG=1"), heard);
    unit.signal(Signal::CONT);
    unit.systemd.wait_for("WATCHDOG=1", heard + 2);
    unit.stop();
}
