//! `[milter]`: as written, and checked.
//!
//! Whoever reaches the door may have us hold mail and write to people about it, so over TCP only listed networks do.

use super::{
    settings::MilterDoor,
    written::{LISTEN, socket},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Located, Source, Table},
    intake::{
        Network,
        milter::Listen,
        smtp::{RelayRisk, is_too_wide},
    },
};
pub(super) const DEFAULT_LISTEN: &str = "127.0.0.1:8897";
/// The service's own user, and a group that the mail server's user is put into.
const DEFAULT_MODE: u32 = 0o660;
/// What a socket's path may have (sun_path of unix(7)), with the ending that it is made under.
const LONGEST_PATH: usize = 90;

#[derive(Debug)]
pub(super) struct Written {
    pub listen: Vec<Located<Listen>>,
    networks: Vec<Located<Network>>,
    socket_mode: Option<Located<u32>>,
}

pub(super) fn read(table: &Table<'_>) -> Written {
    let allowed = format!("{LISTEN}; or a socket, such as unix:/run/outgate/milter.sock");
    let network = "an address or a block of addresses, such as 192.0.2.1 or 192.0.2.0/24";
    let mode = "what others may do with the socket, such as 0660 or 0600";
    Written {
        listen: table.parsed_list("listen", &allowed, listen),
        networks: table.parsed_list("networks", network, str::parse),
        socket_mode: table.parsed("socket-mode", mode, socket_mode),
    }
}

fn listen(text: &str) -> Result<Listen, &'static str> {
    let Some(path) = text.strip_prefix("unix:") else { return socket(text).map(Listen::Tcp) };
    match path {
        path if !path.starts_with('/') => Err("a socket's path begins with /"),
        path if path.len() > LONGEST_PATH => Err("a socket's path has at most 90 bytes"),
        path => Ok(Listen::Unix(path.into())),
    }
}

fn socket_mode(text: &str) -> Result<u32, &'static str> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if text.len() == 4 && mode & !0o666 == 0 && mode & 0o600 == 0o600 => Ok(mode),
        Ok(_) => Err("a socket needs reading and writing by its owner, and is not executed"),
        Err(_) => Err("not a mode of four octal digits"),
    }
}

pub(super) fn check(source: &Source, written: &Written, diagnostics: &mut Diagnostics) {
    for network in written.networks.iter().filter(|network| is_too_wide(network.value)) {
        let message = format!("[milter]: {}", RelayRisk::TooWide { network: network.value });
        let allowed = "allowed: the networks of your own mail servers";
        diagnostics.push(Diagnostic::new(source, network.at.clone(), message).with_allowed(allowed));
    }
    for listen in written.listen.iter().filter(|_| written.networks.is_empty()) {
        if let Listen::Tcp(address) = &listen.value
            && !address.ip().to_canonical().is_loopback()
        {
            let message = format!("[milter]: others reach {address}, and no `networks` says who may speak there");
            let allowed = "write networks = [\"192.0.2.25\"] with your mail servers, or listen on this machine alone";
            diagnostics.push(Diagnostic::new(source, listen.at.clone(), message).with_allowed(allowed));
        }
    }
}

pub(super) fn settings(written: Written, loopback: &[&str]) -> MilterDoor {
    let default = || Listen::Tcp(DEFAULT_LISTEN.parse().expect("a default of ours is an address with its port"));
    let own = || loopback.iter().map(|network| network.parse().expect("a default of ours is a network")).collect();
    let values = |networks: Vec<Located<Network>>| networks.into_iter().map(|network| network.value).collect();
    MilterDoor {
        listen: match written.listen.is_empty() {
            true => vec![default()],
            false => written.listen.into_iter().map(|listen| listen.value).collect(),
        },
        networks: if written.networks.is_empty() { own() } else { values(written.networks) },
        socket_mode: written.socket_mode.map_or(DEFAULT_MODE, |mode| mode.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_listens() {
        assert_eq!(listen("unix:/run/outgate/milter.sock"), Ok(Listen::Unix("/run/outgate/milter.sock".into())));
        assert_eq!(listen("127.0.0.1:8897"), Ok(Listen::Tcp("127.0.0.1:8897".parse().unwrap())));
        for wrong in ["unix:milter.sock", "inet:8897@localhost", "unix:", &format!("unix:/{}", "x".repeat(99))] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_others_may_do_with_the_socket() {
        for (text, mode) in [("0660", Some(0o660)), ("0600", Some(0o600)), ("0666", Some(0o666))] {
            assert_eq!(socket_mode(text).ok(), mode, "{text}");
        }
        for wrong in ["660", "0777", "0066", "rw", "0o660", "1660"] {
            assert!(socket_mode(wrong).is_err(), "{wrong}");
        }
    }
}
