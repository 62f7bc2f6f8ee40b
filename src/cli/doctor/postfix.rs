//! Postfix's settings, as `postconf` tells them: whether its mail comes to outgate, and what there undoes what outgate does.

mod judge;

use crate::{config::Settings, intake::milter::Listen};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    process::Command,
};

/// What is asked for.
const ASKED: [&str; 21] = [
    "content_filter",
    "default_destination_recipient_limit",
    "inet_interfaces",
    "mail_version",
    "milter_default_action",
    "mydestination",
    "myhostname",
    "mynetworks",
    "non_smtpd_milters",
    "receive_override_options",
    "relay_domains",
    "relayhost",
    "smtp_destination_recipient_limit",
    "smtpd_forbid_bare_newline",
    "smtpd_forbid_bare_newline_exclusions",
    "smtpd_milters",
    "smtpd_proxy_filter",
    "smtpd_proxy_options",
    "transport_maps",
    "virtual_alias_domains",
    "virtual_mailbox_domains",
];

/// Postfix's settings.
#[derive(Debug, Default)]
pub(super) struct Postfix {
    /// main.cf, with the defaults.
    main: BTreeMap<String, String>,
    services: Vec<Service>,
}

/// A line of master.cf.
#[derive(Debug)]
struct Service {
    /// `smtp`, `submission`, `127.0.0.1:10036`.
    name: String,
    command: String,
    /// What `-o` says.
    options: BTreeMap<String, String>,
}

/// Which mail comes to outgate, as far as the settings say.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    pub outgoing: bool,
    pub internal: bool,
    pub incoming: bool,
    /// People's own services (587, 465) ask outgate.
    pub login: bool,
    /// Where a message can be handed in so that it goes this way, without an account.
    pub server: Option<String>,
    ways: Ways,
}

/// By which of its settings.
#[derive(Clone, Debug, Default)]
struct Ways {
    relayhost: bool,
    content_filter: bool,
    proxy: bool,
    milter: bool,
}

impl Path {
    /// Of a server whose settings cannot be seen, but whose administrator names it.
    pub fn of_named_server() -> Self {
        Self { outgoing: true, internal: true, incoming: true, ..Self::default() }
    }

    /// Handed in where people log in.
    pub fn by_login(&self) -> Self {
        Self { internal: self.internal || self.login, ..self.clone() }
    }
}

impl Postfix {
    /// None: no Postfix here, or it does not say.
    pub fn here() -> Option<Self> {
        let ask = |arguments: &[&str]| {
            let output = ["postconf", "/usr/sbin/postconf"]
                .iter()
                .find_map(|program| Command::new(program).args(arguments).env("LC_ALL", "C").output().ok())?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let main = ask(&ASKED)?;
        Some(Self::read(&main, &ask(&["-M"])?, &ask(&["-P"]).unwrap_or_default()))
    }

    /// From what `postconf`, `postconf -M` and `postconf -P` write.
    fn read(main: &str, services: &str, options: &str) -> Self {
        let pair = |line: &str| {
            let (name, value) = line.split_once('=')?;
            Some((name.trim().to_string(), value.trim().to_string()))
        };
        let mut services: Vec<Service> = services
            .lines()
            .filter_map(|line| {
                // service type private unpriv chroot wakeup maxproc command
                let mut words = line.split_whitespace();
                let (name, kind) = (words.next()?.to_string(), words.next()?);
                let command = words.nth(5)?.to_string();
                (kind == "inet").then(|| Service { name, command, options: BTreeMap::new() })
            })
            .collect();
        for (name, value) in options.lines().filter_map(pair) {
            let Some((service, option)) = name.rsplit_once('/') else { continue };
            if let Some(service) = services.iter_mut().find(|known| format!("{}/inet", known.name) == service) {
                service.options.insert(option.to_string(), value);
            }
        }
        Self { main: main.lines().filter_map(pair).collect(), services }
    }

    fn value(&self, name: &str) -> &str {
        self.main.get(name).map_or("", String::as_str)
    }

    fn servers(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(|service| service.command == "smtpd")
    }

    /// What counts for a service: its own option, else main.cf's.
    fn of<'p>(&'p self, service: &'p Service, name: &str) -> &'p str {
        service.options.get(name).map_or_else(|| self.value(name), String::as_str)
    }

    /// Which mail passes outgate.
    pub fn path(&self, settings: &Settings) -> Path {
        let doors = Doors::of(settings);
        let asks = |service: &Service| Ways {
            relayhost: false,
            content_filter: doors.smtp(self.of(service, "content_filter")),
            proxy: doors.smtp(self.of(service, "smtpd_proxy_filter")),
            milter: entries(self.of(service, "smtpd_milters")).any(|entry| doors.milter(entry)),
        };
        let any = |ways: &Ways| ways.content_filter || ways.proxy || ways.milter;
        let mut ways = Ways { relayhost: doors.smtp(self.value("relayhost")), ..Ways::default() };
        let (mut internal, mut incoming, mut public) = (false, false, false);
        for service in self.servers() {
            let found = asks(service);
            ways.content_filter |= found.content_filter;
            ways.proxy |= found.proxy;
            ways.milter |= found.milter;
            internal |= any(&found);
            if is_public(&service.name) {
                public = true;
                incoming |= any(&found);
            }
        }
        let outgoing = ways.relayhost || any(&ways);
        let by_port_25 = public && (ways.relayhost || incoming);
        let server = (outgoing && by_port_25).then(|| "127.0.0.1:25".to_string());
        // At port 25 the test message is no colleague's who logged in: what is true there counts.
        Path { outgoing, internal: internal && incoming, incoming, login: internal, server, ways }
    }
}

fn is_public(service: &str) -> bool {
    service == "smtp" || service == "25" || service.ends_with(":25") || service.ends_with(":smtp")
}

/// Of a list of milters, each with what stands in its braces: `inet:127.0.0.1:8891, { unix:/run/x, default_action=accept }`.
fn entries(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return None;
        }
        let end = match rest.starts_with('{') {
            true => rest.find('}').map_or(rest.len(), |end| end + 1),
            false => rest.find([' ', '\t', ',']).unwrap_or(rest.len()),
        };
        let (entry, behind) = rest.split_at(end);
        rest = behind;
        Some(entry)
    })
}

