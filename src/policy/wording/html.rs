//! HTML with fields: a fragment as it stands within `<body>`, of elements that every mail program shows, each closed. A line
//! with a field that is not known is left out, with its line break; so is a table row, and an element in which nothing is left.

use super::{
    Reading, Values,
    field::{Piece, pieces},
    plain::Plain,
};
use crate::mail::{Address, html_as_text};
use std::ops::Range;

/// What begins a line of its own.
const BLOCKS: [&str; 21] = [
    "p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "table", "thead", "tbody",
    "tfoot", "tr", "td", "th",
];
const INLINE: [&str; 12] = ["a", "b", "i", "u", "s", "em", "strong", "small", "span", "font", "sub", "sup"];
const ATTRIBUTES: [&str; 17] = [
    "align",
    "bgcolor",
    "border",
    "cellpadding",
    "cellspacing",
    "color",
    "colspan",
    "dir",
    "face",
    "href",
    "lang",
    "role",
    "rowspan",
    "size",
    "style",
    "title",
    "valign",
];
const SIZES: [&str; 2] = ["height", "width"];
const LINKS: [&str; 4] = ["https://", "http://", "mailto:", "tel:"];

/// RFC 5322 2.1.1: a notice must never be what makes a line too long.
const LONGEST_LINE: usize = 998;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Html {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Text(Vec<Piece>),
    /// `<br>` or `<hr>`, as written.
    Break(String),
    Element(Element),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Element {
    name: &'static str,
    attributes: Vec<Attribute>,
    children: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Attribute {
    name: String,
    quote: char,
    value: Vec<Piece>,
}

impl Html {
    pub fn read(reading: &mut Reading<'_>) -> Self {
        long_lines(reading);
        let mut parser = Parser { open: Vec::new(), children: Vec::new(), refused: Vec::new() };
        parser.run(reading);
        Self { nodes: parser.children }
    }

    /// Paragraphs and lines of the plain form, escaped, its addresses as links.
    pub fn from_plain(plain: &Plain) -> Self {
        let paragraphs = plain.lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty());
        let nodes = paragraphs.map(|lines| {
            let mut children = Vec::new();
            for line in lines {
                if !children.is_empty() {
                    children.push(Node::Break("<br>".into()));
                }
                let linked = |piece: &Piece| match piece {
                    Piece::Text(text) => Piece::Text(linked(text)),
                    slot => slot.clone(),
                };
                children.push(Node::Text(line.iter().map(linked).collect()));
            }
            Node::Element(Element { name: "p", attributes: Vec::new(), children })
        });
        Self { nodes: nodes.collect() }
    }

    pub fn is_empty(&self) -> bool {
        let blank = |piece: &Piece| matches!(piece, Piece::Text(text) if text.trim().is_empty());
        self.nodes.iter().all(|node| matches!(node, Node::Text(pieces) if pieces.iter().all(blank)))
    }

    pub fn is_fixed(&self) -> bool {
        !self.nodes.iter().any(|node| node.any_piece(&|piece| !matches!(piece, Piece::Text(_))))
    }

    pub fn fill(&self, values: &Values<'_>) -> String {
        filled(&self.nodes, values).html.trim().to_owned()
    }

    /// As plain text, without fields: links with their address, lists with a sign.
    pub fn readable(&self) -> String {
        let mut out = String::new();
        self.nodes.iter().for_each(|node| node.read_out(&mut out));
        let text = out.trim();
        if text.is_empty() { String::new() } else { format!("{text}\n") }
    }
}

fn long_lines(reading: &mut Reading<'_>) {
    let mut at = 0;
    let lines: Vec<Range<usize>> = reading
        .text()
        .split_inclusive('\n')
        .map(|line| {
            at += line.len();
            at - line.len()..at
        })
        .collect();
    for line in lines.into_iter().filter(|line| line.len() > LONGEST_LINE) {
        let allowed = format!("allowed: lines up to {LONGEST_LINE} bytes");
        reading.mistake(line.start..line.start + 1, "a line of a notice is too long for mail", &allowed);
    }
}

struct Parser {
    /// Elements that are not closed yet, with what stood before each, and the places of their tags.
    open: Vec<(Element, Vec<Node>, Range<usize>)>,
    children: Vec<Node>,
    /// Elements whose tag was a mistake: their end is not another one.
    refused: Vec<String>,
}

impl Parser {
    fn run(&mut self, reading: &mut Reading<'_>) {
        let text = reading.text().to_owned();
        let mut at = 0;
        while at < text.len() {
            if !text[at..].starts_with('<') {
                let end = text[at..].find('<').map_or(text.len(), |end| at + end);
                self.children.push(Node::Text(pieces(reading, at..end, Piece::Slot)));
                at = end;
                continue;
            }
            let Some(end) = tag_end(&text, at) else {
                reading.mistake(at..at + 1, "this tag does not end", "a `<` that is none is written &lt;");
                break;
            };
            self.tag(reading, &text, at..end);
            at = end;
        }
        while let Some((element, before, place)) = self.open.pop() {
            reading.mistake(place, format!("`<{}>` is not closed", element.name), "");
            self.children = before;
        }
    }

    fn tag(&mut self, reading: &mut Reading<'_>, text: &str, at: Range<usize>) {
        let inside = &text[at.start + 1..at.end - 1];
        let closes = inside.strip_prefix('/');
        let name: String =
            closes.unwrap_or(inside).chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        let place = at.start..at.start + 1 + usize::from(closes.is_some()) + name.len();
        if matches!(&*name, "br" | "hr") && closes.is_none() {
            attributes(reading, &text[..at.end - 1], place.end, "");
            self.children.push(Node::Break(text[at].to_owned()));
            return;
        }
        let Some(known) = BLOCKS.iter().chain(&INLINE).find(|known| **known == name) else {
            if closes.is_some() && self.refused.contains(&name) {
                return;
            }
            let (why, allowed) = refused(&name, &text[at.start..]);
            reading.mistake(if name.is_empty() { at.start..at.start + 1 } else { place }, why, &allowed);
            self.refused.push(name);
            return;
        };
        if closes.is_none() {
            let attributes = attributes(reading, &text[..at.end - 1], place.end, known);
            let element = Element { name: known, attributes, children: Vec::new() };
            self.open.push((element, std::mem::take(&mut self.children), place));
            return;
        }
        match self.open.last() {
            Some((element, ..)) if element.name == *known => {
                let (mut element, before, _) = self.open.pop().expect("it was just looked at");
                element.children = std::mem::replace(&mut self.children, before);
                self.children.push(Node::Element(element));
            }
            Some((element, ..)) => {
                let allowed = format!("`</{}>` comes first", element.name);
                reading.mistake(place, format!("`</{known}>` closes across another element"), &allowed);
            }
            None => reading.mistake(place, format!("`</{known}>` closes nothing"), ""),
        }
    }
}

/// Why an element cannot stand in a notice, and what can.
fn refused(name: &str, tag: &str) -> (String, String) {
    let allowed = || format!("allowed: {}, br, hr", [&BLOCKS[..], &INLINE[..]].concat().join(", "));
    match name {
        "" if tag.starts_with("<!--") => ("a comment would go out with every message".into(), "leave it out".into()),
        "" => ("this is no tag".into(), "a `<` that is none is written &lt;".into()),
        "html" | "head" | "body" | "title" | "meta" => (
            format!("`<{name}` cannot stand in a notice"),
            "allowed: a fragment of HTML, as it stands within <body>".into(),
        ),
        "img" | "picture" | "video" | "audio" | "iframe" | "object" | "embed" | "link" | "svg" => {
            let why = format!("`<{name}` cannot stand in a notice: nothing is fetched from elsewhere");
            (why, "write it as text, or as a link".into())
        }
        "blockquote" => ("`<blockquote` would be read as a quotation".into(), allowed()),
        _ => (format!("`<{name}` cannot stand in a notice"), allowed()),
    }
}

/// Behind the `>` that is not inside a quoted attribute.
fn tag_end(text: &str, start: usize) -> Option<usize> {
    if text[start..].starts_with("<!--") {
        return text[start..].find("-->").map(|at| start + at + 3);
    }
    let mut quote = None;
    for (at, c) in text[start..].char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '>') => return Some(start + at + 1),
            _ => {}
        }
    }
    None
}

