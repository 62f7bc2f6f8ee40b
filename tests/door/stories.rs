//! What a transcript cannot tell.

use crate::house::{House, KEY, settings};
use outgate::{
    intake::{Seals, smtp::Peer},
    keys::Keys,
    mail::{SubmissionId, wire::LineEndings},
};
use proptest::{prelude::*, test_runner::TestRunner};
use std::{sync::atomic::Ordering, time::Duration};
use time::OffsetDateTime;

/// Line ends around the dot that some server takes for the end of DATA, and a command behind them.
const FALSE_ENDS: [&[u8]; 13] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n.\r",
    b"\r.\n",
    b"\r\n.\r\r\n",
    b"\n\r.\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\n\r\n",
];

#[tokio::test]
async fn no_false_end_smuggles_a_message() {
    let house = House::open(settings()).await;
    for false_end in FALSE_ENDS {
        for cut in 0..=false_end.len() {
            let mut client = house.greeted().await;
            client.data("a@ours.example").await;
            client.say([b"Subject: x\r\n\r\nbody", &false_end[..cut]].concat()).await;
            tokio::task::yield_now().await;
            client
                .say([&false_end[cut..], b"MAIL FROM:<evil@ours.example>\r\nRCPT TO:<c@there.example>\r\n"].concat())
                .await;
            client.say("DATA\r\nsmuggled\r\n.\r\n").await;
            let reply = client.expect("550 5.6.0").await;
            assert!(reply[0].contains("CR LF") || reply[0].contains("NUL"), "names the fix: {reply:?}");
            client.say("QUIT\r\n").await;
            client.expect("221").await;
        }
    }
    assert!(house.bodies().is_empty(), "nothing is handed on");
}

#[tokio::test]
async fn normalised_false_ends_stay_one_message() {
    let mut settings = settings();
    settings.peers[0].line_endings = LineEndings::Normalise;
    let house = House::open(settings).await;
    for false_end in FALSE_ENDS {
        let mut client = house.greeted().await;
        let reply = client.send(&[b"body", false_end, b"MAIL FROM:<evil@ours.example>\r\n.\r\n"].concat()).await;
        assert_eq!(reply.starts_with("550"), false_end.contains(&0), "{reply}");
    }
    for body in house.bodies() {
        assert!(body.ends_with(b"MAIL FROM:<evil@ours.example>\r\n"));
        let rest = String::from_utf8(body).unwrap().replace("\r\n", "");
        assert!(!rest.contains(['\r', '\n', '\0']));
    }
}

/// Whatever lines a message has and however its bytes arrive: what is handed on is what was sent.
#[test]
fn a_message_is_handed_on_byte_for_byte() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let line = proptest::collection::vec(any::<u8>(), 0..40);
    let lines = proptest::collection::vec((prop::bool::weighted(0.3), line), 0..40);
    let strategy = (lines, proptest::collection::vec(1usize..200, 1..8));
    let mut runner = TestRunner::new(ProptestConfig { cases: 100, ..ProptestConfig::default() });
    let house = runtime.block_on(House::open(settings()));
    let outcome = runner.run(&strategy, |(lines, cuts)| {
        let (mut message, mut wire) = (Vec::new(), Vec::new());
        for (dotted, mut line) in lines {
            line.retain(|byte| !b"\r\n\0".contains(byte));
            if dotted {
                line.insert(0, b'.');
            }
            message.extend([&line[..], b"\r\n"].concat());
            let stuffing: &[u8] = if line.starts_with(b".") { b"." } else { b"" };
            wire.extend([stuffing, &line, b"\r\n"].concat());
        }
        wire.extend(b".\r\n");
        runtime.block_on(async {
            let mut client = house.greeted().await;
            client.data("a@ours.example").await;
            let (mut rest, mut cuts) = (&wire[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                client.say(piece).await;
                tokio::task::yield_now().await;
                rest = behind;
            }
            client.expect("250").await;
        });
        prop_assert_eq!(house.bodies().pop().unwrap(), message);
        Ok(())
    });
    outcome.unwrap();
}

