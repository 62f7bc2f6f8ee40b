//! Hops that refuse, close, stall and babble.

use super::*;
use tokio::net::TcpListener;

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_hop_that_refuses_connections_makes_a_blind_transaction_and_a_quick_451() {
    let relay = Relay::new(settings(&nobody().await, TlsMode::None)).unwrap();
    let (transaction, reply) = begun(&relay).await;
    assert_eq!((reply.code(), reply.enhanced(), transaction.is_blind()), (250, Some((2, 1, 5)), true));
    let started = Instant::now();
    assert!(matches!(sent(transaction).await, Sent::NotSent(reply) if reply.code() == 451));
    assert!(started.elapsed() < Duration::from_secs(2));
    let failed = relay.deliver(&envelope(&["bob@else.example"]), outgoing(), in_seconds(5)).await;
    assert!(failed.is_err());
}

#[tokio::test]
async fn a_black_hole_is_blind_after_its_limit_and_then_at_once() {
    // A banner never comes.
    let hop = Hop::start(&["WAIT 1000"]).await;
    let relay = impatient(&hop);
    let (transaction, _) = begun(&relay).await;
    assert!(transaction.is_blind());
    let started = Instant::now();
    let (transaction, reply) = begun(&relay).await;
    assert_eq!((reply.code(), transaction.is_blind()), (250, true));
    assert!(started.elapsed() < Duration::from_millis(400));
    hop.bodies().await;
}

#[tokio::test]
async fn faults_before_mail_are_ours() {
    for before in [
        "S 421 4.3.2 busy",
        "S 554 5.7.1 not you",
        "S 220 hop\nC EHLO gate.example\nS 550 5.7.1 bad name",
        "S 220 hop\nC EHLO gate.example\nS 421 4.7.0 later",
        "S 220 hop\nC EHLO gate.example\nS 500 what\nC HELO gate.example\nS 500 what",
        "S SSH-2.0-x",
        "RAW 220 hop\\n",
        "S 354 go",
        "S 220-hop\nS 250 mixed",
    ] {
        let hop = Hop::start(&[before]).await;
        let relay = relay(&hop);
        let (transaction, reply) = begun(&relay).await;
        assert_eq!((reply.code(), transaction.is_blind()), (451, false), "{before}");
        assert!(matches!(sent(transaction).await, Sent::NotSent(reply) if reply.code() == 451));
        hop.bodies().await;
    }
}

#[tokio::test]
async fn a_hop_that_closes_before_any_answer_is_not_reached() {
    for closing in [
        "WAIT 0",
        "S 220 hop\nC EHLO gate.example",
        &script(&[GREETING, "C MAIL FROM:<ann@ours.example>"]),
        &script(&[GREETING, "C MAIL FROM:<ann@ours.example>", "RAW 25"]),
        &script(&[GREETING, "C MAIL FROM:<ann@ours.example>", "S 250 ok"]),
    ] {
        let hop = Hop::start(&[closing]).await;
        let relay = relay(&hop);
        let (transaction, reply) = begun(&relay).await;
        assert_eq!((reply.code(), transaction.is_blind()), (250, true), "{closing}");
        hop.bodies().await;
    }
}

#[tokio::test]
async fn refusals_of_mail_are_every_recipients_answer() {
    for (said, told) in [
        ("550 5.1.8 bad sender", 550),
        ("452 4.3.1 full", 452),
        ("421 4.7.0 going", 451),
        ("530 5.7.0 STARTTLS first", 451),
        ("535 5.7.8 login", 451),
        ("538 5.7.11 encrypt", 451),
        ("354 what", 451),
    ] {
        let conversation = script(&[
            GREETING,
            "C MAIL FROM:<ann@ours.example>\nc RCPT TO:<b@else.example>\nc RCPT TO:<c@else.example>",
            &format!("S {said}"),
            "S 503 no mail\nS 503 no mail",
        ]);
        let hop = Hop::start(&[&conversation]).await;
        let relay = relay(&hop);
        let mut transaction = relay.begin(sender(&[]), None);
        let replies = transaction.recipients(&[path("b@else.example"), path("c@else.example")]).await;
        assert!(replies.iter().all(|reply| reply.code() == told), "{said}: {replies:?}");
        let later = transaction.recipients(&[path("d@else.example")]).await;
        assert_eq!((later[0].code(), transaction.is_blind()), (told, false), "{said}");
        hop.bodies().await;
    }
}

