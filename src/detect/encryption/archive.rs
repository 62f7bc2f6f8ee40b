//! 7z and RAR, as far as they say without being unpacked that they are encrypted. A 7z whose names can be listed
//! keeps that to its packed header: it is unread in any case.

use super::Content;
use crate::detect::{Protected, attachment::Sample};
use crate::mail::UnreadReason;

const ENCRYPTED: Content = Content::Encrypted(Protected::EncryptedArchive);
const UNREAD: Content = Content::Unread(UnreadReason::UnknownFormat);

/// Containers that exist only to encrypt: age and the `enc` of OpenSSL.
pub(super) fn is_encrypted(head: &[u8]) -> bool {
    head.starts_with(b"age-encryption.org/") || head.starts_with(b"Salted__")
}

/// With encrypted names the header at the end is packed by the coder 7zAES, 06 F1 07 01 (7zFormat.txt, Methods.txt).
pub(super) fn seven_zip(sample: &Sample) -> Content {
    const AES: &[u8] = &[0x24, 0x06, 0xF1, 0x07, 0x01];
    let header = &sample.tail()[sample.tail().len().saturating_sub(1_024)..];
    if memchr::memmem::find(header, AES).is_some() { ENCRYPTED } else { UNREAD }
}

/// RAR 4 and RAR 5 by their first headers.
pub(super) fn rar(head: &[u8]) -> Content {
    let encrypted = match head.get(6) {
        Some(0) => is_encrypted_rar4(&head[7..]),
        Some(1) => is_encrypted_rar5(head.get(8..).unwrap_or_default()),
        _ => None,
    };
    match encrypted {
        Some(true) => ENCRYPTED,
        Some(false) => UNREAD,
        None => Content::Unread(UnreadReason::Damaged),
    }
}

/// Blocks: checksum (2), type (1), flags (2), size (2). Main header 0x73 with 0x80, file header 0x74 with 0x04.
fn is_encrypted_rar4(blocks: &[u8]) -> Option<bool> {
    let block = |at: usize| -> Option<(u8, u16, usize)> {
        let bytes = blocks.get(at..at + 7)?;
        Some((
            bytes[2],
            u16::from_le_bytes([bytes[3], bytes[4]]),
            usize::from(u16::from_le_bytes([bytes[5], bytes[6]])),
        ))
    };
    let (kind, flags, size) = block(0)?;
    if kind == 0x73 && flags & 0x80 != 0 {
        return Some(true);
    }
    let (kind, flags, _) = block(size)?;
    Some(kind == 0x74 && flags & 0x04 != 0)
}

/// Headers: checksum (4), then size, type and flags as variable-length numbers. Type 4 encrypts all names; a file
/// header (2) with an extra record of type 1 is encrypted.
fn is_encrypted_rar5(mut headers: &[u8]) -> Option<bool> {
    // The main header is first, then perhaps service headers.
    for _ in 0..4 {
        let mut rest = headers.get(4..)?;
        let size = usize::try_from(number(&mut rest)?).ok()?;
        let mut header = &rest[..size.min(rest.len())];
        let after = rest.get(size..).unwrap_or_default();
        let kind = number(&mut header)?;
        let flags = number(&mut header)?;
        let extra = if flags & 1 != 0 { usize::try_from(number(&mut header)?).ok()? } else { 0 };
        let data = if flags & 2 != 0 { usize::try_from(number(&mut header)?).ok()? } else { 0 };
        match kind {
            4 => return Some(true),
            2 => {
                let mut records = &header[header.len().saturating_sub(extra)..];
                let _size = number(&mut records);
                return Some(extra > 0 && number(&mut records) == Some(1));
            }
            5 => return Some(false),
            _ => headers = after.get(data..)?,
        }
    }
    Some(false)
}

/// Seven bits a byte, the lowest first, the top bit says that more follow.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for index in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F).checked_shl(7 * index)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::attached;
    use super::*;

    #[test]
    fn seven_zip_with_hidden_names() {
        let archive = |end: &[u8]| [b"7z\xBC\xAF\x27\x1C", &[0; 40][..], end].concat();
        assert_eq!(attached(&archive(&[0x17, 0x06, 0x01, 0x24, 0x06, 0xF1, 0x07, 0x01, 0x0A])), ENCRYPTED);
        assert_eq!(attached(&archive(&[0x17, 0x06, 0x01, 0x23, 0x03, 0x01, 0x01])), UNREAD);
    }

    #[test]
    fn rar_by_its_headers() {
        let rar4 = |main: u8, file: u8| {
            let main = [0, 0, 0x73, main, 0, 13, 0, 0, 0, 0, 0, 0, 0];
            [b"Rar!\x1A\x07\0", &main[..], &[0, 0, 0x74, file, 0x80, 40, 0], &[0; 33]].concat()
        };
        assert_eq!(attached(&rar4(0, 0x20)), UNREAD);
        assert_eq!(attached(&rar4(0x80, 0)), ENCRYPTED);
        assert_eq!(attached(&rar4(0, 0x24)), ENCRYPTED);
        let rar5 = |headers: &[u8]| [b"Rar!\x1A\x07\x01\0", headers].concat();
        let main = [0, 0, 0, 0, 3, 1, 0, 0];
        let file = [0, 0, 0, 0, 6, 2, 1, 3, 2, 1, 0];
        assert_eq!(attached(&rar5(&[0, 0, 0, 0, 4, 4, 0, 0, 0])), ENCRYPTED);
        assert_eq!(attached(&rar5(&[&main[..], &file].concat())), ENCRYPTED);
        assert_eq!(attached(&rar5(&[&main[..], &[0, 0, 0, 0, 3, 2, 0, 0]].concat())), UNREAD);
        assert_eq!(attached(&rar5(&[0, 0])), Content::Unread(UnreadReason::Damaged));
    }
}
