//! From the settings as written to the settings as checked: defaults filled in, and what does not go together refused.

use super::{
    Network, clouds,
    settings::{Archive, Console, Metrics, MilterDoor, NextHop, Notices, Peer, Senders, Settings, SmtpDoor, Store, Tls},
    written::{self, Written},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Located, Source},
    policy::Mode,
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// Each default stands in the shipped `config/outgate.toml` too; a test holds them together.
pub(super) mod default {
    use super::*;
    pub const HOSTNAME: &str = "gate.example.org";
    pub const DATA_DIR: &str = "/var/lib/outgate";
    pub const SMTP_LISTEN: &str = "127.0.0.1:10035";
    pub const MILTER_LISTEN: &str = "127.0.0.1:8897";
    pub const CONSOLE_LISTEN: &str = "127.0.0.1:8443";
    pub const CONSOLE_URL: &str = "https://gate.example.org:8443";
    pub const METRICS_LISTEN: &str = "127.0.0.1:9797";
    pub const KEY_FILE: &str = "store.key";
    pub const PEER_NETWORKS: [&str; 2] = ["127.0.0.0/8", "::1/128"];
    /// Postfix's proxy filter gives 100 s.
    pub const ANSWER_WITHIN: Duration = Duration::from_secs(90);
    /// Three years, each counted as a leap year.
    pub const ARCHIVE_KEEP: Duration = Duration::from_secs(3 * 366 * 24 * 60 * 60);
}

/// Below it no message can be scanned and relayed; above it every client has given up (RFC 5321 4.5.3.2.6: 10 minutes).
const ANSWER_WITHIN: std::ops::RangeInclusive<u64> = 10..=600;

/// What the administrator should know though nothing is wrong.
pub(super) type Remarks = Vec<String>;

/// None when a mistake was noted.
pub(super) fn check(
    file: &Path,
    source: &Source,
    written: Written,
    diagnostics: &mut Diagnostics,
) -> Option<(Settings, Remarks)> {
    let before = diagnostics.len();
    let mut check = Check { source, diagnostics, remarks: Remarks::new() };
    check.doors(&written);
    check.listeners(&written);
    if let Some(smtp) = &written.smtp {
        check.smtp(smtp);
    }
    check.store(&written.store);
    check.reviewers(&written);
    let remarks = std::mem::take(&mut check.remarks);
    // A next hop without an address was noted when read.
    if diagnostics.len() > before || written.next_hop.as_ref().is_none_or(|hop| hop.address.is_none()) {
        return None;
    }
    settings(file, written).map(|settings| (settings, remarks))
}

struct Check<'c> {
    source: &'c Source,
    diagnostics: &'c mut Diagnostics,
    remarks: Remarks,
}

