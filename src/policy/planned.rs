//! Edits as a verdict plans them: each with the rule that wants it and what happens when it cannot be made.

use super::{Category, Disposition, Fallback, Ground, Verdict};
use crate::mail::{
    Edit, Message,
    dkim::Dkim,
    edit::{self, Applied, EditFailure, Instead, Notice, Seal, Skipped, Transport},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// An edit and what happens when it cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedEdit {
    pub edit: Edit,
    pub rule: Arc<str>,
    pub fallback: Fallback,
}

impl From<Fallback> for Instead {
    fn from(fallback: Fallback) -> Self {
        match fallback {
            Fallback::Relay => Instead::Leave,
            Fallback::Return => Instead::Return,
            Fallback::Hold => Instead::Hold,
        }
    }
}

impl PlannedEdit {
    /// What the rule wants instead of adding its notice to a message that is sealed.
    fn instead(&self, failure: &EditFailure) -> Option<Instead> {
        match (&self.edit, failure) {
            (Edit::AppendNotice { notice }, EditFailure::Protected { seal, .. }) => notice.sealed.get(seal).copied(),
            _ => None,
        }
    }

    fn join(&mut self, other: PlannedEdit) {
        let fallbacks = (self.fallback, other.fallback);
        self.fallback = self.fallback.max(other.fallback);
        let (Edit::AppendNotice { notice }, Edit::AppendNotice { notice: other }) = (&mut self.edit, other.edit) else {
            return;
        };
        // A rule that does not name the kind has its fallback there.
        let word =
            |notice: &Notice, seal, fallback| notice.sealed.get(&seal).copied().unwrap_or(Instead::from(fallback));
        let joined: BTreeMap<Seal, Instead> = Seal::ALL
            .into_iter()
            .filter(|seal| notice.sealed.contains_key(seal) || other.sealed.contains_key(seal))
            .map(|seal| (seal, word(notice, seal, fallbacks.0).max(word(&other, seal, fallbacks.1))))
            .collect();
        Arc::make_mut(notice).sealed = joined;
    }

    /// It can be made, by itself: another notice wanted something else.
    fn goes_around(&self, failure: &EditFailure) -> bool {
        self.instead(failure).is_some_and(Instead::adds)
    }

    fn fallback_of(&self, failure: &EditFailure) -> Fallback {
        match self.instead(failure) {
            Some(Instead::Leave) => Fallback::Relay,
            Some(Instead::Hold) => Fallback::Hold,
            Some(Instead::Return) => Fallback::Return,
            _ => self.fallback,
        }
    }
}

/// An edit that could not be made, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmade {
    pub rule: Arc<str>,
    pub fallback: Fallback,
    pub failure: EditFailure,
}

/// The copy that leaves, as far as it could be made.
#[derive(Debug)]
pub struct Made {
    /// None when nothing changes: the message leaves as it came.
    pub applied: Option<Applied>,
    pub unmade: Vec<Unmade>,
    /// Edits that had nothing to do, and why.
    pub skipped: Vec<Skipped>,
    /// Every planned notice stands in the author's text of the copy, added or from before.
    pub notices_stand: bool,
}

impl Made {
    /// None of the edits could be made, for a fault that is ours: each rule's fallback counts.
    pub fn nothing(planned: &[PlannedEdit], what: &'static str) -> Self {
        let unmade = planned.iter().map(|planned| {
            let failure = EditFailure::CheckFailed { kind: planned.edit.kind(), what };
            Unmade { rule: planned.rule.clone(), fallback: planned.fallback, failure }
        });
        Self { applied: None, unmade: unmade.collect(), skipped: Vec::new(), notices_stand: false }
    }

    /// The bytes that leave through our outbox: our trace, and below it the message with its edits, without signatures that
    /// these broke.
    pub fn content(&self, trace: &[u8], message: &Message, dkim: &Dkim) -> Vec<u8> {
        let mut content = trace.to_vec();
        match &self.applied {
            Some(applied) => {
                let left = dkim.strip(message, &applied.edited);
                let edited = left.as_ref().unwrap_or(&applied.edited);
                edited.pieces().iter().for_each(|piece| content.extend_from_slice(piece));
            }
            None => content.extend_from_slice(&message.read(0..message.len())),
        }
        content
    }

    /// The most severe fallback of the edits that could not be made, with its edit.
    pub fn worst(&self) -> Option<&Unmade> {
        self.unmade.iter().max_by_key(|unmade| unmade.fallback)
    }
}

/// The edits of several rules, in the documented order, each once.
pub fn together(mut edits: Vec<PlannedEdit>) -> Vec<PlannedEdit> {
    // By rule too, so that the order of two edits of one kind is fixed; those of one rule stay as they are.
    edits.sort_by(|one, other| (place(&one.edit), &one.rule).cmp(&(place(&other.edit), &other.rule)));
    let mut once: Vec<PlannedEdit> = Vec::with_capacity(edits.len());
    for planned in edits {
        match once.iter_mut().find(|other| is_same(&other.edit, &planned.edit)) {
            // Two rules want the same: the severer fallback counts.
            Some(other) => other.join(planned),
            None => once.push(planned),
        }
    }
    hidden_once(&mut once);
    once
}

