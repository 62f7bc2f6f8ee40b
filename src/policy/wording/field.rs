//! Fields of a text: `{{sender.name}}`, or several of which the first that is known counts: `{{sender.team | "the office"}}`.

use super::{Reading, Values};
use std::ops::Range;

/// What stands for a field is looked up for each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    SenderName,
    SenderTitle,
    SenderTeam,
    SenderPhone,
    SenderAddress,
    SenderManager,
    SenderGroup,
    OrganisationName,
    RegisteredName,
    RegisteredIn,
    RegisteredNumber,
    RegisteredOffice,
    CharityNumber,
    Contact,
}

pub const FIELDS: [(&str, Field); 14] = [
    ("sender.name", Field::SenderName),
    ("sender.title", Field::SenderTitle),
    ("sender.team", Field::SenderTeam),
    ("sender.phone", Field::SenderPhone),
    ("sender.address", Field::SenderAddress),
    ("sender.manager", Field::SenderManager),
    ("sender.group", Field::SenderGroup),
    ("organisation.name", Field::OrganisationName),
    ("organisation.registered-name", Field::RegisteredName),
    ("organisation.registered-in", Field::RegisteredIn),
    ("organisation.registered-number", Field::RegisteredNumber),
    ("organisation.registered-office", Field::RegisteredOffice),
    ("organisation.charity-number", Field::CharityNumber),
    ("organisation.contact", Field::Contact),
];

impl Field {
    /// One line. None: not known.
    fn value(self, values: &Values<'_>) -> Option<String> {
        let person = values.person;
        let legal = &values.organisation.legal;
        let value = match self {
            Field::SenderName => person?.name.clone(),
            Field::SenderTitle => person?.title.clone(),
            Field::SenderTeam => person?.team.clone(),
            Field::SenderPhone => person?.phone.clone(),
            Field::SenderAddress => values.author?.as_str().to_owned(),
            Field::SenderManager => values.directory.person(person?.manager.as_ref()?)?.name.clone(),
            Field::SenderGroup => {
                let groups = person?.groups.iter().filter_map(|group| values.directory.person(group));
                let names: Vec<&str> = groups.map(|group| &*group.name).filter(|name| !name.is_empty()).collect();
                names.join(", ")
            }
            Field::OrganisationName => values.organisation.name.clone(),
            Field::RegisteredName => legal.name.clone(),
            Field::RegisteredIn => legal.registered_in?.as_str().to_owned(),
            Field::RegisteredNumber => legal.number.clone(),
            Field::RegisteredOffice => legal.office.clone(),
            Field::CharityNumber => legal.charity_number.clone(),
            Field::Contact => legal.contact.clone(),
        };
        Some(value).filter(|value| !value.is_empty())
    }
}

/// One place of a text that is filled for each message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot(Vec<Alternative>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Alternative {
    Field(Field),
    Text(String),
}

impl Slot {
    /// The first that is known. None: what it stands in is left out.
    pub fn fill(&self, values: &Values<'_>) -> Option<String> {
        self.0.iter().find_map(|alternative| match alternative {
            Alternative::Field(field) => field.value(values),
            Alternative::Text(text) => Some(text.clone()),
        })
    }
}

/// A stretch of text, or what is put into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    Slot(Slot),
    /// Within the address of a link.
    Link(Slot),
}

/// The pieces of `range` of the text being read.
pub fn pieces(reading: &mut Reading<'_>, range: Range<usize>, slot: impl Fn(Slot) -> Piece) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let rest = &reading.text()[at..range.end];
        let Some(open) = rest.find("{{") else {
            stray(reading, at..range.end);
            pieces.push(Piece::Text(reading.text()[at..range.end].into()));
            break;
        };
        if open > 0 {
            stray(reading, at..at + open);
            pieces.push(Piece::Text(reading.text()[at..at + open].into()));
        }
        let inside = at + open + 2;
        let Some(close) = reading.text()[inside..range.end].find("}}") else {
            let allowed = "a field ends with }} in the same line, as in {{sender.name}}";
            reading.mistake(at + open..inside, "nothing closes this field", allowed);
            break;
        };
        pieces.extend(alternatives(reading, inside..inside + close).map(&slot));
        at = inside + close + 2;
    }
    pieces
}

fn stray(reading: &mut Reading<'_>, range: Range<usize>) {
    if let Some(at) = reading.text()[range.clone()].find("}}") {
        let at = range.start + at;
        reading.mistake(at..at + 2, "this closes no field", "a field looks so: {{sender.name}}");
    }
}

fn alternatives(reading: &mut Reading<'_>, range: Range<usize>) -> Option<Slot> {
    let mut found = Vec::new();
    let mut start = range.start;
    let written = reading.text()[range].to_owned();
    for word in written.split('|') {
        let at = start + (word.len() - word.trim_start().len());
        start += word.len() + 1;
        let word = word.trim();
        let place = at..at + word.len();
        if let Some(text) = word.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            found.push(Alternative::Text(text.into()));
        } else if let Some((_, field)) = FIELDS.iter().find(|(name, _)| *name == word) {
            found.push(Alternative::Field(*field));
        } else {
            reading.unknown_field(place, word);
            return None;
        }
    }
    Some(Slot(found))
}
