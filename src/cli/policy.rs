//! `outgate policy coverage`: each clause, and what enforces it or why nothing does.

use super::{
    Failure,
    arguments::{Arguments, Policy, PolicyCommand},
    exit, opening,
};
use crate::{
    config,
    policy::{Mode, coverage::Covered},
};
use serde_json::json;
use std::io::Write;

pub fn run(arguments: &Arguments, options: &Policy) -> Result<u8, Failure> {
    let PolicyCommand::Coverage = options.command;
    let loaded = config::load(&opening::file(arguments)?).map_err(Failure::Configuration)?;
    let coverage = loaded.coverage();
    let mut out = std::io::stdout().lock();
    for covered in &coverage.clauses {
        let text = if arguments.json { object(covered).to_string() } else { in_words(covered) };
        writeln!(out, "{text}").map_err(|error| Failure::said(error.to_string()))?;
    }
    if coverage.mode == Mode::Watch {
        eprintln!("mode = \"watch\": nothing is enforced while the whole installation watches");
    }
    if coverage.is_complete() {
        return Ok(0);
    }
    let open = coverage.clauses.iter().filter(|covered| covered.must && !covered.standing.is_settled()).count();
    eprintln!("{open} must clauses are neither enforced nor excused");
    Ok(exit::NO)
}

fn object(covered: &Covered) -> serde_json::Value {
    let enforcers = covered.enforcers.iter();
    let enforcers = enforcers.map(|by| json!({"rule": by.rule, "mode": by.mode, "tests": by.tests}));
    json!({"policy": covered.clause.policy, "id": covered.clause.id, "text": covered.clause.text, "must": covered.must,
           "enforced_by": enforcers.collect::<Vec<_>>(), "served_by": covered.features,
           "standing": covered.standing.to_string(), "remarks": covered.remarks})
}

fn in_words(covered: &Covered) -> String {
    let duty = if covered.must { "must" } else { "may" };
    let mut text = format!("{} {} ({duty}): {}", covered.clause.policy, covered.clause.id, covered.standing);
    for by in &covered.enforcers {
        let watched = if by.mode == Mode::Watch { ", watch" } else { "" };
        text.push_str(&format!("\n    rule {} ({} tests{watched})", by.rule, by.tests));
    }
    if !covered.features.is_empty() {
        text.push_str(&format!("\n    served by {}", covered.features.join(", ")));
    }
    for remark in &covered.remarks {
        text.push_str(&format!("\n    {remark}"));
    }
    text
}
