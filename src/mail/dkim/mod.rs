//! DKIM (RFC 6376): what becomes of an organisation's own signatures when we edit its mail, and signing what leaves.
//!
//! In: a message, edited or not, and the organisation's keys. Out: the message without signatures that the edit broke, and
//! a new signature to stand on its top. Never: a signature of somebody else taken out, a message that we did not edit
//! deprived of one, a key in a message or an error.

mod canonical;
mod key;

pub use key::{Key, KeyError, Record};

use super::{
    Message,
    edit::{self, Edited},
};
use canonical::BodyHash;
use std::borrow::Cow;
use time::OffsetDateTime;

const FIELD: &str = "DKIM-Signature";

/// What becomes of a domain's own signatures when a message of it is edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Policy {
    /// They stay, broken or not: somebody behind us signs.
    #[default]
    Preserve,
    /// Those that the edit broke go.
    Strip,
    /// They go, and what leaves without a signature of the domain gets ours.
    Sign,
}

/// One of the organisation's domains; those below it count as it unless they are named themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    /// Folded.
    pub name: String,
    pub policy: Policy,
    pub keys: Vec<Key>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dkim {
    domains: Vec<Domain>,
}

/// Fields that a signature covers, where they are there (RFC 6376 5.4.1). Each that is there is named once more than it
/// stands there, so that nobody can add one.
const COVERED: [&str; 18] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Disposition",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Resent-From",
];

/// These may not be added even where there is none. Others a mail server behind us may add: Date, Message-ID.
const NEVER_ADDED: [&str; 5] = ["From", "Reply-To", "To", "Cc", "Subject"];

impl Dkim {
    pub fn new(mut domains: Vec<Domain>) -> Self {
        // The longest first: it is the one that says most.
        domains.sort_by_key(|domain| std::cmp::Reverse(domain.name.len()));
        Self { domains }
    }

    pub fn is_empty(&self) -> bool {
        self.domains.iter().all(|domain| domain.policy == Policy::Preserve)
    }

    /// The domain of the author, when it is one of these.
    fn of(&self, message: &Message) -> Option<&Domain> {
        let author = message.mailboxes("From").into_iter().next()?;
        self.domains.iter().find(|domain| author.is_within(&domain.name))
    }

    /// The edited message without those signatures of its author's domain that the edit broke. None: as it is.
    pub fn strip(&self, message: &Message, edited: &Edited) -> Option<Edited> {
        let domain = self.of(message).filter(|domain| domain.policy != Policy::Preserve)?;
        let after = Message::parse(edited.header());
        let same_body = edited.body().is_none();
        let broken = message.fields(message.root(), FIELD).filter(|field| {
            let value = message.read(field.value.clone());
            is_of(&value, &domain.name) && !(same_body && covered_are_same(&value, message, &after))
        });
        let broken: Vec<_> = broken.map(|field| field.whole.clone()).collect();
        (!broken.is_empty()).then(|| edit::without(edited, &broken)).flatten()
    }

    /// The message as it leaves: `edited`, if it is, without the signatures that this broke, and those that are to stand on top.
    pub fn finish(&self, message: &Message, edited: Option<&Edited>, at: OffsetDateTime) -> (Option<Edited>, Vec<u8>) {
        let stripped = edited.and_then(|edited| self.strip(message, edited));
        let left = stripped.or_else(|| edited.cloned());
        let pieces = left.as_ref().map_or_else(|| vec![message.read(0..message.len())], Edited::pieces);
        let fields = self.sign(&pieces, at);
        drop(pieces);
        (left, fields)
    }

