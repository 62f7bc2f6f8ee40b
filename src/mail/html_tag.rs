//! Tags, comments and raw text of HTML, found in linear time (WHATWG HTML 13.2.5).

use memchr::{memchr, memmem};

/// A tag, its attributes unread.
pub(super) struct Tag<'a> {
    pub name: &'a str,
    pub closes: bool,
    pub attributes: &'a str,
    /// Behind its `>`.
    pub end: usize,
}

/// Behind a comment. A comment for Outlook only (`<!--[if mso]>`) is displayed there: only its opening is skipped.
pub(super) fn comment_end(html: &str, at: usize) -> usize {
    let rest = &html.as_bytes()[at..];
    if rest.starts_with(b"<!--[if") {
        let opening = memchr(b'>', &rest[..rest.len().min(512)]);
        if let Some(length) = opening {
            return at + length + 1;
        }
    }
    // `<!-->` and `<!--->` are whole comments (WHATWG HTML 13.2.5.43).
    if rest.starts_with(b"<!-->") || rest.starts_with(b"<!--->") {
        return at + memchr(b'>', rest).map_or(rest.len(), |length| length + 1);
    }
    memmem::find(&rest[4..], b"--").map_or(html.len(), |_| {
        let mut from = 4;
        while let Some(found) = memmem::find(&rest[from..], b"--") {
            let behind = from + found + 2;
            match rest.get(behind..) {
                Some([b'>', ..]) => return at + behind + 1,
                Some([b'!', b'>', ..]) => return at + behind + 2,
                _ => from = behind - 1,
            }
        }
        html.len()
    })
}

/// Behind the end tag of an element whose content is not markup; its end tag is left in.
pub(super) fn raw_text_end(html: &str, at: usize, name: &str) -> usize {
    let bytes = html.as_bytes();
    let mut from = at;
    while let Some(found) = memmem::find(&bytes[from..], b"</") {
        let here = from + found;
        let behind = here + 2 + name.len();
        if bytes.get(here + 2..behind).is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
            && bytes.get(behind).is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))
        {
            return here;
        }
        from = here + 2;
    }
    html.len()
}

/// Reads the tag at `at`; quoted attribute values may hold a `>`.
pub(super) fn read_tag(html: &str, at: usize) -> Tag<'_> {
    let bytes = html.as_bytes();
    let closes = bytes.get(at + 1) == Some(&b'/');
    let name_start = at + 1 + usize::from(closes);
    let is_end_of_name = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>');
    let name_end =
        bytes[name_start..].iter().position(is_end_of_name).map_or(bytes.len(), |length| name_start + length);
    let mut end = name_end;
    let mut after_equals = false;
    while end < bytes.len() {
        match bytes[end] {
            b'>' => break,
            quote @ (b'"' | b'\'') if after_equals => {
                end = memchr(quote, &bytes[end + 1..]).map_or(bytes.len(), |length| end + 1 + length);
                after_equals = false;
            }
            b'=' => after_equals = true,
            byte if byte.is_ascii_whitespace() => {}
            _ => after_equals = false,
        }
        end += 1;
    }
    let end = end.min(bytes.len());
    Tag { name: &html[name_start..name_end], closes, attributes: &html[name_end..end], end: (end + 1).min(bytes.len()) }
}

/// The value of an attribute, as written.
pub(super) fn attribute<'a>(attributes: &'a str, wanted: &str) -> Option<&'a str> {
    let bytes = attributes.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at].is_ascii_whitespace() || matches!(bytes[at], b'/' | b'=') {
            at += 1;
            continue;
        }
        let name_start = at;
        while at < bytes.len() && !bytes[at].is_ascii_whitespace() && !matches!(bytes[at], b'=' | b'/') {
            at += 1;
        }
        let is_wanted = attributes[name_start..at].eq_ignore_ascii_case(wanted);
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        if bytes.get(at) != Some(&b'=') {
            continue;
        }
        at += 1;
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        let value = match bytes.get(at) {
            Some(&quote @ (b'"' | b'\'')) => {
                let start = at + 1;
                let end = memchr(quote, &bytes[start..]).map_or(bytes.len(), |length| start + length);
                at = end + 1;
                &attributes[start..end]
            }
            _ => {
                let start = at;
                while at < bytes.len() && !bytes[at].is_ascii_whitespace() {
                    at += 1;
                }
                &attributes[start..at]
            }
        };
        if is_wanted {
            return Some(value);
        }
    }
    None
}

/// The name in lower case, if it is short enough to be one that matters.
pub(super) fn lower<'a>(name: &str, buffer: &'a mut [u8; 12]) -> Option<&'a str> {
    let buffer = buffer.get_mut(..name.len())?;
    buffer.copy_from_slice(name.as_bytes());
    buffer.make_ascii_lowercase();
    std::str::from_utf8(buffer).ok()
}
