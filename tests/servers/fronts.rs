//! Real servers before outgate, each configured as its page in docs/how-to says: ports are moved, nothing else is.

use super::{
    exim::Exim,
    gate::Gate,
    group::free_port,
    hops::{Hop, Kind},
    how_to::snippet,
    opensmtpd::OpenSmtpd,
    postfix::Postfix,
    sendmail::Sendmail,
    sink::Sink,
};
use std::any::Any;

/// How mail comes to outgate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    PostfixSmarthost,
    PostfixContentFilter,
    PostfixProxyFilter,
    Exim,
    OpenSmtpd,
    Sendmail,
    PostfixMilter,
    SendmailMilter,
}

/// An organisation's server is called by a name of its own: so is the author of its bounces.
const OURS: &str = "myhostname = mail.ours.example\n";

/// A server that takes mail, outgate, and the world behind them.
pub struct Front {
    pub port: u16,
    pub gate: Gate,
    pub world: Sink,
    /// It ends when this is dropped.
    _server: Box<dyn Any>,
}

/// What a page writes, at the places of this instance.
pub fn place(text: &str, gate: u16, again: u16) -> String {
    text.replace("10035", &gate.to_string()).replace("10036", &again.to_string())
}

impl Form {
    pub fn start(self) -> Front {
        match self {
            Self::PostfixSmarthost => {
                let (server, gate, world) = postfix_smarthost();
                Front { port: server.port, gate, world, _server: Box::new(server) }
            }
            Self::PostfixContentFilter | Self::PostfixProxyFilter => {
                let (server, gate, world) = match self {
                    Self::PostfixContentFilter => postfix_filter(&snippet("postfix", "content filter main.cf"), ""),
                    _ => postfix_filter("", &snippet("postfix", "proxy filter master.cf")),
                };
                Front { port: server.port, gate, world, _server: Box::new(server) }
            }
            Self::Exim => {
                let (server, gate, world) = exim();
                Front { port: server.port, gate, world, _server: Box::new(server) }
            }
            Self::OpenSmtpd => {
                let (server, gate, world) = open_smtpd();
                Front { port: server.port, gate, world, _server: Box::new(server) }
            }
            Self::Sendmail => {
                let (server, gate, world) = sendmail();
                Front { port: server.port, gate, world, _server: Box::new(server) }
            }
            Self::PostfixMilter => {
                let (server, gate, world) = postfix_milter();
                Front { port: server.port, gate, world, _server: Box::new(server) }
            }
            Self::SendmailMilter => {
                let (server, gate, world) = sendmail_milter();
                Front { port: server.port, gate, world, _server: Box::new(server) }
            }
        }
    }

    /// The same server without outgate: what it makes of a message by itself.
    pub fn alone(self, onwards: u16) -> Hop {
        Hop::start(
            match self {
                Self::PostfixSmarthost
                | Self::PostfixContentFilter
                | Self::PostfixProxyFilter
                | Self::PostfixMilter => Kind::Postfix,
                Self::Exim => Kind::Exim,
                Self::OpenSmtpd => Kind::OpenSmtpd,
                Self::Sendmail | Self::SendmailMilter => Kind::Sendmail,
            },
            onwards,
        )
    }
}

fn postfix_smarthost() -> (Postfix, Gate, Sink) {
    let world = Sink::listen();
    let gate = Gate::before(world.port);
    let main = place(&snippet("postfix", "smarthost main.cf"), gate.port, 0) + OURS;
    (Postfix::with(&main, ""), gate, world)
}

/// One Postfix before and behind outgate. `options` belong to the listener that takes mail from clients.
pub fn postfix_filter(main: &str, options: &str) -> (Postfix, Gate, Sink) {
    let (world, again) = (Sink::listen(), free_port());
    let gate = Gate::with(&snippet("postfix", "filter outgate.toml").replace("10036", &again.to_string()));
    let placed = |text: &str| place(text, gate.port, again);
    let main = placed(main) + &format!("relayhost = [127.0.0.1]:{}\n{OURS}", world.port);
    let master = placed(options) + &placed(&snippet("postfix", "content filter master.cf"));
    (Postfix::with(&main, &master), gate, world)
}

