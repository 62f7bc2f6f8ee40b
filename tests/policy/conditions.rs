//! Each condition: yes, no, and its value in words.

use super::world::{HEAD, facts, found, ruleset, scan_of, submission};
use outgate::{
    detect::{Finding, Protected, Scan},
    mail::{Address, Ambiguity, Confidence, PartId, Protection, Unread, UnreadReason, Zone},
    policy::{Directory, Earlier, Facts, Mode, Person, Tell, Written, explain, judge, rule::Outcome},
};
use std::{sync::Arc, time::Duration};

const GROUPS: &str = "\n[[group]]\nname = 'all-staff'\naddress = 'all-staff@ours.example'\nmembers = 120\n\
                      approval = true\nmanager = 'manager@ours.example'\n\
                      \n[[group]]\nname = 'team'\naddress = 'team@ours.example'\n\
                      \n[sensitive-list]\ngroups = ['clinic@ours.example']\n";

/// What the condition says of a message, and its value in words.
fn ask(
    condition: &str,
    sender: &str,
    recipients: &[&str],
    message: &str,
    scan: &Scan,
    shares: Tell,
) -> (Outcome, String) {
    let rule = format!("{HEAD}\n[when]\n{condition}\n\n[then.tag-subject]\ntag = 'x'\n");
    let set = ruleset(&[("rule", &rule)], GROUPS, Mode::Enforce);
    let submission = submission(sender, recipients, message);
    let explained = explain(&submission, scan, &facts(shares), &set).remove(0);
    (explained.outcome, explained.conditions[0].value.clone())
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

const US: &str = "author@ours.example";
const OUT: &str = "client@elsewhere.example";
const HELLO: &str = "From: author@ours.example\nTo: client@elsewhere.example\nSubject: Hello to You\n\nHello.\n";
const AUTO: &str =
    "From: author@ours.example\nTo: client@elsewhere.example\nAuto-Submitted: auto-generated\n\nHello.\n";
const THREE: &str = "From: author@ours.example\nTo: a@elsewhere.example, B@elsewhere.example\n\
                     Cc: b@elsewhere.example, c@elsewhere.example\n\nHello.\n";

/// Five outside (three private), two of ours, one of them a group of 120.
const SHOWN: &str = "From: author@ours.example\nTo: a@unknown.example, b@unknown.example, all-staff@ours.example\n\
                     Cc: \"x@mail.example\" <c@agency.example>\nResent-To: d@north.agency.example\n\
                     Resent-Cc: e@ours.example\n\nHello.\n";
const LEFT_BCC: &str = "From: author@ours.example\nTo: a@unknown.example\nBcc: b@unknown.example\n\nHello.\n";

/// Condition, sender, recipients, message, whether it holds, its value in words.
type Asked = (&'static str, &'static str, &'static [&'static str], &'static str, bool, &'static str);

