//! A time in which nothing is judged: its end stands in the database, so that the command and the service see the same.

use super::{
    Beside, Store,
    acts::{Act, Acted, Stop},
    hidden::{self, Enqueued},
    read_failed,
    schema::{from_micros, micros},
};
use crate::mail::SubmissionId;
use crate::{
    audit::Event,
    intake::StoreDown,
    quarantine::{CaseError, Letter},
};
use sqlx::SqliteConnection;
use time::OffsetDateTime;

/// A change of it.
pub(super) struct BypassRow {
    /// What stood there when the change was thought of.
    seen: Option<i64>,
    until: Option<i64>,
    letter: Enqueued,
}

const READ: &str = "SELECT value FROM meta WHERE name = 'bypass'";

/// Eight bytes, microseconds; anything else says nothing.
fn read(value: Option<Vec<u8>>) -> Option<i64> {
    value.and_then(|value| value.try_into().ok()).map(i64::from_be_bytes)
}

impl Store {
    /// Until when nothing is judged; also a time that has passed, when nobody has ended it yet.
    pub async fn bypassed_until(&self) -> Result<Option<OffsetDateTime>, StoreDown> {
        let value = sqlx::query_scalar(READ).fetch_optional(&self.inner.readers).await.map_err(read_failed)?;
        read(value).map(from_micros).transpose().map_err(read_failed)
    }

    /// Begins it, gives it another end, or ends it, with the letter about that and what the book says of it. Refused as
    /// stale when it is another than `seen` by now.
    pub async fn set_bypass(
        &self,
        seen: Option<OffsetDateTime>,
        until: Option<OffsetDateTime>,
        letter: Option<Letter>,
        event: Event,
    ) -> Result<(), CaseError> {
        let letter = match letter {
            Some(letter) => {
                let id = SubmissionId::fresh();
                self.inner.clone().enqueued(id, vec![letter.into_alert(id)], None).await?
            }
            None => Enqueued::default(),
        };
        let files = letter.outbox.iter().filter_map(|item| item.blob.clone()).collect();
        let row = BypassRow { seen: seen.map(micros), until: until.map(micros), letter };
        let outcome = self.inner.submit(vec![event], Beside::default(), Some(Act::Bypass(Box::new(row)))).await;
        self.inner.tidy(outcome, files).await.map(drop)
    }
}

pub(super) async fn set(db: &mut SqliteConnection, row: &BypassRow) -> Result<Acted, Stop> {
    let found = read(sqlx::query_scalar(READ).fetch_optional(&mut *db).await?);
    if found != row.seen {
        return Err(Stop::Refused(CaseError::Stale));
    }
    match row.until {
        Some(until) => {
            sqlx::query(
                "INSERT INTO meta (name, value) VALUES ('bypass', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1",
            )
            .bind(&until.to_be_bytes()[..])
            .execute(&mut *db)
            .await?
        }
        None => sqlx::query("DELETE FROM meta WHERE name = 'bypass'").execute(&mut *db).await?,
    };
    hidden::enqueue(db, &row.letter).await
}
