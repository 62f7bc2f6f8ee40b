//! Cases on the disk.

use super::*;
use crate::quarantine::CaseFilter;
use std::os::unix::fs::PermissionsExt;

#[tokio::test]
async fn a_held_case_is_there_after_a_restart() {
    let bench = Bench::new().await;
    let (case, again) = (new_case(), new_case());
    let (id, head, face) = (case.head.id, case.head.clone(), case.face.clone());
    bench.store.hold(case, Vec::new(), vec![held()], RetryKey([1; 32])).await.unwrap();
    bench.store.hold(again, Vec::new(), vec![held()], RetryKey([2; 32])).await.unwrap();
    let bench = bench.reopen().await;
    let case = open(&bench.store, id).await;
    assert_eq!(case.head, CaseHead { bytes: BODY.len() as u64, ..head });
    assert_eq!(case.face.unwrap(), face);
    assert_eq!(bench.store.message(id).await.unwrap(), BODY.as_bytes());
    assert_eq!(bench.store.list(CaseFilter::default()).await.unwrap().len(), 2);
    assert_eq!(bench.store.waiting().await.unwrap(), Waiting { cases: 2, outbox_items: 0 });
    assert_eq!(bench.store.list(CaseFilter { limit: 1, ..CaseFilter::default() }).await.unwrap().len(), 1);
    let delivered = CaseFilter { state: Some(State::Delivered), ..CaseFilter::default() };
    assert!(bench.store.list(delivered).await.unwrap().is_empty());
    let language = CaseFilter { category: Some(Category::Language), ..CaseFilter::default() };
    assert!(bench.store.list(language).await.unwrap().is_empty());
    assert_eq!(CaseStore::open(&bench.store, SubmissionId::fresh()).await.unwrap_err(), CaseError::Unknown);
}

#[tokio::test]
async fn large_messages_are_whole() {
    let bench = Bench::new().await;
    let mut case = new_case();
    let id = case.head.id;
    // Incompressible, so that it stays large.
    case.message = (0..100_000).flat_map(|_| seal::random::<8>()).collect();
    let message = case.message.clone();
    let notice = item(id, ItemKind::Notice, &message);
    bench.store.hold(case, vec![notice], Vec::new(), RetryKey([1; 32])).await.unwrap();
    assert_eq!(bench.store.message(id).await.unwrap(), message);
    assert_eq!(bench.count("SELECT count(*) FROM outbox WHERE blob IS NOT NULL").await, 1);
}

#[tokio::test]
async fn a_case_moves_on_only_from_where_it_was_seen() {
    let bench = Bench::new().await;
    let id = hold(&bench.store).await;
    let release =
        |epoch, to| bench.store.transition(id, epoch, to, vec![item(id, ItemKind::Release, b"x")], Vec::new());
    assert_eq!(release(7, State::Released).await, Err(CaseError::Stale));
    assert_eq!(release(0, State::Delivered).await, Err(CaseError::WrongState));
    release(0, State::Released).await.unwrap();
    assert_eq!(release(0, State::Released).await, Err(CaseError::Stale), "a second reviewer was slower");
    let case = open(&bench.store, id).await;
    assert_eq!((case.head.state, case.head.epoch), (State::Released, 1));
    assert_eq!(bench.count("SELECT count(*) FROM outbox WHERE kind = 'release'").await, 1);
    let unknown = bench.store.transition(SubmissionId::fresh(), 0, State::Refused, Vec::new(), Vec::new()).await;
    assert_eq!(unknown, Err(CaseError::Unknown));
}

