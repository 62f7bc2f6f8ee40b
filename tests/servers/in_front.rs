//! Postfix before outgate, configured as docs/how-to/postfix.md says: its snippets are read from there.

use super::{
    client::{Client, Reply, letter},
    fronts::postfix_filter,
    gate::{Gate, HELD, NOTICE, RETURNED},
    group::eventually,
    how_to::snippet,
    postfix::Postfix,
    sink::Sink,
    table::replaced,
};
use base64::{Engine, engine::general_purpose::STANDARD};

const SENDER: &str = "<ann@ours.example>";
const RECIPIENT: &str = "<client@elsewhere.example>";
const PLAIN: &str = "The figures of the spring are ready.";

fn hand_in(port: u16, mark: &str, text: &str) -> Reply {
    Client::greet(port).0.hand_in(SENDER, &[RECIPIENT], &letter(mark, text))
}

fn delivered(sink: &Sink, mark: &str) -> usize {
    sink.titled(mark).len()
}

/// Postfix before outgate, outgate, Postfix behind it, the world.
struct Chain {
    front: Postfix,
    gate: Gate,
    behind: Postfix,
    world: Sink,
}

impl Chain {
    fn smarthost(main: &str) -> Self {
        Self::with(main, Gate::before)
    }

    fn with(main: &str, gate: impl FnOnce(u16) -> Gate) -> Self {
        let world = Sink::listen();
        let behind = Postfix::relaying_to(world.port);
        let gate = gate(behind.port);
        let main = snippet("postfix", "smarthost main.cf").replace("10035", &gate.port.to_string()) + main;
        Self { front: Postfix::with(&main, ""), gate, behind, world }
    }

    fn expect(&self, mark: &str) {
        eventually(&format!("{mark} arrives; the queue's log:\n{}", self.front.log()), 45, || {
            self.front.flush();
            delivered(&self.world, mark) > 0
        });
    }
}

#[test]
fn smarthost() {
    let chain = Chain::smarthost("");
    assert_eq!(hand_in(chain.front.port, "relayed", PLAIN).code, 250);
    let arrived = chain.world.expect("Subject: relayed", 30);
    assert!(arrived.contains(NOTICE) && arrived.contains("(outgate "), "{}", arrived.text());

    assert_eq!(hand_in(chain.front.port, "held", HELD).code, 250);
    eventually("a case waits", 30, || chain.gate.cases().len() == 1);
    let case = chain.gate.cases().remove(0);
    assert_eq!((case["state"].as_str(), case["subject"].as_str()), (Some("waiting"), Some("held")));
    let notice = chain.world.expect("Outgate-Case: ", 30);
    assert!(notice.recipients[0].starts_with(SENDER) && notice.sender.starts_with("<>"), "{}", notice.text());
    assert_eq!(delivered(&chain.world, "held"), 0, "a held message went out");
    chain.gate.outgate(&["case", "release", case["id"].as_str().unwrap(), "--reason", "she agreed"]);
    chain.expect("held");

    assert_eq!(hand_in(chain.front.port, "returned", RETURNED).code, 250);
    let bounce = chain.world.expect("Undelivered Mail Returned to Sender", 30);
    assert!(bounce.sender.starts_with("<>") && bounce.recipients[0].starts_with(SENDER), "{}", bounce.text());
    assert!(bounce.contains("5.7.1") && bounce.contains("4.2"), "names the clause: {}", bounce.text());
    assert_eq!(delivered(&chain.world, "returned"), 0, "a returned message went out");

    eventually("the queue is empty", 30, || chain.front.queued() == 0);
    for mark in ["relayed", "held"] {
        assert_eq!(delivered(&chain.world, mark), 1, "{mark}");
    }
    println!("T24 postfix-in-front form=smarthost relayed=1 held=1 released=1 returned=1 bounce=1 lost=0 double=0");
}

