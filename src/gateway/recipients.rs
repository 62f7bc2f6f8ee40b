//! Messages whose recipients are hidden from each other: in one message, of which the sender is told, or in copies that the
//! outbox sends one by one. Neither the next hop nor a mail server before us could make those: we take the message over.

use super::{Gateway, carry::TOLD_AN_HOUR};
use crate::{
    audit::What,
    config::Loaded,
    intake::{Answer, Submission},
    mail::{Envelope, ForwardPath, SubmissionId},
    policy::{
        Addressed, Mode, PlannedEdit, Verdict,
        planned::{self, Made},
    },
    quarantine::{HiddenNote, ItemKind, NoticeWriter, OutboxItem, Telling},
};
use std::collections::HashSet;
use time::Duration;

impl Gateway {
    /// Whether each recipient is to get a copy, and it could be made.
    pub(super) fn goes_apart(verdict: &Verdict, made: &Made) -> bool {
        let apart = |edits: &[PlannedEdit]| planned::is_apart(edits);
        verdict.consignments.iter().any(|consignment| apart(&consignment.edits))
            && made.unmade.iter().all(|unmade| unmade.failure.kind() != "hide-recipients")
    }

    /// Into the outbox, durable before the client hears 250.
    pub(super) async fn send_apart(
        &self,
        submission: Submission,
        verdict: Verdict,
        made: Made,
        also: Option<What>,
        loaded: &Loaded,
    ) -> Answer {
        // The copy and its sealed form, each as large as the message at worst.
        let Some(_room) = self.memory.reserve(3 * submission.message.len() as u64) else {
            return self.try_later(&submission, "no memory to seal it");
        };
        let mut events = self.judged(&submission, &verdict);
        events.extend(also.map(|what| self.event(&submission, what)));
        let edits = made
            .applied
            .as_ref()
            .map_or(Vec::new(), |applied| applied.changes.iter().map(|change| change.kind.to_string()).collect());
        let envelope = each_once(&submission.envelope);
        let copies = u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX);
        events.push(self.event(&submission, What::SentApart { copies, edits }));
        let telling = self.telling(&submission, &verdict, true).await;
        let (message, trace, dkim) =
            (submission.message.clone(), submission.trace.clone(), loaded.settings.dkim.clone());
        let content = tokio::task::spawn_blocking(move || made.content(&trace, &message, &dkim)).await;
        let Ok(content) = content else { return self.try_later(&submission, "the copy could not be made") };
        let id = SubmissionId::fresh();
        let item = OutboxItem { id, case: submission.id, kind: ItemKind::Copies, envelope, content };
        let (retry, split, list) = (submission.retry_key, submission.split_key, Addressed::of(&submission));
        if self.store.send_apart(item, telling, events, retry, split, list).await.is_err() {
            return self.try_later(&submission, "the store does not answer");
        }
        self.count("relay", &submission);
        self.outbox.notify_one();
        tracing::info!(submission = %submission.id, copies, "goes out in individual copies");
        Answer::Taken { case: submission.id }
    }

    /// What the sender is told of recipients that were hidden, when the rule says that they are told.
    pub(super) async fn telling(&self, submission: &Submission, verdict: &Verdict, apart: bool) -> Option<Telling> {
        let mut grounds = verdict.grounds.iter().filter(|ground| ground.mode == Mode::Enforce);
        let ground = grounds.find(|ground| ground.tells_hidden)?;
        if let Some(addressed) = Addressed::of(submission)
            && self.store.was_hidden(&addressed).await
        {
            return None;
        }
        let header = |name: &str| submission.message.header(name).unwrap_or_default().into();
        let note = HiddenNote {
            submission: submission.id,
            sender: submission.envelope.sender.address.clone()?,
            subject: header("Subject"),
            message_id: header("Message-ID"),
            shown: submission.message.shown_recipients().len(),
            apart,
            title: ground.title.to_string(),
            clauses: ground.clauses.iter().map(|clause| (clause.id.to_string(), clause.text.to_string())).collect(),
            advice: ground.advice.to_string(),
        };
        let letter = self.notices.hidden(std::slice::from_ref(&note))?;
        let since = submission.received_at - Duration::hours(1);
        let told = self.store.holds_told(self.store.address_hash(&note.sender), since).await;
        Some(match told {
            Ok(told) if told < TOLD_AN_HOUR => Telling::Now(letter.into_item(submission.id)),
            _ => Telling::Later(note),
        })
    }
}

fn each_once(envelope: &Envelope) -> Envelope {
    let mut seen = HashSet::new();
    let recipients = envelope.recipients.iter().filter(|recipient| seen.insert(recipient.address.folded()));
    let recipients: Vec<ForwardPath> = recipients.cloned().collect();
    Envelope { sender: envelope.sender.clone(), recipients }
}
