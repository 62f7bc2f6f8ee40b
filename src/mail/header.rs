//! Header blocks and structured values, read leniently (RFC 5322 2.2, RFC 2045 5.1, RFC 2231).
//!
//! In: bytes. Out: fields by range; a value with its parameters; and what was odd about them. Linear in time.

use super::{Field, charset, encoded_word};
use memchr::{memchr, memchr2};
use std::ops::Range;

/// A longer header block is not indexed to its end.
pub(super) const MOST_HEADER_BYTES: usize = 1 << 20;
pub(super) const MOST_FIELDS: usize = 1_000;
const MOST_PARAMETERS: usize = 100;
const MOST_COMMENT_DEPTH: usize = 16;

/// What stands behind the last field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    EmptyLine,
    /// A line that is no field: the body begins with it, as Postfix and Python's `email` read it.
    NoField,
    /// A boundary line of an enclosing multipart.
    Boundary,
    /// The data end.
    Nothing,
}

/// A header block.
#[derive(Debug)]
pub(super) struct Block {
    pub fields: Vec<Field>,
    pub header: Range<usize>,
    /// Where the body begins.
    pub body: usize,
    pub end: End,
    pub too_large: bool,
    pub too_many: bool,
    /// A carriage return without a line feed, or a NUL.
    pub stray_control: bool,
    /// A space before a colon, or a name with other bytes than printable ASCII.
    pub odd_name: bool,
    /// A continuation line of blanks only: some readers end the header here.
    pub blank_continuation: bool,
    /// Blanks before the first field of the message itself.
    pub leading_blank: bool,
    /// Lines that end in CR LF beside lines that end in LF alone.
    pub mixed_line_ends: bool,
}

/// Reads the header block that begins at `start`. `is_boundary` is asked for lines that begin with `--`.
pub(super) fn read_block(bytes: &[u8], start: usize, is_boundary: impl Fn(usize) -> bool) -> Block {
    let mut block = Block {
        fields: Vec::with_capacity(16),
        header: start..start,
        body: bytes.len(),
        end: End::Nothing,
        too_large: false,
        too_many: false,
        stray_control: false,
        odd_name: false,
        blank_continuation: false,
        leading_blank: false,
        mixed_line_ends: false,
    };
    let mut at = start;
    let mut line_ends = [false; 3];
    while at < bytes.len() {
        let (line_end, next) = line(bytes, at);
        let text = &bytes[at..line_end];
        line_ends[(next - line_end).min(2)] = true;
        block.mixed_line_ends = line_ends[1] && line_ends[2];
        if text.is_empty() {
            block.body = next;
            block.end = End::EmptyLine;
            return block;
        }
        if text.starts_with(b"--") && is_boundary(at) {
            block.body = at;
            block.end = End::Boundary;
            return block;
        }
        block.stray_control |= memchr2(b'\r', 0, text).is_some();
        block.too_large |= next - start > MOST_HEADER_BYTES;
        if is_blank(text[0]) && !block.fields.is_empty() {
            block.blank_continuation |= text.iter().all(|&byte| is_blank(byte));
            if !block.too_many
                && !block.too_large
                && let Some(field) = block.fields.last_mut()
            {
                field.value.end = line_end;
                field.whole.end = next;
            }
        } else if is_blank(text[0]) && start == 0 {
            // Every server puts a Received on top (RFC 5321 4.4): the recipient reads these as its last lines, and the fields below.
            block.leading_blank = true;
        } else if let Some(name) = field_name(text) {
            block.too_many |= block.fields.len() == MOST_FIELDS;
            if !block.too_many && !block.too_large {
                let trimmed = trim_end(&text[..name]);
                block.odd_name |= trimmed.len() != name || !trimmed.iter().all(u8::is_ascii_graphic);
                block.fields.push(Field {
                    name: at..at + trimmed.len(),
                    value: at + name + 1..line_end,
                    whole: at..next,
                });
            }
        } else {
            block.body = at;
            block.end = End::NoField;
            return block;
        }
        block.header.end = next;
        at = next;
    }
    block
}

