//! Rules' own tests, run with the real detectors and the real judge, each rule alone with its own figures.
//!
//! The world of these tests: `ours.example` is ours; the group `all-staff@ours.example` reaches 120 people and waits for
//! its manager's approval; `author@ours.example` may write as the shared mailbox `office@ours.example`; `agency.example` is another
//! organisation's, at `webmail.example` anybody gets an address, all other domains are unknown.

use super::{
    Facts, KnownDomains, MaySendAs, Tell, Who, clause::Group, example::Example, judge::judge, rule::Rule,
    ruleset::Ruleset,
};
use crate::{
    detect::{DetectorSources, Detectors, Finding},
    diagnostic::{Diagnostic, Diagnostics, Source},
    intake::{RetryKey, Submission},
    mail::{
        Address, Certainty, Door, Envelope, ForwardPath, Message, Origin, PartId, ReversePath, SubmissionId, Unread,
        User,
    },
};
use std::{net::Ipv4Addr, sync::Arc, time::Duration};
use time::OffsetDateTime;

/// What the tests need of the detectors.
#[derive(Clone, Copy)]
pub struct Detecting<'d> {
    pub detectors: &'d Detectors,
    /// What they were compiled from: an entry of a word list stands for `{words.NAME}` in a test's text.
    pub sources: &'d DetectorSources,
}

/// One test and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub rule: Arc<str>,
    pub test: String,
    /// Whether the rule had to match.
    pub expected: bool,
    pub matched: Tell,
    /// Of a test that failed: the conditions that decided it, with what the message had.
    pub because: Vec<String>,
}

impl Proof {
    pub fn holds(&self) -> bool {
        self.matched == if self.expected { Tell::Yes } else { Tell::No }
    }
}

/// Runs all tests of all rules, active or not.
pub fn prove(ruleset: &Ruleset, detecting: Detecting<'_>) -> Vec<Proof> {
    ruleset.rules().iter().flat_map(|rule| prove_rule(rule, detecting)).collect()
}

/// Runs the tests of one rule.
pub fn prove_rule(rule: &Rule, detecting: Detecting<'_>) -> Vec<Proof> {
    let Some(alone) = group().map(|group| Ruleset::alone(rule, group, may_send_as(), domains())) else {
        return Vec::new();
    };
    rule.examples.iter().map(|example| prove_one(rule, example, &alone, detecting)).collect()
}

/// The rules whose tests fail, as mistakes of their files: a set with one is not taken.
pub fn failures(ruleset: &Ruleset, detecting: Detecting<'_>) -> Diagnostics {
    let mut diagnostics = Diagnostics::default();
    for proof in prove(ruleset, detecting).iter().filter(|proof| !proof.holds()) {
        let Some(rule) = ruleset.rules().iter().find(|rule| rule.name == proof.rule) else { continue };
        let expected = if proof.expected { "match" } else { "no match" };
        let message = format!("the test `{}` fails: expected {expected}", proof.test);
        let diagnostic = Diagnostic::new(&rule.source, place(&rule.source, &proof.test), message);
        diagnostics.push(diagnostic.with_allowed(proof.because.join("; ")));
    }
    diagnostics
}

/// The test's name in its file.
fn place(source: &Source, name: &str) -> std::ops::Range<usize> {
    source.text.find(name).map_or(0..0, |at| at..at + name.len())
}

fn group() -> Option<Group> {
    let manager = Address::parse("manager@ours.example").ok()?;
    let mut group = Group::new("all-staff", Address::parse("all-staff@ours.example").ok()?, 120);
    group.approval = true;
    group.manager = Some(manager);
    Some(group)
}

fn domains() -> KnownDomains {
    let [webmail, agency] = ["webmail.example", "agency.example"].map(|domain| [Source::new("domains", domain)]);
    KnownDomains::parse(&webmail, &agency, &mut Diagnostics::default())
}

fn may_send_as() -> MaySendAs {
    let who = |text| Who::parse(text).ok();
    let office = who("office@ours.example").zip(who("author@ours.example"));
    MaySendAs { entries: office.map(|(office, author)| (office, vec![author])).into_iter().collect() }
}

fn prove_one(rule: &Rule, example: &Example, alone: &Ruleset, detecting: Detecting<'_>) -> Proof {
    let submission = submission(rule, example, detecting);
    let mut scan = detecting.detectors.scan(&submission.message);
    scan.findings
        .extend(example.found_inside.iter().map(|detector| Finding::of_part(detector.clone(), PartId::new("1"), 0..0)));
    scan.unread.extend(example.unread.map(|reason| Unread { part: PartId::new("1"), reason }));
    let thread_shares = if example.thread_shares { Tell::Yes } else { Tell::No };
    let earlier = example.earlier(rule.recipient_limit().unwrap_or(0));
    let followed = Ok(example.followed.into_iter().collect());
    let facts = Facts { thread_shares, earlier, followed, ..Facts::unknown_past(submission.received_at) };
    let verdict = judge(&submission, &scan, &facts, alone);
    let matched = match verdict.cannot_tell {
        Some(why) => Tell::CannotTell(why),
        None if verdict.grounds.iter().any(|ground| ground.rule == rule.name) => Tell::Yes,
        None => Tell::No,
    };
    let mut proof = Proof {
        rule: rule.name.clone(),
        test: example.name.clone(),
        expected: example.expect,
        matched,
        because: Vec::new(),
    };
    if !proof.holds() {
        let explained = super::explain::explain(&submission, &scan, &facts, alone);
        let conditions = explained.into_iter().flat_map(|explained| explained.conditions);
        proof.because = conditions
            .filter(|condition| (condition.met == Tell::Yes) != example.expect)
            .map(|condition| format!("{} {} ({})", condition.section.as_str(), condition.wanted, condition.value))
            .collect();
    }
    proof
}

/// The test's message as if one of ours had just handed it in.
fn submission(rule: &Rule, example: &Example, detecting: Detecting<'_>) -> Submission {
    let written = example.write(rule.recipient_limit().unwrap_or(0), &|name| detecting.sources.sample(name));
    let path = |address| ForwardPath { address, parameters: Vec::new() };
    Submission {
        id: SubmissionId::from_bytes([0; 16]),
        origin: Origin {
            address: Ipv4Addr::LOCALHOST.into(),
            helo: "client.ours.example".into(),
            esmtp: true,
            tls: None,
            user: example.user.clone().map(|name| User { name: name.into(), certainty: Certainty::Authenticated }),
            door: Door::Smtp,
            via: None,
        },
        envelope: Envelope {
            sender: ReversePath { address: example.sender.clone(), parameters: Vec::new() },
            recipients: written.recipients.into_iter().map(path).collect(),
        },
        message: Message::parse(written.bytes),
        trace: Arc::from(&b""[..]),
        trace_end: 0,
        received_at: OffsetDateTime::UNIX_EPOCH,
        answer_within: Duration::from_secs(90),
        passed: None,
        trial: None,
        retry_key: RetryKey([0; 32]),
        split_key: None,
        node_id: None,
    }
}
