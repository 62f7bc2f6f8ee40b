//! One byte-exact change to a message. `apply` is the only place where bytes change.
//!
//! In: a message and what the rules ask for. Out: the bytes that leave, and what was done where. Never: a byte
//! changed outside the fields and parts that an edit names; a look inside signed, encrypted or enclosed parts; more
//! asked of transport than before.
//!
//! Order of edits, fixed: tag-subject, set-header, remove-header, hide-recipients, append-notice; of one kind, the
//! order given. Each edit becomes splices of the original bytes; splices of different edits may not overlap.
//!
//! Signatures and encryption cover parts, never the message's own header, so header edits are made there too.

mod charset;
mod enclose;
mod encode;
mod header;
mod mime_header;
mod notice;
mod notice_html;
mod notice_plain;
mod place;
mod recipients;
mod repeat;
mod seal;
mod splice;
mod verify;
mod written;

pub(super) use self::splice::without;
pub use self::{
    seal::{Instead, Seal},
    splice::Edited,
};

use self::{enclose::Enclosure, header::HeaderPlan, place::Places, seal::Around, splice::Splices, verify::Promise};
use super::{Address, Message, PartId, doubt};
use std::{collections::BTreeMap, sync::Arc};

/// One change that a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edit {
    /// The notice at the end of the author's text, in plain text and HTML alike. Not added where it
    /// already stands in the author's own text.
    AppendNotice {
        notice: Arc<Notice>,
    },
    /// No field names the recipients any more: To becomes `undisclosed-recipients:;`, Cc and Bcc and their
    /// Resent forms go, and so does whatever else repeats their addresses. The envelope is unchanged.
    HideRecipients,
    /// The same, and To names this one address: the sender's own, or of an individual copy its recipient's.
    ShowOnly {
        address: Address,
    },
    /// Each recipient gets a copy that names them alone. Made as `HideRecipients` here; the copies are made of that when they
    /// leave.
    IndividualCopies,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Notice {
    /// The name of the notice in the configuration.
    pub name: String,
    /// Lines end in LF; paragraphs are separated by an empty line.
    pub plain: String,
    pub html: String,
    #[serde(default, skip_serializing_if = "Placement::is_default")]
    pub at: Placement,
    /// Words that say the same: with any of them in the author's own text the notice counts as standing there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_by: Vec<String>,
    /// One of several lines that belong together: it follows the notice before it without an empty line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
    /// What is done instead where a message is signed or encrypted; what is not named is a failure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sealed: BTreeMap<Seal, Instead>,
}

/// Where in a message notices stand. Those of one message stand together: if one of them wants to be at the end of the
/// author's own text, all are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// In front of the quotation or forwarded message that ends the text, if there is one.
    #[default]
    EndOfOwnText,
    /// Behind everything; only a quotation without a sign of its own on each line stays behind it, since the notice would
    /// be read as part of that.
    EndOfMessage,
}

impl Placement {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Says whether two notices have the same words, whatever their lines and markup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NoticeDigest(pub [u8; 32]);

impl Edit {
    /// The documented name: `append-notice`, `hide-recipients` …
    pub fn kind(&self) -> &'static str {
        match self {
            Edit::AppendNotice { .. } => "append-notice",
            Edit::HideRecipients | Edit::ShowOnly { .. } | Edit::IndividualCopies => "hide-recipients",
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
    pub changes: Changes,
}

/// What of a message can be changed on its way: all of it, unless a mail server makes the changes for us and said that it
/// cannot make some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changes {
    pub header: bool,
    pub body: bool,
}

impl Changes {
    pub const ALL: Self = Self { header: true, body: true };

