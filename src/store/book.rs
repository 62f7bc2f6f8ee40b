//! The book's rows, and notes that stand in it sealed.

use super::{Entry, Inner, Store, read_failed, seal::What};
use crate::{
    audit::{
        Book, Event,
        chain::{BookReport, Head, Link, Verifier},
    },
    intake::StoreDown,
    mail::SubmissionId,
    quarantine::CaseError,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use sqlx::{Row, sqlite::SqliteRow};

/// Links read at once.
const PAGE: i64 = 500;

impl Book for Store {
    async fn append(&self, events: Vec<Event>) -> Result<(), StoreDown> {
        self.commit(Entry::new(events)).await
    }
}

impl Store {
    /// Walks the whole chain.
    pub async fn verify_book(&self) -> Result<BookReport, StoreDown> {
        self.inner.verify(Verifier::new(self.inner.book.clone(), self.inner.node), 0).await
    }

    /// A page of the book behind link `after`, for an export.
    pub async fn links(&self, after: u64) -> Result<Vec<Link>, StoreDown> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let rows = self.inner.links(after).await?;
        rows.iter().map(link).collect::<Result<_, _>>().map_err(read_failed)
    }

    /// The number of the newest link; 0 before the first.
    pub async fn newest_link(&self) -> Result<u64, StoreDown> {
        let newest =
            sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM link").fetch_one(&self.inner.readers).await;
        newest.map(i64::unsigned_abs).map_err(read_failed)
    }

    /// Seals a person's note for an event. With a case it is erased with that case; without one it stays readable.
    pub async fn seal_note(&self, case: Option<SubmissionId>, note: &str) -> Result<String, CaseError> {
        let key = match case {
            Some(case) => self.inner.case_key(case).await?.ok_or(CaseError::Unknown)?,
            None => self.inner.node_key.clone(),
        };
        Ok(BASE64_STANDARD.encode(key.seal(What::Note, note.as_bytes())))
    }

    /// Opens a note again. None when its case is erased.
    pub async fn open_note(&self, case: Option<SubmissionId>, sealed: &str) -> Result<Option<String>, CaseError> {
        let key = match case {
            Some(case) => match self.inner.case_key(case).await? {
                Some(key) => key,
                None => return Ok(None),
            },
            None => self.inner.node_key.clone(),
        };
        let clear = BASE64_STANDARD.decode(sealed).ok().and_then(|sealed| key.open(What::Note, &sealed).ok());
        clear.and_then(|clear| String::from_utf8(clear).ok()).map(Some).ok_or(CaseError::Damaged)
    }
}

impl Inner {
    /// The newest links alone, trusting the one before them: cheap enough for every start.
    pub(super) async fn verify_tail(&self, most: i64) -> Result<BookReport, StoreDown> {
        let before = sqlx::query(
            "SELECT number, node, previous, CAST(events AS BLOB), mac FROM link ORDER BY number DESC LIMIT 1 OFFSET ?1",
        )
        .bind(most)
        .fetch_optional(&self.readers)
        .await
        .map_err(read_failed)?;
        let head = before.and_then(|row| {
            let link = link(&row).ok()?;
            Some(Head { number: link.number, mac: link.mac.try_into().ok()? })
        });
        let head = head.unwrap_or(Head::EMPTY);
        self.verify(Verifier::behind(self.book.clone(), self.node, head), head.number as i64).await
    }

    async fn verify(&self, mut verifier: Verifier, mut after: i64) -> Result<BookReport, StoreDown> {
        let mut first = after == 0;
        loop {
            // A row with a number below 1 is no link of ours, and must not hide from the walk.
            let rows = self.links(if first { i64::MIN } else { after }).await?;
            first = false;
            let Some(last) = rows.last() else { return Ok(verifier.finish()) };
            after = last.try_get(0).map_err(read_failed)?;
            for row in &rows {
                match link(row) {
                    Ok(link) => verifier.see(&link),
                    Err(_) => verifier.see_unreadable(row.try_get::<i64, _>(0).unwrap_or_default() as u64),
                }
            }
        }
    }

    async fn links(&self, after: i64) -> Result<Vec<SqliteRow>, StoreDown> {
        sqlx::query(
            "SELECT number, node, previous, CAST(events AS BLOB), mac FROM link WHERE number > ?1
             ORDER BY number LIMIT ?2",
        )
        .bind(after)
        .bind(PAGE)
        .fetch_all(&self.readers)
        .await
        .map_err(read_failed)
    }
}

fn link(row: &SqliteRow) -> Result<Link, sqlx::Error> {
    let number: i64 = row.try_get(0)?;
    Ok(Link {
        number: u64::try_from(number).map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        node: row.try_get(1)?,
        previous: row.try_get(2)?,
        events: row.try_get(3)?,
        mac: row.try_get(4)?,
    })
}
