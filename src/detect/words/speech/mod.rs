//! What is said of people: patterns over classes of words, for what no list of words can tell.
//!
//! Only sentences with an anchor are looked at, a word or phrase without which none of its patterns can match. Anchors
//! stand in the one matcher of all lists, so that text without them costs nothing more. A sentence is cut into words
//! once, each word is looked up once, and each pattern steps over the places that it may have reached (see `pattern`).

mod file;
mod pattern;
mod stance;
mod tokens;
mod vocabulary;

use super::super::{Mistake, SourceFile};
use file::{Class, Element, Written, WrittenPattern, is_class};
use pattern::{Pattern, Sentence, Step};
use stance::{Cues, Surroundings};
use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::Arc,
};
use tokens::Token;
use vocabulary::{Occurrence, Symbol, Vocabulary};

/// All files of `wordlists/speech/`, compiled.
#[derive(Debug, Default)]
pub(super) struct Speech {
    vocabulary: Vocabulary,
    patterns: Vec<Pattern>,
    by_anchor: HashMap<Symbol, Vec<u32>>,
    /// From 1; 0 is none. The first ones are of groups of people, which classes name; the others of patterns alone.
    categories: Vec<Arc<str>>,
    groups: usize,
    lists: Vec<String>,
    cues: Cues,
    /// By category of a word list: the classes that its entries are of.
    from: HashMap<String, Vec<Symbol>>,
    /// A class of pronouns, and the class that it stands for.
    pronouns: Vec<(Symbol, Symbol)>,
    anchors: Vec<String>,
}

/// An entry of a word list in the text.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub range: Range<usize>,
    pub category: Option<Arc<str>>,
    /// Its category is one that the classes name: of a group of people.
    pub of_group: bool,
}

/// A pattern in the text.
#[derive(Debug, PartialEq)]
pub(super) struct Said {
    pub range: Range<usize>,
    pub list: usize,
    pub category: Option<Arc<str>>,
    pub severity: u8,
    pub value: u64,
}

/// Words of this class are too common to be anchors, and are never taken for a misspelling.
const COMMON: &str = "COMMON";
/// Words that are not in the vocabulary but would be taken for a misspelling of one that is.
const ORDINARY: &str = "ORDINARY";

impl Speech {
    pub fn compile(files: &[SourceFile]) -> Result<Self, Vec<Mistake>> {
        Compiling::new(Written::parse(files)?).finish()
    }

    /// The names of the lists whose findings these are.
    pub fn lists(&self) -> &[String] {
        &self.lists
    }

    /// Words and phrases at which a sentence is worth looking at; also as they may be misspelt.
    pub fn anchors(&self) -> &[String] {
        &self.anchors
    }

    /// Entries of word lists in this category are anchors too.
    pub fn is_anchor(&self, category: &str) -> bool {
        self.from.contains_key(category)
    }

    pub fn is_of_group(&self, category: &str) -> bool {
        self.categories[..self.groups].iter().any(|known| **known == *category)
    }

    /// `anchors` and `listed` sorted by their first byte.
    pub fn find(&self, text: &[u8], anchors: &[Range<usize>], listed: &[Listed], mut found: impl FnMut(Said)) {
        let mut read_to = 0;
        let mut named = Named::default();
        for anchor in anchors {
            if anchor.start < read_to {
                continue;
            }
            let mut range = tokens::sentence_around(text, anchor);
            range.start = range.start.max(read_to).min(anchor.start);
            loop {
                read_to = self.sentence(text, range.clone(), anchor, listed, &mut named, &mut found).max(anchor.end);
                let behind =
                    if named.at + PRONOUN_REACH > read_to { tokens::sentence_behind(text, read_to) } else { None };
                match behind {
                    Some(next) if named.category != 0 => range = next,
                    _ => break,
                }
            }
        }
    }

