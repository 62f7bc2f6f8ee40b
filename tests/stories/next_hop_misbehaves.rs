//! A next hop that refuses, closes, babbles and dawdles at every step (reliability test T8), and a client that tries again
//! as mail servers do: the class of each refusal is kept, 250 is said only when the hop has the message, nothing is
//! lost, and twice arrives only what the hop took without saying so.
//!
//! `OUTGATE_FAULT_MESSAGES` is how many messages each row gets.

use crate::support::{Client, Fault, FaultySink as Sink, Gateway, Setup, Step, hand_in, letter};
use std::{env, thread, time::Duration};

const BEN: &str = "ben.okafor@ours.example";
const CLAIMS: &[&str] = &["claims@agency.example"];
/// What is tried again, and how often at most.
const TRIES: usize = 4;

/// One misbehaviour, what the client hears first, and what becomes of the message in the end.
struct Row {
    /// As in docs/reference/next-hop.md.
    name: &'static str,
    fault: Fault,
    first: &'static str,
    finally: &'static str,
    /// Copies at the hop that are explained by the fault.
    copies: std::ops::RangeInclusive<usize>,
}

const fn row(name: &'static str, fault: Fault, first: &'static str, finally: &'static str) -> Row {
    let copies = if matches!(finally.as_bytes(), [b'2', ..]) { 1..=1 } else { 0..=0 };
    Row { name, fault, first, finally, copies }
}

/// The hop took the message and did not say so: the client's retry may bring it once more.
const fn untold(name: &'static str, fault: Fault) -> Row {
    Row { name, fault, first: "451", finally: "250", copies: 1..=2 }
}

const ROWS: [Row; 33] = [
    row("refuses connections", Fault::Refuse, "451", "250"),
    row("421 as its banner", Fault::Say(Step::Banner, "421 4.3.2 busy"), "451", "250"),
    row("554 as its banner", Fault::Say(Step::Banner, "554 5.7.1 not you"), "451", "250"),
    row("closes before its banner", Fault::Close(Step::Banner), "250", "250"),
    row("half a line as its banner", Fault::Half(Step::Banner), "250", "250"),
    row("421 to EHLO", Fault::Say(Step::Ehlo, "421 4.7.0 later"), "451", "250"),
    row("550 to EHLO", Fault::Say(Step::Ehlo, "550 5.7.1 bad name"), "451", "250"),
    row("closes at EHLO", Fault::Close(Step::Ehlo), "250", "250"),
    row("421 to MAIL", Fault::Say(Step::Mail, "421 4.7.0 going"), "451", "250"),
    row("4xx to MAIL", Fault::Say(Step::Mail, "452 4.3.1 full"), "452", "250"),
    row("5xx to MAIL", Fault::Say(Step::Mail, "550 5.1.8 bad sender"), "550", "550"),
    row("530, 535 or 538 to MAIL", Fault::Say(Step::Mail, "530 5.7.0 log in first"), "451", "250"),
    row("354 to MAIL", Fault::Say(Step::Mail, "354 what"), "451", "250"),
    row("closes at MAIL", Fault::Close(Step::Mail), "250", "250"),
    row("4xx to RCPT", Fault::Say(Step::Rcpt, "450 4.2.0 later"), "450", "250"),
    row("5xx to RCPT", Fault::Say(Step::Rcpt, "550 5.1.1 unknown"), "550", "550"),
    row("421 to RCPT", Fault::Say(Step::Rcpt, "421 4.3.2 going"), "451", "250"),
    row("530, 535 or 538 to RCPT", Fault::Say(Step::Rcpt, "535 5.7.8 log in"), "451", "250"),
    row("closes at RCPT", Fault::Close(Step::Rcpt), "250", "250"),
    row("4xx to DATA", Fault::Say(Step::Data, "451 4.3.0 not now"), "451", "250"),
    row("5xx to DATA", Fault::Say(Step::Data, "554 5.7.1 no"), "554", "554"),
    row("421 to DATA", Fault::Say(Step::Data, "421 4.3.2 going"), "250", "250"),
    row("closes at DATA", Fault::Close(Step::Data), "250", "250"),
    row("closes after its 354, the whole message already on its way", Fault::Amid, "451", "250"),
    row("4xx to the message", Fault::Say(Step::Dot, "452 4.3.1 full"), "452", "250"),
    row("5xx to the message", Fault::Say(Step::Dot, "554 5.7.1 spam"), "554", "554"),
    row("421 to the message", Fault::Say(Step::Dot, "421 4.3.2 going"), "451", "250"),
    row("a reply of 10^6 bytes", Fault::Huge(Step::Dot, 554), "554", "554"),
    row("one byte now and then", Fault::Drip(Step::Dot), "250", "250"),
    untold("closes after the dot, before its reply", Fault::Close(Step::Dot)),
    untold("half a reply to the message", Fault::Half(Step::Dot)),
    untold("354 to the message", Fault::Say(Step::Dot, "354 what")),
    untold("garbage to the message", Fault::Say(Step::Dot, "+OK what")),
];

