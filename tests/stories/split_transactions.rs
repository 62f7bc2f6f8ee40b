//! A server sends one message in several transactions: its counts go on, and it is one case, one notice, one decision.

use crate::support::{Arrived, Client, Dice, Gateway, Hop, Setup, Tried, found_in, hand_in, number};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    env,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const BEN: &str = "ben.okafor@ours.example";
const MANAGER: &str = "manager@ours.example";
const NINO: &str = "Her National Insurance number is QQ 12 34 56 C.";

/// One transaction's bytes of the message `number`: what Exchange Online changes from one to the next is different in each.
fn part(number: &str, text: &str, transaction: usize, attachment: &str) -> Vec<u8> {
    let (encoding, body) = match transaction % 2 {
        0 => ("7bit", text.to_string()),
        _ => ("quoted-printable", text.replace('e', "=65")),
    };
    format!(
        "Received: from exo{transaction}.example by front{transaction}.example; Thu, 04 Jun 2026 21:0{transaction}:00 +0100\r\n\
         X-Number: {number}\r\nX-MS-Exchange-Transaction: {transaction}\r\nFrom: Ben Okafor <{BEN}>\r\nTo: {BEN}\r\n\
         Subject: number {number}\r\nMessage-ID: <{number}@ours.example>\r\nDate: Thu, 04 Jun 2026 21:00:00 +0100\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"_00{transaction}_{number}_\"\r\n\r\n\
         --_00{transaction}_{number}_\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n\
         {body}\r\n--_00{transaction}_{number}_\r\nContent-Type: text/csv; name=list.csv\r\n\
         Content-Disposition: attachment; filename=list.csv\r\n\r\n{attachment}\r\n--_00{transaction}_{number}_--\r\n"
    )
    .into_bytes()
}

fn people(of: std::ops::Range<usize>) -> Vec<String> {
    of.map(|person| format!("person{person}@agency.example")).collect()
}

/// Hands in one transaction with five people.
fn hand_in_five(gateway: &Gateway, number: &str, text: &str, transaction: usize) -> String {
    let to = people(transaction * 5..transaction * 5 + 5);
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    hand_in(gateway.door(), BEN, &to, &part(number, text, transaction, "1;2"))
}

/// More than twelve people wait for approval.
fn twelve(hop: &Hop) -> Gateway {
    let policy = "organisation = 'Test'\nown-domains = ['ours.example']\n[[clause]]\nid = '1'\ntext = 'Approved.'\n\
                  enforced-by = ['mass-mail-approval', 'personal-data-outside', 'chain-letter']\n[rules.mass-mail-approval]\nrecipients-over = 12\n\
                  [reviewers]\napproval = ['managers']\npersonal-data = ['managers']\n";
    Gateway::with(
        hop.address(),
        Setup {
            policies: &["policies/own"],
            top: "reviewers = { managers = [\"manager@ours.example\"] }",
            files: vec![("local/policies/own/policy.toml", policy.into())],
            ..Setup::default()
        },
    )
}

/// How often each person got the message of this number.
fn copies(hop: &Hop, of: &str) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for arrived in hop.with_number(of) {
        for recipient in arrived.recipients {
            *copies.entry(recipient).or_default() += 1;
        }
    }
    copies
}

fn once_each(of: std::ops::Range<usize>) -> BTreeMap<String, usize> {
    people(of).into_iter().map(|person| (person, 1)).collect()
}

fn letters_to<'h>(arrived: &'h [Arrived], whom: &str) -> Vec<&'h Arrived> {
    arrived.iter().filter(|arrived| arrived.recipients == [whom] && number(&arrived.bytes).is_none()).collect()
}

fn id(case: &Value) -> String {
    case["id"].as_str().unwrap().to_string()
}

fn to(case: &Value) -> usize {
    case["to"].as_array().unwrap().len()
}

