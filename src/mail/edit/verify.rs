//! The check after an edit: our parser and an independent one see the tree that was there before, what was not to
//! be touched has the same bytes, and what was edited reads as intended.
//!
//! Bytes outside the splices are compared as they stand, which costs no decoding. For a large message both parsers
//! look at a skeleton: the message before and after with the middle of each large untouched leaf left out of both.
//! What is left out is the same bytes on both sides, between the same delimiters, so neither parser could come to
//! another tree through it.

mod enclosed;

use super::Edit;
use super::Transport;
use super::notice::{Expected, PartEdit};
use super::recipients;
use super::splice::{Splice, Splices};
use crate::mail::{Message, NAMING, Part, TransferEncoding, check};
use std::ops::Range;

/// The independent parser is not asked beyond the limits within which it is safe.
pub(super) const NOT_ASKED: &str = "a message that the independent parser does not read";

/// Above this size the parsers look at the skeleton.
const WHOLE: usize = 32 * 1024;
/// Of an untouched leaf at least this is kept at each end.
const KEPT: usize = 1024;

/// What an edit set out to do.
pub(super) struct Intended {
    pub splices: Splices,
    pub parts: Vec<PartEdit>,
    /// Fields of the message's header, without what the parts' edits add.
    pub fields: usize,
    pub promises: Vec<Promise>,
}

/// What a header edit leaves behind.
pub(super) enum Promise {
    Is { name: String, value: String },
    Absent { name: String },
    Tagged { tag: String },
    Hidden { to: String },
}

impl Promise {
    pub fn of(edit: &Edit, transport: Transport) -> Option<Self> {
        match edit {
            Edit::SetHeader { name, value } => Some(Promise::Is { name: name.clone(), value: value.clone() }),
            Edit::RemoveHeader { name } => Some(Promise::Absent { name: name.clone() }),
            Edit::TagSubject { tag } => Some(Promise::Tagged { tag: format!("[{}]", tag.trim()) }),
            Edit::HideRecipients | Edit::IndividualCopies => Some(Promise::Hidden { to: recipients::HIDDEN.into() }),
            Edit::ShowOnly { address } => {
                let to = recipients::writable(address, transport).map_or(recipients::HIDDEN, |shown| shown.as_str());
                Some(Promise::Hidden { to: to.into() })
            }
            Edit::AppendNotice { .. } => None,
        }
    }

    /// Whether a later edit may break it: that one is then asked.
    fn is_about(&self, name: &str) -> bool {
        match self {
            Promise::Is { name: own, .. } | Promise::Absent { name: own } => own.eq_ignore_ascii_case(name),
            Promise::Tagged { .. } => name.eq_ignore_ascii_case("Subject"),
            Promise::Hidden { .. } => NAMING.iter().any(|own| own.eq_ignore_ascii_case(name)),
        }
    }

    fn overrides(&self, earlier: &Promise) -> bool {
        match earlier {
            Promise::Is { name, .. } | Promise::Absent { name } => self.is_about(name),
            Promise::Tagged { .. } => !matches!(self, Promise::Tagged { .. }) && self.is_about("Subject"),
            Promise::Hidden { .. } => matches!(self, Promise::Hidden { .. }),
        }
    }

    fn is_kept(&self, after: &Message) -> bool {
        let folded = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        match self {
            Promise::Is { name, value } => {
                after.fields(after.root(), name).count() == 1
                    && after.header(name).is_some_and(|found| folded(&found) == folded(value))
            }
            Promise::Absent { name } => after.fields(after.root(), name).next().is_none(),
            Promise::Tagged { tag } => {
                let mut subjects = after.fields(after.root(), "Subject").peekable();
                subjects.peek().is_some()
                    && subjects.all(|field| folded(&after.field_text(field).text).contains(&folded(tag)))
            }
            Promise::Hidden { to } => NAMING.iter().all(|name| {
                after
                    .fields(after.root(), name)
                    .all(|field| *name == "To" && after.read(field.value.clone()).trim_ascii() == to.as_bytes())
            }),
        }
    }
}