/// The attributes of a tag from `at` to the end of `text`.
fn attributes(reading: &mut Reading<'_>, text: &str, mut at: usize, element: &str) -> Vec<Attribute> {
    let mut found = Vec::new();
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        let rest = &text[at..];
        if rest.is_empty() || rest == "/" {
            return found;
        }
        let length = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (name, place) = (rest[..length].to_lowercase(), at..at + length);
        let value = rest[length..].trim_start().strip_prefix('=').map(str::trim_start);
        let quoted = value.and_then(|value| {
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let end = value[1..].find(quote)?;
            let start = text.len() - value.len() + 1;
            Some((quote, start..start + end))
        });
        let Some((quote, range)) = quoted else {
            reading.mistake(place, format!("`{name}` has no value in quotation marks"), "");
            return found;
        };
        at = range.end + 1;
        if let Some(value) = checked(reading, (&name, place), range, element) {
            found.push(Attribute { name, quote, value });
        }
    }
}

/// The value of an attribute, if it may stand there.
fn checked(
    reading: &mut Reading<'_>,
    (name, place): (&str, Range<usize>),
    range: Range<usize>,
    element: &str,
) -> Option<Vec<Piece>> {
    let value = reading.text()[range.clone()].to_lowercase();
    let known: Vec<&str> = ATTRIBUTES.into_iter().chain(SIZES).collect();
    if !known.contains(&name) || (name == "href" && element != "a") {
        let why = match name.starts_with("on") {
            true => format!("`{name}` would run a script"),
            false => format!("`{name}` cannot stand in <{element}> of a notice"),
        };
        reading.mistake(place, why, &format!("allowed: {}", known.join(", ")));
        return None;
    }
    if name == "href" {
        if !LINKS.iter().any(|scheme| value.starts_with(scheme)) {
            reading.mistake(
                range,
                "no link that every mail program follows",
                &format!("allowed: {}", LINKS.join(", ")),
            );
            return None;
        }
        return Some(pieces(reading, range, Piece::Link));
    }
    if value.contains("{{") {
        reading.mistake(
            range,
            "no field can stand here",
            "allowed: in the text, and in href behind https://, mailto: or tel:",
        );
        return None;
    }
    let hostile = ["url(", "expression(", "@import", "\\", "/*", "javascript:"];
    let hidden = ["display:none", "visibility:hidden"];
    if name == "style" {
        let squeezed: String = value.chars().filter(|c| !c.is_whitespace()).collect();
        if let Some(word) = hostile.iter().find(|word| squeezed.contains(**word)) {
            reading.mistake(range, format!("`{word}` cannot stand in a style"), "nothing is fetched from elsewhere");
            return None;
        }
        if let Some(word) = hidden.iter().find(|word| squeezed.contains(**word)) {
            reading.mistake(range, format!("`{word}`: a notice is there to be seen"), "leave it out");
            return None;
        }
    }
    Some(pieces(reading, range, Piece::Slot))
}

