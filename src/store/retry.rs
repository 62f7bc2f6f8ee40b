//! Retry records in memory: each row of `retry`, with what only this process can know, namely whether the client
//! is still there.
//!
//! A record is *open* while the connection that got the answer lives: it suppresses nothing, so that the same
//! message handed in twice at once arrives twice. It is *unconfirmed* when that connection ended without a sign
//! that the answer was heard, or when it is found at a start; then it answers one hand-in, and is open again with
//! that connection. Once confirmed it is gone.

use super::seal::random;
use crate::{intake::RetryKey, mail::wire::Reply};
use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

/// Five days: no client retries longer (RFC 5321 4.5.4.1).
pub(super) const KEPT_MICROS: i64 = 5 * 24 * 3600 * 1_000_000;

/// A record on its way to the disk.
#[derive(Clone, Debug)]
pub(super) struct NewRecord {
    pub serial: i64,
    pub key: RetryKey,
    pub reply: Reply,
    pub sealed: Vec<u8>,
    pub at: i64,
    pub standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Open,
    Unconfirmed,
}

struct Record {
    serial: i64,
    reply: Reply,
    at: i64,
    standing: Standing,
}

pub(super) struct Records {
    inner: Mutex<Inner>,
    next: AtomicI64,
}

#[derive(Default)]
struct Inner {
    by_key: HashMap<RetryKey, Vec<Record>>,
    /// Rows that may go with the next commit.
    settled: Vec<i64>,
}

impl Records {
    pub fn new() -> Self {
        // Serials of several runs and processes never meet: each begins at a random place of 2^62 and counts on.
        let start = i64::from_be_bytes(random()) & (i64::MAX >> 1);
        Self { inner: Mutex::default(), next: AtomicI64::new(start) }
    }

    pub fn serial(&self) -> i64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A record that is now on the disk.
    pub fn insert(&self, new: NewRecord) {
        let NewRecord { serial, key, reply, at, standing, .. } = new;
        self.lock().by_key.entry(key).or_default().push(Record { serial, reply, at, standing });
    }

    /// The reply of one unconfirmed record, which is open from now on.
    pub fn answer(&self, key: RetryKey) -> Option<Reply> {
        let mut inner = self.lock();
        let record = find(&mut inner, key, Standing::Unconfirmed)?;
        record.standing = Standing::Open;
        Some(record.reply.clone())
    }

    pub fn confirm(&self, key: RetryKey) {
        let mut inner = self.lock();
        let Some(records) = inner.by_key.get_mut(&key) else { return };
        let Some(at) = records.iter().position(|record| record.standing == Standing::Open) else { return };
        let serial = records.swap_remove(at).serial;
        if records.is_empty() {
            inner.by_key.remove(&key);
        }
        inner.settled.push(serial);
    }

    pub fn unconfirm(&self, key: RetryKey) {
        if let Some(record) = find(&mut self.lock(), key, Standing::Open) {
            record.standing = Standing::Unconfirmed;
        }
    }

    pub fn take_settled(&self) -> Vec<i64> {
        std::mem::take(&mut self.lock().settled)
    }

    /// For the next commit, after one that did not come about.
    pub fn put_back(&self, mut settled: Vec<i64>) {
        self.lock().settled.append(&mut settled);
    }

    /// Settles what is too old to be asked for.
    pub fn expire(&self, now: i64) {
        let mut inner = self.lock();
        let Inner { by_key, settled } = &mut *inner;
        by_key.retain(|_, records| {
            records.retain(|record| {
                let young = record.at + KEPT_MICROS > now;
                if !young {
                    settled.push(record.serial);
                }
                young
            });
            !records.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code here can panic halfway through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(inner: &mut Inner, key: RetryKey, standing: Standing) -> Option<&mut Record> {
    inner.by_key.get_mut(&key)?.iter_mut().find(|record| record.standing == standing)
}

/// The clear form of a reply, to be sealed: a next hop's text may name people.
pub(super) fn encode(reply: &Reply) -> Vec<u8> {
    serde_json::to_vec(&(reply.code(), reply.enhanced(), reply.lines())).expect("numbers and strings fit into JSON")
}

pub(super) fn decode(clear: &[u8]) -> Option<Reply> {
    let (code, enhanced, lines): (u16, _, Vec<String>) = serde_json::from_slice(clear).ok()?;
    (200..600).contains(&code).then(|| Reply::cleaned(code, enhanced, lines.iter().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: RetryKey = RetryKey([1; 32]);

    fn record(records: &Records, standing: Standing) -> i64 {
        let serial = records.serial();
        let reply = Reply::new(250, (2, 0, 0), "queued");
        records.insert(NewRecord { serial, key: KEY, reply, sealed: Vec::new(), at: 0, standing });
        serial
    }

    #[test]
    fn an_open_record_suppresses_nothing_and_an_unconfirmed_one_answers_once() {
        let records = Records::new();
        let serial = record(&records, Standing::Open);
        assert_eq!(records.answer(KEY), None, "the first client is still there");
        records.unconfirm(KEY);
        assert_eq!(records.answer(KEY).unwrap().code(), 250);
        assert_eq!(records.answer(KEY), None, "answered once");
        records.unconfirm(KEY);
        assert!(records.answer(KEY).is_some(), "that connection ended too");
        records.confirm(KEY);
        assert_eq!(records.answer(KEY), None);
        assert_eq!(records.take_settled(), [serial]);
        assert!(records.lock().by_key.is_empty());
    }

    #[test]
    fn two_of_the_same_are_two() {
        let records = Records::new();
        let first = record(&records, Standing::Open);
        let second = record(&records, Standing::Open);
        records.confirm(KEY);
        records.unconfirm(KEY);
        assert!(records.answer(KEY).is_some());
        records.confirm(KEY);
        let mut settled = records.take_settled();
        settled.sort();
        assert_eq!(settled, [first, second]);
    }

    #[test]
    fn old_records_go() {
        let records = Records::new();
        record(&records, Standing::Unconfirmed);
        records.expire(KEPT_MICROS - 1);
        assert!(records.take_settled().is_empty());
        records.expire(KEPT_MICROS);
        assert_eq!(records.take_settled().len(), 1);
        assert_eq!(records.answer(KEY), None);
    }

    #[test]
    fn replies_survive_the_disk() {
        for reply in [Reply::plain(250, "ok\ntwo lines"), Reply::new(550, (5, 7, 1), "no")] {
            assert_eq!(decode(&encode(&reply)), Some(reply));
        }
        assert_eq!(decode(b"[999,null,[]]"), None);
    }
}
