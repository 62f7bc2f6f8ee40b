//! The cellar: SQLite and sealed files.
//!
//! In: jobs from the rooms (cases, outbox, book, retry records, facts). Out: durable rows and files, and what was
//! asked for. Never: a word or an address of a message in clear on the disk, a write after a failed sync, a link
//! of the book that does not continue the one before it.
//!
//! Several processes may have one folder open: `serve` and the `case` commands beside it. What only one may do is
//! in [`Store::begin_service`]. The formats are described in `docs/reference/disk.md`.

mod accounts;
mod acts;
mod blobs;
mod book;
mod bypass;
mod cases;
mod erasing;
mod facts;
mod hidden;
mod joining;
mod outbox;
mod retry;
mod room;
mod schema;
mod seal;
mod service;
mod split;
mod stopped;
mod writer;

#[cfg(test)]
mod tests;

pub use cases::Waiting;
pub use facts::AddressHash;
pub use joining::Untold;

use crate::{
    audit::{Event, chain::canonical},
    intake::{RetryBook, RetryKey, SplitKey, StoreDown},
    keys::{KeyedHash, Keys, Purpose},
    mail::{SubmissionId, wire::Reply},
    policy::{Addressed, FactQuery},
    quarantine::{CaseError, Telling},
};
use acts::{Act, Acted};
use retry::{NewRecord, Records, Standing};
use room::Room;
use seal::{CaseKey, What, Wrapper};
use split::Splits;
use sqlx::{Row, SqliteConnection, SqlitePool};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use stopped::Stopped;
use tokio::sync::{Semaphore, mpsc, oneshot};
use writer::{Beside, Health, Job, Writer};

/// Waiting jobs; beyond it whoever submits waits too.
const QUEUE: usize = 1024;

/// Messages that are compressed and sealed at once: each needs up to three times its size meanwhile.
const SEALING: usize = 4;

/// The number of the key that belongs to no case.
const NODE_KEY: [u8; 16] = [0; 16];

/// The store. Cheap to clone; the last clone's end ends the writer, after what was submitted.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    data_dir: PathBuf,
    jobs: mpsc::Sender<Job>,
    readers: SqlitePool,
    records: Arc<Records>,
    splits: Arc<Splits>,
    stopped: Stopped,
    health: Arc<Health>,
    blobs: blobs::Blobs,
    room: Arc<Room>,
    sealing: Semaphore,
    /// Held while a case's face is read, changed and written.
    faces: tokio::sync::Mutex<()>,
    wrapper: Wrapper,
    node_key: CaseKey,
    lookup: KeyedHash,
    book: KeyedHash,
    node: [u8; 16],
    /// This run, as the owner of leases.
    run: [u8; 16],
    /// Held by the one process that serves.
    serving: Mutex<Option<File>>,
}

/// Why a data folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data folder cannot be used: {0}")]
    Folder(#[from] io::Error),
    #[error("the database cannot be used: {0}")]
    Database(#[from] sqlx::Error),
    #[error(
        "the database has schema {found}, and this outgate knows schemas up to {known}: it was written by a newer \
         outgate; run that one, or restore a backup of the older one"
    )]
    NewerSchema { found: i64, known: i64 },
    #[error("the key file is not the one with which this data folder was made; put the right key file in its place")]
    WrongKey,
    #[error("another outgate serves this data folder already")]
    AlreadyServed,
    #[error("the database is damaged ({0}); restore a backup")]
    Damaged(String),
}

/// What is committed for a message that was relayed, returned or put off.
#[derive(Debug, Default)]
pub struct Entry {
    events: Vec<Event>,
    retry: Option<(RetryKey, Reply)>,
    late: bool,
    thread: Option<Thread>,
    noticed: Option<FactQuery>,
    split: Option<SplitKey>,
    telling: Option<(SubmissionId, Telling)>,
    stopped: Option<Addressed>,
}

#[derive(Debug)]
struct Thread {
    message_id: String,
    references: Vec<String>,
    visible: Vec<String>,
}

impl Entry {
    pub fn new(events: Vec<Event>) -> Self {
        Self { events, ..Self::default() }
    }

    /// The final reply that the client gets for this hand-in.
    pub fn with_retry(mut self, key: RetryKey, reply: Reply) -> Self {
        self.retry = Some((key, reply));
        self
    }

    /// The message, which other transactions may bring to more recipients.
    pub fn with_split(mut self, key: Option<SplitKey>) -> Self {
        self.split = key;
        self
    }

