//! The conditions of rules. Each is one small function: yes, no, or cannot tell.

use super::{
    Tell,
    authorship::{CLAIMED, Claimed},
    count::Count,
    finds::Finds,
    follow::{self, Follows},
    seen::Seen,
    sensitive::{SensitiveLists, Sign},
    slips,
};
use crate::mail::UnreadReason;
use regex::Regex;

/// One condition of a rule's `[when]` or `[unless]`.
#[derive(Clone, Debug)]
pub enum Condition {
    /// `direction`: any of them.
    Direction(Vec<Direction>),
    /// `outside`: at least one recipient is not in our own domains.
    Outside(bool),
    /// `recipients-over`, `visible-recipients-over` …: more than so many.
    Over(Count, usize),
    /// `recipient-domain`: a recipient is in one of these domains, or below.
    RecipientDomain(Vec<String>),
    /// `recipient-group`: a group of these names is a recipient.
    RecipientGroup(Vec<String>),
    /// `visible-group`: one of our groups stands in To or Cc, or none does.
    VisibleGroup(bool),
    /// `sensitive-list`: who gets this says something of them; the rule's own signs of it beside those of the policies.
    SensitiveList { wanted: bool, own: SensitiveLists },
    /// `follows-stopped`: to mostly the same people as a message that was stopped just before.
    FollowsStopped(Follows),
    /// `recall`: Outlook's recall of a message.
    Recall(bool),
    /// `group-needs-approval`: a group that its manager watches over is a recipient, or is none.
    GroupNeedsApproval(bool),
    /// `look-alike-recipient`: a recipient's domain is nearly one that is known.
    LookAlike(bool),
    /// `own-private-mailbox`: a recipient is the sender's mailbox at a webmail provider.
    OwnMailbox(bool),
    /// `from-domain`: an author is in one of these domains, or below.
    FromDomain(Vec<String>),
    /// `author-is-not-sender`: an author whom the sender may not write as, of one of these kinds.
    AuthorIsNotSender(Vec<Claimed>),
    /// `author-is-not-sender = false`: the sender may write as every author.
    AuthorIsSender,
    /// `finds`: what the detectors found.
    Finds(Finds),
    /// `encrypted`: what only the recipient can read.
    Encrypted(Extent),
    /// `unread`: parts that could not be read, for one of these reasons.
    Unread(Vec<UnreadReason>),
    /// `ambiguous`: could be read in two ways.
    Ambiguous(bool),
    /// `header-matches`.
    HeaderMatches { name: String, pattern: Regex },
    /// `subject-contains`: any of these, in lower case.
    SubjectContains(Vec<String>),
    /// `automatic`: machine mail.
    Automatic(bool),
    /// `thread-already-shares`: the visible recipients already see each other in this thread.
    ThreadAlreadyShares(bool),
    /// Of every rule that writes notices or changes recipients: the author is ours.
    AuthorIsOurs,
    /// Of every such rule: not machine mail, which is never changed so.
    NotMachine,
}

/// Between whom a message goes. Incoming mail is not judged at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From us, at least one recipient outside.
    Outbound,
    /// From us, to us alone.
    Internal,
    /// Neither sender nor author is ours: forwarding, forgery.
    Foreign,
}

/// How much of a message is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of its content.
    All,
    /// At least one part of it.
    Attachment,
}

pub const DIRECTIONS: [(&str, Direction); 3] =
    [("outbound", Direction::Outbound), ("internal", Direction::Internal), ("foreign", Direction::Foreign)];

pub const EXTENTS: [(&str, Extent); 2] = [("all", Extent::All), ("attachment", Extent::Attachment)];

pub const UNREAD: [(&str, UnreadReason); 8] = [
    ("encrypted", UnreadReason::Encrypted),
    ("too-large", UnreadReason::TooLarge),
    ("too-deep", UnreadReason::TooDeep),
    ("too-many", UnreadReason::TooMany),
    ("time", UnreadReason::Time),
    ("damaged", UnreadReason::Damaged),
    ("unknown-format", UnreadReason::UnknownFormat),
    ("crashed", UnreadReason::Crashed),
];

