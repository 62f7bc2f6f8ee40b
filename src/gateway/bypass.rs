//! A time in which mail is not judged: `outgate bypass`, for when a rule or a detector stops mail that must go and nobody can
//! mend it in time. What passes is in the book; that it passes unjudged is in every reviewer's mailbox.

use super::Gateway;
use crate::{
    audit::{Event, What},
    config::Settings,
    delivery::alert::Bypassed,
    intake::StoreDown,
    mail::Address,
    quarantine::CaseError,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use time::OffsetDateTime;
use tokio::{sync::watch, time::Instant};

/// How soon the service hears of what the command has written.
const EVERY: Duration = Duration::from_secs(1);

/// Whether mail is judged just now. The end is kept by the clock that nobody sets too: one that is set back does not
/// prolong it.
#[derive(Default)]
pub(super) struct Bypass {
    now: Mutex<Option<(OffsetDateTime, Instant)>>,
}

impl Bypass {
    pub fn is_on(&self) -> bool {
        self.lock().is_some_and(|(until, end)| OffsetDateTime::now_utc() < until && Instant::now() < end)
    }

    /// Whether that is news.
    fn set(&self, until: Option<OffsetDateTime>, now: OffsetDateTime) -> bool {
        let mut held = self.lock();
        if held.map(|(until, _)| until) == until {
            return false;
        }
        let left = |until: OffsetDateTime| Duration::try_from(until - now).unwrap_or_default();
        *held = until.map(|until| (until, Instant::now() + left(until)));
        true
    }

    fn lock(&self) -> MutexGuard<'_, Option<(OffsetDateTime, Instant)>> {
        // No code here can panic halfway through a change.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until `stop` becomes true.
pub async fn run(gateway: Arc<Gateway>, mut stop: watch::Receiver<bool>) {
    loop {
        // A store that does not answer takes no mail either.
        let _ = gateway.look_at_bypass().await;
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

impl Gateway {
    pub(super) async fn look_at_bypass(&self) -> Result<(), StoreDown> {
        let (found, now) = (self.store.bypassed_until().await?, OffsetDateTime::now_utc());
        let is_over = found.is_some_and(|until| until <= now) || (found.is_some() && self.has_run_out(found));
        if is_over {
            self.end_bypass(found, now).await?;
        }
        let until = found.filter(|_| !is_over);
        metrics::gauge!("outgate_bypassed").set(if until.is_some() { 1.0 } else { 0.0 });
        if self.bypass.set(until, now) {
            match until {
                Some(until) => tracing::error!(%until, "Mail is not judged: outgate bypass"),
                None => tracing::warn!("Mail is judged again"),
            }
        }
        Ok(())
    }

    /// Its time has passed although the clock on the wall, set back, says otherwise.
    fn has_run_out(&self, found: Option<OffsetDateTime>) -> bool {
        self.bypass.lock().is_some_and(|(until, end)| Some(until) == found && end <= Instant::now())
    }

    async fn end_bypass(&self, found: Option<OffsetDateTime>, now: OffsetDateTime) -> Result<(), StoreDown> {
        let loaded = self.loaded.load_full();
        let letter = self.notices.bypass(&Bypassed::Expired, &reviewers(&loaded.settings));
        let what = What::Bypass { act: "expired".into(), until: None, by: "clock".into(), note: None };
        let event = Event { at: now, submission: None, what };
        match self.store.set_bypass(found, None, letter, event).await {
            Ok(()) => self.outbox.notify_one(),
            Err(CaseError::Down(down)) => return Err(down),
            // The command has written another end just now.
            Err(error) => tracing::debug!(%error, "A bypass was not ended"),
        }
        Ok(())
    }
}

/// All who decide on anything: none of their rules holds meanwhile.
pub fn reviewers(settings: &Settings) -> Vec<Address> {
    let mut all: Vec<Address> = settings.reviewers.values().flatten().cloned().collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_by_either_clock() {
        let bypass = Bypass::default();
        assert!(!bypass.is_on());
        let now = OffsetDateTime::now_utc();
        let until = now + Duration::from_secs(60);
        assert!(bypass.set(Some(until), now) && bypass.is_on());
        assert!(!bypass.set(Some(until), now), "no news");
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(!bypass.is_on(), "the clock on the wall stands still, as one that was set back");
        assert!(bypass.set(None, now) && !bypass.is_on());
        assert!(bypass.set(Some(now - Duration::from_secs(1)), now) && !bypass.is_on(), "over already");
    }
}
