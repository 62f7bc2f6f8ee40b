//! One transaction at the next hop: from the first RCPT to the reply to the final dot.

use super::{
    Outgoing, Sent,
    failure::{Failure, Lost, Step, count, ours, passed_on},
    offering::{End, Offered, unsuitable},
    pool::{Lease, Pool, Want},
};
use crate::{
    intake::{Credentials, Transaction},
    mail::{
        ForwardPath, ReversePath,
        wire::{Reply, WireBody},
    },
};
use std::{mem, sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

/// How long a reply may take that a hop gave before it closed in mid-message: it is there already, or never comes.
const EARLY_REPLY: Duration = Duration::from_millis(200);

/// A transaction of one client at the next hop. Dropping it unused leaves the connection to the next one, which
/// resets it.
pub struct RelayTransaction {
    pool: Arc<Pool>,
    sender: ReversePath,
    identity: Option<Arc<Credentials>>,
    /// Those whom the client was told 250 for.
    accepted: Vec<ForwardPath>,
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "one for each transaction; a box would be one allocation more")]
enum State {
    /// The hop was not touched yet.
    New,
    Open(Lease),
    /// Someone was told 250 without the hop's word.
    Blind,
    /// What every further recipient is told.
    Settled(Reply),
}

impl RelayTransaction {
    pub(super) fn new(pool: Arc<Pool>, sender: ReversePath, identity: Option<Arc<Credentials>>) -> Self {
        Self { pool, sender, identity, accepted: Vec::new(), state: State::New }
    }

    /// Sends the message for the accepted recipients and gives the hop's reply, by `answer_by`. Run it to its end:
    /// dropped after the final dot, nobody learns whether the hop took the message.
    pub async fn send(mut self, outgoing: Outgoing, answer_by: Instant) -> Sent {
        let started = Instant::now();
        let pieces = outgoing.pieces();
        let segments: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
        let sent = match WireBody::new(&segments) {
            Ok(body) => self.hand_over(&body, answer_by).await,
            Err(fault) => {
                tracing::error!(%fault, "a message to be relayed is not fit for SMTP; nothing was sent");
                Sent::NotSent(ours())
            }
        };
        metrics::histogram!("outgate_relay_seconds").record(started.elapsed().as_secs_f64());
        sent
    }

    async fn hand_over(&mut self, body: &WireBody<'_>, answer_by: Instant) -> Sent {
        if let State::Open(lease) = mem::replace(&mut self.state, State::Settled(ours())) {
            match transfer(lease, body, answer_by).await {
                Transfer::Ended(sent) => return sent,
                Transfer::Lost => tracing::info!("the next hop was lost before the final dot; trying once more"),
            }
        }
        match timeout_at(answer_by, self.replay()).await {
            Ok(Ok(lease)) => match transfer(lease, body, answer_by).await {
                Transfer::Ended(sent) => sent,
                Transfer::Lost => Sent::NotSent(ours()),
            },
            Ok(Err(reply)) => Sent::NotSent(reply),
            Err(_) => Sent::NotSent(ours()),
        }
    }

    /// MAIL and RCPT once more, on a connection of its own. All that the client was told 250 for must be accepted
    /// now, or nothing is sent.
    async fn replay(&self) -> Result<Lease, Reply> {
        if self.accepted.is_empty() {
            return Err(ours());
        }
        let limits = &self.pool.settings.limits;
        let leased = self.pool.lease(Want::New, limits.connect.min(limits.reconnect), self.identity.as_ref()).await;
        let mut lease = leased.map_err(|failure| failure.reply())?;
        let differs = || Reply::new(451, (4, 3, 0), "The next mail server now answers in another way, try again");
        if unsuitable(&self.sender, &self.accepted, &lease.connection.offers).is_some() {
            lease.give_back();
            return Err(differs());
        }
        let until = Instant::now() + limits.envelope;
        let offered = lease.connection.offer(Some(&self.sender), &self.accepted, until).await;
        if let Some(end) = offered.end {
            return Err(self.ended(end).1);
        }
        let all = offered.mail.iter().chain(&offered.recipients).all(Reply::is_positive);
        if all && offered.recipients.len() == self.accepted.len() {
            return Ok(lease);
        }
        tracing::warn!("the next hop refuses at the final dot what its client was told yes to; 451");
        lease.give_back_unfinished();
        Err(differs())
    }

