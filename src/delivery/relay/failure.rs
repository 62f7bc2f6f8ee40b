//! Whose fault: what went wrong towards the next hop, and what the client is told of it.
//!
//! | what happened | who is told what |
//! |---|---|
//! | no TCP connection, name not found, closed or silent before any reply that says no | nobody knows the hop's mind: the transaction is *blind*, 250 2.1.5 |
//! | banner, EHLO, STARTTLS or our AUTH refused or garbled, TLS failed, no STARTTLS where it is required, bytes behind STARTTLS, a login and no private way for it | ours: 451 4.3.0 and an alert |
//! | any of the above, and the route has another address | the next address is tried |
//! | a client's own login refused | 535 when that was asked, else 451 4.3.0 |
//! | no connection free in time | ours: 451 4.3.2 |
//! | 530, 535, 538 anywhere (it wants us to log in or encrypt) | ours: 451 4.3.0 and an alert |
//! | 421 anywhere (it closes) | 451, text of the hop |
//! | any other refusal of MAIL, RCPT, DATA or the message | the hop's own answer |
//! | a reply that makes no sense (3xx to MAIL, not SMTP) | ours: 451 4.3.0 and an alert |

use crate::mail::wire::{Reply, ReplyError};

/// Where in the session something went wrong. Names a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// All up to MAIL.
    Session,
    Connect,
    Banner,
    Ehlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    Message,
}

impl Step {
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Session => "session",
            Step::Connect => "connect",
            Step::Banner => "banner",
            Step::Ehlo => "ehlo",
            Step::StartTls => "starttls",
            Step::Auth => "auth",
            Step::Mail => "mail",
            Step::Rcpt => "rcpt",
            Step::Data => "data",
            Step::Message => "message",
        }
    }
}

/// A reply that did not come.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("the connection ended: {0}")]
    Closed(std::io::ErrorKind),
    #[error("no whole reply within the time limit")]
    Silent,
    #[error("{0}")]
    Garbled(#[from] ReplyError),
}

/// Why no session could be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Nobody knows what the hop would say.
    #[error("not reachable ({}): {kind}", step.as_str())]
    Unreachable { step: Step, kind: std::io::ErrorKind },
    #[error("{} refused with {code}", step.as_str())]
    Refused { step: Step, code: u16 },
    #[error("{}: {error}", step.as_str())]
    Garbled { step: Step, error: ReplyError },
    #[error("TLS failed: {0}")]
    Handshake(std::io::Error),
    #[error("TLS is required and the hop does not offer STARTTLS")]
    NoStartTls,
    #[error("bytes in clear behind the answer to STARTTLS")]
    Injected,
    #[error("the login was refused with {code}")]
    Login { code: u16 },
    /// A client's, passed through.
    #[error("the login of a client was refused with {code}")]
    ClientLogin { code: u16 },
    #[error("there is a login for it, and it offers neither AUTH PLAIN nor AUTH LOGIN")]
    NoAuth,
    #[error("there is a login for it, and no TLS with a checked certificate to send it under")]
    NotPrivate,
    #[error("no connection became free in time")]
    Busy,
}

impl Failure {
    pub fn lost(step: Step, lost: Lost) -> Self {
        match lost {
            Lost::Closed(kind) => Failure::Unreachable { step, kind },
            Lost::Silent => Failure::Unreachable { step, kind: std::io::ErrorKind::TimedOut },
            Lost::Garbled(error) => Failure::Garbled { step, error },
        }
    }

    /// Nobody of the route is tried, since all were found dead a moment ago.
    pub fn shunned() -> Self {
        Failure::Unreachable { step: Step::Connect, kind: std::io::ErrorKind::TimedOut }
    }

    pub fn too_slow() -> Self {
        Failure::Unreachable { step: Step::Session, kind: std::io::ErrorKind::TimedOut }
    }

    /// Whether another address may do better.
    pub fn moves_on(&self) -> bool {
        !matches!(self, Failure::Busy | Failure::ClientLogin { .. })
    }

    /// Our own login is the trouble.
    pub fn is_login(&self) -> bool {
        matches!(self, Failure::Login { .. } | Failure::NoAuth | Failure::NotPrivate)
    }

    pub fn is_unreachable(&self) -> bool {
        matches!(self, Failure::Unreachable { .. })
    }

