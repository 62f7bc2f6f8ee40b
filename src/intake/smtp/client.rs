//! Who the client of a connection is, and as whom it may hand in mail.

use super::{
    settings::{Peer, Settings},
    tls::{Certified, Secured},
};
use crate::{intake::Credentials, mail::User};
use std::{net::IpAddr, sync::Arc};

pub(super) struct Client {
    /// Of the connection.
    pub connection: IpAddr,
    /// Of the client: XCLIENT may name another one.
    pub address: IpAddr,
    /// By XCLIENT. What the connection has shown (certificate, network) is not this client's.
    pub handed_over: bool,
    pub tls: Option<Secured>,
    /// Who logged in, or whom a listed peer names.
    pub user: Option<User>,
    /// A login that is passed through to the next hop.
    pub identity: Option<Arc<Credentials>>,
    /// None: a stranger, who may hand in nothing.
    pub peer: Option<Arc<Peer>>,
}

impl Client {
    pub fn new(address: IpAddr, tls: Option<Secured>, settings: &Settings) -> Self {
        let mut client =
            Self { connection: address, address, handed_over: false, tls, user: None, identity: None, peer: None };
        client.look_up(settings);
        client
    }

    /// Finds the peer anew, since what makes one has changed.
    pub fn look_up(&mut self, settings: &Settings) {
        let certificate = self.certificate().filter(|_| !self.handed_over);
        let peer = settings.peer(self.address, certificate).cloned();
        let logged_in = self.user.is_some().then(Peer::logged_in);
        self.peer = peer.or(logged_in).map(Arc::new);
    }

    fn certificate(&self) -> Option<&Certified> {
        self.tls.as_ref().and_then(|tls| tls.certificate.as_ref())
    }

    /// Whether the connection's own client may speak as others.
    pub fn may_hand_over(&self, settings: &Settings) -> bool {
        settings.peer(self.connection, self.certificate()).is_some_and(|peer| peer.xclient)
    }

    /// Whether it may say whose message it brings.
    pub fn may_forward(&self, settings: &Settings) -> bool {
        !self.handed_over && settings.peer(self.connection, self.certificate()).is_some()
    }
}

/// Whose message a peer brings (XFORWARD), as far as it knows.
#[derive(Default)]
pub(super) struct Forwarded {
    pub address: Option<IpAddr>,
    pub helo: Option<String>,
    /// The peer's queue id.
    pub ident: Option<String>,
}