#[test]
fn twenty_five_recipients_in_five_transactions_are_one_approval() {
    let hop = Hop::start();
    let gateway = twelve(&hop);
    let answers: Vec<String> =
        (0..5).map(|part| hand_in_five(&gateway, "many", "The parcels are here.", part)).collect();
    let case = gateway.case("number many");
    let taken = format!("250 2.0.0 Taken as {}", id(&case));
    let kept = "250 2.0.0 kept".to_string();
    assert_eq!(
        answers,
        [kept.clone(), kept, taken.clone(), taken.clone(), taken],
        "the third trips, what left has left"
    );
    assert_eq!((case["category"].as_str(), to(&case)), (Some("approval"), 15));
    assert_eq!(copies(&hop, "many"), once_each(0..10));

    hop.wait_for("the notice", |arrived| arrived.recipients == [BEN]);
    hop.wait_for("the alert", |arrived| arrived.recipients == [MANAGER]);
    gateway.done(&["case", "release", &id(&case)]);
    gateway.becomes(&id(&case), "delivered");
    assert_eq!(copies(&hop, "many"), once_each(0..25), "all of them, nobody twice");
    let arrived = hop.arrived();
    assert_eq!((letters_to(&arrived, BEN).len(), letters_to(&arrived, MANAGER).len()), (1, 1), "told once, asked once");

    // What was approved needs no second approval.
    assert_eq!(hand_in_five(&gateway, "many", "The parcels are here.", 5), "250 2.0.0 kept");
    assert_eq!(copies(&hop, "many"), once_each(0..30));
    assert_eq!(gateway.cases().len(), 1);
    println!("25 recipients in 5 transactions: 10 relayed, 15 in 1 case, 1 notice, 1 alert; released: 25 of 25 once");
}

#[test]
fn at_the_same_instant_they_are_one_case_and_one_count() {
    let hop = Hop::start();
    let gateway = twelve(&hop);
    let all_at_once = |number: &str, text: &str| {
        let barrier = Barrier::new(5);
        thread::scope(|scope| {
            for transaction in 0..5 {
                let (barrier, gateway) = (&barrier, &gateway);
                scope.spawn(move || {
                    barrier.wait();
                    let answer = hand_in_five(gateway, number, text, transaction);
                    assert!(answer.starts_with("250"), "{answer}");
                });
            }
        });
    };
    for round in 0..10 {
        let number = format!("found-{round}");
        all_at_once(&number, NINO);
        assert_eq!(to(&gateway.case(&format!("number {number}"))), 25, "round {round}");
        assert!(hop.with_number(&number).is_empty());
        let number = format!("counted-{round}");
        all_at_once(&number, "The parcels are here.");
        assert_eq!(
            to(&gateway.case(&format!("number {number}"))),
            15,
            "round {round}: two of the five fit under twelve"
        );
        assert_eq!(copies(&hop, &number).len(), 10);
    }
    println!("5 transactions at one instant, 20 rounds: 20 of 20 one case, 10 of 10 counts exact");
}

#[test]
fn a_restart_or_a_kill_between_them_changes_nothing() {
    let hop = Hop::start();
    let gateway = twelve(&hop);
    for (round, killed) in [("stopped", false), ("killed", true)] {
        let again = || {
            if killed {
                gateway.kill();
                gateway.launch();
            } else {
                gateway.restart();
            }
        };
        for part in 0..5 {
            assert!(hand_in_five(&gateway, round, "The parcels are here.", part).starts_with("250"));
            again();
        }
        let case = gateway.case(&format!("number {round}"));
        assert_eq!(to(&case), 15, "{round}");
        assert_eq!(copies(&hop, round), once_each(0..10), "{round}");
        gateway.done(&["case", "release", &id(&case)]);
        gateway.becomes(&id(&case), "delivered");
        assert_eq!(copies(&hop, round), once_each(0..25), "{round}");
    }
    let stored = found_in(&gateway.data(), &["person3@agency", "stopped@ours", "parcels", BEN]);
    assert!(stored.is_empty(), "{stored:?}");
    println!("restart and kill -9 between transactions: counts and case kept, 25 of 25 once each");
}

