//! Rich Text Format 1.9.1: the text that is shown, with notes, comments, fields, headers and document information.

use super::Out;
use crate::mail::UnreadReason;
use encoding_rs::{Encoding, WINDOWS_1252};

const MOST_DEPTH: usize = 1_000;

/// Groups whose content is no text.
const HIDDEN: [&str; 22] = [
    "fonttbl",
    "colortbl",
    "stylesheet",
    "pict",
    "themedata",
    "colorschememapping",
    "latentstyles",
    "datastore",
    "rsidtbl",
    "listtable",
    "listoverridetable",
    "xmlnstbl",
    "mmathPr",
    "generator",
    "filetbl",
    "revtbl",
    "blipuid",
    "listtext",
    "pntext",
    "passwordhash",
    "fname",
    "panose",
];

/// Groups that old readers skip, and that are text nevertheless.
const SHOWN: [&str; 12] = [
    "annotation",
    "atnauthor",
    "atnid",
    "fldinst",
    "shpinst",
    "shptxt",
    "bkmkstart",
    "title",
    "author",
    "company",
    "userprops",
    "txe",
];

pub(super) fn read(content: &[u8], path: &str, out: &mut Out<'_>) {
    let mut reader = Rtf::new();
    let ended = reader.read(content);
    out.text(path, &reader.text);
    if reader.embedded {
        out.unread(path, UnreadReason::UnknownFormat);
    }
    if let Err(reason) = ended {
        out.unread(path, reason);
    }
}

#[derive(Clone, Copy)]
struct Group {
    hidden: bool,
    /// Characters that stand in for one of Unicode.
    substitutes: usize,
}

struct Rtf {
    text: String,
    groups: Vec<Group>,
    now: Group,
    /// The last was `\*`.
    optional: bool,
    to_skip: usize,
    /// Bytes of the document's code page not yet decoded.
    bytes: Vec<u8>,
    high: Option<u16>,
    encoding: &'static Encoding,
    embedded: bool,
}

impl Rtf {
    fn new() -> Self {
        Self {
            text: String::new(),
            groups: Vec::new(),
            now: Group { hidden: false, substitutes: 1 },
            optional: false,
            to_skip: 0,
            bytes: Vec::new(),
            high: None,
            encoding: WINDOWS_1252,
            embedded: false,
        }
    }

    fn read(&mut self, content: &[u8]) -> Result<(), UnreadReason> {
        let mut at = 0;
        while let Some(&byte) = content.get(at) {
            at += 1;
            match byte {
                b'{' => {
                    if self.groups.len() >= MOST_DEPTH {
                        return Err(UnreadReason::TooDeep);
                    }
                    self.groups.push(self.now);
                    self.to_skip = 0;
                }
                b'}' => {
                    self.now = self.groups.pop().unwrap_or(self.now);
                    self.to_skip = 0;
                }
                b'\\' => at = self.control(content, at),
                b'\r' | b'\n' | 0 => {}
                byte => self.byte(byte),
            }
        }
        self.flush();
        if self.groups.is_empty() { Ok(()) } else { Err(UnreadReason::Damaged) }
    }

