//! A next hop that puts a message off ten times (greylisting, RFC 6647) and then takes it: the client tries again each
//! time, and what the message sets off is set off once.

use crate::support::{Client, Gateway, Hop, hand_in, letter};

const BEN: &str = "ben.okafor@ours.example";
const CLAIMS: &[&str] = &["claims@agency.example"];
const NOTICE: &str = "This message may be confidential.";
const TRIES: usize = 10;

/// Tries until the answer is no 4yz. How often that was one.
fn persist(gateway: &Gateway, message: &[u8]) -> usize {
    for put_off in 0..=TRIES {
        let answer = hand_in(gateway.door(), BEN, CLAIMS, message);
        if answer.starts_with("250") {
            return put_off;
        }
        assert!(answer.starts_with("451 4.7.1 Greylisted"), "the hop's own words: {answer}");
    }
    panic!("the hop never took it");
}

/// How many messages were counted so.
fn counted(gateway: &Gateway, disposition: &str) -> u64 {
    let metrics = gateway.health("/metrics");
    let line = metrics
        .lines()
        .find(|line| line.starts_with("outgate_messages_total{") && line.contains(&format!("\"{disposition}\"")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

#[test]
fn one_count_one_notice_one_delivery() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    for (at, greylisted, put_off) in [("rcpt", (TRIES, 0), 0), ("dot", (0, TRIES), TRIES)] {
        let before = (counted(&gateway, "relay"), counted(&gateway, "try-later"));
        hop.change(|manner| manner.greylisted = greylisted);
        assert_eq!(persist(&gateway, &letter(at, "The parcel is here.")), TRIES);
        let [arrived] = &hop.with_number(at)[..] else { panic!("not one copy of {at}") };
        let text = String::from_utf8_lossy(&arrived.bytes);
        assert_eq!(text.matches(NOTICE).count(), 1, "{text}");
        assert_eq!(text.matches("(outgate ").count(), 1, "one trace of ours: {text}");
        let after = (counted(&gateway, "relay"), counted(&gateway, "try-later"));
        assert_eq!((after.0 - before.0, after.1 - before.1), (1, put_off as u64), "{at}");
    }
    println!("greylisted at RCPT and at the dot, {TRIES} times each: 1 count, 1 notice, 1 delivery");
}

/// The hop has no say in a hold: one case and one letter, however often the client has to ask before it hears so.
#[test]
fn a_held_message_whose_client_breaks_off_ten_times() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let message = letter("held", "Her National Insurance number is QQ 12 34 56 C.");
    for _ in 0..TRIES {
        Client::connect(gateway.door()).unwrap().send_and_drop(BEN, CLAIMS, &message);
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    assert!(hand_in(gateway.door(), BEN, CLAIMS, &message).starts_with("250"));
    assert_eq!(gateway.cases().len(), 1);
    hop.wait_for("the letter to the sender", |arrived| arrived.recipients == [BEN]);
    std::thread::sleep(std::time::Duration::from_secs(1));
    let letters = hop.arrived().iter().filter(|arrived| arrived.recipients == [BEN]).count();
    assert_eq!(letters, 1);
    assert_eq!(counted(&gateway, "hold"), 1);
    println!("held, answer not heard {TRIES} times: 1 case, 1 letter, 1 count");
}