    /// What a client hears whose own login is asked for (RFC 4954 4).
    pub fn of_login(&self) -> Reply {
        match self {
            Failure::ClientLogin { .. } => Reply::new(535, (5, 7, 8), "Authentication credentials invalid"),
            _ => Reply::new(454, (4, 7, 0), "Temporary authentication failure"),
        }
    }

    pub fn reply(&self) -> Reply {
        match self {
            Failure::Busy => {
                Reply::new(451, (4, 3, 2), "All connections to the next mail server are in use, try later")
            }
            _ => ours(),
        }
    }

    /// Counts it, and tells the administrator what only they can mend.
    pub fn report(&self, route: &str) {
        let (step, kind) = match self {
            Failure::Unreachable { step, .. } => (*step, "unreachable"),
            Failure::Refused { step, .. } | Failure::Garbled { step, .. } => (*step, "refused"),
            Failure::Handshake(_) | Failure::NoStartTls | Failure::Injected => (Step::StartTls, "refused"),
            Failure::Login { .. } | Failure::NoAuth | Failure::NotPrivate => (Step::Auth, "refused"),
            Failure::ClientLogin { .. } => (Step::Auth, "client"),
            Failure::Busy => (Step::Connect, "busy"),
        };
        count(step, kind);
        match self {
            Failure::Unreachable { .. } => tracing::warn!(route, failure = %self, "the next hop cannot be reached"),
            Failure::ClientLogin { .. } => tracing::info!(route, failure = %self, "a client cannot log in"),
            Failure::Busy => tracing::error!(route, failure = %self, "the next hop is used to its limit: 451"),
            _ => tracing::error!(
                route, failure = %self, "the next hop cannot be used: mail waits at its senders with 451, unless the \
                 route has another"
            ),
        }
    }
}

/// A reply that lets the session go on.
pub(super) fn accepted(step: Step, reply: Result<Reply, Lost>) -> Result<Reply, Failure> {
    let reply = reply.map_err(|lost| Failure::lost(step, lost))?;
    match reply.code() {
        200..=299 => Ok(reply),
        code => Err(Failure::Refused { step, code }),
    }
}

pub(super) fn count(step: Step, kind: &'static str) {
    metrics::counter!("outgate_relay_failures_total", "step" => step.as_str(), "kind" => kind).increment(1);
}

/// What a stranger hears of a fault of ours.
pub(super) fn ours() -> Reply {
    Reply::new(451, (4, 3, 0), "The mail cannot be passed on at the moment, try later")
}

/// A route of several that nobody answers at: its recipients are tried again.
pub(super) fn unreached() -> Reply {
    Reply::new(451, (4, 4, 1), "The next mail server cannot be reached, try later")
}

/// The reply to pass on for one of the hop's: its class kept, unless the fault is ours or the hop is closing.
pub(super) fn passed_on(reply: Reply, step: Step) -> Reply {
    match reply.code() {
        530 | 535 | 538 => {
            count(step, "login");
            let (code, step) = (reply.code(), step.as_str());
            tracing::error!(code, step, "the next hop wants a login or TLS: mail waits at its senders with 451");
            ours()
        }
        421 => {
            count(step, "closing");
            let text = reply.lines().join("\n");
            Reply::new(451, reply.enhanced().unwrap_or((4, 3, 2)), &text)
        }
        300..=399 => {
            count(step, "garbled");
            let (code, step) = (reply.code(), step.as_str());
            tracing::error!(code, step, "the next hop gives a reply that makes no sense here");
            ours()
        }
        _ => reply,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_kept_and_faults_are_ours() {
        for (code, passed) in [
            (250, 250),
            (251, 251),
            (354, 451),
            (421, 451),
            (450, 450),
            (452, 452),
            (530, 451),
            (535, 451),
            (538, 451),
            (550, 550),
            (554, 554),
        ] {
            assert_eq!(passed_on(Reply::plain(code, "text"), Step::Rcpt).code(), passed, "{code}");
        }
        let closing = passed_on(Reply::new(421, (4, 7, 0), "busy"), Step::Mail);
        assert_eq!((closing.enhanced(), closing.lines()), (Some((4, 7, 0)), &["busy".to_string()][..]));
    }
}
