//! Mail from outside for our own people passes as it came, whatever stands in it; what our people send is judged.

use crate::support::{Client, Dice, Gateway, Hop, below_trace, fixture, fixtures, hand_in, number};
use std::{collections::HashMap, env};

/// From a stranger, to us: the fixtures' own people become strangers, lines of random bytes make each another.
fn incoming(count: usize) -> Vec<Vec<u8>> {
    let fixtures = fixtures();
    let mut dice = Dice::new(42);
    let mut messages = Vec::new();
    for at in 0..count {
        let (_, bytes) = &fixtures[at % fixtures.len()];
        let mut message = format!("X-Number: {at}\r\n").into_bytes();
        message.extend(replaced(bytes, b"ours.example", b"else.example"));
        if at >= fixtures.len() {
            for _ in 0..dice.below(20) {
                let line = (0..dice.below(200)).map(|_| match dice.below(256) as u8 {
                    b'\r' | b'\n' | 0 => b'.',
                    byte => byte,
                });
                message.extend(line);
                message.extend_from_slice(b"\r\n");
            }
        }
        messages.push(message);
    }
    messages
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len().saturating_sub(old.len()) {
        if bytes[at..].starts_with(old) {
            bytes[at..at + old.len()].copy_from_slice(new);
        }
    }
    bytes
}

#[test]
fn incoming_mail_is_not_changed_and_outgoing_is_judged() {
    let count = env::var("OUTGATE_INCOMING").map_or(200, |count| count.parse().expect("a number"));
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let messages = incoming(count);
    let mut client = Client::connect(gateway.door()).unwrap();
    for message in &messages {
        let answer = client.send("rosa.lind@client.example", &["ada.fenwick@ours.example"], message).unwrap();
        assert!(answer.starts_with("250"), "{answer}");
    }
    client.say("QUIT").unwrap();
    let arrived: HashMap<String, Vec<u8>> =
        hop.arrived().into_iter().filter_map(|mail| Some((number(&mail.bytes)?, mail.bytes))).collect();
    assert_eq!(arrived.len(), count);
    let changed = messages.iter().filter(|message| {
        let arrived = &arrived[&number(message).unwrap()];
        below_trace(arrived) != &message[..]
    });
    let changed = changed.count();
    println!("incoming mail: {changed} of {count} changed below the trace header");
    assert_eq!(changed, 0);
    assert!(gateway.cases().is_empty());

    // The same stranger's name on mail that leaves, and one of ours, are judged.
    let bytes = fixture("12-nino-in-text");
    for sender in ["ben.okafor@ours.example", "rosa.lind@client.example"] {
        assert!(hand_in(gateway.door(), sender, &["claims@agency.example"], &bytes).starts_with("250"));
    }
    let inside_and_outside = ["ada.fenwick@ours.example", "claims@agency.example"];
    let another = String::from_utf8(bytes).unwrap().replace("<demo-12", "<another-12");
    assert!(
        hand_in(gateway.door(), "ben.okafor@ours.example", &inside_and_outside, another.as_bytes()).starts_with("250")
    );
    assert_eq!(gateway.cases().len(), 3, "all three wait");
}
