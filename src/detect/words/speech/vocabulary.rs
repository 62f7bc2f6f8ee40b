//! The words and phrases of all classes and patterns, and which of them a word may be meant to be.

use super::tokens::{self, Token};
use std::collections::HashMap;

pub(super) type WordId = u32;
pub(super) type Symbol = u16;

/// A class or a word of a pattern that stands at words `start..end` of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Occurrence {
    pub symbol: Symbol,
    pub start: u8,
    pub end: u8,
    /// 0: none.
    pub category: u16,
}

#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    words: HashMap<Box<[u8]>, WordId>,
    /// Words with one letter missing or two changed about.
    misspelt: HashMap<Box<[u8]>, WordId>,
    nodes: Vec<Node>,
    steps: HashMap<(u32, WordId), u32>,
}

#[derive(Debug, Default)]
struct Node {
    means: Vec<(Symbol, u16)>,
    goes_on: bool,
}

const ROOT: u32 = 0;
/// No word of the vocabulary is longer.
const LONGEST: usize = 24;

impl Vocabulary {
    pub fn new() -> Self {
        Self { nodes: vec![Node::default()], ..Self::default() }
    }

    /// `phrase` is of the class, or is the word, of `symbol`.
    pub fn add(&mut self, phrase: &str, symbol: Symbol, category: u16) {
        let mut node = ROOT;
        for word in phrase.split([' ', '-']).filter(|word| !word.is_empty()) {
            let word = self.insert(word);
            let next = self.nodes.len() as u32;
            self.nodes[node as usize].goes_on = true;
            let known = *self.steps.entry((node, word)).or_insert(next);
            if known == next {
                self.nodes.push(Node::default());
            }
            node = known;
        }
        let means = &mut self.nodes[node as usize].means;
        if node != ROOT && !means.contains(&(symbol, category)) {
            means.push((symbol, category));
        }
    }

    fn insert(&mut self, word: &str) -> WordId {
        let next = self.words.len() as WordId;
        *self.words.entry(word.as_bytes().into()).or_insert(next)
    }

    /// Now that all words are known: how they may be misspelt without being another word.
    pub fn learn_misspellings(&mut self, is_plain: impl Fn(&[u8]) -> bool) {
        for (word, id) in &self.words {
            if is_plain(word) {
                continue;
            }
            for wrong in misspellings(word) {
                if !self.words.contains_key(&*wrong) && !is_plain(&wrong) {
                    self.misspelt.insert(wrong.into(), *id);
                }
            }
        }
    }

    pub fn word(&self, word: &[u8]) -> Option<WordId> {
        self.words.get(word).copied()
    }

    /// As it stands or misspelt.
    pub fn resolved(&self, word: &[u8]) -> Option<WordId> {
        self.word(word).or_else(|| self.misspelt.get(word).copied())
    }

    /// A word that is not known as it stands: signs for letters, misspelt, or two words without a space.
    pub fn disguised(&self, word: &[u8]) -> Option<Vec<WordId>> {
        if let Some(known) = self.resolved(word) {
            return Some(vec![known]);
        }
        let mut readings = tokens::readings(word);
        if let Some(known) = readings.iter().find_map(|reading| self.resolved(reading)) {
            return Some(vec![known]);
        }
        if word.iter().all(u8::is_ascii_lowercase) {
            readings.push(word.to_vec());
        }
        readings.iter().find_map(|reading| self.glued(reading))
    }

    fn glued(&self, word: &[u8]) -> Option<Vec<WordId>> {
        if word.len() < 5 || word.len() > LONGEST {
            return None;
        }
        (1..word.len()).rev().find_map(|at| {
            let (first, second) = word.split_at(at);
            let whole = |part: &[u8]| part.len() > 1 || part == b"i" || part == b"a";
            let pair = || Some(vec![self.word(first)?, self.word(second)?]);
            if whole(first) && second.len() > 1 { pair() } else { None }
        })
    }

    /// Everything that stands in a sentence, sorted.
    pub fn occurrences(&self, tokens: &[Token]) -> Vec<Occurrence> {
        let mut occurrences = Vec::new();
        for start in 0..tokens.len() {
            let mut node = ROOT;
            for (end, token) in tokens.iter().enumerate().skip(start) {
                if !self.nodes[node as usize].goes_on || (end > start && token.parted) {
                    break;
                }
                let Some(next) = token.word.and_then(|word| self.steps.get(&(node, word))) else { break };
                node = *next;
                let means = self.nodes[node as usize].means.iter();
                occurrences.extend(means.map(|(symbol, category)| Occurrence {
                    symbol: *symbol,
                    start: start as u8,
                    end: end as u8 + 1,
                    category: *category,
                }));
            }
        }
        occurrences.sort_unstable();
        occurrences
    }
}

/// One letter missing (of five or more), two neighbours changed about (of four or more), never the first letter missing.
pub(super) fn misspellings(word: &[u8]) -> Vec<Vec<u8>> {
    let mut wrong = Vec::new();
    if !word.iter().all(u8::is_ascii_lowercase) {
        return wrong;
    }
    if word.len() >= 5 {
        wrong.extend((1..word.len()).map(|at| [&word[..at], &word[at + 1..]].concat()));
    }
    if word.len() >= 4 {
        wrong.extend((0..word.len() - 1).filter(|at| word[*at] != word[at + 1]).map(|at| {
            let mut swapped = word.to_vec();
            swapped.swap(at, at + 1);
            swapped
        }));
    }
    wrong
}