/// What became of the lines within an element.
#[derive(Default)]
struct Filled {
    html: String,
    left_out: bool,
    /// Something is to be seen.
    visible: bool,
}

impl Filled {
    /// A line without its break. False: it is left out.
    fn line(&mut self, line: &[&Node], values: &Values<'_>) -> bool {
        if line.iter().any(|node| node.is_missing(values)) {
            self.left_out = true;
            return false;
        }
        for node in line {
            self.visible |= node.any_piece(&|piece| !matches!(piece, Piece::Text(text) if text.trim().is_empty()));
            node.write(values, &mut self.html);
        }
        true
    }
}

fn filled(nodes: &[Node], values: &Values<'_>) -> Filled {
    let mut out = Filled::default();
    let mut line: Vec<&Node> = Vec::new();
    // Where the break begins behind which nothing stands yet.
    let mut pending = None;
    for node in nodes {
        match node {
            Node::Break(written) => {
                if out.line(&std::mem::take(&mut line), values) {
                    pending = Some(out.html.len());
                    out.html.push_str(written);
                    out.visible |= written[1..].trim_start().to_lowercase().starts_with("hr");
                }
            }
            Node::Element(element) if element.is_container() => {
                out.line(&std::mem::take(&mut line), values);
                pending = None;
                match element.filled(values) {
                    Some(html) => {
                        out.html.push_str(&html);
                        out.visible = true;
                    }
                    None => out.left_out = true,
                }
            }
            _ => line.push(node),
        }
    }
    if let (false, Some(at)) = (out.line(&line, values), pending) {
        out.html.truncate(at);
    }
    out
}