    /// The signatures that are to stand on top of what leaves, each a field with its line end. Empty when the author's domain
    /// does not sign here, or the message is signed by it.
    pub fn sign(&self, pieces: &[Cow<'_, [u8]>], at: OffsetDateTime) -> Vec<u8> {
        if self.is_empty() {
            return Vec::new();
        }
        let header = Message::parse(header_of(pieces));
        let Some(domain) = self.of(&header).filter(|domain| domain.policy == Policy::Sign) else { return Vec::new() };
        let signed = |field: &super::Field| is_of(&header.read(field.value.clone()), &domain.name);
        if header.fields(header.root(), FIELD).any(signed) {
            return Vec::new();
        }
        let body = body_hash(pieces);
        let mut out = Vec::new();
        for key in &domain.keys {
            out.extend_from_slice(signature(&header, &body, &domain.name, key, at).as_bytes());
        }
        out
    }
}

/// The header of a message that comes in pieces, its empty line included.
fn header_of(pieces: &[Cow<'_, [u8]>]) -> Vec<u8> {
    let mut header = Vec::new();
    for piece in pieces {
        // The end may lie across two pieces.
        let from = header.len().saturating_sub(3);
        header.extend_from_slice(piece);
        if header.starts_with(b"\r\n") {
            header.truncate(2);
            break;
        }
        if let Some(end) = memchr::memmem::find(&header[from..], b"\r\n\r\n") {
            header.truncate(from + end + 4);
            break;
        }
    }
    header
}

fn body_hash(pieces: &[Cow<'_, [u8]>]) -> String {
    let mut left = header_of(pieces).len();
    let mut hash = BodyHash::default();
    for piece in pieces {
        let skipped = left.min(piece.len());
        left -= skipped;
        hash.update(&piece[skipped..]);
    }
    hash.finish()
}

/// The value of a tag of a signature (RFC 6376 3.2), white space taken out.
fn tag(value: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(value);
    text.split(';').find_map(|tag| {
        let (tag, value) = tag.split_once('=')?;
        (tag.trim() == name).then(|| value.split_whitespace().collect::<String>())
    })
}

/// Whether it is a signature of this domain, or of one below it.
fn is_of(value: &[u8], domain: &str) -> bool {
    let Some(signer) = tag(value, "d").map(|signer| signer.to_lowercase()) else { return false };
    signer == domain || signer.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

fn covered_are_same(value: &[u8], before: &Message, after: &Message) -> bool {
    let all = |message: &Message, name: &str| -> Vec<Vec<u8>> {
        let fields = message.fields(message.root(), name);
        fields.map(|field| message.read(field.whole.clone()).into_owned()).collect()
    };
    let names = tag(value, "h").unwrap_or_default();
    names.split(':').all(|name| all(before, name) == all(after, name))
}

/// Of each field its copies from the last up (RFC 6376 5.4.2), then once more.
fn names(header: &Message) -> Vec<&'static str> {
    let mut names = Vec::new();
    for name in COVERED {
        let count = header.fields(header.root(), name).count();
        if count > 0 || NEVER_ADDED.contains(&name) {
            names.extend(std::iter::repeat_n(name, count + 1));
        }
    }
    names
}

fn signature(header: &Message, body: &str, domain: &str, key: &Key, at: OffsetDateTime) -> String {
    let names = names(header);
    let mut lines = format!(
        "{FIELD}: v=1; a={}; c=relaxed/relaxed; d={domain};\r\n\ts={}; t={};\r\n\th=",
        key.algorithm(),
        key.selector(),
        at.unix_timestamp()
    );
    fold(&mut lines, &names.join(":"), ':');
    lines.push_str(";\r\n\tbh=");
    lines.push_str(body);
    lines.push_str(";\r\n\tb=");
    let mut covered = Vec::new();
    let mut seen: Vec<(&str, usize)> = Vec::new();
    for name in names {
        let used = seen.iter_mut().find(|(other, _)| *other == name);
        let nth = match used {
            Some((_, used)) => {
                *used += 1;
                *used
            }
            None => {
                seen.push((name, 0));
                0
            }
        };
        let copies: Vec<_> = header.fields(header.root(), name).collect();
        if let Some(field) = copies.iter().rev().nth(nth) {
            canonical::field(&header.read(field.whole.clone()), &mut covered);
        }
    }
    canonical::field(lines.as_bytes(), &mut covered);
    // The signature's own field goes in without its line end (RFC 6376 3.7).
    covered.truncate(covered.len() - 2);
    fold(&mut lines, &key.sign(&covered), '\0');
    lines.push_str("\r\n");
    lines
}

/// Appends `text` in lines of a header: broken behind `at`, or anywhere for NUL.
fn fold(out: &mut String, text: &str, at: char) {
    let mut line = 4;
    for c in text.chars() {
        out.push(c);
        line += 1;
        if line > 70 && (c == at || at == '\0') {
            out.push_str("\r\n\t ");
            line = 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{
        Edit,
        edit::{Notice, Transport, apply},
    };
    use std::sync::Arc;

    const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
    const MESSAGE: &str = "From: Ann <ann@ours.example>\r\nTo: b@elsewhere.example\r\nSubject: x\r\n\
                           DKIM-Signature: v=1; a=rsa-sha256; d=ours.example; s=old;\r\n\th=From:Subject; bh=x; b=y\r\n\
                           DKIM-Signature: v=1; d=lists.example; s=l; h=From; bh=x; b=y\r\n\r\nbody\r\n";

    fn dkim(policy: Policy) -> Dkim {
        let keys = vec![Key::generate_ed25519("gate").unwrap().0];
        Dkim::new(vec![Domain { name: "ours.example".into(), policy, keys }])
    }

    fn edited(message: &Message, edit: Edit) -> Edited {
        apply(message, &[edit], Transport::default()).unwrap().edited
    }

    fn notice() -> Edit {
        Edit::AppendNotice {
            notice: Arc::new(Notice {
                name: "n".into(),
                plain: "Private.".into(),
                html: String::new(),
                ..Notice::default()
            }),
        }
    }

    fn stripped(policy: Policy, edit: Edit) -> Option<String> {
        let message = Message::parse(MESSAGE.as_bytes().to_vec());
        let edited = edited(&message, edit);
        dkim(policy).strip(&message, &edited).map(|edited| String::from_utf8(edited.to_vec()).unwrap())
    }

    #[test]
    fn only_what_an_edit_broke_goes_and_only_of_our_own_domain() {
        let tag = || Edit::TagSubject { tag: "t".into() };
        let other = || Edit::SetHeader { name: "X-Class".into(), value: "c".into() };
        for edit in [notice(), tag()] {
            assert_eq!(stripped(Policy::Preserve, edit.clone()), None);
            let text = stripped(Policy::Strip, edit).unwrap();
            assert!(!text.contains("s=old") && text.contains("d=lists.example"), "{text}");
        }
        assert_eq!(stripped(Policy::Sign, other()), None, "it holds still");
    }

    #[test]
    fn what_is_signed_and_what_is_not() {
        let pieces = |text: &str| vec![Cow::Owned(text.as_bytes().to_vec())];
        let unsigned = MESSAGE.replace("d=ours.example", "d=lists.example");
        assert!(dkim(Policy::Strip).sign(&pieces(&unsigned), AT).is_empty());
        assert!(dkim(Policy::Sign).sign(&pieces(MESSAGE), AT).is_empty(), "signed by its own domain");
        let foreign = unsigned.replace("ann@ours.example", "ann@elsewhere.example");
        assert!(dkim(Policy::Sign).sign(&pieces(&foreign), AT).is_empty(), "not ours");
        let below = unsigned.replace("ann@ours.example", "ann@sub.ours.example");
        for text in [&unsigned, &below] {
            let field = String::from_utf8(dkim(Policy::Sign).sign(&pieces(text), AT)).unwrap();
            assert!(field.starts_with(
                "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=ours.example;\r\n\ts=gate; t=0;"
            ));
            assert!(field.contains("h=From:From:Reply-To:To:To:Cc:Subject:Subject;"), "{field}");
            assert!(field.ends_with("\r\n") && field.lines().all(|line| line.len() <= 78), "{field}");
        }
    }

    #[test]
    fn pieces_do_not_matter() {
        let unsigned = MESSAGE.replace("d=ours.example", "d=lists.example");
        let dkim = dkim(Policy::Sign);
        let whole = dkim.sign(&[Cow::Borrowed(unsigned.as_bytes())], AT);
        for size in [1, 2, 3, 7, 50] {
            let pieces: Vec<_> = unsigned.as_bytes().chunks(size).map(Cow::Borrowed).collect();
            assert_eq!(dkim.sign(&pieces, AT), whole, "{size}");
        }
    }
}
