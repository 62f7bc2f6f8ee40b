//! From a message that was read whole to the reply to its final dot.

use super::{attested, listen::Door, settings::Peer};
use crate::{
    intake::{
        Answer, Corridor, Onward, Reservation, RetryKey,
        passage::{Arrived, Stopped, Upstream},
    },
    mail::{Certainty, Envelope, Origin, SubmissionId, User, wire::Reply},
};
use std::sync::Arc;

/// One transaction, complete.
pub(super) struct Complete<C: Corridor> {
    pub origin: Origin,
    pub envelope: Envelope,
    pub upstream: Upstream<C>,
    pub content: Vec<u8>,
    pub reservation: Reservation,
    /// What the server in front calls it.
    pub node_id: Option<String>,
}

/// The reply to the final dot, and the key to be confirmed once the client is known to have heard it.
pub(super) struct Answered {
    pub reply: Reply,
    pub key: Option<RetryKey>,
}

/// Walks the message and gives the reply.
pub(super) async fn hand_in<C: Corridor>(door: &Arc<Door<C>>, peer: &Peer, complete: Complete<C>) -> Answered {
    let Complete { mut origin, envelope, upstream, mut content, reservation, node_id } = complete;
    match attested(door, peer, &envelope, &mut content) {
        Ok(user) => origin.user = origin.user.or(user),
        Err(Foreign) => {
            tracing::warn!(client = %origin.address, "refused a message that another customer of the cloud sent");
            door.refused("tenant");
            return Answered { reply: Reply::new(550, (5, 7, 1), "This sender may not send through here"), key: None };
        }
    }
    let answer_within = peer.answer_within;
    let arrived = Arrived { origin, envelope, content, answer_within, peer: peer.id(), node_id };
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

/// The message is not our tenant's.
struct Foreign;

/// Whom the peer's own header fields name as the sender. A tenant's own rule against other people's senders is the cloud's:
/// once the message is known to be ours, so is its envelope sender.
fn attested<C: Corridor>(
    door: &Door<C>,
    peer: &Peer,
    envelope: &Envelope,
    content: &mut Vec<u8>,
) -> Result<Option<User>, Foreign> {
    let attested = |name: String| User { name: name.into(), certainty: Certainty::Attested };
    let mut user = peer.login_in_received.then(|| attested::login(content)).flatten().map(attested);
    if let Some(tenant) = &peer.tenant {
        if let Some(secret) = attested::is_of(tenant, content).map_err(|()| Foreign)? {
            content.drain(secret);
        }
        let sender = envelope.sender.address.as_ref().filter(|sender| door.owns(sender));
        user = user.or(sender.map(|sender| attested(sender.folded())));
    }
    Ok(user)
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