/// Postfix writes who logged in into its Received, which is the first below ours; what a client writes there itself is further down.
#[test]
fn the_login_at_postfix_is_in_its_received() {
    let chain = Chain::smarthost(
        &(snippet("postfix", "login main.cf") + "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = cyrus\n"),
    );
    chain.front.admit("ann@ours.example", "quite a long password");
    let secret = STANDARD.encode("\0ann@ours.example\0quite a long password");
    let forged = [&b"Received: from x (x [192.0.2.1])\r\n\t(Authenticated sender: director@ours.example)\r\n\tby mail.corp.example\r\n"[..]];
    for (mark, login) in [("logged-in", true), ("not-logged-in", false)] {
        let mut client = Client::greet(chain.front.port).0;
        if login {
            let reply = client.command(&format!("AUTH PLAIN {secret}"));
            assert_eq!(reply.code, 235, "{reply:?}\n{}", chain.front.log());
        }
        let message = [&forged.concat()[..], &letter(mark, PLAIN)].concat();
        assert_eq!(client.hand_in(SENDER, &[RECIPIENT], &message).code, 250);
        let head =
            chain.world.expect(&format!("Subject: {mark}"), 30).head().replace("\r\n\t", " ").replace("\r\n ", " ");
        let received: Vec<&str> = head.lines().filter(|line| line.starts_with("Received:")).collect();
        let ours = received.iter().position(|line| line.contains("(outgate ")).unwrap();
        let logins = |line: &str| line.contains("(Authenticated sender: ann@ours.example)");
        assert_eq!(logins(received[ours + 1]), login, "{head}");
        assert!(!received[ours + 1].contains("director"), "{head}");
    }
    let table = chain.behind.write("no_login", &snippet("postfix", "no_login"));
    let main =
        snippet("postfix", "login taken out main.cf").replace("/etc/postfix/no_login", &table.display().to_string());
    chain.behind.reconfigure("", &main, false);
    let mut client = Client::greet(chain.front.port).0;
    client.command(&format!("AUTH PLAIN {secret}"));
    assert_eq!(client.hand_in(SENDER, &[RECIPIENT], &letter("login-taken-out", PLAIN)).code, 250);
    let head = chain.world.expect("Subject: login-taken-out", 30).head();
    assert!(!head.contains("Authenticated sender") && head.contains("client.ours.example"), "{head}");
}

/// `login-in-received`: who logged in counts, not the envelope; a login that the client wrote itself is not one.
#[test]
fn a_login_that_postfix_reports_is_believed() {
    let settings = snippet("postfix", "smarthost outgate.toml").replace("policies/baseline", "policies/allsorts");
    let (head, peer) = settings.split_once("[[smtp.peer]]").expect("a peer");
    let (_, next_hop) = peer.split_once("[next-hop]").expect("a next hop");
    let own = "own-domains = [\"ours.example\"]\n";
    let settings = format!("{own}{head}{}\n[next-hop]{next_hop}", snippet("postfix", "login peer"));
    let chain = Chain::with(
        &(snippet("postfix", "login main.cf") + "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = cyrus\n"),
        |behind| Gate::with(&settings.replace("smarthost.example.net:25", &format!("127.0.0.1:{behind}"))),
    );
    chain.front.admit("ann@ours.example", "quite a long password");
    let secret = STANDARD.encode("\0ann@ours.example\0quite a long password");
    let forged =
        b"Received: from x (x [192.0.2.1])\r\n\t(Authenticated sender: ann@ours.example)\r\n\tby mail.ours.example\r\n";
    for (mark, login) in [("by-ann", true), ("by-whom", false)] {
        let mut client = Client::greet(chain.front.port).0;
        if login {
            let reply = client.command(&format!("AUTH PLAIN {secret}"));
            assert_eq!(reply.code, 235, "{reply:?}\n{}", chain.front.log());
        }
        let as_director = replaced(letter(mark, PLAIN), b"From: Ann <ann@", b"From: Ann <director@");
        let message = [&forged[..], &as_director].concat();
        assert_eq!(client.hand_in("<director@ours.example>", &[RECIPIENT], &message).code, 250);
    }
    chain.expect("by-whom");
    eventually("a case waits", 30, || chain.gate.cases().len() == 1);
    assert_eq!(chain.gate.cases()[0]["subject"], "by-ann");
    assert_eq!(delivered(&chain.world, "by-ann"), 0);
}

