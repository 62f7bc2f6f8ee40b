//! `[next-hop]`: routes, TLS, certificates and logins, and what of them does not go together.

use outgate::{
    config::{Settings, read_settings},
    delivery::relay::{Domains, TlsMode},
};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

const HEAD: &str = "policy = 'policies/baseline'\n[smtp]\n[next-hop]\n";

/// A folder with a certificate, its key, a password and some files that are none of these.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["gate.example".to_string()]).expect("a certificate");
    let other = rcgen::KeyPair::generate().expect("a key");
    write(home.path(), "own.pem", &made.cert.pem(), 0o644);
    write(home.path(), "own.key", &made.signing_key.serialize_pem(), 0o640);
    write(home.path(), "open.key", &made.signing_key.serialize_pem(), 0o644);
    write(home.path(), "other.key", &other.serialize_pem(), 0o600);
    write(home.path(), "password", "open sesame\n", 0o600);
    write(home.path(), "open-password", "open sesame\n", 0o640);
    write(home.path(), "two-lines", "open\nsesame\n", 0o600);
    write(home.path(), "empty", "\n", 0o600);
    home
}

fn write(home: &Path, name: &str, text: &str, mode: u32) {
    let path = home.join(name);
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
}

fn read(home: &Path, text: &str) -> Result<Settings, String> {
    let file = home.join("outgate.toml");
    fs::write(&file, format!("{HEAD}{text}\n")).expect("a file");
    read_settings(&file).map(|(settings, _)| settings).map_err(|mistakes| mistakes.to_string())
}

#[test]
fn everything_that_a_route_can_have() {
    let home = home();
    let text = "address = ['Smarthost.example:587', '[2001:db8::1]:587']
        tls = 'required'
        tls-name = 'mail.smarthost.example'
        certificate-authority-file = 'own.pem'
        certificate-file = 'own.pem'
        key-file = 'own.key'
        user = 'gate@ours.example'
        password-file = 'password'
        [[next-hop.route]]
        domains = ['*.Partner.example', 'friend.example']
        address = '192.0.2.1:465'
        tls = 'implicit'
        tls-name = 'mail.partner.example'";
    let routes = read(home.path(), text).unwrap_or_else(|mistakes| panic!("{mistakes}")).next_hop.routes;
    assert_eq!(routes.len(), 2);
    assert_eq!(routes[0].addresses, ["smarthost.example:587", "[2001:db8::1]:587"]);
    assert_eq!((&*routes[0].name, routes[0].tls, routes[0].domains.len()), ("default", TlsMode::Required, 0));
    let login = routes[0].login.as_ref().expect("a login");
    assert_eq!((login.user.expose().as_str(), login.password.expose().as_str()), ("gate@ours.example", "open sesame"));
    assert!(routes[0].certificate.is_some() && routes[0].authorities.is_some());
    assert!(!format!("{routes:?}").contains("sesame") && !format!("{routes:?}").contains("gate@"));
    assert_eq!((&*routes[1].name, routes[1].tls), ("partner.example", TlsMode::Implicit));
    let domains = [Domains::Below("partner.example".into()), Domains::One("friend.example".into())];
    assert_eq!(routes[1].domains, domains);
    assert!(routes[1].login.is_none(), "a login is for its own route alone");
}

