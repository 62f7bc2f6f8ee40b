//! Reads and plays a session transcript.
//!
//! `C: text` sends a line; lines that follow each other go out in one write. `C| text` sends no CR LF. `S: text` is the
//! next line of the door, `*` at its end stands for any rest. `S~` is the end of the connection, `C~` closes it from
//! our side. `set: …` changes the door before it opens; `then: WHAT N` is looked at behind all. `#` is a remark.
//! `\r`, `\n`, `\0`, `\\` and `\xNN` are bytes; `\*N TEXT` is TEXT N times.

use crate::{
    corridor::everything,
    house::{Client, House, settings},
};
use outgate::{
    intake::smtp::{Senders, Settings},
    mail::wire::LineEndings,
};
use std::{path::Path, sync::atomic::Ordering, time::Duration};

pub async fn play(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let mut door = settings();
    text.lines().filter_map(|line| line.strip_prefix("set: ")).for_each(|line| set(&mut door, line));
    let house = House::open(door).await;
    for line in text.lines() {
        set_hop(&house, line);
    }

    let mut client = Some(house.client().await);
    let mut group = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let place = format!("{name}:{number}");
        if let Some(said) = line.strip_prefix("C: ").or((line == "C:").then_some("")) {
            group.extend([unescape(said), b"\r\n".to_vec()].concat());
            continue;
        }
        if let Some(said) = line.strip_prefix("C| ") {
            group.extend(unescape(said));
            continue;
        }
        if !group.is_empty() {
            client.as_mut().unwrap_or_else(|| panic!("{place}: closed")).say(std::mem::take(&mut group)).await;
        }
        match line.split_once(' ').map_or((line, ""), |(word, rest)| (word, rest)) {
            ("S:", expected) => listen(client.as_mut(), expected, &place).await,
            ("S~", _) => {
                let line = client.as_mut().unwrap_or_else(|| panic!("{place}: closed")).line().await;
                assert_eq!(line, None, "{place}: the door should have closed");
            }
            ("C~", _) => client = None,
            ("then:", expected) => check(&house, expected, &place).await,
            ("set:" | "", _) => {}
            (word, _) => assert!(word.starts_with('#'), "{place}: not understood"),
        }
    }
}

async fn listen(client: Option<&mut Client>, expected: &str, place: &str) {
    let client = client.unwrap_or_else(|| panic!("{place}: closed"));
    let Some(line) = client.line().await else { panic!("{place}: the door closed instead of: {expected}") };
    let fits = match expected.strip_suffix('*') {
        Some(start) => line.starts_with(start),
        None => line == expected,
    };
    assert!(fits, "{place}\n  expected: {expected}\n  heard:    {line}");
}

async fn check(house: &House, expected: &str, place: &str) {
    let (what, figures) = expected.split_once(' ').unwrap();
    let fake = &house.fake;
    let now = || match what {
        "handed" => fake.handed.lock().unwrap().len().to_string(),
        "confirmed" => fake.confirmed.load(Ordering::SeqCst).to_string(),
        "unconfirmed" => fake.unconfirmed.load(Ordering::SeqCst).to_string(),
        "memory" => house.door.budget().used().to_string(),
        "rested" => fake.hop.rested.load(Ordering::SeqCst).to_string(),
        "groups" => fake.hop.batches.lock().unwrap().iter().map(usize::to_string).collect::<Vec<_>>().join(" "),
        "message" => house.bodies().last().map(|body| body.escape_ascii().to_string()).unwrap_or_default(),
        _ => panic!("{place}: not understood"),
    };
    for _ in 0..100 {
        if now() == figures {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(now(), figures, "{place}: {what}");
}

fn set(settings: &mut Settings, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let limits = &mut settings.limits;
    let number = || words[1].parse::<u64>().unwrap();
    match words[0] {
        "peer" => settings.peers[0].networks = vec![words[1].parse().unwrap()],
        "senders" => settings.peers[0].senders = Senders::OwnDomains,
        "normalise" => settings.peers[0].line_endings = LineEndings::Normalise,
        "answer-within-ms" => settings.peers[0].answer_within = Duration::from_millis(number()),
        "answer-margin-ms" => limits.answer_margin = Duration::from_millis(number()),
        "message-size" => limits.message_size = number(),
        "memory" => limits.memory = number(),
        "recipients" => limits.recipients = number() as usize,
        "connections" => limits.connections = number() as usize,
        "errors" => limits.errors = number() as u32,
        "idle-commands" => limits.idle_commands = number() as u32,
        "received" => limits.received_fields = number() as usize,
        "command-wait-ms" => limits.command_wait = Duration::from_millis(number()),
        "hop-wait-ms" => limits.hop_wait = Duration::from_millis(number()),
        "data-wait-ms" => limits.data_wait = Duration::from_millis(number()),
        "hop" | "hop-learned" => {}
        _ => panic!("not understood: {line}"),
    }
}

/// `set: hop size=N without 8BITMIME SMTPUTF8 DSN`, and the same for what is learned at the first RCPT.
fn set_hop(house: &House, line: &str) {
    let Some((what, words)) = line.strip_prefix("set: ").and_then(|line| line.split_once(' ')) else { return };
    let mut extensions = everything();
    for word in words.split(' ') {
        match word {
            "8BITMIME" => extensions.eight_bit_mime = false,
            "SMTPUTF8" => extensions.smtputf8 = false,
            "DSN" => extensions.dsn = false,
            _ => {
                if let Some(size) = word.strip_prefix("size=") {
                    extensions.size = size.parse().unwrap();
                }
            }
        }
    }
    match what {
        "hop" => *house.fake.hop.extensions.lock().unwrap() = extensions,
        "hop-learned" => *house.fake.hop.learned.lock().unwrap() = Some(extensions),
        _ => {}
    }
}

fn unescape(text: &str) -> Vec<u8> {
    if let Some((count, rest)) = text.strip_prefix("\\*").and_then(|rest| rest.split_once(' ')) {
        return unescape(rest).repeat(count.parse().unwrap());
    }
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&kind, behind) = rest.split_first().expect("something behind the backslash");
        rest = behind;
        match kind {
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b'0' => out.push(0),
            b'\\' => out.push(b'\\'),
            b'x' => {
                out.push(u8::from_str_radix(std::str::from_utf8(&rest[..2]).unwrap(), 16).unwrap());
                rest = &rest[2..];
            }
            _ => panic!("not understood: {text}"),
        }
    }
    out
}
