//! Which command may come when (RFC 5321 4.1.4).

use crate::mail::wire::{Reply, Verb};

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before EHLO or HELO.
    Unnamed,
    /// No transaction.
    Named,
    /// MAIL was accepted.
    Sender,
    /// At least one RCPT was accepted.
    Recipients,
}

/// The reply to a command that comes out of its turn.
pub(super) fn out_of_turn(stage: Stage, verb: Verb) -> Option<Reply> {
    use Stage::*;
    let bad_sequence = |text| Some(Reply::new(503, (5, 5, 1), text));
    match (verb, stage) {
        (Verb::Mail, Unnamed) => bad_sequence("Send EHLO first"),
        (Verb::Mail, Named) => None,
        (Verb::Mail, Sender | Recipients) => bad_sequence("A transaction is open: finish it or send RSET"),

        (Verb::Rcpt, Unnamed | Named) => bad_sequence("Send MAIL first"),
        (Verb::Rcpt, Sender | Recipients) => None,

        (Verb::Data, Unnamed | Named) => bad_sequence("Send MAIL and RCPT first"),
        (Verb::Data, Sender) => Some(Reply::new(554, (5, 5, 1), "No valid recipients")),
        (Verb::Data, Recipients) => None,

        (Verb::Ehlo | Verb::Helo | Verb::Rset | Verb::Noop | Verb::Quit, _) => None,
        (Verb::Vrfy | Verb::Help | Verb::StartTls, _) => None,
        (Verb::Auth, Unnamed | Named) => None,
        (Verb::XClient | Verb::XForward, Unnamed | Named) => None,
        (Verb::XClient | Verb::XForward, Sender | Recipients) => bad_sequence("A transaction is open"),
        // RFC 4954 4: not within a transaction.
        (Verb::Auth, Sender | Recipients) => bad_sequence("A transaction is open: finish it or send RSET"),
    }
}
