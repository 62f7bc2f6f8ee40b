//! A load whose every message is accounted for: clients send numbered messages and try each again until it has its 250; one
//! in eight is held. At the end each message that got 250 is at the hop or is a waiting case.
//!
//! A second copy is explained only where a fault broke an attempt behind its final dot: the hop may have said 250 before
//! our record of it was durable. A held message has no such moment: its case and its record are one commit.

use super::{Client, Gateway, Hop, Tried, letter, number};
use std::{
    collections::HashMap,
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

const CLIENTS: usize = 4;

/// What a client knows of one message in the end.
pub struct Told {
    number: u64,
    /// Its 250: names the submission.
    answer: String,
    /// Attempts that broke behind the final dot.
    broken: usize,
}

/// Where all that got 250 is.
pub struct Tally {
    pub acked: usize,
    pub held: usize,
    pub held_twice: usize,
    pub lost: usize,
    pub dup: usize,
    pub explained: usize,
    pub waiting: Vec<Waiting>,
}

/// A case that waits.
pub struct Waiting {
    pub id: String,
    pub number: u64,
}

/// Runs four clients until `faults` comes back.
pub fn under_load(gateway: &Gateway, faults: impl FnOnce()) -> Vec<Told> {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| client(gateway, &next, &stop))).collect();
        faults();
        thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().expect("a client that ends")).collect()
    })
}

impl Tally {
    pub fn of(told: &[Told], hop: &Hop, gateway: &Gateway) -> Self {
        let mut copies: HashMap<u64, usize> = HashMap::new();
        for arrived in hop.arrived() {
            if let Some(number) = number(&arrived.bytes) {
                *copies.entry(number.parse().expect("a number")).or_default() += 1;
            }
        }
        let cases = gateway.cases();
        let mut waiting = Vec::new();
        for case in cases.iter().filter(|case| case["state"] == "waiting") {
            let word = |name: &str| case[name].as_str().expect("text").to_string();
            let number = word("subject").strip_prefix("number ").and_then(|number| number.parse().ok());
            let number = number.expect("one of ours");
            *copies.entry(number).or_default() += 1;
            waiting.push(Waiting { id: word("id"), number });
        }
        let lost: Vec<_> = told.iter().filter(|told| !copies.contains_key(&told.number)).collect();
        for told in &lost {
            let (number, answer) = (told.number, &told.answer);
            println!(
                "lost: number {number}, {} broken attempts, answered {answer:?}; the log says of it:",
                told.broken
            );
            let log = gateway.log();
            let id = answer.rsplit(' ').next().unwrap_or_default();
            log.lines().filter(|line| line.contains(id)).for_each(|line| println!("  {line}"));
        }
        let (mut dup, mut explained) = (0, 0);
        for told in told {
            let extra = copies.get(&told.number).copied().unwrap_or(0).saturating_sub(1);
            dup += extra;
            explained += extra.min(told.broken);
        }
        Self {
            acked: told.len(),
            held: cases.len(),
            held_twice: told.iter().filter(|told| is_held(told.number) && copies.get(&told.number) > Some(&1)).count(),
            lost: lost.len(),
            dup,
            explained,
            waiting,
        }
    }

    /// After so many faults of the gateway.
    pub fn assert_nothing_lost(&self, faults: u64) {
        assert_eq!(self.dup, self.explained, "a message arrived twice without a fault behind its final dot");
        self.assert_none_lost(faults);
    }

    /// After so many faults of the next hop, whose clients were told 451: none of their own attempts broke.
    pub fn assert_none_lost(&self, faults: u64) {
        assert_eq!(self.held_twice, 0, "a retry of a held message became a second case");
        assert_eq!(self.lost, 0, "acknowledged messages are lost");
        assert!(self.dup as u64 <= faults * CLIENTS as u64, "at most one a fault and message in flight");
        assert!(self.acked as u64 > faults && self.held > 0, "there was no load");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acked, held, lost, dup, explained, .. } = self;
        write!(to, "acked={acked} held={held} lost={lost} dup={dup} (explained {explained})")
    }
}

fn is_held(number: u64) -> bool {
    number.is_multiple_of(8)
}

/// Sends until it is stopped, each message until it is answered with 250.
fn client(gateway: &Gateway, next: &AtomicU64, stop: &AtomicBool) -> Vec<Told> {
    let mut told = Vec::new();
    let mut session = None;
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        told.push(insist(gateway, &mut session, number, || thread::sleep(Duration::from_millis(20))));
        thread::sleep(Duration::from_millis(3));
    }
    if let Some(mut session) = session {
        let _ = session.say("QUIT");
    }
    told
}

/// Sends one message until it has its 250; `failed` is called after each attempt that had none. A number that eight divides is
/// held.
pub fn insist(gateway: &Gateway, session: &mut Option<Client>, number: u64, mut failed: impl FnMut()) -> Told {
    let text = if is_held(number) { "Her NI number is QQ 12 34 56 C." } else { "The parcel is here.\r\n..dots" };
    let message = letter(number, text);
    let mut broken = 0;
    loop {
        match attempt(gateway, session, &message) {
            Some(Ok(answer)) if answer.starts_with("250") => return Told { number, answer, broken },
            // Told to come again, as a gateway that is stopping or has no store does.
            Some(Ok(answer)) => assert!(answer.starts_with('4'), "number {number}: {answer}"),
            Some(Err(Tried::AfterDot(_))) => broken += 1,
            Some(Err(Tried::BeforeDot(_))) | None => {}
        }
        *session = None;
        failed();
    }
}

/// None when nobody answers at the door.
fn attempt(gateway: &Gateway, session: &mut Option<Client>, message: &[u8]) -> Option<Result<String, Tried>> {
    if session.is_none() {
        *session = Client::connect(gateway.door()).ok();
    }
    let session = session.as_mut()?;
    Some(session.send("ben.okafor@ours.example", &["claims@agency.example"], message))
}
