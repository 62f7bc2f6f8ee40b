//! What a rule does: `[then.ACTION]`, exactly one.

use super::{Category, Disposition, Fallback, clause::CATEGORIES, when::field_name};
use crate::{
    diagnostic::{Diagnostic, Located, Table},
    mail::edit::{Instead, Placement, Seal},
};
use std::{collections::BTreeMap, time::Duration};

/// One action with all that its table says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Waits for a reviewer.
    Hold {
        category: Category,
        tell_sender: bool,
        expires: Option<Duration>,
    },
    /// Waits for the manager of the group that it is for, or for whoever approves mailings.
    HoldForApproval {
        tell_sender: bool,
        expires: Option<Duration>,
    },
    /// Refused with clause and advice. `category` is the desk when a machine's mail is held instead.
    ReturnToSender {
        category: Category,
    },
    /// The header no longer names the recipients. `notice`: what the sender is told of it.
    HideRecipients {
        by: By,
        notice: Option<String>,
        fallback: Fallback,
    },
    /// The named notice at the end of the author's text.
    AppendNotice {
        notice: String,
        replies: Replies,
        at: Placement,
        /// Of messages that are signed or encrypted; without it `fallback`.
        sealed: BTreeMap<Seal, Instead>,
        fallback: Fallback,
    },
    SetHeader {
        name: String,
        value: String,
        fallback: Fallback,
    },
    /// All fields of these names go.
    RemoveHeader {
        names: Vec<String>,
        fallback: Fallback,
    },
    TagSubject {
        tag: String,
        fallback: Fallback,
    },
}

/// How recipients are hidden from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// One message to all; `to_sender`: To names its sender, else nobody.
    Bcc { to_sender: bool },
    /// One message to each, in which they see themselves alone; for so many recipients at most.
    IndividualCopies { at_most: usize },
}

/// Above it a mailing is no matter for one mail server's outbox.
const MOST_COPIES: i64 = 1_000;

/// The action's own figure, as rules and policies write it.
const AT_MOST: &str = "at-most";

/// The text by which a sender hears that recipients were hidden.
pub const RECIPIENTS_HIDDEN: &str = "recipients-hidden";
/// Which messages of a thread get a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    /// Each of ours.
    Always,
    /// The first of ours that has it; later ones do without.
    OncePerThread,
    /// Only those that answer nothing. A forwarded message is new to its readers.
    Never,
}

const REPLIES: [(&str, Replies); 3] =
    [("always", Replies::Always), ("once-per-thread", Replies::OncePerThread), ("never", Replies::Never)];

const PLACEMENTS: [(&str, Placement); 2] =
    [("end-of-own-text", Placement::EndOfOwnText), ("end-of-message", Placement::EndOfMessage)];

const ACTIONS: [&str; 8] = [
    "append-notice",
    "hide-recipients",
    "hold",
    "hold-for-approval",
    "remove-header",
    "return-to-sender",
    "set-header",
    "tag-subject",
];

const FALLBACKS: [(&str, Fallback); 3] =
    [("relay", Fallback::Relay), ("return", Fallback::Return), ("hold", Fallback::Hold)];

const INSTEAD: [(&str, Instead); 5] = [
    ("wrap", Instead::Wrap),
    ("covering-note", Instead::CoveringNote),
    ("leave", Instead::Leave),
    ("hold", Instead::Hold),
    ("return", Instead::Return),
];

/// Fields that decide where a message goes, who wrote it or how it is read: a rule may not set them.
const OWNED: [&str; 15] = [
    "bcc",
    "cc",
    "content-transfer-encoding",
    "content-type",
    "date",
    "dkim-signature",
    "from",
    "message-id",
    "mime-version",
    "received",
    "reply-to",
    "return-path",
    "sender",
    "subject",
    "to",
];

