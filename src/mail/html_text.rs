//! HTML as displayed, with the way back to the source, in one linear pass.
//!
//! Errs on the side of showing: what some mail program may display (text made invisible by style, comments for Outlook
//! only, the text for an image that is not loaded) is text here. Scripts, styles and comments are not.

use super::{
    html_entities,
    html_marks::{Marker, Marks},
    html_tag::{Tag, attribute, comment_end, lower, raw_text_end, read_tag},
    source_map::SourceMap,
};
use memchr::memchr;

/// The text and which stretches the markup itself calls quoted, forwarded or a signature.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    pub text: String,
    pub map: SourceMap,
    pub marks: Marks,
}

/// Renders `html`.
pub(super) fn render(html: &str) -> Rendered {
    let mut renderer = Renderer {
        html,
        out: Rendered { text: String::with_capacity(html.len() / 2), ..Rendered::default() },
        space: None,
        preformatted: 0,
        marker: Marker::default(),
    };
    renderer.run();
    renderer.out
}

struct Renderer<'a> {
    html: &'a str,
    out: Rendered,
    /// White space that stands before the next visible character.
    space: Option<usize>,
    preformatted: usize,
    marker: Marker,
}

impl<'a> Renderer<'a> {
    fn run(&mut self) {
        let mut at = 0;
        while at < self.html.len() {
            at = match self.html.as_bytes()[at] {
                b'<' => self.markup(at),
                b'&' => self.reference(at),
                _ => self.characters(at),
            };
        }
        self.out.marks = std::mem::take(&mut self.marker).finish(self.out.text.len());
    }

    /// Text up to the next markup; white space is folded (CSS white-space: normal).
    fn characters(&mut self, start: usize) -> usize {
        let bytes = self.html.as_bytes();
        let mut at = start;
        while at < bytes.len() && !matches!(bytes[at], b'<' | b'&') {
            if !bytes[at].is_ascii_whitespace() {
                let run = at;
                // Single spaces between words belong to the run, so that most text is one piece.
                while at < bytes.len() {
                    let byte = bytes[at];
                    let single_space = byte == b' '
                        && bytes
                            .get(at + 1)
                            .is_some_and(|next| !next.is_ascii_whitespace() && !matches!(next, b'<' | b'&'));
                    if matches!(byte, b'<' | b'&') || (byte.is_ascii_whitespace() && !single_space) {
                        break;
                    }
                    at += 1;
                }
                self.flush_space();
                self.out.map.push_verbatim(at - run, run);
                self.out.text.push_str(&self.html[run..at]);
            } else if self.preformatted > 0 {
                self.out.map.push_verbatim(1, at);
                self.out.text.push(bytes[at] as char);
                at += 1;
            } else {
                self.space.get_or_insert(at);
                at += 1;
            }
        }
        at
    }

    fn flush_space(&mut self) {
        let Some(at) = self.space.take() else { return };
        if self.is_at_line_start() || self.out.text.ends_with('\t') {
            return;
        }
        // A tab is shown as a space, but what was pasted from a table keeps its columns by it.
        let shown = if self.html.as_bytes()[at] == b'\t' { '\t' } else { ' ' };
        if shown as u8 == self.html.as_bytes()[at] {
            self.out.map.push_verbatim(1, at);
        } else {
            self.out.map.push_whole(1, at..at + 1);
        }
        self.out.text.push(shown);
    }

    fn is_at_line_start(&self) -> bool {
        self.out.text.is_empty() || self.out.text.ends_with('\n')
    }

    fn reference(&mut self, at: usize) -> usize {
        let mut decoded = String::new();
        let length = html_entities::decode(&self.html[at..], &mut decoded);
        self.flush_space();
        match length {
            Some(length) => {
                self.out.map.push_whole(decoded.len(), at..at + length);
                self.out.text.push_str(&decoded);
                at + length
            }
            None => {
                self.out.map.push_verbatim(1, at);
                self.out.text.push('&');
                at + 1
            }
        }
    }

    fn markup(&mut self, at: usize) -> usize {
        let rest = &self.html[at..];
        match rest.as_bytes().get(1) {
            Some(b'!') if rest.starts_with("<!--") => comment_end(self.html, at),
            Some(b'!' | b'?') => self.behind_bracket(at),
            Some(b'/') if !rest.as_bytes().get(2).is_some_and(u8::is_ascii_alphabetic) => self.behind_bracket(at),
            Some(byte) if *byte == b'/' || byte.is_ascii_alphabetic() => self.tag(at),
            _ => {
                self.flush_space();
                self.out.map.push_verbatim(1, at);
                self.out.text.push('<');
                at + 1
            }
        }
    }

