//! Recognising by content what nobody but its recipient can read, and saying of everything else that is not
//! read why not. A name or a declared type decides nothing.
//!
//! Text inside documents and archives is taken out by a reader in another process; where there is none, such a part is
//! *unread, unknown format*, and a rule says what that means. Pictures, sound and film hold no text and are not unread.

mod archive;
pub(super) mod mail;
mod office;
mod pdf;
mod zip;

use super::{
    Protected, Scan,
    attachment::{Kind, Sample},
};
use crate::mail::{Message, Part, Protection, Unread, UnreadReason};

/// What was learned of the content of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Encrypted(Protected),
    /// Signed, and its text is inside a container.
    Signed(Protected),
    Unread(UnreadReason),
    /// Text: to be scanned.
    Text {
        /// What a reader sees of it is spelled otherwise.
        wraps: bool,
    },
    /// Holds no text.
    NoText,
}

/// A part, seen from outside.
pub(super) struct Seen {
    /// It is to be scanned as it stands.
    pub is_text: bool,
    /// None: there is nothing in it that could be entered.
    pub content: Option<Content>,
}

/// Notes what protects a part, and whether it can be read.
pub(super) fn inspect(message: &Message, part: &Part, scan: &mut Scan) -> Seen {
    let parent = part.parent.and_then(|parent| message.parts()[parent].protection);
    if let Some(protection) = part.protection
        && parent != part.protection
    {
        scan.protected.push((part.id.clone(), Protected::Mail(protection)));
        if protection.is_encrypted() {
            scan.unread.push(Unread { part: part.id.clone(), reason: UnreadReason::Encrypted });
        }
    }
    let is_container =
        part.is_multipart() || part.content_type.is("message", "rfc822") || part.content_type.is("message", "global");
    if is_container || part.body.is_empty() {
        return Seen { is_text: false, content: None };
    }
    if part.protection.is_some_and(Protection::is_encrypted) {
        // What stands around an armoured block is still text.
        return Seen { is_text: part.is_text(), content: None };
    }
    let sample = Sample::of(message, part);
    let content = content(&sample, part.is_text());
    let unread = match content {
        Content::Encrypted(protected) => {
            scan.protected.push((part.id.clone(), protected));
            Some(UnreadReason::Encrypted)
        }
        Content::Signed(protected) => {
            if part.protection.is_none() {
                scan.protected.push((part.id.clone(), protected));
            }
            Some(UnreadReason::UnknownFormat)
        }
        Content::Unread(reason) => Some(reason),
        Content::Text { wraps } => wraps.then_some(UnreadReason::UnknownFormat),
        Content::NoText => None,
    };
    scan.unread.extend(unread.map(|reason| Unread { part: part.id.clone(), reason }));
    // What is declared as text is scanned as text too, whatever it looks like: a reader's program may show it so.
    let is_text = matches!(content, Content::Text { .. }) || part.is_text();
    Seen { is_text, content: Some(content) }
}

/// Written in letters, but what a reader sees is spelled otherwise: RTF, PostScript, a message with encoded parts. It is scanned as
/// it stands and is not taken for clean.
fn wraps_text(head: &[u8], declared_text: bool) -> bool {
    const ENCODED: &[u8] = b"content-transfer-encoding:";
    head.starts_with(b"{\\rtf")
        || head.starts_with(b"%!PS")
        || !declared_text && head.windows(ENCODED.len()).any(|window| window.eq_ignore_ascii_case(ENCODED))
}

fn content(sample: &Sample, declared_text: bool) -> Content {
    match Kind::of(sample) {
        Kind::Zip => zip::inspect(sample),
        Kind::Compound => office::inspect(sample),
        Kind::Pdf => pdf::inspect(sample),
        Kind::SevenZip => archive::seven_zip(sample),
        Kind::Rar => archive::rar(&sample.head),
        Kind::Pgp => Content::Encrypted(Protected::Mail(Protection::PgpEncrypted)),
        Kind::Der => mail::der(&sample.head),
        Kind::NoText => Content::NoText,
        Kind::Text => Content::Text { wraps: wraps_text(&sample.head, declared_text) },
        // Unknown bytes that are declared as text are text in some charset.
        Kind::Other if declared_text => Content::Text { wraps: wraps_text(&sample.head, declared_text) },
        Kind::Other if archive::is_encrypted(&sample.head) => Content::Encrypted(Protected::EncryptedArchive),
        Kind::Other => Content::Unread(UnreadReason::UnknownFormat),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::STANDARD};

    pub(super) fn attached(content: &[u8]) -> Content {
        let encoded: Vec<u8> =
            STANDARD.encode(content).as_bytes().chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect();
        let head = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        let message = Message::parse([head, &encoded[..]].concat());
        let mut scan = Scan::default();
        let text = inspect(&message, message.root(), &mut scan).is_text;
        match (scan.protected.first(), scan.unread.first(), text) {
            (Some((_, protected)), Some(unread), false) if unread.reason == UnreadReason::Encrypted => {
                Content::Encrypted(*protected)
            }
            (Some((_, protected)), Some(_), false) => Content::Signed(*protected),
            (None, Some(unread), _) => Content::Unread(unread.reason),
            (None, None, true) => Content::Text { wraps: false },
            (None, None, false) => Content::NoText,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_read_says_so() {
        assert_eq!(attached(b"name,number\r\n"), Content::Text { wraps: false });
        assert_eq!(attached(b"\x89PNG\r\n\x1A\n\0\0"), Content::NoText);
        assert_eq!(attached(b"\x1F\x8B\x08\0\0\0\0"), Content::Unread(UnreadReason::UnknownFormat));
        assert_eq!(attached(b"Salted__\x01\x02\x03\x04"), Content::Encrypted(Protected::EncryptedArchive));
        assert_eq!(attached(b""), Content::NoText);
        for wrapped in [&b"{\\rtf1 x}"[..], b"From: a@b.example\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n"] {
            assert_eq!(attached(wrapped), Content::Unread(UnreadReason::UnknownFormat));
        }
    }

    #[test]
    fn encrypted_mail_is_noted_once() {
        let message = Message::parse(
            b"Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=b\r\n\r\n--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nhQ==\r\n-----END PGP MESSAGE-----\r\n--b--\r\n".to_vec(),
        );
        let mut scan = Scan::default();
        for part in message.parts() {
            inspect(&message, part, &mut scan);
        }
        assert_eq!(scan.protected.len(), 1);
        assert_eq!(scan.protected[0].1, Protected::Mail(Protection::PgpEncrypted));
        assert_eq!(scan.unread.len(), 1);
    }
}