impl Condition {
    pub fn tell(&self, seen: &Seen<'_>) -> Tell {
        let holds = match self {
            Condition::Direction(wanted) => wanted.contains(&direction(seen)),
            Condition::Outside(wanted) => (seen.outside_recipients() > 0) == *wanted,
            Condition::Over(count, limit) => count.of(seen) > *limit,
            Condition::RecipientDomain(domains) => recipients_within(seen, domains) > 0,
            Condition::RecipientGroup(names) => seen.groups().any(|group| names.contains(&group.name)),
            Condition::VisibleGroup(wanted) => (seen.visible().groups > 0) == *wanted,
            Condition::FollowsStopped(follows) => match &seen.facts.followed {
                Ok(followed) => follows.holds(followed),
                Err(why) => return Tell::CannotTell(why),
            },
            Condition::Recall(wanted) => follow::is_recall(seen) == *wanted,
            Condition::SensitiveList { wanted, own } => sensitive(seen, own).is_some() == *wanted,
            Condition::GroupNeedsApproval(wanted) => seen.groups().any(|group| group.approval) == *wanted,
            Condition::LookAlike(wanted) => (slips::look_alikes(seen) > 0) == *wanted,
            Condition::OwnMailbox(wanted) => (slips::own_mailboxes(seen) > 0) == *wanted,
            Condition::FromDomain(domains) => from_within(seen, domains),
            Condition::AuthorIsNotSender(kinds) => seen.claims().iter().any(|claim| kinds.contains(&claim.kind)),
            Condition::AuthorIsSender => seen.claims().is_empty(),
            Condition::Finds(finds) => finds.holds(seen.scan),
            Condition::Encrypted(extent) => is_encrypted(seen, *extent),
            Condition::Unread(reasons) => seen.unread().any(|reason| reasons.contains(&reason)),
            Condition::Ambiguous(wanted) => seen.is_ambiguous() == *wanted,
            Condition::HeaderMatches { name, pattern } => header_matches(seen, name, pattern),
            Condition::SubjectContains(texts) => texts.iter().any(|text| seen.subject().contains(text.as_str())),
            Condition::Automatic(wanted) => seen.is_machine() == *wanted,
            Condition::ThreadAlreadyShares(wanted) => {
                return match (seen.facts.thread_shares, wanted) {
                    (Tell::Yes, false) => Tell::No,
                    (Tell::No, false) => Tell::Yes,
                    (told, _) => told,
                };
            }
            Condition::AuthorIsOurs => seen.author_is_ours(),
            Condition::NotMachine => !seen.is_machine(),
        };
        if holds { Tell::Yes } else { Tell::No }
    }

