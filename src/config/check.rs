//! From the settings as written to the settings as checked: defaults filled in, and what does not go together refused.

use super::{
    directory, dkim, milter, next_hop,
    settings::{Archive, Console, Metrics, NextHop, Notices, Settings, SmtpDoor, Store},
    smtp,
    written::{self, Written},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Located, Source},
    intake::milter::Listen,
    mail::dkim::Dkim,
    policy::{Directory, MaySendAs, Mode},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Each default stands in the shipped `config/outgate.toml` too; a test holds them together.
pub(super) mod default {
    use super::*;
    pub const HOSTNAME: &str = "gate.example.org";
    pub const DATA_DIR: &str = "/var/lib/outgate";
    pub const SMTP_LISTEN: &str = "127.0.0.1:10035";
    pub const CONSOLE_LISTEN: &str = "127.0.0.1:8443";
    pub const CONSOLE_URL: &str = "https://gate.example.org:8443";
    pub const METRICS_LISTEN: &str = "127.0.0.1:9797";
    pub const KEY_FILE: &str = "store.key";
    pub const PEER_NETWORKS: [&str; 2] = ["127.0.0.0/8", "::1/128"];
    /// Three years, each counted as a leap year.
    pub const ARCHIVE_KEEP: Duration = Duration::from_secs(3 * 366 * 24 * 60 * 60);
}

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
    if let Some(door) = &written.milter {
        milter::check(source, door, check.diagnostics);
    }
    check.store(&written.store);
    check.reviewers(&written);
    let mut remarks = std::mem::take(&mut check.remarks);
    let hostname = written.hostname.as_ref().map_or(default::HOSTNAME, |name| &name.value);
    let folder = file.parent().unwrap_or(Path::new(""));
    let hop_login = written.next_hop.as_ref().is_some_and(next_hop::Written::has_login);
    let directory = directory::check(source, folder, written.directory.as_ref(), diagnostics, &mut remarks);
    let smtp = written.smtp.as_ref().and_then(|written| smtp::check(source, folder, written, hop_login, diagnostics));
    let next_hop = next_hop::check(source, folder, written.next_hop.as_ref()?, hostname, diagnostics);
    let dkim = dkim::check(source, folder, &written.dkim, diagnostics);
    // A next hop without an address was noted when read.
    let next_hop = next_hop.filter(|hop| hop.routes.iter().all(|route| !route.addresses.is_empty()))?;
    if diagnostics.len() > before {
        return None;
    }
    settings(file, written, smtp, next_hop, (dkim, directory)).map(|settings| (settings, remarks))
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
        if written.smtp.is_none() && written.milter.is_none() {
            self.mistake(0..0, "no door: nobody can hand in mail", "write [smtp] or [milter]");
        }
        if let Some(legal) = &written.legal
            && !legal.missing().is_empty()
        {
            self.remarks.push(format!("[legal] does not give {}", legal.missing().join(", ")));
        }
        if written.archive.is_some() {
            self.remarks.push("[archive]: the archive is not built yet (issue 8); nothing is archived".into());
        }
    }

    /// Two listeners at one address, or a next hop that is ourselves; the defaults count too.
    fn listeners(&mut self, written: &Written) {
        let smtp = written.smtp.iter().flat_map(smtp::Written::sockets);
        let milter = written.milter.iter().flat_map(milter_listens);
        let all: Vec<_> = smtp
            .map(|listen| ("smtp", listen))
            .chain(milter.map(|listen| ("milter", listen)))
            .chain(or_default(&written.console.listen, default::CONSOLE_LISTEN).map(|listen| ("console", listen)))
            .chain(or_default(&written.metrics_listen, default::METRICS_LISTEN).map(|listen| ("metrics", listen)))
            .collect();
        for (index, (name, listen)) in all.iter().enumerate() {
            let taken = all[..index].iter().find(|(_, earlier)| clash(earlier.value, listen.value));
            if let Some((other, earlier)) = taken {
                // A default has no place: the one that was written is where to mend it.
                let at = if listen.at.is_empty() { earlier.at.clone() } else { listen.at.clone() };
                let message = format!("[{name}] listens at {} where [{other}] already does", listen.value);
                self.mistake(at, message, "allowed: an address and port of its own");
            }
        }
        for address in written.next_hop.iter().flat_map(|hop| &hop.routes).flat_map(|route| &route.addresses) {
            let (host, port) = &address.value;
            let hop = if host == "localhost" { "127.0.0.1" } else { host };
            let hop = hop.parse().map(|ip| SocketAddr::new(ip, *port));
            let ours = |hop| all.iter().any(|(name, listen)| *name == "smtp" && clash(listen.value, hop));
            if hop.is_ok_and(ours) {
                self.mistake(
                    address.at.clone(),
                    "the next hop is our own door: every message would come back to us",
                    "allowed: the mail server that carries mail on",
                );
            }
        }
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
                self.mistake(
                    role.at.clone(),
                    message,
                    "allowed: small letters, figures and hyphens, such as dpo, hr, safeguarding, it, managers",
                );
            }
        }
        if written.reviewers.as_ref().is_none_or(Vec::is_empty) {
            self.remarks.push("[reviewers] names nobody: held messages wait until someone looks".into());
        }
    }
}

