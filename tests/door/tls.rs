//! STARTTLS, TLS from the first byte, certificates of clients.

use crate::{
    certificates::{Authority, Issued},
    house::{House, settings},
};
use outgate::intake::smtp::{Peer, Settings};
use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

fn with_tls(certificate: &Issued, authority: &Authority) -> Settings {
    Settings { tls: Some(certificate.settings(authority)), ..settings() }
}

async fn open() -> (House, Authority) {
    let authority = Authority::new();
    let house = House::open(with_tls(&authority.issue("gate.example"), &authority)).await;
    (house, authority)
}

fn received(house: &House) -> String {
    let handed = house.fake.handed.lock().unwrap();
    String::from_utf8(handed.last().unwrap().trace.to_vec()).unwrap()
}

#[tokio::test]
async fn starttls_begins_the_session_anew() {
    let (house, authority) = open().await;
    let mut client = house.client().await;
    client.expect("220").await;
    client.say("EHLO client.example\r\n").await;
    assert!(client.expect("250").await.contains(&"250-STARTTLS".to_string()));
    client.say("STARTTLS now\r\n").await;
    client.expect("501 5.5.4").await;
    client.say("MAIL FROM:<a@ours.example>\r\n").await;
    client.expect("250").await;
    client.say("STARTTLS\r\n").await;
    client.expect("220 2.0.0").await;
    client.secure(&authority.client(None)).await.unwrap();
    client.say("RCPT TO:<b@there.example>\r\n").await;
    client.expect("503").await;
    client.say("MAIL FROM:<a@ours.example>\r\n").await;
    client.expect("503 5.5.1 Send EHLO first").await;
    client.say("EHLO inside.example\r\n").await;
    assert!(!client.expect("250").await.contains(&"250-STARTTLS".to_string()), "no TLS in TLS");
    client.say("STARTTLS\r\n").await;
    client.expect("503 5.5.1").await;
    assert_eq!(client.send(b"Subject: x\r\n\r\nx\r\n.\r\n").await, "250 2.0.0 Queued");
    let origin = house.fake.handed.lock().unwrap()[0].origin.clone();
    assert_eq!(origin.tls.as_deref(), Some("TLSv1.3 with cipher TLS13_AES_256_GCM_SHA384"));
    assert!(received(&house).contains("from inside.example ([127.0.0.1])\r\n\tby gate.example with ESMTPS id "));
}

#[tokio::test]
async fn without_a_certificate_starttls_is_not_offered() {
    let house = House::open(settings()).await;
    let mut client = house.client().await;
    client.expect("220").await;
    client.say("EHLO client.example\r\n").await;
    assert!(!client.expect("250").await.contains(&"250-STARTTLS".to_string()));
    client.say("STARTTLS\r\n").await;
    client.expect("502 5.5.1").await;
}

/// CVE-2011-0411: commands in clear behind STARTTLS, in the same packet, in one of its own, or behind our answer.
#[tokio::test]
async fn nothing_that_came_in_clear_behind_starttls_is_obeyed() {
    let (house, authority) = open().await;
    let mail = "MAIL FROM:<evil@ours.example>\r\nRCPT TO:<b@there.example>\r\nDATA\r\n";
    for injected in ["NOOP\r\n", "RSET\r\n", "EHLO evil.example\r\n", mail, "x", "\r\n"] {
        let mut client = house.greeted().await;
        client.say(format!("STARTTLS\r\n{injected}")).await;
        client.expect("554 5.5.0").await;
        assert_eq!(client.line().await, None, "{injected}: closed, and no other word");
    }
    for injected in ["NOOP\r\n", mail] {
        let mut client = house.greeted().await;
        client.say("STARTTLS\r\n").await;
        client.expect("220").await;
        client.say(injected).await;
        let left = client.line().await;
        assert!(left.is_none_or(|line| !line.starts_with(['2', '3', '4', '5'])), "{injected}: no reply in clear");
    }
    // Put into the packet in front of a client that then goes on: its handshake fails, and nothing waits inside.
    let mut client = house.greeted().await;
    client.say("STARTTLS\r\nMAIL FROM:<evil@ours.example>\r\n").await;
    client.expect("554").await;
    assert!(client.secure(&authority.client(None)).await.is_err());
    assert!(house.fake.handed.lock().unwrap().is_empty());
    assert!(house.fake.hop.batches.lock().unwrap().is_empty());
}

#[tokio::test]
async fn tls_from_the_first_byte() {
    let (house, authority) = open().await;
    let mut client = house.tls_client(&authority.client(None)).await;
    client.expect("220 gate.example ESMTP").await;
    client.say("EHLO client.example\r\n").await;
    assert!(!client.expect("250").await.contains(&"250-STARTTLS".to_string()));
    assert_eq!(client.send(b"Subject: x\r\n\r\nx\r\n.\r\n").await, "250 2.0.0 Queued");
    let large = [b"Subject: x\r\n\r\n".to_vec(), b"a line of a large message\r\n".repeat(100_000), b".\r\n".to_vec()];
    assert_eq!(client.send(&large.concat()).await, "250 2.0.0 Queued");
    assert_eq!(house.bodies()[1], large[..2].concat());
    client.say("QUIT\r\n").await;
    client.expect("221").await;
    assert_eq!(client.line().await, None);
}

