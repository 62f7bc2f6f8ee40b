//! Writing header fields: types that CR, LF and NUL cannot enter, folding (RFC 5322 2.2.3) and encoded words
//! (RFC 2047).

use super::Transport;
use base64::Engine;

/// Preferred and greatest length of a line (RFC 5322 2.1.1), without its line break.
const PREFERRED: usize = 78;
const GREATEST: usize = 998;

/// The name of a field that an edit may write or remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderName(String);

impl HeaderName {
    /// Printable ASCII without colon (RFC 5322 3.6.8). Fields that describe the body's form are not for rules:
    /// a changed Content-Type makes another message of the same bytes.
    pub fn parse(name: &str) -> Option<Self> {
        let printable = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        let lower = name.to_ascii_lowercase();
        let of_form = lower.starts_with("content-") || lower == "mime-version";
        (printable && !name.is_empty() && name.len() <= 70 && !of_form).then(|| Self(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the value has a grammar of its own, in which an encoded word cannot stand just anywhere.
    fn is_structured(&self) -> bool {
        const STRUCTURED: [&str; 18] = [
            "from",
            "sender",
            "reply-to",
            "to",
            "cc",
            "bcc",
            "date",
            "message-id",
            "in-reply-to",
            "references",
            "return-path",
            "received",
            "dkim-signature",
            "authentication-results",
            "auto-submitted",
            "list-id",
            "list-unsubscribe",
            "disposition-notification-to",
        ];
        let lower = self.0.to_ascii_lowercase();
        let name = lower.strip_prefix("resent-").unwrap_or(&lower);
        STRUCTURED.contains(&name)
    }
}

/// The text of a field: no control character, so no line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderText(String);

impl HeaderText {
    pub fn parse(text: &str) -> Option<Self> {
        let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        (!text.contains(breaks)).then(|| Self(text.trim().to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// ASCII that a reader would not take for an encoded word.
    fn is_plain(&self) -> bool {
        self.0.is_ascii() && !self.0.contains("=?")
    }

    fn longest_word(&self) -> usize {
        self.0.split(' ').map(str::len).max().unwrap_or(0)
    }
}

/// The whole field with its line break, or nothing when the value cannot stand in this field.
pub(super) fn field(name: &HeaderName, text: &HeaderText, transport: Transport, newline: &[u8]) -> Option<Vec<u8>> {
    let mut out = format!("{}:", name.as_str()).into_bytes();
    let raw = text.is_plain() || (transport.smtputf8 && !text.0.contains("=?"));
    if raw && text.longest_word() + 1 < GREATEST - out.len() {
        fold(&text.0, &mut out, newline);
    } else if name.is_structured() {
        return None;
    } else {
        encoded_words(&text.0, out.len() + 1, newline, &mut |word, fold_first| {
            if fold_first {
                out.extend_from_slice(newline);
            }
            out.push(b' ');
            out.extend_from_slice(word.as_bytes());
        });
    }
    out.extend_from_slice(newline);
    Some(out)
}

/// What goes in front of a subject that begins with `rest` at `column` of its line.
pub(super) fn subject_prefix(
    tag: &HeaderText,
    rest: &[u8],
    column: usize,
    transport: Transport,
    newline: &[u8],
) -> Vec<u8> {
    let line = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
    let mut out = Vec::new();
    if tag.is_plain() || transport.smtputf8 {
        out.extend_from_slice(tag.0.as_bytes());
    } else {
        // White space between two encoded words is not shown (RFC 2047 6.2), so it goes into the first.
        let before_encoded = rest.starts_with(b"=?");
        let text = if before_encoded { format!("{} ", tag.0) } else { tag.0.clone() };
        encoded_words(&text, column, newline, &mut |word, _| {
            if !out.is_empty() {
                out.extend_from_slice(newline);
                out.push(b' ');
            }
            out.extend_from_slice(word.as_bytes());
        });
    }
    let last = memchr::memrchr(b'\n', &out).map_or(column + out.len(), |at| out.len() - at - 1);
    if rest.is_empty() {
        return out;
    }
    if last + 1 + line > PREFERRED && line > 0 {
        out.extend_from_slice(newline);
    }
    out.push(b' ');
    out
}

/// Words behind the name, folded at spaces where a line would pass the preferred length.
fn fold(text: &str, out: &mut Vec<u8>, newline: &[u8]) {
    let mut column = out.len();
    let mut blank = true;
    for word in text.split(' ') {
        // A line of white space alone is obsolete (RFC 5322 4.2): never fold before an empty word.
        if column + 1 + word.len() > PREFERRED && !word.is_empty() && !blank {
            out.extend_from_slice(newline);
            column = 0;
        }
        out.push(b' ');
        out.extend_from_slice(word.as_bytes());
        column += 1 + word.len();
        blank = blank && word.is_empty();
    }
}

/// `text` as encoded words of at most 75 characters (RFC 2047 2), each whole in itself; the second argument says
/// whether a fold stands before the word.
fn encoded_words(text: &str, column: usize, _newline: &[u8], write: &mut impl FnMut(&str, bool)) {
    const FRAME: usize = "=?utf-8?B??=".len();
    let room = |column: usize| (75 - FRAME).min((PREFERRED - 1).saturating_sub(column + FRAME)) / 4 * 3;
    let mut fold_first = room(column) < 12;
    let mut space = room(if fold_first { 1 } else { column });
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = space.min(rest.len());
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (now, later) = rest.split_at(end);
        write(&format!("=?utf-8?B?{}?=", base64::engine::general_purpose::STANDARD.encode(now)), fold_first);
        rest = later;
        fold_first = true;
        space = room(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn write(name: &str, text: &str, smtputf8: bool) -> Option<String> {
        let name = HeaderName::parse(name)?;
        let text = HeaderText::parse(text)?;
        let bytes = field(&name, &text, Transport { smtputf8, ..Transport::default() }, b"\r\n")?;
        Some(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn fields_by_example() {
        let words = "word ".repeat(20);
        let table = [
            ("X-Policy", "external", false, Some("X-Policy: external\r\n".to_owned())),
            ("X-Policy", "grün", false, Some("X-Policy: =?utf-8?B?Z3LDvG4=?=\r\n".to_owned())),
            ("X-Policy", "grün", true, Some("X-Policy: grün\r\n".to_owned())),
            ("X-Policy", "=?utf-8?Q?a?=", false, Some("X-Policy: =?utf-8?B?PT91dGYtOD9RP2E/PQ==?=\r\n".to_owned())),
            ("Reply-To", "grün@ours.example", false, None),
            ("X-Policy", "a\r\nBcc: b@c.example", false, None),
            ("X-Policy", "a\0", false, None),
            ("X Policy", "a", false, None),
            ("X-Policy:", "a", false, None),
            ("Content-Type", "text/html", false, None),
            ("MIME-Version", "2", false, None),
            ("", "a", false, None),
        ];
        for (name, text, smtputf8, expected) in table {
            assert_eq!(write(name, text, smtputf8), expected, "{name} {text:?}");
        }
        let folded = write("X-Long", &words, false).unwrap();
        assert!(folded.split("\r\n").all(|line| line.len() <= 78));
        assert_eq!(folded.replace("\r\n ", " ").trim_end(), format!("X-Long: {}", words.trim_end()));
    }

    #[test]
    fn a_tag_before_an_encoded_subject_keeps_its_space() {
        let tag = HeaderText::parse("[grün]").unwrap();
        let prefix =
            |rest: &[u8]| String::from_utf8(subject_prefix(&tag, rest, 9, Transport::default(), b"\r\n")).unwrap();
        assert_eq!(prefix(b"=?utf-8?Q?a?="), "=?utf-8?B?W2dyw7xuXSA=?= ");
        assert_eq!(prefix(b"plain"), "=?utf-8?B?W2dyw7xuXQ==?= ");
    }

    proptest! {
        #[test]
        fn no_text_makes_a_second_line(name in "\\PC{1,20}|[A-Za-z-]{1,12}", text in "(\\PC|[\r\n\0\t :])*") {
            if let Some(field) = write(&name, &text, false) {
                prop_assert!(field.is_ascii());
                prop_assert!(field.ends_with("\r\n"));
                for line in field.trim_end().split("\r\n").skip(1) {
                    prop_assert!(line.starts_with(' '));
                }
                prop_assert!(!field.replace("\r\n", "").contains(['\r', '\n', '\0']));
                prop_assert!(field.split("\r\n").all(|line| line.len() <= 998));
            }
        }
    }
}
