//! Opens a session: TCP, banner, EHLO, STARTTLS and EHLO again, or TLS at once; then our login. Everything here is
//! before MAIL.

use super::{
    connection::Connection,
    failure::{Failure, Step, accepted},
    login::log_in,
    offers::Offers,
    pool::PoolSettings,
    settings::TlsMode,
    tls::Tls,
};
use crate::intake::{Credentials, Stream};
use std::{io, time::Duration};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout_at},
};

/// A session ready for MAIL.
pub(super) async fn open(
    settings: &PoolSettings,
    tls: Option<&Tls>,
    connect: Duration,
    login: Option<&Credentials>,
) -> Result<Connection, Failure> {
    let opened = match open_once(settings, tls, connect).await {
        Err(Failure::Handshake(error)) if settings.route.tls == TlsMode::Opportunistic => {
            tracing::warn!(%error, "TLS with the next hop failed; going on in clear, as opportunistic TLS may");
            open_once(settings, None, connect).await
        }
        opened => opened,
    };
    let mut connection = opened?;
    if let Some(credentials) = login {
        log_in(&mut connection, credentials, Instant::now() + settings.limits.auth).await?;
    }
    Ok(connection)
}

async fn open_once(settings: &PoolSettings, tls: Option<&Tls>, connect: Duration) -> Result<Connection, Failure> {
    let limits = &settings.limits;
    let mut stream = dial(settings.address(), connect).await?;
    let implicit = tls.filter(|_| settings.route.tls == TlsMode::Implicit);
    let mut connection = match implicit {
        Some(tls) => shake_hands(tls, stream, Instant::now() + limits.tls).await?,
        None => Connection::new(Stream::Clear(stream)),
    };
    let banner = connection.reply(Instant::now() + limits.banner).await;
    accepted(Step::Banner, banner)?;
    greet(&mut connection, settings).await?;
    let Some(tls) = tls.filter(|_| implicit.is_none()) else { return Ok(connection) };
    if !connection.offers.start_tls {
        let required = settings.route.tls == TlsMode::Required;
        return if required { Err(Failure::NoStartTls) } else { Ok(connection) };
    }
    let until = Instant::now() + limits.tls;
    let reply = connection.exchange(b"STARTTLS\r\n", until).await;
    match accepted(Step::StartTls, reply) {
        // The hop offers TLS and cannot do it now; the session in clear is as it was (RFC 3207 4).
        Err(Failure::Refused { .. }) if settings.route.tls == TlsMode::Opportunistic => return Ok(connection),
        answer => answer?,
    };
    // What stands behind the reply was read in clear: someone in between may have put it there, to be taken for
    // the hop's answers under TLS. The first EHLO's offers go with the old connection for the same reason.
    stream = connection.into_clear().ok_or(Failure::Injected)?;
    let mut connection = shake_hands(tls, stream, until).await?;
    greet(&mut connection, settings).await?;
    Ok(connection)
}

async fn shake_hands(tls: &Tls, stream: TcpStream, until: Instant) -> Result<Connection, Failure> {
    let stream = match timeout_at(until, tls.connector.connect(tls.name.clone(), stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Failure::Handshake(error)),
        Err(_) => return Err(Failure::Handshake(io::ErrorKind::TimedOut.into())),
    };
    let mut connection = Connection::new(Stream::Tls(Box::new(stream.into())));
    connection.verified = tls.verifies;
    Ok(connection)
}

/// Looks the name up, anew each time, and tries all that it stands for: each gets its share of the time that is left,
/// so that one that does not answer leaves some for the others.
async fn dial(address: &str, limit: Duration) -> Result<TcpStream, Failure> {
    let unreachable = |kind| Failure::Unreachable { step: Step::Connect, kind };
    let until = Instant::now() + limit;
    let found = timeout_at(until, lookup_host(address)).await;
    let found = found.map_err(|_| unreachable(io::ErrorKind::TimedOut))?.map_err(|error| unreachable(error.kind()))?;
    let mut left = found.collect::<Vec<_>>();
    left.dedup();
    let mut failed = io::ErrorKind::NotFound;
    for at in 0..left.len() {
        let share = until.saturating_duration_since(Instant::now()) / u32::try_from(left.len() - at).unwrap_or(1);
        match timeout_at(Instant::now() + share, TcpStream::connect(left[at])).await {
            Ok(Ok(stream)) => {
                // Half-sent groups would wait 40 ms for the hop's delayed acknowledgement.
                stream.set_nodelay(true).map_err(|error| unreachable(error.kind()))?;
                return Ok(stream);
            }
            Ok(Err(error)) => failed = error.kind(),
            Err(_) => failed = io::ErrorKind::TimedOut,
        }
    }
    Err(unreachable(failed))
}

/// EHLO, or HELO for a hop of before 1993 (RFC 5321 3.2).
async fn greet(connection: &mut Connection, settings: &PoolSettings) -> Result<(), Failure> {
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
