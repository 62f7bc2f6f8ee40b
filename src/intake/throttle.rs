//! How often somebody may do something: a bucket of tries for each, filled again as time goes by.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Buckets that are kept. Whoever needs more of them is an attacker with many addresses.
const MOST: usize = 50_000;

/// So many at once, and one more after each `every`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub at_once: u32,
    pub every: Duration,
}

impl Pace {
    /// So many a minute, and as many at once.
    pub fn a_minute(many: u32) -> Self {
        Self { at_once: many, every: Duration::from_secs(60) / many.max(1) }
    }
}

/// The buckets of all `K`.
pub(in crate::intake) struct Throttle<K> {
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// What was taken out and has not come back.
    taken: f64,
    at: Instant,
}

impl Bucket {
    fn taken(&self, pace: Pace, now: Instant) -> f64 {
        let back = now.saturating_duration_since(self.at).as_secs_f64() / pace.every.as_secs_f64().max(f64::EPSILON);
        (self.taken - back).max(0.0)
    }
}

impl<K> Default for Throttle<K> {
    fn default() -> Self {
        Self { buckets: Mutex::default() }
    }
}

impl<K: Hash + Eq> Throttle<K> {
    /// Takes one try. False: there is none now.
    pub fn take(&self, key: K, pace: Pace) -> bool {
        let now = Instant::now();
        let mut buckets = self.lock();
        if buckets.len() >= MOST && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| bucket.taken(pace, now) > 0.5);
            // Still full: nobody new gets a try, rather than everybody any number of them.
            if buckets.len() >= MOST {
                return false;
            }
        }
        let bucket = buckets.entry(key).or_insert(Bucket { taken: 0.0, at: now });
        let taken = bucket.taken(pace, now);
        let there = taken + 1.0 <= f64::from(pace.at_once);
        *bucket = Bucket { taken: if there { taken + 1.0 } else { taken }, at: now };
        there
    }

    /// Puts one back: it was well used.
    pub fn give_back(&self, key: &K) {
        if let Some(bucket) = self.lock().get_mut(key) {
            bucket.taken = (bucket.taken - 1.0).max(0.0);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_at_once_and_then_at_its_pace() {
        let throttle = Throttle::default();
        let pace = Pace { at_once: 3, every: Duration::from_secs(10) };
        let takes = |key: &'static str| throttle.take(key, pace);
        assert_eq!([takes("a"), takes("a"), takes("a"), takes("a")], [true, true, true, false]);
        assert!(takes("b"), "each has its own");
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(!takes("a"), "asking costs nothing and gains nothing");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!([takes("a"), takes("a")], [true, false]);
        throttle.give_back(&"a");
        assert_eq!([throttle.take("a", pace), throttle.take("a", pace)], [true, false]);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        let again = [0; 4].map(|_| throttle.take("a", pace));
        assert_eq!(again, [true, true, true, false], "never more than at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_keys_takes_no_memory_and_no_tries() {
        let throttle = Throttle::default();
        let pace = Pace { at_once: 2, every: Duration::from_secs(600) };
        assert!((0..MOST).all(|key| throttle.take(key, pace)));
        assert!(!throttle.take(MOST, pace), "full");
        assert!(throttle.take(7, pace), "who is there has the rest");
        tokio::time::advance(Duration::from_secs(600)).await;
        assert!(throttle.take(MOST, pace));
        assert!(throttle.lock().len() <= 2, "forgotten, except the one that took two");
    }
}
