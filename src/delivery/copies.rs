//! Individual copies: one message to each recipient, made of the one that names nobody. They go one after the other, and
//! each that was taken is noted before the next goes, so that a crash brings nobody a second one. The one that the hop had
//! taken when the crash came is sent again: twice is better than never.

use super::{
    Leased, OutboxStore, RecipientOutcome,
    outbox::{Outbox, untold},
    relay::Unreachable,
};
use crate::{
    intake::leading_trace,
    mail::{
        Address, Edit, Envelope, Message,
        edit::{self, Transport},
    },
};
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// What all copies have in common.
pub(super) struct Pattern {
    trace: Vec<u8>,
    message: Message,
    smtputf8: bool,
}

impl Pattern {
    pub fn new(content: &[u8], smtputf8: bool) -> Self {
        let (trace, message) = content.split_at(leading_trace(content));
        Self { trace: trace.to_vec(), message: Message::parse(message.to_vec()), smtputf8 }
    }

    /// The message that names this recipient alone. One that cannot be made names nobody.
    pub fn copy(&self, recipient: &Address) -> Vec<u8> {
        let transport = Transport { smtputf8: self.smtputf8, ..Transport::default() };
        let edits = [Edit::ShowOnly { address: recipient.clone() }];
        match edit::apply(&self.message, &edits, transport) {
            Ok(applied) => [&self.trace, &*applied.bytes()].concat(),
            Err(failure) => {
                tracing::warn!(%failure, "an individual copy leaves without its recipient in To");
                [&self.trace, &*self.message.read(0..self.message.len())].concat()
            }
        }
    }
}

impl<S: OutboxStore> Outbox<S> {
    /// Sends what can be sent before `until`; the others wait. With it, whether it was cut off before it had tried all: then
    /// it goes on at once, when we or the hop are there again.
    pub(super) async fn send_copies(
        &self,
        leased: &Leased,
        content: &[u8],
        until: Instant,
    ) -> (Result<Vec<RecipientOutcome>, Unreachable>, bool) {
        let envelope = &leased.item.envelope;
        let pattern = Arc::new(Pattern::new(content, envelope.sender.smtputf8()));
        let mut remaining = envelope.recipients.clone();
        let mut outcomes = Vec::with_capacity(remaining.len());
        for (index, recipient) in envelope.recipients.iter().enumerate() {
            if self.is_stopping() {
                break;
            }
            let (maker, address) = (pattern.clone(), recipient.address.clone());
            let Ok(copy) = tokio::task::spawn_blocking(move || maker.copy(&address)).await else { break };
            let one = Envelope { sender: envelope.sender.clone(), recipients: vec![recipient.clone()] };
            let sent = timeout_at(until, self.send(leased.item.case, &one, Arc::new(copy))).await;
            let outcome = match sent {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(Unreachable)) if index == 0 => return (Err(Unreachable), false),
                Ok(Err(Unreachable)) => {
                    self.note_hop_down();
                    break;
                }
                Err(_) => break,
            };
            let taken = outcome.iter().any(|outcome| outcome.reply.is_positive());
            outcomes.extend(outcome);
            if taken {
                remaining.retain(|other| other != recipient);
                if self.store().progress(leased, &remaining).await.is_err() {
                    tracing::error!(item = %leased.item.id, "a copy was sent, and that could not be stored; the others wait");
                    break;
                }
            }
        }
        let done = outcomes.len();
        outcomes.extend(untold(&envelope.recipients[done..]));
        (Ok(outcomes), done < envelope.recipients.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_names_its_recipient_and_nobody_else() {
        let content = b"Received: from a\r\n\tby b\r\nFrom: ada@ours.example\r\nTo: undisclosed-recipients:;\r\n\
                        Subject: x\r\n\r\nHello.\r\n";
        let copy = |content: &[u8], to: &str| {
            let copy = Pattern::new(content, false).copy(&Address::parse(to).expect("an address"));
            String::from_utf8(copy).expect("ASCII")
        };
        let expected = String::from_utf8(content.to_vec()).unwrap();
        let expected = expected.replace("undisclosed-recipients:;", "ben@elsewhere.example");
        assert_eq!(copy(content, "ben@elsewhere.example"), expected);
        assert!(
            copy(content, "jürgen@elsewhere.example").contains("To: undisclosed-recipients:;"),
            "not without SMTPUTF8"
        );
        let none = copy(b"From: ada@ours.example\r\n\r\nHello.\r\n", "ben@elsewhere.example");
        assert_eq!(none, "From: ada@ours.example\r\nTo: ben@elsewhere.example\r\n\r\nHello.\r\n");
    }
}
