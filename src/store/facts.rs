//! Keyed hashes, and what is remembered by them: who sees whom in a thread, which cases name an address, how often
//! a sender was told of a hold.

use super::{Inner, Store, Thread, acts::THREAD_KEPT_MICROS, read_failed, schema, writer::ThreadRow};
use crate::{
    audit::chain::hex,
    intake::StoreDown,
    mail::{Address, SubmissionId, edit::NoticeDigest},
    policy::{FactQuery, FactSource, Facts, Tell},
};
use std::{collections::HashSet, fmt};
use time::OffsetDateTime;

/// The length of one hash in `thread.addresses`.
const SHORT: usize = 16;
/// Visible lists up to this length are not worth a record: no rule hides so few.
const FEW: usize = 5;
/// A thread may grow by this many without the others having to be hidden.
const NEWCOMERS: usize = 2;
const STORE_DOWN: &str = "the store does not answer";
/// References looked at; a longer chain's middle says nothing new (RFC 5537 3.4.4 lets it be cut, too).
const REFERENCES: usize = 20;

/// What a case is found by. Its number is part of the format on the disk.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Address = 1,
    Domain = 2,
    MessageId = 3,
}

/// The keyed hash of a folded address: says who is the same, not who it is. Displays as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressHash(pub(super) [u8; 32]);

impl fmt::Display for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0[..SHORT]))
    }
}

impl fmt::Debug for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Store {
    /// For the book and for `holds_told`.
    pub fn address_hash(&self, address: &Address) -> AddressHash {
        AddressHash(self.inner.hash(Kind::Address, &address.folded()))
    }

    /// How many holds that sender was told of since then.
    pub async fn holds_told(&self, sender: AddressHash, since: OffsetDateTime) -> Result<u64, StoreDown> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM told WHERE sender = ?1 AND at >= ?2")
            .bind(&sender.0[..])
            .bind(schema::micros(since))
            .fetch_one(&self.inner.readers)
            .await
            .map_err(read_failed)?;
        Ok(count as u64)
    }

    /// The cases whose sender, author or recipients have this address.
    pub async fn cases_of_address(&self, address: &Address) -> Result<Vec<SubmissionId>, StoreDown> {
        self.inner.cases_of(Kind::Address, &address.folded()).await
    }

    pub async fn cases_of_domain(&self, domain: &str) -> Result<Vec<SubmissionId>, StoreDown> {
        self.inner.cases_of(Kind::Domain, &domain.to_lowercase()).await
    }

    pub async fn cases_of_message_id(&self, message_id: &str) -> Result<Vec<SubmissionId>, StoreDown> {
        self.inner.cases_of(Kind::MessageId, bare(message_id)).await
    }
}

impl FactSource for Store {
    async fn facts(&self, query: FactQuery) -> Facts {
        let thread_shares = match self.inner.thread_shares(&query).await {
            Ok(true) => Tell::Yes,
            Ok(false) => Tell::No,
            Err(down) => down.into(),
        };
        let followed = match &query.addressed {
            Some(addressed) => self.inner.followed(addressed).await.map_err(|StoreDown| STORE_DOWN),
            None => Ok(Vec::new()),
        };
        let noticed = self.inner.notices_in_thread(&query).await;
        let notices_in_thread = noticed.map_err(|StoreDown| STORE_DOWN);
        Facts { thread_shares, followed, notices_in_thread, ..Facts::unknown_past(OffsetDateTime::now_utc()) }
    }
}

impl Inner {
    pub(super) fn hash(&self, kind: Kind, folded: &str) -> [u8; 32] {
        let label: &[u8] = match kind {
            Kind::Address => b"address",
            Kind::Domain => b"domain",
            Kind::MessageId => b"message-id",
        };
        self.lookup.mac(&[label, folded.as_bytes()])
    }

    pub(super) fn hash_message_id(&self, message_id: &str) -> [u8; 32] {
        self.hash(Kind::MessageId, bare(message_id))
    }

    async fn cases_of(&self, kind: Kind, folded: &str) -> Result<Vec<SubmissionId>, StoreDown> {
        let ids: Vec<Vec<u8>> = sqlx::query_scalar("SELECT case_id FROM lookup WHERE kind = ?1 AND hash = ?2")
            .bind(kind as i64)
            .bind(&self.hash(kind, folded)[..])
            .fetch_all(&self.readers)
            .await
            .map_err(read_failed)?;
        Ok(ids.into_iter().filter_map(|id| id.try_into().ok()).map(SubmissionId::from_bytes).collect())
    }

