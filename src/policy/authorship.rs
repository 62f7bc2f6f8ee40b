//! Author and sender: who handed a message in, and whether they may write as those whom it names as its authors.
//!
//! In: the user or, where none is known for sure, the envelope sender; From and Sender. Out: the claims that nothing
//! covers. Never: a guess from a display name that holds no address.

use super::seen::{House, is_within};
use crate::{
    detect::Finding,
    intake::Submission,
    mail::{Address, Certainty, Confidence, Field, Message, PartId, Zone},
};
use std::{collections::HashSet, ops::Range};
use unicode_normalization::UnicodeNormalization as _;

/// The name of the finding.
pub const DETECTOR: &str = "author-is-not-sender";

/// A header that names thousands needs no longer list.
const ENOUGH: usize = 100;

/// An author whose sender is somebody else.
#[derive(Clone, Debug)]
pub struct Claim {
    pub kind: Claimed,
    /// `From`, `Sender`.
    field: &'static str,
    /// None: From is there, and nobody can read an address in it.
    address: Option<Address>,
    range: Range<usize>,
}

/// Whose name is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// An address of our own domains.
    Ours,
    /// Anybody else's.
    Foreign,
}

pub const CLAIMED: [(&str, Claimed); 2] = [("ours", Claimed::Ours), ("foreign", Claimed::Foreign)];

/// Who may write as whom besides themselves: `[may-send-as]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaySendAs {
    /// Author, and who may write so.
    pub entries: Vec<(Who, Vec<Who>)>,
}

/// A mailbox, an account or all of a domain. Folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// `office@ours.example`
    Mailbox(Address),
    /// `ann`: a login that is no address.
    Account(String),
    /// `*@ours.example`, and the domains below it.
    Domain(String),
}

impl Who {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim().to_lowercase();
        if let Some(domain) = text.strip_prefix("*@") {
            return super::clause::domain(domain).map(Who::Domain);
        }
        if text.contains('@') {
            return Address::parse(&text).map(Who::Mailbox).map_err(|_| "not an address");
        }
        let plain =
            !text.is_empty() && !text.contains('*') && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        plain.then_some(Who::Account(text)).ok_or("not an account")
    }

    /// As it is written.
    pub fn written(&self) -> String {
        match self {
            Who::Mailbox(address) => address.as_str().into(),
            Who::Account(name) => name.clone(),
            Who::Domain(domain) => format!("*@{domain}"),
        }
    }

    /// Whether it is in one of these domains, or below; an account is in none.
    pub fn is_within(&self, domains: &[String]) -> bool {
        let domain = match self {
            Who::Mailbox(address) => address.domain(),
            Who::Domain(domain) => domain,
            Who::Account(_) => return false,
        };
        domains.iter().any(|parent| is_within(domain, parent))
    }

    fn covers(&self, address: &Address, house: House<'_>) -> bool {
        match self {
            Who::Mailbox(own) => is_same(own, address, house),
            Who::Domain(domain) => is_within(address.domain(), domain),
            Who::Account(name) => is_account_of(name, address, house),
        }
    }
}

/// Who handed the message in.
enum Sender {
    Mailbox(Address),
    /// A login that is no address; a Windows domain before it is left out.
    Account(String),
    /// The null sender of nobody whom we know: a mail system.
    System,
}

/// The authors whom nothing lets this sender write as, each once.
pub fn claims(submission: &Submission, house: House<'_>) -> Vec<Claim> {
    let sender = Sender::of(submission);
    let automatic = matches!(sender, Sender::System) && submission.message.is_automatic();
    if automatic {
        // A report or an answer of a mail system on somebody's behalf: there is no sender to compare with.
        return Vec::new();
    }
    let mut claims = Vec::new();
    let mut seen = HashSet::new();
    for name in ["From", "Sender"] {
        for (address, range) in named(&submission.message, name, house) {
            let known = address.as_ref().is_some_and(|address| sender.may_write_as(address, house));
            if known || !seen.insert(address.as_ref().map(Address::folded)) || claims.len() >= ENOUGH {
                continue;
            }
            let ours = address.as_ref().map_or(sender.is_ours(house), |address| house.owns(address));
            let kind = if ours { Claimed::Ours } else { Claimed::Foreign };
            claims.push(Claim { kind, field: name, address, range });
        }
    }
    claims
}

impl Claim {
    /// As evidence. The excerpt shows who it is to somebody who knows the address, and to nobody else.
    pub fn finding(&self, number: usize) -> Finding {
        let excerpt = match &self.address {
            None => format!("{}: no address", self.field),
            Some(address) => {
                let first: String = address.local().chars().take(1).collect();
                let top = address.domain().rsplit('.').next().unwrap_or_default();
                format!("{}: {first}***@***.{top}", self.field)
            }
        };
        Finding {
            detector: DETECTOR.into(),
            category: None,
            severity: 0,
            part: PartId::header(),
            zone: Zone::Header,
            confidence: Confidence::High,
            range: self.range.clone(),
            excerpt,
            value: number as u64,
            score: 1.0,
        }
    }
}

