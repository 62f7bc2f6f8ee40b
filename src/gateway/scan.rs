//! The bounded pool on which large messages are scanned and edited, off the threads that answer small ones.

use super::readers;
use crate::{
    detect::{Detectors, Scan, is_read_in_place},
    intake::{Budget, Reservation, Submission},
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
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use time::OffsetDateTime;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinError,
    time::{Instant, timeout_at},
};

/// Below this the scan of plain text takes less time than handing it to another thread is worth.
const INLINE: usize = 64 * 1024;

/// Wall clock for one scan (and never more than a third of the client's clock).
const SCAN_LIMIT: Duration = Duration::from_secs(30);

/// Messages that may wait for each thread. More would wait for nothing: their clients are told at once.
const WAITING: usize = 64;

/// Threads that hang and are replaced. A thread cannot be ended from outside: with more of them only a restart helps,
/// which the watchdog brings about.
const HANGING: usize = 8;

/// Threads for large messages, and the queue in front of them.
pub struct Pool {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    most_waiting: usize,
    hanging: Arc<AtomicUsize>,
}

/// A fault of the world, not of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// Too many wait.
    Full,
    /// No thread became free in time.
    Late,
    /// No room in memory for what is to be made.
    NoMemory,
}

impl Busy {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Full => "too many messages wait for a scanner",
            Self::Late => "no scanner became free in time",
            Self::NoMemory => "no memory for the edited copy",
        }
    }
}

/// Work on a thread of the pool that came to no end of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Crashed,
    Time,
}

impl Pool {
    pub fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        Self {
            permits: Arc::new(Semaphore::new(threads)),
            waiting: AtomicUsize::new(0),
            most_waiting: WAITING * threads,
            hanging: Arc::default(),
        }
    }

    /// Whether the next message that needs a thread would be turned away.
    pub fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= self.most_waiting
    }

    /// What the detectors find. A scan that does not end in time, or dies, makes the message *unread*.
    pub async fn scan(&self, detectors: &Arc<Detectors>, submission: &Submission) -> Result<Scan, Busy> {
        let started = Instant::now();
        let message = submission.message.clone();
        let scan = if is_quick(&message) {
            catch_unwind(AssertUnwindSafe(|| detectors.scan(&message))).map_err(|_| Broken::Crashed)
        } else {
            let detectors = detectors.clone();
            self.run(deadline(submission), move || detectors.scan_with(&message, readers::readers())).await?
        };
        metrics::histogram!("outgate_scan_seconds").record(started.elapsed().as_secs_f64());
        Ok(scan.unwrap_or_else(|broken| {
            unread(match broken {
                Broken::Crashed => UnreadReason::Crashed,
                Broken::Time => UnreadReason::Time,
            })
        }))
    }

    /// The copy that leaves, with all edits of the verdict that can be made, and its room in memory. A fault of ours, or
    /// no end in time, is a fault of this message: the rules' fallbacks count.
    pub async fn make(
        &self,
        submission: &Submission,
        verdict: &Verdict,
        changes: Changes,
        memory: &Budget,
    ) -> Result<(Made, Reservation), Busy> {
        let edits: Vec<_> = verdict.consignments.iter().flat_map(|consignment| consignment.edits.clone()).collect();
        // Copies leave through our outbox, whatever the server before us can change.
        let changes = if planned::is_apart(&edits) { Changes::ALL } else { changes };
        let transport = Transport { smtputf8: submission.envelope.sender.smtputf8(), changes };
        let message = submission.message.clone();
        // An edit works on parts, decoded and coded again: together no more than the message.
        let needed = if edits.is_empty() { 0 } else { message.len() as u64 };
        let mut room = memory.reserve(needed).ok_or(Busy::NoMemory)?;
        let made = if edits.is_empty() {
            Made { applied: None, unmade: Vec::new(), skipped: Vec::new(), notices_stand: false }
        } else if message.len() <= INLINE {
            guarded(&edits, || planned::make(&message, &edits, transport))
        } else {
            let planned = edits.clone();
            let work = move || guarded(&planned, || planned::make(&message, &planned, transport));
            let made = self.run(deadline(submission), work).await?;
            made.unwrap_or_else(|_| Made::nothing(&edits, "it took too long"))
        };
        room.shrink_to(made.applied.as_ref().map_or(0, |applied| applied.edited.added() as u64));
        Ok((made, room))
    }

    /// Runs `work` on a thread of the pool. The outer error: it was not begun.
    async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Result<T, Broken>, Busy> {
        let permit = self.permit(deadline).await?;
        let mut work = tokio::task::spawn_blocking(work);
        let ended = timeout_at(deadline, &mut work).await;
        let Ok(ended) = ended else {
            self.replace(permit, work);
            return Ok(Err(Broken::Time));
        };
        Ok(ended.map_err(|_: JoinError| Broken::Crashed))
    }

    /// The thread has not come back. As long as few do so, another takes its place at once; else it is waited for.
    fn replace(&self, permit: OwnedSemaphorePermit, work: impl Future + Send + 'static) {
        let hanging = self.hanging.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::error!(hanging, "A thread that reads a message has not come back in time");
        metrics::gauge!("outgate_scanners_hanging").set(hanging as f64);
        let kept = (hanging > HANGING).then_some(permit);
        let counter = self.hanging.clone();
        tokio::spawn(async move {
            work.await;
            let hanging = counter.fetch_sub(1, Ordering::Relaxed) - 1;
            metrics::gauge!("outgate_scanners_hanging").set(hanging as f64);
            drop(kept);
        });
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
        match self.run(deadline(submission), move || signed(&dkim, &message, edited, at)).await? {
            Ok(signed) => Ok(signed),
            Err(_) => {
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
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let _place = Place::take(&self.waiting, self.most_waiting).ok_or(Busy::Full)?;
        match timeout_at(deadline, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Busy::Late),
        }
    }
}