#[test]
fn conditions_on_people_and_header() {
    let table: &[Asked] = &[
        ("direction = 'outbound'", US, &[OUT], HELLO, true, "outbound"),
        ("direction = ['internal', 'foreign']", US, &[OUT], HELLO, false, "outbound"),
        ("direction = 'internal'", US, &["colleague@ours.example"], HELLO, true, "internal"),
        ("direction = 'foreign'", OUT, &["x@third.example"], "From: x@elsewhere.example\n\nHello.\n", true, "foreign"),
        ("outside = true", US, &["colleague@ours.example", OUT], HELLO, true, "1"),
        ("outside = true", US, &["colleague@sub.ours.example"], HELLO, false, "0"),
        ("outside = false", US, &["colleague@ours.example"], HELLO, true, "0"),
        ("recipients-over = 2", US, &[OUT, "b@elsewhere.example", "c@elsewhere.example"], HELLO, true, "3"),
        ("recipients-over = 2", US, &[OUT, "Client@Elsewhere.example", "c@elsewhere.example"], HELLO, false, "2"),
        ("recipients-over = 100", US, &["All-Staff@ours.example"], HELLO, true, "120"),
        ("visible-recipients-over = 2", US, &[OUT], THREE, true, "3"),
        ("visible-recipients-over = 3", US, &[OUT], THREE, false, "3"),
        ("outside-recipients-over = 1", US, &[OUT, "d@elsewhere.example", "e@ours.example"], HELLO, true, "2"),
        ("outside-recipients-over = 2", US, &[OUT, "d@elsewhere.example", "e@ours.example"], HELLO, false, "2"),
        ("internal-recipients-over = 1", US, &[OUT, "d@ours.example", "all-staff@ours.example"], HELLO, true, "121"),
        ("domains-over = 1", US, &[OUT, "d@ELSEWHERE.example", "e@ours.example"], HELLO, true, "2"),
        ("outside-domains-over = 1", US, &[OUT, "d@ELSEWHERE.example", "e@ours.example"], HELLO, false, "1"),
        ("visible-outside-over = 3", US, &[OUT], SHOWN, true, "5"),
        ("visible-private-over = 3", US, &[OUT], SHOWN, false, "3"),
        ("visible-organisations-over = 1", US, &[OUT], SHOWN, true, "2"),
        ("visible-internal-over = 121", US, &[OUT], SHOWN, false, "121"),
        ("visible-domains-over = 4", US, &[OUT], SHOWN, true, "5"),
        ("visible-outside-domains-over = 4", US, &[OUT], SHOWN, false, "4"),
        ("visible-recipients-over = 6", US, &[OUT], SHOWN, true, "7"),
        ("visible-recipients-over = 1", US, &[OUT], LEFT_BCC, false, "1"),
        ("visible-group = true", US, &[OUT], SHOWN, true, "1"),
        ("visible-group = true", US, &["all-staff@ours.example"], HELLO, false, "0"),
        ("visible-group = false", US, &["all-staff@ours.example"], HELLO, true, "0"),
        ("sensitive-list = { subjects = ['hello'] }", US, &[OUT], HELLO, true, "by the subject"),
        ("sensitive-list = { subjects = ['ell'] }", US, &[OUT], HELLO, false, "no"),
        ("sensitive-list = { groups = ['Team'] }", US, &["team@ours.example"], HELLO, true, "by a group"),
        ("sensitive-list = { groups = ['team@ours.example'] }", US, &["TEAM@ours.example"], HELLO, true, "by a group"),
        ("sensitive-list = { teams = ['Team'] }", US, &["team@ours.example"], HELLO, false, "no"),
        ("sensitive-list = true", US, &[OUT], HELLO, false, "no"),
        ("sensitive-list = true", US, &["clinic@ours.example"], HELLO, true, "by a group"),
        ("sensitive-list = false", US, &[OUT], HELLO, true, "no"),
        ("recipient-domain = 'elsewhere.example'", US, &["x@Mail.Elsewhere.example"], HELLO, true, "1"),
        ("recipient-domain = 'elsewhere.example'", US, &["x@notelsewhere.example"], HELLO, false, "0"),
        ("recipient-group = ['team', 'all-staff']", US, &["team@ours.example"], HELLO, true, "team"),
        ("recipient-group = 'team'", US, &[OUT], HELLO, false, "no group"),
        ("group-needs-approval = true", US, &["all-staff@ours.example"], HELLO, true, "all-staff"),
        ("group-needs-approval = true", US, &["team@ours.example"], HELLO, false, "team"),
        ("from-domain = 'ours.example'", OUT, &[OUT], HELLO, true, "yes"),
        ("from-domain = 'ours.example'", US, &[OUT], "From: x@elsewhere.example\n\nHello.\n", false, "no"),
        ("from-domain = 'ours.example'", US, &[OUT], "Subject: no author\n\nHello.\n", true, "yes"),
        ("subject-contains = ['to YOU']", US, &[OUT], HELLO, true, "yes"),
        ("subject-contains = ['goodbye']", US, &[OUT], HELLO, false, "no"),
        ("automatic = true", US, &[OUT], AUTO, true, "yes"),
        ("automatic = true", US, &[OUT], HELLO, false, "no"),
        ("automatic = false", US, &[OUT], HELLO, true, "no"),
        ("automatic = true", "", &[OUT], HELLO, true, "yes"),
        ("header-matches = { name = 'subject', pattern = '^Hello' }", US, &[OUT], HELLO, true, "yes"),
        ("header-matches = { name = 'Subject', pattern = '^hello' }", US, &[OUT], HELLO, false, "no"),
        ("header-matches = { name = 'X-None', pattern = '' }", US, &[OUT], HELLO, false, "no"),
    ];
    for (condition, sender, recipients, message, holds, value) in table {
        let (outcome, said) = ask(condition, sender, recipients, message, &Scan::default(), Tell::No);
        assert_eq!(outcome == Outcome::Match, *holds, "{condition} for {recipients:?}: {outcome:?}");
        assert_eq!(said, *value, "{condition}");
    }
}