    /// The first group: leases a connection, and once more if the one that lay idle turns out to be closed.
    async fn open(&self, batch: &[ForwardPath], replies: &mut Vec<Reply>) -> State {
        if self.pool.is_shunned() {
            return State::Blind;
        }
        let limits = &self.pool.settings.limits;
        let mut want = Want::Any;
        loop {
            let mut lease = match self.pool.lease(want, limits.connect, self.identity.as_ref()).await {
                Ok(lease) => lease,
                Err(failure) if failure.is_unreachable() => return State::Blind,
                Err(failure) => return State::Settled(failure.reply()),
            };
            if let Some(refusal) = unsuitable(&self.sender, batch, &lease.connection.offers) {
                lease.give_back();
                return State::Settled(refusal);
            }
            let until = Instant::now() + limits.envelope;
            let offered = lease.connection.offer(Some(&self.sender), batch, until).await;
            if lease.used && offered.found_closed() {
                want = Want::New;
                continue;
            }
            return self.note(lease, offered, replies);
        }
    }

    /// A further group.
    async fn go_on(&self, mut lease: Lease, batch: &[ForwardPath], replies: &mut Vec<Reply>) -> State {
        if let Some(refusal) = unsuitable(&self.sender, batch, &lease.connection.offers) {
            replies.resize(batch.len(), refusal);
            return State::Open(lease);
        }
        let until = Instant::now() + self.pool.settings.limits.envelope;
        let offered = lease.connection.offer(None, batch, until).await;
        self.note(lease, offered, replies)
    }

    fn note(&self, lease: Lease, offered: Offered, replies: &mut Vec<Reply>) -> State {
        replies.extend(offered.recipients.into_iter().map(|reply| passed_on(reply, Step::Rcpt)));
        let refused = offered.mail.filter(|mail| !mail.is_positive()).map(|mail| passed_on(mail, Step::Mail));
        match (refused, offered.end) {
            (None, None) => State::Open(lease),
            (Some(refusal), None) => {
                lease.give_back_unfinished();
                State::Settled(refusal)
            }
            (Some(refusal), Some(_)) => State::Settled(refusal),
            (None, Some(end)) => match self.ended(end) {
                (true, _) => State::Blind,
                (false, reply) => State::Settled(reply),
            },
        }
    }

    /// Whether an end in mid-transaction leaves us without the hop's word, and what is said if not.
    fn ended(&self, end: End) -> (bool, Reply) {
        match end {
            End::Closing(reply) => (false, passed_on(reply, Step::Rcpt)),
            End::Lost(lost) => {
                let failure = Failure::lost(Step::Rcpt, lost);
                failure.report();
                (failure.is_unreachable(), failure.reply())
            }
        }
    }
}

impl Transaction for RelayTransaction {
    async fn recipients(&mut self, batch: &[ForwardPath]) -> Vec<Reply> {
        let mut replies = Vec::with_capacity(batch.len());
        if batch.is_empty() {
            return replies;
        }
        // Should the caller go away while the hop is asked, the connection is closed: its replies are out of step.
        self.state = match mem::replace(&mut self.state, State::Settled(ours())) {
            State::New => self.open(batch, &mut replies).await,
            State::Open(lease) => self.go_on(lease, batch, &mut replies).await,
            state => state,
        };
        match &self.state {
            State::Settled(reply) => replies.resize(batch.len(), reply.clone()),
            _ => replies.resize(batch.len(), Reply::new(250, (2, 1, 5), "Ok")),
        }
        let accepted = batch.iter().zip(&replies).filter(|(_, reply)| reply.is_positive());
        self.accepted.extend(accepted.map(|(recipient, _)| recipient.clone()));
        replies
    }

    fn is_blind(&self) -> bool {
        matches!(self.state, State::Blind)
    }
}

