//! A test message of `outgate doctor`: it walked the whole way and ends here. What would have become of it is in the book.

use super::Gateway;
use crate::{
    audit::{Book, Event, What},
    intake::{Answer, Submission},
    mail::SubmissionId,
    policy::{Mode, Verdict, planned::Made},
};
use std::sync::Arc;
use time::OffsetDateTime;

impl Gateway {
    /// Not judged: it is incoming. Taken, so that the server before us is done with it, and never sent on.
    pub(super) async fn tried(
        &self,
        submission: &Submission,
        trial: SubmissionId,
        judged: Option<(&Verdict, &Made)>,
    ) -> Answer {
        let rules = |wanted: Mode| -> Vec<Arc<str>> {
            let grounds = judged.iter().flat_map(|(verdict, _)| &verdict.grounds);
            grounds.filter(|ground| ground.mode == wanted).map(|ground| ground.rule.clone()).collect()
        };
        let changes = judged.iter().flat_map(|(_, made)| &made.applied).flat_map(|applied| &applied.changes);
        let outcome = match judged {
            Some((Verdict { cannot_tell: Some(_), .. }, _)) => "try-later",
            Some((verdict, _)) => verdict.disposition().as_str(),
            None => "relay",
        };
        let what = What::Tried {
            trial,
            door: submission.origin.door,
            incoming: judged.is_none(),
            outcome: outcome.into(),
            edits: changes.map(|change| change.kind.to_string()).collect(),
            rules: rules(Mode::Enforce),
            watched: rules(Mode::Watch),
        };
        let event = Event { at: OffsetDateTime::now_utc(), submission: Some(submission.id), what };
        if self.store.append(vec![event]).await.is_err() {
            return self.try_later(submission, "the store does not answer");
        }
        tracing::info!(submission = %submission.id, "a test message of the doctor came and was not sent on");
        Answer::Taken { case: trial }
    }
}
