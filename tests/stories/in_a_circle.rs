//! T25: two gateways that hand all mail to each other, and a thousand forged senders. Nothing circles for long, and nobody
//! outside gets a letter for what they did not send.

use crate::support::{Client, Gateway, Hop, Setup, hand_in, letter, wait_for};
use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const BEN: &str = "ben.okafor@ours.example";
const CLAIMS: &[&str] = &["claims@agency.example"];
const NINO: &str = "Her National Insurance number is QQ 12 34 56 C.";
const FORGED: usize = 1_000;
/// One of so many recipients' domains refuses for good.
const REFUSES: &str = "nobody@agency.example";

/// Leads connections on to an address that is not known when it begins to listen.
struct Corner {
    address: SocketAddr,
    target: Arc<OnceLock<SocketAddr>>,
    led: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Corner {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (target, led, ended) = (Arc::default(), Arc::default(), Arc::default());
        let mut corner = Self { address, target, led, ended, listening: None };
        let (target, led, ended) = (corner.target.clone(), corner.led.clone(), corner.ended.clone());
        corner.listening = Some(thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let Ok((one, _)) = listener.accept() else {
                    thread::sleep(Duration::from_millis(2));
                    continue;
                };
                let Some(other) = target.get().and_then(|target| TcpStream::connect(target).ok()) else { continue };
                one.set_nonblocking(false).unwrap();
                led.fetch_add(1, Ordering::Relaxed);
                for (mut from, mut to) in [(one.try_clone().unwrap(), other.try_clone().unwrap()), (other, one)] {
                    thread::spawn(move || {
                        // Either side may be gone first.
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
            }
        }));
        corner
    }
}

impl Drop for Corner {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

/// Each asks the other about the recipient while it is asked itself, until one has no connection left; then all of them
/// answer in their turn. Nobody has taken the message, so nobody bounces it.
#[test]
fn two_gateways_that_point_at_each_other_take_nothing_and_recover() {
    let corner = Corner::listen();
    let one = Gateway::start(corner.address);
    let other = Gateway::start(one.door());
    corner.target.set(other.door()).unwrap();
    let asked = Instant::now();
    let answer = hand_in(one.door(), BEN, CLAIMS, &letter("circle", "The parcel is here."));
    let took = asked.elapsed();
    assert!(answer.starts_with('4') || answer.starts_with("554 5.4.6"), "{answer}");
    // Somebody mends it.
    let hop = Hop::start();
    one.configure(hop.address(), &Setup::default());
    one.reload();
    let mended = Instant::now();
    wait_for("its retry is taken", Duration::from_secs(60), || {
        let answer = hand_in(one.door(), BEN, CLAIMS, &letter("circle", "The parcel is here."));
        answer.starts_with("250").then_some(())
    });
    let led = corner.led.load(Ordering::Relaxed);
    println!(
        "T25 circle: {:?} after {took:?}, {led} connections; taken {:?} after it was mended",
        answer.get(..9),
        mended.elapsed()
    );
    assert_eq!(hop.with_number("circle").len(), 1);
    assert_eq!(one.cases().len() + other.cases().len(), 0);
}

#[test]
fn a_thousand_forged_senders_hear_nothing() {
    let hop = Hop::start();
    let gateway = Gateway::with(hop.address(), Setup { networks: "127.0.0.1/32", ..Setup::default() });
    hop.change(|manner| {
        manner.refused.insert(REFUSES.into(), "550 5.1.1 no such person".into());
    });
    let texts = [NINO, "The parcel is here."];
    let mut held = 0;
    let mut client = Client::connect(gateway.door()).unwrap();
    for number in 0..FORGED {
        let forged = format!("victim{number}@elsewhere.example");
        let message = String::from_utf8(letter(number, texts[number % 2])).unwrap();
        let message = message.replace(BEN, &forged);
        let to: &[&str] = if number % 3 == 0 { &[REFUSES] } else { CLAIMS };
        let answer = client.send(&forged, to, message.as_bytes()).unwrap();
        held += usize::from(answer.contains("Taken as"));
    }
    // What was held goes out at last, or not: the hop refuses some, of which nobody outside is told either.
    let cases: Vec<_> = gateway.cases();
    assert!(!cases.is_empty() && held == cases.len());
    for case in cases.iter().take(40) {
        gateway.done(&["case", "release", case["id"].as_str().unwrap()]);
    }
    wait_for("what was released is done with", Duration::from_secs(20), || {
        let cases = gateway.cases();
        let done = cases.iter().filter(|case| case["state"] == "delivered" || case["state"] == "failed").count();
        (done >= 40).then_some(())
    });
    let letters = hop.arrived().iter().filter(|one| one.sender.is_empty()).count();
    let outside = hop
        .arrived()
        .iter()
        .filter(|one| one.sender.is_empty() && one.recipients.iter().any(|to| !to.ends_with("@ours.example")))
        .count();
    println!("T25 forged={FORGED} held={held} letters={letters} to outside={outside}");
    assert_eq!(outside, 0);
}