    /// A part's new content may want a new field in the message's header, its transfer encoding.
    fn allow(self, change: &Change) -> bool {
        self.header && (self.body || change.part == PartId::header())
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self::ALL
    }
}

/// The outcome of `apply`.
#[derive(Debug)]
pub struct Applied {
    /// What leaves.
    pub edited: Edited,
    /// What was done, where.
    pub changes: Vec<Change>,
    /// Edits that had nothing to do, and why.
    pub skipped: Vec<Skipped>,
    /// Every notice that was asked for stands in the author's text now, added or from before.
    pub notices_stand: bool,
}

impl Applied {
    /// Whether recipients were hidden from each other.
    pub fn hides_recipients(&self) -> bool {
        self.changes.iter().any(|change| change.kind == "hide-recipients")
    }

    /// The bytes that leave, in one copy.
    pub fn bytes(&self) -> Vec<u8> {
        self.edited.to_vec()
    }
}

/// An edit that was rightly not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub kind: &'static str,
    /// Constant text: `a calendar invitation`, `already there`.
    pub reason: &'static str,
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
    #[error("{kind}: the message is signed or encrypted ({})", seal.name())]
    Protected { kind: &'static str, seal: Seal },
    #[error("{kind}: the message has no part that can take it")]
    NoPlace { kind: &'static str },
    #[error("{kind}: the message could be read in two ways ({class})")]
    Ambiguous { kind: &'static str, class: &'static str },
    #[error("{kind}: the check after the edit failed ({what})")]
    CheckFailed { kind: &'static str, what: &'static str },
    #[error("{kind}: the mail server does not take such changes from a milter")]
    NotTaken { kind: &'static str },
    /// A mistake of the rule, not of the message: `Edit::check` finds it when the rule is loaded.
    #[error("{kind}: this cannot be written: {what}")]
    Invalid { kind: &'static str, what: &'static str },
}

/// A message in doubt that the independent parser may not be asked about is the message's fault, not the edit's.
fn check_failed(message: &Message, kind: &'static str, what: &'static str) -> EditFailure {
    match message.ambiguous().first() {
        Some(doubt) if what == verify::NOT_ASKED => EditFailure::Ambiguous { kind, class: doubt.class },
        _ => EditFailure::CheckFailed { kind, what },
    }
}

impl EditFailure {
    /// The kind of the edit that could not be made.
    pub fn kind(&self) -> &'static str {
        match self {
            EditFailure::Protected { kind, .. }
            | EditFailure::NoPlace { kind }
            | EditFailure::Ambiguous { kind, .. }
            | EditFailure::CheckFailed { kind, .. }
            | EditFailure::NotTaken { kind }
            | EditFailure::Invalid { kind, .. } => kind,
        }
    }
}

/// Makes all edits, then checks that our parser and an independent one see the same tree as before
/// and that every untouched part has the same bytes.
pub fn apply(message: &Message, edits: &[Edit], transport: Transport) -> Result<Applied, EditFailure> {
    let newline = line_break(message);
    let mut work =
        Work { message, newline, changes: Vec::new(), skipped: Vec::new(), promises: Vec::new(), notices_stand: false };
    let mut plan = work.plan_header(edits, transport)?;
    let Added { parts, enclosure } = work.append_notices(edits, &mut plan)?;
    let Work { changes, skipped, promises, notices_stand, .. } = work;
    if let Some(change) = changes.iter().find(|change| !transport.changes.allow(change)) {
        return Err(EditFailure::NotTaken { kind: change.kind });
    }
    let mut splices = plan.splices();
    splices.extend(parts.iter().flat_map(|part| part.splices.iter().cloned()));
    splices.extend(enclosure.iter().flat_map(|enclosure| enclosure.splices.iter().cloned()));
    let kind = changes.first().map_or("", |change| change.kind);
    let overlap = |_| EditFailure::CheckFailed { kind, what: "two edits want the same bytes" };
    let splices = Splices::new(splices).map_err(overlap)?;
    let edited = Edited::new(message, splices.clone());
    if !splices.is_empty() {
        let intended = verify::Intended { splices, parts, fields: plan.count(), promises };
        let pieces = edited.pieces();
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
        let checked = match &enclosure {
            Some(enclosure) => intended.check_enclosed(message, &pieces, enclosure),
            None => intended.check(message, &pieces),
        };
        checked.map_err(|what| check_failed(message, kind, what))?;
    }
    Ok(Applied { edited, changes, skipped, notices_stand })
}

/// What the notices become.
#[derive(Default)]
struct Added {
    parts: Vec<notice::PartEdit>,
    enclosure: Option<Enclosure>,
}

/// One run of `apply`.
struct Work<'m> {
    message: &'m Message,
    newline: &'static [u8],
    changes: Vec<Change>,
    skipped: Vec<Skipped>,
    promises: Vec<Promise>,
    notices_stand: bool,
}

impl<'m> Work<'m> {
    fn plan_header(&mut self, edits: &[Edit], transport: Transport) -> Result<HeaderPlan<'m>, EditFailure> {
        let mut plan = HeaderPlan::new(self.message, self.newline);
        let in_order = |kind| edits.iter().filter(move |edit: &&Edit| edit.kind() == kind);
        for edit in HEADER_EDITS.into_iter().flat_map(in_order) {
            let changed = match edit {
                Edit::TagSubject { tag } => plan.tag_subject(tag, transport)?,
                Edit::SetHeader { name, value } => plan.set(name, value, transport)?,
                Edit::RemoveHeader { name } => plan.remove(name)?,
                Edit::HideRecipients | Edit::IndividualCopies => recipients::hide(self.message, &mut plan, None),
                Edit::ShowOnly { address } => {
                    recipients::hide(self.message, &mut plan, recipients::writable(address, transport))
                }
                Edit::AppendNotice { .. } => false,
            };
            if changed {
                if self.message.root().fields.is_empty() {
                    return Err(EditFailure::NoPlace { kind: edit.kind() });
                }
                refuse_doubtful_header(self.message, edit.kind())?;
                self.changes.push(Change { kind: edit.kind(), part: PartId::header() });
            } else {
                self.skipped.push(Skipped { kind: edit.kind(), reason: "already so" });
            }
            self.promises.extend(Promise::of(edit, transport));
        }
        Ok(plan)
    }

