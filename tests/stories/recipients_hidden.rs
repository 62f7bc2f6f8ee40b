//! Recipients are hidden from each other: in one message or in a copy for each, through either door, over kills and a next hop
//! that goes away; the sender is told once; a second message in haste waits; who makes up a thread gains nothing by it.

use crate::support::{Gateway, Hop, Mta, Outcome, Setup, found_in, hand_in, wait_for};
use std::{collections::BTreeMap, env, time::Duration};

const BEN: &str = "ben.okafor@ours.example";

const POLICY: &str = "organisation = 'Test'\nown-domains = ['ours.example']\n[[clause]]\nid = '7.1'\ntext = 'They do not see each other.'\n\
                      enforced-by = ['sensitive-list', 'hide-private-recipients', 'repeat-guard', 'recall-guard']\n\
                      [rules.sensitive-list]\nat-most = 80\n";

fn gateway(hop: &Hop) -> Gateway {
    let files = vec![("local/policies/own/policy.toml", POLICY.to_string())];
    Gateway::with(hop.address(), Setup { policies: &["policies/own"], files, milter: true, ..Setup::default() })
}

fn people(of: std::ops::Range<usize>) -> Vec<String> {
    of.map(|person| format!("person{person}@mail.example")).collect()
}

/// From Ben, with a number by which it is known again; `to` stands in To.
fn message(number: &str, subject: &str, to: &[String], more: &str) -> Vec<u8> {
    format!(
        "X-Number: {number}\r\nFrom: Ben Okafor <{BEN}>\r\nTo: {}\r\nX-Envelope-To: person1@mail.example\r\n{more}Subject: {subject}\r\n\
         Message-ID: <{number}@ours.example>\r\nDate: Thu, 04 Jun 2026 21:00:00 +0100\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=us-ascii\r\n\r\nWe meet on Tuesday.\r\n",
        to.join(",\r\n ")
    )
    .into_bytes()
}

fn refs(people: &[String]) -> Vec<&str> {
    people.iter().map(String::as_str).collect()
}

fn say(gateway: &Gateway, to: &[String], message: &[u8]) -> String {
    hand_in(gateway.door(), BEN, &refs(to), message)
}

/// How often each got the message of this number. Each copy must name its recipient and nobody else.
fn copies(hop: &Hop, number: &str) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for arrived in hop.with_number(number) {
        let [recipient] = &arrived.recipients[..] else {
            panic!("{} recipients in one copy", arrived.recipients.len())
        };
        let text = String::from_utf8_lossy(&arrived.bytes).into_owned();
        assert!(text.contains(&format!("\r\nTo: {recipient}\r\n")), "{text}");
        assert_eq!(text.matches("@mail.example").count(), 1, "nobody else is named: {text}");
        *copies.entry(recipient.clone()).or_default() += 1;
    }
    copies
}

fn once(of: &[String]) -> BTreeMap<String, usize> {
    of.iter().map(|person| (person.clone(), 1)).collect()
}

fn told(hop: &Hop, words: &str) -> usize {
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(words);
    hop.arrived().iter().filter(|arrived| arrived.recipients == [BEN] && told(&arrived.bytes)).count()
}

fn all_there(hop: &Hop, number: &str, of: &[String]) {
    wait_for("all copies", Duration::from_secs(60), || (copies(hop, number).len() == of.len()).then_some(()));
}

#[test]
fn each_gets_a_copy_and_the_sender_is_told_once() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    let to = people(0..12);
    let answer = say(&gateway, &to, &message("smtp", "Support group", &to, ""));
    assert!(answer.starts_with("250 2.0.0 Taken as "), "{answer}");
    all_there(&hop, "smtp", &to);
    assert_eq!(copies(&hop, "smtp"), once(&to));
    hop.wait_for("the notice", |arrived| arrived.recipients == [BEN]);

    let mut server = Mta::connect(gateway.milter()).unwrap();
    let others = people(20..32);
    let outcome = server.hand_in(BEN, &refs(&others), &message("milter", "Support group", &others, "")).unwrap();
    assert!(matches!(outcome, Outcome::Discarded), "the server sends nothing itself");
    server.quit().unwrap();
    all_there(&hop, "milter", &others);
    assert_eq!(copies(&hop, "milter"), once(&others));
    wait_for("both notices", Duration::from_secs(30), || (told(&hop, "Recipients hidden") == 2).then_some(()));
    assert!(gateway.cases().is_empty());
    let audit = gateway.command(&["audit", "verify"]);
    assert!(audit.status.success() || audit.status.code() == Some(2), "{audit:?}");
    let stored = found_in(&gateway.data(), &["person3@mail", "Support group", "Tuesday"]);
    assert!(stored.is_empty(), "{stored:?}");
    println!("12 recipients through each door: 24 of 24 copies, each names one, 2 notices");
}

