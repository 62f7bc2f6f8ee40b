//! The door's settings, checked.

use super::tls::{Certified, TlsSettings};
use crate::{
    intake::{Network, Pace},
    mail::wire::LineEndings,
    sensitive::Sensitive,
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// What the door must know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where sessions begin in clear.
    pub listen: Vec<SocketAddr>,
    /// Where TLS begins with the first byte (RFC 8314 3.3).
    pub listen_tls: Vec<SocketAddr>,
    /// What we call ourselves: banner, EHLO, Received.
    pub hostname: String,
    /// The organisation's own domains, those below them included.
    pub own_domains: Vec<String>,
    /// Who may hand in mail. The first that fits the client counts.
    pub peers: Vec<Peer>,
    /// None: neither STARTTLS nor TLS from the first byte.
    pub tls: Option<TlsSettings>,
    pub auth: Auth,
    pub limits: Limits,
}

/// Whose passwords the door takes, under TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Auth {
    #[default]
    None,
    /// Those of our own accounts.
    Accounts,
    /// Those that the next hop takes: each is passed through to it.
    NextHop,
}

/// Clients that may hand in mail without authenticating. All that is given here must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Empty: anywhere.
    pub networks: Vec<Network>,
    /// The host name in the certificate that the client must show.
    pub certificate_name: Option<String>,
    /// From the final dot: the client gives up soon after.
    pub answer_within: Duration,
    pub senders: Senders,
    /// Whether bare line ends are refused or made CR LF.
    pub line_endings: LineEndings,
    /// It may speak as its clients (XCLIENT).
    pub xclient: bool,
    /// The user in its own Received, the first field of a message, is believed.
    pub login_in_received: bool,
    /// Only messages of this tenant are taken.
    pub tenant: Option<Tenant>,
}

/// How a message shows whose it is among the customers of a shared cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// Microsoft 365: the tenant's number, which Exchange Online writes.
    Id(String),
    /// Microsoft 365: the tenant's first domain, which Exchange Online writes.
    Domain(String),
    /// A field with a secret, which a routing rule of the customer's own writes. It goes no further than here.
    Header { name: String, value: Sensitive<String> },
}

/// Whose mail a peer may hand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Senders {
    #[default]
    Any,
    /// Envelope senders in our own domains, and the null sender.
    OwnDomains,
}

impl Peer {
    /// The default of `answer-within`: Postfix's proxy filter gives 100 s.
    pub const ANSWER_WITHIN: Duration = Duration::from_secs(90);

    pub fn new(networks: Vec<Network>) -> Self {
        Self {
            networks,
            certificate_name: None,
            answer_within: Self::ANSWER_WITHIN,
            senders: Senders::default(),
            line_endings: LineEndings::default(),
            xclient: false,
            login_in_received: false,
            tenant: None,
        }
    }

    /// Whoever has logged in: our own people, from anywhere.
    pub(super) fn logged_in() -> Self {
        Self { senders: Senders::OwnDomains, ..Self::new(Vec::new()) }
    }

    /// Names the peer in a retry record. All clients of one peer are one: a cluster may try again from another node.
    pub(super) fn id(&self) -> String {
        let networks = self.networks.iter().map(Network::to_string);
        networks.chain(self.certificate_name.clone()).collect::<Vec<_>>().join(",")
    }

    fn is_at(&self, address: IpAddr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(address))
    }

    fn has(&self, certificate: Option<&Certified>) -> bool {
        let Some(name) = &self.certificate_name else { return true };
        certificate.is_some_and(|certificate| certificate.is_for(name))
    }
}