fn settings(
    file: &Path,
    written: Written,
    smtp: Option<SmtpDoor>,
    next_hop: NextHop,
    (dkim, directory): (Arc<Dkim>, Arc<Directory>),
) -> Option<Settings> {
    let folder = file.parent().unwrap_or(Path::new("")).to_path_buf();
    let below = |path: Option<Located<String>>, default: &str| -> PathBuf {
        folder.join(path.map_or_else(|| default.to_string(), |path| path.value))
    };
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
        countries: values(written.countries),
        hostname: written.hostname.map_or_else(|| default::HOSTNAME.into(), |name| name.value),
        data_dir: below(written.data_dir, default::DATA_DIR),
        smtp,
        milter: written.milter.map(|door| milter::settings(door, &default::PEER_NETWORKS)),
        next_hop,
        console: Console {
            listen: written.console.listen.map_or_else(|| parsed(default::CONSOLE_LISTEN), |listen| listen.value),
            url: written.console.url.map_or_else(|| default::CONSOLE_URL.into(), |url| url.value),
        },
        notices: Notices { from: written.notices_from.map(|from| from.value) },
        reviewers,
        may_send_as: MaySendAs {
            entries: written.may_send_as.into_iter().map(|(author, who)| (author.value, values(who))).collect(),
        },
        dkim,
        directory,
        legal: written.legal.unwrap_or_default(),
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

pub(super) fn listen(written: Vec<Located<SocketAddr>>, default: &str) -> Vec<SocketAddr> {
    if written.is_empty() { vec![parsed(default)] } else { values(written) }
}

/// What was written, else the default, without a place.
pub(super) fn or_default<'w>(
    written: impl IntoIterator<Item = &'w Located<SocketAddr>>,
    default: &str,
) -> impl Iterator<Item = Located<SocketAddr>> {
    let mut written: Vec<_> = written.into_iter().cloned().collect();
    if written.is_empty() {
        written.push(Located::new(parsed(default), 0..0));
    }
    written.into_iter()
}

/// Where the milter door listens over TCP. One that listens on sockets alone takes no port.
fn milter_listens(milter: &milter::Written) -> Vec<Located<SocketAddr>> {
    if milter.listen.is_empty() {
        return or_default(None, milter::DEFAULT_LISTEN).collect();
    }
    let address = |listen: &Located<Listen>| match &listen.value {
        Listen::Tcp(address) => Some(Located::new(*address, listen.at.clone())),
        Listen::Unix(_) => None,
    };
    milter.listen.iter().filter_map(address).collect()
}

