//! The shipped rules with the shipped detectors, and what they do for each shipped policy.

use outgate::{
    detect::{DetectorSources, Detectors},
    diagnostic::Source,
    policy::{
        Connected, MaySendAs, Mode, PolicyInput, Ruleset, RulesetInputs, coverage,
        coverage::Standing,
        prove::{Detecting, failures, prove},
    },
};
use std::{collections::BTreeMap, fs, path::Path};

const POLICIES: [&str; 6] = ["baseline", "allsorts", "allsorts-employees", "aukcap", "national-star", "care-provider"];

fn source(path: &Path) -> Source {
    Source::new(path.to_string_lossy(), fs::read_to_string(path).expect("a shipped file"))
}

fn rules() -> Vec<Source> {
    let mut paths: Vec<_> =
        fs::read_dir("config/rules").expect("shipped rules").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| source(path)).collect()
}

fn ruleset(policies: &[&str], detectors: &Detectors) -> Ruleset {
    let policies = policies.iter().map(|name| PolicyInput {
        name: name.to_string(),
        source: source(Path::new(&format!("config/policies/{name}/policy.toml"))),
    });
    let built = Ruleset::build(RulesetInputs {
        policies: policies.collect(),
        rules: rules(),
        notices: BTreeMap::new(),
        legal: Default::default(),
        detectors: detectors.names().into_iter().map(String::from).collect(),
        detectors_digest: "shipped".into(),
        own_domains: Vec::new(),
        may_send_as: MaySendAs::default(),
        mode: Mode::Enforce,
    });
    built.unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)))
}

#[test]
fn every_rule_is_proven_both_ways() {
    let sources = DetectorSources::embedded();
    let detectors = Detectors::compile(&sources).expect("the shipped lists");
    let set = ruleset(&["baseline"], &detectors);
    let proofs = prove(&set, Detecting { detectors: &detectors, sources: &sources });
    let failed: Vec<String> = proofs
        .iter()
        .filter(|proof| !proof.holds())
        .map(|proof| format!("{}: {}: expected {}: {:?}", proof.rule, proof.test, proof.expected, proof.because))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    for rule in set.rules() {
        for expected in [true, false] {
            let kind = proofs.iter().filter(|proof| proof.rule == rule.name && proof.expected == expected);
            assert!(kind.count() > 0, "{}: no test that expects {expected}", rule.name);
        }
        assert!(!rule.advice.is_empty() && !rule.purpose.is_empty(), "{}", rule.name);
    }
}

#[test]
fn a_rule_whose_test_fails_says_which_and_why() {
    let sources = DetectorSources::embedded();
    let detectors = Detectors::compile(&sources).expect("the shipped lists");
    let rule = r#"title   = "Wrong"
purpose = "a test"
mode    = "watch"
[when]
recipients-over = 5
[then.tag-subject]
tag = "x"
[[test]]
name    = "too few"
expect  = "match"
to-many = "limit"
[[test]]
name    = "too many"
expect  = "no match"
to-many = "limit + 1"
[[test]]
name    = "right"
expect  = "match"
to-many = "limit + 1"
"#;
    let set = Ruleset::build(RulesetInputs {
        policies: Vec::new(),
        rules: vec![Source::new("rules/wrong.toml", rule)],
        notices: BTreeMap::new(),
        legal: Default::default(),
        detectors: Vec::new(),
        detectors_digest: String::new(),
        own_domains: Vec::new(),
        may_send_as: MaySendAs::default(),
        mode: Mode::Enforce,
    });
    let failed = failures(&set.expect("a good set"), Detecting { detectors: &detectors, sources: &sources });
    let said: Vec<String> = failed.iter().map(ToString::to_string).collect();
    let expected = [
        "rules/wrong.toml:9:12: the test `too few` fails: expected match (when recipients-over 5 (5))",
        "rules/wrong.toml:13:12: the test `too many` fails: expected no match (when recipients-over 5 (6))",
    ];
    assert_eq!(said, expected);
}

#[test]
fn every_must_clause_is_enforced_or_says_why_not() {
    let detectors = Detectors::compile(&DetectorSources::embedded()).expect("the shipped lists");
    for name in POLICIES {
        let set = ruleset(&[name], &detectors);
        let coverage = coverage(&set, Connected::default());
        let uncovered: Vec<_> =
            coverage.clauses.iter().filter(|covered| covered.must && !covered.standing.is_settled()).collect();
        assert!(coverage.is_complete(), "{name}: {uncovered:#?}");
    }
    let standing = |policy: &str, id: &str, connected| {
        let set = ruleset(&[policy], &detectors);
        let coverage = coverage(&set, connected);
        coverage.clauses.iter().find(|covered| *covered.clause.id == *id).expect("the clause").standing.clone()
    };
    let internal = Connected { internal_mail: true, journal: false };
    assert_eq!(standing("aukcap", "C-2.8.1", Connected::default()), Standing::InternalMailNotSeen);
    assert_eq!(standing("aukcap", "C-2.8.1", internal), Standing::Enforced);
    assert_eq!(standing("aukcap", "C-2.6", Connected::default()), Standing::Enforced);
    assert_eq!(standing("care-provider", "E-disclaimer", Connected::default()), Standing::TextMissing);
}

#[test]
fn several_policies_cite_all_clauses_and_the_stricter_figure_wins() {
    let detectors = Detectors::compile(&DetectorSources::embedded()).expect("the shipped lists");
    let limit = |policies: &[&str]| {
        let set = ruleset(policies, &detectors);
        let active = set.active().iter().find(|active| *active.rule.name == *"hide-recipients").expect("active");
        (active.rule.recipient_limit(), active.clauses.len())
    };
    let (baseline, clauses) = limit(&["baseline"]);
    let (aukcap, more) = limit(&["aukcap"]);
    assert_eq!((baseline, aukcap), (Some(20), Some(10)));
    assert_eq!(limit(&["baseline", "aukcap"]), (Some(10), clauses + more));
    let together = ruleset(&["baseline", "aukcap"], &detectors);
    let notice = together.active().iter().find(|active| *active.rule.name == *"confidentiality-notice");
    assert_eq!(notice.expect("active").texts.len(), 2, "each policy's own text");
    assert_eq!(together.own_domains(), ["ageukcap.org.uk", "ours.example"]);
    assert_ne!(together.digest(), ruleset(&["baseline"], &detectors).digest());
    assert_eq!(together.digest(), ruleset(&["baseline", "aukcap"], &detectors).digest());
}
