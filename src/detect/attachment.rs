//! The content of a part that is not text: a look at its beginning and its end, whatever its size.

use crate::mail::{Message, Part, TransferEncoding};
use base64::{Engine, alphabet, engine::DecodePaddingMode, engine::GeneralPurpose, engine::GeneralPurposeConfig};
use std::borrow::Cow;

/// A part up to this size (encoded) is looked at as a whole.
const WHOLE: usize = 512 << 10;
const HEAD: usize = 16 << 10;
/// Room for the directory of a zip of about a thousand members, and for the trailer of a PDF.
const TAIL: usize = 128 << 10;
/// Formats that can only be told by reading through them are read up to this.
const MOST: usize = 32 << 20;

/// Beginning and end of a content. `head` is all of it when `tail` is none.
pub(super) struct Sample<'a> {
    pub head: Cow<'a, [u8]>,
    tail: Option<Vec<u8>>,
    message: &'a Message,
    part: &'a Part,
}

impl<'a> Sample<'a> {
    pub fn of(message: &'a Message, part: &'a Part) -> Self {
        let size = part.body.len();
        if size <= WHOLE {
            return Self { head: message.content(part, WHOLE).0, tail: None, message, part };
        }
        let (head, _) = message.content(part, HEAD);
        let tail = match part.encoding {
            TransferEncoding::Base64 => end_of_base64(&message.read(part.body.end - TAIL / 2 * 3..part.body.end)),
            TransferEncoding::QuotedPrintable => {
                let (content, _) = message.content(part, MOST);
                content[content.len().saturating_sub(TAIL)..].to_vec()
            }
            _ => message.read(part.body.end - TAIL..part.body.end).into_owned(),
        };
        Self { head, tail: Some(tail), message, part }
    }

    /// The last bytes; all of them when `is_whole`.
    pub fn tail(&self) -> &[u8] {
        self.tail.as_deref().unwrap_or(&self.head)
    }

    pub fn is_whole(&self) -> bool {
        self.tail.is_none()
    }

    /// All of the content, when it is not larger than what we would read.
    pub fn whole(&self) -> Option<Cow<'_, [u8]>> {
        if self.is_whole() {
            return Some(Cow::Borrowed(&self.head));
        }
        let (content, complete) = self.message.content(self.part, MOST);
        complete.then_some(content)
    }

    pub fn contains(&self, needle: &[u8]) -> bool {
        [&self.head[..], self.tail()].into_iter().any(|bytes| memchr::memmem::find(bytes, needle).is_some())
    }
}

/// The content behind the last lines of a base64 body. Groups are counted from the end, where padding completes
/// the last one (RFC 4648 4).
fn end_of_base64(lines: &[u8]) -> Vec<u8> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let in_alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let characters: Vec<u8> = lines.iter().filter(|byte| in_alphabet(byte)).copied().collect();
    LENIENT.decode(&characters[characters.len() % 4..]).unwrap_or_default()
}

/// What a content is, as far as this room treats it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Zip,
    /// OLE2, the container of old and of encrypted Office files.
    Compound,
    Pdf,
    SevenZip,
    Rar,
    /// Holds no text: pictures, sound, film, fonts, signatures and keys.
    NoText,
    /// Written in letters, whatever it calls itself.
    Text,
    /// DER: certificates, signed and enveloped data.
    Der,
    Pgp,
    /// A format with text in it that nothing here reads.
    Other,
}

