//! Room 6, quarantine: cases waiting for a person.
//!
//! In: a held submission with its verdict; a person's decision. Out: a durable case; what must be sent because of a
//! decision. Never: a case that is half there, a decision on a case that changed in the meantime.

mod admit;
pub mod decide;
mod join;

use crate::{
    audit::Event,
    intake::{RetryKey, SplitKey, StoreDown},
    mail::{Address, Envelope, ForwardPath, SubmissionId},
    policy::{Addressed, Category, Disposition, PlannedEdit},
    sensitive::Sensitive,
};
use serde::{Deserialize, Serialize};
use std::{future::Future, sync::Arc};
use time::OffsetDateTime;

/// Where a case stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Waiting,
    Released,
    Delivered,
    DeliveryFailed,
    Returned,
    Refused,
    Erased,
}

/// What may be known of a case without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseHead {
    pub id: SubmissionId,
    pub state: State,
    pub category: Category,
    pub rules: Vec<Arc<str>>,
    pub bytes: u64,
    pub received: OffsetDateTime,
    pub expires: OffsetDateTime,
    /// Rises with each change: an act on an older epoch is refused.
    pub epoch: u64,
}

/// Who and what a case is about: sealed under the message's own key, one blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Face {
    pub envelope: Envelope,
    /// The author as the header names them.
    pub author: Sensitive<String>,
    pub subject: Sensitive<String>,
    pub message_id: Sensitive<String>,
    /// The account that handed it in.
    pub user: Option<Sensitive<String>>,
    pub grounds: Vec<FacedGround>,
    /// To be made on the copy that leaves on release.
    pub edits: Vec<PlannedEdit>,
    /// Our Received header, to stand before the message when it leaves.
    pub trace: Sensitive<String>,
    /// Machine mail: never answered.
    pub automatic: bool,
    /// Whether the rules let the sender be told.
    pub tell_sender: bool,
    /// Those for whom a release failed for good: another release goes to them alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undelivered: Vec<ForwardPath>,
    /// The digest of all that a recipient gets (`Message::content_digest`): what another transaction must bring too to be
    /// part of this case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Sensitive<[u8; 32]>>,
}

/// One ground as the reviewer and the sender read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacedGround {
    pub rule: String,
    pub title: String,
    /// Id and text.
    pub clauses: Vec<(String, String)>,
    pub disposition: Disposition,
    pub advice: String,
    /// Detector, part, masked excerpt.
    pub evidence: Vec<(String, String, Sensitive<String>)>,
    /// Its sender is told when it leaves with its recipients hidden from each other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tells_hidden: bool,
}

/// A case as opened for a person.
#[derive(Clone, Debug)]
pub struct Case {
    pub head: CaseHead,
    /// None once erased.
    pub face: Option<Face>,
}

/// A message to be held.
#[derive(Debug)]
pub struct NewCase {
    pub head: CaseHead,
    pub face: Face,
    /// The message as it came, to be sealed into the blob store.
    pub message: Vec<u8>,
    /// The sender was told of enough holds in this hour: this one goes into a later, joined notice.
    pub tell_later: bool,
    /// The message, which other transactions may bring to more recipients.
    pub split: Option<SplitKey>,
    /// To whom it is addressed, when these are more than a few.
    pub addressed: Option<Addressed>,
}

/// Something that must be sent. Goes through the durable outbox.
#[derive(Clone, Debug)]
pub struct OutboxItem {
    pub id: SubmissionId,
    /// Whose key it is sealed under, and erased with.
    pub case: SubmissionId,
    pub kind: ItemKind,
    pub envelope: Envelope,
    /// The bytes that leave. For a release, made from the case's message and edits at release.
    pub content: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemKind {
    Release,
    /// One message to each recipient, who sees themselves alone; `content` names nobody.
    Copies,
    /// To the sender.
    Notice,
    Report,
    /// To those who decide.
    Alert,
}

/// A letter of ours to one of our own senders.
#[derive(Clone, Debug)]
pub struct Letter {
    pub envelope: Envelope,
    pub content: Vec<u8>,
}

impl Letter {
    pub fn into_item(self, case: SubmissionId) -> OutboxItem {
        self.of_kind(ItemKind::Notice, case)
    }

    /// As what reviewers are told.
    pub fn into_alert(self, case: SubmissionId) -> OutboxItem {
        self.of_kind(ItemKind::Alert, case)
    }

