//! Judging: all rules are evaluated, the most severe disposition wins, all edits apply to the copy that leaves.

use super::{
    Almost, Category, Consignment, Directory, Disposition, FactQuery, Facts, Fallback, Ground, Mode, PlannedEdit,
    Route, Verdict,
    action::{Action, By, Replies},
    follow::Addressed,
    planned::together,
    rule::Outcome,
    ruleset::{ActiveRule, Ruleset},
    seen::Seen,
};
use crate::{
    detect::Scan,
    intake::Submission,
    mail::{Address, Certainty, Edit, Envelope, Message, edit::Notice},
};
use std::sync::Arc;

/// A figure this far from its limit (8 visible recipients of 20, say) is worth a word in `almost`.
const NEARLY: f64 = 1.0 / 3.0;

/// The verdict on one submission. Pure: no I/O, no clock; `facts` were looked up before.
pub fn judge(submission: &Submission, scan: &Scan, facts: &Facts, ruleset: &Ruleset) -> Verdict {
    let seen = Seen::new(submission, scan, facts, ruleset.house());
    let mut verdict = Verdict {
        submission: submission.id,
        grounds: Vec::new(),
        almost: Vec::new(),
        consignments: Vec::new(),
        cannot_tell: None,
        unread: seen.unread_parts(),
        unanswerable: seen.is_unanswerable(),
        ruleset: ruleset.digest().clone(),
    };
    let mut edits = Vec::new();
    for active in ruleset.active() {
        let mode = ruleset.mode_of(&active.rule);
        // Its text is still to be given: there is nothing that it could do.
        if active.rule.action.appended_notice().is_some() && active.texts.is_empty() {
            continue;
        }
        match active.rule.weigh(&seen) {
            Outcome::Match => {
                if mode == Mode::Enforce {
                    match planned(active, &seen) {
                        Ok(planned) => edits.extend(planned),
                        Err(why) => verdict.cannot_tell = Some(why),
                    }
                }
                verdict.grounds.push(ground(active, mode, &seen));
            }
            Outcome::CannotTell(why) => match mode {
                Mode::Enforce => verdict.cannot_tell = Some(why),
                Mode::Watch => {
                    let missing = format!("cannot tell: {why}");
                    verdict.almost.push(Almost { rule: active.rule.name.clone(), missing });
                }
            },
            Outcome::NoMatch { missing, first } => verdict.almost.extend(almost(active, missing, first, &seen)),
        }
    }
    verdict.consignments.push(consignment(submission, &verdict.grounds, edits));
    verdict
}

/// What of the past must be looked up before this submission is judged. None: nothing.
pub fn asks(submission: &Submission, scan: &Scan, directory: &Arc<Directory>, ruleset: &Ruleset) -> Option<FactQuery> {
    let once = || ruleset.active().iter().filter(|active| active.rule.action.replies() == Some(Replies::OncePerThread));
    let stopped = ruleset.asks_for_stopped();
    if !ruleset.asks_for_threads() && !stopped && once().next().is_none() {
        return None;
    }
    let facts = Facts { directory: directory.clone(), ..Facts::unknown_past(submission.received_at) };
    let seen = Seen::new(submission, scan, &facts, ruleset.house());
    let notices = once().flat_map(|active| active.notices(&seen)).map(|notice| notice.digest()).collect();
    let addressed = if stopped { Addressed::of(submission) } else { None };
    Some(FactQuery { notices, addressed, ..FactQuery::of(&submission.message) })
}

/// Whether the message is incoming, and so passes untouched: neither sender nor author is ours, every recipient is,
/// and the client is nobody whom we know. A delivery report to our own people counts as incoming whoever wrote it: our own
/// mail server's bounce of a message that we returned quotes what we returned it for, and held it would tell nobody.
pub fn is_incoming(submission: &Submission, ruleset: &Ruleset) -> bool {
    let house = ruleset.house();
    let known = submission.origin.user.as_ref().is_some_and(|user| user.certainty != Certainty::Unverified);
    let Submission { envelope, message, .. } = submission;
    !known
        && !envelope.recipients.is_empty()
        && envelope.recipients.iter().all(|recipient| house.receives(&recipient.address))
        && !envelope.sender.address.as_ref().is_some_and(|sender| house.owns(sender))
        && (is_delivery_report(envelope, message) || !message.mailboxes("From").iter().any(|author| house.owns(author)))
}

