//! Properties of reading a message: any bytes, either line end, time that grows with the size and nothing else.

#![allow(clippy::print_stdout)] // tests speak to whoever runs them

use outgate::mail::{Message, Part, UnreadReason, check};
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// Reads all that can be read.
fn read_all(bytes: &[u8]) -> Message {
    let message = Message::parse(bytes.to_vec());
    for part in message.parts() {
        message.content(part, 1 << 20);
        for field in &part.fields {
            message.field_text(field);
        }
        if part.is_text() {
            message.text(part);
        }
    }
    for name in ["From", "To", "Cc", "Subject"] {
        message.header(name);
        message.mailboxes(name);
    }
    message.is_automatic();
    message.is_auto_reply();
    message
}

fn assert_ranges(message: &Message) {
    let mut last = 0;
    for (index, part) in message.parts().iter().enumerate() {
        assert!(part.header.start >= last, "in the order of their first byte");
        last = part.header.start;
        assert!(part.header.start <= part.header.end && part.header.end <= part.body.start);
        assert!(part.body.start <= part.body.end && part.body.end <= message.len());
        if let Some(parent) = part.parent {
            assert!(parent < index);
            let around = &message.parts()[parent];
            assert!(around.body.start <= part.header.start && part.body.end <= around.body.end);
        }
        for field in &part.fields {
            assert!(field.whole.start == field.name.start && field.name.end < field.value.start);
            assert!(field.value.end <= field.whole.end && field.whole.end <= part.header.end);
        }
        if part.is_text() {
            let text = message.text(part);
            for (at, character) in text.text.char_indices() {
                let source = text.source(at..at + character.len_utf8());
                assert!(part.body.start <= source.start && source.start <= source.end && source.end <= part.body.end);
            }
            assert!(text.zones().windows(2).all(|two| two[0].range.end == two[1].range.start));
        }
    }
}

/// Pieces that make lively messages when thrown together.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop::sample::select(vec![
        "Content-Type: multipart/mixed; boundary=a\r\n",
        "Content-Type: multipart/alternative; boundary=\"a b\"\r\n",
        "Content-Type: message/rfc822\r\n",
        "Content-Type: text/html; charset=iso-8859-1\r\n",
        "Content-Type: text/plain; charset=utf-16le\r\n",
        "Content-Type: text/plain; charset=iso-2022-jp\r\n",
        "Content-Transfer-Encoding: base64\r\n",
        "Content-Transfer-Encoding: quoted-printable\r\n",
        "Subject: =?utf-8?q?a=C3?= =?utf-8?b?vGI=?=\r\n",
        "To: A <a@b.example>, G: c@d.example;, (\r\n",
        "\r\n",
        "\n",
        "\r",
        "--a\r\n",
        "--a--\r\n",
        "--a b\r\n",
        "--a b--\r\n",
        " ",
        "\t",
        ":",
        ";",
        "=",
        "=3D",
        "=\r\n",
        "<p>",
        "</div>",
        "<blockquote>",
        "</blockquote>",
        "<!--",
        "-->",
        "<script>",
        "&amp;",
        "&#x41;",
        "<a href='",
        "> quoted\r\n",
        "-- \r\n",
        "On 1 May, A wrote:\r\n",
        "aGVsbG8=\r\n",
        "text",
        "\u{e9}",
        "\0",
        "From: a\r\nSent: b\r\nTo: c\r\n",
    ]);
    prop::collection::vec(fragment, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        assert_ranges(&read_all(&bytes));
    }

    #[test]
    fn any_fragments(bytes in fragments()) {
        let message = read_all(&bytes);
        assert_ranges(&message);
        check::own_tree(&message);
    }

    #[test]
    fn either_line_end(bytes in fragments()) {
        let text = String::from_utf8(bytes).expect("fragments are text").replace("\r\n", "\n").replace('\r', "");
        let tree = |text: String| {
            let message = Message::parse(text.into_bytes());
            let line = |part: &Part| format!("{} {:?} {:?}", part.id, part.content_type, part.protection);
            message.parts().iter().map(line).collect::<Vec<_>>()
        };
        prop_assert_eq!(tree(text.replace('\n', "\r\n")), tree(text));
    }
}

fn seconds_for(bytes: &[u8]) -> Duration {
    // The better of two, since others share the machine.
    let once = || {
        let start = Instant::now();
        read_all(bytes);
        start.elapsed()
    };
    once().min(once())
}

