//! What a job may do besides writing into the book: the rows of cases and of the outbox. Each act runs inside a
//! savepoint of its batch, so that one that is refused leaves its neighbours alone.

use super::{
    accounts::{self, AccountRow},
    bypass::{self, BypassRow},
    hidden::{self, Enqueued, ToldHidden},
    joining,
    retry::KEPT_MICROS,
    schema::micros,
    stopped::{self, StopRow},
};
use crate::{
    intake::StoreDown,
    mail::SubmissionId,
    quarantine::{CaseError, CaseHead, ItemKind, State},
};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

/// How long it is known who sees whom in a thread.
pub(super) const THREAD_KEPT_MICROS: i64 = 90 * 24 * 3600 * 1_000_000;
/// Nothing is ever put off for longer. What is due later was put off before the clock was set back, and is due now.
pub(super) const FURTHEST_DUE_MICROS: i64 = 2 * 3600 * 1_000_000;
const CONSTRAINT: i32 = 19;
const TOLD_KEPT_MICROS: i64 = 24 * 3600 * 1_000_000;

pub(super) enum Act {
    Hold(Box<HeldCase>),
    /// A waiting case with the recipients of a later transaction.
    TakeIn(Box<JoinedCase>),
    Transition {
        id: SubmissionId,
        epoch: u64,
        to: State,
        outbox: Vec<ItemRow>,
    },
    Erase {
        id: SubmissionId,
        now: i64,
    },
    Enqueue(Enqueued),
    /// One letter about several messages whose recipients were hidden.
    TellHidden(ToldHidden),
    /// Of copies that go out one by one: to whom they are still to go.
    Progress {
        id: SubmissionId,
        epoch: u64,
        envelope: Vec<u8>,
    },
    Lease {
        owner: [u8; 16],
        most: usize,
        until: i64,
        now: i64,
    },
    Finish {
        id: SubmissionId,
        case: SubmissionId,
        epoch: u64,
        step: Step,
        reports: Vec<ItemRow>,
        state: Option<State>,
        /// The case's face when it has changed.
        face: Option<Vec<u8>>,
    },
    /// What one notice tells a sender of several holds; without an item they are not told at all.
    Join(JoinedHolds),
    Account(AccountRow),
    Bypass(Box<BypassRow>),
    /// At a start: leases of runs that are over.
    FreeLeases,
    /// Rows that are past their time.
    Sweep {
        now: i64,
    },
    /// For tests: the database may grow no more, or again.
    #[cfg(test)]
    LimitPages(bool),
    /// Erasures that are now complete.
    Erased {
        cases: Vec<Vec<u8>>,
    },
}

pub(super) enum Step {
    Done,
    Again { due: i64, envelope: Vec<u8> },
}

pub(super) struct HeldCase {
    pub head: CaseHead,
    pub wrapped: Vec<u8>,
    pub face: Vec<u8>,
    pub message: String,
    pub lookup: Vec<(i64, [u8; 32])>,
    pub outbox: Vec<ItemRow>,
    /// The sender's hash when a notice goes with it.
    pub told: Option<[u8; 32]>,
    /// The sender's hash when they are to be told of it later.
    pub untold: Option<[u8; 32]>,
    pub stopped: Option<StopRow>,
}

pub(super) struct JoinedCase {
    /// Its epoch is the one that was seen.
    pub head: CaseHead,
    pub face: Vec<u8>,
    pub lookup: Vec<(i64, [u8; 32])>,
    /// All its recipients now, by hash.
    pub people: Vec<u8>,
    pub outbox: Vec<ItemRow>,
}

pub(super) struct JoinedHolds {
    pub sender: [u8; 32],
    pub cases: Vec<SubmissionId>,
    /// With the wrapped key that has the item's own number.
    pub item: Option<(Vec<u8>, ItemRow)>,
}

/// An outbox item, sealed.
pub(super) struct ItemRow {
    pub id: SubmissionId,
    pub case: SubmissionId,
    pub kind: ItemKind,
    pub envelope: Vec<u8>,
    pub content: Option<Vec<u8>>,
    pub blob: Option<String>,
    pub bytes: usize,
}

/// What an act brought.
#[derive(Default)]
pub(super) struct Acted {
    pub leased: Vec<SqliteRow>,
    /// Files that no row names any more, once this is committed.
    pub removable: Vec<String>,
}

pub(super) enum Stop {
    /// This act alone did not happen.
    Refused(CaseError),
    /// The database did not do its work: nothing of the batch happens.
    Fault(sqlx::Error),
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        if result_code(&error).is_some_and(|code| code & 0xff == CONSTRAINT) {
            tracing::error!(%error, "A record contradicts what is in the store; it was not written");
            Stop::Refused(CaseError::Down(StoreDown))
        } else {
            Stop::Fault(error)
        }
    }
}

