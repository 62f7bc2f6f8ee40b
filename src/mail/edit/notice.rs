//! Adding notices: for each part that takes them, one place in its text, written in its own charset and transfer
//! encoding. Only what cannot be carried so makes that part UTF-8 or quoted-printable.

use super::charset::{self, Charset};
use super::encode::{self, Base64Body};
use super::mime_header::Described;
use super::notice_plain::{self, Lines};
use super::place::Place;
use super::repeat::Wanted;
use super::splice::Splice;
use super::{EditFailure, Notice, Placement, Seal, notice_html};
use crate::mail::{Message, Part, Text, TransferEncoding, doubt, html_text};
use std::borrow::Cow;

pub(super) const KIND: &str = "append-notice";

/// Longest line of a message, without its line break (RFC 5322 2.1.1).
const LONGEST_LINE: usize = 998;

const MISFIT: &str = "a text that is not what its character set says";
const BARE_UTF16: &str = "UTF-16 text that is not in base64";

/// The edit of one part.
pub(super) struct PartEdit {
    pub part: usize,
    pub splices: Vec<Splice>,
    pub fields_added: usize,
    pub described: Described,
    pub expected: Expected,
    /// Length of the line break behind the body, when the boundary that follows had none of its own: the empty line
    /// of the header served for both.
    pub glue: usize,
    /// Which of the notices were added.
    pub added: Vec<usize>,
}

/// What the content of an edited part must be afterwards.
pub(super) enum Expected {
    /// As before, with `by` bytes in one place.
    Grown {
        by: usize,
    },
    Becomes(Vec<u8>),
}

/// Adds those of `notices` that do not stand there yet. Nothing to do: none.
pub(super) fn append(
    message: &Message,
    place: &Place,
    notices: &[&Notice],
    newline: &'static [u8],
) -> Result<Option<PartEdit>, EditFailure> {
    let parts = message.parts();
    let part = &parts[place.part];
    // Without an empty line behind the header there is no body to write into; a message without any field is none.
    let separated = part.body.start > part.header.end && (part.parent.is_some() || !part.fields.is_empty());
    if !separated {
        return Err(EditFailure::NoPlace { kind: KIND });
    }
    let body = Body::read(message, part, newline)?;
    if let Some(seal) = body.inline_pgp() {
        return Err(EditFailure::Protected { kind: KIND, seal });
    }
    let is_html = part.content_type.subtype == "html";
    let at = body.place(message, notices);
    let mut added = Vec::new();
    for (index, notice) in notices.iter().enumerate() {
        let wanted = Wanted::new(notice);
        if is_said(notices, index, &wanted) {
            continue;
        }
        let in_text = |index: usize, body: &Body| wanted.stands_in_part(message, index, &body.view);
        let beside = || {
            place
                .beside
                .iter()
                .any(|index| Body::read(message, &parts[*index], newline).is_ok_and(|body| in_text(*index, &body)))
        };
        let here = is_html && stands_before(&body.view[..at], notice, notices.len());
        if !here && !in_text(place.part, &body) && !beside() {
            added.push(index);
        }
    }
    if added.is_empty() {
        return Ok(None);
    }
    let new: Vec<&Notice> = added.iter().map(|index| notices[*index]).collect();
    let text = if is_html { html_insertion(&new, &body, at) } else { plain_insertion(&new, &body, at) };
    let mut edit = body.insert(at, &text)?;
    edit.part = place.part;
    edit.added = added;
    let (splices, fields_added) = edit.described.splices(message, part, newline)?;
    edit.splices.extend(splices);
    edit.fields_added = fields_added;
    let end = part.body.end;
    let boundary_bare =
        part.parent.is_some() && end < message.len() && !matches!(message.read(end..end + 1)[0], b'\r' | b'\n');
    if boundary_bare {
        edit.splices.push(Splice { range: end..end, bytes: newline.to_vec() });
        edit.glue = newline.len();
    }
    Ok(Some(edit))
}

/// Whether the notice stands in a text of the message that may be read, sealed or not.
pub(super) fn stands_in_message(message: &Message, notice: &Notice, newline: &'static [u8]) -> bool {
    let wanted = Wanted::new(notice);
    let readable = |part: &Part| part.is_text() && !part.enclosed && !part.is_attachment();
    message.parts().iter().enumerate().filter(|(_, part)| readable(part)).any(|(index, part)| {
        Body::read(message, part, newline).is_ok_and(|body| wanted.stands_in_part(message, index, &body.view))
    })
}

/// Those of the notices that no other says too; of two that say the same, the first.
pub(super) fn unsaid<'n>(notices: &[&'n Notice]) -> Vec<&'n Notice> {
    let said = |index: usize| is_said(notices, index, &Wanted::new(notices[index]));
    (0..notices.len()).filter(|index| !said(*index)).map(|index| notices[index]).collect()
}

