//! Finds the words and phrases of all lists in one pass, however many there are.
//!
//! In: folded text. Out: which entry stands at which bytes, whole words only. A phrase may be written with any white
//! space, hyphens or quote marks between its words, and may cross a line end.
//!
//! The first word of an entry is found in one of two ways that give the same answers: with an explicit DFA while the
//! entries are few, and above that by cutting the text into words once and looking each up by its hash (a DFA of
//! 100,000 words takes hundreds of megabytes and leaves the processor's cache). From the first word on, one hash
//! look-up for each further word.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind, StartKind};
use std::ops::Range;

/// Above either of these the automaton gives way to the hash.
const DFA_ENTRIES: usize = 2_000;
const DFA_BYTES: usize = 8 << 20;

/// Between two words of a phrase: spaces, a line end with quote marks, one or two signs.
const LONGEST_GAP: usize = 16;

/// Folded entries, each with the number under which a match is reported.
pub(super) struct Matcher {
    words: WordTree,
    starts: Option<Automaton>,
}

struct Automaton {
    dfa: AhoCorasick,
    /// By pattern.
    nodes: Vec<u32>,
}

/// An entry at a range of the folded text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub range: Range<usize>,
    pub entry: u32,
}

impl Matcher {
    /// `entries`: folded text and number. An entry without a word in it is ignored.
    pub fn new<'a>(entries: impl IntoIterator<Item = (&'a [u8], u32)>) -> Self {
        let words = WordTree::new(entries);
        let starts = if words.first.len() <= DFA_ENTRIES { Automaton::new(&words) } else { None };
        Self { words, starts }
    }

    /// Calls `found` for each word or phrase, in the order of their first byte, the shorter first.
    pub fn find(&self, text: &[u8], mut found: impl FnMut(Match)) {
        match &self.starts {
            Some(automaton) => automaton.find(&self.words, text, &mut found),
            None => self.words.find(text, &mut found),
        }
    }

    /// The entries that are exactly this one word.
    pub fn word(&self, word: &[u8]) -> &[u32] {
        self.words.child(ROOT, word).map_or(&[], |node| self.words.entries(node))
    }

    #[cfg(test)]
    fn hashed(mut self) -> Self {
        self.starts = None;
        self
    }

    #[cfg(test)]
    fn is_automaton(&self) -> bool {
        self.starts.is_some()
    }
}

impl Automaton {
    fn new(words: &WordTree) -> Option<Self> {
        let dfa = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .match_kind(MatchKind::LeftmostLongest)
            .start_kind(StartKind::Unanchored)
            .build(words.first.iter().map(|node| words.spelling(*node)))
            .ok()?;
        (dfa.memory_usage() <= DFA_BYTES).then(|| Self { dfa, nodes: words.first.clone() })
    }

    /// A listed first word that is a whole word of the text is always found: a match cannot cross the end of a word, so the
    /// leftmost one in that word begins at its first byte, and the longest of these is the word itself.
    fn find(&self, words: &WordTree, text: &[u8], found: &mut impl FnMut(Match)) {
        for hit in self.dfa.find_iter(text) {
            let (start, end) = (hit.start(), hit.end());
            let whole =
                (start == 0 || !is_word_byte(text[start - 1])) && text.get(end).is_none_or(|b| !is_word_byte(*b));
            if whole {
                words.follow(text, start..end, self.nodes[hit.pattern().as_usize()], found);
            }
        }
    }
}

/// The words of all entries as a tree in one hash table: a node is reached from its parent by one word.
struct WordTree {
    /// Open addressing, a power of two: node number, or 0 for an empty slot.
    slots: Vec<u32>,
    /// A bit for each low hash of a first word: most words of a text are ruled out here.
    filter: Vec<u64>,
    nodes: Vec<Node>,
    spellings: Vec<u8>,
    entries: Vec<u32>,
    /// Nodes whose parent is the root.
    first: Vec<u32>,
}

struct Node {
    hash: u32,
    parent: u32,
    spelling: (u32, u32),
    entries: (u32, u32),
    has_children: bool,
}

const ROOT: u32 = 0;
const FILTER_BITS: usize = 1 << 18;

