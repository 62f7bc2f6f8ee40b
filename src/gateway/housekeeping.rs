//! What the service does by the clock: senders who were not told of every hold hear of the rest in one notice, cases
//! that nobody decided go back, gauges follow the store. A round that finds nothing to do opens no face.

use super::{Gateway, alert::readers, carry::TOLD_AN_HOUR, clock::Clock};
use crate::{
    audit::{Event, What},
    intake::StoreDown,
    mail::SubmissionId,
    policy::Category,
    quarantine::{CaseError, CaseFilter, CaseStore, NoticeWriter, State},
    store::Untold,
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use time::OffsetDateTime;
use tokio::{sync::watch, time::Instant};

const EVERY: Duration = Duration::from_secs(60);

const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Cases or senders looked at in one round; the rest waits for the next.
const A_ROUND: usize = 1_000;

/// Cases that one joined notice names: what a person may still look through.
const A_NOTICE: usize = 500;

/// The hour in which a sender hears of so many holds.
const HOUR: time::Duration = time::Duration::HOUR;

/// Until `stop` becomes true.
pub async fn run(gateway: Arc<Gateway>, mut stop: watch::Receiver<bool>) {
    let mut housekeeping = Housekeeping::default();
    loop {
        if housekeeping.round(&gateway, OffsetDateTime::now_utc()).await.is_err() {
            tracing::warn!("Housekeeping waits: the store does not answer");
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

#[derive(Default)]
pub(super) struct Housekeeping {
    clock: Clock,
    /// Expired cases that wait on, because nobody may or can be told that they came back. Said once in a run.
    staying: HashSet<SubmissionId>,
    /// When it was last said that the directory is stale.
    stale_said: Option<Instant>,
}

impl Housekeeping {
    pub(super) async fn round(&mut self, gateway: &Gateway, now: OffsetDateTime) -> Result<(), StoreDown> {
        metrics::gauge!("outgate_ready").set(if gateway.store.is_healthy() { 1.0 } else { 0.0 });
        self.look_at_directory(gateway, now);
        let believed = self.clock.is_believed(now, Instant::now());
        let expired = if believed { self.expire(gateway, now).await } else { Ok(()) };
        let joined = join(gateway, now).await;
        let joined = joined.and(join_hidden(gateway, now).await);
        let alerted = tell_untold(gateway).await;
        let waiting = gateway.store.waiting().await?;
        metrics::gauge!("outgate_holds").set(waiting.cases as f64);
        metrics::gauge!("outgate_outbox_items").set(waiting.outbox_items as f64);
        expired.and(joined).and(alerted)
    }

    /// A stale directory is used on, and said once a day.
    fn look_at_directory(&mut self, gateway: &Gateway, now: OffsetDateTime) {
        let loaded = gateway.loaded.load();
        let directory = &loaded.settings.directory;
        let Some(written) = directory.written() else { return };
        metrics::gauge!("outgate_directory_age_seconds").set((now - written.at).as_seconds_f64());
        let said = self.stale_said.is_some_and(|said| said.elapsed() < A_DAY);
        if directory.is_stale(now) && !said {
            self.stale_said = Some(Instant::now());
            tracing::warn!("The directory is older than it may get: write its file anew and reload");
        }
    }

    /// What nobody decided in time goes back to its sender, with a notice.
    async fn expire(&mut self, gateway: &Gateway, now: OffsetDateTime) -> Result<(), StoreDown> {
        let expired = gateway.store.expired(now).await?;
        let (known, new): (Vec<_>, Vec<_>) = expired.into_iter().partition(|(id, _)| self.staying.contains(id));
        // Those that were decided meanwhile are forgotten.
        self.staying = known.into_iter().map(|(id, _)| id).collect();
        for (id, category) in new.into_iter().take(A_ROUND) {
            // A safeguarding case never goes back by the clock.
            if category == Category::Safeguarding || !give_back(gateway, id, now).await? {
                self.staying.insert(id);
                tracing::warn!(case = %id, category = category.as_str(), "Nobody decided in time; the case waits on");
            }
        }
        metrics::gauge!("outgate_holds_overdue").set(self.staying.len() as f64);
        Ok(())
    }
}

/// False when there is nobody to give it back to: then it may not end in silence.
async fn give_back(gateway: &Gateway, id: SubmissionId, now: OffsetDateTime) -> Result<bool, StoreDown> {
    let case = match gateway.store.open(id).await {
        Ok(case) => case,
        Err(CaseError::Down(down)) => return Err(down),
        Err(_) => return Ok(false),
    };
    let letter = case.face.as_ref().and_then(|face| gateway.notices.expired(&case, face));
    let Some(letter) = letter else { return Ok(false) };
    let event = Event { at: now, submission: Some(id), what: What::Expired };
    let (outbox, events) = (vec![letter.into_item(id)], vec![event]);
    match gateway.store.transition(id, case.head.epoch, State::Returned, outbox, events).await {
        Ok(()) => {
            gateway.outbox.notify_one();
            tracing::warn!(case = %id, "Nobody decided in time; the case went back to its sender");
        }
        Err(CaseError::Down(down)) => return Err(down),
        // Somebody decided just now.
        Err(error) => tracing::debug!(case = %id, %error, "An expired case was not moved"),
    }
    Ok(true)
}

/// Tells senders of the holds that were above so many an hour, once their hour has room again.
async fn join(gateway: &Gateway, now: OffsetDateTime) -> Result<(), StoreDown> {
    for untold in gateway.store.untold(A_ROUND).await? {
        let told = gateway.store.holds_told(untold.sender, now - HOUR).await?;
        if told < TOLD_AN_HOUR || untold.since <= now - HOUR {
            tell(gateway, untold).await?;
        }
    }
    Ok(())
}

/// The same of recipients that were hidden.
async fn join_hidden(gateway: &Gateway, now: OffsetDateTime) -> Result<(), StoreDown> {
    for untold in gateway.store.hidden_untold(A_ROUND).await? {
        let told = gateway.store.holds_told(untold.sender, now - HOUR).await?;
        if told >= TOLD_AN_HOUR && untold.since > now - HOUR {
            continue;
        }
        let (ids, notes): (Vec<_>, Vec<_>) =
            gateway.store.hidden_of(untold.sender, A_NOTICE).await?.into_iter().unzip();
        let notes: Vec<_> = notes.into_iter().flatten().collect();
        match gateway.store.tell_hidden(untold.sender, ids, gateway.notices.hidden(&notes)).await {
            Ok(()) => gateway.outbox.notify_one(),
            Err(CaseError::Down(down)) => return Err(down),
            Err(error) => tracing::debug!(%error, "A letter about hidden recipients was not sent"),
        }
    }
    Ok(())
}

async fn tell(gateway: &Gateway, untold: Untold) -> Result<(), StoreDown> {
    let cases = gateway.store.untold_of(untold.sender, A_NOTICE).await?;
    let readable: Vec<_> = cases.iter().filter_map(|case| Some((&case.head, case.face.as_ref()?))).collect();
    let letter = gateway.notices.joined(&readable);
    let ids = cases.iter().map(|case| case.head.id).collect();
    match gateway.store.tell_joined(untold.sender, ids, letter).await {
        Ok(()) => {
            gateway.outbox.notify_one();
            tracing::info!(cases = cases.len(), "A sender is told of several holds in one notice");
        }
        Err(CaseError::Down(down)) => return Err(down),
        // One was decided just now: the next round writes the notice without it.
        Err(error) => tracing::debug!(%error, "A joined notice was not sent"),
    }
    Ok(())
}

/// Reviewers hear of cases that came in too fast for a letter each.
async fn tell_untold(gateway: &Gateway) -> Result<(), StoreDown> {
    let loaded = gateway.loaded.load_full();
    for (category, untold) in gateway.alerts.due() {
        let filter = CaseFilter { state: Some(State::Waiting), category: Some(category), limit: 1 };
        // Decided meanwhile: nothing waits any more.
        let Some(newest) = gateway.store.list(filter).await?.pop() else { continue };
        let Some(face) = &newest.face else { continue };
        let readers = readers(&loaded, category, &face.envelope);
        let letter = gateway.notices.joined_alert(&newest.head, &readers, untold);
        let items: Vec<_> = letter.map(|letter| letter.into_alert(newest.head.id)).into_iter().collect();
        // The case was erased between the two: its reviewers know.
        let _ = gateway.store.enqueue(items, Vec::new()).await;
        gateway.outbox.notify_one();
    }
    Ok(())
}
