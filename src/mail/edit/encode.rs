//! Transfer encodings for splices: where a place of the decoded content is in the raw body, and how new content
//! is written there (RFC 2045 6.7, 6.8).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::ops::Range;

/// Width of encoded lines (RFC 2045 6.7, 6.8).
const WIDTH: usize = 76;

/// Decodes quoted-printable as lenient readers do.
pub(super) fn qp_decode(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        match memchr::memchr(b'=', &raw[at..]) {
            None => {
                out.extend_from_slice(&raw[at..]);
                break;
            }
            Some(run) => {
                out.extend_from_slice(&raw[at..at + run]);
                let (byte, length) = qp_escape(&raw[at + run..]);
                out.extend(byte);
                at += run + length;
            }
        }
    }
    out
}

/// The raw offset behind the first `decoded` bytes of the content.
pub(super) fn qp_raw_offset(raw: &[u8], decoded: usize) -> usize {
    let (mut at, mut count) = (0, 0);
    while count < decoded && at < raw.len() {
        if raw[at] == b'=' {
            let (byte, length) = qp_escape(&raw[at..]);
            count += usize::from(byte.is_some());
            at += length;
        } else {
            count += 1;
            at += 1;
        }
    }
    at
}

/// The escape at the start of `raw`: its byte (none for a soft line break) and its length.
fn qp_escape(raw: &[u8]) -> (Option<u8>, usize) {
    let hex = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    if let [_, high, low, ..] = raw
        && let (Some(high), Some(low)) = (hex(*high), hex(*low))
    {
        return (Some(high << 4 | low), 3);
    }
    let blank = raw[1..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count() + 1;
    match &raw[blank..] {
        [b'\r', b'\n', ..] => (None, blank + 2),
        [b'\n', ..] => (None, blank + 1),
        [] => (None, blank),
        _ => (Some(b'='), 1),
    }
}

/// Writes `content` as quoted-printable, the first line beginning at `column`. A line break is `newline` and nothing
/// else: another CR or LF is content and is escaped.
pub(super) fn qp_encode(content: &[u8], column: usize, newline: &[u8], out: &mut Vec<u8>) {
    let mut column = column;
    let mut at = 0;
    while at < content.len() {
        let rest = &content[at..];
        if rest.starts_with(newline) {
            out.extend_from_slice(newline);
            column = 0;
            at += newline.len();
            continue;
        }
        let ends_line = rest.len() == 1 || rest[1..].starts_with(newline);
        let byte = rest[0];
        let plain = match byte {
            b'=' => false,
            // Space at the end of a line may be lost on the way (RFC 2045 6.7 rule 3).
            b' ' | b'\t' => !ends_line,
            _ => byte.is_ascii_graphic(),
        };
        let width = if plain { 1 } else { 3 };
        // The last place of a line is for the `=` of a soft break, unless the line ends here.
        if column + width > WIDTH - usize::from(!ends_line) {
            out.push(b'=');
            out.extend_from_slice(newline);
            column = 0;
        }
        if plain {
            out.push(byte);
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.extend_from_slice(&[b'=', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        column += width;
        at += 1;
    }
}

/// A base64 body whose every character is accounted for.
pub(super) struct Base64Body {
    pub content: Vec<u8>,
    /// Width of its lines.
    width: usize,
    /// Behind the last character of the alphabet or padding.
    end: usize,
}

impl Base64Body {
    /// Nothing for a body that readers could take in two ways: other characters inside, padding in the middle,
    /// a last quantum that is not whole.
    pub fn read(raw: &[u8]) -> Option<Self> {
        let blank = |byte: &u8| matches!(byte, b'\r' | b'\n' | b' ' | b'\t');
        let end = raw.iter().rposition(|byte| !blank(byte)).map_or(0, |at| at + 1);
        let mut characters = Vec::with_capacity(end);
        for line in raw[..end].split(|byte| *byte == b'\n') {
            characters.extend_from_slice(line.trim_ascii());
        }
        let content = STANDARD.decode(&characters).ok()?;
        let first_line = raw[..end].iter().position(|byte| *byte == b'\n');
        let width = match first_line.map(|at| raw[..at].trim_ascii().len()) {
            Some(width) if width % 4 == 0 && (4..=988).contains(&width) => width,
            _ => WIDTH,
        };
        Some(Self { content, width, end })
    }

    /// The splice that puts `insert` at `at` of the content: what it replaces in `raw`, and the new characters.
    /// What stands before stays as it is, byte for byte.
    pub fn insert(
        &self,
        raw: &[u8],
        content: &[u8],
        at: usize,
        insert: &[u8],
        newline: &[u8],
    ) -> (Range<usize>, Vec<u8>) {
        let quantum = at / 3 * 3;
        let start = self.raw_offset(raw, quantum / 3 * 4);
        let line = memchr::memrchr(b'\n', &raw[..start]).map_or(0, |at| at + 1);
        let column = raw[line..start].iter().filter(|byte| !byte.is_ascii_whitespace()).count();
        let parts = [&content[quantum..at], insert, &content[at..]].concat();
        (start..self.end, wrap_base64(&parts, column, self.width, newline))
    }

    /// The raw offset of a character: in front of it, but not in front of the line break before it when it is the
    /// one behind the last.
    fn raw_offset(&self, raw: &[u8], character: usize) -> usize {
        let places = raw[..self.end].iter().enumerate().filter(|(_, byte)| !byte.is_ascii_whitespace());
        places.map(|(at, _)| at).nth(character).unwrap_or(self.end)
    }
}

/// Base64 in lines of `width`, the first beginning at `column`; no line break at the end.
pub(super) fn wrap_base64(content: &[u8], column: usize, width: usize, newline: &[u8]) -> Vec<u8> {
    let characters = STANDARD.encode(content);
    let mut rest = characters.as_bytes();
    let mut out = Vec::with_capacity(rest.len() + rest.len() / width * newline.len() + newline.len());
    let mut room = width.saturating_sub(column);
    while !rest.is_empty() {
        if room == 0 {
            out.extend_from_slice(newline);
            room = width;
        }
        let (now, later) = rest.split_at(room.min(rest.len()));
        out.extend_from_slice(now);
        rest = later;
        room = 0;
    }
    out
}

/// A whole content as base64 in lines of the usual width.
pub(super) fn base64_encode(content: &[u8], newline: &[u8]) -> Vec<u8> {
    wrap_base64(content, 0, WIDTH, newline)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn qp(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        qp_encode(content, 0, b"\r\n", &mut out);
        out
    }

    #[test]
    fn quoted_printable_by_example() {
        let table: [(&[u8], &[u8]); 6] = [
            (b"a=b", b"a=3Db"),
            (b"end \r\nnext\t", b"end=20\r\nnext=09"),
            ("é".as_bytes(), b"=C3=A9"),
            (b"a\rb", b"a=0Db"),
            (b"a\nb\r\n", b"a=0Ab\r\n"),
            (b"", b""),
        ];
        for (content, encoded) in table {
            assert_eq!(qp(content), encoded);
        }
        assert_eq!(qp(&[b'x'; 76]), [b'x'; 76]);
        assert_eq!(qp(&[b'x'; 77]), [&[b'x'; 75][..], b"=\r\nxx"].concat());
    }

    #[test]
    fn lenient_quoted_printable() {
        assert_eq!(qp_decode(b"a=\r\nb= \r\nc=\nd=zz="), b"abcd=zz".to_vec());
        assert_eq!(qp_raw_offset(b"a=\r\nb=3Dc", 3), 8);
        assert_eq!(qp_raw_offset(b"a=\r\nb=3Dc", 1), 1);
    }

    #[test]
    fn damaged_base64_is_not_continued() {
        for damaged in ["QUJD=QUJD", "QUI", "QU*D", "QUI=\r\nQUI="] {
            assert!(Base64Body::read(damaged.as_bytes()).is_none(), "{damaged}");
        }
    }

    proptest! {
        #[test]
        fn quoted_printable_round_trip(content in "([ -~é€\t=.]{0,90}(\r\n)?){0,5}") {
            let encoded = qp(content.as_bytes());
            prop_assert_eq!(qp_decode(&encoded), content.as_bytes());
            prop_assert!(encoded.is_ascii());
            for line in encoded.split(|byte| *byte == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                prop_assert!(line.len() <= 76 && !line.ends_with(b" ") && !line.ends_with(b"\t"));
            }
            prop_assert_eq!(qp_raw_offset(&encoded, content.len()), encoded.len());
        }

        #[test]
        fn base64_is_continued(
            content in proptest::collection::vec(any::<u8>(), 0..400),
            insert in proptest::collection::vec(any::<u8>(), 1..200),
            place in 0.0..=1.0f64,
            width in prop_oneof![Just(76usize), Just(64), Just(60), Just(40)],
            tail in prop_oneof![Just(""), Just("\r\n"), Just("\r\n\r\n")],
        ) {
            let mut raw = wrap_base64(&content, 0, width, b"\r\n");
            raw.extend_from_slice(tail.as_bytes());
            let at = (content.len() as f64 * place) as usize;
            let body = Base64Body::read(&raw).unwrap();
            let (range, bytes) = body.insert(&raw, &content, at, &insert, b"\r\n");
            let after = [&raw[..range.start], &bytes, &raw[range.end..]].concat();
            let expected = [&content[..at], &insert, &content[at..]].concat();
            prop_assert_eq!(Base64Body::read(&after).unwrap().content, expected);
            prop_assert!(after.split(|byte| *byte == b'\n').all(|line| line.trim_ascii().len() <= width.max(76)));
            prop_assert!(after.ends_with(tail.as_bytes()));
        }
    }
}
