//! The condition `finds`: which findings, how many distinct ones, where and how sure.

use crate::{
    detect::{Finding, Scan},
    mail::{Confidence, Zone},
};
use std::collections::HashSet;

/// Findings that a rule looks for. All that is said of a finding must hold; a list means any of.
#[derive(Clone, Debug, PartialEq)]
pub struct Finds {
    /// Names of detectors: `personal.uk-nino`, `words.offensive`.
    pub any: Vec<String>,
    /// At least this many distinct values together.
    pub distinct: usize,
    /// Empty: anywhere.
    pub zones: Vec<Zone>,
    /// Categories of word lists; empty: all.
    pub categories: Vec<String>,
    pub min_score: f32,
    pub min_severity: u8,
}

pub const ZONES: [(&str, Zone); 7] = [
    ("own", Zone::Own),
    ("quoted", Zone::Quoted),
    ("forwarded", Zone::Forwarded),
    ("signature", Zone::Signature),
    ("notice", Zone::Notice),
    ("header", Zone::Header),
    ("attachment", Zone::Attachment),
];

impl Finds {
    pub fn holds(&self, scan: &Scan) -> bool {
        self.distinct_in(scan) >= self.distinct
    }

    /// How many distinct values there are of what is looked for.
    pub fn distinct_in(&self, scan: &Scan) -> usize {
        let mut first = None;
        let mut more = HashSet::new();
        for finding in self.of(scan) {
            let this = (&finding.detector, finding.value);
            // Most messages have none or one: no set is made for them.
            match first {
                None => first = Some(this),
                Some(known) if known == this => {}
                Some(_) => {
                    more.insert(this);
                }
            }
        }
        usize::from(first.is_some()) + more.len()
    }

    /// The findings that are looked for.
    pub fn of<'s>(&'s self, scan: &'s Scan) -> impl Iterator<Item = &'s Finding> {
        scan.findings.iter().filter(|finding| self.is_one(finding))
    }

    fn is_one(&self, finding: &Finding) -> bool {
        let category = || match &finding.category {
            Some(category) => self.categories.iter().any(|wanted| **wanted == **category),
            None => false,
        };
        self.any.iter().any(|name| **name == *finding.detector)
            && (self.zones.is_empty() || self.wants_zone(finding))
            && (self.categories.is_empty() || category())
            && finding.score >= self.min_score
            && finding.severity >= self.min_severity
    }

    /// Words that only perhaps are somebody else's count as the author's own too: in doubt they are found.
    fn wants_zone(&self, finding: &Finding) -> bool {
        self.zones.contains(&finding.zone) || (finding.confidence == Confidence::Low && self.zones.contains(&Zone::Own))
    }

    /// As the rule says it.
    pub fn wanted(&self) -> String {
        let mut wanted = format!("finds {} of {}", self.distinct, self.any.join(" or "));
        if !self.categories.is_empty() {
            wanted.push_str(&format!(" ({})", self.categories.join(" or ")));
        }
        if !self.zones.is_empty() {
            let zones = ZONES.iter().filter(|(_, zone)| self.zones.contains(zone)).map(|(name, _)| *name);
            wanted.push_str(&format!(" in {}", zones.collect::<Vec<_>>().join(" or ")));
        }
        if self.min_score > 0.0 {
            wanted.push_str(&format!(", score from {}", self.min_score));
        }
        if self.min_severity > 0 {
            wanted.push_str(&format!(", severity from {}", self.min_severity));
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::PartId;

    fn finding(detector: &str, value: u64, zone: Zone, score: f32, severity: u8, category: Option<&str>) -> Finding {
        Finding {
            detector: detector.into(),
            category: category.map(Into::into),
            severity,
            part: PartId::new("1"),
            zone,
            confidence: Confidence::High,
            range: 0..1,
            excerpt: "*".into(),
            value,
            score,
        }
    }

    #[test]
    fn distinct_values_of_the_right_kind_place_and_certainty_are_counted() {
        let findings = vec![
            finding("personal.uk-nino", 1, Zone::Own, 0.9, 0, None),
            finding("personal.uk-nino", 1, Zone::Quoted, 0.9, 0, None),
            finding("personal.uk-nino", 2, Zone::Own, 0.4, 0, None),
            finding("personal.iban", 2, Zone::Attachment, 0.9, 0, None),
            finding("words.offensive", 7, Zone::Own, 1.0, 2, Some("abuse")),
            finding("words.offensive", 8, Zone::Own, 1.0, 1, None),
        ];
        let scan = Scan { findings, ..Scan::default() };
        let nino = Finds {
            any: vec!["personal.uk-nino".into()],
            distinct: 2,
            zones: Vec::new(),
            categories: Vec::new(),
            min_score: 0.0,
            min_severity: 0,
        };
        let words = Finds { any: vec!["words.offensive".into()], ..nino.clone() };
        for (finds, distinct) in [
            (nino.clone(), 2),
            (Finds { zones: vec![Zone::Quoted], ..nino.clone() }, 1),
            (Finds { min_score: 0.5, ..nino.clone() }, 1),
            (Finds { any: vec!["personal.uk-nino".into(), "personal.iban".into()], ..nino.clone() }, 3),
            (words.clone(), 2),
            (Finds { min_severity: 2, ..words.clone() }, 1),
            (Finds { categories: vec!["abuse".into()], ..words.clone() }, 1),
            (Finds { any: vec!["words.none".into()], ..words }, 0),
        ] {
            assert_eq!(finds.distinct_in(&scan), distinct, "{}", finds.wanted());
            assert_eq!(finds.holds(&scan), distinct >= 2);
        }
        let all = Finds { zones: vec![Zone::Own], min_score: 0.5, min_severity: 1, ..nino };
        assert_eq!(all.wanted(), "finds 2 of personal.uk-nino in own, score from 0.5, severity from 1");
    }
}
