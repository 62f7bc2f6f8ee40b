//! AUTH: a client's login passed through to the hop, and connections that serve one identity alone.

use super::*;
use outgate::intake::Credentials;

const OFFER: &str = "S 220 hop.example
    C EHLO gate.example
    S 250-hop.example
    S 250-PIPELINING
    S 250 AUTH CRAM-MD5 PLAIN LOGIN";
/// ann, and the password `open sesame`.
const PLAIN: &str = "C AUTH PLAIN AGFubgBvcGVuIHNlc2FtZQ==";
const CAT_PLAIN: &str = "C AUTH PLAIN AGNhdABvcGVuIHNlc2FtZQ==";

pub fn login(user: &str) -> Arc<Credentials> {
    Arc::new(Credentials { user: user.to_string().into(), password: "open sesame".to_string().into() })
}

async fn as_identity(relay: &Relay, identity: Option<Arc<Credentials>>) -> (RelayTransaction, Reply) {
    let mut transaction = relay.begin(sender(&[]), identity);
    let reply = transaction.recipients(&[path("bob@else.example")]).await.remove(0);
    (transaction, reply)
}

#[tokio::test]
async fn a_login_is_asked_of_the_hop_each_time() {
    let good = script(&[OFFER, PLAIN, "S 235 2.7.0 welcome", "EOF"]);
    let bad = script(&[OFFER, PLAIN, "S 535 5.7.8 no", "EOF"]);
    let hop = Hop::start(&[&good, &bad, &good]).await;
    let relay = relay(&hop);
    assert!(relay.authenticate(&login("ann")).await.is_ok());
    let refused = relay.authenticate(&login("ann")).await.unwrap_err();
    assert_eq!((refused.code(), refused.enhanced()), (535, Some((5, 7, 8))), "not answered from an open connection");
    assert!(relay.authenticate(&login("ann")).await.is_ok());
    drop(relay);
    hop.bodies().await;
}

#[tokio::test]
async fn what_leaves_the_hops_mind_open_is_temporary() {
    let without = OFFER.replace("AUTH CRAM-MD5 PLAIN LOGIN", "AUTH CRAM-MD5 XOAUTH2");
    for (conversation, told) in [
        (script(&[OFFER, PLAIN, "S 454 4.7.0 later"]), 454),
        (script(&[OFFER, PLAIN, "S 421 4.3.2 busy"]), 454),
        (script(&[OFFER, PLAIN, "S 250 what"]), 454),
        (script(&[OFFER, PLAIN, "S 334 bW9yZQ=="]), 454),
        (script(&[OFFER, PLAIN]), 454),
        (script(&[&without, "EOF"]), 454),
        ("S 421 4.3.2 busy".to_string(), 454),
        (script(&[OFFER, PLAIN, "S 534 5.7.9 too weak"]), 535),
        (script(&[OFFER, PLAIN, "S 500 5.5.2 too long"]), 535),
    ] {
        let hop = Hop::start(&[&conversation]).await;
        let refused = relay(&hop).authenticate(&login("ann")).await.unwrap_err();
        assert_eq!(refused.code(), told, "{conversation}");
        hop.bodies().await;
    }
}

#[tokio::test]
async fn login_where_plain_is_not_offered() {
    let offer = OFFER.replace(" PLAIN", "");
    let name = script(&[&offer, "C AUTH LOGIN", "S 334 VXNlcm5hbWU6", "C YW5u"]);
    let whole = script(&[&name, "S 334 UGFzc3dvcmQ6", "C b3BlbiBzZXNhbWU=", "S 235 2.7.0 welcome", "EOF"]);
    let no_such_user = script(&[&name, "S 535 5.7.8 who", "EOF"]);
    let hop = Hop::start(&[&whole, &no_such_user]).await;
    let relay = relay(&hop);
    assert!(relay.authenticate(&login("ann")).await.is_ok());
    assert_eq!(relay.authenticate(&login("ann")).await.unwrap_err().code(), 535);
    drop(relay);
    hop.bodies().await;
}

#[tokio::test]
async fn a_name_with_nul_is_never_sent() {
    let hop = Hop::start(&[&script(&[OFFER, "EOF"])]).await;
    let relay = relay(&hop);
    assert_eq!(relay.authenticate(&login("bob\0ann")).await.unwrap_err().code(), 535);
    drop(relay);
    hop.bodies().await;
}

#[tokio::test]
async fn connections_are_never_shared_between_identities() {
    let once = script(&[ENVELOPE, DATA]);
    let anns = script(&[OFFER, PLAIN, "S 235 ok", &once, &once, "EOF"]);
    let cats = script(&[OFFER, CAT_PLAIN, "S 235 ok", &once, "EOF"]);
    let nobodys = script(&[OFFER, &once, &once, "EOF"]);
    let hop = Hop::start(&[&anns, &cats, &nobodys]).await;
    let relay = relay(&hop);
    for identity in [Some("ann"), Some("cat"), None, Some("ann"), None] {
        let (transaction, reply) = as_identity(&relay, identity.map(login)).await;
        assert_eq!((reply.code(), transaction.is_blind()), (250, false), "{identity:?}");
        assert_eq!(code(&sent(transaction).await), 250);
    }
    drop(relay);
    assert_eq!(hop.bodies().await.len(), 5);
}

#[tokio::test]
async fn idle_connections_of_others_make_room() {
    let once = script(&[ENVELOPE, DATA]);
    let anns = script(&[OFFER, PLAIN, "S 235 ok", &once, "C QUIT", "S 221 bye", "EOF"]);
    let cats = script(&[OFFER, CAT_PLAIN, "S 235 ok", &once, "EOF"]);
    let hop = Hop::start(&[&anns, &cats]).await;
    let mut one = settings(&hop.address, TlsMode::None);
    one.connections = 1;
    let relay = Relay::new(one).unwrap();
    for identity in ["ann", "cat"] {
        assert_eq!(code(&sent(as_identity(&relay, Some(login(identity))).await.0).await), 250);
    }
    // Ann's conversation ends only when hers was closed with QUIT.
    drop(relay);
    hop.bodies().await;
}

#[tokio::test]
async fn a_refused_login_in_a_transaction_is_ours() {
    let hop = Hop::start(&[&script(&[OFFER, PLAIN, "S 535 5.7.8 no"])]).await;
    let (transaction, reply) = as_identity(&relay(&hop), Some(login("ann"))).await;
    assert_eq!((reply.code(), transaction.is_blind()), (451, false));
    hop.bodies().await;
}

/// An address of this machine that is not loopback; none without a network.
pub fn elsewhere() -> Option<String> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // Sends nothing: only the route is looked up.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().unwrap().ip();
    (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
}

#[tokio::test]
async fn no_password_in_clear_over_a_network() {
    let Some(address) = elsewhere() else { return };
    let listener = tokio::net::TcpListener::bind((address.as_str(), 0)).await.unwrap();
    let hop = Hop::on(listener, &[&script(&[OFFER, "EOF"])], None);
    let refused = relay(&hop).authenticate(&login("ann")).await.unwrap_err();
    assert_eq!(refused.code(), 454);
    hop.bodies().await;
}