impl Element {
    /// Has lines of its own.
    fn is_container(&self) -> bool {
        let has_lines = |node: &Node| match node {
            Node::Break(_) => true,
            Node::Element(element) => element.is_container(),
            Node::Text(_) => false,
        };
        BLOCKS.contains(&self.name) || self.children.iter().any(has_lines)
    }

    /// None: it is left out.
    fn filled(&self, values: &Values<'_>) -> Option<String> {
        if self.name == "tr" && self.children.iter().any(|node| node.is_missing(values)) {
            return None;
        }
        let inner = filled(&self.children, values);
        if inner.left_out && !inner.visible {
            return None;
        }
        let mut out = String::new();
        self.write_tag(values, &mut out)?;
        out.push_str(&inner.html);
        out.push_str(&format!("</{}>", self.name));
        Some(out)
    }

    fn write_tag(&self, values: &Values<'_>, out: &mut String) -> Option<()> {
        out.push('<');
        out.push_str(self.name);
        for Attribute { name, quote, value } in &self.attributes {
            out.push_str(&format!(" {name}={quote}"));
            write(value, values, out)?;
            out.push(*quote);
        }
        out.push('>');
        Some(())
    }
}

impl Node {
    fn any_piece(&self, is: &dyn Fn(&Piece) -> bool) -> bool {
        match self {
            Node::Text(pieces) => pieces.iter().any(is),
            Node::Break(_) => false,
            Node::Element(element) => {
                element
                    .attributes
                    .iter()
                    .flat_map(|attribute| &attribute.value)
                    .any(|piece| matches!(piece, Piece::Link(_)) && is(piece))
                    || element.children.iter().any(|node| node.any_piece(is))
            }
        }
    }

    fn is_missing(&self, values: &Values<'_>) -> bool {
        self.any_piece(&|piece| match piece {
            Piece::Text(_) => false,
            Piece::Slot(slot) | Piece::Link(slot) => slot.fill(values).is_none(),
        })
    }

    /// Of a line in which nothing is missing.
    fn write(&self, values: &Values<'_>, out: &mut String) {
        match self {
            Node::Text(pieces) => {
                write(pieces, values, out);
            }
            Node::Break(written) => out.push_str(written),
            Node::Element(element) => {
                element.write_tag(values, out);
                element.children.iter().for_each(|node| node.write(values, out));
                out.push_str(&format!("</{}>", element.name));
            }
        }
    }

