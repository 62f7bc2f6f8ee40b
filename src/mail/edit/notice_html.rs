//! A notice in text/html: the element that carries it, and the place before the closing `</body>`.

use super::Notice;

/// Longest line that is written raw.
const LONGEST: usize = 900;

/// The notice as an element of its own, ASCII only: what the part's charset may not carry is a numeric character
/// reference. No colours, so that dark mode shows it. Line breaks as LF.
pub(super) fn element(notice: &Notice, continues: bool) -> String {
    let inner = if notice.html.trim().is_empty() { from_plain(&notice.plain) } else { notice.html.replace('\r', "") };
    let mut ascii = String::with_capacity(inner.len() + 64);
    ascii.push_str(if continues { "<div style=\"margin:0\">" } else { "<div style=\"margin:1em 0 0\">" });
    for c in inner.trim().chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            ascii.push_str(&format!("&#{};", u32::from(c)));
        }
    }
    ascii.push_str("</div>");
    break_long_lines(&ascii)
}

/// Paragraphs and line breaks of the plain form, escaped.
pub(super) fn from_plain(plain: &str) -> String {
    let plain = plain.replace('\r', "");
    let mut paragraphs: Vec<Vec<&str>> = vec![Vec::new()];
    for line in plain.trim().lines().map(str::trim_end) {
        match paragraphs.last_mut() {
            Some(last) if !line.is_empty() => last.push(line),
            Some(last) if !last.is_empty() => paragraphs.push(Vec::new()),
            _ => {}
        }
    }
    let written = paragraphs.iter().filter(|lines| !lines.is_empty()).map(|lines| {
        let lines: Vec<String> = lines.iter().map(|line| escape(line)).collect();
        format!("<p>{}</p>", lines.join("<br>\n"))
    });
    written.collect::<Vec<_>>().join("\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// White space is the same to HTML whether space or line break.
fn break_long_lines(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    for (index, line) in html.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let mut column = 0;
        for (index, word) in line.split(' ').enumerate() {
            let breaks = column + 1 + word.len() > LONGEST;
            if index > 0 {
                out.push(if breaks { '\n' } else { ' ' });
                column = if breaks { 0 } else { column + 1 };
            }
            out.push_str(word);
            column += word.len();
        }
    }
    out
}

/// The text of a fragment of ours as a reader sees it: markup out, the common character references read. For
/// recognising a notice and for deriving its plain form; never for judging a stranger's HTML.
pub(super) fn shown(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = if rest.starts_with('<') { rest.find('>') } else { rest.find(';').filter(|end| *end < 12) };
        let Some(end) = end else {
            out.push_str(&rest[..1]);
            rest = &rest[1..];
            continue;
        };
        let inside = &rest[1..end];
        if rest.starts_with('<') {
            let name: String = inside.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
            match name.to_ascii_lowercase().as_str() {
                "p" | "h1" | "h2" | "h3" | "ul" | "ol" | "table" | "blockquote" => out.push_str("\n\n"),
                "br" | "div" | "tr" | "li" | "hr" => out.push('\n'),
                _ => {}
            }
        } else {
            match reference(inside) {
                Some(c) => out.push(c),
                None => out.push_str(&rest[..=end]),
            }
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    tidy(&out)
}

fn reference(name: &str) -> Option<char> {
    let numeric = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        "pound" => Some('£'),
        "copy" => Some('©'),
        "ndash" => Some('–'),
        "mdash" => Some('—'),
        _ => match name.strip_prefix('#')?.strip_prefix(['x', 'X']) {
            Some(digits) => numeric(digits, 16),
            None => numeric(&name[1..], 10),
        },
    }
}

/// Blanks folded within lines, at most one empty line in a row.
fn tidy(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")) {
        if !line.is_empty() || lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(line);
        }
    }
    lines.join("\n").trim().to_owned()
}

/// Where the element goes: before the last closing `</body>`, else `</html>`, that a browser would see as such,
/// else at the end; never inside a comment, script or tag that does not end. One pass.
pub(super) fn place(html: &[u8]) -> usize {
    let (mut body, mut root) = (None, None);
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'<', &html[at..]) {
        let start = at + found;
        let rest = &html[start..];
        let length = if rest.starts_with(b"<!--") {
            comment_length(rest)
        } else if rest.get(1).is_some_and(|byte| matches!(byte, b'!' | b'?')) {
            memchr::memchr(b'>', rest).map(|at| at + 1)
        } else if rest.get(1) == Some(&b'/') && rest.get(2).is_some_and(u8::is_ascii_alphabetic) {
            if is_tag(&rest[2..], b"body") {
                body = Some(start);
            } else if is_tag(&rest[2..], b"html") {
                root = Some(start);
            }
            tag_length(rest)
        } else if rest.get(1).is_some_and(u8::is_ascii_alphabetic) {
            tag_length(rest).and_then(|tag| raw_text_length(&rest[1..], &rest[tag..]).map(|raw| tag + raw))
        } else {
            Some(1)
        };
        match length {
            Some(length) => at = start + length,
            None => return body.or(root).unwrap_or(start).min(start),
        }
    }
    body.or(root).unwrap_or(html.len())
}

