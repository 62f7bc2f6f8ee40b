//! From a message that was read whole to the reply to its final dot.

use super::{
    listen::Door,
    memory::Reservation,
    settings::Peer,
    trace::{Seals, Trace},
};
use crate::{
    intake::{Answer, Corridor, NextHop, RetryKey, Submission},
    mail::{Envelope, Message, Origin, SubmissionId, wire::Reply},
};
use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::Poll,
};
use time::OffsetDateTime;
use tokio::time::timeout;

/// A message larger than this is read off the threads that answer connections: hashing and parsing take a millisecond
/// or more.
const LARGE: usize = 256 << 10;

type Upstream<C> = <<C as Corridor>::NextHop as NextHop>::Transaction;

/// One transaction, complete.
pub(super) struct Complete<C: Corridor> {
    pub origin: Origin,
    pub envelope: Envelope,
    pub upstream: Upstream<C>,
    pub content: Vec<u8>,
    pub reservation: Reservation,
}

/// The reply to the final dot, and the key to be confirmed once the client is known to have heard it.
pub(super) struct Answered {
    pub reply: Reply,
    pub key: Option<RetryKey>,
}

impl Answered {
    fn without_key(reply: Reply) -> Self {
        Self { reply, key: None }
    }
}

/// Walks the message and gives the reply.
pub(super) async fn hand_in<C: Corridor>(door: &Arc<Door<C>>, peer: &Peer, mut complete: Complete<C>) -> Answered {
    let (id, received_at) = (SubmissionId::fresh(), OffsetDateTime::now_utc());
    let content = std::mem::take(&mut complete.content);
    let bytes = content.len();
    let reader = Reader::new(door, peer, &complete.envelope, received_at);
    let read = if bytes > LARGE {
        let permit = Arc::clone(&door.reading).acquire_owned().await;
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
            door.refused("loop");
            return Answered::without_key(Reply::new(554, (5, 4, 6), "This message goes in a loop"));
        }
        None => {
            tracing::error!(%id, bytes, "reading a message failed on our side; its client will try again");
            door.refused("fault");
            return Answered::without_key(try_later());
        }
    };
    let utf8 = complete.envelope.sender.smtputf8();
    let header = door.seals.received(id, &complete.origin, &door.settings.hostname, utf8, received_at);
    let submission = Submission {
        id,
        origin: complete.origin,
        envelope: complete.envelope,
        message: read.message,
        trace: header.into_bytes().into(),
        trace_end: read.trace_end,
        received_at,
        answer_within: peer.answer_within,
        passed: read.passed,
        retry_key: read.key,
        node_id: None,
    };
    tracing::debug!(%id, bytes, recipients = submission.envelope.recipients.len(), "handed in a message");
    walk(door, peer, submission, complete.upstream, complete.reservation).await
}

/// All that reading a message needs, so that it can be done on another thread.
struct Reader {
    seals: Seals,
    sender: String,
    recipients: Vec<String>,
    peer: String,
    most_received: usize,
    now: OffsetDateTime,
}

/// What was read of a message.
struct Read {
    message: Message,
    trace_end: usize,
    passed: Option<SubmissionId>,
    key: RetryKey,
}

/// The message has been here, or everywhere.
struct Loops {
    received: usize,
    marks: usize,
}

impl Reader {
    fn new<C: Corridor>(door: &Door<C>, peer: &Peer, envelope: &Envelope, now: OffsetDateTime) -> Self {
        Self {
            seals: door.seals.clone(),
            sender: envelope.sender.address.as_ref().map_or("", |address| address.as_str()).to_owned(),
            recipients: envelope.recipients.iter().map(|path| path.address.as_str().to_owned()).collect(),
            peer: peer.id(),
            most_received: door.settings.limits.received_fields,
            now,
        }
    }

    fn read(self, mut content: Vec<u8>) -> Result<Read, Loops> {
        let Trace { end: mut trace_end, received, marks, pass } = self.seals.examine(&content, self.now);
        if received >= self.most_received || marks >= 2 {
            return Err(Loops { received, marks });
        }
        let passed = pass.map(|pass| {
            trace_end -= pass.field.len();
            content.drain(pass.field);
            pass.case
        });
        let mut recipients: Vec<&str> = self.recipients.iter().map(String::as_str).collect();
        let key = self.seals.retry_key(&self.sender, &mut recipients, &content[trace_end..], &self.peer);
        // It waits for the next hop in this room: what it does not fill is given back.
        content.shrink_to_fit();
        Ok(Read { message: Message::parse(content), trace_end, passed, key: RetryKey(key) })
    }
}

/// The corridor's answer as a reply. A walk that is late is not cut off, since the next hop may already have the message:
/// it goes on without us, and the client's next try finds its outcome.
async fn walk<C: Corridor>(
    door: &Arc<Door<C>>,
    peer: &Peer,
    submission: Submission,
    upstream: Upstream<C>,
    reservation: Reservation,
) -> Answered {
    let (id, key) = (submission.id, submission.retry_key);
    let corridor = Arc::clone(&door.corridor);
    let mut walking = Box::pin(caught(async move {
        let answer = corridor.walk(submission, upstream).await;
        drop(reservation);
        answer
    }));
    let answer = match timeout(peer.answer_within + door.settings.limits.answer_margin, walking.as_mut()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(Panicked)) => {
            tracing::error!(%id, "a fault of ours stopped a message; its client will try again");
            door.refused("fault");
            return Answered::without_key(try_later());
        }
        Err(_) => {
            tracing::error!(%id, "the answer for a message came too late; its client will try again");
            door.refused("late");
            let corridor = Arc::clone(&door.corridor);
            tokio::spawn(async move {
                let _ = walking.await;
                corridor.unconfirmed(key);
            });
            return Answered::without_key(try_later());
        }
    };
    let reply = reply_to(answer, id);
    // A client that is told to try again has nothing to take note of.
    let key = (!reply.is_transient()).then_some(key);
    Answered { reply, key }
}

fn reply_to(answer: Answer, id: SubmissionId) -> Reply {
    match answer {
        Answer::Relayed(reply) => passed_on(reply),
        Answer::Taken => Reply::new(250, (2, 0, 0), &format!("Taken as {id}")),
        Answer::Refused { text } => Reply::new(550, (5, 7, 1), &text),
        Answer::TryLater => try_later(),
        Answer::PassOn { .. } => {
            tracing::error!(%id, "the corridor gave the SMTP door an answer for the milter door");
            try_later()
        }
    }
}

/// A reply of the next hop as our client gets it: 421 would tell it that *we* hang up (RFC 5321 3.8), and a code that no
/// final reply has is a fault of the hop.
pub(super) fn passed_on(reply: Reply) -> Reply {
    match reply.code() {
        421 => Reply::cleaned(451, Some((4, 3, 0)), reply.lines().iter().map(String::as_str)),
        200..300 | 400..600 => reply,
        _ => try_later(),
    }
}

pub(super) fn try_later() -> Reply {
    Reply::new(451, (4, 3, 0), "Try again later")
}

/// A panic in someone else's future.
#[derive(Debug)]
pub(super) struct Panicked;

/// Runs `future`; a panic in it becomes an error. Its state lives on the heap, so that idle sessions stay small.
pub(super) async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future: Pin<Box<F>> = Box::pin(future);
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}
