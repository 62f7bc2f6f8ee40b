//! Accounts: found by name in any case, sealed, and in the book.

use super::*;
use crate::intake::{Account, AccountName, Accounts, PasswordHash};

fn account(name: &str) -> Account {
    let at = OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap();
    let password = PasswordHash::kept("$argon2id$one".into());
    Account { name: AccountName::parse(name).unwrap(), password, disabled: false, created: at, changed: at }
}

#[tokio::test]
async fn accounts_are_found_by_name_and_their_names_lie_sealed() {
    let bench = Bench::new().await;
    let store = &bench.store;
    for name in ["Zoe@ours.example", "ann@ours.example"] {
        store.put_account(&account(name), "added", "test").await.unwrap();
    }
    let found = store.account(&AccountName::parse("ZOE@ours.example").unwrap()).await.unwrap().unwrap();
    assert_eq!((found.name.expose(), found.disabled), ("zoe@ours.example", false));
    assert!(store.account(&AccountName::parse("zoe").unwrap()).await.unwrap().is_none());
    let changed = Account { disabled: true, password: PasswordHash::kept("$argon2id$two".into()), ..found };
    store.put_account(&changed, "disabled", "test").await.unwrap();
    let all = store.accounts().await.unwrap();
    let shown: Vec<_> =
        all.iter().map(|account| (account.name.expose(), account.password.as_str(), account.disabled)).collect();
    assert_eq!(shown, [("ann@ours.example", "$argon2id$one", false), ("zoe@ours.example", "$argon2id$two", true)]);
    store.flush().await.unwrap();
    assert!(store.verify_book().await.unwrap().is_whole());
    for entry in std::fs::read_dir(bench.data()).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(memchr::memmem::find(&bytes, b"ours.example").is_none(), "{:?}", entry.path());
    }
}
