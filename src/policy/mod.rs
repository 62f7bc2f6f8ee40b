//! Room 4, policy: the organisation's sentences and the rules that serve them.
//!
//! In: a submission, its `Scan`, `Facts` and a `Ruleset`. Out: a `Verdict`. Never: I/O or a clock in `judge`.

mod action;
mod authorship;
pub mod clause;
mod condition;
mod count;
pub mod coverage;
pub mod difference;
pub mod directory;
mod domains;
mod example;
pub mod explain;
mod figures;
mod finds;
mod follow;
mod judge;
pub mod legal;
pub mod planned;
pub mod prove;
pub mod rule;
mod ruleset;
mod seen;
mod sensitive;
mod slips;
mod when;
mod wording;

pub use action::Action;
pub use authorship::{MaySendAs, Who};
pub use clause::{Group, Policy};
pub use condition::Condition;
pub use coverage::{Connected, Coverage, Covered, coverage};
pub use directory::{Directory, Person, Written};
pub use domains::KnownDomains;
pub use explain::explain;
pub use follow::{Addressed, Followed};
pub use judge::{asks, is_incoming, judge};
pub use legal::Legal;
pub use planned::PlannedEdit;
pub use rule::Rule;
pub use ruleset::{ActiveRule, PolicyInput, Ruleset, RulesetInputs};
pub use wording::NoticeText;

use crate::{
    detect::Finding,
    intake::StoreDown,
    mail::{Message, SubmissionId, edit::NoticeDigest},
};
use std::{collections::HashSet, future::Future, sync::Arc};
use time::OffsetDateTime;

/// The message's fate. The most severe wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    Relay,
    Return,
    Hold,
}

impl Disposition {
    pub fn as_str(self) -> &'static str {
        match self {
            Disposition::Relay => "relay",
            Disposition::Return => "return",
            Disposition::Hold => "hold",
        }
    }
}

/// How a rule acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    Enforce,
    /// Records and changes nothing.
    Watch,
}

/// One sentence of an organisation's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    pub id: Arc<str>,
    /// Word for word, white space folded.
    pub text: Arc<str>,
    /// The policy that it is from: `aukcap`.
    pub policy: Arc<str>,
}

/// Why a verdict is what it is: one rule that matched.
#[derive(Clone, Debug)]
pub struct Ground {
    pub rule: Arc<str>,
    pub title: Arc<str>,
    pub clauses: Vec<Arc<Clause>>,
    pub mode: Mode,
    pub disposition: Disposition,
    /// For a hold: which desk.
    pub category: Option<Category>,
    /// What the sender can do instead, from the rule.
    pub advice: Arc<str>,
    /// Whether the sender is told of a hold.
    pub tell_sender: bool,
    /// Whether they are told when its recipients were hidden from each other.
    pub tells_hidden: bool,
    pub findings: Vec<Finding>,
}

/// Which desk a case lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    PersonalData,
    Language,
    Safeguarding,
    Recipients,
    Approval,
    Confirmation,
    Technical,
}

impl Category {
    pub fn as_str(self) -> &'static str {
        match self {
            Category::PersonalData => "personal-data",
            Category::Language => "language",
            Category::Safeguarding => "safeguarding",
            Category::Recipients => "recipients",
            Category::Approval => "approval",
            Category::Confirmation => "confirmation",
            Category::Technical => "technical",
        }
    }
}

/// A rule that almost matched: what was missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Almost {
    pub rule: Arc<str>,
    /// The condition that did not hold, in words: `visible-recipients-over 20 (8)`.
    pub missing: String,
}

/// What is done with some of the recipients.
#[derive(Clone, Debug)]
pub struct Consignment {
    /// Indexes into the envelope's recipients.
    pub recipients: Vec<usize>,
    pub route: Route,
    pub disposition: Disposition,
    /// Applied to the copy that leaves, at once or on release, in the documented order.
    pub edits: Vec<PlannedEdit>,
}

/// What a rule says of an edit that cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// Goes out without the edit; recorded.
    Relay,
    Return,
    Hold,
}

