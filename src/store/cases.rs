//! Cases: held messages with their sealed faces.

use super::{
    Inner, Store,
    acts::{Act, Acted, HeldCase, ItemRow, JoinedCase, parse_word, word},
    facts::Kind,
    off_thread, read_failed,
    retry::Standing,
    schema::{from_micros, micros},
    seal::{CaseKey, What},
    writer::Beside,
};
use crate::{
    audit::Event,
    intake::{RetryKey, SplitKey, StoreDown},
    mail::{Address, SubmissionId, wire::Reply},
    policy::Category,
    quarantine::{
        Case, CaseError, CaseFilter, CaseHead, CaseStore, Erasure, Face, ItemKind, NewCase, OutboxItem, State,
    },
};
use sqlx::{Row, sqlite::SqliteRow};
use std::sync::Arc;
use time::OffsetDateTime;

/// Sealed contents up to this size stand in their row; larger ones are files.
const SMALL: usize = 16 << 10;

impl CaseStore for Store {
    async fn hold(
        &self,
        case: NewCase,
        outbox: Vec<OutboxItem>,
        events: Vec<Event>,
        retry: RetryKey,
    ) -> Result<(), StoreDown> {
        let (id, split) = (case.head.id, case.split);
        let inner = self.inner.clone();
        let room = self.inner.sealing.acquire().await.map_err(|_| StoreDown)?;
        let held = off_thread(move || inner.seal_case(case, &outbox)).await??;
        drop(room);
        let files: Vec<String> = std::iter::once(held.message.clone())
            .chain(held.outbox.iter().filter_map(|item| item.blob.clone()))
            .collect();
        let record = self.inner.new_record(retry, taken(id), Standing::Open);
        let beside = Beside { retry: Some(record), split: self.inner.split_row(split, Some(id)), ..Beside::default() };
        let outcome = self.inner.submit(events, beside, Some(Act::Hold(Box::new(held)))).await;
        self.inner.tidy(outcome, files).await.map(drop).map_err(|_| StoreDown)
    }

    async fn join(
        &self,
        case: Case,
        outbox: Vec<OutboxItem>,
        events: Vec<Event>,
        retry: RetryKey,
        split: Option<SplitKey>,
    ) -> Result<(), CaseError> {
        let Case { head, face: Some(face) } = case else { return Err(CaseError::WrongState) };
        let Some(key) = self.inner.case_key(head.id).await? else { return Err(CaseError::WrongState) };
        let reply = taken(head.id);
        let joined = JoinedCase {
            face: key.seal(What::Face, &clear(&face)),
            lookup: self.inner.lookup_rows(&face),
            people: {
                let recipients = face.envelope.recipients.iter().map(|recipient| recipient.address.folded());
                self.inner.people_hashes(&recipients.collect::<Vec<_>>())
            },
            outbox: self.inner.clone().seal_items(key, outbox).await?,
            head,
        };
        let files = joined.outbox.iter().filter_map(|item| item.blob.clone()).collect();
        let beside = Beside {
            retry: Some(self.inner.new_record(retry, reply, Standing::Open)),
            split: self.inner.split_row(split, Some(joined.head.id)),
            ..Beside::default()
        };
        let outcome = self.inner.submit(events, beside, Some(Act::TakeIn(Box::new(joined)))).await;
        self.inner.tidy(outcome, files).await.map(drop)
    }