fn is_said(notices: &[&Notice], index: usize, wanted: &Wanted) -> bool {
    let says = |(at, other): (usize, &&Notice)| {
        at != index && wanted.is_said_by(other) && (at < index || !Wanted::new(other).is_said_by(notices[index]))
    };
    notices.iter().enumerate().any(says)
}

fn plain_insertion(notices: &[&Notice], body: &Body, at: usize) -> String {
    let whole_body = body.part.parent.is_none();
    notice_plain::compose(notices, &body.view[..at], at == body.view.len(), whole_body, Lines::of(body.part))
}

fn html_insertion(notices: &[&Notice], body: &Body, at: usize) -> String {
    let element = |(index, notice): (usize, &&Notice)| {
        notice_html::element(notice, index > 0 && notice.follows(notices[index - 1]))
    };
    let elements: Vec<String> = notices.iter().enumerate().map(element).collect();
    let begins_line = at == 0 || body.view[at - 1] == b'\n';
    let ends_line = at < body.view.len() || body.view.ends_with(b"\n") || body.part.parent.is_none();
    let (before, behind) = (if begins_line { "" } else { "\n" }, if ends_line { "\n" } else { "" });
    format!("{before}{}{behind}", elements.join("\n"))
}

/// Whether exactly our element stands at its place already, whatever the zones say of it.
fn stands_before(view: &[u8], notice: &Notice, notices: usize) -> bool {
    let squeeze = |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect() };
    let tail = view.trim_ascii_end();
    [false, true].into_iter().filter(|continues| !continues || notice.continues).any(|continues| {
        let element = squeeze(notice_html::element(notice, continues).as_bytes());
        let window = &tail[tail.len().saturating_sub(element.len() * 2)..];
        // Of several, only the last stands directly in front; the zones tell of the others.
        let squeezed = squeeze(window);
        squeezed.ends_with(&element) || (notices > 1 && memchr::memmem::find(&squeeze(tail), &element).is_some())
    })
}

/// The body of one text part, decoded.
struct Body<'m> {
    part: &'m Part,
    raw: Cow<'m, [u8]>,
    content: Cow<'m, [u8]>,
    /// The content as bytes in which ASCII means ASCII: for UTF-16 its UTF-8 form, else of the content's length.
    view: Cow<'m, [u8]>,
    base64: Option<Base64Body>,
    charset: Charset,
    newline: &'static [u8],
}

impl<'m> Body<'m> {
    fn read(message: &'m Message, part: &'m Part, newline: &'static [u8]) -> Result<Self, EditFailure> {
        let raw = message.read(part.body.clone());
        let ambiguous = |class| EditFailure::Ambiguous { kind: KIND, class };
        let mut base64 = None;
        let content = match part.encoding {
            TransferEncoding::Base64 => {
                let body = base64.insert(Base64Body::read(&raw).ok_or(ambiguous(doubt::DAMAGED_BASE64))?);
                Cow::Owned(std::mem::take(&mut body.content))
            }
            TransferEncoding::QuotedPrintable => Cow::Owned(encode::qp_decode(&raw)),
            _ => raw.clone(),
        };
        let charset = Charset::of(part.content_type.parameter("charset"), &content);
        let view = if charset.is_utf16() {
            if base64.is_none() {
                return Err(ambiguous(BARE_UTF16));
            }
            Cow::Owned(charset.decode(&content).map_err(|_| ambiguous(MISFIT))?.into_bytes())
        } else if charset.is_stateful() {
            Cow::Owned(charset::mask_escaped(&content))
        } else {
            content.clone()
        };
        Ok(Self { part, raw, content, view, base64, charset, newline })
    }

    /// `-----BEGIN PGP MESSAGE` or `SIGNED MESSAGE` at the start of a line (RFC 9580 6.2), or anywhere in HTML. A key in
    /// a text seals nothing.
    fn inline_pgp(&self) -> Option<Seal> {
        const BEGIN: &[u8] = b"-----BEGIN PGP ";
        const MARK: &[u8] = "\u{feff}".as_bytes();
        let anywhere = self.part.content_type.subtype == "html";
        memchr::memmem::find_iter(&self.view, BEGIN).find_map(|at| {
            let before = &self.view[..at];
            let begins = anywhere || before.is_empty() || before.ends_with(b"\n") || before == MARK;
            let what = begins.then_some(&self.view[at + BEGIN.len()..])?;
            match what {
                _ if what.starts_with(b"SIGNED MESSAGE") => Some(Seal::PgpInline),
                // A long message may come in several: `MESSAGE, PART 1/2`.
                _ if what.starts_with(b"MESSAGE") => Some(Seal::Encrypted),
                _ => None,
            }
        })
    }

