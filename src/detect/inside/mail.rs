//! A message inside of an attachment, by our own parser.

use super::{Out, below, enter};
use crate::mail::{Message, as_text};

/// Decoded content of one part that is read.
const LARGEST: usize = 32 << 20;

pub(super) fn read(content: &[u8], path: &str, depth: usize, out: &mut Out<'_>) {
    let message = Message::parse(content.to_vec());
    for unread in message.unread() {
        out.unread(path, unread.reason);
    }
    for field in &message.root().fields {
        let name = as_text(&message.read(field.name.clone())).to_ascii_lowercase();
        if ["subject", "from", "to", "cc", "comments", "keywords"].contains(&&*name) {
            out.text(&below(path, "HEADER"), &format!("{name}: {}", message.field_text(field).text));
        }
    }
    for part in message.parts() {
        if part.is_multipart() || part.body.is_empty() || part.content_type.media == "message" {
            continue;
        }
        let inside = below(path, part.file_name.as_ref().map_or(part.id.as_str(), |name| name.expose()));
        if part.file_name.is_some() {
            out.name(&inside, part.file_name.as_ref().map_or("", |name| name.expose()));
        }
        if part.is_text() {
            out.text(&inside, &message.text(part).text);
        } else {
            let (content, complete) = message.content(part, LARGEST);
            if !complete {
                out.unread(&inside, crate::mail::UnreadReason::TooLarge);
            }
            enter(&content, &inside, depth + 1, out);
        }
    }
}
