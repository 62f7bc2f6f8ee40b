//! What an edit costs beyond reading the message: the notice, and the check by our parser and an independent one behind it.
//! Each row stands beside reading the same message in the same run.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a bench that cannot go on fails")]

use outgate::mail::{
    Edit, Message,
    edit::{Notice, Transport, apply},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const HEAD: &str = "From: Ada Example <ada@ours.example>\r\nTo: Ben Sample <ben@elsewhere.example>\r\nSubject: Meeting\r\n\
    Message-ID: <1@ours.example>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n";

fn notice() -> Vec<Edit> {
    let plain =
        "This message is confidential.\nIf it is not for you, please delete it.\n\nExample Trust, charity 0000000";
    vec![Edit::AppendNotice {
        notice: Arc::new(Notice { name: "n".into(), plain: plain.into(), html: String::new(), ..Notice::default() }),
    }]
}

fn lines(bytes: usize) -> String {
    "The meeting about the garden and the minibus is at ten o'clock on Tuesday.\r\n".repeat(bytes / 76)
}

fn base64(bytes: usize) -> String {
    format!("{}\r\n", "QUJD".repeat(19)).repeat(bytes / 78)
}

fn median(rounds: usize, mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// Of a message of 10 MB, beyond reading it.
const LIMIT: Duration = Duration::from_millis(2);

fn main() {
    let plain = format!("{HEAD}Content-Type: text/plain; charset=utf-8\r\n\r\n{}", lines(4096));
    let html = format!(
        "{HEAD}Content-Type: text/html; charset=utf-8\r\n\r\n<html><body><p>{}</p></body></html>\r\n",
        lines(4096)
    );
    let quoted = format!(
        "{HEAD}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{}",
        lines(4096)
    );
    let encoded = format!(
        "{HEAD}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        base64(4096)
    );
    let both = format!(
        "{HEAD}Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n{}\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>{}\r\n--b--\r\n",
        lines(2048),
        lines(2048)
    );
    let large = |bytes| {
        format!(
            "{HEAD}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{}\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}--b--\r\n",
            lines(4096),
            base64(bytes)
        )
    };
    let cases = [
        ("plain 4 KB", plain, 2000),
        ("html 4 KB", html, 2000),
        ("quoted-printable 4 KB", quoted, 2000),
        ("base64 4 KB", encoded, 2000),
        ("alternative 4 KB", both, 2000),
        ("mixed 353 KB", large(353_000), 300),
        ("mixed 10 MB", large(10_000_000), 21),
        ("plain 10 MB", format!("{HEAD}\r\n{}", lines(10_000_000)), 11),
    ];
    let edits = notice();
    for (name, message, rounds) in cases {
        let bytes = message.into_bytes();
        let parse = median(rounds, || drop(Message::parse(bytes.clone())));
        let message = Message::parse(bytes);
        let text = median(rounds, || {
            message.parts().iter().filter(|part| part.is_text()).for_each(|part| drop(message.text(part)));
        });
        let edit = median(rounds, || {
            assert!(!apply(&message, &edits, Transport::default()).expect("an edit").changes.is_empty())
        });
        let [parse, text, edit] = [parse, text, edit].map(|time| time.as_secs_f64() * 1e6);
        let limit = if name.ends_with("10 MB") && edit > LIMIT.as_secs_f64() * 1e6 { "over 2 ms" } else { "" };
        println!("{name:24} parse {parse:9.1} µs   text {text:9.1} µs   edit {edit:9.1} µs {limit}");
    }
}
