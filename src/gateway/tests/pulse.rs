//! A worker that does not answer is named, and a store that is down is no such worker.

use super::Bench;
use std::time::Duration;

const SOON: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_answer() {
    let bench = Bench::new().await;
    assert_eq!(bench.house.pulse().stalled(Duration::from_secs(20)).await, None);
    bench.house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scanners_that_all_hang_are_named_until_one_is_free() {
    let bench = Bench::new().await;
    let pulse = bench.house.pulse();
    let hung = bench.gateway().scanners.all().await;
    assert_eq!(pulse.stalled(SOON).await, Some("the scanners"));
    drop(hung);
    assert_eq!(pulse.stalled(Duration::from_secs(20)).await, None);
    bench.house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_ended_is_a_fault() {
    let bench = Bench::new().await;
    let pulse = bench.house.pulse();
    bench.house.close().await;
    assert_eq!(pulse.stalled(SOON).await, Some("a door, the outbox or housekeeping has ended"));
}
