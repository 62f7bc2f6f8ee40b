//! The settings as checked: what the rest of the program works with. A value of these types cannot be wrong.

use crate::{
    delivery::relay::RouteSettings,
    detect::Country,
    intake::{
        Network,
        milter::Listen,
        smtp::{Auth, Peer, TlsSettings},
    },
    mail::{Address, dkim::Dkim},
    policy::{Directory, Legal, MaySendAs, Mode},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// All of `outgate.toml`, checked, every default filled in.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file that was read.
    pub file: PathBuf,
    /// Where it lies: all relative paths are relative to it.
    pub folder: PathBuf,
    /// As written: `policies/baseline`.
    pub policies: Vec<String>,
    /// As written here, folded; with those that the policies name, see `Loaded::own_domains`.
    pub own_domains: Vec<String>,
    pub mode: Mode,
    /// Whose personal numbers are looked for besides those of the UK.
    pub countries: Vec<Country>,
    /// What we call ourselves in EHLO and Received.
    pub hostname: String,
    pub data_dir: PathBuf,
    pub smtp: Option<SmtpDoor>,
    pub milter: Option<MilterDoor>,
    pub next_hop: NextHop,
    pub console: Console,
    pub notices: Notices,
    /// Whom a desk is told by: role to addresses.
    pub reviewers: BTreeMap<String, Vec<Address>>,
    /// Who may write as whom besides themselves.
    pub may_send_as: MaySendAs,
    pub dkim: Arc<Dkim>,
    /// As it was when read.
    pub directory: Arc<Directory>,
    /// How the organisation is registered; a policy's own takes its place.
    pub legal: Legal,
    pub metrics: Metrics,
    pub archive: Option<Archive>,
    pub store: Store,
}

#[derive(Clone, Debug)]
pub struct SmtpDoor {
    pub listen: Vec<SocketAddr>,
    /// Where TLS begins with the first byte.
    pub listen_tls: Vec<SocketAddr>,
    /// Certificates and keys as they were when read.
    pub tls: Option<TlsSettings>,
    pub auth: Auth,
    /// Messages a minute of one account, and of all who log in from one network.
    pub account_messages: u32,
    pub network_messages: u32,
    /// Who may hand in mail without AUTH.
    pub peers: Vec<Peer>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MilterDoor {
    pub listen: Vec<Listen>,
    /// Who may speak to us over TCP.
    pub networks: Vec<Network>,
    /// Of a socket in the file system.
    pub socket_mode: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NextHop {
    /// The first takes whatever no other one names. Certificates and passwords as they were when read.
    pub routes: Vec<RouteSettings>,
}

#[derive(Clone, Debug)]
pub struct Console {
    pub listen: SocketAddr,
    /// What people reach it by; without a slash at the end.
    pub url: String,
}

#[derive(Clone, Debug)]
pub struct Notices {
    /// Who our own notices are from. None: `outgate@` the first own domain.
    pub from: Option<Address>,
}

#[derive(Clone, Debug)]
pub struct Metrics {
    pub listen: SocketAddr,
}

#[derive(Clone, Debug)]
pub struct Archive {
    pub keep: Duration,
}

#[derive(Clone, Debug)]
pub struct Store {
    pub key_file: PathBuf,
}

impl Settings {
    /// `path` as seen from the configuration.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }
}
