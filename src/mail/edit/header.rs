//! Edits of the message's own header: which fields stay, go, change, and how a new field is written.

use super::splice::Splice;
use super::written::{self, HeaderName, HeaderText};
use super::{EditFailure, Transport};
use crate::mail::{Field, Message};

/// The header as it will be. Edits are made on the plan one after the other; then it becomes splices.
pub(super) struct HeaderPlan<'m> {
    message: &'m Message,
    fates: Vec<Fate>,
    added: Vec<Added>,
    newline: &'static [u8],
}

/// What becomes of a field that came with the message.
#[derive(Clone, PartialEq)]
enum Fate {
    Stays,
    Goes,
    /// The whole field anew, with its line break.
    Becomes(Vec<u8>),
    /// New bytes in front of its value, behind the leading space.
    Prefixed(Vec<u8>),
}

struct Added {
    name: String,
    whole: Vec<u8>,
}

impl<'m> HeaderPlan<'m> {
    pub fn new(message: &'m Message, newline: &'static [u8]) -> Self {
        Self { message, fates: vec![Fate::Stays; message.root().fields.len()], added: Vec::new(), newline }
    }

    /// The first field of that name is replaced, others go; none: added at the end. Whether anything changed.
    pub fn set(&mut self, name: &str, value: &str, transport: Transport) -> Result<bool, EditFailure> {
        let name = HeaderName::parse(name).ok_or(invalid("set-header", "the name of a header field"))?;
        let value = HeaderText::parse(value).ok_or(invalid("set-header", "a line break or control in the value"))?;
        let mut whole = written::field(&name, &value, transport, self.newline)
            .ok_or(invalid("set-header", "a value that this field cannot carry"))?;
        let mut places = self.places(name.as_str());
        if places.len() == 1 && self.fates[places[0]] == Fate::Stays {
            let field = &self.message.root().fields[places[0]];
            if self.message.read(field.whole.clone()) == whole
                || self.message.field_text(field).text.trim() == value.as_str()
            {
                return Ok(false);
            }
        }
        self.added.retain(|added| !added.name.eq_ignore_ascii_case(name.as_str()));
        if places.is_empty() {
            self.added.push(Added { name: name.as_str().to_owned(), whole });
            return Ok(true);
        }
        let first = places.remove(0);
        self.keep_line_end(first, &mut whole);
        self.fates[first] = Fate::Becomes(whole);
        for place in places {
            self.fates[place] = Fate::Goes;
        }
        Ok(true)
    }

    /// All fields of that name go. Whether there were any.
    pub fn remove(&mut self, name: &str) -> Result<bool, EditFailure> {
        let name = HeaderName::parse(name).ok_or(invalid("remove-header", "the name of a header field"))?;
        let before = self.added.len();
        self.added.retain(|added| !added.name.eq_ignore_ascii_case(name.as_str()));
        let places = self.places(name.as_str());
        for place in &places {
            self.fates[*place] = Fate::Goes;
        }
        Ok(!places.is_empty() || before != self.added.len())
    }

    /// `[tag] ` in front of each subject that does not have it. Whether anything changed.
    pub fn tag_subject(&mut self, tag: &str, transport: Transport) -> Result<bool, EditFailure> {
        let invalid = invalid("tag-subject", "a line break or control in the tag");
        let tag = HeaderText::parse(&format!("[{tag}]")).ok_or(invalid.clone())?;
        let subject = HeaderName::parse("Subject").expect("Subject is a header name");
        let places = self.places("Subject");
        if places.is_empty() {
            let whole = written::field(&subject, &tag, transport, self.newline).ok_or(invalid)?;
            self.added.push(Added { name: "Subject".into(), whole });
            return Ok(true);
        }
        let mut changed = false;
        for place in places {
            let field = &self.message.root().fields[place];
            if self.fates[place] != Fate::Stays || self.message.field_text(field).text.contains(tag.as_str()) {
                continue;
            }
            let value = self.message.read(field.value.clone());
            let at = value_start(&value);
            let line = memchr::memrchr(b'\n', &value[..at]).map(|at| at + 1);
            let column = line.map_or(field.value.start - field.whole.start + at, |line| at - line);
            let prefix = written::subject_prefix(&tag, &value[at..], column, transport, self.newline);
            self.fates[place] = Fate::Prefixed(prefix);
            changed = true;
        }
        Ok(changed)
    }

