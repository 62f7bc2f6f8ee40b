//! The relay client: our side of SMTP towards the next hop.
//!
//! A connection is leased at a transaction's first RCPT and belongs to it alone. MAIL and the first recipients go in
//! one write, DATA in one, a small message with its final dot in one: three round trips a message, since the verdict
//! falls between them. `failure` says whose fault is what, and when a transaction is blind.

mod connection;
mod failure;
mod login;
mod offering;
mod offers;
mod pool;
mod route;
mod session;
mod settings;
mod tls;
mod transaction;

pub use settings::{Domains, Limits, RelaySettings, RouteSettings, TlsMode};
pub use tls::SettingsError;
pub use transaction::RelayTransaction;

use super::RecipientOutcome;
use crate::{
    intake::{Credentials, Extensions, NextHop, Transaction},
    mail::{Envelope, ForwardPath, Message, ReversePath, edit::Edited, wire::Reply},
};
use arc_swap::ArcSwap;
use pool::{Lease, Want};
use route::{Patience, Route, Routes};
use std::{borrow::Cow, sync::Arc};
use tokio::{task::JoinSet, time::Instant};

/// What became of a message given to the next hop.
#[derive(Debug)]
pub enum Sent {
    /// The next hop's final reply, class kept (421 and faults of ours already made 451).
    Replied(Reply),
    /// Nothing was sent, or nothing that the hop acknowledged: 451.
    NotSent(Reply),
    /// The final dot was sent and the connection lost before the reply: the hop may have the message. 451, and
    /// never sent again by the relay itself.
    Unknown(Reply),
    /// Our clock ended first: 451 to the client now; the true answer comes here, or None when it was lost.
    Late(tokio::sync::oneshot::Receiver<Option<Reply>>),
}

/// A message on its way out: our Received header, and the bytes behind it. Cheap to make and to clone.
#[derive(Clone)]
pub struct Outgoing {
    trace: Arc<[u8]>,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Message(Message),
    Edited(Edited),
    Bytes(Arc<Vec<u8>>),
}

impl Outgoing {
    /// A message that no rule edited.
    pub fn untouched(trace: Arc<[u8]>, message: Message) -> Self {
        Self { trace, content: Content::Message(message) }
    }

    /// A message with its edits.
    pub fn edited(trace: Arc<[u8]>, edited: Edited) -> Self {
        Self { trace, content: Content::Edited(edited) }
    }

    /// Bytes that were made by edits or by us, behind `trace`, which may be empty.
    pub fn bytes(trace: Arc<[u8]>, bytes: impl Into<Arc<Vec<u8>>>) -> Self {
        Self { trace, content: Content::Bytes(bytes.into()) }
    }

    /// All bytes, in pieces that read on without a seam.
    fn pieces(&self) -> Vec<Cow<'_, [u8]>> {
        let mut pieces = vec![Cow::Borrowed(&*self.trace)];
        match &self.content {
            Content::Message(message) => pieces.push(message.read(0..message.len())),
            Content::Edited(edited) => pieces.extend(edited.pieces()),
            Content::Bytes(bytes) => pieces.push(Cow::Borrowed(bytes)),
        }
        pieces
    }
}

/// Sizes only.
impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length: usize = self.pieces().iter().map(|piece| piece.len()).sum();
        write!(f, "Outgoing {{ {} + {} bytes }}", self.trace.len(), length - self.trace.len())
    }
}

/// The next hops. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Relay {
    routes: Arc<ArcSwap<Routes>>,
    settings: Arc<RelaySettings>,
}

/// Nobody knows what the next hop would have said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the next hop cannot be reached")]
pub struct Unreachable;

impl Relay {
    pub fn new(settings: RelaySettings) -> Result<Self, SettingsError> {
        let routes = Arc::new(ArcSwap::from_pointee(Routes::new(&settings, None)?));
        Ok(Self { routes, settings: Arc::new(settings) })
    }

    /// Goes on with other routes. A transaction in hand ends as it began; a hop that stays as it is keeps its
    /// connections. Needs a runtime.
    pub fn reload(&self, routes: Vec<RouteSettings>) -> Result<(), SettingsError> {
        let before = self.routes.load_full();
        let settings = RelaySettings { routes, ..(*self.settings).clone() };
        let next = Arc::new(Routes::new(&settings, Some(&before))?);
        self.routes.store(next.clone());
        self.warm_up();
        tokio::spawn(async move {
            for pool in before.pools() {
                if !next.pools().any(|kept| Arc::ptr_eq(kept, pool)) {
                    pool.close().await;
                }
            }
        });
        Ok(())
    }

    /// Connects to each route in the background, so that the first client sees the hops' own extensions and meets an
    /// open connection. Needs a runtime.
    pub fn warm_up(&self) {
        for route in self.routes.load().all() {
            let route = route.clone();
            tokio::spawn(async move {
                if let Ok(lease) = route.lease(Want::Any, Patience::Usual, None).await {
                    lease.give_back();
                }
            });
        }
    }

