//! Character sets: the label first, then leniently, with the way back to the bytes.
//!
//! A scanner must see the same letters as the reader, so bytes that do not fit are never dropped: what is not
//! valid in the labelled set is read as windows-1252, as most mail programs do.

use super::source_map::SourceMap;
use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use std::borrow::Cow;

/// What a label says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Charset {
    /// No label, or US-ASCII, which many senders write over anything.
    Guess,
    Known(&'static Encoding),
    /// Read as a guess; the part is ambiguous.
    Unknown,
}

impl Charset {
    pub fn of(label: Option<&str>) -> Self {
        let Some(label) = label.map(str::trim).filter(|label| !label.is_empty()) else { return Charset::Guess };
        if ["us-ascii", "ascii", "ansi_x3.4-1968", "us_ascii", "unknown-8bit", "8bit", "7bit", "default"]
            .iter()
            .any(|known| label.eq_ignore_ascii_case(known))
        {
            return Charset::Guess;
        }
        // The WHATWG labels lack these, which occur in mail.
        let label = match label.to_ascii_lowercase().as_str() {
            "cp-850" | "cp850" | "ibm850" => return Charset::Unknown,
            "utf8mb4" => "utf-8",
            "cp932" | "ms932" => "shift_jis",
            "cp936" | "ms936" => "gbk",
            "cp949" | "ms949" => "euc-kr",
            "cp950" => "big5",
            "iso-8859-8-i" => "iso-8859-8-i",
            _ => label,
        };
        match Encoding::for_label(label.as_bytes()) {
            Some(encoding) if encoding != REPLACEMENT => Charset::Known(encoding),
            _ => Charset::Unknown,
        }
    }
}

/// Decodes `bytes`; the map leads from the text to offsets of `bytes`.
pub(super) fn decode(bytes: Cow<'_, [u8]>, charset: Charset) -> (String, SourceMap) {
    let encoding = match charset {
        Charset::Known(encoding) if !encoding.is_single_byte() && encoding != UTF_8 => encoding,
        // The label is no proof against bytes that are plainly UTF-16, and no reader would go by it.
        _ => plainly_utf_16(&bytes).unwrap_or(labelled(charset)),
    };
    let stands_as_it_is = match encoding {
        _ if encoding == UTF_8 => std::str::from_utf8(&bytes).is_ok(),
        _ => encoding.is_ascii_compatible() && bytes.is_ascii(),
    };
    if stands_as_it_is {
        let map = SourceMap::verbatim(bytes.len(), 0);
        let text = String::from_utf8(bytes.into_owned()).expect("checked just above");
        return (text, map);
    }
    match charset {
        _ if encoding == UTF_8 => utf8_leniently(&bytes),
        _ if encoding.is_single_byte() => single_byte(&bytes, encoding),
        _ => by_line(&bytes, encoding),
    }
}

fn labelled(charset: Charset) -> &'static Encoding {
    match charset {
        Charset::Known(encoding) => encoding,
        Charset::Guess | Charset::Unknown => UTF_8,
    }
}

/// UTF-16 by its mark and a zero byte somewhere, or by a zero in every other place.
pub(super) fn plainly_utf_16(bytes: &[u8]) -> Option<&'static Encoding> {
    utf_16(bytes).filter(|_| memchr::memchr(0, bytes).is_some())
}

fn utf_16(bytes: &[u8]) -> Option<&'static Encoding> {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return (encoding != UTF_8).then_some(encoding);
    }
    let start = &bytes[..bytes.len().min(4096)];
    let zeros = |parity: usize| start.iter().skip(parity).step_by(2).filter(|&&byte| byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    match start.len() {
        length if odd * 3 > length && even * 8 < length => Some(UTF_16LE),
        length if even * 3 > length && odd * 8 < length => Some(UTF_16BE),
        _ => None,
    }
}

/// A short text without a map: names of files, encoded words.
pub(super) fn decode_short(bytes: &[u8], label: Option<&str>) -> String {
    decode(Cow::Borrowed(bytes), Charset::of(label)).0
}

/// UTF-8 where it is valid, windows-1252 where not.
pub(super) fn lenient(bytes: &[u8]) -> String {
    decode(Cow::Borrowed(bytes), Charset::Guess).0
}

/// Whether `bytes` can be read in this set without a byte that does not fit.
pub(super) fn fits(bytes: &[u8], charset: Charset) -> bool {
    match charset {
        Charset::Known(encoding) => encoding.decode_without_bom_handling_and_without_replacement(bytes).is_some(),
        Charset::Guess | Charset::Unknown => std::str::from_utf8(bytes).is_ok(),
    }
}

