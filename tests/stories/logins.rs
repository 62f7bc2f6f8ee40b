//! People with an account hand in mail by the door that everybody reaches; nobody else does.

use crate::support::{Gateway, Hop, Setup, found_in};
use std::process::Command;

const PASSWORD: &str = "correct horse battery staple";

/// What swaks hears, over STARTTLS.
fn swaks(gateway: &Gateway, user: &str, password: &str, mechanism: &str) -> String {
    let (host, port) = (gateway.door().ip().to_string(), gateway.door().port().to_string());
    let output = Command::new("swaks")
        .args(["--server", &host, "--port", &port, "--tls", "--from", "ann@ours.example", "--to", "bob@else.example"])
        .args(["--auth", mechanism, "--auth-user", user, "--auth-password", password])
        .output()
        .expect("swaks is not here: see scripts/test-servers");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn an_account_is_made_used_and_disabled() {
    let hop = Hop::start();
    let made = rcgen::generate_simple_self_signed(vec!["gate.ours.example".to_string()]).expect("a certificate");
    let gateway = Gateway::with(
        hop.address(),
        Setup {
            smtp: "certificate-file = 'gate.pem'\nkey-file = 'gate.key'\nauth = 'accounts'",
            networks: "192.0.2.0/24",
            log: "debug",
            secrets: vec![("gate.pem", made.cert.pem()), ("gate.key", made.signing_key.serialize_pem())],
            ..Setup::default()
        },
    );
    let command = |arguments: &[&str], input: &str| gateway.command_with(arguments, input).status.code();
    assert_eq!(command(&["user", "add", "Ann@ours.example"], "short\n"), Some(2));
    assert_eq!(command(&["user", "add", "Ann@ours.example"], &format!("{PASSWORD}\n")), Some(0));
    assert_eq!(command(&["user", "add", "ann@ours.example"], "another long password\n"), Some(1), "there already");

    for mechanism in ["PLAIN", "LOGIN"] {
        let said = swaks(&gateway, "ann@ours.example", PASSWORD, mechanism);
        assert!(said.contains("235 2.7.0") && said.contains("<~  250 2"), "{mechanism}: {said}");
    }
    assert_eq!(hop.arrived().len(), 2);
    let said = swaks(&gateway, "ann@ours.example", "a wrong password", "PLAIN");
    assert!(said.contains("535 5.7.8") && !said.contains("354"), "{said}");

    assert_eq!(command(&["user", "disable", "ann@ours.example"], ""), Some(0));
    assert!(swaks(&gateway, "ann@ours.example", PASSWORD, "PLAIN").contains("535 5.7.8"));
    let listed = gateway.done(&["user", "list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("one account");
    assert_eq!((&listed["name"], &listed["state"]), (&"ann@ours.example".into(), &"disabled".into()));
    assert_eq!(command(&["user", "enable", "ann@ours.example"], ""), Some(0));
    assert_eq!(command(&["user", "password", "ann@ours.example"], "quite another password\n"), Some(0));
    assert!(swaks(&gateway, "ann@ours.example", PASSWORD, "PLAIN").contains("535 5.7.8"));
    assert!(swaks(&gateway, "ann@ours.example", "quite another password", "PLAIN").contains("235 2.7.0"));
    assert_eq!(command(&["user", "disable", "nobody@ours.example"], ""), Some(2));
    assert_eq!(hop.arrived().len(), 3);

    let log = gateway.log();
    let secrets = [PASSWORD, "quite another password", "ann@ours.example", "YW5uQG91cnM", "Y29ycmVjdC"];
    assert!(log.contains("a client logged in") && log.contains("a login was refused"));
    assert!(!secrets.iter().any(|secret| log.contains(secret)), "{log}");
    assert_eq!(found_in(&gateway.data(), &secrets), [""; 0]);
    gateway.done(&["audit", "verify"]);
}
