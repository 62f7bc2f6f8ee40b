//! Words and phrases of the lists, ours and the organisation's own: detectors `words.LIST`.

mod about;
mod disguise;
pub(super) mod list;
mod speech;

use super::{
    Detector, Hit, Mistake, SourceFile,
    fold::Folded,
    matcher::{Match, Matcher},
};
use disguise::Starred;
use list::WordList;
use speech::{Listed, Said, Speech};
use std::{collections::HashMap, ops::Range, sync::Arc};

/// All lists, compiled. The innocent ones are in the same matcher, so that text is read once.
pub(super) struct Words {
    matcher: Matcher,
    entries: Vec<Entry>,
    starred: Starred,
    detectors: Vec<Arc<Detector>>,
    speech: Speech,
    /// Of the lists that `speech` names.
    spoken: Vec<Arc<List>>,
}

struct Entry {
    role: Role,
    category: Option<Arc<str>>,
    severity: u8,
    /// Of the entry, the same for all its forms.
    value: u64,
}

#[derive(Clone)]
enum Role {
    Listed(Arc<List>),
    /// What lies inside of it is no match.
    Innocent,
    /// A sentence with it is looked at for what it says of people.
    Anchor,
}

struct List {
    detector: Arc<Detector>,
    clear: bool,
    about_person: bool,
}

const PLAIN_SCORE: f32 = 0.95;
const DISGUISED_SCORE: f32 = 0.8;
const SPOKEN_SCORE: f32 = 0.85;

impl Words {
    /// Files of the same name are one list: the later extends the earlier, and may take entries out.
    pub fn compile(lists: &[SourceFile], innocent: &[SourceFile], speech: &[SourceFile]) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut read = |files: &[SourceFile]| -> Vec<WordList> {
            let parsed = files.iter().map(WordList::parse);
            parsed.filter_map(|list| list.map_err(|wrong| mistakes.extend(wrong)).ok()).collect()
        };
        let (lists, innocent) = (extended(read(lists)), extended(read(innocent)));
        let speech = Speech::compile(speech).map_err(|wrong| mistakes.extend(wrong)).unwrap_or_default();
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
            compiling.add(
                list,
                &Role::Listed(Arc::new(List { detector, clear: list.clear, about_person: list.about_person })),
            );
        }
        for list in &innocent {
            compiling.add(list, &Role::Innocent);
        }
        Ok(compiling.finish(speech))
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
        let (mut anchors, mut offences) = (Vec::new(), Vec::new());
        let mut spares = self.speech.spares(&folded.lower);
        let innocents = self.innocent(&matches);
        let mut innocent = innocents.iter().peekable();
        let mut innocent_to = 0;
        let mut enclosing = Enclosing::default();
        for (found, score) in &matches {
            while let Some(range) = innocent.next_if(|range| range.start <= found.range.start) {
                innocent_to = innocent_to.max(range.end);
            }
            let entry = self.entry(found);
            let is_innocent = found.range.end <= innocent_to;
            let list = match &entry.role {
                Role::Listed(list) => list,
                Role::Anchor if !is_innocent => {
                    anchors.push(found.range.clone());
                    continue;
                }
                _ => continue,
            };
            // Innocent words offend nobody; what they say of a person may still be private.
            if (is_innocent && !list.about_person) || !enclosing.is_new(list, found) {
                continue;
            }
            let about = || about::is_about_a_person(folded, &found.range, entry.category.as_deref());
            if list.about_person && !about() {
                continue;
            }
            if entry.severity > 0 {
                let of_group = entry.category.as_ref().is_some_and(|category| self.speech.is_of_group(category));
                let listed = Listed { range: found.range.clone(), category: entry.category.clone(), of_group };
                let spared = spares(&listed);
                if entry.category.as_ref().is_some_and(|category| self.speech.is_anchor(category)) {
                    anchors.push(found.range.clone());
                }
                offences.push(listed);
                if spared {
                    continue;
                }
            }
            hits.push(hit(folded, list, entry, &found.range, *score));
        }
        self.find_spoken(folded, &anchors, &offences, &innocents, hits);
    }

    fn find_spoken(
        &self,
        folded: &Folded,
        anchors: &[Range<usize>],
        offences: &[Listed],
        innocents: &[Range<usize>],
        hits: &mut Vec<Hit>,
    ) {
        // A single word is innocent of being a listed one, not of what is said with it.
        let phrases: Vec<&Range<usize>> =
            innocents.iter().filter(|range| folded.lower[(*range).clone()].contains(&b' ')).collect();
        let mut said: Vec<Said> = Vec::new();
        self.speech.find(&folded.lower, anchors, offences, |one| {
            let next = phrases.partition_point(|phrase| phrase.start < one.range.start);
            if phrases.get(next).is_none_or(|phrase| phrase.start >= one.range.end) {
                said.push(one);
            }
        });
        said.sort_by_key(|one| (one.range.start, std::cmp::Reverse(one.severity), std::cmp::Reverse(one.range.end)));
        let listed = hits.len();
        let mut last: Option<Said> = None;
        for one in said {
            let list = &self.spoken[one.list];
            let range = folded.original(one.range.clone());
            let behind = hits[..listed].partition_point(|hit| hit.range.start < range.end);
            let around = hits[behind.saturating_sub(2)..behind].iter().filter(|hit| hit.range.end > range.start);
            // An entry that stands in it has said it already.
            if around.into_iter().any(|hit| {
                Arc::ptr_eq(&hit.detector, &list.detector)
                    && hit.category == one.category
                    && hit.severity >= one.severity
            }) {
                continue;
            }
            // Several patterns may say the same of one sentence.
            if last.as_ref().is_some_and(|last| {
                one.range.start < last.range.end && (last.list, &last.category) == (one.list, &one.category)
            }) {
                continue;
            }
            let entry = Entry {
                role: Role::Listed(list.clone()),
                category: one.category.clone(),
                severity: one.severity,
                value: one.value,
            };
            hits.push(hit(folded, list, &entry, &one.range, SPOKEN_SCORE));
            last = Some(one);
        }
    }

    fn innocent(&self, matches: &[(Match, f32)]) -> Vec<Range<usize>> {
        let innocent = matches.iter().filter(|(found, _)| matches!(self.entry(found).role, Role::Innocent));
        innocent.map(|(found, _)| found.range.clone()).collect()
    }

    fn entry(&self, found: &Match) -> &Entry {
        &self.entries[found.entry as usize]
    }
}