/// What one client, and all together, may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest message. Less is offered: what we add must fit too.
    pub message_size: u64,
    /// Memory of all messages on their way through this door.
    pub memory: u64,
    pub recipients: usize,
    pub connections: usize,
    /// Of one network (IPv4 /24, IPv6 /64) that is not a peer's. Postfix's default.
    pub connections_per_network: u32,
    /// A whole TLS handshake. Postfix's default for a peer under stress; ours always.
    pub handshake_wait: Duration,
    /// RFC 5321 4.5.3.2.7.
    pub command_wait: Duration,
    /// Instead of it, while most connections or most memory are in use. Postfix's figure under stress.
    pub crowded_wait: Duration,
    /// From MAIL to DATA. RFC 5321 4.5.3.2 gives each command five minutes.
    pub envelope_wait: Duration,
    /// A client that takes longer than this for its next command, or for its message, keeps no connection to the next hop.
    pub hop_wait: Duration,
    /// RFC 5321 4.5.3.2.5.
    pub data_wait: Duration,
    /// For a whole message. A client that stays above the floor reaches it only with a message larger than we take.
    pub data_total: Duration,
    /// Bytes a second, looked at from `data_grace` on.
    pub data_floor: u64,
    pub data_grace: Duration,
    /// Failed logins of one account, from networks where it never logged in.
    pub failures_of_account: Pace,
    /// Failed logins from one network (IPv4 /24, IPv6 /64); and of an account at a network from which it has logged in.
    pub failures_of_network: Pace,
    /// Before the answer to a failed login.
    pub failed_login_wait: Duration,
    /// Messages of one account.
    pub account_messages: Pace,
    /// Messages of all who log in from one network.
    pub network_messages: Pace,
    /// Faulty commands in one connection.
    pub errors: u32,
    /// Commands that lead to nothing (NOOP, RSET, VRFY, EHLO) since the last message. Postfix's default.
    pub idle_commands: u32,
    /// RFC 5321 6.3 wants at least 100 to be allowed for; Postfix stops at 50, and mail that leaves has few behind it.
    pub received_fields: usize,
    /// How long the walk may pass the peer's clock before we answer without it.
    pub answer_margin: Duration,
    /// What a transaction in progress gets between two commands once we are stopping.
    pub stopping_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: 50 << 20,
            memory: 512 << 20,
            recipients: 1_000,
            connections: 10_000,
            connections_per_network: 50,
            handshake_wait: Duration::from_secs(30),
            command_wait: Duration::from_secs(300),
            crowded_wait: Duration::from_secs(10),
            envelope_wait: Duration::from_secs(600),
            hop_wait: Duration::from_millis(500),
            data_wait: Duration::from_secs(180),
            data_total: Duration::from_secs(3_600),
            data_floor: 500,
            data_grace: Duration::from_secs(30),
            failures_of_account: Pace { at_once: 5, every: Duration::from_secs(120) },
            failures_of_network: Pace { at_once: 10, every: Duration::from_secs(60) },
            failed_login_wait: Duration::from_secs(1),
            account_messages: Pace::a_minute(60),
            network_messages: Pace::a_minute(600),
            errors: 10,
            idle_commands: 100,
            received_fields: 50,
            answer_margin: Duration::from_secs(3),
            stopping_wait: Duration::from_secs(10),
        }
    }
}

impl Settings {
    pub fn new(listen: Vec<SocketAddr>, hostname: impl Into<String>) -> Self {
        Self {
            listen,
            listen_tls: Vec::new(),
            hostname: hostname.into(),
            own_domains: Vec::new(),
            peers: Vec::new(),
            tls: None,
            auth: Auth::None,
            limits: Limits::default(),
        }
    }

    /// The peer to which a client belongs.
    pub fn peer(&self, address: IpAddr, certificate: Option<&Certified>) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.is_at(address) && peer.has(certificate))
    }

    /// Whether a client at `address` that is no peer may show in its session who it is.
    pub fn may_become_known(&self, address: IpAddr) -> bool {
        let by_certificate = |peer: &Peer| peer.certificate_name.is_some() && peer.is_at(address);
        self.tls.is_some() && (self.auth != Auth::None || self.peers.iter().any(by_certificate))
    }

    /// Whether clients are asked for a certificate.
    pub fn asks_certificates(&self) -> bool {
        self.peers.iter().any(|peer| peer.certificate_name.is_some())
    }

    /// Whether the settings would make us an open relay: then we do not start.
    pub fn relay_risk(&self) -> Option<RelayRisk> {
        for peer in &self.peers {
            if peer.networks.is_empty() && peer.certificate_name.is_none() {
                return Some(RelayRisk::Anybody);
            }
            // Whoever must show a certificate may come from anywhere.
            let wide = peer.networks.iter().find(|network| peer.certificate_name.is_none() && is_too_wide(**network));
            if let Some(network) = wide {
                return Some(RelayRisk::TooWide { network: *network });
            }
        }
        let mut all = self.listen.iter().chain(&self.listen_tls);
        let public = all.find(|address| !address.ip().to_canonical().is_loopback());
        match public {
            Some(listen) if self.peers.is_empty() && self.auth == Auth::None => {
                Some(RelayRisk::NoPeers { listen: *listen })
            }
            _ => None,
        }
    }
}

