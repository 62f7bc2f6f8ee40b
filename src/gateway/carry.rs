//! Carrying a verdict out, in the order that loses nothing (DESIGN, the walk, 5): what policy demands is durable
//! before the dot goes upstream; what happened is durable before the client hears of it.

use super::{Gateway, alert::readers};
use crate::{
    audit::{Book, Event, What},
    config::Loaded,
    delivery::{
        late::Late,
        relay::{Outgoing, RelayTransaction, Sent},
    },
    intake::{Answer, Onward, RetryBook, RetryKey, SplitKey, Submission},
    mail::{
        Address, Door, ForwardPath, SubmissionId,
        edit::{Applied, Edited, NoticeDigest},
        wire::Reply,
    },
    policy::{Addressed, Disposition, FactQuery, Mode, Verdict, planned::Made},
    quarantine::{Case, CaseError, CaseStore, Letter, NewCase, NoticeWriter, Telling},
    store::Entry,
};
use std::{collections::HashSet, sync::Arc};
use time::OffsetDateTime;
use tokio::time::Instant;

/// Notices of holds to one sender in an hour; what is above it housekeeping joins into one.
pub(super) const TOLD_AN_HOUR: u64 = 5;

/// A message as it is to leave.
struct Leaving {
    /// Our trace and signatures.
    top: Arc<[u8]>,
    applied: Option<Applied>,
    /// Notices that its thread need not have again.
    noticed: Vec<NoticeDigest>,
    hidden: Option<Hidden>,
}

/// Of recipients that were hidden: what the sender is told, and to whom the message was addressed.
type Hidden = (Option<Telling>, Option<Addressed>);

/// What mail counts as that was neither judged nor changed.
const PASSED: &str = "passed";

impl Gateway {
    /// A retry of what was answered before, while that answer may not have been heard.
    pub(super) async fn answered_before(&self, submission: &Submission, answer_by: Instant) -> Option<Answer> {
        match self.late.answer(submission.retry_key, answer_by).await {
            Some(Late::Answered(reply)) => {
                // Its durable record answers this hand-in too, and no other: the same message sent again on purpose
                // must arrive again.
                if reply.is_positive() {
                    let _ = self.store.answer(submission.retry_key).await;
                }
                return Some(Answer::Relayed(reply));
            }
            Some(_) => return Some(Answer::TryLater),
            None => {}
        }
        match self.store.answer(submission.retry_key).await {
            Ok(None) => None,
            Ok(Some(reply)) => {
                tracing::info!(submission = %submission.id, "a retry was answered from its record");
                Some(Answer::Relayed(reply))
            }
            Err(_) => Some(self.try_later(submission, "the store does not answer")),
        }
    }

    /// Whether this is mail of ours that comes back to our door: it carries a valid pass, which names a case and is good
    /// for these bytes. A release goes to nobody whom the case does not name; a letter about it (null sender) to our own
    /// people, the case's sender and the reviewers.
    pub(super) async fn judged_before(&self, submission: &Submission, loaded: &Loaded) -> bool {
        let Some(case) = submission.passed else { return false };
        let face = match self.store.open(case).await {
            Ok(Case { face: Some(face), .. }) => face,
            // An individual copy has no case. Its own To, which the pass vouches for, says whose it is.
            Err(CaseError::Unknown) => return is_addressed(submission),
            _ => return false,
        };
        let mut named: HashSet<String> = face.envelope.recipients.iter().map(|path| path.address.folded()).collect();
        let is_letter = submission.envelope.sender.is_null();
        if is_letter {
            let readers = loaded.settings.reviewers.values().flatten();
            named.extend(readers.chain(&face.envelope.sender.address).map(Address::folded));
        }
        submission.envelope.recipients.iter().map(|path| &path.address).all(|recipient| {
            named.contains(&recipient.folded()) || (is_letter && loaded.ruleset.house().receives(recipient))
        })
    }

