//! Whether the author is the sender: every form of account, envelope and From, and what covers it.

use super::world::{HEAD, enforcing, facts, ruleset_with, submission};
use outgate::{
    detect::Scan,
    mail::{Certainty, User},
    policy::{MaySendAs, Mode, Tell, Who, explain, judge, rule::Outcome},
};

/// The shared mailboxes of these tests.
fn may_send_as() -> MaySendAs {
    let who = |text: &str| Who::parse(text).expect("an address, an account or a domain");
    let entry = |author: &str, senders: &[&str]| (who(author), senders.iter().map(|sender| who(sender)).collect());
    MaySendAs {
        entries: vec![
            entry("office@ours.example", &["Ann@Ours.example", "carol"]),
            entry("*@news.ours.example", &["*@bounces.elsewhere.example", "mailer"]),
            entry("partner@elsewhere.example", &["ann@ours.example"]),
        ],
    }
}

/// User (with `?` in front: not certain), envelope sender, header, and whose name is used: `no`, `ours`, `foreign`, both.
type Case = (&'static str, &'static str, &'static str, &'static str);

fn told(condition: &str, (user, sender, header, _): &Case) -> (Outcome, String) {
    let rule = format!("{HEAD}\n[when]\n{condition}\n\n[then.tag-subject]\ntag = 'x'\n");
    let set = ruleset_with(&[("rule", &rule)], "", Mode::Enforce, may_send_as());
    let mut submission = submission(sender, &["client@elsewhere.example"], &format!("{header}\n\nHello.\n"));
    if !user.is_empty() {
        let certainty = if user.starts_with('?') { Certainty::Unverified } else { Certainty::Authenticated };
        submission.origin.user = Some(User { name: user.trim_start_matches('?').to_string().into(), certainty });
    }
    let explained = explain(&submission, &Scan::default(), &facts(Tell::No), &set).remove(0);
    (explained.outcome, explained.conditions[0].value.clone())
}

const ANN: &str = "ann@ours.example";

const CASES: &[Case] = &[
    // The envelope alone.
    ("", ANN, "From: Ann <ann@ours.example>", "no"),
    ("", ANN, "From: Ann <ANN@Ours.Example>", "no"),
    ("", ANN, "From: ann+list@ours.example", "no"),
    ("", "ann+bounce=x@ours.example", "From: ann@ours.example", "no"),
    ("", "\"a+b\"@ours.example", "From: a@ours.example", "ours"),
    ("", "+ann@ours.example", "From: bob@ours.example", "ours"),
    ("", "ann@mail.ours.example", "From: ann@ours.example", "no"),
    ("", "ann@elsewhere.example", "From: ann@ours.example", "ours"),
    ("", "ann@elsewhere.example", "From: ann@third.example", "foreign"),
    ("", ANN, "From: Bob <bob@ours.example>", "ours"),
    ("", ANN, "From: x@elsewhere.example", "foreign"),
    ("", "x@elsewhere.example", "From: x@elsewhere.example", "no"),
    // The account counts, not the envelope; one that is only said to be there does not.
    ("ann", "bob@ours.example", "From: ann@ours.example", "no"),
    ("ann", "bob@ours.example", "From: bob@ours.example", "ours"),
    ("Ann@Ours.example", "", "From: ann@ours.example", "no"),
    ("OURS\\Ann", ANN, "From: ann@ours.example", "no"),
    ("ann@elsewhere.example", ANN, "From: ann@ours.example", "ours"),
    ("ann", ANN, "From: ann@elsewhere.example", "foreign"),
    ("?bob", ANN, "From: ann@ours.example", "no"),
    ("?bob", ANN, "From: bob@ours.example", "ours"),
    // Shared mailboxes.
    ("", ANN, "From: Office <office@ours.example>", "no"),
    ("ann", "office@ours.example", "From: Office@ours.example", "no"),
    ("carol", "x@ours.example", "From: office@ours.example", "no"),
    ("", "carol@ours.example", "From: office@ours.example", "no"),
    ("bob", "office@ours.example", "From: office@ours.example", "ours"),
    ("", "b1@bounces.elsewhere.example", "From: letter@news.ours.example", "no"),
    ("mailer", "", "From: letter@news.ours.example", "no"),
    ("", "b1@elsewhere.example", "From: letter@news.ours.example", "ours"),
    ("", ANN, "From: partner@elsewhere.example", "no"),
    // Several authors, several fields, groups: each of them is an author.
    ("", ANN, "From: ann@ours.example, bob@ours.example\nSender: ann@ours.example", "ours"),
    ("", ANN, "From: ann@ours.example, x@elsewhere.example", "foreign"),
    ("", ANN, "From: bob@ours.example, x@elsewhere.example", "ours or foreign"),
    ("", ANN, "From: ann@ours.example, office@ours.example", "no"),
    ("", ANN, "From: ann@ours.example\nFrom: bob@ours.example", "ours"),
    ("", ANN, "From: The board: ann@ours.example, bob@ours.example;", "ours"),
    ("", ANN, "From: Us: ann@ours.example;", "no"),
    // Sender names who sent it, and cannot allow anything.
    ("", ANN, "From: office@ours.example\nSender: ann@ours.example", "no"),
    ("", ANN, "From: office@ours.example\nSender: bob@ours.example", "ours"),
    ("", ANN, "From: ann@ours.example\nSender: bob@ours.example", "ours"),
    ("", ANN, "From: bob@ours.example\nSender: ann@ours.example", "ours"),
    ("", ANN, "From: bob@ours.example\nResent-From: ann@ours.example", "ours"),
    // What a reader sees for an address.
    ("", ANN, "From: \"bob@ours.example\" <ann@ours.example>", "ours"),
    ("", ANN, "From: \"Bob (bob@ours.example)\" <ann@ours.example>", "ours"),
    ("", ANN, "From: ann@ours.example (bob@ours.example)", "ours"),
    ("", ANN, "From: =?utf-8?q?bob=40ours=2Eexample?= <ann@ours.example>", "ours"),
    ("", ANN, "From: =?utf-8?b?Ym9i77ygb3Vycy5leGFtcGxl?= <ann@ours.example>", "ours"),
    ("", ANN, "From: =?utf-8?q?bo=E2=80=8Bb=40ours=2Eexample?= <ann@ours.example>", "ours"),
    ("", ANN, "From: \"'ann@ours.example'\" <ann@ours.example>", "no"),
    ("", ANN, "From: \"ann@ours.example\" <ann@ours.example>", "no"),
    ("", ANN, "From: \"office@ours.example\" <ann@ours.example>", "no"),
    ("", ANN, "From: \"Twitter @ours\" <ann@ours.example>", "no"),
    ("", "x@elsewhere.example", "From: \"bob@ours.example\" <x@elsewhere.example>", "ours"),
    ("", ANN, "From: \"x@elsewhere.example\" <ann@ours.example>", "no"),
    // An author whom nobody can read.
    ("", ANN, "From: The Chief Executive", "ours"),
    ("", "x@elsewhere.example", "From: The Chief Executive", "foreign"),
    ("", ANN, "From: Nobody:;", "ours"),
    ("", ANN, "Subject: without an author", "no"),
    // From nobody.
    ("", "", "From: bob@ours.example", "ours"),
    ("", "", "From: MAILER-DAEMON@mail.ours.example", "no"),
    ("", "", "From: Postmaster@ours.example", "no"),
    ("", "", "From: bob@ours.example\nAuto-Submitted: auto-replied", "no"),
    ("", "", "From: bob@ours.example\nAuto-Submitted: no", "ours"),
    ("", "", "From: bob@ours.example\nContent-Type: multipart/report; boundary=b", "no"),
    ("ann", "", "From: bob@ours.example\nAuto-Submitted: auto-replied", "ours"),
];

