//! Every message of the corpora is edited without breaking, or left alone for a stated reason.
//!
//! Runs where `OUTGATE_CORPORA` names a folder with `mail` inside; elsewhere it has nothing to do.

use outgate::mail::{
    Edit, Message,
    check::{self, Seen},
    edit::{EditFailure, Notice, Transport, apply},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

fn messages() -> Vec<(PathBuf, Vec<u8>)> {
    let Some(corpora) = std::env::var_os("OUTGATE_CORPORA") else { return Vec::new() };
    let mut found = Vec::new();
    let mut folders = vec![Path::new(&corpora).join("mail")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
            if path.is_dir() {
                folders.push(path);
            } else if ["eml", "msg"].contains(&kind) {
                found.push((path.clone(), with_crlf(&fs::read(&path).expect("readable"))));
            }
        }
    }
    found.sort();
    found
}

fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 40);
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'\n' && (at == 0 || bytes[at - 1] != b'\r') {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}

fn notice(plain: &str) -> Edit {
    Edit::AppendNotice {
        notice: Arc::new(Notice { name: "n".into(), plain: plain.into(), html: String::new(), ..Notice::default() }),
    }
}

/// Types, places and hashes of the leaves that are not `touched`.
fn leaves(message: &Message, touched: &[String]) -> Vec<(String, usize, u64)> {
    let own = check::own_tree(message);
    let touched: Vec<_> = message
        .parts()
        .iter()
        .filter(|part| touched.iter().any(|id| id == part.id.as_str()))
        .map(|part| part.body.clone())
        .collect();
    let edited = |seen: &Seen| touched.contains(&seen.body);
    own.iter().map(|seen| (seen.content_type.clone(), seen.depth, if edited(seen) { 0 } else { seen.hash })).collect()
}

fn one_higher((content_type, depth, hash): &(String, usize, u64)) -> (String, usize, u64) {
    (content_type.clone(), depth - 1, *hash)
}

#[test]
fn every_message_is_edited_without_breaking_or_left_alone() {
    let mut table: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    let edits = [
        vec![notice("This message is confidential.\nIf it is not for you, delete it.")],
        vec![notice("Costs £5 – délivré, 日本")],
        vec![Edit::HideRecipients, Edit::TagSubject { tag: "External".into() }],
    ];
    for (path, bytes) in messages() {
        let before = Message::parse(bytes.clone());
        for edits in &edits {
            let name = format!("{} {}", edits[0].kind(), path.display());
            let applied = match apply(&before, edits, Transport::default()) {
                Ok(applied) => applied,
                Err(failure) => {
                    if matches!(failure, EditFailure::CheckFailed { .. } | EditFailure::Invalid { .. }) {
                        wrong.push(format!("{name}: {failure}"));
                    }
                    *table.entry(failure.to_string()).or_default() += 1;
                    continue;
                }
            };
            let what = if applied.changes.is_empty() {
                format!("left: {}", applied.skipped[0].reason)
            } else {
                "edited".into()
            };
            *table.entry(format!("{}: {what}", edits[0].kind())).or_default() += 1;
            if applied.changes.is_empty() {
                assert_eq!(applied.bytes(), bytes, "{name}");
                continue;
            }
            let after = Message::parse(applied.bytes());
            let wrapped = applied.changes.iter().any(|change| change.kind == "wrap");
            let touched: Vec<String> = applied.changes.iter().map(|change| change.part.to_string()).collect();
            let same = match wrapped {
                // Files alone: behind the new root and the notice they stand one deeper.
                true => leaves(&before, &[]) == leaves(&after, &[])[2..].iter().map(one_higher).collect::<Vec<_>>(),
                false => leaves(&before, &touched) == leaves(&after, &touched),
            };
            if !same {
                wrong.push(format!("{name}: other leaves"));
            }
            if bytes.is_ascii() && !applied.bytes().is_ascii() {
                wrong.push(format!("{name}: more than 7bit"));
            }
            match apply(&after, edits, Transport::default()) {
                Ok(again) if again.bytes() == applied.bytes() => {}
                Ok(_) => wrong.push(format!("{name}: twice is not once")),
                Err(failure) => wrong.push(format!("{name}: twice: {failure}")),
            }
        }
    }
    let lines: Vec<String> = table.iter().map(|(what, count)| format!("{count:5}  {what}")).collect();
    eprintln!("{}", lines.join("\n"));
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
