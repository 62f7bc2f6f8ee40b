//! The check of a message that became a part of a new one: all its parts are there, byte for byte, and one more that says
//! what was intended.

use super::{Intended, NOT_ASKED, independent_tree};
use crate::mail::{
    Message, Part,
    edit::{enclose::Enclosure, seal::Around},
};

const DIFFERS: &str = "an enclosed message that reads differently";

impl Intended {
    /// What is wrong with the bytes that leave, if anything.
    pub fn check_enclosed(
        self,
        message: &Message,
        pieces: &[&[u8]],
        enclosure: &Enclosure,
    ) -> Result<(), &'static str> {
        self.outside_is_untouched(message, pieces)?;
        let after = Message::parse(pieces.concat());
        let seen = Enclosed::of(enclosure, message.parts().len());
        seen.check_parts(message, &after)?;
        if after.root().fields.len() != self.fields || !self.keeps_promises(&after) {
            return Err("a header that does not read as intended");
        }
        check_doubts(message, &after)?;
        seen.check_independently(message, &after)
    }
}

/// Which parts the new message has: where the old ones stand among them.
struct Enclosed<'e> {
    enclosure: &'e Enclosure,
    parts: usize,
    /// How many stand in front of the old ones, the new root included, and how deep these are.
    before: usize,
    deeper: usize,
    /// The part with the notice.
    note: usize,
    all: usize,
}

impl<'e> Enclosed<'e> {
    fn of(enclosure: &'e Enclosure, parts: usize) -> Self {
        let (before, deeper, note, all) = match enclosure.around {
            Around::Wrap => (1, 1, parts + 1, parts + 2),
            Around::InFront => (2, 1, 1, parts + 2),
            // The note, and the part that encloses the message.
            Around::CoveringNote => (3, 2, 1, parts + 3),
        };
        Self { enclosure, parts, before, deeper, note, all }
    }

    fn check_parts(&self, message: &Message, after: &Message) -> Result<(), &'static str> {
        if after.parts().len() != self.all || !after.root().content_type.is("multipart", "mixed") {
            return Err("another number of parts");
        }
        let (old_start, new_start) = (message.root().body.start, after.parts()[self.before].body.start);
        let header = new_start.checked_sub(self.enclosure.inner_header.len()).ok_or(DIFFERS)?;
        if *after.read(header..new_start) != self.enclosure.inner_header[..] {
            return Err(DIFFERS);
        }
        let moved = |at: usize| at - old_start + new_start;
        let same = |(old, new): (&Part, &Part)| {
            old.content_type == new.content_type
                && old.encoding == new.encoding
                && old.boundary == new.boundary
                && old.protection == new.protection
                && old.disposition == new.disposition
                && old.file_name == new.file_name
                && old.depth + self.deeper == new.depth
                && (moved(old.body.start)..moved(old.body.end)) == new.body
                && message.read(old.body.clone()) == after.read(new.body.clone())
        };
        let inside = &after.parts()[self.before..self.before + self.parts];
        if !message.parts().iter().zip(inside).all(same) {
            return Err(DIFFERS);
        }
        let note = &after.parts()[self.note];
        let (content, _) = after.content(note, usize::MAX);
        let says = note.content_type.is("text", "plain") && content.trim_ascii() == self.enclosure.text.trim_ascii();
        if says { Ok(()) } else { Err("a notice that does not read as intended") }
    }

    fn check_independently(&self, message: &Message, after: &Message) -> Result<(), &'static str> {
        let (Some(old), Some(new)) = (independent_tree(message), independent_tree(after)) else {
            return Err(NOT_ASKED);
        };
        let moved =
            new.get(self.before..self.before + old.len()).ok_or("the independent parser sees another message")?;
        let same = new.len() == old.len() + self.all - self.parts
            && old.iter().zip(moved).all(|(old, new)| {
                old.content_type == new.content_type
                    && old.depth + self.deeper == new.depth
                    && old.body.len() == new.body.len()
                    && old.hash == new.hash
            });
        if same { Ok(()) } else { Err("the independent parser sees another message") }
    }
}

/// Parts have other numbers now, so doubts are compared by their class, and what could not be read by its reason.
fn check_doubts(before: &Message, after: &Message) -> Result<(), &'static str> {
    let doubts = after.ambiguous().iter().all(|new| before.ambiguous().iter().any(|old| old.class == new.class));
    let unread = after.unread().iter().all(|new| before.unread().iter().any(|old| old.reason == new.reason));
    if doubts && unread { Ok(()) } else { Err("a new doubt") }
}
