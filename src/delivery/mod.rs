//! Room 8, delivery: carrying the verdict out.
//!
//! In: a judged message and an open transaction; items of the outbox. Out: bytes at the next hop, its replies,
//! delivery reports. Never: a 250 of our own for what the next hop has not taken, a bounce for what we did
//! not accept.

pub mod alert;
mod copies;
pub mod late;
pub mod notice;
pub mod outbox;
pub mod relay;
pub mod report;

use crate::{
    audit::Event,
    intake::StoreDown,
    mail::wire::Reply,
    quarantine::{OutboxItem, State},
};
use std::future::Future;
use time::OffsetDateTime;

/// An outbox item leased for one attempt.
#[derive(Clone, Debug)]
pub struct Leased {
    pub item: OutboxItem,
    /// Attempts made before this one.
    pub attempts: u32,
    pub first_tried: OffsetDateTime,
    /// Fencing epoch: a finish with an older one is refused.
    pub epoch: u64,
}

/// What became of an attempt.
#[derive(Clone, Debug)]
pub enum Attempt {
    /// All recipients are done (delivered, or failed and reported): the item is gone.
    Done,
    /// Try the remaining recipients again at this time.
    Again { at: OffsetDateTime, remaining: Vec<crate::mail::ForwardPath> },
}

/// Where the outbox is kept.
pub trait OutboxStore: Send + Sync + 'static {
    /// Items that are due, leased to this process until `until`.
    fn lease(&self, most: usize, until: OffsetDateTime) -> impl Future<Output = Result<Vec<Leased>, StoreDown>> + Send;

    /// Ends an attempt, with those for whom it `failed` for good (what a later release is for), reports to be sent, the state the case goes to, and events, all in one commit.
    fn finish(
        &self,
        leased: &Leased,
        attempt: Attempt,
        failed: &[crate::mail::ForwardPath],
        reports: Vec<OutboxItem>,
        case: Option<State>,
        events: Vec<Event>,
    ) -> impl Future<Output = Result<(), StoreDown>> + Send;

    /// Of copies that go out one by one: to whom they are still to go, so that nobody gets a second one after a crash.
    /// Refused when the lease has passed to another.
    fn progress(
        &self,
        leased: &Leased,
        remaining: &[crate::mail::ForwardPath],
    ) -> impl Future<Output = Result<(), StoreDown>> + Send;

    /// When the earliest item is due.
    fn next_due(&self) -> impl Future<Output = Result<Option<OffsetDateTime>, StoreDown>> + Send;
}

/// The reply of the next hop for one recipient of an outbox item.
#[derive(Debug, Clone)]
pub struct RecipientOutcome {
    pub recipient: crate::mail::ForwardPath,
    pub reply: Reply,
    /// Whether the hop tells the sender itself of a success that was asked for (RFC 3461).
    pub hop_reports: bool,
}
