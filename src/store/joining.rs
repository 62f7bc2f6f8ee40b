//! Holds that a sender has not been told of one by one: who they are, and the one notice that tells of them. The
//! notice has a key of its own, since it names several cases; erasing one of them takes the notice back, and the
//! others are told again.

use super::{
    Beside, Inner, Store,
    acts::{Act, Acted, JoinedHolds, Stop, insert_items, insert_key},
    facts::AddressHash,
    off_thread, read_failed,
    schema::{from_micros, now},
};
use crate::{
    intake::StoreDown,
    mail::SubmissionId,
    quarantine::{Case, CaseError, Letter},
};
use sqlx::{Row, SqliteConnection};
use time::OffsetDateTime;

/// A sender who has not been told of all their holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untold {
    pub sender: AddressHash,
    /// When the oldest hold that they have not been told of was made.
    pub since: OffsetDateTime,
}

impl Store {
    /// Senders who have not been told of all their holds, the longest waiting first.
    pub async fn untold(&self, most: usize) -> Result<Vec<Untold>, StoreDown> {
        let rows = sqlx::query(
            "SELECT sender, min(at) FROM untold WHERE item IS NULL GROUP BY sender ORDER BY min(at) LIMIT ?1",
        )
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&self.inner.readers)
        .await
        .map_err(read_failed)?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            let sender: &[u8] = row.try_get(0)?;
            let sender = sender.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            Ok(Untold { sender: AddressHash(sender), since: from_micros(row.try_get(1)?)? })
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(read_failed)
    }

    /// The waiting cases that this sender has not been told of, the oldest first.
    pub async fn untold_of(&self, sender: AddressHash, most: usize) -> Result<Vec<Case>, StoreDown> {
        let rows = sqlx::query(
            "SELECT cases.id, state, category, rules, bytes, received, expires, epoch, face, wrapped
             FROM untold JOIN cases ON cases.id = untold.case_id LEFT JOIN keys ON keys.id = cases.id
             WHERE sender = ?1 AND item IS NULL ORDER BY at, cases.id LIMIT ?2",
        )
        .bind(&sender.0[..])
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&self.inner.readers)
        .await
        .map_err(read_failed)?;
        let inner = self.inner.clone();
        let cases = off_thread(move || rows.iter().map(|row| inner.read_case(row)).collect::<Result<_, _>>());
        cases.await?.map_err(read_failed)
    }

    /// Puts the notice of these cases into the outbox and notes that the sender is told of them, in one commit; without
    /// a letter there is nothing to tell. Refused when one of them was decided, erased or told of in the meantime.
    pub async fn tell_joined(
        &self,
        sender: AddressHash,
        cases: Vec<SubmissionId>,
        letter: Option<Letter>,
    ) -> Result<(), CaseError> {
        let item = match letter {
            Some(letter) => Some(self.inner.seal_joined(letter).await?),
            None => None,
        };
        let files = item.iter().filter_map(|(_, item)| item.blob.clone()).collect();
        let act = Act::Join(JoinedHolds { sender: sender.0, cases, item });
        let outcome = self.inner.submit(Vec::new(), Beside::default(), Some(act)).await;
        self.inner.tidy(outcome, files).await.map(drop)
    }
}

impl Inner {
    async fn seal_joined(
        self: &std::sync::Arc<Self>,
        letter: Letter,
    ) -> Result<(Vec<u8>, super::acts::ItemRow), StoreDown> {
        let mut item = letter.into_item(SubmissionId::fresh());
        item.id = item.case;
        let (key, wrapped) = self.wrapper.fresh(item.case);
        let mut rows = self.clone().seal_items(key, vec![item]).await?;
        Ok((wrapped, rows.pop().expect("one item is sealed to one row")))
    }
}

pub(super) async fn note_told(db: &mut SqliteConnection, sender: &[u8; 32]) -> Result<(), Stop> {
    sqlx::query("INSERT INTO told (sender, at) VALUES (?1, ?2)").bind(&sender[..]).bind(now()).execute(db).await?;
    Ok(())
}

pub(super) async fn note_untold(db: &mut SqliteConnection, id: SubmissionId, sender: &[u8; 32]) -> Result<(), Stop> {
    sqlx::query("INSERT INTO untold (case_id, sender, at) VALUES (?1, ?2, ?3)")
        .bind(&id.as_bytes()[..])
        .bind(&sender[..])
        .bind(now())
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn join(db: &mut SqliteConnection, joined: &JoinedHolds) -> Result<Acted, Stop> {
    let item = joined.item.as_ref().map(|(_, item)| item.id);
    for case in &joined.cases {
        let change = match &item {
            Some(_) => sqlx::query("UPDATE untold SET item = ?2 WHERE case_id = ?1 AND item IS NULL"),
            None => sqlx::query("DELETE FROM untold WHERE case_id = ?1 AND ?2 IS NULL AND item IS NULL"),
        };
        let change = change.bind(&case.as_bytes()[..]).bind(item.as_ref().map(|item| &item.as_bytes()[..]));
        if change.execute(&mut *db).await?.rows_affected() != 1 {
            return Err(Stop::Refused(CaseError::Stale));
        }
    }
    let Some((wrapped, item)) = &joined.item else { return Ok(Acted::default()) };
    note_told(db, &joined.sender).await?;
    insert_key(db, item.case, wrapped).await?;
    insert_items(db, std::slice::from_ref(item)).await
}

/// The case was decided before its sender was told that it waits.
pub(super) async fn forget(db: &mut SqliteConnection, id: SubmissionId) -> Result<(), Stop> {
    sqlx::query("DELETE FROM untold WHERE case_id = ?1 AND item IS NULL").bind(&id.as_bytes()[..]).execute(db).await?;
    Ok(())
}

/// An outbox item ended; it may have been a joined notice.
pub(super) async fn done(db: &mut SqliteConnection, item: &[u8]) -> Result<(), Stop> {
    sqlx::query("DELETE FROM untold WHERE item = ?1").bind(item).execute(db).await?;
    Ok(())
}

/// Takes the joined notice that names this case out of the outbox, with its key; the others that it names and that
/// still wait are untold again. Gives the files that go with it.
pub(super) async fn withdraw(db: &mut SqliteConnection, case: &[u8]) -> Result<Vec<String>, Stop> {
    let item: Option<Option<Vec<u8>>> =
        sqlx::query_scalar("SELECT item FROM untold WHERE case_id = ?1").bind(case).fetch_optional(&mut *db).await?;
    sqlx::query("DELETE FROM untold WHERE case_id = ?1").bind(case).execute(&mut *db).await?;
    let Some(Some(item)) = item else { return Ok(Vec::new()) };
    let files: Vec<String> = sqlx::query_scalar("SELECT blob FROM outbox WHERE id = ?1 AND blob IS NOT NULL")
        .bind(&item)
        .fetch_all(&mut *db)
        .await?;
    for statement in [
        "DELETE FROM outbox WHERE id = ?1",
        "UPDATE keys SET wrapped = zeroblob(length(wrapped)) WHERE id = ?1",
        "DELETE FROM keys WHERE id = ?1",
        "DELETE FROM untold WHERE item = ?1 AND case_id NOT IN (SELECT id FROM cases WHERE state = 'waiting')",
        "UPDATE untold SET item = NULL WHERE item = ?1",
    ] {
        sqlx::query(statement).bind(&item).execute(&mut *db).await?;
    }
    Ok(files)
}
