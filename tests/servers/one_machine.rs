//! One Postfix for what comes in and for what goes out, with the content filter for all of it, as docs/how-to/postfix.md writes
//! it: incoming mail is not changed, outgoing mail is judged, each message.

use super::{
    client::{Client, letter},
    fronts::postfix_filter,
    gate::{HELD, NOTICE, RETURNED},
    group::eventually,
    how_to::snippet,
    sink::{Kept, Sink},
    table::{below_trace, replaced},
};
use std::{collections::BTreeMap, env, fs, path::Path, thread};

const CLIENTS: usize = 4;

/// Incoming messages and outgoing ones, each this many (long form: 1,000).
fn count() -> usize {
    env::var("OUTGATE_ONE_MACHINE").map_or(60, |count| count.parse().expect("a number"))
}

/// From strangers, to one of ours: the fixtures with a text of their own above the last line, personal data, 8-bit and long lines.
fn incoming(count: usize) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    let fixtures: Vec<Vec<u8>> = paths
        .iter()
        .map(|path| replaced_all(fs::read(path).unwrap(), b"ours.example", b"else.example"))
        // Postfix takes Bcc out by itself.
        .filter(|bytes| !String::from_utf8_lossy(bytes).contains("\nBcc:"))
        .collect();
    assert!(fixtures.len() > 20);
    let extra = |at: usize| match at % 4 {
        0 => String::new(),
        1 => format!("{HELD} ({at})\r\n"),
        2 => format!("{} \u{a3}{at} \t \r\n.\r\n..\r\n", "\u{e9}".repeat(at % 300)),
        _ => format!("{}\r\n{RETURNED}\r\n", "x".repeat(at % 900)),
    };
    (0..count)
        .map(|at| {
            let head = format!("X-Number: in-{at}-\r\n").into_bytes();
            [head, fixtures[at % fixtures.len()].clone(), extra(at).into_bytes()].concat()
        })
        .collect()
}

fn replaced_all(mut bytes: Vec<u8>, old: &[u8], new: &[u8]) -> Vec<u8> {
    while memchr::memmem::find(&bytes, old).is_some() {
        bytes = replaced(bytes, old, new);
    }
    bytes
}

/// RFC 5321 4.5.2.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let dots = memchr::memmem::find_iter(message, b"\r\n.").map(|at| at + 2);
    let mut from = 0;
    let mut out = Vec::with_capacity(message.len() + 16);
    for at in dots {
        out.extend_from_slice(&message[from..at]);
        out.push(b'.');
        from = at;
    }
    out.extend_from_slice(&message[from..]);
    out
}

/// From one of ours, to a client: of ten messages one is to be held, one to be returned, eight are to get the notice.
fn outgoing(at: usize) -> Vec<u8> {
    let text = match at % 10 {
        3 => HELD,
        7 => RETURNED,
        _ => "The figures of the spring are ready.",
    };
    letter(&format!("out-{at}-"), text)
}

/// By the mark in the message's own header; what quotes it (a bounce, a notice) is not it.
fn by_mark(sink: &Sink, field: &str) -> BTreeMap<String, Vec<Kept>> {
    let mut found: BTreeMap<String, Vec<Kept>> = BTreeMap::new();
    for kept in sink.kept() {
        let head = kept.head();
        if let Some(mark) = head.lines().find_map(|line| line.strip_prefix(field)) {
            found.entry(mark.to_string()).or_default().push(kept);
        }
    }
    found
}

#[test]
fn incoming_is_not_changed_and_outgoing_is_judged() {
    let count = count();
    let mailboxes = Sink::listen();
    let main = format!(
        "relay_domains = ours.example\ntransport_maps = inline:{{ {{ ours.example = smtp:[127.0.0.1]:{} }} }}\n",
        mailboxes.port
    );
    let (postfix, gate, world) = postfix_filter(&(snippet("postfix", "content filter main.cf") + &main), "");
    let coming = incoming(count);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (coming, port) = (&coming, postfix.port);
            scope.spawn(move || {
                let mut session = Client::greet(port).0;
                for at in (client..count).step_by(CLIENTS) {
                    let (stranger, ours) = ("<rosa.lind@client.example>", "<ada.fenwick@ours.example>");
                    let reply = session.hand_in(&format!("{stranger} BODY=8BITMIME"), &[ours], &stuffed(&coming[at]));
                    assert_eq!(reply.code, 250, "{reply:?}");
                    let reply = session.hand_in("<ann@ours.example>", &["<client@elsewhere.example>"], &outgoing(at));
                    assert_eq!(reply.code, 250, "{reply:?}");
                }
            });
        }
    });
    let (held, returned) = ((0..count).filter(|at| at % 10 == 3).count(), (0..count).filter(|at| at % 10 == 7).count());
    eventually("all has come through", 60 + count as u64 / 5, || {
        postfix.queued() == 0 && by_mark(&world, "Subject: out-").len() == count - held - returned
    });
    eventually("each bounce and notice has come", 60, || {
        // One of the incoming fixtures is a bounce too.
        let bounces = mailboxes.kept().into_iter().filter(|kept| kept.head().contains("Undelivered Mail Returned"));
        bounces.filter(|kept| !kept.head().contains("X-Number")).count() == returned
    });

    let arrived = by_mark(&mailboxes, "X-Number: in-");
    let changed = coming.iter().enumerate().filter(|(at, sent)| {
        let copies = &arrived[&format!("{at}-")];
        copies.len() != 1 || below_trace(&copies[0].bytes) != &sent[..]
    });
    let changed: Vec<usize> = changed.map(|(at, _)| at).collect();
    for at in changed.iter().take(1) {
        println!(
            "sent:\n{}\narrived:\n{}",
            String::from_utf8_lossy(&coming[*at]),
            arrived[&format!("{at}-")][0].text()
        );
    }
    let left = by_mark(&world, "Subject: out-");
    let with_notice = left.values().filter(|copies| copies.len() == 1 && copies[0].contains(NOTICE)).count();
    let cases =
        gate.cases().iter().filter(|case| case["subject"].as_str().is_some_and(|it| it.starts_with("out-"))).count();
    let judged = with_notice + cases + returned;
    println!(
        "one-machine incoming={count} changed={} outgoing={count} judged={judged} (notice {with_notice}, held {cases}, \
         returned {returned}) cases={}",
        changed.len(),
        gate.cases().len()
    );
    assert_eq!((changed.len(), arrived.len()), (0, count));
    assert_eq!((judged, cases, left.len()), (count, held, with_notice));
    assert_eq!(gate.cases().len(), held, "no incoming message waits");
}
