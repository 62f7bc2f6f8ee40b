//! `[smtp]`: certificates and peers, and what of them does not go together.

use outgate::{
    config::{Settings, read_settings},
    intake::smtp::{Auth, Tenant},
};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

const HEAD: &str = "policy = 'policies/baseline'\n[next-hop]\naddress = '127.0.0.1:10036'\n[smtp]\n";
const TLS: &str = "certificate-file = 'own.pem'\nkey-file = 'own.key'\n";

/// A folder with a certificate, its key, and some files that are none of these.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["gate.example".to_string()]).expect("a certificate");
    let other = rcgen::KeyPair::generate().expect("a key");
    write(home.path(), "own.pem", &made.cert.pem(), 0o644);
    write(home.path(), "own.key", &made.signing_key.serialize_pem(), 0o640);
    write(home.path(), "open.key", &made.signing_key.serialize_pem(), 0o644);
    write(home.path(), "other.key", &other.serialize_pem(), 0o600);
    write(home.path(), "nothing", "nothing\n", 0o600);
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
fn everything_that_the_door_can_have() {
    let home = home();
    let text = format!(
        "listen = '127.0.0.1:10035'\nlisten-tls = ['127.0.0.1:10465']\n{TLS}certificate-authority-file = 'own.pem'
        [[smtp.peer]]
        networks = ['192.0.2.0/24']
        [[smtp.peer]]
        certificate-name = 'Mail.ours.example'
        senders = 'own-domains'"
    );
    let door = read(home.path(), &text).unwrap_or_else(|mistakes| panic!("{mistakes}")).smtp.expect("a door");
    assert_eq!((door.listen.len(), door.listen_tls.len(), door.peers.len()), (1, 1, 2));
    assert!(door.tls.is_some_and(|tls| tls.authorities.is_some()));
    assert_eq!(door.peers[1].certificate_name.as_deref(), Some("mail.ours.example"));
    assert!(door.peers[1].networks.is_empty());
}

#[test]
fn logins_open_a_public_door() {
    let home = home();
    let read = |text: &str| read(home.path(), text).map(|settings| settings.smtp.expect("a door"));
    let door = read(&format!("listen = '0.0.0.0:587'\n{TLS}auth = 'accounts'\naccount-messages = 10")).expect("good");
    assert_eq!((door.auth, door.account_messages, door.network_messages), (Auth::Accounts, 10, 600));
    assert_eq!(read(&format!("{TLS}auth = 'none'")).expect("good").auth, Auth::None);
}

#[test]
fn a_login_is_passed_through_only_where_the_outbox_has_one_of_its_own() {
    let home = home();
    write(home.path(), "password", "open sesame\n", 0o600);
    let text = format!("{TLS}auth = 'next-hop'");
    let refused = read(home.path(), &text).expect_err("no login of ours");
    assert!(refused.contains("outgate itself, which has no login at the next hop"), "{refused}");
    assert!(refused.contains("write user and password-file in [next-hop]"), "{refused}");
    let file = home.path().join("outgate.toml");
    let whole = format!("{HEAD}{text}\n").replace("10036'\n", "10036'\nuser = 'gate'\npassword-file = 'password'\n");
    fs::write(&file, whole).expect("a file");
    let settings = read_settings(&file).map(|(settings, _)| settings).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(settings.smtp.expect("a door").auth, Auth::NextHop);
}

/// Their pages say what no test can run; what outgate itself needs can be read.
#[test]
fn the_settings_of_the_cloud_pages_are_good() {
    let home = home();
    write(home.path(), "google.tenant", "X-Outgate-Tenant: 0123456789abcdef0123456789abcdef\n", 0o600);
    for (from, to, mode) in [("own.pem", "gate.pem", 0o644), ("own.key", "gate.key", 0o640)] {
        let text = fs::read_to_string(home.path().join(from)).expect("a file");
        write(home.path(), to, &text, mode);
    }
    let file = home.path().join("outgate.toml");
    for page in
        [include_str!("../../docs/how-to/microsoft-365.md"), include_str!("../../docs/how-to/google-workspace.md")]
    {
        let (_, text) = page.split_once("```toml\npolicy ").expect("a whole file");
        let (text, _) = text.split_once("```").expect("its end");
        fs::write(&file, format!("policy {text}")).expect("a file");
        let (settings, _) = read_settings(&file).unwrap_or_else(|mistakes| panic!("{text}\n{mistakes}"));
        let door = settings.smtp.expect("a door");
        assert!(door.peers.len() == 1 && door.peers[0].tenant.is_some());
    }
}

