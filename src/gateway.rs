//! The corridor: one submission from door to door.
//!
//! `intake -> mail (parsed once, at the door) -> detect (scanned once) -> policy (judged once) -> delivery -> answer`,
//! the book written on the way. Every doubt about the world is 451; a fault of the message is *unread*, at once.

mod alert;
mod carry;
mod house;
mod housekeeping;
mod pulse;
mod scan;
mod split;

#[cfg(test)]
mod tests;

pub use house::{House, NotStarted, notices};
pub use pulse::Pulse;

use crate::{
    config::Loaded,
    delivery::{
        late::LateAnswers,
        notice::Notices,
        relay::{Relay, RelayTransaction},
    },
    intake::{Account, AccountName, Accounts, Answer, Corridor, Onward, RetryKey, StoreDown, Submission},
    policy::{self, FactQuery, FactSource, Facts, Mode},
    store::Store,
};
use arc_swap::ArcSwap;
use std::sync::Arc;
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
    /// When the reviewers were last written to.
    alerts: alert::Alerts,
    turns: split::Turns,
    /// Wakes the outbox worker when something was put into it.
    outbox: Arc<Notify>,
}

impl Corridor for Gateway {
    type NextHop = Relay;

    fn next_hop(&self) -> &Relay {
        &self.relay
    }

    async fn walk(&self, submission: Submission, onward: Onward<RelayTransaction>) -> Answer {
        let started = Instant::now();
        let answer_by = started + submission.answer_within;
        if let Some(answer) = self.answered_before(&submission, answer_by).await {
            return answer;
        }
        let loaded = self.loaded.load_full();
        if self.judged_before(&submission, &loaded).await || policy::is_incoming(&submission, &loaded.ruleset) {
            return self.pass(submission, onward, answer_by).await;
        }
        let Ok(scan) = self.scanners.scan(&loaded.detectors, &submission).await else {
            return self.cannot_tell(&submission, "no scanner became free in time").await;
        };
        let earlier = self.enter(&submission, &loaded);
        let facts = if loaded.ruleset.asks_for_threads() {
            self.store.facts(FactQuery::of(&submission.message)).await
        } else {
            Facts::unknown_past(OffsetDateTime::now_utc())
        };
        let facts = Facts { earlier, ..facts };
        let verdict = policy::judge(&submission, &scan, &facts, &loaded.ruleset);
        let Ok(made) = self.scanners.make(&submission, &verdict, onward.changes()).await else {
            return self.cannot_tell(&submission, "no thread for the edit became free in time").await;
        };
        let verdict = verdict.with_fallbacks(&made);
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

impl Gateway {
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whether the rules are in force, or only watch.
    pub fn mode(&self) -> Mode {
        self.loaded.load().settings.mode
    }
}
