//! Where the next hop is, how it is spoken to, and how long it may take.

use std::{path::PathBuf, time::Duration};

/// `[next-hop]`, checked.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// `host:port`; an IPv6 address stands in brackets.
    pub address: String,
    pub tls: TlsMode,
    /// PEM certificates that are trusted beside the public ones, for `TlsMode::Required`.
    pub ca_file: Option<PathBuf>,
    /// What EHLO says of us.
    pub hostname: String,
    pub limits: Limits,
    /// Connections at the same time. Postfix's own default for what it serves is 100 (`default_process_limit`).
    pub connections: usize,
    /// Messages over one connection before it is closed; many hops end it at some number of their own.
    pub uses: u32,
}

impl RelaySettings {
    pub fn new(address: impl Into<String>, tls: TlsMode, hostname: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            tls,
            ca_file: None,
            hostname: hostname.into(),
            limits: Limits::default(),
            connections: 100,
            uses: 1_000,
        }
    }
}

/// Whether the connection to the next hop is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    None,
    /// STARTTLS when the hop offers it, without asking who it is (RFC 7435); in clear when it fails.
    Opportunistic,
    /// STARTTLS with a certificate for the hop's name, or nothing is sent.
    Required,
}

/// How long each step may take. Each limit is for the whole reply, so a hop that sends one byte a second ends at it
/// like a silent one. The final dot has no limit of its own: it has what is left of the client's clock, since
/// giving up earlier than our own client makes duplicates.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Looking up the name and connecting.
    pub connect: Duration,
    /// Connecting anew at the final dot, to a hop already seen down: the client is to have its 451 within 2 s.
    pub reconnect: Duration,
    pub banner: Duration,
    pub ehlo: Duration,
    /// The answer to STARTTLS, and the handshake.
    pub tls: Duration,
    /// The answers to AUTH.
    pub auth: Duration,
    /// The answers to one group of MAIL and RCPT.
    pub envelope: Duration,
    pub data: Duration,
    /// Waiting for one of `RelaySettings::connections` to become free.
    pub turn: Duration,
    /// Waiting in the background for a final reply that the client could not wait for (RFC 5321 4.5.3.2.6).
    pub late: Duration,
    /// A connection unused for this long is closed.
    pub idle: Duration,
    /// After a connect that ran into its limit, transactions are blind at once for this long.
    pub shun: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            connect: Duration::from_secs(30),
            reconnect: Duration::from_millis(1_800),
            banner: minute,
            ehlo: minute,
            tls: minute,
            auth: minute,
            envelope: minute,
            data: minute,
            turn: Duration::from_secs(20),
            late: 10 * minute,
            idle: minute,
            shun: Duration::from_secs(10),
        }
    }
}
