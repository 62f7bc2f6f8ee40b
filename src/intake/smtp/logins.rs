//! Checking logins: against our accounts or the next hop's, each at a pace at which nobody guesses a password.

use super::settings::{Auth, Limits};
use crate::{
    intake::{Corridor, Credentials, Network, NextHop, PasswordHash, accounts::AccountName, throttle::Throttle},
    mail::wire::Reply,
};
use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

/// How long a login may wait for a processor.
const TURN: Duration = Duration::from_secs(10);

/// Places from which people are known to log in.
const KNOWN: usize = 20_000;

/// Who failed where: the account, the network, or the account at a network that it is known to come from.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Failing {
    Account(AccountName),
    Network(Network),
    Known(AccountName, Network),
}

pub(super) struct Logins {
    failures: Throttle<Failing>,
    /// Accounts and the networks from which each has logged in: strangers who guess its password do not lock it out there.
    known: Mutex<HashSet<(AccountName, Network)>>,
    /// Hashing takes a processor and 19 MiB.
    hashing: Arc<Semaphore>,
}

/// What became of a login.
pub(super) enum Login {
    Good,
    /// The client may go on, if it likes.
    Refused(Reply),
    /// Too many failed: nothing was looked at.
    Barred,
}

impl Logins {
    pub fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            failures: Throttle::default(),
            known: Mutex::default(),
            hashing: Arc::new(Semaphore::new(processors.div_ceil(2))),
        }
    }

    pub async fn check<C: Corridor>(
        &self,
        corridor: &C,
        auth: Auth,
        limits: &Limits,
        client: IpAddr,
        credentials: &Credentials,
    ) -> Login {
        let Ok(name) = AccountName::parse(credentials.user.expose()) else {
            return self.failed(limits).await;
        };
        let network = network_of(client);
        let failing = if self.knows(&name, network) {
            vec![Failing::Known(name.clone(), network)]
        } else {
            vec![Failing::Account(name.clone()), Failing::Network(network)]
        };
        // Counted as failed until it is known to be good: a thousand at once get no more tries than one by one.
        let pace = |failing: &Failing| match failing {
            Failing::Account(_) => limits.failures_of_account,
            Failing::Network(_) | Failing::Known(..) => limits.failures_of_network,
        };
        if !failing.iter().all(|key| self.failures.take(key.clone(), pace(key))) {
            return Login::Barred;
        }
        let answer = match auth {
            Auth::None => Ok(false),
            Auth::Accounts => self.has_account(corridor, &name, credentials).await,
            Auth::NextHop => match corridor.next_hop().authenticate(credentials).await {
                Ok(()) => Ok(true),
                Err(reply) if reply.is_permanent() => Ok(false),
                Err(reply) => Err(reply),
            },
        };
        if !matches!(answer, Ok(false)) {
            failing.iter().for_each(|key| self.failures.give_back(key));
        }
        match answer {
            Ok(true) => {
                self.remember(name, network);
                Login::Good
            }
            Ok(false) => self.failed(limits).await,
            Err(reply) => Login::Refused(reply),
        }
    }

    async fn failed(&self, limits: &Limits) -> Login {
        sleep(limits.failed_login_wait).await;
        Login::Refused(Reply::new(535, (5, 7, 8), "Login refused"))
    }

    /// The same work and the same answer whether there is no such account, a disabled one, or a wrong password.
    async fn has_account<C: Corridor>(
        &self,
        corridor: &C,
        name: &AccountName,
        credentials: &Credentials,
    ) -> Result<bool, Reply> {
        let later = |_| Reply::new(454, (4, 7, 0), "Logins cannot be checked now, try again later");
        let account = corridor.account(name).await.map_err(|_| later(()))?;
        let permit = timeout(TURN, Arc::clone(&self.hashing).acquire_owned()).await;
        let permit = permit.ok().and_then(Result::ok).ok_or(()).map_err(later)?;
        let active = account.as_ref().is_some_and(|account| !account.disabled);
        let hash = account.map_or_else(|| PasswordHash::of_nobody().clone(), |account| account.password);
        let password = credentials.password.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            hash.fits(&password)
        });
        let fits = checked.await.map_err(|_| later(()))?;
        Ok(fits && active)
    }

    fn knows(&self, name: &AccountName, network: Network) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&(name.clone(), network))
    }

    fn remember(&self, name: AccountName, network: Network) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert((name, network));
    }
}

/// What one customer of a provider has: neighbours in it count as one.
pub(super) fn network_of(address: IpAddr) -> Network {
    let address = address.to_canonical();
    Network::around(address, if address.is_ipv4() { 24 } else { 64 })
}
