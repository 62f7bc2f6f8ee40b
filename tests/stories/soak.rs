//! T35: a long day. Mixed mail, a next hop that is away now and then; nothing is lost, and memory and files do not grow.

use crate::support::{Gateway, Hop, Tally, under_load};
use std::{
    env, fs, thread,
    time::{Duration, Instant},
};

#[test]
fn memory_and_files_do_not_grow_and_nothing_is_lost() {
    let minutes: f64 = env::var("OUTGATE_SOAK").map_or(0.1, |minutes| minutes.parse().expect("minutes"));
    let span = Duration::from_secs_f64(minutes * 60.0);
    // The hop is away for a moment, twenty-four times in all.
    let away_every = (span / 24).max(Duration::from_secs(2));
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let files = || fs::read_dir(format!("/proc/{}/fd", gateway.pid())).expect("it runs").count();
    let (mut seen, mut away) = (Vec::new(), 0_u64);
    let told = under_load(&gateway, || {
        let began = Instant::now();
        while began.elapsed() < span {
            thread::sleep(away_every);
            hop.down();
            thread::sleep(Duration::from_millis(200));
            hop.up();
            away += 1;
            thread::sleep(Duration::from_millis(500));
            seen.push((began.elapsed(), gateway.resident() >> 10, files()));
        }
    });
    let tally = Tally::of(&told, &hop, &gateway);
    let settled: Vec<_> = seen.iter().filter(|(at, ..)| *at >= span / 4).collect();
    let (first, last) = (settled.first().expect("seen once"), settled.last().expect("seen once"));
    let hours = (last.0 - first.0).as_secs_f64() / 3600.0;
    let slope = if hours > 0.0 { (last.1 as f64 - first.1 as f64) / 1024.0 / hours } else { 0.0 };
    println!(
        "T35 minutes={minutes} hop away={away} {tally} resident={} MiB slope={slope:.2} MiB/h files {} to {}",
        last.1 >> 10,
        first.2,
        last.2
    );
    tally.assert_none_lost(away);
    assert!(last.2 <= first.2 + 8, "files stay open");
    assert!(minutes < 30.0 || slope <= 1.0, "memory grows");
}
