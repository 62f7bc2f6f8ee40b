//! The settings as written: what stands in `outgate.toml`, key by key, each with its place. Nothing is filled in here,
//! and whether the values go together is for `check` to say.

use super::{directory, dkim, milter, next_hop, smtp};
use crate::{
    detect::Country,
    diagnostic::{self, Diagnostic, Diagnostics, Located, Source, Table},
    mail::Address,
    policy::{
        Mode, Who,
        legal::{self, Legal},
    },
};
use std::{net::SocketAddr, time::Duration};

pub(super) const LISTEN: &str = "an address with its port, such as 127.0.0.1:10035 or [::1]:10035";
pub(super) const DOMAIN: &str = "a domain, such as ours.example";
const ADDRESS: &str = "an address, such as office@ours.example";

/// An author and who may write so.
pub(super) type SharedMailbox = (Located<Who>, Vec<Located<Who>>);

/// A role and who has it.
pub(super) type Role = (Located<String>, Vec<Located<Address>>);

/// `outgate.toml` as written.
#[derive(Debug)]
pub(super) struct Written {
    pub policy: Vec<Located<String>>,
    pub own_domains: Vec<Located<String>>,
    pub mode: Option<Located<Mode>>,
    pub countries: Vec<Located<Country>>,
    pub hostname: Option<Located<String>>,
    pub data_dir: Option<Located<String>>,
    pub smtp: Option<smtp::Written>,
    pub milter: Option<milter::Written>,
    pub next_hop: Option<next_hop::Written>,
    pub console: Console,
    pub notices_from: Option<Located<Address>>,
    pub reviewers: Option<Vec<Role>>,
    pub may_send_as: Vec<SharedMailbox>,
    pub dkim: Vec<dkim::Written>,
    pub directory: Option<directory::Written>,
    pub legal: Option<Legal>,
    pub metrics_listen: Option<Located<SocketAddr>>,
    pub archive: Option<Archive>,
    pub store: Store,
}

#[derive(Debug, Default)]
pub(super) struct Console {
    pub listen: Option<Located<SocketAddr>>,
    pub url: Option<Located<String>>,
}

#[derive(Debug)]
pub(super) struct Archive {
    pub keep: Option<Located<Duration>>,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub key_file: Option<Located<String>>,
    pub unbuilt: Vec<Located<&'static str>>,
}

/// None when the file is not TOML at all. What is wrong is noted and left out.
pub(super) fn read(source: &Source, diagnostics: &mut Diagnostics) -> Option<Written> {
    diagnostic::read(source, diagnostics, |table| {
        Some(Written {
            policy: policies(table),
            own_domains: table.parsed_list("own-domains", DOMAIN, domain),
            mode: table.choice("mode", &[("enforce", Mode::Enforce), ("watch", Mode::Watch)]),
            countries: table.parsed_list("countries", "us or eu", country),
            hostname: table.parsed("hostname", "a host's full name, such as gate.example.org", domain),
            data_dir: path(table, "data-dir"),
            smtp: section(table, "smtp", smtp::read),
            milter: section(table, "milter", milter::read),
            next_hop: next_hop::read(table),
            console: section(table, "console", console).unwrap_or_default(),
            notices_from: section(table, "notices", |notices| notices.parsed("from", ADDRESS, Address::parse))
                .flatten(),
            reviewers: section(table, "reviewers", reviewers),
            may_send_as: section(table, "may-send-as", may_send_as).unwrap_or_default(),
            dkim: dkim::read(table),
            directory: section(table, "directory", directory::read),
            legal: section(table, "legal", legal::read),
            metrics_listen: section(table, "metrics", |metrics| metrics.parsed("listen", LISTEN, socket)).flatten(),
            archive: section(table, "archive", |archive| Archive { keep: archive.duration("keep") }),
            store: section(table, "store", store).unwrap_or_default(),
        })
    })
}

fn country(text: &str) -> Result<Country, &'static str> {
    Country::ALL.into_iter().find(|country| country.name() == text).ok_or("no set of numbers")
}

fn section<T>(table: &Table<'_>, name: &str, read: impl FnOnce(&Table<'_>) -> T) -> Option<T> {
    let section = table.table(name)?;
    let value = read(&section);
    section.finish();
    Some(value)
}

fn policies(table: &Table<'_>) -> Vec<Located<String>> {
    let Some(value) = table.required("policy") else { return Vec::new() };
    let policies = value.texts();
    if policies.is_empty() {
        value.mistake("`policy` names no policy");
    }
    for policy in policies.iter().filter(|policy| policy.value.trim().is_empty()) {
        table.mistake_at(policy.at.clone(), "`policy` has an empty name");
    }
    policies.into_iter().filter(|policy| !policy.value.trim().is_empty()).collect()
}

fn console(table: &Table<'_>) -> Console {
    let allowed = "https://host or https://host:port; http only for this machine itself";
    Console { listen: table.parsed("listen", LISTEN, socket), url: table.parsed("url", allowed, url) }
}

