//! Who handed a message in.

use crate::sensitive::Sensitive;
use std::net::IpAddr;

/// Who handed a message in, and how sure we are.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client's address.
    pub address: IpAddr,
    /// What it said in EHLO or HELO.
    pub helo: String,
    /// EHLO was used, so the protocol is ESMTP.
    pub esmtp: bool,
    /// The TLS version and cipher, when the session is encrypted.
    pub tls: Option<String>,
    /// The account that handed it in, when we know one.
    pub user: Option<User>,
    pub door: Door,
    /// The listed peer that handed it on for this client, as it told us (XFORWARD).
    pub via: Option<Via>,
}

/// Who really holds the connection.
#[derive(Clone, Debug)]
pub struct Via {
    pub address: IpAddr,
    pub helo: String,
}

/// An account name and how it was learned.
#[derive(Clone, Debug)]
pub struct User {
    pub name: Sensitive<String>,
    pub certainty: Certainty,
}

/// How sure we are of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// Our AUTH, XCLIENT LOGIN or the milter's `{auth_authen}`.
    Authenticated,
    /// A listed peer's own Received or tenant check.
    Attested,
    Unverified,
}

/// The door by which a message came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    Smtp,
    Milter,
}

impl Door {
    pub fn as_str(self) -> &'static str {
        match self {
            Door::Smtp => "smtp",
            Door::Milter => "milter",
        }
    }
}
