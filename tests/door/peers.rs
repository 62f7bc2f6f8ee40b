//! What a listed peer may say of its clients, and what nobody else may; who is no peer relays nothing.

use crate::{
    certificates::Authority,
    corridor::PASSWORD,
    house::{Client, House, settings},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use outgate::{
    intake::smtp::{Auth, Peer, Senders, Settings, Tenant},
    mail::{Certainty, Origin},
};

fn with_peer(change: impl FnOnce(&mut Peer)) -> Settings {
    let mut settings = settings();
    change(&mut settings.peers[0]);
    settings
}

fn last(house: &House) -> Origin {
    house.fake.handed.lock().unwrap().last().unwrap().origin.clone()
}

async fn say(client: &mut Client, line: &str, code: &str) -> Vec<String> {
    client.say(format!("{line}\r\n")).await;
    client.expect(code).await
}

const MESSAGE: &[u8] = b"Subject: x\r\n\r\nx\r\n.\r\n";

#[tokio::test]
async fn xclient_hands_over_a_client_with_its_own_rights() {
    let house = House::open(with_peer(|peer| peer.xclient = true)).await;
    let mut client = house.client().await;
    client.expect("220").await;
    let offered = say(&mut client, "EHLO proxy.example", "250").await;
    assert!(offered.contains(&"250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT".to_string()));
    // Who logged in at the proxy.
    say(&mut client, "XCLIENT NAME=pc.isp.example ADDR=192.0.2.7 LOGIN=Ann+40ours.example", "220").await;
    say(&mut client, "MAIL FROM:<ann@ours.example>", "503").await;
    say(&mut client, "EHLO pc.ours.example", "250").await;
    assert_eq!(client.send(MESSAGE).await, "250 2.0.0 Queued");
    let origin = last(&house);
    let user = origin.user.unwrap();
    assert_eq!((user.name.expose().as_str(), user.certainty), ("ann@ours.example", Certainty::Authenticated));
    assert_eq!((origin.address.to_string(), origin.helo.as_str()), ("192.0.2.7".into(), "pc.ours.example"));
    say(&mut client, "MAIL FROM:<ann@else.example>", "550 5.7.1").await;
    // The next one did not, and is nobody: the proxy's own right to relay does not go over to it.
    for stranger in ["ADDR=192.0.2.8 LOGIN=[UNAVAILABLE]", "ADDR=IPv6:2001:db8::8", "ADDR=[UNAVAILABLE] LOGIN="] {
        say(&mut client, &format!("XCLIENT {stranger}"), "220").await;
        let offered = say(&mut client, "EHLO pc.else.example", "250").await;
        assert!(!offered.iter().any(|line| line.contains("XFORWARD")), "{stranger}: that is the peer's");
        if stranger.contains("LOGIN") {
            say(&mut client, "MAIL FROM:<ann@ours.example>", "530 5.7.0").await;
        }
    }
    // A client from a peer's network is that peer's.
    say(&mut client, "XCLIENT ADDR=127.0.3.1", "220").await;
    say(&mut client, "EHLO pc.ours.example", "250").await;
    assert_eq!(client.send(MESSAGE).await, "250 2.0.0 Queued");
    assert!(last(&house).user.is_none());
    for bad in ["XCLIENT", "XCLIENT FOO=bar", "XCLIENT ADDR=nowhere", "XCLIENT ADDR=1.2.3.4 ADDR=1.2.3.4"] {
        say(&mut client, bad, "501 5.5.4").await;
    }
    say(&mut client, "MAIL FROM:<a@ours.example>", "250").await;
    say(&mut client, "XCLIENT ADDR=192.0.2.9", "503 5.5.1").await;
}

#[tokio::test]
async fn xclient_and_xforward_are_for_listed_peers_alone() {
    let house = House::open(settings()).await;
    let mut client = house.greeted().await;
    say(&mut client, "XCLIENT ADDR=192.0.2.7 LOGIN=boss", "550 5.7.0").await;

    let authority = Authority::new();
    let tls = Some(authority.issue("gate.example").settings(&authority));
    let open = Settings { tls, auth: Auth::Accounts, peers: Vec::new(), ..settings() };
    let house = House::open(open).await;
    let mut client = house.secured(&authority.client(None)).await;
    let offered = say(&mut client, "EHLO client.example", "250").await;
    assert!(!offered.iter().any(|line| line.contains("XCLIENT") || line.contains("XFORWARD")));
    let login = STANDARD.encode(format!("\0ann@ours.example\0{PASSWORD}"));
    for _ in 0..2 {
        say(&mut client, "XCLIENT ADDR=192.0.2.7 LOGIN=boss", "550 5.7.0").await;
        say(&mut client, "XFORWARD ADDR=192.0.2.7", "550 5.7.0").await;
        // Nor for people.
        client.say(format!("AUTH PLAIN {login}\r\n")).await;
        client.expect("").await;
    }
}

#[tokio::test]
async fn xforward_says_whose_message_it_is_and_gives_no_rights() {
    let house = House::open(with_peer(|peer| peer.senders = Senders::OwnDomains)).await;
    let mut client = house.greeted().await;
    say(&mut client, "XFORWARD NAME=pc.isp.example ADDR=192.0.2.7 PROTO=ESMTP", "250").await;
    say(&mut client, "XFORWARD HELO=pc.ours.example IDENT=4XbQ SOURCE=REMOTE", "250").await;
    say(&mut client, "MAIL FROM:<a@else.example>", "550").await;
    assert_eq!(client.send(MESSAGE).await, "250 2.0.0 Queued");
    let origin = last(&house);
    assert_eq!((origin.address.to_string(), origin.helo.as_str()), ("192.0.2.7".into(), "pc.ours.example"));
    {
        let handed = house.fake.handed.lock().unwrap();
        assert_eq!(handed[0].node_id.as_deref(), Some("4XbQ"));
        let trace = String::from_utf8(handed[0].trace.to_vec()).unwrap();
        assert!(trace.starts_with("Received: from client.example ([127.0.0.1])\r\n"), "who really came: {trace}");
    }
    assert_eq!(client.send(MESSAGE).await, "250 2.0.0 Queued");
    assert_eq!(last(&house).address.to_string(), "127.0.0.1", "said of one message alone");
    for bad in ["XFORWARD", "XFORWARD LOGIN=ann", "XFORWARD ADDR=x"] {
        say(&mut client, bad, "501 5.5.4").await;
    }
}

#[tokio::test]
async fn the_login_in_a_peers_received_is_believed_where_it_is_asked_for() {
    let own = "Received: from pc.example (pc.example [192.0.2.7])\r\n\t(Authenticated sender: ann@ours.example)\r\n\tby mail.ours.example \
               (Postfix) with ESMTPSA id 4Xb; Thu, 26 Nov 2026 02:00:00 +0000\r\n";
    let without = own.replace("\t(Authenticated sender: ann@ours.example)\r\n", "");
    let asked = House::open(with_peer(|peer| peer.login_in_received = true)).await;
    let not_asked = House::open(settings()).await;
    for (house, head, expected) in [
        (&asked, own.to_string(), Some("ann@ours.example")),
        (&asked, without.clone() + own, None),
        (&asked, format!("X: y\r\n{own}"), None),
        (&not_asked, own.to_string(), None),
    ] {
        let mut client = house.greeted().await;
        assert_eq!(client.send(format!("{head}Subject: x\r\n\r\nx\r\n.\r\n").as_bytes()).await, "250 2.0.0 Queued");
        let user = last(house).user;
        let shown = user.as_ref().map(|user| (user.name.expose().as_str(), user.certainty));
        assert_eq!(shown, expected.map(|name| (name, Certainty::Attested)), "{head}");
    }
}

/// The forms in which another customer of the same cloud sent as its victims in 2024 (EchoSpoofing): from the cloud's own
/// addresses, with its certificate, SPF and DKIM all good.
#[tokio::test]
async fn another_tenant_of_the_cloud_sends_nothing_as_us() {
    let ours = "X-OriginatorOrg: ours.onmicrosoft.com\r\n";
    let house = House::open(with_peer(|peer| {
        peer.senders = Senders::OwnDomains;
        peer.tenant = Some(Tenant::Domain("ours.onmicrosoft.com".into()));
    }))
    .await;
    let theirs = "X-OriginatorOrg: evil.onmicrosoft.com\r\n";
    let mut refused = 0;
    for (sender, header) in [
        ("director@ours.example", theirs.to_string()),
        ("director@ours.example", String::new()),
        ("director@ours.example", format!("{ours}{theirs}")),
        ("director@ours.example", "X-OriginatorOrg: ours.onmicrosoft.com.evil.example\r\n".into()),
        ("director@evil.example", ours.to_string()),
    ] {
        let mut client = house.greeted().await;
        client.say(format!("MAIL FROM:<{sender}>\r\nRCPT TO:<b@there.example>\r\nDATA\r\n")).await;
        let mail = client.expect("").await.remove(0);
        client.expect("").await;
        let data = client.expect("").await.remove(0);
        let answer = if data.starts_with("354") {
            client.say(format!("{header}From: <director@ours.example>\r\nSubject: x\r\n\r\nx\r\n.\r\n")).await;
            client.expect("").await.remove(0)
        } else {
            mail
        };
        assert_eq!(answer, "550 5.7.1 This sender may not send through here", "{sender} {header}");
        refused += 1;
    }
    assert!(house.fake.handed.lock().unwrap().is_empty());
    let mut client = house.greeted().await;
    assert_eq!(client.send(format!("{ours}Subject: x\r\n\r\nx\r\n.\r\n").as_bytes()).await, "250 2.0.0 Queued");
    let user = last(&house).user.unwrap();
    assert_eq!((user.name.expose().as_str(), user.certainty), ("a@ours.example", Certainty::Attested));
    println!("T23 foreign-tenant forms=5 refused={refused} ours=1 PASS");
}

#[tokio::test]
async fn a_tenants_secret_goes_no_further() {
    let house = House::open(with_peer(|peer| {
        peer.tenant = Some(Tenant::Header { name: "X-Gate".into(), value: "0123456789abcdefghij".to_string().into() });
    }))
    .await;
    let mut client = house.greeted().await;
    let message = b"Subject: x\r\nx-gate: 0123456789abcdefghij\r\nTo: y\r\n\r\nx\r\n.\r\n";
    assert_eq!(client.send(message).await, "250 2.0.0 Queued");
    assert_eq!(house.bodies()[0], b"Subject: x\r\nTo: y\r\n\r\nx\r\n");
    assert!(client.send(MESSAGE).await.starts_with("550 5.7.1"));
}

/// The classic forms in which a server is asked to relay for a stranger, each as (sender, recipient).
const RELAY_FORMS: [(&str, &str); 15] = [
    ("<spam@else.example>", "<victim@there.example>"),
    ("<spam@gate.example>", "<victim@there.example>"),
    ("<>", "<victim@there.example>"),
    // A sender of ours, without a login.
    ("<director@ours.example>", "<victim@there.example>"),
    ("<spam@[127.0.0.1]>", "<victim@there.example>"),
    ("<spam@localhost>", "<victim@there.example>"),
    ("<spam@ours.example>", "<victim%there.example@ours.example>"),
    ("<spam@ours.example>", "<victim%there.example@[127.0.0.1]>"),
    ("<spam@ours.example>", "<\"victim@there.example\"@ours.example>"),
    ("<spam@ours.example>", "<\"victim%there.example\">"),
    ("<spam@ours.example>", "<victim@there.example@ours.example>"),
    ("<spam@ours.example>", "<@ours.example:victim@there.example>"),
    ("<spam@ours.example>", "<there.example!victim>"),
    ("<spam@ours.example>", "<there.example!victim@ours.example>"),
    ("<spam@ours.example>", "<victim@[203.0.113.9]>"),
];

/// Of three kinds of door: one where a stranger cannot become anybody, one with logins in clear, and the same under TLS.
#[tokio::test]
async fn a_stranger_relays_in_none_of_the_fifteen_forms() {
    let authority = Authority::new();
    let elsewhere = Peer::new(vec!["192.0.2.0/24".parse().unwrap()]);
    let closed = House::open(Settings { peers: vec![elsewhere.clone()], ..settings() }).await;
    let tls = Some(authority.issue("gate.example").settings(&authority));
    let mut open = Settings { tls, auth: Auth::Accounts, peers: vec![elsewhere], ..settings() };
    open.limits.errors = 1_000;
    let open = House::open(open).await;
    let mut refused = 0;
    for (sender, recipient) in RELAY_FORMS {
        let mut turned_away = closed.client().await;
        turned_away.expect("554 5.7.1").await;
        assert_eq!(turned_away.line().await, None);
        for mut client in [open.greeted().await, open.secured(&authority.client(None)).await] {
            say(&mut client, &format!("MAIL FROM:{sender}"), "530 5.7.0").await;
            say(&mut client, &format!("RCPT TO:{recipient}"), "50").await;
            say(&mut client, "DATA", "503").await;
        }
        refused += 1;
    }
    for house in [&closed, &open] {
        assert!(house.fake.handed.lock().unwrap().is_empty() && house.fake.hop.batches.lock().unwrap().is_empty());
    }
    println!("T23 open-relay forms={} refused={refused} PASS", RELAY_FORMS.len());
}
