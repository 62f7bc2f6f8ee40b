//! `outgate case …` and `outgate audit …`: the desk without a browser, on the same files as the running service.

use super::{
    Failure,
    arguments::{Arguments, Audit, AuditCommand, Case, CaseCommand},
    exit, opening,
};
use crate::{
    audit::{Book, Event, What},
    mail::SubmissionId,
    quarantine::{
        self, CaseError, CaseFilter, CaseStore, Decision, Erasure,
        decide::{Decider, decide},
    },
    store::Store,
};
use serde_json::json;
use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::Path};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Who acts, as the book names them. Accounts come with the console; until then the shell's user is all that is known.
const BY: &str = "command line";

pub fn run(arguments: &Arguments, options: &Case) -> Result<u8, Failure> {
    opening::block_on(async {
        let store = opening::store(arguments).await?;
        let done = match &options.command {
            CaseCommand::List { state, category, limit } => {
                let filter = filter(state.as_deref(), category.as_deref(), *limit)?;
                list(&store, arguments.json, filter).await
            }
            CaseCommand::Show { id, message } => show(&store, arguments.json, number(id)?, message.as_deref()).await,
            CaseCommand::Release { id, reason } => {
                act(&store, arguments, number(id)?, Decision::Release, reason.as_deref()).await
            }
            CaseCommand::Return { id, reason } => {
                act(&store, arguments, number(id)?, Decision::Return, reason.as_deref()).await
            }
            CaseCommand::Erase { id, reason } => erase(&store, number(id)?, reason).await,
        };
        // What was written last is on the disk before the process ends.
        store.flush().await.map_err(|error| Failure::said(error.to_string()))?;
        done
    })
}

fn number(text: &str) -> Result<SubmissionId, Failure> {
    text.parse().map_err(|_| Failure::said("not a case number; `outgate case list` shows them"))
}

fn filter(state: Option<&str>, category: Option<&str>, limit: usize) -> Result<CaseFilter, Failure> {
    Ok(CaseFilter {
        state: state.map(|word| named(word, "state", STATES)).transpose()?,
        category: category.map(|word| named(word, "category", CATEGORIES)).transpose()?,
        limit,
    })
}

const STATES: &str = "waiting, released, delivered, delivery-failed, returned, refused, erased";
const CATEGORIES: &str = "personal-data, language, safeguarding, recipients, approval, confirmation, technical";

fn named<T: serde::de::DeserializeOwned>(word: &str, what: &str, allowed: &str) -> Result<T, Failure> {
    serde_json::from_value(json!(word)).map_err(|_| Failure::said(format!("no such {what}; one of: {allowed}")))
}

async fn list(store: &Store, as_json: bool, filter: CaseFilter) -> Result<u8, Failure> {
    let cases = store.list(filter).await.map_err(|error| Failure::said(error.to_string()))?;
    let mut out = std::io::stdout().lock();
    for case in &cases {
        let line = if as_json { described(case).to_string() } else { one_line(case) };
        writeln!(out, "{line}").map_err(|error| Failure::said(error.to_string()))?;
    }
    if cases.is_empty() && !as_json {
        writeln!(out, "no cases").map_err(|error| Failure::said(error.to_string()))?;
    }
    Ok(0)
}

/// The documented object of `case list --json`.
fn described(case: &quarantine::Case) -> serde_json::Value {
    let face = case.face.as_ref();
    let to: Vec<&str> = face.map_or(Vec::new(), |face| {
        face.envelope.recipients.iter().map(|recipient| recipient.address.as_str()).collect()
    });
    json!({
        "id": case.head.id,
        "state": case.head.state,
        "category": case.head.category,
        "rules": case.head.rules,
        "from": face.and_then(|face| face.envelope.sender.address.as_ref()).map(|address| address.as_str()),
        "to": to,
        "subject": face.map(|face| face.subject.expose()),
        "message_id": face.map(|face| face.message_id.expose()),
        "received": when(case.head.received),
        "expires": when(case.head.expires),
    })
}

fn when(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC).replace_nanosecond(0).unwrap_or(time);
    time.format(&Rfc3339).unwrap_or_default()
}

fn one_line(case: &quarantine::Case) -> String {
    let (from, subject) = case.face.as_ref().map_or(("(erased)", "(erased)".into()), |face| {
        let from = face.envelope.sender.address.as_ref().map_or("<>", |address| address.as_str());
        (from, printable(face.subject.expose(), 40))
    });
    format!(
        "{}  {}  {:<15}  {:<13}  {:<28}  {subject}",
        case.head.id,
        when(case.head.received),
        word(case.head.state),
        case.head.category.as_str(),
        printable(from, 28),
    )
}

fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_string)).unwrap_or_default()
}