fn hit(folded: &Folded, list: &List, entry: &Entry, range: &Range<usize>, score: f32) -> Hit {
    let text = &folded.cased[range.clone()];
    Hit {
        detector: list.detector.clone(),
        category: entry.category.clone(),
        severity: entry.severity,
        range: folded.original(range.clone()),
        excerpt: if list.clear { text.to_string() } else { masked(text) },
        value: entry.value,
        score,
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
    fn add(&mut self, list: &WordList, role: &Role) {
        for entry in &list.entries {
            let number = self.entries.len() as u32;
            let category = entry
                .category
                .as_ref()
                .map(|name| self.categories.entry(name.clone()).or_insert_with(|| name.as_str().into()).clone());
            for form in &entry.forms {
                let folded = Folded::new(form).lower;
                if matches!(role, Role::Listed(_)) && entry.severity > 1 {
                    self.starred.add(&folded, number);
                }
                self.forms.push((folded, number));
            }
            let value = super::value_hash("words", entry.forms[0].to_lowercase().as_bytes());
            self.entries.push(Entry { role: role.clone(), category, severity: entry.severity, value });
        }
    }

    fn finish(mut self, speech: Speech) -> Words {
        let number = self.entries.len() as u32;
        self.entries.push(Entry { role: Role::Anchor, category: None, severity: 0, value: 0 });
        self.forms.extend(speech.anchors().iter().map(|anchor| (anchor.clone().into_bytes(), number)));
        let spoken = speech.lists().iter().map(|name| self.spoken(name)).collect();
        let matcher = Matcher::new(self.forms.iter().map(|(form, number)| (form.as_slice(), *number)));
        Words { matcher, entries: self.entries, starred: self.starred, detectors: self.detectors, speech, spoken }
    }

    /// The list of that name; where there is none, one for the patterns alone.
    fn spoken(&mut self, name: &str) -> Arc<List> {
        let lists = self.entries.iter().filter_map(|entry| match &entry.role {
            Role::Listed(list) => Some(list),
            _ => None,
        });
        let detector = format!("words.{name}");
        if let Some(list) = lists.into_iter().find(|list| *list.detector.name == *detector) {
            return list.clone();
        }
        let detector = Detector::new(&detector, "OFFENSIVE");
        self.detectors.push(detector.clone());
        Arc::new(List { detector, clear: false, about_person: false })
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
        Words::compile(&[file("birds.txt", text)], &[file("innocent.txt", innocent)], &[]).unwrap()
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
        let words = Words::compile(&lists, &[], &[]).unwrap();
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