    async fn list(&self, filter: CaseFilter) -> Result<Vec<Case>, StoreDown> {
        // No limit given is no limit: SQLite takes a negative one so.
        let limit = if filter.limit == 0 { -1 } else { i64::try_from(filter.limit).unwrap_or(-1) };
        let rows = sqlx::query(
            "SELECT cases.id, state, category, rules, bytes, received, expires, epoch, face, message, wrapped
             FROM cases LEFT JOIN keys ON keys.id = cases.id
             WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR category = ?2)
             ORDER BY received DESC, cases.id DESC LIMIT ?3",
        )
        .bind(filter.state.map(|state| word(&state)))
        .bind(filter.category.map(|category| category.as_str()))
        .bind(limit)
        .fetch_all(&self.inner.readers)
        .await
        .map_err(read_failed)?;
        let inner = self.inner.clone();
        off_thread(move || rows.iter().map(|row| inner.read_case(row)).collect::<Result<_, _>>())
            .await?
            .map_err(read_failed)
    }

    async fn open(&self, id: SubmissionId) -> Result<Case, CaseError> {
        let row = self.inner.case_row(id).await?;
        let case = self.inner.read_case(&row).map_err(read_failed)?;
        if case.face.is_none() && case.head.state != State::Erased { Err(CaseError::Damaged) } else { Ok(case) }
    }

    async fn message(&self, id: SubmissionId) -> Result<Vec<u8>, CaseError> {
        let row = self.inner.case_row(id).await?;
        let inner = self.inner.clone();
        off_thread(move || inner.read_message(id, &row)).await?
    }

    async fn transition(
        &self,
        id: SubmissionId,
        epoch: u64,
        to: State,
        outbox: Vec<OutboxItem>,
        events: Vec<Event>,
    ) -> Result<(), CaseError> {
        let key = if outbox.is_empty() { None } else { self.inner.case_key(id).await? };
        let outbox = match key {
            Some(key) => self.inner.clone().seal_items(key, outbox).await?,
            None if outbox.is_empty() => Vec::new(),
            None => return Err(CaseError::WrongState),
        };
        let files = outbox.iter().filter_map(|item| item.blob.clone()).collect();
        let act = Act::Transition { id, epoch, to, outbox };
        let outcome = self.inner.submit(events, Beside::default(), Some(act)).await;
        self.inner.tidy(outcome, files).await.map(drop)
    }

    async fn erase(&self, id: SubmissionId, events: Vec<Event>) -> Result<Erasure, CaseError> {
        self.inner.erase(id, events).await
    }
}

/// What the client of a held message hears.
pub(super) fn taken(case: SubmissionId) -> Reply {
    Reply::new(250, (2, 0, 0), &format!("Taken as {case}"))
}

fn clear(face: &Face) -> Vec<u8> {
    serde_json::to_vec(face).expect("a face holds only what JSON can carry")
}

/// How much waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Cases in state waiting.
    pub cases: u64,
    pub outbox_items: u64,
}

impl Store {
    /// The cases that wait beyond their time, the longest first, with their desks. Reads an index alone.
    pub async fn expired(&self, now: OffsetDateTime) -> Result<Vec<(SubmissionId, Category)>, StoreDown> {
        let rows = sqlx::query(
            // Named, since SQLite would take the one by state and sort.
            "SELECT id, category FROM cases INDEXED BY cases_waiting_by_expiry
             WHERE state = 'waiting' AND expires <= ?1 ORDER BY expires",
        )
        .bind(micros(now))
        .fetch_all(&self.inner.readers)
        .await
        .map_err(read_failed)?;
        let read = |row| Ok((id_at(row, "id")?, parse_word(row.try_get("category")?)?));
        rows.iter().map(read).collect::<Result<_, _>>().map_err(read_failed)
    }

    /// For the gauges.
    pub async fn waiting(&self) -> Result<Waiting, StoreDown> {
        let row =
            sqlx::query("SELECT (SELECT count(*) FROM cases WHERE state = 'waiting'), (SELECT count(*) FROM outbox)")
                .fetch_one(&self.inner.readers)
                .await
                .map_err(read_failed)?;
        let count = |column| row.try_get::<i64, _>(column).map(|count| count as u64).map_err(read_failed);
        Ok(Waiting { cases: count(0)?, outbox_items: count(1)? })
    }
}

