//! Coverage: each clause of the active policies, and what enforces it or why nothing does.

use super::{
    Clause, Mode,
    clause::{Duty, Needs, Policy, PolicyClause},
    ruleset::Ruleset,
};
use std::{fmt, sync::Arc};

/// What passes this installation beyond outgoing mail.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connected {
    pub internal_mail: bool,
    pub journal: bool,
}

/// All clauses of all active policies.
#[derive(Clone, Debug)]
pub struct Coverage {
    pub clauses: Vec<Covered>,
    /// `Watch`: nothing is enforced while the whole installation watches.
    pub mode: Mode,
}

/// One clause and what serves it.
#[derive(Clone, Debug)]
pub struct Covered {
    pub clause: Arc<Clause>,
    pub must: bool,
    pub enforcers: Vec<Enforcer>,
    /// What outgate does without a rule.
    pub features: Vec<&'static str>,
    pub standing: Standing,
    /// What of it is still missing although rules enforce it; that the clause's own words are not at hand.
    pub remarks: Vec<String>,
}

/// A rule that serves a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enforcer {
    pub rule: Arc<str>,
    pub mode: Mode,
    /// How many tests of its own it has.
    pub tests: usize,
}

/// How a clause stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Enforced,
    /// Its rules record and change nothing.
    WatchedOnly,
    /// The document demands a text that it does not give.
    TextMissing,
    InternalMailNotSeen,
    JournalNotConnected,
    NotYet(String),
    Excused(String),
    /// Nothing enforces it and nobody says why.
    Uncovered,
}

impl Standing {
    /// Whether a *must* clause may stand so: enforced, or with its reason shown.
    pub fn is_settled(&self) -> bool {
        !matches!(self, Standing::WatchedOnly | Standing::Uncovered)
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Standing::Enforced => f.write_str("enforced"),
            Standing::WatchedOnly => f.write_str("watched only"),
            Standing::TextMissing => f.write_str("text missing"),
            Standing::InternalMailNotSeen => f.write_str("internal mail not seen"),
            Standing::JournalNotConnected => f.write_str("journal not connected"),
            Standing::NotYet(reason) => write!(f, "not yet: {reason}"),
            Standing::Excused(reason) => write!(f, "excused: {reason}"),
            Standing::Uncovered => f.write_str("nothing enforces it"),
        }
    }
}

impl Coverage {
    /// Every *must* clause is enforced, or its reason is shown.
    pub fn is_complete(&self) -> bool {
        self.clauses.iter().all(|covered| !covered.must || covered.standing.is_settled())
    }
}

pub fn coverage(ruleset: &Ruleset, connected: Connected) -> Coverage {
    let clauses = ruleset
        .policies()
        .iter()
        .flat_map(|policy| policy.clauses.iter().map(move |clause| covered(ruleset, policy, clause, connected)));
    Coverage { clauses: clauses.collect(), mode: ruleset.mode() }
}

fn covered(ruleset: &Ruleset, policy: &Policy, clause: &PolicyClause, connected: Connected) -> Covered {
    let active = ruleset
        .active()
        .iter()
        .filter(|active| clause.enforced_by.iter().any(|named| *named.value == *active.rule.name));
    let active: Vec<_> = active.collect();
    let text_missing = active
        .iter()
        .any(|active| active.rule.action.appended_notice().is_some_and(|name| !ruleset.gives_notice(policy, name)));
    let enforcers: Vec<Enforcer> = active
        .iter()
        .map(|active| Enforcer {
            rule: active.rule.name.clone(),
            mode: active.rule.mode,
            tests: active.rule.examples.len(),
        })
        .collect();
    let unseen = match clause.needs {
        Some(Needs::InternalMail) if !connected.internal_mail => Some(Standing::InternalMailNotSeen),
        Some(Needs::Journal) if !connected.journal => Some(Standing::JournalNotConnected),
        _ => None,
    };
    let served = !clause.served_by.is_empty() || enforcers.iter().any(|enforcer| enforcer.mode == Mode::Enforce);
    let why_not = || match (&clause.not_yet, &clause.excused) {
        (Some(reason), _) => Standing::NotYet(reason.clone()),
        (None, Some(reason)) => Standing::Excused(reason.clone()),
        (None, None) if enforcers.is_empty() => Standing::Uncovered,
        (None, None) => Standing::WatchedOnly,
    };
    let standing = match unseen {
        _ if text_missing => Standing::TextMissing,
        Some(unseen) => unseen,
        None if served => Standing::Enforced,
        None => why_not(),
    };
    let mut remarks = Vec::new();
    if clause.clause.text.is_empty() {
        remarks.push("the clause's own words are missing".into());
    }
    if !matches!(standing, Standing::NotYet(_)) {
        remarks.extend(clause.not_yet.as_ref().map(|reason| format!("not yet: {reason}")));
    }
    Covered {
        clause: clause.clause.clone(),
        must: clause.duty == Duty::Must,
        enforcers,
        features: clause.served_by.clone(),
        standing,
        remarks,
    }
}
