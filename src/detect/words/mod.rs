//! Words and phrases of the lists, ours and the organisation's own: detectors `words.LIST`.

mod about;
mod disguise;
pub(super) mod list;

use super::{
    Detector, Hit, Mistake, SourceFile,
    fold::Folded,
    matcher::{Match, Matcher},
};
use disguise::Starred;
use list::WordList;
use std::{collections::HashMap, sync::Arc};

/// All lists, compiled. The innocent ones are in the same matcher, so that text is read once.
pub(super) struct Words {
    matcher: Matcher,
    entries: Vec<Entry>,
    starred: Starred,
    detectors: Vec<Arc<Detector>>,
}

struct Entry {
    /// None: innocent. What lies inside of it is no match.
    list: Option<Arc<List>>,
    category: Option<Arc<str>>,
    severity: u8,
    /// Of the entry, the same for all its forms.
    value: u64,
}

struct List {
    detector: Arc<Detector>,
    clear: bool,
    about_person: bool,
}

const PLAIN_SCORE: f32 = 0.95;
const DISGUISED_SCORE: f32 = 0.8;

impl Words {
    /// Files of the same name are one list: the later extends the earlier, and may take entries out.
    pub fn compile(lists: &[SourceFile], innocent: &[SourceFile]) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut read = |files: &[SourceFile]| -> Vec<WordList> {
            let parsed = files.iter().map(WordList::parse);
            parsed.filter_map(|list| list.map_err(|wrong| mistakes.extend(wrong)).ok()).collect()
        };
        let (lists, innocent) = (extended(read(lists)), extended(read(innocent)));
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let mut compiling = Compiling::default();
        for list in &lists {
            let offends = list.entries.iter().any(|entry| entry.severity > 0);
            let kind = match &list.kind {
                Some(kind) => kind.clone(),
                None if offends => "OFFENSIVE".into(),
                None => list.name.to_uppercase().replace('-', "_"),
            };
            let detector = Arc::new(Detector { name: format!("words.{}", list.name).into(), kind: kind.into() });
            compiling.detectors.push(detector.clone());
            compiling.add(list, Some(Arc::new(List { detector, clear: list.clear, about_person: list.about_person })));
        }
        for list in &innocent {
            compiling.add(list, None);
        }
        Ok(compiling.finish())
    }

    pub fn detectors(&self) -> impl Iterator<Item = &Arc<Detector>> {
        self.detectors.iter()
    }

    pub fn find(&self, folded: &Folded, hits: &mut Vec<Hit>) {
        let mut matches = Vec::new();
        self.matcher.find(&folded.lower, |found| matches.push((found, PLAIN_SCORE)));
        disguise::find(&folded.lower, &self.matcher, &self.starred, |found| matches.push((found, DISGUISED_SCORE)));
        if matches.is_empty() {
            return;
        }
        matches.sort_by_key(|(found, _)| (found.range.start, std::cmp::Reverse(found.range.end)));
        let mut enclosing = Enclosing::default();
        let innocent: Vec<_> = matches.iter().filter(|(found, _)| self.entry(found).list.is_none()).cloned().collect();
        let mut innocent = innocent.iter().map(|(found, _)| found.range.clone()).peekable();
        let mut innocent_to = 0;
        for (found, score) in &matches {
            while let Some(range) = innocent.next_if(|range| range.start <= found.range.start) {
                innocent_to = innocent_to.max(range.end);
            }
            let entry = self.entry(found);
            let Some(list) = &entry.list else { continue };
            // Innocent words offend nobody; what they say of a person may still be private.
            let innocent = found.range.end <= innocent_to && !list.about_person;
            if innocent || !enclosing.is_new(list, found) {
                continue;
            }
            let about = || about::is_about_a_person(folded, &found.range, entry.category.as_deref());
            if list.about_person && !about() {
                continue;
            }
            let folded_text = &folded.cased[found.range.clone()];
            hits.push(Hit {
                detector: list.detector.clone(),
                category: entry.category.clone(),
                severity: entry.severity,
                range: folded.original(found.range.clone()),
                excerpt: if list.clear { folded_text.to_string() } else { masked(folded_text) },
                value: entry.value,
                score: *score,
            });
        }
    }

    fn entry(&self, found: &Match) -> &Entry {
        &self.entries[found.entry as usize]
    }
}

/// For each list the match that reaches farthest: one inside of it says nothing new.
#[derive(Default)]
struct Enclosing(Vec<(*const List, usize)>);

impl Enclosing {
    fn is_new(&mut self, list: &Arc<List>, found: &Match) -> bool {
        let list = Arc::as_ptr(list);
        match self.0.iter_mut().find(|(other, _)| *other == list) {
            Some((_, end)) if found.range.end <= *end => false,
            Some((_, end)) => {
                *end = found.range.end;
                true
            }
            None => {
                self.0.push((list, found.range.end));
                true
            }
        }
    }
}