impl WordTree {
    fn new<'a>(entries: impl IntoIterator<Item = (&'a [u8], u32)>) -> Self {
        let root = Node { hash: 0, parent: 0, spelling: (0, 0), entries: (0, 0), has_children: true };
        let mut tree = Self {
            slots: vec![0; 1 << 10],
            filter: vec![0; FILTER_BITS / 64],
            nodes: vec![root],
            spellings: Vec::new(),
            entries: Vec::new(),
            first: Vec::new(),
        };
        let mut ends: Vec<(u32, u32)> = Vec::new();
        for (text, entry) in entries {
            let mut node = ROOT;
            let mut at = 0;
            while let Some(word) = next_word(text, at) {
                at = word.end;
                node = tree.insert(node, &text[word]);
            }
            if node != ROOT {
                ends.push((node, entry));
            }
        }
        ends.sort_unstable();
        ends.dedup();
        for (node, entry) in ends {
            let place = tree.entries.len() as u32;
            let range = &mut tree.nodes[node as usize].entries;
            if range.0 == range.1 {
                *range = (place, place);
            }
            range.1 = place + 1;
            tree.entries.push(entry);
        }
        tree.spellings.shrink_to_fit();
        tree
    }

    fn insert(&mut self, parent: u32, word: &[u8]) -> u32 {
        if let Some(node) = self.child(parent, word) {
            return node;
        }
        let node = self.nodes.len() as u32;
        let hash = hash(parent, word);
        let spelling = (self.spellings.len() as u32, word.len() as u32);
        self.spellings.extend_from_slice(word);
        self.nodes.push(Node { hash, parent, spelling, entries: (0, 0), has_children: false });
        self.nodes[parent as usize].has_children = true;
        if parent == ROOT {
            self.first.push(node);
            let bit = hash as usize % FILTER_BITS;
            self.filter[bit / 64] |= 1 << (bit % 64);
        }
        if self.nodes.len() * 2 > self.slots.len() {
            self.slots = vec![0; self.slots.len() * 2];
            for index in 1..self.nodes.len() {
                self.place(index as u32);
            }
        } else {
            self.place(node);
        }
        node
    }

    fn place(&mut self, node: u32) {
        let mask = self.slots.len() - 1;
        let mut slot = self.nodes[node as usize].hash as usize & mask;
        while self.slots[slot] != 0 {
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = node;
    }

    fn child(&self, parent: u32, word: &[u8]) -> Option<u32> {
        let hash = hash(parent, word);
        let bit = hash as usize % FILTER_BITS;
        if parent == ROOT && self.filter[bit / 64] >> (bit % 64) & 1 == 0 {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while self.slots[slot] != 0 {
            let number = self.slots[slot];
            let node = &self.nodes[number as usize];
            if node.hash == hash && node.parent == parent && self.spelling(number) == word {
                return Some(number);
            }
            slot = (slot + 1) & mask;
        }
        None
    }

    fn spelling(&self, node: u32) -> &[u8] {
        let (start, length) = self.nodes[node as usize].spelling;
        &self.spellings[start as usize..(start + length) as usize]
    }

    fn entries(&self, node: u32) -> &[u32] {
        let (start, end) = self.nodes[node as usize].entries;
        &self.entries[start as usize..end as usize]
    }

    fn find(&self, text: &[u8], found: &mut impl FnMut(Match)) {
        let mut at = 0;
        while let Some(word) = next_word(text, at) {
            at = word.end;
            if let Some(node) = self.child(ROOT, &text[word.clone()]) {
                self.follow(text, word, node, found);
            }
        }
    }

    /// From the first word on: every entry that the text goes on with.
    fn follow(&self, text: &[u8], first: Range<usize>, mut node: u32, found: &mut impl FnMut(Match)) {
        let mut end = first.end;
        loop {
            for entry in self.entries(node) {
                found(Match { range: first.start..end, entry: *entry });
            }
            if !self.nodes[node as usize].has_children {
                return;
            }
            let Some(word) = phrase_word(text, end) else { return };
            let Some(child) = self.child(node, &text[word.clone()]) else { return };
            (node, end) = (child, word.end);
        }
    }
}

/// Letters, digits and what is not ASCII (folding leaves only letters and digits of it).
pub(super) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// The next whole word at or behind `from`.
pub(super) fn next_word(text: &[u8], from: usize) -> Option<Range<usize>> {
    let start = from + text.get(from..)?.iter().position(|byte| is_word_byte(*byte))?;
    let end = text[start..].iter().position(|byte| !is_word_byte(*byte)).map_or(text.len(), |length| start + length);
    Some(start..end)
}

/// The next word of a phrase: behind a gap that does not end a sentence.
fn phrase_word(text: &[u8], from: usize) -> Option<Range<usize>> {
    let gap = text.get(from..)?.iter().take(LONGEST_GAP + 1).position(|byte| is_word_byte(*byte))?;
    let joins = |byte: &u8| {
        matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'-' | b'\'' | b',' | b'>' | b'_' | b'"' | b'*' | b'/')
    };
    let in_gap = &text[from..from + gap];
    if gap == 0 || !in_gap.iter().all(joins) || in_gap.iter().filter(|byte| **byte == b'\n').count() > 1 {
        return None;
    }
    next_word(text, from + gap)
}