#[tokio::test]
async fn a_large_message_is_handed_on_byte_for_byte() {
    let house = House::open(settings()).await;
    let mut client = house.greeted().await;
    let message: Vec<u8> =
        (0..60_000u32).flat_map(|n| format!("line {n} of a large message\r\n").into_bytes()).collect();
    client
        .say(format!("MAIL FROM:<a@ours.example> SIZE={}\r\nRCPT TO:<b@there.example>\r\nDATA\r\n", message.len()))
        .await;
    for code in ["250", "250", "354"] {
        client.expect(code).await;
    }
    client.say(&message).await;
    assert!(house.door.budget().used() >= message.len() as u64);
    client.say(".\r\n").await;
    client.expect("250").await;
    assert_eq!(house.bodies().pop().unwrap(), message);
    assert_eq!(house.door.budget().used(), 0);
}

#[tokio::test]
async fn the_replies_of_a_group_come_in_one_write() {
    let house = House::open(settings()).await;
    let mut client = house.greeted().await;
    let recipients: String = (0..50).map(|n| format!("RCPT TO:<r{n}@there.example>\r\n")).collect();
    client.say(format!("MAIL FROM:<a@ours.example>\r\n{recipients}DATA\r\n")).await;
    client.more().await;
    let expected = "250 2.1.0 Sender OK\r\n".len() + 50 * "250 2.1.5 Recipient OK\r\n".len();
    assert_eq!(client.unread(), expected + "354 End data with <CR><LF>.<CR><LF>\r\n".len());
    assert_eq!(*house.fake.hop.batches.lock().unwrap(), [50], "one group for the next hop");
}

#[tokio::test]
async fn the_submission_says_all_that_is_known() {
    let house = House::open(settings()).await;
    let mut client = house.greeted().await;
    client
        .say("MAIL FROM:<A@ours.example> SIZE=100 ENVID=q\r\nRCPT TO:<b@there.example> NOTIFY=NEVER\r\nRCPT TO:<nobody@there.example>\r\nDATA\r\n")
        .await;
    for code in ["250", "250", "550", "354"] {
        client.expect(code).await;
    }
    client.say("Received: from before\r\n\tby there\r\nSubject: x\r\n\r\nbody\r\n.\r\n").await;
    client.expect("250").await;
    let handed = house.fake.handed.lock().unwrap();
    let submission = &handed[0];
    assert_eq!(submission.origin.helo, "client.example");
    assert!(submission.origin.esmtp && submission.origin.address.is_loopback());
    assert_eq!(submission.envelope.sender.parameters.len(), 2);
    assert_eq!(submission.envelope.recipients.len(), 1, "only those that were accepted");
    assert_eq!(submission.envelope.recipients[0].parameters[0].as_written(), "NOTIFY=NEVER");
    assert_eq!(submission.trace_end, "Received: from before\r\n\tby there\r\n".len());
    let trace = String::from_utf8(submission.trace.to_vec()).unwrap();
    assert!(trace.starts_with("Received: from client.example ([127.0.0.1])\r\n\tby gate.example with ESMTP id "));
    assert!(trace.ends_with("\r\n") && trace.contains(&submission.id.to_string()));
    assert_eq!(submission.answer_within, Peer::ANSWER_WITHIN);
    assert_eq!(submission.passed, None);
}

#[tokio::test]
async fn the_retry_of_a_message_has_its_key() {
    let house = House::open(settings()).await;
    for received in ["one", "two"] {
        let mut client = house.greeted().await;
        client.send(format!("Received: {received}\r\nSubject: x\r\n\r\nbody\r\n.\r\n").as_bytes()).await;
    }
    let mut client = house.greeted().await;
    client.send(b"Subject: y\r\n\r\nbody\r\n.\r\n").await;
    let keys: Vec<_> = house.fake.handed.lock().unwrap().iter().map(|submission| submission.retry_key).collect();
    assert_eq!(keys[0], keys[1], "the trace of the way is not in the key");
    assert_ne!(keys[0], keys[2]);
}

