//! After an erase, nothing of the message is in any file, and nothing was in clear before.

use super::{cases::files, *};
use crate::quarantine::{CaseFilter, Erasure};
use sqlx::Executor;

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

fn assert_no_canary(data: &Path, when: &str) {
    for file in files(data) {
        let lower = std::fs::read(&file).unwrap().to_ascii_lowercase();
        for canary in ["canary", "theirs.example", "sings"] {
            assert!(!contains(&lower, canary.as_bytes()), "{when}: {canary} in {}", file.display());
        }
    }
}

fn erased() -> Event {
    let what = audit::What::Erased { by: "command line".into(), note: None };
    Event { at: OffsetDateTime::now_utc(), submission: None, what }
}

#[tokio::test]
async fn no_word_and_no_address_is_ever_in_clear() {
    let bench = Bench::new().await;
    let id = hold(&bench.store).await;
    let reply = Reply::new(250, (2, 0, 0), "queued for canary-one@theirs.example");
    let entry = Entry::new(vec![event()]).with_retry(RetryKey([1; 32]), reply);
    let visible: Vec<String> = (0..9).map(|n| format!("canary-{n}@theirs.example")).collect();
    bench.store.commit(entry.with_thread("canary-thread@theirs.example", &[], &visible)).await.unwrap();
    let large = [b"canary".as_slice(), &(0..9_000).flat_map(|_| seal::random::<8>()).collect::<Vec<_>>()].concat();
    bench
        .store
        .transition(id, 0, State::Released, vec![item(id, ItemKind::Release, &large)], vec![event()])
        .await
        .unwrap();
    assert_no_canary(&bench.data(), "before the erase");
    assert_eq!(bench.store.erase(id, vec![erased()]).await.unwrap(), Erasure::Done);
    assert_no_canary(&bench.data(), "after the erase");
    let case = open(&bench.store, id).await;
    assert_eq!((case.head.state, case.face), (State::Erased, None));
    assert_eq!(bench.store.message(id).await.unwrap_err(), CaseError::WrongState);
    assert_eq!(bench.store.erase(id, Vec::new()).await, Err(CaseError::WrongState));
    assert!(bench.store.cases_of_address(&address("canary-one@theirs.example")).await.unwrap().is_empty());
    assert_eq!(bench.count("SELECT count(*) FROM outbox").await, 0);
    assert!(files(&bench.data().join("blobs")).is_empty());
    assert!(bench.store.verify_book().await.unwrap().is_whole(), "erasing leaves the chain whole");
    assert_no_canary(&bench.reopen().await.data(), "after a restart");
}

#[tokio::test]
async fn the_wrapped_key_is_in_no_file_after_an_erase() {
    let bench = Bench::new().await;
    // Enough cases that pages were split and rebalanced, which leaves copies of rows behind.
    let mut ids = Vec::new();
    for _ in 0..300 {
        ids.push(hold(&bench.store).await);
    }
    let mut db = bench.raw().await;
    for id in ids.iter().step_by(37) {
        let select = "SELECT wrapped FROM keys WHERE id = ?1";
        let wrapped: Vec<u8> = sqlx::query_scalar(select).bind(&id.as_bytes()[..]).fetch_one(&mut db).await.unwrap();
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").await.unwrap();
        let present = files(&bench.data()).iter().any(|file| contains(&std::fs::read(file).unwrap(), &wrapped));
        assert!(present, "the search finds what is there");
        assert_eq!(bench.store.erase(*id, vec![erased()]).await.unwrap(), Erasure::Done);
        for file in files(&bench.data()) {
            // The last half suffices: a part of a ciphertext with its tag is the key to whoever has the master key.
            let bytes = std::fs::read(&file).unwrap();
            assert!(!contains(&bytes, &wrapped[wrapped.len() / 2..]), "in {}", file.display());
            assert!(!contains(&bytes, &wrapped[..wrapped.len() / 2]), "in {}", file.display());
        }
    }
    assert_eq!(bench.store.list(CaseFilter::default()).await.unwrap().len(), 300);
}

#[tokio::test]
async fn a_reader_in_the_way_makes_it_pending_and_the_next_service_completes_it() {
    let bench = Bench::new().await;
    let id = hold(&bench.store).await;
    let mut reader = bench.raw().await;
    reader.execute("BEGIN; SELECT count(*) FROM cases").await.unwrap();
    assert_eq!(bench.store.erase(id, Vec::new()).await.unwrap(), Erasure::Pending);
    assert_eq!(bench.count("SELECT count(*) FROM erasure").await, 1);
    reader.execute("COMMIT").await.unwrap();
    let bench = bench.reopen().await;
    bench.store.begin_service().await.unwrap();
    assert_eq!(bench.count("SELECT count(*) FROM erasure").await, 0);
}