/// The end of the line that begins at `at`, without its CR LF or LF, and the start of the next line.
pub(super) fn line(bytes: &[u8], at: usize) -> (usize, usize) {
    match memchr(b'\n', &bytes[at..]) {
        Some(length) if length > 0 && bytes[at + length - 1] == b'\r' => (at + length - 1, at + length + 1),
        Some(length) => (at + length, at + length + 1),
        None => (bytes.len(), bytes.len()),
    }
}

/// The position of the colon, if the line can be a field. A name with a space inside is text, not a field.
fn field_name(line: &[u8]) -> Option<usize> {
    let colon = memchr(b':', line)?;
    let name = trim_end(&line[..colon]);
    (!name.is_empty() && !name.iter().any(|&byte| is_blank(byte))).then_some(colon)
}

pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

pub(super) fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| !is_space(byte)).map_or(0, |last| last + 1);
    &bytes[..end]
}

pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let bytes = trim_end(bytes);
    let start = bytes.iter().position(|&byte| !is_space(byte)).unwrap_or(bytes.len());
    &bytes[start..]
}

/// A structured value: `text/plain; charset=utf-8`.
#[derive(Debug, Default)]
pub(super) struct Structured {
    /// Comments and white space removed, lower case.
    pub value: String,
    /// Names in lower case. RFC 2231 sections joined and decoded.
    pub parameters: Vec<(String, String)>,
    /// Could not be read cleanly: a half open quote or comment, text between value and parameter.
    pub odd: bool,
    /// Another thing than a token in the value: a list, a quoted string.
    pub odd_value: bool,
    /// One parameter given twice with different values.
    pub contradictory: bool,
    /// RFC 2231 sections twice or with a gap, or for a boundary, which many readers do not join.
    pub odd_sections: bool,
    /// A comment inside, which some readers take for part of the value.
    pub commented: bool,
    pub too_many: bool,
}

/// Reads `value; name=value; …`, leniently and in linear time.
pub(super) fn structured(bytes: &[u8]) -> Structured {
    let mut reader = Reader { bytes, at: 0, odd: false, commented: false };
    let mut result = Structured::default();
    let value = reader.until_semicolon();
    result.odd_value = value.iter().any(|byte| matches!(byte, b'"' | b',' | b'\\') || is_space(*byte) || *byte >= 128);
    result.value = String::from_utf8_lossy(&value).to_ascii_lowercase();
    let mut raw = Vec::new();
    while reader.at < bytes.len() {
        if raw.len() == MOST_PARAMETERS {
            result.too_many = true;
            break;
        }
        raw.extend(reader.parameter());
    }
    result.odd = reader.odd;
    result.commented = reader.commented;
    join_sections(raw, &mut result);
    result
}

/// A parameter as it stands, before RFC 2231.
struct RawParameter {
    name: String,
    value: Vec<u8>,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    odd: bool,
    commented: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips white space and comments (RFC 5322 3.2.2).
    fn skip_cfws(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b'(' => self.skip_comment(),
                _ if is_space(byte) => self.at += 1,
                _ => return,
            }
        }
    }

    fn skip_comment(&mut self) {
        self.commented = true;
        let (mut depth, mut escaped) = (0, false);
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            self.odd |= depth > MOST_COMMENT_DEPTH;
            if depth == 0 {
                return;
            }
        }
        self.odd = true;
    }

    /// The text up to the next semicolon, which is taken too; comments and outer white space removed.
    fn until_semicolon(&mut self) -> Vec<u8> {
        let mut value = Vec::with_capacity(24);
        while let Some(byte) = self.peek() {
            match byte {
                b';' => {
                    self.at += 1;
                    break;
                }
                b'(' => self.skip_comment(),
                // Unfolded (RFC 5322 2.2.3).
                b'\r' | b'\n' => self.at += 1,
                _ => {
                    value.push(byte);
                    self.at += 1;
                }
            }
        }
        trim(&value).to_vec()
    }

    fn parameter(&mut self) -> Option<RawParameter> {
        self.skip_cfws();
        let start = self.at;
        while self.peek().is_some_and(|byte| !matches!(byte, b'=' | b';' | b'(') && !is_space(byte)) {
            self.at += 1;
        }
        let name = String::from_utf8_lossy(&self.bytes[start..self.at]).to_ascii_lowercase();
        self.skip_cfws();
        if self.peek() != Some(b'=') {
            // A bare word, or an empty place between two semicolons.
            self.odd |= !name.is_empty();
            self.until_semicolon();
            return None;
        }
        self.at += 1;
        self.skip_cfws();
        let value = if self.peek() == Some(b'"') {
            let value = self.quoted_string();
            self.odd |= !self.until_semicolon().is_empty();
            value
        } else {
            self.unquoted()
        };
        Some(RawParameter { name, value })
    }

    /// Everything up to the semicolon: many senders do not quote names with spaces.
    fn unquoted(&mut self) -> Vec<u8> {
        let value = self.until_semicolon();
        self.odd |= value.iter().any(|byte| matches!(byte, b'"' | b',') || is_space(*byte));
        value
    }

    fn quoted_string(&mut self) -> Vec<u8> {
        self.at += 1;
        let mut value = Vec::with_capacity(40);
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return value,
                b'\\' => {
                    value.extend(self.peek());
                    self.at += 1;
                }
                b'\r' | b'\n' => {}
                _ => value.push(byte),
            }
        }
        self.at = self.at.min(self.bytes.len());
        self.odd = true;
        value
    }
}

