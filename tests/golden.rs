//! The golden set: every letter gets its notice once, at its place, as an independent reader and a browser see it, and nothing
//! else of it changes; or it is left alone for a stated reason.
//!
//! `fixtures/golden/NAME.eml` becomes `fixtures/golden/expected/NAME.eml`. `UPDATE_GOLDEN=1 cargo test --test golden` writes
//! what is expected anew; what changed then shows in the diff of the commit.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and prints its figure")]

#[path = "golden/letters.rs"]
mod letters;
#[path = "golden/rendered.rs"]
mod rendered;
#[path = "golden/side_by_side.rs"]
mod side_by_side;

use letters::{Becomes, Letter, NOTICE, folder, notice, of_charsets, of_clients};
use outgate::mail::{
    Edit, Message,
    edit::{Applied, Transport, apply},
};
use std::{
    env, fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

fn edited(bytes: &[u8], edits: &[Edit]) -> Result<Applied, String> {
    apply(&Message::parse(bytes.to_vec()), edits, Transport::default()).map_err(|failure| failure.to_string())
}

/// What becomes of a letter, in the words of the index.
fn became(outcome: &Result<Applied, String>) -> Becomes {
    match outcome {
        Err(failure) => Becomes::Fails(failure.clone()),
        Ok(applied) if applied.changes.is_empty() => Becomes::Left(applied.skipped[0].reason.into()),
        Ok(_) => Becomes::Noticed,
    }
}

#[test]
fn letters_of_clients_become_what_is_expected() {
    let update = env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for letter in of_clients() {
        let outcome = edited(&letter.bytes, &[notice(NOTICE)]);
        let mut found = became(&outcome);
        if found == Becomes::Noticed && letter.becomes() == Becomes::Added {
            found = Becomes::Added;
        }
        if found != letter.becomes() {
            wrong.push(format!("{}: {found:?}, not {:?}", letter.name, letter.becomes()));
        }
        let path = folder().join(format!("expected/{}.eml", letter.name));
        let changed = outcome.ok().filter(|applied| !applied.changes.is_empty()).map(|applied| applied.bytes());
        match changed {
            Some(bytes) if update => fs::write(&path, bytes).unwrap(),
            None if update => drop(fs::remove_file(&path)),
            bytes if bytes != fs::read(&path).ok() => wrong.push(format!("{}: not as in expected/", letter.name)),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_is_in_the_index() {
    let names: Vec<String> = of_clients().into_iter().map(|letter| letter.name).collect();
    for below in ["", "expected"] {
        for entry in fs::read_dir(folder().join(below)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let Some(name) = name.strip_suffix(".eml") else { continue };
            assert!(names.iter().any(|known| known == name), "{name}");
        }
    }
}

/// What an independent reader finds wrong in letters after an edit.
fn independently(folder: &Path, letters: &[Letter], text: &str) -> Vec<String> {
    let edits = [notice(text)];
    let after = |letter: &Letter| {
        edited(&letter.bytes, &edits).map_or_else(|_| letter.bytes.clone(), |applied| applied.bytes())
    };
    judged(folder, letters, &letters.iter().map(after).collect::<Vec<_>>(), text)
}

/// What it finds wrong in what became of them.
fn judged(folder: &Path, letters: &[Letter], became: &[Vec<u8>], text: &str) -> Vec<String> {
    let mut task = Vec::new();
    for (number, (letter, became)) in letters.iter().zip(became).enumerate() {
        let [before, after] = ["before", "after"].map(|when| folder.join(format!("{number}.{when}")));
        fs::write(&before, &letter.bytes).unwrap();
        fs::write(&after, became).unwrap();
        task.push(serde_json::json!({"name": letter.name, "before": before, "after": after, "what": letter.what,
            "behind": letter.behind, "front": letter.front}));
    }
    let task = serde_json::json!({"notice": text, "letters": task}).to_string();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checker.py");
    let mut python = Command::new("python3");
    let mut python = python.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = python.stdin.take().unwrap();
    let writing = std::thread::spawn(move || input.write_all(task.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), letters.len());
    let told = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    told.filter(|told| !told["faults"].as_array().unwrap().is_empty()).map(|told| told.to_string()).collect()
}

#[test]
fn an_independent_reader_sees_the_notice_and_no_other_change() {
    let folder = tempfile::tempdir().unwrap();
    let crlf: Vec<Letter> = of_clients().into_iter().chain(of_charsets()).collect();
    let lf = crlf.iter().map(Letter::with_lf);
    let letters: Vec<Letter> = crlf.iter().cloned().chain(lf).collect();
    let mut wrong = independently(folder.path(), &letters, NOTICE);
    // A notice that every charset can carry changes none.
    let ascii = "This message may be confidential.\nIf it is not for you, please delete it.";
    let fresh: Vec<Letter> = letters.iter().filter(|letter| !letter.what.contains("already")).cloned().collect();
    wrong.extend(independently(folder.path(), &fresh, ascii));
    println!("golden: {} letters, each with CR LF and LF, {} wrong", crlf.len(), wrong.len());
    assert!(crlf.len() >= 150 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn twice_is_once_and_transport_carries_no_more() {
    let mut wrong = Vec::new();
    let letters: Vec<Letter> = of_clients().into_iter().chain(of_charsets()).collect();
    for letter in letters.iter().cloned().chain(letters.iter().map(Letter::with_lf)) {
        for text in [NOTICE, "Plain words alone.", "£5 – 日本"] {
            let edits = [notice(text)];
            let Ok(once) = edited(&letter.bytes, &edits) else { continue };
            let once = once.bytes();
            match edited(&once, &edits) {
                Ok(twice) if twice.bytes() == once => {}
                Ok(_) => wrong.push(format!("{}: twice is not once", letter.name)),
                Err(failure) => wrong.push(format!("{}: twice: {failure}", letter.name)),
            }
            if letter.bytes.is_ascii() && !once.is_ascii() {
                wrong.push(format!("{}: more than 7bit", letter.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