/// Text of a message for a terminal: no escape sequences.
fn printable(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

async fn show(store: &Store, as_json: bool, id: SubmissionId, message: Option<&Path>) -> Result<u8, Failure> {
    let case = store.open(id).await.map_err(said)?;
    let viewed = Event { at: OffsetDateTime::now_utc(), submission: Some(id), what: What::Viewed { by: BY.into() } };
    // Nobody looks unrecorded.
    store.append(vec![viewed]).await.map_err(|error| Failure::said(error.to_string()))?;
    let mut out = std::io::stdout().lock();
    let text = if as_json { detailed(&case).to_string() } else { page(&case) };
    writeln!(out, "{text}").map_err(|error| Failure::said(error.to_string()))?;
    if let Some(path) = message {
        let bytes = store.message(id).await.map_err(said)?;
        let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let written = written.and_then(|mut file| file.write_all(&bytes));
        written.map_err(|error| Failure::said(format!("{}: {error}", path.display())))?;
    }
    Ok(0)
}

fn detailed(case: &quarantine::Case) -> serde_json::Value {
    let mut object = described(case);
    let grounds = case.face.as_ref().map_or(Vec::new(), |face| {
        let evidence = |ground: &quarantine::FacedGround| -> Vec<serde_json::Value> {
            let lines = ground.evidence.iter();
            lines
                .map(|(kind, part, excerpt)| json!({"type": kind, "part": part, "excerpt": excerpt.expose()}))
                .collect()
        };
        let clauses = |ground: &quarantine::FacedGround| -> Vec<serde_json::Value> {
            ground.clauses.iter().map(|(id, text)| json!({"id": id, "text": text})).collect()
        };
        let grounds = face.grounds.iter().map(|ground| {
            json!({"rule": ground.rule, "title": ground.title, "disposition": ground.disposition,
                   "clauses": clauses(ground), "findings": evidence(ground), "advice": ground.advice})
        });
        grounds.collect()
    });
    object["grounds"] = json!(grounds);
    object
}

fn page(case: &quarantine::Case) -> String {
    let head = &case.head;
    let mut text = format!(
        "Case      {}\nState     {}\nCategory  {}\nReceived  {}\nExpires   {}\nSize      {} bytes\n",
        head.id,
        word(head.state),
        head.category.as_str(),
        when(head.received),
        when(head.expires),
        head.bytes
    );
    let Some(face) = &case.face else {
        text.push_str("The message and all that names a person in it were erased.\n");
        return text;
    };
    let from = face.envelope.sender.address.as_ref().map_or("<>", |address| address.as_str());
    text.push_str(&format!("From      {}\n", printable(from, 300)));
    for recipient in &face.envelope.recipients {
        text.push_str(&format!("To        {}\n", printable(recipient.address.as_str(), 300)));
    }
    text.push_str(&format!("Subject   {}\n", printable(face.subject.expose(), 300)));
    for ground in &face.grounds {
        text.push_str(&format!("\n{} ({}, {})\n", ground.title, ground.rule, word(ground.disposition)));
        for (id, clause) in &ground.clauses {
            text.push_str(&format!("  {id}: \"{clause}\"\n"));
        }
        for (kind, part, excerpt) in &ground.evidence {
            text.push_str(&format!("  found {kind} in part {part}: {}\n", printable(excerpt.expose(), 200)));
        }
    }
    text
}

async fn act(
    store: &Store,
    arguments: &Arguments,
    id: SubmissionId,
    decision: Decision,
    reason: Option<&str>,
) -> Result<u8, Failure> {
    let sealed_reason = match reason {
        Some(reason) => Some(store.seal_note(Some(id), reason).await.map_err(said)?),
        None => None,
    };
    let decider = Decider { by: BY.into(), at: OffsetDateTime::now_utc(), sealed_reason };
    let (notices, dkim) = opening::writer(arguments)?;
    decide(store, (&notices, &dkim), id, decision, decider).await.map_err(said)?;
    let done = match decision {
        Decision::Release => "released: it goes out as soon as the service and the next hop take it",
        Decision::Return => "returned: the sender is told",
        Decision::Refuse => "refused",
    };
    eprintln!("{id} {done}");
    Ok(0)
}

async fn erase(store: &Store, id: SubmissionId, reason: &str) -> Result<u8, Failure> {
    // Sealed under the node's key: the reason outlives the case.
    let note = store.seal_note(None, reason).await.map_err(said)?;
    let what = What::Erased { by: BY.into(), note: Some(note) };
    let event = Event { at: OffsetDateTime::now_utc(), submission: Some(id), what };
    match store.erase(id, vec![event]).await.map_err(said)? {
        Erasure::Done => eprintln!("{id} erased"),
        Erasure::Pending => eprintln!(
            "{id} erased; its key is destroyed. An old page may still lie in the write-ahead log until other readers \
             finish: the service completes it"
        ),
    }
    Ok(0)
}

fn said(error: CaseError) -> Failure {
    Failure::said(error.to_string())
}

pub fn audit(arguments: &Arguments, options: &Audit) -> Result<u8, Failure> {
    let AuditCommand::Verify = options.command;
    opening::block_on(async {
        let store = opening::store(arguments).await?;
        let report = store.verify_book().await.map_err(|error| Failure::said(error.to_string()))?;
        let mut out = std::io::stdout().lock();
        let text = if arguments.json { book_json(&report).to_string() } else { report.to_string() };
        writeln!(out, "{text}").map_err(|error| Failure::said(error.to_string()))?;
        Ok(if report.is_whole() { 0 } else { exit::NO })
    })
}

fn book_json(report: &crate::audit::chain::BookReport) -> serde_json::Value {
    let flaws = report.listed.iter().map(|(number, flaw)| json!({"link": number, "flaw": flaw.to_string()}));
    json!({
        "whole": report.is_whole(),
        "node": report.node_hex(),
        "links": report.links,
        "events": report.events,
        "flaws": flaws.collect::<Vec<_>>(),
        "head": report.head_hex(),
        "tail": "a cut tail cannot be found without an anchor outside",
    })
}