    fn append_notices(&mut self, edits: &[Edit], plan: &mut HeaderPlan<'_>) -> Result<Added, EditFailure> {
        let notices: Vec<&Notice> = edits
            .iter()
            .filter_map(|edit| match edit {
                Edit::AppendNotice { notice } if !notice.is_empty() => Some(&**notice),
                _ => None,
            })
            .collect();
        let kind = notice::KIND;
        if notices.is_empty() {
            let asked = edits.iter().any(|edit| edit.kind() == kind);
            self.skipped.extend(asked.then_some(Skipped { kind, reason: "the notice has no text" }));
            return Ok(Added::default());
        }
        let into_parts = || match place::find(self.message)? {
            Places::Exempt(reason) => Ok(Err(reason)),
            Places::In(places) => {
                let edit = |place| notice::append(self.message, place, &notices, self.newline);
                let edits: Result<Vec<_>, _> = places.iter().map(edit).collect();
                Ok(Ok(edits?.into_iter().flatten().collect::<Vec<_>>()))
            }
        };
        let added = match into_parts() {
            Ok(Err(reason)) => {
                self.skipped.push(Skipped { kind, reason });
                return Ok(Added::default());
            }
            Ok(Ok(parts)) => Added { parts, enclosure: None },
            Err(failure) => Added { parts: Vec::new(), enclosure: self.enclose(failure, &notices, plan)? },
        };
        self.notices_stand = true;
        let changes = self.changes.len();
        for edit in &added.parts {
            let part = &self.message.parts()[edit.part].id;
            self.changes.extend(edit.added.iter().map(|_| Change { kind, part: part.clone() }));
        }
        if let Some(enclosure) = &added.enclosure {
            let part = &self.message.root().id;
            self.changes.extend((0..enclosure.added).map(|_| Change { kind, part: part.clone() }));
            self.changes.push(Change { kind: WRAP, part: part.clone() });
        }
        if changes == self.changes.len() {
            self.skipped.push(Skipped { kind, reason: "already there" });
        }
        Ok(added)
    }
}

