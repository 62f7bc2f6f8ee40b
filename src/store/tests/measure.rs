//! Figures, by hand: `cargo test --release --lib store::tests::measure -- --ignored --nocapture`.

use super::*;
use crate::{intake::SplitKey, policy::Reached};
use std::time::Instant;

/// `split`: each message is one of several transactions, and has a row of its own.
async fn commits(tasks: usize, messages: usize, split: bool) {
    let bench = Bench::new().await;
    let start = Instant::now();
    let tasks: Vec<_> = (0..tasks)
        .map(|task| {
            let store = bench.store.clone();
            tokio::spawn(async move {
                for message in 0..messages {
                    let mut key = [0; 32];
                    key[..16].copy_from_slice(&((task << 32 | message) as u128).to_be_bytes());
                    let reply = Reply::new(250, (2, 0, 0), "queued as 4XyZ123456");
                    let entry = Entry::new(vec![event(), event()]).with_retry(RetryKey(key), reply);
                    let part = SplitKey(*key.first_chunk().unwrap());
                    if split {
                        let one = Reached { folded: format!("{message}@theirs.example"), people: 1, outside: true };
                        store.enter(part, &[one], false);
                    }
                    store.commit(entry.with_split(Some(part))).await.unwrap();
                    store.confirm(RetryKey(key));
                }
            })
        })
        .collect();
    let count = tasks.len() * messages;
    for task in tasks {
        task.await.unwrap();
    }
    let took = start.elapsed();
    let report = bench.store.verify_book().await.unwrap();
    assert!(report.is_whole() && report.events == 2 * count as u64);
    eprintln!(
        "{} tasks{}: {:.0} messages/s, {:.0} us a message in each task, {} links",
        count / messages,
        if split { ", split" } else { "" },
        count as f64 / took.as_secs_f64(),
        took.as_micros() as f64 / messages as f64,
        report.links,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn messages_a_second() {
    for split in [false, true] {
        commits(1, 5_000, split).await;
        commits(16, 5_000, split).await;
        commits(64, 2_000, split).await;
    }
}
