//! What is held is durable before its 250, and its sender is told why by a notice that shows nothing in clear; what is
//! returned says why in its reply; machines are never answered.

use crate::support::{Gateway, Hop, fixture, hand_in, letter};
use std::time::Duration;

const BEN: &str = "ben.okafor@ours.example";
const CLAIMS: &[&str] = &["claims@agency.example"];
const NINO: &str = "Her National Insurance number is QQ 12 34 56 C.";
const ADVICE: &str = "Put the data in an encrypted file and tell the recipient its password by telephone";

#[test]
fn a_hold_outlives_a_kill_right_behind_its_250() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    for round in 0..5 {
        assert!(hand_in(gateway.door(), BEN, CLAIMS, &letter(round, NINO)).starts_with("250"));
        gateway.kill();
        gateway.launch();
        let case = gateway.case(&format!("number {round}"));
        assert_eq!((case["state"].as_str(), case["category"].as_str()), (Some("waiting"), Some("personal-data")));
        let id = case["id"].as_str().unwrap();
        let out = gateway.folder().join(format!("{round}.eml"));
        gateway.done(&["case", "show", id, "--message", out.to_str().unwrap()]);
        assert_eq!(std::fs::read(out).unwrap(), letter(round, NINO), "the message as it came");
    }
    println!("held, then killed: 5 of 5 cases whole");
}

#[test]
fn the_sender_is_told_why_and_what_to_do() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let answer = hand_in(gateway.door(), BEN, CLAIMS, &letter("told", NINO));
    let id = gateway.case("number told")["id"].as_str().unwrap().to_string();
    assert_eq!(answer, format!("250 2.0.0 Taken as {id}"));

    let notice = hop.wait_for("the notice", |arrived| arrived.recipients == [BEN]);
    assert_eq!(notice.sender, "", "the null sender, so that nothing comes back");
    assert!(!String::from_utf8_lossy(&notice.bytes).contains("34 56"), "nothing in clear, in no encoding of ours");
    let parsed = mail_parser::MessageParser::default().parse(&notice.bytes).unwrap();
    assert_eq!(parsed.header_raw("Auto-Submitted").map(str::trim), Some("auto-replied"));
    assert_eq!(parsed.header_raw("In-Reply-To").map(str::trim), Some("<told@ours.example>"));
    assert_eq!(parsed.subject(), Some("Waiting for review: number told"));
    for text in [parsed.body_text(0).unwrap(), parsed.body_html(0).unwrap()] {
        for wanted in ["3.1", "Numbers that identify a person or an account", ADVICE, "personal.uk-nino", id.as_str()] {
            assert!(text.contains(wanted), "{wanted} is not in\n{text}");
        }
        for hidden in ["QQ 12 34 56 C", "12 34", "34 56", "123456"] {
            assert!(!text.contains(hidden), "{hidden} is in\n{text}");
        }
    }
    assert!(hop.with_number("told").is_empty(), "the message itself waits");
}

#[test]
fn machines_are_never_answered() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let marked = |number, text| [&b"Auto-Submitted: auto-generated\r\n"[..], &letter(number, text)].concat();
    assert!(hand_in(gateway.door(), BEN, CLAIMS, &marked("marked", NINO)).starts_with("250"));
    assert!(hand_in(gateway.door(), "", CLAIMS, &letter("null", NINO)).starts_with("250"));
    // A 550 to the null sender would be silent loss: what would be returned is held.
    let chain =
        "Forward this to everyone you know within seven days, or you will have bad luck. Do not break the chain.";
    assert!(hand_in(gateway.door(), "", CLAIMS, &letter("chain", chain)).starts_with("250"));
    let mut held: Vec<_> = gateway.cases().iter().map(|case| case["subject"].as_str().unwrap().to_string()).collect();
    held.sort();
    assert_eq!(held, ["number chain", "number marked", "number null"]);
    // A person's message behind them: once its notice is there, theirs would be too.
    assert!(hand_in(gateway.door(), "ada.fenwick@ours.example", CLAIMS, &letter("person", NINO)).starts_with("250"));
    hop.wait_for("the person's notice", |arrived| arrived.recipients == ["ada.fenwick@ours.example"]);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(hop.arrived().len(), 1, "nothing but the person's notice");
}

#[test]
fn a_return_says_why_in_its_reply() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let ada = "ada.fenwick@ours.example";
    let answer = hand_in(gateway.door(), ada, &["friend@home.example"], &fixture("18-chain-letter"));
    for wanted in [
        "550-5.7.1 ",
        "\n550 5.7.1 Submission ",
        "Policy 4.2: Chain letters are not passed on.",
        "Please do not pass it on.",
    ] {
        assert!(answer.contains(wanted), "{wanted} is not in\n{answer}");
    }
    let id = answer.rsplit(' ').next().unwrap();
    assert_eq!(id.len(), 36, "{answer}");
    std::thread::sleep(Duration::from_millis(500));
    assert!(hop.arrived().is_empty() && gateway.cases().is_empty(), "its client tells the sender, not we");
}
