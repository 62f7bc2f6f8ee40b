//! T4 and T9: the disk refuses to sync, is slow, or another process holds the database. Nothing is accepted that is not
//! durable, nobody else waits, and the service comes back by itself.

use crate::support::{Client, Gateway, Hop, Setup, Strace, hand_in, letter, wait_for};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const FROM: &str = "ben.okafor@ours.example";
const TO: &[&str] = &["claims@agency.example"];
const HELD: &str = "Her NI number is QQ 12 34 56 C.";
const PLAIN: &str = "The parcel is here.";

fn send(gateway: &Gateway, number: u32, text: &str) -> (String, Duration) {
    let asked = Instant::now();
    let answer = hand_in(gateway.door(), FROM, TO, &letter(number, text));
    (answer, asked.elapsed())
}

fn subjects(gateway: &Gateway) -> usize {
    gateway.cases().len()
}

#[test]
fn after_a_failed_sync_nothing_is_written_until_a_start_has_checked() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    assert!(send(&gateway, 1, HELD).0.starts_with("250"));
    let strace = Strace::inject(gateway.pid(), "fsync:error=EIO");
    let (answer, _) = send(&gateway, 2, HELD);
    assert!(answer.starts_with("451"), "{answer}");
    // The hop has it before its record is written, so it is answered 250 all the same.
    let (answer, _) = send(&gateway, 3, PLAIN);
    assert_eq!(answer.starts_with("250"), hop.with_number(3).len() == 1, "{answer}");
    drop(strace);
    let (answer, took) = send(&gateway, 4, PLAIN);
    assert!(answer.starts_with("451") && took < Duration::from_secs(1), "what the disk has is not known: {answer}");
    assert!(hop.with_number(4).is_empty());
    assert!(!gateway.ends().success(), "whoever started it starts it again");
    gateway.launch();
    assert!(gateway.log().contains("the whole store is checked"));
    for (number, text) in [(2, HELD), (4, PLAIN)] {
        assert!(send(&gateway, number, text).0.starts_with("250"), "{number}");
    }
    let cases = subjects(&gateway);
    gateway.done(&["audit", "verify"]);
    println!("T4 sync of the log fails: 451, ended, checked, 250; cases={cases} of 2");
    assert_eq!(cases, 2);
}

#[test]
fn a_sealed_file_that_could_not_be_synced_is_never_named() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let mut refused = 0;
    for inject in ["fsync:error=EIO", "rename:error=EIO", "fsync:error=EDQUOT"] {
        let strace = Strace::inject(gateway.pid(), inject);
        let mut client = Client::connect(gateway.door()).ok();
        let answer = client.as_mut().and_then(|client| client.send(FROM, TO, &letter(1, HELD)).ok());
        drop(strace);
        assert!(answer.as_ref().is_none_or(|answer| answer.starts_with('4')), "{inject}: {answer:?}");
        refused += 1;
    }
    assert_eq!(subjects(&gateway), 0);
    wait_for("service again", Duration::from_secs(5), || send(&gateway, 2, HELD).0.starts_with("250").then_some(()));
    println!("T4 sealed files: refused={refused} of 3, cases from them=0, back by itself");
    assert_eq!(subjects(&gateway), 1);
}

#[test]
fn a_slow_disk_holds_up_only_those_who_wait_for_it() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let slow = Strace::inject(gateway.pid(), "fsync,fdatasync:delay_enter=8000000");
    let mut worst = Duration::ZERO;
    let mut refused = false;
    thread::scope(|scope| {
        // Its commit waits for the disk; the hop has it already.
        let waiting = scope.spawn(|| send(&gateway, 1, PLAIN));
        let until = Instant::now() + Duration::from_secs(8);
        while Instant::now() < until {
            let asked = Instant::now();
            let mut client = Client::connect(gateway.door()).expect("the door is open");
            // Once it is clear that the store does not follow, mail is refused before it is taken.
            let answer = client.say(&format!("MAIL FROM:<{FROM}>")).expect("an answer");
            refused |= answer.starts_with("451");
            client.say("NOOP").expect("an answer");
            client.say("QUIT").expect("an answer");
            worst = worst.max(asked.elapsed());
            thread::sleep(Duration::from_millis(100));
        }
        drop(slow);
        let (answer, took) = waiting.join().expect("an answer");
        println!(
            "slow disk: others answered within {worst:?}, refused at MAIL={refused}; the one that waited: {answer} after {took:?}"
        );
        assert!(answer.starts_with("250") && took > Duration::from_secs(7), "{answer} {took:?}");
    });
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    assert!(refused);
}

