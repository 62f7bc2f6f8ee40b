//! The seed messages through each real server before outgate: each is relayed, held or returned as it is at outgate's own
//! door, and what arrives has the bytes that outgate makes of what the server relays by itself.

use super::{
    client::{Client, Reply},
    fronts::{Form, Front},
    gate::Gate,
    group::eventually,
    sink::{Kept, Sink},
};
use mail_parser::MessageParser;
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Relayed,
    Held,
    Returned,
}

/// How the baseline judges the messages of `fixtures/demo`; what is not named here is relayed.
const NOT_RELAYED: [(&str, Fate); 8] = [
    ("12-nino-in-text", Fate::Held),
    ("13-nino-in-html", Fate::Held),
    ("14-payment-card", Fate::Held),
    ("15-iban", Fate::Held),
    ("16-nhs-number", Fate::Held),
    ("17-abusive", Fate::Held),
    ("18-chain-letter", Fate::Returned),
    ("26-group", Fate::Held),
];

struct Seed {
    name: String,
    sender: String,
    recipients: Vec<String>,
    bytes: Vec<u8>,
    expected: Fate,
}

fn seeds() -> Vec<Seed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let words = fs::read_to_string(root.join("wordlists/en/abuse.txt")).unwrap();
    let (_, strong) = words.split_once("severity: strong]\n").unwrap();
    let word = strong.split(['\n', ',', '+']).next().unwrap().trim();
    let mut seeds: Vec<Seed> = fs::read_dir(root.join("fixtures/demo"))
        .unwrap()
        .flatten()
        .map(|entry| {
            let name = entry.path().file_stem().unwrap().to_string_lossy().into_owned();
            let bytes = replaced(fs::read(entry.path()).unwrap(), b"{words.abuse}", word.as_bytes());
            let message = MessageParser::default().parse(&bytes).unwrap();
            let path = |address: &mail_parser::Addr| format!("<{}>", address.address().unwrap());
            let machine = name.contains("delivery-report");
            let sender = if machine { "<>".into() } else { path(message.from().unwrap().first().unwrap()) };
            let fields = [message.to(), message.cc(), message.bcc()];
            let recipients =
                fields.into_iter().flatten().flat_map(|field| field.iter().map(path).collect::<Vec<_>>()).collect();
            let expected =
                NOT_RELAYED.iter().find(|(other, _)| *other == name).map_or(Fate::Relayed, |(_, fate)| *fate);
            Seed { name, sender, recipients, bytes, expected }
        })
        .collect();
    seeds.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(seeds.len(), 30);
    seeds
}

pub fn replaced(bytes: Vec<u8>, old: &[u8], new: &[u8]) -> Vec<u8> {
    match memchr::memmem::find(&bytes, old) {
        Some(at) => [&bytes[..at], new, &bytes[at + old.len()..]].concat(),
        None => bytes,
    }
}

impl Seed {
    fn hand_in(&self, port: u16) -> Reply {
        self.hand_in_as(port, &self.bytes)
    }

    fn hand_in_as(&self, port: u16, bytes: &[u8]) -> Reply {
        let body = if bytes.is_ascii() { "" } else { " BODY=8BITMIME" };
        let recipients: Vec<&str> = self.recipients.iter().map(String::as_str).collect();
        let reply = Client::greet(port).0.hand_in(&format!("{}{body}", self.sender), &recipients, bytes);
        assert!(reply.code == 250 || reply.is(550, "5.7.1"), "{}: {reply:?}", self.name);
        reply
    }

    fn id(&self) -> String {
        format!("demo-{}@", self.name)
    }

    /// Those that are this message, not those that quote it.
    fn arrived(&self, world: &Sink) -> Vec<Kept> {
        let line = format!("message-id: <{}", self.id());
        world.kept().into_iter().filter(|kept| kept.head().to_ascii_lowercase().contains(&line)).collect()
    }
}

/// Below the lines that servers put on top.
pub fn below_trace(bytes: &[u8]) -> &[u8] {
    let mut at = 0;
    while ["Received:", "Return-Path:"].iter().any(|name| bytes[at..].starts_with(name.as_bytes())) {
        loop {
            at += memchr::memchr(b'\n', &bytes[at..]).unwrap() + 1;
            if !matches!(bytes.get(at), Some(b' ' | b'\t')) {
                break;
            }
        }
    }
    &bytes[at..]
}

