//! Room 5, audit: the book. What happened, chained, never rewritten.
//!
//! In: events. Out: links, each one committed batch of events. Never: personal data in clear.

pub mod chain;

use crate::mail::{Door, SubmissionId};
use crate::policy::{Category, Disposition};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use time::OffsetDateTime;

/// One thing that happened. Holds only clear fields without personal data and keyed hashes; its JSON
/// is the canonical form over which a link's MAC is made, so fields keep their order and names for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submission: Option<SubmissionId>,
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum What {
    /// A message was read whole. `sender` is a keyed hash.
    Received {
        door: Door,
        bytes: u64,
        recipients: u32,
        sender: String,
        incoming: bool,
    },
    /// It was judged. Rules by id; watch rules apart.
    Judged {
        disposition: Disposition,
        rules: Vec<Arc<str>>,
        watched: Vec<Arc<str>>,
        ruleset: Arc<str>,
        unread: u32,
    },
    /// The next hop answered the final dot with this code.
    HandedOn {
        code: u16,
        edits: Vec<String>,
    },
    /// Milter door: the mail server in front carries it on, with these changes. What its next hop answers we never learn.
    PassedOn {
        edits: Vec<String>,
    },
    Held {
        category: Category,
    },
    /// Our outbox sends so many copies, each to one recipient.
    SentApart {
        copies: u32,
        edits: Vec<String>,
    },
    /// Another transaction of a message that waits already: its recipients came into that case.
    Joined {
        case: SubmissionId,
    },
    /// Another transaction of a message whose sending was approved: that approval is good for it too.
    Covered {
        case: SubmissionId,
    },
    Returned,
    TryLater {
        reason: String,
    },
    Viewed {
        by: String,
    },
    /// `note` is sealed.
    Decided {
        decision: String,
        by: String,
        note: Option<String>,
    },
    /// An outbox item reached the next hop.
    Delivered {
        item: String,
        code: u16,
    },
    /// An outbox item failed for good for this many recipients.
    Failed {
        item: String,
        recipients: u32,
        code: u16,
    },
    Expired,
    /// A test message of `outgate doctor` came by this door. It was judged and not sent on.
    Tried {
        trial: SubmissionId,
        door: Door,
        incoming: bool,
        /// What would have become of it: relay, return, hold, try-later.
        outcome: String,
        edits: Vec<String>,
        rules: Vec<Arc<str>>,
        watched: Vec<Arc<str>>,
    },
    Erased {
        by: String,
        note: Option<String>,
    },
    /// An account was made or changed. `account` is a keyed hash.
    Account {
        act: String,
        account: String,
        by: String,
    },
    /// It was passed on without being judged, while a bypass was on.
    Bypassed,
    /// Mail is not judged until then, or is judged again: begun, ended, expired. `note` is sealed.
    Bypass {
        act: String,
        #[serde(with = "time::serde::rfc3339::option")]
        until: Option<OffsetDateTime>,
        by: String,
        note: Option<String>,
    },
    /// A ruleset became active.
    Activated {
        ruleset: Arc<str>,
    },
    Started {
        version: String,
    },
    Stopped,
}

/// The book.
pub trait Book: Send + Sync + 'static {
    /// Durable when it returns.
    fn append(&self, events: Vec<Event>) -> impl Future<Output = Result<(), crate::intake::StoreDown>> + Send;
}

use std::future::Future;
