//! `outgate rules backtest`: past messages judged by a set, or by two, and how often they differ. Counts only: who wrote
//! what is no business of whoever tries a rule.

use super::{
    Failure,
    check::Fate,
    judging::{self, Circumstances, Judged, NotJudged},
};
use crate::{
    config::Loaded,
    mail::{Address, Message},
    policy::{Disposition, Mode},
};
use mail_parser::mailbox::mbox::MessageIterator;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// How often it is said how far it has come.
const SAID_EVERY: Duration = Duration::from_secs(5);

/// What a file of several messages begins with (the mbox format, RFC 4155).
const MBOX: &[u8] = b"From ";

pub fn run(as_json: bool, now: &Loaded, candidate: Option<&Loaded>, folder: &Path) -> Result<u8, Failure> {
    let mut files = Vec::new();
    files_below(folder, &mut files).map_err(|error| Failure::said(format!("{}: {error}", folder.display())))?;
    files.sort();
    let counts = judged(now, candidate, &files);
    let modes = Modes { now, candidate };
    let text = if as_json { counts.object(&modes).to_string() } else { counts.in_words(&modes) };
    writeln!(std::io::stdout(), "{text}").map_err(|error| Failure::said(error.to_string()))?;
    Ok(0)
}

/// What an administrator may have put there, but no link: it could lead in a circle.
fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files_below(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// All files, on all processors.
fn judged(now: &Loaded, candidate: Option<&Loaded>, files: &[PathBuf]) -> Counts {
    let (next, workers) = (AtomicUsize::new(0), thread::available_parallelism().map_or(1, usize::from));
    let (told, outcomes) = mpsc::sync_channel(64);
    thread::scope(|scope| {
        for _ in 0..workers {
            let (told, next) = (told.clone(), &next);
            scope.spawn(move || {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    each_message(file, &mut |bytes| {
                        let _ = told.send(bytes.and_then(|bytes| Outcome::of(now, candidate, bytes)));
                    });
                }
            });
        }
        drop(told);
        let (mut counts, mut said) = (Counts::default(), Instant::now());
        for outcome in outcomes {
            counts.add(outcome);
            if said.elapsed() >= SAID_EVERY {
                said = Instant::now();
                let begun = next.load(Ordering::Relaxed).min(files.len());
                eprintln!("{} messages judged; {begun} of {} files begun", counts.messages, files.len());
            }
        }
        counts
    })
}

/// The messages of a file: one, or those of an mbox.
fn each_message(path: &Path, found: &mut dyn FnMut(Result<Vec<u8>, NotJudged>)) {
    let begins_as_mbox = || -> std::io::Result<bool> {
        let mut file = BufReader::new(File::open(path)?);
        Ok(file.fill_buf()?.starts_with(MBOX))
    };
    match begins_as_mbox() {
        Ok(false) => found(judging::read(path)),
        Ok(true) => match File::open(path) {
            Ok(file) => MessageIterator::new(BufReader::new(file)).for_each(|message| {
                found(message.map(|message| message.unwrap_contents()).map_err(NotJudged::Unreadable));
            }),
            Err(error) => found(Err(NotJudged::Unreadable(error))),
        },
        Err(error) => found(Err(NotJudged::Unreadable(error))),
    }
}

/// What one set says of a message.
struct Said {
    fate: Fate,
    /// Rules that matched.
    rules: BTreeSet<String>,
    incoming: bool,
}

impl Said {
    fn of(judged: &Judged) -> Self {
        let rules = judged.verdict.grounds.iter().map(|ground| ground.rule.to_string()).collect();
        Self { fate: Fate::of(judged), rules, incoming: judged.incoming }
    }
}

struct Outcome {
    now: Said,
    candidate: Option<Said>,
    /// Groups of the author, as the directory names them.
    groups: Vec<String>,
}

