//! Real clients before outgate and real servers before and behind it, each in a folder of its own, on loopback.
//!
//! Needs what `scripts/test-servers` installs (root on Debian); without it these tests fail and say so. Each story prints
//! one line with its figures (`cargo test --test servers -- --nocapture`).
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails; its figures are printed")]

#[path = "servers/client.rs"]
mod client;
#[path = "servers/exim.rs"]
mod exim;
#[path = "servers/fronts.rs"]
mod fronts;
#[path = "servers/gate.rs"]
mod gate;
#[path = "servers/group.rs"]
mod group;
#[path = "servers/hops.rs"]
mod hops;
#[path = "servers/how_to.rs"]
mod how_to;
#[path = "servers/opensmtpd.rs"]
mod opensmtpd;
#[path = "servers/postfix.rs"]
mod postfix;
#[path = "servers/sendmail.rs"]
mod sendmail;
#[path = "servers/sink.rs"]
mod sink;
#[path = "servers/tap.rs"]
mod tap;

#[path = "servers/clients.rs"]
mod clients;
#[path = "servers/dkim.rs"]
mod dkim;
#[path = "servers/down_and_out.rs"]
mod down_and_out;
#[path = "servers/extensions.rs"]
mod extensions;
#[path = "servers/in_front.rs"]
mod in_front;
#[path = "servers/milter.rs"]
mod milter;
#[path = "servers/next_hops.rs"]
mod next_hops;
#[path = "servers/one_machine.rs"]
mod one_machine;
#[path = "servers/senders.rs"]
mod senders;
#[path = "servers/smuggling.rs"]
mod smuggling;
#[path = "servers/table.rs"]
mod table;
