//! The relay client against a next hop that misbehaves in every way a script can say.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod faults;
mod hop;
mod login;
mod measure;
mod outbox;
mod paths;
mod routes;
mod tls;

use hop::{GREETING, Hop};
use outgate::{
    delivery::relay::{Outgoing, Relay, RelaySettings, RelayTransaction, Sent, TlsMode},
    intake::{NextHop, Transaction},
    mail::{Address, Envelope, ForwardPath, Parameter, ReversePath, wire::Reply},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

const MESSAGE: &[u8] = b"Subject: x\r\n\r\n.hello\r\n";
const ON_WIRE: &[u8] = b"Received: by gate.example\r\nSubject: x\r\n\r\n..hello\r\n.\r\n";
const ENVELOPE: &str = "C MAIL FROM:<ann@ours.example>
    c RCPT TO:<bob@else.example>
    S 250 2.1.0 Ok
    S 250 2.1.5 Ok";
const DATA: &str = "C DATA
    S 354 go
    BODY
    S 250 2.0.0 queued";

fn settings(address: &str, tls: TlsMode) -> RelaySettings {
    let mut settings = RelaySettings::new(address, tls, "gate.example");
    let limits = &mut settings.limits;
    for limit in [&mut limits.banner, &mut limits.ehlo, &mut limits.tls, &mut limits.envelope, &mut limits.data] {
        *limit = Duration::from_secs(10);
    }
    limits.connect = Duration::from_secs(2);
    settings
}

fn relay(hop: &Hop) -> Relay {
    Relay::new(settings(&hop.address, TlsMode::None)).unwrap()
}

/// Does not wait long for a hop that says nothing.
fn impatient(hop: &Hop) -> Relay {
    let mut settings = settings(&hop.address, TlsMode::None);
    settings.limits.banner = Duration::from_millis(500);
    settings.limits.envelope = Duration::from_millis(500);
    Relay::new(settings).unwrap()
}

fn path(address: &str) -> ForwardPath {
    ForwardPath { address: Address::parse(address).unwrap(), parameters: Vec::new() }
}

fn sender(parameters: &[&str]) -> ReversePath {
    ReversePath {
        address: Some(Address::parse("ann@ours.example").unwrap()),
        parameters: parameters.iter().map(|written| Parameter::new(*written)).collect(),
    }
}

fn outgoing() -> Outgoing {
    Outgoing::bytes(Arc::from(&b"Received: by gate.example\r\n"[..]), MESSAGE.to_vec())
}

fn in_seconds(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

/// A transaction to one recipient, and what the hop said to it.
async fn begun(relay: &Relay) -> (RelayTransaction, Reply) {
    let mut transaction = relay.begin(sender(&[]), None);
    let replies = transaction.recipients(&[path("bob@else.example")]).await;
    assert_eq!(replies.len(), 1);
    (transaction, replies.into_iter().next().unwrap())
}

async fn sent(transaction: RelayTransaction) -> Sent {
    transaction.send(outgoing(), in_seconds(5)).await
}

fn code(sent: &Sent) -> u16 {
    match sent {
        Sent::Replied(reply) | Sent::NotSent(reply) | Sent::Unknown(reply) => reply.code(),
        Sent::Late(_) => 0,
    }
}

fn script(parts: &[&str]) -> String {
    parts.join("\n")
}

fn envelope(recipients: &[&str]) -> Envelope {
    Envelope { sender: sender(&[]), recipients: recipients.iter().map(|address| path(address)).collect() }
}