    /// Incoming mail and our own injected mail: not judged, not changed, counted.
    pub(super) async fn pass(
        &self,
        submission: Submission,
        onward: Onward<RelayTransaction>,
        answer_by: Instant,
    ) -> Answer {
        let events = vec![self.received(&submission, true)];
        let top = match &onward {
            Onward::Hop(_) => submission.trace.clone(),
            Onward::Server(_) => Arc::from([]),
        };
        let leaving = Leaving { top, applied: None, noticed: Vec::new(), hidden: None };
        self.send(submission, onward, leaving, (events, PASSED), answer_by).await
    }

    /// While a bypass is on: as it came, with our signature where the next hop expects one.
    pub(super) async fn pass_unjudged(
        &self,
        submission: Submission,
        onward: Onward<RelayTransaction>,
        loaded: &Loaded,
        answer_by: Instant,
    ) -> Answer {
        let events = vec![self.received(&submission, false), self.event(&submission, What::Bypassed)];
        let Ok((_, fields)) = self.scanners.sign(&loaded.settings.dkim, &submission, None).await else {
            return self.try_later(&submission, "no thread for the signature became free in time");
        };
        let top = [&submission.trace[..], &fields].concat().into();
        let leaving = Leaving { top, applied: None, noticed: Vec::new(), hidden: None };
        self.send(submission, onward, leaving, (events, "bypassed"), answer_by).await
    }

    /// Relays, edited or as it came.
    pub(super) async fn relay(
        &self,
        submission: Submission,
        onward: Onward<RelayTransaction>,
        verdict: Verdict,
        made: Made,
        also: Option<What>,
        answer_by: Instant,
    ) -> Answer {
        let loaded = self.loaded.load_full();
        if Self::goes_apart(&verdict, &made) {
            return self.send_apart(submission, verdict, made, also, &loaded).await;
        }
        let mut events = self.judged(&submission, &verdict);
        events.extend(also.map(|what| self.event(&submission, what)));
        if rests_on_findings(&verdict) {
            // The book entry is durable before the dot goes upstream.
            if self.store.append(std::mem::take(&mut events)).await.is_err() {
                return self.try_later(&submission, "the store does not answer");
            }
        }
        let planned = verdict.consignments.iter().flat_map(|consignment| &consignment.edits);
        let noticed = if made.notices_stand { loaded.ruleset.once_per_thread(planned) } else { Vec::new() };
        let applied = made.applied;
        let hidden = match applied.as_ref().is_some_and(Applied::hides_recipients) {
            true => Some((self.telling(&submission, &verdict, false).await, Addressed::of(&submission))),
            false => None,
        };
        let edited = applied.as_ref().map(|applied| applied.edited.clone());
        let Ok((edited, fields)) = self.scanners.sign(&loaded.settings.dkim, &submission, edited).await else {
            return self.try_later(&submission, "no thread for the signature became free in time");
        };
        let applied = applied.zip(edited).map(|(applied, edited)| Applied { edited, ..applied });
        let top = [&submission.trace[..], &fields].concat().into();
        self.send(submission, onward, Leaving { top, applied, noticed, hidden }, (events, "relay"), answer_by).await
    }

