//! T5: the disk fills up under load. What was answered 250 stays, new mail is told to come again, the desk can still erase,
//! and with room there is service again, without a hand.

use crate::support::{Client, Gateway, Hop, Setup, SmallDisk, Tried, hand_in, letter, wait_for};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

const FROM: &str = "ben.okafor@ours.example";
const TO: &[&str] = &["claims@agency.example"];
const HELD: &str = "Her NI number is QQ 12 34 56 C.";

#[test]
fn a_full_disk_loses_nothing_and_leaves_room_to_erase() {
    let hop = Hop::start();
    let disk = Some((|at| SmallDisk::mount(at, 32)) as fn(&std::path::Path) -> SmallDisk);
    let gateway = Gateway::with(hop.address(), Setup { disk, ..Setup::default() });
    for number in 0..8 {
        assert!(hand_in(gateway.door(), FROM, TO, &letter(number, HELD)).starts_with("250"));
    }

    let stop = AtomicBool::new(false);
    let held: Vec<u32> = thread::scope(|scope| {
        let clients: Vec<_> = [1_000, 2_000]
            .map(|first| {
                scope.spawn({
                    let (gateway, stop) = (&gateway, &stop);
                    move || hold_until(gateway, first, stop)
                })
            })
            .into();
        thread::sleep(Duration::from_millis(500));
        gateway.disk().fill();
        thread::sleep(Duration::from_secs(2));
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().expect("a client that ends")).collect()
    });

    // Somebody else has taken the very last byte.
    gateway.disk().fill();
    let mut client = Client::connect(gateway.door()).expect("the door is open");
    let asked = Instant::now();
    let refused = client.say(&format!("MAIL FROM:<{FROM}>")).expect("an answer");
    assert!(refused.starts_with("452 4.3.1") && asked.elapsed() < Duration::from_secs(1), "{refused}");
    assert!(gateway.health("/readyz").starts_with("HTTP/1.1 503"), "it is not ready");

    let id = gateway.case("number 3")["id"].as_str().expect("an id").to_string();
    gateway.disk().fill();
    let said = gateway.done(&["case", "erase", &id, "--reason", "the disk is full"]);
    gateway.becomes(&id, "erased");

    gateway.disk().empty();
    let freed = Instant::now();
    wait_for("service again", Duration::from_secs(5), || {
        hand_in(gateway.door(), FROM, TO, &letter(9_999, HELD)).starts_with("250").then_some(())
    });
    let back = freed.elapsed();
    let cases = gateway.cases();
    let kept = |number: &u32| cases.iter().any(|case| case["subject"] == format!("number {number}"));
    let lost = held.iter().filter(|number| !kept(number)).count();
    gateway.done(&["audit", "verify"]);
    println!(
        "T5 held under load={} lost={lost} back after {back:?}; erase on the full disk: {}",
        held.len(),
        said.trim()
    );
    assert_eq!(lost, 0);
    assert!(!held.is_empty(), "there was load");
}

/// The numbers that were answered 250.
fn hold_until(gateway: &Gateway, first: u32, stop: &AtomicBool) -> Vec<u32> {
    let mut held = Vec::new();
    let mut client = Client::connect(gateway.door()).expect("the door is open");
    for number in first.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let asked = Instant::now();
        let answer = match client.send(FROM, TO, &letter(number, HELD)) {
            Ok(answer) => answer,
            // Too many refusals in one session end it.
            Err(Tried::BeforeDot(_)) => {
                client = Client::connect(gateway.door()).expect("the door is open");
                continue;
            }
            Err(error) => panic!("{error:?}"),
        };
        if answer.starts_with("250") {
            held.push(number);
        } else {
            assert!(answer.starts_with('4'), "{answer}");
            assert!(asked.elapsed() < Duration::from_secs(2), "{answer} took {:?}", asked.elapsed());
            thread::sleep(Duration::from_millis(20));
        }
    }
    held
}
