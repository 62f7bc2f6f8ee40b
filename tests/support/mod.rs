//! What the stories share: the gateway as a process of its own, a next hop that keeps what it gets, and a client that
//! speaks SMTP word for word. Loopback and free ports only; what is started here ends with the test, also when it fails.

#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "each test binary uses a part of it, and a test that cannot go on fails"
)]

mod client;
mod disk;
mod fault;
mod gateway;
mod hop;
mod letters;
mod load;
mod mta;
mod small_disk;
mod strace;
mod systemd;

pub use client::{Client, Tried, hand_in};
pub use disk::Disk;
pub use fault::{Fault, FaultySink, Step};
pub use gateway::{Gateway, Setup, binary};
pub use hop::{Arrived, Hop};
pub use letters::{abusive_word, below_trace, corpora, fixture, fixtures, found_in, letter, number, with_crlf};
pub use load::{Tally, insist, under_load};
pub use mta::{Mta, Outcome, passed_on};
pub use small_disk::SmallDisk;
pub use strace::Strace;
pub use systemd::Systemd;

use std::time::{Duration, Instant};

/// Asks every few milliseconds until `found` gives something; fails after `patience`.
pub fn wait_for<T>(what: &str, patience: Duration, mut found: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + patience;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < until, "waited {patience:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A small generator of numbers, so that a run can be repeated by its seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