impl Intended {
    /// What is wrong with the bytes that leave, if anything. They come in pieces.
    pub fn check(self, message: &Message, pieces: &[&[u8]]) -> Result<(), &'static str> {
        self.outside_is_untouched(message, pieces)?;
        let left_out = if message.len() > WHOLE { self.large_leaves(message) } else { Vec::new() };
        if left_out.is_empty() {
            return Comparison { intended: &self, splices: &self.splices, before: message }.check(pieces.concat());
        }
        let left_out = Splices::new(left_out).map_err(|_| "parts that overlap")?;
        let before = Message::parse(left_out.build(message, 0..message.len()));
        if before.parts().len() != message.parts().len() {
            return Err("a skeleton with other parts");
        }
        let moved = self.splices.iter().map(|splice| Splice {
            range: left_out.map_before(splice.range.start)..left_out.map_before(splice.range.end),
            bytes: splice.bytes.clone(),
        });
        let splices = Splices::new(moved.collect()).map_err(|_| "parts that overlap")?;
        let after = splices.build(&before, 0..before.len());
        Comparison { intended: &self, splices: &splices, before: &before }.check(after)
    }

    fn outside_is_untouched(&self, message: &Message, pieces: &[&[u8]]) -> Result<(), &'static str> {
        let mut found = pieces.iter().copied();
        let mut piece: &[u8] = &[];
        for wanted in self.splices.pieces(message) {
            let mut wanted = &*wanted;
            while !wanted.is_empty() {
                if piece.is_empty() {
                    piece = found.next().ok_or("other bytes than intended")?;
                }
                let length = wanted.len().min(piece.len());
                // The same place in memory needs no look.
                if !std::ptr::eq(&wanted[..length], &piece[..length]) && wanted[..length] != piece[..length] {
                    return Err("other bytes than intended");
                }
                (wanted, piece) = (&wanted[length..], &piece[length..]);
            }
        }
        if piece.is_empty() && found.all(<[u8]>::is_empty) { Ok(()) } else { Err("other bytes than intended") }
    }

    /// The middle of each large leaf that is not edited, whole lines.
    fn large_leaves(&self, message: &Message) -> Vec<Splice> {
        let parts = message.parts();
        let mut has_parts = vec![false; parts.len()];
        for parent in parts.iter().filter_map(|part| part.parent) {
            has_parts[parent] = true;
        }
        let leaves = (0..parts.len()).filter(|index| !has_parts[*index] && self.edit_of(*index).is_none());
        leaves.filter_map(|index| middle(message, parts[index].body.clone())).collect()
    }

    fn keeps_promises(&self, after: &Message) -> bool {
        self.promises.iter().enumerate().all(|(at, promise)| {
            self.promises[at + 1..].iter().any(|later| later.overrides(promise)) || promise.is_kept(after)
        })
    }

    fn edit_of(&self, index: usize) -> Option<&PartEdit> {
        self.parts.iter().find(|edit| edit.part == index)
    }
}

fn middle(message: &Message, body: Range<usize>) -> Option<Splice> {
    if body.len() < 4 * KEPT {
        return None;
    }
    let line_behind =
        |range: Range<usize>| memchr::memchr(b'\n', &message.read(range.clone())).map(|at| range.start + at + 1);
    let start = line_behind(body.start + KEPT..body.end - 2 * KEPT)?;
    let end = line_behind(body.end - 2 * KEPT..body.end - KEPT)?;
    Some(Splice { range: start..end, bytes: Vec::new() })
}

/// A panic of a parser that is not ours is a failed check, not a lost message.
fn independent_tree(message: &Message) -> Option<Vec<check::Seen>> {
    std::panic::catch_unwind(|| check::independent_tree(message)).ok().flatten()
}

/// The message (or its skeleton) before, and the splices that make what it is after.
struct Comparison<'a> {
    intended: &'a Intended,
    splices: &'a Splices,
    before: &'a Message,
}