impl Action {
    pub fn name(&self) -> &'static str {
        match self {
            Action::Hold { .. } => "hold",
            Action::HoldForApproval { .. } => "hold-for-approval",
            Action::ReturnToSender { .. } => "return-to-sender",
            Action::HideRecipients { .. } => "hide-recipients",
            Action::AppendNotice { .. } => "append-notice",
            Action::SetHeader { .. } => "set-header",
            Action::RemoveHeader { .. } => "remove-header",
            Action::TagSubject { .. } => "tag-subject",
        }
    }

    pub fn disposition(&self) -> Disposition {
        match self {
            Action::Hold { .. } | Action::HoldForApproval { .. } => Disposition::Hold,
            Action::ReturnToSender { .. } => Disposition::Return,
            _ => Disposition::Relay,
        }
    }

    /// The desk of a hold, or of a return that must become one.
    pub fn category(&self) -> Option<Category> {
        match self {
            Action::Hold { category, .. } | Action::ReturnToSender { category } => Some(*category),
            Action::HoldForApproval { .. } => Some(Category::Approval),
            _ => None,
        }
    }

    /// Speaks in our name: made only for our authors, never on machine mail.
    pub fn is_ours_alone(&self) -> bool {
        matches!(self, Action::HideRecipients { .. } | Action::AppendNotice { .. })
    }

    /// The notice whose text is put into the message.
    pub fn appended_notice(&self) -> Option<&str> {
        match self {
            Action::AppendNotice { notice, .. } => Some(notice),
            _ => None,
        }
    }

    /// The figure that an organisation may set.
    pub fn figure(&self) -> Option<(&'static str, f64)> {
        match self {
            Action::HideRecipients { by: By::IndividualCopies { at_most }, .. } => Some((AT_MOST, *at_most as f64)),
            _ => None,
        }
    }

    pub fn replies(&self) -> Option<Replies> {
        match self {
            Action::AppendNotice { replies, .. } => Some(*replies),
            _ => None,
        }
    }

    /// Sets it, when it is named so.
    pub fn set_figure(&mut self, name: &str, figure: f64) {
        if let (Action::HideRecipients { by: By::IndividualCopies { at_most }, .. }, AT_MOST) = (self, name) {
            *at_most = figure as usize;
        }
    }

    pub fn expires(&self) -> Option<Duration> {
        match self {
            Action::Hold { expires, .. } | Action::HoldForApproval { expires, .. } => *expires,
            _ => None,
        }
    }
}

/// Reads `[then.ACTION]` of a rule file.
pub fn action(file: &Table<'_>) -> Option<Action> {
    let wrong = |at, message: String| {
        let diagnostic = Diagnostic::new(file.source(), at, message);
        file.mistake(diagnostic.with_allowed(format!("allowed: {}", ACTIONS.join(", "))));
    };
    let nothing = "`[then.ACTION]` is missing: the rule does nothing";
    let Some(then) = file.value("then") else {
        wrong(0..0, nothing.into());
        return None;
    };
    let at = then.at();
    let entries = then.table()?.entries();
    if entries.is_empty() {
        wrong(at, nothing.into());
        return None;
    }
    let mut known = Vec::new();
    for (name, value) in entries {
        match ACTIONS.iter().find(|action| **action == name.value) {
            Some(action) => known.push((name, *action, value)),
            None => {
                let message = format!("`{}` is no action", name.value);
                file.mistake(Diagnostic::new(file.source(), name.at, message).with_words(&name.value, &ACTIONS));
            }
        }
    }
    for (name, action, _) in known.iter().skip(1) {
        wrong(name.at.clone(), format!("a second action, `{action}`: a rule has one; a second case is a second rule"));
    }
    let (name, action, value) = known.into_iter().next()?;
    let table = value.table()?;
    let read = read(action, name, &table);
    table.finish();
    read
}