#[tokio::test]
async fn refusals_of_rcpt_data_and_the_message_keep_their_class() {
    for (said, told) in [
        ("550 5.7.1 no", 550),
        ("450 4.2.0 later", 450),
        ("530 5.7.0 login", 451),
        ("554 5.7.1 spam", 554),
        ("452 4.3.1 full", 452),
    ] {
        let rcpt = format!("C MAIL FROM:<ann@ours.example>\nc RCPT TO:<bob@else.example>\nS 250 ok\nS {said}\nEOF");
        let hop = Hop::start(&[&script(&[GREETING, &rcpt])]).await;
        let (transaction, reply) = begun(&relay(&hop)).await;
        assert_eq!(reply.code(), told, "RCPT {said}");
        drop(transaction);
        hop.bodies().await;
        for data in [format!("C DATA\nS {said}"), format!("C DATA\nS 354 go\nBODY\nS {said}")] {
            let hop = Hop::start(&[&script(&[GREETING, ENVELOPE, &data])]).await;
            let relay = relay(&hop);
            let answer = sent(begun(&relay).await.0).await;
            assert!(matches!(&answer, Sent::Replied(reply) if reply.code() == told), "{data}: {answer:?}");
            hop.bodies().await;
        }
    }
}

#[tokio::test]
async fn some_recipients_refused_in_six_patterns() {
    for pattern in
        [[250, 550, 250], [550, 250, 250], [250, 250, 550], [450, 250, 550], [550, 450, 250], [550, 550, 550]]
    {
        let answers: Vec<_> = pattern.iter().map(|code| format!("S {code} x")).collect();
        let conversation = script(&[
            GREETING,
            "C MAIL FROM:<ann@ours.example>\nc RCPT TO:<a@x.example>\nc RCPT TO:<b@x.example>\nc RCPT TO:<c@x.example>",
            "S 250 ok",
            &answers.join("\n"),
            if pattern.contains(&250) { DATA } else { "EOF" },
        ]);
        let hop = Hop::start(&[&conversation]).await;
        let relay = relay(&hop);
        let mut transaction = relay.begin(sender(&[]), None);
        let batch = [path("a@x.example"), path("b@x.example"), path("c@x.example")];
        let codes: Vec<_> = transaction.recipients(&batch).await.iter().map(Reply::code).collect();
        assert_eq!(codes, pattern);
        if pattern.contains(&250) {
            assert_eq!(code(&sent(transaction).await), 250);
        } else {
            drop((transaction, relay));
        }
        hop.bodies().await;
    }
}

#[tokio::test]
async fn a_421_among_the_recipients_ends_it_without_losing_the_accepted() {
    let closing = script(&[
        GREETING,
        "C MAIL FROM:<ann@ours.example>\nc RCPT TO:<a@x.example>\nc RCPT TO:<b@x.example>",
        "S 250 ok\nS 250 ok\nS 421 4.3.2 shutting down",
    ]);
    let again = "C MAIL FROM:<ann@ours.example>\nc RCPT TO:<a@x.example>\nS 250 ok\nS 250 ok";
    let hop = Hop::start(&[&closing, &script(&[GREETING, again, DATA])]).await;
    let relay = relay(&hop);
    let mut transaction = relay.begin(sender(&[]), None);
    let replies = transaction.recipients(&[path("a@x.example"), path("b@x.example")]).await;
    assert_eq!(replies.iter().map(Reply::code).collect::<Vec<_>>(), [250, 451]);
    assert_eq!(code(&sent(transaction).await), 250);
    hop.bodies().await;
}

