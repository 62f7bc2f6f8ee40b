//! `outgate rules test|list|explain|diff|backtest`.

use super::{
    Failure,
    arguments::{Arguments, Rules, RulesCommand},
    backtest, exit,
    judging::{self, Circumstances},
    opening,
};
use crate::{
    config::{self, Loaded},
    policy::{self, Tell, difference::Difference, explain::Explained, prove::Proof, rule::Outcome},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

pub fn run(arguments: &Arguments, options: &Rules) -> Result<u8, Failure> {
    let file = opening::file(arguments)?;
    match &options.command {
        RulesCommand::Test => {
            let loaded = config::load_unproven(&file).map_err(Failure::Configuration)?;
            test(arguments.json, &loaded.proofs())
        }
        RulesCommand::List => {
            let loaded = config::load(&file).map_err(Failure::Configuration)?;
            print(lines(arguments.json, &loaded.ruleset))?;
            Ok(0)
        }
        RulesCommand::Backtest { against, candidate } => {
            let now = config::load(&file).map_err(Failure::Configuration)?;
            let candidate = candidate.as_ref().map(|file| config::load(file)).transpose();
            backtest::run(arguments.json, &now, candidate.map_err(Failure::Configuration)?.as_ref(), against)
        }
        RulesCommand::Diff { candidate } => {
            let now = config::load(&file).map_err(Failure::Configuration)?;
            let candidate = config::load(candidate).map_err(Failure::Configuration)?;
            differs(arguments.json, &now, &candidate)
        }
        RulesCommand::Explain { from, to, rule, file: message } => {
            let loaded = config::load(&file).map_err(Failure::Configuration)?;
            let circumstances = Circumstances { from: from.as_deref(), to, ..Circumstances::default() };
            explain(arguments.json, &loaded, message, &circumstances, rule.as_deref())
        }
    }
}

fn print(lines: Vec<String>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}").map_err(|error| Failure::said(error.to_string()))?;
    }
    Ok(())
}

fn test(as_json: bool, proofs: &[Proof]) -> Result<u8, Failure> {
    let failed = proofs.iter().filter(|proof| !proof.holds()).count();
    let lines = proofs.iter().map(|proof| {
        let wanted = if proof.expected { "match" } else { "no match" };
        if as_json {
            let object = json!({"rule": proof.rule, "test": proof.test, "expect": wanted, "holds": proof.holds(),
                                "because": proof.because});
            return object.to_string();
        }
        let verdict = if proof.holds() { "ok    " } else { "FAILED" };
        let mut line = format!("{verdict}  {}: {} (expect {wanted})", proof.rule, proof.test);
        for because in &proof.because {
            line.push_str(&format!("\n        {because}"));
        }
        line
    });
    print(lines.collect())?;
    eprintln!("{} tests, {failed} failed", proofs.len());
    Ok(if failed == 0 { 0 } else { exit::NO })
}

fn lines(as_json: bool, ruleset: &policy::Ruleset) -> Vec<String> {
    let active = ruleset.active().iter().map(|active| {
        let mode = ruleset.mode_of(&active.rule);
        let clauses: Vec<String> =
            active.clauses.iter().map(|clause| format!("{} {}", clause.policy, clause.id)).collect();
        let figures: Vec<String> =
            active.rule.figures().iter().map(|(name, figure)| format!("{name} = {figure}")).collect();
        if as_json {
            let object = json!({"rule": active.rule.name, "title": active.rule.title, "mode": mode,
                "action": active.rule.action.name(), "figures": figures, "clauses": clauses,
                "tests": active.rule.examples.len()});
            return object.to_string();
        }
        let mode = if mode == policy::Mode::Watch { "watch" } else { "enforce" };
        let mut line = format!("{}  [{mode}, {}]  {}", active.rule.name, active.rule.action.name(), active.rule.title);
        for figure in figures {
            line.push_str(&format!("\n    {figure}"));
        }
        line.push_str(&format!("\n    serves {}", clauses.join(", ")));
        line
    });
    active.collect()
}

