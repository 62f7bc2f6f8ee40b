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
mod session;
mod settings;
mod stream;
mod tls;
mod transaction;

pub use settings::{Limits, RelaySettings, TlsMode};
pub use tls::SettingsError;
pub use transaction::RelayTransaction;

use super::RecipientOutcome;
use crate::{
    intake::{Credentials, Extensions, NextHop, Transaction},
    mail::{Envelope, Message, ReversePath, edit::Edited, wire::Reply},
};
use failure::Failure;
use pool::{Lease, Pool, Want};
use std::{borrow::Cow, sync::Arc};
use tokio::time::Instant;

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

/// The next hop. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Relay {
    pool: Arc<Pool>,
}

/// Nobody knows what the next hop would have said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the next hop cannot be reached")]
pub struct Unreachable;

impl Relay {
    pub fn new(settings: RelaySettings) -> Result<Self, SettingsError> {
        Ok(Self { pool: Arc::new(Pool::new(settings)?) })
    }

    /// Connects in the background, so that the first client sees the hop's own extensions and meets an open
    /// connection. Needs a runtime.
    pub fn warm_up(&self) {
        let pool = self.pool.clone();
        tokio::spawn(async move {
            if let Ok(lease) = pool.lease(Want::Any, pool.settings.limits.connect, None).await {
                lease.give_back();
            }
        });
    }

    /// Delivers to all recipients of an outbox item in one transaction; one outcome for each, in order. An outcome
    /// that the hop did not tell (lost behind the final dot) is 451: for mail that we answered 250 to, twice is
    /// better than never.
    pub async fn deliver(
        &self,
        envelope: &Envelope,
        outgoing: Outgoing,
        answer_by: Instant,
    ) -> Result<Vec<RecipientOutcome>, Unreachable> {
        let mut transaction = self.begin(envelope.sender.clone(), None);
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
        let outcomes = envelope.recipients.iter().cloned().zip(replies);
        Ok(outcomes.map(|(recipient, reply)| RecipientOutcome { recipient, reply }).collect())
    }

    /// Whether a session with the hop can be opened now; it is left to the next transaction. For one who asks often:
    /// a failure is not logged.
    pub async fn answers(&self) -> bool {
        match self.pool.try_lease(Want::Any, self.pool.settings.limits.connect, None).await {
            Ok(lease) => {
                lease.give_back();
                true
            }
            Err(_) => false,
        }
    }

    /// Says good-bye on all idle connections. Transactions in hand go on.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl NextHop for Relay {
    type Transaction = RelayTransaction;

    fn extensions(&self) -> Extensions {
        self.pool.extensions()
    }

    /// A connection of its own each time: one that lies idle says only that the login was good once.
    async fn authenticate(&self, credentials: &Credentials) -> Result<(), Reply> {
        let identity = Arc::new(credentials.clone());
        let leased = self.pool.try_lease(Want::New, self.pool.settings.limits.connect, Some(&identity)).await;
        leased.map(Lease::give_back).map_err(|failure| {
            // A wrong password is its client's fault, and the door's to note.
            if !matches!(failure, Failure::Login { .. }) {
                failure.report();
            }
            failure.of_login()
        })
    }

    fn begin(&self, sender: ReversePath, identity: Option<Arc<Credentials>>) -> RelayTransaction {
        RelayTransaction::new(self.pool.clone(), sender, identity)
    }
}