pub(super) fn values<T>(located: Vec<Located<T>>) -> Vec<T> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        delivery::relay::{RouteSettings, TlsMode},
        intake::smtp::Senders,
        mail::Address,
    };

    fn read(text: &str) -> Result<(Settings, Remarks), String> {
        let source = Source::new("outgate.toml", text);
        let mut diagnostics = Diagnostics::default();
        let written = written::read(&source, &mut diagnostics).ok_or(diagnostics.to_string());
        let settings = written
            .ok()
            .and_then(|written| check(Path::new("/etc/outgate/outgate.toml"), &source, written, &mut diagnostics));
        diagnostics.sort();
        settings.filter(|_| diagnostics.is_empty()).ok_or_else(|| diagnostics.to_string())
    }

    const LEAST: &str = "policy = 'policies/baseline'\n[smtp]\n[next-hop]\naddress = '127.0.0.1:10036'\n";

    #[test]
    fn what_is_not_written_has_the_default_of_the_shipped_file() {
        let (least, remarks) = read(LEAST).unwrap();
        let (shipped, _) = read(include_str!("../../config/outgate.toml")).unwrap();
        for settings in [&least, &shipped] {
            assert_eq!(settings.policies, ["policies/baseline"]);
            assert_eq!(settings.mode, Mode::Enforce);
            assert_eq!(settings.hostname, "gate.example.org");
            assert_eq!(settings.data_dir, Path::new("/var/lib/outgate"));
            assert_eq!(settings.smtp.as_ref().unwrap().listen, ["127.0.0.1:10035".parse().unwrap()]);
            let peers = &settings.smtp.as_ref().unwrap().peers;
            assert_eq!(peers.len(), 1);
            assert!(peers[0].networks[0].contains("127.0.0.1".parse().unwrap()));
            assert!(peers[0].networks[1].contains("::1".parse().unwrap()));
            assert_eq!(peers[0].senders, Senders::Any);
            let route = RouteSettings::new(vec!["127.0.0.1:10036".into()], TlsMode::Opportunistic);
            assert_eq!(settings.next_hop.routes, [route]);
            assert_eq!(settings.console.listen, "127.0.0.1:8443".parse().unwrap());
            assert_eq!(settings.console.url, "https://gate.example.org:8443");
            assert_eq!(settings.metrics.listen, "127.0.0.1:9797".parse().unwrap());
            assert_eq!(settings.store.key_file, Path::new("/etc/outgate/store.key"));
        }
        assert_eq!(least.smtp.unwrap().peers[0].answer_within, Duration::from_secs(90));
        assert_eq!(shipped.smtp.unwrap().peers[0].answer_within, Duration::from_secs(540));
        assert!(least.milter.is_none() && least.archive.is_none() && least.own_domains.is_empty());
        assert_eq!(remarks, ["[reviewers] names nobody: held messages wait until someone looks"]);
        assert_eq!(shipped.milter.unwrap().listen, [Listen::Tcp("127.0.0.1:8897".parse().unwrap())]);
        assert!(shipped.archive.unwrap().keep >= Duration::from_secs((3 * 365 + 1) * 24 * 60 * 60));
        assert_eq!(shipped.notices.from, Some(Address::parse("outgate@ours.example").unwrap()));
        assert_eq!(shipped.reviewers["dpo"], [Address::parse("dpo@ours.example").unwrap()]);
    }

    #[test]
    fn relative_paths_begin_at_the_file() {
        let text = format!("data-dir = 'data'\n{LEAST}[store]\nkey-file = '../keys/outgate.key'\n");
        let (settings, _) = read(&text).unwrap();
        assert_eq!(settings.data_dir, Path::new("/etc/outgate/data"));
        assert_eq!(settings.store.key_file, Path::new("/etc/outgate/../keys/outgate.key"));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let peer = |peer: &str| format!("{LEAST}[[smtp.peer]]\n{peer}\n");
        for (text, expected) in [
            ("", "outgate.toml:1:1: `next-hop` is missing"),
            ("policy = []\n", "outgate.toml:1:10: `policy` names no policy"),
            (
                "policy = 'policies/baseline'\n[next-hop]\naddress = '127.0.0.1:25'\n",
                "outgate.toml:1:1: no door: nobody can hand in mail (write [smtp] or [milter])",
            ),
            (
                &format!("{LEAST}[milter]\nlisten = '0.0.0.0:8897'\n"),
                "[milter]: others reach 0.0.0.0:8897, and no `networks` says who may speak there",
            ),
            (&LEAST.replace("10036", "10035"), "the next hop is our own door"),
            (&LEAST.replace("127.0.0.1:10036", "localhost:10035"), "the next hop is our own door"),
            (
                &LEAST.replace("[smtp]", "[smtp]\nlisten = '0.0.0.0:25'"),
                "an open relay: the door at 0.0.0.0:25 is public",
            ),
            (&peer("networks = '0.0.0.0/0'"), "an open relay: the peer network 0.0.0.0/0 is"),
            (&peer("networks = ['::/0']"), "an open relay: the peer network ::/0 is"),
            (&peer("networks = []"), "`networks` admits nobody"),
            (&peer("answer-within = '90 s'"), "`networks` is missing"),
            (&peer("networks = '10.0.0.0/8'\nanswer-within = '1 s'"), "(allowed: from 10 s to 600 s)"),
            (&peer("networks = '40.92.0.0/16'"), "shared by all customers of Microsoft 365"),
            (&peer("networks = '40.92.0.0/16'\ntenant = 'ours.example'"), "shared by all customers of Microsoft 365"),
            (&peer("networks = '40.92.0.0/16'\nsenders = 'own-domains'"), "shared by all customers of Microsoft 365"),
            (&peer("networks = '10.0.0.0/8'\nxclient = 'yes'"), "`smtp.peer.xclient`"),
            (
                &format!("{LEAST}[metrics]\nlisten = '127.0.0.1:10035'\n"),
                "outgate.toml:6:10: [metrics] listens at 127.0.0.1:10035 where [smtp] already does",
            ),
            (&format!("{LEAST}[store]\ndatabase = 'postgres://db'\n"), "`database` is not built yet"),
            (&format!("{LEAST}[reviewers]\n'D P O' = 'dpo@ours.example'\n"), "`D P O` cannot name a role"),
            (&LEAST.replace("[smtp]", "[smpt]"), "unknown key `smpt` (did you mean `smtp`?"),
        ] {
            let found = read(text).map(|_| String::from("accepted")).unwrap_or_else(|mistakes| mistakes);
            assert!(found.contains(expected), "{text}\ngives\n{found}\nnot\n{expected}");
        }
    }

    #[test]
    fn what_is_allowed_is_accepted() {
        for text in [
            &format!("{LEAST}[[smtp.peer]]\nnetworks = '10.0.0.0/8'\nxclient = false\nlogin-in-received = false\n"),
            &LEAST.replace("[smtp]", "[smtp]\nlisten = '0.0.0.0:25'\n[[smtp.peer]]\nnetworks = '192.0.2.0/24'"),
            &format!("{LEAST}[metrics]\nlisten = '127.0.0.1:0'\n[console]\nlisten = '127.0.0.1:0'\n"),
        ] {
            assert!(read(text).is_ok(), "{text}\n{}", read(text).err().unwrap_or_default());
        }
    }
}
