//! Opens a session: TCP, banner, EHLO, STARTTLS and EHLO again. Everything here is before MAIL.

use super::{
    connection::Connection,
    failure::{Failure, Step, accepted},
    login::log_in,
    offers::Offers,
    settings::{RelaySettings, TlsMode},
    stream::Stream,
    tls::Tls,
};
use crate::intake::Credentials;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

/// A session ready for MAIL.
pub(super) async fn open(
    settings: &RelaySettings,
    tls: Option<&Tls>,
    connect: Duration,
    identity: Option<Arc<Credentials>>,
) -> Result<Connection, Failure> {
    let opened = match open_once(settings, tls, connect).await {
        Err(Failure::Handshake(error)) if settings.tls == TlsMode::Opportunistic => {
            tracing::warn!(%error, "TLS with the next hop failed; going on in clear, as opportunistic TLS may");
            open_once(settings, None, connect).await
        }
        opened => opened,
    };
    let mut connection = opened?;
    if let Some(credentials) = identity.as_deref() {
        log_in(&mut connection, credentials, Instant::now() + settings.limits.auth).await?;
    }
    connection.identity = identity;
    Ok(connection)
}

async fn open_once(settings: &RelaySettings, tls: Option<&Tls>, connect: Duration) -> Result<Connection, Failure> {
    let mut connection = dial(settings, connect).await?;
    let limits = &settings.limits;
    let banner = connection.reply(Instant::now() + limits.banner).await;
    accepted(Step::Banner, banner)?;
    greet(&mut connection, settings).await?;
    let Some(tls) = tls else { return Ok(connection) };
    if !connection.offers.start_tls {
        return if settings.tls == TlsMode::Required { Err(Failure::NoStartTls) } else { Ok(connection) };
    }
    let until = Instant::now() + limits.tls;
    let reply = connection.exchange(b"STARTTLS\r\n", until).await;
    match accepted(Step::StartTls, reply) {
        // The hop offers TLS and cannot do it now; the session in clear is as it was (RFC 3207 4).
        Err(Failure::Refused { .. }) if settings.tls == TlsMode::Opportunistic => return Ok(connection),
        answer => answer?,
    };
    // What stands behind the reply was read in clear: someone in between may have put it there, to be taken for
    // the hop's answers under TLS. The first EHLO's offers go with the old connection for the same reason.
    let stream = connection.into_clear().ok_or(Failure::Injected)?;
    let handshake = timeout_at(until, tls.connector.connect(tls.name.clone(), stream)).await;
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Failure::Handshake(error)),
        Err(_) => return Err(Failure::Handshake(io::ErrorKind::TimedOut.into())),
    };
    let mut connection = Connection::new(Stream::Tls(Box::new(stream)));
    connection.verified = settings.tls == TlsMode::Required;
    greet(&mut connection, settings).await?;
    Ok(connection)
}

async fn dial(settings: &RelaySettings, limit: Duration) -> Result<Connection, Failure> {
    let unreachable = |kind| Failure::Unreachable { step: Step::Connect, kind };
    let stream = timeout(limit, TcpStream::connect(&settings.address))
        .await
        .map_err(|_| unreachable(io::ErrorKind::TimedOut))?
        .map_err(|error| unreachable(error.kind()))?;
    // Half-sent groups would wait 40 ms for the hop's delayed acknowledgement.
    stream.set_nodelay(true).map_err(|error| unreachable(error.kind()))?;
    Ok(Connection::new(Stream::Clear(stream)))
}

/// EHLO, or HELO for a hop of before 1993 (RFC 5321 3.2).
async fn greet(connection: &mut Connection, settings: &RelaySettings) -> Result<(), Failure> {
    let until = Instant::now() + settings.limits.ehlo;
    let hello = |verb: &str| format!("{verb} {}\r\n", settings.hostname).into_bytes();
    connection.out().extend_from_slice(&hello("EHLO"));
    let sent = connection.flush(until).await;
    let reply = match sent {
        Ok(()) => connection.ehlo_reply(until).await,
        Err(lost) => Err(lost),
    };
    match accepted(Step::Ehlo, reply) {
        Ok(reply) => connection.offers = Offers::of(&reply),
        Err(Failure::Refused { code: 500 | 502 | 504, .. }) => {
            let reply = connection.exchange(&hello("HELO"), until).await;
            accepted(Step::Ehlo, reply)?;
            connection.offers = Offers::default();
        }
        Err(failure) => return Err(failure),
    }
    Ok(())
}
