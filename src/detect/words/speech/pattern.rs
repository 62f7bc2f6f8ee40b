//! One pattern on one sentence. The places that a pattern may have reached are the bits of a word, so that a step costs the
//! same however many ways lead there: time is linear in the words of the sentence, never a matter of tries.

use super::vocabulary::{Occurrence, Symbol};

/// A gap of no more words ends at a comma.
pub(super) const SHORT_GAP: usize = 3;
pub(super) const LONG_GAP: usize = 6;

#[derive(Debug)]
pub(super) struct Pattern {
    pub steps: Vec<Step>,
    pub category: u16,
    pub severity: u8,
    pub list: usize,
    pub value: u64,
}

#[derive(Debug)]
pub(super) enum Step {
    Words { any: Vec<Symbol>, optional: bool },
    Gap(usize),
}

/// A sentence as patterns see it.
#[derive(Debug, Default)]
pub(super) struct Sentence {
    /// Sorted by symbol.
    pub occurrences: Vec<Occurrence>,
    pub length: usize,
    /// Bit i: a comma or the like stands before word i.
    pub parted: u64,
}

impl Sentence {
    pub fn of(&self, symbol: Symbol) -> &[Occurrence] {
        let from = self.occurrences.partition_point(|occurrence| occurrence.symbol < symbol);
        let length = self.occurrences[from..].partition_point(|occurrence| occurrence.symbol == symbol);
        &self.occurrences[from..from + length]
    }
}

/// Which words a pattern took, and what stands in its classes.
#[derive(Debug, PartialEq)]
pub(super) struct Matched {
    pub start: usize,
    pub end: usize,
    /// Bit i: word i is one of the pattern's own, not of a gap.
    pub taken: u64,
    pub category: u16,
}

impl Pattern {
    /// Each way to end once, the shortest way there.
    pub fn matches(&self, sentence: &Sentence, mut found: impl FnMut(Matched)) {
        let needed = |step: &Step| match step {
            Step::Words { any, optional: false } => any.iter().any(|symbol| !sentence.of(*symbol).is_empty()),
            _ => true,
        };
        if !self.steps.iter().all(needed) {
            return;
        }
        let mut reached = Vec::with_capacity(self.steps.len() + 1);
        let mut now: u64 = u64::MAX >> (63 - sentence.length.min(63));
        for step in &self.steps {
            reached.push(now);
            now = step.advance(now, sentence);
            if now == 0 {
                return;
            }
        }
        while now != 0 {
            let end = now.trailing_zeros() as usize;
            now &= now - 1;
            found(self.traced(sentence, &reached, end));
        }
    }

    fn traced(&self, sentence: &Sentence, reached: &[u64], end: usize) -> Matched {
        let mut matched = Matched { start: end, end, taken: 0, category: 0 };
        for (step, before) in self.steps.iter().zip(reached).rev() {
            let at = matched.start;
            match step {
                Step::Gap(most) => {
                    let stays = |count: &usize| before >> (at - count) & 1 == 1;
                    matched.start -= (0..=(*most).min(at)).find(stays).unwrap_or(0);
                }
                Step::Words { any, optional } => {
                    let fits =
                        |occurrence: &&Occurrence| occurrence.end as usize == at && before >> occurrence.start & 1 == 1;
                    let taken = any.iter().find_map(|symbol| sentence.of(*symbol).iter().find(fits));
                    match taken {
                        Some(occurrence) => {
                            matched.start = occurrence.start as usize;
                            matched.taken |= (matched.start..at).fold(0, |bits, bit| bits | 1 << bit);
                            if occurrence.category != 0 {
                                matched.category = occurrence.category;
                            }
                        }
                        None => debug_assert!(optional, "a step that was made"),
                    }
                }
            }
        }
        matched
    }
}

