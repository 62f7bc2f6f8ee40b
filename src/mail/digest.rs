//! What makes two copies of a message the same message, however each was packed: decoded content, without boundaries,
//! transfer encodings and what servers write into the header on the way.

use super::{Message, Part};
use sha2::{Digest, Sha256};

/// Of the text so much tells one message from another.
const ENOUGH: usize = 256 << 10;

/// Fields that a reader sees. Servers leave them as they are.
const READ: [&str; 6] = ["From", "Sender", "Reply-To", "To", "Cc", "Subject"];

impl Message {
    /// Of the decoded text parts alone, and of no more than is needed to tell messages apart: made for every message.
    pub fn text_digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut room = ENOUGH;
        for part in self.leaves().filter(|part| part.content_type.media == "text") {
            let (content, _) = self.content(part, room);
            room -= content.len();
            add(&mut hash, &content);
            if room == 0 {
                break;
            }
        }
        hash.finalize().into()
    }

    /// Of all that a recipient gets: the fields that are read, and each part's type, name and decoded content.
    pub fn content_digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for name in READ {
            for field in self.fields(self.root(), name) {
                let text = self.field_text(field).text;
                add(&mut hash, name.as_bytes());
                text.split_whitespace().for_each(|word| add(&mut hash, word.as_bytes()));
            }
        }
        for part in self.leaves() {
            add(&mut hash, part.content_type.media.as_bytes());
            add(&mut hash, part.content_type.subtype.as_bytes());
            add(&mut hash, part.file_name.as_ref().map_or("", |name| name.expose()).as_bytes());
            add(&mut hash, &self.content(part, usize::MAX).0);
        }
        hash.finalize().into()
    }

    /// The parts that hold content of their own.
    fn leaves(&self) -> impl Iterator<Item = &Part> {
        let parts = self.parts();
        let inner: Vec<bool> = parts.iter().fold(vec![false; parts.len()], |mut inner, part| {
            if let Some(parent) = part.parent {
                inner[parent] = true;
            }
            inner
        });
        parts
            .iter()
            .enumerate()
            .filter(move |(index, part)| !inner[*index] && !part.is_multipart())
            .map(|(_, part)| part)
    }
}

/// With its length in front, so that nothing can run into what follows.
fn add(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message::parse(text.replace('\n', "\r\n").into_bytes())
    }

    const ONE: &str = "Received: from a\nFrom: Ann <ann@ours.example>\nTo: a@x.example,\n b@x.example\nSubject: Hello\n\
        Content-Type: multipart/mixed; boundary=one\n\n--one\nContent-Type: text/plain; charset=utf-8\n\nSch=C3=B6n\n--one\n\
        Content-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nQUJD\n--one--\n";

    /// The same with another boundary, other transfer encodings, another folding and other trace fields.
    const OTHER: &str = "Received: from b\nX-MS-Exchange-Organization: x\nFrom: Ann <ann@ours.example>\nTo: a@x.example, b@x.example\n\
        Subject: Hello\nContent-Type: multipart/mixed;\n boundary=\"two\"\n\nThis is MIME.\n--two\n\
        Content-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: base64\n\nU2NoPUMzPUI2bg==\n--two\n\
        Content-Type: application/pdf; name=\"a.pdf\"\nContent-Transfer-Encoding: base64\n\nQU\nJD\n--two--\nbye\n";

    #[test]
    fn packing_makes_no_difference() {
        let (one, other) = (message(ONE), message(OTHER));
        assert_eq!(one.text_digest(), other.text_digest());
        assert_eq!(one.content_digest(), other.content_digest());
    }

    #[test]
    fn content_does() {
        let one = message(ONE);
        for (from, to, same_text) in [
            ("Sch=C3=B6n", "Schade", false),
            ("QUJD", "QUJE", true),
            ("a.pdf", "b.pdf", true),
            ("application/pdf", "application/zip", true),
            ("Subject: Hello", "Subject: Hallo", true),
            ("To: a@x.example", "To: c@x.example", true),
            ("From: Ann", "From: Bob", true),
        ] {
            let other = message(&ONE.replace(from, to));
            assert_ne!(one.content_digest(), other.content_digest(), "{from} {to}");
            assert_eq!(one.text_digest() == other.text_digest(), same_text, "{from} {to}");
        }
    }

    #[test]
    fn what_is_inside_another_message_counts_and_a_long_text_has_an_end() {
        let wrapped = |text: &str| {
            message(&format!(
                "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: in\n\n{text}\n--b--\n"
            ))
        };
        assert_ne!(wrapped("one").text_digest(), wrapped("two").text_digest());
        let long = |end: &str| message(&format!("Subject: x\n\n{}{end}\n", "line of text\n".repeat(30_000)));
        assert_eq!(long("a").text_digest(), long("b").text_digest());
        assert_ne!(long("a").content_digest(), long("b").content_digest());
        assert_eq!(wrapped("one").leaves().count(), 1);
    }
}
