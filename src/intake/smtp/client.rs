//! Who the client of a connection is, and as whom it may hand in mail.

use super::{
    settings::{Peer, Settings},
    tls::Secured,
};
use crate::{intake::Credentials, mail::User};
use std::{net::IpAddr, sync::Arc};

pub(super) struct Client {
    pub address: IpAddr,
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
        let mut client = Self { address, tls, user: None, identity: None, peer: None };
        client.look_up(settings);
        client
    }

    /// Finds the peer anew, since what makes one has changed.
    pub fn look_up(&mut self, settings: &Settings) {
        let certificate = self.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
        let peer = settings.peer(self.address, certificate).cloned();
        let logged_in = self.user.is_some().then(Peer::logged_in);
        self.peer = peer.or(logged_in).map(Arc::new);
    }
}
