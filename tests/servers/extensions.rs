//! T24: what ESMTP adds, towards hops that have it and hops that lack it. outgate offers what its hop has, passes parameters on
//! as written, and recodes nothing.

use super::{
    client::{Client, Reply, letter},
    gate::Gate,
    group::{eventually, free_port},
    hops::{Hop, Kind},
    postfix::Postfix,
    sink::Sink,
    tap::Tap,
};
use std::time::{Duration, Instant};

const KEYWORDS: [&str; 3] = ["8BITMIME", "SMTPUTF8", "DSN"];
/// How a message declares each, and what it hears where the hop lacks it.
const DECLARED: [(&str, &str, u16, &str); 3] = [
    ("BODY=8BITMIME", "", 550, "5.6.3"),
    ("SMTPUTF8", "", 550, "5.6.7"),
    ("RET=HDRS ENVID=a+2Bb", " NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c@elsewhere.example", 555, "5.5.4"),
];

fn offered(text: &str) -> Vec<&'static str> {
    KEYWORDS.into_iter().filter(|keyword| text.lines().any(|line| line.trim() == *keyword)).collect()
}

#[test]
fn postfix_with_all() {
    let sink = Sink::listen();
    declare("Postfix", &Hop::start(Kind::Postfix, sink.port), &sink, &KEYWORDS);
}

#[test]
fn postfix_with_none() {
    let sink = Sink::listen();
    let main =
        format!("relayhost = [127.0.0.1]:{}\nsmtpd_discard_ehlo_keywords = 8bitmime, smtputf8, dsn\n", sink.port);
    declare("Postfix-without", &Hop::postfix(Postfix::with(&main, "")), &sink, &[]);
}

#[test]
fn exim() {
    let sink = Sink::listen();
    declare("Exim", &Hop::start(Kind::Exim, sink.port), &sink, &KEYWORDS);
}

#[test]
fn opensmtpd() {
    let sink = Sink::listen();
    declare("OpenSMTPD", &Hop::start(Kind::OpenSmtpd, sink.port), &sink, &["8BITMIME", "DSN"]);
}

#[test]
fn sendmail() {
    let sink = Sink::listen();
    declare("Sendmail", &Hop::start(Kind::Sendmail, sink.port), &sink, &["8BITMIME", "DSN"]);
}

fn declare(name: &str, hop: &Hop, sink: &Sink, has: &[&str]) {
    let tap = Tap::before(hop.port);
    let gate = Gate::before(tap.port);
    eventually("outgate offers what its hop has", 20, || offered(&Client::greet(gate.port).1) == has);
    let (mut passed, mut refused) = (0, 0);
    for (keyword, (parameters, of_recipient, code, enhanced)) in KEYWORDS.into_iter().zip(DECLARED) {
        let mark = format!("declares-{keyword}");
        let reply = hand_in(gate.port, parameters, of_recipient, &mark);
        if has.contains(&keyword) {
            assert_eq!(reply.code, 250, "{name} {keyword}: {reply:?}");
            sink.expect(&format!("Subject: {mark}"), 30);
            let transcript = tap.transcript();
            assert!(transcript.contains(&format!("MAIL FROM:<ann@ours.example> {parameters}\r\n")), "{transcript}");
            assert!(transcript.contains(&format!("RCPT TO:<c@elsewhere.example>{of_recipient}\r\n")), "{transcript}");
            assert!(transcript.contains("\r\nFür Zoë.\r\n"), "{name}: the text was recoded: {transcript}");
            passed += 1;
        } else {
            assert!(reply.is(code, enhanced), "{name} {keyword}: {reply:?}");
            assert!(!tap.transcript().contains(&mark), "{name} got what it cannot take");
            refused += 1;
        }
    }
    // An address that needs SMTPUTF8, not declared.
    let reply = Client::greet(gate.port).0.hand_in("<jörg@ours.example>", &["<c@elsewhere.example>"], b"");
    assert!(reply.is(553, "5.6.7"), "{reply:?}");
    assert_eq!(hand_in(gate.port, "", "", "declares-nothing").code, 250);
    sink.expect("Subject: declares-nothing", 30);
    println!(
        "T24 hop={name} extensions={} passed-as-written={passed} refused-as-documented={refused} recoded=0",
        KEYWORDS.len()
    );
}

fn hand_in(port: u16, parameters: &str, of_recipient: &str, mark: &str) -> Reply {
    let text = if parameters.is_empty() { "For Zoe." } else { "Für Zoë." };
    let mut client = Client::greet(port).0;
    let sender = format!("<ann@ours.example> {parameters}");
    client.hand_in(sender.trim_end(), &[&format!("<c@elsewhere.example>{of_recipient}")], &eight_bit(mark, text))
}

fn eight_bit(mark: &str, text: &str) -> Vec<u8> {
    let message = String::from_utf8(letter(mark, text)).unwrap();
    let head =
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nSubject:";
    message.replacen("Subject:", head, 1).into_bytes()
}

/// Before its hop was ever seen, outgate offers 8BITMIME. A hop that then turns out to lack it gets nothing it cannot take.
#[test]
fn a_hop_that_lacks_8bitmime_is_first_seen_late() {
    let sink = Sink::listen();
    let port = free_port();
    let gate = Gate::before(port);
    assert_eq!(offered(&Client::greet(gate.port).1), ["8BITMIME"]);
    assert_eq!(hand_in(gate.port, "BODY=8BITMIME", "", "early").code, 451, "nobody is there");
    let main = format!("relayhost = [127.0.0.1]:{}\nsmtpd_discard_ehlo_keywords = 8bitmime\n", sink.port);
    let postfix = Postfix::with(&main, "");
    let _tap = Tap::between(port, postfix.port);
    let started = Instant::now();
    let mut waits = 0;
    let reply = loop {
        let reply = hand_in(gate.port, "BODY=8BITMIME", "", "early");
        if reply.code != 451 {
            break reply;
        }
        waits += 1;
        assert!(started.elapsed() < Duration::from_secs(30), "{reply:?}");
        std::thread::sleep(Duration::from_millis(500));
    };
    assert!(reply.is(550, "5.6.3"), "{reply:?}");
    assert!(sink.kept().is_empty());
    println!("T24 hop-seen-late lacks=8BITMIME try-later={waits} refused-as-documented=1 recoded=0");
}
