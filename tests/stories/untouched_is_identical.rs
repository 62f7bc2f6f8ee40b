//! A message that no rule edits leaves byte for byte as it came, below our trace header: the fixtures, and with
//! `OUTGATE_CORPORA` each message there that a strict SMTP client can send.

use crate::support::{Client, Gateway, Hop, Setup, below_trace, corpora, fixtures};
use std::{env, path::Path};

const NOTHING: &str = "organisation = \"One that asks for nothing\"\nown-domains = [\"ours.example\"]\n";

fn sendable(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(at, &byte)| byte != 0 && (byte != b'\r' || bytes.get(at + 1) == Some(&b'\n')))
}

#[test]
fn every_message_that_can_be_sent_leaves_as_it_came() {
    let hop = Hop::start();
    let files = vec![("policies/nothing/policy.toml", NOTHING.to_string())];
    let gateway = Gateway::with(hop.address(), Setup { policies: &["policies/nothing"], files, ..Setup::default() });
    let mut messages = fixtures();
    if let Some(folder) = env::var_os("OUTGATE_CORPORA") {
        corpora(&Path::new(&folder).join("mail"), &mut messages);
    }
    let mut client = Client::connect(gateway.door()).unwrap();
    let (mut sent, mut refused, mut changed) = (0, 0, Vec::new());
    for (name, message) in &messages {
        let answer = client.send("ben.okafor@ours.example", &["claims@agency.example"], message);
        let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        if !sendable(message) {
            assert!(answer.starts_with("550 5.6.0"), "{name}: {answer}");
            refused += 1;
            continue;
        }
        assert!(answer.starts_with("250"), "{name}: {answer}");
        sent += 1;
        let arrived = hop.arrived();
        assert_eq!(arrived.len(), sent, "{name}");
        if below_trace(&arrived[sent - 1].bytes) != &message[..] {
            changed.push(name);
        }
    }
    println!("untouched: {} of {sent} changed below the trace header, {refused} not sendable", changed.len());
    assert!(changed.is_empty(), "{changed:?}");
}
