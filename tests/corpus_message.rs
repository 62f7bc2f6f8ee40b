//! Reading real messages: `$OUTGATE_CORPORA/mail`, when that variable is set.

#![allow(clippy::print_stdout)] // tests speak to whoever runs them

use outgate::mail::{
    Message, Part,
    check::{self, Seen},
};
use std::path::{Path, PathBuf};

fn messages() -> Vec<(PathBuf, Vec<u8>)> {
    let Some(folder) = std::env::var_os("OUTGATE_CORPORA") else {
        println!("skipped: OUTGATE_CORPORA is not set");
        return Vec::new();
    };
    let mut found = Vec::new();
    walk(&Path::new(&folder).join("mail"), &mut found);
    assert!(!found.is_empty(), "OUTGATE_CORPORA has no messages");
    found
}

fn walk(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "eml" || kind == "msg") {
            let bytes = std::fs::read(&path).expect("readable");
            found.push((path, bytes));
        }
    }
}

/// With CR LF, as the wire has it.
fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    for (at, &byte) in bytes.iter().enumerate() {
        if byte == b'\n' && (at == 0 || bytes[at - 1] != b'\r') {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out
}

#[test]
fn every_range_is_valid_and_every_text_leads_back() {
    for (path, bytes) in messages() {
        let length = bytes.len();
        let message = Message::parse(bytes);
        for part in message.parts() {
            assert!(part.header.end <= part.body.start && part.body.end <= length, "{path:?} {}", part.id);
            if let Some(parent) = part.parent {
                let around = &message.parts()[parent];
                assert!(
                    around.body.start <= part.header.start && part.body.end <= around.body.end,
                    "{path:?} {}",
                    part.id
                );
            }
            for field in &part.fields {
                assert!(!message.field_text(field).text.contains("\r\n"), "{path:?}");
            }
            message.content(part, usize::MAX);
            if part.is_text() {
                let text = message.text(part);
                for (at, character) in text.text.char_indices().step_by(7) {
                    let source = text.source(at..at + character.len_utf8());
                    assert!(part.body.start <= source.start && source.end <= part.body.end, "{path:?} {}", part.id);
                }
                assert_eq!(text.zones().last().map_or(0, |passage| passage.range.end), text.text.len());
            }
        }
    }
}

#[test]
fn the_same_tree_with_either_line_end() {
    for (path, bytes) in messages() {
        let tree = |bytes: Vec<u8>| {
            let message = Message::parse(bytes);
            let line = |part: &Part| format!("{} {:?} {:?}", part.id, part.content_type, part.encoding);
            message.parts().iter().map(line).collect::<Vec<_>>()
        };
        let crlf = with_crlf(&bytes);
        let lf: Vec<u8> = String::from_utf8_lossy(&crlf).replace("\r\n", "\n").into_bytes();
        let crlf = String::from_utf8_lossy(&crlf).into_owned().into_bytes();
        assert_eq!(tree(crlf), tree(lf), "{path:?}");
    }
}

/// Where mail-parser sees other leaves, the message must be ambiguous.
#[test]
fn an_independent_parser_sees_the_same_leaves_or_the_message_is_flagged() {
    let (mut all, mut flagged, mut different) = (0, 0, Vec::new());
    for (path, bytes) in messages() {
        let message = Message::parse(with_crlf(&bytes));
        all += 1;
        if std::env::var_os("OUTGATE_SHOW").is_some() {
            for ambiguity in message.ambiguous() {
                println!("{}: {} {}", path.display(), ambiguity.part, ambiguity.class);
            }
        }
        if !message.ambiguous().is_empty() || !message.unread().is_empty() {
            flagged += 1;
            continue;
        }
        let leaves = |tree: Vec<Seen>| {
            let leaf = |seen: Seen| (seen.content_type, seen.body);
            tree.into_iter().filter(Seen::is_leaf).map(leaf).collect::<Vec<_>>()
        };
        let own = leaves(check::own_tree(&message));
        let independent = check::independent_tree(&message).map(leaves).unwrap_or_default();
        if own != independent {
            different.push((path, own, independent));
        }
    }
    println!("{all} messages, {flagged} flagged, {} different", different.len());
    for (path, own, independent) in &different {
        println!("{}\n  ours  {own:?}\n  other {independent:?}", path.display());
    }
    assert!(different.len() * 100 <= all * 2, "{} of {all} differ without a flag", different.len());
}