/// Says what the candidate changes; exit 1 when that is anything.
fn differs(as_json: bool, now: &Loaded, candidate: &Loaded) -> Result<u8, Failure> {
    let mut differences = policy::difference::difference(&now.ruleset, &candidate.ruleset);
    differences.extend(lists(now, candidate));
    let lines = differences.iter().map(|one| match as_json {
        true => json!({"about": one.about, "change": one.change}).to_string(),
        false => one.to_string(),
    });
    print(lines.collect())?;
    if differences.is_empty() && now.ruleset.digest() != candidate.ruleset.digest() {
        print(vec!["what the rules do is the same; files differ in words that no rule depends on".into()])?;
    }
    Ok(if differences.is_empty() { 0 } else { exit::NO })
}

/// Word lists and detectors whose files differ. Their words stand nowhere but in them.
fn lists(now: &Loaded, candidate: &Loaded) -> Vec<Difference> {
    let files = |loaded: &Loaded| -> BTreeMap<String, String> {
        let sources = &loaded.sources;
        let lists = sources.word_lists.iter().chain(&sources.innocent).chain(&sources.speech).chain(&sources.patterns);
        let mut files = BTreeMap::<String, String>::new();
        for file in lists {
            let name = file.path.rsplit(['/', '\\']).next().unwrap_or(&file.path);
            files.entry(name.to_owned()).or_default().push_str(&file.text);
        }
        files
    };
    let (old, new) = (files(now), files(candidate));
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = names.into_iter().filter(|name| old.get(*name) != new.get(*name)).map(|name| {
        let side = |files: &BTreeMap<String, String>| files.get(name).map(|text| lines(text)).unwrap_or_default();
        let (old, new) = (side(&old), side(&new));
        let change = format!("{} lines are new, {} go", new.difference(&old).count(), old.difference(&new).count());
        Difference { about: format!("list {name}"), change }
    });
    changed.collect()
}

fn explain(
    as_json: bool,
    loaded: &Loaded,
    message: &std::path::Path,
    circumstances: &Circumstances<'_>,
    only: Option<&str>,
) -> Result<u8, Failure> {
    let judged = judging::judge(loaded, message, circumstances)?;
    let mut explained = policy::explain(&judged.submission, &judged.scan, &judged.facts, &loaded.ruleset);
    if let Some(only) = only {
        explained.retain(|explained| &*explained.rule == only);
        if explained.is_empty() {
            return Err(Failure::said("no active rule has this name; `outgate rules list` shows them"));
        }
    }
    if judged.incoming {
        eprintln!("incoming mail: passes untouched, no rule is asked; this is what they would say");
    }
    print(explained.iter().map(|one| if as_json { object(one).to_string() } else { in_words(one) }).collect())?;
    Ok(0)
}

fn told(tell: Tell) -> &'static str {
    match tell {
        Tell::Yes => "yes",
        Tell::No => "no",
        Tell::CannotTell(_) => "cannot tell",
    }
}

fn outcome(outcome: Outcome) -> String {
    match outcome {
        Outcome::Match => "match".into(),
        Outcome::NoMatch { .. } => "no match".into(),
        Outcome::CannotTell(why) => format!("cannot tell: {why}"),
    }
}

fn object(explained: &Explained) -> Value {
    let conditions = explained.conditions.iter().map(|condition| {
        json!({"section": condition.section.as_str(), "condition": condition.wanted, "value": condition.value,
               "met": told(condition.met)})
    });
    json!({"rule": explained.rule, "mode": explained.mode, "action": explained.action, "clauses": explained.clauses,
           "outcome": outcome(explained.outcome), "conditions": conditions.collect::<Vec<_>>(), "remark": explained.remark})
}

fn in_words(explained: &Explained) -> String {
    let mut text = format!("{}: {}  ({})", explained.rule, outcome(explained.outcome), explained.title);
    for condition in &explained.conditions {
        let mark = match condition.met {
            Tell::Yes => "+",
            Tell::No => "-",
            Tell::CannotTell(_) => "?",
        };
        let section = condition.section.as_str();
        text.push_str(&format!("\n  {mark} {section:<7}{}: {}", condition.wanted, condition.value));
    }
    if let Some(remark) = explained.remark {
        text.push_str(&format!("\n  {remark}"));
    }
    text
}
