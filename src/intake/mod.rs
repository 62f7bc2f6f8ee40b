//! Room 2, intake: the doors.
//!
//! In: bytes on a connection. Out: a `Submission`, for which the corridor gives an `Answer` back. Never: judging,
//! storing, or a 250 that nobody stands behind.

mod accounts;
mod memory;
pub mod milter;
mod network;
mod passage;
mod shortage;
pub mod smtp;
mod stream;
mod throttle;
pub mod tls;
mod trace;
mod trial;
mod unfit;

pub use accounts::{Account, AccountName, Accounts, NoName, PasswordHash, SHORTEST_PASSWORD, UnfitPassword};
pub use memory::{Budget, Reservation};
pub use network::{Network, NetworkError};
pub use shortage::Shortage;
pub use stream::Stream;
pub use throttle::Pace;
pub use tls::OwnCertificate;
pub use trace::{PASS, Pass, Seals, Trace, leading_trace};
pub use trial::TRIAL;

use crate::{
    mail::{
        Envelope, ForwardPath, Message, Origin, ReversePath, SubmissionId,
        edit::{Applied, Changes},
        wire::Reply,
    },
    sensitive::Sensitive,
};
use std::{future::Future, sync::Arc, time::Duration};
use time::OffsetDateTime;

/// One message as handed in, with all that the walk needs to know of it.
#[derive(Clone, Debug)]
pub struct Submission {
    pub id: SubmissionId,
    pub origin: Origin,
    /// Sender and the recipients that were answered with 250.
    pub envelope: Envelope,
    pub message: Message,
    /// Our Received header (CR LF at its end), to stand before the message when it leaves.
    pub trace: Arc<[u8]>,
    /// The length of the leading trace headers (Received, Return-Path, Delivered-To, our pass) of `message`:
    /// the retry record looks at what is below.
    pub trace_end: usize,
    pub received_at: OffsetDateTime,
    /// By when the client must have its answer; counted from the final dot.
    pub answer_within: Duration,
    /// The message carried a valid pass of ours: it was judged before, and names its case.
    pub passed: Option<SubmissionId>,
    /// A test message of `outgate doctor`, with its number: judged like any other, and never sent on.
    pub trial: Option<SubmissionId>,
    /// Identifies this hand-in for the retry record.
    pub retry_key: RetryKey,
    /// Tells the message itself, when it says enough of itself: other transactions may bring it to more recipients.
    pub split_key: Option<SplitKey>,
    /// What the server in front calls this message (queue id), when it says so.
    pub node_id: Option<String>,
}

/// HMAC(sender, sorted accepted recipients, bytes below the leading trace headers, peer).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RetryKey(pub [u8; 32]);

/// HMAC(sender, Message-ID, Date, hash of the decoded text): the same in all transactions in which a server sends one
/// message. Unlike a `RetryKey` it says nothing of who gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SplitKey(pub [u8; 16]);

/// What a door is told to do.
#[derive(Debug)]
pub enum Answer {
    /// Milter door: accept, with these changes, and these fields above all others: our trace and signatures. A message that
    /// was not judged gets none.
    PassOn { top: Arc<[u8]>, applied: Option<Applied> },
    /// SMTP door: the next hop's own final reply, class kept.
    Relayed(Reply),
    /// We stand for it: 250. It waits in this case, its own or that of an earlier transaction of the same message. A
    /// test message waits nowhere: what is named is its own number.
    Taken { case: SubmissionId },
    /// 550 5.7.1 with this text (clause, advice, submission id).
    Refused { text: String },
    /// 451 4.3.0.
    TryLater,
}

/// How a message goes on that is not stopped.
#[derive(Debug)]
pub enum Onward<T> {
    /// SMTP door: to the next hop, in the transaction that the door opened there. Dropping it unused resets it.
    Hop(T),
    /// Milter door: the mail server in front carries it on, and makes these changes of ours. What its next hop answers
    /// we never learn.
    Server(Changes),
}

impl<T> Onward<T> {
    /// What of the message can be changed on this way.
    pub fn changes(&self) -> Changes {
        match self {
            Onward::Hop(_) => Changes::ALL,
            Onward::Server(changes) => *changes,
        }
    }
}

/// The corridor behind the doors: walks one submission to its answer.
pub trait Corridor: Accounts {
    type NextHop: NextHop;

    fn next_hop(&self) -> &Self::NextHop;

    /// What we lack to take any message now. Asked at each MAIL; does not wait.
    fn shortage(&self) -> Option<Shortage> {
        None
    }

    fn walk(
        &self,
        submission: Submission,
        onward: Onward<<Self::NextHop as NextHop>::Transaction>,
    ) -> impl Future<Output = Answer> + Send;

    /// The client has taken note of the final answer (its next command or a clean close came): the
    /// retry record is confirmed and suppresses nothing any more. Cheap, does not wait.
    fn confirmed(&self, key: RetryKey);

    /// The connection ended before the client took note of the answer.
    fn unconfirmed(&self, key: RetryKey);
}

/// The answer to a RCPT comes from the next hop.
pub trait NextHop: Send + Sync + 'static {
    type Transaction: Transaction;

    /// The EHLO keywords last seen from the hop (cached; before the first contact a safe set with 8BITMIME).
    fn extensions(&self) -> Extensions;

    /// Whether the hop takes this login, asked over a connection that nobody listens in on. The error is for the client:
    /// 535 when the hop refuses it, 454 when it cannot be asked now.
    fn authenticate(&self, credentials: &Credentials) -> impl Future<Output = Result<(), Reply>> + Send;

    /// A transaction that has not yet touched the hop: a connection is leased at its first RCPT. With an identity it goes
    /// over a connection that is logged in as this client and serves nobody else.
    fn begin(&self, sender: ReversePath, identity: Option<Arc<Credentials>>) -> Self::Transaction;
}

/// A login: a client's that is passed through to the next hop, or our own there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub user: Sensitive<String>,
    pub password: Sensitive<String>,
}

/// What the next hop offers, as far as the door must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extensions {
    pub eight_bit_mime: bool,
    pub smtputf8: bool,
    pub dsn: bool,
    /// SIZE; 0 is no limit known.
    pub size: u64,
}

/// One transaction at the next hop, leased for one client transaction. Drop resets it.
pub trait Transaction: Send + 'static {
    /// Offers recipients to the hop in one pipelined group (with MAIL in front, the first time); one answer for
    /// each, in order. Hop unreachable: 250 for each, and the transaction is blind. `RcptAnswer` keeps the hop's class.
    fn recipients(&mut self, batch: &[ForwardPath]) -> impl Future<Output = Vec<Reply>> + Send;

    /// Whether we answered for the hop without having reached it.
    fn is_blind(&self) -> bool;

    /// The client takes its time: what the transaction keeps at the hop is others' meanwhile. The hop is asked again for
    /// those whom it accepted when the client goes on.
    fn rest(&mut self);
}

/// Retry records: what we answered to a hand-in whose client may not have heard it.
pub trait RetryBook: Send + Sync + 'static {
    /// The reply that an unconfirmed record of this key holds.
    fn answer(&self, key: RetryKey) -> impl Future<Output = Result<Option<Reply>, StoreDown>> + Send;
}

/// The store cannot answer: 451, nothing is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store does not answer")]
pub struct StoreDown;
