//! What openssl, gpg and outgate's own DKIM keys signed verifies after an edit, by openssl, gpg and OpenDKIM: for any generated
//! content, signed alone or beside a text that takes the notice. `SIGNED_CASES` says how many; without it a few.

use super::{Node, message, node, notice, notice_around};
use outgate::mail::{
    Edit, Message,
    dkim::{Dkim, Domain, Key, Policy},
    edit::{Instead, Transport, apply},
};
use proptest::prelude::*;
use std::{
    borrow::Cow,
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

const WHO: &str = "ada@ours.example";

/// A folder with the keys of an invented person.
struct Signer {
    folder: tempfile::TempDir,
    dkim: Dkim,
}

static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
    let folder = tempfile::Builder::new().prefix("outgate-signer-").tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    run(
        folder.path(),
        "openssl",
        &["req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 30 -subj /CN=Ada"],
    );
    run(folder.path(), "openssl", &["genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out dkim.pem"]);
    run(folder.path(), "gpg", &[GPG, "--quick-gen-key", WHO, "future-default default never"]);
    let key = Key::read("gate", &fs::read(folder.path().join("dkim.pem")).unwrap()).unwrap();
    let record = key.record("ours.example");
    let records = folder.path().join("records");
    fs::write(&records, format!("{} {}\n", record.name, record.value)).unwrap();
    let settings = format!("Mode v\nTestPublicKeys {}\nSyslog no\n", records.display());
    fs::write(folder.path().join("opendkim.conf"), settings).unwrap();
    let domain = Domain { name: "ours.example".into(), policy: Policy::Sign, keys: vec![key] };
    Signer { folder, dkim: Dkim::new(vec![domain]) }
});

const GPG: &str = "--batch --quiet --yes --pinentry-mode loopback --passphrase-file /dev/null --trust-model always";

/// What it prints; arguments are split at blanks.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let arguments = arguments.iter().flat_map(|words| words.split(' '));
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(folder).env("GNUPGHOME", folder).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
    said.into_owned()
}

impl Signer {
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A multipart/signed of the entity (RFC 1847 2.1), and the name of the signature's file.
    fn signed(&self, entity: &[u8], pgp: bool) -> Vec<u8> {
        self.file("entity", entity);
        let (protocol, encoding) = if pgp {
            run(self.folder.path(), "gpg", &[GPG, "--armor --output signature --detach-sign entity"]);
            ("application/pgp-signature", "7bit")
        } else {
            run(
                self.folder.path(),
                "openssl",
                &["cms -sign -binary -signer cert.pem -inkey key.pem -in entity -outform PEM -out signature"],
            );
            ("application/pkcs7-signature", "base64")
        };
        let written = fs::read_to_string(self.folder.path().join("signature")).unwrap();
        let lines = written.lines().filter(|line| pgp || !line.starts_with("-----"));
        let signature = lines.collect::<Vec<_>>().join("\r\n");
        let header = format!(
            "Content-Type: multipart/signed; protocol=\"{protocol}\"; micalg=pgp-sha512; boundary=\"seal\"\r\n\r\n--seal\r\n"
        );
        let behind = format!(
            "\r\n--seal\r\nContent-Type: {protocol}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{signature}\r\n--seal--\r\n"
        );
        [header.as_bytes(), entity, behind.as_bytes()].concat()
    }

    /// As a reader of RFC 1847 does it: what stands between the delimiters, and what stands in the part behind.
    fn verifies(&self, left: &[u8], pgp: bool) {
        let find = |from: usize, what: &str| from + memchr::memmem::find(&left[from..], what.as_bytes()).expect(what);
        let start = find(0, "--seal\r\n") + "--seal\r\n".len();
        let end = find(start, "\r\n--seal\r\n");
        let signature = find(end + 2, "\r\n\r\n") + 4;
        let signature = &left[signature..find(signature, "\r\n--seal--")];
        self.file("entity", &left[start..end]);
        if pgp {
            self.file("signature", signature);
            run(self.folder.path(), "gpg", &[GPG, "--verify signature entity"]);
        } else {
            let pem = [b"-----BEGIN CMS-----\n", signature, b"\n-----END CMS-----\n"].concat();
            self.file("signature", &pem);
            run(
                self.folder.path(),
                "openssl",
                &["cms -verify -noverify -binary -inform PEM -in signature -content entity -out /dev/null"],
            );
        }
    }

