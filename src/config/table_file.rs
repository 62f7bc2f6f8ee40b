//! Tables as spreadsheets write them (RFC 4180), each field with its place in the file, so that a mistake can be shown where
//! it stands.

use std::ops::Range;

/// One field: its text without quotes, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub text: String,
    pub at: Range<usize>,
}

/// Why a line cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadQuote {
    pub at: Range<usize>,
    pub why: &'static str,
}

/// Comma, semicolon or tab: whichever the first line has most of.
pub(super) fn separator(text: &str) -> char {
    let head = text.lines().next().unwrap_or_default();
    [',', ';', '\t'].into_iter().rev().max_by_key(|separator| head.matches(*separator).count()).unwrap_or(',')
}

/// The lines of the table; a quoted field may contain line breaks. Lines with nothing in them are left out. After a quotation mark that
/// nothing closes there is no telling where fields end: reading stops.
pub(super) fn read(text: &str, separator: char) -> Result<Vec<Vec<Field>>, BadQuote> {
    let mut lines = Vec::new();
    let mut line = Vec::new();
    // What spreadsheets put in front of UTF-8.
    let mut at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while at < text.len() {
        let (field, end) = field(text, at, separator)?;
        line.push(field);
        let behind = &text[end..];
        at = end;
        if behind.starts_with(separator) {
            at += separator.len_utf8();
            if at < text.len() {
                continue;
            }
            line.push(Field { text: String::new(), at: at..at });
        }
        at += line_break(&text[at..]);
        let line = std::mem::take(&mut line);
        if line.iter().any(|field| !field.text.trim().is_empty()) {
            lines.push(line);
        }
    }
    Ok(lines)
}

/// A field that begins at `start`, and where its separator or line break stands.
fn field(text: &str, start: usize, separator: char) -> Result<(Field, usize), BadQuote> {
    let ends = |c: char| c == separator || c == '\n' || c == '\r';
    let rest = &text[start..];
    if !rest.starts_with('"') {
        let end = start + rest.find(ends).unwrap_or(rest.len());
        return Ok((Field { text: text[start..end].into(), at: start..end }, end));
    }
    let mut content = String::new();
    let mut at = start + 1;
    loop {
        let Some(quote) = text[at..].find('"') else {
            return Err(BadQuote { at: start..start + 1, why: "nothing closes this quotation mark" });
        };
        content.push_str(&text[at..at + quote]);
        at += quote + 1;
        match text[at..].chars().next() {
            Some('"') => {
                content.push('"');
                at += 1;
            }
            None => return Ok((Field { text: content, at: start..at }, at)),
            Some(c) if ends(c) => return Ok((Field { text: content, at: start..at }, at)),
            Some(c) => {
                let why = "a quotation mark within a quoted field is written twice";
                return Err(BadQuote { at: at..at + c.len_utf8(), why });
            }
        }
    }
}

fn line_break(text: &str) -> usize {
    match text.as_bytes() {
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<Vec<String>> {
        let lines = read(text, separator(text)).expect("a table");
        for field in lines.iter().flatten() {
            let written = &text[field.at.clone()];
            let inner = written.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(written);
            assert_eq!(field.text, inner.replace("\"\"", "\""), "its place");
        }
        lines.into_iter().map(|line| line.into_iter().map(|field| field.text).collect()).collect()
    }

    #[test]
    fn tables_as_spreadsheets_write_them() {
        assert_eq!(texts("a,b\r\n1,2\r\n"), [["a", "b"], ["1", "2"]]);
        assert_eq!(texts("\u{feff}a;b\n1,5;2"), [["a", "b"], ["1,5", "2"]]);
        assert_eq!(texts("a\tb\n\n1\t\n"), [["a", "b"], ["1", ""]]);
        assert_eq!(texts("a,b\n\"x, \"\"y\"\"\",\"two\r\nlines\"\n"), [["a", "b"], ["x, \"y\"", "two\r\nlines"]]);
        assert_eq!(texts("a,b\n1,"), [["a", "b"], ["1", ""]]);
        assert_eq!(texts("a\n \né\n"), [["a"], ["é"]]);
        assert!(texts("").is_empty());
    }

    #[test]
    fn quotation_marks_that_do_not_fit() {
        let bad = |text: &str| read(text, ',').expect_err("a bad quote").at;
        assert_eq!(bad("a,b\n\"x,y\n"), 4..5);
        assert_eq!(bad("a,b\n\"x\"y,z\n"), 7..8);
    }
}
