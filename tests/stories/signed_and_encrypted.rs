//! Mail that real openssl and gpg signed or encrypted gets its notice around it: what they made verifies and decrypts as before,
//! byte for byte, through either door, and a second time through changes nothing.

use crate::support::{Gateway, Hop, Mta, Outcome, Setup, below_trace, hand_in};
use outgate::mail::Message;
use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const BEN: &str = "ben.okafor@ours.example";
const CLAIMS: &str = "claims@agency.example";
const NOTICE: &str = "This message may be confidential. Für den Empfänger.";
const TEXT: &str = "The parcel is here.\r\nFrom the office, with a line that ends in a space \r\n.and a dot.\r\n";

/// The rule, with what is done to each kind.
fn gateway(hop: &Hop, sealed: &str) -> Gateway {
    let rule = format!(
        "title = 'notice'\npurpose = 'a story'\nmode = 'enforce'\n[when]\noutside = true\n[then.append-notice]\nnotice = 'confidential'\n\
         fallback = 'relay'\n[then.append-notice.sealed]\n{sealed}\n[[test]]\nname = 'outside'\nexpect = 'match'\nto = \
         ['x@elsewhere.example']\n[[test]]\nname = 'inside'\nexpect = 'no match'\nto = ['x@ours.example']\n"
    );
    let policy = format!(
        "organisation = 'Test'\nown-domains = ['ours.example']\n[[clause]]\nid = '1'\ntext = 'Notices.'\nenforced-by = ['confidential']\n\
         [notices.confidential]\nplain = '{NOTICE}'\n"
    );
    let files = vec![("local/rules/confidential.toml", rule), ("local/policies/own/policy.toml", policy)];
    let setup = Setup { policies: &["policies/own"], files, milter: true, ..Setup::default() };
    Gateway::with(hop.address(), setup)
}

fn every(instead: &str) -> String {
    ["smime-signed", "smime-opaque", "pgp-signed", "pgp-inline", "encrypted", "rights-managed"]
        .map(|seal| format!("{seal} = '{instead}'\n"))
        .concat()
}

/// A folder with the keys of an invented person.
struct Signer {
    folder: tempfile::TempDir,
}

