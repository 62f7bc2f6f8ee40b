//! `mode = "watch"`: all is judged and recorded, nothing is held, returned or changed.

use crate::support::{Gateway, Hop, Setup, abusive_word, below_trace, fixtures, found_in, hand_in, letter};

#[test]
fn watching_changes_nothing_and_records() {
    let hop = Hop::start();
    let gateway = Gateway::with(hop.address(), Setup { top: "mode = \"watch\"", ..Setup::default() });
    let mut sent = 0;
    let abuse = letter("abuse", &format!("You are a {}.", abusive_word()));
    for (name, message) in fixtures().into_iter().chain([("abuse".to_string(), abuse)]) {
        let answer = hand_in(gateway.door(), "ben.okafor@ours.example", &["claims@agency.example"], &message);
        assert!(answer.starts_with("250"), "{name}: {answer}");
        sent += 1;
        let arrived = hop.arrived();
        assert_eq!(arrived.len(), sent, "{name}");
        assert!(below_trace(&arrived[sent - 1].bytes) == &message[..], "{name} was changed");
    }
    assert!(gateway.cases().is_empty());
    // The book names rules in clear, and nothing of a message.
    for rule in
        ["personal-data-outside", "abusive-language", "chain-letter", "hide-recipients", "confidentiality-notice"]
    {
        assert!(!found_in(&gateway.data(), &[rule]).is_empty(), "{rule} is not in the book");
    }
    gateway.done(&["audit", "verify"]);
    println!("watch: 0 of {sent} held, returned or changed; 5 of 5 rules in the book");
}
