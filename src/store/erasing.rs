//! Erasing: the key goes, and with it every sealed copy wherever it lies; then the write-ahead log is emptied, so
//! that the key's own old page is gone too.

use super::{Beside, Inner, acts::Act, read_failed, schema};
use crate::{
    audit::Event,
    intake::StoreDown,
    mail::SubmissionId,
    quarantine::{CaseError, Erasure},
};
use sqlx::Row;
use std::time::Duration;

/// A reader in the way of a checkpoint is gone after a moment, or it is a long export.
const ATTEMPTS: u32 = 4;

impl Inner {
    pub(super) async fn erase(&self, id: SubmissionId, events: Vec<Event>) -> Result<Erasure, CaseError> {
        let act = Act::Erase { id, now: schema::now() };
        let acted = self.submit(events, Beside::default(), Some(act)).await?;
        let files_gone = self.remove_files(acted.removable).await;
        let log_emptied = self.complete_erasures().await.unwrap_or(false);
        Ok(if files_gone && log_emptied { Erasure::Done } else { Erasure::Pending })
    }

    /// Empties the write-ahead log if an erased case waits for that. True when none waits any more.
    pub(super) async fn complete_erasures(&self) -> Result<bool, StoreDown> {
        let cases: Vec<Vec<u8>> =
            sqlx::query_scalar("SELECT case_id FROM erasure").fetch_all(&self.readers).await.map_err(read_failed)?;
        if cases.is_empty() {
            return Ok(true);
        }
        if !self.empty_log().await.map_err(read_failed)? {
            return Ok(false);
        }
        self.submit(Vec::new(), Beside::default(), Some(Act::Erased { cases })).await.map_err(|_| StoreDown)?;
        Ok(true)
    }

    /// Whether SQLite confirms that all of the log is in the database and the log is cut to nothing.
    async fn empty_log(&self) -> Result<bool, sqlx::Error> {
        let mut db = schema::open_for_checkpoint(&self.data_dir).await?;
        for attempt in 1..=ATTEMPTS {
            let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut db).await?;
            let busy: i64 = row.try_get(0)?;
            if busy == 0 {
                return Ok(true);
            }
            if attempt < ATTEMPTS {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(false)
    }
}