impl Inner {
    fn seal_case(&self, case: NewCase, outbox: &[OutboxItem]) -> Result<HeldCase, StoreDown> {
        let NewCase { mut head, face, message, tell_later, split: _, addressed } = case;
        head.bytes = message.len() as u64;
        let (key, wrapped) = self.wrapper.fresh(head.id);
        let told = outbox.iter().any(|item| item.kind == ItemKind::Notice);
        let sender = face.envelope.sender.address.as_ref();
        let sender = sender.map(|sender| self.hash(Kind::Address, &sender.folded()));
        Ok(HeldCase {
            stopped: addressed.map(|addressed| self.stop_row(&addressed, Some(head.id))),
            face: key.seal(What::Face, &clear(&face)),
            message: self.write_blob(&key.pack(What::Message, head.id, &message))?,
            lookup: self.lookup_rows(&face),
            outbox: self.seal_item_rows(&key, outbox)?,
            told: sender.filter(|_| told),
            untold: sender.filter(|_| tell_later && !told),
            wrapped,
            head,
        })
    }

    fn lookup_rows(&self, face: &Face) -> Vec<(i64, [u8; 32])> {
        let author = face.author.expose();
        let author =
            author.rsplit_once('<').map_or(author.as_str(), |(_, rest)| rest.split('>').next().unwrap_or(rest));
        let author = Address::parse(author.trim()).ok();
        let recipients = face.envelope.recipients.iter().map(|path| &path.address);
        let mut rows = vec![(Kind::MessageId as i64, self.hash_message_id(face.message_id.expose()))];
        for address in face.envelope.sender.address.iter().chain(&author).chain(recipients) {
            rows.push((Kind::Address as i64, self.hash(Kind::Address, &address.folded())));
            rows.push((Kind::Domain as i64, self.hash(Kind::Domain, &address.domain().to_lowercase())));
        }
        rows.sort_unstable();
        rows.dedup();
        rows
    }

