//! Messages that come in several transactions (Exchange Online sends one to many people so): to whom earlier ones went,
//! and the case in which what was held of the message waits.
//!
//! In memory first, so that of two transactions at one instant one sees the other; on the disk with the commit that
//! says what became of each. A message that goes to exactly those whom its own To and Cc name is nearly always all there
//! is: it is kept in memory alone, and not long.

use super::{Inner, Store, schema::now};
use crate::{
    intake::SplitKey,
    keys::KeyedHash,
    mail::SubmissionId,
    policy::{Earlier, Reached},
};
use sqlx::{Row, SqliteConnection};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// From the first transaction on: a server that cannot hand in a part gives up after a day.
pub(super) const KEPT_MICROS: i64 = 24 * 3600 * 1_000_000;

/// The oldest are forgotten above it. About 20 MB.
const MOST: usize = 100_000;
/// Of those that are in memory alone. About 3 MB.
const MOST_WHOLE: usize = 20_000;

/// The length of a recipient in `split.recipients`: hash, and people with the highest bit for outside.
const ROW: usize = 20;
const OUTSIDE: u32 = 1 << 31;

/// A recipient by keyed hash, with what counts of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    hash: [u8; 16],
    people: u32,
    outside: bool,
}

/// What is to be written of one message.
#[derive(Debug)]
pub(super) struct SplitRow {
    pub key: SplitKey,
    pub recipients: Vec<u8>,
    pub first: i64,
    /// The case in which it now waits, when that is new.
    pub case: Option<SubmissionId>,
    /// So many of its recipients are on the disk then.
    upto: usize,
}

struct Known {
    recipients: Vec<Counted>,
    /// So many of them are on the disk.
    saved: usize,
    first: i64,
    durable: bool,
    case: Option<SubmissionId>,
}

#[derive(Default)]
pub(super) struct Splits {
    inner: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    known: HashMap<SplitKey, Known>,
    /// In the order of their first transaction; a key may stand in both.
    durable: VecDeque<SplitKey>,
    whole: VecDeque<SplitKey>,
}

impl Store {
    /// Notes that this message now goes to these recipients, and gives those of earlier transactions who are none of
    /// them. `whole`: they are exactly those whom its header names.
    pub fn enter(&self, key: SplitKey, recipients: &[Reached], whole: bool) -> Earlier {
        let counted = recipients.iter().map(|reached| Counted::of(reached, &self.inner.lookup)).collect();
        self.inner.splits.enter(key, counted, whole, now())
    }

    /// The case in which an earlier transaction of the message was held last.
    pub fn case_of_split(&self, key: SplitKey) -> Option<SubmissionId> {
        self.inner.splits.lock().known.get(&key)?.case
    }
}

impl Counted {
    fn of(reached: &Reached, lookup: &KeyedHash) -> Self {
        let hash = lookup.mac(&[b"address", reached.folded.as_bytes()]);
        let people = u32::try_from(reached.people).unwrap_or(u32::MAX).min(OUTSIDE - 1);
        Self { hash: *hash.first_chunk().expect("a hash of 32 bytes has a first 16"), people, outside: reached.outside }
    }

    fn write(self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.hash);
        into.extend_from_slice(&(self.people | if self.outside { OUTSIDE } else { 0 }).to_be_bytes());
    }

    fn read(row: &[u8]) -> Option<Self> {
        let (hash, count) = row.split_first_chunk()?;
        let count = u32::from_be_bytes(*count.first_chunk()?);
        Some(Self { hash: *hash, people: count & !OUTSIDE, outside: count & OUTSIDE != 0 })
    }
}

impl Splits {
    fn enter(&self, key: SplitKey, recipients: Vec<Counted>, whole: bool, now: i64) -> Earlier {
        let mut memory = self.lock();
        memory.forget(now);
        let Memory { known, durable, whole: kept_whole } = &mut *memory;
        let known = known.entry(key).or_insert_with(|| {
            if whole {
                kept_whole.push_back(key);
            }
            Known { recipients: Vec::new(), saved: 0, first: now, durable: false, case: None }
        });
        if !whole && !known.durable {
            known.durable = true;
            durable.push_back(key);
        }
        let mine: HashSet<[u8; 16]> = recipients.iter().map(|recipient| recipient.hash).collect();
        let mut earlier = Earlier::default();
        let mut there = HashSet::with_capacity(known.recipients.len());
        for recipient in &known.recipients {
            there.insert(recipient.hash);
            if !mine.contains(&recipient.hash) {
                earlier.people += recipient.people as usize;
                earlier.outside += usize::from(recipient.outside);
            }
        }
        known.recipients.extend(recipients.into_iter().filter(|recipient| !there.contains(&recipient.hash)));
        known.recipients.shrink_to_fit();
        earlier
    }

    /// What of this message is not on the disk and belongs there, with the case in which it now waits.
    pub fn unsaved(&self, key: SplitKey, case: Option<SubmissionId>) -> Option<SplitRow> {
        let mut memory = self.lock();
        let Memory { known, durable, .. } = &mut *memory;
        let known = known.get_mut(&key)?;
        if case.is_some() && !known.durable {
            known.durable = true;
            durable.push_back(key);
        }
        let new = &known.recipients[known.saved..];
        if !known.durable || (new.is_empty() && case.is_none()) {
            return None;
        }
        let mut recipients = Vec::with_capacity(new.len() * ROW);
        new.iter().for_each(|recipient| recipient.write(&mut recipients));
        Some(SplitRow { key, recipients, first: known.first, case, upto: known.recipients.len() })
    }

    /// It is on the disk now.
    pub fn saved(&self, row: &SplitRow) {
        if let Some(known) = self.lock().known.get_mut(&row.key) {
            known.saved = known.saved.max(row.upto);
            known.case = row.case.or(known.case);
        }
    }