/// Elements in which a `<div>` does not belong, or would be a part of what they are.
const NO_PLACE: [&[u8]; 16] = [
    b"a",
    b"button",
    b"colgroup",
    b"dl",
    b"ol",
    b"option",
    b"pre",
    b"select",
    b"svg",
    b"table",
    b"tbody",
    b"tfoot",
    b"thead",
    b"tr",
    b"ul",
    b"head",
];

/// Elements without an end tag (HTML 13.1.2).
const VOID: [&[u8]; 14] = [
    b"area", b"base", b"br", b"col", b"embed", b"hr", b"img", b"input", b"link", b"meta", b"param", b"source",
    b"track", b"wbr",
];

/// In front of the outermost of the elements that begin directly before the text at `visible`, and of a rule above them. The
/// text stands up to `slack` bytes further on. None where no `<div>` can stand, or where other text stands before it
/// without any markup between them. One pass.
pub(super) fn in_front_of(html: &[u8], visible: usize, slack: usize) -> Option<usize> {
    let mut open: Vec<&[u8]> = Vec::new();
    // Where the unbroken row of start tags began, and how many elements were open there.
    let mut row: Option<(usize, usize)> = None;
    let mut at = 0;
    while at < html.len() {
        let rest = &html[at..];
        let length = if rest[0] != b'<' {
            let length = memchr::memchr(b'<', rest).unwrap_or(rest.len());
            let text = &html[at..at + length];
            if at + length > visible {
                let before = &html[at..visible.max(at)];
                let (place, depth) = row.unwrap_or((at, open.len()));
                let fits =
                    open[..depth].last().is_none_or(|name| !NO_PLACE.iter().any(|no| name.eq_ignore_ascii_case(no)));
                return (before.trim_ascii().len() <= slack && fits).then_some(place);
            }
            row = row.filter(|_| text.trim_ascii().is_empty());
            length
        } else if rest.starts_with(b"<!--") {
            row = None;
            comment_length(rest)?
        } else if rest.get(1).is_some_and(|byte| matches!(byte, b'!' | b'?')) {
            row = None;
            memchr::memchr(b'>', rest)? + 1
        } else if rest.get(1) == Some(&b'/') {
            row = None;
            let name = tag_name(&rest[2..]);
            if let Some(depth) = open.iter().rposition(|open| open.eq_ignore_ascii_case(name)) {
                open.truncate(depth);
            }
            tag_length(rest)?
        } else if rest.get(1).is_some_and(u8::is_ascii_alphabetic) {
            let (name, tag) = (tag_name(&rest[1..]), tag_length(rest)?);
            let is = |names: &[&[u8]]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
            let raw = raw_text_length(&rest[1..], &rest[tag..])?;
            if is(&[b"html", b"head", b"body"]) || raw > 0 {
                row = None;
            } else if is(&[b"hr"]) || !is(&VOID) {
                row = row.or(Some((at, open.len())));
            } else {
                row = None;
            }
            if !is(&VOID) && open.len() < DEEPEST {
                open.push(name);
            }
            tag + raw
        } else {
            row = None;
            1
        };
        at += length;
    }
    None
}

/// Deeper than any browser shows.
const DEEPEST: usize = 500;

fn tag_name(rest: &[u8]) -> &[u8] {
    let end = rest.iter().position(|byte| matches!(byte, b'>' | b'/') || byte.is_ascii_whitespace());
    &rest[..end.unwrap_or(rest.len())]
}

fn is_tag(rest: &[u8], name: &[u8]) -> bool {
    rest.len() >= name.len()
        && rest[..name.len()].eq_ignore_ascii_case(name)
        && rest.get(name.len()).is_none_or(|byte| matches!(byte, b'>' | b'/') || byte.is_ascii_whitespace())
}

/// `<!-->` and `<!--->` are whole comments too (HTML 13.2.5.43).
fn comment_length(rest: &[u8]) -> Option<usize> {
    if rest[4..].starts_with(b">") {
        return Some(5);
    }
    if rest[4..].starts_with(b"->") {
        return Some(6);
    }
    let plain = memchr::memmem::find(&rest[4..], b"-->").map(|at| at + 7);
    let bang = memchr::memmem::find(&rest[4..plain.unwrap_or(rest.len())], b"--!>").map(|at| at + 8);
    bang.or(plain)
}

/// To behind the `>` that is not inside a quoted attribute.
fn tag_length(rest: &[u8]) -> Option<usize> {
    let mut quote = None;
    let mut value_begins = false;
    for (at, byte) in rest.iter().enumerate().skip(1) {
        match (quote, byte) {
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'>') => return Some(at + 1),
            // A quote opens a value only behind `=`; elsewhere it is an odd character of a name.
            (None, b'"' | b'\'') if value_begins => quote = Some(byte),
            (None, _) => {}
        }
        value_begins = *byte == b'=' || (value_begins && byte.is_ascii_whitespace());
    }
    None
}