impl Check<'_> {
    fn mistake(&mut self, at: std::ops::Range<usize>, message: impl Into<String>, allowed: impl Into<String>) {
        self.diagnostics.push(Diagnostic::new(self.source, at, message).with_allowed(allowed));
    }

    fn doors(&mut self, written: &Written) {
        match (&written.smtp, &written.milter) {
            (None, None) => self.mistake(0..0, "no door: nobody can hand in mail", "write [smtp]"),
            (None, Some(milter)) => self.mistake(
                milter.at.clone(),
                "[milter] is the only door, and the milter door is not built yet (issue 3)",
                "write [smtp]",
            ),
            (Some(_), Some(_)) => self.remarks.push(
                "[milter]: the milter door is not built yet (issue 3); nothing listens there, mail comes in by [smtp]".into(),
            ),
            (Some(_), None) => {}
        }
        if written.archive.is_some() {
            self.remarks.push("[archive]: the archive is not built yet (issue 8); nothing is archived".into());
        }
    }

    /// Two listeners at one address, or a next hop that is ourselves.
    fn listeners(&mut self, written: &Written) {
        let smtp = written.smtp.iter().flat_map(|smtp| &smtp.listen);
        let milter = written.milter.iter().flat_map(|milter| &milter.listen);
        let all: Vec<_> = smtp
            .map(|listen| ("smtp", listen))
            .chain(milter.map(|listen| ("milter", listen)))
            .chain(written.console.listen.iter().map(|listen| ("console", listen)))
            .chain(written.metrics_listen.iter().map(|listen| ("metrics", listen)))
            .collect();
        for (index, (name, listen)) in all.iter().enumerate() {
            let taken = all[..index].iter().find(|(_, earlier)| clash(earlier.value, listen.value));
            if let Some((other, _)) = taken {
                let message = format!("[{name}] listens where [{other}] already does");
                self.mistake(listen.at.clone(), message, "allowed: an address and port of its own");
            }
        }
        let Some(address) = written.next_hop.as_ref().and_then(|hop| hop.address.as_ref()) else { return };
        let (host, port) = &address.value;
        let default: SocketAddr = parsed(default::SMTP_LISTEN);
        let doors = match &written.smtp {
            Some(smtp) if smtp.listen.is_empty() => vec![default],
            Some(smtp) => smtp.listen.iter().map(|listen| listen.value).collect(),
            None => Vec::new(),
        };
        let hop = if host == "localhost" { "127.0.0.1" } else { host };
        let hop = hop.parse().map(|ip| SocketAddr::new(ip, *port));
        if hop.is_ok_and(|hop| doors.iter().any(|door| clash(*door, hop))) {
            self.mistake(
                address.at.clone(),
                "the next hop is our own door: every message would come back to us",
                "allowed: the mail server that carries mail on",
            );
        }
    }

    fn smtp(&mut self, smtp: &written::SmtpDoor) {
        for key in &smtp.unbuilt {
            let message = format!("`{}`: TLS at the door is not built yet (issue 3)", key.value);
            self.mistake(key.at.clone(), message, "leave it out, and let only this machine or a trusted network hand in mail");
        }
        let public = smtp.listen.iter().find(|listen| !listen.value.ip().is_loopback());
        if let (Some(listen), true) = (public, smtp.peers.is_empty()) {
            self.mistake(
                listen.at.clone(),
                "an open relay: others reach this address, and no [[smtp.peer]] says who may hand in mail",
                "write [[smtp.peer]] with its networks, or listen on 127.0.0.1",
            );
        }
        for peer in &smtp.peers {
            self.peer(peer);
        }
    }

    fn peer(&mut self, peer: &written::Peer) {
        for key in &peer.unbuilt {
            let message = format!("`{}` is not built yet (issue 3): nobody can be trusted by it", key.value);
            self.mistake(key.at.clone(), message, "leave it out");
        }
        if let Some(within) = &peer.answer_within
            && !ANSWER_WITHIN.contains(&within.value.as_secs())
        {
            let allowed = format!("allowed: from {} s to {} s", ANSWER_WITHIN.start(), ANSWER_WITHIN.end());
            self.mistake(within.at.clone(), "`answer-within` is out of range", allowed);
        }
        for network in &peer.networks {
            if network.value.is_everybody() {
                self.mistake(
                    network.at.clone(),
                    format!("an open relay: {} lets everybody hand in mail", network.value),
                    "allowed: the networks of your own mail servers",
                );
            } else if let Some(cloud) = clouds::shared(&network.value) {
                self.cloud(peer, network, cloud);
            }
        }
        if let Some(tenant) = &peer.tenant {
            self.mistake(tenant.at.clone(), "`tenant`: the tenant check is not built yet (issue 3)", "leave this peer out");
        }
    }

    fn cloud(&mut self, peer: &written::Peer, network: &Located<Network>, cloud: &str) {
        let own = peer.senders.as_ref().is_some_and(|senders| senders.value == Senders::OwnDomains);
        if own && peer.tenant.is_some() {
            return;
        }
        let message = format!("{} is shared by all customers of {cloud}: each of them could send as you", network.value);
        self.mistake(network.at.clone(), message, "write `tenant` and `senders = \"own-domains\"` in this [[smtp.peer]]");
    }

    fn store(&mut self, store: &written::Store) {
        for key in &store.unbuilt {
            let message = format!("`{}` is not built yet: the embedded store is the only one", key.value);
            self.mistake(key.at.clone(), message, "leave it out");
        }
    }

    fn reviewers(&mut self, written: &Written) {
        for (role, _) in written.reviewers.iter().flatten() {
            let mut letters = role.value.chars();
            let named = letters.next().is_some_and(|first| first.is_ascii_lowercase())
                && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            if !named {
                let message = format!("`{}` cannot name a role", role.value);
                self.mistake(role.at.clone(), message, "allowed: small letters, figures and hyphens, such as dpo, hr, safeguarding, it, managers");
            }
        }
        if written.reviewers.as_ref().is_none_or(Vec::is_empty) {
            self.remarks.push("[reviewers] names nobody: held messages wait until someone looks".into());
        }
    }
}

