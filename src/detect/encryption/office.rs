//! Office files in a compound file: encrypted modern ones ([MS-OFFCRYPTO] 2.3) and the old binary formats.

use super::Content;
use crate::detect::{Protected, attachment::Sample};
use crate::mail::{Protection, UnreadReason};
use std::io::{Cursor, Read};

const ENCRYPTED: Content = Content::Encrypted(Protected::EncryptedOffice);
/// FilePass stands directly behind the first record; a few more for what lenient writers put between.
const FIRST_RECORDS: usize = 16;

pub(super) fn inspect(sample: &Sample) -> Content {
    let Some(whole) = sample.whole() else { return Content::Unread(UnreadReason::TooLarge) };
    let Ok(mut file) = cfb::CompoundFile::open(Cursor::new(&whole[..])) else {
        // Not a whole compound file, yet the directory entry tells.
        let name: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let seen = memchr::memmem::find(&whole, &name).is_some();
        return if seen { ENCRYPTED } else { Content::Unread(UnreadReason::Damaged) };
    };
    if file.is_stream("/EncryptedPackage") {
        // Rights management keeps its licence in a data space of that name ([MS-OFFCRYPTO] 2.2.4).
        let managed = file.is_storage("/\u{6}DataSpaces/TransformInfo/DRMEncryptedTransform");
        let protected = if managed { Protected::Mail(Protection::RightsManaged) } else { Protected::EncryptedOffice };
        return Content::Encrypted(protected);
    }
    let mut start = |stream: &str, length: u64| -> Vec<u8> {
        let mut bytes = Vec::new();
        // A stream that cannot be read is as good as none: then nothing says that it is encrypted.
        let _ = file.open_stream(stream).and_then(|stream| stream.take(length).read_to_end(&mut bytes));
        bytes
    };
    let encrypted = is_encrypted_word(&start("/WordDocument", 32))
        || is_encrypted_excel(&start("/Workbook", 4_096))
        || is_encrypted_excel(&start("/Book", 4_096))
        || is_encrypted_powerpoint(&start("/Current User", 32))
        || !start("/EncryptedSummary", 1).is_empty();
    if encrypted { ENCRYPTED } else { Content::Unread(UnreadReason::UnknownFormat) }
}

/// FibBase.fEncrypted ([MS-DOC] 2.5.2).
fn is_encrypted_word(start: &[u8]) -> bool {
    start.get(..2) == Some(&[0xEC, 0xA5]) && start.get(11).is_some_and(|flags| flags & 1 != 0)
}

/// A FilePass record behind the first BOF ([MS-XLS] 2.4.117).
fn is_encrypted_excel(start: &[u8]) -> bool {
    let mut at = 0;
    for _ in 0..FIRST_RECORDS {
        let Some([kind_low, kind_high, length_low, length_high]) = start.get(at..at + 4) else { return false };
        match (kind_high, kind_low) {
            (0x00, 0x2F) => return true,
            // EOF of the first sheet
            (0x00, 0x0A) => return false,
            _ => at += 4 + usize::from(u16::from_le_bytes([*length_low, *length_high])),
        }
    }
    false
}

/// CurrentUserAtom.headerToken ([MS-PPT] 2.3.2).
fn is_encrypted_powerpoint(start: &[u8]) -> bool {
    start.get(12..16) == Some(&0xF3D1_C4DF_u32.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::{Content, tests::attached};
    use super::*;
    use std::io::Write;

    fn compound(streams: &[(&str, &[u8])]) -> Vec<u8> {
        let mut file = cfb::CompoundFile::create(Cursor::new(Vec::new())).unwrap();
        for (name, content) in streams {
            file.create_stream(name).unwrap().write_all(content).unwrap();
        }
        file.flush().unwrap();
        file.into_inner().into_inner()
    }

    #[test]
    fn encrypted_and_plain() {
        let unread = Content::Unread(UnreadReason::UnknownFormat);
        let word = |flags: u8| [&[0xEC, 0xA5, 0xC1, 0, 0, 0, 0, 0, 0, 0, 0, flags][..], &[0; 40]].concat();
        let bof = [0x09, 0x08, 2, 0, 0, 6];
        for (streams, expected) in [
            (&[("/EncryptionInfo", &b"x"[..]), ("/EncryptedPackage", b"x")][..], ENCRYPTED),
            (&[("/WordDocument", &word(0x12))], unread),
            (&[("/WordDocument", &word(0x13))], ENCRYPTED),
            (&[("/Workbook", &[&bof[..], &[0x2F, 0, 0, 0]].concat())], ENCRYPTED),
            (&[("/Workbook", &[&bof[..], &[0x0A, 0, 0, 0, 0x2F, 0, 0, 0]].concat())], unread),
            (&[("/Current User", &[&[0; 12][..], &0xF3D1_C4DF_u32.to_le_bytes()].concat())], ENCRYPTED),
            (&[("/Current User", &[&[0; 12][..], &0xE391_C05F_u32.to_le_bytes()].concat())], unread),
            (&[("/other", b"x")], unread),
        ] {
            assert_eq!(attached(&compound(streams)), expected, "{streams:?}");
        }
    }

    #[test]
    fn a_damaged_file_still_tells() {
        let whole = compound(&[("/EncryptionInfo", b"x"), ("/EncryptedPackage", b"x")]);
        let mut damaged = whole.clone();
        damaged[44..48].copy_from_slice(&[0xFF; 4]);
        assert_eq!(attached(&damaged), ENCRYPTED);
        assert_eq!(attached(&whole[..100]), Content::Unread(UnreadReason::Damaged));
    }
}
