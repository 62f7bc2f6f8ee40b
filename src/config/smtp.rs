//! `[smtp]` and its peers: as written, and checked, with the files that they name.
//!
//! In: the tables. Out: the door's settings, certificates read. Never: an open relay, a peer that is every customer of a
//! cloud, a certificate that turns out useless only when a client comes.

use super::{
    check::{default, listen, or_default, values},
    clouds::{self, Cloud},
    named_files::{self, Secrecy},
    settings::SmtpDoor,
    written::{domain, path, sockets},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Located, Source, Table},
    intake::{
        Network, OwnCertificate,
        smtp::{self, Auth, Peer, RelayRisk, Senders, ServerTls, Tenant, TlsError, TlsSettings},
    },
    mail::wire::LineEndings,
    sensitive::Sensitive,
};
use std::{
    net::SocketAddr,
    ops::{Range, RangeInclusive},
    path::Path,
    time::Duration,
};

/// Below it no message can be scanned and relayed; above it every client has given up (RFC 5321 4.5.3.2.6: 10 minutes).
const ANSWER_WITHIN: RangeInclusive<u64> = 10..=600;

const TENANT: &str = "a tenant's number, such as 11111111-2222-3333-4444-555555555555, or its first domain, such as \
                      ours.onmicrosoft.com";

/// Nobody guesses it.
const SHORTEST_SECRET: usize = 20;

/// Messages a minute. Whoever sends more is a server, and a peer.
const MESSAGES: RangeInclusive<i64> = 1..=100_000;

/// What people send by hand, and a program that writes to a group one by one.
const ACCOUNT_MESSAGES: u32 = 60;

/// A house full of people behind one address.
const NETWORK_MESSAGES: u32 = 600;

#[derive(Debug)]
pub(super) struct Written {
    at: Range<usize>,
    listen: Vec<Located<SocketAddr>>,
    listen_tls: Vec<Located<SocketAddr>>,
    certificate: Option<Located<String>>,
    key: Option<Located<String>>,
    authorities: Option<Located<String>>,
    auth: Option<Located<Auth>>,
    account_messages: Option<Located<i64>>,
    network_messages: Option<Located<i64>>,
    peers: Vec<WrittenPeer>,
}

#[derive(Debug)]
struct WrittenPeer {
    networks: Vec<Located<Network>>,
    certificate_name: Option<Located<String>>,
    answer_within: Option<Located<Duration>>,
    senders: Option<Located<Senders>>,
    line_endings: Option<Located<LineEndings>>,
    xclient: bool,
    login_in_received: bool,
    tenant: Option<Located<Tenant>>,
    tenant_file: Option<Located<String>>,
}

impl Written {
    /// All places where it listens, the default too.
    pub fn sockets(&self) -> Vec<Located<SocketAddr>> {
        if self.listen_tls.is_empty() {
            return or_default(&self.listen, default::SMTP_LISTEN).collect();
        }
        self.listen.iter().chain(&self.listen_tls).cloned().collect()
    }
}

impl Written {
    fn auth(&self) -> Auth {
        self.auth.as_ref().map_or(Auth::None, |auth| auth.value)
    }
}

pub(super) fn read(table: &Table<'_>) -> Written {
    Written {
        at: table.at(),
        listen: sockets(table, "listen"),
        listen_tls: sockets(table, "listen-tls"),
        certificate: path(table, "certificate-file"),
        key: path(table, "key-file"),
        authorities: path(table, "certificate-authority-file"),
        auth: table.choice("auth", &[("none", Auth::None), ("accounts", Auth::Accounts), ("next-hop", Auth::NextHop)]),
        account_messages: table.integer("account-messages", MESSAGES),
        network_messages: table.integer("network-messages", MESSAGES),
        peers: table.tables("peer").iter().map(peer).collect(),
    }
}

