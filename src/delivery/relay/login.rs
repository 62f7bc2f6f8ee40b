//! AUTH towards the next hop (RFC 4954): PLAIN (RFC 4616), else LOGIN, and only where nobody listens in.

use super::{
    connection::Connection,
    failure::{Failure, Step, accepted},
};
use crate::{
    intake::{Credentials, Stream},
    mail::wire::Reply,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::time::Instant;

/// Logs in. The password goes out under TLS with a checked certificate, or to this machine itself; never else.
pub(super) async fn log_in(
    connection: &mut Connection,
    credentials: &Credentials,
    until: Instant,
) -> Result<(), Failure> {
    if !connection.is_private() {
        return Err(Failure::NotPrivate);
    }
    let (user, password) = (credentials.user.expose(), credentials.password.expose());
    // A NUL would end the name within PLAIN's message: someone else's name could stand before it.
    if user.contains('\0') || password.contains('\0') {
        return Err(Failure::Login { code: 535 });
    }
    if connection.offers.plain {
        let message = STANDARD.encode(format!("\0{user}\0{password}"));
        let reply = connection.exchange(format!("AUTH PLAIN {message}\r\n").as_bytes(), until).await;
        return ended(accepted(Step::Auth, reply));
    }
    if !connection.offers.login {
        return Err(Failure::NoAuth);
    }
    let mut said = connection.exchange(b"AUTH LOGIN\r\n", until).await;
    for answer in [user, password] {
        match said {
            Ok(reply) if reply.code() == 334 => {
                said = connection.exchange(format!("{}\r\n", STANDARD.encode(answer)).as_bytes(), until).await;
            }
            said => return ended(accepted(Step::Auth, said)),
        }
    }
    ended(accepted(Step::Auth, said))
}

/// 5xx is the hop's no to this login (535, 534, 538, 530); all else leaves its mind open.
fn ended(answer: Result<Reply, Failure>) -> Result<(), Failure> {
    match answer {
        Ok(reply) if reply.code() == 235 => Ok(()),
        Ok(reply) => Err(Failure::Refused { step: Step::Auth, code: reply.code() }),
        Err(Failure::Refused { code: code @ 500.., .. }) => Err(Failure::Login { code }),
        Err(failure) => Err(failure),
    }
}

impl Connection {
    /// Whether nobody on the way can read along: a checked certificate, or the way does not leave this machine.
    fn is_private(&self) -> bool {
        let local = |stream: &tokio::net::TcpStream| {
            stream.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback())
        };
        match self.stream() {
            Stream::Clear(stream) => local(stream),
            Stream::Tls(stream) => self.verified || local(stream.get_ref().0),
            Stream::Ended => false,
        }
    }
}