impl Step {
    fn advance(&self, places: u64, sentence: &Sentence) -> u64 {
        match self {
            Step::Gap(most) => {
                let stops = if *most > SHORT_GAP { 0 } else { sentence.parted };
                let mut all = places;
                let mut edge = places;
                for _ in 0..*most {
                    edge = (edge & !stops) << 1;
                    all |= edge;
                }
                all & (u64::MAX >> (63 - sentence.length.min(63)))
            }
            Step::Words { any, optional } => {
                let taken = any.iter().flat_map(|symbol| sentence.of(*symbol));
                let there = taken.filter(|occurrence| places >> occurrence.start & 1 == 1);
                let next = there.fold(0, |next, occurrence| next | 1 << occurrence.end);
                if *optional { next | places } else { next }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sentence(symbols: &[u16], parted: u64) -> Sentence {
        let mut occurrences: Vec<Occurrence> = symbols
            .iter()
            .enumerate()
            .map(|(at, symbol)| Occurrence { symbol: *symbol, start: at as u8, end: at as u8 + 1, category: *symbol })
            .collect();
        occurrences.sort_unstable();
        Sentence { occurrences, length: symbols.len(), parted }
    }

    fn pattern(steps: Vec<Step>) -> Pattern {
        Pattern { steps, category: 0, severity: 1, list: 0, value: 0 }
    }

    fn word(symbol: u16) -> Step {
        Step::Words { any: vec![symbol], optional: false }
    }

    fn found(pattern: &Pattern, sentence: &Sentence) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        pattern.matches(sentence, |matched| all.push((matched.start, matched.end)));
        all
    }

    #[test]
    fn gaps_and_what_may_be_absent() {
        let near = pattern(vec![word(1), Step::Gap(2), word(2)]);
        assert_eq!(found(&near, &sentence(&[1, 9, 9, 2], 0)), [(0, 4)]);
        assert_eq!(found(&near, &sentence(&[1, 9, 9, 9, 2], 0)), []);
        assert_eq!(found(&near, &sentence(&[1, 9, 2], 0b10)), [], "a comma before the second word");
        let maybe = pattern(vec![word(1), Step::Words { any: vec![3], optional: true }, word(2)]);
        assert_eq!(found(&maybe, &sentence(&[9, 1, 3, 2, 1, 2], 0)), [(1, 4), (4, 6)]);
        let mut taken = 0;
        near.matches(&sentence(&[1, 9, 2], 0), |matched| taken = matched.taken);
        assert_eq!(taken, 0b101);
    }

    #[test]
    fn a_full_sentence() {
        let symbols = [1; super::super::tokens::MOST_TOKENS];
        assert_eq!(found(&pattern(vec![word(1), word(1)]), &sentence(&symbols, 0)).len(), symbols.len() - 1);
    }

    /// The same by trying every way.
    fn tries(steps: &[Step], at: usize, symbols: &[u16], ends: &mut Vec<usize>) {
        match steps.split_first() {
            None => ends.push(at),
            Some((Step::Gap(most), rest)) => {
                (0..=*most)
                    .filter(|skip| at + skip <= symbols.len())
                    .for_each(|skip| tries(rest, at + skip, symbols, ends));
            }
            Some((Step::Words { any, optional }, rest)) => {
                if *optional {
                    tries(rest, at, symbols, ends);
                }
                if symbols.get(at).is_some_and(|symbol| any.contains(symbol)) {
                    tries(rest, at + 1, symbols, ends);
                }
            }
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (proptest::collection::vec(1u16..4, 1..3), any::<bool>())
                .prop_map(|(any, optional)| Step::Words { any, optional }),
            (0usize..4).prop_map(Step::Gap),
        ]
    }

    proptest! {
        #[test]
        fn as_if_every_way_was_tried(steps in proptest::collection::vec(step(), 1..6), symbols in proptest::collection::vec(1u16..5, 0..12)) {
            let mut ends = Vec::new();
            (0..=symbols.len()).for_each(|start| tries(&steps, start, &symbols, &mut ends));
            ends.sort_unstable();
            ends.dedup();
            let pattern = pattern(steps);
            let matched: Vec<usize> = found(&pattern, &sentence(&symbols, 0)).into_iter().map(|(_, end)| end).collect();
            prop_assert_eq!(matched, ends);
        }
    }
}
