//! Exim, OpenSMTPD and Sendmail before outgate while it is down, and when it is taken out again as the how-tos say.
//! (Postfix: in_front.rs.)

use super::{
    client::{Client, letter},
    exim::Exim,
    fronts::{self, delivering_to, place},
    gate::{Gate, NOTICE},
    group::{eventually, free_port},
    how_to::snippet,
    opensmtpd::OpenSmtpd,
    sendmail::Sendmail,
    sink::Sink,
};

fn hand_in(port: u16, mark: &str) {
    let message = letter(mark, "The figures of the spring are ready.");
    let reply = Client::greet(port).0.hand_in("<ann@ours.example>", &["<client@elsewhere.example>"], &message);
    assert_eq!(reply.code, 250, "{mark}: {reply:?}");
}

trait Queue {
    fn queued(&self) -> usize;
    /// Tries what waits now, where a server does not try by itself within a second.
    fn flush(&self) {}
}

impl Queue for Exim {
    fn queued(&self) -> usize {
        self.queued()
    }
}

impl Queue for OpenSmtpd {
    fn queued(&self) -> usize {
        self.queued()
    }

    fn flush(&self) {
        self.flush();
    }
}

impl Queue for Sendmail {
    fn queued(&self) -> usize {
        self.queued()
    }
}

/// Mail waits in the server while outgate is down and arrives, judged, when it is back; what waits when outgate is taken out
/// arrives as it is.
fn down_and_out<S: Queue>(
    name: &str,
    (mut server, mut gate, world): (S, Gate, Sink),
    port: u16,
    take_out: impl FnOnce(&mut S, &Sink),
) {
    gate.kill();
    hand_in(port, "down");
    eventually("the server has tried, and keeps it", 30, || server.queued() > 0);
    assert!(world.titled("down").is_empty(), "went past outgate");
    gate.start();
    eventually("what waited arrives", 40, || {
        server.flush();
        !world.titled("down").is_empty()
    });
    eventually("the queue is empty", 30, || server.queued() == 0);

    gate.kill();
    hand_in(port, "left-over");
    eventually("the server keeps it", 30, || server.queued() > 0);
    take_out(&mut server, &world);
    eventually("what was left over arrives", 40, || {
        server.flush();
        !world.titled("left-over").is_empty()
    });
    eventually("the queue is empty", 30, || server.queued() == 0);
    let (down, left) = (world.titled("down"), world.titled("left-over"));
    assert!(down[0].contains(NOTICE), "went past outgate: {}", down[0].text());
    assert!(!left[0].contains(NOTICE), "met outgate: {}", left[0].text());
    println!("in-front {name} while-down=1 unchecked=0 taken-out left-over=1 double={}", down.len() + left.len() - 2);
    assert_eq!((down.len(), left.len()), (1, 1));
}

#[test]
fn exim() {
    let (server, gate, world) = fronts::exim();
    let port = server.port;
    let main = fronts::exim_listeners(port, free_port());
    let transport = place(&snippet("exim", "transport"), gate.port, 0);
    down_and_out("exim", (server, gate, world), port, |exim, world| {
        exim.kill();
        exim.configure(world.port, &main, "", &transport);
        exim.start();
    });
}

#[test]
fn opensmtpd() {
    let (server, gate, world) = fronts::open_smtpd();
    let port = server.port;
    let rules = place(&snippet("opensmtpd", "smtpd.conf"), gate.port, free_port());
    let lines = rules.lines().filter(|line| line.starts_with("action "));
    let actions: String = lines.map(|line| format!("{line}\n")).collect();
    down_and_out("opensmtpd", (server, gate, world), port, |smtpd, world| {
        assert!(rules.contains(&actions), "the two actions stand together");
        let rules = rules.replace(&actions, &snippet("opensmtpd", "taken out smtpd.conf"));
        smtpd.kill();
        smtpd.configure(&delivering_to(&rules, world.port));
        smtpd.start();
    });
}

#[test]
fn sendmail() {
    let (server, gate, world) = fronts::sendmail();
    let port = server.port;
    down_and_out("sendmail", (server, gate, world), port, |sendmail, world| {
        sendmail.kill();
        sendmail.configure(&Sendmail::smarthost(world.port));
        sendmail.start();
    });
}
