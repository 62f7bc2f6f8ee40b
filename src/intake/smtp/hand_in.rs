//! From a message that was read whole to the reply to its final dot.

use super::{listen::Door, settings::Peer};
use crate::{
    intake::{
        Answer, Corridor, Onward, Reservation, RetryKey,
        passage::{Arrived, Stopped, Upstream},
    },
    mail::{Envelope, Origin, SubmissionId, wire::Reply},
};
use std::sync::Arc;

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

/// Walks the message and gives the reply.
pub(super) async fn hand_in<C: Corridor>(door: &Arc<Door<C>>, peer: &Peer, complete: Complete<C>) -> Answered {
    let Complete { origin, envelope, upstream, content, reservation } = complete;
    let answer_within = peer.answer_within;
    let arrived = Arrived { origin, envelope, content, answer_within, peer: peer.id(), node_id: None };
    let submission = match door.passage.read(arrived).await {
        Ok(submission) => submission,
        Err(stopped) => return stopped_at(door, stopped),
    };
    let (id, key) = (submission.id, submission.retry_key);
    match door.passage.walk(submission, Onward::Hop(upstream), reservation).await {
        Ok((answer, _)) => {
            let reply = reply_to(answer, id);
            // A client that is told to try again has nothing to take note of.
            let key = (!reply.is_transient()).then_some(key);
            Answered { reply, key }
        }
        Err(stopped) => stopped_at(door, stopped),
    }
}

fn stopped_at<C: Corridor>(door: &Door<C>, stopped: Stopped) -> Answered {
    door.refused(stopped.as_str());
    let reply = match stopped {
        Stopped::Loop => Reply::new(554, (5, 4, 6), "This message goes in a loop"),
        Stopped::Fault | Stopped::Late | Stopped::NoMemory => try_later(),
    };
    Answered { reply, key: None }
}

fn reply_to(answer: Answer, id: SubmissionId) -> Reply {
    match answer {
        Answer::Relayed(reply) => passed_on(reply),
        Answer::Taken { case } => Reply::new(250, (2, 0, 0), &format!("Taken as {case}")),
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
