//! The outbox: what we stand for and must send. A lease names its run and its end; the epoch it got makes an older
//! lease's finish void.

use super::{
    Beside, Inner, Store,
    acts::{Act, FURTHEST_DUE_MICROS, Step, parse_word},
    cases::id_at,
    hidden::Enqueued,
    off_thread, read_failed,
    schema::{from_micros, micros, now},
    seal::{CaseKey, What},
};
use crate::{
    audit::Event,
    delivery::{Attempt, Leased, OutboxStore},
    intake::StoreDown,
    mail::{Envelope, ForwardPath, SubmissionId},
    quarantine::{CaseError, ItemKind, OutboxItem, State},
};
use sqlx::{Row, sqlite::SqliteRow};
use time::OffsetDateTime;

impl OutboxStore for Store {
    async fn lease(&self, most: usize, until: OffsetDateTime) -> Result<Vec<Leased>, StoreDown> {
        let act = Act::Lease { owner: self.inner.run, most, until: micros(until), now: now() };
        let acted = self.inner.submit(Vec::new(), Beside::default(), Some(act)).await.map_err(|_| StoreDown)?;
        let inner = self.inner.clone();
        off_thread(move || acted.leased.iter().filter_map(|row| inner.read_leased(row)).collect()).await
    }

    async fn finish(
        &self,
        leased: &Leased,
        attempt: Attempt,
        failed: &[ForwardPath],
        reports: Vec<OutboxItem>,
        case: Option<State>,
        events: Vec<Event>,
    ) -> Result<(), StoreDown> {
        let item = &leased.item;
        let key = self.inner.case_key(item.case).await.map_err(|_| StoreDown)?;
        // Erased in the meantime: there is nothing left to finish.
        let Some(key) = key else { return self.refused(item.id) };
        // One at a time: two releases of a case that end together must both be in its face.
        let _faces = self.inner.faces.lock().await;
        let face = match item.kind {
            ItemKind::Release | ItemKind::Copies => self.inner.undelivered(&key, item, &attempt, failed).await?,
            _ => None,
        };
        let step = match attempt {
            Attempt::Done => Step::Done,
            Attempt::Again { at, remaining } => {
                let envelope = Envelope { sender: item.envelope.sender.clone(), recipients: remaining };
                let clear = serde_json::to_vec(&envelope).expect("an envelope holds only what JSON can carry");
                Step::Again { due: micros(at), envelope: key.seal_item(What::Envelope, item.id, &clear) }
            }
        };
        let reports: Vec<OutboxItem> =
            reports.into_iter().map(|report| OutboxItem { case: item.case, ..report }).collect();
        let reports = self.inner.clone().seal_items(key, reports).await?;
        let files = reports.iter().filter_map(|report| report.blob.clone()).collect();
        let act = Act::Finish { id: item.id, case: item.case, epoch: leased.epoch, step, reports, state: case, face };
        let outcome = self.inner.submit(events, Beside::default(), Some(act)).await;
        match self.inner.tidy(outcome, files).await {
            Ok(_) => Ok(()),
            Err(CaseError::Stale) => self.refused(item.id),
            Err(_) => Err(StoreDown),
        }
    }

    async fn progress(&self, leased: &Leased, remaining: &[ForwardPath]) -> Result<(), StoreDown> {
        let item = &leased.item;
        let key = self.inner.case_key(item.case).await.map_err(|_| StoreDown)?;
        let Some(key) = key else { return self.refused(item.id) };
        let envelope = Envelope { sender: item.envelope.sender.clone(), recipients: remaining.to_vec() };
        let clear = serde_json::to_vec(&envelope).expect("an envelope holds only what JSON can carry");
        let envelope = key.seal_item(What::Envelope, item.id, &clear);
        let act = Act::Progress { id: item.id, epoch: leased.epoch, envelope };
        match self.inner.submit(Vec::new(), Beside::default(), Some(act)).await {
            Ok(_) => Ok(()),
            Err(CaseError::Stale) => self.refused(item.id),
            Err(_) => Err(StoreDown),
        }
    }

    async fn next_due(&self) -> Result<Option<OffsetDateTime>, StoreDown> {
        let due: Option<i64> = sqlx::query_scalar(
            "SELECT min(max(CASE WHEN due > ?1 THEN 0 ELSE due END, coalesce(lease_until, 0))) FROM outbox",
        )
        .bind(now() + FURTHEST_DUE_MICROS)
        .fetch_one(&self.inner.readers)
        .await
        .map_err(read_failed)?;
        due.map(from_micros).transpose().map_err(read_failed)
    }
}

