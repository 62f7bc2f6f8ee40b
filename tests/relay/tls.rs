//! STARTTLS: none, opportunistic, required.

use super::*;
use crate::hop::{certificate, certificate_for, client_certificate};
use tokio_rustls::rustls;

const OFFER: &str = "S 220 hop.example
    C EHLO gate.example
    S 250-hop.example
    S 250-SMTPUTF8
    S 250 STARTTLS
    C STARTTLS";
const INSIDE: &str = "S 220 2.0.0 go
    TLS
    C EHLO gate.example
    S 250-hop.example
    S 250-PIPELINING
    S 250 DSN";

#[tokio::test]
async fn opportunistic_takes_any_certificate_and_forgets_the_first_ehlo() {
    let certificate = certificate("someone.example");
    let hop = Hop::with_tls(&[&script(&[OFFER, INSIDE, ENVELOPE, DATA])], Some(&certificate)).await;
    let relay = Relay::new(settings(&hop.address, TlsMode::Opportunistic)).unwrap();
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
    assert!(relay.extensions().dsn && !relay.extensions().smtputf8);
    assert_eq!(hop.bodies().await, [ON_WIRE]);
}

#[tokio::test]
async fn opportunistic_goes_on_in_clear_where_tls_is_not_to_be_had() {
    let certificate = certificate("hop.example");
    let refused = script(&[OFFER, "S 454 4.7.0 not now"]);
    let clear = "C MAIL FROM:<ann@ours.example>
        S 250 ok
        C RCPT TO:<bob@else.example>
        S 250 ok";
    let hop = Hop::start(&[&script(&[&refused, clear, DATA])]).await;
    let relay = Relay::new(settings(&hop.address, TlsMode::Opportunistic)).unwrap();
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
    hop.bodies().await;

    let none = script(&[GREETING, ENVELOPE, DATA]);
    let hop = Hop::start(&[&none]).await;
    let relay = Relay::new(settings(&hop.address, TlsMode::Opportunistic)).unwrap();
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
    hop.bodies().await;

    let broken = script(&[OFFER, "S 220 go", "S this is no handshake", "EOF"]);
    let broken = broken.replace("S this", "WAIT 50\nS this").replace("EOF", "WAIT 50");
    let hop = Hop::with_tls(&[&broken, &none], Some(&certificate)).await;
    let relay = Relay::new(settings(&hop.address, TlsMode::Opportunistic)).unwrap();
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
    hop.bodies().await;
}

#[tokio::test]
async fn bytes_behind_starttls_are_taken_for_an_attack() {
    for mode in [TlsMode::Opportunistic, TlsMode::Required] {
        for behind in ["250-injected\\r\\n", "2"] {
            let injected = script(&[OFFER, &format!("RAW 220 go\\r\\n{behind}"), "EOF"]);
            let hop = Hop::start(&[&injected]).await;
            let mut settings = settings(&hop.address, mode);
            settings.routes[0].addresses[0] = hop.address.replace("127.0.0.1", "localhost");
            let (transaction, reply) = begun(&Relay::new(settings).unwrap()).await;
            assert_eq!((reply.code(), transaction.is_blind()), (451, false));
            hop.bodies().await;
        }
    }
}

#[tokio::test]
async fn required_sends_nothing_without_tls() {
    let plain = script(&[GREETING, "EOF"]);
    let later = script(&[OFFER, "S 454 4.7.0 not now", "EOF"]);
    for conversation in [plain, later] {
        let hop = Hop::start(&[&conversation]).await;
        let relay = Relay::new(settings(&hop.address, TlsMode::Required)).unwrap();
        let (transaction, reply) = begun(&relay).await;
        assert_eq!((reply.code(), transaction.is_blind()), (451, false));
        drop((transaction, relay));
        hop.bodies().await;
    }
}

