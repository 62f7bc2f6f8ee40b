//! `outgate check`: judge messages without sending them.

use super::{
    Failure,
    arguments::{Arguments, Check},
    exit,
    judging::{self, Circumstances, Judged},
    opening,
};
use crate::{config, mail::Confidence, policy::Disposition};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, io::Write, path::Path};

/// The fate of a file: what `disposition` says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Judged(Disposition),
    TryLater,
}

impl Fate {
    pub(super) fn of(judged: &Judged) -> Self {
        match judged.verdict.cannot_tell {
            Some(_) => Fate::TryLater,
            None => Fate::Judged(judged.verdict.disposition()),
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Fate::Judged(disposition) => disposition.as_str(),
            Fate::TryLater => "try-later",
        }
    }

    /// The exit code, and how severe it is among several files.
    pub(super) fn code(self) -> (u8, u8) {
        match self {
            Fate::Judged(Disposition::Relay) => (0, 0),
            Fate::Judged(Disposition::Return) => (1, exit::RETURN),
            Fate::Judged(Disposition::Hold) => (2, exit::HOLD),
            Fate::TryLater => (3, exit::TRY_LATER),
        }
    }
}

pub fn run(arguments: &Arguments, options: &Check) -> Result<u8, Failure> {
    if options.output.is_some() && options.files.len() != 1 {
        return Err(Failure::said("--output takes one FILE"));
    }
    let loaded = config::load(&opening::file(arguments)?).map_err(Failure::Configuration)?;
    let circumstances = Circumstances::of(Some(&options.from), &options.handed_in);
    let mut worst = (0, 0);
    let mut out = std::io::stdout().lock();
    for file in &options.files {
        let judged = judging::judge(&loaded, file, &circumstances)?;
        let fate = Fate::of(&judged);
        worst = worst.max(fate.code());
        let text = if arguments.json { line(file, &judged, fate).to_string() } else { in_words(file, &judged, fate) };
        writeln!(out, "{text}").map_err(|error| Failure::said(error.to_string()))?;
        if let Some(output) = &options.output {
            // As it would leave, at once or on release.
            let written = fs::write(output, judged.leaving(&loaded.settings.dkim));
            written.map_err(|error| Failure::said(format!("{}: {error}", output.display())))?;
        }
    }
    Ok(worst.1)
}

/// The documented object of `check --json`.
fn line(file: &Path, judged: &Judged, fate: Fate) -> Value {
    let verdict = &judged.verdict;
    let grounds = verdict.grounds.iter().map(|ground| {
        let clauses = ground.clauses.iter().map(|clause| json!({"id": clause.id, "text": clause.text}));
        json!({
            "rule": ground.rule,
            "clauses": clauses.collect::<Vec<_>>(),
            "mode": ground.mode,
            "findings": findings(&ground.findings),
        })
    });
    let changes = judged.made.applied.iter().flat_map(|applied| &applied.changes);
    let unread = judged.scan.unread.iter().map(|unread| json!({"part": unread.part.as_str(), "reason": unread.reason}));
    let ambiguous = judged.scan.ambiguous.iter();
    let almost = verdict.almost.iter().map(|almost| json!({"rule": almost.rule, "missing": almost.missing}));
    json!({
        "file": file.display().to_string(),
        "disposition": fate.as_str(),
        "grounds": grounds.collect::<Vec<_>>(),
        "edits": changes.map(|change| json!({"kind": change.kind, "part": change.part.as_str()})).collect::<Vec<_>>(),
        "unread": unread.collect::<Vec<_>>(),
        "ambiguous": ambiguous.map(|both| json!({"class": both.class, "part": both.part.as_str()})).collect::<Vec<_>>(),
        "almost": almost.collect::<Vec<_>>(),
        "ruleset": verdict.ruleset,
    })
}

/// One object for each distinct value of a type in a part and zone, with how often it stands there.
fn findings(all: &[crate::detect::Finding]) -> Vec<Value> {
    let mut seen: BTreeMap<(String, &str, String, u64), (usize, &str)> = BTreeMap::new();
    for finding in all {
        let zone = serde_json::to_value(finding.zone).ok().and_then(|zone| zone.as_str().map(str::to_string));
        let key = (finding.detector.to_string(), finding.part.as_str(), zone.unwrap_or_default(), finding.value);
        seen.entry(key).or_insert((0, &finding.excerpt)).0 += 1;
    }
    let described = seen.into_iter().map(|((kind, part, zone, _), (count, excerpt))| {
        json!({"type": kind, "part": part, "zone": zone, "excerpt": excerpt, "count": count})
    });
    described.collect()
}

fn in_words(file: &Path, judged: &Judged, fate: Fate) -> String {
    let mut text = format!("{}: {}", file.display(), fate.as_str());
    if judged.incoming {
        text.push_str(" (incoming mail: passes untouched)");
    }
    if let Some(reason) = judged.verdict.cannot_tell {
        text.push_str(&format!(" ({reason})"));
    }
    for ground in &judged.verdict.grounds {
        let watched = if ground.mode == crate::policy::Mode::Watch { ", watched only" } else { "" };
        text.push_str(&format!("\n  {} ({}{watched})", ground.title, ground.rule));
        for clause in &ground.clauses {
            text.push_str(&format!("\n    {} {}: \"{}\"", clause.policy, clause.id, clause.text));
        }
        for finding in findings(&ground.findings) {
            let word = |name: &str| finding[name].as_str().unwrap_or_default().to_string();
            let (part, zone, excerpt) = (word("part"), word("zone"), word("excerpt"));
            // Why a rule about the author's own words has found it.
            let doubtful = ground.findings.iter().any(|found| {
                found.confidence == Confidence::Low && *found.detector == *word("type") && found.excerpt == excerpt
            });
            let zone = if doubtful { format!("{zone}, perhaps own") } else { zone };
            text.push_str(&format!("\n    found {} in part {part} ({zone}): {excerpt}", word("type")));
        }
        if !ground.advice.is_empty() && ground.disposition != Disposition::Relay {
            text.push_str(&format!("\n    advice: {}", ground.advice));
        }
    }
    for change in judged.made.applied.iter().flat_map(|applied| &applied.changes) {
        text.push_str(&format!("\n  change: {} in part {}", change.kind, change.part));
    }
    for unmade in &judged.made.unmade {
        text.push_str(&format!("\n  not changed: {}", unmade.failure));
    }
    for unread in &judged.scan.unread {
        let reason = serde_json::to_value(unread.reason).unwrap_or_default();
        text.push_str(&format!("\n  not read: part {} ({})", unread.part, reason.as_str().unwrap_or_default()));
    }
    for both in &judged.scan.ambiguous {
        text.push_str(&format!("\n  can be read in two ways: part {} ({})", both.part, both.class));
    }
    for almost in &judged.verdict.almost {
        text.push_str(&format!("\n  almost: {} ({})", almost.rule, almost.missing));
    }
    text
}
