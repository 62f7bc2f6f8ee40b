//! Edits: bytes outside the parts and fields that an edit names are those that came, our parser sees the same parts, and
//! transport is asked for no more than before.

use outgate::mail::{
    Edit, Message, NAMING, Part,
    edit::{Notice, Transport, apply},
    wire::WireBody,
};
use std::sync::Arc;

/// Fields that these edits may touch.
const NAMED: [&str; 13] = [
    "Subject",
    "X-Class",
    "X-Gone",
    "To",
    "Cc",
    "Bcc",
    "Resent-To",
    "Resent-Cc",
    "Resent-Bcc",
    "Content-Type",
    "Content-Transfer-Encoding",
    "MIME-Version",
    "Apparently-To",
];

/// A message; its last byte says which edits.
pub fn edit(data: &[u8]) {
    let choice = data.last().copied().unwrap_or_default();
    let edits = edits(choice);
    let before = Message::parse(data.to_vec());
    let Ok(applied) = apply(&before, &edits, Transport { smtputf8: choice & 0x40 != 0, ..Transport::default() }) else {
        return;
    };
    let bytes = applied.bytes();
    assert_eq!(bytes, applied.edited.pieces().concat());
    if applied.changes.is_empty() {
        assert_eq!(bytes, data, "changed without a change");
        return;
    }
    let after = Message::parse(bytes.clone());
    if applied.changes.iter().any(|change| change.kind == "wrap") {
        // All of its content stands in the new message, which has two parts more.
        let body = before.read(before.root().body.clone()).into_owned();
        assert!(bytes.windows(body.len().max(1)).any(|window| window == &body[..]), "the content is not there");
        assert_eq!(after.parts().len(), before.parts().len() + 2, "another number of parts");
        return;
    }
    assert_eq!(after.parts().len(), before.parts().len(), "another number of parts");
    let changed: Vec<usize> = applied
        .changes
        .iter()
        .filter(|change| change.kind == "append-notice")
        .map(|change| before.parts().iter().position(|part| part.id == change.part).expect("a part that is there"))
        .collect();
    outside_is_identical(&before, &after, &changed);
    fields_are_identical(&before, &after, applied.hides_recipients());
    if clean(data) {
        assert!(clean(&bytes), "a bare line end that was not there");
        assert!(longest(&bytes) <= longest(data).max(998), "a longer line than transport carries");
    }
    assert!(!data.is_ascii() || choice & 0x40 != 0 || bytes.is_ascii(), "more than 7 bits");
}

fn edits(choice: u8) -> Vec<Edit> {
    let wording = ["Costs £5 at the café, “here”", "Confidential.\n\nExample Trust"][usize::from(choice & 1)];
    let notice = Notice { name: "n".into(), plain: wording.into(), html: String::new(), ..Notice::default() };
    let all = [
        Edit::AppendNotice { notice: Arc::new(notice) },
        Edit::HideRecipients,
        Edit::TagSubject { tag: ["Extern – grün", "External"][usize::from(choice & 1)].into() },
        Edit::SetHeader { name: "X-Class".into(), value: "internal".into() },
        Edit::RemoveHeader { name: "X-Gone".into() },
    ];
    let wanted = if choice & 0x3e == 0 { 0x02 } else { choice };
    all.into_iter().enumerate().filter(|(bit, _)| wanted & (2 << bit) != 0).map(|(_, edit)| edit).collect()
}

/// Below the header, with the edited parts put back.
fn outside_is_identical(before: &Message, after: &Message, changed: &[usize]) {
    if changed.contains(&0) {
        return;
    }
    let span = |part: &Part| part.header.start..part.body.end;
    let (mut out, mut at) = (Vec::new(), after.root().body.start);
    for index in changed {
        let (old, new) = (span(&before.parts()[*index]), span(&after.parts()[*index]));
        out.extend_from_slice(&after.read(at..new.start));
        out.extend_from_slice(&before.read(old));
        at = new.end + glue(before, after, &before.parts()[*index], new.end);
    }
    out.extend_from_slice(&after.read(at..after.len()));
    assert!(out == *before.read(before.root().body.start..before.len()), "a byte outside the edited parts");
}

/// Where the empty line of a part's header was also the line break of the boundary behind it, the text that now stands
/// between them has one of its own.
fn glue(before: &Message, after: &Message, old: &Part, end: usize) -> usize {
    let next = |message: &Message, at: usize| message.read(at..(at + 2).min(message.len())).into_owned();
    let break_of = |bytes: &[u8]| match bytes {
        [b'\r', b'\n'] => 2,
        [b'\n', ..] => 1,
        _ => 0,
    };
    let (was, is) = (break_of(&next(before, old.body.end)), break_of(&next(after, end)));
    if old.body.is_empty() && was == 0 { is } else { 0 }
}

/// Of a message whose recipients are hidden, a field goes or is written anew that gives them away, whatever its name.
fn fields_are_identical(before: &Message, after: &Message, hides: bool) {
    let others = |message: &Message| -> Vec<Vec<u8>> {
        let named = |name: &[u8]| {
            let naming = NAMING.iter().filter(|_| hides);
            NAMED.iter().chain(naming).any(|named| name.eq_ignore_ascii_case(named.as_bytes()))
        };
        let tells = |value: &[u8]| hides && value.iter().any(|byte| matches!(byte, b'@' | b'?'));
        let fields = message.root().fields.iter().filter(|field| !named(&message.read(field.name.clone())));
        let fields = fields.filter(|field| !tells(&message.read(field.value.clone())));
        fields.map(|field| message.read(field.whole.clone()).into_owned()).collect()
    };
    assert!(others(before) == others(after), "a field that no edit names");
}

fn clean(bytes: &[u8]) -> bool {
    WireBody::new(&[bytes]).is_ok()
}

fn longest(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line).len()).max().unwrap_or(0)
}
