//! S/MIME and OpenPGP by content.

use super::Content;
use crate::detect::Protected;
use crate::mail::{Protection, UnreadReason};

/// The object identifiers of CMS content types (RFC 5652, RFC 5083), with tag and length.
const SIGNED: &[u8] = b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x02";
const ENVELOPED: &[u8] = b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x03";
const ENCRYPTED: &[u8] = b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x06";
const AUTHENTICATED_ENVELOPED: &[u8] = b"\x06\x0B\x2A\x86\x48\x86\xF7\x0D\x01\x09\x10\x01\x17";
/// The type that signed data holds, when the data is inside of it and not beside.
const DATA: &[u8] = b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x01";

/// A SEQUENCE that begins with the type of its content.
pub(super) fn der(head: &[u8]) -> Content {
    let length = match head.get(1) {
        Some(long @ 0x80..=0x84) => 2 + usize::from(long & 0x7F),
        _ => 2,
    };
    let content = head.get(length..).unwrap_or_default();
    if [ENVELOPED, ENCRYPTED, AUTHENTICATED_ENVELOPED].iter().any(|kind| content.starts_with(kind)) {
        return Content::Encrypted(Protected::Mail(Protection::SmimeEncrypted));
    }
    if content.starts_with(SIGNED) {
        // Directly behind the type of the inner content stands [0] with the content itself (RFC 5652 5.2), or nothing.
        let inner =
            memchr::memmem::find(&content[..content.len().min(512)], DATA).map(|at| content.get(at + DATA.len()));
        let is_opaque = matches!(inner, Some(Some(0xA0)));
        return if is_opaque { Content::Signed(Protected::Mail(Protection::SmimeSigned)) } else { Content::NoText };
    }
    Content::Unread(UnreadReason::UnknownFormat)
}

/// OpenPGP packets (RFC 9580 4.2): a session key, encrypted to a key (tag 1) or a passphrase (tag 3), comes first.
pub(in crate::detect) fn is_pgp(head: &[u8]) -> bool {
    let Some((tag, body)) = packet(head) else { return false };
    match (tag, body) {
        (1, [3, rest @ ..]) => matches!(rest.get(8), Some(1 | 2 | 16 | 18)),
        (1, [6, ..]) => true,
        (3, [4, cipher, s2k, ..]) => (1..=13).contains(cipher) && matches!(s2k, 0 | 1 | 3 | 4),
        (3, [5 | 6, ..]) => true,
        _ => false,
    }
}

/// Tag and body of the first packet.
fn packet(head: &[u8]) -> Option<(u8, &[u8])> {
    let first = *head.first()?;
    if first & 0x80 == 0 {
        return None;
    }
    let (tag, length, octets) = if first & 0x40 != 0 {
        match *head.get(1)? {
            length @ 0..192 => (first & 0x3F, usize::from(length), 2),
            high @ 192..224 => (first & 0x3F, ((usize::from(high) - 192) << 8) + usize::from(*head.get(2)?) + 192, 3),
            _ => return None,
        }
    } else {
        match first & 3 {
            0 => (first >> 2 & 0x0F, usize::from(*head.get(1)?), 2),
            1 => (first >> 2 & 0x0F, usize::from(u16::from_be_bytes([*head.get(1)?, *head.get(2)?])), 3),
            _ => return None,
        }
    };
    // A session key packet is at least a version, an algorithm and some key.
    Some((tag, head.get(octets..octets + length)?)).filter(|_| length >= 4)
}

#[cfg(test)]
mod tests {
    use super::super::tests::attached;
    use super::*;

    #[test]
    fn cms_by_its_type() {
        let der = |content: &[u8]| [&[0x30, 0x82, 0x01, 0x00][..], content, &[0xA0, 0x82, 0, 0]].concat();
        let encrypted = Content::Encrypted(Protected::Mail(Protection::SmimeEncrypted));
        assert_eq!(attached(&der(ENVELOPED)), encrypted);
        assert_eq!(attached(&der(AUTHENTICATED_ENVELOPED)), encrypted);
        assert_eq!(attached(&[&[0x30, 0x80], ENVELOPED].concat()), encrypted, "indefinite length");
        let opaque = [SIGNED, &[0xA0, 0x80, 0x30, 0x80, 2, 1, 1], DATA, &[0xA0, 0x80]].concat();
        let detached = [SIGNED, &[0xA0, 0x80, 0x30, 0x80, 2, 1, 1], DATA, &[0, 0]].concat();
        assert_eq!(attached(&der(&opaque)), Content::Signed(Protected::Mail(Protection::SmimeSigned)));
        assert_eq!(attached(&der(&detached)), Content::NoText);
        assert_eq!(attached(&der(&[2, 1, 0])), Content::Unread(UnreadReason::UnknownFormat));
    }

    #[test]
    fn pgp_armoured_and_binary() {
        let encrypted = Content::Encrypted(Protected::Mail(Protection::PgpEncrypted));
        assert_eq!(attached(b"-----BEGIN PGP MESSAGE-----\r\n\r\nhQ==\r\n"), encrypted);
        let to_key = [&[0x85, 0x00, 0x0C, 3, 1, 2, 3, 4, 5, 6, 7, 8, 1][..], &[0xFF; 20]].concat();
        assert_eq!(attached(&to_key), encrypted);
        let by_passphrase = [&[0xC3, 0x0D, 4, 9, 3, 8][..], &[0xFF; 20]].concat();
        assert_eq!(attached(&by_passphrase), encrypted);
        assert_eq!(
            attached(&[0x85, 0x00, 0x0C, 9, 9, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]),
            Content::Unread(UnreadReason::UnknownFormat)
        );
    }
}
