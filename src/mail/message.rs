//! The message: its bytes as they came, and an index of its parts by byte range.

use super::{Ambiguity, Field, Part, Text, Unread};
use std::{borrow::Cow, ops::Range, sync::Arc};

/// A message: raw bytes and an index. Never re-serialised; read through ranges, so that an encrypted
/// spool can come later. Cheap to clone. `Debug` shows sizes only.
#[derive(Clone)]
pub struct Message {
    bytes: Arc<Vec<u8>>,
    parts: Arc<Vec<Part>>,
    unread: Arc<Vec<Unread>>,
    ambiguous: Arc<Vec<Ambiguity>>,
}

impl Message {
    /// Reads the structure of `bytes`. Cannot fail: what passes a limit or could be read in two ways is
    /// in `unread` and `ambiguous`. Linear in time; 1,000 parts, depth 32, message/rfc822 depth 10,
    /// header block 1 MiB.
    pub fn parse(bytes: Vec<u8>) -> Self {
        todo!()
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes of a range, as they came.
    pub fn read(&self, range: Range<usize>) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes[range])
    }

    /// All parts, the message itself first, in the order of their first byte.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The message itself: its header is the message's header.
    pub fn root(&self) -> &Part {
        &self.parts[0]
    }

    pub fn unread(&self) -> &[Unread] {
        &self.unread
    }

    pub fn ambiguous(&self) -> &[Ambiguity] {
        &self.ambiguous
    }

    /// All fields of that name in a part's header, name compared without case.
    pub fn fields<'a>(&'a self, part: &'a Part, name: &'a str) -> impl Iterator<Item = &'a Field> {
        part.fields.iter().filter(move |field| self.read(field.name.clone()).eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The first field of that name in the message's header, unfolded, encoded words decoded
    /// (RFC 2047), white space at the ends removed. For reading only.
    pub fn header(&self, name: &str) -> Option<String> {
        todo!()
    }

    /// The value of one field, unfolded, as `Text` with the way back to the bytes, encoded words decoded.
    pub fn field_text(&self, field: &Field) -> Text {
        todo!()
    }

    /// All mailboxes in fields of that name (From, To, Cc, Bcc, Reply-To …) of the message's header, every copy
    /// of the field included, groups entered. What is not a mailbox is left out.
    pub fn mailboxes(&self, name: &str) -> Vec<super::Address> {
        todo!()
    }

    /// The body of a part with its transfer encoding undone, leniently; at most `limit` bytes, and whether
    /// that was all of it.
    pub fn content(&self, part: &Part, limit: usize) -> (Cow<'_, [u8]>, bool) {
        todo!()
    }

    /// The text of a text part as its reader sees it (transfer encoding, charset; HTML as displayed), with zones.
    pub fn text(&self, part: &Part) -> Text {
        todo!()
    }

    /// Machine mail: null sender is asked of the envelope; here multipart/report, read receipts and
    /// `Auto-Submitted` other than `no` (RFC 3834).
    pub fn is_automatic(&self) -> bool {
        todo!()
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message {{ {} bytes, {} parts }}", self.bytes.len(), self.parts.len())
    }
}
