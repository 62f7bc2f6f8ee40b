//! Routes: which next hop a recipient's mail takes, and which of its addresses is used.
//!
//! The addresses are tried in the order given. One that failed stands behind those that did not, until it was
//! reached again in the background.

use super::{
    failure::Failure,
    pool::{Lease, Pool, Want},
    settings::{Domains, Limits, RelaySettings},
    tls::SettingsError,
};
use crate::{
    intake::{Credentials, Extensions},
    mail::Address,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// All routes. A transaction keeps those that it began with.
pub(super) struct Routes {
    /// The first takes whatever no other one names.
    routes: Vec<Arc<Route>>,
}

pub(super) struct Route {
    pub name: Arc<str>,
    domains: Vec<Domains>,
    pools: Vec<Arc<Pool>>,
    pub limits: Limits,
}

/// How long opening a session may take.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// As long as the steps may take.
    Usual,
    /// The hop was lost a moment ago: it is there again, or not.
    Again,
    /// Nobody could be reached a moment ago, and the client waits for its answer.
    Last,
}

impl Routes {
    /// With the connections of `before` where a hop stays as it is.
    pub fn new(settings: &RelaySettings, before: Option<&Routes>) -> Result<Self, SettingsError> {
        let known: Vec<&Arc<Pool>> = before.iter().flat_map(|before| before.pools()).collect();
        let mut routes = Vec::new();
        for route in &settings.routes {
            let mut pools = Vec::new();
            for place in 0..route.addresses.len() {
                // Tls and address are checked even where the pool is kept.
                let pool = Pool::new(settings, route, place, routes.is_empty())?;
                let kept = known.iter().find(|known| known.settings == pool.settings);
                pools.push(kept.map_or_else(|| Arc::new(pool), |kept| Arc::clone(kept)));
            }
            if pools.is_empty() {
                return Err(SettingsError::Address);
            }
            let (name, domains, limits) = (route.name.clone(), route.domains.clone(), settings.limits);
            routes.push(Arc::new(Route { name, domains, pools, limits }));
        }
        if routes.is_empty() { Err(SettingsError::Address) } else { Ok(Self { routes }) }
    }

    pub fn all(&self) -> &[Arc<Route>] {
        &self.routes
    }

    pub fn default_route(&self) -> &Arc<Route> {
        &self.routes[0]
    }

    /// The one whose domains fit best, else the first.
    pub fn of(&self, address: &Address) -> &Arc<Route> {
        let fits = self.routes.iter().filter_map(|route| {
            let fit = route.domains.iter().filter_map(|domains| domains.fit(address)).max()?;
            Some((fit, route))
        });
        fits.max_by_key(|(fit, _)| *fit).map_or(self.default_route(), |(_, route)| route)
    }

    pub fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.routes.iter().flat_map(|route| &route.pools)
    }

    /// What every route has: a client chooses by it how to write its message, before anyone knows to whom. SIZE is a
    /// ceiling and no promise (RFC 1870 5), so the largest is told; the hop of a smaller route refuses at MAIL.
    pub fn extensions(&self) -> Extensions {
        let mut routes = self.routes.iter().map(|route| route.extensions());
        let first = routes.next().unwrap_or_else(Pool::base);
        routes.fold(first, |all, one| Extensions {
            eight_bit_mime: all.eight_bit_mime && one.eight_bit_mime,
            smtputf8: all.smtputf8 && one.smtputf8,
            dsn: all.dsn && one.dsn,
            size: if all.size == 0 || one.size == 0 { 0 } else { all.size.max(one.size) },
        })
    }
}

impl Route {
    /// Those of the address that is used now.
    pub fn extensions(&self) -> Extensions {
        let used = self.pools.iter().find(|pool| !pool.has_failed()).or(self.pools.first());
        used.map_or_else(Pool::base, |pool| pool.extensions())
    }

    /// Whether some address can be used, as far as is known.
    pub fn is_usable(&self) -> bool {
        self.pools.iter().any(|pool| !pool.has_failed())
    }

    /// How many addresses it has.
    pub fn len(&self) -> usize {
        self.pools.len()
    }

    /// Whether a better address than this one exists.
    pub fn is_first(&self, lease: &Lease) -> bool {
        lease.is_of(&self.pools[0])
    }

    pub async fn lease(
        &self,
        want: Want,
        patience: Patience,
        identity: Option<&Arc<Credentials>>,
    ) -> Result<Lease, Failure> {
        let failed = |failure: &Failure| failure.report(&self.name);
        self.try_lease(want, patience, identity, failed).await
    }

    /// As `lease`; each failure is given to `failed`.
    pub async fn try_lease(
        &self,
        want: Want,
        patience: Patience,
        identity: Option<&Arc<Credentials>>,
        failed: impl Fn(&Failure),
    ) -> Result<Lease, Failure> {
        let pools = self.in_order(patience);
        let by = Instant::now() + self.limits.reconnect;
        let mut kept = None;
        for (at, pool) in pools.iter().enumerate() {
            let others = pools.len() - at - 1;
            let (connect, whole) = self.time_for(patience, by, others);
            match pool.try_lease(want, connect, whole, identity).await {
                Ok(lease) => return Ok(lease),
                Err(failure) => {
                    failed(&failure);
                    if !failure.moves_on() {
                        return Err(failure);
                    }
                    // That someone may come back is worth more to know than that someone else will not have us.
                    let better = |kept: &Failure| failure.is_unreachable() && !kept.is_unreachable();
                    if kept.as_ref().is_none_or(better) {
                        kept = Some(failure);
                    }
                }
            }
        }
        Err(kept.unwrap_or_else(Failure::shunned))
    }

    /// For the connect alone, and for the whole session.
    fn time_for(&self, patience: Patience, by: Instant, others: usize) -> (Duration, Option<Duration>) {
        let limits = &self.limits;
        let failover = (others > 0).then_some(limits.failover);
        match patience {
            Patience::Usual => (limits.connect, failover),
            Patience::Again => (limits.connect.min(limits.reconnect), failover),
            Patience::Last => {
                let share = by.saturating_duration_since(Instant::now()) / u32::try_from(others + 1).unwrap_or(1);
                (share, Some(share))
            }
        }
    }

    /// Those that work, then those that failed. One that was found dead in the slow way is left out for a while, unless
    /// it is the last chance.
    fn in_order(&self, patience: Patience) -> Vec<&Arc<Pool>> {
        let (failed, mut order): (Vec<_>, Vec<_>) = self.pools.iter().partition(|pool| pool.has_failed());
        let is_tried = |pool: &&Arc<Pool>| !matches!(patience, Patience::Usual) || !pool.is_shunned();
        order.extend(failed.into_iter().filter(is_tried));
        order
    }
}
