use super::*;
use crate::mail::html_text;

pub(super) const REPLY: Context = Context { reply: true, forward: false };
pub(super) const FORWARD: Context = Context { reply: false, forward: true };
pub(super) const NEITHER: Context = Context { reply: false, forward: false };

fn letter(text: &[Passage], at: usize) -> char {
    let passage = text.iter().find(|passage| passage.range.contains(&at)).expect("a zone everywhere");
    let letter = match passage.zone {
        Zone::Own => 'O',
        Zone::Quoted => 'Q',
        Zone::Forwarded => 'F',
        Zone::Signature => 'S',
        Zone::Notice => 'N',
        Zone::Header | Zone::Attachment => unreachable!("no zone of a text"),
    };
    if passage.confidence == Confidence::High { letter } else { letter.to_ascii_lowercase() }
}

/// The lines that are not empty, each with its letter.
fn lettered(text: &str, marks: &Marks, context: Context) -> Vec<String> {
    let found = of_lines(text, marks, context);
    assert_eq!(found.first().map_or(0, |passage| passage.range.start), 0);
    assert_eq!(found.last().map_or(0, |passage| passage.range.end), text.len());
    assert!(
        found.windows(2).all(|two| two[0].range.end == two[1].range.start && two[0].range.start < two[0].range.end)
    );
    let mut at = 0;
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        if !line.trim().is_empty() {
            lines.push(format!("{} {}", letter(&found, at), line.trim_end()));
        }
        at += line.len();
    }
    lines
}

/// `lines`: each behind its letter.
pub(super) fn check(name: &str, context: Context, lines: &str) {
    let lines: Vec<&str> = lines.split('\n').map(|line| line.trim_start()).filter(|line| !line.is_empty()).collect();
    let text: Vec<&str> = lines.iter().map(|line| line.get(2..).unwrap_or("")).collect();
    let expected: Vec<String> = lines
        .iter()
        .filter(|line| line.len() > 2 && !line[2..].trim().is_empty())
        .map(|line| line.trim_end().to_string())
        .collect();
    for newline in ["\n", "\r\n"] {
        let text = text.join(newline) + newline;
        assert_eq!(lettered(&text, &Marks::default(), context), expected, "{name}");
    }
}

/// The lines that a reader sees of HTML.
pub(super) fn check_html(name: &str, context: Context, html: &str, expected: &str) {
    let rendered = html_text::render(html);
    let expected: Vec<&str> = expected.split('\n').map(str::trim).collect();
    assert_eq!(lettered(&rendered.text, &rendered.marks, context), expected, "{name}");
}