/// How far the text of an element reaches in which markup is not read; 0 for all other elements.
fn raw_text_length(name: &[u8], behind: &[u8]) -> Option<usize> {
    const RAW: [&[u8]; 9] =
        [b"script", b"style", b"textarea", b"title", b"xmp", b"iframe", b"noembed", b"noframes", b"plaintext"];
    let Some(raw) = RAW.iter().find(|raw| is_tag(name, raw)) else { return Some(0) };
    let mut at = 0;
    while let Some(found) = memchr::memmem::find(&behind[at..], b"</") {
        let close = at + found;
        if is_tag(&behind[close + 2..], raw) {
            return Some(close);
        }
        at = close + 2;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_real_end_of_the_body() {
        // The place is written as `|`.
        for marked in [
            "<html><body>Hi|</body></html>",
            "<p>Hi</p>|",
            "<html>Hi|</html>",
            "Hi|",
            "|",
            "<body>a</body>b|</BODY >",
            "<body>a|</body><!-- </body> -->",
            "<body>a|</body><script>'</body>'</script>",
            "<body><a title=\"</body>\">x</a>|</body>",
            "<body><p a'b>x|</body>",
            "<body>a < b</bodyguard>|</body>",
            "<p>a|<!-- never closed </body>",
            "<p>a|<style>p {} </body>",
            "<body>a|</body><!-- never closed",
            "<p>a|<a href=\"</body>",
            "<body>a<!--></body>-->|",
            "<body>x<!-- --!>|</body>",
            "<body><textarea></body></textarea>x|</body>",
            "<body>a|</body",
            "<![endif]-->x|</body>",
        ] {
            let at = marked.find('|').unwrap();
            let html = marked.replacen('|', "", 1);
            let found = place(html.as_bytes());
            if marked.contains("-->|") {
                assert_eq!(found, html.find("</body>").unwrap(), "{marked}");
            } else {
                assert_eq!(found, at, "{marked}");
            }
        }
    }

    #[test]
    fn in_front_of_what_a_quotation_begins_with() {
        // The place is written as `|`; the quotation begins with `Q`. Without `|` there is none.
        for marked in [
            "<body><div>Own</div><br>|<div class=gmail_quote><div class=gmail_attr>Q wrote:<br></div><blockquote>x",
            "<div><br>|<blockquote type=cite><div>Q wrote</div></blockquote></div>",
            "<body><p>Own</p>|<hr tabindex=-1><div id=divRplyFwdMsg><font><b>Q</b>",
            "<body><div class=WordSection1><p>Own</p>|<div>\r\n<div style='border-top:solid'><p><b><span>Q:</span>",
            "<html><head><title>t</title></head><body>|<blockquote>Q</blockquote>",
            "|<table><tr><td>Q",
            "<table><tr><td>Own</td></tr><tr><td>Q",
            "<ul><li>Own</li><li>Q</li></ul>",
            "<p>Own<br>|Q",
            "<pre>Own\nQ",
            "<div>Own\nQ",
            "<p>Own</p><!-- <div> -->|<div>Q",
            "<a href=x>Own <b>Q</b></a>",
        ] {
            let html = marked.replacen('|', "", 1);
            let quote = html.find('Q').unwrap();
            assert_eq!(in_front_of(html.as_bytes(), quote, 0), marked.find('|'), "{marked}");
            if marked.contains('|') && !marked.contains("|Q") {
                assert_eq!(in_front_of(html.as_bytes(), quote - 2, 2), marked.find('|'), "{marked}");
            }
        }
    }

    #[test]
    fn long_input_takes_linear_time() {
        for piece in ["<script>", "<!--", "</body", "<a \"", "<title></titl"] {
            let html = piece.repeat(200_000);
            let start = std::time::Instant::now();
            place(html.as_bytes());
            in_front_of(html.as_bytes(), html.len(), 0);
            assert!(start.elapsed().as_secs() < 5, "{piece}");
        }
    }

    #[test]
    fn an_element_of_ascii() {
        let notice = |plain: &str, html: &str| Notice {
            name: "n".into(),
            plain: plain.into(),
            html: html.into(),
            ..Notice::default()
        };
        assert_eq!(
            element(&notice("A & B <c>\nline\n\nPound £", ""), false),
            "<div style=\"margin:1em 0 0\"><p>A &amp; B &lt;c&gt;<br>\nline</p>\n<p>Pound &#163;</p></div>"
        );
        assert_eq!(
            element(&notice("x", "<p>Grüße</p>"), false),
            "<div style=\"margin:1em 0 0\"><p>Gr&#252;&#223;e</p></div>"
        );
        let long = element(&notice(&"word ".repeat(500), ""), false);
        assert!(long.lines().all(|line| line.len() <= 998));
    }

    #[test]
    fn a_fragment_as_shown() {
        assert_eq!(shown("<p>A &amp; B</p><p>c<br>d&nbsp;&#163;&#x41;</p>"), "A & B\n\nc\nd £A");
        assert_eq!(shown("a & b < c"), "a & b < c");
    }
}