fn peer(table: &Table<'_>) -> WrittenPeer {
    let certificate_name = table.parsed(
        "certificate-name",
        "the host name in the client's certificate, such as mail.ours.example",
        domain,
    );
    let allowed = "an address or a block of addresses, such as 192.0.2.1 or 192.0.2.0/24";
    // Whoever shows the certificate may come from anywhere.
    let networks = if table.has("certificate-name") { table.value("networks") } else { table.required("networks") }
        .map(|value| {
            let elements = value.elements();
            if elements.is_empty() {
                value.mistake("`networks` admits nobody");
            }
            elements.iter().filter_map(|element| element.parsed(allowed, str::parse::<Network>)).collect()
        });
    let peer = WrittenPeer {
        networks: networks.unwrap_or_default(),
        certificate_name,
        answer_within: table.duration("answer-within"),
        senders: table.choice("senders", &[("any", Senders::Any), ("own-domains", Senders::OwnDomains)]),
        line_endings: table
            .choice("line-endings", &[("strict", LineEndings::Strict), ("normalise", LineEndings::Normalise)]),
        xclient: table.flag("xclient", false),
        login_in_received: table.flag("login-in-received", false),
        tenant: table.parsed("tenant", TENANT, tenant),
        tenant_file: path(table, "tenant-file"),
    };
    table.finish();
    peer
}

/// None when a mistake was noted.
pub(super) fn check(
    source: &Source,
    folder: &Path,
    written: &Written,
    hop_login: bool,
    diagnostics: &mut Diagnostics,
) -> Option<SmtpDoor> {
    let before = diagnostics.len();
    let mut check = Check { source, folder, diagnostics };
    let tls = check.tls(written);
    check.auth(written, hop_login);
    check.relay_risk(written);
    let mut peers = Vec::new();
    for peer in &written.peers {
        check.peer(peer, written.certificate.is_some());
        peers.push(Peer { tenant: check.tenant(peer), ..peer.checked() });
    }
    if peers.is_empty() {
        peers.push(this_machine());
    }
    if diagnostics.len() > before {
        return None;
    }
    let listen = if written.listen_tls.is_empty() {
        listen(written.listen.clone(), default::SMTP_LISTEN)
    } else {
        values(written.listen.clone())
    };
    let messages = |written: &Option<Located<i64>>, default| {
        written.as_ref().and_then(|messages| u32::try_from(messages.value).ok()).unwrap_or(default)
    };
    Some(SmtpDoor {
        listen,
        listen_tls: values(written.listen_tls.clone()),
        tls,
        auth: written.auth(),
        account_messages: messages(&written.account_messages, ACCOUNT_MESSAGES),
        network_messages: messages(&written.network_messages, NETWORK_MESSAGES),
        peers,
    })
}

/// Without any peer, this machine itself (a listener that others reach was refused before).
fn this_machine() -> Peer {
    let networks = default::PEER_NETWORKS.iter();
    Peer::new(networks.map(|network| network.parse().expect("a default of ours is a network")).collect())
}

/// A tenant of Microsoft 365: its number, or its first domain.
fn tenant(text: &str) -> Result<Tenant, &'static str> {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let digits = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    if groups == [8, 4, 4, 4, 12] && digits {
        return Ok(Tenant::Id(text.to_ascii_lowercase()));
    }
    domain(text).map(Tenant::Domain).map_err(|_| "not a tenant")
}

/// `Name: secret`, as a routing rule of one's own writes it.
fn secret_header(bytes: &[u8]) -> Option<Tenant> {
    let text = std::str::from_utf8(bytes).ok()?.trim_end_matches(['\r', '\n']);
    let (name, value) = text.split_once(':')?;
    let value = value.trim();
    let named = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let fit = value.len() >= SHORTEST_SECRET && value.bytes().all(|byte| byte.is_ascii_graphic());
    (named && fit).then(|| Tenant::Header { name: name.to_owned(), value: value.to_owned().into() })
}

