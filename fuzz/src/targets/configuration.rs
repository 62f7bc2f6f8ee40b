//! Files of the configuration: a mistake has a place that can be shown, and a set that holds is the same set again.

use outgate::{
    config,
    detect::{DetectorSources, Detectors, SourceFile},
    diagnostic::{Diagnostics, Source},
    policy::{
        Mode, PolicyInput, Ruleset, RulesetInputs,
        prove::{self, Detecting},
    },
};
use std::{collections::BTreeMap, path::Path, sync::LazyLock};

const GOOD_RULE: &str = "title = 'Good'\npurpose = 'a test'\nmode = 'watch'\n\n[when]\nrecipients-over = 5\n\n\
                         [then.set-header]\nname = 'X-Good'\nvalue = 'yes'\n";
const GOOD_POLICY: &str = "organisation = 'Test'\nown-domains = ['ours.example']\n\n[[clause]]\nid = '1'\ntext = 'A.'\n\
                           enforced-by = ['fuzzed']\n";

static SOURCES: LazyLock<DetectorSources> = LazyLock::new(DetectorSources::embedded);
static DETECTORS: LazyLock<Detectors> = LazyLock::new(|| Detectors::compile(&SOURCES).expect("the shipped lists"));

/// Each as a rule, a policy, patterns of detectors and outgate.toml: most of what makes it one of these is mistakes elsewhere.
pub fn rule_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    as_rule_or_policy(text);
    as_settings(text);
    as_patterns(text);
}

fn as_rule_or_policy(text: &str) {
    for policy in [false, true] {
        let fuzzed = Source::new(if policy { "policy.toml" } else { "fuzzed.toml" }, text);
        let (policy, rules) = if policy {
            (fuzzed, vec![Source::new("good.toml", GOOD_RULE)])
        } else {
            (Source::new("policy.toml", GOOD_POLICY), vec![fuzzed])
        };
        let inputs = RulesetInputs {
            policies: vec![PolicyInput { name: "test".into(), source: policy }],
            rules,
            notices: BTreeMap::new(),
            legal: Default::default(),
            detectors: DETECTORS.names().into_iter().map(String::from).collect(),
            detectors_digest: String::new(),
            own_domains: Vec::new(),
            may_send_as: Default::default(),
            mode: Mode::Enforce,
        };
        match Ruleset::build(inputs.clone()) {
            Ok(ruleset) => {
                assert_eq!(ruleset.digest(), Ruleset::build(inputs).expect("the same again").digest());
                let detecting = Detecting { detectors: &DETECTORS, sources: &SOURCES };
                shown(&prove::failures(&ruleset, detecting), text);
            }
            Err(mistakes) => {
                assert!(!mistakes.is_empty());
                shown(&mistakes, text);
            }
        }
    }
}

fn as_settings(text: &str) {
    match config::settings_from(Path::new("outgate.toml"), text) {
        Ok((settings, _)) => assert!(settings.smtp.is_some() || settings.milter.is_some(), "no door"),
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            shown(&mistakes, text);
        }
    }
}

fn as_patterns(text: &str) {
    let file = SourceFile { path: "detectors/fuzzed.toml".into(), text: text.into() };
    let sources = DetectorSources { patterns: vec![file], ..DetectorSources::default() };
    for mistake in Detectors::compile(&sources).err().unwrap_or_default() {
        assert!(text.get(mistake.span.clone()).is_some() && mistake.line >= 1, "{mistake:?}");
    }
}

/// One line each, and the drawing with its caret.
fn shown(mistakes: &Diagnostics, text: &str) {
    for mistake in mistakes.iter() {
        let line = mistake.to_string();
        assert!(!mistake.message().is_empty() && line.contains(':'));
        assert!(mistake.line() <= text.lines().count().max(1) + 1 && mistake.column() >= 1);
    }
    mistakes.render(false);
}