#[test]
fn every_misbehaviour_keeps_its_class_and_loses_nothing() {
    let messages: usize = env::var("OUTGATE_FAULT_MESSAGES").ok().and_then(|count| count.parse().ok()).unwrap_or(3);
    let documented = include_str!("../../docs/reference/next-hop.md");
    let (mut sent, mut lost, mut double, mut explained) = (0, 0, 0, 0);
    let sink = Sink::start();
    let gateway = Gateway::start(sink.address());
    for (number, row) in ROWS.iter().enumerate() {
        assert!(
            documented.contains(&format!("| {} |", row.name)),
            "docs/reference/next-hop.md has no row `{}`",
            row.name
        );
        for message in 0..messages {
            let name = format!("row-{number}-{message}");
            sink.misbehave(row.fault);
            let text = letter(&name, "The parcel is here.");
            let mut answers = Vec::new();
            while answers.len() < TRIES && !answers.last().is_some_and(|answer: &String| answer.starts_with(['2', '5']))
            {
                answers.push(hand_in(gateway.door(), BEN, CLAIMS, &text));
                sink.behave();
            }
            sent += 1;
            assert!(answers[0].starts_with(row.first), "{}: {answers:?}", row.name);
            let last = answers.last().unwrap();
            assert!(last.starts_with(row.finally), "{}: {answers:?}", row.name);
            let copies = sink.copies(&name);
            assert!(row.copies.contains(&copies), "{}: {copies} copies, {answers:?}", row.name);
            lost += usize::from(last.starts_with('2') && copies == 0);
            double += copies.saturating_sub(1);
            explained += copies.saturating_sub(1) * usize::from(*row.copies.end() > 1);
        }
    }
    println!("T8 rows={} messages={sent} lost={lost} double={double} (explained {explained})", ROWS.len());
    assert_eq!((lost, double), (0, explained));
}

#[test]
fn six_patterns_of_refused_recipients() {
    let messages: usize = env::var("OUTGATE_FAULT_MESSAGES").ok().and_then(|count| count.parse().ok()).unwrap_or(3);
    let sink = Sink::start();
    let gateway = Gateway::start(sink.address());
    let people = ["ok", "no", "later"];
    let mut sent = 0;
    for pattern in [
        ["ok", "no", "ok"],
        ["no", "ok", "ok"],
        ["ok", "ok", "no"],
        ["later", "ok", "no"],
        ["no", "later", "ok"],
        ["no", "no", "no"],
    ] {
        for message in 0..messages {
            let name = format!("{}-{message}", pattern.join("-"));
            let recipients: Vec<String> =
                pattern.iter().enumerate().map(|(at, local)| format!("{local}.{at}@agency.example")).collect();
            let mut client = Client::connect(gateway.door()).unwrap();
            client.say(&format!("MAIL FROM:<{BEN}>")).unwrap();
            for (recipient, local) in recipients.iter().zip(pattern) {
                let code = ["250", "550", "450"][people.iter().position(|known| *known == local).unwrap()];
                let answer = client.say(&format!("RCPT TO:<{recipient}>")).unwrap();
                assert!(answer.starts_with(code), "{recipient}: {answer}");
            }
            let accepted: Vec<_> = recipients.iter().filter(|recipient| recipient.starts_with("ok")).cloned().collect();
            if accepted.is_empty() {
                assert!(client.say("DATA").unwrap().starts_with('5'));
            } else {
                assert!(client.finish(&letter(&name, "The parcel is here.")).unwrap().starts_with("250"));
            }
            let arrived: Vec<_> = sink.recipients(&name);
            assert_eq!(arrived, if accepted.is_empty() { Vec::new() } else { vec![accepted] }, "{name}");
            sent += 1;
        }
    }
    println!("T8 patterns=6 messages={sent} lost=0 double=0");
}

/// The client's clock is 10 s here in place of 540 s: a reply within it, one behind it, and none at all.
#[test]
fn a_late_reply_is_waited_for_and_its_retry_answered_from_it() {
    let cases = [("80 s of 90 s", 6, "250", "250"), ("530 s of 90 s", 14, "451", "250"), ("never", 300, "451", "451")];
    thread::scope(|scope| {
        for (name, seconds, first, second) in cases {
            scope.spawn(move || {
                let sink = Sink::start();
                let gateway = Gateway::with(sink.address(), Setup { answer_within: "10 s", ..Setup::default() });
                sink.misbehave(Fault::Late(Duration::from_secs(seconds)));
                let text = letter("late", "The parcel is here.");
                let answer = hand_in(gateway.door(), BEN, CLAIMS, &text);
                assert!(answer.starts_with(first), "{name}: {answer}");
                if first != "250" {
                    let answer = hand_in(gateway.door(), BEN, CLAIMS, &text);
                    assert!(answer.starts_with(second), "{name}: {answer}");
                }
                assert_eq!(
                    sink.copies("late"),
                    1,
                    "{name}: the retry is not sent while the first may still be answered"
                );
            });
        }
    });
}