#[tokio::test]
async fn required_wants_a_certificate_it_can_trust() {
    let certificate = certificate("localhost");
    for (name, trusted, arrives) in [("localhost", true, true), ("localhost", false, false), ("127.0.0.1", true, false)]
    {
        let whole = script(&[OFFER, INSIDE, ENVELOPE, DATA]);
        let hop = Hop::with_tls(&[&whole], Some(&certificate)).await;
        let mut settings = settings(&hop.address.replace("127.0.0.1", name), TlsMode::Required);
        settings.routes[0].authorities = trusted.then(|| certificate.pem.as_bytes().into());
        let relay = Relay::new(settings).unwrap();
        let (transaction, reply) = begun(&relay).await;
        if arrives {
            assert_eq!(code(&sent(transaction).await), 250);
            assert_eq!(hop.bodies().await, [ON_WIRE]);
        } else {
            assert_eq!((reply.code(), transaction.is_blind()), (451, false), "{name} {trusted}");
        }
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    assert!(Relay::new(settings("hop.example", TlsMode::None)).is_err());
    let mut missing = settings("hop.example:25", TlsMode::Required);
    missing.routes[0].authorities = Some(b"no certificate"[..].into());
    assert!(Relay::new(missing).is_err());
}

#[tokio::test]
async fn implicit_tls_begins_at_once_and_wants_the_right_name() {
    let certificate = certificate("hop.example");
    let whole = "TLS
        S 220 hop.example
        C EHLO gate.example
        S 250-hop.example
        S 250 PIPELINING";
    for (name, arrives) in [(Some("hop.example"), true), (Some("other.example"), false), (None, false)] {
        let hop = Hop::with_tls(&[&script(&[whole, ENVELOPE, DATA])], Some(&certificate)).await;
        let mut settings = settings(&hop.address, TlsMode::Implicit);
        settings.routes[0].authorities = Some(certificate.pem.as_bytes().into());
        settings.routes[0].tls_name = name.map(String::from);
        let (transaction, reply) = begun(&Relay::new(settings).unwrap()).await;
        if arrives {
            assert_eq!(code(&sent(transaction).await), 250);
            assert_eq!(hop.bodies().await, [ON_WIRE]);
        } else {
            assert_eq!((reply.code(), transaction.is_blind()), (451, false), "{name:?}");
        }
    }
    // A hop that speaks first in clear gets no command.
    let clear = Hop::start(&["S 220 hop.example\nNOCOMMAND"]).await;
    let (_, reply) = begun(&Relay::new(settings(&clear.address, TlsMode::Implicit)).unwrap()).await;
    assert_eq!(reply.code(), 451);
    clear.bodies().await;
}

#[tokio::test]
async fn our_certificate_is_shown_to_a_hop_that_asks_for_it() {
    let (certificate, ours) = (certificate("localhost"), client_certificate());
    for shown in [true, false] {
        let hop =
            Hop::with_tls(&[&script(&[OFFER, INSIDE, ENVELOPE, DATA])], Some(&certificate.asking_for(&ours))).await;
        let mut settings = settings(&hop.address.replace("127.0.0.1", "localhost"), TlsMode::Required);
        settings.routes[0].authorities = Some(certificate.pem.as_bytes().into());
        settings.routes[0].certificate = shown.then(|| ours.shown());
        let (transaction, reply) = begun(&Relay::new(settings).unwrap()).await;
        if shown {
            assert_eq!(code(&sent(transaction).await), 250);
            assert_eq!(hop.bodies().await, [ON_WIRE]);
        } else {
            // TLS 1.3 tells a client that is not wanted only with the first byte that it reads.
            assert!(reply.code() == 451 || transaction.is_blind());
            assert_eq!(code(&sent(transaction).await), 451);
        }
    }
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let certificate = certificate_for("localhost", &[version]);
        let hop = Hop::with_tls(&[&script(&[OFFER, INSIDE, ENVELOPE, DATA])], Some(&certificate)).await;
        let mut settings = settings(&hop.address.replace("127.0.0.1", "localhost"), TlsMode::Required);
        settings.routes[0].authorities = Some(certificate.pem.as_bytes().into());
        let (transaction, _) = begun(&Relay::new(settings).unwrap()).await;
        assert_eq!(code(&sent(transaction).await), 250);
        hop.bodies().await;
    }
}

#[tokio::test]
async fn no_password_for_a_hop_whose_certificate_nobody_checked_over_a_network() {
    let Some(address) = super::login::elsewhere() else { return };
    let certificate = certificate("someone.example");
    let listener = tokio::net::TcpListener::bind((address.as_str(), 0)).await.unwrap();
    let inside = INSIDE.replace("S 250 DSN", "S 250 AUTH PLAIN\nEOF");
    let hop = Hop::on(listener, &[&script(&[OFFER, &inside])], Some(&certificate));
    let relay = Relay::new(settings(&hop.address, TlsMode::Opportunistic)).unwrap();
    let refused = relay.authenticate(&super::login::login("ann")).await.unwrap_err();
    assert_eq!(refused.code(), 454);
    hop.bodies().await;
}
