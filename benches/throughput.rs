//! What one small message (4 KB of text) costs, step by step, and on the whole way through the real door.
//!
//! Each step stands beside a peer that was measured in the same run, so that the ratio says something on any machine:
//! mail-parser for reading, SHA-256 over the same bytes for looking through and editing, a client straight into the
//! sink for the walk.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, reason = "a bench that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "the bench reads its own sink and client, which write short lines")]

use criterion::Criterion;
use outgate::{
    config::{self, Loaded},
    detect::Scan,
    gateway::House,
    intake::{RetryKey, Submission},
    keys::Keys,
    mail::{Address, Door, Envelope, ForwardPath, Message, Origin, ReversePath, SubmissionId, edit::Transport},
    policy::{self, Facts, Verdict, planned},
    supervisor::Supervisor,
};
use sha2::{Digest, Sha256};
use std::{
    cell::Cell,
    fs,
    hint::black_box,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let sink = runtime.block_on(sink());
    let loaded = configure(folder.path(), sink);
    let mut bench = Bench { criterion: Criterion::default().configure_from_args().without_plots(), rows: Vec::new() };
    steps(&mut bench, &loaded);
    let house =
        runtime.block_on(House::open(loaded, &Keys::new(&[7; 32]), &Supervisor::default())).expect("the house opens");
    let mut straight = runtime.block_on(Client::connect(sink));
    let peer = bench.measure("straight into the sink", || runtime.block_on(straight.send()));
    let mut client = runtime.block_on(Client::connect(house.smtp_addresses()[0]));
    let walk = bench.measure("walk", || runtime.block_on(client.send()));
    bench.ratio("walk", walk, "straight into the sink", peer);
    runtime.block_on(house.close());
    bench.report();
}

/// Read, looked through, judged and edited, each alone.
fn steps(bench: &mut Bench, loaded: &Loaded) {
    let bytes = message();
    let sha = bench.measure("sha256", || Sha256::digest(black_box(&bytes)));
    let peer = bench.measure("mail-parser", || mail_parser::MessageParser::new().parse(black_box(&bytes)).is_some());
    let parse = bench.measure("parse", || Message::parse(black_box(&bytes).clone()));
    bench.ratio("parse", parse, "mail-parser", peer);
    let submission = submission(Message::parse(bytes.clone()));
    let look = || loaded.detectors.scan(black_box(&submission.message));
    let scan = bench.measure("scan", look);
    bench.ratio("scan", scan, "sha256", sha);
    let found = look();
    let judge = bench.measure("judge", || judged(black_box(&submission), &found, loaded));
    bench.ratio("judge", judge, "sha256", sha);
    let verdict = judged(&submission, &found, loaded);
    let edits: Vec<_> = verdict.consignments.iter().flat_map(|consignment| consignment.edits.clone()).collect();
    let make = || planned::make(black_box(&submission.message), &edits, Transport::default());
    assert_eq!(make().applied.map(|applied| applied.changes.len()), Some(1), "the notice is appended");
    let edit = bench.measure("edit and check", make);
    bench.ratio("edit and check", edit, "sha256", sha);
}

fn judged(submission: &Submission, scan: &Scan, loaded: &Loaded) -> Verdict {
    policy::judge(submission, scan, &Facts::unknown_past(submission.received_at), &loaded.ruleset)
}

struct Bench {
    criterion: Criterion,
    rows: Vec<String>,
}

impl Bench {
    /// The time of one run, from the fastest sample: others' work on the machine only ever adds.
    fn measure<T>(&mut self, name: &str, mut run: impl FnMut() -> T) -> Duration {
        let fastest = Cell::new(Duration::MAX);
        self.criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                let started = Instant::now();
                for _ in 0..times {
                    black_box(run());
                }
                let taken = started.elapsed();
                fastest.set(fastest.get().min(taken / u32::try_from(times).unwrap_or(u32::MAX)));
                taken
            });
        });
        fastest.get()
    }

    fn ratio(&mut self, step: &str, taken: Duration, peer: &str, by_peer: Duration) {
        // Under `cargo test` nothing is measured.
        if taken == Duration::MAX || by_peer.is_zero() {
            return;
        }
        let ratio = taken.as_secs_f64() / by_peer.as_secs_f64();
        let micros = taken.as_secs_f64() * 1e6;
        self.rows.push(format!("{step:<16} {micros:>9.1} us   {ratio:>6.2} times {peer}"));
    }

    fn report(&self) {
        println!("\nOne message of 4 KB:");
        self.rows.iter().for_each(|row| println!("{row}"));
    }
}

/// A message of 4 KB as people write them.
fn message() -> Vec<u8> {
    let mut text = String::from(
        "From: Ada <ada@corp.example>\r\nTo: b@elsewhere.example\r\nSubject: The minutes of Tuesday\r\n\
         Message-ID: <1@corp.example>\r\nDate: Tue, 3 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\nDear all,\r\n\r\n",
    );
    for line in 1.. {
        if text.len() > 4_000 {
            break;
        }
        text.push_str(&format!("{line}. The committee met in room {line}2 and went through the plan once more.\r\n"));
    }
    text.push_str("\r\n-- \r\nAda\r\n");
    text.into_bytes()
}

