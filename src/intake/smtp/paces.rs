//! How fast those who log in may send: a stolen password must not empty a mailing list before somebody looks.

use super::{client::Client, logins::network_of, settings::Limits};
use crate::{
    intake::{Network, throttle::Throttle},
    mail::Certainty,
};

#[derive(Default)]
pub(super) struct Paces {
    accounts: Throttle<String>,
    networks: Throttle<Network>,
}

impl Paces {
    /// Takes one message of the client's. Peers' servers send for many people, and have no pace.
    pub fn allow(&self, client: &Client, limits: &Limits) -> bool {
        let Some(user) = client.user.as_ref().filter(|user| user.certainty == Certainty::Authenticated) else {
            return true;
        };
        self.accounts.take(user.name.expose().clone(), limits.account_messages)
            && self.networks.take(network_of(client.address), limits.network_messages)
    }
}
