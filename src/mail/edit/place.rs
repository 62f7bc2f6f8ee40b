//! Where a notice goes: the parts that are the author's own text, as readers choose what to show.

use super::{EditFailure, Seal};
use crate::mail::{Message, Part, PartId, Protection, TransferEncoding, doubt};

const KIND: &str = "append-notice";

/// Where a notice goes, or why this message is left alone by its type.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Places {
    In(Vec<Place>),
    Exempt(&'static str),
}

/// One text part that takes the notice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Index in `Message::parts`.
    pub part: usize,
    /// Other parts in which the author's text stands, when it is cut in pieces: a notice in one of them counts.
    pub beside: Vec<usize>,
}

/// Finds the places. Nothing is taken for the author's text that could be read in two ways.
pub(super) fn find(message: &Message) -> Result<Places, EditFailure> {
    if let Some(reason) = exempt(message) {
        return Ok(Places::Exempt(reason));
    }
    let parts = message.parts();
    let rights_managed = |part: &&Part| !part.enclosed && part.protection == Some(Protection::RightsManaged);
    if let Some(seal) = parts.iter().find(rights_managed).and_then(Seal::of) {
        return Err(EditFailure::Protected { kind: KIND, seal });
    }
    let mut places = Vec::new();
    Walk { message }.enter(0, &mut places)?;
    if places.is_empty() {
        return Err(EditFailure::NoPlace { kind: KIND });
    }
    for place in &places {
        refuse_doubt(message, place.part)?;
    }
    Ok(Places::In(places))
}

/// Nothing but files, and messages enclosed beside them, so that a text part can stand in front of them. A message that is put together again
/// by its own fields, or fetched, is none (RFC 2046 5.2).
pub(super) fn is_files_alone(message: &Message) -> bool {
    let fetched = |part: &Part| {
        part.content_type.media == "message"
            && matches!(part.content_type.subtype.as_str(), "partial" | "external-body")
    };
    let has_text = |part: &Part| is_author_text(part) || Seal::of(part).is_some() || may_be_sealed(part);
    let outer = || message.parts().iter().filter(|part| !part.enclosed);
    let root = message.root();
    // A message that is an enclosed one and nothing else is read in several ways, and so is a multipart without a part.
    let known = if root.is_multipart() { message.parts().len() > 1 } else { root.content_type.media != "message" };
    known && !outer().any(|part| fetched(part) || has_text(part))
}

/// Sealed by its name or in a form that servers have changed: nobody asked us to put anything around it.
fn may_be_sealed(part: &Part) -> bool {
    const NAMES: [&str; 4] = [".p7m", ".rpmsg", ".pgp", ".asc"];
    const TYPES: [&str; 4] = ["pkcs7-mime", "x-pkcs7-mime", "pgp-encrypted", "x-microsoft-rpmsg-message"];
    let named = |name: &str| NAMES.iter().any(|end| name.to_ascii_lowercase().ends_with(end));
    TYPES.contains(&part.content_type.subtype.as_str())
        || part.file_name.as_ref().is_some_and(|name| named(name.expose()))
}

/// A doubt about the part or about what encloses it.
pub(super) fn refuse_doubt(message: &Message, index: usize) -> Result<(), EditFailure> {
    let parts = message.parts();
    let target = &parts[index];
    if target.encoding == TransferEncoding::Unknown {
        return Err(EditFailure::Ambiguous { kind: KIND, class: doubt::UNKNOWN_ENCODING });
    }
    let mut at = Some(index);
    while let Some(index) = at {
        refuse_doubt_of(message, &parts[index].id, index == 0)?;
        at = parts[index].parent;
    }
    Ok(())
}

fn refuse_doubt_of(message: &Message, id: &PartId, is_root: bool) -> Result<(), EditFailure> {
    let concerned = |part: &PartId| part == id || (is_root && part.as_str() == "HEADER");
    let doubts = message.ambiguous().iter().filter(|doubt| concerned(&doubt.part));
    match doubts.map(|doubt| doubt.class).find(|class| !is_harmless(class)) {
        Some(class) => Err(EditFailure::Ambiguous { kind: KIND, class }),
        None => Ok(()),
    }
}

