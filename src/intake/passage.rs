//! From a message that was read whole to the corridor's answer: the same for both doors.

use super::{Answer, Corridor, NextHop, Onward, Reservation, RetryKey, Seals, SplitKey, Submission, Trace};
use crate::mail::{Envelope, Message, Origin, SubmissionId};
use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::Poll,
    thread,
    time::Duration,
};
use time::OffsetDateTime;
use tokio::{sync::Semaphore, time::timeout};

/// A message larger than this is read off the threads that answer connections: hashing and parsing take a millisecond
/// or more.
const LARGE: usize = 256 << 10;

pub(in crate::intake) type Upstream<C> = <<C as Corridor>::NextHop as NextHop>::Transaction;

/// The way from a door into the corridor.
pub(in crate::intake) struct Passage<C: Corridor> {
    pub corridor: Arc<C>,
    pub seals: Seals,
    pub hostname: String,
    /// This many Received fields end a loop.
    pub received_fields: usize,
    /// How long the walk may pass the client's clock before we answer without it.
    pub answer_margin: Duration,
    /// Large messages are read by no more threads than there are processors: each thread more keeps memory of its own.
    reading: Arc<Semaphore>,
}

/// A message as a door has it.
pub(in crate::intake) struct Arrived {
    pub origin: Origin,
    pub envelope: Envelope,
    pub content: Vec<u8>,
    pub answer_within: Duration,
    /// Names the client in a retry record.
    pub peer: String,
    pub node_id: Option<String>,
}

/// Why a message did not come to its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::intake) enum Stopped {
    /// It has been here, or everywhere.
    Loop,
    /// A fault of ours.
    Fault,
    /// The answer did not come in time.
    Late,
    /// What was made of it finds no room.
    NoMemory,
}

impl Stopped {
    pub fn as_str(self) -> &'static str {
        match self {
            Stopped::Loop => "loop",
            Stopped::Fault => "fault",
            Stopped::Late => "late",
            Stopped::NoMemory => "memory",
        }
    }
}

impl<C: Corridor> Passage<C> {
    pub fn new(
        corridor: Arc<C>,
        seals: Seals,
        hostname: String,
        received_fields: usize,
        answer_margin: Duration,
    ) -> Self {
        let reading = Arc::new(Semaphore::new(thread::available_parallelism().map_or(2, usize::from)));
        Self { corridor, seals, hostname, received_fields, answer_margin, reading }
    }

    /// Reads the message: its structure, its loops, our pass on it, its key.
    pub async fn read(&self, mut arrived: Arrived) -> Result<Submission, Stopped> {
        let (id, received_at) = (SubmissionId::fresh(), OffsetDateTime::now_utc());
        let content = std::mem::take(&mut arrived.content);
        let bytes = content.len();
        let reader = Reader::new(self, &arrived, received_at);
        let read = if bytes > LARGE {
            let permit = Arc::clone(&self.reading).acquire_owned().await;
            let read = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                reader.read(content)
            });
            read.await.ok()
        } else {
            catch_unwind(AssertUnwindSafe(|| reader.read(content))).ok()
        };
        let read = match read {
            Some(Ok(read)) => read,
            Some(Err(Loops { received, marks })) => {
                tracing::warn!(received, marks, "refused a message that goes in a loop");
                return Err(Stopped::Loop);
            }
            None => {
                tracing::error!(%id, bytes, "reading a message failed on our side; its client will try again");
                return Err(Stopped::Fault);
            }
        };
        let utf8 = arrived.envelope.sender.smtputf8();
        let header = self.seals.received(id, &arrived.origin, &self.hostname, utf8, received_at);
        let recipients = arrived.envelope.recipients.len();
        tracing::debug!(%id, node = arrived.node_id.as_deref(), bytes, recipients, "handed in a message");
        Ok(Submission {
            id,
            origin: arrived.origin,
            envelope: arrived.envelope,
            message: read.message,
            trace: header.into_bytes().into(),
            trace_end: read.trace_end,
            received_at,
            answer_within: arrived.answer_within,
            passed: read.passed,
            trial: read.trial,
            retry_key: read.key,
            split_key: read.split,
            node_id: arrived.node_id,
        })
    }

    /// The corridor's answer, with the memory that the message has reserved. A walk that is late is not cut off, since the next hop may already have the message: it goes
    /// on without us, and the client's next try finds its outcome.
    pub async fn walk(
        &self,
        submission: Submission,
        onward: Onward<Upstream<C>>,
        reservation: Reservation,
    ) -> Result<(Answer, Reservation), Stopped> {
        let (id, key, within) = (submission.id, submission.retry_key, submission.answer_within);
        let corridor = Arc::clone(&self.corridor);
        let mut walking = Box::pin(caught(async move {
            let answer = corridor.walk(submission, onward).await;
            (answer, reservation)
        }));
        match timeout(within + self.answer_margin, walking.as_mut()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Panicked)) => {
                tracing::error!(%id, "a fault of ours stopped a message; its client will try again");
                Err(Stopped::Fault)
            }
            Err(_) => {
                tracing::error!(%id, "the answer for a message came too late; its client will try again");
                let corridor = Arc::clone(&self.corridor);
                tokio::spawn(async move {
                    let _ = walking.await;
                    corridor.unconfirmed(key);
                });
                Err(Stopped::Late)
            }
        }
    }
}

/// All that reading a message needs, so that it can be done on another thread.
struct Reader {
    seals: Seals,
    sender: String,
    recipients: Vec<String>,
    peer: String,
    received_fields: usize,
    now: OffsetDateTime,
}

/// What was read of a message.
struct Read {
    message: Message,
    trace_end: usize,
    passed: Option<SubmissionId>,
    trial: Option<SubmissionId>,
    key: RetryKey,
    split: Option<SplitKey>,
}

struct Loops {
    received: usize,
    marks: usize,
}

impl Reader {
    fn new<C: Corridor>(passage: &Passage<C>, arrived: &Arrived, now: OffsetDateTime) -> Self {
        let Envelope { sender, recipients } = &arrived.envelope;
        Self {
            seals: passage.seals.clone(),
            sender: sender.address.as_ref().map_or("", |address| address.as_str()).to_owned(),
            recipients: recipients.iter().map(|path| path.address.as_str().to_owned()).collect(),
            peer: arrived.peer.clone(),
            received_fields: passage.received_fields,
            now,
        }
    }

    fn read(self, mut content: Vec<u8>) -> Result<Read, Loops> {
        let Trace { end: mut trace_end, received, marks, pass } = self.seals.examine(&content, self.now);
        if received >= self.received_fields || marks >= 2 {
            return Err(Loops { received, marks });
        }
        let trial = self.seals.trial(&content, self.now);
        let passed = pass.map(|pass| {
            trace_end -= pass.field.len();
            content.drain(pass.field);
            pass.case
        });
        let mut recipients: Vec<&str> = self.recipients.iter().map(String::as_str).collect();
        let key = self.seals.retry_key(&self.sender, &mut recipients, &content[trace_end..], &self.peer);
        // It waits for the next hop in this room: what it does not fill is given back.
        content.shrink_to_fit();
        let message = Message::parse(content);
        let split = self.seals.split_key(&self.sender, &message);
        Ok(Read { message, trace_end, passed, trial, key: RetryKey(key), split })
    }
}

/// A panic in someone else's future.
#[derive(Debug)]
pub(in crate::intake) struct Panicked;

/// Runs `future`; a panic in it becomes an error. Its state lives on the heap, so that idle sessions stay small.
pub(in crate::intake) async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future: Pin<Box<F>> = Box::pin(future);
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}