    /// Up to where it was read.
    fn sentence(
        &self,
        text: &[u8],
        range: Range<usize>,
        anchor: &Range<usize>,
        listed: &[Listed],
        named: &mut Named,
        found: &mut impl FnMut(Said),
    ) -> usize {
        let mut tokens = tokens::tokens(text, range.clone(), &self.vocabulary);
        if tokens.last().is_some_and(|last| last.range.end <= anchor.start && range.contains(&anchor.start)) {
            // A long one: from shortly before the anchor on.
            let from = anchor.start.saturating_sub(64).max(range.start);
            let from = (from..anchor.start).find(|at| text[*at] == b' ').unwrap_or(anchor.start);
            tokens = tokens::tokens(text, from..range.end, &self.vocabulary);
        }
        let Some(last) = tokens.last() else { return range.end };
        let end = if tokens.len() < tokens::MOST_TOKENS { range.end.max(last.range.end) } else { last.range.end };
        let sentence = self.understood(&tokens, listed, named);
        let mut surroundings: Option<Surroundings> = None;
        for number in self.possible(&sentence) {
            let pattern = &self.patterns[number as usize];
            pattern.matches(&sentence, |matched| {
                if stance::is_denied(&matched, &sentence, &self.cues) {
                    return;
                }
                let place = tokens[matched.start].range.start..tokens[matched.end - 1].range.end;
                let around = match &mut surroundings {
                    Some(known) if known.holds(&place) => known,
                    other => other.insert(Surroundings::of(self, text, &place)),
                };
                let category = if pattern.category != 0 { pattern.category } else { matched.category };
                let of_group = matched.category != 0;
                if around.is_reported(&self.cues, &place, of_group) {
                    return;
                }
                found(Said {
                    range: place,
                    list: pattern.list,
                    category: self.category(category),
                    severity: pattern.severity,
                    value: pattern.value,
                });
            });
        }
        end
    }

    fn category(&self, number: u16) -> Option<Arc<str>> {
        self.categories.get((number as usize).checked_sub(1)?).cloned()
    }

    /// Patterns of whose anchors one is there.
    fn possible(&self, sentence: &Sentence) -> Vec<u32> {
        let mut symbols: Vec<Symbol> = sentence.occurrences.iter().map(|occurrence| occurrence.symbol).collect();
        symbols.dedup();
        let mut numbers: Vec<u32> =
            symbols.iter().filter_map(|symbol| self.by_anchor.get(symbol)).flatten().copied().collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn understood(&self, tokens: &[Token], listed: &[Listed], named: &mut Named) -> Sentence {
        let mut occurrences = self.vocabulary.occurrences(tokens);
        self.add_listed(tokens, listed, &mut occurrences);
        for (pronoun, class) in &self.pronouns {
            self.add_pronouns(tokens, (*pronoun, *class), named, &mut occurrences);
        }
        occurrences.sort_unstable();
        occurrences.dedup();
        let parted = tokens.iter().enumerate().filter(|(_, token)| token.parted);
        Sentence { occurrences, length: tokens.len(), parted: parted.fold(0, |bits, (at, _)| bits | 1 << at) }
    }

    fn add_listed(&self, tokens: &[Token], listed: &[Listed], occurrences: &mut Vec<Occurrence>) {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return };
        let from = listed.partition_point(|entry| entry.range.start < first.range.start);
        for entry in listed[from..].iter().take_while(|entry| entry.range.start < last.range.end) {
            let symbols = entry.category.as_ref().and_then(|category| self.from.get(&**category));
            let start = tokens.partition_point(|token| token.range.end <= entry.range.start);
            let end = tokens.partition_point(|token| token.range.start < entry.range.end);
            let own = |symbol: &Symbol| Occurrence {
                symbol: *symbol,
                start: start as u8,
                end: end as u8,
                category: self.number(entry.category.as_deref()),
            };
            if start < end {
                occurrences.extend(symbols.into_iter().flatten().map(own));
            }
        }
    }

    fn number(&self, category: Option<&str>) -> u16 {
        let place = self.categories.iter().position(|known| Some(&**known) == category);
        place.map_or(0, |place| place as u16 + 1)
    }