    fn behind_bracket(&self, at: usize) -> usize {
        memchr(b'>', &self.html.as_bytes()[at..]).map_or(self.html.len(), |length| at + length + 1)
    }

    fn tag(&mut self, at: usize) -> usize {
        let tag = read_tag(self.html, at);
        let mut name = [0; 12];
        let Some(name) = lower(tag.name, &mut name) else { return tag.end };
        match name {
            "script" | "style" | "title" | "iframe" | "noembed" | "noframes" if !tag.closes => {
                return raw_text_end(self.html, tag.end, name);
            }
            "br" | "hr" => self.end_line(at, true),
            "td" | "th" => self.separate_cell(at),
            "pre" | "textarea" | "xmp" | "listing" => {
                self.end_line(at, false);
                self.preformatted =
                    if tag.closes { self.preformatted.saturating_sub(1) } else { self.preformatted.saturating_add(1) };
            }
            "img" => self.alternative_text(&tag),
            _ if is_block(name) => self.end_line(at, false),
            _ => {}
        }
        match tag.closes {
            false => self.marker.open(name, tag.attributes, self.out.text.len()),
            true => self.marker.close(name, self.out.text.len()),
        }
        tag.end
    }

    /// Ends the line; an empty one only where the source asks for it.
    fn end_line(&mut self, at: usize, always: bool) {
        self.space = None;
        if always || !self.is_at_line_start() {
            self.out.map.push_whole(1, at..at + 1);
            self.out.text.push('\n');
        }
    }

    fn separate_cell(&mut self, at: usize) {
        self.space = None;
        if !self.is_at_line_start() && !self.out.text.ends_with('\t') {
            self.out.map.push_whole(1, at..at + 1);
            self.out.text.push('\t');
        }
    }

    fn alternative_text(&mut self, tag: &Tag<'a>) {
        let Some(text) = attribute(tag.attributes, "alt").filter(|text| !text.trim().is_empty()) else { return };
        let mut decoded = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(found) = memchr(b'&', &text.as_bytes()[at..]) {
            decoded.push_str(&text[at..at + found]);
            at += found;
            match html_entities::decode(&text[at..], &mut decoded) {
                Some(length) => at += length,
                None => {
                    decoded.push('&');
                    at += 1;
                }
            }
        }
        decoded.push_str(&text[at..]);
        self.space = self.space.or(Some(tag.end - 1));
        self.flush_space();
        let start = text.as_ptr() as usize - self.html.as_ptr() as usize;
        self.out.map.push_whole(decoded.len(), start..start + text.len());
        self.out.text.push_str(&decoded);
        self.space = Some(tag.end - 1);
    }
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "p" | "div"
            | "li"
            | "ul"
            | "ol"
            | "dl"
            | "dt"
            | "dd"
            | "tr"
            | "table"
            | "tbody"
            | "thead"
            | "tfoot"
            | "caption"
            | "blockquote"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "body"
            | "html"
            | "head"
            | "section"
            | "article"
            | "header"
            | "footer"
            | "main"
            | "nav"
            | "aside"
            | "address"
            | "form"
            | "fieldset"
            | "legend"
            | "figure"
            | "figcaption"
            | "center"
            | "details"
            | "summary"
            | "option"
            | "select"
            | "button"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(html: &str) -> String {
        render(html).text
    }

