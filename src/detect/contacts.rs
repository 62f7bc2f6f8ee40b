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
}

impl Contacts {
    pub fn new() -> Self {
        Self { list: Detector::new("contacts.list", "CONTACT_LIST") }
    }

    pub fn detectors(&self) -> impl Iterator<Item = &Arc<Detector>> {
        [&self.list].into_iter()
    }

    /// Looks at the addresses and numbers that were found in the text before.
    pub fn find(&self, folded: &Folded, text: &str, hits: &mut Vec<Hit>) {
        let cards = memchr::memmem::find_iter(&folded.lower, b"begin:vcard").count();
        let mut entries: HashMap<(&str, u64), Range<usize>> = HashMap::new();
        let mut addresses = 0;
        let mut numbers = 0;
        for hit in hits.iter() {
            let count = match &*hit.detector.kind {
                "EMAIL_ADDRESS" if !in_recipients(text, hit.range.start) => &mut addresses,
                "UK_PHONE" => &mut numbers,
                _ => continue,
            };
            entries.entry((&hit.detector.kind, hit.value)).or_insert_with(|| {
                *count += 1;
                hit.range.clone()
            });
        }
        let people = addresses.max(numbers);
        if people < PEOPLE && cards < CARDS {
            return;
        }
        let start = entries.values().map(|range| range.start).min().unwrap_or(0);
        let end = entries.values().map(|range| range.end).max().unwrap_or(text.len());
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

/// Whether the line at `at`, or the one that it continues, begins as a field of recipients does.
fn in_recipients(text: &str, at: usize) -> bool {
    const FIELDS: [&str; 10] =
        ["to:", "cc:", "bcc:", "from:", "an:", "kopie:", "von:", "sent by:", "reply-to:", "sender:"];
    let mut before = &text[..text.floor_char_boundary(at)];
    // A list of recipients goes over lines that end with a divider or in the middle of an address.
    for _ in 0..64 {
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = before[line_start..].trim_start_matches(['>', ' ', '\t', '|', '*']);
        let begins = |field: &&str| line.get(..field.len()).is_some_and(|start| start.eq_ignore_ascii_case(field));
        if FIELDS.iter().any(begins) {
            return true;
        }
        let Some(previous) = before[..line_start].strip_suffix('\n') else { return false };
        let continued = previous.trim_end().ends_with([';', ',', '<']) || line.starts_with('<');
        if !continued || previous.trim_end_matches(['>', ' ', '\r']).is_empty() {
            // The name of a recipient may be broken from its address.
            let goes_back = line.contains('<') && previous.contains([';', ',']) && previous.contains('@');
            if !goes_back {
                return false;
            }
        }
        before = previous;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::personal::Personal;

    fn lists(text: &str) -> usize {
        let folded = Folded::new(text);
        let mut hits = Vec::new();
        Personal::new().find(&folded, &mut hits);
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
