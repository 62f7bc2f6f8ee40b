//! Each seed rule through the real door: a message that it is for, and its near neighbour that it is not for.

use crate::support::{Gateway, Hop, abusive_word, below_trace, fixture, hand_in, letter};

const BEN: &str = "ben.okafor@ours.example";
const NOTICE: &str = "This message may be confidential.";

/// What became of one message.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// Arrived, with the notice and with its recipients hidden or not.
    Relayed { notice: bool, hidden: bool },
    /// The rules that hold it.
    Held(Vec<String>),
    /// The clause in the reply.
    Returned(&'static str),
}

fn people(count: usize) -> Vec<String> {
    (0..count).map(|person| format!("person{count}-{person}@agency.example")).collect()
}

fn with_to(number: &str, to: &[String]) -> Vec<u8> {
    let message = String::from_utf8(letter(number, "The parcel is here.")).unwrap();
    message.replace("To: claims@agency.example", &format!("To: {}", to.join(",\r\n "))).into_bytes()
}

fn fate(gateway: &Gateway, hop: &Hop, to: &[String], message: &[u8]) -> Fate {
    let (cases, arrived) = (gateway.cases().len(), hop.arrived().len());
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let answer = hand_in(gateway.door(), BEN, &to, message);
    if answer.starts_with("550") {
        let clause =
            ["1.1", "1.2", "2.1", "3.1", "4.1", "4.2"].into_iter().find(|id| answer.contains(&format!("Policy {id}:")));
        return Fate::Returned(clause.unwrap_or_else(|| panic!("no clause: {answer}")));
    }
    assert!(answer.starts_with("250"), "{answer}");
    let now = gateway.cases();
    if now.len() > cases {
        let rules = now[0]["rules"].as_array().unwrap().iter().map(|rule| rule.as_str().unwrap().to_string());
        return Fate::Held(rules.collect());
    }
    let mail = hop.arrived().into_iter().skip(arrived).find(|mail| mail.sender == BEN).expect("it arrived");
    let text = String::from_utf8_lossy(&mail.bytes).into_owned();
    let fate = Fate::Relayed {
        notice: text.contains(NOTICE),
        hidden: !text.contains("To: ") || text.contains("To: undisclosed"),
    };
    if fate == (Fate::Relayed { notice: false, hidden: false }) {
        assert_eq!(below_trace(&mail.bytes), message, "nothing was to be changed");
    }
    fate
}

#[test]
fn each_rule_matches_its_message_and_not_the_neighbour() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let one = |address: &str| vec![address.to_string()];
    let outside = one("claims@agency.example");
    let held = |rule: &str| Fate::Held(vec![rule.to_string()]);
    let relayed = |notice, hidden| Fate::Relayed { notice, hidden };
    let text = |text: &str| letter("seed", text);
    let group = |address: &str| with_to("seed", &one(address));
    let table = [
        ("hide-recipients", people(21), with_to("seed", &people(21)), relayed(true, true)),
        ("20 is the limit", people(20), with_to("seed", &people(20)), relayed(true, false)),
        ("notice", outside.clone(), text("Hello."), relayed(true, false)),
        ("to a colleague", one("ada.fenwick@ours.example"), text("Hello."), relayed(false, false)),
        (
            "personal data",
            outside.clone(),
            text("Her National Insurance number is QQ 12 34 56 C."),
            held("personal-data-outside"),
        ),
        (
            "an order number",
            outside.clone(),
            text("Your order 1234 5678 9012 3456 is on its way."),
            relayed(true, false),
        ),
        (
            "abusive language",
            outside.clone(),
            text(&format!("You are a {}.", abusive_word())),
            held("abusive-language"),
        ),
        ("a town", outside.clone(), text("The class meets in Scunthorpe on Tuesday."), relayed(true, false)),
        ("a quotation", outside.clone(), fixture("27-reply-quoting-abuse"), relayed(true, false)),
        ("chain letter", outside.clone(), fixture("18-chain-letter"), Fate::Returned("4.2")),
        (
            "a chain of shops",
            outside.clone(),
            text("The chain has a shop in town. Please forward the invoice."),
            relayed(true, false),
        ),
        ("group-approval", one("all-staff@ours.example"), group("all-staff@ours.example"), held("group-approval")),
        (
            "one of the staff",
            one("one-of-staff@ours.example"),
            group("one-of-staff@ours.example"),
            relayed(false, false),
        ),
        ("mass-mail-approval", people(101), with_to("seed", &people(1)), held("mass-mail-approval")),
        ("100 is the limit", people(100), with_to("seed", &people(1)), relayed(true, false)),
    ];
    let count = table.len();
    for (row, (name, to, message, expected)) in table.into_iter().enumerate() {
        // Each a message of its own, not another transaction of one before it.
        let id = format!("\r\nMessage-ID: <row-{row}-");
        let message = String::from_utf8_lossy(&message).replacen("\r\nMessage-ID: <", &id, 1);
        let found = fate(&gateway, &hop, &to, message.as_bytes());
        let found = match found {
            // All staff are 120 people, so a second rule holds such a message too.
            Fate::Held(rules) if rules.len() > 1 => {
                Fate::Held(rules.into_iter().filter(|rule| rule == "group-approval").collect())
            }
            found => found,
        };
        assert_eq!(found, expected, "{name}");
    }
    println!("seed rules at the door: {count} of {count} as their rules say");
}