/// SQLite's extended result code; its lowest byte is the primary one.
pub(super) fn result_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

impl Act {
    pub async fn carry_out(&self, db: &mut SqliteConnection) -> Result<Acted, Stop> {
        match self {
            Act::Hold(held) => hold(db, held).await,
            Act::TakeIn(joined) => take_in(db, joined).await,
            Act::Transition { id, epoch, to, outbox } => transition(db, *id, *epoch, *to, outbox).await,
            Act::Erase { id, now } => erase(db, *id, *now).await,
            Act::Enqueue(enqueued) => hidden::enqueue(db, enqueued).await,
            Act::TellHidden(told) => hidden::tell(db, told).await,
            Act::Progress { id, epoch, envelope } => progress(db, *id, *epoch, envelope).await,
            Act::Lease { owner, most, until, now } => lease(db, owner, *most, *until, *now).await,
            Act::Finish { id, case, epoch, step, reports, state, face } => {
                let acted = finish(db, *id, *case, *epoch, step, reports, *state).await?;
                if let Some(face) = face {
                    sqlx::query("UPDATE cases SET face = ?2 WHERE id = ?1 AND face IS NOT NULL")
                        .bind(&case.as_bytes()[..])
                        .bind(face)
                        .execute(db)
                        .await?;
                }
                Ok(acted)
            }
            Act::Join(joined) => joining::join(db, joined).await,
            Act::Account(row) => accounts::put(db, row).await,
            Act::Bypass(row) => bypass::set(db, row).await,
            Act::FreeLeases => {
                sqlx::query("UPDATE outbox SET lease_owner = NULL, lease_until = NULL WHERE lease_until IS NOT NULL")
                    .execute(&mut *db)
                    .await?;
                Ok(Acted::default())
            }
            #[cfg(test)]
            Act::LimitPages(full) => {
                let sql = if *full { "PRAGMA max_page_count = 1" } else { "PRAGMA max_page_count = 1000000000" };
                sqlx::query(sql).execute(&mut *db).await?;
                Ok(Acted::default())
            }
            Act::Sweep { now } => sweep(db, *now).await,
            Act::Erased { cases } => {
                for case in cases {
                    sqlx::query("DELETE FROM erasure WHERE case_id = ?1").bind(case).execute(&mut *db).await?;
                }
                Ok(Acted::default())
            }
        }
    }
}

pub(super) async fn insert_key(db: &mut SqliteConnection, case: SubmissionId, wrapped: &[u8]) -> Result<(), Stop> {
    sqlx::query("INSERT INTO keys (id, wrapped) VALUES (?1, ?2)")
        .bind(&case.as_bytes()[..])
        .bind(wrapped)
        .execute(db)
        .await?;
    Ok(())
}