    pub(super) async fn seal_items(
        self: Arc<Self>,
        key: CaseKey,
        items: Vec<OutboxItem>,
    ) -> Result<Vec<ItemRow>, StoreDown> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let inner = self.clone();
        let _room = inner.sealing.acquire().await.map_err(|_| StoreDown)?;
        off_thread(move || self.seal_item_rows(&key, &items)).await?
    }

    fn seal_item_rows(&self, key: &CaseKey, items: &[OutboxItem]) -> Result<Vec<ItemRow>, StoreDown> {
        items.iter().map(|item| self.seal_item(key, item)).collect()
    }

    fn seal_item(&self, key: &CaseKey, item: &OutboxItem) -> Result<ItemRow, StoreDown> {
        let sealed = key.pack(What::Content, item.id, &item.content);
        let (content, blob) =
            if sealed.len() > SMALL { (None, Some(self.write_blob(&sealed)?)) } else { (Some(sealed), None) };
        let envelope = serde_json::to_vec(&item.envelope).expect("an envelope holds only what JSON can carry");
        Ok(ItemRow {
            id: item.id,
            case: item.case,
            kind: item.kind,
            envelope: key.seal_item(What::Envelope, item.id, &envelope),
            content,
            blob,
            bytes: item.content.len(),
        })
    }

    fn write_blob(&self, sealed: &[u8]) -> Result<String, StoreDown> {
        self.blobs.write(sealed).map_err(|error| {
            tracing::error!(%error, "A sealed file could not be written");
            StoreDown
        })
    }

    /// After a commit: removes files that no row names, those that were `written` for a refused act among them.
    pub(super) async fn tidy(
        &self,
        outcome: Result<Acted, CaseError>,
        written: Vec<String>,
    ) -> Result<Acted, CaseError> {
        // A failed store does not know what it has committed: its files stay until a start has looked.
        let removable = match &outcome {
            Ok(acted) => acted.removable.clone(),
            Err(_) if self.health.has_failed() => Vec::new(),
            Err(_) => written,
        };
        self.remove_files(removable).await;
        outcome
    }

    /// Whether all are gone. What stays is taken by the sweep at the next start.
    pub(super) async fn remove_files(&self, names: Vec<String>) -> bool {
        if names.is_empty() {
            return true;
        }
        let blobs = self.blobs.clone();
        let removed = off_thread(move || {
            names.iter().all(|name| {
                let removed = blobs.remove(name);
                if let Err(error) = &removed {
                    tracing::warn!(%error, "A sealed file could not be removed; the next start tries again");
                }
                removed.is_ok()
            })
        });
        removed.await.unwrap_or(false)
    }

    /// None when there is none (any more).
    pub(super) async fn case_key(&self, case: SubmissionId) -> Result<Option<CaseKey>, CaseError> {
        let wrapped: Option<Vec<u8>> = sqlx::query_scalar("SELECT wrapped FROM keys WHERE id = ?1")
            .bind(&case.as_bytes()[..])
            .fetch_optional(&self.readers)
            .await
            .map_err(read_failed)?;
        let Some(wrapped) = wrapped else { return Ok(None) };
        self.wrapper.unwrap(case, &wrapped).map(Some).map_err(|error| {
            tracing::error!(%case, %error, "The key of a case is damaged");
            CaseError::Damaged
        })
    }

    pub(super) async fn case_row(&self, id: SubmissionId) -> Result<SqliteRow, CaseError> {
        sqlx::query(
            "SELECT cases.id, state, category, rules, bytes, received, expires, epoch, face, message, wrapped
             FROM cases LEFT JOIN keys ON keys.id = cases.id WHERE cases.id = ?1",
        )
        .bind(&id.as_bytes()[..])
        .fetch_optional(&self.readers)
        .await
        .map_err(read_failed)?
        .ok_or(CaseError::Unknown)
    }

    /// The face is None when the case is erased or its key damaged.
    pub(super) fn read_case(&self, row: &SqliteRow) -> Result<Case, sqlx::Error> {
        let head = CaseHead {
            id: id_at(row, "id")?,
            state: parse_word(row.try_get("state")?)?,
            category: parse_word(row.try_get("category")?)?,
            rules: serde_json::from_str(row.try_get("rules")?).map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            bytes: row.try_get::<i64, _>("bytes")? as u64,
            received: from_micros(row.try_get("received")?)?,
            expires: from_micros(row.try_get("expires")?)?,
            epoch: row.try_get::<i64, _>("epoch")? as u64,
        };
        let (wrapped, sealed): (Option<&[u8]>, Option<&[u8]>) = (row.try_get("wrapped")?, row.try_get("face")?);
        let (Some(wrapped), Some(sealed)) = (wrapped, sealed) else { return Ok(Case { head, face: None }) };
        let clear = self.wrapper.unwrap(head.id, wrapped).and_then(|key| key.open(What::Face, sealed)).ok();
        let face = clear.and_then(|clear| serde_json::from_slice(&clear).ok());
        if face.is_none() {
            tracing::error!(case = %head.id, "The face of a case cannot be opened");
        }
        Ok(Case { head, face })
    }

    fn read_message(&self, id: SubmissionId, row: &SqliteRow) -> Result<Vec<u8>, CaseError> {
        let name: Option<&str> = row.try_get("message").map_err(read_failed)?;
        let wrapped: Option<&[u8]> = row.try_get("wrapped").map_err(read_failed)?;
        let bytes: i64 = row.try_get("bytes").map_err(read_failed)?;
        let (Some(name), Some(wrapped)) = (name, wrapped) else { return Err(CaseError::WrongState) };
        let damaged = |what: &dyn std::fmt::Display| {
            tracing::error!(case = %id, "The message of a case cannot be read: {what}");
            CaseError::Damaged
        };
        let sealed = self.blobs.read(name).map_err(|error| damaged(&error))?;
        let key = self.wrapper.unwrap(id, wrapped).map_err(|error| damaged(&error))?;
        key.unpack(What::Message, id, &sealed, bytes as usize).map_err(|error| damaged(&error))
    }
}

pub(super) fn id_at(row: &SqliteRow, column: &str) -> Result<SubmissionId, sqlx::Error> {
    let bytes: &[u8] = row.try_get(column)?;
    let bytes = bytes.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(SubmissionId::from_bytes(bytes))
}
