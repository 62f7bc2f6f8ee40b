//! The charset of one text part: what it can carry, and strict decoding for widening to UTF-8.

use crate::mail::charset::plainly_utf_16;
use encoding_rs::Encoding;

/// What the charset parameter of a part means for an edit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Charset {
    Ascii,
    Utf8,
    /// UTF-16 with its byte order, from the label or the byte order mark.
    Utf16 {
        big_endian: bool,
    },
    /// UTF-16 without any sign of its byte order.
    Utf16Unmarked,
    Legacy {
        encoding: &'static Encoding,
        strict: Strict,
    },
    /// Not known to us. `superset`: ASCII bytes mean ASCII, as far as the label tells.
    Unknown {
        superset: bool,
    },
}

/// Where the label promises less than the encoding that web readers use for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strict {
    No,
    /// iso-8859-x read as a windows code page: 0x80 to 0x9F are controls to a strict reader.
    NoC1,
    /// gb2312 read as GBK: both bytes are 0xA1 and above.
    Gb2312,
}

/// A text that is not what its charset says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Charset {
    /// From the charset parameter; `content` for a byte order mark, and for UTF-16 under another label.
    pub fn of(label: Option<&str>, content: &[u8]) -> Self {
        let labelled = Self::labelled(label, content);
        let other = match labelled {
            Charset::Utf16 { .. } | Charset::Utf16Unmarked => false,
            Charset::Legacy { encoding, .. } => encoding.is_single_byte(),
            Charset::Ascii | Charset::Utf8 | Charset::Unknown { .. } => true,
        };
        match plainly_utf_16(content).filter(|_| other) {
            // Without its mark it would be a guess where a notice is to be written.
            Some(_) if Encoding::for_bom(content).is_none() => Charset::Utf16Unmarked,
            Some(encoding) => Charset::Utf16 { big_endian: encoding == encoding_rs::UTF_16BE },
            None => labelled,
        }
    }

    fn labelled(label: Option<&str>, content: &[u8]) -> Self {
        let label = label.unwrap_or("us-ascii").trim().to_ascii_lowercase();
        match label.as_str() {
            "us-ascii" | "ascii" | "ansi_x3.4-1968" | "iso646-us" | "" => return Charset::Ascii,
            "utf-16le" => return Charset::Utf16 { big_endian: false },
            "utf-16be" => return Charset::Utf16 { big_endian: true },
            "utf-16" | "unicode" | "utf16" => {
                return match content {
                    [0xFF, 0xFE, ..] => Charset::Utf16 { big_endian: false },
                    [0xFE, 0xFF, ..] => Charset::Utf16 { big_endian: true },
                    _ => Charset::Utf16Unmarked,
                };
            }
            _ => {}
        }
        match Encoding::for_label(label.as_bytes()) {
            Some(encoding) if encoding == encoding_rs::UTF_8 => Charset::Utf8,
            Some(encoding) if encoding == encoding_rs::REPLACEMENT => Charset::Unknown { superset: false },
            Some(encoding) if encoding == encoding_rs::UTF_16LE || encoding == encoding_rs::UTF_16BE => {
                Charset::Utf16Unmarked
            }
            Some(encoding) => Charset::Legacy { encoding, strict: strictness(&label, encoding) },
            None => Charset::Unknown { superset: !is_no_superset(&label) },
        }
    }

    /// `text` in this charset, or nothing when it cannot carry all of it.
    pub fn encode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Charset::Ascii | Charset::Unknown { superset: true } => text.is_ascii().then(|| text.as_bytes().to_vec()),
            Charset::Utf8 => Some(text.as_bytes().to_vec()),
            Charset::Utf16 { big_endian } => {
                let units = text.encode_utf16();
                Some(units.flat_map(|unit| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect())
            }
            Charset::Legacy { encoding, strict } => {
                let (bytes, _, unmappable) = encoding.encode(text);
                let kept = match strict {
                    Strict::No => true,
                    Strict::NoC1 => !bytes.iter().any(|byte| (0x80..=0x9F).contains(byte)),
                    Strict::Gb2312 => gb2312_only(&bytes),
                };
                (!unmappable && kept).then(|| bytes.into_owned())
            }
            Charset::Utf16Unmarked | Charset::Unknown { superset: false } => None,
        }
    }

    /// The text of `content`, when every byte of it is what the charset says.
    pub fn decode(self, content: &[u8]) -> Result<String, Malformed> {
        match self {
            Charset::Ascii if content.is_ascii() => {
                Ok(String::from_utf8(content.to_vec()).expect("ASCII is always UTF-8"))
            }
            Charset::Utf8 => String::from_utf8(content.to_vec()).map_err(|_| Malformed),
            Charset::Utf16 { big_endian } => {
                let encoding = if big_endian { encoding_rs::UTF_16BE } else { encoding_rs::UTF_16LE };
                strict_decode(encoding, content)
            }
            Charset::Legacy { encoding, .. } => strict_decode(encoding, content),
            Charset::Ascii | Charset::Utf16Unmarked | Charset::Unknown { .. } => Err(Malformed),
        }
    }

    /// Several bytes are one letter: the way back from the text leads to its line only.
    pub fn is_mapped_by_line(self) -> bool {
        match self {
            Charset::Legacy { encoding, .. } => !encoding.is_single_byte(),
            _ => self.is_utf16(),
        }
    }

    /// ISO-2022-JP and its like switch alphabets by escape sequences (RFC 1468).
    pub fn is_stateful(self) -> bool {
        matches!(self, Charset::Legacy { encoding, .. } if encoding == encoding_rs::ISO_2022_JP)
    }

    pub fn is_utf16(self) -> bool {
        matches!(self, Charset::Utf16 { .. } | Charset::Utf16Unmarked)
    }
}

