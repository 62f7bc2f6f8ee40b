//! Submissions and rulesets made of a few words.

use outgate::{
    detect::{Finding, Scan},
    diagnostic::{Diagnostics, Source},
    intake::{RetryKey, Submission},
    mail::{
        Address, Certainty, Confidence, Door, Envelope, ForwardPath, Message, Origin, PartId, ReversePath,
        SubmissionId, User, Zone,
    },
    policy::{Facts, KnownDomains, MaySendAs, Mode, PolicyInput, Ruleset, RulesetInputs, Tell},
    sensitive::Sensitive,
};
use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc, time::Duration};
use time::OffsetDateTime;

pub const HEAD: &str = "title = 'A rule'\npurpose = 'a test'\nmode = 'watch'\n";

/// `(name, text)` of rules, all of them named by one policy; `more` is added to the policy.
pub fn ruleset(rules: &[(&str, &str)], more: &str, mode: Mode) -> Ruleset {
    ruleset_with(rules, more, mode, MaySendAs::default())
}

pub fn ruleset_with(rules: &[(&str, &str)], more: &str, mode: Mode, may_send_as: MaySendAs) -> Ruleset {
    let names: Vec<String> = rules.iter().map(|(name, _)| format!("'{name}'")).collect();
    let policy = format!(
        "organisation = 'Test'\nown-domains = ['ours.example']\n\n[[clause]]\nid = '1'\ntext = 'A sentence.'\n\
         enforced-by = [{}]\n{more}\n",
        names.join(", ")
    );
    let built = Ruleset::build(RulesetInputs {
        policies: vec![PolicyInput { name: "test".into(), source: Source::new("policy.toml", policy) }],
        rules: rules.iter().map(|(name, text)| Source::new(format!("rules/{name}.toml"), *text)).collect(),
        notices: BTreeMap::new(),
        legal: Default::default(),
        detectors: ["personal.uk-nino", "words.abuse"].map(String::from).to_vec(),
        detectors_digest: String::new(),
        own_domains: Vec::new(),
        may_send_as,
        mode,
    });
    let mut diagnostics = Diagnostics::default();
    let agency = [Source::new("organisations.txt", "agency.example")];
    let domains = KnownDomains::parse(&[], &agency, &mut diagnostics);
    built.unwrap_or_else(|mistakes| panic!("{mistakes}")).with_domains(domains, "")
}

/// A rule that enforces, with tests that nobody runs here.
pub fn enforcing(body: &str) -> String {
    format!(
        "{}\n{body}\n[[test]]\nname = 'a'\nexpect = 'match'\n[[test]]\nname = 'b'\nexpect = 'no match'\n",
        HEAD.replace("watch", "enforce")
    )
}

/// `sender` empty is the null sender; `message` has LF lines.
pub fn submission(sender: &str, recipients: &[&str], message: &str) -> Submission {
    let address = |text: &&str| Address::parse(text).expect("an address");
    Submission {
        id: SubmissionId::fresh(),
        origin: Origin {
            address: Ipv4Addr::LOCALHOST.into(),
            helo: "client.example".into(),
            esmtp: true,
            tls: None,
            user: None,
            door: Door::Smtp,
            via: None,
        },
        envelope: Envelope {
            sender: ReversePath { address: (!sender.is_empty()).then(|| address(&sender)), parameters: Vec::new() },
            recipients: recipients
                .iter()
                .map(|recipient| ForwardPath { address: address(recipient), parameters: Vec::new() })
                .collect(),
        },
        message: Message::parse(message.replace('\n', "\r\n").into_bytes()),
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

pub fn with_user(mut submission: Submission, certainty: Certainty) -> Submission {
    submission.origin.user = Some(User { name: Sensitive::new("author".into()), certainty });
    submission
}

pub fn facts(thread_shares: Tell) -> Facts {
    Facts { thread_shares, ..Facts::unknown_past(OffsetDateTime::UNIX_EPOCH) }
}

pub fn found(detector: &str, value: u64, zone: Zone) -> Finding {
    Finding {
        detector: detector.into(),
        category: None,
        severity: 2,
        part: PartId::new("1"),
        zone,
        confidence: Confidence::High,
        range: 0..4,
        excerpt: "****".into(),
        value,
        score: 0.9,
    }
}

pub fn scan_of(findings: Vec<Finding>) -> Scan {
    Scan { findings, ..Scan::default() }
}
