//! T24: real clients hand in what they compose. It arrives with the notice and is otherwise as it was, or the client hears
//! the documented refusal.

use super::{
    client::letter,
    gate::{Gate, NOTICE},
    group::{folder, installed, run},
    sink::{Kept, Sink},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use mail_parser::{MessageParser, MimeHeaders};
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const KINDS: [&str; 6] = ["plain", "eight-bit", "smtputf8", "attachment", "large", "many"];
const TEXT: &str = "The figures of the spring are ready. Call me on Tuesday.";
const EIGHT_BIT: &str = "Die Zahlen für März sind fertig: 100 £, sagt Zoë.";

/// One message to send.
pub struct Job {
    pub kind: &'static str,
    pub mark: String,
    pub from: &'static str,
    pub to: Vec<String>,
    pub text: &'static str,
    pub attachment: Option<PathBuf>,
    /// The whole message as a file, for clients that compose nothing.
    pub raw: PathBuf,
    /// The same as JSON, for those that do.
    pub described: PathBuf,
}

impl Job {
    fn new(at: &Path, client: &str, kind: &'static str) -> Self {
        let mark = format!("{client}-{kind}");
        let international = kind == "smtputf8";
        let to = match kind {
            "smtputf8" => vec!["zoë@elsewhere.example".to_string()],
            "many" => (1..=30).map(|number| format!("client{number}@elsewhere.example")).collect(),
            _ => vec!["client@elsewhere.example".to_string()],
        };
        let size = match kind {
            "attachment" => 40_000,
            "large" => 5 << 20,
            _ => 0,
        };
        let attachment = (size > 0).then(|| {
            let path = at.join(format!("{mark}.bin"));
            fs::write(&path, figures(size)).unwrap();
            path
        });
        let job = Self {
            from: if international { "jörg@ours.example" } else { "ann@ours.example" },
            text: if international || kind == "eight-bit" { EIGHT_BIT } else { TEXT },
            raw: at.join(format!("{mark}.eml")),
            described: at.join(format!("{mark}.json")),
            kind,
            to,
            attachment,
            mark,
        };
        fs::write(&job.raw, job.raw()).unwrap();
        let described = serde_json::json!({"kind": kind, "from": job.from, "to": job.to, "subject": job.mark,
            "text": format!("{}\n", job.text), "attachment": job.attachment, "raw": job.raw});
        fs::write(&job.described, described.to_string()).unwrap();
        job
    }

    fn raw(&self) -> Vec<u8> {
        let head = format!(
            "From: {}\r\nTo: {}\r\nSubject: {}\r\nDate: Mon, 2 Feb 2026 10:00:00 +0000\r\nMessage-ID: <{}@ours.example>\r\n\
             MIME-Version: 1.0\r\n",
            self.from, self.to[0], self.mark, self.mark
        );
        let coding = if self.text.is_ascii() { "7bit" } else { "8bit" };
        let text = format!(
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {coding}\r\n\r\n{}\r\n",
            self.text
        );
        let Some(attachment) = &self.attachment else { return (head + &text).into_bytes() };
        let encoded = STANDARD.encode(fs::read(attachment).unwrap());
        let lines = encoded.as_bytes().chunks(76).map(|line| format!("{}\r\n", String::from_utf8_lossy(line)));
        format!(
            "{head}Content-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\n--=_b\r\n{text}\r\n--=_b\r\n\
             Content-Type: application/octet-stream; name=figures.bin\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment; filename=figures.bin\r\n\r\n{}--=_b--\r\n",
            lines.collect::<String>()
        )
        .into_bytes()
    }

    /// Each recipient gets it once.
    fn check_recipients(&self, arrived: &[Kept]) {
        let wanted: Vec<String> = self.to.iter().map(|to| format!("<{to}>")).collect();
        let paths = arrived.iter().flat_map(|kept| &kept.recipients);
        let mut got: Vec<String> = paths.map(|path| path.split(' ').next().unwrap_or_default().to_string()).collect();
        got.sort_by_key(|path| wanted.iter().position(|to| to == path));
        assert_eq!(got, wanted, "{}", self.mark);
    }

    /// What arrived is what was sent, and the notice.
    fn check(&self, kept: &Kept) {
        let mark = &self.mark;
        assert!(kept.sender.starts_with(&format!("<{}>", self.from)), "{mark}: {}", kept.sender);
        assert_eq!(kept.sender.contains("SMTPUTF8"), self.kind == "smtputf8", "{mark}: {}", kept.sender);
        let message = MessageParser::default().parse(&kept.bytes).unwrap();
        let text = message.body_text(0).unwrap();
        let (own, notice) = text.split_once(NOTICE).unwrap_or_else(|| panic!("{mark} has no notice: {text}"));
        assert_eq!(own.trim_end(), self.text, "{mark}");
        assert!(!notice.contains(NOTICE), "{mark} has the notice twice");
        assert_eq!(message.subject(), Some(mark.as_str()));
        let attached: Vec<_> = message.attachments().collect();
        assert_eq!(attached.len(), usize::from(self.attachment.is_some()), "{mark}");
        if let Some(path) = &self.attachment {
            assert_eq!(attached[0].attachment_name(), Some("figures.bin"), "{mark}");
            let sent = fs::read(path).unwrap();
            assert_eq!(Sha256::digest(attached[0].contents()), Sha256::digest(&sent), "{mark}: the attachment differs");
        }
    }
}

/// Bytes that look like nothing and are the same every time (xorshift).
fn figures(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..count).map(|_| next()).collect()
}

