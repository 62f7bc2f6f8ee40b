//! The organisation's own figures. Of several policies the stricter figure wins: every figure that a rule has is a
//! threshold from which it acts, so the smaller one is the stricter; but of a time for which it looks back, the longer one.

use super::{Mode, clause::Policy, rule::Rule};
use crate::diagnostic::{Diagnostic, Diagnostics};

/// The rule with the figures and the mode that hold for it: of each policy that cites it the policy's own figure, or
/// else the rule's; of these the strictest.
pub fn applied(rule: &Rule, citing: &[&Policy]) -> Rule {
    let mut applied = rule.clone();
    for (name, shipped) in rule.figures() {
        let strictest = citing
            .iter()
            .map(|policy| own_figure(policy, rule, name).unwrap_or(shipped))
            .reduce(if name == LOOKS_BACK { f64::max } else { f64::min });
        applied.set_figure(name, strictest.unwrap_or(shipped));
    }
    let enforced = citing.iter().any(|policy| own_mode(policy, rule).unwrap_or(rule.mode) == Mode::Enforce);
    if !citing.is_empty() {
        applied.mode = if enforced { Mode::Enforce } else { Mode::Watch };
    }
    applied
}

/// How long after a stopped message a rule is on its guard.
const LOOKS_BACK: &str = "within-minutes";

fn own_figure(policy: &Policy, rule: &Rule, name: &str) -> Option<f64> {
    let own = policy.figures.iter().find(|own| *own.rule.value == *rule.name)?;
    own.figures.iter().find(|(key, _)| key.value == name).map(|(_, figure)| *figure)
}

fn own_mode(policy: &Policy, rule: &Rule) -> Option<Mode> {
    policy.figures.iter().find(|own| *own.rule.value == *rule.name)?.mode
}

/// `[rules.NAME]` must name a rule that the policy cites, and figures that the rule has.
/// `known` are the names of all rules, also of those whose files have mistakes of their own.
pub fn check(policy: &Policy, rules: &[Rule], known: &[&str], diagnostics: &mut Diagnostics) {
    for own in &policy.figures {
        let mistake = |at, message: String| Diagnostic::new(&policy.source, at, message);
        let cited = policy.clauses.iter().any(|clause| clause.enforced_by.iter().any(|r| r.value == own.rule.value));
        let Some(rule) = rules.iter().find(|rule| *rule.name == *own.rule.value) else {
            if !known.contains(&own.rule.value.as_str()) {
                let wrong = mistake(own.rule.at.clone(), format!("there is no rule `{}`", own.rule.value));
                diagnostics.push(wrong.with_words(&own.rule.value, known));
            }
            continue;
        };
        if !cited {
            let message = format!("figures for `{}`, which no clause of this policy names", rule.name);
            diagnostics.push(mistake(own.rule.at.clone(), message));
        }
        let figures = rule.figures();
        for (key, figure) in &own.figures {
            if !figures.iter().any(|(name, _)| *name == key.value) {
                let names: Vec<&str> = figures.iter().map(|(name, _)| *name).chain(["mode"]).collect();
                let wrong =
                    mistake(key.at.clone(), format!("`{}` is no figure of the rule `{}`", key.value, rule.name));
                diagnostics.push(wrong.with_words(&key.value, &names));
            } else if let Some(allowed) = out_of_range(&key.value, *figure) {
                let wrong = mistake(key.at.clone(), format!("`{}` is out of range", key.value));
                diagnostics.push(wrong.with_allowed(format!("allowed: {allowed}")));
            }
        }
    }
}

/// What is allowed, when `figure` is not.
fn out_of_range(name: &str, figure: f64) -> Option<&'static str> {
    let whole = figure.fract() == 0.0;
    let (good, allowed) = match name {
        "min-score" => (figure <= 1.0, "a number from 0 to 1"),
        "min-severity" => (whole && figure <= 3.0, "a whole number from 0 to 3"),
        "distinct" => (whole && figure >= 1.0, "a whole number from 1 to 1000000"),
        "share" => ((0.1..=1.0).contains(&figure), "a number from 0.1 to 1"),
        LOOKS_BACK => (whole && (1.0..=1_440.0).contains(&figure), "a whole number from 1 to 1440"),
        "people" => (whole && figure >= 3.0, "a whole number from 3 to 100000"),
        "at-most" => (whole && (1.0..=1000.0).contains(&figure), "a whole number from 1 to 1000"),
        _ => (whole, "a whole number from 0 to 1000000"),
    };
    (!good).then_some(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diagnostic::Source,
        policy::{clause, rule},
    };

    fn policy(more: &str) -> Policy {
        let text = format!("organisation = 'Test'\n[[clause]]\nid = '1'\ntext = 'A.'\nenforced-by = ['many']\n{more}");
        let mut diagnostics = Diagnostics::default();
        let policy = clause::parse("test", &Source::new("policy.toml", text), &mut diagnostics);
        assert!(diagnostics.is_empty(), "{diagnostics}");
        policy.expect("a policy")
    }

    #[test]
    fn of_several_policies_the_stricter_figure_and_the_stricter_mode_win() {
        let text = "title = 'Many'\npurpose = 'a test'\nmode = 'watch'\n[when]\nrecipients-over = 20\n\
                    finds = { any = ['words.abuse'], min-score = 0.5 }\n[then.hold]\ncategory = 'language'\n";
        let mut diagnostics = Diagnostics::default();
        let rule = rule::parse(&Source::new("many.toml", text), &mut diagnostics).expect("a rule");
        let (none, ten, forty) =
            (policy(""), policy("[rules.many]\nrecipients-over = 10"), policy("[rules.many]\nrecipients-over = 40"));
        let enforced = policy("[rules.many]\nmode = 'enforce'\nmin-score = 0.25");
        let table: [(&[&Policy], usize, f64, Mode); 7] = [
            (&[], 20, 0.5, Mode::Watch),
            (&[&none], 20, 0.5, Mode::Watch),
            (&[&forty], 40, 0.5, Mode::Watch),
            (&[&forty, &none], 20, 0.5, Mode::Watch),
            (&[&forty, &ten], 10, 0.5, Mode::Watch),
            (&[&none, &enforced], 20, 0.25, Mode::Enforce),
            (&[&forty, &enforced], 20, 0.25, Mode::Enforce),
        ];
        for (citing, limit, score, mode) in table {
            let applied = applied(&rule, citing);
            let figure = |name| applied.figures().into_iter().find(|(key, _)| *key == name).map(|(_, figure)| figure);
            assert_eq!(applied.recipient_limit(), Some(limit));
            assert_eq!((figure("min-score"), applied.mode), (Some(score), mode));
        }
    }
}
