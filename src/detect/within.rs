//! Attachments through a reader: its items become findings, what protects and what could not be read.

use super::{
    Detector, Detectors, Finding, Protected, Scan,
    encryption::{self, Content},
    inside::{AttachmentReader, Item, Note},
};
use crate::mail::{Confidence, Message, Part, PartId, TransferEncoding, Unread, UnreadReason, Zone};
use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

/// For all attachments of one message together.
pub(super) const TIME: Duration = Duration::from_secs(15);

/// Findings in one attachment: more say nothing new.
const MOST_FINDINGS: usize = 10_000;

/// Members of one attachment that are not read: more say nothing new.
const MOST_UNREAD: usize = 2_500;

/// A larger attachment than any message that a door takes.
const LARGEST: usize = 64 << 20;

/// Text of the message itself: what reads it takes linear time, and needs no other process.
pub fn is_read_in_place(part: &Part) -> bool {
    part.is_multipart() || (part.is_text() && !part.is_attachment() && part.encoding != TransferEncoding::Base64)
}

/// A reader, and until when it may read for this message.
#[derive(Clone, Copy)]
pub(super) struct Reading<'r> {
    pub reader: &'r dyn AttachmentReader,
    pub until: Instant,
}

/// What a look from outside said of a part, and whether a look inside says more.
pub(super) fn is_to_be_entered(part: &Part, content: Content) -> bool {
    let outside_says_all = match content {
        Content::Text { wraps } => !wraps,
        Content::Encrypted(protected) => !matches!(protected, Protected::EncryptedZip | Protected::EncryptedPdf),
        Content::Signed(_) => true,
        Content::Unread(_) | Content::NoText => false,
    };
    !outside_says_all && !is_read_in_place(part)
}

/// Hands over all text inside of all attachments, and says what is not read.
pub(super) fn read_all(
    message: &Message,
    reader: &dyn AttachmentReader,
    unread: &mut Vec<Unread>,
    take: &mut dyn FnMut(&PartId, &str),
) {
    let until = Instant::now() + TIME;
    for part in message.parts() {
        let mut outside = Scan::default();
        let seen = encryption::inspect(message, part, &mut outside);
        let entered = seen.content.is_some_and(|content| is_to_be_entered(part, content));
        if !entered {
            unread.extend(outside.unread);
            continue;
        }
        let (content, _) = message.content(part, LARGEST);
        let result = reader.read(&content, until, &mut |item| match item {
            Item::Text { path, text } => take(&member(part, &path), &text),
            Item::Name { path, name } => take(&member(part, &path), &name),
            Item::Unread { path, reason } => unread.push(Unread { part: member(part, &path), reason }),
            Item::Note { .. } => {}
        });
        unread.extend(result.err().map(|reason| Unread { part: part.id.clone(), reason }));
    }
}

impl Detectors {
    /// Reads a part inside; `outside` is where in `scan.unread` it was said from outside why the part is not read.
    pub(super) fn scan_inside(
        &self,
        message: &Message,
        part: &Part,
        outside: Option<usize>,
        reading: Reading<'_>,
        scan: &mut Scan,
    ) {
        let (content, complete) = message.content(part, LARGEST);
        let first = scan.findings.len();
        let result = reading.reader.read(&content, reading.until, &mut |item| {
            let is_full = scan.findings.len() - first >= MOST_FINDINGS;
            match &item {
                // What could not be read is told however much was found.
                Item::Unread { .. } => self.take(part, item, scan),
                Item::Note { note, .. } if protected(*note).is_some() => self.take(part, item, scan),
                _ if is_full => {}
                _ => self.take(part, item, scan),
            }
        });
        let reason = result.err().or((!complete).then_some(UnreadReason::TooLarge));
        // What is said inside takes the place of what was said outside, but for encryption, which both see.
        if let Some(at) = outside
            && scan.unread[at].reason != UnreadReason::Encrypted
            && reason != Some(UnreadReason::UnknownFormat)
        {
            scan.unread.remove(at);
        }
        let known = outside.is_some() && reason == Some(UnreadReason::UnknownFormat);
        scan.unread.extend(reason.filter(|_| !known).map(|reason| Unread { part: part.id.clone(), reason }));
    }

    fn take(&self, part: &Part, item: Item, scan: &mut Scan) {
        match item {
            Item::Text { path, text } => self.take_text(part, &member(part, &path), &text, scan),
            Item::Name { path, name } => self.take_text(part, &member(part, &path), &name, scan),
            Item::Unread { path, reason } => {
                let unread = Unread { part: member(part, &path), reason };
                if scan.unread.len() < MOST_UNREAD && !scan.unread.contains(&unread) {
                    scan.unread.push(unread);
                }
            }
            Item::Note { path, note } => {
                let id = member(part, &path);
                match (protected(note), of_note(note)) {
                    (Some(protected), _) => {
                        if scan.protected.len() < MOST_UNREAD && !scan.protected.contains(&(id.clone(), protected)) {
                            scan.protected.push((id, protected));
                        }
                    }
                    (None, Some(detector)) => {
                        scan.findings.push(Finding::of_part(detector.name.clone(), id, part.body.clone()));
                    }
                    (None, None) => {}
                }
            }
        }
    }

    fn take_text(&self, part: &Part, id: &PartId, text: &str, scan: &mut Scan) {
        let mut hits = Vec::new();
        self.find(text, &mut hits);
        let place = |_: &super::Hit| (part.body.clone(), (Zone::Attachment, Confidence::High));
        scan.findings.extend(hits.into_iter().map(|hit| super::scan::finding(hit, id, place)));
    }
}

fn member(part: &Part, path: &str) -> PartId {
    if path.is_empty() { part.id.clone() } else { part.id.member(path) }
}

fn protected(note: Note) -> Option<Protected> {
    match note {
        Note::EncryptedZip => Some(Protected::EncryptedZip),
        Note::EncryptedOffice => Some(Protected::EncryptedOffice),
        Note::EncryptedPdf => Some(Protected::EncryptedPdf),
        Note::EncryptedArchive => Some(Protected::EncryptedArchive),
        _ => None,
    }
}

const NOTES: [(Note, &str, &str); 7] = [
    (Note::Executable, "attachment.executable", "EXECUTABLE"),
    (Note::Macro, "attachment.macro", "MACRO"),
    (Note::Image, "attachment.image", "IMAGE"),
    (Note::Video, "attachment.video", "VIDEO"),
    (Note::TrailingData, "attachment.trailing-data", "TRAILING_DATA"),
    (Note::Polyglot, "attachment.polyglot", "POLYGLOT"),
    (Note::Restricted, "attachment.restricted", "RESTRICTED"),
];

static DETECTORS: LazyLock<Vec<(Note, Arc<Detector>)>> =
    LazyLock::new(|| NOTES.iter().map(|(note, name, kind)| (*note, Detector::new(name, kind))).collect());

fn of_note(note: Note) -> Option<&'static Arc<Detector>> {
    DETECTORS.iter().find(|(known, _)| *known == note).map(|(_, detector)| detector)
}

/// What a rule may ask for of attachments besides their text.
pub(super) fn detectors() -> impl Iterator<Item = &'static Arc<Detector>> {
    DETECTORS.iter().map(|(_, detector)| detector)
}