#[test]
fn whose_name_is_used_by_whom() {
    for case in CASES {
        let (outcome, value) = told("author-is-not-sender = true", case);
        assert_eq!(value, case.3, "{case:?}");
        assert_eq!(outcome == Outcome::Match, case.3 != "no", "{case:?}");
        let (outcome, _) = told("author-is-not-sender = false", case);
        assert_eq!(outcome == Outcome::Match, case.3 == "no", "{case:?}");
        for kind in ["ours", "foreign"] {
            let (outcome, _) = told(&format!("author-is-not-sender = '{kind}'"), case);
            assert_eq!(outcome == Outcome::Match, case.3.contains(kind), "{kind}: {case:?}");
        }
    }
}

#[test]
fn the_evidence_shows_who_it_is_only_to_those_who_know() {
    let rule = enforcing("[when]\nauthor-is-not-sender = 'ours'\n[then.hold]\ncategory = 'technical'");
    let set = ruleset_with(&[("rule", &rule)], "", Mode::Enforce, may_send_as());
    let header = "To: x@elsewhere.example\nFrom: Bob <bob@ours.example>, y@elsewhere.example, carol@ours.example\n";
    let submission = submission(ANN, &["client@elsewhere.example"], &format!("{header}\nHello.\n"));
    let verdict = judge(&submission, &Scan::default(), &facts(Tell::No), &set);
    let findings = &verdict.grounds[0].findings;
    let shown: Vec<_> = findings.iter().map(|f| (&*f.detector, f.part.to_string(), f.excerpt.as_str())).collect();
    let at = |excerpt| ("author-is-not-sender", "HEADER".to_string(), excerpt);
    assert_eq!(shown, [at("From: b***@***.example"), at("From: c***@***.example")]);
    let field = submission.message.read(findings[0].range.clone());
    assert!(String::from_utf8_lossy(&field).contains("bob@ours.example"));
}

#[test]
fn a_hostile_from_field_costs_little() {
    let names = "bob@ours.example,".repeat(20_000);
    let comments = "(".repeat(1_000) + &"@".repeat(100_000);
    for header in [format!("From: {names}"), format!("From: {comments}"), format!("From: {}@", "a".repeat(300_000))] {
        let started = std::time::Instant::now();
        told("author-is-not-sender = true", &("", ANN, Box::leak(header.into_boxed_str()), ""));
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }
}
