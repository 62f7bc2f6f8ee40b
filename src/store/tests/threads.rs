//! Who sees whom in a thread.

use super::*;
use crate::policy::{FactQuery, FactSource, Tell};
use sqlx::Executor;

fn people(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("person-{n}@theirs.example")).collect()
}

async fn shares(bench: &Bench, references: &[&str], visible: Vec<String>) -> Tell {
    let references = references.iter().map(|id| id.to_string()).collect();
    bench.store.facts(FactQuery { references, visible }).await.thread_shares
}

async fn remember(bench: &Bench, id: &str, references: &[&str], visible: Vec<String>) {
    let references: Vec<String> = references.iter().map(|id| id.to_string()).collect();
    bench.store.commit(Entry::new(vec![event()]).with_thread(id, &references, &visible)).await.unwrap();
}

#[tokio::test]
async fn people_who_see_each_other_already() {
    let bench = Bench::new().await;
    remember(&bench, "<root@ours.example>", &["<older@theirs.example>"], people(0..30)).await;
    let bench = bench.reopen().await;
    for (references, visible, expected) in [
        (&["root@ours.example"][..], people(0..30), Tell::Yes),
        (&["<root@ours.example>"], people(5..25), Tell::Yes),
        (&["<unknown@x.example>", "<root@ours.example>"], people(2..32), Tell::Yes),
        (&["<root@ours.example>"], people(3..33), Tell::No),
        (&["<older@theirs.example>"], people(0..30), Tell::Yes),
        (&["<unknown@x.example>"], people(0..30), Tell::No),
        (&["<ROOT@ours.example>"], people(0..30), Tell::No),
        (&[], people(0..30), Tell::No),
    ] {
        assert_eq!(shares(&bench, references, visible).await, expected, "{references:?}");
    }
    let shouting = people(0..30).iter().map(|address| address.to_uppercase()).collect();
    assert_eq!(shares(&bench, &["root@ours.example"], shouting).await, Tell::Yes);
}

#[tokio::test]
async fn two_circles_of_one_thread_are_not_one() {
    let bench = Bench::new().await;
    remember(&bench, "<a@x.example>", &["<root@x.example>"], people(0..10)).await;
    remember(&bench, "<b@x.example>", &["<root@x.example>"], people(10..20)).await;
    assert_eq!(shares(&bench, &["<root@x.example>"], people(0..20)).await, Tell::No);
    assert_eq!(shares(&bench, &["<root@x.example>"], people(10..20)).await, Tell::Yes);
}

#[tokio::test]
async fn few_people_and_old_threads_are_not_remembered() {
    let bench = Bench::new().await;
    remember(&bench, "<few@x.example>", &[], people(0..5)).await;
    assert_eq!(bench.count("SELECT count(*) FROM thread").await, 0);
    remember(&bench, "<old@x.example>", &[], people(0..9)).await;
    let mut db = bench.raw().await;
    sqlx::query("UPDATE thread SET seen = seen - ?1").bind(acts::THREAD_KEPT_MICROS).execute(&mut db).await.unwrap();
    assert_eq!(shares(&bench, &["<old@x.example>"], people(0..9)).await, Tell::No);
}

#[tokio::test]
async fn a_store_that_is_down_cannot_tell() {
    let bench = Bench::new().await;
    bench.raw().await.execute("DROP TABLE thread").await.unwrap();
    assert!(matches!(shares(&bench, &["<x@x.example>"], people(0..9)).await, Tell::CannotTell(_)));
}
