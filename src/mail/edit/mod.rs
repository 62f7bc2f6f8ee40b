//! One byte-exact change to a message. `apply` is the only place where bytes change.
//!
//! Order of edits, fixed: tag-subject, set-header, remove-header, hide-recipients, append-notice. Each edit becomes
//! splices of the original bytes; splices of different edits may not overlap.

use super::{Message, PartId};
use std::sync::Arc;

/// One change that a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edit {
    /// The notice at the end of the author's text, in plain text and HTML alike. Not added where it
    /// already stands in the author's own text.
    AppendNotice {
        notice: Arc<Notice>,
    },
    /// To and Cc no longer name the recipients: To becomes `undisclosed-recipients:;`, Cc and Bcc and their
    /// Resent forms go. The envelope is unchanged.
    HideRecipients,
    /// Sets a field of the message's header: the first of that name is replaced, others go; none: added at the end.
    SetHeader {
        name: String,
        value: String,
    },
    RemoveHeader {
        name: String,
    },
    /// Puts `[tag] ` in front of the subject.
    TagSubject {
        tag: String,
    },
}

/// The text of a notice in both forms. `html` is a fragment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Notice {
    /// The name of the notice in the configuration.
    pub name: String,
    /// Lines end in LF; paragraphs are separated by an empty line.
    pub plain: String,
    pub html: String,
}

impl Edit {
    /// The documented name: `append-notice`, `hide-recipients` …
    pub fn kind(&self) -> &'static str {
        match self {
            Edit::AppendNotice { .. } => "append-notice",
            Edit::HideRecipients => "hide-recipients",
            Edit::SetHeader { .. } => "set-header",
            Edit::RemoveHeader { .. } => "remove-header",
            Edit::TagSubject { .. } => "tag-subject",
        }
    }
}

/// What may be put into the message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transport {
    /// SMTPUTF8 was declared, so header edits may be UTF-8; otherwise RFC 2047.
    pub smtputf8: bool,
}

/// The outcome of `apply`.
#[derive(Debug)]
pub struct Applied {
    /// The bytes that leave.
    pub bytes: Vec<u8>,
    /// What was done, where.
    pub changes: Vec<Change>,
}

/// One change that was made. An edit that had nothing to do makes none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: &'static str,
    pub part: PartId,
}

/// Why an edit could not be made. The rule's fallback decides what then happens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditFailure {
    #[error("{kind}: the message is signed or encrypted")]
    Protected { kind: &'static str },
    #[error("{kind}: the message has no part that can take it")]
    NoPlace { kind: &'static str },
    #[error("{kind}: the message could be read in two ways ({class})")]
    Ambiguous { kind: &'static str, class: &'static str },
    #[error("{kind}: the check after the edit failed ({what})")]
    CheckFailed { kind: &'static str, what: &'static str },
}

/// Makes all edits, then checks that our parser and an independent one see the same tree as before
/// and that every untouched part has the same bytes.
pub fn apply(message: &Message, edits: &[Edit], transport: Transport) -> Result<Applied, EditFailure> {
    todo!()
}
