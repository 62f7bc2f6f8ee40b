//! The outbox worker: sends what we stand for (releases, notices, reports) until it is delivered or has failed.
//!
//! In: due items of an `OutboxStore`, leased. Out: each through `Relay::deliver`, and what became of it back into the
//! store in one commit: tried again, or done, with a report to the sender and the case moved on. An attempt whose
//! end could not be stored is made again after its lease: for mail that we answered 250 to, twice is better than
//! never. While the hop cannot be reached no item is tried; the hop itself is asked every few seconds, and once it
//! answers all that waited for it goes out.

use super::{
    Attempt, Leased, OutboxStore, RecipientOutcome,
    relay::{Outgoing, Relay, Unreachable},
    report::{Fate, Reported, Reporter},
};
use crate::{
    audit::{Event, What},
    intake::{Seals, leading_trace},
    mail::{Envelope, ForwardPath, SubmissionId, wire::Reply},
    quarantine::{ItemKind, OutboxItem, State},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use time::OffsetDateTime;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

/// When an item is tried, and for how long.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The waits after the first attempts.
    pub first: Vec<Duration>,
    /// The wait after each later one.
    pub then: Duration,
    /// After this long, what still waits has failed (RFC 5321 4.5.4.1: at least 4 or 5 days).
    pub give_up: Duration,
    /// And after no fewer attempts: a clock that jumps ahead, or days of standing still, are no five days of trying.
    pub least_attempts: u32,
    /// How often the store is asked for items that another process put in.
    pub poll: Duration,
    /// How often a hop that could not be reached is asked whether it answers again.
    pub ask_hop: Duration,
    /// How long the hop may take for one item's final reply.
    pub answer_within: Duration,
    /// Items in hand at the same time.
    pub at_once: usize,
    /// The clock: for tests.
    pub now: fn() -> OffsetDateTime,
}

impl Default for Schedule {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        Self {
            first: [1, 2, 5, 10, 30].map(minutes).to_vec(),
            then: minutes(60),
            give_up: minutes(5 * 24 * 60),
            least_attempts: 24,
            poll: Duration::from_secs(1),
            ask_hop: Duration::from_secs(5),
            answer_within: minutes(10),
            at_once: 8,
            now: OffsetDateTime::now_utc,
        }
    }
}

impl Schedule {
    /// The wait after an attempt that had so many before it.
    fn wait(&self, attempts: u32) -> Duration {
        usize::try_from(attempts).ok().and_then(|at| self.first.get(at)).copied().unwrap_or(self.then)
    }
}

/// A lease outlasts any attempt: connecting, all steps of the envelope, the final reply and the wait for a late one.
const LEASE: Duration = Duration::from_secs(40 * 60);

/// An attempt ends well before its lease does.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(30 * 60);

/// How long the pass on our own mail is good: as long as the hop may keep it in its queue.
const PASS: Duration = Duration::from_secs(5 * 24 * 3600);

/// Storing an attempt's end is tried again after these waits.
const STORE_AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20)];

/// How long attempts in hand may take to end at a stop.
const GRACE: Duration = Duration::from_secs(25);

/// Signs what leaves, as the configuration that is in force says.
pub trait Signer: Send + Sync + 'static {
    /// Fields that are to stand above the message, below its trace. None where nothing is signed.
    fn sign(&self, message: &[u8], at: OffsetDateTime) -> Vec<u8>;
}

/// The worker.
pub struct Outbox<S> {
    store: S,
    relay: Relay,
    seals: Seals,
    signer: Arc<dyn Signer>,
    reporter: Reporter,
    schedule: Schedule,
    /// An attempt did not reach the hop: items wait for it.
    hop_down: AtomicBool,
    /// Whoever sends many ends between two of them.
    stopping: AtomicBool,
    /// Told when this process put something in.
    wake: Arc<Notify>,
}