    fn of_kind(self, kind: ItemKind, case: SubmissionId) -> OutboxItem {
        OutboxItem { id: SubmissionId::fresh(), case, kind, envelope: self.envelope, content: self.content }
    }
}

/// Writes what a sender is told; `delivery` implements it. None when nobody may be told: machine mail, a null
/// or foreign sender, a category of which senders hear nothing.
pub trait NoticeWriter: Send + Sync {
    fn held(&self, head: &CaseHead, face: &Face) -> Option<Letter>;

    fn returned(&self, case: &Case, face: &Face) -> Option<Letter>;

    /// Several holds of one sender in one notice. Cases of which the sender may not be told are left out; None when
    /// that leaves none.
    fn joined(&self, cases: &[(&CaseHead, &Face)]) -> Option<Letter>;

    /// Recipients were hidden from each other, in one message of the sender's or several.
    fn hidden(&self, notes: &[HiddenNote]) -> Option<Letter>;

    /// Nobody decided in time. None also where the rules keep the hold from the sender.
    fn expired(&self, case: &Case, face: &Face) -> Option<Letter>;
}

/// What a sender is told of a message that left with its recipients hidden from each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HiddenNote {
    pub submission: SubmissionId,
    pub sender: Address,
    pub subject: Sensitive<String>,
    pub message_id: Sensitive<String>,
    /// How many addresses each of them would have seen.
    pub shown: usize,
    /// Each got a copy of their own.
    pub apart: bool,
    /// Of the rule that asked for it.
    pub title: String,
    /// Id and text.
    pub clauses: Vec<(String, String)>,
    /// What to do next time.
    pub advice: String,
}

/// When a sender is told.
#[derive(Clone, Debug)]
pub enum Telling {
    Now(OutboxItem),
    /// Many letters were written to them in this hour: with others, in one letter.
    Later(HiddenNote),
}

/// What a person did with a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    Release,
    Return,
    Refuse,
}

/// Why an act on a case was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    #[error("no case has this number")]
    Unknown,
    #[error("the case changed in the meantime; look at it again")]
    Stale,
    #[error("the case is not in a state that allows this")]
    WrongState,
    #[error("the case cannot be read: its key or its sealed content is damaged")]
    Damaged,
    #[error(transparent)]
    Down(#[from] StoreDown),
}

/// Which cases to list.
#[derive(Clone, Debug, Default)]
pub struct CaseFilter {
    pub state: Option<State>,
    pub category: Option<Category>,
    pub limit: usize,
}

/// Whether erased bytes are provably gone from the database file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erasure {
    Done,
    /// The key is gone; an old page may still lie in the write-ahead log until other readers finish.
    Pending,
}

/// Where cases are kept.
pub trait CaseStore: Send + Sync + 'static {
    /// Blob, row, outbox items, events and the retry record, durable together when it returns.
    fn hold(
        &self,
        case: NewCase,
        outbox: Vec<OutboxItem>,
        events: Vec<Event>,
        retry: RetryKey,
    ) -> impl Future<Output = Result<(), StoreDown>> + Send;

    /// Writes a case that a later transaction of its message has joined (`Case::joined`), if it still waits and is at
    /// `case.head.epoch`.
    fn join(
        &self,
        case: Case,
        outbox: Vec<OutboxItem>,
        events: Vec<Event>,
        retry: RetryKey,
        split: Option<SplitKey>,
    ) -> impl Future<Output = Result<(), CaseError>> + Send;

    fn list(&self, filter: CaseFilter) -> impl Future<Output = Result<Vec<Case>, StoreDown>> + Send;

    fn open(&self, id: SubmissionId) -> impl Future<Output = Result<Case, CaseError>> + Send;

    /// The message as it came.
    fn message(&self, id: SubmissionId) -> impl Future<Output = Result<Vec<u8>, CaseError>> + Send;

    /// Moves a case on if it still is at `epoch`, with what must be sent and what is written into the book.
    fn transition(
        &self,
        id: SubmissionId,
        epoch: u64,
        to: State,
        outbox: Vec<OutboxItem>,
        events: Vec<Event>,
    ) -> impl Future<Output = Result<(), CaseError>> + Send;

    /// Destroys the case's key, face, blob and outbox items.
    fn erase(&self, id: SubmissionId, events: Vec<Event>) -> impl Future<Output = Result<Erasure, CaseError>> + Send;
}