#[test]
fn conditions_on_what_the_scan_says() {
    let plain = Scan::default();
    let nino = scan_of(vec![found("personal.uk-nino", 1, Zone::Own), found("personal.uk-nino", 2, Zone::Quoted)]);
    let doubtful = |zone| Finding { confidence: Confidence::Low, ..found("words.abuse", 1, zone) };
    let doubted = scan_of(vec![doubtful(Zone::Quoted), doubtful(Zone::Signature)]);
    let sure = scan_of(vec![found("words.abuse", 1, Zone::Quoted)]);
    let locked = Scan { protected: vec![(PartId::new("1"), Protected::EncryptedPdf)], ..Scan::default() };
    let signed =
        Scan { protected: vec![(PartId::new("1"), Protected::Mail(Protection::PgpSigned))], ..Scan::default() };
    let member =
        Scan { protected: vec![(PartId::new("1").member("a.pdf"), Protected::EncryptedPdf)], ..Scan::default() };
    let unread =
        Scan { unread: vec![Unread { part: PartId::new("2"), reason: UnreadReason::TooLarge }], ..Scan::default() };
    let ambiguous =
        Scan { ambiguous: vec![Ambiguity { part: PartId::new("1"), class: "two boundaries" }], ..Scan::default() };
    let table: &[(&str, &Scan, bool, &str)] = &[
        ("finds = ['personal.uk-nino']", &nino, true, "2"),
        ("finds = ['words.abuse']", &nino, false, "0"),
        ("finds = { any = ['personal.uk-nino'], distinct = 3 }", &nino, false, "2"),
        ("finds = { any = ['personal.uk-nino'], zones = ['quoted'] }", &nino, true, "1"),
        ("finds = { any = ['personal.uk-nino'], zones = ['attachment'] }", &nino, false, "0"),
        // What only perhaps is quoted counts as the author's own, and as quoted.
        ("finds = { any = ['words.abuse'], zones = ['own'] }", &doubted, true, "1"),
        ("finds = { any = ['words.abuse'], zones = ['quoted'] }", &doubted, true, "1"),
        ("finds = { any = ['words.abuse'], zones = ['attachment'] }", &doubted, false, "0"),
        ("finds = { any = ['words.abuse'], zones = ['own'] }", &sure, false, "0"),
        ("finds = { any = ['personal.uk-nino'], min-score = 0.95 }", &nino, false, "0"),
        ("finds = { any = ['personal.uk-nino'], min-severity = 3 }", &nino, false, "0"),
        ("encrypted = 'all'", &locked, true, "1 of 1 parts"),
        ("encrypted = 'attachment'", &locked, true, "1 of 1 parts"),
        ("encrypted = 'all'", &signed, false, "0 of 1 parts"),
        ("encrypted = 'all'", &member, false, "1 of 2 parts"),
        ("encrypted = 'attachment'", &member, true, "1 of 2 parts"),
        ("encrypted = 'attachment'", &plain, false, "0 of 1 parts"),
        ("unread = ['too-large', 'time']", &unread, true, "too-large"),
        ("unread = 'encrypted'", &unread, false, "too-large"),
        ("unread = 'encrypted'", &plain, false, "all was read"),
        ("ambiguous = true", &ambiguous, true, "yes"),
        ("ambiguous = true", &plain, false, "no"),
        ("ambiguous = false", &plain, true, "no"),
    ];
    for (condition, scan, holds, value) in table {
        let (outcome, said) = ask(condition, US, &[OUT], HELLO, scan, Tell::No);
        assert_eq!(outcome == Outcome::Match, *holds, "{condition}: {outcome:?}");
        assert_eq!(said, *value, "{condition}");
    }
}

#[test]
fn a_fault_of_the_world_is_neither_yes_nor_no() {
    let why = Tell::CannotTell("the store does not answer");
    let told = |condition, shares| ask(condition, US, &[OUT], HELLO, &Scan::default(), shares);
    for (condition, shares, outcome) in [
        ("thread-already-shares = true", Tell::Yes, Outcome::Match),
        ("thread-already-shares = false", Tell::No, Outcome::Match),
        ("thread-already-shares = true", why, Outcome::CannotTell("the store does not answer")),
        ("thread-already-shares = false", why, Outcome::CannotTell("the store does not answer")),
    ] {
        assert_eq!(told(condition, shares).0, outcome, "{condition} {shares:?}");
    }
    assert!(matches!(told("thread-already-shares = true", Tell::No).0, Outcome::NoMatch { missing: 1, .. }));
    assert!(matches!(told("thread-already-shares = false", Tell::Yes).0, Outcome::NoMatch { missing: 1, .. }));
    let settled = told("thread-already-shares = true\noutside = false", why).0;
    assert!(matches!(settled, Outcome::NoMatch { .. }), "a condition that fails settles it: {settled:?}");
}

