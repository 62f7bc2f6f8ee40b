//! The book's chain on the disk.

use super::*;
use sqlx::Executor;

async fn written(links: usize) -> Bench {
    let bench = Bench::new().await;
    for _ in 0..links {
        bench.store.record(vec![event(), event()], None).await.unwrap();
    }
    bench
}

#[tokio::test]
async fn a_chain_goes_on_after_a_restart() {
    let bench = written(3).await.reopen().await;
    bench.store.record(vec![event()], None).await.unwrap();
    let report = bench.store.verify_book().await.unwrap();
    assert!(report.is_whole(), "{report}");
    assert_eq!((report.links, report.events, report.head.unwrap().number), (4, 7, 4));
    let links = bench.store.links(2).await.unwrap();
    assert_eq!(links.iter().map(|link| link.number).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(links[0].events().unwrap().len(), 2);
}

#[tokio::test]
async fn jobs_that_wait_together_are_one_link() {
    let bench = Bench::new().await;
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let store = bench.store.clone();
            tokio::spawn(async move { store.record(vec![event()], None).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let report = bench.store.verify_book().await.unwrap();
    assert!(report.is_whole(), "{report}");
    assert_eq!(report.events, 200);
    assert!(report.links < 100, "{} links for 200 messages that waited together", report.links);
}

#[tokio::test]
async fn two_processes_build_one_chain() {
    let bench = Bench::new().await;
    let other = Store::open(&bench.data(), &keys()).await.unwrap();
    let mut tasks = Vec::new();
    for round in 0..60 {
        let store = if round % 2 == 0 { bench.store.clone() } else { other.clone() };
        tasks.push(tokio::spawn(async move {
            for _ in 0..5 {
                store.record(vec![event()], None).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let report = bench.store.verify_book().await.unwrap();
    assert!(report.is_whole(), "{report}");
    assert_eq!(report.events, 300);
}

#[tokio::test]
async fn an_empty_book_is_whole() {
    let report = Bench::new().await.store.verify_book().await.unwrap();
    assert!(report.is_whole() && report.head.is_none());
    assert!(report.to_string().contains("no link yet"));
}

/// xorshift64*: the same tamperings at every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

const COLUMNS: [&str; 4] = ["node", "previous", "events", "mac"];

/// One statement or several that change the book, all but a cut tail; what was done in words.
async fn tamper(db: &mut SqliteConnection, dice: &mut Dice, links: usize) -> String {
    let number = 1 + dice.below(links);
    let column = COLUMNS[dice.below(COLUMNS.len())];
    let other = 1 + (number + dice.below(links - 1)) % links;
    let (sql, said) = match dice.below(7) {
        0..=2 => {
            let bytes: Vec<u8> =
                sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT {column} FROM link WHERE number = {number}")))
                    .fetch_one(&mut *db)
                    .await
                    .unwrap();
            let mut bytes = bytes;
            let bit = dice.below(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let literal = audit::chain::hex(&bytes);
            (format!("UPDATE link SET {column} = x'{literal}' WHERE number = {number}"), format!("bit {bit} of {column}"))
        }
        3 => (format!("DELETE FROM link WHERE number = {}", number.min(links - 1)), "delete".into()),
        4 => (
            format!(
                "UPDATE link SET number = -1 WHERE number = {number}; UPDATE link SET number = {number} WHERE number = {other};
                 UPDATE link SET number = {other} WHERE number = -1"
            ),
            format!("swap with {other}"),
        ),
        5 => (format!("UPDATE link SET number = {} WHERE number = {number}", links + 1 + dice.below(9)), "renumber".into()),
        _ => (
            format!(
                "UPDATE link SET {column} = CAST((SELECT l.{column} FROM link AS l WHERE l.number = {other}) || x'00' AS BLOB)
                 WHERE number = {number}"
            ),
            format!("{column} from {other}, and a byte"),
        ),
    };
    db.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    format!("link {number}: {said}")
}

#[tokio::test]
async fn a_thousand_tamperings_are_found() {
    const LINKS: usize = 12;
    let bench = written(LINKS).await;
    let mut db = bench.raw().await;
    db.execute("CREATE TEMP TABLE genuine AS SELECT * FROM link").await.unwrap();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for round in 0..1_000 {
        let done = tamper(&mut db, &mut dice, LINKS).await;
        let report = bench.store.verify_book().await.unwrap();
        assert!(!report.is_whole(), "round {round}: not found: {done}");
        db.execute("DELETE FROM link; INSERT INTO link SELECT * FROM genuine").await.unwrap();
    }
    let report = bench.store.verify_book().await.unwrap();
    assert!(report.is_whole(), "{report}");
}

#[tokio::test]
async fn rows_that_are_no_links_do_not_hide() {
    let bench = written(2).await;
    let mut db = bench.raw().await;
    db.execute("INSERT INTO link SELECT -5, node, previous, events, mac FROM link WHERE number = 1").await.unwrap();
    assert!(!bench.store.verify_book().await.unwrap().is_whole());
}

#[tokio::test]
async fn notes_are_erased_with_their_case_or_stay() {
    let bench = Bench::new().await;
    let id = hold(&bench.store).await;
    let ours = bench.store.seal_note(Some(id), "canary-note").await.unwrap();
    let lasting = bench.store.seal_note(None, "canary-note").await.unwrap();
    assert!(!ours.contains("canary"));
    assert_eq!(bench.store.open_note(Some(id), &ours).await.unwrap().as_deref(), Some("canary-note"));
    bench.store.erase(id, Vec::new()).await.unwrap();
    assert_eq!(bench.store.open_note(Some(id), &ours).await.unwrap(), None);
    assert_eq!(bench.store.open_note(None, &lasting).await.unwrap().as_deref(), Some("canary-note"));
    assert_eq!(bench.store.open_note(None, &ours).await, Err(CaseError::Damaged));
}
