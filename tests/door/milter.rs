//! The milter door: time, faults and the socket. What it says of a message is in tests/doors_agree.rs.

use crate::{
    corridor::{Fake, Shared},
    house::KEY,
    mta::{Mta, Outcome},
};
use outgate::{
    intake::{
        Budget,
        milter::{Bound, Door, Limits, Listen, Settings, bind},
    },
    keys::Keys,
    supervisor::Supervisor,
};
use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};

const MESSAGE: &[u8] = b"From: a@ours.example\r\nSubject: x\r\n\r\nbody\r\n";

struct House {
    fake: Arc<Fake>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

fn settings(limits: Limits) -> Settings {
    Settings {
        listen: Vec::new(),
        socket_mode: 0o600,
        networks: vec!["127.0.0.0/8".parse().unwrap()],
        hostname: "gate.example".into(),
        limits,
    }
}

impl House {
    async fn open(settings: Settings) -> Self {
        let bound = bind(&Listen::Tcp("127.0.0.1:0".parse().unwrap()), 0, &Supervisor::default()).await.unwrap();
        let address = bound.address().unwrap();
        let fake = Fake::new();
        let door = Door::new(settings, Arc::new(Shared(Arc::clone(&fake))), &Keys::new(&KEY), Budget::new(64 << 20));
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(door.serve(vec![bound], stopped));
        Self { fake, address, stop, serving }
    }

    /// Messages from these, one behind the other on one connection, and how often the door said that it is at work.
    async fn hand_in(&self, senders: &'static [&'static str]) -> (Vec<Outcome>, usize) {
        let address = self.address;
        let talk = move || {
            let mut mta = Mta::connect(address).unwrap();
            let from = |local: &&str| format!("{local}@ours.example");
            let all = senders.iter().map(from);
            let outcomes = all.map(|from| mta.hand_in(&from, &["b@elsewhere.example"], MESSAGE).unwrap()).collect();
            let progress = mta.progress;
            mta.quit().unwrap();
            (outcomes, progress)
        };
        tokio::task::spawn_blocking(talk).await.unwrap()
    }
}