    /// What follows a backslash; where it ends.
    fn control(&mut self, content: &[u8], start: usize) -> usize {
        let Some(&first) = content.get(start) else { return start };
        if !first.is_ascii_alphabetic() {
            match first {
                b'\'' => {
                    let digits = content.get(start + 1..start + 3).and_then(|digits| std::str::from_utf8(digits).ok());
                    if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                        self.byte(byte);
                    }
                    return start + 3;
                }
                b'*' => self.optional = true,
                b'~' => self.push(' '),
                b'_' => self.push('-'),
                b'\r' | b'\n' => self.push('\n'),
                b'\\' | b'{' | b'}' => self.byte(first),
                _ => {}
            }
            return start + 1;
        }
        let letters = content[start..].iter().take(32).take_while(|byte| byte.is_ascii_alphabetic()).count();
        let mut at = start + letters;
        let word = std::str::from_utf8(&content[start..at]).unwrap_or_default();
        let sign = usize::from(content.get(at) == Some(&b'-'));
        let digits = content[at + sign..].iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
        let number = std::str::from_utf8(&content[at..at + sign + digits]).unwrap_or_default().parse::<i64>().ok();
        if digits > 0 {
            at += sign + digits;
        }
        at += usize::from(content.get(at) == Some(&b' '));
        if word == "bin" {
            return at + usize::try_from(number.unwrap_or(0)).unwrap_or(0);
        }
        self.word(word, number);
        at
    }

    fn word(&mut self, word: &str, number: Option<i64>) {
        let optional = std::mem::take(&mut self.optional);
        if HIDDEN.contains(&word) || (optional && !SHOWN.contains(&word)) {
            self.now.hidden = true;
        }
        match word {
            "par" | "line" | "row" | "sect" | "page" | "nestrow" => self.push('\n'),
            "tab" | "cell" | "nestcell" => self.push('\t'),
            "emdash" | "endash" => self.push('-'),
            "lquote" | "rquote" => self.push('\''),
            "ldblquote" | "rdblquote" => self.push('"'),
            "uc" => self.now.substitutes = number.and_then(|count| usize::try_from(count).ok()).unwrap_or(1).min(8),
            // Signed in the files of many writers.
            "u" => self.unicode(number.unwrap_or(0) as u16),
            "ansicpg" => self.encoding = code_page(number.unwrap_or(1252)),
            "objdata" => {
                self.embedded = true;
                self.now.hidden = true;
            }
            // Each of these stands alone.
            "footnote" | "annotation" | "header" | "footer" | "title" | "subject" | "author" | "company"
            | "manager" | "keywords" | "doccomm" | "fldinst" | "fldrslt" => self.push(' '),
            _ => {}
        }
    }

    fn unicode(&mut self, unit: u16) {
        self.to_skip = self.now.substitutes;
        let units: &[u16] = match (self.high.take(), unit) {
            (_, 0xD800..=0xDBFF) => {
                self.high = Some(unit);
                return;
            }
            (Some(high), 0xDC00..=0xDFFF) => &[high, unit],
            _ => &[unit],
        };
        for c in char::decode_utf16(units.iter().copied()) {
            self.push(c.unwrap_or('\u{FFFD}'));
        }
    }

    fn byte(&mut self, byte: u8) {
        if self.to_skip > 0 {
            self.to_skip -= 1;
        } else if !self.now.hidden {
            self.bytes.push(byte);
        }
    }

    fn push(&mut self, c: char) {
        if !self.now.hidden {
            self.flush();
            self.text.push(c);
        }
    }

    fn flush(&mut self) {
        let (text, _) = self.encoding.decode_without_bom_handling(&self.bytes);
        self.text.push_str(&text);
        self.bytes.clear();
    }
}

/// Of Windows; the rest is so rare that 1252 is the best guess.
pub(super) fn code_page(number: i64) -> &'static Encoding {
    let label = match number {
        932 => "shift_jis".to_string(),
        936 => "gbk".to_string(),
        949 => "euc-kr".to_string(),
        950 => "big5".to_string(),
        65_001 => "utf-8".to_string(),
        number => format!("windows-{number}"),
    };
    Encoding::for_label(label.as_bytes()).unwrap_or(WINDOWS_1252)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rtf: &str) -> String {
        let mut reader = Rtf::new();
        reader.read(rtf.as_bytes()).unwrap();
        reader.text
    }

    #[test]
    fn what_a_reader_sees() {
        assert_eq!(
            text(r"{\rtf1\ansi{\fonttbl{\f0 Arial;}}\f0 NI \b QQ\b0  12 34 56 C\par next\'e9}"),
            "NI QQ 12 34 56 C\nnexté"
        );
        assert_eq!(text(r"{\rtf1 A\u8364?B\u-10179?\u-8704?C}"), "A€B😀C");
        assert_eq!(
            text(r"{\rtf1 a\cell b\row{\*\generator x;}{\*\annotation note}{\footnote foot}}"),
            "a\tb\n note foot"
        );
        assert_eq!(text(r"{\rtf1 {\pict 00ff}\{x\}\bin3 abcz}"), "{x}z");
        let deep = "{".repeat(2_000);
        assert_eq!(Rtf::new().read(deep.as_bytes()), Err(UnreadReason::TooDeep));
        assert_eq!(Rtf::new().read(b"{\\rtf1 x"), Err(UnreadReason::Damaged));
    }
}