    /// The recipients of this message were hidden: what its sender is told, and to whom it was addressed.
    pub fn with_hidden(mut self, id: SubmissionId, telling: Option<Telling>, stopped: Option<Addressed>) -> Self {
        self.telling = telling.map(|telling| (id, telling));
        self.stopped = stopped;
        self
    }

    /// The client was answered 451 before this reply came: its retry gets it.
    pub fn late(mut self) -> Self {
        self.late = true;
        self
    }

    /// Who sees whom from now on in this thread: folded addresses of To, Cc and the author. Only for a message
    /// that left with these fields as they are. Five or fewer are not recorded.
    pub fn with_thread(mut self, message_id: &str, references: &[String], visible: &[String]) -> Self {
        self.thread = Some(Thread {
            message_id: message_id.to_owned(),
            references: references.to_vec(),
            visible: visible.to_vec(),
        });
        self
    }

    /// The message left with the notices that `thread` names, so that the rest of its thread need not have them.
    pub fn with_notices(mut self, thread: FactQuery) -> Self {
        self.noticed = Some(thread);
        self
    }
}

impl Store {
    /// Opens or makes the store in `data_dir`. Must be called inside a tokio runtime. After a write that failed in an
    /// earlier run it can only be read until `begin_service` has looked it through.
    pub async fn open(data_dir: &Path, keys: &Keys) -> Result<Self, OpenError> {
        let (mut db, node) = schema::open_writer(data_dir, keys).await?;
        let wrapper = Wrapper::new(keys);
        let node_key = node_key(&mut db, &wrapper).await?;
        let records = Arc::new(Records::new());
        load_records(&mut db, &node_key, &records).await?;
        let splits = Arc::new(Splits::load(&mut db).await?);
        let stopped = Stopped::load(&mut db).await?;
        let readers = schema::open_readers(data_dir).await?;
        let failed = data_dir.join(writer::FAILED_MARK).exists();
        let health = Arc::new(if failed { Health::failed() } else { Health::default() });
        let (jobs, queue) = mpsc::channel(QUEUE);
        let book = keys.hasher(Purpose::Book);
        let room = Arc::new(Room::new(data_dir));
        let writer = Writer {
            db,
            jobs: queue,
            records: records.clone(),
            splits: splits.clone(),
            health: health.clone(),
            book: book.clone(),
            node,
            head: None,
            room: room.clone(),
            data_dir: data_dir.to_owned(),
        };
        tokio::spawn(writer.run());
        let inner = Inner {
            data_dir: data_dir.to_owned(),
            jobs,
            readers,
            records,
            splits,
            stopped,
            health,
            blobs: blobs::Blobs::open(data_dir)?,
            room,
            sealing: Semaphore::new(SEALING),
            faces: tokio::sync::Mutex::default(),
            wrapper,
            node_key,
            lookup: keys.hasher(Purpose::Lookup),
            book,
            node,
            run: seal::random(),
            serving: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether writes succeed, and soon. After a failed sync this is false until a restart.
    pub fn is_healthy(&self) -> bool {
        self.inner.health.is_well() && !self.inner.health.is_stalled() && !self.inner.jobs.is_closed()
    }

    /// Whether nothing is written any more until a restart.
    pub fn has_failed(&self) -> bool {
        self.inner.health.has_failed()
    }

    /// Whether the disk has room only for the desk.
    pub fn is_short_of_room(&self) -> bool {
        self.inner.room.is_short()
    }

    /// Writes events, and what the client was told, into one commit with others. Durable when it returns.
    pub async fn record(&self, events: Vec<Event>, retry: Option<(RetryKey, Reply)>) -> Result<(), StoreDown> {
        self.commit(Entry { events, retry, ..Entry::default() }).await
    }

    /// As `record`, with all that an entry may carry.
    pub async fn commit(&self, entry: Entry) -> Result<(), StoreDown> {
        let standing = if entry.late { Standing::Unconfirmed } else { Standing::Open };
        let retry = entry.retry.map(|(key, reply)| self.inner.new_record(key, reply, standing));
        let mut thread = entry.thread.map(|thread| self.inner.thread_rows(&thread)).unwrap_or_default();
        thread.extend(entry.noticed.iter().flat_map(|noticed| self.inner.noticed_rows(noticed)));
        let split = self.inner.split_row(entry.split, None);
        let act = match (entry.telling, entry.stopped) {
            (None, None) => None,
            (telling, stopped) => Some(self.inner.hidden_act(telling, stopped).await?),
        };
        let files = act.iter().flat_map(|act| &act.outbox).filter_map(|item| item.blob.clone()).collect();
        let outcome = self.inner.submit(entry.events, Beside { retry, thread, split }, act.map(Act::Enqueue)).await;
        self.inner.tidy(outcome, files).await.map(drop).map_err(|_| StoreDown)
    }

    /// The client took note of the answer: its record goes with the next commit, within 200 ms.
    pub fn confirm(&self, key: RetryKey) {
        self.inner.records.confirm(key);
    }

    /// The connection ended before the client took note: the next hand-in of the same is answered from the record.
    pub fn unconfirmed(&self, key: RetryKey) {
        self.inner.records.unconfirm(key);
    }

    /// Waits until all that was submitted and confirmed before is on the disk.
    pub async fn flush(&self) -> Result<(), StoreDown> {
        self.commit(Entry::default()).await
    }
}

impl RetryBook for Store {
    /// Also the first question of each walk: a store that cannot write down what becomes of a message is down, and
    /// nothing is sent that nobody could account for.
    async fn answer(&self, key: RetryKey) -> Result<Option<Reply>, StoreDown> {
        if !self.is_healthy() {
            return Err(StoreDown);
        }
        Ok(self.inner.records.answer(key))
    }
}

impl Inner {
    fn new_record(&self, key: RetryKey, reply: Reply, standing: Standing) -> NewRecord {
        let sealed = self.node_key.seal(What::Reply, &retry::encode(&reply));
        NewRecord { serial: self.records.serial(), key, reply, sealed, at: schema::now(), standing }
    }

    async fn submit(&self, events: Vec<Event>, beside: Beside, act: Option<Act>) -> Result<Acted, CaseError> {
        let down = CaseError::Down(StoreDown);
        if self.health.has_failed() {
            return Err(down);
        }
        let mut canonical_events = Vec::new();
        for event in &events {
            if !canonical_events.is_empty() {
                canonical_events.push(b',');
            }
            canonical_events.extend_from_slice(&canonical(event));
        }
        let (done, outcome) = oneshot::channel();
        self.jobs.send(Job { events: canonical_events, beside, act, done }).await.map_err(|_| down)?;
        outcome.await.map_err(|_| down)?
    }
}

/// A read that failed: the caller hears that the store is down, the log why.
fn read_failed(error: sqlx::Error) -> StoreDown {
    tracing::error!(%error, "Reading from the store failed");
    StoreDown
}

/// A task off the threads that answer; it fails only with a panic.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreDown> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(panicked = error.is_panic(), "Work of the store on a message did not end");
        StoreDown
    })
}