pub fn exim() -> (Exim, Gate, Sink) {
    let (world, again, port) = (Sink::listen(), free_port(), free_port());
    let gate = Gate::with(&snippet("exim", "outgate.toml").replace("10036", &again.to_string()));
    let placed = |name: &str| place(&snippet("exim", name), gate.port, again);
    let main = exim_listeners(port, again);
    let server = Exim::with(port, world.port, &main, &placed("router"), &placed("transport"));
    (server, gate, world)
}

pub fn exim_listeners(port: u16, again: u16) -> String {
    let main = snippet("exim", "main").replace("0.0.0.0.25 ; 0.0.0.0.587", &format!("127.0.0.1.{port}"));
    place(&main, 0, again)
}

pub fn open_smtpd() -> (OpenSmtpd, Gate, Sink) {
    let (world, again) = (Sink::listen(), free_port());
    let gate = Gate::with(&snippet("opensmtpd", "outgate.toml").replace("10036", &again.to_string()));
    let rules = place(&snippet("opensmtpd", "smtpd.conf"), gate.port, again);
    let server = OpenSmtpd::with(&delivering_to(&rules, world.port));
    (server, gate, world)
}

/// Rules of OpenSMTPD whose `relay` knows the world.
pub fn delivering_to(rules: &str, world: u16) -> String {
    rules.replace(" relay\n", &format!(" relay host smtp://127.0.0.1:{world}\n"))
}

pub fn sendmail() -> (Sendmail, Gate, Sink) {
    let world = Sink::listen();
    let settings = snippet("sendmail", "outgate.toml");
    let gate = Gate::with(&settings.replace("smarthost.example.net:25", &format!("127.0.0.1:{}", world.port)));
    let server = Sendmail::with(&place(&snippet("sendmail", "sendmail.mc"), gate.port, 0));
    (server, gate, world)
}

/// A Postfix that asks outgate's milter, and delivers to the world.
pub fn postfix_milter() -> (Postfix, Gate, Sink) {
    postfix_milter_with("")
}

/// With these lines at the end of outgate.toml.
pub fn postfix_milter_with(settings: &str) -> (Postfix, Gate, Sink) {
    let page = snippet("postfix-milter", "milter outgate.toml");
    postfix_milter_gate(|again| Gate::with(&(page.replace("10036", again) + settings)))
}

/// With a policy of its own.
pub fn postfix_milter_policy(policy: &str) -> (Postfix, Gate, Sink) {
    let page = snippet("postfix-milter", "milter outgate.toml").replace("policies/baseline", "policies/own");
    postfix_milter_gate(|again| Gate::with_policy(&page.replace("10036", again), Some(policy)))
}

/// With a gate that is given the port of the listener that does not ask.
fn postfix_milter_gate(gate: impl FnOnce(&str) -> Gate) -> (Postfix, Gate, Sink) {
    let (world, again) = (Sink::listen(), free_port());
    let gate = gate(&again.to_string());
    let placed = |name: &str| milter_place(&snippet("postfix-milter", name), gate.port, again);
    let main = placed("milter main.cf") + &format!("relayhost = [127.0.0.1]:{}\n{OURS}", world.port);
    let master = placed("milter master.cf") + &placed("milter listener master.cf");
    (Postfix::with(&main, &master), gate, world)
}

/// A Sendmail that does.
pub fn sendmail_milter() -> (Sendmail, Gate, Sink) {
    let (world, again) = (Sink::listen(), free_port());
    let gate = Gate::with(&snippet("sendmail", "sendmail milter outgate.toml").replace("10036", &again.to_string()));
    let filter = milter_place(&snippet("sendmail", "milter sendmail.mc"), gate.port, again);
    (Sendmail::with(&(Sendmail::smarthost(world.port) + &filter)), gate, world)
}

pub fn milter_place(text: &str, gate: u16, again: u16) -> String {
    text.replace("8897", &gate.to_string()).replace("10036", &again.to_string())
}
