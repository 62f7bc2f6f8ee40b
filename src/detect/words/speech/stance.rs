//! What the author means by words that stand in a sentence: denied, quoted, reproached, or said of oneself.

use super::{
    Listed, Speech,
    pattern::{Matched, Sentence},
    tokens::{self, Token},
    vocabulary::{Occurrence, Symbol},
};
use std::ops::Range;

/// The classes that the program itself asks for; a file without them has none of their meaning.
#[derive(Debug, Default)]
pub(super) struct Cues {
    /// `not`, `never`, `nobody`.
    pub negation: Option<Symbol>,
    /// `no doubt`, `not only`: no negation.
    pub affirm: Option<Symbol>,
    /// `says`, `called`, `the word`.
    pub report: Option<Symbol>,
    /// `racist`, `unacceptable`: enough by itself.
    pub condemn: Option<Symbol>,
    /// `wrong`, `offensive`, `stop`: with a report.
    pub disapprove: Option<Symbol>,
    /// `i'm not racist but`: no reproach.
    pub disclaim: Option<Symbol>,
    /// `we`, `my fellow`, `proud`.
    pub oneself: Option<Symbol>,
}

impl Cues {
    pub fn new(symbol: impl Fn(&str) -> Option<Symbol>) -> Self {
        Self {
            negation: symbol("NOT"),
            affirm: symbol("AFFIRM"),
            report: symbol("REPORT"),
            condemn: symbol("CONDEMN"),
            disapprove: symbol("DISAPPROVE"),
            disclaim: symbol("DISCLAIM"),
            oneself: symbol("ONESELF"),
        }
    }
}

/// A word of negation so near before a pattern turns it round: "I do not hate".
const NEGATED_WITHIN: usize = 3;
/// Quotation marks and reproaches are looked for so far on either side.
const AROUND: usize = 240;

/// Not among the words that the pattern itself took, before it or within it, with no comma between.
pub(super) fn is_denied(matched: &Matched, sentence: &Sentence, cues: &Cues) -> bool {
    let Some(negation) = cues.negation else { return false };
    let near = matched.start.saturating_sub(NEGATED_WITHIN);
    let from = (near..=matched.start).rev().find(|at| sentence.parted >> at & 1 == 1).unwrap_or(near);
    let affirmed = cues.affirm.map_or(&[][..], |symbol| sentence.of(symbol));
    sentence.of(negation).iter().any(|word| {
        let at = word.start as usize;
        let affirms = affirmed.iter().any(|whole| whole.start <= word.start && word.end <= whole.end);
        at >= from && at < matched.end && matched.taken >> at & 1 == 0 && !affirms
    })
}

/// A stretch of text with its quotation marks and cues, kept for all that is found in it.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    quotes: Vec<Range<usize>>,
    tokens: Vec<Token>,
    cues: Vec<Occurrence>,
    sentence: Range<usize>,
}

impl Surroundings {
    pub fn of(speech: &Speech, text: &[u8], range: &Range<usize>) -> Self {
        let sentence = tokens::sentence_around(text, range);
        let window =
            paragraph(text, sentence.start.saturating_sub(AROUND)..text.len().min(sentence.end + AROUND), range);
        let mut tokens = Vec::new();
        let mut at = window.start;
        // As many words as a sentence has at most, again and again.
        while at < window.end {
            let more = tokens::tokens(text, at..window.end, &speech.vocabulary);
            let Some(last) = more.last() else { break };
            at = last.range.end;
            tokens.extend(more);
        }
        tokens.truncate(u8::MAX as usize - 1);
        let cues = speech.vocabulary.occurrences(&tokens);
        Self { quotes: quotes(text, window), tokens, cues, sentence }
    }

    pub fn holds(&self, range: &Range<usize>) -> bool {
        self.sentence.start <= range.start && range.end <= self.sentence.end
    }

    fn place(&self, cue: &Occurrence) -> Range<usize> {
        self.tokens[cue.start as usize].range.start..self.tokens[cue.end as usize - 1].range.end
    }