#[tokio::test]
async fn who_speaks_too_early_under_tls_is_hung_up_on() {
    let (house, authority) = open().await;
    let mut client = house.secured(&authority.client(None)).await;
    client.say("MAIL FROM:<a@ours.example>\r\nRCPT TO:<b@there.example>\r\nDATA\r\nSubject: x\r\n").await;
    client.expect("250").await;
    client.expect("250").await;
    client.expect("554 5.5.0").await;
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let authority = Authority::new();
    let mut settings = with_tls(&authority.issue("gate.example"), &authority);
    settings.limits.handshake_wait = Duration::from_millis(200);
    let house = House::open(settings).await;
    let mut client = house.greeted().await;
    client.say("STARTTLS\r\n").await;
    client.expect("220").await;
    let started = std::time::Instant::now();
    assert_eq!(client.line().await, None);
    let mut silent = tokio::net::TcpStream::connect(house.tls_address).await.unwrap();
    let mut nothing = Vec::new();
    tokio::io::AsyncReadExt::read_buf(&mut silent, &mut nothing).await.unwrap();
    assert!(nothing.is_empty() && started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_certificate_makes_a_peer() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut settings = with_tls(&authority.issue("gate.example"), &authority);
    let known = Peer { certificate_name: Some("mail.ours.example".into()), ..Peer::new(Vec::new()) };
    settings.peers = vec![known];
    let house = House::open(settings).await;
    let right = authority.issue("mail.ours.example");
    let wrong = authority.issue("mail.else.example");
    let forged = other.issue("mail.ours.example");
    for (shown, code) in [(None, "530"), (Some(&wrong), "530"), (Some(&forged), "530"), (Some(&right), "250")] {
        let config = authority.client(shown);
        let mut client = house.secured(&config).await;
        client.say("MAIL FROM:<a@ours.example>\r\n").await;
        client.expect(code).await;
        client.say("RCPT TO:<b@there.example>\r\n").await;
        client.expect(if code == "250" { "250" } else { "503" }).await;
        // The same again over a resumed session.
        let mut again = house.tls_client(&config).await;
        again.expect("220").await;
        again.say("EHLO client.example\r\nMAIL FROM:<a@ours.example>\r\n".split_at(21).0).await;
        again.expect("250").await;
        again.say("MAIL FROM:<a@ours.example>\r\n").await;
        again.expect(code).await;
    }
    let mut clear = house.greeted().await;
    clear.say("MAIL FROM:<a@ours.example>\r\nRCPT TO:<b@there.example>\r\nDATA\r\n").await;
    for code in ["530 5.7.0", "503", "503"] {
        clear.expect(code).await;
    }
    assert!(house.fake.handed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_certificate_and_a_network_must_both_fit() {
    let authority = Authority::new();
    let mut settings = with_tls(&authority.issue("gate.example"), &authority);
    let elsewhere = vec!["192.0.2.0/24".parse().unwrap()];
    let known = Peer { certificate_name: Some("mail.ours.example".into()), ..Peer::new(elsewhere) };
    settings.peers = vec![known];
    let house = House::open(settings).await;
    let mut client = house.client().await;
    client.expect("554 5.7.1").await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_restart_and_a_bad_one_is_not_taken() {
    let authority = Authority::new();
    let (first, second) = (authority.issue("gate.example"), authority.issue("gate.example"));
    let house = House::open(with_tls(&first, &authority)).await;
    let config = authority.client(None);
    let mut old = house.secured(&config).await;
    assert_eq!(old.shown(), first.der());
    house.door.renew(with_tls(&second, &authority)).unwrap();
    assert_eq!(house.secured(&config).await.shown(), second.der());
    assert_eq!(old.send(b"Subject: x\r\n\r\nx\r\n.\r\n").await, "250 2.0.0 Queued", "a session goes on as it began");
    let mut bad = with_tls(&first, &authority);
    bad.tls.as_mut().unwrap().certificate.key = second.own().key;
    assert!(house.door.renew(bad).is_err(), "the key is another certificate's");
    assert_eq!(house.secured(&config).await.shown(), second.der());
}

/// What openssl's client says of a connection.
fn openssl(port: u16, arguments: &[&str]) -> (bool, String) {
    let address = format!("127.0.0.1:{port}");
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &address, "-ign_eof"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is not here: see scripts/test-servers");
    let _ = child.stdin.take().unwrap().write_all(b"QUIT\r\n");
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_finds_tls_1_2_and_1_3_and_nothing_older() {
    let (house, _) = open().await;
    let (clear, tls) = (house.address.port(), house.tls_address.port());
    for (version, good) in [("-tls1", false), ("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        // openssl's own default has nothing below 1.2 either: it must be made to try.
        let weak = ["-cipher", "ALL:@SECLEVEL=0", version];
        for (port, how) in [(clear, &["-starttls", "smtp"][..]), (tls, &[])] {
            let (_, said) = openssl(port, &[&weak, how].concat());
            let new = said.contains(", Cipher is ") && !said.contains("Cipher is (NONE)");
            assert_eq!(new, good, "{version} {how:?}: {said}");
        }
    }
    for cipher in ["RSA", "3DES", "RC4", "aNULL", "eNULL", "CBC", "DHE"] {
        let cipher = format!("{cipher}:@SECLEVEL=0:!ECDHE");
        let (_, said) = openssl(tls, &["-tls1_2", "-cipher", &cipher]);
        assert!(!said.contains(", Cipher is ") || said.contains("Cipher is (NONE)"), "{cipher}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaks_sends_by_starttls_and_by_tls_from_the_first_byte() {
    let (house, _) = open().await;
    for (port, how) in [(house.address.port(), "--tls"), (house.tls_address.port(), "--tls-on-connect")] {
        let output = Command::new("swaks")
            .args(["--server", "127.0.0.1", "--port", &port.to_string(), how])
            .args(["--from", "a@ours.example", "--to", "b@there.example"])
            .output()
            .expect("swaks is not here: see scripts/test-servers");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("250 2.0.0 Queued"), "{how}: {said}");
        assert!(received(&house).contains(" with ESMTPS id "));
    }
}