async fn hold(db: &mut SqliteConnection, held: &HeldCase) -> Result<Acted, Stop> {
    let head = &held.head;
    insert_key(db, head.id, &held.wrapped).await?;
    sqlx::query(
        "INSERT INTO cases (id, state, category, rules, bytes, received, expires, face, message, epoch)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )
    .bind(&head.id.as_bytes()[..])
    .bind(word(&head.state))
    .bind(head.category.as_str())
    .bind(rules(head))
    .bind(head.bytes as i64)
    .bind(micros(head.received))
    .bind(micros(head.expires))
    .bind(&held.face)
    .bind(&held.message)
    .bind(head.epoch as i64)
    .execute(&mut *db)
    .await?;
    insert_lookup(db, head.id, &held.lookup).await?;
    if let Some(sender) = held.told {
        joining::note_told(db, &sender).await?;
    }
    if let Some(sender) = held.untold {
        joining::note_untold(db, head.id, &sender).await?;
    }
    if let Some(row) = &held.stopped {
        stopped::put(db, row).await?;
    }
    insert_items(db, &held.outbox).await
}

async fn take_in(db: &mut SqliteConnection, joined: &JoinedCase) -> Result<Acted, Stop> {
    let head = &joined.head;
    match standing(db, head.id).await? {
        None => return Err(Stop::Refused(CaseError::Unknown)),
        Some((State::Waiting, epoch)) if epoch == head.epoch => {}
        Some((State::Waiting, _)) => return Err(Stop::Refused(CaseError::Stale)),
        Some(_) => return Err(Stop::Refused(CaseError::WrongState)),
    }
    sqlx::query("UPDATE cases SET category = ?2, rules = ?3, expires = ?4, face = ?5, epoch = epoch + 1 WHERE id = ?1")
        .bind(&head.id.as_bytes()[..])
        .bind(head.category.as_str())
        .bind(rules(head))
        .bind(micros(head.expires))
        .bind(&joined.face)
        .execute(&mut *db)
        .await?;
    insert_lookup(db, head.id, &joined.lookup).await?;
    stopped::extend(db, head.id, &joined.people).await?;
    insert_items(db, &joined.outbox).await
}

fn rules(head: &CaseHead) -> String {
    serde_json::to_string(&head.rules).expect("strings fit into JSON")
}

async fn insert_lookup(db: &mut SqliteConnection, case: SubmissionId, rows: &[(i64, [u8; 32])]) -> Result<(), Stop> {
    for (kind, hash) in rows {
        sqlx::query("INSERT OR IGNORE INTO lookup (kind, hash, case_id) VALUES (?1, ?2, ?3)")
            .bind(kind)
            .bind(&hash[..])
            .bind(&case.as_bytes()[..])
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}

pub(super) async fn insert_items(db: &mut SqliteConnection, items: &[ItemRow]) -> Result<Acted, Stop> {
    for item in items {
        sqlx::query(
            "INSERT INTO outbox (id, case_id, kind, envelope, content, blob, bytes, attempts, due, epoch)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, 0)",
        )
        .bind(&item.id.as_bytes()[..])
        .bind(&item.case.as_bytes()[..])
        .bind(word(&item.kind))
        .bind(&item.envelope)
        .bind(&item.content)
        .bind(&item.blob)
        .bind(item.bytes as i64)
        .bind(super::schema::now())
        .execute(&mut *db)
        .await?;
    }
    Ok(Acted::default())
}

/// Which state may follow which. Erasing goes its own way.
fn may_follow(from: State, to: State) -> bool {
    match from {
        State::Waiting => matches!(to, State::Released | State::Returned | State::Refused),
        State::Released => matches!(to, State::Delivered | State::DeliveryFailed),
        State::DeliveryFailed => matches!(to, State::Released | State::Returned | State::Refused),
        State::Delivered | State::Returned | State::Refused | State::Erased => false,
    }
}

async fn standing(db: &mut SqliteConnection, id: SubmissionId) -> Result<Option<(State, u64)>, Stop> {
    let row =
        sqlx::query("SELECT state, epoch FROM cases WHERE id = ?1").bind(&id.as_bytes()[..]).fetch_optional(db).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((parse_word(row.try_get(0)?)?, row.try_get::<i64, _>(1)? as u64)))
}

async fn set_state(db: &mut SqliteConnection, id: SubmissionId, to: State) -> Result<(), Stop> {
    sqlx::query("UPDATE cases SET state = ?2, epoch = epoch + 1 WHERE id = ?1")
        .bind(&id.as_bytes()[..])
        .bind(word(&to))
        .execute(&mut *db)
        .await?;
    stopped::forget(db, id).await?;
    joining::forget(db, id).await
}

async fn transition(
    db: &mut SqliteConnection,
    id: SubmissionId,
    epoch: u64,
    to: State,
    outbox: &[ItemRow],
) -> Result<Acted, Stop> {
    match standing(db, id).await? {
        None => return Err(Stop::Refused(CaseError::Unknown)),
        Some((_, now)) if now != epoch => return Err(Stop::Refused(CaseError::Stale)),
        Some((from, _)) if !may_follow(from, to) => return Err(Stop::Refused(CaseError::WrongState)),
        Some(_) => {}
    }
    set_state(db, id, to).await?;
    insert_items(db, outbox).await
}

async fn erase(db: &mut SqliteConnection, id: SubmissionId, now: i64) -> Result<Acted, Stop> {
    match standing(db, id).await? {
        None => return Err(Stop::Refused(CaseError::Unknown)),
        Some((State::Erased, _)) => return Err(Stop::Refused(CaseError::WrongState)),
        Some(_) => {}
    }
    let id = &id.as_bytes()[..];
    let mut removable: Vec<String> =
        sqlx::query_scalar("SELECT message FROM cases WHERE id = ?1 AND message IS NOT NULL")
            .bind(id)
            .fetch_all(&mut *db)
            .await?;
    let items: Vec<String> = sqlx::query_scalar("SELECT blob FROM outbox WHERE case_id = ?1 AND blob IS NOT NULL")
        .bind(id)
        .fetch_all(&mut *db)
        .await?;
    removable.extend(items);
    removable.extend(joining::withdraw(db, id).await?);
    // In this order: the items refer to the key. The key is overwritten in its place before its row goes.
    for statement in [
        "DELETE FROM outbox WHERE case_id = ?1",
        "DELETE FROM lookup WHERE case_id = ?1",
        "UPDATE split SET recipients = zeroblob(0) WHERE case_id = ?1",
        "DELETE FROM stopped WHERE case_id = ?1",
        "UPDATE keys SET wrapped = zeroblob(length(wrapped)) WHERE id = ?1",
        "DELETE FROM keys WHERE id = ?1",
        "UPDATE cases SET state = 'erased', face = NULL, message = NULL, lease_owner = NULL, lease_until = NULL,
             epoch = epoch + 1 WHERE id = ?1",
    ] {
        sqlx::query(statement).bind(id).execute(&mut *db).await?;
    }
    sqlx::query("INSERT OR REPLACE INTO erasure (case_id, at) VALUES (?1, ?2)").bind(id).bind(now).execute(db).await?;
    Ok(Acted { removable, ..Acted::default() })
}

async fn lease(db: &mut SqliteConnection, owner: &[u8; 16], most: usize, until: i64, now: i64) -> Result<Acted, Stop> {
    let leased = sqlx::query(
        "UPDATE outbox SET lease_owner = ?1, lease_until = ?2, epoch = epoch + 1, attempts = attempts + 1,
             first_tried = coalesce(first_tried, ?3)
         WHERE id IN (SELECT id FROM outbox WHERE (due <= ?3 OR due > ?5) AND (lease_until IS NULL OR lease_until <= ?3)
                      ORDER BY due LIMIT ?4)
         RETURNING id, case_id, kind, envelope, content, blob, bytes, attempts, first_tried, epoch,
             (SELECT wrapped FROM keys WHERE keys.id = outbox.case_id) AS wrapped",
    )
    .bind(&owner[..])
    .bind(until)
    .bind(now)
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .bind(now + FURTHEST_DUE_MICROS)
    .fetch_all(db)
    .await?;
    Ok(Acted { leased, ..Acted::default() })
}

async fn finish(
    db: &mut SqliteConnection,
    id: SubmissionId,
    case: SubmissionId,
    epoch: u64,
    step: &Step,
    reports: &[ItemRow],
    state: Option<State>,
) -> Result<Acted, Stop> {
    let (item, epoch) = (&id.as_bytes()[..], epoch as i64);
    let touched = match step {
        Step::Done => {
            sqlx::query("DELETE FROM outbox WHERE id = ?1 AND epoch = ?2 RETURNING blob").bind(item).bind(epoch)
        }
        Step::Again { due, envelope } => sqlx::query(
            "UPDATE outbox SET due = ?3, envelope = ?4, lease_owner = NULL, lease_until = NULL
             WHERE id = ?1 AND epoch = ?2 RETURNING NULL",
        )
        .bind(item)
        .bind(epoch)
        .bind(due)
        .bind(envelope),
    };
    let Some(row) = touched.fetch_optional(&mut *db).await? else { return Err(Stop::Refused(CaseError::Stale)) };
    let removable = row.try_get::<Option<String>, _>(0)?.into_iter().collect();
    if let Step::Done = step {
        joining::done(db, item).await?;
    }
    insert_items(db, reports).await?;
    if let Some(to) = state
        && let Some((from, _)) = standing(db, case).await?
        && may_follow(from, to)
    {
        set_state(db, case, to).await?;
    }
    // A key that served only outbox items goes with the last of them.
    sqlx::query(
        "DELETE FROM keys WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM cases WHERE id = ?1)
             AND NOT EXISTS (SELECT 1 FROM outbox WHERE case_id = ?1)",
    )
    .bind(&case.as_bytes()[..])
    .execute(db)
    .await?;
    Ok(Acted { removable, ..Acted::default() })
}

async fn progress(db: &mut SqliteConnection, id: SubmissionId, epoch: u64, envelope: &[u8]) -> Result<Acted, Stop> {
    let moved = sqlx::query("UPDATE outbox SET envelope = ?3 WHERE id = ?1 AND epoch = ?2")
        .bind(&id.as_bytes()[..])
        .bind(epoch as i64)
        .bind(envelope)
        .execute(db)
        .await?;
    if moved.rows_affected() == 1 { Ok(Acted::default()) } else { Err(Stop::Refused(CaseError::Stale)) }
}

async fn sweep(db: &mut SqliteConnection, now: i64) -> Result<Acted, Stop> {
    for (statement, kept) in [
        ("DELETE FROM retry WHERE at < ?1", KEPT_MICROS),
        ("DELETE FROM thread WHERE seen < ?1", THREAD_KEPT_MICROS),
        ("DELETE FROM told WHERE at < ?1", TOLD_KEPT_MICROS),
        ("DELETE FROM split WHERE first < ?1", super::split::KEPT_MICROS),
        ("DELETE FROM stopped WHERE at < ?1", stopped::KEPT_MICROS),
        ("DELETE FROM hidden WHERE at < ?1", TOLD_KEPT_MICROS),
    ] {
        sqlx::query(statement).bind(now - kept).execute(&mut *db).await?;
    }
    Ok(Acted::default())
}

/// A unit variant as its documented word.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => unreachable!("states, categories and kinds serialise to one word"),
    }
}

pub(super) fn parse_word<T: DeserializeOwned>(word: String) -> Result<T, sqlx::Error> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
