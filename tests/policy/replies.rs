//! Which messages of a thread get a notice, and where in the message.

use super::world::{enforcing, facts, ruleset, submission};
use outgate::{
    detect::Scan,
    mail::{Edit, edit::Placement},
    policy::{Facts, Mode, Tell, asks, judge},
};
use std::{collections::HashSet, sync::Arc};

const US: &str = "author@ours.example";
const THEM: &str = "client@elsewhere.example";
const REFERENCES: &str = "References: <1@x.example>\nIn-Reply-To: <1@x.example>\n";

fn rules(more: &str) -> outgate::policy::Ruleset {
    let rule = enforcing(&format!("[when]\noutside = true\n[then.append-notice]\nnotice = 'words'\n{more}"));
    ruleset(&[("words", &rule)], "[notices.words]\nplain = 'Private.'\n", Mode::Enforce)
}

fn message(head: &str) -> outgate::intake::Submission {
    submission(US, &[THEM], &format!("From: {US}\nMessage-ID: <2@x.example>\n{head}\nHello.\n"))
}

#[test]
fn never_is_for_what_answers_nothing() {
    for (replies, head, expected) in [
        ("always", "Subject: Re: x\n", 1),
        ("never", "Subject: x\n", 1),
        ("never", "Subject: Re: x\n", 0),
        ("never", REFERENCES, 0),
        ("never", "Subject: FW: x\nReferences: <1@x.example>\n", 1),
    ] {
        let set = rules(&format!("replies = '{replies}'"));
        let verdict = judge(&message(head), &Scan::default(), &facts(Tell::No), &set);
        assert_eq!(verdict.consignments[0].edits.len(), expected, "{replies} {head}");
        assert!(asks(&message(head), &Scan::default(), &Arc::default(), &set).is_none(), "nothing to look up");
    }
}

#[test]
fn once_per_thread_asks_and_does_what_it_is_told() {
    let set = rules("replies = 'once-per-thread'");
    let submission = message(REFERENCES);
    let query = asks(&submission, &Scan::default(), &Arc::default(), &set).expect("the thread matters");
    assert_eq!((query.notices.len(), &*query.message_id), (1, "<2@x.example>"));
    let known: HashSet<_> = query.notices.iter().copied().collect();
    let edits = |known| {
        let facts = Facts { notices_in_thread: known, ..facts(Tell::No) };
        let verdict = judge(&submission, &Scan::default(), &facts, &set);
        (verdict.consignments[0].edits.len(), verdict.cannot_tell)
    };
    assert_eq!(edits(Ok(HashSet::new())), (1, None));
    assert_eq!(edits(Ok(known)), (0, None));
    assert_eq!(edits(Err("the store does not answer")), (0, Some("the store does not answer")));
    let planned = judge(&submission, &Scan::default(), &facts(Tell::No), &set).consignments.remove(0).edits;
    assert_eq!(set.once_per_thread(&planned), query.notices);
    assert!(rules("replies = 'always'").once_per_thread(&planned).is_empty());
}

#[test]
fn the_place_is_the_rules() {
    for (more, place) in [
        ("", Placement::EndOfOwnText),
        ("at = 'end-of-own-text'", Placement::EndOfOwnText),
        ("at = 'end-of-message'", Placement::EndOfMessage),
    ] {
        let verdict = judge(&message(""), &Scan::default(), &facts(Tell::No), &rules(more));
        let [planned] = &verdict.consignments[0].edits[..] else { panic!("one edit") };
        let Edit::AppendNotice { notice } = &planned.edit else { panic!("a notice") };
        assert_eq!(notice.at, place, "{more}");
    }
}
