//! What goes out in copies, and what senders are told of recipients that were hidden: at once, or in one letter later.

use super::{
    Beside, Inner, Store, Untold,
    acts::{Act, Acted, ItemRow, Stop, insert_items, insert_key},
    cases::{id_at, taken},
    facts::{AddressHash, Kind},
    joining, read_failed,
    retry::Standing,
    schema::{from_micros, now},
    seal::What,
    stopped::{self, StopRow},
};
use crate::{
    audit::Event,
    intake::{RetryKey, SplitKey, StoreDown},
    mail::SubmissionId,
    policy::Addressed,
    quarantine::{CaseError, HiddenNote, Letter, OutboxItem, Telling},
};
use sqlx::{Row, SqliteConnection};
use std::sync::Arc;

/// Items of one key, and what their sender was told, or is to be.
#[derive(Default)]
pub(super) struct Enqueued {
    /// Whose key the items are sealed under, and that key when it is new.
    pub key: Option<(SubmissionId, Vec<u8>)>,
    pub outbox: Vec<ItemRow>,
    /// The sender's hash when a notice goes with it.
    pub told: Option<[u8; 32]>,
    pub later: Option<NoteRow>,
    pub stopped: Option<StopRow>,
}

/// What a sender is to be told later.
pub(super) struct NoteRow {
    id: SubmissionId,
    sender: [u8; 32],
    note: Vec<u8>,
}

/// One letter about several messages.
pub(super) struct ToldHidden {
    notes: Vec<SubmissionId>,
    letter: Enqueued,
}

impl Store {
    /// Takes a message over that goes out in copies: the item, what its sender is told, the record for a retry and the
    /// events, durable together when it returns.
    pub async fn send_apart(
        &self,
        item: OutboxItem,
        telling: Option<Telling>,
        events: Vec<Event>,
        retry: RetryKey,
        split: Option<SplitKey>,
        stopped: Option<Addressed>,
    ) -> Result<(), StoreDown> {
        let case = item.case;
        let mut enqueued = self.inner.clone().enqueued(case, vec![item], telling).await?;
        enqueued.stopped = stopped.map(|addressed| self.inner.stop_row(&addressed, None));
        let files = enqueued.outbox.iter().filter_map(|item| item.blob.clone()).collect();
        let beside = Beside {
            retry: Some(self.inner.new_record(retry, taken(case), Standing::Open)),
            split: self.inner.split_row(split, None),
            ..Beside::default()
        };
        let outcome = self.inner.submit(events, beside, Some(Act::Enqueue(enqueued))).await;
        self.inner.tidy(outcome, files).await.map(drop).map_err(|_| StoreDown)
    }

    /// Senders who have not been told of all their hidden recipients, the longest waiting first.
    pub async fn hidden_untold(&self, most: usize) -> Result<Vec<Untold>, StoreDown> {
        let rows = sqlx::query("SELECT sender, min(at) FROM hidden GROUP BY sender ORDER BY min(at) LIMIT ?1")
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&self.inner.readers)
            .await
            .map_err(read_failed)?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            let sender: &[u8] = row.try_get(0)?;
            let sender = sender.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            Ok(Untold { sender: AddressHash(sender), since: from_micros(row.try_get(1)?)? })
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(read_failed)
    }

    /// What this sender has not been told, the oldest first. A note that is damaged is None.
    pub async fn hidden_of(
        &self,
        sender: AddressHash,
        most: usize,
    ) -> Result<Vec<(SubmissionId, Option<HiddenNote>)>, StoreDown> {
        let rows = sqlx::query("SELECT id, note FROM hidden WHERE sender = ?1 ORDER BY at, id LIMIT ?2")
            .bind(&sender.0[..])
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&self.inner.readers)
            .await
            .map_err(read_failed)?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            let id = id_at(row, "id")?;
            let clear = self.inner.node_key.open_item(What::Note, id, row.try_get("note")?).ok();
            let note = clear.and_then(|clear| serde_json::from_slice(&clear).ok());
            if note.is_none() {
                tracing::error!(submission = %id, "A note for a sender cannot be opened; it is not told");
            }
            Ok((id, note))
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(read_failed)
    }

    /// Puts the letter about these notes into the outbox, and takes the notes away, in one commit. Refused when one was
    /// told of in the meantime.
    pub async fn tell_hidden(
        &self,
        sender: AddressHash,
        notes: Vec<SubmissionId>,
        letter: Option<Letter>,
    ) -> Result<(), CaseError> {
        let telling = letter.map(|letter| Telling::Now(letter.into_item(SubmissionId::fresh())));
        let mut letter = match telling {
            Some(Telling::Now(item)) => self.inner.clone().enqueued(item.case, vec![item], None).await?,
            _ => Enqueued::default(),
        };
        letter.told = (!letter.outbox.is_empty()).then_some(sender.0);
        let files = letter.outbox.iter().filter_map(|item| item.blob.clone()).collect();
        let act = Act::TellHidden(ToldHidden { notes, letter });
        let outcome = self.inner.submit(Vec::new(), Beside::default(), Some(act)).await;
        self.inner.tidy(outcome, files).await.map(drop)
    }
}

