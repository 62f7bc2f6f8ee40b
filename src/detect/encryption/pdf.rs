//! PDF (ISO 32000-1): `/Encrypt` in a trailer or in the dictionary of a cross-reference stream (7.5.5, 7.5.8, 7.6).

use super::Content;
use crate::detect::{Protected, attachment::Sample};
use crate::mail::UnreadReason;

/// A trailer dictionary is short; its `/Root` is near.
const DICTIONARY: usize = 2_048;

pub(super) fn inspect(sample: &Sample) -> Content {
    // The last trailer is at the end; a linearised file has another at its beginning (annex F).
    let encrypted = has_encrypted_trailer(sample.tail()) || has_encrypted_trailer(&sample.head);
    if encrypted {
        return Content::Encrypted(Protected::EncryptedPdf);
    }
    let ends = sample.contains(b"%%EOF") || sample.contains(b"startxref");
    Content::Unread(if ends { UnreadReason::UnknownFormat } else { UnreadReason::Damaged })
}

fn has_encrypted_trailer(bytes: &[u8]) -> bool {
    memchr::memmem::find_iter(bytes, b"/Encrypt").any(|at| {
        let value = bytes[at + 8..].trim_ascii_start();
        let around = &bytes[at.saturating_sub(DICTIONARY)..bytes.len().min(at + DICTIONARY)];
        (value.starts_with(b"<<") || is_reference(value)) && memchr::memmem::find(around, b"/Root").is_some()
    })
}

/// `12 0 R`
fn is_reference(value: &[u8]) -> bool {
    let mut words = value
        .get(..value.len().min(32))
        .unwrap_or_default()
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let number = |word: Option<&[u8]>| word.is_some_and(|word| word.iter().all(u8::is_ascii_digit));
    number(words.next()) && number(words.next()) && words.next().is_some_and(|word| word.starts_with(b"R"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::attached;
    use super::*;

    #[test]
    fn encrypted_and_plain() {
        let pdf =
            |trailer: &str| format!("%PDF-1.7\n1 0 obj\n<<>>\nendobj\n{trailer}\nstartxref\n9\n%%EOF\n").into_bytes();
        let encrypted = Content::Encrypted(Protected::EncryptedPdf);
        let plain = Content::Unread(UnreadReason::UnknownFormat);
        for (trailer, expected) in [
            ("trailer << /Root 1 0 R /Encrypt 5 0 R >>", encrypted),
            ("trailer <</Encrypt<</Filter/Standard>>/Root 1 0 R>>", encrypted),
            ("7 0 obj <</Type/XRef/Encrypt 5 0 R/Root 1 0 R>> stream", encrypted),
            ("trailer << /Root 1 0 R >>", plain),
            ("trailer << /Root 1 0 R /EncryptMetadata true >>", plain),
            ("(How to set /Encrypt in a /Root)", plain),
        ] {
            assert_eq!(attached(&pdf(trailer)), expected, "{trailer}");
        }
        let large =
            [b"%PDF-1.7\n", &vec![b'x'; 2 << 20][..], &pdf("trailer << /Root 1 0 R /Encrypt 5 0 R >>")].concat();
        assert_eq!(attached(&large), encrypted);
        assert_eq!(attached(b"%PDF-1.7\n1 0 obj"), Content::Unread(UnreadReason::Damaged));
    }
}
