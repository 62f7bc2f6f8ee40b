//! The message: its bytes as they came, and an index of its parts by byte range.

use super::{
    Address, Ambiguity, Field, Part, Text, TransferEncoding, Unread, encoded_word, mailboxes,
    scan::{self, Found},
    transfer,
};
use std::{borrow::Cow, ops::Range, sync::Arc};

/// A message: raw bytes and an index. Never re-serialised; read through ranges, so that an encrypted
/// spool can come later. Cheap to clone. `Debug` shows sizes only.
#[derive(Clone)]
pub struct Message {
    inner: Arc<Inner>,
}

struct Inner {
    bytes: Vec<u8>,
    found: Found,
}

impl Message {
    /// Reads the structure of `bytes`. Cannot fail: what passes a limit or could be read in two ways is
    /// in `unread` and `ambiguous`. Linear in time; 1,000 parts, depth 32, message/rfc822 depth 10,
    /// header block 1 MiB.
    pub fn parse(bytes: Vec<u8>) -> Self {
        let found = scan::scan(&bytes);
        Self { inner: Arc::new(Inner { bytes, found }) }
    }

    pub fn len(&self) -> usize {
        self.inner.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.inner.bytes.is_empty()
    }

    /// The bytes of a range, as they came.
    pub fn read(&self, range: Range<usize>) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.slice(range))
    }

    /// All parts, the message itself first, in the order of their first byte.
    pub fn parts(&self) -> &[Part] {
        &self.inner.found.parts
    }

    /// The message itself: its header is the message's header.
    pub fn root(&self) -> &Part {
        &self.parts()[0]
    }

    pub fn unread(&self) -> &[Unread] {
        &self.inner.found.unread
    }

    pub fn ambiguous(&self) -> &[Ambiguity] {
        &self.inner.found.ambiguous
    }

    /// All fields of that name in a part's header, name compared without case.
    pub fn fields<'a>(&'a self, part: &'a Part, name: &'a str) -> impl Iterator<Item = &'a Field> {
        part.fields.iter().filter(move |field| self.slice(field.name.clone()).eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The first field of that name in the message's header, unfolded, encoded words decoded
    /// (RFC 2047), white space at the ends removed. For reading only.
    pub fn header(&self, name: &str) -> Option<String> {
        self.fields(self.root(), name).next().map(|field| encoded_word::decoded(self.slice(field.value.clone())))
    }

    /// The value of one field, unfolded, as `Text` with the way back to the bytes, encoded words decoded.
    pub fn field_text(&self, field: &Field) -> Text {
        encoded_word::field_text(self.slice(field.value.clone()), field.value.start)
    }

    /// All mailboxes in fields of that name (From, To, Cc, Bcc, Reply-To …) of the message's header, every copy
    /// of the field included, groups entered. What is not a mailbox is left out.
    pub fn mailboxes(&self, name: &str) -> Vec<Address> {
        let mut found = Vec::new();
        for field in self.fields(self.root(), name) {
            mailboxes::read(self.slice(field.value.clone()), &mut found);
        }
        found
    }

    /// All mailboxes of one field, groups entered. What is not a mailbox is left out.
    pub fn mailboxes_of(&self, field: &Field) -> Vec<Address> {
        let mut found = Vec::new();
        mailboxes::read(self.slice(field.value.clone()), &mut found);
        found
    }

    /// The body of a part with its transfer encoding undone, leniently; at most `limit` bytes, and whether
    /// that was all of it.
    pub fn content(&self, part: &Part, limit: usize) -> (Cow<'_, [u8]>, bool) {
        let body = self.slice(part.body.clone());
        let (decoded, complete) = match part.encoding {
            TransferEncoding::Base64 => transfer::base64(body, limit),
            TransferEncoding::QuotedPrintable => transfer::quoted_printable(body, limit),
            _ => return (Cow::Borrowed(&body[..body.len().min(limit)]), body.len() <= limit),
        };
        (Cow::Owned(decoded), complete)
    }

    pub(super) fn slice(&self, range: Range<usize>) -> &[u8] {
        &self.inner.bytes[range]
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message {{ {} bytes, {} parts }}", self.len(), self.parts().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Message {
        Message::parse(text.replace('\n', "\r\n").into_bytes())
    }

    /// One line a part: id, type, body.
    fn tree(message: &Message) -> Vec<String> {
        let line = |part: &Part| {
            let body = String::from_utf8_lossy(message.slice(part.body.clone())).replace("\r\n", "|");
            let body = if part.is_multipart() { String::new() } else { body };
            format!("{} {}/{} {body}", part.id, part.content_type.media, part.content_type.subtype)
        };
        message.parts().iter().map(line).collect()
    }

    #[test]
    fn plain() {
        let message = parse("From: a@b.example\nSubject: =?utf-8?q?gr=C3=BCn?=\n\nHello\n");
        assert_eq!(tree(&message), ["1 text/plain Hello|"]);
        assert_eq!(message.header("subject").as_deref(), Some("grün"));
        assert_eq!(message.header("To"), None);
        assert_eq!(message.mailboxes("From").len(), 1);
        assert!(message.ambiguous().is_empty() && message.unread().is_empty());
        assert_eq!(message.text(message.root()).text, "Hello\r\n");
    }

    /// Below the Received that each server puts on top these blanks continue it, and the recipient reads the fields.
    #[test]
    fn blanks_at_the_very_top_do_not_end_the_header() {
        for top in ["\tfolded\n", " \n", " a\n\t\n b: c\n"] {
            let message = parse(&format!("{top}From: a@b.example\nContent-Transfer-Encoding: base64\n\nSGVsbG8=\n"));
            assert_eq!(message.mailboxes("From").len(), 1, "{top:?}");
            assert_eq!(message.text(message.root()).text, "Hello", "{top:?}");
            let classes: Vec<_> = message.ambiguous().iter().map(|doubt| doubt.class).collect();
            assert_eq!(classes, ["a message that begins with a blank"]);
        }
        assert_eq!(tree(&parse(" \nNot a field\n")), ["1 text/plain Not a field|"]);
        let inner = parse("Content-Type: message/rfc822\n\n \nSubject: x\n\nA\n");
        assert_eq!(tree(&inner)[1], "1.1 text/plain  |Subject: x||A|", "nothing stands on top of an enclosed one");
    }

    #[test]
    fn nested() {
        let message = parse(
            "Content-Type: multipart/mixed; boundary=o\n\npreamble\n--o\nContent-Type: multipart/alternative; boundary=oi\n\n\
             --oi\n\nplain\n--oi\nContent-Type: text/html\n\n<p>x\n--oi--\n\n--o\nContent-Type: message/rfc822\n\n\
             Subject: inner\nContent-Type: multipart/mixed; boundary=in\n\n--in\n\nA\n--in\n\nB\n--in--\n--o\n\
             Content-Type: message/rfc822\n\nSubject: single\n\nC\n--o--\nepilogue\n",
        );
        assert_eq!(
            tree(&message),
            [
                "TEXT multipart/mixed ",
                "1 multipart/alternative ",
                "1.1 text/plain plain",
                "1.2 text/html <p>x",
                "2 message/rfc822 Subject: inner|Content-Type: multipart/mixed; boundary=in||--in||A|--in||B|--in--",
                "2.TEXT multipart/mixed ",
                "2.1 text/plain A",
                "2.2 text/plain B",
                "3 message/rfc822 Subject: single||C",
                "3.1 text/plain C",
            ]
        );
        assert_eq!(message.ambiguous(), []);
        let enclosed: Vec<_> =
            message.parts().iter().filter(|part| part.enclosed).map(|part| part.id.to_string()).collect();
        assert_eq!(enclosed, ["2.TEXT", "2.1", "2.2", "3.1"]);
    }
}
