//! To whom messages were addressed that were held or whose recipients were hidden: a recall, or another message to mostly the
//! same people, soon after one of them, is known by it. Keyed hashes, for a day.

use super::{Inner, Store, acts::Stop, facts::Kind, read_failed, schema::now};
use crate::{
    intake::StoreDown,
    mail::SubmissionId,
    policy::{Addressed, Followed},
};
use sqlx::{Row, SqliteConnection};
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

/// No figure of a rule looks further back.
pub(super) const KEPT_MICROS: i64 = 24 * 3600 * 1_000_000;
const MINUTE_MICROS: f64 = 60.0 * 1_000_000.0;

/// The length of one hash in `stopped.people`.
const SHORT: usize = 16;
/// Lists of one sender that are looked at, the newest first.
const LISTS: i64 = 200;
/// Senders in memory; above it those that are over are forgotten.
const SENDERS: usize = 10_000;

/// A row to be written.
pub(super) struct StopRow {
    message: [u8; 32],
    sender: [u8; 32],
    people: Vec<u8>,
    case: Option<SubmissionId>,
}

/// Senders of whom there may be a row, and since when: nearly all have none, and nothing is asked for them.
#[derive(Default)]
pub(super) struct Stopped {
    senders: Mutex<HashMap<[u8; 32], i64>>,
}

impl Stopped {
    pub async fn load(db: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let rows = sqlx::query("SELECT sender, max(at) FROM stopped WHERE at > ?1 GROUP BY sender")
            .bind(now() - KEPT_MICROS)
            .fetch_all(db)
            .await?;
        let mut senders = HashMap::new();
        for row in rows {
            let sender: &[u8] = row.try_get(0)?;
            if let Ok(sender) = sender.try_into() {
                senders.insert(sender, row.try_get(1)?);
            }
        }
        Ok(Self { senders: Mutex::new(senders) })
    }

    fn note(&self, sender: [u8; 32], at: i64) {
        // No code here can panic halfway through a change.
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if senders.len() >= SENDERS {
            senders.retain(|_, noted| *noted > at - KEPT_MICROS);
        }
        senders.insert(sender, at);
    }

    fn knows(&self, sender: &[u8; 32], at: i64) -> bool {
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.get(sender).is_some_and(|noted| *noted > at - KEPT_MICROS)
    }
}

impl Store {
    /// Whether an earlier transaction of this message had its recipients hidden: its sender knows. Of two at one instant
    /// each may be the first.
    pub async fn was_hidden(&self, addressed: &Addressed) -> bool {
        let known = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM stopped WHERE message = ?1")
            .bind(&self.inner.message_hash(addressed)[..])
            .fetch_one(&self.inner.readers)
            .await;
        known.is_ok_and(|known| known > 0)
    }
}

impl Inner {
    fn message_hash(&self, addressed: &Addressed) -> [u8; 32] {
        self.lookup.mac(&[b"stopped", &addressed.message])
    }

    /// The row of a message that is stopped. Known from now on, before it is on the disk: two messages at one instant see
    /// each other at worst too early.
    pub(super) fn stop_row(&self, addressed: &Addressed, case: Option<SubmissionId>) -> StopRow {
        let sender = self.hash(Kind::Address, &addressed.sender);
        self.stopped.note(sender, now());
        StopRow { message: self.message_hash(addressed), sender, people: self.people_hashes(&addressed.people), case }
    }

    pub(super) fn people_hashes(&self, people: &[String]) -> Vec<u8> {
        let short = |folded: &String| -> [u8; SHORT] {
            *self.hash(Kind::Address, folded).first_chunk().expect("a hash of 32 bytes has a first 16")
        };
        people.iter().flat_map(short).collect()
    }

    /// The lists of this sender that were stopped, other than of this same message, with how many of this one's people
    /// stood on each.
    pub(super) async fn followed(&self, addressed: &Addressed) -> Result<Vec<Followed>, StoreDown> {
        let (sender, at) = (self.hash(Kind::Address, &addressed.sender), now());
        if !self.stopped.knows(&sender, at) {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "SELECT people, at FROM stopped WHERE sender = ?1 AND at > ?2 AND message <> ?3 ORDER BY at DESC LIMIT ?4",
        )
        .bind(&sender[..])
        .bind(at - KEPT_MICROS)
        .bind(&self.message_hash(addressed)[..])
        .bind(LISTS)
        .fetch_all(&self.readers)
        .await
        .map_err(read_failed)?;
        let mine = self.people_hashes(&addressed.people);
        let mine: HashSet<&[u8]> = mine.chunks_exact(SHORT).collect();
        let read = |row: &sqlx::sqlite::SqliteRow| {
            let people: HashSet<&[u8]> = row.try_get::<&[u8], _>(0)?.chunks_exact(SHORT).collect();
            let shared = people.intersection(&mine).count();
            let minutes = (at - row.try_get::<i64, _>(1)?).max(0) as f64 / MINUTE_MICROS;
            Ok(Followed { minutes, shared, people: people.len() })
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(read_failed)
    }
}

pub(super) async fn put(db: &mut SqliteConnection, row: &StopRow) -> Result<(), Stop> {
    sqlx::query(
        "INSERT INTO stopped (message, sender, people, at, case_id) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (message) DO UPDATE SET people = CAST(people || excluded.people AS BLOB), at = excluded.at,
             case_id = coalesce(excluded.case_id, case_id)",
    )
    .bind(&row.message[..])
    .bind(&row.sender[..])
    .bind(&row.people)
    .bind(now())
    .bind(row.case.map(|case| case.as_bytes().to_vec()))
    .execute(db)
    .await?;
    Ok(())
}

/// Later transactions of a held message brought more people.
pub(super) async fn extend(db: &mut SqliteConnection, case: SubmissionId, people: &[u8]) -> Result<(), Stop> {
    sqlx::query("UPDATE stopped SET people = CAST(people || ?2 AS BLOB) WHERE case_id = ?1")
        .bind(&case.as_bytes()[..])
        .bind(people)
        .execute(db)
        .await?;
    Ok(())
}

/// Its case was decided: whoever writes to these people again does so knowing it.
pub(super) async fn forget(db: &mut SqliteConnection, case: SubmissionId) -> Result<(), Stop> {
    sqlx::query("DELETE FROM stopped WHERE case_id = ?1").bind(&case.as_bytes()[..]).execute(db).await?;
    Ok(())
}