#[test]
fn while_another_process_holds_the_database_nothing_is_accepted() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    assert!(send(&gateway, 1, HELD).0.starts_with("250"));
    let lock = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); db.execute('BEGIN EXCLUSIVE'); \
                print('locked', flush=True); sys.stdin.readline(); db.execute('ROLLBACK')";
    let mut holder = Command::new("python3")
        .args(["-c", lock])
        .arg(gateway.data().join("outgate.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is installed");
    let mut said = String::new();
    BufReader::new(holder.stdout.take().expect("a pipe")).read_line(&mut said).expect("it locks");
    let (first, took) = send(&gateway, 2, HELD);
    assert!(first.starts_with("451") && took < Duration::from_secs(12), "{first} after {took:?}");
    for number in 3..8 {
        let (answer, took) = send(&gateway, number, PLAIN);
        assert!(answer.starts_with("451") && took < Duration::from_secs(1), "{answer} after {took:?}");
    }
    assert!(hop.arrived().iter().all(|arrived| arrived.sender.is_empty()), "only our own notice of the first");
    holder.stdin.take().expect("a pipe").write_all(b"\n").expect("it waits");
    holder.wait().expect("it ends");
    let freed = Instant::now();
    // What waits for the lock inside SQLite looks again within its own time.
    wait_for("service again", Duration::from_secs(10), || send(&gateway, 2, HELD).0.starts_with("250").then_some(()));
    println!(
        "T9 locked: first 451 after {took:?}, then at once; back after {:?}, cases={} of 2",
        freed.elapsed(),
        subjects(&gateway)
    );
    assert_eq!(subjects(&gateway), 2);
}

#[test]
fn clocks_that_jump_lose_and_expire_nothing() {
    let hop = Hop::start();
    let folder = tempfile::tempdir().expect("a folder");
    let clock = folder.path().join("clock");
    let set = |offset: &str| std::fs::write(&clock, format!("{offset}\n")).expect("a file");
    set("+0");
    let under = [
        "env",
        "LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "DONT_FAKE_MONOTONIC=1",
        "FAKETIME_NO_CACHE=1",
    ];
    let mut under: Vec<String> = under.map(String::from).into();
    under.push(format!("FAKETIME_TIMESTAMP_FILE={}", clock.display()));
    let gateway = Gateway::with(hop.address(), Setup { under, ..Setup::default() });
    assert!(send(&gateway, 1, HELD).0.starts_with("250"));
    assert!(send(&gateway, 2, HELD).0.starts_with("250"));
    let mut number = 10;
    for offset in ["+3600", "-3600", "+315360000", "-315360000", "+0"] {
        set(offset);
        for text in [PLAIN, HELD] {
            number += 1;
            let (answer, took) = send(&gateway, number, text);
            assert!(answer.starts_with("250") && took < Duration::from_secs(5), "{offset}: {answer} after {took:?}");
        }
    }
    // Put off while the clock was ahead, and due all the same when it is right again.
    hop.down();
    set("+315360000");
    let id = gateway.case("number 1")["id"].as_str().expect("an id").to_string();
    gateway.done(&["case", "release", &id, "--reason", "it may go"]);
    thread::sleep(Duration::from_secs(2));
    set("+0");
    hop.up();
    gateway.becomes(&id, "delivered");
    // Housekeeping comes once a minute; in the long form it comes while the clock is ten years ahead.
    if std::env::var_os("OUTGATE_CLOCK_MINUTE").is_some() {
        set("+315360000");
        thread::sleep(Duration::from_secs(65));
        assert!(gateway.log().contains("The clock has jumped ahead"));
    }
    let waiting = gateway.cases().iter().filter(|case| case["state"] == "waiting").count();
    gateway.done(&["audit", "verify"]);
    println!("T10 jumps=5 answered=12 of 12, waiting={waiting} of 6, released at the first right time, book whole");
    assert_eq!(waiting, 6);
}
