//! Real servers before outgate, each configured as its page in docs/how-to says: ports are moved, nothing else is.

use super::{
    exim::Exim,
    gate::Gate,
    group::free_port,
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
}

/// A server that takes mail, outgate, and the world behind them.
pub struct Front {
    pub port: u16,
    pub gate: Gate,
    pub world: Sink,
    /// The server; it ends when this is dropped.
    pub server: Box<dyn Any>,
}

/// What a page writes, at the places of this instance.
pub fn place(text: &str, gate: u16, again: u16) -> String {
    text.replace("10035", &gate.to_string()).replace("10036", &again.to_string())
}

impl Form {
    pub fn start(self) -> Front {
        match self {
            Self::PostfixSmarthost => Self::postfix_smarthost(),
            Self::PostfixContentFilter => Self::postfix(&snippet("postfix", "content filter main.cf"), ""),
            Self::PostfixProxyFilter => Self::postfix("", &snippet("postfix", "proxy filter master.cf")),
            Self::Exim => Self::exim(),
            Self::OpenSmtpd => Self::open_smtpd(),
            Self::Sendmail => Self::sendmail(),
        }
    }

    /// The same server without outgate: what it makes of a message by itself.
    pub fn alone(self, onwards: u16) -> (u16, Box<dyn Any>) {
        match self {
            Self::PostfixSmarthost | Self::PostfixContentFilter | Self::PostfixProxyFilter => {
                let server = Postfix::relaying_to(onwards);
                (server.port, Box::new(server))
            }
            Self::Exim => {
                let server = Exim::relaying_to(onwards);
                (server.port, Box::new(server))
            }
            Self::OpenSmtpd => {
                let server = OpenSmtpd::relaying_to(onwards);
                (server.port, Box::new(server))
            }
            Self::Sendmail => {
                let server = Sendmail::relaying_to(onwards);
                (server.port, Box::new(server))
            }
        }
    }

    fn postfix_smarthost() -> Front {
        let world = Sink::listen();
        let gate = Gate::before(world.port);
        let server = Postfix::with(&place(&snippet("postfix", "smarthost main.cf"), gate.port, 0), "");
        Front { port: server.port, gate, world, server: Box::new(server) }
    }

    /// One Postfix before and behind outgate. `options` belong to the listener that takes mail from clients.
    pub fn postfix(main: &str, options: &str) -> Front {
        let (world, again) = (Sink::listen(), free_port());
        let gate = Gate::with(&snippet("postfix", "filter outgate.toml").replace("10036", &again.to_string()));
        let placed = |text: &str| place(text, gate.port, again);
        let main = placed(main) + &format!("relayhost = [127.0.0.1]:{}\n", world.port);
        let master = placed(options) + &placed(&snippet("postfix", "content filter master.cf"));
        let server = Postfix::with(&main, &master);
        Front { port: server.port, gate, world, server: Box::new(server) }
    }

    fn exim() -> Front {
        let (world, again, port) = (Sink::listen(), free_port(), free_port());
        let gate = Gate::with(&snippet("exim", "outgate.toml").replace("10036", &again.to_string()));
        let placed = |name: &str| place(&snippet("exim", name), gate.port, again);
        let main = placed("main").replace("0.0.0.0.25 ; 0.0.0.0.587", &format!("127.0.0.1.{port}"));
        let server = Exim::with(port, world.port, &main, &placed("router"), &placed("transport"));
        Front { port, gate, world, server: Box::new(server) }
    }

    fn open_smtpd() -> Front {
        let (world, again) = (Sink::listen(), free_port());
        let gate = Gate::with(&snippet("opensmtpd", "outgate.toml").replace("10036", &again.to_string()));
        let rules = place(&snippet("opensmtpd", "smtpd.conf"), gate.port, again);
        let out = format!("action \"out\" relay host smtp://127.0.0.1:{}\n", world.port);
        let server = OpenSmtpd::with(&rules.replace("action \"out\" relay\n", &out));
        Front { port: server.port, gate, world, server: Box::new(server) }
    }

    fn sendmail() -> Front {
        let world = Sink::listen();
        let settings = snippet("sendmail", "outgate.toml");
        let gate = Gate::with(&settings.replace("smarthost.example.net:25", &format!("127.0.0.1:{}", world.port)));
        let server = Sendmail::with(&place(&snippet("sendmail", "sendmail.mc"), gate.port, 0));
        Front { port: server.port, gate, world, server: Box::new(server) }
    }
}