impl Sender {
    fn of(submission: &Submission) -> Self {
        let user = submission.origin.user.as_ref().filter(|user| user.certainty != Certainty::Unverified);
        match (user, &submission.envelope.sender.address) {
            (Some(user), _) => {
                let name = user.name.expose().trim().to_lowercase();
                let name = name.rsplit('\\').next().unwrap_or_default();
                Address::parse(name).map_or_else(|_| Sender::Account(name.into()), Sender::Mailbox)
            }
            (None, Some(sender)) => Sender::Mailbox(sender.clone()),
            (None, None) => Sender::System,
        }
    }

    fn is_ours(&self, house: House<'_>) -> bool {
        match self {
            Sender::Mailbox(address) => house.owns(address),
            Sender::Account(_) | Sender::System => true,
        }
    }

    fn may_write_as(&self, author: &Address, house: House<'_>) -> bool {
        let itself = match self {
            Sender::Mailbox(sender) => is_same(sender, author, house),
            Sender::Account(name) => is_account_of(name, author, house),
            // RFC 5321 4.5.1, RFC 2142 5.
            Sender::System => {
                ["mailer-daemon", "postmaster"].iter().any(|own| author.local().eq_ignore_ascii_case(own))
            }
        };
        let entries = house.may_send_as.entries.iter().filter(|(covered, _)| covered.covers(author, house));
        itself || entries.flat_map(|(_, allowed)| allowed).any(|who| self.is(who, house))
    }

    fn is(&self, who: &Who, house: House<'_>) -> bool {
        match self {
            Sender::Mailbox(sender) => who.covers(sender, house),
            Sender::Account(name) => match who {
                Who::Account(account) => account == name,
                Who::Mailbox(address) => is_account_of(name, address, house),
                Who::Domain(_) => false,
            },
            Sender::System => false,
        }
    }
}

/// One mailbox: the same local part, without the detail behind a plus sign (RFC 5233), in the same domain or in two of ours.
fn is_same(one: &Address, other: &Address, house: House<'_>) -> bool {
    let domains = one.domain().eq_ignore_ascii_case(other.domain()) || (house.owns(one) && house.owns(other));
    domains && base(one) == base(other)
}

/// A login without a domain is the person of that name in our domains.
fn is_account_of(name: &str, address: &Address, house: House<'_>) -> bool {
    house.owns(address) && base(address) == name
}

fn base(address: &Address) -> String {
    let local = address.local().to_lowercase();
    match local.split_once('+') {
        Some((base, _)) if !base.is_empty() && !base.starts_with('"') => base.into(),
        _ => local,
    }
}

/// Everybody whom the fields of that name give as an author: their mailboxes, and addresses of ours that a reader sees in a
/// display name or a comment. A From in which no address can be read is one of nobody.
fn named(message: &Message, name: &str, house: House<'_>) -> Vec<(Option<Address>, Range<usize>)> {
    let mut named: Vec<(Option<Address>, Range<usize>)> = Vec::new();
    for field in message.fields(message.root(), name) {
        let range = field.value.clone();
        let mailboxes = message.mailboxes_of(field);
        if mailboxes.is_empty() && name == "From" {
            named.push((None, range.clone()));
        }
        let shown = shown(message, field).into_iter().filter(|address| house.owns(address));
        named.extend(mailboxes.into_iter().chain(shown).map(|address| (Some(address), range.clone())));
    }
    named
}

/// All that looks like an address to a reader of the field: encoded words decoded, compatibility forms and invisible
/// characters undone.
fn shown(message: &Message, field: &Field) -> Vec<Address> {
    let text: String = message.field_text(field).text.nfkc().filter(|c| !is_invisible(*c)).collect();
    let is_local = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let is_domain = |c: char| c.is_alphanumeric() || c == '-' || c == '.';
    let found = text.match_indices('@').take(ENOUGH).filter_map(|(at, _)| {
        let (before, behind) = (&text[..at], &text[at + 1..]);
        let start = before.char_indices().rev().take_while(|(_, c)| is_local(*c)).last().map_or(at, |(start, _)| start);
        let end = behind.find(|c| !is_domain(c)).unwrap_or(behind.len());
        let local = before[start..].trim_start_matches(['\'', '`', '.']);
        Address::parse(&format!("{local}@{}", behind[..end].trim_end_matches(['.', '-']))).ok()
    });
    found.collect()
}

/// Soft hyphen, zero-width characters, marks of direction.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
