//! The bounded pool on which large messages are scanned and edited, off the threads that answer small ones.

use crate::{
    detect::{Detectors, Scan},
    intake::Submission,
    mail::{PartId, Unread, UnreadReason, edit::Transport},
    policy::{
        Verdict,
        planned::{self, Made},
    },
};
use std::{sync::Arc, time::Duration};
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

    /// The copy that leaves, with all edits of the verdict that can be made.
    pub async fn make(&self, submission: &Submission, verdict: &Verdict) -> Result<Made, Busy> {
        let edits: Vec<_> = verdict.consignments.iter().flat_map(|consignment| consignment.edits.clone()).collect();
        let transport = Transport { smtputf8: submission.envelope.sender.smtputf8() };
        if edits.is_empty() {
            return Ok(Made { applied: None, unmade: Vec::new() });
        }
        let message = submission.message.clone();
        if message.len() <= INLINE {
            return Ok(planned::make(&message, &edits, transport));
        }
        let permit = self.permit(Instant::now() + submission.answer_within / 3).await?;
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            planned::make(&message, &edits, transport)
        });
        work.await.map_err(|_| Busy)
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