/// The escape sequence that leads back to ASCII, when `content` ends in another alphabet (RFC 1468).
pub(super) fn back_to_ascii(content: &[u8]) -> &'static [u8] {
    match memchr::memrchr(0x1B, content) {
        Some(at) if content[at..].starts_with(b"\x1B(B") => b"",
        Some(_) => b"\x1B(B",
        None => b"",
    }
}

/// `content` with everything in another alphabet than ASCII blanked, so that it can be scanned for markup.
pub(super) fn mask_escaped(content: &[u8]) -> Vec<u8> {
    let mut out = content.to_vec();
    let mut ascii = true;
    let mut at = 0;
    while at < out.len() {
        if out[at] == 0x1B {
            ascii = content[at..].starts_with(b"\x1B(B") || content[at..].starts_with(b"\x1B(J");
            let end = (at + 3).min(out.len());
            out[at..end].fill(b'x');
            at = end;
            continue;
        }
        if out[at] == b'\n' {
            ascii = true;
        } else if !ascii {
            out[at] = b'x';
        }
        at += 1;
    }
    out
}

fn strict_decode(encoding: &'static Encoding, content: &[u8]) -> Result<String, Malformed> {
    let (text, malformed) = encoding.decode_with_bom_removal(content);
    if malformed { Err(Malformed) } else { Ok(text.into_owned()) }
}

fn strictness(label: &str, encoding: &'static Encoding) -> Strict {
    let windows = encoding.name().starts_with("windows-");
    if windows && !label.contains("125") && !label.contains("cp8") && label != "dos-874" && label != "windows-874" {
        Strict::NoC1
    } else if encoding == encoding_rs::GBK && label.contains("2312") {
        Strict::Gb2312
    } else {
        Strict::No
    }
}

fn gb2312_only(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    loop {
        match rest {
            [] => return true,
            [lead, tail @ ..] if *lead < 0x80 => rest = tail,
            [0xA1..=0xF7, 0xA1..=0xFE, tail @ ..] => rest = tail,
            _ => return false,
        }
    }
}

/// Labels under which ASCII bytes need not mean ASCII.
fn is_no_superset(label: &str) -> bool {
    [
        "utf-7",
        "utf7",
        "unicode-1-1-utf-7",
        "x-unicode-2-0-utf-7",
        "utf-32",
        "utf32",
        "ucs-",
        "iso-10646",
        "scsu",
        "bocu",
        "hz-",
    ]
    .iter()
    .any(|start| label.starts_with(start))
        || label.contains("ebcdic")
        || label.contains("2022")
        || label.starts_with("ibm0")
        || label.starts_with("cp0")
        || label.starts_with("ibm037")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_charset_can_carry() {
        let table = [
            (None, "cafe", true),
            (None, "café", false),
            (Some("US-ASCII"), "£", false),
            (Some("iso-8859-1"), "café £", true),
            (Some("iso-8859-1"), "“quoted”", false),
            (Some("windows-1252"), "“quoted”", true),
            (Some("iso-8859-15"), "€", true),
            (Some("koi8-r"), "Привет", true),
            (Some("koi8-r"), "£", false),
            (Some("iso-2022-jp"), "日本", true),
            (Some("gb2312"), "中国", true),
            (Some("gb2312"), "鎔", false),
            (Some("gbk"), "鎔", true),
            (Some("utf-8"), "日本 £", true),
            (Some("utf-7"), "plain", false),
            (Some("x-unknown"), "plain", true),
            (Some("x-unknown"), "£", false),
        ];
        for (label, text, can) in table {
            assert_eq!(Charset::of(label, b"").encode(text).is_some(), can, "{label:?} {text}");
        }
    }

    #[test]
    fn utf_16_under_another_label() {
        let marked = b"\xFF\xFEa\0\n\0";
        for label in [None, Some("us-ascii"), Some("utf-8"), Some("iso-8859-1"), Some("x-unknown"), Some("utf-16")] {
            assert_eq!(Charset::of(label, marked), Charset::Utf16 { big_endian: false }, "{label:?}");
        }
        assert_eq!(Charset::of(None, b"a\0b\0c\0d\0"), Charset::Utf16Unmarked);
        assert_eq!(Charset::of(None, b"\xFF\xFEabc"), Charset::Ascii);
        assert_eq!(Charset::of(None, b"a\0b"), Charset::Ascii);
    }

    #[test]
    fn decoding_is_strict() {
        assert_eq!(Charset::of(Some("utf-8"), b"").decode(b"caf\xE9"), Err(Malformed));
        assert_eq!(Charset::of(None, b"").decode(b"caf\xE9"), Err(Malformed));
        assert_eq!(Charset::of(Some("latin1"), b"").decode(b"caf\xE9").unwrap(), "café");
        assert_eq!(Charset::of(Some("utf-16"), b"\xFF\xFEa\0").decode(b"\xFF\xFEa\0").unwrap(), "a");
    }

    #[test]
    fn markup_inside_japanese_is_not_markup() {
        assert_eq!(mask_escaped(b"<p>\x1B$B</b>\x1B(B</p>"), b"<p>xxxxxxxxxx</p>".to_vec());
        assert_eq!(back_to_ascii(b"\x1B$B</"), b"\x1B(B");
        assert_eq!(back_to_ascii(b"\x1B$B</\x1B(B"), b"");
    }
}