impl<S: OutboxStore> Outbox<S> {
    pub fn new(
        store: S,
        relay: Relay,
        (seals, signer): (Seals, Arc<dyn Signer>),
        reporter: Reporter,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            relay,
            seals,
            signer,
            reporter,
            schedule: Schedule::default(),
            hop_down: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            wake,
        }
    }

    pub fn with_schedule(self, schedule: Schedule) -> Self {
        Self { schedule, ..self }
    }

    /// Works until `stopped` turns true or its sender is gone, then ends the attempts in hand.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) {
        let outbox = Arc::new(self);
        let stop = stopped.wait_for(|stopped| *stopped);
        let mut attempts = JoinSet::new();
        // At most one; it ends with this function.
        let mut asking = JoinSet::new();
        tokio::pin!(stop);
        loop {
            let wait = if outbox.hop_down.load(Ordering::Relaxed) {
                if asking.is_empty() {
                    asking.spawn(outbox.clone().await_hop());
                }
                outbox.schedule.poll
            } else {
                outbox.start_due(&mut attempts).await
            };
            tokio::select! {
                _ = &mut stop => break,
                Some(ended) = attempts.join_next() => note(ended),
                Some(_) = asking.join_next() => {}
                () = outbox.wake.notified() => {}
                () = sleep(wait) => {}
            }
        }
        outbox.stopping.store(true, Ordering::Relaxed);
        let ending = async {
            while let Some(ended) = attempts.join_next().await {
                note(ended);
            }
        };
        if timeout(GRACE, ending).await.is_err() {
            tracing::warn!("attempts of the outbox were cut off; they are made again after the next start");
        }
    }

    /// Until the hop answers again. At last items are tried even so, or none would ever expire.
    async fn await_hop(self: Arc<Self>) {
        tracing::warn!("the outbox waits for the next hop to answer again");
        let until = Instant::now() + self.schedule.then;
        while Instant::now() < until {
            sleep(self.schedule.ask_hop).await;
            if self.relay.answers().await {
                tracing::info!("the next hop answers again; what waited for it goes out");
                break;
            }
        }
        self.hop_down.store(false, Ordering::Relaxed);
    }

    /// Starts what is due, and says when to look again.
    async fn start_due(self: &Arc<Self>, attempts: &mut JoinSet<()>) -> Duration {
        let room = self.schedule.at_once.saturating_sub(attempts.len());
        if room == 0 {
            return self.schedule.poll;
        }
        let now = (self.schedule.now)();
        // Asked first because it only reads: a lease is a write, and nothing is due most of the time.
        let wait = match self.store.next_due().await {
            Ok(Some(due)) if due <= now => Duration::ZERO,
            Ok(Some(due)) => Duration::try_from(due - now).unwrap_or_default().min(self.schedule.poll),
            Ok(None) => self.schedule.poll,
            Err(_) => {
                tracing::warn!("the store does not say what is due in the outbox");
                self.schedule.poll
            }
        };
        if !wait.is_zero() {
            return wait;
        }
        match self.store.lease(room, now + LEASE).await {
            Ok(items) => {
                for leased in items {
                    attempts.spawn(self.clone().attempt(leased));
                }
            }
            Err(_) => tracing::warn!("the store gives no items of the outbox"),
        }
        self.schedule.poll
    }

    async fn attempt(self: Arc<Self>, mut leased: Leased) {
        let content = Arc::new(std::mem::take(&mut leased.item.content));
        let until = Instant::now() + LONGEST_ATTEMPT;
        let (outcomes, cut_off) = if leased.item.kind == ItemKind::Copies {
            self.send_copies(&leased, &content, until).await
        } else {
            let envelope = &leased.item.envelope;
            let delivery = self.send(leased.item.case, envelope, content.clone());
            let outcomes = timeout_at(until, delivery).await;
            (outcomes.unwrap_or_else(|_| Ok(untold(&envelope.recipients))), false)
        };
        if outcomes.is_err() {
            self.note_hop_down();
        }
        leased.item.content = Arc::unwrap_or_clone(content);
        let mut ended = self.schedule.conclude(&leased, outcomes, &self.reporter);
        if let (Attempt::Again { at, .. }, true) = (&mut ended.attempt, cut_off) {
            *at = (self.schedule.now)();
        }
        self.finish(&leased, ended).await;
    }

    /// One message, signed and with its pass.
    pub(super) async fn send(
        &self,
        case: SubmissionId,
        envelope: &Envelope,
        content: Arc<Vec<u8>>,
    ) -> Result<Vec<RecipientOutcome>, Unreachable> {
        let now = (self.schedule.now)();
        let leaves = signed(&*self.signer, &content, now);
        let pass = self.seals.pass_header(case, now + PASS, &leaves);
        let outgoing = Outgoing::bytes(Arc::from(pass.into_bytes()), leaves);
        self.relay.deliver(envelope, outgoing, Instant::now() + self.schedule.answer_within).await
    }

    pub(super) fn store(&self) -> &S {
        &self.store
    }

    pub(super) fn note_hop_down(&self) {
        self.hop_down.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    async fn finish(&self, leased: &Leased, ended: Ended) {
        let mut waits = STORE_AGAIN.into_iter();
        loop {
            let Ended { attempt, failed, reports, case, events } = ended.clone();
            let Err(_) = self.store.finish(leased, attempt, &failed, reports, case, events).await else { return };
            let item = leased.item.id;
            let Some(wait) = waits.next() else {
                tracing::error!(%item, "what became of an outbox item could not be stored; it is tried again later");
                return;
            };
            sleep(wait).await;
        }
    }
}