    pub async fn load(db: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT * FROM (SELECT message, recipients, first, case_id FROM split WHERE first > ?1 ORDER BY first DESC LIMIT ?2)
             ORDER BY first",
        )
        .bind(now() - KEPT_MICROS)
        .bind(MOST as i64)
        .fetch_all(db)
        .await?;
        let mut memory = Memory::default();
        for row in rows {
            let (message, recipients): (&[u8], &[u8]) = (row.try_get(0)?, row.try_get(1)?);
            let Ok(key) = message.try_into().map(SplitKey) else { continue };
            let mut seen = HashSet::new();
            let recipients: Vec<Counted> = recipients
                .chunks_exact(ROW)
                .filter_map(Counted::read)
                .filter(|recipient| seen.insert(recipient.hash))
                .collect();
            let case: Option<&[u8]> = row.try_get(3)?;
            let case = case.and_then(|case| case.try_into().ok()).map(SubmissionId::from_bytes);
            let saved = recipients.len();
            memory.durable.push_back(key);
            memory.known.insert(key, Known { recipients, saved, first: row.try_get(2)?, durable: true, case });
        }
        Ok(Self { inner: Mutex::new(memory) })
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // No code here can panic halfway through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Makes room for one more, and forgets what is over.
    fn forget(&mut self, now: i64) {
        let Self { known, durable, whole } = self;
        for (queue, most, is_durable) in [(durable, MOST, true), (whole, MOST_WHOLE, false)] {
            while let Some(oldest) = queue.front() {
                // One that became durable stands in the other queue too, and goes from there.
                let here = known.get(oldest).filter(|known| known.durable == is_durable);
                if queue.len() < most && here.is_some_and(|known| known.first + KEPT_MICROS > now) {
                    break;
                }
                if here.is_some() {
                    known.remove(oldest);
                }
                queue.pop_front();
            }
        }
    }
}

impl Inner {
    pub(super) fn split_row(&self, key: Option<SplitKey>, case: Option<SubmissionId>) -> Option<SplitRow> {
        self.splits.unsaved(key?, case)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SplitKey = SplitKey([7; 16]);

    fn people(names: std::ops::Range<u8>) -> Vec<Counted> {
        names.map(|name| Counted { hash: [name; 16], people: 1, outside: name % 2 == 0 }).collect()
    }

    #[test]
    fn counts_go_on_and_nobody_is_counted_twice() {
        let splits = Splits::default();
        let earlier = |people, outside| Earlier { people, outside };
        assert_eq!(splits.enter(KEY, people(0..5), false, 0), earlier(0, 0));
        assert_eq!(splits.enter(KEY, people(5..10), false, 1), earlier(5, 3));
        assert_eq!(splits.enter(KEY, people(5..10), false, 2), earlier(5, 3), "tried again");
        assert_eq!(splits.enter(KEY, people(3..12), false, 3), earlier(3, 2), "some of them again");
        assert_eq!(splits.enter(SplitKey([8; 16]), people(20..21), false, 3), earlier(0, 0), "another message");
        assert_eq!(splits.enter(KEY, people(30..31), false, KEPT_MICROS), earlier(0, 0), "a day later");
    }

    #[test]
    fn what_is_not_yet_on_the_disk_is_written_once() {
        let splits = Splits::default();
        splits.enter(KEY, people(0..2), true, 0);
        assert!(splits.unsaved(KEY, None).is_none(), "all there is of it");
        splits.enter(KEY, people(2..5), false, 1);
        let row = splits.unsaved(KEY, None).expect("both");
        assert_eq!(row.recipients.len(), 5 * ROW);
        let again = splits.unsaved(KEY, None).expect("that commit may fail");
        splits.saved(&row);
        splits.saved(&again);
        assert!(splits.unsaved(KEY, None).is_none());
        splits.enter(KEY, people(4..6), false, 2);
        let row = splits.unsaved(KEY, Some(SubmissionId::from_bytes([1; 16]))).expect("one more, and held");
        let read: Vec<_> = row.recipients.chunks_exact(ROW).filter_map(Counted::read).collect();
        assert_eq!(read, people(5..6));
        splits.saved(&row);
        assert_eq!(splits.lock().known[&KEY].case, Some(SubmissionId::from_bytes([1; 16])));
    }

    #[test]
    fn memory_has_an_end() {
        let splits = Splits::default();
        let key = |number: u64| SplitKey(u128::from(number).to_be_bytes());
        for number in 0..(MOST_WHOLE as u64 + 100) {
            splits.enter(key(number), people(0..1), true, number as i64);
        }
        assert_eq!(splits.lock().known.len(), MOST_WHOLE);
        splits.enter(key(50_000), people(0..1), false, 1_000_000);
        for number in 100_000..(100_000 + MOST_WHOLE as u64) {
            splits.enter(key(number), people(0..1), true, 1_000_000);
        }
        assert_eq!(
            splits.enter(key(50_000), people(1..2), false, 1_000_001).people,
            1,
            "the others do not push it out"
        );
        let held = key(100_000 + MOST_WHOLE as u64 - 1);
        assert!(splits.unsaved(held, Some(SubmissionId::from_bytes([1; 16]))).is_some());
        for number in 200_000..(200_000 + MOST_WHOLE as u64) {
            splits.enter(key(number), people(0..1), true, 1_000_002);
        }
        assert!(splits.lock().known.contains_key(&held), "what waits is remembered");
        splits.enter(key(1), people(0..1), false, 1_000_002 + KEPT_MICROS);
        let memory = splits.lock();
        assert_eq!((memory.known.len(), memory.durable.len(), memory.whole.len()), (1, 1, 0));
    }
}
