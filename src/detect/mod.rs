//! Room 3, detect: what is in a message.
//!
//! In: a `Message`. Out: a `Scan` of findings, and what could not be read or could be read in two ways. Never: a
//! verdict, I/O, a found value in clear outside the masked excerpt.

mod attachment;
mod contacts;
mod credentials;
mod encryption;
mod fold;
pub mod inside;
mod json;
mod matcher;
mod patterns;
mod personal;
mod sample;
mod scan;
mod sources;
mod within;
mod words;

pub use json::{scan_message_json, scan_text_json};
pub use sources::{Country, DetectorSources, Mistake, SourceFile};
pub use within::is_read_in_place;

use crate::mail::{Ambiguity, Confidence, PartId, Protection, Unread, Zone};
use std::{
    hash::{BuildHasher, RandomState},
    ops::Range,
    sync::{Arc, OnceLock},
};

/// What was found in one message.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    pub findings: Vec<Finding>,
    pub unread: Vec<Unread>,
    pub ambiguous: Vec<Ambiguity>,
    /// Parts that are signed or encrypted, by content.
    pub protected: Vec<(PartId, Protected)>,
}

/// What protects a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protected {
    Mail(Protection),
    EncryptedZip,
    EncryptedOffice,
    EncryptedPdf,
    EncryptedArchive,
}

impl Protected {
    pub fn is_encrypted(self) -> bool {
        match self {
            Protected::Mail(protection) => protection.is_encrypted(),
            _ => true,
        }
    }
}

/// One thing that a detector found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// `personal.uk-nino`, `words.offensive`, `patterns.case-number` …
    pub detector: Arc<str>,
    /// The category of a word list (`chain-letter`, `abuse`), else none.
    pub category: Option<Arc<str>>,
    /// Of a listed word: 1 mild, 2 strong, 3 severe; 0 where it means nothing.
    pub severity: u8,
    pub part: PartId,
    pub zone: Zone,
    /// How sure the zone is. `Low`: it may as well be the author's own.
    pub confidence: Confidence,
    /// The bytes of the message that it stands in.
    pub range: Range<usize>,
    /// Masked: `QQ ** ** ** C`. Safe to show to the sender and in JSON; still never logged.
    pub excerpt: String,
    /// A hash of the normalised value under a key of this process: counts distinct values.
    pub value: u64,
    /// 0 to 1.
    pub score: f32,
}

impl Finding {
    /// Of what a whole part is, where no value stands for it.
    pub fn of_part(detector: Arc<str>, part: PartId, range: Range<usize>) -> Self {
        Self {
            category: None,
            severity: 0,
            value: value_hash(&detector, part.as_str().as_bytes()),
            part,
            zone: Zone::Attachment,
            confidence: Confidence::High,
            range,
            excerpt: String::new(),
            score: 1.0,
            detector,
        }
    }
}

/// All detectors, compiled: immutable, shared by `Arc`, replaced as a whole at a reload.
pub struct Detectors {
    words: words::Words,
    patterns: patterns::Patterns,
    personal: personal::Personal,
    credentials: credentials::Credentials,
    contacts: contacts::Contacts,
}

impl Detectors {
    /// All mistakes of all files at once.
    pub fn compile(sources: &DetectorSources) -> Result<Self, Vec<Mistake>> {
        let words = words::Words::compile(&sources.word_lists, &sources.innocent, &sources.speech);
        let patterns = patterns::Patterns::compile(&sources.patterns);
        match (words, patterns) {
            (Ok(words), Ok(patterns)) => Ok(Self {
                words,
                patterns,
                personal: personal::Personal::with(&sources.countries),
                credentials: credentials::Credentials::new(),
                contacts: contacts::Contacts::new(),
            }),
            (words, patterns) => {
                Err(words.err().into_iter().flatten().chain(patterns.err().into_iter().flatten()).collect())
            }
        }
    }

    /// The names of all detectors, sorted: what a rule may ask for.
    pub fn names(&self) -> Vec<&str> {
        let all = self
            .words
            .detectors()
            .chain(self.patterns.detectors())
            .chain(self.personal.detectors())
            .chain(self.credentials.detectors())
            .chain(self.contacts.detectors());
        let mut names: Vec<&str> = all.map(|detector| &*detector.name).collect();
        names.extend(within::detectors().map(|detector| &*detector.name));
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// A detector's two names.
#[derive(Debug)]
struct Detector {
    /// In rules and in `check`: `personal.uk-nino`.
    name: Arc<str>,
    /// In `scan`: `UK_NINO`.
    kind: Arc<str>,
}

impl Detector {
    fn new(name: &str, kind: &str) -> Arc<Self> {
        Arc::new(Self { name: name.into(), kind: kind.into() })
    }
}

/// A finding in a stretch of text, before it is known where in a message that stands.
struct Hit {
    detector: Arc<Detector>,
    category: Option<Arc<str>>,
    severity: u8,
    /// Bytes of the text that was scanned.
    range: Range<usize>,
    excerpt: String,
    value: u64,
    score: f32,
}

/// Under a key of this process: two findings of one value are the same, and the hash says nothing elsewhere.
fn value_hash(detector: &str, normalised: &[u8]) -> u64 {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    KEY.get_or_init(RandomState::new).hash_one((detector, normalised))
}
