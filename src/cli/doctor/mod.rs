//! `outgate doctor`: is all as it should be, and what is to be changed. It looks at files, disk, kernel, service and the mail
//! server's settings, and sends test messages that are judged like any other and never reach a person.

mod machine;
mod postfix;
mod seen;
mod trial;

use super::{
    Failure,
    arguments::{Arguments, Doctor},
    exit, opening,
};
use crate::{
    config::{self, Loaded, key_file},
    keys::Keys,
    policy::{Connected, Directory, Mode, coverage},
    store::Store,
};
use postfix::Postfix;
use serde_json::json;
use std::{
    io::Write,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::Command,
};
use time::OffsetDateTime;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    /// Not wrong, but to be known.
    Warning,
    /// To be changed.
    Bad,
    /// Could not be looked at.
    Skipped,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            State::Good => "good",
            State::Warning => "warning",
            State::Bad => "bad",
            State::Skipped => "skipped",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug)]
struct Finding {
    check: &'static str,
    state: State,
    text: String,
    /// What to change.
    advice: Option<String>,
}

impl Finding {
    fn good(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, state: State::Good, text: text.into(), advice: None }
    }

    fn skipped(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, state: State::Skipped, text: text.into(), advice: None }
    }

    fn warning(check: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, state: State::Warning, text: text.into(), advice: Some(advice.into()) }
    }

    fn bad(check: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, state: State::Bad, text: text.into(), advice: Some(advice.into()) }
    }
}

/// What was found, printed as it comes: some checks take their time.
struct Report {
    as_json: bool,
    bad: usize,
    warnings: usize,
}

impl Report {
    fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        let mut out = std::io::stdout().lock();
        for finding in findings {
            self.bad += usize::from(finding.state == State::Bad);
            self.warnings += usize::from(finding.state == State::Warning);
            let Finding { check, state, text, advice } = finding;
            let line = if self.as_json {
                json!({"check": check, "state": state.as_str(), "text": text, "advice": advice}).to_string()
            } else {
                let advice = advice.map(|advice| format!("\n{:9}-> {advice}", "")).unwrap_or_default();
                format!("{:<8} {check}: {text}{advice}", state.as_str())
            };
            // Whoever reads only the beginning has read enough.
            let _ = writeln!(out, "{line}");
        }
    }
}

pub fn run(arguments: &Arguments, options: &Doctor) -> Result<u8, Failure> {
    let file = opening::file(arguments)?;
    let (settings, _) = config::read_settings(&file).map_err(Failure::Configuration)?;
    become_service(&settings.data_dir)?;
    let loaded = config::load(&file).map_err(Failure::Configuration)?;
    let mut report = Report { as_json: arguments.json, bad: 0, warnings: 0 };
    report.add(configuration(&loaded));
    report.add(machine::look(&loaded.settings));
    let ready = machine::service(&loaded.settings);
    // A next hop that is down does not matter here: no test message goes there.
    let serves = ready.iter().all(|finding| finding.check != "service" || finding.state != State::Bad);
    report.add(ready);
    let postfix = Postfix::here();
    let path = postfix.as_ref().map(|postfix| postfix.path(&loaded.settings));
    match (&postfix, &path) {
        (Some(postfix), Some(path)) => report.add(postfix.judge(path, &loaded)),
        _ => report.add([Finding::skipped(
            "mail server",
            "there is no Postfix here; look at your server's manual page for outgate",
        )]),
    }
    let keys = key_file::open(&loaded.settings.store.key_file);
    let internal = match keys {
        Ok(keys) if serves => opening::block_on(with_store(&loaded, &keys, options, path.as_ref(), &mut report))?,
        _ => {
            report.add([Finding::skipped("test messages", "not sent: the service does not serve")]);
            false
        }
    };
    report.add([directory(&loaded.settings.directory, OffsetDateTime::now_utc())]);
    report.add(idle_clauses(&loaded, internal));
    if !arguments.json {
        eprintln!("\n{} to be changed, {} to be known", report.bad, report.warnings);
    }
    Ok(if report.bad == 0 { 0 } else { exit::NO })
}

