//! Who sees whom in a thread.

use super::*;
use crate::policy::{FactQuery, FactSource, Tell};
use sqlx::Executor;

fn people(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("person-{n}@theirs.example")).collect()
}

async fn shares(bench: &Bench, references: &[&str], visible: Vec<String>) -> Tell {
    let references = references.iter().map(|id| id.to_string()).collect();
    bench.store.facts(FactQuery { references, visible, ..FactQuery::default() }).await.thread_shares
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

mod notices {
    use super::*;
    use crate::mail::edit::{Notice, NoticeDigest};

    fn digest(text: &str) -> NoticeDigest {
        Notice { plain: text.into(), ..Notice::default() }.digest()
    }

    fn query(id: &str, references: &[&str], texts: &[&str]) -> FactQuery {
        FactQuery {
            message_id: id.into(),
            references: references.iter().map(|id| id.to_string()).collect(),
            notices: texts.iter().map(|text| digest(text)).collect(),
            ..FactQuery::default()
        }
    }

    async fn known(bench: &Bench, query: FactQuery) -> usize {
        bench.store.facts(query).await.notices_in_thread.unwrap().len()
    }

    #[tokio::test]
    async fn what_a_thread_has_had_is_known_for_its_time_and_over_a_restart() {
        let bench = Bench::new().await;
        let sent = query("<2@ours.example>", &["<1@theirs.example>", "<0@theirs.example>"], &["Private."]);
        bench.store.commit(Entry::new(vec![event()]).with_notices(sent.clone())).await.unwrap();
        let bench = bench.reopen().await;
        let both = ["Private.", "Green."];
        for (id, references, texts, expected) in [
            ("<3@ours.example>", &["<2@ours.example>"][..], &both[..], 1),
            ("<3@ours.example>", &["2@ours.example"], &["private -- "], 0),
            ("<3@ours.example>", &["2@ours.example"], &["Private"], 1),
            ("<9@ours.example>", &["<8@x.example>", "<0@theirs.example>"], &both, 1),
            ("", &["<1@theirs.example>"], &both, 1),
            ("<9@ours.example>", &["<8@x.example>"], &both, 0),
            ("<9@ours.example>", &[], &both, 0),
            // The same message again, to others.
            ("<2@ours.example>", &["<1@theirs.example>"], &both, 0),
        ] {
            assert_eq!(known(&bench, query(id, references, texts)).await, expected, "{id} {references:?} {texts:?}");
        }
        let nobody = FactQuery { visible: people(0..9), ..query("<3@x.example>", &["<2@ours.example>"], &both) };
        assert_eq!(bench.store.facts(nobody).await.thread_shares, Tell::No, "no row of who sees whom");
        let mut db = bench.raw().await;
        sqlx::query("UPDATE thread SET seen = seen - ?1")
            .bind(acts::THREAD_KEPT_MICROS)
            .execute(&mut db)
            .await
            .unwrap();
        assert_eq!(known(&bench, query("<3@ours.example>", &["<2@ours.example>"], &both)).await, 0);
    }

    #[tokio::test]
    async fn a_store_that_is_down_cannot_tell() {
        let bench = Bench::new().await;
        bench.raw().await.execute("DROP TABLE thread").await.unwrap();
        let asked = bench.store.facts(query("<3@x.example>", &["<2@x.example>"], &["Private."])).await;
        assert!(asked.notices_in_thread.is_err());
        let nothing = bench.store.facts(query("<3@x.example>", &["<2@x.example>"], &[])).await;
        assert_eq!(nothing.notices_in_thread, Ok(Default::default()));
    }
}