    #[test]
    fn as_displayed() {
        for (html, expected) in [
            ("plain", "plain"),
            ("<p>one</p><p>two</p>", "one\ntwo\n"),
            ("a<br>b<br/>c", "a\nb\nc"),
            ("<b>bo</b>ld wo<i>rd</i>s", "bold words"),
            ("  much \r\n\t white  space ", "much white space"),
            ("a\tb\t c\n\td", "a\tb\tc d"),
            ("<td>a</td><td>b</td></tr><tr><td>c", "a\tb\t\nc"),
            ("a &lt;b&gt; &amp; &eacute;&#8364;", "a <b> & é€"),
            ("<style>p { color: red }</style>x<script>if (a</b) {}</script>y", "xy"),
            ("<STYLE type='a>b'>hidden</StyLe >x", "x"),
            ("<!-- hidden > still -->x<!-- a --!>y", "xy"),
            ("<!--[if mso]><p>outlook</p><![endif]-->x", "outlook\nx"),
            ("<a title='x > y' href=\"z\">link</a>", "link"),
            ("1 < 2 and <3", "1 < 2 and <3"),
            ("<pre>a\n  b</pre>", "a\n  b\n"),
            ("<ul><li>a<li>b</ul>", "a\nb\n"),
            ("x<img src=y alt='a &amp; b'>z", "x a & b z"),
            ("<title>no</title><p>yes", "yes"),
            ("<head><meta charset=utf-8></head>x", "x"),
            ("<span style='display:none'>still here</span>", "still here"),
            ("unclosed <a href='", "unclosed"),
            ("</p>x</", "x"),
            ("x<!-- open", "x"),
        ] {
            assert_eq!(shown(html), expected, "{html}");
            assert_eq!(render(html).map.len(), expected.len(), "{html}");
        }
    }

    #[test]
    fn offsets_lead_back() {
        let html = "<p>QQ&nbsp;12 <b>34</b></p>";
        let rendered = render(html);
        assert_eq!(rendered.text, "QQ\u{a0}12 34\n");
        let end = rendered.text.len() - 1;
        assert_eq!(&html[rendered.map.source(0..end)], "QQ&nbsp;12 <b>34");
    }

    #[test]
    fn marks() {
        use crate::mail::html_marks::Sign::{self, Attribution, Block, Forward, Quotation, Signature};
        let stretches = |html: &str| {
            let rendered = render(html);
            let stretch =
                |(range, sign): &(std::ops::Range<usize>, Sign)| (rendered.text[range.clone()].to_string(), *sign);
            rendered.marks.stretches.iter().map(stretch).collect::<Vec<_>>()
        };
        for (html, expected) in [
            ("a<blockquote>b<blockquote>c</blockquote>d</blockquote>e", vec![("b\nc\nd\n", Block)]),
            ("a<blockquote type='cite'>b</blockquote>e", vec![("b\n", Quotation)]),
            ("a<blockquote style='BORDER-LEFT: #000 2px solid'>b</blockquote>e", vec![("b\n", Quotation)]),
            ("a<blockquote style='margin:0 0 0 40px; border: none'>b</blockquote>", vec![]),
            ("<div>a<div class=\"x gmail_quote\">b<div>c</div>d</div>e</div>", vec![("b\nc\nd\n", Quotation)]),
            (
                "<div class=gmail_quote><div class=gmail_attr>h</div><blockquote class=gmail_quote>b</blockquote>c</div>",
                vec![("h\n", Attribution), ("b\n", Quotation)],
            ),
            ("<div id=x_yahoo_quoted_12>b</div>c", vec![("b\n", Quotation)]),
            ("<span id=OLK_SRC_BODY_SECTION><span>b</span>c</span>d", vec![("bc", Quotation)]),
            ("<div name=quote>b</div>", vec![("b\n", Quotation)]),
            ("<div class=moz-forward-container>b</div>", vec![("b\n", Forward)]),
            (
                "<div id=Signature>a<blockquote type=cite>b</blockquote></div>",
                vec![("a\n", Signature), ("b\n", Quotation)],
            ),
            ("a<div id=Signature>b", vec![("b", Signature)]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(text, sign)| (text.to_string(), sign)).collect();
            assert_eq!(stretches(html), expected, "{html}");
        }
    }

    #[test]
    fn heads_and_frames() {
        let heads = |html: &str| {
            let heads = render(html).marks.heads;
            heads.iter().map(|head| (head.at, head.certain)).collect::<Vec<_>>()
        };
        assert_eq!(heads("a<div id=appendonsend></div><hr><div id=divRplyFwdMsg>From"), [(3, true), (3, true)]);
        assert_eq!(heads("a<div id=appendonsend></div><p>mine</p><hr>b"), []);
        assert_eq!(heads("a<hr id=zwchr>b"), [(2, true)]);
        assert_eq!(heads("a<div style='border:none;border-top:solid #E1E1E1 1.0pt'>From"), [(2, false)]);
        assert_eq!(heads("<blockquote type=cite>a<div id=divRplyFwdMsg>b</div></blockquote>"), []);
        assert_eq!(render("a<div class=gmail_quote>b</div>c").marks.frames.first(), Some(&(2..4)));
    }
}
