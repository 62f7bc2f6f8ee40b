//! Tells the reviewers of a category that something waits: at once, and joined when much comes in one minute. And those for
//! technical matters that an edit of ours did not stand its proof.

use super::Gateway;
use crate::{
    config::Loaded,
    intake::Submission,
    mail::{Address, Envelope, ReversePath, SubmissionId, edit::EditFailure},
    policy::{Category, planned::Made},
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// At most one letter to a desk in this time.
const QUIET: Duration = Duration::from_secs(60);

/// And about edits that did not stand their proof, which is a fault of ours.
const QUIET_OF_EDITS: Duration = Duration::from_secs(60 * 60);

/// When each desk was last written to, and how many cases came in since.
#[derive(Default)]
pub struct Alerts {
    desks: Mutex<HashMap<Category, Desk>>,
    unproven: Mutex<Option<Instant>>,
}

struct Desk {
    told: Instant,
    untold: u32,
}

impl Alerts {
    /// Whether a case for this desk is told now, and how many before it were not.
    pub fn admit(&self, category: Category) -> Option<u32> {
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        match desks.get_mut(&category) {
            Some(desk) if desk.told.elapsed() < QUIET => {
                desk.untold += 1;
                None
            }
            _ => {
                let before = desks.insert(category, Desk { told: Instant::now(), untold: 0 });
                Some(before.map_or(0, |desk| desk.untold))
            }
        }
    }

    /// Whether a letter about an edit goes out now.
    fn admit_unproven(&self) -> bool {
        let mut told = self.unproven.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = told.is_none_or(|told| told.elapsed() >= QUIET_OF_EDITS);
        *told = if admitted { Some(Instant::now()) } else { *told };
        admitted
    }

    /// Desks that have untold cases and were left quiet long enough, with how many.
    pub fn due(&self) -> Vec<(Category, u32)> {
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        let due = desks.iter_mut().filter(|(_, desk)| desk.untold > 0 && desk.told.elapsed() >= QUIET);
        due.map(|(category, desk)| {
            desk.told = Instant::now();
            (*category, std::mem::take(&mut desk.untold))
        })
        .collect()
    }
}

impl Gateway {
    /// Counts the edits that could not be made; the rule's fallback has its way. One whose proof failed is a fault of ours.
    pub(super) async fn note_unmade(&self, submission: &Submission, made: &Made, loaded: &Loaded) {
        for unmade in &made.unmade {
            metrics::counter!("outgate_edits_unmade_total", "kind" => unmade.failure.kind()).increment(1);
        }
        let unproven = |failure: &EditFailure| matches!(failure, EditFailure::CheckFailed { .. });
        let Some(unmade) = made.unmade.iter().find(|unmade| unproven(&unmade.failure)) else { return };
        let (rule, failure) = (&unmade.rule, &unmade.failure);
        tracing::error!(submission = %submission.id, %rule, %failure, "An edit did not stand its proof and was not made");
        if !self.alerts.admit_unproven() {
            return;
        }
        let nobody = Envelope { sender: ReversePath::default(), recipients: Vec::new() };
        let readers = readers(loaded, Category::Technical, &nobody);
        let letter = self.notices.unproven(submission.id, rule, &failure.to_string(), &readers);
        let items = letter.map(|letter| letter.into_alert(SubmissionId::fresh())).into_iter().collect();
        // The log has it; a store that is down says so by itself.
        let _ = self.store.enqueue(items, Vec::new()).await;
        self.outbox.notify_one();
    }
}

/// Who reads held mail of a category: the addresses of its roles, and for an approval the manager and the deputies of
/// each group that is written to.
pub fn readers(loaded: &Loaded, category: Category, envelope: &Envelope) -> Vec<Address> {
    let roles = loaded.ruleset.reviewers(category);
    let configured = roles.iter().filter_map(|role| loaded.settings.reviewers.get(*role)).flatten();
    let mut readers: Vec<Address> = configured.cloned().collect();
    if category == Category::Approval {
        for group in loaded.ruleset.approval_groups(envelope) {
            readers.extend(group.manager.iter().chain(&group.deputies).cloned());
        }
    }
    readers.sort();
    readers.dedup();
    readers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_letter_an_hour_about_edits() {
        let alerts = Alerts::default();
        assert!(alerts.admit_unproven() && !alerts.admit_unproven());
        tokio::time::advance(QUIET_OF_EDITS).await;
        assert!(alerts.admit_unproven() && !alerts.admit_unproven());
    }

    #[tokio::test(start_paused = true)]
    async fn one_letter_a_minute_names_the_rest() {
        let alerts = Alerts::default();
        assert_eq!(alerts.admit(Category::Language), Some(0));
        assert_eq!(alerts.admit(Category::PersonalData), Some(0), "each desk for itself");
        assert_eq!(alerts.admit(Category::Language), None);
        assert_eq!(alerts.admit(Category::Language), None);
        assert_eq!(alerts.due(), []);
        tokio::time::advance(QUIET).await;
        assert_eq!(alerts.due(), [(Category::Language, 2)]);
        assert_eq!(alerts.due(), []);
        assert_eq!(alerts.admit(Category::Language), None, "the joined letter was one too");
        tokio::time::advance(QUIET).await;
        assert_eq!(alerts.admit(Category::Language), Some(1));
    }
}
