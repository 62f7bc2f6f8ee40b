//! Contact lists: a document with many different people's addresses or telephone numbers, or several vCards. One finding
//! for the whole text, since the list is what is personal, not the one entry. The header block of a quoted message names
//! recipients; it is no list.

use super::{Detector, Hit, fold::Folded};
use std::{collections::HashMap, ops::Range, sync::Arc};

/// So many different people make a list.
const PEOPLE: usize = 10;
const CARDS: usize = 3;

pub(super) struct Contacts {
    list: Arc<Detector>,
    recipient: Arc<Detector>,
}

/// Its findings are those of `EMAIL_ADDRESS` once more: they are for rules, and not among what `scan` prints.
pub(super) const QUOTED_RECIPIENT: &str = "QUOTED_RECIPIENT";

impl Contacts {
    pub fn new() -> Self {
        Self {
            list: Detector::new("contacts.list", "CONTACT_LIST"),
            recipient: Detector::new("contacts.quoted-recipient", QUOTED_RECIPIENT),
        }
    }

    pub fn detectors(&self) -> impl Iterator<Item = &Arc<Detector>> {
        [&self.list, &self.recipient].into_iter()
    }

    /// One address of a copied header's recipients.
    fn quoted(&self, address: &Hit) -> Hit {
        Hit {
            detector: self.recipient.clone(),
            category: None,
            severity: 0,
            range: address.range.clone(),
            excerpt: address.excerpt.clone(),
            value: address.value,
            score: 0.9,
        }
    }

    /// Looks at the addresses and numbers that were found in the text before.
    pub fn find(&self, folded: &Folded, text: &str, hits: &mut Vec<Hit>) {
        let cards = memchr::memmem::find_iter(&folded.lower, b"begin:vcard").count();
        let mut entries: HashMap<(&str, u64), Range<usize>> = HashMap::new();
        let mut addresses = 0;
        let mut numbers = 0;
        let mut quoted = Vec::new();
        for hit in hits.iter() {
            let count = match &*hit.detector.kind {
                "EMAIL_ADDRESS" => match field_at(text, hit.range.start) {
                    None => &mut addresses,
                    Some(field) => {
                        quoted.extend(field.names_recipients.then(|| self.quoted(hit)));
                        continue;
                    }
                },
                "UK_PHONE" => &mut numbers,
                _ => continue,
            };
            entries.entry((&hit.detector.kind, hit.value)).or_insert_with(|| {
                *count += 1;
                hit.range.clone()
            });
        }
        let people = addresses.max(numbers);
        let start = entries.values().map(|range| range.start).min().unwrap_or(0);
        let end = entries.values().map(|range| range.end).max().unwrap_or(text.len());
        drop(entries);
        hits.extend(quoted);
        if people < PEOPLE && cards < CARDS {
            return;
        }
        hits.push(Hit {
            detector: self.list.clone(),
            category: None,
            severity: 0,
            range: start..end,
            excerpt: format!("{} people", people.max(cards)),
            value: super::value_hash(&self.list.name, text.as_bytes()),
            score: if people >= 2 * PEOPLE || cards >= CARDS { 0.95 } else { 0.85 },
        });
    }
}

/// A field of a copied message's header.
#[derive(Clone, Copy)]
struct CopiedField {
    /// To and its like; else From and its like.
    names_recipients: bool,
}

/// The field of a copied header in which the line at `at` stands, or the one that it continues.
fn field_at(text: &str, at: usize) -> Option<CopiedField> {
    const RECIPIENTS: [&str; 9] = ["to:", "cc:", "bcc:", "an:", "kopie:", "à :", "à:", "copie :", "copie:"];
    const AUTHORS: [&str; 5] = ["from:", "von:", "sent by:", "reply-to:", "sender:"];
    let mut before = &text[..text.floor_char_boundary(at)];
    // A list of recipients goes over lines that end with a divider or in the middle of an address.
    for _ in 0..64 {
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = before[line_start..].trim_start_matches(['>', ' ', '\t', '|', '*']);
        let begins = |field: &&str| line.get(..field.len()).is_some_and(|start| start.eq_ignore_ascii_case(field));
        for (fields, names_recipients) in [(&RECIPIENTS[..], true), (&AUTHORS[..], false)] {
            if fields.iter().any(begins) {
                return Some(CopiedField { names_recipients });
            }
        }
        let previous = before[..line_start].strip_suffix('\n')?;
        let continued = previous.trim_end().ends_with([';', ',', '<']) || line.starts_with('<');
        if !continued || previous.trim_end_matches(['>', ' ', '\r']).is_empty() {
            // The name of a recipient may be broken from its address.
            let goes_back = line.contains('<') && previous.contains([';', ',']) && previous.contains('@');
            if !goes_back {
                return None;
            }
        }
        before = previous;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::personal::Personal;

    fn lists(text: &str) -> usize {
        let folded = Folded::new(text);
        let mut hits = Vec::new();
        Personal::with(&[]).find(&folded, &mut hits);
        Contacts::new().find(&folded, text, &mut hits);
        hits.iter().filter(|hit| &*hit.detector.kind == "CONTACT_LIST").count()
    }

    fn people(count: usize, row: impl Fn(usize) -> String) -> String {
        (0..count).map(row).collect()
    }

    #[test]
    fn many_people_are_a_list() {
        let row = |person| format!("Person {person} - person{person}@agency.example - 07700 9001{person:02}\n");
        assert_eq!(lists(&people(PEOPLE, row)), 1);
        assert_eq!(lists(&people(PEOPLE - 1, row)), 0);
        assert_eq!(lists(&people(3 * PEOPLE, |_| row(1))), 0, "one person many times");
        assert_eq!(lists(&people(PEOPLE, |person| format!("07700 9001{person:02}\n"))), 1, "numbers alone");
        assert_eq!(lists(&"BEGIN:VCARD\nFN:Ann\nEND:VCARD\n".repeat(CARDS)), 1);
    }

    #[test]
    fn addresses_of_a_copied_header_are_found_as_such() {
        let quoted = |text: &str| {
            let folded = Folded::new(text);
            let mut hits = Vec::new();
            Personal::with(&[]).find(&folded, &mut hits);
            Contacts::new().find(&folded, text, &mut hits);
            hits.iter().filter(|hit| &*hit.detector.kind == QUOTED_RECIPIENT).count()
        };
        for (text, count) in [
            ("From: a@ours.example\nTo: b@x.example; C <c@x.example>\nCc: d@x.example\nSubject: x\n", 3),
            ("> To: b@x.example,\n> c@x.example\n", 2),
            ("*An:* b@x.example\n*Kopie:* c@x.example\n", 2),
            ("Write to b@x.example or c@x.example.\n", 0),
            ("From: a@ours.example\n", 0),
        ] {
            assert_eq!(quoted(text), count, "{text}");
        }
    }

    #[test]
    fn recipients_are_no_list() {
        let to = |divider: &str| {
            let all: Vec<_> = (0..3 * PEOPLE).map(|n| format!("Person {n} <p{n}@agency.example>")).collect();
            format!("-----Original Message-----\nFrom: a@ours.example\nTo: {}\nSubject: x\n\nText\n", all.join(divider))
        };
        for divider in ["; ", ";\n", ", ", ";\n> "] {
            assert_eq!(lists(&to(divider)), 0, "{divider:?}");
        }
        let wrapped = to("; ").replace(" <p", "\n<p");
        assert_eq!(lists(&wrapped), 0, "broken between name and address");
    }
}