    /// A pronoun is the class that it stands for, behind a member of that class.
    fn add_pronouns(
        &self,
        tokens: &[Token],
        (pronoun, class): (Symbol, Symbol),
        named: &mut Named,
        occurrences: &mut Vec<Occurrence>,
    ) {
        let mut events: Vec<Occurrence> =
            occurrences.iter().filter(|known| known.symbol == pronoun || known.symbol == class).copied().collect();
        events.sort_unstable_by_key(|event| (event.start, event.end));
        for event in events {
            let at = tokens[event.start as usize].range.start;
            if event.symbol == class {
                *named = Named { at, category: event.category };
            } else if named.category != 0 && at < named.at + PRONOUN_REACH {
                occurrences.push(Occurrence { symbol: class, category: named.category, ..event });
            }
        }
    }

    /// Whether entries of word lists are only spoken of; to be asked in the order of the text.
    pub fn spares<'a>(&'a self, text: &'a [u8]) -> impl FnMut(&Listed) -> bool + 'a {
        let mut surroundings = Surroundings::default();
        move |listed| {
            if self.cues.report.is_none() {
                return false;
            }
            if !surroundings.holds(&listed.range) {
                surroundings = Surroundings::of(self, text, &listed.range);
            }
            stance::spares(&surroundings, &self.cues, listed)
        }
    }
}

/// The last member of a class that pronouns may stand for.
#[derive(Debug, Default)]
struct Named {
    at: usize,
    category: u16,
}

/// `They` so many bytes behind a group is no more that group.
const PRONOUN_REACH: usize = 200;

struct Compiling {
    written: Written,
    speech: Speech,
    symbols: HashMap<String, Symbol>,
    common: HashSet<String>,
    mistakes: Vec<Mistake>,
}

impl Compiling {
    fn new(written: Written) -> Self {
        let common = written.classes.iter().filter(|class| class.name == COMMON);
        let common = common.flat_map(|class| &class.entries).map(|entry| entry.form.clone()).collect();
        let speech = Speech { vocabulary: Vocabulary::new(), ..Speech::default() };
        Self { written, speech, symbols: HashMap::new(), common, mistakes: Vec::new() }
    }

    fn finish(mut self) -> Result<Speech, Vec<Mistake>> {
        let (classes, patterns) =
            (std::mem::take(&mut self.written.classes), std::mem::take(&mut self.written.patterns));
        for class in &classes {
            let symbol = self.symbol(&class.name);
            for entry in class.entries.iter().filter(|_| class.name != ORDINARY) {
                let category = self.category(entry.category.as_deref());
                self.speech.vocabulary.add(&entry.form, symbol, category);
            }
            for category in &class.from {
                self.speech.from.entry(category.clone()).or_default().push(symbol);
            }
        }
        for class in &classes {
            if let Some(other) = &class.stands_for {
                let (class, other) = (self.symbol(&class.name), self.symbol(other));
                self.speech.pronouns.push((class, other));
            }
        }
        self.speech.groups = self.speech.categories.len();
        let mut anchors = HashSet::new();
        for pattern in &patterns {
            self.pattern(pattern, &classes, &mut anchors);
        }
        self.speech.cues = Cues::new(|name| self.symbols.get(name).copied());
        let ordinary = classes.iter().filter(|class| class.name == ORDINARY).flat_map(|class| &class.entries);
        let plain: HashSet<&[u8]> =
            ordinary.map(|entry| entry.form.as_bytes()).chain(self.common.iter().map(|word| word.as_bytes())).collect();
        self.speech.vocabulary.learn_misspellings(|word| plain.contains(word));
        self.speech.anchors = with_misspellings(&anchors, &self.speech.vocabulary, |word| plain.contains(word));
        if self.mistakes.is_empty() { Ok(self.speech) } else { Err(self.mistakes) }
    }

    fn symbol(&mut self, name: &str) -> Symbol {
        let next = self.symbols.len() as Symbol;
        *self.symbols.entry(name.into()).or_insert(next)
    }

    fn category(&mut self, name: Option<&str>) -> u16 {
        let Some(name) = name else { return 0 };
        let known = &mut self.speech.categories;
        let place = known.iter().position(|category| **category == *name);
        place.unwrap_or_else(|| {
            known.push(name.into());
            known.len() - 1
        }) as u16
            + 1
    }