/// By way of a hop that gives our own mail back to us: a copy goes on to its recipient, and to nobody else.
#[test]
fn a_copy_that_comes_back_to_our_door_goes_on_as_it_is() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    let to = people(0..4);
    assert!(say(&gateway, &to, &message("back", "Support group", &to, "")).contains("Taken as"));
    all_there(&hop, "back", &to);
    let copy = hop.with_number("back").into_iter().find(|copy| copy.recipients == ["person2@mail.example"]).unwrap();
    assert_eq!(hand_in(gateway.door(), BEN, &["person2@mail.example"], &copy.bytes), "250 2.0.0 kept");
    wait_for("it again", Duration::from_secs(10), || (copies(&hop, "back")["person2@mail.example"] == 2).then_some(()));
    let answer = hand_in(gateway.door(), BEN, &["person2@mail.example", "eve@mail.example"], &copy.bytes);
    assert!(answer.contains("Taken as"), "to another it is judged: {answer}");
}

/// A copy that is refused is reported, once, and the others go on. The address is refused after the door asked for it.
#[test]
fn a_copy_that_fails_is_reported_and_the_others_arrive() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    let to = people(0..10);
    let mut server = Mta::connect(gateway.milter()).unwrap();
    hop.change(|manner| {
        manner.refused.insert("person4@mail.example".into(), "550 5.1.1 Unknown".into());
    });
    server.hand_in(BEN, &refs(&to), &message("failed", "Support group", &to, "")).unwrap();
    let report = hop.wait_for("the report", |arrived| {
        arrived.recipients == [BEN] && String::from_utf8_lossy(&arrived.bytes).contains("could not be delivered")
    });
    let report = String::from_utf8_lossy(&report.bytes).into_owned();
    assert!(report.contains("person4@mail.example") && !report.contains("person5@"), "{report}");
    let mut rest = to.clone();
    rest.remove(4);
    all_there(&hop, "failed", &rest);
    assert_eq!(copies(&hop, "failed"), once(&rest));
    assert_eq!(told(&hop, "could not be delivered"), 1);
    println!("1 of 10 copies refused: 9 of 9 others arrived, 1 report");
}

#[test]
fn a_kill_amid_the_copies_loses_nobody_and_doubles_no_more_than_the_one_in_hand() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    let rounds: usize = env::var("OUTGATE_COPIES_KILLED").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3);
    let mut doubled = 0;
    for round in 0..rounds {
        let number = format!("killed-{round}");
        let to = people(round * 100..round * 100 + 60);
        assert!(say(&gateway, &to, &message(&number, "Support group", &to, "")).starts_with("250"));
        for killed_at in [1 + round % 7, 30] {
            wait_for("some copies", Duration::from_secs(30), || {
                (hop.with_number(&number).len() >= killed_at).then_some(())
            });
            gateway.kill();
            gateway.launch();
        }
        all_there(&hop, &number, &to);
        let copies = copies(&hop, &number);
        assert_eq!(copies.len(), to.len(), "{number}");
        let twice: usize = copies.values().map(|count| count - 1).sum();
        assert!(twice <= 2, "{twice} doubled by 2 kills");
        doubled += twice;
    }
    println!(
        "kill -9 amid copies, {} kills: {} of {} recipients reached, {doubled} copies that the hop had just taken came twice",
        2 * rounds,
        60 * rounds,
        60 * rounds
    );
}

#[test]
fn a_hop_that_goes_away_amid_the_copies_gets_the_rest_later() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    let to = people(0..60);
    assert!(say(&gateway, &to, &message("away", "Support group", &to, "")).starts_with("250"));
    wait_for("some copies", Duration::from_secs(30), || (hop.with_number("away").len() >= 5).then_some(()));
    hop.down();
    let before = copies(&hop, "away").len();
    gateway.kill();
    gateway.launch();
    hop.up();
    all_there(&hop, "away", &to);
    let doubled: usize = copies(&hop, "away").values().map(|count| count - 1).sum();
    assert!(doubled <= 1, "{doubled}");
    println!("the hop went away after {before} of 60 copies, then kill -9: 60 of 60, {doubled} twice");
}

#[test]
fn more_than_so_many_wait_and_leave_as_copies_when_released() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    let to = people(0..81);
    assert!(say(&gateway, &to, &message("many", "Support group", &to, "")).starts_with("250 2.0.0 Taken"));
    let case = gateway.case("Support group");
    assert_eq!((case["state"].as_str(), case["category"].as_str()), (Some("waiting"), Some("recipients")));
    assert!(hop.with_number("many").is_empty());
    let id = case["id"].as_str().unwrap();
    gateway.done(&["case", "release", id]);
    gateway.becomes(id, "delivered");
    assert_eq!(copies(&hop, "many"), once(&to));
    wait_for("the letter", Duration::from_secs(30), || (told(&hop, "Recipients hidden") == 1).then_some(()));
    println!("81 recipients where 80 get copies: held; released: 81 of 81 copies");
}

