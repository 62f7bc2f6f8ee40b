//! T33: large messages, several at once, within the budget and unchanged. T34: a machine, or a container, that gives little
//! memory: the gateway knows it and refuses for the moment; the kernel need not kill it.

use crate::support::{Client, Gateway, Hop, Setup, below_trace, hand_in, letter};
use std::{
    env, fs,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

const BEN: &str = "ben.okafor@ours.example";
const CLAIMS: &[&str] = &["claims@agency.example"];
const AT_ONCE: usize = 8;
const MIB: usize = 1 << 20;
/// The budget of the doors, and what lies beside it.
const BUDGET: usize = 512 + 64;
/// What the gateway gets in T34.
const CAP_MIB: usize = 256;
const CLIENTS: usize = 24;

#[test]
fn large_messages_at_once_stay_within_the_budget_and_are_unchanged() {
    let mib: usize = env::var("OUTGATE_LARGE").map_or(8, |mib| mib.parse().expect("MiB"));
    let hop = Hop::start();
    let gateway = Gateway::with(hop.address(), Setup { top: "mode = \"watch\"", ..Setup::default() });
    let messages: Vec<_> = (0..AT_ONCE).map(|number| large(number, mib * MIB)).collect();
    let done = AtomicBool::new(false);
    let peak = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(gateway.resident() as usize / MIB, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        let clients: Vec<_> = messages
            .iter()
            .map(|message| scope.spawn(|| until_taken(&gateway, message, Duration::from_secs(120))))
            .collect();
        for client in clients {
            client.join().expect("each is taken in the end");
        }
        done.store(true, Ordering::Relaxed);
    });
    let changed = messages.iter().enumerate().filter(|(number, message)| {
        let arrived = hop.with_number(number);
        arrived.len() != 1 || below_trace(&arrived[0].bytes) != &message[..]
    });
    let (changed, peak) = (changed.count(), peak.load(Ordering::Relaxed));
    println!("T33 messages={AT_ONCE} of {mib} MiB at once: changed={changed} peak={peak} MiB");
    assert_eq!(changed, 0);
    assert!(peak <= BUDGET, "{peak}");
}

#[test]
fn where_memory_is_little_mail_is_refused_and_nobody_is_killed() {
    let seconds: u64 = env::var("OUTGATE_CAPPED").map_or(6, |seconds| seconds.parse().expect("seconds"));
    let Some(group) = Group::limited(CAP_MIB * MIB) else {
        println!("skipped: no control group for memory can be made here (needs root)");
        return;
    };
    let hop = Hop::start();
    let enter = format!("echo $$ > {} && exec \"$@\"", group.processes().display());
    let under = ["sh", "-c", &enter, "sh"].map(String::from).into();
    let gateway = Gateway::with(hop.address(), Setup { under, ..Setup::default() });
    let messages: Vec<_> = (0..CLIENTS).map(|number| large(number, (1 + number % 24) * MIB)).collect();
    let (taken, shed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let until = Instant::now() + Duration::from_secs(seconds);
    thread::scope(|scope| {
        for message in &messages {
            let (gateway, taken, shed) = (&gateway, &taken, &shed);
            scope.spawn(move || {
                while Instant::now() < until {
                    match hand_in_once(gateway, message) {
                        Some(answer) if answer.starts_with("250") => taken.fetch_add(1, Ordering::Relaxed),
                        _ => {
                            thread::sleep(Duration::from_millis(20));
                            shed.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
    });
    let (taken, shed, killed) = (taken.into_inner(), shed.into_inner(), group.kills());
    let (arrived, held) = (hop.arrived().len(), gateway.cases().len());
    println!("T34 limit={CAP_MIB} MiB seconds={seconds} taken={taken} held={held} shed={shed} killed={killed}");
    assert_eq!(killed, 0);
    assert!(taken > 0 && shed > 0, "it was full load");
    assert_eq!(arrived + held, taken);
    assert!(hand_in(gateway.door(), BEN, CLAIMS, &letter("after", "The parcel is here.")).starts_with("250"));
    assert!(!gateway.revive(), "it is the process that began");
}

/// A message with an attachment of random bytes.
fn large(number: usize, bytes: usize) -> Vec<u8> {
    let mut dice = crate::support::Dice::new(7 + number as u64);
    let line: String = (0..76)
        .map(|_| {
            char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[dice.below(64) as usize])
        })
        .collect();
    let head = format!(
        "X-Number: {number}\r\nFrom: Ben Okafor <{BEN}>\r\nTo: claims@agency.example\r\nSubject: number {number}\r\nMIME-Version: 1.0\r\n\
         Date: Thu, 04 Jun 2026 14:00:00 +0100\r\nMessage-ID: <large-{number}@ours.example>\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nThe photo is here.\r\n\
         --b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    );
    let mut message = head.into_bytes();
    while message.len() < bytes {
        message.extend_from_slice(line.as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"--b--\r\n");
    message
}

fn hand_in_once(gateway: &Gateway, message: &[u8]) -> Option<String> {
    let mut client = Client::connect(gateway.door()).ok()?;
    let answer = client.send(BEN, CLAIMS, message).ok()?;
    // A client that has heard its answer, so that the same message again is one of its own.
    client.say("QUIT").ok()?;
    Some(answer)
}

fn until_taken(gateway: &Gateway, message: &[u8], patience: Duration) {
    crate::support::wait_for("the message is taken", patience, || {
        hand_in_once(gateway, message).filter(|answer| answer.starts_with("250"))
    });
}

/// A control group with a limit of memory; it goes with this.
struct Group {
    at: PathBuf,
    unified: bool,
}

impl Group {
    fn limited(bytes: usize) -> Option<Self> {
        let name = format!("outgate-test-{}", std::process::id());
        // Version 1 has a tree for memory; version 2 has one for all.
        let unified = !PathBuf::from("/sys/fs/cgroup/memory").is_dir();
        let root = PathBuf::from(if unified { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/memory" });
        let group = Self { at: root.join(name), unified };
        fs::create_dir(&group.at).ok()?;
        let limit = group.at.join(if unified { "memory.max" } else { "memory.limit_in_bytes" });
        fs::write(limit, bytes.to_string()).ok()?;
        Some(group)
    }

    fn processes(&self) -> PathBuf {
        self.at.join("cgroup.procs")
    }

    /// How many processes of it the kernel has killed for memory.
    fn kills(&self) -> u64 {
        let events =
            fs::read_to_string(self.at.join(if self.unified { "memory.events" } else { "memory.oom_control" }));
        let events = events.expect("the group's events");
        let line = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.map_or(0, |count| count.trim().parse().expect("a number"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes end a moment before this, or their end is still under way.
        for _ in 0..50 {
            if fs::remove_dir(&self.at).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
