//! Messages that come in several transactions: counts and cases across runs, and what is left of them.

use super::*;
use crate::{
    intake::SplitKey,
    policy::{Earlier, Reached},
};

const KEY: SplitKey = SplitKey([3; 16]);

fn reached(names: &[&str]) -> Vec<Reached> {
    let one = |name: &&str| Reached { folded: format!("{name}@theirs.example"), people: 2, outside: *name != "ours" };
    names.iter().map(one).collect()
}

fn earlier(people: usize, outside: usize) -> Earlier {
    Earlier { people, outside }
}

fn split_case() -> NewCase {
    NewCase { split: Some(KEY), ..new_case() }
}

#[tokio::test]
async fn counts_and_the_case_outlive_a_run() {
    let bench = Bench::new().await;
    for names in [&["one", "ours"][..], &["two"], &["one"]] {
        bench.store.enter(KEY, &reached(names), false);
        bench.store.commit(Entry::new(vec![event()]).with_split(Some(KEY))).await.unwrap();
    }
    // What was not written down was not answered.
    bench.store.enter(KEY, &reached(&["lost"]), false);
    let bench = bench.reopen().await;
    assert_eq!(bench.store.enter(KEY, &reached(&["three", "one"]), false), earlier(4, 1));
    let case = split_case();
    let id = case.head.id;
    bench.store.hold(case, Vec::new(), Vec::new(), RetryKey([1; 32])).await.unwrap();
    let bench = bench.reopen().await;
    assert_eq!(bench.store.enter(KEY, &[], false), earlier(8, 3), "with what was held");
    assert_eq!(bench.store.case_of_split(KEY), Some(id));
    assert_eq!(bench.count("SELECT count(*) FROM split").await, 1);
}

#[tokio::test]
async fn an_ordinary_letter_leaves_no_row() {
    let bench = Bench::new().await;
    bench.store.enter(KEY, &reached(&["one"]), true);
    bench.store.commit(Entry::new(vec![event()]).with_split(Some(KEY))).await.unwrap();
    assert_eq!(bench.count("SELECT count(*) FROM split").await, 0);
    bench.store.enter(KEY, &reached(&["two"]), false);
    bench.store.commit(Entry::new(vec![event()]).with_split(Some(KEY))).await.unwrap();
    let bench = bench.reopen().await;
    assert_eq!(bench.store.enter(KEY, &[], false), earlier(4, 2), "both, once it is more than that");
}

#[tokio::test]
async fn a_case_is_joined_while_it_waits_as_it_was_seen() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let case = split_case();
    let id = case.head.id;
    store.hold(case, Vec::new(), Vec::new(), RetryKey([1; 32])).await.unwrap();
    let mut later = split_case();
    later.face.envelope.recipients[0].address = address("Canary-Three@late.example");
    later.head.category = Category::Safeguarding;
    later.head.rules = vec!["nino-outside".into(), "another".into()];
    later.face.tell_sender = false;
    let seen = open(store, id).await;
    assert!(seen.is_joined_by(&later));
    let joined = seen.clone().joined(&later);
    let join = |case: Case| store.join(case, Vec::new(), vec![event()], RetryKey([2; 32]), Some(KEY));
    join(joined.clone()).await.unwrap();
    assert_eq!(join(joined).await, Err(CaseError::Stale), "two that saw the same case");

    let now = open(store, id).await;
    assert!(!now.is_joined_by(&later), "nobody new");
    let face = now.face.clone().unwrap();
    let to: Vec<_> = face.envelope.recipients.iter().map(|path| path.address.as_str().to_string()).collect();
    assert_eq!(to, ["canary-one@theirs.example", "canary-two@theirs.example", "Canary-Three@late.example"]);
    assert_eq!(
        (now.head.category, now.head.rules.len(), now.head.epoch),
        (Category::Safeguarding, 2, seen.head.epoch + 1)
    );
    assert!(!face.tell_sender && face.grounds.len() == 1);
    assert_eq!(store.cases_of_domain("late.example").await.unwrap(), [id], "found by its new recipients too");

    store.transition(id, now.head.epoch, State::Returned, Vec::new(), Vec::new()).await.unwrap();
    let decided = open(store, id).await;
    assert_eq!(join(decided.joined(&later)).await, Err(CaseError::WrongState));
    store.erase(id, Vec::new()).await.unwrap();
    assert_eq!(join(open(store, id).await).await, Err(CaseError::WrongState));
    let report = store.verify_book().await.unwrap();
    assert!(report.is_whole() && report.events == 1, "refused acts leave no events: {report:?}");
}

#[tokio::test]
async fn erasing_and_time_take_the_recipients() {
    let bench = Bench::new().await;
    let case = split_case();
    let id = case.head.id;
    bench.store.enter(KEY, &reached(&["one", "two"]), false);
    bench.store.hold(case, Vec::new(), Vec::new(), RetryKey([1; 32])).await.unwrap();
    assert_eq!(bench.count("SELECT length(recipients) FROM split").await, 40);
    bench.store.erase(id, Vec::new()).await.unwrap();
    assert_eq!(bench.count("SELECT length(recipients) FROM split").await, 0);
    assert_eq!(bench.store.case_of_split(KEY), Some(id), "that it was erased stays known");
    sqlx::query("UPDATE split SET first = first - 90000000000").execute(&mut bench.raw().await).await.unwrap();
    let sweep = acts::Act::Sweep { now: schema::now() };
    bench.store.inner.submit(Vec::new(), writer::Beside::default(), Some(sweep)).await.map(drop).unwrap();
    assert_eq!(bench.count("SELECT count(*) FROM split").await, 0);
}
