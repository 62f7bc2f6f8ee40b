//! `[next-hop]` and its routes: as written, and checked, with the files that they name.
//!
//! In: the tables. Out: a route each, fit for the relay, with certificates and password read. Never: a password that
//! others can read, one that would leave in clear, a file that turns out useless only when mail waits.

use super::{
    named_files::{self, Secrecy},
    settings::NextHop,
    written::{domain, host_and_port, path},
};
use crate::{
    delivery::relay::{Domains, Relay, RelaySettings, RouteSettings, SettingsError, TlsMode},
    diagnostic::{Diagnostic, Diagnostics, Located, Source, Table},
    intake::{Credentials, OwnCertificate},
    sensitive::Sensitive,
};
use std::{ops::Range, path::Path, sync::Arc};

const TLS: [(&str, TlsMode); 4] = [
    ("none", TlsMode::None),
    ("opportunistic", TlsMode::Opportunistic),
    ("required", TlsMode::Required),
    ("implicit", TlsMode::Implicit),
];

/// All routes as written, the default first.
#[derive(Debug)]
pub(super) struct Written {
    pub routes: Vec<Route>,
}

#[derive(Debug)]
pub(super) struct Route {
    at: Range<usize>,
    domains: Vec<Located<Domains>>,
    pub addresses: Vec<Located<(String, u16)>>,
    tls: Option<Located<TlsMode>>,
    tls_name: Option<Located<String>>,
    authorities: Option<Located<String>>,
    certificate: Option<Located<String>>,
    key: Option<Located<String>>,
    user: Option<Located<String>>,
    password: Option<Located<String>>,
}

pub(super) fn read(table: &Table<'_>) -> Option<Written> {
    let table = table.required("next-hop")?.table()?;
    let mut routes = vec![route(&table, Vec::new())];
    for other in table.tables("route") {
        let allowed = "a domain, such as partner.example, or all below it, such as *.partner.example";
        let named = other.required("domains").map(|value| {
            if value.elements().is_empty() {
                value.mistake("`domains` names no domain");
            }
            value.elements().iter().filter_map(|element| element.parsed(allowed, domains)).collect()
        });
        routes.push(route(&other, named.unwrap_or_default()));
        other.finish();
    }
    table.finish();
    Some(Written { routes })
}

impl Written {
    /// Whether the default route has a login of ours.
    pub fn has_login(&self) -> bool {
        self.routes.first().is_some_and(|route| route.user.is_some())
    }
}

fn route(table: &Table<'_>, domains: Vec<Located<Domains>>) -> Route {
    let allowed = "a host and its port, such as 127.0.0.1:25 or mail.ours.example:25";
    let addresses = table.required("address").map(|value| {
        if value.elements().is_empty() {
            value.mistake("`address` names no host");
        }
        value.elements().iter().filter_map(|element| element.parsed(allowed, host_and_port)).collect()
    });
    Route {
        at: table.at(),
        domains,
        addresses: addresses.unwrap_or_default(),
        tls: table.choice("tls", &TLS),
        tls_name: table.parsed("tls-name", "the name in the hop's certificate, such as mail.ours.example", domain),
        authorities: path(table, "certificate-authority-file"),
        certificate: path(table, "certificate-file"),
        key: path(table, "key-file"),
        user: table.filled_text("user"),
        password: path(table, "password-file"),
    }
}

fn domains(text: &str) -> Result<Domains, &'static str> {
    match text.trim().strip_prefix("*.") {
        Some(rest) => domain(rest).map(Domains::Below),
        None => domain(text).map(Domains::One),
    }
}

/// None when a mistake was noted.
pub(super) fn check(
    source: &Source,
    folder: &Path,
    written: &Written,
    hostname: &str,
    diagnostics: &mut Diagnostics,
) -> Option<NextHop> {
    let before = diagnostics.len();
    let mut check = Check { source, folder, diagnostics };
    check.twice(&written.routes);
    let routes = written.routes.iter().map(|route| check.route(route, hostname)).collect();
    (diagnostics.len() == before).then_some(NextHop { routes })
}

struct Check<'c> {
    source: &'c Source,
    folder: &'c Path,
    diagnostics: &'c mut Diagnostics,
}