/// Two transactions of one message: each recipient one copy, one notice.
#[test]
fn transactions_of_one_message_are_told_once() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    let to = people(0..20);
    let whole = message("split", "Support group", &to, "");
    for part in to.chunks(10) {
        assert!(say(&gateway, part, &whole).starts_with("250"));
        gateway.restart();
    }
    all_there(&hop, "split", &to);
    assert_eq!(copies(&hop, "split"), once(&to));
    hop.wait_for("the notice", |arrived| arrived.recipients == [BEN]);
    assert_eq!(told(&hop, "Recipients hidden"), 1);
    assert!(gateway.cases().is_empty(), "a part of a message does not follow the rest of it");
}

#[test]
fn a_second_message_in_haste_waits_and_so_does_a_recall() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    let to = people(0..10);
    assert_eq!(say(&gateway, &to, &message("first", "News", &to, "")), "250 2.0.0 kept");
    let first = hop.with_number("first").remove(0);
    assert_eq!(first.recipients.len(), 10);
    assert!(!String::from_utf8_lossy(&first.bytes).contains("@mail.example"));
    assert!(String::from_utf8_lossy(&first.bytes).contains("\r\nTo: undisclosed-recipients:;\r\n"));
    hop.wait_for("the notice", |arrived| arrived.recipients == [BEN]);
    // Over a restart; three at a time, and nine of ten.
    gateway.restart();
    let few = say(&gateway, &to[..3], &message("few", "Three of them", &to[..3], ""));
    assert_eq!(few, "250 2.0.0 kept", "three of ten are no second message to the list");
    let again = say(&gateway, &to[1..], &message("again", "Forgot the file", &[BEN.to_string()], ""));
    assert!(again.contains("Taken as"), "{again}");
    let mut server = Mta::connect(gateway.milter()).unwrap();
    let recall = message("recall", "Recall: News", &to[..4], "");
    assert!(matches!(server.hand_in(BEN, &refs(&to[..4]), &recall).unwrap(), Outcome::Discarded));
    server.quit().unwrap();
    let other = hand_in(gateway.door(), "ann@ours.example", &refs(&to), &message("other", "Of Ann", &to[..3], ""));
    assert_eq!(other, "250 2.0.0 kept", "another sender's list is another list");
    assert_eq!(gateway.cases().len(), 2);
    let stored = found_in(&gateway.data(), &["person3@mail", "Forgot the file"]);
    assert!(stored.is_empty(), "{stored:?}");
    println!("after a hidden list of 10: the same 9 again and a recall to 4 wait, 3 of them and another sender do not");
}

#[test]
fn a_held_message_that_was_decided_is_no_longer_followed() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    let to = people(0..81);
    assert!(say(&gateway, &to, &message("held", "Support group", &to, "")).contains("Taken as"));
    let case = gateway.case("Support group")["id"].as_str().unwrap().to_string();
    let bare = |number: &str, subject: &str| message(number, subject, &[BEN.to_string()], "");
    assert!(say(&gateway, &to, &bare("second", "Where is it")).contains("Taken as"));
    let second = gateway.case("Where is it")["id"].as_str().unwrap().to_string();
    for case in [&case, &second] {
        gateway.done(&["case", "return", case, "--reason", "not so"]);
    }
    assert_eq!(say(&gateway, &to, &bare("third", "Put right")), "250 2.0.0 kept");
}

/// A thread counts when the gateway saw it, with those to whom its messages went.
#[test]
fn a_made_up_thread_hides_nothing_less() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    let hidden = |number: &str| {
        let arrived = hop.with_number(number).remove(0);
        !String::from_utf8_lossy(&arrived.bytes).contains("5@mail.example")
    };
    let to = people(10..18);
    let answers = |id: &str| format!("In-Reply-To: <{id}>\r\nReferences: <{id}>\r\n");
    say(&gateway, &to, &message("made-up", "Re: News", &to, &answers("never@ours.example")));
    assert!(hidden("made-up"));
    // One to oneself alone that names others.
    let to = people(30..38);
    let mut seed: Vec<String> = people(30..34);
    seed.extend(["a", "b", "c"].map(|own| format!("{own}@ours.example")));
    say(&gateway, &[BEN.to_string()], &message("seed", "News", &seed, ""));
    let seeded = &to[..6];
    say(&gateway, seeded, &message("seeded", "Re: News", seeded, &answers("seed@ours.example")));
    assert!(hidden("seeded"));
    // A thread that came in from outside with all of them in it.
    let from_outside = String::from_utf8(message("outside", "Meeting", &[to.clone(), vec![BEN.into()]].concat(), ""))
        .unwrap()
        .replace(&format!("Ben Okafor <{BEN}>"), "Chair <chair@agency.example>");
    let came = hand_in(gateway.door(), "chair@agency.example", &[BEN], from_outside.as_bytes());
    assert_eq!(came, "250 2.0.0 kept");
    let ann = "ann@ours.example";
    let reply = String::from_utf8(message("reply", "Re: Meeting", &to, &answers("outside@ours.example"))).unwrap();
    let reply = reply.replace(BEN, ann);
    assert_eq!(hand_in(gateway.door(), ann, &refs(&to), reply.as_bytes()), "250 2.0.0 kept");
    assert!(!hidden("reply"), "these people see each other already");
}
