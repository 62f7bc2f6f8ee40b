//! Reading a message: every range lies where it must, every text leads back to its bytes, and nothing is read twice.

use outgate::{
    detect::{DetectorSources, Detectors},
    mail::{Address, Field, Message, Part, UnreadReason, check},
};
use std::{ops::Range, sync::LazyLock};

static DETECTORS: LazyLock<Detectors> =
    LazyLock::new(|| Detectors::compile(&DetectorSources::embedded()).expect("the shipped lists"));

/// The header of a message: fields, encoded words, mailboxes.
pub fn header(data: &[u8]) {
    let message = Message::parse(data.to_vec());
    let root = message.root();
    let mut at = root.header.start;
    for field in &root.fields {
        assert!(within(&field.whole, &root.header) && field.whole.start >= at, "fields overlap");
        assert!(within(&field.name, &field.whole) && within(&field.value, &field.whole));
        assert!(field.name.end <= field.value.start);
        at = field.whole.end;
        leads_back(&message, field);
    }
    for name in ["From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Resent-To", "Disposition-Notification-To"] {
        for mailbox in message.mailboxes(name) {
            assert_eq!(Address::parse(mailbox.as_str()).as_ref(), Ok(&mailbox));
        }
        message.header(name);
    }
    message.header("Subject");
    let kinds = [message.is_reply(), message.is_forward(), message.is_automatic(), message.is_auto_reply()];
    assert!(!kinds[3] || kinds[2], "an automatic reply is automatic");
}

fn leads_back(message: &Message, field: &Field) {
    let text = message.field_text(field);
    for (at, character) in text.text.char_indices() {
        let source = text.source(at..at + character.len_utf8());
        assert!(within(&source, &field.value), "{source:?} of {:?}", field.value);
    }
}

/// A whole message: its parts, all texts, all contents, and the detectors on top.
pub fn mime(data: &[u8]) {
    let message = Message::parse(data.to_vec());
    let parts = message.parts();
    assert_eq!((message.len(), parts[0].parent), (data.len(), None));
    assert!(parts.len() <= 1_001 && parts.iter().all(|part| part.depth <= 33), "more than the limits");
    for (index, part) in parts.iter().enumerate() {
        assert!(part.header.end <= part.body.start && part.body.end <= data.len(), "{}", part.id);
        if let Some(parent) = part.parent {
            let around = &parts[parent];
            assert!(parent < index && within(&(part.header.start..part.body.end), &around.body), "{}", part.id);
        }
        read(&message, part);
    }
    assert!(check::own_tree(&message).len() == parts.len());
    check_independent(&message);
    let scan = DETECTORS.scan(&message);
    assert!(scan.findings.iter().all(|finding| finding.range.end <= data.len()));
    assert!(!scan.unread.iter().any(|unread| unread.reason == UnreadReason::Crashed), "a detector panicked");
}

fn read(message: &Message, part: &Part) {
    let (content, complete) = message.content(part, usize::MAX);
    assert!(complete);
    let half = content.len() / 2;
    let (start, all) = message.content(part, half);
    assert!(content.starts_with(&start) && start.len() <= half && (all || !content.is_empty()));
    if !part.is_text() {
        return;
    }
    let text = message.text(part);
    for (at, character) in text.text.char_indices().step_by(3) {
        let source = text.source(at..at + character.len_utf8());
        assert!(within(&source, &part.body), "{}: {source:?} of {:?}", part.id, part.body);
    }
    let mut at = 0;
    for passage in text.zones() {
        assert_eq!(passage.range.start, at, "a gap between zones");
        at = passage.range.end;
    }
    assert_eq!(at, text.text.len(), "text without a zone");
}

/// It may panic, where the gateway catches it, but neither run away nor see parts outside the message.
fn check_independent(message: &Message) {
    let seen = std::panic::catch_unwind(|| check::independent_tree(message));
    if let Ok(Some(seen)) = seen {
        assert!(seen.iter().all(|part| part.body.end <= message.len()));
    }
}

fn within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.start <= inner.end && inner.end <= outer.end
}