    /// The condition as the rule writes it: `visible-recipients-over 20`.
    pub fn wanted(&self) -> String {
        match self {
            Condition::Direction(wanted) => format!("direction {}", listed(&DIRECTIONS, wanted)),
            Condition::Outside(wanted) => format!("outside {wanted}"),
            Condition::Over(count, limit) => format!("{} {limit}", count.name()),
            Condition::RecipientDomain(domains) => format!("recipient-domain {}", domains.join(" or ")),
            Condition::RecipientGroup(names) => format!("recipient-group {}", names.join(" or ")),
            Condition::VisibleGroup(wanted) => format!("visible-group {wanted}"),
            Condition::FollowsStopped(follows) => follows.wanted(),
            Condition::Recall(wanted) => format!("recall {wanted}"),
            Condition::SensitiveList { wanted, .. } => format!("sensitive-list {wanted}"),
            Condition::GroupNeedsApproval(wanted) => format!("group-needs-approval {wanted}"),
            Condition::LookAlike(wanted) => format!("look-alike-recipient {wanted}"),
            Condition::OwnMailbox(wanted) => format!("own-private-mailbox {wanted}"),
            Condition::FromDomain(domains) => format!("from-domain {}", domains.join(" or ")),
            Condition::AuthorIsNotSender(kinds) => format!("author-is-not-sender {}", listed(&CLAIMED, kinds)),
            Condition::AuthorIsSender => "author-is-not-sender false".into(),
            Condition::Finds(finds) => finds.wanted(),
            Condition::Encrypted(extent) => format!("encrypted {}", listed(&EXTENTS, &[*extent])),
            Condition::Unread(reasons) => format!("unread {}", listed(&UNREAD, reasons)),
            Condition::Ambiguous(wanted) => format!("ambiguous {wanted}"),
            Condition::HeaderMatches { name, pattern } => format!("header-matches {name}: {pattern}"),
            Condition::SubjectContains(texts) => format!("subject-contains {}", texts.join(" or ")),
            Condition::Automatic(wanted) => format!("automatic {wanted}"),
            Condition::ThreadAlreadyShares(wanted) => format!("thread-already-shares {wanted}"),
            Condition::AuthorIsOurs => "the author is ours".into(),
            Condition::NotMachine => "not machine mail".into(),
        }
    }

    /// What the message has: `8`. Never an address or a word of the message.
    pub fn value(&self, seen: &Seen<'_>) -> String {
        match self {
            Condition::Direction(_) => listed(&DIRECTIONS, &[direction(seen)]),
            Condition::Outside(_) => seen.outside_recipients().to_string(),
            Condition::Over(count, _) => count.of(seen).to_string(),
            Condition::VisibleGroup(_) => seen.visible().groups.to_string(),
            Condition::FollowsStopped(_) => match &seen.facts.followed {
                Ok(followed) => Follows::value(followed),
                Err(why) => format!("cannot tell: {why}"),
            },
            Condition::SensitiveList { own, .. } => match sensitive(seen, own) {
                None => "no".into(),
                Some(Sign::Group) => "by a group".into(),
                Some(Sign::Team) => "by the author's team".into(),
                Some(Sign::Subject) => "by the subject".into(),
            },
            Condition::RecipientDomain(domains) => recipients_within(seen, domains).to_string(),
            Condition::RecipientGroup(_) | Condition::GroupNeedsApproval(_) => {
                let names: Vec<&str> = seen.groups().map(|group| group.name.as_str()).collect();
                if names.is_empty() { "no group".into() } else { names.join(", ") }
            }
            Condition::LookAlike(_) => slips::look_alikes(seen).to_string(),
            Condition::OwnMailbox(_) => slips::own_mailboxes(seen).to_string(),
            Condition::AuthorIsNotSender(_) | Condition::AuthorIsSender => {
                let kinds: Vec<Claimed> = seen.claims().iter().map(|claim| claim.kind).collect();
                if kinds.is_empty() { "no".into() } else { listed(&CLAIMED, &kinds) }
            }
            Condition::Finds(finds) => finds.distinct_in(seen.scan).to_string(),
            Condition::Encrypted(_) => {
                let (content, encrypted) = seen.encrypted_parts();
                format!("{encrypted} of {content} parts")
            }
            Condition::Unread(_) => match seen.unread().collect::<Vec<_>>().as_slice() {
                [] => "all was read".into(),
                reasons => listed(&UNREAD, reasons),
            },
            Condition::ThreadAlreadyShares(wanted) => match (self.tell(seen), wanted) {
                (Tell::CannotTell(why), _) => format!("cannot tell: {why}"),
                (Tell::Yes, true) | (Tell::No, false) => "yes".into(),
                _ => "no".into(),
            },
            Condition::Ambiguous(wanted) | Condition::Automatic(wanted) | Condition::Recall(wanted) => {
                word((self.tell(seen) == Tell::Yes) == *wanted).into()
            }
            Condition::FromDomain(_)
            | Condition::HeaderMatches { .. }
            | Condition::SubjectContains(_)
            | Condition::AuthorIsOurs
            | Condition::NotMachine => word(self.tell(seen) == Tell::Yes).into(),
        }
    }

