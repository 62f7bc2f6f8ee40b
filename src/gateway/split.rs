//! Transactions that bring one message. Its counts go on through all of them, and what became of an earlier one speaks for
//! the later ones: they come into the case that waits, go back like one that a person sent back, and need no second approval.

use super::{Gateway, alert::readers};
use crate::{
    audit::What,
    config::Loaded,
    delivery::relay::RelayTransaction,
    intake::{Answer, Onward, SplitKey, StoreDown, Submission},
    mail::SubmissionId,
    policy::{Category, Disposition, Earlier, Mode, Verdict, planned::Made},
    quarantine::{Case, CaseError, CaseStore, NewCase, State},
    store::Entry,
};
use std::collections::HashSet;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

/// A case that changed so often while we looked at it is looked at again when the client comes back.
const LOOKS: usize = 5;

/// Above it a digest is made off the threads that answer small messages.
const LARGE: usize = 256 << 10;

/// One at a time holds a transaction of a message, so that two at one instant make one case. Messages share turns.
pub(super) struct Turns([Mutex<()>; 64]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Turns {
    async fn take(&self, key: SplitKey) -> MutexGuard<'_, ()> {
        self.0[usize::from(key.0[0]) % self.0.len()].lock().await
    }
}

/// What earlier transactions of a message make of this one.
enum Together {
    /// It is judged by itself.
    Apart,
    /// It is in this case now.
    Joined(SubmissionId),
    /// A person sent the message back, or destroyed it.
    Refused(SubmissionId),
    /// Whoever had to approve it has done so.
    Covered(SubmissionId),
}

impl Gateway {
    /// Notes to whom this transaction brings its message; gives those of earlier ones.
    pub(super) fn enter(&self, submission: &Submission, loaded: &Loaded) -> Earlier {
        let Some(key) = submission.split_key else { return Earlier::default() };
        let reached = loaded.ruleset.house().reached(&submission.envelope, &loaded.settings.directory);
        let visible = submission.message.shown_recipients();
        let goes_to: HashSet<String> =
            submission.envelope.recipients.iter().map(|path| path.address.folded()).collect();
        let whole = goes_to.len() == visible.len() && visible.iter().all(|shown| goes_to.contains(shown));
        self.store.enter(key, &reached, whole)
    }

    /// From the verdict to the answer.
    pub(super) async fn settle(
        &self,
        submission: Submission,
        onward: Onward<RelayTransaction>,
        (verdict, made): (Verdict, Made),
        loaded: &Loaded,
        answer_by: Instant,
    ) -> Answer {
        let disposition = verdict.disposition();
        let waits = |key: &SplitKey| disposition == Disposition::Hold || self.store.case_of_split(*key).is_some();
        let turn = match submission.split_key.filter(waits) {
            Some(key) => Some(self.turns.take(key).await),
            None => None,
        };
        let together = match turn {
            Some(_) => self.together(&submission, &verdict, loaded).await,
            None => Ok(Together::Apart),
        };
        match (together, disposition) {
            (Err(StoreDown), _) => self.try_later(&submission, "the store does not answer"),
            (Ok(Together::Joined(case)), _) => Answer::Taken { case },
            (Ok(Together::Refused(case)), _) if !verdict.unanswerable => {
                self.refuse_too(&submission, &verdict, case).await
            }
            (Ok(Together::Refused(_)), _) | (Ok(Together::Apart), Disposition::Hold) => {
                self.hold(submission, verdict, loaded).await
            }
            (Ok(Together::Covered(case)), _) => {
                drop(turn);
                self.relay(submission, onward, verdict, made, Some(What::Covered { case }), answer_by).await
            }
            (Ok(Together::Apart), Disposition::Relay) => {
                drop(turn);
                self.relay(submission, onward, verdict, made, None, answer_by).await
            }
            (Ok(Together::Apart), Disposition::Return) => self.give_back(&submission, &verdict).await,
        }
    }