#[test]
fn what_a_person_decided_holds_for_the_later_ones() {
    let hop = Hop::start();
    let gateway = twelve(&hop);
    // A release goes to those whom the reviewer saw: the others wait for a decision of their own.
    for part in 0..2 {
        assert!(hand_in_five(&gateway, "released", NINO, part).contains("Taken as"));
    }
    let first = gateway.case("number released");
    gateway.done(&["case", "release", &id(&first)]);
    gateway.becomes(&id(&first), "delivered");
    assert!(hand_in_five(&gateway, "released", NINO, 2).contains("Taken as"));
    assert!(hand_in_five(&gateway, "released", NINO, 3).contains("Taken as"));
    let cases = gateway.cases();
    let second = cases.iter().find(|case| case["state"] == "waiting").expect("a second case");
    assert_eq!((to(&first), to(second)), (10, 10));
    gateway.done(&["case", "release", &id(second)]);
    gateway.becomes(&id(second), "delivered");
    assert_eq!(copies(&hop, "released"), once_each(0..20));

    // What went back, or was destroyed, does not leave in another transaction.
    for (number, act) in
        [("returned", &["case", "return"][..]), ("erased", &["case", "erase", "--reason", "a mistake"])]
    {
        assert!(hand_in_five(&gateway, number, NINO, 0).contains("Taken as"));
        let case = id(&gateway.case(&format!("number {number}")));
        gateway.done(&[act, &[case.as_str()]].concat());
        for (again, text) in [(1, NINO), (2, NINO)] {
            let answer = hand_in_five(&gateway, number, text, again);
            assert!(answer.starts_with("550") && answer.contains(&case), "{number}: {answer}");
        }
        assert!(hop.with_number(number).is_empty());
    }
    // An approval says nothing of what another rule would send back.
    let chain = "Forward this to everyone you know. Do not break the chain, or you will have bad luck!";
    for part in 0..2 {
        assert!(hand_in_five(&gateway, "chain", chain, part).starts_with("550"));
    }
    assert!(
        hand_in_five(&gateway, "chain", chain, 2).contains("Taken as"),
        "the limit is passed, and a hold comes first"
    );
    let approved = id(&gateway.case("number chain"));
    gateway.done(&["case", "release", &approved]);
    let answer = hand_in_five(&gateway, "chain", chain, 3);
    assert!(answer.contains("Taken as") && !answer.contains(&approved), "{answer}");

    // A machine is not answered: what comes of its message waits again.
    let from_nobody = |transaction: usize| {
        let to = people(transaction..transaction + 1);
        hand_in(gateway.door(), "", &[&to[0]], &part("machine", NINO, transaction, "1;2"))
    };
    assert!(from_nobody(0).contains("Taken as"));
    gateway.done(&["case", "return", &id(&gateway.case("number machine"))]);
    assert!(from_nobody(1).contains("Taken as"));
    assert!(from_nobody(2).contains("Taken as"));
    let mut machines = gateway.cases();
    machines.retain(|case| case["subject"] == "number machine");
    assert_eq!(
        machines.iter().map(|case| (case["state"].as_str().unwrap(), to(case))).collect::<Vec<_>>(),
        [("waiting", 2), ("returned", 1)]
    );
    println!("decided: later recipients of a release wait again, of a return and an erasure are sent back");
}

#[test]
fn only_the_same_message_for_others_is_the_same_case() {
    let hop = Hop::start();
    let gateway = twelve(&hop);
    let send = |to: &[&str], message: &[u8]| assert!(hand_in(gateway.door(), BEN, to, message).contains("Taken as"));
    let cases = || gateway.cases().len();
    let (one, two) = (&["a@agency.example"][..], &["b@agency.example"][..]);
    send(one, &part("same", NINO, 0, "1;2"));
    send(one, &part("same", NINO, 1, "1;2"));
    assert_eq!(cases(), 2, "the same to the same again was meant");
    send(two, &part("same", NINO, 2, "another list"));
    assert_eq!(cases(), 3, "another attachment: a release would bring the wrong one");
    send(two, &part("same", &format!("{NINO} And more."), 3, "1;2"));
    assert_eq!(cases(), 4, "another text");
    send(&["c@agency.example", "a@agency.example"], &part("same", &format!("{NINO} And more."), 0, "1;2"));
    assert_eq!(cases(), 4, "the last one has more recipients now");
    let without_id = String::from_utf8(part("same", NINO, 0, "1;2")).unwrap().replace("Message-ID", "X-ID");
    send(one, without_id.as_bytes());
    send(two, without_id.as_bytes());
    assert_eq!(cases(), 6, "without a Message-ID nothing is joined");
}