impl Inner {
    /// Seals items under a key of their own, with what their sender is told.
    pub(super) async fn enqueued(
        self: Arc<Self>,
        case: SubmissionId,
        mut items: Vec<OutboxItem>,
        telling: Option<Telling>,
    ) -> Result<Enqueued, StoreDown> {
        let mut enqueued = Enqueued::default();
        match telling {
            Some(Telling::Now(item)) => {
                let to = item.envelope.recipients.first();
                enqueued.told = to.map(|to| self.hash(Kind::Address, &to.address.folded()));
                items.push(OutboxItem { case, ..item });
            }
            Some(Telling::Later(note)) => enqueued.later = Some(self.note_row(&note)),
            None => {}
        }
        if !items.is_empty() {
            let (key, wrapped) = self.wrapper.fresh(case);
            enqueued.outbox = self.seal_items(key, items).await?;
            enqueued.key = Some((case, wrapped));
        }
        Ok(enqueued)
    }

    /// What is written besides of a message that left with its recipients hidden.
    pub(super) async fn hidden_act(
        self: &Arc<Self>,
        telling: Option<(SubmissionId, Telling)>,
        stopped: Option<Addressed>,
    ) -> Result<Enqueued, StoreDown> {
        let mut enqueued = match telling {
            Some((id, telling)) => self.clone().enqueued(id, Vec::new(), Some(telling)).await?,
            None => Enqueued::default(),
        };
        enqueued.stopped = stopped.map(|addressed| self.stop_row(&addressed, None));
        Ok(enqueued)
    }

    fn note_row(&self, note: &HiddenNote) -> NoteRow {
        let clear = serde_json::to_vec(note).expect("a note holds only what JSON can carry");
        NoteRow {
            id: note.submission,
            sender: self.hash(Kind::Address, &note.sender.folded()),
            note: self.node_key.seal_item(What::Note, note.submission, &clear),
        }
    }
}

pub(super) async fn enqueue(db: &mut SqliteConnection, enqueued: &Enqueued) -> Result<Acted, Stop> {
    if let Some((case, wrapped)) = &enqueued.key {
        insert_key(db, *case, wrapped).await?;
    }
    if let Some(sender) = &enqueued.told {
        joining::note_told(db, sender).await?;
    }
    if let Some(later) = &enqueued.later {
        sqlx::query("INSERT INTO hidden (id, sender, at, note) VALUES (?1, ?2, ?3, ?4)")
            .bind(&later.id.as_bytes()[..])
            .bind(&later.sender[..])
            .bind(now())
            .bind(&later.note)
            .execute(&mut *db)
            .await?;
    }
    if let Some(row) = &enqueued.stopped {
        stopped::put(db, row).await?;
    }
    insert_items(db, &enqueued.outbox).await
}

pub(super) async fn tell(db: &mut SqliteConnection, told: &ToldHidden) -> Result<Acted, Stop> {
    for id in &told.notes {
        let gone = sqlx::query("DELETE FROM hidden WHERE id = ?1").bind(&id.as_bytes()[..]).execute(&mut *db).await?;
        if gone.rows_affected() != 1 {
            return Err(Stop::Refused(CaseError::Stale));
        }
    }
    enqueue(db, &told.letter).await
}