    /// For a figure: how far the message is on the way to it, 1 being just there.
    pub fn share(&self, seen: &Seen<'_>) -> Option<f64> {
        let (value, limit) = match self {
            Condition::Over(count, limit) => (count.of(seen), *limit),
            Condition::Finds(finds) => (finds.distinct_in(seen.scan), finds.distinct),
            _ => return None,
        };
        Some(value as f64 / limit.max(1) as f64)
    }

    /// The figures that an organisation may set, with the rule's own value.
    pub fn figures(&self) -> Vec<(&'static str, f64)> {
        match self {
            Condition::Over(count, limit) => vec![(count.name(), *limit as f64)],
            Condition::FollowsStopped(follows) => follows.figures(),
            Condition::Finds(finds) => vec![
                ("distinct", finds.distinct as f64),
                ("min-score", f64::from(finds.min_score)),
                ("min-severity", f64::from(finds.min_severity)),
            ],
            _ => Vec::new(),
        }
    }

    /// Sets a figure that `figures` names.
    pub fn set_figure(&mut self, name: &str, figure: f64) {
        match (self, name) {
            (Condition::Over(count, limit), name) if count.name() == name => *limit = figure as usize,
            (Condition::FollowsStopped(follows), name) => follows.set_figure(name, figure),
            (Condition::Finds(finds), "distinct") => finds.distinct = figure as usize,
            (Condition::Finds(finds), "min-score") => finds.min_score = figure as f32,
            (Condition::Finds(finds), "min-severity") => finds.min_severity = figure as u8,
            _ => {}
        }
    }
}

pub fn direction(seen: &Seen<'_>) -> Direction {
    match (seen.is_from_us(), seen.outside_recipients() > 0) {
        (false, _) => Direction::Foreign,
        (true, true) => Direction::Outbound,
        (true, false) => Direction::Internal,
    }
}

/// By what the list is known to be sensitive, whoever says so.
fn sensitive(seen: &Seen<'_>, own: &SensitiveLists) -> Option<Sign> {
    own.sign(seen).or_else(|| seen.house.sensitive.sign(seen))
}

fn recipients_within(seen: &Seen<'_>, domains: &[String]) -> usize {
    let recipients = seen.submission.envelope.recipients.iter();
    recipients.filter(|recipient| any_within(recipient.address.domain(), domains)).count()
}

/// A message without an author is its envelope sender's.
fn from_within(seen: &Seen<'_>, domains: &[String]) -> bool {
    let mut authors = seen.authors().iter().chain(match seen.authors() {
        [] => seen.submission.envelope.sender.address.as_ref(),
        _ => None,
    });
    authors.any(|author| any_within(author.domain(), domains))
}

fn any_within(domain: &str, domains: &[String]) -> bool {
    domains.iter().any(|parent| super::seen::is_within(domain, parent))
}

fn is_encrypted(seen: &Seen<'_>, extent: Extent) -> bool {
    let (content, encrypted) = seen.encrypted_parts();
    match extent {
        Extent::All => encrypted > 0 && encrypted == content,
        Extent::Attachment => encrypted > 0,
    }
}

fn header_matches(seen: &Seen<'_>, name: &str, pattern: &Regex) -> bool {
    let message = seen.message();
    // Every copy of the field: a reader may show any of them.
    message.fields(message.root(), name).any(|field| pattern.is_match(message.field_text(field).text.trim()))
}

fn word(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn listed<T: PartialEq>(words: &[(&str, T)], wanted: &[T]) -> String {
    let found = words.iter().filter(|(_, word)| wanted.contains(word)).map(|(name, _)| *name);
    found.collect::<Vec<_>>().join(" or ")
}
