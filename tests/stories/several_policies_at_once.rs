//! Several policies in force: the stricter figure wins, and the clauses of all are cited.

use crate::support::{Gateway, Hop, Setup, abusive_word, hand_in, letter};
use serde_json::Value;

fn clauses(grounds: &Value, rule: &str) -> Vec<String> {
    let ground = grounds.as_array().unwrap().iter().find(|ground| ground["rule"] == rule).expect("that rule's ground");
    let mut ids: Vec<_> =
        ground["clauses"].as_array().unwrap().iter().map(|clause| clause["id"].as_str().unwrap().to_string()).collect();
    ids.sort();
    ids
}

#[test]
fn one_company_with_two_policies() {
    let hop = Hop::start();
    let policies = &["policies/allsorts", "policies/allsorts-employees"];
    let gateway =
        Gateway::with(hop.address(), Setup { policies, top: "own-domains = [\"ours.example\"]", ..Setup::default() });
    let message = letter("abuse", &format!("You are a {}.", abusive_word()));
    assert!(
        hand_in(gateway.door(), "ben.okafor@ours.example", &["claims@agency.example"], &message).starts_with("250")
    );
    let id = gateway.case("number abuse")["id"].as_str().unwrap().to_string();
    let case: Value = serde_json::from_str(&gateway.done(&["case", "show", &id, "--json"])).unwrap();
    let cited = clauses(&case["grounds"], "abusive-language");
    assert_eq!(cited, ["A-offensive", "B-harassment", "B-pornography"]);
}

#[test]
fn the_stricter_figure_wins() {
    let hop = Hop::start();
    let policies = &["policies/baseline", "policies/aukcap"];
    let gateway =
        Gateway::with(hop.address(), Setup { policies, top: "own-domains = [\"ours.example\"]", ..Setup::default() });
    // One allows 20 visible recipients, the other 10.
    for (count, hidden) in [(10, false), (11, true)] {
        let people: Vec<String> = (0..count).map(|person| format!("person{person}@agency.example")).collect();
        let to: Vec<&str> = people.iter().map(String::as_str).collect();
        let message = format!(
            "From: Ben Okafor <ben.okafor@ours.example>\r\nTo: {}\r\nSubject: news\r\n\r\nThe parcel is here.\r\n",
            people.join(",\r\n ")
        );
        assert!(hand_in(gateway.door(), "ben.okafor@ours.example", &to, message.as_bytes()).starts_with("250"));
        let arrived = hop.arrived().pop().expect("it arrived");
        assert_eq!(arrived.recipients.len(), count, "all get it");
        let text = String::from_utf8_lossy(&arrived.bytes);
        assert_eq!(!text.contains("person1@"), hidden, "{count} recipients\n{text}");
        assert!(text.contains("registered charity No. 1165856"), "the notice that one of them asks for");

        let file = gateway.folder().join("news.eml");
        std::fs::write(&file, &message).unwrap();
        let line = gateway.done(&["check", "--json", "--from", "ben.okafor@ours.example", file.to_str().unwrap()]);
        let judged: Value = serde_json::from_str(&line).unwrap();
        if hidden {
            assert_eq!(clauses(&judged["grounds"], "hide-recipients"), ["1.1", "C-2.8.1"]);
        }
    }
    println!("several policies: 10 of 10 visible stay, 11 are hidden, clauses of both cited");
}

/// The name of an account, a shared mailbox and its people, through the running gateway.
#[test]
fn nobody_writes_in_anothers_name_but_for_a_shared_mailbox() {
    let hop = Hop::start();
    let policies = &["policies/aukcap"];
    let top = "own-domains = [\"ours.example\"]\nmay-send-as.\"ben.okafor@ours.example\" = \"office@ours.example\"";
    let gateway = Gateway::with(hop.address(), Setup { policies, top, ..Setup::default() });
    for (number, sender, held) in [
        ("own", "ben.okafor@ours.example", false),
        ("shared", "office@ours.example", false),
        ("false", "eve@ours.example", true),
    ] {
        let answer = hand_in(gateway.door(), sender, &["claims@agency.example"], &letter(number, "Hello."));
        assert_eq!(answer.contains("Taken as"), held, "{sender}: {answer}");
        assert_eq!(hop.with_number(number).is_empty(), held, "{sender}");
    }
    let id = gateway.case("number false")["id"].as_str().unwrap().to_string();
    let case: Value = serde_json::from_str(&gateway.done(&["case", "show", &id, "--json"])).unwrap();
    assert_eq!(clauses(&case["grounds"], "author-is-not-sender"), ["C-2.7"]);
    let notice = hop.wait_for("the notice", |arrived| arrived.recipients == ["eve@ours.example"]);
    let text = mail_parser::MessageParser::default().parse(&notice.bytes).unwrap().body_text(0).unwrap().into_owned();
    assert!(text.contains("author-is-not-sender") && text.contains("b***@***.example"), "{text}");
}