    /// Delivers to all recipients of an outbox item, in one transaction for each route; one outcome for each, in order. An
    /// outcome that the hop did not tell (lost behind the final dot) is 451: for mail that we answered 250 to, twice is
    /// better than never. With several routes one that cannot be reached is 451 too, so that the others go on.
    pub async fn deliver(
        &self,
        envelope: &Envelope,
        outgoing: Outgoing,
        answer_by: Instant,
    ) -> Result<Vec<RecipientOutcome>, Unreachable> {
        let routes = self.routes.load_full();
        let mut ways: Vec<(Arc<Route>, Vec<usize>)> = Vec::new();
        for (at, recipient) in envelope.recipients.iter().enumerate() {
            let route = routes.of(&recipient.address);
            match ways.iter_mut().find(|(known, _)| Arc::ptr_eq(known, route)) {
                Some((_, places)) => places.push(at),
                None => ways.push((route.clone(), vec![at])),
            }
        }
        // Side by side: one that takes its time must not use up the others'.
        let mut deliveries = JoinSet::new();
        for (route, places) in ways {
            let recipients = places.iter().map(|at| envelope.recipients[*at].clone()).collect();
            let part = Envelope { sender: envelope.sender.clone(), recipients };
            let (transaction, outgoing) = (self.begin(part.sender.clone(), None), outgoing.clone());
            let hop_reports = move || route.extensions().dsn;
            deliveries
                .spawn(async move { (places, deliver(transaction, part, outgoing, answer_by).await, hop_reports()) });
        }
        let mut outcomes: Vec<Option<RecipientOutcome>> = vec![None; envelope.recipients.len()];
        while let Some(delivered) = deliveries.join_next().await {
            // A task that panicked has said so; its recipients are tried again.
            let Ok((places, replies, hop_reports)) = delivered else { continue };
            if replies.is_err() && routes.all().len() == 1 {
                return Err(Unreachable);
            }
            let replies = replies.unwrap_or_else(|Unreachable| vec![failure::unreached(); places.len()]);
            for (at, reply) in places.into_iter().zip(replies) {
                let recipient = envelope.recipients[at].clone();
                outcomes[at] = Some(RecipientOutcome { recipient, reply, hop_reports });
            }
        }
        let untold = |recipient: &ForwardPath| RecipientOutcome {
            recipient: recipient.clone(),
            reply: failure::ours(),
            hop_reports: true,
        };
        let all = outcomes.into_iter().zip(&envelope.recipients);
        Ok(all.map(|(outcome, recipient)| outcome.unwrap_or_else(|| untold(recipient))).collect())
    }

    /// Whether a session of the default route can be opened now; it is left to the next transaction. For one who asks
    /// often: a failure is not logged.
    pub async fn answers(&self) -> bool {
        let route = self.routes.load().default_route().clone();
        match route.try_lease(Want::Any, Patience::Usual, None, |_| {}).await {
            Ok(lease) => {
                lease.give_back();
                true
            }
            Err(_) => false,
        }
    }

    /// Each route's name, and whether it can be used as far as is known.
    pub fn states(&self) -> Vec<(Arc<str>, bool)> {
        self.routes.load().all().iter().map(|route| (route.name.clone(), route.is_usable())).collect()
    }

    /// Says good-bye on all idle connections. Transactions in hand go on.
    pub async fn close(&self) {
        for pool in self.routes.load_full().pools() {
            pool.close().await;
        }
    }
}

/// One transaction of the outbox. A task of its own, since it must not be dropped behind the final dot.
async fn deliver(
    mut transaction: RelayTransaction,
    envelope: Envelope,
    outgoing: Outgoing,
    answer_by: Instant,
) -> Result<Vec<Reply>, Unreachable> {
    let mut replies = transaction.recipients(&envelope.recipients).await;
    if transaction.is_blind() {
        return Err(Unreachable);
    }
    if replies.iter().any(Reply::is_positive) {
        let answer = match transaction.send(outgoing, answer_by).await {
            Sent::Replied(reply) | Sent::NotSent(reply) | Sent::Unknown(reply) => reply,
            Sent::Late(receiver) => receiver.await.ok().flatten().unwrap_or_else(failure::ours),
        };
        for reply in replies.iter_mut().filter(|reply| reply.is_positive()) {
            reply.clone_from(&answer);
        }
    }
    Ok(replies)
}

impl NextHop for Relay {
    type Transaction = RelayTransaction;

    fn extensions(&self) -> Extensions {
        self.routes.load().extensions()
    }

    /// Asked of the default route, over a connection of its own each time: one that lies idle says only that the login was
    /// good once.
    async fn authenticate(&self, credentials: &Credentials) -> Result<(), Reply> {
        let identity = Arc::new(credentials.clone());
        let route = self.routes.load().default_route().clone();
        let leased = route.lease(Want::New, Patience::Usual, Some(&identity)).await;
        leased.map(Lease::give_back).map_err(|failure| failure.of_login())
    }

    fn begin(&self, sender: ReversePath, identity: Option<Arc<Credentials>>) -> RelayTransaction {
        RelayTransaction::new(self.routes.load_full(), sender, identity)
    }
}
