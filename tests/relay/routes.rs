//! Several next hops: by recipient domain, and one for another when it fails.

use super::*;
use outgate::delivery::relay::{Domains, RouteSettings};
use tokio::net::TcpListener;

const BARE: &str = "S 220 hop.example
    C EHLO gate.example
    S 250 PIPELINING";

/// Not pipelined: each line alone.
fn mail_to(recipients: &[(&str, &str)]) -> String {
    let mut steps = "C MAIL FROM:<ann@ours.example>\nS 250 ok".to_string();
    for (recipient, said) in recipients {
        steps += &format!("\nC RCPT TO:<{recipient}>\nS {said}");
    }
    steps
}

/// All to the first hop, but for partner.example and those below it.
fn two_routes(default: &Hop, partner: &Hop) -> Relay {
    Relay::new(two_route_settings(default, partner)).unwrap()
}

fn two_route_settings(default: &Hop, partner: &Hop) -> RelaySettings {
    let mut settings = settings(&default.address, TlsMode::None);
    settings.routes.push(RouteSettings {
        name: "partner.example".into(),
        domains: vec![Domains::One("partner.example".into()), Domains::Below("partner.example".into())],
        ..RouteSettings::new(vec![partner.address.clone()], TlsMode::None)
    });
    settings
}

/// One route, the hops in this order.
fn failover(addresses: &[&str]) -> RelaySettings {
    let mut settings = settings(addresses[0], TlsMode::None);
    settings.routes[0].addresses = addresses.iter().map(|address| address.to_string()).collect();
    settings.limits.failover = Duration::from_millis(300);
    settings
}

async fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

fn codes(replies: &[Reply]) -> Vec<u16> {
    replies.iter().map(Reply::code).collect()
}

#[tokio::test]
async fn the_first_accepted_recipient_fixes_the_route() {
    let ours = script(&[BARE, &mail_to(&[("a@else.example", "250 ok"), ("d@else.example", "250 ok")]), DATA]);
    let partners =
        script(&[BARE, &mail_to(&[("b@partner.example", "250 ok"), ("c@eu.partner.example", "250 ok")]), DATA]);
    let (default, partner) = (Hop::start(&[&ours]).await, Hop::start(&[&partners]).await);
    let relay = two_routes(&default, &partner);

    let batch = ["a@else.example", "b@partner.example", "c@eu.partner.example", "d@else.example"].map(path);
    let mut transaction = relay.begin(sender(&[]), None);
    let replies = transaction.recipients(&batch).await;
    assert_eq!(codes(&replies), [250, 452, 452, 250]);
    assert_eq!(replies[1].enhanced(), Some((4, 5, 3)));
    let later = transaction.recipients(&[path("b@partner.example")]).await;
    assert_eq!(codes(&later), [452]);
    assert_eq!(code(&sent(transaction).await), 250);

    // The client's next transaction.
    let mut transaction = relay.begin(sender(&[]), None);
    assert_eq!(codes(&transaction.recipients(&batch[1..3]).await), [250, 250]);
    assert_eq!(code(&sent(transaction).await), 250);
    assert_eq!(default.bodies().await.len(), 1);
    assert_eq!(partner.bodies().await.len(), 1);
}

#[tokio::test]
async fn a_route_whose_recipients_are_all_refused_fixes_nothing() {
    let refused = script(&[BARE, &mail_to(&[("a@else.example", "550 5.1.1 no")]), "EOF"]);
    let taken = script(&[BARE, &mail_to(&[("b@partner.example", "250 ok")]), DATA]);
    let (default, partner) = (Hop::start(&[&refused]).await, Hop::start(&[&taken]).await);
    let relay = two_routes(&default, &partner);
    let mut transaction = relay.begin(sender(&[]), None);
    let replies = transaction.recipients(&["a@else.example", "b@partner.example"].map(path)).await;
    assert_eq!(codes(&replies), [550, 250]);
    assert_eq!(codes(&transaction.recipients(&[path("a@else.example")]).await), [452]);
    assert_eq!(code(&sent(transaction).await), 250);
    drop(relay);
    default.bodies().await;
    partner.bodies().await;
}

#[tokio::test]
async fn a_refused_sender_of_one_route_may_be_taken_by_the_other() {
    let refused = script(&[BARE, "C MAIL FROM:<ann@ours.example>\nS 550 5.7.1 not you", "EOF"]);
    let taken = script(&[BARE, &mail_to(&[("b@partner.example", "250 ok")]), DATA]);
    let (default, partner) = (Hop::start(&[&refused]).await, Hop::start(&[&taken]).await);
    let relay = two_routes(&default, &partner);
    let mut transaction = relay.begin(sender(&[]), None);
    let batch = ["a@else.example", "b@partner.example"].map(path);
    assert_eq!(codes(&transaction.recipients(&batch).await), [550, 250]);
    assert_eq!(code(&sent(transaction).await), 250);
    drop(relay);
    default.bodies().await;
    partner.bodies().await;
}