#[tokio::test]
async fn a_refused_job_leaves_its_neighbours_alone() {
    let bench = Bench::new().await;
    let id = hold(&bench.store).await;
    let events_before = bench.store.verify_book().await.unwrap().events;
    let refused = (0..8).map(|_| {
        let store = bench.store.clone();
        tokio::spawn(async move { store.transition(id, 9, State::Released, Vec::new(), vec![event()]).await.is_ok() })
    });
    let good = (0..8).map(|_| {
        let store = bench.store.clone();
        tokio::spawn(async move { store.record(vec![event()], None).await.is_ok() })
    });
    let mut twice = new_case();
    twice.head.id = id;
    let tasks: Vec<_> = refused.zip(good).flat_map(|(bad, good)| [bad, good]).collect();
    assert_eq!(bench.store.hold(twice, Vec::new(), vec![event()], RetryKey([3; 32])).await, Err(StoreDown));
    let mut done = 0;
    for task in tasks {
        done += u64::from(task.await.unwrap());
    }
    assert_eq!(done, 8);
    let report = bench.store.verify_book().await.unwrap();
    assert!(report.is_whole(), "{report}");
    assert_eq!(report.events - events_before, 8, "events of refused jobs are not in the book");
    assert!(bench.store.is_healthy());
    assert_eq!(files(&bench.data().join("blobs")).len(), 1, "the refused case's file is gone");
}

#[tokio::test]
async fn cases_are_found_by_keyed_hash() {
    let bench = Bench::new().await;
    let id = hold(&bench.store).await;
    for text in ["CANARY-one@theirs.example", "canary-sender@ours.example", "canary-author@ours.example"] {
        assert_eq!(bench.store.cases_of_address(&address(text)).await.unwrap(), [id], "{text}");
    }
    assert_eq!(bench.store.cases_of_domain("Theirs.Example").await.unwrap(), [id]);
    assert_eq!(bench.store.cases_of_message_id("canary-id@ours.example").await.unwrap(), [id]);
    assert!(bench.store.cases_of_address(&address("nobody@ours.example")).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_damaged_key_is_said_and_harms_no_other_case() {
    let bench = Bench::new().await;
    let (damaged, whole) = (hold(&bench.store).await, hold(&bench.store).await);
    let mut db = bench.raw().await;
    sqlx::query("UPDATE keys SET wrapped = zeroblob(length(wrapped)) WHERE id = ?1")
        .bind(&damaged.as_bytes()[..])
        .execute(&mut db)
        .await
        .unwrap();
    assert_eq!(CaseStore::open(&bench.store, damaged).await.unwrap_err(), CaseError::Damaged);
    assert_eq!(bench.store.message(damaged).await.unwrap_err(), CaseError::Damaged);
    let listed = bench.store.list(CaseFilter::default()).await.unwrap();
    let faces: Vec<_> = listed.iter().map(|case| (case.head.id, case.face.is_some())).collect();
    assert!(faces.contains(&(damaged, false)) && faces.contains(&(whole, true)), "{faces:?}");
    assert!(open(&bench.store, whole).await.face.is_some());
    bench.store.erase(damaged, Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_lost_or_damaged_file_is_said() {
    let bench = Bench::new().await;
    let id = hold(&bench.store).await;
    let file = files(&bench.data().join("blobs")).remove(0);
    let mut sealed = std::fs::read(&file).unwrap();
    sealed[20] ^= 1;
    std::fs::write(&file, sealed).unwrap();
    assert_eq!(bench.store.message(id).await.unwrap_err(), CaseError::Damaged);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(bench.store.message(id).await.unwrap_err(), CaseError::Damaged);
}

#[tokio::test]
async fn holds_told_are_counted_by_sender() {
    let bench = Bench::new().await;
    let since = OffsetDateTime::now_utc() - Duration::hours(1);
    let sender = bench.store.address_hash(&address("canary-sender@OURS.example"));
    for _ in 0..3 {
        hold(&bench.store).await;
    }
    bench.store.hold(new_case(), Vec::new(), Vec::new(), RetryKey([1; 32])).await.unwrap();
    assert_eq!(bench.store.holds_told(sender, since).await.unwrap(), 3, "the fourth was not told");
    assert_eq!(bench.store.holds_told(sender, OffsetDateTime::now_utc() + Duration::hours(1)).await.unwrap(), 0);
    let other = bench.store.address_hash(&address("other@ours.example"));
    assert_eq!(bench.store.holds_told(other, since).await.unwrap(), 0);
    assert_eq!(sender.to_string().len(), 32);
}

#[tokio::test]
async fn files_and_folders_are_ours_alone() {
    let bench = Bench::new().await;
    hold(&bench.store).await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&bench.data()), 0o700);
    for file in files(&bench.data()) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