/// The rest of a message that waits does not leave, though nothing holds it by itself.
#[test]
fn a_later_transaction_waits_with_the_earlier_one() {
    let hop = Hop::start();
    let policy = "organisation = 'Test'\nown-domains = ['ours.example']\n[[clause]]\nid = '1'\ntext = 'Approved.'\n\
                  enforced-by = ['group-approval', 'confidentiality-notice']\n[notices]\nconfidentiality = 'Confidential.'\n\
                  [[group]]\nname = 'staff'\naddress = 'staff@ours.example'\nmembers = 8\napproval = true\nmanager = 'manager@ours.example'\n\
                  [[group]]\nname = 'board'\naddress = 'board@ours.example'\napproval = true\nmanager = 'chair@ours.example'\n";
    let files = vec![("local/policies/own/policy.toml", policy.to_string())];
    let gateway = Gateway::with(hop.address(), Setup { policies: &["policies/own"], files, ..Setup::default() });
    let send = |to: &str, transaction| {
        hand_in(gateway.door(), BEN, &[to], &part("group", "The parcels are here.", transaction, "1;2"))
    };
    let started = Instant::now();
    assert!(send("staff@ours.example", 0).contains("Taken as"));
    hop.wait_for("the manager's letter", |arrived| arrived.recipients == [MANAGER]);
    assert!(send("client@agency.example", 1).contains("Taken as"), "nothing holds it but that the rest waits");
    assert!(send("board@ours.example", 2).contains("Taken as"));
    hop.wait_for("the chair's letter, who was not asked yet", |arrived| arrived.recipients == ["chair@ours.example"]);
    let case = gateway.case("number group");
    assert_eq!(to(&case), 3);
    gateway.done(&["case", "release", &id(&case)]);
    gateway.becomes(&id(&case), "delivered");
    let arrived = hop.with_number("group");
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].recipients.len(), 3);
    assert!(String::from_utf8_lossy(&arrived[0].bytes).contains("Confidential."), "the edit of the second transaction");
    assert_eq!(letters_to(&hop.arrived(), MANAGER).len(), 1);
    assert!(started.elapsed() < Duration::from_secs(60));
}

/// kill -9 at random while four clients send messages of five transactions each and try every transaction until it has its
/// 250. `OUTGATE_SPLIT_KILLS=100` for the long form.
#[test]
fn kills_at_random_lose_nobody_and_make_no_second_case() {
    let kills: u64 = env::var("OUTGATE_SPLIT_KILLS").map_or(4, |kills| kills.parse().expect("a number"));
    let hop = Hop::start();
    let gateway = twelve(&hop);
    let stop = AtomicBool::new(false);
    let sent: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                scope.spawn({
                    let (gateway, stop) = (&gateway, &stop);
                    move || {
                        let mut sent = Vec::new();
                        while !stop.load(Ordering::Relaxed) {
                            let number = format!("{client}-{}", sent.len());
                            (0..5).for_each(|part| until_taken(gateway, &number, part));
                            sent.push(number);
                        }
                        sent
                    }
                })
            })
            .collect();
        let mut dice = Dice::new(kills);
        for _ in 0..kills {
            thread::sleep(Duration::from_millis(200 + dice.below(800)));
            gateway.kill();
            gateway.launch();
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().expect("a client that ends")).collect()
    });
    let cases = gateway.cases();
    for number in &sent {
        let subject = format!("number {number}");
        let waiting: Vec<_> = cases.iter().filter(|case| case["subject"] == subject.as_str()).collect();
        assert_eq!(waiting.len(), 1, "{number}");
        let relayed = copies(&hop, number);
        assert_eq!((relayed.len(), to(waiting[0])), (10, 15), "{number}: what left, and what waits");
    }
    println!(
        "{kills} kills, {} messages of 5 transactions: 0 recipients lost, 0 second cases, 0 over the limit",
        sent.len()
    );
}

fn until_taken(gateway: &Gateway, number: &str, transaction: usize) {
    let to = people(transaction * 5..transaction * 5 + 5);
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let message = part(number, "The parcels are here.", transaction, "1;2");
    loop {
        let answer = Client::connect(gateway.door()).map_err(Tried::BeforeDot);
        if answer.and_then(|mut client| client.send(BEN, &to, &message)).is_ok_and(|answer| answer.starts_with("250")) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
