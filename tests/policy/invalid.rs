//! Bad rule and policy files, each with the message that it must give: `NAME.toml` and `NAME.expected`. A file whose
//! name begins with `policy-` is a policy beside the rule `good`, any other a rule beside a policy that names it.

use outgate::{
    diagnostic::Source,
    policy::{MaySendAs, Mode, PolicyInput, Ruleset, RulesetInputs},
};
use std::{collections::BTreeMap, fs};

const GOOD_RULE: &str = "title = 'Good'\npurpose = 'a test'\nmode = 'watch'\n\n[when]\nrecipients-over = 5\n\n\
                         [then.set-header]\nname = 'X-Good'\nvalue = 'yes'\n";

fn mistakes(name: &str, text: &str) -> String {
    let bad = Source::new(format!("{name}.toml"), text);
    let good_rule = Source::new("good.toml", GOOD_RULE);
    let good_policy = format!(
        "organisation = 'Test'\nown-domains = ['ours.example']\n\n[[clause]]\nid = '1'\ntext = 'A.'\nenforced-by = ['{name}']\n"
    );
    let (policy, rules) = if name.starts_with("policy-") {
        (bad, vec![good_rule])
    } else {
        (Source::new("policy.toml", good_policy), vec![good_rule, bad])
    };
    let built = Ruleset::build(RulesetInputs {
        policies: vec![PolicyInput { name: "test".into(), source: policy }],
        rules,
        notices: BTreeMap::new(),
        legal: Default::default(),
        detectors: ["personal.iban", "personal.uk-nino", "words.abuse"].map(String::from).to_vec(),
        detectors_digest: String::new(),
        own_domains: Vec::new(),
        may_send_as: MaySendAs::default(),
        mode: Mode::Enforce,
    });
    built.err().map(|mistakes| mistakes.to_string()).unwrap_or_default()
}

#[test]
fn bad_files_say_what_is_wrong_where_and_what_is_allowed() {
    let mut paths: Vec<_> =
        fs::read_dir("tests/invalid").expect("the folder").map(|e| e.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    assert!(paths.len() >= 20, "{} bad files", paths.len());
    let mut wrong = Vec::new();
    for path in paths {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a bad file");
        let found = mistakes(&name, &text);
        let expected = fs::read_to_string(path.with_extension("expected")).unwrap_or_default();
        if found.trim() != expected.trim() || found.is_empty() {
            fs::write(path.with_extension("actual"), format!("{found}\n")).expect("the folder can be written");
            wrong.push(format!("{}:\n{found}\ninstead of\n{expected}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn mistakes_of_all_files_come_at_once_with_line_and_caret() {
    let bad = |name: &str| Source::new(format!("rules/{name}.toml"), "title = 1\nmode = 'sleep'\n");
    let built = Ruleset::build(RulesetInputs {
        policies: vec![PolicyInput {
            name: "p".into(),
            source: Source::new("policies/p/policy.toml", "clauses = []\n"),
        }],
        rules: vec![bad("a"), bad("b")],
        notices: BTreeMap::new(),
        legal: Default::default(),
        detectors: Vec::new(),
        detectors_digest: String::new(),
        own_domains: Vec::new(),
        may_send_as: MaySendAs::default(),
        mode: Mode::Enforce,
    });
    let mistakes = built.expect_err("three bad files");
    for path in ["policies/p/policy.toml", "rules/a.toml", "rules/b.toml"] {
        assert!(mistakes.iter().filter(|mistake| mistake.path() == path).count() >= 2, "{path}\n{mistakes}");
    }
    let drawn = mistakes.render(false);
    assert!(drawn.contains("rules/a.toml:2:8") && drawn.contains("allowed: enforce, watch"), "{drawn}");
}

#[test]
fn a_policy_without_clauses_has_no_active_rule() {
    let built = Ruleset::build(RulesetInputs {
        policies: vec![PolicyInput { name: "p".into(), source: Source::new("p.toml", "organisation = 'Nobody'\n") }],
        rules: vec![Source::new("good.toml", GOOD_RULE)],
        notices: BTreeMap::new(),
        legal: Default::default(),
        detectors: Vec::new(),
        detectors_digest: String::new(),
        own_domains: Vec::new(),
        may_send_as: MaySendAs::default(),
        mode: Mode::Enforce,
    });
    assert!(built.expect("a good set").active().is_empty());
}