impl Check<'_> {
    fn mistake(&mut self, at: &Range<usize>, message: impl Into<String>, allowed: &str) {
        self.diagnostics.push(Diagnostic::new(self.source, at.clone(), message).with_allowed(allowed));
    }

    fn twice(&mut self, routes: &[Route]) {
        let all: Vec<_> = routes.iter().flat_map(|route| &route.domains).collect();
        for (index, domains) in all.iter().enumerate() {
            if all[..index].iter().any(|earlier| earlier.value == domains.value) {
                self.mistake(&domains.at, "this domain has a route already", "allowed: one route for each");
            }
        }
    }

    fn route(&mut self, route: &Route, hostname: &str) -> RouteSettings {
        let tls = route.tls.as_ref().map_or(TlsMode::Opportunistic, |tls| tls.value);
        self.goes_together(route, tls);
        let certificate = match (&route.certificate, &route.key) {
            (Some(chain), Some(key)) => {
                let (chain, key) = (self.file(chain, Secrecy::None), self.file(key, Secrecy::Group));
                chain.zip(key).map(|(chain, key)| OwnCertificate { chain, key: Sensitive::new(key) })
            }
            _ => None,
        };
        let checked = RouteSettings {
            name: route.domains.first().map_or(RouteSettings::DEFAULT.into(), |first| match &first.value {
                Domains::One(name) | Domains::Below(name) => name.as_str().into(),
            }),
            domains: route.domains.iter().map(|domains| domains.value.clone()).collect(),
            addresses: route.addresses.iter().map(|address| written_out(&address.value)).collect(),
            tls,
            tls_name: route.tls_name.as_ref().map(|name| name.value.clone()),
            authorities: route.authorities.as_ref().and_then(|file| self.file(file, Secrecy::None)),
            certificate,
            login: self.login(route),
        };
        self.usable(route, &checked, hostname);
        checked
    }

    fn goes_together(&mut self, route: &Route, tls: TlsMode) {
        for (one, other, name) in [
            (&route.certificate, &route.key, "key-file"),
            (&route.key, &route.certificate, "certificate-file"),
            (&route.user, &route.password, "password-file"),
            (&route.password, &route.user, "user"),
        ] {
            if let (Some(one), None) = (one, other) {
                self.mistake(&one.at, format!("`{name}` is missing beside this"), "allowed: both, or neither");
            }
        }
        let verifies = [&route.tls_name, &route.authorities].into_iter().flatten().next();
        if let Some(asked) = verifies.filter(|_| !tls.verifies()) {
            let message = "nobody's certificate is checked here";
            self.mistake(&asked.at, message, "write tls = \"required\" or tls = \"implicit\", or leave this out");
        }
        if let Some(certificate) = route.certificate.as_ref().filter(|_| tls == TlsMode::None) {
            self.mistake(&certificate.at, "without TLS nobody is shown a certificate", "leave it out");
        }
        let local = route.addresses.iter().all(|address| is_local(&address.value.0));
        if let Some(user) = route.user.as_ref().filter(|_| !tls.verifies() && !local) {
            let message = "the password would leave in clear, or to whoever answers";
            self.mistake(&user.at, message, "write tls = \"required\" or tls = \"implicit\" with a login");
        }
        let implicit = route.addresses.iter().find(|address| address.value.1 == 465);
        if let Some(address) = implicit.filter(|_| tls != TlsMode::Implicit) {
            self.mistake(&address.at, "at port 465 TLS begins at once", "write tls = \"implicit\"");
        }
    }

    fn login(&mut self, route: &Route) -> Option<Arc<Credentials>> {
        let (user, file) = (route.user.as_ref()?, route.password.as_ref()?);
        let bytes = self.file(file, Secrecy::Owner)?;
        // Editors and `echo` end a file with a line feed; nobody's password does.
        let password = std::str::from_utf8(&bytes).ok().map(|text| text.trim_end_matches(['\r', '\n']));
        let fit = |text: &&str| !text.is_empty() && !text.chars().any(char::is_control);
        let Some(password) = password.filter(fit) else {
            self.mistake(&file.at, "not a password", "allowed: one line of UTF-8 text");
            return None;
        };
        if user.value.chars().any(char::is_control) {
            self.mistake(&user.at, "not a user's name", "allowed: a text without control characters");
            return None;
        }
        Some(Arc::new(Credentials { user: user.value.clone().into(), password: password.to_string().into() }))
    }

    /// The relay itself says whether it can use this; here it gets its place.
    fn usable(&mut self, route: &Route, checked: &RouteSettings, hostname: &str) {
        if checked.addresses.is_empty() {
            // Noted when read.
            return;
        }
        let settings = RelaySettings::with_routes(vec![checked.clone()], hostname);
        let Err(error) = Relay::new(settings) else { return };
        let file = |file: &Option<Located<String>>| file.as_ref().map(|file| file.at.clone());
        let at = match &error {
            SettingsError::Authorities(_) => file(&route.authorities),
            SettingsError::Certificate(_) => file(&route.certificate),
            SettingsError::Key(_) => file(&route.key),
            SettingsError::Name => file(&route.tls_name),
            SettingsError::Address | SettingsError::Tls(_) => None,
        };
        let at = at.unwrap_or_else(|| route.at.clone());
        self.diagnostics.push(Diagnostic::new(self.source, at, error.to_string()));
    }

    fn file(&mut self, named: &Located<String>, secrecy: Secrecy) -> Option<Arc<[u8]>> {
        named_files::read(self.source, self.folder, named, secrecy, self.diagnostics)
    }
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn written_out((host, port): &(String, u16)) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
