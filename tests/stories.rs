//! The gateway's stories: the real binary between a client and a next hop of our own.
//!
//! Each file in `tests/stories/` is named after what it tells. Longer forms, by environment variable:
//!
//! * `OUTGATE_KILLS=200`: so many kill -9 under load (without it: 12);
//! * `OUTGATE_EVERY_STEP=1`: killed before each of a message's system calls, and each call to the disk fails in three ways
//!   (without it: every fourth, in one way); ten minutes;
//! * `OUTGATE_POWER_CUTS=100`: so many power cuts under load (without it: 4; as root, on a loop device);
//! * `OUTGATE_IDLE=10000`: so many connections at once (without it: 500);
//! * `OUTGATE_OVERLOAD=60`: so many seconds at the best rate, and at twice of it (without it: 3);
//! * `OUTGATE_INCOMING=1000`: so many incoming messages (without it: 200);
//! * `OUTGATE_GENERATED=100000`: so many generated messages (without it: 2,000);
//! * `OUTGATE_CORPORA=DIR`: every message in `DIR/mail` goes through the gateway (without it: the fixtures);
//! * `OUTGATE_RESTARTS=50`: so many restarts under constant clients (without it: 5);
//! * `OUTGATE_CLOCK_MINUTE=1`: housekeeping is waited for while the clock is wrong;
//! * `OUTGATE_COPIES_KILLED=50`: so many mailings with two kills amid each (without it: 3);
//! * `OUTGATE_SLOW=2000`: so many clients that send a byte a second (without it: 100);
//! * `OUTGATE_LARGE=50`: eight messages of so many MiB at once (without it: 8);
//! * `OUTGATE_CAPPED=60`: so many seconds of full load with 256 MiB of memory (without it: 6; as root, with control groups);
//! * `OUTGATE_SOAK=120`: so many minutes of mixed load (without it: six seconds);
//! * `OUTGATE_BIN=FILE`: another build of the binary, such as the release build;
//! * `OUTGATE_SHOW_LOG=1`: the gateway's log of a story that failed.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and each prints its figure"
)]

mod support;

#[path = "stories/bad_configuration_keeps_the_old_set.rs"]
mod bad_configuration_keeps_the_old_set;
#[path = "stories/bypassed.rs"]
mod bypassed;
#[path = "stories/certificates_reloaded.rs"]
mod certificates_reloaded;
#[path = "stories/disk_full.rs"]
mod disk_full;
#[path = "stories/doctor.rs"]
mod doctor;
#[path = "stories/erased_is_gone.rs"]
mod erased_is_gone;
#[path = "stories/files_exhausted.rs"]
mod files_exhausted;
#[path = "stories/five_messages_in_a_thread.rs"]
mod five_messages_in_a_thread;
#[path = "stories/generated_is_identical.rs"]
mod generated_is_identical;
#[path = "stories/greylisted.rs"]
mod greylisted;
#[path = "stories/held_and_told.rs"]
mod held_and_told;
#[path = "stories/idle_connections.rs"]
mod idle_connections;
#[path = "stories/in_a_circle.rs"]
mod in_a_circle;
#[path = "stories/incoming_passes_untouched.rs"]
mod incoming_passes_untouched;
#[path = "stories/killed_at_every_step.rs"]
mod killed_at_every_step;
#[path = "stories/killed_under_load.rs"]
mod killed_under_load;
#[path = "stories/little_memory.rs"]
mod little_memory;
#[path = "stories/logins.rs"]
mod logins;
#[path = "stories/next_hop_down.rs"]
mod next_hop_down;
#[path = "stories/next_hop_misbehaves.rs"]
mod next_hop_misbehaves;
#[path = "stories/nothing_personal_is_shown.rs"]
mod nothing_personal_is_shown;
#[path = "stories/our_own_mail.rs"]
mod our_own_mail;
#[path = "stories/overload.rs"]
mod overload;
#[path = "stories/power_cut.rs"]
mod power_cut;
#[path = "stories/recipients_hidden.rs"]
mod recipients_hidden;
#[path = "stories/seed_rules_at_the_door.rs"]
mod seed_rules_at_the_door;
#[path = "stories/sent_twice_on_purpose.rs"]
mod sent_twice_on_purpose;
#[path = "stories/several_policies_at_once.rs"]
mod several_policies_at_once;
#[path = "stories/signed_and_encrypted.rs"]
mod signed_and_encrypted;
#[path = "stories/slow_clients.rs"]
mod slow_clients;
#[path = "stories/soak.rs"]
mod soak;
#[path = "stories/split_transactions.rs"]
mod split_transactions;
#[path = "stories/stopped_under_load.rs"]
mod stopped_under_load;
#[path = "stories/store_faults.rs"]
mod store_faults;
#[path = "stories/supervised.rs"]
mod supervised;
#[path = "stories/the_senders_own_notice.rs"]
mod the_senders_own_notice;
#[path = "stories/untouched_is_identical.rs"]
mod untouched_is_identical;
#[path = "stories/watched_and_not_changed.rs"]
mod watched_and_not_changed;