fn refused(reply: &str) -> Outcome {
    Outcome::Refused(reply.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_told_that_we_are_at_work() {
    let limits = Limits { progress_every: Duration::from_millis(50), ..Limits::default() };
    let house = House::open(settings(limits)).await;
    let (outcomes, progress) = house.hand_in(&["waits"]).await;
    assert_eq!(outcomes, [Outcome::Discarded]);
    assert!((3..=8).contains(&progress), "300 ms, one each 50 ms: {progress}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_that_is_late_or_fails_is_451_and_the_connection_goes_on() {
    let (answer_within, answer_margin) = (Duration::from_millis(100), Duration::from_millis(50));
    let house = House::open(settings(Limits { answer_within, answer_margin, ..Limits::default() })).await;
    let (outcomes, _) = house.hand_in(&["waits", "panic", "later", "milter"]).await;
    let later = refused("451 4.3.0 Try again later");
    assert_eq!(outcomes[..3], [later.clone(), later.clone(), later]);
    let Outcome::Accepted(bytes) = &outcomes[3] else { panic!("{outcomes:?}") };
    assert!(
        bytes.starts_with(b"Received: from client.ours.example ([192.0.2.77])\r\n\tby gate.example with ESMTP id ")
    );
    assert!(bytes.ends_with(MESSAGE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_is_confirmed_by_the_next_message_and_not_by_quit() {
    let house = House::open(settings(Limits::default())).await;
    let (outcomes, _) = house.hand_in(&["held", "returned", "held"]).await;
    assert_eq!(outcomes, [Outcome::Discarded, refused("550 5.7.1 Clause 4: no chain letters"), Outcome::Discarded]);
    let count = |count: &std::sync::atomic::AtomicUsize| count.load(Ordering::SeqCst);
    for _ in 0..100 {
        if count(&house.fake.unconfirmed) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((count(&house.fake.confirmed), count(&house.fake.unconfirmed)), (1, 1));
}

/// Sendmail uses one connection for several clients: the next one's message says nothing of what the first has heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_client_on_the_connection_confirms_no_hold() {
    let house = House::open(settings(Limits::default())).await;
    let address = house.address;
    let talk = move || {
        let mut mta = Mta::connect(address).unwrap();
        let to = ["b@elsewhere.example"];
        let held = mta.hand_in_as("held@ours.example", &to, MESSAGE, Some("ann")).unwrap();
        mta.send(b'K', b"").unwrap();
        mta.send(b'C', b"other.ours.example\x004\x30\x39192.0.2.78\0").unwrap();
        let next = mta.hand_in("milter@ours.example", &to, MESSAGE).unwrap();
        (held, next)
    };
    let (held, next) = tokio::task::spawn_blocking(talk).await.unwrap();
    assert_eq!(held, Outcome::Discarded);
    assert!(matches!(next, Outcome::Accepted(_)), "{next:?}");
    let count = |count: &std::sync::atomic::AtomicUsize| count.load(Ordering::SeqCst);
    assert_eq!((count(&house.fake.confirmed), count(&house.fake.unconfirmed)), (0, 1));
    let handed = house.fake.handed.lock().unwrap();
    let who = |at: usize| (handed[at].origin.address.to_string(), handed[at].origin.user.is_some());
    assert_eq!([who(0), who(1)], [("192.0.2.77".into(), true), ("192.0.2.78".into(), false)]);
}

/// A login stands for the message that it was told for, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_not_believed_of_the_next_message() {
    let house = House::open(settings(Limits::default())).await;
    let address = house.address;
    let talk = move || {
        let mut mta = Mta::connect(address).unwrap();
        mta.hand_in_as("milter@ours.example", &["b@elsewhere.example"], MESSAGE, Some("ann")).unwrap();
        // The server has no macros for this one.
        mta.send(b'M', b"<milter@ours.example>\0").unwrap();
        mta.send(b'R', b"<b@elsewhere.example>\0").unwrap();
        mta.send(b'E', b"body\r\n").unwrap();
        while mta.receive().unwrap().0 != b'a' {}
    };
    tokio::task::spawn_blocking(talk).await.unwrap();
    let handed = house.fake.handed.lock().unwrap();
    let users: Vec<bool> = handed.iter().map(|submission| submission.origin.user.is_some()).collect();
    assert_eq!(users, [true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_for_nobody_is_not_judged_and_does_not_pass() {
    let house = House::open(settings(Limits::default())).await;
    let address = house.address;
    let talk = move || Mta::connect(address).unwrap().hand_in("milter@elsewhere.example", &[], MESSAGE).unwrap();
    assert_eq!(tokio::task::spawn_blocking(talk).await.unwrap(), refused("451 4.3.0 Try again later"));
    assert!(house.fake.handed.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_or_too_much_is_refused() {
    let limits = Limits { message_size: 20, recipients: 1, ..Limits::default() };
    let house = House::open(settings(limits)).await;
    let address = house.address;
    let talk = move || {
        let mut mta = Mta::connect(address).unwrap();
        let large = mta.hand_in("a@ours.example", &["b@elsewhere.example"], MESSAGE).unwrap();
        let many =
            mta.hand_in("a@ours.example", &["b@elsewhere.example", "c@elsewhere.example"], b"A: b\r\n\r\n").unwrap();
        (large, many)
    };
    let (large, many) = tokio::task::spawn_blocking(talk).await.unwrap();
    assert_eq!(large, refused("552 5.3.4 Message larger than the limit"));
    assert_eq!(many, refused("452 4.5.3 Too many recipients"));
    assert!(house.fake.handed.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_and_too_many_are_turned_away() {
    for settings in [
        Settings { networks: vec!["192.0.2.0/24".parse().unwrap()], ..settings(Limits::default()) },
        settings(Limits { connections: 0, ..Limits::default() }),
    ] {
        let house = House::open(settings).await;
        let address = house.address;
        let talk = move || Mta::connect(address).is_err();
        assert!(tokio::task::spawn_blocking(talk).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_with_its_message_answered() {
    let house = House::open(settings(Limits::default())).await;
    let address = house.address;
    let idle = tokio::net::TcpStream::connect(address).await.unwrap();
    let talk = move || Mta::connect(address).unwrap().hand_in("waits@ours.example", &["b@elsewhere.example"], MESSAGE);
    let talking = tokio::task::spawn_blocking(talk);
    for _ in 0..100 {
        if !house.fake.handed.lock().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    house.stop.send_replace(true);
    assert_eq!(talking.await.unwrap().unwrap(), Outcome::Discarded);
    tokio::time::timeout(Duration::from_secs(5), house.serving).await.expect("it ends").unwrap();
    drop(idle);
}

#[tokio::test]
async fn a_socket_has_its_permissions_and_outlives_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("milter.sock");
    let listen = Listen::Unix(path.clone());
    let first = bind(&listen, 0o660, &Supervisor::default()).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    assert!(bind(&listen, 0o660, &Supervisor::default()).await.is_err(), "it is served");
    // As a crash leaves it: the file without the process.
    let Bound::Unix(listener, file) = first else { panic!("a socket") };
    std::mem::forget(file);
    drop(listener);
    assert!(path.exists());
    let second = bind(&listen, 0o600, &Supervisor::default()).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(second);
    assert!(!path.exists(), "taken away in order");
    std::fs::write(&path, "mine").unwrap();
    assert!(bind(&listen, 0o600, &Supervisor::default()).await.is_err(), "a file that is no socket stays");
}