impl Comparison<'_> {
    fn check(&self, after: Vec<u8>) -> Result<(), &'static str> {
        let after = Message::parse(after);
        if self.before.parts().len() != after.parts().len() {
            return Err("another number of parts");
        }
        for (index, (old, new)) in self.before.parts().iter().zip(after.parts()).enumerate() {
            self.check_part(index, old, new, &after)?;
        }
        self.check_header(&after)?;
        self.check_doubts(&after)?;
        self.check_independently(&after)
    }

    fn check_part(&self, index: usize, old: &Part, new: &Part, after: &Message) -> Result<(), &'static str> {
        let edit = self.intended.edit_of(index);
        let described = edit.map(|edit| edit.described).unwrap_or_default();
        let same_type = old.content_type.media == new.content_type.media
            && old.content_type.subtype == new.content_type.subtype
            && if described.utf8 {
                new.content_type.parameter("charset").is_some_and(|charset| charset.eq_ignore_ascii_case("utf-8"))
            } else {
                old.content_type.parameters == new.content_type.parameters
            };
        let encoding = if described.quoted_printable { TransferEncoding::QuotedPrintable } else { old.encoding };
        let same = same_type
            && old.id == new.id
            && old.parent == new.parent
            && encoding == new.encoding
            && old.boundary == new.boundary
            && old.disposition == new.disposition
            && old.file_name == new.file_name
            && old.enclosed == new.enclosed
            && old.protection == new.protection
            && new.body.start == self.splices.map_before(old.body.start)
            && new.body.end + edit.map_or(0, |edit| edit.glue) == self.splices.map_after(old.body.end);
        if !same {
            return Err("a part that reads differently");
        }
        let added = edit.map_or(0, |edit| edit.fields_added);
        if index > 0 && new.fields.len() != old.fields.len() + added {
            return Err("another number of fields");
        }
        edit.map_or(Ok(()), |edit| self.check_content(edit, old, new, after))
    }

    fn check_content(&self, edit: &PartEdit, old: &Part, new: &Part, after: &Message) -> Result<(), &'static str> {
        let (new, _) = after.content(new, usize::MAX);
        let right = match &edit.expected {
            Expected::Becomes(content) => *new == **content,
            Expected::Grown { by } => {
                let (old, _) = self.before.content(old, usize::MAX);
                let front = old.iter().zip(new.iter()).take_while(|(a, b)| a == b).count();
                let back = old[front..].iter().rev().zip(new[front..].iter().rev()).take_while(|(a, b)| a == b).count();
                new.len() == old.len() + by && front + back == old.len()
            }
        };
        if right { Ok(()) } else { Err("an edited text that does not read as intended") }
    }

    fn check_header(&self, after: &Message) -> Result<(), &'static str> {
        let added = self.intended.edit_of(0).map_or(0, |edit| edit.fields_added);
        if after.root().fields.len() != self.intended.fields + added {
            return Err("another number of fields");
        }
        if self.intended.keeps_promises(after) { Ok(()) } else { Err("a header that does not read as intended") }
    }

    /// The line break that was added for the boundary behind the body that ends at `end`.
    fn glue_at(&self, end: usize) -> usize {
        let mut edits = self.intended.parts.iter();
        let edit = edits.find(|edit| self.before.parts()[edit.part].body.end == end);
        edit.map_or(0, |edit| edit.glue)
    }

    /// Nothing may have become doubtful or unreadable that was not.
    fn check_doubts(&self, after: &Message) -> Result<(), &'static str> {
        let doubts = after.ambiguous().iter().all(|doubt| self.before.ambiguous().contains(doubt));
        let unread = after.unread().iter().all(|unread| self.before.unread().contains(unread));
        if doubts && unread { Ok(()) } else { Err("a new doubt") }
    }

    fn check_independently(&self, after: &Message) -> Result<(), &'static str> {
        let Some(old) = independent_tree(self.before) else {
            // Beyond the limits within which it is asked, or too much for it. A header edit does without: what it
            // changed has been read back above.
            let header_only = self.intended.parts.is_empty();
            return if header_only { Ok(()) } else { Err(NOT_ASKED) };
        };
        let new = independent_tree(after).ok_or("the independent parser sees no message")?;
        let same = old.len() == new.len()
            && old.iter().zip(&new).all(|(old, new)| {
                let glue = self.glue_at(old.body.end);
                let body = self.splices.map_before(old.body.start)..self.splices.map_after(old.body.end) - glue;
                let within = |splice: &Splice| splice.range.start >= old.body.start && splice.range.end <= old.body.end;
                old.content_type == new.content_type
                    && old.depth == new.depth
                    && new.body == body
                    && (old.hash == new.hash || self.splices.iter().any(within))
            });
        if same { Ok(()) } else { Err("the independent parser sees another message") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(text: &str, file_lines: usize) -> Message {
        let file = format!("{}\r\n", "QUJD".repeat(19)).repeat(file_lines);
        let message = format!(
            "Subject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{text}\r\n--b\r\nContent-Type: \
             application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{file}--b--\r\n"
        );
        Message::parse(message.into_bytes())
    }

    /// An edit of part 1 that puts `insert` at its end, and claims that it has `by` bytes.
    fn intended(message: &Message, insert: &[u8], by: usize) -> Intended {
        let end = message.parts()[1].body.end;
        let part = PartEdit {
            part: 1,
            splices: Vec::new(),
            fields_added: 0,
            described: Default::default(),
            expected: Expected::Grown { by },
            glue: 0,
            added: vec![0],
        };
        let splices = Splices::new(vec![Splice { range: end..end, bytes: insert.to_vec() }]).unwrap();
        Intended { splices, parts: vec![part], fields: 2, promises: Vec::new() }
    }

    #[test]
    fn what_an_edit_must_not_do_is_found() {
        for lines in [3, 3000] {
            let message = mixed("Hello", lines);
            let check = |insert: &[u8], by: usize| {
                let intended = intended(&message, insert, by);
                let bytes = intended.splices.build(&message, 0..message.len());
                intended.check(&message, &[&bytes])
            };
            assert_eq!(check(b" and notice", 11), Ok(()));
            assert!(check(b" and notice", 10).is_err());
            assert!(check(b"\r\n--b\r\n\r\nanother part", 23).is_err());
            assert!(check(b"\r\n--b--\r\n", 9).is_err());
        }
    }

    #[test]
    fn bytes_that_were_not_intended_are_found() {
        for lines in [3, 3000] {
            let message = mixed("Hello", lines);
            let intended = || intended(&message, b"x", 1);
            let right = intended().splices.build(&message, 0..message.len());
            for at in [0, right.len() / 2, right.len() - 1] {
                let mut wrong = right.clone();
                wrong[at] ^= 1;
                assert_eq!(intended().check(&message, &[&wrong]), Err("other bytes than intended"));
            }
            assert!(intended().check(&message, &[&right[..right.len() - 1]]).is_err());
        }
    }

    #[test]
    fn a_broken_promise_is_found() {
        let message = Message::parse(b"Subject: s\r\nX-A: 1\r\n\r\nHi\r\n".to_vec());
        let promise = |promise| Intended {
            splices: Splices::new(Vec::new()).unwrap(),
            parts: Vec::new(),
            fields: 2,
            promises: vec![promise],
        };
        let bytes = message.read(0..message.len()).into_owned();
        let is = |value: &str| Promise::Is { name: "x-a".into(), value: value.into() };
        assert_eq!(promise(is("1")).check(&message, &[&bytes]), Ok(()));
        assert!(promise(is("2")).check(&message, &[&bytes]).is_err());
        assert!(promise(Promise::Absent { name: "X-A".into() }).check(&message, &[&bytes]).is_err());
        assert!(promise(Promise::Tagged { tag: "[t]".into() }).check(&message, &[&bytes]).is_err());
    }
}
