//! From a message that was read whole to the reply to its final dot.

use super::{
    listen::Door,
    memory::Reservation,
    settings::Peer,
    trace::{Pass, Trace, leading_trace},
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

/// A message larger than this is read off the threads that answer connections.
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
    let received_at = OffsetDateTime::now_utc();
    let mut trace = door.seals.examine(&complete.content, received_at);
    if trace.received >= door.settings.limits.received_fields || trace.marks >= 2 {
        tracing::warn!(received = trace.received, marks = trace.marks, "refused a message that goes in a loop");
        door.refused("loop");
        return Answered::without_key(Reply::new(554, (5, 4, 6), "This message goes in a loop"));
    }
    let passed = trace.pass.take().map(|pass| take_out(pass, &mut complete.content, &mut trace));

    let id = SubmissionId::fresh();
    let content = std::mem::take(&mut complete.content);
    let bytes = content.len();
    let Some((message, retry_key)) = read(door, peer, content, &complete.envelope, trace.end).await else {
        tracing::error!(%id, bytes, "reading a message failed on our side; its client will try again");
        return Answered::without_key(try_later());
    };
    let utf8 = complete.envelope.sender.smtputf8();
    let header = door.seals.received(id, &complete.origin, &door.settings.hostname, utf8, received_at);
    let submission = Submission {
        id,
        origin: complete.origin,
        envelope: complete.envelope,
        message,
        trace: header.into_bytes().into(),
        trace_end: trace.end,
        received_at,
        answer_within: peer.answer_within,
        passed,
        retry_key,
        node_id: None,
    };
    tracing::debug!(%id, bytes, recipients = submission.envelope.recipients.len(), "handed in a message");
    walk(door, peer, submission, complete.upstream, complete.reservation).await
}

/// Removes a valid pass from the message.
fn take_out(pass: Pass, content: &mut Vec<u8>, trace: &mut Trace) -> SubmissionId {
    trace.end -= pass.field.len();
    content.drain(pass.field);
    debug_assert_eq!(trace.end, leading_trace(content));
    pass.case
}

/// Reads the message's structure and makes the key of its retry record. None is a fault of ours.
async fn read<C: Corridor>(
    door: &Arc<Door<C>>,
    peer: &Peer,
    content: Vec<u8>,
    envelope: &Envelope,
    trace_end: usize,
) -> Option<(Message, RetryKey)> {
    let sender = envelope.sender.address.as_ref().map_or("", |address| address.as_str()).to_owned();
    let recipients: Vec<String> = envelope.recipients.iter().map(|path| path.address.as_str().to_owned()).collect();
    let (seals, peer, large) = (door.seals.clone(), peer.id(), content.len() > LARGE);
    let work = move || {
        let mut recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
        let key = seals.retry_key(&sender, &mut recipients, &content[trace_end..], &peer);
        (Message::parse(content), RetryKey(key))
    };
    if large { tokio::task::spawn_blocking(work).await.ok() } else { catch_unwind(AssertUnwindSafe(work)).ok() }
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
