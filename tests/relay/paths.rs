//! Hops that behave: what goes over the wire, and connections used again.

use super::*;

#[tokio::test]
async fn a_message_takes_three_writes_and_the_connection_is_used_again() {
    let second = script(&[ENVELOPE, DATA]);
    let hop = Hop::start(&[&script(&[GREETING, ENVELOPE, DATA, &second, "C QUIT"])]).await;
    let relay = relay(&hop);
    for _ in 0..2 {
        let (transaction, reply) = begun(&relay).await;
        assert_eq!((reply.code(), reply.enhanced()), (250, Some((2, 1, 5))));
        assert!(!transaction.is_blind());
        let Sent::Replied(reply) = sent(transaction).await else { panic!("not replied") };
        assert_eq!((reply.code(), reply.lines()), (250, &["queued".to_string()][..]));
    }
    relay.close().await;
    assert_eq!(hop.bodies().await, [ON_WIRE, ON_WIRE]);
}

#[tokio::test]
async fn extensions_are_the_hops_after_the_first_contact() {
    let hop = Hop::start(&[&script(&[GREETING, "C QUIT"])]).await;
    let relay = relay(&hop);
    let before = relay.extensions();
    assert!(before.eight_bit_mime && !before.dsn && !before.smtputf8 && before.size == 0);
    relay.warm_up();
    for _ in 0..100 {
        if relay.extensions().dsn {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let after = relay.extensions();
    assert!(after.eight_bit_mime && after.dsn && !after.smtputf8 && after.size == 1_000_000);
    tokio::time::sleep(Duration::from_millis(50)).await;
    relay.close().await;
    hop.bodies().await;
}

#[tokio::test]
async fn a_hop_without_pipelining_is_asked_step_by_step() {
    let plain = "S 220 hop
        C EHLO gate.example
        S 250 hop
        C MAIL FROM:<ann@ours.example>
        WAIT 20
        S 250 ok
        C RCPT TO:<bob@else.example>
        S 250 ok
        C RCPT TO:<cat@else.example>
        S 550 5.1.1 no such user
        C DATA
        S 354 go
        BODY
        S 250 ok
        C QUIT";
    let hop = Hop::start(&[plain]).await;
    let relay = relay(&hop);
    let mut transaction = relay.begin(sender(&["SIZE=100", "RET=HDRS", "BODY=7BIT"]), None);
    let replies = transaction.recipients(&[path("bob@else.example"), path("cat@else.example")]).await;
    assert_eq!(replies.iter().map(Reply::code).collect::<Vec<_>>(), [250, 550]);
    assert_eq!(code(&sent(transaction).await), 250);
    relay.close().await;
    assert_eq!(hop.bodies().await.len(), 1);
}

#[tokio::test]
async fn helo_for_a_hop_that_knows_no_ehlo() {
    let old = "S 220 hop
        C EHLO gate.example
        S 502 what
        C HELO gate.example
        S 250 hop
        C MAIL FROM:<ann@ours.example>
        S 250 ok
        C RCPT TO:<bob@else.example>
        S 250 ok";
    let hop = Hop::start(&[&script(&[old, DATA])]).await;
    let relay = relay(&hop);
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
    assert!(!relay.extensions().eight_bit_mime);
    hop.bodies().await;
}

#[tokio::test]
async fn an_unused_transaction_is_reset_together_with_the_next() {
    let next = "C RSET
        c MAIL FROM:<ann@ours.example>
        c RCPT TO:<bob@else.example>
        S 250 reset
        S 250 ok
        S 250 2.1.5 ok";
    let hop = Hop::start(&[&script(&[GREETING, ENVELOPE, next, DATA])]).await;
    let relay = relay(&hop);
    drop(begun(&relay).await);
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
    assert_eq!(hop.bodies().await.len(), 1);
}

#[tokio::test]
async fn groups_of_recipients_and_the_answers_to_each() {
    let more = "C RCPT TO:<b1@else.example>
        c RCPT TO:<b2@else.example>
        c RCPT TO:<b3@else.example>
        S 452 4.5.3 enough
        S 251 moved
        S 553 5.1.3 no";
    let hop = Hop::start(&[&script(&[GREETING, ENVELOPE, more, DATA])]).await;
    let relay = relay(&hop);
    let (mut transaction, _) = begun(&relay).await;
    let batch: Vec<_> = (1..4).map(|number| path(&format!("b{number}@else.example"))).collect();
    let codes: Vec<_> = transaction.recipients(&batch).await.iter().map(Reply::code).collect();
    assert_eq!(codes, [452, 251, 553]);
    assert_eq!(code(&sent(transaction).await), 250);
    hop.bodies().await;
}

#[tokio::test]
async fn a_thousand_recipients_in_one_batch() {
    let mut conversation = format!("{GREETING}\nC MAIL FROM:<ann@ours.example>\nS 250 ok");
    for group in 0..10 {
        for number in 0..100 {
            conversation += &format!("\nC RCPT TO:<r{}@else.example>", group * 100 + number);
        }
        for number in 0..100 {
            conversation += if number == 7 { "\nS 550 no" } else { "\nS 250 ok" };
        }
    }
    let hop = Hop::start(&[&conversation]).await;
    let relay = relay(&hop);
    let mut transaction = relay.begin(sender(&[]), None);
    let batch: Vec<_> = (0..1_000).map(|number| path(&format!("r{number}@else.example"))).collect();
    let replies = transaction.recipients(&batch).await;
    assert!(replies.iter().enumerate().all(|(at, reply)| reply.code() == if at % 100 == 7 { 550 } else { 250 }));
    drop(transaction);
    hop.bodies().await;
}

#[tokio::test]
async fn large_messages_go_as_they_are() {
    let hop = Hop::start(&[&script(&[GREETING, ENVELOPE, DATA])]).await;
    let relay = relay(&hop);
    let lines: Vec<u8> = (0..400_000u32).flat_map(|line| format!(".line {line}\r\n").into_bytes()).collect();
    let plain = "no dot at all\r\n".repeat(100_000).into_bytes();
    let message = [&plain[..], &lines].concat();
    let outgoing = Outgoing::bytes(Arc::from(&b"Received: x\r\n"[..]), message.clone());
    let sent = begun(&relay).await.0.send(outgoing, in_seconds(20)).await;
    assert_eq!(code(&sent), 250);
    let body = hop.bodies().await.remove(0);
    let text = String::from_utf8(body).unwrap().replace("\r\n..", "\r\n.");
    assert!(text.strip_suffix(".\r\n") == Some(&format!("Received: x\r\n{}", String::from_utf8(message).unwrap())));
}

#[tokio::test]
async fn connections_end_after_their_share_and_after_idling() {
    let one = script(&[GREETING, ENVELOPE, DATA, "C QUIT", "S 221 bye", "EOF"]);
    let hop = Hop::start(&[&one, &one]).await;
    let mut few = settings(&hop.address, TlsMode::None);
    few.uses = 1;
    let relay = Relay::new(few).unwrap();
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
    hop.bodies().await;

    let hop = Hop::start(&[&one]).await;
    let mut short = settings(&hop.address, TlsMode::None);
    short.limits.idle = Duration::from_millis(50);
    let relay = Relay::new(short).unwrap();
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
    hop.bodies().await;
}

#[tokio::test]
async fn a_connection_that_the_hop_closed_meanwhile_is_replaced_unseen() {
    let first = script(&[GREETING, ENVELOPE, DATA]);
    let farewell = script(&[&first, "WAIT 30", "S 421 4.4.2 idle too long"]);
    let at_mail = script(&[&first, "C MAIL FROM:<ann@ours.example>", "S 421 4.7.0 enough messages"]);
    let silent_at_mail = script(&[&first, "C MAIL FROM:<ann@ours.example>"]);
    for stale in [&first, &farewell, &at_mail, &silent_at_mail] {
        for pause in [0, 80] {
            let hop = Hop::start(&[stale, &first]).await;
            let relay = relay(&hop);
            assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let (transaction, reply) = begun(&relay).await;
            assert_eq!((reply.code(), transaction.is_blind()), (250, false), "{stale}");
            assert_eq!(code(&sent(transaction).await), 250);
            assert_eq!(hop.bodies().await.len(), 2);
        }
    }
}

#[tokio::test]
async fn transactions_never_share_a_connection_and_wait_for_their_turn() {
    let both = script(&[GREETING, ENVELOPE, DATA, ENVELOPE, DATA]);
    let hop = Hop::start(&[&both]).await;
    let mut one = settings(&hop.address, TlsMode::None);
    one.connections = 1;
    one.limits.turn = Duration::from_millis(100);
    let relay = Relay::new(one).unwrap();
    let (first, _) = begun(&relay).await;
    let (refused, reply) = begun(&relay).await;
    assert_eq!((reply.code(), reply.enhanced(), refused.is_blind()), (451, Some((4, 3, 2)), false));
    assert_eq!(code(&sent(first).await), 250);
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
    hop.bodies().await;
}

#[tokio::test]
async fn what_the_hop_cannot_take_is_refused_and_nothing_is_sent_of_it() {
    let bare = "S 220 hop
        C EHLO gate.example
        S 250-hop
        S 250 PIPELINING";
    let hop = Hop::start(&[&script(&[bare, ENVELOPE, DATA])]).await;
    let relay = relay(&hop);
    for (parameter, enhanced) in [("BODY=8BITMIME", (5, 6, 3)), ("SMTPUTF8", (5, 6, 7))] {
        let mut transaction = relay.begin(sender(&[parameter]), None);
        let replies = transaction.recipients(&[path("bob@else.example"), path("cat@else.example")]).await;
        assert!(replies.iter().all(|reply| (reply.code(), reply.enhanced()) == (550, Some(enhanced))));
    }
    assert_eq!(code(&sent(begun(&relay).await.0).await), 250);
    hop.bodies().await;
}

#[tokio::test]
async fn the_outbox_learns_each_recipients_outcome() {
    let two = "C MAIL FROM:<ann@ours.example>
        c RCPT TO:<bob@else.example>
        c RCPT TO:<cat@else.example>
        S 250 ok
        S 550 5.1.1 unknown
        S 250 ok";
    let hop = Hop::start(&[&script(&[GREETING, two, DATA])]).await;
    let relay = relay(&hop);
    let to = envelope(&["bob@else.example", "cat@else.example"]);
    let outcomes = relay.deliver(&to, outgoing(), in_seconds(5)).await.unwrap();
    let codes: Vec<_> = outcomes.iter().map(|outcome| outcome.reply.code()).collect();
    assert_eq!(codes, [550, 250]);
    assert_eq!(outcomes[1].recipient, to.recipients[1]);
    hop.bodies().await;
}

/// The same envelope on a connection that was left in the midst of one.
const AGAIN: &str = "C RSET
    c MAIL FROM:<ann@ours.example>
    c RCPT TO:<bob@else.example>
    S 250 2.0.0 reset
    S 250 2.1.0 Ok
    S 250 2.1.5 Ok";

/// Its client took its time: the connection was others' meanwhile, and the hop is asked again.
#[tokio::test]
async fn a_transaction_that_rested_is_said_again() {
    let hop = Hop::start(&[&script(&[GREETING, ENVELOPE, AGAIN, DATA])]).await;
    let relay = relay(&hop);
    let (mut transaction, reply) = begun(&relay).await;
    assert_eq!(reply.code(), 250);
    transaction.rest();
    transaction.rest();
    assert_eq!(code(&sent(transaction).await), 250);
    assert_eq!(hop.bodies().await, [ON_WIRE]);
}

#[tokio::test]
async fn others_use_the_connection_of_one_that_rests() {
    let hop = Hop::start(&[&script(&[GREETING, ENVELOPE, AGAIN, DATA, ENVELOPE, DATA])]).await;
    let relay = relay(&hop);
    let (mut rests, _) = begun(&relay).await;
    rests.rest();
    let (goes, _) = begun(&relay).await;
    assert_eq!(code(&sent(goes).await), 250);
    assert_eq!(code(&sent(rests).await), 250);
    assert_eq!(hop.bodies().await, [ON_WIRE, ON_WIRE]);
}

#[tokio::test]
async fn whoever_is_refused_after_a_rest_has_nothing_sent_to_them() {
    let refusing = AGAIN.replace("250 2.1.5 Ok", "550 5.1.1 gone");
    let hop = Hop::start(&[&script(&[GREETING, ENVELOPE, &refusing])]).await;
    let relay = relay(&hop);
    let (mut transaction, _) = begun(&relay).await;
    transaction.rest();
    assert!(matches!(sent(transaction).await, Sent::NotSent(reply) if reply.code() == 451));
    hop.bodies().await;
}

#[tokio::test]
async fn a_further_recipient_after_a_rest_comes_behind_the_others() {
    let more = "C RCPT TO:<eve@else.example>
        S 250 2.1.5 Ok";
    let hop = Hop::start(&[&script(&[GREETING, ENVELOPE, AGAIN, more, DATA])]).await;
    let relay = relay(&hop);
    let (mut transaction, _) = begun(&relay).await;
    transaction.rest();
    let replies = transaction.recipients(&[path("eve@else.example")]).await;
    assert_eq!(replies[0].code(), 250);
    assert_eq!(code(&sent(transaction).await), 250);
    assert_eq!(hop.bodies().await, [ON_WIRE]);
}
