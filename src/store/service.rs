//! What only the one process that serves may do: take over leases of earlier runs, remove orphaned files, complete
//! erasures, and look whether the store is whole.

use super::{
    Inner, OpenError, Store,
    acts::Act,
    room,
    writer::{Beside, FAILED_MARK},
};
use crate::audit::chain::BookReport;
use std::{
    collections::HashSet,
    fs::{self, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt,
    sync::{Arc, PoisonError, Weak},
    time::{Duration, SystemTime},
};

/// Links looked at when nothing went wrong in the run before.
const TAIL: i64 = 1_000;
const ERASURES_EVERY: Duration = Duration::from_secs(30);

impl Store {
    /// For `serve`, once, before the doors open. Refused while another process serves the same folder. Reports on
    /// the newest links of the book, on all of it after a write that failed; a flaw there is the caller's to
    /// alarm, and no reason to stop the mail.
    pub async fn begin_service(&self) -> Result<BookReport, OpenError> {
        let inner = &self.inner;
        inner.lock_service()?;
        let mark = inner.data_dir.join(FAILED_MARK);
        let report = if mark.exists() {
            tracing::warn!("A write failed in the run before; the whole store is checked");
            inner.check_integrity().await?;
            let report = self.verify_book().await.map_err(|_| unreadable())?;
            fs::remove_file(&mark)?;
            inner.health.restore();
            report
        } else {
            inner.verify_tail(TAIL).await.map_err(|_| unreadable())?
        };
        if !report.is_whole() {
            tracing::error!(flaws = report.flaws, "The book is not whole; see `outgate audit verify`");
        }
        inner.submit(Vec::new(), Beside::default(), Some(Act::FreeLeases)).await.map_err(|_| unreadable())?;
        let removed = inner.clone().remove_orphans().await?;
        if removed > 0 {
            tracing::info!(removed, "Sealed files that no case named were removed");
        }
        inner.complete_erasures().await.map_err(|_| unreadable())?;
        inner.room.look();
        tokio::spawn(room::watch(Arc::downgrade(inner)));
        tokio::spawn(complete_erasures(Arc::downgrade(inner)));
        Ok(report)
    }
}

fn unreadable() -> OpenError {
    OpenError::Damaged("it cannot be read or written".into())
}

/// Ends with the store.
async fn complete_erasures(store: Weak<Inner>) {
    loop {
        tokio::time::sleep(ERASURES_EVERY).await;
        let Some(inner) = store.upgrade() else { return };
        // A failure is in the log already, and the next round comes.
        let _ = inner.complete_erasures().await;
    }
}

impl Inner {
    fn lock_service(&self) -> Result<(), OpenError> {
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        if serving.is_some() {
            return Err(OpenError::AlreadyServed);
        }
        let path = self.data_dir.join("serving.lock");
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => *serving = Some(file),
            Err(TryLockError::WouldBlock) => return Err(OpenError::AlreadyServed),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(())
    }

    async fn check_integrity(&self) -> Result<(), OpenError> {
        let verdict: String = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&self.readers).await?;
        if verdict == "ok" { Ok(()) } else { Err(OpenError::Damaged(verdict)) }
    }

    async fn remove_orphans(self: Arc<Self>) -> Result<u64, OpenError> {
        let named: Vec<String> = sqlx::query_scalar(
            "SELECT message FROM cases WHERE message IS NOT NULL UNION ALL SELECT blob FROM outbox WHERE blob IS NOT NULL",
        )
        .fetch_all(&self.readers)
        .await?;
        let named: HashSet<String> = named.into_iter().collect();
        let blobs = self.blobs.clone();
        let swept = tokio::task::spawn_blocking(move || blobs.sweep(&named, SystemTime::now())).await;
        Ok(swept.map_err(|_| unreadable())??)
    }
}
