//! What we sign, OpenDKIM accepts: every fixture by both kinds of key, and what leaves by either door and by the outbox.

use super::{
    client::{Client, letter},
    fronts::postfix_milter_with,
    gate::{Gate, HELD},
    group::{eventually, folder},
    how_to::snippet,
    sink::Sink,
};
use outgate::mail::dkim::{Dkim, Domain, Key, Policy};
use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const SENDER: &str = "<ann@ours.example>";
const RECIPIENT: &str = "<client@elsewhere.example>";
const PLAIN: &str = "The figures of the spring are ready.";

/// OpenDKIM's verifier, with records from a file in place of the DNS.
struct OpenDkim {
    folder: tempfile::TempDir,
}

impl OpenDkim {
    fn knowing(records: &[(String, String)]) -> Self {
        let folder = folder("opendkim");
        let lines: String = records.iter().map(|(name, value)| format!("{name} {value}\n")).collect();
        fs::write(folder.path().join("records"), lines).unwrap();
        let configuration = format!("Mode v\nTestPublicKeys {}\nSyslog no\n", folder.path().join("records").display());
        fs::write(folder.path().join("opendkim.conf"), configuration).unwrap();
        Self { folder }
    }

    /// Which of these messages do not verify, with what is said of each.
    fn refuses(&self, messages: &[(String, Vec<u8>)]) -> Vec<String> {
        let write = |(index, (_, bytes)): (usize, &(String, Vec<u8>))| -> PathBuf {
            let path = self.folder.path().join(format!("message-{index}"));
            fs::write(&path, bytes).unwrap();
            path
        };
        let paths: Vec<PathBuf> = messages.iter().enumerate().map(write).collect();
        let list = paths.iter().map(|path| path.to_str().unwrap()).collect::<Vec<_>>().join(",");
        let output = Command::new("opendkim")
            .args(["-v", "-x", self.folder.path().join("opendkim.conf").to_str().unwrap(), "-t", &list])
            .output()
            .expect("opendkim is missing: run scripts/test-servers first (it needs root on Debian)");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        let bad = paths.iter().zip(messages).filter(|(path, _)| {
            let about = |line: &&str| line.contains(&format!("{}:", path.display()));
            let lines: Vec<&str> = said.lines().filter(about).collect();
            let says = |word: &str| lines.iter().any(|line| line.contains(word));
            !says("succeeded") || says("fail")
        });
        bad.map(|(_, (name, _))| format!("{name}\n{said}")).collect()
    }
}

/// A key of this kind, made by the command that the manual names; its folder, and its record.
fn keygen(kind: &str, at: &Path) -> (PathBuf, (String, String)) {
    let out = at.join(format!("{kind}.pem"));
    let output = Command::new(env!("CARGO_BIN_EXE_outgate"))
        .args(["--json", "dkim", "keygen", "--domain", "ours.example", "--selector", kind, "--type", kind, "--out"])
        .arg(&out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |key: &str| line[key].as_str().unwrap().to_string();
    (out, (text("name"), text("value")))
}

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for folder in ["fixtures/demo", "fixtures/edit"] {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap().flatten() {
            let bytes = fs::read(entry.path()).unwrap();
            let text: Vec<&[u8]> =
                bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
            // As transport ends every message.
            let end: &[u8] = if bytes.ends_with(b"\n") { b"" } else { b"\r\n" };
            let bytes = [&text.join(&b"\r\n"[..]), end].concat();
            found.push((entry.file_name().to_string_lossy().into_owned(), bytes));
        }
    }
    found
}

#[test]
fn opendkim_accepts_every_fixture_that_we_sign() {
    let at = folder("keys");
    let mut figures = Vec::new();
    for kind in ["rsa", "ed25519"] {
        let (file, record) = keygen(kind, at.path());
        let key = Key::read(kind, &fs::read(file).unwrap()).unwrap();
        let dkim = Dkim::new(vec![Domain { name: "ours.example".into(), policy: Policy::Sign, keys: vec![key] }]);
        let signed: Vec<_> = fixtures()
            .into_iter()
            .filter_map(|(name, bytes)| {
                let fields = dkim.sign(&[Cow::Borrowed(&bytes)], time::OffsetDateTime::now_utc());
                (!fields.is_empty()).then(|| (name, [fields, bytes].concat()))
            })
            .collect();
        assert!(signed.len() > 30, "{}", signed.len());
        let refused = OpenDkim::knowing(&[record]).refuses(&signed);
        assert!(refused.is_empty(), "{}", refused[0]);
        figures.push(format!("{kind}={}", signed.len()));
    }
    println!("DKIM opendkim accepted {} refused=0", figures.join(" "));
}

#[test]
fn what_leaves_by_either_door_and_by_the_outbox_verifies() {
    let at = folder("keys");
    let ((rsa, rsa_record), (ed, ed_record)) = (keygen("rsa", at.path()), keygen("ed25519", at.path()));
    let settings = format!(
        "\n[[dkim]]\ndomain = \"ours.example\"\npolicy = \"sign\"\n\n[[dkim.key]]\nselector = \"rsa\"\nkey-file = {rsa:?}\n\n\
         [[dkim.key]]\nselector = \"ed25519\"\nkey-file = {ed:?}\n"
    );
    let verifier = OpenDkim::knowing(&[rsa_record, ed_record]);
    let below_our_trace = |text: Vec<u8>| {
        let start = memchr::memmem::find(&text, b"DKIM-Signature:").expect("a signature");
        assert_eq!(
            memchr::memmem::find_iter(&text, b"DKIM-Signature:").count(),
            2,
            "{}",
            String::from_utf8_lossy(&text)
        );
        text[start..].to_vec()
    };
    let world = Sink::listen();
    let gate = Gate::with(
        &(snippet("postfix", "smarthost outgate.toml")
            .replace("smarthost.example.net:25", &format!("127.0.0.1:{}", world.port))
            + &settings),
    );
    let (postfix, milter_gate, milter_world) = postfix_milter_with(&settings);
    let mut left = Vec::new();
    for (door, port, world, gate) in
        [("smtp", gate.port, &world, &gate), ("milter", postfix.port, &milter_world, &milter_gate)]
    {
        assert_eq!(Client::greet(port).0.hand_in(SENDER, &[RECIPIENT], &letter("edited", PLAIN)).code, 250);
        let arrived = world.expect("Subject: edited", 30);
        assert!(arrived.contains(super::gate::NOTICE), "{}", arrived.text());
        left.push((format!("{door} edited"), below_our_trace(arrived.bytes)));
        assert_eq!(Client::greet(port).0.hand_in(SENDER, &[RECIPIENT], &letter("released", HELD)).code, 250);
        eventually("a case waits", 30, || gate.cases().len() == 1);
        let letter = world.expect("Outgate-Case: ", 30);
        left.push((format!("{door} our own letter"), below_our_trace(letter.bytes)));
        gate.outgate(&["case", "release", gate.cases()[0]["id"].as_str().unwrap(), "--reason", "she agreed"]);
        eventually("it arrives", 30, || !world.titled("released").is_empty());
        left.push((format!("{door} released"), below_our_trace(world.titled("released").remove(0).bytes)));
    }
    let refused = verifier.refuses(&left);
    assert!(refused.is_empty(), "{}", refused[0]);
    println!("DKIM doors: {} messages with two signatures each, refused=0", left.len());
}
