//! Accounts. Their names are sealed, and found by keyed hash.

use super::{
    Inner, Store,
    acts::{Act, Acted, Stop},
    read_failed,
    schema::{from_micros, micros},
    seal::Unsealable,
    writer::Beside,
};
use crate::{
    audit::{Event, What},
    intake::{Account, AccountName, Accounts, PasswordHash, StoreDown},
    mail::SubmissionId,
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};
use time::OffsetDateTime;

const COLUMNS: &str = "SELECT lookup, name, password, disabled, created, changed FROM accounts";

/// An account as it is written.
pub(super) struct AccountRow {
    lookup: [u8; 32],
    name: Vec<u8>,
    password: String,
    disabled: bool,
    created: i64,
    changed: i64,
}

impl Store {
    /// All accounts, in the order of their names.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreDown> {
        let rows = sqlx::query(COLUMNS).fetch_all(&self.inner.readers).await.map_err(read_failed)?;
        let accounts: Result<Vec<_>, _> = rows.iter().map(|row| self.inner.read_account(row)).collect();
        let mut accounts = accounts.map_err(read_failed)?;
        accounts.sort_by(|a, b| a.name.expose().cmp(b.name.expose()));
        Ok(accounts)
    }

    /// Makes an account, or changes the one of this name; `act` is what the book says of it. Durable when it returns.
    pub async fn put_account(&self, account: &Account, act: &str, by: &str) -> Result<(), StoreDown> {
        let lookup = self.inner.account_lookup(&account.name);
        let row = AccountRow {
            lookup,
            name: self.inner.wrapper.seal_name(place(&lookup), account.name.expose().as_bytes()),
            password: account.password.as_str().to_owned(),
            disabled: account.disabled,
            created: micros(account.created),
            changed: micros(account.changed),
        };
        let account = lookup.iter().map(|byte| format!("{byte:02x}")).collect();
        let what = What::Account { act: act.into(), account, by: by.into() };
        let event = Event { at: OffsetDateTime::now_utc(), submission: None, what };
        let written = self.inner.submit(vec![event], Beside::default(), Some(Act::Account(row))).await;
        written.map(drop).map_err(|_| StoreDown)
    }
}

impl Accounts for Store {
    async fn account(&self, name: &AccountName) -> Result<Option<Account>, StoreDown> {
        let found = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE lookup = ?1")))
            .bind(&self.inner.account_lookup(name)[..])
            .fetch_optional(&self.inner.readers)
            .await
            .map_err(read_failed)?;
        found.map(|row| self.inner.read_account(&row)).transpose().map_err(read_failed)
    }
}

impl Inner {
    fn account_lookup(&self, name: &AccountName) -> [u8; 32] {
        self.lookup.mac(&[b"account", name.expose().as_bytes()])
    }

    fn read_account(&self, row: &SqliteRow) -> Result<Account, sqlx::Error> {
        let damaged = || sqlx::Error::Decode(Box::new(Unsealable));
        let lookup: Vec<u8> = row.try_get(0)?;
        let lookup: [u8; 32] = lookup.try_into().map_err(|_| damaged())?;
        let sealed: Vec<u8> = row.try_get(1)?;
        let name = self.wrapper.open_name(place(&lookup), &sealed).map_err(|_| damaged())?;
        let name = String::from_utf8(name).ok().and_then(|name| AccountName::parse(&name).ok()).ok_or_else(damaged)?;
        Ok(Account {
            name,
            password: PasswordHash::kept(row.try_get(2)?),
            disabled: row.try_get(3)?,
            created: from_micros(row.try_get(4)?)?,
            changed: from_micros(row.try_get(5)?)?,
        })
    }
}

/// What binds a sealed name to its row.
fn place(lookup: &[u8; 32]) -> SubmissionId {
    let mut half = [0; 16];
    half.copy_from_slice(&lookup[..16]);
    SubmissionId::from_bytes(half)
}

pub(super) async fn put(db: &mut SqliteConnection, row: &AccountRow) -> Result<Acted, Stop> {
    sqlx::query(
        "INSERT INTO accounts (lookup, name, password, disabled, created, changed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (lookup) DO UPDATE SET password = ?3, disabled = ?4, changed = ?6",
    )
    .bind(&row.lookup[..])
    .bind(&row.name)
    .bind(&row.password)
    .bind(row.disabled)
    .bind(row.created)
    .bind(row.changed)
    .execute(db)
    .await?;
    Ok(Acted::default())
}