impl WrittenPeer {
    fn checked(&self) -> Peer {
        Peer {
            networks: values(self.networks.clone()),
            certificate_name: self.certificate_name.as_ref().map(|name| name.value.clone()),
            answer_within: self.answer_within.as_ref().map_or(Peer::ANSWER_WITHIN, |within| within.value),
            senders: self.senders.as_ref().map_or(Senders::Any, |senders| senders.value),
            line_endings: self.line_endings.as_ref().map(|endings| endings.value).unwrap_or_default(),
            xclient: self.xclient,
            login_in_received: self.login_in_received,
            tenant: None,
        }
    }
}

struct Check<'c> {
    source: &'c Source,
    folder: &'c Path,
    diagnostics: &'c mut Diagnostics,
}

impl Check<'_> {
    fn mistake(&mut self, at: &Range<usize>, message: impl Into<String>, allowed: impl Into<String>) {
        self.diagnostics.push(Diagnostic::new(self.source, at.clone(), message).with_allowed(allowed));
    }

    fn tls(&mut self, written: &Written) -> Option<TlsSettings> {
        for (one, other, name) in
            [(&written.certificate, &written.key, "key-file"), (&written.key, &written.certificate, "certificate-file")]
        {
            if let (Some(one), None) = (one, other) {
                self.mistake(&one.at, format!("`{name}` is missing beside this"), "allowed: both, or neither");
            }
        }
        let Some((certificate, key)) = written.certificate.as_ref().zip(written.key.as_ref()) else {
            let needs = written.listen_tls.first().map(|listen| &listen.at);
            if let Some(at) = needs.or(written.authorities.as_ref().map(|file| &file.at)) {
                self.mistake(at, "there is no TLS without a certificate", "write certificate-file and key-file");
            }
            return None;
        };
        let asks = written.peers.iter().any(|peer| peer.certificate_name.is_some());
        if let Some(authorities) = written.authorities.as_ref().filter(|_| !asks) {
            let message = "no client is asked for a certificate";
            self.mistake(&authorities.at, message, "write certificate-name in a [[smtp.peer]], or leave this out");
        }
        let mut file = |named, secrecy| named_files::read(self.source, self.folder, named, secrecy, self.diagnostics);
        let (chain, secret) = (file(certificate, Secrecy::None), file(key, Secrecy::Group));
        let authorities = match &written.authorities {
            Some(named) => Some(file(named, Secrecy::None)?),
            None => None,
        };
        let tls =
            TlsSettings { certificate: OwnCertificate { chain: chain?, key: Sensitive::new(secret?) }, authorities };
        // The door itself says whether it can use them; here it gets its place.
        if let Err(error) = ServerTls::new(&tls, asks) {
            let at = match (&error, &written.authorities) {
                (TlsError::Key(_), _) => &key.at,
                (TlsError::Authorities(_), Some(file)) => &file.at,
                _ => &certificate.at,
            };
            self.diagnostics.push(Diagnostic::new(self.source, at.clone(), error.to_string()));
        }
        Some(tls)
    }

    /// Passed-through logins are their senders' own: what the outbox sends (releases, notices, reports) needs ours.
    fn auth(&mut self, smtp: &Written, hop_login: bool) {
        let Some(auth) = smtp.auth.as_ref().filter(|auth| auth.value != Auth::None) else {
            let unused = smtp.account_messages.as_ref().or(smtp.network_messages.as_ref());
            if let Some(unused) = unused {
                self.mistake(&unused.at, "nobody logs in here", "write auth = \"accounts\", or leave this out");
            }
            return;
        };
        if smtp.certificate.is_none() {
            let message = "passwords are taken under TLS alone, and there is none without a certificate";
            self.mistake(&auth.at, message, "write certificate-file and key-file");
        }
        if auth.value == Auth::NextHop && !hop_login {
            let message =
                "held mail, notices and reports are sent by outgate itself, which has no login at the next hop";
            self.mistake(&auth.at, message, "write user and password-file in [next-hop]");
        }
    }

    /// The door itself says what would be an open relay; here it gets its place.
    fn relay_risk(&mut self, smtp: &Written) {
        let mut door = smtp::Settings::new(values(smtp.listen.clone()), "");
        door.listen_tls = values(smtp.listen_tls.clone());
        door.auth = smtp.auth();
        door.peers = smtp.peers.iter().map(WrittenPeer::checked).collect();
        let Some(risk) = door.relay_risk() else { return };
        let mut networks = smtp.peers.iter().flat_map(|peer| &peer.networks);
        let (at, allowed) = match &risk {
            RelayRisk::NoPeers { listen } => (
                smtp.sockets().into_iter().find(|written| written.value == *listen).map(|written| written.at),
                "write [[smtp.peer]] with its networks, or auth = \"accounts\", or listen on 127.0.0.1",
            ),
            RelayRisk::TooWide { network } => (
                networks.find(|written| written.value == *network).map(|written| written.at.clone()),
                "allowed: the networks of your own mail servers",
            ),
            // Noted when read: `networks` is missing, or empty.
            RelayRisk::Anybody => return,
        };
        self.mistake(&at.unwrap_or(smtp.at.clone()), format!("an open relay: {risk}"), allowed);
    }

    fn peer(&mut self, peer: &WrittenPeer, tls: bool) {
        if let Some(within) = &peer.answer_within
            && !ANSWER_WITHIN.contains(&within.value.as_secs())
        {
            let allowed = format!("allowed: from {} s to {} s", ANSWER_WITHIN.start(), ANSWER_WITHIN.end());
            self.mistake(&within.at, "`answer-within` is out of range", allowed);
        }
        if let Some(name) = peer.certificate_name.as_ref().filter(|_| !tls) {
            let message = "without TLS no client shows a certificate";
            self.mistake(&name.at, message, "write certificate-file and key-file in [smtp]");
        }
        for network in &peer.networks {
            // What is wider than any organisation's own network was refused already.
            let mut door = smtp::Settings::new(Vec::new(), "");
            door.peers = vec![Peer::new(vec![network.value])];
            let cloud = clouds::shared(&network.value).filter(|_| door.relay_risk().is_none());
            if let Some(cloud) = cloud {
                self.cloud(peer, &network.at, &network.value.to_string(), cloud);
            }
        }
        if let Some(name) = &peer.certificate_name
            && let Some(cloud) = clouds::shared_name(&name.value)
        {
            self.cloud(peer, &name.at, &name.value, cloud);
        }
    }

    fn tenant(&mut self, peer: &WrittenPeer) -> Option<Tenant> {
        let Some(file) = &peer.tenant_file else { return peer.tenant.as_ref().map(|tenant| tenant.value.clone()) };
        if peer.tenant.is_some() {
            self.mistake(&file.at, "`tenant` says already how a message shows whose it is", "allowed: one of them");
        }
        let bytes = named_files::read(self.source, self.folder, file, Secrecy::Owner, self.diagnostics)?;
        let header = secret_header(&bytes);
        if header.is_none() {
            let allowed =
                format!("allowed: one line `Name: secret`, the secret of {SHORTEST_SECRET} characters or more");
            self.mistake(&file.at, "not a header field with a secret", allowed);
        }
        header
    }

    /// What all customers of a cloud share admits none of them: a message must show that it is ours, and be from us.
    fn cloud(&mut self, peer: &WrittenPeer, at: &Range<usize>, what: &str, cloud: Cloud) {
        let own = peer.senders.as_ref().is_some_and(|senders| senders.value == Senders::OwnDomains);
        let tenant = peer.tenant.as_ref().filter(|_| !cloud.writes_tenant());
        if let Some(tenant) = tenant {
            let message = format!("{} writes no tenant: any of its customers could write ours", cloud.name());
            self.mistake(&tenant.at, message, "write `tenant-file`, with a field that a routing rule of yours adds");
        }
        if own && (peer.tenant.is_some() || peer.tenant_file.is_some()) {
            return;
        }
        let name = cloud.name();
        let message = format!("{what} is shared by all customers of {name}: each of them could send as you");
        let key = if cloud.writes_tenant() { "tenant" } else { "tenant-file" };
        self.mistake(at, message, format!("write `{key}` and `senders = \"own-domains\"` in this [[smtp.peer]]"));
    }
}
