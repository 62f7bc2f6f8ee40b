//! One transaction at the next hop: from the first RCPT to the reply to the final dot.

use super::{
    Outgoing, Sent,
    failure::{Failure, Lost, Step, count, ours, passed_on},
    offering::{End, Offered, unsuitable},
    pool::{Lease, Want},
    route::{Patience, Route, Routes},
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
    routes: Arc<Routes>,
    /// Where those go who were accepted; until someone is, where the last were offered.
    route: Arc<Route>,
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
    /// Those who were accepted were so by the hop's word, on a connection that others have now.
    Resting,
    /// Someone was told 250 without the hop's word.
    Blind,
    /// What every further recipient of this route is told.
    Settled(Reply),
}

impl RelayTransaction {
    pub(super) fn new(routes: Arc<Routes>, sender: ReversePath, identity: Option<Arc<Credentials>>) -> Self {
        let route = routes.default_route().clone();
        Self { routes, route, sender, identity, accepted: Vec::new(), state: State::New }
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
        let state = mem::replace(&mut self.state, State::Settled(ours()));
        let rested = matches!(state, State::Resting);
        let lease = match state {
            State::Open(lease) => Some(lease),
            State::Resting => match self.replay_by(answer_by, Want::Any, Patience::Usual).await {
                Ok(lease) => Some(lease),
                Err(reply) => return Sent::NotSent(reply),
            },
            _ => None,
        };
        let patience = match lease {
            Some(lease) => match transfer(lease, body, answer_by).await {
                Transfer::Ended(sent) => return sent,
                Transfer::Lost if rested => return Sent::NotSent(ours()),
                Transfer::Lost => {
                    tracing::info!("the next hop was lost before the final dot; trying once more");
                    Patience::Again
                }
            },
            None => Patience::Last,
        };
        match self.replay_by(answer_by, Want::New, patience).await {
            Ok(lease) => match transfer(lease, body, answer_by).await {
                Transfer::Ended(sent) => sent,
                Transfer::Lost => Sent::NotSent(ours()),
            },
            Err(reply) => Sent::NotSent(reply),
        }
    }

    async fn replay_by(&self, answer_by: Instant, want: Want, patience: Patience) -> Result<Lease, Reply> {
        timeout_at(answer_by, self.replay(want, patience)).await.unwrap_or_else(|_| Err(ours()))
    }