impl Outcome {
    fn of(now: &Loaded, candidate: Option<&Loaded>, bytes: Vec<u8>) -> Result<Self, NotJudged> {
        let circumstances = Circumstances::default();
        let candidate = match candidate {
            Some(candidate) => Some(Said::of(&judging::judge_bytes(candidate, bytes.clone(), &circumstances)?)),
            None => None,
        };
        let judged = judging::judge_bytes(now, bytes, &circumstances)?;
        Ok(Self { now: Said::of(&judged), candidate, groups: groups(now, &judged.submission.message) })
    }
}

fn groups(loaded: &Loaded, message: &Message) -> Vec<String> {
    let author = message.mailboxes("From").into_iter().next();
    let person = author.and_then(|author| loaded.settings.directory.person(&author));
    person.iter().flat_map(|person| &person.groups).map(Address::folded).collect()
}

/// Where the modes of the rules are looked up.
struct Modes<'l> {
    now: &'l Loaded,
    candidate: Option<&'l Loaded>,
}

impl Modes<'_> {
    fn of(&self, rule: &str) -> &'static str {
        let of = |loaded: &Loaded| {
            let active = loaded.ruleset.active().iter().find(|active| &*active.rule.name == rule)?;
            Some(loaded.ruleset.mode_of(&active.rule))
        };
        match self.candidate.and_then(of).or_else(|| of(self.now)) {
            Some(Mode::Watch) => "watch",
            _ => "enforce",
        }
    }
}

#[derive(Default)]
struct Counts {
    messages: u64,
    incoming: u64,
    not_judged: BTreeMap<&'static str, u64>,
    now: Fates,
    candidate: Option<Fates>,
    changed: Changed,
    rules: BTreeMap<String, OfRule>,
    /// By the author's group.
    groups: BTreeMap<String, Changed>,
}

#[derive(Default)]
struct Fates {
    relay: u64,
    returned: u64,
    hold: u64,
    try_later: u64,
}

#[derive(Default, Clone, Copy)]
struct Changed {
    new_holds: u64,
    vanished_holds: u64,
    new_returns: u64,
    vanished_returns: u64,
}

/// On how many messages a rule matched.
#[derive(Default)]
struct OfRule {
    now: u64,
    candidate: u64,
    gained: u64,
    lost: u64,
}

impl Fates {
    fn add(&mut self, fate: Fate) {
        *match fate {
            Fate::Judged(Disposition::Relay) => &mut self.relay,
            Fate::Judged(Disposition::Return) => &mut self.returned,
            Fate::Judged(Disposition::Hold) => &mut self.hold,
            Fate::TryLater => &mut self.try_later,
        } += 1;
    }

    fn rows(&self) -> [(&'static str, u64); 4] {
        [("relay", self.relay), ("return", self.returned), ("hold", self.hold), ("try-later", self.try_later)]
    }

    fn object(&self) -> Value {
        self.rows().into_iter().map(|(name, count)| (name.to_string(), json!(count))).collect()
    }
}

impl Changed {
    fn add(&mut self, from: Fate, to: Fate) {
        for (disposition, new, vanished) in [
            (Disposition::Hold, &mut self.new_holds, &mut self.vanished_holds),
            (Disposition::Return, &mut self.new_returns, &mut self.vanished_returns),
        ] {
            let is = Fate::Judged(disposition);
            *new += u64::from(to == is && from != is);
            *vanished += u64::from(from == is && to != is);
        }
    }