/// The pass covers what stands below the trace, so a signature stands there too.
fn signed(signer: &dyn Signer, content: &Arc<Vec<u8>>, at: OffsetDateTime) -> Arc<Vec<u8>> {
    let (trace, message) = content.split_at(leading_trace(content));
    let fields = signer.sign(message, at);
    if fields.is_empty() { content.clone() } else { Arc::new([trace, &fields, message].concat()) }
}

/// The hop was reached and did not say what became of the item in the longest time that an attempt may take.
pub(super) fn untold(recipients: &[ForwardPath]) -> Vec<RecipientOutcome> {
    let reply = Reply::new(451, (4, 4, 2), "The next mail server did not answer in time");
    let untold = |recipient: &ForwardPath| RecipientOutcome {
        recipient: recipient.clone(),
        reply: reply.clone(),
        hop_reports: true,
    };
    recipients.iter().map(untold).collect()
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(panicked = error.is_panic(), "an attempt of the outbox ended before its time");
    }
}

/// What an attempt comes to.
#[derive(Clone, Debug)]
struct Ended {
    attempt: Attempt,
    failed: Vec<ForwardPath>,
    reports: Vec<OutboxItem>,
    case: Option<State>,
    events: Vec<Event>,
}

impl Schedule {
    fn conclude(
        &self,
        leased: &Leased,
        outcomes: Result<Vec<RecipientOutcome>, Unreachable>,
        reporter: &Reporter,
    ) -> Ended {
        let now = (self.now)();
        let item = &leased.item;
        let tried_enough = leased.attempts + 1 >= self.least_attempts;
        let expired = tried_enough && now - leased.first_tried >= self.give_up;
        let told = Told::of(item, &outcomes, expired);
        let mut reported = told.failed.clone();
        reported.extend(told.unreported.iter().map(|(recipient, reply)| (*recipient, Fate::Relayed, Some(*reply))));
        let reported: Vec<_> =
            reported.into_iter().map(|(recipient, fate, reply)| Reported { recipient, fate, reply }).collect();
        let report = reporter.write(item, &reported, leased.first_tried, now);
        let attempt = if told.waiting.is_empty() {
            Attempt::Done
        } else {
            let remaining = told.waiting.iter().map(|recipient| (*recipient).clone()).collect();
            // What did not reach the hop is due as soon as the hop answers.
            let wait = outcomes.as_ref().map_or(Duration::ZERO, |_| self.wait(leased.attempts));
            Attempt::Again { at: now + wait, remaining }
        };
        let case = match item.kind {
            ItemKind::Release | ItemKind::Copies if !told.failed.is_empty() => Some(State::DeliveryFailed),
            // After an earlier failure the case stays failed: the store lets nothing follow it but a decision.
            ItemKind::Release | ItemKind::Copies if told.waiting.is_empty() => Some(State::Delivered),
            _ => None,
        };
        let events = told.events(item, now);
        let id = item.id;
        tracing::info!(
            item = %id, kind = ?item.kind, attempts = leased.attempts + 1, delivered = told.delivered.len(),
            failed = told.failed.len(), waiting = told.waiting.len(), "an outbox item was tried"
        );
        for (state, count) in
            [("delivered", told.delivered.len()), ("failed", told.failed.len()), ("deferred", told.waiting.len())]
        {
            metrics::counter!("outgate_outbox_recipients_total", "state" => state).increment(count as u64);
        }
        let failed = told.failed.iter().map(|(recipient, ..)| (*recipient).clone()).collect();
        Ended { attempt, failed, reports: report.into_iter().collect(), case, events }
    }
}

/// The recipients of an attempt by what became of them.
#[derive(Debug, Default)]
struct Told<'a> {
    delivered: Vec<(&'a ForwardPath, &'a Reply)>,
    /// Those of the delivered whom their hop will not report on.
    unreported: Vec<(&'a ForwardPath, &'a Reply)>,
    failed: Vec<(&'a ForwardPath, Fate, Option<&'a Reply>)>,
    waiting: Vec<&'a ForwardPath>,
}

impl<'a> Told<'a> {
    fn of(item: &'a OutboxItem, outcomes: &'a Result<Vec<RecipientOutcome>, Unreachable>, expired: bool) -> Self {
        let mut told = Self::default();
        match outcomes {
            Ok(outcomes) => {
                for RecipientOutcome { recipient, reply, hop_reports } in outcomes {
                    if reply.is_positive() && !hop_reports {
                        told.unreported.push((recipient, reply));
                    }
                    match reply {
                        reply if reply.is_positive() => told.delivered.push((recipient, reply)),
                        reply if reply.is_permanent() => told.failed.push((recipient, Fate::Failed, Some(reply))),
                        reply if expired => told.failed.push((recipient, Fate::Expired, Some(reply))),
                        _ => told.waiting.push(recipient),
                    }
                }
            }
            Err(Unreachable) if expired => {
                told.failed.extend(item.envelope.recipients.iter().map(|recipient| (recipient, Fate::Expired, None)));
            }
            Err(Unreachable) => told.waiting.extend(&item.envelope.recipients),
        }
        told
    }

