//! XML as a stream: no tree, no entity but the five, no file or socket opened. A document type is a reason not to trust it.

use super::{
    Out,
    budget::{Counted, reason},
};
use crate::mail::UnreadReason;
use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};
use std::{
    borrow::Cow,
    io::{self, BufRead, BufReader, Read},
};

const MOST_DEPTH: usize = 256;

/// One text or tag of this length is none that a program wrote.
const MOST_BETWEEN_TAGS: usize = 8 << 20;

/// What a walk meets; names without their prefix.
pub(super) enum Piece<'a> {
    Start(&'a str, &'a BytesStart<'a>),
    End(&'a str),
    Text(&'a str),
}

/// The value of an attribute, by its name without prefix.
pub(super) fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut all = tag.attributes();
    let mut named = all.with_checks(false).filter_map(Result::ok);
    let found = named.find(|attribute| attribute.key.local_name().as_ref() == name)?;
    found.normalized_value(XmlVersion::Implicit1_0).ok().map(|value| value.into_owned())
}

/// All attributes as they are written: for values that no entity stands in.
pub(super) fn attributes<'t>(tag: &'t BytesStart<'_>) -> impl Iterator<Item = (&'t str, Cow<'t, str>)> {
    let mut all = tag.attributes();
    all.with_checks(false);
    all.filter_map(Result::ok).map(|attribute| (attribute.key.into_inner(), attribute.value))
}

/// Walks through to the end. What came before an error has been handed over.
pub(super) fn walk(stream: impl Read, take: &mut dyn FnMut(Piece<'_>)) -> Result<(), UnreadReason> {
    let mut reader = Reader::from_reader(Markup { inner: BufReader::with_capacity(64 << 10, stream), since: 0 });
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    let (mut buffer, mut depth, mut doubtful) = (Vec::new(), 0usize, false);
    loop {
        buffer.clear();
        let event = match reader.read_event_into(&mut buffer) {
            Ok(event) => event,
            Err(quick_xml::Error::Io(error)) => return Err(reason(&error)),
            Err(_) => return Err(UnreadReason::Damaged),
        };
        match event {
            Event::Start(tag) => {
                depth += 1;
                if depth > MOST_DEPTH {
                    return Err(UnreadReason::TooDeep);
                }
                take(Piece::Start(tag.local_name().as_ref(), &tag));
            }
            Event::Empty(tag) => {
                take(Piece::Start(tag.local_name().as_ref(), &tag));
                take(Piece::End(tag.local_name().as_ref()));
            }
            Event::End(tag) => {
                depth = depth.saturating_sub(1);
                take(Piece::End(tag.local_name().as_ref()));
            }
            Event::Text(text) => take(Piece::Text(&text.xml10_content())),
            Event::CData(text) => take(Piece::Text(&text.xml10_content())),
            Event::GeneralRef(entity) => match entity.resolve_char_ref() {
                Ok(Some(c)) => take(Piece::Text(c.encode_utf8(&mut [0; 4]))),
                _ => match quick_xml::escape::resolve_predefined_entity(&entity.xml10_content()) {
                    Some(text) => take(Piece::Text(text)),
                    None => doubtful = true,
                },
            },
            Event::DocType(_) => doubtful = true,
            Event::Eof => return if doubtful { Err(UnreadReason::Damaged) } else { Ok(()) },
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
}

/// Ends a text that has no end.
struct Markup<R> {
    inner: R,
    since: usize,
}

impl<R: BufRead> Read for Markup<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl<R: BufRead> BufRead for Markup<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.since > MOST_BETWEEN_TAGS {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Ok(buffer) = self.inner.fill_buf() {
            let consumed = &buffer[..amount.min(buffer.len())];
            self.since = match memchr::memrchr2(b'<', b'>', consumed) {
                Some(at) => consumed.len() - at,
                None => self.since + consumed.len(),
            };
        }
        self.inner.consume(amount);
    }
}

/// Attributes that are text.
const TOLD: [&str; 5] = ["descr", "tooltip", "author", "w:author", "w:tooltip"];

/// A document's paragraphs and tables as lines and tabs.
#[derive(Default)]
pub(super) struct Layout {
    pub text: String,
    /// Only what stands in elements of text; else all.
    pub only_text_elements: bool,
    in_text: usize,
    cells: usize,
    skipped: usize,
}

impl Layout {
    pub fn take(&mut self, piece: &Piece<'_>) {
        match piece {
            Piece::Start(name, tag) => {
                match *name {
                    "t" | "delText" | "instrText" => self.in_text += 1,
                    "tab" if !self.only_text_elements || self.in_run(tag) => self.text.push('\t'),
                    "br" | "cr" | "line-break" => self.text.push('\n'),
                    "s" => self.text.push(' '),
                    "tc" | "table-cell" => self.cells += 1,
                    "binary-data" => self.skipped += 1,
                    _ => {}
                }
                // What a reader sees of a picture, a link, a change; and who wrote it.
                for told in attributes(tag).filter(|(key, _)| TOLD.contains(key)) {
                    let name = told.0.rsplit(':').next().unwrap_or(told.0);
                    if let Some(value) = attribute(tag, name).filter(|value| !value.trim().is_empty()) {
                        self.text.push_str(&format!("\n{value}\n"));
                    }
                }
            }
            Piece::End(name) => match *name {
                "t" | "delText" | "instrText" => self.in_text = self.in_text.saturating_sub(1),
                "p" | "h" if self.cells > 0 => self.text.push(' '),
                "p" | "h" | "tr" | "table-row" => self.text.push('\n'),
                "tc" | "table-cell" => {
                    self.cells = self.cells.saturating_sub(1);
                    self.text.truncate(self.text.trim_end_matches(' ').len());
                    self.text.push('\t');
                }
                "binary-data" => self.skipped = self.skipped.saturating_sub(1),
                _ => {
                    // Elements of data stand apart from each other.
                    if !self.only_text_elements && !matches!(*name, "span" | "a" | "s" | "tab" | "r") {
                        self.text.push('\n');
                    }
                }
            },
            Piece::Text(text) => {
                if self.skipped == 0 && (!self.only_text_elements || self.in_text > 0) {
                    self.text.push_str(text);
                }
            }
        }
    }

    /// A tab in a run is one; in a paragraph's properties it is a place on the ruler.
    fn in_run(&self, tag: &BytesStart<'_>) -> bool {
        attribute(tag, "pos").is_none()
    }
}

/// The text of a stream, handed over as it grows.
pub(super) fn text_of(stream: impl Read, path: &str, only_text_elements: bool, out: &mut Out<'_>) {
    let mut layout = Layout { only_text_elements, ..Layout::default() };
    let walked = walk(stream, &mut |piece| {
        layout.take(&piece);
        if layout.text.len() >= super::PIECE && layout.text.ends_with('\n') {
            out.text(path, &layout.text);
            layout.text.clear();
        }
    });
    out.text(path, &layout.text);
    if let Err(reason) = walked {
        out.unread(path, reason);
    }
}

/// XML that is no part of a document known here: its text, the values of its attributes left out.
pub(super) fn any(content: &[u8], path: &str, out: &mut Out<'_>) {
    let stream = Counted::new(content, content.len() as u64, &out.budget);
    text_of(stream, path, false, out);
    // It may be read as it stands, too: an editor shows it so.
    out.text(path, &crate::mail::as_text(content));
}