/// One of those who wait.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        let taken = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < most).then_some(now + 1));
        taken.ok().map(|_| Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn deadline(submission: &Submission) -> Instant {
    Instant::now() + SCAN_LIMIT.min(submission.answer_within / 3)
}

/// A short message of nothing but text: what reads it takes linear time. The formats of attachments are read by code that
/// a hostile file may keep from coming back, and a thread that answers connections must come back.
fn is_quick(message: &Message) -> bool {
    message.len() <= INLINE && message.parts().iter().all(is_read_in_place)
}

/// A scan that says: the whole message was not read.
fn unread(reason: UnreadReason) -> Scan {
    Scan { unread: vec![Unread { part: PartId::new("1"), reason }], ..Scan::default() }
}

fn signed(dkim: &Dkim, message: &Message, edited: Option<Edited>, at: OffsetDateTime) -> (Option<Edited>, Vec<u8>) {
    let finished = catch_unwind(AssertUnwindSafe(|| dkim.finish(message, edited.as_ref(), at)));
    finished.unwrap_or_else(|_| {
        tracing::error!("a message leaves without our DKIM signature: a fault of ours");
        (edited, Vec::new())
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
    use std::{sync::mpsc, thread};

    #[test]
    fn a_panic_in_an_edit_leaves_it_to_the_rules_fallback() {
        let hide = PlannedEdit { edit: Edit::HideRecipients, rule: "hide".into(), fallback: Fallback::Hold };
        let made = guarded(&[hide], || panic!("on purpose"));
        assert!(made.applied.is_none());
        assert_eq!(made.worst().map(|unmade| (&*unmade.rule, unmade.fallback)), Some(("hide", Fallback::Hold)));
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    /// Work that does not come back until it is let go.
    fn hang() -> (mpsc::Sender<()>, impl FnOnce() + Send) {
        let (go, gone) = mpsc::channel::<()>();
        (go, move || {
            let _ = gone.recv();
        })
    }

    #[tokio::test]
    async fn threads_that_hang_are_replaced_until_there_are_too_many() {
        let pool = Pool::new(1);
        let mut held = Vec::new();
        for _ in 0..=HANGING {
            let (go, work) = hang();
            assert_eq!(pool.run(soon(), work).await, Ok(Err(Broken::Time)));
            held.push(go);
        }
        assert_eq!(pool.run(soon(), || ()).await, Err(Busy::Late), "more than are replaced");
        assert!(
            tokio::time::timeout(Duration::from_millis(50), pool.answers()).await.is_err(),
            "the watchdog hears of it"
        );
        drop(held);
        pool.answers().await;
        assert_eq!(pool.run(Instant::now() + Duration::from_secs(60), || 7).await, Ok(Ok(7)));
    }

    #[tokio::test]
    async fn a_panic_gives_its_thread_back() {
        let pool = Pool::new(1);
        let later = Instant::now() + Duration::from_secs(60);
        for _ in 0..3 {
            assert_eq!(
                pool.run(later, || panic!("on purpose")).await.map(|ended: Result<(), _>| ended),
                Ok(Err(Broken::Crashed))
            );
        }
        assert_eq!(pool.run(later, || 7).await, Ok(Ok(7)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_finds_the_queue_full_is_told_at_once() {
        let pool = Arc::new(Pool::new(1));
        let taken = pool.all().await;
        let until = Instant::now() + Duration::from_secs(60);
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.run(until, || thread::sleep(Duration::from_millis(1))).await })
            })
            .collect();
        while !pool.is_full() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(pool.run(until, || ()).await, Err(Busy::Full));
        drop(taken);
        for one in waiting {
            assert_eq!(one.await.unwrap(), Ok(Ok(())), "in its turn");
        }
        assert!(!pool.is_full());
    }
}
