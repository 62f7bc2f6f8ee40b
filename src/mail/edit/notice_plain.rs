//! A notice in text/plain: where in the text it stands, and how its lines are written.

use super::Notice;
use crate::mail::{Part, Passage, Text};

/// Longest line of a notice as it is written raw; behind it a break at a space (RFC 5322 2.1.1 allows 998).
const LONGEST: usize = 900;
/// Width of flowed lines (RFC 3676 4.2).
const FLOWED: usize = 72;

/// How the lines of a text/plain part are read (RFC 3676).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    Fixed,
    Flowed { delete_space: bool },
}

impl Lines {
    pub fn of(part: &Part) -> Self {
        let is = |name: &str, value: &str| {
            part.content_type.parameter(name).is_some_and(|given| given.eq_ignore_ascii_case(value))
        };
        if is("format", "flowed") { Lines::Flowed { delete_space: is("delsp", "yes") } } else { Lines::Fixed }
    }
}

/// Where the quoted or forwarded text begins that stands behind all of the author's own; the notice then belongs
/// in front of it. What is not surely a quotation may be the author's own, and the notice goes behind it.
pub(super) fn trailing_quote(text: &Text) -> Option<usize> {
    let shown = |passage: &&Passage| !text.text[passage.range.clone()].trim().is_empty();
    let from_behind = || text.zones().iter().rev();
    let last = from_behind().find(shown)?;
    last.is_quotation().then_some(())?;
    let quotes = from_behind().take_while(|passage| passage.is_quotation() || !shown(passage));
    quotes.filter(|passage| passage.is_quotation()).last().map(|passage| passage.range.start)
}

/// Whether each of the last lines has its own sign of a quotation, so that what follows cannot be taken for a part of it.
pub(super) fn is_marked_to_its_end(text: &Text) -> bool {
    text.text.trim_end().lines().next_back().is_some_and(|line| line.trim_start().starts_with('>'))
}

/// The notices as they are put behind `before`, line breaks as LF. `at_end`: nothing of the text follows;
/// `whole_body`: the part is the message's body, which ends in a line break.
pub(super) fn compose(notices: &[&Notice], before: &[u8], at_end: bool, whole_body: bool, lines: Lines) -> String {
    let blank = before.iter().all(u8::is_ascii_whitespace);
    let breaks = trailing_breaks(before);
    let mut out = String::new();
    let wanted = match (blank, breaks) {
        (true, 0) if before.is_empty() => 0,
        (true, _) => 1,
        (false, _) => 2 + usize::from(ends_flowed(before, lines)),
    };
    out.extend(std::iter::repeat_n('\n', wanted.saturating_sub(breaks)));
    for (index, notice) in notices.iter().enumerate() {
        if index > 0 {
            out.push_str(if notice.follows(notices[index - 1]) { "\n" } else { "\n\n" });
        }
        let plain =
            if notice.plain.trim().is_empty() { super::notice_html::shown(&notice.html) } else { notice.plain.clone() };
        let rendered: Vec<String> = plain.trim().lines().map(|line| write_line(line.trim_end(), lines)).collect();
        out.push_str(&rendered.join("\n"));
    }
    if !at_end {
        out.push_str("\n\n");
    } else if breaks > 0 || (before.is_empty() && whole_body) {
        out.push('\n');
    }
    out
}

/// A soft line break at the very end would take our empty line into its paragraph.
fn ends_flowed(before: &[u8], lines: Lines) -> bool {
    let text = before.trim_ascii_end();
    let behind = &before[text.len()..];
    let last = &text[memchr::memrchr(b'\n', text).map_or(0, |at| at + 1)..];
    lines != Lines::Fixed && behind.first() == Some(&b' ') && last != b"--"
}

fn trailing_breaks(before: &[u8]) -> usize {
    let mut breaks = 0;
    for byte in before.iter().rev() {
        match byte {
            b'\n' => breaks += 1,
            b'\r' => {}
            _ => break,
        }
    }
    breaks
}

