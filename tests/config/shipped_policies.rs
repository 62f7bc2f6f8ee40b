//! The shipped policies say word for word what the organisations' documents say.

use outgate::config::load;
use std::{collections::BTreeMap, fs, path::Path};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Expected {
    id: String,
    duty: String,
    text: String,
    #[serde(default)]
    needs_internal_mail: bool,
}

const NOTICE: &str = "Age UK Cambridgeshire and Peterborough is a Charitable Incorporated Organisation (CIO) registered with \
the Charity Commission for England and Wales with registered charity No. 1165856.\n\nThis email and any files transmitted with \
it are confidential and intended solely for the use of the individual or entity to whom they are addressed.  If you receive a \
message in error, please advise the sender and delete immediately.\n";

fn with_policy(policies: &[&str]) -> outgate::config::Loaded {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("outgate.toml");
    let policies: Vec<_> = policies.iter().map(|policy| format!("policies/{policy}")).collect();
    let settings = format!("policy = {policies:?}\n[smtp]\n[next-hop]\naddress = \"127.0.0.1:10036\"\n");
    fs::write(&file, settings).unwrap();
    load(&file).unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)))
}

#[test]
fn every_clause_is_there_in_the_documents_own_words() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/clauses.toml");
    let expected: BTreeMap<String, Vec<Expected>> = toml::from_str(&fs::read_to_string(table).unwrap()).unwrap();
    assert_eq!(expected.values().map(Vec::len).sum::<usize>(), 69);
    for (policy, clauses) in expected {
        let loaded = with_policy(&[&policy]);
        let shipped = &loaded.ruleset.policies()[0].clauses;
        assert_eq!(shipped.len(), clauses.len(), "{policy}");
        for wanted in clauses {
            let found = shipped.iter().find(|clause| *clause.clause.id == *wanted.id);
            let found = found.unwrap_or_else(|| panic!("{policy} has no {}", wanted.id));
            assert_eq!(*found.clause.text, *wanted.text, "{}", wanted.id);
            assert_eq!(format!("{:?}", found.duty).to_lowercase(), wanted.duty, "{}", wanted.id);
            let internal = found.needs == Some(outgate::policy::clause::Needs::InternalMail);
            assert_eq!(internal, wanted.needs_internal_mail, "{}", wanted.id);
        }
    }
}

#[test]
fn every_must_clause_of_every_policy_is_enforced_or_says_why_not() {
    for policy in ["baseline", "allsorts", "allsorts-employees", "aukcap", "national-star", "care-provider"] {
        let coverage = with_policy(&[policy]).coverage();
        let open: Vec<_> =
            coverage.clauses.iter().filter(|clause| clause.must && !clause.standing.is_settled()).collect();
        assert!(open.is_empty(), "{policy}: {open:#?}");
    }
}

#[test]
fn aukcap_owns_its_domain_and_appends_its_notice_to_the_letter() {
    let loaded = with_policy(&["aukcap"]);
    assert_eq!(loaded.own_domains(), ["ageukcap.org.uk"]);
    let active = loaded.ruleset.active();
    let rule = |name: &str| active.iter().find(|active| *active.rule.name == *name).expect("an active rule");
    let notices = &rule("confidentiality-notice").texts;
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].fixed().expect("without fields").plain, NOTICE);
    assert_eq!(notices[0].fixed().expect("without fields").html.matches("<p>").count(), 2, "two paragraphs");
    assert_eq!(rule("hide-recipients").rule.recipient_limit(), Some(10), "its own figure");
}

#[test]
fn a_text_that_a_document_does_not_give_is_empty_and_reported() {
    for (policy, expected) in [
        ("allsorts-employees", "allsorts-employees B-footer: the notice that it demands"),
        ("care-provider", "care-provider E-disclaimer: the notice that it demands"),
        ("aukcap", ": [notices.footer] is empty"),
        ("aukcap", "aukcap C-2.8.2: the clause's own words"),
    ] {
        let missing = outgate::config::missing_texts(&with_policy(&[policy]));
        assert!(missing.iter().any(|line| line.ends_with(expected)), "{policy}: {missing:#?}");
    }
}

#[test]
fn one_company_runs_both_its_policies_at_once() {
    let loaded = with_policy(&["allsorts", "allsorts-employees"]);
    let abusive = loaded.ruleset.active().iter().find(|active| &*active.rule.name == "abusive-language").unwrap();
    let cited: Vec<_> = abusive.clauses.iter().map(|clause| &*clause.id).collect();
    assert!(cited.contains(&"A-offensive") && cited.contains(&"B-harassment"), "{cited:?}");
}