    /// Puts `whole` (a field without its line break) at the place of the first of `names` that is there, and takes
    /// all others of `names` away. Whether any was there.
    pub fn replace_all(&mut self, first_of: &str, names: &[&str], whole: &str) -> bool {
        let mut places: Vec<usize> = names.iter().flat_map(|name| self.places(name)).collect();
        places.sort_unstable();
        let mut whole = [whole.as_bytes(), self.newline].concat();
        let before = self.added.len();
        self.added.retain(|added| !names.iter().any(|name| added.name.eq_ignore_ascii_case(name)));
        let Some(first) = self.places(first_of).first().or(places.first()).copied() else {
            let added = before != self.added.len();
            self.added.extend(added.then(|| Added { name: first_of.to_owned(), whole }));
            return added;
        };
        for place in places {
            self.fates[place] = Fate::Goes;
        }
        self.keep_line_end(first, &mut whole);
        self.fates[first] = Fate::Becomes(whole);
        true
    }

    /// What `revise` says of each field that stays as it came: `Some(None)`, it goes; `Some(Some(value))`, it gets that
    /// value. Whether anything changed.
    pub fn revise(&mut self, revise: impl Fn(&Field) -> Option<Option<String>>) -> bool {
        let mut changed = false;
        for (place, field) in self.message.root().fields.iter().enumerate() {
            if self.fates[place] != Fate::Stays {
                continue;
            }
            let Some(revised) = revise(field) else { continue };
            self.fates[place] = match revised {
                None => Fate::Goes,
                Some(value) => {
                    let name = self.message.read(field.name.clone());
                    let mut whole = [&name, &b": "[..], value.as_bytes(), self.newline].concat();
                    self.keep_line_end(place, &mut whole);
                    Fate::Becomes(whole)
                }
            };
            changed = true;
        }
        changed
    }

    /// A new field (without its line break) at the end.
    pub fn add(&mut self, name: &str, field: &str) {
        let whole = [field.as_bytes(), self.newline].concat();
        self.added.push(Added { name: name.to_owned(), whole });
    }

    /// The fields of the message that stay so far, by name.
    pub fn fields(&self, name: &str) -> impl Iterator<Item = &'m Field> {
        let fields = &self.message.root().fields;
        self.places(name).into_iter().map(move |place| &fields[place])
    }

    /// How many fields the header will have.
    pub fn count(&self) -> usize {
        self.fates.iter().filter(|fate| **fate != Fate::Goes).count() + self.added.len()
    }

    /// The plan as splices of the message.
    pub fn splices(&self) -> Vec<Splice> {
        let root = self.message.root();
        let mut splices = Vec::new();
        for (field, fate) in root.fields.iter().zip(&self.fates) {
            match fate {
                Fate::Stays => {}
                Fate::Goes => splices.push(Splice { range: field.whole.clone(), bytes: Vec::new() }),
                Fate::Becomes(whole) => splices.push(Splice { range: field.whole.clone(), bytes: whole.clone() }),
                Fate::Prefixed(prefix) => {
                    let at = field.value.start + value_start(&self.message.read(field.value.clone()));
                    splices.push(Splice { range: at..at, bytes: prefix.clone() });
                }
            }
        }
        let end = root.header.end;
        for added in &self.added {
            splices.push(Splice { range: end..end, bytes: added.whole.clone() });
        }
        splices
    }

    fn places(&self, name: &str) -> Vec<usize> {
        let named = |field: &Field| self.message.read(field.name.clone()).eq_ignore_ascii_case(name.as_bytes());
        let fields = self.message.root().fields.iter().zip(&self.fates).enumerate();
        fields.filter(|(_, (field, fate))| **fate != Fate::Goes && named(field)).map(|(at, _)| at).collect()
    }

    /// The last field of a message that ends in its header may have no line break.
    fn keep_line_end(&self, place: usize, whole: &mut Vec<u8>) {
        if !self.message.read(self.message.root().fields[place].whole.clone()).ends_with(b"\n") {
            whole.truncate(whole.len() - self.newline.len());
        }
    }
}

/// Where the value begins behind its leading white space and folds.
fn value_start(value: &[u8]) -> usize {
    value.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).unwrap_or(value.len())
}

pub(super) fn invalid(kind: &'static str, what: &'static str) -> EditFailure {
    EditFailure::Invalid { kind, what }
}