    /// The message on its way, with its edits if there are any.
    async fn send(
        &self,
        submission: Submission,
        onward: Onward<RelayTransaction>,
        leaving: Leaving,
        (events, counted): (Vec<Event>, &'static str),
        answer_by: Instant,
    ) -> Answer {
        let Leaving { top, applied, noticed, hidden } = leaving;
        let kinds = |applied: &Applied| applied.changes.iter().map(|change| change.kind.to_string()).collect();
        let edits: Vec<String> = applied.as_ref().map_or(Vec::new(), kinds);
        // Who sees whom is remembered of a message that left with its recipients as they stand.
        let seen = FactQuery { notices: noticed, ..self.seen_in(&submission, counted == PASSED) };
        let shows = !applied.as_ref().is_some_and(Applied::hides_recipients);
        let (id, key, split) = (submission.id, submission.retry_key, submission.split_key);
        let door = submission.origin.door;
        let handed = HandedOn { id, key, split, door, counted, events, edits, seen, shows, hidden };
        match onward {
            Onward::Hop(upstream) => {
                let edited = applied.map(|applied| applied.edited);
                self.hand_on(submission, upstream, (top, edited), handed, answer_by).await
            }
            Onward::Server(_) => self.pass_on(submission, (top, applied), handed).await,
        }
    }

    /// The message's own id, its thread and those who see each other in it. Of a message of ours only those to whom it goes,
    /// and our own people, whom it may reach another way: whoever names others in To does not make them part of a thread.
    fn seen_in(&self, submission: &Submission, incoming: bool) -> FactQuery {
        let mut seen = FactQuery::of(&submission.message);
        if !incoming {
            let loaded = self.loaded.load();
            let house = loaded.ruleset.house();
            let paths = submission.envelope.recipients.iter().map(|recipient| &recipient.address);
            let goes_to: HashSet<String> =
                paths.chain(&submission.envelope.sender.address).map(Address::folded).collect();
            seen.visible.retain(|person| {
                goes_to.contains(person) || Address::parse(person).is_ok_and(|address| house.owns(&address))
            });
        }
        seen
    }

    /// The outbox has a letter to the sender.
    fn wake_for(&self, tells: bool) {
        if tells {
            self.outbox.notify_one();
        }
    }

    /// The record, then the server in front carries it on. It has not sent anything yet: without a record it tries again.
    async fn pass_on(
        &self,
        submission: Submission,
        (top, applied): (Arc<[u8]>, Option<Applied>),
        handed: HandedOn,
    ) -> Answer {
        let tells = handed.hidden.is_some();
        match self.store.commit(handed.unanswered()).await {
            Ok(()) => {
                self.wake_for(tells);
                Answer::PassOn { top, applied }
            }
            Err(_) => self.try_later(&submission, "the store does not answer"),
        }
    }

    /// To the next hop; then the record; then the answer.
    async fn hand_on(
        &self,
        submission: Submission,
        upstream: RelayTransaction,
        (top, edited): (Arc<[u8]>, Option<Edited>),
        handed: HandedOn,
        answer_by: Instant,
    ) -> Answer {
        let outgoing = match edited {
            Some(edited) => Outgoing::edited(top, edited),
            None => Outgoing::untouched(top, submission.message.clone()),
        };
        match upstream.send(outgoing, answer_by).await {
            Sent::Replied(reply) | Sent::NotSent(reply) | Sent::Unknown(reply) => {
                let tells = handed.hidden.is_some();
                if self.store.commit(handed.entry(&reply)).await.is_err() && reply.is_positive() {
                    // The hop has it, so the answer is still 250; the store has gone unready and alarms.
                    tracing::error!(submission = %submission.id, "Handed on, but the record could not be written");
                }
                self.wake_for(tells);
                Answer::Relayed(reply)
            }
            Sent::Late(answer) => {
                tracing::warn!(submission = %submission.id, "The next hop was late; its answer is kept for the retry");
                let tell = self.late.expect(submission.retry_key);
                let store = self.store.clone();
                tokio::spawn(async move {
                    let late = match answer.await {
                        Ok(Some(reply)) => {
                            // A failed commit is the store's alarm; the retry is still answered from here.
                            let _ = store.commit(handed.entry(&reply).late()).await;
                            Late::Answered(reply)
                        }
                        _ => Late::Lost,
                    };
                    tell.send_replace(late);
                });
                Answer::TryLater
            }
        }
    }

    /// Not accepted: the client tells the sender.
    pub(super) async fn give_back(&self, submission: &Submission, verdict: &Verdict) -> Answer {
        let mut events = self.judged(submission, verdict);
        events.push(self.event(submission, What::Returned));
        if self.store.commit(Entry::new(events).with_split(submission.split_key)).await.is_err() {
            return self.try_later(submission, "the store does not answer");
        }
        self.count("return", submission);
        Answer::Refused { text: refusal(submission, verdict) }
    }

    /// Durable before the client hears 250.
    pub(super) async fn hold(&self, submission: Submission, verdict: Verdict, loaded: &Loaded) -> Answer {
        // Compressed and sealed, each as large as the message at worst.
        let Some(_room) = self.memory.reserve(2 * submission.message.len() as u64) else {
            return self.try_later(&submission, "no memory to seal it");
        };
        let mut events = self.judged(&submission, &verdict);
        let Ok(mut case) = self.admit(&submission, &verdict, loaded).await else {
            return self.try_later(&submission, "the store does not answer");
        };
        events.push(self.event(&submission, What::Held { category: case.head.category }));
        let letter = self.notices.held(&case.head, &case.face);
        case.tell_later = letter.is_some() && self.told_enough(&submission).await;
        let letter = letter.filter(|_| !case.tell_later).map(|letter| letter.into_item(submission.id));
        let alert = self.alert(&case, loaded).map(|letter| letter.into_alert(submission.id));
        let outbox = letter.into_iter().chain(alert).collect();
        if self.store.hold(case, outbox, events, submission.retry_key).await.is_err() {
            return self.try_later(&submission, "the store does not answer");
        }
        self.count("hold", &submission);
        self.outbox.notify_one();
        tracing::info!(submission = %submission.id, "held");
        Answer::Taken { case: submission.id }
    }

    /// Whether the sender has heard of holds often enough within the hour. A store that cannot say so will not take
    /// the hold either.
    async fn told_enough(&self, submission: &Submission) -> bool {
        let Some(sender) = &submission.envelope.sender.address else { return false };
        let since = submission.received_at - time::Duration::hours(1);
        let told = self.store.holds_told(self.store.address_hash(sender), since).await;
        told.is_ok_and(|told| told >= TOLD_AN_HOUR)
    }

    /// The letter to those who decide, unless they were written to just now: then housekeeping joins the rest.
    fn alert(&self, case: &NewCase, loaded: &Loaded) -> Option<Letter> {
        let readers = readers(loaded, case.head.category, &case.face.envelope);
        if readers.is_empty() {
            return None;
        }
        let untold = self.alerts.admit(case.head.category)?;
        self.notices.alert(&case.head, &case.face, &readers, untold)
    }

    pub(super) async fn cannot_tell(&self, submission: &Submission, reason: &'static str) -> Answer {
        let event = self.event(submission, What::TryLater { reason: reason.into() });
        // Best effort: the answer is 451 whether or not the book can say so.
        let _ = self.store.append(vec![self.received(submission, false), event]).await;
        self.try_later(submission, reason)
    }

    pub(super) fn try_later(&self, submission: &Submission, reason: &'static str) -> Answer {
        tracing::warn!(submission = %submission.id, reason, "answered 451");
        self.count("try-later", submission);
        Answer::TryLater
    }

    pub(super) fn judged(&self, submission: &Submission, verdict: &Verdict) -> Vec<Event> {
        let rules = |mode: Mode| {
            let of_mode = verdict.grounds.iter().filter(move |ground| ground.mode == mode);
            of_mode.map(|ground| ground.rule.clone()).collect::<Vec<Arc<str>>>()
        };
        let judged = What::Judged {
            disposition: verdict.disposition(),
            rules: rules(Mode::Enforce),
            watched: rules(Mode::Watch),
            ruleset: verdict.ruleset.clone(),
            unread: verdict.unread,
        };
        vec![self.received(submission, false), self.event(submission, judged)]
    }

    fn received(&self, submission: &Submission, incoming: bool) -> Event {
        let what = What::Received {
            door: submission.origin.door,
            bytes: submission.message.len() as u64,
            recipients: u32::try_from(submission.envelope.recipients.len()).unwrap_or(u32::MAX),
            sender: submission
                .envelope
                .sender
                .address
                .as_ref()
                .map_or_else(String::new, |sender| self.store.address_hash(sender).to_string()),
            incoming,
        };
        Event { at: submission.received_at, submission: Some(submission.id), what }
    }

    pub(super) fn event(&self, submission: &Submission, what: What) -> Event {
        Event { at: OffsetDateTime::now_utc(), submission: Some(submission.id), what }
    }

    pub(super) fn count(&self, disposition: &'static str, submission: &Submission) {
        count(disposition, submission.origin.door);
    }
}

fn count(disposition: &'static str, door: Door) {
    metrics::counter!("outgate_messages_total", "disposition" => disposition, "door" => door.as_str()).increment(1);
}

/// Whether To names everybody to whom the message goes.
fn is_addressed(submission: &Submission) -> bool {
    let named = submission.message.mailboxes("To");
    let goes_to = |recipient: &ForwardPath| named.iter().any(|named| named.folded() == recipient.address.folded());
    submission.envelope.recipients.iter().all(goes_to)
}

/// What is written down once the next hop has answered.
struct HandedOn {
    id: SubmissionId,
    key: RetryKey,
    split: Option<SplitKey>,
    door: Door,
    /// What the message counts as, once: a next hop that puts it off has it come again.
    counted: &'static str,
    events: Vec<Event>,
    edits: Vec<String>,
    seen: FactQuery,
    /// It left with its recipients as they stand, so that they see each other.
    shows: bool,
    hidden: Option<Hidden>,
}

impl HandedOn {
    fn entry(self, reply: &Reply) -> Entry {
        count(if reply.is_transient() { "try-later" } else { self.counted }, self.door);
        let what = What::HandedOn { code: reply.code(), edits: self.edits };
        let entry = written(self.id, self.events, what).with_split(self.split);
        if !reply.is_positive() {
            return entry;
        }
        let entry = entry.with_retry(self.key, reply.clone());
        remembered(told(entry, self.id, self.hidden), self.seen, self.shows)
    }