#[tokio::test]
async fn a_message_that_goes_in_a_circle_is_stopped() {
    let house = House::open(settings()).await;
    let mut message = b"Subject: x\r\n\r\nbody\r\n".to_vec();
    for pass in 0..3 {
        let mut client = house.greeted().await;
        let reply = client.send(&[&message[..], b".\r\n"].concat()).await;
        assert_eq!(&reply[..9], if pass < 2 { "250 2.0.0" } else { "554 5.4.6" });
        let handed = house.fake.handed.lock().unwrap();
        message = [&handed.last().unwrap().trace[..], &message].concat();
    }
    assert_eq!(house.fake.handed.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_valid_pass_is_taken_out_and_any_other_stays() {
    let house = House::open(settings()).await;
    let seals = Seals::new(&Keys::new(&KEY));
    let (case, message) = (SubmissionId::fresh(), "Subject: x\r\n\r\nbody\r\n");
    let soon = OffsetDateTime::now_utc() + Duration::from_secs(60);
    let valid = seals.pass_header(case, soon, message.as_bytes());
    let old = seals.pass_header(case, OffsetDateTime::now_utc(), message.as_bytes());
    for (pass, passed, arrives) in [
        (&valid, Some(case), format!("Received: by hop\r\n{message}")),
        (&old, None, format!("Received: by hop\r\n{old}{message}")),
    ] {
        let mut client = house.greeted().await;
        client.send(format!("Received: by hop\r\n{pass}{message}.\r\n").as_bytes()).await;
        let handed = house.fake.handed.lock().unwrap().pop().unwrap();
        assert_eq!(handed.passed, passed);
        assert_eq!(handed.message.read(0..handed.message.len()), arrives.as_bytes());
        assert_eq!(handed.trace_end, arrives.len() - message.len());
    }
}

#[tokio::test]
async fn who_talks_before_the_banner_is_sent_away() {
    let house = House::open(settings()).await;
    // On one thread the door has not looked at the connection before this is written.
    let mut client = house.client().await;
    client.say("EHLO client.example\r\n").await;
    client.expect("554 5.5.0").await;
    assert_eq!(client.line().await, None);
}

#[tokio::test]
async fn stopping_lets_transactions_finish_and_sends_idle_clients_away() {
    let house = House::open(settings()).await;
    let mut idle = house.greeted().await;
    let mut amid = house.greeted().await;
    let mut walking = house.greeted().await;
    amid.data("a@ours.example").await;
    walking.data("waits@ours.example").await;
    walking.say("x\r\n.\r\n").await;
    house.until("the walk began", |house| house.fake.handed.lock().unwrap().len() == 1).await;
    house.stop.send_replace(true);
    idle.expect("421 4.3.2").await;
    assert_eq!(idle.line().await, None);
    amid.say("rest\r\n.\r\n").await;
    amid.expect("250 2.0.0").await;
    amid.expect("421 4.3.2").await;
    walking.expect("250 2.0.0 Taken").await;
    walking.expect("421 4.3.2").await;
    drop((idle, amid, walking));
    tokio::time::timeout(Duration::from_secs(3), house.serving).await.expect("all sessions end").unwrap();
    assert!(tokio::net::TcpStream::connect(house.address).await.is_err(), "no new connections");
    assert_eq!(house.fake.handed.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_late_walk_goes_on_and_is_not_confirmed() {
    let mut settings = settings();
    settings.peers[0].answer_within = Duration::from_millis(50);
    settings.limits.answer_margin = Duration::from_millis(50);
    let house = House::open(settings).await;
    let mut client = house.greeted().await;
    client.data("waits@ours.example").await;
    client.say("x\r\n.\r\nNOOP\r\n").await;
    client.expect("451 4.3.0").await;
    client.expect("250").await;
    house.until("the walk ended", |house| house.fake.unconfirmed.load(Ordering::SeqCst) == 1).await;
    assert_eq!(house.fake.confirmed.load(Ordering::SeqCst), 0);
    house.until("its memory is back", |house| house.door.budget().used() == 0).await;
}

#[tokio::test]
async fn the_memory_of_all_messages_has_one_limit() {
    let mut settings = settings();
    settings.limits.memory = 100_000;
    let house = House::open(settings).await;
    let mut first = house.greeted().await;
    first.say("MAIL FROM:<a@ours.example> SIZE=90000\r\n").await;
    first.expect("250").await;
    let mut second = house.greeted().await;
    second.say("MAIL FROM:<a@ours.example> SIZE=10000\r\n").await;
    second.expect("452 4.3.1").await;
    first.say("RSET\r\n").await;
    first.expect("250").await;
    second.say("MAIL FROM:<a@ours.example> SIZE=10000\r\n").await;
    second.expect("250").await;
    drop(second);
    house.until("a lost connection gives back", |house| house.door.budget().used() == 0).await;
}

#[tokio::test]
async fn a_slow_sender_is_not_waited_for() {
    let mut settings = settings();
    settings.limits.data_grace = Duration::from_millis(900);
    let house = House::open(settings).await;
    let mut client = house.greeted().await;
    client.data("a@ours.example").await;
    for _ in 0..13 {
        client.say("x").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    client.expect("421 4.4.2").await;
    assert!(house.bodies().is_empty());
}