/// Types that lose their meaning with a notice inside, or whose readers would never show it.
fn exempt(message: &Message) -> Option<&'static str> {
    let outer = || message.parts().iter().filter(|part| !part.enclosed);
    if message.root().content_type.is("multipart", "report") {
        return Some("a report");
    }
    if message.root().content_type.is("message", "disposition-notification") {
        return Some("a report");
    }
    if outer().any(|part| {
        part.content_type.is("application", "ms-tnef")
            || part.content_type.is("application", "vnd.ms-tnef")
            || part.file_name.as_ref().is_some_and(|name| name.expose().eq_ignore_ascii_case("winmail.dat"))
    }) {
        return Some("winmail.dat");
    }
    // An invitation is text/calendar shown in place of the text (RFC 6047 2.4); a calendar file sent along is not.
    let in_alternative = |part: &Part| {
        part.parent.is_none_or(|parent| message.parts()[parent].content_type.is("multipart", "alternative"))
    };
    outer()
        .any(|part| {
            part.content_type.is("text", "calendar")
                && !part.is_attachment()
                && (in_alternative(part) || part.content_type.parameter("method").is_some())
        })
        .then_some("a calendar invitation")
}

struct Walk<'m> {
    message: &'m Message,
}

impl Walk<'_> {
    /// Adds the places at or below one part.
    fn enter(&self, index: usize, places: &mut Vec<Place>) -> Result<(), EditFailure> {
        let part = &self.message.parts()[index];
        if let Some(seal) = Seal::of(part) {
            return Err(EditFailure::Protected { kind: KIND, seal });
        }
        if !part.is_multipart() {
            if is_author_text(part) {
                places.push(Place { part: index, beside: Vec::new() });
            }
            return Ok(());
        }
        let children = self.children(index);
        match part.content_type.subtype.as_str() {
            "alternative" => children.into_iter().try_for_each(|child| self.enter(child, places)),
            "related" => self.root_of_related(index, &children).map_or(Ok(()), |root| self.enter(root, places)),
            "digest" | "report" | "appledouble" | "byteranges" | "voice-message" => Ok(()),
            // All others are treated as mixed (RFC 2046 5.1.3).
            _ => self.enter_mixed(&children, places),
        }
    }

    /// The first child with the author's text decides. Where the text is cut in pieces by pictures and files
    /// (Apple Mail), the notice stands in the last piece of the same type.
    fn enter_mixed(&self, children: &[usize], places: &mut Vec<Place>) -> Result<(), EditFailure> {
        let parts = self.message.parts();
        for child in children {
            let mut inner = Vec::new();
            self.enter(*child, &mut inner)?;
            if inner.is_empty() {
                continue;
            }
            if parts[*child].is_multipart() {
                places.extend(inner);
                return Ok(());
            }
            let first = &parts[*child].content_type;
            let alike = |index: &&usize| {
                let part = &parts[**index];
                is_author_text(part)
                    && !part.is_multipart()
                    && part.protection.is_none()
                    && part.content_type.subtype == first.subtype
            };
            let mut pieces: Vec<usize> = children.iter().filter(alike).copied().collect();
            let last = pieces.pop().expect("the first piece is one of them");
            places.push(Place { part: last, beside: pieces });
            return Ok(());
        }
        Ok(())
    }

    /// The part that `start` names, else the first (RFC 2387 3.2).
    fn root_of_related(&self, index: usize, children: &[usize]) -> Option<usize> {
        let parts = self.message.parts();
        let named = parts[index].content_type.parameter("start").and_then(|start| {
            let start = start.trim();
            children.iter().copied().find(|child| {
                let mut ids = self.message.fields(&parts[*child], "Content-ID");
                ids.any(|field| self.message.read(field.value.clone()).trim_ascii() == start.as_bytes())
            })
        });
        named.or(children.first().copied())
    }

    fn children(&self, index: usize) -> Vec<usize> {
        let parts = self.message.parts();
        (index + 1..parts.len()).filter(|child| parts[*child].parent == Some(index)).collect()
    }
}

/// Doubts that leave no doubt about where the author's text is. (A charset that is not known is looked at when the
/// notice is written.)
fn is_harmless(class: &str) -> bool {
    [
        doubt::TWO_FROM,
        doubt::TWO_TO,
        doubt::TWO_CC,
        doubt::TWO_SUBJECT,
        doubt::TWO_FILE_NAMES,
        doubt::ODD_FIELD_NAME,
        doubt::UNKNOWN_CHARSET,
    ]
    .contains(&class)
}

fn is_author_text(part: &Part) -> bool {
    let shown = part.content_type.is("text", "plain") || part.content_type.is("text", "html");
    shown && !part.is_attachment() && !part.enclosed
}
