//! One message through all detectors.

use super::{
    Detectors, Finding, Hit, Scan, encryption,
    fold::Folded,
    inside::AttachmentReader,
    within::{self, Reading},
};
use crate::mail::{Confidence, Field, Message, Part, PartId, Text, Unread, UnreadReason, Zone};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

/// More of them in one part say nothing new to a rule or a reviewer.
const MOST_FINDINGS: usize = 10_000;

/// Fields whose text is written by the sender and shown to the reader. Addresses in them are not looked at as words.
const FIELDS: [&str; 3] = ["Subject", "Comments", "Keywords"];
const NAMES: [&str; 5] = ["From", "Sender", "Reply-To", "To", "Cc"];

impl Detectors {
    /// All text of a message, own, quoted and forwarded alike, and what attachments are; what is inside them is unread. A
    /// panic in a detector makes that part unread, nothing else.
    pub fn scan(&self, message: &Message) -> Scan {
        self.scan_parts(message, None)
    }

    /// The same, with what is inside of attachments. It may wait for the reader.
    pub fn scan_with(&self, message: &Message, reader: &dyn AttachmentReader) -> Scan {
        self.scan_parts(message, Some(Reading { reader, until: Instant::now() + within::TIME }))
    }

    fn scan_parts(&self, message: &Message, reading: Option<Reading<'_>>) -> Scan {
        let mut scan =
            Scan { unread: message.unread().to_vec(), ambiguous: message.ambiguous().to_vec(), ..Scan::default() };
        for part in message.parts() {
            guarded(&part.id.clone(), &mut scan, |scan| self.scan_part(message, part, reading, scan));
        }
        for part in message.parts() {
            let (id, zone) = match part.parent {
                None => (PartId::header(), Zone::Header),
                // A message inside of this one has a header of its own.
                Some(_) if part.enclosed => (part.id.clone(), Zone::Forwarded),
                Some(_) => continue,
            };
            guarded(&id, &mut scan, |scan| self.scan_header(message, part, &id, zone, scan));
        }
        scan
    }

    fn scan_part(&self, message: &Message, part: &Part, reading: Option<Reading<'_>>, scan: &mut Scan) {
        let before = scan.unread.len();
        let seen = encryption::inspect(message, part, scan);
        let outside = (scan.unread.len() > before).then_some(before);
        if seen.is_text {
            self.scan_text_of(&part.id, &message.text(part), None, scan);
        }
        if let (Some(content), Some(reading)) = (seen.content, reading)
            && within::is_to_be_entered(part, content)
        {
            self.scan_inside(message, part, outside, reading, scan);
        }
        if let Some(name) = &part.file_name {
            let mut hits = Vec::new();
            self.find(name.expose(), &mut hits);
            let place = |_: &Hit| (part.header.clone(), (Zone::Attachment, Confidence::High));
            scan.findings.extend(hits.into_iter().map(|hit| finding(hit, &part.id, place)));
        }
    }

    fn scan_header(&self, message: &Message, part: &Part, id: &PartId, zone: Zone, scan: &mut Scan) {
        let named = |names: &[&str], field: &Field| {
            let name = message.read(field.name.clone());
            names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes()))
        };
        for field in &part.fields {
            if named(&FIELDS, field) {
                self.scan_text_of(id, &message.field_text(field), Some(zone), scan);
            } else if named(&NAMES, field) {
                let text = message.field_text(field);
                self.scan_text_of(id, &without_addresses(text), Some(zone), scan);
            }
        }
    }

    fn scan_text_of(&self, part: &PartId, text: &Text, zone: Option<Zone>, scan: &mut Scan) {
        let mut hits = Vec::new();
        self.find(&text.text, &mut hits);
        let whose = |hit: &Hit| match zone {
            Some(zone) => (zone, Confidence::High),
            None => text.zone_and_confidence(hit.range.start),
        };
        let place = |hit: &Hit| (text.source(hit.range.clone()), whose(hit));
        scan.findings.extend(hits.into_iter().map(|hit| finding(hit, part, place)));
    }

    /// All detectors on one text; hits in the order of their first byte.
    pub(super) fn find(&self, text: &str, hits: &mut Vec<Hit>) {
        let folded = Folded::new(text);
        self.words.find(&folded, hits);
        self.personal.find(&folded, hits);
        self.credentials.find(&folded, hits);
        self.contacts.find(&folded, text, hits);
        self.patterns.find(text, &folded, hits);
        hits.sort_by_key(|hit| hit.range.start);
        hits.truncate(MOST_FINDINGS);
    }
}

pub(super) fn finding(
    hit: Hit,
    part: &PartId,
    place: impl Fn(&Hit) -> (std::ops::Range<usize>, (Zone, Confidence)),
) -> Finding {
    let (range, (zone, confidence)) = place(&hit);
    Finding {
        detector: hit.detector.name.clone(),
        category: hit.category,
        severity: hit.severity,
        part: part.clone(),
        zone,
        confidence,
        range,
        excerpt: hit.excerpt,
        value: hit.value,
        score: hit.score,
    }
}

/// Runs a detector. What it found before a panic stays, and the part is not taken for clean.
fn guarded(part: &PartId, scan: &mut Scan, work: impl FnOnce(&mut Scan)) {
    if catch_unwind(AssertUnwindSafe(|| work(scan))).is_err() {
        scan.unread.push(Unread { part: part.clone(), reason: UnreadReason::Crashed });
    }
}

/// A field of addresses with each address as blanks, so that offsets stay: names are text, addresses are not.
fn without_addresses(mut text: Text) -> Text {
    let blank = |word: &str| if word.contains('@') { " ".repeat(word.len()) } else { word.to_string() };
    let divides = |c: char| matches!(c, ' ' | '\t' | '<' | '>' | ',' | ';' | ':' | '"' | '(' | ')');
    text.text = text
        .text
        .split_inclusive(divides)
        .map(|word| {
            let end = word.rfind(divides).unwrap_or(word.len());
            blank(&word[..end]) + &word[end..]
        })
        .collect();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_unread_and_keeps_what_was_found() {
        let mut scan = Scan::default();
        guarded(&PartId::new("2"), &mut scan, |scan| {
            scan.protected.push((PartId::new("2"), super::super::Protected::EncryptedZip));
            panic!("on purpose");
        });
        assert_eq!(scan.unread, [Unread { part: PartId::new("2"), reason: UnreadReason::Crashed }]);
        assert_eq!(scan.protected.len(), 1);
    }

    #[test]
    fn addresses_are_blanked_in_place() {
        let mut text = Text::default();
        text.push_verbatim("\"A. Name\" <a.b@c.example>, d@e.example", 10);
        assert_eq!(without_addresses(text).text, "\"A. Name\" <             >,            ");
    }
}
