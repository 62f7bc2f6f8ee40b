//! Messages to send, and what to look at in those that arrived.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A message of the demo.
pub fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo").join(name).with_extension("eml");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All messages of the demo, and those before an edit, by name.
pub fn fixtures() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for folder in ["fixtures/demo", "fixtures/edit", "fixtures/golden"] {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("the fixtures").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".eml") && !name.ends_with(".expected.eml") {
                found.push((name, with_crlf(&fs::read(entry.path()).expect("readable"))));
            }
        }
    }
    found.sort();
    found
}

/// Each bare LF as CR LF, as a client that reads a file does; a last line is ended.
pub fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    for (at, &byte) in bytes.iter().enumerate() {
        if byte == b'\n' && (at == 0 || bytes[at - 1] != b'\r') {
            out.push(b'\r');
        }
        out.push(byte);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// A strong entry of the shipped list of abusive words, so that it need stand nowhere else.
pub fn abusive_word() -> String {
    let list = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("wordlists/en/abuse.txt"));
    let list = list.expect("the shipped list");
    let (_, strong) = list.split_once("severity: strong]\n").expect("a strong section");
    strong.split(['\n', ',', '+']).next().expect("an entry").trim().to_string()
}

/// Which of these words stand in which file below the folder, in clear, in small or capital letters, or as UTF-16.
pub fn found_in(folder: &Path, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(found_in(&path, words));
            continue;
        }
        // A file may go while we look.
        let bytes = fs::read(&path).unwrap_or_default();
        let narrow: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
        let text = String::from_utf8_lossy(&narrow).to_lowercase();
        let stands = words.iter().filter(|word| text.contains(&word.to_lowercase()));
        found.extend(stands.map(|word| format!("{word} in {}", path.display())));
    }
    found
}

/// A plain letter from one of our people to a client outside, with a number by which it is known again.
pub fn letter(number: impl std::fmt::Display, text: &str) -> Vec<u8> {
    format!(
        "X-Number: {number}\r\nFrom: Ben Okafor <ben.okafor@ours.example>\r\nTo: claims@agency.example\r\n\
         Subject: number {number}\r\nMessage-ID: <{number}@ours.example>\r\nDate: Thu, 04 Jun 2026 21:00:00 +0100\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n{text}\r\n"
    )
    .into_bytes()
}

/// The number in a message's own header.
pub fn number(message: &[u8]) -> Option<String> {
    let header = String::from_utf8_lossy(message);
    let header = header.split("\r\n\r\n").next()?;
    header.lines().find_map(|line| line.strip_prefix("X-Number: ")).map(str::to_string)
}

/// The message below the header that the gateway put on top.
pub fn below_trace(arrived: &[u8]) -> &[u8] {
    assert!(arrived.starts_with(b"Received: from "), "no trace header: {}", String::from_utf8_lossy(&arrived[..40]));
    let mut at = 0;
    loop {
        at += arrived[at..].iter().position(|&byte| byte == b'\n').expect("the header ends") + 1;
        if !matches!(arrived.get(at), Some(b' ' | b'\t')) {
            return &arrived[at..];
        }
    }
}

/// Every message below a folder, as a mail client would send it.
pub fn corpora(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            corpora(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "eml" || kind == "msg") {
            found.push((path.display().to_string(), with_crlf(&fs::read(&path).expect("readable"))));
        }
    }
}
