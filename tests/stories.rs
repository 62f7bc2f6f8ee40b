//! The gateway's stories: the real binary between a client and a next hop of our own.
//!
//! Each file in `tests/stories/` is named after what it tells. Longer forms, by environment variable:
//!
//! * `OUTGATE_KILLS=200`: so many kill -9 under load (without it: 12);
//! * `OUTGATE_INCOMING=1000`: so many incoming messages (without it: 200);
//! * `OUTGATE_CORPORA=DIR`: every message in `DIR/mail` goes through the gateway (without it: the fixtures);
//! * `OUTGATE_BIN=FILE`: another build of the binary, such as the release build;
//! * `OUTGATE_SHOW_LOG=1`: the gateway's log of a story that failed.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and each prints its figure"
)]

mod support;

#[path = "stories/killed_under_load.rs"]
mod killed_under_load;
#[path = "stories/next_hop_down.rs"]
mod next_hop_down;
#[path = "stories/sent_twice_on_purpose.rs"]
mod sent_twice_on_purpose;
