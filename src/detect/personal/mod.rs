//! Personal data by its form: format, checksum and the words near it. A checksum raises a score and never decides alone;
//! what looks like many other things (ten digits, sixteen digits, a date) needs words near it, a label or a column heading.
//!
//! One pass: everything here begins at or before a run of digits, but for e-mail addresses, which are found by their `@`.

mod abroad;
mod address;
mod bank;
mod birth;
mod card;
mod chi;
mod context;
mod email;
mod hcn;
mod iban;
mod licence;
mod nhs;
mod nino;
mod number;
mod passport;
mod phone;
mod postcode;
mod utr;
mod vehicle;

use super::{Country, Detector, Hit, fold::Folded};
use context::{Evidence, Tables, Vocabulary};
use std::{ops::Range, sync::Arc};

/// Below this a number is not worth a reviewer's look.
const THRESHOLD: f32 = 0.5;

pub(super) struct Personal {
    /// In the order in which they are asked: the first that is sure enough has the digits.
    kinds: Vec<Kind>,
    email: Arc<Detector>,
}

/// One kind of personal data: its detector, how it is read, and the words that speak for and against it.
struct Kind {
    detector: Arc<Detector>,
    read: fn(&Folded, usize) -> Option<Candidate>,
    vocabulary: Vocabulary,
    /// It is written in capitals: in small letters and without a word near it, it is as often a file name or a reference.
    capitals: bool,
    /// How close a word must stand to speak for it: 0 for anywhere near.
    closeness: f32,
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
    /// The UK's, and those of these countries.
    pub fn with(countries: &[Country]) -> Self {
        let mut personal = Self::of_the_uk();
        let kind = |name, kind, read, vocabulary| Kind {
            detector: Detector::new(name, kind),
            read,
            vocabulary,
            capitals: false,
            closeness: 0.0,
        };
        // Behind the UK's: the same digits are more likely one of these.
        if countries.contains(&Country::Us) {
            personal.kinds.push(kind("personal.us-ssn", "US_SSN", abroad::ssn, abroad::ssn_vocabulary()));
        }
        if countries.contains(&Country::Eu) {
            personal.kinds.push(kind("personal.eu-vat", "EU_VAT", abroad::vat, abroad::vat_vocabulary()));
            personal.kinds.push(kind("personal.eu-id", "EU_ID", abroad::id, abroad::id_vocabulary()));
        }
        personal
    }

    fn of_the_uk() -> Self {
        let kind = |name, kind, read, vocabulary| Kind {
            detector: Detector::new(name, kind),
            read,
            vocabulary,
            capitals: true,
            closeness: 0.0,
        };
        Self {
            kinds: vec![
                kind("personal.iban", "IBAN", iban::read, iban::vocabulary()),
                kind("personal.uk-nino", "UK_NINO", nino::read, nino::vocabulary()),
                kind("personal.uk-driving-licence", "UK_DRIVING_LICENCE", licence::read, licence::vocabulary()),
                kind("personal.payment-card", "PAYMENT_CARD", card::read, card::vocabulary()),
                kind("personal.uk-nhs", "UK_NHS", nhs::read, nhs::vocabulary()),
                kind("personal.uk-chi", "UK_CHI", chi::read, chi::vocabulary()),
                kind("personal.uk-hcn", "UK_HCN", hcn::read, hcn::vocabulary()),
                kind("personal.uk-utr", "UK_UTR", utr::read, utr::vocabulary()),
                kind("personal.uk-bank-account", "UK_BANK_ACCOUNT", bank::read, bank::vocabulary()),
                kind("personal.uk-passport", "UK_PASSPORT", passport::read, passport::vocabulary()),
                Kind {
                    // A sentence away it is another date.
                    closeness: 0.8,
                    capitals: false,
                    ..kind("personal.date-of-birth", "DATE_OF_BIRTH", birth::read, birth::vocabulary())
                },
                kind("personal.uk-phone", "UK_PHONE", phone::read, phone::vocabulary()),
                Kind {
                    capitals: false,
                    ..kind("personal.uk-address", "UK_ADDRESS", address::read, address::vocabulary())
                },
                kind("personal.uk-postcode", "UK_POSTCODE", postcode::read, postcode::vocabulary()),
                kind("personal.uk-vehicle", "UK_VEHICLE", vehicle::read, vehicle::vocabulary()),
            ],
            email: Detector::new("personal.email-address", "EMAIL_ADDRESS"),
        }
    }

    pub fn detectors(&self) -> impl Iterator<Item = &Arc<Detector>> {
        self.kinds.iter().map(|kind| &kind.detector).chain([&self.email])
    }

    pub fn find(&self, folded: &Folded, hits: &mut Vec<Hit>) {
        let text = &folded.lower[..];
        for at in memchr::memchr_iter(b'@', text) {
            hits.extend(email::read(text, at).map(|candidate| hit(&self.email, candidate, 0.95, folded)));
        }
        let mut tables = Tables::default();
        let mut at = 0;
        while let Some(digit) = number::next_digit(text, at) {
            let found = self.kinds.iter().find_map(|kind| {
                let candidate = (kind.read)(folded, digit)?;
                let score = kind.score(text, &candidate, folded, &mut tables);
                (score >= THRESHOLD).then(|| (candidate.range.end, hit(&kind.detector, candidate, score, folded)))
            });
            at = number::end_of_digits(text, digit);
            if let Some((end, hit)) = found {
                at = at.max(end);
                hits.push(hit);
            }
        }
    }
}

impl Kind {
    fn score(&self, text: &[u8], candidate: &Candidate, folded: &Folded, tables: &mut Tables) -> f32 {
        let small = || folded.cased.as_bytes()[candidate.range.clone()].iter().any(u8::is_ascii_lowercase);
        let alone = candidate.score - if self.capitals && small() { 0.3 } else { 0.0 };
        match self.vocabulary.evidence(text, &candidate.range, tables) {
            Evidence::For(closeness) if closeness >= self.closeness => {
                let least = THRESHOLD.max(candidate.score);
                if candidate.best < THRESHOLD { 0.0 } else { least + (candidate.best - least) * closeness }
            }
            Evidence::Against => alone - 0.4,
            Evidence::For(_) | Evidence::Nothing => alone,
        }
    }
}

fn hit(detector: &Arc<Detector>, candidate: Candidate, score: f32, folded: &Folded) -> Hit {
    Hit {
        detector: detector.clone(),
        category: None,
        severity: 0,
        range: folded.original(candidate.range),
        excerpt: candidate.excerpt,
        value: super::value_hash(&detector.name, candidate.normalised.as_bytes()),
        score,
    }
}

#[cfg(test)]
pub(super) fn found(text: &str) -> Vec<(String, String)> {
    found_by(&Personal::with(&[]), text)
}

#[cfg(test)]
fn found_by(personal: &Personal, text: &str) -> Vec<(String, String)> {
    let mut hits = Vec::new();
    personal.find(&Folded::new(text), &mut hits);
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
