//! The next hop is down: mail waits at its client, what is held is held, a release waits in the outbox; and a release that
//! the hop refuses is reported and can be tried again.

use crate::support::{Gateway, Hop, fixture, hand_in, letter};
use std::time::{Duration, Instant};

const BEN: &str = "ben.okafor@ours.example";
const CLAIMS: &[&str] = &["claims@agency.example"];
const NINO: &str = "Her National Insurance number is QQ 12 34 56 C.";

#[test]
fn mail_waits_at_its_client_and_a_release_in_the_outbox() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    assert!(hand_in(gateway.door(), BEN, CLAIMS, &letter("before", "Hello.")).starts_with("250"));
    hop.down();

    let asked = Instant::now();
    let answer = hand_in(gateway.door(), BEN, CLAIMS, &letter("while-down", "Hello."));
    let took = asked.elapsed();
    assert!(answer.starts_with("451"), "{answer}");
    assert!(took < Duration::from_secs(2), "{took:?}");

    let held = hand_in(gateway.door(), BEN, CLAIMS, &letter("held", NINO));
    assert!(held.starts_with("250"), "{held}");
    let refused = hand_in(gateway.door(), BEN, CLAIMS, &fixture("18-chain-letter"));
    assert!(refused.starts_with("550"), "{refused}");

    let id = gateway.case("number held")["id"].as_str().unwrap().to_string();
    gateway.done(&["case", "release", &id]);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(gateway.case("number held")["state"], "released", "it waits for the hop");
    assert!(hop.with_number("held").is_empty());

    hop.up();
    let up = Instant::now();
    let arrived =
        hop.wait_for("the release", |arrived| crate::support::number(&arrived.bytes).as_deref() == Some("held"));
    let waited = up.elapsed();
    assert_eq!((arrived.sender.as_str(), &arrived.recipients[..]), (BEN, &["claims@agency.example".to_string()][..]));
    assert!(String::from_utf8_lossy(&arrived.bytes).contains("QQ 12 34 56 C"));
    gateway.becomes(&id, "delivered");
    let notice = hop.wait_for("the notice", |arrived| arrived.recipients == [BEN]);
    assert_eq!(notice.sender, "");
    assert!(hand_in(gateway.door(), BEN, CLAIMS, &letter("while-down", "Hello.")).starts_with("250"), "its retry");
    assert_eq!((hop.with_number("while-down").len(), hop.with_number("held").len()), (1, 1));
    println!(
        "next hop down: 451 after {took:?}, hold 250, return 550; release arrived {waited:?} after the hop was up"
    );
}

#[test]
fn a_release_waits_through_a_restart() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    hop.down();
    assert!(hand_in(gateway.door(), BEN, CLAIMS, &letter("held", NINO)).starts_with("250"));
    let id = gateway.case("number held")["id"].as_str().unwrap().to_string();
    gateway.done(&["case", "release", &id]);
    gateway.kill();
    gateway.launch();
    hop.up();
    gateway.becomes(&id, "delivered");
    assert_eq!(hop.with_number("held").len(), 1);
}

#[test]
fn a_release_that_the_hop_refuses_is_reported_and_can_be_tried_again() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    assert!(hand_in(gateway.door(), BEN, CLAIMS, &letter("held", NINO)).starts_with("250"));
    let id = gateway.case("number held")["id"].as_str().unwrap().to_string();
    hop.change(|manner| {
        manner.refused.insert("claims@agency.example".into(), "550 5.1.1 no such mailbox".into());
    });
    gateway.done(&["case", "release", &id]);
    gateway.becomes(&id, "delivery-failed");

    let is_report = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("multipart/report");
    let report = hop.wait_for("the report", |arrived| is_report(&arrived.bytes));
    assert_eq!((report.sender.as_str(), &report.recipients[..]), ("", &[BEN.to_string()][..]));
    let text = String::from_utf8_lossy(&report.bytes);
    for wanted in [
        "report-type=delivery-status",
        "Content-Type: message/delivery-status",
        "Reporting-MTA: dns; gate.ours.example",
        "Final-Recipient: rfc822; claims@agency.example",
        "Action: failed",
        "Status: 5.1.1",
        "Auto-Submitted: auto-replied",
    ] {
        assert!(text.to_lowercase().contains(&wanted.to_lowercase()), "{wanted} is not in\n{text}");
    }
    assert!(!text.contains("QQ 12 34 56 C"), "the report shows nothing of the text");

    hop.change(|manner| manner.refused.clear());
    gateway.done(&["case", "release", &id]);
    gateway.becomes(&id, "delivered");
    assert_eq!(hop.with_number("held").len(), 1);
    println!("refused release: reported to the sender, case delivery-failed, second release delivered");
}

#[test]
fn a_second_release_goes_only_to_those_whom_the_first_did_not_reach() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let both = &["claims@agency.example", "office@agency.example"];
    assert!(hand_in(gateway.door(), BEN, both, &letter("held", NINO)).starts_with("250"));
    let id = gateway.case("number held")["id"].as_str().unwrap().to_string();
    hop.change(|manner| {
        manner.refused.insert("claims@agency.example".into(), "550 5.1.1 no such mailbox".into());
    });
    gateway.done(&["case", "release", &id]);
    gateway.becomes(&id, "delivery-failed");
    hop.change(|manner| manner.refused.clear());
    gateway.done(&["case", "release", &id]);
    gateway.becomes(&id, "delivered");
    let reached: Vec<_> = hop.with_number("held").into_iter().map(|arrived| arrived.recipients).collect();
    assert_eq!(reached, [["office@agency.example"], ["claims@agency.example"]]);
}