impl Drop for RelayTransaction {
    fn drop(&mut self) {
        if let State::Open(lease) = mem::replace(&mut self.state, State::New) {
            lease.give_back_unfinished();
        }
    }
}

/// What became of DATA.
enum Transfer {
    Ended(Sent),
    /// The hop went away and cannot have seen the end of the message.
    Lost,
}

async fn transfer(mut lease: Lease, body: &WireBody<'_>, answer_by: Instant) -> Transfer {
    let by = answer_by.min(Instant::now() + lease.limits().data);
    let connection = &mut lease.connection;
    match connection.exchange(b"DATA\r\n", by).await {
        Ok(reply) if (300..400).contains(&reply.code()) && connection.is_in_step() => {}
        Ok(reply) if reply.code() == 421 => return Transfer::Lost,
        Ok(reply) if reply.code() >= 400 => {
            lease.give_back_unfinished();
            return Transfer::Ended(Sent::Replied(passed_on(reply, Step::Data)));
        }
        Ok(reply) => {
            tracing::error!(code = reply.code(), "the next hop's answer to DATA makes no sense");
            return Transfer::Ended(Sent::NotSent(ours()));
        }
        Err(lost) => return lost_before_dot(lost, Step::Data),
    }
    if let Err(lost) = connection.send_body(body, answer_by).await {
        if matches!(lost, Lost::Closed(_))
            && let Ok(reply) = connection.reply(Instant::now() + EARLY_REPLY).await
            && reply.code() >= 400
            && reply.code() != 421
        {
            // It said why before it closed.
            return Transfer::Ended(Sent::Replied(passed_on(reply, Step::Message)));
        }
        return lost_before_dot(lost, Step::Message);
    }
    match connection.reply(answer_by).await {
        Ok(reply) => Transfer::Ended(settle(lease, reply)),
        Err(Lost::Silent) => Transfer::Ended(Sent::Late(wait_on(lease))),
        Err(lost) => Transfer::Ended(unknown(&lost)),
    }
}

/// A hop that closes may be tried again; one that is silent or speaks nonsense has had its time.
fn lost_before_dot(lost: Lost, step: Step) -> Transfer {
    count(step, "lost");
    match lost {
        Lost::Closed(_) => Transfer::Lost,
        Lost::Silent | Lost::Garbled(_) => {
            tracing::warn!(%lost, step = step.as_str(), "the next hop failed before the final dot; nothing was sent");
            Transfer::Ended(Sent::NotSent(ours()))
        }
    }
}

/// The dot was sent and no reply came: the hop may have the message or not. Never sent again from here, since that
/// could deliver it twice; the client's own retry decides.
fn unknown(lost: &Lost) -> Sent {
    count(Step::Message, "unknown");
    tracing::warn!(%lost, "the next hop was lost between the final dot and its reply");
    Sent::Unknown(ours())
}

/// The reply to the final dot.
fn settle(mut lease: Lease, reply: Reply) -> Sent {
    match reply.code() {
        200..=299 => {
            lease.connection.uses += 1;
            lease.give_back();
            Sent::Replied(reply)
        }
        300..=399 => unknown(&Lost::Garbled(crate::mail::wire::ReplyError::Syntax)),
        // The connection is not used again: a hop that refuses a message before its end may give a second reply at
        // the dot, which would then be taken for the next message's.
        _ => Sent::Replied(passed_on(reply, Step::Message)),
    }
}

/// Waits for the reply in the background.
fn wait_on(mut lease: Lease) -> oneshot::Receiver<Option<Reply>> {
    let (tell, receiver) = oneshot::channel();
    tokio::spawn(async move {
        let until = Instant::now() + lease.limits().late;
        let reply = match lease.connection.reply(until).await {
            Ok(reply) => match settle(lease, reply) {
                Sent::Replied(reply) => Some(reply),
                _ => None,
            },
            Err(lost) => {
                unknown(&lost);
                None
            }
        };
        // Nobody may be waiting any more.
        let _ = tell.send(reply);
    });
    receiver
}
