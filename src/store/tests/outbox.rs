//! Leases and fences.

use super::*;
use crate::delivery::{Attempt, OutboxStore};

fn soon() -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::minutes(10)
}

#[tokio::test]
async fn an_item_is_leased_to_one_and_gone_when_done() {
    let bench = Bench::new().await;
    assert_eq!(bench.store.next_due().await.unwrap(), None);
    let id = hold(&bench.store).await;
    assert!(bench.store.next_due().await.unwrap().unwrap() <= OffsetDateTime::now_utc());
    let leased = bench.store.lease(10, soon()).await.unwrap().remove(0);
    assert_eq!((leased.attempts, leased.epoch, leased.item.case), (0, 1, id));
    assert_eq!(leased.item.content, b"canary-notice");
    assert_eq!(leased.item.envelope, envelope());
    assert!(bench.store.lease(10, soon()).await.unwrap().is_empty());
    assert!(bench.store.next_due().await.unwrap().unwrap() > OffsetDateTime::now_utc());
    bench.store.finish(&leased, Attempt::Done, &[], Vec::new(), None, vec![event()]).await.unwrap();
    assert_eq!(bench.store.next_due().await.unwrap(), None);
}

#[tokio::test]
async fn an_item_is_tried_again_with_those_that_remain() {
    let bench = Bench::new().await;
    let id = hold(&bench.store).await;
    let leased = bench.store.lease(1, soon()).await.unwrap().remove(0);
    let remaining = vec![leased.item.envelope.recipients[1].clone()];
    let again = Attempt::Again { at: OffsetDateTime::now_utc(), remaining: remaining.clone() };
    let report = item(SubmissionId::fresh(), ItemKind::Report, b"a report");
    bench.store.finish(&leased, again, &[], vec![report], None, Vec::new()).await.unwrap();
    let mut items = bench.store.lease(10, soon()).await.unwrap();
    items.sort_by_key(|leased| leased.item.kind == ItemKind::Report);
    assert_eq!(items.len(), 2);
    assert_eq!(items[0].item.envelope.recipients, remaining);
    assert_eq!((items[0].attempts, items[0].first_tried), (1, leased.first_tried));
    assert_eq!(items[1].item.case, id, "a report is sealed and erased with its case");
}

#[tokio::test]
async fn who_got_a_copy_is_known_after_a_crash() {
    let bench = Bench::new().await;
    let copies = item(SubmissionId::fresh(), ItemKind::Copies, b"canary-copy");
    let (id, telling) = (copies.id, None);
    bench.store.send_apart(copies, telling, vec![event()], RetryKey([1; 32]), None, None).await.unwrap();
    assert!(bench.store.answer(RetryKey([1; 32])).await.unwrap().is_none(), "the client is still there");
    bench.store.unconfirmed(RetryKey([1; 32]));
    assert_eq!(bench.store.answer(RetryKey([1; 32])).await.unwrap().map(|reply| reply.code()), Some(250));
    let leased = bench.store.lease(1, soon()).await.unwrap().remove(0);
    let remaining = [leased.item.envelope.recipients[1].clone()];
    bench.store.progress(&leased, &remaining).await.unwrap();
    let bench = bench.reopen().await;
    bench.store.begin_service().await.unwrap();
    let again = bench.store.lease(1, soon()).await.unwrap().remove(0);
    assert_eq!((again.item.id, again.item.kind), (id, ItemKind::Copies));
    assert_eq!(again.item.envelope.recipients, remaining);
    assert_eq!(again.item.content, b"canary-copy");
    assert_eq!(bench.store.progress(&leased, &[]).await, Err(StoreDown), "its lease has passed on");
    bench.store.finish(&again, Attempt::Done, &[], Vec::new(), None, Vec::new()).await.unwrap();
    assert_eq!(
        bench.count("SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM keys)").await,
        1,
        "the node's"
    );
}

#[tokio::test]
async fn a_late_finish_is_refused() {
    let bench = Bench::new().await;
    hold(&bench.store).await;
    let first = bench.store.lease(1, OffsetDateTime::now_utc()).await.unwrap().remove(0);
    let second = bench.store.lease(1, soon()).await.unwrap().remove(0);
    assert_eq!((first.epoch, second.epoch), (1, 2));
    assert_eq!(bench.store.finish(&first, Attempt::Done, &[], Vec::new(), None, vec![event()]).await, Err(StoreDown));
    assert_eq!(bench.count("SELECT count(*) FROM outbox").await, 1);
    bench.store.finish(&second, Attempt::Done, &[], Vec::new(), None, Vec::new()).await.unwrap();
    assert!(bench.store.is_healthy());
}

#[tokio::test]
async fn leases_of_a_run_that_is_over_are_free_at_the_next_service() {
    let bench = Bench::new().await;
    hold(&bench.store).await;
    let before = bench.store.lease(1, soon()).await.unwrap().remove(0);
    let bench = bench.reopen().await;
    assert!(bench.store.lease(1, soon()).await.unwrap().is_empty(), "opening alone frees nothing");
    bench.store.begin_service().await.unwrap();
    let after = bench.store.lease(1, soon()).await.unwrap().remove(0);
    assert_eq!((before.item.id, after.epoch, after.attempts), (after.item.id, 2, 1));
}

#[tokio::test]
async fn a_finish_moves_its_case() {
    let bench = Bench::new().await;
    for (outcome, next) in [(State::Delivered, None), (State::DeliveryFailed, Some(State::Returned))] {
        let case = new_case();
        let id = case.head.id;
        bench.store.hold(case, Vec::new(), Vec::new(), RetryKey([1; 32])).await.unwrap();
        let release = item(id, ItemKind::Release, &[b'x'; 100]);
        bench.store.transition(id, 0, State::Released, vec![release], Vec::new()).await.unwrap();
        let leased = bench.store.lease(1, soon()).await.unwrap().remove(0);
        bench.store.finish(&leased, Attempt::Done, &[], Vec::new(), Some(outcome), vec![event()]).await.unwrap();
        let case = open(&bench.store, id).await;
        assert_eq!((case.head.state, case.head.epoch), (outcome, 2));
        if let Some(next) = next {
            bench.store.transition(id, 2, next, Vec::new(), Vec::new()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn items_without_a_case_have_a_key_of_their_own() {
    let bench = Bench::new().await;
    let keys_before = bench.count("SELECT count(*) FROM keys").await;
    let alert = item(SubmissionId::fresh(), ItemKind::Notice, b"canary-alert");
    bench.store.enqueue(vec![alert], vec![event()]).await.unwrap();
    let bench = bench.reopen().await;
    let leased = bench.store.lease(1, soon()).await.unwrap().remove(0);
    assert_eq!(leased.item.content, b"canary-alert");
    bench.store.finish(&leased, Attempt::Done, &[], Vec::new(), Some(State::Delivered), Vec::new()).await.unwrap();
    assert_eq!(bench.count("SELECT count(*) FROM keys").await, keys_before);
}

#[tokio::test]
async fn an_attempt_on_an_erased_case_ends_in_nothing() {
    let bench = Bench::new().await;
    let id = hold(&bench.store).await;
    let leased = bench.store.lease(1, soon()).await.unwrap().remove(0);
    bench.store.erase(id, Vec::new()).await.unwrap();
    let again = Attempt::Again { at: soon(), remaining: Vec::new() };
    assert_eq!(bench.store.finish(&leased, again, &[], Vec::new(), None, Vec::new()).await, Err(StoreDown));
    assert_eq!(bench.store.next_due().await.unwrap(), None);
}