/// What outgate makes of each message as the server relays it by itself; none where it does not relay it.
fn at_the_door(form: Form, seeds: &[Seed]) -> BTreeMap<String, Option<Vec<u8>>> {
    let between = Sink::listen();
    let alone = form.alone(between.port);
    for seed in seeds {
        assert_eq!(seed.hand_in(alone.port).code, 250);
    }
    eventually("the server relays all by itself", 60, || between.kept().len() >= seeds.len());
    let world = Sink::listen();
    let gate = Gate::before(world.port);
    let mut made = BTreeMap::new();
    for seed in seeds {
        let relayed = seed.arrived(&between).remove(0).bytes;
        seed.hand_in_as(gate.port, &relayed);
        let arrived = seed.arrived(&world).pop().map(|kept| below_trace(&kept.bytes).to_vec());
        assert_eq!(arrived.is_some(), seed.expected == Fate::Relayed, "{} at the door", seed.name);
        made.insert(seed.name.clone(), arrived);
    }
    made
}

/// What became of a message, if that is known yet.
fn fate(front: &Front, seed: &Seed, cases: &[serde_json::Value], refused: &[&str]) -> Vec<Fate> {
    let mut fates = vec![Fate::Relayed; seed.arrived(&front.world).len()];
    let held = cases.iter().filter(|case| case["message_id"].as_str().is_some_and(|id| id.contains(&seed.id())));
    fates.extend(held.map(|_| Fate::Held));
    let bounced = front.world.with(&seed.id()).into_iter().filter(|kept| kept.sender.starts_with("<>"));
    let returned = bounced.filter(|kept| kept.contains("5.7.1") && kept.contains("message/delivery-status")).count();
    fates.extend(vec![Fate::Returned; returned + usize::from(refused.contains(&seed.name.as_str()))]);
    fates
}

fn run(form: Form, same_bytes: bool) {
    let seeds = seeds();
    let at_the_door = at_the_door(form, &seeds);
    let front = form.start();
    let started = Instant::now();
    let replies: Vec<(&str, u16)> =
        seeds.iter().map(|seed| (seed.name.as_str(), seed.hand_in(front.port).code)).collect();
    let refused: Vec<&str> = replies.iter().filter(|(_, code)| *code == 550).map(|(name, _)| *name).collect();
    let known = || {
        let cases = front.gate.cases();
        seeds.iter().map(|seed| fate(&front, seed, &cases, &refused)).collect::<Vec<_>>()
    };
    while known().iter().any(Vec::is_empty) && started.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(200));
    }
    // What arrived twice, or both waits and left, would show by now.
    thread::sleep(Duration::from_millis(500));
    let mut differ = Vec::new();
    for (seed, fates) in seeds.iter().zip(known()) {
        let about = || front.world.with(&seed.id()).iter().map(Kept::text).collect::<String>();
        assert_eq!(fates, [seed.expected], "{} through {form:?}; what arrived about it:\n{}", seed.name, about());
        if let (true, Some(made)) = (same_bytes, &at_the_door[&seed.name]) {
            let arrived = seed.arrived(&front.world).remove(0).bytes;
            if below_trace(&arrived) != &made[..] {
                differ.push((
                    &seed.name,
                    String::from_utf8_lossy(&arrived).into_owned(),
                    String::from_utf8_lossy(made).into_owned(),
                ));
            }
        }
    }
    for (name, arrived, made) in &differ {
        println!("{name} arrived as:\n{arrived}\n--- and outgate's own door makes:\n{made}");
    }
    let count = |fate: Fate| seeds.iter().filter(|seed| seed.expected == fate).count();
    println!(
        "in-front form={form:?} messages={} relayed={} held={} returned={} other-bytes={}",
        seeds.len(),
        count(Fate::Relayed),
        count(Fate::Held),
        count(Fate::Returned),
        if same_bytes { differ.len().to_string() } else { "not compared (it rewrites headers)".into() }
    );
    assert!(differ.is_empty());
}

#[test]
fn postfix_smarthost() {
    run(Form::PostfixSmarthost, true);
}

#[test]
fn postfix_content_filter() {
    run(Form::PostfixContentFilter, true);
}

#[test]
fn postfix_proxy_filter() {
    run(Form::PostfixProxyFilter, true);
}

#[test]
fn exim() {
    run(Form::Exim, true);
}

#[test]
fn opensmtpd() {
    run(Form::OpenSmtpd, true);
}

#[test]
fn sendmail() {
    run(Form::Sendmail, false);
}

#[test]
fn postfix_milter() {
    run(Form::PostfixMilter, true);
}

#[test]
fn sendmail_milter() {
    run(Form::SendmailMilter, false);
}
