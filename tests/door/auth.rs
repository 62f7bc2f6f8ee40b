//! Logins: what is taken, what is refused, and how often one may try.

use crate::{
    certificates::Authority,
    corridor::PASSWORD,
    house::{Client, House, settings},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use outgate::{
    intake::{
        Pace,
        smtp::{Auth, Settings},
    },
    mail::Certainty,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_rustls::rustls::ClientConfig;

struct Logins {
    house: House,
    config: Arc<ClientConfig>,
}

async fn open(change: impl FnOnce(&mut Settings)) -> Logins {
    let authority = Authority::new();
    let tls = Some(authority.issue("gate.example").settings(&authority));
    let mut settings = Settings { tls, auth: Auth::Accounts, peers: Vec::new(), ..settings() };
    settings.limits.failed_login_wait = Duration::ZERO;
    settings.limits.failures_of_account = Pace { at_once: 1_000, every: Duration::from_secs(1) };
    settings.limits.failures_of_network = Pace { at_once: 1_000, every: Duration::from_secs(1) };
    change(&mut settings);
    Logins { house: House::open(settings).await, config: authority.client(None) }
}

impl Logins {
    async fn client(&self) -> Client {
        self.house.secured(&self.config).await
    }

    /// From another address of this machine.
    async fn client_from(&self, address: &str) -> Client {
        let mut client = self.house.client_from(address).await;
        client.expect("220").await;
        client.say("EHLO client.example\r\n").await;
        client.expect("250").await;
        client.say("STARTTLS\r\n").await;
        client.expect("220").await;
        client.secure(&self.config).await.unwrap();
        client.say("EHLO client.example\r\n").await;
        client.expect("250").await;
        client
    }
}

fn plain(user: &str, password: &str) -> String {
    STANDARD.encode(format!("\0{user}\0{password}"))
}

async fn try_once(client: &mut Client, user: &str, password: &str) -> String {
    client.say(format!("AUTH PLAIN {}\r\n", plain(user, password))).await;
    client.expect("").await.remove(0)
}

#[tokio::test]
async fn the_ways_to_log_in() {
    let logins = open(|_| ()).await;
    let (user, password) = (STANDARD.encode("Ann@ours.example"), STANDARD.encode(PASSWORD));
    let good = plain("ann@ours.example", PASSWORD);
    let itself = STANDARD.encode(format!("ann@ours.example\0ann@ours.example\0{PASSWORD}"));
    let another = STANDARD.encode(format!("boss@ours.example\0ann@ours.example\0{PASSWORD}"));
    let four = STANDARD.encode(format!("\0ann@ours.example\0{PASSWORD}\0"));
    for (said, answers, outcome) in [
        (format!("AUTH PLAIN {good}"), vec![], "235 2.7.0"),
        (format!("auth plain {good}"), vec![], "235 2.7.0"),
        ("AUTH PLAIN".into(), vec![&*good], "235 2.7.0"),
        (format!("AUTH PLAIN {itself}"), vec![], "235 2.7.0"),
        ("AUTH LOGIN".into(), vec![&*user, &*password], "235 2.7.0"),
        (format!("AUTH LOGIN {user}"), vec![&*password], "235 2.7.0"),
        (format!("AUTH PLAIN {}", plain("ann@ours.example", "wrong")), vec![], "535 5.7.8"),
        (format!("AUTH PLAIN {}", plain("nobody@ours.example", PASSWORD)), vec![], "535 5.7.8"),
        (format!("AUTH PLAIN {}", plain("gone@ours.example", PASSWORD)), vec![], "535 5.7.8"),
        (format!("AUTH PLAIN {}", plain("", PASSWORD)), vec![], "535 5.7.8"),
        (format!("AUTH PLAIN {}", plain("down", PASSWORD)), vec![], "454 4.7.0"),
        (format!("AUTH PLAIN {another}"), vec![], "501 5.5.2"),
        (format!("AUTH PLAIN {four}"), vec![], "501 5.5.2"),
        ("AUTH PLAIN =".into(), vec![], "501 5.5.2"),
        ("AUTH PLAIN !!".into(), vec![], "501 5.5.2"),
        ("AUTH PLAIN".into(), vec!["*"], "501 5.7.0"),
        ("AUTH LOGIN".into(), vec![&*user, "*"], "501 5.7.0"),
        ("AUTH LOGIN".into(), vec![&*user, "/w=="], "501 5.5.2"),
        ("AUTH CRAM-MD5".into(), vec![], "504 5.5.4"),
        ("AUTH".into(), vec![], "501 5.5.4"),
    ] {
        let mut client = logins.client().await;
        client.say(format!("{said}\r\n")).await;
        for answer in answers {
            client.expect("334 ").await;
            client.say(format!("{answer}\r\n")).await;
        }
        client.expect(outcome).await;
        client.say("NOOP\r\n").await;
        client.expect("250").await;
    }
}

#[tokio::test]
async fn who_logged_in_may_send_as_us_and_the_message_says_who() {
    let logins = open(|_| ()).await;
    let mut client = logins.client().await;
    client.say("MAIL FROM:<ann@ours.example>\r\n").await;
    client.expect("530 5.7.0").await;
    assert!(try_once(&mut client, "Ann@Ours.example", PASSWORD).await.starts_with("235"));
    assert!(try_once(&mut client, "ann@ours.example", PASSWORD).await.starts_with("503"), "once");
    client.say("EHLO client.example\r\n").await;
    assert!(!client.expect("250").await.iter().any(|line| line.contains("STARTTLS")));
    client.say("MAIL FROM:<ann@else.example>\r\n").await;
    client.expect("550 5.7.1").await;
    assert_eq!(client.send(b"Subject: x\r\n\r\nx\r\n.\r\n").await, "250 2.0.0 Queued");
    client.say("MAIL FROM:<ann@ours.example>\r\nRCPT TO:<b@there.example>\r\nAUTH PLAIN\r\n").await;
    for code in ["250", "250", "503 5.5.1"] {
        client.expect(code).await;
    }
    let handed = logins.house.fake.handed.lock().unwrap();
    let user = handed[0].origin.user.clone().unwrap();
    assert_eq!((user.name.expose().as_str(), user.certainty), ("ann@ours.example", Certainty::Authenticated));
    assert!(String::from_utf8_lossy(&handed[0].trace).contains(" with ESMTPSA id "));
    assert!(
        !String::from_utf8_lossy(&handed[0].trace).contains("ann@"),
        "the world need not know what people log in as"
    );
    drop(handed);
    assert_eq!(*logins.house.fake.identities.lock().unwrap(), [None, None], "our accounts are not the next hop's");
}

#[tokio::test]
async fn a_password_in_clear_is_not_taken() {
    let logins = open(|_| ()).await;
    let mut client = logins.house.client().await;
    client.expect("220").await;
    client.say("EHLO client.example\r\n").await;
    assert!(!client.expect("250").await.iter().any(|line| line.contains("AUTH")), "not offered");
    assert!(try_once(&mut client, "ann@ours.example", PASSWORD).await.starts_with("538 5.7.11"));
    let house = House::open(settings()).await;
    let mut client = house.greeted().await;
    assert!(try_once(&mut client, "ann@ours.example", PASSWORD).await.starts_with("502 5.5.1"), "no logins here");
}

#[tokio::test]
async fn commands_behind_a_login_are_not_obeyed() {
    let logins = open(|_| ()).await;
    let mut client = logins.client().await;
    let login = plain("ann@ours.example", PASSWORD);
    client.say(format!("AUTH PLAIN {login}\r\nMAIL FROM:<ann@ours.example>\r\n")).await;
    client.expect("554 5.5.0").await;
    assert_eq!(client.line().await, None);
}

#[tokio::test]
async fn a_login_is_passed_through_with_its_messages() {
    let logins = open(|settings| settings.auth = Auth::NextHop).await;
    let mut client = logins.client().await;
    assert!(try_once(&mut client, "ann@ours.example", "wrong").await.starts_with("535"));
    assert!(try_once(&mut client, "ann@ours.example", PASSWORD).await.starts_with("235"));
    assert_eq!(client.send(b"Subject: x\r\n\r\nx\r\n.\r\n").await, "250 2.0.0 Queued");
    assert_eq!(*logins.house.fake.identities.lock().unwrap(), [Some("ann@ours.example".to_string())]);
}

#[tokio::test]
async fn guessing_is_slow_by_network_and_hits_nobody_else() {
    let logins = open(|settings| {
        settings.limits.failures_of_network = Pace { at_once: 10, every: Duration::from_secs(60) };
    })
    .await;
    let mut answered = 0;
    for number in 0..100 {
        let mut client = logins.client().await;
        let said = try_once(&mut client, &format!("user{number}@ours.example"), "a guess").await;
        if said.starts_with("535") {
            answered += 1;
        } else {
            assert!(said.starts_with("421 4.7.0"), "{said}");
            assert_eq!(client.line().await, None);
        }
    }
    assert_eq!(answered, 10, "of 100 tries");
    let mut barred = logins.client().await;
    assert!(
        try_once(&mut barred, "ann@ours.example", PASSWORD).await.starts_with("421"),
        "from there: not even rightly"
    );
    let mut elsewhere = logins.client_from("127.0.1.1").await;
    assert!(try_once(&mut elsewhere, "ann@ours.example", PASSWORD).await.starts_with("235"));
}

#[tokio::test]
async fn guessing_one_account_is_slow_from_everywhere_but_its_owner_stays_in() {
    let logins = open(|settings| {
        settings.limits.failures_of_account = Pace { at_once: 5, every: Duration::from_secs(120) };
    })
    .await;
    let mut owner = logins.client_from("127.0.9.1").await;
    assert!(try_once(&mut owner, "ann@ours.example", PASSWORD).await.starts_with("235"));
    let mut answered = 0;
    for number in 1..=8 {
        let mut client = logins.client_from(&format!("127.0.{number}.1")).await;
        answered += usize::from(try_once(&mut client, "ann@ours.example", "a guess").await.starts_with("535"));
    }
    assert_eq!(answered, 5);
    let mut stranger = logins.client_from("127.0.20.1").await;
    assert!(try_once(&mut stranger, "ANN@ours.example", PASSWORD).await.starts_with("421"));
    let mut again = logins.client_from("127.0.9.7").await;
    assert!(try_once(&mut again, "ann@ours.example", PASSWORD).await.starts_with("235"), "where she is known");
}

#[tokio::test]
async fn many_tries_at_once_are_no_more_than_one_by_one() {
    let logins = open(|settings| {
        settings.limits.failures_of_network = Pace { at_once: 10, every: Duration::from_secs(60) };
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.push(logins.client().await);
    }
    let tries = clients
        .into_iter()
        .map(|mut client| async move { try_once(&mut client, "ann@ours.example", "a guess").await.starts_with("535") });
    let mut running = tokio::task::JoinSet::new();
    tries.for_each(|one| drop(running.spawn(one)));
    let answered = running.join_all().await.into_iter().filter(|answered| *answered).count();
    assert_eq!(answered, 10);
}

/// Whoever measures how long an answer takes does not learn who has an account.
#[tokio::test]
async fn an_unknown_user_costs_the_same_work() {
    let logins = open(|_| ()).await;
    let mut client = logins.client().await;
    let mut fastest = [Duration::MAX; 3];
    let alike = |fastest: &[Duration; 3]| *fastest.iter().max().unwrap() < *fastest.iter().min().unwrap() * 2;
    // The first round warms up what is made once. On a busy machine the fastest of a few says nothing: work that is the same
    // comes to the same at last, and work that is not never does.
    for round in 0..40 {
        if round > 2 && alike(&fastest) {
            return;
        }
        for (at, user) in ["ann@ours.example", "nobody@ours.example", "gone@ours.example"].into_iter().enumerate() {
            let started = Instant::now();
            client.say(format!("AUTH PLAIN {}\r\n", plain(user, "a guess"))).await;
            let reply = client.expect("").await;
            if reply[0].starts_with("421") || round % 3 == 2 {
                client = logins.client().await;
            } else if round > 0 {
                fastest[at] = fastest[at].min(started.elapsed());
            }
        }
    }
    panic!("{fastest:?}");
}

#[tokio::test]
async fn an_account_sends_at_its_pace() {
    let logins = open(|settings| {
        settings.limits.account_messages = Pace { at_once: 2, every: Duration::from_secs(60) };
    })
    .await;
    for outcome in ["250", "250", "451 4.7.1"] {
        let mut client = logins.client().await;
        assert!(try_once(&mut client, "ann@ours.example", PASSWORD).await.starts_with("235"));
        client.say("MAIL FROM:<ann@ours.example>\r\n").await;
        client.expect(outcome).await;
    }
}
