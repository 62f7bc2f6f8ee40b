//! What the gateway itself sends is not judged when it comes back to its door; and only the data folder's owner may act
//! on it.

use crate::support::{Gateway, Hop, hand_in, letter};

const BEN: &str = "ben.okafor@ours.example";
const CLAIMS: &[&str] = &["claims@agency.example"];
const NINO: &str = "Her National Insurance number is QQ 12 34 56 C.";

/// The subject of the held message stands in the letter about it, where a rule would find it.
const SUBJECT: &str = "Forward this to everyone you know. Do not break the chain!";

#[test]
fn our_own_letters_are_not_judged_when_they_come_back() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let held = String::from_utf8(letter("held", NINO))
        .unwrap()
        .replace("Subject: number held", &format!("Subject: {SUBJECT}"));
    assert!(hand_in(gateway.door(), BEN, CLAIMS, held.as_bytes()).starts_with("250"));
    let notice = hop.wait_for("the notice", |arrived| arrived.recipients == [BEN]);
    assert_eq!(gateway.cases().len(), 1);

    // By way of a hop that gives our own mail back to us.
    let answer = hand_in(gateway.door(), "", &[BEN], &notice.bytes);
    assert!(answer.starts_with("250") && !answer.contains("Taken as"), "{answer}");
    assert_eq!(gateway.cases().len(), 1, "a letter about a case became a case");
    let again = hop.wait_for("the notice again", |arrived| {
        arrived.recipients == [BEN] && !String::from_utf8_lossy(&arrived.bytes).contains("Outgate-Pass")
    });
    assert_eq!(again.sender, "");

    // The same letter to somebody outside is judged as any other.
    let answer = hand_in(gateway.door(), "", &[BEN, "friend@elsewhere.example"], &notice.bytes);
    assert!(answer.contains("Taken as"), "{answer}");
    // And with a sender it is no letter of ours.
    let answer = hand_in(gateway.door(), BEN, &["colleague@ours.example"], &notice.bytes);
    assert!(!answer.starts_with("250") || answer.contains("Taken as"), "{answer}");
}

#[test]
fn commands_of_another_user_leave_no_file_that_the_service_cannot_read() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    gateway.done(&["case", "list"]);
    // Only root can give the folder away; others cannot run this story.
    if std::os::unix::fs::chown(gateway.data(), Some(64_999), None).is_err() {
        return;
    }
    let output = gateway.command(&["case", "list"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("sudo -u '#64999'"), "{said}");
}
