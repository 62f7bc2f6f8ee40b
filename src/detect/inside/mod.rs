//! What is inside an attachment: containers unpacked, documents turned into text.
//!
//! In: the bytes of one attachment. Out: `Item`s, each with the path inside. This is code that hostile files are aimed at: it
//! runs in a process of its own that can do nothing but read and answer, never in the gateway.

mod budget;
mod form;
mod mail;
mod office;
mod packed;
mod rtf;
mod sheet;
mod xml;
mod zip;

use crate::mail::{UnreadReason, as_text, html_as_text};
use budget::Budget;
use form::Form;
use std::{rc::Rc, time::Instant};

/// What a reader says, in the order in which it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A piece of text; `path` is empty for the attachment itself, else `notes.docx` or `b.zip/notes.docx`.
    Text {
        path: String,
        text: String,
    },
    /// The name of a member, which people read too.
    Name {
        path: String,
        name: String,
    },
    Unread {
        path: String,
        reason: UnreadReason,
    },
    Note {
        path: String,
        note: Note,
    },
}

/// What a rule may want to know of content besides its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Note {
    /// A program, a script, a library.
    Executable,
    /// A document that brings code along.
    Macro,
    Image,
    Video,
    /// Bytes behind the end that the format has.
    TrailingData,
    /// Begins as one format and can be read as another.
    Polyglot,
    EncryptedZip,
    EncryptedOffice,
    EncryptedPdf,
    EncryptedArchive,
    /// Opens without a password and only forbids printing or changing.
    Restricted,
}

/// Whoever reads attachments, elsewhere.
pub trait AttachmentReader: Send + Sync {
    /// Hands every item over in the order in which it was read. The error: why it was not read to its end.
    fn read(&self, content: &[u8], until: Instant, take: &mut dyn FnMut(Item)) -> Result<(), UnreadReason>;
}

/// Reads one attachment. It may take what time and memory it wants: whoever calls it has set bounds from outside.
pub fn read_attachment(content: &[u8], emit: &mut dyn FnMut(Item)) {
    let mut out = Out { emit, budget: Rc::new(Budget::default()) };
    enter(content, "", 0, &mut out);
}

/// Archives within archives.
const MOST_DEPTH: usize = 5;

/// Text is handed over in pieces of about this size, cut at the end of a line.
const PIECE: usize = 1 << 20;

/// Where the items go, and what may still be unpacked.
struct Out<'a> {
    emit: &'a mut dyn FnMut(Item),
    budget: Rc<Budget>,
}

impl Out<'_> {
    fn text(&mut self, path: &str, text: &str) {
        let mut rest = text;
        while !rest.trim().is_empty() {
            if self.budget.is_late() {
                return self.unread(path, UnreadReason::Time);
            }
            if !self.budget.take_text(rest.len().min(PIECE)) {
                return self.unread(path, UnreadReason::TooLarge);
            }
            let cut = match rest.len() {
                length if length <= PIECE => length,
                _ => {
                    let end = rest.floor_char_boundary(PIECE);
                    rest[..end].rfind('\n').map_or(end, |at| at + 1)
                }
            };
            (self.emit)(Item::Text { path: path.into(), text: rest[..cut].into() });
            rest = &rest[cut..];
        }
    }

    fn name(&mut self, path: &str, name: &str) {
        (self.emit)(Item::Name { path: path.into(), name: name.into() });
    }

    fn unread(&mut self, path: &str, reason: UnreadReason) {
        (self.emit)(Item::Unread { path: path.into(), reason });
    }

    fn note(&mut self, path: &str, note: Note) {
        (self.emit)(Item::Note { path: path.into(), note });
    }

    fn encrypted(&mut self, path: &str, note: Note) {
        self.note(path, note);
        self.unread(path, UnreadReason::Encrypted);
    }
}

/// `b.zip` and `notes.docx` give `b.zip/notes.docx`.
fn below(path: &str, name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).take(MOST_NAME).collect();
    if path.is_empty() { name } else { format!("{path}/{name}") }
}

const MOST_NAME: usize = 255;

/// Reads a content by what it is, whatever it is called.
fn enter(content: &[u8], path: &str, depth: usize, out: &mut Out<'_>) {
    if depth > MOST_DEPTH {
        return out.unread(path, UnreadReason::TooDeep);
    }
    if out.budget.is_late() {
        return out.unread(path, UnreadReason::Time);
    }
    let form = Form::of(content);
    if let Some(note) = form.note() {
        out.note(path, note);
    }
    match form::second(content, form) {
        Some(form::Second::Zip) => {
            out.note(path, Note::Polyglot);
            zip::read(content, path, depth, out);
        }
        Some(form::Second::Pdf) => {
            out.note(path, Note::Polyglot);
            out.unread(path, UnreadReason::UnknownFormat);
        }
        None => {}
    }
    match form {
        Form::Zip => zip::read(content, path, depth, out),
        Form::Gzip => packed::gzip(content, path, depth, out),
        Form::Tar => packed::tar(content, path, depth, out),
        Form::Rtf => rtf::read(content, path, out),
        Form::Mail => mail::read(content, path, depth, out),
        Form::Html => out.text(path, &html_as_text(&as_text(content))),
        Form::Xml => xml::any(content, path, out),
        Form::Text => out.text(path, &as_text(content)),
        Form::Image | Form::Video | Form::Sound | Form::Font | Form::Empty => {}
        Form::Executable => {}
        Form::Encrypted => out.encrypted(path, Note::EncryptedArchive),
        Form::Unknown => out.unread(path, UnreadReason::UnknownFormat),
    }
}

#[cfg(test)]
mod tests;