    /// For a message that the server in front carries on: nobody tells us what becomes of it, so there is no answer that a
    /// retry could get.
    fn unanswered(self) -> Entry {
        count(self.counted, self.door);
        let entry = written(self.id, self.events, What::PassedOn { edits: self.edits }).with_split(self.split);
        remembered(told(entry, self.id, self.hidden), self.seen, self.shows)
    }
}

fn written(id: SubmissionId, mut events: Vec<Event>, what: What) -> Entry {
    events.push(Event { at: OffsetDateTime::now_utc(), submission: Some(id), what });
    Entry::new(events)
}

/// Who sees whom in the thread from now on, and which notices were sent in it.
fn remembered(entry: Entry, seen: FactQuery, shows: bool) -> Entry {
    let entry = if shows { entry.with_thread(&seen.message_id, &seen.references, &seen.visible) } else { entry };
    if seen.notices.is_empty() { entry } else { entry.with_notices(seen) }
}

/// What the sender hears of recipients that were hidden, and what later messages are judged by.
fn told(entry: Entry, id: SubmissionId, hidden: Option<Hidden>) -> Entry {
    match hidden {
        Some((telling, addressed)) => entry.with_hidden(id, telling, addressed),
        None => entry,
    }
}

/// A verdict that an auditor will ask about: a rule found something.
fn rests_on_findings(verdict: &Verdict) -> bool {
    verdict.grounds.iter().any(|ground| !ground.findings.is_empty())
}

/// The text of a 550: the rule in plain words, the clause, the advice, our number. One line each; the reply writer
/// cuts and cleans them.
fn refusal(submission: &Submission, verdict: &Verdict) -> String {
    let ground =
        verdict.grounds.iter().find(|ground| ground.mode == Mode::Enforce && ground.disposition == Disposition::Return);
    let mut text = String::new();
    if let Some(ground) = ground {
        text.push_str(&format!("Not sent: {}.\n", ground.title));
        if let Some(clause) = ground.clauses.first() {
            text.push_str(&format!("Policy {}: {}\n", clause.id, clause.text));
        }
        if !ground.advice.is_empty() {
            text.push_str(&format!("{}\n", ground.advice));
        }
    } else {
        text.push_str("Not sent: the policy of your organisation does not allow this message.\n");
    }
    text.push_str(&format!("Submission {}", submission.id));
    text
}
