//! `outgate user …`: accounts of people who hand in mail with a password.

use super::{
    Failure,
    arguments::{Arguments, User, UserCommand},
    exit, opening,
};
use crate::{
    intake::{Account, AccountName, Accounts, PasswordHash},
    sensitive::Sensitive,
    store::Store,
};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Who acts, as the book names them.
const BY: &str = "command line";

/// Longer than any password.
const LONGEST_LINE: u64 = 4_096;

pub fn run(arguments: &Arguments, options: &User) -> Result<u8, Failure> {
    opening::block_on(async {
        let store = opening::store(arguments).await?;
        match &options.command {
            UserCommand::Add { name } => add(&store, &named(name)?).await,
            UserCommand::List => list(&store, arguments.json).await,
            UserCommand::Password { name } => {
                let account = existing(&store, &named(name)?).await?;
                let password = hashed(&password()?)?;
                put(&store, Account { password, ..account }, "password changed").await
            }
            UserCommand::Disable { name } => {
                let account = existing(&store, &named(name)?).await?;
                put(&store, Account { disabled: true, ..account }, "disabled").await
            }
            UserCommand::Enable { name } => {
                let account = existing(&store, &named(name)?).await?;
                put(&store, Account { disabled: false, ..account }, "enabled").await
            }
        }
    })
}

fn named(text: &str) -> Result<AccountName, Failure> {
    AccountName::parse(text).map_err(|error| Failure::said(error.to_string()))
}

async fn add(store: &Store, name: &AccountName) -> Result<u8, Failure> {
    let found = store.account(name).await.map_err(|error| Failure::said(error.to_string()))?;
    if found.is_some() {
        eprintln!("this account exists; `outgate user password` gives it a new password");
        return Ok(exit::NO);
    }
    let (password, at) = (hashed(&password()?)?, OffsetDateTime::now_utc());
    put(store, Account { name: name.clone(), password, disabled: false, created: at, changed: at }, "added").await
}

async fn existing(store: &Store, name: &AccountName) -> Result<Account, Failure> {
    let found = store.account(name).await.map_err(|error| Failure::said(error.to_string()))?;
    found.ok_or_else(|| Failure::said("there is no such account; `outgate user list` shows them"))
}

async fn put(store: &Store, account: Account, act: &str) -> Result<u8, Failure> {
    let account = Account { changed: OffsetDateTime::now_utc(), ..account };
    store.put_account(&account, act, BY).await.map_err(|error| Failure::said(error.to_string()))?;
    Ok(0)
}

async fn list(store: &Store, as_json: bool) -> Result<u8, Failure> {
    let accounts = store.accounts().await.map_err(|error| Failure::said(error.to_string()))?;
    let mut out = io::stdout().lock();
    for account in &accounts {
        let state = if account.disabled { "disabled" } else { "active" };
        let line = if as_json {
            let time = |time: OffsetDateTime| time.format(&Rfc3339).unwrap_or_default();
            let (created, changed) = (time(account.created), time(account.changed));
            json!({ "name": account.name.expose(), "state": state, "created": created, "changed": changed }).to_string()
        } else {
            format!("{state:<8}  {}", account.name.expose())
        };
        writeln!(out, "{line}").map_err(|error| Failure::said(error.to_string()))?;
    }
    if accounts.is_empty() && !as_json {
        writeln!(out, "no accounts").map_err(|error| Failure::said(error.to_string()))?;
    }
    Ok(0)
}

fn hashed(password: &Sensitive<String>) -> Result<PasswordHash, Failure> {
    PasswordHash::of(password).map_err(|error| Failure::said(error.to_string()))
}

/// Never an argument: those stand in the process list.
fn password() -> Result<Sensitive<String>, Failure> {
    if !io::stdin().is_terminal() {
        return line();
    }
    let (first, again) = (asked("Password: ")?, asked("Again: ")?);
    if first == again { Ok(first) } else { Err(Failure::said("the two are not the same; nothing was changed")) }
}

/// One line that the terminal does not show.
fn asked(question: &str) -> Result<Sensitive<String>, Failure> {
    let said = |error: &dyn std::fmt::Display| Failure::said(format!("the terminal cannot be used: {error}"));
    let (input, mut screen) = (io::stdin(), io::stderr());
    let shown = tcgetattr(&input).map_err(|error| said(&error))?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    write!(screen, "{question}").and_then(|()| screen.flush()).map_err(|error| said(&error))?;
    tcsetattr(&input, OptionalActions::Flush, &hidden).map_err(|error| said(&error))?;
    let answer = line();
    let back = tcsetattr(&input, OptionalActions::Flush, &shown);
    let _ = writeln!(screen);
    back.map_err(|error| said(&error))?;
    answer
}

fn line() -> Result<Sensitive<String>, Failure> {
    let mut text = String::new();
    let read = io::stdin().lock().take(LONGEST_LINE).read_line(&mut text);
    read.map_err(|error| Failure::said(format!("the password cannot be read: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned().into())
}
