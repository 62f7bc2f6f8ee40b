//! Personal numbers: format, checksum and the words near them. A checksum raises a score and never decides alone; a number
//! that looks like many others (ten digits, sixteen digits) needs words near it, a label or a column heading.
//!
//! One pass: everything here begins at a run of digits.

mod card;
mod context;
mod iban;
mod nhs;
mod nino;
mod number;

use super::{Detector, Hit, fold::Folded};
use context::{Tables, Vocabulary};
use std::{ops::Range, sync::Arc};

/// Below this a number is not worth a reviewer's look.
const THRESHOLD: f32 = 0.5;

pub(super) struct Personal {
    nino: Kind,
    nhs: Kind,
    card: Kind,
    iban: Kind,
}

/// One kind of number: its detector and the words that speak for and against it.
struct Kind {
    detector: Arc<Detector>,
    vocabulary: Vocabulary,
}

/// A number whose format is right.
#[derive(Debug, PartialEq)]
struct Candidate {
    range: Range<usize>,
    /// Without separators, upper case.
    normalised: String,
    excerpt: String,
    /// Without any word near it.
    score: f32,
    /// With the best words near it.
    best: f32,
}

impl Personal {
    pub fn new() -> Self {
        let kind = |name, kind, vocabulary| Kind { detector: Detector::new(name, kind), vocabulary };
        Self {
            nino: kind("personal.uk-nino", "UK_NINO", nino::vocabulary()),
            nhs: kind("personal.uk-nhs", "UK_NHS", nhs::vocabulary()),
            card: kind("personal.payment-card", "PAYMENT_CARD", card::vocabulary()),
            iban: kind("personal.iban", "IBAN", iban::vocabulary()),
        }
    }

    pub fn detectors(&self) -> impl Iterator<Item = &Arc<Detector>> {
        [&self.nino, &self.nhs, &self.card, &self.iban].into_iter().map(|kind| &kind.detector)
    }

    pub fn find(&self, folded: &Folded, hits: &mut Vec<Hit>) {
        let text = &folded.lower[..];
        let mut tables = Tables::default();
        let mut at = 0;
        while let Some(digit) = number::next_digit(text, at) {
            let read = [
                (&self.iban, iban::read as fn(&[u8], usize) -> Option<Candidate>),
                (&self.nino, nino::read),
                (&self.card, card::read),
                (&self.nhs, nhs::read),
            ];
            let found = read.into_iter().find_map(|(kind, read)| {
                let candidate = read(text, digit)?;
                let score = kind.score(text, &candidate, folded, &mut tables);
                (score >= THRESHOLD).then(|| kind.hit(candidate, score, folded))
            });
            at = number::end_of_digits(text, digit);
            if let Some((hit, end)) = found {
                at = at.max(end);
                hits.push(hit);
            }
        }
    }
}

impl Kind {
    fn score(&self, text: &[u8], candidate: &Candidate, folded: &Folded, tables: &mut Tables) -> f32 {
        // Small letters without a word near are as often a file name or a reference.
        let upper = folded.cased.as_bytes()[candidate.range.clone()].iter().all(|byte| !byte.is_ascii_lowercase());
        let alone = if upper { candidate.score } else { candidate.score - 0.3 };
        match self.vocabulary.evidence(text, &candidate.range, tables) {
            context::Evidence::For(closeness) => {
                let least = THRESHOLD.max(candidate.score);
                if candidate.best < THRESHOLD { 0.0 } else { least + (candidate.best - least) * closeness }
            }
            context::Evidence::Against => alone - 0.4,
            context::Evidence::Nothing => alone,
        }
    }

    fn hit(&self, candidate: Candidate, score: f32, folded: &Folded) -> (Hit, usize) {
        let end = candidate.range.end;
        let hit = Hit {
            detector: self.detector.clone(),
            category: None,
            severity: 0,
            range: folded.original(candidate.range),
            excerpt: candidate.excerpt,
            value: super::value_hash(&self.detector.name, candidate.normalised.as_bytes()),
            score,
        };
        (hit, end)
    }
}

#[cfg(test)]
pub(super) fn found(text: &str) -> Vec<(String, String)> {
    let mut hits = Vec::new();
    Personal::new().find(&Folded::new(text), &mut hits);
    hits.into_iter().map(|hit| (hit.detector.kind.to_string(), text[hit.range].to_string())).collect()
}

#[cfg(test)]
fn assert_found(cases: &[(&str, &str)], kind: &str) {
    for (text, expected) in cases {
        let of_kind: Vec<String> = found(text).into_iter().filter(|(k, _)| k == kind).map(|(_, text)| text).collect();
        let expected: Vec<&str> = if expected.is_empty() { vec![] } else { vec![expected] };
        assert_eq!(of_kind, expected, "{kind} in {text:?}");
    }
}