/// One section of a parameter (RFC 2231 3 and 4).
struct Section {
    number: usize,
    extended: bool,
    value: Vec<u8>,
}

fn join_sections(raw: Vec<RawParameter>, result: &mut Structured) {
    let mut sectioned: Vec<(String, Vec<Section>)> = Vec::new();
    for RawParameter { name, value } in raw {
        let Some((base, rest)) = name.split_once('*') else {
            let value = plain_value(value);
            match result.parameters.iter().find(|(known, _)| *known == name) {
                Some((_, first)) => result.contradictory |= *first != value,
                None => result.parameters.push((name, value)),
            }
            continue;
        };
        let extended = rest.is_empty() || rest.ends_with('*');
        let number = rest.trim_end_matches('*');
        let number = if number.is_empty() { Some(0) } else { number.parse().ok() };
        let Some(number) = number else {
            result.odd_sections = true;
            continue;
        };
        let section = Section { number, extended, value };
        match sectioned.iter_mut().find(|(known, _)| known == base) {
            Some((_, sections)) => sections.push(section),
            None => sectioned.push((base.to_string(), vec![section])),
        }
    }
    for (name, mut sections) in sectioned {
        sections.sort_by_key(|section| section.number);
        result.odd_sections |= sections.iter().enumerate().any(|(index, section)| section.number != index);
        result.odd_sections |= name == "boundary";
        let value = joined(&sections);
        match result.parameters.iter_mut().find(|(known, _)| *known == name) {
            // `filename` beside `filename*` is the usual courtesy to old readers; a second boundary is not.
            Some(known) => {
                result.contradictory |= name == "boundary" && known.1 != value;
                known.1 = value;
            }
            None => result.parameters.push((name, value)),
        }
    }
}

/// A plain value; encoded words inside are against RFC 2047 5, but common in names of files.
fn plain_value(value: Vec<u8>) -> String {
    match String::from_utf8(value) {
        Ok(value) => value,
        Err(error) => charset::lenient(error.as_bytes()),
    }
}

/// The value of a name of a file: encoded words decoded.
pub(super) fn displayed(value: &str) -> String {
    if value.contains("=?") { encoded_word::decoded(value.as_bytes()) } else { value.to_string() }
}

fn joined(sections: &[Section]) -> String {
    let mut label = None;
    let mut bytes = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        let mut value = section.value.as_slice();
        if index == 0 && section.extended {
            let mut split = value.splitn(3, |&byte| byte == b'\'');
            if let (Some(charset), Some(_language), Some(rest)) = (split.next(), split.next(), split.next()) {
                label = std::str::from_utf8(charset).ok().map(str::to_string);
                value = rest;
            }
        }
        if section.extended { percent_decode(value, &mut bytes) } else { bytes.extend_from_slice(value) }
    }
    charset::decode_short(&bytes, label.as_deref())
}