fn submission(message: Message) -> Submission {
    let address = |text: &str| Address::parse(text).expect("an address");
    Submission {
        id: SubmissionId::fresh(),
        origin: Origin {
            address: Ipv4Addr::LOCALHOST.into(),
            helo: "client.example".into(),
            esmtp: true,
            tls: None,
            user: None,
            door: Door::Smtp,
            via: None,
        },
        envelope: Envelope {
            sender: ReversePath { address: Some(address("ada@corp.example")), parameters: Vec::new() },
            recipients: vec![ForwardPath { address: address("b@elsewhere.example"), parameters: Vec::new() }],
        },
        message,
        trace: Vec::new().into(),
        trace_end: 0,
        received_at: OffsetDateTime::now_utc(),
        answer_within: Duration::from_secs(90),
        passed: None,
        trial: None,
        retry_key: RetryKey([0; 32]),
        split_key: None,
        node_id: None,
    }
}

/// A notice on every message, and a list of a thousand words.
fn configure(folder: &Path, sink: SocketAddr) -> Loaded {
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder is made");
        fs::write(file, text).expect("a file is written");
    };
    let settings = format!(
        "policy = [\"policies/bench\"]\nown-domains = [\"corp.example\"]\nmode = \"enforce\"\n\
         hostname = \"gate.corp.example\"\ndata-dir = \"data\"\n[smtp]\nlisten = [\"127.0.0.1:0\"]\n\
         [[smtp.peer]]\nnetworks = [\"127.0.0.0/8\"]\n[next-hop]\naddress = \"{sink}\"\ntls = \"none\"\n"
    );
    write("outgate.toml", &settings);
    write(
        "policies/bench/policy.toml",
        "organisation = \"The bench\"\nown-domains = [\"corp.example\"]\n[[clause]]\nid = \"1\"\n\
         text = \"Every message carries the notice.\"\nenforced-by = [\"notice\"]\n[notices.bench]\n\
         plain = \"This email is meant for the person named alone.\"\n\
         html = \"<p>This email is meant for the person named alone.</p>\"\n",
    );
    write(
        "rules/notice.toml",
        "title = \"The notice\"\npurpose = \"the bench\"\nmode = \"enforce\"\n[when]\noutside = true\n\
         [then.append-notice]\nnotice = \"bench\"\nreplies = \"always\"\nfallback = \"relay\"\n\
         [[test]]\nname = \"out\"\nexpect = \"match\"\nto = [\"b@elsewhere.example\"]\n\
         [[test]]\nname = \"in\"\nexpect = \"no match\"\nto = [\"b@ours.example\"]\n",
    );
    let words: String = (0..1_000).map(|number| format!("zq{}word\n", letters(number))).collect();
    let head = "language: en\ncategory: bench\nseverity: strong\nsource: the bench\nlicence: none\n---\n";
    write("wordlists/bench.txt", &format!("{head}{words}"));
    config::load(&folder.join("outgate.toml")).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn letters(number: u32) -> String {
    number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}

/// A next hop that takes everything.
async fn sink() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(take_all(stream));
        }
    });
    address
}

async fn take_all(stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 sink\r\n").await?;
    let (mut line, mut in_data) = (Vec::new(), false);
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let reply: &[u8] = match &line[..] {
            b".\r\n" if in_data => b"250 2.0.0 taken\r\n",
            _ if in_data => continue,
            b"DATA\r\n" => b"354 go on\r\n",
            b"QUIT\r\n" => return stream.write_all(b"221 bye\r\n").await,
            [b'E', ..] => b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            _ => b"250 2.1.0 ok\r\n",
        };
        in_data = reply.starts_with(b"354");
        stream.write_all(reply).await?;
    }
}

/// Sends the message again and again on one connection.
struct Client {
    stream: BufReader<TcpStream>,
    message: Vec<u8>,
    sent: u64,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket option");
        let mut client = Self { stream: BufReader::new(stream), message: message(), sent: 0 };
        client.expect(b'2').await;
        client.stream.write_all(b"EHLO client.example\r\n").await.expect("EHLO goes");
        client.expect(b'2').await;
        client
    }

    async fn send(&mut self) {
        const ENVELOPE: &[u8] = b"MAIL FROM:<ada@corp.example>\r\nRCPT TO:<b@elsewhere.example>\r\nDATA\r\n";
        self.stream.write_all(ENVELOPE).await.expect("the envelope goes");
        for class in [b'2', b'2', b'3'] {
            self.expect(class).await;
        }
        self.sent += 1;
        let whole = [format!("X-Number: {}\r\n", self.sent).as_bytes(), &self.message[..], b".\r\n"].concat();
        self.stream.write_all(&whole).await.expect("the message goes");
        self.expect(b'2').await;
    }

    async fn expect(&mut self, class: u8) {
        let mut line = String::new();
        loop {
            line.clear();
            self.stream.read_line(&mut line).await.expect("a reply");
            assert!(line.as_bytes().first() == Some(&class), "unexpected: {line}");
            if line.as_bytes().get(3) == Some(&b' ') {
                return;
            }
        }
    }
}