#[tokio::test]
async fn a_hop_lost_before_the_dot_is_tried_once_more() {
    let whole = script(&[GREETING, ENVELOPE, DATA]);
    for lost in [
        script(&[GREETING, ENVELOPE]),
        script(&[GREETING, ENVELOPE, "S 421 4.4.2 you were idle"]),
        script(&[GREETING, ENVELOPE, "C DATA"]),
        script(&[GREETING, ENVELOPE, "C DATA", "S 421 4.3.2 shutting down"]),
    ] {
        let hop = Hop::start(&[&lost, &whole]).await;
        let relay = relay(&hop);
        let (transaction, _) = begun(&relay).await;
        assert_eq!(code(&sent(transaction).await), 250, "{lost}");
        assert_eq!(hop.bodies().await, [ON_WIRE]);

        let hop = Hop::start(&[&lost, &lost]).await;
        let relay = super::relay(&hop);
        let (transaction, _) = begun(&relay).await;
        assert!(matches!(sent(transaction).await, Sent::NotSent(reply) if reply.code() == 451), "{lost}");
        assert!(hop.bodies().await.is_empty());
    }
}

#[tokio::test]
async fn a_hop_that_closes_in_mid_message_is_tried_once_more() {
    let lost = script(&[GREETING, ENVELOPE, "C DATA", "S 354 go", "PART"]);
    let hop = Hop::start(&[&lost, &script(&[GREETING, ENVELOPE, DATA])]).await;
    let relay = relay(&hop);
    let (transaction, _) = begun(&relay).await;
    let message = "a long line of the message\r\n".repeat(1_000_000).into_bytes();
    let length = message.len();
    let sent = transaction.send(Outgoing::bytes(Arc::from(&b""[..]), message), in_seconds(15)).await;
    assert_eq!(code(&sent), 250);
    let bodies = hop.bodies().await;
    assert_eq!((bodies.len(), bodies[0].len()), (1, length + 3));
}

#[tokio::test]
async fn a_reason_given_before_closing_in_mid_message_is_passed_on() {
    let full = script(&[GREETING, ENVELOPE, "C DATA", "S 354 go", "PART", "S 552 5.3.4 too big", "WAIT 100"]);
    let hop = Hop::start(&[&full]).await;
    let relay = relay(&hop);
    let (transaction, _) = begun(&relay).await;
    let message = "a long line of the message\r\n".repeat(1_000_000).into_bytes();
    let sent = transaction.send(Outgoing::bytes(Arc::from(&b""[..]), message), in_seconds(15)).await;
    assert!(matches!(&sent, Sent::Replied(reply) if reply.code() == 552), "{sent:?}");
    hop.bodies().await;
}

#[tokio::test]
async fn a_blind_transaction_is_replayed_only_with_the_same_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    for (answer, arrives) in [("S 250 ok", true), ("S 550 5.1.1 unknown", false), ("S 450 4.2.1 later", false)] {
        let relay = Relay::new(settings(&address, TlsMode::None)).unwrap();
        let (transaction, _) = begun(&relay).await;
        assert!(transaction.is_blind());
        let listener = TcpListener::bind(&address).await.unwrap();
        let body = if arrives { DATA } else { "EOF" };
        let opening = "C MAIL FROM:<ann@ours.example>\nc RCPT TO:<bob@else.example>\nS 250 ok";
        let hop = Hop::on(listener, &[&script(&[GREETING, opening, answer, body])], None);
        let answer = sent(transaction).await;
        assert_eq!(matches!(&answer, Sent::Replied(reply) if reply.code() == 250), arrives, "{answer:?}");
        assert!(arrives || matches!(&answer, Sent::NotSent(reply) if reply.code() == 451));
        drop(relay);
        assert_eq!(hop.bodies().await.len(), usize::from(arrives));
    }
}

#[tokio::test]
async fn lost_between_dot_and_reply_is_unknown_and_never_sent_again() {
    for end in ["WAIT 0", "RAW 25", "S 3xx", "S 354 go", "S 250-ok\nS 550 no"] {
        let hop = Hop::start(&[&script(&[GREETING, ENVELOPE, "C DATA\nS 354 go\nBODY", end])]).await;
        let relay = relay(&hop);
        let (transaction, _) = begun(&relay).await;
        let answer = sent(transaction).await;
        assert!(matches!(&answer, Sent::Unknown(reply) if reply.code() == 451), "{end}: {answer:?}");
        assert_eq!(hop.bodies().await.len(), 1, "{end}");
    }
}

