//! One file judged as the service would judge it, without sending: what `check` and `rules explain` share.

use super::{Failure, arguments::HandedIn};
use crate::{
    config::Loaded,
    detect::Scan,
    gateway::readers,
    intake::{RetryKey, Submission, leading_trace},
    mail::{
        Address, AddressError, Certainty, Door, Envelope, ForwardPath, Message, Origin, ReversePath, SubmissionId,
        User, dkim::Dkim, edit::Transport,
    },
    policy::{
        self, Disposition, Facts, Verdict,
        planned::{self, Made},
    },
};
use std::{
    borrow::Cow,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    time::Duration,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The envelope and the circumstances as the command line gives them.
#[derive(Default)]
pub struct Circumstances<'a> {
    /// None: the address in From.
    pub from: Option<&'a str>,
    /// Empty: the addresses in To, Cc and Bcc.
    pub to: &'a [String],
    pub user: Option<&'a str>,
    pub client: Option<IpAddr>,
    pub now: Option<&'a str>,
}

impl<'a> Circumstances<'a> {
    pub fn of(from: Option<&'a str>, handed_in: &'a HandedIn) -> Self {
        let HandedIn { to, user, client, now } = handed_in;
        Self { from, to, user: user.as_deref(), client: *client, now: now.as_deref() }
    }
}

/// A file, judged.
pub struct Judged {
    pub submission: Submission,
    pub scan: Scan,
    pub facts: Facts,
    pub verdict: Verdict,
    pub made: Made,
    pub incoming: bool,
}

impl Judged {
    /// The bytes that would leave, at once or on release, below the trace headers.
    pub fn leaving(&self, dkim: &Dkim) -> Cow<'_, [u8]> {
        let message = &self.submission.message;
        let edited = self.made.applied.as_ref().map(|applied| &applied.edited);
        if self.incoming {
            return message.read(0..message.len());
        }
        let (left, signatures) = dkim.finish(message, edited, self.submission.received_at);
        match left {
            None if signatures.is_empty() => message.read(0..message.len()),
            None => Cow::Owned([&signatures[..], &message.read(0..message.len())].concat()),
            Some(left) => Cow::Owned([signatures, left.to_vec()].concat()),
        }
    }
}

/// Larger files are no messages that could come through a door.
const LARGEST: u64 = 64 << 20;

/// Why a message cannot be judged as it lies there.
#[derive(Debug, thiserror::Error)]
pub enum NotJudged {
    #[error("{0}")]
    Unreadable(std::io::Error),
    #[error("larger than any message that a door takes")]
    TooLarge,
    #[error("no recipient: neither --to nor an address in To, Cc or Bcc")]
    NoRecipient,
    /// An option of the command.
    #[error("{0}")]
    Circumstances(String),
}

pub fn judge(loaded: &Loaded, file: &Path, circumstances: &Circumstances<'_>) -> Result<Judged, Failure> {
    let judged = read(file).and_then(|bytes| judge_bytes(loaded, bytes, circumstances));
    judged.map_err(|error| match error {
        NotJudged::Circumstances(said) => Failure::Said(said),
        error => Failure::said(format!("{}: {error}", file.display())),
    })
}

/// A file of one message.
pub fn read(file: &Path) -> Result<Vec<u8>, NotJudged> {
    if fs::metadata(file).map_err(NotJudged::Unreadable)?.len() > LARGEST {
        return Err(NotJudged::TooLarge);
    }
    fs::read(file).map_err(NotJudged::Unreadable)
}

pub fn judge_bytes(loaded: &Loaded, bytes: Vec<u8>, circumstances: &Circumstances<'_>) -> Result<Judged, NotJudged> {
    let submission = submission(bytes, circumstances)?;
    let scan = loaded.detectors.scan_with(&submission.message, readers::readers());
    let directory = loaded.settings.directory.clone();
    let facts = Facts { directory, ..Facts::unknown_past(submission.received_at) };
    let incoming = policy::is_incoming(&submission, &loaded.ruleset);
    let mut verdict = policy::judge(&submission, &scan, &facts, &loaded.ruleset);
    if incoming {
        verdict.grounds.clear();
        verdict.almost.clear();
        for consignment in &mut verdict.consignments {
            consignment.edits.clear();
            consignment.disposition = Disposition::Relay;
        }
    }
    let edits: Vec<_> = verdict.consignments.iter().flat_map(|consignment| consignment.edits.clone()).collect();
    let transport = Transport { smtputf8: submission.envelope.sender.smtputf8(), ..Transport::default() };
    let made = planned::make(&submission.message, &edits, transport);
    let verdict = verdict.with_fallbacks(&made);
    Ok(Judged { submission, scan, facts, verdict, made, incoming })
}

/// The message as if it were handed in now.
fn submission(bytes: Vec<u8>, circumstances: &Circumstances<'_>) -> Result<Submission, NotJudged> {
    let said = |option: &str, error: &dyn std::fmt::Display| NotJudged::Circumstances(format!("{option}: {error}"));
    if bytes.len() as u64 > LARGEST {
        return Err(NotJudged::TooLarge);
    }
    let message = Message::parse(on_the_wire(bytes));
    let sender = match circumstances.from {
        Some("" | "<>") => None,
        Some(text) => Some(Address::parse(text).map_err(|error| said("--from", &error))?),
        None => message.mailboxes("From").into_iter().next(),
    };
    let received_at = match circumstances.now {
        None => OffsetDateTime::now_utc(),
        Some(text) => OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| said("--now", &"not a time as in 2026-11-22T09:30:00Z"))?,
    };
    let user =
        circumstances.user.map(|name| User { name: name.to_string().into(), certainty: Certainty::Authenticated });
    let recipients = recipients(&message, circumstances.to).map_err(|error| said("--to", &error))?;
    if recipients.is_empty() {
        return Err(NotJudged::NoRecipient);
    }
    let trace_end = leading_trace(&message.read(0..message.len()));
    Ok(Submission {
        id: SubmissionId::fresh(),
        origin: Origin {
            address: circumstances.client.unwrap_or(Ipv4Addr::LOCALHOST.into()),
            helo: "localhost".into(),
            esmtp: true,
            tls: None,
            user,
            door: Door::Smtp,
            via: None,
        },
        envelope: Envelope { sender: ReversePath { address: sender, parameters: Vec::new() }, recipients },
        message,
        trace: Vec::new().into(),
        trace_end,
        received_at,
        answer_within: Duration::from_secs(90),
        passed: None,
        trial: None,
        retry_key: RetryKey([0; 32]),
        split_key: None,
        node_id: None,
    })
}

fn recipients(message: &Message, given: &[String]) -> Result<Vec<ForwardPath>, AddressError> {
    let path = |address| ForwardPath { address, parameters: Vec::new() };
    if !given.is_empty() {
        return given.iter().map(|text| Address::parse(text).map(path)).collect();
    }
    let mut seen = std::collections::HashSet::new();
    let all = ["To", "Cc", "Bcc"].into_iter().flat_map(|name| message.mailboxes(name));
    Ok(all.filter(|address| seen.insert(address.folded())).map(path).collect())
}

/// A file from a Unix system has LF alone; a message that was handed in has CR LF (RFC 5321 2.3.8). A file that has
/// CR LF anywhere is taken as it is.
fn on_the_wire(bytes: Vec<u8>) -> Vec<u8> {
    if memchr::memmem::find(&bytes, b"\r\n").is_some() {
        return bytes;
    }
    let mut wire = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => {
                wire.extend_from_slice(line);
                wire.extend_from_slice(b"\r\n");
            }
            None => wire.extend_from_slice(line),
        }
    }
    wire
}
