//! Holds that are told later, in one notice.

use super::*;
use crate::{
    delivery::{Attempt, OutboxStore},
    quarantine::{CaseFilter, Erasure, Letter},
};

async fn hold_untold(store: &Store) -> SubmissionId {
    let case = NewCase { tell_later: true, ..new_case() };
    let id = case.head.id;
    store.hold(case, Vec::new(), vec![held()], RetryKey(seal::random())).await.unwrap();
    id
}

fn letter(content: &[u8]) -> Letter {
    Letter { envelope: envelope(), content: content.to_vec() }
}

fn sender(store: &Store) -> AddressHash {
    store.address_hash(&address("canary-sender@ours.example"))
}

async fn untold(store: &Store) -> Vec<SubmissionId> {
    store.untold_of(sender(store), 100).await.unwrap().iter().map(|case| case.head.id).collect()
}

#[tokio::test]
async fn what_is_untold_is_known_after_a_restart_and_told_once() {
    let bench = Bench::new().await;
    let told = hold(&bench.store).await;
    let waiting = [hold_untold(&bench.store).await, hold_untold(&bench.store).await];
    let bench = bench.reopen().await;
    let store = &bench.store;
    let senders = store.untold(10).await.unwrap();
    assert_eq!(senders.iter().map(|untold| untold.sender).collect::<Vec<_>>(), [sender(store)]);
    assert!(OffsetDateTime::now_utc() - senders[0].since < Duration::minutes(1));
    assert_eq!(untold(store).await, waiting, "not {told}");
    assert_eq!(store.untold_of(sender(store), 1).await.unwrap().len(), 1);

    store.tell_joined(sender(store), waiting.to_vec(), Some(letter(b"canary-joined"))).await.unwrap();
    assert!(store.untold(10).await.unwrap().is_empty());
    let since = OffsetDateTime::now_utc() - Duration::hours(1);
    assert_eq!(store.holds_told(sender(store), since).await.unwrap(), 2, "the joined notice counts as one");
    let again = store.tell_joined(sender(store), waiting.to_vec(), Some(letter(b"twice"))).await;
    assert_eq!(again, Err(CaseError::Stale));

    let bench = bench.reopen().await;
    assert!(bench.store.untold(10).await.unwrap().is_empty());
    let leased = bench.store.lease(10, OffsetDateTime::now_utc() + Duration::hours(1)).await.unwrap();
    let joined = leased.iter().find(|leased| leased.item.content == b"canary-joined").expect("the joined notice");
    assert_eq!((leased.len(), joined.item.kind), (2, ItemKind::Notice));
    bench.store.finish(joined, Attempt::Done, &[], Vec::new(), None, Vec::new()).await.unwrap();
    assert_eq!(bench.count("SELECT count(*) FROM untold").await, 0);
    assert_eq!(bench.count("SELECT count(*) FROM keys").await, 4, "three cases and the node; the notice's key is gone");
}

#[tokio::test]
async fn who_is_told_at_once_or_never_is_not_untold() {
    let bench = Bench::new().await;
    let case = NewCase { tell_later: true, ..new_case() };
    let notice = item(case.head.id, ItemKind::Notice, b"told");
    bench.store.hold(case, vec![notice], Vec::new(), RetryKey([1; 32])).await.unwrap();
    let mut nobody = NewCase { tell_later: true, ..new_case() };
    nobody.face.envelope.sender.address = None;
    bench.store.hold(nobody, Vec::new(), Vec::new(), RetryKey([2; 32])).await.unwrap();
    bench.store.hold(new_case(), Vec::new(), Vec::new(), RetryKey([3; 32])).await.unwrap();
    assert!(bench.store.untold(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_case_that_is_decided_or_erased_before_is_not_told() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let [released, erased, waiting] = [hold_untold(store).await, hold_untold(store).await, hold_untold(store).await];
    store.transition(released, 0, State::Released, Vec::new(), Vec::new()).await.unwrap();
    let all = store.tell_joined(sender(store), vec![released, erased, waiting], Some(letter(b"late"))).await;
    assert_eq!(all, Err(CaseError::Stale), "one was decided after the notice was written");
    assert_eq!(bench.count("SELECT count(*) FROM outbox").await, 0, "nothing of a refused act stays");
    assert_eq!(store.erase(erased, Vec::new()).await.unwrap(), Erasure::Done);
    assert_eq!(untold(store).await, [waiting]);
    store.tell_joined(sender(store), vec![waiting], None).await.unwrap();
    assert!(store.untold(10).await.unwrap().is_empty(), "without a letter there is nothing to tell");
    assert_eq!(bench.count("SELECT count(*) FROM outbox").await, 0);
}

#[tokio::test]
async fn erasing_one_case_takes_a_joined_notice_back() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let [erased, returned, waiting] = [hold_untold(store).await, hold_untold(store).await, hold_untold(store).await];
    // Incompressible, so that it is a file.
    let long: Vec<u8> = (0..9_000).flat_map(|_| seal::random::<8>()).collect();
    store.tell_joined(sender(store), vec![erased, returned, waiting], Some(letter(&long))).await.unwrap();
    store.transition(returned, 0, State::Returned, Vec::new(), Vec::new()).await.unwrap();
    assert_eq!(bench.count("SELECT count(*) FROM outbox WHERE blob IS NOT NULL").await, 1);
    assert_eq!(store.erase(erased, Vec::new()).await.unwrap(), Erasure::Done);
    assert_eq!(bench.count("SELECT count(*) FROM outbox").await, 0);
    assert_eq!(bench.count("SELECT count(*) FROM keys").await, 3, "two cases and the node");
    assert_eq!(cases::files(&bench.data().join("blobs")).len(), 2, "the notice's file is gone");
    assert_eq!(untold(store).await, [waiting], "told again; not of the case that came back meanwhile");
}

#[tokio::test]
async fn expired_cases_are_found_by_index() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let mut late = new_case();
    late.head.expires = late.head.received - Duration::hours(1);
    late.head.category = Category::Safeguarding;
    let (late_id, first) = (late.head.id, hold(store).await);
    store.hold(late, Vec::new(), Vec::new(), RetryKey([1; 32])).await.unwrap();
    let now = OffsetDateTime::now_utc();
    assert_eq!(store.expired(now).await.unwrap(), [(late_id, Category::Safeguarding)]);
    let both = [(late_id, Category::Safeguarding), (first, Category::PersonalData)];
    assert_eq!(store.expired(now + Duration::days(31)).await.unwrap(), both);
    store.transition(first, 0, State::Released, Vec::new(), Vec::new()).await.unwrap();
    assert_eq!(store.expired(now + Duration::days(31)).await.unwrap().len(), 1, "what is decided does not expire");
}

#[tokio::test]
async fn a_folder_of_the_first_schema_is_taken_on() {
    let bench = Bench::new().await;
    let id = hold(&bench.store).await;
    let mut db = bench.raw().await;
    sqlx::raw_sql(
        "DROP TABLE hidden; DROP TABLE stopped; DROP TABLE split; DROP TABLE accounts; DROP TABLE untold; DROP INDEX cases_waiting_by_expiry;
         CREATE INDEX cases_by_expiry ON cases (expires); PRAGMA user_version = 1",
    )
    .execute(&mut db)
    .await
    .unwrap();
    drop(db);
    let bench = bench.reopen().await;
    assert_eq!(bench.store.list(CaseFilter::default()).await.unwrap()[0].head.id, id);
    assert!(bench.store.untold(10).await.unwrap().is_empty());
    hold_untold(&bench.store).await;
    assert_eq!(bench.store.untold(10).await.unwrap().len(), 1);
}
