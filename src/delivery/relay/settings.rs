//! Where the next hops are, how each is spoken to, and how long it may take.

use crate::{
    intake::{Credentials, OwnCertificate},
    mail::Address,
};
use std::{sync::Arc, time::Duration};

/// `[next-hop]` and its routes, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct RelaySettings {
    /// The first takes whatever no other one names.
    pub routes: Vec<RouteSettings>,
    /// What EHLO says of us.
    pub hostname: String,
    pub limits: Limits,
    /// Connections to one hop at the same time. Postfix's own default for what it serves is 100
    /// (`default_process_limit`).
    pub connections: usize,
    /// Messages over one connection before it is closed; many hops end it at some number of their own.
    pub uses: u32,
}

/// One way on: the same mail at any of its addresses, the first that can be used counts.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteSettings {
    /// Names it in logs and metrics.
    pub name: Arc<str>,
    /// Whose mail goes this way; empty for the default route.
    pub domains: Vec<Domains>,
    /// `host:port` each; an IPv6 address stands in brackets.
    pub addresses: Vec<String>,
    pub tls: TlsMode,
    /// The name in the hop's certificate, and in SNI, when it is not the host's.
    pub tls_name: Option<String>,
    /// PEM: these alone are trusted, in place of the public ones.
    pub authorities: Option<Arc<[u8]>>,
    /// What we show to a hop that asks who we are.
    pub certificate: Option<OwnCertificate>,
    /// Our own login there.
    pub login: Option<Arc<Credentials>>,
}

/// Recipients' domains, folded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Domains {
    /// `partner.example`
    One(String),
    /// `*.partner.example`: those below it.
    Below(String),
}

impl Domains {
    /// How closely they fit an address: the longest name counts, and a whole name before one with a star.
    pub(super) fn fit(&self, address: &Address) -> Option<(usize, bool)> {
        let domain = address.domain().to_lowercase();
        match self {
            Domains::One(name) => (domain == *name).then_some((name.len(), true)),
            Domains::Below(name) => {
                let rest = domain.strip_suffix(name.as_str())?;
                (rest.len() > 1 && rest.ends_with('.')).then_some((name.len(), false))
            }
        }
    }
}

impl RelaySettings {
    /// One hop for all mail.
    pub fn new(address: impl Into<String>, tls: TlsMode, hostname: impl Into<String>) -> Self {
        Self::with_routes(vec![RouteSettings::new(vec![address.into()], tls)], hostname)
    }

    pub fn with_routes(routes: Vec<RouteSettings>, hostname: impl Into<String>) -> Self {
        Self { routes, hostname: hostname.into(), limits: Limits::default(), connections: 100, uses: 1_000 }
    }
}

impl RouteSettings {
    pub const DEFAULT: &str = "default";

    /// The default route.
    pub fn new(addresses: Vec<String>, tls: TlsMode) -> Self {
        Self {
            name: Self::DEFAULT.into(),
            domains: Vec::new(),
            addresses,
            tls,
            tls_name: None,
            authorities: None,
            certificate: None,
            login: None,
        }
    }
}

/// Whether the connection to the next hop is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsMode {
    None,
    /// STARTTLS when the hop offers it, without asking who it is (RFC 7435); in clear when it fails.
    Opportunistic,
    /// STARTTLS with a certificate for the hop's name, or nothing is sent.
    Required,
    /// TLS from the first byte (RFC 8314 3.3), with a certificate for the hop's name, or nothing is sent.
    Implicit,
}

impl TlsMode {
    /// Whether the hop's certificate is checked.
    pub fn verifies(self) -> bool {
        matches!(self, TlsMode::Required | TlsMode::Implicit)
    }
}

/// How long each step may take. Each limit is for the whole reply, so a hop that sends one byte a second ends at it
/// like a silent one. The final dot has no limit of its own: it has what is left of the client's clock, since
/// giving up earlier than our own client makes duplicates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Looking up the name and connecting to one of its addresses.
    pub connect: Duration,
    /// Opening a session anew at the final dot, to a hop already seen down: the client is to have its 451 within 2 s.
    pub reconnect: Duration,
    /// Opening a session while there is another address to try.
    pub failover: Duration,
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
    /// After a session that ran into its limit, transactions are blind at once for this long; and the first wait before
    /// a hop that failed is tried in the background.
    pub shun: Duration,
    /// The longest such wait. Each is twice the one before.
    pub longest_shun: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            connect: Duration::from_secs(30),
            reconnect: Duration::from_millis(1_800),
            failover: Duration::from_secs(10),
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
            longest_shun: 5 * minute,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn domains_and_those_below() {
        let fit = |domains: &Domains, domain: &str| domains.fit(&Address::parse(&format!("a@{domain}")).unwrap());
        let (one, below) = (Domains::One("partner.example".into()), Domains::Below("partner.example".into()));
        assert_eq!(fit(&one, "Partner.Example"), Some((15, true)));
        assert_eq!(fit(&below, "mail.Partner.Example"), Some((15, false)));
        assert_eq!(fit(&below, "a.b.partner.example"), Some((15, false)));
        for (domains, domain) in [
            (&one, "mail.partner.example"),
            (&one, "notpartner.example"),
            (&below, "partner.example"),
            (&below, "notpartner.example"),
            (&below, "partner.example.else.example"),
        ] {
            assert_eq!(fit(domains, domain), None, "{domains:?} {domain}");
        }
    }
}
