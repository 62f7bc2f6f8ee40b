//! The same message sent twice on purpose arrives twice; one that was sent again because its answer was not heard
//! arrives once.

use crate::support::{Client, Gateway, Hop, Setup, hand_in, letter, wait_for};
use std::{
    thread,
    time::{Duration, Instant},
};

const BEN: &str = "ben.okafor@ours.example";
const CLAIMS: &[&str] = &["claims@agency.example"];

fn assert_arrived(hop: &Hop, number: &str, times: usize) {
    assert_eq!(hop.with_number(number).len(), times, "{number}");
}

#[test]
fn in_one_session_in_two_and_at_once() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let twice = |number| letter(number, "The parcel is here.");

    let mut client = Client::connect(gateway.door()).unwrap();
    for _ in 0..2 {
        assert!(client.send(BEN, CLAIMS, &twice("one-session")).unwrap().starts_with("250"));
    }
    client.say("QUIT").unwrap();
    assert_arrived(&hop, "one-session", 2);

    for _ in 0..2 {
        assert!(hand_in(gateway.door(), BEN, CLAIMS, &twice("two-sessions")).starts_with("250"));
    }
    assert_arrived(&hop, "two-sessions", 2);

    hop.change(|manner| manner.late = Some((2, Duration::from_millis(500))));
    thread::scope(|scope| {
        for _ in 0..2 {
            let answer = || hand_in(gateway.door(), BEN, CLAIMS, &twice("at-once"));
            scope.spawn(move || assert!(answer().starts_with("250")));
        }
    });
    assert_arrived(&hop, "at-once", 2);
    println!("sent twice on purpose: one session 2/2, two sessions 2/2, at once 2/2");
}

#[test]
fn a_client_that_did_not_hear_the_answer_is_answered_from_the_record() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let mut once = 0;
    for (number, between) in [("same-run", "nothing"), ("stopped", "stop"), ("killed", "kill")] {
        let message = letter(number, "The parcel is here.");
        // The answer comes when the client is gone.
        hop.change(|manner| manner.late = Some((1, Duration::from_millis(300))));
        Client::connect(gateway.door()).unwrap().send_and_drop(BEN, CLAIMS, &message);
        hop.wait_for("the message", |arrived| crate::support::number(&arrived.bytes).as_deref() == Some(number));
        // Long enough for the hop's answer and for its record.
        thread::sleep(Duration::from_secs(2));
        match between {
            "stop" => gateway.restart(),
            "kill" => {
                gateway.kill();
                gateway.launch();
            }
            _ => {}
        }
        assert!(hand_in(gateway.door(), BEN, CLAIMS, &message).starts_with("250"), "{number}");
        assert_arrived(&hop, number, 1);
        once += 1;
        // That answer was heard: what comes now is meant.
        assert!(hand_in(gateway.door(), BEN, CLAIMS, &message).starts_with("250"), "{number}");
        assert_arrived(&hop, number, 2);
    }
    println!("answer not heard: {once} of 3 retries answered from the record, 0 second copies");
}

#[test]
fn a_held_message_whose_answer_was_not_heard_is_one_case() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let message = letter("held", "Her National Insurance number is QQ 12 34 56 C.");
    Client::connect(gateway.door()).unwrap().send_and_drop(BEN, CLAIMS, &message);
    let cases = || gateway.cases().len();
    wait_for("the case", Duration::from_secs(20), || (cases() == 1).then_some(()));
    thread::sleep(Duration::from_millis(500));
    assert!(hand_in(gateway.door(), BEN, CLAIMS, &message).starts_with("250"));
    assert_eq!(cases(), 1, "the retry is the same case");
    assert!(hand_in(gateway.door(), BEN, CLAIMS, &message).starts_with("250"));
    assert_eq!(cases(), 2, "sent again on purpose, it waits again");
}

/// The hop is slower than our own clock: the client hears 451, its retry gets the hop's 250, and there is no second copy.
/// What it then sends on purpose arrives.
#[test]
fn a_late_answer_is_given_to_the_retry_and_to_no_other() {
    let hop = Hop::start();
    let gateway = Gateway::with(hop.address(), Setup { answer_within: "10 s", ..Setup::default() });
    let message = letter("late", "The parcel is here.");
    hop.change(|manner| manner.late = Some((1, Duration::from_secs(12))));
    let asked = Instant::now();
    let answer = hand_in(gateway.door(), BEN, CLAIMS, &message);
    assert!(answer.starts_with("451"), "{answer}");
    assert!(asked.elapsed() < Duration::from_secs(12), "our clock ends first");
    let answer = hand_in(gateway.door(), BEN, CLAIMS, &message);
    assert!(answer.starts_with("250 2.0.0 kept"), "the hop's own answer: {answer}");
    assert_arrived(&hop, "late", 1);
    assert!(hand_in(gateway.door(), BEN, CLAIMS, &message).starts_with("250"));
    assert_arrived(&hop, "late", 2);
    println!("late answer: 451, then the hop's 250 to the retry, 1 copy; sent again on purpose: 2");
}