    fn short_hashes(&self, visible: &[String]) -> Vec<[u8; SHORT]> {
        let mut hashes: Vec<[u8; SHORT]> = visible
            .iter()
            .map(|address| {
                let whole = self.hash(Kind::Address, &address.to_lowercase());
                *whole.first_chunk().expect("a hash of 32 bytes has a first 16")
            })
            .collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    /// A row for the message, for the one it answers and for the thread's root: an answer to any of these has the
    /// same readers.
    pub(super) fn thread_rows(&self, thread: &Thread) -> Vec<ThreadRow> {
        if thread.visible.len() <= FEW {
            return Vec::new();
        }
        let hashes = self.short_hashes(&thread.visible);
        if hashes.len() <= FEW {
            return Vec::new();
        }
        let addresses = hashes.concat();
        let references = &thread.references;
        let ends = references.first().into_iter().chain(references.last());
        let mut seen = HashSet::new();
        std::iter::once(&thread.message_id)
            .chain(ends)
            .filter(|id| !bare(id).is_empty())
            .map(|id| self.hash_message_id(id))
            .filter(|message| seen.insert(*message))
            .map(|message| ThreadRow { message, addresses: addresses.clone() })
            .collect()
    }

    /// What stands for a notice in a thread: half a hash each of the notice and of the message that had it.
    fn noticed(&self, notice: &NoticeDigest, message_id: &str) -> Vec<u8> {
        let (notice, carrier) = (self.lookup.mac(&[b"notice", &notice.0]), self.hash_noticed(message_id));
        [&notice[..SHORT], &carrier[..SHORT]].concat()
    }

    /// Beside the rows of who sees whom, never among them.
    fn hash_noticed(&self, message_id: &str) -> [u8; 32] {
        self.lookup.mac(&[b"noticed", bare(message_id).as_bytes()])
    }

    /// Under the message itself, the one that it answers and the thread's root, as for `thread_rows`.
    pub(super) fn noticed_rows(&self, thread: &FactQuery) -> Vec<ThreadRow> {
        let ends = thread.references.first().into_iter().chain(thread.references.last());
        let ids: HashSet<&str> =
            std::iter::once(&thread.message_id).chain(ends).map(|id| bare(id)).filter(|id| !id.is_empty()).collect();
        let rows = ids.into_iter().flat_map(|id| {
            let message = self.hash_noticed(id);
            let row = move |notice| ThreadRow { message, addresses: self.noticed(notice, &thread.message_id) };
            thread.notices.iter().map(row)
        });
        rows.collect()
    }

    /// The same message again, to other recipients or on a retry, has its notices however often it comes: those that it
    /// left with itself do not count.
    async fn notices_in_thread(&self, query: &FactQuery) -> Result<HashSet<NoticeDigest>, StoreDown> {
        let references: Vec<String> = newest(&query.references).map(|id| hex(&self.hash_noticed(id))).collect();
        if references.is_empty() || query.notices.is_empty() {
            return Ok(HashSet::new());
        }
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT addresses FROM thread WHERE message IN (SELECT unhex(value) FROM json_each(?1)) AND seen > ?2",
        )
        .bind(serde_json::to_string(&references).expect("strings fit into JSON"))
        .bind(schema::now() - THREAD_KEPT_MICROS)
        .fetch_all(&self.readers)
        .await
        .map_err(read_failed)?;
        let known = |notice: &&NoticeDigest| {
            let own = self.noticed(notice, &query.message_id);
            rows.iter().any(|row| row[..SHORT] == own[..SHORT] && row[SHORT..] != own[SHORT..])
        };
        Ok(query.notices.iter().filter(known).copied().collect())
    }

    async fn thread_shares(&self, query: &FactQuery) -> Result<bool, StoreDown> {
        let references: Vec<String> = newest(&query.references).map(|id| hex(&self.hash_message_id(id))).collect();
        if references.is_empty() {
            return Ok(false);
        }
        let sets: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT addresses FROM thread WHERE message IN (SELECT unhex(value) FROM json_each(?1)) AND seen > ?2
             ORDER BY seen DESC LIMIT 100",
        )
        .bind(serde_json::to_string(&references).expect("strings fit into JSON"))
        .bind(schema::now() - THREAD_KEPT_MICROS)
        .fetch_all(&self.readers)
        .await
        .map_err(read_failed)?;
        let visible = self.short_hashes(&query.visible);
        Ok(sets.iter().any(|set| {
            let known: HashSet<&[u8]> = set.chunks_exact(SHORT).collect();
            visible.iter().filter(|hash| !known.contains(&hash[..])).count() <= NEWCOMERS
        }))
    }
}

/// The first (the thread's root) and the newest of the others.
fn newest(message_ids: &[String]) -> impl Iterator<Item = &str> {
    let ids = message_ids.iter().map(|id| bare(id));
    let skipped = message_ids.len().saturating_sub(REFERENCES);
    ids.enumerate().filter(move |(at, id)| !id.is_empty() && (*at == 0 || *at > skipped)).map(|(_, id)| id)
}

/// Without angle brackets and white space: compared as RFC 5322 3.6.4 has it, with case.
fn bare(message_id: &str) -> &str {
    message_id.trim().trim_start_matches('<').trim_end_matches('>').trim()
}