/// By which next hop. One for now; several come with issue 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Route;

/// The outcome of judging one submission.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub submission: SubmissionId,
    pub grounds: Vec<Ground>,
    pub almost: Vec<Almost>,
    /// Judged to one for now.
    pub consignments: Vec<Consignment>,
    /// A condition of an enforcing rule could not tell for a fault of the world: 451, with the reason for the log.
    pub cannot_tell: Option<&'static str>,
    /// Parts that could not be read.
    pub unread: u32,
    /// Nobody would read an answer to this message.
    pub unanswerable: bool,
    /// The digest of the ruleset.
    pub ruleset: Arc<str>,
}

impl Verdict {
    pub fn disposition(&self) -> Disposition {
        self.consignments.iter().map(|consignment| consignment.disposition).max().unwrap_or(Disposition::Relay)
    }
}

/// Yes, no, or cannot tell for a fault of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tell {
    Yes,
    No,
    CannotTell(&'static str),
}

/// What judging must know of the world, looked up before.
#[derive(Clone, Debug)]
pub struct Facts {
    pub now: OffsetDateTime,
    /// The visible recipients already see each other in this thread.
    pub thread_shares: Tell,
    /// Whom earlier transactions brought the same message to.
    pub earlier: Earlier,
    /// Messages of the same sender that were stopped; or why that cannot be told.
    pub followed: Result<Vec<Followed>, &'static str>,
    pub directory: Arc<Directory>,
    /// Which of the notices that were asked about other messages of this thread left with; or why that cannot be told.
    pub notices_in_thread: Result<HashSet<NoticeDigest>, &'static str>,
}

/// Recipients of earlier transactions of the same message who are none of this one: their counts go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// A group counted as many as it reaches.
    pub people: usize,
    /// Addresses that are not ours.
    pub outside: usize,
}

/// A recipient as recipients are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    pub folded: String,
    /// A group is as many as it reaches.
    pub people: usize,
    pub outside: bool,
}

/// What the facts are asked for.
#[derive(Clone, Debug, Default)]
pub struct FactQuery {
    /// Of the message itself; empty when it has none.
    pub message_id: String,
    /// Message ids of In-Reply-To and References.
    pub references: Vec<String>,
    /// Folded visible addresses, sorted.
    pub visible: Vec<String>,
    /// Whose list is compared with those that were stopped.
    pub addressed: Option<Addressed>,
    /// The notices that this message would get and that go once into a thread.
    pub notices: Vec<NoticeDigest>,
}

impl FactQuery {
    /// What must be looked up for one message.
    pub fn of(message: &Message) -> Self {
        // A hostile header may name thousands; the last of them are the nearest in the thread.
        const ENOUGH: usize = 100;
        let ids: Vec<String> = ["In-Reply-To", "References"].iter().filter_map(|name| message.header(name)).collect();
        let mut references: Vec<String> = Vec::new();
        for id in ids.iter().flat_map(|ids| ids.split_whitespace().rev()).take(ENOUGH) {
            if !references.iter().any(|known| known == id) {
                references.push(id.into());
            }
        }
        let message_id = message.header("Message-ID").unwrap_or_default();
        Self { message_id, references, visible: message.shown_recipients(), notices: Vec::new(), addressed: None }
    }
}

impl Facts {
    /// For judging where there is no store: nothing is known of the past.
    pub fn unknown_past(now: OffsetDateTime) -> Self {
        Self {
            now,
            thread_shares: Tell::No,
            earlier: Earlier::default(),
            followed: Ok(Vec::new()),
            directory: Arc::default(),
            notices_in_thread: Ok(HashSet::new()),
        }
    }
}

/// Looks facts up; `store` implements it.
pub trait FactSource: Send + Sync + 'static {
    fn facts(&self, query: FactQuery) -> impl Future<Output = Facts> + Send;
}

/// A fault of the store as seen by this room.
impl From<StoreDown> for Tell {
    fn from(_: StoreDown) -> Self {
        Tell::CannotTell("the store does not answer")
    }
}
