//! What the service does by the clock: cases that nobody decided expire, senders who were not told of every hold hear of
//! the rest, gauges follow the store.

use super::{Gateway, alert::readers};
use crate::{
    audit::{Event, What},
    intake::StoreDown,
    policy::Category,
    quarantine::{Case, CaseFilter, CaseStore, NoticeWriter, State},
};
use std::{sync::Arc, time::Duration};
use time::OffsetDateTime;
use tokio::sync::watch;

const EVERY: Duration = Duration::from_secs(60);

/// Cases looked at in one round; the rest waits for the next.
const A_ROUND: usize = 1_000;

/// Until `stop` becomes true.
pub async fn run(gateway: Arc<Gateway>, mut stop: watch::Receiver<bool>) {
    loop {
        if round(&gateway, OffsetDateTime::now_utc()).await.is_err() {
            tracing::warn!("Housekeeping waits: the store does not answer");
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn round(gateway: &Gateway, now: OffsetDateTime) -> Result<(), StoreDown> {
    tell_untold(gateway).await?;
    metrics::gauge!("outgate_ready").set(if gateway.store.is_healthy() { 1.0 } else { 0.0 });
    let filter = CaseFilter { state: Some(State::Waiting), limit: A_ROUND, ..CaseFilter::default() };
    let waiting = gateway.store.list(filter).await?;
    metrics::gauge!("outgate_holds").set(waiting.len() as f64);
    // A safeguarding case never goes back to its sender by the clock.
    let may_expire = |case: &&Case| case.head.expires <= now && case.head.category != Category::Safeguarding;
    for case in waiting.iter().filter(may_expire) {
        let letter = case.face.as_ref().and_then(|face| gateway.notices.expired(case, face));
        let outbox = letter.map(|letter| letter.into_item(case.head.id)).into_iter().collect();
        let event = Event { at: now, submission: Some(case.head.id), what: What::Expired };
        let moved = gateway.store.transition(case.head.id, case.head.epoch, State::Returned, outbox, vec![event]).await;
        match moved {
            Ok(()) => tracing::warn!(case = %case.head.id, "Nobody decided in time; the case went back to its sender"),
            // Somebody decided just now.
            Err(error) => tracing::debug!(case = %case.head.id, %error, "An expired case was not moved"),
        }
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
        let items: Vec<_> = letter.map(|letter| letter.into_item(newest.head.id)).into_iter().collect();
        // The case was erased between the two: its reviewers know.
        let _ = gateway.store.enqueue(items, Vec::new()).await;
        gateway.outbox.notify_one();
    }
    Ok(())
}