/// From the null sender, multipart/report of a delivery status (RFC 3464 2), or another multipart with such a status among its
/// own parts: OpenSMTPD writes multipart/mixed.
fn is_delivery_report(envelope: &Envelope, message: &Message) -> bool {
    let kind = &message.root().content_type;
    let of_status = kind.parameter("report-type").is_some_and(|what| what.eq_ignore_ascii_case("delivery-status"));
    let has_status = || {
        let mut own = message.parts().iter().filter(|part| part.depth == 1 && !part.enclosed);
        own.any(|part| part.content_type.is("message", "delivery-status"))
    };
    envelope.sender.is_null() && (kind.is("multipart", "report") && of_status || has_status())
}

fn ground(active: &ActiveRule, mode: Mode, seen: &Seen<'_>) -> Ground {
    let rule = &active.rule;
    let over = too_many_copies(&rule.action, seen);
    let wanted = over.map_or(rule.action.disposition(), |(_, disposition)| disposition);
    let disposition = match wanted {
        // A 550 to a machine, or to nobody, is silent loss.
        Disposition::Return if seen.is_unanswerable() => Disposition::Hold,
        disposition => disposition,
    };
    let told = match &rule.action {
        Action::Hold { tell_sender, .. } | Action::HoldForApproval { tell_sender, .. } => *tell_sender,
        _ => over.is_some(),
    };
    let desk = rule.action.category().or(over.map(|_| Category::Recipients));
    let category = desk.filter(|_| disposition == Disposition::Hold);
    Ground {
        rule: rule.name.clone(),
        title: rule.title.clone(),
        clauses: active.clauses.clone(),
        mode,
        disposition,
        category,
        advice: match over {
            Some((at_most, Disposition::Hold | Disposition::Return)) => format!(
                "Each recipient would get a copy of their own, and there are more than {at_most}. {}",
                rule.advice
            )
            .into(),
            _ => rule.advice.clone(),
        },
        tell_sender: told && !seen.is_unanswerable(),
        tells_hidden: matches!(rule.action, Action::HideRecipients { notice: Some(_), .. }),
        findings: rule.evidence(seen),
    }
}

/// Whether there are more recipients than get copies of their own; how many copies there may be, and what happens instead.
fn too_many_copies(action: &Action, seen: &Seen<'_>) -> Option<(usize, Disposition)> {
    let Action::HideRecipients { by: By::IndividualCopies { at_most }, fallback, .. } = action else { return None };
    let copies = seen.submission.envelope.recipients.len() + seen.facts.earlier.people;
    let instead = match fallback {
        // They are hidden all the same, in one message.
        Fallback::Relay => Disposition::Relay,
        Fallback::Return => Disposition::Return,
        Fallback::Hold => Disposition::Hold,
    };
    (copies > *at_most).then_some((*at_most, instead))
}

/// The one address that a hidden list shows: the author's, or the sender's where that is not one.
fn own_address(seen: &Seen<'_>) -> Option<Address> {
    match seen.authors() {
        [author] => Some(author.clone()),
        _ => seen.submission.envelope.sender.address.clone(),
    }
}

/// How this message's recipients are hidden.
fn hiding(action: &Action, by: By, seen: &Seen<'_>) -> Edit {
    let goes_together = too_many_copies(action, seen).is_some_and(|(_, instead)| instead == Disposition::Relay);
    match by {
        By::IndividualCopies { .. } if !goes_together => Edit::IndividualCopies,
        By::Bcc { to_sender: true } => {
            own_address(seen).map_or(Edit::HideRecipients, |address| Edit::ShowOnly { address })
        }
        _ => Edit::HideRecipients,
    }
}

