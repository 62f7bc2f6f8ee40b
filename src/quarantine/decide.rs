//! A person's decision on a case, and what follows from it.

use super::{Case, CaseError, CaseStore, Decision, Face, HiddenNote, ItemKind, NoticeWriter, OutboxItem, State};
use crate::{
    audit::{Event, What},
    mail::{Message, SubmissionId, dkim::Dkim, edit::Transport},
    policy::planned,
};
use time::OffsetDateTime;

/// Who decides, and when.
#[derive(Clone, Debug)]
pub struct Decider {
    /// An account name or `command line`: no personal data beyond the account's name.
    pub by: String,
    pub at: OffsetDateTime,
    /// The person's reason, already sealed for the book.
    pub sealed_reason: Option<String>,
}

/// Carries a decision out: the case moves on, and what must be sent is in the outbox, in one commit.
/// Refused when the case is not waiting (or, for a release, failed to be delivered), or changed meanwhile.
pub async fn decide<S: CaseStore, N: NoticeWriter>(
    store: &S,
    (notices, dkim): (&N, &Dkim),
    id: SubmissionId,
    decision: Decision,
    decider: Decider,
) -> Result<(), CaseError> {
    let case = store.open(id).await?;
    let (Some(face), true) = (&case.face, may_follow(case.head.state, decision)) else {
        return Err(CaseError::WrongState);
    };
    let (state, outbox) = match decision {
        Decision::Release => (State::Released, release(store, &case, face, (notices, dkim)).await?),
        Decision::Return => (State::Returned, told(notices.returned(&case, face), &case)),
        Decision::Refuse => (State::Refused, told(notices.returned(&case, face), &case)),
    };
    let what = What::Decided { decision: name(decision).into(), by: decider.by, note: decider.sealed_reason };
    let event = Event { at: decider.at, submission: Some(id), what };
    store.transition(id, case.head.epoch, state, outbox, vec![event]).await
}

fn may_follow(state: State, decision: Decision) -> bool {
    match state {
        State::Waiting => true,
        State::DeliveryFailed => matches!(decision, Decision::Release | Decision::Return),
        _ => false,
    }
}

fn name(decision: Decision) -> &'static str {
    match decision {
        Decision::Release => "release",
        Decision::Return => "return",
        Decision::Refuse => "refuse",
    }
}

/// The copy that leaves: all edits that were waiting with the case, below our Received header. An edit that
/// cannot be made does not stop a person's release.
async fn release<S: CaseStore, N: NoticeWriter>(
    store: &S,
    case: &Case,
    face: &Face,
    (notices, dkim): (&N, &Dkim),
) -> Result<Vec<OutboxItem>, CaseError> {
    let message = Message::parse(store.message(case.head.id).await?);
    let transport = Transport { smtputf8: face.envelope.sender.smtputf8(), ..Transport::default() };
    let made = planned::make(&message, &face.edits, transport);
    let content = made.content(face.trace.expose().as_bytes(), &message, dkim);
    let mut envelope = face.envelope.clone();
    if case.head.state == State::DeliveryFailed && !face.undelivered.is_empty() {
        // The others have it, or it is still on its way to them.
        envelope.recipients.clone_from(&face.undelivered);
    }
    let kind = if planned::is_apart(&face.edits) { ItemKind::Copies } else { ItemKind::Release };
    let item = OutboxItem { id: SubmissionId::fresh(), case: case.head.id, kind, envelope, content };
    let hides = kind == ItemKind::Copies || made.applied.is_some_and(|applied| applied.hides_recipients());
    // Once: what failed and is released again was told of the first time.
    let note = if hides && case.head.state == State::Waiting { hidden_note(case, face, &message) } else { None };
    let letter = note.and_then(|note| notices.hidden(&[note]));
    Ok(std::iter::once(item).chain(told(letter, case)).collect())
}

/// What the sender is told of recipients that a release hides.
fn hidden_note(case: &Case, face: &Face, message: &Message) -> Option<HiddenNote> {
    let ground = face.grounds.iter().find(|ground| ground.tells_hidden)?;
    Some(HiddenNote {
        submission: case.head.id,
        sender: face.envelope.sender.address.clone()?,
        subject: face.subject.clone(),
        message_id: face.message_id.clone(),
        shown: message.shown_recipients().len(),
        apart: planned::is_apart(&face.edits),
        title: ground.title.clone(),
        clauses: ground.clauses.clone(),
        advice: ground.advice.clone(),
    })
}

fn told(notice: Option<super::Letter>, case: &Case) -> Vec<OutboxItem> {
    notice.map(|letter| letter.into_item(case.head.id)).into_iter().collect()
}