#[test]
fn a_peer_of_a_shared_cloud_must_show_whose_it_is() {
    let home = home();
    write(home.path(), "secret", "X-Gate-Tenant: 0123456789abcdef0123456789\n", 0o600);
    write(home.path(), "short", "X-Gate-Tenant: 0123456789\n", 0o600);
    write(home.path(), "open-secret", "X-Gate-Tenant: 0123456789abcdef0123456789\n", 0o640);
    let read = |cloud: &str, text: &str| {
        let found = read(home.path(), &format!("{TLS}[[smtp.peer]]\n{cloud}\n{text}"));
        found.map(|settings| settings.smtp.expect("a door").peers.remove(0))
    };
    let (microsoft, google) = ("certificate-name = 'mail.protection.outlook.com'", "networks = '209.85.128.0/17'");
    let ours = "senders = 'own-domains'\n";
    let id = "tenant = '11111111-2222-3333-4444-AAAAAAAAAAAA'";
    let tenant = |cloud: &str, text: &str| read(cloud, text).expect("good").tenant.expect("a tenant");
    assert_eq!(tenant(microsoft, &format!("{ours}{id}")), Tenant::Id("11111111-2222-3333-4444-aaaaaaaaaaaa".into()));
    let domain = format!("{ours}tenant = 'Ours.onmicrosoft.com'");
    assert_eq!(tenant(microsoft, &domain), Tenant::Domain("ours.onmicrosoft.com".into()));
    let secret = format!("{ours}tenant-file = 'secret'");
    for cloud in [microsoft, google] {
        assert!(matches!(tenant(cloud, &secret), Tenant::Header { name, .. } if name == "X-Gate-Tenant"));
    }
    for (cloud, text, expected) in [
        (microsoft, String::new(), "shared by all customers of Microsoft 365"),
        (microsoft, ours.into(), "write `tenant` and `senders"),
        (microsoft, id.into(), "shared by all customers of Microsoft 365"),
        (microsoft, format!("{ours}tenant = 'two words'"), "`smtp.peer.tenant`: not a tenant"),
        (microsoft, format!("{ours}{id}\ntenant-file = 'secret'"), "allowed: one of them"),
        (google, ours.into(), "write `tenant-file` and `senders"),
        (google, format!("{ours}tenant = 'ours.example'"), "Google Workspace writes no tenant"),
        (google, format!("{ours}tenant-file = 'short'"), "not a header field with a secret"),
        (google, format!("{ours}tenant-file = 'open-secret'"), "others can read or change it"),
        (google, format!("{ours}tenant-file = 'nothing'"), "not a header field with a secret"),
    ] {
        let found = read(cloud, &text).map(|_| "accepted".to_string()).unwrap_or_else(|mistakes| mistakes);
        assert!(found.contains(expected), "{cloud} {text}\ngives\n{found}\nnot\n{expected}");
        assert!(!found.contains("0123456789"), "{found}");
    }
}

#[test]
fn with_tls_from_the_first_byte_alone_nothing_listens_in_clear() {
    let home = home();
    let door = read(home.path(), &format!("listen-tls = '127.0.0.1:10465'\n{TLS}")).expect("good").smtp;
    assert!(door.is_some_and(|door| door.listen.is_empty() && door.listen_tls.len() == 1));
}

#[test]
fn what_does_not_go_together_or_cannot_be_used() {
    let home = home();
    let peer = |text: &str| format!("{TLS}[[smtp.peer]]\n{text}");
    for (text, expected) in [
        ("certificate-file = 'own.pem'".to_string(), "`key-file` is missing beside this"),
        ("key-file = 'own.key'".into(), "`certificate-file` is missing beside this"),
        ("listen-tls = '127.0.0.1:465'".into(), "there is no TLS without a certificate"),
        ("certificate-authority-file = 'own.pem'".into(), "there is no TLS without a certificate"),
        (format!("{TLS}certificate-authority-file = 'own.pem'"), "no client is asked for a certificate"),
        ("certificate-file = 'missing'\nkey-file = 'own.key'".into(), "missing: No such file"),
        ("certificate-file = 'own.pem'\nkey-file = 'open.key'".into(), "others can read or change it (mode 0644)"),
        ("certificate-file = 'own.pem'\nkey-file = 'other.key'".into(), "cannot be used: keys may not be"),
        ("certificate-file = 'own.pem'\nkey-file = 'nothing'".into(), "it holds no private key in PEM"),
        ("certificate-file = 'nothing'\nkey-file = 'own.key'".into(), "it holds no certificate in PEM"),
        ("listen-tls = '0.0.0.0:465'\ncertificate-file = 'own.pem'\nkey-file = 'own.key'".into(), "an open relay"),
        ("listen-tls = '127.0.0.1:10035'\nlisten = '127.0.0.1:10035'".into(), "where [smtp] already does"),
        ("[[smtp.peer]]\ncertificate-name = 'mail.ours.example'".into(), "without TLS no client shows a certificate"),
        ("auth = 'accounts'".into(), "passwords are taken under TLS alone"),
        ("listen = '0.0.0.0:587'\nauth = 'accounts'".into(), "passwords are taken under TLS alone"),
        (format!("{TLS}auth = 'account'"), "(did you mean `accounts`?"),
        (format!("{TLS}account-messages = 10"), "nobody logs in here"),
        (format!("{TLS}auth = 'accounts'\nnetwork-messages = 0"), "`smtp.network-messages` is out of range"),
        (peer("senders = 'any'"), "`networks` is missing"),
        (peer("certificate-name = 'mail.ours.example'\nnetworks = []"), "`networks` admits nobody"),
        (peer("certificate-name = 'not a name'"), "not a domain"),
        (
            peer("certificate-name = 'mail.protection.outlook.com'"),
            "mail.protection.outlook.com is shared by all customers of Microsoft 365",
        ),
        (
            peer("certificate-name = 'smtp.gmail.com'\nsenders = 'own-domains'"),
            "smtp.gmail.com is shared by all customers of Google Workspace",
        ),
    ] {
        let found = read(home.path(), &text).map(|_| "accepted".to_string()).unwrap_or_else(|mistakes| mistakes);
        assert!(found.contains(expected), "{text}\ngives\n{found}\nnot\n{expected}");
    }
}
