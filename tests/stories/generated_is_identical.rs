//! Messages that nobody would write, generated from their number, leave byte for byte as they came: all detectors and rules look
//! at each (`mode = "watch"`), none edits.

use crate::support::{Client, Dice, Gateway, Hop, Setup};
use std::{env, thread, time::Instant};

const CLIENTS: usize = 6;
const COUNT: usize = 2_000;

#[test]
fn generated_messages_leave_as_they_came() {
    let count = env::var("OUTGATE_GENERATED").map_or(COUNT, |count| count.parse().expect("a number"));
    let hop = Hop::start();
    let setup = Setup { top: "mode = \"watch\"", log: "warn,outgate=info", ..Setup::default() };
    let gateway = Gateway::with(hop.address(), setup);
    let started = Instant::now();
    let (changed, bytes) = thread::scope(|scope| {
        let clients = (0..CLIENTS).map(|client| {
            let (hop, door) = (&hop, gateway.door());
            scope.spawn(move || {
                let mut session = Client::connect(door).unwrap();
                let (mut changed, mut bytes) = (Vec::new(), 0);
                for number in (client..count).step_by(CLIENTS) {
                    let message = generated(number);
                    bytes += message.len();
                    if !is_identical(&mut session, hop, number, &message) {
                        changed.push(number);
                    }
                }
                (changed, bytes)
            })
        });
        let clients: Vec<_> = clients.collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("the client ends"))
            .fold((Vec::new(), 0), |all, one| ([all.0, one.0].concat(), all.1 + one.1))
    });
    println!(
        "generated messages={count} changed={} bytes={bytes} seconds={:.0}",
        changed.len(),
        started.elapsed().as_secs_f64()
    );
    assert!(changed.is_empty(), "numbers {changed:?}");
    assert!(gateway.cases().is_empty(), "watched, not held");
}

/// Hands it in and looks at what arrived. Every third comes from outside for our own people.
fn is_identical(session: &mut Client, hop: &Hop, number: usize, message: &[u8]) -> bool {
    let (house, to) = match number % 3 {
        0 => ("client.example", "ada.fenwick@ours.example"),
        _ => ("ours.example", "claims@agency.example"),
    };
    let from = format!("g{number}@{house}");
    for command in [format!("MAIL FROM:<{from}> BODY=8BITMIME"), format!("RCPT TO:<{to}>"), "DATA".into()] {
        let answer = session.say(&command).unwrap();
        assert!(answer.starts_with(['2', '3']), "{number}: {answer}");
    }
    let mut dice = Dice::new(number as u64 + 7);
    let wire = on_the_wire(message);
    // Most in one piece, some cut anywhere.
    let mut rest = &wire[..];
    while !rest.is_empty() {
        let cut = if number.is_multiple_of(7) && rest.len() < 4_000 { 1 + dice.below(40) as usize } else { rest.len() };
        let (piece, behind) = rest.split_at(cut.min(rest.len()));
        session.write(piece).unwrap();
        rest = behind;
    }
    let answer = session.answer().unwrap();
    assert!(answer.starts_with("250"), "{number}: {answer}");
    let arrived = hop.take_from(&from);
    let [arrived] = &arrived[..] else { return false };
    // A message may begin with a blank, and then looks like a part of the line above it: cut where its length says.
    let (trace, below) = arrived.bytes.split_at(arrived.bytes.len().saturating_sub(message.len()));
    let lines: Vec<&str> = std::str::from_utf8(trace).unwrap_or_default().split_inclusive("\r\n").collect();
    let folded = lines.iter().skip(1).all(|line| line.starts_with('\t') && line.ends_with("\r\n"));
    below == message && lines.len() == 3 && lines[0].starts_with("Received: from ") && folded
}

/// Dots doubled, and the final dot (RFC 5321 4.5.2).
fn on_the_wire(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + 16);
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

/// The message with this number, the same each time.
fn generated(number: usize) -> Vec<u8> {
    let mut writer = Writer { dice: Dice::new(number as u64 * 2 + 0x9E37_79B9), out: Vec::new() };
    for _ in 0..8 {
        writer.dice.below(2);
    }
    let fields = writer.dice.below(12);
    for _ in 0..fields {
        writer.field();
    }
    match writer.dice.below(20) {
        0 => {}
        1 => writer.line(b" \t"),
        _ => writer.line(b""),
    }
    writer.body(0);
    if writer.out.is_empty() {
        writer.line(b"");
    }
    writer.out
}

struct Writer {
    dice: Dice,
    out: Vec<u8>,
}

