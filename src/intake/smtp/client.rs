//! Who the client of a connection is, and as whom it may hand in mail.

use super::{
    settings::{Peer, Settings},
    tls::Secured,
};
use std::{net::IpAddr, sync::Arc};

pub(super) struct Client {
    pub address: IpAddr,
    pub tls: Option<Secured>,
    /// None: a stranger, who may hand in nothing.
    pub peer: Option<Arc<Peer>>,
}

impl Client {
    pub fn new(address: IpAddr, tls: Option<Secured>, settings: &Settings) -> Self {
        let mut client = Self { address, tls, peer: None };
        client.look_up(settings);
        client
    }

    /// Finds the peer anew, since what makes one has changed.
    pub fn look_up(&mut self, settings: &Settings) {
        let certificate = self.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
        self.peer = settings.peer(self.address, certificate).cloned().map(Arc::new);
    }
}