    /// Where in the view the notices go.
    fn place(&self, message: &Message, notices: &[&Notice]) -> usize {
        let is_html = self.part.content_type.subtype == "html";
        let end = if is_html { notice_html::place(&self.view) } else { self.view.len() };
        let text = message.text(self.part);
        let Some(quote) = notice_plain::trailing_quote(&text) else { return end };
        let behind = notices.iter().all(|notice| notice.at == Placement::EndOfMessage);
        if behind && (is_html || notice_plain::is_marked_to_its_end(&text)) {
            return end;
        }
        if is_html { self.in_front_of_quote(&text, quote).unwrap_or(end).min(end) } else { self.line_of(&text, quote) }
    }

    /// In front of the element with which a quotation in HTML begins. None: there is no place for a notice.
    fn in_front_of_quote(&self, text: &Text, quote: usize) -> Option<usize> {
        let visible = quote + text.text[quote..].find(|c: char| !c.is_whitespace())?;
        if self.charset.is_mapped_by_line() {
            return self.in_front_of_decoded(text, visible);
        }
        let raw = text.source(visible..visible + 1).start.checked_sub(self.part.body.start)?;
        let before = self.raw.get(..raw)?;
        match self.part.encoding {
            // Four characters are three bytes: it stands in one of these.
            TransferEncoding::Base64 => {
                let characters = before.iter().filter(|byte| !byte.is_ascii_whitespace()).count();
                notice_html::in_front_of(&self.view, characters / 4 * 3, 2)
            }
            TransferEncoding::QuotedPrintable => {
                notice_html::in_front_of(&self.view, encode::qp_decode(before).len(), 0)
            }
            _ => notice_html::in_front_of(&self.view, raw, 0),
        }
    }

    /// The same where the way back leads to lines only: by way of the decoded HTML.
    fn in_front_of_decoded(&self, text: &Text, visible: usize) -> Option<usize> {
        let html = self.charset.decode(&self.content).ok()?;
        let rendered = html_text::render(&html);
        if rendered.text != text.text {
            return None;
        }
        let at = notice_html::in_front_of(html.as_bytes(), rendered.map.source(visible..visible + 1).start, 0)?;
        if self.charset.is_utf16() {
            return Some(at);
        }
        self.charset.encode(&html[..at]).filter(|own| self.content.starts_with(own)).map(|own| own.len())
    }

    /// The line of plain text, in the view, in which the quotation begins.
    fn line_of(&self, text: &Text, quote: usize) -> usize {
        let at = if self.charset.is_utf16() {
            Some(quote)
        } else {
            self.charset.encode(&text.text[..quote]).filter(|own| self.content.starts_with(own)).map(|own| own.len())
        };
        let at = at.or_else(|| {
            let source = text.source(quote..quote + 1).start.checked_sub(self.part.body.start)?;
            match self.part.encoding {
                TransferEncoding::Base64 => None,
                TransferEncoding::QuotedPrintable => Some(encode::qp_decode(self.raw.get(..source)?).len()),
                _ => Some(source),
            }
        });
        // A place within a line is not what we looked for.
        at.filter(|at| *at == 0 || self.view.get(at - 1) == Some(&b'\n')).unwrap_or(self.view.len())
    }

    /// The edit that puts `text` (line breaks as LF) at `at` of the view.
    fn insert(&self, at: usize, text: &str) -> Result<PartEdit, EditFailure> {
        let text = text.replace('\n', if self.breaks_lines_by_lf() { "\n" } else { "\r\n" });
        let at = if self.charset.is_utf16() { self.utf16_offset(at) } else { at };
        let charset = self.charset;
        if let Some(bytes) = charset.encode(&text) {
            let back = if charset.is_stateful() { charset::back_to_ascii(&self.content[..at]) } else { b"" };
            return Ok(self.carry(at, &[back, &bytes].concat(), false));
        }
        // The notice needs more than the charset has. A text of ASCII is UTF-8 already.
        let superset = !charset.is_stateful() && !matches!(charset, Charset::Unknown { superset: false });
        let is_utf8 = match charset {
            Charset::Ascii => std::str::from_utf8(&self.content).is_ok(),
            Charset::Utf16 { .. } | Charset::Utf16Unmarked => false,
            _ => superset && self.content.is_ascii(),
        };
        if is_utf8 {
            return Ok(self.carry(at, text.as_bytes(), true));
        }
        let class = if matches!(charset, Charset::Unknown { .. }) { doubt::UNKNOWN_CHARSET } else { MISFIT };
        let misfit = |_| EditFailure::Ambiguous { kind: KIND, class };
        let before = charset.decode(&self.content[..at]).map_err(misfit)?;
        let behind = charset.decode(&self.content[at..]).map_err(misfit)?;
        Ok(self.rewrite(format!("{before}{text}{behind}").into_bytes(), true))
    }

