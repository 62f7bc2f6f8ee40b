//! Retry records on the disk.

use super::*;

const KEY: RetryKey = RetryKey([7; 32]);

fn reply() -> Reply {
    Reply::new(250, (2, 0, 0), "queued as 4Xy")
}

async fn rows(bench: &Bench) -> i64 {
    bench.count("SELECT count(*) FROM retry").await
}

#[tokio::test]
async fn a_record_answers_after_a_crash_and_not_while_the_client_is_there() {
    let bench = Bench::new().await;
    bench.store.record(vec![event()], Some((KEY, reply()))).await.unwrap();
    assert_eq!(bench.store.answer(KEY).await.unwrap(), None);
    let bench = bench.reopen().await;
    assert_eq!(bench.store.answer(KEY).await.unwrap(), Some(reply()));
    assert_eq!(bench.store.answer(KEY).await.unwrap(), None, "the retrying client is there now");
    bench.store.confirm(KEY);
    bench.store.flush().await.unwrap();
    assert_eq!(rows(&bench).await, 0);
    let bench = bench.reopen().await;
    assert_eq!(bench.store.answer(KEY).await.unwrap(), None);
}

#[tokio::test]
async fn a_connection_that_ended_leaves_its_answer_for_one_retry() {
    let bench = Bench::new().await;
    bench.store.record(vec![event()], Some((KEY, reply()))).await.unwrap();
    bench.store.unconfirmed(KEY);
    assert_eq!(bench.store.answer(KEY).await.unwrap(), Some(reply()));
    assert_eq!(bench.store.answer(KEY).await.unwrap(), None);
}

#[tokio::test]
async fn confirmations_reach_the_disk_by_themselves() {
    let bench = Bench::new().await;
    bench.store.record(vec![event()], Some((KEY, reply()))).await.unwrap();
    assert_eq!(rows(&bench).await, 1);
    bench.store.confirm(KEY);
    for _ in 0..100 {
        if rows(&bench).await == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("still there after a second");
}

#[tokio::test]
async fn a_late_answer_waits_for_the_retry() {
    let bench = Bench::new().await;
    bench.store.commit(Entry::new(vec![event()]).with_retry(KEY, reply()).late()).await.unwrap();
    assert_eq!(bench.store.answer(KEY).await.unwrap(), Some(reply()));
}

#[tokio::test]
async fn a_hold_is_answered_from_its_record_too() {
    let bench = Bench::new().await;
    bench.store.hold(new_case(), Vec::new(), vec![held()], KEY).await.unwrap();
    let bench = bench.reopen().await;
    assert_eq!(bench.store.answer(KEY).await.unwrap().unwrap().code(), 250);
}

#[tokio::test]
async fn records_older_than_five_days_answer_nothing() {
    let bench = Bench::new().await;
    bench.store.record(vec![event()], Some((KEY, reply()))).await.unwrap();
    let mut db = bench.raw().await;
    sqlx::query("UPDATE retry SET at = at - ?1").bind(crate::store::retry::KEPT_MICROS).execute(&mut db).await.unwrap();
    drop(db);
    let bench = bench.reopen().await;
    assert_eq!(bench.store.answer(KEY).await.unwrap(), None);
}