    /// The book's lines, with the item's kind and number; codes only.
    fn events(&self, item: &OutboxItem, now: OffsetDateTime) -> Vec<Event> {
        let event = |what| Event { at: now, submission: Some(item.case), what };
        let name = || item.id.to_string();
        let delivered = self.delivered.first().map(|(_, reply)| What::Delivered { item: name(), code: reply.code() });
        let failed = self.failed.last().map(|(_, _, reply)| What::Failed {
            item: name(),
            recipients: u32::try_from(self.failed.len()).unwrap_or(u32::MAX),
            // 451 stands for a hop that was never reached.
            code: reply.map_or(451, Reply::code),
        });
        delivered.into_iter().chain(failed).map(event).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Address, ReversePath};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn schedule() -> Schedule {
        Schedule { now: || NOW, ..Schedule::default() }
    }

    fn leased(kind: ItemKind, attempts: u32, tried_for: Duration) -> Leased {
        let path = |text| ForwardPath { address: Address::parse(text).expect("an address"), parameters: Vec::new() };
        let sender = ReversePath { address: Address::parse("ann@ours.example").ok(), parameters: Vec::new() };
        let recipients = vec![path("a@else.example"), path("b@else.example"), path("c@else.example")];
        let envelope = Envelope { sender, recipients };
        let content = b"Subject: x\r\n\r\ny\r\n".to_vec();
        let item = OutboxItem { id: SubmissionId::fresh(), case: SubmissionId::fresh(), kind, envelope, content };
        Leased { item, attempts, first_tried: NOW - tried_for, epoch: 1 }
    }

    fn conclude(leased: &Leased, codes: Option<[u16; 3]>) -> Ended {
        let outcomes = codes.ok_or(Unreachable).map(|codes| {
            let recipients = leased.item.envelope.recipients.iter().cloned();
            let outcome = |(recipient, code)| RecipientOutcome {
                recipient,
                reply: Reply::plain(code, "text"),
                hop_reports: true,
            };
            recipients.zip(codes).map(outcome).collect()
        });
        let from = Address::parse("outgate@ours.example").expect("an address");
        schedule().conclude(leased, outcomes, &Reporter { from, hostname: "gate.example".into() })
    }

    #[test]
    fn waits_grow_and_then_stay() {
        let minutes: Vec<_> = (0..8).map(|attempts| schedule().wait(attempts).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 5, 10, 30, 60, 60, 60]);
    }

    #[test]
    fn what_an_attempt_comes_to() {
        let day = Duration::from_secs(24 * 3600);
        // Codes, tried for, then: recipients that remain, reports, case, events.
        let table = [
            (Some([250, 250, 250]), day, 0, 0, Some(State::Delivered), 1),
            (Some([250, 550, 250]), day, 0, 1, Some(State::DeliveryFailed), 2),
            (Some([550, 550, 550]), day, 0, 1, Some(State::DeliveryFailed), 1),
            (Some([250, 451, 250]), day, 1, 0, None, 1),
            (Some([451, 550, 250]), day, 1, 1, Some(State::DeliveryFailed), 2),
            (Some([451, 452, 450]), day, 3, 0, None, 0),
            (Some([250, 451, 250]), 6 * day, 0, 1, Some(State::DeliveryFailed), 2),
            (None, day, 3, 0, None, 0),
            (None, 6 * day, 0, 1, Some(State::DeliveryFailed), 1),
        ];
        for (codes, tried_for, remain, reports, case, events) in table {
            let attempts = if tried_for > day { 23 } else { 2 };
            let ended = conclude(&leased(ItemKind::Release, attempts, tried_for), codes);
            let remaining = match &ended.attempt {
                Attempt::Done => 0,
                Attempt::Again { at, remaining } => {
                    assert_eq!(*at - NOW, Duration::from_secs(if codes.is_some() { 300 } else { 0 }));
                    remaining.len()
                }
            };
            let found = (remaining, ended.reports.len(), ended.case, ended.events.len());
            assert_eq!(found, (remain, reports, case, events), "{codes:?}");
            let notice = conclude(&leased(ItemKind::Notice, 2, tried_for), codes);
            assert_eq!(notice.case, None, "a notice moves no case");
        }
        let jumped = conclude(&leased(ItemKind::Release, 22, 3_650 * day), Some([451, 451, 451]));
        assert!(matches!(jumped.attempt, Attempt::Again { .. }), "years went by, but few attempts");
    }
}