/// Sends every kind with one client. `refused` names the kinds that this client cannot declare, and what it hears.
pub fn all_kinds(client: &str, refused: &[(&str, &str)], command: impl Fn(&Job, u16) -> (bool, String)) {
    let sink = Sink::listen();
    let gate = Gate::before(sink.port);
    let folder = folder("client");
    let (mut intact, mut heard) = (0, 0);
    for kind in KINDS {
        let job = Job::new(folder.path(), client, kind);
        let (good, said) = command(&job, gate.port);
        if let Some((_, refusal)) = refused.iter().find(|(refused, _)| *refused == kind) {
            assert!(!good && said.contains(refusal), "{}: expected {refusal}, but: {said}", job.mark);
            assert!(sink.with(&job.mark).is_empty(), "{} was refused, and arrived", job.mark);
            heard += 1;
            continue;
        }
        assert!(good, "{}: {said}\n{}", job.mark, gate.log());
        // The letter that tells its sender of hidden recipients names the subject, too.
        let arrived = sink.titled(&job.mark);
        // One opens a transaction for each recipient, all others have one.
        let copies = if client == "dma" { job.to.len() } else { 1 };
        assert_eq!(arrived.len(), copies, "{}: handed in once", job.mark);
        job.check_recipients(&arrived);
        arrived.iter().for_each(|kept| job.check(kept));
        intact += 1;
    }
    println!("T24 client={client} kinds={} intact={intact} refused-as-documented={heard}", KINDS.len());
}

#[test]
fn swaks() {
    // It has no way to declare SMTPUTF8.
    all_kinds("swaks", &[("smtputf8", "553 5.6.7")], |job, port| {
        let mut command = Command::new("swaks");
        command.args(["--server", "127.0.0.1", "--port", &port.to_string(), "--from", job.from, "--to"]);
        command.args([&job.to.join(","), "--timeout", "60s", "--helo", "client.ours.example"]);
        match &job.attachment {
            // It composes the multipart itself.
            Some(path) => {
                command.args(["--header", &format!("Subject: {}", job.mark), "--h-To", &job.to[0], "--body", job.text]);
                command.args(["--attach-name", "figures.bin", "--attach", &format!("@{}", path.display())])
            }
            None => command.args(["--data", &format!("@{}", job.raw.display())]),
        };
        command.stdin(Stdio::null());
        run(&mut command)
    });
}

#[test]
fn curl() {
    all_kinds("curl", &[], |job, port| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "60", "--url", &format!("smtp://127.0.0.1:{port}")]);
        // It takes addresses for what the terminal's character set makes of them.
        command.env("LC_ALL", "C.UTF-8").args(["--mail-from", job.from]);
        for to in &job.to {
            command.args(["--mail-rcpt", to]);
        }
        run(command.arg("-T").arg(&job.raw))
    });
}

#[test]
fn smtplib() {
    let script = installed("tests/servers/compose.py");
    all_kinds("smtplib", &[], |job, port| {
        run(Command::new("python3").arg(&script).arg(port.to_string()).arg(&job.described))
    });
}

#[test]
fn nodemailer() {
    let script = installed("tests/servers/compose.js");
    let nodemailer = installed("target/servers/node/node_modules/nodemailer");
    all_kinds("nodemailer", &[], |job, port| {
        run(Command::new("node").arg(&script).arg(&nodemailer).arg(port.to_string()).arg(&job.described))
    });
}

#[test]
fn msmtp() {
    // Debian's is built without internationalised addresses.
    all_kinds("msmtp", &[("smtputf8", "553 5.6.7")], |job, port| {
        let mut command = Command::new("msmtp");
        command.args([
            "--host=127.0.0.1",
            &format!("--port={port}"),
            "--timeout=60",
            &format!("--from={}", job.from),
            "--",
        ]);
        let child = command.args(&job.to).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("msmtp is missing: run scripts/test-servers first (it needs root on Debian)");
        child.stdin.take().unwrap().write_all(&fs::read(&job.raw).unwrap()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    });
}

#[test]
fn a_message_composed_here_is_one_that_the_parser_reads() {
    // Else the checks above would pass over an empty tree.
    let message = letter("mark", TEXT);
    let message = MessageParser::default().parse(&message).unwrap();
    assert_eq!(message.body_text(0).unwrap().trim_end(), TEXT);
}