/// Where outgate listens, as Postfix may write it.
struct Doors {
    smtp: Vec<SocketAddr>,
    milter: Vec<Listen>,
}

impl Doors {
    fn of(settings: &Settings) -> Self {
        let smtp = settings.smtp.iter().flat_map(|door| door.listen.iter().chain(&door.listen_tls)).copied();
        Self { smtp: smtp.collect(), milter: settings.milter.iter().flat_map(|door| door.listen.clone()).collect() }
    }

    /// `[127.0.0.1]:10035`, `smtp:[127.0.0.1]:10035`, `inet:localhost:10035`, `127.0.0.1:10035`.
    fn smtp(&self, value: &str) -> bool {
        self.smtp.iter().any(|door| is_at(value, *door))
    }

    fn milter(&self, entry: &str) -> bool {
        let entry = entry.trim_matches(['{', '}', ' ', ',']).split([',', ' ']).next().unwrap_or_default();
        self.milter.iter().any(|door| match door {
            Listen::Tcp(door) => is_at(entry, *door),
            // Postfix in a chroot sees the path from there.
            Listen::Unix(path) => {
                let asked = entry.strip_prefix("unix:").unwrap_or_default().trim_start_matches('/');
                !asked.is_empty() && path.to_string_lossy().ends_with(&format!("/{asked}"))
            }
        })
    }
}

/// Whether this names a place on this machine.
pub(super) fn is_here(server: &str) -> bool {
    place(server)
        .is_some_and(|(host, _)| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

fn is_at(value: &str, door: SocketAddr) -> bool {
    let Some((host, port)) = place(value) else { return false };
    let here = |ip: IpAddr| ip == door.ip() || door.ip().is_unspecified();
    port == door.port()
        && match host.parse::<IpAddr>() {
            Ok(ip) => here(ip),
            Err(_) => host == "localhost" && (door.ip().is_loopback() || door.ip().is_unspecified()),
        }
}

/// Host and port at the end of a value that may begin with a transport: `outgate:[127.0.0.1]:10035`.
fn place(value: &str) -> Option<(String, u16)> {
    let (before, port) = value.trim().rsplit_once(':')?;
    let host = match before.rsplit_once('[') {
        Some((_, host)) => host.strip_suffix(']')?,
        None => before.rsplit(':').next()?,
    };
    Some((host.to_string(), port.parse().ok()?))
}
