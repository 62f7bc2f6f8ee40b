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

/// `OUTGATE_HOSTILE_BYTES`: how long the text is; small, but long enough that looking at all that follows from each
/// line would take minutes.
fn hostile(pieces: &[&str], read: impl Fn(&str)) {
    let bytes = std::env::var("OUTGATE_HOSTILE_BYTES").ok().and_then(|bytes| bytes.parse().ok()).unwrap_or(200_000);
    let mut slowest = (std::time::Duration::ZERO, "");
    for piece in pieces {
        let text = piece.repeat(bytes / piece.len());
        let start = std::time::Instant::now();
        read(&text);
        let took = start.elapsed();
        assert!(took.as_secs() < 5, "{piece:?}: {took:?} for {bytes} bytes");
        slowest = slowest.max((took, piece));
    }
    println!("slowest of {bytes} bytes: {:?} for {:?}", slowest.0, slowest.1);
}

#[test]
fn hostile_text_takes_linear_time() {
    let pieces = [
        ">\n",
        "> \nx\n",
        "On \n",
        "On 1 June 2026 at 09:12, Ben\n",
        "On 1 June 2026 at 09:12, Ben wrote:\n",
        "On 1 June 2026 at 09:12, Ben wrote:\n\n\n> x\ny\n",
        "Ben <ben@partner.example>\n",
        "x:\n",
        "From: a\n",
        "From: a\nSubject: b\n",
        "From: a\nSubject: b\nTo: c\n",
        "-----\n",
        "-- \n",
        "__\nx\n",
        "\n",
        "Begin forwarded message:\n",
        "Sent from my iPhone\n\n",
        "Kind regards\n",
        "This email is confidential, please delete it.\n\n",
        "in red ",
        "> ",
        "On 1:23 a@b <",
    ];
    hostile(&pieces, |text| {
        for context in [REPLY, NEITHER] {
            of_lines(text, &Marks::default(), context);
        }
    });
}

#[test]
fn hostile_markup_takes_linear_time() {
    let pieces = [
        "<blockquote>x",
        "<blockquote type=cite>x</blockquote>y<br>",
        "<div class=gmail_quote>x",
        "<div class=gmail_quote>x</div>",
        "<div class=gmail_attr>x</div>",
        "<hr id=zwchr>From: x<br>",
        "<div id=divRplyFwdMsg>x</div>",
        "<span id=OLK_SRC_BODY_SECTION>x</span>",
        "<div id=Signature>x</div>On 1:23 a@b wrote:<br>",
    ];
    hostile(&pieces, |html| {
        let rendered = html_text::render(html);
        of_lines(&rendered.text, &rendered.marks, REPLY);
    });
}

#[test]
fn text_that_changes_too_often_is_the_authors_own() {
    let text = "> x\ny\n".repeat(MOST_PASSAGES);
    let found = of_lines(&text, &Marks::default(), REPLY);
    assert!(found.len() <= MOST_PASSAGES + 1, "{}", found.len());
    assert_eq!(found.last().map(|passage| passage.zone), Some(Zone::Own));
}