impl Work<'_> {
    /// The notices around the message, since no text of it can take them. One that stands there already asks for nothing.
    fn enclose(
        &self,
        failure: EditFailure,
        notices: &[&Notice],
        plan: &mut HeaderPlan<'_>,
    ) -> Result<Option<Enclosure>, EditFailure> {
        let may_stand = match failure {
            EditFailure::Protected { .. } => true,
            EditFailure::NoPlace { .. } => place::is_files_alone(self.message),
            _ => false,
        };
        if !may_stand {
            return Err(failure);
        }
        let missing = enclose::missing(self.message, notices, self.newline);
        if missing.is_empty() {
            return Ok(None);
        }
        let around = match failure {
            EditFailure::Protected { seal, .. } => seal::around(&missing, seal).ok_or(failure)?,
            _ => Around::InFront,
        };
        enclose::enclose(self.message, plan, around, &missing, self.newline).map(Some)
    }
}

/// The message became a part of a new one.
const WRAP: &str = "wrap";

const HEADER_EDITS: [&str; 4] = ["tag-subject", "set-header", "remove-header", "hide-recipients"];

impl Edit {
    /// Whether it can be written at all, for when a rule is loaded: names and values of header fields.
    pub fn check(&self) -> Result<(), EditFailure> {
        let empty = Message::parse(b"Subject: x\r\n\r\n".to_vec());
        match self {
            Edit::AppendNotice { .. } | Edit::HideRecipients | Edit::ShowOnly { .. } | Edit::IndividualCopies => Ok(()),
            _ => apply(&empty, std::slice::from_ref(self), Transport::default()).map(|_| ()),
        }
    }
}

impl Notice {
    fn is_empty(&self) -> bool {
        self.plain.trim().is_empty() && self.html.trim().is_empty()
    }

    /// The same words at the same place, whatever is done to sealed messages.
    pub fn is_same(&self, other: &Notice) -> bool {
        let Self { name, plain, html, at, known_by, continues, sealed: _ } = self;
        (name, plain, html, at, known_by, continues)
            == (&other.name, &other.plain, &other.html, &other.at, &other.known_by, &other.continues)
    }

    /// Whether it stands directly below `before`, which is one of the same lines.
    fn follows(&self, before: &Notice) -> bool {
        self.continues && self.name == before.name
    }

    pub fn digest(&self) -> NoticeDigest {
        repeat::digest(self)
    }
}

/// Doubts about where the header's fields begin and end.
fn refuse_doubtful_header(message: &Message, kind: &'static str) -> Result<(), EditFailure> {
    let doubtful = [doubt::STRAY_CONTROL, doubt::BLANK_CONTINUATION, doubt::NO_EMPTY_LINE, doubt::HEADER_IN_BODY];
    let root = &message.root().id;
    let of_header = message.ambiguous().iter().filter(|doubt| doubt.part == *root || doubt.part.as_str() == "HEADER");
    match of_header.map(|doubt| doubt.class).find(|class| doubtful.contains(class)) {
        Some(class) => Err(EditFailure::Ambiguous { kind, class }),
        None => Ok(()),
    }
}

/// As the message itself ends its lines: CR LF on the wire, LF in a file.
fn line_break(message: &Message) -> &'static [u8] {
    let head = message.read(0..message.len().min(1000));
    match memchr::memchr(b'\n', &head) {
        Some(0) => b"\n",
        Some(at) if head[at - 1] != b'\r' => b"\n",
        _ => b"\r\n",
    }
}

#[cfg(test)]
mod place_tests;
#[cfg(test)]
mod tests;
