//! One budget for the memory of all messages on their way through the door.

use super::unfit::Unfit;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Per cent of the budget in use.
const SCARCE: u64 = 85;

/// The budget. Cheap to clone; never waits.
#[derive(Clone, Debug)]
pub struct Budget {
    account: Arc<Account>,
}

#[derive(Debug)]
struct Account {
    limit: u64,
    used: AtomicU64,
}

/// A part of the budget. Given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    account: Arc<Account>,
    bytes: u64,
}

impl Budget {
    pub fn new(limit: u64) -> Self {
        Self { account: Arc::new(Account { limit, used: AtomicU64::new(0) }) }
    }

    pub fn used(&self) -> u64 {
        self.account.used.load(Ordering::Relaxed)
    }

    /// Little is left: whoever keeps memory without using it is hurried.
    pub fn is_scarce(&self) -> bool {
        self.used() > self.account.limit / 100 * SCARCE
    }

    pub fn reserve(&self, bytes: u64) -> Option<Reservation> {
        let mut reservation = Reservation { account: Arc::clone(&self.account), bytes: 0 };
        reservation.grow_to(bytes).then_some(reservation)
    }
}

impl Reservation {
    /// Makes it at least that large; false when the budget does not have it, and nothing has changed.
    #[must_use]
    pub fn grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let limit = self.account.limit;
        let grown = self.account.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(more).filter(|used| *used <= limit)
        });
        if grown.is_ok() {
            self.bytes += more;
        }
        grown.is_ok()
    }

    /// Keeps no more than that.
    pub fn shrink_to(&mut self, bytes: u64) {
        let spare = self.bytes.saturating_sub(bytes);
        self.account.used.fetch_sub(spare, Ordering::Relaxed);
        self.bytes -= spare;
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives all of it back at once.
    pub fn release(&mut self) {
        self.shrink_to(0);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release();
    }
}

/// Room in which a message that is not taken is read and thrown away: the largest read, and what it can become.
pub(in crate::intake) const THROWN_AWAY: usize = 128 << 10;

/// Room below which growing means doubling.
const DOUBLES: usize = 256 << 10;

/// Makes room for `coming` bytes more: nothing grows that is not reserved.
pub(in crate::intake) fn make_room(
    content: &mut Vec<u8>,
    coming: usize,
    most: u64,
    reservation: &mut Reservation,
) -> Result<(), Unfit> {
    let needed = content.len() + coming;
    if needed <= content.capacity() {
        return Ok(());
    }
    // Never much more than the largest message.
    let largest = most as usize + THROWN_AWAY;
    // A small message doubles its room; a large one would keep too much that it never fills, and moves cheaply.
    let grown = if content.capacity() < DOUBLES { 2 * content.capacity() } else { content.capacity() / 4 * 5 };
    let room = needed.max(grown).max(reservation.bytes() as usize).min(largest.max(needed));
    if !reservation.grow_to(room as u64) {
        return Err(Unfit::NoMemory);
    }
    content.reserve_exact(room - content.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_comes_back_and_never_passes_the_limit() {
        let budget = Budget::new(100);
        let mut first = budget.reserve(60).unwrap();
        assert!(budget.reserve(41).is_none());
        assert!(first.grow_to(90) && first.grow_to(10), "never shrinks");
        assert!(!first.grow_to(101));
        assert!(budget.is_scarce());
        first.shrink_to(80);
        first.shrink_to(100);
        assert!(!budget.is_scarce() && first.grow_to(90));
        assert_eq!(budget.used(), 90);
        let second = budget.reserve(10).unwrap();
        assert!(budget.reserve(1).is_none());
        drop(first);
        assert_eq!(budget.used(), 10);
        drop(second);
        assert_eq!(budget.used(), 0);
        assert!(budget.reserve(u64::MAX).is_none());
    }
}