    /// Only in its turn.
    async fn together(
        &self,
        submission: &Submission,
        verdict: &Verdict,
        loaded: &Loaded,
    ) -> Result<Together, StoreDown> {
        let case = submission.split_key.and_then(|key| self.store.case_of_split(key));
        let Some(id) = case.filter(|_| loaded.ruleset.mode() == Mode::Enforce) else { return Ok(Together::Apart) };
        let later = self.admit(submission, verdict, loaded).await?;
        for _ in 0..LOOKS {
            let case = match self.store.open(id).await {
                Ok(case) => case,
                Err(CaseError::Unknown) => return Ok(Together::Apart),
                // Whether this belongs to what waits cannot be told.
                Err(_) => return Err(StoreDown),
            };
            return Ok(match case.head.state {
                State::Erased => Together::Refused(id),
                _ if !case.is_joined_by(&later) => Together::Apart,
                State::Waiting => match self.join(case, &later, submission, verdict, loaded).await {
                    Ok(()) => Together::Joined(id),
                    // Decided, or joined by another process, just now.
                    Err(CaseError::Stale | CaseError::WrongState) => continue,
                    Err(_) => return Err(StoreDown),
                },
                State::Returned | State::Refused => Together::Refused(id),
                State::Released | State::Delivered | State::DeliveryFailed => {
                    if is_covered(&case, submission, verdict, loaded) { Together::Covered(id) } else { Together::Apart }
                }
            });
        }
        Err(StoreDown)
    }

    /// The case as it would be by itself.
    pub(super) async fn admit(
        &self,
        submission: &Submission,
        verdict: &Verdict,
        loaded: &Loaded,
    ) -> Result<NewCase, StoreDown> {
        let expires = loaded.ruleset.expires(verdict);
        if submission.message.len() <= LARGE {
            return Ok(NewCase::admit(submission, verdict, expires));
        }
        let (submission, verdict) = (submission.clone(), verdict.clone());
        tokio::task::spawn_blocking(move || NewCase::admit(&submission, &verdict, expires)).await.map_err(|error| {
            tracing::error!(panicked = error.is_panic(), "A message could not be made a case");
            StoreDown
        })
    }

    /// Its recipients into the case that waits. Nobody is told again but those who were not asked yet.
    async fn join(
        &self,
        case: Case,
        later: &NewCase,
        submission: &Submission,
        verdict: &Verdict,
        loaded: &Loaded,
    ) -> Result<(), CaseError> {
        let id = case.head.id;
        let asked = |case: &Case| {
            let envelope = case.face.as_ref().map(|face| &face.envelope);
            envelope.map_or(Vec::new(), |envelope| readers(loaded, case.head.category, envelope))
        };
        let before = asked(&case);
        let joined = case.joined(later);
        let new: Vec<_> = asked(&joined).into_iter().filter(|reader| !before.contains(reader)).collect();
        let letter = match &joined.face {
            Some(face) if !new.is_empty() => self.notices.alert(&joined.head, face, &new, 0),
            _ => None,
        };
        let outbox = letter.map(|letter| letter.into_alert(id)).into_iter().collect();
        let mut events = self.judged(submission, verdict);
        events.push(self.event(submission, What::Joined { case: id }));
        self.store.join(joined, outbox, events, submission.retry_key, submission.split_key).await?;
        self.count("hold", submission);
        self.outbox.notify_one();
        tracing::info!(submission = %submission.id, case = %id, "held with an earlier transaction of the same message");
        Ok(())
    }

    /// A person has sent this message back: no part of it leaves.
    async fn refuse_too(&self, submission: &Submission, verdict: &Verdict, case: SubmissionId) -> Answer {
        let mut events = self.judged(submission, verdict);
        events.push(self.event(submission, What::Returned));
        if self.store.commit(Entry::new(events).with_split(submission.split_key)).await.is_err() {
            return self.try_later(submission, "the store does not answer");
        }
        self.count("return", submission);
        let text = format!(
            "Not sent: the same message to other recipients was sent back by a reviewer of your organisation.\n\
             Case {case}\nSubmission {}",
            submission.id
        );
        Answer::Refused { text }
    }
}

/// Whether all that holds this transaction was approved with the earlier one: the same rules that wait for an approval, and
/// no group whose manager was not asked. Any other hold was released to the recipients that the reviewer saw.
fn is_covered(case: &Case, submission: &Submission, verdict: &Verdict, loaded: &Loaded) -> bool {
    let Some(face) = &case.face else { return false };
    // Of several grounds one to return it has no category, and nobody approved that.
    let stopping = || {
        let grounds = verdict.grounds.iter();
        grounds.filter(|ground| ground.mode == Mode::Enforce && ground.disposition != Disposition::Relay)
    };
    let approved = |rule| case.head.rules.iter().any(|known| known == rule);
    let asked: Vec<&str> = loaded.ruleset.approval_groups(&face.envelope).map(|group| group.name.as_str()).collect();
    stopping().next().is_some()
        && stopping().all(|ground| ground.category == Some(Category::Approval) && approved(&ground.rule))
        && loaded.ruleset.approval_groups(&submission.envelope).all(|group| asked.contains(&group.name.as_str()))
}