const FIELDS: [&str; 22] = [
    "From: Ben Okafor <ben.okafor@ours.example>",
    "From: \"Okafor, Ben\" <ben.okafor@ours.example>,\r\n\tada.fenwick@ours.example",
    "From: =?utf-8?Q?J=C3=B6rg?= <joerg@else.example>",
    "From : spaced@ours.example",
    "To: claims@agency.example",
    "To: undisclosed-recipients:;",
    "To: A Group: a@one.example, b@two.example;, c@three.example",
    "Cc: (comment (nested\\)) here) d@four.example",
    "Bcc: hidden@five.example",
    "Subject: The figures",
    "Subject: =?iso-8859-1?B?R3L832U=?= =?utf-8?Q?_and?=\r\n =?utf-8?Q?_more?=",
    "Subject:",
    "subject:no space",
    "MIME-Version: 1.0 (made by hand)",
    "Content-Transfer-Encoding: 8bit",
    "Content-Transfer-Encoding: base645",
    "Content-Disposition: attachment; filename*0=\"a;\"; filename*1=b.txt",
    "Content-Type: text/html; charset=\"x-unknown\"",
    "Content-Type: multipart/mixed; boundary=\"=_b\"; boundary=other",
    "DKIM-Signature: v=1; a=rsa-sha256; d=ours.example; s=k;\r\n h=from:to;\r\n\tb=AAAA",
    "Auto-Submitted: auto-replied",
    "no colon here",
];

/// Words that detectors know, so that findings and notices are about.
const LINES: [&str; 12] = [
    "Her National Insurance number is QQ 12 34 56 C.",
    "4111 1111 1111 1111",
    "Forward this to everyone you know, or you will have bad luck!",
    "This message may be confidential.",
    "> quoted text, and -- ",
    "-- ",
    ".",
    "..",
    "From the beginning of a line",
    "-----BEGIN PGP MESSAGE-----",
    "begin 644 file.txt",
    "<p style=\"display:none\">hidden</p><a href=\"x\">=3D</a>",
];

impl Writer {
    fn line(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.dice.below(from.len() as u64) as usize]
    }

    /// Any bytes but CR, LF and NUL, which a strict door refuses.
    fn noise(&mut self, most: u64) -> Vec<u8> {
        let count = self.dice.below(most + 1);
        let byte = |dice: &mut Dice| match dice.below(256) as u8 {
            b'\r' | b'\n' | 0 => b'.',
            byte => byte,
        };
        (0..count).map(|_| byte(&mut self.dice)).collect()
    }

    fn field(&mut self) {
        match self.dice.below(8) {
            0 => {
                let noise = self.noise(300);
                self.line(&[b"X-Noise: ", &noise[..]].concat());
            }
            1 => {
                let value = "word ".repeat(self.dice.below(40) as usize);
                self.line(format!("X-Folded: {value}\r\n \t\r\n\tend").as_bytes());
            }
            _ => {
                let field = self.pick(&FIELDS);
                self.line(field.as_bytes());
            }
        }
    }

    fn body(&mut self, depth: u64) {
        match self.dice.below(if depth < 4 { 10 } else { 6 }) {
            0 => {}
            1 => {
                for _ in 0..self.dice.below(30) {
                    let noise = self.noise(120);
                    self.line(&noise);
                }
            }
            2 => self.alphabet(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="),
            3 => self.alphabet(b"abc =3D=C3=A9=\t_?.<>&;"),
            // One in a few hundred has a line that fills many buffers.
            4 if self.dice.below(60) == 0 => {
                let long = self.noise(1 << 20);
                self.line(&long);
            }
            4..=6 => {
                for _ in 0..self.dice.below(25) {
                    let line = self.pick(&LINES);
                    self.line(line.as_bytes());
                }
            }
            _ => self.multipart(depth),
        }
    }

    fn alphabet(&mut self, letters: &[u8]) {
        for _ in 0..self.dice.below(40) {
            let length = self.dice.below(78);
            let line: Vec<u8> = (0..length).map(|_| letters[self.dice.below(letters.len() as u64) as usize]).collect();
            self.line(&line);
        }
    }

    /// Parts between boundary lines, some of them of another boundary, blank, or never closed.
    fn multipart(&mut self, depth: u64) {
        let boundaries = ["=_b", "other", "=_b ", "a'()+_,-./:=?", ""];
        let boundary = self.pick(&boundaries);
        self.line(format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n").as_bytes());
        for _ in 0..self.dice.below(5) {
            let here = if self.dice.below(6) == 0 { self.pick(&boundaries) } else { boundary };
            self.line(format!("--{here}").as_bytes());
            for _ in 0..self.dice.below(4) {
                self.field();
            }
            if self.dice.below(8) > 0 {
                self.line(b"");
            }
            self.body(depth + 1);
        }
        if self.dice.below(3) > 0 {
            self.line(format!("--{boundary}--").as_bytes());
        }
    }
}
