//! Commands that change who the client is: STARTTLS (RFC 3207), and XCLIENT and XFORWARD (Postfix's XCLIENT_README and
//! XFORWARD_README), by which a listed peer speaks for another client. Logins: `auth`.

use super::{
    client::Forwarded,
    session::{End, Session},
};
use crate::{
    intake::Corridor,
    mail::{
        Certainty, User,
        wire::{Attribute, Reply},
    },
};
use std::net::{IpAddr, Ipv4Addr};

/// What XCLIENT may tell. Of these only the address and the login count.
pub(super) const XCLIENT: &str = "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT";
const XCLIENT_NAMES: &[&str] = &["NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT"];

pub(super) const XFORWARD: &str = "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE";
const XFORWARD_NAMES: &[&str] = &["NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"];

/// A queue id, as servers write them.
const LONGEST_IDENT: usize = 100;

impl<C: Corridor> Session<C> {
    /// What the client says behind its STARTTLS, before our answer, came in clear from whoever was in between: it is
    /// never obeyed.
    pub(super) async fn start_tls(&mut self) -> Result<(), End> {
        if self.client.tls.is_some() {
            return self.fault(Reply::new(503, (5, 5, 1), "TLS is active already")).await;
        }
        if self.active.tls.is_none() {
            return self.fault(Reply::new(502, (5, 5, 1), "Command not implemented")).await;
        }
        if self.connection.has_more() {
            return Err(End::early());
        }
        // All that was learned in clear is forgotten (RFC 3207 4.2).
        self.begin_anew();
        self.connection.reply(&Reply::new(220, (2, 0, 0), "Ready to start TLS"));
        self.connection.flush().await.map_err(|_| End::Gone)?;
        let secured = self.door.secure(&self.active, &mut self.connection, self.client.connection).await;
        self.client.tls = Some(secured.ok_or(End::Gone)?);
        self.client.look_up(&self.active.settings);
        self.count_idle()
    }

    /// The peer hands its client over to us: from now on the session is that client's, with that client's rights.
    pub(super) async fn xclient(&mut self, attributes: Vec<Attribute>) -> Result<(), End> {
        if !self.client.may_hand_over(&self.active.settings) {
            return self.fault(Reply::new(550, (5, 7, 0), "Not for you")).await;
        }
        let Some(address) = told_address(&attributes, XCLIENT_NAMES) else {
            return self.fault(malformed()).await;
        };
        let login = attributes.iter().find(|attribute| attribute.name == "LOGIN");
        self.begin_anew();
        match address {
            Told::Nothing => {}
            // Nobody's.
            Told::Unknown => self.client.address = Ipv4Addr::UNSPECIFIED.into(),
            Told::Address(address) => self.client.address = address,
        }
        if let Some(login) = login {
            let name = login.value.as_ref().map(|name| name.expose().to_lowercase()).filter(|name| !name.is_empty());
            self.client.user = name.map(|name| User { name: name.into(), certainty: Certainty::Authenticated });
        }
        self.client.handed_over = true;
        self.client.look_up(&self.active.settings);
        tracing::debug!(peer = %self.client.connection, client = %self.client.address, "a peer hands its client over");
        self.connection.reply(&Reply::plain(220, &format!("{} ESMTP", self.active.settings.hostname)));
        self.count_idle()
    }

    /// Whose message comes next, for the record: it gives that client no rights.
    pub(super) async fn xforward(&mut self, attributes: Vec<Attribute>) -> Result<(), End> {
        if !self.client.may_forward(&self.active.settings) {
            return self.fault(Reply::new(550, (5, 7, 0), "Not for you")).await;
        }
        let Some(address) = told_address(&attributes, XFORWARD_NAMES) else {
            return self.fault(malformed()).await;
        };
        let forwarded = self.forwarded.get_or_insert_with(Forwarded::default);
        match address {
            Told::Nothing => {}
            Told::Unknown => forwarded.address = None,
            Told::Address(address) => forwarded.address = Some(address),
        }
        for attribute in &attributes {
            let value = || attribute.value.as_ref().map(|value| value.expose().clone());
            match attribute.name.as_str() {
                "HELO" => forwarded.helo = value().filter(|helo| is_plain(helo)),
                "IDENT" => forwarded.ident = value().filter(|ident| is_plain(ident) && ident.len() <= LONGEST_IDENT),
                _ => {}
            }
        }
        self.idle(Reply::new(250, (2, 0, 0), "OK"))
    }
}

/// What is said of the client's address.
enum Told {
    Nothing,
    Unknown,
    Address(IpAddr),
}

/// None when an attribute is none of `names`, or the address is none.
fn told_address(attributes: &[Attribute], names: &[&str]) -> Option<Told> {
    if attributes.is_empty() || attributes.iter().any(|attribute| !names.contains(&attribute.name.as_str())) {
        return None;
    }
    let Some(told) = attributes.iter().find(|attribute| attribute.name == "ADDR") else { return Some(Told::Nothing) };
    let Some(value) = &told.value else { return Some(Told::Unknown) };
    let value = value.expose();
    let version_six = value.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("IPV6:"));
    let address: IpAddr = if version_six { &value[5..] } else { value }.parse().ok()?;
    Some(Told::Address(address.to_canonical()))
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}

fn malformed() -> Reply {
    Reply::new(501, (5, 5, 4), "Attribute malformed or unknown")
}
