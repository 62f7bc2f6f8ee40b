//! Why a message was matched or not, condition by condition.

use super::{
    Facts, Mode, Tell,
    rule::{Outcome, Rule, Section},
    ruleset::Ruleset,
    seen::Seen,
};
use crate::{detect::Scan, intake::Submission};
use std::sync::Arc;

/// One active rule and one message.
#[derive(Clone, Debug)]
pub struct Explained {
    pub rule: Arc<str>,
    pub title: Arc<str>,
    pub mode: Mode,
    /// What it does when it matches: `hold`.
    pub action: &'static str,
    /// Ids of the clauses that it serves.
    pub clauses: Vec<Arc<str>>,
    pub outcome: Outcome,
    pub conditions: Vec<ExplainedCondition>,
    /// Why a rule that matches does nothing: *text missing*.
    pub remark: Option<&'static str>,
}

/// One condition and one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedCondition {
    pub section: Section,
    /// As the rule writes it: `visible-recipients-over 20`.
    pub wanted: String,
    /// What the message has: `8`. Never an address or a word of the message.
    pub value: String,
    /// Whether the rule may match, as far as this condition goes.
    pub met: Tell,
}

/// All active rules, by name.
pub fn explain(submission: &Submission, scan: &Scan, facts: &Facts, ruleset: &Ruleset) -> Vec<Explained> {
    let seen = Seen::new(submission, scan, facts, ruleset.house());
    let explained = ruleset.active().iter().map(|active| Explained {
        rule: active.rule.name.clone(),
        title: active.rule.title.clone(),
        mode: ruleset.mode_of(&active.rule),
        action: active.rule.action.name(),
        clauses: active.clauses.iter().map(|clause| clause.id.clone()).collect(),
        outcome: active.rule.weigh(&seen),
        conditions: conditions(&active.rule, &seen),
        remark: (active.rule.action.appended_notice().is_some() && active.texts.is_empty())
            .then_some("text missing: the rule does nothing"),
    });
    explained.collect()
}

fn conditions(rule: &Rule, seen: &Seen<'_>) -> Vec<ExplainedCondition> {
    let explained = rule.conditions.iter().map(|(section, condition)| ExplainedCondition {
        section: *section,
        wanted: condition.wanted(),
        value: condition.value(seen),
        met: section.meets(condition.tell(seen)),
    });
    explained.collect()
}
