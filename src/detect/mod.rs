//! Room 3, detect: what is in a message.
//!
//! In: a `Message`. Out: a `Scan` of findings, and what could not be read or could be read in two ways. Never: a
//! verdict, I/O, a found value in clear outside the masked excerpt.

use crate::mail::{Ambiguity, PartId, Protection, Unread, Zone};
use std::{ops::Range, sync::Arc};

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
    /// The bytes of the message that it stands in.
    pub range: Range<usize>,
    /// Masked: `QQ ** ** ** C`. Safe to show to the sender and in JSON; still never logged.
    pub excerpt: String,
    /// A hash of the normalised value under a key of this process: counts distinct values.
    pub value: u64,
    /// 0 to 1.
    pub score: f32,
}
