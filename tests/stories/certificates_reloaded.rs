//! The door's certificate is read again at SIGHUP; a bad one leaves the old one in force, and the log says so.

use crate::support::{Client, Gateway, Hop, Setup};
use std::process::{Command, Stdio};

/// The SHA-256 of the certificate that the door shows.
fn shown(gateway: &Gateway) -> String {
    let address = gateway.door().to_string();
    let look =
        "openssl s_client -connect $1 -starttls smtp </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256";
    let mut command = Command::new("sh");
    let output = command.args(["-c", look, "sh", &address]).stdin(Stdio::null()).output().expect("a shell");
    String::from_utf8(output.stdout).expect("text")
}

fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["gate.ours.example".to_string()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn a_new_certificate_without_a_restart_and_a_bad_one_keeps_the_old() {
    let hop = Hop::start();
    let (pem, key) = certificate();
    let gateway = Gateway::with(
        hop.address(),
        Setup {
            smtp: "certificate-file = 'gate.pem'\nkey-file = 'gate.key'",
            secrets: vec![("gate.pem", pem), ("gate.key", key)],
            ..Setup::default()
        },
    );
    let first = shown(&gateway);
    assert!(first.starts_with("sha256 Fingerprint="), "{first}\n{}", gateway.log());
    let mut session = Client::connect(gateway.door()).expect("the door is open");

    let (pem, key) = certificate();
    gateway.write("gate.pem", &pem);
    let said = gateway.reload();
    assert!(said.contains("the old one stays active") && said.contains("the key of the door's certificate"), "{said}");
    assert_eq!(shown(&gateway), first);

    gateway.write("gate.key", &key);
    assert!(gateway.reload().contains("was read again"));
    let second = shown(&gateway);
    assert!(second.starts_with("sha256 Fingerprint=") && second != first);
    assert!(session.say("NOOP").expect("a session goes on").starts_with("250"));
}