/// Why we do not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayRisk {
    #[error("the door at {listen} is public, and neither [[smtp.peer]] nor auth says who may hand in mail")]
    NoPeers { listen: SocketAddr },
    #[error("the peer network {network} is a good part of the whole internet: anyone could send through this gateway")]
    TooWide { network: Network },
    #[error("a peer without networks and without a certificate's name is everybody")]
    Anybody,
}

/// Shorter than any block that one organisation holds. All private IPv6 (RFC 4193) is one's own whatever its length.
pub fn is_too_wide(network: Network) -> bool {
    match network.address() {
        IpAddr::V4(_) => network.prefix() < 8,
        IpAddr::V6(address) => network.prefix() < 16 && !(address.is_unique_local() && network.prefix() >= 7),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(listen: &str, networks: &[&str]) -> Settings {
        let mut settings = Settings::new(vec![listen.parse().unwrap()], "gate.example");
        if !networks.is_empty() {
            settings.peers = vec![Peer::new(networks.iter().map(|network| network.parse().unwrap()).collect())];
        }
        settings
    }

    #[test]
    fn an_open_relay_is_not_started() {
        for (listen, networks, risk) in [
            ("127.0.0.1:25", &[][..], false),
            ("[::1]:25", &[], false),
            ("[::ffff:127.0.0.1]:25", &[], false),
            ("0.0.0.0:25", &[], true),
            ("192.0.2.1:25", &[], true),
            ("[::]:25", &[], true),
            ("0.0.0.0:25", &["192.0.2.0/24"], false),
            ("0.0.0.0:25", &["10.0.0.0/8", "fc00::/7", "2001:db8::/32"], false),
            ("0.0.0.0:25", &["0.0.0.0/0"], true),
            ("0.0.0.0:25", &["192.0.2.0/24", "::/0"], true),
            ("0.0.0.0:25", &["0.0.0.0/1", "128.0.0.0/1"], true),
            ("0.0.0.0:25", &["2000::/3"], true),
            ("127.0.0.1:25", &["0.0.0.0/0"], true),
        ] {
            assert_eq!(settings(listen, networks).relay_risk().is_some(), risk, "{listen} {networks:?}");
        }
    }

    #[test]
    fn a_certificate_admits_from_anywhere_but_nothing_admits_everybody() {
        let mut settings = settings("0.0.0.0:25", &[]);
        settings.peers = vec![Peer::new(Vec::new())];
        assert_eq!(settings.relay_risk(), Some(RelayRisk::Anybody));
        let known = Peer { certificate_name: Some("mail.ours.example".into()), ..Peer::new(Vec::new()) };
        settings.peers = vec![Peer { networks: vec!["0.0.0.0/0".parse().unwrap()], ..known.clone() }];
        assert_eq!(settings.relay_risk(), None);
        settings.peers = vec![known];
        assert_eq!(settings.relay_risk(), None);
        assert!(settings.peer("192.0.2.1".parse().unwrap(), None).is_none(), "not without the certificate");
    }

    #[test]
    fn the_first_peer_that_fits_counts() {
        let mut settings = settings("127.0.0.1:25", &["192.0.2.0/28"]);
        let own = Peer { senders: Senders::OwnDomains, ..Peer::new(vec!["192.0.2.0/24".parse().unwrap()]) };
        settings.peers.push(own);
        let senders = |client: &str| settings.peer(client.parse().unwrap(), None).map(|peer| peer.senders);
        assert_eq!(senders("192.0.2.1"), Some(Senders::Any));
        assert_eq!(senders("192.0.2.200"), Some(Senders::OwnDomains));
        assert_eq!(senders("198.51.100.1"), None);
    }
}