/// All that needs the store. Whether internal mail was seen to pass.
async fn with_store(
    loaded: &Loaded,
    keys: &Keys,
    options: &Doctor,
    path: Option<&postfix::Path>,
    report: &mut Report,
) -> Result<bool, Failure> {
    let store = Store::open(&loaded.settings.data_dir, keys).await.map_err(|error| Failure::said(error.to_string()))?;
    report.add(seen::senders(&store, loaded).await);
    report.add(seen::bypassed(&store, OffsetDateTime::now_utc()).await);
    if options.no_send {
        report.add([Finding::skipped("test messages", "not sent: --no-send")]);
        return Ok(false);
    }
    let trials = trial::Trials::new(loaded, &store, keys, options)?;
    report.add(trials.at_the_door().await);
    let (findings, internal) = trials.through_the_server(path).await;
    report.add(findings);
    Ok(internal)
}

/// Goes on as the service's user where root runs it: what that user may read and write is what counts.
fn become_service(data_dir: &Path) -> Result<(), Failure> {
    let owner = std::fs::metadata(data_dir).map(|folder| (folder.uid(), folder.gid()));
    let (Ok((uid, gid)), true) = (owner, rustix::process::geteuid().is_root()) else {
        return opening::as_its_owner(data_dir);
    };
    if uid == 0 {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(|error| Failure::said(error.to_string()))?;
    let error = Command::new(program).args(std::env::args_os().skip(1)).uid(uid).gid(gid).exec();
    Err(Failure::said(format!("cannot go on as the service's user ({uid}): {error}")))
}

fn configuration(loaded: &Loaded) -> Vec<Finding> {
    let good =
        format!("{} is good; {} rules are active", loaded.settings.file.display(), loaded.ruleset.active().len());
    let mut findings = vec![Finding::good("configuration", good)];
    let advice = "see outgate.toml(5)";
    findings.extend(loaded.remarks.iter().map(|remark| Finding::warning("configuration", remark, advice)));
    if loaded.settings.mode == Mode::Watch {
        findings.push(Finding::warning(
            "configuration",
            "the rules only watch: they record and change nothing",
            "when the records look right, write mode = \"enforce\" and reload the service",
        ));
    }
    findings
}

/// How fresh what it says of people is.
fn directory(directory: &Directory, now: OffsetDateTime) -> Finding {
    let days = |seconds: u64| seconds / (24 * 60 * 60);
    let Some(written) = directory.written() else {
        return Finding::skipped("directory", "none is connected: nothing can be out of date");
    };
    let (people, groups, limit) = (directory.people(), directory.groups(), days(written.stale_after.as_secs()));
    let age = days((now - written.at).whole_seconds().try_into().unwrap_or(0));
    let text = format!("{people} people and {groups} groups, written {age} days ago; fresh for {limit} days");
    match directory.is_stale(now) {
        true => Finding::warning("directory", text, "write the file anew and reload the service: see [directory]"),
        false => Finding::good("directory", text),
    }
}

/// Clauses that nothing enforces here and now, with why.
fn idle_clauses(loaded: &Loaded, internal_mail: bool) -> Vec<Finding> {
    let coverage = coverage(&loaded.ruleset, Connected { internal_mail, ..Connected::default() });
    let (served, idle): (Vec<_>, Vec<_>) =
        coverage.clauses.iter().partition(|covered| covered.standing == crate::policy::coverage::Standing::Enforced);
    let how = match coverage.mode {
        Mode::Enforce => "are enforced",
        Mode::Watch => "would be enforced; the rules only watch",
    };
    let mut findings = vec![Finding::good("policy", format!("{} clauses {how}", served.len()))];
    findings.extend(idle.into_iter().map(|covered| {
        let text = format!("{} {} is idle: {}", covered.clause.policy, covered.clause.id, covered.standing);
        match covered.must && !covered.standing.is_settled() {
            true => Finding::warning("policy", text, "a must clause: see outgate policy coverage"),
            false => Finding::skipped("policy", text),
        }
    }));
    findings
}