fn percent_decode(value: &[u8], into: &mut Vec<u8>) {
    let mut at = 0;
    while at < value.len() {
        let digits = value.get(at + 1..at + 3).and_then(|pair| Some((hex(pair[0])?, hex(pair[1])?)));
        if value[at] == b'%'
            && let Some((high, low)) = digits
        {
            into.push(high << 4 | low);
            at += 3;
        } else {
            into.push(value[at]);
            at += 1;
        }
    }
}

pub(super) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(value: &str) -> Vec<(String, String)> {
        structured(value.as_bytes()).parameters
    }

    #[test]
    fn structured_values() {
        for (value, token, expected) in [
            ("text/plain", "text/plain", vec![]),
            (" TEXT/Html ; Charset = \"UTF-8\"", "text/html", vec![("charset", "UTF-8")]),
            ("text/plain (a (nested) comment); charset=(x)us-ascii", "text/plain", vec![("charset", "us-ascii")]),
            ("attachment; filename=my file.doc", "attachment", vec![("filename", "my file.doc")]),
            (
                "attachment; filename=\"a \\\"b\\\".doc\"; size=3",
                "attachment",
                vec![("filename", "a \"b\".doc"), ("size", "3")],
            ),
            ("multipart/mixed;\r\n\tboundary=\"--=_a;b\"", "multipart/mixed", vec![("boundary", "--=_a;b")]),
            ("attachment; filename*=utf-8'en'%e2%82%ac%20rates", "attachment", vec![("filename", "€ rates")]),
            ("attachment; filename*1=b.txt; filename*0*=iso-8859-1''%e9", "attachment", vec![("filename", "éb.txt")]),
            ("text/plain; charset=utf-8;", "text/plain", vec![("charset", "utf-8")]),
            ("", "", vec![]),
        ] {
            let read = structured(value.as_bytes());
            assert_eq!(read.value, token, "{value}");
            let expected: Vec<_> = expected.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            assert_eq!(read.parameters, expected, "{value}");
        }
    }

    #[test]
    fn oddities_are_seen() {
        assert!(structured(b"multipart/mixed; boundary=a; boundary=b").contradictory);
        assert!(!structured(b"multipart/mixed; boundary=a; boundary=a").contradictory);
        assert!(structured(b"multipart/mixed; boundary=\"a").odd);
        assert!(structured(b"multipart/mixed; (boundary=a").odd);
        assert!(structured(b"a; boundary*0=a; boundary*0=b").odd_sections);
        assert!(structured(b"a; boundary*0=a; boundary*2=b").odd_sections);
        assert!(structured(b"\"base64\"").odd_value);
        assert!(structured(b"7bit, base64").odd_value);
        assert!(!structured(b"text/plain; charset=utf-8; format=flowed").odd);
        assert!(structured("a;b=c".repeat(200).as_bytes()).too_many);
    }

    #[test]
    fn file_name_beside_its_extended_form_is_ordinary() {
        let read = structured(b"attachment; filename=\"EURO.txt\"; filename*=utf-8''%e2%82%ac.txt");
        assert!(!read.contradictory && !read.odd && !read.odd_sections);
        assert_eq!(parameters("a; filename=\"x\"; filename*=utf-8''%e2%82%ac.txt")[0].1, "€.txt");
    }

    #[test]
    fn blocks() {
        let block = read_block(b"A: 1\r\n\tmore\r\nB : 2\r\n\r\nbody", 0, |_| false);
        assert_eq!(block.end, End::EmptyLine);
        assert_eq!((block.header.clone(), block.body), (0..20, 22));
        assert_eq!(block.fields.len(), 2);
        assert_eq!(block.fields[0].value, 2..11);
        assert_eq!(block.fields[0].whole, 0..13);
        assert_eq!(block.fields[1].name, 13..14);
        assert!(block.odd_name && !block.stray_control);
        let block = read_block(b"A: 1\nno field\n", 0, |_| false);
        assert_eq!((block.end, block.body), (End::NoField, 5));
        let block = read_block(b"A: 1\r\n--b\r\n", 0, |_| true);
        assert_eq!((block.end, block.body), (End::Boundary, 6));
        assert!(read_block(b"A: 1\r\r\n\r\n", 0, |_| false).stray_control);
    }
}