    fn opendkim_accepts(&self, bytes: &[u8]) {
        // As transport ends every message.
        let end: &[u8] = if bytes.ends_with(b"\n") { b"" } else { b"\r\n" };
        let path = self.file("message", &[bytes, end].concat());
        let settings = self.folder.path().join("opendkim.conf");
        let arguments = format!("-v -x {} -t {}", settings.display(), path.display());
        let said = run(self.folder.path(), "opendkim", &[&arguments]);
        assert!(said.contains("succeeded") && !said.contains("fail"), "{said}\n{}", String::from_utf8_lossy(bytes));
    }
}

/// The content alone, or the signed part as the second of a multipart/mixed.
fn letter(signed: &[u8], beside: bool) -> Vec<u8> {
    let header = b"From: ada@ours.example\r\nTo: ben@elsewhere.example\r\nSubject: Plans\r\nMIME-Version: 1.0\r\n";
    if !beside {
        return [&header[..], signed].concat();
    }
    let text =
        b"Content-Type: multipart/mixed; boundary=\"beside\"\r\n\r\n--beside\r\n\r\nAs promised.\r\n--beside\r\n";
    [&header[..], text, signed, b"\r\n--beside--\r\n"].concat()
}

fn entity(node: &Node) -> Vec<u8> {
    let mut entity = Vec::new();
    node.write("", &mut entity);
    entity
}

fn cases() -> u32 {
    env::var("SIGNED_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_global_rejects: 4000, ..ProptestConfig::default() })]

    #[test]
    fn what_was_signed_verifies_after_the_edit(node in node(), pgp in any::<bool>(), covering in any::<bool>(), beside in any::<bool>()) {
        let bytes = letter(&SIGNER.signed(&entity(&node), pgp), beside);
        let before = Message::parse(bytes.clone());
        prop_assume!(before.ambiguous().is_empty() && bytes.is_ascii() && !super::nested_forward(&node));
        SIGNER.verifies(&bytes, pgp);
        let instead = if covering { Instead::CoveringNote } else { Instead::Wrap };
        let applied = apply(&before, &[notice_around("Costs £5 at the café", instead)], Transport::default()).unwrap();
        let wrapped = applied.changes.iter().any(|change| change.kind == "wrap");
        prop_assert!(wrapped != beside, "the notice is in the text, or around: {:?}", applied.changes);
        prop_assert!(applied.bytes() != bytes);
        SIGNER.verifies(&applied.bytes(), pgp);
    }

    #[test]
    fn dkim_verifies_where_nothing_signed_was_changed_and_anew_where_it_was(node in node()) {
        let bytes = message(&node);
        prop_assume!(Message::parse(bytes.clone()).ambiguous().is_empty() && !super::nested_forward(&node));
        let at = time::OffsetDateTime::now_utc();
        let came = [SIGNER.dkim.sign(&[Cow::Borrowed(&bytes)], at), bytes].concat();
        let before = Message::parse(came.clone());
        SIGNER.opendkim_accepts(&came);

        let mark = Edit::SetHeader { name: "X-Outgate".into(), value: "seen".into() };
        let applied = apply(&before, &[mark], Transport::default()).unwrap();
        let (left, fields) = SIGNER.dkim.finish(&before, Some(&applied.edited), at);
        prop_assert!(fields.is_empty(), "it is signed");
        SIGNER.opendkim_accepts(&left.unwrap().to_vec());

        let Ok(applied) = apply(&before, &[notice("Costs £5 at the café")], Transport::default()) else { return Ok(()) };
        let (left, fields) = SIGNER.dkim.finish(&before, Some(&applied.edited), at);
        prop_assert!(!fields.is_empty(), "the old one is broken");
        SIGNER.opendkim_accepts(&[fields, left.unwrap().to_vec()].concat());
    }
}