    /// MAIL and RCPT once more, at any address of the route. All that the client was told 250 for must be accepted now,
    /// or nothing is sent.
    async fn replay(&self, want: Want, patience: Patience) -> Result<Lease, Reply> {
        if self.accepted.is_empty() {
            return Err(ours());
        }
        let leased = self.route.lease(want, patience, self.identity.as_ref()).await;
        let mut lease = leased.map_err(|failure| failure.reply())?;
        let differs = || Reply::new(451, (4, 3, 0), "The next mail server now answers in another way, try again");
        if unsuitable(&self.sender, &self.accepted, &lease.connection.offers).is_some() {
            lease.give_back();
            return Err(differs());
        }
        let until = Instant::now() + self.route.limits.envelope;
        let offered = lease.connection.offer(Some(&self.sender), &self.accepted, until).await;
        if lease.used && offered.found_closed() {
            drop(lease);
            return Box::pin(self.replay(Want::New, patience)).await;
        }
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

    /// Offers recipients of one route.
    async fn offer(&mut self, batch: &[ForwardPath]) -> Vec<Reply> {
        let mut replies = Vec::with_capacity(batch.len());
        // Should the caller go away while the hop is asked, the connection is closed: its replies are out of step.
        self.state = match mem::replace(&mut self.state, State::Settled(ours())) {
            State::New => self.open(batch, &mut replies).await,
            State::Open(lease) => self.go_on(lease, batch, &mut replies).await,
            State::Resting => match self.replay(Want::Any, Patience::Usual).await {
                Ok(lease) => self.go_on(lease, batch, &mut replies).await,
                Err(reply) => State::Settled(reply),
            },
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

    /// The first group: leases a connection, and once more if the one that lay idle turns out to be closed, or if the
    /// hop is lost before it said a word to anyone and the route has another address.
    async fn open(&self, batch: &[ForwardPath], replies: &mut Vec<Reply>) -> State {
        let mut want = Want::Any;
        let mut others = self.route.len() - 1;
        loop {
            let mut lease = match self.route.lease(want, Patience::Usual, self.identity.as_ref()).await {
                Ok(lease) => lease,
                Err(failure) if failure.is_unreachable() => return State::Blind,
                Err(failure) => return State::Settled(failure.reply()),
            };
            if let Some(refusal) = unsuitable(&self.sender, batch, &lease.connection.offers) {
                // Another address of the route may take it, once it is back.
                let for_good = self.route.is_first(&lease);
                lease.give_back();
                return State::Settled(if for_good { refusal } else { not_by_this_one() });
            }
            let until = Instant::now() + self.route.limits.envelope;
            let offered = lease.connection.offer(Some(&self.sender), batch, until).await;
            if lease.used && offered.found_closed() {
                want = Want::New;
                continue;
            }
            if let Some(failure) = offered.says_nothing().filter(|_| others > 0) {
                failure.report(&self.route.name);
                lease.note_failure(&failure);
                others -= 1;
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
        let until = Instant::now() + self.route.limits.envelope;
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
                failure.report(&self.route.name);
                (failure.is_unreachable(), failure.reply())
            }
        }
    }
}

impl Transaction for RelayTransaction {
    /// The first accepted recipient fixes the route; until then each route is asked in its turn.
    async fn recipients(&mut self, batch: &[ForwardPath]) -> Vec<Reply> {
        if self.routes.all().len() == 1 {
            return if batch.is_empty() { Vec::new() } else { self.offer(batch).await };
        }
        let routes = self.routes.clone();
        let mut replies: Vec<Option<Reply>> = vec![None; batch.len()];
        while let Some(next) = replies.iter().position(Option::is_none) {
            let route = routes.of(&batch[next].address);
            if !Arc::ptr_eq(route, &self.route) {
                if !self.accepted.is_empty() {
                    replies[next] = Some(another_route());
                    continue;
                }
                if let State::Open(lease) = mem::replace(&mut self.state, State::New) {
                    lease.give_back_unfinished();
                }
                self.route = route.clone();
            }
            let same = |at: &usize| replies[*at].is_none() && Arc::ptr_eq(routes.of(&batch[*at].address), route);
            let places: Vec<usize> = (next..batch.len()).filter(same).collect();
            let group: Vec<_> = places.iter().map(|at| batch[*at].clone()).collect();
            for (at, reply) in places.into_iter().zip(self.offer(&group).await) {
                replies[at] = Some(reply);
            }
        }
        replies.into_iter().flatten().collect()
    }

    fn is_blind(&self) -> bool {
        matches!(self.state, State::Blind)
    }

    fn rest(&mut self) {
        // Of a transaction in which nobody was accepted nothing needs to be said again.
        let next = if self.accepted.is_empty() { State::New } else { State::Resting };
        match mem::replace(&mut self.state, next) {
            State::Open(lease) => lease.give_back_unfinished(),
            other => self.state = other,
        }
    }
}

impl Drop for RelayTransaction {
    fn drop(&mut self) {
        if let State::Open(lease) = mem::replace(&mut self.state, State::New) {
            lease.give_back_unfinished();
        }
    }
}

/// RFC 5321 4.5.3.1.10: a client sends the others in a transaction of their own.
fn another_route() -> Reply {
    Reply::new(452, (4, 5, 3), "This recipient's mail goes another way, send it in the next transaction")
}

fn not_by_this_one() -> Reply {
    Reply::new(451, (4, 3, 0), "The mail server that takes this cannot be reached at the moment, try later")
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
