//! Two independent views of the same message, so that an edit can be checked: our own and mail-parser's.
//!
//! In: a message. Out: its parts in order, with type, place and a hash of their bytes. Never: a look by mail-parser at
//! a message whose nesting our own scan did not accept, since it has no limit of its own.

use super::{Message, Part, UnreadReason};
use mail_parser::{MessageParser, MimeHeaders, PartType};
use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hasher},
    ops::Range,
};

/// More than a message within our limits needs for its own nesting; text may mention types too.
const MOST_MENTIONS: usize = 100;

/// One part as a parser sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `text/plain`, lower case.
    pub content_type: String,
    /// How many parts are around it.
    pub depth: usize,
    /// The body as it stands in the message.
    pub body: Range<usize>,
    /// Of the body of a leaf. 0 for a part that has parts inside. Comparable within one process only.
    pub hash: u64,
}

impl Seen {
    pub fn is_leaf(&self) -> bool {
        self.hash != 0
    }
}

/// The parts as our own scan sees them.
pub fn own_tree(message: &Message) -> Vec<Seen> {
    let has_parts = |index: usize| message.parts().iter().any(|part| part.parent == Some(index));
    let seen = |(index, part): (usize, &Part)| Seen {
        content_type: format!("{}/{}", part.content_type.media, part.content_type.subtype),
        depth: part.depth,
        body: part.body.clone(),
        hash: if part.is_multipart() || has_parts(index) { 0 } else { hash(message.slice(part.body.clone())) },
    };
    message.parts().iter().enumerate().map(seen).collect()
}

/// The hashes of all leaves, in order.
pub fn leaf_hashes(message: &Message) -> Vec<u64> {
    own_tree(message).into_iter().filter(Seen::is_leaf).map(|seen| seen.hash).collect()
}

/// The parts as mail-parser sees them. None: it found no message, or it is not asked, since our own scan met a limit or
/// mail-parser might see messages inside messages that our scan did not count.
pub fn independent_tree(message: &Message) -> Option<Vec<Seen>> {
    let over_limit = |reason| matches!(reason, UnreadReason::TooDeep | UnreadReason::TooMany | UnreadReason::TooLarge);
    if message.unread().iter().any(|unread| over_limit(unread.reason)) {
        return None;
    }
    let bytes = message.slice(0..message.len());
    let most = if message.ambiguous().is_empty() { MOST_MENTIONS } else { 0 };
    if mentions_of_messages(bytes).take(most + 1).count() > most {
        return None;
    }
    let read = without_charsets(message, bytes);
    let parsed = MessageParser::new().with_mime_headers().parse(&read)?;
    let mut seen = Vec::with_capacity(parsed.parts.len());
    collect(bytes, &parsed, 0, 0, &mut seen);
    Some(seen)
}

/// The same bytes with the parameter `charset` of texts misspelled: mail-parser would turn each text into UTF-8 letter by
/// letter, which is of no interest here and costs more than all the rest. Multiparts are left as they are, since a
/// boundary may hold the word.
fn without_charsets<'m>(message: &'m Message, bytes: &'m [u8]) -> Cow<'m, [u8]> {
    const NAME: &[u8] = b"charset";
    let mut read = Cow::Borrowed(bytes);
    for part in message.parts().iter().filter(|part| part.content_type.media == "text") {
        for field in message.fields(part, "Content-Type") {
            for at in memchr::memchr2_iter(b'c', b'C', &bytes[field.value.clone()]) {
                let at = field.value.start + at;
                if bytes[at..].get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)) {
                    read.to_mut()[at] = b'x';
                }
            }
        }
    }
    read
}

/// Where the type of an enclosed message is named. Enclosed messages are what mail-parser holds nested, and drops by
/// recursion.
fn mentions_of_messages(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    memchr::memchr_iter(b'/', bytes).filter(|&at| {
        bytes[..at].len() >= 7 && bytes[at - 7..at].eq_ignore_ascii_case(b"message")
            || bytes.get(at + 1..at + 7).is_some_and(|subtype| subtype.eq_ignore_ascii_case(b"digest"))
    })
}

/// Depth is bounded by our own scan, so recursion is too.
fn collect(bytes: &[u8], message: &mail_parser::Message<'_>, index: usize, depth: usize, into: &mut Vec<Seen>) {
    let Some(part) = message.parts.get(index) else { return };
    let body = part.offset_body as usize..(part.offset_end as usize).max(part.offset_body as usize).min(bytes.len());
    let content_type = part.content_type().map_or("text/plain".to_string(), |kind| {
        format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("plain")).to_ascii_lowercase()
    });
    let identity = part.encoding == mail_parser::Encoding::None;
    let leaf = match &part.body {
        PartType::Multipart(_) => false,
        PartType::Message(_) => !identity,
        _ => true,
    };
    let hash = if leaf { hash(bytes.get(body.clone()).unwrap_or_default()) } else { 0 };
    into.push(Seen { content_type, depth, body, hash });
    match &part.body {
        PartType::Multipart(parts) => {
            for &child in parts {
                collect(bytes, message, child as usize, depth + 1, into);
            }
        }
        PartType::Message(enclosed) if identity => collect(bytes, enclosed, 0, depth + 1, into),
        _ => {}
    }
}

/// Never 0, which marks a part with parts inside.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_see_the_same() {
        let message = "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: text/html\r\n\r\n<p>x\r\n--o\r\n\
            Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nbody\r\n--o\r\nContent-Type: image/png\r\n\
            Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--o--\r\n";
        let message = Message::parse(message.as_bytes().to_vec());
        let own = own_tree(&message);
        let independent = independent_tree(&message).expect("within limits");
        let leaves = |tree: &[Seen]| {
            tree.iter()
                .filter(|seen| seen.is_leaf())
                .map(|seen| (seen.content_type.clone(), seen.depth, seen.body.clone(), seen.hash))
                .collect::<Vec<_>>()
        };
        assert_eq!(leaves(&own), leaves(&independent));
        assert_eq!(leaves(&own).len(), 3);
        assert_eq!(leaf_hashes(&message).len(), 3);
    }

    #[test]
    fn not_asked_beyond_our_limits() {
        let deep: String =
            (0..100).map(|i| format!("Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n")).collect();
        assert!(independent_tree(&Message::parse(deep.into_bytes())).is_none());
        // A nest behind an encoding that our scan does not enter, and behind a type that it does not take.
        let nest = "Content-Type: message/rfc822\r\n\r\n".repeat(50_000);
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &nest);
        let encoded = format!("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n");
        assert!(independent_tree(&Message::parse(encoded.into_bytes())).is_none());
        let hidden = format!("Content-Type: text/plain\r\n\r\n{nest}");
        assert!(independent_tree(&Message::parse(hidden.into_bytes())).is_none());
    }
}