fn read(action: &str, name: Located<String>, table: &Table<'_>) -> Option<Action> {
    let fallback = |default| table.choice("fallback", &FALLBACKS).map_or(default, |fallback| fallback.value);
    match action {
        "hold" => {
            let category = table.required("category").and_then(|value| value.choice(&CATEGORIES));
            let (tell_sender, expires) = waiting(table);
            Some(Action::Hold { category: category?.value, tell_sender, expires })
        }
        "hold-for-approval" => {
            let (tell_sender, expires) = waiting(table);
            Some(Action::HoldForApproval { tell_sender, expires })
        }
        "return-to-sender" => {
            let category = table.choice("category", &CATEGORIES).map(|category| category.value);
            Some(Action::ReturnToSender { category: category.unwrap_or(Category::Technical) })
        }
        "hide-recipients" => {
            let by = hiding(table);
            let notice = table.choice("notice", &[(RECIPIENTS_HIDDEN, ())]).map(|_| RECIPIENTS_HIDDEN.to_string());
            let fallback = fallback(Fallback::Hold);
            Some(Action::HideRecipients { by: by?, notice, fallback })
        }
        "append-notice" => {
            let notice = table.required_text("notice");
            let replies = table.choice("replies", &REPLIES).map_or(Replies::Always, |replies| replies.value);
            let at = table.choice("at", &PLACEMENTS).map_or(Placement::default(), |at| at.value);
            let (sealed, fallback) = (sealed(table), fallback(Fallback::Relay));
            Some(Action::AppendNotice { replies, at, sealed, fallback, notice: notice?.value })
        }
        "set-header" => {
            let name = table.required("name").and_then(|name| name.parsed("a field name such as X-Policy", free_field));
            let value = table.required("value").and_then(|value| value.parsed("one line of text", one_line));
            let fallback = fallback(Fallback::Relay);
            Some(Action::SetHeader { name: name?.value, value: value?.value, fallback })
        }
        "remove-header" => {
            let names = table.parsed_list("names", "a field name such as X-Internal", removable_field);
            let fallback = fallback(Fallback::Relay);
            if names.is_empty() && !table.has("names") {
                table.mistake_at(table.at(), "`names` is missing in [then.remove-header]");
            }
            let names: Vec<String> = names.into_iter().map(|name| name.value).collect();
            (!names.is_empty()).then_some(Action::RemoveHeader { names, fallback })
        }
        "tag-subject" => {
            let tag = table.required("tag").and_then(|tag| tag.parsed("one line of at most 40 characters", short_line));
            Some(Action::TagSubject { fallback: fallback(Fallback::Relay), tag: tag?.value })
        }
        _ => {
            table.mistake_at(name.at, format!("`{action}` is no action"));
            None
        }
    }
}

/// `[then.append-notice.sealed]`: by kind what is done instead.
fn sealed(table: &Table<'_>) -> BTreeMap<Seal, Instead> {
    let Some(table) = table.table("sealed") else { return BTreeMap::new() };
    let chosen = |seal: Seal| Some((seal, table.choice(seal.name(), &INSTEAD)?.value));
    let sealed = Seal::ALL.into_iter().filter_map(chosen).collect();
    table.finish();
    sealed
}

/// `by`, with what belongs to it alone.
fn hiding(table: &Table<'_>) -> Option<By> {
    let by = table.required("by").and_then(|by| by.choice(&[("bcc", false), ("individual-copies", true)]))?;
    let copies = by.value;
    let to = table.choice("to", &[("undisclosed", false), ("sender", true)]);
    let at_most = table.integer(AT_MOST, 1..=MOST_COPIES);
    if let Some(to) = to.as_ref().filter(|_| copies) {
        table.mistake_at(to.at.clone(), "`to` belongs to `by = \"bcc\"`: an individual copy is to its recipient");
    }
    if let Some(at_most) = at_most.as_ref().filter(|_| !copies) {
        table.mistake_at(at_most.at.clone(), "`at-most` belongs to `by = \"individual-copies\"`");
    }
    Some(match copies {
        true => {
            let at_most = at_most.and_then(|at_most| usize::try_from(at_most.value).ok()).unwrap_or(100);
            By::IndividualCopies { at_most }
        }
        false => By::Bcc { to_sender: to.is_some_and(|to| to.value) },
    })
}

fn waiting(table: &Table<'_>) -> (bool, Option<Duration>) {
    let tell_sender = table.flag("tell-sender", true);
    (tell_sender, table.duration("expires").map(|expires| expires.value))
}

fn free_field(text: &str) -> Result<String, &'static str> {
    let name = field_name(text)?;
    let lower = name.to_ascii_lowercase();
    if OWNED.contains(&lower.as_str()) || lower.starts_with("resent-") {
        return Err("a rule may not set this field");
    }
    Ok(name)
}

/// A Bcc that was left in the message is nobody's to read (RFC 5322 3.6.3).
fn removable_field(text: &str) -> Result<String, &'static str> {
    let name = field_name(text)?;
    if ["bcc", "resent-bcc"].iter().any(|bcc| name.eq_ignore_ascii_case(bcc)) { Ok(name) } else { free_field(text) }
}

/// No control characters: a line end would begin a new field.
fn one_line(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() || text.chars().any(char::is_control) || text.len() > 900 {
        return Err("not one line of text");
    }
    Ok(text.trim().to_string())
}

fn short_line(text: &str) -> Result<String, &'static str> {
    one_line(text).and_then(|line| if line.chars().count() <= 40 { Ok(line) } else { Err("too long") })
}