/// Each is compared with a plain message of the same size: nothing may cost much more for its shape.
#[test]
fn time_grows_with_the_size_alone() {
    let multipart = "Content-Type: multipart/mixed; boundary=a\r\n\r\n";
    let repeat = |head: &str, unit: &str, times: usize| [head.as_bytes(), unit.repeat(times).as_bytes()].concat();
    let deep: String =
        (0..10_000).map(|i| format!("Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n")).collect();
    let cases = [
        ("dashes", repeat(multipart, "--\r\n", 1_000_000)),
        ("near boundaries", repeat(multipart, "--ab\r\n", 500_000)),
        ("parts", repeat(multipart, "--a\r\n\r\nx\r\n", 300_000)),
        ("depth", deep.into_bytes()),
        ("messages", repeat("", "Content-Type: message/rfc822\r\n\r\n", 50_000)),
        ("open comments", repeat("Content-Type: text/plain ", "(", 900_000)),
        ("open comments in To", repeat("To: ", "(", 900_000)),
        ("open angles", repeat("To: ", "<", 900_000)),
        ("open brackets", repeat("To: ", "[", 900_000)),
        ("open quotes", repeat("To: ", "\"", 900_000)),
        ("parameters", repeat("Content-Type: text/plain", "; a=b", 100_000)),
        ("sections", repeat("Content-Type: text/plain", "; a*1*=b", 100_000)),
        ("encoded words", repeat("Subject: ", "=?utf-8?q?a?= ", 70_000)),
        ("open encoded words", repeat("Subject: ", "=?a?q?", 160_000)),
        ("open encoded words, split", repeat("Subject: ", "=?utf-8?q?=C3?= ", 60_000)),
        ("fields", repeat("", "A: b\r\n", 500_000)),
        ("continuations", repeat("A: b\r\n", " c\r\n", 500_000)),
        ("open tags", repeat("Content-Type: text/html\r\n\r\n", "<a '", 500_000)),
        ("open comments in HTML", repeat("Content-Type: text/html\r\n\r\n", "<!--", 500_000)),
        ("comments for Outlook", repeat("Content-Type: text/html\r\n\r\n", "<!--[if", 300_000)),
        ("scripts", repeat("Content-Type: text/html\r\n\r\n", "<script>", 300_000)),
        ("style ends", repeat("Content-Type: text/html\r\n\r\n<style>", "</", 900_000)),
        ("nested divisions", repeat("Content-Type: text/html\r\n\r\n", "<div class=gmail_quote>", 100_000)),
        ("nested quotes", repeat("Content-Type: text/html\r\n\r\n", "<blockquote>x</div>", 100_000)),
        ("references", repeat("Content-Type: text/html\r\n\r\n", "&ampamp", 300_000)),
        ("attribution heads", repeat("\r\n", "On 1\r\n", 400_000)),
        ("mail heads", repeat("\r\n", "From: x\r\n", 300_000)),
        ("signatures", repeat("\r\n", "--\r\n", 600_000)),
        ("equals signs", repeat("Content-Transfer-Encoding: quoted-printable\r\n\r\n", "= ", 1_000_000)),
        ("blanks at line ends", repeat("Content-Transfer-Encoding: quoted-printable\r\n\r\n", " ", 2_000_000)),
        ("damaged base64", repeat("Content-Transfer-Encoding: base64\r\n\r\n", "a=.\r\n", 500_000)),
    ];
    for (name, bytes) in cases {
        let plain = repeat("Subject: plain\r\n\r\n", "just some words of text\r\n", bytes.len() / 25);
        let (took, usual) = (seconds_for(&bytes), seconds_for(&plain));
        let bound = usual * 60 + Duration::from_millis(400);
        assert!(took < bound, "{name}: {took:?} for {} bytes, plain {usual:?}", bytes.len());
        if std::env::var_os("OUTGATE_SHOW").is_some() {
            println!("{name}: {took:?} for {} bytes, plain {usual:?}", bytes.len());
        }
    }
}

#[test]
fn beyond_a_limit_is_unread_never_silence() {
    let reasons = |text: String| {
        let message = read_all(text.as_bytes());
        assert!(message.parts().len() <= 1_000);
        message.unread().iter().map(|unread| unread.reason).collect::<Vec<_>>()
    };
    let multipart = "Content-Type: multipart/mixed; boundary=a\r\n\r\n";
    let parts = |count| format!("{multipart}{}--a--\r\n", "--a\r\n\r\nx\r\n".repeat(count));
    assert_eq!(reasons(parts(999)), []);
    assert_eq!(reasons(parts(1_000)), [UnreadReason::TooMany]);
    let deep = |depth: usize| -> String {
        (0..depth).map(|i| format!("Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n")).collect()
    };
    assert_eq!(reasons(deep(32)), []);
    assert_eq!(reasons(deep(33)), [UnreadReason::TooDeep]);
    let messages = |depth| format!("{}Subject: x\r\n\r\ny", "Content-Type: message/rfc822\r\n\r\n".repeat(depth));
    assert_eq!(reasons(messages(10)), []);
    assert_eq!(reasons(messages(11)), [UnreadReason::TooDeep]);
    let fields = |count| format!("{}\r\n", "A: b\r\n".repeat(count));
    assert_eq!(reasons(fields(1_000)), []);
    assert_eq!(reasons(fields(1_001)), [UnreadReason::TooMany]);
    let header = |bytes: usize| format!("A: {}\r\n\r\n", " b\r\n".repeat(bytes / 4));
    assert_eq!(reasons(header(1_000_000)), []);
    assert_eq!(reasons(header(1_100_000)), [UnreadReason::TooLarge]);
    assert_eq!(reasons(format!("Content-Type: a/b{}\r\n\r\n", ";a=b".repeat(101))), [UnreadReason::TooMany]);
    assert_eq!(reasons(format!("Subject: {}\r\n\r\n", "=?a?q?b?= ".repeat(1_001))), [UnreadReason::TooMany]);
}