#[test]
fn what_does_not_go_together_or_cannot_be_used() {
    let home = home();
    let smarthost = "address = 'smarthost.example:587'\ntls = 'required'\n";
    let route = "address = '127.0.0.1:25'\n[[next-hop.route]]\naddress = '127.0.0.1:26'\n";
    for (text, expected) in [
        ("address = []".to_string(), "`address` names no host"),
        ("address = ['a.example:25', 'b']".into(), "`next-hop.address`: the port is missing"),
        ("address = 'a.example:465'".into(), "at port 465 TLS begins at once (write tls = \"implicit\")"),
        ("address = 'a.example:25'\ntls-name = 'b.example'".into(), "nobody's certificate is checked here"),
        ("address = 'a.example:25'\ncertificate-authority-file = 'own.pem'".into(), "nobody's certificate is checked"),
        (format!("{smarthost}user = 'me'"), "`password-file` is missing beside this"),
        (format!("{smarthost}password-file = 'password'"), "`user` is missing beside this"),
        (format!("{smarthost}certificate-file = 'own.pem'"), "`key-file` is missing beside this"),
        (format!("{smarthost}key-file = 'own.key'"), "`certificate-file` is missing beside this"),
        (
            "address = 'a.example:587'\nuser = 'me'\npassword-file = 'password'".into(),
            "the password would leave in clear, or to whoever answers",
        ),
        (format!("{smarthost}user = 'me'\npassword-file = 'open-password'"), "(mode 0640); allowed: 0600 or 0400"),
        (format!("{smarthost}user = 'me'\npassword-file = 'missing'"), "missing: No such file"),
        (format!("{smarthost}user = 'me'\npassword-file = '.'"), "not a file"),
        (format!("{smarthost}user = 'me'\npassword-file = 'two-lines'"), "not a password"),
        (format!("{smarthost}user = 'me'\npassword-file = 'empty'"), "not a password"),
        (format!("{smarthost}user = \"me\\u0000you\"\npassword-file = 'password'"), "not a user's name"),
        (format!("{smarthost}certificate-authority-file = 'password'"), "it holds no certificate in PEM"),
        (format!("{smarthost}certificate-file = 'own.pem'\nkey-file = 'open.key'"), "(mode 0644); allowed: 0640"),
        (format!("{smarthost}certificate-file = 'own.pem'\nkey-file = 'own.pem'"), "own.pem: others can read"),
        (format!("{smarthost}certificate-file = 'own.pem'\nkey-file = 'password'"), "it holds no private key in PEM"),
        (format!("{smarthost}certificate-file = 'own.pem'\nkey-file = 'other.key'"), "cannot be used: keys may not be"),
        (format!("{smarthost}certificate-file = 'own.key'\nkey-file = 'own.key'"), "it holds no certificate in PEM"),
        (
            "address = 'a.example:25'\ntls = 'none'\ncertificate-file = 'own.pem'\nkey-file = 'own.key'".into(),
            "without TLS nobody is shown a certificate",
        ),
        (route.into(), "`domains` is missing in [next-hop.route]"),
        (format!("{route}domains = []"), "`domains` names no domain"),
        (format!("{route}domains = '*'"), "not a domain"),
        (format!("{route}domains = ['a.example', '*.a.example', 'A.example']"), "this domain has a route already"),
        (format!("{route}domains = 'a.example'\nadress = 'b'"), "unknown key `adress` in [next-hop.route]"),
        (format!("{}domains = 'a.example'", route.replace("127.0.0.1:26", "127.0.0.1:10035")), "our own door"),
    ] {
        let found = read(home.path(), &text).map(|_| "accepted".to_string()).unwrap_or_else(|mistakes| mistakes);
        assert!(found.contains(expected), "{text}\ngives\n{found}\nnot\n{expected}");
        assert!(!found.contains("sesame"));
    }
}

#[test]
fn a_login_to_this_machine_itself_needs_no_tls() {
    let home = home();
    for address in ["127.0.0.1:25", "localhost:25", "[::1]:25"] {
        let text = format!("address = '{address}'\ntls = 'none'\nuser = 'me'\npassword-file = 'password'");
        assert!(read(home.path(), &text).is_ok(), "{address}");
    }
}

#[test]
fn the_snippets_of_the_how_to_are_good() {
    let document = include_str!("../../docs/how-to/next-hop.md");
    let home = home();
    for (from, to, mode) in [
        ("own.pem", "gate.pem", 0o644),
        ("own.pem", "our-authority.pem", 0o644),
        ("own.key", "gate.key", 0o640),
        ("password", "smarthost.password", 0o600),
        ("password", "google.password", 0o600),
    ] {
        let text = fs::read_to_string(home.path().join(from)).expect("a file");
        write(home.path(), to, &text, mode);
    }
    let names = ["local", "smarthost", "failover", "partner", "microsoft-365", "google"];
    let snippets: Vec<&str> = document.split("<!-- snippet: ").skip(1).collect();
    assert_eq!(snippets.len(), names.len());
    for (snippet, name) in snippets.iter().zip(names) {
        assert!(snippet.starts_with(&format!("{name} -->")), "{name}: {snippet}");
        let (_, text) = snippet.split_once("```toml\n[next-hop]\n").expect("a snippet of [next-hop]");
        let (text, _) = text.split_once("```").expect("its end");
        read(home.path(), text).unwrap_or_else(|mistakes| panic!("{text}\n{mistakes}"));
    }
}