/// The edits of one rule, as its action says; or why that cannot be told.
fn planned(active: &ActiveRule, seen: &Seen<'_>) -> Result<Vec<PlannedEdit>, &'static str> {
    let edit = |edit, fallback| PlannedEdit { edit, rule: active.rule.name.clone(), fallback };
    Ok(match &active.rule.action {
        Action::HideRecipients { by, fallback, .. } => {
            vec![edit(hiding(&active.rule.action, *by, seen), *fallback)]
        }
        Action::AppendNotice { fallback, replies, sealed, .. } => {
            let mut notices = due(active, *replies, seen)?;
            if !sealed.is_empty() {
                notices.iter_mut().for_each(|notice| Arc::make_mut(notice).sealed.clone_from(sealed));
            }
            notices.into_iter().map(|notice| edit(Edit::AppendNotice { notice }, *fallback)).collect()
        }
        Action::SetHeader { name, value, fallback } => {
            vec![edit(Edit::SetHeader { name: name.clone(), value: value.clone() }, *fallback)]
        }
        Action::RemoveHeader { names, fallback } => {
            names.iter().map(|name| edit(Edit::RemoveHeader { name: name.clone() }, *fallback)).collect()
        }
        Action::TagSubject { tag, fallback } => vec![edit(Edit::TagSubject { tag: tag.clone() }, *fallback)],
        Action::Hold { .. } | Action::HoldForApproval { .. } | Action::ReturnToSender { .. } => Vec::new(),
    })
}

/// The notices of a rule that this message gets, as far as its thread says.
fn due(active: &ActiveRule, replies: Replies, seen: &Seen<'_>) -> Result<Vec<Arc<Notice>>, &'static str> {
    let message = seen.message();
    if replies == Replies::Never && message.is_reply() && !message.is_forward() {
        return Ok(Vec::new());
    }
    let mut notices = active.notices(seen);
    if replies == Replies::OncePerThread {
        let known = seen.facts.notices_in_thread.as_ref().map_err(|why| *why)?;
        notices.retain(|notice| !known.contains(&notice.digest()));
    }
    Ok(notices)
}

/// All recipients together: judged to one.
fn consignment(submission: &Submission, grounds: &[Ground], edits: Vec<PlannedEdit>) -> Consignment {
    let enforced = grounds.iter().filter(|ground| ground.mode == Mode::Enforce);
    let disposition = enforced.map(|ground| ground.disposition).max().unwrap_or(Disposition::Relay);
    let recipients = (0..submission.envelope.recipients.len()).collect();
    Consignment { recipients, route: Route, disposition, edits: together(edits) }
}

/// Exactly one condition missing. A missing figure counts when the message is a third of the way to it; a rule with one
/// condition alone is otherwise never *almost*.
fn almost(active: &ActiveRule, missing: usize, first: usize, seen: &Seen<'_>) -> Option<Almost> {
    if missing != 1 {
        return None;
    }
    let (_, condition) = active.rule.conditions.get(first)?;
    let near = match condition.share(seen) {
        Some(share) => share >= NEARLY,
        None => active.rule.written_conditions() > 1,
    };
    near.then(|| Almost {
        rule: active.rule.name.clone(),
        missing: format!("{} ({})", condition.wanted(), condition.value(seen)),
    })
}

impl Verdict {
    /// The desk of a held message; of several, the one where waiting harms most.
    pub fn category(&self) -> Option<Category> {
        let holding = self.grounds.iter().filter(|g| g.mode == Mode::Enforce && g.disposition == Disposition::Hold);
        holding.filter_map(|ground| ground.category).min_by_key(|category| urgency(*category))
    }

    /// Whether the sender is told of the hold: every rule that holds it must allow it.
    pub fn tells_sender(&self) -> bool {
        let holding = self.grounds.iter().filter(|g| g.mode == Mode::Enforce && g.disposition == Disposition::Hold);
        let told: Vec<bool> = holding.map(|ground| ground.tell_sender).collect();
        !told.is_empty() && told.into_iter().all(|told| told)
    }
}

/// Of several desks the one where waiting harms most.
fn urgency(category: Category) -> u8 {
    match category {
        Category::Safeguarding => 0,
        Category::PersonalData => 1,
        Category::Language => 2,
        Category::Recipients => 3,
        Category::Technical => 4,
        Category::Approval => 5,
        Category::Confirmation => 6,
    }
}
