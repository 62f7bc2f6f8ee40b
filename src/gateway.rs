//! The corridor: one submission from door to door.
//!
//! `intake -> mail (parsed once, at the door) -> detect (scanned once) -> policy (judged once) -> delivery -> answer`,
//! the book written on the way. Every doubt about the world is 451; a fault of the message is *unread*, at once.

mod alert;
mod bypass;
mod carry;
mod clock;
mod files;
mod house;
mod housekeeping;
mod memory;
mod pulse;
pub mod readers;
mod recipients;
mod scan;
mod split;
mod trial;

#[cfg(test)]
mod tests;

pub use bypass::reviewers;
pub use files::raise as raise_open_files;
pub use house::{House, NotStarted, notices};
pub use pulse::Pulse;

use crate::{
    config::Loaded,
    delivery::{
        late::LateAnswers,
        notice::Notices,
        outbox::Signer,
        relay::{Relay, RelayTransaction},
    },
    intake::{
        Account, AccountName, Accounts, Answer, Budget, Corridor, Onward, RetryKey, Shortage, StoreDown, Submission,
    },
    policy::{self, FactSource, Facts, Mode},
    store::Store,
};
use arc_swap::ArcSwap;
use std::{borrow::Cow, sync::Arc};
use time::OffsetDateTime;
use tokio::{sync::Notify, time::Instant};

/// The rooms, wired.
pub struct Gateway {
    /// The active ruleset, detectors and settings: swapped whole on reload, so that each message is judged by one set.
    loaded: ArcSwap<Loaded>,
    relay: Relay,
    store: Store,
    notices: Notices,
    late: Arc<LateAnswers>,
    scanners: scan::Pool,
    /// Of all messages, through whichever door, with what is made of them.
    memory: Budget,
    /// When the reviewers were last written to.
    alerts: alert::Alerts,
    turns: split::Turns,
    bypass: bypass::Bypass,
    /// Wakes the outbox worker when something was put into it.
    outbox: Arc<Notify>,
}

impl Corridor for Gateway {
    type NextHop = Relay;

    fn next_hop(&self) -> &Relay {
        &self.relay
    }

    fn shortage(&self) -> Option<Shortage> {
        match () {
            () if self.store.is_short_of_room() => Some(Shortage::Disk),
            () if !self.store.is_healthy() => Some(Shortage::Store),
            () if self.scanners.is_full() => Some(Shortage::Scanners),
            () => None,
        }
    }

    async fn walk(&self, submission: Submission, onward: Onward<RelayTransaction>) -> Answer {
        let started = Instant::now();
        let answer_by = started + submission.answer_within;
        if let Some(answer) = self.answered_before(&submission, answer_by).await {
            return answer;
        }
        let loaded = self.loaded.load_full();
        let incoming = policy::is_incoming(&submission, &loaded.ruleset);
        if let Some(trial) = submission.trial.filter(|_| incoming) {
            return self.tried(&submission, trial, None).await;
        }
        if incoming || self.judged_before(&submission, &loaded).await {
            return self.pass(submission, onward, answer_by).await;
        }
        if submission.trial.is_none() && self.bypass.is_on() {
            return self.pass_unjudged(submission, onward, &loaded, answer_by).await;
        }
        let scan = match self.scanners.scan(&loaded.detectors, &submission).await {
            Ok(scan) => scan,
            Err(busy) => return self.cannot_tell(&submission, busy.reason()).await,
        };
        let earlier = self.enter(&submission, &loaded);
        let directory = &loaded.settings.directory;
        let facts = match policy::asks(&submission, &scan, directory, &loaded.ruleset) {
            Some(query) => self.store.facts(query).await,
            None => Facts::unknown_past(OffsetDateTime::now_utc()),
        };
        let facts = Facts { earlier, directory: directory.clone(), ..facts };
        let verdict = policy::judge(&submission, &scan, &facts, &loaded.ruleset);
        let making = self.scanners.make(&submission, &verdict, onward.changes(), &self.memory);
        // The room of what was made is kept until the message has left.
        let (made, _room) = match making.await {
            Ok(made) => made,
            Err(busy) => return self.cannot_tell(&submission, busy.reason()).await,
        };
        let verdict = verdict.with_fallbacks(&made);
        self.note_unmade(&submission, &made, &loaded).await;
        if let Some(trial) = submission.trial {
            return self.tried(&submission, trial, Some((&verdict, &made))).await;
        }
        match verdict.cannot_tell {
            Some(reason) => self.cannot_tell(&submission, reason).await,
            None => self.settle(submission, onward, (verdict, made), &loaded, answer_by).await,
        }
    }

    fn confirmed(&self, key: RetryKey) {
        self.store.confirm(key);
    }

    fn unconfirmed(&self, key: RetryKey) {
        self.store.unconfirmed(key);
    }
}

impl Accounts for Gateway {
    async fn account(&self, name: &AccountName) -> Result<Option<Account>, StoreDown> {
        self.store.account(name).await
    }
}

impl Signer for Gateway {
    fn sign(&self, message: &[u8], at: OffsetDateTime) -> Vec<u8> {
        self.loaded.load().settings.dkim.sign(&[Cow::Borrowed(message)], at)
    }
}

impl Gateway {
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whether the rules are in force, or only watch.
    pub fn mode(&self) -> Mode {
        self.loaded.load().settings.mode
    }
}