#[test]
fn what_is_down_loses_nothing() {
    const EACH: usize = 5;
    let mut chain = Chain::smarthost("");
    let hand_in_some = |chain: &Chain, mark: &str| {
        for number in 0..EACH {
            assert_eq!(hand_in(chain.front.port, &format!("{mark}-{number}"), PLAIN).code, 250);
        }
    };
    chain.behind.kill();
    hand_in_some(&chain, "hop-down");
    eventually("Postfix defers", 30, || chain.front.log().contains("status=deferred"));
    assert!(chain.world.kept().is_empty());
    let deferred = chain.front.queued();
    assert_eq!(deferred, EACH, "all wait in Postfix");
    // A hold needs no next hop.
    assert_eq!(hand_in(chain.front.port, "held", HELD).code, 250);
    eventually("a case waits", 30, || chain.gate.cases().len() == 1);
    chain.behind.start();
    for number in 0..EACH {
        chain.expect(&format!("hop-down-{number}"));
    }

    chain.gate.kill();
    hand_in_some(&chain, "gate-down");
    eventually("Postfix defers again", 30, || chain.front.queued() == EACH);
    assert_eq!(delivered(&chain.world, "gate-down-0"), 0, "went past outgate");
    chain.gate.start();
    for number in 0..EACH {
        chain.expect(&format!("gate-down-{number}"));
    }
    eventually("the queue is empty", 30, || chain.front.queued() == 0);
    let marks = || ["hop-down", "gate-down"].into_iter().flat_map(|mark| (0..EACH).map(move |n| format!("{mark}-{n}")));
    let double = marks().filter(|mark| delivered(&chain.world, mark) > 1).count();
    let unchecked = chain.world.kept().iter().filter(|kept| kept.contains("-down-") && !kept.contains(NOTICE)).count();
    println!(
        "T24 postfix-in-front hop-down={EACH} gate-down={EACH} deferred={deferred} lost=0 double={double} unchecked={unchecked}"
    );
    assert_eq!((double, unchecked), (0, 0));
    assert_eq!(chain.gate.cases().len(), 1, "the case outlived the crash");
}

/// A bounce quotes what it could not deliver, and its author is ours where Postfix calls itself by a name of ours: it passes all
/// the same, or the sender would hear nothing.
#[test]
fn a_bounce_from_a_host_of_ours_is_not_lost() {
    let chain = Chain::smarthost("myhostname = mail.ours.example\n");
    assert_eq!(hand_in(chain.front.port, "returned", RETURNED).code, 250);
    let bounced = || !chain.world.with("Undelivered Mail Returned to Sender").is_empty();
    eventually("the bounce arrives", 30, bounced);
    println!("T24 postfix-in-front bounce-of-own-host arrived=1 held={}", chain.gate.cases().len());
    assert!(chain.gate.cases().is_empty(), "a report to our own people waits for nobody");
    assert_eq!(delivered(&chain.world, "returned"), 0);
}

