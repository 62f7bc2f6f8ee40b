//! What `outgate config check` says: every mistake with its line, then what is not wrong but should be known, then the
//! texts that an organisation's document demands and does not give.

use super::Loaded;
use crate::{
    diagnostic::Diagnostics,
    policy::{Mode, coverage::Standing},
};
use std::fmt::Write as _;

/// For a terminal. With a mistake the configuration cannot be used; what follows after none are notes.
pub fn report(loaded: &Result<Loaded, Diagnostics>, colour: bool) -> String {
    match loaded {
        Err(mistakes) => {
            let count = mistakes.len();
            let noun = if count == 1 { "mistake" } else { "mistakes" };
            format!("{}{count} {noun}. This configuration cannot be used.\n", mistakes.render(colour))
        }
        Ok(loaded) => good(loaded),
    }
}

fn good(loaded: &Loaded) -> String {
    let mut out = format!("{}: good.\n", loaded.settings.file.display());
    let active = loaded.ruleset.active();
    let tests: usize = active.iter().map(|active| active.rule.examples.len()).sum();
    let mode = match loaded.settings.mode {
        Mode::Enforce => "",
        Mode::Watch => " All rules only watch: they record and change nothing.",
    };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{} rules are active; their {tests} tests hold.{mode}", active.len());
    if loaded.own_domains().is_empty() {
        let _ = writeln!(out, "No own domain: nobody's mail is edited. Write own-domains.");
    } else {
        let _ = writeln!(out, "Own domains: {}", loaded.own_domains().join(", "));
    }
    for remark in &loaded.remarks {
        let _ = writeln!(out, "note: {remark}");
    }
    for missing in missing_texts(loaded) {
        let _ = writeln!(out, "required text missing: {missing}");
    }
    out
}

/// Texts that a policy needs and does not have, each with the place to write it.
pub fn missing_texts(loaded: &Loaded) -> Vec<String> {
    let mut missing = Vec::new();
    for policy in loaded.ruleset.policies() {
        for (name, _) in policy.notices.iter().filter(|(_, text)| text.is_empty()) {
            let at = policy.notice_places.get(name).map_or(0, |at| at.start);
            let line = policy.source.text[..at].matches('\n').count() + 1;
            missing.push(format!("{}:{line}: [notices.{name}] is empty", policy.source.path));
        }
        if let Some(legal) = policy.legal.as_ref().filter(|legal| !legal.value.missing().is_empty()) {
            let line = policy.source.text[..legal.at.start].matches('\n').count() + 1;
            let keys = legal.value.missing().join(", ");
            missing.push(format!("{}:{line}: [legal] does not give {keys}", policy.source.path));
        }
    }
    for covered in loaded.coverage().clauses {
        let clause = &covered.clause;
        if covered.standing == Standing::TextMissing {
            missing.push(format!("{} {}: the notice that it demands", clause.policy, clause.id));
        }
        if clause.text.is_empty() {
            missing.push(format!("{} {}: the clause's own words", clause.policy, clause.id));
        }
    }
    missing
}