#[tokio::test]
async fn a_late_reply_comes_true_in_the_background() {
    for (said, told) in [("S 250 2.0.0 queued", Some(250)), ("S 550 5.7.1 no", Some(550)), ("WAIT 0", None)] {
        let late = script(&[GREETING, ENVELOPE, "C DATA\nS 354 go\nBODY\nWAIT 1500", said]);
        let hop = Hop::start(&[&late]).await;
        let relay = relay(&hop);
        let (transaction, _) = begun(&relay).await;
        let started = Instant::now();
        let sent = transaction.send(outgoing(), started + Duration::from_millis(150)).await;
        assert!(started.elapsed() < Duration::from_millis(1_200));
        let Sent::Late(receiver) = sent else { panic!("{said}: {sent:?}") };
        assert_eq!(receiver.await.unwrap().map(|reply| reply.code()), told);
        hop.bodies().await;
    }
}

#[tokio::test]
async fn our_clock_ends_before_the_dot() {
    let stalled = script(&[GREETING, ENVELOPE, "C DATA\nWAIT 400"]);
    let hop = Hop::start(&[&stalled]).await;
    let relay = relay(&hop);
    let (transaction, _) = begun(&relay).await;
    let sent = transaction.send(outgoing(), Instant::now() + Duration::from_millis(100)).await;
    assert!(matches!(sent, Sent::NotSent(reply) if reply.code() == 451));
    assert!(hop.bodies().await.is_empty());
}

#[tokio::test]
async fn slow_and_broken_up_replies_are_read_and_too_slow_ones_given_up() {
    let slow = "C MAIL FROM:<ann@ours.example>
        c RCPT TO:<bob@else.example>
        RAW 250-2.1.0 o
        WAIT 20
        RAW k\\r
        WAIT 20
        RAW \\n250 2.1.0 ok\\r\\n250
        WAIT 20
        RAW  2.1.5 fine\\r\\n
        C DATA
        SLOW 354 go ahead
        BODY
        SLOW 250 2.0.0 queued";
    let hop = Hop::start(&[&script(&[GREETING, slow])]).await;
    let relay = relay(&hop);
    let (transaction, reply) = begun(&relay).await;
    assert_eq!(reply.lines(), ["fine"]);
    assert_eq!(code(&sent(transaction).await), 250);
    hop.bodies().await;

    let drip = "C MAIL FROM:<ann@ours.example>\nRAW 2\nWAIT 250\nRAW 5\nWAIT 250\nRAW 0\nWAIT 250\nRAW  ok";
    let hop = Hop::start(&[&script(&[GREETING, drip])]).await;
    let (transaction, _) = begun(&impatient(&hop)).await;
    assert!(transaction.is_blind(), "one byte now and then does not keep us");
    hop.bodies().await;
}

#[tokio::test]
async fn a_reply_of_a_million_bytes_is_cut() {
    let huge = "C DATA\nS 354 go\nBODY\nHUGE 554 1000000";
    let hop = Hop::start(&[&script(&[GREETING, ENVELOPE, huge])]).await;
    let relay = relay(&hop);
    let Sent::Replied(reply) = sent(begun(&relay).await.0).await else { panic!("no reply") };
    assert_eq!((reply.code(), reply.enhanced(), reply.lines().len()), (554, Some((5, 7, 1)), 5));
    assert!(reply.lines().iter().all(|line| line.len() == 400));
    hop.bodies().await;
}

#[tokio::test]
async fn what_is_not_fit_for_smtp_is_never_sent() {
    for bad in [&b"a\nb\r\n"[..], b"a\rb\r\n", b"a\0b\r\n", b"a\r\n.\r"] {
        let hop = Hop::start(&[&script(&[GREETING, ENVELOPE, "EOF"])]).await;
        let relay = relay(&hop);
        let (transaction, _) = begun(&relay).await;
        let sent = transaction.send(Outgoing::bytes(Arc::from(&b""[..]), bad.to_vec()), in_seconds(5)).await;
        assert!(matches!(sent, Sent::NotSent(reply) if reply.code() == 451));
        drop(relay);
        assert!(hop.bodies().await.is_empty());
    }
}