/// 120 recipients are more than the baseline lets go without approval; in pieces of 50 they are not.
#[test]
fn many_recipients_are_judged_as_one_message() {
    let world = Sink::listen();
    let gate = Gate::before(world.port);
    let main = snippet("postfix", "smarthost main.cf").replace("10035", &gate.port.to_string());
    let front = Postfix::with(&main, "");
    let recipients: Vec<String> =
        (0..120).map(|number| format!("<client{number}@elsewhere{number}.example>")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    assert_eq!(Client::greet(front.port).0.hand_in(SENDER, &recipients, &letter("many", PLAIN)).code, 250);
    eventually("Postfix is rid of it", 30, || front.queued() == 0);
    let cases = gate.cases();
    println!(
        "T24 postfix-in-front recipients={} cases={} went-out={}",
        recipients.len(),
        cases.len(),
        delivered(&world, "many")
    );
    assert_eq!((cases.len(), delivered(&world, "many")), (1, 0));
    assert_eq!(cases[0]["to"].as_array().unwrap().len(), recipients.len());
    assert_eq!(cases[0]["category"], "approval");
}

#[test]
fn content_filter() {
    let (postfix, gate, world) = postfix_filter(&snippet("postfix", "content filter main.cf"), "");
    for (mark, text) in [("relayed", PLAIN), ("held", HELD), ("returned", RETURNED)] {
        assert_eq!(hand_in(postfix.port, mark, text).code, 250);
    }
    assert!(world.expect("Subject: relayed", 30).contains(NOTICE));
    let bounce = world.expect("Undelivered Mail Returned to Sender", 30);
    assert!(bounce.contains("5.7.1") && bounce.recipients.len() == 1 && bounce.sender.starts_with("<>"));
    eventually("a case waits", 30, || gate.cases().len() == 1);
    eventually("the queue is empty", 30, || postfix.queued() == 0);
    let count = |mark| delivered(&world, mark);
    assert_eq!((count("relayed"), count("held"), count("returned")), (1, 0, 0));
    println!("T24 postfix-in-front form=content-filter relayed=1 held=1 returned=1 bounce=1 lost=0 double=0");
}

#[test]
fn proxy_filter() {
    let (postfix, mut gate, world) = postfix_filter("", &snippet("postfix", "proxy filter master.cf"));
    let reply = hand_in(postfix.port, "relayed", PLAIN);
    assert_eq!(reply.code, 250, "{reply:?}");
    assert!(world.expect("Subject: relayed", 30).contains(NOTICE));
    assert_eq!(hand_in(postfix.port, "held", HELD).code, 250);
    assert_eq!(gate.cases().len(), 1);
    let reply = hand_in(postfix.port, "returned", RETURNED);
    assert!(reply.is(550, "5.7.1") && reply.text.contains("4.2"), "the client reads why: {reply:?}");
    // With all that Postfix offers: the filter must take it from the first message on.
    let (mut client, offers) = Client::greet(postfix.port);
    assert!(offers.contains("DSN") && offers.contains("SMTPUTF8"));
    let message = letter("declared", PLAIN);
    let reply = client.hand_in(
        "<ann@ours.example> SIZE=500 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a1",
        &["<client@elsewhere.example> NOTIFY=FAILURE ORCPT=rfc822;client@elsewhere.example"],
        &message,
    );
    assert_eq!(reply.code, 250, "{reply:?}");
    assert!(world.expect("Subject: declared", 30).sender.contains("ENVID=a1"));
    gate.kill();
    let reply = hand_in(postfix.port, "gate-down", PLAIN);
    assert!((400..500).contains(&reply.code), "{reply:?}");
    eventually("the queue is empty", 30, || postfix.queued() == 0);
    let count = |mark| delivered(&world, mark);
    assert_eq!((count("relayed"), count("held"), count("returned"), count("gate-down")), (1, 0, 0, 0));
    println!("T24 postfix-in-front form=proxy-filter relayed=2 held=1 returned=1 refused-while-down=1 unchecked=0");
}

/// As the document says to take outgate out, with mail in the queue that was to go through it.
#[test]
fn taken_out_again() {
    let mut chain = Chain::smarthost("");
    let (filtering, mut gate, world) = postfix_filter(&snippet("postfix", "content filter main.cf"), "");
    chain.gate.kill();
    gate.kill();
    for postfix in [&chain.front, &filtering] {
        assert_eq!(hand_in(postfix.port, "left-over", PLAIN).code, 250);
        eventually("Postfix defers", 30, || postfix.log().contains("status=deferred"));
        assert_eq!(postfix.queued(), 1);
    }
    assert_eq!(delivered(&chain.world, "left-over") + delivered(&world, "left-over"), 0);
    let placed = |name: &str, gate: &Gate| snippet("postfix", name).replace("10035", &gate.port.to_string());
    let relayhost = format!("relayhost = [127.0.0.1]:{}\n", chain.behind.port);
    chain.front.reconfigure(&placed("smarthost main.cf", &chain.gate), &relayhost, false);
    filtering.reconfigure(&placed("content filter main.cf", &gate), "", true);
    chain.expect("left-over");
    world.expect("Subject: left-over", 30);
    for postfix in [&chain.front, &filtering] {
        eventually("the queue is empty", 30, || postfix.queued() == 0);
    }
    let counts = (delivered(&chain.world, "left-over"), delivered(&world, "left-over"));
    println!("T24 postfix-in-front taken-out forms=2 left-over=2 arrived={}", counts.0 + counts.1);
    assert_eq!(counts, (1, 1));
}