fn utf8_leniently(bytes: &[u8]) -> (String, SourceMap) {
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    let mut map = SourceMap::default();
    let mut at = 0;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        map.push_verbatim(chunk.valid().len(), at);
        at += chunk.valid().len();
        for &byte in chunk.invalid() {
            let before = text.len();
            text.push(windows_1252(byte));
            map.push_whole(text.len() - before, at..at + 1);
            at += 1;
        }
    }
    (text, map)
}

fn windows_1252(byte: u8) -> char {
    one_byte(byte, WINDOWS_1252)
}

fn one_byte(byte: u8, encoding: &'static Encoding) -> char {
    encoding.decode_without_bom_handling(&[byte]).0.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn single_byte(bytes: &[u8], encoding: &'static Encoding) -> (String, SourceMap) {
    let mut known: [Option<char>; 128] = [None; 128];
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    let mut map = SourceMap::default();
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes[at..].iter().position(|byte| !byte.is_ascii()).unwrap_or(bytes.len() - at);
        text.push_str(std::str::from_utf8(&bytes[at..at + run]).expect("ASCII"));
        map.push_verbatim(run, at);
        at += run;
        if let Some(&byte) = bytes.get(at) {
            let character = *known[usize::from(byte - 128)].get_or_insert_with(|| one_byte(byte, encoding));
            text.push(character);
            map.push_whole(character.len_utf8(), at..at + 1);
            at += 1;
        }
    }
    (text, map)
}

/// Sets with several bytes for a letter, mapped line by line. A line feed is never part of a letter in them, but for
/// UTF-16, where it is one of two bytes.
fn by_line(bytes: &[u8], encoding: &'static Encoding) -> (String, SourceMap) {
    let mut decoder = encoding.new_decoder_with_bom_removal();
    let mut text = String::with_capacity(bytes.len());
    let mut map = SourceMap::default();
    let mut at = 0;
    while at < bytes.len() {
        let line = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length + 1);
        let end = if encoding.is_ascii_compatible() || encoding == encoding_rs::ISO_2022_JP {
            line
        } else {
            (line + line % 2).min(bytes.len())
        };
        let before = text.len();
        let chunk = &bytes[at..end];
        text.reserve(decoder.max_utf8_buffer_length(chunk.len()).unwrap_or(chunk.len() * 3 + 16));
        let _ = decoder.decode_to_string(chunk, &mut text, end == bytes.len());
        map.push_whole(text.len() - before, at..end);
        at = end;
    }
    (text, map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        for (bytes, label, expected) in [
            (&b"plain"[..], None, "plain"),
            ("grün".as_bytes(), Some("utf-8"), "grün"),
            ("grün".as_bytes(), Some("us-ascii"), "grün"),
            (b"gr\xfcn", Some("ISO-8859-1"), "grün"),
            (b"gr\xfcn", Some("utf-8"), "grün"),
            (b"gr\xfcn", None, "grün"),
            (b"gr\xfcn", Some("x-no-such-set"), "grün"),
            (b"\x80 5", Some("windows-1252"), "€ 5"),
            (b"\xa4 5", Some("iso-8859-15"), "€ 5"),
            (b"\x1b$B$3$s\x1b(B\nx", Some("iso-2022-jp"), "こん\nx"),
            (b"\x82\xb1\x82\xf1", Some("shift_jis"), "こん"),
            (b"a\0\n\0b\0", Some("utf-16le"), "a\nb"),
            (b"a\0b\0c\0d\0", None, "abcd"),
            (b"\0a\0b\0c\0d", Some("utf-8"), "abcd"),
            (b"a\0b", None, "a\0b"),
            (b"\xfe\xff\0a\0\n\0b", Some("utf-16be"), "a\nb"),
        ] {
            let (text, map) = decode(Cow::Borrowed(bytes), Charset::of(label));
            assert_eq!(text, expected, "{label:?}");
            assert_eq!(map.len(), text.len(), "{label:?}");
        }
        assert_eq!(Charset::of(Some("utf-7")), Charset::Unknown);
    }

    #[test]
    fn offsets_lead_back() {
        let (text, map) = decode(Cow::Borrowed(b"gr\xfcn und rot"), Charset::of(Some("latin1")));
        let rot = text.find("rot").expect("there");
        assert_eq!(map.source(rot..rot + 3), 9..12);
        assert_eq!(map.source(2..4), 2..3);
    }
}
