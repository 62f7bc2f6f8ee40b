//! From a held submission and its verdict to a case.

use super::{CaseHead, Face, FacedGround, NewCase, State};
use crate::{
    intake::Submission,
    policy::{Addressed, Category, Disposition, Ground, Mode, Verdict},
    sensitive::Sensitive,
};
use std::time::Duration;

/// Evidence lines kept for one ground: enough to understand it, bounded for a message of ten thousand findings.
const EVIDENCE: usize = 20;

impl NewCase {
    /// The case of a submission that the verdict holds. It has the submission's number, and expires when nobody
    /// decided within `expires`.
    pub fn admit(submission: &Submission, verdict: &Verdict, expires: Duration) -> Self {
        let message = &submission.message;
        let head = CaseHead {
            id: submission.id,
            state: State::Waiting,
            category: category(verdict),
            rules: holding(verdict).map(|ground| ground.rule.clone()).collect(),
            bytes: message.len() as u64,
            received: submission.received_at,
            expires: submission.received_at + expires,
            epoch: 1,
        };
        let header = |name: &str| message.header(name).unwrap_or_default().into();
        let face = Face {
            envelope: submission.envelope.clone(),
            author: header("From"),
            subject: header("Subject"),
            message_id: header("Message-ID"),
            user: submission.origin.user.as_ref().map(|user| user.name.clone()),
            grounds: verdict.grounds.iter().filter(|ground| ground.mode == Mode::Enforce).map(faced).collect(),
            edits: verdict.consignments.iter().flat_map(|consignment| consignment.edits.iter().cloned()).collect(),
            trace: String::from_utf8_lossy(&submission.trace).into_owned().into(),
            automatic: submission.envelope.sender.is_null() || message.is_automatic(),
            tell_sender: holding(verdict).all(|ground| ground.tell_sender),
            undelivered: Vec::new(),
            content: Some(Sensitive::new(message.content_digest())),
        };
        let (split, addressed) = (submission.split_key, Addressed::of(submission));
        Self { head, face, message: message.read(0..message.len()).into_owned(), tell_later: false, split, addressed }
    }
}

/// The grounds that hold.
fn holding(verdict: &Verdict) -> impl Iterator<Item = &Ground> {
    verdict.grounds.iter().filter(|ground| ground.mode == Mode::Enforce && ground.disposition == Disposition::Hold)
}

/// The desk that a case lies on when several rules hold.
fn category(verdict: &Verdict) -> Category {
    holding(verdict).filter_map(|ground| ground.category).reduce(first).unwrap_or(Category::Technical)
}

/// Of two desks the one whose delay would harm most.
pub(super) fn first(one: Category, other: Category) -> Category {
    const FIRST: [Category; 7] = [
        Category::Safeguarding,
        Category::PersonalData,
        Category::Language,
        Category::Recipients,
        Category::Approval,
        Category::Confirmation,
        Category::Technical,
    ];
    let rank = |category: &Category| FIRST.iter().position(|first| first == category);
    if rank(&other) < rank(&one) { other } else { one }
}

fn faced(ground: &Ground) -> FacedGround {
    let evidence = ground.findings.iter().take(EVIDENCE);
    FacedGround {
        rule: ground.rule.to_string(),
        title: ground.title.to_string(),
        clauses: ground.clauses.iter().map(|clause| (clause.id.to_string(), clause.text.to_string())).collect(),
        disposition: ground.disposition,
        advice: ground.advice.to_string(),
        tells_hidden: ground.tells_hidden,
        evidence: evidence
            .map(|finding| (finding.detector.to_string(), finding.part.to_string(), finding.excerpt.clone().into()))
            .collect(),
    }
}