    /// Puts `insert` at `at` of the content in the part's own transfer encoding, where that can carry it.
    fn carry(&self, at: usize, insert: &[u8], utf8: bool) -> PartEdit {
        let start = self.part.body.start;
        let (range, bytes) = match (self.part.encoding, &self.base64) {
            (_, Some(base64)) => base64.insert(&self.raw, &self.content, at, insert, self.newline),
            (TransferEncoding::QuotedPrintable, _) => self.insert_quoted_printable(at, insert),
            _ if self.fits_raw(insert) => (at..at, insert.to_vec()),
            _ => {
                let content = [&self.content[..at], insert, &self.content[at..]].concat();
                return self.rewrite(content, utf8);
            }
        };
        PartEdit {
            part: 0,
            splices: vec![Splice { range: start + range.start..start + range.end, bytes }],
            fields_added: 0,
            glue: 0,
            described: Described { utf8, quoted_printable: false },
            expected: Expected::Grown { by: insert.len() },
            added: Vec::new(),
        }
    }

    /// Never more than transport carries already: bytes above 127 only where such bytes stand.
    fn fits_raw(&self, insert: &[u8]) -> bool {
        let eight_bit = matches!(self.part.encoding, TransferEncoding::EightBit | TransferEncoding::Binary);
        let lines_fit = insert.split(|byte| *byte == b'\n').all(|line| line.len() <= LONGEST_LINE);
        lines_fit && (insert.is_ascii() || (eight_bit && !self.raw.is_ascii()))
    }

    fn insert_quoted_printable(&self, at: usize, insert: &[u8]) -> (std::ops::Range<usize>, Vec<u8>) {
        let at = if at == self.content.len() { self.raw.len() } else { encode::qp_raw_offset(&self.raw, at) };
        let before = &self.raw[..at];
        let line = &before[memchr::memrchr(b'\n', before).map_or(0, |at| at + 1)..];
        let mut bytes = Vec::with_capacity(insert.len() * 5 / 4);
        let mut column = line.len();
        let dangling = line.trim_ascii_end().ends_with(b"=");
        if dangling {
            // The line break behind it belonged to the boundary: now the soft break has its own.
            bytes.extend_from_slice(self.newline);
            column = 0;
        } else if line.ends_with(b" ") || line.ends_with(b"\t") || column >= 76 {
            // A space now stands at the end of a line, where it would be lost.
            bytes.push(b'=');
            bytes.extend_from_slice(self.newline);
            column = 0;
        }
        encode::qp_encode(insert, column, self.newline, &mut bytes);
        (at..at, bytes)
    }

    /// The whole body anew: base64 stays base64, quoted-printable and 8bit stay, 7bit becomes quoted-printable when
    /// it must.
    fn rewrite(&self, content: Vec<u8>, utf8: bool) -> PartEdit {
        let is_base64 = self.base64.is_some();
        let raw = !is_base64 && self.part.encoding != TransferEncoding::QuotedPrintable && self.fits_raw(&content);
        let mut bytes = Vec::new();
        if is_base64 {
            bytes = encode::base64_encode(&content, self.newline);
            let tail = self.raw.len() - self.raw.trim_ascii_end().len();
            bytes.extend_from_slice(&self.raw[self.raw.len() - tail..]);
        } else if raw {
            bytes.clone_from(&content);
        } else {
            encode::qp_encode(&content, 0, self.newline, &mut bytes);
        }
        let quoted_printable = !is_base64 && !raw && self.part.encoding != TransferEncoding::QuotedPrintable;
        PartEdit {
            part: 0,
            splices: vec![Splice { range: self.part.body.clone(), bytes }],
            fields_added: 0,
            glue: 0,
            described: Described { utf8, quoted_printable },
            expected: Expected::Becomes(content),
            added: Vec::new(),
        }
    }

    /// Raw bodies end their lines as the message does; encoded ones as their content does.
    fn breaks_lines_by_lf(&self) -> bool {
        if self.base64.is_none() {
            return self.newline == b"\n";
        }
        memchr::memchr(b'\n', &self.view).is_some_and(|at| at == 0 || self.view[at - 1] != b'\r')
    }

    fn utf16_offset(&self, at: usize) -> usize {
        let text = std::str::from_utf8(&self.view[..at]).expect("places stand between characters");
        let mark = usize::from(matches!(&self.content[..], [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]));
        (text.encode_utf16().count() + mark) * 2
    }
}