fn settings(file: &Path, written: Written) -> Option<Settings> {
    let folder = file.parent().unwrap_or(Path::new("")).to_path_buf();
    let below = |path: Option<Located<String>>, default: &str| -> PathBuf {
        folder.join(path.map_or_else(|| default.to_string(), |path| path.value))
    };
    let hop = written.next_hop?;
    let (host, port) = hop.address?.value;
    let reviewers: BTreeMap<_, _> = written
        .reviewers
        .unwrap_or_default()
        .into_iter()
        .map(|(role, addresses)| (role.value, values(addresses)))
        .collect();
    Some(Settings {
        file: file.to_path_buf(),
        policies: values(written.policy),
        own_domains: values(written.own_domains),
        mode: written.mode.map_or(Mode::Enforce, |mode| mode.value),
        hostname: written.hostname.map_or_else(|| default::HOSTNAME.into(), |name| name.value),
        data_dir: below(written.data_dir, default::DATA_DIR),
        smtp: written.smtp.map(|smtp| SmtpDoor {
            listen: listen(smtp.listen, default::SMTP_LISTEN),
            peers: peers(smtp.peers),
        }),
        milter: written.milter.map(|milter| MilterDoor { listen: listen(milter.listen, default::MILTER_LISTEN) }),
        next_hop: NextHop { host, port, tls: hop.tls.map_or(Tls::Opportunistic, |tls| tls.value) },
        console: Console {
            listen: written.console.listen.map_or_else(|| parsed(default::CONSOLE_LISTEN), |listen| listen.value),
            url: written.console.url.map_or_else(|| default::CONSOLE_URL.into(), |url| url.value),
        },
        notices: Notices { from: written.notices_from.map(|from| from.value) },
        reviewers,
        metrics: Metrics {
            listen: written.metrics_listen.map_or_else(|| parsed(default::METRICS_LISTEN), |listen| listen.value),
        },
        archive: written
            .archive
            .map(|archive| Archive { keep: archive.keep.map_or(default::ARCHIVE_KEEP, |keep| keep.value) }),
        store: Store { key_file: below(written.store.key_file, default::KEY_FILE) },
        folder,
    })
}

/// Without any peer, this machine itself (a listener that others reach was refused before).
fn peers(written: Vec<written::Peer>) -> Vec<Peer> {
    if written.is_empty() {
        let networks = default::PEER_NETWORKS
            .iter()
            .map(|network| Network::parse(network).expect("a default of ours is a network"));
        return vec![Peer {
            networks: networks.collect(),
            answer_within: default::ANSWER_WITHIN,
            senders: Senders::Any,
        }];
    }
    let peers = written.into_iter().map(|peer| Peer {
        networks: values(peer.networks),
        answer_within: peer.answer_within.map_or(default::ANSWER_WITHIN, |within| within.value),
        senders: peer.senders.map_or(Senders::Any, |senders| senders.value),
    });
    peers.collect()
}

fn listen(written: Vec<Located<SocketAddr>>, default: &str) -> Vec<SocketAddr> {
    if written.is_empty() { vec![parsed(default)] } else { values(written) }
}

fn values<T>(located: Vec<Located<T>>) -> Vec<T> {
    located.into_iter().map(|located| located.value).collect()
}

fn parsed(address: &str) -> SocketAddr {
    address.parse().expect("a default of ours is an address with its port")
}

/// Whether two sockets cannot both be bound. Port 0 is any free port.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let same = a.ip() == b.ip() || (a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified()));
    a.port() != 0 && a.port() == b.port() && same
}
