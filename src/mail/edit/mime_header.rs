//! Changes of the fields that describe one part's text: the charset parameter and the transfer encoding.

use super::EditFailure;
use super::splice::Splice;
use crate::mail::{Message, Part, doubt};
use std::ops::Range;

const KIND: &str = "append-notice";

/// What a part's header must say after the edit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Described {
    /// The charset becomes UTF-8.
    pub utf8: bool,
    /// The transfer encoding becomes quoted-printable.
    pub quoted_printable: bool,
}

impl Described {
    /// The splices of the part's header, and how many fields are added.
    pub fn splices(
        self,
        message: &Message,
        part: &Part,
        newline: &'static [u8],
    ) -> Result<(Vec<Splice>, usize), EditFailure> {
        let mut splices = Vec::new();
        let mut added = Vec::new();
        if self.utf8 {
            match only(message, part, "Content-Type")? {
                Some(value) => splices.push(set_charset(message, value, newline)?),
                None => added.push("Content-Type: text/plain; charset=utf-8"),
            }
        }
        if self.quoted_printable {
            match only(message, part, "Content-Transfer-Encoding")? {
                Some(range) => splices.push(Splice { range: trimmed(message, range), bytes: QUOTED_PRINTABLE.into() }),
                None => added.push("Content-Transfer-Encoding: quoted-printable"),
            }
        }
        // Without MIME-Version the other fields mean nothing to a strict reader (RFC 2045 4).
        let versioned = part.parent.is_some() || message.fields(part, "MIME-Version").next().is_some();
        if self != Described::default() && !versioned {
            added.insert(0, "MIME-Version: 1.0");
        }
        let end = part.header.end;
        let bytes: Vec<u8> = added.iter().flat_map(|line| [line.as_bytes(), newline].concat()).collect();
        if !bytes.is_empty() {
            splices.push(Splice { range: end..end, bytes });
        }
        Ok((splices, added.len()))
    }
}

const QUOTED_PRINTABLE: &[u8] = b"quoted-printable";

/// The value of the only field of that name.
fn only(message: &Message, part: &Part, name: &str) -> Result<Option<Range<usize>>, EditFailure> {
    let mut fields = message.fields(part, name);
    let first = fields.next().map(|field| field.value.clone());
    match fields.next() {
        Some(_) => Err(EditFailure::Ambiguous { kind: KIND, class: doubt::TWO_CONTENT_TYPES }),
        None => Ok(first),
    }
}

fn trimmed(message: &Message, range: Range<usize>) -> Range<usize> {
    let value = message.read(range.clone());
    let start = range.start + (value.len() - value.trim_ascii_start().len());
    start..start + value.trim_ascii().len()
}

/// Replaces the charset parameter, or adds it behind the others.
fn set_charset(message: &Message, value: Range<usize>, newline: &[u8]) -> Result<Splice, EditFailure> {
    let bytes = message.read(value.clone());
    let odd = EditFailure::Ambiguous { kind: KIND, class: doubt::ODD_CONTENT_TYPE };
    let parameters = Parameters::read(&bytes).ok_or(odd.clone())?;
    let mut charsets = parameters.0.iter().filter(|(name, _)| name == "charset");
    if parameters.0.iter().any(|(name, _)| name.starts_with("charset*")) {
        return Err(odd);
    }
    match (charsets.next(), charsets.next()) {
        (Some((_, range)), None) => {
            Ok(Splice { range: value.start + range.start..value.start + range.end, bytes: b"utf-8".to_vec() })
        }
        (Some(_), Some(_)) => Err(EditFailure::Ambiguous { kind: KIND, class: doubt::TWO_PARAMETERS }),
        (None, _) => {
            let kept = bytes.trim_ascii_end();
            let at = value.start + kept.len();
            let line = kept.len() - memchr::memrchr(b'\n', kept).map_or(0, |at| at + 1);
            let name = if memchr::memchr(b'\n', kept).is_some() { 0 } else { "Content-Type:".len() };
            let separator: &[u8] = if kept.ends_with(b";") { b"" } else { b";" };
            let fold: &[u8] = if name + line + "; charset=utf-8".len() > 78 { newline } else { b"" };
            Ok(Splice { range: at..at, bytes: [separator, fold, b" charset=utf-8"].concat() })
        }
    }
}

/// Names (lower case) and value ranges (within quotes) of the parameters, read strictly.
struct Parameters(Vec<(String, Range<usize>)>);

impl Parameters {
    fn read(value: &[u8]) -> Option<Self> {
        let mut found = Vec::new();
        let mut at = memchr::memchr(b';', value).unwrap_or(value.len());
        // A comment in front of the first parameter could hide its semicolon.
        if value[..at].contains(&b'(') {
            return None;
        }
        while at < value.len() {
            at = skip_blank(value, at + 1)?;
            if at == value.len() {
                break;
            }
            let name = at..until(value, at, b"=; \t\r\n(");
            at = skip_blank(value, name.end)?;
            if value.get(at) == Some(&b';') && name.is_empty() {
                continue;
            }
            if name.is_empty() || value.get(at) != Some(&b'=') {
                return None;
            }
            at = skip_blank(value, at + 1)?;
            let range = if value.get(at) == Some(&b'"') {
                let end = at + 1 + quoted_length(&value[at + 1..])?;
                let range = at + 1..end;
                at = end + 1;
                range
            } else {
                let range = at..until(value, at, b"; \t\r\n(\"");
                at = range.end;
                range
            };
            found.push((String::from_utf8_lossy(&value[name]).to_ascii_lowercase(), range));
            at = skip_blank(value, at)?;
            if at < value.len() && value[at] != b';' {
                return None;
            }
        }
        Some(Self(found))
    }
}

fn until(value: &[u8], at: usize, stops: &[u8]) -> usize {
    value[at..].iter().position(|byte| stops.contains(byte)).map_or(value.len(), |length| at + length)
}

/// Behind white space and comments (RFC 5322 3.2.2); nothing when a comment does not end.
fn skip_blank(value: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    while at < value.len() {
        match value[at] {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b'\\' if depth > 0 => at += 1,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ if depth > 0 => {}
            _ => return Some(at),
        }
        at += 1;
    }
    (depth == 0).then_some(value.len())
}

fn quoted_length(value: &[u8]) -> Option<usize> {
    let mut escaped = false;
    value.iter().position(|byte| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        byte => *byte == b'"',
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_strictly() {
        let read = |value: &str| {
            Parameters::read(value.as_bytes())
                .map(|found| found.0.into_iter().map(|(name, at)| format!("{name}={}", &value[at])).collect::<Vec<_>>())
        };
        assert_eq!(read("text/plain").unwrap(), Vec::<String>::new());
        assert_eq!(
            read(" text/plain; Charset=\"a;b\" ;\r\n format = flowed").unwrap(),
            ["charset=a;b", "format=flowed"]
        );
        assert_eq!(read(" text/plain; (charset=x) charset=us-ascii (old);").unwrap(), ["charset=us-ascii"]);
        for odd in
            ["text/plain; charset", "text/plain; charset=\"x", "text/plain; a=b c=d", "text/plain; (x", "t (;) ; a=b"]
        {
            assert!(read(odd).is_none(), "{odd}");
        }
    }
}