fn write_line(line: &str, lines: Lines) -> String {
    match lines {
        Lines::Fixed => wrap(line, LONGEST, ""),
        Lines::Flowed { delete_space } => {
            // With delsp=yes the last space of a soft break is taken away on reading (RFC 3676 4.1).
            let soft = if delete_space { "  " } else { " " };
            let wrapped = wrap(line, FLOWED, soft);
            let stuffed = wrapped.split('\n').map(|line| {
                let needs = line.starts_with([' ', '>']) || line.starts_with("From ");
                if needs { format!(" {line}") } else { line.to_owned() }
            });
            stuffed.collect::<Vec<_>>().join("\n")
        }
    }
}

/// Breaks at spaces so that lines stay within `width` bytes where they can; `soft` stands before each break.
fn wrap(line: &str, width: usize, soft: &str) -> String {
    if line.len() <= width {
        return line.to_owned();
    }
    let mut out = String::with_capacity(line.len() + 16);
    let mut column = 0;
    for word in line.split(' ') {
        if column > 0 {
            if column + 1 + word.len() > width && !word.is_empty() {
                out.push_str(soft);
                out.push('\n');
                column = 0;
            } else {
                out.push(' ');
                column += 1;
            }
        }
        out.push_str(word);
        column += word.len();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Confidence, Zone};

    fn shown(text: &str) -> Text {
        let mut shown = Text::default();
        shown.push_verbatim(text, 0);
        shown
    }

    fn notice(plain: &str) -> Notice {
        Notice { name: "n".into(), plain: plain.into(), html: String::new(), ..Notice::default() }
    }

    #[test]
    fn breaks_in_front_and_behind() {
        let table: [(&str, bool, bool, &str); 9] = [
            ("", true, true, "N\n"),
            ("", true, false, "N"),
            ("Hi", true, true, "\n\nN"),
            ("Hi\r\n", true, true, "\nN\n"),
            ("Hi\r\n\r\n\r\n", true, true, "N\n"),
            ("\r\n", true, true, "N\n"),
            ("  ", true, true, "\nN"),
            ("Hi\r\n\r\n", false, true, "N\n\n"),
            ("-- \r\nMe\r\n", true, true, "\nN\n"),
        ];
        for (before, at_end, whole_body, expected) in table {
            let composed = compose(&[&notice("N")], before.as_bytes(), at_end, whole_body, Lines::Fixed);
            assert_eq!(composed, expected, "{before:?}");
        }
    }

    #[test]
    fn flowed_lines_are_stuffed_and_broken_softly() {
        let lines = Lines::Flowed { delete_space: false };
        let text = format!("> not a quote\nFrom here\n{}", "word ".repeat(30));
        let composed = compose(&[&notice(&text)], b"Hi \r\n", true, true, lines);
        assert!(composed.starts_with("\n\n > not a quote\n From here\nword word"), "{composed:?}");
        assert!(composed.lines().all(|line| line.len() <= 73));
        let words: Vec<&str> = composed.trim_end().lines().skip(4).collect();
        assert!(words.len() > 1 && words[..words.len() - 1].iter().all(|line| line.ends_with("word ")), "{composed:?}");
    }

    #[test]
    fn the_quote_behind_all_own_text() {
        let mut text = shown("Hi\n\nOn Monday:\n> old\n\n");
        let own = |range| Passage::sure(range, Zone::Own);
        let quoted = |range| Passage::sure(range, Zone::Quoted);
        text.set_zones(vec![own(0..4), quoted(4..21), own(21..22)]);
        assert_eq!(trailing_quote(&text), Some(4));
        text.set_zones(vec![quoted(0..4), own(4..22)]);
        assert_eq!(trailing_quote(&text), None);
        text.set_zones(vec![own(0..4), Passage { confidence: Confidence::Low, ..quoted(4..21) }, own(21..22)]);
        assert_eq!(trailing_quote(&text), None, "it may be the author's own");
    }
}