/// Whether both do the same to a message that is not sealed.
fn is_same(one: &Edit, other: &Edit) -> bool {
    match (one, other) {
        (Edit::AppendNotice { notice: one }, Edit::AppendNotice { notice: other }) => one.is_same(other),
        _ => one == other,
    }
}

/// Recipients are hidden in one way: by copies before all others, by naming nobody before naming the sender. What the
/// others say of an edit that cannot be made counts on.
fn hidden_once(edits: &mut Vec<PlannedEdit>) {
    let rank = |edit: &Edit| match edit {
        Edit::IndividualCopies => Some(0),
        Edit::HideRecipients => Some(1),
        Edit::ShowOnly { .. } => Some(2),
        _ => None,
    };
    let Some(best) = edits.iter().filter_map(|planned| rank(&planned.edit)).min() else { return };
    let hiding = |planned: &PlannedEdit| rank(&planned.edit).is_some();
    let severest = edits.iter().filter(|planned| hiding(planned)).map(|planned| planned.fallback).max();
    let mut kept = false;
    edits.retain_mut(|planned| match rank(&planned.edit) {
        None => true,
        Some(rank) if rank == best && !kept => {
            kept = true;
            planned.fallback = severest.unwrap_or(planned.fallback);
            true
        }
        Some(_) => false,
    });
}

/// Whether each recipient is to get a copy of their own.
pub fn is_apart(edits: &[PlannedEdit]) -> bool {
    edits.iter().any(|planned| planned.edit == Edit::IndividualCopies)
}

/// The documented order of edits.
fn place(edit: &Edit) -> u8 {
    match edit {
        Edit::TagSubject { .. } => 0,
        Edit::SetHeader { .. } => 1,
        Edit::RemoveHeader { .. } => 2,
        Edit::HideRecipients | Edit::ShowOnly { .. } | Edit::IndividualCopies => 3,
        Edit::AppendNotice { .. } => 4,
    }
}

/// Makes all planned edits that can be made. One that cannot is left out and named; what follows is
/// its fallback's to say.
pub fn make(message: &Message, planned: &[PlannedEdit], transport: Transport) -> Made {
    let mut left: Vec<&PlannedEdit> = planned.iter().collect();
    let mut unmade = Vec::new();
    while !left.is_empty() {
        let edits: Vec<Edit> = left.iter().map(|planned| planned.edit.clone()).collect();
        match edit::apply(message, &edits, transport) {
            Ok(applied) => {
                let notices_stand = applied.notices_stand;
                let skipped = applied.skipped.clone();
                let applied = Some(applied).filter(|applied| !applied.changes.is_empty());
                return Made { applied, unmade, skipped, notices_stand };
            }
            Err(failure) => {
                let before = left.len();
                left.retain(|planned| {
                    let failed = planned.edit.kind() == failure.kind() && !planned.goes_around(&failure);
                    if failed {
                        let (rule, fallback) = (planned.rule.clone(), planned.fallback_of(&failure));
                        unmade.push(Unmade { rule, fallback, failure: failure.clone() });
                    }
                    !failed
                });
                debug_assert!(left.len() < before, "a failure names the kind of one of the edits");
                if left.len() == before {
                    unmade.extend(left.drain(..).map(|planned| Unmade {
                        rule: planned.rule.clone(),
                        fallback: planned.fallback,
                        failure: failure.clone(),
                    }));
                }
            }
        }
    }
    Made { applied: None, unmade, skipped: Vec::new(), notices_stand: false }
}

impl Verdict {
    /// What edits that could not be made change: the rule's fallback, with the reason as the ground's advice.
    pub fn with_fallbacks(mut self, made: &Made) -> Self {
        let Some(worst) = made.worst() else { return self };
        let disposition = match worst.fallback {
            Fallback::Relay => return self,
            // As with any rule that returns: a 550 to a machine, or to nobody, is silent loss.
            Fallback::Return if !self.unanswerable => Disposition::Return,
            Fallback::Return | Fallback::Hold => Disposition::Hold,
        };
        for consignment in &mut self.consignments {
            consignment.disposition = consignment.disposition.max(disposition);
        }
        if let Some(ground) = self.grounds.iter_mut().find(|ground| ground.rule == worst.rule) {
            fall_back(ground, worst, disposition);
            ground.tell_sender = !self.unanswerable;
        }
        self
    }
}

fn fall_back(ground: &mut Ground, worst: &Unmade, disposition: Disposition) {
    ground.disposition = disposition;
    ground.category.get_or_insert(Category::Technical);
    ground.advice = format!("The message could not be changed as the policy asks ({}).", worst.failure).into();
}