impl Store {
    /// Puts items into the outbox that follow from no change of a case: alerts, a notice about a message that was
    /// not held. Items of one call have the same `case`; a number without a case gets a key of its own.
    pub async fn enqueue(&self, items: Vec<OutboxItem>, events: Vec<Event>) -> Result<(), CaseError> {
        let Some(case) = items.first().map(|item| item.case) else {
            return self.inner.submit(events, Beside::default(), None).await.map(drop);
        };
        let items: Vec<OutboxItem> = items.into_iter().map(|item| OutboxItem { case, ..item }).collect();
        let enqueued = match self.inner.case_key(case).await? {
            Some(key) => Enqueued { outbox: self.inner.clone().seal_items(key, items).await?, ..Enqueued::default() },
            None => self.inner.clone().enqueued(case, items, None).await?,
        };
        let files = enqueued.outbox.iter().filter_map(|item| item.blob.clone()).collect();
        let outcome = self.inner.submit(events, Beside::default(), Some(Act::Enqueue(enqueued))).await;
        self.inner.tidy(outcome, files).await.map(drop)
    }

    fn refused(&self, item: SubmissionId) -> Result<(), StoreDown> {
        tracing::warn!(%item, "An attempt ended after its lease had passed to another, or its case was erased");
        Err(StoreDown)
    }
}

impl Inner {
    /// The case's face with those whom its releases have not reached for good. None when nothing changes in it.
    async fn undelivered(
        &self,
        key: &CaseKey,
        item: &OutboxItem,
        attempt: &Attempt,
        failed: &[ForwardPath],
    ) -> Result<Option<Vec<u8>>, StoreDown> {
        let row = match self.case_row(item.case).await {
            Ok(row) => row,
            Err(CaseError::Down(down)) => return Err(down),
            // An item without a case.
            Err(_) => return Ok(None),
        };
        // A face that is damaged says so in the log; the item ends all the same.
        let Some(mut face) = self.read_case(&row).map_err(read_failed)?.face else { return Ok(None) };
        let waits = |recipient: &ForwardPath| match attempt {
            Attempt::Again { remaining, .. } => remaining.contains(recipient),
            Attempt::Done => false,
        };
        let before = face.undelivered.clone();
        let settled = |recipient: &ForwardPath| item.envelope.recipients.contains(recipient) && !waits(recipient);
        face.undelivered.retain(|recipient| !settled(recipient));
        face.undelivered.extend_from_slice(failed);
        let clear = || serde_json::to_vec(&face).expect("a face holds only what JSON can carry");
        Ok((face.undelivered != before).then(|| key.seal(What::Face, &clear())))
    }

    /// None when it is damaged: it stays leased until its time, and is loud in the log each time.
    fn read_leased(&self, row: &SqliteRow) -> Option<Leased> {
        match self.try_read_leased(row) {
            Ok(leased) => Some(leased),
            Err(error) => {
                let item = id_at(row, "id").map(|id| id.to_string()).unwrap_or_default();
                tracing::error!(item, %error, "An outbox item cannot be opened and is not sent");
                None
            }
        }
    }

    fn try_read_leased(&self, row: &SqliteRow) -> Result<Leased, Box<dyn std::error::Error + Send + Sync>> {
        let (id, case) = (id_at(row, "id")?, id_at(row, "case_id")?);
        let key = self.wrapper.unwrap(case, row.try_get("wrapped")?)?;
        let envelope = serde_json::from_slice(&key.open_item(What::Envelope, id, row.try_get("envelope")?)?)
            .map_err(|_| "the envelope is of an unknown form")?;
        let bytes = usize::try_from(row.try_get::<i64, _>("bytes")?)?;
        let content = match row.try_get::<Option<&str>, _>("blob")? {
            Some(name) => key.unpack(What::Content, id, &self.blobs.read(name)?, bytes)?,
            None => key.unpack(What::Content, id, row.try_get("content")?, bytes)?,
        };
        Ok(Leased {
            item: OutboxItem { id, case, kind: parse_word(row.try_get("kind")?)?, envelope, content },
            attempts: u32::try_from(row.try_get::<i64, _>("attempts")? - 1)?,
            first_tried: from_micros(row.try_get("first_tried")?)?,
            epoch: u64::try_from(row.try_get::<i64, _>("epoch")?)?,
        })
    }
}