    fn rows(&self) -> [(&'static str, u64); 4] {
        [
            ("new_holds", self.new_holds),
            ("vanished_holds", self.vanished_holds),
            ("new_returns", self.new_returns),
            ("vanished_returns", self.vanished_returns),
        ]
    }

    fn in_words(&self) -> String {
        let rows = self.rows().map(|(name, count)| format!("{} {count}", name.replace('_', " ")));
        rows.join(", ")
    }
}

impl Counts {
    fn add(&mut self, outcome: Result<Outcome, NotJudged>) {
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                let reason = match error {
                    NotJudged::Unreadable(_) => "unreadable",
                    NotJudged::TooLarge => "too-large",
                    NotJudged::NoRecipient | NotJudged::Circumstances(_) => "no-recipient",
                };
                *self.not_judged.entry(reason).or_default() += 1;
                return;
            }
        };
        self.messages += 1;
        self.incoming += u64::from(outcome.now.incoming);
        self.now.add(outcome.now.fate);
        for rule in &outcome.now.rules {
            self.rules.entry(rule.clone()).or_default().now += 1;
        }
        let Some(candidate) = outcome.candidate else { return };
        self.candidate.get_or_insert_default().add(candidate.fate);
        self.changed.add(outcome.now.fate, candidate.fate);
        for group in outcome.groups {
            self.groups.entry(group).or_default().add(outcome.now.fate, candidate.fate);
        }
        for rule in &candidate.rules {
            let of_rule = self.rules.entry(rule.clone()).or_default();
            of_rule.candidate += 1;
            of_rule.gained += u64::from(!outcome.now.rules.contains(rule));
        }
        for rule in outcome.now.rules.difference(&candidate.rules) {
            self.rules.entry(rule.clone()).or_default().lost += 1;
        }
    }

    fn object(&self, modes: &Modes<'_>) -> Value {
        let compared = modes.candidate.is_some();
        let changed = |changed: &Changed| -> Value {
            changed.rows().into_iter().map(|(name, count)| (name.to_string(), json!(count))).collect()
        };
        let rules = self.rules.iter().map(|(rule, of_rule)| {
            let mut object = json!({"rule": rule, "mode": modes.of(rule), "now": of_rule.now});
            if compared {
                let OfRule { candidate, gained, lost, .. } = of_rule;
                object["candidate"] = json!(candidate);
                object["gained"] = json!(gained);
                object["lost"] = json!(lost);
            }
            object
        });
        let groups: serde_json::Map<String, Value> =
            self.groups.iter().map(|(group, of_group)| (group.clone(), changed(of_group))).collect();
        json!({
            "messages": self.messages,
            "incoming": self.incoming,
            "not_judged": self.not_judged,
            "now": self.now.object(),
            "candidate": self.candidate.as_ref().map(Fates::object),
            "changed": compared.then(|| changed(&self.changed)),
            "rules": rules.collect::<Vec<_>>(),
            "groups": groups,
        })
    }

    fn in_words(&self, modes: &Modes<'_>) -> String {
        let mut text =
            format!("{} messages judged, {} of them incoming: those pass untouched", self.messages, self.incoming);
        for (reason, count) in &self.not_judged {
            text.push_str(&format!("\n{count} not judged: {}", reason.replace('-', " ")));
        }
        let compared = modes.candidate.is_some();
        let nothing = Fates::default();
        let candidate = self.candidate.as_ref().unwrap_or(&nothing);
        text.push_str(&format!("\n\n{:<34}{:>9}", "", "now"));
        text.push_str(if compared { " candidate" } else { "" });
        for ((name, now), (_, then)) in self.now.rows().into_iter().zip(candidate.rows()) {
            text.push_str(&format!("\n{name:<34}{now:>9}"));
            text.push_str(&if compared { format!(" {then:>9}") } else { String::new() });
        }
        if compared {
            text.push_str(&format!("\n{}", self.changed.in_words()));
        }
        text.push_str("\n\nmessages that a rule matches");
        for (rule, of_rule) in &self.rules {
            let named = format!("{rule} ({})", modes.of(rule));
            text.push_str(&format!("\n  {named:<32}{:>9}", of_rule.now));
            if compared {
                text.push_str(&format!(" {:>9}  (+{}, -{})", of_rule.candidate, of_rule.gained, of_rule.lost));
            }
        }
        if self.rules.is_empty() {
            text.push_str(": none");
        }
        let touched = self.groups.iter().filter(|(_, changed)| changed.rows().iter().any(|(_, count)| *count > 0));
        let touched: Vec<String> =
            touched.map(|(group, changed)| format!("\n  {group}: {}", changed.in_words())).collect();
        if !touched.is_empty() {
            text.push_str("\n\nby the author's group");
            text.push_str(&touched.concat());
        }
        text
    }
}