#[tokio::test]
async fn the_outbox_splits_by_route_and_one_dead_route_stops_no_other() {
    let ours = script(&[BARE, &mail_to(&[("a@else.example", "250 ok"), ("d@else.example", "550 no")]), DATA]);
    let partners = script(&[BARE, &mail_to(&[("b@partner.example", "250 ok")]), DATA]);
    let (default, partner) = (Hop::start(&[&ours]).await, Hop::start(&[&partners]).await);
    let relay = two_routes(&default, &partner);
    let to = envelope(&["a@else.example", "b@partner.example", "d@else.example"]);
    let outcomes = relay.deliver(&to, outgoing(), in_seconds(5)).await.unwrap();
    assert_eq!(outcomes.iter().map(|outcome| outcome.reply.code()).collect::<Vec<_>>(), [250, 250, 550]);
    assert!(outcomes.iter().zip(&to.recipients).all(|(outcome, recipient)| outcome.recipient == *recipient));
    assert_eq!((default.bodies().await.len(), partner.bodies().await.len()), (1, 1));

    // Both listeners are gone now; a new default takes its mail, the partner's waits.
    let ours = Hop::start(&[&script(&[BARE, &mail_to(&[("a@else.example", "250 ok")]), DATA])]).await;
    let mut settings = two_route_settings(&ours, &ours);
    settings.routes[1].addresses = vec![nobody().await];
    let relay = Relay::new(settings).unwrap();
    let to = envelope(&["b@partner.example", "a@else.example"]);
    let outcomes = relay.deliver(&to, outgoing(), in_seconds(5)).await.unwrap();
    assert_eq!(outcomes.iter().map(|outcome| outcome.reply.code()).collect::<Vec<_>>(), [451, 250]);
    assert_eq!(outcomes[0].reply.enhanced(), Some((4, 4, 1)));
    assert_eq!(relay.states().iter().map(|(_, usable)| *usable).collect::<Vec<_>>(), [true, false]);
    ours.bodies().await;
}

