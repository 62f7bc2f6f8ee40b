//! Group commit: the one task that owns the write connection.
//!
//! In: jobs. Out: each job's outcome, durable when it comes. All jobs that wait are put into one transaction with
//! one link of the book and one sync. The head of the book is read inside `BEGIN IMMEDIATE`, so that two
//! processes on the same files build one chain. After a failed sync nothing is written any more until a restart.

use super::{
    acts::{Act, Acted, Stop, result_code},
    retry::{NewRecord, Records},
    room::Room,
    schema::now,
    split::{SplitRow, Splits},
};
use crate::{
    audit::chain::{Head, Link, hex},
    intake::StoreDown,
    keys::KeyedHash,
    quarantine::CaseError,
};
use sqlx::{Row, SqliteConnection};
use std::{
    fmt::Write,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

/// Confirmations wait no longer than this for a commit that takes them along.
const FLUSH: Duration = Duration::from_millis(200);
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// A link holds no more than this, so that verifying needs little memory.
const MOST_JOBS: usize = 512;
const MOST_EVENT_BYTES: usize = 4 << 20;

/// A file whose being there says that a write failed: the next start checks everything.
pub(super) const FAILED_MARK: &str = "write-failed";

macro_rules! write_sql {
    () => {
        "INSERT INTO link (number, node, previous, events, mac) SELECT ?, ?, ?, ?, ? WHERE ? IS NOT NULL;
         INSERT INTO retry (serial, key, reply, at)
             SELECT value ->> 0, unhex(value ->> 1), unhex(value ->> 2), value ->> 3 FROM json_each(?);
         DELETE FROM retry WHERE serial IN (SELECT value FROM json_each(?));
         INSERT OR REPLACE INTO thread (message, addresses, seen)
             SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2 FROM json_each(?);
         INSERT INTO split (message, recipients, first, case_id)
             SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, unhex(value ->> 3) FROM json_each(?) WHERE true
             ON CONFLICT (message) DO UPDATE SET recipients = CAST(recipients || excluded.recipients AS BLOB),
                 first = max(first, excluded.first), case_id = coalesce(excluded.case_id, case_id);
         COMMIT"
    };
}

/// Something to be committed.
pub(super) struct Job {
    /// Canonical events, separated by commas; may be empty.
    pub events: Vec<u8>,
    pub beside: Beside,
    pub act: Option<Act>,
    pub done: oneshot::Sender<Result<Acted, CaseError>>,
}

impl Job {
    fn erases(&self) -> bool {
        matches!(self.act, Some(Act::Erase { .. } | Act::Erased { .. }))
    }
}

/// What is written beside the events.
#[derive(Default)]
pub(super) struct Beside {
    pub retry: Option<NewRecord>,
    pub thread: Vec<ThreadRow>,
    pub split: Option<SplitRow>,
}

/// Who sees whom below one message id.
pub(super) struct ThreadRow {
    pub message: [u8; 32],
    pub addresses: Vec<u8>,
}

/// A commit that takes longer than this is waited for by those who wait already; nobody else begins to.
const STALLED: Duration = Duration::from_secs(5);

/// Whether the store writes.
#[derive(Default)]
pub(super) struct Health {
    state: AtomicU8,
    /// Since when a commit is under way.
    writing: Mutex<Option<Instant>>,
}

impl Health {
    const WELL: u8 = 0;
    /// The last commit did not come about (disk full, locked for long); the next one is tried.
    const STRAINED: u8 = 1;
    /// A sync or a write failed: what is on the disk is not known until a restart looks.
    const FAILED: u8 = 2;

    /// After a write that failed in the run before: nothing is written until `begin_service` has looked.
    pub fn failed() -> Self {
        Self { state: AtomicU8::new(Self::FAILED), writing: Mutex::default() }
    }

    pub fn is_well(&self) -> bool {
        self.state.load(Ordering::Acquire) == Self::WELL
    }

    pub fn has_failed(&self) -> bool {
        self.state.load(Ordering::Acquire) == Self::FAILED
    }

    /// The disk takes far too long.
    pub fn is_stalled(&self) -> bool {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|since| since.elapsed() > STALLED)
    }

    fn note_writing(&self, since: Option<Instant>) {
        *self.writing.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// The store was looked through and is whole.
    pub fn restore(&self) {
        self.set(Self::WELL);
    }

    fn set(&self, state: u8) {
        self.state.store(state, Ordering::Release);
    }
}

pub(super) struct Writer {
    pub db: SqliteConnection,
    pub jobs: mpsc::Receiver<Job>,
    pub records: Arc<Records>,
    pub splits: Arc<Splits>,
    pub health: Arc<Health>,
    pub book: KeyedHash,
    pub node: [u8; 16],
    /// The head that our own last commit left. Another process may have gone on from there.
    pub head: Option<Head>,
    pub room: Arc<Room>,
    pub data_dir: PathBuf,
}

impl Writer {
    /// Works until all senders are gone and their jobs are done.
    pub async fn run(mut self) {
        let (mut swept, mut swept_at) = (Instant::now(), now());
        loop {
            let mut batch = Vec::new();
            let mut closing = false;
            match timeout(FLUSH, self.jobs.recv()).await {
                Ok(Some(job)) => batch.push(job),
                Ok(None) => closing = true,
                Err(_) => {}
            }
            let mut bytes = batch.iter().map(|job: &Job| job.events.len()).sum::<usize>();
            while batch.len() < MOST_JOBS && bytes < MOST_EVENT_BYTES {
                let Ok(job) = self.jobs.try_recv() else { break };
                bytes += job.events.len();
                batch.push(job);
            }
            let due = swept.elapsed() > SWEEP_EVERY;
            // A clock that has jumped would have rows deleted before their time; in an hour it has proved itself.
            let jumped = due && now() - swept_at > 2 * SWEEP_EVERY.as_micros() as i64;
            if due {
                (swept, swept_at) = (Instant::now(), now());
            }
            if due && !jumped {
                self.records.expire(now());
                let (done, _) = oneshot::channel();
                let act = Some(Act::Sweep { now: now() });
                batch.push(Job { events: Vec::new(), beside: Beside::default(), act, done });
            }
            self.commit(batch).await;
            if closing {
                break;
            }
        }
        // Nothing is lost when this fails: all that was answered is in the write-ahead log.
        let _ = sqlx::Connection::close(self.db).await;
    }

    async fn commit(&mut self, batch: Vec<Job>) {
        let down = || Err(CaseError::Down(StoreDown));
        if self.health.has_failed() {
            batch.into_iter().for_each(|job| drop(job.done.send(down())));
            return;
        }
        let settled = self.records.take_settled();
        if batch.is_empty() && settled.is_empty() && self.health.is_well() {
            return;
        }
        self.health.note_writing(Some(Instant::now()));
        let written = self.transact(&batch, &settled).await;
        self.health.note_writing(None);
        match written {
            Ok(outcomes) => {
                self.health.set(Health::WELL);
                for (job, outcome) in batch.into_iter().zip(outcomes) {
                    if outcome.is_ok() {
                        job.beside.split.iter().for_each(|row| self.splits.saved(row));
                        job.beside.retry.into_iter().for_each(|record| self.records.insert(record));
                    }
                    // Who no longer waits has no need of the outcome.
                    let _ = job.done.send(outcome);
                }
            }
            Err(error) => {
                self.records.put_back(settled);
                self.note_fault(&error).await;
                // Erasing, and nothing else, may use the room that is kept for it.
                let (erasing, batch): (Vec<_>, Vec<_>) = batch.into_iter().partition(Job::erases);
                let again = is_full(&error) && !erasing.is_empty() && self.room.give_up();
                if again {
                    tracing::warn!("The disk is full: the reserve is given up for erasing");
                    Box::pin(self.commit(erasing)).await;
                } else {
                    erasing.into_iter().for_each(|job| drop(job.done.send(down())));
                }
                batch.into_iter().for_each(|job| drop(job.done.send(down())));
            }
        }
    }

    async fn note_fault(&mut self, error: &sqlx::Error) {
        // Fails when SQLite has rolled back by itself, which is as good.
        let _ = sqlx::query("ROLLBACK").execute(&mut self.db).await;
        if is_passing(error) {
            tracing::warn!(%error, "A commit did not come about; the store tries again with the next");
            self.health.set(Health::STRAINED);
            return;
        }
        tracing::error!(%error, "Writing failed; the store writes nothing more until a restart has checked it");
        self.health.set(Health::FAILED);
        // Best effort: on a disk that fails, the mark may fail too.
        let _ = std::fs::write(self.data_dir.join(FAILED_MARK), b"a write failed; the next start checks the store\n");
    }

    async fn transact(&mut self, batch: &[Job], settled: &[i64]) -> Result<Vec<Result<Acted, CaseError>>, sqlx::Error> {
        let known = self.head.take();
        let plain = self.health.is_well() && batch.iter().all(|job| job.act.is_none() && !job.events.is_empty());
        if let (Some(head), true, false) = (known, plain, batch.is_empty())
            && self.append_behind(head, batch, settled).await?
        {
            return Ok(batch.iter().map(|_| Ok(Acted::default())).collect());
        }
        let head = self.begin().await?;
        let mut outcomes = Vec::with_capacity(batch.len());
        for job in batch {
            outcomes.push(match &job.act {
                Some(act) => self.act(act).await?,
                None => Ok(Acted::default()),
            });
        }
        let done = || batch.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()).map(|(job, _)| job);
        let events = joined(done());
        if !self.health.is_well() && batch.is_empty() {
            // Whether there is room again shows only in a write.
            sqlx::query("UPDATE meta SET value = value WHERE name = 'node'").execute(&mut self.db).await?;
        }
        let link = (!events.is_empty()).then(|| Link::forge(&self.book, &self.node, head, events));
        let beside: Vec<&Beside> = done().map(|job| &job.beside).collect();
        let behind = link.as_ref().map_or(Some(head), Link::as_head);
        self.write(false, link, &beside, settled).await?;
        self.head = behind;
        Ok(outcomes)
    }

    /// A batch of plain messages behind the head that our own last commit left, in one call. False: another process
    /// has built on that head meanwhile, so its number is taken; nothing was written.
    async fn append_behind(&mut self, head: Head, batch: &[Job], settled: &[i64]) -> Result<bool, sqlx::Error> {
        let link = Link::forge(&self.book, &self.node, head, joined(batch.iter()));
        let beside: Vec<&Beside> = batch.iter().map(|job| &job.beside).collect();
        let behind = link.as_head();
        match self.write(true, Some(link), &beside, settled).await {
            Ok(()) => {
                self.head = behind;
                Ok(true)
            }
            // SQLITE_CONSTRAINT_PRIMARYKEY, _ROWID
            Err(error) if matches!(result_code(&error), Some(1555 | 2579)) => {
                sqlx::query("ROLLBACK").execute(&mut self.db).await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes the write lock and reads the book's head behind it.
    async fn begin(&mut self) -> Result<Head, sqlx::Error> {
        let begin = sqlx::query("BEGIN IMMEDIATE; SELECT number, mac FROM link ORDER BY number DESC LIMIT 1");
        let Some(row) = begin.fetch_optional(&mut self.db).await? else { return Ok(Head::EMPTY) };
        let mac: &[u8] = row.try_get(1)?;
        let mac = mac.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok(Head { number: row.try_get::<i64, _>(0)? as u64, mac })
    }

    /// All that a batch of plain messages writes, and the commit, in one call: each call to the database's thread
    /// costs as much as several statements. Places without numbers, since sqlx counts on over all statements. Rows
    /// come as JSON arrays of arrays; an empty array is no row.
    async fn write(
        &mut self,
        begins: bool,
        link: Option<Link>,
        beside: &[&Beside],
        settled: &[i64],
    ) -> Result<(), sqlx::Error> {
        let seen = now();
        let retry = json_rows(beside.iter().filter_map(|beside| beside.retry.as_ref()), |row, record| {
            write!(row, "[{},\"{}\",\"{}\",{}]", record.serial, hex(&record.key.0), hex(&record.sealed), record.at)
        });
        let thread = json_rows(beside.iter().flat_map(|beside| &beside.thread), |text, row| {
            write!(text, "[\"{}\",\"{}\",{seen}]", hex(&row.message), hex(&row.addresses))
        });
        let split = json_rows(beside.iter().filter_map(|beside| beside.split.as_ref()), |text, row| {
            let case = row.case.map_or(String::from("null"), |case| format!("\"{}\"", hex(case.as_bytes())));
            write!(text, "[\"{}\",\"{}\",{},{case}]", hex(&row.key.0), hex(&row.recipients), row.first)
        });
        let settled = json_rows(settled, |text, serial| write!(text, "{serial}"));
        let (number, node, previous, events, mac) = match link {
            Some(link) => (Some(link.number as i64), link.node, link.previous, link.events, link.mac),
            None => Default::default(),
        };
        let sql = if begins { concat!("BEGIN IMMEDIATE;", write_sql!()) } else { write_sql!() };
        sqlx::query(sql)
            .bind(number)
            .bind(node)
            .bind(previous)
            .bind(events)
            .bind(mac)
            .bind(number)
            .bind(retry)
            .bind(settled)
            .bind(thread)
            .bind(split)
            .execute(&mut self.db)
            .await?;
        Ok(())
    }

    async fn act(&mut self, act: &Act) -> Result<Result<Acted, CaseError>, sqlx::Error> {
        sqlx::query("SAVEPOINT act").execute(&mut self.db).await?;
        let outcome = match act.carry_out(&mut self.db).await {
            Ok(acted) => Ok(acted),
            Err(Stop::Refused(refusal)) => {
                sqlx::query("ROLLBACK TO act").execute(&mut self.db).await?;
                Err(refusal)
            }
            Err(Stop::Fault(error)) => return Err(error),
        };
        sqlx::query("RELEASE act").execute(&mut self.db).await?;
        Ok(outcome)
    }
}

/// Nothing was committed, nothing is in doubt, and the next commit may well succeed: busy, locked, disk full, no
/// room for the index of the write-ahead log (SQLITE_IOERR_SHMSIZE).
fn is_passing(error: &sqlx::Error) -> bool {
    matches!(result_code(error), Some(code) if matches!(code & 0xff, 5 | 6 | 13) || code == 4874)
}

/// SQLITE_FULL, SQLITE_IOERR_SHMSIZE.
fn is_full(error: &sqlx::Error) -> bool {
    matches!(result_code(error), Some(code) if code & 0xff == 13 || code == 4874)
}

/// The events of all these as one JSON array; nothing when there are none.
fn joined<'a>(jobs: impl Iterator<Item = &'a Job>) -> Vec<u8> {
    let mut events = Vec::new();
    for job in jobs.filter(|job| !job.events.is_empty()) {
        events.push(if events.is_empty() { b'[' } else { b',' });
        events.extend_from_slice(&job.events);
    }
    if !events.is_empty() {
        events.push(b']');
    }
    events
}

fn json_rows<T>(rows: impl IntoIterator<Item = T>, write_row: impl Fn(&mut String, T) -> std::fmt::Result) -> String {
    let mut json = String::from("[");
    for (index, row) in rows.into_iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        write_row(&mut json, row).expect("writing to a String cannot fail");
    }
    json.push(']');
    json
}
