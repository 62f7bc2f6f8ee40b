//! `outgate bypass`: mail that a rule would stop leaves as it came, for so long; the reviewers hear of its beginning and its end,
//! the book knows each message, and a restart changes nothing of it.

use crate::support::{Gateway, Hop, Mta, Outcome, Setup, below_trace, hand_in, letter, wait_for};
use std::time::Duration;

const BEN: &str = "ben.okafor@ours.example";
const CLAIMS: &str = "claims@agency.example";
const REASON: &str = "the payroll must go out today";

fn stopped(id: &str) -> Vec<u8> {
    letter(id, "Her National Insurance number is QQ 12 34 56 C.")
}

fn gateway(hop: &Hop) -> Gateway {
    let smtp = "\n[reviewers]\ndpo = [\"dpo@ours.example\"]";
    Gateway::with(hop.address(), Setup { smtp, milter: true, ..Setup::default() })
}

fn held(gateway: &Gateway, id: &str) {
    let answer = hand_in(gateway.door(), BEN, &[CLAIMS], &stopped(id));
    assert!(answer.contains("Taken as"), "{answer}");
}

fn passes(gateway: &Gateway, hop: &Hop, id: &str) {
    let message = stopped(id);
    let answer = hand_in(gateway.door(), BEN, &[CLAIMS], &message);
    assert!(answer.starts_with("250") && !answer.contains("Taken as"), "{answer}");
    hop.wait_for("the message", |one| one.sender == BEN && below_trace(&one.bytes) == message);
}

/// The letter to the reviewer with these words.
fn told(hop: &Hop, words: &str) {
    hop.wait_for("a letter to the reviewer", |one| {
        String::from_utf8_lossy(&one.bytes).contains("To: dpo@ours.example")
            && String::from_utf8_lossy(&one.bytes).contains(words)
    });
}

fn said(gateway: &Gateway, times: usize, words: &str) {
    wait_for(words, Duration::from_secs(20), || (gateway.log().matches(words).count() >= times).then_some(()));
}

#[test]
fn mail_leaves_unjudged_for_so_long_and_everybody_who_decides_knows() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    held(&gateway, "before");
    assert_eq!(gateway.done(&["bypass"]).trim(), "mail is judged");

    let begun = gateway.done(&["bypass", "--for", "1h", "--reason", REASON]);
    assert!(begun.starts_with("mail is not judged until 20"), "{begun}");
    said(&gateway, 1, "Mail is not judged");
    told(&hop, REASON);
    passes(&gateway, &hop, "during");
    let mut mta = Mta::connect(gateway.milter()).unwrap();
    let Outcome::Accepted(left) = mta.hand_in(BEN, &[CLAIMS], &stopped("milter")).unwrap() else { panic!("stopped") };
    assert_eq!(below_trace(&left), stopped("milter"), "nothing is changed either");

    gateway.restart();
    passes(&gateway, &hop, "after the restart");
    assert!(gateway.done(&["--json", "bypass"]).starts_with("{\"until\":\"20"));
    assert_eq!(gateway.done(&["bypass", "--end"]).trim(), "mail is judged");
    said(&gateway, 1, "Mail is judged again");
    told(&hop, "ended by hand");
    held(&gateway, "ended");

    gateway.done(&["bypass", "--for", "4s", "--reason", REASON]);
    said(&gateway, 3, "Mail is not judged");
    said(&gateway, 2, "Mail is judged again");
    told(&hop, "come to its end");
    held(&gateway, "expired");
    assert_eq!(gateway.done(&["--json", "bypass"]).trim(), "{\"until\":null}");

    for wrong in [
        &["bypass", "--for", "25h", "--reason", "x"][..],
        &["bypass", "--for", "1h"],
        &["bypass", "--for", "soon", "--reason", "x"],
    ] {
        assert_eq!(gateway.command(wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert!(!gateway.log().contains(REASON));
    assert!(gateway.command(&["audit", "verify"]).status.success());
    let metrics = gateway.health("/metrics");
    assert!(metrics.contains("outgate_bypassed 0") && metrics.contains("disposition=\"bypassed\""), "{metrics}");
}
