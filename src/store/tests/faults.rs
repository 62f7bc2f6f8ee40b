//! What goes wrong with disks, versions, keys and neighbours.

use super::*;
use sqlx::Executor;

#[tokio::test]
async fn a_failed_write_ends_writing_until_a_restart() {
    let bench = Bench::new().await;
    bench.store.record(vec![event()], None).await.unwrap();
    let mut db = bench.raw().await;
    db.execute("ALTER TABLE link RENAME TO gone").await.unwrap();
    assert_eq!(bench.store.record(vec![event()], None).await, Err(StoreDown));
    assert!(!bench.store.is_healthy());
    assert_eq!(bench.store.answer(RetryKey([1; 32])).await, Err(StoreDown), "no message begins its walk");
    db.execute("ALTER TABLE gone RENAME TO link").await.unwrap();
    assert_eq!(bench.store.record(vec![event()], None).await, Err(StoreDown), "not before a restart");
    assert_eq!(bench.store.hold(new_case(), Vec::new(), Vec::new(), RetryKey([1; 32])).await, Err(StoreDown));
    drop(db);
    let bench = bench.reopen().await;
    assert!(bench.data().join(writer::FAILED_MARK).exists());
    assert!(!bench.store.is_healthy(), "not before it was looked through");
    assert_eq!(bench.store.record(vec![event()], None).await, Err(StoreDown));
    assert!(bench.store.verify_book().await.unwrap().is_whole(), "reading is possible");
    let report = bench.store.begin_service().await.unwrap();
    assert_eq!((report.is_whole(), report.links), (true, 1));
    assert!(!bench.data().join(writer::FAILED_MARK).exists());
    bench.store.record(vec![event()], None).await.unwrap();
    assert!(bench.store.is_healthy());
}

async fn limit_pages(bench: &Bench, full: bool) {
    bench.store.inner.submit(Vec::new(), Beside::default(), Some(Act::LimitPages(full))).await.map(drop).unwrap();
}

#[tokio::test]
async fn a_full_disk_passes() {
    let bench = Bench::new().await;
    bench.store.record(vec![event()], None).await.unwrap();
    // The database may not grow: SQLite says FULL, as it does for a disk without room. The limit is the connection's.
    limit_pages(&bench, true).await;
    let mut refused = 0;
    for _ in 0..200 {
        refused += u32::from(bench.store.record(vec![event(); 20], None).await.is_err());
    }
    assert!(refused > 0, "the disk was full");
    assert!(!bench.store.is_healthy());
    limit_pages(&bench, false).await;
    for _ in 0..100 {
        if bench.store.is_healthy() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(bench.store.is_healthy(), "found by itself that there is room again");
    bench.store.record(vec![event()], None).await.unwrap();
    assert!(bench.store.verify_book().await.unwrap().is_whole());
}

#[tokio::test]
async fn a_newer_schema_is_refused_in_words() {
    let bench = Bench::new().await;
    bench.raw().await.execute("PRAGMA user_version = 99").await.unwrap();
    let error = Store::open(&bench.data(), &keys()).await.err().unwrap();
    assert!(matches!(error, OpenError::NewerSchema { found: 99, .. }));
    assert!(error.to_string().contains("written by a newer outgate"), "{error}");
}

#[tokio::test]
async fn another_master_key_is_refused_in_words() {
    let bench = Bench::new().await;
    let error = Store::open(&bench.data(), &Keys::new(&[43; 32])).await.err().unwrap();
    assert!(matches!(error, OpenError::WrongKey), "{error}");
    assert!(Store::open(&bench.data(), &keys()).await.is_ok());
}

#[tokio::test]
async fn one_process_serves_and_others_may_look() {
    let bench = Bench::new().await;
    bench.store.begin_service().await.unwrap();
    let beside = Store::open(&bench.data(), &keys()).await.unwrap();
    assert!(matches!(beside.begin_service().await, Err(OpenError::AlreadyServed)));
    let id = hold(&beside).await;
    assert_eq!(open(&bench.store, id).await.head.id, id);
    drop(bench.store);
    for _ in 0..100 {
        if beside.begin_service().await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the service ended with its store, and another may serve");
}

#[tokio::test]
async fn settings_that_safety_rests_on() {
    let bench = Bench::new().await;
    let mut db = schema::open_writer(&bench.data(), &keys()).await.unwrap().0;
    for (pragma, expected) in
        [("PRAGMA synchronous", 2), ("PRAGMA secure_delete", 1), ("PRAGMA foreign_keys", 1), ("PRAGMA temp_store", 2)]
    {
        let found: i64 = sqlx::query_scalar(pragma).fetch_one(&mut db).await.unwrap();
        assert_eq!(found, expected, "{pragma}");
    }
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut db).await.unwrap();
    assert_eq!(mode, "wal");
}
