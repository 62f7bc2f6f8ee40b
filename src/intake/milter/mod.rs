//! The milter door: a mail server asks us about each message that it has in hand, and makes our changes itself.
//!
//! In: connections of mail servers, on loopback, on a unix socket or from listed networks. Out: a `Submission` for each
//! message, and the corridor's answer as the reply to its end. Never: an answer that lets a message go on that was not
//! judged; a change that the server did not agree to.
//!
//! `listen` accepts and hands each connection to a `session`, which obeys the server's commands and collects a
//! `transaction`; `changes` says our edits in the server's words.

mod changes;
mod listen;
mod session;
mod settings;
mod transaction;

pub use listen::{Bound, Door, bind};
pub use settings::{Limits, Listen, Settings};
