//! Opening the database: its files' modes, its settings, its schema, and whose it is.

use super::{OpenError, blobs::make_folder, seal::random};
use crate::keys::{KeyedHash, Keys, Purpose};
use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{fs::OpenOptions, io, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};
use time::OffsetDateTime;

/// The migrations in order; `PRAGMA user_version` says how many were made. Never change one that was released.
const MIGRATIONS: [&str; 5] = [
    include_str!("migrations/0001-first.sql"),
    include_str!("migrations/0002-untold.sql"),
    include_str!("migrations/0003-accounts.sql"),
    include_str!("migrations/0004-split.sql"),
    include_str!("migrations/0005-recipients.sql"),
];

/// "outg" as a number, so that `file` and a person can tell whose database this is.
const APPLICATION_ID: i64 = 0x6f75_7467;

/// Another process (the `case` commands) may hold the write lock for a commit; longer is a fault.
const BUSY: Duration = Duration::from_secs(5);

pub(super) const FILE: &str = "outgate.db";

fn options(data_dir: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(data_dir.join(FILE))
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .pragma("secure_delete", "ON")
        // Sorting never spills into a file outside the data folder.
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

/// The one connection that writes, on a database that has this version's schema and this key.
pub(super) async fn open_writer(data_dir: &Path, keys: &Keys) -> Result<(SqliteConnection, [u8; 16]), OpenError> {
    make_folder(data_dir)?;
    make_private_file(&data_dir.join(FILE))?;
    let mut writer = options(data_dir).connect().await?;
    migrate(&mut writer).await?;
    let node = claim(&mut writer, &keys.hasher(Purpose::Book)).await?;
    Ok((writer, node))
}

/// Connections that only read.
pub(super) async fn open_readers(data_dir: &Path) -> Result<SqlitePool, OpenError> {
    let options = options(data_dir).pragma("query_only", "ON");
    Ok(SqlitePoolOptions::new().max_connections(4).acquire_timeout(BUSY).connect_with(options).await?)
}

/// A connection for a checkpoint: it gives up soon, since a reader may stand in its way.
pub(super) async fn open_for_checkpoint(data_dir: &Path) -> Result<SqliteConnection, sqlx::Error> {
    options(data_dir).busy_timeout(Duration::from_millis(500)).connect().await
}

/// SQLite gives the log and the index beside the database the mode of the database.
fn make_private_file(path: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

async fn migrate(writer: &mut SqliteConnection) -> Result<(), OpenError> {
    let known = MIGRATIONS.len() as i64;
    let mut found = version(writer).await?;
    if found < known {
        // Looked at again inside the lock: another process may have been faster.
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        found = version(&mut transaction).await?;
        for (index, migration) in MIGRATIONS.iter().enumerate().skip(found.max(0) as usize) {
            sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
            let done = format!("PRAGMA user_version = {}; PRAGMA application_id = {APPLICATION_ID}", index + 1);
            sqlx::raw_sql(sqlx::AssertSqlSafe(done)).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        found = found.max(known);
    }
    if found > known { Err(OpenError::NewerSchema { found, known }) } else { Ok(()) }
}

async fn version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA user_version").fetch_one(connection).await
}

/// Finds the node's name, or gives it one; refuses a database that was made with another master key.
async fn claim(writer: &mut SqliteConnection, book: &KeyedHash) -> Result<[u8; 16], OpenError> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    let fresh: [u8; 16] = random();
    let check = |node: &[u8]| book.mac(&[b"outgate key check", node]);
    sqlx::query(
        "INSERT INTO meta (name, value) SELECT 'node', ?1 WHERE NOT EXISTS (SELECT 1 FROM meta WHERE name = 'node')",
    )
    .bind(&fresh[..])
    .execute(&mut *transaction)
    .await?;
    let node: Vec<u8> =
        sqlx::query("SELECT value FROM meta WHERE name = 'node'").fetch_one(&mut *transaction).await?.try_get(0)?;
    sqlx::query("INSERT INTO meta (name, value) SELECT 'key-check', ?1 WHERE NOT EXISTS (SELECT 1 FROM meta WHERE name = 'key-check')")
        .bind(&check(&node)[..])
        .execute(&mut *transaction)
        .await?;
    let noted: Vec<u8> = sqlx::query("SELECT value FROM meta WHERE name = 'key-check'")
        .fetch_one(&mut *transaction)
        .await?
        .try_get(0)?;
    transaction.commit().await?;
    if !book.verify(&[b"outgate key check", &node], &noted) || noted.len() != 32 {
        return Err(OpenError::WrongKey);
    }
    node.try_into().map_err(|_| OpenError::WrongKey)
}

/// A time as it stands in the database.
pub(super) fn micros(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000)).expect("OffsetDateTime ends with the year 9999")
}

pub(super) fn from_micros(micros: i64) -> Result<OffsetDateTime, sqlx::Error> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

pub(super) fn now() -> i64 {
    micros(OffsetDateTime::now_utc())
}
