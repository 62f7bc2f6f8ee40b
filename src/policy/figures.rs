//! The organisation's own figures. Of several policies the stricter figure wins: every figure that a rule has is a
//! threshold from which it acts, so the smaller one is the stricter.

use super::{Mode, clause::Policy, rule::Rule};
use crate::diagnostic::{Diagnostic, Diagnostics};

/// The rule with the figures and the mode that hold for it: of each policy that cites it the policy's own figure, or
/// else the rule's; of these the strictest.
pub fn applied(rule: &Rule, citing: &[&Policy]) -> Rule {
    let mut applied = rule.clone();
    for (name, shipped) in rule.figures() {
        let strictest = citing.iter().map(|policy| own_figure(policy, rule, name).unwrap_or(shipped)).reduce(f64::min);
        applied.set_figure(name, strictest.unwrap_or(shipped));
    }
    let enforced = citing.iter().any(|policy| own_mode(policy, rule).unwrap_or(rule.mode) == Mode::Enforce);
    if !citing.is_empty() {
        applied.mode = if enforced { Mode::Enforce } else { Mode::Watch };
    }
    applied
}

fn own_figure(policy: &Policy, rule: &Rule, name: &str) -> Option<f64> {
    let own = policy.figures.iter().find(|own| *own.rule.value == *rule.name)?;
    own.figures.iter().find(|(key, _)| key.value == name).map(|(_, figure)| *figure)
}

fn own_mode(policy: &Policy, rule: &Rule) -> Option<Mode> {
    policy.figures.iter().find(|own| *own.rule.value == *rule.name)?.mode
}

/// `[rules.NAME]` must name a rule that the policy cites, and figures that the rule has.
pub fn check(policy: &Policy, rules: &[Rule], diagnostics: &mut Diagnostics) {
    for own in &policy.figures {
        let mistake = |at, message: String| Diagnostic::new(&policy.source, at, message);
        let cited = policy.clauses.iter().any(|clause| clause.enforced_by.iter().any(|r| r.value == own.rule.value));
        let Some(rule) = rules.iter().find(|rule| *rule.name == *own.rule.value) else {
            let names: Vec<&str> = rules.iter().map(|rule| &*rule.name).collect();
            let wrong = mistake(own.rule.at.clone(), format!("there is no rule `{}`", own.rule.value));
            diagnostics.push(wrong.with_words(&own.rule.value, &names));
            continue;
        };
        if !cited {
            let message = format!("figures for `{}`, which no clause of this policy names", rule.name);
            diagnostics.push(mistake(own.rule.at.clone(), message));
        }
        let known = rule.figures();
        for (key, figure) in &own.figures {
            if !known.iter().any(|(name, _)| *name == key.value) {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).chain(["mode"]).collect();
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
        _ => (whole, "a whole number from 0 to 1000000"),
    };
    (!good).then_some(allowed)
}