    fn cues(&self, symbol: Option<Symbol>) -> impl Iterator<Item = Range<usize>> {
        let cues = self.cues.iter().filter(move |cue| Some(cue.symbol) == symbol);
        cues.map(|cue| self.place(cue))
    }

    /// Quoted and reported, or reproached: "saying '…' is unacceptable", "whoever thinks that … is a bigot".
    pub fn is_reported(&self, cues: &Cues, range: &Range<usize>, of_group: bool) -> bool {
        let outside = |place: &Range<usize>, of: &Range<usize>| place.end <= of.start || place.start >= of.end;
        let disclaimed: Vec<Range<usize>> = self.cues(cues.disclaim).collect();
        let meant = |place: &Range<usize>| disclaimed.iter().all(|whole| outside(place, whole));
        if let Some(quote) = self.quotes.iter().find(|quote| quote.start <= range.start && range.end <= quote.end) {
            let said = self.cues(cues.report).chain(self.cues(cues.condemn)).chain(self.cues(cues.disapprove));
            return said.filter(meant).any(|place| outside(&place, quote));
        }
        let here = |place: &Range<usize>| {
            place.start >= self.sentence.start
                && place.end <= self.sentence.end
                && outside(place, range)
                && meant(place)
        };
        if of_group && self.cues(cues.condemn).any(|place| here(&place)) {
            return true;
        }
        let reported: Vec<Range<usize>> =
            self.cues(cues.report).filter(|place| here(place) && place.end <= range.start).collect();
        let Some(first) = reported.iter().map(|place| place.start).min() else { return false };
        let denied = self
            .cues(cues.negation)
            .any(|place| here(&place) && place.end <= first + 1 && first - place.end.min(first) < 24);
        denied || self.cues(cues.disapprove).chain(self.cues(cues.condemn)).any(|place| here(&place))
    }

    /// "We …s", "a proud …".
    pub fn is_of_oneself(&self, cues: &Cues, range: &Range<usize>) -> bool {
        let first = self.tokens.partition_point(|token| token.range.end <= range.start);
        let last = self.tokens.partition_point(|token| token.range.start < range.end);
        let oneself = self.cues.iter().filter(|cue| Some(cue.symbol) == cues.oneself);
        oneself.filter(|cue| self.place(cue).start >= self.sentence.start).any(|cue| {
            let (start, end) = (cue.start as usize, cue.end as usize);
            end == first || start == last
        })
    }
}

/// `window`, but not beyond the blank lines around `range`.
fn paragraph(text: &[u8], window: Range<usize>, range: &Range<usize>) -> Range<usize> {
    let blank = |at: &usize| {
        text[*at] == b'\n'
            && text[*at + 1..]
                .iter()
                .find(|byte| !matches!(byte, b' ' | b'\r' | b'\t'))
                .is_none_or(|byte| *byte == b'\n')
    };
    let start = (window.start..range.start).rev().find(blank).map_or(window.start, |at| at + 1);
    let end = (range.end..window.end).find(blank).unwrap_or(window.end);
    start..end
}

/// What stands between double marks, or between single ones that are no apostrophes.
fn quotes(text: &[u8], window: Range<usize>) -> Vec<Range<usize>> {
    let mut quotes = Vec::new();
    let (mut double, mut single) = (None, None);
    let letter = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    for at in window {
        match (text[at], double, single) {
            (b'"', None, _) => double = Some(at),
            (b'"', Some(start), _) => {
                quotes.push(start..at + 1);
                double = None;
            }
            (b'\'', _, None) if !letter(at.checked_sub(1)) && letter(Some(at + 1)) => single = Some(at),
            (b'\'', _, Some(start)) if !letter(Some(at + 1)) => {
                quotes.push(start..at + 1);
                single = None;
            }
            _ => {}
        }
    }
    quotes
}

/// Whether an entry of a word list, at `range`, is only spoken of.
pub(super) fn spares(surroundings: &Surroundings, cues: &Cues, listed: &Listed) -> bool {
    surroundings.is_reported(cues, &listed.range, listed.of_group)
        || (listed.of_group && surroundings.is_of_oneself(cues, &listed.range))
}