#[tokio::test]
async fn only_what_every_route_has_is_offered_and_the_largest_size() {
    let rich = "S 220 hop\nC EHLO gate.example\nS 250-hop\nS 250-8BITMIME\nS 250-SMTPUTF8\nS 250-DSN\nS 250 SIZE 90000000\nEOF";
    let poor = "S 220 hop\nC EHLO gate.example\nS 250-hop\nS 250-8BITMIME\nS 250 SIZE 10000000\nEOF";
    let (default, partner) = (Hop::start(&[rich]).await, Hop::start(&[poor]).await);
    let relay = two_routes(&default, &partner);
    relay.warm_up();
    let extensions = loop {
        let extensions = relay.extensions();
        if extensions.size > 0 {
            break extensions;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(extensions.eight_bit_mime && !extensions.smtputf8 && !extensions.dsn);
    assert_eq!(extensions.size, 90_000_000);
    drop(relay);
    default.bodies().await;
    partner.bodies().await;
}

#[tokio::test]
async fn a_client_login_goes_to_the_default_route_alone() {
    let ours =
        "S 220 hop\nC EHLO gate.example\nS 250-hop\nS 250 AUTH PLAIN\nC AUTH PLAIN AGFubgBvcGVuIHNlc2FtZQ==\nS 235 ok";
    let ours = script(&[ours, &mail_to(&[("a@else.example", "250 ok")]), DATA]);
    let partners = "S 220 hop\nC EHLO gate.example\nS 250-hop\nS 250 AUTH PLAIN";
    let partners = script(&[partners, &mail_to(&[("b@partner.example", "250 ok")]), DATA]);
    let (default, partner) = (Hop::start(&[&ours]).await, Hop::start(&[&partners]).await);
    let relay = two_routes(&default, &partner);
    for recipient in ["a@else.example", "b@partner.example"] {
        let mut transaction = relay.begin(sender(&[]), Some(super::login::login("ann")));
        assert_eq!(codes(&transaction.recipients(&[path(recipient)]).await), [250]);
        assert_eq!(code(&sent(transaction).await), 250);
    }
    default.bodies().await;
    partner.bodies().await;
}

#[tokio::test]
async fn the_next_address_is_used_when_one_cannot_be() {
    let login = "S 220 hop\nC EHLO gate.example\nS 250-hop\nS 250 AUTH PLAIN\nC AUTH PLAIN AGFubgBvcGVuIHNlc2FtZQ==";
    let empty = String::new();
    for (failing, with_login) in [
        (&empty, false),
        (&"S 421 4.3.2 busy".to_string(), false),
        (&"S 554 5.7.1 not you".to_string(), false),
        (&"WAIT 2000".to_string(), false),
        (&"RAW 220 half".to_string(), false),
        (&"S 220 hop\nC EHLO gate.example\nS 421 4.7.0 later".to_string(), false),
        (&"S 220 hop\nC EHLO gate.example\nS 550 5.7.1 bad name".to_string(), false),
        (&script(&[BARE, "C MAIL FROM:<ann@ours.example>"]), false),
        (&script(&[BARE, "C MAIL FROM:<ann@ours.example>\nS 421 4.3.2 going"]), false),
        (&script(&[BARE, "C MAIL FROM:<ann@ours.example>\nS 250 ok\nC RCPT TO:<bob@else.example>"]), false),
        (&script(&[BARE, "C MAIL FROM:<ann@ours.example>\nS 250 ok\nC RCPT TO:<bob@else.example>\nS 421 x"]), false),
        (&script(&[login, "S 535 5.7.8 no"]), true),
        (&script(&[login, "S 454 4.7.0 later"]), true),
    ] {
        let whole = script(&[&mail_to(&[("bob@else.example", "250 ok")]), DATA]);
        let opening = if with_login { script(&[login, "S 235 ok"]) } else { BARE.to_string() };
        let second = Hop::start(&[&script(&[&opening, &whole])]).await;
        let first = if failing.is_empty() { None } else { Some(Hop::start(&[failing]).await) };
        let dead = nobody().await;
        let mut settings = failover(&[first.as_ref().map_or(&dead, |hop| &hop.address), &second.address]);
        settings.routes[0].login = with_login.then(|| super::login::login("ann"));
        let relay = Relay::new(settings).unwrap();
        let started = Instant::now();
        let (transaction, reply) = begun(&relay).await;
        assert_eq!((reply.code(), transaction.is_blind()), (250, false), "{failing}");
        assert!(started.elapsed() < Duration::from_secs(1), "{failing}");
        assert_eq!(code(&sent(transaction).await), 250, "{failing}");
        assert_eq!(second.bodies().await, [ON_WIRE], "{failing}");
    }
}

#[tokio::test]
async fn what_the_hop_decides_is_not_asked_again_elsewhere() {
    for said in ["550 5.1.8 bad sender", "452 4.3.1 full", "530 5.7.0 login"] {
        let first = Hop::start(&[&script(&[BARE, &format!("C MAIL FROM:<ann@ours.example>\nS {said}")])]).await;
        let relay = Relay::new(failover(&[&first.address, &nobody().await])).unwrap();
        let (_, reply) = begun(&relay).await;
        assert_eq!(reply.code(), if said.starts_with("530") { 451 } else { said[..3].parse().unwrap() });
        first.bodies().await;
    }
}

#[tokio::test]
async fn a_hop_lost_before_the_dot_is_replaced_by_the_next_and_never_behind_it() {
    let whole = script(&[BARE, &mail_to(&[("bob@else.example", "250 ok")]), DATA]);
    let begun_only = script(&[BARE, &mail_to(&[("bob@else.example", "250 ok")])]);
    for (lost, arrives) in [
        (script(&[&begun_only, "C DATA"]), true),
        (script(&[&begun_only, "C DATA\nS 421 4.3.2 going"]), true),
        (script(&[&begun_only, "C DATA\nS 354 go\nBODY"]), false),
        (script(&[&begun_only, "C DATA\nS 354 go\nBODY\nRAW 25"]), false),
    ] {
        let first = Hop::start(&[&lost]).await;
        let second = Hop::start(&[&whole]).await;
        let relay = Relay::new(failover(&[&first.address, &second.address])).unwrap();
        let (transaction, _) = begun(&relay).await;
        let sent = sent(transaction).await;
        if arrives {
            assert_eq!(code(&sent), 250, "{lost}");
            assert_eq!((first.bodies().await.len(), second.bodies().await.len()), (0, 1), "{lost}");
        } else {
            assert!(matches!(&sent, Sent::Unknown(reply) if reply.code() == 451), "{lost}: {sent:?}");
            assert_eq!(first.bodies().await.len(), 1, "{lost}");
        }
    }
}

#[tokio::test]
async fn mail_goes_back_to_the_first_address_once_it_works_again() {
    let once = script(&[&mail_to(&[("bob@else.example", "250 ok")]), DATA]);
    let address = nobody().await;
    let second = Hop::start(&[&script(&[BARE, &once, &once])]).await;
    let mut settings = failover(&[&address, &second.address]);
    settings.limits.shun = Duration::from_millis(400);
    let relay = Relay::new(settings).unwrap();
    for _ in 0..2 {
        assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
    }
    assert_eq!(second.bodies().await.len(), 2);
    let first = Hop::on(TcpListener::bind(&address).await.unwrap(), &[&script(&[BARE, &once])], None);
    // No client pays for the attempt: it is made in the background, and its connection is left for the next.
    let patience = Instant::now() + Duration::from_secs(5);
    while !relay.states()[0].1 && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
    assert_eq!(first.bodies().await.len(), 1);
}

#[tokio::test]
async fn all_dead_is_blind_and_the_dot_is_answered_within_two_seconds() {
    let silent = "WAIT 9000";
    let (first, second) = (Hop::start(&[silent, silent]).await, Hop::start(&[silent, silent]).await);
    let mut settings = failover(&[&first.address, &second.address]);
    settings.limits.banner = Duration::from_millis(300);
    let relay = Relay::new(settings).unwrap();
    let (transaction, reply) = begun(&relay).await;
    assert_eq!((reply.code(), transaction.is_blind()), (250, true));
    let started = Instant::now();
    assert!(matches!(sent(transaction).await, Sent::NotSent(reply) if reply.code() == 451));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_hop_that_accepts_and_stays_silent_costs_no_two_seconds_at_the_dot() {
    // Down at RCPT, and back at the dot but silent; the banner's limit is a minute, as it is by default.
    let address = nobody().await;
    let mut settings = settings(&address, TlsMode::None);
    settings.limits.banner = Duration::from_secs(60);
    let relay = Relay::new(settings).unwrap();
    let (transaction, _) = begun(&relay).await;
    let _back = Hop::on(TcpListener::bind(&address).await.unwrap(), &["WAIT 9000"], None);
    let started = Instant::now();
    assert!(matches!(sent(transaction).await, Sent::NotSent(reply) if reply.code() == 451));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_extension_that_only_the_lost_address_has_is_waited_for() {
    let poor = Hop::start(&["S 220 hop\nC EHLO gate.example\nS 250 hop\nEOF"]).await;
    let relay = Relay::new(failover(&[&nobody().await, &poor.address])).unwrap();
    let mut transaction = relay.begin(sender(&["BODY=8BITMIME"]), None);
    let replies = transaction.recipients(&[path("bob@else.example")]).await;
    assert_eq!(codes(&replies), [451], "550 would be final");
    drop((transaction, relay));
    poor.bodies().await;
}

#[tokio::test]
async fn all_addresses_of_a_name_are_tried() {
    // localhost is ::1 and 127.0.0.1 here, or the latter alone; the hop listens on one of them.
    let hop = Hop::start(&[&script(&[BARE, &mail_to(&[("bob@else.example", "250 ok")]), DATA])]).await;
    let relay = Relay::new(settings(&hop.address.replace("127.0.0.1", "localhost"), TlsMode::None)).unwrap();
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
    hop.bodies().await;

    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let address = listener.local_addr().unwrap().to_string();
    let hop = Hop::on(listener, &[&script(&[BARE, &mail_to(&[("bob@else.example", "250 ok")]), DATA])], None);
    let relay = Relay::new(settings(&address, TlsMode::None)).unwrap();
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
    hop.bodies().await;
}

#[tokio::test]
async fn a_reload_keeps_what_stays_and_lets_go_of_the_rest() {
    let once = script(&[&mail_to(&[("bob@else.example", "250 ok")]), DATA]);
    let stays = Hop::start(&[&script(&[BARE, &once, &once, "C QUIT", "S 221 bye", "EOF"])]).await;
    let other = Hop::start(&[&script(&[BARE, "C QUIT", "S 221 bye", "EOF"]), &script(&[BARE, &once])]).await;
    let relay = Relay::new(settings(&stays.address, TlsMode::None)).unwrap();
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);

    // Another route is added: the first hop keeps its connection.
    let mut routes = settings(&stays.address, TlsMode::None).routes;
    routes.push(RouteSettings {
        domains: vec![Domains::One("partner.example".into())],
        ..RouteSettings::new(vec![other.address.clone()], TlsMode::None)
    });
    relay.reload(routes).unwrap();
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);

    // All mail to the other: the first is told good-bye. What cannot work changes nothing.
    assert!(relay.reload(vec![RouteSettings::new(vec!["nonsense".into()], TlsMode::None)]).is_err());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut next = settings(&other.address, TlsMode::None).routes;
    next[0].login = None;
    relay.reload(next).unwrap();
    assert_eq!(stays.bodies().await.len(), 2);
    // Until the connection made in the background lies idle.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
    assert_eq!(other.bodies().await.len(), 1);
}