#[derive(Default)]
struct Compiling {
    entries: Vec<Entry>,
    forms: Vec<(Vec<u8>, u32)>,
    starred: Starred,
    categories: HashMap<String, Arc<str>>,
    detectors: Vec<Arc<Detector>>,
}

impl Compiling {
    fn add(&mut self, list: &WordList, compiled: Option<Arc<List>>) {
        for entry in &list.entries {
            let number = self.entries.len() as u32;
            let category = entry
                .category
                .as_ref()
                .map(|name| self.categories.entry(name.clone()).or_insert_with(|| name.as_str().into()).clone());
            for form in &entry.forms {
                let folded = Folded::new(form).lower;
                if compiled.is_some() && entry.severity > 1 {
                    self.starred.add(&folded, number);
                }
                self.forms.push((folded, number));
            }
            let value = super::value_hash("words", entry.forms[0].to_lowercase().as_bytes());
            self.entries.push(Entry { list: compiled.clone(), category, severity: entry.severity, value });
        }
    }

    fn finish(self) -> Words {
        let matcher = Matcher::new(self.forms.iter().map(|(form, number)| (form.as_slice(), *number)));
        Words { matcher, entries: self.entries, starred: self.starred, detectors: self.detectors }
    }
}

/// Joins lists of one name, then takes out what they remove.
fn extended(lists: Vec<WordList>) -> Vec<WordList> {
    let mut joined: Vec<WordList> = Vec::new();
    for list in lists {
        match joined.iter_mut().find(|other| other.name == list.name) {
            Some(other) => {
                other.entries.retain(|entry| !list.removed.contains(&entry.forms[0].to_lowercase()));
                other.clear |= list.clear;
                other.about_person |= list.about_person;
                other.kind = list.kind.or(other.kind.take());
                other.entries.extend(list.entries);
            }
            None => joined.push(list),
        }
    }
    joined
}

/// The first letter of each word, the rest as stars.
fn masked(text: &str) -> String {
    let mut inside = false;
    let mask = |c: char| {
        let letter = c.is_alphanumeric();
        let shown = if letter && inside {
            '*'
        } else if c.is_whitespace() {
            ' '
        } else {
            c
        };
        inside = letter || (inside && !c.is_whitespace());
        shown
    };
    text.chars().map(mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, innocent: &str) -> Words {
        let file =
            |path: &str, text: &str| SourceFile { path: path.into(), text: format!("language: en\n---\n{text}") };
        Words::compile(&[file("birds.txt", text)], &[file("innocent.txt", innocent)]).unwrap()
    }

    fn found(words: &Words, text: &str) -> Vec<String> {
        let mut hits = Vec::new();
        words.find(&Folded::new(text), &mut hits);
        hits.into_iter().map(|hit| text[hit.range].to_string()).collect()
    }

    #[test]
    fn forms_phrases_and_innocents() {
        let words =
            words("[severity: strong]\nkite +s\nmoot, meet\nblue tit\ntit +s", "tit for tat\nlong tit hill\nkitemoot");
        for (text, expected) in [
            ("Kites and KITE", &["Kites", "KITE"][..]),
            ("kitemark k1temoot meet", &["meet"]),
            ("a blue tit", &["blue tit"]),
            ("tit for tat, a tit for", &["tit"]),
            ("long tit hill", &[]),
            ("k1te, k!te! and kïte", &["k1te", "k!te", "kïte"]),
            ("k i t e s and k.i.t.e", &["k i t e s", "k.i.t.e"]),
            ("kiiiite", &["kiiiite"]),
            ("k*te and k**e but k***", &["k*te", "k**e"]),
            ("k\u{200B}it\u{AD}e", &["k\u{200B}it\u{AD}e"]),
            ("kite@moot.example", &["kite", "moot"]),
            ("t1t A55 t.i.", &[]),
        ] {
            assert_eq!(found(&words, text), expected, "{text}");
        }
    }

    #[test]
    fn a_later_list_of_the_same_name_extends_and_removes() {
        let file =
            |path: &str, text: &str| SourceFile { path: path.into(), text: format!("language: en\n---\n{text}") };
        let lists = [file("a/birds.txt", "kite\nrobin"), file("local/birds.txt", "- Kite\nauk")];
        let words = Words::compile(&lists, &[]).unwrap();
        assert_eq!(found(&words, "kite robin auk"), ["robin", "auk"]);
        assert_eq!(words.detectors().map(|detector| &*detector.name).collect::<Vec<_>>(), ["words.birds"]);
    }

    #[test]
    fn excerpts_are_masked() {
        assert_eq!(masked("Red kite's"), "R** k***'*");
    }

    #[test]
    fn forms_count_as_one_value() {
        let words = words("kite +s", "");
        let mut hits = Vec::new();
        words.find(&Folded::new("kite kites KITE"), &mut hits);
        assert!(hits.iter().all(|hit| hit.value == hits[0].value) && hits.len() == 3);
    }
}