/// Good enough and fast: lists come from the organisation, hostile text is only looked up.
fn hash(parent: u32, word: &[u8]) -> u32 {
    const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut state = u64::from(parent) ^ (word.len() as u64) << 32;
    let mut chunks = word.chunks_exact(8);
    for chunk in &mut chunks {
        let lane = u64::from_le_bytes(chunk.try_into().expect("a chunk of eight bytes"));
        state = (state ^ lane).wrapping_mul(SPREAD).rotate_left(29);
    }
    let lane = chunks.remainder().iter().fold(0, |lane, byte| lane << 8 | u64::from(*byte));
    ((state ^ lane).wrapping_mul(SPREAD) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(matcher: &Matcher, text: &str) -> Vec<(String, u32)> {
        let mut matches = Vec::new();
        matcher.find(text.as_bytes(), |hit| matches.push((text[hit.range].to_string(), hit.entry)));
        matches
    }

    fn of(entries: &[&str]) -> Matcher {
        Matcher::new(entries.iter().enumerate().map(|(number, entry)| (entry.as_bytes(), number as u32)))
    }

    #[test]
    fn whole_words_and_phrases() {
        let entries = ["red", "red kite", "red kite festival", "kite", "forward this to everyone", "déjà vu"];
        for matcher in [of(&entries), of(&entries).hashed()] {
            assert_eq!(found(&matcher, "bored redo redkite"), []);
            assert_eq!(found(&matcher, "a red, car"), [("red".into(), 0)]);
            let both = [("red".into(), 0), ("red kite".into(), 1), ("kite".into(), 3)];
            assert_eq!(found(&matcher, "red kite day"), both);
            assert_eq!(found(&matcher, "red. kite"), [("red".into(), 0), ("kite".into(), 3)]);
            assert_eq!(found(&matcher, "forward\n> this  to-everyone!"), [("forward\n> this  to-everyone".into(), 4)]);
            assert_eq!(found(&matcher, "forward this to\n\neveryone"), [], "another paragraph");
            assert_eq!(found(&matcher, "déjà vu"), [("déjà vu".into(), 5)]);
            assert_eq!(matcher.word(b"kite"), [3]);
            assert!(matcher.word(b"forward").is_empty());
        }
        assert!(of(&entries).is_automaton());
        assert_eq!(found(&of(&[]), "anything"), []);
    }

    #[test]
    fn many_entries_go_by_hash() {
        let words: Vec<String> = (0..50_000).map(|number| format!("w{number}x")).collect();
        let matcher = of(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(!matcher.is_automaton());
        assert_eq!(found(&matcher, "w7x w49999x w50000x w7"), [("w7x".into(), 7), ("w49999x".into(), 49_999)]);
    }

    proptest! {
        #[test]
        fn automaton_and_hash_agree(
            entries in proptest::collection::vec("[abc]{1,3}( [abc]{1,2}){0,3}", 0..12),
            text in "[abc\n >.,-]{0,60}",
        ) {
            let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
            prop_assert_eq!(found(&of(&entries), &text), found(&of(&entries).hashed(), &text));
        }

        #[test]
        fn every_single_word_entry_is_found(entries in proptest::collection::vec("[ab]{1,4}", 1..6), text in "[ab ]{0,40}") {
            let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
            let matcher = of(&entries);
            let expected: Vec<&str> = text.split(' ').filter(|word| entries.contains(word)).collect();
            let mut seen = Vec::new();
            matcher.find(text.as_bytes(), |hit| seen.push(hit.range));
            seen.dedup();
            prop_assert_eq!(seen.into_iter().map(|range| &text[range]).collect::<Vec<_>>(), expected);
        }
    }
}