/// What earlier transactions of the message brought counts on; all else is asked of this one alone.
#[test]
fn counts_go_on_through_all_transactions_of_a_message() {
    let earlier = |people, outside| Facts { earlier: Earlier { people, outside }, ..facts(Tell::No) };
    let table: &[(&str, Facts, bool, &str)] = &[
        ("recipients-over = 20", earlier(19, 0), false, "20"),
        ("recipients-over = 20", earlier(20, 0), true, "21"),
        ("recipients-over = 20", earlier(0, 0), false, "1"),
        ("outside-recipients-over = 20", earlier(20, 19), false, "20"),
        ("outside-recipients-over = 20", earlier(20, 20), true, "21"),
        ("visible-recipients-over = 0", earlier(50, 50), true, "1"),
        ("visible-recipients-over = 1", earlier(50, 50), false, "1"),
        ("outside = false", earlier(5, 5), false, "1"),
        ("direction = 'outbound'", earlier(5, 0), true, "outbound"),
        ("recipient-domain = 'third.example'", earlier(5, 5), false, "0"),
    ];
    for (condition, facts, holds, value) in table {
        let rule = format!("{HEAD}\n[when]\n{condition}\n\n[then.tag-subject]\ntag = 'x'\n");
        let set = ruleset(&[("rule", &rule)], GROUPS, Mode::Enforce);
        let explained = explain(&submission(US, &[OUT], HELLO), &Scan::default(), facts, &set).remove(0);
        assert_eq!(explained.outcome == Outcome::Match, *holds, "{condition}: {facts:?}");
        assert_eq!(explained.conditions[0].value, *value, "{condition}: {facts:?}");
    }
    let rule =
        format!("{HEAD}\n[when]\nrecipients-over = 3\nsubject-contains = 'hello'\n\n[then.tag-subject]\ntag = 'x'\n");
    let set = ruleset(&[("rule", &rule)], GROUPS, Mode::Enforce);
    let verdict = judge(&submission(US, &[OUT], HELLO), &Scan::default(), &earlier(1, 1), &set);
    assert_eq!(verdict.almost[0].missing, "recipients-over 3 (2)", "and the third of the way counts them too");
}

/// The directory says who is in a group, and in which team somebody works.
#[test]
fn the_directory_expands_groups_and_knows_teams() {
    let person = |of: &str, team: &str, groups: &[&str]| Person {
        address: address(of),
        name: String::new(),
        title: String::new(),
        team: team.into(),
        phone: String::new(),
        manager: None,
        groups: groups.iter().map(|group| address(group)).collect(),
    };
    let staff = ["staff@ours.example", "all-staff@ours.example"];
    let people = vec![
        person(US, "Bereavement Service", &staff),
        person("b@ours.example", "", &staff),
        person("c@partner.example", "", &["staff@ours.example"]),
    ];
    let written = Written { at: time::OffsetDateTime::UNIX_EPOCH, stale_after: Duration::from_secs(1) };
    let known = Facts { directory: Arc::new(Directory::new(people, written)), ..facts(Tell::No) };
    let shown = "From: author@ours.example\nTo: staff@ours.example, b@ours.example\n\nHello.\n";
    for (condition, recipients, holds, value) in [
        ("recipients-over = 2", &["Staff@ours.example"][..], true, "3"),
        ("recipients-over = 3", &["staff@ours.example", "b@ours.example"], false, "3"),
        ("recipients-over = 120", &["staff@ours.example", "all-staff@ours.example"], true, "121"),
        ("outside-recipients-over = 0", &["staff@ours.example"], true, "1"),
        ("outside = true", &["staff@ours.example"], true, "1"),
        ("internal-recipients-over = 1", &["staff@ours.example"], true, "2"),
        ("domains-over = 1", &["staff@ours.example"], false, "1"),
        ("visible-internal-over = 3", &[OUT], false, "3"),
        ("visible-recipients-over = 2", &[OUT], false, "2"),
        ("visible-group = true", &[OUT], true, "1"),
        ("sensitive-list = { teams = ['bereavement service'] }", &[OUT], true, "by the author's team"),
        ("sensitive-list = { groups = ['c@partner.example'] }", &["staff@ours.example"], true, "by a group"),
    ] {
        let rule = format!("{HEAD}\n[when]\n{condition}\n\n[then.tag-subject]\ntag = 'x'\n");
        let set = ruleset(&[("rule", &rule)], GROUPS, Mode::Enforce);
        let submission = submission(US, recipients, shown);
        let explained = explain(&submission, &Scan::default(), &known, &set).remove(0);
        assert_eq!(explained.outcome == Outcome::Match, holds, "{condition}: {:?}", explained.outcome);
        assert_eq!(explained.conditions[0].value, value, "{condition} {recipients:?}");
    }
}
