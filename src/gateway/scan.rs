//! The bounded pool on which large messages are scanned and edited, off the threads that answer small ones.

use crate::{
    detect::{Detectors, Scan},
    intake::Submission,
    mail::{
        Message, PartId, Unread, UnreadReason,
        dkim::Dkim,
        edit::{Changes, Edited, Transport},
    },
    policy::{
        PlannedEdit, Verdict,
        planned::{self, Made},
    },
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};
use time::OffsetDateTime;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// Below this a scan takes less time than handing it to another thread is worth.
const INLINE: usize = 64 * 1024;

/// Wall clock for one scan (and never more than a third of the client's clock).
const SCAN_LIMIT: Duration = Duration::from_secs(30);

/// Threads for large messages, and the queue in front of them.
pub struct Pool {
    permits: Arc<Semaphore>,
}

/// No thread became free in time: a fault of the world, not of the message.
#[derive(Debug)]
pub struct Busy;

impl Pool {
    pub fn new(threads: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(threads.max(1))) }
    }

    /// What the detectors find. A scan that does not end in time, or dies, makes the message *unread*.
    pub async fn scan(&self, detectors: &Arc<Detectors>, submission: &Submission) -> Result<Scan, Busy> {
        let started = Instant::now();
        let deadline = started + SCAN_LIMIT.min(submission.answer_within / 3);
        let message = submission.message.clone();
        let scan = if message.len() <= INLINE {
            detectors.scan(&message)
        } else {
            let permit = self.permit(deadline).await?;
            let detectors = detectors.clone();
            let work = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                detectors.scan(&message)
            });
            match timeout_at(deadline, work).await {
                Ok(Ok(scan)) => scan,
                Ok(Err(_)) => unread(UnreadReason::Crashed),
                Err(_) => unread(UnreadReason::Time),
            }
        };
        metrics::histogram!("outgate_scan_seconds").record(started.elapsed().as_secs_f64());
        Ok(scan)
    }

    /// The copy that leaves, with all edits of the verdict that can be made. A fault of ours, or no end in time, is a
    /// fault of this message: the rules' fallbacks count.
    pub async fn make(&self, submission: &Submission, verdict: &Verdict, changes: Changes) -> Result<Made, Busy> {
        let edits: Vec<_> = verdict.consignments.iter().flat_map(|consignment| consignment.edits.clone()).collect();
        let transport = Transport { smtputf8: submission.envelope.sender.smtputf8(), changes };
        if edits.is_empty() {
            return Ok(Made { applied: None, unmade: Vec::new() });
        }
        let message = submission.message.clone();
        if message.len() <= INLINE {
            return Ok(guarded(&edits, || planned::make(&message, &edits, transport)));
        }
        let deadline = Instant::now() + SCAN_LIMIT.min(submission.answer_within / 3);
        let permit = self.permit(deadline).await?;
        let planned = edits.clone();
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            guarded(&planned, || planned::make(&message, &planned, transport))
        });
        match timeout_at(deadline, work).await {
            Ok(made) => made.map_err(|_| Busy),
            Err(_) => Ok(Made::nothing(&edits, "it took too long")),
        }
    }

    /// The copy that leaves without the signatures that its edits broke, and ours to stand on its top. A fault of ours is
    /// one signature less, never a message less.
    pub async fn sign(
        &self,
        dkim: &Arc<Dkim>,
        submission: &Submission,
        edited: Option<Edited>,
    ) -> Result<(Option<Edited>, Vec<u8>), Busy> {
        if dkim.is_empty() {
            return Ok((edited, Vec::new()));
        }
        let (dkim, message) = (dkim.clone(), submission.message.clone());
        let unsigned = edited.clone();
        let at = OffsetDateTime::now_utc();
        if message.len() <= INLINE {
            return Ok(signed(&dkim, &message, edited, at));
        }
        let deadline = Instant::now() + SCAN_LIMIT.min(submission.answer_within / 3);
        let permit = self.permit(deadline).await?;
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            signed(&dkim, &message, edited, at)
        });
        match timeout_at(deadline, work).await {
            Ok(Ok(signed)) => Ok(signed),
            _ => {
                tracing::error!(submission = %submission.id, "a message leaves without our DKIM signature: making it took too long");
                Ok((unsigned, Vec::new()))
            }
        }
    }

    /// Comes back when a thread became free and did something. All who wait give up by their own clocks, so this does not
    /// come back when every thread hangs, and only then.
    pub async fn answers(&self) {
        let permit = self.permits.clone().acquire_owned().await;
        let work = tokio::task::spawn_blocking(move || drop(permit));
        // It cannot panic, and at the runtime's end nobody asks.
        let _ = work.await;
    }

    /// Every thread, taken.
    #[cfg(test)]
    pub async fn all(&self) -> OwnedSemaphorePermit {
        let free = u32::try_from(self.permits.available_permits()).unwrap();
        self.permits.clone().acquire_many_owned(free).await.unwrap()
    }

    async fn permit(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Busy> {
        match timeout_at(deadline, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Busy),
        }
    }
}

/// A scan that says: the whole message was not read.
fn unread(reason: UnreadReason) -> Scan {
    Scan { unread: vec![Unread { part: PartId::new("1"), reason }], ..Scan::default() }
}

fn signed(dkim: &Dkim, message: &Message, edited: Option<Edited>, at: OffsetDateTime) -> (Option<Edited>, Vec<u8>) {
    let work = || {
        let stripped = edited.as_ref().and_then(|edited| dkim.strip(message, edited));
        let left = stripped.or_else(|| edited.clone());
        let pieces = left.as_ref().map_or_else(|| vec![message.read(0..message.len())], Edited::pieces);
        let fields = dkim.sign(&pieces, at);
        drop(pieces);
        (left, fields)
    };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        tracing::error!("a message leaves without our DKIM signature: a fault of ours");
        (edited.clone(), Vec::new())
    })
}

/// A panic in an edit is a fault of this message, which would come again with each of its client's tries.
fn guarded(edits: &[PlannedEdit], work: impl FnOnce() -> Made) -> Made {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Made::nothing(edits, "a fault of ours"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{mail::Edit, policy::Fallback};

    #[test]
    fn a_panic_in_an_edit_leaves_it_to_the_rules_fallback() {
        let hide = PlannedEdit { edit: Edit::HideRecipients, rule: "hide".into(), fallback: Fallback::Hold };
        let made = guarded(&[hide], || panic!("on purpose"));
        assert!(made.applied.is_none());
        assert_eq!(made.worst().map(|unmade| (&*unmade.rule, unmade.fallback)), Some(("hide", Fallback::Hold)));
    }
}