fn reviewers(table: &Table<'_>) -> Vec<Role> {
    let entries = table.entries().into_iter().map(|(role, value)| {
        let elements = value.elements();
        if elements.is_empty() {
            value.mistake(format!("`{}` names nobody", value.name()));
        }
        let addresses = elements.iter().filter_map(|element| element.parsed(ADDRESS, Address::parse)).collect();
        (role, addresses)
    });
    entries.collect()
}

fn may_send_as(table: &Table<'_>) -> Vec<SharedMailbox> {
    const SENDER: &str = "an address, an account's name, or *@ours.example for a whole domain";
    let entries = table.entries().into_iter().filter_map(|(author, value)| {
        let elements = value.elements();
        if elements.is_empty() {
            value.mistake(format!("`{}` names nobody", value.name()));
        }
        let senders = elements.iter().filter_map(|element| element.parsed(SENDER, Who::parse)).collect();
        match Who::parse(&author.value) {
            Ok(who @ (Who::Mailbox(_) | Who::Domain(_))) => Some((Located::new(who, author.at), senders)),
            _ => {
                let message = format!("`{}` cannot be an author", author.value);
                let wrong = Diagnostic::new(table.source(), author.at, message);
                table.mistake(wrong.with_allowed("allowed: an address in quotes, or \"*@ours.example\""));
                None
            }
        }
    });
    entries.collect()
}

fn store(table: &Table<'_>) -> Store {
    Store {
        key_file: path(table, "key-file"),
        unbuilt: ["database", "objects"].into_iter().filter_map(|key| asked_text(table, key)).collect(),
    }
}

pub(super) fn sockets(table: &Table<'_>, key: &str) -> Vec<Located<SocketAddr>> {
    table.parsed_list(key, LISTEN, socket)
}

fn asked_text(table: &Table<'_>, key: &'static str) -> Option<Located<&'static str>> {
    table.text(key).map(|text| Located::new(key, text.at))
}

pub(super) fn path(table: &Table<'_>, key: &str) -> Option<Located<String>> {
    table.parsed(key, "a path; a relative one begins at this file's folder", |text| match text.trim() {
        "" => Err("the path is empty"),
        path => Ok(path.to_string()),
    })
}

pub(super) fn socket(text: &str) -> Result<SocketAddr, &'static str> {
    text.trim().parse().map_err(|_| "not an address with its port")
}

/// Folded.
pub(super) fn domain(text: &str) -> Result<String, &'static str> {
    let domain = text.trim().to_lowercase();
    match Address::parse(&format!("postmaster@{domain}")) {
        Ok(address) if address.domain() == domain && !domain.starts_with('[') => Ok(domain),
        _ => Err("not a domain"),
    }
}

pub(super) fn host_and_port(text: &str) -> Result<(String, u16), &'static str> {
    let (host, port) = text.trim().rsplit_once(':').ok_or("the port is missing")?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or("not a port")?;
    let literal = host.strip_prefix('[').map(|rest| rest.strip_suffix(']').unwrap_or("["));
    let host = match literal {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().map_err(|_| "not an IPv6 address")?.to_string(),
        None => domain(host).map_err(|_| "not a host")?,
    };
    Ok((host, port))
}

/// Without a slash at the end. Links in notices are made from it, so nothing may follow the path.
pub(super) fn url(text: &str) -> Result<String, &'static str> {
    let text = text.trim().trim_end_matches('/');
    let (scheme, rest) = text.split_once("://").ok_or("not a URL")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if path.chars().any(|c| c.is_whitespace() || c.is_control() || "?#\"<>".contains(c)) {
        return Err("a URL to which links are added can have no query or fragment");
    }
    let host = match host_and_port(authority) {
        Ok((host, _)) => host,
        Err(_) => domain(authority).map_err(|_| "no valid host in the URL")?,
    };
    let here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    match scheme {
        "https" => Ok(text.to_string()),
        "http" if here => Ok(text.to_string()),
        "http" => Err("people's sessions would cross the network in clear"),
        _ => Err("not an https URL"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_urls() {
        assert_eq!(host_and_port("127.0.0.1:25"), Ok(("127.0.0.1".into(), 25)));
        assert_eq!(host_and_port("[::1]:25"), Ok(("::1".into(), 25)));
        assert_eq!(host_and_port("Mail.Ours.example:587"), Ok(("mail.ours.example".into(), 587)));
        for bad in ["", "mail", "mail:", "mail:0", "mail:65536", ":25", "[::1:25", "::1:25", "a b:25", "[mail]:25"] {
            assert!(host_and_port(bad).is_err(), "{bad}");
        }
        assert_eq!(url("https://gate.example.org:8443/"), Ok("https://gate.example.org:8443".into()));
        assert_eq!(url("https://gate.example.org/desk/"), Ok("https://gate.example.org/desk".into()));
        assert!(url("http://127.0.0.1:8443").is_ok() && url("http://localhost").is_ok());
        for bad in [
            "gate.example.org",
            "http://gate.example.org",
            "ftp://gate.example.org",
            "https://",
            "https://a b",
            "https://a@b",
            "https://a/?x",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