impl Signer {
    fn new() -> Self {
        let signer = Self { folder: tempfile::Builder::new().prefix("outgate-signer-").tempdir().unwrap() };
        fs::set_permissions(signer.path(), fs::Permissions::from_mode(0o700)).unwrap();
        signer.run(
            "openssl",
            &[
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-keyout",
                "key.pem",
                "-out",
                "cert.pem",
                "-days",
                "30",
                "-subj",
                "/CN=Ben Okafor/emailAddress=ben.okafor@ours.example",
            ],
            b"",
        );
        signer.gpg(&["--quick-gen-key", BEN, "future-default", "default", "never"], b"");
        signer
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(self.path())
            .env("GNUPGHOME", self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writing = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn gpg(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let all = [
            &[
                "--batch",
                "--quiet",
                "--yes",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
                "--trust-model",
                "always",
            ],
            arguments,
        ];
        self.run("gpg", &all.concat(), input)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Each kind: its name, and the message.
    fn messages(&self) -> Vec<(&'static str, Vec<u8>)> {
        let part = format!("Content-Type: text/plain; charset=us-ascii\r\n\r\n{TEXT}");
        let smime = |arguments: &[&str]| {
            let text = self.run("openssl", &[&["cms", "-crlfeol"], arguments].concat(), part.as_bytes());
            String::from_utf8(text).unwrap().replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()
        };
        let signed = smime(&["-sign", "-signer", "cert.pem", "-inkey", "key.pem"]);
        let opaque = smime(&["-sign", "-nodetach", "-signer", "cert.pem", "-inkey", "key.pem"]);
        let encrypted = smime(&["-encrypt", "-aes-256-cbc", "cert.pem"]);
        let armour = |arguments: &[&str], input: &[u8]| {
            String::from_utf8(self.gpg(arguments, input)).unwrap().replace('\n', "\r\n")
        };
        let detached = armour(&["--armor", "--textmode", "--detach-sign"], part.as_bytes());
        let pgp_signed = format!(
            "MIME-Version: 1.0\r\nContent-Type: multipart/signed; micalg=pgp-sha512;\r\n protocol=\"application/pgp-signature\"; boundary=pgp\r\n\r\n\
             --pgp\r\n{part}\r\n--pgp\r\nContent-Type: application/pgp-signature; name=signature.asc\r\n\r\n{detached}\r\n--pgp--\r\n"
        );
        let cipher = armour(&["--armor", "--encrypt", "-r", BEN], part.as_bytes());
        let pgp_encrypted = format!(
            "MIME-Version: 1.0\r\nContent-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=pgp\r\n\r\n--pgp\r\n\
             Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n--pgp\r\nContent-Type: application/octet-stream\r\n\r\n{cipher}\r\n--pgp--\r\n"
        );
        let clear = armour(&["--armor", "--clear-sign"], TEXT.replace("\r\n", "\n").as_bytes());
        let inline = format!("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n{clear}");
        let kinds = [
            ("smime-signed", signed),
            ("smime-opaque", opaque),
            ("smime-encrypted", encrypted),
            ("pgp-signed", pgp_signed.into_bytes()),
            ("pgp-encrypted", pgp_encrypted.into_bytes()),
            ("pgp-inline", inline.into_bytes()),
        ];
        kinds.into_iter().map(|(kind, entity)| (kind, with_header(kind, &entity))).collect()
    }

    /// What a reader's program says of the entity, a message of its own: it verifies or decrypts to the text.
    fn reads(&self, kind: &str, entity: &[u8]) {
        self.file("entity.eml", entity);
        let message = Message::parse(entity.to_vec());
        let leaf = |index: usize| message.content(&message.parts()[index], usize::MAX).0.into_owned();
        let text = match kind {
            "smime-signed" | "smime-opaque" => {
                self.run("openssl", &["cms", "-verify", "-noverify", "-in", "entity.eml"], b"")
            }
            "smime-encrypted" => self.run(
                "openssl",
                &["cms", "-decrypt", "-in", "entity.eml", "-recip", "cert.pem", "-inkey", "key.pem"],
                b"",
            ),
            "pgp-signed" => {
                let part = &message.parts()[1];
                let whole = message.read(part.header.start..part.body.end).into_owned();
                self.file("signed", &whole);
                self.file("signature.asc", &leaf(2));
                self.gpg(&["--verify", "signature.asc", "signed"], b"");
                whole
            }
            "pgp-encrypted" => self.gpg(&["--decrypt"], &leaf(2)),
            "pgp-inline" => self.gpg(&["--decrypt"], &leaf(0)),
            other => panic!("{other}"),
        };
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("The parcel is here."), "{kind}: {text}");
    }
}

fn with_header(kind: &str, entity: &[u8]) -> Vec<u8> {
    let header = format!(
        "From: Ben Okafor <{BEN}>\r\nTo: {CLAIMS}\r\nSubject: {kind}\r\nMessage-ID: <{kind}@ours.example>\r\nDate: Thu, 04 Jun 2026 21:00:00 +0100\r\n"
    );
    [header.as_bytes(), entity].concat()
}

/// What the next hop gets, below the trace.
fn through_door(gateway: &Gateway, hop: &Hop, message: &[u8]) -> Vec<u8> {
    let before = hop.arrived().len();
    let answer = hand_in(gateway.door(), BEN, &[CLAIMS], message);
    assert!(answer.starts_with("250") && !answer.contains("Taken as"), "{answer}");
    let arrived = hop.arrived();
    assert_eq!(arrived.len(), before + 1);
    below_trace(&arrived[before].bytes).to_vec()
}

/// As the mail server sends it on that asks the milter door.
fn through_milter(gateway: &Gateway, message: &[u8]) -> Vec<u8> {
    let mut mta = Mta::connect(gateway.milter()).unwrap();
    let Outcome::Accepted(changed) = mta.hand_in(BEN, &[CLAIMS], message).unwrap() else { panic!("not accepted") };
    below_trace(&changed).to_vec()
}

/// The entity within what left, as a message of its own: header and body of that part.
fn inner(left: &[u8], index: usize) -> Vec<u8> {
    let message = Message::parse(left.to_vec());
    let part = &message.parts()[index];
    let header = message.read(part.header.clone()).into_owned();
    [&b"MIME-Version: 1.0\r\n"[..], &header, b"\r\n", &message.read(part.body.clone())].concat()
}

#[test]
fn what_real_programs_sealed_opens_as_before_with_the_notice_around_it() {
    let signer = Signer::new();
    let hop = Hop::start();
    let messages = signer.messages();
    for (instead, entity_at, note_at) in [("wrap", 1, None), ("covering-note", 3, Some(1))] {
        let gateway = gateway(&hop, &every(instead));
        for (kind, message) in &messages {
            signer.reads(kind, message);
            let left = through_door(&gateway, &hop, message);
            let after = Message::parse(left.clone());
            let note_at = note_at.unwrap_or(after.parts().len() - 1);
            let (note, _) = after.content(&after.parts()[note_at], usize::MAX);
            assert_eq!(String::from_utf8(note.into_owned()).unwrap().trim(), NOTICE, "{kind} {instead}");
            signer.reads(kind, &inner(&left, entity_at));
            let (before, body) = (Message::parse(message.clone()), after.parts()[entity_at].body.clone());
            assert_eq!(after.read(body), before.read(before.root().body.clone()), "{kind} {instead}");
            assert_eq!(through_milter(&gateway, message), left, "{kind} {instead}: the doors agree");
            assert_eq!(through_door(&gateway, &hop, &left), left, "{kind} {instead}: twice");
        }
    }
    println!("sealed kinds={} ways=2 doors=2: verified or decrypted, the notice once", messages.len());
}

#[test]
fn a_rule_may_leave_hold_or_return_each_kind() {
    let signer = Signer::new();
    let hop = Hop::start();
    let gateway = gateway(&hop, "smime-signed = 'leave'\nencrypted = 'hold'\npgp-signed = 'return'\n");
    for (kind, message) in signer.messages() {
        let answer = hand_in(gateway.door(), BEN, &[CLAIMS], &message);
        let expected = match kind {
            "smime-encrypted" | "pgp-encrypted" => "250 2.0.0 Taken as",
            "pgp-signed" => "550-5.7.1",
            // The rest by the rule's fallback, relay.
            _ => "250",
        };
        assert!(answer.starts_with(expected), "{kind}: {answer}");
        if expected == "250" {
            let id = format!("<{kind}@ours.example>");
            let arrived = hop.wait_for("the message", |one| String::from_utf8_lossy(&one.bytes).contains(&id));
            assert_eq!(below_trace(&arrived.bytes), message, "{kind}");
        }
    }
    assert_eq!(gateway.cases().len(), 2);
}
