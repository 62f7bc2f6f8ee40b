//! T20: what some servers take for the end of a message, and what then follows as a second transaction
//! (CVE-2023-51764, -51765, -51766). Through outgate none of it reaches anybody.

use super::{
    client::{Client, letter},
    gate::Gate,
    hops::{Hop, Kind},
    how_to::snippet,
    postfix::Postfix,
    sink::Sink,
    tap::Tap,
};
use std::{thread, time::Duration};

/// The variants, with what outgate answers to a message that contains them.
const VARIANTS: [(&str, &[u8], u16); 13] = [
    ("LF . LF", b"\n.\n", 550),
    ("LF . CRLF", b"\n.\r\n", 550),
    ("CRLF . LF", b"\r\n.\n", 550),
    ("CR . CR", b"\r.\r", 550),
    ("CR . CRLF", b"\r.\r\n", 550),
    ("CRLF . CR", b"\r\n.\r", 550),
    ("LF . CR", b"\n.\r", 550),
    ("CR . LF", b"\r.\n", 550),
    ("CRLF . CR CRLF", b"\r\n.\r\r\n", 550),
    ("CRLF CR . CRLF", b"\r\n\r.\r\n", 550),
    ("CRLF NUL . CRLF", b"\r\n\0.\r\n", 550),
    ("CRLF . NUL CRLF", b"\r\n.\0\r\n", 550),
    // All line ends are right: two dots are a line of one dot, and must go out as two again.
    ("CRLF .. CRLF", b"\r\n..\r\n", 250),
];

const SENDER: &str = "<ann@ours.example>";
const RECIPIENT: &str = "<client@elsewhere.example>";
const SMUGGLED: &str = "MAIL FROM:<smuggled@ours.example>\r\nRCPT TO:<victim@elsewhere.example>\r\nDATA\r\n\
                        From: smuggled@ours.example\r\nSubject: smuggled\r\n\r\nThis was smuggled.\r\n";

#[test]
fn nothing_is_smuggled_to_postfix() {
    through_outgate(Kind::Postfix);
}

#[test]
fn nothing_is_smuggled_to_exim() {
    through_outgate(Kind::Exim);
}

#[test]
fn nothing_is_smuggled_to_opensmtpd() {
    through_outgate(Kind::OpenSmtpd);
}

#[test]
fn nothing_is_smuggled_to_sendmail() {
    through_outgate(Kind::Sendmail);
}

fn through_outgate(kind: Kind) {
    let sink = Sink::listen();
    let hop = Hop::start(kind, sink.port);
    let tap = Tap::before(hop.port);
    let gate = Gate::before(tap.port);
    let (mut refused, mut harmless) = (0, 0);
    for (number, (name, variant, expected)) in VARIANTS.iter().enumerate() {
        for cut in 0..=variant.len() {
            let reply = attempt(gate.port, &format!("try-{number}-{cut}"), variant, cut);
            assert_eq!(reply, *expected, "{name}, cut at {cut}, towards {kind:?}");
            refused += usize::from(reply == 550);
            harmless += usize::from(reply == 250);
        }
    }
    // Once this has arrived, what came before it would have arrived too.
    let (mut client, _) = Client::greet(gate.port);
    assert_eq!(client.hand_in(SENDER, &[RECIPIENT], &letter("marker", "The last one.")).code, 250);
    sink.expect("Subject: marker", 30);
    super::group::eventually("what was accepted arrives", 30, || sink.kept().len() > harmless);
    thread::sleep(Duration::from_millis(300));
    let kept = sink.kept();
    let smuggled = kept.iter().filter(|kept| kept.sender.contains("smuggled")).count();
    println!(
        "T20 hop={kind:?} variants={} attempts={} refused={refused} harmless={harmless} arrived={} smuggled={smuggled} strays-out={}",
        VARIANTS.len(),
        refused + harmless,
        kept.len(),
        tap.strays()
    );
    assert_eq!(smuggled, 0);
    assert_eq!(kept.len(), harmless + 1, "one message for each that was accepted, and the marker");
    assert_eq!(tap.strays(), 0, "bare CR, LF or NUL went out");
    let whole = kept.iter().filter(|kept| kept.contains("\r\n.\r\nMAIL FROM:<smuggled@ours.example>")).count();
    assert_eq!(whole, harmless, "the two dots arrive as a line of one dot, with what followed still in the text");
}

/// Sends one message with the variant in it, in two pieces cut within the variant; the code of its final reply.
fn attempt(port: u16, mark: &str, variant: &[u8], cut: usize) -> u16 {
    let (mut client, _) = Client::greet(port);
    assert_eq!(client.command(&format!("MAIL FROM:{SENDER}")).code, 250);
    assert_eq!(client.command(&format!("RCPT TO:{RECIPIENT}")).code, 250);
    assert_eq!(client.command("DATA").code, 354);
    let mut message = letter(mark, "The first message.");
    message.truncate(message.len() - 2);
    message.extend_from_slice(&variant[..cut]);
    client.send(&message);
    thread::sleep(Duration::from_millis(2));
    client.send(&[&variant[cut..], SMUGGLED.as_bytes(), b".\r\n"].concat());
    let reply = client.reply();
    client.send(b"QUIT\r\n");
    reply.code
}

/// That the variants are real, and that the sink sees a second message where there is one: the servers alone.
#[test]
fn without_outgate_some_are_smuggled() {
    for kind in Kind::ALL {
        let sink = Sink::listen();
        let hop = Hop::start(kind, sink.port);
        report(&format!("{kind:?}"), &sink, hop.port);
    }
    // Whatever this Postfix has as its default: as it was before there was a fix, and as our document says to set it.
    let postfix = |setting: &str| {
        let sink = Sink::listen();
        let settings = format!("relayhost = [127.0.0.1]:{}\n{setting}\n", sink.port);
        let hop = Hop::postfix(Postfix::with(&settings, ""));
        report(setting, &sink, hop.port)
    };
    assert!(postfix("smtpd_forbid_bare_newline = no") > 0);
    let advice = snippet("postfix", "bare newlines");
    assert_eq!(postfix(&advice), 0);
}

fn report(server: &str, sink: &Sink, port: u16) -> usize {
    for (number, (_, variant, _)) in VARIANTS.iter().enumerate() {
        attempt(port, &format!("try-{number}"), variant, 0);
    }
    let (mut client, _) = Client::greet(port);
    assert_eq!(client.hand_in(SENDER, &[RECIPIENT], &letter("marker", "The last one.")).code, 250);
    sink.expect("Subject: marker", 30);
    thread::sleep(Duration::from_millis(800));
    let smuggled = sink.kept().iter().filter(|kept| kept.sender.contains("smuggled")).count();
    let server = server.lines().collect::<Vec<_>>().join("; ");
    println!("T20 without outgate: {server}: variants={} smuggled={smuggled} (for information)", VARIANTS.len());
    smuggled
}
