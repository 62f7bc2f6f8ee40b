//! Where a message's header names its recipients: what readers see, and what clients and servers leave there.

use super::{Address, Field, Message};
use std::collections::HashSet;

/// Fields that say to whom the message goes (RFC 5322 3.6.3, 3.6.6), and what servers write of it on the way.
pub const NAMING: [&str; 16] = [
    "To",
    "Cc",
    "Resent-To",
    "Resent-Cc",
    "Apparently-To",
    "Bcc",
    "Resent-Bcc",
    "X-Apparently-To",
    "Envelope-To",
    "X-Envelope-To",
    "Delivered-To",
    "X-Delivered-To",
    "X-Original-To",
    "Original-Recipient",
    "X-Rcpt-To",
    "X-Forwarded-To",
];

/// Those of them that a mail program shows its reader. A Bcc that was left in is taken out by a rule of its own, as most servers
/// do behind us, and does not make hidden recipients visible ones.
const SHOWN: usize = 5;

/// Fields that say whom an answer goes to.
pub const ANSWERS: [&str; 3] = ["Reply-To", "Mail-Followup-To", "Mail-Reply-To"];

/// So many addresses for answers are a choice; more are a list of people.
const FEW: usize = 3;

impl Message {
    /// The addresses that every reader of the message learns from its header: those of To and Cc, their Resent forms, an
    /// answer's long list of people; also where they stand in the names beside other addresses. Each once, folded,
    /// sorted.
    pub fn shown_recipients(&self) -> Vec<String> {
        let mut shown = Vec::new();
        for field in self.root().fields.iter() {
            if self.is_named(field, &NAMING[..SHOWN]) {
                shown.extend(self.addresses_in(field));
            } else if self.is_named(field, &ANSWERS) {
                let people = self.addresses_in(field);
                if people.len() > FEW {
                    shown.extend(people);
                }
            }
        }
        shown.sort_unstable();
        shown.dedup();
        shown
    }

    /// All addresses that a field shows, folded, each once: its mailboxes, and those in the text as it is read.
    pub(super) fn addresses_in(&self, field: &Field) -> HashSet<String> {
        let mut found: HashSet<String> = self.mailboxes_of(field).iter().map(Address::folded).collect();
        let text = self.field_text(field).text;
        if text.contains('@') {
            found.extend(in_text(&text));
        }
        found
    }

    pub(super) fn is_named(&self, field: &Field, names: &[&str]) -> bool {
        let name = self.slice(field.name.clone());
        names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes()))
    }
}

/// Words of a text that are addresses, folded.
fn in_text(text: &str) -> impl Iterator<Item = String> {
    let divides =
        |c: char| c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';' | ':' | '"' | '(' | ')' | '[' | ']' | '=');
    let words = text.split(divides).filter(|word| word.contains('@') && word.len() <= 320);
    words.filter_map(|word| Address::parse(word.trim_matches(['\'', '.', '`', '*', '|'])).ok()).map(|a| a.folded())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(header: &str) -> Vec<String> {
        let header = header.replace('\n', "\r\n");
        Message::parse(format!("From: ada@ours.example\r\n{header}\r\n\r\nHello.\r\n").into_bytes()).shown_recipients()
    }

    #[test]
    fn every_place_that_a_reader_sees() {
        for (header, count) in [
            ("To: a@b.example, C <c@d.example>\nTo: e@f.example\nCC: A@B.example", 3),
            ("Resent-To: a@b.example\nResent-Cc: c@d.example\nTo: e@f.example", 3),
            ("To: a@b.example\nBcc: c@d.example\nResent-Bcc: e@f.example", 1),
            ("To: Friends: a@b.example, c@d.example;, undisclosed-recipients:;", 2),
            ("To: \"a@b.example; c@d.example\" <list@ours.example>", 3),
            ("To: =?utf-8?q?a=40b.example=3B_c=40d.example?= <list@ours.example>", 3),
            ("To: 'a@b.example' <a@b.example>", 1),
            ("To: \"A (b@c.example)\" <a@b.example>", 2),
            ("To: list@ours.example\nReply-To: a@b.example, c@d.example, e@f.example", 1),
            ("To: list@ours.example\nReply-To: a@b.example, c@d.example, e@f.example, g@h.example", 5),
            ("X-Envelope-To: a@b.example\nDelivered-To: c@d.example\nX-Team: e@f.example", 0),
            ("To: =?utf-8?q?No_address_=40_home?= <a@b.example>", 1),
        ] {
            assert_eq!(shown(header).len(), count, "{header}: {:?}", shown(header));
        }
    }
}