async fn node_key(db: &mut SqliteConnection, wrapper: &Wrapper) -> Result<CaseKey, OpenError> {
    let id = SubmissionId::from_bytes(NODE_KEY);
    let (_, fresh) = wrapper.fresh(id);
    sqlx::query("INSERT OR IGNORE INTO keys (id, wrapped) VALUES (?1, ?2)")
        .bind(&NODE_KEY[..])
        .bind(fresh)
        .execute(&mut *db)
        .await?;
    let wrapped: Vec<u8> =
        sqlx::query_scalar("SELECT wrapped FROM keys WHERE id = ?1").bind(&NODE_KEY[..]).fetch_one(db).await?;
    wrapper.unwrap(id, &wrapped).map_err(|_| OpenError::Damaged("the node's own key cannot be unwrapped".into()))
}

/// What an earlier run told clients without hearing that they took note.
async fn load_records(db: &mut SqliteConnection, key: &CaseKey, records: &Records) -> Result<(), OpenError> {
    let rows = sqlx::query("SELECT serial, key, reply, at FROM retry WHERE at > ?1")
        .bind(schema::now() - retry::KEPT_MICROS)
        .fetch_all(db)
        .await?;
    for row in rows {
        let sealed: Vec<u8> = row.try_get(2)?;
        let reply = key.open(What::Reply, &sealed).ok().and_then(|clear| retry::decode(&clear));
        let (Some(reply), Ok(retry_key)) = (reply, row.try_get::<Vec<u8>, _>(1)?.try_into()) else {
            tracing::warn!("A retry record cannot be read; a retry of that message will be walked again");
            continue;
        };
        records.insert(NewRecord {
            serial: row.try_get(0)?,
            key: RetryKey(retry_key),
            reply,
            sealed,
            at: row.try_get(3)?,
            standing: Standing::Unconfirmed,
        });
    }
    Ok(())
}