    fn pattern(&mut self, written: &WrittenPattern, classes: &[Class], anchors: &mut HashSet<String>) {
        let mut anchor: Option<&Vec<String>> = None;
        for element in &written.elements {
            let Element::Words { any, optional } = element else { continue };
            for name in any.iter().filter(|name| is_class(name)) {
                if !classes.iter().any(|class| class.name == *name) {
                    self.mistakes.push(written.place.mistake(format!("there is no class {name}")));
                    return;
                }
            }
            // A class with categories is the best: few sentences name a group.
            let better = anchor.is_none() || (!of_group(anchor, classes) && of_group(Some(any), classes));
            if !optional && better && any.iter().all(|name| self.may_anchor(name, classes)) {
                anchor = Some(any);
            }
        }
        let Some(anchor) = anchor else {
            let why =
                "a pattern needs a class or word that is not optional and has none of the words of the class COMMON";
            return self.mistakes.push(written.place.mistake(why));
        };
        for name in anchor {
            let class = classes.iter().find(|class| class.name == *name);
            match class {
                Some(class) => anchors.extend(class.entries.iter().map(|entry| entry.form.clone())),
                None => _ = anchors.insert(name.clone()),
            }
        }
        let anchor: Vec<Symbol> = anchor.iter().map(|name| self.symbol(name)).collect();
        self.add(written, anchor);
    }

    fn add(&mut self, written: &WrittenPattern, anchor: Vec<Symbol>) {
        let number = self.speech.patterns.len() as u32;
        for symbol in &anchor {
            self.speech.by_anchor.entry(*symbol).or_default().push(number);
        }
        let steps = written.elements.iter().map(|element| self.step(element)).collect();
        let list = self.speech.lists.iter().position(|list| *list == written.list).unwrap_or_else(|| {
            self.speech.lists.push(written.list.clone());
            self.speech.lists.len() - 1
        });
        let category = self.category(written.category.as_deref());
        let value = super::super::value_hash("words", written.text.as_bytes());
        self.speech.patterns.push(Pattern { steps, category, severity: written.severity, list, value });
    }

    fn step(&mut self, element: &Element) -> Step {
        match element {
            Element::Gap(most) => Step::Gap(*most),
            Element::Words { any, optional } => {
                for word in any.iter().filter(|word| !is_class(word)) {
                    let symbol = self.symbol(word);
                    self.speech.vocabulary.add(word, symbol, 0);
                }
                Step::Words { any: any.iter().map(|name| self.symbol(name)).collect(), optional: *optional }
            }
        }
    }

    fn may_anchor(&self, name: &str, classes: &[Class]) -> bool {
        match classes.iter().find(|class| class.name == name) {
            Some(class) => class.entries.iter().all(|entry| !self.common.contains(&entry.form)),
            None => !self.common.contains(name),
        }
    }
}

fn of_group(names: Option<&Vec<String>>, classes: &[Class]) -> bool {
    let group = |name: &String| {
        classes.iter().any(|class| class.name == *name && class.entries.iter().any(|entry| entry.category.is_some()))
    };
    names.is_some_and(|names| names.iter().all(group))
}

fn with_misspellings(
    anchors: &HashSet<String>,
    vocabulary: &Vocabulary,
    is_plain: impl Fn(&[u8]) -> bool,
) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for anchor in anchors {
        all.push(anchor.clone());
        let words: Vec<&str> = anchor.split(' ').collect();
        for (at, word) in words.iter().enumerate().filter(|(_, word)| !is_plain(word.as_bytes())) {
            let wrong =
                vocabulary::misspellings(word.as_bytes()).into_iter().filter_map(|wrong| String::from_utf8(wrong).ok());
            for wrong in
                wrong.filter(|wrong| vocabulary.word(wrong.as_bytes()).is_none() && !is_plain(wrong.as_bytes()))
            {
                let mut phrase = words.clone();
                phrase[at] = &wrong;
                all.push(phrase.join(" "));
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}