/// Magic numbers at the start of a content.
const MAGIC: [(&[u8], Kind); 29] = [
    (b"PK\x03\x04", Kind::Zip),
    (b"PK\x05\x06", Kind::Zip),
    (b"PK\x07\x08", Kind::Zip),
    (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", Kind::Compound),
    (b"7z\xBC\xAF\x27\x1C", Kind::SevenZip),
    (b"Rar!\x1A\x07", Kind::Rar),
    (b"\x89PNG\r\n\x1A\n", Kind::NoText),
    (b"\xFF\xD8\xFF", Kind::NoText),
    (b"GIF87a", Kind::NoText),
    (b"GIF89a", Kind::NoText),
    (b"BM", Kind::NoText),
    (b"II*\0", Kind::NoText),
    (b"MM\0*", Kind::NoText),
    (b"\0\0\x01\0", Kind::NoText),
    (b"8BPS", Kind::NoText),
    (b"ID3", Kind::NoText),
    (b"\xFF\xFB", Kind::NoText),
    (b"\xFF\xF3", Kind::NoText),
    (b"OggS", Kind::NoText),
    (b"fLaC", Kind::NoText),
    (b"\x1A\x45\xDF\xA3", Kind::NoText),
    (b"FLV\x01", Kind::NoText),
    (b"OTTO", Kind::NoText),
    (b"wOFF", Kind::NoText),
    (b"wOF2", Kind::NoText),
    (b"\xD7\xCD\xC6\x9A", Kind::NoText),
    (b"-----BEGIN PGP SIGNATURE", Kind::NoText),
    (b"-----BEGIN PGP PUBLIC KEY", Kind::NoText),
    (b"-----BEGIN PGP MESSAGE", Kind::Pgp),
];

impl Kind {
    pub fn of(sample: &Sample) -> Self {
        let head = &sample.head[..];
        if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
            return if *kind == Kind::NoText && head.starts_with(b"BM") && !is_bitmap(head) {
                Kind::of_rest(head)
            } else {
                *kind
            };
        }
        // ISO base media and RIFF say what they are behind a length.
        match head.get(4..12) {
            Some([b'f', b't', b'y', b'p', ..]) => return Kind::NoText,
            Some([.., b'W', b'E', b'B', b'P'] | [.., b'W', b'A', b'V', b'E'] | [.., b'A', b'V', b'I', b' '])
                if head.starts_with(b"RIFF") =>
            {
                return Kind::NoText;
            }
            _ => {}
        }
        // Readers accept a PDF whose header is within the first 1,024 bytes (ISO 32000-1, annex H.3).
        if memchr::memmem::find(&head[..head.len().min(1_024)], b"%PDF-").is_some() {
            return Kind::Pdf;
        }
        Kind::of_rest(head)
    }

    fn of_rest(head: &[u8]) -> Self {
        match head {
            _ if super::encryption::mail::is_pgp(head) => Kind::Pgp,
            _ if looks_written(head) => Kind::Text,
            [0x30, 0x80..=0x84, ..] => Kind::Der,
            _ => Kind::Other,
        }
    }
}

/// Two letters are not much of a magic number: the four reserved bytes are zero too.
fn is_bitmap(head: &[u8]) -> bool {
    head.get(6..10) == Some(&[0; 4])
}

/// No control characters but those of text, and UTF-8 or mostly ASCII; or UTF-16 with its mark.
pub(super) fn looks_written(head: &[u8]) -> bool {
    if head.starts_with(b"\xFF\xFE") || head.starts_with(b"\xFE\xFF") {
        return true;
    }
    let head = &head[..head.len().min(4_096)];
    // Without branches and without an early end: so the compiler takes many bytes at once.
    let control = |byte: u8| {
        let of_text = (byte == b'\t') | (byte == b'\n') | (byte == b'\r') | (byte == 0x0C) | (byte == 0x1B);
        ((byte < 0x20) & !of_text) | (byte == 0x7F)
    };
    let any_control = head.iter().fold(false, |any, byte| any | control(*byte));
    let ascii = head.iter().filter(|byte| byte.is_ascii()).count();
    !any_control && (ascii * 10 >= head.len() * 7 || is_utf8_start(head))
}

/// UTF-8, but for a character that the end of the sample cuts.
fn is_utf8_start(head: &[u8]) -> bool {
    std::str::from_utf8(head).map_or_else(|wrong| wrong.error_len().is_none(), |_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_base64_is_read_from_the_end() {
        let content: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        for cut in 998..=1_000 {
            let encoded = base64::engine::general_purpose::STANDARD.encode(&content[..cut]);
            let wrapped: Vec<u8> = encoded.as_bytes().chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect();
            for from in 600..610 {
                let end = end_of_base64(&wrapped[from..]);
                assert!(end.len() > 400 && content[..cut].ends_with(&end), "{cut} {from}");
            }
        }
    }

    #[test]
    fn kinds_by_content() {
        let kind = |content: &[u8]| {
            let message = Message::parse(
                [b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n", content]
                    .concat(),
            );
            let part = message.root().clone();
            Kind::of(&Sample::of(&message, &part))
        };
        assert_eq!(kind(b"PK\x03\x04rest"), Kind::Zip);
        assert_eq!(kind(b"junk before %PDF-1.7"), Kind::Pdf);
        assert_eq!(kind(b"\0\0\0\x18ftypheic"), Kind::NoText);
        assert_eq!(kind(b"RIFF\x10\0\0\0WEBP"), Kind::NoText);
        assert_eq!(kind(b"BM\x10\0\0\0\0\0\0\0"), Kind::NoText);
        assert_eq!(kind(b"BMW, Golf"), Kind::Text);
        assert_eq!(kind("name;größe\r\n".as_bytes()), Kind::Text);
        assert_eq!(kind(b"0\x82\x01\x02\x06\x09"), Kind::Der);
        assert_eq!(kind(b"\x1F\x8B\x08\0\0"), Kind::Other);
    }
}