    /// As a reader of plain text gets it, behind what stands in `out`.
    fn read_out(&self, out: &mut String) {
        match self {
            Node::Text(pieces) => {
                let words = html_as_text(&text_of(pieces));
                let space = |c: Option<char>| c.is_some_and(char::is_whitespace);
                let written = text_of(pieces);
                if space(written.chars().next()) && !out.is_empty() && !out.ends_with([' ', '\n']) {
                    out.push(' ');
                }
                out.push_str(&words.split_whitespace().collect::<Vec<_>>().join(" "));
                if space(written.chars().next_back()) && !out.ends_with([' ', '\n']) {
                    out.push(' ');
                }
            }
            Node::Break(_) => {
                end_line(out, 0);
                out.push('\n');
            }
            Node::Element(element) => element.read_out(out),
        }
    }
}

impl Element {
    fn read_out(&self, out: &mut String) {
        let breaks = match self.name {
            "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "ul" | "ol" | "dl" | "table" => 2,
            "td" | "th" => 0,
            name => usize::from(BLOCKS.contains(&name)),
        };
        end_line(out, breaks);
        if self.name == "li" {
            out.push_str("* ");
        }
        let begun = out.len();
        self.children.iter().for_each(|node| node.read_out(out));
        let href = self.attributes.iter().find(|attribute| attribute.name == "href");
        let href = href.map(|attribute| html_as_text(&text_of(&attribute.value))).unwrap_or_default();
        let link = href.trim().trim_start_matches("mailto:").trim_start_matches("tel:");
        let shown = &out[begun..];
        if !shown.contains(link) && !same_number(shown, link) {
            out.truncate(out.trim_end().len());
            out.push_str(&format!(" ({link})"));
        }
        match self.name {
            "td" | "th" if !out.ends_with([' ', '\n']) => out.push(' '),
            _ => end_line(out, breaks),
        }
    }
}

/// At least so many line breaks, unless nothing stands there yet.
fn end_line(out: &mut String, breaks: usize) {
    let text = out.trim_end_matches(' ').len();
    if breaks > 0 || out[..text].ends_with('\n') {
        out.truncate(text);
    }
    let there = out.len() - out.trim_end_matches('\n').len();
    if !out.is_empty() {
        out.extend(std::iter::repeat_n('\n', breaks.saturating_sub(there)));
    }
}

fn text_of(pieces: &[Piece]) -> String {
    pieces.iter().map(|piece| if let Piece::Text(text) = piece { text } else { "" }).collect()
}

/// A telephone number in another notation.
fn same_number(shown: &str, link: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let (shown, link) = (digits(shown), digits(link));
    link.len() > 5 && (shown == link || shown.ends_with(&link[2.min(link.len())..]))
}

/// None: a field is missing.
fn write(pieces: &[Piece], values: &Values<'_>, out: &mut String) -> Option<()> {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            // What was filled in is read once more for the plain form: no brace of it begins a field there.
            Piece::Slot(slot) => out.push_str(&escaped(&slot.fill(values)?).replace('{', "&#123;")),
            Piece::Link(slot) => out.push_str(&percent_encoded(&slot.fill(values)?)),
        }
    }
    Some(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// As a part of a URL (RFC 3986 2.3), with the signs that addresses and telephone numbers have.
fn percent_encoded(text: &str) -> String {
    text.bytes().filter(|byte| *byte != b' ').fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' | b'+' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// Escaped, with URLs and addresses as links.
fn linked(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(' ') {
        let front = word.len() - word.trim_start_matches(['(', '[', '<', '"']).len();
        let bare = word[front..].trim_end().trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '>', '"']);
        let is_url =
            bare.strip_prefix("https://").or(bare.strip_prefix("http://")).is_some_and(|rest| !rest.is_empty());
        let is_address = bare.is_ascii() && Address::parse(bare).is_ok_and(|address| address.domain().contains('.'));
        let scheme = if is_address { "mailto:" } else { "" };
        match is_url || is_address {
            true => {
                let bare = escaped(bare);
                out.push_str(&escaped(&word[..front]));
                out.push_str(&format!("<a href=\"{scheme}{bare}\">{bare}</a>"));
            }
            false => out.push_str(&escaped(&word[..front + bare.len()])),
        }
        out.push_str(&escaped(&word[front + bare.len()..]));
    }
    out
}
